"""Which of a few items add up: exact, by meeting in the middle, counting every answer.

A set that adds up is weak evidence: of 28 payments about a thousand sets hit a given cent. So all
answers are counted, never only the first; `chance` says how many one would expect of sets that have
nothing to do with the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sqrt

import numpy as np
import numpy.typing as npt

from recon_kit.errors import MatchingError

Ints = npt.NDArray[np.int64]
ITEMS_MAX = 28


@dataclass(frozen=True, slots=True)
class Answers:
    """All sets of items that add up.

    `count` is their number. `masks` are the sets, bit k for item k, in ascending order; empty
    where there are more than `listed_max`.
    """

    count: int
    masks: Ints


def solve(values: Ints, low: int, high: int, *, listed_max: int) -> Answers:
    """Every non-empty set of items whose sum lies between two bounds, both included.

    The items are halved; the sums of one half are sorted, and for each sum of the other two
    look-ups count its partners. 2 * 2^14 sums for 28 items.

    Raises:
        MatchingError: more than `ITEMS_MAX` items: undecidable, not a matter of patience.
    """
    if len(values) > ITEMS_MAX:
        raise MatchingError(
            f"{len(values)} items are undecidable: at most {ITEMS_MAX} can be told apart"
        )
    half = len(values) // 2
    one, other = _sums(values[:half]), _sums(values[half:])
    ordered = np.sort(other)
    left = np.searchsorted(ordered, low - one, "left")
    partners = np.maximum(np.searchsorted(ordered, high - one, "right") - left, 0)
    empty_fits = low <= 0 <= high
    count = int(partners.sum()) - int(empty_fits)
    if count > listed_max:
        return Answers(count, np.zeros(0, np.int64))
    # which set each sum is of costs more to sort than the sums: only where sets are listed
    order = np.argsort(other, kind="stable")
    which = np.repeat(np.arange(len(one)), partners)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(partners) - partners, partners)
    masks = which + (order[left[which] + nth] << half)
    return Answers(count, np.sort(masks[masks != 0]))


def chance(values: Ints, low: int, high: int, unit: int = 1) -> float:
    """How many sets would be expected to add up if the target had nothing to do with the items.

    Sums of random sets are nearly normal: mean half the total, variance a quarter of the sum of
    squares. Where all amounts are multiples of a `unit` (whole dollars, one price), sums fall on
    that lattice alone and hit a point of it more often.
    """
    spread = sqrt(float((values.astype(np.float64) ** 2).sum())) / 2
    if not spread:
        return 0.0
    points = high // unit - -(-low // unit) + 1
    away = ((low + high) / 2 - float(values.sum()) / 2) / spread
    density = exp(-away * away / 2) / (spread * sqrt(2 * pi))
    return max(0, points) * 2.0 ** len(values) * unit * density


def _sums(values: Ints) -> Ints:
    """Sum of every set of items; the set is the index, bit k for item k."""
    sums = np.zeros(1, np.int64)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums
