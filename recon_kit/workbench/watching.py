"""Watching promises: whether data are still like those proven on, whether matches still hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.matching.authority import percent
from recon_kit.matching.rules import Rule, parse
from recon_kit.model import Certificate
from recon_kit.money import display
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.resolution import governance
from recon_kit.resolution.approvals import Kind
from recon_kit.settings import Reconciliation
from recon_kit.tuning import audit, canary, drift, parted
from recon_kit.tuning.canary import Watched
from recon_kit.tuning.certify import FMR_MAX
from recon_kit.workbench import changes
from recon_kit.workbench.promote import Promoting


@dataclass(frozen=True, slots=True)
class Held:
    """What is watched: the rate its matches are held to, and whether that was promised of it."""

    kind: Kind
    content_hash: str
    reconciliation: str
    method: str
    share: float
    fmr_max: float
    promised: bool = True


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
        """Judge the matches made under certificates by what was drawn and labelled since.

        May be looked at after every label: evidence grows as an e-process, which raises a false
        alarm with probability 5 % at most, however often one looks (`tuning.canary.watch`). Where a
        certificate, or for `probable` a model, is tried on a share of components, that canary is
        held against the rest. Without a certificate a model on trial is held to 2 % wrong. With
        the method `learned` it is the rule on trial, held to the same: of its matches, or, where it
        keeps pairs apart, of the events from which it keeps another, those it keeps theirs from.
        `.frame` has a row for `all`, or for `canary` and `rest`: `part, state` (`roll_back`,
        `observe`, `go`; null where no certificate acts), `labels, wrong, evidence`, and of the
        current run `left_events` that the method matched or proposed, `matched, automation, money`.

        Args:
            reconciliation: needed where several are declared.
            method: whose certificates; `learned` for the rule on trial.
            apply: roll back what is surely worse than promised.
            by: who rolls back; see `reviewer_name`.
        """
        rec = self._one(reconciliation)
        parts = self._parts(rec, method)
        title = f"Matches under the certificate of {method}, {rec.name}"
        if not parts:
            what = f"certificate of {method}" if method != "learned" else "rule on a share"
            told = f"No {what} is in force; there is nothing to watch."
            return RowsView(title, pl.DataFrame(schema=_WATCHED), (told,))
        found = {name: self._judged(held) for name, held in parts.items()}
        rows = [
            (name, *((w.state, w.labels, w.wrong, w.evidence) if w else (None, 0, 0, None)))
            for name, w in found.items()
        ]
        judged = pl.DataFrame(rows, schema=_JUDGED, orient="row")
        made = self._automation(rec, method, parts.get("canary"))
        frame = judged.join(made, on="part", how="left", maintain_order="left").select(
            list(_WATCHED)
        )
        notes = [_told(name, held, found[name]) for name, held in parts.items()]
        for name, watched in found.items():
            if apply and watched is not None and watched.state == "roll_back":
                notes += self._taken_back(parts[name], watched.said, by)
        return RowsView(title, frame, tuple(notes), _WATCHING)

    def _parts(self, rec: Reconciliation, method: str) -> dict[str, Held | None]:
        """What acts: on all, or on trial and on the rest."""
        tested = changes.tried(self.store, rec.name).get(_KINDS.get(method, ""))
        acting = [
            c for c in changes.held(self.store, rec.name, method)
            if c.voided is None
        ]  # fmt: skip
        whole = [_by_certificate(c) for c in acting if not c.canary]
        canaries = [c for c in acting if c.canary]
        if tested is not None:
            own = [c for c in canaries if c.model_hash == tested.content_hash]
            held = Held(
                _KINDS[method], tested.content_hash, rec.name, method, tested.share,
                own[0].fmr_max if own else FMR_MAX, promised=bool(own),
            )  # fmt: skip
            return {"canary": held, "rest": next(iter(whole), None)}
        if canaries:
            return {"canary": _by_certificate(canaries[0]), "rest": next(iter(whole), None)}
        return {"all": whole[0]} if whole else {}

    def _judged(self, held: Held | None) -> Watched | None:
        """What the labels say that were drawn since something was put in force."""
        if held is None:
            return None
        words = self.store.rows("approvals").filter(pl.col("content_hash") == held.content_hash)
        voided = words.filter(pl.col("verdict") == "voided")["seq"].max()
        placed = words.filter(
            pl.col("verdict").is_in(governance.PUT_IN_FORCE), pl.col("seq") > (voided or 0)
        )
        labels = self._labels_since(held, int(placed["seq"][0]))
        return canary.watch(
            labels["wrong"].to_numpy(), held.fmr_max, began=placed["recorded_at"][0],
            as_of=self.now(), components=labels["component"].to_list(),
        )  # fmt: skip

    def _taken_back(self, held: Held | None, why: str, by: str | None) -> tuple[str, ...]:
        """Roll back one certificate; a canary is in the way of what all others stand under."""
        assert held is not None  # noqa: S101 - only what has labels is judged
        back: dict[str, Any] = {"method": held.method, "reason": why, "by": by}
        if held.kind != "certificate":
            return self.rollback(held.reconciliation, kind=held.kind, **back).notes
        if held.share == 1 and changes.canary(self.store, held.reconciliation, held.method):
            self.rollback(held.reconciliation, **back)
        return self.rollback(held.reconciliation, **back).notes

    def _labels_since(self, held: Held, seq: int) -> pl.DataFrame:
        """Per labelled event under what is watched, in the order of the draw: wrong, component.

        Events that were drawn from runs made after `seq`. Where no component is known, the event is
        one of its own.
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
        rule = self._parting(held)
        if rule is not None:
            made = pl.concat([self._kept_apart(rule, run_id) for run_id in runs] or [_NONE_KEPT])
        else:
            by = _MADE.format(by=_BY[held.kind])
            with self.store.snapshot().engine(runs=runs) as engine:
                made = engine.rows(by, [held.content_hash, held.method])
        return canary.judged(labels, made, parts=rule is not None)

    def _parting(self, held: Held) -> Rule | None:
        """The rule on trial, where it is one that keeps pairs apart."""
        if held.kind != "rule":
            return None
        rows = self.store.rows("rules").filter(pl.col("content_hash") == held.content_hash)
        rule = parse(str(rows["json"][0]))
        return rule if rule.verdict == "not_same" else None

    def _kept_apart(self, rule: Rule, run_id: str) -> pl.DataFrame:
        """What the rule kept apart in a run, asked of the facts that the run saw."""
        rec = self.settings.reconciliation(rule.reconciliation)
        precedence = {s.name: s.precedence for s in self.settings.sources}
        snapshot = self.store.snapshot(self._last_run_seq([run_id]))
        with snapshot.engine(runs=[run_id], precedence=precedence) as engine:
            found = parted.kept_apart(engine, rec, rule, run_id)
        return found.with_columns(run_id=pl.lit(run_id))

    def _automation(self, rec: Reconciliation, method: str, tried: Held | None) -> pl.DataFrame:
        """Of the current run, by part: what was matched by itself of all that could be.

        By the method; or, where a rule is on trial, by any method after the keys.
        """
        run = self._runs(rec.name)[rec.name]
        named = tried.content_hash if tried else None
        methods = "'learned', 'window', 'grouped', 'probable', 'decomposed'"
        query = _STANDING.format(methods="$1" if method != "learned" else f"$1, {methods}")
        with self.store.snapshot().engine(runs=[run.run_id]) as engine:
            rows = engine.rows(query, [method, named, "rest" if tried else "all"])
        sums = rows.filter(pl.col("matched") > 0).group_by("part", "currency", maintain_order=True)
        told = sums.agg(pl.col("amount_minor").sum()).drop_nulls("currency")
        money = pl.DataFrame(
            [(p, display(a, c)) for p, c, a in told.iter_rows()],
            schema={"part": pl.String, "money": pl.String}, orient="row",
        ).group_by("part", maintain_order=True).agg(pl.col("money").str.join(" and "))  # fmt: skip
        counts = rows.group_by("part").agg(pl.col("left_events", "matched").sum())
        share = pl.col("matched") / pl.col("left_events")
        return counts.with_columns(automation=share).join(money, on="part", how="left")


