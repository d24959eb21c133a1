"""Groups that no key names: some items in a row add up to a lump, or nothing is said."""

from __future__ import annotations

import json
import random
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matching_world import day, event, order, payment, rec, reconciled, said

from recon_kit.settings import Reconciliation


def payout(key: str, amount: int | None, at: float, **more: Any) -> dict[str, Any]:
    """A payout of the processor."""
    return event(key, "stripe", "payout", amount, event_ts=day(at), **more)


def line(key: str, amount: int | None, at: float, **more: Any) -> dict[str, Any]:
    """A line of the bank."""
    return event(key, "bank", "bank_line", amount, event_ts=day(at), **more)


def to_bank(uncertified: str = "auto", **more: Any) -> Reconciliation:
    """Payouts to bank lines, within ten days; nothing but runs is looked for."""
    fields: dict[str, Any] = {
        "name": "payouts_to_bank",
        "left": {"sources": ["stripe", "adyen"], "types": ["payout"]},
        "right": {"sources": ["bank"], "types": ["bank_line"]},
        "attach": [], "keys": ["payout_id"], "cardinality": "many_to_one",
        "window": {"before": "1d", "after": "10d"},
        "grouped": {"enabled": True, "uncertified": uncertified},
    }  # fmt: skip
    return rec(**(fields | more))


LUMPED = [
    payout("a", 40_018, 0), payout("b", 35_220, 1), payout("c", 61_803, 2), payout("d", 9_951, 3),
    line("l1", 35_220 + 61_803, 4),
]  # fmt: skip


def test_two_payouts_in_one_line_are_one_match() -> None:
    """The parts add up to the line; what it rests on is kept beside it."""
    with reconciled(LUMPED, to_bank()) as world:
        assert world.groups() == ["b+c+l1"]
        assert world.matches(
            "method", "disposition", "left_sum", "right_sum", "residual_minor"
        ) == [("grouped", "auto", 97_023, 97_023, 0)]
        assert world.members("event_key", "role", "allocated_minor") == [
            ("b", "part", 35_220), ("c", "part", 61_803), ("l1", "principal", 97_023)
        ]  # fmt: skip
        answers, levels = world.rows("select equal_answers, levels from out_pair_evidence")[0]
        assert answers == 1
        assert json.loads(levels) == {
            "kind": "run", "rank": 1, "items": 4, "expected_by_chance": 0.000068, "span_days": 1.0,
            "gap_days": 2.0, "fee_off_bp": 0,
        }  # fmt: skip


def test_uncertified_a_group_is_one_question_that_reserves_nothing() -> None:
    """A row per pair under one id, which is the id that the match would have; one case."""
    with reconciled(LUMPED, to_bank("review")) as world:
        assert world.groups() == []
        proposed = world.rows(
            "select match_id, left_key, right_key, why_code, left_amount, right_amount"
            " from out_proposals order by left_key"
        )
        assert [p[1:] for p in proposed] == [
            ("b", "l1", "uncertified", 35_220, 97_023), ("c", "l1", "uncertified", 61_803, 97_023)
        ]  # fmt: skip
        assert world.open("event_key", "why_code", "why")[1::3] == [
            ("b", "proposed", "adds up with others to bank line; a person confirms"),
            ("l1", "proposed", "2 open items in a row add up to it; a person confirms"),
        ]
    with reconciled(LUMPED, to_bank()) as world:
        assert world.matches("match_id") == [(proposed[0][0],)]


def test_a_decision_on_every_pair_of_the_group_confirms_it() -> None:
    """`same` for each pair of the question makes the very match that was asked about."""
    said_same = [
        said(1, "same", "b", "l1", reconciliation="payouts_to_bank", bundle_id="m"),
        said(2, "same", "c", "l1", reconciliation="payouts_to_bank", bundle_id="m"),
    ]
    with reconciled(LUMPED, to_bank("review"), decisions=said_same) as world:
        assert world.groups() == ["b+c+l1"]
        assert world.matches("method", "disposition") == [("decided", "confirmed")]


