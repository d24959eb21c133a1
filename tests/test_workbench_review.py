"""Reviewing over a real ledger: durable, resumable, shared, and applied by the next run."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta

import polars as pl
import pytest
import review_shop
from review_shop import press, sit

from recon_kit.present.asking import Round
from recon_kit.workbench.bench import Workbench


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The shop once, to be copied."""
    return review_shop.make(tmp_path_factory.mktemp("review") / "shop").folder


@pytest.fixture
def bench(made, tmp_path):
    """A workspace with 24 questions."""
    return Workbench(shutil.copytree(made, tmp_path / "shop"))


def said(bench):
    return bench.store.decisions_now()


def test_a_key_is_a_row_in_the_ledger(bench):
    """Who, what, about which pair, on which evidence, with the score in view."""
    asking = sit(bench)
    asking.settle()
    reply = press(asking, "same")
    row = said(bench).row(0, named=True)

    assert reply["note"] == "Saved: same, order #1020."
    assert (row["verdict"], row["reviewer"], row["stream"]) == ("same", "ana", "work")
    assert row["score_shown"] is True
    assert None not in (row["left_key"], row["right_key"], row["evidence_hash"], row["lease_token"])
    assert bench.store.verify("all") == []


def test_a_note_is_kept_with_the_answer_it_was_written_for(bench):
    """What a reviewer writes goes with the next answer to this question, and with no other."""
    asking = sit(bench)
    written = asking.handle({"type": "note", "text": " the  customer phoned "})
    press(asking, "same")
    asking.handle({"type": "note", "text": "about the second"})
    asking.handle({"type": "next"})
    left = asking.state()["remark"]
    press(asking, "unsure")

    assert written["note"] == "Your note is kept with your next answer to this question."
    assert written["remark"] == "the customer phoned"
    assert left == ""
    assert said(bench).sort("seq")["note"].to_list() == ["the customer phoned", None]


def test_a_note_can_be_taken_away_and_the_status_names_one_that_is_kept(bench):
    """An empty note is none; one that is kept is said beside what was saved."""
    asking = sit(bench)
    asking.handle({"type": "note", "text": "gone"})
    emptied = asking.handle({"type": "note", "text": "  "})
    asking.handle({"type": "note", "text": "kept"})
    reply = press(asking, "same")

    assert emptied["note"] == "No note goes with your answer."
    assert reply["note"] == "Saved: same, order #1020, with your note."


def test_what_was_found_speaks_of_orders_and_payments(bench):
    """No analyst has to know which of the two is called right."""
    asking = sit(bench)
    found = []
    while len(found) < 24 and (question := asking.state()["question"]) is not None:
        found.append(" ".join(s["found"] for s in (question["evidence"] or {"steps": ()})["steps"]))
        press(asking, "unsure")

    told = " ".join(found)
    assert "the payment is " in told
    assert not {"left", "right"} & set(told.split())


def test_the_best_rival_stands_beside_the_proposal(bench):
    """Order #1020 was paid once and seems to be paid twice: both payments are candidates."""
    question = sit(bench).state()["question"]

    assert question["ask"] == "Is payment c20 the counterpart of order #1020?"
    assert [c["title"] for c in question["candidates"]] == ["payment c20", "payment c20b"]
    assert question["candidates"][1]["note"] == "rival"


def test_a_sitting_goes_on_where_it_was(bench):
    """A new process shows what is left, counts what was done, and can still take it back."""
    first = sit(bench)
    for verdict in ("same", "unsure", "no_counterpart", "same"):
        press(first, verdict)
    waiting = first.state()["question"]["id"]

    again = sit(Workbench(bench.folder))
    before = again.state()
    undone = again.handle({"type": "undo"})

    assert before["question"]["id"] == waiting
    assert (before["progress"]["done"], before["progress"]["left"]) == (4, 20)
    assert before["progress"]["tally"] == [
        ["same", 2], ["not the same", 0], ["no counterpart", 1], ["unsure", 1],
    ]  # fmt: skip
    assert undone["progress"]["done"] == 3
    assert said(bench).height == 3


