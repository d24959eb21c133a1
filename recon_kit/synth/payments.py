"""What the processor did with the orders: charges, refunds, disputes, and how their keys suffered.

A movement's `uid` is sixteen times its order's number plus a slot, so that ids, times and amounts
of any movement can be drawn alone. `parent` is the uid of the charge that it belongs to.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from recon_kit.synth import orders as book_of
from recon_kit.synth import tables
from recon_kit.synth.draws import Draws, Flags, Ints, to_step
from recon_kit.synth.orders import (
    BY_ORDER_ID,
    CANCELLED,
    CHUNK,
    DRIFT,
    EPOCH,
    NO_PAYMENT,
    OUT_OF_SCOPE,
    RESPELLED,
    SPLIT,
    TRANSPOSED,
    Calendar,
)

CHARGE, REFUND, DISPUTE, REVERSAL, FEE, PAYOUT = range(6)
SECOND, THIRD, DOUBLE, FIRST_REFUND, DISPUTED, WON, REDELIVERED = 1, 2, 3, 4, 8, 9, 10
NONE = -(10**15)  # no order, no parent
NO_ORDER_FROM = 20_000_000_000  # ids of payments that no order of the shop explains
NO_ORDER_PER_THOUSAND = 9
DAY = 86_400

# How a movement names its order: not at all, in its metadata, only in its description, under the
# number of another order, in a spelling of its own, or as an order of some other shop.
NO_KEY, IN_METADATA, IN_TEXT, WRONG_NUMBER, OTHER_SPELLING, OTHER_SHOP = range(6)
# Why an amount differs from what was due.
EXACT_AMOUNT, LESS_FEE, ROUNDED, EDITED = range(4)

MOVES: dict[str, pl.DataType] = {
    "uid": pl.Int64(), "parent": pl.Int64(), "kind": pl.Int8(), "i": pl.Int64(),
    "slot": pl.Int8(), "account": pl.Int8(), "customer": pl.Int64(), "country": pl.Int8(),
    "created": pl.Int64(), "presented": pl.Int64(), "currency": pl.Int8(), "gross": pl.Int64(),
    "fee": pl.Int64(), "method": pl.Int8(), "key": pl.Int8(), "named": pl.Int64(),
    "invoice": pl.Int64(), "name_drift": pl.Int8(), "mail_drift": pl.Int8(),
    "amount_drift": pl.Int8(),
}  # fmt: skip


def uid_of(i: Ints, slot: int | Ints) -> Ints:
    """Number of a movement of an order."""
    return i * 16 + slot


def movements(
    draws: Draws, period: Calendar, book: pl.DataFrame, prices: tables.Prices = tables.LISTED
) -> pl.DataFrame:
    """Every movement until the end of the period, payouts and account fees not yet among them.

    Returns:
        A frame with the columns of `MOVES`; amounts in minor units with the processor's signs
        (refunds and disputes negative; `fee` positive is a cost), times in UTC seconds.
    """
    rates = tables.rate_table(draws, period.end_day - period.start_day + 120)
    paid = book.filter(~pl.col("class").is_in([OUT_OF_SCOPE, NO_PAYMENT]))
    parts = []
    for low in range(0, paid.height, CHUNK):
        charges = _charges(draws, period, paid.slice(low, CHUNK))
        parts.append(_settled(charges, rates, period, prices))
    parts.append(_settled(_without_order(draws, period, book), rates, period, prices))
    charges = _overcharged(draws, pl.concat(parts), prices)
    corrections = _corrections(draws, charges, paid, rates, period)
    return pl.concat([charges, corrections]).filter(pl.col("created") < period.end_ts)


def wrong_number(period: Calendar, number: Ints) -> Ints:
    """Another real order's number: two neighbouring digits swapped; -1 where there is none."""
    first, last = int(period.ghosts) + 1_001, int(period.ghosts + period.first[-1]) + 1_000
    found = np.full(len(number), -1, dtype=np.int64)
    for low in (1, 10, 100):
        right, left = number // low % 10, number // (low * 10) % 10
        swapped = number + (right - left) * low * 10 + (left - right) * low
        fits = (right != left) & (swapped >= first) & (swapped <= last) & (found < 0)
        found = np.where(fits, swapped, found)
    return found


