"""The store: the one door to a workspace's ledger.

Facts come in by `receive` and `commit_batch`, results by `commit_run`, what people say by
`add_decisions` and `append`. Everything is read through `snapshot`. The store never updates and
never deletes; one sequence numbers all commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

import polars as pl

from recon_kit import model
from recon_kit.errors import LedgerError, UnknownNameError, WorkspaceError
from recon_kit.ledger import (
    access,
    batches,
    entries,
    erase,
    files,
    leases,
    runs,
)
from recon_kit.ledger.batches import BatchDraft
from recon_kit.ledger.care import Care
from recon_kit.ledger.files import Places
from recon_kit.ledger.leases import Lease
from recon_kit.ledger.snapshot import Snapshot
from recon_kit.ledger.tables import TABLES
from recon_kit.model import Artefact, Receipt, Run, StoredModel

__all__ = ["BatchDraft", "Store"]


class Store(Care):
    """The ledger of one workspace; made by `create` or `open`."""

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

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
        access.refuse_open_to_all(places)
        store = cls(places)
        store._catalog.make(created_at, secret or secrets.token_bytes(32))
        files.note_format(places)
        return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store.

        Raises:
            WorkspaceError: there is none, or its format is newer than this version can read.
            LedgerError: it lies where locks cannot be trusted, or any user may write to it.
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
        access.refuse_open_to_all(places)
        store = cls(places)
        store._catalog.complete()
        return store

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
                erase.refuse_erased(self._catalog, path.name, sha256)
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

    def check_events(self, draft: BatchDraft, file: str) -> None:
        """Whether a file that was taken in before still tells the same events; commits nothing.

        Args:
            draft: that earlier file as its feed tells it now.
            file: name of the file that is about to be taken in, which is refused where it does not.

        Raises:
            FileRejectedError: its records would be told as other events beside those of before.
        """
        batches.check_events(self._places, self._catalog, draft, file)

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
        with files.plain_errors(f"ingesting {draft.artefact.name}", self.path):
            return batches.commit_batch(self._places, self._catalog, draft)

    def commit_run(  # noqa: PLR0913 - a run is all of this
        self,
        run: Run,
        tables: Mapping[str, Path | pl.DataFrame],
        *,
        slis: pl.DataFrame | None = None,
        model: StoredModel | None = None,
        recorded_at: datetime,
        retaken: Path | None = None,
    ) -> int:
        """Commit what a run derived; a live run becomes the current one.

        Where few rows differ from its base only these are written; reading gives all of them.

        Args:
            run: its inputs; `result_hash` is computed over the tables' rows when not given.
            tables: per name of `model.RUN_TABLES` its rows, without `run_id`; absent ones are
                empty.
            slis: values in the columns of `model.SLI_SCHEMA`.
            model: the model it trained, if it did.
            recorded_at: when, in a zone.
            retaken: a file of the `match_id`s of its base that the run made anew; where it is
                given, all other matches of the base stand in the run as they are, and `tables`
                has the others alone.

        Returns:
            Sequence of the run. A run that is known already is not stored again.

        Raises:
            LedgerError: a table or column is unknown or missing.
        """
        derived = runs.Derived(run, tables, slis, model, retaken)
        with files.plain_errors(f"storing a run of {run.reconciliation}", self.path):
            return runs.commit_run(self._places, self._catalog, derived, recorded_at)

    def make_current(self, run_id: str) -> int:
        """Make a stored live run the current one: how a run is undone, and done again.

        Returns:
            Sequence at which it became current; nothing is added where it is so already.
        """
        return runs.make_current(self._catalog, run_id)

    def runs(self) -> pl.DataFrame:
        """Every run: its sequence, the fields of `model.Run`, recorded_at."""
        return self.rows("runs")

    def run(self, run_id: str) -> Run | None:
        """A run by its id."""
        found = runs.find_runs(self._catalog, "run_id = ?", (run_id,))
        return found[0] if found else None

    def current_run(self, reconciliation: str) -> Run | None:
        """The run whose results count now."""
        found = runs.find_runs(
            self._catalog,
            "run_id = (select run_id from current_run where reconciliation = ? "
            "order by seq desc limit 1)",
            (reconciliation,),
        )
        return found[0] if found else None

    def sli_values(self, run_id: str) -> pl.DataFrame:
        """SLI values of a run, in the columns of `model.SLI_SCHEMA`."""
        with self._catalog.read() as reader:
            values = reader.frame("sli_values", "run_id = ?", (run_id,))
        return values.select(list(model.SLI_SCHEMA))

    def add_model(self, stored: StoredModel) -> None:
        """Keep a trained model; whether it is used is for `approvals` to say."""
        with self._catalog.locked_write("keeping a model") as writer:
            if runs.insert_model(writer, stored):
                writer.link("model")

    def model(self, model_hash: str) -> StoredModel | None:
        """A model by its hash."""
        with self._catalog.read() as reader:
            found = reader.frame("models", "model_hash = ?", (model_hash,))
        if found.is_empty():
            return None
        row = found.row(-1, named=True)
        return StoredModel(row["model_hash"], row["reconciliation"], row["json"])

    def add_decisions(self, rows: pl.DataFrame, recorded_at: datetime) -> int:
        """Append decisions; an undo is a row that names in `undoes` the one it takes back.

        Args:
            rows: columns of `model.DECISION_SCHEMA` without `seq`; absent ones are null.
            recorded_at: when, in a zone.

        Returns:
            Sequence of the first row; the others follow without a gap. 0 where there was none.

        Raises:
            LedgerError: a verdict or stream is unknown, or there is nothing to undo.
            StaleClaimError: a row comes with a claim that somebody else has taken over.
            LeaseHeldError: somebody else is at work on the item of a row without a claim.
        """
        return self.append("decisions", rows.drop("seq", strict=False), recorded_at)

    def decisions(self, as_of_seq: int | None = None) -> pl.DataFrame:
        """Every decision ever recorded, undone ones and undos included."""
        return self.rows("decisions", as_of_seq)

    def decisions_now(self, as_of_seq: int | None = None) -> pl.DataFrame:
        """Decisions in force: not undone, and no undo themselves."""
        return entries.in_force(self.decisions(as_of_seq))

    def claim(self, subject: str, holder: str, *, now: datetime, until: datetime) -> Lease:
        """Take an item to work on; one person at a time, until it is released or runs out.

        Args:
            subject: what is claimed (`leases.subject_of`, or a case id).
            holder: who claims it; claiming one's own again prolongs it under a new token.
            now: the clock, in a zone.
            until: when the claim runs out by itself.

        Returns:
            The lease; its token only ever grows, so an older one is known to be stale.

        Raises:
            LeaseHeldError: somebody else holds it; the message names who, and until when.
        """
        return leases.claim(self._catalog, subject, holder, now, until)

    def release(self, lease: Lease, *, now: datetime) -> None:
        """Give an item back before its time; nothing happens where it is somebody else's now."""
        leases.release(self._catalog, lease, now)

    def lease(self, subject: str, *, now: datetime) -> Lease | None:
        """Who is at work on an item now."""
        with self._catalog.read() as reader:
            return leases.holder_now(reader, subject, now)

    def append(self, table: str, rows: pl.DataFrame, recorded_at: datetime) -> int:
        """Append rows to a table that people write (`tables.SAID`), each with its own sequence.

        Args:
            table: such as `approvals`, `certificates`, `rules`, `case_entries`.
            rows: columns of that table without `seq`; absent ones are null.
            recorded_at: when, in a zone.

        Returns:
            Sequence of the first row, 0 where there was none.
        """
        return entries.append(self._catalog, table, rows, recorded_at)

    def rows(self, table: str, as_of_seq: int | None = None, *, after_seq: int = 0) -> pl.DataFrame:
        """Rows of a catalog table (`tables.TABLES`) in the order in which they were committed.

        Args:
            table: which one.
            as_of_seq: only what was committed up to it; all when not given.
            after_seq: only what was committed after it.
        """
        if table not in TABLES:
            raise UnknownNameError("catalog table", table, TABLES)
        with self._catalog.read() as reader:
            until = reader.head()[0] if as_of_seq is None else as_of_seq
            return reader.frame(table, "seq > ? and seq <= ?", (after_seq, until))

    def audit_secret(self) -> bytes:
        """The store's random secret, key of the audit draw; never show it."""
        with self._catalog.read() as reader:
            return reader.secret()

    def artefacts(self) -> pl.DataFrame:
        """Every received file that was ingested, with the sequence of its batch."""
        return self.rows("artefacts")

    def batches(self) -> pl.DataFrame:
        """Every batch with its six counts."""
        return self.rows("batches")

    def snapshot(self, as_of_seq: int | None = None) -> Snapshot:
        """Everything committed up to `as_of_seq`; up to now when not given."""
        return Snapshot(self._places, self._catalog, as_of_seq)
