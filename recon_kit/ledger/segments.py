"""Segments: what one batch or one run adds, as parquet files named by the sha256 of their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recon_kit import model
from recon_kit.ledger import files
from recon_kit.ledger.catalog import Writer
from recon_kit.ledger.columns import duckdb_types
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.keys import keys_sql
from recon_kit.ledger.seal import parquet_list
from recon_kit.safe import quote_ident


@dataclass(frozen=True, slots=True)
class Staged:
    """A segment on its way in: durable in `tmp/`, not yet under its name."""

    kind: str
    copy: Path
    sha256: str
    rows: int
    bytes: int
    restated: int = 0
    contested: int = 0
    named: int = 0


def stage(engine: Engine, places: files.Places, queries: Mapping[str, str]) -> list[Staged]:
    """Write each query's rows as a staged segment of that kind; none where there is no row."""
    found: list[Staged] = []
    try:
        for kind, query in queries.items():
            path = engine.write(query, f"segment_{kind}")
            rows = engine.one(f"select count(*) from {parquet_list([path])}")[0]
            assert isinstance(rows, int)  # noqa: S101 - count(*) is an integer
            if rows:
                copy, sha256, length = files.stage(path, places.tmp)
                found.append(Staged(kind, copy, sha256, rows, length))
            path.unlink()
    except BaseException:
        discard(found)
        raise
    return found


def discard(staged: Sequence[Staged]) -> None:
    """Remove staged files that will not be committed."""
    for one in staged:
        one.copy.unlink(missing_ok=True)


def commit_segments(
    writer: Writer,
    places: files.Places,
    staged: Sequence[Staged],
    *,
    source: str | None = None,
    run_id: str | None = None,
) -> None:
    """Name staged files for good and add their rows to the commit being written.

    Each folder is synced once, after all names are in it and before anything is committed.
    """
    for one in staged:
        files.name_for_good(one.copy, places.segment(one.kind, one.sha256))
    for folder in sorted({places.folder(one.kind) for one in staged}):
        files.sync_folder(folder)
    for one in staged:
        writer.insert(
            "segments", kind=one.kind, sha256=one.sha256, source=source, run_id=run_id,
            rows=one.rows, bytes=one.bytes, restated=one.restated, contested=one.contested,
            named=one.named,
        )  # fmt: skip


def batch_queries(seq: int) -> dict[str, str]:
    """Queries of a batch's segments over tables `accepted`, `again` and `quarantined`.

    Args:
        seq: sequence of the batch, which its events carry as `recorded_seq`.
    """
    events = ", ".join(
        f"cast({seq} as bigint) as recorded_seq" if name == "recorded_seq" else quote_ident(name)
        for name in model.EVENT_SCHEMA
    )
    who = ", ".join(quote_ident(c) for c in model.WHO_SCHEMA)
    told = " or ".join(f"{quote_ident(c)} is not null" for c in model.PERSONAL_FACTS)
    quarantine = ", ".join(quote_ident(c) for c in model.QUARANTINE_SCHEMA)
    in_file_order = "order by record_row, event_key, payload_hash"
    return {
        "events": f"select {events} from accepted {in_file_order}",
        "who": f"select {who} from accepted where {told} order by event_key, payload_hash",
        "keys": keys_sql("accepted"),
        "retold": f"select {', '.join(RETOLD)} from again {in_file_order}",
        "quarantine": f"select {quarantine} from quarantined order by record_row, code, raw_line",
    }


def columns_of(kind: str, *, merged: bool) -> dict[str, str]:
    """Columns of a kind of segment with DuckDB's types.

    Args:
        kind: of facts, or a run table.
        merged: with the sequence that rows of a merged file carry.
    """
    if kind in _FACTS:
        columns = dict(_FACTS[kind])
    else:
        schema = model.RUN_CHANGES if kind == "run_changes" else model.RUN_TABLES[kind]
        columns = {"run_id": "varchar", **duckdb_types(schema)}
    return columns | ({seq_column(kind): "bigint"} if merged else {})


def seq_column(kind: str) -> str:
    """The column of a merged file that holds the sequence each row came with."""
    return "recorded_seq" if kind == "events" else "merged_seq"


def order_of(kind: str) -> str:
    """What orders the rows of one sequence in a file; keys are sorted, all else as written."""
    keys = "key_hash, event_key, kind, key"
    return keys if kind == "keys" else "part, file_row_number"


# Tellings that added no content: which row said again what was known.
RETOLD: dict[str, str] = {
    "event_key": "varchar", "payload_hash": "varchar", "version_order": "varchar",
    "artefact_sha256": "varchar", "record_row": "bigint", "records": "bigint", "why": "varchar",
}  # fmt: skip
_FACTS: dict[str, dict[str, str]] = {
    "events": duckdb_types(model.EVENT_SCHEMA),
    "who": duckdb_types(model.WHO_SCHEMA),
    "keys": duckdb_types(model.KEYS_SCHEMA),
    "quarantine": duckdb_types(model.QUARANTINE_SCHEMA),
    "retold": RETOLD,
}
