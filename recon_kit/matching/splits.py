"""Payments in parts: a principal gets several partners when, and only when, they add up to it.

`assign` gives an event one partner at most. Where a reconciliation allows several, a set of two to
four events may stand together against one principal if each is plausible by all that speaks for it
beside its amount, and their amounts add up within the tolerance. Such a set competes with all pairs
and sets that want one of its events: the answer is the choice of greatest total weight, solved
exactly for each connected component that holds a set; an answer that is not the only best one is
left to a person.

A set is as probable as its weakest part: what speaks for one part beside its amount (the customer,
the time) speaks for all of them, and must not be counted again for each. To that comes the evidence
of an equal amount, less what the number of sets takes away: the more sets were tried, the likelier
that one adds up by chance. So a whole payment stands above its look-alikes in parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import keys
from recon_kit.matching.assign import ASSIGNED_SCHEMA, WEIGHT_FLOOR, Cardinality, pick
from recon_kit.matching.assign import assign as pairwise
from recon_kit.matching.ladders import Comparison
from recon_kit.matching.optimum import Ints
from recon_kit.safe import quote_ident
from recon_kit.settings import Reconciliation

PARTS_MAX = 4
OFFERS_MAX = 12  # plausible parts of one principal; more make too many sets to mean anything
REST_MIN = 0.0  # bits: without its amount a part must be at least as likely as not
_MICRO = 1_000_000
_ITEMS_MAX = 2_000  # pairs and sets of one component that are solved together


@dataclass(frozen=True, slots=True)
class Item:
    """A pair or a set that may be chosen: its events (the principal first) and its weight."""

    events: tuple[int, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """An item of the answer: its chance against its rivals, its lead over the best of them."""

    item: Item
    chance: float
    margin: float
    rival: Item | None
    equal: bool


def cardinality_of_pairs(rec: Reconciliation, ladders: Sequence[Comparison]) -> Cardinality:
    """The cardinality under which pairs compete.

    Where amounts are compared several partners come as a set that adds up, or not at all. Where
    none are, nothing has to add up: two leads of one conversion are its partners by themselves, as
    they would be by key.
    """
    sums = any(ladder.name == "amount" for ladder in ladders)
    return "one_to_one" if sums or rec.cardinality == "many_to_many" else rec.cardinality


def assign(
    engine: Engine, rec: Reconciliation, ladders: Sequence[Comparison], table: str = "scored_pairs"
) -> list[str]:
    """Leave `assigned_pairs` with pairs one to one and, where they add up, sets of parts.

    Args:
        engine: holds the scored pairs, `side_left` and `side_right`.
        rec: the reconciliation; sets are looked for where an event may have several partners
            whose amounts are told, from either side where both may.
        ladders: the model's comparisons.
        table: name of the scored pairs.

    Returns:
        Notes. The table has the columns of `ASSIGNED_SCHEMA`; `together` names the principal's
        `eid` on the rows of a set, whose rows share probability and margin.
    """
    competing = cardinality_of_pairs(rec, ladders)
    if rec.cardinality == "one_to_one" or competing != "one_to_one":
        pairwise(engine, table, competing)
        return []
    pairs = engine.rows(
        f"select left_eid, right_eid, match_weight, left_seq, right_seq from {quote_ident(table)}"
    ).sort("left_seq", "right_seq")
    answer = pick(pairs, competing)
    shift = engine.count("side_left") + 1  # right events are numbered after the left ones
    sets: list[Item] = []
    crowded = too_large = 0
    for one in keys.one_sides(rec):
        engine.run(*_part_steps(rec, one, table))
        found, over = _sets(engine, one, ladders, shift)
        sets, crowded = sets + found, crowded + over
    if sets:
        answer, too_large = _together(pairs, answer, sets, shift)
    engine.put("assigned_pairs", answer)
    notes = []
    if crowded:
        notes.append(
            f"{crowded:,} events have more than {OFFERS_MAX} plausible parts each: which of them "
            "add up says nothing, so no set was tried"
        )
    if too_large:
        notes.append(f"{too_large:,} groups of look-alikes are too large to look for parts in")
    return notes


# --- which sets add up ----------------------------------------------------------------------------
def _part_steps(rec: Reconciliation, one: str, table: str) -> tuple[Step, ...]:
    """`part_offers(one, many, whole, part, rest, offers)`: plausible parts of each principal."""
    many = "right" if one == "left" else "left"
    allowed = keys.allowed_sql(rec.tolerance, "p.amount")
    part = (
        "case when m.currency = p.currency then m.amount"
        " when m.shown_currency = p.currency then m.shown end"
    )
    return (
        Step(
            "part_offers",
            f"""
