"""A file before it is declared, and the sources that were ingested."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recon_kit import model, settings
from recon_kit.errors import FileRejectedError
from recon_kit.ingestion.guess import guess_column, guess_dialect
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ingestion.overlap import key_overlap, profile_sources
from recon_kit.ingestion.profile import profile_file, recognise
from recon_kit.ledger.engine import open_engine
from recon_kit.ledger.store import Store

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(__file__).parents[2] / "shared"
BANK = (
    "Account statement;;;;\n"
    "Exported 01.02.2026;;;;\n"
    "Buchungstag;Verwendungszweck;Betrag;IBAN;Order ref\n"
    "13.01.2026;Ana Diaz;1.234,56;DE4455667788;#1001\n"
    "14.01.2026;Li Wei;-12,50;DE4455667788;1.23457E+15\n"
    "14.01.2026;Li Wei;-12,50;DE4455667788;1.23457E+15\n"
    "16.01.2026;;7,00;DE4455667788;null\n"
    "Total;;1.229,06;;\n"
)


def table(tmp_path: Path, text: str, name: str = "bank_2026-01.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def declared(toml: str) -> settings.Source:
    return settings.loads('[workspace]\nname = "x"\n' + toml).sources[0]


def event(**fields: object) -> dict[str, object]:
    return {"event_key": f"k{fields['event_id']}", "records": 1, **fields}


def events_frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=model.EVENT_SCHEMA)


def test_a_strange_file_gets_a_valid_block(tmp_path):
    """Preamble, semicolons, decimal commas, dotted dates and a total line are all proposed."""
    found = profile_file(table(tmp_path, BANK))

    layout = declared(found.toml).layout
    assert layout is not None
    assert (layout.delimiter, layout.skip_rows, layout.decimal) == (";", 2, ",")
    assert layout.date_formats == ("%d.%m.%Y",)
    assert layout.footer_regex == r"^\W*(Total)"
    assert layout.columns["event_ts"].names == ("Buchungstag",)
    assert layout.columns["amount"].names == ("Betrag",)
    assert layout.event_type == "bank_line"
    assert "put the zone of the supplier" in found.toml


def test_what_is_in_the_columns(tmp_path):
    """Per column: kind, nulls, extremes; personal samples are masked."""
    found = profile_file(table(tmp_path, BANK))

    columns = {row["column"]: row for row in found.columns.iter_rows(named=True)}
    assert {name: row["kind"] for name, row in columns.items()} == {
        "Buchungstag": "date", "Verwendungszweck": "text", "Betrag": "amount",
        "IBAN": "account", "Order ref": "id",
    }  # fmt: skip
    assert (columns["Betrag"]["min"], columns["Betrag"]["max"]) == ("-12.5", "1234.56")
    assert columns["Verwendungszweck"]["null_share"] == 0.25
    assert columns["IBAN"]["samples"] == ["***"]
    assert columns["Order ref"]["odd"].startswith(
        "2 in scientific notation (a spreadsheet rounded them); 1 written as null"
    )
    assert (found.rows, found.blank, found.duplicate_rows) == (4, 1, 1)
    assert (str(found.first_day), str(found.last_day)) == ("2026-01-13", "2026-01-16")
    assert found.days_without_rows == 1


def test_payouts_named_in_free_text_are_proposed(tmp_path):
    """Where bank lines name payouts in their description the block extracts them."""
    text = "Date,Amount,Currency,Description\n2026-01-01,1.00,USD,STRIPE po_7abc TRANSFER\n"
    layout = declared(profile_file(table(tmp_path, text)).toml).layout

    assert layout is not None
    assert layout.columns["payout_id"].origin == ("Description",)
    assert layout.columns["payout_id"].extract == r"(po_\w+)"


def test_a_proposed_block_can_be_ingested(tmp_path):
    """The block as it stands reads the file: every row becomes an event."""
    path = table(tmp_path, BANK)
    source = declared(profile_file(path).toml)
    received = datetime(2026, 2, 1, tzinfo=UTC)
    store = Store.create(tmp_path / "store", created_at=received)
    receipt = ingest_file(store, source, path, workspace_timezone="UTC", received_at=received)

    counts = receipt.counts
    assert (counts.physical, counts.accepted, counts.quarantined, counts.blank) == (5, 2, 2, 1)


@pytest.mark.parametrize(
    ("fee", "refunded_fee", "sign"),
    [("-0.59", "0.10", True), ("0.59", "-0.10", False), ("-0.59", "-0.10", True)],
)
def test_the_sign_of_fees_is_read_off_the_sales(tmp_path, fee, refunded_fee, sign):
    """A fee below zero beside a sale is a cost: the block says so, and the fee is told as one."""
    text = (
        "Date,Charge ID,Amount,Fee,Currency\n"
        f"2026-03-01,c1,10.00,{fee},USD\n2026-03-02,c2,20.00,{fee},USD\n"
        f"2026-03-03,c3,-5.00,{refunded_fee},USD\n"
    )
    path = table(tmp_path, text, "charges.csv")
    source = declared(profile_file(path).toml)
    store = Store.create(tmp_path / "store", created_at=datetime(2026, 3, 4, tzinfo=UTC))
    ingest_file(store, source, path, workspace_timezone="UTC",
                received_at=datetime(2026, 3, 4, tzinfo=UTC))  # fmt: skip
    with store.snapshot().engine() as engine:
        told = engine.rows("select amount, fee from events where amount = 1000").row(0)

    assert source.layout.fee_sign == ("negative" if sign else "positive")
    assert told == (1_000, 59)


def test_dates_that_read_both_ways_are_said(tmp_path):
    """Where day and month could be swapped the block says so and names the other reading."""
    text = "Date,Amount,Currency\n01/02/2026,1.00,USD\n03/04/2026,2.00,USD\n"
    found = profile_file(table(tmp_path, text))

    assert declared(found.toml).layout.date_formats == ("%m/%d/%Y",)
    assert "# every value also reads as %d/%m/%Y, with another meaning: choose one" in found.toml


def test_a_day_above_twelve_settles_the_order(tmp_path):
    """One value that fits a single reading is enough to drop the other."""
    text = "Date,Amount,Currency\n01/02/2026,1.00,USD\n30/04/2026,2.00,USD\n"

    assert declared(profile_file(table(tmp_path, text)).toml).layout.date_formats == ("%d/%m/%Y",)


def test_a_mark_that_groups_or_parts_is_said(tmp_path):
    """`1,234` alone may be a thousand or a one and a bit: the block asks."""
    text = 'Date,Amount,Currency\n2026-01-01,"1,234",USD\n2026-01-02,"2,500",USD\n'
    found = profile_file(table(tmp_path, text))

    assert 'thousands = ","  # some amounts (such as 1,234) read either way: check' in found.toml
    assert declared(found.toml).layout.thousands == ","


@pytest.mark.parametrize(
    ("sample", "feed"),
    [
        ("shopify_orders/orders_79_columns.csv", "shopify.orders_csv"),
        ("shopify_orders/orders_reordered_subset.csv", "shopify.orders_csv"),
        ("stripe_payouts/itemised_all_categories.csv", "stripe.payout_reconciliation"),
        ("stripe_payouts/local_time_decimal_comma.csv", "stripe.payout_reconciliation"),
        ("google_ads/conversions_zone_in_file.csv", "google_ads.offline_conversions"),
        ("google_ads/adjustments.csv", "google_ads.offline_conversions"),
    ],
)
def test_vendor_files_are_recognised(sample, feed):
    """A vendor's export is known by its header, and the block names its feed."""
    found = profile_file(GOLDEN / sample)

    assert found.feed == feed
    assert declared(found.toml).feed == feed


