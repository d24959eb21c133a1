"""The walk from strict to lax: literal samples, and properties that hold for every sample."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuning_world import NOW, Matches, complete

from recon_kit.errors import CertificationError
from recon_kit.tuning import certify, outcomes

GRID = (0.9, 0.8, 0.7)


def sample(*scores_and_wrong: tuple[float, int, int]) -> Matches:
    """So many matches at each score, so many of them wrong."""
    score = [s for s, n, _ in scores_and_wrong for _ in range(n)]
    wrong = [i < k for _, n, k in scores_and_wrong for i in range(n)]
    return Matches(np.array(score), np.zeros(len(score), bool), np.array(wrong))


def attempt(made: Matches, *, looks: int = 0, grid=GRID, margin: float = 0.0, **changed):
    """All of them audited; `changed` columns replace those of the labels."""
    labels = made.labels(np.ones(made.score.size, bool), np.array(0.5))
    labels = labels.with_columns(**{k: pl.lit(v) for k, v in changed.items()})
    plan = certify.Plan("r", "probable", "m1", margin, grid)
    return certify.certify(made.picks(), certify.recent(labels, NOW), plan, looks)


def test_the_laxest_threshold_passed_before_the_first_failure_is_certified():
    """149 right at 0.9 prove 2 %; 151 more with 2 wrong at 0.8 still do; 0.7 is too bad."""
    made = sample((0.95, 149, 0), (0.85, 151, 1), (0.75, 100, 20))

    found = attempt(made)

    assert found.threshold == 0.8
    assert (found.labels, found.wrong, found.passed) == (300, 1, True)
    assert found.upper == pytest.approx(0.0157, abs=1e-4)
    assert found.steps.select("threshold", "labels", "wrong", "passed").rows() == [
        (0.9, 149, 0, True), (0.8, 300, 1, True), (0.7, 400, 21, False),
    ]  # fmt: skip
    assert found.said == (
        "from a confidence of 0.8 on at most 2.0% of the matches are wrong, with 0.95 certainty: "
        "1 wrong of 300 audited"
    )


def test_it_never_goes_back_to_a_point_after_a_failure():
    """What fails at a strict threshold is not saved by good matches at a laxer one."""
    made = sample((0.95, 149, 3), (0.85, 2_000, 0))

    found = attempt(made)

    assert found.threshold is None
    assert found.said.startswith(
        "not certified: 3 wrong of 149 audited is 2.0%, more than the 2.0%"
    )


def test_too_few_labels_say_how_many_are_missing():
    """100 right ones leave 49 to go; without a single label all 149 are missing."""
    missing = attempt(sample((0.95, 100, 0)))
    unseen = attempt(sample((0.95, 100, 0)), grid=())

    assert (missing.threshold, missing.more) == (None, 49)
    assert missing.said == (
        "uncertified: 49 more audit labels needed (with 0 wrong of 100 so far, and if none of them "
        "is wrong)"
    )
    assert unseen.said == "uncertified: 49 more audit labels needed (100 so far)"
    assert unseen.label_hashes == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"stream": "work"},
        {"stream": "imported"},
        {"labelled_by": "rule:7f3a"},
        {"labelled_at": NOW - timedelta(days=180)},
    ],
)
def test_what_is_no_recent_answer_of_a_person_in_the_audit_proves_nothing(changed):
    """Work and imported labels, labels of rules and labels older than 180 days are left out."""
    found = attempt(sample((0.95, 400, 0)), **changed)

    assert (found.passed, found.labels) == (False, 0)


def test_an_item_that_waits_blocks_and_one_that_expired_counts_as_wrong():
    """Skipping what is hard is no way to a certificate."""
    made = sample((0.95, 400, 0))
    with pytest.raises(CertificationError, match="400 drawn items of r, probable, wait for their"):
        attempt(made, state="waiting")

    found = attempt(made, state="expired")

    assert (found.passed, found.wrong) == (False, 400)


def test_a_second_look_at_the_same_labels_may_spend_half():
    """149 right prove 2 % at 95 %, and no more once the chance was halved."""
    made = sample((0.95, 149, 0))

    assert attempt(made).passed
    again = attempt(made, looks=1)
    assert (again.passed, again.delta, again.more) == (False, 0.025, 34)


def test_an_audit_of_everything_knows_how_many_are_wrong():
    """The promise speaks of matches to come; of those at hand the number is known."""
    found = attempt(sample((0.95, 400, 2)))

    assert (found.frame, found.frame_wrong_max) == (400, 2)


def test_pairs_that_no_threshold_would_match_are_left_out():
    """Equal answers, the sign-off limit and a small margin keep a pair from being a match."""
    made = sample((0.95, 10, 0))
    found = made.picks().with_columns(
        barred=pl.int_range(10) == 0,
        held=pl.int_range(10) == 1,
        margin=pl.when(pl.int_range(10) == 2).then(0.05).otherwise(1.0),
    )

    assert outcomes.matchable(found, "probable", 0.1)["left_key"].to_list() == [
        f"l{i}" for i in range(3, 10)
    ]
    assert outcomes.matchable(found, "window", 0.1).is_empty()


def test_a_partner_that_nobody_named_is_wrong_from_its_own_confidence_on():
    """An order with two payments, one of them a stranger's: right above 0.7, wrong below."""
    pairs = complete(
        {"left_key": ["o", "o"], "right_key": ["p1", "p2"], "confidence": [0.9, 0.7]},
        outcomes.PICK_SCHEMA,
        method="probable", margin=1.0, barred=False, held=False,
    )  # fmt: skip
    labels = complete(
        {"left_key": ["o"], "right_key": ["p1"]},
        outcomes.LABEL_SCHEMA,
        state="answered", inclusion_probability=0.5,
    )  # fmt: skip

    found = outcomes.units(pairs, labels)

    assert found.select("left_key", "matched_at", "wrong_at").rows() == [("o", 0.9, 0.7)]


