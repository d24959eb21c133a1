"""Calibration: from what a model says to what labels bear out.

Platt's line below 1,000 labelled pairs, a staircase (isotonic) from there on, nothing where
fewer than 10 pairs of either kind are labelled: a line through one kind would be opinion. The
labels it is fitted to are never those the model was trained on, and never the audit sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit import stats
from recon_kit.tuning import fit

ISOTONIC_MIN = 1_000
EACH_MIN = 10
BINS = 10

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration as it is stored (None: the probabilities stay as they are), and why."""

    stored: Mapping[str, Any] | None
    said: str


def calibrate(told: Floats, truth: Mask) -> Calibrated:
    """Fit log-odds to labels.

    Args:
        told: log-odds of pairs, by a model that was not trained on their labels.
        truth: whether each pair is true.
    """
    right, wrong = int(truth.sum()), int((~truth).sum())
    if min(right, wrong) < EACH_MIN:
        return Calibrated(
            None,
            f"not calibrated: of its labelled answers {right:,} are right and "
            f"{wrong:,} wrong; {EACH_MIN} of each are needed",
        )
    if len(truth) >= ISOTONIC_MIN:
        edges, values = fit.staircase(told, truth)
        stored = {"kind": "isotonic", "edges": list(edges), "values": list(values)}
        return Calibrated(stored, f"isotonic, {len(values)} steps over {len(truth):,} pairs")
    slope, intercept = fit.platt(told, truth)
    if slope <= 0:
        return Calibrated(
            None, "not calibrated: the labels do not rise with what the model says of a pair"
        )
    line = {"kind": "platt", "slope": slope, "intercept": intercept}
    return Calibrated(line, f"Platt, slope {slope:.2f}, over {len(truth):,} pairs")


def probability(calibration: Mapping[str, Any] | None, told: Floats) -> Floats:
    """Probabilities of log-odds; the twin of `matching.classifier.probability_sql`."""
    if calibration is None:
        return _logistic(told)
    if calibration["kind"] == "platt":
        return _logistic(calibration["slope"] * told + calibration["intercept"])
    step = np.searchsorted(np.array(calibration["edges"]), told, side="right")
    return np.asarray(np.array(calibration["values"])[step])


def crossed(told: Floats, truth: Mask, known: Mask, fold: NDArray[np.int64]) -> Floats:
    """Probabilities of held-out log-odds, each calibrated on the other folds.

    Args:
        told: held-out log-odds.
        truth: whether each pair is true, where `known`.
        known: which pairs are labelled.
        fold: fold of each pair.
    """
    found = _logistic(told)
    for number in np.unique(fold):
        mine = fold == number
        others = known & ~mine
        fitted = calibrate(told[others], truth[others])
        found[mine] = probability(fitted.stored, told[mine])
    return found


def reliability(said: Floats, truth: Mask) -> pl.DataFrame:
    """What was said against what was found, in ten bands of probability.

    Returns:
        One row per band that has pairs: low, high, pairs, said (mean probability), found (share
        that is true), found_low and found_high (Wilson, for the chart).
    """
    band = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    rows = []
    for number in np.unique(band):
        mine = band == number
        right, pairs = int(truth[mine].sum()), int(mine.sum())
        low, high = stats.wilson(right, pairs)
        rows.append(
            (number / BINS, (number + 1) / BINS, pairs, float(said[mine].mean()),
             right / pairs, low, high)
        )  # fmt: skip
    names = ["low", "high", "pairs", "said", "found", "found_low", "found_high"]
    kinds: dict[str, Any] = dict.fromkeys(names, pl.Float64) | {"pairs": pl.Int64}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def calibration_error(said: Floats, truth: Mask) -> float:
    """Expected calibration error: the mean gap between said and found, weighted by pairs.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    bands = reliability(said, truth)
    gap = (bands["said"] - bands["found"]).abs() * bands["pairs"]
    return float(gap.sum()) / max(len(truth), 1)


def _logistic(told: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(told, -50, 50))))