def _by_certificate(held: Certificate) -> Held:
    return Held(
        "certificate", held.certificate_id, held.reconciliation, held.method, held.share,
        held.fmr_max,
    )  # fmt: skip


def _told(part: str, held: Held | None, found: Watched | None) -> str:
    """One part in a sentence."""
    where = "" if part == "all" else f"{part.capitalize()}: "
    if held is None or found is None:
        return f"{where}no certificate acts there."
    name = f"{held.kind} {held.content_hash[:12]}"
    if part == "all":
        return f"{name.capitalize()}: {found.said}."
    on = f" on {percent(held.share)} of components" if held.share < 1 else ""
    aim = "" if held.promised else f", held to {held.fmr_max:.1%} wrong as nothing certifies it"
    return f"{where}{name}{on}{aim}, {found.said}."


# How matches name what they were made under, by its kind.
_BY = {"certificate": "certificate_id", "model": "model_hash", "rule": "rule_id"}
# What of a method is tried on a share beside its certificates.
_KINDS: dict[str, Kind] = {"probable": "model", "learned": "rule"}
# Matches made under it, their partners, and the component of what a canary judged.
_MADE = """
select m.run_id, l.event_key, r.event_key as right_key,
       coalesce(c.component, l.event_key) as component
from (from matches where {by} = $1 and method = $2) m
join match_members l on l.match_id = m.match_id and l.run_id = m.run_id
  and l.side = 'left' and l.counts
join match_members r on r.match_id = m.match_id and r.run_id = m.run_id
  and r.side = 'right' and r.counts
left join (from canary_events where method = $2) c
  on c.run_id = m.run_id and c.event_key = l.event_key"""
