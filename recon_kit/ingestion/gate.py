"""The last door before the ledger: every event of every feed fits the canonical contract.

A rule's name is the code of the rows that break it; they are quarantined, not repaired.
"""
# ruff: noqa: N805 - dataframely calls a rule with the schema class

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dataframely as dy
import polars as pl

from recon_kit import model, money
from recon_kit.ingestion.feed import PROBLEM_SCHEMA, ROW, Told

ID_CHARACTERS_MAX = 512
# How far ahead of its receipt a fact may lie: clocks differ by zone, and a payout, a booking or an
# invoice names a day to come.
_AHEAD = timedelta(days=2)
_AHEAD_PLANNED = timedelta(days=400)
_PLANNED = ("payout", "bank_line", "invoice", "booking", "shipment", "transfer", "reserve")
_MONEY = ("amount", "fee", "net", "refunded_amount")
_IDS = (
    "event_id", "native_id", "order_id", "sub_order_id", "transaction_id", "invoice_number",
    "payout_id", "parent_key", "click_id", "customer_id",
)  # fmt: skip

GATE_PROBLEMS: dict[str, str] = {
    "event_id_missing": "the event has no id",
    "event_type_unknown": "the event type is none of those that exist",
    "currency_missing": "an amount stands without a currency",
    "currency_unknown": "the currency is not an ISO 4217 code",
    "presentment_currency_missing": "a presented amount stands without its currency",
    "id_too_long": f"an id is longer than {ID_CHARACTERS_MAX} characters",
    "refunded_negative": "the refunded amount is negative; it is told as a positive total",
    "sign_contradicts": "the sign of the amount contradicts the event type: orders and payments "
    "bring money, refunds give it back; declare `sign`, or a type for each row, such as other",
    "time_future": "the event lies in the future of the day on which the file was received",
    "contract_broken": "the row breaks the canonical contract",
}
ZERO_AMOUNT = "rows with an amount of zero"
NO_AMOUNT = (
    "rows of money that moved without an amount: keys alone can match them, no sum counts them; "
    "declare columns.amount, or leave them out"
)
_MOVED = ("payment", "refund", "chargeback", "fee", "payout", "bank_line", "transfer", "reserve")
MIXED_ALPHABETS = "ids that mix alphabets: letters that look alike do not join"
_KEYS = ("order_id", "sub_order_id", "transaction_id", "invoice_number", "payout_id")
_MIXED = r"\p{Latin}.*[\p{Cyrillic}\p{Greek}]|[\p{Cyrillic}\p{Greek}].*\p{Latin}"
ROUNDED_PHONES = (
    "phone numbers that a spreadsheet has rounded (such as 9.2E+11); the rows are kept without them"
)
NET_DIFFERS = "rows whose net is not amount minus fee"


class CanonicalEvent(dy.Schema):
    """Types and rules that hold for every event, whatever told it."""

    at = dy.UInt32(nullable=False)
    event_id = dy.String(nullable=True)
    event_type = dy.String(nullable=True)
    amount = dy.Int64(nullable=True)
    fee = dy.Int64(nullable=True)
    net = dy.Int64(nullable=True)
    refunded_amount = dy.Int64(nullable=True)
    currency = dy.String(nullable=True)
    presentment_amount = dy.Int64(nullable=True)
    presentment_currency = dy.String(nullable=True)
    event_ts = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    record_row = dy.Int64(nullable=False, min=1)
    records = dy.Int64(nullable=False, min=0)
    longest_id = dy.UInt32(nullable=True)
    strict_signs = dy.Bool(nullable=False)
    latest = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")

    @dy.rule()
    def event_id_missing(cls) -> pl.Expr:
        """Every event has an id, the vendor's or a derived one."""
        return pl.col("event_id").is_not_null() & (pl.col("event_id") != "")

    @dy.rule()
    def event_type_unknown(cls) -> pl.Expr:
        """The type is one of the canonical types."""
        return pl.col("event_type").is_in(list(model.EVENT_TYPES)).fill_null(value=False)

    @dy.rule()
    def currency_missing(cls) -> pl.Expr:
        """Money has a currency."""
        told = pl.any_horizontal(pl.col(m).is_not_null() for m in _MONEY)
        return ~told | pl.col("currency").is_not_null()

    @dy.rule()
    def currency_unknown(cls) -> pl.Expr:
        """Currencies are ISO 4217."""
        known = list(money.currency_exponents())
        return pl.all_horizontal(
            pl.col(c).is_null() | pl.col(c).is_in(known)
            for c in ("currency", "presentment_currency")
        )

    @dy.rule()
    def presentment_currency_missing(cls) -> pl.Expr:
        """Presented money has its own currency."""
        return pl.col("presentment_amount").is_null() | pl.col("presentment_currency").is_not_null()

    @dy.rule()
    def id_too_long(cls) -> pl.Expr:
        """No id is longer than any vendor's."""
        return pl.col("longest_id").fill_null(0) <= ID_CHARACTERS_MAX

    @dy.rule()
    def refunded_negative(cls) -> pl.Expr:
        """Refunds told as a column are a positive total."""
        return pl.col("refunded_amount").fill_null(0) >= 0

    @dy.rule()
    def sign_contradicts(cls) -> pl.Expr:
        """Orders and payments bring money, refunds give it back (formats of section 0)."""
        kind, amount = pl.col("event_type"), pl.col("amount").fill_null(0)
        wrong = (kind.is_in(["order", "payment"]) & (amount < 0)) | (
            (kind == "refund") & (amount > 0)
        )
        return ~(pl.col("strict_signs") & wrong).fill_null(value=False)

    @dy.rule()
    def time_future(cls) -> pl.Expr:
        """Nothing has happened after it was told."""
        return (pl.col("event_ts") <= pl.col("latest")).fill_null(value=True)


