"""Care of a store: is it what was committed, may it be copied, what may leave it, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from recon_kit.ledger import access, backup, compact, erase, files, litter, retention, verify
from recon_kit.ledger.catalog import Catalog, moment_of
from recon_kit.ledger.compact import Compacted
from recon_kit.ledger.erase import Erased
from recon_kit.ledger.files import Places
from recon_kit.ledger.hashchain import Checkpoint, Problem
from recon_kit.ledger.litter import Litter
from recon_kit.ledger.retention import OldFile


class Care:
    """What looks after a store; `Store` adds what is told to it and read from it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._catalog = Catalog(places)

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._places.root

    def open_to(self) -> list[str]:
        """Who else may write to the store or read its personal fields, a sentence each."""
        group = access.shared_with(self._places)
        told = []
        if group is not None:
            told.append(
                f"members of the group {group!r} may write to it; where that is no team of yours, "
                f"chmod -R g-w {self.path}"
            )
        if access.read_by_all(self._places):
            told.append(
                "every user of this machine may read received files and personal fields; "
                f"chmod o-rwx {self.path}"
            )
        return told

    def checkpoint(self, *, keep: bool = True) -> Checkpoint:
        """State of the chain of hashes: origin, size, head.

        Args:
            keep: also write it to `checkpoints/` as a note of three lines.
        """
        return verify.checkpoint(self._places, self._catalog, keep=keep)

    def backup(self, into: Path) -> Checkpoint:
        """Copy the store, whoever writes meanwhile, and check the copy; see `ledger.backup`."""
        return backup.copy_store(self._places, self._catalog, into)

    def compact(
        self, recorded_at: datetime, progress: Callable[[str], None] = lambda _: None
    ) -> list[Compacted]:
        """Make few large segments of many small ones; what is read stays the same.

        Args:
            recorded_at: when, in a zone.
            progress: told each group of files.

        Returns:
            What became of each group. The old files stay for a day, then they are litter.

        Raises:
            CorruptStoreError: a file is not what was committed.
        """
        with files.plain_errors("merging segments", self.path):
            return compact.compact(self._places, self._catalog, recorded_at, progress)

    def litter(self, now: datetime, *, remove: bool = False) -> list[Litter]:
        """Files that nothing is read from, older than a day; removed where asked."""
        act = litter.remove if remove else litter.litter
        return act(self._places, self._catalog, now)

    def old_files(self, now: datetime, days_min: int) -> list[OldFile]:
        """Received files that were kept for so many days; see `ledger.retention`."""
        return retention.old_files(self._places, self._catalog, now, days_min)

    def drop_old_files(self, now: datetime, days_min: int, *, actor: str) -> list[OldFile]:
        """Remove received files that were kept for so many days, on record.

        Args:
            now: the time against which ages are measured, in a zone.
            days_min: a file that was received later than so many days ago is never removed.
            actor: who does it; kept on record.

        Returns:
            What was removed. The facts it told stay; they can no longer be replayed.
        """
        with files.plain_errors("dropping received files", self.path):
            return retention.drop(self._places, self._catalog, now, days_min, actor)

    def not_kept(self) -> dict[str, str]:
        """Received files that left raw/ on purpose: sha256 to a sentence of when and by whom."""
        with self._catalog.read() as reader:
            gone = {
                sha: f"dropped on {when:%Y-%m-%d} by {actor}, after the days it had to be kept"
                for sha, (when, actor) in retention.dropped(reader).items()
                if not self._places.raw.joinpath(sha).exists()
            }
            for sha, when, actor in reader.all(
                "select sha256, recorded_at, actor from erasures where kind = 'raw' order by seq"
            ):
                gone[sha] = f"erased on {moment_of(when):%Y-%m-%d} by {actor}"
        return gone

    def erase(
        self, event_keys: Sequence[str], *, actor: str, reason: str, recorded_at: datetime
    ) -> Erased:
        """Remove the personal fields of events, and the received files that told them.

        Args:
            event_keys: whose fields go, from every telling of these events, past ones included.
            actor: who does it; kept on record.
            reason: why; kept on record, in the chain as a keyed hash only.
            recorded_at: when, in a zone.

        Returns:
            What was removed. Amounts, keys and descriptions stay, and so does everything that
            runs derived.
        """
        with files.plain_errors("erasing personal fields", self.path):
            return erase.erase(
                self._places, self._catalog, event_keys,
                actor=actor, reason=reason, recorded_at=recorded_at,
            )  # fmt: skip

    def verify(
        self, level: verify.Level = "chain", *, since: Checkpoint | None = None
    ) -> list[Problem]:
        """Check that the store is what was committed.

        Args:
            level: `chain` follows the links and compares the catalog's rows with them and with
                all noted checkpoints; `segments` hashes every file again, raw ones included, and
                every run that is kept as changes as it reads now; `all` does both and checks
                the catalog's pages.
            since: a checkpoint that was kept elsewhere, which the chain must still contain.

        Returns:
            Everything that is not as committed; empty when all is well.
        """
        return verify.verify(self._places, self._catalog, level, since)
