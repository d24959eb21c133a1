"""The curves that labels teach, folds that do not leak, figures with their intervals."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recon_kit.errors import LabelError
from recon_kit.ledger.engine import open_engine
from recon_kit.matching import classifier
from recon_kit.tuning import calibrate, fit, folds, measure
from recon_kit.tuning.measure import Answers
from recon_kit.tuning.table import train_table


def drawn(count, seed, *, bend=1.0):
    """Log-odds, and labels that are true as often as `bend` times these log-odds say."""
    random = np.random.default_rng(seed)
    told = random.normal(0, 2, count)
    return told, random.random(count) < 1 / (1 + np.exp(-bend * told))


# --- calibration ----------------------------------------------------------------------------------
def test_ten_labels_of_either_kind_are_the_least():
    """With nine wrong pairs the probabilities stay as they are, and the sentence says why."""
    told = np.linspace(-3, 3, 100)
    found = calibrate.calibrate(told, np.arange(100) >= 9)

    assert found.stored is None
    assert found.said == (
        "not calibrated: of its labelled answers 91 are right and 9 wrong; 10 of each are needed"
    )


def test_few_labels_give_a_line_and_many_a_staircase():
    """999 labels: Platt. 1,000: isotonic."""
    told, truth = drawn(1_000, 3)

    assert calibrate.calibrate(told[1:], truth[1:]).stored["kind"] == "platt"
    assert calibrate.calibrate(told, truth).stored["kind"] == "isotonic"


@pytest.mark.parametrize("count", [900, 4_000])
def test_calibration_straightens_an_overconfident_model(count):
    """A model twice too sure of itself is put right on labels it has not seen."""
    told, truth = drawn(count, 5, bend=0.5)
    later, answer = drawn(20_000, 6, bend=0.5)
    fitted = calibrate.calibrate(told, truth)
    before = calibrate.calibration_error(calibrate.probability(None, later), answer)
    after = calibrate.calibration_error(calibrate.probability(fitted.stored, later), answer)

    assert before > 0.09
    assert after < 0.03


def test_a_staircase_claims_no_more_than_its_labels_can():
    """50 wrong below, 50 right above: the steps say 1/52 and 51/52, not 0 and 1."""
    told = np.concatenate([np.linspace(-3, -1, 50), np.linspace(1, 3, 50)])
    edges, values = fit.staircase(told, told > 0)

    assert edges == (0.0,)
    assert values == pytest.approx((1 / 52, 51 / 52))


def test_labels_that_fall_with_the_score_are_no_calibration():
    """A model that is more often wrong the surer it is must not be turned around in silence."""
    told, truth = drawn(400, 7, bend=-1.0)

    assert calibrate.calibrate(told, truth).stored is None


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_the_calibration_of_a_run_is_that_of_training(kind):
    """SQL and numpy give the same probability for the same log-odds."""
    told, truth = drawn(500 if kind == "platt" else 2_000, 11)
    stored = calibrate.calibrate(told, truth).stored
    with open_engine() as engine:
        engine.put("t", pl.DataFrame({"i": range(len(told)), "told": told}))
        query = f"select {classifier.probability_sql(stored, 'told')} as p from t order by i"
        found = engine.rows(query)["p"].to_numpy()

    assert stored["kind"] == kind
    assert np.allclose(found, calibrate.probability(stored, told), atol=1e-12)


# --- folds ----------------------------------------------------------------------------------------
def test_no_component_stands_in_two_folds():
    """Whole groups are dealt, the same way whatever the order of rows, into even folds."""
    groups = pl.Series([f"g{i % 90}" for i in range(1_000)])
    fold = folds.split(groups, 5, seed=1)
    spread = pl.DataFrame({"g": groups, "f": fold}).group_by("g").agg(pl.col("f").n_unique())

    assert spread["f"].max() == 1
    assert fold.value_counts()["count"].min() >= 180
    assert folds.split(groups.reverse(), 5, seed=1).reverse().equals(fold)


def test_rivals_are_one_component_and_faint_ties_may_be_cut():
    """l1 and l2 want r1; l3 hangs on by a faint pair only, which ties until all are one."""
    pairs = pl.DataFrame(
        [("l1", "r1", 9.0), ("l2", "r1", 7.0), ("l3", "r1", -5.0), ("l4", "r4", 9.0)],
        schema=["left_key", "right_key", "match_weight"], orient="row",
    )  # fmt: skip
    lone = [f"x{i}" for i in range(16)]
    few = folds.by_component(pairs, pl.Series([*lone, "l1", "l2", "l3", "l4"]))
    component = dict(few.of_event.rows())

    assert component["l1"] == component["l2"] == component["l3"] == "l1"
    assert component["l4"] == "l4"
    assert (few.cut, few.components) == (-5.6, 18)
    crowded = folds.by_component(pairs, pl.Series(["l1", "l2", "l3", "l4", *lone[:7]]))
    assert dict(crowded.of_event.rows())["l3"] == "l3"
    assert crowded.cut == -2.0


def test_the_latest_quarter_takes_whole_groups():
    """A group with one late row is held out as a whole; equal times hold nothing out."""
    times = pl.Series([1, 2, 3, 4, 5, 6, 7, 8])
    groups = pl.Series(["a", "b", "c", "d", "e", "f", "a", "h"])

    late = [True, False, False, False, False, False, True, True]
    assert folds.latest(times, groups).to_list() == late
    assert folds.latest(pl.Series([5] * 8), groups) is None


# --- figures --------------------------------------------------------------------------------------
def answers(rows):
    """Answers of (probability or None, truth, group)."""
    chance, truth, group = zip(*rows, strict=True)
    return Answers(
        np.array([np.nan if p is None else p for p in chance]),
        np.array(truth),
        np.array(group),
    )


def test_figures_count_what_was_missed():
    """Three right picks, one wrong, one true pair never picked: precision 3/4, recall 3/4."""
    rows = [(0.9, True, 1), (0.8, True, 2), (0.7, True, 3), (0.6, False, 4), (None, True, 4)]
    found = dict(measure.figures(answers(rows), 1).select("metric", "value").rows())

    assert (found["precision"], found["recall"], found["f1"]) == (0.75, 0.75, 0.75)
    assert found["recall_at_precision_99"] == 0.75
    assert found["precision_at_recall_90"] is None


def test_an_event_rightly_left_alone_costs_nothing():
    """No pick and no counterpart: a loss of zero; a missed counterpart costs the most there is."""
    loss = answers([(None, False, 1), (None, True, 2), (0.5, True, 3)]).loss

    assert loss == pytest.approx([0.0, -np.log(1e-4), np.log(2)])


def test_intervals_draw_whole_components():
    """Fifty copies of one answer in a single component are worth one answer, not fifty."""
    random = np.random.default_rng(2)
    truth = random.random(40) < 0.7
    copies = Answers(np.full(2_000, 0.9), np.repeat(truth, 50), np.repeat(np.arange(40), 50))
    lone = Answers(np.full(2_000, 0.9), np.repeat(truth, 50), np.arange(2_000))
    wide, narrow = (measure.figures(a, 3).row(2, named=True) for a in (copies, lone))

    assert wide["metric"] == "precision"
    assert wide["high"] - wide["low"] > 4 * (narrow["high"] - narrow["low"])


def test_a_sample_without_an_error_is_no_certainty():
    """30 right picks of 30: 100 %, and with 95 % confidence at least 88.4 %."""
    rows = [(0.9, True, group) for group in range(30)]
    found = measure.figures(answers(rows), 1).filter(pl.col("metric") != "log_loss")

    assert found["value"].to_list() == [1.0] * 5
    assert found["low"].to_list() == pytest.approx([0.8843] * 3 + [0.8723, 0.8843], abs=1e-4)
    assert found["high"].to_list() == [1.0] * 5


def test_a_log_loss_of_zero_is_no_certainty_either():
    """Seven sure and right answers: up to two in five may yet cost the most that one can cost."""
    found = measure.figures(answers([(1.0, True, group) for group in range(7)]), 1).row(0)

    assert found[:3] == ("log_loss", 0.0, 0.0)
    assert found[3] == pytest.approx(0.4096 * measure.LOSS_MAX, abs=1e-3)


def test_what_no_label_can_tell_has_no_figure():
    """Without a single true pair the share of them that is found is unknown, not zero."""
    found = measure.figures(answers([(0.9, False, group) for group in range(40)]), 1)
    known = dict(found.select("metric", "value").rows())

    assert [known[name] for name in ("recall", "recall_at_precision_99")] == [None, None]


def test_a_gain_that_is_there_is_seen_and_one_that_is_not_is_not():
    """Sharper answers lower the log-loss for sure; the same answers do not."""
    told, truth = drawn(800, 9)
    event, group = pl.Series(range(800)), np.arange(800)
    sharp, blunt = (
        measure.by_event(Answers(calibrate.probability(None, k * told), truth, group), event)
        for k in (1.0, 0.2)
    )

    assert measure.loss_gain(blunt, sharp, 1)[1] > 0
    assert measure.loss_gain(blunt, blunt, 1) == (0.0, 0.0, 0.0)


# --- a plain table --------------------------------------------------------------------------------
def table(count=600, seed=4):
    """Pairs with two telling features, one that tells nothing, and one that never varies."""
    random = np.random.default_rng(seed)
    truth = random.random(count) < 0.4
    return pl.DataFrame(
        {
            "same": truth.astype(int),
            "title": random.normal(truth * 2.0, 1.0),
            "year": random.normal(truth * 1.0, 1.0),
            "noise": random.normal(0, 1, count),
            "constant": np.ones(count),
            "record": [f"r{i // 3}" for i in range(count)],
            "told_on": np.arange(count),
        }
    )


def test_a_plain_table_trains_and_says_what_it_is_worth():
    """Held-out figures with intervals by record and for the latest rows; new pairs get a chance."""
    model = train_table(
        table(), label="same", features=["title", "year", "noise", "constant"],
        group="record", time="told_on", seed=1,
    )  # fmt: skip
    fresh = table(seed=8)
    right = (model.probability(fresh) >= 0.5) == (fresh["same"] == 1)
    figures = {f["metric"]: f for f in model.card["figures"]}

    assert right.mean() > 0.85
    assert figures["f1"]["low"] < figures["f1"]["value"] < figures["f1"]["high"]
    assert model.card["latest"] is not None
    assert model.fitted.coefficients[3] == 0.0
    assert abs(model.fitted.coefficients[2]) < 0.3 < model.fitted.coefficients[0]


def test_thirty_thousand_labelled_pairs_narrow_the_figures():
    """A hundred times as many labels: intervals far narrower, whatever the folds."""
    few, many = (
        train_table(
            table(count), label="same", features=["title", "year"], group="record", seed=1
        ).card
        for count in (300, 30_000)
    )

    widths = [
        next(f["high"] - f["low"] for f in card["figures"] if f["metric"] == "f1")
        for card in (few, many)
    ]
    assert sum(many["labels"].values()) == 30_000
    assert widths[1] < widths[0] / 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "match"}, "the pairs have no column 'match'; they have"),
        ({"features": ["record"]}, "feature 'record' is no number; turn it into one"),
        ({"label": "title"}, "column 'title' must hold 1 and 0 only"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(change, message):
    """What is missing or no number is an error that names it."""
    with pytest.raises(LabelError, match=message):
        train_table(table(), **{"label": "same", **change})


def test_a_table_of_one_kind_teaches_nothing():
    """Only true pairs: the message says how many of either kind are needed."""
    with pytest.raises(LabelError, match="600 pairs are labelled 1 and 0 are labelled 0; 10 of"):
        train_table(table().with_columns(same=pl.lit(1)), label="same")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("title").cast(pl.String), "feature 'title' is no number; turn it into one"),
        (
            pl.when(pl.int_range(pl.len()) == 2)
            .then(float("inf"))
            .otherwise("title")
            .alias("title"),
            "feature 'title' is infinite in row 3; leave the value empty",
        ),
    ],
)
def test_pairs_that_cannot_be_scored_are_refused(change, message):
    """A feature that turned into text, or has no size, is named with its row."""
    model = train_table(table(), label="same", features=["title", "year"], seed=1)

    with pytest.raises(LabelError, match=message):
        model.probability(table(seed=8).with_columns(change))


def test_pairs_without_a_feature_are_refused():
    """The message says what is missing and what the model reads."""
    model = train_table(table(), label="same", features=["title", "year"], seed=1)

    with pytest.raises(LabelError, match="no column 'year', which the model reads; it reads"):
        model.probability(table().drop("year"))


def test_a_table_of_one_group_holds_nothing_out():
    """Every pair belongs together, so no figure could be told of pairs not learned from."""
    with pytest.raises(LabelError, match="without one part of the groups in 'record' there are no"):
        train_table(table().with_columns(record=pl.lit("all")), label="same", group="record")
