"""What Stripe's itemised reports become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recon_kit.errors import FileRejectedError, SettingsError
from recon_kit.ingestion.feeds.stripe_payouts import (
    AVAILABLE_UNREADABLE,
    LOSSY_ORDER,
    PAYOUT_AS_PRINTED,
    PAYOUT_DEBIT,
    UNKNOWN_CATEGORY,
    PayoutReconciliation,
)
from recon_kit.ingestion.gate import NET_DIFFERS
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ledger.store import Store
from recon_kit.settings import Source
from recon_kit.testing import check_golden, tell_file

GOLDEN = Path(__file__).parent / "golden" / "stripe_payouts"
ALL = GOLDEN / "itemised_all_categories.csv"
SHARED = Path(__file__).parents[2] / "shared"


def stripe(timezone: str | None = None, **options: object) -> PayoutReconciliation:
    return PayoutReconciliation(
        Source(
            name="stripe", feed="stripe.payout_reconciliation", timezone=timezone, options=options
        )
    )


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "report.csv"
    path.write_text(text, encoding="utf-8")
    return path


def by_id(told, event_id):
    return told.events.filter(told.events["event_id"] == event_id).row(0, named=True)


@pytest.mark.parametrize(
    ("sample", "feed"),
    [
        ("itemised_all_categories.csv", stripe()),
        ("local_time_decimal_comma.csv", stripe("Europe/Berlin", decimal=",")),
        ("payouts_printed_positive.csv", stripe()),
    ],
)
def test_samples_become_the_expected_events(sample, feed):
    """Reports in several notations become exactly the events that stand beside them."""
    check_golden(feed, GOLDEN / sample)


def test_a_charge_in_two_currencies():
    """The settled amount, its fee and net, and what the shopper saw."""
    charge = by_id(tell_file(stripe(), ALL), "txn_1")

    assert (charge["event_type"], charge["amount"], charge["fee"], charge["net"]) == (
        "payment", 6_540, 220, 6_320,
    )  # fmt: skip
    assert (charge["currency"], charge["presentment_amount"], charge["presentment_currency"]) == (
        "USD", 6_000, "EUR",
    )  # fmt: skip
    assert (charge["order_id"], charge["transaction_id"], charge["payout_id"]) == (
        "1001", "pi_1", "po_7",
    )  # fmt: skip
    assert charge["raw_keys"] == '{"card_brand":"visa","order_id":"#1001"}'
    assert charge["postcode"] == "75008"


def test_a_refund_points_at_its_charge():
    """A refund is negative in both currencies, names its charge and finds the order id in text."""
    refund = by_id(tell_file(stripe(), ALL), "txn_3")

    assert (refund["amount"], refund["presentment_amount"]) == (-1_090, -1_000)
    assert (refund["parent_key"], refund["order_id"]) == ("ch_1", "1001")
    assert refund["business_key"] is None


def test_a_payout_row_is_flipped():
    """Money sent to the bank is positive here and negative in the report."""
    told = tell_file(stripe(), ALL)

    assert by_id(told, "txn_7")["amount"] == 9_434
    assert by_id(told, "txn_7")["business_key"] == "stripe:payout:po_7:USD"
    assert by_id(told, "txn_8")["amount"] == -2_000
    assert by_id(told, "txn_8")["business_key"] is None


def test_a_payout_without_a_row_is_derived():
    """A payout that only its members name is told as the sum of their nets, once."""
    told = tell_file(stripe(), ALL)

    payouts = told.events.filter(told.events["event_type"] == "payout")
    assert payouts.select("payout_id", "amount", "status", "records").rows() == [
        ("po_8", -50, "derived", 0),
        ("po_7", 9_434, "payout", 1),
        ("po_5", -2_000, "payout_reversal", 1),
    ]
    derived = by_id(told, "payout:po_8:USD")
    assert derived["native_id"] == "po_8"
    assert derived["business_key"] == "stripe:payout:po_8:USD"
    assert derived["event_ts"].isoformat() == "2026-03-06T00:00:00+00:00"
    assert derived["told_at"].year == 1970


@pytest.mark.parametrize("block_rows", [1, 4])
def test_blocks_do_not_matter(block_rows):
    """A payout's members may lie in different blocks of the file."""
    whole, cut = tell_file(stripe(), ALL), tell_file(stripe(), ALL, block_rows=block_rows)

    assert cut.events.equals(whole.events, null_equal=True)
    assert cut.warnings == whole.warnings


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_told_payout_is_read_before_a_derived_one(tmp_path, order):
    """Whichever file comes first, the payout's own row is read; both tellings are kept."""
    head = "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,"
    head += "automatic_payout_id,source_id\n"
    texts = [
        head + "txn_1,2026-01-01 00:00:00,USD,10.00,0.30,9.70,charge,po_1,ch_1\n",
        head + "txn_2,2026-01-03 00:00:00,USD,-9.70,0.00,-9.70,payout,po_1,po_1\n",
    ]
    received = datetime(2026, 1, 9, tzinfo=UTC)
    store = Store.create(tmp_path / "store", created_at=received)
    for minute, number in enumerate(order):
        path = tmp_path / f"{number}.csv"
        path.write_text(texts[number], encoding="utf-8")
        receipt = ingest_file(
            store, stripe().source, path, workspace_timezone="UTC",
            received_at=received + timedelta(minutes=minute),
        )  # fmt: skip
        assert receipt.counts.as_tuple() == (1, 1, 0, 0, 0, 0)

    with store.snapshot().engine() as engine:
        told = "select status, amount from {} where event_type = 'payout' order by status"
        assert engine.rows(told.format("events")).rows() == [("payout", 970)]
        versions = engine.rows(told.format("event_versions")).rows()
    assert versions == [("derived", 970), ("payout", 970)]


