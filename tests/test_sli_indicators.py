"""Indicators with literal cents and dates that can be checked by hand."""

from __future__ import annotations

import inspect
from datetime import timedelta

import polars as pl
import pytest
from small_run import SmallRun, ny

from recon_kit import model
from recon_kit.resolution import cases
from recon_kit.sli import curve, indicators, population
from recon_kit.sli.definitions import DEFINITIONS, definition

# Monday 2 to Sunday 8 November 2026 is week 45; with 5bd it is mature when Friday the 13th is over
MATURE = ny("2026-11-14T00:00")


def computed(run: SmallRun, as_of=MATURE, **more) -> pl.DataFrame:
    with run.engine() as engine:
        cases.find_cases(engine, run.rec, run.settings, as_of, pl.DataFrame())
        return indicators.compute(engine, run.rec, run.settings, as_of, **more)


def rows(frame: pl.DataFrame, name: str, cohort: str = "all") -> list[dict]:
    return frame.filter((pl.col("name") == name) & (pl.col("cohort") == cohort)).to_dicts()


def one(frame: pl.DataFrame, name: str, cohort: str = "all") -> dict:
    (row,) = rows(frame, name, cohort)
    return row


def share(row: dict) -> tuple:
    return row["numerator"], row["denominator"], row["value"], row["state"]


def story() -> SmallRun:
    """Order #1001 of 100.00 EUR; charges of 60.00 and 40.00 EUR presented; a refund of 10.00."""
    run = SmallRun()
    run.event("o1001", "order", "shop", "2026-11-02", 10000, currency="EUR", refunded_amount=1000)
    for key, usd, eur, fee in (("c1", 6540, 6000, 220), ("c2", 4360, 4000, 156)):
        run.event(
            key, "payment", "stripe", "2026-11-03", usd, fee=fee,
            presentment_amount=eur, presentment_currency="EUR",
        )  # fmt: skip
    run.event("r1", "refund", "stripe", "2026-11-05", -1090, parent_key="ch_1")
    return run


def whole_story() -> SmallRun:
    return story().match(
        "m1", ["o1001:principal"], ["c1:part", "c2:part"], (10000, 10000),
        attached=["r1:refund"], currency="EUR",
    )  # fmt: skip


def test_the_story_counts_as_matched_by_count_and_by_money():
    """100.00 of 100.00 EUR in one of one order; the refund changes neither."""
    got = computed(whole_story())
    assert share(one(got, "match_rate", "2026-W45")) == (1, 1, 1.0, "known")
    assert share(one(got, "match_rate")) == (1, 1, 1.0, "known")
    money = one(got, "match_rate_money", "2026-W45")
    assert share(money) == (10000, 10000, 1.0, "known")
    assert money["currency"] == "EUR"
    assert one(got, "queue_depth")["value"] == 0


def test_the_story_before_the_second_charge():
    """60.00 of 100.00 EUR: not matched by count, 60 % by money; one case over 40.00 EUR."""
    run = story().match(
        "m1", ["o1001:principal"], ["c1:part"], (10000, 6000), attached=["r1:refund"],
        currency="EUR", state="overdue", by="2026-11-10T00:00",
    )  # fmt: skip
    run.events = [e for e in run.events if e["event_key"] != "c2"]
    got = computed(run)
    assert share(one(got, "match_rate")) == (0, 1, 0.0, "known")
    assert share(one(got, "match_rate_money")) == (6000, 10000, 0.6, "known")
    assert one(got, "queue_depth")["value"] == 1
    unexplained = one(got, "unexplained_amount")
    assert (unexplained["value"], unexplained["currency"], unexplained["unit"]) == (
        4000, "EUR", "minor",
    )  # fmt: skip


def test_the_story_is_not_judged_before_it_is_mature():
    """One minute before Friday the 13th is over, week 45 has no rate, only counts."""
    run = whole_story().event("o2", "order", "shop", "2026-11-06", 500)
    run.open("o2", "left", "in_flight", amount=500)
    early = computed(run, ny("2026-11-13T23:59"))
    row = one(early, "match_rate", "2026-W45")
    assert (row["value"], row["state"], row["numerator"], row["denominator"]) == (
        None, "unknown", 1, 2,
    )  # fmt: skip
    assert row["note"] == "not mature before 2026-11-14 00:00 America/New_York"
    overall = one(early, "match_rate")
    assert (overall["value"], overall["state"]) == (None, "unknown")
    assert overall["note"] == "no week is mature yet"
    assert share(one(computed(run), "match_rate", "2026-W45")) == (1, 2, 0.5, "known")


