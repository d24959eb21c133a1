"""Approved rules match what they prove, propose what they cannot tell apart, bar what is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from matching_world import MONDAY, day, event, order, payment, person, reconciled, said

from recon_kit.matching.rules import Rule


def rule(name: str, *conditions: dict[str, Any], **more: Any) -> Rule:
    """A hand-written rule of orders_to_payments."""
    fields: dict[str, Any] = {
        "name": name, "reconciliation": "orders_to_payments", "conditions": conditions,
        "decisions": [7], "support": 1, "created": MONDAY, "expires": MONDAY + timedelta(days=90),
    }  # fmt: skip
    return Rule.model_validate(fields | more)


IN_TEXT = rule(
    "customer_in_text",
    {"test": "contains", "left": "customer_id", "right": "description", "within": "right"},
    {"test": "amount", "minor_units": 2},
)
INVOICED = [
    order("o1", 100, customer_id="RE-2041"),
    payment("p1", 99, description="Payment of RE-2041, thank you"),
    order("o2", 100), payment("p2", 100, description="REF ---"),
]  # fmt: skip


def test_a_rule_joins_what_meets_all_its_conditions() -> None:
    """The match names the rule in words and by the hash that was approved."""
    with reconciled(INVOICED, rules=(IN_TEXT,)) as world:
        assert world.groups() == ["o1+p1"]
        assert world.matches("method", "disposition", "rule_id", "confidence") == [
            ("learned", "auto", IN_TEXT.content_hash, 1.0)
        ]
        assert world.members("event_key", "role", "key_used") == [
            ("o1", "principal", "customer_in_text"), ("p1", "part", "customer_in_text")
        ]  # fmt: skip
        assert world.open("event_key", "why_code") == [
            ("o1", "residual"), ("o2", "amount"), ("p2", "amount")
        ]  # fmt: skip


def test_without_a_rule_in_force_nothing_is_learned() -> None:
    """Rules of another reconciliation do nothing here."""
    other = IN_TEXT.model_copy(update={"reconciliation": "payouts_to_bank"})
    for rules in ((), (other,)):
        with reconciled(INVOICED, rules=rules) as world:
            assert world.groups() == []


def test_an_empty_reference_is_contained_in_nothing() -> None:
    """No text, a null-like one and one of three letters prove nothing, though all contain them."""
    for reference in (None, "", "-", "n/a", "  ", "RE2"):
        events = [
            order("o1", 100, customer_id=reference),
            payment("p1", 100, description=f"n/a - RE2 {reference}"),
        ]
        with reconciled(events, rules=(IN_TEXT,)) as world:
            assert world.groups() == [], reference


def test_more_than_one_candidate_is_a_question() -> None:
    """Both pairs are proposed with the number of candidates; neither is picked."""
    events = [*INVOICED[:2], payment("p9", 100, description="RE-2041 again")]
    with reconciled(events, rules=(IN_TEXT,)) as world:
        assert world.groups() == []
        assert world.rows(
            "select left_key, right_key, method, why_code, equal_answers from out_proposals"
            " join out_pair_evidence using (match_id, left_key, right_key) order by all"
        ) == [("o1", "p1", "learned", "ambiguous", 2), ("o1", "p9", "learned", "ambiguous", 2)]
        assert world.open("event_key", "state", "why_code")[0] == ("o1", "proposed", "ambiguous")


def test_candidates_are_counted_over_all_rules() -> None:
    """Two rules that each find one partner, but not the same, find none together."""
    by_text = rule("by_text", {"test": "equal", "left": "customer_id", "right": "description",
                               "right_as": "last_word"})  # fmt: skip
    by_mail = rule("by_mail", {"test": "equal", "left": "email", "right": "email",
                               "left_as": "lower", "right_as": "lower"})  # fmt: skip
    events = [
        order("o1", 100, customer_id="RE-2041"), payment("p1", 100, description="for RE-2041"),
        payment("p2", 100),
    ]  # fmt: skip
    who = [person("o1", "Ana@b.c"), person("p2", "ana@B.c")]
    with reconciled(events, rules=(by_text,), who=who) as world:
        assert world.groups() == ["o1+p1"]
    with reconciled(events, rules=(by_mail,), who=who) as world:
        assert world.groups() == ["o1+p2"]
    with reconciled(events, rules=(by_text, by_mail), who=who) as world:
        assert world.groups() == []
        assert world.outcome.tables["proposals"] == 2


def test_a_cut_reference_is_a_prefix() -> None:
    """A bank that cuts the payout's id off is still understood, from eight letters on."""
    cut = rule("cut_reference", {
        "test": "prefix", "left": "payout_id", "right": "description", "right_as": "last_word",
        "within": "left", "length_min": 8,
    })  # fmt: skip
    events = [
        order("o1", 100, payout_id="po_1AbCdEfGh"),
        payment("p1", 100, description="STRIPE TRANSFER po_1AbCd"),
        order("o2", 100, payout_id="po_1ZZZZZZ"), payment("p2", 100, description="STRIPE po_1"),
    ]  # fmt: skip
    with reconciled(events, rules=(cut,)) as world:
        assert world.groups() == ["o1+p1"]


