"""The shop's orders export: 79 columns, a row per line item, newest order first.

A month is exported when it has ended, so that a file tells refunds and cancellations as they were
known then. A last export holds the orders that have changed since.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from recon_kit.synth import people, tables
from recon_kit.synth.draws import Draws, Ints
from recon_kit.synth.orders import (
    BY_ORDER_ID,
    BY_TRANSACTION,
    CANCELLED,
    CANCELLED_UNPAID,
    CHANNELS,
    DRIFT,
    GOOGLE,
    NO_PAYMENT,
    PENDING,
    RESPELLED,
    SHOP_ZONE,
    SPLIT,
    TRANSPOSED,
    VOIDED,
    ZERO,
    Calendar,
    midnight,
    order_lines,
)
from recon_kit.synth.payments import SECOND, uid_of
from recon_kit.synth.writer import (
    Delivery,
    amounts,
    currency_names,
    day_of,
    deliver,
    moment,
    months,
    slices,
    times,
)

_TIME = "%Y-%m-%d %H:%M:%S %z"
_PLACES = ("Name", "Street", "Address1", "Address2", "Company", "City", "Zip", "Province",
           "Country", "Phone")  # fmt: skip
COLUMNS: tuple[str, ...] = (
    "Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Fulfilled at",
    "Accepts Marketing", "Currency", "Subtotal", "Shipping", "Taxes", "Total", "Discount Code",
    "Discount Amount", "Shipping Method", "Created at", "Lineitem quantity", "Lineitem name",
    "Lineitem price", "Lineitem compare at price", "Lineitem sku", "Lineitem requires shipping",
    "Lineitem taxable", "Lineitem fulfillment status",
    *(f"Billing {place}" for place in _PLACES), *(f"Shipping {place}" for place in _PLACES),
    "Notes", "Note Attributes", "Cancelled at", "Payment Method", "Payment Reference",
    "Refunded Amount", "Vendor", "Outstanding Balance", "Employee", "Location", "Device ID", "Id",
    "Tags", "Risk Level", "Source", "Lineitem discount",
    *(f"Tax {n} {what}" for n in range(1, 6) for what in ("Name", "Value")),
    "Phone", "Receipt Number", "Duties", "Billing Province Name", "Shipping Province Name",
    "Payment ID", "Payment Terms Name", "Next Payment Due At", "Payment References",
)  # fmt: skip
ORDERS_PER_FILE = 200_000
_ORDERS_PER_BLOCK = 25_000
_NOTES = (
    "Please ring twice.\nThe bell is on the left.", 'Gift: write "For Noor" on the card, please',
    "Leave with the neighbour, no signature", "=2 parcels if too large",
)  # fmt: skip
NO_INTENT, INTENT, OPAQUE, INTENTS, STALE_INTENT = range(5)


def shop_files(
    draws: Draws, period: Calendar, book: pl.DataFrame, refunds: pl.DataFrame, folder: Path
) -> list[Delivery]:
    """Write the exports of the shop.

    Args:
        draws: chance.
        period: the calendar.
        book: the order book.
        refunds: refunds that the shop knows of: i, created (UTC seconds), presented (minor units).
        folder: the twin's folder.
    """
    shop = book.filter(~pl.col("wholesale") & ~pl.col("ghost"))
    found, told = [], []
    for number, (label, first, after) in enumerate(months(period)):
        as_of = midnight(day_of(after))
        rows = shop.filter((pl.col("day") >= first) & (pl.col("day") < after)).sort(
            "i", descending=True
        )
        told.append(rows.select("i", pl.lit(as_of).alias("told_until")))
        parts = max(2 if number == 0 else 1, -(-rows.height // ORDERS_PER_FILE))
        size = -(-rows.height // parts)
        for part in range(parts):
            suffix = f"_{part + 1}" if parts > 1 else ""
            found.append(deliver(
                folder, f"files/shop/orders_export_{label}{suffix}.csv",
                _blocks(draws, rows.slice(part * size, size), refunds, as_of),
                received_at=moment(as_of + 7_200 + part * 60), as_of=moment(as_of),
            ))  # fmt: skip
    changed = _changed(shop, pl.concat(told), refunds, period.end_ts)
    found.append(deliver(
        folder, "files/shop/orders_export_updated.csv",
        _blocks(draws, changed, refunds, period.end_ts),
        received_at=moment(period.end_ts + 7_800), as_of=moment(period.end_ts),
    ))  # fmt: skip
    return found


def payment_ids(draws: Draws, rows: pl.DataFrame) -> Ints:
    """What an order's `Payment ID` holds: the processor's id, an id of the shop's own, or none."""
    i, kind = rows["i"].to_numpy(), rows["class"].to_numpy()
    often = draws.pick("payment id", i, (10, 70, 20))
    rarely = np.where(draws.chance("opaque", i, 500_000), OPAQUE, NO_INTENT)
    half = draws.chance("half", i, 500_000)
    return np.select(
        [kind == BY_ORDER_ID, np.isin(kind, (BY_TRANSACTION, RESPELLED)), kind == DRIFT,
         kind == SPLIT, kind == TRANSPOSED, kind == NO_PAYMENT],
        [often, INTENT, rarely, np.where(half, INTENTS, NO_INTENT),
         np.where(half, INTENT, NO_INTENT), np.where(half, STALE_INTENT, NO_INTENT)],
        rarely,
    ).astype(np.int64)  # fmt: skip


