"""Weeks, business days and durations, with dates that can be checked on a wall calendar."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from recon_kit import workdays as wd
from recon_kit.errors import SettingsError
from recon_kit.ledger.engine import open_engine

NEW_YORK = "America/New_York"
ZONES = [NEW_YORK, "UTC", "Asia/Tokyo", "America/Havana", "America/Sao_Paulo", "Europe/Berlin"]


def at(text: str, zone: str = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_calendar_counts_business_days_including_the_day_itself():
    """Thanksgiving 2026 (26 November) rests in the US, the weekend rests everywhere."""
    frame = wd.calendar_frame(date(2026, 11, 25), date(2026, 11, 30), "US")
    expected = pl.DataFrame(
        {
            "day": pl.date_range(date(2026, 11, 25), date(2026, 11, 30), eager=True),
            "is_business": [True, False, True, False, False, True],
            "business_index": [1, 1, 2, 2, 2, 3],
        },
        schema=wd.CALENDAR_SCHEMA,
    )
    assert expected.equals(frame)
    assert frame.schema == expected.schema


def test_without_a_country_only_weekends_rest():
    """Thanksgiving is a business day where no country is named."""
    frame = wd.business_days(date(2026, 11, 25), date(2026, 11, 30), None)
    assert [date(2026, 11, d) for d in (25, 26, 27, 30)] == frame["day"].to_list()


def test_a_part_of_a_country_has_its_own_holidays():
    """6 January 2026 (Epiphany) rests in Bavaria, not in all of Germany."""
    day = date(2026, 1, 6)
    assert wd.calendar_frame(day, day, "DE")["is_business"].to_list() == [True]
    assert wd.calendar_frame(day, day, "DE-BY")["is_business"].to_list() == [False]


def test_unknown_country_names_the_nearest():
    """A country nobody knows is an error in the settings that helps to repair it."""
    with pytest.raises(SettingsError, match="no country is called 'USX'; did you mean"):
        wd.calendar_frame(date(2026, 1, 1), date(2026, 1, 2), "USX")
    with pytest.raises(SettingsError, match="DE has no part 'XX'"):
        wd.calendar_frame(date(2026, 1, 1), date(2026, 1, 2), "DE-XX")


def test_calendar_refuses_to_run_backwards():
    """The last day cannot lie before the first."""
    with pytest.raises(ValueError, match="cannot end on 2026-01-01 before"):
        wd.calendar_frame(date(2026, 1, 2), date(2026, 1, 1), None)


@pytest.mark.parametrize(
    ("start", "count", "unit", "due"),
    [
        # Monday noon: 10, 12, 13, 16 and 17 November follow, for Veterans Day rests
        ("2026-11-09T12:00", 5, "bd", "2026-11-18T00:00"),
        # Veterans Day (Wednesday 11 November) is skipped
        ("2026-11-09T12:00", 2, "bd", "2026-11-13T00:00"),
        ("2026-11-07T12:00", 1, "bd", "2026-11-10T00:00"),  # Saturday: Monday is the first
        ("2026-11-09T12:00", 0, "bd", "2026-11-10T00:00"),
        ("2026-11-07T12:00", 0, "bd", "2026-11-08T00:00"),
        ("2026-03-07T02:30", 1, "d", "2026-03-08T03:30"),  # 02:30 does not exist on 8 March
        ("2026-03-07T12:00", 1, "d", "2026-03-08T12:00"),  # 23 hours later
        ("2026-03-07T12:00", 24, "h", "2026-03-08T13:00"),
        ("2026-11-09T12:00", 90, "m", "2026-11-09T13:30"),
        ("2026-11-09T16:00", 1, "bh", "2026-11-09T17:00"),  # closing time, not next opening
        ("2026-11-09T16:00", 2, "bh", "2026-11-10T10:00"),
        ("2026-11-10T16:30", 1, "bh", "2026-11-12T09:30"),  # Veterans Day lies between
        ("2026-11-07T12:00", 24, "bh", "2026-11-12T17:00"),  # 9th, 10th, 12th: eight hours each
        ("2026-11-09T20:00", 0, "bh", "2026-11-09T20:00"),
        ("2026-11-09T07:00", 3, "bh", "2026-11-09T12:00"),
    ],
)
def test_durations_mean_what_the_table_says(start, count, unit, due):
    """Each unit ends where a person with a US wall calendar would put it."""
    assert at(due) == wd.add_duration(at(start), count, unit, NEW_YORK, "US")


def test_five_business_days_without_holidays_end_with_the_next_monday():
    """Monday 9 November + 5bd is over when Monday 16 November is over."""
    due = wd.add_duration(at("2026-11-09T12:00"), 5, "bd", NEW_YORK)
    assert at("2026-11-17T00:00") == due
    assert due.tzinfo == UTC


def test_business_days_are_those_of_the_zone():
    """23:30 in New York on Friday is Saturday in UTC, yet the first business day is Monday."""
    friday = at("2026-11-06T23:30")
    assert at("2026-11-10T00:00") == wd.add_duration(friday, 1, "bd", NEW_YORK)
    friday_tokyo = wd.add_duration(friday, 1, "bd", "Asia/Tokyo")
    assert at("2026-11-10T00:00", "Asia/Tokyo") == friday_tokyo


def test_an_instant_without_zone_is_refused():
    """A naive time could be any instant, so it is none."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the naive time is the case under test
    with pytest.raises(ValueError, match="needs a time zone"):
        wd.add_duration(naive, 1, "bd", "UTC")
    with pytest.raises(ValueError, match="needs a time zone"):
        wd.instant_sql(naive)


