"""One amount in two columns: money that went out, and money that came in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import polars as pl

from recon_kit.ingestion import words
from recon_kit.ingestion.feed import normal_header
from recon_kit.ingestion.guess import ColumnGuess

_SHARE_MIN = 0.98  # of the rows with either amount, so many have one of them alone
_NO_BLANKS = "\u3000"  # scripts from here on write words without blanks between them
_LOOKED_AT = 4  # amounts among which two that are never told together are looked for


def debit_credit_pair(guesses: Mapping[str, ColumnGuess]) -> tuple[str, str] | None:
    """The first two columns that are called alike but for `debit` and `credit`, in any language.

    One of them may be empty in this file: a month without refunds has no debits.
    """
    money = {
        normal_header(c): c for c, g in guesses.items() if g.kind in {"amount", "count", "empty"}
    }
    for name, column in money.items():
        for out, in_ in words.OUT_AND_IN:
            other = money.get(re.sub(_word(out), in_, name))
            filled = {guesses[c].kind for c in (column, other) if c is not None} - {"empty"}
            if other is not None and other != column and filled:
                return column, other
    return None


def parted(rows: pl.DataFrame, amounts: Sequence[str]) -> tuple[str, str] | None:
    """Two of these amounts of which each row tells one alone: money out and money in.

    No word says which is which: a column that prints minus signs goes out, else the first does.
    """
    for first, second in combinations([a for a in amounts if a in rows.columns][:_LOOKED_AT], 2):
        told = [pl.col(c).cast(pl.String).str.contains("[1-9]").fill_null(value=False)
                for c in (first, second)]  # fmt: skip
        either = rows.select(a=told[0], b=told[1]).filter(pl.col("a") | pl.col("b"))
        alone = either.filter(pl.col("a") != pl.col("b"))
        both_used = 0 < int(either["a"].sum()) < either.height
        if both_used and alone.height >= _SHARE_MIN * either.height:
            minus = rows[second].cast(pl.String).str.contains(r"^\s*[-(\x{2212}]").any()
            return (second, first) if minus else (first, second)
    return None


def is_named(debit: str) -> bool:
    """Whether a column's own words say that its money goes out."""
    name = normal_header(debit)
    return any(re.fullmatch(p, name) for p in words.FIELD_WORDS["debit"]) or any(
        re.search(_word(out), name) for out, _ in words.OUT_AND_IN
    )


def _word(word: str) -> str:
    """A pattern of a whole word; some scripts put no mark between words."""
    return rf"\b{word}\b" if word < _NO_BLANKS else word
