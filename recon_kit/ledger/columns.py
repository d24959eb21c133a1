"""Columns of a polars schema as SQL: names, DuckDB types, a view over files or over nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.seal import parquet_list
from recon_kit.safe import quote_ident, quote_text

_DUCKDB = {
    pl.String: "varchar", pl.Int64: "bigint", pl.UInt64: "ubigint", pl.Float64: "double",
    pl.Boolean: "boolean", pl.Date: "date", pl.Datetime: "timestamptz",
}  # fmt: skip


def duckdb_types(schema: Mapping[str, pl.DataType]) -> dict[str, str]:
    """DuckDB's type names for a polars schema."""
    return {name: _DUCKDB[type(kind)] for name, kind in schema.items()}


def names(columns: Mapping[str, str]) -> str:
    """The columns as a select list."""
    return ", ".join(quote_ident(c) for c in columns)


def run_rows(table: str, source: str) -> str:
    """A query of the rows of a run table, for writing them.

    Columns of few words (`model.FEW_WORDS`) are handed over as numbers of their words, so that
    nobody looks for repeats in millions of texts. Whoever reads the file finds texts.
    """
    few = model.FEW_WORDS.get(table, {})
    told = (
        f"cast({quote_ident(c)} as enum({', '.join(map(quote_text, few[c]))})) as {quote_ident(c)}"
        if c in few
        else quote_ident(c)
        for c in model.RUN_TABLES[table]
    )
    return f"select {', '.join(told)} from {source}"


def nothing(columns: Mapping[str, str]) -> str:
    """A query of no rows in these columns."""
    typed = ", ".join(f"cast(null as {kind}) as {quote_ident(c)}" for c, kind in columns.items())
    return f"select {typed} where false"


def stored(files: Sequence[Path], columns: Mapping[str, str]) -> str:
    """A query of the rows of these files; of no rows where there is no file."""
    return f"select {names(columns)} from {parquet_list(files)}" if files else nothing(columns)