def _charges(draws: Draws, period: Calendar, book: pl.DataFrame) -> pl.DataFrame:
    """Charges of a chunk of orders, in the currency that the customer saw."""
    column = {name: book[name].to_numpy() for name in book.columns}
    i, kind = column["i"].astype(np.int64), column["class"].astype(np.int64)
    step = tables.AMOUNT_STEP[column["currency"]]
    due = column["total"] - column["gift"]
    drift, drifts = _amount_drift(draws, column, due, step)
    method = _method(draws, column)
    created = column["ts"] + _lag(draws, column, method)
    first = to_step(due * draws.between("split", i, 30, 70) // 100, step)
    rest = to_step((due - first) // 2, step)
    split, three = kind == SPLIT, (kind == SPLIT) & draws.chance("three parts", i, 200_000)
    double = (kind == BY_ORDER_ID) & (column["gift"] == 0) & draws.chance("double", i, 2_000)
    base = np.where(split, first, due + drift)
    slots = [
        (0, np.ones(len(i), dtype=np.bool_), base, created),
        (SECOND, split, np.where(three, rest, due - first),
         created + 3_600 + draws.below("second part", i, 4 * DAY)),
        (THIRD, three, due - first - rest,
         created + 4 * DAY + draws.below("third part", i, 3 * DAY)),
        (DOUBLE, double, base, created + draws.between("twice", i, 20, 300)),
    ]  # fmt: skip
    keys = _keys(draws, period, column)
    parts = [
        _frame(
            {
                "uid": uid_of(i, slot), "parent": uid_of(i, slot), "i": i,
                "slot": np.full(len(i), slot), "created": when, "presented": amount,
                "kind": np.full(len(i), CHARGE), "method": method,
                "amount_drift": drifts if slot in (0, DOUBLE) else np.zeros(len(i), dtype=np.int64),
                **keys, **{c: column[c] for c in ("account", "customer", "country", "currency")},
            },
            there,
        )
        for slot, there, amount, when in slots
    ]  # fmt: skip
    return pl.concat(parts)


def _amount_drift(
    draws: Draws, column: dict[str, Ints], due: Ints, step: Ints
) -> tuple[Ints, Ints]:
    """How far each charge lies from what was due, and why (see `EXACT_AMOUNT` and its kin)."""
    i, kind = column["i"], column["class"]
    twin = draws.chance("twin", i // 2, book_of.TWINS_PER_MILLION) & ~column["wholesale"]
    loose = (kind == DRIFT) & ~twin
    why = np.where(loose, draws.pick("amount drift", i, (50, 25, 25)), EXACT_AMOUNT)
    strict = (kind == BY_ORDER_ID) & (column["gift"] == 0)
    why = np.where(strict, draws.pick("key amount", i, (986, 0, 10, 4)), why)
    fee = (due * 290 + 5_000) // 10_000 + tables.PER_100_USD[column["currency"]] * 30 // 10_000
    fee = -(-fee // step) * step
    cents = draws.between("cents", i, 1, 2) * np.where(draws.chance("sign", i, 500_000), 1, -1)
    cut = to_step(due * draws.between("edited", i, 5, 20) // 100, step)
    amount = np.select([why == LESS_FEE, why == ROUNDED, why == EDITED], [-fee, cents * step, -cut])
    small = due + amount <= 0
    return np.where(small, 0, amount), np.where(small, EXACT_AMOUNT, why)


def _method(draws: Draws, column: dict[str, Ints]) -> Ints:
    european = draws.pick("charge method", column["attr"], (62, 20, 18))
    american = np.where(
        draws.chance("pay later", column["attr"], 60_000), tables.KLARNA, tables.CARD
    )
    method = np.where(column["account"] == tables.EU, european, american)
    return np.where(column["wholesale"], tables.TRANSFER, method).astype(np.int64)


def _lag(draws: Draws, column: dict[str, Ints], method: Ints) -> Ints:
    """Seconds from order to charge; a card is often charged before the order is written."""
    i = column["i"]
    card = np.where(
        draws.chance("charged first", i, 700_000),
        -draws.below("before", i, 50),
        draws.below("after", i, 900),
    )
    retry = draws.pick("retry", i, (9_760, 200, 40))
    card = card + np.select(
        [retry == 1, retry == 2],
        [
            draws.between("retry after", i, DAY, 3 * DAY),
            draws.between("late", i, 8 * DAY, 20 * DAY),
        ],
    )
    slow = DAY + draws.below("debit", i, 2 * DAY)
    invoice = 2 * DAY + draws.below("invoice", i, 10 * DAY)
    invoice += np.where(draws.chance("dunned", i, 60_000), 12 * DAY, 0)
    lags = [draws.below("later", i, 7_200), slow, invoice]
    lag = np.select([method == tables.KLARNA, method == tables.SEPA, method == tables.TRANSFER],
                    lags, card)  # fmt: skip
    dawdles = (column["class"] == DRIFT) & draws.chance("dawdles", i, 500_000)
    return lag + np.where(dawdles, draws.below("dawdle", i, 3 * DAY), 0)


def _keys(draws: Draws, period: Calendar, column: dict[str, Ints]) -> dict[str, Ints]:
    """Keys and customer data that the processor knows about an order's movements."""
    i, kind = column["i"], column["class"]
    other = wrong_number(period, column["number"])
    plain = np.where(draws.chance("only in text", i, 40_000), IN_TEXT, IN_METADATA)
    key = np.select(
        [kind == BY_ORDER_ID, kind == SPLIT, (kind == TRANSPOSED) & (other >= 0),
         kind == TRANSPOSED, kind == RESPELLED],
        [plain, IN_METADATA, WRONG_NUMBER, IN_METADATA, OTHER_SPELLING],
        NO_KEY,
    )  # fmt: skip
    loose = kind == DRIFT
    twin = draws.chance("twin", i // 2, book_of.TWINS_PER_MILLION)
    name = np.where(
        loose,
        draws.pick("name drift", i, (15, 15, 15, 10, 20, 15, 10)),
        draws.pick("name noise", i, (90, 2, 1, 4, 1, 1, 1)),
    )
    mail = np.where(
        loose,
        draws.pick("mail drift", i, (30, 20, 15, 10, 15, 10)),
        draws.pick("mail noise", i, (85, 8, 2, 1, 2, 2)),
    )
    quiet = twin & ~column["wholesale"]
    return {
        "key": key,
        "named": np.where(key == WRONG_NUMBER, other, column["number"]),
        "invoice": np.where(column["wholesale"], i, NONE),
        "name_drift": np.where(quiet, 0, name),
        "mail_drift": np.where(quiet, 0, mail),
    }


def _without_order(draws: Draws, period: Calendar, book: pl.DataFrame) -> pl.DataFrame:
    """Charges that no order explains; many look like some order's missing payment.

    Of ten, four have the customer and the days of an order whose payment is missing (another
    amount), two the amount and the day of an order of somebody else, four are strangers.
    """
    shop = book.filter(~pl.col("wholesale") & ~pl.col("ghost"))
    k = np.arange(shop.height * NO_ORDER_PER_THOUSAND // 1_000, dtype=np.int64)
    i = k + NO_ORDER_FROM
    unpaid = shop.filter(pl.col("class") == NO_PAYMENT)
    looks = draws.pick("looks like", i, (4, 2, 4))
    looks = np.where((looks == 0) & (unpaid.height == 0), 2, looks)
    at_unpaid = k % max(unpaid.height, 1)
    at_any = draws.below("somebody", i, shop.height)
    lone = unpaid[at_unpaid] if unpaid.height else shop[at_any]
    some = shop[at_any]
    stranger = draws.below("customer", i, max(shop.height // 3, 60))
    customer = np.where(looks == 0, lone["customer"].to_numpy(), stranger)
    own = book_of.contents(draws, i, customer, np.zeros(len(i), dtype=np.bool_))
    amount = np.where(looks == 1, some["total"].to_numpy(), own["total"].to_numpy())
    traits = {
        c: np.where(looks == 1, some[c].to_numpy(), own[c].to_numpy())
        for c in ("account", "country", "currency")
    }
    anywhere = period.start_ts + draws.below("when", i, period.end_ts - period.start_ts)
    shift = draws.between("shift", i, -3 * DAY, 3 * DAY)
    created = np.select(
        [looks == 0, looks == 1],
        [lone["ts"].to_numpy() + shift, some["ts"].to_numpy() + shift // 3], anywhere,
    )  # fmt: skip
    zeros = np.zeros(len(i), dtype=np.int64)
    foreign = draws.chance("other shop", i, 500_000)
    return _frame(
        {
            "uid": uid_of(i, 0), "parent": uid_of(i, 0), "i": i, "slot": zeros, "kind": zeros,
            "created": created, "presented": amount, "customer": customer,
            "key": np.where(foreign, OTHER_SHOP, NO_KEY), "invoice": np.full(len(i), NONE),
            "named": 40_000 + draws.below("other number", i, 50_000),
            "method": zeros, "name_drift": zeros, "mail_drift": zeros, "amount_drift": zeros,
            **traits,
        },
        amount > 0,
    )  # fmt: skip


def _settled(
    charges: pl.DataFrame, rates: Ints, period: Calendar, prices: tables.Prices
) -> pl.DataFrame:
    """Charges with gross and fee in their account's currency."""
    gross = _converted(charges, rates, period)
    account, method, country, currency = (
        charges[c].to_numpy().astype(np.int64) for c in ("account", "method", "country", "currency")
    )
    raised = np.zeros(len(gross), dtype=np.int64)
    if prices.raised_on is not None:
        later = charges["created"].to_numpy() // DAY >= (prices.raised_on - EPOCH).days
        raised += later * (account == tables.US) * (method == tables.CARD) * prices.raised_bp
    fee = tables.fees(account, method, country, currency, gross, raised)
    return charges.with_columns(pl.Series("gross", gross), pl.Series("fee", fee)).select(*MOVES)


def _overcharged(draws: Draws, charges: pl.DataFrame, prices: tables.Prices) -> pl.DataFrame:
    """Some charges cost more than their price."""
    if not prices.overcharged_per_million:
        return charges
    uid = charges["uid"].to_numpy()
    wrong = draws.chance("overcharged", uid, prices.overcharged_per_million)
    return charges.with_columns(pl.col("fee") + pl.Series(wrong * prices.overcharge_minor))


def _converted(moves: pl.DataFrame, rates: Ints, period: Calendar) -> Ints:
    """Presented amounts in the currency of the account, at the rate of the movement's day."""
    day = moves["created"].to_numpy() // DAY - period.start_day + 40
    rate = rates[
        moves["account"].to_numpy(), moves["currency"].to_numpy(),
        np.clip(day, 0, rates.shape[2] - 1),
    ]  # fmt: skip
    return tables.settle(moves["presented"].to_numpy(), rate)


def _corrections(
    draws: Draws, charges: pl.DataFrame, paid: pl.DataFrame, rates: Ints, period: Calendar
) -> pl.DataFrame:
    """Refunds, disputes and disputes that were won, of first charges."""
    first = charges.filter(
        (pl.col("slot") == 0) & (pl.col("i") < NO_ORDER_FROM)
    ).join(paid.select("i", "state"), on="i", how="left", maintain_order="left")  # fmt: skip
    i = first["i"].to_numpy()
    step = tables.AMOUNT_STEP[first["currency"].to_numpy()]
    amount, at = first["presented"].to_numpy(), first["created"].to_numpy()
    kind = draws.pick("refund", i, (9_540, 150, 250, 60))
    cancelled = first["state"].to_numpy() == CANCELLED
    kind = np.where(cancelled, 1, kind)
    share = np.where(kind == 2, draws.between("part", i, 10, 60), draws.between("parts", i, 8, 30))
    portion = np.maximum(to_step(amount * share // 100, step), step)
    three = draws.chance("third refund", i, 300_000)
    delay = 3_600 + draws.below("refund after", i, np.where(cancelled, 2 * DAY, 25 * DAY))
    parts = []
    for number in range(3):
        there = (kind > 0) if number == 0 else (kind == 3) & (three | (number == 1))
        value = np.where(kind == 1, amount, portion)
        there = there & (value * (number + 1) <= amount)
        later = at + delay + number * (2 * DAY + draws.below("next refund", i, 4 * DAY))
        parts.append(_correct(first, there, (FIRST_REFUND + number, REFUND), value, later))
    disputed = (kind == 0) & draws.chance("dispute", i, 3_000)
    opened = at + 10 * DAY + draws.below("dispute after", i, 30 * DAY)
    parts.append(_correct(first, disputed, (DISPUTED, DISPUTE), amount, opened))
    won = disputed & draws.chance("won", i, 400_000)
    reversed_at = opened + 15 * DAY + draws.below("won after", i, 10 * DAY)
    parts.append(_correct(first, won, (WON, REVERSAL), amount, reversed_at))
    rows = pl.concat(parts)
    gross = _converted(rows, rates, period)
    kinds, account = rows["kind"].to_numpy(), rows["account"].to_numpy()
    sign = np.where(kinds == REVERSAL, 1, -1)
    back = np.where(account == tables.US, -tables.DISPUTE_FEE, 0)
    fee = np.select([kinds == DISPUTE, kinds == REVERSAL], [tables.DISPUTE_FEE, back], 0)
    return rows.with_columns(pl.Series("gross", gross * sign), pl.Series("fee", fee)).select(*MOVES)


def _correct(
    first: pl.DataFrame, there: Flags, names: tuple[int, int], amount: Ints, at: Ints
) -> pl.DataFrame:
    """Rows that correct a charge; `names` are their slot and their kind."""
    slot, kind = names
    uid = uid_of(first["i"].to_numpy(), slot)
    return first.with_columns(
        pl.Series("uid", uid), pl.Series("presented", amount), pl.Series("created", at),
        pl.lit(slot, dtype=pl.Int8).alias("slot"), pl.lit(kind, dtype=pl.Int8).alias("kind"),
    ).filter(pl.Series(there))  # fmt: skip


def _frame(columns: dict[str, Ints], there: Flags) -> pl.DataFrame:
    """Rows that are there, in the types of `MOVES`, without the settled amounts."""
    frame = pl.DataFrame({name: columns[name][there] for name in MOVES if name in columns})
    return frame.cast({name: MOVES[name] for name in frame.columns})