def test_a_week_is_not_mature_while_it_lasts():
    """A Monday order that settled long ago still shares its week with orders to come."""
    run = SmallRun("payments_to_payouts").event("c1", "payment", "stripe", "2026-11-02", 500)
    run.open("c1", "left", "overdue", amount=500, by="2026-11-09T12:00")
    assert one(computed(run, ny("2026-11-09T11:59")), "match_rate")["state"] == "unknown"
    assert one(computed(run, ny("2026-11-09T12:00")), "match_rate")["state"] == "known"


def test_weeks_are_those_of_the_workspace():
    """Sunday 23:30 in New York belongs to week 45, although it is Monday in UTC."""
    run = SmallRun().event("o1", "order", "shop", None, 500, event_ts=ny("2026-11-08T23:30"))
    run.artefacts[0]["received_at"] = ny("2026-11-09T06:00")
    run.open("o1", "left", "overdue", amount=500, by="2026-11-14T00:00")
    assert share(one(computed(run), "match_rate", "2026-W45")) == (0, 1, 0.0, "known")


def test_not_covered_and_duplicates_leave_the_denominator():
    """Of five orders one is unknown, one a duplicate, one late, one held; one is matched."""
    run = SmallRun()
    for number in range(1, 6):
        run.event(f"o{number}", "order", "shop", "2026-11-02", 1000)
    for number in (1, 4):
        run.event(f"p{number}", "payment", "stripe", "2026-11-02", 1000)
    run.match("m1", ["o1:principal", "o2:duplicate"], ["p1:part"], (1000, 1000))
    run.open("o3", "left", "not_covered", amount=1000)
    run.match("m4", ["o4:principal"], ["p4:part"], (1000, 1000), disposition="review")
    run.open("o5", "left", "overdue", amount=1000, by="2026-11-10T00:00")
    got = computed(run)
    assert share(one(got, "match_rate")) == (1, 3, pytest.approx(1 / 3), "known")
    assert share(one(got, "match_rate_money")) == (1000, 3000, pytest.approx(1 / 3), "known")
    assert one(got, "queue_depth")["value"] == 2  # o4 waits, o5 is late; the duplicate is class A
    assert share(one(got, "case_rate")) == (2, 3, pytest.approx(2 / 3), "known")


