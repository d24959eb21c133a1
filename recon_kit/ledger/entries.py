"""What people say and promise: appended row by row, each a commit of its own in the chain."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from recon_kit import model
from recon_kit.errors import LedgerError, nearest
from recon_kit.ledger import leases
from recon_kit.ledger.catalog import Catalog, Reader
from recon_kit.ledger.tables import SAID, TABLES

STREAMS: tuple[str, ...] = ("work", "audit", "imported")


def append(catalog: Catalog, table: str, rows: pl.DataFrame, recorded_at: datetime) -> int:
    """Append rows to one of the tables that people write; see `Store.append`."""
    if table not in SAID:
        raise LedgerError(f"no table to append to is called {table!r}; {nearest(table, SAID)}")
    columns = TABLES[table].columns
    for name in rows.columns:
        if name not in columns or name == "seq":
            raise LedgerError(f"table {table!r} takes no column {name!r}; {nearest(name, columns)}")
    if rows.is_empty():
        return 0
    complete = rows.with_columns(
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in columns.items()
        if name not in rows.columns and name != "seq"
    ).with_columns(pl.lit(recorded_at).alias("recorded_at"))
    with catalog.locked_write(f"recording {table}") as writer:
        if table == "decisions":
            _check_decisions(complete, writer)
            leases.check(writer, complete, recorded_at)
        first = writer.seq
        for row in complete.iter_rows(named=True):
            writer.insert(table, **row)
            writer.link(table)
    return first


def in_force(decisions: pl.DataFrame) -> pl.DataFrame:
    """Decisions that are not undone; rows that undo are not decisions to apply themselves.

    Args:
        decisions: rows of `model.DECISION_SCHEMA`; an undo names in `undoes` the seq it takes back.

    Returns:
        The rows in force, by seq.
    """
    standing = ~pl.col("seq").is_in(sorted(undone(decisions)))
    return decisions.filter(pl.col("undoes").is_null() & standing).sort("seq")


def undone(decisions: pl.DataFrame) -> set[int]:
    """Sequences of the rows that are taken back; an undo of an undo brings the first row back."""
    taken: set[int] = set()
    undos = decisions.filter(pl.col("undoes").is_not_null()).sort("seq", descending=True)
    # An undo is always younger than what it takes back, so the youngest word is heard first.
    for seq, target in undos.select("seq", "undoes").iter_rows():
        if seq not in taken:
            taken.add(target)
    return taken


def _check_decisions(rows: pl.DataFrame, before: Reader) -> None:
    """Raise where a row says nothing the ledger knows how to keep."""
    plain = rows.filter(pl.col("undoes").is_null())
    for name, known in (("verdict", model.VERDICTS), ("stream", STREAMS)):
        for value in plain[name].unique().sort().to_list():
            if value not in known:
                raise LedgerError(f"{value!r} is no {name}; {nearest(str(value), known)}")
    for target in rows["undoes"].drop_nulls().unique().sort().to_list():
        if before.value("select seq from decisions where seq = ?", (target,)) is None:
            raise LedgerError(f"there is no decision {target} to undo.")
