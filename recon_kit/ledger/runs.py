"""Commit what a run derived: its tables as segments, its row, and which run is current."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit import model
from recon_kit.errors import LedgerError, nearest
from recon_kit.ledger import changes, digests, segments
from recon_kit.ledger.catalog import Catalog, Writer
from recon_kit.ledger.columns import run_rows
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.ledger.files import Places
from recon_kit.ledger.lock import writer_lock
from recon_kit.ledger.seal import parquet_list
from recon_kit.model import Run, StoredModel
from recon_kit.safe import quote_ident, quote_text

_RUN_FIELDS = tuple(f.name for f in fields(Run))
# What tells the rows of a long table apart: to compare all their columns takes a tenth longer.
_ORDER = {"matches": "match_id", "match_members": "match_id, event_key"}


@dataclass(frozen=True)
class Derived:
    """All that a run derived.

    `retaken` has the `match_id` of those matches of its base that were made anew; where it is
    given, the rows of all others belong to the run as well, and are not among its `tables`.
    """

    run: Run
    tables: Mapping[str, Path | pl.DataFrame]
    slis: pl.DataFrame | None = None
    model: StoredModel | None = None
    retaken: Path | None = None


def commit_run(places: Places, catalog: Catalog, derived: Derived, recorded_at: datetime) -> int:
    """Commit a run; see `Store.commit_run`."""
    run, tables = derived.run, derived.tables
    if (seq := _seq_of(catalog, run.run_id)) is not None:
        return seq
    unknown = sorted(set(tables) - set(model.RUN_TABLES))
    if unknown:
        raise LedgerError(
            f"no run table is called {unknown[0]!r}; {nearest(unknown[0], model.RUN_TABLES)}"
        )
    with ExitStack() as cleanup:
        with catalog.read() as reader:
            base = changes.base_of(reader, places, run.base_run_id)
        paths = [p for p in (*tables.values(), derived.retaken) if isinstance(p, Path)]
        engine = cleanup.enter_context(open_engine([*paths, *(base.paths if base else [])]))
        sources = {name: _source(engine, name, table) for name, table in tables.items()}
        retaken = parquet_list([derived.retaken]) if base and derived.retaken else None
        if base:
            changes.make_views(engine, base.files, base.parts)
        every = changes.whole(sources, retaken) if retaken else sources
        few = changes.queries(engine, run.run_id, base, sources, retaken) if base else None
        result_hash = run.result_hash or _hash(
            engine, every, changes.moved() if few else None, base
        )
        staged = segments.stage(engine, places, few or _queries(run.run_id, every))
        cleanup.callback(segments.discard, staged)
        cleanup.enter_context(writer_lock(places.lock, f"run {run.reconciliation}"))
        if (seq := _seq_of(catalog, run.run_id)) is not None:
            return seq
        with catalog.write() as writer:
            segments.commit_segments(writer, places, staged, run_id=run.run_id)
            if derived.model is not None and run.kind == "live":  # a shadow changes nothing
                insert_model(writer, derived.model)
            row = {name: getattr(run, name) for name in _RUN_FIELDS}
            writer.insert(
                "runs", **(row | {"result_hash": result_hash, "recorded_at": recorded_at})
            )
            if derived.slis is not None:
                for value in derived.slis.select(list(model.SLI_SCHEMA)).iter_rows(named=True):
                    writer.insert("sli_values", run_id=run.run_id, **value)
            if run.kind == "live":
                writer.insert("current_run", reconciliation=run.reconciliation, run_id=run.run_id)
            return writer.link("run")


def make_current(catalog: Catalog, run_id: str) -> int:
    """Make an earlier run the current one of its reconciliation; see `Store.make_current`."""
    with catalog.locked_write("moving the current run") as writer:
        found = writer.all("select reconciliation, kind from runs where run_id = ?", (run_id,))
        if not found:
            raise LedgerError(f"the ledger holds no run {run_id!r}.")
        reconciliation, kind = found[0]
        if kind != "live":
            raise LedgerError(f"run {run_id!r} is a {kind} run; only live runs become current.")
        now = writer.all(
            "select run_id, seq from current_run where reconciliation = ? "
            "order by seq desc limit 1",
            (reconciliation,),
        )
        if now and now[0][0] == run_id:
            return int(now[0][1])
        writer.insert("current_run", reconciliation=reconciliation, run_id=run_id)
        return writer.link("current_run")


def insert_model(writer: Writer, stored: StoredModel) -> bool:
    """Add a model unless it is the newest of its reconciliation; says whether it was added.

    Going back to an older model adds it once more: nothing is ever moved.
    """
    newest = writer.value(
        "select model_hash from models where reconciliation = ? order by seq desc limit 1",
        (stored.reconciliation,),
    )
    if newest == stored.model_hash:
        return False
    writer.insert(
        "models",
        model_hash=stored.model_hash,
        reconciliation=stored.reconciliation,
        json=stored.json,
    )
    return True


def find_runs(catalog: Catalog, where: str, parameters: tuple[Any, ...]) -> list[Run]:
    """Runs as records, oldest first."""
    with catalog.read() as reader:
        frame = reader.frame("runs", where, parameters)
    return [Run(**row) for row in frame.select(_RUN_FIELDS).iter_rows(named=True)]


def _hash(
    engine: Engine,
    every: Mapping[str, str],
    moved: tuple[Mapping[str, str], Mapping[str, str]] | None,
    base: changes.Base | None,
) -> str:
    """Hash of all rows; from the base's hash and the rows that moved, where these are known."""
    if base is None or moved is None or not digests.is_sum(base.result_hash):
        return digests.result_hash(engine, every)
    gone, come = moved
    return digests.moved(engine, str(base.result_hash), gone, come)


def _source(engine: Engine, name: str, table: Path | pl.DataFrame) -> str:
    """SQL that reads one run table, its columns and the words of a frame checked."""
    if isinstance(table, Path):
        source = parquet_list([table])
    else:
        for column, words in model.FEW_WORDS.get(name, {}).items():
            if column in table.columns and (
                strange := sorted(set(table[column].drop_nulls().to_list()) - set(words))
            ):
                raise LedgerError(
                    f"run table {name!r}: {strange[0]!r} is no {column}; "
                    f"{nearest(strange[0], words)}"
                )
        engine.put(f"given_{name}", table)
        source = quote_ident(f"given_{name}")
    present = engine.rows(f"select * from {source} limit 0").columns
    missing = [c for c in model.RUN_TABLES[name] if c not in present]
    if missing:
        raise LedgerError(f"run table {name!r} lacks column {missing[0]!r}.")
    return source


def _queries(run_id: str, sources: Mapping[str, str]) -> dict[str, str]:
    """Queries of the segments of a run: its rows with the run's id, in one order."""
    run = f"select {quote_text(run_id)} as run_id"
    return {
        name: f"{run}, * from ({run_rows(name, source)}) order by {_ORDER.get(name, 'all')}"
        for name, source in sources.items()
    }


def _seq_of(catalog: Catalog, run_id: str) -> int | None:
    with catalog.read() as reader:
        seq = reader.value("select seq from runs where run_id = ?", (run_id,))
    return None if seq is None else int(seq)
