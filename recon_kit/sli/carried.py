"""Left events whose plain matches a late day left alone: counted many at a time.

They are settled, and nothing about them is new. What indicators need of them is how many there are,
with how much money, by week, state and currency, and for how long they were watched. Files bring
many events at one time, so that is few rows, whatever the number of events.

`carried_told` (see `matching.carried`) has a row per principal or part of these matches: `m` names
the match, `is_left` its side; `counted` are left events of the declared types.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Step

# Rows for `population.left_sql`: each left event, known by the instant that completed its match.
CARRIED_TOLD = """(
  select null::varchar as event_key, u.mno, 'settled' as state, t.event_ts, t.day_alone,
    case when t.received_at is not null then least(t.received_at, d.first_right) end
      as received_at, t.money, t.currency, true as counted
  from (from carried_told where counted) t
  join sli_carried_done d using (m)
  join sli_carried_ends u on u.completed_at is not distinct from d.completed_at)"""


def carried_steps(table: str, rows: str) -> tuple[Step, ...]:
    """Add to `sli_left` and `sli_completed` what stands.

    Args:
        table: `carried_told`.
        rows: reads the rows of `CARRIED_TOLD` in the columns of `sli_left`.
    """
    return (
        Step(
            "sli_carried_done",
            f"""
create or replace table sli_carried_done as
select m, min(received_at) filter (not is_left) as first_right, max(received_at) as completed_at
from {table} group by m;
create or replace table sli_carried_ends as
select completed_at, -row_number() over (order by completed_at) as mno
from (select distinct completed_at from sli_carried_done);
insert into sli_completed select mno, null, completed_at from sli_carried_ends""",
            "the instants at which matches were complete; each stands for all matches of it",
        ),
        Step(
            "sli_carried_left",
            f"""
insert into sli_left by name
select mno, received_at, state, week, week_end, currency, max(due) as due,
  sum(money)::bigint as money, sum(events)::bigint as events
from ({rows}) group by mno, received_at, state, week, week_end, currency, due is null""",
            "left events of one week, state, currency and watch as one row",
        ),
    )
