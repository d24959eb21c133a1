"""A late day: what nothing new has touched stands, and the rows are those of a full run."""

from __future__ import annotations

import os
from contextlib import ExitStack

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matching_world import COVERAGE, day, event, frame, order, payment, person, rec, said

from recon_kit import model
from recon_kit.ledger.engine import open_engine
from recon_kit.matching import carried, cascade, stored, touched
from recon_kit.matching.schedules import Lag

KEYS = ["order_id", "transaction_id", "invoice_number"]
BOTH_SIDES = ("shop", "stripe")
# Terms are known, as in every run but the first.
LAG = Lag("shop", "stripe", 0, 0, 86400, 86400, 86400, 86400, 1, 100)
MODEL = stored.write("orders_to_payments", stored.Trained(lags=(LAG,)))
TABLES = tuple(name for name in model.RUN_TABLES if name != "findings")


def put(engine, facts, who=(), decisions=()):
    """The views of a snapshot, over rows of which each has its `recorded_seq`."""
    newest = {e["event_key"]: e for e in sorted(facts, key=lambda e: e["recorded_seq"])}
    engine.put("told_all", frame(list(facts), model.EVENT_SCHEMA))
    engine.put("told_last", frame(list(newest.values()), model.EVENT_SCHEMA))
    engine.put("people_told", frame(list(who), model.WHO_SCHEMA))
    engine.put("decisions", frame(list(decisions), model.DECISION_SCHEMA))
    covered = [(source, day(-60), day(60), day(60)) for source in BOTH_SIDES]
    engine.put("coverage", pl.DataFrame(covered, schema=COVERAGE, orient="row"))
    files = [(f"f{n}", source, day(n), n) for n in (1, 2) for source in BOTH_SIDES]
    columns = ["sha256", "source", "received_at", "seq"]
    engine.put("artefacts", pl.DataFrame(files, schema=columns, orient="row"))
    engine.con.execute(
        """
create view events as from told_last; create view who as from people_told;
create view event_versions as from told_all;
create table retold (event_key varchar, artefact_sha256 varchar)"""
    )


def evaluate(engine, declared, earlier=None):
    context = cascade.MatchingContext(
        as_of=day(30), model=MODEL, normalisers={"shop": ("prefix:web-",), "stripe": ("case",)}
    )
    return cascade.reconcile(engine, declared, context, earlier)


def rows_of(engine):
    return {name: engine.rows(f"from out_{name} order by all") for name in TABLES}


TOLD_OF = (*model.CARRIED_TABLES, "open_items")  # what a late day reads of the run before


def late_and_full(
    first, later, declared, *, who=(), decisions=(), before=(), kept=TOLD_OF, gone=()
):
    """Rows of a late day and of a full run on the same facts, and what was matched again.

    `later` is told on the second day; `before` are the decisions of the first. Of its tables those
    that are not `kept` are empty on the second day, on which keys that are `gone` are told no more.
    """
    day_one = [{"recorded_seq": 1, "artefact_sha256": "f1"} | e for e in first]
    facts = [*day_one, *({"recorded_seq": 2, "artefact_sha256": "f2"} | e for e in later)]
    facts = [e for e in facts if e["event_key"] not in gone]
    with ExitStack() as opened:
        engines = [opened.enter_context(open_engine()) for _ in range(3)]
        put(engines[0], day_one, who, before)
        evaluate(engines[0], declared)
        for engine in engines[1:]:
            put(engine, facts, who, decisions)
        for table in TOLD_OF:
            run = engines[0].rows(f"select 'r1' as run_id, * from out_{table}")
            run = run if table in kept else run.clear()
            engines[1].put(table, run)
        keys = [k for d in (*before, *decisions) for k in (d["left_key"], d["right_key"]) if k]
        decided = pl.DataFrame({"event_key": keys}, schema={"event_key": pl.String})
        outcome = evaluate(engines[1], declared, touched.Earlier("r1", 1, decided))
        evaluate(engines[2], declared)
        return rows_of(engines[1]), rows_of(engines[2]), outcome.narrowed


def differing(found):
    """Tables in which a late day and a full run have other rows."""
    late, full, _ = found
    return [name for name in TABLES if late[name].rows() != full[name].rows()]


@pytest.fixture
def always_narrow(monkeypatch):
    """In worlds of a few events nearly all may be touched: they are narrowed all the same."""
    monkeypatch.setattr(carried, "AGAIN_SHARE_MAX", 1.0)


