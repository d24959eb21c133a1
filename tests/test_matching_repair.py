"""Keys that say the same in another spelling or by another row; ids that must not be trusted."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_world import day, event, frame, order, payment, person, rec, reconciled, said
from pydantic import ValidationError

from recon_kit import model
from recon_kit.matching import cascade, spelling
from recon_kit.settings import KEY_NORMALISERS, Source

ONE = rec(cardinality="one_to_one")
ANA, BOB = ("ana@x.io", "Ana Diaz"), ("bob@y.io", "Bob Lee")


def used(world):
    """How each match was joined."""
    return [r[0] for r in world.rows(
        "select distinct key_used from out_match_members order by key_used")]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "theirs", "told"),
    [
        (("zero_padding",), "0001001", "order_id (zero padding)"),
        (("hash",), "##1001", "order_id (hash)"),
        (("prefix:ORD-",), "ORD-1001", "order_id (prefix)"),
        (("suffix:/EU",), "1001/EU", "order_id (suffix)"),
        (("prefix:ord", "dashes", "zero_padding"), "ord\u20130-01001", None),
        (("dashes",), "10\u201301", "order_id (dashes)"),
    ],
)
def test_a_declared_spelling_joins_and_says_how(declared, theirs, told):
    """The processor writes 1001 its own way; declared, it is the shop's 1001."""
    events = [order("o1", 100, order_id="1001"), payment("p1", 100, order_id=theirs)]
    with reconciled(events, normalisers={"stripe": declared}) as world:
        assert used(world) == [told or "order_id (dashes, prefix, zero padding)"]
        assert world.matches("method", "disposition", "residual_minor") == [("exact", "auto", 0)]
    with reconciled(events) as world:
        assert world.groups() == []


def test_case_and_dashes_are_levelled_on_both_sides():
    """One side declares it, either may spell it its own way."""
    events = [order("o1", 100, order_id="ab-17"), payment("p1", 100, order_id="AB17")]
    with reconciled(events, normalisers={"shop": ("case", "dashes")}) as world:
        assert used(world) == ["order_id (case, dashes)"]


def test_a_prefix_comes_off_only_where_its_source_wrote_it():
    """ORD-5 of the shop is not order 5 of the processor when only the processor has the prefix."""
    events = [order("o1", 100, order_id="ORD-5"), payment("p1", 100, order_id="5")]
    with reconciled(events, normalisers={"stripe": ("prefix:ORD-",)}) as world:
        assert world.groups() == []


def test_a_repair_is_looked_at_more_strictly_than_a_key():
    """A plain key may leave a residual; a repaired one may not, nor differ in customer or time."""
    plain = [order("o1", 100, order_id="7"), payment("p1", 90, order_id="7")]
    with reconciled(plain) as world:
        assert world.groups() == ["o1+p1"]
    who = [person("o1", *ANA), person("p1", *BOB)]
    cases = [
        ({"amount": 90}, []), ({"event_ts": day(31)}, []), ({"event_ts": day(-3)}, []), ({}, who),
    ]  # fmt: skip
    for change, people in cases:
        events = [order("o1", 100, order_id="7"), payment("p1", 100, order_id="007") | change]
        with reconciled(events, who=people, normalisers={"stripe": ("zero_padding",)}) as world:
            assert world.groups() == []
            assert [r[0] for r in world.open("event_key")] == ["o1", "p1"]


def test_without_an_amount_the_customer_must_agree():
    """A repaired key and the same customer join; the key alone does not."""
    events = [order("o1", None, order_id="7"), payment("p1", 100, order_id="007")]
    people = [person("o1", *ANA), person("p1", *ANA)]
    with reconciled(events, who=people, normalisers={"stripe": ("zero_padding",)}) as world:
        assert world.groups() == ["o1+p1"]
    with reconciled(events, normalisers={"stripe": ("zero_padding",)}) as world:
        assert world.groups() == []


def test_equal_answers_of_a_repair_are_for_a_person():
    """007 and 07 of one amount may both be order 7: two proposals, no match."""
    events = [
        order("o1", 100, order_id="7"), payment("p1", 100, order_id="007"),
        payment("p2", 100, order_id="07"),
    ]  # fmt: skip
    with reconciled(events, normalisers={"stripe": ("zero_padding",)}) as world:
        assert world.groups() == []
        asked = world.rows("select left_key, right_key, why_code from out_proposals order by all")
        assert asked == [
            ("o1", "p1", "ambiguous"), ("o1", "p2", "ambiguous"),
        ]  # fmt: skip


