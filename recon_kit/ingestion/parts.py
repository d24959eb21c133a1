"""Parts that the feeds of vendors share: options, problems by row, addresses, lossy ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from recon_kit import model, money
from recon_kit.errors import FileRejectedError, SettingsError
from recon_kit.ingestion import times
from recon_kit.ingestion.feed import PROBLEM_SCHEMA, ROW, Feed, normal_header
from recon_kit.settings import Source

NO_TEXT = pl.lit(None, dtype=pl.String)

# What the settings of a vendor's source can do about a row that cannot be read.
WAYS_OUT: dict[str, str] = {
    "amount_unreadable": money.AMOUNT_PROBLEMS["amount_unreadable"]
    + "; declare them in `options` of the source",
    "amount_ambiguous": money.AMOUNT_PROBLEMS["amount_ambiguous"] + " in `options` of the source",
    "time_unreadable": times.TIME_PROBLEMS["time_unreadable"]
    + "; add its own to `date_formats` in `options` of the source",
}

# Fields that say which fact this is and how much money it moved. A vendor's export may be told
# again with other columns chosen, with metadata edited and with late fields filled; such changes
# are no conflict, a change of one of these is.
MONEY_MOVED: tuple[str, ...] = (
    "event_id", "event_type", "amount", "fee", "net", "currency", "event_ts",
)  # fmt: skip


def all_but(fixed: Iterable[str]) -> tuple[str, ...]:
    """Every field of an event that may change when only `fixed` may not."""
    kept = set(fixed)
    return tuple(f for f in (*model.MONEY_FACTS, *model.PERSONAL_FACTS) if f not in kept)


def option_text(source: Source, name: str) -> str | None:
    """One option of a source as text, or None when it is not set."""
    value = source.options.get(name)
    if value is None or isinstance(value, str):
        return value
    raise SettingsError(
        f"source {source.name!r}: options.{name} must be a text, such as {name}='x'"
    )


def option_texts(source: Source, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """An option that is one text or a list of texts."""
    value = source.options.get(name, default)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, tuple):
        return value
    raise SettingsError(f"source {source.name!r}: options.{name} must be a list of texts")


def option_switch(source: Source, name: str, *, default: bool) -> bool:
    """An option that is true or false."""
    value = source.options.get(name, default)
    if isinstance(value, bool):
        return value
    raise SettingsError(f"source {source.name!r}: options.{name} must be true or false")


def known_options(source: Source, feed: type[Feed], names: Sequence[str]) -> None:
    """Refuse an option that the feed does not know, so that a typing error is not silence."""
    unknown = sorted(set(source.options) - set(names))
    if unknown:
        raise SettingsError(
            f"source {source.name!r}: feed {feed.name!r} has no option {unknown[0]!r}; "
            f"it knows {', '.join(sorted(names))}"
        )


def pattern_option(source: Source, name: str, default: str) -> str:
    """An option that is a regular expression, checked before any file is read."""
    pattern = option_text(source, name) or default
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as why:
        first = str(why).splitlines()[0]
        raise SettingsError(
            f"source {source.name!r}: options.{name} is no regular expression ({first}); "
            "look-around and back-references are not available"
        ) from None
    return pattern


def extract(text: pl.Expr, pattern: str) -> pl.Expr:
    """The first group of a pattern, or all of it where it has no group."""
    grouped = pl.Series([""]).str.extract_groups(pattern).struct.fields
    return text.str.extract(pattern, 1 if grouped else 0)


def delimiter_of(head: str, known: Iterable[str], first: int = 0) -> str:
    r"""The mark (`,`, `;`, tab or `|`) under which the header line has most known names.

    This is a check against the vendor's own column names, not a guess from the data.

    Args:
        head: the first characters of the file.
        known: column names of the feed, in any accepted spelling.
        first: index of the header line.
    """
    lines = head.splitlines()
    line = lines[first] if first < len(lines) else ""
    names = {normal_header(n) for n in known}

    def hits(mark: str) -> int:
        cells = (cell.strip().strip('"') for cell in line.split(mark))
        return sum(normal_header(cell) in names for cell in cells)

    return max((",", ";", "\t", "|"), key=hits)


def zone_missing(file: str, column: str, remedy: str) -> FileRejectedError:
    """The error for local times whose zone nobody has declared."""
    return FileRejectedError(
        file, "timezone_missing", f"the times of {column!r} carry no zone and none is declared",
        remedy,
    )  # fmt: skip


def first_problem(*checks: tuple[pl.Expr, str]) -> list[pl.Expr]:
    """Columns `code` and `column` of the first check that a row fails, both null if none.

    Args:
        checks: an expression giving a code or null, and the column it is about.
    """
    column = [pl.when(code.is_not_null()).then(pl.lit(name)) for code, name in checks]
    return [
        pl.coalesce([code for code, _ in checks]).alias("code"),
        pl.coalesce(column).alias("column"),
    ]


def problem_frame(rows: pl.DataFrame, texts: Mapping[str, str]) -> pl.DataFrame:
    """Quarantined records from rows that hold `record_row`, `records`, `code` and `column`."""
    message = pl.col("code").replace_strict(
        list(texts), list(texts.values()), default=pl.col("code"), return_dtype=pl.String
    )
    return rows.select(
        pl.col(ROW).alias("record_row"), "records", "code", "column", message.alias("message")
    ).cast(PROBLEM_SCHEMA)  # type: ignore[arg-type]


def joined(*parts: pl.Expr) -> pl.Expr:
    """Text parts that are present, with commas between; null when none is."""
    text = pl.concat_str(list(parts), separator=", ", ignore_nulls=True)
    return pl.when(text == "").then(None).otherwise(text)


def upper_code(text: pl.Expr) -> pl.Expr:
    """A currency code in capitals (`usd` and `USD` occur in one file)."""
    return text.str.to_uppercase()


def snake(text: pl.Expr) -> pl.Expr:
    """A status in lower snake case."""
    return text.str.to_lowercase().str.replace_all(r"[\s\-]+", "_")


def is_lossy(text: pl.Expr) -> pl.Expr:
    """Whether an id has been through a spreadsheet that rounded it (`1.23457E+15`)."""
    return text.str.contains(model.LOSSY_ID).fill_null(value=False)


def no_time() -> pl.Expr:
    """What `times.parse_times` gives for a column that the file does not have."""
    none = pl.lit(None, dtype=pl.String)
    return pl.struct(ts=pl.lit(None, dtype=model.UTC), precision=none, tz_source=none, code=none)
