"""What a change would do, before it does it: two runs on the same facts, now or then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.errors import SettingsError, UnknownNameError
from recon_kit.matching.authority import percent
from recon_kit.matching.rules import parse
from recon_kit.model import Certificate, Run
from recon_kit.present.changed import ChangesView
from recon_kit.present.compared import CompareView
from recon_kit.present.live import while_running
from recon_kit.resolution import governance
from recon_kit.settings import Reconciliation, load
from recon_kit.tuning.compare import Comparison, compare
from recon_kit.workbench import asof, changes, trying
from recon_kit.workbench.changes import Change
from recon_kit.workbench.face import Face, Progress, quiet
from recon_kit.workbench.run import IN_FORCE, Request, Variant, evaluate, trials


class Comparing(Face):
    """Rules, model, threshold or settings held against what is in force."""

    @while_running
    def compare(  # noqa: PLR0913 - what may differ, each with a default
        self,
        reconciliation: str | None = None,
        *,
        change: str | None = None,
        share: float | None = None,
        threshold: float | None = None,
        margin: float | None = None,
        settings: Path | str | None = None,
        before: str | None = None,
        after: str | None = None,
        as_of: str | int | None = None,
        progress: Progress = quiet,
    ) -> CompareView:
        """Say what a change would gain, lose and move, with money and owners.

        Both sides are evaluated as shadows on the same facts, so nothing changes; the one side
        with what was in force then.

        Args:
            reconciliation: needed where several are declared.
            change: a certificate, model or rule as if promoted: first characters of its hash.
            share: as if it were promoted to this share of components, as a canary.
            threshold: as if `probable` matched by itself from this confidence on.
            margin: with `threshold`, the least lead over the best rival.
            settings: another `recon.toml` for the same sources.
            before: with `after`, two finished runs instead, by the first characters of their ids.
            after: the other run.
            as_of: a sequence number or a date: on what was known then.
            progress: told each stage.

        Raises:
            SettingsError: nothing is to be compared, or what is named cannot go together: a change
                and a threshold, a share without a change, a margin without a threshold.
        """
        rec = self._one(reconciliation)
        if before is not None and after is not None:
            pair = (self._run_named(rec, before), self._run_named(rec, after))
            return self._compared(rec, pair, f"run {before} with run {after}")
        _one_question(change, share, threshold, margin, settings)
        seq, moment = asof.meant(as_of, self.store, self.settings, self.now())
        base = Request(rec, seq, moment, "shadow", recorded_at=self.now())
        other, told, what = self._other(rec, (change, share), (threshold, margin), settings)
        told_settings = load(Path(settings)) if settings is not None else self.settings
        varied = replace(base, reconciliation=other, variant=told)
        runs = (
            evaluate(self.store, self.settings, base, progress).run,
            evaluate(self.store, told_settings, varied, progress).run,
        )
        return self._compared(rec, runs, f"what was in force as of {moment:%Y-%m-%d} with {what}")

    def _other(
        self,
        rec: Reconciliation,
        named: tuple[str | None, float | None],
        cut: tuple[float | None, float | None],
        settings: Path | str | None,
    ) -> tuple[Reconciliation, Variant, str]:
        """The reconciliation and variant of the other side, and what it is in words."""
        other, told, what = rec, IN_FORCE, []
        change, share = named
        if settings is not None:
            other = load(Path(settings)).reconciliation(rec.name)
            what.append(f"the settings of {Path(settings).name}")
        if change is not None:
            found = changes.find(self.store, change)
            if found.reconciliation != rec.name:
                raise SettingsError(
                    f"{found.content_hash[:12]} belongs to {found.reconciliation}, not {rec.name}"
                )
            told = self._as_if(found, share)
            on = f" on {percent(share)} of components" if share is not None else ""
            what.append(f"{found.kind} {found.content_hash[:12]} ({found.what}){on}")
        threshold, margin = cut
        if threshold is not None:
            other = _from(other, threshold, margin)
            told = replace(told, certificates=())
            what.append(f"probable from {threshold:g} on, uncertified")
        return other, told, " and ".join(what)

    def _as_if(self, found: Change, share: float | None) -> Variant:
        """What would be in force had the change been promoted, to a share of components or all."""
        if share is not None and not 0 < share < 1:
            raise SettingsError(
                f"share {share:g}: a change is tried on a share of components above 0 and under 1"
            )
        now = trials(self.store, found.reconciliation, self.now())
        if found.kind == "model":
            model = self.store.model(found.content_hash)
            if share is None:
                return Variant(model=model, trials=replace(now, model=None))
            return Variant(trials=replace(now, model=model, model_share=share))
        rows, said = self.store.rows("certificates"), self.store.rows("approvals")
        if found.kind == "certificate":
            row = rows.filter(pl.col("certificate_id") == found.content_hash).row(0, named=True)
            named = {n: row[n] for n in Certificate.__dataclass_fields__ if n in row}
            held = governance.certificates(rows, said, found.reconciliation)
            # a canary stands beside what acts on all components, and ends the one before it
            kept = tuple(
                c for c in held
                if c.method != found.method or (share is not None and not c.canary)
            )  # fmt: skip
            return Variant(certificates=(*kept, Certificate(**named, share=share or 1.0)))
        texts = self.store.rows("rules")
        text = texts.filter(pl.col("content_hash") == found.content_hash)["json"][0]
        rule = parse(text)
        if share is not None:
            return Variant(trials=replace(now, rule=rule, rule_share=share))
        ruled = governance.rules(texts, said, found.reconciliation, self.now())
        going_on = None if now.rule and now.rule.name == rule.name else now.rule
        others = (r for r in ruled if r.name != rule.name)
        return Variant(rules=(*others, rule), trials=replace(now, rule=going_on))

    def _run_named(self, rec: Reconciliation, named: str) -> Run:
        runs = self.store.runs().filter(pl.col("reconciliation") == rec.name)
        hits = runs.filter(pl.col("run_id").str.starts_with(named))["run_id"].to_list()
        if len(hits) != 1:
            raise UnknownNameError("run", named, [r[:12] for r in hits or runs["run_id"].to_list()])
        found = self.store.run(hits[0])
        assert found is not None  # noqa: S101 - its id was just read
        return found

    def _compared(self, rec: Reconciliation, runs: tuple[Run, Run], what: str) -> CompareView:
        """The view of two stored runs."""
        owners = {s.name: s.owner for s in self.settings.sources if s.owner}
        precedence = {s.name: s.precedence for s in self.settings.sources}
        before, after = (run.run_id for run in runs)
        asked = list(dict.fromkeys((before, after)))
        with self.store.snapshot().engine(runs=asked, precedence=precedence) as engine:
            found = compare(engine, before, after, owners)
        tried = trying.running(self.store, rec.name, self.now())
        return CompareView(what, found, self._events(rec, found, runs[1]), tried)

    def _events(self, rec: Reconciliation, found: Comparison, run: Run) -> ChangesView:
        told = found.difference
        named = pl.lit(rec.name).alias("reconciliation")
        return ChangesView(
            frame=told.events, about=self._about({rec.name: run}),
            totals=told.totals.select(named, pl.all()),
            compared={rec.name: (told.before, told.after)}, events_total=told.events_total,
        )  # fmt: skip


def _one_question(
    change: str | None,
    share: float | None,
    threshold: float | None,
    margin: float | None,
    settings: Path | str | None,
) -> None:
    """Refuse what says nothing, or two things at once."""
    if change is None and threshold is None and settings is None:
        raise SettingsError(
            "nothing to compare: name a change, a threshold, a settings file, or two runs"
        )
    if change is not None and threshold is not None:
        raise SettingsError(
            f"change {change!r} and threshold {threshold:g} are two questions: a certificate has "
            "a threshold of its own, and a model or rule is compared under what is in force. Leave "
            "one out (in a notebook: set it to None)"
        )
    if share is not None and change is None:
        raise SettingsError("a share needs the change that is to be tried: name it as change")
    if margin is not None and threshold is None:
        raise SettingsError("a margin needs a threshold: a certificate brings its own margin")


def _from(rec: Reconciliation, threshold: float, margin: float | None) -> Reconciliation:
    """The reconciliation as if `probable` matched by itself from a confidence on."""
    change: dict[str, Any] = {"auto_match_floor": threshold, "uncertified": "auto"}
    if margin is not None:
        change["margin_min"] = margin
    if not 0 <= threshold <= 1 or threshold < rec.probable.review_min:
        raise SettingsError(
            f"threshold {threshold:g} must lie between review_min {rec.probable.review_min:g} and 1"
        )
    return rec.model_copy(update={"probable": rec.probable.model_copy(update=change)})
