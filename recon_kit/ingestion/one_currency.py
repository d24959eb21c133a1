"""The one currency of a file whose rows tell none: from a column's name, a sign, another column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit import money
from recon_kit.ingestion import vendor_marks, words
from recon_kit.ingestion.feed import normal_header
from recon_kit.ingestion.guess import ColumnGuess
from recon_kit.ingestion.toml_block import quoted


def told(
    guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> tuple[str | None, str]:
    """The currency of all rows, where something tells it, and what does."""
    paid = [chosen[f] for f in ("amount", "debit", "credit") if f in chosen]
    named = _named(paid)
    if named is not None:
        return named, "from the name of the column"
    signed = _signed(guesses, paid, rows)
    if signed is not None:
        return signed, "from the sign in the amounts"
    named_so = words.FIELD_WORDS["currency"][0]
    for column in guesses:
        if re.fullmatch(named_so, normal_header(column)) and vendor_marks.told_by_few(
            rows, column, paid
        ):
            why = f"{column!r} holds it alone, but not beside every amount: check"
            return vendor_marks.marks(rows[column])[0].upper(), why
    held = [c for c, g in guesses.items() if g.kind == "currency" and c in rows.columns]
    if not held:
        return None, "no column holds one: put the right one"
    values = {value for c in held for value in vendor_marks.marks(rows[c])}
    if len(values) == 1:
        return values.pop().upper(), "every column of currencies holds it alone: check"
    return None, "several columns hold one: choose: put the right one"


def translated(guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame) -> str | None:
    """A column called currency whose words are not all codes, with what its signs stand for."""
    named_so = words.FIELD_WORDS["currency"][0]
    for column, guess in guesses.items():
        if guess.kind == "text" and re.fullmatch(named_so, normal_header(column)):
            told = vendor_marks.marks(rows[column]) if column in rows.columns else []
            codes = {m: words.CURRENCY_SIGNS.get(m) for m in told}
            codes |= {m: "EUR" for m in told if re.fullmatch(words.EURO, m, re.IGNORECASE)}
            pairs = ", ".join(f"{quoted(m)} = {quoted(c)}" for m, c in codes.items() if c)
            where = f"names = [{quoted(column)}], map = {{ {pairs} }}"
            return f"currency = {{ {where} }}  # not all are codes: put each other word in `map`"
    return None


def _named(columns: Sequence[str]) -> str | None:
    """The one currency that the names of these columns tell: `Amount (EUR)`, `Débit euros`."""
    found: set[str] = set()
    for column in columns:
        codes = re.search(words.HEADER_CURRENCY, column)
        code = next((c for c in codes.groups() if c), None) if codes else None
        if code in money.currency_exponents():
            found.add(str(code))
        found |= {c for sign, c in words.CURRENCY_SIGNS.items() if sign in column}
        found |= {"EUR"} if re.search(words.EURO, column, re.IGNORECASE) else set()
    return found.pop() if len(found) == 1 else None


def _signed(
    guesses: Mapping[str, ColumnGuess], columns: Sequence[str], rows: pl.DataFrame
) -> str | None:
    """The currency whose sign or code stands in the amounts, if it is one alone."""
    found: set[str] = set()
    for column in columns:
        if column in rows.columns and guesses[column].kind == "amount":
            text = rows[column].cast(pl.String).drop_nulls()
            found |= {
                code
                for sign, code in words.CURRENCY_SIGNS.items()
                if text.str.contains(sign, literal=True).any()
            }
            found |= {"TRY"} if text.str.contains(r"\bTL\b").any() else set()
            found |= set(text.str.extract(r"\b([A-Z]{3})\b", 1).drop_nulls().to_list())
    return found.pop() if len(found) == 1 else None
