from __future__ import annotations

import json
import math
import os
from functools import cache

import polars as pl
import pytest
from test_matching_probable import REC, fill, side

from recon_kit import model
from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import open_engine
from recon_kit.matching import classifier, probable, stored, trust
from recon_kit.matching.assign import assign
from recon_kit.tuning import examples, supported
from recon_kit.tuning.supported import Standing, missing
from recon_kit.tuning.train import _lowers, train

ROWS = 280
LEFT, RIGHT = side(0, ROWS), side(1, ROWS, shift=70)  # 210 pairs, 70 on each side are alone
BOTH = frozenset({"counterpart", "none"})


def decisions(rows, stream="work"):
    """Decisions in force: (left_key, right_key, verdict) in the order in which they were said."""
    frame = pl.DataFrame(
        [
            {"seq": seq, "reconciliation": REC.name, "left_key": left, "right_key": right,
             "verdict": verdict, "reviewer": "ana", "stream": stream}
            for seq, (left, right, verdict) in enumerate(rows, 1)
        ],
        schema={name: model.DECISION_SCHEMA[name] for name in (
            "seq", "reconciliation", "left_key", "right_key", "verdict", "reviewer", "stream")},
    )  # fmt: skip
    absent = [
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in model.DECISION_SCHEMA.items()
        if name not in frame.columns
    ]
    return frame.with_columns(absent).select(*model.DECISION_SCHEMA)


def known(rows):
    """The examples among decisions."""
    return examples.examples(decisions(rows), REC)


def truth(count, *, alone=True):
    """What a careful person would say of the first `count` left events by key."""
    counterpart = RIGHT.select("true", right_key="event_key")
    rows = LEFT.join(counterpart, on="true", how="left").sort("event_key")
    rows = rows if alone else rows.filter(pl.col("right_key").is_not_null())
    return [
        (left, right, "same" if right else "no_counterpart")
        for left, right in rows.head(count).select("event_key", "right_key").iter_rows()
    ]


@cache
def trained(count, alone=True, threads=2, seed=1):
    """A training on `count` labels."""
    with open_engine(threads=threads) as engine:
        fill(engine, LEFT, RIGHT)
        return train(engine, REC, known(truth(count, alone=alone)), seed)


def test_without_labels_the_model_is_learned_from_the_rows():
    """No label: nothing is measured, the odds are those of a run, and the card says so."""
    card = trained(0).card

    assert (card["chosen"], card["figures"], card["reliability"]) == ("unsupervised", [], {})
    assert card["why"] == "no label could be used, so it learned from the open events alone"
    assert card["supports"][0] == (
        "No label: it learned from the open events alone. How often it is right is unknown."
    )


def test_a_few_labels_enter_the_odds_and_are_not_measured():
    """12 labels change the odds a little; no figure is claimed of them."""
    card = trained(12).card
    moved = [w for w in card["weights"] if w["weight"] != w["weight_without_labels"]]

    assert (card["chosen"], card["figures"]) == ("odds", [])
    assert card["why"] == "it learned from 12 labelled events; 30 could be measured"
    assert card["supports"][0].startswith("12 labelled events: it learned from them. From 30 on")
    assert moved


def test_thirty_labels_are_the_first_that_are_measured():
    """Figures with wide intervals; the card says how many more open the next step."""
    card = trained(30).card
    f1 = next(f for f in card["figures"] if (f["model"], f["metric"]) == ("odds", "f1"))

    assert (card["chosen"], card["labels"]["missing"]) == ("odds", 170)
    assert card["why"] == "a classifier is compared from 200 labelled events on; 30 are"
    assert card["supports"][0].startswith("30 labelled events: figures with wide intervals")
    assert f1["low"] < 0.9 < f1["value"] <= f1["high"] == 1.0
    assert "odds over unsupervised, folds" in card["gains"]


@pytest.mark.parametrize(
    ("events", "more"), [(0, 30), (29, 1), (30, 170), (300, 700), (1_000, 0), (30_000, 0)]
)
def test_the_card_knows_the_next_step(events, more):
    """30 labelled events are measured, 200 compared, 1,000 give a staircase."""
    assert missing(events) == more


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((0.009, 0.0031, 0.0152), "lowers the log-loss by 0.0090 (its fall: 95 % between +0.0031"),
        ((-0.0023, -0.0039, -0.0009), "raises the log-loss by 0.0023 (its fall: 95 % between -0.0"),
    ],
)
def test_a_loss_that_rises_is_not_said_to_fall(found, words):
    """A staircase over many steps may cost more resolution than it gains."""
    assert _lowers(*found).startswith(words)


