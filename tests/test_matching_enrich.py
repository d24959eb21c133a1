"""Customers' records: what they add to an event, what they never do, and what is said of it."""

from __future__ import annotations

import json
import random

import pytest
from matching_world import day, event, order, payment, rec, reconciled

from recon_kit.matching import enrich, stored
from recon_kit.matching.customers import customer
from recon_kit.settings import Customers

ALONE = {"enabled": True, "uncertified": "auto"}


def contact(key, customer_id, source="crm", **more):
    """A row of the CRM: no money, no time."""
    return event(key, source, "other", None, customer_id=customer_id, event_ts=None, **more)


def who(key, **fields):
    return {"event_key": key, **fields}


def shop(*customers, **more):
    return rec(probable=ALONE, cardinality="one_to_one", customers=list(customers), **more)


# Two orders of 50.00 on one day that name their customers, and two payments a day later.
TWO = [
    order("o1", 5000, customer_id="c1"),
    order("o2", 5000, customer_id="c2"),
    payment("p1", 5000, event_ts=day(1)),
    payment("p2", 5000, event_ts=day(1)),
    contact("k1", "c1"),
    contact("k2", "c2"),
]
ANA, BO = "ana.diaz@example.com", "bo.chen@example.com"
PAYERS = [who("p1", email=ANA), who("p2", email=BO)]
RECORDS = [who("k1", email=ANA, customer_name="Ana Diaz"), who("k2", email=BO)]


def level(world, comparison="customer"):
    """The level of one comparison of each kept pair, in order of left and right key."""
    rows = world.rows("select levels from out_pair_evidence order by left_key, right_key")
    return [json.loads(levels).get(comparison) for (levels,) in rows]


def told(world, columns="event_key, email, email_from"):
    return world.rows(f"select {columns} from enriched order by event_key")


def test_two_equal_orders_are_told_apart_by_their_customers_records():
    """Without the CRM nothing tells which payment is whose; with it both stand, and say why."""
    with reconciled(TWO, shop(), who=PAYERS + RECORDS) as world:
        assert world.groups() == []
        assert world.rows("select distinct why_code from out_proposals") == [("ambiguous",)]
    with reconciled(TWO, shop("crm"), who=PAYERS + RECORDS) as world:
        assert world.groups() == ["o1+p1", "o2+p2"]
        assert level(world) == ["same e-mail (e-mail of shop from crm)"] * 2
        assert world.outcome.notes[0] == (
            "crm: 2 open events told more by the customer's record (e-mail 2, name 1)"
        )


def test_what_an_event_tells_itself_goes_before_its_customers_record():
    """Order o1 was placed with another address; the name that it lacks comes from the record."""
    own = who("o1", email="diaz.family@example.com", phone=" ")
    payers = [who("p1", email="diaz.family@example.com"), PAYERS[1]]
    with reconciled(TWO, shop("crm"), who=[*payers, *RECORDS, own]) as world:
        assert told(world, "event_key, email, email_from, customer_name, name_from, phone") == [
            ("o1", None, None, "Ana Diaz", "crm", None),
            ("o2", BO, "crm", None, None, None),
        ]
        assert world.groups() == ["o1+p1", "o2+p2"]
        assert level(world) == ["same e-mail", "same e-mail (e-mail of shop from crm)"]


def test_a_source_that_contradicts_itself_says_nothing_and_the_next_is_heard():
    """Two records of c1 name two addresses but one name in two spellings; the till knows more."""
    events = [*TWO, contact("k3", "c1"), contact("t1", "c1", "till"), contact("t2", "c2", "till")]
    records = [
        who("k1", email="ana@example.com", customer_name="Ana Díaz"),
        who("k3", email=ANA, customer_name="DIAZ, Ana"),
        who("k2", email=BO),
        who("t1", email=ANA, phone="+49 30 1234567"),
        who("t2", email="not@heard.example", postcode="D-10115"),
    ]
    with reconciled(events, shop("crm", "till"), who=PAYERS + records) as world:
        columns = "event_key, email, email_from, customer_name, phone, phone_from, postcode_from"
        assert told(world, columns) == [
            ("o1", ANA, "till", "Ana Díaz", "+49 30 1234567", "till", None),
            ("o2", BO, "crm", None, None, None, "till"),
        ]


def test_an_address_that_is_none_is_not_heard():
    """`unknown` under E-mail in the CRM is no address; a phone of three digits is no phone."""
    records = [who("k1", email="unknown", phone="110"), who("k2", email=BO)]
    with reconciled(TWO, shop("crm"), who=PAYERS + records) as world:
        assert told(world) == [("o1", None, None), ("o2", BO, "crm")]


def test_what_both_sides_take_from_one_record_is_no_evidence():
    """Order and payment name customer c1 and tell nothing: the record would agree with itself."""
    events = [
        order("o1", 5000, customer_id="c1"),
        payment("p1", 5000, customer_id="c1", event_ts=day(1)),
        contact("k1", "c1"),
    ]
    with reconciled(events, shop("crm"), who=RECORDS[:1]) as world:
        assert [row[0] for row in told(world)] == ["o1", "p1"]
        assert level(world) == [None]
        with_record = world.rows("select weight from out_pair_evidence")
    with reconciled(events, shop(), who=RECORDS[:1]) as world:
        assert world.rows("select weight from out_pair_evidence") == with_record


