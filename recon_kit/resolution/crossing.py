"""Words that cross: a counterpart is given away that somebody gave to another event before.

Where the cardinality allows an event one counterpart, a second `same` about it is more often a slip
than a discovery. It may stand (a person joins what no method would), but nobody should find out
from the next run that one payment now belongs to two orders.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.entries import in_force
from recon_kit.matching.disputes import single_sides
from recon_kit.settings import Reconciliation

_WORD = ["reconciliation", "left_key", "right_key", "reviewer"]


def crossing(decisions: pl.DataFrame, pairs: pl.DataFrame, rec: Reconciliation) -> pl.DataFrame:
    """Decisions that give an event of `pairs` another counterpart where it may have one.

    Args:
        decisions: every row of the ledger (`model.DECISION_SCHEMA`).
        pairs: what is about to be said the same: `left_key, right_key`.
        rec: the reconciliation both belong to.

    Returns:
        `seq, shared_key, other_key, reviewer`, oldest first: whose word it is, the event that
        would have two counterparts, and the one that it was given to.
    """
    words = in_force(decisions).filter(pl.col("reconciliation") == rec.name)
    words = words.unique(_WORD, keep="last", maintain_order=True)
    said = words.filter(pl.col("verdict") == "same").drop_nulls(["left_key", "right_key"])
    found = []
    for shared in single_sides(rec):
        far = "left_key" if shared == "right_key" else "right_key"
        both = said.join(pairs.select(shared, meant=far), on=shared, how="inner")
        found.append(
            both.filter(pl.col(far) != pl.col("meant")).select(
                "seq", "reviewer", shared_key=shared, other_key=far
            )
        )
    schema = {"seq": pl.Int64, "reviewer": pl.String, "shared_key": pl.String,
              "other_key": pl.String}  # fmt: skip
    every = pl.concat([pl.DataFrame(schema=schema), *found], how="vertical_relaxed")
    return (
        every.unique()
        .sort("seq", "shared_key")
        .select("seq", "shared_key", "other_key", "reviewer")
    )
