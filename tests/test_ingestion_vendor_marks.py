"""What exports of payment services say of their rows, units, currencies and ids is heeded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recon_kit import settings
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ingestion.profile import profile_file
from recon_kit.ledger.store import Store

RECEIVED = datetime(2026, 4, 1, tzinfo=UTC)


def proposed(tmp_path: Path, name: str, text: str) -> tuple[settings.Layout, str, pl.DataFrame]:
    """The layout that is proposed for a file, its text, and the events it makes as it stands."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    toml = profile_file(path).toml
    source = settings.loads('[workspace]\nname = "x"\n' + toml).sources[0]
    store = Store.create(tmp_path / "store", created_at=RECEIVED)
    ingest_file(store, source, path, workspace_timezone="UTC", received_at=RECEIVED)
    with store.snapshot().engine() as engine:
        events = engine.rows(
            "select event_type, amount, fee, currency, payout_id, native_id, event_ts"
            " from events order by record_row"
        )
    assert source.layout is not None
    return source.layout, toml, events


def test_a_balance_history_tells_what_each_row_is(tmp_path):
    """Charge, refund, fee and payout are told apart; the payout is positive, its id a key."""
    text = (
        "id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Transfer\n"
        "txn_1aaaaaaaa,charge,ch_1aaaaaaaa,80.00,2.62,77.38,eur,2026-02-03 09:00,po_1aaaaaaaa\n"
        "txn_2aaaaaaaa,refund,re_1aaaaaaaa,-30.00,0.00,-30.00,eur,2026-02-04 09:00,po_1aaaaaaaa\n"
        "txn_3aaaaaaaa,stripe_fee,fee_1aaaaaaa,-2.00,0.00,-2.00,eur,2026-02-05 09:00,\n"
        "txn_4aaaaaaaa,payout,po_1aaaaaaaa,-45.38,0.00,-45.38,eur,2026-02-06 09:00,\n"
    )

    _, _, events = proposed(tmp_path, "balance_history.csv", text)

    assert events.select("event_type", "amount", "payout_id").rows() == [
        ("payment", 8_000, "po_1aaaaaaaa"),
        ("refund", -3_000, "po_1aaaaaaaa"),
        ("fee", -200, None),
        ("payout", 4_538, None),
    ]


def test_steps_of_a_payment_are_no_further_payments(tmp_path):
    """A report that prints received, authorised and settled of one payment tells one payment."""
    text = "Psp Reference,Booking Date,Record Type,Main Currency,Main Amount,Payment Currency\n"
    for minute, step in enumerate(("Received", "Authorised", "SentForSettle", "Settled")):
        text += f"88123,2026-03-02 10:0{minute}:00,{step},GBP,19.90,EUR\n"

    _, _, events = proposed(tmp_path, "payments_accounting.csv", text)

    assert events["event_type"].to_list() == ["other", "other", "other", "payment"]
    assert events["currency"].unique().to_list() == ["GBP"]


def test_a_word_whose_rows_carry_both_signs_is_left_open(tmp_path):
    """Lines of a sale and its commission under one word are no payments: they stay other."""
    text = (
        "settlement-id,transaction-type,posted-date-time,amount,currency\n"
        "7001,Payment,2026-03-02 10:00:00 UTC,50.00,USD\n"
        "7001,Payment,2026-03-02 10:00:00 UTC,-7.50,USD\n"
        "7001,ServiceFee,2026-03-03 10:00:00 UTC,-1.00,USD\n"
    )

    layout, _, events = proposed(tmp_path, "settlement.txt", text)

    assert events["event_type"].to_list() == ["other", "other", "fee"]
    assert events["amount"].sum() == 4_150
    assert "native_id" not in layout.columns  # the settlement's id is no row's own


def test_refunds_printed_without_a_minus_go_out(tmp_path):
    """Where a type says refund and no refund has a minus, the type gives the sign."""
    text = (
        "Payment ID,Type,Amount,Currency,Created at\n"
        "p-1,Sale,20.00,USD,2026-03-02\np-2,Refund,5.00,USD,2026-03-03\n"
    )

    layout, _, events = proposed(tmp_path, "charges.csv", text)

    assert layout.sign == "by_type"
    assert events["amount"].to_list() == [2_000, -500]


def test_amounts_of_an_api_are_cents(tmp_path):
    """A list of objects from Stripe's API counts the smallest unit: 2500 is 25.00."""
    text = (
        '{"object": "list", "data": [{"id": "ch_1aaaaaaaa", "object": "charge", "amount": 2500,'
        ' "currency": "cad", "created": 1772445600},'
        ' {"id": "ch_2aaaaaaaa", "object": "charge", "amount": 990,'
        ' "currency": "cad", "created": 1772445700}]}'
    )

    layout, _, events = proposed(tmp_path, "charges.json", text)

    assert layout.unit == "minor"
    assert events["amount"].to_list() == [2_500, 990]


