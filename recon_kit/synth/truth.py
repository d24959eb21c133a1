"""What is true about the twin: links between native ids, labels of what went wrong, true rates.

Tables (parquet, in `truth/`):
    links/<reconciliation>: reconciliation, left_source, left_native_id, right_source,
        right_native_id, kind (how the pair can be known), relation.
    labels: source, native_id, label, main (true for the one label that names an event's class).
    expected: reconciliation, cohort (ISO week, or `all`), name, currency (null for counts),
        numerator, denominator, value, mature.
    places: file, sha256, row, native_id of events whose rows have no id of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from recon_kit.synth import orders as book_of
from recon_kit.synth import payments as moves_of
from recon_kit.synth import tables
from recon_kit.synth.adverts import KEYS, VALUES
from recon_kit.synth.banking import ARRIVALS
from recon_kit.synth.orders import CLASSES, WHOLESALE_FROM
from recon_kit.synth.other_files import conversion_ids
from recon_kit.synth.payments import (
    CHARGE,
    DAY,
    DISPUTE,
    DOUBLE,
    NO_ORDER_FROM,
    NONE,
    REDELIVERED,
    REFUND,
)
from recon_kit.synth.payouts import PAYOUTS_FROM
from recon_kit.synth.rates import SETTLING_DAYS, expected
from recon_kit.synth.stripe_files import payout_ids, restated, transaction_ids
from recon_kit.synth.tables import ACCOUNTS, US
from recon_kit.synth.world import World, told_movements

LINK_COLUMNS: tuple[str, ...] = (
    "reconciliation", "left_source", "left_native_id", "right_source", "right_native_id", "kind",
    "relation",
)  # fmt: skip


def write_truth(world: World, places: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the tables below `folder`/truth; returns the number of rows of each."""
    target = folder / "truth"
    (target / "links").mkdir(parents=True, exist_ok=True)
    links = {
        "orders_to_payments": _payments(world), "payments_to_payouts": _payouts(world),
        "payouts_to_bank": _deposits(world), "orders_to_conversions": _conversions(world),
    }  # fmt: skip
    rows: dict[str, int] = {}
    for name, frame in links.items():
        whole = frame.select(pl.lit(name).alias("reconciliation"), *LINK_COLUMNS[1:])
        whole.write_parquet(target / "links" / f"{name}.parquet")
        rows[f"links/{name}"] = whole.height
    for name, frame in {
        "labels": labels(world), "expected": expected(world), "places": places,
    }.items():  # fmt: skip
        frame.write_parquet(target / f"{name}.parquet")
        rows[name] = frame.height
    return rows


def order_names(world: World, i: pl.Series) -> pl.DataFrame:
    """Columns `source` and `native_id` of orders by number."""
    number = i.to_numpy()
    wholesale = pl.Series(number >= WHOLESALE_FROM)
    names = book_of.wholesale_names(np.where(number >= WHOLESALE_FROM, number, WHOLESALE_FROM))
    shop = book_of.names_of(world.period, number)
    return pl.DataFrame({"w": wholesale, "a": names, "b": shop}).select(
        pl.when("w").then(pl.lit("wholesale")).otherwise(pl.lit("shop")).alias("source"),
        pl.when("w").then("a").otherwise("b").alias("native_id"),
    )


def _payments(world: World) -> pl.DataFrame:
    told = told_movements(world)
    names = order_names(world, told["i"]).rename(
        {"source": "left_source", "native_id": "left_native_id"}
    )
    slot, kind = pl.col("slot"), pl.col("kind")
    again = slot.is_in([DOUBLE, REDELIVERED])
    return told.select(
        names["left_source"], names["left_native_id"],
        _account(told), _transactions(world, told).alias("right_native_id"),
        pl.when(slot == REDELIVERED).then(pl.lit("redelivered"))
        .when(slot == DOUBLE).then(pl.lit("double_charge"))
        .when(kind == REFUND).then(pl.lit("refund"))
        .when(kind >= DISPUTE).then(pl.lit("chargeback"))
        .otherwise(_class_name(pl.col("class"))).alias("kind"),
        pl.when(again).then(pl.lit("duplicate_of"))
        .when(kind == REFUND).then(pl.lit("refunds"))
        .when(kind >= DISPUTE).then(pl.lit("charges_back"))
        .otherwise(pl.lit("pays")).alias("relation"),
    )  # fmt: skip


