"""Method `decomposed`: which open items add up to this lump, found exactly or not at all.

A key has spoken and runs were counted before; here every set of the open items in the window is
looked at (see `subsets`), whatever their order or source. All sets that add up are counted: more
than one is a question with its number, and so is a single one that chance explains. More than
`subsets.ITEMS_MAX` items are undecidable, which is said with their number. Never the first found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.matching import answers, keys, picking, subsets
from recon_kit.matching.authority import Authority
from recon_kit.matching.lumps import Pile, piles
from recon_kit.matching.runs import Ints
from recon_kit.settings import Reconciliation

Flags = npt.NDArray[np.bool_]
# What is open after `run`.
STILL_OPEN = answers.still_open("decomposed")
_LISTED_MAX = 2_000  # of a lump with more answers only their number is told


def run(engine: Engine, rec: Reconciliation, zone: str, allowed: Authority) -> bool:
    """Match or propose sets of `rest`; returns whether a match was made.

    Lumps that an earlier method already asks about, or calls undecidable, are left to that word:
    whatever a run or a single event answers, sets would only answer more often.
    """
    if rec.cardinality == "one_to_one":
        return False
    one = keys.one_side(rec)
    other = "right" if one == "left" else "left"
    told = engine.rows(
        f"select {one}_eid as eid from offered_answers union select eid from undecided order by 1"
    )
    barred: dict[int, set[int]] = {}
    for lump, item in engine.rows(f"select {one}_eid, {other}_eid from barred_pool").iter_rows():
        barred.setdefault(lump, set()).add(item)
    asked = set(told["eid"].to_list())
    found = [
        searched
        for pile in piles(engine, rec, zone, by_source=False)
        for searched in _search(pile, asked, barred)
    ]
    crowded = [(s.lump, len(s.items)) for s in found if s.answers is None]
    schema = {"one_eid": pl.Int64, "number": pl.Int64}
    matched = picking.settle(engine, rec, "decomposed", _together(found), allowed)
    picking.note(engine, "set", "undecidable", pl.DataFrame(crowded, schema=schema, orient="row"))
    return matched


@dataclass(frozen=True, slots=True)
class _Searched:
    """One lump (`place` in its pile) with the places of its items, and the sets that add up.

    `answers` is None where there are too many items.
    """

    pile: Pile
    place: int
    lump: int
    items: Ints
    answers: subsets.Answers | None
    chance: float = 0.0

    @property
    def residual(self) -> bool:
        """Whether a match has the lump's event already."""
        return bool(self.pile.lumps["residual"][self.place])

    def claims(self) -> Ints:
        """Items of any answer: of all of them, where these are too many to list."""
        if self.answers is None or not self.answers.count:
            return self.items[:0]
        if not len(self.answers.masks):
            return self.items
        return self.members(int(np.bitwise_or.reduce(self.answers.masks)))

    def members(self, mask: int) -> Ints:
        """Places of the items of one set."""
        chosen = _bits(np.array([mask]), len(self.items))[0]
        found: Ints = self.items[chosen]
        return found


def _search(pile: Pile, asked: set[int], barred: dict[int, set[int]]) -> Iterator[_Searched]:
    values, eids = pile.column("items", "v"), pile.column("items", "eid")
    columns = (pile.lumps[c].to_list() for c in ("eid", "low", "high"))
    windows = zip(pile.first.tolist(), pile.last.tolist(), strict=True)
    for place, (lump, low, high, (first, last)) in enumerate(zip(*columns, windows, strict=True)):
        if lump in asked or first >= last:
            continue
        items = np.arange(first, last)
        if lump in barred:
            items = items[~np.isin(eids[items], list(barred[lump]))]
        items = items[_possible(values[items], low, high)]
        if len(items) > subsets.ITEMS_MAX:
            yield _Searched(pile, place, lump, items, None)
            continue
        mine = values[items]
        found = subsets.solve(mine, low, high, listed_max=_LISTED_MAX)
        yield _Searched(pile, place, lump, items, found, subsets.chance(mine, low, high, pile.unit))


