"""Shopify: the orders export (CSV), one row per line item.

The first row of an order carries the values of the order, further rows only its line items.
Merchants delete columns before they pass a file on, so every column but `Name` is optional; a
file without `Total` is told as such, because its orders tell no amount.
The export has no column that marks a test order; `test` stays null.

Options of the source:
    currency: currency of a file without the column `Currency`.
    shop: the shop's domain, told as `partner_id`.
    date_formats: formats of times where a spreadsheet has rewritten them.
    decimal, thousands, delimiter, encoding: notation of the export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit import model, money
from recon_kit.errors import FileRejectedError
from recon_kit.ingestion import parts, times
from recon_kit.ingestion.feed import ROW, Dialect, Feed, FeedContext, Header, Told, told_frame
from recon_kit.settings import Source

_OPTIONS = (
    "currency", "shop", "date_formats", "decimal", "thousands", "delimiter", "encoding",
)  # fmt: skip
_TIMES = ("%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S")
_CLICKS = ("gclid", "gbraid", "wbraid", "msclkid", "fbclid")

# Facts of the order: where a row repeats one, it must repeat it exactly. All of them but the
# time and the e-mail stand on the order's first row only, so they also tell that row apart.
_FACTS: dict[str, str] = {
    "id": "Id", "total": "Total", "currency": "Currency", "status": "Financial Status",
    "paid_at": "Paid at", "refunded": "Refunded Amount", "cancelled_at": "Cancelled at",
    "payment_id": "Payment ID", "payment_reference": "Payment Reference",
    "payment_references": "Payment References", "subtotal": "Subtotal",
}  # fmt: skip
# What may be taken from whichever row has it.
_DETAILS: dict[str, tuple[str, ...]] = {
    "created_at": ("Created at",), "method": ("Payment Method",), "email": ("Email",),
    "receipt": ("Receipt Number",), "channel": ("Source",), "notes": ("Note Attributes",),
    "customer_name": ("Billing Name", "Shipping Name"),
    "phone": ("Phone", "Billing Phone", "Shipping Phone"),
    "postcode": ("Shipping Zip", "Billing Zip"),
}  # fmt: skip

_PROBLEMS = {
    **money.AMOUNT_PROBLEMS,
    **times.TIME_PROBLEMS,
    **parts.WAYS_OUT,
    "order_name_missing": "the row has no order name",
    "order_values_differ": "rows of one order repeat a value of the order and disagree",
    "order_row_missing": "line items whose order row is not beside them; was the file split?",
    "id_lossy": "a spreadsheet has rounded the id; export the file again",
    "refund_sign": "the refunded amount is negative",
}
REFUND_OVER_TOTAL = "more was refunded than the order's total"
NO_TOTAL = "the file has no column 'Total': its orders tell no amount; export it with all columns"


class ShopifyOrders(Feed):
    """Orders, and for orders with a refunded amount a refund of unknown date.

    The refund has `records` 0 and a `business_key` by order, so that a source which tells the
    single refunds wins by precedence. Its amount is cumulative and grows with later exports; an
    order may be edited, so its total may change as well. Only what an order *is* may not.
    """

    name = "shopify.orders_csv"
    mutable = parts.all_but(("event_id", "event_type", "order_id", "currency", "event_ts"))
    keeps_together = ("Name",)

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        parts.known_options(source, type(self), _OPTIONS)
        self._formats = parts.option_texts(source, "date_formats", _TIMES)

    def columns(self) -> Mapping[str, Sequence[str]]:
        """Only the order's name."""
        return {"Name": ("Name",)}

    def dialect(self, head: str) -> Dialect:
        """Comma, semicolon or tab, whichever the header line fits."""
        names = ("Name", *_FACTS.values(), *(c for s in _DETAILS.values() for c in s))
        return Dialect(
            encoding=parts.option_text(self.source, "encoding") or "utf-8",
            delimiter=parts.option_text(self.source, "delimiter")
            or parts.delimiter_of(head, names),
        )

    def tell(self, records: pl.DataFrame, context: FeedContext) -> Told:
        """Fold line items into orders and tell each order and its refund."""
        header = Header(records)
        default_currency = parts.option_text(self.source, "currency")
        if "Total" in header and "Currency" not in header and default_currency is None:
            raise FileRejectedError(
                context.file, "currency_missing", "the amounts have no column `Currency`",
                f"Export it, or set options.currency of source {context.source.name!r}.",
            )  # fmt: skip
        orders = _fold(_texts(records, header)).with_columns(
            pl.coalesce(
                parts.upper_code(pl.col("currency")), pl.lit(default_currency, dtype=pl.String)
            ).alias("currency")
        )
        orders = orders.with_columns(
            self._amount("total"),
            self._amount("refunded"),
            # Without a declared zone a time without offset is quarantined, not guessed.
            times.parse_times(
                pl.col("created_at"), formats=self._formats, zone=context.timezone, named_zone=True
            ).alias("created"),
            model.normal_key(pl.col("name")).alias("order_id"),
        )
        orders = orders.with_columns(
            parts.first_problem(*_checks(any(c in header for c in _FACTS.values())))
        )
        bad = orders.filter(pl.col("code").is_not_null())
        good = orders.filter(pl.col("code").is_null()).with_columns(
            pl.col("total").struct["minor"].alias("total"),
            pl.col("refunded").struct["minor"].alias("refunded"),
            pl.coalesce("id", "order_id").alias("own_id"),
        )
        refunds = good.filter(pl.col("refunded") > 0)
        warnings = {
            REFUND_OVER_TOTAL: int((good["refunded"] > good["total"]).sum()),
            NO_TOTAL: 0 if "Total" in header else good.height,
        }
        return Told(
            events=pl.concat([self._orders(good), _refunds(refunds)]).sort(ROW, "event_type"),
            problems=parts.problem_frame(bad, _PROBLEMS),
            warnings={text: count for text, count in warnings.items() if count},
        )

    def _amount(self, column: str) -> pl.Expr:
        return money.parse_amounts(
            pl.col(column),
            pl.col("currency"),
            decimal=parts.option_text(self.source, "decimal") or ".",
            thousands=parts.option_text(self.source, "thousands"),
        ).alias(column)

    def _orders(self, good: pl.DataFrame) -> pl.DataFrame:
        cancelled = pl.col("cancelled_at").is_not_null()
        status = parts.snake(pl.col("status"))
        clicks = {kind: _click(kind) for kind in _CLICKS}
        return told_frame(
            good.select(
                (pl.lit("shopify:order:") + pl.col("own_id")).alias("event_id"),
                pl.lit("order").alias("event_type"),
                pl.col("name").alias("native_id"),
                pl.col("order_id"),
                _transaction().alias("transaction_id"),
                pl.coalesce(*clicks.values()).alias("click_id"),
                model.json_object({
                    "order_id": pl.col("name"),
                    "payment_references": pl.col("payment_references"),
                    # the financial status that `cancelled` stands before
                    "financial_status": pl.when(cancelled).then(status),
                    **clicks,
                }).alias("raw_keys"),
                model.json_object(
                    {"shopify_order_id": pl.col("id"), "receipt": pl.col("receipt")}
                ).alias("external_ids"),
                pl.col("total").alias("amount"),
                pl.col("refunded").alias("refunded_amount"),
                "currency",
                pl.when(cancelled).then(pl.lit("cancelled")).otherwise(status).alias("status"),
                pl.col("method").alias("payment_method"),
                pl.col("created").struct["ts"].alias("event_ts"),
                pl.col("created_at").alias("raw_ts"),
                pl.col("created").struct["tz_source"].alias("tz_source"),
                pl.col("created").struct["precision"].fill_null("unknown").alias("ts_precision"),
                "channel",
                pl.lit(parts.option_text(self.source, "shop"), dtype=pl.String)
                .alias("partner_id"),
                "customer_name", "email", "address",
                *(pl.col(c).str.strip_prefix("'") for c in ("phone", "postcode")),
                pl.lit(value=False).alias("derived_id"),
                ROW, "records",
            )
        )  # fmt: skip


