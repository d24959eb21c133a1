from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import open_engine
from recon_kit.matching.assign import ASSIGNED_SCHEMA, assign, pick

Edge = tuple[int, int, float]


def frame(edges: list[Edge]) -> pl.DataFrame:
    return pl.DataFrame(
        edges,
        schema={"left_eid": pl.Int64, "right_eid": pl.Int64, "match_weight": pl.Float64},
        orient="row",
    )


def best_answers(edges: list[Edge], lefts_max: int, rights_max: int) -> tuple[float, list[set]]:
    """Every answer of greatest total weight, by trying all sets of pairs."""
    answers: dict[frozenset, float] = {}
    for size in range(len(edges) + 1):
        for chosen in itertools.combinations(edges, size):
            left = [e[0] for e in chosen]
            right = [e[1] for e in chosen]
            if all(left.count(n) <= lefts_max for n in left) and all(
                right.count(n) <= rights_max for n in right
            ):
                answers[frozenset((e[0], e[1]) for e in chosen)] = sum(e[2] for e in chosen)
    top = max(answers.values())
    return top, [set(a) for a, total in answers.items() if total == top]


small_graphs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(10, 13), st.integers(1, 5).map(float)),
    min_size=1,
    max_size=9,
    unique_by=lambda e: (e[0], e[1]),
)


def test_four_rows_of_which_the_best_pair_spoils_two_good_ones():
    """Weights 10, 9, 9 and 0 (Splink's issue 251): the answer is 9 + 9, not 10 + 0."""
    edges = [(1, 11, 10.0), (1, 12, 9.0), (2, 11, 9.0), (2, 12, 0.0)]
    found = pick(frame(edges), "one_to_one")
    assert list(zip(found["left_eid"], found["right_eid"], strict=True)) == [(1, 12), (2, 11)]
    assert found["equal_answers"].to_list() == [1, 1]


@settings(max_examples=150, deadline=None)
@given(small_graphs)
def test_one_to_one_is_a_best_answer_and_counts_all_of_them(edges):
    """The total is the greatest possible, and equal answers are those brute force finds."""
    found = pick(frame(edges), "one_to_one", weight_floor=0.0)
    top, answers = best_answers(edges, 1, 1)
    chosen = set(zip(found["left_eid"], found["right_eid"], strict=True))
    assert top == found["match_weight"].sum()
    assert chosen in answers
    for left, right, equal in zip(
        found["left_eid"], found["right_eid"], found["equal_answers"], strict=True
    ):
        partners = {next((p for p in a if p[0] == left), None) for a in answers}
        owners = {next((p for p in a if p[1] == right), None) for a in answers}
        assert max(len(partners), len(owners)) == equal


@settings(max_examples=60, deadline=None)
@given(small_graphs, st.sampled_from(["one_to_many", "many_to_one"]), st.integers(2, 3))
def test_capacity_bounds_the_many_side(edges, cardinality, capacity):
    """With a capacity the total is the greatest among answers that keep to it."""
    found = pick(frame(edges), cardinality, capacity=capacity, weight_floor=0.0)
    bounds = (capacity, 1) if cardinality == "one_to_many" else (1, capacity)
    assert best_answers(edges, *bounds)[0] == found["match_weight"].sum()


