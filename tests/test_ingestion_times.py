"""Times: declared formats and a known zone, or a code and no time."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit.errors import SettingsError
from recon_kit.ingestion.times import TIME_PROBLEMS, parse_dates, parse_times

SECONDS = ("%Y-%m-%d %H:%M:%S",)
OFFSET = ("%Y-%m-%d %H:%M:%S %z",)
EMPTY = {"ts": None, "precision": None, "tz_source": None}


def read(text, formats, zone, **more):
    """One cell through the parser."""
    frame = pl.DataFrame({"t": [text]}, schema={"t": pl.String})
    return frame.select(parse_times(pl.col("t"), formats=formats, zone=zone, **more)).item()


def at(*parts):
    """A moment in UTC."""
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "formats", "zone", "moment", "precision", "source"),
    [
        ("2026-01-31 10:00:00", SECONDS, "UTC", at(2026, 1, 31, 10), "second", "source"),
        ("2026-01-31 10:00:00", SECONDS, "Europe/Berlin", at(2026, 1, 31, 9), "second", "source"),
        ("2026-07-31 10:00:00", SECONDS, "Europe/Berlin", at(2026, 7, 31, 8), "second", "source"),
        (" 2026-01-31 10:00:00 ", SECONDS, "+0130", at(2026, 1, 31, 8, 30), "second", "source"),
        ("2026-01-31 10:00", ("%Y-%m-%d %H:%M",), "UTC", at(2026, 1, 31, 10), "minute", "source"),
        ("31.01.2026", ("%d.%m.%Y",), "Europe/Berlin", at(2026, 1, 30, 23), "date", "source"),
        ("1/2/2026", ("%m/%d/%Y",), "UTC", at(2026, 1, 2), "date", "source"),
        ("1/2/26", ("%m/%d/%y",), "UTC", at(2026, 1, 2), "date", "source"),
        ("4/1/2020 6:50:54 PM", ("%m/%d/%Y %I:%M:%S %p",), "UTC",
         at(2020, 4, 1, 18, 50, 54), "second", "source"),
        ("2026-03-08 02:30:00 +0500", OFFSET, None, at(2026, 3, 7, 21, 30), "second",
         "offset in value"),
        ("2026-03-08 02:30:00 -04:00", OFFSET, "UTC", at(2026, 3, 8, 6, 30), "second",
         "offset in value"),
        ("2026-03-08T02:30:00Z", ("%Y-%m-%dT%H:%M:%S%z",), None, at(2026, 3, 8, 2, 30), "second",
         "offset in value"),
        ("2026-03-08T02:30:00.123Z", ("%Y-%m-%dT%H:%M:%S.%f%z",), None,
         at(2026, 3, 8, 2, 30, 0, 123000), "second", "offset in value"),
        ("1700000000", ("epoch",), None, at(2023, 11, 14, 22, 13, 20), "second",
         "offset in value"),
        ("1700000000123", ("epoch",), None, at(2023, 11, 14, 22, 13, 20, 123000), "second",
         "offset in value"),
        ("2026-01-02", (*SECONDS, "%Y-%m-%d"), "UTC", at(2026, 1, 2), "date", "source"),
    ],
)  # fmt: skip
def test_a_declared_time_is_read(text, formats, zone, moment, precision, source):  # noqa: PLR0917 - a literal table
    """A time in a declared format is one UTC instant with its precision and its zone's origin."""
    expected = {"ts": moment, "precision": precision, "tz_source": source, "code": None}

    assert expected == read(text, formats, zone)


@pytest.mark.parametrize(
    ("text", "formats", "zone", "code"),
    [
        ("x", SECONDS, "UTC", "time_unreadable"),
        ("2026-01-31", SECONDS, "UTC", "time_unreadable"),
        ("30/02/2026", ("%d/%m/%Y",), "UTC", "time_unreadable"),
        ("0026-01-02", ("%Y-%m-%d",), "UTC", "time_unreadable"),
        ("99999999999999999", ("epoch",), None, "time_unreadable"),
        ("01/02/2026", ("%d/%m/%Y", "%m/%d/%Y"), "UTC", "time_format_ambiguous"),
        ("2026-03-08 02:30:00", SECONDS, "America/New_York", "time_nonexistent"),
        ("2026-11-01 01:30:00", SECONDS, "America/New_York", "time_ambiguous"),
        ("1970-01-01 00:00:00", SECONDS, "Asia/Tokyo", "time_placeholder"),
        ("1900-01-01", ("%Y-%m-%d",), "UTC", "time_placeholder"),
        ("9999-12-31", ("%Y-%m-%d",), "UTC", "time_placeholder"),
        ("0", ("epoch",), None, "time_placeholder"),
    ],
)
def test_a_time_that_is_none_gets_a_code(text, formats, zone, code):
    """What is no moment, or two, is not guessed."""
    assert {**EMPTY, "code": code} == read(text, formats, zone)
    assert code in TIME_PROBLEMS


