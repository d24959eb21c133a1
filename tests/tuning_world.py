"""Invented matches with known truth, and the ways in which people label them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import numpy as np
import polars as pl

from recon_kit.tuning import outcomes

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Matches:
    """Scores, whether the match is of high money, whether it is wrong."""

    score: np.ndarray
    big: np.ndarray
    wrong: np.ndarray

    def rate(self, threshold: float) -> float:
        """The true share of wrong matches from a threshold on."""
        made = self.score >= threshold
        return float(self.wrong[made].mean()) if made.any() else 0.0

    def share(self, threshold: float) -> float:
        """The share of all that is matched from a threshold on."""
        return float((self.score >= threshold).mean())

    def picks(self, method: str = "probable") -> pl.DataFrame:
        """As a run would have picked them."""
        n = self.score.size
        return complete(
            {
                "left_key": keys("l", n), "right_key": keys("r", n), "confidence": self.score,
                "amount_minor": np.where(self.big, 50_000, 2_000),
            },
            outcomes.PICK_SCHEMA,
            method=method, model_hash="m1", margin=1.0, barred=False, held=False, currency="EUR",
            left_source="shop", right_source="stripe",
        )  # fmt: skip

    def labels(self, drawn: np.ndarray, chance: np.ndarray, stream: str = "audit") -> pl.DataFrame:
        """Answers for the drawn ones: the right counterpart, or another one."""
        at = np.flatnonzero(drawn)
        right = np.where(self.wrong[at], "other", "r")
        named = pl.concat_str(pl.Series(right), pl.Series(at, dtype=pl.Int64))
        return complete(
            {
                "left_key": keys("l", self.score.size).gather(at),
                "right_key": pl.select(named).to_series(),
                "inclusion_probability": np.broadcast_to(chance, self.score.shape)[at],
            },
            outcomes.LABEL_SCHEMA,
            state="answered", stream=stream, labelled_at=NOW, labelled_by="ana",
        )  # fmt: skip


@cache
def keys(letter: str, count: int) -> pl.Series:
    """`l0, l1, ...`."""
    return pl.select(letter + pl.int_range(count).cast(pl.String)).to_series()


def complete(columns, schema, **same) -> pl.DataFrame:
    """A frame in a schema from some columns and values that all rows share; the rest is null."""
    rows = pl.DataFrame(columns)
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(same.get(name))).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def invent(rng: np.random.Generator, count: int) -> Matches:
    """Wrong ones are likelier at low scores and at high money."""
    easy = rng.random(count) < 0.6
    score = np.where(easy, rng.beta(14, 1.0, count), rng.beta(4, 2, count)).clip(0.5, 0.999)
    big = rng.random(count) < 0.2
    chance = 1 / (1 + np.exp(-(5.2 - 11.7 * score + 1.5 * big)))
    return Matches(score, big, rng.random(count) < chance)


def work_labels(rng: np.random.Generator, made: Matches, regime: str) -> pl.DataFrame:
    """What reviewers label of their own accord, with the chance that the log claims."""
    queue = made.score < 0.9
    if regime == "queue_heavy":
        logged = np.where(queue, np.where(made.big, 0.5, 0.3), np.where(made.big, 0.25, 0.15))
    elif regime == "money_last":
        logged = np.where(queue, np.where(made.big, 0.12, 0.5), np.where(made.big, 0.12, 0.2))
    else:
        logged = np.where(queue, 0.4, 0.15)
    real = np.where(made.wrong, logged * 0.35, logged) if regime == "cherry_pick" else logged
    return made.labels(rng.random(made.score.size) < real, logged, "work")
