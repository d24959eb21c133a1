"""Watching promises: whether data are still like those proven on, whether matches still hold."""

from __future__ import annotations

import polars as pl

from recon_kit.model import Certificate
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.resolution import governance
from recon_kit.tuning import audit, canary, drift
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
        notes = (f"Certificate {mine[0].certificate_id[:12]} {state}.", said)
        return RowsView(title, found, notes, _DRIFT)

    def watch(
        self,
        reconciliation: str | None = None,
        *,
        method: str = "probable",
        apply: bool = False,
        by: str | None = None,
    ) -> RowsView:
        """Judge the matches made under a certificate by what was drawn and labelled since.

        May be looked at after every label: evidence grows as an e-process, which raises a false
        alarm with probability 5 % at most, however often one looks (`tuning.canary.watch`).
        `.frame` has one row: `state` (`roll_back`, `observe`, `go`), `labels, wrong, evidence`.

        Args:
            reconciliation: needed where several are declared.
            method: whose certificate.
            apply: roll the certificate back where its matches are surely worse than promised.
            by: who rolls back; see `reviewer_name`.
        """
        rec, now = self._one(reconciliation), self.now()
        said = self.store.rows("approvals")
        held = governance.certificates(self.store.rows("certificates"), said, rec.name)
        mine = [c for c in held if c.method == method and c.voided is None]
        title = f"Matches under the certificate of {method}, {rec.name}"
        if not mine:
            told = f"No certificate of {method} is in force; there is nothing to watch."
            return RowsView(title, pl.DataFrame(schema=_WATCHED), (told,))
        placed = said.filter(
            pl.col("content_hash") == mine[0].certificate_id,
            pl.col("verdict").is_in(governance.PUT_IN_FORCE),
        )
        began = placed["recorded_at"][-1]
        wrong = self._wrong_since(mine[0], int(placed["seq"][-1]))
        found = canary.watch(wrong.to_numpy(), mine[0].fmr_max, began=began, as_of=now)
        notes = [f"{found.said[0].upper()}{found.said[1:]}."]
        if found.state == "roll_back" and apply:
            notes += self.rollback(rec.name, method=method, reason=found.said, by=by).notes
        row = (found.state, found.labels, found.wrong, found.evidence)
        frame = pl.DataFrame([row], schema=_WATCHED, orient="row")
        return RowsView(title, frame, tuple(notes), _WATCHING)

    def _wrong_since(self, held: Certificate, seq: int) -> pl.Series:
        """Per labelled match under a certificate, in the order of the draw: whether it is wrong.

        Events that were drawn from runs made after `seq`. An answer that never came is wrong; a
        match with one partner that was not named is.
        """
        draws = self.store.rows("audit_draws").filter(
            pl.col("reconciliation") == held.reconciliation
        )
        first = draws.drop_nulls("event_key").group_by("event_key").agg(pl.col("seq").min())
        labels = (
            audit.label_frame(draws, self.store.decisions(), self.now())
            .join(first, on="event_key")
            .filter(pl.col("seq") > seq, pl.col("label") != "open")
        )
        runs = labels["run_id"].unique().sort().to_list()
        with self.store.snapshot().engine(runs=runs) as engine:
            made = engine.rows(
                """
                select m.run_id, l.event_key, r.event_key as right_key
                from (from matches where certificate_id = $1) m
                join match_members l on l.match_id = m.match_id and l.run_id = m.run_id
                  and l.side = 'left' and l.counts
                join match_members r on r.match_id = m.match_id and r.run_id = m.run_id
                  and r.side = 'right' and r.counts""",
                [held.certificate_id],
            )
        judged = labels.join(made, on=["run_id", "event_key"])
        named = pl.col("right_key").is_in("right_keys").fill_null(False)
        each = judged.group_by("seq", "event_key").agg(wrong=(~named).any())
        return each.sort("seq", "event_key")["wrong"]


_DRIFT = (
    Column("measure", "Measure"), Column("state", "State", "word"),
    Column("psi", "Index", "number"), Column("reference", "Events then", "count"),
    Column("now", "Events now", "count"), Column("changed_most", "Changed most"),
    Column("share_then", "Share then", "share"), Column("share_now", "Share now", "share"),
)  # fmt: skip
_WATCHING = (
    Column("state", "State", "word"), Column("labels", "Labels", "count"),
    Column("wrong", "Wrong", "count"), Column("evidence", "Evidence", "number"),
)  # fmt: skip
_WATCHED: dict[str, pl.DataType] = {
    "state": pl.String(), "labels": pl.Int64(), "wrong": pl.Int64(), "evidence": pl.Float64(),
}  # fmt: skip
