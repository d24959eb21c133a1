"""What is open, counted once for every screen: open items, the cases about them, the questions."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.settings import Reconciliation
from recon_kit.workbench import asked

# An open item belongs to one event of one reconciliation, and so do a case and a question; what
# is not about an open item (a match whose facts disagree, a feed) is counted as `none`.
_COUNTED = """
    with items as (
      select reconciliation, event_key, side,
        case when match_id is null then state when state = 'overdue' then 'residual'
          else 'residual_waits' end as state
      from open_items
    ),
    told as (
      select reconciliation, event_key, side, 1 as items, 0 as cases, 0 as questions from items
      union all
      select reconciliation, anchor_key, null, 0, 1, 0 from findings where class <> 'A'
      union all
      select distinct reconciliation, asked_key, null, 0, 0, 1 from review_pairs
    )
    select s.state,
      count(*) filter (where t.side = 'left') as left_items,
      count(*) filter (where t.side = 'right') as right_items,
      sum(t.items)::bigint as items, sum(t.cases)::bigint as cases,
      sum(t.questions)::bigint as questions
    from told t
    left join items i on i.reconciliation = t.reconciliation and i.event_key = t.event_key
    cross join lateral (select coalesce(i.state, 'none') as state) s
    group by s.state order by s.state
"""


def what_is_open(engine: Engine, recs: Sequence[Reconciliation]) -> pl.DataFrame:
    """Open items of both sides, open cases and questions, by the state of the open item.

    Args:
        engine: shows the runs to look at.
        recs: their reconciliations.

    Returns:
        `state, left_items, right_items, items, cases, questions`, a row for each state that
        occurs: in_flight, not_covered, residual_waits (matched, but money is still in flight or
        not covered), overdue, residual (matched, money overdue), proposed, and `none` for cases
        and questions about no open item. The columns add up to all open
        items, to `queue`, and to what `review` asks beside the audit sample.
    """
    asked.put_proposed(engine, recs)
    return engine.rows(_COUNTED)


def settled_by_rule(engine: Engine) -> int:
    """Cases that settle themselves: within the rounding, told twice, late; kept for the record."""
    return int(engine.rows("select count(*) from findings where class = 'A'").item())
