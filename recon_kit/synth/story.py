"""The true world of a seed: orders, then money, then payouts, the bank and the ads."""

from __future__ import annotations

from datetime import date

import polars as pl

from recon_kit.synth.adverts import conversions
from recon_kit.synth.banking import bank
from recon_kit.synth.draws import Draws
from recon_kit.synth.orders import CANCELLED, order_book
from recon_kit.synth.payments import NO_ORDER_FROM, REFUND, movements
from recon_kit.synth.payouts import pay_out
from recon_kit.synth.tables import LISTED, Prices
from recon_kit.synth.world import World

UNKNOWN_REFUNDS_PER_MILLION = 50_000  # made in the processor's dashboard, unknown to the shop


def tell_story(*, orders: int, seed: int, start: date, days: int, prices: Prices = LISTED) -> World:
    """Let everything happen; nothing is written."""
    draws = Draws(seed)
    period, book = order_book(draws, orders, start, days)
    moves = movements(draws, period, book, prices)
    paid = pay_out(draws, period, moves)
    refunds = moves.filter(
        (pl.col("kind") == REFUND) & (pl.col("i") >= 0) & (pl.col("i") < NO_ORDER_FROM)
    )
    known = ~pl.Series(
        draws.chance("unknown refund", refunds["uid"].to_numpy(), UNKNOWN_REFUNDS_PER_MILLION)
    )
    # a cancellation is made in the shop, so the shop knows its refund
    cancelled = book.filter(pl.col("state") == CANCELLED).select(
        "i", pl.lit(value=True).alias("made")
    )
    made = refunds.join(cancelled, on="i", how="left", maintain_order="left")["made"]
    refunds = refunds.filter(known | made.fill_null(value=False))
    return World(
        draws=draws, period=period, book=book, moves=moves, paid=paid,
        bank=bank(draws, period, paid.payouts),
        conversions=conversions(draws, period, book),
        refunds=refunds.select("uid", "i", "created", "presented"),
    )  # fmt: skip
