"""Sums: every run and every set that adds up is counted, whatever the signs, zeros and order."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit.errors import MatchingError
from recon_kit.matching import runs, subsets

AMOUNTS = st.sampled_from([0, 1, 2, 3, 5, 7, 10, -1, -3, 100, 250])


def ints(values: list[int]) -> np.ndarray:
    """An array of minor units."""
    return np.array(values, dtype=np.int64)


def sets_by_hand(values: list[int], low: int, high: int) -> list[int]:
    """Masks of all sets that add up, by looking at every one."""
    sets = (c for n in range(len(values)) for c in combinations(range(len(values)), n + 1))
    return sorted(
        sum(1 << k for k in chosen)
        for chosen in sets
        if low <= sum(values[k] for k in chosen) <= high
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(AMOUNTS, max_size=9), st.integers(-5, 40), st.integers(0, 3))
def test_every_set_is_counted(values: list[int], target: int, allowed: int) -> None:
    """Meeting in the middle finds exactly the sets that trying all of them finds."""
    found = subsets.solve(ints(values), target - allowed, target + allowed, listed_max=10_000)

    assert found.masks.tolist() == sets_by_hand(values, target - allowed, target + allowed)
    assert found.count == len(found.masks)


@settings(max_examples=50, deadline=None)
@given(st.lists(AMOUNTS, min_size=1, max_size=9), st.randoms())
def test_the_order_of_the_pool_changes_no_count(values: list[int], rng) -> None:
    """A solver that finds the first answer is right only when the true items come first."""
    target = sum(values[: len(values) // 2 + 1])
    shuffled = list(values)
    rng.shuffle(shuffled)

    one = subsets.solve(ints(values), target, target, listed_max=10_000)
    other = subsets.solve(ints(shuffled), target, target, listed_max=10_000)

    assert one.count == other.count


def test_thirteen_equal_items_have_as_many_answers_as_there_are_choices() -> None:
    """13 tickets of 2.75: 1,716 ways to pay for six, one way to pay for all, none for 2.74."""
    tickets = ints([275] * 13)

    assert subsets.solve(tickets, 6 * 275, 6 * 275, listed_max=10).count == comb(13, 6) == 1_716
    assert subsets.solve(tickets, 13 * 275, 13 * 275, listed_max=10).masks.tolist() == [2**13 - 1]
    assert subsets.solve(tickets, 274, 274, listed_max=10).count == 0


def test_zero_items_double_every_answer() -> None:
    """An item of zero belongs or not: adding up cannot tell."""
    assert subsets.solve(ints([5, 0]), 5, 5, listed_max=10).masks.tolist() == [1, 3]
    assert subsets.solve(ints([5, 0]), 0, 0, listed_max=10).masks.tolist() == [2]


def test_twenty_eight_items_are_decided_and_twenty_nine_are_not() -> None:
    """Powers of two have one answer each; one item more is refused, not tried."""
    powers = ints([1 << k for k in range(28)])

    assert subsets.solve(powers, 123_456_789, 123_456_789, listed_max=10).masks.tolist() == [
        123_456_789
    ]
    with pytest.raises(MatchingError, match="29 items are undecidable: at most 28"):
        subsets.solve(ints([1] * 29), 1, 1, listed_max=10)


def test_more_answers_than_can_be_listed_are_still_counted() -> None:
    """40,116,600 ways to choose 14 of 28: told as a number."""
    found = subsets.solve(ints([100] * 28), 1_400, 1_400, listed_max=1_000)

    assert (found.count, found.masks.tolist()) == (comb(28, 14), [])


@pytest.mark.parametrize("items", [12, 20, 26])
def test_the_expected_number_by_chance_is_what_sums_of_strangers_give(items: int) -> None:
    """Over 300 targets near the middle that have nothing to do with the items, within a quarter."""
    rng = np.random.default_rng(7)
    values = rng.integers(500, 5_000, items)
    middle, spread = int(values.sum() // 2), int(values.sum() // 8)
    targets = rng.integers(middle - spread, middle + spread, 300)

    seen = sum(subsets.solve(values, t, t, listed_max=0).count for t in targets.tolist())
    expected = sum(subsets.chance(values, t, t) for t in targets.tolist())

    assert seen == pytest.approx(expected, rel=0.25 if items > 12 else 0.6)


def test_chance_knows_the_lattice_of_prices() -> None:
    """In whole dollars a sum is hit a hundred times as often as in cents."""
    cents = ints([300, 500, 700, 1_100])

    assert subsets.chance(cents, 1_000, 1_000, unit=100) == pytest.approx(
        100 * subsets.chance(cents, 1_000, 1_000)
    )
    assert subsets.chance(ints([]), 1, 1) == 0.0


Target = tuple[int, int, int, int]
TARGETS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(-5, 40), st.integers(0, 3)),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(AMOUNTS, min_size=1, max_size=12), TARGETS)
def test_every_run_is_counted(values: list[int], targets: list[Target]) -> None:
    """Prefix sums find exactly the runs that adding up every one finds, within each window."""
    n = len(values)
    told = [(min(a, n), min(b, n), t - d, t + d) for a, b, t, d in targets]
    first, last, low, high = (ints(list(c)) for c in zip(*told, strict=True)) if told else (
        ints([]) for _ in range(4)
    )  # fmt: skip
    found = runs.find(ints(values), first, last, low, high, listed_max=1_000)

    by_hand = [
        (k, i, j)
        for k, (a, b, lo, hi) in enumerate(told)
        for i in range(a, b)
        for j in range(i + 1, b + 1)
        if lo <= sum(values[i:j]) <= hi
    ]
    listed = zip(found.target.tolist(), found.start.tolist(), found.end.tolist(), strict=True)
    assert list(listed) == by_hand
    assert found.counts.tolist() == [sum(r[0] == k for r in by_hand) for k in range(len(told))]


def test_a_crowd_of_runs_is_counted_but_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty ones hold twenty runs of one; in chunks of any size the same."""
    ones, bound = ints([1] * 20), ints([1, 1, 20])
    for starts in (2_000_000, 10, 1):
        monkeypatch.setattr(runs, "_STARTS_AT_ONCE", starts)
        found = runs.find(ones, ints([0, 0, 0]), ints([20, 3, 20]), bound, bound, listed_max=3)
        assert found.counts.tolist() == [20, 3, 1]
        assert found.target.tolist() == [1, 1, 1, 2]


def test_money_beyond_64_bits_is_refused() -> None:
    """A sum that could wrap around is an error that names the likely cause."""
    with pytest.raises(MatchingError, match="check the unit of the amounts"):
        runs.prefix_sums(ints([2**62, 2**62]))
