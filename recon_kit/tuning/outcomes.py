"""What a run would have matched at any threshold, and which of it people found right or wrong.

Assignment is solved once, above `review_min`: the picked pairs are the matches and the proposals
of one run, and a threshold only cuts them. The run must not have been told the answers: decisions
of the audit sample are left out of it (`Request.without`), else every audited event would stand
there as decided.

The unit is a left event. With several partners it counts as matched from the highest confidence
of any, and as wrong from the highest confidence of a partner that people did not name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine
from recon_kit.matching import dispose, keys
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

PICK_SCHEMA: dict[str, pl.DataType] = {
    "left_key": pl.String(), "right_key": pl.String(), "method": pl.String(),
    "model_hash": pl.String(), "confidence": pl.Float64(), "margin": pl.Float64(),
    # never a match at any threshold (equal answers, no shared currency); over the sign-off limit;
    # a proposal, no match of the run
    "barred": pl.Boolean(), "held": pl.Boolean(), "proposed": pl.Boolean(),
    "amount_minor": pl.Int64(), "currency": pl.String(),
    "left_source": pl.String(), "right_source": pl.String(),
}  # fmt: skip
LABEL_SCHEMA: dict[str, pl.DataType] = {
    # one row per named counterpart; `right_key` null: it has none. `state` is answered, expired
    # (no answer in time) or waiting. `stream` audit or imported; `labelled_by` a person or a rule.
    "left_key": pl.String(), "right_key": pl.String(), "state": pl.String(),
    "inclusion_probability": pl.Float64(), "stream": pl.String(),
    "labelled_at": pl.Datetime("us", "UTC"), "labelled_by": pl.String(),
}  # fmt: skip
UNIT_SCHEMA: dict[str, pl.DataType] = {
    "left_key": pl.String(), "matched_at": pl.Float64(), "wrong_at": pl.Float64(),
    "inclusion_probability": pl.Float64(), "amount_minor": pl.Int64(), "currency": pl.String(),
    "left_source": pl.String(), "right_source": pl.String(),
}  # fmt: skip
# What keeps a proposal from being a match that another threshold or a certificate would lift;
# all else (equal answers, no shared currency, amounts far apart, a conflict) keeps it one at any.
_LIFTED = ("below_floor", "margin", "uncertified")


def of_run(run_id: str | None) -> dict[str, str]:
    """SQL that reads each table of a stored run, or, without an id, of the run being made."""
    mine = f"where run_id = {quote_text(run_id)}" if run_id is not None else ""
    prefix = "" if run_id is not None else "out_"
    return {name: f"(from {prefix}{name} {mine})" for name in model.RUN_TABLES}


def picks(engine: Engine, rec: Reconciliation, run_id: str | None) -> pl.DataFrame:
    """Every picked pair of a run, in the columns of `PICK_SCHEMA`, by keys.

    Args:
        engine: a snapshot's engine with the tables of that run.
        rec: its reconciliation, whose sign-off limit is asked again for proposals.
        run_id: the run, or none for the one being made; decided matches are no method's work and
            are left out.
    """
    over = dispose.over_limit(rec, "left_amount", "right_amount")
    told = of_run(run_id)
    names = ", ".join(PICK_SCHEMA)
    found = engine.rows(
        f"""
        with pairs as (
            select l.event_key as left_key, r.event_key as right_key, m.method, m.model_hash,
                   coalesce(m.confidence, 1.0) as confidence, coalesce(m.margin, 1.0) as margin,
                   false as barred, m.disposition = 'review' as held, false as proposed,
                   coalesce(l.allocated_minor, {keys.measure_sql(rec.measure, "left")})
                       as amount_minor,
                   coalesce(m.currency, e.currency) as currency
            from (from {told["matches"]} where method <> 'decided') m
            join (from {told["match_members"]} where side = 'left' and counts) l using (match_id)
            join (from {told["match_members"]} where side = 'right' and counts) r using (match_id)
            join events e on e.event_key = l.event_key
            union all
            select left_key, right_key, method, model_hash, coalesce(confidence, 1.0),
                   coalesce(margin, 1.0), why_code not in {_LIFTED!r}, {over}, true,
                   left_amount, currency
            from {told["proposals"]}
        )
        select {names} from (
            select p.*, le.source as left_source, re.source as right_source
            from pairs p join events le on le.event_key = left_key
            join events re on re.event_key = right_key)
        order by left_key, right_key, method"""
    )
    return found.select(pl.col(name).cast(kind) for name, kind in PICK_SCHEMA.items())


def from_audit(items: pl.DataFrame) -> pl.DataFrame:
    """The audit sample (`audit.audit_labels`) as labels: a row per named counterpart."""
    words = {"counterpart": "answered", "none": "answered", "expired": "expired", "open": "waiting"}
    named = items.with_columns(
        right_key=pl.when(pl.col("label") == "counterpart").then(pl.col("right_keys"))
    ).explode("right_key")
    return named.select(
        left_key="event_key", right_key="right_key",
        state=pl.col("label").replace_strict(words, return_dtype=pl.String),
        inclusion_probability="inclusion_probability", stream=pl.lit("audit"),
        labelled_at=pl.coalesce("labelled_at", "deadline"), labelled_by="reviewer",
    )  # fmt: skip


def from_imported(decisions: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Imported judgements as labels, for estimates that speak of the labelled matches alone.

    Args:
        decisions: those in force, of one reconciliation.
        found: the picks. A `not_same` says something of a left event only where that very pair was
            picked and no counterpart is named.
    """
    said = decisions.filter((pl.col("stream") == "imported") & pl.col("left_key").is_not_null())
    same = said.filter(pl.col("verdict") == "same")
    none = said.filter(pl.col("verdict") == "no_counterpart")
    refused = (
        said.filter(pl.col("verdict") == "not_same")
        .join(found, on=["left_key", "right_key"], how="semi")
        .join(same, on="left_key", how="anti")
    )
    rows = pl.concat([
        same.select("left_key", "right_key", "effective_at", "reviewer"),
        pl.concat([none, refused]).select(
            "left_key", pl.lit(None, dtype=pl.String).alias("right_key"), "effective_at", "reviewer"
        ),
    ]).unique(["left_key", "right_key"], keep="last", maintain_order=True)  # fmt: skip
    return rows.select(
        "left_key", "right_key", pl.lit("answered").alias("state"),
        pl.lit(1.0).alias("inclusion_probability"), pl.lit("imported").alias("stream"),
        labelled_at="effective_at", labelled_by="reviewer",
    )  # fmt: skip


