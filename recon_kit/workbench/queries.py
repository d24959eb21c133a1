"""Frames that people look at, read from the current runs: matches, open items, queue, totals.

Each function takes a snapshot's engine with the run tables of the runs to show, and returns a
polars frame whose order ends in a unique key.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.engine import Engine

_LABEL = "coalesce(e.native_id, e.order_id, e.transaction_id, left(e.event_key, 8))"

_TOTALS = """
    with left_side as (
      select m.reconciliation, m.currency, mm.event_key,
        case when oi.item_id is null then 'matched' else 'residual' end as state,
        e.amount as amount_minor, e.currency as own
      from match_members mm join matches m using (match_id, run_id)
      join events e using (event_key)
      left join open_items oi on oi.match_id = m.match_id and oi.run_id = m.run_id
        and oi.event_key is null
      where mm.side = 'left' and mm.role in ('principal', 'part')
      union all
      select o.reconciliation, o.currency, o.event_key, o.state, e.amount, e.currency
      from open_items o join events e using (event_key) where o.side = 'left'
    )
    select reconciliation, own as currency, state, count(*) as items,
      sum(amount_minor)::bigint as amount_minor
    from left_side group by all order by reconciliation, currency, state
"""

_OPEN = f"""
    select o.item_id, o.reconciliation, o.side, o.state, e.source, e.event_type,
      {_LABEL} as native_id, e.order_id, o.amount_minor, o.currency, e.event_ts, o.expected_by,
      o.why_code, o.why, coalesce(n.native_id, n.order_id, left(n.event_key, 8)) as nearest,
      o.event_key, o.match_id
    from open_items o
    left join (
      select match_id, run_id, min(event_key) as event_key from match_members
      where role = 'principal' group by match_id, run_id
    ) p on p.match_id = o.match_id and p.run_id = o.run_id and o.event_key is null
    left join events e on e.event_key = coalesce(o.event_key, p.event_key)
    left join events n on n.event_key = o.nearest_key
    order by abs(o.amount_minor) desc nulls last, o.item_id
"""

_MATCHES = f"""
    with members as (
      select mm.match_id, mm.run_id, mm.side, mm.role, e.event_ts,
        {_LABEL} as label, e.event_key
      from match_members mm join events e using (event_key)
    ),
    listed as (
      select match_id, run_id, side, count(*) as members, min(event_ts) as first_ts,
        array_to_string(list_slice(list(label order by role, event_ts, event_key), 1, 3), ', ')
          || case when count(*) > 3 then ' and ' || count(*) - 3 || ' more' else '' end as names
      from members group by match_id, run_id, side
    )
    select m.match_id, m.reconciliation, m.method, m.disposition, m.confidence, m.margin,
      l.names as left_ids, r.names as right_ids, l.members as left_members,
      r.members as right_members, m.left_sum, m.right_sum, m.currency, m.residual_minor,
      m.discrepancies, l.first_ts as event_ts
    from matches m
    left join listed l on l.match_id = m.match_id and l.run_id = m.run_id and l.side = 'left'
    left join listed r on r.match_id = m.match_id and r.run_id = m.run_id and r.side = 'right'
    order by m.reconciliation, m.method, m.match_id
"""

_QUEUE = f"""
    select f.case_id, f.reconciliation, f.kind, f.class, f.severity, f.priority, f.owner,
      e.source, {_LABEL} as native_id, f.amount_minor, f.currency, f.opened_at, f.opening,
      f.suggested_action, f.diffs, f.subjects, f.anchor_key
    from findings f left join events e on e.event_key = f.anchor_key
    order by f.priority, abs(f.amount_minor) desc nulls last, f.case_id
"""

_METHODS = """
    select reconciliation, method, disposition, count(*) as matches,
      sum(abs(residual_minor) > 0)::bigint as with_residual
    from matches group by all order by reconciliation, method, disposition
"""


def totals(engine: Engine) -> pl.DataFrame:
    """Left events by state: `reconciliation, currency, state, items, amount_minor`.

    States are matched, residual (matched, but money stays open) and the open states.
    """
    return engine.rows(_TOTALS)


def open_items(engine: Engine) -> pl.DataFrame:
    """Every open item with its event's names and why it is open, largest money first."""
    return engine.rows(_OPEN)


def matches(engine: Engine) -> pl.DataFrame:
    """Every match on one row, both sides named by up to three native ids."""
    return engine.rows(_MATCHES)


def methods(engine: Engine) -> pl.DataFrame:
    """Matches by method and disposition."""
    return engine.rows(_METHODS)


def queue(engine: Engine) -> pl.DataFrame:
    """Open cases, most urgent first."""
    return engine.rows(_QUEUE)
