"""Held-out answers: what models say of labelled events whose labels they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit.matching.stored import Trained
from recon_kit.tuning import calibrate, examples, fit, folds, lessons, measure
from recon_kit.tuning.lessons import Lessons, Scored
from recon_kit.tuning.measure import Answers

TRAIN_EACH_MIN = 10  # pairs of either kind, below which no classifier is tried
# left_key, right_key (null where nothing was picked), truth (null where no label tells), and the
# log-odds of two models for the same pick: Splink's under the cardinality, the classifier's.
SCHEMA: dict[str, pl.DataType] = {
    "left_key": pl.String(), "right_key": pl.String(), "truth": pl.Int8(),
    "odds": pl.Float64(), "classifier": pl.Float64(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """Which labelled events are held out together.

    `events` has left_key, kind, ts, component (text), group (its number), fold and late (null
    where time cannot tell); `grouped` says how components were found.
    """

    events: pl.DataFrame
    grouped: folds.Grouped


def plan(work: Lessons) -> Plan:
    """Components of the pairs that were scored last, folds of them, and the latest share."""
    events = work.events
    grouped = folds.by_component(work.ties(), events["left_key"])
    events = events.join(grouped.of_event, on="left_key", maintain_order="left")
    component = events["component"]
    late = folds.latest(events["ts"], component)
    return Plan(
        events.with_columns(
            group=component.rank("dense").cast(pl.Int64),
            fold=folds.split(component, folds.FOLDS, work.seed),
            late=pl.lit(None, dtype=pl.Boolean) if late is None else late,
        ),
        grouped,
    )


def cross(
    work: Lessons, planned: Plan, progress: Callable[[str], None] = lambda _: None
) -> pl.DataFrame:
    """Answers (`SCHEMA` and `fold`) to every labelled event, by models of the other folds."""
    parts = []
    for number in range(folds.FOLDS):
        progress(f"{work.rec.name}: held out, part {number + 1} of {folds.FOLDS}")
        out = planned.events.filter(pl.col("fold") == number)["left_key"]
        if out.len():
            parts.append(_without(work, planned, out).with_columns(fold=pl.lit(number)))
    return pl.concat(parts)


def latest(work: Lessons, planned: Plan) -> pl.DataFrame | None:
    """Answers to the latest events by a model of the earlier ones; None where time cannot tell."""
    out = planned.events.filter(pl.col("late"))["left_key"]
    return _without(work, planned, out) if out.len() else None


def _without(work: Lessons, planned: Plan, out: pl.Series) -> pl.DataFrame:
    known = examples.Examples(work.rows, work.rows.clear(), {}).without(out)
    scored = work.score(work.learn(known))
    fitted = train_classifier(work, planned, scored, known)
    return answers(work, scored, out, fitted)


def train_classifier(
    work: Lessons, planned: Plan, scored: Scored, known: pl.DataFrame
) -> tuple[list[tuple[str, str]], fit.Regression] | None:
    """A classifier over all candidate pairs of the events that `known` speaks of, or None."""
    truth = examples.truth(scored.pairs, known, work.rec)
    mine = scored.pairs["left_key"].is_in(known["left_key"].drop_nulls().implode())
    pairs = scored.pairs.with_columns(truth=truth).filter(mine & truth.is_not_null())
    right = int(pairs["truth"].sum())
    if min(right, pairs.height - right) < TRAIN_EACH_MIN:
        return None
    names = lessons.columns(pairs)
    groups = pairs.join(
        planned.events.select("left_key", "component"), on="left_key", how="left",
        maintain_order="left",
    )["component"]  # fmt: skip
    told = lessons.matrix(pairs, names)
    answer = pairs["truth"].to_numpy() == 1
    return names, fit.regression(told, answer, groups, work.seed, base=True)


def answers(
    work: Lessons,
    scored: Scored,
    out: pl.Series,
    fitted: tuple[list[tuple[str, str]], fit.Regression] | None,
) -> pl.DataFrame:
    """What a scoring says of labelled events (`SCHEMA`), held against all labels."""
    picks = scored.pairs.filter(
        pl.col("picked") & pl.col("left_key").is_in(out.implode())
    ).with_columns(odds=pl.col("chance"))
    told = pl.Series("classifier", [None] * picks.height, dtype=pl.Float64)
    if fitted is not None:
        told = pl.Series("classifier", fitted[1].told(lessons.matrix(picks, fitted[0])))
    picks = picks.with_columns(told, truth=examples.truth(picks, work.rows, work.rec))
    mine = work.rows.filter(pl.col("left_key").is_in(out.implode()))
    lone = mine.filter(pl.col("verdict") != examples.NOT_SAME).with_columns(
        truth=(pl.col("verdict") == examples.SAME).cast(pl.Int8)
    )
    met = picks.select("left_key", "right_key")
    missed = lone.filter(pl.col("truth") == 1).join(met, on=["left_key", "right_key"], how="anti")
    spared = lone.filter(pl.col("truth") == 0).join(met, on="left_key", how="anti")
    rows = pl.concat([picks, missed, spared], how="diagonal_relaxed")
    return rows.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()).sort(
        "left_key", "right_key", nulls_last=True
    )


def measured(
    found: pl.DataFrame, planned: Plan, told: str, *, crossed: bool
) -> tuple[Answers, pl.Series]:
    """Answers of one model with the event of each row; rows without a label are left out.

    Args:
        found: rows of `SCHEMA`.
        planned: whose components the rows belong to.
        told: `odds` or `classifier`.
        crossed: whether each fold is calibrated on the others.
    """
    rows = found.filter(pl.col("truth").is_not_null()).join(
        planned.events.select("left_key", "group"), on="left_key", how="left",
        maintain_order="left",
    )  # fmt: skip
    said = rows[told].to_numpy().astype(np.float64)
    picked, truth = np.isfinite(said), rows["truth"].to_numpy() == 1
    said = np.where(picked, said, 0.0)
    if crossed:
        chance = calibrate.crossed(said, truth, picked, rows["fold"].to_numpy())
    else:
        chance = calibrate.probability(None, said)
    chance = np.where(picked, chance, np.nan)
    return Answers(chance, truth, rows["group"].to_numpy()), rows["left_key"]


def picked(found: pl.DataFrame, told: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(log-odds, truth) of the picked pairs that are labelled."""
    rows = found.filter(pl.col("truth").is_not_null() & pl.col(told).is_not_null())
    return rows[told].to_numpy(), rows["truth"].to_numpy() == 1


def losses(found: pl.DataFrame, planned: Plan, told: str, *, crossed: bool) -> pl.DataFrame:
    """Log-loss by event of one model (see `measure.by_event`)."""
    return measure.by_event(*measured(found, planned, told, crossed=crossed))


def unlabelled(work: Lessons, planned: Plan, model: Trained) -> pl.DataFrame:
    """Answers of a model that saw no label to all labelled events, with their folds."""
    found = answers(work, work.score(model), planned.events["left_key"], None)
    return found.join(
        planned.events.select("left_key", "fold"), on="left_key", how="left", maintain_order="left"
    )
