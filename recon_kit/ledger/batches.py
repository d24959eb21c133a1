"""Commit one file's events: all of them with counts that tie, or nothing.

A batch is sealed, judged and staged against the store as it is, without a lock; the lock is taken
to commit. Where another commit came in between, the batch is judged again under the lock, so that
what is committed was always judged against exactly the store it is added to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from recon_kit.errors import CountsDoNotTieError, FileRejectedError, LedgerError
from recon_kit.ledger import dedupe, segments
from recon_kit.ledger.catalog import Catalog, Reader
from recon_kit.ledger.engine import Engine, Step, open_engine
from recon_kit.ledger.files import Places
from recon_kit.ledger.lock import writer_lock
from recon_kit.ledger.seal import parquet_list, seal
from recon_kit.ledger.segments import Staged
from recon_kit.ledger.successors import read_now
from recon_kit.model import QUARANTINE_SCHEMA, Artefact, Counts, Receipt
from recon_kit.safe import quote_text


@dataclass(frozen=True)
class BatchDraft:
    """One file as its feed told it, ready to be committed.

    `told` are parquet files in the columns of `model.TOLD`; `quarantine` has the columns of
    `model.QUARANTINE_SCHEMA`; `physical` and `blank` count records of the file; `mutable` are the
    fields that a later telling may change without being a conflict.
    """

    artefact: Artefact
    feed: str
    parser_version: str
    mapping_version: str
    mutable: tuple[str, ...]
    told: tuple[Path, ...]
    quarantine: pl.DataFrame
    physical: int
    blank: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store holds that a batch is judged against."""

    size: int
    events: tuple[Path, ...]
    named: tuple[Path, ...]
    artefacts: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Plan:
    """All of a batch but its commit; good as long as the store has not grown beyond `size`."""

    size: int
    counts: Counts
    artefact: Artefact
    events: int
    staged: tuple[Staged, ...]


def known_batch(
    catalog: Catalog, source: str, sha256: str, parser_version: str, mapping_version: str
) -> Receipt | None:
    """The receipt of a batch that is already there, or None."""
    with catalog.read() as reader:
        rows = reader.frame(
            "batches",
            "source = ? and artefact_sha256 = ? and parser_version = ? and mapping_version = ?",
            (source, sha256, parser_version, mapping_version),
        )
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return Receipt(
        source=source,
        file=row["file"],
        artefact_sha256=sha256,
        batch_seq=row["seq"],
        counts=Counts(**{name: row[name] for name in Counts.__slots__}),
        events=row["events"],
        already_known=True,
        warnings=tuple(json.loads(row["warnings"])),
    )


def commit_batch(places: Places, catalog: Catalog, draft: BatchDraft) -> Receipt:
    """Commit a batch; see `Store.commit_batch`."""
    identity = (
        draft.artefact.source, draft.artefact.sha256, draft.parser_version, draft.mapping_version,
    )  # fmt: skip
    _refuse_unkept(places, draft)
    if (known := known_batch(catalog, *identity)) is not None:
        return known
    plan = _prepare(places, draft, _look(places, catalog, draft))
    try:
        with writer_lock(places.lock, f"ingest {draft.artefact.source}"):
            if (known := known_batch(catalog, *identity)) is not None:
                return known
            _refuse_unkept(places, draft)  # dropped while it was being judged
            now = _look(places, catalog, draft)
            if now.size != plan.size:
                segments.discard(plan.staged)
                plan = _prepare(places, draft, now)
            return _commit(places, catalog, draft, plan)
    finally:
        segments.discard(plan.staged)


def _refuse_unkept(places: Places, draft: BatchDraft) -> None:
    if not (places.raw / draft.artefact.sha256).exists():
        raise LedgerError(
            f"{draft.artefact.name}: its bytes are not in raw/; call `receive` before committing."
        )


