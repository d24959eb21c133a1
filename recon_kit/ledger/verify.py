"""Check that the store is what was committed; every defect is a value that names file or row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recon_kit import model
from recon_kit.errors import LedgerError
from recon_kit.ledger import changes, digests, files, retention
from recon_kit.ledger.catalog import Catalog, Reader, veil
from recon_kit.ledger.engine import EngineError, open_engine
from recon_kit.ledger.files import Places
from recon_kit.ledger.hashchain import START, Checkpoint, Problem, link_hash
from recon_kit.ledger.successors import read_now
from recon_kit.ledger.tables import TABLES
from recon_kit.safe import quote_ident, quote_text

Level = Literal["chain", "segments", "all"]
ORIGIN = "recon_kit/"


def verify(
    places: Places, catalog: Catalog, level: Level, since: Checkpoint | None
) -> list[Problem]:
    """Check the store; see `Store.verify`."""
    found: list[Problem] = []
    try:
        with catalog.read() as reader:
            if level in {"chain", "all"}:
                found += _chain(reader)
                found += _counts(reader)
                found += _checkpoints(places, reader, since)
            if level in {"segments", "all"}:
                found += _files(places, reader)
                found += _resolved(places, reader)
            if level == "all":
                found += _pages(reader)
    except LedgerError as why:
        found.append(Problem("catalog_unreadable", places.meta.name, str(why)))
    return found


def checkpoint(places: Places, catalog: Catalog, *, keep: bool) -> Checkpoint:
    """State of the chain; kept as a three-line note unless told otherwise."""
    with catalog.read() as reader:
        size, head = reader.head()
        state = Checkpoint(ORIGIN + str(reader.meta("store_id")), size, head)
    note = places.checkpoints / f"{size:012d}.note"
    if keep and not note.exists():
        with files.plain_errors("keeping a checkpoint", places.checkpoints):
            files.write_note(note, str(state), places.tmp)
    return state


def _chain(reader: Reader) -> Iterator[Problem]:
    """Links: numbered without a gap, each naming the one before, hash and rows as stored."""
    expected, previous = 1, START
    rows: Counter[str] = Counter()
    secret = reader.secret()
    for seq, prev, body, digest in reader.each(
        "select seq, prev, body, hash from hashchain order by seq"
    ):
        where = f"hashchain row {seq}"
        if seq != expected:
            yield Problem("gap", where, f"sequence {expected} is missing")
        if prev != previous:
            yield Problem("broken_link", where, "it does not name the link before it")
        if link_hash(prev, body) != digest:
            yield Problem("changed_link", where, "its bytes do not have its hash")
        else:
            link = json.loads(body)
            rows.update({table: len(told) for table, told in link["rows"].items()})
            yield from _rows(reader, seq, link["rows"], secret)
        expected, previous = seq + 1, digest
    for table in TABLES:
        count = reader.value(f"select count(*) from {quote_ident(table)}")
        if count != rows[table]:
            yield Problem(
                "rows_outside_chain", table, f"{count} rows, but the chain tells {rows[table]}"
            )


def _rows(
    reader: Reader, seq: int, told: dict[str, list[dict[str, Any]]], secret: bytes
) -> Iterator[Problem]:
    for table, expected in told.items():
        if table not in TABLES:
            continue
        names = list(TABLES[table].columns)
        listed = ", ".join(quote_ident(c) for c in names)
        stored = reader.all(
            f"select {listed} from {quote_ident(table)} where seq = ? order by rowid", (seq,)
        )
        actual = [veil(table, dict(zip(names, row, strict=True)), secret) for row in stored]
        if len(actual) != len(expected):
            yield Problem(
                "changed_row", f"{table} of sequence {seq}",
                f"{len(actual)} rows, committed were {len(expected)}",
            )  # fmt: skip
        for row, was in zip(actual, expected, strict=False):
            wrong = [c for c in was if row.get(c) != was[c]]
            if wrong:
                yield Problem(
                    "changed_row", f"{table} of sequence {seq}",
                    f"column {wrong[0]} is not what was committed",
                )  # fmt: skip


def _counts(reader: Reader) -> Iterator[Problem]:
    untied = reader.all(
        "select seq from batches "
        "where physical <> accepted + duplicate + conflict + quarantined + blank order by seq"
    )
    for (seq,) in untied:
        yield Problem("counts", f"batches of sequence {seq}", "its six counts do not tie")


def _checkpoints(places: Places, reader: Reader, since: Checkpoint | None) -> Iterator[Problem]:
    """The chain must still contain every state that was noted."""
    known: list[tuple[str, Checkpoint]] = []
    for note in sorted(places.checkpoints.glob("*.note")):
        where = f"{places.checkpoints.name}/{note.name}"
        try:
            known.append((where, Checkpoint.parse(note.read_text(encoding="utf-8"))))
        except (LedgerError, UnicodeDecodeError):
            yield Problem("unreadable_note", where, "it is no checkpoint note")
    if since is not None:
        known.append(("the checkpoint given", since))
    origin, size = ORIGIN + str(reader.meta("store_id")), reader.head()[0]
    for where, state in known:
        if state.origin != origin:
            yield Problem("other_store", where, f"it is of {state.origin}, this is {origin}")
            continue
        if state.size > size:
            yield Problem(
                "dropped_tail", where, f"it has seen {state.size} links; now there are {size}"
            )
            continue
        head = reader.value("select hash from hashchain where seq = ?", (state.size,))
        if (head or START) != state.head:
            yield Problem("rewritten", where, f"link {state.size} has another hash now")


def _files(places: Places, reader: Reader) -> Iterator[Problem]:
    """Every file that is kept holds the bytes of its name; what was erased is not there."""
    listed = read_now(reader).select("kind", "sha256").unique().sort("kind", "sha256").rows()
    paths = [(sha, places.segment(kind, sha)) for kind, sha in listed]
    gone = reader.all("select kind, sha256 from erasures order by kind, sha256")
    erased = [places.raw / sha if kind == "raw" else places.segment(kind, sha)
              for kind, sha in gone]  # fmt: skip
    raw = reader.all("select distinct sha256 from artefacts order by sha256")
    gone_by_right = {places.raw / sha for sha in retention.dropped(reader)}
    kept = [
        (sha, path) for (sha,) in raw
        if (path := places.raw / sha) not in erased
        and (path.exists() or path not in gone_by_right)
    ]  # fmt: skip
    for sha, path in [*paths, *kept]:
        yield from _file(sha, path)
    now = {path for _, path in paths}
    for path in erased:
        if path.exists() and path not in now:
            where = f"{path.parent.name}/{path.name}"
            yield Problem("not_gone", where, "it was erased and must not be there; remove it")


def _file(sha: str, path: Path) -> Iterator[Problem]:
    where = f"{path.parent.name}/{path.name}"
    try:
        actual = files.hash_file(path)
    except OSError as why:
        yield Problem("missing_file", where, f"it cannot be read ({why.strerror})")
        return
    if actual != sha:
        yield Problem("changed_file", where, "its bytes are not what was committed")


def _resolved(places: Places, reader: Reader) -> Iterator[Problem]:
    """A run kept as changes reads as the rows whose hash was committed with it."""
    told = read_now(reader, "run_id is not null")
    bases = dict(reader.all("select run_id, base_run_id from runs"))
    hashes = dict(reader.all("select run_id, result_hash from runs"))
    kept = changes.kept_as_changes(told)
    for run_id in sorted(kept):
        where = f"run {run_id[:8]}"
        try:
            parts = changes.parts_of(bases, kept, [run_id])
            mine = told.filter(pl.col("run_id").is_in(parts["part_run_id"].to_list()))
            paths = changes.files_by_kind(places, mine)
            same = _digest(run_id, parts, paths, hashes[run_id]) == hashes[run_id]
        except (EngineError, LedgerError, OSError) as why:
            name = type(why).__name__
            yield Problem("unreadable_run", where, f"its rows cannot be read ({name})")
            continue
        if not same:
            yield Problem(
                "changed_run", where, "read over its base it is not the result that was committed"
            )


def _digest(run_id: str, parts: pl.DataFrame, paths: dict[str, list[Path]], like: str) -> str:
    with open_engine(path for of_kind in paths.values() for path in of_kind) as engine:
        changes.make_views(engine, paths, parts)
        rows = f"where run_id = {quote_text(run_id)}"
        sources = {name: f"(from {quote_ident(name)} {rows})" for name in model.RUN_TABLES}
        return digests.of_kind(engine, like, sources)


def _pages(reader: Reader) -> Iterator[Problem]:
    for (answer,) in reader.all("pragma integrity_check"):
        if answer != "ok":
            yield Problem("catalog_damaged", "meta.db", str(answer))
