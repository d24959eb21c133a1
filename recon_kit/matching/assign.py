"""Global assignment: of all scored pairs, which ones stand together under the cardinality.

A greedy pick of the best pair can spoil two good ones (weights 10, 9, 9, 0: greedy takes 10 + 0,
the best is 9 + 9). Here the sum of match weights is maximised over each connected component.
Weights count as whole millionths of a bit, so that sums and ties are exact; a tie is counted and
left to a person, never broken by row order. Confidence is computed under the cardinality as well:
an event has at most one counterpart, so look-alikes share its probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine
from recon_kit.safe import quote_ident

Cardinality = Literal["one_to_one", "one_to_many", "many_to_one", "many_to_many"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ASSIGNED_SCHEMA: dict[str, pl.DataType] = {
    "left_eid": pl.Int64(), "right_eid": pl.Int64(), "match_weight": pl.Float64(),
    "match_probability": pl.Float64(), "margin": pl.Float64(), "weight_margin": pl.Float64(),
    "rival_eid": pl.Int64(), "rival_weight": pl.Float64(), "equal_answers": pl.Int64(),
}  # fmt: skip

# A pair is worth more than no pair down to this weight (bits): probability 0.02. Anything lower
# would only be shown to be refused.
WEIGHT_FLOOR = -5.6
_MICRO = 1_000_000  # match weights are kept to millionths of a bit
_ROUNDS_MAX = 60  # of message passing; converges in about ten on real data
_SETTLED = 1e-9
_BATCH_ROWS = 2_000  # the sparse solver clears one array per row: keep its problems small
_LIKELY = 0.02  # pairs tried first in a large component; not a rule, see `_solve_hard`
_NONE = np.int64(-1)


@dataclass(frozen=True, slots=True)
class Graph:
    """Scored pairs as arrays over dense node numbers, in order of (left, right).

    `benefit` is the weight above the floor in millionths of a bit; `by_right` reorders the pairs
    by (right, left).
    """

    left: Ints
    right: Ints
    benefit: Ints
    lefts: int
    rights: int
    by_right: Ints

    def only(self, keep: Mask) -> Graph:
        """The graph of some of the pairs, nodes numbered anew (order is kept)."""
        return graph(self.left[keep], self.right[keep], self.benefit[keep])


def graph(left: Ints, right: Ints, benefit: Ints) -> Graph:
    """Number the nodes densely; pairs must come in order of (left, right)."""
    lefts, left_at = np.unique(left, return_inverse=True)
    rights, right_at = np.unique(right, return_inverse=True)
    by_right = np.lexsort((left_at, right_at))
    return Graph(left_at, right_at, benefit, len(lefts), len(rights), by_right)


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
        of match weight, `equal_answers` how many equally good answers one of its events has.
    """
    columns = engine.rows(f"select * from {quote_ident(table)} limit 0").columns
    ordered = [c for c in ("left_seq", "right_seq") if c in columns]
    pairs = engine.rows(
        f"select {', '.join(['left_eid', 'right_eid', 'match_weight', *ordered])} "
        f"from {quote_ident(table)}"
    )
    engine.put("assigned_pairs", pick(pairs, cardinality, capacity, weight_floor))
    return "assigned_pairs"


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
    weight = pairs["match_weight"].to_numpy()
    if not np.isfinite(weight).all():
        raise MatchingError("a scored pair has no finite match weight; train the model again")
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
    return _table(pairs, weight, chance, chosen, equal, rival)


def _limits(cardinality: str, capacity: int | None) -> tuple[int | None, int | None]:
    """Most partners of a left and of a right event; None is no limit."""
    if capacity is not None and capacity < 1:
        raise MatchingError(f"a capacity of {capacity} allows no match; give 1 or more")
    limits: dict[str, tuple[int | None, int | None]] = {
        "one_to_one": (1, 1),
        "one_to_many": (capacity, 1),
        "many_to_one": (1, capacity),
        "many_to_many": (None, None),
    }
    return limits[cardinality]


def _table(
    pairs: pl.DataFrame, weight: Floats, chance: Floats, chosen: Mask, equal: Ints, rival: Ints
) -> pl.DataFrame:
    at, against = np.flatnonzero(chosen), rival[chosen]
    has = against != _NONE
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
    limits: tuple[int | None, int | None],
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


