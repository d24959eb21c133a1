"""One run: a reconciliation evaluated over a snapshot, stored under the hash of its inputs.

The order of stages stands here and nowhere else: snapshot, match, cases, SLIs, commit. A run whose
inputs were evaluated before is not evaluated again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import polars as pl

import recon_kit
from recon_kit import model
from recon_kit.ingestion.headers import header_frame
from recon_kit.ledger.columns import run_rows
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.snapshot import PRECEDENCE
from recon_kit.ledger.store import Store
from recon_kit.matching import authority, carried, cascade, stored
from recon_kit.matching.canary import NO_TRIALS, Trials
from recon_kit.matching.rules import Rule, rules_hash
from recon_kit.matching.touched import Earlier
from recon_kit.model import Certificate, Run, StoredModel
from recon_kit.resolution import cases, governance
from recon_kit.resolution.gather import CaseTables
from recon_kit.settings import Reconciliation, Settings
from recon_kit.sli import indicators
from recon_kit.tuning import drift
from recon_kit.workbench.earlier import earlier_run
from recon_kit.workbench.model_used import model_used

Progress = Callable[[str], None]
DRIFT_CHECK = "drift check"  # who voids a certificate whose data have drifted
_ENGINES = ("duckdb", "polars", "splink", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Variant:
    """What a shadow run is told instead of what is in force; none means what is in force.

    `without` names streams of decisions it is not told: a run that knows the answers of the audit
    sample says nothing about the method that is being audited.
    """

    without: tuple[str, ...] = ()
    model: StoredModel | None = None
    certificates: tuple[Certificate, ...] | None = None
    rules: tuple[Rule, ...] | None = None
    trials: Trials | None = None


IN_FORCE = Variant()


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be evaluated; recorded at `as_of_time`, or later where that lies in the past."""

    reconciliation: Reconciliation
    as_of_seq: int
    as_of_time: datetime
    kind: Literal["live", "shadow", "replay"] = "live"
    recorded_at: datetime | None = None
    variant: Variant = IN_FORCE


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run; `fresh` is false when the same inputs had been evaluated before."""

    run: Run
    fresh: bool
    notes: tuple[str, ...] = ()


def evaluate(
    store: Store, settings: Settings, request: Request, progress: Progress = lambda _: None
) -> Done:
    """Evaluate one reconciliation and commit its result.

    Args:
        store: the workspace's ledger.
        settings: the workspace's settings.
        request: which reconciliation, as of which sequence and time.
        progress: told each stage by name.

    Returns:
        The run, as stored. Running twice on the same facts and settings stores nothing new. Where
        a live run shows that a certificate speaks of other data than it was proven on, the
        certificate is voided and the run made anew: nothing is matched under a promise that lapsed.
    """
    rec = request.reconciliation
    told, news = _told(store, request)
    run = _run(settings, request, told)
    before = store.run(run.run_id)
    if before is not None:
        if request.kind == "live":
            store.make_current(before.run_id)
        return Done(before, fresh=False)
    past = _past(store, request)
    current = store.current_run(rec.name)
    snapshot = store.snapshot(request.as_of_seq)
    precedence = {s.name: s.precedence for s in settings.sources}
    with snapshot.engine(runs=past[-1:], precedence=precedence) as engine:
        if told.without:
            engine.put("decisions", _less(snapshot.decisions(), told.without))
        progress(f"{rec.name}: matching")
        context = cascade.MatchingContext(
            as_of=request.as_of_time,
            timezone=settings.workspace.timezone,
            holidays=settings.workspace.holidays,
            model=told.model,
            certificates=told.certificates or (),
            rules=told.rules or (),
            trials=told.trials or NO_TRIALS,
            normalisers={s.name: s.key_normalisers for s in settings.sources},
        )
        tried = told.trials or NO_TRIALS
        earlier = earlier_run(store, engine, run, (told.model, tried), past[-1:])
        outcome = cascade.reconcile(
            engine, rec, context, earlier if isinstance(earlier, Earlier) else None
        )
        void = _drifted(store, engine, request, told)
        if void:
            _void(store, request, void, progress)
            return evaluate(store, settings, replace(request, as_of_seq=facts_seq(store)), progress)
        progress(f"{rec.name}: cases")
        received = snapshot.artefacts().filter(pl.col("source").is_in(rec.sources))
        engine.put("headers", header_frame(received, store.raw_path, settings))
        cases.find_cases(
            engine,
            rec,
            settings,
            request.as_of_time,
            previous=_earlier_findings(engine, past),
            lapsed=_lapsed(told),
            runs_before=len(past),
            tables=_case_tables(outcome.narrowed),
        )
        progress(f"{rec.name}: SLIs")
        slis = indicators.compute(
            engine, rec, settings, request.as_of_time, tables=_tables(outcome.narrowed)
        )
        run = _run(settings, request, replace(told, model=outcome.model or told.model))
        evaluated = str(outcome.narrowed or f"in full: {earlier}")
        run = replace(run, base_run_id=current.run_id if current else None, evaluated=evaluated)
        store.commit_run(
            run,
            _written(engine, outcome.narrowed),
            slis=slis,
            model=outcome.model,
            recorded_at=request.recorded_at or request.as_of_time,
            retaken=carried.retaken(engine, outcome.narrowed),
        )
    kept = store.run(run.run_id)
    late = (evaluated,) if outcome.narrowed and not outcome.narrowed.why_not else ()
    return Done(kept or run, fresh=True, notes=(*news, *late, *outcome.notes))


def _written(engine: Engine, narrowed: carried.Narrowed | None) -> dict[str, Path | pl.DataFrame]:
    """The run tables as files, for the ledger."""
    return {
        name: engine.write(run_rows(name, carried.made(name, narrowed)), f"result_{name}")
        for name in model.RUN_TABLES
    }


def _tables(narrowed: carried.Narrowed | None) -> indicators.Tables:
    """Where the results stand: on a late day apart from what it left alone."""
    return indicators.Tables(
        matches=carried.made("matches", narrowed),
        match_members=carried.made("match_members", narrowed),
        carried="carried_told" if carried.is_late(narrowed) else None,
        events="again_events" if carried.is_late(narrowed) else "events",
    )


def _case_tables(narrowed: carried.Narrowed | None) -> CaseTables:
    """The same for cases: of what stands, only what hangs on it may be one."""
    if not carried.is_late(narrowed):
        return CaseTables()
    return CaseTables(
        matches=carried.made("matches", narrowed),
        members=carried.made("match_members", narrowed),
        hung="hung_members",
        events="again_events",
    )


def facts_seq(store: Store, by: datetime | None = None) -> int:
    """Sequence of the newest fact, decision or change put in force.

    What runs add makes no run stale, nor does what is only proposed.

    Args:
        store: the workspace's ledger.
        by: only what was recorded by then, up to the first that was recorded later.
    """
    said = store.rows("approvals")
    told = pl.concat(
        rows.select(pl.col("seq").cast(pl.Int64), "recorded_at")
        for rows in (
            store.rows("batches"),
            store.rows("decisions"),
            said.filter(~pl.col("verdict").is_in(governance.NOT_IN_FORCE)),
        )
    )
    if by is not None:
        later = told.filter(pl.col("recorded_at") > by)["seq"]
        told = told.filter(pl.col("seq") < later.min()) if later.len() else told
    return int(told.select(pl.col("seq").max().fill_null(0)).item())


def settings_hash(settings: Settings, rec: Reconciliation) -> str:
    """Hash of everything in `recon.toml` that a run of this reconciliation depends on."""
    names = set(rec.sources)
    parts = {
        "workspace": settings.workspace.model_dump(mode="json", include={"timezone", "holidays"}),
        "sources": [s.model_dump(mode="json") for s in settings.sources if s.name in names],
        # any source may tell a movement of these ones as well; which telling is read is by rank
        "precedence": sorted(
            (s.precedence, s.name) for s in settings.sources if s.precedence != PRECEDENCE
        ),
        "reconciliation": rec.model_dump(mode="json"),
        # a settlement time that is written down stands against what was learned
        "declared": sorted(rec.model_fields_set),
    }
    return model.digest(json.dumps(parts, sort_keys=True))


@cache
def code_hash() -> str:
    """Hash of this package's code and of the versions of the engines that compute results."""
    root = Path(recon_kit.__file__).parent
    code = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        code.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    for name in _ENGINES:
        code.update(f"{name}=={version(name)}\n".encode())
    return code.hexdigest()[:32]


