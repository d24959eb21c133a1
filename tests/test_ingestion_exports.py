"""Exports of services, shops, books and partners, and the blocks that are proposed for them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recon_kit import settings
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ingestion.profile import profile_file
from recon_kit.ledger.store import Store
from recon_kit.testing import tell_file


def taken_in(tmp_path: Path, name: str, text: str) -> tuple[str, pl.DataFrame]:
    """The proposed block, and the events that the file becomes under it as it stands."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    toml = profile_file(path).toml
    source = settings.loads('[workspace]\nname = "x"\n' + toml).sources[0]
    told = tell_file(feed_for(source), path)
    assert told.problems.rows() == []
    return toml, told.events


def test_a_fee_is_read_in_the_currency_of_the_account(tmp_path):
    """15.00 USD became 534.80 THB less 35.40 THB: the fee is none of the 15.00."""
    toml, events = taken_in(
        tmp_path,
        "unified_payments.csv",
        "id,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Converted Amount,"
        "Converted Amount Refunded,Converted Currency,Fee,Status,Taxes On Fee,"
        "Invoice ID,Invoice Number,Checkout Session ID\n"
        "ch_1aaaaaaaa,2026-03-02 08:00:00,15.00,0.00,usd,true,534.80,0.00,thb,35.40,Paid,2.48,"
        "in_1aaaaaaaa,BC6E-0105,cs_1aaaaaaaa\n"
        "ch_2aaaaaaaa,2026-03-02 09:00:00,9.00,0.00,eur,false,350.06,0.00,thb,0.00,Failed,0.00,"
        "in_2aaaaaaaa,BC6E-0106,cs_2aaaaaaaa\n",
    )

    assert events.select(
        "event_type", "amount", "fee", "net", "currency", "presentment_amount",
        "presentment_currency", "invoice_number",
    ).rows() == [
        ("payment", 53_480, 3_540, 49_940, "THB", 1_500, "USD", "BC6E-0105"),
        ("other", 35_006, 0, 35_006, "THB", 900, "EUR", "BC6E-0106"),
    ]  # fmt: skip
    assert '# refunded_amount = "Converted Amount Refunded"' in toml
    assert "# 'Taxes On Fee' is a cost beside the fee and is not read" in toml


def test_rows_that_were_reverted_moved_no_money(tmp_path):
    """A card payment that the bank took back is told, and is no line of the account."""
    toml, events = taken_in(
        tmp_path,
        "account-statement.csv",
        "Type,Product,Completed Date,Description,Amount,Fee,Currency,State,Balance\n"
        "Topup,Current,2026-02-04 17:59:03,Payment,200.00,0.00,GBP,COMPLETED,775.46\n"
        "Card,Current,2026-02-25 16:51:50,Bolt,-2.18,0.00,GBP,REVERTED,\n",
    )

    assert events.select("event_type", "amount", "status").rows() == [
        ("bank_line", 20_000, "completed"),
        ("other", -218, "reverted"),
    ]
    assert 'map = { "COMPLETED" = "bank_line", "REVERTED" = "other" }' in toml


def test_a_row_that_fails_later_stays_the_same_row(tmp_path):
    """Pending in one export, reverted in the next: one event, and no line of the account."""
    rows = (
        "Type,Completed Date,Description,Amount,Currency,State,Balance\n"
        "Card,2026-02-24 16:51:50,Uber,-3.18,GBP,REVERTED,\n"
        "Card,2026-02-25 16:51:50,Bolt,-2.18,GBP,PENDING,\n"
    )
    first, second = tmp_path / "statement.csv", tmp_path / "statement_2.csv"
    first.write_text(rows, encoding="utf-8")
    second.write_text(rows.replace("PENDING", "REVERTED"), encoding="utf-8")
    source = settings.loads('[workspace]\nname = "x"\n' + profile_file(first).toml).sources[0]
    store = Store.create(tmp_path / "store", created_at=datetime(2026, 3, 1, tzinfo=UTC))
    for day, path in enumerate((first, second), start=1):
        received = datetime(2026, 3, day, 12, tzinfo=UTC)
        ingest_file(store, source, path, workspace_timezone="UTC", received_at=received)
    with store.snapshot().engine() as engine:
        events = engine.rows(
            "select event_type, amount, status, conflict from events order by amount"
        )

    assert events.rows() == [
        ("other", -318, "reverted", False),
        ("other", -218, "reverted", False),
    ]


