"""Folds that keep apart what belongs together: by connected component, and by time.

Rivals of one another stand in one fold, else a model would be asked about events it has all but
seen. The latest share of the events is held out besides: what was learned must hold later on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from recon_kit import model

FOLDS = 5
LATEST_SHARE = 0.25
# Pairs that join components, by their weight in bits. Where everything hangs together through
# faint look-alikes, only the stronger ties count.
CUTS: tuple[float, ...] = (-5.6, -2.0, 0.0, 3.0, 6.0, 10.0)
_LARGEST_SHARE = 0.2  # of the labelled events in one component


@dataclass(frozen=True, slots=True)
class Grouped:
    """Component of each labelled event: (left_key, component), and how it was found.

    `cut` is the weight from which pairs tie events together, None where every event had to stand
    alone; `components` their number, `largest_share` the share of events in the largest.
    """

    of_event: pl.DataFrame
    cut: float | None
    components: int
    largest_share: float


def by_component(pairs: pl.DataFrame, left_keys: pl.Series) -> Grouped:
    """Group labelled left events that are tied by pairs.

    Args:
        pairs: all scored pairs (left_key, right_key, match_weight).
        left_keys: the labelled left events.
    """
    for cut in CUTS:
        tied = pairs.filter(pl.col("match_weight") > cut)
        found = _components(tied, left_keys)
        sizes = found["component"].value_counts()["count"]
        largest = int(sizes.max() or 0) / max(left_keys.len(), 1)  # type: ignore[arg-type]
        if largest <= _LARGEST_SHARE or sizes.len() == left_keys.len():
            return Grouped(found, cut, sizes.len(), largest)
    alone = pl.DataFrame({"left_key": left_keys, "component": left_keys})
    return Grouped(alone.sort("left_key"), None, left_keys.len(), 1 / max(left_keys.len(), 1))


def _components(tied: pl.DataFrame, left_keys: pl.Series) -> pl.DataFrame:
    """(left_key, component); a component is named after its smallest labelled event."""
    nodes = pl.concat([tied["left_key"], tied["right_key"], left_keys]).unique().sort()
    number = pl.DataFrame({"key": nodes, "node": np.arange(nodes.len())})
    ends = [
        tied.join(number, left_on=side, right_on="key", maintain_order="left")["node"].to_numpy()
        for side in ("left_key", "right_key")
    ]
    ones = np.ones(len(ends[0]), dtype=np.int8)
    links = coo_matrix((ones, (ends[0], ends[1])), shape=(nodes.len(), nodes.len()))
    _, label = connected_components(links, directed=False)
    mine = pl.DataFrame({"left_key": left_keys}).join(
        number.with_columns(label=label), left_on="left_key", right_on="key"
    )
    named = pl.col("left_key").min().over("label")
    return mine.select("left_key", component=named).sort("left_key")


def split(groups: pl.Series, count: int, seed: int) -> pl.Series:
    """Fold (0 to `count` - 1) of each row: whole groups, folds about equally large.

    Groups are dealt in an order that their names and the seed decide, each to the fold that is
    smallest so far; large groups first, so that they do not pile up.
    """
    name = groups.cast(pl.String)
    sizes = name.value_counts(name="rows").rename({name.name: "group"}).sort("group")
    turns = [model.digest(str(seed), group) for group in sizes["group"]]
    dealt = sizes.with_columns(turn=pl.Series(turns, dtype=pl.String)).sort(
        ["rows", "turn"], descending=[True, False]
    )
    filled = np.zeros(count, dtype=np.int64)
    places = []
    for rows in dealt["rows"]:  # as many steps as groups
        places.append(int(filled.argmin()))
        filled[places[-1]] += rows
    fold = dealt.select("group", fold=pl.Series(places, dtype=pl.Int64))
    joined = pl.DataFrame({"group": name}).join(fold, on="group", how="left", maintain_order="left")
    return joined["fold"]


def latest(times: pl.Series, groups: pl.Series, share: float = LATEST_SHARE) -> pl.Series | None:
    """Which rows are held out as the latest, whole groups together; None where times tell none.

    A group goes to the held-out part as soon as one of its rows is that late.
    """
    known = times.drop_nulls()
    if known.n_unique() < 2 or known.len() * 2 < times.len():
        return None
    border = known.sort()[int(known.len() * (1 - share))]
    late = pl.DataFrame({"group": groups, "late": (times >= border).fill_null(value=False)})
    held = late.select(pl.col("late").any().over("group")).to_series()
    enough = held.any() and not held.all()
    return held if enough else None
