"""What became of decisions: nothing is resolved silently, and changed facts are asked again."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

import recon_kit as rk

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def bench(reconciled_shop, monkeypatch):
    monkeypatch.setenv("RECON_REVIEWER", "ana")
    return rk.Workbench(reconciled_shop, clock=lambda: NOW)


def states(bench):
    return bench.decisions().frame.select("verdict", "state").rows()


def ingest(bench, source, text):
    file = bench.folder / f"{source}_later.csv"
    file.write_text(text, encoding="utf-8")
    bench.ingest(source, file)
    bench.reconcile()


def test_a_decision_says_whether_it_is_in_force(bench):
    """A later word of the same person replaces the earlier one; a doubt is no verdict."""
    bench.decide("#1003", "c9", "not_same")
    bench.decide("#1003", "c9", "same")
    bench.decide("#1004", "c10", "unsure")

    assert states(bench) == [("not_same", "replaced"), ("same", "in force"), ("unsure", "unsure")]


def test_a_decision_on_changed_facts_comes_back_with_what_differs(bench):
    """The till now says 8.90 for #1003: the decision is asked again, with then and now."""
    bench.decide("#1003", "c9", "same")
    ingest(bench, "till", "Receipt,Day,Total,E-mail\n#1003,2026-11-04,8.90,cy@example.com\n")

    told = bench.reopened().frame

    assert states(bench) == [("same", "evidence_changed")]
    assert told.select("native_id", "field", "then", "now").rows() == [
        ("#1003", "amount", "9.90", "8.90")
    ]
    assert bench.matches(method="decided").frame.is_empty()


def test_changed_personal_details_are_told_without_their_values(bench):
    """Another e-mail address is a change; neither address is printed."""
    bench.decide("#1003", "c9", "same")
    ingest(bench, "till", "Receipt,Day,Total,E-mail\n#1003,2026-11-04,9.90,other@example.com\n")

    assert bench.reopened().frame.select("field", "then", "now").rows() == [
        ("personal details", None, "changed")
    ]
    assert "example.com" not in str(bench.reopened())


def test_deciding_anew_on_the_new_facts_puts_it_in_force(bench):
    """The old word is replaced by the same word on what stands there now."""
    bench.decide("#1003", "c9", "same")
    ingest(bench, "till", "Receipt,Day,Total,E-mail\n#1003,2026-11-04,8.90,cy@example.com\n")
    bench.decide("#1003", "c9", "same")

    assert states(bench) == [("same", "replaced"), ("same", "in force")]
    assert bench.reopened().frame.is_empty()


def test_an_accepted_residual_comes_back_when_the_match_has_a_new_member(bench):
    """5.50 of #1002 was given up; then c3 pays 1.00 of it: somebody must look again."""
    toml = bench.folder / "recon.toml"
    toml.write_text(
        toml.read_text().replace(
            'keys = ["order_id"]', 'keys = ["order_id"]\ncardinality = "one_to_many"'
        )
    )
    bench = rk.Workbench(bench.folder, clock=lambda: NOW)
    bench.reconcile()
    match = bench.matches().frame.filter(pl.col("left_ids") == "#1002")["match_id"][0]
    bench.decide(match, verdict="accept_residual", reason="goodwill")
    bench.reconcile()
    assert states(bench) == [("accept_residual", "in force")]

    ingest(bench, "card", "Id,Order,Date,Amount\nc3,1002,2026-11-05,1.00\n")

    assert states(bench) == [("accept_residual", "evidence_changed")]
    assert bench.reopened().frame.select("native_id", "field", "then", "now").rows() == [
        ("c3", "member of the match", "no", "yes")
    ]


def test_two_people_who_disagree_are_listed_until_one_settles_it(bench):
    """Who said what stands side by side; an adjudication ends it and is applied."""
    bench.decide("#1003", "c9", "same")
    bench.decide("#1003", "c9", "not_same", reviewer="bo")
    first, second = bench.store.decisions()["seq"]
    listed = bench.conflicts().frame
    bench.reconcile()

    assert listed.select("kind", "left_id", "right_id", "said").row(0) == (
        "verdicts", "#1003", "c9", f"ana: same c9 ({first}); bo: not same c9 ({second})",
    )  # fmt: skip
    assert listed["seqs"].to_list() == [[first, second]]
    assert states(bench) == [("same", "reviewers_disagree"), ("not_same", "reviewers_disagree")]
    assert bench.matches(method="decided").frame.is_empty()

    bench.decide("#1003", "c9", "same", reviewer="cy", reason="adjudicated")
    bench.reconcile()

    assert bench.conflicts().frame.is_empty()
    assert bench.matches(method="decided").frame["left_ids"].to_list() == ["#1003"]


def test_more_counterparts_than_allowed_are_listed(bench):
    """One person joins two payments to one order under one_to_one: done, and said."""
    bench.decide("#1003", "c9", "same")
    bench.decide("#1003", "c10", "same")

    assert bench.conflicts().frame.select("kind", "left_id", "right_id").rows() == [
        ("several_counterparts", "#1003", "c10, c9")
    ]


def test_a_chain_that_contradicts_itself_is_listed_whole(bench):
    """#1003 = c9 = #1004 = c10, but #1003 is not c10: all four decisions are named."""
    for left, right in (("#1003", "c9"), ("#1004", "c9"), ("#1004", "c10")):
        bench.decide(left, right, "same")
    bench.decide("#1003", "c10", "not_same")

    listed = bench.conflicts().frame.filter(pl.col("kind") == "chain")

    assert listed["seqs"].to_list() == [bench.store.decisions()["seq"].to_list()]
    assert {state for _, state in states(bench)} == {"contradicts_not_same"}