def test_positive_payout_rows_pass_through_ingestion(tmp_path):
    """Rows that are held back until the file has ended are counted once."""
    received = datetime(2026, 3, 9, tzinfo=UTC)
    store = Store.create(tmp_path / "store", created_at=received)
    receipt = ingest_file(
        store, stripe().source, GOLDEN / "payouts_printed_positive.csv",
        workspace_timezone="UTC", received_at=received,
    )  # fmt: skip

    assert receipt.counts.as_tuple() == (5, 5, 0, 0, 0, 0)
    assert receipt.events == 5


def test_an_unknown_sum_is_not_invented(tmp_path):
    """A payout some of whose rows cannot be read, or have no net, is derived without an amount."""
    path = table(
        tmp_path,
        "balance_transaction_id,created_utc,currency,gross,fee,reporting_category,"
        "automatic_payout_id\n"
        "txn_1,2026-01-01 00:00:00,USD,10.00,0.30,charge,po_1\n"
        "txn_2,2026-01-01 00:00:00,USD,ten,0.30,charge,po_1\n"
        "txn_3,2026-01-01 00:00:00,USD,10.00,,charge,po_2\n"
        "txn_4,2026-01-01 00:00:00,USD,10.00,0.30,charge,po_3\n"
        "txn_5,01.01.2026,USD,10.00,0.30,charge,po_3\n"
        "txn_6,2026-01-01 00:00:00,USD,10.00,0.30,charge,po_4\n"
        "txn_7,2026-01-01 00:00:00,,10.00,0.30,charge,po_4\n",
    )
    told = tell_file(stripe(), path)

    payouts = told.events.filter(told.events["event_type"] == "payout")
    assert payouts.select("payout_id", "amount", "description").rows() == [
        ("po_1", None, "derived: some net is unknown among 2 rows"),
        ("po_2", None, "derived: some net is unknown among 1 rows"),
        ("po_3", 1_940, "derived: nets of 2 rows"),
        ("po_4", None, "derived: some net is unknown among 1 rows"),
    ]


