"""Zones, weeks, business days and durations: one meaning in Python and the same one in SQL.

The meaning of a duration, counted from an instant `t` in the business zone:

| unit | meaning |
| --- | --- |
| `bd` | the end (the midnight that closes it) of the n-th business day after the day of `t`; |
|      | `0bd` is the end of the day itself; days are local |
| `bh` | n business hours later: a business day has eight, from 09:00 to 17:00 on the wall clock |
| `d`  | the same wall clock n calendar days later (so a day may have 23 or 25 hours) |
| `h`, `m` | n hours, n minutes of elapsed time |

Saturday and Sunday rest, and so do the public holidays of a country when one is named. An end is
exclusive: something due at midnight is late from that instant on. Where the clocks go forward, a
wall clock that does not exist means the same distance past the gap; where they go back, one that
exists twice means its second time. DuckDB does likewise, so `due_sql` and `add_duration` agree.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit.errors import SettingsError, nearest
from recon_kit.safe import quote_text

Unit = Literal["bd", "bh", "d", "h", "m"]

CALENDAR_SCHEMA: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "is_business": pl.Boolean(),
    "business_index": pl.Int64(),
}
OPENS = time(9)
HOURS_PER_BUSINESS_DAY = 8
_DAY = timedelta(days=1)
_SECONDS_PER_BUSINESS_DAY = HOURS_PER_BUSINESS_DAY * 3600
_SATURDAY = 5
# Midnight lies between ten hours after UTC's (Honolulu) and thirteen before it (Auckland): what is
# left of a day of 24 hours is shared between them. Pago Pago and Kiritimati lie outside.
_EAST_OF_UTC_MAX = timedelta(hours=13, minutes=30)
_QUARTER_US = 900_000_000
# From 1973 on every offset of every zone is a whole number of quarters of an hour.
_QUARTERS_FROM_US = int(datetime(1973, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


def calendar_frame(first: date, last: date, country: str | None) -> pl.DataFrame:
    """Every day from `first` to `last`, both included, in order.

    Args:
        first: the first day.
        last: the last day; not before `first`.
        country: ISO 3166 code such as `US`, or with a subdivision such as `DE-BY`, whose public
            holidays rest; none: only weekends rest.

    Returns:
        `day`, `is_business`, and `business_index`: how many business days there are from `first`
        up to and including the day. Only differences of the index mean anything.

    Raises:
        SettingsError: the country is not known.
        ValueError: `last` lies before `first`.
    """
    if last < first:
        raise ValueError(f"a calendar cannot end on {last} before it begins on {first}")
    rests = sorted(_holidays_between(country, first.year, last.year))
    days = pl.DataFrame({"day": pl.date_range(first, last, "1d", eager=True)})
    weekday = pl.col("day").dt.weekday() <= 5
    holiday = pl.col("day").is_in(pl.Series(rests, dtype=pl.Date).implode())
    return days.with_columns(is_business=weekday & ~holiday).with_columns(
        business_index=pl.col("is_business").cast(pl.Int64).cum_sum()
    )


def business_days(first: date, last: date, country: str | None) -> pl.DataFrame:
    """The business days alone from `first` to `last`, in the columns of `calendar_frame`."""
    return calendar_frame(first, last, country).filter("is_business")


def calendar_around(
    first: date, last: date, country: str | None, business_days_max: int = 60
) -> pl.DataFrame:
    """A calendar wide enough for `due_sql` over instants between two days.

    Adds two days in front (a zone may put an instant on the day before) and, behind, enough days
    for `business_days_max` business days. Columns as in `calendar_frame`.
    """
    return calendar_frame(
        first - 2 * _DAY, last + timedelta(days=40 + 2 * business_days_max), country
    )


def add_duration(
    ts: datetime, count: int, unit: Unit, zone: str, country: str | None = None
) -> datetime:
    """The instant that lies a duration after `ts`, in UTC; see the table at the top.

    Args:
        ts: an instant with a zone.
        count: how many units; not negative for `bd` and `bh`.
        unit: `bd`, `bh`, `d`, `h` or `m`.
        zone: IANA zone in which days begin and end.
        country: whose public holidays rest.

    Raises:
        ValueError: `ts` has no zone, or a business duration is negative.
    """
    local = _local(ts, zone)
    if unit == "h":
        return ts.astimezone(UTC) + timedelta(hours=count)
    if unit == "m":
        return ts.astimezone(UTC) + timedelta(minutes=count)
    if unit == "d":
        return _instant(local.date() + count * _DAY, local.time(), zone)
    if count < 0:
        raise ValueError(f"{count}{unit}: business time is only counted forward")
    if unit == "bd":
        day = local.date()
        for _ in range(count):
            day = _next_business_day(day, country)
        return _instant(day + _DAY, time(), zone)
    return _add_business_hours(ts.astimezone(UTC), count, zone, country)


def business_hours_between(
    start: datetime, end: datetime, zone: str, country: str | None = None
) -> float:
    """Business hours that passed from `start` to `end`; 0.0 when `end` is not later.

    Both are instants with a zone. Unit: hours, eight to a business day.
    """
    first, last = _local(start, zone).date(), _local(end, zone).date()
    if end <= start:
        return 0.0
    if first == last:
        worked = _worked(end, last, zone, country) - _worked(start, first, zone, country)
        return worked / 3600
    index = calendar_frame(first, last, country)["business_index"]
    # whole business days from the first day up to the last but one, less what had passed at start
    whole = int(index[-2]) - int(index[0]) + int(_is_business(first, country))
    passed = _worked(end, last, zone, country) - _worked(start, first, zone, country)
    return (whole * _SECONDS_PER_BUSINESS_DAY + passed) / 3600


def due_sql(ts: str, count: int, unit: Unit, zone: str) -> str:
    """A DuckDB expression equal to `add_duration`, for a whole column at once.

    For `bd` and `bh` it reads a table `calendar` of consecutive days in the columns of
    `calendar_frame`, which must reach from the day before the first instant to the due day
    (`calendar_around` makes one); a due time beyond it is null.

    Args:
        ts: a SQL expression of type TIMESTAMPTZ over the tables at hand.
        count: as in `add_duration`.
        unit: as in `add_duration`.
        zone: IANA zone.
    """
    if unit in ("h", "m"):
        return f"(({ts}) + interval ({int(count)}) {'hour' if unit == 'h' else 'minute'})"
    where = quote_text(zone)
    if unit == "d":
        wall = f"timezone({where}, {ts})"
        # interval days keep the wall clock only on a timestamp without a zone
        return f"timezone({where}, {wall} + interval ({int(count)}) day)"
    if count < 0:
        raise ValueError(f"{count}{unit}: business time is only counted forward")
    if unit == "bd":
        return _business_day_sql(ts, int(count), where)
    return _business_hour_sql(ts, int(count), where)


def due_within_sql(ts: str, quarter: str, due: str, unit: Unit) -> str:
    """The due time of an instant from that of its quarter of an hour (`quarter_sql`).

    For the units `d` and `bd`, whose due times take the most work.

    Args:
        ts: a SQL expression of the instant.
        quarter: of its quarter.
        due: `due_sql` of the quarter.
        unit: as given there.
    """
    if unit == "bd":
        return due  # depends on the local day alone
    # a calendar day keeps the wall clock, and within a quarter all instants move alike
    return f"make_timestamptz(epoch_us({due}) + epoch_us({ts}) - epoch_us({quarter}))"


def business_hours_sql(start: str, end: str, zone: str) -> str:
    """A DuckDB expression equal to `business_hours_between`, over table `calendar`.

    Null where the calendar does not hold both days.
    """
    where = quote_text(zone)
    passed = f"({_position_sql(end, where)} - {_position_sql(start, where)}) / 3600000000"
    return f"(case when {end} <= {start} then 0.0 else {passed} end)"


def instant_sql(ts: datetime) -> str:
    """An instant as a DuckDB literal; ValueError when it has no zone."""
    return f"timestamptz {quote_text(_local(ts, 'UTC').isoformat())}"


def local_day_sql(ts: str, zone: str) -> str:
    """A DuckDB expression for the local day (DATE) of an instant."""
    if zone == "UTC":  # no calendar of zones is asked: a tenth of the time
        return f"cast(make_timestamp(epoch_us({ts})) as date)"
    return f"cast(timezone({quote_text(zone)}, {ts}) as date)"


def quarter_sql(ts: str) -> str:
    """A DuckDB expression for the quarter of an hour in which an instant lies: its first instant.

    Within one no zone begins a day or changes its offset, so local days of many instants may be
    worked out once for each. Before 1973 some zones did: there it is the instant itself.
    """
    us = f"epoch_us({ts})"
    return (
        f"make_timestamptz(case when {us} >= {_QUARTERS_FROM_US} "
        f" then {us} - {us} % {_QUARTER_US} else {us} end)"
    )


def told_day(midnight: datetime) -> date:
    """The day that a source told without a time of day, from the midnight it is kept as.

    The midnight is that of the source's own zone, and no other zone may move it to another day.
    The zone itself is not needed: seen from UTC each midnight is nearest to one day.
    """
    return (_local(midnight, "UTC") + _EAST_OF_UTC_MAX).date()


def told_day_expr(midnight: pl.Expr) -> pl.Expr:
    """A polars expression equal to `told_day`."""
    return (midnight + pl.lit(_EAST_OF_UTC_MAX)).dt.date()


def told_day_sql(midnight: str) -> str:
    """A DuckDB expression equal to `told_day`."""
    minutes = int(_EAST_OF_UTC_MAX.total_seconds() // 60)
    return f"cast(timezone('UTC', {midnight}) + interval {minutes} minutes as date)"


def clock_sql(ts: str, precision: str, zone: str) -> str:
    """A DuckDB expression for the instant from which weeks and clocks count an event.

    That is its time; where its source told a day alone (`precision` is `date`), it is the midnight
    in the zone with which that day begins. A Monday is one in every zone: counted from the midnight
    of another zone it may fall into the week before.
    """
    midnight = f"timezone({quote_text(zone)}, cast({told_day_sql(ts)} as timestamp))"
    return f"case when {precision} = 'date' then {midnight} else {ts} end"


def week_of(ts: datetime, zone: str) -> str:
    """The ISO week of an instant in a zone, such as `2026-W46`; weeks begin on Monday."""
    year, week, _ = _local(ts, zone).isocalendar()
    return f"{year:04d}-W{week:02d}"


def week_sql(ts: str, zone: str) -> str:
    """A DuckDB expression equal to `week_of`."""
    return f"strftime(timezone({quote_text(zone)}, {ts}), '%G-W%V')"


def week_bounds(week: str, zone: str) -> tuple[datetime, datetime]:
    """First instant of a week and first instant after it, in UTC.

    Raises:
        ValueError: the text is no ISO week.
    """
    try:
        year, number = week.split("-W")
        monday = date.fromisocalendar(int(year), int(number), 1)
    except ValueError:
        raise ValueError(f"{week!r} is no ISO week; write it like 2026-W46") from None
    return _instant(monday, time(), zone), _instant(monday + 7 * _DAY, time(), zone)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local(ts: datetime, zone: str) -> datetime:
    if ts.tzinfo is None:
        raise ValueError("an instant needs a time zone; this one has none")
    return ts.astimezone(_zone(zone))


def _instant(day: date, clock: time, zone: str) -> datetime:
    """A wall clock as an instant: past a gap, and the second of two (what DuckDB's ICU does)."""
    wall = datetime.combine(day, clock.replace(fold=0), _zone(zone))
    return max(wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC))