def _possible(values: Ints, low: int, high: int) -> Flags:
    """Which items may be in some set at all: with all that helps, the sum can come back."""
    kept = np.ones(len(values), dtype=bool)
    while True:
        down, up = values[kept & (values < 0)].sum(), values[kept & (values > 0)].sum()
        fits = np.where(values > 0, values + down <= high, values + up >= low)
        if not (kept & ~fits).any():
            return kept
        kept &= fits


def _bits(masks: Ints, items: int) -> Flags:
    """One row per set, one column per item: whether it belongs."""
    found: Flags = (masks[:, None] >> np.arange(items)) & 1 == 1
    return found


def _together(found: list[_Searched]) -> picking.Findings:
    """One list of answers over all lumps, and what makes their parts."""
    rivals = _rivals(found)
    listed: list[pl.DataFrame] = []
    owners: list[tuple[_Searched, int]] = []
    for number, searched in enumerate(found):
        if searched.answers is not None and len(searched.answers.masks):
            listed.append(_described(searched, rivals.get(number, 0), len(owners)))
            owners += [(searched, mask) for mask in searched.answers.masks.tolist()]
    tallies = pl.DataFrame(
        [
            (s.lump, s.answers.count, len(s.items), s.chance, s.residual)
            for s in found
            if s.answers is not None
        ],
        schema=picking.TALLIES, orient="row",
    )  # fmt: skip

    def parts(chosen: pl.DataFrame) -> pl.DataFrame:
        rows = []
        for aid in chosen["aid"].to_list():
            searched, mask = owners[aid]
            picked = searched.pile.items[searched.members(mask).tolist()]
            rows.append(picked.select(pl.lit(aid, pl.Int64).alias("aid"), "eid", "v"))
        made: pl.DataFrame = pl.concat([picking.empty(picking.PARTS), *rows])
        return made

    return picking.Findings(
        "set", pl.concat([picking.empty(picking.CANDIDATES), *listed]), tallies, parts
    )


def _rivals(found: list[_Searched]) -> dict[int, int]:
    """By place in the list: how many other lumps lay claim to an item of a lump with one answer."""
    claims = pl.concat(
        [
            pl.DataFrame(schema={"number": pl.Int64, "lump": pl.Int64, "eid": pl.Int64}),
            *(
                s.pile.items[s.claims().tolist()].select(
                    pl.lit(n, pl.Int64).alias("number"), pl.lit(s.lump, pl.Int64).alias("lump"),
                    "eid",
                )
                for n, s in enumerate(found)
            ),
        ]
    )  # fmt: skip
    single = [n for n, s in enumerate(found) if s.answers is not None and s.answers.count == 1]
    mine = claims.filter(pl.col("number").is_in(single))
    both = mine.join(claims, on="eid", suffix="_other").filter(
        pl.col("lump") != pl.col("lump_other")
    )
    counted = both.group_by("number").agg(pl.col("lump_other").n_unique())
    return dict(counted.iter_rows())


def _described(searched: _Searched, rivals: int, first_aid: int) -> pl.DataFrame:
    """The listed answers of one lump in the columns of `picking.CANDIDATES`."""
    assert searched.answers is not None  # noqa: S101 - only listed answers are described
    pile, items = searched.pile, searched.items
    chosen = _bits(searched.answers.masks, len(items))
    ts = pile.column("items", "ts")[items]
    earliest = np.where(chosen, ts, ts.max()).min(axis=1)
    latest = np.where(chosen, ts, ts.min()).max(axis=1)
    size = chosen.sum(axis=1)
    lump = pile.lumps.row(searched.place, named=True)
    return pl.DataFrame({
        "aid": np.arange(len(chosen)) + first_aid,
        "one_eid": [searched.lump] * len(chosen),
        "currency": [pile.currency] * len(chosen),
        "one_sum": [lump["v"]] * len(chosen),
        "size": size, "span": latest - earliest,
        "gap": picking.gaps(earliest, latest, np.full(len(chosen), lump["ts"])),
        "fee_off_bp": (chosen * picking.fee_distance(pile)[items]).sum(axis=1) // size,
        "rivals": [rivals] * len(chosen),
    }, schema=picking.CANDIDATES)  # fmt: skip