def test_business_time_is_only_counted_forward():
    """A negative business duration is refused in both forms."""
    with pytest.raises(ValueError, match="-1bd: business time"):
        wd.add_duration(at("2026-11-09T12:00"), -1, "bd", NEW_YORK)
    with pytest.raises(ValueError, match="-1bh: business time"):
        wd.due_sql("ts", -1, "bh", NEW_YORK)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-11-09T10:00", "2026-11-09T12:30", 2.5),
        ("2026-11-09T07:00", "2026-11-09T20:00", 8.0),
        ("2026-11-09T16:00", "2026-11-10T10:00", 2.0),
        ("2026-11-06T16:00", "2026-11-09T10:00", 2.0),  # over a weekend
        ("2026-11-07T10:00", "2026-11-08T10:00", 0.0),
        ("2026-11-10T16:00", "2026-11-12T10:00", 2.0),  # over Veterans Day
        ("2026-11-09T12:00", "2026-11-09T12:00", 0.0),
        ("2026-11-09T12:00", "2026-11-09T11:00", 0.0),
        ("2026-11-07T10:00", "2026-11-14T10:00", 32.0),  # four business days
    ],
)
def test_business_hours_between_two_instants(start, end, hours):
    """Only the hours from nine to five of business days pass."""
    assert hours == wd.business_hours_between(at(start), at(end), NEW_YORK, "US")


def test_business_hours_between_undoes_adding_them():
    """Adding n business hours and measuring them gives n back."""
    seeded = random.Random(7)  # noqa: S311 - a seeded choice of test data
    for _ in range(200):
        start = at("2026-02-20T00:00") + timedelta(minutes=seeded.randrange(60 * 24 * 60))
        count = seeded.randrange(60)
        end = wd.add_duration(start, count, "bh", NEW_YORK, "US")
        assert count == pytest.approx(wd.business_hours_between(start, end, NEW_YORK, "US"))


