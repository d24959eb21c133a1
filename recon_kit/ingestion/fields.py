"""Which column of a strange file holds which field: proposed by words, kinds and what rows say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import polars as pl

from recon_kit.ingestion import day_and_time, pairs, vendor_marks, words
from recon_kit.ingestion.feed import normal_header
from recon_kit.ingestion.guess import ColumnGuess


def choose_fields(guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame) -> dict[str, str]:
    """Field to column: per field the best-worded column of a fitting kind, each column once."""
    chosen: dict[str, str] = {}
    names = vendor_marks.plain_names(guesses)
    twice = doubled(guesses)
    for field, patterns in words.FIELD_WORDS.items():
        fits = words.FIELD_KINDS.get(field)
        free = {
            column: names[column]
            for column, guess in guesses.items()
            if column not in chosen.values()
            and column not in twice
            and (guess.kind in fits if fits else guess.kind not in {"empty", "amount"})
            and vendor_marks.may_be(field, column, guesses, rows)
        }
        # of a day and a time in like words the time says more
        order = day_and_time.told_most(free, guesses, rows)
        worded = (c for p in patterns for c in order if re.fullmatch(p, free[c]))
        best = next(worded, None)
        if best is not None:
            chosen[field] = best
    return _completed(chosen, guesses, rows)


def _completed(
    chosen: dict[str, str], guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame
) -> dict[str, str]:
    """Fields whose column no word names: only time or currency, first amount, a debit mark."""
    dated = [c for c, g in guesses.items() if g.formats]
    if "event_ts" not in chosen and dated:
        chosen["event_ts"] = dated[0]
    held = {*chosen.values(), *doubled(guesses)}
    coded = [c for c, g in guesses.items() if g.kind == "currency" and c not in held]
    own = [c for c in coded if not re.search(words.OTHER_CURRENCY, normal_header(c))]
    if "currency" not in chosen and len(own) == 1:
        chosen["currency"] = own[0]
    _complete_money(chosen, guesses, rows)
    paid = [chosen[f] for f in ("amount", "debit", "credit") if f in chosen]
    if "currency" in chosen and vendor_marks.told_by_few(rows, chosen["currency"], paid):
        del chosen["currency"]
    if "amount" in chosen:
        _complete_direction(chosen, guesses, rows)
    if vendor_marks.fee_is_a_row(rows, chosen):
        del chosen["fee"]  # which the amounts hold already
    if {"amount", "currency"} <= set(chosen):
        chosen |= vendor_marks.converted(guesses)
    return chosen | day_and_time.beside(chosen, guesses, rows)


def _complete_money(
    chosen: dict[str, str], guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame
) -> None:
    """The amount or its pair of columns, and the currency that is named like it.

    Beside a pair that tells money going out, an amount without any sign says less: not which way.
    What moved is already less the fee, which is left out then.
    """
    held = {*chosen.values(), *doubled(guesses)}
    paid = [c for c, g in guesses.items() if g.kind == "amount" and c not in held]
    paid = [c for c in paid if not re.search(words.BALANCE, normal_header(c))]
    pair = pairs.debit_credit_pair(guesses)
    if pair is not None and "amount" in chosen:
        unsigned = not vendor_marks.printed_below_zero(rows, chosen["amount"])
        if unsigned and vendor_marks.any_nonzero(rows, pair[0]):
            del chosen["amount"]
            chosen.pop("fee", None)
    if "amount" not in chosen and pair is not None:
        chosen["debit"], chosen["credit"] = pair
    if len({"debit", "credit"} & set(chosen)) == 1:  # half of a pair would lose the other half
        chosen.pop("debit", None)
        chosen.pop("credit", None)
    if not {"amount", "debit", "credit"} & set(chosen) and paid:
        gross = vendor_marks.gross_column(guesses)
        halves = pairs.parted(rows, paid) if gross is None else None
        chosen |= (
            {"amount": gross or paid[0]}
            if halves is None
            else dict(zip(("debit", "credit"), halves, strict=True))
        )
    of = chosen.get("amount") or chosen.get("credit") or chosen.get("debit")
    twin = vendor_marks.twin_currency(of, guesses) if of is not None else None
    if "currency" not in chosen and twin is not None:
        chosen["currency"] = twin
    if vendor_marks.fee_mark(guesses) is not None:
        chosen.pop("fee", None)


def _complete_direction(
    chosen: dict[str, str], guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame
) -> None:
    """Which way the money of an amount went, where another mark than its sign says so."""
    chosen.pop("debit", None)
    chosen.pop("credit", None)
    if guesses[chosen["amount"]].marked:
        chosen["direction"] = chosen["amount"]
        return
    # Amounts that already carry a sign need no mark.
    of_fees = vendor_marks.fee_mark(guesses)
    marks = [c for c, g in guesses.items() if c != of_fees and _is_mark(c, g, rows)]
    if marks and not vendor_marks.printed_below_zero(rows, chosen["amount"]):
        chosen["direction"] = marks[0]


def _is_mark(column: str, guess: ColumnGuess, rows: pl.DataFrame) -> bool:
    """Whether a column says which way the money went, by its name or by holding both marks."""
    if guess.kind not in {"text", "id"} or column not in rows.columns:
        return False
    if re.fullmatch(words.DIRECTION, normal_header(column)):
        return True
    found = vendor_marks.marks(rows[column])
    signs = {words.MARK_SIGNS.get(mark.casefold()) for mark in found}
    return signs == {-1, 1}


def doubled(columns: Iterable[str]) -> dict[str, int]:
    """Columns of one name, as the reader numbers them (`Divisa`, `Divisa (2)`), and which it is.

    None is proposed for a field: which of them is meant cannot be guessed.
    """
    names = list(columns)
    found: dict[str, int] = {}
    for name in names:
        number = 2
        while f"{name} ({number})" in names:
            found |= {name: 1, f"{name} ({number})": number}
            number += 1
    return found