@cache
def _holidays_between(country: str | None, first: int, last: int) -> frozenset[date]:
    if country is None:
        return frozenset()
    import holidays

    code, _, part = country.partition("-")
    known = holidays.list_supported_countries()
    if code not in known:
        raise SettingsError(f"holidays: no country is called {code!r}; {nearest(code, known)}")
    if part and part not in known[code]:
        raise SettingsError(f"holidays: {code} has no part {part!r}; {nearest(part, known[code])}")
    return frozenset(
        holidays.country_holidays(code, subdiv=part or None, years=range(first, last + 1))
    )


def _is_business(day: date, country: str | None) -> bool:
    return day.weekday() < _SATURDAY and day not in _holidays_between(country, day.year, day.year)


def _next_business_day(day: date, country: str | None) -> date:
    day += _DAY
    while not _is_business(day, country):
        day += _DAY
    return day


def _worked(ts: datetime, day: date, zone: str, country: str | None) -> float:
    """Business seconds of its local day that have passed at an instant."""
    if not _is_business(day, country):
        return 0.0
    passed = (ts - _instant(day, OPENS, zone)).total_seconds()
    return min(max(passed, 0.0), float(_SECONDS_PER_BUSINESS_DAY))


def _add_business_hours(ts: datetime, count: int, zone: str, country: str | None) -> datetime:
    if count == 0:
        return ts
    day = _local(ts, zone).date()
    if not _is_business(day, country):
        day = _next_business_day(day, country)
    left = timedelta(hours=count, seconds=_worked(ts, day, zone, country))
    while left > timedelta(hours=HOURS_PER_BUSINESS_DAY):
        left -= timedelta(hours=HOURS_PER_BUSINESS_DAY)
        day = _next_business_day(day, country)
    return _instant(day, OPENS, zone) + left


