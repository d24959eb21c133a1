"""What was said of questions: decisions on pairs and events, told per question."""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.present import screen
from recon_kit.resolution.crossing import crossing
from recon_kit.settings import Reconciliation
from recon_kit.workbench import asked

_CROSSED_SHOWN = 3
SAID_ON_PAIRS = ("reconciliation", "left_key", "right_key")


def verdicts(
    questions: pl.DataFrame, pairs: pl.DataFrame, standing: pl.DataFrame
) -> dict[str, str]:
    """The verdict of each question that is answered; the others are left out.

    `same` of any candidate settles a question, and so does `no_counterpart`. `not_same` settles it
    when it was said of every candidate. `unsure` leaves it to others. An audit question counts
    only what was said in the audit.

    Args:
        questions: `question_id, reconciliation, asked_key, stream`.
        pairs: `question_id, match_id, reconciliation, left_key, right_key, other_key`.
        standing: decisions in force (`model.DECISION_SCHEMA`), oldest first.
    """
    on_pairs, alone = _latest(standing)
    streams = questions.select("question_id", stream_asked="stream")
    counts = (pl.col("stream_asked") != "audit") | (pl.col("stream_said") == "audit")
    told = pairs.drop_nulls("other_key").join(streams, on="question_id", how="inner")
    said = told.join(on_pairs, on=list(SAID_ON_PAIRS), how="left").with_columns(
        verdict=pl.when(counts).then("verdict")
    )
    # an answer of several events is refused by refusing one of them
    refused = (pl.col("verdict") == "not_same").fill_null(value=False).any()
    said = said.with_columns(refused=refused.over("question_id", "match_id"))
    by_question = said.group_by("question_id").agg(
        same=(pl.col("verdict") == "same").any(),
        apart=pl.col("refused").all(),
        unsure=(pl.col("verdict") == "unsure").any(),
    )
    lone = (
        questions.rename({"stream": "stream_asked"})
        .join(alone, on=["reconciliation", "asked_key"], how="inner")
        .filter(counts)
        .select("question_id", lone="verdict")
    )
    whole = by_question.join(lone, on="question_id", how="full", coalesce=True).with_columns(
        verdict=pl.when("same")
        .then(pl.lit("same"))
        .when(pl.col("lone") == "no_counterpart")
        .then(pl.lit("no_counterpart"))
        .when("apart")
        .then(pl.lit("not_same"))
        .when(pl.col("unsure") | (pl.col("lone") == "unsure"))
        .then(pl.lit("unsure"))
    )
    return dict(whole.drop_nulls("verdict").select("question_id", "verdict").iter_rows())


def _latest(standing: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The latest word on each pair, and on each lone event."""
    lone = pl.col("left_key").is_null() | pl.col("right_key").is_null()
    told = standing.select("seq", *SAID_ON_PAIRS, "verdict", stream_said="stream").filter(
        pl.col("verdict").is_in(["same", "not_same", "unsure", "no_counterpart"])
    )
    on_pairs = told.filter(~lone).sort("seq").unique(list(SAID_ON_PAIRS), keep="last")
    alone = told.filter(lone).with_columns(asked_key=pl.coalesce("left_key", "right_key"))
    alone = alone.sort("seq").unique(["reconciliation", "asked_key"], keep="last")
    columns = ["reconciliation", "asked_key", "verdict", "stream_said"]
    return on_pairs.drop("seq"), alone.select(columns)


def touched(questions: pl.DataFrame, pairs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Which questions decisions speak of: `question_id, seq, bundle_id`, each once.

    Args:
        questions: `question_id, reconciliation, asked_key`.
        pairs: `question_id, reconciliation, left_key, right_key`.
        rows: decisions (`model.DECISION_SCHEMA`).
    """
    own = ["question_id", "seq", "bundle_id"]
    said = rows.select("seq", "bundle_id", *SAID_ON_PAIRS)
    on_pairs = said.join(pairs, on=list(SAID_ON_PAIRS), how="inner").select(own)
    alone = said.filter(pl.col("left_key").is_null() | pl.col("right_key").is_null())
    lone = alone.with_columns(asked_key=pl.coalesce("left_key", "right_key")).join(
        questions, on=["reconciliation", "asked_key"], how="inner"
    )
    return pl.concat([on_pairs, lone.select(own)]).unique()


def crossed(
    engine: Engine, decisions: pl.DataFrame, drafted: pl.DataFrame, rec: Reconciliation
) -> tuple[str, ...]:
    """What drafted decisions give away that was given to another event before, newest first.

    Args:
        engine: a snapshot's engine.
        decisions: every row of the ledger.
        drafted: rows that are about to be recorded.
        rec: to which they belong.
    """
    said = drafted.filter(pl.col("verdict") == "same")
    found = crossing(decisions, said, rec).reverse().head(_CROSSED_SHOWN)
    keys = [*found["shared_key"], *found["other_key"]]
    told = asked.facts(engine, keys).iter_rows(named=True) if keys else ()
    called = {row["event_key"]: screen.title(row) for row in told}
    return tuple(
        f"{called.get(shared, shared[:8])} was said to be the counterpart of "
        f"{called.get(other, other[:8])} before ({who}, decision {seq}), and {rec.name} gives it "
        f"one; both stand now. Take one back: recon undo {seq}."
        for seq, shared, other, who in found.iter_rows()
    )