def _look(places: Places, catalog: Catalog, draft: BatchDraft) -> _Known:
    source = draft.artefact.source
    with catalog.read() as reader:
        return _Known(
            size=reader.head()[0],
            events=_event_files(places, reader, "source = ?", source),
            named=_event_files(places, reader, "named > ?", 0),
            artefacts=reader.frame("artefacts", "source = ?", (source,)),
        )


def _event_files(places: Places, reader: Reader, where: str, value: str | int) -> tuple[Path, ...]:
    rows = read_now(reader, f"kind = 'events' and {where}", (value,))
    return tuple(
        places.segment("events", sha) for sha in rows["sha256"].unique(maintain_order=True)
    )


def _prepare(places: Places, draft: BatchDraft, known: _Known) -> _Plan:
    """Seal, judge and stage a batch against a known state of the store."""
    with open_engine([*draft.told, *known.events, *known.named]) as engine:
        seal(
            engine, draft.told, draft.artefact,
            mutable=draft.mutable, parser_version=draft.parser_version,
        )  # fmt: skip
        artefact = _covered(engine, draft.artefact)
        columns = ["sha256", "covers_from", "covers_to"]
        before = known.artefacts.select(columns)
        own = pl.DataFrame(
            [(artefact.sha256, artefact.covers_from, artefact.covers_to)],
            schema=before.schema,
            orient="row",
        )
        bounds = dedupe.bounds_of(pl.concat([before, own]))
        dedupe.judge(engine, known.events, bounds, artefact.sha256)
        if artefact.sha256 in before["sha256"]:
            _refuse_other_events(engine, draft, known, artefact.name, "its records")
        counts = _counts(engine, draft)
        staged = _stage(engine, places, draft, known)
    events = sum(s.rows for s in staged if s.kind == "events")
    return _Plan(known.size, counts, artefact, events, staged)


def check_events(places: Places, catalog: Catalog, draft: BatchDraft, file: str) -> None:
    """Hold a file read anew against what it told before; see `Store.check_events`."""
    known = _look(places, catalog, draft)
    with open_engine([*draft.told, *known.events]) as engine:
        seal(
            engine, draft.told, draft.artefact,
            mutable=draft.mutable, parser_version=draft.parser_version,
        )  # fmt: skip
        whose = f"the records of {draft.artefact.name}, which came in before,"
        _refuse_other_events(engine, draft, known, file, whose)


def _refuse_other_events(
    engine: Engine, draft: BatchDraft, known: _Known, file: str, whose: str
) -> None:
    """A record read anew may be told better, never as another event beside the one it was.

    `file` is refused then; `whose` names the records in the message.

    Raises:
        FileRejectedError: under the changed layout, known records of this file would be told as
            other events; both would count.
    """
    if not known.events:
        return
    engine.put("aside", draft.quarantine.select(pl.col("record_row").cast(pl.Int64)))
    lost, first = engine.one(f"""
        select count(*), min(record_row) from {parquet_list(known.events)}
        where artefact_sha256 = {quote_text(draft.artefact.sha256)} and records > 0
          and event_key not in (select event_key from sealed)
          and record_row not in (select record_row from aside)""")
    if lost:
        raise FileRejectedError(
            file,
            "told_as_other_events",
            f"under the changed layout {whose} would be told as other events than before "
            f"({lost:,}, the first of row {first:,}), and both would count",
            "Keep what the ids are made of, or tell all files afresh under the new layout with "
            "`recon replay --into FOLDER`.",
        )


def _covered(engine: Engine, artefact: Artefact) -> Artefact:
    """The artefact with the bounds of its event times, where nobody declared others."""
    first, last = engine.rows("select min(event_ts) as a, max(event_ts) as b from told").row(0)
    return replace(
        artefact,
        covers_from=artefact.covers_from or first,
        covers_to=artefact.covers_to or last,
    )


