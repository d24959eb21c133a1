"""The story of one order from its facts through matching to cases and indicators."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from small_run import SmallRun, frame, ny

from recon_kit import model
from recon_kit.matching import cascade
from recon_kit.resolution import cases, clocks
from recon_kit.sli import indicators

COVERAGE = {
    "source": pl.String(), "covers_from": model.UTC, "covers_to": model.UTC, "as_of": model.UTC,
}  # fmt: skip
ORDERED, FIRST, SECOND = "2026-11-02T18:00", "2026-11-03T18:00", "2026-11-16T18:00"


def facts(as_of: datetime, *, second: bool) -> SmallRun:
    """Order #1001 of 100.00 EUR, charges of 60.00 and (late) 40.00 EUR presented, a refund."""
    run = SmallRun()
    run.event(
        "o1001", "order", "shop", "2026-11-02", 10000, got=ORDERED, order_id="1001",
        currency="EUR", refunded_amount=1000, native_id="#1001",
    )  # fmt: skip
    charges = [("c1", 6540, 6000, 220, FIRST)] + [("c2", 4360, 4000, 156, SECOND)] * second
    for key, usd, eur, fee, got in charges:
        run.event(
            key, "payment", "stripe", "2026-11-03", usd, fee=fee, got=got, order_id="1001",
            presentment_amount=eur, presentment_currency="EUR", native_id=f"ch_{key}",
        )  # fmt: skip
    run.event(
        "r1", "refund", "stripe", "2026-11-03", -1090, got=FIRST, parent_key="ch_c1",
        presentment_amount=-1000, presentment_currency="EUR",
    )  # fmt: skip
    for event in run.events:
        event["payload_hash"] = f"payload of {event['event_key']}"
    run.coverage = [
        {"source": s, "covers_from": ny("2026-10-01T00:00"), "covers_to": as_of, "as_of": as_of}
        for s in ("shop", "stripe")
    ]
    return run


def evaluated(run: SmallRun, as_of: datetime, previous: pl.DataFrame):
    """One evaluation as the workbench orders it: match, cases, indicators."""
    place = run.settings.workspace
    with run.engine(results=False) as engine:
        engine.put("who", frame(model.WHO_SCHEMA, []))
        engine.put("coverage", frame(COVERAGE, run.coverage))
        context = cascade.MatchingContext(as_of, place.timezone, place.holidays)
        cascade.reconcile(engine, run.rec, context)
        cases.find_cases(engine, run.rec, run.settings, as_of, previous)
        slis = indicators.compute(engine, run.rec, run.settings, as_of)
        found = engine.rows("select * from out_findings order by case_id")
        return found, slis, clocks.queue(engine, run.settings, as_of)


def value(slis: pl.DataFrame, name: str, cohort: str = "all") -> tuple:
    (row,) = slis.filter((pl.col("name") == name) & (pl.col("cohort") == cohort)).to_dicts()
    return row["numerator"], row["denominator"], row["state"]


def test_one_order_from_in_flight_over_its_case_to_settled():
    """In flight, then 40.00 EUR overdue and one case, then settled: the case closes itself."""
    early = ny("2026-11-05T12:00")
    found, slis, queue = evaluated(facts(early, second=False), early, pl.DataFrame())
    assert (found.height, queue.height) == (0, 0)
    assert value(slis, "match_rate", "2026-W45") == (0, 1, "unknown")
    assert value(slis, "match_rate_money", "2026-W45") == (6000, 10000, "unknown")

    late = ny("2026-11-16T12:00")
    found, slis, queue = evaluated(facts(late, second=False), late, pl.DataFrame())
    (case,) = queue.to_dicts()
    assert (case["kind"], case["anchor_key"]) == ("amount_mismatch", "o1001")
    assert (case["amount_minor"], case["currency"]) == (4000, "EUR")
    assert case["owner"] == "marketing_ops"
    assert case["opened_at"] == ny("2026-11-10T00:00")
    assert value(slis, "match_rate") == (0, 1, "known")
    assert value(slis, "match_rate_money") == (6000, 10000, "known")
    assert value(slis, "queue_depth")[0] == 1

    done = ny("2026-11-17T12:00")
    before = found.with_columns(run_order=pl.lit(0))
    found, slis, queue = evaluated(facts(done, second=True), done, before)
    assert (found.height, queue.height) == (0, 0)
    assert value(slis, "match_rate") == (1, 1, "known")
    assert value(slis, "match_rate_money") == (10000, 10000, "known")
    (median,) = slis.filter(
        (pl.col("name") == "time_to_reconcile_median") & (pl.col("cohort") == "all")
    )["value"]
    assert median == 14 * 24.0  # from Monday the 2nd, 18:00, to Monday the 16th, 18:00
