"""SQL that folds texts to one spelling: names, memos, addresses, numbers in texts.

Each function gives an expression over a column that an earlier stage wrote down (see `features`).
Costly work, such as replacing by a pattern, is done where a cheap test says that it would change
anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from recon_kit.safe import quote_text

TERM_DIGITS = 10
# What a company is called beside its name; the same one is written with and without it.
_LEGAL_FORMS: tuple[str, ...] = (
    "AB", "AG", "APS", "AS", "BV", "CO", "CORP", "CORPORATION", "EURL", "GMBH", "INC",
    "INCORPORATED", "KG", "LIMITED", "LLC", "LLP", "LTD", "LTDA", "MBH", "NV", "OG", "OHG", "OY",
    "OYJ", "PLC", "PTE", "PTY", "SA", "SARL", "SAS", "SE", "SL", "SPA", "SRL", "UG",
)  # fmt: skip


def digits(column: str) -> str:
    """The digits of a text without leading zeros."""
    return f"ltrim(regexp_replace({column}, '[^0-9]', '', 'g'), '0')"


def numbers(column: str) -> str:
    """The distinct runs of four or more digits in a text, without leading zeros; null if none."""
    found = f"list_transform(regexp_extract_all({column}, '[0-9]{{4,}}'), lambda n: ltrim(n, '0'))"
    return f"nullif(list_distinct(list_filter({found}, lambda n: length(n) >= 4)), [])"


def id_numbers(ids: Sequence[str]) -> str:
    """The numbers of ids: their runs of digits, and each id's digits put together.

    Banks leave out what stands between: `RE-2026-1145` comes back as `RE20261145`.
    """
    runs = numbers(f"concat_ws(' ', {', '.join(ids)})")
    whole = ", ".join(f"coalesce({digits(column)}, '')" for column in ids)
    long = f"list_filter([{whole}], lambda n: length(n) >= 4)"
    return f"nullif(list_distinct(coalesce({runs}, []) || {long}), [])"


def single_spaced(column: str) -> str:
    """A text without double, leading and trailing spaces; empty is null."""
    spaced = f"regexp_replace({column}, '\\s+', ' ', 'g')"
    return (
        f"nullif(trim(case when regexp_matches({column}, '  |[\\t\\n\\f\\r]')"
        f" then {spaced} else {column} end), '')"
    )


def user(email: str) -> str:
    """Whose mailbox it is, without dots and what follows a plus."""
    untagged = f"""case when contains({email}, '+')
        then regexp_replace({email}, '[+][^@]*@', '@') else {email} end"""
    return f"replace(split_part({untagged}, '@', 1), '.', '')"


def parts(column: str) -> str:
    """A folded text without punctuation, cut at its spaces; parts may be empty."""
    plain = f"regexp_replace({column}, '[^0-9A-Z ]+', ' ', 'g')"
    return (
        f"string_split(case when regexp_matches({column}, '[^0-9A-Z ]') then {plain}"
        f" else {column} end, ' ')"
    )


def words(parts: str) -> str:
    """The words among the parts of a text: two letters or more. A word may stand there twice."""
    return f"list_filter({parts}, lambda w: length(w) >= 2)"


def unformed(words: str, column: str) -> str:
    """The words of a name without legal forms, unless nothing else is left."""
    forms = ", ".join(quote_text(form) for form in _LEGAL_FORMS)
    any_form = f"(^|[^0-9A-Z])({'|'.join(_LEGAL_FORMS)})([^0-9A-Z]|$)"
    others = f"list_filter({words}, lambda w: w not in ({forms}))"
    return (
        f"case when regexp_matches({column}, '{any_form}')"
        f" then coalesce(nullif({others}, []), {words}) else {words} end"
    )


def distinct(words: str) -> str:
    """Each word once; null when there is none. Two different ones are what most names have."""
    plain = f"len({words}) = 1 or len({words}) = 2 and {words}[1] <> {words}[2]"
    return f"case when {plain} then {words} when len({words}) > 0 then list_distinct({words}) end"


def longest(words: str) -> str:
    """The longest of sorted words, the first in the alphabet of several."""
    return f"list_reduce({words}, lambda x, y: case when length(y) > length(x) then y else x end)"


def marks(words: str) -> str:
    """A whole number in which each word sets a bit: lists that share a word share a bit."""
    return f"list_bit_or(list_transform({words}, lambda w: 1::bigint << (hash(w) % 62)::int))"


def term(kind: str, size: str, text: str) -> str:
    """A hash of a text, a start of it, an amount or a mailbox: memos name people (see `rarity`)."""
    return f"left(md5({kind} || {size} || ':' || {text}), {TERM_DIGITS})"