def test_a_denied_payment_among_types_is_said(tmp_path):
    """Types come from a column of their own: that a row moved nothing is left to a person."""
    toml, _ = taken_in(
        tmp_path,
        "download.csv",
        "Date,Type,Status,Currency,Gross,Fee,Net,Transaction ID\n"
        "2026-03-29,Express Checkout Payment,Completed,USD,50.00,-1.00,49.00,9XA1\n"
        "2026-03-30,Express Checkout Payment,Denied,USD,20.00,-1.00,19.00,9XA2\n"
        "2026-03-31,General Withdrawal,Completed,USD,-49.00,0.00,-49.00,9XA3\n",
    )

    said = (
        "# rows of some 'Status' moved no money: leave them out of a side by "
        'where = { status_not = ["denied"] }'
    )
    assert said in toml


def test_day_time_and_zone_of_three_columns_are_one_moment(tmp_path):
    """23:30 in Los Angeles on 29 March is 06:30 on the 30th in UTC."""
    toml, events = taken_in(
        tmp_path,
        "activity.csv",
        "Date,Time,TimeZone,Type,Currency,Gross,Fee,Net,Transaction ID\n"
        "03/29/2026,23:30:15,America/Los_Angeles,Payment,USD,50.00,-1.00,49.00,9XA1\n"
        "03/30/2026,00:10:00,PDT,Payment,USD,20.00,-1.00,19.00,9XA2\n",
    )

    assert events["event_ts"].to_list() == [
        datetime(2026, 3, 30, 6, 30, 15, tzinfo=UTC),
        datetime(2026, 3, 30, 7, 10, tzinfo=UTC),
    ]
    assert "timezone = \"UTC\"  # for rows that 'TimeZone' leaves blank" in toml


def test_rows_that_share_an_id_are_told_apart(tmp_path):
    """A transfer and its charge bear one id: both are told, and the charge of 0.51 once."""
    toml, events = taken_in(
        tmp_path,
        "statement.csv",
        "TransferWise ID,Date,Amount,Currency,Description,Running Balance,Total fees\n"
        "TRANSFER-2,31-07-2026,500.00,EUR,Received money,500.00,0.00\n"
        "TRANSFER-2,31-07-2026,-0.51,EUR,Charges for TRANSFER-2,499.49,0.51\n"
        "CARD-3,13-08-2026,-20.00,EUR,Cafe,479.49,0.00\n",
    )

    assert events["event_id"].n_unique() == 3
    assert events["amount"].to_list() == [50_000, -51, -2_000]
    assert events["fee"].to_list() == [None, None, None]
    assert "# 'TransferWise ID' repeats; together these tell rows apart" in toml
    assert "# 'Total fees' is left out: what moved is already less the fee: check" in toml


def test_lines_of_an_invoice_count_its_total_once(tmp_path):
    """121.00 stands on both lines of INV-0001: the invoice is one, and of 121.00."""
    toml, events = taken_in(
        tmp_path,
        "sales.csv",
        "*ContactName,EmailAddress,*InvoiceNumber,Reference,*InvoiceDate,*DueDate,Total,"
        "*Description,*Quantity,*UnitAmount,Currency\n"
        "Diaz SL,ana@x.com,INV-0001,#1001,15/03/2026,14/04/2026,121.00,Course,1,50.00,EUR\n"
        "Diaz SL,ana@x.com,INV-0001,#1001,15/03/2026,14/04/2026,121.00,Book,1,50.00,EUR\n"
        "Li SA,bo@x.com,INV-0002,#1002,16/03/2026,15/04/2026,60.50,Course,1,50.00,EUR\n",
    )

    assert events.select("event_type", "invoice_number", "amount", "records").rows() == [
        ("invoice", "INV-0001", 12_100, 2),
        ("invoice", "INV-0002", 6_050, 1),
    ]
    assert "sum = []  # each line repeats 'Total' of the whole: told once" in toml


