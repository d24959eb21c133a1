"""What is promised, held against invented worlds in which the truth is known.

The product's own functions choose; the test only knows better. `RECON_LONG=1` runs ten times as
many worlds.
"""

from __future__ import annotations

import math
import os
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from matching_world import order, payment, rec, reconciled, sharing
from tuning_world import NOW, Matches, invent, work_labels

from recon_kit import stats
from recon_kit.matching.canary import Trials
from recon_kit.tuning import canary, certify, outcomes, parted

LONG = 10 if os.environ.get("RECON_LONG") else 1
RUNS = 60 * LONG
PAIRS = 30_000
PROMISE, DELTA = 0.01, 0.05
MOST_BROKEN = DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / RUNS)


@pytest.fixture(scope="module")
def everything():
    """A population so large that its rates are the truth."""
    return invent(np.random.default_rng(20260101), 1_000_000)


def chosen(made: Matches, labels: pl.DataFrame, promise: float = PROMISE) -> certify.Attempt:
    """What the product certifies: plan before the answers, then one walk."""
    found = made.picks()
    usable = certify.recent(labels, NOW)
    pairs = outcomes.matchable(found, "probable", 0.0)
    drawn = pairs.join(usable, on="left_key", how="semi")
    frame = outcomes.frame_of(pairs)["matched_at"]
    grid = certify.fix_grid(frame, outcomes.frame_of(drawn)["matched_at"], promise, DELTA)
    plan = certify.Plan("r", "probable", "m1", 0.0, grid, promise, DELTA)
    return certify.certify(found, usable, plan)


@pytest.mark.parametrize("regime", ["queue_heavy", "money_last", "cherry_pick"])
def test_the_promise_holds_however_people_choose_what_to_label(regime, everything):
    """The true rate is above the promise in at most 5 % of worlds (plus 3 standard errors).

    And the share matched comes within 8 points of what somebody who knows the truth would dare.
    """
    rng = np.random.default_rng(["queue_heavy", "money_last", "cherry_pick"].index(regime))
    dare = min(t for t in np.arange(0.55, 0.93, 0.01) if everything.rate(t) <= PROMISE)
    broken, shares = 0, []
    for _ in range(RUNS):
        made = invent(rng, PAIRS)
        work = work_labels(rng, made, regime)
        rate = work.height / PAIRS
        audit = made.labels(rng.random(PAIRS) < rate, np.array(rate))
        threshold = chosen(made, pl.concat([work, audit])).threshold
        broken += threshold is not None and everything.rate(threshold) > PROMISE
        shares.append(0.0 if threshold is None else everything.share(threshold))

    assert broken / RUNS <= MOST_BROKEN
    assert everything.share(dare) - np.mean(shares) <= 0.08


def test_labels_that_people_chose_would_have_broken_the_promise(everything):
    """The same walk over labels of the work stream, taken for audit ones, breaks it."""
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(20):
        made = invent(rng, PAIRS)
        claimed = work_labels(rng, made, "cherry_pick").with_columns(stream=pl.lit("audit"))
        even = claimed.with_columns(inclusion_probability=pl.lit(0.3))
        threshold = chosen(made, even).threshold
        broken += threshold is not None and everything.rate(threshold) > PROMISE

    assert broken >= 15


def test_strata_drawn_at_their_own_rates_are_brought_to_one_chance(everything):
    """High money drawn four times as often: the promise still speaks of all matches."""
    rng = np.random.default_rng(11)
    broken = used = 0
    for _ in range(RUNS):
        made = invent(rng, PAIRS)
        chance = np.where(made.big, 0.6, 0.15)
        attempt = chosen(made, made.labels(rng.random(PAIRS) < chance, chance))
        used += attempt.passed
        broken += attempt.passed and everything.rate(attempt.threshold) > PROMISE

    assert broken / RUNS <= MOST_BROKEN
    assert used / RUNS > 0.5


def test_a_bad_model_behind_exact_matches_is_not_certified():
    """92 % exact and right, 8 % by a model that is wrong one time in ten.

    0.8 % of all matches are wrong, yet the model's own promise of 2 % must fail.
    """
    rng = np.random.default_rng(3)
    certified = 0
    for _ in range(RUNS):
        wrong = np.concatenate([np.zeros(9_200, bool), rng.random(800) < 0.1])
        score = np.concatenate([np.ones(9_200), rng.beta(14, 1, 800)])
        made = Matches(score, np.zeros(10_000, bool), wrong)
        by_model = pl.Series(np.arange(10_000) >= 9_200)
        labels = made.labels(rng.random(10_000) < 0.5, np.array(0.5))
        found = made.picks().with_columns(
            method=pl.when(by_model).then(pl.lit("probable")).otherwise(pl.lit("exact"))
        )
        pairs = outcomes.matchable(found, "probable", 0.0)
        drawn = pairs.join(labels, on="left_key", how="semi")["confidence"]
        grid = certify.fix_grid(pairs["confidence"], drawn)
        plan = certify.Plan("r", "probable", "m1", 0.0, grid)
        certified += certify.certify(found, labels, plan).passed
        mixed = outcomes.units(outcomes.matchable(found, "exact", 0.0), labels)
        assert mixed["wrong_at"].count() == 0

    assert certified / RUNS <= MOST_BROKEN


