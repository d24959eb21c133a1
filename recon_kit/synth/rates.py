"""True rates of the twin, by the cohorts in which indicators count."""

from __future__ import annotations

import polars as pl

from recon_kit.synth import orders as book_of
from recon_kit.synth import tables
from recon_kit.synth.adverts import VALUE_BLANK, VALUE_WHOLE, expected_conversions
from recon_kit.synth.payments import CHARGE, DAY, DOUBLE, REDELIVERED
from recon_kit.synth.world import World, told_movements

ADS_TOLERANCE_BP = 50  # of the order, or one minor unit
TOLERANCE = 2  # minor units that may differ without being a discrepancy
# Days after which each reconciliation's left events ought to be settled.
SETTLING_DAYS = {
    "orders_to_payments": 14, "payments_to_payouts": 7, "payouts_to_bank": 7,
    "orders_to_conversions": 7,
}  # fmt: skip
_RATES = ("has_counterpart", "agrees")


def expected(world: World) -> pl.DataFrame:
    """True rates by cohort: of the left events, how many have a counterpart, how many agree."""
    moves, payouts = world.paid.moves, world.paid.payouts
    banked = world.bank.deposits["payout"]
    cohorts = {
        "orders_to_payments": _order_cohorts(world),
        "payments_to_payouts": _plain(moves, pl.col("created") // DAY, pl.col("payout") >= 0),
        "payouts_to_bank": _plain(payouts, pl.col("day"), pl.col("payout").is_in(banked.implode())),
        "orders_to_conversions": _conversion_cohorts(world),
    }
    parts = [_rates(world, name, rows) for name, rows in cohorts.items()]
    return pl.concat(parts).sort("reconciliation", "cohort", "name", "currency")


def _plain(
    rows: pl.DataFrame, day: pl.Expr, there: pl.Expr, agrees: pl.Expr | None = None
) -> pl.DataFrame:
    """Left events with their day and whether they have a counterpart; no money."""
    return rows.select(
        day.cast(pl.Int64).alias("day"), pl.lit(None, pl.String).alias("money"),
        pl.lit(0, pl.Int64).alias("total"), pl.lit(0, pl.Int64).alias("covered"),
        there.alias("has_counterpart"), (there if agrees is None else agrees).alias("agrees"),
    )  # fmt: skip


def _conversion_cohorts(world: World) -> pl.DataFrame:
    """Orders that an ad brought, and whether their conversion contradicts their total.

    A conversion without a value leaves no money open, so it agrees.
    """
    unit = pl.Series("unit", 10 ** tables.EXPONENTS[world.conversions["currency"].to_numpy()])
    told = world.conversions.with_columns(unit).select(
        "i",
        pl.when(pl.col("value") == VALUE_WHOLE)
        .then(pl.col("amount") // pl.col("unit") * pl.col("unit"))
        .otherwise("amount")
        .alias("told"),
        (pl.col("value") == VALUE_BLANK).alias("blank"),
        pl.lit(value=True).alias("converted"),
    )
    rows = expected_conversions(world.book).join(told, on="i", how="left", maintain_order="left")
    allowed = pl.max_horizontal(pl.lit(1), pl.col("total") * ADS_TOLERANCE_BP // 10_000)
    near = (pl.col("told") - pl.col("total")).abs() <= allowed
    agrees = (pl.col("blank") | near).fill_null(value=False)
    there = pl.col("converted").fill_null(value=False)
    return _plain(rows, pl.col("day"), there, agrees)


def _order_cohorts(world: World) -> pl.DataFrame:
    """Orders that the demo's settings compare, with what their payments cover."""
    scope = world.book.filter(
        ~pl.col("ghost") & (pl.col("total") > 0)
        & pl.col("method").is_in([tables.STRIPE, tables.GIFT_AND_STRIPE])
        & ~pl.col("state").is_in([book_of.VOIDED, book_of.PENDING])
    )  # fmt: skip
    money = pl.Series(tables.CURRENCIES).gather(scope["currency"].cast(pl.Int64))
    once = told_movements(world).filter(
        (pl.col("kind") == CHARGE) & ~pl.col("slot").is_in([DOUBLE, REDELIVERED])
    )
    sums = once.group_by("i").agg(pl.col("presented").sum().alias("sum"))
    return scope.with_columns(money.alias("money")).join(
        sums, on="i", how="left", maintain_order="left"
    ).select(
        pl.col("day").cast(pl.Int64), "money", "total",
        pl.min_horizontal("total", pl.col("sum").fill_null(0)).alias("covered"),
        pl.col("sum").is_not_null().alias("has_counterpart"),
        ((pl.col("sum") - pl.col("total")).abs() <= TOLERANCE).fill_null(value=False)
        .alias("agrees"),
    )  # fmt: skip


def _rates(world: World, reconciliation: str, rows: pl.DataFrame) -> pl.DataFrame:
    day = pl.from_epoch(pl.col("day").cast(pl.Int32), time_unit="d")
    weekly = rows.with_columns(
        day.dt.strftime("%G-W%V").alias("cohort"),
        (pl.col("day") - (pl.col("day") + 3) % 7 + 6).alias("sunday"),
    )
    last = world.period.end_day - SETTLING_DAYS[reconciliation]
    both = pl.concat([weekly, weekly.with_columns(pl.lit("all").alias("cohort"))])
    counts = [
        both.group_by("cohort").agg(
            pl.lit(name).first().alias("name"), pl.lit(None, pl.String).first().alias("currency"),
            pl.col(name).sum().cast(pl.Int64).alias("numerator"),
            pl.len().cast(pl.Int64).alias("denominator"), pl.col("sunday").max().alias("sunday"),
        )
        for name in _RATES
    ]  # fmt: skip
    sums = both.filter(pl.col("money").is_not_null()).group_by("cohort", "money").agg(
        pl.lit("money_covered").first().alias("name"),
        pl.col("covered").sum().alias("numerator"), pl.col("total").sum().alias("denominator"),
        pl.col("sunday").max().alias("sunday"),
    ).rename({"money": "currency"})  # fmt: skip
    whole = pl.concat([*counts, sums.select(counts[0].columns)])
    return whole.select(
        pl.lit(reconciliation).alias("reconciliation"), "cohort", "name", "currency",
        "numerator", "denominator",
        (pl.col("numerator") / pl.col("denominator")).alias("value"),
        (pl.col("sunday") < last).alias("mature"),
    )  # fmt: skip
