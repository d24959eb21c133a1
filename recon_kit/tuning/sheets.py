"""Label sheets: questions as rows of a table, to be answered elsewhere and imported again.

A row is a pair with the masked facts of both records under `shown_...` and an empty `label`. A
sheet of the audit sample shows nothing of what the system thinks; each drawn event has one more row
without a right side, for `no_counterpart` or for a right id that the sheet does not offer. Rows
without a label are left out when the sheet comes back; `evidence_hash` tells then whether the facts
are still those that were shown.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from recon_kit import model, money, workdays
from recon_kit.ledger.engine import Engine
from recon_kit.matching import evidence
from recon_kit.safe import masked_frame

Which = Literal["proposals", "audit", "second"]
SHOWN = "shown_"  # columns that begin so are for people; `labels.read_labels` passes them over
_FACTS = (
    "event_type", "event_ts", "amount", "currency", "order_id", "invoice_number",
    "transaction_id", "description", "customer_name", "email",
)  # fmt: skip
TO_FILL = ("reviewer", "decided_at", "reason")
_SIDES = ("left", "right")


def sheet(  # noqa: PLR0913 - a sheet is made of these
    engine: Engine,
    questions: pl.DataFrame,
    pairs: pl.DataFrame,
    facts: pl.DataFrame,
    which: Which,
    *,
    zone: str = "UTC",
) -> pl.DataFrame:
    """Questions as a table of pairs to be labelled.

    Args:
        engine: any; hashes are computed in it.
        questions: `question_id, stream` in the order in which they are asked.
        pairs: `question_id, left_key, right_key, confidence`; the right key may be null.
        facts: the events that these name (`model.EVENT_SCHEMA` and personal fields).
        which: `proposals`, the drawn events of the `audit` sample, or what a `second` person is
            asked of both streams.
        zone: IANA zone in which times are shown; a day that a source told alone is shown so.

    Returns:
        Text columns: those of `tuning.labels.COLUMNS` that a label needs, and the masked facts
        `shown_left_...`, `shown_right_...`; of proposals also `shown_confidence`. The rows of a
        question stay together. In all but proposals the order of candidates says nothing.
    """
    drawn = pl.col("stream") == "audit"
    wanted = {"proposals": ~drawn, "audit": drawn, "second": pl.lit(True)}[which]
    order = questions.filter(wanted).select("question_id", "stream", place=pl.int_range(pl.len()))
    best = pl.col("confidence").max()
    told = (
        pairs.join(order, on="question_id")
        .group_by("place", "stream", "left_key", "right_key")
        .agg(confidence=best)
    )
    lone = told.filter(drawn).select("place", "stream", "left_key").unique()
    paired = told.filter(~drawn | pl.col("right_key").is_not_null())
    told = pl.concat([paired, lone], how="diagonal")
    told = told.sort("place", "left_key", "right_key", nulls_last=True)
    wide = _hashed(engine, told, facts)
    for side in _SIDES:
        wide = wide.join(
            _side(facts, side, zone), on=f"{side}_key", how="left", maintain_order="left"
        )  # fmt: skip
    texts = wide.with_columns(
        *(pl.lit(None, dtype=pl.String).alias(name) for name in ("label", *TO_FILL)),
        stream=pl.when(drawn).then(pl.lit("audit")),
        left_event_key="left_key",
        right_event_key="right_key",
        shown_confidence=pl.col("confidence").round(6).cast(pl.String),
    )
    ids = [f"{side}_{name}" for side in _SIDES for name in ("source", "native_id", "event_key")]
    shown = [f"{SHOWN}{side}_{name}" for name in _FACTS for side in _SIDES]
    thought = [f"{SHOWN}confidence"] if which == "proposals" else []
    return texts.select("label", *ids, *shown, *thought, *TO_FILL, "stream", "evidence_hash")


def _side(facts: pl.DataFrame, side: str, zone: str) -> pl.DataFrame:
    """Ids and masked facts of one side of a sheet, by its key; all of it text."""
    time = pl.col("event_ts").dt.convert_time_zone(zone).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
    day = workdays.told_day_expr(pl.col("event_ts")).dt.strftime("%Y-%m-%d")
    masked = masked_frame(facts).with_columns(
        amount=money.text_expr(pl.col("amount"), pl.col("currency")),
        event_ts=pl.when(pl.col("ts_precision") == "date").then(day).otherwise(time),
    )
    return masked.select(
        pl.col("event_key").alias(f"{side}_key"),
        pl.col("source").alias(f"{side}_source"),
        pl.col("native_id").alias(f"{side}_native_id"),
        *(pl.col(name).cast(pl.String).alias(f"{SHOWN}{side}_{name}") for name in _FACTS),
    )


def _hashed(engine: Engine, told: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """The rows with `evidence.evidence_hash` of the records that each shows, in their order."""
    engine.put("sheet_rows", told.with_row_index("row"))
    engine.put("sheet_facts", facts.select("event_key", "payload_hash"))
    alone = model.digest_sql("l.payload_hash")
    both = evidence.pair_hash_sql("l", "r")
    return engine.rows(
        f"""
        select s.* exclude (row),
          case when r.event_key is null then {alone} else {both} end as evidence_hash
        from sheet_rows s join sheet_facts l on l.event_key = s.left_key
        left join sheet_facts r on r.event_key = s.right_key order by s.row"""
    )