def test_a_strange_header_is_not_recognised():
    """A header that only shares common names is nobody's."""
    assert recognise(["Name", "Email", "Total", "Currency"]) is None
    assert recognise(["date", "gross", "net", "currency"]) is None


def test_a_feed_is_named_only_where_it_can_read_the_file():
    """A report without a net is read by Stripe's feed, one without a time of creation is not."""
    columns = ["balance_transaction_id", "source_id", "currency", "gross", "reporting_category"]

    assert recognise([*columns, "created_utc"]) == "stripe.payout_reconciliation"
    assert recognise([*columns, "net", "available_on_utc"]) is None


def test_gzip_and_utf_16_are_seen(tmp_path):
    """A compressed file and a UTF-16 file with tabs are profiled without being told."""
    packed = tmp_path / "rows.csv"
    packed.write_bytes(gzip.compress(b"id,amount\n1,2.50\n"))
    wide = tmp_path / "wide.csv"
    wide.write_bytes("id\tamount\n1\t2.50\n2\t3.50\n".encode("utf-16"))

    assert profile_file(packed).rows == 1
    found = profile_file(wide)
    assert (found.dialect.encoding, found.dialect.delimiter, found.rows) == ("utf-16", "\t", 2)


def test_json_envelopes_are_seen(tmp_path):
    """The list inside an envelope holds the records; the block names its path."""
    path = table(tmp_path, '{"data": {"items": [{"a": 1, "total": "2.50"}]}}', "answer.json")

    found = profile_file(path)
    assert (found.dialect.format, found.dialect.records, found.rows) == ("json", "data.items", 1)
    assert declared(found.toml).layout.records == "data.items"


