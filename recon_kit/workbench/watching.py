"""Watching promises: whether what comes in is still like what a certificate was proven on."""

from __future__ import annotations

import polars as pl

from recon_kit.present.rows import RowsView
from recon_kit.resolution import governance
from recon_kit.tuning import drift
from recon_kit.workbench.promote import Promoting


class Watching(Promoting):
    """What is in force, looked after."""

    def drift(self, reconciliation: str | None = None, *, method: str = "probable") -> RowsView:
        """Every measure of what came since the certificate of a method, worst first.

        Every live run looks at the same; where a measure has drifted, it voids the certificate and
        proposes instead of matching. `.frame` is in the columns of `tuning.drift.DRIFT_SCHEMA`.

        Args:
            reconciliation: needed where several are declared.
            method: whose certificate: the one that was put in force last, voided or not.
        """
        rec = self._one(reconciliation)
        run = self._runs(rec.name)[rec.name]
        rows = self.store.rows("certificates")
        held = governance.certificates(rows, self.store.rows("approvals"), rec.name)
        mine = [c for c in held if c.method == method]
        title = f"Drift since the certificate of {method}, {rec.name}"
        if not mine:
            said = f"No certificate of {method} was ever in force; there is nothing to drift from."
            return RowsView(title, pl.DataFrame(schema=drift.DRIFT_SCHEMA), (said,))
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(runs=[run.run_id], precedence=precedence) as engine:
            found = drift.measures(engine, rec, rows, mine[0], run.run_id)
        state = f"void: {mine[0].voided}" if mine[0].voided else "not voided"
        counts = found.group_by("state").len("n").sort("state")
        said = ", ".join(f"{n} {name}" for name, n in counts.iter_rows()) or "no reference was kept"
        return RowsView(title, found, (f"Certificate {mine[0].certificate_id[:12]} {state}.", said))
