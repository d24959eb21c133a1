"""What the advertising platform was told: a conversion for most orders that an ad brought."""

from __future__ import annotations

import numpy as np
import polars as pl

from recon_kit.synth import orders as book_of
from recon_kit.synth.draws import Draws
from recon_kit.synth.orders import CANCELLED, GOOGLE, PAID, PENDING, Calendar
from recon_kit.synth.payments import NONE

MISSING_PER_MILLION = 30_000
PHANTOMS_PER_HUNDRED = 2
PHANTOMS_FROM = 70_000_000_000
# What of the order the value is: all of it, without tax and shipping, whole units, nothing,
# or with more decimals than the currency has.
VALUES = ("total", "subtotal", "whole", "blank", "long")
VALUE_TOTAL, VALUE_SUBTOTAL, VALUE_WHOLE, VALUE_BLANK, VALUE_LONG = range(5)
KEYS = ("order_id", "click_id", "drift", "phantom")


def expected_conversions(book: pl.DataFrame) -> pl.DataFrame:
    """Orders that an ad brought and that count: not voided, not free, of the period."""
    return book.filter(
        ~pl.col("wholesale") & ~pl.col("ghost") & (pl.col("channel") == GOOGLE)
        & pl.col("state").is_in([PAID, CANCELLED, PENDING])
    )  # fmt: skip


def conversions(draws: Draws, period: Calendar, book: pl.DataFrame) -> pl.DataFrame:
    """Conversions in time order.

    Returns:
        Frame: i (order, or `NONE`), id (its own number), ts, amount (minor units before the
        value's drift), currency, value (index into `VALUES`), named (whether the order id is
        told), click (number that the click id is drawn from), customer, mailed (whether the
        e-mail address is told), key (index into `KEYS`: what can join it to its order).
    """
    rows = expected_conversions(book)
    i = rows["i"].to_numpy()
    rows = rows.filter(pl.Series(~draws.chance("not converted", i, MISSING_PER_MILLION)))
    i = rows["i"].to_numpy()
    value = draws.pick("value", i, (78, 12, 5, 3, 2))
    named = draws.chance("order named", i, 450_000)
    amount = np.where(
        value == VALUE_SUBTOTAL, rows["subtotal"].to_numpy(), rows["total"].to_numpy()
    )
    kept = rows["click"].to_numpy()
    real = pl.DataFrame({
        "i": i, "id": i, "ts": rows["ts"].to_numpy() + draws.below("converted", i, 5_400),
        "amount": amount, "currency": rows["currency"], "value": value, "named": named,
        "click": rows["attr"], "customer": rows["customer"],
        "mailed": draws.chance("mailed", i, 600_000),
        "key": np.select([named, kept], [0, 1], 2),
    })  # fmt: skip
    phantoms = _phantoms(draws, period, rows.height * PHANTOMS_PER_HUNDRED // 100)
    both = pl.concat([real, phantoms.cast(pl.Schema(real.schema))])
    return both.filter(pl.col("ts") < period.end_ts).sort("ts", "id")


def _phantoms(draws: Draws, period: Calendar, count: int) -> pl.DataFrame:
    """Conversions of no order: told twice by another tag, or of an order never placed."""
    i = np.arange(count, dtype=np.int64) + PHANTOMS_FROM
    customer = draws.below("customer", i, max(count * 20, 60))
    own = book_of.contents(draws, i, customer, np.zeros(count, dtype=np.bool_))
    return pl.DataFrame({
        "i": np.full(count, NONE), "id": i,
        "ts": period.start_ts + draws.below("when", i, period.end_ts - period.start_ts),
        "amount": own["total"], "currency": own["currency"], "value": np.zeros(count, np.int64),
        "named": np.zeros(count, np.bool_), "click": i, "customer": customer,
        "mailed": draws.chance("mailed", i, 600_000), "key": np.full(count, 3),
    })  # fmt: skip
