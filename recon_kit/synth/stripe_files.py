"""The processor's itemised reports of two accounts, as they are exported from its dashboard.

The account in the United States is told by calendar month, with payout rows, times in UTC, and
three days of overlap; its first week is told again when missing order ids had been filled in, and
its last days by balance activity, with charges that no payout holds yet. The European account is
told by four weeks, without payout rows, in local time without offset, codes in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recon_kit.synth import people, tables
from recon_kit.synth.draws import Draws, Ints
from recon_kit.synth.orders import WHOLESALE_FROM, Calendar, midnight
from recon_kit.synth.payments import (
    CHARGE,
    DAY,
    DISPUTE,
    DISPUTED,
    FEE,
    IN_METADATA,
    IN_TEXT,
    NO_ORDER_FROM,
    OTHER_SHOP,
    OTHER_SPELLING,
    PAYOUT,
    REFUND,
    REVERSAL,
    WRONG_NUMBER,
    uid_of,
)
from recon_kit.synth.payouts import LATEST_DAYS, Payouts, payout_rows
from recon_kit.synth.tables import EU, US
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

EU_ZONE = "Europe/Berlin"
OVERLAP_US, OVERLAP_EU, WEEKS_EU = 3, 4, 4
RESTATED_DAYS, RESTATED_AFTER = 7, 36
RESTATED_PER_MILLION = 50_000
_TIME = "%Y-%m-%d %H:%M:%S"
_CATEGORIES = {
    CHARGE: "charge", REFUND: "refund", DISPUTE: "dispute", REVERSAL: "dispute_reversal",
    FEE: "fee", PAYOUT: "payout",
}  # fmt: skip
COLUMNS_US: tuple[str, ...] = (
    "balance_transaction_id", "created_utc", "created", "available_on_utc", "available_on",
    "currency", "gross", "fee", "net", "reporting_category", "source_id", "description",
    "customer_facing_amount", "customer_facing_currency", "automatic_payout_id",
    "automatic_payout_effective_at_utc", "automatic_payout_effective_at", "customer_id",
    "customer_email", "customer_name", "charge_id", "payment_intent_id", "invoice_id",
    "invoice_number", "payment_method_type", "card_brand", "card_country", "dispute_reason",
    "payment_metadata[order_id]",
)  # fmt: skip
COLUMNS_ACTIVITY: tuple[str, ...] = (*COLUMNS_US[5:], *COLUMNS_US[:5])
COLUMNS_EU: tuple[str, ...] = (
    "balance_transaction_id", "created", "available_on", "reporting_category", "currency", "gross",
    "fee", "net", "customer_facing_amount", "customer_facing_currency", "source_id", "charge_id",
    "payment_intent_id", "payment_metadata[order_id]", "invoice_id", "invoice_number",
    "automatic_payout_id", "automatic_payout_effective_at", "description", "payment_method_type",
    "card_brand", "card_country", "customer_id", "customer_name", "customer_email",
    "dispute_reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Report:
    """Zones, columns and habits of one account's report."""

    zone: str
    columns: tuple[str, ...]
    lower: bool
    refunds_positive: bool
    hide_restated_until: int = 0  # rows filed before this day lack the keys told later


def stripe_files(draws: Draws, period: Calendar, paid: Payouts, folder: Path) -> list[Delivery]:
    """Write the reports of both accounts."""
    us = pl.concat([
        paid.moves.filter(pl.col("account") == US), payout_rows(paid.payouts),
    ]).sort("day", "created", "uid")  # fmt: skip
    eu = paid.moves.filter(pl.col("account") == EU)
    return [*_american(draws, period, us, folder), *_european(draws, period, eu, folder)]


def transaction_ids(draws: Draws, uid: Ints) -> pl.Series:
    """Balance transaction ids, the native ids of the reports' rows."""
    return draws.codes("txn", uid, "txn_1")


