"""The review screen's messages: who is shown what, and what a key press leads to."""

from __future__ import annotations

import json
import re

import pytest
from review_desk import AUDIT, GROUP, RIVALS, FakeDesk, order, pair

from recon_kit.model import DECISION_SCHEMA
from recon_kit.present import show
from recon_kit.present.asking import Round
from recon_kit.present.base import About
from recon_kit.present.review import STATIC, ReviewView, ReviewWidget
from recon_kit.present.screen import share_words

PERSONAL = ("ana.diaz", "ana.dias", "Diaz", "600 123", "bo@example")
THOUGHTS = ("99.4", "0.9942", "11.9", "probable", "rival", "certif", "equally", "score", "evidence",
            "below_floor", "ambiguous", "also proposed")  # fmt: skip


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        """The time as it stands."""
        return self.seconds


def answer(asking, verdict, **more):
    question = asking.state()["question"]
    chosen = next((c["key"] for c in question["candidates"] if c["chosen"]), None)
    told = {"type": "decide", "n": "1", "question": question["id"], "verdict": verdict,
            "candidate": chosen}  # fmt: skip
    return asking.handle(told | more)


def about():
    from datetime import UTC, datetime

    return About("corner_shop", datetime(2026, 11, 20, 12, tzinfo=UTC), 41)


def test_a_decision_is_kept_before_the_next_question_appears():
    """The reply to a key has the next question, and by then the desk has the decision."""
    desk = FakeDesk()
    asking = Round(desk)

    reply = answer(asking, "same")

    assert desk.said == [("q1001", "same", "py_1001")]
    assert reply["question"]["id"] == "q1002"
    assert reply["note"] == "Saved: same for q1001."
    assert reply["reply_to"] == "1"


def test_a_failure_keeps_the_question_and_says_the_way_out():
    """What was not saved stays on the screen with the reason."""
    desk = FakeDesk()
    desk.broken = "the ledger is busy: a run is writing. Press the key again in a moment."
    asking = Round(desk)

    reply = answer(asking, "same")

    assert reply == {"type": "failed", "message": desk.broken, "reply_to": "1"}
    assert asking.state()["question"]["id"] == "q1001"
    assert desk.said == []


def test_what_was_pressed_on_another_page_is_refused():
    """Two views of one round cannot decide twice."""
    desk = FakeDesk()
    asking = Round(desk)
    first = asking.state()["question"]["id"]
    answer(asking, "same")

    late = asking.handle({"type": "decide", "question": first, "verdict": "not_same"})

    assert late["type"] == "failed"
    assert "nothing was saved" in late["message"]
    assert len(desk.said) == 1


def test_a_verdict_is_for_the_candidate_on_the_screen():
    """A key pressed on another candidate than the kernel shows saves nothing."""
    desk = FakeDesk(RIVALS)
    reply = answer(Round(desk), "same", candidate="py_B")

    assert reply["type"] == "failed"
    assert desk.said == []


def test_nothing_is_masked_by_the_page():
    """Personal fields are masked in the message itself, at every step."""
    asking = Round(FakeDesk())
    told = json.dumps([asking.state(), answer(asking, "same"), asking.handle({"type": "next"})])

    assert [word for word in PERSONAL if word in told] == []
    assert "a***@example.com" in told


def test_unmasking_needs_a_reason():
    """Without one nothing is shown."""
    desk = FakeDesk()
    reply = Round(desk).handle({"type": "unmask", "question": "q1001", "reason": "  "})

    assert reply["type"] == "failed"
    assert "the reason is kept in the ledger" in reply["message"]
    assert desk.asked_for == []


def test_unmasking_holds_for_one_question():
    """The desk is told why; the next question is masked again."""
    desk = FakeDesk()
    asking = Round(desk)

    shown = asking.handle({"type": "unmask", "question": "q1001", "reason": "customer called"})
    after = answer(asking, "same")

    assert desk.asked_for[0] == ("q1001", "customer called")
    assert "ana.dia" in json.dumps(shown["question"]["rows"])
    assert shown["question"]["unmasked"]
    assert [word for word in PERSONAL if word in json.dumps(after)] == []


