"""What the weekly health report is made of, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from recon_kit.present import openboard
from recon_kit.present.base import About

AUDIENCES = ("ops", "finance", "growth")

STATES: Mapping[str, str] = {
    "Matched": "within tolerance, automatically or confirmed by a person",
    "Residual": "matched, with overdue money left open beyond the tolerance",
    "Proposed": "a counterpart was found, but a person has to confirm it",
    "Overdue": "not matched although the settlement time has passed",
    "In flight": "not matched, but still inside its settlement time",
    "Not covered": "the other side's files do not reach that far: unknown, in no rate, no case",
}


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What the report is made of.

    Args:
        week: ISO week such as `2026-W46`; `first_day` and `last_day` bound it.
        audience: `ops`, `finance` or `growth`.
        totals: left events of the week by state: `reconciliation, currency, state, items,
            amount_minor` (and those of the runs as a whole when `week_only` is false).
        weekly: the trend, `reconciliation, currency, week, measure, share, mature`;
            `weekly_shares` makes it.
        slis: `model.SLI_SCHEMA`; rows of other weeks are left out.
        currency: the workspace's: its money leads, and is the only money that trends show.
        open_items: as `OpenItemsView`; with `age_days` the ageing chart is drawn.
        curve: `days, share` and optionally `low, high`: time to reconcile of the first
            reconciliation.
        cases: open cases: `kind, owner, cases` and optionally `oldest_days, oldest_case`.
        counted: open items of all weeks, cases and questions by state, as `openboard.board` reads.
    """

    about: About
    week: str
    first_day: date
    last_day: date
    audience: str
    totals: pl.DataFrame
    weekly: pl.DataFrame
    slis: pl.DataFrame
    open_items: pl.DataFrame
    currency: str | None = None
    curve: pl.DataFrame = field(default_factory=pl.DataFrame)
    cases: pl.DataFrame = field(default_factory=pl.DataFrame)
    counted: pl.DataFrame = field(default_factory=openboard.EMPTY.clone)
