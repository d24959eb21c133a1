"""Which open items add up to a lump: one set, a counted number of sets, or too many items."""

from __future__ import annotations

import json
import random
from itertools import combinations
from math import comb
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matching_world import day, event, rec, reconciled, said

from recon_kit.settings import Reconciliation


def charge(key: str, net: int, at: float, **more: Any) -> dict[str, Any]:
    """A charge of the processor that names no payout."""
    return event(key, "stripe", "payment", None, net=net, event_ts=day(at), **more)


def payout(key: str, amount: int, at: float, **more: Any) -> dict[str, Any]:
    """A payout without the list of its members."""
    return event(key, "stripe", "payout", amount, event_ts=day(at), **more)


def to_payouts(uncertified: str = "auto", **more: Any) -> Reconciliation:
    """Charges to payouts, at most ten days later; sets are looked for."""
    fields: dict[str, Any] = {
        "name": "payments_to_payouts",
        "left": {"sources": ["stripe"], "types": ["payment", "refund"]},
        "right": {"sources": ["stripe"], "types": ["payout"]},
        "attach": [], "keys": ["payout_id"], "cardinality": "many_to_one",
        "measure": {"left": "net", "right": "amount"},
        "window": {"before": "0d", "after": "10d"},
        "decomposed": {"enabled": True, "uncertified": uncertified},
    }  # fmt: skip
    return rec(**(fields | more))


# 401.17 + 618.03 + 99.51: the first, third and fourth of five
SCATTERED = [
    charge("a", 40_117, 0), charge("b", 35_220, 1), charge("c", 61_803, 2),
    charge("d", 9_951, 3), charge("e", 27_719, 3.5), payout("po", 111_871, 4),
]  # fmt: skip


def test_the_one_set_that_adds_up_is_found_in_any_order() -> None:
    """No run holds it; what it rests on says how many sets chance would give."""
    with reconciled(SCATTERED[::-1], to_payouts()) as world:
        assert world.groups() == ["a+c+d+po"]
        assert world.matches("method", "disposition", "right_sum", "residual_minor") == [
            ("decomposed", "auto", 111_871, 0)
        ]
        levels = json.loads(world.rows("select levels from out_pair_evidence")[0][0])
        assert (levels["items"], levels["rank"], levels["span_days"]) == (5, 1, 3.0)
        assert 0 < levels["expected_by_chance"] < 0.001


def test_uncertified_it_is_a_question() -> None:
    """A row per pair under one id; every open item says so in a sentence."""
    with reconciled(SCATTERED, to_payouts("review")) as world:
        assert world.groups() == []
        assert world.rows("select distinct count(*) over (), right_key, why_code"
                          " from out_proposals") == [(3, "po", "uncertified")]  # fmt: skip
        assert world.open("event_key", "why")[-1] == (
            "po", "3 open items add up to it; a person confirms"
        )  # fmt: skip


def test_several_sets_are_counted_and_none_is_taken() -> None:
    """Twelve tickets of two prices: 120 ways to pay for four, the closest in time shown first."""
    tickets = [charge(f"t{i:02}", 275, i / 4) for i in range(13)]
    with reconciled([*tickets, payout("po", 6 * 275, 5)], to_payouts()) as world:
        assert world.groups() == []
        # of one price eight runs add up, which is enough to say that nobody can tell
        assert world.open("event_key", "why")[0] == (
            "po", "8 runs of open items add up to it; no answer is better"
        )  # fmt: skip
    mixed = [charge(f"t{i:02}", 275 if i % 2 else 310, i / 4) for i in range(12)]
    with reconciled([*mixed, payout("po", 3 * 275 + 310, 5)], to_payouts()) as world:
        assert world.groups() == []
        answers = comb(6, 3) * 6
        assert world.rows("select distinct equal_answers from out_pair_evidence") == [(answers,)]
        assert world.open("event_key", "state", "why_code", "why")[0] == (
            "po", "proposed", "ambiguous",
            f"{answers} sets of open items add up to it; no answer is better",
        )  # fmt: skip
        ranked = world.rows(
            "select distinct json_extract_string(levels, '$.rank')::int,"
            " json_extract_string(levels, '$.span_days')::double from out_pair_evidence order by 1"
        )
        assert ranked == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_the_ranking_prefers_usual_fees_but_never_decides() -> None:
    """Two sets of one span: the one with the usual fee is shown first, both are asked about."""

    def fee(key: str, net: int, taken: int, at: float) -> dict[str, Any]:
        return charge(key, net, at, fee=taken)

    events = [
        fee("a", 9_710, 290, 0), fee("b", 30_000, 896, 1), fee("x", 20_001, 597, 2),
        fee("y", 20_001, 4_000, 2), fee("z", 50_000, 1_493, 2), payout("po", 29_711, 4),
    ]  # fmt: skip
    with reconciled(events, to_payouts()) as world:
        assert world.groups() == []
        assert world.rows(
            "select left_key, json_extract_string(levels, '$.rank')::int as rank,"
            " json_extract_string(levels, '$.fee_off_bp')::int > 100 from out_pair_evidence"
            " where left_key in ('x', 'y') order by rank"
        ) == [("x", 1, False), ("y", 2, True)]


