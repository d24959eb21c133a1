"""Keeping: where every record went, and whether the ledger is what was committed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from recon_kit.present.rows import RowsView
from recon_kit.workbench import tracing
from recon_kit.workbench.face import Face


class Keeping(Face):
    """Care of the ledger."""

    def trace(self, artefact: str | Path) -> RowsView:
        """Where every physical record of a received file went, with counts that tie.

        Args:
            artefact: the first digits of its sha256, its name, or the path of a copy of it.
        """
        batch = tracing.find_batch(self.store, str(artefact))
        found = {r.name: self.store.current_run(r.name) for r in self.settings.reconciliations}
        runs = [run.run_id for run in found.values() if run is not None]
        with self.store.snapshot().engine(runs=runs, batch=int(str(batch["seq"]))) as engine:
            return tracing.view(engine, batch, runs)

    def verify(self, level: Literal["chain", "segments", "all"] = "all") -> RowsView:
        """Check that the ledger is what was committed; `.frame` lists what is not."""
        problems = self.store.verify(level)
        rows = [(p.where, p.code, p.message) for p in problems]
        frame = pl.DataFrame(rows, schema=["where", "code", "message"], orient="row")
        mark = self.store.checkpoint(keep=False)
        said = "as committed" if not problems else f"{len(problems)} problems"
        return RowsView("Verify", frame, (f"{level}: {said}; {mark.size:,} links, {mark.head}",))
