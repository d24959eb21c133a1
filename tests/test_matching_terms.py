from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from matching_world import MONDAY, day, event, order, payment, rec, reconciled

from recon_kit.ledger.engine import open_engine
from recon_kit.matching import rarity, stored
from recon_kit.matching.fees import Tariff
from recon_kit.matching.schedules import Lag, Schedule

CARD, RAISED = Tariff(290, 30), Tariff(320, 30)
ORDERS = 240
DAYS = 60


def draw(*parts: object) -> int:
    """A number that depends on nothing but its parts."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:12], 16)


def fee_of(tariff: Tariff, amount: int) -> int:
    return (amount * tariff.rate_bp + 5_000) // 10_000 + tariff.fixed_minor


def trade(changed_on: int = DAYS, **more: Any) -> list[dict[str, Any]]:
    """Orders paid by card two hours later, with the fee told; it rises on a day."""
    events = []
    for i in range(ORDERS):
        amount, at = 500 + draw(i) % 40_000, i * DAYS / ORDERS
        tariff = CARD if at < changed_on else RAISED
        events += [
            order(f"o{i}", amount, order_id=str(1_000 + i), event_ts=day(at)),
            payment(
                f"p{i}", amount, order_id=str(1_000 + i), event_ts=day(at) + timedelta(hours=2),
                fee=fee_of(tariff, amount), payment_method="card", **more,
            ),
        ]  # fmt: skip
    return events


def learned(events: list[dict[str, Any]], **context: Any) -> tuple[stored.Trained, tuple[str, ...]]:
    with reconciled(events, rec(), as_of=day(DAYS + 1), **context) as world:
        model = world.outcome.model
        return (stored.read(model) if model else stored.Trained()), world.outcome.notes


def test_the_schedule_in_force_is_learned_from_what_keys_proved():
    """Payments that tell their fee teach 2.9 % and 30 for cards of that source in EUR."""
    terms, _ = learned(trade())
    assert terms.schedules == (
        Schedule(
            "stripe", "payment", "card", "EUR", False, "", "",
            "2026-03-02T14:00:00+00:00", "", 290, 30, None,
            "told", ORDERS, ORDERS,
        ),
    )  # fmt: skip


def test_a_change_is_dated_and_said():
    """From day 36, 7 April, the fee is 3.2 % and 30: two schedules, and a sentence."""
    terms, notes = learned(trade(changed_on=36))
    assert [(s.label, s.since, s.until, s.rows) for s in terms.schedules] == [
        ("2.9 % and 30", "2026-03-02T14:00:00+00:00", "2026-04-07T14:00:00+00:00", 144),
        ("3.2 % and 30", "2026-04-07T14:00:00+00:00", "", 96),
    ]
    assert (
        "stripe: the fee of card payment in EUR changed from 2.9 % and 30 to 3.2 % and 30 on "
        "2026-04-07"
    ) in notes


def test_countries_with_fees_of_their_own_are_told_apart():
    """Cards of two countries are priced differently: a schedule for each."""
    events = trade()
    for i in range(0, ORDERS, 3):
        abroad = events[2 * i + 1]
        abroad["fee"] = fee_of(Tariff(440, 30), abroad["amount"])
        abroad["raw_keys"] = '{"card_country":"US"}'
    terms, _ = learned(events)
    assert [(s.split, s.value, s.label, s.exact) for s in terms.schedules] == [
        ("card_country", "", "2.9 % and 30", 160),
        ("card_country", "US", "4.4 % and 30", 80),
    ]


def net(value: str, rate_bp: int) -> Schedule:
    return Schedule(
        "stripe", "payment", "card", "EUR", False, "card_country", value,
        "2026-03-02T14:00:00+00:00", "", rate_bp, 30, None, "net", 100, 100,
    )  # fmt: skip


def test_what_usually_remains_of_an_amount_depends_on_the_cards_country():
    """Payments that tell no fee are read by the schedule of their source, method and country."""
    told = {"source": "stripe", "type": "payment", "currency": "EUR", "shown_currency": ""}
    cards = [("p1", "card", "DE"), ("p2", "card", "US"), ("p3", "card", "FR"), ("p4", "bank", "US")]
    empty = {"shown": None, "usual_bp": None, "usual_fixed": None, "usual_cap": None}
    rows = [{"event_key": k, "payment_method": m} | told | empty for k, m, _ in cards]
    events = [{"event_key": k, "raw_keys": f'{{"card_country":"{c}"}}'} for k, _, c in cards]
    with open_engine() as engine:
        engine.put(
            "side_right", pl.DataFrame(rows, schema_overrides=dict.fromkeys(empty, pl.Int64))
        )
        engine.put("events", pl.DataFrame(events))
        rarity.attach_usual_fees(engine, [net("DE", 150), net("US", 290)])
        found = engine.rows("select event_key, usual_bp, usual_fixed from side_right order by all")
    nothing = (None, None)
    assert found.rows() == [("p1", 150, 30), ("p2", 290, 30), ("p3", *nothing), ("p4", *nothing)]


def test_lags_are_told_by_source_pair():
    """Payments come two hours after their order; and on the same day."""
    terms, _ = learned(trade())
    two_hours = 7_200
    assert terms.lags == (Lag("shop", "stripe", *[two_hours] * 6, 0, ORDERS),)


def payouts_of(size: int) -> tuple[stored.Trained, tuple[str, ...]]:
    """240 payments by their net to payouts of so many each, a day later at stripe, two at adyen."""
    events = []
    for i in range(ORDERS):
        source, days = ("stripe", 1) if i // size % 2 else ("adyen", 2)
        at, gross = day(i // size * size * DAYS / ORDERS), 500 + draw(i) % 40_000
        net = gross - fee_of(CARD, gross)
        number = f"po_{i // size}"
        events.append(
            event(f"p{i:03}", source, "payment", gross, net=net, payout_id=number, event_ts=at)
        )
        if i % size == 0:
            paid = event(
                number, "bank", "payout", 0, payout_id=number, event_ts=at + timedelta(days=days)
            )
            events.append(paid)
        paid["amount"] += net
    declared = rec(
        left={"sources": ["adyen", "stripe"], "types": ["payment"]},
        right={"sources": ["bank"], "types": ["payout"]},
        measure={"left": "net", "right": "amount"},
        keys=["payout_id"], cardinality="many_to_one", attach=[],
    )  # fmt: skip
    with reconciled(events, declared, as_of=day(DAYS + 9)) as world:
        assert world.outcome.model is not None
        return stored.read(world.outcome.model), world.outcome.notes


@pytest.mark.parametrize("size", [1, 2])
def test_members_of_payouts_teach_how_long_each_source_takes(size):
    """Each payment counts, alone in its payout or beside another: a day, and two days."""
    terms, _ = payouts_of(size)
    assert [(g.left_source, g.right_source, g.p05, g.p99, g.pairs) for g in terms.lags] == [
        ("adyen", "bank", 172_800, 172_800, 120),
        ("stripe", "bank", 86_400, 86_400, 120),
    ]


def test_what_a_payout_lacks_against_the_gross_of_its_one_payment_is_a_fee():
    """Payments matched by their net tell what is kept of the gross; payouts of two do not."""
    terms, _ = payouts_of(1)
    assert [(s.source, s.label, s.basis, s.rows, s.exact) for s in terms.schedules] == [
        ("bank", "2.9 % and 30", "net", ORDERS, ORDERS)
    ]
    assert payouts_of(2)[0].schedules == ()


def test_a_weekend_counts_as_the_business_day_after_it():
    """Friday noon to Saturday is one business day, and Friday to Monday as well."""
    events = []
    for i in range(120):
        friday = MONDAY + timedelta(days=4)
        events += [
            order(f"o{i}", 100 + i, order_id=f"W{i}", event_ts=friday),
            payment(f"p{i}", 100 + i, order_id=f"W{i}", event_ts=friday + timedelta(days=1 + i % 3))
        ]  # fmt: skip
    terms, _ = learned(events)
    assert [(lag.business_days_p95, lag.pairs) for lag in terms.lags] == [(1, 120)]


def test_terms_change_only_at_training():
    """A stored model keeps its terms though the fee has changed since; training dates it."""
    before, _ = learned(trade())
    model = stored.write("orders_to_payments", before)
    kept, notes = learned(trade(changed_on=36), model=model)
    assert kept == before
    assert notes == ()
    anew, _ = learned(trade(changed_on=36), model=model, retrain=True)
    assert [s.label for s in anew.schedules] == ["2.9 % and 30", "3.2 % and 30"]


@pytest.mark.parametrize("threads", [1, 2])
def test_terms_do_not_depend_on_threads(threads):
    """The same facts give the same terms at one thread and at two."""
    first, _ = learned(trade(changed_on=36))
    second, _ = learned(trade(changed_on=36)[::-1], threads=threads)
    assert first == second


def test_a_handful_of_matches_teaches_nothing():
    """Nineteen payments tell neither a schedule nor a lag, and leave no model behind."""
    with reconciled(trade()[:38], rec(), as_of=day(DAYS)) as world:
        assert world.outcome.model is None
        assert world.outcome.notes == ()


def slow_trade() -> list[dict[str, Any]]:
    """120 orders of Mondays, paid on the Wednesday of the week after; one of day 42 is not paid."""
    events = [order("late", 9_900, order_id="L1", event_ts=day(42))]
    for i in range(120):
        at = day(7 * (i % 5))
        events += [
            order(f"o{i}", 1_000 + i, order_id=f"S{i}", event_ts=at),
            payment(f"p{i}", 1_000 + i, order_id=f"S{i}", event_ts=at + timedelta(days=9)),
        ]
    return events


def late_order(**settings: Any) -> tuple[Any, ...]:
    """(state, day it is expected by, reason) of the unpaid order, six business days later."""
    with reconciled(slow_trade(), rec(**settings), as_of=day(50)) as world:
        rows = world.rows(
            "select state, expected_by::date::varchar, why from out_open_items"
            " where event_key = 'late'"
        )
    return rows[0]


def test_without_a_declared_time_an_item_waits_as_long_as_its_like_did():
    """Money of this shop takes 7 business days: on the sixth the order is still in flight."""
    state, expected, why = late_order()
    assert (state, expected) == ("in_flight", "2026-04-23")
    assert why.endswith("; 95 % of what shop tells is settled within 7 business days")


def test_a_declared_time_stands_against_what_was_learned():
    """With `settles_within = "5bd"` written down the order is overdue, and says what is usual."""
    state, expected, why = late_order(settles_within="5bd")
    assert (state, expected) == ("overdue", "2026-04-21")
    assert why.endswith("; 95 % of what shop tells is settled within 7 business days")


def test_a_quick_source_shortens_no_time():
    """Payments come within hours, but nothing is overdue before the default has passed."""
    events = [*trade(), order("late", 5, order_id="L1", event_ts=day(DAYS - 3))]
    with reconciled(events, rec(), as_of=day(DAYS)) as world:
        rows = world.rows("select state, why from out_open_items where event_key = 'late'")
    assert rows[0][0] == "in_flight"
    assert rows[0][1].endswith("; 95 % of what shop tells is settled on the same day")
