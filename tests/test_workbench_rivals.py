"""What else may be meant stands on the review screen, and nothing is given away twice unseen."""

from __future__ import annotations

import shutil

import polars as pl
import pytest
import review_shop
from review_shop import press, sit

from recon_kit.errors import UnknownNameError
from recon_kit.resolution.crossing import crossing
from recon_kit.workbench.bench import Workbench

KEYS = (
    review_shop.SETTINGS
    .replace('keys = ["order_id"]', 'keys = ["order_id", "transaction_id"]')
    .replace('order_id = "Receipt"\n', 'order_id = "Receipt"\ntransaction_id = "Reference"\n')
    .replace(
        'native_id = "Id"\n',
        'native_id = "Id"\norder_id = "Receipt"\ntransaction_id = "Reference"\n',
    )
)  # fmt: skip
# Each twin order was paid; which payment belongs to which nobody can tell.
TWINS = (
    (
        "#1,2026-11-02 10:00,69.15,ana.diaz@example.com,Ana Diaz\n"
        "#2,2026-11-02 10:12,69.15,ana.diaz@example.com,Ana Diaz\n"
    ),
    (
        "p1,2026-11-02 10:31,69.15,ana.diaz@example.com\n"
        "p2,2026-11-02 10:49,69.15,ana.diaz@example.com\n"
    ),
)
# The receipt number of payment x was mistyped; payment y carries the order's own reference.
MISTYPED = (
    "#5,2026-11-04 10:00,122.53,ana.diaz@example.com,Ana Diaz,pi_3qEB\n",
    (
        "x,#5,2026-11-04 11:00,74.80,bo.lund@example.com,\n"
        "y,,2026-11-04 10:01,122.53,ana.diaz@example.com,pi_3qEB\n"
    ),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The shop of 24 questions once, to be copied."""
    return review_shop.make(tmp_path_factory.mktemp("rivals") / "shop").folder


@pytest.fixture
def bench(made, tmp_path):
    """A workspace of its own."""
    return Workbench(shutil.copytree(made, tmp_path / "shop"))


def shop(folder, till, card, settings=review_shop.SETTINGS):
    """A workspace of literal rows, reconciled; 24 further customers make names and prices rare."""
    folder.mkdir()
    (folder / "recon.toml").write_text(settings, encoding="utf-8")
    rest = [text.splitlines() for text in review_shop.files()]
    wide = settings is KEYS
    rows = {
        "till": [rest[0][0] + ",Reference" * wide, *(f"{r}{',' * wide}" for r in rest[0][1:])],
        "card": [
            "Id,Receipt,Time,Amount,Payer,Reference" if wide else rest[1][0],
            *(r.replace(",", ",,", 1) + "," if wide else r for r in rest[1][1:]),
        ],
    }
    made = Workbench(folder)
    for name, text in (("till", till), ("card", card)):
        (folder / f"{name}.csv").write_text("\n".join(rows[name]) + "\n" + text, encoding="utf-8")
        made.ingest(name, folder / f"{name}.csv")
    made.reconcile()
    return made


def asked_about(asking, order):
    """Go on until the question about an order is on the screen."""
    for _ in range(60):
        question = asking.state()["question"]
        if question["left"]["title"] == order:
            return question
        asking.handle({"type": "next"})
    raise AssertionError(f"{order} is not asked about")


def test_twins_show_both_answers_and_who_else_wants_them(tmp_path):
    """Two orders and two payments of one customer: the other way round stands there as well."""
    asking = sit(shop(tmp_path / "shop", *TWINS))
    told = {}
    for order in ("Order #1", "Order #2"):
        question = asked_about(asking, order)
        told[order] = ([c["title"] for c in question["candidates"]], question["why"])

    assert {order: (sorted(titles), why) for order, (titles, why) in told.items()} == {
        "Order #1": (["payment p1", "payment p2"], "2 candidates fit this order equally well."),
        "Order #2": (["payment p1", "payment p2"], "2 candidates fit this order equally well."),
    }


def test_a_match_by_a_contradicted_key_shows_the_open_event_with_the_same_reference(tmp_path):
    """The amount limit is not the reason, and the better payment is beside the mistyped one."""
    question = asked_about(sit(shop(tmp_path / "shop", *MISTYPED, settings=KEYS)), "Order #5")

    assert (
        question["why"] == "A key joins them, but customer and amount disagree: an id may be wrong."
    )
    assert [(c["title"], c["note"]) for c in question["candidates"]] == [
        ("payment x", ""), ("payment y", "carries the same id"),
    ]  # fmt: skip


def test_an_event_is_found_by_any_id_that_the_screen_prints(tmp_path):
    """A reviewer types the reference of the order, which the payment carries too."""
    asking = sit(shop(tmp_path / "shop", *MISTYPED, settings=KEYS))
    asked_about(asking, "Order #5")
    reply = asking.handle({"type": "find", "text": "pi_3qEB"})

    assert reply["note"] == "Beside it now: payment y."


def test_a_name_that_nothing_carries_is_refused(bench):
    """No event is guessed from a part of an id."""
    with pytest.raises(UnknownNameError, match="pi_nothing"):
        bench.decide("#1020", "pi_nothing", "same", reviewer="ana")


def test_a_counterpart_is_not_given_away_twice_unseen(bench):
    """The second order that gets the same payment is a question first, and an answer only then."""
    asking = sit(bench)
    press(asking, "same")
    here = asking.state()["question"]
    asking.handle({"type": "find", "text": "c20"})
    first = press(asking, "same")
    recorded = bench.store.decisions_now().height
    second = press(asking, "same")

    assert here["left"]["title"] != "Order #1020"
    assert first["type"] == "failed"
    assert first["message"] == (
        "you said before that payment c20 is the counterpart of order #1020 (decision 4), and "
        "orders_to_payments gives it one. Nothing was saved; press the key again to say both, or "
        "take that back first: recon undo 4."
    )
    assert recorded == 1
    assert second["note"].startswith("Saved: same, order ")
    assert bench.store.decisions_now().height == 2


def test_the_command_line_tells_of_both_words(bench):
    """What is typed is recorded, and what it crosses is named with the way back."""
    bench.decide("#1020", "c20", "same", reviewer="ana")
    told = bench.decide("#1004", "c20", "same", reviewer="bo")

    assert told.notes == (
        "1 recorded by bo.",
        (
            "payment c20 was said to be the counterpart of order #1020 before (ana, decision 4), "
            "and orders_to_payments gives it one; both stand now. Take one back: recon undo 4."
        ),
    )


def test_what_was_taken_back_crosses_nothing(bench):
    """After an undo the payment may be given to another order without a word."""
    bench.decide("#1020", "c20", "same", reviewer="ana")
    bench.undo(reviewer="ana")

    assert bench.decide("#1004", "c20", "same", reviewer="ana").notes == ("1 recorded by ana.",)


def test_many_to_many_crosses_nothing(bench):
    """Where both sides may have several counterparts no word crosses another."""
    bench.decide("#1020", "c20", "same", reviewer="ana")
    said = bench.store.decisions()
    pairs = pl.DataFrame({"left_key": ["another"], "right_key": said["right_key"].to_list()})
    rec = bench.settings.reconciliations[0]

    assert crossing(said, pairs, rec)["seq"].to_list() == [4]
    assert crossing(said, pairs, rec.model_copy(update={"cardinality": "many_to_many"})).is_empty()