@pytest.mark.parametrize("zone", ZONES)
def test_sql_and_python_agree_on_business_hours(zone):
    """The set-based measure equals the plain one, also over clock changes and rest days."""
    seeded = random.Random(zone)  # noqa: S311 - a seeded choice of test data
    first = datetime(2018, 1, 1, tzinfo=UTC)
    starts = [first + timedelta(seconds=seeded.randrange(300 * 86400)) for _ in range(300)]
    ends = [ts + timedelta(seconds=seeded.randrange(-90000, 20 * 86400)) for ts in starts]
    with open_engine(threads=1) as engine:
        frame = wd.calendar_frame(date(2017, 12, 25), date(2018, 12, 31), "US")
        engine.put("calendar", frame)
        engine.put("spans", pl.DataFrame({"a": starts, "b": ends}).with_row_index("n"))
        got = engine.rows(
            f"select {wd.business_hours_sql('s.a', 's.b', zone)} as h from spans s order by n"
        )
    expected = [
        wd.business_hours_between(a, b, zone, "US") for a, b in zip(starts, ends, strict=True)
    ]
    assert expected == pytest.approx(got["h"].to_list())


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("count", "unit"),
    [(0, "bd"), (1, "bd"), (5, "bd"), (30, "bd"), (0, "bh"), (1, "bh"), (8, "bh"), (41, "bh"),
     (1, "d"), (7, "d"), (12, "h"), (30, "m")],
)  # fmt: skip
def test_sql_and_python_agree_on_due_times(zone, count, unit):
    """The set-based due time equals the plain one, for any hour and over every clock change."""
    seeded = random.Random(f"{zone}{count}{unit}")  # noqa: S311 - a seeded choice of test data
    first, last = datetime(2017, 10, 1, tzinfo=UTC), datetime(2018, 12, 1, tzinfo=UTC)
    span = int((last - first).total_seconds())
    moments = [first + timedelta(seconds=seeded.randrange(span)) for _ in range(250)]
    moments += [  # the hours around clock changes, and exact opening and closing times
        datetime(2018, 3, 10, 12, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(60)
    ] + [datetime(2018, 11, 3, 0, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(90)]
    with open_engine(threads=1) as engine:
        engine.put("calendar", wd.calendar_around(first.date(), last.date(), "US"))
        engine.put("moments", pl.DataFrame({"ts": moments}))
        got = engine.rows(
            f"select ts, {wd.due_sql('m.ts', count, unit, zone)} as due from moments m order by ts"
        )
    expected = [wd.add_duration(ts, count, unit, zone, "US") for ts in sorted(moments)]
    assert expected == got["due"].to_list()


def test_due_beyond_the_calendar_is_unknown():
    """A due day that the calendar does not reach is null, never a guess."""
    with open_engine(threads=1) as engine:
        frame = wd.calendar_frame(date(2026, 11, 1), date(2026, 11, 10), None)
        engine.put("calendar", frame)
        engine.put("moments", pl.DataFrame({"ts": [at("2026-11-09T12:00")]}))
        got = engine.one(f"select {wd.due_sql('ts', 5, 'bd', NEW_YORK)} from moments")
        engine.put("moments", pl.DataFrame({"ts": [at("2026-10-30T12:00")]}))
        before = engine.one(f"select {wd.due_sql('ts', 5, 'bd', NEW_YORK)} from moments")
    assert (got, before) == ((None,), (None,))


@pytest.mark.parametrize(
    "zone", ["Pacific/Honolulu", NEW_YORK, "UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Tokyo",
             "Australia/Sydney", "Pacific/Auckland"],
)  # fmt: skip
def test_a_day_told_alone_is_the_same_day_from_every_zone(zone):
    """8 September is told in Honolulu and in Auckland, in winter and in summer; SQL agrees."""
    days = [date(2026, 9, 8), date(2026, 1, 1), date(2026, 12, 31)]
    midnights = [datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)) for d in days]
    frame = pl.DataFrame({"ts": midnights}).with_columns(pl.col("ts").dt.convert_time_zone("UTC"))

    assert [wd.told_day(m) for m in midnights] == days
    assert frame.select(wd.told_day_expr(pl.col("ts")))["ts"].to_list() == days
    with open_engine((), threads=1) as engine:
        engine.put("told", frame)
        rows = engine.rows(f"select {wd.told_day_sql('ts')} as day from told")
    assert rows["day"].to_list() == days


def test_within_a_quarter_of_an_hour_all_clocks_move_alike():
    """In every zone, at every change of its clock: one local day, and due times as far apart."""
    moments = f"""
        select *, {wd.quarter_sql("ts")} as q from (
            select n.name as zone,
              timestamptz '2026-01-01' + to_minutes(15 * i) + to_seconds(s) as ts
            from pg_timezone_names() n, range(0, 35040) r(i), (values (0), (1), (899)) o(s)
            where n.name in ('America/New_York', 'America/Santiago', 'Africa/Cairo',
                             'Australia/Lord_Howe') or i % 211 = 0
            union all
            select n.name, make_timestamptz(i * 7_777_777_777_777)
            from pg_timezone_names() n, range(14, 400) r(i))"""

    def due(ts):
        return f"timezone(zone, timezone(zone, {ts}) + interval (5) day)"

    shared = wd.due_within_sql("ts", "q", due("q"), "d")
    with open_engine() as engine:
        seen, apart, late, days = engine.one(f"""
            select count(*), max(epoch_us(ts) - epoch_us(q)),
              count(*) filter ({shared} <> {due("ts")}),
              count(*) filter (timezone(zone, ts)::date <> timezone(zone, q)::date)
            from ({moments})""")

    assert seen > 500_000
    assert apart < 900_000_000
    assert (late, days) == (0, 0)


