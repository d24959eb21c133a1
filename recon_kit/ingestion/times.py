"""The one parser of times: declared formats and a known zone, or no time at all.

`parse_times` is a polars expression, so that ten million cells and one cell go the same way.
Nothing is guessed: a value that two declared formats read differently, an hour that a clock
change skipped or repeated, and a placeholder such as 1970-01-01 each get a code, and the caller
quarantines the row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Literal
from zoneinfo import available_timezones

import polars as pl

from recon_kit.errors import SettingsError, nearest
from recon_kit.model import UTC

# Codes of times that are not accepted. The texts are what an analyst reads in the quarantine.
TIME_PROBLEMS: dict[str, str] = {
    "time_unreadable": "the time does not fit any declared format",
    "time_format_ambiguous": "two declared formats read the time differently; declare one",
    "time_nonexistent": "the clock change of the zone skipped this local time; is the declared zone"
    " the file's?",
    "time_ambiguous": "the clock change of the zone made this local time happen twice; export the"
    " times in UTC or with their offset",
    "time_placeholder": "the time is a placeholder (1900, 1970-01-01 or 9999), not a moment",
    "time_zone_unknown": "the zone beside the time is no known zone",
    "time_zone_missing": "the time has no zone, and none is declared for the source",
}
EPOCH = "epoch"  # in place of a format: seconds or milliseconds since 1970, told apart by range

ZoneSource = Literal["column", "file", "source"]
_Z_SECONDS_MAX = 100_000_000_000  # 11 digits are the year 5138 in seconds, 1973 in milliseconds
_Z_MILLIS_MAX = 100_000_000_000_000
_NAIVE = pl.Datetime("us")
_TIME = pl.Struct(
    {"ts": UTC, "precision": pl.String(), "tz_source": pl.String(), "code": pl.String()}
)
_DATE = pl.Struct({"date": pl.Date(), "code": pl.String()})
_DIRECTIVES = frozenset("YymdbBejHIMSfzpTFDRaAhklP")

# Zone texts that vendors write but IANA does not know. An abbreviation names the region's clock,
# not an offset: Adyen prints PST in July as well.
ZONE_WORDS: dict[str, str] = {
    "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "PT": "America/Los_Angeles",
    "MST": "America/Denver", "MDT": "America/Denver", "CDT": "America/Chicago",
    "EST": "America/New_York", "EDT": "America/New_York", "ET": "America/New_York",
    "CET": "Europe/Paris", "CEST": "Europe/Paris", "MET": "Europe/Paris", "MEZ": "Europe/Berlin",
    "MESZ": "Europe/Berlin", "EET": "Europe/Helsinki", "EEST": "Europe/Helsinki",
    "WET": "Europe/Lisbon", "WEST": "Europe/Lisbon", "BST": "Europe/London",
    "AEST": "Australia/Sydney", "AEDT": "Australia/Sydney", "JST": "Asia/Tokyo",
    "KST": "Asia/Seoul", "HKT": "Asia/Hong_Kong", "SGT": "Asia/Singapore",
    "GMT": "UTC", "Z": "UTC", "UTC": "UTC",
    "Eastern Time (US & Canada)": "America/New_York",
    "Central Time (US & Canada)": "America/Chicago",
    "Mountain Time (US & Canada)": "America/Denver",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "London": "Europe/London", "Amsterdam": "Europe/Amsterdam", "Berlin": "Europe/Berlin",
}  # fmt: skip
_OFFSET = re.compile(r"^(?:UTC|GMT)?([+-])([0-9]{1,2}):?([0-9]{2})?$")
# A zone written after the time: `2026-01-31 10:00:00 Europe/Amsterdam`, but never AM or PM.
_TRAILING_ZONE = r"^(.*?[0-9](?:\s*[AaPp]\.?[Mm]\.?)?)\s+([A-Za-z]+(?:[/_+-][A-Za-z0-9_+-]+)*)$"
_MERIDIEM = r"^(?i:[ap]m)$"


def parse_times(  # noqa: PLR0913 - a time has this many degrees of freedom in real files
    text: pl.Expr,
    *,
    formats: Sequence[str],
    zone: str | pl.Expr | None,
    zone_source: ZoneSource = "source",
    fallback_zone: str | None = None,
    named_zone: bool = False,
) -> pl.Expr:
    """Turn a text column into UTC instants.

    Args:
        text: times as the file prints them; null or blank means no time.
        formats: declared formats in `strptime` style, tried in order (`%z` reads offsets and `Z`,
            `%.f` a fraction of a second), or `"epoch"`.
        zone: zone of times without an offset: an IANA name, or a column of zone texts (IANA
            names, offsets such as `+0100`, and the abbreviations of `ZONE_WORDS`).
        zone_source: where a zone given by name came from (a zone column is always `column`).
        fallback_zone: zone of rows whose zone column is blank; `zone_source` then says so.
        named_zone: whether a value may end in a zone's name, which then wins over `zone`.

    Returns:
        A struct `{ts: Datetime UTC us, precision: String, tz_source: String, code: String}`.
        `precision` is `second`, `minute` or `date` (a date is midnight of its zone); `tz_source`
        is `offset in value`, `zone in value`, `column`, `file` or `source`; `code` is null when
        the time was read or was blank, else a key of `TIME_PROBLEMS` with `ts` null.

    Raises:
        SettingsError: no format, a format nobody can read, an unknown zone, or formats without
            an offset and no zone.
    """
    _check_formats(formats)
    offset_free = any("%z" not in f and f != EPOCH for f in formats)
    if zone is None and fallback_zone is None and offset_free and not named_zone:
        raise SettingsError(
            f"the times in format {formats[0]!r} carry no offset and no zone is known; add "
            '`timezone = "Area/City"` to the source or its layout'
        )
    column = zone if isinstance(zone, pl.Expr) else pl.lit(None, dtype=pl.String)
    name = zone if isinstance(zone, str) else fallback_zone
    if name is not None and zone_of(name) is None:
        hint = nearest(name, available_timezones())
        raise SettingsError(f"{name!r} is no IANA time zone; {hint}")

    def stages(cells: pl.Series) -> pl.Series:
        frame = _read_cells(cells.struct.unnest(), formats, named_zone=named_zone)
        return _place_cells(frame, name, zone_source).to_struct(cells.name)

    cells = pl.struct(text=text, column=column.cast(pl.String))
    return cells.map_batches(stages, return_dtype=_TIME, is_elementwise=True)


def parse_dates(text: pl.Expr, *, formats: Sequence[str]) -> pl.Expr:
    """Turn a text column of dates into a struct `{date: Date, code: String}`, as `parse_times`.

    Times of day are read and dropped: a settlement date is a date wherever one stands.
    """
    _check_formats(formats)

    def stages(cells: pl.Series) -> pl.Series:
        frame = cells.to_frame("text")
        read = _read_cells(frame, formats, named_zone=False).with_columns(
            pl.coalesce("local", pl.col("aware").dt.replace_time_zone(None)).alias("wall")
        )
        day = pl.when(pl.col("code").is_null()).then(pl.col("wall").dt.date())
        return read.select(date=day, code="code").to_struct(cells.name)

    return text.map_batches(stages, return_dtype=_DATE, is_elementwise=True)


@cache
def zone_of(text: str) -> str | timedelta | None:
    """What a zone text means: an IANA name, a fixed offset, or None when nobody knows it."""
    word = text.strip()
    if word in ZONE_WORDS:
        return ZONE_WORDS[word]
    if word in available_timezones():
        return word
    found = _OFFSET.match(word)
    if found:
        size = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        return -size if found[1] == "-" else size
    return None


def _check_formats(formats: Sequence[str]) -> None:
    if not formats:
        raise SettingsError(
            'no time format is declared; add `date_formats = ["%Y-%m-%d %H:%M:%S"]` to the layout'
        )
    for text in formats:
        if text == EPOCH:
            continue
        used = re.findall(r"%[-_0]?(?:\.?[0-9]?)?([A-Za-z])", text)
        unknown = [d for d in used if d not in _DIRECTIVES]
        if unknown:
            raise SettingsError(f"the time format {text!r} holds %{unknown[0]}, which is not read")
        if not {"Y", "y", "F", "D"} & set(used):
            raise SettingsError(
                f'the time format {text!r} names no year; write such as "%d/%m/%Y", or {EPOCH!r}'
            )
        try:
            pl.Series(["x"]).str.to_datetime(_chrono(text), strict=False, time_unit="us")
        except pl.exceptions.PolarsError as why:
            reason = str(why).split("\n", maxsplit=1)[0]
            raise SettingsError(f"the time format {text!r} cannot be read: {reason}") from None


def _chrono(text: str) -> str:
    """Python's spelling of a fraction (`.%f`) in the spelling that polars reads (`%.f`)."""
    return text.replace(".%f", "%.f")


