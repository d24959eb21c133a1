"""Tables for people: money aligned and never rounded, times in the workspace zone, all escaped.

A view names its columns once (`Column`); the same columns give an HTML table by great-tables and a
plain one for the terminal. Amounts stand in a cell of their own, their currency in the header when
the table has one, else in the cell beside, so that a pasted table stays a table of numbers.
Personal columns are masked by name, whoever built the frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from recon_kit import money, workdays
from recon_kit.safe import code_html, escape_html, masked_frame, prose_html

Kind = Literal[
    "text",
    "word",
    "code",
    "hash",
    "count",
    "money",
    "share",
    "number",
    "figure",
    "time",
    "day",
    "yes",
]
NOTHING = "–"
ROWS_SHOWN = 20
_TEXT_WIDTH_MAX = 76
_RIGHT = {"count", "money", "share", "number", "figure"}
# Where a line may be broken: in a run of letters that no line can hold, and after the underscore of
# a name. It is no character, so what is copied from a table is what was written.
_LONG_RUN = r"(\S{40})"
_MAY_BREAK, _BREAK = "\u200b", "<wbr>"
_WHOLE = {"time", "day", "word", "hash"}
_IDS = re.compile(r" (?:id|headers)=\"rk-[^\"]*\"")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    `kind` says how values are written: `money` takes minor units with the ISO code in the column
    `currency`, `share` a fraction from 0 to 1, `time` an instant (shown in the zone of the table),
    `day` a date or the day of an instant in that zone, `figure` a number that is already text,
    `word` a name of the product (underscores become blanks), `yes` a truth, `code` an id, `hash` a
    long one, which a page cuts and plain text does not. Where the column named by `precision` says
    `date`, a source told the day alone: it is shown as it was told, in every zone.
    """

    name: str
    label: str
    kind: Kind = "text"
    currency: str = "currency"
    precision: str = ""


# How a notebook's reader gets at the rows that a table leaves out.
IN_FRAME = "`.frame` has them all"


@dataclass(frozen=True, slots=True)
class _Asked:
    """How many rows the reader of a terminal asked for, and what brings the others."""

    rows: int | None = None
    more: str = IN_FRAME


_NOBODY_ASKED = _Asked()
# A view does not know who reads it: the command line knows, and every table of a view obeys.
_ASKED: ContextVar[_Asked] = ContextVar("asked", default=_NOBODY_ASKED)


@contextmanager
def asked_rows(rows: int | None, command: str) -> Iterator[None]:
    """Let plain tables show as many rows as somebody asked for.

    Args:
        rows: how many; as many as each table shows by itself, where nobody asked.
        command: what shows every row, as a table that is cut says below itself.
    """
    token = _ASKED.set(_Asked(rows, f"all of them: `{command}`"))
    try:
        yield
    finally:
        _ASKED.reset(token)


@dataclass(frozen=True, slots=True)
class Written:
    """A table as text: labels, what each column is, and a frame of strings without nulls."""

    labels: tuple[str, ...]
    kinds: tuple[Kind, ...]
    cells: pl.DataFrame


def written(frame: pl.DataFrame, columns: Sequence[Column], zone: str = "UTC") -> Written:
    """Write a frame's values as people read them.

    Args:
        frame: any frame; columns that are not named are left out, named ones may be missing.
        columns: what to show, in order.
        zone: IANA zone for times.
    """
    frame = masked_frame(frame)
    present = [c for c in columns if c.name in frame.columns]
    # A column without any value says nothing; the first one stays, because it heads the rows.
    present = [c for c in present if c is present[0] or frame[c.name].null_count() < frame.height]
    labels: list[str] = []
    kinds: list[Kind] = []
    cells: list[pl.Expr] = []
    for place, column in enumerate(present):
        label, beside = column.label, False
        if column.kind == "money":
            label, beside = _currency_place(frame, present, place)
        labels.append(label)
        kinds.append(column.kind)
        cells.append(
            _text_of(column, zone, frame.schema).fill_null(NOTHING).alias(f"c{len(cells)}")
        )
        if beside:
            labels.append("Currency")
            kinds.append("text")
            cells.append(pl.col(column.currency).fill_null("").alias(f"c{len(cells)}"))
    return Written(tuple(labels), tuple(kinds), frame.select(cells))


