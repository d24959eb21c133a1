"""Rates at every threshold at once: counts, weighted shares with intervals, and by segment.

A grid of thresholds rises from lax to strict. Everything is one pass: where a score lies on the
grid, heaps by place, and sums from the strict end.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit import money, stats
from recon_kit.tuning import outcomes

Floats = NDArray[np.float64]
_BANDS = 12  # powers of ten of an amount in major units that are told apart
SEGMENT_SCHEMA: dict[str, pl.DataType] = {
    "by": pl.String(), "segment": pl.String(), "currency": pl.String(),
    "threshold": pl.Float64(), "matches": pl.Int64(), "auto_share": pl.Float64(),
    "auto_minor": pl.Int64(), "labels": pl.Int64(), "wrong": pl.Int64(),
    "fmr": pl.Float64(), "fmr_high": pl.Float64(),
}  # fmt: skip


def tails(at: Floats, weight: Floats, grid: Floats) -> Floats:
    """Per point of a rising grid the weight of what lies at or above it, in one pass."""
    place = np.searchsorted(grid, at, side="right")
    heaps = np.bincount(place, weights=weight, minlength=grid.size + 1)
    return np.asarray(heaps[::-1].cumsum()[::-1][1:], dtype=np.float64)


def estimates(judged: pl.DataFrame, grid: Floats) -> dict[str, Floats]:
    """Labels, wrong ones, and rates by count and by money with 95 % intervals."""
    at, wrong, weight, amount = arrays(judged)
    count = _ratio(at, wrong, weight, grid)
    by_money = _ratio(at, wrong, weight * amount, grid)
    return {
        "labels": tails(at, np.ones(at.size), grid), "wrong": tails(wrong, np.ones(at.size), grid),
        "fmr": count[0], "fmr_low": count[1], "fmr_high": count[2], "fmr_money": by_money[0],
        "fmr_money_low": by_money[1], "fmr_money_high": by_money[2],
    }  # fmt: skip


def arrays(judged: pl.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """Matched at, wrong at (below any threshold where nothing is), weight, amount."""
    return (
        judged["matched_at"].to_numpy(),
        judged["wrong_at"].fill_null(-1.0).to_numpy(),
        (1 / judged["inclusion_probability"].fill_null(1.0)).to_numpy(),
        judged["amount_minor"].fill_null(0).abs().cast(pl.Float64).to_numpy(),
    )


def _ratio(at: Floats, wrong: Floats, weight: Floats, grid: Floats) -> tuple[Floats, ...]:
    """Weighted share of wrong ones with its interval at Kish's effective number (`stats.hajek`)."""
    total, bad = tails(at, weight, grid), tails(wrong, weight, grid)
    squares = tails(at, weight * weight, grid)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, np.minimum(bad / total, 1.0), np.nan)
        effective = np.where(squares > 0, total * total / squares, 0.0)
    low = [stats.clopper_pearson_lower(s * n, n, 0.025) if n else np.nan
           for s, n in zip(share, effective, strict=True)]  # fmt: skip
    high = [stats.clopper_pearson_upper(s * n, n, 0.025) if n else np.nan
            for s, n in zip(share, effective, strict=True)]  # fmt: skip
    return share, np.asarray(low), np.asarray(high)


def cube_of(pairs: pl.DataFrame, grid: Floats) -> pl.DataFrame:
    """Matches counted once by what they are and between which thresholds they lie."""
    place = np.searchsorted(grid, pairs["confidence"].to_numpy(), side="right")
    return (
        pairs.lazy()
        .select("left_source", "right_source", "currency", band_expr(), "amount_minor")
        .with_columns(place=pl.Series(place))
        .group_by("left_source", "right_source", "currency", "band", "place")
        .agg(n=pl.len().cast(pl.Int64), minor=pl.col("amount_minor").abs().sum())
        .collect()
    )


def band_expr() -> pl.Expr:
    """The power of ten in which an amount lies, in major units, as `band` (0 is under 10)."""
    units = {code: 10**digits for code, digits in money.currency_exponents().items()}
    unit = pl.col("currency").replace_strict(units, default=100, return_dtype=pl.Int64)
    major = pl.col("amount_minor").abs() // unit
    steps = [(major >= 10**k).cast(pl.Int8) for k in range(1, _BANDS)]
    return pl.when(major.is_not_null()).then(pl.sum_horizontal(steps)).alias("band")


