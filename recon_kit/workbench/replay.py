"""Replay: everything that was received and said, told once more to a fresh store.

A ledger that is worth its name gives the same facts and results again, in whatever order its files
arrive. Files are read by the settings of today, so a corrected mapping is replayed over unchanged
history; what then comes out differently is the correction's effect, and is listed.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit import model
from recon_kit.errors import FileRejectedError, WorkspaceError
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ledger.digests import result_hash
from recon_kit.ledger.store import Store
from recon_kit.ledger.tables import SAID, TABLES
from recon_kit.model import Run
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Settings
from recon_kit.workbench.run import Request, code_hash, evaluate, facts_seq, settings_hash

Progress = Callable[[str], None]
# Cases carry their history (openings, owners' clocks), which belongs to the runs that found them.
_HISTORY = ("findings",)
_FACTS_CHANGED_MAX = 1_000
LATER = "files or answers came in after that run"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out again.

    `hashes` has a row for the facts and one per reconciliation: what, was, is, same, why (a word
    where they may differ by right). `changed` lists facts that read differently (at most 1,000):
    source, native_id, event_key, change (`only before`, `only now`, `other content`, `not kept`).
    `refused` are files that today's settings cannot read, with the reason. `untold` are files that
    left the ledger on purpose, with when and by whom: what they told is `not kept`. Where that, or
    what came in after a run, is the only reason for a difference `same` is null, for nobody can
    know.
    """

    hashes: pl.DataFrame
    changed: pl.DataFrame
    refused: tuple[str, ...]
    untold: tuple[str, ...] = ()


def replay(  # noqa: PLR0913 - what, by which settings, where to, in which order
    store: Store,
    settings: Settings,
    into: Path,
    *,
    now: datetime,
    shuffle: int | None = None,
    progress: Progress = lambda _: None,
) -> Replayed:
    """Tell a fresh store everything that this one was told, and compare.

    Args:
        store: the ledger to replay.
        settings: how files are read and reconciled, now.
        into: folder of the fresh store; must hold none.
        now: when the fresh store is made.
        shuffle: seed of another order of the files; theirs where not given.
        progress: told each stage.
    """
    gone = store.not_kept()
    received = store.artefacts().unique(["source", "sha256"], keep="first", maintain_order=True)
    here = ~pl.col("sha256").is_in(list(gone))
    untold = [
        f"{name}: {gone[sha]}; it cannot be told again"
        for name, sha in received.filter(~here).select("name", "sha256").iter_rows()
    ]
    with _folder(into.parent) as folder:
        fresh = Store.create(into, created_at=now, secret=store.audit_secret())
        refused = _files((store, fresh), settings, received.filter(here), folder, shuffle, progress)
        _said(store, fresh)
    facts, changed = _compare_facts(store, fresh, settings, list(gone))
    rows = [facts]
    for rec in settings.reconciliations:
        run = store.current_run(rec.name)
        if run is not None:
            progress(f"{rec.name}: evaluating again")
            rows.append(_evaluate(store, fresh, settings, run, part=bool(untold)))
    schema = {"what": pl.String, "was": pl.String, "is": pl.String, "same": pl.Boolean,
              "why": pl.String}  # fmt: skip
    hashes = pl.DataFrame(rows, schema=schema, orient="row")
    return Replayed(hashes, changed, tuple(refused), tuple(untold))


@contextmanager
def scratch(store: Store) -> Iterator[Path]:
    """A place beside a store for a replay that is thrown away."""
    with _folder(store.path.parent) as folder:
        yield folder / "store"