@pytest.mark.parametrize("desk", [FakeDesk(RIVALS), FakeDesk(AUDIT), FakeDesk(pair(1001))])
def test_a_blind_message_holds_nothing_of_what_the_system_thinks(desk):
    """Score, weights, reason, method and rivals' scores are absent, not hidden."""
    told = Round(desk, blind=True).state()

    assert [word for word in THOUGHTS if word in json.dumps(told)] == []
    assert "method" not in told["question"]
    assert {"method", "why_code"}.isdisjoint({f["name"] for f in told["filters"]})


def test_an_audit_question_is_blind_in_every_round():
    """Whoever reviews with scores does not see them in an audit."""
    told = Round(FakeDesk(AUDIT)).state()

    assert [word for word in THOUGHTS if word in json.dumps(told["question"])] == []
    assert told["question"]["why"].startswith("Judge by the facts alone")
    named = "find it (f)" in told["question"]["why"]
    assert named == ("not_same" not in told["question"]["actions"])


def test_blind_candidates_stand_by_date():
    """The order says nothing about what the system prefers."""
    keys = [c["key"] for c in Round(FakeDesk(RIVALS), blind=True).state()["question"]["candidates"]]

    assert keys == ["py_B", "py_C", "py_A"]  # 1, 2 and 3 days after the order


def test_an_audit_question_cannot_be_passed_over():
    """Next and not-the-same are refused; a filter does not hide it, another order not delay it."""
    desk = FakeDesk(pair(1001, 99_000), AUDIT)
    asking = Round(desk)
    answer(asking, "same")

    refused = [asking.handle({"type": "next"}), answer(asking, "not_same")]
    asking.handle({"type": "filter", "name": "why_code", "value": "nothing like it"})
    asking.handle({"type": "filter", "name": "order", "value": "money"})

    assert [r["type"] for r in refused] == ["failed", "failed"]
    assert asking.state()["question"]["id"] == "q_audit"
    assert "not_same" not in asking.state()["question"]["actions"]


def test_the_score_is_noted_as_seen_only_where_it_was():
    """`score_shown` of a decision is what the message showed."""
    seen, blind, audit = FakeDesk(pair(1)), FakeDesk(pair(1)), FakeDesk(AUDIT)
    for _, asking in (
        (seen, Round(seen)),
        (blind, Round(blind, blind=True)),
        (audit, Round(audit)),
    ):
        answer(asking, "same")

    assert [d.asked_for[0].score_shown for d in (seen, blind, audit)] == [True, False, False]
    assert "score_shown" in DECISION_SCHEMA


def test_not_the_same_goes_on_to_the_next_rival():
    """The question stays until every candidate was refused, then it is answered."""
    desk = FakeDesk(RIVALS)
    asking = Round(desk)

    shown = [answer(asking, "not_same")["question"] for _ in range(3)]

    assert [q and next(c["key"] for c in q["candidates"] if c["chosen"]) for q in shown] == [
        "py_B", "py_C", None,
    ]  # fmt: skip
    assert asking.state()["progress"]["tally"][1] == ["not the same", 1]


def test_no_counterpart_names_no_candidate():
    """`x` is said of the event, not of a pair."""
    desk = FakeDesk(RIVALS)
    answer(Round(desk), "no_counterpart")

    assert desk.said == [("q1002", "no_counterpart", None)]


def test_undo_brings_the_question_back():
    """The newest decision is taken back and its question stands there again."""
    desk = FakeDesk()
    asking = Round(desk)
    answer(asking, "same")
    answer(asking, "unsure")

    reply = asking.handle({"type": "undo"})

    assert reply["question"]["id"] == "q1002"
    assert desk.said == [("q1001", "same", "py_1001")]


def test_undo_of_nothing_says_so():
    """There is nothing to undo at the start of a sitting."""
    reply = Round(FakeDesk()).handle({"type": "undo"})

    assert "nothing to undo" in reply["note"]