def test_what_a_payer_wrote_is_no_key(tmp_path):
    """`March rent` stands in a payment reference: it describes the row and joins none."""
    toml, events = taken_in(
        tmp_path,
        "account.csv",
        "Booking Date,Partner Name,Payment Reference,Amount (EUR)\n"
        "2026-02-01,Rewe GmbH,March rent,-56.40\n2026-02-05,Ana Diaz,INV-7,2500.00\n",
    )

    assert "transaction_id" not in toml
    assert events["description"].to_list() == ["March rent", "INV-7"]


def test_a_payout_in_the_debit_column_is_money_sent(tmp_path):
    """A settlement books its payout as a debit of the balance: 40.10 go to the bank."""
    _, events = taken_in(
        tmp_path,
        "settlement_detail.csv",
        "Psp Reference,Merchant Reference,Creation Date,TimeZone,Type,Net Currency,"
        "Net Debit (NC),Net Credit (NC),Batch Number\n"
        "8835511210681001,ORDER-1,2026-09-15 10:22:31,CEST,Settled,EUR,,45.10,118\n"
        "8835511210681002,ORDER-1,2026-09-15 12:00:00,CEST,Refunded,EUR,5.00,,118\n"
        ",,2026-09-17 23:00:00,CEST,MerchantPayout,EUR,40.10,,118\n",
    )

    assert events.select("event_type", "amount").rows() == [
        ("payment", 4_510),
        ("refund", -500),
        ("payout", 4_010),
    ]


def test_the_net_of_a_payout_is_what_was_sent(tmp_path):
    """Fees of 13.35 were taken before: 416.65 is what the bank gets, gross and net."""
    _, events = taken_in(
        tmp_path,
        "payouts.csv",
        "Payout Date,Status,Charges,Refunds,Fees,Total,Currency,Bank Reference\n"
        "2026-09-03,paid,450.00,-20.00,-13.35,416.65,USD,TRC123\n",
    )

    assert events.select("amount", "fee", "net", "payout_id").rows() == [
        (41_665, 1_335, 41_665, "TRC123")
    ]


def test_a_banks_own_reference_is_no_payout(tmp_path):
    """The same words on a statement are the bank's, and its lines stay lines of an account."""
    toml, events = taken_in(
        tmp_path,
        "statement.csv",
        "Booking Date,Type,Amount,Currency,Bank Reference,Balance\n"
        "2026-09-03,Fee,-4.00,USD,B0001,96.00\n2026-09-04,Transfer,416.65,USD,B0002,512.65\n",
    )

    assert events["event_type"].to_list() == ["bank_line", "bank_line"]
    assert '# "raw_keys.bank_reference" = "Bank Reference"' in toml


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (("Record ID,Deal Name,Deal Stage,Close Date,Amount,Currency,Google click id\n"
         "123,Course,Closed Lost,2026-05-01 10:00,900.00,EUR,Cj0A\n"), "lead"),
        (("event_name,event_time,event_id,value,currency,order_id,fbc\n"
         "Purchase,1790000000,ev_1,129.90,EUR,1001,fb.1.1.AbC\n"), "conversion"),
        (("Booking Ref,Booking Date,Travel Date,Lead Traveler,Status,Net Rate (USD)\n"
         'BR-1,"Apr 1, 2026","May 1, 2026",Ana Diaz,CONFIRMED,"1,075.00"\n'), "booking"),
        (("Date,Transaction type,Num,Memo,Due date,Amount,Open balance\n"
         '03/15/2026,Invoice,1001,Course,04/14/2026,"1,200.00",0.00\n'), "invoice"),
        (("Created date (UTC);Amount;Currency;Captured;Fee;Payment Source Type;Invoice Number\n"
         "2026-06-07 02:38:54;15.00;usd;TRUE;0.40;card;BC4E-0005\n"), "payment"),
    ],
)  # fmt: skip
def test_what_a_row_is_by_its_own_columns(tmp_path, text, kind):
    """A lost deal is no conversion, a stay no bank line, a list of payments none of invoices."""
    _, events = taken_in(tmp_path, "export.csv", text)

    assert events["event_type"].to_list() == [kind]


