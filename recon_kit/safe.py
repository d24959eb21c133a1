"""Mask, escape, quote: the one place for each, so that no other room does it by hand."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import urlsplit

import polars as pl


def quote_ident(name: str) -> str:
    """A SQL identifier, quoted so that no name can end it early."""
    if "\x00" in name:
        raise ValueError("an identifier cannot hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A SQL text literal, for the few places where a statement takes no parameters (COPY, SET)."""
    if "\x00" in text:
        raise ValueError("a SQL text cannot hold a NUL character")
    return "'" + text.replace("'", "''") + "'"


# --- Personal data -----------------------------------------------------------------------------
MaskKind = Literal["email", "name", "phone", "text", "hidden"]
MASKED = "***"
# How each personal field of the ledger is shown when nobody gave a reason to see it.
PERSONAL_KINDS: dict[str, MaskKind] = {
    "customer_name": "name",
    "email": "email",
    "phone": "phone",
    "address": "text",
    "postcode": "text",
    "raw_personal": "hidden",
}


# What identifies a person inside free text.
_PERSONAL_PARTS = (
    r"[^\s@:;,<>()]+@[^\s@]+\.[A-Za-z]{2,}",
    r"\b[A-Z]{2}[0-9]{2} ?([A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}\b",
    r"\+[0-9][0-9 ()./-]{7,}[0-9]",
)


def masked(text: pl.Expr, kind: MaskKind) -> pl.Expr:
    """A text column with what identifies a person taken out; null and blank stay as they are.

    `email` keeps the first character and the domain (`a***@x.com`), `name` the first character
    of each word (`A*** D***`), `phone` the last four of at least eight digits (`***4567`), `text`
    the first character, `hidden` nothing. The number of stars says nothing about the length.
    """
    trimmed = text.str.strip_chars()
    shown = {
        "email": _masked_email(trimmed),
        "name": trimmed.str.replace_all(r"(\S)\S*", "${1}" + MASKED),
        "phone": _masked_phone(trimmed),
        "text": trimmed.str.head(1) + MASKED,
        "hidden": pl.when(trimmed.is_not_null()).then(pl.lit(MASKED)),
    }[kind]
    return pl.when(trimmed == "").then(text).otherwise(shown)


def masked_within(text: pl.Expr) -> pl.Expr:
    """Free text in which e-mail addresses, IBANs and international phone numbers are stars."""
    for pattern in _PERSONAL_PARTS:
        text = text.str.replace_all(pattern, MASKED)
    return text


def mask_email(text: str | None) -> str | None:
    """`ana@x.com` becomes `a***@x.com`; see `masked`."""
    return _mask_one(text, "email")


def mask_name(text: str | None) -> str | None:
    """`Ana Diaz` becomes `A*** D***`; see `masked`."""
    return _mask_one(text, "name")


def mask_phone(text: str | None) -> str | None:
    """`+1 (212) 555-4567` becomes `***4567`; see `masked`."""
    return _mask_one(text, "phone")


def mask_text(text: str | None) -> str | None:
    """`12 Main Street` becomes `1***`; see `masked`."""
    return _mask_one(text, "text")