def html(  # noqa: PLR0913 - what a table is made of, each part with a default
    frame: pl.DataFrame,
    columns: Sequence[Column],
    *,
    caption: str,
    zone: str = "UTC",
    rows_max: int = ROWS_SHOWN,
    more: str = "",
) -> str:
    """A frame as an HTML table that scrolls on a screen and breaks well on paper.

    Args:
        frame: rows in the order in which they are to be shown.
        columns: what to show; the first column heads its row.
        caption: what the table says, in words.
        zone: IANA zone for times.
        rows_max: rows to show; a note tells how many there are in all.
        more: what the note says of the others, such as `IN_FRAME`.
    """
    if frame.is_empty():
        return f'<p class="rk-empty">{escape_html(caption)}: none.</p>'
    told = written(frame.head(rows_max), columns, zone)
    name = escape_html(caption)
    return (
        f'<div class="rk-table" role="region" aria-label="{name}" tabindex="0">'
        f"{_element(told, name)}</div>{_note(frame.height, rows_max, more)}"
    )


def plain(
    frame: pl.DataFrame,
    columns: Sequence[Column],
    *,
    zone: str = "UTC",
    rows_max: int = ROWS_SHOWN,
) -> str:
    """A frame as aligned plain text, and below it how to see the rows that are left out.

    Long texts are cut with an ellipsis, but not those of the last column, which push nothing aside.
    `asked_rows` may ask for more rows, or fewer.
    """
    if frame.is_empty():
        return "(none)"
    asked = _ASKED.get()
    rows_max = rows_max if asked.rows is None else asked.rows
    told = written(frame.head(rows_max), columns, zone)
    last = len(told.labels) - 1
    table = [
        [label, *(_flat(cell) if i == last else _cut(cell) for cell in told.cells[:, i])]
        for i, label in enumerate(told.labels)
    ]
    widths = [max(len(cell) for cell in column) for column in table]
    lines = []
    for row in zip(*table, strict=True):
        cells = [
            cell.rjust(width) if kind in _RIGHT else cell.ljust(width)
            for cell, width, kind in zip(row, widths, told.kinds, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * min(width, _TEXT_WIDTH_MAX) for width in widths))
    if frame.height > rows_max:
        lines.append(f"... {rows_max:,} of {frame.height:,} rows; {asked.more}")
    return "\n".join(lines)