def _precision(text: str) -> str:
    if text == EPOCH or "%S" in text or "%T" in text:
        return "second"
    return "minute" if re.search(r"%[HIRkl]", text) else "date"


def _read_cells(cells: pl.DataFrame, formats: Sequence[str], *, named_zone: bool) -> pl.DataFrame:
    """Stage one: local time or instant, precision and code of every cell.

    Staged frames, not one expression: polars would evaluate a shared subexpression once per use.
    """
    body = pl.col("text").str.strip_chars()
    frame = cells.with_columns(body=pl.when(body == "").then(None).otherwise(body))
    if named_zone:
        after = pl.col("body").str.extract(_TRAILING_ZONE, 2)
        frame = frame.with_columns(
            suffix=pl.when(after.str.contains(_MERIDIEM)).then(None).otherwise(after)
        ).with_columns(
            body=pl.when(pl.col("suffix").is_not_null())
            .then(pl.col("body").str.extract(_TRAILING_ZONE, 1))
            .otherwise("body")
        )
    else:
        frame = frame.with_columns(suffix=pl.lit(None, dtype=pl.String))
    kinds: dict[str, list[str]] = {"local": [], "aware": []}
    precision = pl.lit(None, dtype=pl.String)
    for number, text in reversed(list(enumerate(formats))):
        read = f"read_{number}"
        kind, value = _one_format(pl.col("body"), text)
        frame = frame.with_columns(value.alias(read))
        # `%Y` takes `26` for the year 26: before the year 1000 the format does not fit.
        fits = pl.col(read).dt.year() >= 1000
        frame = frame.with_columns(pl.when(fits).then(pl.col(read)).alias(read))
        kinds[kind].insert(0, read)
        said = pl.lit(_precision(text))
        precision = pl.when(pl.col(read).is_not_null()).then(said).otherwise(precision)
    disputed = pl.lit(value=False)
    for reads in kinds.values():
        if len(reads) > 1:
            low, high = pl.min_horizontal(reads), pl.max_horizontal(reads)
            disputed = disputed | (low != high).fill_null(value=False)
    frame = frame.with_columns(
        pl.coalesce(*kinds["local"], pl.lit(None, dtype=_NAIVE)).alias("local"),
        pl.coalesce(*kinds["aware"], pl.lit(None, dtype=UTC)).alias("aware"),
        precision.alias("precision"),
        disputed.alias("disputed"),
    )
    wall = pl.coalesce("local", pl.col("aware").dt.replace_time_zone(None))
    code = (
        pl.when(pl.col("body").is_null())
        .then(None)
        .when("disputed")
        .then(pl.lit("time_format_ambiguous"))
        .when(wall.is_null())
        .then(pl.lit("time_unreadable"))
        .when(_is_placeholder(wall))
        .then(pl.lit("time_placeholder"))
        .otherwise(None)
    )
    return frame.with_columns(code=code)


