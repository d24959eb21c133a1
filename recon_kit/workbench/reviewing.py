"""Reviewing: the questions that wait for a person, on a screen that takes one key per answer."""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.entries import in_force
from recon_kit.model import Run
from recon_kit.present.review import ReviewView
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
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
        with self._current(reconciliation) as (engine, about):
            read = asked.read(engine, recs, self._open_draws(runs))
        sitting = Sitting(
            store=self.store,
            settings=self.settings,
            reviewer=reviewer_name(self.settings.workspace, reviewer),
            asked=read,
            base_seq={name: run.as_of_seq for name, run in runs.items()},
            clock=self._clock,
            find=self._found,
        )
        return ReviewView(LedgerDesk(sitting), about, blind)

    def _open_draws(self, runs: dict[str, Run]) -> pl.DataFrame:
        """Drawn left events without a label when their reconciliation ran last."""
        columns = ["reconciliation", "event_key"]
        known = pl.DataFrame(
            [(name, run.as_of_seq) for name, run in runs.items()],
            schema={"reconciliation": pl.String, "base": pl.Int64}, orient="row",
        )  # fmt: skip
        said = in_force(self.store.decisions()).join(known, on="reconciliation")
        labelled = said.filter(pl.col("stream") == "audit", pl.col("seq") <= pl.col("base"))
        drawn = self.store.rows("audit_draws").drop_nulls("event_key")
        return (
            drawn.join(known, on="reconciliation", how="semi")
            .join(labelled.rename({"left_key": "event_key"}), on=columns, how="anti")
            .select(columns)
            .unique()
            .sort(columns)
        )

    def _found(self, rec: Reconciliation, side: str, text: str) -> pl.DataFrame:
        """The facts of the event that a reviewer names by its id."""
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(precedence=precedence) as engine:
            on_left = side == "left"
            key = naming.event_named(engine, rec, "left" if on_left else "right", text)
            return asked.facts(engine, [key])
