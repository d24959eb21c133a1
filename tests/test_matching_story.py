"""The one story of the product, end to end in literal cents."""

from __future__ import annotations

from matching_world import day, event, order, payment, rec, reconciled

from recon_kit import model
from recon_kit.settings import Reconciliation

ORDER = order("o1", 10000, native_id="#1001", order_id="1001", refunded_amount=1000)
FIRST = payment(
    "p1", 6540, fee=220, net=6320, currency="USD", presentment_amount=6000,
    presentment_currency="EUR", native_id="txn_1", transaction_id="ch_1", order_id="1001",
    payout_id="po_7", event_ts=day(0.1),
)  # fmt: skip
SECOND = payment(
    "p2", 4360, fee=156, net=4204, currency="USD", presentment_amount=4000,
    presentment_currency="EUR", native_id="txn_2", transaction_id="ch_2", order_id="1001",
    payout_id="po_7", event_ts=day(0.2),
)  # fmt: skip
AGAIN = SECOND | {"event_key": "p2b", "native_id": "txn_2b"}
REFUND = event(
    "r1", "stripe", "refund", -1090, fee=0, net=-1090, currency="USD", presentment_amount=-1000,
    presentment_currency="EUR", native_id="txn_3", parent_key="ch_1", payout_id="po_7",
    event_ts=day(2),
)  # fmt: skip
PAYOUT = event(
    "x1", "stripe", "payout", 9434, currency="USD", native_id="po_7", payout_id="po_7",
    event_ts=day(4),
)  # fmt: skip
BANK = event("b1", "bank", "bank_line", 9434, currency="USD", payout_id="po_7", event_ts=day(6))
WORLD = [ORDER, FIRST, SECOND, REFUND, PAYOUT, BANK]

TO_PAYOUTS = Reconciliation.model_validate({
    "name": "payments_to_payouts",
    "left": {"sources": ["stripe"],
             "types": ["payment", "refund", "chargeback", "fee", "adjustment"]},
    "right": {"sources": ["stripe"], "types": ["payout"]},
    "measure": {"left": "net", "right": "amount"},
    "keys": ["payout_id"], "cardinality": "many_to_one", "settles_within": "7d",
    "probable": {"enabled": False},
})  # fmt: skip
TO_BANK = Reconciliation.model_validate({
    "name": "payouts_to_bank",
    "left": {"sources": ["stripe"], "types": ["payout"]},
    "right": {"sources": ["bank"], "types": ["bank_line"]},
    "keys": ["payout_id"], "cardinality": "many_to_one",
    "window": {"before": "1d", "after": "10d"}, "probable": {"enabled": False},
})  # fmt: skip


def test_the_order_is_one_match_of_two_parts_with_its_refund_attached() -> None:
    """60.00 and 40.00 EUR presented add up to the order, the refund hangs on the first charge."""
    with reconciled(WORLD) as world:
        assert world.matches(
            "method", "disposition", "left_sum", "right_sum", "currency", "residual_minor",
            "discrepancies",
        ) == [("exact", "auto", 10000, 10000, "EUR", 0, None)]  # fmt: skip
        assert world.members(
            "event_key", "side", "role", "counts", "allocated_minor", "key_used", "parent"
        ) == [
            ("o1", "left", "principal", True, 10000, "order_id", None),
            ("p1", "right", "part", True, 6000, "order_id", None),
            ("p2", "right", "part", True, 4000, "order_id", None),
            ("r1", "right", "refund", False, -1000, "parent_key", "p1"),
        ]
        assert world.open("event_key") == []


def test_match_id_is_the_hash_of_the_members() -> None:
    """The SQL identity of a match equals `model.match_id`, with and without attached events."""
    plain = [order("o9", 500, order_id="9"), payment("p9", 500, order_id="9")]
    with reconciled([*WORLD, *plain]) as world:
        assert [
            (model.match_id("orders_to_payments", ["o1", "p1", "p2", "r1"]),),
            (model.match_id("orders_to_payments", ["p9", "o9"]),),
        ] == world.matches("match_id")