def test_bytes_that_are_not_utf_8_are_noted():
    """Latin letters outside UTF-8 lead to a guess that says that it is one."""
    guessed = guess_dialect("Datum;Betrag\n01.02.2026;1,00 \u20ac\n".encode("cp1252"))

    assert guessed.dialect.encoding == "cp1252"
    assert "check accents" in guessed.notes[0]


def test_mixed_prefixes_of_ids_are_said():
    """Ids of several kinds in one column are named with their numbers, not their values."""
    profile = profile_file(GOLDEN / "stripe_payouts" / "itemised_all_categories.csv")

    odd = profile.columns.filter(pl.col("column") == "source_id")["odd"].item()
    assert "mixed prefixes: ch_ 13, dp_ 2, po_ 2, re_ 2" in odd


def test_a_missing_file_is_refused(tmp_path):
    """A path that is no file gives a clear error."""
    with pytest.raises(FileRejectedError, match="does not exist"):
        profile_file(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("header", "values", "kind"),
    [
        ("Customer Name", ["Ana Diaz"], "name"),
        ("Name", ["#1001", "#1002"], "id"),
        ("email", ["ana@example.com"], "email"),
        ("Billing Phone", ["+33612345678"], "phone"),
        ("Shipping Zip", ["75008"], "address"),
        ("Currency", ["USD", "eur"], "currency"),
        ("order_id", ["1", "2"], "id"),
        ("quantity", ["1", "2"], "count"),
        ("paid", ["true", "false"], "boolean"),
        ("price", ["$1,149.00 ", "(3.50)"], "amount"),
        ("created", ["2026-01-01T10:00:00Z"], "timestamp"),
        ("created", ["1767225600"], "timestamp"),
        ("note", [None, None], "empty"),
        ("dob", ["1971-06-24"], "birth"),
        ("date_of_birth", ["19710624"], "birth"),
        ("soc_sec_id", ["5304218"], "account"),
        ("SSN", ["078-05-1120"], "account"),
    ],
)
def test_kinds_of_columns(header, values, kind):
    """What a column holds follows from its values, helped by its name."""
    assert guess_column(header, pl.Series(values, dtype=pl.String)).kind == kind


