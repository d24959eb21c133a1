"""Pure statistics: exact bounds, weighted estimates, survival, tests that stand low volume.

Nothing here knows money or matches. A confidence `level` is two-sided unless a function says
one-sided; `delta` is the chance of being wrong that a one-sided bound allows itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_ROUNDING = 1e-12  # what products of fractions may be off by


@cache
def _special() -> Any:
    """`scipy.special`, loaded when a bound is asked for: it costs half a second."""
    from scipy import special

    return special


# --- Bounds on a proportion --------------------------------------------------------------------
def clopper_pearson_upper(errors: float, trials: float, delta: float = 0.05) -> float:
    """One-sided exact upper bound of a proportion: it fails with probability at most `delta`.

    The p at which seeing at most `errors` of `trials` has probability `delta`; with no trial 1.0.
    Real counts are taken too (see `hajek`).

    Source: Clopper and Pearson, Biometrika 26 (1934), as a quantile of a beta distribution.
    """
    _check_counts(errors, trials)
    if errors >= trials:
        return 1.0
    return float(_special().betaincinv(errors + 1, trials - errors, 1 - delta))


def clopper_pearson_lower(errors: float, trials: float, delta: float = 0.05) -> float:
    """One-sided exact lower bound of a proportion; the mirror image of the upper one."""
    _check_counts(errors, trials)
    if errors <= 0:
        return 0.0
    return float(_special().betaincinv(errors, trials - errors + 1, delta))


def wilson(errors: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion, for charts; with no trial (0.0, 1.0).

    Source: Wilson, JASA 22 (1927). It holds its level on average only: no promise rests on it.
    """
    _check_counts(errors, trials)
    if trials == 0:
        return 0.0, 1.0
    z = float(_special().ndtri(0.5 + level / 2))
    share = errors / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if errors == 0 else (middle - half) / scale
    high = 1.0 if errors == trials else (middle + half) / scale
    return low, high


def hypergeometric_upper(errors: int, audited: int, frame: int, delta: float = 0.05) -> int:
    """One-sided exact upper bound of how many of a finite frame are wrong.

    For `audited` items drawn without replacement from `frame` items, `errors` of them wrong: the
    largest number of wrong items under which so few errors still have a probability above
    `delta`. When the whole frame was audited that number is `errors` itself.

    Source: Buonaccorsi, The American Statistician 41 (1987), tail inversion.
    """
    _check_counts(errors, audited)
    if audited > frame:
        raise ValueError(f"{audited} audited of a frame of {frame}: the frame must hold them all")
    low, high = errors, frame - (audited - errors)
    while low < high:
        middle = (low + high + 1) // 2
        if _draw_at_most(errors, audited, frame, middle) > delta:
            low = middle
        else:
            high = middle - 1
    return low


def labels_needed(errors: int, rate_max: float, delta: float = 0.05) -> int:
    """How many labels, `errors` of them wrong, prove a rate of at most `rate_max`.

    The least n whose `clopper_pearson_upper` is not above `rate_max`, found by bisection (the
    bound falls as n grows).
    """
    if not 0 < rate_max < 1:
        raise ValueError(f"rate_max is {rate_max}; it must lie between 0 and 1")
    low, high = errors, max(errors, 1)
    while clopper_pearson_upper(errors, high, delta) > rate_max:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if clopper_pearson_upper(errors, middle, delta) > rate_max:
            low = middle
        else:
            high = middle
    return high


# --- Tests -------------------------------------------------------------------------------------
def binomial_at_most(errors: int, trials: int, rate: float) -> float:
    """P(at most `errors` of `trials`) at a true `rate`: small means the rate is surely lower."""
    _check_counts(errors, trials)
    return float(_special().bdtr(errors, trials, rate)) if errors < trials else 1.0


def binomial_at_least(errors: int, trials: int, rate: float) -> float:
    """P(at least `errors` of `trials`) at a true `rate`: the exact one-sided test of a burn.

    Small means that so many bad events are no accident of an objective that allows `rate`.
    """
    _check_counts(errors, trials)
    return float(_special().bdtrc(errors - 1, trials, rate)) if errors > 0 else 1.0


