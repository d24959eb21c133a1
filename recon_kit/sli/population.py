"""Who is counted: the left events of a reconciliation, with their state, week and money.

`sli_left(event_key, mno, state, event_ts, received_at, week, due, week_end, money, currency,
events)`: a row for each left event (`events` is 1), and one for many whose matches a late day left
alone (see `sli.carried`); `mno` is the row of its match in `sli_numbered(match_id, left_sum,
right_sum, state)`. `state` is

- `settled`: principal or part of an automatic or confirmed match that leaves no money open,
- `residual`: of such a match with a residual beyond tolerance,
- `not_covered`: what the other side's files do not reach,
- `open`: everything else (in flight, overdue, proposed, waiting for a signature).

Duplicates, and events that a person took out, are in no state and in no denominator. `money` is
the measure without its sign, in the event's own currency; `due` the end of the settlement time;
`received_at` when the event was first heard of.

The events are gone through once, for what all indicators need of them. After that, matches are
known by number, and what hangs on a pair of instants is worked out once for each such pair: files
bring many events at one time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from recon_kit import workdays
from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.receipts import joins_sql, receipts_step
from recon_kit.resolution import clocks
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Reconciliation, Settings
from recon_kit.sli.carried import CARRIED_TOLD, carried_steps


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the results of an evaluation stand.

    The defaults are the tables that matching and cases leave. For stored runs give the views and
    the `run_id` of one run of the reconciliation. `carried` names the table of what a late day left
    alone (see `sli.carried`), which then is in none of the others; `events` shows at least the
    events of the matches and open items.
    """

    matches: str = "out_matches"
    match_members: str = "out_match_members"
    open_items: str = "out_open_items"
    findings: str = "out_findings"
    run_id: str | None = None
    carried: str | None = None
    events: str = "events"


def populate(
    engine: Engine, rec: Reconciliation, settings: Settings, as_of: datetime, tables: Tables
) -> None:
    """Leave all of it: results by name, `sli_left`, `sli_cohorts`, `sli_watched`, `calendar`."""
    first = (
        "select least((select min(event_ts) from events), (select min(received_at) from artefacts))"
    )
    clocks.put_calendar(engine, settings, as_of, first)
    engine.run(
        *result_steps(rec, tables),
        *told_steps(rec, tables.events),
        left_step(left_sql(rec, settings, as_of, "sli_told")),
        completed_step(rec),
    )
    if tables.carried:
        engine.run(*carried_steps(tables.carried, left_sql(rec, settings, as_of, CARRIED_TOLD)))
    engine.run(
        cohorts_step(as_of),
        watched_step(as_of, settings.workspace.timezone),
    )


def result_steps(rec: Reconciliation, tables: Tables) -> tuple[Step, ...]:
    """One reconciliation's results under fixed names: `sli_matches`, `sli_members`, ..."""
    run = f" and run_id = {quote_text(tables.run_id)}" if tables.run_id is not None else ""
    name = quote_text(rec.name)
    steps = [
        Step(
            f"sli_{short}",
            f"create or replace view sli_{short} as select * from {quote_ident(table)}"
            f" where reconciliation = {name}{run}",
            "the rows of this reconciliation",
        )
        for short, table in (
            ("matches", tables.matches),
            ("open", tables.open_items),
            ("findings", tables.findings),
        )
    ]
    members = f"""
create or replace view sli_members as
select match_id, event_key, side, role from {quote_ident(tables.match_members)}
where true{run}"""
    return (*steps, Step("sli_members", members, "members, of other reconciliations as well"))


