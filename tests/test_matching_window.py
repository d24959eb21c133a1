"""Amount and time join two events only where neither has another candidate."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matching_world import MONDAY, World, day, event, order, payment, rec, reconciled, said

from recon_kit.settings import Reconciliation


def loose(uncertified: str = "auto", **more: Any) -> Reconciliation:
    """No key is declared: two days before, five after, and window says what it finds."""
    fields: dict[str, Any] = {
        "keys": [], "window": {"before": "2d", "after": "5d"},
        "window_method": {"enabled": True, "uncertified": uncertified},
    }  # fmt: skip
    return rec(**(fields | more))


def paired(events: list[dict[str, Any]], declared: Reconciliation | None = None) -> list[str]:
    """What is matched or asked about in a world."""
    with reconciled(events, declared or loose()) as world:
        return found(world)


def found(world: World) -> list[str]:
    """Matches, and the pairs that window asks about, such as `o1+p1`."""
    asked = world.rows("select left_key, right_key from out_proposals where method = 'window'")
    return sorted(world.groups() + [f"{left}+{right}" for left, right in asked])


def test_one_candidate_each_is_a_match_where_that_is_allowed() -> None:
    """Uncertified it is a proposal that reserves nothing; allowed it is a match."""
    events = [order("o1", 100), payment("p1", 100, event_ts=day(3))]
    with reconciled(events, loose()) as world:
        assert world.groups() == ["o1+p1"]
        assert world.matches("method", "disposition", "confidence") == [("window", "auto", 1.0)]
    with reconciled(events, loose("review")) as world:
        assert world.groups() == []
        assert world.rows("select left_key, right_key, method, why_code from out_proposals") == [
            ("o1", "p1", "window", "uncertified")
        ]
        assert world.open("event_key", "state", "why_code", "why")[0] == (
            "o1", "proposed", "proposed",
            "amount and time agree with payment alone, 1.00 EUR, 3 days later; a person confirms",
        )  # fmt: skip


def test_the_window_is_asymmetric_and_its_ends_count() -> None:
    """Two days before to five after, to the second."""

    def at(days: float) -> list[str]:
        return paired([order("o1", 100), payment("p1", 100, event_ts=day(days))])

    assert at(-2) == at(5) == ["o1+p1"]
    assert at(-2.0001) == at(5.0001) == []


def test_a_second_candidate_on_either_side_leaves_all_open() -> None:
    """No greedy pick of the nearest, no tie broken by row order."""
    twins = [order("o1", 100), payment("p1", 100), payment("p2", 100, event_ts=day(4))]
    assert paired(twins) == []
    assert paired([order("o1", 100), order("o2", 100, event_ts=day(1)), payment("p1", 100)]) == []
    # the second payment has an order of its own: its candidates are two, so is the first order's
    chain = [*twins, order("o2", 100, event_ts=day(6))]
    assert paired(chain) == []
    assert paired([*twins[:2], payment("p2", 100, event_ts=day(9))]) == ["o1+p1"]


def test_amounts_agree_within_tolerance_and_rivals_do_too() -> None:
    """Half a percent of 100.00 is 0.50; a rival within it makes the pair ambiguous."""
    declared = loose(tolerance={"percent": "0.5"})
    assert paired([order("o1", 10_000), payment("p1", 10_050)], declared) == ["o1+p1"]
    assert paired([order("o1", 10_000), payment("p1", 10_051)], declared) == []
    both = [order("o1", 10_000), payment("p1", 10_000), payment("p2", 9_950)]
    assert paired(both, declared) == []
    # the allowance is that of the left amount: 10,050 is within 0.5 % of 10,100 and of 10,000
    rivals = [order("o1", 10_000), order("o2", 10_100), payment("p1", 10_050)]
    assert paired(rivals, declared) == []


def test_a_currency_must_be_shared() -> None:
    """100 JPY are not 100 KWD; the presented amount counts where it is in the order's currency."""
    yen = order("o1", 100, currency="JPY")
    assert paired([yen, payment("p1", 100, currency="KWD")]) == []
    shown = payment("p1", 65, currency="USD", presentment_amount=100, presentment_currency="JPY")
    assert paired([yen, shown]) == ["o1+p1"]
    # where both tell both amounts it is still one candidate, not two
    both = yen | {"presentment_amount": 65, "presentment_currency": "USD"}
    assert paired([both, shown]) == ["o1+p1"]