def _rivals(
    pairs: Graph, chance: Floats, chosen: Mask, limits: tuple[int | None, int | None]
) -> Ints:
    """Per pair the number of the likeliest other pair that competes with it, -1 if none."""
    rival = np.full(len(chance), _NONE)
    best = np.full(len(chance), -1.0)
    for node, order, limit in (
        (pairs.left, np.arange(len(chance)), limits[0]),
        (pairs.right, pairs.by_right, limits[1]),
    ):
        if limit is None:
            continue
        found = _best_other(node[order], chance[order], chosen[order] if limit > 1 else None)
        other = np.where(found == _NONE, _NONE, order[found])
        back = np.empty_like(other)
        back[order] = other
        theirs = np.where(back == _NONE, -1.0, chance[back])
        better = theirs > best
        rival, best = np.where(better, back, rival), np.where(better, theirs, best)
    return rival


def _best_other(node: Ints, value: Floats, partner: Mask | None) -> Ints:
    """Per row the row of the greatest other value of the same (adjacent) node, -1 if none.

    Rows marked in `partner` share the node peacefully: they are no rivals.
    """
    value = value if partner is None else np.where(partner, -np.inf, value)
    starts = np.flatnonzero(np.r_[True, node[1:] != node[:-1]])
    group = np.cumsum(np.r_[False, node[1:] != node[:-1]])
    first = _argmax(value, starts, group)
    rest = value.copy()
    rest[first] = -np.inf
    second = _argmax(rest, starts, group)
    mine = np.arange(len(node)) == first[group]
    found = np.where(mine, second[group], first[group])
    return np.where(np.where(mine, rest[found], value[found]) > -np.inf, found, _NONE)


def _argmax(value: Floats, starts: Ints, group: Ints) -> Ints:
    """Per group of adjacent rows the first row of greatest value."""
    row = np.arange(len(value))
    at_top = value == np.maximum.reduceat(value, starts)[group]
    return np.asarray(np.minimum.reduceat(np.where(at_top, row, len(value)), starts))


# --- the best answer, and how many there are ----------------------------------------------------
def solve(pairs: Graph, limits: tuple[int | None, int | None], chance: Floats) -> tuple[Mask, Ints]:
    """Which pairs are chosen, and per pair how many equally good answers its events have.

    `chance` only says which pairs to try first; the answer does not depend on it.
    """
    if not len(pairs.benefit):
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)
    if None in limits:
        return _solve_free(pairs, limits)
    assert limits[0] is not None  # noqa: S101 - both are limited here, for the type checker
    assert limits[1] is not None  # noqa: S101 - both are limited here, for the type checker
    chosen = np.zeros(len(pairs.benefit), dtype=bool)
    equal = np.ones(len(pairs.benefit), dtype=np.int64)
    rest = np.ones(len(pairs.benefit), dtype=bool)
    if limits == (1, 1):
        rest = _peel(pairs, chosen)
    if rest.any():
        hard = pairs.only(rest)
        likely = chance[rest] >= _LIKELY if limits == (1, 1) else np.ones(int(rest.sum()), bool)
        picked = _solve_hard(hard, likely, limits[0], limits[1])
        chosen[rest] = picked
        equal[rest] = equal_answers(hard, picked, limits[0], limits[1])
    return chosen, equal


def _solve_free(pairs: Graph, limits: tuple[int | None, int | None]) -> tuple[Mask, Ints]:
    """At least one side has no limit: each event of the limited side takes its best."""
    if limits == (None, None):
        return np.ones(len(pairs.benefit), dtype=bool), np.ones(len(pairs.benefit), dtype=np.int64)
    if limits[0] == 1:
        order, node = np.arange(len(pairs.benefit)), pairs.left
    else:
        order, node = pairs.by_right, pairs.right[pairs.by_right]
    benefit = pairs.benefit[order]
    starts = np.flatnonzero(np.r_[True, node[1:] != node[:-1]])
    top = np.maximum.reduceat(benefit, starts)[node]
    is_top = benefit == top
    count = np.bincount(node, weights=is_top).astype(np.int64)
    before = np.cumsum(is_top) - is_top
    first = is_top & (before == before[starts][node])
    chosen, equal = np.zeros(len(order), dtype=bool), np.ones(len(order), dtype=np.int64)
    chosen[order], equal[order] = first, count[node]
    return chosen, equal