def _told(store: Store, request: Request) -> tuple[Variant, tuple[str, ...]]:
    """The variant of a request, filled up with what is in force; and what to say about it."""
    rec, seq, asked = request.reconciliation, request.as_of_seq, request.variant
    approvals = store.rows("approvals", seq)
    found = asked
    news: tuple[str, ...] = ()
    if asked.model is None:
        used, news = model_used(store, rec, seq)
        found = replace(found, model=used)
    if asked.certificates is None:
        rows = store.rows("certificates", seq)
        found = replace(found, certificates=governance.certificates(rows, approvals, rec.name))
    if asked.rules is None:
        rows = store.rows("rules", seq)
        ruled = governance.rules(rows, approvals, rec.name, request.as_of_time)
        found = replace(found, rules=ruled)
    if asked.trials is None:
        found = replace(found, trials=trials(store, rec.name, request.as_of_time, seq))
    return found, news


def trials(store: Store, reconciliation: str, as_of: datetime, seq: int | None = None) -> Trials:
    """The model and the rule that act on a share of components, as of a moment and sequence."""
    said = store.rows("approvals", seq)
    tried = governance.model_on_trial(store.rows("models"), said, reconciliation)
    found = store.model(tried.content_hash) if tried else None
    ruled = governance.rule_on_trial(store.rows("rules", seq), said, reconciliation, as_of)
    return Trials(
        model=found if found is not None and not stored.is_older(found) else None,
        model_share=tried.share if tried else 1.0,
        rule=ruled[0] if ruled else None,
        rule_share=ruled[1] if ruled else 1.0,
    )