def test_of_several_equally_good_runs_none_is_taken() -> None:
    """All are counted, the closest in time is shown first, nothing is matched."""
    events = [payout(key, 100, i) for i, key in enumerate("abcd")] + [line("l1", 200, 4)]
    with reconciled(events, to_bank()) as world:
        assert world.groups() == []
        assert world.rows(
            "select distinct match_id, why_code, equal_answers from out_proposals"
            " join out_pair_evidence using (match_id)"
        ).__len__() == 3  # fmt: skip
        assert world.rows("select distinct equal_answers from out_pair_evidence") == [(3,)]
        assert world.open("event_key", "state", "why_code", "why")[-1] == (
            "l1", "proposed", "ambiguous",
            "3 runs of open items add up to it; no answer is better",
        )  # fmt: skip
    # a single payout of that amount is an answer as good as any run
    single = [*LUMPED, payout("e", 97_023, 3.5)]
    with reconciled(single, to_bank()) as world:
        assert world.groups() == []
        assert world.rows("select distinct equal_answers from out_pair_evidence") == [(2,)]


def test_two_lines_that_claim_one_payout_get_neither() -> None:
    """Each has one run, but they share an item: a person decides."""
    events = [payout("a", 100, 0), payout("b", 250, 1), payout("c", 400, 2),
              line("l1", 350, 3), line("l2", 650, 3)]  # fmt: skip
    with reconciled(events, to_bank()) as world:
        assert world.groups() == []
        assert world.rows(
            "select distinct why_code, equal_answers from out_proposals"
            " join out_pair_evidence using (match_id)"
        ) == [("ambiguous", 2)]


def test_only_what_lies_in_the_window_belongs_together() -> None:
    """A payout eleven days before the line, or two days after it, is no part of it."""

    def groups(at: float, line_at: float) -> list[str]:
        events = [payout("a", 40_017, at), payout("b", 35_220, at + 0.5),
                  line("l1", 75_237, line_at)]  # fmt: skip
        with reconciled(events, to_bank()) as world:
            return world.groups()

    assert groups(0, 10) == groups(0.5, 0) == ["a+b+l1"]
    assert groups(0, 10.1) == groups(0.6, 0) == []


def test_a_run_is_of_one_source_and_one_currency() -> None:
    """What another processor paid between two payouts does not part them."""
    other = event("x", "adyen", "payout", 77, event_ts=day(1.5))
    yen = payout("y", 500, 1.6, currency="JPY")
    with reconciled([*LUMPED, other, yen], to_bank()) as world:
        assert world.groups() == ["b+c+l1"]
    across = [payout("a", 100_00, 0), event("x", "adyen", "payout", 50_01, event_ts=day(1)),
              line("l1", 150_01, 2)]  # fmt: skip
    with reconciled(across, to_bank()) as world:
        assert world.groups() == []


def test_minor_units_of_any_currency_add_up() -> None:
    """JPY has no decimals and KWD three; sums are of whole minor units in both."""
    for currency, amounts in (("JPY", (41_203, 35_019)), ("KWD", (12_345_678, 9_876_543))):
        events = [payout("a", amounts[0], 0, currency=currency),
                  payout("b", amounts[1], 1, currency=currency),
                  line("l1", sum(amounts), 2, currency=currency)]  # fmt: skip
        with reconciled(events, to_bank()) as world:
            assert world.groups() == ["a+b+l1"], currency


def test_negative_items_count_and_zero_ones_are_left_out() -> None:
    """A payout that was taken back lowers the line; one of nothing can belong anywhere."""
    events = [payout("a", 40_017, 0), payout("b", -5_220, 1), payout("z", 0, 1.5),
              payout("c", 61_803, 2), line("l1", 96_600, 4)]  # fmt: skip
    with reconciled(events, to_bank()) as world:
        assert world.groups() == ["a+b+c+l1"]
        assert world.open("event_key") == [("z",)]


