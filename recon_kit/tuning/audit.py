"""The labels of the audit sample: what each drawn event's counterpart is, as far as people said.

A label is the answer of the stream `audit` (blind, on a drawn event): all counterparts that a
reviewer names, or none. Reviewers who disagree make no label until somebody adjudicates, and an
item that nobody answers by its deadline counts as wrong.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from recon_kit import model
from recon_kit.ledger.entries import in_force
from recon_kit.ledger.store import Store
from recon_kit.matching.disputes import ADJUDICATED
from recon_kit.tuning.draws import drawn_events

LABEL_SCHEMA: dict[str, pl.DataType] = {
    "draw_id": pl.String(), "event_key": pl.String(), "stratum": pl.String(),
    "inclusion_probability": pl.Float64(), "drawn_at": model.UTC, "deadline": model.UTC,
    "run_id": pl.String(), "model_hash": pl.String(), "label": pl.String(),
    "right_keys": pl.List(pl.String()), "reviewer": pl.String(), "reviewers": pl.Int64(),
    "disputed": pl.Boolean(), "labelled_at": model.UTC,
}  # fmt: skip


def audit_labels(store: Store, reconciliation: str, now: datetime) -> pl.DataFrame:
    """The audit sample of a reconciliation with the label of each item: input of every estimate.

    Args:
        store: the ledger.
        reconciliation: whose draws.
        now: the clock that says what is past its deadline.

    Returns:
        `LABEL_SCHEMA`, one row per drawn left event, in order of `event_key`. `label` is

        - `counterpart`: its counterparts are exactly `right_keys`, sorted (one, unless it is
          settled in parts);
        - `none`: it has none on the other side;
        - `open`: no final label yet (`unsure` is none, and two reviewers who disagree are
          `disputed` until somebody adjudicates);
        - `expired`: still open after `deadline`; it counts as wrong.

        `inclusion_probability` is that of the event in the sample, over all draws; `run_id` and
        `model_hash` are of the run it was first drawn from, `drawn_at` is when. `reviewer` gave
        the label at `labelled_at` (the last, where several agree); `reviewers` counts them.
        Only decisions of the stream `audit` count: blind, on drawn events. They also take part
        in matching from the next run on, so compare them with runs from before, or with a run
        without decisions.
    """
    return label_frame(
        store.rows("audit_draws").filter(pl.col("reconciliation") == reconciliation),
        store.decisions(),
        now,
    )


def label_frame(draws: pl.DataFrame, decisions: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """`audit_labels` of tables at hand: `audit_draws` of one reconciliation, all `decisions`."""
    items = drawn_events(draws)
    words = reviewer_labels(
        decisions.filter(pl.col("left_key").is_in(items["event_key"].to_list()))
    )
    final = words.filter(pl.col("verdict") != "unsure")
    settled = final.filter(pl.col("adjudicated"))
    count = final.group_by("event_key").agg(
        reviewers=pl.len().cast(pl.Int64),
        answers=pl.struct("verdict", "right_keys").n_unique(),
    )
    best = (
        pl.concat([settled, final.join(settled, on="event_key", how="anti")])
        .sort("event_key", "seq")
        .unique("event_key", keep="last", maintain_order=True)
    )
    told = (
        items.join(best, on="event_key", how="left")
        .join(count, on="event_key", how="left")
        .with_columns(
            pl.col("reviewers").fill_null(0),
            disputed=(pl.col("answers") > 1).fill_null(False) & ~pl.col("adjudicated"),
        )
    )
    labelled = pl.col("verdict").is_not_null() & ~pl.col("disputed").fill_null(False)
    late = pl.when(pl.col("deadline") < now).then(pl.lit("expired")).otherwise(pl.lit("open"))
    answer = (
        pl.when(pl.col("verdict") == "no_counterpart")
        .then(pl.lit("none"))
        .otherwise(pl.lit("counterpart"))
    )
    hidden = [
        pl.when(labelled).then(pl.col(name)).alias(name)
        for name in ("right_keys", "reviewer", "labelled_at")
    ]
    told = told.with_columns(label=pl.when(labelled).then(answer).otherwise(late)).with_columns(
        hidden
    )
    return told.select(pl.col(name).cast(kind) for name, kind in LABEL_SCHEMA.items()).sort(
        "event_key"
    )


def reviewer_labels(decisions: pl.DataFrame) -> pl.DataFrame:
    """What each reviewer says of each left event, in the audit stream, after all changes of mind.

    Returns:
        `event_key, reviewer, verdict (same, no_counterpart, unsure), right_keys (sorted),
        adjudicated, labelled_at, seq` of the newest word, one row per event and reviewer.
    """
    said = in_force(decisions).filter(
        (pl.col("stream") == "audit") & pl.col("left_key").is_not_null()
    )
    # The latest word on a pair counts; "none" takes back the pairs that were named before it.
    latest = said.sort("seq").unique(["left_key", "right_key", "reviewer"], keep="last")
    who = ["left_key", "reviewer"]
    none = pl.col("seq").filter(pl.col("verdict") == "no_counterpart").max().over(who).fill_null(0)
    named = (pl.col("verdict") == "same") & (pl.col("seq") > none)
    spoken = latest.with_columns(named=named, none=none).filter(pl.col("seq") >= pl.col("none"))
    return (
        spoken.sort("seq")
        .group_by(who)
        .agg(
            right_keys=pl.col("right_key").filter("named").sort(),
            spoke_none=pl.col("none").max() > 0,
            adjudicated=(pl.col("reason_code") == ADJUDICATED).fill_null(False).any(),
            labelled_at=pl.col("effective_at").last(),
            seq=pl.col("seq").last(),
        )
        .with_columns(
            verdict=pl.when(pl.col("right_keys").list.len() > 0)
            .then(pl.lit("same"))
            .when(pl.col("spoke_none"))
            .then(pl.lit("no_counterpart"))
            .otherwise(pl.lit("unsure"))
        )
        .select(
            pl.col("left_key").alias("event_key"), "reviewer", "verdict", "right_keys",
            "adjudicated", "labelled_at", "seq",
        )
        .sort("event_key", "reviewer")
    )  # fmt: skip
