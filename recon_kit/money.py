"""Money: integer minor units of an ISO 4217 currency, and the one parser of amounts.

No float ever touches an amount. `parse_amounts` is the only place where text becomes money; it
is a polars expression, so a column of ten million amounts and a single cell go the same way
(`parse_amount` wraps a single one). What cannot be read exactly is not guessed: the row gets a
code and the caller quarantines it.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Literal

import polars as pl
from iso4217 import Currency

from recon_kit.errors import MoneyError

Unit = Literal["major", "minor"]

# Codes of amounts that are not accepted. The texts are what an analyst reads in the quarantine.
AMOUNT_PROBLEMS: dict[str, str] = {
    "amount_unreadable": "the amount is not a decimal number in the declared notation",
    "amount_ambiguous": "the mark may group thousands or part decimals; declare `thousands`",
    "amount_decimals": "the amount has more decimals than its currency",
    "amount_overflow": "the amount is larger than 64-bit minor units can hold",
    "currency_missing": "the amount has no currency",
    "currency_unknown": "the currency is not an ISO 4217 code",
    "currency_contradicts": "the amount names another currency than its row",
}

_DIGITS_MAX = 18  # 10^18 - 1 fits into int64 with room to add nine of them
# Spaces of any kind, including no-break, narrow no-break and thin space, written out so that the
# expression means the same in every regex dialect.
_SPACES = "[ \\t\\r\\n\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
_SYMBOLS = r"[$€£¥₩₹₫₽₺₴₪฿₦₱₲₡₭₮₸₼₾]|R\$|kr\.?|zł|Kč|Ft|CHF|Fr\."


@cache
def currency_exponents() -> dict[str, int]:
    """Number of decimals of every ISO 4217 currency that has one (JPY 0, EUR 2, BHD 3)."""
    known = {c.code: c.exponent for c in Currency if c.exponent is not None}
    if len(known) < 150:
        raise MoneyError("the installed iso4217 table is incomplete; reinstall iso4217")
    return known


def exponent(currency: str) -> int:
    """Decimals of one currency; raises `MoneyError` for a code that is not ISO 4217."""
    try:
        return currency_exponents()[currency]
    except KeyError:
        raise MoneyError(f"{currency!r} is not an ISO 4217 currency code") from None


def to_text(minor: int, currency: str) -> str:
    """Minor units as exact decimal text: `to_text(123450, "EUR") == "1234.50"`."""
    places = exponent(currency)
    return f"{Decimal(minor).scaleb(-places):.{places}f}"


def display(minor: int | None, currency: str, locale: str = "en_US") -> str:
    """Minor units as people write them in a locale, with the currency code: `1,234.50 EUR`."""
    if minor is None:
        return "unknown"
    from babel.numbers import format_decimal

    places = exponent(currency)
    pattern = "#,##0" + ("." + "0" * places if places else "")
    number = format_decimal(Decimal(minor).scaleb(-places), format=pattern, locale=locale)
    return f"{number} {currency}"


def text_expr(minor: pl.Expr, currency: pl.Expr) -> pl.Expr:
    """Column form of `to_text`: decimal text by each row's currency; null stays null."""
    places = _exponent_expr(currency)
    digits = minor.abs().cast(pl.String).str.zfill(places.fill_null(0) + 1)
    whole = digits.str.head(digits.str.len_chars().cast(pl.Int64) - places)
    cents = digits.str.tail(places)
    number = pl.when(places > 0).then(pl.concat_str([whole, pl.lit("."), cents])).otherwise(whole)
    return pl.when(minor < 0).then(pl.lit("-") + number).otherwise(number)


def parse_amounts(  # noqa: PLR0913 - the notation of a file really has this many degrees
    text: pl.Expr,
    currency: pl.Expr,
    *,
    decimal: str = ".",
    thousands: str | None = None,
    unit: Unit = "major",
    round_excess: bool = False,
    exponents: dict[str, int] | None = None,
) -> pl.Expr:
    """Turn a text column into money.

    Args:
        text: amounts as the file prints them; null or blank means no amount.
        currency: upper-case ISO codes, row by row.
        decimal: the decimal mark, `.` or `,`.
        thousands: the grouping mark if the file uses one (`,`, `.`, `'`, or a space). When it is
            not declared, the mark that is not the decimal mark is accepted only where it cannot
            mean anything else (`1,234.50`); `1,234` alone is `amount_ambiguous`.
        unit: `minor` when the file already counts cents.
        round_excess: round surplus decimals half-even instead of refusing them (conversions).
        exponents: decimals by currency where a vendor differs from ISO 4217 (Stripe and MGA).

    Returns:
        A struct `{minor: Int64, code: String, rounded: Boolean}`. `code` is null when the amount
        was read or was blank, else a key of `AMOUNT_PROBLEMS` with `minor` null.
    """
    mark = thousands if thousands is not None else ("," if decimal == "." else ".")
    body, negative = _bare_number(text)
    grouped = body.str.contains(_grouped_pattern(mark, decimal))
    lone_group = body.str.contains(rf"^[0-9]{{1,3}}{_escape(mark)}[0-9]{{3}}$")
    plain = body.str.contains(rf"^[0-9]+({_escape(decimal)}[0-9]*)?$|^{_escape(decimal)}[0-9]+$")
    number = body.str.replace_all(mark, "", literal=True).str.replace(decimal, ".", literal=True)
    readable = plain | (grouped if thousands is not None else grouped & ~lone_group)

    places = pl.lit(0) if unit == "minor" else _exponent_expr(currency, exponents)
    whole = number.str.extract(r"^([0-9]*)", 1).str.strip_chars_start("0")
    cents = number.str.extract(r"\.([0-9]*)$", 1).fill_null("").str.strip_chars_end("0")
    excess = cents.str.len_chars().cast(pl.Int64) > places
    kept = cents.str.head(places).str.pad_end(18, "0").str.head(places)
    digits = pl.concat_str([whole, kept])
    minor = pl.when(digits == "").then(pl.lit("0")).otherwise(digits).cast(pl.Int64, strict=False)
    if round_excess:
        minor = minor + _round_up(cents, places, minor)
    signed = pl.when(negative).then(-minor).otherwise(minor)

    blank = body.is_null() | (body == "")
    bad_currency = currency.is_not_null() & places.is_null()
    code = (
        pl.when(blank & ~_has_text(text))
        .then(None)
        .when(blank)
        .then(pl.lit("amount_unreadable"))
        .when(currency.is_null())
        .then(pl.lit("currency_missing"))
        .when(bad_currency)
        .then(pl.lit("currency_unknown"))
        .when(_named_currency(text) != currency)
        .then(pl.lit("currency_contradicts"))
        .when(~readable & lone_group)
        .then(pl.lit("amount_ambiguous"))
        .when(~readable)
        .then(pl.lit("amount_unreadable"))
        .when(excess if not round_excess else pl.lit(False))
        .then(pl.lit("amount_decimals"))
        .when(digits.str.len_chars() > _DIGITS_MAX)
        .then(pl.lit("amount_overflow"))
        .otherwise(None)
    )
    return pl.struct(
        minor=pl.when(code.is_null() & ~blank).then(signed).otherwise(None),
        code=code,
        rounded=(excess & code.is_null()).fill_null(False),
    )


