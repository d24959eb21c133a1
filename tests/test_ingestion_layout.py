"""Declared tables: what a layout says about a file is what its events become."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from recon_kit.errors import SettingsError
from recon_kit.ingestion.feed import FeedContext
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.gate import pass_gate
from recon_kit.ingestion.reader import open_records
from recon_kit.model import TOLD
from recon_kit.settings import loads

MINIMAL = """
event_type = "payment"
[sources.layout.columns]
amount = "amount"
currency = { value = "EUR" }
"""
BANK = """
event_type = "bank_line"
timezone = "Europe/Berlin"
date_formats = ["%d.%m.%Y"]
"""


def feed_of(layout, source=""):
    """The feed of one declared source."""
    toml = f"""
[workspace]
name = "t"
[[sources]]
name = "s"
feed = "table"
{source}
[sources.layout]
{layout}"""
    return feed_for(loads(toml).sources[0])


@pytest.fixture
def tell(tmp_path):
    """A function from a layout and a text to what is told."""

    def from_text(layout, text, source=""):
        feed = feed_of(layout, source)
        path = tmp_path / "file.csv"
        path.write_text(text, encoding="utf-8")
        records = open_records(path, feed.dialect(text), keeps_together=feed.together())
        block = pl.concat(list(records.blocks()))
        told = feed.tell(block, FeedContext(feed.source, "UTC", "file.csv", records.preamble))
        assert list(told.events.schema.items()) == list(TOLD.items())
        went = told.events["records"].sum() + told.problems["records"].sum()
        assert went == block.height
        return told

    return from_text


def columns(told, *names):
    """Some columns of the events as rows."""
    return told.events.select(names).rows()


def codes(told):
    """Row, code and column of each problem."""
    return told.problems.select("record_row", "code", "column").rows()


def test_constants_aliases_joins_and_extracts(tell):
    """Each way of naming a column gives its text."""
    layout = """
event_type = "bank_line"
delimiter = ";"
[sources.layout.columns]
amount = ["Betrag", "Amount"]
currency = { value = "eur" }
customer_name = { join = ["First", "Last"] }
payout_id = { from = "Text", extract = 'po_\\w+' }
order_id = { from = ["Memo", "Text"], extract = 'order (\\S+)' }
channel = { column = "Ch", map = { W = "web" } }
"""
    told = tell(layout, "Amount;First;Last;Text;Ch\n1.00;Ana;Diaz;po_7 for order #5;W\n2;;B;-;X\n")

    names = ("amount", "currency", "customer_name", "payout_id", "order_id", "channel")
    expected = [
        (100, "EUR", "Ana Diaz", "po_7", "5", "web"),
        (200, "EUR", "B", None, None, "X"),
    ]
    assert columns(told, *names) == expected


@pytest.mark.parametrize(
    ("sign", "head", "row", "amount"),
    [
        ("signed", "amount", "-5.00", -500),
        ("negated", "amount", "5.00", -500),
        ("debit_credit", "debit,credit", "5.00,", -500),
        ("debit_credit", "debit,credit", "-5.00,", -500),
        ("debit_credit", "debit,credit", ",5.00", 500),
        ("debit_credit", "debit,credit", "0.00,5.00", 500),
        ("debit_credit", "debit,credit", ",", None),
        ("indicator", "amount,direction", "5.00,D", -500),
        ("indicator", "amount,direction", "-5.00,CR", 500),
        ("by_type", "amount", "5.00", 500),
    ],
)
def test_the_declared_sign_is_the_merchants_view(tell, sign, head, row, amount):
    """Money in is positive, money out negative, whatever the file prints."""
    fields = "\n".join(f'{c} = "{c}"' for c in head.split(","))
    layout = f'event_type = "bank_line"\nsign = "{sign}"\n[sources.layout.columns]\n{fields}\n'
    told = tell(layout + 'currency = { value = "EUR" }\nnative_id = "id"', f"id,{head}\n1,{row}\n")

    assert columns(told, "amount") == [(amount,)]


def test_signs_that_cannot_be_read_are_problems(tell):
    """Both columns filled, a negative debit among positive ones, an unknown direction."""
    pair = 'event_type = "bank_line"\nsign = "debit_credit"\n[sources.layout.columns]\n'
    pair += 'debit = "d"\ncredit = "c"\ncurrency = { value = "EUR" }\n'
    flag = 'event_type = "bank_line"\nsign = "indicator"\ndirection_map = { H = 1, S = -1 }\n'
    flag += '[sources.layout.columns]\namount = "a"\ndirection = "f"\ncurrency = {value = "EUR"}\n'

    both = tell(pair, "d,c\n1,2\n3,\n-4,\n")
    assert codes(both) == [(1, "sign_ambiguous", "debit"), (3, "sign_ambiguous", "debit")]
    lost = tell(flag, "a,f\n1,H\n2,S\n3,X\n4,\n")
    assert columns(lost, "amount") == [(100,), (-200,)]
    expected = [(3, "direction_unknown", "direction"), (4, "direction_unknown", "direction")]
    assert codes(lost) == expected


def test_types_by_column(tell):
    """A type column is mapped; refunds and chargebacks of unsigned files become negative."""
    layout = """