def test_before_the_second_charge_forty_euro_are_in_flight() -> None:
    """A missing part is a residual of 40.00 EUR, no case before its settlement time."""
    with reconciled([ORDER, FIRST, REFUND], as_of=day(3)) as world:
        assert world.matches(
            "left_sum", "right_sum", "residual_minor", "discrepancies", "disposition"
        ) == [(10000, 6000, 4000, '["amount_mismatch"]', "auto")]
        assert world.open(
            "event_key", "side", "state", "why_code", "amount_minor", "currency", "why"
        ) == [
            ("o1", "left", "in_flight", "residual", 4000, "EUR",
             "40.00 EUR of it has no counterpart yet"),
        ]  # fmt: skip


def test_the_residual_keeps_its_anchor_until_the_charge_closes_it() -> None:
    """The open item is known by the order, so the same case closes when the charge comes."""
    with reconciled([ORDER, FIRST], as_of=day(3)) as before:
        item = before.open("item_id", "event_key", "match_id")
        first = before.matches("match_id")[0][0]
    with reconciled([ORDER, FIRST], as_of=day(20)) as late:
        assert item == late.open("item_id", "event_key", "match_id")
        assert late.open("state") == [("overdue",)]
    assert [(model.digest("orders_to_payments", "residual", "o1"), "o1", first)] == item
    with reconciled(WORLD, as_of=day(20)) as after:
        assert after.open("item_id") == []


def test_a_second_delivery_of_the_charge_is_a_duplicate_and_never_a_payment() -> None:
    """The same transaction told twice counts once."""
    with reconciled([ORDER, FIRST, SECOND, AGAIN, REFUND]) as world:
        assert world.matches("left_sum", "right_sum", "residual_minor", "discrepancies") == [
            (10000, 10000, 0, '["duplicate"]')
        ]
        assert world.members("event_key", "role", "counts") == [
            ("o1", "principal", True), ("p1", "part", True), ("p2", "part", True),
            ("p2b", "duplicate", False), ("r1", "refund", False),
        ]  # fmt: skip
        assert world.open("event_key") == []


def test_the_nets_and_the_refund_add_up_to_the_payout() -> None:
    """63.20 + 42.04 - 10.90 = 94.34: in a payout the refund is a part like the charges."""
    with reconciled(WORLD, TO_PAYOUTS) as world:
        assert world.matches(
            "disposition", "left_sum", "right_sum", "currency", "residual_minor", "discrepancies"
        ) == [("auto", 9434, 9434, "USD", 0, None)]
        assert world.members("event_key", "side", "role", "counts", "allocated_minor") == [
            ("p1", "left", "part", True, 6320), ("p2", "left", "part", True, 4204),
            ("r1", "left", "part", True, -1090), ("x1", "right", "principal", True, 9434),
        ]  # fmt: skip


def test_the_payout_is_one_bank_line_two_days_on() -> None:
    """One payout, one bank line, by the payout's id."""
    with reconciled(WORLD, TO_BANK) as world:
        assert world.groups() == ["b1+x1"]
        assert world.matches("disposition", "residual_minor") == [("auto", 0)]


def test_a_refund_that_the_order_does_not_know_is_a_mismatch() -> None:
    """The attached refund is compared with the order's refunded amount, at any lag."""
    for told, found in ((1000, None), (0, '["refund_mismatch"]'), (1500, '["refund_mismatch"]')):
        with reconciled([ORDER | {"refunded_amount": told}, FIRST, SECOND, REFUND]) as world:
            assert [(found, 0)] == world.matches("discrepancies", "residual_minor")


def test_reconciling_twice_in_one_engine_gives_the_same() -> None:
    """Working tables of a run do not leak into the next one."""
    from recon_kit.matching import cascade

    with reconciled(WORLD) as world:
        before = world.members("match_id", "event_key", "role")
        context = cascade.MatchingContext(as_of=day(30))
        cascade.reconcile(world.engine, TO_PAYOUTS, context)
        cascade.reconcile(world.engine, rec(), context)
        assert before == world.members("match_id", "event_key", "role")