def payout_ids(draws: Draws, payout: Ints) -> pl.Series:
    """Payout ids."""
    return draws.codes("payout", payout, "po_1")


def restated(draws: Draws, period: Calendar, moves: pl.DataFrame) -> pl.Series:
    """Whether a row's order id was missing at first and is told by the restated report."""
    first_week = (moves["day"] < period.start_day + RESTATED_DAYS) & (moves["account"] == US)
    keyed = (moves["key"] == IN_METADATA) & (moves["slot"] == 0)
    late = draws.chance("restated", moves["parent"].to_numpy(), RESTATED_PER_MILLION)
    return (first_week & keyed & pl.Series(late)).rename("restated")


def _american(draws: Draws, period: Calendar, rows: pl.DataFrame, folder: Path) -> list[Delivery]:
    found = []
    report = _Report(
        "America/New_York", COLUMNS_US, lower=False, refunds_positive=False,
        hide_restated_until=period.start_day + RESTATED_DAYS,
    )  # fmt: skip
    told = rows.filter(pl.col("day") < period.end_day)
    for label, first, after in months(period):
        low = max(first - OVERLAP_US, period.start_day)
        part = told.filter((pl.col("day") >= low) & (pl.col("day") < after))
        as_of = midnight(day_of(after))
        found.append(deliver(
            folder, f"files/stripe_us/payout_reconciliation_itemized_{label}.csv",
            _blocks(draws, period, part, report),
            received_at=moment(as_of + 10_800), as_of=moment(as_of),
        ))  # fmt: skip
    again = told.filter(pl.col("day") < period.start_day + RESTATED_DAYS)
    as_of = midnight(day_of(min(period.start_day + RESTATED_AFTER, period.end_day)))
    week = f"{period.start:%Y-%m-%d}"
    found.append(deliver(
        folder, f"files/stripe_us/payout_reconciliation_itemized_{week}_restated.csv",
        _blocks(draws, period, again, _Report(
            "America/New_York", COLUMNS_US, lower=False, refunds_positive=False)),
        received_at=moment(as_of + 14_400), as_of=moment(as_of),
    ))  # fmt: skip
    since = (period.end_day - LATEST_DAYS) * DAY
    late = rows.filter(pl.col("created") >= since)
    found.append(deliver(
        folder, "files/stripe_us/balance_change_from_activity_itemized_latest.csv",
        _blocks(draws, period, late, _Report(
            "America/New_York", COLUMNS_ACTIVITY, lower=False, refunds_positive=False)),
        received_at=moment(period.end_ts + 9_000), as_of=moment(period.end_ts),
    ))  # fmt: skip
    return found


def _european(draws: Draws, period: Calendar, rows: pl.DataFrame, folder: Path) -> list[Delivery]:
    found = []
    report = _Report(EU_ZONE, COLUMNS_EU, lower=True, refunds_positive=True)
    for first in range(period.start_day, period.end_day, 7 * WEEKS_EU):
        after = min(first + 7 * WEEKS_EU, period.end_day)
        low = max(first - OVERLAP_EU, period.start_day)
        part = rows.filter((pl.col("day") >= low) & (pl.col("day") < after))
        as_of = midnight(day_of(after), EU_ZONE)
        found.append(deliver(
            folder, f"files/stripe_eu/payout_reconciliation_{day_of(first):%Y%m%d}_"
            f"{day_of(after - 1):%Y%m%d}.csv",
            _blocks(draws, period, part, report),
            received_at=moment(as_of + 21_600), as_of=moment(as_of),
        ))  # fmt: skip
    return found


def _blocks(
    draws: Draws, period: Calendar, rows: pl.DataFrame, report: _Report
) -> Iterator[pl.DataFrame]:
    for part in slices(rows):
        yield _block(draws, period, part, report)