def test_a_rate_of_nothing_says_why_it_is_unknown():
    """The only mature week has one order, which the other side's files do not reach."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 1000)
    run.open("o1", "left", "not_covered", amount=1000)
    row = one(computed(run), "match_rate")
    assert (row["value"], row["state"], row["denominator"]) == (None, "unknown", 0)
    assert row["note"] == "no left event of mature weeks is covered"


def test_money_rates_are_per_currency():
    """50.00 of 100.00 EUR and 10 of 10 JPY never meet in one figure."""
    run = SmallRun()
    for key, amount, currency in (("o1", 5000, "EUR"), ("o2", 5000, "EUR"), ("o3", 10, "JPY")):
        run.event(key, "order", "shop", "2026-11-02", amount, currency=currency)
    for key, amount, currency in (("p1", 5000, "EUR"), ("p3", 10, "JPY")):
        run.event(key, "payment", "stripe", "2026-11-02", amount, currency=currency)
    run.match("m1", ["o1:principal"], ["p1:part"], (5000, 5000), currency="EUR")
    run.match("m3", ["o3:principal"], ["p3:part"], (10, 10), currency="JPY")
    run.open("o2", "left", "overdue", amount=5000, currency="EUR", by="2026-11-10T00:00")
    got = rows(computed(run), "match_rate_money")
    assert [(r["currency"], r["numerator"], r["denominator"]) for r in got] == [
        ("EUR", 5000, 10000), ("JPY", 10, 10),
    ]  # fmt: skip


def test_the_covered_part_of_a_payout_adds_up_to_the_cent():
    """Three payments of 33.33, 33.33 and 33.34 against a payout of 50.00: 50.00 are covered."""
    run = SmallRun("payments_to_payouts")
    for key, net in (("c1", 3333), ("c2", 3333), ("c3", 3334)):
        run.event(key, "payment", "stripe", "2026-11-02", 9999, net=net)
    run.event("po1", "payout", "stripe", "2026-11-03", 5000)
    run.match(
        "m1", ["c1:part", "c2:part", "c3:part"], ["po1:principal"], (10000, 5000),
        state="overdue", by="2026-11-09T12:00",
    )  # fmt: skip
    got = computed(run)
    assert share(one(got, "match_rate_money")) == (5000, 10000, 0.5, "known")
    assert one(got, "blocking_cases")["value"] == 1


def test_too_much_money_covers_no_more_than_there_is():
    """120.00 for an order of 100.00 covers 100.00, and the order is still not matched."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000)
    run.event("p1", "payment", "stripe", "2026-11-02", 12000)
    run.match(
        "m1", ["o1:principal"], ["p1:part"], (10000, 12000),
        state="overdue", by="2026-11-10T00:00",
    )  # fmt: skip
    got = computed(run)
    assert share(one(got, "match_rate_money")) == (10000, 10000, 1.0, "known")
    assert share(one(got, "match_rate")) == (0, 1, 0.0, "known")


def test_events_without_time_or_amount_are_named_not_hidden():
    """No time, no week; no amount, no money: the count says so."""
    run = SmallRun().event("o1", "order", "shop", None, 500)
    run.artefacts[0]["received_at"] = ny("2026-11-02T12:00")
    run.open("o1", "left", "overdue", amount=500)
    run.event("o2", "order", "shop", "2026-11-02", None)
    run.open("o2", "left", "overdue", by="2026-11-10T00:00")
    got = computed(run)
    undated = one(got, "match_rate", "undated")
    assert (undated["state"], undated["denominator"]) == ("unknown", 1)
    assert undated["note"] == "events without a time belong to no week"
    assert share(one(got, "match_rate", "2026-W45")) == (0, 1, 0.0, "known")
    assert rows(got, "match_rate_money", "2026-W45") == []


def test_dates_far_away_neither_break_nor_pass():
    """An order of 1970 is past every settlement time; one of 2090 is judged when it is due."""
    run = SmallRun().event("o1", "order", "shop", "1970-01-01", 500, got="2026-11-02T12:00")
    run.event("o2", "order", "shop", "2090-01-02", 500, got="2026-11-02T12:00")
    run.open("o1", "left", "overdue", amount=500, by="1970-01-09T00:00")
    run.open("o2", "left", "in_flight", amount=500)
    got = computed(run)
    assert share(one(got, "match_rate", "1970-W01")) == (0, 1, 0.0, "known")
    assert one(got, "match_rate", "2090-W01")["state"] == "unknown"
    assert share(one(got, "match_rate")) == (0, 1, 0.0, "known")


def test_no_event_at_all_is_unknown_not_perfect():
    """An empty reconciliation has no rate."""
    got = computed(SmallRun())
    for name in ("match_rate", "match_rate_money", "case_rate", "time_to_reconcile_median"):
        assert one(got, name)["state"] == "unknown"
        assert one(got, name)["value"] is None
    assert one(got, "queue_depth")["value"] == 0


# --- Time to reconcile -------------------------------------------------------------------------
def timed() -> SmallRun:
    """Four orders: settled after 2, 24 and 48 hours, and one still open after 72."""
    run = SmallRun()
    for number, ordered, paid in (
        (1, "2026-11-02T09:00", "2026-11-02T11:00"),
        (2, "2026-11-02T09:00", "2026-11-03T09:00"),
        (3, "2026-11-04T09:00", "2026-11-02T09:00"),  # the payment was told first
    ):
        run.event(f"o{number}", "order", "shop", "2026-11-02", 1000, got=ordered)
        run.event(f"p{number}", "payment", "stripe", "2026-11-02", 1000, got=paid)
        run.match(f"m{number}", [f"o{number}:principal"], [f"p{number}:part"], (1000, 1000))
    run.event("o4", "order", "shop", "2026-11-02", 1000, got="2026-11-02T09:00")
    run.open("o4", "left", "in_flight", amount=1000)
    return run