def test_too_many_items_are_undecidable_and_say_so() -> None:
    """29 charges that could all belong: no search, no proposal, a number."""
    rng = random.Random(5)  # noqa: S311 - fixed amounts, no secret
    charges = [charge(f"c{i:02}", rng.randrange(1_000, 9_000), i / 10) for i in range(29)]
    total = sum(c["net"] for c in charges[::3])
    with reconciled([*charges, payout("po", total, 5)], to_payouts()) as world:
        assert world.groups() == []
        assert world.outcome.tables["proposals"] == 0
        assert world.open("event_key", "state", "why_code", "why")[-1] == (
            "po", "overdue", "undecidable",
            "29 open items could be part of it: too many to tell which",
        )  # fmt: skip
    with reconciled([*charges[1:], payout("po", total, 5)], to_payouts()) as world:
        assert world.open("event_key", "why_code")[-1] == ("po", "ambiguous")


def test_items_that_cannot_belong_do_not_make_it_undecidable() -> None:
    """Forty charges larger than the payout are no part of it; a refund could bring one back."""
    big = [charge(f"b{i:02}", 900_000 + i, i / 10) for i in range(40)]
    with reconciled([*SCATTERED, *big], to_payouts()) as world:
        assert world.groups() == ["a+c+d+po"]
    refund = event("r", "stripe", "refund", None, net=-890_000, event_ts=day(1))
    with reconciled([*SCATTERED, *big, refund], to_payouts()) as world:
        assert world.groups() == []
        assert world.open("event_key", "why_code")[-2] == ("po", "undecidable")


def test_a_single_answer_that_chance_explains_is_asked_about() -> None:
    """Of 20 charges around 50.00 about a million sets are as near: the one hit proves nothing."""
    rng = random.Random(11)  # noqa: S311 - fixed amounts, no secret
    nets = [rng.randrange(4_000, 6_000) for _ in range(20)]
    events = [charge(f"c{i:02}", net, i / 10) for i, net in enumerate(nets)]
    lone = next(t for t in range(sum(nets) - 9_000, 0, -1) if _sets(nets[:], t) == 1)
    with reconciled([*events, payout("po", lone, 5)], to_payouts()) as world:
        assert world.groups() == []
        assert world.rows("select distinct why_code from out_proposals") == [("chance",)]


def _sets(nets: list[int], total: int) -> int:
    """How many sets of at least all but two add up: the others are far below the total."""
    return sum(
        sum(nets) - sum(gone) == total
        for size in range(3)
        for gone in combinations(nets, size)
    )  # fmt: skip


def test_two_payouts_that_claim_one_charge_get_neither() -> None:
    """Each has one set, but they share a charge."""
    events = [*SCATTERED, payout("po2", 40_117 + 35_220 + 27_719, 5)]
    with reconciled(events, to_payouts()) as world:
        assert world.groups() == []
        assert world.rows("select distinct why_code from out_proposals") == [("ambiguous",)]
        assert world.rows("select distinct equal_answers from out_pair_evidence") == [(2,)]


def test_a_barred_charge_is_in_no_set() -> None:
    """What a person said does not belong is not looked at for that payout."""
    bar = [said(1, "not_same", "c", "po", reconciliation="payments_to_payouts")]
    with reconciled(SCATTERED, to_payouts(), decisions=bar) as world:
        assert world.groups() == []
        assert world.outcome.tables["proposals"] == 0


