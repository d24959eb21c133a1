from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit.matching.fees import Stretch, Tariff, over_time, usual

CARD = Tariff(290, 30)


def drawn(count: int, seed: int = 3, most: int = 50_000) -> np.ndarray:
    return np.random.default_rng(seed).integers(300, most, count)


def spread(count: int, days: int) -> np.ndarray:
    """Day numbers of rows spread evenly over a period."""
    return np.arange(count) * days // count


def test_a_fee_is_rounded_half_up():
    """2.9 % of 10.00 and 30 is 0.59; of 1.72 it is 0.05 and 30."""
    assert CARD.fee(np.array([1_000, 172])).tolist() == [59, 35]


def test_a_capped_fee_stays_at_its_cap():
    """0.5 %, at most 5.00: of 800.00 it is 4.00, of 5,000.00 still 5.00."""
    assert Tariff(50, 0, 500).fee(np.array([80_000, 500_000])).tolist() == [400, 500]


@pytest.mark.parametrize(
    "tariff",
    [CARD, Tariff(150, 25), Tariff(0, 35), Tariff(349, 49), Tariff(50, 0, 500), Tariff(0, 0)],
    ids=str,
)
def test_a_schedule_is_read_to_the_basis_point(tariff):
    """From 300 amounts the rate, the fixed part and the cap come back exactly."""
    gross = drawn(300, most=300_000)
    found = over_time(gross, tariff.fee(gross), spread(300, 60))
    assert found == [Stretch(0, 300, tariff, 300)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.integers(0, 100), st.integers(0, 10_000))
def test_any_schedule_explains_its_own_rows(rate_bp, fixed, seed):
    """Whatever the schedule, what is found explains all of its rows to one minor unit."""
    gross = drawn(200, seed)
    fee = Tariff(rate_bp, fixed).fee(gross)
    found = over_time(gross, fee, spread(200, 60))
    assert [(s.first, s.end, s.exact) for s in found] == [(0, 200, 200)]


def test_overcharges_do_not_pull_the_schedule():
    """Five rows in a hundred with another fee leave the schedule as it is, and unexplained."""
    gross = drawn(400)
    fee = CARD.fee(gross)
    fee[::20] += 250
    found = over_time(gross, fee, spread(400, 80))
    assert [(s.tariff, s.exact) for s in found] == [(CARD, 380)]
    assert np.flatnonzero(~CARD.explains(gross, fee)).tolist() == list(range(0, 400, 20))


def test_a_change_is_found_at_its_row():
    """After row 250 the rate is 3.2 %: two stretches that meet exactly there."""
    gross, later = drawn(400), Tariff(320, 30)
    fee = np.where(np.arange(400) < 250, CARD.fee(gross), later.fee(gross))
    assert over_time(gross, fee, spread(400, 80)) == [
        Stretch(0, 250, CARD, 250),
        Stretch(250, 400, later, 150),
    ]


def test_a_change_of_yesterday_is_not_yet_a_schedule():
    """Another fee that has held for less than a week is a row of differences, not a schedule."""
    gross = drawn(400)
    fee = np.where(np.arange(400) < 370, CARD.fee(gross), CARD.fee(gross) + 20)
    assert over_time(gross, fee, spread(400, 60)) == [Stretch(0, 370, CARD, 370)]


def test_one_price_tells_no_schedule():
    """A shop with a single price fits every schedule, so none is told."""
    gross = np.full(200, 4_900)
    assert over_time(gross, CARD.fee(gross), spread(200, 60)) == []


def test_fees_by_negotiation_are_no_schedule():
    """Rates that differ from row to row are not called a schedule."""
    gross = drawn(3_000)
    rate = np.random.default_rng(5).uniform(0.01, 0.03, 3_000)
    assert over_time(gross, (gross * rate).astype(np.int64), spread(3_000, 60)) == []


def test_two_schedules_at_once_are_none():
    """Where two schedules alternate nothing is told of both together."""
    gross = drawn(500)
    fee = np.where(np.arange(500) % 5 < 2, CARD.fee(gross), Tariff(440, 30).fee(gross))
    assert over_time(gross, fee, spread(500, 60)) == []


def test_few_rows_tell_nothing():
    """Nineteen rows are too few, however well they fit."""
    gross = drawn(19)
    assert usual(gross, CARD.fee(gross)) is None
    assert over_time(gross, CARD.fee(gross), spread(19, 60)) == []


def test_the_usual_fee_may_be_that_of_a_fifth():
    """Where a fifth of the rows lack exactly 2.9 % and 30, that is the usual fee among them."""
    gross = drawn(500)
    other = np.random.default_rng(9).integers(4, 3_000, 500)
    fee = np.where(np.arange(500) % 4 == 0, CARD.fee(gross), other)
    assert usual(gross, fee, share_min=0.2) == CARD
    assert usual(gross, fee) is None
