"""Global assignment: of all scored pairs, which ones stand together under the cardinality.

A greedy pick of the best pair can spoil two good ones (weights 10, 9, 9, 0: greedy takes 10 + 0,
the best is 9 + 9). Here the sum of match weights is maximised over each connected component.
Weights count as whole millionths of a bit, so that sums and ties are exact; a tie is counted and
left to a person, never broken by row order. Confidence is computed under the cardinality as well:
an event has at most one counterpart, so look-alikes share its probability.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine
from recon_kit.matching.optimum import (
    NONE,
    Floats,
    Graph,
    Ints,
    Limits,
    Mask,
    best_other,
    graph,
    solve,
)
from recon_kit.safe import quote_ident

Cardinality = Literal["one_to_one", "one_to_many", "many_to_one", "many_to_many"]

ASSIGNED_SCHEMA: dict[str, pl.DataType] = {
    "left_eid": pl.Int64(), "right_eid": pl.Int64(), "match_weight": pl.Float64(),
    "match_probability": pl.Float64(), "margin": pl.Float64(), "weight_margin": pl.Float64(),
    "rival_eid": pl.Int64(), "rival_weight": pl.Float64(), "equal_answers": pl.Int64(),
    "together": pl.Int64(),
}  # fmt: skip

# A pair is worth more than no pair down to this weight (bits): probability 0.02. Anything lower
# would only be shown to be refused.
WEIGHT_FLOOR = -5.6
_MICRO = 1_000_000  # match weights are kept to millionths of a bit
_ROUNDS_MAX = 60  # of message passing; converges in about ten on real data
_SETTLED = 1e-9


def assign(
    engine: Engine,
    table: str,
    cardinality: Cardinality,
    *,
    capacity: int | None = None,
    weight_floor: float = WEIGHT_FLOOR,
) -> str:
    """Pick the pairs of greatest total weight and leave them in `assigned_pairs`.

    Args:
        engine: holds `table(left_eid, right_eid, match_weight, ...)`, one row per pair; weights in
            bits (log2 odds). Rows at or below `weight_floor` are rivals at most, never picked.
            Columns `left_seq, right_seq` (order by key), where there, stand for the eids as the
            order of rows, as eids may differ from run to run.
        table: name of the table or view of scored pairs.
        cardinality: one_to_one; one_to_many (a left event takes several right ones, a right event
            one left one); many_to_one; many_to_many (no limit).
        capacity: most partners on the "many" side; no limit when not given.
        weight_floor: bits above which a pair is better than none.

    Returns:
        The name `assigned_pairs`, with the columns of `ASSIGNED_SCHEMA`. `match_probability` is
        the chance of the pair given that each event has at most its allowed partners, `margin` its
        lead over the best rival (0 when optimal answers tie), `weight_margin` the same in bits
        of match weight, `equal_answers` how many equally good answers one of its events has,
        `together` is null (see `splits`). A pair whose weight is no number cannot be weighed
        against others: it is handed on without a weight and a probability, where its events found
        no other partner.
    """
    columns = engine.rows(f"select * from {quote_ident(table)} limit 0").columns
    ordered = [c for c in ("left_seq", "right_seq") if c in columns]
    pairs = engine.rows(
        f"select {', '.join(['left_eid', 'right_eid', 'match_weight', *ordered])} "
        f"from {quote_ident(table)}"
    )
    engine.put("assigned_pairs", pick(pairs, cardinality, capacity, weight_floor))
    return "assigned_pairs"


def chances(engine: Engine, table: str, cardinality: Cardinality) -> pl.DataFrame:
    """Chance of every scored pair under the cardinality, picked or not.

    Args:
        engine: holds `table(left_eid, right_eid, left_seq, right_seq, match_weight)`.
        table: name of the table or view of scored pairs.
        cardinality: as of `assign`.

    Returns:
        left_eid, right_eid, chance (to six digits, as `assign` tells it of the picked ones).
    """
    pairs = engine.rows(
        f"select left_eid, right_eid, left_seq, right_seq, match_weight from {quote_ident(table)} "
        "where isfinite(match_weight) order by left_seq, right_seq"
    )
    weight = pairs["match_weight"].to_numpy()
    whole = graph(
        pairs["left_seq"].to_numpy(),
        pairs["right_seq"].to_numpy(),
        np.zeros(len(weight), dtype=np.int64),
    )
    chance = posterior(whole, weight, _limits(cardinality, None)) if len(weight) else weight
    return pairs.select("left_eid", "right_eid", pl.Series("chance", np.round(chance, 6)))


def pick(
    pairs: pl.DataFrame,
    cardinality: Cardinality,
    capacity: int | None = None,
    weight_floor: float = WEIGHT_FLOOR,
) -> pl.DataFrame:
    """`assign` on a frame: (left_eid, right_eid, match_weight) -> columns of `ASSIGNED_SCHEMA`."""
    if pairs.is_empty():
        return pl.DataFrame(schema=ASSIGNED_SCHEMA)
    keyed = "left_seq" in pairs.columns and "right_seq" in pairs.columns
    order = ["left_seq", "right_seq"] if keyed else ["left_eid", "right_eid"]
    pairs = pairs.sort(order)
    scored = pl.col("match_weight").is_finite().fill_null(value=False)
    unscored, pairs = pairs.filter(~scored), pairs.filter(scored)
    picked = _picked(pairs, order, cardinality, capacity, weight_floor)
    if unscored.is_empty():
        return picked
    alone = unscored.filter(
        ~pl.col("left_eid").is_in(picked["left_eid"].implode())
        & ~pl.col("right_eid").is_in(picked["right_eid"].implode())
    )
    questions = alone.select(
        "left_eid", "right_eid", pl.lit(0.0).alias("margin"),
        pl.lit(1, dtype=pl.Int64).alias("equal_answers"),
    )  # fmt: skip
    return pl.concat([picked, questions], how="diagonal")


def _picked(
    pairs: pl.DataFrame,
    order: list[str],
    cardinality: Cardinality,
    capacity: int | None,
    weight_floor: float,
) -> pl.DataFrame:
    """The pairs of greatest total weight, with what is told of each."""
    if pairs.is_empty():
        return pl.DataFrame(schema=ASSIGNED_SCHEMA)
    weight = pairs["match_weight"].to_numpy()
    left, right = pairs[order[0]].to_numpy(), pairs[order[1]].to_numpy()
    micro = np.rint((weight - weight_floor) * _MICRO).astype(np.int64)
    whole = graph(left, right, micro)
    limits = _limits(cardinality, capacity)
    chance = posterior(whole, weight, limits)
    eligible = micro > 0
    sub = whole.only(eligible)
    chosen_sub, equal_sub = solve(sub, limits, chance[eligible])
    chosen = np.zeros(len(weight), dtype=bool)
    equal = np.ones(len(weight), dtype=np.int64)
    chosen[eligible] = chosen_sub
    equal[eligible] = equal_sub
    rival = _rivals(whole, chance, chosen, limits)
    return _table(pairs, weight, chance, (chosen, equal, rival))


def _limits(cardinality: str, capacity: int | None) -> Limits:
    """Most partners of a left and of a right event; None is no limit."""
    if capacity is not None and capacity < 1:
        raise MatchingError(f"a capacity of {capacity} allows no match; give 1 or more")
    limits: dict[str, Limits] = {
        "one_to_one": (1, 1),
        "one_to_many": (capacity, 1),
        "many_to_one": (1, capacity),
        "many_to_many": (None, None),
    }
    return limits[cardinality]


def _table(
    pairs: pl.DataFrame, weight: Floats, chance: Floats, answer: tuple[Mask, Ints, Ints]
) -> pl.DataFrame:
    chosen, equal, rival = answer
    at, against = np.flatnonzero(chosen), rival[chosen]
    has = against != NONE
    left, right = pairs["left_eid"].to_numpy(), pairs["right_eid"].to_numpy()
    other = np.where(left[against] == left[at], right[against], left[against])
    lead = chance[at] - np.where(has, chance[against], 0.0)
    lead = np.where(equal[at] > 1, 0.0, np.clip(lead, 0.0, 1.0))
    frame = pl.DataFrame(
        {
            "left_eid": left[at],
            "right_eid": right[at],
            "match_weight": np.round(weight[at], 6),
            "match_probability": np.round(chance[at], 6),
            "margin": np.round(lead, 6),
            "weight_margin": np.round(weight[at] - weight[against], 6),
            "rival_eid": other,
            "rival_weight": np.round(weight[against], 6),
            "equal_answers": equal[at],
            "together": None,
        },
        schema=ASSIGNED_SCHEMA,
    )
    real = pl.Series(has)
    rivalry = ["weight_margin", "rival_eid", "rival_weight"]
    return frame.with_columns(pl.when(real).then(pl.col(c)).otherwise(None) for c in rivalry)


# --- chance under the cardinality --------------------------------------------------------------
def posterior(
    pairs: Graph,
    weight: Floats,
    limits: Limits,
    rounds: int = _ROUNDS_MAX,
) -> Floats:
    """Chance of each pair given how many partners an event may have.

    With one limited side this is exact: odds of the pair against all odds of the same event plus
    one for "no counterpart". With both sides limited to one it is the sum-product fixed point of
    the monomer-dimer model (it exists, is unique and is exact on graphs without circles; Salez,
    Weighted enumeration of spanning subgraphs in locally tree-like graphs, 2013).
    """
    odds = np.exp2(np.clip(weight, -60.0, 60.0))
    single_left, single_right = limits[0] == 1, limits[1] == 1
    free_left, free_right = np.ones_like(odds), np.ones_like(odds)
    for _ in range(rounds if single_left and single_right else 1):
        before = free_left
        if single_left:
            free_left = _unclaimed(odds * free_right, pairs.left, pairs.lefts)
        if single_right:
            free_right = _unclaimed(odds * free_left, pairs.right, pairs.rights)
        if np.max(np.abs(free_left - before)) < _SETTLED:
            break
    if single_left and not single_right:
        free_right = np.ones_like(odds)
    joint = odds * free_left * free_right
    return np.asarray(joint / (1.0 + joint))


def _unclaimed(claim: Floats, node: Ints, nodes: int) -> Floats:
    """Per pair: chance that its node is not claimed by the node's other pairs."""
    total = np.bincount(node, weights=claim, minlength=nodes)
    others = np.maximum(total[node] - claim, 0.0)
    # where one claim is all but the whole sum, the difference loses its digits: sum afresh
    return np.asarray(1.0 / (1.0 + others))


def _rivals(pairs: Graph, chance: Floats, chosen: Mask, limits: Limits) -> Ints:
    """Per pair the number of the likeliest other pair that competes with it, -1 if none."""
    rival = np.full(len(chance), NONE)
    best = np.full(len(chance), -1.0)
    for node, order, limit in (
        (pairs.left, np.arange(len(chance)), limits[0]),
        (pairs.right, pairs.by_right, limits[1]),
    ):
        if limit is None:
            continue
        found = best_other(node[order], chance[order], chosen[order] if limit > 1 else None)
        other = np.where(found == NONE, NONE, order[found])
        back = np.empty_like(other)
        back[order] = other
        theirs = np.where(back == NONE, -1.0, chance[back])
        better = theirs > best
        rival, best = np.where(better, back, rival), np.where(better, theirs, best)
    return rival
