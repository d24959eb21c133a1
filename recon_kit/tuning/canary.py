"""Watch what matches without a person, by the labels drawn since: all of it, or a canary's share.

`watch` may be looked at after each label: evidence against the promised rate grows as an e-process,
which at the promised rate exceeds 1/delta at any time with probability at most delta (peeking at a
plain test alarms in one run of five). Events of one component compete, so they are wrong together:
where components are known, each is one bet, the share of its labels that are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from recon_kit import stats

DELTA = 0.05
OBSERVE_DAYS = 14


@dataclass(frozen=True, slots=True)
class Watched:
    """What labels say so far.

    `state` is `roll_back` (surely worse than promised), `observe` (too early, or too few labels)
    or `go` (observed long enough, certified, nothing against it). `evidence` is the largest value
    of the e-process, `alarm_at` the number of bets at which it crossed, if it did.
    """

    state: Literal["roll_back", "observe", "go"]
    labels: int
    wrong: int
    evidence: float
    alarm_at: int | None
    said: str


def watch(  # noqa: PLR0913 - labels, promise and clocks, handed down by name
    wrong: ArrayLike,
    fmr_max: float,
    *,
    began: datetime,
    as_of: datetime,
    delta: float = DELTA,
    components: Sequence[str] | None = None,
) -> Watched:
    """Judge matches by their labels; may be asked as often as one likes.

    Args:
        wrong: labels of the matches in the order of their draw, 1 for a wrong match.
        fmr_max: the promised rate.
        began: when the change began to act; it is watched for `OBSERVE_DAYS` at least, whatever
            the labels say, as weeks have habits.
        as_of: now.
        delta: chance of a false alarm.
        components: the component of each match; each match is one of its own, where not given.
    """
    told = np.asarray(wrong, dtype=np.float64)
    bets = told if components is None else _bets(told, components)
    path = np.append(1.0, stats.e_process(bets, fmr_max))  # before the first label: none
    labels, errors, evidence = told.size, int(told.sum()), float(path.max())
    over = np.flatnonzero(path >= 1 / delta)
    if over.size:
        said = (
            f"roll back: {errors} wrong of {labels:,}, more than {fmr_max:.1%} allow; "
            f"evidence {evidence:.3g}, alarm at {1 / delta:g}"
        )
        return Watched("roll_back", labels, errors, evidence, int(over[0]), said)
    until = began + timedelta(days=OBSERVE_DAYS)
    needed = stats.labels_needed(int((bets > 0).sum()), fmr_max, delta) - bets.size
    if as_of < until:
        said = f"observe until {until:%Y-%m-%d}: {errors} wrong of {labels:,} so far"
    elif needed > 0:
        said = f"observe: {needed:,} more labels needed; {errors} wrong of {labels:,} so far"
    else:
        said = f"go: {errors} wrong of {labels:,} in {(as_of - began).days} days"
        return Watched("go", labels, errors, evidence, None, said)
    return Watched("observe", labels, errors, evidence, None, said)


def judged(labels: pl.DataFrame, made: pl.DataFrame, *, parts: bool) -> pl.DataFrame:
    """What labels say of the pairs that stand under what is watched.

    A match with one partner that was not named is wrong; where a rule keeps pairs apart, a pair
    that was named is. An answer that never came is wrong. An event without such a pair says
    nothing: that it stands unmatched is a miss, not a false match.

    Args:
        labels: `audit.label_frame`, of drawn events that are no longer open, with the `seq` of
            their first draw.
        made: `run_id, event_key, right_key, component`: the pairs that it made, or kept apart.
        parts: whether it kept them apart.

    Returns:
        `seq, event_key, wrong, component`, one row per event, in the order of the draw.
    """
    named = pl.col("right_key").is_in("right_keys").fill_null(False)
    wrong = named | (pl.col("label") == "expired") if parts else ~named
    each = labels.join(made, on=["run_id", "event_key"]).group_by("seq", "event_key")
    told = each.agg(wrong=wrong.any(), component=pl.col("component").min())
    return told.sort("seq", "event_key")


def _bets(wrong: stats.Floats, components: Sequence[str]) -> stats.Floats:
    """Share of wrong labels of each component, in the order of their first draws."""
    rows = pl.DataFrame({"component": list(components), "wrong": wrong})
    shares = rows.group_by("component", maintain_order=True).agg(pl.col("wrong").mean())
    return np.asarray(shares["wrong"].to_numpy(), dtype=np.float64)
