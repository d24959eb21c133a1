"""Rows of a list that moved no money, by the words of its status: failed, declined, reverted."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from recon_kit.ingestion.vendor_marks import marks

# Of these lists a row says that money moved, unless its status says that it did not.
_MOVED = frozenset({"payment", "refund", "payout", "bank_line", "transfer"})
_NOTHING = re.compile(
    r"fail(ed|ure)|declined|denied|rejected|refused|cancell?ed|void(ed)?|revert(ed)?|expired"
    r"|blocked|incomplete|abandoned|uncaptured|requires[ _].*|fehlgeschlagen|abgelehnt|storniert"
)
_WORDS_MAX = 20  # more words than this are no list of states


def words_of_nothing(column: str | None, rows: pl.DataFrame) -> list[str]:
    """The words of a status column whose rows moved no money."""
    if column is None or column not in rows.columns:
        return []
    return [word for word in marks(rows[column]) if _NOTHING.fullmatch(word.casefold())]


def types_by_status(
    kind: str, column: str | None, rows: pl.DataFrame
) -> tuple[str, Mapping[str, str]] | None:
    """What each row is by its status, where some rows say that they moved nothing.

    Returns:
        The status column and the event type of each of its words: `other` for rows that moved
        nothing. None where no row says so, or where rows of this kind need move nothing.
    """
    nothing = words_of_nothing(column, rows)
    if kind not in _MOVED or column is None or not nothing:
        return None
    told = marks(rows[column])
    told_by_all = rows[column].cast(pl.String).str.strip_chars().str.len_chars().fill_null(0) > 0
    if len(told) > _WORDS_MAX or not told_by_all.all():
        return None
    return column, {word: "other" if word in nothing else kind for word in told}