_NONE_KEPT = pl.DataFrame(schema={**parted.KEPT_SCHEMA, "run_id": pl.String()})
# Left events that a method matched or proposed in one run, on trial or not.
_STANDING = """
with seen as (
    select l.event_key, true as matched
    from (from matches where method in ({methods}) and disposition = 'auto') m
    join match_members l using (match_id) where l.side = 'left' and l.counts
    union
    select left_key, false from proposals where method in ({methods})
), told as (
    select event_key, max(matched::integer) as matched from seen group by event_key)
select case when c.event_key is not null then 'canary' else $3 end as part, e.currency,
       count(*) as left_events, sum(matched)::bigint as matched,
       sum(abs(e.amount)) filter (matched = 1)::bigint as amount_minor
from told join events e using (event_key)
left join (from canary_events where method = $1 and certificate_id = $2) c using (event_key)
group by all order by all"""
_DRIFT = (
    Column("measure", "Measure"), Column("state", "State", "word"),
    Column("psi", "Index", "number"), Column("reference", "Events then", "count"),
    Column("now", "Events now", "count"), Column("changed_most", "Changed most"),
    Column("share_then", "Share then", "share"), Column("share_now", "Share now", "share"),
)  # fmt: skip
_WATCHING = (
    Column("part", "Part", "word"), Column("state", "State", "word"),
    Column("labels", "Labels", "count"), Column("wrong", "Wrong", "count"),
    Column("evidence", "Evidence", "number"), Column("left_events", "Left events", "count"),
    Column("matched", "Matched", "count"), Column("automation", "Automation", "share"),
    Column("money", "Money matched"),
)  # fmt: skip
_JUDGED: dict[str, pl.DataType] = {
    "part": pl.String(), "state": pl.String(), "labels": pl.Int64(), "wrong": pl.Int64(),
    "evidence": pl.Float64(),
}  # fmt: skip
_WATCHED: dict[str, pl.DataType] = {
    **_JUDGED, "left_events": pl.Int64(), "matched": pl.Int64(), "automation": pl.Float64(),
    "money": pl.String(),
}  # fmt: skip
