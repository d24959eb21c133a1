"""Two records side by side: what differs is marked, said in words, and masked where personal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_desk import HOW, PAYOUTS, order, payment

from recon_kit.present import comparing
from recon_kit.present.comparing import How


def by_name(rows):
    return {row.name: row for row in rows}


def text(pieces):
    return "".join(piece for piece, _ in pieces)


@pytest.mark.parametrize(
    ("left", "right", "currency", "words"),
    [
        (10_000, 10_000, "EUR", "same amount"),
        (10_000, 9_960, "EUR", "0.40 less (0.4 %)"),
        (10_000, 10_001, "EUR", "0.01 more"),
        (10_000, 9_780, "EUR", "2.20 less (2.2 %)"),
        (250_000, 251_000, "JPY", "1,000 more (0.4 %)"),
        (1_500, 1_000, "KWD", "0.500 less (33.3 %)"),
        (0, 500, "USD", "5.00 more"),
        (-500, -300, "USD", "2.00 more (40.0 %)"),
    ],
)
def test_amounts_differ_in_words(left, right, currency, words):
    """The right amount against the left one, exact, in the currency's own decimals."""
    assert comparing.money_words(left, right, currency) == words


@pytest.mark.parametrize(
    ("seconds", "days", "whole_days", "words"),
    [
        (0, 0, False, "within a minute"),
        (-720, 0, False, "12 minutes earlier"),
        (3_600, 0, False, "1 hour later"),
        (86_400, 1, False, "1 day later"),
        (3 * 86_400 + 5, 3, False, "3 days later"),
        (50_000, 0, True, "same day"),
        (50_000, 1, True, "1 day later"),
        (-200_000, -3, True, "3 days earlier"),
    ],
)
def test_times_differ_in_words(seconds, days, whole_days, words):
    """Right against left; where one has no time of day, in calendar days."""
    assert comparing.time_words(seconds, days, whole_days=whole_days) == words


def test_a_typo_is_marked_where_it_stands():
    """Only the characters that the other side lacks are marked."""
    left, right, count = comparing.marked("ana.diaz@example.com", "ana.dias@example.com")

    assert left == (("ana.dia", False), ("z", True), ("@example.com", False))
    assert right == (("ana.dia", False), ("s", True), ("@example.com", False))
    assert count == 1


def test_unlike_texts_are_marked_whole():
    """Single characters that happen to be shared say nothing."""
    left, right, count = comparing.marked("STRIPE PAYOUT", "rent, November")

    assert (left, right, count) == ((("STRIPE PAYOUT", True),), (("rent, November", True),), 0)


@given(st.text(max_size=260), st.text(max_size=260))
def test_pieces_put_together_are_the_text(left, right):
    """Marking loses and invents no character."""
    ours, theirs, _ = comparing.marked(left, right)

    assert (text(ours), text(theirs)) == (left, right)


def test_personal_fields_are_masked_and_still_compared():
    """That e-mails differ by one character is said; neither is shown."""
    rows = by_name(
        comparing.rows(order(1001, 100), payment("py", 100, "ana.dias@example.com"), HOW)
    )

    assert text(rows["email"].left) == text(rows["email"].right) == "a***@example.com"
    assert rows["email"].words == "1 character differs"
    assert text(rows["customer_name"].left) == "A*** D***"
    assert text(rows["phone"].left) == "***3456"
    assert not any(marked for row in rows.values() if row.personal for _, marked in row.left)


def test_unmasked_fields_are_shown_in_full():
    """With a reason given the values and the marks are there."""
    rows = by_name(
        comparing.rows(
            order(1001, 100), payment("py", 100, "ana.dias@example.com"), How(unmasked=True)
        )
    )

    assert rows["email"].left == (("ana.dia", False), ("z", True), ("@example.com", False))


def test_spelling_is_no_difference():
    """Case, a leading # and the layout of a phone number do not count."""
    left = order(1001, 100, order_id="#1001", phone="+34 600 123 456", email="Ana.Diaz@Example.com")
    right = payment("py", 100, order_id="1001", phone="34600123456")

    rows = by_name(comparing.rows(left, right, HOW))

    assert [rows[n].outcome for n in ("order_id", "phone", "email")] == ["same"] * 3