def _peel(pairs: Graph, chosen: Mask) -> Mask:
    """Take every pair that beats the best rivals of both its events together; return the rest.

    Such a pair stands in every best answer: whatever its two events could win elsewhere is less.
    """
    at = np.arange(len(pairs.benefit))
    rest = np.ones(len(at), dtype=bool)
    current = pairs
    while len(at):
        second = _second(current.left, current.benefit)
        order = current.by_right
        other = np.empty_like(second)
        other[order] = _second(current.right[order], current.benefit[order])
        sure = current.benefit > second + other
        if not sure.any():
            break
        chosen[at[sure]] = True
        gone_left = np.zeros(current.lefts, dtype=bool)
        gone_right = np.zeros(current.rights, dtype=bool)
        gone_left[current.left[sure]] = True
        gone_right[current.right[sure]] = True
        gone = gone_left[current.left] | gone_right[current.right]
        rest[at[gone]] = False
        at, current = at[~gone], current.only(~gone)
    return rest


def _second(node: Ints, benefit: Ints) -> Ints:
    """Per row the greatest benefit among the other rows of its (adjacent) node, 0 if alone."""
    found = _best_other(node, benefit.astype(np.float64), None)
    return np.where(found == _NONE, 0, benefit[found])


def _solve_hard(pairs: Graph, likely: Mask, left_limit: int, right_limit: int) -> Mask:
    """Solve over the likely pairs, then let in every pair that their prices cannot rule out.

    The likely pairs fall into small components. Prices (dual values) prove their answer best over
    all pairs unless some pair is worth more than the prices of its two events; such pairs join and
    the answer is sought again. The result is exact (column generation).
    """
    tried = likely
    while True:
        chosen = np.zeros(len(tried), dtype=bool)
        active = pairs.only(tried)
        picked = _solve_components(active, left_limit, right_limit)
        chosen[tried] = picked
        if tried.all():
            return chosen
        price = np.zeros(pairs.lefts + pairs.rights, dtype=np.int64)
        names = np.r_[np.unique(pairs.left[tried]), np.unique(pairs.right[tried]) + pairs.lefts]
        price[names] = _prices(active, picked)
        worth_more = pairs.benefit > price[pairs.left] + price[pairs.right + pairs.lefts]
        worth_more &= ~tried
        if not worth_more.any():
            return chosen
        tried = tried | worth_more


def _prices(pairs: Graph, chosen: Mask) -> Ints:
    """Dual values of all left, then all right events for a best one-to-one answer."""
    source, target, cost, _ = _residual(pairs, chosen, 1, 1)
    left, right = pairs.left[chosen], pairs.right[chosen] + pairs.lefts
    source, target = np.r_[source, left], np.r_[target, right]
    free = pairs.lefts + pairs.rights
    distance = _distances(source, target, np.r_[cost, -pairs.benefit[chosen]], free + 1)
    price = distance[:free] - distance[free]
    price[pairs.lefts :] *= -1
    return np.maximum(price, 0)


def _solve_components(pairs: Graph, left_limit: int, right_limit: int) -> Mask:
    """Solve a batch of whole components at a time."""
    nodes = pairs.lefts + pairs.rights
    ones = np.ones(len(pairs.benefit), dtype=np.int8)
    links = csr_matrix((ones, (pairs.left, pairs.right + pairs.lefts)), shape=(nodes, nodes))
    _, label = connected_components(links, directed=False)
    component = label[pairs.left].astype(np.int64)
    rows = np.bincount(label[: pairs.lefts], minlength=int(label.max()) + 1)
    batch = (np.cumsum(rows) - rows) // _BATCH_ROWS
    of_pair = batch[component]
    order = np.argsort(of_pair, kind="stable")
    cuts = np.flatnonzero(np.diff(of_pair[order])) + 1
    chosen = np.zeros(len(pairs.benefit), dtype=bool)
    for part in np.split(order, cuts):
        sub = graph(pairs.left[part], pairs.right[part], pairs.benefit[part])
        chosen[part] = _solve_batch(sub, left_limit, right_limit)
    return chosen


