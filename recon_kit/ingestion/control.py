"""The total that a file tells of itself, held against what its rows add up to.

A layout's `control_regex` finds the line, below the rows or above the header, and names what it
tells by groups: `(?P<records>...)` rows, and sums such as `(?P<amount>...)` as the rows print
them, before any sign is turned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from recon_kit import money
from recon_kit.errors import FileRejectedError
from recon_kit.ingestion.feed import FileFacts
from recon_kit.settings import Layout

SUMS_SCHEMA: dict[str, pl.DataType] = {
    "field": pl.String(), "currency": pl.String(), "rows": pl.Int64(), "unread": pl.Int64(),
    "minor": pl.Int128(),
}  # fmt: skip
_LOST = "Ask for the file again: rows were lost or added on its way."


def sums_of(cells: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """What one block of text cells adds up to, per field that the control line tells.

    Returns:
        Columns of `SUMS_SCHEMA`; a row of field `records` counts the block's rows.
    """
    currency = pl.lit(None, dtype=pl.String)
    if "currency" in cells.columns:
        currency = pl.col("currency").str.to_uppercase()
    frames = [_shaped(pl.DataFrame({"field": ["records"], "rows": [cells.height]}))]
    for field in _told_sums(layout):
        if field not in cells.columns:
            continue
        read = money.parse_amounts(
            pl.col(field), currency, decimal=layout.decimal, thousands=layout.thousands,
            unit=layout.unit,
        )  # fmt: skip
        parsed = cells.select(currency.alias("currency"), read.alias("read")).unnest("read")
        told = pl.when(pl.col("minor").is_not_null()).then("currency")
        summed = parsed.group_by(told.alias("currency")).agg(
            pl.col("code").is_not_null().sum().alias("unread"),
            pl.col("minor").cast(pl.Int128).sum(),
        )
        frames.append(_shaped(summed.with_columns(pl.lit(field).alias("field"))))
    return pl.concat(frames)


def check(
    file: str, layout: Layout, lines: Sequence[str], facts: FileFacts, sums: pl.DataFrame
) -> dict[str, int]:
    """Hold the file's own total against its rows; returns warnings where it could not be checked.

    Args:
        file: what messages call it.
        layout: has a `control_regex`.
        lines: the lines above the header; those below stand in `facts`.
        facts: the footers, and how many rows were no records.
        sums: what `sums_of` told of all blocks.

    Raises:
        FileRejectedError: the total is missing, cannot be read, or differs.
    """
    told = _control_line(file, layout, (*lines, *facts.footers))
    rows = int(sums["rows"].sum()) + facts.unread
    if (records := told.pop("records", None)) is not None:
        wanted = re.sub(r"[^0-9]", "", records)
        if not wanted or int(wanted) != rows:
            raise _differs(file, f"{records} records where the file holds {rows:,}")
    warnings: dict[str, int] = {}
    for field, text in told.items():
        unchecked = _check_sum(file, layout, field, text, sums.filter(pl.col("field") == field))
        if unchecked or facts.unread:
            reason = unchecked or "a row is no record"
            warnings[f"the file's own total of {field} could not be checked: {reason}"] = 1
    return warnings


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame in the columns of `SUMS_SCHEMA`, with nothing where it tells nothing."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in SUMS_SCHEMA.items()
    )


def _told_sums(layout: Layout) -> list[str]:
    pattern = re.compile(layout.control_regex or "")
    return [name for name in pattern.groupindex if name != "records"]


def _control_line(file: str, layout: Layout, lines: Sequence[str]) -> dict[str, str]:
    pattern = re.compile(layout.control_regex or "")
    found = [m for line in lines if (m := pattern.search(line))]
    if not found:
        raise FileRejectedError(
            file,
            "control_missing",
            "no line tells the file's own total",
            "Check `control_regex`, `footer_regex` and `skip_rows` of the layout, or ask for the "
            "whole file.",
        )
    return {name: text.strip() for name, text in found[-1].groupdict().items() if text}


def _check_sum(file: str, layout: Layout, field: str, text: str, sums: pl.DataFrame) -> str:
    """Nothing where the sum ties, else why it could not be checked."""
    if int(sums["unread"].sum()):
        return "an amount among its rows cannot be read"
    by_currency = sums.filter(pl.col("currency").is_not_null())
    by_currency = by_currency.group_by("currency").agg(pl.col("minor").sum())
    if by_currency.height != 1:
        return "its rows are not of one currency"
    currency, minor = by_currency.row(0)
    wanted, code = money.parse_amount(
        text, currency, decimal=layout.decimal, thousands=layout.thousands, unit=layout.unit
    )
    if code is not None:
        raise _differs(file, f"{field} {text!r}, which is no amount in the layout's notation")
    if wanted != minor:
        shown = money.to_text(minor, currency)
        raise _differs(file, f"{field} {text} where its rows add up to {shown} {currency}")
    return ""


def _differs(file: str, how: str) -> FileRejectedError:
    return FileRejectedError(file, "control_differs", f"its own total says {how}", _LOST)
