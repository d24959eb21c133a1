"""Due times, escalation and the order of the queue."""

from __future__ import annotations

import polars as pl
import pytest
from small_run import SmallRun, frame, ny

from recon_kit import model
from recon_kit.errors import ReconError
from recon_kit.ledger.engine import open_engine
from recon_kit.resolution import clocks

SETTINGS = SmallRun().settings


def case(case_id, priority, opened, amount, klass="C"):
    return {
        "case_id": case_id, "priority": priority, "opened_at": ny(opened), "class": klass,
        "amount_minor": amount, "reconciliation": "orders_to_payments",
    }  # fmt: skip


def queue(rows, as_of) -> pl.DataFrame:
    with open_engine(threads=1) as engine:
        engine.put("out_findings", frame(model.RUN_TABLES["findings"], rows))
        return clocks.queue(engine, SETTINGS, ny(as_of))


@pytest.mark.parametrize(
    ("priority", "opened", "due"),
    [
        ("P1", "2026-11-13T15:00", "2026-11-16T11:00"),  # Friday 15:00: two hours, then Monday
        ("P2", "2026-11-13T15:00", "2026-11-17T00:00"),  # by the end of Monday
        ("P3", "2026-11-13T15:00", "2026-11-19T00:00"),
        ("P4", "2026-11-13T15:00", "2026-11-21T00:00"),
    ],
)
def test_due_times_rest_at_weekends(priority, opened, due):
    """Four business hours, one, three and five business days, in Python and in the queue."""
    assert clocks.due_at(priority, ny(opened), SETTINGS) == ny(due)
    got = queue([case("c1", priority, opened, 1)], "2026-11-14T12:00")
    assert got["due_at"].to_list() == [ny(due)]


def test_an_unknown_priority_has_no_clock():
    """The message names the known ones."""
    with pytest.raises(ReconError, match="no clock for priority 'P9'; known: P1, P2, P3, P4"):
        clocks.due_at("P9", ny("2026-11-13T15:00"), SETTINGS)


@pytest.mark.parametrize(
    ("as_of", "overdue", "level"),
    [
        ("2026-11-15T23:00", False, 0),  # Sunday: nothing moved since Friday
        ("2026-11-16T10:00", False, 0),
        ("2026-11-17T00:00", True, 1),  # one business day is over
        ("2026-11-19T00:00", True, 2),  # three are
    ],
)
def test_cases_escalate_after_one_and_three_business_days(as_of, overdue, level):
    """A P2 case of Friday 15:00 is late, and escalates, when Monday is over."""
    got = queue([case("c1", "P2", "2026-11-13T15:00", 1)], as_of).row(0, named=True)
    assert (got["overdue"], got["escalation"]) == (overdue, level)


def test_the_queue_is_sorted_by_urgency_then_money_then_name():
    """Class A is no work; unknown money comes after known money of the same priority."""
    rows = [
        case("c1", "P3", "2026-11-16T12:00", None),
        case("c2", "P3", "2026-11-16T12:00", 500),
        case("c3", "P1", "2026-11-16T12:00", 100),
        case("c5", "P3", "2026-11-16T12:00", 900),
        case("c4", "P3", "2026-11-16T12:00", 900),
        case("c6", "P1", "2026-11-16T12:00", 900, "A"),
    ]
    got = queue(rows, "2026-11-17T18:00")
    assert got["case_id"].to_list() == ["c3", "c4", "c5", "c2", "c1"]
    assert got["age_hours"].to_list() == [30.0] * 5
    assert got.columns == [
        *model.RUN_TABLES["findings"], "due_at", "overdue", "escalation", "age_hours",
    ]  # fmt: skip


def test_an_empty_queue_has_its_columns():
    """No case is a queue, too."""
    got = queue([], "2026-11-17T18:00")
    assert got.height == 0
    assert "due_at" in got.columns