def test_dashes_stand_for_nothing(tmp_path):
    """A partner prints `-` where it has no amount: the row is kept without one."""
    toml, events = taken_in(
        tmp_path,
        "partner.csv",
        "Type/Transaction type,Check-in date,Gross amount,Commission,Transaction currency\n"
        "(Payout),-,-,-,-\n"
        "Reservation,2026-01-02,2848.82,-427.32,AUD\n",
    )

    assert events.select("event_type", "amount", "fee").rows() == [
        ("payout", None, None),
        ("booking", 284_882, 42_732),
    ]
    assert 'nulls = ["", "--", "N/A", "NULL", "null", "-"]' in toml


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (("balance_transaction_id;created_utc;currency;gross;fee;net;reporting_category\n"
         "txn_1;2026-03-28 22:30;eur;1234,50;36,10;1198,40;charge\n"), 'decimal = ","'),
        (("Name,Created at,Currency,Total,Financial Status,Lineitem name\n"
         "#1,28/03/2026 22:30,EUR,1234.50,paid,Mug\n"), 'date_formats = ["%d/%m/%Y %H:%M"]'),
        (("Google Click ID,Conversion Name,Conversion Time,Conversion Value\n"
         "Cj0A,Sale,2026-03-28T22:30:00+0000,1234.50\n"), 'currency = "USD"'),
    ],
)  # fmt: skip
def test_a_vendors_block_declares_another_notation(tmp_path, text, options):
    """A decimal comma, a spreadsheet's days, values without currency: the block reads them."""
    toml, events = taken_in(tmp_path, "export.csv", text)

    assert f"options = {{ {options} }}" in toml
    assert events.select("amount", "event_ts").rows() == [
        (123_450, datetime(2026, 3, 28, 22, 30, tzinfo=UTC))
    ]


def test_clicks_of_another_service_are_kept(tmp_path):
    """A file in Google's layout with another service's clicks is a table, its click a key."""
    toml, events = taken_in(
        tmp_path,
        "conversions.csv",
        "Parameters:TimeZone=+0000\n"
        "Microsoft Click Id,Conversion Name,Conversion Time,Conversion Value,Conversion Currency\n"
        "ms1,Contract,2026-09-29 01:00:00,12100.50,USD\n",
    )

    assert 'feed = "table"' in toml
    assert events.select("event_type", "click_id", "amount").rows() == [
        ("conversion", "ms1", 1_210_050)
    ]


def test_samples_show_nobody(tmp_path):
    """Names in other languages, notes, account numbers and addresses in texts are masked."""
    path = tmp_path / "strange.csv"
    path.write_text(
        "Begünstigter / Auftraggeber;Naam tegenpartij;fn;*ContactName;Guest;Note Attributes;"
        "Account;Associated\n"
        "Ana Diaz;Bo Li;cy;Di Ng;Ed Oh;Full Name: Fay Poe;20-12-34 12345678;Gus (gus@x.com)\n",
        encoding="utf-8",
    )

    shown = [s for samples in profile_file(path).columns["samples"] for s in samples]

    assert shown == [
        "A*** D***", "B*** L***", "c***", "D*** N***", "E*** O***", "F***", "***", "Gus (***)",
    ]  # fmt: skip


def test_a_rounded_phone_number_is_nobodys(tmp_path):
    """A spreadsheet made one number of two strangers': both orders stay, without it."""
    path = tmp_path / "orders_export.csv"
    path.write_text(
        "Name,Created at,Currency,Total,Phone\n"
        "#1,2026-03-28 22:30:00 +0000,PKR,100,9.23228E+11\n"
        "#2,2026-03-28 22:31:00 +0000,PKR,100,+923001234567\n",
        encoding="utf-8",
    )
    told = tell_file(feed_for(settings.Source(name="shop", feed="shopify.orders_csv")), path)

    assert told.events["phone"].to_list() == [None, "+923001234567"]
    assert told.warnings == {
        "phone numbers that a spreadsheet has rounded (such as 9.2E+11); the rows are kept "
        "without them": 1
    }


