"""When a case is due and whom it has reached: computed from its opening, never stored.

Clocks rest at weekends and on holidays. A case is due a business duration after it was opened, by
its priority. It escalates after 24 and after 72 hours, counted in business days (one and three),
so that a case of Friday evening does not escalate on Sunday.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from recon_kit import workdays
from recon_kit.errors import ReconError
from recon_kit.ledger.engine import Engine
from recon_kit.safe import quote_ident
from recon_kit.settings import Settings


@dataclass(frozen=True, slots=True)
class Clock:
    """How long a case of one priority may stay open."""

    priority: str
    count: int
    unit: workdays.Unit


CLOCKS: tuple[Clock, ...] = (
    Clock("P1", 4, "bh"),
    Clock("P2", 1, "bd"),
    Clock("P3", 3, "bd"),
    Clock("P4", 5, "bd"),
)
# No clock looks back further; one wrong date in a file must not make a calendar of centuries.
REACH = timedelta(days=3653)
ESCALATIONS: tuple[tuple[int, workdays.Unit], ...] = ((1, "bd"), (3, "bd"))


def due_at(priority: str, opened_at: datetime, settings: Settings) -> datetime:
    """When a case is due, in UTC.

    Raises:
        ReconError: no clock is declared for the priority.
    """
    place = settings.workspace
    for clock in CLOCKS:
        if clock.priority == priority:
            return workdays.add_duration(
                opened_at, clock.count, clock.unit, place.timezone, place.holidays
            )
    known = ", ".join(c.priority for c in CLOCKS)
    raise ReconError(f"no clock for priority {priority!r}; known: {known}")


def queue(
    engine: Engine, settings: Settings, as_of: datetime, table: str = "out_findings"
) -> pl.DataFrame:
    """Open cases, most urgent first.

    Args:
        engine: holds `table`; its table `calendar` is replaced.
        settings: zone and holidays of the clocks.
        as_of: the instant at which one looks.
        table: a table in the columns of `findings`, of one run for each reconciliation.

    Returns:
        The columns of `findings` without class A, and `due_at`, `overdue` (the due time has
        passed), `escalation` (0, 1 or 2) and `age_hours` (elapsed since `opened_at`), ordered by
        priority, money at risk (largest first, unknown last) and `case_id`.
    """
    zone = settings.workspace.timezone
    put_calendar(engine, settings, as_of, f"select min(opened_at) from {quote_ident(table)}")
    due = " ".join(
        f"when '{c.priority}' then {workdays.due_sql('f.opened_at', c.count, c.unit, zone)}"
        for c in CLOCKS
    )
    steps = " + ".join(
        f"(? >= {workdays.due_sql('f.opened_at', count, unit, zone)})::bigint"
        for count, unit in ESCALATIONS
    )
    return engine.rows(
        f"""
        with timed as (
          select f.*, case f.priority {due} end as due_at, {steps} as escalation
          from {quote_ident(table)} f where f.class <> 'A'
        )
        select * exclude (escalation), due_at <= ? as overdue, escalation,
          (epoch_us(?::timestamptz) - epoch_us(opened_at)) / 3600000000 as age_hours
        from timed order by priority, amount_minor desc nulls last, case_id
        """,
        [as_of] * (len(ESCALATIONS) + 2),
    )


def put_calendar(engine: Engine, settings: Settings, as_of: datetime, first_query: str) -> None:
    """Make table `calendar` from the earliest instant that a query finds to well after `as_of`."""
    found = engine.rows(first_query).item()
    first = min(found, as_of) if isinstance(found, datetime) else as_of
    first = max(first, as_of - REACH)
    frame = workdays.calendar_around(first.date(), as_of.date(), settings.workspace.holidays)
    engine.put("calendar", frame)