@settings(max_examples=40, deadline=None)
@given(small_graphs, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(edges, random):
    """Shuffled input gives the same table."""
    shuffled = list(edges)
    random.shuffle(shuffled)
    assert pick(frame(edges), "one_to_one").equals(pick(frame(shuffled), "one_to_one"))


def test_order_by_key_stands_above_order_by_id():
    """Where rows carry their order by event key, eids given out differently change nothing."""
    ids = {1: 70, 2: 30, 11: 90, 12: 40}
    edges = [(1, 11, 5.0), (1, 12, 5.0), (2, 11, 5.0), (2, 12, 5.0)]
    order = {"left_seq": [1, 1, 2, 2], "right_seq": [1, 2, 1, 2]}
    first = pick(
        frame(edges).with_columns(**{k: pl.Series(v) for k, v in order.items()}), "one_to_one"
    )
    renamed = frame([(ids[a], ids[b], w) for a, b, w in edges])
    second = pick(renamed.with_columns(**{k: pl.Series(v) for k, v in order.items()}), "one_to_one")
    assert [
        (ids[a], ids[b]) for a, b in zip(first["left_eid"], first["right_eid"], strict=True)
    ] == list(zip(second["left_eid"], second["right_eid"], strict=True))


def test_ties_have_no_margin():
    """Four pairs of the same weight leave two equal answers and no lead, so a person decides."""
    edges = [(1, 11, 5.0), (1, 12, 5.0), (2, 11, 5.0), (2, 12, 5.0)]
    found = pick(frame(edges), "one_to_one")
    assert found["equal_answers"].to_list() == [2, 2]
    assert found["margin"].to_list() == [0.0, 0.0]


def test_a_pair_alone_keeps_its_own_probability():
    """Without rivals the chance is the odds of the weight: 3 bits are 8 to 1."""
    found = pick(frame([(1, 11, 3.0)]), "one_to_one").row(0, named=True)
    assert math.isclose(8 / 9, found["match_probability"], abs_tol=1e-6)
    assert math.isclose(8 / 9, found["margin"], abs_tol=1e-6)
    assert found["rival_eid"] is None


def test_rivals_share_the_probability():
    """One left event between 8 to 1 and 4 to 1: chances 8/13 and 4/13, the margin their gap."""
    found = pick(frame([(1, 11, 3.0), (1, 12, 2.0)]), "one_to_one").row(0, named=True)
    assert math.isclose(8 / 13, found["match_probability"], abs_tol=1e-6)
    assert math.isclose(4 / 13, found["margin"], abs_tol=1e-6)
    assert found["rival_eid"] == 12
    assert found["rival_weight"] == 2.0
    assert found["weight_margin"] == 1.0


@settings(max_examples=60, deadline=None)
@given(small_graphs)
def test_chance_is_exact_without_circles(edges):
    """On pairs that form a tree the chance equals the share of the odds of all answers."""
    tree: list[Edge] = []
    group = {n: n for e in edges for n in e[:2]}
    for edge in edges:
        if group[edge[0]] != group[edge[1]]:
            old, new = group[edge[0]], group[edge[1]]
            group = {n: new if g == old else g for n, g in group.items()}
            tree.append(edge)
    total, part = 0.0, dict.fromkeys([(e[0], e[1]) for e in tree], 0.0)
    for size in range(len(tree) + 1):
        for chosen in itertools.combinations(tree, size):
            if len({e[0] for e in chosen}) == size == len({e[1] for e in chosen}):
                odds = 2.0 ** sum(e[2] for e in chosen)
                total += odds
                for e in chosen:
                    part[e[0], e[1]] += odds
    found = pick(frame(tree), "one_to_one")
    for left, right, chance in zip(
        found["left_eid"], found["right_eid"], found["match_probability"], strict=True
    ):
        assert math.isclose(part[left, right] / total, chance, abs_tol=2e-6)


def test_one_to_many_lets_a_left_event_take_several():
    """Every right event takes its best left one; the left one may have several."""
    edges = [(1, 11, 4.0), (1, 12, 3.0), (2, 12, 2.0), (2, 13, 1.0)]
    found = pick(frame(edges), "one_to_many").sort("right_eid")
    assert list(zip(found["left_eid"], found["right_eid"], strict=True)) == [
        (1, 11),
        (1, 12),
        (2, 13),
    ]
    assert found["rival_eid"].to_list() == [None, 2, None]


def test_many_to_many_keeps_all_above_the_floor():
    """Without limits every pair worth more than none stands."""
    found = pick(frame([(1, 11, 4.0), (1, 12, 3.0), (2, 12, -9.0)]), "many_to_many")
    assert list(zip(found["left_eid"], found["right_eid"], strict=True)) == [(1, 11), (1, 12)]


def test_pairs_below_the_floor_are_rivals_only():
    """A pair below the floor is never picked."""
    assert pick(frame([(1, 11, -9.0)]), "one_to_one").is_empty()


def test_larger_graph_equals_the_dense_solver():
    """Six hundred tangled pairs: the total equals that of the dense assignment."""
    rng = np.random.default_rng(5)
    weight = np.round(rng.normal(1, 3, (40, 40)), 3)
    weight[rng.random((40, 40)) > 0.4] = -50
    edges = [
        (i, 100 + j, float(weight[i, j])) for i in range(40) for j in range(40) if weight[i, j] > 0
    ]
    found = pick(frame(edges), "one_to_one", weight_floor=0.0)
    worth = np.maximum(weight, 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    assert math.isclose(worth[rows, columns].sum(), found["match_weight"].sum(), abs_tol=1e-6)


def test_many_unlikely_pairs_are_still_solved():
    """Where every pair is unlikely for its rivals' sake, the answer is complete all the same."""
    edges = [(i, 100 + j, 1.0) for i in range(30) for j in range(30)]
    found = pick(frame([(a, b, w - 6.5) for a, b, w in edges]), "one_to_one")
    assert len(found) == 30
    assert found["equal_answers"].to_list() == [30] * 30


def test_no_pairs_give_an_empty_table():
    """Nothing scored, nothing assigned, the columns are there all the same."""
    found = pick(frame([]), "one_to_one")
    assert list(ASSIGNED_SCHEMA) == found.columns
    assert found.is_empty()


def test_table_in_the_engine():
    """`assign` reads a scored table and leaves `assigned_pairs`."""
    with open_engine() as engine:
        engine.put("scored_pairs", frame([(1, 11, 4.0)]))
        assert assign(engine, "scored_pairs", "one_to_one") == "assigned_pairs"
        assert engine.count("assigned_pairs") == 1


def test_bad_input_is_refused():
    """A capacity of nought is an error that says so."""
    with pytest.raises(MatchingError, match="capacity of 0 allows no match"):
        pick(frame([(1, 11, 1.0)]), "one_to_many", capacity=0)


def test_a_weight_that_is_no_number_is_handed_on_as_a_question():
    """A pair without a weight is not weighed: it stays beside the answer, unless that took one."""
    edges = [(1, 11, 5.0), (1, 12, math.nan), (2, 12, math.nan), (3, 13, math.inf)]
    found = pick(frame(edges), "one_to_one")
    assert found.select("left_eid", "right_eid", "match_weight", "match_probability").rows() == [
        (1, 11, 5.0, pytest.approx(32 / 33, abs=1e-6)),
        (2, 12, None, None),
        (3, 13, None, None),
    ]
    assert found["margin"].to_list()[1:] == [0.0, 0.0]