counts = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 6)).map(lambda t: (t[0], min(t))),
    min_size=3,
    max_size=3,
)


def threshold(parts, order=None) -> float:
    """What is certified; above the grid where nothing is."""
    made = sample(*((t + 0.05, n, k) for t, (n, k) in zip(GRID, parts, strict=True)))
    score = pl.Series(made.score, dtype=pl.Float64)
    wrong = score.set(~pl.Series(made.wrong, dtype=pl.Boolean), None)
    if order is not None:
        places = np.random.default_rng(order).permutation(score.len())
        score, wrong = score.gather(places), wrong.gather(places)
    passed = certify.walk(score, wrong, GRID, 0.02, 0.05).filter("passed")
    return passed["threshold"][-1] if passed.height else 1.0


@settings(max_examples=60, deadline=None)
@given(parts=counts, at=st.integers(0, 2), order=st.integers(0, 9))
def test_errors_never_loosen_successes_never_tighten_and_order_is_nothing(parts, at, order):
    """One more error cannot lower the threshold, one more success cannot raise it."""
    n, k = parts[at]
    worse, better = list(parts), list(parts)
    worse[at], better[at] = (n + 1, k + 1), (n + 1, k)

    assert threshold(worse) >= threshold(parts)
    assert threshold(better) <= threshold(parts)
    assert threshold(parts, order) == threshold(parts)


def test_a_plan_is_known_by_everything_it_fixes():
    """Another grid, margin, rate or model is another plan."""
    plan = certify.Plan("r", "probable", "m1", 0.1, GRID)
    others = [
        certify.Plan("r", "probable", "m1", 0.1, GRID[:2]),
        certify.Plan("r", "probable", "m1", 0.2, GRID),
        certify.Plan("r", "probable", "m2", 0.1, GRID),
        certify.Plan("r", "probable", "m1", 0.1, GRID, fmr_max=0.05),
    ]

    assert plan.plan_hash == certify.Plan("r", "probable", "m1", 0.1, GRID).plan_hash
    assert len({plan.plan_hash, *(p.plan_hash for p in others)}) == 5


def test_the_grid_starts_where_enough_was_drawn_and_never_looks_at_answers():
    """With 400 drawn of 1,000 it starts at the 200th; with fewer than 149 there is none."""
    frame = pl.Series(np.linspace(0.5, 1.0, 1_001))
    drawn = frame.gather_every(5).head(201)

    grid = certify.fix_grid(frame, drawn)

    assert sum(drawn >= grid[0]) == 149
    assert list(grid) == sorted(grid, reverse=True)
    assert grid[-1] == 0.5
    assert certify.fix_grid(frame, drawn.head(148)) == ()
