"""Keeping: whether the ledger is what was committed."""

from __future__ import annotations

from typing import Literal

import polars as pl

from recon_kit.present.rows import RowsView
from recon_kit.workbench.face import Face


class Keeping(Face):
    """Care of the ledger."""

    def verify(self, level: Literal["chain", "segments", "all"] = "all") -> RowsView:
        """Check that the ledger is what was committed; `.frame` lists what is not."""
        problems = self.store.verify(level)
        rows = [(p.where, p.code, p.message) for p in problems]
        frame = pl.DataFrame(rows, schema=["where", "code", "message"], orient="row")
        mark = self.store.checkpoint(keep=False)
        said = "as committed" if not problems else f"{len(problems)} problems"
        return RowsView("Verify", frame, (f"{level}: {said}; {mark.size:,} links, {mark.head}",))