def _changed(
    shop: pl.DataFrame, told: pl.DataFrame, refunds: pl.DataFrame, now: int
) -> pl.DataFrame:
    """Orders with a refund that came after their file was written."""
    since = refunds.join(told, on="i").filter(
        (pl.col("created") >= pl.col("told_until")) & (pl.col("created") < now)
    )
    return shop.join(since.select("i").unique(), on="i", how="semi").sort("i", descending=True)


def _blocks(
    draws: Draws, rows: pl.DataFrame, refunds: pl.DataFrame, as_of: int
) -> Iterator[pl.DataFrame]:
    known = refunds.filter(pl.col("created") < as_of)
    sums = known.group_by("i").agg(
        pl.col("presented").sum().alias("refunded"), pl.col("created").min().alias("first_refund")
    )
    for part in slices(rows, _ORDERS_PER_BLOCK):
        block = part.join(sums, on="i", how="left", maintain_order="left")
        yield _block(draws, block.with_columns(pl.col("refunded").fill_null(0)), as_of)


def _block(draws: Draws, rows: pl.DataFrame, as_of: int) -> pl.DataFrame:
    """The rows of some orders: order rows with their first line item, then further line items."""
    i, customer = rows["i"].to_numpy(), rows["customer"].to_numpy()
    who = people.names(draws, customer).with_columns(
        pl.concat_str(["given", "surname"], separator=" ").alias("full_name")
    )
    frame = pl.concat([rows, who, people.addresses(draws, customer).drop("country")],
                      how="horizontal").with_columns(
        currency_names(rows["currency"]).alias("money"),
        pl.format("#{}", "number").alias("Name"),
        pl.Series("country_code", [c.code for c in tables.COUNTRIES]).gather(
            rows["country"].cast(pl.Int64)).alias("country_code"),
        pl.Series("pay_id", payment_ids(draws, rows)),
        draws.codes("pi", uid_of(i, 0), "pi_3").alias("intent"),
        draws.codes("pi", uid_of(i, SECOND), "pi_3").alias("second_intent"),
        draws.codes("pi of nobody", i, "pi_3").alias("stale_intent"),
        draws.codes("opaque payment", i, "r").alias("opaque"),
        pl.Series("note", draws.pick("note", i, (955, 15, 12, 12, 6))),
        pl.Series("marketing", draws.chance("marketing", customer, 400_000)),
        pl.Series("id_low", draws.below("id", i, 32_768)),
        pl.Series(tables.DELIVERY_NAMES)
        .gather(pl.Series(draws.pick("delivery", rows["attr"].to_numpy(), tables.DELIVERY_WEIGHTS)))
        .alias("Shipping Method"),
        pl.Series("void_after", draws.between("void after", i, 900, 80_000)),
    )  # fmt: skip
    clicks = draws.codes("gclid", rows["attr"].to_numpy(), "Cj0KCQjw")
    frame = frame.with_columns(clicks.alias("gclid"))
    head = frame.select(
        "i", pl.lit(0).alias("slot"), *_order_columns(as_of), *_address_columns(),
        *_payment_columns(),
    )  # fmt: skip
    lines = pl.concat(_line_items(draws, frame))
    whole = lines.join(head, on=["i", "slot"], how="left", maintain_order="left")
    return whole.sort("i", "slot", descending=[True, False]).select(
        (pl.col(c) if c in whole.columns else pl.lit(None, dtype=pl.String).alias(c))
        for c in COLUMNS
    )