def matchable(found: pl.DataFrame, method: str, margin: float) -> pl.DataFrame:
    """The picked pairs of a method that some threshold would make a match without a person."""
    return found.filter(
        (pl.col("method") == method)
        & ~pl.col("barred")
        & ~pl.col("held").fill_null(False)
        & (pl.col("margin") >= margin)
    )


def frame_of(pairs: pl.DataFrame) -> pl.DataFrame:
    """One row per left event of `matchable`: from which threshold on it is matched, its money."""
    return pairs.group_by("left_key").agg(
        matched_at=pl.col("confidence").max(),
        amount_minor=pl.col("amount_minor").max(),
        currency=pl.col("currency").min(),
        left_source=pl.col("left_source").min(),
        right_source=pl.col("right_source").min(),
    )


def units(pairs: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Labelled left events that the method picked, in the columns of `UNIT_SCHEMA`, by key.

    Args:
        pairs: `matchable` pairs of one method.
        labels: rows of `LABEL_SCHEMA`. A left event with a picked partner that its labels do not
            name is wrong from that partner's confidence on. One whose answer never came is wrong.
    """
    labels = labels.filter(pl.col("state") != "waiting")
    named = labels.filter((pl.col("state") == "answered") & pl.col("right_key").is_not_null())
    asked = labels.group_by("left_key").agg(pl.col("inclusion_probability").min())
    judged = pairs.join(asked, on="left_key").join(
        named.select("left_key", "right_key", right=pl.lit(True)).unique(),
        on=["left_key", "right_key"], how="left",
    )  # fmt: skip
    wrong = pl.col("confidence").filter(pl.col("right").is_null()).max()
    chance = pl.col("inclusion_probability").min()
    verdicts = judged.group_by("left_key").agg(wrong_at=wrong, inclusion_probability=chance)
    return frame_of(judged).join(verdicts, on="left_key").select(list(UNIT_SCHEMA)).sort("left_key")


def equal_chance(found: pl.DataFrame, salt: str) -> pl.DataFrame:
    """Draws with unequal chances, thinned so that all that remain had the same one.

    An exact test needs that. A draw with chance p stays with probability `least chance / p`, told
    by a hash of its key, so the same draws stay on every machine.
    """
    if found.is_empty():
        return found
    chance = pl.col("inclusion_probability")
    if found["inclusion_probability"].n_unique() == 1:
        return found
    luck = pl.Series([_luck(salt, key) for key in found["left_key"]], dtype=pl.Float64)
    return found.filter(luck * chance < chance.min())


def _luck(salt: str, key: str) -> float:
    """A number in [0, 1) that belongs to the key."""
    return int(hashlib.sha256(f"{salt}\x1f{key}".encode()).hexdigest()[:13], 16) / 16**13


def at_or_above(values: pl.Series, grid: Sequence[float]) -> list[int]:
    """For each point of the grid how many values lie at or above it; nulls lie nowhere."""
    known = np.sort(values.drop_nulls().to_numpy())
    places = np.searchsorted(known, np.asarray(grid, dtype=np.float64), side="left")
    return [int(n) for n in known.size - places]