def test_next_and_previous_walk_the_queue():
    """Next leaves a question waiting and comes back to it at the end; previous goes back."""
    asking = Round(FakeDesk())

    walked = [asking.handle({"type": t})["question"]["id"]
              for t in ("next", "next", "next", "previous", "previous")]  # fmt: skip

    assert walked == ["q1002", "q_bank", "q1001", "q_bank", "q1002"]


def test_an_answered_question_says_what_was_said():
    """Going back shows the verdict."""
    asking = Round(FakeDesk())
    answer(asking, "same")

    assert asking.handle({"type": "previous"})["question"]["said"] == "You said: same."


def test_filters_and_order_narrow_the_queue():
    """By currency, by amount band, largest first; counts stand beside the values."""
    asking = Round(FakeDesk())
    choices = {f["name"]: f for f in asking.state()["filters"]}
    usd = asking.handle({"type": "filter", "name": "currency", "value": "USD"})
    every = asking.handle({"type": "filter", "name": "currency", "value": ""})
    largest = asking.handle({"type": "filter", "name": "order", "value": "money"})

    assert choices["currency"]["options"] == [["", "all"], ["EUR", "EUR (2)"], ["USD", "USD (1)"]]
    assert (usd["question"]["id"], usd["progress"]["left"]) == ("q_bank", 1)
    assert every["progress"]["left"] == 3
    assert largest["question"]["id"] == "q1002"  # 255.50 EUR


def test_amount_bands_stand_by_size():
    """A band is in the currency's own units: 1,500 yen is 1,000 to 10,000."""
    asking = Round(
        FakeDesk(
            pair(1, 9_999),
            pair(2, 10_000),
            pair(3, 1_500, currency="JPY"),
            pair(4, amount_minor=None),
        )
    )
    bands = next(f for f in asking.state()["filters"] if f["name"] == "band")

    assert bands["options"] == [
        ["", "all"], ["no amount", "no amount (1)"], ["under 100", "under 100 (1)"],
        ["100 to 1,000", "100 to 1,000 (1)"], ["1,000 to 10,000", "1,000 to 10,000 (1)"],
    ]  # fmt: skip


def test_progress_is_told_at_ones_own_pace():
    """The median time between question and answer, pauses left out."""
    clock = Clock()
    asking = Round(FakeDesk(*(pair(n) for n in range(1, 41))), clock=clock)
    for seconds in (10, 4_000, 12, 14):
        clock.seconds += seconds
        answer(asking, "same")

    progress = asking.state()["progress"]

    assert (progress["done"], progress["left"]) == (4, 36)
    assert (progress["pace_seconds"], progress["minutes"]) == (12, 7)  # 36 * 12 s


def test_a_group_lists_its_members_with_sum_and_difference():
    """One bank line to three payouts, 1.00 apart."""
    asked = Round(FakeDesk(GROUP)).state()["question"]

    assert asked["ask"] == "Are 3 payouts the counterpart of bank line FTMRP2G?"
    assert [row[0] for row in asked["members"]["rows"]] == [f"payout po_{n}" for n in (7, 8, 9)]
    assert asked["members"]["totals"] == [
        ["sum", "", "234.83 USD"], ["bank line FTMRP2G", "", "233.83 USD"],
        ["difference", "", "1.00 more (0.4 %)"],
    ]  # fmt: skip


def test_evidence_is_the_weights_and_their_sum():
    """Each comparison with its weight in log2 of odds, the probability, the lead."""
    evidence = Round(FakeDesk()).state()["question"]["evidence"]

    assert [(s["label"], s["text"]) for s in evidence["steps"]] == [
        ("prior", "-12.4"), ("customer", "+11.9"), ("amount", "+9.3"), ("time lag", "-1.3"),
    ]  # fmt: skip
    assert evidence["total"] == "+7.5"
    assert evidence["probability"] == "99.4 %"
    assert evidence["margin"] == "42 points ahead of payment py_9"


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100.0 %"), (0.99999, "over 99.9 %"), (0.5, "50.0 %"), (0.0002, "under 0.1 %")],
)
def test_nearly_certain_is_not_certain(share, words):
    """A probability is never rounded up to certainty."""
    assert share_words(share) == words