def poisson_at_least(events: int, expected: float) -> float:
    """P(at least `events`) where `expected` were due: the burn test for counts without trials."""
    if events < 0 or expected < 0:
        raise ValueError("events and their expectation are never negative")
    return float(_special().pdtrc(events - 1, expected)) if events > 0 else 1.0


DEFAULT_BETS: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4)


def e_process(wrong: ArrayLike, rate_max: float, bets: Sequence[float] = DEFAULT_BETS) -> Floats:
    """Evidence, after each label in turn, that the true rate is above `rate_max`.

    The mean over bets b of prod(1 + b / rate_max * (x - rate_max)), a nonnegative martingale at
    the boundary: it exceeds 1/delta, at any time one may look, with probability at most delta.

    Args:
        wrong: labels in the order in which they were drawn, 1 for a wrong match.
        rate_max: the promised rate, between 0 and 1.
        bets: fractions below 1 of the capital put at risk on every label.

    Source: Ville's inequality; Ramdas et al., arXiv 2210.01948.
    """
    if not 0 < rate_max < 1:
        raise ValueError(f"rate_max is {rate_max}; it must lie between 0 and 1")
    labels = np.asarray(wrong, dtype=np.float64)
    stakes = np.asarray(bets, dtype=np.float64)[:, None] / rate_max
    paths = np.cumsum(np.log1p(stakes * (labels[None, :] - rate_max)), axis=1)
    return np.asarray(np.exp(paths).mean(axis=0), dtype=np.float64)


# --- Weighted estimates ------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Estimate:
    """A proportion estimated from draws with logged inclusion probabilities.

    `value` is the weighted share, `low` and `high` its two-sided interval, `total` the estimated
    number of ones in the frame, `frame` the estimated size of the frame, `draws` how many labels
    carried it and `effective` how many equally weighted labels they are worth.
    """

    value: float
    low: float
    high: float
    total: float
    frame: float
    draws: int
    effective: float


def hajek(ones: ArrayLike, inclusion: ArrayLike, level: float = 0.95) -> Estimate | None:
    """Estimate a share from independent draws; none when nothing was drawn.

    Every label weighs the inverse of the probability with which it was drawn. The total is the
    Horvitz-Thompson estimate, the share divides it by the estimated frame (Hajek). The interval
    is exact for equal weights and otherwise Clopper-Pearson at Kish's effective number of labels,
    (sum w)^2 / sum w^2: unlike the normal interval it does not shrink to nothing when no error
    was seen.

    Args:
        ones: 0 or 1 for each draw, 1 where the property was found.
        inclusion: the logged probability of each draw, above 0 and at most 1.
        level: two-sided confidence level.

    Source: Horvitz and Thompson, JASA 47 (1952); Hajek (1971); Kish, Survey Sampling (1965);
    Korn and Graubard, Survey Methodology 24 (1998), for the interval.
    """
    values = np.asarray(ones, dtype=np.float64)
    chances = np.asarray(inclusion, dtype=np.float64)
    if values.shape != chances.shape or values.ndim != 1:
        raise ValueError("every draw needs one value and one inclusion probability")
    if values.size == 0:
        return None
    if not ((chances > 0) & (chances <= 1)).all():
        raise ValueError("an inclusion probability lies above 0 and is at most 1")
    if not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("a draw is 0 or 1")
    weights = 1 / chances
    frame, total = float(weights.sum()), float((weights * values).sum())
    share = min(total / frame, 1.0)
    effective = frame * frame / float((weights * weights).sum())
    tail = (1 - level) / 2
    return Estimate(
        value=share,
        low=clopper_pearson_lower(share * effective, effective, tail),
        high=clopper_pearson_upper(share * effective, effective, tail),
        total=total,
        frame=frame,
        draws=int(values.size),
        effective=effective,
    )