def masked_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose personal columns, known by their names in the ledger, are masked."""
    return frame.with_columns(
        masked(pl.col(name).cast(pl.String), kind).alias(name)
        for name, kind in PERSONAL_KINDS.items()
        if name in frame.columns
    )


def _masked_email(trimmed: pl.Expr) -> pl.Expr:
    # A local part of one character would be shown whole: then nothing of it is kept.
    domain = trimmed.str.extract(r"@([^@]*)$", 1)
    keep = trimmed.str.extract(r"^([^@])[^@]", 1).fill_null("")
    return (
        pl.when(domain.is_null())
        .then(trimmed.str.head(1) + MASKED)
        .otherwise(pl.concat_str([keep, pl.lit(MASKED + "@"), domain]))
    )


def _masked_phone(trimmed: pl.Expr) -> pl.Expr:
    digits = trimmed.str.replace_all(r"\D", "")
    tail = pl.when(digits.str.len_chars() >= 8).then(digits.str.tail(4)).otherwise(pl.lit(""))
    return pl.when(trimmed.is_not_null()).then(pl.lit(MASKED) + tail)


def _mask_one(text: str | None, kind: MaskKind) -> str | None:
    shown = pl.select(masked(pl.lit(text, dtype=pl.String), kind)).item()
    return None if shown is None else str(shown)


# --- Pages and scripts -------------------------------------------------------------------------
_SCRIPT_ESCAPES = str.maketrans(
    {c: f"\\u{ord(c):04x}" for c in ("<", ">", "&", "\u2028", "\u2029")}
)


def escape_html(text: object) -> str:
    """Text for HTML, safe between tags and inside quoted attributes."""
    return html.escape(str(text), quote=True)


# Not inside a word, so that an id that holds backticks stays as it is told.
_CODE = re.compile(r"(?<![^\s(>])`([^`<\n]+)`(?![^\s),.;:<])")


def prose_html(text: object) -> str:
    """A sentence for HTML between tags: escaped, and what stands in backticks set as code."""
    return code_html(escape_html(text))


def code_html(escaped: str) -> str:
    """HTML in whose text what stands in backticks is set as code."""
    return _CODE.sub(r"<code>\1</code>", escaped)


def json_for_script(value: object) -> str:
    """JSON that may stand inside a `<script>` element; parsing it gives `value` back.

    Characters that could end the element, open a comment or end a line of JavaScript are written
    as escapes, which mean the same to every JSON parser.

    Raises:
        ValueError: a number is not finite (JSON has no such number).
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_SCRIPT_ESCAPES)


def https_href(url: str, hosts: Collection[str]) -> str | None:
    """The URL itself where it is https on exactly one of `hosts`, else none.

    Nothing is repaired: user names, ports, control characters, blanks, backslashes and letters
    outside ASCII make it none, because browsers and parsers read them differently.
    """
    if not _PLAIN_URL.fullmatch(url):
        return None
    return url if urlsplit(url).netloc.lower() in {h.lower() for h in hosts} else None


def https_or_text(url: str, hosts: Collection[str]) -> str:
    """HTML for a URL out of data: a link on an allowed https host, else its text, escaped."""
    href = https_href(url, hosts)
    shown = escape_html(url)
    return shown if href is None else f'<a href="{shown}" rel="noopener noreferrer">{shown}</a>'


_PLAIN_URL = re.compile(r"https://[A-Za-z0-9.-]+(/[!#-;=?-\[\]_a-z~%]*)?(\?[!#-;=?-\[\]_a-z~%]*)?")


# --- Spreadsheets ------------------------------------------------------------------------------
# What makes a spreadsheet read a cell as a formula, also in its fullwidth, small and minus-sign
# forms, wherever only blanks or invisible characters stand before it.
_FORMULA = (
    "^[ \u00a0\u00ad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\\x00]*"
    "[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212]"
)
_NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?$"


def neutralise(text: pl.Expr) -> pl.Expr:
    """A text column for a spreadsheet: what would be read as a formula gets `'` in front.

    A plain decimal number (`-12.50`) stays a number. The change is one-way; the lossless twin of
    an export is parquet.
    """
    formula = text.str.contains(_FORMULA) & ~text.str.contains(_NUMBER)
    # The untouched branch stands first because it gives the column its name.
    return pl.when(~formula).then(text).otherwise(pl.lit("'") + text)


def neutralised(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame for a spreadsheet: `neutralise` on every text column, headers included."""
    safe = frame.with_columns(neutralise(pl.col(pl.String)))
    names = pl.Series(frame.columns, dtype=pl.String).to_frame("name")
    return safe.rename(
        dict(zip(frame.columns, names.select(neutralise(pl.col("name"))).to_series(), strict=True))
    )
