"""The column that says when, and the columns beside it that say the time of day and the zone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import polars as pl

from recon_kit.ingestion import times, words
from recon_kit.ingestion.feed import normal_header
from recon_kit.ingestion.guess import ColumnGuess
from recon_kit.ingestion.vendor_marks import marks

_TIMES_OF_DAY: tuple[tuple[str, str], ...] = (
    (r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}", "%H:%M:%S"),
    (r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}\.[0-9]+", "%H:%M:%S%.f"),
    (r"[0-9]{1,2}:[0-9]{2}", "%H:%M"),
    (r"[0-9]{1,2}:[0-9]{2}:[0-9]{2} [AaPp][Mm]", "%I:%M:%S %p"),
    (r"[0-9]{1,2}:[0-9]{2} [AaPp][Mm]", "%I:%M %p"),
)
_MOSTLY = 0.9  # a column that fewer rows fill is not the time of each row


def told_most(
    columns: Iterable[str], guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame
) -> list[str]:
    """Columns in the order in which like words are preferred.

    Of days and times those that few rows fill come last; of a day and a time the time says more.
    """

    def rank(column: str) -> tuple[bool, bool]:
        few = bool(guesses[column].formats) and _filled(rows, column) < _MOSTLY
        return few, guesses[column].kind != "timestamp"

    return sorted(columns, key=rank)


def beside(
    chosen: Mapping[str, str], guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame
) -> dict[str, str]:
    """The columns of the time of day and of the zone, where the day's own column tells neither."""
    when = chosen.get("event_ts")
    if when is None or when not in rows.columns:
        return {}
    found: dict[str, str] = {}
    names = {normal_header(c): c for c in guesses if c in rows.columns}
    of_day = next((c for n, c in names.items() if re.fullmatch(words.TIME_OF_DAY, n)), None)
    if guesses[when].kind == "date" and of_day is not None and _behind(rows, of_day) is not None:
        found["time"] = of_day
    zone = next((c for n, c in names.items() if re.fullmatch(words.TIME_ZONE, n)), None)
    if zone is not None and "%z" not in guesses[when].formats[0]:
        told = marks(rows[zone])
        if told and all(times.zone_of(text) is not None for text in told):
            found["zone"] = zone
    return found


def format_behind(chosen: Mapping[str, str], rows: pl.DataFrame) -> str:
    """What the format of the day is followed by, where its time stands in a column of its own."""
    text = _behind(rows, chosen["time"]) if "time" in chosen else None
    return f" {text}" if text is not None else ""


def _behind(rows: pl.DataFrame, column: str) -> str | None:
    """The one format of all times of day in a column; none where a row has no time."""
    told = marks(rows[column])
    if _filled(rows, column) < 1:
        return None
    fits = (text for p, text in _TIMES_OF_DAY if all(re.fullmatch(p, t) for t in told))
    return next(fits, None)


def _filled(rows: pl.DataFrame, column: str) -> float:
    """Share of the rows in which a column says something."""
    if column not in rows.columns or rows.is_empty():
        return 1.0
    said = rows[column].cast(pl.String).str.strip_chars().str.len_chars().fill_null(0) > 0
    return float(said.sum()) / rows.height
