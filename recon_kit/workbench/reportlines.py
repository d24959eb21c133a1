"""The lines of the weekly health report that show an event: table, row and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recon_kit import workdays
from recon_kit.ledger.engine import Engine
from recon_kit.present.base import About
from recon_kit.present.health import attention
from recon_kit.settings import Settings
from recon_kit.workbench import queries

# Under which heading a state is added up; see `present.summary.scoreboard`.
_HEADINGS = {
    "matched": "Matched", "residual": "Unexplained", "overdue": "Unexplained",
    "proposed": "Proposed", "in_flight": "In flight", "not_covered": "Not covered",
}  # fmt: skip

_LEFT_SHOWN = 6
_LEFT = f"""
    with {queries.LEFT_SIDE}
    select s.reconciliation, s.state, s.event_key, e.currency, $clock as clock,
        {queries.LABEL} as name, s.event_key in $asked as own
    from (from left_side where event_key in $shown) s
    join (from events where event_key in $shown) e using (event_key)
    order by s.reconciliation, own desc, e.event_ts, s.event_key, s.state
"""


@dataclass(frozen=True)
class Place:
    """Where a report comes from: its settings, the runs it speaks of, the folder it lies in."""

    settings: Settings
    about: About
    reports: Path


def lines(
    engine: Engine, place: Place, keys: Sequence[str], standing: pl.DataFrame
) -> tuple[str, ...]:
    """Sentences that lead from events to the report.

    Args:
        engine: shows the current runs.
        place: of the reports.
        keys: the events.
        standing: where they stand (`lineage.standing`).
    """
    clock = workdays.clock_sql("e.event_ts", "e.ts_precision", place.about.zone)
    asked = engine.among("asked_keys", keys)
    mine = queries.matches_of(engine, keys)
    beside = engine.rows(
        "select distinct event_key from match_members where side = 'left'"
        f" and match_id in {engine.among('asked_ids', mine['match_id'])} order by all"
    )
    both = engine.among("shown_keys", [*keys, *beside["event_key"]])
    query = _LEFT.replace("$clock", clock).replace("$asked", asked).replace("$shown", both)
    left = engine.rows(query).to_dicts()
    told = [_week_line(row, place.about.zone, place.reports) for row in left[:_LEFT_SHOWN]]
    if len(left) > _LEFT_SHOWN:
        told.append(f"and {len(left) - _LEFT_SHOWN:,} further left items, each in its own week")
    total, shown = attention(queries.open_items(engine), place.settings.workspace.currency)
    lines_of = {item: line for line, item in enumerate(shown["item_id"], 1)}
    for row in standing.filter(pl.col("what") == "open item").to_dicts():
        line = lines_of.get(row["id"])
        if line is not None:
            told.append(f"Largest of {total:,} open items: line {line}, open item {row['id'][:10]}")
        elif row["state"] not in {"in flight", "not covered"}:
            told.append(
                f"not among the {shown.height} largest open items that the report lists; "
                f"`recon export open-items` has it as {row['id'][:10]}"
            )
    told += [
        f"Open cases by kind: {row['state'].replace('_', ' ')}; `recon queue` has it as "
        f"{row['id'][:10]}"
        for row in standing.filter(pl.col("what") == "case").to_dicts()
    ]
    return tuple(dict.fromkeys(told))


def _week_line(row: dict[str, object], zone: str, folder: Path) -> str:
    heading = _HEADINGS[str(row["state"])]
    rec = str(row["reconciliation"]).replace("_", " ")
    through = "" if row["own"] else f", with {row['name']}"
    if row["clock"] is None:
        return f"{rec}: an event without a time stands in no week's table"
    week = workdays.week_of(row["clock"], zone)  # type: ignore[arg-type]
    rendered = ", ".join(p.name for p in sorted(folder.glob(f"weekly_health_{week}_*.html")))
    where = f" ({rendered})" if rendered else f" (`recon report weekly_health --week {week}`)"
    return (
        f"{week}, Left items of the week by state: {rec}, {row['currency']}, under "
        f"{heading}{through}{where}"
    )
