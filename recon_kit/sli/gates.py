"""Gates: go, hold or unknown, for machines that spend, invoice or pay out.

A gate is a list of conditions on indicators. One that is surely broken holds; one that cannot be
told (no value, a stale file, too few events) makes it unknown; only when all are met does it say
go. Missing data is never go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from recon_kit import stats
from recon_kit.errors import UnknownNameError

Answer = Literal["go", "hold", "unknown"]
# A share is surely too low when so many failures have at most this probability at the limit.
DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Condition:
    """What one indicator must be.

    `at_least` and `at_most` bound the value (in the indicator's unit) in every row of the
    indicator: all reconciliations, and all cohorts where `cohort` is none. `broken` is the answer
    when a bound is broken: `unknown` for what only says that nothing can be told, such as the age
    of a file. With `exact` a share of counted events below `at_least` holds only when the exact
    binomial test is sure of it, and is unknown until then; so is a share of so few events that a
    single failure would break the bound.
    """

    indicator: str
    at_least: float | None = None
    at_most: float | None = None
    cohort: str | None = "all"
    broken: Literal["hold", "unknown"] = "hold"
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """A named set of conditions; `release` says what opens it again."""

    name: str
    conditions: tuple[Condition, ...]
    release: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate answers, why, and what opens it again."""

    gate: str
    answer: Answer
    reason: str
    release: str


_FRESH = Condition("feed_freshness", at_most=72.0, cohort=None, broken="unknown")
GATES: tuple[Gate, ...] = (
    Gate(
        "hold_spend",
        (_FRESH, Condition("match_rate", at_least=0.95, exact=True)),
        "The mature weeks match at least 95 % of their left events, and files are fresh.",
    ),
    Gate(
        "pause_invoicing",
        (
            _FRESH,
            Condition("match_rate_money", at_least=0.95),
            Condition("case_rate", at_most=0.05),
        ),
        "At least 95 % of the money is accounted for and at most one case is open for twenty "
        "left events.",
    ),
    Gate(
        "block_payout",
        (_FRESH, Condition("blocking_cases", at_most=0.0)),
        "No case that blocks payouts is open.",
    ),
)


def gate(name: str, own: tuple[Gate, ...] = ()) -> Gate:
    """The gate of that name, one's own before the built-in ones.

    Raises:
        UnknownNameError: there is none.
    """
    for known in (*own, *GATES):
        if known.name == name:
            return known
    raise UnknownNameError("gate", name, [g.name for g in (*own, *GATES)])


def evaluate(asked: Gate, slis: pl.DataFrame) -> Verdict:
    """Ask a gate about indicators.

    Args:
        asked: the gate.
        slis: rows in `model.SLI_SCHEMA` of one or more reconciliations, of one evaluation each.

    Returns:
        The verdict; its reason names the first condition that decided it.
    """
    found: dict[str, str] = {}
    for condition in asked.conditions:
        for answer, reason in _judged(condition, slis):
            found.setdefault(answer, reason)
    for answer in ("hold", "unknown"):
        if answer in found:
            return Verdict(asked.name, answer, found[answer], asked.release)
    return Verdict(asked.name, "go", "all conditions are met", asked.release)


def _judged(condition: Condition, slis: pl.DataFrame) -> list[tuple[Answer, str]]:
    mine = slis.filter(pl.col("name") == condition.indicator)
    if condition.cohort is not None:
        mine = mine.filter(pl.col("cohort") == condition.cohort)
    ordered = mine.sort("reconciliation", "cohort", "currency", nulls_last=True)
    if ordered.is_empty():
        return [("unknown", f"{condition.indicator} was not measured")]
    return [_row_judged(condition, row) for row in ordered.iter_rows(named=True)]


def _row_judged(condition: Condition, row: dict[str, Any]) -> tuple[Answer, str]:
    place = [row["reconciliation"], row["currency"]]
    if row["cohort"] != "all":
        place.insert(1, row["cohort"])
    name = f"{condition.indicator} of {', '.join(p for p in place if p)}"
    value = row["value"]
    if row["state"] != "known" or value is None:
        return "unknown", f"{name} is unknown" + (f": {row['note']}" if row["note"] else "")
    if condition.at_most is not None and value > condition.at_most:
        return condition.broken, f"{name} is {value:g}, above {condition.at_most:g}"
    if condition.at_least is not None and value < condition.at_least:
        said = f"{name} is {value:g}, below {condition.at_least:g}"
        if condition.exact and not _surely_below(row, condition.at_least):
            return "unknown", f"{said}, but {row['denominator']} events are too few to be sure"
        return condition.broken, said
    if condition.exact and condition.at_least is not None:
        events = row["denominator"]
        if events - 1 < condition.at_least * events:
            told = "event is" if events == 1 else "events are"
            return "unknown", f"{name} is {value:g}, but {events} {told} too few to be sure"
    return "go", f"{name} is {value:g}"


def _surely_below(row: dict[str, Any], at_least: float) -> bool:
    failures = row["denominator"] - row["numerator"]
    return stats.binomial_at_least(failures, row["denominator"], 1 - at_least) <= DELTA
