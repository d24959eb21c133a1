"""Decisions become proposed rules that name them, say how sure they are, and wait for approval."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from matching_world import day, frame, order, payment, rec, said

import recon_kit as rk
from recon_kit import model, stats
from recon_kit.errors import GovernanceError, UnknownNameError
from recon_kit.ledger.engine import open_engine
from recon_kit.tuning import conjunctions
from recon_kit.tuning.distil import distil

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REC = rec(cardinality="one_to_one")


def sale(number, *, amount=None, lag=1.0, text="Payment of RE-{} thank you"):
    """An order and the payment that names its invoice in a text."""
    minor = amount or 1_000 + 37 * number
    return [
        order(f"o{number}", minor, invoice_number=f"RE-{2000 + number}"),
        payment(f"p{number}", minor, description=text.format(2000 + number), event_ts=day(lag)),
    ]


def same(number, **more):
    return said(number, "same", f"o{number}", f"p{number}", recorded_at=NOW, **more)


@contextmanager
def world(events, decisions, open_keys=()):
    items = [
        {"item_id": f"i{key}", "event_key": key, "side": "left" if key[0] == "o" else "right",
         "state": "overdue"}
        for key in open_keys
    ]  # fmt: skip
    with open_engine(threads=2) as engine:
        engine.put("events", frame(events, model.EVENT_SCHEMA))
        engine.put("who", frame([], model.WHO_SCHEMA))
        engine.put("decisions", frame(decisions, model.DECISION_SCHEMA))
        told = frame(items, model.RUN_TABLES["open_items"])
        engine.put("open_items", told.with_columns(run_id=pl.lit("r1")))
        yield engine


def mined(events, decisions, open_keys=(), reconciliation=REC):
    with world(events, decisions, open_keys) as engine:
        return distil(engine, reconciliation, NOW, run_id="r1")


HABIT = [event for number in range(1, 9) for event in sale(number)]
EIGHT = [same(number) for number in range(1, 9)]


def test_what_people_keep_saying_becomes_a_rule_in_words():
    """Eight payments named their invoice: text, amount and time agree in all eight."""
    (rule,) = mined(HABIT, EIGHT)

    assert rule.words == "description contains invoice_number, same amount, within 1 day after"
    assert (rule.support, rule.wrong, rule.contradicts) == (8, 0, ())
    assert rule.rule.decisions == tuple(range(1, 9))
    assert rule.rule.reconciliation == "orders_to_payments"
    assert rule.rule.expires - rule.rule.created == timedelta(days=180)
    assert rule.newest == NOW


def test_the_bound_pays_for_the_number_of_rules_tried():
    """8 of 8 at 95 % would be 0.688; after so many tries it is less, and that is what is told."""
    (rule,) = mined(HABIT, EIGHT)

    assert (
        rule.rule.precision_bound
        < stats.clopper_pearson_lower(8, 8)
        == pytest.approx(0.688, abs=1e-3)
    )
    assert rule.rule.precision_bound > 0


def test_four_decisions_are_no_habit():
    """Below five nothing is proposed."""
    assert mined(HABIT, EIGHT[:4]) == []


def test_what_was_said_in_an_audit_is_never_mined():
    """Labels of the audit sample are kept for certificates."""
    assert mined(HABIT, [d | {"stream": "audit"} for d in EIGHT]) == []


def test_an_undone_or_disputed_decision_is_no_support():
    """Bo says the opposite of one pair: seven are left."""
    against = said(20, "not_same", "o1", "p1", reviewer="bo", recorded_at=NOW)

    (rule,) = mined(HABIT, [*EIGHT, against])

    assert rule.support == 7
    assert rule.rule.decisions == tuple(range(2, 9))


def test_a_rule_that_meets_others_too_is_held_against_them():
    """Every order was also paid the same amount by somebody else: amount alone would be wrong."""
    twins = [payment(f"x{n}", 1_000 + 37 * n, event_ts=day(1)) for n in range(1, 9)]

    (rule,) = mined([*HABIT, *twins], EIGHT)

    assert "description contains invoice_number" in rule.words
    assert rule.wrong == 0
    bare = [e | {"description": None} for e in HABIT]
    assert all(r.rule.precision_bound < 0.5 for r in mined([*bare, *twins], EIGHT))


def test_a_rule_that_contradicts_decisions_names_them():
    """One pair that meets the rule was said not to be the same."""
    events = [*HABIT, *(e for n in range(10, 60) for e in sale(n))]
    decisions = [*EIGHT, *(same(n) for n in range(10, 59)),
                 said(90, "not_same", "o59", "p59", recorded_at=NOW)]  # fmt: skip

    (rule,) = mined(events, decisions)

    assert (rule.support, rule.wrong, rule.contradicts) == (57, 1, (90,))


def test_what_it_would_do_today_is_told_with_the_money():
    """20.36 and 20.73 EUR would be matched; one order meets two payments and is asked."""
    more = [*sale(28), *sale(29), *sale(30)]
    again = payment("p30b", 1_000 + 37 * 30, description="RE-2030", event_ts=day(1))
    keys = ["o28", "p28", "o29", "p29", "o30", "p30", "p30b"]

    (rule,) = mined([*HABIT, *more, again], EIGHT, keys)

    assert (rule.matches, rule.asks) == (2, 1)
    assert rule.money == (("EUR", 2_036 + 2_073),)


def test_two_habits_are_two_rules():
    """Some payments name the invoice, others the order's own number."""
    other = [
        event
        for n in range(40, 48)
        for event in (
            order(f"o{n}", 5_000 + n, native_id=f"SO-77{n}"),
            payment(f"p{n}", 5_000 + n, description=f"SO-77{n}", event_ts=day(4)),
        )
    ]
    decisions = [*EIGHT, *(same(n) for n in range(40, 48))]

    found = mined([*HABIT, *other], decisions)

    assert sorted((r.words.split(",")[0], r.support) for r in found) == [
        ("description contains invoice_number", 8),
        ("description contains native_id", 8),
    ]