def pair(name, cents, **more):
    """An order and its payment, which share the order's id."""
    return [
        order(f"o{name}", cents, order_id=name, **more),
        payment(f"p{name}", cents, order_id=name, **more),
    ]


CALM = [e for n in range(40) for e in pair(f"calm-{n:03}", 1000 + 7 * n)]


def test_what_nothing_new_has_touched_is_not_matched_again():
    """Of 41 paid orders one gets a second payment: two events and the new one are looked at."""
    first = [*CALM, *pair("busy", 5000)]
    later = [payment("p2", 5000, order_id="busy")]

    found = late_and_full(first, later, rec(keys=KEYS))

    assert differing(found) == []
    assert str(found[2]) == "3 of 83 events were matched again"


def test_a_full_run_is_as_quick_where_most_has_changed():
    """Every order is told anew: nothing stands, and the record says so."""
    later = [e | {"status": "paid", "payload_hash": "x"} for e in CALM if e["source"] == "shop"]

    found = late_and_full(CALM, later, rec(keys=KEYS))

    assert differing(found) == []
    assert str(found[2]) == "in full: most events would be matched again"


# By neighbour, two days on which leaving it out gives other rows than a full run.
PAID_TWICE = [payment("p9", 1000, order_id="calm-000")]
NEIGHBOURS = {
    "keys": (CALM, PAID_TWICE, {}),
    # the payment moves to another order: its old one must be open again
    "match": (CALM, [payment("pcalm-000", 1000, order_id="elsewhere", payload_hash="x")], {}),
    # a dispute of a payment that stands in a match
    "parents": (
        [*CALM, *pair("disputed", 900, native_id="ch_1")],
        [payment("d1", -900, parent_key="ch_1") | {"event_type": "chargeback"}],
        {},
    ),
    # a second payment of the same amount, customer and second, without a key
    "alike": (
        [*CALM, *pair("twin", 900, ts_precision="second")],
        [payment("p9", 900, ts_precision="second")],
        {"who": [person("ptwin", "ana@example.com"), person("p9", "ana@example.com")]},
    ),
    # the memo of an open payment names an order that is paid: it names two, so it proves nothing
    "words": (
        [*CALM, order("open", 700, order_id="web-77", transaction_id="memo-1")],
        [payment("p9", 700, description="for memo-1 and calm-000")],
        {},
    ),
}


@pytest.mark.parametrize("name", [*touched.LINKS, *touched.ASKED])
def test_each_kind_of_neighbour_is_needed(name, monkeypatch):
    """With it the rows are those of a full run; without it they are not."""
    first, later, more = NEIGHBOURS[name]
    whole = late_and_full(first, later, rec(keys=KEYS), **more)
    others = [n for n in (*touched.LINKS, *touched.ASKED) if n != name]
    find = touched.find
    monkeypatch.setattr(touched, "find", lambda e, r, w: find(e, r, w, others))

    without = late_and_full(first, later, rec(keys=KEYS), **more)

    assert whole[2].why_not == ""
    assert differing(whole) == []
    assert differing(without) != []


def test_what_the_run_before_does_not_name_is_matched_again():
    """An open order of which it kept no open item finds its late payment all the same."""
    first = [*CALM, order("o9", 700, order_id="open-9")]
    later = [payment("p9", 700, order_id="open-9")]

    found = late_and_full(first, later, rec(keys=KEYS), kept=model.CARRIED_TABLES)

    assert differing(found) == []
    assert str(found[2]) == "2 of 82 events were matched again"


def test_an_event_that_is_gone_is_noticed():
    """A paid order that the ledger tells no more: nothing stands then, and the record says so."""
    found = late_and_full(CALM, [], rec(keys=KEYS), gone=["ocalm-001"])

    assert differing(found) == []
    assert str(found[2]) == "in full: events of the run before are gone"