@pytest.mark.slow
def test_enough_labels_are_measured_on_events_held_out():
    """240 labels: figures with intervals for odds and classifier, and a reason for the choice."""
    card = trained(240).card
    folds = {(f["model"], f["metric"]): f for f in card["figures"] if f["on"] == "folds"}
    f1 = folds["odds", "f1"]

    assert card["labels"]["events"] == 240
    assert card["labels"]["kinds"]["counterpart"] + card["labels"]["kinds"]["none"] == 240
    assert {name for name, _ in folds} >= {"unsupervised", "odds"}
    assert 0.9 <= f1["low"] <= f1["value"] <= f1["high"] <= 1.0
    assert card["chosen"] in {"odds", "classifier"}
    assert card["folds"]["components"] >= 80
    assert sum(band["pairs"] for band in card["reliability"]["before"]) >= 170
    assert sum(card["drift"]["score_bands"]) == card["drift"]["picked"] >= 200


@pytest.mark.slow
def test_labels_of_one_kind_say_nothing_of_events_that_stand_alone():
    """Only counterparts are named while one event in four has none: no calibration rests on it."""
    card = trained(120, alone=False).card

    assert card["labels"]["kinds"] == {"counterpart": 120}
    assert card["chosen"] == "odds"
    assert card["calibration"].startswith("not calibrated: no label says that an event has no")
    assert "No label says that an event has no counterpart" in card["supports"][1]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Standing(0), "No label: it learned from the open events alone. How often it is right is"),
        (Standing(12, BOTH), "12 labelled events: it learned from them. From 30 on there are fig"),
        (
            Standing(30, BOTH, 30, 26, 4),
            "30 labelled events: figures with wide intervals; a classifier is compared from 200",
        ),
        (
            Standing(300, BOTH, 300, 260, 40, compared=True),
            "300 labelled events: figures, a comparison with a classifier and a calibration by a l",
        ),
        (
            Standing(30_000, BOTH, 30_000, 26_000, 4_000, compared=True),
            "30,000 labelled events: figures, a comparison with a classifier and a calibration by",
        ),
    ],
)
def test_the_card_says_what_so_many_labels_support(seen, words):
    """None, few, hundreds, thousands: each allows one more thing to be said, in words."""
    told = supported.sentences(seen)

    assert told[0].startswith(words)
    assert told[0].endswith("a calibration by a staircase.") == (seen.events >= 1_000)
    assert ("These labels are no random draw: no promise rests on the figures." in told) == (
        seen.measured >= 30
    )


@pytest.mark.parametrize(
    ("seen", "first", "further", "lacking"),
    [
        (
            Standing(300, frozenset({"counterpart"}), 300, 295, 0),
            "300 labelled events: figures alone.",
            "Of its labelled answers 295 are right and 0 wrong: where the probabilities are too",
            "labels of pairs that it would match and that are not the same",
        ),
        (
            Standing(300, frozenset({"counterpart"}), 300, 270, 25, blind=True),
            "300 labelled events: figures alone.",
            "No label says that an event has no counterpart: nothing here tells how often such",
            "labels of events that have no counterpart",
        ),
        (
            Standing(196, frozenset({"not_this"}), 2, 0, 2),
            "196 labelled events: no figures, as labels tell right from wrong for 2 of its answers",
            "No label names a counterpart: how many of them are found cannot be known.",
            "labels that name a counterpart",
        ),
    ],
)
def test_labels_of_one_kind_are_not_said_to_support_what_takes_both(seen, first, further, lacking):
    """Many labels that all say yes, or all say no, open no further step; the card says which do."""
    told = supported.sentences(seen)

    assert told[0].startswith(first)
    assert any(line.startswith(further) for line in told[1:])
    assert supported.lacking(seen) == lacking