def test_a_row_that_a_file_tells_twice_counts_once_in_its_payout(tmp_path):
    """Two exports pasted into one file: the payout of 9.70 + 4.85 is 14.55, not 29.10 or 24.25.

    A row told again with another net counts as last told; rows without an id are rows of their own.
    """
    path = table(
        tmp_path,
        "balance_transaction_id,created_utc,currency,gross,fee,reporting_category,"
        "automatic_payout_id\n"
        "txn_1,2026-01-01 00:00:00,USD,10.00,0.30,charge,po_1\n"
        "txn_2,2026-01-01 00:00:00,USD,5.00,0.15,charge,po_1\n"
        "txn_1,2026-01-01 00:00:00,USD,10.00,0.30,charge,po_1\n"
        "txn_3,2026-01-02 00:00:00,USD,10.00,0.30,charge,po_2\n"
        "txn_3,2026-01-02 00:00:00,USD,10.00,0.40,charge,po_2\n"
        ",2026-01-03 00:00:00,USD,7.00,0.00,charge,po_3\n"
        ",2026-01-03 00:00:00,USD,7.00,0.00,charge,po_3\n",
    )
    told = tell_file(stripe(), path)

    payouts = told.events.filter(told.events["event_type"] == "payout")
    assert payouts.select("payout_id", "amount", "description").rows() == [
        ("po_1", 1_455, "derived: nets of 2 rows"),
        ("po_2", 960, "derived: nets of 1 rows"),
        ("po_3", 1_400, "derived: nets of 2 rows"),
    ]


def test_derivation_can_be_switched_off():
    """Where another source tells the payouts none are derived."""
    told = tell_file(stripe(derive_payouts=False), ALL)

    assert "derived" not in told.events["status"].to_list()


def test_currencies_follow_iso_4217():
    """Yen have no decimals, dinars three; forced `.00` of kronur and bare ariary read exactly."""
    told = tell_file(stripe(), ALL)

    amounts = {i: by_id(told, f"txn_{i}")["amount"] for i in (10, 11, 12, 13)}
    assert amounts == {10: 1_500, 11: 1_000, 12: 150_000, 13: 1_234}


def test_categories_become_types():
    """Documented categories map to types; an unknown one is `other`, with a warning."""
    told = tell_file(stripe(), ALL)

    types = {i: by_id(told, f"txn_{i}")["event_type"] for i in (4, 5, 6, 9, 15, 16, 17, 18)}
    assert types == {
        4: "chargeback", 5: "chargeback", 6: "fee", 9: "refund", 15: "other", 16: "reserve",
        17: "adjustment", 18: "refund",
    }  # fmt: skip
    assert told.warnings == {NET_DIFFERS: 1, UNKNOWN_CATEGORY: 1, LOSSY_ORDER: 1}


def test_a_broken_net_is_kept():
    """Where net is not gross minus fee all three are kept as printed."""
    row = by_id(tell_file(stripe(), ALL), "txn_14")

    assert (row["amount"], row["fee"], row["net"]) == (1_000, 30, 960)
    assert row["order_id"] is None
    assert row["raw_keys"] == '{"card_brand":"visa","order_id":"9.2598E+07"}'


def test_problems_name_row_and_column():
    """Amounts, currencies and times that cannot be read exactly are quarantined."""
    told = tell_file(stripe(), ALL)

    assert told.problems.select("record_row", "code", "column").rows() == [
        (19, "amount_decimals", "gross"),
        (20, "currency_unknown", "gross"),
        (21, "amount_missing", "gross"),
        (22, "time_unreadable", "created"),
    ]


def test_row_without_an_id_gets_a_derived_one():
    """A fee row without a transaction id is identified by what it says."""
    told = tell_file(stripe(), ALL)

    row = told.events.filter(told.events["derived_id"]).row(0, named=True)
    assert row["native_id"] is None
    assert "Billing (2026-03-02)" in row["event_id"]