def parse_amount(
    text: str | None, currency: str | None, **notation: object
) -> tuple[int | None, str | None]:
    """Parse one amount: `(minor, None)` when it was read, `(None, code)` when it was not.

    Takes the same keyword arguments as `parse_amounts`.
    """
    frame = pl.DataFrame({"t": [text], "c": [currency]}, schema={"t": pl.String, "c": pl.String})
    struct = parse_amounts(pl.col("t"), pl.col("c"), **notation)  # type: ignore[arg-type]
    row = frame.select(struct.alias("a")).item()
    return row["minor"], row["code"]


def _bare_number(text: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Strip spaces, currency signs and the sign; returns (unsigned body, is negative)."""
    trimmed = (
        text.str.replace_all("\u2212", "-", literal=True)
        .str.strip_chars(" \t\r\n\u00a0\u2007\u2009\u200b\u202f\u2060\u3000\ufeff")
        .str.replace(rf"^([-+(]*){_SPACES}*(?:{_SYMBOLS}|[A-Z]{{3}}){_SPACES}*", "${1}")
        .str.replace(rf"{_SPACES}*(?:{_SYMBOLS}|[A-Z]{{3}})([-)]?)$", "${1}")
        # A space between two digits may group thousands; anywhere else it stays and is refused.
        .str.replace_all(rf"([0-9]){_SPACES}([0-9])", "${1}\u2009${2}")
    )
    bracketed = trimmed.str.contains(r"^\([^()+-]*\)$")
    leading = trimmed.str.contains(r"^-[^()+-]*$")
    trailing = trimmed.str.contains(r"^[^()+-]*-$")
    body = (
        pl.when(bracketed)
        .then(trimmed.str.strip_chars("()"))
        .when(leading)
        .then(trimmed.str.slice(1))
        .when(trailing)
        .then(trimmed.str.head(-1))
        .when(trimmed.str.contains(r"^\+[^()+-]*$"))
        .then(trimmed.str.slice(1))
        .otherwise(trimmed)
    )
    body = body.str.replace(rf"^{_SPACES}*(?:{_SYMBOLS}){_SPACES}*", "")
    # Thin spaces inside the body are proper thousands groups: drop them once the shape is right.
    spaced = body.str.contains("^[0-9]{1,3}(\u2009[0-9]{3})+([.,][0-9]*)?$")
    body = pl.when(spaced).then(body.str.replace_all("\u2009", "", literal=True)).otherwise(body)
    return body, bracketed | leading | trailing


def _named_currency(text: pl.Expr) -> pl.Expr:
    return text.str.extract(r"(?:^|[^A-Za-z])([A-Z]{3})(?:[^A-Za-z]|$)", 1)


def _grouped_pattern(mark: str, decimal: str) -> str:
    return rf"^[0-9]{{1,3}}({_escape(mark)}[0-9]{{3}})+({_escape(decimal)}[0-9]*)?$"


def _escape(mark: str) -> str:
    return "\\" + mark if mark in ".|+*?()[]{}^$" else mark


def _has_text(text: pl.Expr) -> pl.Expr:
    return text.is_not_null() & (text.str.strip_chars(" \t\r\n\u00a0\u200b\u202f\ufeff") != "")


def _exponent_expr(currency: pl.Expr, overrides: dict[str, int] | None = None) -> pl.Expr:
    table = currency_exponents() | (overrides or {})
    return currency.replace_strict(
        list(table), list(table.values()), default=None, return_dtype=pl.Int64
    )


def _round_up(cents: pl.Expr, places: pl.Expr, minor: pl.Expr) -> pl.Expr:
    """1 where the decimals after `places` round the last kept digit up, half to even."""
    rest = cents.str.slice(places)
    half = pl.lit("5")
    above = (rest > half) & rest.str.contains(r"^[5-9]")
    tie = rest == half
    return pl.when(above | (tie & (minor % 2 == 1))).then(1).otherwise(0)
