"""What people said comes first, while the evidence it was said on stands."""

from __future__ import annotations

from matching_world import day, event, order, payment, person, rec, reconciled, said

from recon_kit import model
from recon_kit.matching.evidence import evidence_hash

LOOSE = [order("o1", 100), payment("p1", 100), order("o2", 100), payment("p2", 100)]


def test_same_pins_a_pair_that_no_key_joins() -> None:
    """A pinned pair is a confirmed match."""
    with reconciled(LOOSE, decisions=[said(1, "same", "o1", "p2")]) as world:
        assert world.groups() == ["o1+p2"]
        assert world.matches("method", "disposition", "confidence", "residual_minor") == [
            ("decided", "confirmed", 1.0, 0)
        ]


def test_pins_that_touch_are_one_match() -> None:
    """Two payments said to be of one order are its parts, even under one_to_one."""
    decisions = [said(1, "same", "o1", "p1"), said(2, "same", "o1", "p2")]
    with reconciled(LOOSE, rec(cardinality="one_to_one"), decisions=decisions) as world:
        assert world.groups() == ["o1+p1+p2"]
        assert world.matches("left_sum", "right_sum", "disposition") == [(100, 200, "confirmed")]
    chain = [*decisions, said(3, "same", "o2", "p2")]
    with reconciled(LOOSE, decisions=chain) as world:
        assert world.groups() == ["o1+o2+p1+p2"]


def test_a_pin_takes_precedence_over_a_key() -> None:
    """The key would join others; the person is believed."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1"), payment("p2", 100)]
    with reconciled(events, decisions=[said(1, "same", "o1", "p2")]) as world:
        assert world.groups() == ["o1+p2"]
        assert world.open("event_key", "why_code") == [("p1", "key_taken")]


def test_not_same_bars_the_pair_from_every_later_method() -> None:
    """The key does not join it any more, in a pair or in a group."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1")]
    with reconciled(events, decisions=[said(1, "not_same", "o1", "p1")]) as world:
        assert world.groups() == []
        assert world.open("event_key", "why_code", "why") == [
            ("o1", "not_same", "a person said that payment is not its counterpart"),
            ("p1", "not_same", "a person said that order is not its counterpart"),
        ]
    more = [*events, payment("p2", 100, order_id="1")]
    with reconciled(more, decisions=[said(1, "not_same", "o1", "p1")]) as world:
        assert world.groups() == ["o1+p2"]
    two = [*events, order("o2", 100, order_id="1"), payment("p2", 100, order_id="1")]
    bars = [said(1, "not_same", "o1", "p1"), said(2, "not_same", "o2", "p2")]
    with reconciled(two, decisions=bars) as world:
        assert world.groups() == ["o1+p2", "o2+p1"]


def test_the_latest_word_on_a_pair_counts() -> None:
    """A second decision on the same pair replaces the first."""
    decisions = [said(1, "same", "o1", "p1"), said(2, "not_same", "o1", "p1")]
    with reconciled(LOOSE, decisions=decisions) as world:
        assert world.groups() == []


def test_no_counterpart_takes_the_event_out() -> None:
    """It is neither matched nor open."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1")]
    with reconciled(events, decisions=[said(1, "no_counterpart", "o1", None)]) as world:
        assert world.groups() == []
        assert world.open("event_key") == [("p1",)]


def test_who_named_a_counterpart_later_took_back_that_there_is_none() -> None:
    """The counterpart is told no more: it is asked again, and the event stands in no way."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1")]
    words = [said(1, "no_counterpart", "o1", None), said(2, "same", "o1", "gone")]
    with reconciled(events, decisions=words) as world:
        assert world.groups() == ["o1+p1"]
        assert world.outcome.reopened.rows() == [(2, "o1", "gone", "same", "event_gone")]