def test_local_times_need_a_declared_zone():
    """A report with only local times is refused, and the message names the remedy."""
    with pytest.raises(FileRejectedError, match=r"Set `timezone` of source 'stripe'.*created_utc"):
        tell_file(stripe(decimal=","), GOLDEN / "local_time_decimal_comma.csv")


def test_the_skipped_hour_is_quarantined():
    """A local time that the clock change skipped is no time."""
    feed = stripe("Europe/Berlin", decimal=",")
    told = tell_file(feed, GOLDEN / "local_time_decimal_comma.csv")

    assert told.problems.select("record_row", "code").rows() == [(2, "time_nonexistent")]


def test_positive_payouts_take_their_sign_from_their_members():
    """A file that prints payouts as money sent is kept; a payout of a negative sum is a debit."""
    told = tell_file(stripe(), GOLDEN / "payouts_printed_positive.csv")

    assert by_id(told, "txn_p3")["amount"] == 2_400
    assert by_id(told, "txn_p5")["amount"] == -500
    assert told.warnings == {NET_DIFFERS: 1, PAYOUT_AS_PRINTED: 1, PAYOUT_DEBIT: 1}


def test_order_id_keys_are_tried_in_order(tmp_path):
    """The declared metadata keys win over the text of the description."""
    path = table(
        tmp_path,
        "balance_transaction_id,created_utc,currency,gross,reporting_category,description,"
        "payment_metadata[ref],payment_metadata[cart]\n"
        "txn_1,2026-01-01 00:00:00,USD,1.00,charge,order #9,,C-5\n"
        "txn_2,2026-01-01 00:00:00,USD,1.00,charge,order #9,R-4,C-5\n"
        "txn_3,2026-01-01 00:00:00,USD,1.00,charge,ticket 77 paid,,\n",
    )
    feed = stripe(order_id_keys=("ref", "cart"), order_id_regex=r"ticket (\d+)")

    assert tell_file(feed, path).events["order_id"].to_list() == ["C-5", "R-4", "77"]


def test_an_unreadable_settlement_date_is_a_warning(tmp_path):
    """A side date that cannot be read costs the date, not the row."""
    path = table(
        tmp_path,
        "balance_transaction_id,created_utc,currency,gross,reporting_category,available_on\n"
        "txn_1,2026-01-01 00:00:00,USD,1.00,charge,soon\n",
    )
    told = tell_file(stripe(), path)

    assert told.events["available_on"].to_list() == [None]
    assert told.warnings == {AVAILABLE_UNREADABLE: 1}


def test_a_bad_pattern_is_a_settings_error():
    """A pattern that cannot be compiled is refused before any file is read."""
    with pytest.raises(SettingsError, match=r"options\.order_id_regex is no regular expression"):
        stripe(order_id_regex="order (?=#)")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "types", "nets"),
    [
        (
            "samples/stripe/SmashPig__settlement_report.csv",
            ["payment", "refund", "payment", "fee", "fee", "chargeback", "payout"],
            [2405, -1000, 1000, -50, -50, 335, 2305],
        ),
        (
            "samples/stripe/SmashPig__settlement_report_with_customer_data.csv",
            ["payout", "payment", "payment", "fee"],
            [3355, 2405, 1000, -50],
        ),
        (
            "samples/stripe/SmashPig__payments_activity.csv",
            ["payout", "payment", "payout", "chargeback"],
            [2880, 2880, -4500, -4500],
        ),
        (
            "data/native_samples/stripe/hledger__stripe.csv",
            ["payment", "refund"],
            [1200, -77],
        ),
    ],
)
def test_real_files_are_read(name, types, nets):
    """Public sample files give their types and nets, and no problem."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("the shared sample files are not beside the project")
    told = tell_file(stripe("America/New_York"), path)

    events = told.events.sort("record_row", "records")
    assert events["event_type"].to_list() == types
    assert events["net"].to_list() == nets
    assert told.problems.height == 0