def test_nothing_is_no_amount() -> None:
    """Zero agrees with every zero; no money, no time, or no effect is no candidate."""
    assert paired([order("o1", 0), payment("p1", 0)]) == []
    assert paired([order("o1", -100), payment("p1", -100)]) == ["o1+p1"]
    assert paired([order("o1", None), payment("p1", None)]) == []
    assert paired([order("o1", 100), payment("p1", 100, event_ts=None)]) == []
    assert paired([order("o1", 100, status="voided"), payment("p1", 100)]) == []


def test_a_barred_pair_is_no_candidate() -> None:
    """A person said no to one of two, so the other is alone."""
    events = [order("o1", 100), payment("p1", 100), payment("p2", 100), payment("p3", 100)]
    bars = [said(1, "not_same", "o1", "p1"), said(2, "not_same", "o1", "p3")]
    with reconciled(events, loose(), decisions=bars) as world:
        assert found(world) == ["o1+p2"]


def test_events_that_name_different_ids_are_asked_about() -> None:
    """The amount agrees, the ids do not: no certificate books that. A cut id is the same id."""

    def world_of(text: str) -> list[tuple[Any, ...]]:
        events = [order("o1", 100, order_id="100123"), payment("p1", 100, order_id=text)]
        with reconciled(events, loose(keys=["order_id"])) as world:
            return [*world.matches("method"), *world.rows("select why_code from out_proposals")]

    assert world_of("100132") == [("key_differs",)]
    assert world_of("1001") == [("window",)]


def test_a_common_price_is_weak_evidence() -> None:
    """Three more payments of that price in eight weeks: 7 of 56 days, so 0.375 by chance.

    The share of orders that have a counterpart is the mean over this one and one of either kind;
    what agrees by chance takes an order and one of four payments that have none.
    """
    events = [
        order("o1", 1_999, event_ts=day(20)), payment("p1", 1_999, event_ts=day(21)),
        *(payment(f"q{i}", 1_999, event_ts=day(i)) for i in (0, 40, 56)),
    ]  # fmt: skip
    with reconciled(events, loose()) as world:
        assert world.groups() == []
        assert world.rows("select left_key, right_key, why_code from out_proposals") == [
            ("o1", "p1", "below_floor")
        ]
        ((told,),) = world.rows("select confidence from out_proposals")
        assert world.open("why")[0] == (
            ("amount and time agree with payment alone, 19.99 EUR, 1 day later; but so many could, "
            "that it may be by chance"),
        )  # fmt: skip
        assert world.rows("select equal_answers, levels from out_pair_evidence") == [
            (1, '{"expected_by_chance":0.375}')
        ]
    share = (told + 1) / 3
    odds = share / ((1 - share) * (1 - share / 4))
    assert told == pytest.approx(odds / (odds + 0.375), abs=1e-4)
    assert 0.83 < told < 0.84


def scattered(related: int) -> list[dict[str, Any]]:
    """Of 400 orders so many have a payment of 400, by amount and up to five days later."""

    def number(*parts: object) -> int:
        return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:12], 16)

    events = []
    for i in range(400):
        amount, at = 500 + number("a", i) % 2_000, number("d", i) % 50
        events.append(order(f"o{i}", amount, event_ts=day(at - 25)))
        if i >= related:
            amount, at = 500 + number("b", i) % 2_000, number("e", i) % 50
        events.append(payment(f"p{i}", amount, event_ts=day(at - 25 + number("l", i) % 6)))
    return events


def test_where_nothing_belongs_together_coincidences_are_told_as_such() -> None:
    """So many of 400 orders agree with a payment that has nothing to do with them: none is booked,
    and all of them together are worth less than one in four says.
    """
    with reconciled(scattered(0), loose()) as world:
        told = world.rows("select confidence from out_proposals where method = 'window'")
        assert world.groups() == []
    assert len(told) >= 8
    assert sum(c for (c,) in told) < len(told) / 4