def _one_format(body: pl.Expr, text: str) -> tuple[str, pl.Expr]:
    if text == EPOCH:
        return "aware", _epoch(body)
    if "%z" in text:
        with_offset = body.str.replace(r"\s?[Zz]$", "+00:00")
        return "aware", with_offset.str.strptime(UTC, _chrono(text), strict=False, exact=True)
    return "local", body.str.strptime(_NAIVE, _chrono(text), strict=False, exact=True)


def _epoch(body: pl.Expr) -> pl.Expr:
    digits = pl.when(body.str.contains(r"^[0-9]{1,14}(\.[0-9]+)?$")).then(body).otherwise(None)
    whole = digits.str.extract(r"^([0-9]+)").cast(pl.Int64, strict=False)
    fraction = digits.str.extract(r"\.([0-9]+)$").str.pad_end(6, "0").str.head(6)
    micros = pl.coalesce(fraction.cast(pl.Int64, strict=False), pl.lit(0))
    instant = (
        pl.when(whole < _Z_SECONDS_MAX)
        .then(whole * 1_000_000 + micros)
        .when(whole < _Z_MILLIS_MAX)
        .then(whole * 1_000)
        .otherwise(None)
    )
    return pl.from_epoch(instant, time_unit="us").dt.replace_time_zone("UTC")