def test_a_decision_on_changed_evidence_is_asked_again() -> None:
    """The hash of what was shown must be the hash of what is there."""
    stands = model.digest("payload of o1", "payload of p2")
    with reconciled(LOOSE, decisions=[said(1, "same", "o1", "p2", evidence_hash=stands)]) as world:
        assert world.groups() == ["o1+p2"]
        assert world.outcome.reopened.height == 0
        assert evidence_hash(world.engine, ["p2", "o1"]) == stands
    changed = [said(1, "same", "o1", "p2", evidence_hash="of yesterday"),
               said(2, "not_same", "o2", "p2", evidence_hash="of yesterday"),
               said(3, "same", "o2", "gone")]  # fmt: skip
    with reconciled(LOOSE, decisions=changed) as world:
        assert world.groups() == []
        assert world.outcome.reopened.rows() == [
            (1, "o1", "p2", "same", "evidence_changed"),
            (2, "o2", "p2", "not_same", "evidence_changed"),
            (3, "o2", "gone", "same", "event_gone"),
        ]


def test_accepting_a_residual_closes_it_while_the_match_stands() -> None:
    """A new part changes the members, so the question is asked again."""
    events = [order("o1", 100, order_id="1"), payment("p1", 60, order_id="1")]
    stands = model.digest("payload of o1", "payload of p1")
    accepted = [said(1, "accept_residual", "o1", "p1", evidence_hash=stands)]
    with reconciled(events, decisions=accepted) as world:
        assert world.open("event_key") == []
        assert world.matches("discrepancies", "residual_minor") == [
            ('["amount_mismatch","residual_accepted"]', 40)
        ]
    more = [*events, payment("p2", 10, order_id="1")]
    with reconciled(more, decisions=accepted) as world:
        assert world.open("event_key", "amount_minor") == [("o1", 30)]
        assert world.outcome.reopened.rows() == [
            (1, "o1", "p1", "accept_residual", "evidence_changed")
        ]


def test_write_off_closes_an_open_event_but_lets_it_match_later() -> None:
    """Money given up is no open item; when it comes after all it is matched."""
    lone = [order("o1", 100, order_id="1")]
    decisions = [said(1, "write_off", "o1", None)]
    with reconciled(lone, decisions=decisions) as world:
        assert world.open("event_key") == []
    with reconciled([*lone, payment("p1", 100, order_id="1")], decisions=decisions) as world:
        assert world.groups() == ["o1+p1"]


def test_a_late_part_joins_the_match_that_a_person_made() -> None:
    """The second charge names only its transaction and closes the residual."""
    events = [
        order("o1", 100, order_id="1", transaction_id="t1"), payment("p1", 60),
        payment("p2", 40, order_id="1"),
    ]  # fmt: skip
    with reconciled(events, decisions=[said(1, "same", "o1", "p1")]) as world:
        assert world.groups() == ["o1+p1+p2"]
        assert world.matches("method", "disposition", "residual_minor") == [
            ("decided", "confirmed", 0)
        ]
    with reconciled(
        [*events[:2], payment("p2", 41, order_id="1")], decisions=[said(1, "same", "o1", "p1")]
    ) as world:
        assert world.groups() == ["o1+p1"]


