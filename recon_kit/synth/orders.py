"""The order book of the invented shop: who ordered what, when, for how much, and what went wrong.

An order is a number. Shop orders count upwards in time like real order names; numbers below zero
are orders of the days before the files begin, which only the processor still tells about. A few
orders are wholesale: another system, other numbers, paid by invoice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recon_kit.synth import people, tables
from recon_kit.synth.draws import Draws, Flags, Ints, to_step
from recon_kit.synth.tables import STRIPE

SHOP_ZONE = "America/New_York"
EPOCH = date(1970, 1, 1)
GHOST_DAYS = 5  # days before the files whose payments are still being paid out
WHOLESALE_FROM = 10_000_000_000  # ids of wholesale orders, far from those of shop orders
WHOLESALE_PER_THOUSAND = 13
CHUNK = 250_000

# What each order's payment carries. The first that holds, in this order, is an order's class.
CLASSES: tuple[str, ...] = (
    "order_id", "transaction_id", "invoice", "drift", "split", "transposed", "respelled",
    "no_payment", "out_of_scope",
)  # fmt: skip
(
    BY_ORDER_ID, BY_TRANSACTION, BY_INVOICE, DRIFT, SPLIT, TRANSPOSED, RESPELLED, NO_PAYMENT,
    OUT_OF_SCOPE,
) = range(9)  # fmt: skip
CLASS_WEIGHTS = (9_160, 310, 0, 300, 80, 40, 20, 90)
TWINS_PER_MILLION = 1_000  # pairs of equal orders of one customer, both without keys

# What became of an order.
PAID, VOIDED, PENDING, CANCELLED_UNPAID, CANCELLED, ZERO = range(6)
STATE_WEIGHTS = (9_820, 50, 40, 20, 70)

CHANNELS: tuple[str, ...] = ("web", "google", "5690175", "shopify_draft_order")
GOOGLE = 1
_HOURS = (4, 2, 1, 1, 1, 2, 4, 8, 12, 15, 17, 18, 19, 18, 17, 17, 18, 20, 23, 26, 27, 22, 15, 9)
_WEEKDAYS = (100, 98, 97, 102, 118, 125, 96)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The period of the files, in days of the shop; `first[k]` is the first order of day `k`.

    Attributes:
        days: epoch days, those before the files first.
        midnights: their first second in UTC.
        first: number of the first order of each day, one more than there are days.
    """

    start: date
    end: date
    days: Ints
    midnights: Ints
    first: Ints

    @property
    def start_day(self) -> int:
        """Epoch day on which the files begin."""
        return (self.start - EPOCH).days

    @property
    def end_day(self) -> int:
        """Epoch day on which they have ended (the first day they do not tell)."""
        return (self.end - EPOCH).days

    @property
    def start_ts(self) -> int:
        """First second of the files, UTC."""
        return midnight(self.start)

    @property
    def end_ts(self) -> int:
        """First second after the files, UTC."""
        return midnight(self.end)

    @property
    def ghosts(self) -> int:
        """Number of orders before the files."""
        return -int(self.first[0])


def midnight(day: date, zone: str = SHOP_ZONE) -> int:
    """First second of a day in a zone, as seconds since 1970 in UTC."""
    return int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp())


