"""The model card in words, on a page and as an object."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_card import CARD, VIEW

from recon_kit.present.show import forbidden


def test_the_first_lines_say_what_it_is_and_why():
    """Candidate or in use, which model was chosen and by what, from which labels."""
    assert VIEW.lines()[:4] == [
        "Model 4562e1448f65 of orders_to_payments: a candidate, no run uses it yet.",
        (
            "It is Splink's model with labels, corrected by a classifier: the classifier lowers "
            "the log-loss by +0.0090 (95 % between +0.0031 and +0.0152)."
        ),
        (
            "Learned from 1,240 left and 1,318 right events that no key matched; labelled events: "
            "412 (305 with a counterpart, 107 without one)."
        ),
        ("Not used: 40 of the audit sample, 6 unsure, 12 on events that no model is asked about."),
    ]
    assert VIEW.lines()[4] == (
        "2 labels name a pair with too little in common to be compared: a model misses such pairs, "
        "or the labels are wrong."
    )
    assert VIEW.lines()[-1] == (
        'Of 6 ways in which two events may compare, no true pair so far showed "amount: currencies '
        'differ": what these count for is assumed, not learned.'
    )


def test_the_next_step_is_a_command():
    """A candidate is promoted; a model in use is certified."""
    used = replace(VIEW, in_use=VIEW.model_hash)

    assert VIEW.next_steps() == (
        "Next: `recon compare orders_to_payments --change 4562e1448f65` shows what it would "
        "change; `recon promote 4562e1448f65` asks for approval, after which `recon run` and "
        "`recon certify` use it; 588 more labelled events tell more"
    )
    assert used.next_steps() == "Next: `recon certify` proves a threshold for it"
    assert "4562e1448f65 of orders_to_payments: in use." in str(used)


def test_a_model_without_labels_asks_for_some():
    """Promoting it would change nothing that is known; labels would."""
    labels = {**CARD["labels"], "events": 0, "kinds": {}, "missing": 30}
    bare = replace(VIEW, card={**CARD, "chosen": "unsupervised", "labels": labels, "figures": []})

    assert bare.next_steps() == (
        "Next: decide on 30 pairs in notebook 03 (or `recon labels import`) and train again; only "
        "then a figure says how often it is right"
    )


def test_a_model_that_its_labels_misled_asks_for_another_look_at_them():
    """There are figures, and they speak against the labels: more of the same would not help."""
    misled = replace(VIEW, card={**CARD, "chosen": "unsupervised"})

    assert misled.next_steps() == (
        "Next: look again at the labels (`recon decisions orders_to_payments`); "
        "what is wrong among them, undo or decide anew, and train again"
    )


def test_the_next_step_names_the_labels_that_are_lacking():
    """Three hundred labels that all say yes: more of them open nothing."""
    labels = {**CARD["labels"], "lacking": "labels of events that have no counterpart"}

    assert (
        replace(VIEW, card={**CARD, "labels": labels})
        .next_steps()
        .endswith(
            "use it; 588 more labelled events, above all labels of events that have no counterpart "
            "tell more"
        )
    )


@pytest.mark.parametrize(
    ("low", "high", "lacking", "words"),
    [
        (
            0.001, 0.009, "",
            (
                "With its labels it answers better than without: log-loss lower by 0.0050 "
                "(95 %: 0.0010 to 0.0090)."
            ),
        ),
        (
            0.00001, 0.009, "labels of another kind",
            (
                "With its labels it answers better where they speak, log-loss lower by 0.0050 "
                "(95 %: less than 0.0001 to 0.0090). Whether it became too sure elsewhere they "
                "cannot tell: that takes labels of another kind."
            ),
        ),
        (
            -0.00001, 0.011, "",
            (
                "Whether labels make it better is not sure: log-loss lower by between 0.0000 and "
                "+0.0110 (95 %)."
            ),
        ),
        (
            -0.009, -0.001, "",
            (
                "With labels it would answer worse than without: log-loss higher by 0.0050 "
                "(95 %: 0.0010 to 0.0090)."
            ),
        ),
    ],
)  # fmt: skip
def test_the_card_says_whether_labels_helped(low, high, lacking, words):
    """Better, worse, or not sure, by the interval of the gain; as far as the labels can tell."""
    gains = {"odds over unsupervised, folds": {"gain": 0.005, "low": low, "high": high}}
    labels = {**CARD["labels"], "lacking": lacking}

    assert replace(VIEW, card={**CARD, "gains": gains, "labels": labels}).lines()[2] == words


def test_each_figure_stands_with_its_interval():
    """One row per metric, one column per model, value and interval in words."""
    text = str(VIEW)

    assert "98.4% (97.4 to 99.4)" in text
    assert "0.0710 (0.0610 to 0.0810)" in text
    assert VIEW.frame.height == VIEW.figures().frame.height == 12
    assert "f1: harmonic mean of precision and recall." in str(VIEW.figures())
    assert "recall at precision 99" in str(VIEW.figures())
    assert "Held out" in str(VIEW.figures())
    assert "in turn" in str(VIEW.figures())


def test_charts_say_what_they_show():
    """The weights and the reliability are told in a sentence each, for whoever sees no chart."""
    reliability, weights = VIEW.charts()

    assert "most for a match: customer, same e-mail (+10.2 bits)" in weights.description
    assert "most against: amount, amounts differ (-8.9 bits)" in weights.description
    assert "before: 25% said and 35% found (61 pairs)" in reliability.description
    assert weights.svg().startswith("<svg")
    assert reliability.svg().startswith("<svg")


def test_a_page_holds_only_what_a_report_lets_through():
    """Its HTML passes the report's own gate; what a value says stays text."""
    hostile = replace(VIEW, card={**CARD, "why": "<script>window.hit=1</script>"})

    assert forbidden(VIEW.html()) is None
    assert forbidden(hostile.html()) is None
    assert "&lt;script&gt;" in hostile.html()


@pytest.mark.parametrize("side", ["before", "after"])
def test_without_held_out_pairs_there_is_no_reliability(side):
    """No label, no diagram: nothing is drawn that was not measured."""
    bare = replace(VIEW, card={**CARD, "reliability": {side: []}, "figures": []})

    assert [chart.caption for chart in bare.charts()] == [
        (
            "What counts, and how much: for a match to the right, against it to the left; "
            "a mark: without labels"
        )
    ]
    assert bare.frame.is_empty()
    assert forbidden(bare.figures().html()) is None
