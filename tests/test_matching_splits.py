from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_world import day, event, order, payment, person, rec, reconciled

from recon_kit.matching.assign import WEIGHT_FLOOR
from recon_kit.matching.splits import Item, choose

# --- the best choice ---


def best(items: list[Item]) -> tuple[int, list[set[int]]]:
    """Greatest total benefit and every choice that has it, by trying all of them."""
    answers: dict[frozenset[int], int] = {}
    for size in range(len(items) + 1):
        for some in itertools.combinations(range(len(items)), size):
            events = [e for n in some for e in items[n].events]
            if len(events) == len(set(events)):
                answers[frozenset(some)] = sum(
                    round((items[n].weight - WEIGHT_FLOOR) * 1_000_000) for n in some
                )
    top = max(answers.values())
    return top, [set(a) for a, total in answers.items() if total == top]


def worth(chosen: list[Any]) -> int:
    return sum(round((c.item.weight - WEIGHT_FLOOR) * 1_000_000) for c in chosen)


ITEMS = st.lists(
    st.builds(
        Item,
        st.integers(0, 2).flatmap(
            lambda left: st.sets(st.integers(10, 14), min_size=1, max_size=3).map(
                lambda parts: (left, *sorted(parts))
            )
        ),
        st.integers(-5, 6).map(float),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda item: item.events,
)


@settings(max_examples=120, deadline=None)
@given(ITEMS)
def test_the_choice_of_pairs_and_sets_is_a_best_one(items):
    """The total is the greatest there is, and what only other best answers hold is called equal."""
    chosen = choose(items)
    top, answers = best(items)
    picked = {items.index(c.item) for c in chosen}
    assert worth(chosen) == top
    assert picked in answers
    for c in chosen:
        at = items.index(c.item)
        assert c.equal == any(at not in answer for answer in answers)


def test_a_set_beats_the_pair_that_takes_one_of_its_parts():
    """60 + 40 for one order (9 bits) stands above 60 alone (4 bits)."""
    (found,) = choose([Item((1, 11, 12), 9.0), Item((1, 11), 4.0)])
    assert found.item.events == (1, 11, 12)
    assert found.chance == pytest.approx(512 / (1 + 512 + 16), abs=1e-6)
    assert found.rival == Item((1, 11), 4.0)


def test_two_good_pairs_beat_a_set_that_needs_both():
    """A payment that another order wants more is no part."""
    found = choose([Item((1, 11, 12), 9.0), Item((1, 11), 8.0), Item((2, 12), 8.0)])
    assert [c.item.events for c in found] == [(1, 11), (2, 12)]


def test_two_sets_as_good_as_each_other_are_equal():
    """Of two payments of 40 either may be the second part: no answer is better, none has a lead."""
    (found,) = choose([Item((1, 11, 12), 9.0), Item((1, 11, 13), 9.0)])
    assert found.equal
    assert found.margin == 0.0


# --- in a reconciliation ---
ANA = "ana.diaz@example.org"


def bought(parts: list[int], *, apart: float = 1, **settings: Any) -> Any:
    """An order of Ana's and her payments without a key, among eleven orders of others."""
    events = [order("o", 10_000, order_id="1", event_ts=day(0))]
    who = [person("o", ANA, "Ana Diaz")]
    for i, part in enumerate(parts):
        events.append(payment(f"p{i}", part, event_ts=day(0.1 + apart * i)))
        who.append(person(f"p{i}", ANA, "Ana Diaz"))
    for i in range(11):
        amount = 3_000 + 777 * i
        events += [
            order(f"x{i}", amount, order_id=f"X{i}", event_ts=day(i)),
            payment(f"y{i}", amount, event_ts=day(i + 0.1)),
        ]
        who += [
            person(f"{side}{i}", f"user{i}@example.net", f"Person N{i} Other{i}") for side in "xy"
        ]
    scoring = {"probable": {"enabled": True, "uncertified": "auto"}}
    return reconciled(events, rec(**scoring, **settings), who=who)


def test_parts_that_add_up_are_one_match():
    """60.00 and 40.00 of the same customer settle an order of 100.00, without any key."""
    with bought([6_000, 4_000]) as world:
        rows = world.rows(
            """select m.left_sum, m.right_sum, m.residual_minor, m.method, m.disposition
            from out_matches m join out_match_members x using (match_id) where x.event_key = 'o'"""
        )
        assert rows == [(10_000, 10_000, 0, "probable", "auto")]
        assert "o+p0+p1" in world.groups()
        members = world.rows(
            "select event_key, role, allocated_minor from out_match_members"
            " where event_key in ('o', 'p0', 'p1') order by event_key"
        )
    assert members == [("o", "principal", 10_000), ("p0", "part", 6_000), ("p1", "part", 4_000)]


def test_three_parts_add_up_as_well():
    """50.00, 30.00 and 20.00 are one payment of 100.00 in three parts."""
    with bought([5_000, 3_000, 2_000]) as world:
        assert "o+p0+p1+p2" in world.groups()


def test_parts_that_do_not_add_up_are_no_split():
    """60.00 and 30.00 do not make 100.00: the order does not get both."""
    with bought([6_000, 3_000]) as world:
        assert not any("p0+p1" in group for group in world.groups())


def test_parts_within_the_tolerance_add_up():
    """60.00 and 39.98 make 100.00 where two cents are allowed, and do not where none are."""
    with bought([6_000, 3_998], tolerance={"minor_units": 2}) as world:
        assert "o+p0+p1" in world.groups()
    with bought([6_000, 3_998]) as world:
        assert "o+p0+p1" not in world.groups()


def test_two_ways_to_add_up_go_to_a_person():
    """60.00 and one of two payments of 40.00: which one, nobody can tell."""
    with bought([6_000, 4_000, 4_000], apart=0) as world:
        assert not any(group.startswith("o+") for group in world.groups())
        asked = world.rows(
            "select distinct why_code from out_proposals where left_key = 'o' order by why_code"
        )
    assert asked == [("ambiguous",)]


def test_a_whole_payment_stands_above_its_parts():
    """Where a payment of 100.00 is there, 60.00 and 40.00 are not taken for it."""
    with bought([6_000, 4_000, 10_000]) as world:
        assert not any("p0" in group or "p1" in group for group in world.groups())


def test_strangers_do_not_add_up_to_an_order():
    """60.00 and 40.00 of other customers are no parts of Ana's order, though they add up."""
    events = [
        order("o", 10_000, order_id="1", event_ts=day(0)),
        payment("p0", 6_000, event_ts=day(0.1)),
        payment("p1", 4_000, event_ts=day(1)),
    ]
    who = [
        person("o", ANA, "Ana Diaz"),
        person("p0", "bo@example.net", "Bo Moser"),
        person("p1", "eva@example.net", "Eva Rossi"),
    ]
    scoring = {"probable": {"enabled": True, "uncertified": "auto"}}
    with reconciled(events, rec(**scoring), who=who) as world:
        assert world.groups() == []
        assert world.rows("select left_key, right_key from out_proposals") == []


def crossing(amounts: dict[str, int], **settings: Any) -> Any:
    """Orders (`o...`) and payments (`p...`) of Ana's on one day, among eleven pairs of others."""
    events = []
    for key, amount in amounts.items():
        told = order if key.startswith("o") else payment
        events.append(told(key, amount, event_ts=day(0.1 * len(events))))
    who = [person(key, ANA, "Ana Diaz") for key in amounts]
    for i in range(11):
        events += [
            order(f"x{i}", 3_000 + 777 * i, event_ts=day(i)),
            payment(f"y{i}", 3_000 + 777 * i, event_ts=day(i + 0.1)),
        ]
        who += [person(f"{s}{i}", f"user{i}@example.net", f"Person N{i} Other{i}") for s in "xy"]
    scoring = {"probable": {"enabled": True, "uncertified": "auto"}}
    return reconciled(events, rec(cardinality="many_to_many", **scoring, **settings), who=who)


def test_where_both_sides_may_have_several_parts_are_found_from_either():
    """60.00 and 40.00 pay one order of 100.00; one payment of 70.00 pays orders of 50.00 and
    20.00; and each match names the one that the others add up to.
    """
    with crossing({"o": 10_000, "p1": 6_000, "p2": 4_000}) as world:
        assert "o+p1+p2" in world.groups()
    with crossing({"o1": 5_000, "o2": 2_000, "p": 7_000}) as world:
        assert "o1+o2+p" in world.groups()
        told = world.rows(
            "select event_key, side, role, allocated_minor from out_match_members"
            " where event_key in ('o1', 'o2', 'p') order by event_key"
        )
        sums = world.rows(
            """select left_sum, right_sum, residual_minor, method, disposition
            from out_matches semi join (from out_match_members where event_key = 'p') p
            using (match_id)"""
        )
        evidence = world.rows(
            """select e.left_key, e.right_key from out_pair_evidence e
            join out_match_members m using (match_id) where m.event_key = 'p' order by all"""
        )
    assert told == [
        ("o1", "left", "part", 5_000), ("o2", "left", "part", 2_000),
        ("p", "right", "principal", 7_000),
    ]  # fmt: skip
    assert sums == [(7_000, 7_000, 0, "probable", "auto")]
    assert evidence == [("o1", "p"), ("o2", "p")]


def test_where_both_sides_may_have_several_no_event_is_taken_twice():
    """Two orders of 50.00 and one payment of 50.00 of one customer: which, a person must say."""
    with crossing({"o1": 5_000, "o2": 5_000, "p": 5_000}) as world:
        assert not any("p" in group.split("+") for group in world.groups())
        asked = world.rows(
            "select distinct right_key, why_code from out_proposals where right_key = 'p'"
        )
    assert asked == [("p", "ambiguous")]


def test_where_no_amount_is_told_several_are_partners_by_themselves():
    """Ana's two forms led to one conversion, Bo's one to his: nothing has to add up."""
    events = [
        event(key, "crm", "lead", None, currency=None, event_ts=day(at))
        for key, at in (("a1", 0), ("a2", 0.1), ("b1", 0))
    ] + [event(key, "ads", "conversion", 5_000, event_ts=day(0.5)) for key in ("ca", "cb")]
    mails = {"a1": ANA, "a2": ANA, "b1": "bo@example.net", "ca": ANA, "cb": "bo@example.net"}
    who = [person(key, mail) for key, mail in mails.items()]
    for i in range(11):
        events += [
            event(f"x{i}", "crm", "lead", None, currency=None, event_ts=day(i)),
            event(f"y{i}", "ads", "conversion", 5_000, event_ts=day(i + 0.1)),
        ]
        who += [person(f"{s}{i}", f"user{i}@example.net") for s in "xy"]
    declared = rec(
        left={"sources": ["crm"], "types": ["lead"]},
        right={"sources": ["ads"], "types": ["conversion"]},
        keys=["click_id"],
        cardinality="many_to_one",
        probable={"enabled": True, "uncertified": "auto"},
    )
    with reconciled(events, declared, who=who) as world:
        assert [g for g in world.groups() if "c" in g] == ["a1+a2+ca", "b1+cb"]
        told = world.rows(
            """select left_sum, right_sum, discrepancies from out_matches semi join (
                from out_match_members where event_key in ('ca', 'cb')) c using (match_id)"""
        )
    assert told == [(None, 5_000, '["no_amount"]')] * 2


def test_several_that_tell_amounts_add_up_though_their_one_partner_tells_none():
    """Ana's two orders of 10.00 and 20.00 led to one conversion without a value: 30.00 and none."""
    events = [order(key, cents, event_ts=day(at)) for key, cents, at in
              (("a1", 1_000, 0), ("a2", 2_000, 0.1), ("b1", 500, 0))]  # fmt: skip
    events += [
        event(key, "ads", "conversion", None, currency=None, event_ts=day(0.5))
        for key in ("ca", "cb")
    ]
    mails = {"a1": ANA, "a2": ANA, "b1": "bo@example.net", "ca": ANA, "cb": "bo@example.net"}
    who = [person(key, mail) for key, mail in mails.items()]
    for i in range(11):
        events += [
            order(f"x{i}", 700 + i, event_ts=day(i)),
            event(f"y{i}", "ads", "conversion", None, currency=None, event_ts=day(i + 0.1)),
        ]
        who += [person(f"{s}{i}", f"user{i}@example.net") for s in "xy"]
    declared = rec(
        right={"sources": ["ads"], "types": ["conversion"]},
        keys=["click_id"],
        cardinality="many_to_one",
        probable={"enabled": True, "uncertified": "auto"},
    )
    with reconciled(events, declared, who=who) as world:
        assert [g for g in world.groups() if "c" in g] == ["a1+a2+ca", "b1+cb"]
        told = world.rows(
            """select event_key, allocated_minor, left_sum, right_sum from out_match_members
               join out_matches using (match_id) where event_key in ('a1', 'a2', 'ca')
               order by event_key"""
        )
    assert told == [
        ("a1", 1_000, 3_000, None),
        ("a2", 2_000, 3_000, None),
        ("ca", None, 3_000, None),
    ]