def test_the_separator_line_of_a_spreadsheet_costs_no_row(tmp_path):
    """The reader takes `sep=;` by itself: the block skips nothing more, and both rows are told."""
    toml, events = taken_in(
        tmp_path,
        "bank.csv",
        "sep=;\nBuchungstag;Verwendungszweck;Betrag;Währung\n"
        "14.03.2026;Stripe;1.250,00;EUR\n15.03.2026;Kiosk;-12,34;EUR\n",
    )

    assert "skip_rows" not in toml
    assert events["amount"].to_list() == [125_000, -1_234]


@pytest.mark.parametrize("total", ["Summe;;1.237,66;EUR", ";Gesamt;1.237,66;EUR"])
def test_a_total_below_the_rows_is_no_row(tmp_path, total):
    """1,237.66 is what the rows add up to: it is not told once more."""
    toml, events = taken_in(
        tmp_path,
        "bank.csv",
        "Buchungstag;Verwendungszweck;Betrag;Währung\n"
        f"14.03.2026;Stripe;1.250,00;EUR\n15.03.2026;Kiosk;-12,34;EUR\n{total}\n",
    )

    assert "# lines that tell totals or balances are no rows: see footer_regex" in toml
    assert events["amount"].to_list() == [125_000, -1_234]


def test_a_payee_called_total_keeps_its_row(tmp_path):
    """A fuel station's last row begins with its name and has a day: it is a row."""
    toml, events = taken_in(
        tmp_path,
        "account.csv",
        "Payee,Booking Date,Amount,Currency\n"
        "Stripe,2026-03-14,1250.00,EUR\nTOTAL 1234 LYON,2026-03-15,-12.34,EUR\n",
    )

    assert "footer_regex" not in toml
    assert events["amount"].to_list() == [125_000, -1_234]


def test_a_row_without_a_day_is_said(tmp_path):
    """A total that no pattern names is taken in, and the receipt says what is odd about it."""
    path = tmp_path / "bank.csv"
    path.write_text("Day,Amount\n2026-03-14,12.50\n,12.50\n", encoding="utf-8")
    layout = {
        "event_type": "bank_line", "timezone": "UTC", "date_formats": ["%Y-%m-%d"],
        "columns": {"event_ts": "Day", "amount": "Amount", "currency": {"value": "EUR"}},
    }  # fmt: skip
    source = settings.Source(name="bank", feed="table", layout=layout)

    assert tell_file(feed_for(source), path).warnings == {
        "rows with an amount and without a time, which other rows tell: name lines of totals in "
        "`footer_regex`": 1
    }


def test_amounts_with_signs_tell_their_decimal_mark(tmp_path):
    """Euro signs, hard spaces, brackets and minus signs of three kinds are read as printed."""
    toml, events = taken_in(
        tmp_path,
        "bank.csv",
        "Date;Text;Amount;Currency\n2026-03-14;A;1\u00a0250,00\u00a0€;EUR\n"
        "2026-03-15;B;-\u202f12,34\u00a0€;EUR\n2026-03-16;C;\u22125,00 €;EUR\n"
        "2026-03-17;D;(7,00 €);EUR\n2026-03-18;E;3,00- €;EUR\n2026-03-19;F;€ -8,00;EUR\n",
    )

    assert 'decimal = ","' in toml
    assert events["amount"].to_list() == [125_000, -1_234, -500, -700, -300, -800]


def test_amounts_of_which_some_cannot_be_read_are_proposed(tmp_path):
    """`1.25E+03` is set aside with its row; the column that is called amount is read."""
    path = tmp_path / "ledger.csv"
    path.write_text(
        "Date,Text,Amount,Currency\n2026-03-14,A,1.25E+03,EUR\n2026-03-15,B,-12.34,EUR\n"
        "2026-03-16,C,5.00,EUR\n",
        encoding="utf-8",
    )

    toml = profile_file(path).toml

    assert 'amount = "Amount"' in toml
    assert "# 1 different amounts cannot be read: their rows will be set aside" in toml


def test_words_for_a_currency_are_translated(tmp_path):
    """`eur`, `€` and `Euro` in the column of currencies are euros; no dollar is proposed."""
    toml, events = taken_in(
        tmp_path,
        "ledger.csv",
        "Date,Text,Amount,Currency\n2026-03-14,A,12.50,eur\n2026-03-15,B,-12.34,€\n"
        "2026-03-16,C,5.00,Euro\n",
    )

    assert 'map = { "Euro" = "EUR", "€" = "EUR" }' in toml
    assert events["currency"].to_list() == ["EUR", "EUR", "EUR"]


