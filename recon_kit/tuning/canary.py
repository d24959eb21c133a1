"""Let a change act on a small, fixed share of events first, and watch it.

Every audited match of the share is one label. `watch` may be looked at after each of them:
evidence against the promised rate grows as an e-process, which at the promised rate exceeds 1/delta
at any time with probability at most delta (peeking at a plain test alarms in one run of five).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from recon_kit import stats

DELTA = 0.05
OBSERVE_DAYS = 14


@dataclass(frozen=True, slots=True)
class Watched:
    """What the labels of a canary say so far.

    `state` is `roll_back` (surely worse than promised), `observe` (too early, or too few labels)
    or `go` (observed long enough, certified, nothing against it). `evidence` is the largest value
    of the e-process, `alarm_at` the number of labels at which it crossed, if it did.
    """

    state: Literal["roll_back", "observe", "go"]
    labels: int
    wrong: int
    evidence: float
    alarm_at: int | None
    said: str


def watch(
    wrong: ArrayLike,
    fmr_max: float,
    *,
    began: datetime,
    as_of: datetime,
    delta: float = DELTA,
) -> Watched:
    """Judge a canary; may be asked as often as one likes.

    Args:
        wrong: labels of its matches in the order of their draw, 1 for a wrong match.
        fmr_max: the promised rate.
        began: when the change began to act; it is watched for `OBSERVE_DAYS` at least, whatever
            the labels say, as weeks have habits.
        as_of: now.
        delta: chance of a false alarm.
    """
    told = np.asarray(wrong, dtype=np.float64)
    path = np.append(1.0, stats.e_process(told, fmr_max))  # before the first label: none
    labels, errors, evidence = told.size, int(told.sum()), float(path.max())
    over = np.flatnonzero(path >= 1 / delta)
    if over.size:
        said = (
            f"roll back: {errors} wrong of {labels:,}, more than {fmr_max:.1%} allow; "
            f"evidence {evidence:.3g}, alarm at {1 / delta:g}"
        )
        return Watched("roll_back", labels, errors, evidence, int(over[0]), said)
    until = began + timedelta(days=OBSERVE_DAYS)
    needed = stats.labels_needed(errors, fmr_max, delta) - labels
    if as_of < until:
        said = f"observe until {until:%Y-%m-%d}: {errors} wrong of {labels:,} so far"
    elif needed > 0:
        said = f"observe: {needed:,} more labels needed; {errors} wrong of {labels:,} so far"
    else:
        said = f"go: {errors} wrong of {labels:,} in {(as_of - began).days} days"
        return Watched("go", labels, errors, evidence, None, said)
    return Watched("observe", labels, errors, evidence, None, said)
