"""Stripe: itemised payout reconciliation, and itemised balance change from activity.

One row per balance transaction. The exporter chooses the columns and their order, so a column is
found by name; what is needed is `gross`, `currency`, `reporting_category` and a created time.

Amounts are decimal text in major units by the decimals of ISO 4217. Stripe's own minor units
differ for some currencies (MGA none, ISK and UGX two), but that concerns its API only: in a
report `1500` MGA are 1500 ariary, and the forced `.00` of ISK and UGX hold no money.

Options of the source:
    order_id_keys: metadata keys that hold the shop's order id, in order of trust.
    order_id_regex: where no key does, the pattern that finds it in `description`.
    date_formats: formats of times where a spreadsheet has rewritten them.
    decimal, thousands, delimiter, encoding: notation of the export.
    derive_payouts: false when another source tells the payouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit import model, money
from recon_kit.ingestion import parts, payouts, times
from recon_kit.ingestion.feed import ROW, Dialect, Feed, FeedContext, Header, Told, told_frame
from recon_kit.ingestion.parts import MONEY_MOVED
from recon_kit.settings import Source

# The documented reporting categories and what they are here. An unknown one is told as `other`.
EVENT_TYPE_OF: dict[str, str] = {
    "charge": "payment", "charge_failure": "payment",
    "refund": "refund", "refund_failure": "refund", "partial_capture_reversal": "refund",
    "dispute": "chargeback", "dispute_reversal": "chargeback",
    "fee": "fee", "network_cost": "fee", "tax": "fee",
    "payout": "payout", "payout_reversal": "payout",
    "transfer": "transfer", "transfer_reversal": "transfer",
    "topup": "transfer", "topup_reversal": "transfer", "connect_collection_transfer": "transfer",
    "risk_reserved_funds": "reserve", "connect_reserved_funds": "reserve",
    "payment_network_reserved_funds": "reserve",
    "other_adjustment": "adjustment",
    **dict.fromkeys((
        "advance", "advance_funding", "anticipation_repayment", "climate_order_purchase",
        "climate_order_refund", "contribution", "financing_paydown", "financing_paydown_reversal",
        "financing_payout", "financing_payout_reversal", "issuing_authorization_hold",
        "issuing_authorization_release", "issuing_dispute", "issuing_transaction", "obligation",
        "platform_earning", "platform_earning_refund", "unreconciled_customer_funds",
    ), "other"),
}  # fmt: skip

_ORDER_KEYS = ("order_id", "order", "order_number", "external_identifier")
# Without a metadata key only an explicit mark is taken for an order id: "order #1001".
_ORDER_REGEX = r"(?i)\border[^#\n]{0,12}#\s*([A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*)"
_OPTIONS = (
    "order_id_keys", "order_id_regex", "decimal", "thousands", "delimiter", "encoding",
    "derive_payouts", "date_formats",
)  # fmt: skip
_CARD = ("card_brand", "card_country", "card_funding")  # what a fee depends on, beside the method
_ADDRESSES = ("customer_shipping_address", "customer_address", "shipping_address", "card_address")
_LINES = ("line1", "line2", "city", "state", "country")
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S")

UNKNOWN_CATEGORY = "unknown reporting_category; told as type `other`"
LOSSY_ORDER = "the order id was rounded by a spreadsheet; the row is kept without it"
PAYOUT_AS_PRINTED = "payouts are printed as money sent (positive); their sign is kept"
PAYOUT_DEBIT = "a payout is printed positive: taken as money drawn from the bank"
PAYOUT_UNREADABLE = "a payout's sum or currency cannot be read; it was not derived"
AVAILABLE_UNREADABLE = "available_on is no date; the row is kept without it"

_PROBLEMS = {
    **money.AMOUNT_PROBLEMS,
    **times.TIME_PROBLEMS,
    **parts.WAYS_OUT,
    "amount_missing": "the row has no gross amount",
}


class PayoutReconciliation(Feed):
    """Rows of Stripe's itemised reports as payments, refunds, fees, chargebacks and payouts.

    A payout that no row of the file tells is derived from the rows that name it in
    `automatic_payout_id`: their nets added up, each id once, `records` 0, status `derived`. It
    carries the same
    `business_key` as a payout row of its own would, and a told row is read before a derived one.
    A payout reconciliation holds whole payouts; files of activity cut by day do not, so for them
    set `derive_payouts = false` and tell the payouts by their own report. A payout that was
    derived in part is found by the check of payout sums.
    """

    name = "stripe.payout_reconciliation"
    version = "3"
    mutable = parts.all_but(MONEY_MOVED)

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        parts.known_options(source, type(self), _OPTIONS)
        self._order_keys = parts.option_texts(source, "order_id_keys", _ORDER_KEYS)
        self._order_regex = parts.pattern_option(source, "order_id_regex", _ORDER_REGEX)
        self._formats = parts.option_texts(source, "date_formats", _TIMES)
        self._derive = parts.option_switch(source, "derive_payouts", default=True)

    def columns(self) -> Mapping[str, Sequence[str]]:
        """Amount, currency, category and a time; all else is the exporter's choice."""
        return {
            "gross": ("gross",),
            "currency": ("currency",),
            "reporting_category": ("reporting_category",),
            "created": ("created_utc", "created"),
        }

    def dialect(self, head: str) -> Dialect:
        """Comma, semicolon or tab, whichever the header line fits."""
        names = [*(n for spellings in self.columns().values() for n in spellings), "fee", "net"]
        return Dialect(
            encoding=parts.option_text(self.source, "encoding") or "utf-8",
            delimiter=parts.option_text(self.source, "delimiter")
            or parts.delimiter_of(head, names),
        )

    def tell(self, records: pl.DataFrame, context: FeedContext) -> Told:
        """One event per balance transaction; see the class for payouts."""
        header = Header(records)
        rows = records.select(
            pl.col(ROW), pl.lit(1, dtype=pl.Int64).alias("records"), *self._texts(header),
            *self._created(header, context), *self._effective(header, context),
        )  # fmt: skip
        rows = rows.with_columns(
            parts.upper_code(pl.col("currency")),
            parts.snake(pl.col("category")),
            pl.col("available_text")
            .str.head(10)
            .str.to_date("%Y-%m-%d", strict=False)
            .alias("available_on"),
        ).with_columns(
            *(self._amount(c, "currency") for c in ("gross", "fee", "net")),
            self._amount("presented", "presented_currency"),
            type=pl.col("category").replace_strict(
                EVENT_TYPE_OF, default="other", return_dtype=pl.String
            ),
        )
        rows = rows.with_columns(
            parts.first_problem(
                (pl.col("gross").struct["code"], "gross"),
                (pl.when(pl.col("gross").struct["minor"].is_null()).then(pl.lit("amount_missing")),
                 "gross"),
                (pl.col("fee").struct["code"], "fee"),
                (pl.col("net").struct["code"], "net"),
                (pl.col("presented").struct["code"], "customer_facing_amount"),
                (pl.col("created").struct["code"], "created"),
            )
        )  # fmt: skip
        rows = _money(rows)
        bad = rows.filter(pl.col("code").is_not_null())
        good = rows.filter(pl.col("code").is_null())
        events = told_frame(good.select(self._fields()))
        odd = ((good["category"] == "payout") & (good["gross"] > 0)).fill_null(value=False)
        return Told(
            events=events.filter(~odd),
            problems=parts.problem_frame(bad, _PROBLEMS),
            warnings=_warnings(good),
            carry={
                "members": payouts.members(rows),
                "told_ids": payouts.told_ids(rows),
                "positive_payouts": events.filter(odd),
            },
        )

    def finish(
        self,
        carry: Mapping[str, pl.DataFrame],
        context: FeedContext,  # noqa: ARG002 - the payouts need no setting
    ) -> Told:
        """Payouts: the sign of those printed positive, and those that no row tells."""
        members = payouts.less_repeats(payouts.by_payout(carry["members"]), carry["told_ids"])
        positive = carry["positive_payouts"]
        held, kept = payouts.signed(positive, members)
        untold = members.filter(~pl.col("told")) if self._derive else members.clear()
        derived = payouts.derived(untold)
        warnings = {
            PAYOUT_AS_PRINTED: kept,
            PAYOUT_DEBIT: positive.height - kept,
            PAYOUT_UNREADABLE: untold.height - derived.height,
        }
        return Told(
            events=pl.concat([held, derived]),
            warnings={text: count for text, count in warnings.items() if count},
        )

    def _texts(self, header: Header) -> list[pl.Expr]:
        plain = {
            "id": "balance_transaction_id", "source_id": "source_id",
            "category": "reporting_category", "currency": "currency", "gross": "gross",
            "fee": "fee", "net": "net", "presented": "customer_facing_amount",
            "charge_id": "charge_id", "intent_id": "payment_intent_id",
            "invoice_id": "invoice_id", "invoice_number": "invoice_number",
            "subscription_id": "subscription_id", "payout_id": "automatic_payout_id",
            "customer_id": "customer_id", "trace_id": "trace_id", "description": "description",
            "method": "payment_method_type", "email": "customer_email", "phone": "customer_phone",
            **{column: column for column in _CARD},
        }  # fmt: skip
        found = [header.text(column).alias(name) for name, column in plain.items()]
        shopper = parts.upper_code(header.text("customer_facing_currency"))
        order = [
            header.text(f"{kind}[{key}]")
            for key in self._order_keys
            for kind in ("payment_metadata", "refund_metadata", "metadata")
        ] + [header.text(f"{key} (metadata)", key) for key in self._order_keys]
        address, postcode = _address(header)
        names = ("customer_name", "customer_shipping_name", "shipping_name", "card_name")
        return [
            *found,
            shopper.alias("presented_currency"),
            pl.coalesce(
                *order, parts.extract(header.text("description"), self._order_regex)
            ).alias("raw_order"),
            pl.coalesce([header.text(n) for n in names]).alias("customer_name"),
            address.alias("address"),
            postcode.alias("postcode"),
            header.text("connected_account_id", "connected_account").alias("partner_id"),
            header.text("available_on_utc", "available_on").alias("available_text"),
        ]  # fmt: skip

    def _amount(self, column: str, currency: str) -> pl.Expr:
        decimal = parts.option_text(self.source, "decimal") or "."
        thousands = parts.option_text(self.source, "thousands")
        text = pl.col(column)
        if column == "presented":  # a side fact: without its currency it says nothing
            text = pl.when(pl.col(currency).is_not_null()).then(text)
        return money.parse_amounts(
            text, pl.col(currency), decimal=decimal, thousands=thousands
        ).alias(column)

    def _created(self, header: Header, context: FeedContext) -> list[pl.Expr]:
        column = "created_utc" if "created_utc" in header else "created"
        return [
            self._instant(header, column, context).alias("created"),
            header.text(column).alias("created_text"),
        ]

    def _effective(self, header: Header, context: FeedContext) -> list[pl.Expr]:
        stem = "automatic_payout_effective_at"
        column = f"{stem}_utc" if f"{stem}_utc" in header else stem
        return [
            self._instant(header, column, context).alias("effective"),
            header.text(column).alias("effective_text"),
        ]

    def _instant(self, header: Header, column: str, context: FeedContext) -> pl.Expr:
        """A time column: `_utc` ones are UTC by name, the others are local to the declared zone."""
        if column not in header:
            return parts.no_time()
        text = header.text(column)
        if column.endswith("_utc"):
            return times.parse_times(text, formats=self._formats, zone="UTC", zone_source="column")
        if context.timezone is None:
            raise parts.zone_missing(
                context.file,
                column,
                f"Set `timezone` of source {context.source.name!r} to the zone that the report was "
                f"requested in, or export the column `{column}_utc`.",
            )
        return times.parse_times(text, formats=self._formats, zone=context.timezone)

    def _fields(self) -> list[pl.Expr]:
        sent = pl.col("type") == "payout"
        order = model.normal_key(pl.col("raw_order"))
        own_id = ("source_id", "category", "created_text", "currency", "gross_text", "description")
        derived_id = pl.concat_str([pl.col(c).fill_null("") for c in own_id], separator="\x1f")
        corrects = pl.col("type").is_in(["refund", "chargeback"])
        payout_id = pl.coalesce("payout_id", pl.when(sent).then(pl.col("source_id")))
        own_charge = pl.when(pl.col("source_id").str.contains("^(ch|py)_")).then("source_id")
        return [
            pl.coalesce("id", derived_id).alias("event_id"),
            pl.col("id").is_null().alias("derived_id"),
            pl.col("type").alias("event_type"),
            pl.col("id").alias("native_id"),
            payouts.payout_key(pl.when(pl.col("category") == "payout").then(payout_id)),
            pl.when(~parts.is_lossy(order)).then(order).alias("order_id"),
            pl.coalesce("intent_id", "charge_id", own_charge).alias("transaction_id"),
            model.normal_key(pl.col("invoice_number")).alias("invoice_number"),
            payout_id.alias("payout_id"),
            pl.when(corrects).then(pl.coalesce("charge_id", "intent_id")).alias("parent_key"),
            model.json_object({
                "order_id": pl.col("raw_order"), **{c: pl.col(c) for c in _CARD},
            }).alias("raw_keys"),
            model.json_object({
                "source_id": pl.col("source_id"), "charge_id": pl.col("charge_id"),
                "payment_intent_id": pl.col("intent_id"), "invoice_id": pl.col("invoice_id"),
                "subscription_id": pl.col("subscription_id"),
            }).alias("external_ids"),
            pl.when(sent).then(-pl.col("gross")).otherwise(pl.col("gross")).alias("amount"),
            pl.col("fee"),
            pl.when(sent).then(-pl.col("net")).otherwise(pl.col("net")).alias("net"),
            pl.col("currency"),
            # The shopper's money is printed with either sign on refunds; the row's own decides.
            (pl.col("presented").abs() * pl.col("gross").sign()).alias("presentment_amount"),
            pl.when(pl.col("presented").is_not_null()).then(pl.col("presented_currency"))
            .alias("presentment_currency"),
            pl.col("category").alias("status"),
            pl.col("method").alias("payment_method"),
            pl.col("created").struct["ts"].alias("event_ts"),
            pl.col("created_text").alias("raw_ts"),
            pl.col("created").struct["tz_source"].alias("tz_source"),
            pl.col("created").struct["precision"].alias("ts_precision"),
            *(pl.col(c) for c in (
                "description", "available_on", "partner_id", "customer_id", "trace_id",
                "customer_name", "email", "phone", "address", "postcode", ROW, "records",
            )),
        ]  # fmt: skip


