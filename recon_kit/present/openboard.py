"""What is open as one small table that adds up, in the words of every other screen."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.present.tables import Column

STATES: dict[str, str] = {
    "in_flight": "In flight",
    "not_covered": "Not covered",
    "residual_waits": "Residual, not due yet",
    "overdue": "Overdue",
    "residual": "Residual",
    "proposed": "Proposed",
    "none": "No open item",
}
EMPTY = pl.DataFrame(
    schema={
        "state": pl.String, "left_items": pl.Int64, "right_items": pl.Int64, "items": pl.Int64,
        "cases": pl.Int64, "questions": pl.Int64,
    }
)  # fmt: skip
COLUMNS: Sequence[Column] = (
    Column("name", "State"),
    Column("left_items", "Left", "count"),
    Column("right_items", "Right", "count"),
    Column("items", "Open items", "count"),
    Column("cases", "Open cases", "count"),
    Column("questions", "Questions", "count"),
)
CASE_COLUMNS: Sequence[Column] = (
    Column("kind", "Kind", "word"),
    Column("cases", "Cases", "count"),
    Column("oldest_days", "Oldest, days", "count"),
    Column("owners", "Owners"),
    Column("oldest_case", "Oldest case", "hash"),
)
CAPTION = "What is open, of all weeks: items, cases about them, questions to a person"
NOTE = (
    "A residual is money that a match leaves open, one item however many events it joins; what is "
    "not due yet needs nobody. Cases about no open item: a match whose facts disagree (a status, a "
    "refund, a chargeback, a possible duplicate), or a feed."
)


def board(counted: pl.DataFrame) -> pl.DataFrame:
    """The table with a row for every state that occurs, and the sum of all.

    Args:
        counted: `state, left_items, right_items, items, cases, questions`.

    Returns:
        The same with `name`, in the order of `STATES`; `all` comes last. Nothing where nothing is
        open.
    """
    if counted.is_empty():
        return counted.with_columns(name=pl.lit(None, dtype=pl.String))
    sums = counted.select(
        pl.lit("all").alias("state"), *(pl.col(c).sum() for c in counted.columns if c != "state")
    )
    place = {state: i for i, state in enumerate(STATES)} | {"all": len(STATES)}
    names = STATES | {"all": "In all"}
    every = pl.concat([counted, sums])
    return every.with_columns(
        pl.col("state").replace_strict(names).alias("name"),
    ).sort(pl.col("state").replace_strict(place, return_dtype=pl.Int64))


def total(counted: pl.DataFrame, column: str) -> int:
    """The sum of a column: `items`, `cases` or `questions`."""
    return int(counted[column].sum())


def settled_sentence(settled: int) -> str:
    """How many cases beside the open ones are only recorded; empty where there are none."""
    if not settled:
        return ""
    whose = "case settles itself and is" if settled == 1 else "cases settle themselves and are"
    return f"{settled:,} further {whose} only recorded: within the rounding, told twice, or late."


def by_kind(cases: pl.DataFrame) -> pl.DataFrame:
    """Open cases by kind, most first, with the share of each owner.

    Args:
        cases: `kind, owner, cases` and optionally `oldest_days, oldest_case`.
    """
    if cases.is_empty():
        return cases
    owner = pl.coalesce("owner", pl.lit("nobody")) + " " + pl.col("cases").cast(pl.String)
    return (
        cases.sort("cases", "owner", descending=[True, False])
        .group_by("kind", maintain_order=True)
        .agg(pl.col("cases").sum(), *_oldest(cases), owners=owner.str.join(", "))
        .sort("cases", "kind", descending=[True, False])
    )


def _oldest(cases: pl.DataFrame) -> list[pl.Expr]:
    """Age and id of the oldest case of each kind, where cases are told with their age."""
    if "oldest_days" not in cases.columns:
        return []
    days = pl.col("oldest_days").fill_null(-1)
    named = [pl.col("oldest_case").sort_by(-days, "oldest_case").first()]
    return [pl.col("oldest_days").max(), *(named if "oldest_case" in cases.columns else [])]