def test_suppliers_own_words_are_shown_not_compared():
    """`paid` and `succeeded` are two languages, not a difference."""
    row = by_name(comparing.rows(order(1001, 100), payment("py", 100), HOW))["status"]

    assert (text(row.left), text(row.right), row.outcome, row.words) == (
        "paid", "succeeded", "shown", "",
    )  # fmt: skip


def test_shared_fields_stand_above_lone_ones():
    """Amount and date first, then what both tell, then what one tells."""
    names = [row.name for row in comparing.rows(order(1001, 100), payment("py", 90), HOW)]

    assert names == [
        "amount", "event_ts", "email", "status",
        "order_id", "transaction_id", "customer_name", "phone",
    ]  # fmt: skip


def test_other_currencies_meet_in_the_presented_one():
    """A charge in another currency is compared with what the customer saw."""
    left = order(1001, 6_000)
    right = payment("py", 6_540, currency="USD", presentment_amount=6_000,
                    presentment_currency="EUR")  # fmt: skip

    rows = by_name(comparing.rows(left, right, HOW))

    assert rows["amount"].words == "same amount in EUR"
    assert text(rows["presented"].right) == "60.00 EUR"


def test_no_common_currency_is_said():
    """Nothing is converted in silence."""
    row = by_name(comparing.rows(order(1, 100), payment("py", 100, currency="USD"), HOW))["amount"]

    assert (row.outcome, row.words) == ("differs", "another currency")


def test_a_date_without_a_clock_stays_the_day_that_was_told():
    """Midnight in Berlin stays that day for a workspace in New York."""
    left = order(1, 100, ts_precision="date", source="bank",
                 event_ts=datetime(2026, 8, 2, 22, 0, tzinfo=UTC))  # fmt: skip
    how = How(zone="America/New_York")

    assert comparing.time_text(left, how) == "2026-08-03"


def test_what_a_match_leaves_open_is_compared_by_the_open_part():
    """431.55 of which 150.22 is matched: a payout of 281.33 fits, one of 431.55 does not."""
    line = order(1, 43_155, open_minor=28_133)
    fits, whole = (
        by_name(comparing.rows(line, payment("py", amount), HOW))["amount"]
        for amount in (28_133, 43_155)
    )

    assert fits.left == (("281.33 EUR open of 431.55 EUR", False),)
    assert (fits.outcome, fits.words) == ("same", "same amount")
    assert (whole.outcome, whole.words) == ("differs", "150.22 more (53.3 %)")


def test_too_much_money_is_no_open_part():
    """A match that got more than the whole leaves nothing that a further event could close."""
    assert comparing.open_part(order(1, 10_000, open_minor=-500), "amount") is None
    assert comparing.open_part(order(1, 10_000, open_minor=10_000), "amount") is None


def test_a_group_is_compared_by_its_sum():
    """Three payouts stand beside one bank line as their sum, from the first to the last day."""
    whole = comparing.summed(PAYOUTS, "amount")

    assert (whole["amount"], whole["currency"]) == (9_434 + 12_050 + 1_999, "USD")
    assert comparing.time_text(whole, HOW) == "2026-11-02 to 2026-11-04"


def test_a_group_of_several_currencies_has_no_sum():
    """What cannot be added is not added."""
    mixed = (PAYOUTS[0], {**PAYOUTS[1], "currency": "EUR"})

    assert comparing.summed(mixed, "amount")["amount"] is None


def test_a_missing_amount_has_no_sum():
    """An unknown amount does not count as nothing."""
    assert (
        comparing.summed((PAYOUTS[0], {**PAYOUTS[1], "amount": None}), "amount")["amount"] is None
    )


def test_declared_fields_are_compared_too():
    """A key that a reconciliation declares stands among the rows."""
    left = order(1, 100, raw_keys='{"booking":"B-17"}')
    right = payment("py", 100, raw_keys='{"booking":"B-71"}')

    row = by_name(comparing.rows(left, right, How(further=("raw_keys.booking",))))[
        "raw_keys.booking"
    ]

    assert (row.label, row.words) == ("Booking", "2 characters differ")
