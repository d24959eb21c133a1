"""`recon.toml`: what it may say, and how a mistake in it is explained."""

from __future__ import annotations

from decimal import Decimal

import pytest

from recon_kit.errors import SettingsError, UnknownNameError
from recon_kit.settings import load, loads
from recon_kit.values import Duration, parse_duration

SHOP = """
[workspace]
name = "acme"
timezone = "America/New_York"
currency = "USD"
[[sources]]
name = "shop"
feed = "shopify.orders_csv"
cadence = "1d"
[[sources]]
name = "bank"
feed = "table"
[sources.layout]
event_type = "bank_line"
[sources.layout.columns]
event_ts = "Date"
amount = ["Amount", "Betrag"]
currency = { value = "USD" }
customer_name = { join = ["First", "Last"] }
payout_id = { from = "Description", extract = 'po_\\w+' }
"raw_keys.booking" = "Booking Ref"
[[reconciliations]]
name = "orders_to_bank"
left = { sources = ["shop"], types = ["order"], where = { status_not = ["voided"] } }
right = { sources = ["bank"], types = ["bank_line"] }
tolerance = { minor_units = 2, percent = "0.5" }
sign_off_over = { USD = "1000.00" }
window = { before = "1d", after = "10d" }
settles_within = "5bd"
[[chains]]
name = "order_to_cash"
steps = ["orders_to_bank"]
"""


def test_a_whole_file_is_read():
    """Each part of the file becomes frozen settings."""
    acme = loads(SHOP)
    rec = acme.reconciliation("orders_to_bank")

    assert (acme.workspace.timezone, acme.workspace.store) == ("America/New_York", "store")
    assert [s.name for s in acme.sources] == ["shop", "bank"]
    assert (rec.tolerance.minor_units, rec.tolerance.percent) == (2, Decimal("0.5"))
    assert rec.sign_off_over == {"USD": Decimal("1000.00")}
    assert (str(rec.settles_within), str(rec.window.after)) == ("5bd", "10d")
    assert acme.chains[0].steps == ("orders_to_bank",)


