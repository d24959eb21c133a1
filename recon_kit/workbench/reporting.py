"""Reports: which notebook, which week, which numbers; the rendering itself is `present.reports`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

import recon_kit
from recon_kit import model, workdays
from recon_kit.errors import ParameterError, ReportError, UnknownNameError
from recon_kit.ledger.engine import Engine
from recon_kit.present.rates import shares_of_due
from recon_kit.present.summary import scoreboard
from recon_kit.present.views import About, HealthFacts, weekly_shares
from recon_kit.settings import Settings
from recon_kit.sli.curve import time_curve
from recon_kit.sli.population import Tables
from recon_kit.workbench import queries, whatisopen
from recon_kit.workbench.run import code_hash

# Name of a report: its notebook.
REPORTS: dict[str, str] = {"weekly_health": "report_weekly_health.ipynb"}

_LAST_LEFT = """
    select max(clock) from (
      select $clock as clock from events e where e.event_key in (
        select event_key from match_members where side = 'left'
        union all select event_key from open_items where side = 'left')
    ) where clock < ?::timestamptz
"""


def week_name(engine: Engine, week: str, now: datetime, zone: str) -> str:
    """The ISO week meant: `latest` is the newest one that is over and has left events.

    Raises:
        ParameterError: neither `latest` nor a week such as 2026-W46.
    """
    if week == "latest":
        this_week, _ = workdays.week_bounds(workdays.week_of(now, zone), zone)
        clock = workdays.clock_sql("e.event_ts", "e.ts_precision", zone)
        newest = engine.rows(_LAST_LEFT.replace("$clock", clock), [this_week]).item()
        return workdays.week_of(newest or this_week - timedelta(hours=1), zone)
    try:
        workdays.week_bounds(week, zone)
    except ValueError as why:
        raise ParameterError(str(why)) from None
    return week


def facts(  # noqa: PLR0913, PLR0917 - a report is made of these
    engine: Engine, settings: Settings, about: About, slis: pl.DataFrame, week: str, audience: str
) -> HealthFacts:
    """Everything the weekly health report shows, from the current runs."""
    zone = settings.workspace.timezone
    chosen = week_name(engine, week, about.as_of, zone)
    first, _ = workdays.week_bounds(chosen, zone)
    monday = first.astimezone(ZoneInfo(zone)).date()
    waits = pl.lit(about.as_of) - pl.col("event_ts")
    open_items = queries.open_items(engine).with_columns(age_days=waits.dt.total_days())
    weekly = weekly_shares(slis, chosen)
    young = weekly.filter(~pl.col("mature"))["week"].unique().sort()
    totals = {
        name: queries.totals(engine, settings, *workdays.week_bounds(name, zone))
        for name in [chosen, *young]
    }
    boards = {name: scoreboard(totals[name]) for name in young}
    return HealthFacts(
        about=about,
        week=chosen,
        first_day=monday,
        last_day=monday + timedelta(days=6),
        audience=audience,
        totals=totals[chosen],
        weekly=shares_of_due(weekly, boards),
        slis=slis,
        open_items=open_items,
        currency=settings.workspace.currency,
        curve=_curve(engine, settings, about),
        cases=_cases(queries.queue(engine, settings, about.as_of)),
        counted=whatisopen.what_is_open(
            engine, [settings.reconciliation(name) for name in about.runs]
        ),
    )


def made_from(settings: Settings, about: About) -> str:
    """Hash of what a report comes from: runs, ledger, settings, and the code that shows them."""
    told = [dict(about.runs), about.checkpoint, settings.model_dump(mode="json"), code_hash()]
    return model.digest(json.dumps(told, sort_keys=True))


def render(  # noqa: PLR0913, PLR0917 - a report is made of these
    name: str, workspace: Path, folder: Path, week: str, audience: str, source: str
) -> Path:
    """Render a report for one week and audience into `folder`, unless it stands there already.

    Args:
        name: of the report.
        workspace: folder of the workspace.
        folder: the reports folder.
        week: ISO week.
        audience: `ops`, `finance` or `growth`.
        source: what `made_from` says; a page made from the same is left as it is.

    Returns:
        The HTML file.
    """
    from recon_kit.present import reports  # loads Jupyter's machinery, which takes a second

    out = folder / f"{name}_{week}_{audience}.html"
    parameters = {"workspace": str(workspace), "week": week, "audience": audience}
    return reports.render(notebook(name), parameters, out, folder=folder, made_from=source)


def notebook(name: str) -> Path:
    """Where a report's notebook stands: beside the package in a clone, inside it when installed.

    Raises:
        UnknownNameError: there is no such report.
        ReportError: the notebook is missing.
    """
    if name not in REPORTS:
        raise UnknownNameError("report", name, REPORTS)
    package = Path(recon_kit.__file__).parent
    for folder in (package.parent / "notebooks", package / "notebooks"):
        if (folder / REPORTS[name]).is_file():
            return folder / REPORTS[name]
    raise ReportError(f"{REPORTS[name]} is missing from this installation; reinstall recon_kit")


def _curve(engine: Engine, settings: Settings, about: About) -> pl.DataFrame:
    """Time to reconcile of the first reconciliation, from its stored run."""
    name = next(iter(about.runs))
    tables = Tables("matches", "match_members", "open_items", "findings", run_id=about.runs[name])
    rec = settings.reconciliation(name)
    return time_curve(engine, rec, settings, about.as_of, tables)


def _cases(queue: pl.DataFrame) -> pl.DataFrame:
    return (
        queue.group_by("kind", "owner")
        .agg(
            cases=pl.len(),
            oldest_days=(pl.col("age_hours").max() / 24).floor().cast(pl.Int64),
            oldest_case=pl.col("case_id").sort_by(-pl.col("age_hours"), "case_id").first(),
        )
        .sort("cases", "kind", "owner", descending=[True, False, False], nulls_last=True)
    )
