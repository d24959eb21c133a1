"""The model card: what a model was made from, what it is worth, and what it never saw.

Plain JSON, stored in the model and hashed with it. Reliability is told of held-out pairs; the
reference for drift is what the model says of the rows it was trained beside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.matching import trust
from recon_kit.matching.stored import Trained
from recon_kit.tuning import examples, measure
from recon_kit.tuning.examples import Examples
from recon_kit.tuning.heldout import Plan
from recon_kit.tuning.lessons import Lessons

SCORE_BINS = 10
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Story:
    """What training has to tell: see `train`, which fills it in."""

    final: Trained
    choice: str
    why: str
    calibration: str
    supports: tuple[str, ...]
    figures: pl.DataFrame
    gains: Mapping[str, tuple[float, float, float]]
    plan: Plan | None
    reliability: Mapping[str, pl.DataFrame]
    missing: int
    lacking: str


def write(work: Lessons, known: Examples, story: Story) -> dict[str, Any]:
    """The card as JSON values. The scoring that was done last is that of the final model."""
    return {
        "reconciliation": work.rec.name,
        "seed": work.seed,
        "data_hash": known.data_hash,
        "rows": {"left": work.sizes[0], "right": work.sizes[1], "candidates": work.candidates},
        "share_with_counterpart": _short(story.final.share),
        "labels": _labels(work, known) | {"missing": story.missing, "lacking": story.lacking},
        "chosen": story.choice,
        "why": story.why,
        "supports": list(story.supports),
        "figures": [_plain(row) for row in story.figures.to_dicts()],
        "metrics": dict(measure.METRICS),
        "gains": {
            name: dict(zip(("gain", "low", "high"), map(_short, told), strict=True))
            for name, told in story.gains.items()
        },
        "folds": _folds(story.plan),
        "calibration": story.calibration,
        "reliability": {
            name: [_plain(row) for row in frame.to_dicts()]
            for name, frame in story.reliability.items()
        },
        "weights": _weights(work.unlabelled, story.final),
        "classifier": story.final.classifier,
        "unseen": list(story.final.unseen),
        "drift": _reference(work, story.final),
        "notes": list(work.notes),
    }


def _labels(work: Lessons, known: Examples) -> dict[str, Any]:
    """How many labels there are, by what they say and what became of them."""
    kinds = work.events["kind"].value_counts(name="n").sort("kind")
    named = work.rows.filter(pl.col("verdict") == examples.SAME)
    candidates = work.engine.rows(
        """select l.event_key as left_key, r.event_key as right_key from candidate_pairs c
        join side_left l on l.seq = c.l join side_right r on r.seq = c.r"""
    )
    blocked = named.join(candidates, on=["left_key", "right_key"], how="anti").height
    return {
        "events": work.events.height,
        "kinds": {row["kind"]: row["n"] for row in kinds.to_dicts()},
        "by_stream": known.counts.to_dicts(),
        "left_out": dict(known.left_out),
        "not_open": work.not_open,
        "never_compared": blocked,
    }


def _folds(plan: Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    late = plan.events["late"].drop_nulls()
    return {
        "components": plan.grouped.components,
        "largest_share": _short(plan.grouped.largest_share),
        "tied_from_weight": plan.grouped.cut,
        "latest_events": int(late.sum()) if late.len() else None,
    }


def _weights(before: Trained, final: Trained) -> list[dict[str, Any]]:
    """Match weight of every level in bits, with and without labels."""
    rows = []
    for old, new in zip(before.ladders, final.ladders, strict=True):
        for was, now in zip(old.levels, new.levels, strict=True):
            rows.append(
                {
                    "comparison": new.label,
                    "level": now.label,
                    "weight": _short(math.log2(now.m / now.u)),
                    "weight_without_labels": _short(math.log2(was.m / was.u)),
                }
            )
    return rows


def _reference(work: Lessons, final: Trained) -> dict[str, Any]:
    """What the model says of the picked pairs now: pairs by band of probability and by level."""
    trust.weigh(work.engine, final)
    found = work.engine.rows(
        f"""select least(floor(probability * {SCORE_BINS})::int, {SCORE_BINS - 1}) as band,
            levels, count(*) as n
        from {trust.TABLE} where probability is not null group by all order by all"""
    )
    bands = [0] * SCORE_BINS
    for row in found.group_by("band").agg(pl.col("n").sum()).to_dicts():
        bands[row["band"]] = row["n"]
    levels: dict[str, dict[str, int]] = {}
    for row in found.group_by("levels").agg(pl.col("n").sum()).sort("levels").to_dicts():
        stands = json.loads(row["levels"])
        for ladder in final.ladders:
            at = stands.get(ladder.name, "nothing to compare")
            counts = levels.setdefault(ladder.name, {})
            counts[at] = counts.get(at, 0) + row["n"]
    return {"picked": sum(bands), "score_bands": bands, "levels": levels}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(v) if isinstance(v, float) else v for name, v in row.items()}


def _short(value: float) -> float:
    return round(float(value), _DIGITS)
