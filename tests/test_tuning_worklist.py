"""The order of the queue: what a label is worth per minute, without asking one thing twice."""

from __future__ import annotations

import polars as pl
import pytest

from recon_kit.tuning import worklist

SCHEMA = {
    "question_id": pl.String, "reconciliation": pl.String, "stream": pl.String,
    "confidence": pl.Float64, "amount_minor": pl.Int64, "currency": pl.String,
    "candidates": pl.Int64, "pattern": pl.String, "customer": pl.String, "component": pl.String,
    "u": pl.Float64,
}  # fmt: skip
THRESHOLDS = {"orders": 0.8}


def question(name, confidence, amount=10_000, **more):
    row = {
        "question_id": name, "reconciliation": "orders", "stream": "work",
        "confidence": confidence, "amount_minor": amount, "currency": "EUR", "candidates": 1,
        "pattern": name, "u": (hash_of(name) % 1000) / 1000,
    }  # fmt: skip
    return row | more


def hash_of(name):
    """A number for a name that is the same in every process."""
    return sum(ord(c) * 31**i for i, c in enumerate(name))


def ordered(*rows):
    frame = pl.DataFrame([{c: r.get(c) for c in SCHEMA} for r in rows], schema=SCHEMA)
    return worklist.order(frame, THRESHOLDS)


def names(frame):
    return frame["question_id"].to_list()


def test_doubt_is_one_at_the_threshold_and_nothing_where_the_system_is_sure():
    """At 0.8: full doubt; 0.4 is half way up, 0.9 half way down; 0 and 1 are no question."""
    told = ordered(*(question(str(p), p) for p in (0.0, 0.4, 0.8, 0.9, 1.0)))

    found = {r["question_id"]: round(r["doubt"], 9) for r in told.to_dicts()}
    assert found == {"0.0": 0.0, "0.4": 0.5, "0.8": 1.0, "0.9": 0.5, "1.0": 0.0}


def test_the_stake_is_money_that_a_wrong_answer_would_cost():
    """100.00 EUR at the threshold of 0.8: 100.00 x 0.8 x 0.2 = 16.00 EUR."""
    assert ordered(question("a", 0.8))["stake_minor"].to_list() == [1_600]


def test_money_at_risk_goes_first():
    """Of two equal doubts the larger amount is asked first."""
    assert names(ordered(question("small", 0.8, 1_000), question("large", 0.8, 90_000))) == [
        "large",
        "small",
    ]


def test_a_question_with_many_candidates_takes_longer():
    """Four more candidates double the minutes and halve the value."""
    told = ordered(question("one", 0.8), question("five", 0.8, candidates=5))

    assert told.select("question_id", "minutes").rows() == [("one", 1.0), ("five", 2.0)]
    assert told["value"][0] == pytest.approx(2 * told["value"][1])


def test_patterns_take_turns():
    """Three of one pattern, one of another a bit less valuable: the other comes second."""
    rows = [question(f"a{i}", 0.8, 10_000 - i, pattern="same amount") for i in range(3)]

    told = ordered(*rows, question("b", 0.8, 6_000, pattern="other amount"))

    assert names(told) == ["a0", "b", "a1", "a2"]


def test_one_question_per_customer_first():
    """The second order of a customer, or of a component of rivals, waits for everybody's first."""
    told = ordered(
        question("ana 1", 0.8, 90_000, customer="ana"),
        question("ana 2", 0.8, 80_000, customer="ana"),
        question("bo", 0.8, 10_000, customer="bo", component="x"),
        question("cy", 0.8, 9_000, customer="cy", component="x"),
    )

    assert names(told) == ["ana 1", "bo", "ana 2", "cy"]


def test_currencies_stand_in_one_queue_by_what_is_usual_in_each():
    """Four times the usual JPY goes before three times the usual EUR: no rate is needed."""
    told = ordered(
        question("e1", 0.8, 10_000), question("e2", 0.8, 10_000), question("e3", 0.8, 30_000),
        question("j1", 0.8, 5_000, currency="JPY"), question("j2", 0.8, 5_000, currency="JPY"),
        question("j3", 0.8, 20_000, currency="JPY"),
    )  # fmt: skip

    assert names(told)[:2] == ["j3", "e3"]


def test_what_has_no_amount_or_score_still_has_a_place():
    """An unknown amount counts as a usual one; two equal answers share one chance."""
    told = ordered(question("a", None, None, candidates=2), question("b", 0.8))

    assert names(told) == ["b", "a"]
    assert told["stake_minor"].to_list() == [1_600, None]


def test_the_order_does_not_depend_on_how_rows_came():
    """Shuffled input gives the same queue."""
    rows = [question(f"q{i:02}", 0.5 + i / 100, 1_000 * (i % 7 + 1), pattern=f"p{i % 3}",
                     customer=f"c{i % 5}") for i in range(40)]  # fmt: skip

    assert names(ordered(*rows)) == names(ordered(*rows[::-1]))


def test_drawn_events_stand_among_others_without_a_mark():
    """Ten drawn ones stand scattered among the first fifty; ten others are asked blind as well."""
    work = [question(f"w{i:03}", 0.8, 1_000 + i) for i in range(200)]
    drawn = [question(f"d{i}", None, 1_000, stream="audit") for i in range(10)]

    told = ordered(*work, *drawn).with_row_index()

    at = told.filter(pl.col("stream") == "audit")["index"].to_list()
    assert max(at) < 50
    assert at != list(range(10))
    decoys = told.filter("decoy")
    assert decoys.height == 10
    assert decoys["index"].max() < 50
    assert set(decoys["stream"]) == {"work"}


def test_without_a_draw_nothing_is_blind():
    """There is nothing to hide among others."""
    assert ordered(question("a", 0.8), question("b", 0.5))["decoy"].to_list() == [False, False]


def test_when_more_labels_stop_paying_is_said_with_the_numbers():
    """One question holds 160.00 of 160.24 EUR: the 24 small ones are the last 5 %."""
    told = ordered(question("large", 0.8, 100_000), *(question(f"s{i}", 0.8, 6) for i in range(24)))

    assert worklist.stop(told) == worklist.Stop(
        1,
        "1 question settles 160.00 EUR that may be misjudged, in about 1 minute. The other 24 "
        "hold 0.24 EUR together: that is the last 5%, so more labels stop paying there.",
    )


def test_a_cost_per_minute_decides_where_to_stop():
    """At 1.00 EUR a minute a question with 0.80 EUR at stake is not worth asking."""
    told = ordered(question("a", 0.8, 10_000), question("b", 0.8, 500))

    stop = worklist.stop(told, {"EUR": 100})

    assert stop.items == 1
    assert "a minute of review costs more" in stop.said


def test_nothing_in_doubt_is_said():
    """There is no question worth a minute."""
    assert worklist.stop(ordered(question("sure", 1.0))).items == 0