def _address(header: Header) -> tuple[pl.Expr, pl.Expr]:
    """The first address that is filled, and the first post code."""
    lines = [
        parts.joined(*(header.text(f"{group}_{line}") for line in _LINES)) for group in _ADDRESSES
    ]
    codes = [header.text(f"{group}_postal_code") for group in _ADDRESSES]
    return pl.coalesce(lines), pl.coalesce(codes)


def _money(rows: pl.DataFrame) -> pl.DataFrame:
    """Amounts as integers; a missing fee or net follows from the other two."""
    minor = {c: pl.col(c).struct["minor"] for c in ("gross", "fee", "net", "presented")}
    return rows.with_columns(
        minor["gross"].alias("gross"),
        minor["presented"].alias("presented"),
        pl.coalesce(minor["fee"], minor["gross"] - minor["net"]).alias("fee"),
        pl.coalesce(minor["net"], minor["gross"] - minor["fee"]).alias("net"),
        minor["gross"].cast(pl.String).alias("gross_text"),
    )


def _warnings(good: pl.DataFrame) -> dict[str, int]:
    raw = pl.col("raw_order").fill_null("")
    checks = {
        UNKNOWN_CATEGORY: ~pl.col("category").is_in(list(EVENT_TYPE_OF)).fill_null(value=False),
        LOSSY_ORDER: parts.is_lossy(model.normal_key(raw)),
        AVAILABLE_UNREADABLE: pl.col("available_text").is_not_null()
        & pl.col("available_on").is_null(),
    }
    counts = good.select(check.sum().alias(text) for text, check in checks.items()).row(0)
    return {text: int(n) for text, n in zip(checks, counts, strict=True) if n}
