"""Money: integer minor units of an ISO 4217 currency, and the one parser of amounts.

No float ever touches an amount. `parse_amounts` is the only place where text becomes money; it
is a polars expression, so a column of ten million amounts and a single cell go the same way
(`parse_amount` wraps a single one). What cannot be read exactly is not guessed: the row gets a
code and the caller quarantines it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Literal

import polars as pl
from iso4217 import Currency

from recon_kit.errors import MoneyError

Unit = Literal["major", "minor"]

# Codes of amounts that are not accepted. The texts are what an analyst reads in the quarantine.
AMOUNT_PROBLEMS: dict[str, str] = {
    "amount_unreadable": "the amount is not a decimal number in the declared notation"
    " (`decimal`, `thousands`)",
    "amount_ambiguous": "the mark may group thousands or part decimals; declare `thousands`",
    "amount_decimals": "the amount has more decimals than its currency",
    "amount_overflow": "the amount is larger than 64-bit minor units can hold",
    "currency_missing": "the amount has no currency",
    "currency_unknown": "the currency is not an ISO 4217 code",
    "currency_contradicts": "the amount names another currency than its row",
}

_AMOUNT = pl.Struct({"minor": pl.Int64(), "code": pl.String(), "rounded": pl.Boolean()})
_DIGITS_MAX = 18  # 10^18 - 1 fits into int64 with room to add nine of them
# Spaces of any kind, including no-break, narrow no-break and thin space, written out so that the
# expression means the same in every regex dialect.
_SPACES = "[ \\t\\r\\n\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
# Signs of one currency alone ("$", "kr" and "Fr" belong to several).
_OWN_SIGN: dict[str, str] = {
    "€": "EUR", "₩": "KRW", "₹": "INR", "₽": "RUB", "₺": "TRY", "₴": "UAH", "₪": "ILS",
    "₫": "VND", "฿": "THB", "₦": "NGN", "zł": "PLN", "Kč": "CZK", "R$": "BRL", "CHF": "CHF",
    "TL": "TRY",
}  # fmt: skip
# Signs that several currencies share: beside any other currency they contradict it.
_SHARED_SIGN: dict[str, frozenset[str]] = {
    "$": frozenset({
        "ARS", "AUD", "BBD", "BMD", "BND", "BRL", "BSD", "BZD", "CAD", "CLP", "COP", "CUP", "DOP",
        "FJD", "GYD", "HKD", "JMD", "KYD", "LRD", "MOP", "MXN", "NAD", "NIO", "NZD", "SBD", "SGD",
        "SRD", "TOP", "TTD", "TWD", "USD", "UYU", "XCD", "ZWG",
    }),
    "£": frozenset({"EGP", "FKP", "GBP", "GIP", "LBP", "SHP", "SSP", "SYP"}),
    "¥": frozenset({"CNY", "JPY"}),
}  # fmt: skip
_SYMBOLS = r"[$€£¥₩₹₫₽₺₴₪฿₦₱₲₡₭₮₸₼₾]|R\$|kr\.?|zł|Kč|Ft|CHF|Fr\.|TL"


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
            not declared, spaces and apostrophes are accepted, and the mark that is not the decimal
            mark only where it cannot mean anything else (`1,234.50`); `1,234` alone is
            `amount_ambiguous`.
        unit: `minor` when the file already counts cents.
        round_excess: round surplus decimals half-even instead of refusing them (conversions).
        exponents: decimals by currency where a vendor differs from ISO 4217 (Stripe and MGA).

    Returns:
        A struct `{minor: Int64, code: String, rounded: Boolean}`. `code` is null when the amount
        was read or was blank, else a key of `AMOUNT_PROBLEMS` with `minor` null.
    """
    if decimal == thousands:
        raise MoneyError(f"{decimal!r} cannot be both the decimal and the thousands mark")
    table = currency_exponents() | (exponents or {})

    def stages(cells: pl.Series) -> pl.Series:
        frame = _numbers(cells.struct.unnest(), decimal, thousands)
        return _minor_units(frame, table, unit, round_excess=round_excess).to_struct(cells.name)

    cells = pl.struct(text=text.cast(pl.String), currency=currency.cast(pl.String))
    return cells.map_batches(stages, return_dtype=_AMOUNT, is_elementwise=True)


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