def _payouts(world: World) -> pl.DataFrame:
    members = world.paid.moves.filter(pl.col("payout") >= 0)
    return members.select(
        _account(members).alias("left_source"),
        _transactions(world, members).alias("left_native_id"),
        _account(members),
        _payout_names(world, members).alias("right_native_id"),
        pl.when("instant").then(pl.lit("instant")).otherwise(pl.lit("payout_id")).alias("kind"),
        pl.lit("member_of").alias("relation"),
    )


def _deposits(world: World) -> pl.DataFrame:
    rows = world.bank.deposits.join(
        world.paid.payouts.select("payout", "account"), on="payout", maintain_order="left"
    )
    return rows.select(
        _account(rows).alias("left_source"), _payout_names(world, rows).alias("left_native_id"),
        pl.lit("bank").alias("right_source"), pl.col("reference").alias("right_native_id"),
        pl.col("arrival").replace_strict(
            list(range(len(ARRIVALS))), list(ARRIVALS), return_dtype=pl.String
        ).alias("kind"),
        pl.lit("deposits").alias("relation"),
    )  # fmt: skip


def _conversions(world: World) -> pl.DataFrame:
    rows = world.conversions.filter(pl.col("i") != NONE)
    return rows.select(
        *order_names(world, rows["i"]).rename(
            {"source": "left_source", "native_id": "left_native_id"}
        ).get_columns(),
        pl.lit("ads").alias("right_source"),
        conversion_ids(rows["id"]).alias("right_native_id"),
        pl.Series(KEYS).gather(rows["key"]).alias("kind"),
        pl.lit("conversion_of").alias("relation"),
    )  # fmt: skip


def labels(world: World) -> pl.DataFrame:
    """Every event's class (`main`) and whatever else is odd about it."""
    parts = [*_order_labels(world), *_move_labels(world), *_other_labels(world)]
    return pl.concat(parts).sort("source", "native_id", "main", "label", descending=[
        False, False, True, False])  # fmt: skip


