"""An invented shop for benchmarks: canonical events with their truth, at any size, in chunks.

    uv run python -m tests.benchmarks.shop 100000 DIR

DIR gets `events/*.parquet`, `who/*.parquet` (the columns of a snapshot's views) and
`truth/*.parquet` (`left_key, right_key, kind`). Every row is a function of the seed and its number,
so chunks of a million orders need no more memory than one, and the same numbers give the same
bytes. All orders fall in 90 days and half of the amounts stand on 200 price points whatever the
size: look-alikes grow faster than orders, as in a shop that grows.

Of the payments 92 % carry the order's id (most of these its transaction or invoice as well), 3 %
only its transaction, 1 % only its invoice, 3 % nothing, with a drifted name or e-mail and an amount
that lost a fee or a rounding. 1 % of the orders have no payment, 1 % of the payments no order, some
of which imitate an order without one; 0.5 % of the payments were sent twice.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.safe import quote_text

SEED = 11
CHUNK = 1_000_000
FIRST_SECOND, DAYS = 1_767_225_600, 90
ORDER, PAYMENT = "shop", "psp"
DRIFTED = "drifted"  # the kind of truth that no key tells
_SYLLABLES = (
    "ba", "bel", "bo", "ca", "cen", "da", "del", "do", "fa", "fen", "ga", "gor", "ha", "hel", "jo",
    "ka", "kel", "la", "len", "li", "lo", "ma", "mar", "mi", "na", "nel", "no", "pa", "per", "ra",
    "ren", "ri", "ro", "sa", "sen", "so", "ta", "tel", "ti", "to", "va", "ven", "vi", "wa", "wen",
    "wi", "yo", "za", "zen",
)  # fmt: skip
_ENDINGS = ("n", "r", "s", "l", "th", "m", "nd", "rt", "x", "ck", "ng", "y")
_MAILS = ("gmail.com", "outlook.com", "yahoo.com", "icloud.com", "acme.io", "mail.eu")
_SQL_TYPES = {
    pl.String(): "varchar", pl.Int64(): "bigint", pl.Boolean(): "boolean", pl.Date(): "date",
    model.UTC: "timestamptz",
}  # fmt: skip


def make(orders: int, folder: Path) -> None:
    """Write the shop into `folder`, unless it is there already."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open_engine(folder=folder) as engine:
        macros(engine)
        for number, first in enumerate(range(0, orders, CHUNK)):
            last = min(first + CHUNK, orders)
            engine.con.execute(
                f"create or replace temp table stories as {stories(first, last, orders)}"
            )
            for name, query in (("events", events()), ("who", people()), ("truth", truth())):
                (folder / name).mkdir(exist_ok=True)
                engine.write(query, f"{name}_{number}").rename(
                    folder / name / f"{number:03}.parquet"
                )
    (folder / "done").touch()


def macros(engine: Engine) -> None:
    """`u(i, salt)`: an even number in [0, 1) for a row and a purpose; `pick`; `word`."""
    lists = {"syllables": _SYLLABLES, "endings": _ENDINGS, "mails": _MAILS}
    for name, words in lists.items():
        listed = ", ".join(quote_text(w) for w in words)
        engine.con.execute(f"create temp macro {name}() as [{listed}]")
    engine.con.execute(
        f"""create temp macro u(i, salt) as
            (hash(i::bigint, {SEED}::bigint, salt::bigint) % 1000000007)::double / 1000000007.0"""
    )
    engine.con.execute(
        "create temp macro pick(words, share) as words[1 + floor(share * len(words))::int]"
    )
    engine.con.execute(
        """create temp macro word(i, salt) as pick(syllables(), u(i, salt))
            || pick(syllables(), u(i, salt + 1)) || case when u(i, salt + 2) < .5
            then pick(syllables(), u(i, salt + 3)) else '' end || pick(endings(), u(i, salt + 4))"""
    )


