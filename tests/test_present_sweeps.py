"""A sweep on the screen: what is proposed or in force is marked, the unknown is left out."""

from __future__ import annotations

import pytest
from test_tuning_sweep import FOUR, NOW, label, labels, question

from recon_kit.matching.authority import Authority
from recon_kit.present.base import About
from recon_kit.present.show import forbidden
from recon_kit.present.sweeps import SweepView
from recon_kit.tuning import sweep

ABOUT = About("shop", NOW, 7)


def view(told, state="uncertified", **changed):
    """Four picks of 100, 300, 200 and 400 EUR, swept at 0.5, 0.7 and 0.9."""
    asked = question(**changed)
    allowed = Authority(state, 0.7, 0.1, None, "uncertified: no certificate yet")
    return SweepView(sweep.sweep(FOUR, told, asked), asked, allowed, ABOUT)


def marked(shown):
    """The thresholds of the table that carry a word."""
    return [line.split("  ")[0].strip() for line in str(shown).splitlines() if " (" in line[:22]]


@pytest.mark.parametrize(("state", "marks"), [("uncertified", ["0.7 (now)"]), ("review", [])])
def test_what_is_in_force_is_marked_and_only_that(state, marks):
    """Where a person decides all, no threshold is in force, so none is said to be."""
    shown = view(labels(), state)

    assert marked(shown) == marks
    assert ("Now: uncertified: no certificate yet, from 0.7 on." in str(shown)) == bool(marks)
    assert "at From 0.7 on: 75.0 % matched, 1 items to people." in shown.chart().description
    assert ("'now'" in str(shown.chart().spec())) == bool(marks)


def test_a_proposal_is_marked():
    """All four labelled right, at a rate that four labels can bear: the laxest costs least."""
    shown = view(labels(*(label(k, f"r{k}") for k in "1234")), fmr_max=0.7)

    assert shown.point["threshold"] == 0.5
    assert marked(shown) == ["0.5 (proposed)"]
    assert "to be kept: at most 70.0% wrong" in str(shown.chart().spec())
    assert forbidden(shown.html()) is None


def test_of_parts_without_a_label_nothing_is_said():
    """No label: parts have matches and money, and no column of wrong ones."""
    text = str(view(labels()))

    assert "The same by part, from 0.7 on; by method as it stands now" in text
    assert "Labels" not in text
    assert "Wrong" not in text