def _solve_batch(pairs: Graph, left_limit: int, right_limit: int) -> Mask:
    """Exact sparse assignment; an event that may have k partners stands k times."""
    count = len(pairs.benefit)
    slot_l, slot_r = np.divmod(np.arange(left_limit * right_limit), right_limit)
    row = (pairs.left[:, None] * left_limit + slot_l).ravel()
    column = (pairs.right[:, None] * right_limit + slot_r).ravel()
    value = np.repeat(pairs.benefit, left_limit * right_limit)
    rows, columns = pairs.lefts * left_limit, pairs.rights * right_limit
    # one empty place per row keeps "no counterpart" open; all values + 1, as the solver reads an
    # explicit 0 as "no such pair"
    matrix = csr_matrix(
        (
            np.r_[value, np.zeros(rows)].astype(np.float64) + 1.0,
            (np.r_[row, np.arange(rows)], np.r_[column, columns + np.arange(rows)]),
        ),
        shape=(rows, columns + rows),
    )
    at_row, at_column = min_weight_full_bipartite_matching(matrix, maximize=True)
    real = at_column < columns
    taken = (at_row[real] // left_limit) * pairs.rights + at_column[real] // right_limit
    key = pairs.left * pairs.rights + pairs.right
    chosen = np.zeros(count, dtype=bool)
    chosen[np.searchsorted(key, np.unique(taken))] = True
    return chosen


def equal_answers(pairs: Graph, chosen: Mask, left_limit: int, right_limit: int) -> Ints:
    """Per pair, how many partners (or none) one of its events has over all best answers.

    Two best answers differ by circles of no gain in the residual graph (nodes: left, right and one
    "free"). Shortest distances make every arc's cost non-negative, circles of no gain then run
    over arcs of cost 0 alone, and an arc lies on one where both its ends share a strong component.
    """
    free = pairs.lefts + pairs.rights
    left, right = pairs.left, pairs.right + pairs.lefts
    source, target, cost, lent = _residual(pairs, chosen, left_limit, right_limit)
    distance = _distances(source, target, cost, free + 1)
    tight = distance[source] + cost == distance[target]
    arcs = csr_matrix(
        (np.ones(int(tight.sum()), dtype=np.int8), (source[tight], target[tight])),
        shape=(free + 1, free + 1),
    )
    _, label = connected_components(arcs, directed=True, connection="strong")
    circles = tight & (label[source] == label[target])
    swaps = circles[: len(chosen)] & ~chosen
    lends = circles[len(chosen) : len(chosen) + lent]
    drops = circles[len(chosen) + lent :]
    gives, takes = target[len(chosen) : len(chosen) + lent], source[len(chosen) + lent :]
    alternatives = np.zeros(free + 1, dtype=np.int64)
    for nodes in (left[swaps], right[swaps], takes[drops], gives[lends]):
        alternatives += np.bincount(nodes, minlength=free + 1)
    most = np.maximum(alternatives[left], alternatives[right])
    moves = circles[: len(chosen)]
    return np.where(chosen & moves, 1 + np.maximum(most, 1), 1).astype(np.int64)


def _residual(
    pairs: Graph, chosen: Mask, left_limit: int, right_limit: int
) -> tuple[Ints, Ints, Ints, int]:
    """Arcs (source, target, cost) along which an answer may change, and how many lend places.

    The arcs of the pairs come first, in their order: left to right to enter a pair, right to left
    to give one up. Then arcs from the node "free", then arcs to it.
    """
    free = pairs.lefts + pairs.rights
    left, right = pairs.left, pairs.right + pairs.lefts
    used = np.bincount(np.r_[left[chosen], right[chosen]], minlength=free)
    limit = np.r_[np.full(pairs.lefts, left_limit), np.full(pairs.rights, right_limit)]
    is_left = np.arange(free) < pairs.lefts
    opens, closes = np.flatnonzero(used < limit), np.flatnonzero(used > 0)
    gives = np.r_[opens[is_left[opens]], closes[~is_left[closes]]]
    takes = np.r_[closes[is_left[closes]], opens[~is_left[opens]]]
    hub_out, hub_in = np.full(len(gives), free), np.full(len(takes), free)
    source = np.r_[np.where(chosen, right, left), hub_out, takes]
    target = np.r_[np.where(chosen, left, right), gives, hub_in]
    cost = np.zeros(len(source), dtype=np.int64)
    cost[: len(chosen)] = np.where(chosen, pairs.benefit, -pairs.benefit)
    return source, target, cost, len(gives)


def _distances(source: Ints, target: Ints, cost: Ints, nodes: int) -> Ints:
    """Shortest distances from a point before all nodes (Bellman-Ford, whole rounds at a time)."""
    order = np.argsort(target, kind="stable")
    source, target, cost = source[order], target[order], cost[order]
    starts = np.flatnonzero(np.r_[True, target[1:] != target[:-1]])
    ends = target[starts]
    distance = np.zeros(nodes, dtype=np.int64)
    for _ in range(nodes + 1):
        nearer = np.minimum(np.minimum.reduceat(distance[source] + cost, starts), distance[ends])
        if np.array_equal(nearer, distance[ends]):
            return distance
        distance[ends] = nearer
    raise MatchingError("the assignment is not optimal; this is a defect, please report it")