def test_whole_amounts_of_an_unknown_format_stay_a_question(tmp_path):
    """A file that may count cents or not is not guessed about: the block asks."""
    text = "Payment ID,Amount,Currency,Created at\np-1,20,USD,2026-03-02\np-2,5,USD,2026-03-03\n"

    layout, toml, _ = proposed(tmp_path, "charges.csv", text)

    assert layout.unit == "major"
    assert 'if the file counts cents, unit = "minor"' in toml


@pytest.mark.parametrize(("debit", "credit", "amount"), [("7.00", "", -700), ("", "7.00", 700)])
def test_a_pair_of_debit_and_credit_is_found_under_longer_names(tmp_path, debit, credit, amount):
    """`Gross Debit (GC)` and `Gross Credit (GC)` are one amount, though one of them is empty."""
    text = (
        "Psp Reference,Creation Date,Gross Currency,Gross Debit (GC),Gross Credit (GC),"
        f"Net Currency,Net Debit (NC)\n88123,2026-03-02 10:00:00,SEK,{debit},{credit},EUR,0.61\n"
    )

    _, _, events = proposed(tmp_path, "settled.csv", text)

    assert events.select("amount", "currency").rows() == [(amount, "SEK")]


def test_half_of_a_pair_is_never_the_amount(tmp_path):
    """`debit_amount` ends like an amount, but its row of credits is money too."""
    text = (
        "gl_id,date,debit_amount,credit_amount,currency\n"
        "G1,2026-03-02,15.00,0.00,USD\nG2,2026-03-03,0.00,4.50,USD\n"
    )

    _, _, events = proposed(tmp_path, "general_ledger.csv", text)

    assert events["amount"].to_list() == [-1_500, 450]


def test_a_pair_that_tells_money_going_out_goes_before_an_unsigned_amount(tmp_path):
    """A settlement report prints 400.00 for a refund and as a debit: 400.00 go out, not in."""
    text = (
        "entity_id,type,debit,credit,amount,currency,fee,tax,settlement_id,created_at\n"
        "pay_1aaaaa,payment,0.00,965.78,1000.00,INR,29.00,5.22,setl_9,2026-03-02T09:00:00Z\n"
        "rfnd_2bbbb,refund,400.00,0.00,400.00,INR,0.00,0.00,setl_9,2026-03-02T11:00:00Z\n"
        "trf_3ccccc,transfer,100.00,0.00,100.00,INR,0.00,0.00,setl_9,2026-03-02T12:00:00Z\n"
        "adj_4ddddd,adjustment,0.00,5.00,5.00,INR,0.00,0.00,setl_9,2026-03-02T13:00:00Z\n"
    )

    _, toml, events = proposed(tmp_path, "settlement_recon.csv", text)

    assert events.select("event_type", "amount", "fee", "payout_id").rows() == [
        ("payment", 96_578, None, "setl_9"),
        ("refund", -40_000, None, "setl_9"),
        ("transfer", -10_000, None, "setl_9"),
        ("adjustment", 500, None, "setl_9"),
    ]
    assert "# 'fee' is left out: what moved is already less the fee: check" in toml


def test_an_account_history_with_fees_tells_its_kinds_by_their_last_word(tmp_path):
    """A wallet prints a balance like a bank, but no bank takes a fee off each payment."""
    text = (
        "Date,Type,Currency,Gross,Fee,Net,Transaction ID,Balance\n"
        "03/02/2026,Express Checkout Payment,USD,55.00,-1.90,53.10,8AB12345CD678901X,53.10\n"
        "03/13/2026,Payment Refund,USD,-20.00,0.00,-20.00,1RR12345CD678903Z,33.10\n"
        "03/14/2026,General Withdrawal,USD,-33.10,0.00,-33.10,2WW12345CD678904W,0.00\n"
    )

    _, _, events = proposed(tmp_path, "wallet.csv", text)

    assert events.select("event_type", "amount", "fee").rows() == [
        ("payment", 5_500, 190),
        ("refund", -2_000, 0),
        ("payout", 3_310, 0),
    ]