def told_steps(rec: Reconciliation, events: str) -> tuple[Step, ...]:
    """Leave `sli_numbered`, and `sli_told`: who stands in its matches or is open on the left."""
    sources = ", ".join(quote_text(s) for s in rec.left.sources)
    types = ", ".join(quote_text(t) for t in rec.left.types)
    own = f"is_left and e.source in ({sources}) and e.event_type in ({types})"
    return (
        Step(
            "sli_numbered",
            """
create or replace table sli_numbered as
select match_id, left_sum, right_sum,
  case when disposition not in ('auto', 'confirmed') then 'open'
    when r.match_id is null then 'settled' when r.not_covered then 'not_covered'
    else 'residual' end as state
from sli_matches left join (
  select match_id, bool_and(state = 'not_covered') as not_covered
  from sli_open where match_id is not null group by match_id
) r using (match_id)""",
            "matches by number, each with the state of its left events",
        ),
        receipts_step(),
        Step(
            "sli_told",
            f"""
create or replace table sli_told as
with standing as (
  select n.rowid as mno, n.state, mm.event_key, mm.side = 'left' as is_left
  from sli_members mm join sli_numbered n using (match_id)
  where mm.role in ('principal', 'part')
),
open_left as (
  select event_key, bool_and(state = 'not_covered') as not_covered
  from (from sli_open where side = 'left' and match_id is null)
  anti join (select event_key from standing where is_left) using (event_key) group by event_key
),
every as (
  from standing union all
  select null, case when not_covered then 'not_covered' else 'open' end, event_key, true
  from open_left
)
select w.mno, w.is_left, {own} as counted,
  coalesce(f.first_at, r.received_at) as received_at,
  case when {own} then w.state end as state, case when {own} then w.event_key end as event_key,
  case when {own} then e.event_ts end as event_ts, e.ts_precision = 'date' as day_alone,
  case when {own} then e.currency end as currency,
  case when {own} then abs(e.{quote_ident(rec.measure.left)}) end as money
from every w join {quote_ident(events)} e using (event_key)
{joins_sql("e")}""",
            "one pass over the events",
        ),
    )


def left_step(rows: str) -> Step:
    """Leave `sli_left`."""
    return Step(
        "sli_left",
        f"create or replace table sli_left as {rows}",
        "every left event once, with its state, week and money",
    )


def left_sql(rec: Reconciliation, settings: Settings, as_of: datetime, told: str) -> str:
    """Query of the rows of `sli_left`.

    Args:
        rec: the reconciliation.
        settings: zone and holidays.
        as_of: the instant at which one looks.
        told: reads rows in the columns of `sli_told`.
    """
    zone, settles = settings.workspace.timezone, rec.settles_within
    by_quarter = settles.unit in ("d", "bd")
    due = workdays.due_sql(
        "quarter" if by_quarter else "d.event_ts", settles.count, settles.unit, zone
    )
    shared = due if by_quarter else "null"
    if by_quarter:
        due = workdays.due_within_sql("d.event_ts", "q.quarter", "q.due", settles.unit)
    monday = f"date_trunc('week', timezone({quote_text(zone)}, quarter))"

    def day(instant: str) -> str:
        return workdays.local_day_sql(instant, zone)

    others = ", ".join(quote_text(source) for source in rec.right.sources)
    # what no calendar reaches back to is past every settlement time
    old = f"event_ts < {workdays.instant_sql(as_of - clocks.REACH)}"
    clock = workdays.clock_sql("t.event_ts", "case when t.day_alone then 'date' end", zone)
    return f"""
-- the days that every source of the other side tells of
with reach as (
  select max(first_ts) as first_ts, min(last_ts) as last_ts from (
    select min(covers_from) as first_ts, max(covers_to) as last_ts
    from artefacts where source in ({others}) group by source)
),
timed as materialized (
  select *, {old} as old, {workdays.quarter_sql("event_ts")} as quarter from (
    select t.event_key, t.mno, t.state, {clock} as event_ts, t.received_at, t.money, t.currency
    from {told} t where t.counted)
),
-- what hangs on the local clock is worked out once for each quarter of an hour
quarters as materialized (
  select quarter, {shared} as due, {monday} as monday from (select distinct quarter from timed)
),
dated as (
  select d.* exclude (quarter), {due} as due, q.monday
  from timed d left join quarters q on q.quarter = d.quarter
),
weeks as (
  select monday, {workdays.week_sql(f"timezone({quote_text(zone)}, monday)", zone)} as week,
    timezone({quote_text(zone)}, monday + interval 7 day) as week_end
  from (select distinct monday from quarters)
)
select d.event_key, d.mno, d.event_ts, d.received_at,
  -- coverage is judged by the event alone: were only what found no partner left out, a week that
  -- the other side's files reach halfway would look better than it is
  case when case when d.event_ts < first_ts then {day("d.event_ts")} < {day("first_ts")} end
         or case when d.due > last_ts
                 then {day("d.due - interval 1 microsecond")} > {day("last_ts")} end
    then 'not_covered' else d.state end as state,
  w.week, case when d.old then d.event_ts else d.due end as due, w.week_end, d.money, d.currency,
  1::bigint as events
from dated d left join weeks w on w.monday = d.monday cross join reach"""


