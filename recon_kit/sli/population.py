"""Who is counted: the left events of a reconciliation, with their state, week and money.

`sli_left(event_key, match_id, state, event_ts, week, due, week_end, money, currency, left_sum,
right_sum)`: one row for each left event. `state` is

- `settled`: principal or part of an automatic or confirmed match that leaves no money open,
- `residual`: of such a match with a residual beyond tolerance,
- `not_covered`: what the other side's files do not reach,
- `open`: everything else (in flight, overdue, proposed, waiting for a signature).

Duplicates, and events that a person took out, are in no state and in no denominator. `money` is
the measure without its sign, in the event's own currency; `due` the end of the settlement time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from recon_kit import workdays
from recon_kit.ledger.engine import Engine, Step
from recon_kit.resolution import clocks
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Reconciliation, Settings


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the results of an evaluation stand.

    The defaults are the tables that matching and cases leave. For stored runs give the views and
    the `run_id` of one run of the reconciliation.
    """

    matches: str = "out_matches"
    match_members: str = "out_match_members"
    open_items: str = "out_open_items"
    findings: str = "out_findings"
    run_id: str | None = None


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
        left_step(rec, settings, as_of),
        cohorts_step(as_of),
        *watched_steps(as_of, settings.workspace.timezone),
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
select mm.* from {quote_ident(tables.match_members)} mm
where mm.match_id in (select match_id from sli_matches){run}"""
    return (*steps, Step("sli_members", members, "the members of these matches"))


def left_step(rec: Reconciliation, settings: Settings, as_of: datetime) -> Step:
    """Leave `sli_left`."""
    zone, settles = settings.workspace.timezone, rec.settles_within
    sources = ", ".join(quote_text(s) for s in rec.left.sources)
    types = ", ".join(quote_text(t) for t in rec.left.types)
    due = workdays.due_sql("e.event_ts", settles.count, settles.unit, zone)
    local = f"timezone({quote_text(zone)}, e.event_ts)"

    def day(instant: str) -> str:
        return workdays.local_day_sql(instant, zone)

    others = ", ".join(quote_text(source) for source in rec.right.sources)
    # what no calendar reaches back to is past every settlement time
    old = f"e.event_ts < {workdays.instant_sql(as_of - clocks.REACH)}"
    return Step(
        "sli_left",
        f"""
create or replace table sli_left as
with residual as (
  select match_id, bool_and(state = 'not_covered') as not_covered
  from sli_open where match_id is not null group by match_id
),
told as (
  select mm.event_key, m.match_id, m.left_sum, m.right_sum,
    case when m.disposition not in ('auto', 'confirmed') then 'open'
      when r.match_id is null then 'settled' when r.not_covered then 'not_covered'
      else 'residual' end as state
  from sli_members mm join sli_matches m using (match_id) left join residual r using (match_id)
  where mm.side = 'left' and mm.role in ('principal', 'part')
  union all
  select event_key, null, null, null,
    case when state = 'not_covered' then 'not_covered' else 'open' end
  from sli_open where side = 'left' and match_id is null
),
once as (
  select * from told
  qualify row_number() over (partition by event_key order by match_id is null, match_id) = 1
),
-- the days that every source of the other side tells of
reach as (
  select max(first_ts) as first_ts, min(last_ts) as last_ts from (
    select min(covers_from) as first_ts, max(covers_to) as last_ts
    from artefacts where source in ({others}) group by source)
)
select o.event_key, o.match_id,
  -- coverage is judged by the event alone: were only what found no partner left out, a week that
  -- the other side's files reach halfway would look better than it is
  case when {day("e.event_ts")} < {day("first_ts")}
         or {day(f"{due} - interval 1 microsecond")} > {day("last_ts")}
    then 'not_covered' else o.state end as state, e.event_ts,
  {workdays.week_sql("e.event_ts", zone)} as week,
  case when {old} then e.event_ts else {due} end as due,
  timezone({quote_text(zone)}, date_trunc('week', {local}) + interval 7 day) as week_end,
  abs(e.{quote_ident(rec.measure.left)}) as money, e.currency, o.left_sum, o.right_sum
from once o join events e using (event_key) cross join reach
where e.source in ({sources}) and e.event_type in ({types})""",
        "every left event once, with its state, week and money",
    )


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


def watched_steps(as_of: datetime, zone: str) -> tuple[Step, ...]:
    """Leave `sli_watched(event_key, week, ended, hours, business_hours)` for covered left events.

    The watch starts with the first receipt of the event or of any right member of its match, and
    ends when the last principal or part of the match was received or, if later, a person's
    `same` was recorded; without that it goes on to the as-of time.
    """
    now = workdays.instant_sql(as_of)
    return (
        Step(
            "sli_received",
            """
create or replace table sli_received as
select v.event_key, min(a.received_at) as received_at
from event_versions v join artefacts a on a.sha256 = v.artefact_sha256 and a.source = v.source
where v.event_key in (select event_key from sli_members union select event_key from sli_left)
group by v.event_key""",
            "when each event was first heard of",
        ),
        Step(
            "sli_completed",
            """
create or replace table sli_completed as
with complete as (
  select mm.match_id, min(r.received_at) filter (mm.side = 'right') as first_right,
    max(r.received_at) as last_member
  from sli_members mm join sli_received r using (event_key)
  where mm.role in ('principal', 'part') group by mm.match_id
),
decided as (
  select a.match_id, max(d.recorded_at) as decided_at
  from decisions d
  join sli_members a on a.event_key = d.left_key
  join sli_members b on b.event_key = d.right_key and b.match_id = a.match_id
  where d.verdict = 'same' group by a.match_id
)
select c.match_id, c.first_right, greatest(c.last_member, d.decided_at) as completed_at
from complete c left join decided d using (match_id)""",
            "when each match had everything it needed",
        ),
        Step(
            "sli_watched",
            f"""
create or replace table sli_watched as
select event_key, week, ended, greatest(0, epoch_us(until) - epoch_us(since)) / 3600000000 as hours,
  {workdays.business_hours_sql("w.since", "w.until", zone)} as business_hours
from (
  select l.event_key, l.week, l.state = 'settled' as ended,
    least(r.received_at, c.first_right) as since,
    case when l.state = 'settled' then c.completed_at else {now} end as until
  from sli_left l
  join sli_received r using (event_key)
  left join sli_completed c on c.match_id = l.match_id
  where l.state <> 'not_covered'
) w""",
            "how long each left event was watched, and whether it was settled",
        ),
    )
