"""Facts: files in, what the sources hold, which promises of the data are broken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from recon_kit.errors import FileRejectedError, listed
from recon_kit.ingestion import checks
from recon_kit.ingestion.headers import header_frame
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ingestion.overlap import profile_sources
from recon_kit.model import Receipt
from recon_kit.present.rows import RowsView
from recon_kit.present.views import (
    ProfileView,
    ReceiptView,
)
from recon_kit.workbench import queries, setup
from recon_kit.workbench.face import Face, Progress, quiet

_ASIDE_SHOWN = 50


class Facts(Face):
    """Files in, and what they hold."""

    def ingest(
        self,
        source: str,
        *files: Path | str,
        as_of: datetime | None = None,
        received_at: datetime | None = None,
        progress: Progress = quiet,
    ) -> ReceiptView:
        """Take files of one declared source into the ledger.

        Args:
            source: name of the source in `recon.toml`.
            files: the files as they were exported; gzip is read as it is.
            as_of: when they were exported, where later files of the same period may differ.
            received_at: when they arrived; now, where not given.
            progress: told each file.

        Raises:
            FileRejectedError: a file cannot be read as this source declares it; nothing of that
                file was committed, earlier files of the call were.
        """
        declared = self.settings.source(source)
        receipts: list[Receipt] = []
        for file in files:
            progress(f"{source}: {Path(file).name}")
            try:
                receipt = ingest_file(
                    self.store,
                    declared,
                    Path(file),
                    workspace_timezone=self.settings.workspace.timezone,
                    received_at=received_at or self._clock(),
                    as_of=as_of,
                )
            except FileRejectedError as why:
                if note := _others(receipts, files[len(receipts) + 1 :]):
                    why.add_note(note)
                raise
            receipts.append(receipt)
        return ReceiptView(tuple(receipts))

    def profile(self, target: str | Path | None = None) -> ProfileView:
        """What the sources hold, or what one file holds.

        Args:
            target: a source's name or a file; all sources where not given.
        """
        if target is not None and Path(target).is_file():
            return setup.profile_file(Path(target))
        if target is not None:
            self.settings.source(str(target))
        with self.store.snapshot().engine() as engine:
            found = profile_sources(engine)
            frame = queries.sources(engine, self.settings)
            aside = queries.quarantined(engine, str(target))
        notes: tuple[str, ...] = ()
        if target is not None:
            frame = frame.filter(pl.col("source") == str(target))
            nulls = found.nulls.filter(pl.col("source") == str(target), pl.col("null_share") < 1)
            rows = aside.head(_ASIDE_SHOWN).to_dicts()
            notes = (
                queries.filled_sentence(nulls),
                *(f"quarantined: {r['file']}, row {r['record_row']}: {r['message']}" for r in rows),
            )
        return ProfileView(frame, self._about(), notes=notes)

    def key_overlap(self) -> RowsView:
        """Which keys of which two sources are the same: the table to read before `keys = [...]`."""
        with self.store.snapshot().engine() as engine:
            return RowsView("Keys that two sources share", profile_sources(engine).overlaps)

    def checks(self) -> RowsView:
        """Broken promises of the data: parity, uniqueness, relationships, money, coverage."""
        files = self.store.artefacts()
        with self.store.snapshot().engine() as engine:
            engine.put("batches", self.store.batches())
            engine.put("headers", header_frame(files, self.store.raw_path, self.settings))
            found = checks.run_checks(engine, self.settings, self.now())
        return RowsView("Checks", checks.findings_frame(found))


def _others(taken: Sequence[Receipt], unread: Sequence[Path | str]) -> str:
    """What became of the other files of a call in which one was refused."""
    parts = []
    if taken:
        parts.append(f"taken in before it: {listed([r.file for r in taken])}")
    if unread:
        parts.append(f"not looked at after it: {listed([Path(f).name for f in unread])}")
    return "; ".join(parts)