def test_where_both_name_a_customer_only_their_own_facts_are_compared():
    """The payment's own address is that of c1's record, which the order names too: not told.

    Their own names agree, and that counts as it does without any record.
    """
    events = [
        order("o1", 5000, customer_id="c1"),
        payment("p1", 5000, customer_id="c1", event_ts=day(1)),
        contact("k1", "c1"),
    ]
    own = [who("o1", customer_name="Ana Diaz"), who("p1", customer_name="Ana Diaz", email=ANA)]
    with reconciled(events, shop("crm"), who=[*RECORDS[:1], *own]) as world:
        assert level(world) == ["same name, an e-mail not told"]


def test_a_household_that_shares_an_address_is_not_joined_by_two_records():
    """c1 and c2 share a mailbox: what one ordered and the other paid is not even looked at."""
    events = [
        order("o1", 5000, customer_id="c1"),
        payment("p2", 4100, customer_id="c2", event_ts=day(9)),
        contact("k1", "c1"),
        contact("k2", "c2"),
    ]
    home = [who("k1", email="home@example.com"), who("k2", email="home@example.com")]
    found = []
    for customers in (("crm",), ()):
        with reconciled(events, shop(*customers), who=home) as world:
            assert world.groups() == []
            found.append(world.rows("select left_key, right_key, confidence from out_proposals"))
    assert found == [[], []]


def test_ids_of_another_system_are_not_looked_up():
    """The processor counts its customers as well: its customer 1 is not the shop's."""
    events = [
        order("o1", 5000, customer_id="1"),
        payment("p1", 5000, customer_id="1", event_ts=day(1)),
        contact("k1", "1"),
    ]
    known = {"sources": ["crm"], "of": ["shop"]}
    ours = rec(probable=ALONE, cardinality="one_to_one", customers=known)
    with reconciled(events, ours, who=[*RECORDS[:1], who("p1", email=ANA)]) as world:
        assert told(world) == [("o1", ANA, "crm")]
        assert level(world) == ["same e-mail (e-mail of shop from crm)"]


def test_guests_and_tests_are_nobodys_customers():
    """A customer id of `n/a` names nobody, and a test record tells nothing."""
    events = [
        order("o1", 5000, customer_id="n/a"),
        order("o2", 5000, customer_id="c2"),
        payment("p1", 5000, event_ts=day(1)),
        contact("k1", "n/a"),
        contact("k2", "c2", test=True),
    ]
    with reconciled(events, shop("crm"), who=PAYERS + RECORDS) as world:
        assert told(world) == []
        assert (
            world.outcome.notes[0]
            == "crm tells nothing more of the 1 open event that name customers"
        )


@pytest.mark.parametrize("record", [None, "someone.else@example.com"])
def test_a_record_that_is_wrong_vetoes_no_match_by_key(record):
    """Order 1001 was underpaid weeks late: were the customer another one, the key would be doubted.

    The order tells no customer itself, so nothing contradicts the key, whatever the CRM says.
    """
    events = [
        order("o1", 5000, order_id="1001", customer_id="c1"),
        payment("p1", 1200, order_id="1001", event_ts=day(45)),
        contact("k1", "c1"),
    ]
    people = [who("p1", email=ANA), who("k1", email=record)]
    with reconciled(events, shop("crm"), who=people) as world:
        assert world.matches("method", "residual_minor") == [("exact", 3800)]


def test_the_order_of_rows_and_the_number_of_threads_change_nothing():
    """Shuffled records at one and two threads tell the same."""
    events = [*TWO, contact("k3", "c1"), contact("k4", "c2"), contact("t1", "c1", "till")]
    people = [
        *PAYERS, *RECORDS, who("k3", email=ANA, customer_name="Diaz Ana"),
        who("k4", email="BO.CHEN@example.com", phone="030 1234567"), who("t1", phone="030 7654321"),
    ]  # fmt: skip
    found = set()
    for seed in range(4):
        shuffled = random.Random(seed)  # noqa: S311 - an order that is the same in every run
        shuffled.shuffle(events)
        shuffled.shuffle(people)
        with reconciled(events, shop("crm", "till"), who=people, threads=1 + seed % 2) as world:
            evidence = world.rows("from out_pair_evidence order by all")
            found.add(str((told(world, "*"), evidence, world.outcome.notes)))
    assert len(found) == 1


def test_records_are_read_only_with_a_model_that_was_learned_with_them():
    """A model that learned without the CRM knows no odds for its addresses, and one that learned
    with it is not handed those of another source.
    """
    with reconciled(TWO, shop(), who=PAYERS + RECORDS) as world:
        without = world.outcome.model
    with reconciled(TWO, shop("crm"), who=PAYERS + RECORDS) as world:
        learned = world.outcome.model
    with reconciled(TWO, shop("crm"), who=PAYERS + RECORDS, model=without) as world:
        assert [note for note in world.outcome.notes if "crm" in note] == []
        assert world.groups() == []
    with reconciled(TWO, shop("crm"), who=PAYERS + RECORDS, model=learned) as world:
        assert world.groups() == ["o1+p1", "o2+p2"]
        assert world.outcome.model == learned

    assert stored.read(without).customers == Customers()
    assert stored.read(learned).customers == Customers(sources=("crm",))
    assert '"customers"' not in without.json


def test_ladders_are_left_alone_where_no_record_is_read():
    """Names, labels and odds of a guarded ladder are those of the plain one."""
    plain = customer({"email", "name", "phone", "postcode"})
    (guarded,) = enrich.guarded([plain], Customers(sources=("crm",)))

    assert enrich.guarded([plain], Customers()) == (plain,)
    assert [(v.label, v.m, v.u, v.key) for v in guarded.levels] == [
        (v.label, v.m, v.u, v.key) for v in plain.levels
    ]
    assert "l.named and r.named" in guarded.null_sql
