"""How the processor pays out: which movements make up which payout, and what reaches the bank.

The account in the United States pays out on every working day, the European one on Tuesdays and
Fridays; both two working days after a charge at the earliest. A large day is paid out in several
payouts. A payout is the exact sum of its members' nets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recon_kit.synth.draws import Draws, Ints
from recon_kit.synth.orders import Calendar
from recon_kit.synth.payments import (
    CHARGE,
    DAY,
    FEE,
    IN_METADATA,
    MOVES,
    NO_KEY,
    NONE,
    PAYOUT,
    REDELIVERED,
)
from recon_kit.synth.tables import EU, US

MEMBERS_MAX = 1_000  # of one payout
SETTLING_DAYS = 2  # working days until a charge may be paid out
LATEST_DAYS = 10  # the account in the United States also tells what is not paid out yet
INSTANT_EVERY, INSTANT_AT, INSTANT_MEMBERS = 21, 9, 8
EXTRA = ("payout", "instant", "day")  # columns of a movement once it is paid out
FEES_FROM = 30_000_000_000
PAYOUTS_FROM = 40_000_000_000
# days until the next Tuesday or Friday, from Monday on
_TO_PAYDAY = np.array([1, 0, 2, 1, 0, 3, 2])
_REDELIVERED_AFTER = 4


@dataclass(frozen=True, slots=True)
class Payouts:
    """Movements with their payout, and the payouts.

    `moves` has the columns of `MOVES`, and: payout (-1: none), instant (told without naming its
    payout), day (epoch day by which it is filed). `payouts` has: payout, account, day, created,
    net (minor units), members, instant.
    """

    moves: pl.DataFrame
    payouts: pl.DataFrame


def pay_out(draws: Draws, period: Calendar, moves: pl.DataFrame) -> Payouts:
    """Add account fees, make payouts, and leave only what the files will tell."""
    moves = pl.concat([moves, _account_fees(period, moves)])
    account = moves["account"].to_numpy()
    payday = _paydays(account, moves["created"].to_numpy() // DAY)
    moves = moves.with_columns(pl.Series("day", payday)).filter(pl.col("day") >= period.start_day)
    moves = _grouped(moves.filter(pl.col("day") < period.end_day), moves, period)
    moves = _instant(moves)
    moves = _redelivered(draws, period, moves)
    payouts = (
        moves.filter(pl.col("payout") >= 0)
        .group_by("payout")
        .agg(
            pl.col("account").first(), pl.col("day").first(),
            (pl.col("gross") - pl.col("fee")).sum().alias("net"),
            pl.len().cast(pl.Int64).alias("members"), pl.col("instant").first(),
        )
        .sort("payout")
        .with_columns((pl.col("day") * DAY + 7_200).alias("created"))
    )  # fmt: skip
    told = moves.select(*MOVES, *EXTRA).sort("day", "created", "uid")
    return Payouts(told, payouts)


def payout_rows(payouts: pl.DataFrame) -> pl.DataFrame:
    """Payouts as rows of the processor's report: negative, as money that leaves the balance."""
    values: dict[str, pl.Expr | int] = {
        "uid": pl.col("payout") + PAYOUTS_FROM, "parent": NONE, "i": NONE, "invoice": NONE,
        "kind": PAYOUT, "account": pl.col("account"), "currency": pl.col("account"),
        "created": pl.col("created"), "gross": -pl.col("net"),
    }  # fmt: skip
    return payouts.filter(pl.col("account") == US).select(*_row(values), *EXTRA)


def _row(values: Mapping[str, pl.Expr | int]) -> list[pl.Expr]:
    """Columns of `MOVES` from some of them; the rest is zero."""
    given = {name: values.get(name, 0) for name in MOVES}
    return [
        (v if isinstance(v, pl.Expr) else pl.lit(v)).cast(MOVES[name]).alias(name)
        for name, v in given.items()
    ]


def _paydays(account: Ints, day: Ints) -> Ints:
    """Epoch day on which movements of a day are paid out."""
    ready = np.busday_offset(day.astype("datetime64[D]"), SETTLING_DAYS, roll="forward").astype(
        np.int64
    )
    # 1 January 1970 was a Thursday
    return np.where(account == EU, ready + _TO_PAYDAY[(ready + 3) % 7], ready)


