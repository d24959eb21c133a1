"""What the orders export of Shopify becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon_kit import model
from recon_kit.errors import FileRejectedError, SettingsError
from recon_kit.ingestion.feed import ROW
from recon_kit.ingestion.feeds.shopify_orders import NO_TOTAL, REFUND_OVER_TOTAL, ShopifyOrders
from recon_kit.settings import Source
from recon_kit.testing import check_golden, tell_file

GOLDEN = Path(__file__).parent / "golden" / "shopify_orders"


def shop(**options: str) -> ShopifyOrders:
    return ShopifyOrders(Source(name="shop", feed="shopify.orders_csv", options=options))


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "sample", ["orders_79_columns.csv", "orders_reordered_subset.csv", "names_only.csv"]
)
def test_samples_become_the_expected_events(sample):
    """Full, reordered and bare exports become exactly the events that stand beside them."""
    check_golden(shop(shop="acme.example"), GOLDEN / sample)


def test_line_items_are_one_order():
    """Three rows of an order are one event of three records; its notes hold line breaks."""
    told = tell_file(shop(), GOLDEN / "orders_79_columns.csv")

    first = told.events.row(0, named=True)
    assert (first["order_id"], first["amount"], first["records"], first["refunded_amount"]) == (
        "1001", 10_000, 3, 1_000,
    )  # fmt: skip
    assert first["native_id"] == "#1001"
    assert first["click_id"] == "Cj0KCQ_a-1"
    assert first["postcode"] == "75008"
    assert first["phone"] == "+33612345678"


@pytest.mark.parametrize("block_rows", [1, 2, 3, 1000])
def test_blocks_do_not_matter(block_rows):
    """However the file is cut into blocks, the same events come out."""
    whole = tell_file(shop(), GOLDEN / "orders_79_columns.csv")
    cut = tell_file(shop(), GOLDEN / "orders_79_columns.csv", block_rows=block_rows)

    assert cut.events.equals(whole.events, null_equal=True)
    assert cut.problems.equals(whole.problems, null_equal=True)


def test_refund_column_is_also_an_event():
    """A refunded amount becomes a refund of unknown time that another source may outrank."""
    told = tell_file(shop(), GOLDEN / "orders_79_columns.csv")

    refund = told.events.filter(told.events["event_type"] == "refund").row(0, named=True)
    assert refund["amount"] == -1_000
    assert refund["event_ts"] is None
    assert refund["ts_precision"] == "unknown"
    assert refund["records"] == 0
    assert refund["business_key"] == "refund:1001"
    assert refund["parent_key"] == "#1001"


def test_problems_name_row_and_reason():
    """Rows that cannot be read are named by their first row, with all records of the order."""
    told = tell_file(shop(), GOLDEN / "orders_79_columns.csv")

    assert told.problems.select("record_row", "records", "code", "column").rows() == [
        (8, 2, "order_values_differ", "Name"),
        (13, 1, "amount_decimals", "Total"),
        (14, 1, "id_lossy", "Id"),
        (15, 1, "time_unreadable", "Created at"),
        (16, 1, "order_name_missing", "Name"),
        (17, 1, "order_row_missing", "Name"),
    ]


def test_one_name_may_be_two_orders():
    """Rows with one name and two ids are two orders; the blank id belongs to the one above."""
    told = tell_file(shop(), GOLDEN / "orders_79_columns.csv")

    twice = told.events.filter(told.events["order_id"] == "1006")
    assert twice.select("event_id", "amount", "records").rows() == [
        ("shopify:order:5100000000006", 100, 1),
        ("shopify:order:5100000000007", 200, 2),
    ]


def test_offsets_are_honoured_across_the_clock_change():
    """Each time is read with its own offset, which changes inside one file."""
    told = tell_file(shop(), GOLDEN / "orders_79_columns.csv")

    orders = told.events.filter(told.events["event_type"] == "order")
    instants = orders["event_ts"].dt.strftime("%Y-%m-%d %H:%M").to_list()
    assert instants[:2] == ["2026-03-28 08:15", "2026-03-29 08:00"]


def test_local_time_needs_a_zone(tmp_path):
    """A time without an offset is quarantined unless the source declares a zone."""
    path = table(tmp_path, "Name,Total,Currency,Created at\n#1,5.00,EUR,2026-01-01 10:00:00\n")
    source = Source(name="shop", feed="shopify.orders_csv", timezone="Europe/Paris")

    assert tell_file(shop(), path).problems["code"].to_list() == ["time_zone_missing"]
    told = tell_file(ShopifyOrders(source), path)
    assert told.events["event_ts"].dt.strftime("%H:%M").to_list() == ["09:00"]


def test_amount_without_currency_column_is_refused(tmp_path):
    """A file with totals and no currency is refused, or read in the declared currency."""
    path = table(tmp_path, "Name,Total\n#1,5.00\n")

    with pytest.raises(FileRejectedError, match=r"set options\.currency of source 'shop'"):
        tell_file(shop(), path)
    assert tell_file(shop(currency="CHF"), path).events["currency"].to_list() == ["CHF"]


def test_decimal_comma_and_semicolon(tmp_path):
    """A semicolon file with decimal commas is read once the notation is declared."""
    path = table(tmp_path, "Name;Total;Currency\n#1;1.234,50;EUR\n")

    assert tell_file(shop(decimal=","), path).events["amount"].to_list() == [123_450]
    assert tell_file(shop(), path).problems["code"].to_list() == ["amount_unreadable"]


def test_more_refunded_than_total_is_a_warning():
    """An over-refund is told as it stands, with a warning."""
    told = tell_file(shop(), GOLDEN / "orders_reordered_subset.csv")

    assert told.warnings == {REFUND_OVER_TOTAL: 1}


def test_orders_without_a_total_column_are_never_taken_in_silence(tmp_path):
    """A file from which `Total` was deleted says how many of its orders tell no amount."""
    told = tell_file(
        shop(),
        table(tmp_path, "Name,Financial Status,Currency\n#1001,paid,EUR\n#1002,paid,EUR\n"),
    )

    assert told.events["amount"].to_list() == [None, None]
    assert told.warnings == {NO_TOTAL: 2}
    assert "'Total'" in NO_TOTAL


def test_unknown_option_is_named():
    """A mistyped option is an error that lists the known ones."""
    with pytest.raises(SettingsError, match="has no option 'curency'; it knows currency"):
        shop(curency="EUR")


def test_header_only_is_no_event(tmp_path):
    """A file without rows gives no events and no problems."""
    told = tell_file(shop(), table(tmp_path, "Name,Total,Currency\n"))

    assert told.events.height == 0
    assert list(told.events.schema) == list(model.TOLD)
    assert ROW in told.events.columns