def test_the_next_run_applies_what_was_said(bench):
    """`same` becomes a confirmed match, `no_counterpart` takes the order out, `not_same` bars."""
    asking = sit(bench)
    joined = asking.state()["question"]["ask"]
    press(asking, "same")
    press(asking, "no_counterpart")
    barred = asking.state()["question"]["candidates"][0]["title"]
    press(asking, "not_same")
    bench.reconcile()

    confirmed = bench.matches(disposition="confirmed").frame
    assert joined == "Is payment c20 the counterpart of order #1020?"
    assert (confirmed["left_ids"].to_list(), confirmed["right_ids"].to_list()) == (
        ["#1020"],
        ["c20"],
    )
    again = sit(bench)
    assert again.state()["progress"]["done"] == 0
    asked = [again.handle({"type": "next"})["question"] for _ in range(24)]
    assert barred not in {q["candidates"][0]["title"] for q in asked}


def test_an_answer_may_be_changed(bench):
    """Going back and pressing another key takes the first decision back in the same commit."""
    asking = sit(bench)
    press(asking, "same")
    asking.handle({"type": "previous"})
    press(asking, "no_counterpart")

    rows = said(bench)
    assert rows["verdict"].to_list() == ["no_counterpart"]
    assert bench.store.decisions().height == 3  # said, taken back, said anew


def test_two_screens_do_not_decide_the_same_question_twice(bench):
    """The second one is told what was decided meanwhile, and nothing is saved."""
    ana, bo = sit(bench, reviewer="ana"), sit(bench, reviewer="bo")
    press(ana, "same")
    late = press(bo, "not_same")

    assert late["type"] == "failed"
    assert (
        "meanwhile this was decided elsewhere: ana said: same. Nothing was saved" in late["message"]
    )
    assert said(bench)["verdict"].to_list() == ["same"]


def test_another_persons_claim_is_told(bench):
    """Bo sees that Ana is at work on the question."""
    sit(bench, reviewer="ana").settle()
    told = sit(bench, reviewer="bo").settle()

    assert told["note"].startswith("ana is at work on orders_to_payments:")


def test_a_question_left_open_is_given_back(bench):
    """Next releases the claim: Bo may take it."""
    ana = sit(bench, reviewer="ana")
    ana.settle()
    ana.handle({"type": "next"})
    ana.settle()

    assert sit(bench, reviewer="bo").settle() is None


def test_unmasking_leaves_a_row_in_the_chain(bench):
    """Who asked, for which events and why; the reason itself is kept out of the chain's text."""
    asking = sit(bench)
    question = asking.state()["question"]["id"]
    reply = asking.handle(
        {"type": "unmask", "question": question, "reason": "the customer is on the phone"}
    )

    row = bench.store.rows("disclosures").row(0, named=True)
    assert (row["actor"], row["reason"]) == ("ana", "the customer is on the phone")
    assert len(json.loads(row["event_keys"])) == 3  # the order and both payments
    assert "tea.krause@example.com" in json.dumps(reply)
    assert bench.store.verify("chain") == []


def test_a_counterpart_can_be_named(bench):
    """A payment that nobody proposed is found by its id and decided like any other."""
    asking = sit(bench)
    question = asking.state()["question"]["id"]
    found = asking.handle({"type": "find", "question": question, "text": "c1"})
    press(asking, "same")

    unknown = asking.handle({"type": "find", "text": "c999"})
    assert found["question"]["ask"] == "Is payment c1 the counterpart of order #1020?"
    right = said(bench)["right_key"][0]
    with bench.store.snapshot().engine() as engine:
        name = engine.rows("select native_id from events where event_key = ?", [right]).item()
    assert name == "c1"
    assert "c999" in unknown["message"]


def test_a_drawn_order_is_asked_blind_and_as_audit(tmp_path):
    """A drawn event is asked without scores, and its answer is the audit label."""
    settings = review_shop.SETTINGS.replace('"review"', '"auto"')
    bench = review_shop.make(tmp_path / "shop", settings)
    bench.draw_audit(count=12)
    view = bench.review()
    asking = Round(view.desk)
    asking.settle()
    while view.desk.question(asking.state()["question"]["id"]).stream != "audit":
        press(asking, "unsure")
    asked = asking.state()["question"]
    press(asking, "same")

    row = said(bench).row(-1, named=True)
    assert asked["why"].startswith("Judge by the facts alone")
    assert "evidence" not in asked
    assert "next" not in asked["actions"]
    assert (row["stream"], row["score_shown"]) == ("audit", False)
    assert 0 < row["inclusion_probability"] < 1
    assert asking.state()["progress"]["tally"][0] == ["same", 1]