def _texts(records: pl.DataFrame, header: Header) -> pl.DataFrame:
    """The columns that matter, with `group` numbering the orders in file order."""
    street = {
        side: parts.joined(
            pl.coalesce(
                header.text(f"{side} Street"),
                parts.joined(header.text(f"{side} Address1"), header.text(f"{side} Address2")),
            ),
            *(header.text(f"{side} {part}") for part in ("City", "Province", "Country")),
        )
        for side in ("Shipping", "Billing")
    }
    rows = records.select(
        ROW,
        header.text("Name").alias("name"),
        *(header.text(column).alias(name) for name, column in _FACTS.items()),
        *(
            pl.coalesce([header.text(c) for c in columns]).alias(name)
            for name, columns in _DETAILS.items()
        ),
        pl.coalesce(street["Shipping"], street["Billing"]).alias("address"),
    )
    # A new order starts where the name changes, and within one name where another id begins: a
    # shop may use a name twice.
    run = pl.col("name").ne_missing(pl.col("name").shift()).cum_sum().alias("run")
    rows = rows.with_columns(run).with_columns(
        pl.col("id").forward_fill().over("run").alias("known_id")
    )
    before = pl.col("known_id").shift().over("run")
    starts = (pl.col("run") != pl.col("run").shift()).fill_null(value=True)
    other_id = (pl.col("known_id") != before).fill_null(value=False)
    return rows.with_columns((starts | other_id).cum_sum().alias("group")).drop("run", "known_id")