def test_a_birthday_is_masked_and_no_time_of_the_row(tmp_path):
    """When somebody was born says nothing of when the row happened, and is nobody's to read."""
    path = tmp_path / "people.csv"
    path.write_text("id,full_name,dob\np1,Ada Okafor,1971-06-24\np2,Jon Ruiz,1980-01-02\n")

    seen = profile_file(path)

    assert "1971" not in repr(seen.columns) + seen.toml
    assert "event_ts" not in seen.toml
    assert '# "raw_keys.dob" = "dob"  # with personal = ["dob"] under [sources.layout]' in seen.toml


def test_key_overlap_finds_keys_across_fields():
    """An order id that the other source calls an invoice number is found, with shares both ways."""
    rows = events_frame(
        event(event_id="1", source="shop", event_type="order", order_id="1001"),
        event(event_id="2", source="shop", event_type="order", order_id="1002"),
        event(event_id="3", source="psp", event_type="payment", invoice_number="1001",
              raw_keys='{"order_id":"#1002","cart":"\'1002"}'),
        event(event_id="4", source="psp", event_type="payment", order_id="n/a",
              external_ids='{"charge":"ch_1"}'),
    )  # fmt: skip
    with open_engine() as engine:
        engine.put("events", rows)
        found = key_overlap(engine)

    assert found.rows() == [
        ("psp", "invoice_number", "shop", "order_id", 1, 2, 1, 1.0, 0.5),
        ("psp", "raw_keys.cart", "shop", "order_id", 1, 2, 1, 1.0, 0.5),
    ]


def test_profile_of_sources():
    """Counts, coverage and totals per source, type and currency; nulls per field; repeats."""
    at = pl.Series(["2026-01-01 10:00", "2026-01-03 10:00"]).str.to_datetime(time_zone="UTC")
    rows = events_frame(
        event(event_id="1", source="psp", event_type="payment", amount=500, currency="USD",
              event_ts=at[0], order_id="1"),
        event(event_id="2", source="psp", event_type="payment", amount=500, currency="USD",
              event_ts=at[0], order_id="1"),
        event(event_id="3", source="psp", event_type="payment", amount=700, currency="USD",
              event_ts=at[1]),
        event(event_id="4", source="psp", event_type="payment", amount=2**62, currency="JPY"),
        event(event_id="5", source="psp", event_type="payment", amount=2**62, currency="JPY"),
    )  # fmt: skip
    with open_engine() as engine:
        engine.put("events", rows)
        found = profile_sources(engine)

    kept = ("source", "event_type", "currency", "events", "days", "amount_minor")
    assert found.types.select(kept).rows() == [
        ("psp", "payment", "JPY", 2, 0, 2**63),
        ("psp", "payment", "USD", 3, 2, 1_700),
    ]
    nulls = dict(found.nulls.select("field", "nulls").rows())
    assert nulls == {"amount": 0, "currency": 0, "event_ts": 2, "order_id": 3}
    assert found.duplicates.rows() == [("psp", "payment", 1, 1)]


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("raw_payments.csv", "id,order_id,amount\n1,7,1000\n", "payment", 'unit = "minor"'),
        ("bank-adjustments.csv", "id,day,amount\n1,2026-01-02,-3.10\n", "adjustment", ""),
        ("refund_data.csv", "id,charge_id,amount\nr1,ch_1,5.00\n", "refund", 'sign = "negated"'),
        ("charge.refunded.csv", "id,charge_id,amount\nc1,ch_1,5.00\n", "payment", ""),
        ("transactions.csv", "id,amount\n1,5.00\n2,-5.00\n", "other", ""),
        ("orders.csv", "id,day\n1,2026-01-02\n", "order", 'order_id = "id"'),
        (
            "bank.csv", "Date,Amount,D/C\n2026-01-02,5.00,D\n2026-01-03,-5.00,C\n", "bank_line",
            "# the amounts carry signs and 'D/C' marks debit or credit too: check which holds",
        ),
    ],
    ids=lambda value: value if str(value).endswith(".csv") else "",
)  # fmt: skip
def test_a_block_says_what_the_file_is_and_what_is_doubtful(tmp_path, name, text, kind, said):
    """The file's name speaks first, and a sign that contradicts the type is never proposed."""
    found = profile_file(table(tmp_path, text, name))

    layout = declared(found.toml).layout
    assert layout is not None
    assert layout.event_type == kind
    assert said in found.toml


