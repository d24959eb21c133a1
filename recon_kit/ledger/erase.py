"""Erasure: a person's fields and the received files that told them leave the disk, on record.

Personal fields lie apart in `who/`, so a segment is written again without the person's rows and
takes the old one's place in every snapshot, past ones too. Received files that told the person are
removed whole, as are the raw lines of their quarantined rows: bytes that are kept to be replayed
cannot be kept in part. The ledger keeps what was removed, when, by whom and why; facts of money
and what was derived from them stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.errors import FileRejectedError
from recon_kit.ledger import files, segments
from recon_kit.ledger.catalog import Catalog, Reader
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.ledger.files import Places
from recon_kit.ledger.lock import writer_lock
from recon_kit.ledger.seal import parquet_list
from recon_kit.ledger.segments import Staged
from recon_kit.ledger.successors import read_now
from recon_kit.safe import quote_ident, quote_text


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed: rows of personal fields, received files, quarantined lines."""

    events: int
    rows: int
    raw: tuple[str, ...]
    lines: int


@dataclass(frozen=True, slots=True)
class Removal:
    """One file that leaves, what takes its place, and how many rows go."""

    kind: str
    sha256: str
    staged: Staged | None
    source: str | None
    rows: int


def refuse_erased(catalog: Catalog, name: str, sha256: str) -> None:
    """Raise where these very bytes were erased: they do not come back by being sent again."""
    with catalog.read() as reader:
        gone = reader.value("select seq from erasures where sha256 = ?", (sha256,))
    if gone is not None:
        raise FileRejectedError(
            name, "erased", f"this very file was erased on purpose (sequence {gone})",
            "Take the person's rows out of it and send it again.",
        )  # fmt: skip


