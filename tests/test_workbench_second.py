"""A second person is asked on the same screen: blind, among the rest, never the first one."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
import review_shop
from review_shop import press, sit

from recon_kit.tuning import agreement
from recon_kit.workbench.bench import Workbench

REC = "orders_to_payments"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The shop once, to be copied."""
    return review_shop.make(tmp_path_factory.mktemp("second") / "shop").folder


@pytest.fixture
def bench(made, tmp_path):
    """A workspace with 24 questions."""
    return Workbench(shutil.copytree(made, tmp_path / "shop"))


def way(asking, wanted):
    """Answer with `unsure` until one of the wanted questions stands on the screen."""
    for _ in range(60):
        question = asking.state()["question"]
        if question is None or question["id"] in wanted:
            return question
        press(asking, "unsure")
    return None


def test_an_audit_label_against_what_was_picked_is_asked_of_somebody_else(bench):
    """Ana says none where a payment was picked: Bo is asked, Ana is not; Bo agrees, and it ends."""
    bench.draw_audit(rate=1.0)
    ana = sit(bench, reviewer="ana")
    first = ana.state()["question"]
    press(ana, "no_counterpart")
    bench.reconcile()

    assert first["id"] not in set(bench.review(reviewer="ana").desk.listing()["question_id"])
    asking = sit(bench, reviewer="bo")
    shown = way(asking, {first["id"]})
    assert shown["ask"] == first["ask"]
    assert [c["title"] for c in shown["candidates"]] == [first["candidates"][0]["title"]]
    assert shown["why"].endswith("If it is another one, find it (f); if there is none, say so (x).")
    assert "method" not in shown and shown["said"] == ""  # noqa: PT018 - nothing is told of it
    assert "ana" not in json.dumps(asking.state()).lower().replace("ana diaz", "").replace(
        "ana.diaz", ""
    )

    press(asking, "no_counterpart")

    labels = agreement.agreement(bench.store.decisions())
    assert labels.row(0, named=True)["agree"] == 1
    said = bench.store.decisions_now().filter(pl.col("verdict") == "no_counterpart")
    assert said.select("reviewer", "stream", "inclusion_probability").rows() == [
        ("ana", "audit", 1.0), ("bo", "audit", 1.0),
    ]  # fmt: skip
    assert bench.second_looks().frame.is_empty()


def test_two_who_disagree_leave_it_to_a_third(bench):
    """Bo names the payment that Ana did not see: nobody's word stands, it is a dispute."""
    bench.draw_audit(rate=1.0)
    ana = sit(bench, reviewer="ana")
    first = ana.state()["question"]["id"]
    press(ana, "no_counterpart")

    asking = sit(bench, reviewer="bo")  # before any run: the first answer is not to be seen either
    assert way(asking, {first})["said"] == ""
    press(asking, "same")

    assert bench.conflicts().frame.height > 0
    again = bench.review(reviewer="cy").desk.listing()
    assert again.filter(pl.col("question_id") == first)["verdict"].is_null().sum() == 0


def test_one_in_ten_of_all_other_judgements_is_asked_again(bench, monkeypatch):
    """Of work judgements a keyed hash picks some; here all of them, so that the test may look."""
    monkeypatch.setattr(agreement, "SHARE", 1.0)
    ana = sit(bench, reviewer="ana")
    asked = ana.state()["question"]
    press(ana, "same")
    bench.reconcile()

    asking = sit(bench, reviewer="bo")
    listing = bench.review(reviewer="bo").desk.listing()
    mine = listing.filter(pl.col("question_id") == asked["id"]).row(0, named=True)
    shown = way(asking, {asked["id"]})

    assert (mine["blind"], mine["verdict"], mine["why_code"]) == (True, None, None)
    assert shown["ask"] == asked["ask"]
    passed = asking.handle({"type": "next"})
    assert passed["message"].startswith("this question cannot be passed over")
    assert press(asking, "not_same")["note"].startswith("Saved: not the same")
    said = bench.store.decisions_now().filter(reviewer="bo", verdict="not_same")
    assert said.select("stream", "score_shown").rows() == [("work", False)]
    assert bench.agreement().frame.row(1, named=True)["twice"] == 1


def test_what_waits_for_a_second_person_is_in_no_sheet_of_first_questions(bench):
    """Sheets of proposals and of the audit stay what they were; the second has its own."""
    bench.draw_audit(rate=1.0)
    press(sit(bench, reviewer="ana"), "no_counterpart")
    bench.reconcile()

    sheets = {
        which: bench.export_labels(f"{which}.csv", which=which).rows
        for which in ("audit", "second")
    }

    audit = pl.read_csv(bench.folder / "audit.csv", infer_schema=False)
    second = pl.read_csv(bench.folder / "second.csv", infer_schema=False)
    assert (audit["left_event_key"].n_unique(), second["left_event_key"].n_unique()) == (23, 1)
    assert set(audit["left_event_key"]).isdisjoint(second["left_event_key"])
    assert min(sheets.values()) > 0
