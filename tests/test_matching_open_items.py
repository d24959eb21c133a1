"""What is open, until when, and what kept it apart."""

from __future__ import annotations

from matching_world import day, event, order, payment, person, rec, reconciled, said

STATES = ("event_key", "side", "state")


def test_an_item_is_in_flight_until_its_settlement_time() -> None:
    """Five business days after Monday end with the next Monday, in the workspace's zone."""
    events = [order("o1", 100)]
    with reconciled(events, as_of=day(7.49)) as world:
        assert world.open(*STATES) == [("o1", "left", "in_flight")]
        assert world.rows("select expected_by::varchar from out_open_items") == [
            ("2026-03-10 00:00:00+00",)
        ]
    with reconciled(events, as_of=day(7.5)) as world:
        assert world.open(*STATES) == [("o1", "left", "overdue")]
    with reconciled(events, as_of=day(7.5), timezone="America/New_York") as world:
        assert world.open(*STATES) == [("o1", "left", "in_flight")]


def test_holidays_do_not_count_as_business_days() -> None:
    """Good Friday and Easter Monday of 2026 rest in Germany."""
    events = [order("o1", 100, event_ts=day(31))]
    with reconciled(events, rec(settles_within="2bd"), as_of=day(35), holidays="DE") as world:
        assert world.rows("select expected_by::varchar from out_open_items") == [
            ("2026-04-09 00:00:00+00",)
        ]
    with reconciled(events, rec(settles_within="2bd"), as_of=day(35)) as world:
        assert world.rows("select expected_by::varchar from out_open_items") == [
            ("2026-04-07 00:00:00+00",)
        ]


def test_outside_the_other_sides_coverage_nothing_is_known() -> None:
    """Before its first file, after its last one, in a gap, or without any file."""
    events = [order("o1", 100)]
    seen = {}
    for name, files in {
        "whole": [(-1, 30)],
        "late_start": [(3, 30)],
        "early_end": [(-30, 5)],
        "gap": [(-30, 2), (5, 30)],
        "joined": [(-30, 2), (3, 30)],
        "none": [],
    }.items():
        coverage = [("stripe", day(a), day(b)) for a, b in files]
        with reconciled(events, coverage=coverage) as world:
            seen[name] = world.open("state")[0][0]
    assert seen == {
        "whole": "overdue",
        "late_start": "not_covered",
        "early_end": "not_covered",
        "gap": "not_covered",
        "joined": "overdue",
        "none": "not_covered",
    }


def test_every_source_of_the_other_side_must_have_told() -> None:
    """The counterpart may be in the file that is missing."""
    declared = rec(right={"sources": ["stripe", "paypal"], "types": ["payment"]})
    both = [("stripe", day(-9), day(30)), ("paypal", day(-9), day(30))]
    with reconciled([order("o1", 100)], declared, coverage=both) as world:
        assert world.open("state") == [("overdue",)]
    with reconciled([order("o1", 100)], declared, coverage=both[:1]) as world:
        assert world.open("state") == [("not_covered",)]


def test_a_right_event_looks_backwards() -> None:
    """A payment's order came first: it is the order file before it that must be there."""
    events = [payment("p1", 100)]
    with reconciled(events, coverage=[("shop", day(-20), day(0))]) as world:
        assert world.open(*STATES) == [("p1", "right", "overdue")]
    with reconciled(events, coverage=[("shop", day(0), day(30))]) as world:
        assert world.open(*STATES) == [("p1", "right", "not_covered")]


def test_an_event_without_a_time_is_overdue_and_never_hidden() -> None:
    """What has no clock is shown to a person."""
    with reconciled([order("o1", 100, event_ts=None), payment("p1", 5)]) as world:
        assert world.open("event_key", "state", "expected_by")[0] == ("o1", "overdue", None)


def test_where_everything_is_matched_no_reason_is_looked_for() -> None:
    """One order and its payment: nothing is open, and nobody is compared."""
    events = [order("o1", 100, order_id="1001"), payment("p1", 100, order_id="1001")]
    with reconciled(events) as world:
        assert world.open("event_key") == []
        assert {"hints", "compared"}.isdisjoint(t.name for t in world.outcome.trail)
    with reconciled(events[:1]) as world:
        assert {"hints", "compared"} <= {t.name for t in world.outcome.trail}


def test_nothing_near_says_which_keys_nobody_carries() -> None:
    """The sentence names the keys in words."""
    events = [order("o1", 100, order_id="1001"), payment("p1", 777)]
    with reconciled(events) as world:
        assert world.open("event_key", "why_code", "nearest_key", "why") == [
            ("o1", "nothing", None,
             "no payment carries order id 1001; nothing open comes near by amount or customer"),
            ("p1", "nothing", None,
             ("it carries none of: order id, transaction id, invoice number; "
             "nothing open comes near by amount or customer")),
        ]  # fmt: skip


def test_the_nearest_by_amount_says_how_far_it_is() -> None:
    """The nearest in time of the same amount, and what differs."""
    events = [order("o1", 1000, order_id="1001"),
              payment("p1", 1000, native_id="ch_1", event_ts=day(3)),
              payment("p2", 1000, native_id="ch_2", event_ts=day(-5))]  # fmt: skip
    who = [person("o1", "ana@x.io", "Ana Diaz"), person("p1", "bob@y.io", "Bob Lee")]
    with reconciled(events, who=who) as world:
        assert world.open("event_key", "why_code", "nearest_key", "why")[0] == (
            "o1", "amount", "p1",
            ("no payment carries order id 1001; nearest by amount: payment ch_1, 10.00 EUR, "
            "3 days later, another customer"),
        )  # fmt: skip