@pytest.mark.parametrize("text", [None, "", "  "])
def test_blank_is_no_time_and_no_problem(text):
    """A blank cell is null without a code."""
    assert read(text, SECONDS, "UTC") == {**EMPTY, "code": None}


def test_two_formats_that_agree_are_no_dispute():
    """The second of February is the same day first or month first."""
    assert at(2026, 2, 2) == read("02/02/2026", ("%d/%m/%Y", "%m/%d/%Y"), "UTC")["ts"]


def test_a_day_begins_at_its_first_instant():
    """Where midnight does not exist, a date begins at one o'clock."""
    assert at(2018, 11, 4, 3) == read("2018-11-04", ("%Y-%m-%d",), "America/Sao_Paulo")["ts"]


def test_a_zone_column_wins_row_by_row():
    """Each row's zone counts: names, offsets, abbreviations; blank falls back, unknown is told."""
    zones = ["PST", "+0130", "Europe/Paris", "", None, "Mars"]
    frame = pl.DataFrame({"t": ["2026-01-01 10:00:00"] * 6, "z": zones})

    got = frame.select(
        parse_times(pl.col("t"), formats=SECONDS, zone=pl.col("z"), fallback_zone="UTC").alias("x")
    ).unnest("x")

    assert [t and t.hour for t in got["ts"].to_list()] == [18, 8, 9, 10, 10, None]
    expected = ["column"] * 3 + ["source"] * 2 + [None]
    assert expected == got["tz_source"].to_list()
    assert got["code"].to_list() == [None] * 5 + ["time_zone_unknown"]


def test_a_blank_zone_without_fallback_is_a_problem():
    """Without any zone there is no instant."""
    frame = pl.DataFrame({"t": ["2026-01-01 10:00:00"], "z": [""]})
    got = frame.select(parse_times(pl.col("t"), formats=SECONDS, zone=pl.col("z"))).item()

    assert got == {**EMPTY, "code": "time_zone_missing"}


def test_a_zone_in_the_value_wins_over_the_file():
    """A trailing zone name is read; AM and PM are none."""
    zoned = read("2026-01-01 10:00:00 Europe/Amsterdam", SECONDS, "UTC", named_zone=True)
    plain = read(
        "1/1/2026 10:00:00 AM", ("%m/%d/%Y %I:%M:%S %p",), "UTC", zone_source="file",
        named_zone=True,
    )  # fmt: skip

    assert (at(2026, 1, 1, 9), "zone in value") == (zoned["ts"], zoned["tz_source"])
    assert (at(2026, 1, 1, 10), "file") == (plain["ts"], plain["tz_source"])


@pytest.mark.parametrize(
    ("formats", "zone", "message"),
    [
        ((), "UTC", "no time format is declared; add `date_formats"),
        (("%Y-%m-%d",), None, "carry no offset and no zone is known; add `timezone"),
        (("%H:%M",), "UTC", "names no year"),
        (("%Y-%m-%d %H",), "UTC", "cannot be read"),
        (("%Y-%m-%d %Q",), "UTC", "holds %Q, which is not read"),
        (("%Y-%m-%d",), "Europe/Berln", "no IANA time zone; did you mean 'Europe/Berlin'"),
    ],
)
def test_misuse_names_the_remedy(formats, zone, message):
    """Formats and zones that cannot work are errors of the settings, before any row."""
    with pytest.raises(SettingsError, match=message):
        parse_times(pl.col("t"), formats=formats, zone=zone)


def test_dates_drop_the_time_of_day():
    """A settlement date is a date wherever one stands."""
    frame = pl.DataFrame({"t": ["2026-01-31", "2026-01-31 23:59:59", "x", None, "1970-01-01"]})
    got = frame.select(parse_dates(pl.col("t"), formats=("%Y-%m-%d", *SECONDS)).alias("x")).unnest(
        "x"
    )

    assert [date(2026, 1, 31)] * 2 + [None] * 3 == got["date"].to_list()
    expected = [None, None, "time_unreadable", None, "time_placeholder"]
    assert expected == got["code"].to_list()


def test_lazy_and_empty_columns_work():
    """The expression runs in a lazy plan, and on no rows."""
    frame = pl.LazyFrame({"t": []}, schema={"t": pl.String})
    got = frame.select(parse_times(pl.col("t"), formats=SECONDS, zone="Asia/Tokyo")).collect()

    assert got.height == 0


@settings(max_examples=100, deadline=None)
@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2040, 1, 1)),  # noqa: DTZ001 - local times on purpose
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_a_local_time_comes_back_or_is_refused(moment, zone):
    """What is read is that local time in that zone; only clock changes are refused."""
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    got = read(text, SECONDS, zone)

    if got["ts"] is None:
        assert got["code"] in {"time_nonexistent", "time_ambiguous"}
    else:
        local = pl.Series([got["ts"]]).dt.convert_time_zone(zone).dt.strftime("%Y-%m-%d %H:%M:%S")
        assert text == local.item()