def test_the_same_decisions_give_the_same_rules():
    """Shuffled rows and threads change nothing."""
    first, second = mined(HABIT, EIGHT), mined(HABIT[::-1], EIGHT[::-1])

    assert [r.rule.text for r in first] == [r.rule.text for r in second]


def test_every_test_that_is_tried_can_be_said_in_words():
    """No two tests share a name, and none is empty."""
    tests = conjunctions.text_tests()
    names = [conjunctions.name_of([t]) for t in tests]

    assert all(names)
    assert len(set(tests)) == len(tests)


# --- through the workbench ------------------------------------------------------------------------
SHOP = """
[workspace]
name = "invoices"
currency = "EUR"
as_of = "2026-11-20T12:00:00Z"
[[sources]]
name = "shop"
feed = "table"
[sources.layout]
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "Id"
event_ts = "Day"
amount = "Total"
currency = { value = "EUR" }
[[sources]]
name = "bank"
feed = "table"
[sources.layout]
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "Id"
description = "Text"
event_ts = "Day"
amount = "Total"
currency = { value = "EUR" }
[[reconciliations]]
name = "invoices_to_bank"
left = { sources = ["shop"], types = ["order"] }
right = { sources = ["bank"], types = ["payment"] }
keys = ["transaction_id"]
[reconciliations.probable]
enabled = false
[governance]
approvals = ["data_owner"]
[governance.roles]
data_owner = ["bo"]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("invoices") / "shop"
    tmp_path.mkdir()
    (tmp_path / "recon.toml").write_text(SHOP, encoding="utf-8")
    numbers = range(1, 11)
    shop = "Id,Day,Total\n" + "".join(f"RE-20{n:02},2026-11-02,{100 + n}.00\n" for n in numbers)
    bank = "Id,Text,Day,Total\n" + "".join(
        f"b{n},paid RE-20{n:02},2026-11-03,{100 + n}.00\n" for n in numbers
    )
    opened = rk.Workbench(tmp_path, clock=lambda: NOW)
    for name, text in (("shop", shop), ("bank", bank)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        opened.ingest(name, tmp_path / f"{name}.csv")
    opened.reconcile()
    for n in range(1, 9):
        opened.decide(f"RE-20{n:02}", f"b{n}", "same", reviewer="ana")
    opened.reconcile()
    return tmp_path


@pytest.fixture
def bench(made, tmp_path, monkeypatch):
    """A workspace in which eight invoices were matched by hand and two are open."""
    monkeypatch.setenv("RECON_REVIEWER", "ana")
    return rk.Workbench(shutil.copytree(made, tmp_path / "shop"), clock=lambda: NOW)


def test_a_rule_goes_from_decisions_through_approval_into_the_next_run(bench):
    """Ana's eight decisions, Bo's approval: the last two orders are matched by the rule."""
    shown = bench.distil().frame.row(0, named=True)
    proposed = bench.propose_rules().frame
    before = bench.matches(method="learned").frame.height
    rule = proposed["content_hash"][0]
    with pytest.raises(GovernanceError, match=r"ana proposed .* and cannot approve it"):
        bench.approve(rule, by="ana")
    waiting = bench.promote(rule, by="cy").notes
    said = bench.approve(rule, by="bo").notes
    done = bench.promote(rule).notes
    bench.reconcile()

    assert (shown["support"], shown["would_match"], shown["money"]) == (8, 2, "219.00 EUR")
    assert (before, proposed["state"].to_list()) == (0, ["waiting"])
    assert waiting[1] == f"Next: `recon approve {rule[:12]} --by bo` (data owner)"
    assert said[1] == f"Next: `recon promote {rule[:12]}`"
    assert done[1] == "Next: `recon run`"
    assert sorted(bench.matches(method="learned").frame["left_ids"]) == ["RE-2009", "RE-2010"]
    assert bench.rules().frame["state"].to_list() == ["in force"]


def test_a_rule_is_proposed_once(bench):
    """Proposing again adds nothing; an unknown name says which there are."""
    bench.propose_rules()
    assert bench.propose_rules().frame.height == 1
    with pytest.raises(UnknownNameError, match="no distilled rule is called 'x'; known"):
        bench.propose_rules("x")


def test_the_review_screen_remembers(bench):
    """One key proposes the rule that explains most decisions, and says what it would do."""
    desk = bench.review().desk
    question = SimpleNamespace(reconciliation="invoices_to_bank")

    first, second = desk.remember(question), desk.remember(question)

    assert first.startswith("Proposed: description contains native_id, same amount")
    assert second.startswith("Proposed before")