def test_days_that_no_format_reads_are_named(tmp_path):
    """A column of days in two orders is told by its name, with what to do."""
    toml, events = taken_in(
        tmp_path,
        "ledger.csv",
        "Date,Text,Amount,Currency\n14/03/2026,A,12.50,EUR\n03/16/2026,B,-12.34,EUR\n",
    )

    assert (
        "# 'Date' is called one, but no one format reads it: export it as YYYY-MM-DD, or put each "
        "of its formats in date_formats"
    ) in toml
    assert events["event_ts"].to_list() == [None, None]


def test_a_row_that_tells_its_net_alone_moved_that_much(tmp_path):
    """A marketplace prints fees as a net of -2.93 and no amount: the balance lost 2.93."""
    _, events = taken_in(
        tmp_path,
        "statement_2026_3.csv",
        "Date,Type,Title,Currency,Amount,Fees & Taxes,Net\n"
        '"March 29, 2026",Sale,Payment for Order #3012345678,EUR,€45.00,--,€45.00\n'
        '"March 29, 2026",Fee,Transaction fee: Mug,EUR,--,-€2.93,-€2.93\n',
    )

    assert events.select("event_type", "amount").rows() == [("payment", 4_500), ("fee", -293)]


def test_what_was_paid_goes_before_its_net(tmp_path):
    """45.00 were paid and 43.50 left: a payout without a gross sends its net."""
    _, events = taken_in(
        tmp_path,
        "transactions.csv",
        "Date,Type,Order number,Net amount,Payout ID,Gross transaction amount,Currency\n"
        '"Mar 29, 2026",Order,12-1,43.50,55,45.00,EUR\n'
        '"Mar 31, 2026",Payout,--,-43.50,55,--,EUR\n',
    )

    assert events.select("event_type", "amount", "net").rows() == [
        ("payment", 4_500, 4_350),
        ("payout", 4_350, 4_350),
    ]


def test_an_american_time_with_its_zone_is_read(tmp_path):
    """Eight in the evening of 2 March in California is the third in UTC."""
    _, events = taken_in(
        tmp_path,
        "range.csv",
        "date/time,type,order id,total\n"
        '"Mar 2, 2026 8:15:10 PM PST",Order,111-1,12.90\n'
        '"Mar 8, 2026 8:15:10 PM PDT",Refund,111-2,-17.00\n',
    )

    assert events["event_ts"].to_list() == [
        datetime(2026, 3, 3, 4, 15, 10, tzinfo=UTC),
        datetime(2026, 3, 9, 3, 15, 10, tzinfo=UTC),
    ]


def test_a_ledgers_debit_is_said_to_be_its_accounts_own(tmp_path):
    """Soll of a customer's account is what was invoiced, not money that went out: check."""
    path = tmp_path / "stapel.csv"
    path.write_text(
        "Umsatz (ohne Soll/Haben-Kz);Soll/Haben-Kennzeichen;WKZ Umsatz;Konto;Gegenkonto;"
        'Belegdatum;Belegfeld 1\n1234,50;"S";"EUR";10001;8400;1503;"RE-1"\n'
        '59,50;"H";"EUR";10002;8400;1603;"GS-1"\n',
        encoding="utf-8",
    )

    toml = profile_file(path).toml

    assert (
        "# a ledger marks debit and credit of its own account: a customer's account is debited "
        "what was invoiced: check the signs"
    ) in toml
    assert "# 'Belegdatum' is called one, but no one format reads it" in toml


def test_a_balance_is_never_the_amount(tmp_path):
    """Where only the balance reads as money, no amount is proposed, and the block says so."""
    path = tmp_path / "account.csv"
    path.write_text("Date,Text,Running Bal.\n2026-03-14,A,12.50\n2026-03-15,B,2.50\n", "utf-8")

    toml = profile_file(path).toml

    assert "amount =" not in toml
    assert "# no column of amounts was found; events will have none" in toml
