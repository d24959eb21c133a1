"""What became of the answers that people gave since the run before, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.ledger.store import Store
from recon_kit.model import Run
from recon_kit.resolution import changes, standing
from recon_kit.resolution import decisions as decision_room
from recon_kit.settings import Reconciliation, Settings

# What an answer that is in force comes to, by its verdict; of a `same` its match is looked up.
_APPLIED: dict[str, str] = {
    "not_same": "kept apart", "no_counterpart": "closed without a counterpart",
    "accept_residual": "accepted", "write_off": "written off",
}  # fmt: skip
_NOT_APPLIED: dict[str, str] = {
    "unsure": "left to somebody else", "replaced": "replaced by a later word",
    "reviewers_disagree": "not applied, people disagree",
    "contradicts_not_same": "not applied, somebody said that two of them are not the same",
    "evidence_changed": "asked again, the facts have changed",
    "event_gone": "asked again, an event is gone",
}  # fmt: skip
_JOINED = """
    select distinct s.seq from heard_same s
    join match_members l on l.event_key = s.left_key and l.run_id = $1
    join match_members r on r.event_key = s.right_key and r.run_id = $1
      and r.match_id = l.match_id
    join matches m on m.match_id = l.match_id and m.run_id = $1 and m.disposition = 'confirmed'
    order by s.seq
"""


@contextmanager
def decisions_told(
    store: Store, settings: Settings, rec: Reconciliation
) -> Iterator[tuple[Engine, pl.DataFrame]]:
    """An engine after `standing.decision_states`, and what that told."""
    snapshot = store.snapshot()
    money = snapshot.decisions().filter(
        (pl.col("reconciliation") == rec.name)
        & pl.col("verdict").is_in(decision_room.MONEY_VERDICTS)
    )
    moves = store.rows("current_run", snapshot.seq).filter(pl.col("reconciliation") == rec.name)
    now = moves["run_id"].last() if moves.height else None
    runs = (
        money.select("seq")
        .sort("seq")
        .join_asof(moves.select("seq", "run_id").sort("seq"), on="seq")
        .with_columns(run_now=pl.lit(now, dtype=pl.String))
    )
    ids = sorted({*runs["run_id"].drop_nulls(), *runs["run_now"].drop_nulls()})
    precedence = {s.name: s.precedence for s in settings.sources}
    with snapshot.engine(runs=ids, precedence=precedence) as engine:
        changes.find_residuals(engine, rec, runs)
        yield engine, standing.decision_states(engine, rec)


def sentences(store: Store, settings: Settings, runs: Iterable[Run]) -> dict[str, str]:
    """What became of each answer that a run heard first, by reconciliation.

    Args:
        store: the workspace's ledger.
        settings: as declared.
        runs: finished runs; what the run before each knew is not told again.

    Returns:
        `24 answers heard: 16 same, confirmed; 3 not the same, kept apart; ...`; nothing of a
        reconciliation where nothing new was said.
    """
    every, said = store.runs(), store.decisions()
    found: dict[str, str] = {}
    for run in runs:
        base = every.filter(pl.col("run_id").eq_missing(pl.lit(run.base_run_id)))["as_of_seq"]
        since = int(base[0]) if len(base) else 0
        mine = (pl.col("reconciliation") == run.reconciliation) & pl.col("seq").is_between(
            since + 1, run.as_of_seq
        )
        # most runs hear nothing new and need no look at anything
        if said.filter(mine).is_empty():
            continue
        rec = settings.reconciliation(run.reconciliation)
        with decisions_told(store, settings, rec) as (engine, told):
            new = told.filter(pl.col("seq").is_between(since + 1, run.as_of_seq))
            torn = standing.conflicts(engine, rec).height
        if new.height:
            found[rec.name] = _sentence(_outcomes(store, run, new), torn, rec.name)
    return found


def _outcomes(store: Store, run: Run, new: pl.DataFrame) -> pl.DataFrame:
    """`verdict, outcome, n` of answers; several pairs that were answered at once count once."""
    with store.snapshot().engine(runs=[run.run_id]) as engine:
        engine.put("heard_same", new.filter(pl.col("verdict") == "same"))
        joined = engine.rows(_JOINED, [run.run_id])["seq"].to_list()
    state, verdict = pl.col("state"), pl.col("verdict")
    audit = pl.when(pl.col("stream") == "audit").then(pl.lit("kept as an audit label"))
    outcome = (
        pl.when(state != "in force")
        .then(state.replace_strict(_NOT_APPLIED, default="asked again"))
        .when(verdict == "same", pl.col("seq").is_in(joined))
        .then(pl.lit("confirmed"))
        .when(verdict == "same")
        .then(pl.coalesce(audit, pl.lit("kept, but it joins nothing in this run")))
        .otherwise(verdict.replace_strict(_APPLIED, default="kept"))
    )
    answer = pl.coalesce("bundle_id", pl.col("seq").cast(pl.String))
    return (
        new.with_columns(outcome=outcome, answer=answer)
        .group_by("verdict", "outcome")
        .agg(n=pl.col("answer").n_unique())
        .sort("n", "verdict", "outcome", descending=[True, False, False])
    )


def _sentence(outcomes: pl.DataFrame, torn: int, reconciliation: str) -> str:
    names = {"not_same": "not the same"}
    told = "; ".join(
        f"{n:,} {names.get(verdict, verdict.replace('_', ' '))}, {outcome}"
        for verdict, outcome, n in outcomes.iter_rows()
    )
    number = int(outcomes["n"].sum())
    line = f"{number:,} answer{'s' * (number != 1)} heard: {told}."
    if torn:
        line += (
            f" {torn:,} of all answers contradict{'s' * (torn == 1)} another: "
            f"`recon decisions {reconciliation} --conflicts`."
        )
    return line
