"""Frames that people look at, read from the current runs: matches, open items, queue, totals.

Each function takes a snapshot's engine with the run tables of the runs to show, and returns a
polars frame whose order ends in a unique key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from recon_kit import workdays
from recon_kit.ledger.engine import Engine
from recon_kit.resolution import clocks
from recon_kit.settings import Settings
from recon_kit.workbench.run import Done


def label(event: str) -> str:
    """What people call an event: its own id, one that it carries, or the beginning of its key.

    `event` is the alias of its row in a query.
    """
    ids = ", ".join(f"{event}.{name}" for name in ("native_id", "order_id", "transaction_id"))
    return f"coalesce({ids}, left({event}.event_key, 8))"


LABEL = label("e")

# Every counted left event of every run, with the state by which it is added up. `share` is set for
# those of a match that leaves money open: how much of `whole` that is, whichever side it is on.
LEFT_SIDE = """
    left_side as (
      select m.reconciliation, mm.event_key,
        case when oi.item_id is null then 'matched'
          when oi.state in ('in_flight', 'not_covered') then oi.state else 'residual' end as state,
        case when oi.item_id is not null then mm.match_id end as open_match,
        least(abs(m.residual_minor), abs(m.left_sum))::hugeint as share,
        nullif(abs(m.left_sum), 0)::hugeint as whole
      from match_members mm join matches m using (match_id, run_id)
      left join open_items oi on oi.match_id = m.match_id and oi.run_id = m.run_id
      where mm.side = 'left' and mm.role in ('principal', 'part')
      union all
      select reconciliation, event_key, state, null, null, null from open_items
      where side = 'left' and match_id is null
    )"""
# What a match leaves open is shared among its left events by their money, in whole minor units that
# add up; the rest of their money is matched.
_TOTALS = f"""
    with {LEFT_SIDE},
    told as (
      select s.*, e.currency, $clock as event_ts,
        case measure when 'net' then e.net else e.amount end as money
      from left_side s join events e using (event_key) join measures using (reconciliation)
    ),
    running as (
      select *, sum(money) over (partition by reconciliation, open_match, currency
        order by event_key rows unbounded preceding)::hugeint as upto
      from told where open_match is not null
    ),
    parted as (
      select reconciliation, currency, event_ts, state, money,
        coalesce(upto * share // whole - (upto - money) * share // whole, money) as open
      from running
    ),
    counted as (
      select reconciliation, currency, event_ts, state, 1 as items, money
      from told where open_match is null
      union all
      select reconciliation, currency, event_ts, state, 1, open from parted
      union all
      select reconciliation, currency, event_ts, 'matched', 0, money - open from parted
    )
    select reconciliation, currency, state, sum(items)::bigint as items,
      sum(money)::bigint as amount_minor
    from counted
    where (?::timestamptz is null or event_ts >= ?) and (?::timestamptz is null or event_ts < ?)
    group by all order by reconciliation, currency, state
"""

_OPEN = f"""
    select o.item_id, o.reconciliation, o.side, o.state, e.source, e.event_type,
      {LABEL} as native_id, e.order_id, o.amount_minor, o.currency, e.event_ts, e.ts_precision,
      o.expected_by, o.why_code, o.why, coalesce(n.native_id, n.order_id, left(n.event_key, 8))
        as nearest, o.event_key, o.match_id
    from open_items o
    left join events e on e.event_key = o.event_key
    left join events n on n.event_key = o.nearest_key
    order by abs(o.amount_minor) desc nulls last, o.item_id
"""

_MATCHES = f"""
    with members as (
      select mm.match_id, mm.run_id, mm.side, mm.role, e.event_ts,
        {LABEL} as label, e.event_key
      from match_members mm join events e using (event_key)
    ),
    -- most sides have one member, whose name needs no list
    sided as materialized (
      select match_id, run_id, side, count(*) as members, min(event_ts) as first_ts,
        min(label) as names
      from members group by match_id, run_id, side
    ),
    several as (
      select match_id, run_id, side,
        array_to_string(list_slice(list(label order by role, event_ts, event_key), 1, 3), ', ')
          || case when count(*) > 3 then ' and ' || count(*) - 3 || ' more' else '' end as names
      from members semi join (from sided where members > 1) using (match_id, run_id, side)
      group by match_id, run_id, side
    ),
    listed as (
      select s.match_id, s.run_id, s.side, s.members, s.first_ts,
        coalesce(o.names, s.names) as names
      from sided s left join several o using (match_id, run_id, side)
    )
    select m.match_id, m.reconciliation, m.method, m.disposition, m.confidence, m.margin,
      l.names as left_ids, r.names as right_ids, l.members as left_members,
      r.members as right_members, m.left_sum, m.right_sum, m.currency, m.residual_minor,
      m.discrepancies, l.first_ts as event_ts, m.rule_id, m.model_hash, m.certificate_id
    from matches m
    left join listed l on l.match_id = m.match_id and l.run_id = m.run_id and l.side = 'left'
    left join listed r on r.match_id = m.match_id and r.run_id = m.run_id and r.side = 'right'
    order by m.reconciliation, m.method, m.match_id
"""

_QUEUE = f"""
    select q.*, e.source, {LABEL} as native_id
    from queue_rows q left join events e on e.event_key = q.anchor_key
    order by q.place
"""

# Rows that no later reading of their file could tell.
_STILL_ASIDE = """
    with still_aside as (
      select q.* from quarantine q
      anti join (select source, artefact_sha256, record_row from event_versions
                 where artefact_sha256 in (select artefact_sha256 from quarantine)) e
        using (source, artefact_sha256, record_row)
      anti join (select artefact_sha256, record_row from retold) r
        using (artefact_sha256, record_row)
    )"""

_SOURCES = f"""
    {_STILL_ASIDE},
    told as (
      select source, count(*) as events, min(event_ts) as first_ts, max(event_ts) as last_ts
      from events group by source
    ),
    files as (
      select source, count(distinct sha256) as files, max(as_of) as as_of from artefacts
      group by source
    ),
    aside as (
      select source, sum(records)::bigint as quarantined
      from (select distinct source, artefact_sha256, record_row, records from still_aside)
      group by source
    )
    select d.source, d.feed, coalesce(f.files, 0) as files, coalesce(t.events, 0) as events,
      coalesce(a.quarantined, 0) as quarantined, t.first_ts, t.last_ts, f.as_of,
      case when f.files is null then 'no file yet' end as note
    from declared_sources d left join told t using (source) left join files f using (source)
    left join aside a using (source) order by d.place
"""

_ASIDE = f"""
    {_STILL_ASIDE}
    select a.name as file, q.record_row, q.code, q."column", q.message
    from (select distinct source, artefact_sha256, record_row, code, "column", message
          from still_aside) q
    join (select sha256, source, min(received_at) as received_at, min(name) as name
          from artefacts group by all) a on a.sha256 = q.artefact_sha256 and a.source = q.source
    where q.source = ? order by a.received_at, a.name, q.record_row, q.code
"""

_RUNS = """
    select d.reconciliation, d.run_id, d.fresh, d.note,
      (select count(*) from matches m where m.run_id = d.run_id) as matches,
      (select count(*) from open_items o where o.run_id = d.run_id) as open_items,
      (select count(*) from findings f where f.run_id = d.run_id and f.class <> 'A') as cases,
      (select count(*) from findings f where f.run_id = d.run_id and f.class = 'A') as settled
    from done_runs d order by d.place
"""


def totals(
    engine: Engine,
    settings: Settings,
    first: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """Left events by state: `reconciliation, currency, state, items, amount_minor`.

    States are matched, residual (matched, but money stays open although it was due) and the open
    states; the amount is the measure of the left side. Of a match that leaves money open, on either
    side, only that money stands in the state of its events; what is covered is matched money.

    Args:
        engine: shows the runs to look at.
        settings: which amount each reconciliation measures.
        first: leave out events before this instant; a day that its source told alone begins at
            midnight in the workspace's zone.
        end: leave out events from this instant on.
    """
    measures = [(r.name, r.measure.left) for r in settings.reconciliations]
    schema = {"reconciliation": pl.String, "measure": pl.String}
    engine.put("measures", pl.DataFrame(measures, schema=schema, orient="row"))
    clock = workdays.clock_sql("e.event_ts", "e.ts_precision", settings.workspace.timezone)
    return engine.rows(_TOTALS.replace("$clock", clock), [first, first, end, end])


def open_items(engine: Engine) -> pl.DataFrame:
    """Every open item with its event's names and why it is open, largest money first."""
    return engine.rows(_OPEN)


def matches(engine: Engine) -> pl.DataFrame:
    """Every match on one row, both sides named by up to three native ids."""
    return engine.rows(_MATCHES)


def matches_of(engine: Engine, keys: Sequence[str]) -> pl.DataFrame:
    """`match_id, run_id` of every match in which one of these events stands."""
    return engine.rows(
        "select distinct match_id, run_id from match_members"
        f" where event_key in {engine.among('standing_keys', keys)} order by all"
    )


def proposed(engine: Engine) -> pl.DataFrame:
    """`match_id, method, disposition` of what would be a match if a person said so."""
    return engine.rows(
        "select distinct match_id, method, 'review' as disposition from proposals"
        " order by match_id, method"
    )


def queue(engine: Engine, settings: Settings, as_of: datetime) -> pl.DataFrame:
    """Open cases, most urgent first, with the names of the event they hang on."""
    rows = clocks.queue(engine, settings, as_of, table="findings")
    engine.put("queue_rows", rows.with_row_index("place"))
    return engine.rows(_QUEUE).drop("place")


def sources(engine: Engine, settings: Settings) -> pl.DataFrame:
    """One row per declared source: feed, files, events, what was set aside, dates covered."""
    declared = [(i, s.name, s.feed) for i, s in enumerate(settings.sources)]
    schema = {"place": pl.Int64, "source": pl.String, "feed": pl.String}
    engine.put("declared_sources", pl.DataFrame(declared, schema=schema, orient="row"))
    return engine.rows(_SOURCES)


def quarantined(engine: Engine, source: str) -> pl.DataFrame:
    """Rows of a source that were set aside: `file, record_row, code, column, message`."""
    return engine.rows(_ASIDE, [source])


def filled_sentence(nulls: pl.DataFrame) -> str:
    """Which canonical fields a source fills, and how far."""
    told = nulls.group_by("field").agg(pl.col("nulls").sum(), pl.col("events").sum())
    told = told.sort("nulls", "field").filter(pl.col("nulls") < pl.col("events"))
    fields = [f"{row['field']} {1 - row['nulls'] / row['events']:.0%}" for row in told.to_dicts()]
    return "Filled fields: " + (", ".join(fields) or "none") + "."


def runs(engine: Engine, done: Sequence[Done]) -> pl.DataFrame:
    """What each finished run found."""
    rows = [
        (i, d.run.reconciliation, d.run.run_id, d.fresh, "; ".join(d.notes) or None)
        for i, d in enumerate(done)
    ]
    schema = {
        "place": pl.Int64, "reconciliation": pl.String, "run_id": pl.String,
        "fresh": pl.Boolean, "note": pl.String,
    }  # fmt: skip
    engine.put("done_runs", pl.DataFrame(rows, schema=schema, orient="row"))
    return engine.rows(_RUNS)