def _counts(engine: Engine, draft: BatchDraft) -> Counts:
    """The six counts, in physical records.

    Raises:
        CountsDoNotTieError: records of the file are unaccounted for, or counted twice.
    """
    went = engine.rows("""
        select cast(coalesce(sum(records) filter (where not conflict
                and fate in ('new', 'restated')), 0) as bigint) as accepted,
            cast(coalesce(sum(records) filter (where fate like '%duplicate'), 0) as bigint)
                as duplicate,
            cast(coalesce(sum(records) filter (where conflict), 0) as bigint) as conflict
        from verdicts""").row(0, named=True)
    counts = Counts(
        physical=draft.physical,
        quarantined=int(draft.quarantine["records"].sum()),
        blank=draft.blank,
        **went,
    )
    if not counts.tie:
        raise CountsDoNotTieError(
            f"{draft.artefact.name}: {counts.physical} records, but {counts.accepted} accepted + "
            f"{counts.duplicate} duplicate + {counts.conflict} conflict + "
            f"{counts.quarantined} quarantined + {counts.blank} blank = "
            f"{sum(counts.as_tuple()) - counts.physical}. Nothing was committed; feed "
            f"{draft.feed!r} loses or invents records."
        )
    return counts


def _stage(engine: Engine, places: Places, draft: BatchDraft, known: _Known) -> tuple[Staged, ...]:
    told, new, restated = engine.rows(
        "select count(*) as told, count(*) filter (where fate = 'new') as new, "
        "count(*) filter (where restated) as restated from verdicts"
    ).row(0)
    judged = "from sealed s join verdicts v on s.rowid = v.n"
    engine.put(
        "quarantined",
        draft.quarantine.select(pl.col(c).cast(kind) for c, kind in QUARANTINE_SCHEMA.items()),
    )
    engine.run(
        Step(
            "accepted",
            "create temp view accepted as "
            + (
                "select *, false as restated, false as conflict from sealed"
                if new == told
                else f"select s.*, v.restated, v.conflict {judged} "
                "where v.fate in ('new', 'restated')"
            ),
            "rows that are stored as events",
        ),
        Step(
            "again",
            f"create temp view again as select s.*, case v.fate when 'duplicate' then 'retold' "
            f"else v.fate end as why {judged} where v.fate like '%duplicate'",
            "rows that say again what was known",
        ),
    )
    named = engine.rows(
        "select count(business_key) as n from ids join verdicts using (n) "
        "where fate in ('new', 'restated')"
    ).item()
    contested = dedupe.contested(engine, known.named) if named else 0
    marks = {"restated": restated, "contested": contested, "named": named}
    return tuple(
        replace(one, **marks) if one.kind == "events" else one
        for one in segments.stage(engine, places, segments.batch_queries(known.size + 1))
    )


def _commit(places: Places, catalog: Catalog, draft: BatchDraft, plan: _Plan) -> Receipt:
    artefact, counts = plan.artefact, plan.counts
    with catalog.write() as writer:
        writer.insert(
            "batches", source=artefact.source, artefact_sha256=artefact.sha256,
            file=artefact.name, feed=draft.feed, parser_version=draft.parser_version,
            mapping_version=draft.mapping_version, physical=counts.physical,
            accepted=counts.accepted, duplicate=counts.duplicate, conflict=counts.conflict,
            quarantined=counts.quarantined, blank=counts.blank, events=plan.events,
            warnings=json.dumps(draft.warnings, ensure_ascii=False),
            recorded_at=artefact.received_at,
        )  # fmt: skip
        writer.insert(
            "artefacts", sha256=artefact.sha256, source=artefact.source, name=artefact.name,
            bytes=artefact.bytes, received_at=artefact.received_at, as_of=artefact.as_of,
            covers_from=artefact.covers_from, covers_to=artefact.covers_to,
        )  # fmt: skip
        segments.commit_segments(writer, places, plan.staged, source=artefact.source)
        seq = writer.link("batch")
    return Receipt(
        source=artefact.source,
        file=artefact.name,
        artefact_sha256=artefact.sha256,
        batch_seq=seq,
        counts=counts,
        events=plan.events,
        warnings=draft.warnings,
    )