def test_before_1973_an_instant_is_its_own_quarter():
    """Monrovia was 44 minutes and 30 seconds behind until 1972."""
    with open_engine(threads=1) as engine:
        got = engine.one(
            "select " + ", ".join(
                f"epoch_us({wd.quarter_sql(f'timestamptz {moment!r}')})"
                for moment in ("1971-12-31 00:44:31Z", "1973-01-01 00:44:31Z")
            )
        )  # fmt: skip

    assert got == (62_988_271_000_000, 94_696_200_000_000)


def test_weeks_are_iso_weeks_of_the_zone():
    """Sunday evening in New York is already Monday in UTC: the zone decides."""
    sunday = at("2026-11-08T23:00")
    assert wd.week_of(sunday, NEW_YORK) == "2026-W45"
    assert wd.week_of(sunday, "UTC") == "2026-W46"
    assert wd.week_of(at("2027-01-03T12:00"), NEW_YORK) == "2026-W53"
    with open_engine(threads=1) as engine:
        engine.put("moments", pl.DataFrame({"ts": [sunday]}))
        got = engine.one(
            f"select {wd.week_sql('ts', NEW_YORK)}, {wd.week_sql('ts', 'UTC')}"
            ", typeof(" + wd.local_day_sql("ts", NEW_YORK) + ") from moments"
        )
    assert got == ("2026-W45", "2026-W46", "DATE")


def test_the_day_of_an_instant_in_utc_is_read_off_its_microseconds():
    """The last microsecond of a day is still that day, before 1970 as well; no time has no day."""
    told = [
        datetime(2026, 3, 1, 23, 59, 59, 999_999, UTC), datetime(2026, 3, 2, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1960, 2, 29, 1, tzinfo=UTC),
        None,
    ]  # fmt: skip
    with open_engine(threads=1) as engine:
        engine.put("moments", pl.DataFrame({"ts": told}))
        days = engine.rows(f"select {wd.local_day_sql('ts', 'UTC')} as day from moments")
    assert days["day"].to_list() == [
        date(2026, 3, 1), date(2026, 3, 2), date(1969, 12, 31), date(1960, 2, 29), None,
    ]  # fmt: skip


def test_week_bounds_hold_the_hour_of_a_clock_change():
    """The week in which New York gains an hour has 169 hours."""
    start, end = wd.week_bounds("2026-W44", NEW_YORK)
    assert at("2026-10-26T00:00") == start
    assert at("2026-11-02T00:00") == end
    assert timedelta(hours=169) == end - start


def test_a_text_that_is_no_week_is_refused():
    """The message shows the accepted form."""
    with pytest.raises(ValueError, match="'2026-46' is no ISO week; write it like 2026-W46"):
        wd.week_bounds("2026-46", NEW_YORK)
    with pytest.raises(ValueError, match="'2026-W54' is no ISO week"):
        wd.week_bounds("2026-W54", NEW_YORK)


def test_a_day_told_alone_is_counted_from_its_own_midnight():
    """Monday 2 November of Berlin begins for New York with its Monday; a told time stays."""
    berlin = datetime(2026, 11, 1, 23, tzinfo=UTC)
    with open_engine(threads=1) as engine:
        told = pl.DataFrame({"ts": [berlin, berlin], "precision": ["date", "second"]})
        engine.put("told", told)
        clock = wd.clock_sql("ts", "precision", NEW_YORK)
        counted = engine.rows(f"select {clock} as at from told order by precision")["at"]

    assert counted.to_list() == [datetime(2026, 11, 2, 5, tzinfo=UTC), berlin]