def test_what_changed_after_it_was_decided_comes_back(bench):
    """A payment told anew with another amount re-opens the decision in the next run."""
    asking = sit(bench)
    press(asking, "same")
    card = bench.folder / "card_later.csv"
    card.write_text(
        "Id,Time,Amount,Payer\nc20,2026-11-21 11:19,70.00,tea.krause@example.com\n",
        encoding="utf-8",
    )
    bench.ingest("card", card, as_of=bench.now() + timedelta(days=1))
    bench.reconcile()

    assert bench.matches(disposition="confirmed").frame.is_empty()


def test_a_match_above_the_limit_is_asked(tmp_path):
    """Above the sign-off limit a person signs: the match is a question, its answer confirms it."""
    settings = review_shop.SETTINGS.replace('"review"', '"auto"').replace("10000.00", "85.00")
    bench = review_shop.make(tmp_path / "shop", settings)
    asking = sit(bench)
    frame = bench.review().frame.filter(pl.col("why_code") == "sign_off")
    while not asking.state()["question"]["why"].startswith("Above"):
        asking.handle({"type": "next"})
    why = asking.state()["question"]["why"]
    press(asking, "same")

    assert frame["amount_minor"].min() > 8_500
    assert why == "Above 85.00 EUR a person signs a match off."
    bench.reconcile()
    assert bench.matches(disposition="confirmed").frame.height == 1


def test_a_match_by_key_says_which_keys_agree(shop):
    """Nothing was weighed where a key joined them, so the keys are shown in place of weights."""
    file = shop / "recon.toml"
    told = file.read_text(encoding="utf-8").replace(
        'settles_within = "5d"', 'settles_within = "5d"\nsign_off_over = { EUR = "50.00" }'
    )
    file.write_text(told, encoding="utf-8")
    bench = Workbench(shop)
    for source in ("till", "card"):
        bench.ingest(source, shop / f"{source}.csv")
    bench.reconcile()
    seen, blind = (Round(bench.review(reviewer="ana").desk, blind=b) for b in (False, True))
    question = seen.state()["question"]

    assert question["ask"] == "Is payment c1 the counterpart of order #1001?"
    assert (question["evidence"], question["keys"]) == (None, "order id agrees")
    assert "keys" not in blind.state()["question"]


def test_nothing_reconciled_is_said(shop):
    """Without a run there is nothing to ask about."""
    from recon_kit.errors import WorkspaceError

    with pytest.raises(
        WorkspaceError, match="nothing has been reconciled yet; `recon run` does it"
    ):
        Workbench(shop).review()


def test_drawn_events_are_not_recognised_in_the_queue(bench):
    """As many ordinary questions as drawn ones are blind, or all; the drawn do not come first."""
    bench.draw_audit(count=10)
    told = bench.worklist().frame

    drawn = bench.store.rows("audit_draws")["event_key"].drop_nulls()
    blind = told.filter("blind")
    assert blind.height == min(2 * drawn.len(), told.height)
    assert set(drawn) < set(blind["event_key"])
    assert blind.select("method", "why_code", "confidence", "stake_minor").null_count().row(0) == (
        (blind.height,) * 4
    )
    assert set(told["event_key"].head(drawn.len())) != set(drawn)


def test_the_worklist_says_when_more_labels_stop_paying(bench):
    """The sentences stand under the list and speak of every question; minutes are a number."""
    every = bench.worklist()
    reason = every.frame["why_code"].sort()[0]
    one = bench.worklist(reason=reason)

    assert "questions settle" in every.notes[0]
    assert "Minutes" in every.text()
    assert re.search(r"\b1(\.[0-9]+)? +[0-9]+  probable", every.text())
    counted = int(re.match(r"[0-9]+", every.notes[0])[0])
    others = re.search(r"The other ([0-9]+) ", every.notes[0])
    beside = re.match(r"([0-9]+) further questions? put", every.notes[1])
    assert every.frame.height == counted + sum(int(m[1]) for m in (others, beside) if m)
    assert set(one.frame["why_code"]) == {reason}
    assert one.frame.height == every.frame.filter(pl.col("why_code") == reason).height
