"""Everything that happened in the invented world, before files tell it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.synth.banking import Bank
from recon_kit.synth.draws import Draws
from recon_kit.synth.orders import Calendar
from recon_kit.synth.payments import NO_ORDER_FROM
from recon_kit.synth.payouts import Payouts


@dataclass(frozen=True, slots=True)
class World:
    """Everything that happened, before it is told by files."""

    draws: Draws
    period: Calendar
    book: pl.DataFrame
    moves: pl.DataFrame  # all movements of orders
    paid: Payouts  # what the processor's files tell
    bank: Bank
    conversions: pl.DataFrame
    refunds: pl.DataFrame  # refunds that the shop knows of


def told_movements(world: World) -> pl.DataFrame:
    """Movements that the files tell and that belong to an order that the files tell."""
    return world.paid.moves.filter(
        (pl.col("i") >= 0) & (pl.col("i") < NO_ORDER_FROM)
    ).join(world.book.select("i", "class"), on="i", how="left", maintain_order="left")  # fmt: skip