# --- Survival ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Survival:
    """How long things stay open: after `times[i]` the share `share[i]` is still open.

    `last` is the longest time anything was watched; `subjects` and `events` count those watched
    and those that ended while watched.
    """

    times: Floats
    share: Floats
    last: float
    subjects: int
    events: int

    def quantile(self, part: float) -> float | None:
        """The earliest time by which `part` of all had ended; none when that was never seen."""
        reached = np.flatnonzero(self.share <= 1 - part + _ROUNDING)
        return float(self.times[reached[0]]) if reached.size else None

    def restricted_mean(self, limit: float) -> float:
        """Mean time open, counting at most `limit`: the area under the curve up to `limit`.

        Where nothing was watched as long as `limit`, the last share is taken to stay: the figure
        is then the largest that the data allow.
        """
        inside = self.times < limit
        edges = np.concatenate([[0.0], self.times[inside], [limit]])
        heights = np.concatenate([[1.0], self.share[inside]])
        return float((np.diff(edges) * heights).sum())


def kaplan_meier(
    durations: ArrayLike, ended: ArrayLike, counts: ArrayLike | None = None
) -> Survival | None:
    """The product-limit estimate of the share still open; none without subjects.

    Args:
        durations: how long each subject was watched, not negative, in any unit.
        ended: true where the subject ended then, false where it was still open (censored).
        counts: for how many subjects each row stands; one when not given.

    At equal times those that ended come before those that were censored.

    Source: Kaplan and Meier, JASA 53 (1958).
    """
    spans = np.asarray(durations, dtype=np.float64)
    over = np.asarray(ended, dtype=bool)
    many = np.ones(spans.shape, np.int64) if counts is None else np.asarray(counts, np.int64)
    if spans.shape != over.shape or spans.shape != many.shape or spans.ndim != 1:
        raise ValueError("every subject needs one duration and one flag")
    if spans.size == 0:
        return None
    if not (spans >= 0).all():
        raise ValueError("a duration is never negative")
    times, place = np.unique(spans, return_inverse=True)
    # whole numbers up to 2^53 are exact in float64
    leaving = np.bincount(place, weights=many, minlength=times.size)
    ends = np.bincount(place, weights=many * over, minlength=times.size)
    at_risk = many.sum() - np.concatenate([[0], np.cumsum(leaving)[:-1]])
    share = np.cumprod(1 - ends / at_risk)
    kept = ends > 0
    return Survival(
        times=times[kept],
        share=share[kept],
        last=float(times[-1]),
        subjects=int(many.sum()),
        events=int(many[over].sum()),
    )


def psi(reference: ArrayLike, now: ArrayLike) -> float:
    """Population stability index of two counts over the same bins; 0 where the shares agree.

    The sum over bins of (share now - share then) * ln(share now / share then). Half an event is
    added to every bin, so that an empty one weighs much but not infinitely.
    """
    then, here = (np.asarray(counts, dtype=np.float64) + 0.5 for counts in (reference, now))
    then, here = then / then.sum(), here / here.sum()
    return float(((here - then) * np.log(here / then)).sum())


def psi_chance(index: float, reference: ArrayLike, now: ArrayLike) -> float:
    """Probability that counts of one and the same population differ by that index or more.

    Under no change the index is (1/n + 1/m) times a chi-squared of as many degrees of freedom as
    there are bins, less one.

    Source: Yurdakul and Naranjo, Journal of Risk Model Validation 14 (2020).
    """
    then, here = (np.asarray(counts, dtype=np.float64) for counts in (reference, now))
    if min(then.sum(), here.sum()) <= 0 or then.size < 2:  # one bin cannot differ
        return 1.0
    scale = 1 / then.sum() + 1 / here.sum()
    return float(_special().chdtrc(then.size - 1, index / scale))


def _draw_at_most(errors: int, audited: int, frame: int, wrong: int) -> float:
    """P(at most `errors` wrong among `audited`) when `wrong` of `frame` are wrong."""
    seen = np.arange(max(0, audited - (frame - wrong)), min(errors, wrong) + 1)
    ways = (
        _log_choose(wrong, seen)
        + _log_choose(frame - wrong, audited - seen)
        - _log_choose(frame, np.asarray(audited))
    )
    return float(np.exp(ways).sum())


def _log_choose(n: int, k: NDArray[np.int64]) -> Floats:
    return np.asarray(
        _special().gammaln(n + 1) - _special().gammaln(k + 1) - _special().gammaln(n - k + 1),
        dtype=np.float64,
    )


def _check_counts(errors: float, trials: float) -> None:
    if not 0 <= errors <= trials:
        raise ValueError(f"{errors} of {trials} is no proportion")