@pytest.mark.parametrize("related", [60, 150, 300])
def test_the_confidence_of_a_window_is_what_is_found(related: int) -> None:
    """Said against found: no more is claimed than is right, by more than three standard errors."""
    with reconciled(scattered(related), loose()) as world:
        told = world.rows(
            """select l.event_key[2:] = r.event_key[2:] and l.event_key[2:]::int < $related as own,
                m.confidence from out_matches m
            join out_match_members l on l.match_id = m.match_id and l.side = 'left'
            join out_match_members r on r.match_id = m.match_id and r.side = 'right'
            union all
            select left_key[2:] = right_key[2:] and left_key[2:]::int < $related, confidence
            from out_proposals where method = 'window'""".replace("$related", str(related))
        )
    said_right = sum(c for _, c in told)
    error = sum(c * (1 - c) for _, c in told) ** 0.5
    assert len(told) > related / 2
    assert said_right <= sum(own for own, _ in told) + 3 * error


def test_it_is_off_unless_asked_for() -> None:
    """Nobody's amounts are joined by coincidence without a setting that says so."""
    assert paired([order("o1", 100), payment("p1", 100)], rec(keys=[])) == []


def test_what_a_key_joins_is_no_candidate_any_more() -> None:
    """Only open events count: the payment that has its order leaves the other alone."""
    events = [
        order("o1", 100, order_id="1"), payment("p1", 100, order_id="1"), order("o2", 100),
        payment("p2", 100),
    ]  # fmt: skip
    assert paired(events, loose(keys=["order_id"])) == ["o1+p1", "o2+p2"]


@st.composite
def crowds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to twelve events of few amounts and days."""
    amounts = st.sampled_from([98, 100, 101, 200, 203, -100, 0])
    days = st.integers(0, 16)
    events = []
    for name, make in (("o", order), ("p", payment)):
        for i in range(draw(st.integers(0, 6))):
            shown = draw(st.sampled_from([None, None, 100, 200]))
            more = {"presentment_amount": shown, "presentment_currency": "USD" if shown else None}
            currency = draw(st.sampled_from(["EUR", "EUR", "USD"]))
            events.append(make(f"{name}{i}", draw(amounts), event_ts=day(draw(days)),
                               currency=currency, **more))  # fmt: skip
    return draw(st.permutations(events))


def by_hand(events: list[dict[str, Any]]) -> list[str]:
    """Every pair is looked at; tolerance 1 % of the left amount, window -2 to 5 days."""

    def faces(e: dict[str, Any]) -> dict[str, int]:
        return {e["presentment_currency"]: e["presentment_amount"], e["currency"]: e["amount"]}

    def meet(left: dict[str, Any], right: dict[str, Any]) -> bool:
        apart = right["event_ts"] - left["event_ts"]
        told, seen = faces(left), faces(right)
        agreed = [abs(told[c] - seen[c]) <= abs(told[c]) // 100
                  for c in told if c and told[c] and seen.get(c)]  # fmt: skip
        return timedelta(days=-2) <= apart <= timedelta(days=5) and any(agreed)

    def first_shared(left: dict[str, Any], right: dict[str, Any]) -> bool:
        told, seen = faces(left), faces(right)
        own = [left["currency"], left["presentment_currency"]]
        others = [right["currency"], right["presentment_currency"]]
        c = next(a for a in own for b in others if a and a == b)
        return abs(told[c] - seen[c]) <= abs(told[c]) // 100

    left = [e for e in events if e["event_type"] == "order"]
    right = [e for e in events if e["event_type"] == "payment"]
    pairs = [(a, b) for a in left for b in right if meet(a, b)]
    count = Counter(e["event_key"] for p in pairs for e in p)
    return sorted(
        f"{a['event_key']}+{b['event_key']}" for a, b in pairs
        if count[a["event_key"]] == count[b["event_key"]] == 1 and first_shared(a, b)
    )  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(crowds(), st.sampled_from([1, 2]))
def test_the_matches_are_those_of_counting_every_pair(
    events: list[dict[str, Any]], threads: int
) -> None:
    """Counting by rank finds exactly the pairs that counting by hand finds, in any order."""
    declared = loose(tolerance={"percent": "1"})
    with reconciled(events, declared, threads=threads) as world:
        assert found(world) == by_hand(events)


def test_a_crowd_of_one_price_costs_no_pairs() -> None:
    """Two thousand orders and payments of one price: ranks are counted, no pair is made."""
    events = [
        event(f"{side}{i}", source, kind, 1_999, event_ts=MONDAY + timedelta(minutes=i))
        for side, source, kind in (("o", "shop", "order"), ("p", "stripe", "payment"))
        for i in range(2_000)
    ]
    with reconciled(events, loose()) as world:
        assert world.groups() == []
        assert world.engine.count("window_seen_0") == 2_000
        assert world.engine.count("single_0") == 0