ids = st.sampled_from(["a-1", "b-1", "c-1", "web-a-1", "A-1", None, None])
hours = st.sampled_from([0, 0, 1, 24])
cents = st.sampled_from([500, 900, 1400, 1000, None])
told = st.fixed_dictionaries({
    "key": st.integers(0, 7), "amount": cents, "order_id": ids, "transaction_id": ids,
    "invoice_number": ids, "hours": hours,
    "status": st.sampled_from([None, None, None, "voided"]),
    "ts_precision": st.sampled_from(["second", "day"]),
    "parent_key": st.sampled_from([None, None, "n-1", "n-2", "x-1"]),
    "external_ids": st.sampled_from([None, None, '{"object": "x-1"}']),
    "description": st.sampled_from([None, None, "order a-1", "b-1 and c-1", "calm-001"]),
    "shown": st.sampled_from([None, None, 900]),
    "currency": st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
    "fee": st.sampled_from([None, 30]), "refunded_amount": st.sampled_from([None, None, 0, 500]),
    "kind": st.sampled_from(
        ["order", "order", "order", "payment", "payment", "payment", "refund", "chargeback"]
    ),
})  # fmt: skip
telling = st.lists(told, max_size=9)
opinions = st.lists(
    st.tuples(
        st.sampled_from(["same", "not_same", "no_counterpart"]),
        st.integers(0, 7), st.integers(0, 7),
    ),
    max_size=2,
)  # fmt: skip


def events_of(rows, on_day):
    """Rows as events: one telling of each key a day; `n-1` is the name of every first key."""
    made = {}
    for row in rows:
        source = "shop" if row["kind"] == "order" else "stripe"
        key = f"{source}{row['key']}"
        more = {
            c: row[c]
            for c in (
                "order_id", "transaction_id", "invoice_number", "status", "ts_precision",
                "parent_key", "external_ids", "description", "currency", "fee", "refunded_amount",
            )
        }  # fmt: skip
        sign = -1 if row["kind"] in ("refund", "chargeback") else 1
        amount = None if row["amount"] is None else sign * row["amount"]
        event = order if source == "shop" else payment
        made[key] = event(key, amount, **more) | {
            "event_type": row["kind"], "native_id": f"n-{row['key']}",
            "event_ts": day(row["hours"] / 24), "payload_hash": f"{key} {on_day} {row}",
            "presentment_amount": row["shown"],
            "presentment_currency": None if row["shown"] is None else "EUR",
        }  # fmt: skip
    return list(made.values())


def words_of(opinions):
    return [
        said(seq, verdict, f"shop{left}", None if verdict == "no_counterpart" else f"stripe{right}")
        for seq, (verdict, left, right) in enumerate(opinions, 1)
    ]


WHO = [
    person(f"{source}{n}", f"{'ab'[n % 2]}@example.com", ("Ana Diaz", "Bo Lind", None)[n % 3])
    for source in BOTH_SIDES
    for n in range(8)
]


@pytest.mark.usefixtures("always_narrow")
@settings(
    max_examples=int(os.environ.get("RECON_EXAMPLES", "8")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    telling,
    telling,
    opinions,
    st.integers(0, 2),
    st.fixed_dictionaries(
        {
            "cardinality": st.sampled_from(
                ["one_to_one", "one_to_many", "many_to_one", "many_to_many"]
            ),
            "duplicates_within": st.sampled_from([None, "1h"]),
        }
    ),
)
def test_any_late_day_has_the_rows_of_a_full_run(first, later, opinions, known, more):
    """Splits, disputes, repaired keys, twins, mentions, restated rows, decisions, undone ones."""
    declared = rec(keys=KEYS, tolerance={"minor_units": 2}, **more)
    words = words_of(opinions)

    found = late_and_full(
        [*CALM[:12], *events_of(first, 1)],
        events_of(later, 2),
        declared,
        who=WHO,
        before=words[:known],
        decisions=words[max(0, known - 1) :],
    )

    assert found[2].why_not == ""
    assert differing(found) == []


def test_newer_records_of_customers_leave_what_stands_and_are_heard_for_what_is_open():
    """The CRM file of the second day names two addresses: what keys joined is not matched again,
    and the two open orders find their payments, as in a full run.
    """
    first = [
        *CALM,
        *(order(f"o{n}", 5000, customer_id=f"c{n}") for n in (1, 2)),
        *(payment(f"p{n}", 5000) for n in (1, 2)),
    ]
    records = [
        event(f"k{n}", "crm", "other", None, customer_id=f"c{n}", event_ts=None) for n in (1, 2)
    ]
    people = [person(f"{kind}{n}", f"{n}@example.com") for kind in ("p", "k") for n in (1, 2)]
    declared = rec(keys=KEYS, probable={"uncertified": "auto"}, customers=["crm"])

    found = late_and_full(first, records, declared, who=people)

    assert differing(found) == []
    assert str(found[2]) == "4 of 84 events were matched again"
    assert found[0]["matches"].filter(
        pl.col("method") == "probable"
    ).height == 2  # fmt: skip