def _account_fees(period: Calendar, moves: pl.DataFrame) -> pl.DataFrame:
    """Fees for screening the charges of a day; on Mondays told in two equal rows."""
    daily = (
        moves.filter((pl.col("kind") == CHARGE) & (pl.col("created") >= period.start_ts))
        .with_columns((pl.col("created") // DAY).alias("day"))
        .group_by("account", "day")
        .agg(pl.len().cast(pl.Int64).alias("charges"))
        .filter((pl.col("day") + 1) * DAY <= period.end_ts)
        .sort("account", "day")
    )
    parts = []
    for copy in range(2):
        rows = daily.filter((pl.col("day") + 3) % 7 == 0) if copy else daily
        uid = FEES_FROM + (pl.col("day") * 2 + pl.col("account").cast(pl.Int64)) * 2 + copy
        values: dict[str, pl.Expr | int] = {
            "uid": uid, "kind": FEE, "parent": NONE, "i": NONE, "invoice": NONE,
            # the number of an account is that of its currency
            "account": pl.col("account"), "currency": pl.col("account"), "key": NO_KEY,
            "created": pl.col("day") * DAY + DAY - 600, "gross": pl.col("charges") * -3,
        }  # fmt: skip
        parts.append(rows.select(*_row(values)))
    return pl.concat(parts)


def _grouped(due: pl.DataFrame, moves: pl.DataFrame, period: Calendar) -> pl.DataFrame:
    """Number the payouts; a sum that is not positive waits for the next payout."""
    order = due.select("uid", "account", "day", "created", net=pl.col("gross") - pl.col("fee"))
    order = order.sort("account", "day", "created", "uid")
    group = ["account", "day"]
    size, rank = pl.len().over(group), pl.int_range(pl.len()).over(group)
    pieces = (size + MEMBERS_MAX - 1) // MEMBERS_MAX
    order = order.with_columns((rank * pieces // size).alias("part"))
    sums = (
        order.group_by("account", "day", "part")
        .agg(pl.col("net").sum())
        .sort("account", "day", "part")
    )
    numbers, days = _carry_over(sums)
    sums = sums.with_columns(pl.Series("payout", numbers), pl.Series("paid_on", days))
    paid = order.join(sums.drop("net"), on=["account", "day", "part"], maintain_order="left")
    joined = moves.join(paid.select("uid", "payout", "paid_on"), on="uid", how="left")
    latest = (pl.col("account") == US) & (pl.col("created") >= (period.end_day - LATEST_DAYS) * DAY)
    return (
        joined.with_columns(
            pl.coalesce("paid_on", "day").alias("day"), pl.col("payout").fill_null(-1),
            pl.lit(value=False).alias("instant"),
        )
        .drop("paid_on")
        .filter((pl.col("payout") >= 0) | latest)
    )  # fmt: skip


def _carry_over(sums: pl.DataFrame) -> tuple[list[int], list[int]]:
    """Payout number and day of each group of movements (a few per day, so a plain loop)."""
    accounts, days, nets = (sums[c].to_list() for c in ("account", "day", "net"))
    numbers, paid_on = [-1] * len(nets), list(days)
    waiting: list[int] = []
    number, balance = 0, 0
    for k, (account, net) in enumerate(zip(accounts, nets, strict=True)):
        if k and account != accounts[k - 1]:
            waiting, balance = [], 0
        waiting.append(k)
        balance += net
        if balance > 0:
            for w in waiting:
                numbers[w], paid_on[w] = number, days[k]
            number, waiting, balance = number + 1, [], 0
    return numbers, paid_on


def _instant(moves: pl.DataFrame) -> pl.DataFrame:
    """Now and then some charges are paid out at once, by a payout that its members do not name."""
    us = moves.filter((pl.col("account") == US) & (pl.col("payout") >= 0))
    paydays = us["payout"].unique().sort()
    chosen = paydays.gather_every(INSTANT_EVERY, INSTANT_AT)
    rank = pl.int_range(pl.len()).over("payout")
    picked = (
        us.filter(pl.col("payout").is_in(chosen.implode()) & (pl.col("kind") == CHARGE))
        .sort("payout", "created", "uid")
        .with_columns(rank.alias("rank"), (pl.len().over("payout") // 3).alias("third"))
        .filter((pl.col("rank") < INSTANT_MEMBERS) & (pl.col("rank") < pl.col("third")))
    )
    # what is left must still be a payout of money
    left = us.join(picked.select("uid"), on="uid", how="anti").group_by("payout").agg(
        (pl.col("gross") - pl.col("fee")).sum().alias("left")
    ).filter(pl.col("left") > 0)  # fmt: skip
    picked = picked.join(left.select("payout"), on="payout", how="semi")
    first = moves["payout"].n_unique()  # numbers so far are -1, 0, 1, ...
    numbers = picked.select("uid", (pl.col("payout").rank("dense") - 1 + first).alias("other"))
    joined = moves.join(numbers.cast({"other": pl.Int64}), on="uid", how="left")
    return joined.with_columns(
        pl.coalesce("other", "payout").alias("payout"),
        (pl.col("instant") | pl.col("other").is_not_null()).alias("instant"),
    ).drop("other")


def _redelivered(draws: Draws, period: Calendar, moves: pl.DataFrame) -> pl.DataFrame:
    """Charges told a second time under a new id some days later, in no payout."""
    first = moves.filter(
        (pl.col("kind") == CHARGE) & (pl.col("slot") == 0) & (pl.col("key") == IN_METADATA)
        & (pl.col("payout") >= 0) & (pl.col("amount_drift") == 0)
    )  # fmt: skip
    again = first.filter(pl.Series(draws.chance("redelivered", first["i"].to_numpy(), 3_000)))
    copies = again.with_columns(
        (pl.col("uid") + REDELIVERED).alias("uid"),
        pl.lit(REDELIVERED, dtype=pl.Int8).alias("slot"),
        pl.lit(-1, dtype=moves.schema["payout"]).alias("payout"),
        (pl.col("day") + _REDELIVERED_AFTER).alias("day"),
        pl.lit(value=False).alias("instant"),
    ).filter(pl.col("day") < period.end_day)
    return pl.concat([moves, copies])
