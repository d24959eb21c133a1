"""Payouts of Stripe that only their members tell, and payout rows printed with another sign."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from recon_kit import model, money
from recon_kit.ingestion.feed import ROW, told_frame

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def signed(positive: pl.DataFrame, members: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Payout rows that were printed positive, with the sign that they have here.

    Stripe prints money sent to the bank as negative. A positive payout is a debit, unless the
    rows that it settles add up to a positive sum: then the file itself was flipped.

    Args:
        positive: payout events (`model.TOLD`) whose amounts were flipped like any other payout's.
        members: sums by payout, as `by_payout` gives them.

    Returns:
        The events with their sign, and how many of them are kept as printed.
    """
    sums = members.select("payout_id", "currency", pl.col("net").alias("members_net"))
    rows = positive.join(
        sums, on=["payout_id", "currency"], how="left", maintain_order="left"
    ).with_columns((pl.col("members_net").fill_null(0) > 0).alias("as_printed"))
    flip = pl.when(pl.col("as_printed")).then(-1).otherwise(1)
    events = rows.with_columns(pl.col("amount") * flip, pl.col("net") * flip)
    return events.select(*model.TOLD), int(rows["as_printed"].sum())


def payout_key(payout_id: pl.Expr) -> pl.Expr:
    """The movement that a payout row and a derived payout both tell."""
    return (pl.lit("stripe:payout:") + payout_id + ":" + pl.col("currency")).alias("business_key")


def members(rows: pl.DataFrame) -> pl.DataFrame:
    """Sums per payout and currency of one block, quarantined rows included.

    Args:
        rows: every record of the block, with `code` where it is quarantined, and amounts as
            integers where they could be read.

    Returns:
        payout_id, currency, net (sum, Int128), rows, told (a payout row stands in the file),
        unknown (the net of some row is not known, so neither is the sum), and the payout's time.
    """
    own = pl.col("category") == "payout"
    payout_id = pl.coalesce("payout_id", pl.when(own).then(pl.col("source_id")))
    readable = pl.col("code").is_null()
    return by_payout(
        rows.filter(payout_id.is_not_null()).select(
            payout_id.alias("payout_id"),
            "currency",
            pl.when(~own).then(pl.col("net")).cast(pl.Int128).alias("net"),
            (~own).cast(pl.Int64).alias("rows"),
            (own & readable).fill_null(value=False).alias("told"),
            (~own.fill_null(value=False) & pl.col("net").is_null()).alias("unknown"),
            pl.col("effective").struct["ts"].alias("ts"),
            pl.col("effective").struct["precision"].alias("precision"),
            pl.col("effective").struct["tz_source"].alias("tz_source"),
            pl.col("effective_text").alias("raw_ts"),
            pl.col(ROW),
        )
    )


def told_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """What finds rows of a block that the file tells again, for `less_repeats`.

    Args:
        rows: as `members`.

    Returns:
        one, two (hashes of the row's own id, 128 bits together), payout (hash of payout and
        currency), net: a row per member that has an id, in file order.
    """
    member = (pl.col("category") != "payout").fill_null(value=True)
    return rows.filter(
        member & pl.col("payout_id").is_not_null() & pl.col("id").is_not_null()
    ).select(
        pl.col("id").hash(1).alias("one"),
        pl.col("id").hash(2).alias("two"),
        _sum_of().alias("payout"),
        "net",
    )


def less_repeats(sums: pl.DataFrame, ids: pl.DataFrame) -> pl.DataFrame:
    """Sums of payouts in which a row that the file tells several times counts once, as last told.

    A row that is told twice is one event; counted twice it would make money of nothing.

    Args:
        sums: as `by_payout`.
        ids: as `told_ids`, of the whole file.
    """
    twice = ids.filter(pl.col("one").is_duplicated())
    known = pl.struct("one", "two")
    again = twice.filter(known.is_duplicated() & ~known.is_last_distinct())
    if again.is_empty():
        return sums
    surplus = again.group_by("payout").agg(
        pl.col("net").cast(pl.Int128).sum().alias("again_net"),
        pl.len().cast(pl.Int64).alias("again_rows"),
    )
    return (
        sums.with_columns(_sum_of().alias("payout"))
        .join(surplus, on="payout", how="left", maintain_order="left")
        .with_columns(
            pl.col("net") - pl.col("again_net").fill_null(0),
            pl.col("rows") - pl.col("again_rows").fill_null(0),
        )
        .select(sums.columns)
    )


def _sum_of() -> pl.Expr:
    """Hash of the payout and currency to whose sum a row belongs."""
    return pl.concat_str("payout_id", pl.col("currency").fill_null(""), separator="\x1f").hash(3)


def by_payout(blocks: pl.DataFrame) -> pl.DataFrame:
    """The rows of `members`, of several blocks, added up to one row per payout and currency."""
    first = [
        pl.col(c).sort_by("ts", ROW, nulls_last=True).first()
        for c in ("ts", "precision", "tz_source", "raw_ts")
    ]
    sums = [pl.col("net").sum(), pl.col("rows").sum()]
    marks = [pl.col("told").any(), pl.col("unknown").any()]
    return (
        blocks.group_by("payout_id", "currency")
        .agg(*sums, *marks, *first, pl.col(ROW).min())
        .sort("payout_id", "currency", nulls_last=True)
    )


def derived(untold: pl.DataFrame) -> pl.DataFrame:
    """Payout events made of their members' nets; without an amount where a net is not known."""
    # A row whose currency cannot be read could belong to any sum of its payout.
    untold = untold.with_columns(pl.col("unknown").any().over("payout_id")).filter(
        pl.col("currency").is_in(list(money.currency_exponents()))
    )
    known = pl.when(~pl.col("unknown")).then(pl.col("net")).cast(pl.Int64, strict=False)
    said = pl.when("unknown").then(pl.lit("derived: some net is unknown among "))
    return told_frame(
        untold.filter(pl.col("unknown") | known.is_not_null()).select(
            (pl.lit("payout:") + pl.col("payout_id") + ":" + pl.col("currency")).alias("event_id"),
            pl.lit("payout").alias("event_type"),
            pl.col("payout_id").alias("native_id"),
            payout_key(pl.col("payout_id")),
            pl.col("payout_id"),
            known.alias("amount"),
            known.alias("net"),
            pl.when(known.is_not_null()).then(0).alias("fee"),
            pl.col("currency"),
            pl.lit("derived").alias("status"),
            pl.concat_str(
                said.otherwise(pl.lit("derived: nets of ")), pl.col("rows"), pl.lit(" rows")
            ).alias("description"),
            pl.col("ts").alias("event_ts"),
            pl.col("raw_ts"),
            pl.col("tz_source"),
            pl.col("precision").fill_null("unknown").alias("ts_precision"),
            pl.lit(value=False).alias("derived_id"),
            # Of two tellings of one payout the newer one is read: a told row is always newer.
            pl.lit(_LONG_AGO).alias("told_at"),
            pl.col(ROW),
            pl.lit(0, dtype=pl.Int64).alias("records"),
        )
    )  # fmt: skip