def test_negative_and_zero_items_and_three_decimals() -> None:
    """A refund lowers the sum; nothing stays out; fils add up like cents."""
    refund = event("r", "stripe", "refund", None, net=-12_345, event_ts=day(2.5), currency="KWD")
    events = [e | {"currency": "KWD"} for e in SCATTERED[:5]] + [
        refund, charge("z", 0, 1, currency="KWD"),
        payout("po", 40_117 + 61_803 - 12_345, 4, currency="KWD"),
    ]  # fmt: skip
    with reconciled(events, to_payouts()) as world:
        assert world.groups() == ["a+c+po+r"]


def test_a_run_comes_before_a_set() -> None:
    """One run adds up among a hundred charges: no set need be looked at."""
    rng = random.Random(2)  # noqa: S311 - fixed amounts, no secret
    charges = [charge(f"c{i:03}", rng.randrange(100_000, 900_000), i / 20) for i in range(100)]
    total = sum(c["net"] for c in charges[40:43])
    with reconciled([*charges, payout("po", total, 6)], to_payouts()) as world:
        assert world.groups() == ["c040+c041+c042+po"]
        assert world.matches("method") == [("decomposed",)]


def test_an_answer_of_one_item_is_for_the_window_where_that_is_on() -> None:
    """Alone it is a match of `decomposed`; with `window` it is that method's word that counts."""
    events = [charge("a", 40_117, 0), charge("b", 35_220, 1), payout("po", 35_220, 4)]
    with reconciled(events, to_payouts()) as world:
        assert world.matches("method") == [("decomposed",)]
    both = to_payouts(window_method={"enabled": True, "uncertified": "review"})
    with reconciled(events, both) as world:
        assert world.groups() == []
        assert world.rows("select method, why_code from out_proposals") == [
            ("window", "uncertified")
        ]


@st.composite
def pools(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to eight charges of few amounts and up to two payouts."""
    amounts = st.sampled_from([100, 107, 211, 350, -60, 100_003])
    events = [charge(f"c{i}", draw(amounts), draw(st.integers(0, 12)))
              for i in range(draw(st.integers(0, 8)))]  # fmt: skip
    charges = list(events)
    for i in range(draw(st.integers(0, 2))):
        chosen = draw(st.lists(st.sampled_from(charges), max_size=4)) if charges else []
        total = sum({c["event_key"]: c["net"] for c in chosen}.values()) or 7
        events.append(payout(f"p{i}", total, draw(st.integers(0, 14))))
    return draw(st.permutations(events))


def sets_by_hand(events: list[dict[str, Any]]) -> dict[str, list[set[str]]]:
    """For each payout all sets of charges that add up to it, 0 to 10 days before."""
    found: dict[str, list[set[str]]] = {}
    for target in (e for e in events if e["event_type"] == "payout"):
        near = [e for e in events if e["event_type"] == "payment"
                and 0 <= (target["event_ts"] - e["event_ts"]).days <= 10]  # fmt: skip
        found[target["event_key"]] = [
            {c["event_key"] for c in chosen}
            for size in range(1, len(near) + 1)
            for chosen in combinations(near, size)
            if sum(c["net"] for c in chosen) == target["amount"]
        ]
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pools(), st.sampled_from([1, 2]))
def test_nothing_is_matched_that_has_another_answer(
    events: list[dict[str, Any]], threads: int
) -> None:
    """Held against every set by hand: a match is a run, or the only set, and counts are true."""
    by_hand = sets_by_hand(events)
    order = sorted((e for e in events if e["event_type"] == "payment"),
                   key=lambda e: (e["event_ts"], e["event_key"]))  # fmt: skip
    place = {e["event_key"]: i for i, e in enumerate(order)}
    with reconciled(events, to_payouts(), threads=threads) as world:
        for group in world.groups():
            *parts, target = sorted(group.split("+"), key=lambda k: k.startswith("p"))
            assert set(parts) in by_hand[target]
            spots = sorted(place[p] for p in parts)
            in_a_row = spots == list(range(spots[0], spots[-1] + 1))
            assert in_a_row or len(by_hand[target]) == 1
        for target, answers in world.rows(
            "select right_key, max(equal_answers) from out_pair_evidence join out_proposals"
            " using (match_id, left_key, right_key) where why_code = 'chance' group by 1"
        ):
            assert answers == 1 <= len(by_hand[target])
