"""Files that nothing is read from, old enough to be nobody's: left by killed processes, or merged.

A writer that lives may own younger files, so only those older than a day count, and they are only
removed under the writer lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recon_kit.ledger import files
from recon_kit.ledger.catalog import Catalog, moment_of
from recon_kit.ledger.files import Places
from recon_kit.ledger.lock import writer_lock
from recon_kit.ledger.successors import read_now

AGE_HOURS_MIN = 24


@dataclass(frozen=True, slots=True)
class Litter:
    """One file that nothing is read from: where, how long, since when."""

    where: str
    bytes: int
    changed_at: datetime


def litter(places: Places, catalog: Catalog, now: datetime) -> list[Litter]:
    """Files in `tmp/` and segments that nothing is read from, older than a day.

    A segment that was merged into another counts as old a day after that, whatever its own age.

    Args:
        places: of the store.
        catalog: its catalog.
        now: the time against which ages are measured, in a zone.
    """
    with catalog.read() as reader:
        named = {
            places.segment(kind, sha)
            for kind, sha in read_now(reader).select("kind", "sha256").unique().rows()
        }
        merged = {
            places.segment(kind, sha): moment_of(recorded_at)
            for kind, sha, recorded_at in reader.all(
                "select kind, sha256, max(recorded_at) from compactions group by 1, 2"
            )
        }
    candidates = [
        path
        for folder in (places.tmp, places.root / "seg", places.root / "who",
                       places.root / "quarantine")
        for path in sorted(folder.iterdir())
        if path not in named
    ]  # fmt: skip
    found = [_look(path, places.root, merged.get(path)) for path in candidates if path.is_file()]
    return [one for one in found if one.changed_at <= now - timedelta(hours=AGE_HOURS_MIN)]


def remove(places: Places, catalog: Catalog, now: datetime) -> list[Litter]:
    """Remove the litter; returns what was removed."""
    with (
        files.plain_errors("removing litter", places.root),
        writer_lock(places.lock, "removing litter"),
    ):
        found = litter(places, catalog, now)
        for one in found:
            (places.root / one.where).unlink(missing_ok=True)
    return found


def _look(path: Path, root: Path, merged_at: datetime | None) -> Litter:
    status = path.stat()
    return Litter(
        str(path.relative_to(root)),
        status.st_size,
        merged_at or datetime.fromtimestamp(status.st_mtime, UTC),
    )