def test_a_german_bank_export_is_proposed_with_its_own_currency(tmp_path):
    """A column of currency codes is taken whatever it is called; USD is never put in its place."""
    found = profile_file(
        table(
            tmp_path,
            "Buchungstag;Verwendungszweck;Betrag;Waehrung\n"
            "28.09.26;STRIPE po_1zdhTfcThQxeRk;35.523,49;EUR\n29.09.26;Miete;-1.850,00;EUR\n",
            "umsaetze.csv",
        )
    )

    layout = declared(found.toml).layout
    assert layout is not None
    assert layout.columns["currency"].names == ("Waehrung",)
    assert layout.event_type == "bank_line"
    assert "USD" not in found.toml


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,day,amount,unit", 'currency = "unit"'),
        ("id,day,amount,unit,other", "# several columns hold one: choose: put the right one"),
        ("id,day,amount", "# no column holds one: put the right one"),
    ],
)
def test_the_currency_of_a_block_says_where_it_comes_from(tmp_path, header, said):
    """One column of codes is the currency; of several, or of none, a person chooses."""
    cells = ["1", "2026-01-02", "5.00", "EUR", "SEK"][: len(header.split(","))]
    found = profile_file(table(tmp_path, f"{header}\n{','.join(cells)}\n", "x.csv"))

    assert said in found.toml


def test_a_shop_export_without_totals_is_told_before_it_is_taken_in(tmp_path):
    """The block for a Shopify file that lost its `Total` says that no amount would be told."""
    names = ["Name", "Email", "Financial Status", "Paid at", "Currency", "Created at",
             "Lineitem quantity", "Lineitem name", "Lineitem price"]  # fmt: skip
    found = profile_file(table(tmp_path, ",".join(names) + "\n#1001" + "," * 8 + "\n", "o.csv"))

    assert 'feed = "shopify.orders_csv"' in found.toml
    assert "# the file has no column 'Total': its orders would tell no amount" in found.toml


def test_an_envelope_around_json_does_not_hide_its_columns(tmp_path):
    """Fields of a single record in an object are found by their own names, and masked by them."""
    body = (
        '{"order": {"id": 7, "name": "#1001", "created_at": "2026-01-02T10:00:00Z", '
        '"subtotal_price": "3.00", "total_price": "4.00", "currency": "EUR", '
        '"customer": "cus_M5wW9RPFk9", "payer": {"name": "Ana Diaz"}}}'
    )
    found = profile_file(table(tmp_path, body, "order.json"))

    layout = declared(found.toml).layout
    assert layout is not None
    named = {field: column.names for field, column in layout.columns.items()}
    assert named["amount"] == ("order.total_price",)
    assert named["currency"] == ("order.currency",)
    assert named["customer_name"] == ("order.payer.name",)
    assert "Ana" not in str(found.columns["samples"].to_list())


def test_account_numbers_are_masked_whatever_their_column_is_called(tmp_path):
    """An IBAN is an account number under a header that does not say so."""
    text = "Fecha;Cuenta;Importe\n2026-04-02;ES9121000418450200051332;-1,50\n"
    found = profile_file(table(tmp_path, text))

    assert dict(found.columns.select("column", "kind").iter_rows())["Cuenta"] == "account"
    assert "ES91" not in str(found.columns["samples"].to_list())


@pytest.mark.shared
def test_every_public_sample_gets_a_valid_block():
    """Each tabular sample file gives a block that the settings accept."""
    files = sorted(
        [*SHARED.glob("samples/*/*.csv"), *SHARED.glob("data/native_samples/*/*.csv")],
    )
    if not files:
        pytest.skip("the shared sample files are not beside the project")
    for path in files:
        assert declared(profile_file(path).toml) is not None, path.name