@contextmanager
def _folder(beside: Path) -> Iterator[Path]:
    base = os.environ.get("RECON_TEMP") or beside
    folder = Path(tempfile.mkdtemp(prefix="recon_replay_", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _files(  # noqa: PLR0913, PLR0917 - one loop over all files
    stores: tuple[Store, Store],
    settings: Settings,
    received: pl.DataFrame,
    folder: Path,
    shuffle: int | None,
    progress: Progress,
) -> list[str]:
    """Ingest every received file once, under its own name and with its own times."""
    store, fresh = stores
    rows = received.to_dicts()
    if shuffle is not None:
        random.Random(shuffle).shuffle(rows)  # noqa: S311 - an order to try, no secret
    refused: list[str] = []
    for number, row in enumerate(rows):
        raw = store.raw_path(row["sha256"])
        if not raw.exists():
            raise WorkspaceError(
                f"{row['name']}: its bytes are no longer in raw/ (sha256 {row['sha256'][:12]}), "
                "so the ledger cannot be replayed; restore raw/ from a backup"
            )
        place = folder / str(number)
        place.mkdir()
        copy = Path(shutil.copyfile(raw, place / Path(row["name"]).name))
        progress(f"{row['source']}: {row['name']}")
        try:
            ingest_file(
                fresh,
                settings.source(row["source"]),
                copy,
                workspace_timezone=settings.workspace.timezone,
                received_at=row["received_at"],
                as_of=row["as_of"],
            )
        except FileRejectedError as why:
            refused.append(str(why))
        shutil.rmtree(place)
    return refused


def _said(store: Store, fresh: Store) -> None:
    """Carry over what people said, in its order, and the models that were trained."""
    for row in store.rows("models").iter_rows(named=True):
        fresh.add_model(model.StoredModel(row["model_hash"], row["reconciliation"], row["json"]))
    entries = sorted(
        ((row["seq"], table, row) for table in SAID for row in store.rows(table).to_dicts()),
        key=lambda entry: entry[:2],
    )
    seqs: dict[int, int] = {}
    for seq, table, row in entries:
        seqs[seq] = fresh.append(table, _renumbered(table, row, seqs), row["recorded_at"])


def _renumbered(table: str, row: dict[str, Any], seqs: dict[int, int]) -> pl.DataFrame:
    """A row for the fresh store: what it takes back has another number there."""
    if table == "decisions" and row["undoes"] is not None:
        row = row | {"undoes": seqs[row["undoes"]]}
    kept = {name: value for name, value in row.items() if name not in {"seq", "recorded_at"}}
    return pl.DataFrame([kept], infer_schema_length=1).select(
        pl.col(name).cast(kind) for name, kind in TABLES[table].columns.items() if name in kept
    )


def _compare_facts(
    store: Store, fresh: Store, settings: Settings, gone: list[str]
) -> tuple[tuple[object, ...], pl.DataFrame]:
    """The facts as they are read: one line for the hashes, and what reads differently.

    What a file that is `gone` told, in whatever telling, cannot be compared: it is `not kept`.
    """
    precedence = {s.name: s.precedence for s in settings.sources}
    told = []
    for one in (store, fresh):
        with one.snapshot().engine(precedence=precedence) as engine:
            told.append(
                engine.rows(
                    "select event_key, source, coalesce(native_id, '') as native_id, payload_hash"
                    " from events order by event_key"
                )
            )
    was, now = told
    lost = _told_by(store, gone)
    hashes = [model.digest("facts", *frame["event_key"], *frame["payload_hash"]) for frame in told]
    both = was.join(now, on="event_key", how="full", coalesce=True, suffix="_now")
    changed = both.filter(pl.col("payload_hash").ne_missing(pl.col("payload_hash_now"))).select(
        pl.coalesce("source", "source_now").alias("source"),
        pl.coalesce("native_id", "native_id_now").alias("native_id"),
        "event_key",
        pl.when(pl.col("event_key").is_in(lost))
        .then(pl.lit("not kept"))
        .when(pl.col("payload_hash").is_null())
        .then(pl.lit("only now"))
        .when(pl.col("payload_hash_now").is_null())
        .then(pl.lit("only before"))
        .otherwise(pl.lit("other content"))
        .alias("change"),
    )
    unknown = changed.filter(pl.col("change") == "not kept").height
    other = changed.height - unknown
    told_why = {
        f"{other:,} of {was.height:,} facts read differently": other,
        f"{unknown:,} of {was.height:,} facts were told by files that are no longer kept": unknown,
    }
    why = "; ".join(text for text, number in told_why.items() if number)
    same = False if other else None if unknown else True
    return ("facts", *hashes, same, why), changed.sort("source", "event_key").head(
        _FACTS_CHANGED_MAX
    )


def _told_by(store: Store, gone: list[str]) -> list[str]:
    """Events that one of these files told, or that were not read while such an event was."""
    if not gone:
        return []
    with store.snapshot().engine() as engine:
        engine.put("gone", pl.DataFrame({"artefact_sha256": gone}))
        return (
            engine.rows("""
                with lost as (
                    select event_key from event_versions semi join gone using (artefact_sha256)
                    union select event_key from retold semi join gone using (artefact_sha256))
                select event_key from lost
                union select d.event_key from duplicates d
                join lost on lost.event_key = d.kept_key order by 1""")
            .to_series()
            .to_list()
        )


def _evaluate(
    store: Store, fresh: Store, settings: Settings, run: Run, *, part: bool
) -> tuple[object, ...]:
    """Evaluate a current run again in the fresh store, which may hold only part of the facts."""
    rec = settings.reconciliation(run.reconciliation)
    done = evaluate(fresh, settings, Request(rec, facts_seq(fresh), run.as_of_time, "replay"))
    was, now = _digest(store, run.run_id), _digest(fresh, done.run.run_id)
    why = ""
    if was != now:
        reasons = {
            LATER: facts_seq(store) > run.as_of_seq,
            "its settings have changed since": settings_hash(settings, rec) != run.settings_hash,
            "it was evaluated by another version": code_hash() != run.code_hash,
        }
        if part and not any(reasons.values()):
            why = "files that it may have read are no longer kept"
            return (run.reconciliation, was, now, None, why)
        why = "; ".join(text for text, holds in reasons.items() if holds)
        if why == LATER:  # a difference that these make is none of the ledger's
            return (run.reconciliation, was, now, None, why)
    return (run.reconciliation, was, now, was == now, why)


def _digest(store: Store, run_id: str) -> str:
    """Hash of a stored run's rows, less the history of its cases."""
    with store.snapshot().engine(runs=[run_id]) as engine:
        sources = {
            name: f"(select * from {quote_ident(name)} where run_id = {quote_text(run_id)})"
            for name in model.RUN_TABLES
            if name not in _HISTORY
        }
        return result_hash(engine, sources)
