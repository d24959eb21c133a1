"""What every indicator means, in the words that reports print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One indicator: a sentence for readers, and what exactly is counted, in what, by which clock.

    `unit` is the unit of the value: `share`, `hours`, `business_hours`, `cases` or `minor`.
    """

    name: str
    sentence: str
    numerator: str
    denominator: str
    unit: str
    clock: str


_COHORT = "event time, weeks of the workspace zone; a week counts once it is mature"
_WATCH = "elapsed time between receipts, up to the as-of time for what is still open"
_TIMES = (
    "hours from the first receipt of the event or of its counterpart to the receipt or decision "
    "that completed the match"
)
_WATCHED = "covered left events; those still open are censored (Kaplan-Meier)"
_OPEN = "open cases of class B and C"

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "match_rate",
        "Of the left events of a week, how many are matched and leave no money open.",
        "left events in an automatic or confirmed match without a residual beyond tolerance",
        "left events that the other side's files cover",
        "share",
        _COHORT,
    ),
    Definition(
        "match_rate_money",
        "Of the money of a week's left events, how much the other side accounts for.",
        "money of matched left events; of a match with a residual the covered part",
        "money of left events that the other side's files cover, without regard to sign",
        "share",
        _COHORT,
    ),
    Definition(
        "false_match_estimate",
        "Of the automatic matches, how many are wrong, estimated from a logged random draw.",
        "audited draws found wrong, each weighted by the inverse of its inclusion probability",
        "audited draws, weighted alike",
        "share",
        "draws with a logged inclusion probability only",
    ),
    Definition(
        "time_to_reconcile_median",
        "Half of the left events are reconciled within this time.",
        _TIMES,
        _WATCHED,
        "hours",
        _WATCH,
    ),
    Definition(
        "time_to_reconcile_p90",
        "Nine of ten left events are reconciled within this time.",
        _TIMES,
        _WATCHED,
        "hours",
        _WATCH,
    ),
    Definition(
        "time_to_reconcile_mean_30d",
        "Mean time to reconcile, where no event counts for more than 30 days.",
        _TIMES,
        _WATCHED,
        "hours",
        _WATCH,
    ),
    Definition(
        "time_to_reconcile_business_median",
        "Half of the left events are reconciled within these business hours.",
        _TIMES.replace("hours", "business hours", 1),
        _WATCHED,
        "business_hours",
        _WATCH + "; nine to five on business days",
    ),
    Definition(
        "time_to_reconcile_business_p90",
        "Nine of ten left events are reconciled within these business hours.",
        _TIMES.replace("hours", "business hours", 1),
        _WATCHED,
        "business_hours",
        _WATCH + "; nine to five on business days",
    ),
    Definition(
        "queue_depth",
        "How many cases wait for a remedy or a person.",
        _OPEN + "; in flight and not covered are none",
        "none: a count",
        "cases",
        "the as-of time",
    ),
    Definition(
        "blocking_cases",
        "How many open cases say that a payout must not be relied on.",
        _OPEN + " whose severity is block_payout",
        "none: a count",
        "cases",
        "the as-of time",
    ),
    Definition(
        "backlog_age_oldest",
        "How long the oldest open case has waited.",
        "hours since opening of the oldest open case",
        _OPEN,
        "hours",
        "opening of the case to the as-of time",
    ),
    Definition(
        "backlog_age_median",
        "Half of the open cases have waited at most so long.",
        "median hours since opening",
        _OPEN,
        "hours",
        "opening of the case to the as-of time",
    ),
    Definition(
        "backlog_age_p90",
        "Nine of ten open cases have waited at most so long.",
        "hours since opening, 90th percentile (interpolated)",
        _OPEN,
        "hours",
        "opening of the case to the as-of time",
    ),
    Definition(
        "unexplained_amount",
        "How much money nobody can explain yet.",
        "overdue events of both sides, residuals beyond tolerance after their settlement time, "
        "and the left side of proposals, without regard to sign",
        "none: an amount",
        "minor",
        "the as-of time",
    ),
    Definition(
        "case_rate",
        "How many cases are open for each left event.",
        _OPEN,
        "left events that the other side's files cover",
        "share",
        "the as-of time",
    ),
    Definition(
        "feed_freshness",
        "How long ago a source sent its last file.",
        "hours since the last receipt",
        "none: an age for each source (in the column of cohorts)",
        "hours",
        "receipt of the file to the as-of time",
    ),
)


def definition(name: str) -> Definition:
    """The definition of one indicator; KeyError for a name that is none."""
    return {d.name: d for d in DEFINITIONS}[name]