def pass_gate(told: Told, *, strict_signs: bool, received_at: datetime | None = None) -> Told:
    """The events that fit the contract; the others become problems, code by rule name.

    Args:
        told: what a feed made of one block.
        strict_signs: whether the sign of an amount must fit its type. Off for feeds whose vendor
            books corrections under the same type (Stripe's failed charge is a negative payment).
        received_at: when the file came; later events are refused (see `GATE_PROBLEMS`).
    """
    events, rounded = _without_rounded_phones(told.events)
    if rounded:
        told = Told(events, told.problems, {**told.warnings, ROUNDED_PHONES: rounded}, told.carry)
    ids = [pl.col(i).str.len_chars() for i in _IDS if i != "event_id"]
    planned = pl.col("event_type").is_in(_PLANNED)
    latest = (
        pl.lit(None, dtype=model.UTC)
        if received_at is None
        else pl.when(planned)
        .then(pl.lit(received_at.astimezone(UTC) + _AHEAD_PLANNED, dtype=model.UTC))
        .otherwise(pl.lit(received_at.astimezone(UTC) + _AHEAD, dtype=model.UTC))
    )
    checked = events.with_row_index("at").with_columns(
        longest_id=pl.max_horizontal(ids), strict_signs=pl.lit(strict_signs), latest=latest
    )
    columns = [*CanonicalEvent.column_names()]
    result = CanonicalEvent.filter(checked.select(columns), cast=False)
    good, failure = result
    if good.height == events.height:
        return Told(events, told.problems, _with_oddities(events, told))
    rules = [r for r in failure.details().columns if r not in columns]
    named = failure.details().with_columns(
        code=pl.coalesce(
            pl.when(pl.col(r).cast(pl.String) == "invalid").then(
                pl.lit(r if r in GATE_PROBLEMS else "contract_broken")
            )
            for r in rules
        )
    )
    refused = checked.join(named.select("at", "code"), on="at").sort("at")
    kept = events.filter(~pl.int_range(pl.len()).is_in(refused["at"].implode()))
    problems = refused.select(
        ROW,
        "records",
        "code",
        pl.lit(None, dtype=pl.String).alias("column"),
        pl.col("code").replace_strict(GATE_PROBLEMS).alias("message"),
    ).cast(PROBLEM_SCHEMA)  # type: ignore[arg-type]
    return Told(kept, pl.concat([told.problems, problems]), _with_oddities(kept, told))


def _without_rounded_phones(events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Events without phone numbers that were rounded: strangers would seem to share one."""
    rounded = pl.col("phone").str.contains(model.LOSSY_ID).fill_null(value=False)
    count = int(events.select(rounded.sum()).item())
    if not count:
        return events, 0
    return events.with_columns(phone=pl.when(~rounded).then("phone")), count


def _with_oddities(events: pl.DataFrame, told: Told) -> dict[str, int]:
    """Warnings about events that are kept: zero amounts, and nets that do not follow."""
    zero = int(events.select((pl.col("amount") == 0).sum()).item())
    # a payout's fee was taken before: what is sent is its net
    sent = (pl.col("event_type") == "payout") & (pl.col("net") == pl.col("amount"))
    differs = (pl.col("net") != pl.col("amount") - pl.col("fee")) & ~sent
    nets = int(events.select(differs.sum()).item())
    moved = pl.col("event_type").is_in(_MOVED) & pl.col("amount").is_null()
    without = int(events.select(moved.sum()).item())
    mixed = sum(_mixed_alphabets(events[key]) for key in _KEYS)
    found = {ZERO_AMOUNT: zero, NO_AMOUNT: without, NET_DIFFERS: nets, MIXED_ALPHABETS: mixed}
    return {**told.warnings, **{k: n for k, n in found.items() if n}}


def _mixed_alphabets(ids: pl.Series) -> int:
    """How many ids hold letters of two alphabets; plain ASCII, nearly all there are, is skipped."""
    lengths = ids.str.len_bytes() != ids.str.len_chars()
    return int(ids.filter(lengths.fill_null(value=False)).str.contains(_MIXED).sum())
