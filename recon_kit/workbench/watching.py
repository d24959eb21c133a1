"""Watching promises: whether data are still like those proven on, whether matches still hold."""

from __future__ import annotations

import polars as pl

from recon_kit.matching.authority import percent
from recon_kit.model import Certificate
from recon_kit.money import display
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.resolution import governance
from recon_kit.settings import Reconciliation
from recon_kit.tuning import audit, canary, drift
from recon_kit.tuning.canary import Watched
from recon_kit.workbench import changes
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
        """Judge the matches made under certificates by what was drawn and labelled since.

        May be looked at after every label: evidence grows as an e-process, which raises a false
        alarm with probability 5 % at most, however often one looks (`tuning.canary.watch`). Where a
        certificate is tried on a share of components, that canary is held against the rest.
        `.frame` has a row for `all`, or for `canary` and `rest`: `part, state` (`roll_back`,
        `observe`, `go`; null where no certificate acts), `labels, wrong, evidence`, and of the
        current run `left_events` that the method matched or proposed, `matched, automation, money`.

        Args:
            reconciliation: needed where several are declared.
            method: whose certificates.
            apply: roll back what is surely worse than promised.
            by: who rolls back; see `reviewer_name`.
        """
        rec = self._one(reconciliation)
        acting = [c for c in changes.held(self.store, rec.name, method) if c.voided is None]
        title = f"Matches under the certificate of {method}, {rec.name}"
        if not acting:
            told = f"No certificate of {method} is in force; there is nothing to watch."
            return RowsView(title, pl.DataFrame(schema=_WATCHED), (told,))
        tried = [c for c in acting if c.canary]
        whole = [c for c in acting if not c.canary]
        parts = (
            {"canary": tried[0], "rest": next(iter(whole), None)} if tried else {"all": whole[0]}
        )
        found = {name: self._judged(held) for name, held in parts.items()}
        rows = [
            (name, *((w.state, w.labels, w.wrong, w.evidence) if w else (None, 0, 0, None)))
            for name, w in found.items()
        ]
        judged = pl.DataFrame(rows, schema=_JUDGED, orient="row")
        made = self._automation(rec, method, tried)
        frame = judged.join(made, on="part", how="left", maintain_order="left").select(
            list(_WATCHED)
        )
        notes = [_told(name, held, found[name]) for name, held in parts.items()]
        for name, watched in found.items():
            if apply and watched is not None and watched.state == "roll_back":
                notes += self._taken_back(parts[name], watched.said, by)
        return RowsView(title, frame, tuple(notes), _WATCHING)

    def _judged(self, held: Certificate | None) -> Watched | None:
        """What the labels say that were drawn since a certificate was put in force."""
        if held is None:
            return None
        words = self.store.rows("approvals").filter(pl.col("content_hash") == held.certificate_id)
        voided = words.filter(pl.col("verdict") == "voided")["seq"].max()
        placed = words.filter(
            pl.col("verdict").is_in(governance.PUT_IN_FORCE), pl.col("seq") > (voided or 0)
        )
        labels = self._labels_since(held, int(placed["seq"][0]))
        return canary.watch(
            labels["wrong"].to_numpy(), held.fmr_max, began=placed["recorded_at"][0],
            as_of=self.now(), components=labels["component"].to_list(),
        )  # fmt: skip

    def _taken_back(self, held: Certificate | None, why: str, by: str | None) -> tuple[str, ...]:
        """Roll back one certificate; a canary is in the way of what all others stand under."""
        assert held is not None  # noqa: S101 - only what has labels is judged
        if not held.canary and changes.canary(self.store, held.reconciliation, held.method):
            self.rollback(held.reconciliation, method=held.method, reason=why, by=by)
        return self.rollback(held.reconciliation, method=held.method, reason=why, by=by).notes

    def _labels_since(self, held: Certificate, seq: int) -> pl.DataFrame:
        """Per labelled match under a certificate, in the order of the draw: wrong, component.

        Events that were drawn from runs made after `seq`. An answer that never came is wrong; a
        match with one partner that was not named is. Where no component is known, the event is.
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
            made = engine.rows(_MADE, [held.certificate_id, held.method])
        judged = labels.join(made, on=["run_id", "event_key"])
        named = pl.col("right_key").is_in("right_keys").fill_null(False)
        each = judged.group_by("seq", "event_key").agg(
            wrong=(~named).any(), component=pl.col("component").min()
        )
        return each.sort("seq", "event_key")

    def _automation(
        self, rec: Reconciliation, method: str, tried: list[Certificate]
    ) -> pl.DataFrame:
        """Of the current run, by part: what the method matched by itself of all that it could."""
        run = self._runs(rec.name)[rec.name]
        named = tried[0].certificate_id if tried else None
        with self.store.snapshot().engine(runs=[run.run_id]) as engine:
            rows = engine.rows(_STANDING, [method, named, "rest" if tried else "all"])
        sums = rows.filter(pl.col("matched") > 0).group_by("part", "currency", maintain_order=True)
        told = sums.agg(pl.col("amount_minor").sum()).drop_nulls("currency")
        money = pl.DataFrame(
            [(p, display(a, c)) for p, c, a in told.iter_rows()],
            schema={"part": pl.String, "money": pl.String}, orient="row",
        ).group_by("part", maintain_order=True).agg(pl.col("money").str.join(" and "))  # fmt: skip
        counts = rows.group_by("part").agg(pl.col("left_events", "matched").sum())
        share = pl.col("matched") / pl.col("left_events")
        return counts.with_columns(automation=share).join(money, on="part", how="left")


def _told(part: str, held: Certificate | None, found: Watched | None) -> str:
    """One part in a sentence."""
    where = "" if part == "all" else f"{part.capitalize()}: "
    if held is None or found is None:
        return f"{where}no certificate acts there."
    where = where or f"Certificate {held.certificate_id[:12]}: "
    on = f" on {percent(held.share)} of components" if held.canary else ""
    name = f"certificate {held.certificate_id[:12]}{on}, " if part != "all" else ""
    return f"{where}{name}{found.said}."


# Matches under a certificate, their partners, and the component of what a canary judged.
_MADE = """
select m.run_id, l.event_key, r.event_key as right_key,
       coalesce(c.component, l.event_key) as component
from (from matches where certificate_id = $1) m
join match_members l on l.match_id = m.match_id and l.run_id = m.run_id
  and l.side = 'left' and l.counts
join match_members r on r.match_id = m.match_id and r.run_id = m.run_id
  and r.side = 'right' and r.counts
left join (from canary_events where method = $2) c
  on c.run_id = m.run_id and c.event_key = l.event_key"""
# Left events that a method matched or proposed in one run, on trial or not.
_STANDING = """
with seen as (
    select l.event_key, true as matched
    from (from matches where method = $1 and disposition = 'auto') m
    join match_members l using (match_id) where l.side = 'left' and l.counts
    union
    select left_key, false from proposals where method = $1
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