def _fold(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per order: first filled value of each column, and which facts disagree."""
    facts = list(_FACTS)
    others = [c for c in rows.columns if c not in {ROW, "group", *facts}]
    disagree = [
        pl.when(pl.col(c).min() != pl.col(c).max()).then(pl.lit(_FACTS[c])).alias(f"differs_{c}")
        for c in facts
    ]
    return (
        rows.group_by("group", maintain_order=True)
        .agg(
            pl.col(ROW).first(),
            pl.len().cast(pl.Int64).alias("records"),
            *(pl.col(c).drop_nulls().first() for c in (*facts, *others)),
            *disagree,
        )
        .with_columns(pl.coalesce([f"differs_{c}" for c in facts]).alias("differs"))
        .drop("group", *(f"differs_{c}" for c in facts))
    )


def _checks(has_facts: bool) -> list[tuple[pl.Expr, str]]:
    """What makes an order unreadable, in the order in which it is said."""

    def when(condition: pl.Expr, code: str) -> pl.Expr:
        return pl.when(condition).then(pl.lit(code))

    headless = pl.all_horizontal(
        *(pl.col(c).is_null() for c in _FACTS if c not in {"total", "refunded", "currency"}),
        pl.col("total").struct["minor"].is_null() & pl.col("total").struct["code"].is_null(),
    )
    lossy = parts.is_lossy(pl.col("id")) | parts.is_lossy(pl.col("order_id"))
    return [
        (when(pl.col("order_id").is_null(), "order_name_missing"), "Name"),
        (when(lossy, "id_lossy"), "Id"),
        (when(pl.col("differs").is_not_null(), "order_values_differ"), "Name"),
        (when(headless & has_facts, "order_row_missing"), "Name"),
        (pl.col("total").struct["code"], "Total"),
        (pl.col("refunded").struct["code"], "Refunded Amount"),
        (when(pl.col("refunded").struct["minor"] < 0, "refund_sign"), "Refunded Amount"),
        (pl.col("created").struct["code"], "Created at"),
    ]


def _transaction() -> pl.Expr:
    """The gateway's id of the payment; the first one where several are listed."""
    listed = pl.coalesce("payment_id", "payment_reference", "payment_references")
    return model.normal_key(listed.str.split(" + ").list.first())


def _click(kind: str) -> pl.Expr:
    """One kind of click id from the note attributes (`gclid: ...`, or inside a landing URL)."""
    return pl.col("notes").str.extract(rf"(?i)\b{kind}\s*[:=]\s*([A-Za-z0-9_.\-]+)", 1)


def _refunds(refunded: pl.DataFrame) -> pl.DataFrame:
    return told_frame(
        refunded.select(
            (pl.lit("shopify:refund:") + pl.col("own_id")).alias("event_id"),
            pl.lit("refund").alias("event_type"),
            (pl.lit("refund:") + pl.col("order_id")).alias("business_key"),
            "order_id",
            _transaction().alias("transaction_id"),
            pl.col("name").alias("parent_key"),
            model.json_object({"order_id": pl.col("name")}).alias("raw_keys"),
            (-pl.col("refunded")).alias("amount"),
            "currency",
            pl.lit("cumulative").alias("status"),
            pl.col("method").alias("payment_method"),
            pl.lit("sum of all refunds of the order").alias("description"),
            pl.lit("unknown").alias("ts_precision"),
            pl.lit(value=False).alias("derived_id"),
            ROW,
            pl.lit(0, dtype=pl.Int64).alias("records"),
        )
    )
