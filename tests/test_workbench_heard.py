"""After a run people read what became of their answers, and why other matches changed."""

from __future__ import annotations

import re

import pytest
from review_shop import SETTINGS, make, press, sit


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A sitting of three same, two not the same, an unsure and two without a counterpart."""
    bench = make(tmp_path_factory.mktemp("heard") / "shop")
    asking = sit(bench)
    said = ("same", "not_same", "same", "unsure", "no_counterpart", "same", "not_same",
            "no_counterpart")  # fmt: skip
    for verdict in said:
        assert press(asking, verdict)["type"] == "state"
    return bench, bench.reconcile()


def test_every_answer_is_told_with_what_became_of_it(answered):
    """Eight answers, each kind with its outcome; the confirmed ones are in the list of matches."""
    bench, view = answered

    line = view.answers["orders_to_payments"]
    assert line.startswith("8 answers heard: 3 same, confirmed; ")
    assert set(line.removesuffix(".").partition(": ")[2].split("; ")) == {
        "3 same, confirmed", "2 not the same, kept apart",
        "2 no counterpart, closed without a counterpart", "1 unsure, left to somebody else",
    }  # fmt: skip
    assert bench.matches(disposition="confirmed").frame.height == 3


def test_the_answers_stand_before_the_changes_on_every_face(answered):
    """A terminal, a page and JSON say the same."""
    _, view = answered
    told = f"orders_to_payments: {view.answers['orders_to_payments']}"

    assert view.text().index(told) < view.text().index("orders_to_payments: 3 matches added")
    assert told in view.html()
    assert view.as_dict()["answers"] == view.answers


def test_a_run_without_new_answers_says_nothing_of_answers(answered):
    """What a run knew already is not told again."""
    bench, _ = answered

    assert bench.reconcile().answers == {}


def test_answers_that_are_not_applied_say_so(tmp_path):
    """Two people who say the opposite: neither word is applied, and the way on is named."""
    bench = make(tmp_path / "shop")
    for who, verdict in (("ana", "same"), ("bo", "not_same")):
        bench.decide("#1001", "c1", verdict, reviewer=who)

    line = bench.reconcile().answers["orders_to_payments"]

    assert "1 not the same, not applied, people disagree" in line
    assert "1 same, not applied, people disagree" in line
    assert line.endswith("`recon decisions orders_to_payments --conflicts`.")


def test_matches_that_changed_in_their_confidence_alone_are_counted_with_the_reason(tmp_path):
    """Nobody touched them: what was answered is open no more, which moves the odds of the rest."""
    bench = make(
        tmp_path / "shop", SETTINGS.replace('uncertified = "review"', 'uncertified = "auto"')
    )
    asking = sit(bench)
    press(asking, "no_counterpart")
    diff = bench.reconcile().diff
    before, after = diff.compared["orders_to_payments"]
    with bench.store.snapshot().engine(runs=[before, after]) as engine:
        moved = engine.rows(
            "select match_id, abs(a.confidence - b.confidence) as by"
            " from matches a join matches b using (match_id, method, disposition)"
            " where a.run_id = $1 and b.run_id = $2"
            " and (a.confidence <> b.confidence or a.margin <> b.margin)",
            [after, before],
        )["by"]

    assert len(moved) > 2
    assert re.search(
        rf"\. {len(moved)} of the changed matches are the same but for their confidence or margin"
        r" \(by at most 0\.\d+\); facts or answers were added, so that the odds of all that is"
        r" compared moved since the run before$",
        diff.lines["orders_to_payments"],
    )