event_type = { column = "type", map = { SALE = "payment", RET = "refund", CB = "chargeback" } }
sign = "by_type"
[sources.layout.columns]
amount = "amount"
currency = { value = "EUR" }
"""
    told = tell(layout, "type,amount\nSALE,1\nRET,2\nCB,3\nrefund,4\nGIFT,5\n,6\n")

    expected = [("payment", 100), ("refund", -200), ("chargeback", -300), ("refund", -400)]
    assert columns(told, "event_type", "amount") == expected
    unknown = [(5, "event_type_unknown", "event_type"), (6, "event_type_unknown", "event_type")]
    assert codes(told) == unknown


def test_payouts_of_a_balance_view_are_turned(tell):
    """A payout among payments leaves the balance: it is money sent to the bank, with a warning."""
    layout = 'event_type = { column = "type" }\n[sources.layout.columns]\namount = "amount"\n'
    told = tell(layout + 'currency = { value = "EUR" }', "type,amount\npayment,9\npayout,-9\n")

    assert columns(told, "event_type", "amount") == [("payment", 900), ("payout", 900)]
    assert told.warnings == {"payouts told as negative from the balance's view, now positive": 1}


def test_cents_nets_and_notation(tell):
    """Minor units, thousands and decimal comma; a net that is not told follows from the fee."""
    cents = tell(
        MINIMAL.replace('"payment"', '"payment"\nunit = "minor"') + 'fee = "fee"\n',
        "amount,fee\n1000,30\n",
    )
    comma = tell(
        MINIMAL.replace('"payment"', '"payment"\ndecimal = ","\nthousands = "."\ndelimiter = ";"'),
        "amount\n1.234,50\n",
    )

    assert columns(cents, "amount", "fee", "net") == [(1000, 30, 970)]
    assert columns(comma, "amount") == [(123450,)]


def test_conversions_round_with_a_warning(tell):
    """Surplus decimals of conversions are rounded half-even and said; of payments refused."""
    rounded = tell(MINIMAL.replace("payment", "conversion"), "amount\n1.005\n1.015\n2.00\n")

    assert columns(rounded, "amount") == [(100,), (102,), (200,)]
    text = "amounts with more decimals than their currency, rounded half-even"
    assert rounded.warnings == {text: 2}
    assert codes(tell(MINIMAL, "amount\n1.005\n")) == [(1, "amount_decimals", "amount")]


def test_times_in_one_or_two_columns_and_zones(tell):
    """Date and time columns go together; a zone column wins; a date is a date."""
    layout = """
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]
[sources.layout.columns]
event_ts = "date"
time = "time"
zone = "zone"
available_on = "value"
"""
    text = "date,time,zone,value\n2026-01-05,10:00:00,PST,2026-01-07\n2026-01-05,,,\n,10:00:00,,\n"
    told = tell(layout, text)

    names = ("event_ts", "ts_precision", "tz_source", "raw_ts", "available_on")
    expected = [
        (datetime(2026, 1, 5, 18, tzinfo=UTC), "second", "column", "2026-01-05 10:00:00 PST",
         date(2026, 1, 7)),
        (datetime(2026, 1, 5, tzinfo=UTC), "date", "source", "2026-01-05", None),
        (None, None, None, None, None),
    ]  # fmt: skip
    assert columns(told, *names) == expected


def test_the_sources_zone_wins_over_nothing(tell):
    """The zone may stand with the source instead of its layout."""
    layout = BANK.replace('timezone = "Europe/Berlin"\n', "")
    layout += '[sources.layout.columns]\nevent_ts = "d"\n'
    told = tell(layout, "d\n05.01.2026\n", source='timezone = "Asia/Tokyo"')

    assert columns(told, "event_ts") == [(datetime(2026, 1, 4, 15, tzinfo=UTC),)]


def test_statuses_and_nulls(tell):
    """Mapped statuses, lower snake for the rest, declared spellings of nothing."""
    layout = 'event_type = "order"\nnulls = ["k.A."]\nstatus_map = { "Bezahlt" = "paid" }\n'
    layout += '[sources.layout.columns]\nstatus = "s"\nnative_id = "id"\ntest = "t"\n'
    told = tell(layout, "id,s,t\n1,bezahlt,true\n2,In Transit,0\n3,k.A.,\n")

    expected = [("paid", True), ("in_transit", False), (None, None)]
    assert columns(told, "status", "test") == expected


def test_keys_raw_texts_and_personal_ones(tell):
    """Keys are normalised with their raw text beside; personal raw keys go to the personal side."""
    layout = """
