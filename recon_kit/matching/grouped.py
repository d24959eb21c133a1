"""Method `grouped`: groups that no key names, found as contiguous runs of open items.

Payouts of some days in one bank line, a partner's batch, a payout whose members do not name it: the
items of one source and currency, in order of time, of which some in a row add up to the lump within
tolerance and window. All runs are counted (see `runs`); more than one is a question, and so is a
run that shares an item with the run of another lump, or that chance explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.matching import answers, keys, picking, runs
from recon_kit.matching.authority import Authority
from recon_kit.matching.lumps import Pile, piles
from recon_kit.matching.runs import Ints, Runs
from recon_kit.settings import Reconciliation

# What is open after `run`.
STILL_OPEN = answers.still_open("grouped")
ITEMS_MAX = 5_000  # in one window: more cannot be told apart by a sum
_LISTED_MAX = 100  # of a lump with more runs only their number is told


def run(
    engine: Engine,
    rec: Reconciliation,
    zone: str,
    allowed: Authority,
    method: str = "grouped",
) -> bool:
    """Match or propose groups of `rest`; returns whether a match was made.

    Args:
        engine: after `exact`.
        rec: the reconciliation; one-to-one has no groups.
        zone: the business zone.
        allowed: whether the method may match by itself.
        method: under whose name; `decomposed` looks for runs first as well.
    """
    if rec.cardinality == "one_to_one":
        return False
    barred = _barred(engine, rec)
    found: list[_Found] = []
    for pile in piles(engine, rec, zone, by_source=True):
        found.append(_search(pile, barred))
        crowded = pile.lumps.select(
            one_eid="eid", number=pl.Series(pile.last - pile.first)
        ).filter(pl.col("number") > ITEMS_MAX)  # fmt: skip
        picking.note(engine, "run", "undecidable", crowded)
    return picking.settle(engine, rec, method, _together(found), allowed)


@dataclass(frozen=True, slots=True)
class _Found:
    """Runs of one pile: `listed` has `CANDIDATES` and `start`, `end`."""

    pile: Pile
    listed: pl.DataFrame
    tallies: pl.DataFrame


def _barred(engine: Engine, rec: Reconciliation) -> pl.DataFrame:
    one = keys.one_side(rec)
    other = "right" if one == "left" else "left"
    return engine.rows(
        f"select {one}_eid as one_eid, {other}_eid as eid from barred_pool order by all"
    )


def _search(pile: Pile, barred: pl.DataFrame) -> _Found:
    """All runs of a pile; a run over an item that a person barred from the lump is none."""
    first = pile.first
    last = np.where(pile.last - first > ITEMS_MAX, first, pile.last)
    low, high = pile.column("lumps", "low"), pile.column("lumps", "high")
    values = pile.column("items", "v")
    seen = runs.find(values, first, last, low, high, listed_max=_LISTED_MAX)
    listed, counts = _allowed(pile, seen, barred)
    prefix = runs.prefix_sums(values)
    chance = [
        _chance(prefix[a : b + 1], lo, hi, pile.unit)
        for a, b, lo, hi in zip(*(x.tolist() for x in (first, last, low, high)), strict=True)
    ]
    tallies = pile.lumps.select(
        one_eid="eid", equal_answers=pl.Series(counts), items=pl.Series(last - first),
        chance=pl.Series(chance, dtype=pl.Float64), residual="residual",
    )  # fmt: skip
    return _Found(pile, _described(pile, listed, counts, (first, last)), tallies)


def _chance(prefix: Ints, low: int, high: int, unit: int) -> float:
    """Runs that would add up by chance: all runs, spread over the range of their sums."""
    largest = int((prefix - np.minimum.accumulate(prefix)).max())
    smallest = int((prefix - np.maximum.accumulate(prefix)).min())
    items = len(prefix) - 1
    if low > largest or high < smallest or not items:
        return 0.0
    points = high // unit - -(-low // unit) + 1
    return items * (items + 1) / 2 * max(0, points) * unit / (largest - smallest + unit)


def _allowed(pile: Pile, seen: Runs, barred: pl.DataFrame) -> tuple[pl.DataFrame, Ints]:
    """Listed runs without barred ones, and how many runs each lump has."""
    listed = pl.DataFrame({"target": seen.target, "start": seen.start, "end": seen.end})
    if barred.is_empty():
        return listed, seen.counts
    places = pile.items.select("eid", place=pl.int_range(pl.len()))
    lumps = pile.lumps.select(one_eid="eid", target=pl.int_range(pl.len()))
    walls = barred.join(places, on="eid").join(lumps, on="one_eid").select("target", "place")
    gone = listed.join(walls, on="target").filter(
        pl.col("place") >= pl.col("start"), pl.col("place") < pl.col("end")
    ).select("target", "start", "end").unique()  # fmt: skip
    counts = seen.counts - np.bincount(gone["target"].to_numpy(), minlength=len(seen.counts))
    return listed.join(gone, on=["target", "start", "end"], how="anti"), counts


def _described(
    pile: Pile, listed: pl.DataFrame, counts: Ints, window: tuple[Ints, Ints]
) -> pl.DataFrame:
    """Listed runs in the columns of `CANDIDATES` and with `start` and `end`."""
    target, start, end = (listed[c].to_numpy() for c in ("target", "start", "end"))
    ts = pile.column("items", "ts")
    away = runs.prefix_sums(picking.fee_distance(pile))
    size = end - start
    at = pile.column("lumps", "ts")[target]
    return pl.DataFrame({
        "one_eid": pile.column("lumps", "eid")[target],
        "currency": [pile.currency] * len(target),
        "one_sum": pile.column("lumps", "v")[target],
        "size": size, "span": ts[end - 1] - ts[start],
        "gap": picking.gaps(ts[start], ts[end - 1], at),
        "fee_off_bp": (away[end] - away[start]) // np.maximum(size, 1),
        "rivals": _rivals(target, start, end, counts, window),
        "start": start, "end": end,
    }, schema_overrides={"currency": pl.String})  # fmt: skip


def _rivals(target: Ints, start: Ints, end: Ints, counts: Ints, window: tuple[Ints, Ints]) -> Ints:
    """For each run of a lump with one run: how many runs of other lumps share an item with it.

    A lump whose runs are too many to list lays claim to all of its window.
    """
    crowded = np.flatnonzero(counts > _LISTED_MAX)
    starts = np.sort(np.concatenate([start, window[0][crowded]]))
    ends = np.sort(np.concatenate([end, window[1][crowded]]))
    begun = np.searchsorted(starts, end, "left")
    over = np.searchsorted(ends, start, "right")
    found: Ints = np.where(counts[target] == 1, begun - over - 1, 0)
    return found


def _together(found: Sequence[_Found]) -> picking.Findings:
    """One list of answers over all piles, and what makes their parts."""
    listed = [f.listed.with_columns(pile=pl.lit(i, pl.Int64)) for i, f in enumerate(found)]
    if not listed:
        nothing = picking.empty(picking.CANDIDATES)
        return picking.Findings(
            "run", nothing, picking.empty(picking.TALLIES), lambda _: picking.empty(picking.PARTS)
        )
    every = pl.concat(listed).with_columns(aid=pl.int_range(pl.len()))

    def parts(chosen: pl.DataFrame) -> pl.DataFrame:
        rows = every.filter(pl.col("aid").is_in(chosen["aid"].implode())).with_columns(
            place=pl.int_ranges("start", "end")
        ).explode("place")  # fmt: skip
        items = pl.concat(
            f.pile.items.select(
                pl.lit(i, pl.Int64).alias("pile"), "eid", "v", place=pl.int_range(pl.len())
            )
            for i, f in enumerate(found)
        )
        return rows.join(items, on=["pile", "place"]).select(list(picking.PARTS))

    return picking.Findings(
        "run", every.select(list(picking.CANDIDATES)), pl.concat(f.tallies for f in found), parts
    )