def test_parts_may_differ_from_the_lump_by_the_tolerance() -> None:
    """A hundredth of a percent of 970.23 is 9 cents; a wide allowance is hit by chance."""

    def groups(amount: int, percent: str = "0.01") -> list[str]:
        declared = to_bank(tolerance={"percent": percent})
        with reconciled([*LUMPED[:4], line("l1", amount, 4)], declared) as world:
            return world.groups()

    assert groups(97_023 - 9) == groups(97_023 + 9) == ["b+c+l1"]
    assert groups(97_023 - 10) == groups(97_023 + 10) == groups(97_023, percent="1") == []


def test_what_a_person_barred_is_no_part() -> None:
    """A run over a barred payout is no answer, and the other one is alone again."""
    events = [payout(key, 40_011, i) for i, key in enumerate("abc")] + [line("l1", 80_022, 4)]
    bar = [said(1, "not_same", "a", "l1", reconciliation="payouts_to_bank")]
    with reconciled(events, to_bank(), decisions=bar) as world:
        assert world.groups() == []  # of one price, so chance explains it
        assert world.rows("select distinct why_code from out_proposals") == [("chance",)]
    events[2] = payout("c", 40_012, 2)
    events[3] = line("l1", 80_023, 4)
    with reconciled(events, to_bank(), decisions=bar) as world:
        assert world.groups() == ["b+c+l1"]


def test_an_order_paid_in_two_charges_without_a_key_is_a_group() -> None:
    """The lump may stand on the left: one order, some payments in a row."""
    declared = rec(
        keys=[],
        window={"before": "1d", "after": "5d"},
        grouped={"enabled": True, "uncertified": "auto"},
    )
    events = [
        order("o1", 10_001), payment("p1", 6_003, event_ts=day(1)),
        payment("p2", 3_998, event_ts=day(2)), payment("p3", 777, event_ts=day(3)),
    ]  # fmt: skip
    with reconciled(events, declared) as world:
        assert world.groups() == ["o1+p1+p2"]
    with reconciled(events, declared.model_copy(update={"cardinality": "one_to_one"})) as world:
        assert world.groups() == []