event_type = "lead"
personal = ["phone2"]
[sources.layout.columns]
native_id = "id"
order_id = "order"
"raw_keys.booking" = "b"
"raw_keys.phone2" = "p"
"external_ids.crm" = "c"
"""
    told = tell(layout, "id,order,b,p,c\n1,#1001,B1,555,C1\n2,1002,,,\n")

    names = ("order_id", "raw_keys", "raw_personal", "external_ids")
    expected = [
        ("1001", '{"booking":"B1","order_id":"#1001"}', '{"phone2":"555"}', '{"crm":"C1"}'),
        ("1002", None, None, None),
    ]
    assert columns(told, *names) == expected


def test_ids_are_the_vendors_or_derived_from_what_is_fixed(tell):
    """Without a vendor's id, the published fields are the id; declared ones win."""
    base = MINIMAL + 'native_id = "id"\nstatus = "s"\n'
    text = "id,amount,s\nA1,1.00,x\n,1.0,y\n"
    own = tell(base, text)
    declared = tell(base.replace('"payment"', '"payment"\nid_fields = ["amount", "s"]'), text)

    derived = "payment\x1f\x1f100\x1fEUR\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f"
    assert columns(own, "event_id", "derived_id") == [("A1", False), (derived, True)]
    expected = [("100\x1fx", True), ("100\x1fy", True)]
    assert columns(declared, "event_id", "derived_id") == expected


def test_line_items_become_one_event(tell):
    """Rows of one order are added exactly; what is told once may stand on the first line only."""
    layout = """
event_type = "order"
group_by = ["order_id"]
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
order_id = "order"
event_ts = "date"
amount = "line"
currency = "cur"
"""
    text = "order,date,line,cur\n#1,2026-01-05,1.10,EUR\n#1,,2.20,\n,,0.01,\n#2,2026-01-06,5,EUR\n"
    told = tell(layout, text)

    names = ("order_id", "amount", "currency", "records", "record_row", "event_id")
    expected = [
        ("1", 331, "EUR", 3, 1, "order\x1f1"),
        ("2", 500, "EUR", 1, 4, "order\x1f2"),
    ]
    assert columns(told, *names) == expected


def test_line_items_that_disagree_are_a_problem_as_a_group(tell):
    """Two dates in one order, or one unreadable line: the whole group waits for a person."""
    layout = """
event_type = "order"
group_by = ["order_id"]
[sources.layout.columns]
order_id = "order"
status = "s"
amount = "line"
currency = { value = "EUR" }
"""
    told = tell(layout, "order,s,line\n1,a,1\n1,b,1\n2,a,1\n2,a,x\n3,a,1\n")

    assert columns(told, "order_id", "records") == [("3", 1)]
    rows = told.problems.select("record_row", "records", "code", "column").rows()
    expected = [(1, 2, "group_differs", "status"), (3, 2, "amount_unreadable", "amount")]
    assert rows == expected