def test_pairs_that_are_not_the_same_measure_nothing_unless_they_were_picked():
    """Sixty barred pairs that no model would pick: no figure is claimed of the few it answered."""
    wrong = RIGHT["event_key"].to_list()
    said = [
        (left, wrong[(n * 7 + 3) % len(wrong)], "not_same")
        for n, left in enumerate(LEFT["event_key"].sort().head(60))
    ]
    with open_engine(threads=2) as engine:
        fill(engine, LEFT, RIGHT)
        card = train(engine, REC, known(said), 1).card

    assert (card["chosen"], card["figures"], card["gains"]) == ("odds", [], {})
    assert card["why"].startswith("it learned from 60 labelled events, but labels tell right from")
    assert card["supports"][1] == (
        "No label names a counterpart: how many of them are found cannot be known."
    )


def test_labels_of_one_currency_do_not_speak_of_the_others():
    """Forty labels in EUR while a third of the open orders are in USD: the card names them."""
    left = LEFT.with_columns(currency=pl.Series(["EUR", "EUR", "USD"] * 94)[: LEFT.height])
    euros = set(left.filter(pl.col("currency") == "EUR")["event_key"])
    said = [row for row in truth(ROWS) if row[0] in euros][:40]
    with open_engine(threads=2) as engine:
        fill(engine, left, RIGHT)
        card = train(engine, REC, known(said), 1).card

    assert (
        "No label speaks of an event in USD, which 33% of the open left events are: nothing here "
        "tells how good it is there."
    ) in card["supports"]


@pytest.mark.skipif("RECON_LONG" not in os.environ, reason="two minutes: RECON_LONG=1 runs it")
def test_thirty_thousand_labels_train_as_thirty_do():
    """Every event of 30,000 a side is labelled: figures with narrow intervals, a classifier."""
    left, right = side(0, 30_000), side(1, 30_000, shift=7_500)
    counterpart = right.select("true", right_key="event_key")
    every = left.join(counterpart, on="true", how="left").select("event_key", "right_key")
    said = [(one, two, "same" if two else "no_counterpart") for one, two in every.iter_rows()]
    with open_engine(threads=2) as engine:
        fill(engine, left, right)
        card = train(engine, REC, known(said), 1).card

    f1 = next(f for f in card["figures"] if (f["model"], f["metric"]) == ("classifier", "f1"))
    assert card["labels"]["kinds"] == {"counterpart": 22_500, "none": 7_500}
    assert (card["chosen"], card["labels"]["missing"]) == ("classifier", 0)
    assert f1["high"] - f1["low"] < 0.01
    assert card["supports"][0].endswith("a calibration by a staircase.")


def test_the_same_labels_and_seed_give_the_same_model():
    """Threads and the order in which labels came leave no trace in the hash."""
    with open_engine(threads=1) as engine:
        fill(engine, LEFT.sort("eid", descending=True), RIGHT.sort("true"))
        again = train(engine, REC, known(truth(60)[::-1]), 1)

    assert again.model.model_hash == trained(60).model.model_hash
    assert trained(60).model.model_hash != trained(12).model.model_hash


def test_a_trained_model_scores_a_run():
    """The stored JSON alone is enough: it is read, checked by its hash, and scores."""
    done = trained(60)
    with open_engine() as engine:
        fill(engine, LEFT, RIGHT)
        probable.score(engine, REC, done.model)
        assign(engine, probable.TABLE, REC.cardinality)
        trust.weigh(engine, stored.read(done.model))
        sure = engine.rows(f"from {trust.TABLE} where probability >= 0.5")
        right = sure.join(LEFT.select("true", left_eid="eid"), on="left_eid").join(
            RIGHT.select("true", right_eid="eid"), on="right_eid"
        )

    assert stored.read(done.model).card == done.card
    assert 195 <= right.filter(pl.col("true") == pl.col("true_right")).height <= sure.height <= 220


def test_labels_teach_what_rows_alone_cannot():
    """People say that pairs off by half a percent are wrong: that level loses its weight."""
    wrong = [(left, right, "not_same") for left, right, verdict in truth(ROWS) if verdict == "same"]
    with open_engine() as engine:
        fill(engine, LEFT, RIGHT)
        card = train(engine, REC, known(wrong), 1).card
    same = [w for w in card["weights"] if w["level"].startswith("same amount, fewer than 1 row")]

    assert max(w["weight"] for w in same) < max(w["weight_without_labels"] for w in same)
    assert card["share_with_counterpart"] < 0.2