def _block(draws: Draws, period: Calendar, rows: pl.DataFrame, report: _Report) -> pl.DataFrame:
    frame = rows.with_columns(
        (pl.col("gross") - pl.col("fee")).alias("net"),
        currency_names(rows["account"]).alias("settled"),
        currency_names(rows["currency"]).alias("shown"),
        restated(draws, period, rows).alias("restated"),
    ).with_columns(*_ids(draws, rows), *_people(draws, rows).get_columns())  # fmt: skip
    frame = frame.with_columns(*_payout_columns(report), *_texts(report))
    values = {
        "balance_transaction_id": pl.col("txn"),
        "created_utc": times("created", "UTC", _TIME),
        "created": times("created", report.zone, _TIME),
        "available_on_utc": pl.col("ready"), "available_on": pl.col("ready"),
        "currency": _case(pl.col("settled"), report),
        **{c: amounts(c, "settled") for c in ("gross", "fee", "net")},
        "reporting_category": pl.col("category"),
        "customer_facing_amount": pl.when("paying").then(amounts("facing", "shown")),
        "customer_facing_currency": pl.when("paying").then(_case(pl.col("shown"), report)),
        "automatic_payout_effective_at_utc": pl.when(pl.col("automatic_payout_id").is_not_null())
        .then(pl.col("ready")),
        "automatic_payout_effective_at": pl.when(pl.col("automatic_payout_id").is_not_null())
        .then(pl.col("ready")),
        "payment_metadata[order_id]": pl.col("order_key"),
    }  # fmt: skip
    return frame.select(values.get(name, pl.col(name)).alias(name) for name in report.columns)


