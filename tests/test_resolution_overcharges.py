"""Fees against their schedule: what is a case, what it is worth, and that a fair fee is none."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
from small_run import SmallRun, ny

from recon_kit.matching import schedules
from recon_kit.matching.schedules import Schedule
from recon_kit.resolution import cases
from recon_kit.settings import FILE_NAME
from recon_kit.synth import tables, twin
from recon_kit.workbench.bench import Workbench

NOW = ny("2026-11-20T12:00")
CARD = Schedule(
    "stripe", "payment", "card", "USD", False, "", "", "2026-09-01T00:00:00+00:00", "", 290, 30,
    None, "told", 900, 900,
)  # fmt: skip


def paid(key: str, amount: int, fee: int | None, day: str = "2026-11-02", **more) -> SmallRun:
    """One card payment with its fee."""
    return SmallRun().event(
        key, "payment", "stripe", day, amount, fee=fee, payment_method="card", **more
    )


def fee_cases(run: SmallRun, *in_force: Schedule) -> list[dict]:
    with run.engine() as engine:
        engine.put("fee_schedules", schedules.frame(in_force or (CARD,)))
        cases.find_cases(engine, run.rec, run.settings, NOW, pl.DataFrame())
        found = engine.rows("select * from out_findings where kind = 'fee_mismatch'")
    return found.to_dicts()


def test_an_overcharge_is_a_case_with_its_amount():
    """100.00 by card costs 3.20; 5.40 was taken, so 2.20 is to be asked back."""
    (case,) = fee_cases(paid("p1", 10_000, 540))
    told = json.loads(case["diffs"])
    assert (case["amount_minor"], case["currency"], case["class"]) == (220, "USD", "C")
    assert (told["fee"], told["expected_fee"], told["overcharge"]) == (540, 320, 220)
    assert (told["schedule_rate_bp"], told["schedule_fixed_minor"]) == (290, 30)
    assert case["anchor_key"] == "p1"


@pytest.mark.parametrize("fee", [320, 319, 321])
def test_a_fair_fee_is_no_case(fee):
    """The schedule's fee, and one cent of rounding to either side, is as agreed."""
    assert fee_cases(paid("p1", 10_000, fee)) == []


@pytest.mark.parametrize(
    "run",
    [
        paid("p1", 10_000, 540, currency="EUR"),
        paid("p1", 10_000, 540, day="2026-08-30"),
        paid("p1", 10_000, None),
        paid("p1", 10_000, 540, presentment_currency="EUR", presentment_amount=9_000),
        SmallRun().event("p1", "payment", "stripe", "2026-11-02", 10_000, fee=540),
    ],
    ids=["currency", "before", "not told", "converted", "method"],
)
def test_a_payment_of_another_trade_is_held_against_nothing(run):
    """Another currency, method or time has no schedule here, so nothing is said of its fee."""
    assert fee_cases(run) == []


def test_the_schedule_of_its_day_counts():
    """From 1 November 3.2 % is in force: 3.50 is right then, and 3.20 was right before."""
    raised = Schedule(
        "stripe", "payment", "card", "USD", False, "", "", "2026-11-01T00:00:00+00:00", "", 320, 30,
        None, "told", 100, 100,
    )  # fmt: skip
    ended = Schedule(
        "stripe", "payment", "card", "USD", False, "", "", "2026-09-01T00:00:00+00:00",
        "2026-11-01T00:00:00+00:00", 290, 30, None, "told", 900, 900,
    )  # fmt: skip
    run = paid("p1", 10_000, 350).event(
        "p2", "payment", "stripe", "2026-10-30", 10_000, fee=320, payment_method="card"
    )
    assert fee_cases(run, ended, raised) == []
    late = paid("p3", 10_000, 320)
    assert [c["amount_minor"] for c in fee_cases(late, ended, raised)] == [30]


def test_a_card_of_another_country_has_its_own_schedule():
    """Where countries are priced apart, each payment is held against its own country's price."""
    home = Schedule(
        "stripe", "payment", "card", "USD", False, "card_country", "US",
        "2026-09-01T00:00:00+00:00", "", 290, 30, None, "told", 900, 900,
    )  # fmt: skip
    run = paid("p1", 10_000, 470, raw_keys='{"card_country":"US"}').event(
        "p2", "payment", "stripe", "2026-11-02", 10_000, fee=470, payment_method="card",
        raw_keys='{"card_country":"DE"}',
    )  # fmt: skip
    assert [c["anchor_key"] for c in fee_cases(run, home)] == ["p1"]


