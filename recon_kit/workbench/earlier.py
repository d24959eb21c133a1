"""Which run a live one may build on: plain matches of it then stand as they are.

A run is a function of its inputs, so the matches of an earlier one hold where the same inputs would
give them again: the same settings and code, facts that were only added to, and fees and lags that a
stored model holds fixed. Everything that any method could learn or read from all events at once is
a reason to make the run in full.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.ledger.store import Store
from recon_kit.matching import stored
from recon_kit.matching.canary import Trials
from recon_kit.matching.touched import Earlier
from recon_kit.model import Run, StoredModel


def earlier_run(
    store: Store,
    engine: Engine,
    run: Run,
    told: tuple[StoredModel | None, Trials],
    shown: list[str],
) -> Earlier | str:
    """The current run of a reconciliation, or the reason why nothing of it is carried over.

    Args:
        store: the workspace's ledger.
        engine: of the snapshot that the run is made on.
        run: the run to be made.
        told: what it scores with, and what is tried on a share of components.
        shown: the runs whose tables the engine shows.
    """
    current = store.current_run(run.reconciliation)
    why = _unlike(store, run, current)
    if why:
        return why
    assert current is not None  # noqa: S101 - `_unlike` has said so
    if shown != [current.run_id]:
        return "the run before is not the current one"
    model, tried = told
    if tried.words or _tried(store, engine):
        return "a model or rule is, or was, tried on a share of components"
    if _contested(engine):
        return "several sources tell one movement"
    known = stored.read(model) if model else stored.Trained()
    if not (known.ladders or known.schedules or known.lags):
        return "fees and lags are learned from all matches"
    # of any reconciliation: more than those of this one, so none too few
    said = store.rows("decisions")
    keys = pl.concat([said["left_key"], said["right_key"]]).drop_nulls().unique().sort()
    return Earlier(current.run_id, current.as_of_seq, pl.DataFrame({"event_key": keys}))


def _unlike(store: Store, run: Run, current: Run | None) -> str:
    """What parts a run from the current one beside new facts and decisions; empty for nothing."""
    if run.kind != "live":
        return f"a {run.kind} run builds on no other"
    if current is None:
        return "no run was made before"
    reasons = {
        "the settings have changed": current.settings_hash != run.settings_hash,
        "recon_kit or one of its engines is another version": current.code_hash != run.code_hash,
        "the run before knows later facts": current.as_of_seq > run.as_of_seq,
        "personal fields were erased": bool(
            store.rows("erasures", after_seq=current.as_of_seq).height
        ),
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _tried(store: Store, engine: Engine) -> bool:
    """Whether the run before had a model or rule on trial: what is neither is a certificate."""
    found = engine.rows("select distinct certificate_id from canary_events order by all")
    return not set(found["certificate_id"]) <= set(store.rows("certificates")["certificate_id"])


def _contested(engine: Engine) -> bool:
    """Whether several sources tell one movement: a new telling may outrank an old one then."""
    return engine.has("outranked")