def test_a_canary_may_be_looked_at_after_every_label():
    """At exactly the promised rate at most 5 % of canaries ever alarm; at three times it, most."""
    rng = np.random.default_rng(7)
    began, later = NOW, NOW + timedelta(days=30)

    def alarms(rate: float, runs: int) -> float:
        found = [
            canary.watch(rng.random(3_000) < rate, PROMISE, began=began, as_of=later)
            for _ in range(runs)
        ]
        return sum(w.state == "roll_back" for w in found) / runs

    runs = 600 * LONG
    assert alarms(PROMISE, runs) <= DELTA
    assert alarms(3 * PROMISE, 100) >= 0.95


def test_a_canary_of_components_that_fail_together_alarms_no_more_often():
    """Look-alikes are wrong together: a bet for each component keeps the promise.

    At exactly the promised rate, components of up to twenty matches that are all right or all
    wrong, drawn one by one, looked at after every label. A bet for each label breaks it.
    """
    rng = np.random.default_rng(21)
    began, later = NOW, NOW + timedelta(days=30)
    runs = 600 * LONG
    most = DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / runs)

    def alarms(*, by_component: bool) -> float:
        found = 0
        for _ in range(runs):
            size = rng.integers(1, 21, 300)
            component = np.repeat(np.arange(300), size)
            wrong = np.repeat(rng.random(300) < PROMISE, size)
            order = rng.permutation(component.size)
            named = [str(c) for c in component[order]] if by_component else None
            watched = canary.watch(
                wrong[order], PROMISE, began=began, as_of=later, components=named
            )
            found += watched.state == "roll_back"
        return found / runs

    assert alarms(by_component=True) <= DELTA
    assert alarms(by_component=False) > most


STORIES = 1_500


def parting_world(wrong: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Stories of two orders of one customer, on trial under a rule that keeps pairs apart.

    Each order has its payment, of the same customer, so a rule in force asks which is whose and
    every true counterpart stands unmatched. The rule on trial keeps from the first order a payment
    of somebody else that carries its text; in the first `wrong` stories it is the order's own that
    carries it. Returns the true counterparts as labels, and what the rule kept apart.
    """
    shop: list[dict[str, object]] = []
    named = []
    for n in range(STORIES):
        customer, text = f"C{n:05}", f"V{n:05}"
        carried = text if n < wrong else "-"
        shop += [
            order(f"o{n:05}a", 1_000, customer_id=customer, description=text),
            order(f"o{n:05}b", 1_000, customer_id=customer, description="-"),
            payment(f"p{n:05}a", 1_000, customer_id=customer, description=carried),
            payment(f"p{n:05}b", 1_000, customer_id=customer, description="-"),
        ]
        if n >= wrong:
            shop.append(payment(f"q{n:05}", 1_000, customer_id=f"D{n:05}", description=text))
        named += [(f"o{n:05}{one}", [f"p{n:05}{one}"]) for one in "ab"]
    same = sharing("by_customer", "customer_id")
    parts = sharing("not_by_text", "description", verdict="not_same")
    trials = Trials(rule=parts, rule_share=1.0)
    with reconciled(shop, rec(keys=[]), rules=(same,), trials=trials) as world:
        assert world.groups() == []  # every counterpart that people name stands unmatched
        made = parted.kept_apart(world.engine, rec(keys=[]), parts, None)
    labels = pl.DataFrame(
        [(k, "r1", "counterpart", r, n) for n, (k, r) in enumerate(named)],
        schema=["event_key", "run_id", "label", "right_keys", "seq"], orient="row",
    )  # fmt: skip
    return labels, made.with_columns(run_id=pl.lit("r1"))


def test_a_rule_that_parts_is_not_blamed_for_what_others_leave_open():
    """At exactly the promise at most 5 % of its trials alarm, though nothing named is matched.

    Twice as many orders are drawn as it speaks of; those of which it says nothing count for
    nothing. Where it keeps three times as many counterparts away, most trials alarm.
    """
    rng = np.random.default_rng(33)
    began, later = NOW, NOW + timedelta(days=30)

    def alarms(rate: float, runs: int) -> float:
        told = canary.judged(*parting_world(int(rate * STORIES)), parts=True)
        assert (told.height, told["wrong"].mean()) == (STORIES, pytest.approx(rate))
        wrong, found = told["wrong"].to_numpy(), 0
        for _ in range(runs):
            drawn = rng.integers(0, STORIES, 1_000)
            watched = canary.watch(wrong[drawn], 0.02, began=began, as_of=later)
            found += watched.state == "roll_back"
        return found / runs

    runs = 600 * LONG
    assert alarms(0.02, runs) <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / runs)
    assert alarms(0.06, 100) >= 0.95


def test_evidence_does_not_grow_by_itself():
    """The e-process has mean at most 1 when the rate is just what was promised."""
    rng = np.random.default_rng(9)
    ends = [stats.e_process(rng.random(300) < PROMISE, PROMISE)[-1] for _ in range(4_000)]

    assert np.mean(ends) <= 1 + 3 * np.std(ends) / math.sqrt(len(ends))
