"""Reviewing: the questions that wait for a person, on a screen that takes one key per answer."""

from __future__ import annotations

import polars as pl

from recon_kit.model import Run
from recon_kit.present.review import ReviewView
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
from recon_kit.tuning import audit
from recon_kit.workbench import asked, naming
from recon_kit.workbench.desk import LedgerDesk, Sitting
from recon_kit.workbench.face import Face


class Reviewing(Face):
    """People judge what no method may decide by itself."""

    def review(
        self,
        reconciliation: str | None = None,
        *,
        blind: bool = False,
        reviewer: str | None = None,
    ) -> ReviewView:
        """Show what waits for a judgement; in Jupyter a screen that is worked by single keys.

        Every decision is in the ledger before the next question appears, so that a sitting can end
        at any moment and go on later where it was. `reconcile` applies the decisions.

        Args:
            reconciliation: which questions; of all that were reconciled, where not given.
            blind: leave out scores, weights, reasons and everything else the system thinks.
            reviewer: under which name decisions are recorded; see `resolution.identity`.
        """
        runs = self._runs(reconciliation)
        recs = [r for r in self.settings.reconciliations if r.name in runs]
        drawn = self._open_draws(runs)
        with self._current(reconciliation) as (engine, about):
            read = asked.read(engine, recs, drawn)
        sitting = Sitting(
            store=self.store,
            settings=self.settings,
            reviewer=reviewer_name(self.settings.workspace, reviewer),
            asked=read,
            drawn=drawn,
            base_seq={name: run.as_of_seq for name, run in runs.items()},
            clock=self._clock,
            find=self._found,
        )
        return ReviewView(LedgerDesk(sitting), about, blind)

    def _open_draws(self, runs: dict[str, Run]) -> pl.DataFrame:
        """Drawn left events that had no label when their reconciliation ran last.

        Those that reviewers disagree about wait for somebody who settles it, not for one more say.
        """
        draws = self.store.rows("audit_draws")
        labels = [
            audit.label_frame(
                draws.filter(pl.col("reconciliation") == name),
                self.store.decisions(run.as_of_seq),
                self._clock(),
            )
            .filter(pl.col("label") == "open", ~pl.col("disputed"))
            .select(pl.lit(name).alias("reconciliation"), "event_key", "inclusion_probability")
            for name, run in runs.items()
        ]
        return pl.concat(labels)

    def _found(self, rec: Reconciliation, side: str, text: str) -> pl.DataFrame:
        """The facts of the event that a reviewer names by its id."""
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(precedence=precedence) as engine:
            on_left = side == "left"
            key = naming.event_named(engine, rec, "left" if on_left else "right", text)
            return asked.facts(engine, [key])
