"""Checks of what was ingested: one test that they find what is wrong, one that they keep quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recon_kit import model, settings
from recon_kit.ingestion import checks
from recon_kit.ingestion.checks import CHECKS, findings_frame, run_checks
from recon_kit.ingestion.headers import header_frame
from recon_kit.ledger.engine import open_engine

AS_OF = datetime(2026, 3, 10, 12, tzinfo=UTC)
SETTINGS = settings.loads("""
[workspace]
name = "acme"
timezone = "America/New_York"
[[sources]]
name = "psp"
feed = "stripe.payout_reconciliation"
owner = "payments"
cadence = "1d"
[[sources]]
name = "shop"
feed = "shopify.orders_csv"
""")
BATCH = {
    "source": "psp", "artefact_sha256": "a1", "physical": 10, "accepted": 6, "duplicate": 1,
    "conflict": 1, "quarantined": 1, "blank": 1,
}  # fmt: skip


def event(number: int, **fields: object) -> dict[str, object]:
    base = {
        "event_key": f"k{number}", "event_id": f"e{number}", "source": "psp", "records": 1,
        "event_type": "payment", "currency": "USD", "conflict": False, "derived_id": False,
    }  # fmt: skip
    return base | fields


def found(check, events=(), *, batches=None, headers=None, artefacts=()):
    """What one check finds in a small ledger, without its messages' numbers of days."""
    received = {"source": pl.String(), "received_at": model.UTC}
    with open_engine() as engine:
        engine.put("events", pl.DataFrame(list(events), schema=model.EVENT_SCHEMA))
        engine.put("artefacts", pl.DataFrame(list(artefacts), schema=received, orient="row"))
        if batches is not None:
            engine.put("batches", pl.DataFrame(batches))
        if headers is not None:
            engine.put("headers", pl.DataFrame(headers))
        return check(engine, SETTINGS, AS_OF)


def test_row_parity_finds_lost_records():
    """A file whose records do not add up is an error; quarantined ones are a warning."""
    batches = [BATCH, BATCH | {"artefact_sha256": "a2", "physical": 11, "quarantined": 0}]
    result = found(checks.check_row_parity, batches=batches)

    assert [(f.severity, f.count, f.examples) for f in result] == [
        ("error", 1, ("a2",)),
        ("warn", 1, ("a1",)),
    ]
    assert result[1].message == (
        "records are quarantined: 1; see `recon profile SOURCE` for their reasons"
    )


def test_row_parity_without_counts_says_so():
    """A check that lacks its table does not pass in silence."""
    result = found(checks.check_row_parity)

    assert result[0].message.startswith("not checked: the engine has no table 'batches'")


def test_unique_ids():
    """An id on two events is an error; a repeated native id and a conflict are warnings."""
    rows = [
        event(1, event_id="x"),
        event(2, event_id="x"),
        event(3, native_id="#7"),
        event(4, native_id="#7", conflict=True),
        event(5, event_id="y", derived_id=True),
        event(6, event_id="y", derived_id=True),
    ]
    result = found(checks.check_unique_ids, rows)

    assert [(f.severity, f.count, f.examples) for f in result] == [
        ("error", 1, ("x",)),
        ("warn", 1, ("#7",)),
        ("warn", 1, ("k4",)),
    ]


def test_relationships():
    """A refund without its payment, members without payout and a payout without members."""
    rows = [
        event(1, external_ids='{"charge_id":"ch_1"}', payout_id="po_1"),
        event(2, event_type="refund", parent_key="ch_1", payout_id="po_1"),
        event(3, event_type="refund", parent_key="ch_9"),
        event(4, event_type="payout", payout_id="po_2"),
    ]
    result = found(checks.check_relationships, rows)

    assert [(f.count, f.examples) for f in result] == [
        (1, ("k3",)),
        (1, ("po_1",)),
        (1, ("po_2",)),
    ]


def test_money():
    """A broken net, a wrong sign, a missing currency and a payout that does not add up."""
    rows = [
        event(1, amount=100, fee=3, net=96, payout_id="po_1"),
        event(2, amount=-100),
        event(3, amount=-50, status="charge_failure"),
        event(4, amount=5, currency=None),
        event(5, event_type="payout", amount=97, fee=1, net=98, payout_id="po_1"),
    ]
    result = found(checks.check_money, rows)

    assert [(f.severity, f.count, f.examples) for f in result] == [
        ("warn", 1, ("k1",)),
        ("warn", 1, ("k2",)),
        ("error", 1, ("k4",)),
        ("warn", 1, ("po_1",)),
    ]


def test_coverage_finds_a_silent_monday():
    """A weekday that usually has rows and once has none is named; weekends are not."""
    first = datetime(2026, 1, 5, 17, tzinfo=UTC)
    days = [first + timedelta(days=d) for d in range(42)]
    rows = [
        event(i, event_ts=day) for i, day in enumerate(days) if day.weekday() < 5 and day.day != 19
    ]
    result = found(checks.check_coverage, rows)

    assert [(f.count, f.examples) for f in result] == [(1, ("2026-01-19",))]


def test_coverage_is_quiet_for_a_young_source():
    """Less than four weeks say nothing about what is usual."""
    rows = [event(1, event_ts=datetime(2026, 1, d, tzinfo=UTC)) for d in (5, 20)]

    assert found(checks.check_coverage, rows) == []