def test_time_to_reconcile_counts_the_open_ones_as_open():
    """Kaplan-Meier over 2, 24, 48 and 72+: median 24, no 90th percentile yet."""
    got = computed(timed(), ny("2026-11-05T09:00"))
    for cohort in ("all", "2026-W45"):
        median = one(got, "time_to_reconcile_median", cohort)
        assert share(median) == (3, 4, 24.0, "known")
        p90 = one(got, "time_to_reconcile_p90", cohort)
        assert (p90["value"], p90["state"]) == (None, "unknown")
        assert p90["note"] == "fewer than nine of ten are settled"
    mean = one(got, "time_to_reconcile_mean_30d")
    assert mean["value"] == pytest.approx((2 + 24 + 48 + 720) / 4)
    assert mean["note"] == "watched for 72 hours only; what is open is taken to stay open"


def test_the_curve_is_the_indicator_drawn():
    """The share settled by a day agrees with the quantiles, and never falls."""
    run = timed()
    with run.engine() as engine:
        drawn = curve.time_curve(
            engine, run.rec, run.settings, ny("2026-11-05T09:00"), population.Tables()
        )

    assert drawn.rows() == [(0.0, 0.0), (0.25, 0.25), (1.0, 0.5), (2.0, 0.75), (3.0, 0.75)]


def test_time_to_reconcile_in_business_hours():
    """Monday 9:00 to 11:00 is 2, to Tuesday 9:00 is 8, to Wednesday 9:00 is 16 of 24 open."""
    got = computed(timed(), ny("2026-11-05T09:00"))
    assert share(one(got, "time_to_reconcile_business_median")) == (3, 4, 8.0, "known")
    assert one(got, "time_to_reconcile_business_median")["unit"] == "business_hours"


def test_a_persons_same_settles_when_it_was_said():
    """Both facts came on Monday; the decision of Thursday 9:00 made the match: 72 hours."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 1000, got="2026-11-02T09:00")
    run.event("p1", "payment", "stripe", "2026-11-02", 1000, got="2026-11-02T10:00")
    run.match(
        "m1", ["o1:principal"], ["p1:part"], (1000, 1000), method="decided",
        disposition="confirmed",
    )  # fmt: skip
    run.decisions.append({
        "seq": 1, "reconciliation": "orders_to_payments", "left_key": "o1", "right_key": "p1",
        "verdict": "same", "recorded_at": ny("2026-11-05T09:00"),
    })  # fmt: skip
    assert share(one(computed(run), "time_to_reconcile_median")) == (1, 1, 72.0, "known")


def test_what_is_said_in_another_reconciliation_ends_no_watch_here():
    """Both facts match by key in an hour; that they are the same elsewhere was said on Thursday."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 1000, got="2026-11-02T09:00")
    run.event("p1", "payment", "stripe", "2026-11-02", 1000, got="2026-11-02T10:00")
    run.match("m1", ["o1:principal"], ["p1:part"], (1000, 1000))
    run.decisions.append({
        "seq": 1, "reconciliation": "orders_to_conversions", "left_key": "o1", "right_key": "p1",
        "verdict": "same", "recorded_at": ny("2026-11-05T09:00"),
    })  # fmt: skip
    assert share(one(computed(run), "time_to_reconcile_median")) == (1, 1, 1.0, "known")