def cohorts_step(as_of: datetime) -> Step:
    """Leave `sli_cohorts(week, mature, mature_from)`.

    A week is mature once it is over and the settlement time of all its left events has passed.
    """
    return Step(
        "sli_cohorts",
        f"""
create or replace table sli_cohorts as
select week, max(greatest(due, week_end)) as mature_from,
  coalesce(bool_and(due is not null and due <= {workdays.instant_sql(as_of)}
    and week_end <= {workdays.instant_sql(as_of)}), false) as mature
from sli_left group by week""",
        "which weeks can be judged",
    )


def completed_step(rec: Reconciliation) -> Step:
    """Leave `sli_completed(mno, first_right, completed_at)`: when a match had what it needed.

    Two events may stand in several reconciliations: what is said in one settles nothing in another.
    """
    return Step(
        "sli_completed",
        f"""
create or replace table sli_completed as
with complete as (
  select mno, min(received_at) filter (not is_left) as first_right,
    max(received_at) as last_member
  from sli_told where mno is not null group by mno
),
pairs as (
  select left_key, right_key, recorded_at from decisions
  where verdict = 'same' and reconciliation = {quote_text(rec.name)}
),
decided as (
  select n.rowid as mno, max(d.recorded_at) as decided_at
  from pairs d
  join (from sli_members where event_key in (select left_key from pairs)) a
    on a.event_key = d.left_key
  join (from sli_members where event_key in (select right_key from pairs)) b
    on b.event_key = d.right_key and b.match_id = a.match_id
  join sli_numbered n on n.match_id = a.match_id
  group by n.rowid
)
select mno, first_right, greatest(last_member, decided_at) as completed_at
from complete left join decided using (mno)""",
        "when each match had everything it needed",
    )


def watched_step(as_of: datetime, zone: str) -> Step:
    """Leave `sli_watched(week, ended, hours, business_hours, events)` of covered left events.

    The watch starts with the first receipt of the event or of any right member of its match, and
    ends when the last principal or part of the match was received or, if later, a person's
    `same` was recorded; without that it goes on to the as-of time.
    """
    now = workdays.instant_sql(as_of)
    return Step(
        "sli_watched",
        f"""
create or replace table sli_watched as
with spans as (
  select l.week, l.state = 'settled' as ended, least(l.received_at, c.first_right) as since,
    case when l.state = 'settled' then c.completed_at else {now} end as until,
    sum(l.events)::bigint as events
  from sli_left l left join sli_completed c using (mno)
  where l.state <> 'not_covered' and l.received_at is not null group by all
),
lengths as (
  select since, until, greatest(0, epoch_us(until) - epoch_us(since)) / 3600000000 as hours,
    {workdays.business_hours_sql("w.since", "w.until", zone)} as business_hours
  from (select distinct since, until from spans) w
)
select week, ended, hours, business_hours, sum(events)::bigint as events
from spans s join lengths n
  on n.since = s.since and n.until is not distinct from s.until group by all""",
        "for how long how many left events were watched, and whether they were settled",
    )