def test_a_plain_key_goes_before_a_repaired_one():
    """What stands as it is is matched first; the padded one finds its order taken."""
    events = [
        order("o1", 100, order_id="7"), payment("p1", 100, order_id="7"),
        payment("p2", 100, order_id="007"),
    ]  # fmt: skip
    with reconciled(events, normalisers={"stripe": ("zero_padding",)}) as world:
        assert (world.groups(), used(world)) == (["o1+p1"], ["order_id"])


def test_parts_with_a_repaired_key_add_up():
    """40 and 60 pay 100, both under the padded id."""
    events = [
        order("o1", 100, order_id="7"), payment("p1", 40, order_id="007"),
        payment("p2", 60, order_id="007"),
    ]  # fmt: skip
    with reconciled(events, normalisers={"stripe": ("zero_padding",)}) as world:
        assert world.groups() == ["o1+p1+p2"]
        assert world.members("role", "allocated_minor") == [
            ("principal", 100), ("part", 40), ("part", 60),
        ]  # fmt: skip
        assert used(world) == ["order_id (zero padding)"]


def test_vendor_ids_chain_through_external_ids():
    """The shop knows the intent, the processor's row is a balance transaction of that intent."""
    events = [
        order("o1", 100, transaction_id="pi_3Abc"),
        payment("p1", 100, native_id="txn_9", external_ids='{"charge":"ch_1","intent":"pi_3Abc"}'),
        order("o2", 100, external_ids='{"checkout":"ch_2"}'),
        payment("p2", 100, native_id="ch_2"),
        order("o3", 100, external_ids='{"payment":"py_3"}'),
        payment("p3", 100, external_ids='{"payment":"py_3"}'),
    ]
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1", "o2+p2", "o3+p3"]
        assert used(world) == ["external id", "transaction_id (external id)"]


def test_a_word_that_many_carry_is_no_id():
    """The gateway's name stands in every row; nothing is joined by it."""
    events = [
        *[order(f"o{i}", 100, external_ids='{"gateway":"gateway"}') for i in range(21)],
        payment("p1", 100, external_ids='{"gateway":"gateway"}'),
    ]
    with reconciled(events) as world:
        assert world.groups() == []
        assert world.rows("from out_proposals") == []


def test_refund_to_payment_to_order_through_the_parent():
    """The processor's refund knows its charge, the charge knows the order, as the shop does."""
    refunds = rec(
        name="refunds", left={"sources": ["shop"], "types": ["refund"]},
        right={"sources": ["stripe"], "types": ["refund"]}, attach=[], cardinality="one_to_one",
    )  # fmt: skip
    events = [
        event("r1", "shop", "refund", -40, order_id="1001"),
        event("x1", "stripe", "refund", -40, parent_key="ch_1"),
        payment("p1", 100, native_id="ch_1", order_id="1001"),
    ]
    with reconciled(events, refunds) as world:
        assert (world.groups(), used(world)) == (["r1+x1"], ["order_id (parent)"])