def test_a_residual_is_watched_on():
    """A match that leaves money open has not settled anything."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 1000, got="2026-11-02T09:00")
    run.event("p1", "payment", "stripe", "2026-11-02", 500, got="2026-11-01T09:00")
    run.match("m1", ["o1:principal"], ["p1:part"], (1000, 500), state="in_flight")
    row = one(computed(run, ny("2026-11-03T09:00")), "time_to_reconcile_median")
    assert (row["numerator"], row["denominator"], row["state"]) == (0, 1, "unknown")


def test_a_later_telling_does_not_restart_the_clock():
    """An order told again on the 9th was first received on the 2nd."""
    order = ("o1", "order", "shop", "2026-11-02", 1000)
    run = SmallRun().event(*order, got="2026-11-02T09:00", restated=True)
    run.event("p1", "payment", "stripe", "2026-11-02", 1000, got="2026-11-02T12:00")
    run.match("m1", ["o1:principal"], ["p1:part"], (1000, 1000))
    run.event(*order, got="2026-11-09T09:00", restated=True)
    run.events[-1]["artefact_sha256"] = run.artefacts[-1]["sha256"] = "sha-second"
    with run.engine() as engine:
        engine.put("events", engine.rows("from event_versions").unique("event_key"))
        cases.find_cases(engine, run.rec, run.settings, MATURE, pl.DataFrame())
        got = indicators.compute(engine, run.rec, run.settings, MATURE)
    assert share(one(got, "time_to_reconcile_median")) == (1, 1, 3.0, "known")


def test_many_weeks_have_their_own_times():
    """Thirty weeks with an order each that waits for its payment: thirty rows, none invented."""
    run = SmallRun()
    for week in range(30):
        day = (ny("2026-01-05T12:00") + timedelta(weeks=week)).date().isoformat()
        run.event(f"o{week}", "order", "shop", day, 1000)
        run.event(f"p{week}", "payment", "stripe", day, 1000)
        if week < 28:
            run.match(f"m{week}", [f"o{week}:principal"], [f"p{week}:part"], (1000, 1000))
        else:
            run.open(f"o{week}", "left", "overdue", amount=1000, by="2026-08-10T00:00")
    got = computed(run).filter(pl.col("name") == "time_to_reconcile_mean_30d")
    assert got.height == 31
    assert got.filter(pl.col("value") == 720.0)["cohort"].to_list() == ["2026-W30", "2026-W31"]


# --- Queue -------------------------------------------------------------------------------------
def test_backlog_age_is_that_of_open_cases():
    """Cases of the 10th, 11th and 13th, seen on the 14th: 96, 72 and 24 hours."""
    run = SmallRun()
    for number, due in enumerate(("2026-11-10", "2026-11-11", "2026-11-13")):
        run.event(f"o{number}", "order", "shop", "2026-11-02", 1000)
        run.open(f"o{number}", "left", "overdue", amount=1000, by=f"{due}T00:00")
    run.event("o9", "order", "shop", "2026-11-02", 1000)
    run.open("o9", "left", "in_flight", amount=1000)
    got = computed(run)
    assert one(got, "queue_depth")["value"] == 3
    ages = {n: one(got, f"backlog_age_{n}")["value"] for n in ("oldest", "median", "p90")}
    assert ages == {"oldest": 96.0, "median": 72.0, "p90": pytest.approx(91.2)}
    assert one(got, "unexplained_amount")["value"] == 3000


def test_unexplained_money_counts_a_proposal_once():
    """A proposed pair of 10.00 is 10.00, not 20.00; money from nowhere counts as well."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 1000)
    run.event("p1", "payment", "stripe", "2026-11-02", 1000)
    run.event("p2", "payment", "stripe", "2026-11-02", 250)
    run.open("o1", "left", "proposed", amount=1000).open("p1", "right", "proposed", amount=1000)
    run.open("p2", "right", "overdue", amount=250, by="2026-11-10T00:00")
    run.proposal("x1", "o1", "p1", 1000)
    assert one(computed(run), "unexplained_amount")["value"] == 1250