def _order_labels(world: World) -> list[pl.DataFrame]:
    book = world.book.filter(~pl.col("ghost"))
    told = told_movements(world).filter(pl.col("kind") == CHARGE)
    paid = book["i"].is_in(told["i"].implode())
    method, state = pl.col("method"), pl.col("state")
    first = told.filter(pl.col("slot") == 0).select(
        "i", "created", "amount_drift", "currency", "account"
    )
    rows = book.join(
        first.rename({"currency": "seen", "account": "taken_by"}),
        on="i",
        how="left",
        maintain_order="left",
    ).with_columns(
        paid.alias("paid"),
        *order_names(world, book["i"]).get_columns(),
        pl.Series(
            "twin", world.draws.chance("twin", book["i"].to_numpy() // 2, book_of.TWINS_PER_MILLION)
        ),
    )
    main = (
        pl.when(state == book_of.VOIDED).then(pl.lit("voided"))
        .when(state == book_of.PENDING).then(pl.lit("pending"))
        .when(state == book_of.CANCELLED_UNPAID).then(pl.lit("cancelled_unpaid"))
        .when(state == book_of.ZERO).then(pl.lit("free"))
        .when(method == tables.PAYPAL).then(pl.lit("other_processor"))
        .when(method == tables.GIFT_CARD).then(pl.lit("gift_card"))
        .when(method == tables.BOGUS).then(pl.lit("test_order"))
        .otherwise(_class_name(pl.col("class")))
    )  # fmt: skip
    scoped = ~pl.col("class").is_in([book_of.OUT_OF_SCOPE, book_of.NO_PAYMENT])
    drift = pl.col("amount_drift")
    flags = {
        "not_paid_yet": scoped & ~pl.col("paid"),
        "gift_card_part": pl.col("gift") > 0,
        "cancelled": state == book_of.CANCELLED,
        "twin_order": pl.col("twin") & ~pl.col("wholesale"),
        "late_payment": pl.col("created") - pl.col("ts")
        > SETTLING_DAYS["orders_to_payments"] * DAY,
        "amount_less_fee": drift == moves_of.LESS_FEE,
        "amount_rounded": drift == moves_of.ROUNDED,
        "order_edited": drift == moves_of.EDITED,
        "converted": pl.col("seen").cast(pl.Int64) != pl.col("taken_by").cast(pl.Int64),
        "no_decimals": pl.col("currency") == tables.CURRENCIES.index("JPY"),
        "three_decimals": pl.col("currency") >= tables.CURRENCIES.index("KWD"),
    }
    return [_main(rows, main), *_flags(rows, flags)]


def _move_labels(world: World) -> list[pl.DataFrame]:
    moves = world.paid.moves
    kind, slot, i = pl.col("kind"), pl.col("slot"), pl.col("i")
    rows = moves.with_columns(
        _account(moves).alias("source"),
        _transactions(world, moves).alias("native_id"),
        restated(world.draws, world.period, moves),
    ).join(world.book.select("i", "class"), on="i", how="left", maintain_order="left")
    known = world.refunds.select("uid", pl.lit(value=True).alias("known"))
    rows = rows.join(known, on="uid", how="left", maintain_order="left")
    main = (
        pl.when(kind == moves_of.FEE).then(pl.lit("account_fee"))
        .when(i >= NO_ORDER_FROM).then(pl.lit("no_order"))
        .when(i < 0).then(pl.lit("order_before_files"))
        .when(slot == REDELIVERED).then(pl.lit("redelivered"))
        .when(slot == DOUBLE).then(pl.lit("double_charge"))
        .when(kind == REFUND).then(pl.lit("refund"))
        .when(kind >= DISPUTE).then(pl.lit("chargeback"))
        .otherwise(_class_name(pl.col("class")))
    )  # fmt: skip
    flags = {
        "restated": pl.col("restated"),
        "not_paid_out": (pl.col("payout") < 0) & (slot != REDELIVERED),
        "instant": pl.col("instant"),
        "refund_unknown_to_shop": (kind == REFUND) & (i >= 0) & pl.col("known").is_null(),
        "only_in_text": (pl.col("key") == moves_of.IN_TEXT) & (kind == CHARGE),
    }
    return [_main(rows, main), *_flags(rows, flags)]


def _other_labels(world: World) -> list[pl.DataFrame]:
    payouts = world.paid.payouts.join(
        world.bank.deposits.select("payout", "arrival"),
        on="payout",
        how="left",
        maintain_order="left",
    ).with_columns(
        _account(world.paid.payouts).alias("source"),
        _payout_names(world, world.paid.payouts).alias("native_id"),
    )
    arrival = pl.col("arrival").replace_strict(
        list(range(len(ARRIVALS))), list(ARRIVALS), return_dtype=pl.String
    ).fill_null("not_at_bank")  # fmt: skip
    lines = world.bank.lines.with_columns(
        pl.lit("bank").alias("source"), pl.col("reference").alias("native_id")
    )
    line = (
        pl.when(pl.col("line").is_not_null()).then(pl.lit("payout"))
        .when(pl.col("description").str.starts_with("STRIPE")).then(pl.lit("strange_deposit"))
        .otherwise(pl.lit("everyday"))
    )  # fmt: skip
    ads = world.conversions.with_columns(
        pl.lit("ads").alias("source"), conversion_ids(world.conversions["id"]).alias("native_id"),
        pl.Series(KEYS).gather(world.conversions["key"]).alias("join_key"),
    )  # fmt: skip
    drift = {f"value_{name}": pl.col("value") == k for k, name in enumerate(VALUES) if k}
    return [
        _main(payouts, arrival), *_flags(payouts, {"instant": pl.col("instant")}),
        _main(lines, line), _main(ads, pl.col("join_key")), *_flags(ads, drift),
    ]  # fmt: skip


def _account(rows: pl.DataFrame) -> pl.Series:
    return pl.Series(ACCOUNTS).gather(rows["account"].cast(pl.Int64)).alias("right_source")


def _transactions(world: World, rows: pl.DataFrame) -> pl.Series:
    return transaction_ids(world.draws, rows["uid"].to_numpy())


def _payout_names(world: World, rows: pl.DataFrame) -> pl.Series:
    """Native ids of payouts: of their own row where the report has one, else the payout's id."""
    payout = rows["payout"].to_numpy()
    told = transaction_ids(world.draws, payout + PAYOUTS_FROM)
    return told.zip_with(rows["account"] == US, payout_ids(world.draws, payout))


def _class_name(index: pl.Expr) -> pl.Expr:
    return index.replace_strict(
        list(range(len(CLASSES))), list(CLASSES), default=None, return_dtype=pl.String
    )


def _main(rows: pl.DataFrame, label: pl.Expr) -> pl.DataFrame:
    return rows.select(
        "source", "native_id", label.alias("label"), pl.lit(value=True).alias("main")
    )


def _flags(rows: pl.DataFrame, flags: Mapping[str, pl.Expr]) -> list[pl.DataFrame]:
    return [
        rows.filter(flag.fill_null(value=False)).select(
            "source", "native_id", pl.lit(name).alias("label"), pl.lit(value=False).alias("main")
        )
        for name, flag in flags.items()
    ]