def test_a_part_under_another_key_completes_an_exact_match() -> None:
    """60 by the order id, 40 by the transaction id: one split."""
    events = [
        order("o1", 100, order_id="1", transaction_id="t1"), payment("p1", 60, order_id="1"),
        payment("p2", 40, transaction_id="t1"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1+p2"]
        assert world.matches("discrepancies", "residual_minor") == [(None, 0)]


def test_decisions_of_another_reconciliation_do_nothing_here() -> None:
    """A decision names its reconciliation."""
    other = [said(1, "same", "o1", "p1", reconciliation="payouts_to_bank")]
    with reconciled(LOOSE, decisions=other) as world:
        assert world.groups() == []


def test_a_pinned_pair_gets_its_refund() -> None:
    """What hangs on a payment follows it into the match a person made."""
    events = [*LOOSE[:2], event("r1", "stripe", "refund", -5, parent_key="t1", event_ts=day(9))]
    events[1] = events[1] | {"transaction_id": "t1"}
    with reconciled(
        events, decisions=[said(1, "same", "o1", "p1")], who=[person("o1", "a@b.c")]
    ) as world:
        assert world.groups() == ["o1+p1+r1"]


def test_what_two_people_disagree_about_is_applied_for_nobody() -> None:
    """One says same, another not: neither word counts, and both are asked again."""
    decisions = [said(1, "same", "o1", "p1"), said(2, "not_same", "o1", "p1", reviewer="bo")]
    with reconciled(LOOSE, decisions=decisions) as world:
        assert world.groups() == []
        assert world.outcome.reopened.rows() == [
            (1, "o1", "p1", "same", "reviewers_disagree"),
            (2, "o1", "p1", "not_same", "reviewers_disagree"),
        ]


def test_whoever_adjudicates_ends_the_dispute() -> None:
    """The third person's word silences both; so does one of the two who gives in."""
    decisions = [said(1, "same", "o1", "p1"), said(2, "not_same", "o1", "p1", reviewer="bo")]
    third = said(3, "same", "o1", "p1", reviewer="cy", reason_code="adjudicated")
    with reconciled(LOOSE, decisions=[*decisions, third]) as world:
        assert world.groups() == ["o1+p1"]
        assert world.outcome.reopened.height == 0
    gives_in = said(3, "same", "o1", "p1", reviewer="bo")
    with reconciled(LOOSE, decisions=[*decisions, gives_in]) as world:
        assert world.groups() == ["o1+p1"]


def test_two_counterparts_named_by_two_people_are_a_dispute_where_one_is_allowed() -> None:
    """Ana says p1, Bo says p2: under one_to_one somebody is wrong, under one_to_many nobody."""
    decisions = [said(1, "same", "o1", "p1"), said(2, "same", "o1", "p2", reviewer="bo")]
    with reconciled(LOOSE, rec(cardinality="one_to_one"), decisions=decisions) as world:
        assert world.groups() == []
        assert set(world.outcome.reopened["why_code"]) == {"reviewers_disagree"}
    with reconciled(LOOSE, rec(cardinality="one_to_many"), decisions=decisions) as world:
        assert world.groups() == ["o1+p1+p2"]
    labels = [d | {"stream": "audit"} for d in decisions]
    with reconciled(LOOSE, rec(cardinality="one_to_many"), decisions=labels) as world:
        assert world.groups() == []


def test_a_counterpart_and_none_contradict_one_another() -> None:
    """Two people: a dispute. One person: a change of mind, either way round."""
    two = [said(1, "same", "o1", "p1"), said(2, "no_counterpart", "o1", None, reviewer="bo")]
    with reconciled(LOOSE, decisions=two) as world:
        assert world.groups() == []
        assert {r[0] for r in world.open("event_key")} == {"o1", "o2", "p1", "p2"}
    with reconciled(LOOSE, decisions=[two[0], two[1] | {"reviewer": "ana"}]) as world:
        assert {r[0] for r in world.open("event_key")} == {"o2", "p1", "p2"}
    back = [two[1] | {"seq": 1, "reviewer": "ana"}, two[0] | {"seq": 2}]
    with reconciled(LOOSE, decisions=back) as world:
        assert world.groups() == ["o1+p1"]


def test_unsure_takes_back_ones_own_word_only() -> None:
    """Bo's doubt does not undo what Ana said; her own does."""
    decisions = [said(1, "same", "o1", "p1"), said(2, "unsure", "o1", "p1", reviewer="bo")]
    with reconciled(LOOSE, decisions=decisions) as world:
        assert world.groups() == ["o1+p1"]
    with reconciled(LOOSE, decisions=[decisions[0], said(2, "unsure", "o1", "p1")]) as world:
        assert world.groups() == []


def test_a_chain_of_same_that_holds_a_barred_pair_is_not_joined() -> None:
    """o1 = p1, o2 = p1, o2 = p2, but o1 is not p2: the whole chain is asked again."""
    chain = [
        said(1, "same", "o1", "p1"), said(2, "same", "o2", "p1"), said(3, "same", "o2", "p2"),
        said(4, "not_same", "o1", "p2"),
    ]  # fmt: skip
    with reconciled(LOOSE, decisions=chain) as world:
        assert world.groups() == []
        assert world.outcome.reopened.select("seq", "why_code").rows() == [
            (1, "contradicts_not_same"), (2, "contradicts_not_same"), (3, "contradicts_not_same"),
        ]  # fmt: skip
