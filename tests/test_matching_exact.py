"""Every rule of the exact method, on literal little worlds."""

from __future__ import annotations

import pytest
from matching_world import day, event, order, payment, person, rec, reconciled

from recon_kit.errors import MatchingError

ONE = rec(cardinality="one_to_one")
ANA, BOB = ("ana@x.io", "Ana Diaz"), ("bob@y.io", "Bob Lee")


def test_keys_are_tried_in_the_declared_order() -> None:
    """A payment with the order's id and another order's invoice goes by the order id."""
    events = [
        order("o1", 100, order_id="1", invoice_number="i1"),
        order("o2", 100, order_id="2", invoice_number="i2"),
        payment("p1", 100, order_id="1", invoice_number="i2"),
        payment("p2", 100, invoice_number="i2"),
    ]
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1", "o2+p2"]
        assert (
            world.rows("select key_used from out_match_members order by event_key[2:], event_key")
        ) == [("order_id",), ("order_id",), ("invoice_number",), ("invoice_number",)]


@pytest.mark.parametrize("lone", [0, 9])
def test_groups_of_each_key_are_found_whether_most_events_stand_in_one_or_few(lone: int) -> None:
    """Split by order id, split by invoice; nine orders without a payment change neither."""
    events = [
        order("o1", 100, order_id="1"),
        payment("p1", 60, order_id="1"), payment("p2", 40, order_id="1"),
        order("o2", 70, order_id="2", invoice_number="i2"),
        payment("p3", 50, order_id="9", invoice_number="i2"),
        payment("p4", 20, invoice_number="i2"),
        *(order(f"x{i}", 5, order_id=f"x{i}") for i in range(lone)),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1+p2", "o2+p3+p4"]


@pytest.mark.parametrize("spelling", ["", "-", "n/a", "N/A", "NULL", "null", "None", "0", "nan"])
def test_null_like_keys_never_join(spelling: str) -> None:
    """Spellings of `there is no id` are no id, in a column and inside raw keys."""
    declared = rec(keys=["order_id", "raw_keys.booking"])
    raw = f'{{"booking":"{spelling}"}}'
    events = [
        order("o1", 100, order_id=spelling, raw_keys=raw),
        payment("p1", 100, order_id=spelling, raw_keys=raw),
    ]
    with reconciled(events, declared) as world:
        assert world.groups() == []


def test_raw_keys_and_external_ids_join_by_path_in_one_spelling() -> None:
    """A declared path into raw keys or external ids is a key like a column."""
    declared = rec(keys=["external_ids.cart", "raw_keys.booking ref"])
    events = [
        order("o1", 100, raw_keys='{"booking ref":"#B-7"}'),
        order("o2", 200, external_ids='{"cart":"c9"}'),
        payment("p1", 100, raw_keys='{"booking ref":" B-7 "}'),
        payment("p2", 200, external_ids='{"cart":"c9"}'),
    ]
    with reconciled(events, declared) as world:
        assert world.groups() == ["o1+p1", "o2+p2"]


def test_amounts_within_tolerance_agree_and_keep_their_cents() -> None:
    """The allowance is the larger of minor units and percent of the left sum, rounded down."""
    events = [order("o1", 10000, order_id="1"), payment("p1", 9950, order_id="1")]
    cases = [({}, '["amount_mismatch"]'), ({"minor_units": 49}, '["amount_mismatch"]'),
             ({"minor_units": 50}, None), ({"percent": "0.5"}, None),
             ({"percent": "0.499"}, '["amount_mismatch"]'),
             ({"minor_units": 50, "percent": "0.1"}, None)]  # fmt: skip
    for tolerance, found in cases:
        with reconciled(events, rec(tolerance=tolerance)) as world:
            assert [(found, 50, "auto")] == world.matches(
                "discrepancies", "residual_minor", "disposition"
            )


def test_parts_that_add_up_are_a_split_before_they_are_duplicates() -> None:
    """40 + 40 pays 80 twice over, 80 + 80 pays it once."""
    for amounts, roles in (((40, 40), ["part", "part"]), ((80, 80), ["part", "duplicate"])):
        events = [order("o1", 80, order_id="1")] + [
            payment(f"p{i}", a, order_id="1", event_ts=day(i)) for i, a in enumerate(amounts)
        ]
        with reconciled(events) as world:
            assert [("principal",), *[(r,) for r in roles]] == world.members("role")
            assert world.matches("left_sum", "right_sum", "residual_minor") == [(80, 80, 0)]


def test_the_earliest_live_payment_is_the_part_and_not_the_failed_one() -> None:
    """Of equals the one that moved money counts, then the earliest."""
    events = [
        order("o1", 80, order_id="1"),
        payment("p1", 80, order_id="1", status="failed"),
        payment("p2", 80, order_id="1", event_ts=day(2)),
        payment("p3", 80, order_id="1", event_ts=day(1)),
    ]
    with reconciled(events) as world:
        assert world.members("role") == [("principal",), ("duplicate",), ("duplicate",), ("part",)]


def test_a_group_that_does_not_add_up_is_one_match_with_a_residual() -> None:
    """No part is dropped to make a sum look right."""
    events = [
        order("o1", 100, order_id="1"), payment("p1", 60, order_id="1"),
        payment("p2", 70, order_id="1"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.matches("left_sum", "right_sum", "residual_minor", "discrepancies") == [
            (100, 130, -30, '["amount_mismatch"]')
        ]
        assert world.open("why") == [("0.30 EUR more came in than it asks for",)]


def test_without_an_amount_the_key_alone_matches_and_says_so() -> None:
    """A side without an amount has no residual and no invented cent."""
    events = [order("o1", None, order_id="1"), payment("p1", 100, order_id="1"),
              order("o2", None, order_id="2"), payment("p2", 40, order_id="2"),
              payment("p3", 60, order_id="2")]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1", "o2+p2+p3"]
        assert (
            world.matches("discrepancies", "residual_minor", "disposition")
            == [('["no_amount"]', None, "auto")] * 2
        )
        assert world.open("event_key") == []
        assert world.matches("left_sum", "right_sum", "currency") == [
            (None, 100, "EUR"),
            (None, 100, "EUR"),
        ]


def test_a_difference_that_is_the_fee_is_called_so() -> None:
    """100.00 against 97.10 with a fee of 2.90 is a fee mismatch."""
    events = [order("o1", 10000, order_id="1"), payment("p1", 9710, fee=290, order_id="1")]
    with reconciled(events) as world:
        assert world.matches("discrepancies", "residual_minor") == [('["fee_mismatch"]', 290)]


def test_a_voided_order_that_was_paid_is_a_status_mismatch() -> None:
    """One side says that no money moved, the other one moved it."""
    events = [order("o1", 100, order_id="1", status="voided"), payment("p1", 100, order_id="1")]
    with reconciled(events) as world:
        assert world.matches("discrepancies", "disposition") == [('["status_mismatch"]', "auto")]


def test_own_currency_is_taken_before_the_presented_one() -> None:
    """Sums are in the currency both sides share, the own one where both have it."""
    both = {"presentment_amount": 110, "presentment_currency": "USD"}
    events = [order("o1", 100, order_id="1", **both), payment("p1", 100, order_id="1", **both),
              order("o2", 100, order_id="2"),
              payment("p2", 109, order_id="2", currency="USD", presentment_amount=100,
                      presentment_currency="EUR")]  # fmt: skip
    with reconciled(events) as world:
        assert (
            world.matches("currency", "left_sum", "right_sum", "discrepancies")
            == [("EUR", 100, 100, None)] * 2
        )


def test_a_payment_in_another_currency_leaves_a_group_that_adds_up_without_it() -> None:
    """48.95 EUR settles the order; 24.50 USD under the same id is some other order's payment."""
    events = [order("o1", 4895, order_id="27"), payment("p1", 4895, order_id="27"),
              order("o2", 2450, order_id="72", currency="USD"),
              payment("p2", 2450, order_id="27", currency="USD")]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1"]
        assert world.matches("disposition", "discrepancies") == [("auto", None)]
        assert world.open("event_key", "why_code") == [("o2", "amount"), ("p2", "id_conflict")]


def test_no_shared_currency_goes_to_review_and_keeps_its_members() -> None:
    """Without a rate nobody can tell, so a person decides."""
    events = [order("o1", 10000, order_id="1"), payment("p1", 10900, order_id="1", currency="USD")]
    with reconciled(events) as world:
        assert world.matches(
            "disposition", "discrepancies", "currency", "left_sum", "right_sum", "residual_minor"
        ) == [("review", '["currency"]', "EUR", 10000, None, None)]
        assert world.open("event_key") == []


def test_a_dated_rate_settles_whether_two_currencies_agree() -> None:
    """Within the band it is a residue of exchange, outside it the key lied."""
    rate = event("fx", "ecb", "fx_rate", 100, presentment_amount=109,
                 presentment_currency="USD", event_ts=day(-1))  # fmt: skip
    told = order("o1", 10000, order_id="1")
    for paid, expected in ((11000, [("auto", '["fx_residue"]')]), (12000, [])):
        events = [rate, told, payment("p1", paid, order_id="1", currency="USD")]
        with reconciled(events) as world:
            assert expected == world.matches("disposition", "discrepancies")
    old = rate | {"event_ts": day(-9)}
    events = [old, told, payment("p1", 12000, order_id="1", currency="USD")]
    with reconciled(events) as world:
        assert world.matches("disposition", "discrepancies") == [("review", '["currency"]')]


def test_a_transposed_id_neither_matches_nor_blocks_the_right_payment() -> None:
    """Amount, customer and time all disagree: both sides go on, and the right key finds them."""
    events = [
        order("o1", 5000, order_id="1002", transaction_id="t1"),
        order("o2", 9900, order_id="1020", transaction_id="t2", event_ts=day(-50)),
        payment("p1", 5000, order_id="1020", transaction_id="t1", event_ts=day(1)),
        payment("p2", 9900, transaction_id="t2", event_ts=day(-49)),
    ]
    who = [person("o1", *ANA), person("p1", *ANA), person("o2", *BOB), person("p2", *BOB)]
    with reconciled(events, who=who) as world:
        assert world.groups() == ["o1+p1", "o2+p2"]
    alone = events[1:3]
    with reconciled(alone, who=who) as world:
        assert world.groups() == []
        assert world.open("event_key", "why_code", "nearest_key") == [
            ("o2", "id_conflict", "p1"),
            ("p1", "id_conflict", "o2"),
        ]
        assert world.open("why")[0][0] == (
            "payment t1 carries the same order id, but contradicts it, 50.00 EUR, 51 days later, "
            "another amount, another customer"
        )


def test_a_stranger_in_the_group_does_not_spoil_the_match_that_adds_up() -> None:
    """The other customer's payment goes on, the order is matched with its own."""
    events = [order("o1", 5000, order_id="1020"), payment("p1", 5000, order_id="1020"),
              payment("p2", 7000, order_id="1020"), order("o2", 7000, order_id="1002",
              transaction_id="t2")]  # fmt: skip
    events[2]["transaction_id"] = "t2"
    who = [person("o1", *ANA), person("p1", *ANA), person("p2", *BOB), person("o2", *BOB)]
    with reconciled(events, who=who) as world:
        assert world.groups() == ["o1+p1", "o2+p2"]
        assert world.matches("disposition", "residual_minor") == [("auto", 0), ("auto", 0)]


def test_another_customer_with_another_amount_is_looked_at() -> None:
    """Two of three contradictions: the match keeps its members and waits for a person."""
    events = [order("o1", 5000, order_id="1"), payment("p1", 7000, order_id="1")]
    who = [person("o1", *ANA), person("p1", *BOB)]
    with reconciled(events, who=who) as world:
        assert world.matches("disposition", "discrepancies") == [
            ("review", '["amount_mismatch","id_conflict"]')
        ]
    with reconciled(events, who=[person("o1", *ANA), person("p1", None, "A. Diaz")]) as world:
        assert world.matches("disposition", "discrepancies") == [("auto", '["amount_mismatch"]')]


def test_several_orders_with_one_key_are_told_apart_by_amount() -> None:
    """Unique fits are taken whatever the order of rows."""
    events = [order("o1", 100, order_id="1"), order("o2", 70, order_id="1"),
              payment("p1", 70, order_id="1"), payment("p2", 100, order_id="1")]  # fmt: skip
    for declared in (ONE, rec()):
        with reconciled(events, declared) as world:
            assert world.groups() == ["o1+p2", "o2+p1"]


def test_equal_answers_are_questions_and_never_first_found() -> None:
    """Two orders, two payments, one key, one amount: nobody is matched, every pair is asked."""
    events = [order("o1", 100, order_id="1"), order("o2", 100, order_id="1"),
              payment("p1", 100, order_id="1"), payment("p2", 100, order_id="1")]  # fmt: skip
    with reconciled(events, ONE) as world:
        assert world.groups() == []
        assert world.rows(
            "select left_key, right_key, why_code from out_proposals order by left_key, right_key"
        ) == [
            ("o1", "p1", "ambiguous"), ("o1", "p2", "ambiguous"),
            ("o2", "p1", "ambiguous"), ("o2", "p2", "ambiguous"),
        ]  # fmt: skip
        assert world.open("state") == [("proposed",)] * 4


def test_a_split_hiding_behind_a_fit_makes_the_group_ambiguous() -> None:
    """40 alone fits the second order, but 60 + 40 pays the first one as well."""
    events = [order("o1", 100, order_id="1"), order("o2", 40, order_id="1"),
              payment("p1", 60, order_id="1"), payment("p2", 40, order_id="1")]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == []
    more = [*events, payment("p3", 40, order_id="1")]
    with reconciled(more) as world:
        assert world.groups() == []


def test_what_is_left_over_and_adds_up_goes_to_the_last_order() -> None:
    """50 fits only the second order, the rest adds up to the first."""
    events = [order("o1", 100, order_id="1"), order("o2", 50, order_id="1"),
              payment("p1", 65, order_id="1"), payment("p2", 35, order_id="1"),
              payment("p3", 50, order_id="1")]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1+p2", "o2+p3"]


def test_one_to_one_never_takes_a_second_part() -> None:
    """A split is a question under one_to_one, and an extra payment goes on."""
    split = [order("o1", 100, order_id="1"), payment("p1", 60, order_id="1"),
             payment("p2", 40, order_id="1")]  # fmt: skip
    with reconciled(split, ONE) as world:
        assert world.groups() == []
        assert world.open("state") == [("proposed",)] * 3
    extra = [*split, payment("p3", 100, order_id="1")]
    with reconciled(extra, ONE) as world:
        assert world.groups() == ["o1+p3"]
        assert world.open("event_key", "why_code") == [("p1", "cardinality"), ("p2", "cardinality")]


def test_many_to_many_compares_the_sums_of_the_group() -> None:
    """Both sides may have several members: the group stands as a whole."""
    events = [order("o1", 100, order_id="1"), order("o2", 50, order_id="1"),
              payment("p1", 80, order_id="1"), payment("p2", 70, order_id="1"),
              order("o3", 10, order_id="2"), order("o4", 10, order_id="2"),
              payment("p3", 15, order_id="2")]  # fmt: skip
    with reconciled(events, rec(cardinality="many_to_many")) as world:
        assert world.groups() == ["o1+o2+p1+p2", "o3+o4+p3"]
        assert world.matches("left_sum", "right_sum", "residual_minor") == [
            (150, 150, 0),
            (20, 15, 5),
        ]


def test_refunds_hang_on_by_parent_by_key_and_at_second_hand() -> None:
    """By native id, transaction id, external id or key; a reversal hangs on its chargeback."""

    def attached(key: str, kind: str, amount: int, **more: object) -> dict[str, object]:
        return event(key, "stripe", kind, amount, event_ts=day(20), **more)

    events = [
        order("o1", 100, order_id="1"),
        payment("p1", 100, order_id="1", native_id="n1", transaction_id="t1",
                external_ids='{"intent":"pi_1"}'),
        attached("r1", "refund", -1, parent_key="n1"),
        attached("r2", "refund", -2, parent_key="t1"),
        attached("r3", "refund", -3, parent_key="pi_1"),
        attached("r4", "refund", -4, order_id="1"),
        attached("c1", "chargeback", -100, native_id="dp_1", parent_key="t1"),
        attached("c2", "chargeback", 100, parent_key="dp_1"),
        attached("r9", "refund", -9, parent_key="gone"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.members("event_key", "role", "parent") == [
            ("c1", "chargeback", "p1"), ("c2", "chargeback", "c1"), ("o1", "principal", None),
            ("p1", "part", None), ("r1", "refund", "p1"), ("r2", "refund", "p1"),
            ("r3", "refund", "p1"), ("r4", "refund", None),
        ]  # fmt: skip
        assert world.matches("left_sum", "right_sum", "residual_minor") == [(100, 100, 0)]
        assert world.open("event_key", "why_code", "amount_minor") == [
            ("r9", "refund_without_payment", 9)
        ]


def test_a_refund_of_another_source_is_no_parent() -> None:
    """An id means something only in the source that gave it."""
    events = [
        order("o1", 100, order_id="1", native_id="77"), payment("p1", 100, order_id="1"),
        event("r1", "stripe", "refund", -5, parent_key="77"),
    ]  # fmt: skip
    with reconciled(events) as world:
        assert world.groups() == ["o1+p1"]


def test_a_refund_whose_payment_is_open_is_no_item_of_its_own() -> None:
    """The open payment speaks for it."""
    events = [payment("p1", 100, transaction_id="t1"),
              event("r1", "stripe", "refund", -5, parent_key="t1")]  # fmt: skip
    with reconciled(events) as world:
        assert world.open("event_key") == [("p1",)]


def test_above_the_sign_off_limit_a_match_waits_and_keeps_its_members() -> None:
    """A limit per currency; a currency that is not listed always waits."""
    events = [order("o1", 100000, order_id="1"), payment("p1", 100000, order_id="1"),
              order("o2", 100001, order_id="2"), payment("p2", 100001, order_id="2"),
              order("o3", 1, order_id="3", currency="USD"),
              payment("p3", 1, order_id="3", currency="USD")]  # fmt: skip
    with reconciled(events, rec(sign_off_over={"EUR": "1000.00"})) as world:
        assert world.matches("disposition") == [("auto",), ("review",), ("review",)]
        assert world.open("event_key") == []
    with reconciled(events) as world:
        assert world.matches("disposition") == [("auto",)] * 3


def test_filters_pass_rows_whose_field_is_null() -> None:
    """`where` takes out what it names, nothing that is unknown."""
    left = {"sources": ["shop"], "types": ["order"],
            "where": {"status_not": ["voided"], "amount_minor_min": 1, "test": False}}  # fmt: skip
    events = [order("o1", 100, order_id="1"), order("o2", 100, order_id="2", status="voided"),
              order("o3", 0, order_id="3"), order("o4", 100, order_id="4", test=True),
              order("o5", None, order_id="5", status="paid", test=False)]  # fmt: skip
    with reconciled(events, rec(left=left)) as world:
        assert world.open("event_key") == [("o1",), ("o5",)]


def test_the_same_type_of_one_source_cannot_stand_on_both_sides() -> None:
    """A reconciliation of a source with itself is refused with the way out."""
    left = {"sources": ["stripe"], "types": ["payment"]}
    with (
        pytest.raises(MatchingError, match="'payment' of 'stripe' stands on the left and on the"),
        reconciled([payment("p1", 1)], rec(left=left)),
    ):
        pass


def test_a_net_that_is_not_told_is_amount_less_fee() -> None:
    """The measure of a payout's members."""
    declared = rec(measure={"left": "amount", "right": "net"})
    events = [order("o1", 97, order_id="1"), payment("p1", 100, fee=3, order_id="1"),
              order("o2", 97, order_id="2"), payment("p2", 100, net=97, order_id="2")]  # fmt: skip
    with reconciled(events, declared) as world:
        assert world.matches("right_sum", "discrepancies") == [(97, None), (97, None)]


def test_sums_beyond_64_bits_do_not_wrap() -> None:
    """A sum or a difference that cannot be kept is an error, never another number."""
    big = 9_000_000_000_000_000_000
    events = [order("o1", big, order_id="1"), payment("p1", -big, order_id="1")]
    with pytest.raises(Exception, match=r"(?i)out of range"), reconciled(events):
        pass


def test_without_declared_keys_everything_stays_open() -> None:
    """A reconciliation without a key leaves its events to methods that need none."""
    events = [order("o1", 100, order_id="1"), payment("p1", 100, order_id="1")]
    with reconciled(events, rec(keys=[])) as world:
        assert world.groups() == []
        assert sorted(world.open("event_key")) == [("o1",), ("p1",)]
