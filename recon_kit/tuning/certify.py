"""Certify a threshold: at most so many wrong matches, with a stated confidence.

A fixed-sequence exact binomial test (Learn-then-Test): the grid of thresholds is fixed before any
answer is looked at, then walked from strict to lax; at each point k wrong of n audited matches
give p = P(Bin(n, promised rate) <= k), and the walk goes on while p <= delta. The last threshold
passed is certified: however many points were tried, the promise fails with probability at most
delta. It holds for any score, even a bad one, as long as the labels are a random draw.

Source: Angelopoulos et al., Learn then Test, arXiv 2110.01052; bounds: Clopper and Pearson.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recon_kit import model, stats
from recon_kit.errors import CertificationError
from recon_kit.tuning import outcomes

FMR_MAX, DELTA = 0.02, 0.05
LABEL_DAYS, VALID_DAYS = 180, 90
_POINTS = 40
_ERRORS_AFFORDED = 15  # the walk starts where so many wrong ones still prove the rate: a start
# with few labels is lost by one unlucky draw, and the walk never goes back
STEP_SCHEMA: dict[str, pl.DataType] = {
    "threshold": pl.Float64(), "labels": pl.Int64(), "wrong": pl.Int64(),
    "p_value": pl.Float64(), "upper": pl.Float64(), "passed": pl.Boolean(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fixed before any answer is looked at; known by `plan_hash`.

    `grid` runs from strict to lax. `model_hash` is what the certificate will be bound to.
    """

    reconciliation: str
    method: str
    model_hash: str
    margin: float
    grid: tuple[float, ...]
    fmr_max: float = FMR_MAX
    delta: float = DELTA

    @property
    def plan_hash(self) -> str:
        """Hash of everything that is fixed."""
        return model.digest("plan", self.as_json())

    def as_json(self) -> str:
        """The plan as canonical text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one walk came to.

    `threshold` is the laxest that passed, none where nothing did; `labels` and `wrong` count the
    audited matches at it (or at the first point, where nothing passed), `upper` bounds the rate
    of wrong matches there, `frame` counts the matches of the run at it, of which at most
    `frame_wrong_max` are wrong (exactly the wrong ones when all were audited). `delta` is what
    this look may spend, `looks` how many earlier looks used the same labels. `more` is how many
    further labels would do if none of them were wrong; `said` tells the whole in a sentence.
    """

    plan: Plan
    threshold: float | None
    labels: int
    wrong: int
    upper: float
    delta: float
    looks: int
    frame: int
    frame_wrong_max: int
    more: int
    said: str
    label_hashes: tuple[str, ...] = field(repr=False)
    frame_hash: str = field(repr=False)
    steps: pl.DataFrame = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether a threshold was certified."""
        return self.threshold is not None

    def as_json(self) -> str:
        """Everything the ledger keeps of it, as canonical text."""
        told = {
            "plan_hash": self.plan.plan_hash, "threshold": self.threshold, "labels": self.labels,
            "wrong": self.wrong, "upper": self.upper, "delta": self.delta, "looks": self.looks,
            "frame": self.frame, "frame_wrong_max": self.frame_wrong_max, "more": self.more,
            "said": self.said, "label_hashes": list(self.label_hashes),
            "frame_hash": self.frame_hash, "steps": self.steps.to_dicts(),
        }  # fmt: skip
        return json.dumps(told, sort_keys=True, separators=(",", ":"))


def fix_grid(
    frame: pl.Series, audited: pl.Series, fmr_max: float = FMR_MAX, delta: float = DELTA
) -> tuple[float, ...]:
    """A grid of thresholds from strict to lax, chosen without looking at any answer.

    Args:
        frame: confidence of every match the method could make.
        audited: the part of them that was drawn for audit, answered or not.
        fmr_max: the rate to be promised.
        delta: the chance of being wrong that the promise allows itself.

    Returns:
        At most 40 points at equal steps of the frame's matches. The strictest has enough audited
        matches above it to stand some wrong ones; where there are fewer, half of them; nothing
        where even all of them could not prove the rate.
    """
    seen = np.sort(audited.drop_nulls().to_numpy())[::-1]
    least = stats.labels_needed(0, fmr_max, delta)
    if seen.size < least or frame.is_empty():
        return ()
    enough = stats.labels_needed(_ERRORS_AFFORDED, fmr_max, delta)
    start = seen[max(least, min(enough, seen.size // 2)) - 1]
    values = np.sort(frame.drop_nulls().to_numpy())[::-1]
    below = values[values <= start]
    places = np.linspace(0, below.size - 1, num=min(_POINTS, below.size)).astype(np.int64)
    return tuple(float(x) for x in np.unique(below[places])[::-1])


def walk(
    matched_at: pl.Series, wrong_at: pl.Series, grid: Sequence[float], fmr_max: float, delta: float
) -> pl.DataFrame:
    """The points tried, in the columns of `STEP_SCHEMA`; only the last may have failed.

    Args:
        matched_at: per audited match the threshold down to which it is not yet made.
        wrong_at: the same for a wrong partner of it; null where it has none.
        grid: thresholds from strict to lax.
        fmr_max: the rate to be promised.
        delta: the chance of being wrong that the whole walk allows itself.
    """
    rows: list[tuple[float, int, int, float, float, bool]] = []
    labels = outcomes.at_or_above(matched_at, grid)
    wrong = outcomes.at_or_above(wrong_at, grid)
    for threshold, n, k in zip(grid, labels, wrong, strict=True):
        p = stats.binomial_at_most(k, n, fmr_max)
        upper = stats.clopper_pearson_upper(k, n, delta)
        rows.append((threshold, n, k, p, upper, p <= delta))
        if p > delta:
            break
    return pl.DataFrame(rows, schema=STEP_SCHEMA, orient="row")


def recent(labels: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """The labels that may certify: of the audit sample, by people, of the last 180 days."""
    return labels.filter(
        (pl.col("stream") == "audit")
        & (pl.col("labelled_at") > as_of - timedelta(days=LABEL_DAYS))
        & ~pl.col("labelled_by").str.starts_with("rule:").fill_null(False)
    )


def certify(found: pl.DataFrame, labels: pl.DataFrame, plan: Plan, looks: int = 0) -> Attempt:
    """Walk the grid of a plan over the audited matches.

    Args:
        found: picked pairs of a run that was not told the answers (`outcomes.picks`).
        labels: `recent` rows of `outcomes.LABEL_SCHEMA`.
        plan: what was fixed beforehand.
        looks: earlier walks that used some of these labels; each halves what this one may spend.

    Raises:
        CertificationError: drawn items wait for their answer. Leaving them out would leave out
            the hard ones.
    """
    pairs = outcomes.matchable(found, plan.method, plan.margin)
    frame, delta = outcomes.frame_of(pairs), plan.delta * 0.5**looks
    audited = labels.join(pairs, on="left_key", how="semi")
    waiting = audited.filter(pl.col("state") == "waiting")
    if waiting.height and plan.grid:
        raise CertificationError(
            f"{waiting['left_key'].n_unique()} drawn items of {plan.reconciliation}, {plan.method},"
            " wait for their answer; a sample that leaves out what was hard proves nothing. "
            "Answer them; after their deadline they count as wrong."
        )
    if not plan.grid:
        return _too_few(plan, delta, looks, audited["left_key"].n_unique())
    judged = outcomes.equal_chance(outcomes.units(pairs, labels), plan.plan_hash)
    steps = walk(judged["matched_at"], judged["wrong_at"], plan.grid, plan.fmr_max, delta)
    good = steps.filter("passed")
    shown = (good.tail(1) if good.height else steps.head(1)).row(0, named=True)
    n, k = shown["labels"], shown["wrong"]
    threshold = shown["threshold"] if good.height else None
    size = outcomes.at_or_above(frame["matched_at"], [shown["threshold"]])[0]
    more = 0 if good.height else max(1, stats.labels_needed(k, plan.fmr_max, delta) - n)
    return Attempt(
        plan=plan,
        threshold=threshold,
        labels=n,
        wrong=k,
        upper=shown["upper"],
        delta=delta,
        looks=looks,
        frame=size,
        frame_wrong_max=stats.hypergeometric_upper(k, n, max(n, size), delta),
        more=more,
        said=_said(plan, threshold, (n, k, delta), more),
        label_hashes=_label_hashes(labels, judged),
        frame_hash=_frame_hash(frame),
        steps=steps,
    )


def _too_few(plan: Plan, delta: float, looks: int, audited: int) -> Attempt:
    """No answer was looked at: even without a wrong one there are too few."""
    more = stats.labels_needed(0, plan.fmr_max, delta) - audited
    said = f"uncertified: {max(more, 1):,} more audit labels needed ({audited:,} so far)"
    return Attempt(
        plan, None, audited, 0, 1.0, delta, looks, 0, 0, max(more, 1), said, (), "",
        pl.DataFrame(schema=STEP_SCHEMA),
    )  # fmt: skip


def _said(plan: Plan, threshold: float | None, seen: tuple[int, int, float], more: int) -> str:
    n, k, delta = seen
    if threshold is not None:
        return (
            f"from a confidence of {threshold:.6g} on at most {plan.fmr_max:.1%} of the matches "
            f"are wrong, with {1 - delta:.4g} certainty: {k} wrong of {n:,} audited"
        )
    if n and k / n > plan.fmr_max:
        return (
            f"not certified: {k} wrong of {n:,} audited is {k / n:.1%}, more than the "
            f"{plan.fmr_max:.1%} promised; train the model or leave these matches to people"
        )
    return (
        f"uncertified: {more:,} more audit labels needed (with {k} wrong of {n:,} so far, "
        "and if none of them is wrong)"
    )


def _label_hashes(labels: pl.DataFrame, judged: pl.DataFrame) -> tuple[str, ...]:
    """Per audited left event two hashes, `event:answer`: which labels were used, and as what."""
    used = labels.join(judged, on="left_key", how="semi").sort("left_key", "right_key")
    told = used.group_by("left_key", maintain_order=True).agg("right_key", "state")
    return tuple(
        f"{model.digest(key, length=16)}:{model.digest(*rights, *states, length=16)}"
        for key, rights, states in told.iter_rows()
    )


def _frame_hash(frame: pl.DataFrame) -> str:
    """Hash of the matches the promise speaks of: left events with their confidence."""
    rows = frame.sort("left_key").select(
        pl.concat_str("left_key", pl.col("matched_at").round(6).cast(pl.String), separator="\x1f")
    )
    return model.digest(*rows.to_series().to_list())