def _drifted(
    store: Store, engine: Engine, request: Request, told: Variant
) -> list[tuple[Certificate, str]]:
    """Certificates in use that the run being made shows to have drifted, with the reason."""
    rec, held = request.reconciliation, told.certificates or ()
    promised = (rec, held, request.as_of_time, told.model)
    tried = authority.on_trial(*promised, (told.trials or NO_TRIALS).model)
    used = {*authority.in_force(*promised).values(), *(t for t in tried.values() if t)}
    if request.kind != "live" or not used:
        return []
    acting = [c for c in held if c.certificate_id in used]
    return drift.lapsed(engine, rec, store.rows("certificates"), acting)


def _void(
    store: Store, request: Request, void: list[tuple[Certificate, str]], progress: Progress
) -> None:
    """Say in the ledger why certificates hold no more."""
    for certificate, why in void:
        row = {
            "content_hash": certificate.certificate_id, "kind": "certificate",
            "approver": DRIFT_CHECK, "verdict": "voided", "note": why,
        }  # fmt: skip
        recorded = request.recorded_at or request.as_of_time
        store.append("approvals", pl.DataFrame([row]), recorded)
        progress(f"{certificate.reconciliation}: certificate of {certificate.method} void: {why}")


def _lapsed(told: Variant) -> pl.DataFrame:
    """`method, reason` of the certificates that drift has voided and no other followed."""
    rows = [
        (c.method, c.voided)
        for c in told.certificates or ()
        if c.voided is not None and c.voided.startswith(drift.SAID)
    ]
    return pl.DataFrame(rows, schema={"method": pl.String, "reason": pl.String}, orient="row")


def _less(decisions: pl.DataFrame, streams: tuple[str, ...]) -> pl.DataFrame:
    return decisions.filter(~pl.col("stream").is_in(streams).fill_null(False))


def _run(settings: Settings, request: Request, told: Variant) -> Run:
    rec = request.reconciliation
    run = Run(
        run_id="",
        reconciliation=rec.name,
        kind=request.kind,
        as_of_seq=request.as_of_seq,
        as_of_time=request.as_of_time,
        settings_hash=settings_hash(settings, rec),
        rules_hash=rules_hash(told.rules or ()),
        model_hash=told.model.model_hash if told.model else None,
        code_hash=code_hash(),
    )
    inputs = (
        "run", rec.name, run.kind, str(run.as_of_seq), run.as_of_time.isoformat(),
        run.settings_hash, run.rules_hash, run.model_hash, run.code_hash,
        *(part for c in told.certificates or () for part in _words(c)),
        *(told.trials or NO_TRIALS).words,
        *told.without,
    )  # fmt: skip
    return replace(run, run_id=model.digest(*inputs))


def _words(held: Certificate) -> tuple[str | None, ...]:
    """What a run depends on of a certificate."""
    share = (repr(held.share),) if held.canary else ()
    return (held.certificate_id, held.voided, *share)


def _past(store: Store, request: Request) -> list[str]:
    """Live runs that the cases of this one continue, oldest first; the last is what stood before.

    For a moment in the past these are the runs that had been made by then.
    """
    name = request.reconciliation.name
    mine = store.runs().filter(pl.col("reconciliation") == name, pl.col("kind") == "live")
    moves = store.rows("current_run").filter(pl.col("reconciliation") == name)
    if request.kind != "live":
        made = pl.col("recorded_at") <= request.as_of_time
        mine = mine.filter(made, pl.col("as_of_seq") <= request.as_of_seq)
        moves = moves.filter(pl.col("run_id").is_in(mine["run_id"].implode()))
    stood = moves.sort("seq")["run_id"].to_list()[-1:]
    return [r for r in mine.sort("seq")["run_id"].to_list() if r not in stood] + stood


def _earlier_findings(engine: Engine, runs: list[str]) -> pl.DataFrame:
    """The last finding of every anchor in earlier live runs, with `run_order` (0 is the oldest).

    What the last of these runs still holds counts as found by it, whenever it was first said.
    """
    order = pl.DataFrame(
        {"run_id": runs, "run_order": range(len(runs))},
        schema={"run_id": pl.String, "run_order": pl.Int64},
    )
    engine.put("run_order", order)
    # of what they said only that which a case keeps: texts are the most of a finding
    columns = "case_id, reconciliation, anchor_key, opening, opened_at, owner, run_order"
    return engine.rows(
        f"with ordered as (select {columns} from findings_told join run_order using (run_id) "
        f"union select {columns} from findings join run_order using (run_id)) from ordered "
        "qualify row_number() over (partition by anchor_key order by opening desc, "
        "run_order desc, case_id) = 1 order by run_order, case_id"
    )