def test_the_nearest_by_customer_says_that_the_amount_differs() -> None:
    """Where no amount is equal, the same customer is the next best hint."""
    events = [order("o1", 1000), payment("p1", 1200, native_id="ch_1", event_ts=day(-1))]
    who = [person("o1", "ana@x.io"), person("p1", "Ana@x.io")]
    with reconciled(events, who=who) as world:
        assert world.open("why_code", "why")[0] == (
            "customer",
            (
                "it carries none of: order id, transaction id, invoice number; nearest by "
                "customer: payment ch_1, 12.00 EUR, 1 day earlier, another amount"
            ),
        )


def test_the_nearest_tells_no_difference_that_nobody_told() -> None:
    """An order without an amount has no other currency, and 23 hours later is another day."""
    events = [order("o1", None, currency=None),
              payment("p1", 1200, native_id="ch_1", event_ts=day(23 / 24))]  # fmt: skip
    who = [person("o1", "ana@x.io"), person("p1", "ana@x.io")]
    with reconciled(events, rec(keys=[]), who=who) as world:
        assert world.open("event_key", "why") == [
            ("o1", ("no key is declared; nearest by customer: payment ch_1, 12.00 EUR, less than a"
             " day later")),
            ("p1", "no key is declared; nearest by customer: order, less than a day earlier"),
        ]  # fmt: skip


def test_what_is_proposed_is_not_called_undecidable() -> None:
    """Thirty orders could add up to a payment, too many to tell which; one of them is proposed for
    it, and that is what its sentence tells. Where none is, it tells how many there are.
    """
    events = [order(f"o{i:02}", 10_000 + i * 137, event_ts=day(i / 10)) for i in range(30)]
    events.append(payment("p", 50_000, event_ts=day(4), native_id="ch_1"))
    events[0]["native_id"] = "#7001"
    methods = {"decomposed": {"enabled": True}, "probable": {"enabled": True}}
    declared = rec(cardinality="many_to_one", keys=[], **methods)
    ana = [person(key, "ana@x.io", "Ana Diaz") for key in ("o00", "p")]
    with reconciled(events, declared, who=ana) as world:
        assert world.open("event_key", "state", "why_code", "nearest_key", "why")[-1] == (
            "p", "proposed", "proposed", "o00",
            ("no key is declared; most probable: order #7001, 100.00 EUR, 4 days earlier, another "
            "amount"),
        )  # fmt: skip
    with reconciled(events, declared, who=ana[:1]) as world:
        assert world.open("event_key", "why_code", "nearest_key", "why")[-1] == (
            "p", "undecidable", None,
            "30 open items could be part of it: too many to tell which",
        )  # fmt: skip


def test_a_key_that_is_taken_names_who_has_it() -> None:
    """The counterpart exists but stands in another match."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1", native_id="ch_1"),
              order("o2", 100, order_id="1")]  # fmt: skip
    decisions = [said(1, "same", "o1", "p1")]
    with reconciled(events, decisions=decisions) as world:
        assert world.open("event_key", "why_code", "nearest_key", "why") == [
            ("o2", "key_taken", "p1",
             "payment ch_1 carries the same order id, but stands in another match"),
        ]  # fmt: skip


def test_amount_at_risk_is_positive_and_in_its_currency() -> None:
    """An orphan refund of -10.90 USD puts 10.90 USD at risk."""
    events = [event("r1", "stripe", "refund", -1090, currency="USD", parent_key="gone"),
              event("c1", "stripe", "chargeback", -500, parent_key="gone")]  # fmt: skip
    with reconciled(events) as world:
        assert world.open("event_key", "side", "why_code", "amount_minor", "currency", "why") == [
            ("c1", "right", "chargeback", 500, "EUR",
             "no row carries the id that this chargeback corrects"),
            ("r1", "right", "refund_without_payment", 1090, "USD",
             "no row carries the id that this refund corrects"),
        ]  # fmt: skip


def test_item_ids_do_not_depend_on_what_else_is_there() -> None:
    """The id is the hash of the reconciliation and the anchor."""
    events = [order("o1", 100), payment("p1", 5)]
    with reconciled(events) as one, reconciled(events[:1]) as other:
        assert one.open("item_id")[0] == other.open("item_id")[0]


def test_a_residual_of_a_payout_is_anchored_on_the_payout() -> None:
    """The principal is the anchor, whichever side it stands on."""
    declared = rec(
        name="payments_to_payouts", attach=[], keys=["payout_id"], cardinality="many_to_one",
        left={"sources": ["stripe"], "types": ["payment"]},
        right={"sources": ["stripe"], "types": ["payout"]},
    )  # fmt: skip
    events = [payment("p1", 60, payout_id="po"),
              event("x1", "stripe", "payout", 123_510, payout_id="po")]  # fmt: skip
    with reconciled(events, declared) as world:
        assert world.open("event_key", "side", "amount_minor", "why") == [
            ("x1", "right", 123_450, "1,234.50 EUR of it has no counterpart yet")
        ]
