"""The cascade as a whole: promises that hold for every world, in any order, on any threads."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matching_world import (
    COVERAGE,
    day,
    event,
    frame,
    order,
    payment,
    person,
    rec,
    reconciled,
    said,
)  # fmt: skip

from recon_kit import model
from recon_kit.errors import MatchingError, UnknownNameError
from recon_kit.ledger.engine import Engine, Step, open_engine
from recon_kit.matching import cascade, exact, groups, pool, uneven
from recon_kit.matching.evidence import why
from recon_kit.matching.rules import Rule
from recon_kit.model import Certificate

TABLES = [name for name in model.RUN_TABLES if name != "findings"]


def test_tables_have_exactly_the_columns_of_a_run() -> None:
    """Every `out_*` table has the columns and types that the ledger stores, in order."""
    events = [order("o1", 100, order_id="1"), payment("p1", 60, order_id="1")]
    with reconciled(events) as world:
        for name in TABLES:
            found = world.engine.rows(f"from out_{name}")
            assert {c: str(t).replace("μs", "us") for c, t in found.schema.items()} == {
                c: str(t).replace("μs", "us") for c, t in model.RUN_TABLES[name].items()
            }, name


def test_a_world_without_events_gives_empty_tables() -> None:
    """No source has told anything: nothing is matched, nothing is open, nothing fails."""
    with reconciled([]) as world:
        assert world.outcome.tables == dict.fromkeys(TABLES, 0)
    with reconciled([], rec(probable={"enabled": True})) as world:
        assert world.outcome.tables == dict.fromkeys(TABLES, 0)


def test_the_outcome_counts_methods_and_states() -> None:
    """The record says what came of the evaluation, without its rows."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1"), order("o2", 5)]
    with reconciled(events) as world:
        outcome = world.outcome
        assert outcome.methods.rows() == [("exact", "auto", 1)]
        assert outcome.states.rows() == [("left", "overdue", 1)]
        assert outcome.tables["match_members"] == 2
        assert outcome.trail[0].name == "pool"


def test_steps_can_be_read_before_they_run() -> None:
    """Every step has a name, a reason and its SQL, and prints as SQL."""
    declared = rec()
    steps = [
        *pool.steps(declared), *exact.first_steps(declared, 0, "order_id"),
        *groups.steps(declared, "order_id"), *uneven.row_steps(declared),
    ]  # fmt: skip
    for step in steps:
        assert str(step).startswith(f"-- {step.name}: {step.why}\n")
        assert step.sql.strip()
    assert len({s.name for s in steps}) == len(steps)


def test_a_moment_without_a_zone_is_refused() -> None:
    """What is in flight depends on an instant."""
    with (
        pytest.raises(MatchingError, match="as_of needs a time zone"),
        reconciled([], as_of=day(0).replace(tzinfo=None)),
    ):
        pass


def test_a_broken_promise_is_an_error_that_names_it() -> None:
    """If the tables contradicted themselves nobody would be allowed to read them."""
    events = [
        order("o1", 100, order_id="1"), payment("p1", 60, order_id="1"),
        payment("p2", 40, order_id="1"), order("o2", 5, order_id="2"),
        payment("p3", 5, order_id="2"),
    ]  # fmt: skip
    broken = {
        "an event stands in more than one match": "insert into larger_heads from larger_heads",
        "event stands in more than one": "insert into more_pairs from live_pairs",
        "two matches have one identity": "update larger_heads set match_id = (select match_id"
        " from heads where mid not in (select mid from larger_heads))",
        "do not add up to its sum": "update whole_members set allocated = 41"
        " where event_key = 'p2'",
        "or it has none": "delete from whole_members where side = 0",
    }
    for message, harm in broken.items():
        with reconciled(events) as world:
            world.engine.run(Step("harm", harm))
            with pytest.raises(MatchingError, match=message):
                cascade.check(world.engine, rec())


