"""Statistics against published values, brute force and seeded simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit import stats

calm = settings(deadline=None, derandomize=True, database=None)

# Newcombe, Statistics in Medicine 17 (1998), table I: r of n, Clopper-Pearson, Wilson, 95 %
NEWCOMBE = [
    (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
    (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
    (0, 20, (0.0000, 0.1684), (0.0000, 0.1611)),
    (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
]


@pytest.mark.parametrize(("errors", "trials", "exact", "score"), NEWCOMBE)
def test_intervals_equal_published_ones(errors, trials, exact, score):
    """Both intervals agree with a published table to its four digits."""
    low = stats.clopper_pearson_lower(errors, trials, 0.025)
    high = stats.clopper_pearson_upper(errors, trials, 0.025)
    assert exact == pytest.approx((low, high), abs=5e-5)
    assert score == pytest.approx(stats.wilson(errors, trials), abs=5e-5)


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"), [(0, 0, 0.0, 1.0), (0, 5, 0.0, None), (5, 5, None, 1.0)]
)
def test_bounds_at_the_edges_of_what_can_be_seen(errors, trials, low, high):
    """No trial says nothing; no error leaves 0 possible; all wrong leaves 1 possible."""
    lower = stats.clopper_pearson_lower(errors, trials)
    upper = stats.clopper_pearson_upper(errors, trials)
    assert lower == pytest.approx(0.05 ** (1 / 5) if low is None else low)
    assert upper == pytest.approx(1 - 0.05 ** (1 / 5) if high is None else high)
    assert stats.wilson(0, 0) == (0.0, 1.0)


@calm
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_exact_bound_inverts_the_binomial_tail(counts):
    """At the upper bound so few errors have a probability of exactly delta."""
    errors, trials = counts
    upper = stats.clopper_pearson_upper(errors, trials, 0.05)
    if errors < trials:
        tail = sum(
            math.comb(trials, i) * upper**i * (1 - upper) ** (trials - i) for i in range(errors + 1)
        )
        assert tail == pytest.approx(0.05, abs=1e-9)


@calm
@given(st.integers(0, 40), st.integers(1, 40))
def test_more_errors_never_lower_the_bound_and_more_successes_never_raise_it(errors, more):
    """The bound moves only the way a sceptic expects."""
    trials = errors + 40
    here = stats.clopper_pearson_upper(errors, trials)
    assert stats.clopper_pearson_upper(errors + 1, trials) >= here
    assert stats.clopper_pearson_upper(errors, trials + more) <= here


@pytest.mark.parametrize("counts", [(3, 2), (-1, 5)])
def test_impossible_counts_are_refused(counts):
    """More errors than trials is a mistake of the caller."""
    for function in (stats.clopper_pearson_upper, stats.clopper_pearson_lower, stats.wilson):
        with pytest.raises(ValueError, match="is no proportion"):
            function(*counts)


def test_the_upper_bound_keeps_its_promise_in_simulation():
    """Of 20,000 audits of 200 draws at 2 %, at most 5 % have a bound below the truth."""
    seeded = np.random.default_rng(20_260_101)
    seen = seeded.binomial(200, 0.02, size=20_000)
    bounds = np.array([stats.clopper_pearson_upper(k, 200) for k in range(201)])
    assert (bounds[seen] < 0.02).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 20_000)


@pytest.mark.parametrize(
    ("rate", "needed"),
    [
        (0.02, [149, 236, 313, 386, 456]),
        (0.01, [299, 473, 628, 773, 913]),
        (0.005, [598, 947, 1258, 1549, 1829]),
    ],
)
def test_labels_needed_is_the_least_number_that_proves_a_rate(rate, needed):
    """With 0 to 4 errors seen, so many labels prove the rate and one fewer does not."""
    assert needed == [stats.labels_needed(k, rate) for k in range(5)]
    for errors, labels in enumerate(needed):
        assert stats.clopper_pearson_upper(errors, labels) <= rate
        assert stats.clopper_pearson_upper(errors, labels - 1) > rate


def test_labels_needed_refuses_impossible_rates():
    """A rate of zero cannot be proven by any number of labels."""
    with pytest.raises(ValueError, match=r"rate_max is 0; it must lie between 0 and 1"):
        stats.labels_needed(0, 0)


def at_most_by_counting(errors, audited, frame, wrong):
    ways = sum(
        math.comb(wrong, i) * math.comb(frame - wrong, audited - i) for i in range(errors + 1)
    )
    return Fraction(ways, math.comb(frame, audited))


@calm
@given(st.integers(1, 25), st.data())
def test_the_hypergeometric_bound_equals_brute_force(frame, data):
    """For small frames the bound is the largest count that exact fractions still allow."""
    audited = data.draw(st.integers(0, frame))
    errors = data.draw(st.integers(0, audited))
    allowed = [
        wrong
        for wrong in range(errors, frame - (audited - errors) + 1)
        if at_most_by_counting(errors, audited, frame, wrong) > Fraction(1, 20)
    ]
    assert max(allowed) == stats.hypergeometric_upper(errors, audited, frame)


def test_auditing_everything_leaves_no_doubt():
    """When the whole frame was audited the bound is what was seen."""
    assert stats.hypergeometric_upper(3, 500, 500) == 3
    assert stats.hypergeometric_upper(0, 0, 500) == 500
    with pytest.raises(ValueError, match="6 audited of a frame of 5"):
        stats.hypergeometric_upper(0, 6, 5)


def test_a_large_frame_gives_the_binomial_bound():
    """149 clean labels of a million prove just under 2 %, as they do of an endless frame."""
    assert stats.hypergeometric_upper(0, 149, 1_000_000) / 1_000_000 == pytest.approx(
        stats.clopper_pearson_upper(0, 149), abs=2e-5
    )


# --- Tests -------------------------------------------------------------------------------------
@calm
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_binomial_tails_equal_exact_fractions(counts):
    """Both tails agree with exact arithmetic and overlap in the value itself."""
    errors, trials = counts
    rate = Fraction(1, 50)
    terms = [math.comb(trials, i) * rate**i * (1 - rate) ** (trials - i) for i in range(trials + 1)]
    most = stats.binomial_at_most(errors, trials, 0.02)
    least = stats.binomial_at_least(errors, trials, 0.02)
    assert float(sum(terms[: errors + 1])) == pytest.approx(most, rel=1e-9)
    assert float(sum(terms[errors:])) == pytest.approx(least, rel=1e-9)


def test_burn_tests_at_low_volume():
    """Three late of ten is no accident under a 2 % budget; one of ten is."""
    assert stats.binomial_at_least(3, 10, 0.02) == pytest.approx(0.000864, abs=5e-7)
    assert stats.binomial_at_least(1, 10, 0.02) == pytest.approx(1 - 0.98**10)
    assert stats.binomial_at_least(0, 10, 0.02) == 1.0
    assert stats.binomial_at_most(10, 10, 0.02) == 1.0
    assert stats.poisson_at_least(0, 2.0) == 1.0
    assert stats.poisson_at_least(3, 2.0) == pytest.approx(1 - 5 * math.exp(-2))
    with pytest.raises(ValueError, match="never negative"):
        stats.poisson_at_least(-1, 2.0)


def test_e_process_is_the_mean_of_its_bets():
    """Two labels by hand: rate 0.1, one bet of 0.2 of the capital, wrong then right."""
    got = stats.e_process([1, 0], 0.1, bets=[0.2])
    assert pytest.approx(got.tolist()) == [2.8, 2.8 * 0.8]
    assert stats.e_process([], 0.1).tolist() == []
    with pytest.raises(ValueError, match="rate_max is 1"):
        stats.e_process([1], 1)


def test_e_process_survives_peeking():
    """Looking after every label, at most 5 % of runs at the promised rate ever pass 20."""
    seeded = np.random.default_rng(7)
    false, caught = 0, 0
    for _ in range(500):
        false += bool((stats.e_process(seeded.random(1500) < 0.01, 0.01) >= 20).any())
        caught += bool((stats.e_process(seeded.random(1500) < 0.03, 0.01) >= 20).any())
    assert false / 500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert caught / 500 >= 0.95


# --- Weighted estimates ------------------------------------------------------------------------
def test_a_weighted_share_by_hand():
    """One wrong drawn at 1/2 and two right drawn at 1/4: 2 wrong of a frame of 10."""
    got = stats.hajek([1, 0, 0], [0.5, 0.25, 0.25])
    assert got is not None
    assert (got.value, got.total, got.frame, got.draws) == (0.2, 2.0, 10.0, 3)
    assert got.effective == pytest.approx(100 / 36)


def test_equal_weights_give_the_exact_interval():
    """Draws at one rate are a plain sample: value and interval are those of Clopper-Pearson."""
    got = stats.hajek([1] * 15 + [0] * 133, [0.1] * 148)
    assert got is not None
    assert pytest.approx((got.value, got.low, got.high), abs=5e-5) == (0.1014, 0.0578, 0.1617)


def test_no_error_seen_is_not_no_error():
    """Zero wrong of 20 leaves up to 16.84 % possible, however it was weighted."""
    got = stats.hajek([0] * 20, [0.3] * 20)
    assert got is not None
    assert pytest.approx((got.value, got.low, got.high), abs=5e-5) == (0.0, 0.0, 0.1684)


def test_nothing_drawn_gives_no_estimate():
    """An estimate needs a draw, and every draw a probability."""
    assert stats.hajek([], []) is None
    with pytest.raises(ValueError, match="above 0 and is at most 1"):
        stats.hajek([1], [0.0])
    with pytest.raises(ValueError, match="above 0 and is at most 1"):
        stats.hajek([1], [float("nan")])
    with pytest.raises(ValueError, match="one value and one inclusion"):
        stats.hajek([1, 0], [0.5])
    with pytest.raises(ValueError, match="a draw is 0 or 1"):
        stats.hajek([0.5], [0.5])


def test_weighted_estimates_repair_logged_selection():
    """Errors drawn five times as often mislead a plain mean, not the weighted one."""
    seeded = np.random.default_rng(11)
    covered, weighted, plain = 0, [], []
    for _ in range(400):
        wrong = seeded.random(4000) < 0.02
        chance = np.where(wrong, 0.5, 0.1)
        chance[:2000] = np.where(wrong[:2000], 0.2, 0.3)
        drawn = seeded.random(4000) < chance
        got = stats.hajek(wrong[drawn], chance[drawn])
        assert got is not None
        covered += got.low <= wrong.mean() <= got.high
        weighted.append(got.value - wrong.mean())
        plain.append(wrong[drawn].mean() - wrong.mean())
    assert abs(np.mean(weighted)) < 0.0005
    assert np.mean(plain) > 0.005
    assert covered / 400 >= 0.93


# --- Survival ----------------------------------------------------------------------------------
# Freireich et al., Blood 21 (1963): weeks in remission, 6-mercaptopurine against placebo.
DRUG = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
DRUG_ENDED = [True] * 9 + [False] * 12
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_survival_equals_the_published_remission_study():
    """The product-limit table of the study that every textbook prints."""
    got = stats.kaplan_meier(DRUG, DRUG_ENDED)
    assert got is not None
    assert got.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    expected = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert expected == pytest.approx(got.share.tolist(), abs=5e-4)
    assert (got.subjects, got.events, got.last) == (21, 9, 35.0)
    assert got.quantile(0.5) == 23
    assert got.quantile(0.9) is None


def test_without_censoring_survival_is_the_plain_share():
    """All placebo patients relapsed: quantiles and means are those of the sorted weeks."""
    got = stats.kaplan_meier(PLACEBO, [True] * 21)
    assert got is not None
    assert got.quantile(0.5) == 8
    assert got.quantile(0.9) == 17
    assert got.restricted_mean(23) == pytest.approx(sum(PLACEBO) / 21)
    assert got.restricted_mean(10) == pytest.approx(sum(min(w, 10) for w in PLACEBO) / 21)


def test_a_row_may_stand_for_several_subjects():
    """Weeks told once with a count give the very estimate of the patients told one by one."""
    pairs = sorted(set(zip(DRUG, DRUG_ENDED, strict=True)))
    counts = [list(zip(DRUG, DRUG_ENDED, strict=True)).count(pair) for pair in pairs]
    one_by_one = stats.kaplan_meier(DRUG, DRUG_ENDED)
    counted = stats.kaplan_meier([p[0] for p in pairs], [p[1] for p in pairs], counts)
    assert one_by_one is not None
    assert counted is not None
    assert max(counts) == 3
    assert counted.times.tolist() == one_by_one.times.tolist()
    assert counted.share.tolist() == one_by_one.share.tolist()
    assert (counted.subjects, counted.events, counted.last) == (21, 9, 35.0)


def test_a_quantile_reached_exactly_counts_in_spite_of_rounding():
    """Nine of ten ended by day 9, so the 90 % point is day 9 and not day 10."""
    got = stats.kaplan_meier(range(1, 11), [True] * 10)
    assert got is not None
    assert [got.quantile(part) for part in (0.1, 0.5, 0.9, 1.0)] == [1, 5, 9, 10]


def test_all_open_has_no_median_and_the_largest_mean():
    """Nothing ended: no quantile is known and the mean is the limit itself."""
    got = stats.kaplan_meier([3, 5], [False, False])
    assert got is not None
    assert got.quantile(0.5) is None
    assert got.restricted_mean(30) == 30.0


def test_survival_refuses_impossible_input():
    """No subject gives nothing; a negative or unknown duration is a mistake of the caller."""
    assert stats.kaplan_meier([], []) is None
    with pytest.raises(ValueError, match="never negative"):
        stats.kaplan_meier([-1], [True])
    with pytest.raises(ValueError, match="never negative"):
        stats.kaplan_meier([float("nan")], [True])
    with pytest.raises(ValueError, match="one duration and one flag"):
        stats.kaplan_meier([1, 2], [True])


def test_survival_sees_through_censoring_in_simulation():
    """Exponential times with mean 10, censored at random: the median is still 10 ln 2."""
    seeded = np.random.default_rng(3)
    true, censor = seeded.exponential(10, 20_000), seeded.exponential(15, 20_000)
    got = stats.kaplan_meier(np.minimum(true, censor), true <= censor)
    assert got is not None
    assert got.quantile(0.5) == pytest.approx(10 * math.log(2), rel=0.03)
    assert got.restricted_mean(30) == pytest.approx(10 * (1 - math.exp(-3)), rel=0.03)
