"""Contiguous runs that add up: prefix sums, sorted once, and one look-up per start.

Pure functions over arrays of int64 minor units; no run is missed and none is preferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from recon_kit.errors import MatchingError

Ints = npt.NDArray[np.int64]
_STARTS_AT_ONCE = 2_000_000
_SUM_MAX = 4.0e18  # minor units: far below what int64 holds, far above any ledger


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs found for many targets in one sequence of items.

    `counts` has the number of runs of every target. `target`, `start` and `end` (exclusive) are
    the runs themselves, of the targets that have at most `listed_max`, in order of target and
    start.
    """

    counts: Ints
    target: Ints
    start: Ints
    end: Ints


def find(  # noqa: PLR0913 - each argument is one column of the targets
    values: Ints, first: Ints, last: Ints, low: Ints, high: Ints, *, listed_max: int
) -> Runs:
    """All runs of at least one item whose sum lies within a target's bounds.

    Args:
        values: the items in order.
        first: for each target the first item that may belong to it.
        last: one past the last such item.
        low: smallest sum that is right.
        high: largest sum that is right.
        listed_max: of a target with more runs than this only their number is told.
    """
    prefix = prefix_sums(values)
    order = np.argsort(prefix, kind="stable")
    ordered = prefix[order]
    index = _Index(prefix, order, ordered, np.searchsorted(ordered, ordered, "right"))
    counts = np.zeros(len(low), np.int64)
    parts: list[tuple[Ints, Ints, Ints]] = []
    todo = list(_chunks(np.maximum(last - first, 0)))
    while todo:
        begin, stop = todo.pop()
        found = _within(index, np.arange(begin, stop), (first, last, low, high))
        if found is None:
            middle = (begin + stop) // 2
            todo += [(begin, middle), (middle, stop)]
            continue
        counts += np.bincount(found[0], minlength=len(low))
        few = counts[found[0]] <= listed_max
        parts.append((found[0][few], found[1][few], found[2][few]))
    empty = np.zeros(0, np.int64)
    target, start, end = (
        np.concatenate([p[k] for p in parts]) if parts else empty for k in range(3)
    )
    rank = np.lexsort((end, start, target))
    return Runs(counts, target[rank], start[rank], end[rank])


def prefix_sums(values: Ints) -> Ints:
    """Sums of the first 0, 1, 2, ... items.

    Raises:
        MatchingError: the money is more than 64 bits hold.
    """
    if np.abs(values.astype(np.float64)).sum() > _SUM_MAX:  # only the size matters, not the cent
        raise MatchingError(
            f"{len(values):,} open items add up to more than {_SUM_MAX:.0e} minor units; "
            "check the unit of the amounts in this source"
        )
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])


@dataclass(frozen=True, slots=True)
class _Index:
    """Prefix sums by position and by size; `after` is where the next larger sum stands."""

    prefix: Ints
    order: Ints
    ordered: Ints
    after: Ints

    def between(self, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """Where in `ordered` the sums from low to high stand: from, to (exclusive)."""
        left = np.searchsorted(self.ordered, low, "left")
        if (low != high).any():
            return left, np.searchsorted(self.ordered, high, "right")
        # a search costs more than all else here: to the cent, one says where both ends are
        at = np.minimum(left, len(self.ordered) - 1)
        return left, np.where(self.ordered[at] == low, self.after[at], left)


def _chunks(lengths: Ints) -> list[tuple[int, int]]:
    """Targets from, to: so many at a time that their starts fit into memory."""
    if not len(lengths):
        return []
    place = np.cumsum(lengths) // _STARTS_AT_ONCE
    cuts = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(lengths)]
    return list(pairwise(cuts))


def _within(
    index: _Index, targets: Ints, bounds: tuple[Ints, Ints, Ints, Ints]
) -> tuple[Ints, Ints, Ints] | None:
    """Runs of some targets as target, start, end; None where they are too many at once."""
    first, last, low, high = (b[targets] for b in bounds)
    length = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(targets)), length)
    start = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length) + first[which]
    base = index.prefix[start]
    left, right = index.between(base + low[which], base + high[which])
    hits = np.maximum(right - left, 0)
    if hits.sum() > 4 * _STARTS_AT_ONCE and len(targets) > 1:
        return None
    some = np.flatnonzero(hits)
    length = hits[some]
    again = np.repeat(some, length)
    nth = np.arange(len(again)) - np.repeat(np.cumsum(length) - length, length)
    end = index.order[left[again] + nth]
    inside = (end > start[again]) & (end <= last[which[again]])
    kept = again[inside]
    return targets[which[kept]], start[kept], end[inside]