def _is_placeholder(wall: pl.Expr) -> pl.Expr:
    first = (wall.dt.year() == 1970) & (wall.dt.ordinal_day() == 1)
    return first | (wall.dt.year() <= 1900) | (wall.dt.year() >= 9999)


def _place_cells(frame: pl.DataFrame, name: str | None, name_source: str) -> pl.DataFrame:
    """Stage two: put local times into their zones, and keep the four columns of the answer."""
    column = pl.col("column").str.strip_chars()
    frame = frame.with_columns(column=pl.when(column == "").then(None).otherwise(column))
    lasts = frame["suffix"].null_count() == frame.height == frame["column"].null_count()
    if lasts and name is not None:
        frame = _place_zone(frame, name)
    else:
        zone = pl.coalesce("suffix", "column", pl.lit(name, dtype=pl.String))
        parts = [
            _place_zone(part, key[0])
            for key, part in frame.with_columns(zone=zone)
            .with_row_index("at")
            .group_by("zone", maintain_order=True)
        ]
        frame = pl.concat(parts).sort("at") if parts else _place_zone(frame, None)
    aware = pl.col("aware").is_not_null()
    code = pl.coalesce("code", pl.when(~aware & pl.col("local").is_not_null()).then("misplaced"))
    frame = frame.with_columns(code=code, ts=pl.coalesce("aware", "placed"))
    read = pl.col("code").is_null() & pl.col("body").is_not_null()
    source = (
        pl.when(aware)
        .then(pl.lit("offset in value"))
        .when(pl.col("suffix").is_not_null())
        .then(pl.lit("zone in value"))
        .when(pl.col("column").is_not_null())
        .then(pl.lit("column"))
        .otherwise(pl.lit(name_source))
    )
    return frame.select(
        pl.when(read).then("ts").alias("ts"),
        pl.when(read).then("precision").alias("precision"),
        pl.when(read).then(source).alias("tz_source"),
        "code",
    )


def _place_zone(frame: pl.DataFrame, zone: object) -> pl.DataFrame:
    """Columns `placed` (instant) and `misplaced` (code) of local times in one zone.

    A day starts at its first instant: one o'clock where the clocks jump at midnight, the earlier
    of two midnights where they fall back.
    """
    meaning = None if zone is None else zone_of(str(zone))
    none = pl.lit(None, dtype=pl.String)
    local = pl.col("local")
    if meaning is None:
        code = "time_zone_missing" if zone is None else "time_zone_unknown"
        return frame.with_columns(
            placed=pl.lit(None, dtype=UTC), misplaced=pl.lit(code, dtype=pl.String)
        )
    if isinstance(meaning, timedelta):
        placed = (local - pl.lit(meaning)).dt.replace_time_zone("UTC")
        return frame.with_columns(placed=placed.cast(UTC), misplaced=none)
    if meaning in {"UTC", "Etc/UTC"}:
        return frame.with_columns(placed=local.dt.replace_time_zone("UTC"), misplaced=none)
    frame = frame.with_columns(
        once=local.dt.replace_time_zone(meaning, ambiguous="null", non_existent="null")
        .dt.convert_time_zone("UTC")
        .cast(UTC)
    )
    odd = local.is_not_null() & pl.col("once").is_null()
    if not frame.select(odd.any()).item():
        return frame.rename({"once": "placed"}).with_columns(misplaced=none)
    utc_of = [
        moment.dt.replace_time_zone(meaning, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .cast(UTC)
        for moment in (local, local.dt.offset_by("1h"))
    ]
    is_date = pl.col("precision") == "date"
    lost = pl.when(utc_of[0].is_null())
    word = lost.then(pl.lit("time_nonexistent")).otherwise(pl.lit("time_ambiguous"))
    return frame.with_columns(
        placed=pl.when(is_date).then(pl.coalesce(utc_of)).otherwise("once"),
        misplaced=pl.when(odd & ~is_date).then(word),
    ).drop("once")
