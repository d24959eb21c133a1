"""One clock on every screen: the workspace's zone, and a day told alone stays that day."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from conftest import SHOP

from recon_kit.workbench.bench import Workbench

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BERLIN = """Receipt,Day,Total,E-mail
#1002,2026-11-03,25.50,bo@example.com
#1004,2026-11-19,40.00,di@example.com
"""
CARD = """Id,Order,Date,Amount
c2,1002,2026-11-04 02:30:00,20.00
c9,9999,2026-11-10 03:15:00,7.00
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A workspace in New York: the till in Berlin tells days alone, the card tells UTC times."""
    return _opened(tmp_path_factory.mktemp("days"), BERLIN)


def _opened(folder, till):
    settings = SHOP.replace('timezone = "UTC"', 'timezone = "America/New_York"', 1)
    settings = settings.replace('timezone = "UTC"', 'timezone = "Europe/Berlin"', 1)
    parts = settings.rpartition('date_formats = ["%Y-%m-%d"]')
    settings = parts[0] + 'date_formats = ["%Y-%m-%d %H:%M:%S"]' + parts[2]
    (folder / "recon.toml").write_text(settings, encoding="utf-8")
    made = Workbench(folder, clock=lambda: NOW)
    for source, text in (("till", till), ("card", CARD)):
        (folder / f"{source}.csv").write_text(text, encoding="utf-8")
        made.ingest(source, folder / f"{source}.csv")
    made.reconcile()
    return made


def test_why_shows_the_day_that_was_told_and_the_shops_own_evening(bench):
    """3 November in Berlin, and 02:30 UTC of the 4th, which is still the 3rd in New York."""
    view = bench.why("#1002")

    assert view.members.select("native_id", "ts_precision").rows() == [
        ("#1002", "date"), ("c2", "second"),
    ]  # fmt: skip
    assert "2026-11-03" in view.text()
    assert "2026-11-04" not in view.text()


def test_history_says_a_time_only_where_one_was_told(bench):
    """The order of 3 November has no clock; the payment came at 21:30 in New York."""
    told = bench.history("1002")

    lines = [line for line in told.text().splitlines() if "  fact  " in line]
    assert [line[:16].rstrip() for line in lines] == ["2026-11-03", "2026-11-03 21:30"]
    assert "<time>2026-11-03</time>" in told.html()


def test_open_items_and_their_export_name_the_same_day(bench):
    """#1004 of 19 November; c9 came on the evening of the 9th in New York."""
    shown = bench.summary().text()
    out = bench.export("open-items", "open.csv").path
    days = pl.read_csv(out).select("native_id", "event_day", "event_ts").sort("native_id").rows()

    assert "2026-11-19" in shown
    assert "2026-11-18" not in shown
    assert [d for d in days if d[0] != "#1002"] == [
        ("#1004", "2026-11-19", "2026-11-18T23:00:00Z"),
        ("c9", "2026-11-09", "2026-11-10T03:15:00Z"),
    ]


def test_a_monday_told_alone_stands_in_its_own_week(tmp_path):
    """The midnight of Berlin is Sunday evening in New York; the order is of week 45 all the same.

    Its five days begin with that Monday, so they end with Saturday in New York.
    """
    bench = _opened(tmp_path, BERLIN + "#1001,2026-11-02,9.90,cy@example.com\n")

    before, week = (bench.health(name).frame for name in ("2026-W44", "2026-W45"))
    assert before.height == 0
    assert week.select("all", "all_minor").rows() == [(2, 3540)]
    rates = bench.slis().frame.filter(name="match_rate").filter(pl.col("cohort") != "all")
    assert rates.select("cohort", "denominator").rows() == [("2026-W45", 1), ("2026-W47", 0)]
    items = bench.summary().open_items.filter(native_id="#1001")
    assert items["expected_by"].to_list() == [datetime(2026, 11, 7, 5, tzinfo=UTC)]
    assert "2026-W45, Left items of the week by state" in bench.trace("#1001").text()


def test_trace_tells_the_value_of_a_date_in_the_shops_zone(bench):
    """The column Day of the till is a day; the card's time is told with its zone."""
    till, card = (bench.trace(e).text() for e in ("#1004", "c9"))

    assert "2026-11-19" in till
    assert "2026-11-18 18:00" not in till
    assert "2026-11-09 22:15:00 America/New_York" in card


def test_lists_of_words_and_of_a_persons_events_keep_the_same_clock(bench):
    """Said at noon UTC is seven in the morning in New York; the told day stays a day."""
    bench.decide("#1004", verdict="no_counterpart", reviewer="ana")
    said, found = bench.decisions().text(), bench.erase("#1004", reason="asked to").text()

    assert "2026-11-20 07:00" in said
    assert "2026-11-20 12:00" not in said
    assert "2026-11-19 " in found
    assert "2026-11-18" not in found