def test_two_sides_without_anything_to_compare_are_an_error():
    """Where no field is told on both sides there is nothing to train, and the message says it."""
    names = ("description", "amount", "event_ts")
    silent = LEFT.with_columns(pl.lit(None, dtype=LEFT[c].dtype).alias(c) for c in names)
    with open_engine() as engine:
        fill(engine, silent, RIGHT)
        with pytest.raises(
            MatchingError, match="'orders_to_payments' has nothing to train a model"
        ):
            train(engine, REC, known([]), 1)


# --- which labels are used ------------------------------------------------------------------------
def told(rows, **change):
    """Rows of examples, and what was left out, of decisions with one column changed."""
    found = examples.examples(
        decisions(rows).with_columns(pl.lit(v).alias(name) for name, v in change.items()), REC
    )
    return found.rows.rows(), dict(found.left_out)


def test_the_latest_word_on_a_pair_counts():
    """Said twice counts once; `unsure` is no label; of two counterparts the later one counts."""
    rows = [
        ("l1", "r1", "not_same"), ("l1", "r1", "same"), ("l2", "r2", "unsure"),
        ("l3", "r3", "same"), ("l3", "r4", "same"), ("l5", None, "no_counterpart"),
    ]  # fmt: skip

    assert told(rows) == (
        [("l1", "r1", "same"), ("l3", "r4", "same"), ("l5", None, "no_counterpart")],
        {"unsure": 1, "said_anew": 1, "contradicted": 1},
    )


def test_the_audit_sample_and_rules_train_nothing():
    """An audited event is left out whatever else was said of it, and so is what a rule said."""
    work = decisions([("l1", "r1", "same"), ("l2", "r2", "same")])
    audit = decisions([("l1", "r9", "not_same")], stream="audit").with_columns(
        seq=pl.lit(9, pl.Int64)
    )
    found = examples.examples(pl.concat([work, audit]), REC)

    assert found.rows.rows() == [("l2", "r2", "same")]
    assert dict(found.left_out) == {"audit": 1, "audited_event": 1}
    assert told([("l1", "r1", "same")], reviewer="rule:cents") == ([], {"made_by_a_rule": 1})


def test_drawn_events_and_disputed_words_train_nothing():
    """Drawn for the audit but not yet answered is enough; so is a dispute that nobody settled."""
    rows = decisions([("l1", "r1", "same"), ("l2", "r2", "same"), ("l3", "r3", "same")])
    found = examples.examples(rows, REC, drawn=["l1"], asked_again=[2])

    assert found.rows.rows() == [("l3", "r3", "same")]
    assert dict(found.left_out) == {"audited_event": 1, "asked_again": 1}


def test_one_label_speaks_of_all_candidate_pairs_of_its_event():
    """A named counterpart rules out the rivals of both events; nothing is said of other pairs."""
    rows = examples.examples(decisions([("l1", "r1", "same"), ("l2", None, "no_counterpart")]), REC)
    pairs = pl.DataFrame(
        [("l1", "r1"), ("l1", "r2"), ("l2", "r2"), ("l3", "r1"), ("l3", "r3")],
        schema=["left_key", "right_key"], orient="row",
    )  # fmt: skip

    assert examples.truth(pairs, rows.rows, REC).to_list() == [1, 0, 0, 0, None]
    several = REC.model_copy(update={"cardinality": "one_to_many"})
    assert examples.truth(pairs, rows.rows, several).to_list() == [1, None, 0, 0, None]


def test_sql_and_training_give_a_pair_the_same_probability():
    """What a run computes in SQL is what training computed, to six digits."""
    regression = {
        "kind": "logistic", "intercept": -0.5, "numbers": {"chance": 0.9, "lead_left": 0.05},
        "levels": {"text": {"texts differ": -1.0}},
    }  # fmt: skip
    with open_engine() as engine:
        fill(engine, LEFT, RIGHT)
        probable.score(engine, REC, None)
        assign(engine, probable.TABLE, REC.cardinality)
        engine.con.execute(
            "create or replace temp view picked as select left_eid, right_eid,"
            " match_probability as chance from assigned_pairs"
        )
        classifier.describe(engine, "picked")
        rows = engine.rows(
            f"from {classifier.TABLE} join ({classifier.judge(engine, regression, None)})"
            " using (left_eid, right_eid)"
        )
    for row in rows.to_dicts():
        part = regression["levels"]["text"].get(json.loads(row["levels"]).get("text"), 0.0)
        logit = -0.5 + 0.9 * row["chance"] + 0.05 * row["lead_left"] + part
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
