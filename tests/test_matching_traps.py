"""Traps in which reconciliation software is known to be caught, each as a few literal events."""

from __future__ import annotations

from math import comb
from typing import Any

from matching_world import day, event, order, payment, rec, reconciled, said
from test_matching_decomposed import charge, to_payouts
from test_matching_decomposed import payout as bare_payout

from recon_kit.settings import Reconciliation


def shop(**more: Any) -> Reconciliation:
    """Orders to payments by order id, two cents allowed, amount and time where no key speaks."""
    fields: dict[str, Any] = {
        "keys": ["order_id"], "tolerance": {"minor_units": 2},
        "window": {"before": "1d", "after": "5d"},
        "window_method": {"enabled": True, "uncertified": "auto"},
    }  # fmt: skip
    return rec(**(fields | more))


def test_equal_tickets_are_counted_and_not_listed() -> None:
    """Of 13 fares at two prices 8 runs are three of each, so nobody looks at the 8,192 sets.

    What no run answers is counted all the same: 3 of the 7 at 2.75 and 1 of the 6 at 3.10. And 28
    equal fares, with 268 million sets, ask one question of three answers.
    """
    mixed = [charge(f"t{i:02}", 275 + i % 2 * 35, i / 4) for i in range(13)]
    with reconciled([*mixed, bare_payout("po", 3 * 275 + 3 * 310, 5)], to_payouts()) as world:
        assert world.groups() == []
        assert world.open("event_key", "why_code", "why")[0] == (
            "po", "ambiguous", "8 runs of open items add up to it; no answer is better"
        )  # fmt: skip
    with reconciled([*mixed, bare_payout("po", 3 * 275 + 310, 5)], to_payouts()) as world:
        assert world.open("event_key", "why")[0] == (
            "po", f"{comb(7, 3) * 6} sets of open items add up to it; no answer is better"
        )  # fmt: skip
    many = [charge(f"t{i:02}", 275, i / 4) for i in range(28)]
    with reconciled([*many, bare_payout("po", 14 * 275, 8)], to_payouts()) as world:
        assert world.groups() == []
        assert world.outcome.tables["proposals"] <= 3 * 14
        assert world.open("event_key", "why_code", "why")[0] == (
            "po", "ambiguous", "15 runs of open items add up to it; no answer is better"
        )  # fmt: skip


def test_a_label_never_outvotes_the_amount() -> None:
    """The texts agree and the amounts do not: three cents off is three cents off."""
    events = [order("o1", 100_00, description="RE-2041"),
              payment("p1", 100_03, description="RE-2041")]  # fmt: skip
    with reconciled(events, shop()) as world:
        assert world.groups() == []
    by_key = [order("o1", 100_00, order_id="1"), payment("p1", 60_00, order_id="1")]
    with reconciled(by_key, shop()) as world:
        assert world.matches("residual_minor", "discrepancies") == [(40_00, '["amount_mismatch"]')]
        assert world.open("event_key", "why") == [("o1", "40.00 EUR of it has no counterpart yet")]


def test_a_part_of_a_split_pays_nothing_else() -> None:
    """60.00 of an order of 100.00 is no payment of another order of 60.00."""
    events = [
        order("o1", 100_00, order_id="1"), payment("p1", 60_00, order_id="1"),
        payment("p2", 40_00, order_id="1"), order("o2", 60_00, event_ts=day(-0.5)),
    ]  # fmt: skip
    with reconciled(events, shop()) as world:
        assert world.groups() == ["o1+p1+p2"]
        assert world.open("event_key") == [("o2",)]


def test_what_is_left_within_tolerance_is_paid_in_full() -> None:
    """60.00 is partial; 99.99 of 100.00 is paid, with the cent kept in the books."""
    partial = [order("o1", 100_00, order_id="1"), payment("p1", 60_00, order_id="1")]
    rest = payment("p2", 39_99, order_id="1", event_ts=day(1))
    with reconciled([*partial, rest], shop()) as world:
        assert world.matches("left_sum", "right_sum", "residual_minor", "discrepancies") == [
            (100_00, 99_99, 1, None)
        ]
        assert world.open("event_key") == []
    given_up = [said(1, "write_off", "o1", "p1", reason_code="bad_debt")]
    with reconciled(partial, shop(), decisions=given_up) as world:
        assert world.matches("residual_minor", "discrepancies") == [
            (40_00, '["amount_mismatch","residual_accepted"]')
        ]
        assert world.open("event_key") == []