def test_a_matched_payment_is_a_case_of_its_order():
    """The case hangs on the order, with both payments that cost too much and their sum."""
    run = (
        SmallRun()
        .event("o1", "order", "shop", "2026-11-02", 20_000)
        .event("p1", "payment", "stripe", "2026-11-02", 10_000, fee=540, payment_method="card")
        .event("p2", "payment", "stripe", "2026-11-02", 10_000, fee=420, payment_method="card")
        .match("m1", ["o1:principal"], ["p1:part", "p2:part"], (20_000, 20_000))
    )
    (case,) = fee_cases(run)
    assert (case["anchor_key"], case["amount_minor"]) == ("o1", 320)
    assert json.loads(case["subjects"]) == ["o1", "p1", "p2"]


def test_where_nets_are_compared_fees_are_not_checked():
    """In `payments_to_payouts` the fee is part of the money: the same case is not told twice."""
    run = SmallRun("payments_to_payouts").event(
        "p1", "payment", "stripe", "2026-11-02", 10_000, fee=540, payment_method="card"
    )
    assert fee_cases(run) == []


# --- the invented shop ----------------------------------------------------------------------------
RAISED_ON = date(2026, 8, 3)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop whose processor raises a price and takes 1.50 too much now and then, reconciled."""
    folder = tmp_path_factory.mktemp("fees")
    prices = tables.Prices(raised_on=RAISED_ON, raised_bp=30, overcharged_per_million=8_000)
    made = twin.make(folder / "raised", orders=900, days=56, prices=prices)
    fair = tables.Prices(raised_on=RAISED_ON, raised_bp=30)
    plain = twin.make(folder / "fair", orders=900, days=56, prices=fair)
    settings = made.settings_file.read_text(encoding="utf-8")
    off = settings.replace("[reconciliations.probable]\nenabled = true",
                           "[reconciliations.probable]\nenabled = false")  # fmt: skip
    assert off != settings
    (made.folder / FILE_NAME).write_text(off, encoding="utf-8")
    bench = Workbench(made.folder)
    for told in made.deliveries:
        if told.source in ("shop", "wholesale", "stripe_us"):
            bench.ingest(
                told.source, made.path(told), as_of=told.as_of, received_at=told.received_at
            )
    bench.reconcile("orders_to_payments")
    return bench, fees_of(made), fees_of(plain)


def fees_of(made: twin.Twin) -> dict[str, int]:
    """Fee in cents of each American card charge, as the files print it."""
    files = [made.path(d) for d in made.deliveries if d.source == "stripe_us"]
    tables_told = [pl.read_csv(file, infer_schema=False) for file in files]
    rows = pl.concat(tables_told, how="diagonal").filter(
        reporting_category="charge", payment_method_type="card"
    )
    fees = pl.col("fee").cast(pl.Decimal(18, 2)) * 100
    return dict(rows.select("balance_transaction_id", fees.cast(pl.Int64)).iter_rows())


def test_a_raised_price_is_dated_by_what_the_files_tell(shop):
    """The first charge at the new price, and not a day earlier, starts the new schedule."""
    bench, _, _ = shop
    with bench.store.snapshot().engine() as engine:
        first = engine.one(
            """select min(event_ts)::varchar from events where source = 'stripe_us'
            and event_type = 'payment' and payment_method = 'card' and currency = 'USD'
            and coalesce(presentment_currency, currency) = currency
            and event_ts >= timestamptz '2026-08-03 00:00:00+00'"""
        )[0]
    learned = bench.store.rows("models").filter(reconciliation="orders_to_payments")
    cards = [
        s for s in json.loads(learned["json"].item())["terms"]["schedules"]
        if (s["source"], s["method"], s["foreign"]) == ("stripe_us", "card", False)
    ]  # fmt: skip
    assert [(s["rate_bp"], s["fixed_minor"]) for s in cards] == [(290, 30), (320, 30)]
    assert datetime.fromisoformat(cards[1]["since"]) == datetime.fromisoformat(
        str(first) + ":00"
    ).astimezone(UTC)


def test_overcharges_of_the_shop_are_found_with_their_amount(shop):
    """Each charge that cost 1.50 too much is a case of 1.50, and no other charge is a case."""
    bench, told, fair = shop
    wrong = {charge for charge, fee in told.items() if fee != fair[charge]}
    assert {told[charge] - fair[charge] for charge in wrong} == {150}
    runs = [str(run) for run in bench.store.rows("current_run")["run_id"]]
    with bench.store.snapshot().engine(runs=runs) as engine:
        found = engine.rows(
            """select f.amount_minor, list(e.native_id) as charges from findings f
            join events e on list_contains(f.subjects::json::varchar[], e.event_key)
            where f.diffs like '%"overcharge"%' and e.event_type = 'payment'
            group by f.case_id, f.amount_minor"""
        )
    assert {charge for charges in found["charges"] for charge in charges} == wrong
    assert set(found["amount_minor"]) == {150}
    assert len(wrong) >= 3
