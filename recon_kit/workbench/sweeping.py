"""Thresholds held beside one another: the sweep."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.errors import UnknownNameError
from recon_kit.matching import authority
from recon_kit.present.live import while_running
from recon_kit.present.sweeps import SweepView
from recon_kit.settings import Reconciliation
from recon_kit.tuning import audit, outcomes
from recon_kit.tuning import sweep as sweeps
from recon_kit.workbench import changes, trying
from recon_kit.workbench.face import Progress, quiet
from recon_kit.workbench.untold import Blind


class Sweeping(Blind):
    """What other thresholds would bring and cost."""

    @while_running
    def sweep(
        self,
        reconciliation: str | None = None,
        *,
        method: str = "probable",
        margins: Sequence[float] | None = None,
        fmr_max: float = 0.02,
        progress: Progress = quiet,
    ) -> SweepView:
        """Cut the matches of a method at 100 thresholds: share, wrong ones, misses, hours, cost.

        Rates are estimated from the audit sample, or, where nothing was drawn, from imported
        labels, which is said. The run behind it is not told those answers.

        Args:
            reconciliation: needed where several are declared.
            method: whose matches are cut.
            margins: least leads over the best rival; the setting's, where not given.
            fmr_max: the rate that the proposed point must surely keep.
            progress: told each stage.
        """
        rec, now = self._one(reconciliation), self.now()
        if method not in authority.METHODS:
            raise UnknownNameError("method with a threshold", method, authority.METHODS)
        drawn = outcomes.from_audit(audit.audit_labels(self.store, rec.name, now))
        streams = ("audit",) if drawn.height else ("audit", "imported")
        untold = self._untold(rec, progress, streams)
        labels = drawn if drawn.height else self._imported(rec, untold.found)
        whole = [c for c in changes.held(self.store, rec.name, method) if not c.canary]
        held = whole[0] if whole else None
        question = sweeps.Question(
            method=method,
            grid=sweeps.fixed_grid(
                rec.probable.review_min if method == "probable" else 0.0,
                *([rec.probable.auto_match_floor] if method == "probable" else []),
                *([held.threshold] if held else []),
            ),
            margins=tuple(margins) if margins else (self._margin(rec, method),),
            costs=self.settings.costs,
            currency=self.settings.workspace.currency or _commonest(untold.found),
            possible_pairs=untold.open_pairs.get(method, 0),
            several=rec.cardinality in {"one_to_many", "many_to_many"},
            fmr_max=fmr_max,
        )
        progress(f"{rec.name}: {len(question.grid)} thresholds")
        allowed = authority.authority(
            rec, method, [held] if held else [], now, untold.run.model_hash
        )
        found = sweeps.sweep(untold.found, labels, question)
        about = self._about({rec.name: untold.run})
        return SweepView(found, question, allowed, about, trying.running(self.store, rec.name, now))

    def _imported(self, rec: Reconciliation, found: pl.DataFrame) -> pl.DataFrame:
        mine = self.store.decisions_now().filter(pl.col("reconciliation") == rec.name)
        return outcomes.from_imported(mine, found)

    @staticmethod
    def _margin(rec: Reconciliation, method: str) -> float:
        return rec.probable.margin_min if method == "probable" else 0.0


def _commonest(found: pl.DataFrame) -> str:
    """The currency of most picks; the smaller name where two are as common."""
    counted = found.drop_nulls("currency").group_by("currency").len()
    if counted.is_empty():
        return "USD"
    return str(counted.sort("len", "currency", descending=[True, False])["currency"][0])
