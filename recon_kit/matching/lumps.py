"""Lumps and the open items that may add up to them, as arrays for `grouped` and `decomposed`.

A lump is an open event of the side whose match has one principal (see `keys.one_side`), an item an
open event of the other side; both in one currency, an item's own or the presented one. Left out
are amounts of zero, which no sum can tell from their absence, events without a time, statuses that
say that no money moved, and whatever carries a key that the other side knows: a key speaks first.

What a key match leaves open is a lump as well (`residual`), to be asked about and never booked: a
bank line that names one payout and brings two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import keys, late
from recon_kit.matching.complete import needy_step
from recon_kit.matching.runs import Ints
from recon_kit.matching.window import due_sql
from recon_kit.settings import Reconciliation

_TOLD_MAX = 1_000  # amounts that tell the unit of a currency


@dataclass(frozen=True, slots=True)
class Pile:
    """Lumps of one currency and a sequence of items in it, in order of time.

    `lumps` has `eid, v, low, high, ts, due, residual`: the money, the bounds within which a sum
    agrees, times in microseconds, and whether a match has the event already. `items` has `eid, v,
    ts, due, fee_bp` (fee in basis points of the gross amount, null where none is told). `first`
    and `last` (exclusive) are, for each lump, the items in its window. `unit` is what all amounts
    of the currency are multiples of.
    """

    currency: str
    lumps: pl.DataFrame
    items: pl.DataFrame
    first: Ints
    last: Ints
    unit: int

    def column(self, table: str, name: str) -> Ints:
        """A column of `lumps` or `items` as an array of int64."""
        frame = self.lumps if table == "lumps" else self.items
        found: Ints = frame[name].to_numpy().astype(np.int64)
        return found


def piles(engine: Engine, rec: Reconciliation, zone: str, *, by_source: bool) -> Iterator[Pile]:
    """Read what is open, one pile per currency (and source of the items, if asked for)."""
    engine.run(*steps(rec, zone))
    lumps = engine.rows(
        "select eid, c, v, epoch_us(ts) as ts, epoch_us(due) as due, residual from lump_rows"
        " where due is not null order by c, ts, event_key"
    )
    items = engine.rows(
        "select eid, source, c, v, epoch_us(ts) as ts, epoch_us(due) as due, fee_bp from item_rows"
        " where due is not null order by c, source, ts, native_id nulls last, event_key"
    )
    units = _units(engine)
    group = ["c", "source"] if by_source else ["c"]
    for key, some in items.group_by(group, maintain_order=True):
        mine = lumps.filter(pl.col("c") == key[0])
        if mine.is_empty():
            continue
        ordered = some if by_source else some.sort("ts", maintain_order=True)
        currency = str(key[0])
        yield _pile(currency, _bounded(rec, mine), ordered, units.get(currency, 1))


def _units(engine: Engine) -> dict[str, int]:
    """By currency, what its amounts are multiples of, told by a thousand of them, open or not."""
    told = engine.rows(
        f"select c, min(v, {_TOLD_MAX}) as v from (select distinct currency as c, amount as v"
        " from whole_pool where currency in (select c from lump_rows) and amount <> 0)"
        " group by c order by c"
    )
    return {
        str(c): max(1, int(np.gcd.reduce(np.abs(np.asarray(v, dtype=np.int64)))))
        for c, v in told.iter_rows()
    }


def _pile(currency: str, lumps: pl.DataFrame, items: pl.DataFrame, unit: int) -> Pile:
    ts, due = (items[c].to_numpy() for c in ("ts", "due"))
    # both grow with time, so what lies in a window is one stretch
    first = np.searchsorted(np.maximum.accumulate(due), lumps["ts"].to_numpy(), "left")
    last = np.searchsorted(ts, lumps["due"].to_numpy(), "right")
    return Pile(currency, lumps, items, first.astype(np.int64), last.astype(np.int64), unit)


def _bounded(rec: Reconciliation, lumps: pl.DataFrame) -> pl.DataFrame:
    """With `low` and `high`: the smallest and largest sum that agrees with each lump."""
    minor, percent = rec.tolerance.minor_units, rec.tolerance.percent
    if not percent:
        return lumps.with_columns(low=pl.col("v") - minor, high=pl.col("v") + minor)
    exponent = percent.normalize().as_tuple().exponent
    scale = 100 * 10 ** max(0, -exponent if isinstance(exponent, int) else 0)
    share = int(percent * scale) // 100
    lump_left = keys.one_side(rec) == "left"

    def agrees(lump: int, total: int) -> bool:
        told = lump if lump_left else total
        return bool(abs(lump - total) <= max(minor, abs(told) * share // scale))

    def farthest(lump: int, direction: int) -> int:
        """The last sum in a direction that agrees: allowed and distance both change one way."""
        low, high = 0, max(minor, 2 * abs(lump)) + 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if agrees(lump, lump + direction * middle) else (low, middle - 1)
            )
        return lump + direction * low

    bounds = [(farthest(v, -1), farthest(v, 1)) for v in lumps["v"].to_list()]
    schema = {"low": pl.Int64, "high": pl.Int64}
    return pl.concat([lumps, pl.DataFrame(bounds, schema=schema, orient="row")], how="horizontal")


def steps(rec: Reconciliation, zone: str) -> tuple[Step, ...]:
    """`lump_rows` and `item_rows`."""
    one = 0 if keys.one_side(rec) == "left" else 1
    return (
        *((late.carriers_step(rec, "rest", "lump_carriers"),) if rec.keys else ()),
        needy_step(rec),
        Step("lump_rows", _rows_sql(rec, zone, one), "open events that a group may add up to"),
        _residual_step(rec, zone),
        Step("item_rows", _rows_sql(rec, zone, 1 - one), "open events that may be its parts"),
    )


def _residual_step(rec: Reconciliation, zone: str) -> Step:
    one = keys.one_side(rec)
    many = "right" if one == "left" else "left"
    return Step(
        "lump_residuals",
        f"""
insert into lump_rows by name
select eid, event_key, n.currency as c, ({one}_sum - {many}_sum)::bigint as v, ts,
       {due_sql(rec, one, "ts", zone)} as due, true as residual
from needy n join pool p on p.eid = n.mid where ts is not null""",
        "and what matches leave open",
    )


def _rows_sql(rec: Reconciliation, zone: str, side: int) -> str:
    name, which = ("left", "lump") if side == 0 else ("right", "lump")
    if side != (0 if keys.one_side(rec) == "left" else 1):
        which = "item"
    net = getattr(rec.measure, name) == "net"
    gross = "v + fee" if net else "v"
    known = "".join(
        f" and (k{i} is null or t{i} not in (select t from lump_carriers where side = {1 - side}"
        f" and number = {i}))"
        for i in range(len(rec.keys))
    )
    return f"""
create or replace table {which}_rows as
with told as (
    select * exclude (amount, currency, shown, shown_currency), currency as c, amount as v from rest
    where side = {side} and amount <> 0 and currency is not null
    union all by name
    select * exclude (amount, currency, shown, shown_currency), shown_currency as c, shown as v
    from rest
    where side = {side} and shown <> 0 and shown_currency is not null
      and (amount is null or currency is distinct from shown_currency)
)
select t.eid, t.event_key, f.source, f.native_id, c, v, ts, {due_sql(rec, name, "ts", zone)} as due,
       case when f.fee is not null and {gross} > 0 then (f.fee * 10000) // ({gross}) end as fee_bp,
       false as residual
from told t join facts f using (eid)
where ts is not null and not dead{known}"""
