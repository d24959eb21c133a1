"""How good held-out answers are, each figure with an interval over connected components.

A row is a picked pair of a labelled event, or a label that no pick met: a counterpart that was
missed, an event without counterpart that was rightly left alone. Bootstrap draws whole
components, because rivals are right or wrong together. It takes a sample without an error for
certainty, so no interval is narrower than the exact one of as many answers; a log-loss is taken as
a share of the most that an answer can cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit import stats

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

DRAWS = 300
LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
# No single answer costs more than this chance would: one slip must not decide a comparison.
CHANCE_MIN = 1e-4
LOSS_MAX = -math.log(CHANCE_MIN)
METRICS: dict[str, str] = {
    "log_loss": "mean of -log(chance given to what the label says), per labelled event or pair",
    "recall": "true pairs that were picked at probability 0.5 or more, of all true ones",
    "precision": "true ones among the pairs picked at probability 0.5 or more",
    "f1": "harmonic mean of precision and recall at probability 0.5",
    "precision_at_recall_90": "precision where nine in ten true pairs are picked",
    "recall_at_precision_99": "recall where 99 in 100 picked pairs are true",
}


@dataclass(frozen=True, slots=True)
class Answers:
    """Held-out answers: `probability` (NaN where nothing was picked), `truth`, `group`."""

    probability: Floats
    truth: Mask
    group: NDArray[np.int64]

    @property
    def loss(self) -> Floats:
        """Log-loss of each row."""
        picked = np.isfinite(self.probability)
        chance = np.where(picked, self.probability, 0.0)
        right = np.where(self.truth, chance, 1 - chance)
        lone = ~picked & ~self.truth
        return np.asarray(np.where(lone, 0.0, -np.log(np.clip(right, CHANCE_MIN, 1.0))))


def weights(group: NDArray[np.int64], seed: int, draws: int = DRAWS) -> Floats:
    """How often each row counts, one column a draw: components drawn with replacement."""
    _, place = np.unique(group, return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=draws) if count else None
    if drawn is None:
        return np.zeros((0, draws))
    return np.asarray(drawn.T[place], dtype=np.float64)


def figures(answers: Answers, seed: int) -> pl.DataFrame:
    """Every metric with its interval: (metric, value, low, high); null where it is not defined."""
    once = np.ones((len(answers.truth), 1))
    many = weights(answers.group, seed)
    values, drawn = _metrics(answers, once), _metrics(answers, many)
    sizes = _sizes(answers)
    rows = []
    for name in METRICS:
        value = float(values[name][0])
        spread = drawn[name][np.isfinite(drawn[name])]
        low, high = np.quantile(spread, [_TAIL, 1 - _TAIL]) if spread.size else (np.nan, np.nan)
        if name in sizes and np.isfinite(value):
            whole = LOSS_MAX if name == "log_loss" else 1.0
            least, most = _exact(value / whole, sizes[name])
            low, high = np.fmin(low, least * whole), np.fmax(high, most * whole)
        rows.append((name, value, float(low), float(high)))
    names = ["metric", "value", "low", "high"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("value", "low", "high").fill_nan(None)
    )


def _sizes(answers: Answers) -> dict[str, float]:
    """Of how many answers each figure is one, at most as many as there are components."""
    true = float(answers.truth.sum())
    claims = float((answers.probability >= 0.5).sum())
    most = float(np.unique(answers.group).size)
    sizes = {
        "log_loss": most, "recall": true, "precision": claims, "f1": (true + claims) / 2,
        "precision_at_recall_90": 0.9 * true, "recall_at_precision_99": true,
    }  # fmt: skip
    return {name: min(size, most) for name, size in sizes.items() if size}


def _exact(share: float, size: float) -> tuple[float, float]:
    """Clopper-Pearson's interval of a share of `size` answers."""
    found = min(share, 1.0) * size
    return (
        stats.clopper_pearson_lower(found, size, _TAIL),
        stats.clopper_pearson_upper(found, size, _TAIL),
    )


def by_event(answers: Answers, event: pl.Series) -> pl.DataFrame:
    """Log-loss of each labelled event: (event, group, loss), by event."""
    rows = pl.DataFrame({"event": event, "group": answers.group, "loss": answers.loss})
    return rows.group_by("event").agg(pl.col("group").first(), pl.col("loss").sum()).sort("event")


def loss_gain(before: pl.DataFrame, after: pl.DataFrame, seed: int) -> tuple[float, float, float]:
    """By how much the mean log-loss falls from one set of answers to another: (gain, low, high).

    Both are frames of `by_event`; events that both answer count, components are drawn together.
    """
    both = before.join(after.select("event", after="loss"), on="event").sort("event")
    gain = (both["loss"] - both["after"]).to_numpy()
    many = weights(both["group"].to_numpy(), seed)
    drawn = (many * gain[:, None]).sum(axis=0) / np.maximum(many.sum(axis=0), 1)
    low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL])
    return float(gain.mean()), float(low), float(high)


def _metrics(answers: Answers, weight: Floats) -> dict[str, Floats]:
    total = np.maximum(weight.sum(axis=0), 1e-12)
    picked = np.isfinite(answers.probability)
    order = np.argsort(-np.where(picked, answers.probability, -1.0), kind="stable")
    order = order[picked[order]]
    truth = answers.truth[order][:, None]
    said = np.cumsum(weight[order], axis=0)
    right = np.cumsum(weight[order] * truth, axis=0)
    true = (weight * answers.truth[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sure = int((answers.probability[order] >= 0.5).sum())
        hits = right[sure - 1] if sure else np.zeros(weight.shape[1])
        claims = said[sure - 1] if sure else np.zeros(weight.shape[1])
        precision, recall = right / said, right / true
        return {
            "log_loss": (weight * answers.loss[:, None]).sum(axis=0) / total,
            "recall": hits / true,
            "precision": hits / claims,
            "f1": 2 * hits / (claims + true),
            "precision_at_recall_90": _best(precision, recall >= 0.9),
            "recall_at_precision_99": np.where(
                true > 0, _best(recall, precision >= 0.99, nothing=0.0), np.nan
            ),
        }


def _best(values: Floats, where: Mask, nothing: float = np.nan) -> Floats:
    """Per column the greatest value among the marked rows."""
    if not len(values):
        return np.full(values.shape[1], nothing)
    best = np.max(np.where(where & np.isfinite(values), values, -np.inf), axis=0)
    return np.asarray(np.where(np.isfinite(best), best, nothing))
