"""Decisions as examples: what people said of events, and what that says of pairs of them.

A label names a left event and its counterpart, or says that it has none. So it speaks of every
candidate pair of that event: the one with its counterpart is true, the others are not. Only the
work stream and imported labels are used: the audit sample certifies and never trains, and neither
do labels that a rule made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from recon_kit import model
from recon_kit.settings import Reconciliation

SAME, NOT_SAME, NONE = "same", "not_same", "no_counterpart"
STREAMS: tuple[str, ...] = ("work", "imported")
ROW_SCHEMA: dict[str, pl.DataType] = {
    "left_key": pl.String(), "right_key": pl.String(), "verdict": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Examples:
    """What training may use.

    `rows` (`ROW_SCHEMA`) holds the latest word on each pair, in order of keys; `counts` the labels
    by `stream` and `verdict` (`labels`); `left_out` how many labels are not used, by reason.
    """

    rows: pl.DataFrame
    counts: pl.DataFrame
    left_out: Mapping[str, int]

    @property
    def data_hash(self) -> str:
        """Hash of the examples: the same labels have the same hash, whenever they were made."""
        parts = [part for row in self.rows.iter_rows() for part in row]
        return model.digest("examples", *parts)

    def without(self, left_keys: pl.Series) -> pl.DataFrame:
        """The rows that do not speak of these left events."""
        theirs = pl.col("left_key").is_in(left_keys.implode()).fill_null(value=False)
        return self.rows.filter(~theirs)


def examples(
    decisions: pl.DataFrame,
    rec: Reconciliation,
    *,
    drawn: Sequence[str] = (),
    asked_again: Sequence[int] = (),
) -> Examples:
    """Sort the decisions in force of a reconciliation.

    Args:
        decisions: rows in force (`model.DECISION_SCHEMA`).
        rec: the reconciliation; where an event may have one counterpart, its latest `same` counts.
        drawn: event keys of the audit sample, answered or not.
        asked_again: `seq` of decisions that are disputed, or whose facts have changed.
    """
    verdicts = (SAME, NOT_SAME, NONE, "unsure")
    mine = decisions.filter(
        (pl.col("reconciliation") == rec.name) & pl.col("verdict").is_in(verdicts)
    )
    stream = pl.coalesce("stream", pl.lit("work"))
    counts = (
        mine.group_by(stream.alias("stream"), "verdict")
        .agg(pl.len().cast(pl.Int64).alias("labels"))
        .sort("stream", "verdict")
    )
    audited = mine.filter(stream == "audit")
    by_rule = pl.col("reviewer").str.starts_with("rule:").fill_null(value=False)
    reasons = (
        ("audit", stream == "audit"),
        # An event of the audit sample trains nothing, whatever else was said of it.
        ("audited_event", pl.col("left_key").is_in([*audited["left_key"].drop_nulls(), *drawn])),
        ("asked_again", pl.col("seq").is_in(list(asked_again))),
        ("made_by_a_rule", by_rule),
        ("unsure", pl.col("verdict") == "unsure"),
        ("stream_unknown", ~stream.is_in(STREAMS)),
    )
    left_out: dict[str, int] = {}
    for name, test in reasons:
        kept = mine.filter(~test.fill_null(value=False))
        left_out[name] = mine.height - kept.height
        mine = kept
    latest = mine.sort("seq").unique(["left_key", "right_key"], keep="last", maintain_order=True)
    left_out["said_anew"] = mine.height - latest.height
    same = latest.filter(pl.col("verdict") == SAME)
    single = single_sides(rec)
    for side, alone in zip(("left_key", "right_key"), single, strict=True):
        same = same.unique(side, keep="last", maintain_order=True) if alone else same
    rows = pl.concat([same, latest.filter(pl.col("verdict") != SAME)])
    left_out["contradicted"] = latest.height - rows.height
    rows = rows.select(*ROW_SCHEMA).sort("left_key", "right_key", nulls_last=True)
    return Examples(rows, counts, {name: n for name, n in left_out.items() if n})


def single_sides(rec: Reconciliation) -> tuple[bool, bool]:
    """Whether a left, and whether a right event has at most one counterpart."""
    return (
        rec.cardinality in ("one_to_one", "many_to_one"),
        rec.cardinality in ("one_to_one", "one_to_many"),
    )


def labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """The left events that examples speak of: (left_key, kind), by key.

    `kind` is counterpart (one is named), none (there is none) or not_this (only barred pairs).
    """
    order = {SAME: 0, NONE: 1, NOT_SAME: 2}
    kinds = {0: "counterpart", 1: "none", 2: "not_this"}
    best = pl.col("verdict").replace_strict(order, return_dtype=pl.Int64).min()
    return (
        rows.filter(pl.col("left_key").is_not_null())
        .group_by("left_key")
        .agg(best.alias("best"))
        .select("left_key", kind=pl.col("best").replace_strict(kinds, return_dtype=pl.String))
        .sort("left_key")
    )


def truth(pairs: pl.DataFrame, rows: pl.DataFrame, rec: Reconciliation) -> pl.Series:
    """What examples say of pairs: 1 true, 0 not true, null nothing.

    Args:
        pairs: (left_key, right_key), each pair once.
        rows: examples (`ROW_SCHEMA`).
        rec: where an event may have one counterpart only, its other pairs are not true.
    """
    same = rows.filter(pl.col("verdict") == SAME)
    barred = rows.filter(pl.col("verdict") == NOT_SAME)
    none = rows.filter(pl.col("verdict") == NONE)
    single_left, single_right = single_sides(rec)
    taken_left = pl.concat(
        [none["left_key"], same["left_key"] if single_left else none["left_key"]]
    )
    taken_right = pl.concat(
        [none["right_key"], same["right_key"] if single_right else none["right_key"]]
    )
    said = pl.concat(
        [
            same.select("left_key", "right_key", said=pl.lit(1, pl.Int8)),
            barred.select("left_key", "right_key", said=pl.lit(0, pl.Int8)),
        ]
    )
    found = pairs.select("left_key", "right_key").join(
        said, on=["left_key", "right_key"], how="left", maintain_order="left"
    )
    ruled_out = pl.col("left_key").is_in(taken_left.drop_nulls().implode()) | pl.col(
        "right_key"
    ).is_in(taken_right.drop_nulls().implode())
    answer = pl.coalesce("said", pl.when(ruled_out).then(pl.lit(0, pl.Int8)))
    return found.select(answer.alias("truth")).to_series()