def test_amount_and_date_alone_book_nothing() -> None:
    """No reference at all: a question, however well the rest agrees."""
    events = [order("o1", 100_00), payment("p1", 100_00, event_ts=day(2))]
    with reconciled(events, shop(window_method={"enabled": True})) as world:
        assert world.groups() == []
        assert world.rows("select left_key, right_key, why_code from out_proposals") == [
            ("o1", "p1", "uncertified")
        ]


def test_an_empty_reference_joins_nothing() -> None:
    """Blank, a dash and `n/a` are no order ids, though they are equal."""
    events = [event_of(side, number, text) for number, text in enumerate(("", "-", "n/a", None))
              for side in (order, payment)]  # fmt: skip
    with reconciled(events, shop(window_method={"enabled": False})) as world:
        assert world.groups() == []


def event_of(side: Any, number: int, text: str | None) -> dict[str, Any]:
    """An order or a payment with a reference, each number with an amount of its own."""
    return side(f"{side.__name__[0]}{number}", 50_00 + number, order_id=text)  # type: ignore[no-any-return]


def test_two_payments_cannot_both_have_one_order() -> None:
    """By amount neither gets it; by key the second is a duplicate of the first, and counts not."""
    alike = [order("o1", 100_00), payment("p1", 100_00, event_ts=day(2)),
             payment("p2", 100_00, event_ts=day(3))]  # fmt: skip
    for events in (alike, alike[::-1]):
        with reconciled(events, shop()) as world:
            assert world.groups() == []
    keyed = [e | {"order_id": "1"} for e in alike]
    for events in (keyed, keyed[::-1]):
        with reconciled(events, shop(cardinality="one_to_one")) as world:
            assert world.matches("left_sum", "right_sum") == [(100_00, 100_00)]
            assert world.members("event_key", "role", "counts") == [
                ("o1", "principal", True), ("p1", "part", True), ("p2", "duplicate", False)
            ]  # fmt: skip


def test_currencies_are_never_compared_as_numbers() -> None:
    """92.00 EUR are 100.00 USD only where the processor says that they were presented so."""
    sold = order("o1", 100_00, currency="USD", order_id="1")
    paid = payment("p1", 92_00, order_id="1")
    with reconciled([sold, paid], shop()) as world:
        assert world.matches("disposition", "right_sum", "discrepancies") == [
            ("review", None, '["currency"]')
        ]
    told = paid | {"presentment_amount": 100_00, "presentment_currency": "USD"}
    with reconciled([sold, told], shop()) as world:
        assert world.matches("disposition", "currency", "right_sum") == [("auto", "USD", 100_00)]
    same_number = [order("o2", 92_00, currency="USD"), payment("p2", 92_00)]
    with reconciled(same_number, shop()) as world:
        assert world.groups() == []


def test_a_batch_of_hundreds_is_one_match_with_all_its_lines() -> None:
    """A payout of 400 charges less 1 refund: every one a part, and the sum ties to the cent."""
    charges = [charge(f"c{i:03}", 1_000 + i, 0, payout_id="po_1") for i in range(400)]
    back = event("r", "stripe", "refund", None, net=-500, payout_id="po_1")
    total = sum(1_000 + i for i in range(400)) - 500
    batch = [*charges, back, bare_payout("po", total, 2, payout_id="po_1")]
    with reconciled(batch, to_payouts()) as world:
        assert world.matches("method", "left_sum", "right_sum", "residual_minor") == [
            ("exact", total, total, 0)
        ]
        assert world.outcome.tables["match_members"] == 402
        assert world.open("event_key") == []