@pytest.mark.parametrize(
    ("artefacts", "words"),
    [
        ([], "no file has ever come"),
        ([("psp", datetime(2026, 3, 8, 12, tzinfo=UTC))], "the last file came on 2026-03-08 12:00"),
    ],
)
def test_heartbeat_misses_a_file(artefacts, words):
    """A source with a cadence that is silent for longer is an error that names whom to ask."""
    result = found(checks.check_heartbeat, artefacts=artefacts)

    assert [f.source for f in result] == ["psp"]
    assert words in result[0].message
    assert result[0].message.endswith("ask payments")


def test_heartbeat_is_quiet_in_time():
    """A file within the cadence is enough, and a source without cadence is never late."""
    assert found(checks.check_heartbeat, artefacts=[("psp", AS_OF - timedelta(hours=20))]) == []


def test_schema_drift():
    """A column that went away is an error, one that came is a warning; order is neither."""

    def header(name, day, columns, source="psp"):
        return {
            "source": source, "name": name, "received_at": datetime(2026, 3, day, tzinfo=UTC),
            "columns": columns,
        }  # fmt: skip

    headers = [
        header("1.csv", 1, "id\tgross\tnet"),
        header("2.csv", 2, "net\tid\tfee"),
        header("a.csv", 1, "Name\tTotal", "shop"),
        header("b.csv", 2, "Total\tName", "shop"),
    ]
    result = found(checks.check_schema_drift, headers=headers)

    assert [(f.source, f.severity, f.count, f.examples) for f in result] == [
        ("psp", "error", 2, ("2.csv",)),
    ]
    assert "the header lost 'gross' and gained 'fee'" in result[0].message


def test_headers_are_read_from_the_raw_files(tmp_path):
    """The headers of the last two files of each declared source are told, in the feed's dialect."""
    texts = ["Name,Total\n", "Name;Total;Currency\n", "Name\n"]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_text(text, encoding="utf-8")
    artefacts = pl.DataFrame(
        [(str(n), "shop", f"{n}.csv", AS_OF + timedelta(days=n)) for n in range(3)]
        + [("9", "unknown", "9.csv", AS_OF)],
        schema={
            "sha256": pl.String(), "source": pl.String(), "name": pl.String(),
            "received_at": model.UTC,
        },
        orient="row",
    )  # fmt: skip

    headers = header_frame(artefacts, tmp_path.joinpath, SETTINGS)
    assert headers["columns"].to_list() == ["Name\tTotal\tCurrency", "Name"]


def test_all_checks_run_together():
    """Every finding of every check comes in one fixed order, errors first, and as a frame."""
    with open_engine() as engine:
        engine.put("events", pl.DataFrame(
            [event(1, amount=5, currency=None)], schema=model.EVENT_SCHEMA))  # fmt: skip
        engine.put("artefacts", pl.DataFrame(
            schema={"source": pl.String(), "received_at": model.UTC}))  # fmt: skip
        result = run_checks(engine, SETTINGS, AS_OF)

    frame = findings_frame(result)
    assert frame["check"].to_list() == ["heartbeat", "money", "row_parity", "schema_drift"]
    assert frame["severity"].to_list() == ["error", "error", "warn", "warn"]
    assert len(CHECKS) == 8


def days_of(counts, amounts=None, source="psp"):
    """Events of a source: so many on each day up to 2026-03-09, one amount each."""
    rows = []
    for back, number in enumerate(reversed(counts)):
        at = datetime(2026, 3, 9, 18, tzinfo=UTC) - timedelta(days=back)
        amount = 100 if amounts is None else amounts[len(counts) - 1 - back]
        rows += [
            event(len(rows) + i, source=source, event_ts=at, amount=amount, currency="USD")
            for i in range(number)
        ]
    return rows


def test_volume_finds_a_doubled_day():
    """Saturday 7 March brought 40 events where Saturdays bring 12."""
    counts = [12] * 70
    counts[-3] = 40

    result = found(checks.check_volume, days_of(counts))

    assert [(f.source, f.count, f.examples) for f in result] == [
        ("psp", 1, ("2026-03-07: 40 events, usually 12",))
    ]
    assert result[0].message == (
        "days that brought far more or far less than their weekday usually does: 1; was a file "
        "cut, doubled or mapped anew?"
    )


def test_volume_finds_a_day_that_all_but_stopped():
    """Two events instead of 30 are a cut file."""
    counts = [30] * 70
    counts[-2] = 2

    assert [f.examples for f in found(checks.check_volume, days_of(counts))] == [
        ("2026-03-08: 2 events, usually 30",)
    ]


def test_volume_finds_amounts_in_cents():
    """The same number of events, a hundred times the money: the mapping has changed."""
    counts, amounts = [12] * 70, [100] * 70
    amounts[-2] = 10_000

    assert [f.examples for f in found(checks.check_volume, days_of(counts, amounts))] == [
        ("2026-03-08: 1200.00 USD, usually 12.00",)
    ]


def test_volume_knows_quiet_weekends():
    """Weekdays of 30 and weekends of 3 are usual, every week anew."""
    counts = [3 if (day + 6) % 7 in {5, 6} else 30 for day in range(70)]

    assert found(checks.check_volume, days_of(counts)) == []


def test_volume_leaves_the_newest_day_and_young_sources_alone():
    """A day that may still be going on is not short; three weeks make no habit."""
    assert found(checks.check_volume, days_of([30] * 69 + [1])) == []
    assert found(checks.check_volume, days_of([10] * 20 + [60, 10])) == []