def calendar(orders: int, start: date, days: int) -> Calendar:
    """Spread a number of shop orders over the days: weekends and later weeks are busier."""
    span = [start + timedelta(days=k) for k in range(-GHOST_DAYS, days)]
    weights = np.array(
        [_WEEKDAYS[d.weekday()] * (1_000 + 3 * k) for k, d in enumerate(span)], dtype=np.int64
    )
    told = weights[GHOST_DAYS:]
    after = orders * np.cumsum(told) // told.sum()
    before = -(orders * np.cumsum(weights[:GHOST_DAYS][::-1]) // told.sum())[::-1]
    return Calendar(
        start=start,
        end=start + timedelta(days=days),
        days=np.array([(d - EPOCH).days for d in span], dtype=np.int64),
        midnights=np.array([midnight(d) for d in span], dtype=np.int64),
        first=np.concatenate([before, [0], after]).astype(np.int64),
    )


def order_book(draws: Draws, orders: int, start: date, days: int) -> tuple[Calendar, pl.DataFrame]:
    """Every order, shop orders in time order first, then wholesale.

    Returns:
        The calendar, and a frame: i, number, wholesale, ghost, day (epoch), ts (UTC seconds),
        attr (the number that its contents are drawn from), customer, country, currency, account,
        items, subtotal, discount, shipping, tax, total, gift (minor units; `gift` is the part paid
        by gift card), method, state, class, channel, click (whether the order kept its click id).
    """
    wholesale = orders * WHOLESALE_PER_THOUSAND // 1_000
    shop = orders - wholesale
    period = calendar(shop, start, days)
    customers = max(orders // 3, 60)
    parts = [
        _shop_orders(draws, period, np.arange(low, min(low + CHUNK, shop)), customers)
        for low in range(-period.ghosts, shop, CHUNK)
    ]
    parts.append(_wholesale_orders(draws, period, wholesale, customers))
    return period, pl.concat(parts)


def order_lines(draws: Draws, attr: Ints, slot: int, wholesale: Flags) -> tuple[Ints, Ints]:
    """Product and quantity of one line of each order (quantity 0: the order has no such line)."""
    ids = attr * 4 + slot
    product = draws.below("product", ids, len(tables.PRODUCTS))
    quantity = draws.pick("quantity", ids, (85, 12, 3)) + 1
    quantity = np.where(wholesale, quantity * 6 + draws.below("case", ids, 5), quantity)
    there = slot < draws.pick("lines", attr, (62, 24, 9, 5)) + 1
    return product, np.where(there, quantity, 0)


def names_of(calendar_: Calendar, i: Ints) -> pl.Series:
    """Order names as the shop prints them: `#1001`, counting on from the orders before."""
    return pl.select(pl.format("#{}", pl.Series(number_of(calendar_, i)))).to_series()


def number_of(calendar_: Calendar, i: Ints) -> Ints:
    """The number in an order's name."""
    return i + 1_001 + calendar_.ghosts


def wholesale_names(i: Ints) -> pl.Series:
    """Document numbers of the wholesale system."""
    number = pl.Series(i - WHOLESALE_FROM + 1).cast(pl.String).str.zfill(6)
    return pl.select(pl.format("WS-{}", number)).to_series()


def invoice_numbers(i: Ints) -> pl.Series:
    """Invoice numbers of the wholesale system."""
    number = pl.Series(i - WHOLESALE_FROM + 20_417).cast(pl.String)
    return pl.select(pl.format("INV-{}", number)).to_series()


def _seconds_of_day(draws: Draws, i: Ints, rank: Ints, in_day: Ints) -> Ints:
    """Times within a day that rise with the rank and follow the busy hours."""
    hours = np.array(_HOURS, dtype=np.int64) * 3_600
    edges = np.concatenate([[0], np.cumsum(hours)])
    jitter = draws.below("second", i, 1 << 20)
    point = ((rank << 20) + jitter) * edges[-1] // (in_day << 20)
    hour = np.searchsorted(edges, point, side="right") - 1
    second: Ints = hour * 3_600 + (point - edges[hour]) * 3_600 // hours[hour]
    return second


def _shop_orders(draws: Draws, period: Calendar, i: Ints, customers: int) -> pl.DataFrame:
    at = np.searchsorted(period.first, i, side="right") - 1
    rank = i - period.first[at]
    in_day = period.first[at + 1] - period.first[at]
    twin = draws.chance("twin", i // 2, TWINS_PER_MILLION)
    attr = np.where(twin, i // 2 * 2, i)
    method = draws.pick("method", attr, tables.METHOD_WEIGHTS)
    state = draws.pick("state", attr, STATE_WEIGHTS)
    state = np.where((method == STRIPE) & ~twin, state, PAID)
    state = np.where(np.isin(method, (tables.COD, tables.BANK_DEPOSIT)), PENDING, state)
    method = np.where(twin, STRIPE, method)
    kind = np.where(twin, DRIFT, draws.pick("class", i, CLASS_WEIGHTS))
    frame = contents(draws, attr, draws.below("customer", attr, customers), np.zeros(len(i), bool))
    free = frame["total"].to_numpy() == 0
    method, state = np.where(free, tables.NOTHING, method), np.where(free, ZERO, state)
    gifted = method == tables.GIFT_AND_STRIPE
    paid = (method == STRIPE) & np.isin(state, (PAID, CANCELLED)) | gifted
    kind = np.where(gifted, BY_ORDER_ID, np.where(paid, kind, OUT_OF_SCOPE))
    step = tables.AMOUNT_STEP[frame["currency"].to_numpy()]
    part = to_step(frame["total"].to_numpy() * draws.between("gift", i, 20, 60) // 100, step)
    return _finish(frame, {
        "i": i,
        "number": number_of(period, i),
        "wholesale": np.zeros(len(i), dtype=np.bool_),
        "ghost": i < 0,
        "day": period.days[at],
        "ts": period.midnights[at] + _seconds_of_day(draws, i, rank, in_day),
        "attr": attr,
        "gift": np.where(gifted, part, 0),
        "method": method,
        "state": state,
        "class": kind,
        "channel": draws.pick("channel", attr, (70, 20, 7, 3)),
        "click": draws.chance("click kept", attr, 800_000),
    })  # fmt: skip


def _wholesale_orders(draws: Draws, period: Calendar, count: int, customers: int) -> pl.DataFrame:
    i = np.arange(count, dtype=np.int64) + WHOLESALE_FROM
    days = period.end_day - period.start_day
    day = np.arange(count, dtype=np.int64) * days // max(count, 1)
    at = np.busday_offset(
        (day + period.start_day).astype("datetime64[D]"), 0, roll="backward"
    ).astype(np.int64)
    at = np.maximum(at, period.start_day)
    seconds = 8 * 3_600 + draws.below("second", i, 9 * 3_600)
    # wholesale customers are few, European, and not those of the shop
    customer = customers + draws.below("customer", i, max(customers // 40, 12))
    frame = contents(draws, i, customer, np.ones(count, dtype=np.bool_))
    ordered = draws.chance("order number too", i, 230_000)
    return _finish(frame, {
        "i": i,
        "number": i - WHOLESALE_FROM + 1,
        "wholesale": np.ones(count, dtype=np.bool_),
        "ghost": np.zeros(count, dtype=np.bool_),
        "day": at,
        "ts": at * 86_400 + seconds,
        "attr": i,
        "gift": np.zeros(count, dtype=np.int64),
        "method": np.full(count, STRIPE),
        "state": np.full(count, PAID),
        "class": np.where(ordered, BY_ORDER_ID, BY_INVOICE),
        "channel": np.zeros(count, dtype=np.int64),
        "click": np.zeros(count, dtype=np.bool_),
    })  # fmt: skip


def contents(draws: Draws, attr: Ints, customer: Ints, wholesale: Flags) -> pl.DataFrame:
    """Customer, currency and the amounts of each order; total = subtotal + shipping + added tax.

    Columns: customer, country, currency, account, items, subtotal, discount, shipping, tax, total.
    """
    country = people.countries(draws, customer)
    if wholesale.any():
        europe = np.array([2, 3, 4, 6])  # the United Kingdom, Germany, France, the Netherlands
        country = np.where(wholesale, europe[customer % 4], country)
    currency = tables.COUNTRY_CURRENCY[country]
    step = tables.AMOUNT_STEP[currency]
    goods = np.zeros(len(attr), dtype=np.int64)
    lines = np.zeros(len(attr), dtype=np.int64)
    for slot in range(4):
        product, quantity = order_lines(draws, attr, slot, wholesale)
        goods += tables.PRICES[product, currency] * quantity
        lines += quantity > 0
    kind = draws.pick("discount", attr, (917, 80, 3))
    kind = np.where(wholesale, 0, kind)
    discount = np.select([kind == 1, kind == 2], [to_step(goods // 10, step), goods], 0)
    shipping = tables.DELIVERY[draws.pick("delivery", attr, tables.DELIVERY_WEIGHTS), currency]
    shipping = np.where((kind == 2) | wholesale, 0, shipping)
    subtotal = goods - discount
    points = tables.COUNTRY_TAX[country, customer % tables.COUNTRY_TAX.shape[1]]
    added = tables.COUNTRY_TAX_ADDED[country]
    taxed = np.where(added, 10_000, 10_000 + points)
    tax = (subtotal + np.where(added, 0, shipping)) * points // taxed
    return pl.DataFrame({
        "customer": customer, "country": country, "currency": currency,
        "account": tables.COUNTRY_ACCOUNT[country], "items": lines, "subtotal": subtotal,
        "discount": discount, "shipping": shipping, "tax": tax,
        "total": subtotal + shipping + np.where(added, tax, 0),
    })  # fmt: skip


def _finish(frame: pl.DataFrame, columns: dict[str, Ints | Flags]) -> pl.DataFrame:
    small = ("country", "currency", "account", "items", "method", "state", "class", "channel")
    money = ("subtotal", "discount", "shipping", "tax", "total", "gift")
    whole = frame.with_columns(pl.Series(name, values) for name, values in columns.items())
    order = [
        "i", "number", "wholesale", "ghost", "day", "ts", "attr", "customer", *small[:4], *money,
        *small[4:], "click",
    ]  # fmt: skip
    return whole.select(order).with_columns(
        pl.col(*small).cast(pl.Int8), pl.col("day").cast(pl.Int32)
    )
