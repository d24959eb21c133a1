"""Helpers for tests of feeds: what a feed makes of a file, compared with what it should make.

A golden case is a sample file and, beside it, the events that it must become:

    tests/golden/my_feed/refunds.csv
    tests/golden/my_feed/refunds.csv.expected.json

A test is one call, `check_golden(feed, path)`. When the expectation changes on purpose, run the
tests once with `RECON_GOLDEN=write` in the environment and read the difference in version
control.
"""

from __future__ import annotations

import difflib
import json
import os
from datetime import date, datetime
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ingestion.feed import Feed, FeedContext, Told, normal_header, stack_carry
from recon_kit.ingestion.gate import pass_gate
from recon_kit.ingestion.reader import Caps, open_records, read_head

SWITCH = "RECON_GOLDEN"


def tell_file(
    feed: Feed, path: Path, *, workspace_timezone: str = "UTC", block_rows: int | None = None
) -> Told:
    """What a feed makes of a whole file, without a store.

    Args:
        feed: the feed, made with its source.
        path: the file.
        workspace_timezone: zone of the workspace.
        block_rows: rows per block; small ones show whether the feed depends on the cut.

    Returns:
        All events in file order, all problems (the reader's among them) and all warnings.

    Raises:
        FileRejectedError: the file as a whole cannot be read.
        AssertionError: a column that the feed needs is absent, or records are lost or counted
            twice.
    """
    caps = Caps() if block_rows is None else Caps(block_rows=block_rows)
    records = open_records(
        path, feed.dialect(read_head(path)), caps=caps, keeps_together=feed.together()
    )
    _need_columns(feed, records.header)
    context = FeedContext(feed.source, workspace_timezone, path.name, records.preamble)
    told = [Told(pl.DataFrame(schema=model.TOLD))]
    told += [feed.tell(block, context) for block in records.blocks()]
    carries = [part.carry for part in told if part.carry]
    last = feed.finish(stack_carry(carries), context) if carries else None
    told += [last] if last is not None else []
    whole = _together([pass_gate(part, strict_signs=feed.strict_signs) for part in told])
    unread = records.bad.drop("raw_line")
    counted = int(whole.events["records"].sum()) + int(whole.problems["records"].sum())
    wanted = records.physical - records.blank - unread.height
    if counted != wanted:
        raise AssertionError(
            f"{path.name}: {wanted} records were given to the feed and {counted} are accounted "
            "for; every record belongs to exactly one event or problem"
        )
    return Told(whole.events, pl.concat([unread, whole.problems]), whole.warnings)


def golden_text(told: Told) -> str:
    """Events, problems and warnings as JSON that people can read: no nulls, one field a line."""
    body = {
        "events": [_shown(row) for row in told.events.iter_rows(named=True)],
        "problems": [_shown(row) for row in told.problems.iter_rows(named=True)],
        "warnings": dict(sorted(told.warnings.items())),
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def check_golden(feed: Feed, sample: Path, *, workspace_timezone: str = "UTC") -> Told:
    """Compare what a feed makes of a sample with the expectation beside it.

    Args:
        feed: the feed, made with its source.
        sample: the sample file; the expectation is `<sample>.expected.json`.
        workspace_timezone: zone of the workspace.

    Returns:
        What the feed told, for further assertions.

    Raises:
        AssertionError: they differ; the message is the difference and how to accept it.
    """
    told = tell_file(feed, sample, workspace_timezone=workspace_timezone)
    actual = golden_text(told)
    expected_path = sample.with_name(sample.name + ".expected.json")
    if os.environ.get(SWITCH) == "write":
        expected_path.write_text(actual, encoding="utf-8")
        return told
    if not expected_path.exists():
        raise AssertionError(
            f"{expected_path.name} does not exist; run the test once with {SWITCH}=write"
        )
    expected = expected_path.read_text(encoding="utf-8")
    if expected != actual:
        lines = difflib.unified_diff(
            expected.splitlines(), actual.splitlines(), "expected", "actual", lineterm="", n=4
        )
        raise AssertionError(
            f"{sample.name} became other events; if that is meant, run with {SWITCH}=write\n"
            + "\n".join(lines)
        )
    return told


def _need_columns(feed: Feed, header: tuple[str, ...]) -> None:
    present = {normal_header(name) for name in header}
    for name, spellings in feed.columns().items():
        if not any(normal_header(s) in present for s in spellings):
            raise AssertionError(f"the sample lacks the column {name!r} that the feed needs")


def _together(told: list[Told]) -> Told:
    warnings: dict[str, int] = {}
    for part in told:
        for text, count in part.warnings.items():
            warnings[text] = warnings.get(text, 0) + count
    events = pl.concat([part.events for part in told])
    return Told(
        events.sort("record_row", "records", "event_id", descending=[False, True, False]),
        pl.concat([part.problems for part in told]).sort("record_row"),
        warnings,
    )


def _shown(row: dict[str, object]) -> dict[str, object]:
    return {
        name: value.isoformat() if isinstance(value, date | datetime) else value
        for name, value in row.items()
        if value is not None
    }
