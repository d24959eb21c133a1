"""The smallest change that would have decided otherwise."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit.matching.counterfactual import bits, flip
from recon_kit.matching.ladders import Comparison, Level


def ladder(name, *weights):
    """A comparison whose levels weigh so many bits, from the top."""
    levels = [Level(f"{name} {w:g}", None, 0.001 * 2**w, 0.001) for w in weights]
    return Comparison(name, name, "false", tuple(levels))


AMOUNT, MAIL = ladder("amount", 6, 3, -4), ladder("mail", 8, 1, -2)


def test_the_least_change_that_is_enough_is_told():
    """At -1 bits, 4.25 bits short of 0.905: the amount one level up is 7 bits, the mail 3 or 10."""
    found = flip([AMOUNT, MAIL], [2, 2], 1 / 3, 2**3.25 / (1 + 2**3.25))

    assert [(c.comparison, c.level, c.now) for c in found.changes] == [
        ("amount", "amount 3", "amount -4")
    ]
    assert (round(found.needed, 6), found.gain) == (4.25, 7)
    assert found.probability == 2**6 / (1 + 2**6)


def test_two_changes_are_told_where_one_is_not_enough():
    """16 bits: no single level gives them, the amount and the mail together do."""
    found = flip([AMOUNT, MAIL], [2, 2], 0.5, 2**16 / (1 + 2**16))

    assert [c.level for c in found.changes] == ["amount 3", "mail 8"]
    assert round(found.gain, 9) == 17


def test_no_change_is_enough_where_the_grid_ends():
    """The best levels of all give 20 bits; 30 are out of reach."""
    assert flip([AMOUNT, MAIL], [2, 2], 0.5, 1 - 2**-30) is None


def test_from_above_the_least_that_would_make_it_a_question():
    """2 bits to lose: a mail of 1 bit instead of 8 loses 7, an amount of 3 instead of 6 loses 3."""
    found = flip([AMOUNT, MAIL], [0, 0], 2**5 / (1 + 2**5), 2**3 / (1 + 2**3))

    assert [(c.level, round(c.gain, 9)) for c in found.changes] == [("amount 3", -3)]
    assert round(found.needed, 9) == -2
    assert round(found.probability, 9) == round(2**2 / (1 + 2**2), 9)


def test_what_was_not_told_can_be_told():
    """Where there was nothing to compare, a mail that agrees is the change."""
    found = flip([MAIL], [-1], 0.5, 0.99)

    assert (found.changes[0].now, found.changes[0].level) == ("nothing to compare", "mail 8")


grids = st.lists(
    st.lists(st.integers(-8, 8), min_size=2, max_size=4, unique=True), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None)
@given(grids, st.data())
def test_brute_force_finds_nothing_smaller(grid, data):
    """Over the whole grid: whatever is told is enough, and no change of as few is smaller."""
    ladders = [ladder(f"c{i}", *weights) for i, weights in enumerate(grid)]
    standing = [data.draw(st.integers(-1, len(w) - 1)) for w in grid]
    now, goal = data.draw(st.integers(-6, 6)), data.draw(st.integers(-6, 6)) + 0.5
    found = flip(ladders, standing, 2**now / (1 + 2**now), 2**goal / (1 + 2**goal))

    held = [w[s] if s >= 0 else 0 for w, s in zip(grid, standing, strict=True)]
    rising = goal > now
    sizes = {}
    for picked in itertools.product(*([h, *w] for h, w in zip(held, grid, strict=True))):
        gains = [p - h for p, h in zip(picked, held, strict=True)]
        moved = [g for g in gains if g]
        total = sum(moved)
        if any((g > 0) != rising for g in moved) or (now + total >= goal) != rising:
            continue
        sizes.setdefault(len(moved), []).append(abs(total))
    if not sizes:
        assert found is None
        return
    assert len(found.changes) == min(sizes)
    assert math.isclose(abs(found.gain), min(sizes[min(sizes)]), abs_tol=1e-6)
    assert math.isclose(bits(found.probability), now + found.gain, abs_tol=1e-6)