def _order_columns(as_of: int) -> list[pl.Expr]:
    state, refunded = pl.col("state"), pl.col("refunded")
    status = (
        pl.when(state == PENDING).then(pl.lit("pending"))
        .when(state.is_in([VOIDED, CANCELLED_UNPAID])).then(pl.lit("voided"))
        .when((refunded > 0) & (refunded >= pl.col("total"))).then(pl.lit("refunded"))
        .when(refunded > 0).then(pl.lit("partially_refunded"))
        .otherwise(pl.lit("paid"))
    )  # fmt: skip
    unpaid = state.is_in([PENDING, VOIDED, CANCELLED_UNPAID])
    shipped = ~unpaid & (state != CANCELLED) & (pl.col("ts") < as_of - 172_800)
    cancelled = (
        pl.when(state == CANCELLED_UNPAID).then(pl.col("ts") + pl.col("void_after"))
        .when(state == CANCELLED).then(pl.col("first_refund"))
    )  # fmt: skip
    return [
        status.alias("Financial Status"),
        pl.when(~unpaid).then(times("ts", SHOP_ZONE, _TIME)).alias("Paid at"),
        pl.when(shipped).then(pl.lit("fulfilled")).otherwise(pl.lit("unfulfilled"))
        .alias("Fulfillment Status"),
        pl.when(shipped).then(_later("ts", 93_600)).alias("Fulfilled at"),
        pl.when("marketing").then(pl.lit("yes")).otherwise(pl.lit("no"))
        .alias("Accepts Marketing"),
        pl.col("money").alias("Currency"),
        *(amounts(c, "money").alias(c.title()) for c in ("subtotal", "shipping")),
        amounts("tax", "money").alias("Taxes"),
        amounts("total", "money").alias("Total"),
        pl.when(pl.col("discount") == 0).then(None)
        .when(state == ZERO).then(pl.lit("ONUS100")).otherwise(pl.lit("WELCOME10"))
        .alias("Discount Code"),
        amounts("discount", "money").alias("Discount Amount"),
        pl.col("Shipping Method"),
        cancelled.pipe(_stamp).alias("Cancelled at"),
        pl.when(unpaid & (state == PENDING)).then(amounts("total", "money"))
        .otherwise(pl.lit("0.00")).alias("Outstanding Balance"),
        amounts("refunded", "money").alias("Refunded Amount"),
        (pl.lit(5_480_000_000_000) + pl.col("number") * 32_768 + pl.col("id_low"))
        .cast(pl.String).alias("Id"),
        pl.when(pl.col("method") == tables.BOGUS).then(pl.lit("test")).alias("Tags"),
        pl.lit("Low").alias("Risk Level"),
        pl.when(pl.col("tax") > 0).then(pl.lit("Tax")).alias("Tax 1 Name"),
        pl.when(pl.col("tax") > 0).then(amounts("tax", "money")).alias("Tax 1 Value"),
        pl.col("channel").replace_strict(
            list(range(len(CHANNELS))), list(CHANNELS), return_dtype=pl.String
        ).alias("Source"),
        pl.col("note").replace_strict(
            [0, 1, 2, 3, 4], [None, *_NOTES], return_dtype=pl.String
        ).alias("Notes"),
        pl.when((pl.col("channel") == GOOGLE) & pl.col("click"))
        .then(pl.format("gclid: {}\nlanding: /collections/new", "gclid"))
        .alias("Note Attributes"),
    ]  # fmt: skip