def band_name(band: int | None) -> str:
    """`under 10`, `10 to 99`, `100 to 999`."""
    if band is None:
        return "no amount"
    return "under 10" if band == 0 else f"{10**band} to {10 ** (band + 1) - 1}"


def segments(cube: pl.DataFrame, judged: pl.DataFrame, grid: Floats) -> pl.DataFrame:
    """The sweep of each source pair, currency and band of amounts, money in its own currency."""
    by = {
        "sources": pl.concat_str("left_source", "right_source", separator=" - "),
        "currency": pl.col("currency"),
        "amount": pl.concat_str(pl.col("currency"), pl.col("band").cast(pl.String), separator=" "),
    }
    labelled = judged.with_columns(band_expr())
    parts = [
        _segment(name, cube.with_columns(segment=key), labelled.with_columns(segment=key), grid)
        for name, key in by.items()
    ]
    return pl.concat(parts).sort("by", "segment", "currency", "threshold")


def _segment(name: str, cube: pl.DataFrame, judged: pl.DataFrame, grid: Floats) -> pl.DataFrame:
    tables = []
    for (segment, currency), rows in cube.drop_nulls("segment").group_by("segment", "currency"):
        mine = judged.filter(
            (pl.col("segment") == segment) & pl.col("currency").eq_missing(pl.lit(currency))
        )
        at, wrong, weight, _ = arrays(mine)
        share, _, high = _ratio(at, wrong, weight, grid)
        counts = from_places(rows, "n", grid)
        shown = str(segment)
        if name == "amount":
            shown = f"{currency} {band_name(rows['band'][0])}"
        tables.append(pl.DataFrame({
            "by": [name] * grid.size, "segment": [shown] * grid.size,
            "currency": [currency] * grid.size, "threshold": grid, "matches": counts,
            "auto_share": counts / max(int(rows["n"].sum()), 1),
            "auto_minor": from_places(rows, "minor", grid),
            "labels": tails(at, np.ones(at.size), grid).astype(np.int64),
            "wrong": tails(wrong, np.ones(at.size), grid).astype(np.int64),
            "fmr": share, "fmr_high": high,
        }, nan_to_null=True).cast(dict(SEGMENT_SCHEMA)))  # type: ignore[arg-type]  # fmt: skip
    return pl.concat(tables) if tables else pl.DataFrame(schema=SEGMENT_SCHEMA)


def from_places(rows: pl.DataFrame, column: str, grid: Floats) -> NDArray[np.int64]:
    """Whole sums at every threshold from rows that say between which thresholds they lie."""
    heaps = np.zeros(grid.size + 1, dtype=np.int64)
    np.add.at(heaps, rows["place"].to_numpy(), rows[column].fill_null(0).to_numpy())
    return np.asarray(heaps[::-1].cumsum()[::-1][1:], dtype=np.int64)


def by_method(found: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """What each method matches now, by currency, beside its estimated rate."""
    made = found.filter(~pl.col("proposed").fill_null(False) & ~pl.col("held").fill_null(False))
    rows = []
    for (method, currency), pairs in made.group_by("method", "currency"):
        everything = outcomes.matchable(pairs, str(method), 0.0)
        judged = outcomes.units(everything, labels)
        at, wrong, weight, _ = arrays(judged)
        share, _, high = (float(x[0]) for x in _ratio(at, wrong, weight, np.zeros(1)))
        frame = outcomes.frame_of(everything)
        rows.append({
            "by": "method", "segment": method, "currency": currency, "threshold": None,
            "matches": frame.height, "auto_share": None,
            "auto_minor": int(frame["amount_minor"].abs().sum()), "labels": judged.height,
            "wrong": judged["wrong_at"].count(), "fmr": None if np.isnan(share) else share,
            "fmr_high": None if np.isnan(high) else high,
        })  # fmt: skip
    return pl.DataFrame(rows, schema=SEGMENT_SCHEMA, orient="row").sort("segment", "currency")