def _ids(draws: Draws, rows: pl.DataFrame) -> list[pl.Series]:
    """Ids of the row, of its source, of its charge and its payment."""
    uid, parent = rows["uid"].to_numpy(), rows["parent"].to_numpy()
    dispute = uid_of(parent // 16, DISPUTED)
    invoice = rows["invoice"].to_numpy()
    paying = rows["kind"] < FEE
    card = (rows["method"] == tables.CARD) & paying
    brand = draws.pick("brand", rows["customer"].to_numpy(), (52, 33, 9, 6))

    def only(where: pl.Series, values: pl.Series) -> pl.Series:
        return values.set(~where, None)

    charges = draws.codes("ch", parent, "ch_3")
    invoiced = pl.Series(invoice >= 0) & paying
    number = pl.Series(invoice - WHOLESALE_FROM + 20_417).cast(pl.String)
    country = pl.Series([c.code for c in tables.COUNTRIES]).gather(rows["country"].cast(pl.Int64))
    return [
        paying.alias("paying"),
        transaction_ids(draws, uid).alias("txn"),
        only(paying, charges).alias("charge_id"),
        only(paying, draws.codes("pi", parent, "pi_3")).alias("payment_intent_id"),
        only(rows["kind"] == REFUND, draws.codes("re", uid, "re_3")).alias("refund_id"),
        only((rows["kind"] == DISPUTE) | (rows["kind"] == REVERSAL),
             draws.codes("dp", dispute, "dp_1")).alias("dispute_id"),
        only(rows["payout"] >= 0, payout_ids(draws, rows["payout"].to_numpy())).alias("payout_id"),
        only(paying, draws.codes("cus", rows["customer"].to_numpy(), "cus_")).alias("customer_id"),
        only(invoiced, draws.codes("in", invoice, "in_1")).alias("invoice_id"),
        only(invoiced, pl.select(pl.format("INV-{}", number)).to_series()).alias("invoice_number"),
        only(card, pl.Series(tables.BRANDS).gather(pl.Series(brand))).alias("card_brand"),
        only(card, country).alias("card_country"),
    ]  # fmt: skip


def _people(draws: Draws, rows: pl.DataFrame) -> pl.DataFrame:
    """Name and address as the processor knows them, and how the order's number is spelled."""
    parent = rows["parent"].to_numpy()
    who = people.names(draws, rows["customer"].to_numpy())
    at = draws.below("letter", parent, 1_000)
    name = people.drifted_names(who, rows["name_drift"].to_numpy().astype(np.int64), at)
    mail = people.drifted_emails(who["email"], rows["mail_drift"].to_numpy().astype(np.int64), at)
    paying = rows["kind"] < FEE
    return pl.DataFrame({
        "customer_name": name.set(~paying, None), "customer_email": mail.set(~paying, None),
        "hash_sign": draws.chance("hash sign", parent, 700_000),
    })  # fmt: skip


def _payout_columns(report: _Report) -> list[pl.Expr]:
    hidden = pl.col("restated") & (pl.col("day") < report.hide_restated_until)
    number = pl.col("named").cast(pl.String)
    order = (
        pl.when(pl.col("i") >= NO_ORDER_FROM).then(pl.format("K-{}", number))
        .when(pl.col("i") >= WHOLESALE_FROM).then(pl.format("WS-{}", number.str.zfill(6)))
        .when(pl.col("key") == OTHER_SPELLING).then(pl.format("WEB-{}", number))
        .when("hash_sign").then(pl.format("#{}", number))
        .otherwise(number)
    )  # fmt: skip
    printed = pl.col("key").is_in([IN_METADATA, WRONG_NUMBER, OTHER_SPELLING, OTHER_SHOP])
    sign = pl.when(report.refunds_positive).then(1).otherwise(pl.col("gross").sign())
    return [
        pl.when(~pl.col("instant")).then("payout_id").alias("automatic_payout_id"),
        pl.from_epoch(pl.col("day"), time_unit="d").cast(pl.Datetime).dt.strftime(_TIME)
        .alias("ready"),
        pl.when(printed & pl.col("paying") & ~hidden).then(order).alias("order_key"),
        (pl.col("presented") * sign).alias("facing"),
    ]  # fmt: skip


def _texts(report: _Report) -> list[pl.Expr]:
    kind = pl.col("kind")
    day = pl.from_epoch(pl.col("created") // DAY, time_unit="d").dt.strftime("%Y-%m-%d")
    plain = pl.lit("Nordlys Goods") if report.lower else pl.lit("NORDLYS GOODS ONLINE")
    charge = (
        pl.when(pl.col("key") == IN_TEXT)
        .then(pl.format("Payment for order #{}", "named"))
        .when(pl.col("invoice") >= 0)
        .then(pl.lit("Payment for invoice"))
        .otherwise(plain)
    )
    return [
        kind.replace_strict(
            list(_CATEGORIES), list(_CATEGORIES.values()), return_dtype=pl.String
        ).alias("category"),
        pl.when(kind == FEE).then(None).when(kind == PAYOUT).then("payout_id")
        .when(kind == REFUND).then("refund_id").when(kind == CHARGE).then("charge_id")
        .otherwise("dispute_id").alias("source_id"),
        pl.when(kind == FEE).then(pl.format("Radar ({}): Radar for Fraud Teams", day))
        .when(kind == PAYOUT).then(pl.lit("STRIPE PAYOUT"))
        .when(kind == CHARGE).then(charge)
        .when(kind == REFUND).then(pl.lit("REFUND FOR CHARGE"))
        .when(kind == DISPUTE).then(pl.format("Chargeback withdrawal for {}", "charge_id"))
        .otherwise(pl.format("Chargeback reversal for {}", "charge_id")).alias("description"),
        pl.when("paying").then(pl.col("method").replace_strict(
            list(range(len(tables.CHARGE_METHODS))), list(tables.CHARGE_METHODS),
            return_dtype=pl.String)).alias("payment_method_type"),
        pl.when(kind == DISPUTE).then(pl.lit("product_not_received")).alias("dispute_reason"),
    ]  # fmt: skip


def _case(code: pl.Expr, report: _Report) -> pl.Expr:
    return code.str.to_lowercase() if report.lower else code