def erase(  # noqa: PLR0913 - whom, and the record of it: by whom, why and when
    places: Places,
    catalog: Catalog,
    event_keys: Sequence[str],
    *,
    actor: str,
    reason: str,
    recorded_at: datetime,
) -> Erased:
    """Remove the personal fields of events; see `Store.erase`."""
    with ExitStack() as cleanup:
        cleanup.enter_context(writer_lock(places.lock, "erasing personal fields"))
        with catalog.read() as reader:
            listed = _present(places, reader)
        every = [one.path for rows in listed.values() for one in rows]
        with open_engine(every) as engine:
            engine.put("erased_keys", pl.DataFrame({"event_key": sorted(set(event_keys))}))
            who = [_without(engine, places, one) for one in listed.get("who", [])]
            raw = _told_in(engine, places, listed)
            lines = [_blanked(engine, places, one, raw) for one in listed.get("quarantine", [])]
        going = [one for one in (*who, *lines) if one is not None]
        for one in going:
            if one.staged is not None:
                cleanup.callback(segments.discard, [one.staged])
        removals = [*going, *(Removal("raw", sha, None, None, 0) for sha in raw)]
        if removals:
            removals += _superseded(places, catalog)
            _commit(places, catalog, removals, (actor, reason, recorded_at))
    return Erased(
        len(set(event_keys)),
        sum(one.rows for one in going if one.kind == "who"),
        tuple(raw),
        sum(one.rows for one in going if one.kind == "quarantine"),
    )


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file of facts that is read: `merged` with the rows of several sequences."""

    kind: str
    sha256: str
    source: str | None
    merged: bool
    path: Path

    def rewrite(self, columns: str, where: str) -> str:
        """A query of its rows in these columns and in their order, for the file written anew."""
        order = segments.seq_column(self.kind) + ", " if self.merged else ""
        more = f", {quote_ident(segments.seq_column(self.kind))}" if self.merged else ""
        return (
            f"select {columns}{more} from (select *, file_row_number from "
            f"{parquet_list([self.path])}) {where} order by {order}file_row_number"
        )


def _present(places: Places, reader: Reader) -> dict[str, list[_Listed]]:
    """Files of facts by kind that are read now."""
    now = read_now(reader, "kind in ('events', 'retold', 'who', 'quarantine')")
    columns = ["kind", "sha256", "source", "merged"]
    found: dict[str, list[_Listed]] = {}
    for kind, sha, source, merged in now.select(columns).unique().sort(columns).iter_rows():
        path = places.segment(kind, sha)
        found.setdefault(kind, []).append(_Listed(kind, sha, source, merged, path))
    return found


def _superseded(places: Places, catalog: Catalog) -> list[Removal]:
    """Merged files of personal and unreadable rows that still lie beside what took their place."""
    with catalog.read() as reader:
        now = {one.path for rows in _present(places, reader).values() for one in rows}
        merged = reader.all(
            "select kind, sha256 from compactions where kind in ('who', 'quarantine') "
            "except select kind, sha256 from erasures order by 1, 2"
        )
    return [
        Removal(kind, sha, None, None, 0)
        for kind, sha in merged
        if places.segment(kind, sha).exists() and places.segment(kind, sha) not in now
    ]


def _without(engine: Engine, places: Places, one: _Listed) -> Removal | None:
    """A segment of personal fields without the rows of the erased events."""
    table = parquet_list([one.path])
    number = engine.one(f"select count(*) from {table} semi join erased_keys using (event_key)")[0]
    if not number:
        return None
    columns = ", ".join(quote_ident(c) for c in model.WHO_SCHEMA)
    query = one.rewrite(columns, "anti join erased_keys using (event_key)")
    staged = segments.stage(engine, places, {"who": query})
    taker = staged[0] if staged else None
    return Removal("who", one.sha256, taker, one.source, int(str(number)))


def _told_in(engine: Engine, places: Places, listed: Mapping[str, list[_Listed]]) -> list[str]:
    """Received files that told the erased events and still lie in raw/."""
    arms = [
        f"select distinct artefact_sha256 from {parquet_list([one.path for one in rows])} "
        "semi join erased_keys using (event_key)"
        for kind, rows in listed.items()
        if kind in {"events", "retold"}
    ]
    if not arms:
        return []
    found = engine.rows(f"select * from ({' union '.join(arms)}) order by all")
    return [sha for sha in found["artefact_sha256"] if (places.raw / sha).exists()]


def _blanked(
    engine: Engine, places: Places, one: _Listed, artefacts: Sequence[str]
) -> Removal | None:
    """A segment of quarantined rows without the raw lines of these files."""
    listed = ", ".join(quote_text(a) for a in artefacts) or "null"
    number = engine.one(
        f"select count(*) from {parquet_list([one.path])} "
        f"where raw_line is not null and artefact_sha256 in ({listed})"
    )[0]
    if not number:
        return None
    columns = ", ".join(
        f"case when artefact_sha256 in ({listed}) then null else raw_line end as raw_line"
        if c == "raw_line"
        else quote_ident(c)
        for c in model.QUARANTINE_SCHEMA
    )
    staged = segments.stage(engine, places, {"quarantine": one.rewrite(columns, "")})
    return Removal("quarantine", one.sha256, staged[0], one.source, int(str(number)))


def _commit(
    places: Places,
    catalog: Catalog,
    removals: Sequence[Removal],
    said: tuple[str, str, datetime],
) -> None:
    """Record the removals, then remove: a crash in between leaves litter, never a silent gap."""
    actor, reason, recorded_at = said
    with catalog.write() as writer:
        for one in removals:
            if one.staged is not None:
                segments.commit_segments(writer, places, [one.staged], source=one.source)
            writer.insert(
                "erasures", kind=one.kind, sha256=one.sha256,
                replaced_by=one.staged.sha256 if one.staged else None, rows=one.rows,
                actor=actor, reason=reason, recorded_at=recorded_at,
            )  # fmt: skip
        writer.link("erasure")
    for one in removals:
        path = (
            places.raw / one.sha256 if one.kind == "raw" else places.segment(one.kind, one.sha256)
        )
        path.unlink(missing_ok=True)
        files.sync_folder(path.parent)
