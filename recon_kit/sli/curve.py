"""How the share of settled left events grows with time."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from recon_kit import stats
from recon_kit.ledger.engine import Engine
from recon_kit.settings import Reconciliation, Settings
from recon_kit.sli import population
from recon_kit.sli.population import Tables

LIMIT_HOURS = 30 * 24.0


def time_curve(
    engine: Engine, rec: Reconciliation, settings: Settings, as_of: datetime, tables: Tables
) -> pl.DataFrame:
    """Share of left events settled within a time: one minus the Kaplan-Meier estimate.

    Population, clock and censoring are those of the indicator `time_to_reconcile`.

    Args:
        engine: as for `compute`; its table `calendar` is replaced.
        rec: the reconciliation.
        settings: zone and holidays.
        as_of: the instant at which one looks.
        tables: where the results stand.

    Returns:
        `days, share` from nothing at 0 days to at most `LIMIT_HOURS`, a point for each
        quarter of a day in which something was settled; no rows where nothing was watched.
    """
    population.populate(engine, rec, settings, as_of, tables)
    watched = engine.rows("select ended, hours, events from sli_watched order by all")
    found = stats.kaplan_meier(*(watched[c].to_numpy() for c in ("hours", "ended", "events")))
    if found is None:
        return pl.DataFrame(schema={"days": pl.Float64, "share": pl.Float64})
    end = min(found.last, LIMIT_HOURS)
    steps = pl.DataFrame({"hours": found.times, "share": 1 - found.share})
    # Several steps within six hours are one: a drawing shows no more, and it stays small.
    drawn = (
        steps.filter(pl.col("hours") <= end)
        .group_by((pl.col("hours") / 6).ceil() / 4)
        .agg(pl.col("share").max())
        .sort("hours")
    )
    last = drawn["share"].max() if drawn.height else 0.0
    edges = pl.DataFrame({"hours": [0.0, end / 24], "share": [0.0, last]})
    return pl.concat([drawn, edges]).group_by(days="hours").agg(pl.col("share").max()).sort("days")
