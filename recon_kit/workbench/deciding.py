"""Decisions: what people say, taken down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from recon_kit.errors import DecisionRefusedError
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.leases import Lease, subject_of
from recon_kit.present.rows import RowsView
from recon_kit.resolution import decisions as decision_room
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
from recon_kit.tuning import draws
from recon_kit.tuning import labels as label_room
from recon_kit.workbench import naming
from recon_kit.workbench.sayings import crossed
from recon_kit.workbench.standing import Standing
from recon_kit.workdays import add_duration


class Deciding(Standing):
    """What people say."""

    def decide(  # noqa: PLR0913 - a decision has so many parts, each with a default
        self,
        left: str | None,
        right: str | None = None,
        verdict: str = "",
        *,
        reconciliation: str | None = None,
        reason: str | None = None,
        note: str | None = None,
        reviewer: str | None = None,
        score_shown: bool = True,
        evidence_hash: str | None = None,
        lease_token: int | None = None,
        effective_at: datetime | None = None,
    ) -> RowsView:
        """Record one decision; when this returns, it is on the disk.

        Args:
            left: a left event by event key or native id; for `accept_residual` and `write_off`
                also a match id, for `same`, `not_same` and `unsure` also the id of a proposed
                answer, which is then judged as a whole; its first six characters will do.
            right: a right event, likewise; none where the verdict speaks of one event.
            verdict: same, not_same, unsure, no_counterpart, accept_residual or write_off.
            reconciliation: to which it belongs; needed where several are declared.
            reason: a reason code (`resolution.decisions.REASONS`, or one of `[review] reasons`);
                verdicts that move money need one.
            note: free text, kept out of the chain of hashes.
            reviewer: who decides; see `resolution.identity.reviewer_name`.
            score_shown: whether the person saw what the system thought of the pair. A blind answer
                about an event of the audit sample is its audit label.
            evidence_hash: hash of the facts that were shown; the decision is refused where they
                have changed since.
            lease_token: token of the claim under which the person looked.
            effective_at: when it was decided, where that is not now.

        Raises:
            UnknownNameError: no event has the name.
            DecisionRefusedError: the decision lacks something or contradicts the facts.
            LeaseHeldError, StaleClaimError: somebody else is at work on the item.
        """
        rec = self._one(reconciliation)
        with self._deciding(rec) as (engine, run_id):
            pairs = self._meant(engine, rec, left, right, verdict, run_id)
            asked = decision_room.judgements(
                pairs, verdict=verdict, reason_code=reason, note=note,
                evidence_hash=evidence_hash, lease_token=lease_token,
            )  # fmt: skip
            context = decision_room.Context(
                reviewer=reviewer_name(self.settings.workspace, reviewer),
                score_shown=score_shown,
                effective_at=effective_at,
                bundle_id=decision_room.new_bundle() if pairs.height > 1 else None,
                reasons=self.settings.review.reasons,
                run_id=run_id,
            )
            if not score_shown:
                asked, context = self._audited(asked, rec, context)
            drafted = decision_room.draft(engine, asked, rec, context)
            notes = crossed(engine, self.store.decisions(), drafted.rows, rec)
        return self._record(drafted, notes)

    def decide_many(  # noqa: PLR0913 - a decision has so many parts, each with a default
        self,
        pairs: pl.DataFrame,
        verdict: str,
        *,
        reconciliation: str | None = None,
        reason: str | None = None,
        note: str | None = None,
        reviewer: str | None = None,
        score_shown: bool = True,
    ) -> RowsView:
        """Record one verdict on many pairs as one bundle: all of it, or nothing; one commit.

        Args:
            pairs: `left_key` and `right_key`, such as `bench.proposals().frame`.
            verdict: what is said of each.
            reconciliation: to which they belong; needed where several are declared.
            reason: a reason code for all of them.
            note: free text for all of them.
            reviewer: who decides.
            score_shown: whether the person saw what the system thought of the pairs.

        Raises:
            DecisionRefusedError: one of them cannot be recorded; then none is.
        """
        rec = self._one(reconciliation)
        bundle = decision_room.new_bundle()
        with self._deciding(rec) as (engine, run_id):
            asked = decision_room.judgements(pairs, verdict=verdict, reason_code=reason, note=note)
            context = decision_room.Context(
                reviewer=reviewer_name(self.settings.workspace, reviewer),
                score_shown=score_shown,
                bundle_id=bundle,
                reasons=self.settings.review.reasons,
                run_id=run_id,
            )
            drafted = decision_room.draft(engine, asked, rec, context)
            notes = crossed(engine, self.store.decisions(), drafted.rows, rec)
        return self._record(drafted, notes)

    def undo(
        self,
        seq: int | None = None,
        *,
        bundle: str | None = None,
        reviewer: str | None = None,
        reason: str | None = None,
        note: str | None = None,
    ) -> RowsView:
        """Take a decision back, or a whole bundle, by further rows; nothing is deleted.

        Args:
            seq: which decision; that of an undo brings the first one back. Where neither `seq`
                nor `bundle` is given: the reviewer's newest decision in force, with its bundle.
            bundle: which bundle.
            reviewer: who takes it back.
            reason: why, as a code.
            note: why, in words.

        Raises:
            DecisionRefusedError: there is no such decision in force.
        """
        who = reviewer_name(self.settings.workspace, reviewer)
        targets = decision_room.undoable(self.store.decisions(), who, seq=seq, bundle=bundle)
        rows = decision_room.undo_rows(targets, who, reason_code=reason, note=note)
        return self._record(decision_room.Drafted(rows, pl.DataFrame()))

    def claim(
        self, left: str, *, reconciliation: str | None = None, reviewer: str | None = None
    ) -> Lease:
        """Take a left event to decide about; until the lease runs out nobody else may decide it.

        Raises:
            LeaseHeldError: somebody else is at work on it.
        """
        rec = self._one(reconciliation)
        now, lease = self._clock(), self.settings.review.lease
        with self._deciding(rec) as (engine, _):
            key = naming.event_named(engine, rec, "left", left)
        place = self.settings.workspace
        return self.store.claim(
            subject_of(rec.name, key),
            reviewer_name(place, reviewer),
            now=now,
            until=add_duration(now, lease.count, lease.unit, place.timezone, place.holidays),
        )

    def release(self, lease: Lease) -> None:
        """Give a claimed item back before its time."""
        self.store.release(lease, now=self._clock())

    def import_labels(self, file: Path | str, reconciliation: str | None = None) -> RowsView:
        """Bring in labels that were decided elsewhere, as decisions.

        Args:
            file: a CSV or parquet file; `tuning.labels.COLUMNS` names its columns. What
                `export_labels` wrote may come back with its labels filled in.
            reconciliation: to which they belong; needed where several are declared.
        """
        rec = self._one(reconciliation)
        now = self._clock()
        with self.store.snapshot().engine() as engine:
            found = label_room.resolve(
                engine, label_room.read_labels(Path(file)), rec, now,
                draws=self.store.rows("audit_draws"),
            )  # fmt: skip
        if not found.decisions.is_empty():
            self.store.add_decisions(found.decisions, recorded_at=now)
        notes = (f"{found.decisions.height:,} labels imported into {rec.name}.",)
        return RowsView("Rows that were not imported", found.problems, notes)

    def draw_audit(
        self,
        reconciliation: str | None = None,
        *,
        rate: float = 0.02,
        count: int | None = None,
        strata: Literal["none", "method", "amount", "canary"] = "none",
        rates: Mapping[str, float] | None = None,
    ) -> RowsView:
        """Draw left events of the current run for the audit sample, and log the draw.

        Which were drawn is not shown: they come in the ordinary queue without a mark.

        Args:
            reconciliation: whose; needed where several are declared.
            rate: share of the left events that were decided.
            count: about so many new items instead of a rate.
            strata: `method`, `amount` or `canary` gives every method, every band of amounts, or
                what a canary judged and the rest a rate of its own.
            rates: those rates by stratum; all others have `rate`.

        Raises:
            SettingsError: a rate is no share, or a stratum is unknown.
            WorkspaceError: nothing has been reconciled yet.
        """
        rec = self._one(reconciliation)
        run = self._runs(rec.name)[rec.name]
        place, wait, now = (
            self.settings.workspace,
            self.settings.review.audit_deadline,
            self._clock(),
        )
        deadline = add_duration(now, wait.count, wait.unit, place.timezone, place.holidays)
        plan = draws.DrawPlan(rate, count, strata, rates or {})
        with self._current(rec.name) as (engine, _):
            drawn = draws.draw(
                engine, rec, run, plan,
                secret=self.store.audit_secret(),
                earlier=self.store.rows("audit_draws"), deadline=deadline,
            )  # fmt: skip
        self.store.append("audit_draws", drawn.rows, now)
        new = int(drawn.strata["new"].sum())
        said = (
            f"{new:,} new items of {rec.name} are in the queue, to be labelled by "
            f"{deadline:%Y-%m-%d}; then they count as wrong."
            if not drawn.rows.is_empty()
            else "This draw is in the log already; nothing was added."
        )
        return RowsView("Audit sample", drawn.strata, (said,))

    def _audited(
        self, asked: pl.DataFrame, rec: Reconciliation, context: decision_room.Context
    ) -> tuple[pl.DataFrame, decision_room.Context]:
        """A blind answer about a drawn event is an audit label, with the logged probability."""
        draws = self.store.rows("audit_draws").filter(pl.col("reconciliation") == rec.name)
        chances = draws.group_by("event_key").agg(pl.col("inclusion_probability").max())
        told = asked.drop("inclusion_probability").join(
            chances, left_on="left_key", right_on="event_key", how="left"
        )
        drawn = told["inclusion_probability"].null_count() < told.height
        return told, replace(context, stream="audit") if drawn else context

    @contextmanager
    def _deciding(self, rec: Reconciliation) -> Iterator[tuple[Engine, str | None]]:
        """All facts of now, beside the results of the current run where there is one."""
        run = self.store.current_run(rec.name)
        precedence = {s.name: s.precedence for s in self.settings.sources}
        ids = [run.run_id] if run is not None else []
        with self.store.snapshot().engine(runs=ids, precedence=precedence) as engine:
            yield engine, run.run_id if run is not None else None

    def _meant(  # noqa: PLR0913, PLR0917 - what a person typed, and where it is looked up
        self, engine: Engine, rec: Reconciliation, left: str | None, right: str | None,
        verdict: str, run_id: str | None,
    ) -> pl.DataFrame:  # fmt: skip
        """The pairs, or the lone event, that the names a person typed stand for."""
        pair: tuple[str | None, str | None] | None = None
        if left is not None and right is None and run_id is not None:
            if verdict in ("same", "not_same", "unsure"):
                proposed = naming.question_named(engine, rec, left, verdict)
                if proposed is not None:
                    return proposed
            if verdict in decision_room.MONEY_VERDICTS:
                pair = naming.match_named(engine, rec, left)
        if pair is None:
            pair = (
                naming.event_named(engine, rec, "left", left) if left is not None else None,
                naming.event_named(engine, rec, "right", right) if right is not None else None,
            )
        schema = {"left_key": pl.String, "right_key": pl.String}
        return pl.DataFrame([pair], schema=schema, orient="row")

    def _record(self, drafted: decision_room.Drafted, notes: tuple[str, ...] = ()) -> RowsView:
        """Commit drafted rows in one transaction, and show what was recorded."""
        decision_room.refuse(drafted.problems)
        now = self._clock()
        if drafted.rows.is_empty():
            raise DecisionRefusedError("there is nothing to decide: no pair was given.")
        rows = drafted.rows.with_columns(
            effective_at=pl.coalesce("effective_at", pl.lit(now, dtype=pl.Datetime("us", "UTC")))
        )
        first = self.store.add_decisions(rows, recorded_at=now)
        shown = rows.select(
            seq=pl.int_range(first, first + rows.height, dtype=pl.Int64),
            **{n: pl.col(n) for n in _SHOWN},
        )
        told = f"{rows.height:,} recorded by {rows['reviewer'][0]}."
        return RowsView("Recorded", shown, (told, *notes))


_SHOWN = (
    "reconciliation", "verdict", "left_key", "right_key", "reason_code", "reviewer", "bundle_id",
    "undoes",
)  # fmt: skip
