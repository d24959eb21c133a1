"""The three curves that labels can teach: a logistic regression, Platt's line, a staircase.

The one owner of scikit-learn. All fits run on one thread, by solvers that end where the optimum
is and not where a tolerance stopped them: the same rows give the same numbers on any number of
threads. Nothing here is needed to score with a trained model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit.tuning import folds

Floats = NDArray[np.float64]
# Strength of the labels against the opinion that a number tells nothing, weakest first.
STRENGTHS: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
_BASE = 10.0  # the first column, what is known without labels, is all but free of that opinion
_DIGITS = 9
_TELLS_MIN = 1e-9


@dataclass(frozen=True, slots=True)
class Regression:
    """Log-odds = intercept + coefficients x columns; `strength` was chosen by held-out folds."""

    intercept: float
    coefficients: tuple[float, ...]
    strength: float

    def told(self, matrix: Floats) -> Floats:
        """Log-odds of rows."""
        # summed row by row: a matrix product may add up in another order on more threads
        return np.asarray((matrix * np.array(self.coefficients)).sum(axis=1) + self.intercept)


def kappa(first: pl.Series, second: pl.Series) -> float | None:
    """Cohen's kappa of two reviewers' answers; none where there are none or all are alike.

    Source: Cohen, Educational and Psychological Measurement 20 (1960).
    """
    from sklearn.metrics import cohen_kappa_score

    if pl.concat([first, second]).n_unique() < 2:  # one answer leaves nothing to agree about
        return None
    return round(float(cohen_kappa_score(first.to_list(), second.to_list())), _DIGITS)


def regression(
    matrix: Floats, truth: NDArray[np.bool_], groups: pl.Series, seed: int, *, base: bool
) -> Regression:
    """Fit a logistic regression whose strength held-out groups choose.

    Args:
        matrix: a row per pair; columns that never vary get no coefficient.
        truth: whether the pair is true; both must occur.
        groups: rows of one group stay in one fold.
        seed: of the folds.
        base: whether the first column is the log-odds known without labels, which the others
            only correct.
    """
    fold = folds.split(groups, folds.FOLDS, seed).to_numpy()
    with _one_thread():
        loss = {
            strength: _held_out_loss(matrix, truth, fold, strength, base=base)
            for strength in STRENGTHS
        }
        best = min(STRENGTHS, key=lambda strength: (loss[strength], strength))
        return _fit(matrix, truth, best, base=base)


def _held_out_loss(
    matrix: Floats,
    truth: NDArray[np.bool_],
    fold: NDArray[np.int64],
    strength: float,
    *,
    base: bool,
) -> float:
    total = 0.0
    for number in range(int(fold.max()) + 1):
        out = fold == number
        if truth[~out].all() or not truth[~out].any():
            continue
        told = _fit(matrix[~out], truth[~out], strength, base=base).told(matrix[out])
        total += float(np.logaddexp(0, np.where(truth[out], -told, told)).sum())
    return total


def _fit(matrix: Floats, truth: NDArray[np.bool_], strength: float, *, base: bool) -> Regression:
    from sklearn.linear_model import LogisticRegression

    middle, spread = matrix.mean(axis=0), matrix.std(axis=0)
    tells = spread > _TELLS_MIN
    scale = np.where(tells, spread, 1.0)
    if base:
        middle[0], scale[0] = 0.0, 1 / _BASE
    fitted = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200, tol=1e-8)
    fitted.fit(((matrix - middle) / scale)[:, tells], truth)
    coefficients = np.zeros(matrix.shape[1])
    coefficients[tells] = fitted.coef_[0] / scale[tells]
    intercept = float(fitted.intercept_[0]) - float((coefficients * middle).sum())
    return Regression(_short(intercept), tuple(_short(c) for c in coefficients), strength)


def platt(told: Floats, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """(slope, intercept) of the log-odds that labels bear out.

    The targets are Platt's: (right + 1) / (right + 2) and 1 / (wrong + 2), so that no certainty
    is learned from few labels.

    Source: Platt, Probabilistic outputs for support vector machines (1999).
    """
    from sklearn.linear_model import LogisticRegression

    right, wrong = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (right + 1) / (right + 2), 1 / (wrong + 2))
    rows = np.concatenate([told, told])[:, None]
    answers = np.repeat([True, False], len(told))
    with _one_thread():
        fitted = LogisticRegression(C=1e6, solver="newton-cholesky", max_iter=200, tol=1e-8)
        fitted.fit(rows, answers, sample_weight=np.concatenate([target, 1 - target]))
    return _short(float(fitted.coef_[0, 0])), _short(float(fitted.intercept_[0]))


def staircase(
    told: Floats, truth: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(edges, values): the never falling steps that fit best; `values` has one more than `edges`.

    No step says more than (n + 1) / (n + 2) of its own n labels could (Laplace's rule).

    Source: isotonic regression by pooling adjacent violators; Zadrozny and Elkan, KDD 2002.
    """
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(told, kind="stable")
    points, place = np.unique(told[order], return_inverse=True)
    labels = np.bincount(place).astype(np.float64)
    share = np.bincount(place, weights=truth[order].astype(np.float64)) / labels
    steps = isotonic_regression(share, sample_weight=labels)
    starts = np.flatnonzero(np.r_[True, np.diff(steps) > _TELLS_MIN])
    size = np.add.reduceat(labels, starts)
    value = np.clip(steps[starts], 1 / (size + 2), (size + 1) / (size + 2))
    value = np.maximum.accumulate(value)
    edges = (points[starts[1:]] + points[starts[1:] - 1]) / 2
    return tuple(_short(e) for e in edges), tuple(_short(v) for v in value)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums on several threads differ in their last digits, and a model is known by its hash."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def _short(value: float) -> float:
    return float(f"{float(value):.{_DIGITS}g}")


def by_name(names: Sequence[str], fitted: Regression) -> dict[str, float]:
    """Coefficients that are not zero, by column."""
    pairs = zip(names, fitted.coefficients, strict=True)
    return {name: value for name, value in pairs if value != 0.0}