def test_each_way_of_naming_a_column():
    """A name, aliases, a constant, a join and an extract are told apart."""
    columns = loads(SHOP).source("bank").layout.columns

    assert columns["event_ts"].names == ("Date",)
    assert columns["amount"].names == ("Amount", "Betrag")
    assert columns["currency"].value == "USD"
    assert columns["customer_name"].join == ("First", "Last")
    assert (columns["payout_id"].origin, columns["payout_id"].extract) == (
        ("Description",),
        r"po_\w+",
    )
    assert columns["raw_keys.booking"].names == ("Booking Ref",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "acme"', 'nam = "acme"', "workspace.nam is unknown; did you mean 'name'"),
        ('name = "acme"', "", "workspace.name is missing"),
        ('name = "acme"', 'name = "acme"\nname = "b"', "is not valid TOML"),
        ("America/New_York", "America/NewYork", "is no IANA time zone; did you mean"),
        ('cadence = "1d"', 'cadence = "1 day"', "is no duration; write 5bd, 2d, 4bh"),
        ('name = "shop"', 'name = "bank"', "two sources are called 'bank'; rename"),
        ('name = "shop"', 'name = "Shop 1"', "String should match pattern"),
        ('sources = ["shop"]', 'sources = ["shp"]', "no source is called 'shp'; did you mean"),
        ('types = ["order"]', 'types = ["ordr"]', "'ordr' is no event type; did you mean 'order'"),
        ("status_not", "staus_not", "no filter is called 'staus_not'; did you mean 'status_not'"),
        ('steps = ["orders_to_bank"]', 'steps = ["x"]', "no reconciliation is called 'x'"),
        ('percent = "0.5"', "percent = 0.5", 'write it as text, such as "0.5"'),
        ('percent = "0.5"', 'percent = "half"', "'half' is no number; write one such as"),
        ('percent = "0.5"', 'percent = "NaN"', "'NaN' is no number"),
        ('"bank_line"\n[sources.layout.columns]', '"bankline"\n[sources.layout.columns]',
         "'bankline' is no event type; did you mean 'bank_line'"),
        ('event_ts = "Date"', 'evnt_ts = "Date"', "no field is called 'evnt_ts'; did you mean"),
        ('event_ts = "Date"', 'raw_ts = "Date"', "no field is called 'raw_ts'"),
        ('event_ts = "Date"', '"raw_personal.dob" = "Date"',
         """no field is called 'raw_personal.dob'; write "raw_keys.dob" and personal = ."dob"."""),
        ('{ value = "USD" }', '{ value = "USD", column = "C" }', "give exactly one of"),
        (", extract = 'po_\\w+'", "", "`from` and `extract` go together"),
        ("po_\\w+", "po_(", "`extract` is no regular expression"),
        ('feed = "table"', 'feed = "shopify.orders_csv"', 'feed "table" needs'),
        ('feed = "shopify.orders_csv"', 'feed = "table"', 'feed "table" needs'),
    ],
)  # fmt: skip
def test_a_mistake_is_explained(old, new, message):
    """An unknown, missing, repeated or undeclared word is an error that names the way out."""
    text = SHOP.replace(old, new, 1)
    assert text != SHOP

    with pytest.raises(SettingsError, match=message):
        loads(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('owner = ""', "a blank name is nobody; name a person or a team, or leave the line out"),
        ('owner = "ana"\nbackup = " "', "a blank name is nobody"),
        ('backup = "bo"', "backup 'bo' stands in for nobody; name an `owner`"),
        ('owner = "ana"\nbackup = "ana"', "backup 'ana' stands in for nobody"),
    ],
)  # fmt: skip
def test_an_owner_is_somebody_and_a_backup_somebody_else(line, message):
    """Catalogue 94: nobody, or a backup who stands in for nobody, is refused."""
    with pytest.raises(SettingsError, match=message):
        loads(SHOP.replace('cadence = "1d"', f'cadence = "1d"\n{line}', 1))


@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        ('cadence = "1d"', 'cadence = "0d"', "'0d' is no time at all; write one such as 1d"),
        ('cadence = "1d"', 'cadence = "-1d"', "'-1d' is no duration"),
        ("[[chains]]", '[review]\nlease = "0m"\n[[chains]]', "'0m' is no time at all"),
        ("[[chains]]", '[review]\naudit_deadline = "0bd"\n[[chains]]', "'0bd' is no time at all"),
        ('settles_within = "5bd"', 'settles_within = "0d"',
         "'0d' would make everything late at once; write 0bd for the end of the same day"),
    ],
)  # fmt: skip
def test_a_promised_time_is_some_time(place, line, message):
    """Catalogue 95: a heartbeat, claim or settlement of no length is refused."""
    text = SHOP.replace(place, line, 1)
    assert text != SHOP

    with pytest.raises(SettingsError, match=message):
        loads(text)


def test_due_at_the_end_of_the_same_day_is_a_promise():
    """`0bd` has a length: until midnight."""
    text = SHOP.replace('settles_within = "5bd"', 'settles_within = "0bd"')

    assert str(loads(text).reconciliation("orders_to_bank").settles_within) == "0bd"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("auto_match_floor = 0.1\nreview_min = 0.2", "auto_match_floor lies below review_min"),
        ("review_min = 1.2", "less than or equal to 1"),
        ('uncertified = "maybe"', "'review' or 'auto'"),
    ],
)
def test_thresholds_make_sense(extra, message):
    """Thresholds lie between 0 and 1 and in order."""
    probable = f"[reconciliations.probable]\n{extra}\n[[chains]]"

    with pytest.raises(SettingsError, match=message):
        loads(SHOP.replace("[[chains]]", probable))