def money_text(minor: pl.Expr, currency: pl.Expr) -> pl.Expr:
    """Minor units as exact text with grouped thousands (`-1,234.50`); null stays null."""
    exact = money.text_expr(minor, currency)
    whole = exact.str.extract(r"^-?([0-9]+)", 1)
    rest = exact.str.extract(r"(\.[0-9]+)$", 1).fill_null("")
    sign = pl.when(minor < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str([sign, _grouped(whole), rest])


def share_text(share: pl.Expr) -> pl.Expr:
    """A fraction as per cent with one decimal; 100.0 % and 0.0 % only where it is exactly so."""
    tenths = (share * 1000).round(0).cast(pl.Int64)
    number = pl.concat_str(
        [(tenths // 10).cast(pl.String), pl.lit("."), (tenths % 10).cast(pl.String)]
    )
    return (
        pl.when(share.is_null() | share.is_nan())
        .then(None)
        .when((share < 1) & (tenths >= 1000))
        .then(pl.lit(">99.9 %"))
        .when((share > 0) & (tenths < 1))
        .then(pl.lit("<0.1 %"))
        .otherwise(number + " %")
    )


def count_text(number: pl.Expr) -> pl.Expr:
    """A whole number with grouped thousands; null stays null."""
    sign = pl.when(number < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str([sign, _grouped(number.cast(pl.Int64).abs().cast(pl.String))])


def one_share(numerator: int, denominator: int) -> str:
    """A single share as text; `–` where there is nothing to share."""
    if denominator == 0:
        return NOTHING
    return str(pl.select(share_text(pl.lit(numerator / denominator))).item())


def one_money(minor: int | None, currency: str | None) -> str:
    """A single amount with its currency: `1,234.50 EUR`."""
    if minor is None or currency is None:
        return "unknown"
    return f"{pl.select(money_text(pl.lit(minor), pl.lit(currency))).item()} {currency}"


def _grouped(digits: pl.Expr) -> pl.Expr:
    turned = digits.str.reverse().str.replace_all(r"([0-9]{3})", "${1},")
    return turned.str.strip_chars_end(",").str.reverse()


def moment_text(ts: pl.Expr, zone: str, precision: pl.Expr, *, clock: bool = True) -> pl.Expr:
    """An instant as day and time in a zone; only the day where its source told no more."""
    local = ts.dt.convert_time_zone(zone).dt.strftime("%Y-%m-%d %H:%M" if clock else "%Y-%m-%d")
    told = workdays.told_day_expr(ts).dt.strftime("%Y-%m-%d")
    return pl.when(precision == "date").then(told).otherwise(local)


def _text_of(column: Column, zone: str, schema: pl.Schema) -> pl.Expr:
    value = pl.col(column.name)
    match column.kind:
        case "money":
            text = money_text(value.cast(pl.Int64), pl.col(column.currency))
        case "share":
            text = share_text(value.cast(pl.Float64))
        case "count":
            text = count_text(value)
        case "number":
            text = value.cast(pl.Float64).round(2).cast(pl.String)
        case "time":
            text = moment_text(value, zone, _precision(column, schema))
        case "day" if isinstance(schema[column.name], pl.Datetime):
            text = moment_text(value, zone, _precision(column, schema), clock=False)
        case "day":
            text = value.cast(pl.Date).dt.strftime("%Y-%m-%d")
        case "yes":
            text = pl.when(value).then(pl.lit("yes")).otherwise(pl.lit("no"))
        case "word":
            text = value.str.replace_all("_", " ", literal=True)
        case _:
            text = value.cast(pl.String)
    return text


def _precision(column: Column, schema: pl.Schema) -> pl.Expr:
    known = column.precision in schema
    return pl.col(column.precision) if known else pl.lit(None, pl.String)


def _currency_place(frame: pl.DataFrame, present: Sequence[Column], place: int) -> tuple[str, bool]:
    """Label of a money column, and whether the currency stands in a column after it."""
    column = present[place]
    known = frame[column.currency].drop_nulls().unique()
    if known.len() <= 1:
        return (f"{column.label} ({known[0]})" if known.len() else column.label), False
    following = present[place + 1] if place + 1 < len(present) else None
    if any(other.name == column.currency for other in present):
        return column.label, False
    shared = following is not None and (following.kind, following.currency) == (
        "money",
        column.currency,
    )
    return column.label, not shared


def _element(told: Written, name: str) -> str:
    """The table element alone: great-tables writes and escapes it, the style is ours."""
    from great_tables import GT

    right = [f"c{i}" for i, kind in enumerate(told.kinds) if kind in _RIGHT]
    left = [f"c{i}" for i, kind in enumerate(told.kinds) if kind not in _RIGHT | _WHOLE]
    # Nothing is centred here: the style gives that class to dates and words not to be broken.
    whole = [f"c{i}" for i, kind in enumerate(told.kinds) if kind in _WHOLE]
    labels: dict[str, Any] = {f"c{i}": label for i, label in enumerate(told.labels)}
    short = [pl.col(f"c{i}").str.head(10) for i, kind in enumerate(told.kinds) if kind == "hash"]
    words = [pl.col(f"c{i}").str.replace_all("_", f"_{_MAY_BREAK}", literal=True)
             for i, kind in enumerate(told.kinds) if kind == "text"]  # fmt: skip
    cells = (
        told.cells.with_columns(short)
        .with_columns(words)
        .with_columns(pl.all().str.replace_all(_LONG_RUN, f"${{1}}{_MAY_BREAK}"))
    )
    table = GT(cells, rowname_col="c0", id="rk").cols_label(**labels)
    table = table.tab_stubhead(label=told.labels[0])
    for align, names in (("right", right), ("left", left), ("center", whole)):
        if names:
            table = table.cols_align(align=align, columns=names)
    page = table.as_raw_html()
    body = page[page.index("<table") : page.rindex("</table>")] + "</table>"
    # Ids would repeat from table to table; scope ties cells to their headers as well.
    body = code_html(_IDS.sub("", body)).replace(_MAY_BREAK, _BREAK)
    start = body.index(">") + 1
    return f"{body[:start]}<caption>{name}</caption>{body[start:]}"


def _note(rows: int, rows_max: int, more: str) -> str:
    if rows <= rows_max:
        return ""
    told = f"{rows_max:,} of {rows:,} rows shown" + (f"; {more}" if more else "")
    return f'<p class="rk-note">{prose_html(told)}.</p>'


def _flat(cell: str) -> str:
    return " ".join(cell.split())


def _cut(cell: str) -> str:
    flat = _flat(cell)
    return flat if len(flat) <= _TEXT_WIDTH_MAX else flat[: _TEXT_WIDTH_MAX - 1] + "…"