@pytest.mark.parametrize(("numbers", "own"), [("JE1 JE2 JE3", True), ("JE1 JE1 JE1", False)])
def test_the_number_of_an_entry_is_its_id_where_it_tells_rows_apart(tmp_path, numbers, own):
    """A ledger's entry numbers are the ids of its rows, unless the rows are lines of one entry."""
    rows = [f"{n},2026-03-0{i},Rent,{i}0.00\n" for i, n in enumerate(numbers.split(), start=1)]

    layout, _, _ = proposed(tmp_path, "books.csv", "Entry No,Date,Memo,Amount\n" + "".join(rows))

    assert ("native_id" in layout.columns) is own


def test_nested_fields_are_called_by_both_names(tmp_path):
    """`amount_money.amount` is in `amount_money.currency`; `billing.email` is the billing email."""
    text = (
        '{"payments":[{"id":"sq_1","created_at":"2026-03-02T10:22:11Z","order_id":"O501",'
        '"amount_money":{"amount":5500,"currency":"USD"},"billing":{"email":"ana@example.com"},'
        '"refunded_money":{"amount":0,"currency":"EUR"}}]}'
    )

    layout, _, events = proposed(tmp_path, "square.json", text)

    assert layout.event_type == "payment"
    assert layout.columns["email"].names == ("billing.email",)
    assert events.select("amount", "currency").rows() == [(5_500, "USD")]


def test_what_all_rows_share_tells_no_transaction(tmp_path):
    """A settlement's own reference stands in every row: sales of one order stay two events."""
    text = (
        "Type;Capture date;Short order ID;Sale;Payment reference;Currency\n"
        "SALE;2026-03-02T10:22:11Z;AB12;55,00;KL123;SEK\n"
        "SALE;2026-03-03T10:22:11Z;AB12;5,00;KL123;SEK\n"
        "RETURN;2026-03-04T10:22:11Z;CD34;-20,00;KL123;SEK\n"
    )

    layout, toml, events = proposed(tmp_path, "settled.csv", text)

    assert not {"transaction_id", "native_id"} & set(layout.columns)
    assert '# "raw_keys.payment_reference" = "Payment reference"' in toml
    assert events.select("event_type", "amount").rows() == [
        ("payment", 5_500),
        ("payment", 500),
        ("refund", -2_000),
    ]


def test_a_currency_that_one_row_tells_for_all_is_declared_for_all(tmp_path):
    """A marketplace names the currency in its summary line alone: no line is lost for that."""
    text = (
        "settlement-id,total-amount,currency,transaction-type,order-id,adjustment-id,amount,"
        "posted-date,posted-date-time\n"
        "18906,15.49,GBP,Transfer,,,15.49,2026-03-17,2026-03-17T00:00:00+00:00\n"
        "18906,,,Refund,206-1,A1,-10.00,2026-03-05,2026-03-05T10:00:00+00:00\n"
        "18906,,,Fee,206-1,,-4.50,2026-03-02,2026-03-02T14:23:00+00:00\n"
        "18906,,,Payment,206-1,,29.99,2026-03-02,2026-03-02T14:23:00+00:00\n"
    )

    _, toml, events = proposed(tmp_path, "marketplace.csv", text)

    assert events.select("event_type", "amount", "currency", "payout_id", "native_id").rows() == [
        ("transfer", 1_549, "GBP", "18906", None),
        ("refund", -1_000, "GBP", "18906", None),
        ("fee", -450, "GBP", "18906", None),
        ("payment", 2_999, "GBP", "18906", None),
    ]
    assert events["event_ts"][1].hour == 10
    assert "# 'currency' holds it alone, but not beside every amount: check" in toml


def test_an_order_list_joins_the_halves_of_a_name(tmp_path):
    """A shop's list that names transactions too is one of orders, and no first name is shown."""
    path = tmp_path / "export.csv"
    path.write_text(
        "order_id,order_date,order_total,order_currency,transaction_id,billing_first_name,"
        "billing_last_name,refunded_total\n"
        "501,2026-03-02 10:22:11,55.00,EUR,ch_3AAAAbbbb,Ana,Diaz,0\n"
        "502,2026-03-02 11:02:41,19.90,EUR,ch_3CCCCdddd,Jon,Ruiz,19.90\n"
    )

    seen = profile_file(path)

    assert 'event_type = "order"' in seen.toml
    assert 'customer_name = { join = ["billing_first_name", "billing_last_name"] }' in seen.toml
    assert '# refunded_amount = "refunded_total"' in seen.toml
    assert "Ana" not in repr(seen.columns)