def test_the_window_holds_bounds_and_a_switch():
    """`[reconciliations.window]` says how far and whether; both are kept apart inside."""
    text = SHOP.replace('after = "10d" }', 'after = "10d", enabled = true, uncertified = "auto" }')
    rec = loads(text).reconciliation("orders_to_bank")

    assert str(rec.window.after) == "10d"
    assert (rec.window_method.enabled, rec.window_method.uncertified) == (True, "auto")


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [("5bd", 5, "bd"), ("2d", 2, "d"), ("4bh", 4, "bh"), ("12h", 12, "h"), ("30m", 30, "m")],
)
def test_durations_are_written_as_they_are_read(text, count, unit):
    """Each unit of time has one spelling."""
    assert parse_duration(text) == Duration(count=count, unit=unit)
    assert str(parse_duration(text)) == text


def test_unknown_names_point_to_the_nearest():
    """Asking for an undeclared source or reconciliation names a declared one."""
    acme = loads(SHOP)

    with pytest.raises(UnknownNameError, match="no source is called 'shopp'; did you mean 'shop'"):
        acme.source("shopp")
    with pytest.raises(UnknownNameError, match="did you mean 'orders_to_bank'"):
        acme.reconciliation("order_to_bank")


def test_a_file_is_found_or_the_way_is_named(tmp_path):
    """A missing file and one that is not UTF-8 are errors of the settings."""
    (tmp_path / "recon.toml").write_bytes(b'[workspace]\nname = "\xe9"\n')

    with pytest.raises(SettingsError, match="does not exist; `recon init` makes a workspace"):
        load(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match=r"is not UTF-8 \(byte 20\)"):
        load(tmp_path / "recon.toml")


def test_settings_are_frozen():
    """Nobody changes settings after they were read."""
    with pytest.raises(Exception, match="frozen"):
        loads(SHOP).workspace.name = "other"


CRM = """
[[sources]]
name = "crm"
feed = "table"
[sources.layout]
event_type = "other"
[sources.layout.columns]
{columns}
"""
PERSON = 'customer_id = "Contact"\nemail = "E-mail"'


@pytest.mark.parametrize(
    ("customers", "columns", "message"),
    [
        ('["cmr"]', PERSON, "customers: no source is called 'cmr'; did you mean 'crm'?"),
        (
            '["crm"]',
            'email = "E-mail"',
            "customers: source 'crm' does not say whom its rows are about; map customer_id in",
        ),
        (
            '["crm"]',
            'customer_id = "Contact"',
            "customers: source 'crm' tells nothing of a customer; map one of email, customer_name,",
        ),
        ('{ sources = ["crm"], of = ["shpo"] }', PERSON, "customers: of: 'shpo' is on no side"),
        ('{ of = ["shop"] }', PERSON, "of: name the sources whose records describe customers"),
        (
            '["crm"]\nprobable = { enabled = false }',
            PERSON,
            "only the method `probable` reads them, and it is not enabled here",
        ),
    ],
)
def test_a_mistake_about_customers_is_explained(customers, columns, message):
    """Each names the reconciliation and says what to write."""
    text = TWO_SIDES + f"customers = {customers}\n" + CRM.format(columns=columns)

    with pytest.raises(SettingsError) as caught:
        loads(text)

    assert "reconciliation 'orders_to_payments': customers" in str(caught.value)
    assert message in str(caught.value)


def test_customers_are_named_in_a_list_or_with_the_sources_whose_ids_they_know():
    """A list names the sources alone; every source that is read is known to the reconciliation."""
    for written, of in (('["crm"]', ()), ('{ sources = ["crm"], of = ["shop"] }', ("shop",))):
        told = loads(TWO_SIDES + f"customers = {written}\n" + CRM.format(columns=PERSON))
        (rec,) = told.reconciliations

        assert (rec.customers.sources, rec.customers.of) == (("crm",), of)
        assert rec.sources == ("shop", "stripe", "crm")


TWO_SIDES = """
[workspace]
name = "acme"
[[sources]]
name = "shop"
feed = "shopify.orders_csv"
[[sources]]
name = "stripe"
feed = "stripe.payout_reconciliation"
[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["shop"], types = ["order"] }
right = { sources = ["stripe"], types = ["payment"] }
"""
