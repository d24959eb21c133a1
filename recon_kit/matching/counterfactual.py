"""The smallest change of what was compared that would have decided otherwise.

A pair stands on one level of each comparison, and each level is worth so many bits. The grid of all
levels is finite, so the question is answered by looking: of all changes of one comparison that
reach the bits needed the one that overshoots least; if no single one does, of two, then of three.
The odds of a pair are multiplied by what its own evidence is multiplied by, whatever its rivals
are, so the probability after a change is known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

from recon_kit.matching.ladders import Comparison

CHANGES_MAX = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One comparison on another level: `gain` is in bits, negative where it tells against."""

    comparison: str
    level: str
    now: str
    gain: float


@dataclass(frozen=True, slots=True)
class Flip:
    """The smallest change that reaches the bits needed, and the probability it would give."""

    changes: tuple[Change, ...]
    needed: float
    probability: float

    @property
    def gain(self) -> float:
        """Bits that the changes bring together."""
        return sum(change.gain for change in self.changes)


def bits(probability: float) -> float:
    """Log2 of the odds, kept finite at both ends."""
    held = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log2(held / (1 - held))


def flip(
    ladders: Sequence[Comparison],
    standing: Sequence[int],
    probability: float,
    threshold: float,
) -> Flip | None:
    """The smallest change that brings a probability to a threshold, from below or from above.

    Args:
        ladders: the comparisons with their odds.
        standing: the level of each, from 0 at the top, -1 where there is nothing to compare.
        probability: of the pair as it stands, rivals weighed.
        threshold: to be reached; where the pair stands above it already, to be fallen below.

    Returns:
        The change; none where no change of up to three comparisons is enough.
    """
    needed = bits(threshold) - bits(probability)
    rising = needed > 0
    moves = [_moves(c, now, rising) for c, now in zip(ladders, standing, strict=True)]
    moves = [m for m in moves if m]
    for size in range(1, min(CHANGES_MAX, len(moves)) + 1):
        best = _least(moves, size, needed, rising)
        if best is not None:
            after = bits(probability) + sum(c.gain for c in best)
            return Flip(best, needed, 1 / (1 + 2**-after))
    return None


def _moves(ladder: Comparison, now: int, rising: bool) -> list[Change]:
    """Changes of one comparison in the wanted direction, the smallest first.

    A comparison without anything to compare says nothing: it weighs 0 bits.
    """
    worth = [math.log2(level.m / level.u) for level in ladder.levels]
    held = worth[now] if now >= 0 else 0.0
    told = ladder.levels[now].label if now >= 0 else "nothing to compare"
    found = [
        Change(ladder.label, level.label, told, bits_of - held)
        for level, bits_of in zip(ladder.levels, worth, strict=True)
        if (bits_of > held) == rising and bits_of != held
    ]
    return sorted(found, key=lambda c: (abs(c.gain), c.level))


def _least(
    moves: Sequence[list[Change]], size: int, needed: float, rising: bool
) -> tuple[Change, ...] | None:
    """Of all changes of `size` comparisons that reach what is needed, the one that moves least."""
    enough = [
        picked
        for chosen in combinations(moves, size)
        for picked in product(*chosen)
        if (sum(c.gain for c in picked) >= needed) == rising
    ]
    if not enough:
        return None
    return min(
        enough,
        key=lambda p: (round(abs(sum(c.gain for c in p)), 9), [(c.comparison, c.level) for c in p]),
    )