def test_an_order_named_in_a_memo_is_found_if_it_is_the_only_one():
    """One id in the text joins; two ids, or the id of an order of another amount, do not."""
    events = [
        order("o1", 100, order_id="1001"), order("o2", 200, order_id="1002"),
        order("o3", 300, order_id="WS-77"),
        payment("p1", 100, description="Thanks! Order #1001, 2 pcs"),
        payment("p2", 200, description="orders 1002 and 1001"),
        payment("p3", 300, description="ref WS-77/paid"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert (world.groups(), used(world)) == (["o1+p1", "o3+p3"], ["order_id (mention)"])
        assert [r[0] for r in world.open("event_key")] == ["o2", "p2"]


def test_a_memo_that_names_a_settled_order_as_well_joins_nothing():
    """#1001 is paid already: a memo with both ids does not say which of them it pays."""
    events = [
        order("o1", 100, order_id="1001"), payment("p0", 100, order_id="1001"),
        order("o2", 100, order_id="1002"), payment("p2", 100, description="1001 1002"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p0"]


def test_who_carries_a_key_is_read_once_for_memos_refunds_and_reasons():
    """All three ask the same question of the events; a second evaluation asks it anew."""
    events = [
        order("o1", 100, order_id="1001"), payment("p1", 100, description="for 1001"),
        order("o2", 200, order_id="1002"), payment("p2", 200, order_id="1002"),
        event("x2", "stripe", "refund", -50, order_id="1002"),
        order("o3", 300, order_id="1003", transaction_id="t3"), payment("p3", 300, order_id="1003"),
        payment("p4", 70, transaction_id="t3"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert [step.name for step in world.outcome.trail].count("carriers") == 1
        assert world.groups() == ["o1+p1", "o2+p2+x2", "o3+p3"]
        assert world.open("event_key", "why_code", "nearest_key") == [("p4", "key_taken", "o3")]
        restated = [order("o1", 100, order_id="1009"), *events[1:]]
        world.engine.put("events", frame(restated, model.EVENT_SCHEMA))
        again = cascade.reconcile(world.engine, rec(), cascade.MatchingContext(as_of=day(30)))
        assert [step.name for step in again.trail].count("carriers") == 1
        assert world.groups() == ["o2+p2+x2", "o3+p3"]


def test_what_a_person_barred_is_not_repaired():
    """Not the same, says a person: no spelling joins them."""
    events = [order("o1", 100, order_id="7"), payment("p1", 100, order_id="007")]
    with reconciled(
        events, decisions=[said(1, "not_same", "o1", "p1")],
        normalisers={"stripe": ("zero_padding",)},
    ) as world:  # fmt: skip
        assert world.groups() == []


# --- ids that must not be trusted -----------------------------------------------------------------
def test_a_transposed_id_neither_matches_nor_blocks():
    """The payment of 1012 says 1021, which is Bob's: Bob keeps his own, the conflict is told."""
    events = [
        order("o1", 4200, order_id="1012"), order("o2", 9900, order_id="1021"),
        payment("p1", 4200, order_id="1021", event_ts=day(31), description="for 1012"),
        payment("p2", 9900, transaction_id="t2", order_id=None),
    ]  # fmt: skip
    events[1]["transaction_id"] = "t2"
    people = [person("o1", *ANA), person("p1", *ANA), person("o2", *BOB), person("p2", *BOB)]
    with reconciled(events, who=people) as world:
        assert world.groups() == ["o2+p2"]
        assert set(world.open("event_key", "why_code")) >= {("p1", "id_conflict")}


def test_a_transposed_id_finds_its_own_order_by_its_memo():
    """Vetoed on another customer's order, the payment goes on and is joined by what it mentions."""
    events = [
        order("o1", 4200, order_id="1012", event_ts=day(35)),
        order("o2", 9900, order_id="1021"),
        payment("p1", 4200, order_id="1021", event_ts=day(36), description="for 1012"),
    ]
    people = [person("o1", *ANA), person("p1", *ANA), person("o2", *BOB)]
    with reconciled(events, who=people, as_of=day(60)) as world:
        assert (world.groups(), used(world)) == (["o1+p1"], ["order_id (mention)"])
        assert [r[0] for r in world.open("event_key")] == ["o2"]


def test_a_reused_id_is_not_settled_by_who_comes_first():
    """One number for two orders a year apart, equal amounts: each payment goes to its own time."""
    events = [
        order("o1", 100, order_id="9"), order("o2", 100, order_id="9", event_ts=day(365)),
        payment("p1", 100, order_id="9", event_ts=day(1)),
        payment("p2", 100, order_id="9", event_ts=day(366)),
    ]  # fmt: skip
    groups = set()
    for shuffled in itertools.permutations(events):
        with reconciled(list(shuffled), ONE, as_of=day(400)) as world:
            groups.add((tuple(world.groups()), len(world.rows("from out_proposals"))))
    assert len(groups) == 1
    assert groups.pop()[0] in ((), ("o1+p1", "o2+p2"))


def test_test_events_never_match_live_ones():
    """A test order and a live payment share an id: nothing is joined, and the test is counted."""
    events = [
        order("o1", 100, order_id="1", test=True), payment("p1", 100, order_id="1"),
        order("o2", 100, order_id="2", test=False), payment("p2", 100, order_id="2"),
        payment("p3", 100, order_id="3", test=True),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o2+p2"]
        assert [r[0] for r in world.open("event_key")] == ["p1"]
        assert world.outcome.notes == ("2 test events take no part",)


def test_a_reconciliation_of_tests_may_ask_for_them():
    """`where = { test = true }` on a side is heard."""
    tests = rec(
        left={"sources": ["shop"], "types": ["order"], "where": {"test": True}},
        right={"sources": ["stripe"], "types": ["payment"], "where": {"test": True}},
    )
    events = [
        order("o1", 100, order_id="1", test=True), payment("p1", 100, order_id="1", test=True)
    ]  # fmt: skip
    with reconciled(events, tests) as world:
        assert world.groups() == ["o1+p1"]


# --- the same content under another id ------------------------------------------------------------
def test_the_same_content_under_a_new_id_is_a_possible_duplicate():
    """Ana's payment was sent again with a new id in the same second: kept, open, and told."""
    events = [
        order("o1", 100, order_id="1"), payment("p1", 100, order_id="1", native_id="ch_1"),
        payment("p2", 100, order_id="9", native_id="ch_2", ts_precision="second"),
    ]  # fmt: skip
    people = [person(k, *ANA) for k in ("o1", "p1", "p2")]
    why = (
        "may be payment ch_1 told again under another id: "
        "the same source, amount and customer at the same time"
    )
    for sources in (["stripe"], ["stripe", "adyen"]):  # one kind of payments, or two
        declared = rec(right={"sources": sources, "types": ["payment"]})
        with reconciled(events, declared, who=people) as world:
            assert world.groups() == ["o1+p1"]
            assert world.open("event_key", "nearest_key", "why_code", "why") == [
                ("p2", "p1", "possible_duplicate", why)
            ]


def test_another_customer_or_another_second_is_no_duplicate():
    """Bob's payment of the same amount is his; Ana's of a minute later may be her second one."""
    base = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1")]
    people = [person(k, *ANA) for k in ("o1", "p1")]
    for other, change in ((BOB, {}), (ANA, {"event_ts": day(1 / 1440)})):
        again = payment("p2", 100, order_id="9", ts_precision="second") | change
        with reconciled([*base, again], who=[*people, person("p2", *other)]) as world:
            assert "possible_duplicate" not in [r[0] for r in world.open("why_code")]


def test_another_source_tells_its_own():
    """The same customer, amount and second at another processor is another payment."""
    declared = rec(right={"sources": ["stripe", "adyen"], "types": ["payment"]})
    events = [
        order("o1", 100, order_id="1"), payment("p1", 100, order_id="1"),
        event("p2", "adyen", "payment", 100, order_id="9", ts_precision="second"),
    ]  # fmt: skip
    people = [person(k, *ANA) for k in ("o1", "p1", "p2")]
    with reconciled(events, declared, who=people) as world:
        assert world.groups() == ["o1+p1"]
        assert world.open("event_key", "why_code") == [("p2", "nothing")]


def test_a_declared_window_widens_the_second():
    """Within five minutes, where `duplicates_within` says so; six are too many."""
    declared = rec(duplicates_within="5m")
    for minutes, found in ((5, True), (6, False)):
        events = [
            order("o1", 100, order_id="1"), payment("p1", 100, order_id="1"),
            payment("p2", 100, order_id="9", event_ts=day(minutes / 1440)),
        ]  # fmt: skip
        people = [person(k, *ANA) for k in ("o1", "p1", "p2")]
        with reconciled(events, declared, who=people) as world:
            assert ("possible_duplicate" in [r[0] for r in world.open("why_code")]) == found


def test_of_two_open_ones_only_the_later_repeats():
    """Neither is matched: the first stays missing, the second is told as its repetition."""
    events = [payment(k, 100, ts_precision="second") for k in ("p1", "p2")]
    people = [person(k, *ANA) for k in ("p1", "p2")]
    with reconciled(events, who=people) as world:
        assert world.open("event_key", "why_code")[1] == ("p2", "possible_duplicate")
        assert world.open("why_code")[0] != ("possible_duplicate",)


# --- defects seen elsewhere -----------------------------------------------------------------------
def test_an_empty_reference_is_contained_in_nothing():
    """An empty or blank reference passes no `contains` check: it joins nothing at all."""
    for reference in ("", " ", "-", None):
        events = [
            order("o1", 100, order_id=reference, native_id="n1"),
            payment("p1", 100, order_id="1001", description="order 1001"),
        ]
        with reconciled(events) as world:
            assert world.groups() == []


def test_amount_currency_and_date_alone_confirm_nothing():
    """No reference agrees: whatever the amount and day say, nothing is matched by itself."""
    events = [
        order("o1", 12345, order_id="A-1"), payment("p1", 12345, order_id="B-9"),
        order("o2", 999), payment("p2", 999),
    ]  # fmt: skip
    with reconciled(events, normalisers={"stripe": ("case", "dashes", "zero_padding")}) as world:
        assert world.groups() == []
        assert world.rows("from out_matches where disposition = 'auto'") == []


def test_the_lowest_id_does_not_win():
    """Two payments fit one order equally well: whichever id is lower, a person is asked."""
    for first, second in (("p1", "p2"), ("p2", "p1")):
        events = [
            order("o1", 100, order_id="7"),
            payment(first, 100, order_id="007", event_ts=day(1)),
            payment(second, 100, order_id="07", event_ts=day(1)),
        ]
        with reconciled(events, ONE, normalisers={"stripe": ("zero_padding",)}) as world:
            assert world.groups() == []
            assert [r[0] for r in world.rows("select right_key from out_proposals order by 1")] == [
                "p1", "p2",
            ]  # fmt: skip


# --- properties -----------------------------------------------------------------------------------
ids = st.sampled_from(["7", "07", "007", "#7", "ORD-7", "ord7", "70", "17"])
rows = st.lists(st.tuples(ids, st.sampled_from([100, 200]), st.integers(0, 40)), max_size=6)


@settings(max_examples=25, deadline=None)
@given(rows, rows, st.randoms())
def test_no_event_twice_no_cent_invented_in_any_order(left, right, random):
    """Whatever the spellings: one match at most for each event, sums of members, same answer."""
    events = [
        order(f"o{i}", a, order_id=k, event_ts=day(d)) for i, (k, a, d) in enumerate(left)
    ] + [payment(f"p{i}", a, order_id=k, event_ts=day(d)) for i, (k, a, d) in enumerate(right)]
    declared = {"stripe": ("hash", "prefix:ORD-", "prefix:ord", "zero_padding")}
    found = []
    for threads in (1, 2):
        random.shuffle(events)
        with reconciled(events, normalisers=declared, as_of=day(90), threads=threads) as world:
            found.append(world.rows(
                "select event_key, match_id, role, allocated_minor, key_used from out_match_members"
                " order by all"))  # fmt: skip
            repaired = world.rows(
                "select residual_minor from out_matches where match_id in (select match_id from"
                " out_match_members where key_used like '%(%')")  # fmt: skip
    amounts = {e["event_key"]: e["amount"] for e in events}
    keys = [r[0] for r in found[0]]

    assert found[0] == found[1]
    assert len(keys) == len(set(keys))
    assert all(row[3] in (amounts[row[0]], None) for row in found[0])
    assert all(row == (0,) for row in repaired)


# --- settings -------------------------------------------------------------------------------------
def test_normalisers_are_checked_word_by_word():
    """A misspelt one names its nearest, an empty prefix says how to write it."""
    for words, told in (
        (["zero_pading"], "no normaliser is called 'zero_pading'; did you mean 'zero_padding'"),
        (["prefx:A"], "no normaliser is called 'prefx:A'; did you mean 'prefix:'"),
        (["prefix:"], "write the text after it: prefix:ORD-"),
        (["case:x"], "no normaliser is called 'case:x'"),
    ):
        with pytest.raises(ValidationError) as wrong:
            Source(name="s", feed="stripe.payouts", key_normalisers=words)
        assert told in str(wrong.value)


def test_every_normaliser_of_the_settings_has_a_spelling():
    """The words that may be declared are the words that are read."""
    assert {word.rstrip(":") for word in KEY_NORMALISERS} == set(spelling.WORDS)
