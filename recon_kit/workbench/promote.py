"""Promises and who may make them: certify, promote, approve, roll back."""

from __future__ import annotations

from typing import Any

import polars as pl

from recon_kit.errors import CertificationError, GovernanceError
from recon_kit.matching import authority
from recon_kit.matching.authority import percent
from recon_kit.model import Run, StoredModel
from recon_kit.present.promises import CertifyView
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.resolution.approvals import Approval, Kind, next_step, role_for
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
from recon_kit.tuning import audit, drift, lookbook, outcomes
from recon_kit.tuning import certify as certifying
from recon_kit.tuning.certify import Attempt, Plan
from recon_kit.workbench import changes, trying
from recon_kit.workbench.changes import Change
from recon_kit.workbench.face import Progress, quiet
from recon_kit.workbench.untold import Blind

_SHOWN = (
    Column("content_hash", "Hash", "hash"), Column("what", "What"),
    Column("reconciliation", "Reconciliation"), Column("state", "State"),
    Column("said", "Said of it"), Column("author", "Proposed by"),
)  # fmt: skip

_RUN_NEXT = "Next: `recon run`"


class Promoting(Blind):
    """What may be matched without a person, by proof and by approval."""

    def certify(  # noqa: PLR0913 - a promise has these parts, each with a default
        self,
        reconciliation: str | None = None,
        *,
        method: str = "probable",
        fmr_max: float = certifying.FMR_MAX,
        confidence: float = 1 - certifying.DELTA,
        margin: float | None = None,
        model: str | None = None,
        by: str | None = None,
        progress: Progress = quiet,
    ) -> CertifyView:
        """Look whether the audit sample proves a threshold, and keep the look in the ledger.

        Args:
            reconciliation: needed where several are declared.
            method: whose matches; each method has its own certificate.
            fmr_max: at most so many of its matches may be wrong.
            confidence: with what probability that must hold.
            margin: least lead over the best rival; the setting's, where not given.
            model: of a model that is not in use yet, by the first characters of its hash: the
                audit sample speaks of left events, so it judges what any model makes of them.
            by: who asks, and so proposes the certificate; see `reviewer_name`.
            progress: told each stage.

        Raises:
            CertificationError: drawn items wait for an answer, or the plan was changed after a
                look. What cannot be proven yet is no error: the result says what is missing.
        """
        rec, now = self._one(reconciliation), self.now()
        who = reviewer_name(self.settings.workspace, by)
        untold = self._untold(rec, progress, model=self._scoring(rec, model))
        run, found = untold.run, untold.found
        labels = certifying.recent(
            outcomes.from_audit(audit.audit_labels(self.store, rec.name, now)), now
        )
        basis = authority.method_hash(rec, method, run.model_hash)
        if not basis:
            raise CertificationError(
                f"no model has scored {rec.name} yet, so there is nothing to certify; "
                "`recon run` learns one"
            )
        least = margin if margin is not None else getattr(rec.probable, "margin_min", 0.0)
        least = least if method == "probable" else 0.0
        asked = Plan(rec.name, method, basis, least, (), fmr_max, round(1 - confidence, 9))
        plan = self._fixed(asked, found, labels)
        attempt = self._walked(plan, found, labels)
        named = self._kept(attempt, who, run)
        return CertifyView(attempt, named, changes.current(self.store, rec.name, method), now)

    def promote(
        self,
        change: str | None = None,
        *,
        threshold: float | None = None,
        share: float | None = None,
        reconciliation: str | None = None,
        by: str | None = None,
    ) -> RowsView:
        """Put a change in force where it is approved; propose it where nobody has.

        Tightening needs no approval: a certificate that asks for more than the one in force, for
        the same model, acts at once.

        With a `share` under 1 it is tried as a canary: on that share of components (of events that
        compete for one another), chosen by hash; all others stay under what was in force. While a
        model is tried both score everything. `watch` holds the two parts against each other; a
        wider share adds to a narrower one. A certificate of a model on trial acts where that does.

        Args:
            change: first characters of its content hash; without it all changes are listed.
            threshold: a stricter one that the same certificate proves.
            share: of how many components, such as 0.1; of all, where not given.
            reconciliation: whose changes are listed.
            by: who promotes.

        Raises:
            GovernanceError: a share of what is in force for all, or beside another trial.
        """
        if change is None:
            return self._listed(reconciliation)
        who = reviewer_name(self.settings.workspace, by)
        found = changes.find(self.store, change)
        if threshold is not None:
            found = self._stricter(found, threshold, who)
        part = trying.share_of(self.store, found, share)
        # asked before it is proposed: a model that a run learned would be a candidate by that word
        if changes.in_force(self.store, found) and part == trying.acts_on(self.store, found):
            return self._listed(found.reconciliation, f"{_name(found)} is in force already.")
        standing = changes.standing(self.store, self.settings.governance, found)
        if standing.state == "not_proposed":
            standing = self._proposed(found, who)
        if changes.tightens(self.store, found, self.now()) and part == 1:
            self._say(found, who, "promoted", note="stricter than before")
            return self._listed(found.reconciliation, f"{_name(found)} is in force: stricter.")
        if standing.state != "approved":
            said = f"{_name(found)} {standing.said}."
            return self._listed(found.reconciliation, said, *self._next(standing))
        self._say(found, who, "promoted", note=standing.said, share=part if part < 1 else None)
        where = f" on {percent(part)} of components" if part < 1 else ""
        said = f"{_name(found)} is in force{where}, {standing.said}; the next run uses it."
        then = trying.NEXT[found.kind] if where else _RUN_NEXT
        return self._listed(found.reconciliation, said, then)

    def approve(
        self,
        change: str,
        *,
        by: str | None = None,
        role: str | None = None,
        reject: bool = False,
        note: str = "",
    ) -> RowsView:
        """Approve or reject a proposed change, bound to the hash of its content.

        Args:
            change: first characters of its content hash.
            by: who approves; must hold a role of [governance.roles], and not be the author.
            role: for which role, where the person holds several.
            reject: say no instead.
            note: why; kept out of the chain of hashes.

        Raises:
            GovernanceError: the person may not, or nobody proposed the change.
        """
        who = reviewer_name(self.settings.workspace, by)
        found = changes.find(self.store, change)
        before = changes.standing(self.store, self.settings.governance, found)
        if before.state == "not_proposed" and found.author is not None:
            # whoever wrote a rule has asked for it, also before proposing was written down
            self._proposed(found, found.author)
        rows = self.store.rows("approvals")
        held = role_for(rows, self.settings.governance, found.content_hash, who, role)
        self._say(found, who, "rejected" if reject else "approved", role=held, note=note)
        standing = changes.standing(self.store, self.settings.governance, found)
        said = f"{_name(found)} {standing.said}."
        return self._listed(found.reconciliation, said, *self._next(standing))

    def rollback(  # noqa: PLR0913 - what is taken back, each with a default
        self,
        reconciliation: str | None = None,
        *,
        method: str = "probable",
        kind: Kind = "certificate",
        rule: str | None = None,
        reason: str = "rolled back",
        by: str | None = None,
    ) -> RowsView:
        """Go back to what was in force before; where there was nothing, to review by people.

        Nothing is deleted: what is left is voided, and a new row points at the old content. A
        canary is taken back first: its components stand under what all others do again.

        Args:
            reconciliation: needed where several are declared.
            method: of which method, for a certificate.
            kind: certificate, model or rule.
            rule: which rule, by the first characters of its content hash.
            reason: why; kept out of the chain of hashes.
            by: who takes it back.

        Raises:
            GovernanceError: nothing of that kind is in force.
        """
        rec = self._one(reconciliation)
        who = reviewer_name(self.settings.workspace, by)
        ended = [changes.find(self.store, h) for h in self._canaries(rec, kind, method, rule)]
        if ended:
            for left in ended:
                self._say(left, who, "voided", note=reason)
            names = " and ".join(map(_name, ended))
            said = "what is in force for all others acts on its components again"
            verb = "are void as canaries" if len(ended) > 1 else "is void as a canary"
            return self._listed(rec.name, f"{names} {verb}; {said}.")
        order = changes.before(self.store, kind, rec.name, method)
        if kind == "rule":
            order = [c for c in order if rule and c.startswith(rule)]
        acting = [c for c in order if changes.in_force(self.store, changes.find(self.store, c))]
        if not acting:
            raise GovernanceError(
                f"no {kind} of {rec.name} that is meant is in force, so there is nothing to roll "
                "back; `recon promote` lists all changes. Nothing was recorded."
            )
        left = changes.find(self.store, acting[-1])
        earlier = order[: order.index(left.content_hash)]
        self._say(left, who, "voided", note=reason)
        if kind == "rule" or not earlier:
            return self._listed(rec.name, f"{_name(left)} is void from the next run on.")
        back = changes.find(self.store, earlier[-1])
        self._say(back, who, "rolled_back", note=reason)
        return self._listed(rec.name, f"{_name(left)} is void; {_name(back)} is in force again.")

    def _canaries(
        self, rec: Reconciliation, kind: Kind, method: str, rule: str | None
    ) -> list[str]:
        """What is tried on a share of components and meant; a model takes its certificate along."""
        held = changes.canary(self.store, rec.name, method)
        if kind == "certificate":
            return [held.certificate_id] if held else []
        tried = changes.tried(self.store, rec.name).get(kind)
        if tried is None or not tried.content_hash.startswith(rule or ""):
            return []
        if kind == "model" and held and held.model_hash == tried.content_hash:
            return [tried.content_hash, held.certificate_id]
        return [tried.content_hash]

    # --- steps ---------------------------------------------------------------------------------

    def _scoring(self, rec: Reconciliation, named: str | None) -> StoredModel | None:
        """The model that is named; none where none is, which stands for the one in use."""
        if named is None:
            return None
        found = changes.find(self.store, named)
        if found.kind != "model" or found.reconciliation != rec.name:
            raise CertificationError(f"{_name(found)} is no model of {rec.name}")
        return self.store.model(found.content_hash)

    def _fixed(self, asked: Plan, found: pl.DataFrame, labels: pl.DataFrame) -> Plan:
        """The plan that stands in the ledger, put there now where there is none and it can be."""
        before = lookbook.plan_before(self.store.rows("certificates"), asked)
        if before is not None:
            return before
        pairs = outcomes.matchable(found, asked.method, asked.margin)
        frame = outcomes.frame_of(pairs)
        drawn = frame.join(labels, on="left_key", how="semi")["matched_at"]
        grid = certifying.fix_grid(frame["matched_at"], drawn, asked.fmr_max, asked.delta)
        plan = Plan(
            asked.reconciliation, asked.method, asked.model_hash, asked.margin, grid,
            asked.fmr_max, asked.delta,
        )  # fmt: skip
        if grid:
            self.store.append("certificates", lookbook.plan_row(plan), self._clock())
        return plan

    def _walked(self, plan: Plan, found: pl.DataFrame, labels: pl.DataFrame) -> Attempt:
        """One walk; what it may spend is halved by every earlier look at the same labels."""
        rows = self.store.rows("certificates")
        first = certifying.certify(found, labels, plan)
        looks = lookbook.looks_before(rows, first)
        return certifying.certify(found, labels, plan, looks) if looks else first

    def _kept(self, attempt: Attempt, who: str, run: Run) -> str | None:
        """Keep a look and propose what it certified; the certificate's id, if there is one."""
        if not attempt.label_hashes:
            return None
        rows = self.store.rows("certificates")
        named = lookbook.same_look(rows, attempt)
        if named is None:
            row = lookbook.look_row(attempt, self.now(), self._reference(attempt, run))
            self.store.append("certificates", row, self._clock())
            named = str(row["certificate_id"][0])
            if attempt.passed:
                self._say(changes.find(self.store, named), who, "proposed")
        return named if attempt.passed else None

    def _reference(self, attempt: Attempt, run: Run) -> dict[str, Any] | None:
        """What later data will be held against; none where nothing was certified."""
        if not attempt.passed:
            return None
        rec = self.settings.reconciliation(attempt.plan.reconciliation)
        passed = attempt.steps.filter("passed")["threshold"].to_list()
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(runs=[run.run_id], precedence=precedence) as engine:
            promise = (attempt.plan.method, attempt.plan.margin, passed)
            return drift.reference(engine, rec, run, promise)

    def _proposed(self, found: Change, who: str) -> Approval:
        """Propose a change; whoever wrote it is its author, whoever asks for it."""
        self._say(found, found.author or who, "proposed")
        return changes.standing(self.store, self.settings.governance, found)

    def _next(self, standing: Approval) -> list[str]:
        step = next_step(standing, self.settings.governance)
        return [step] if step else []

    def _stricter(self, found: Change, threshold: float, who: str) -> Change:
        if found.kind != "certificate":
            raise GovernanceError(f"a {found.kind} has no threshold. Nothing was recorded.")
        row = lookbook.stricter(self.store.rows("certificates"), found.content_hash, threshold)
        named = str(row["certificate_id"][0])
        if named not in changes.known(self.store)["content_hash"].to_list():
            self.store.append("certificates", row, self._clock())
            self._say(changes.find(self.store, named), who, "proposed")
        return changes.find(self.store, named)

    def _say(self, change: Change, who: str, verdict: str, **more: Any) -> None:
        row = {
            "content_hash": change.content_hash, "kind": change.kind, "approver": who,
            "verdict": verdict, "role": None, "note": None, "share": None, **more,
        }  # fmt: skip
        kinds = {"role": pl.String, "note": pl.String, "share": pl.Float64}
        frame = pl.DataFrame([row], schema_overrides=kinds)
        self.store.append("approvals", frame, self._clock())

    def _listed(self, reconciliation: str | None, *said: str) -> RowsView:
        frame = changes.states(self.store, self.settings.governance, reconciliation)
        return RowsView("Changes to what is matched without a person", frame, said, _SHOWN)


def _name(change: Change) -> str:
    return f"{change.kind} {change.content_hash[:12]} ({change.what})"
