"""What is open, until when it may be, and what kept it apart.

An open item is an event of either side that stands in no match, or a match with a residual beyond
tolerance. Its state, the first that holds:

| state | meaning |
| --- | --- |
| proposed | a proposal waits for a person |
| in_flight | its settlement time has not passed |
| not_covered | the other side has told nothing about (part of) the time in question: unknown |
| overdue | it should be here and is not |

A left event waits from its own time until `settles_within` later; for a right event the same
span is looked at backwards, as its left one came first. Where `settles_within` is not declared and
matches have taught that money of that source usually takes longer than the default, it waits as
long as 19 in 20 took. How long that is is said beside the reason. An attached event whose parent
is known is no item of its own: the parent is.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from recon_kit import model, workdays
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import dispose, keys, nearest
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

_USUAL = """'; 95 % of what ' || u.source || ' tells is settled ' || case u.days
    when 0 then 'on the same day' when 1 then 'within one business day'
    else 'within ' || u.days || ' business days' end"""


def run(engine: Engine, rec: Reconciliation, as_of: datetime, zone: str) -> None:
    """Write `out_open_items`; matches, attachments and proposals must stand."""
    waits = engine.rows(
        "select 0 as home, left_source as source, max(business_days_p95) as days from usual_lags"
        " group by left_source union all"
        " select 1, right_source, max(business_days_p95) from usual_lags group by right_source"
        " order by home, source"
    )
    engine.put("usual_waits", waits)
    engine.run(*open_steps(rec, zone, longer_waits(rec, waits)), *covered_steps(rec, zone))
    nearest.run(engine, rec)
    engine.run(*out_steps(rec, as_of, zone))


def longer_waits(rec: Reconciliation, waits: pl.DataFrame) -> tuple[tuple[int, str, int], ...]:
    """(home, source, business days) that outlast the default; none where a time is declared.

    What is declared stands, whatever was learned.
    """
    settles = rec.settles_within
    if "settles_within" in rec.model_fields_set or settles.unit != "bd":
        return ()
    return tuple(waits.filter(pl.col("days") > settles.count).iter_rows())


def open_steps(
    rec: Reconciliation, zone: str, longer: tuple[tuple[int, str, int], ...] = ()
) -> tuple[Step, ...]:
    """`open_rows`: one row per open item with its anchor event, amount and due time."""
    settles = rec.settles_within
    due = workdays.due_sql("o.clock", settles.count, settles.unit, zone)
    if longer:
        arms = " ".join(
            f"when o.home = {home} and o.source = {quote_text(source)}"
            f" then {workdays.due_sql('o.clock', days, 'bd', zone)}"
            for home, source, days in longer
        )
        due = f"case {arms} else {due} end"
    return (
        Step(
            "open_rows",
            f"""
create or replace table open_rows as
with lone as (
    select eid, null::bigint as mid, event_key, side, side as home, ts, amount, currency from rest
    union all
    select p.eid, null, p.event_key, p.side, p.home, p.ts, p.amount, p.currency
    from (from pool where side = 2) p
    where eid not in (select eid from live_attached) and eid not in (select eid from parents)
      and eid not in (from excused)
), residual as (
    select *, (left_sum - right_sum)::bigint as money from (
        from live_groups union all by name
        select * exclude (left_eid, right_eid, left_key, right_key) from more_pairs)
    where {dispose.residual_open(rec)} and mid not in (from closed_residuals)
)
select o.* exclude (source), {due} as due from (
    select i.*, f.source, {workdays.clock_sql("i.ts", "f.ts_precision", zone)} as clock from (
        select * from lone where event_key not in (from written_off)
        union all
        select p.eid, r.mid, p.event_key, p.side, p.side, p.ts, r.money, r.currency
        from residual r join pool p on p.eid = r.mid
    ) i left join facts f using (eid)
) o""",
            "events without a match, matches with money left open",
        ),
    )


def covered_steps(rec: Reconciliation, zone: str) -> tuple[Step, ...]:
    """`covered(home, day, n)`: how many days up to `day` all sources of a side have told of."""
    sides = " union all ".join(
        f"select {number} as home, unnest([{keys.texts(side.sources)}]) as source"
        for number, side in ((0, rec.left), (1, rec.right))
    )
    day_from = workdays.local_day_sql("covers_from", zone)
    day_to = workdays.local_day_sql("coalesce(covers_to, as_of)", zone)
    return (
        Step(
            "covered",
            f"""
create or replace table covered as
with sources as ({sides}), told as (
    select distinct source, unnest(generate_series(
        coalesce({day_from}, (select min(day) from calendar)), {day_to}, interval 1 day))::date
        as day
    from coverage where coalesce(covers_to, as_of) is not null
), full_days as (
    select s.home, t.day
    from sources s join told t using (source)
    group by s.home, t.day
    having count(*) = (select count(*) from sources x where x.home = any_value(s.home))
)
select h.home, c.day, count(f.day) over (partition by h.home order by c.day) as n
from (select unnest([0, 1]) as home) h cross join calendar c
left join full_days f on f.home = h.home and f.day = c.day""",
            "days that every source of a side has told of",
        ),
    )


def out_steps(rec: Reconciliation, as_of: datetime, zone: str) -> tuple[Step, ...]:
    """`out_open_items` in the columns of a run."""
    moment = f"timestamptz {quote_text(as_of.isoformat())}"
    back = "o.clock - (o.due - o.clock)"
    start = workdays.local_day_sql(f"case when o.home = 0 then o.clock else {back} end", zone)
    # an end at midnight belongs to the day before
    end = workdays.local_day_sql(
        "case when o.home = 0 then o.due - interval 1 microsecond else o.clock end", zone
    )
    item = model.digest_sql(
        quote_text(rec.name), "case when o.mid is null then 'event' else 'residual' end",
        "o.event_key",
    )  # fmt: skip
    # only these leave money open; the id of a pair is no lookup among those of all pairs
    pair = f"case when m.mid is not null then {model.pair_id_sql(quote_text(rec.name))} end"
    return (
        Step(
            "out_open_items",
            f"""
create or replace table out_open_items as
select {item} as item_id, {quote_text(rec.name)} as reconciliation, o.event_key,
       coalesce(h.match_id, {pair}) as match_id,
       case o.home when 0 then 'left' else 'right' end as side,
       case when n.proposed then 'proposed'
            when o.due > {moment} then 'in_flight'
            when o.ts is not null and coalesce(b.n - coalesce(a.n, 0), 0) < date_diff('day',
                 {start}, {end}) + 1 then 'not_covered'
            else 'overdue' end as state,
       o.due as expected_by, n.nearest_key, n.why_code,
       n.why || case when o.mid is not null or n.proposed then '' else coalesce({_USUAL}, '') end
           as why,
       abs(o.amount) as amount_minor, o.currency
from open_rows o
join nearest n using (eid)
left join larger_heads h on h.mid = o.mid
left join more_pairs m on m.mid = o.mid
left join facts f on f.eid = o.eid
left join usual_waits u on u.home = o.home and o.home = 0 and u.source = f.source
left join covered a on a.home = 1 - o.home and a.day = {start} - 1
left join covered b on b.home = 1 - o.home and b.day = {end}""",
            "state, due time and reason of every open item",
        ),
    )
