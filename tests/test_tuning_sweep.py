"""The sweep: counts that can be checked by hand, estimates against the truth, one proposal."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tuning_world import NOW, complete, invent

from recon_kit.settings import Costs
from recon_kit.tuning import outcomes, rates, sweep

GRID = (0.5, 0.7, 0.9)
COSTS = Costs.model_validate({
    "minutes_per_item": "6", "hour": "30", "wrong_match": "20", "wrong_match_percent": "10",
})  # fmt: skip


def question(**changed) -> sweep.Question:
    """A sweep of `probable` in EUR."""
    values = {
        "method": "probable", "grid": GRID, "margins": (0.1,), "costs": COSTS, "currency": "EUR",
        "possible_pairs": 1_000, **changed,
    }  # fmt: skip
    return sweep.Question(**values)


def pick(key, confidence, amount=100_00, **more):
    """One picked pair of a left and its right event."""
    return {
        "left_key": f"l{key}", "right_key": f"r{key}", "method": "probable", "margin": 1.0,
        "confidence": confidence, "amount_minor": amount, "currency": "EUR", "barred": False,
        "held": False, "proposed": True, "left_source": "shop", "right_source": "stripe", **more,
    }  # fmt: skip


def picks(*rows):
    """Rows of `pick` as a frame."""
    return complete(list(rows), outcomes.PICK_SCHEMA)


def label(key, right, chance=1.0, stream="audit"):
    """The answer for one left event; `right` none means it has no counterpart."""
    return {
        "left_key": f"l{key}", "right_key": right, "state": "answered", "stream": stream,
        "inclusion_probability": chance, "labelled_at": NOW, "labelled_by": "ana",
    }  # fmt: skip


def labels(*rows):
    """Rows of `label` as a frame."""
    return complete(list(rows), outcomes.LABEL_SCHEMA) if rows else pl.DataFrame(
        schema=outcomes.LABEL_SCHEMA
    )  # fmt: skip


FOUR = picks(
    pick("1", 0.95, 100_00), pick("2", 0.90, 300_00), pick("3", 0.80, 200_00),
    pick("4", 0.60, 400_00),
)  # fmt: skip


def test_counts_money_and_hours_by_hand():
    """Four picks of 100, 300, 200 and 400 EUR: two from 0.9 on, three from 0.7, all from 0.5."""
    found = sweep.sweep(FOUR, labels(), question())

    assert found.frame.select(
        "threshold", "matches", "auto_share", "auto_money_share", "review_items", "review_hours"
    ).rows() == [
        (0.5, 4, 1.0, 1.0, 0, 0.0), (0.7, 3, 0.75, 0.6, 1, 0.1), (0.9, 2, 0.5, 0.4, 2, 0.2),
    ]  # fmt: skip
    assert found.frame["fmr"].to_list() == found.frame["cost_minor"].to_list() == [None] * 3
    assert found.point is None
    assert found.reason == (
        "No label says which of these 4 matches are right, and even if all were drawn and right, "
        "they could not prove that at most 2.0% are wrong: that takes 149. A laxer rate, or more "
        "data, is needed."
    )
    assert found.money.rows() == [
        (0.5, "EUR", 100_000, 100_000), (0.7, "EUR", 60_000, 100_000),
        (0.9, "EUR", 40_000, 100_000),
    ]  # fmt: skip


def test_without_labels_it_says_how_to_get_them():
    """Of 200 matches enough can be drawn: the reason names the command and the least number."""
    found = sweep.sweep(picks(*(pick(str(k), 0.95) for k in range(200))), labels(), question())

    assert found.reason == (
        "No label says which of these 200 matches are right. `recon labels draw` puts a random "
        "part of them into the queue (notebook 03); 149 right answers can prove that at most 2.0% "
        "are wrong."
    )


def test_wrong_ones_misses_and_cost_by_hand():
    """All labelled: the one at 0.6 is wrong (its order belongs to r9), which costs 20 + 10 % of
    400 EUR; the order is missed at every threshold, the one at 0.8 from 0.9 on.
    """
    told = labels(*(label(k, f"r{k}") for k in "123"), label("4", "r9"))

    frame = sweep.sweep(FOUR, told, question()).frame

    assert frame.select("threshold", "labels", "wrong", "fmr", "misses", "miss_rate").rows() == [
        (0.5, 4, 1, 0.25, 1.0, 0.25), (0.7, 3, 0, 0.0, 1.0, 0.25), (0.9, 2, 0, 0.0, 2.0, 0.5),
    ]  # fmt: skip
    assert frame["fmr_money"].to_list() == [0.4, 0.0, 0.0]
    assert frame["cost_minor"].to_list() == [60_00, 3_00, 6_00]
    assert frame["strict_fpr"].to_list() == [0.001, 0.0, 0.0]


def test_labels_weigh_the_inverse_of_their_chance():
    """A wrong one drawn with chance 0.1 stands for ten, two right ones with chance 1 for two."""
    told = labels(label("1", "r1"), label("2", "r2"), label("3", "r9", 0.1))

    frame = sweep.sweep(FOUR, told, question()).frame

    assert frame["fmr"].to_list() == [pytest.approx(10 / 12), pytest.approx(10 / 12), 0.0]


def test_what_no_threshold_can_match_stays_with_people():
    """Equal answers, the sign-off limit and a rival that comes too near are no matches."""
    found = picks(
        pick("1", 0.95), pick("2", 0.95, barred=True), pick("3", 0.95, held=True),
        pick("4", 0.95, margin=0.05),
    )  # fmt: skip

    frame = sweep.sweep(found, labels(), question(margins=(0.0, 0.1))).frame

    assert frame.filter(threshold=0.9).select("margin", "matches", "review_items").rows() == [
        (0.0, 2, 2), (0.1, 1, 3),
    ]  # fmt: skip


def test_an_order_with_two_partners_is_one_match():
    """Several partners of one left event are counted once, and wrong where one of them is."""
    found = picks(pick("1", 0.95), pick("1", 0.75, right_key="r2"), pick("3", 0.95))
    told = labels(label("1", "r1"), label("3", "r3"))

    frame = sweep.sweep(found, told, question(several=True)).frame

    assert frame.select("threshold", "matches", "wrong", "fmr").rows() == [
        (0.5, 2, 1, 0.5), (0.7, 2, 1, 0.5), (0.9, 2, 0, 0.0),
    ]  # fmt: skip


def test_imported_labels_are_named_as_what_they_are():
    """Unweighted, of the labelled matches alone; a `not_same` counts where that pair was picked."""
    said = pl.DataFrame({
        "left_key": ["l1", "l2", "l3", "l4"], "right_key": ["r1", "r2", "r9", None],
        "verdict": ["same", "not_same", "not_same", "no_counterpart"],
        "stream": ["imported"] * 4, "effective_at": [NOW] * 4, "reviewer": ["ana"] * 4,
    })  # fmt: skip
    told = outcomes.from_imported(said, FOUR)

    found = sweep.sweep(FOUR, told, question())

    assert sorted(told.select("left_key", "right_key").rows(), key=str) == [
        ("l1", "r1"), ("l2", None), ("l4", None),
    ]  # fmt: skip
    assert found.frame["wrong"].to_list() == [2, 1, 1]
    assert not found.weighted
    assert found.notes[0].startswith("Rates rest on imported labels, which nobody drew at random")


def test_parts_add_up_to_the_whole():
    """Source pairs, currencies and bands of amounts are each the same matches, told apart."""
    found = picks(
        pick("1", 0.95, 5_00), pick("2", 0.95, 50_00, left_source="web"),
        pick("3", 0.6, 500_00, currency="USD"), pick("4", 0.95, 500, currency="JPY"),
        pick("5", 1.0, 7_00, method="exact", proposed=False),
    )  # fmt: skip
    parts = sweep.sweep(found, labels(), question()).segments
    at = parts.filter(threshold=0.5)

    assert at.group_by("by").agg(pl.col("matches").sum()).sort("by").rows() == [
        ("amount", 4), ("currency", 4), ("sources", 4),
    ]  # fmt: skip
    assert at.filter(by="amount")["segment"].to_list() == [
        "EUR 10 to 99", "EUR under 10", "JPY 100 to 999", "USD 100 to 999",
    ]  # fmt: skip
    assert parts.filter(by="method").select("segment", "matches", "auto_minor").rows() == [
        ("exact", 1, 7_00)
    ]


def test_the_cheapest_of_the_surely_good_points_is_proposed():
    """On invented matches the proposal keeps the rate, and saying why names its numbers."""
    rng = np.random.default_rng(1)
    made = invent(rng, 20_000)
    told = made.labels(rng.random(20_000) < 0.3, np.array(0.3))
    asked = question(grid=sweep.fixed_grid(0.2), possible_pairs=4 * 10**8)

    found = sweep.sweep(made.picks(), told, asked)

    assert found.point is not None
    assert made.rate(found.point["threshold"]) < 0.02
    assert found.point["fmr_high"] <= 0.02
    good = found.frame.filter(pl.col("fmr_high") <= 0.02)
    assert found.point["cost_minor"] == good["cost_minor"].min()
    assert "at which surely no more than 2.0% are wrong" in found.reason
    assert "It is an estimate; `recon certify` makes it a promise." in found.reason
    truth = [made.rate(t) for t in found.frame["threshold"]]
    inside = [
        low <= rate <= high
        for low, rate, high in zip(
            found.frame["fmr_low"], truth, found.frame["fmr_high"], strict=True
        )
        if low is not None
    ]
    assert np.mean(inside) > 0.9


def test_labels_that_people_chose_make_nothing_sure_of_other_matches():
    """The same answers as imported labels: they speak of the labelled matches, and no promise."""
    rng = np.random.default_rng(1)
    made = invent(rng, 20_000)
    chosen = made.labels(rng.random(20_000) < 0.3, np.array(1.0))
    imported = chosen.with_columns(stream=pl.lit("imported"))

    found = sweep.sweep(made.picks(), imported, question(grid=sweep.fixed_grid(0.2)))

    assert "no more than 2.0% of the labelled matches are wrong" in found.reason
    assert "surely" not in found.reason
    assert "makes it a promise" not in found.reason
    assert found.reason.endswith(
        "These labels were not drawn at random, so of all other matches nothing is sure: `recon "
        "labels draw` asks for some that were, and `recon certify` proves by them."
    )


def test_the_grid_is_fixed_and_holds_what_is_in_force():
    """A hundred points from the laxest up, never from the data; the present threshold is on it."""
    grid = sweep.fixed_grid(0.2, 0.95)

    assert (grid[0], grid[-1], len(grid)) == (0.2, 0.9999, 101)
    assert 0.95 in grid
    assert max(len(f"{t:g}") for t in grid) == 7  # 0.99979, never 0.999793
    assert rates.tails(np.array([0.2, 0.95, 0.99995]), np.ones(3), np.array(grid))[[0, -1]].tolist(
    ) == [3.0, 1.0]  # fmt: skip