def test_somebody_elses_claim_is_told():
    """The question appears at once; that another has it is told right after."""
    desk = FakeDesk()
    asking = Round(desk)
    desk.held = "bo is at work on it until 14:15 UTC."
    answer(asking, "same")

    told = asking.settle()

    assert told["note"] == "bo is at work on it until 14:15 UTC."
    assert asking.settle() is None


def test_remembering_is_offered_only_where_rules_can_be_made():
    """Without a decision, or without rules, it says why not."""
    desk = FakeDesk()
    asking = Round(desk)
    early = asking.handle({"type": "remember"})
    answer(asking, "same")
    told = asking.handle({"type": "remember"})
    desk.remembers = False
    without = asking.handle({"type": "remember"})

    assert "decide first" in early["message"]
    assert told["note"].startswith("No rule can be made of it yet")
    assert without["message"] == "no rules can be proposed here."


def test_an_unknown_message_says_what_to_do():
    """A page of an older version is told to run the cell again."""
    reply = Round(FakeDesk()).handle({"type": "frobnicate"})

    assert reply["message"] == "the screen asked for something unknown; run the cell again."


def test_the_widget_keeps_nothing_of_a_record_in_its_state():
    """What a notebook may save of a widget holds no record, masked or not."""
    desk = FakeDesk()
    widget = ReviewWidget(Round(desk))
    sent = []
    widget.send = sent.append

    widget._heard(widget, {"type": "hello", "n": "1.1"}, [])
    state = json.dumps({k: str(v) for k, v in widget.get_state().items()})

    assert sent[0]["question"]["id"] == "q1001"
    assert [w for w in (*PERSONAL, "q1001", "#1001", "100.00", "a***@") if w in state] == []
    assert {k for k in widget.get_state() if not k.startswith("_")} <= {
        "comm", "keys", "layout", "tabbable", "tooltip",
    }  # fmt: skip


def test_a_notebook_keeps_only_how_much_waits():
    """The saved output has the marked summary and no record of any question."""
    bundle = ReviewView(FakeDesk(), about())._repr_mimebundle_()
    kept = json.dumps({k: v for k, v in bundle.items() if k != show.MARK})

    assert show.verified(bundle) is not None
    assert "3 questions wait for a judgement" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert [w for w in (*PERSONAL, "#1001", "py_1001", "a***@") if w in kept] == []


def test_a_terminal_shows_the_first_question():
    """As plain text, masked like the screen."""
    text = repr(ReviewView(FakeDesk(), about()))

    assert "Is payment py_1001 the counterpart of order #1001?" in text
    assert re.search(r"Amount +100.00 EUR +99.60 EUR +0.40 less \(0.4 %\)", text)
    assert [word for word in PERSONAL if word in text] == []


def test_nothing_waiting_is_said():
    """An empty desk is no error."""
    desk = FakeDesk(pair(1))
    desk.said = [("q1", "same", "py_1")]
    view = ReviewView(desk, about())

    assert "Nothing waits for a judgement." in view.text()
    assert Round(desk).state()["question"] is None


def test_the_page_asks_nobody_but_the_kernel():
    """Script and style load nothing from anywhere and write no markup out of data."""
    script = (STATIC / "review.js").read_text(encoding="utf-8")
    style = (STATIC / "review.css").read_text(encoding="utf-8")

    banned = ("http:", "https:", "import ", "import(", "fetch(", "innerHTML", "outerHTML",
              "insertAdjacentHTML", "eval(", "localStorage", "model.set(",
              "save_changes")  # fmt: skip
    assert [word for word in banned if word in script] == []
    assert [word for word in ("@import", "url(") if word in style] == []


def test_hostile_text_stays_text():
    """A name with markup travels as text; the page sets it as text."""
    hostile = pair(1, asked=(order(1, 100, description="<img src=x onerror=alert(1)>"),))
    told = Round(FakeDesk(hostile)).state()["question"]

    row = next(r for r in told["rows"] if r["name"] == "description")
    assert "".join(t for t, _ in row["left"]) == "<img src=x onerror=alert(1)>"
