"""Reviewing: the questions that wait for a person, on a screen that takes one key per answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from recon_kit.model import Run
from recon_kit.present.base import About
from recon_kit.present.questions import REASONS
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
from recon_kit.tuning import agreement, audit, outcomes, worklist
from recon_kit.workbench import asked, naming
from recon_kit.workbench.desk import LedgerDesk, Sitting
from recon_kit.workbench.distilling import Distilling

if TYPE_CHECKING:
    from recon_kit.present.review import ReviewView


class Reviewing(Distilling):
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
        at any moment and go on later where it was. `reconcile` applies the decisions. What another
        person judged and a second one should (`second_looks`) stands among the rest, without a
        mark, asked blind.

        Args:
            reconciliation: which questions; of all that were reconciled, where not given.
            blind: leave out scores, weights, reasons and everything else the system thinks.
            reviewer: under which name decisions are recorded; see `resolution.identity`.
        """
        from recon_kit.present.review import ReviewView  # loads Jupyter's widgets

        runs = self._runs(reconciliation)
        who = reviewer_name(self.settings.workspace, reviewer)
        read, drawn, about = self._waiting(reconciliation, runs, who)
        sitting = Sitting(
            store=self.store,
            settings=self.settings,
            reviewer=who,
            asked=read,
            drawn=drawn,
            base_seq={name: run.as_of_seq for name, run in runs.items()},
            clock=self._clock,
            find=self._found,
            remember=self._remember,
        )
        return ReviewView(LedgerDesk(sitting), about, blind)

    def worklist(  # noqa: PLR0913 - one argument for each filter, all optional
        self,
        reconciliation: str | None = None,
        *,
        method: str | None = None,
        reason: str | None = None,
        currency: str | None = None,
        amount_minor_min: int | None = None,
        amount_minor_max: int | None = None,
        minute_cost: Mapping[str, int] | None = None,
    ) -> RowsView:
        """What waits for a judgement, most worth a minute first, and when more stops paying.

        Questions that are asked blind (the audit sample, and as many others) show nothing of what
        the system thinks.

        Args:
            reconciliation: of all that were reconciled, where not given.
            method: only proposed by this method.
            reason: only asked for this reason (`why_code`).
            currency: only in this currency.
            amount_minor_min: only this amount or more, in minor units.
            amount_minor_max: only this amount or less.
            minute_cost: by currency, what a minute of review costs in minor units.
        """
        runs = self._runs(reconciliation)
        read, _, _ = self._waiting(reconciliation, runs)
        open_ones = read.questions
        blind = pl.col("decoy") | (pl.col("stream") == "audit")
        wanted = {"method": method, "why_code": reason, "currency": currency}
        tests = [pl.col(name) == value for name, value in wanted.items() if value is not None]
        amount = pl.col("amount_minor").abs()
        tests += [amount >= amount_minor_min] if amount_minor_min is not None else []
        tests += [amount <= amount_minor_max] if amount_minor_max is not None else []
        kept = open_ones.filter(blind | pl.all_horizontal(tests)) if tests else open_ones
        names = read.facts.select("event_key", native_id="native_id")
        thought = ("method", "why_code", "confidence", "doubt", "stake_minor", "minutes", "value")
        shown = (
            kept.with_columns(pl.when(~blind).then(pl.col(n)).alias(n) for n in thought)
            .join(names, left_on="asked_key", right_on="event_key", how="left",
                  maintain_order="left")
            .select("native_id", "reconciliation", "amount_minor", "currency", "candidates",
                    *thought, blind=blind, event_key="asked_key")
            .with_columns(item=pl.coalesce("native_id", pl.col("event_key").str.head(8)),
                          why=_why_asked())
        )  # fmt: skip
        stop = worklist.stop(kept, minute_cost)
        return RowsView("Worklist", shown, (stop.said, *_beside(kept, blind)), _WORKLIST)

    def _waiting(
        self, reconciliation: str | None, runs: dict[str, Run], reviewer: str | None = None
    ) -> tuple[asked.Asked, pl.DataFrame, About]:
        """The questions of the current runs, the drawn events among them, and from when.

        For a `reviewer` also what others judged that a second person is asked.
        """
        recs = [r for r in self.settings.reconciliations if r.name in runs]
        drawn = self._open_draws(runs)
        again = self._asked_again(recs, reviewer) if reviewer is not None else None
        with self._current(reconciliation) as (engine, about):
            read = asked.read(engine, recs, drawn, self.store.audit_secret(), again)
        if again is not None:
            told = again.filter(pl.col("stream") == "audit").rename({"left_key": "event_key"})
            drawn = pl.concat([drawn, told.select(drawn.columns).unique()])
        return read, drawn, about

    def _asked_again(self, recs: list[Reconciliation], reviewer: str) -> pl.DataFrame:
        """What a reviewer is asked because another judged it, with the chance of drawn events."""
        chances = self.store.rows("audit_draws").group_by("reconciliation", "event_key").agg(
            pl.col("inclusion_probability").max()
        )  # fmt: skip
        found = [
            self._second(rec)[0].select(pl.lit(rec.name).alias("reconciliation"), pl.all())
            for rec in recs
        ]
        others = pl.concat(found).filter(pl.col("not_by") != reviewer)
        return others.join(
            chances, left_on=["reconciliation", "left_key"],
            right_on=["reconciliation", "event_key"], how="left", maintain_order="left",
        )  # fmt: skip

    def _second(self, rec: Reconciliation) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Pairs that a second person is asked about (`SECOND_SCHEMA`), and their facts."""
        said = self.store.decisions().filter(pl.col("reconciliation") == rec.name)
        labels = audit.audit_labels(self.store, rec.name, self.now())
        once = labels.filter(
            pl.col("label").is_in(["counterpart", "none"]), pl.col("reviewers") == 1
        )
        runs = once["run_id"].unique().sort().to_list()
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(runs=runs, precedence=precedence) as engine:
            picked = [
                outcomes.picks(engine, rec, run).join(
                    once.filter(pl.col("run_id") == run), left_on="left_key",
                    right_on="event_key", how="semi",
                )
                for run in runs
            ]  # fmt: skip
            found = agreement.second_work(engine, said, self.store.audit_secret())
            if picked:
                found = pl.concat([agreement.second_audit(labels, pl.concat(picked)), found])
            keys = [*found["left_key"], *found["right_key"]]
            return found, asked.facts(engine, keys)

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
            return asked.facts(engine, [key], (rec,))


# What `worklist` shows of its frame; a question that is asked blind tells nothing that is thought.
_WORKLIST = (
    Column("item", "Item", "code"), Column("reconciliation", "Reconciliation"),
    Column("amount_minor", "Amount", "money"),
    Column("stake_minor", "May be misjudged", "money"), Column("minutes", "Minutes", "number"),
    Column("candidates", "Candidates", "count"), Column("method", "Method", "word"),
    Column("confidence", "Confidence", "share"), Column("why", "Why a person is asked"),
)  # fmt: skip


def _why_asked() -> pl.Expr:
    """The reason of a question in words; of one that is asked blind only that it is."""
    reason = pl.col("why_code").replace_strict(REASONS, default=pl.col("why_code"))
    return pl.when("blind").then(pl.lit("asked blind")).otherwise(reason)


def _beside(questions: pl.DataFrame, blind: pl.Expr) -> list[str]:
    """How many of the questions the sentence on what pays does not speak of, and why."""
    drawn = questions.filter(stream="audit").height
    worth = questions.filter(pl.col("stream") != "audit", pl.col("stake_minor") > 0).height
    rest = questions.height - drawn - worth
    told = []
    if rest:
        told.append(
            f"{rest:,} further question{'s' * (rest != 1)} put no money in doubt: the amount is "
            "unknown, or the answer hardly changes what is matched."
        )
    if questions.filter(blind).height:
        told.append("Questions asked blind stand at random places among the first.")
    return told
