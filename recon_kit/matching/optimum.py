"""The best set of pairs: maximum total benefit when every event has at most so many partners.

Benefits are whole numbers, so sums and ties are exact. Three steps: pairs that beat all rivals of
both their events are taken at once (whole arrays at a time); what is left is solved exactly by
components; the optimal answer's residual graph then says where another answer is just as good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from recon_kit.errors import MatchingError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Limits = tuple[int | None, int | None]  # most partners of a left and of a right event

NONE = np.int64(-1)
_BATCH_ROWS = 600  # the sparse solver clears one array per row: keep its problems small
_LIKELY = 0.02  # pairs tried first in a large component; not a rule, see `_solve_hard`


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


def best_other(node: Ints, value: Floats, partner: Mask | None) -> Ints:
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
    real = np.where(mine, rest[found], value[found]) > -np.inf
    return np.asarray(np.where(real, found, NONE))


def _argmax(value: Floats, starts: Ints, group: Ints) -> Ints:
    """Per group of adjacent rows the first row of greatest value."""
    row = np.arange(len(value))
    at_top = value == np.maximum.reduceat(value, starts)[group]
    return np.asarray(np.minimum.reduceat(np.where(at_top, row, len(value)), starts))


def solve(pairs: Graph, limits: Limits, chance: Floats) -> tuple[Mask, Ints]:
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
        likely = likely if likely.any() else np.ones_like(likely)
        picked = _solve_hard(hard, likely, limits[0], limits[1])
        chosen[rest] = picked
        equal[rest] = equal_answers(hard, picked, limits[0], limits[1])
    return chosen, equal


def _solve_free(pairs: Graph, limits: Limits) -> tuple[Mask, Ints]:
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
    found = best_other(node, benefit.astype(np.float64), None)
    return np.asarray(np.where(found == NONE, 0, benefit[found]))


def _solve_hard(pairs: Graph, likely: Mask, left_limit: int, right_limit: int) -> Mask:
    """Solve over the likely pairs, then let in every pair that their prices cannot rule out.

    The likely pairs fall into small components. Prices (dual values) prove their answer best over
    all pairs unless some pair is worth more than the prices of its two events; such pairs join and
    the answer is sought again. The result is exact (column generation).
    """
    tried, joined = likely, likely
    chosen = np.zeros(len(tried), dtype=bool)
    while True:
        label = _components(pairs, tried)
        again = tried & np.isin(label, label[joined])
        chosen[again] = _solve_components(pairs.only(again), left_limit, right_limit)
        if tried.all():
            return chosen
        price = np.zeros(pairs.lefts + pairs.rights, dtype=np.int64)
        names = np.r_[np.unique(pairs.left[tried]), np.unique(pairs.right[tried]) + pairs.lefts]
        price[names] = _prices(pairs.only(tried), chosen[tried])
        joined = pairs.benefit > price[pairs.left] + price[pairs.right + pairs.lefts]
        joined &= ~tried
        if not joined.any():
            return chosen
        tried = tried | joined


def _components(pairs: Graph, some: Mask) -> Ints:
    """Per pair the number of its left event's component in the graph of some of the pairs."""
    nodes = pairs.lefts + pairs.rights
    left, right = pairs.left[some], pairs.right[some] + pairs.lefts
    links = csr_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(nodes, nodes))
    _, label = connected_components(links, directed=False)
    return np.asarray(label[pairs.left], dtype=np.int64)


def _prices(pairs: Graph, chosen: Mask) -> Ints:
    """Dual values of all left, then all right events for a best one-to-one answer."""
    source, target, cost, _ = _residual(pairs, chosen, 1, 1)
    left, right = pairs.left[chosen], pairs.right[chosen] + pairs.lefts
    source, target = np.r_[source, left], np.r_[target, right]
    free = pairs.lefts + pairs.rights
    distance = _distances(source, target, np.r_[cost, -pairs.benefit[chosen]], free + 1)
    price = distance[:free] - distance[free]
    price[pairs.lefts :] *= -1
    return np.asarray(np.maximum(price, 0))


def _solve_components(pairs: Graph, left_limit: int, right_limit: int) -> Mask:
    """Solve a batch of whole components at a time."""
    component = _components(pairs, np.ones(len(pairs.benefit), dtype=bool))
    first = np.flatnonzero(np.r_[True, pairs.left[1:] != pairs.left[:-1]])
    rows = np.bincount(component[first])
    of_pair = ((np.cumsum(rows) - rows) // _BATCH_ROWS)[component]
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