def test_constants_amounts_and_days_narrow_a_rule() -> None:
    """Each condition that fails keeps the pair apart; half a percent of 10.00 is five cents."""

    def near(*more: dict[str, Any]) -> Rule:
        return rule("near", {"test": "amount", "percent": "0.5"},
                    {"test": "days", "before": 1, "after": 3}, *more)  # fmt: skip

    def groups(amount: int, days: float, *more: dict[str, Any]) -> list[str]:
        events = [order("o1", 1_000), payment("p1", amount, event_ts=day(days))]
        with reconciled(events, rules=(near(*more),)) as world:
            return world.groups()

    assert groups(1_005, 3) == groups(995, -1) == ["o1+p1"]
    assert groups(1_006, 3) == groups(1_005, 3.01) == groups(1_005, -1.01) == []
    euro = {"test": "is", "side": "right", "field": "currency", "values": ["EUR", "CHF"]}
    assert groups(1_000, 0, euro) == ["o1+p1"]
    assert groups(1_000, 0, euro | {"values": ["USD"]}) == []


def test_a_rule_of_not_same_bars_its_pairs_from_later_methods() -> None:
    """The open item names the rule, not a person."""
    never = rule(
        "never_by_name", {"test": "equal", "left": "customer_id", "right": "description"},
        verdict="not_same",
    )  # fmt: skip
    events = [order("o1", 100, customer_id="X-77"), payment("p1", 100, description="X-77")]
    with reconciled(events, rules=(never,)) as world:
        assert world.groups() == []
        assert world.open("event_key", "why_code", "why") == [
            ("o1", "ruled_out", "rule never_by_name says that payment is not its counterpart"),
            ("p1", "ruled_out", "rule never_by_name says that order is not its counterpart"),
        ]


def test_rules_that_contradict_each_other_are_reported_and_neither_applies() -> None:
    """One says same, the other not the same, of one pair; the rest of both rules still holds."""
    never = rule(
        "never_from_shop_b",
        {"test": "contains", "left": "customer_id", "right": "description", "within": "right"},
        {"test": "is", "side": "left", "field": "channel", "values": ["b"]},
        verdict="not_same",
    )  # fmt: skip
    events = [
        order("o1", 100, customer_id="RE-2041", channel="b"),
        payment("p1", 100, description="RE-2041"),
        order("o2", 100, customer_id="RE-2042"), payment("p2", 100, description="RE-2042"),
    ]  # fmt: skip
    with reconciled(events, rules=(IN_TEXT, never)) as world:
        assert world.groups() == ["o2+p2"]
        assert world.outcome.notes == (
            (
                "rules customer_in_text and never_from_shop_b contradict each other on 1 pair: "
                "neither applies there"
            ),
        )
        assert world.open("event_key", "why_code", "why")[0] == (
            "o1", "rule_conflict",
            "rules customer_in_text and never_from_shop_b contradict each other about payment",
        )  # fmt: skip


def test_a_person_overrules_a_rule() -> None:
    """A pair that was said not to be the same is no candidate of any rule."""
    with reconciled(
        INVOICED, rules=(IN_TEXT,), decisions=[said(1, "not_same", "o1", "p1")]
    ) as world:
        assert world.groups() == []


def test_a_rule_that_would_look_at_too_many_pairs_is_not_run() -> None:
    """It says so beside the run instead of taking the machine down."""
    loose = rule("loose", {"test": "amount"})
    count = 2_300
    events = [event(f"{s}{i}", source, kind, 5_000 + i, event_ts=None)
              for s, source, kind in (("o", "shop", "order"), ("p", "stripe", "payment"))
              for i in range(count)]  # fmt: skip
    with reconciled(events, rules=(loose,)) as world:
        assert world.groups() == []
        assert world.outcome.notes == (
            (
                "rule loose was not run: it would look at 5,290,000 pairs; "
                "give it an equal or prefix test"
            ),
        )


def test_amounts_in_no_common_currency_wait_for_a_person() -> None:
    """A rule proves the pair, not the rate."""
    by_text = rule("by_text", {"test": "equal", "left": "customer_id", "right": "description"})
    events = [
        order("o1", 100, customer_id="RE-2041"),
        payment("p1", 100, description="RE-2041", currency="USD"),
    ]
    with reconciled(events, rules=(by_text,)) as world:
        assert world.matches("method", "disposition", "discrepancies") == [
            ("learned", "review", '["currency"]')
        ]


def test_a_text_of_a_rule_cannot_end_a_statement() -> None:
    """Quotes in constants and in the names of further columns are data."""
    odd = rule(
        "odd", {"test": "equal", "left": "raw_keys.a'; drop table pool_rows; --",
                "right": 'raw_keys.b"', "length_min": 2},
        {"test": "is", "side": "left", "field": "channel", "values": ["o'neil"]},
    )  # fmt: skip
    events = [
        order("o1", 100, channel="o'neil", raw_keys='{"a\'; drop table pool_rows; --":"K-1"}'),
        payment("p1", 100, raw_keys='{"b\\"":"#K-1"}'),
    ]
    with reconciled(events, rules=(odd,)) as world:
        assert world.groups() == ["o1+p1"]


def test_the_same_rules_in_any_order_and_on_any_threads_say_the_same() -> None:
    """Two rules that agree on a pair are one match, named by the first rule in order."""
    twin = IN_TEXT.model_copy(update={"name": "another_name"})
    seen = set()
    for rules in ((IN_TEXT, twin), (twin, IN_TEXT)):
        for threads in (1, 2):
            with reconciled(INVOICED[::-1], rules=rules, threads=threads) as world:
                seen.add(tuple(world.matches("match_id", "rule_id")))
    assert len(seen) == 1
    assert next(iter(seen))[0][1] == twin.content_hash
