"""Days with far more, or far less, than the same weekday usually brings: by count and by money.

A source's day is held against the same weekday of up to twelve weeks before it, at least four. What
is usual is their median; how much they differ is their median absolute deviation, which one odd
day cannot move (Rousseeuw and Croux, Alternatives to the median absolute deviation, 1993). Looked
at are the last seven days that a source has told in full: its newest day may still be going on.
"""

from __future__ import annotations

from recon_kit import workdays
from recon_kit.ledger.engine import Engine
from recon_kit.settings import Settings

_DAYS_LOOKED_AT = 7
_WEEKS_BACK = 12
_WEEKS_MIN = 4
# How far from usual is far: six robust standard deviations, and at least the whole of what is
# usual (a day that doubles) or seven tenths of it (a day that all but stops). A handful of rows is
# chance, whatever the ratio: three roots of the usual number and five more.
_DEVIATIONS = 6 * 1.4826
_CHANCE = "3 * sqrt(usual) + 5"
_EVENTS_MIN = 8  # of fewer amounts the sum is chance


def odd_days_sql(settings: Settings) -> str:
    """Query of (source, day, what, currency, told, usual), `what` is events or money.

    Reads `events`; amounts are absolute, in minor units of their currency.
    """
    day = workdays.local_day_sql("quarter", settings.workspace.timezone)
    return f"""
        with quarters as (
            select source, {workdays.quarter_sql("event_ts")} as quarter, currency,
                count(*) as events, count(amount) as amounts, sum(abs(amount::hugeint)) as money
            from events where event_ts is not null and records > 0 group by all),
        told as materialized (
            select source, {day} as day, currency, sum(events) as events,
                sum(amounts) as amounts, sum(money) as money
            from quarters group by all),
        spans as (select source, min(day) as first, max(day) as last from told group by source),
        calendar as (
            select source, unnest(generate_series(first, last - 1, interval 1 day))::date as day
            from spans),
        measured as (
            select source, day, 'events' as what, null::varchar as currency,
                sum(events)::double as value, sum(events)::bigint as events
            from told group by all
            union all
            select source, day, 'money', currency, money::double, amounts::bigint
            from told where amounts > 0 and currency is not null),
        series as (select distinct source, what, currency from measured),
        daily as (
            select c.source, c.day, s.what, s.currency, coalesce(m.value, 0) as value,
                coalesce(m.events, 0) as events
            from calendar c join series s using (source)
            left join measured m on m.source = c.source and m.day = c.day and m.what = s.what
                and m.currency is not distinct from s.currency),
        looked_at as (
            select d.* from daily d join spans using (source)
            where d.day >= last - {_DAYS_LOOKED_AT}),
        usual as (
            select l.source, l.day, l.what, l.currency, any_value(l.value) as told,
                median(b.value) as usual, mad(b.value) as spread, count(*) as weeks,
                median(b.events) as events
            from looked_at l join daily b
              on b.source = l.source and b.what = l.what
             and b.currency is not distinct from l.currency
             and isodow(b.day) = isodow(l.day)
             and b.day < l.day and b.day >= l.day - {_WEEKS_BACK * 7}
            group by l.source, l.day, l.what, l.currency)
        select source, day, what, currency, told::bigint as told, round(usual)::bigint as usual
        from usual
        where weeks >= {_WEEKS_MIN} and usual > 0
          and (what = 'events' or events >= {_EVENTS_MIN})
          and (told - usual > greatest({_DEVIATIONS} * spread, usual)
               or usual - told > greatest({_DEVIATIONS} * spread, 0.7 * usual))
          and (what = 'money' or abs(told - usual) > {_CHANCE})"""


def odd_days(engine: Engine, settings: Settings) -> list[dict[str, object]]:
    """The odd days of all sources, newest first; money only where the count does not say it."""
    rows = engine.rows(
        f"""with odd as ({odd_days_sql(settings)})
        select * from odd
        where what = 'events' or (source, day) not in (
            select (source, day) from odd where what = 'events')
        order by source, day desc, what, currency"""
    )
    return rows.to_dicts()