create or replace temp table part_offers as
select *, count(*) over (partition by one) as offers from (
    select s.{one}_seq as one, s.{many}_seq as many, p.amount as whole, {part} as part,
        {allowed} as allowed,
        round(s.match_weight - coalesce((s.weights ->> 'amount')::double, 0), 6) as rest
    from (from {quote_ident(table)} where isfinite(match_weight)) s
    join side_{one} p on p.seq = s.{one}_seq join side_{many} m on m.seq = s.{many}_seq)
where part <> 0 and sign(part) = sign(whole) and abs(part) < abs(whole) - allowed
    and rest >= {REST_MIN}""",
            "what could be a part of what",
        ),
        Step(
            "part_sets",
            _sets_sql(),
            "sets of parts that add up",
        ),
    )


def _sets_sql() -> str:
    """Every set of two to four offers of one principal that adds up to it."""
    arms = []
    for size in range(2, PARTS_MAX + 1):
        names = [f"p{i}" for i in range(size)]
        joins = "".join(
            f" join offered {b} on {b}.one = {a}.one and {b}.many > {a}.many"
            for a, b in itertools.pairwise(names)
        )
        total = " + ".join(f"{n}.part" for n in names)
        rest = ", ".join(f"{n}.rest" for n in names)
        listed = ", ".join(f"{n}.many" for n in names)
        arms.append(
            f"select p0.one, [{listed}] as parts, least({rest}) as rest, p0.offers"
            f" from offered p0{joins} where abs({total} - p0.whole) <= p0.allowed"
        )
    return f"""create or replace temp table part_sets as
        with offered as (from part_offers where offers between 2 and {OFFERS_MAX})
        {" union all ".join(arms)}"""


def _sets(
    engine: Engine, one_side: str, ladders: Sequence[Comparison], shift: int
) -> tuple[list[Item], int]:
    """Every set worth a look, and how many principals had too many offers to try any."""
    equal = _equal_amounts(ladders)
    head, tail = (0, shift) if one_side == "left" else (shift, 0)
    found = []
    for one, parts, rest, offers in engine.rows("from part_sets order by one, parts").iter_rows():
        tried = sum(math.comb(offers, size) for size in range(2, PARTS_MAX + 1))
        weight = round(rest + equal - math.log2(tried), 6)
        if weight > WEIGHT_FLOOR:
            found.append(Item((one + head, *(part + tail for part in parts)), weight))
    crowded = engine.one(
        f"select count(distinct one) from part_offers where offers > {OFFERS_MAX}"
    )[0]
    assert isinstance(crowded, int)  # noqa: S101 - a count
    return found, crowded


def _equal_amounts(ladders: Sequence[Comparison]) -> float:
    """Bits that an equal amount is worth, whatever its rarity."""
    same = [
        level
        for ladder in ladders
        if ladder.name == "amount"
        for level in ladder.levels
        if level.label.startswith("same amount")
    ]
    if not same:
        return 0.0
    return math.log2(sum(v.m for v in same) / sum(v.u for v in same))


# --- the best choice of pairs and sets ------------------------------------------------------------
def choose(items: Sequence[Item]) -> list[Chosen]:
    """The items of greatest total weight of which no two share an event.

    Weights count from `WEIGHT_FLOOR` in whole millionths of a bit. The problem is set packing;
    branch and bound solves it exactly, and once more without each chosen item: where the total
    stays the same there is another answer as good.
    """
    benefit = np.array([round((i.weight - WEIGHT_FLOOR) * _MICRO) for i in items], dtype=np.int64)
    best, taken = _solve(items, benefit, None)
    odds = [2.0 ** min(i.weight, 60.0) for i in items]
    rivals = [
        [n for n, other in enumerate(items) if n != at and set(other.events) & set(item.events)]
        for at, item in enumerate(items)
    ]
    chance = [o / (1 + o + sum(odds[n] for n in r)) for o, r in zip(odds, rivals, strict=True)]
    found = []
    for at in taken:
        equal = _solve(items, benefit, at)[0] == best
        against = max(rivals[at], key=lambda n: (chance[n], -n), default=None)
        lead = chance[at] - (chance[against] if against is not None else 0.0)
        found.append(
            Chosen(
                items[at],
                round(chance[at], 6),
                0.0 if equal else round(min(max(lead, 0.0), 1.0), 6),
                items[against] if against is not None else None,
                equal=equal,
            )
        )
    return found


def _solve(items: Sequence[Item], benefit: Ints, without: int | None) -> tuple[int, list[int]]:
    """Greatest total benefit, and the items chosen; one item may be ruled out."""
    names = {event: row for row, event in enumerate(sorted({e for i in items for e in i.events}))}
    rows = [names[event] for item in items for event in item.events]
    columns = [at for at, item in enumerate(items) for _ in item.events]
    once = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(items)))
    most = np.ones(len(items))
    if without is not None:
        most[without] = 0
    answer = milp(
        -benefit.astype(np.float64),
        integrality=np.ones(len(items)),
        bounds=Bounds(0, most),
        constraints=LinearConstraint(once, ub=1),
        options={"mip_rel_gap": 0.0},
    )
    if answer.x is None:
        raise MatchingError("parts could not be assigned; this is a defect, please report it")
    taken = np.flatnonzero(answer.x > 0.5)
    return int(benefit[taken].sum()), [int(n) for n in taken]


def _together(
    pairs: pl.DataFrame, alone: pl.DataFrame, sets: Sequence[Item], shift: int
) -> tuple[pl.DataFrame, int]:
    """`alone`, chosen anew in every component that holds a set; and how many were too large."""
    left = pairs["left_seq"].to_numpy()
    right = pairs["right_seq"].to_numpy() + shift
    weight = pairs["match_weight"].to_numpy()
    worth = np.isfinite(weight) & (weight > WEIGHT_FLOOR)
    links = [(s.events[0], part) for s in sets for part in s.events[1:]]
    heads, parts = (np.array(ends, dtype=np.int64) for ends in zip(*links, strict=True))
    label = _labels(np.r_[left[worth], heads], np.r_[right[worth], parts])
    hold = np.unique(label[[s.events[0] for s in sets]])
    near = worth & np.isin(label[left], hold)
    items: dict[int, list[Item]] = {}
    for a, b, w in zip(left[near], right[near], weight[near], strict=True):
        items.setdefault(int(label[a]), []).append(Item((int(a), int(b)), float(w)))
    for found in sets:
        items.setdefault(int(label[found.events[0]]), []).append(found)
    small = {name: group for name, group in items.items() if len(group) <= _ITEMS_MAX}
    chosen = [c for name in sorted(small) for c in choose(small[name])]
    eid = dict(zip(left.tolist(), pairs["left_eid"].to_list(), strict=True))
    eid |= dict(zip(right.tolist(), pairs["right_eid"].to_list(), strict=True))
    redone = {eid[e] for group in small.values() for item in group for e in item.events}
    kept = alone.filter(~pl.col("left_eid").is_in(redone) & ~pl.col("right_eid").is_in(redone))
    known = {(int(a), int(b)): float(w) for a, b, w in
             zip(left[near], right[near], weight[near], strict=True)}  # fmt: skip
    rows = [row for c in chosen for row in _rows(c, eid, known)]
    new = pl.DataFrame(rows, schema=ASSIGNED_SCHEMA, orient="row")
    return pl.concat([kept, new]), len(items) - len(small)


def _labels(one: Ints, other: Ints) -> Ints:
    """The component of every event number."""
    nodes = int(max(one.max(), other.max())) + 1
    links = csr_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(nodes, nodes))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _rows(
    chosen: Chosen, eid: Mapping[int, int], known: Mapping[tuple[int, int], float]
) -> list[tuple[object, ...]]:
    """Rows of `ASSIGNED_SCHEMA`: one a pair, one for each part of a set."""
    item, rival = chosen.item, chosen.rival
    other = min((e for e in rival.events if e not in item.events), default=None) if rival else None
    principal = item.events[0]
    rows: list[tuple[object, ...]] = []
    for part in item.events[1:]:
        left, right = sorted((principal, part))
        weight = known.get((left, right), item.weight)
        rows.append(
            (
                eid[left], eid[right], round(weight, 6), chosen.chance, chosen.margin,
                round(item.weight - rival.weight, 6) if rival else None,
                eid[other] if other is not None else None, rival.weight if rival else None,
                2 if chosen.equal else 1, eid[principal] if len(item.events) > 2 else None,
            )
        )  # fmt: skip
    return rows
