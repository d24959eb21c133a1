"""What the ledger keeps of certification: plans fixed beforehand, and every look at the answers.

Both are rows of table `certificates`. A plan has no labels and no threshold; it stands in the chain
before the look that follows it. A look has its threshold, or none where nothing passed; only one
with a threshold can be promoted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recon_kit import model
from recon_kit.errors import CertificationError
from recon_kit.tuning.certify import VALID_DAYS, Attempt, Plan

_PLAN, _LOOK = "plan", "look"


def plan_row(plan: Plan) -> pl.DataFrame:
    """The row that fixes a plan."""
    told = json.dumps({"kind": _PLAN, "plan": json.loads(plan.as_json())}, sort_keys=True)
    return _row(plan, plan.plan_hash, told)


def look_row(
    attempt: Attempt, as_of: datetime, drift: Mapping[str, Any] | None = None
) -> pl.DataFrame:
    """The row of a look; its `certificate_id` is the hash of everything in it.

    Args:
        attempt: what the walk came to.
        as_of: when.
        drift: what later data are held against (`drift.reference`), where a threshold passed.
    """
    about = {"kind": _LOOK, "expires_at": _expiry(as_of).isoformat(), "drift": drift}
    told = json.dumps(about | json.loads(attempt.as_json()), sort_keys=True)
    return _row(
        attempt.plan,
        model.digest("certificate", told),
        told,
        threshold=attempt.threshold,
        confidence=1 - attempt.delta,
        labels=attempt.labels,
        expires_at=_expiry(as_of),
    )


def plan_before(rows: pl.DataFrame, asked: Plan) -> Plan | None:
    """The plan that was fixed for this reconciliation, method and model; none where none was.

    Args:
        rows: table `certificates`.
        asked: what somebody wants to certify; its grid does not matter.

    Raises:
        CertificationError: answers were looked at under that plan, and another margin, rate or
            confidence is wanted now: choosing these after the look would be choosing the answer.
    """
    mine = _of(rows, asked).filter(pl.col("model_hash") == asked.model_hash)
    fixed = [(r["seq"], _plan(j["plan"])) for r, j in _told(mine) if j["kind"] == _PLAN]
    if not fixed:
        return None
    seq, plan = fixed[-1]
    wanted = (asked.margin, asked.fmr_max, asked.delta)
    if wanted == (plan.margin, plan.fmr_max, plan.delta):
        return plan
    looks = [j for _, j in _told(mine) if j["kind"] == _LOOK and j["plan_hash"] == plan.plan_hash]
    if looks:
        raise CertificationError(
            f"the plan for {plan.method} was fixed at sequence {seq} (margin {plan.margin:g}, at "
            f"most {plan.fmr_max:.1%} wrong with {1 - plan.delta:.0%} confidence) and answers were "
            "looked at under it; changing it now would be choosing the answer. Certify with the "
            "same values, or train another model."
        )
    return None


def looks_before(rows: pl.DataFrame, attempt: Attempt) -> int:
    """How many looks of this method, before this one, used any of its labels, whatever the model.

    Where this very look is in the ledger, those before it count: asking again is no second look.
    """
    events = {h.split(":")[0] for h in attempt.label_hashes}
    looks = 0
    for _, told in _told(_of(rows, attempt.plan)):
        if told["kind"] != _LOOK:
            continue
        if _same(told, attempt):
            return looks
        looks += not events.isdisjoint(h.split(":")[0] for h in told["label_hashes"])
    return looks


def same_look(rows: pl.DataFrame, attempt: Attempt) -> str | None:
    """Id of an earlier look at just these labels and matches; none where there was none."""
    for row, told in _told(_of(rows, attempt.plan)):
        if told["kind"] == _LOOK and _same(told, attempt):
            return str(row["certificate_id"])
    return None


def _same(told: dict[str, Any], attempt: Attempt) -> bool:
    return (
        told["plan_hash"] == attempt.plan.plan_hash
        and told["label_hashes"] == list(attempt.label_hashes)
        and told["frame_hash"] == attempt.frame_hash
        and "of" not in told
    )


def stricter(rows: pl.DataFrame, certificate_id: str, threshold: float) -> pl.DataFrame:
    """A row that certifies a stricter threshold, passed in the same look.

    Raises:
        CertificationError: the look did not pass at that threshold.
    """
    row = rows.filter(pl.col("certificate_id") == certificate_id).row(0, named=True)
    told = json.loads(row["json"])
    passed = [s["threshold"] for s in told["steps"] if s["passed"]]
    if threshold not in passed:
        raise CertificationError(
            f"{certificate_id[:12]} proves nothing at {threshold:g}; it passed at "
            + ", ".join(f"{t:.6g}" for t in passed)
        )
    step = next(s for s in told["steps"] if s["threshold"] == threshold)
    told |= {"of": certificate_id, "threshold": threshold,
        "labels": step["labels"], "wrong": step["wrong"], "upper": step["upper"]
    }  # fmt: skip
    text = json.dumps(told, sort_keys=True)
    return rows.filter(pl.col("certificate_id") == certificate_id).head(1).select(
        pl.exclude("seq", "recorded_at")
    ).with_columns(
        certificate_id=pl.lit(model.digest("certificate", text)), threshold=pl.lit(threshold),
        labels=pl.lit(step["labels"]), json=pl.lit(text),
    )  # fmt: skip


def _expiry(as_of: datetime) -> datetime:
    return as_of + timedelta(days=VALID_DAYS)


def _of(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    return rows.filter(
        (pl.col("reconciliation") == plan.reconciliation) & (pl.col("method") == plan.method)
    ).sort("seq")


def _told(rows: pl.DataFrame) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(row, json.loads(str(row["json"]))) for row in rows.iter_rows(named=True)]


def _plan(told: dict[str, Any]) -> Plan:
    return Plan(**told | {"grid": tuple(told["grid"])})


def _row(plan: Plan, named: str, told: str, **values: object) -> pl.DataFrame:
    row = {
        "certificate_id": named, "reconciliation": plan.reconciliation, "method": plan.method,
        "model_hash": plan.model_hash, "threshold": None, "margin": plan.margin,
        "fmr_max": plan.fmr_max, "confidence": 1 - plan.delta, "labels": 0, "json": told,
        "expires_at": None, **values,
    }  # fmt: skip
    return pl.DataFrame([row], schema_overrides={"threshold": pl.Float64})