def _business_day_sql(ts: str, count: int, zone: str) -> str:
    """The due time depends on the local day alone: look it up in one list of due times by day.

    A list indexed by day costs a fifth of a join by day over a million rows.
    """
    day = f"cast(timezone({zone}, {ts}) as date)"
    if count == 0:
        return f"timezone({zone}, cast({day} + 1 as timestamp))"
    place = f"(date_diff('day', (select min(day) from calendar), {day}) + 1)"
    dues = (
        f"(select list(timezone({zone}, cast(due.day + 1 as timestamp)) order by today.day)"
        " from calendar today left join calendar due"
        f" on due.is_business and due.business_index = today.business_index + {count})"
    )
    return f"(case when {place} >= 1 then {dues}[{place}] end)"


# A day of business time in microseconds, and an instant's place on the axis of business time.
_LENGTH = f"{_SECONDS_PER_BUSINESS_DAY * 1_000_000}::bigint"


def _place_sql(ts: str, zone: str) -> str:
    opens = f"timezone({zone}, cast(today.day as timestamp) + interval {OPENS.hour} hour)"
    worked = f"greatest(0, least({_LENGTH}, epoch_us({ts}) - epoch_us({opens})))"
    return (
        f"((today.business_index - today.is_business::int) * {_LENGTH}"
        f" + case when today.is_business then {worked} else 0 end)"
    )


def _position_sql(ts: str, zone: str) -> str:
    return (
        f"(select {_place_sql(ts, zone)} from calendar today"
        f" where today.day = cast(timezone({zone}, {ts}) as date))"
    )


def _business_hour_sql(ts: str, count: int, zone: str) -> str:
    """Place an instant on the axis of business time, add, and read the day off the axis."""
    if count == 0:
        return f"({ts})"
    target = f"({_place_sql(ts, zone)} + {count} * 3600000000)"
    due_opens = f"timezone({zone}, cast(due.day as timestamp) + interval {OPENS.hour} hour)"
    nth = f"(({target} + {_LENGTH} - 1) // ({_LENGTH}))"
    rest = f"({target} - ({nth} - 1) * {_LENGTH})"
    return (
        f"(select {due_opens} + to_microseconds({rest})"
        " from calendar today join calendar due"
        f" on due.is_business and due.business_index = {nth}"
        f" where today.day = cast(timezone({zone}, {ts}) as date))"
    )