def stories(first: int, last: int, orders: int) -> str:
    """One row per order and its payment, and one more for every hundredth payment without one.

    A story has a number `i`, the order's facts, `kind` (how its payment can be found) and the
    payment's facts. Stories beyond `orders` are payments without an order.
    """
    strays = orders + first // 100, orders + last // 100
    customers = max(orders // 4, 100)
    return f"""
with numbers as (
    select i, i as told_by from range({first}, {last}) t(i)
    union all
    -- four of ten strays take customer and time of an order that nobody paid
    select i, case when u(i, 18) < .4 then (i - {orders}) * 100 else i end
    from range({strays[0]}, {strays[1]}) t(i)
), drawn as (
    select i, i >= {orders} as stray, floor(power(u(told_by, 10), 1.3) * {customers})::bigint as c,
           u(i, 11) as lot, u(i, 20) as x, u(i, 21) as y, u(i, 22) as z, u(i, 23) as w,
           case when u(i, 12) < .5 then 499 + 500 * floor(power(u(i, 13), 2) * 200)::bigint
                else 300 + floor(exp(5.5 + 3.5 * u(i, 14)))::bigint end as amount,
           case when u(i, 15) < .7 then 'USD' when u(i, 15) < .9 then 'EUR' else 'GBP' end
               as currency,
           {FIRST_SECOND} + floor(u(told_by, 16) * {DAYS * 86_400})::bigint as ts
    from numbers
), named as (
    select *, case when stray then 'stray' when i % 100 = 0 then 'unpaid'
                   when lot < .93 then 'order_id' when lot < .96 then 'transaction_id'
                   when lot < .97 then 'invoice_number' else {quote_text(DRIFTED)} end as kind,
           word(floor(u(c, 30) * 500)::bigint, 100) as given,
           word(floor(power(u(c, 31), 1.6) * 6000)::bigint, 200) as family
    from drawn
), mailed as (
    select *, given || case when u(c, 32) < .6 then '.' else '' end || family
              || case when u(c, 33) < .7 then floor(u(c, 34) * 9999)::int::varchar else '' end
              || '@' || pick(mails(), u(c, 35)) as email
    from named
)
select *, 'ORD-' || lpad(((i * 7919 + 13) % 1000000007)::varchar, 10, '0') as order_id,
       'txn_' || left(md5(i::varchar || 't{SEED}'), 16) as transaction_id,
       'INV-' || lpad(((i * 104729 + 5) % 1000000007)::varchar, 10, '0') as invoice_number,
       left(sha256('{ORDER}|' || i), 32) as left_key,
       left(sha256('{PAYMENT}|' || i), 32) as right_key,
       round(amount * .029)::bigint + 30 as fee,
       case when kind <> {quote_text(DRIFTED)}
            then case when w < .01 then amount + floor(x * 7)::bigint - 3 else amount end
            when x < .5 then amount when x < .8 then amount - round(amount * .029)::bigint - 30
            else amount + floor(y * 5)::bigint - 2 end as paid,
       ts + floor(-ln(1 - least(x * .7 + y * .3, .999)) * 20000)::bigint as paid_ts,
       case when kind <> {quote_text(DRIFTED)} and w < .8 then given || ' ' || family
            else case floor(w * 997 % 6)::int
                when 0 then left(given, 1) || ' ' || family when 1 then family || ' ' || given
                when 2 then upper(given || ' ' || family)
                when 3 then given || ' ' || left(family, 2) || substr(family, 4)
                when 4 then left(given, 2) || substr(given, 4) || ' ' || family
                else given || ' ' || family end end as paid_name,
       case when kind <> {quote_text(DRIFTED)} and z < .85 then email
            else case floor(z * 991 % 6)::int
                when 0 then null when 1 then split_part(email, '@', 1) || '@gmail.com'
                when 2 then replace(split_part(email, '@', 1), '.', '') || '@'
                    || split_part(email, '@', 2)
                when 3 then split_part(email, '@', 1) || '+shop@' || split_part(email, '@', 2)
                when 4 then left(email, 3) || substr(email, 5) else email end end as paid_email
from mailed"""


def told(source: str, kind: str, known: dict[str, str]) -> str:
    """A select list of `model.EVENT_SCHEMA` in which all but `known` is null."""
    known = {
        "source": quote_text(source), "event_type": quote_text(kind), "status": "'paid'",
        "ts_precision": "'second'", "currency": "currency", **known,
    }  # fmt: skip
    return ", ".join(
        f"cast({known.get(c, 'null')} as {_SQL_TYPES[t]}) as {c}"
        for c, t in model.EVENT_SCHEMA.items()
    )


# A payment sent twice carries the same facts under another number, a minute or more later.
_TWICE = (
    "(select *, right_key as own_key, 0 as later from stories union all"
    " select *, left(sha256(right_key), 32), 60 + (hash(i) % 5000)::bigint from stories"
    " where u(i, 40) < .005 and kind not in ('stray', 'unpaid'))"
)


def events() -> str:
    """Rows of view `events`."""
    order = told(ORDER, "order", {
        "event_key": "left_key", "payload_hash": "left_key", "native_id": "'o_' || i",
        "amount": "amount", "event_ts": "to_timestamp(ts)", "order_id": "order_id",
        "transaction_id": "transaction_id", "invoice_number": "invoice_number",
        "channel": "['storefront', 'pos', 'media', 'calls'][1 + (i % 4)::int]",
    })  # fmt: skip
    payment = told(PAYMENT, "payment", {
        "event_key": "own_key", "payload_hash": "own_key", "native_id": "'p_' || own_key",
        "amount": "paid", "fee": "fee", "net": "paid - fee",
        "event_ts": "to_timestamp(paid_ts + later)",
        "order_id": "case when kind = 'order_id' or (kind = 'stray' and x < .5)"
                    " then order_id end",
        "transaction_id": "case when kind = 'transaction_id' or (kind = 'order_id' and y < .6)"
                          " then transaction_id end",
        "invoice_number": "case when kind = 'invoice_number' or (kind = 'order_id' and z < .3)"
                          " then invoice_number end",
    })  # fmt: skip
    return (
        f"select {order} from stories where kind <> 'stray' union all"
        f" select {payment} from {_TWICE} where kind <> 'unpaid'"
    )


def people() -> str:
    """Rows of view `who`."""
    rest = (
        "null::varchar as phone, null::varchar as address, null::varchar as postcode,"
        " null::varchar as raw_personal"
    )
    return f"""
select left_key as event_key, '' as payload_hash, given || ' ' || family as customer_name, email,
       {rest} from stories where kind <> 'stray'
union all
select own_key, '', paid_name, paid_email, {rest} from {_TWICE} where kind <> 'unpaid'"""


def truth() -> str:
    """Which order each payment belongs to, and how it can be found; second deliveries too."""
    return f"""
select left_key, own_key as right_key, case when later > 0 then 'twice' else kind end as kind
from {_TWICE} where kind not in ('stray', 'unpaid')"""


if __name__ == "__main__":
    make(int(sys.argv[1]), Path(sys.argv[2]).resolve())
