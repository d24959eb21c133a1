"""Where a declared field comes from: the six ways of `settings.Column` as text expressions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from recon_kit.errors import SettingsError
from recon_kit.ingestion.feed import ROW, Header
from recon_kit.settings import Column

_BLANKS = " \t\r\n\u00a0\u200b\u202f\ufeff"


def check_patterns(columns: Iterable[tuple[str, Column]]) -> None:
    """Refuse `extract` patterns that the column engine cannot run (look-around, references)."""
    for name, column in columns:
        if column.extract is not None:
            try:
                pl.Series([""]).str.extract(column.extract, _group(column.extract))
            except pl.exceptions.ComputeError as why:
                reason = str(why).split("\n", maxsplit=1)[0]
                raise SettingsError(
                    f"columns.{name}: `extract` cannot be run ({reason}); look-around and "
                    "back-references are not available"
                ) from None


def wanted_names(column: Column) -> tuple[str, ...]:
    """Spellings of the file's column that a field needs; none for a constant."""
    return column.names or column.origin or column.join[:1]


def is_present(column: Column, header: Header) -> bool:
    """Whether the file has what the field is read from."""
    if column.value is not None:
        return True
    if column.join:
        return any(name in header for name in column.join)
    return header.actual(*column.names, *column.origin) is not None


def cell(column: Column, header: Header, nulls: Sequence[str]) -> pl.Expr:
    """Text of one declared field: trimmed, declared nulls as null, translated by its map."""
    if column.value is not None:
        text = pl.lit(column.value, dtype=pl.String)
    elif column.join:
        parts = [_clean(header.actual(name), nulls) for name in column.join if name in header]
        joined = pl.concat_str(parts, separator=column.separator, ignore_nulls=True)
        text = pl.when(joined == "").then(None).otherwise(joined) if parts else _nothing()
    elif column.origin and column.extract is not None:
        found = _clean(header.actual(*column.origin), nulls)
        text = found.str.extract(column.extract, _group(column.extract))
    else:
        text = _clean(header.actual(*column.names), nulls)
    if column.map:
        text = text.replace(list(column.map), list(column.map.values()))
    return text


def _clean(actual: str | None, nulls: Sequence[str]) -> pl.Expr:
    if actual is None:
        return _nothing()
    text = pl.col(actual).str.strip_chars(_BLANKS)
    return pl.when(text.is_in(["", *nulls])).then(None).otherwise(text)


def _nothing() -> pl.Expr:
    return pl.lit(None, dtype=pl.String)


def _group(pattern: str) -> int:
    """1 where the pattern has a group, else 0 (the whole of it)."""
    try:
        return 1 if pl.Series([""]).str.extract_groups(pattern).struct.fields else 0
    except pl.exceptions.ComputeError:
        return 0


def row_frame(records: pl.DataFrame, cells: dict[str, pl.Expr]) -> pl.DataFrame:
    """The declared fields of one block as text, beside the row number."""
    return records.select(pl.col(ROW), *(e.alias(name) for name, e in cells.items()))