# --- Promises for every world -------------------------------------------------------------------
KEYS = st.sampled_from(["a", "b", None])
AMOUNTS = st.sampled_from([40, 60, 100, -40, None])
CURRENCIES = st.sampled_from(["EUR", "EUR", "USD"])
CARDINALITIES = st.sampled_from(["one_to_one", "one_to_many", "many_to_one", "many_to_many"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Up to ten events that share few keys and few amounts, and decisions: everything collides."""
    events = []
    for side, make, most in (("o", order, 4), ("p", payment, 4)):
        for i in range(draw(st.integers(0, most))):
            shown = draw(st.booleans())
            amount = draw(AMOUNTS)
            events.append(make(
                f"{side}{i}", amount, order_id=draw(KEYS), transaction_id=draw(KEYS),
                currency=draw(CURRENCIES), event_ts=day(draw(st.integers(0, 50))),
                presentment_amount=amount if shown else None,
                presentment_currency="GBP" if shown else None,
            ))  # fmt: skip
    events += [
        event(f"r{i}", "stripe", "refund", -10, order_id=draw(KEYS))
        for i in range(draw(st.integers(0, 2)))
    ]
    decisions = [
        said(seq, draw(st.sampled_from(["same", "not_same", "no_counterpart"])),
             f"o{draw(st.integers(0, 3))}", f"p{draw(st.integers(0, 3))}")
        for seq in range(draw(st.integers(0, 2)))
    ]  # fmt: skip
    return events, decisions, draw(CARDINALITIES)


def evaluate(
    engine: Engine, events: list[dict[str, Any]], cardinality: str, who: list[dict[str, Any]],
    decisions: list[dict[str, Any]] | None = None,
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """All tables of one evaluation, sorted."""
    engine.put("events", frame(events, model.EVENT_SCHEMA))
    engine.put("who", frame(who, model.WHO_SCHEMA))
    engine.put("decisions", frame(decisions or [], model.DECISION_SCHEMA))
    covered = [("shop", day(-60), day(60), day(60)), ("stripe", day(-60), day(60), day(60))]
    engine.put("coverage", pl.DataFrame(covered, schema=COVERAGE, orient="row"))
    declared = rec(cardinality=cardinality, keys=["order_id", "transaction_id"])
    cascade.reconcile(engine, declared, cascade.MatchingContext(as_of=day(30)))
    return {name: engine.rows(f"from out_{name} order by all") for name in TABLES}


def members_of(tables: dict[str, pl.DataFrame]) -> dict[str, list[dict[str, Any]]]:
    """Members by match."""
    found = defaultdict(list)
    for row in tables["match_members"].iter_rows(named=True):
        found[row["match_id"]].append(row)
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.randoms(use_true_random=False))
def test_no_event_is_used_twice_and_no_cent_is_invented(
    world: tuple[list[dict[str, Any]], list[dict[str, Any]], str], shuffle: random.Random
) -> None:
    """By brute force over the events themselves, and the same from shuffled input."""
    events, decisions, cardinality = world
    people = [person(e["event_key"], f"{e['amount']}@x.io") for e in events]
    with open_engine(threads=2) as engine:
        tables = evaluate(engine, events, cardinality, people, decisions)
        mixed = shuffle.sample(events, len(events))
        again = evaluate(engine, mixed, cardinality, people[::-1], decisions[::-1])
    for name in TABLES:
        assert tables[name].equals(again[name]), name
    by_key = {e["event_key"]: e for e in events}
    used = Counter(tables["match_members"]["event_key"].to_list())
    assert set(used.values()) <= {1}
    lone = tables["open_items"].filter(pl.col("match_id").is_null())["event_key"].to_list()
    out = _excused(decisions, by_key)
    sides = {k for k in by_key if k[0] in "op"} - out
    assert not out & set(used)
    assert sorted([*lone, *used]) == sorted([*sides, *(k for k in (*lone, *used) if k[0] == "r")])
    barred = {(d["left_key"], d["right_key"]) for d in _latest(decisions, by_key)
              if d["verdict"] == "not_same"}  # fmt: skip
    for members in members_of(tables).values():
        keys = {m["event_key"] for m in members}
        assert not any(left in keys and right in keys for left, right in barred) or any(
            m["key_used"] == "decision" for m in members
        )
    for match in tables["matches"].iter_rows(named=True):
        _check_match(match, members_of(tables)[match["match_id"]], by_key, cardinality)


def _latest(
    decisions: list[dict[str, Any]], by_key: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The latest word on each pair, of events that are there."""
    words = {(d["left_key"], d["right_key"]): d for d in decisions}
    return [d for d in words.values() if {d["left_key"], d["right_key"]} <= set(by_key)]


def _excused(decisions: list[dict[str, Any]], by_key: dict[str, dict[str, Any]]) -> set[str]:
    """Events that the one person took out, and did not give a counterpart to later.

    A change of mind holds even where the counterpart that it named is told no more.
    """
    last = {(d["left_key"], d["right_key"]): d for d in decisions}.values()
    named = [d for d in last if d["verdict"] == "same"]
    return {k for d in _latest(decisions, by_key) if d["verdict"] == "no_counterpart"
            for k in (d["left_key"], d["right_key"])
            if not any(n["seq"] > d["seq"] and (n["left_key"] == d["left_key"]
                                                or n["right_key"] == d["right_key"])
                       for n in named)}  # fmt: skip


def _check_match(
    match: dict[str, Any], members: list[dict[str, Any]], by_key: dict[str, dict[str, Any]],
    cardinality: str,
) -> None:  # fmt: skip
    counted = [m for m in members if m["counts"]]
    sides = Counter(m["side"] for m in counted)
    assert match["match_id"] == model.match_id(
        "orders_to_payments", [m["event_key"] for m in members]
    )
    decided = match["method"] == "decided"
    assert decided or sides["left"] <= (1 if cardinality.startswith("one") else 99)
    assert decided or sides["right"] <= (1 if cardinality.endswith("one") else 99)
    for member in counted:
        told = by_key[member["event_key"]]
        own = told["amount"] if told["currency"] == match["currency"] else None
        shown = told["presentment_amount"] if match["currency"] == "GBP" else None
        assert member["allocated_minor"] in (own, shown, None)
    for side in ("left", "right"):
        allocated = [m["allocated_minor"] for m in counted if m["side"] == side]
        known = [a for a in allocated if a is not None]
        assert match[f"{side}_sum"] == (sum(known) if known else None)
    shared = [{by_key[m["event_key"]][k] for k in ("order_id", "transaction_id")} - {None}
              for m in counted]  # fmt: skip
    assert decided or all(a | b for a, b in pairwise(shared))


def test_threads_and_order_of_rows_change_nothing() -> None:
    """Three thousand events with collisions of every kind, on one thread and on two."""
    dice = random.Random(7)  # noqa: S311 - a seeded world, no secret
    events = []
    for i in range(900):
        key, amount = (
            f"k{dice.randrange(600)}",
            dice.choice([1000, 2500, 4000, dice.randrange(9999)]),
        )
        events.append(order(f"o{i}", amount, order_id=key, event_ts=day(dice.randrange(60))))
        events += [
            payment(
                f"p{i}.{part}", dice.choice([amount, amount // 2, 1000]), native_id=f"n{i}.{part}",
                order_id=key if dice.random() < 0.8 else None, event_ts=day(dice.randrange(60)),
            )
            for part in range(dice.choice([0, 1, 1, 1, 2, 3]))
        ]  # fmt: skip
        if dice.random() < 0.1:
            events.append(event(f"r{i}", "stripe", "refund", -5, parent_key=f"n{i}.0"))
    people = [person(e["event_key"], f"c{dice.randrange(400)}@x.io") for e in events]
    results = []
    for threads in (1, 2):
        dice.shuffle(events)
        with open_engine(threads=threads) as engine:
            results.append(evaluate(engine, events, "one_to_many", people))
    for name in TABLES:
        assert results[0][name].equals(results[1][name]), name
    assert results[0]["matches"].height > 150


# --- Scored pairs inside the cascade ------------------------------------------------------------
def drifted(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Orders and payments of the same people that no key joins."""
    dice = random.Random(3)  # noqa: S311 - a seeded world, no secret
    events, who = [], []
    for i in range(count):
        amount, when = dice.randrange(500, 90_000), dice.random() * 40
        mail, name = f"customer{i}@mail.io", f"Given{i} Family{i * 7}"
        events += [order(f"o{i:04}", amount, event_ts=day(when)),
                   payment(f"p{i:04}", amount, event_ts=day(when + 0.05))]  # fmt: skip
        who += [person(f"o{i:04}", mail, name), person(f"p{i:04}", mail, name)]
    return events, who


def test_scored_pairs_are_questions_until_somebody_lets_them_be_matches() -> None:
    """Uncertified: proposals that reserve nothing. Allowed: matches with their evidence."""
    events, who = drifted(150)
    declared = rec(cardinality="one_to_one", probable={"enabled": True})
    with reconciled(events, declared, who=who) as world:
        assert world.outcome.tables["matches"] == 0
        proposed = world.rows("select count(*), min(why_code) from out_proposals")[0]
        assert proposed[0] >= 140
        assert proposed[1] == "uncertified"
        assert world.rows("select distinct state from out_open_items") == [("proposed",)]
        model_found = world.outcome.model
        assert model_found is not None
    allowed = rec(cardinality="one_to_one", probable={"enabled": True, "uncertified": "auto"})
    with reconciled(events, allowed, who=who, model=model_found) as world:
        assert world.outcome.methods.rows()[0][:2] == ("probable", "auto")
        assert world.outcome.tables["matches"] >= 140
        assert world.rows(
            "select count(*) from out_matches anti join out_pair_evidence using (match_id)"
        ) == [(0,)]
        assert world.rows("select distinct model_hash from out_matches") == [
            (model_found.model_hash,)
        ]
        wrong = world.rows(
            "select count(*) from out_pair_evidence where left_key[2:] <> right_key[2:]"
        )
        assert wrong == [(0,)]


def test_what_was_only_scored_is_not_held_to_the_end() -> None:
    """After a run neither pairs that were only weighed nor the rows they came from take room."""
    events, who = drifted(60)
    with reconciled(events, rec(probable={"enabled": True}), who=who) as world:
        held = set(world.engine.rows("select table_name from duckdb_tables()")["table_name"])

    assert world.outcome.tables["proposals"] > 0
    assert held & {
        "side_left", "side_right", "candidate_pairs", "scored_pairs", "assigned_pairs",
        "trusted_pairs", "likely_money", "open_left", "open_right", "open_wide", "said",
    } == set()  # fmt: skip


@pytest.mark.parametrize(("presented", "columns"), [(None, 0), (900, 2)])
def test_presented_amounts_take_room_only_where_one_is_told(
    presented: int | None, columns: int
) -> None:
    """The pool has the columns of its description either way, and keeps them where any is told."""
    told = {"presentment_amount": presented, "presentment_currency": presented and "EUR"}
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1") | told]
    with reconciled(events) as world:
        kept = world.engine.rows("from pool_rows limit 0").columns
        seen = world.engine.rows("select * from pool order by event_key")

    assert len({"shown", "shown_currency"} & set(kept)) == columns
    assert ", ".join(seen.columns) == pool.COLUMNS + ", k0, t0, refunded"
    assert seen["shown"].to_list() == [None, presented]


@pytest.mark.parametrize(("attach", "kept"), [(["refund"], [25, None]), ([], [None, None])])
def test_refunded_amounts_take_room_only_where_refunds_are_attached(
    attach: list[str], kept: list[int | None]
) -> None:
    """What a column says was refunded is compared with refunds, and with nothing else."""
    events = [order("o1", 100, order_id="1", refunded_amount=25),
              payment("p1", 100, order_id="1")]  # fmt: skip
    with reconciled(events, rec(attach=attach)) as world:
        columns = world.engine.rows("from pool_rows limit 0").columns
        seen = world.engine.rows("select * from pool order by event_key")

    assert ("refunded" in columns) == bool(attach)
    assert seen["refunded"].to_list() == kept


def test_a_payment_of_the_next_purchase_closes_no_order_by_itself() -> None:
    """Same customer, same hour, another amount: a person is asked, however sure the model is."""
    events, who = drifted(150)
    mail, name = "twice@mail.io", "Anna Twice"
    events += [order("o9998", 1_107, event_ts=day(3)), payment("p9999", 47_999, event_ts=day(3.1))]
    who += [person("o9998", mail, name), person("p9999", mail, name)]
    allowed = rec(probable={"enabled": True, "uncertified": "auto"})
    with reconciled(events, allowed, who=who) as world:
        matched = world.rows(
            "select count(*) from out_match_members where event_key in ('o9998', 'p9999')"
        )
        asked = world.rows("select right_key, why_code from out_proposals where left_key = 'o9998'")
        assert world.outcome.tables["matches"] >= 140

    assert matched == [(0,)]
    assert asked == [("p9999", "amounts_differ")]


def test_a_certificate_lets_pairs_be_matches_and_is_named_on_each() -> None:
    """Its threshold and margin count, for the model it speaks of and until it expires."""
    events, who = drifted(150)
    declared = rec(cardinality="one_to_one", probable={"enabled": True})
    with reconciled(events, declared, who=who) as world:
        found = world.outcome.model
        assert found is not None
        scores = dict(world.rows("select left_key, confidence from out_proposals"))
    cut = sorted(scores.values())[len(scores) // 2]
    held = Certificate(
        certificate_id="c1", reconciliation=declared.name, method="probable",
        model_hash=found.model_hash, threshold=cut, margin=0.0, fmr_max=0.02, confidence=0.95,
        labels=149, expires_at=day(60),
    )  # fmt: skip
    with reconciled(events, declared, who=who, model=found, certificates=(held,)) as world:
        assert world.rows("select distinct certificate_id, method from out_matches") == [
            ("c1", "probable")
        ]
        assert world.outcome.tables["matches"] == sum(s >= cut for s in scores.values())
        below = world.rows("select distinct why_code from out_proposals")
        assert below in ([("below_floor",)], [])
    late = replace(held, expires_at=day(30))
    with reconciled(events, declared, who=who, model=found, certificates=(late,)) as world:
        assert world.outcome.tables["matches"] == 0


def every_method() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """An island of events for each method, days apart; and people who share amounts by twos."""
    events = [
        order("o_said", 900, event_ts=day(30)), payment("p_said", 777, event_ts=day(30)),
        order("o_key", 5_000, order_id="k1", event_ts=day(31)),
        payment("p_key1", 3_000, order_id="k1", event_ts=day(31)),
        payment("p_key2", 2_000, order_id="k1", event_ts=day(33)),
        order("o_rule", 100, customer_id="RE-2041", event_ts=day(34)),
        payment("p_rule", 99, description="for RE-2041", event_ts=day(34)),
        order("o_near", 123_457, event_ts=day(36)), payment("p_near", 123_457, event_ts=day(36.1)),
        order("o_run", 97_023, event_ts=day(38)),
        *(payment(f"p_run{i}", v, event_ts=day(38 + i / 50))
          for i, v in enumerate((40_018, 35_220, 61_803, 9_951))),
        order("o_set", 111_871, event_ts=day(40)),
        *(payment(f"p_set{i}", v, event_ts=day(40 + i / 50))
          for i, v in enumerate((40_117, 35_220, 61_803, 27_719, 9_951))),
    ]  # fmt: skip
    dice = random.Random(3)  # noqa: S311 - a seeded world, no secret
    who = []
    for i in range(160):
        if i % 2 == 0:
            amount, when = dice.randrange(500, 90_000), dice.random() * 25
        mail, name = f"customer{i}@mail.io", f"Given{i} Family{i * 7}"
        events += [order(f"o{i:04}", amount, event_ts=day(when)),
                   payment(f"p{i:04}", amount, event_ts=day(when + 0.05))]  # fmt: skip
        who += [person(f"o{i:04}", mail, name), person(f"p{i:04}", mail, name)]
    return events, who


def test_every_method_fires_and_threads_and_order_change_nothing() -> None:
    """Each method makes its match, and all tables are the same from shuffled events."""
    events, who = every_method()
    alone = {"enabled": True, "uncertified": "auto"}
    declared = rec(
        keys=["order_id"], window={"before": "0h", "after": "6h"}, window_method=alone,
        grouped=alone, probable=alone, decomposed=alone,
    )  # fmt: skip
    named = Rule.model_validate({
        "name": "customer_in_text", "reconciliation": declared.name,
        "created": day(0), "expires": day(90), "conditions": [
            {"test": "contains", "left": "customer_id", "right": "description", "within": "right"},
            {"test": "amount", "minor_units": 2},
        ],
    })  # fmt: skip
    dice = random.Random(5)  # noqa: S311 - a fixed shuffle, no secret
    results = []
    for threads in (1, 2):
        with reconciled(
            events, declared, who=who, decisions=[said(1, "same", "o_said", "p_said")],
            rules=(named,), threads=threads,
        ) as world:  # fmt: skip
            results.append({n: world.engine.rows(f"from out_{n} order by all") for n in TABLES})
            methods = {m: n for m, _, n in world.outcome.methods.rows()}
            groups = [g for g in world.groups() if "_" in g]
        dice.shuffle(events)
        dice.shuffle(who)
    for name in TABLES:
        assert results[0][name].equals(results[1][name]), name
    assert groups == [
        "o_key+p_key1+p_key2", "o_near+p_near", "o_rule+p_rule", "o_run+p_run1+p_run2",
        "o_said+p_said", "o_set+p_set0+p_set2+p_set4",
    ]  # fmt: skip
    assert set(methods) == set(model.METHODS)
    assert methods["probable"] >= 140


# --- Why ----------------------------------------------------------------------------------------
def test_why_tells_match_members_and_reason() -> None:
    """A matched, an attached, an open and an outside event, each in one sentence."""
    events = [
        order("o1", 100, order_id="1"), payment("p1", 100, order_id="1", native_id="n1"),
        event("r1", "stripe", "refund", -5, parent_key="n1"), order("o2", 7, order_id="2"),
        event("x1", "stripe", "payout", 95),
    ]  # fmt: skip
    with reconciled(events) as world:
        told = {k: why(world.engine, k) for k in ("o1", "r1", "o2", "x1")}
        assert [(k, w.standing, w.sentence) for k, w in told.items()] == [
            ("o1", "matched", "exact match as principal, joined by order_id; auto"),
            ("r1", "attached", "exact match as refund, joined by parent_key; auto"),
            (
                "o2",
                "open",
                (
                    "overdue: no payment carries order id 2; nothing open comes near by amount or "
                    "customer"
                ),
            ),
            (
                "x1",
                "outside",
                "stands on neither side, is a test event, or was taken out by a decision",
            ),
        ]
        assert told["r1"].members["event_key"].to_list() == ["o1", "p1", "r1"]
        with pytest.raises(UnknownNameError, match="no event is called 'zz'"):
            why(world.engine, "zz")


def test_why_says_that_a_match_waits_above_the_limit() -> None:
    """A review without a disagreement is a sign-off."""
    events = [order("o1", 101, order_id="1"), payment("p1", 101, order_id="1")]
    with reconciled(events, rec(sign_off_over={"EUR": "1.00"})) as world:
        assert why(world.engine, "p1").sentence == (
            "exact match as part, joined by order_id; review, above the sign-off limit"
        )


def test_proposals_go_when_an_event_finds_its_match() -> None:
    """An ambiguous pair is no question any more when a decision has settled one of its events."""
    events = [order("o1", 100, order_id="1"), order("o2", 100, order_id="1"),
              payment("p1", 100, order_id="1"), payment("p2", 100, order_id="1")]  # fmt: skip
    with reconciled(
        events, rec(cardinality="one_to_one"), decisions=[said(1, "same", "o1", "p2")]
    ) as world:
        assert world.groups() == ["o1+p2", "o2+p1"]
        assert world.outcome.tables["proposals"] == 0
