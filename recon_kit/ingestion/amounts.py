"""Types, currencies and signed money of a declared table.

What the file prints becomes the merchant's view: money that comes in is positive, money that
goes out negative, a fee that costs is positive, a payout sent to the bank is positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit import model, money
from recon_kit.settings import Column, Layout

MONEY: tuple[str, ...] = ("amount", "fee", "net", "refunded_amount", "presentment_amount")
OUT: tuple[str, ...] = (*MONEY, "currency", "presentment_currency", "event_type")
SIGN_PROBLEMS: dict[str, str] = {
    "sign_ambiguous": "debit and credit cannot both be read as one amount",
    "direction_unknown": "the direction is blank or in no direction_map",
}
FLIPPED = "payouts told as negative from the balance's view, now positive"
# Directions as banks write them, where the layout maps none.
DIRECTIONS: dict[str, int] = {
    "c": 1, "cr": 1, "credit": 1, "crdt": 1, "in": 1, "+": 1,
    "d": -1, "dr": -1, "debit": -1, "dbit": -1, "out": -1, "-": -1,
}  # fmt: skip
_OUTGOING = ("refund", "chargeback", "fee")


def first_problem(rows: pl.DataFrame, checks: Sequence[tuple[pl.Expr, str]]) -> pl.DataFrame:
    """Keep each row's first code and the field it is about."""
    if not checks:
        return rows
    code = pl.coalesce("code", *(c for c, _ in checks))
    about = [pl.when(c.is_not_null()).then(pl.lit(name)) for c, name in checks]
    column = pl.when(pl.col("code").is_not_null()).then("column").otherwise(pl.coalesce(about))
    return rows.with_columns(code=code, column=column)


def read_types(rows: pl.DataFrame, event_type: str | Column) -> pl.DataFrame:
    """Column `event_type` as a canonical type, or the code `event_type_unknown`."""
    if isinstance(event_type, str):
        return rows.with_columns(pl.lit(event_type).alias("event_type"))
    kind = pl.col("event_type").str.to_lowercase().str.replace_all(r"[\s\-]+", "_")
    known = kind.is_in(list(model.EVENT_TYPES)).fill_null(value=False)
    code = pl.when(~known).then(pl.lit("event_type_unknown"))
    rows = first_problem(rows, [(code, "event_type")])
    return rows.with_columns(pl.when(known).then(kind).alias("event_type"))


def read_money(rows: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, int]:
    """Columns of `MONEY` in minor units with the declared sign, and how many were rounded."""
    rows = _with_currencies(rows)
    names = [m for m in (*MONEY, "debit", "credit") if m in rows.columns]
    rounds = layout.round_excess or _only_conversions(rows)
    rows = rows.with_columns(
        money.parse_amounts(
            pl.col(name),
            pl.col("presentment_currency" if name.startswith("presentment") else "currency"),
            decimal=layout.decimal,
            thousands=layout.thousands,
            unit=layout.unit,
            round_excess=rounds,
        ).alias(name)
        for name in names
    )
    checks = [(pl.col(n).struct["code"], n) for n in names]
    rounded = rows.select(
        pl.any_horizontal(pl.lit(value=False), *(pl.col(n).struct["rounded"] for n in names)).sum()
    )
    rows = first_problem(rows, checks).with_columns(
        pl.col(n).struct["minor"].alias(n) for n in names
    )
    if layout.fee_sign == "negative" and "fee" in names:
        rows = rows.with_columns(fee=-pl.col("fee"))
    absent = [m for m in MONEY if m not in names]
    rows = rows.with_columns(pl.lit(None, dtype=pl.Int64).alias(m) for m in absent)
    if layout.sign == "signed" and {"amount", "net"} <= set(names):
        # A row that tells its net alone moved that much, before the fee that it tells.
        gross = pl.col("net") + pl.col("fee").fill_null(0)
        rows = rows.with_columns(amount=pl.coalesce("amount", gross))
    return _signed(rows, layout), int(rounded.item())


def with_net(rows: pl.DataFrame) -> pl.DataFrame:
    """A net that the file does not tell follows from amount and fee, where both are known.

    What a payout sends to the bank is its net: the fee beside it was taken before.
    """
    known = pl.col("amount").is_not_null() & pl.col("fee").is_not_null()
    sent = pl.col("event_type") == "payout"
    less = pl.when(sent).then("amount").otherwise(pl.col("amount") - pl.col("fee"))
    net = pl.when(known).then(less)
    return rows.with_columns(net=pl.coalesce("net", net))


def _only_conversions(rows: pl.DataFrame) -> bool:
    kinds = rows["event_type"].drop_nulls().unique().to_list()
    return kinds == ["conversion"]


def _with_currencies(rows: pl.DataFrame) -> pl.DataFrame:
    for name in ("currency", "presentment_currency"):
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name))
        rows = rows.with_columns(pl.col(name).str.to_uppercase())
    return rows


def _signed(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    rows = _as_declared(rows, layout).with_columns(flipped=pl.lit(value=False))
    if layout.sign == "negated" or not isinstance(layout.event_type, Column):
        return rows
    # A payout among payments is told from the balance's view: money leaves it for the bank.
    amount, net = pl.col("amount"), pl.col("net")
    out = ((pl.col("event_type") == "payout") & (amount < 0)).fill_null(value=False)
    return rows.with_columns(
        flipped=out,
        amount=pl.when(out).then(-amount).otherwise(amount),
        net=pl.when(out).then(-net).otherwise(net),
    )


def _as_declared(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    amount, net, kind = pl.col("amount"), pl.col("net"), pl.col("event_type")
    if layout.sign == "negated":
        return rows.with_columns(amount=-amount, net=-net)
    if layout.sign == "debit_credit":
        return _from_pair(rows)
    if layout.sign == "indicator":
        words = {k.lower(): v for k, v in layout.direction_map.items()} or DIRECTIONS
        way = pl.col("direction").str.to_lowercase()
        sign = way.replace_strict(words, default=None, return_dtype=pl.Int64)
        code = pl.when(amount.is_not_null() & sign.is_null()).then(pl.lit("direction_unknown"))
        rows = first_problem(rows, [(code, "direction")])
        return rows.with_columns(amount=amount.abs() * sign)
    if layout.sign == "by_type":
        out = kind.is_in(_OUTGOING)
        return rows.with_columns(
            amount=pl.when(out).then(-amount.abs()).otherwise(amount),
            net=pl.when(out).then(-net.abs()).otherwise(net),
        )
    return rows


def _from_pair(rows: pl.DataFrame) -> pl.DataFrame:
    """One amount of a debit and a credit column.

    Some banks print debits with their minus. Where all debits of the file's block are negative,
    the minus is decoration; where both signs occur, a negative debit may be a reversal, and it is
    not guessed.
    """
    debit, credit = pl.col("debit"), pl.col("credit")
    mixed = bool(rows.select((debit > 0).any() & (debit < 0).any()).item())
    both = (debit.fill_null(0) != 0) & (credit.fill_null(0) != 0)
    unclear = both | ((debit < 0) & pl.lit(mixed))
    code = pl.when(unclear.fill_null(value=False)).then(pl.lit("sign_ambiguous"))
    rows = first_problem(rows, [(code, "debit")])
    told = debit.is_not_null() | credit.is_not_null()
    amount = credit.fill_null(0) - debit.abs().fill_null(0)
    return rows.with_columns(amount=pl.when(told).then(amount))