def _numbers(cells: pl.DataFrame, decimal: str, thousands: str | None) -> pl.DataFrame:
    """Stage one: `number` (digits and a point), `negative` and `code` of each cell.

    Staged frames, not one expression: polars would evaluate a shared subexpression once per use.
    Plain numbers, nearly all there are, skip the notation of people.
    """
    text = pl.col("text")
    frame = cells.with_row_index("at").with_columns(
        plain=text.str.contains(rf"^-?[0-9]+({_escape(decimal)}[0-9]*)?$")
    )
    plain = frame.filter("plain").with_columns(
        number=text.str.strip_prefix("-").str.replace(decimal, ".", literal=True),
        negative=text.str.starts_with("-"),
        code=pl.lit(None, dtype=pl.String),
    )
    if plain.height == frame.height:
        return plain
    other = _noted_numbers(
        frame.filter(~pl.col("plain").fill_null(value=False)), decimal, thousands
    )
    return pl.concat([plain, other.select(plain.columns)]).sort("at")


def _noted_numbers(frame: pl.DataFrame, decimal: str, thousands: str | None) -> pl.DataFrame:
    """Numbers with spaces, currency signs, brackets, grouping: what people and banks print."""
    mark = thousands if thousands is not None else ("," if decimal == "." else ".")
    sign = "^[-+(]*"
    frame = frame.with_columns(
        body=pl.col("text")
        .str.replace_all("\u2212", "-", literal=True)
        .str.replace_all("\u2019", "'", literal=True)
        .str.strip_chars(" \t\r\n\u00a0\u2007\u2009\u200b\u202f\u2060\u3000\ufeff")
    ).with_columns(
        named=_named_currency(pl.col("body")),
        body=pl.col("body")
        .str.replace(rf"({sign}){_SPACES}*(?:{_SYMBOLS}|[A-Z]{{3}}){_SPACES}*", "${1}")
        .str.replace(rf"{_SPACES}*(?:{_SYMBOLS}|[A-Z]{{3}})([-)]?)$", "${1}")
        # A space or an apostrophe between two digits may group thousands, and never parts
        # decimals; anywhere else it stays and is refused.
        .str.replace_all(rf"([0-9])(?:{_SPACES}|')([0-9])", "${1}\u2009${2}"),
    )
    body = pl.col("body")
    frame = frame.with_columns(
        bracketed=body.str.contains(r"^\([^()+-]*\)$"),
        leading=body.str.contains(r"^-[^()+-]*$"),
        # `12.-` means twelve and nothing in some countries, minus twelve in none
        trailing=body.str.contains(r"^[^()+-]*[^()+,.-]-$"),
    ).with_columns(
        negative=pl.any_horizontal("bracketed", "leading", "trailing"),
        body=pl.when("bracketed")
        .then(body.str.strip_chars("()"))
        .when(pl.col("leading") | body.str.contains(r"^\+[^()+-]*$"))
        .then(body.str.slice(1))
        .when("trailing")
        .then(body.str.head(-1))
        .otherwise(body)
        .str.replace(rf"^{_SPACES}*(?:{_SYMBOLS})?{_SPACES}*", ""),
    )
    # Thin spaces inside the body are proper thousands groups: drop them once the shape is right.
    spaced = body.str.contains("^[0-9]{1,3}(\u2009[0-9]{3})+([.,][0-9]*)?$")
    frame = frame.with_columns(
        body=pl.when(spaced).then(body.str.replace_all("\u2009", "", literal=True)).otherwise(body)
    ).with_columns(
        grouped=body.str.contains(_grouped_pattern(mark, decimal)),
        lone=body.str.contains(rf"^[0-9]{{1,3}}{_escape(mark)}[0-9]{{3}}$"),
        simple=body.str.contains(
            rf"^[0-9]+({_escape(decimal)}[0-9]*)?$|^{_escape(decimal)}[0-9]+$"
        ),
    )
    lone = pl.col("lone")
    grouped = pl.col("grouped") if thousands is not None else pl.col("grouped") & ~lone
    readable = pl.col("simple") | grouped
    code = (
        pl.when(~_has_text(pl.col("text")))
        .then(None)
        .when((pl.col("named") != pl.col("currency")) | _shared_sign_contradicts())
        .then(pl.lit("currency_contradicts"))
        .when(readable)
        .then(None)
        .when(lone)
        .then(pl.lit("amount_ambiguous"))
        .otherwise(pl.lit("amount_unreadable"))
    )
    number = body.str.replace_all(mark, "", literal=True).str.replace(decimal, ".", literal=True)
    return frame.with_columns(code=code, number=pl.when(readable).then(number))