def test_a_group_takes_its_type_and_fee_from_its_own_lines(tell):
    """A group without a type has none of its neighbour's, and its net is of the sums."""
    layout = """
event_type = { column = "type" }
group_by = ["order_id"]
[sources.layout.columns]
order_id = "o"
amount = "a"
fee = "f"
currency = { value = "EUR" }
"""
    told = tell(layout, "o,type,a,f\n1,payment,10,\n1,,,1\n1,,5,1\n2,,5,1\n")

    names = ("event_type", "amount", "fee", "net", "records")
    assert columns(told, *names) == [("payment", 1500, 200, 1300, 3)]
    assert codes(told) == [(4, "event_type_unknown", "event_type")]


def test_totals_that_repeat_are_not_added(tell):
    """With an empty `sum`, an amount told on every line must agree and counts once."""
    layout = MINIMAL.replace('"payment"', '"order"\ngroup_by = ["order_id"]\nsum = []')
    told = tell(layout + 'order_id = "o"\n', "o,amount\n1,5\n1,5\n2,5\n2,6\n")

    assert columns(told, "order_id", "amount") == [("1", 500)]
    assert codes(told) == [(3, "group_differs", "amount")]


def test_a_declared_column_that_is_absent_is_said(tell):
    """A column the feed can do without leaves a warning, not silence."""
    told = tell(MINIMAL + 'email = "mail"\n', "amount\n1\n")

    assert told.warnings == {"the declared column of 'email' is not in the file": 1}


def test_needed_columns_follow_from_the_layout():
    """Type, time, money, ids and whatever is required must be there; the rest may be missing."""
    layout = MINIMAL.replace('"payment"', '"payment"\nrequired = ["email", "extra"]')
    feed = feed_of(layout + 'email = ["mail", "e-mail"]\nphone = "tel"\n')

    expected = {"amount": ("amount",), "mail": ("mail", "e-mail"), "extra": ("extra",)}
    assert dict(feed.columns()) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("a,b\n", "csv"),
        ("PAR1", "parquet"),
        ('[{"a":1}]', "json"),
        ('{"a":1}\n{"a":2}\n', "ndjson"),
        ('{\n "a": 1\n}', "json"),
    ],
)
def test_an_undeclared_format_is_seen_by_its_first_characters(head, expected):
    """Only the kind of file is looked at, never the meaning of its columns."""
    assert feed_of(MINIMAL).dialect(head).format == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"payment"', '"payment"\nsum = ["price"]', "sum: 'price' is no amount"),
        ('"payment"', '"payment"\npersonal = ["x"]', "personal: no raw key is called 'x'"),
        ('"payment"', '"payment"\nsign = "indicator"', "needs columns.direction"),
        ('"payment"', '"payment"\nsign = "debit_credit"', "needs columns.debit"),
        ('{ value = "EUR" }', '{ from = "x", extract = "(?=a)b" }', "look-around"),
    ],
)
def test_a_layout_that_cannot_work_is_an_error(old, new, message):
    """What a layout contradicts is said before any file is read."""
    with pytest.raises(SettingsError, match=message):
        feed_of(MINIMAL.replace(old, new))


def test_the_gate_holds_every_feed_to_the_contract(tell):
    """Wrong signs and unknown currencies are refused at the end, zero and odd nets are said."""
    layout = """
event_type = { column = "type" }
[sources.layout.columns]
amount = "amount"
fee = "fee"
net = "net"
currency = { value = "EUR" }
"""
    text = (
        "type,amount,fee,net\npayment,-1,,\nrefund,1,,\npayment,0,,\npayment,5,1,3\nrefund,-2,,\n"
    )
    told = pass_gate(tell(layout, text), strict_signs=True)
    loose = pass_gate(tell(layout, text), strict_signs=False)

    expected = [(1, "sign_contradicts", None), (2, "sign_contradicts", None)]
    assert codes(told) == expected
    assert loose.events.height == 5
    expected = {"rows with an amount of zero": 1, "rows whose net is not amount minus fee": 1}
    assert told.warnings == expected