def _payment_columns() -> list[pl.Expr]:
    kind = pl.col("pay_id")
    both = pl.concat_str(["intent", "second_intent"], separator=" + ")
    shown = (
        pl.when(kind == INTENT).then("intent")
        .when(kind == INTENTS).then(both)
        .when(kind == STALE_INTENT).then("stale_intent")
        .when(kind == OPAQUE).then("opaque")
    )  # fmt: skip
    return [
        pl.col("method").replace_strict(
            list(range(len(tables.METHODS))), list(tables.METHODS), return_dtype=pl.String
        ).alias("Payment Method"),
        shown.alias("Payment Reference"),
        shown.alias("Payment ID"),
        shown.alias("Payment References"),
    ]  # fmt: skip


def _address_columns() -> list[pl.Expr]:
    values = {
        "Name": "full_name", "Street": "street", "Address1": "address1", "Address2": "address2",
        "City": "city", "Zip": "zip", "Province": "province", "Country": "country_code",
        "Phone": "phone",
    }  # fmt: skip
    return [
        *(
            pl.col(value).alias(f"{side} {place}")
            for side in ("Billing", "Shipping")
            for place, value in values.items()
        ),
        *(pl.col("province_name").alias(f"{s} Province Name") for s in ("Billing", "Shipping")),
        pl.col("phone").alias("Phone"),
    ]


def _line_items(draws: Draws, frame: pl.DataFrame) -> list[pl.DataFrame]:
    """Columns that every row has, one frame per line number."""
    attr, currency = frame["attr"].to_numpy(), frame["currency"].to_numpy()
    wholesale = np.zeros(frame.height, dtype=np.bool_)
    found = []
    for slot in range(4):
        product, quantity = order_lines(draws, attr, slot, wholesale)
        price = tables.PRICES[product, currency]
        sold = pl.Series(product)
        lines = frame.select("i", "Name", "email", "ts", "money").with_columns(
            pl.lit(slot).alias("slot"), pl.Series("quantity", quantity),
            pl.Series("price", price),
            pl.Series([p[0] for p in tables.PRODUCTS]).gather(sold).alias("Lineitem name"),
            pl.Series([p[1] for p in tables.PRODUCTS]).gather(sold).alias("Lineitem sku"),
        )  # fmt: skip
        found.append(
            lines.filter(pl.col("quantity") > 0).select(
                "i", "slot", "Name", pl.col("email").alias("Email"),
                times("ts", SHOP_ZONE, _TIME).alias("Created at"),
                pl.col("quantity").cast(pl.String).alias("Lineitem quantity"),
                "Lineitem name", amounts("price", "money").alias("Lineitem price"),
                "Lineitem sku", pl.lit("true").alias("Lineitem requires shipping"),
                pl.lit("true").alias("Lineitem taxable"),
                pl.lit("pending").alias("Lineitem fulfillment status"),
                pl.lit("Nordlys Goods").alias("Vendor"), pl.lit("0.00").alias("Lineitem discount"),
            )
        )  # fmt: skip
    return found


def _later(seconds: str, by: int) -> pl.Expr:
    return _stamp(pl.col(seconds) + by)


def _stamp(seconds: pl.Expr) -> pl.Expr:
    moment_ = pl.from_epoch(seconds, time_unit="s").dt.replace_time_zone("UTC")
    return moment_.dt.convert_time_zone(SHOP_ZONE).dt.strftime(_TIME)
