"""Which telling of an event counts: views `event_versions`, `current_events` and `who`.

Of several tellings of one event the newest counts. Few events are ever told with other content,
so these are looked up once, by the place of their rows (file and row number, two integers), and
every later reading goes through the files once: a row whose place is not on the short list is as
it was written. Sources that never told an event otherwise are read as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.changes import files_by_kind
from recon_kit.ledger.columns import duckdb_types, names, stored
from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.files import Places
from recon_kit.ledger.seal import parquet_list
from recon_kit.safe import quote_ident

# What is known of an event only once all its tellings are: the place of one among them.
_RESOLVED = {
    "version_order": "coalesce(t.version_order, s.version_order)",
    "restated": "s.restated or t.current is not null",
    "conflict": "coalesce(t.conflict, s.conflict)",
}


@dataclass(frozen=True)
class Files:
    """Segments of facts by what has to be done to read them.

    `plain` are of sources that never told an event otherwise; `revised` are of the other sources;
    `telling` are those of them that hold such rows. By kind: `events` and `who`.
    """

    plain: Mapping[str, list[Path]]
    revised: Mapping[str, list[Path]]
    telling: Mapping[str, list[Path]]


def files_of(places: Places, segments: pl.DataFrame, cut: Mapping[Path, Path]) -> Files:
    """Sort the segments of facts of a snapshot; `cut` are files to be read in place of others."""
    marked = pl.col("restated") > 0
    revised = pl.col("source").is_in(segments.filter(marked)["source"].to_list())
    return Files(
        *(
            files_by_kind(places, segments.filter(which), cut)
            for which in (~revised, revised, marked)
        )
    )


def make_views(engine: Engine, files: Files) -> None:
    """Leave the three views, and table `tellings` where an event was told with other content."""
    events, who = duckdb_types(model.EVENT_SCHEMA), duckdb_types(model.WHO_SCHEMA)
    plain = stored(files.plain.get("events", []), events)
    people = stored(files.plain.get("who", []), who)
    if not files.revised.get("events"):
        engine.run(
            Step("event_versions", f"create temp view event_versions as {plain}"),
            Step("current_events", "create temp view current_events as from event_versions"),
            Step("who", f"create temp view who as {people}"),
        )
        return
    revised = f"""
        select {", ".join(_column(name) for name in events)}
        from (select {names(events)}, file_index, file_row_number
              from {parquet_list(files.revised["events"])}) s
        left join tellings t using (file_index, file_row_number)"""
    engine.run(
        tellings_step(files),
        Step(
            "event_versions",
            f"create temp view event_versions as ({plain}) union all {revised}",
            "every telling, with what is known of its event now",
        ),
        Step(
            "current_events",
            f"create temp view current_events as ({plain}) union all {revised}"
            " where t.current is not false",
            "the newest telling of each event",
        ),
        Step(
            "who",
            f"""
            create temp view who as ({people}) union all
            from ({stored(files.revised.get("who", []), who)}) w anti join
            (from tellings where not current) t using (event_key, payload_hash)""",
            "personal fields of the newest telling",
        ),
    )


def tellings_step(files: Files) -> Step:
    """Leave `tellings`: every telling of the events that were told with several contents.

    Columns: file_index, file_row_number (its place), event_key, payload_hash, version_order,
    conflict, current.
    """
    return Step(
        "tellings",
        f"""
        create temp table tellings as
        with several as (
            select distinct event_key from {parquet_list(files.telling["events"])} where restated
        ),
        told as (
            select file_index, file_row_number, event_key, payload_hash, fixed_hash, version_order
            from {parquet_list(files.revised["events"])} semi join several using (event_key)
        ),
        again as (
            select payload_hash, max(version_order) as last_order from retold
            where payload_hash in (select payload_hash from told) group by payload_hash
        ),
        newest as (
            select file_index, file_row_number, event_key, payload_hash, fixed_hash,
                greatest(version_order, coalesce(last_order, version_order)) as version_order
            from told left join again using (payload_hash)
        )
        select file_index, file_row_number, event_key, payload_hash, version_order,
            min(fixed_hash) over one_event <> max(fixed_hash) over one_event as conflict,
            row_number() over (
                partition by event_key
                order by version_order desc, payload_hash, file_index, file_row_number) = 1
                as current
        from newest window one_event as (partition by event_key)""",
        "events told with several contents; a content counts from when it was last told",
    )


def _column(name: str) -> str:
    quoted = quote_ident(name)
    return f"{_RESOLVED[name]} as {quoted}" if name in _RESOLVED else f"s.{quoted}"