def _minor_units(
    frame: pl.DataFrame, table: dict[str, int], unit: Unit, *, round_excess: bool
) -> pl.DataFrame:
    """Stage two: digits by the decimals of each row's currency, as an exact integer."""
    number = pl.col("number")
    most = max(table.values())
    exponents = pl.col("currency").replace_strict(
        list(table), list(table.values()), default=None, return_dtype=pl.Int64
    )
    frame = (
        frame.with_columns(exponent=exponents)
        .with_columns(
            places=pl.lit(0, dtype=pl.Int64) if unit == "minor" else pl.col("exponent"),
            whole=number.str.extract(r"^([0-9]*)", 1).str.strip_chars_start("0"),
            cents=number.str.extract(r"\.([0-9]*)$", 1).fill_null("").str.strip_chars_end("0"),
        )
        .with_columns(
            excess=pl.col("cents").str.len_chars().cast(pl.Int64) > pl.col("places"),
            digits=pl.concat_str(
                "whole", pl.col("cents").str.pad_end(most, "0").str.head(pl.col("places"))
            ),
        )
    )
    digits, excess = pl.col("digits"), pl.col("excess")
    said = pl.col("text").is_not_null() & (number.is_not_null() | pl.col("code").is_not_null())
    code = (
        pl.when(~said)
        .then(None)
        .when(pl.col("currency").is_null())
        .then(pl.lit("currency_missing"))
        .when(pl.col("exponent").is_null())
        .then(pl.lit("currency_unknown"))
        .when(pl.col("code").is_not_null())
        .then(pl.col("code"))
        .when(excess if not round_excess else pl.lit(value=False))
        .then(pl.lit("amount_decimals"))
        .when(digits.str.len_chars() > _DIGITS_MAX)
        .then(pl.lit("amount_overflow"))
        .otherwise(None)
    )
    minor = pl.when(digits == "").then(pl.lit("0")).otherwise(digits).cast(pl.Int64, strict=False)
    frame = frame.with_columns(code=code, minor=minor)
    if round_excess:
        up = _round_up(pl.col("cents"), pl.col("places"), pl.col("minor"))
        frame = frame.with_columns(minor=pl.col("minor") + up)
    good = pl.col("code").is_null() & number.is_not_null()
    signed = pl.when("negative").then(-pl.col("minor")).otherwise("minor")
    return frame.select(
        minor=pl.when(good).then(signed),
        code="code",
        rounded=(excess & good).fill_null(value=False),
    )


def _named_currency(body: pl.Expr) -> pl.Expr:
    """The currency that a cell names itself, by code or by a sign that only one currency has."""
    code = body.str.extract(r"(?:^|[^A-Za-z])([A-Z]{3})(?:[^A-Za-z]|$)", 1)
    sign = body.str.extract("(" + "|".join(map(re.escape, _OWN_SIGN)) + ")", 1)
    return pl.coalesce(code, sign.replace_strict(_OWN_SIGN, default=None, return_dtype=pl.String))


def _shared_sign_contradicts() -> pl.Expr:
    """Whether a cell bears a sign that its row's currency does not go by."""
    text, currency = pl.col("text"), pl.col("currency")
    return pl.any_horizontal(
        text.str.contains(rf"(^|[^A-Za-z])[{sign}]") & ~currency.is_in(sorted(known))
        for sign, known in _SHARED_SIGN.items()
    ).fill_null(value=False)


def _grouped_pattern(mark: str, decimal: str) -> str:
    one, cents = _escape(mark), rf"({_escape(decimal)}[0-9]*)?$"
    thousands = rf"^[0-9]{{1,3}}({one}[0-9]{{3}})+{cents}"
    # Lakh and crore: 12,34,567.50 reads in one way only.
    return rf"{thousands}|^[0-9]{{1,2}}({one}[0-9]{{2}})+{one}[0-9]{{3}}{cents}"


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
