"""How long received files are kept, and what leaves after that: never sooner, never silently.

The bytes of a file prove its facts: from them the ledger is replayed and a bad row repaired. After
the time for which they must be kept they may leave the disk, by a person's word and with a record
in the chain of what left, when and by whom. The facts they told stay. A file that was dropped may
come in again: then it is kept as if it had always been there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from recon_kit.errors import LedgerError
from recon_kit.ledger import files
from recon_kit.ledger.catalog import Catalog, Reader, moment_of
from recon_kit.ledger.files import Places
from recon_kit.ledger.litter import AGE_HOURS_MIN
from recon_kit.ledger.lock import writer_lock


@dataclass(frozen=True, slots=True)
class OldFile:
    """A received file that need not be kept any longer.

    `source` and `name` are null where it was received but never ingested; `quarantined` counts its
    records that could not be read and can no longer be repaired once it is gone.
    """

    sha256: str
    source: str | None
    name: str | None
    bytes: int
    received_at: datetime
    quarantined: int


def old_files(places: Places, catalog: Catalog, now: datetime, days_min: int) -> list[OldFile]:
    """Files in raw/ that were last received at least so many days ago, oldest first.

    Args:
        places: of the store.
        catalog: its catalog.
        now: the time against which ages are measured, in a zone.
        days_min: for how many days a file is kept.
    """
    _refuse_negative(days_min)
    with catalog.read() as reader:
        ingested = reader.all("""
            select sha256, source, name, bytes, max(received_at), (
                select b.quarantined from batches b
                where b.artefact_sha256 = a.sha256 order by b.seq desc limit 1)
            from artefacts a group by sha256""")
    found = [
        OldFile(sha, source, name, length, moment_of(received), quarantined or 0)
        for sha, source, name, length, received, quarantined in ingested
        if (places.raw / sha).exists()
    ]
    known = {sha for sha, *_ in ingested}
    # a writer that lives may have received it and not have committed yet
    alive = now - timedelta(hours=AGE_HOURS_MIN)
    for path in places.raw.iterdir():
        if path.name not in known:
            status = path.stat()
            changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
            if changed_at <= alive:
                found.append(OldFile(path.name, None, None, status.st_size, changed_at, 0))
    bound = now - timedelta(days=days_min)
    old = [one for one in found if one.received_at <= bound]
    return sorted(old, key=lambda one: (one.received_at, one.sha256))


def drop(
    places: Places, catalog: Catalog, now: datetime, days_min: int, actor: str
) -> list[OldFile]:
    """Remove the files that need not be kept any longer, on record; returns what was removed."""
    with writer_lock(places.lock, "dropping received files"):
        old = old_files(places, catalog, now, days_min)
        with catalog.read() as reader:
            recorded = dropped(reader)
        fresh = [one for one in old if one.sha256 not in recorded]
        if fresh:
            _record(catalog, fresh, now, days_min, actor)
        for one in old:  # after the record: a crash leaves a file too many, never a silent gap
            (places.raw / one.sha256).unlink(missing_ok=True)
        if old:
            files.sync_folder(places.raw)
    return old


def dropped(reader: Reader) -> dict[str, tuple[datetime, str]]:
    """Files that were dropped and not ingested again since: sha256 to when and by whom."""
    rows = reader.all("""
        select d.sha256, d.recorded_at, d.actor from raw_drops d
        where d.seq > coalesce((select max(a.seq) from artefacts a where a.sha256 = d.sha256), 0)
        order by d.seq""")
    return {sha: (moment_of(recorded_at), actor) for sha, recorded_at, actor in rows}


def _record(
    catalog: Catalog, old: Sequence[OldFile], now: datetime, days_min: int, actor: str
) -> None:
    with catalog.write() as writer:
        for one in old:
            writer.insert(
                "raw_drops", sha256=one.sha256, source=one.source, name=one.name, bytes=one.bytes,
                received_at=one.received_at, days_min=days_min, actor=actor, recorded_at=now,
            )  # fmt: skip
        writer.link("raw_drop")


def _refuse_negative(days_min: int) -> None:
    if days_min < 0:
        raise LedgerError(f"files are kept for {days_min} days; the number is never negative.")