def test_an_unsigned_amount_stays_where_nothing_goes_out(tmp_path):
    """A month without debits: the gross amount and its fee say more than what came in."""
    text = (
        "id,type,debit,credit,amount,currency,fee,settlement_id,created_at\n"
        "pay_1aaaaa,payment,0.00,971.00,1000.00,INR,29.00,setl_9,2026-03-02T09:00:00Z\n"
        "pay_2aaaaa,payment,0.00,48.55,50.00,INR,1.45,setl_9,2026-03-03T09:00:00Z\n"
    )

    _, _, events = proposed(tmp_path, "settlement_recon.csv", text)

    assert events.select("event_type", "amount", "fee").rows() == [
        ("payment", 100_000, 2_900),
        ("payment", 5_000, 145),
    ]


def test_an_invoice_list_names_its_client_and_what_its_only_date_is(tmp_path):
    """Whose address it is does not hide an address; a due date is said to be one."""
    path = tmp_path / "open_invoices.csv"
    path.write_text(
        "client_name,client_email,invoice_number,unit_price,gross_amount,due_date,Memo/Description\n"
        "Ada Okafor,ada@example.com,INV-101,50,150.00,2026-03-15,Design\n"
        "Jon Ruiz,jon@example.com,INV-102,10,250.50,2026-03-10,Logo\n"
    )

    toml = profile_file(path).toml

    assert 'customer_name = "client_name"\nemail = "client_email"' in toml
    assert 'amount = "gross_amount"' in toml
    assert 'description = "Memo/Description"' in toml
    assert "# 'due_date' says when money is due: put when it was asked, if a column does" in toml


def test_fees_with_a_mark_of_their_own_are_left_out_and_said(tmp_path):
    """One sign holds for all fees of a layout: a column that marks each fee cannot be heeded."""
    text = (
        "Transaction ID,Created at,Gross Amount,Gross Currency,Fee Debit or Credit,Fee Amount,"
        "Fee Currency\nt-1,2026-03-02,50.00,AUD,DR,1.75,GBP\nt-2,2026-03-03,20.00,AUD,CR,0.70,GBP\n"
    )

    layout, toml, events = proposed(tmp_path, "settled.csv", text)

    assert "fee" not in layout.columns
    assert "# fees are left out: a layout reads one sign, 'Fee Debit or Credit' two" in toml
    assert events.select("amount", "currency").rows() == [(5_000, "AUD"), (2_000, "AUD")]


def test_payouts_are_found_by_their_own_ids(tmp_path):
    """A list of payouts names each by its id, which bank lines carry as payout id."""
    text = (
        "id,Amount,Created (UTC),Currency,Status\n"
        "po_1aaaaaaaa,120.00,2026-03-02 08:00,eur,paid\n"
        "po_2aaaaaaaa,35.00,2026-03-03 08:00,eur,paid\n"
    )

    _, _, events = proposed(tmp_path, "payouts.csv", text)

    assert events.select("event_type", "payout_id", "native_id").rows() == [
        ("payout", "po_1aaaaaaaa", "po_1aaaaaaaa"),
        ("payout", "po_2aaaaaaaa", "po_2aaaaaaaa"),
    ]


def test_a_list_of_payments_offers_its_keys_and_its_refunds(tmp_path):
    """Ids in metadata and payment intents become keys; refunds beside a payment are offered."""
    text = (
        "id,Created date (UTC),Amount,Amount Refunded,Currency,PaymentIntent ID,"
        "order_id (metadata)\n"
        "ch_1aaaaaaaa,2026-03-02 08:00:00,40.00,40.00,usd,pi_1aaaaaaaa,1001\n"
        "ch_2aaaaaaaa,2026-03-02 09:00:00,25.00,0.00,usd,pi_2aaaaaaaa,1002\n"
    )

    layout, toml, _ = proposed(tmp_path, "unified_payments.csv", text)

    assert layout.columns["order_id"].names == ("order_id (metadata)",)
    assert layout.columns["transaction_id"].names == ("PaymentIntent ID",)
    assert '# refunded_amount = "Amount Refunded"' in toml


def test_times_that_end_in_a_zone_are_proposed_with_it(tmp_path):
    """`2026-03-02 10:00:00 UTC` is a time: the block reads it, and the zone with it."""
    text = (
        "Payment ID,Created at,Amount,Currency\n"
        "p-1,2026-03-02 10:00:00 UTC,20.00,USD\np-2,2026-03-03 11:30:00 UTC,5.00,USD\n"
    )

    layout, _, events = proposed(tmp_path, "charges.csv", text)

    assert layout.date_formats == ("%Y-%m-%d %H:%M:%S %Z",)
    assert events["event_ts"].to_list() == [
        datetime(2026, 3, 2, 10, tzinfo=UTC),
        datetime(2026, 3, 3, 11, 30, tzinfo=UTC),
    ]