def test_a_payout_that_the_bank_names_is_no_part_of_another_line() -> None:
    """A key speaks first: what names its counterpart is not added to a stranger."""
    named = [*LUMPED[:2], payout("c", 61_803, 2, payout_id="po_c"), *LUMPED[3:],
             *(line(f"l{i}", 61_803, 5, payout_id="po_c") for i in (2, 3))]  # fmt: skip
    with reconciled(named, to_bank()) as world:
        assert world.groups() == []
        assert world.rows("select distinct method, why_code from out_proposals") == [
            ("exact", "ambiguous")
        ]
    unknown = [*LUMPED[:4], LUMPED[4] | {"payout_id": "po_strange"}]
    unknown[1] = unknown[1] | {"payout_id": "po_b"}
    with reconciled(unknown, to_bank()) as world:
        assert world.groups() == []
        assert world.rows("select distinct why_code from out_proposals") == [("key_differs",)]


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to nine payouts of few amounts and up to three lines."""
    amounts = st.sampled_from([100, 107, 211, 350, -60, 100_000])
    events = [payout(f"p{i}", draw(amounts), i) for i in range(draw(st.integers(0, 9)))]
    for i in range(draw(st.integers(0, 3))):
        size = draw(st.integers(1, 4))
        chosen = [e["amount"] for e in events[i : i + size]]
        events.append(line(f"l{i}", sum(chosen) or 5, draw(st.integers(0, 14))))
    return draw(st.permutations(events))


def runs_by_hand(events: list[dict[str, Any]]) -> dict[str, list[list[str]]]:
    """For each line all runs of payouts that add up to it, -1 to 10 days before."""
    payouts = sorted((e for e in events if e["event_type"] == "payout"),
                     key=lambda e: e["event_ts"])  # fmt: skip
    found: dict[str, list[list[str]]] = {}
    for target in (e for e in events if e["event_type"] == "bank_line"):
        ago = {p["event_key"]: (target["event_ts"] - p["event_ts"]).days for p in payouts}
        near = [p for p in payouts if -1 <= ago[p["event_key"]] <= 10]
        found[target["event_key"]] = [
            [p["event_key"] for p in near[i:j]]
            for i, j in combinations(range(len(near) + 1), 2)
            if sum(p["amount"] for p in near[i:j]) == target["amount"]
        ]
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.sampled_from([1, 2]))
def test_only_a_single_run_that_nobody_else_claims_is_taken(
    events: list[dict[str, Any]], threads: int
) -> None:
    """Held against adding up every run by hand, in any order of the events."""
    by_hand = runs_by_hand(events)
    claims = [set(r) for runs in by_hand.values() for r in runs]
    with reconciled(events, to_bank(), threads=threads) as world:
        for group in world.groups():
            *parts, target = sorted(group.split("+"), key=lambda k: k.startswith("l"))
            assert [sorted(r) for r in by_hand[target]] == [parts]
            assert sum(bool(c & set(parts)) for c in claims) == 1
        alone = {target: runs[0] for target, runs in by_hand.items()
                 if len(runs) == 1 and len(runs[0]) > 1
                 and sum(bool(c & set(runs[0])) for c in claims) == 1}  # fmt: skip
        asked = dict(world.rows("select right_key, min(why_code) from out_proposals group by 1"))
        matched = {g.split("+")[0] for g in world.groups()}
        for target in alone:
            assert target in matched or asked[target] == "chance"


def test_shuffled_events_give_the_same_answers() -> None:
    """No row order decides anything: five shuffles, one result."""
    rng = random.Random(3)  # noqa: S311 - a fixed shuffle, no secret
    events = [payout(f"p{i:02}", rng.randrange(1_000, 90_000), i / 3) for i in range(30)]
    for i in range(5):
        chosen = events[i * 6 : i * 6 + 2 + i % 3]
        events.append(line(f"l{i}", sum(e["amount"] for e in chosen), i * 2 + 2))
    seen = set()
    for _ in range(5):
        rng.shuffle(events)
        with reconciled(events, to_bank()) as world:
            seen.add(tuple(world.groups()))
    assert seen == {(
        "l0+p00+p01", "l1+p06+p07+p08", "l2+p12+p13+p14+p15", "l3+p18+p19", "l4+p24+p25+p26",
    )}  # fmt: skip


def test_what_a_key_match_leaves_open_is_asked_about() -> None:
    """A line that names one payout and brings two: the other one is proposed, never booked."""
    events = [
        payout("a", 40_018, 0, payout_id="po_a"), payout("b", 35_220, 1, payout_id="po_b"),
        line("l1", 40_018 + 35_220, 3, payout_id="po_a"),
    ]  # fmt: skip
    with reconciled(events, to_bank()) as world:
        assert world.groups() == ["a+l1"]
        assert world.rows("select left_key, right_key, method, why_code from out_proposals") == [
            ("b", "l1", "grouped", "residual")
        ]
        assert world.open("event_key", "state", "why_code", "why")[0] == (
            "b", "proposed", "proposed",
            "would close what is open of bank line; a person confirms",
        )  # fmt: skip
    yes = [said(1, "same", "b", "l1", reconciliation="payouts_to_bank")]
    with reconciled(events, to_bank(), decisions=yes) as world:
        assert world.groups() == ["a+b+l1"]
        assert world.matches("residual_minor") == [(0,)]
    other = [payout("c", 35_220, 2), *events]
    with reconciled(other, to_bank()) as world:
        assert world.rows("select distinct why_code from out_proposals") == [("ambiguous",)]
        assert world.rows("select distinct equal_answers from out_pair_evidence") == [(2,)]
