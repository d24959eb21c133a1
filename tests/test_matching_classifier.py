from __future__ import annotations

import math
from dataclasses import replace

import polars as pl
import pytest
from test_matching_probable import REC, fill, side

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import open_engine
from recon_kit.matching import classifier, probable, stored, trust
from recon_kit.matching.assign import assign

DAY = 86_400
SIDE = {"eid": pl.Int64, "amount": pl.Int64, "ts": pl.Int64, "amount_rare": pl.Int64}
# One left event with two candidates, a second one that wants the better of them too.
PAIRS = [
    (1, 11, 10.0, '{"amount": "same"}', 0.9),
    (1, 12, 4.0, '{"amount": "off"}', 0.1),
    (2, 11, 7.0, '{"amount": "same"}', 0.5),
]


def small(engine):
    """The three pairs of `PAIRS` and their four events."""
    names = ["left_eid", "right_eid", "match_weight", "levels", "chance"]
    frame = pl.DataFrame(PAIRS, schema=names, orient="row")
    engine.put("scored_pairs", frame.drop("chance"))
    engine.put("wanted", frame.select("left_eid", "right_eid", "chance"))
    left = [(1, 10_000, 0, 3), (2, 10_000, DAY, 3)]
    engine.put("side_left", pl.DataFrame(left, schema=SIDE, orient="row"))
    right = [(11, 10_000, 2 * DAY, 3), (12, None, None, 0)]
    engine.put("side_right", pl.DataFrame(right, schema=SIDE, orient="row"))


def described():
    """`pair_features` of the three pairs, by pair."""
    with open_engine() as engine:
        small(engine)
        classifier.describe(engine, "wanted")
        rows = engine.rows(f"from {classifier.TABLE} order by left_eid, right_eid").to_dicts()
    return {(row["left_eid"], row["right_eid"]): row for row in rows}


def test_rank_and_lead_are_told_among_the_rivals_of_both_events():
    """Pair (1, 11) leads by 6 bits on its left event, by 3 on its right one; (1, 12) is second."""
    rows = described()

    assert (rows[1, 11]["lead_left"], rows[1, 11]["lead_right"]) == (6.0, 3.0)
    assert (rows[1, 12]["lead_left"], rows[1, 12]["lead_right"]) == (-6.0, 12.0)
    assert [rows[key]["rank_left"] for key in sorted(rows)] == [0.0, 1.0, 0.0]
    assert [rows[key]["rank_right"] for key in sorted(rows)] == [0.0, 0.0, 1.0]
    assert rows[2, 11]["lead_left"] == 15.0  # no rival: 8 bits below the prior is the floor


def test_what_is_not_told_is_zero_and_said_to_be_unknown():
    """A candidate without amount and time has no lag and no ratio, and a number says so."""
    rows = described()

    assert (rows[1, 11]["lag_days"], rows[1, 11]["lag_unknown"]) == (2.0, 0.0)
    assert (rows[1, 12]["lag_days"], rows[1, 12]["lag_unknown"]) == (0.0, 1.0)
    assert (rows[1, 12]["amount_ratio"], rows[1, 12]["amount_unknown"]) == (0.0, 1.0)
    assert rows[1, 11]["chance"] == pytest.approx(math.log(9))


def judged(regression, calibration):
    """Probabilities of the three pairs in order."""
    with open_engine() as engine:
        small(engine)
        classifier.describe(engine, "wanted")
        query = classifier.judge(engine, regression, calibration)
        return engine.rows(f"from ({query}) order by left_eid, right_eid")["probability"].to_list()


def test_without_classifier_and_calibration_the_chance_stays():
    """Where labels taught nothing a pair is as probable as the assignment says."""
    assert judged(None, None) == [0.9, 0.1, 0.5]


def test_a_classifier_adds_up_numbers_and_levels():
    """Log-odds 1 + 0.5 x chance + level: 1 + 0.5 ln 9 + 2 gives 0.983675 for the first pair."""
    regression = {
        "kind": "logistic", "intercept": 1.0, "numbers": {"chance": 0.5},
        "levels": {"amount": {"same": 2.0}},
    }  # fmt: skip
    expected = [1 + 0.5 * math.log(9) + 2, 1 - 0.5 * math.log(9), 3.0]

    assert judged(regression, None) == [round(1 / (1 + math.exp(-x)), 6) for x in expected]
    assert judged(regression, None)[0] == 0.983675


def test_a_calibration_turns_log_odds_into_what_labels_bear_out():
    """Platt bends the curve; isotonic is a staircase whose steps begin at their edges."""
    platt = {"kind": "platt", "slope": 2.0, "intercept": 0.0}
    stairs = {"kind": "isotonic", "edges": [-1.0, 1.0], "values": [0.05, 0.4, 0.97]}

    assert judged(None, platt) == [0.987805, 0.012195, 0.5]
    assert judged(None, stairs) == [0.97, 0.05, 0.4]
    assert judged(None, {"kind": "isotonic", "edges": [], "values": [0.8]}) == [0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("regression", "calibration", "message"),
    [
        (None, {"kind": "beta"}, "calibration of kind 'beta'; this version reads platt"),
        ({"kind": "forest", "numbers": {}}, None, "classifier has kind 'forest'"),
        (
            {"kind": "logistic", "intercept": 0, "numbers": {"shoe_size": 1.0}, "levels": {}},
            None,
            "has number 'shoe_size', which this version does not know; train it again",
        ),
        (
            {"kind": "logistic", "intercept": "1; drop table p", "numbers": {}, "levels": {}},
            None,
            "holds '1; drop table p' where a number belongs",
        ),
    ],
)
def test_a_model_that_this_version_cannot_read_is_refused(regression, calibration, message):
    """Unknown kinds, unknown numbers and text in place of a number are errors that say what."""
    with pytest.raises(MatchingError, match=message):
        judged(regression, calibration)


def test_a_run_reads_classifier_and_calibration_from_the_stored_model():
    """Same picks and margins as before; the probability is the one that labels taught."""
    with open_engine() as engine:
        fill(engine, side(0, 100), side(1, 100))
        model = probable.score(engine, REC, None).model
        assert model is not None
        assign(engine, "scored_pairs", REC.cardinality)
        platt = {"kind": "platt", "slope": 1.0, "intercept": -1.0}
        taught = replace(stored.read(model), calibration=platt)
        again = stored.read(stored.write(REC.name, taught))
        trust.weigh(engine, None)
        before = engine.rows(f"from {trust.TABLE} order by left_eid, right_eid")
        trust.weigh(engine, again)
        after = engine.rows(f"from {trust.TABLE} order by left_eid, right_eid")

    assert again == taught
    assert after.drop("probability").equals(before.drop("probability"))
    assert (after["probability"] < before["probability"]).all()


def test_a_stored_model_keeps_all_that_training_needs():
    """Ladders come back with the keys and bounds that learning starts from."""
    with open_engine() as engine:
        fill(engine, side(0, 100), side(1, 100))
        model = probable.score(engine, REC, None).model
    assert model is not None
    ladders = {c.name: c for c in stored.read(model).ladders}

    assert "start_0" in {level.key for level in ladders["text"].levels}
    assert ladders["amount"].levels[-1].m_max == 1e-4
