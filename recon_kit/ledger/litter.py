"""What killed processes leave behind: files that no commit speaks of, old enough to be nobody's.

A writer that lives may own younger files, so only those older than a day count, and they are only
removed under the writer lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recon_kit.ledger import files
from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.files import Places
from recon_kit.ledger.lock import writer_lock

AGE_HOURS_MIN = 24


@dataclass(frozen=True, slots=True)
class Litter:
    """One file that nothing speaks of: where, how long, since when."""

    where: str
    bytes: int
    changed_at: datetime


def litter(places: Places, catalog: Catalog, now: datetime) -> list[Litter]:
    """Files in `tmp/`, and segments that no committed row names, older than a day.

    Args:
        places: of the store.
        catalog: its catalog.
        now: the time against which ages are measured, in a zone.
    """
    with catalog.read() as reader:
        named = {
            places.segment(kind, sha)
            for kind, sha in reader.all("select distinct kind, sha256 from segments")
        }
    candidates = [
        path
        for folder in (places.tmp, places.root / "seg", places.root / "who",
                       places.root / "quarantine")
        for path in sorted(folder.iterdir())
        if path not in named
    ]  # fmt: skip
    found = [_look(path, places.root) for path in candidates if path.is_file()]
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


def _look(path: Path, root: Path) -> Litter:
    status = path.stat()
    return Litter(
        str(path.relative_to(root)),
        status.st_size,
        datetime.fromtimestamp(status.st_mtime, UTC),
    )