def test_feeds_are_as_fresh_as_their_last_file():
    """The shop's file is two days old; stripe never sent one, which is unknown."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 1000, got="2026-11-12T00:00")
    run.open("o1", "left", "in_flight", amount=1000)
    got = computed(run)
    assert one(got, "feed_freshness", "shop")["value"] == 48.0
    stripe = one(got, "feed_freshness", "stripe")
    assert (stripe["value"], stripe["state"]) == (None, "unknown")
    assert stripe["note"] == "no file was received yet"


# --- False matches -----------------------------------------------------------------------------
AUDIT = {"wrong": pl.Boolean, "inclusion_probability": pl.Float64}


@pytest.mark.parametrize(
    "audited",
    [
        None,
        pl.DataFrame(schema=AUDIT),
        pl.DataFrame({"wrong": [True], "inclusion_probability": [None]}, schema=AUDIT),
    ],
)
def test_without_logged_draws_false_matches_are_unknown(audited):
    """Labels that were not drawn at random estimate nothing."""
    row = one(computed(whole_story(), audited=audited), "false_match_estimate")
    assert (row["value"], row["state"]) == (None, "unknown")
    assert row["note"] == "no audit label with a logged inclusion probability"


def test_draws_are_weighted_by_their_logged_probability():
    """One wrong drawn at 1/2, two right at 1/4: 2 of 10 automatic matches are wrong."""
    audited = pl.DataFrame(
        {"wrong": [True, False, False], "inclusion_probability": [0.5, 0.25, 0.25]}, schema=AUDIT
    )
    row = one(computed(whole_story(), audited=audited), "false_match_estimate")
    assert share(row) == (1, 3, 0.2, "known")
    assert "an estimate, no certificate" in row["note"]


# --- The whole ---------------------------------------------------------------------------------
def test_every_indicator_is_defined_and_every_definition_computed():
    """What reports print and what is computed are the same list, in the stored columns."""
    got = computed(timed(), ny("2026-11-05T09:00"))
    assert dict(got.schema) == model.SLI_SCHEMA
    missing = {d.name for d in DEFINITIONS} ^ set(got["name"])
    assert missing == {"unexplained_amount"}  # nothing is unexplained, so no currency has a row
    units = {r["name"]: r["unit"] for r in got.to_dicts()}
    assert units == {name: definition(name).unit for name in units}
    for row in got.to_dicts():
        assert (row["value"] is None) == (row["state"] == "unknown")


def test_every_indicator_says_what_it_counts_by_which_clock():
    """The docstring of each names its unit and its clock."""
    functions = (
        "match_rate", "match_rate_money", "false_match_estimate", "time_to_reconcile",
        "queue_depth", "blocking_cases", "backlog_age", "unexplained_amount", "case_rate",
        "feed_freshness",
    )  # fmt: skip
    for name in functions:
        text = inspect.getdoc(getattr(indicators, name))
        assert "Unit:" in text
        assert "Clock:" in text


def test_stored_runs_give_the_same_values_as_fresh_results():
    """Views with several runs and reconciliations are cut down to the run that was asked for."""
    run = whole_story()
    with run.engine() as engine:
        cases.find_cases(engine, run.rec, run.settings, MATURE, pl.DataFrame())
        fresh = indicators.compute(engine, run.rec, run.settings, MATURE)
        for name in ("matches", "match_members", "open_items", "findings"):
            frame = engine.rows(f"from out_{name}")
            both = [frame.with_columns(run_id=pl.lit(r)) for r in ("run1", "run2")]
            engine.put(name, pl.concat(both))
        tables = indicators.Tables("matches", "match_members", "open_items", "findings", "run2")
        stored = indicators.compute(engine, run.rec, run.settings, MATURE, tables=tables)
    assert fresh.equals(stored)


def test_coverage_is_judged_by_the_event_not_by_its_outcome():
    """Where the other side's files end too early, matched and unmatched leave the week alike."""
    run = SmallRun()
    run.event("o1", "order", "shop", "2026-11-02", 1000)
    run.event("o2", "order", "shop", "2026-11-02", 1000)
    run.event("o3", "order", "shop", "2026-11-06", 1000)
    run.event("p1", "payment", "stripe", "2026-11-03", 1000)
    run.event("p3", "payment", "stripe", "2026-11-07", 1000)
    run.match("m1", ["o1:principal"], ["p1:part"], (1000, 1000))
    run.match("m3", ["o3:principal"], ["p3:part"], (1000, 1000))
    run.open("o2", "left", "overdue", amount=1000)
    for told in run.artefacts:
        told["covers_from"], told["covers_to"] = ny("2026-10-30T00:00"), ny("2026-11-10T00:00")

    rate = one(computed(run), "match_rate", "2026-W45")

    assert share(rate) == (1, 2, 0.5, "known")
