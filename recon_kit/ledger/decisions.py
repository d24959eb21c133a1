"""Which decisions are in force: what a person said stays, until another decision undoes it."""

from __future__ import annotations

import polars as pl


def in_force(decisions: pl.DataFrame) -> pl.DataFrame:
    """Decisions that are not undone; rows that undo are not decisions to apply themselves.

    An undo of an undo brings the first decision back.

    Args:
        decisions: rows of `model.DECISION_SCHEMA`; an undo names in `undoes` the seq it takes back.

    Returns:
        The rows in force, by seq.
    """
    undone: set[int] = set()
    undos = decisions.filter(pl.col("undoes").is_not_null()).sort("seq", descending=True)
    # An undo is always younger than what it takes back, so the youngest word is heard first.
    for seq, target in undos.select("seq", "undoes").iter_rows():
        if seq not in undone:
            undone.add(target)
    return decisions.filter(pl.col("undoes").is_null() & ~pl.col("seq").is_in(sorted(undone))).sort(
        "seq"
    )
