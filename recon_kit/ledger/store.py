"""The store: the one door to a workspace's ledger.

Facts come in by `receive` and `commit_batch`, results by `commit_run`, what people say by
`add_decisions` and `append`. Everything is read through `snapshot`. The store never updates and
never deletes; one sequence numbers all commits.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Self

import polars as pl

from recon_kit.errors import LedgerError, WorkspaceError
from recon_kit.ledger import batches, files
from recon_kit.ledger.batches import BatchDraft
from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.files import Places
from recon_kit.ledger.snapshot import Snapshot
from recon_kit.model import Artefact, Receipt

__all__ = ["BatchDraft", "Store"]


class Store:
    """The ledger of one workspace; made by `create` or `open`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._catalog = Catalog(places)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._places.root

    @classmethod
    def create(cls, path: Path, *, created_at: datetime, secret: bytes | None = None) -> Self:
        """Make an empty store.

        Args:
            path: its folder; made where absent, and must not hold a store.
            created_at: when, in a zone.
            secret: secret of the store that is replayed into this one; random when not given.

        Raises:
            WorkspaceError: there is a store already.
            LedgerError: the place cannot hold one safely.
        """
        places = Places(path.resolve())
        if places.format.exists() or places.meta.exists():
            raise WorkspaceError(f"{path} holds a store already; open it instead.")
        with files.plain_errors("making a store", path):
            places.make()
        files.refuse_unsafe_place(places.root)
        store = cls(places)
        store._catalog.make(created_at, secret or secrets.token_bytes(32))
        places.format.write_text(f"recon_kit store\n{files.FORMAT}\n", encoding="utf-8")
        files.sync_folder(places.root)
        return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store.

        Raises:
            WorkspaceError: there is none, or its format is newer than this version can read.
            LedgerError: it lies where locks cannot be trusted.
        """
        places = Places(path.resolve())
        if not places.format.exists() or not places.meta.exists():
            raise WorkspaceError(f"{path} holds no store; `recon init` makes a workspace.")
        lines = places.format.read_text(encoding="utf-8").split("\n")
        if len(lines) < 2 or lines[0] != "recon_kit store" or not lines[1].isdecimal():
            raise WorkspaceError(f"{places.format} is not the format note of a store.")
        if int(lines[1]) > files.FORMAT:
            raise WorkspaceError(
                f"{path} has store format {lines[1]}; this version reads up to {files.FORMAT}. "
                "Install a newer recon_kit."
            )
        files.refuse_unsafe_place(places.root)
        return cls(places)

    def receive(
        self,
        path: Path,
        *,
        source: str,
        received_at: datetime,
        as_of: datetime | None = None,
        bytes_max: int = files.BYTES_MAX,
    ) -> Artefact:
        """Keep a file byte for byte under its sha256, before anything reads it.

        Args:
            path: the file.
            source: the source that sent it.
            received_at: when it came, in a zone.
            as_of: what moment the file describes; `received_at` when not given.
            bytes_max: refuse a longer file.

        Raises:
            FileRejectedError: absent, no plain file, too long, or still being written.
        """
        if received_at.tzinfo is None or (as_of is not None and as_of.tzinfo is None):
            raise LedgerError("received_at and as_of need a zone; pass times in UTC.")
        with files.plain_errors(f"receiving {path.name}", self.path):
            copy, sha256, length = files.stage(path, self._places.tmp, bytes_max)
            try:
                files.publish(copy, self.raw_path(sha256))
            finally:
                copy.unlink(missing_ok=True)
        return Artefact(sha256, source, path.name, length, received_at, as_of or received_at)

    def raw_path(self, sha256: str) -> Path:
        """Where the bytes of a received file lie."""
        return self._places.raw / sha256

    def known_batch(
        self, source: str, sha256: str, parser_version: str, mapping_version: str
    ) -> Receipt | None:
        """The receipt of a file that was ingested before in just this way, or None."""
        return batches.known_batch(self._catalog, source, sha256, parser_version, mapping_version)

    def commit_batch(self, draft: BatchDraft) -> Receipt:
        """Commit the events of one file, or nothing.

        Args:
            draft: the file's artefact (already received), its told rows, quarantine and counts.

        Returns:
            What became of it. A file known before gives the receipt of then, `already_known`.

        Raises:
            CountsDoNotTieError: records of the file are unaccounted for.
            StoreBusyError: another process is writing.
            LedgerError: the draft lacks what the ledger needs, or the store cannot be written.
        """
        return batches.commit_batch(self._places, self._catalog, draft)

    def artefacts(self) -> pl.DataFrame:
        """Every received file that was ingested, with the sequence of its batch."""
        with self._catalog.read() as reader:
            return reader.frame("artefacts")

    def batches(self) -> pl.DataFrame:
        """Every batch with its six counts."""
        with self._catalog.read() as reader:
            return reader.frame("batches")

    def snapshot(self, as_of_seq: int | None = None) -> Snapshot:
        """Everything committed up to `as_of_seq`; up to now when not given."""
        return Snapshot(self._places, self._catalog, as_of_seq)
