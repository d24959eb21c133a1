"""The shop's bank account: payouts as they arrive, and everything else that an account sees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from recon_kit.synth.draws import Draws, Ints
from recon_kit.synth.orders import EPOCH, Calendar
from recon_kit.synth.tables import EU, US

# How a payout arrives: with its id, without, with the id cut off, two in one line without an id,
# two in one line that names the first, or never.
ARRIVALS: tuple[str, ...] = (
    "payout_id", "no_reference", "cut_reference", "lump", "lump_first", "never",
)  # fmt: skip
PAYOUT_ID, NO_REFERENCE, CUT_REFERENCE, LUMP, LUMP_FIRST, NEVER = range(6)
_PAIR_WEIGHTS = (870, 110, 20)
_SINGLE_WEIGHTS = (850, 90, 40, 0, 0, 20)
_STRANGE_DEPOSITS = 2
_STRANGE_FROM = 50_000_000_000
_LINES_FROM = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Bank:
    """Lines and what they deposit.

    `lines`: line, account, day (epoch), description, amount (minor units, money in positive),
    reference (the bank's own id). `deposits`: payout, line, arrival (index into `ARRIVALS`).
    """

    lines: pl.DataFrame
    deposits: pl.DataFrame


def bank(draws: Draws, period: Calendar, payouts: pl.DataFrame) -> Bank:
    """Bank lines of the period, in the order of the statement."""
    arrivals = _arrivals(draws, period, payouts)
    known = (
        arrivals.group_by("line")
        .agg(
            pl.col("account").first(), pl.col("arrives").first().alias("day"),
            pl.col("arrival").first(), pl.col("net").sum().alias("amount"),
            pl.col("payout_id").sort_by("payout").first(),
        )
        .sort("line")
    )  # fmt: skip
    known = known.select("account", "day", _description(draws, known), "amount", "line")
    other = pl.concat([_strange(draws, period), _everyday(draws, period)])
    lines = pl.concat([known, other.with_columns(pl.lit(None, pl.Int64).alias("line"))])
    lines = lines.filter((pl.col("day") >= period.start_day) & (pl.col("day") < period.end_day))
    lines = lines.sort("day", "account", "description", "amount")
    number = np.arange(lines.height, dtype=np.int64) + _LINES_FROM
    lines = lines.with_columns(
        draws.codes("bank", number, "FT").str.to_uppercase().alias("reference")
    )
    told = lines.filter(pl.col("line").is_not_null()).select("line", "reference")
    deposits = arrivals.join(told, on="line").select("payout", "line", "reference", "arrival")
    return Bank(lines, deposits.sort("payout"))


def _arrivals(draws: Draws, period: Calendar, payouts: pl.DataFrame) -> pl.DataFrame:
    """For each payout that reaches the bank: the line that brings it, how, and on which day."""
    rows = payouts.sort("account", "day", "payout").with_columns(
        pl.int_range(pl.len()).over("account").alias("nth"), pl.len().over("account").alias("of")
    )
    account, nth = rows["account"].to_numpy().astype(np.int64), rows["nth"].to_numpy()
    pair = nth // 2 * 2 + account * 1_000_000
    own = nth + account * 1_000_000
    pairs, at_pair = np.unique(pair, return_inverse=True)
    together = draws.share_out("arrives together", pairs, _PAIR_WEIGHTS)[at_pair]
    whole = (nth // 2 * 2 + 1) < rows["of"].to_numpy()
    lumped = whole & (together > 0)
    arrival = np.where(lumped, together + LUMP - 1, PAYOUT_ID)
    arrival[~lumped] = draws.share_out("arrives", own[~lumped], _SINGLE_WEIGHTS)
    line = np.where(arrival >= LUMP, np.where(arrival == NEVER, own, pair), own)
    ready = np.busday_offset(
        rows["day"].to_numpy().astype("datetime64[D]"),
        draws.between("bank days", line, 1, 2), roll="forward",
    ).astype(np.int64)  # fmt: skip
    return (
        rows.with_columns(
            pl.Series("arrival", arrival), pl.Series("line", line), pl.Series("ready", ready),
            draws.codes("payout", rows["payout"].to_numpy(), "po_1").alias("payout_id"),
        )
        .with_columns(pl.col("ready").max().over("line").alias("arrives"))
        .filter((pl.col("arrival") != NEVER) & (pl.col("arrives") < period.end_day))
    )  # fmt: skip


def _description(draws: Draws, known: pl.DataFrame) -> pl.Series:
    """What the bank prints about a payout."""
    stamp = draws.codes("stamp", known["line"].to_numpy(), "ST-").str.to_uppercase()
    prefix = pl.when(pl.col("account") == EU).then(pl.lit("STRIPE TECHNOLOGY EUROPE SEPA CT "))
    head = prefix.otherwise(pl.lit("STRIPE TRANSFER "))
    arrival, code = pl.col("arrival"), pl.col("payout_id")
    text = (
        pl.when(arrival == PAYOUT_ID)
        .then(head + code)
        .when(arrival == CUT_REFERENCE)
        .then(head + code.str.head(11))
        .when(arrival == LUMP_FIRST)
        .then(head + code + pl.lit(" AND 1 MORE"))
        .when(arrival == LUMP)
        .then(head + pl.lit("2 ITEMS ") + pl.col("stamp"))
        .otherwise(head + pl.col("stamp"))
    )
    return known.with_columns(stamp.alias("stamp")).select(text.alias("description")).to_series()


def _strange(draws: Draws, period: Calendar) -> pl.DataFrame:
    """Money from the processor that belongs to no payout of these files."""
    k = np.arange(_STRANGE_DEPOSITS, dtype=np.int64) + _STRANGE_FROM
    days = (
        period.start_day + 1 + draws.below("strange day", k, period.end_day - period.start_day - 1)
    )
    return _lines(
        k * 0 + US, days, draws.codes("payout", k, "STRIPE TRANSFER po_1"),
        draws.between("strange", k, 8_000, 250_000),
    )  # fmt: skip


def _everyday(draws: Draws, period: Calendar) -> pl.DataFrame:
    """Rent, salaries, suppliers, taxes, other ways of being paid."""
    days = np.arange(period.start_day, period.end_day, dtype=np.int64)
    dates = [EPOCH + timedelta(days=int(d)) for d in days]
    weekday, of_month = (days + 3) % 7, np.array([d.day for d in dates])
    month = np.array([d.month for d in dates])
    plans = [
        (US, of_month == 1, "ACH DEBIT HARBOR PROPERTIES RENT", -420_000, -420_000),
        (US, of_month == 25, "PAYROLL 25 EMPLOYEES", -1_980_000, -1_870_000),
        (US, of_month == 28, "ACCOUNT MAINTENANCE FEE", -2_500, -2_500),
        (US, weekday == 1, "WIRE OUT TIDEWATER SUPPLY CO", -310_000, -90_000),
        (US, weekday == 3, "PAYPAL TRANSFER", 30_000, 160_000),
        (US, weekday == 4, "CARD PURCHASE PACKAGING DEPOT", -40_000, -6_000),
        (US, of_month == 15, "COURIER COD REMITTANCE", 20_000, 90_000),
        (US, (of_month == 20) & (month % 3 == 1), "SALES TAX PAYMENT", -900_000, -500_000),
        (EU, of_month == 3, "MIETE LAGER HAMBURG", -185_000, -185_000),
        (EU, weekday == 2, "SEPA LASTSCHRIFT VERSAND", -60_000, -12_000),
        (EU, of_month == 10, "FINANZAMT UST", -400_000, -150_000),
    ]
    parts = []
    for number, (account, when, text, low, high) in enumerate(plans):
        at = days[when]
        ids = at * 100 + number
        label = pl.Series([text] * len(at), dtype=pl.String)
        amount = draws.between("everyday", ids, 0, high - low) + low
        parts.append(_lines(np.full(len(at), account), at, label, amount))
    return pl.concat(parts)


def _lines(account: Ints, day: Ints, description: pl.Series, amount: Ints) -> pl.DataFrame:
    frame = pl.DataFrame({"account": account, "day": day, "amount": amount})
    return frame.select(
        pl.col("account").cast(pl.Int8), "day", description.alias("description"), "amount"
    )
