"""The amount parser against a literal table, exact round trips, and text for people."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit import money
from recon_kit.errors import MoneyError

DOT = {"decimal": "."}
DOT_COMMA = {"decimal": ".", "thousands": ","}
COMMA = {"decimal": ","}
COMMA_DOT = {"decimal": ",", "thousands": "."}
SWISS = {"decimal": ".", "thousands": "'"}
FRENCH = {"decimal": ",", "thousands": " "}
CENTS = {"unit": "minor"}
ROUND = {"round_excess": True}

READ = [
    # text, currency, notation, minor units
    ("0", "EUR", DOT, 0),
    ("0.00", "EUR", DOT, 0),
    ("-0.00", "EUR", DOT, 0),
    ("12", "EUR", DOT, 1200),
    ("12.", "EUR", DOT, 1200),
    (".5", "EUR", DOT, 50),
    ("0.1", "EUR", DOT, 10),
    ("12.3", "EUR", DOT, 1230),
    ("12.34", "EUR", DOT, 1234),
    ("12.340000", "EUR", DOT, 1234),
    ("0012.34", "EUR", DOT, 1234),
    ("+12.34", "EUR", DOT, 1234),
    ("-12.34", "EUR", DOT, -1234),
    ("- 12.34", "EUR", DOT, -1234),
    ("12.34-", "EUR", DOT, -1234),
    ("(12.34)", "EUR", DOT, -1234),
    ("−129.99", "EUR", DOT, -12999),
    (" 12.34 ", "EUR", DOT, 1234),
    ("12.34\u00a0", "EUR", DOT, 1234),
    ("\ufeff12.34", "EUR", DOT, 1234),
    ("1,234.56", "EUR", DOT, 123456),
    ("1,234,567", "EUR", DOT_COMMA, 123456700),
    ("1,234", "EUR", DOT_COMMA, 123400),
    ("1,234,567.89", "EUR", DOT_COMMA, 123456789),
    ("1234,56", "EUR", COMMA, 123456),
    (",03", "EUR", COMMA, 3),
    ("1.234,56", "EUR", COMMA, 123456),
    ("-1.234,56", "EUR", COMMA_DOT, -123456),
    ("1.234", "EUR", COMMA_DOT, 123400),
    ("1 234,56", "EUR", COMMA, 123456),
    ("1\u00a0234,56", "EUR", FRENCH, 123456),
    ("1\u202f234\u202f567,89", "EUR", FRENCH, 123456789),
    ("1'234.56", "CHF", SWISS, 123456),
    ("1’234.56", "CHF", SWISS, 123456),
    ("$12.34", "USD", DOT, 1234),
    ("$1,149.00 ", "USD", DOT, 114900),
    ("-$1.85", "USD", DOT, -185),
    ("($33.62)", "USD", DOT, -3362),
    ("$(250.00)", "USD", DOT, -25000),
    ("$-12.00", "USD", DOT, -1200),
    ("12.34 €", "EUR", DOT, 1234),
    ("€ 12,34", "EUR", COMMA, 1234),
    ("12,34 €-", "EUR", COMMA, -1234),
    ("USD 12.00", "USD", DOT, 1200),
    ("12.00 USD", "USD", DOT, 1200),
    ("-USD 12.00", "USD", DOT, -1200),
    ("R$ 1.234,56", "BRL", COMMA, 123456),
    ("CHF 1'234.50", "CHF", SWISS, 123450),
    ("1,25,450.00", "INR", DOT, 12545000),
    ("12,34,56,789", "INR", DOT, 12345678900),
    ("99,00 zł", "PLN", COMMA, 9900),
    ("1200", "JPY", DOT, 1200),
    ("1200.00", "JPY", DOT, 1200),
    ("1,200", "JPY", DOT_COMMA, 1200),
    ("1.234", "KWD", DOT, 1234),
    ("1.2", "BHD", DOT, 1200),
    ("1.2345", "CLF", DOT, 12345),
    ("31070,11", "EUR", COMMA, 3107011),
    ("12345678901234567.8", "JPY", ROUND, 12345678901234568),
    ("9999999999999999.99", "EUR", DOT, 999999999999999999),
    ("12345678901234567.89"[1:], "EUR", DOT, 234567890123456789),
    ("1999", "EUR", CENTS, 1999),
    ("-1999", "EUR", CENTS, -1999),
    ("1999.0", "EUR", CENTS, 1999),
    ("1500", "MGA", {"exponents": {"MGA": 0}}, 1500),
    ("12.345", "EUR", ROUND, 1234),
    ("12.355", "EUR", ROUND, 1236),
    ("12.3451", "EUR", ROUND, 1235),
    ("12.3449999", "EUR", ROUND, 1234),
    ("-12.355", "EUR", ROUND, -1236),
    ("0.005", "EUR", ROUND, 0),
    ("0.015", "EUR", ROUND, 2),
    ("2.5", "JPY", ROUND, 2),
    ("3.5", "JPY", ROUND, 4),
    ("65.40000000000001", "EUR", ROUND, 6540),
    ("1'234'567.89", "CHF", DOT, 123456789),
    ("1'234", "CHF", DOT, 123400),
    ("1.250,00 TL", "TRY", COMMA, 125000),
]

REFUSED = [
    # text, currency, notation, code
    ("abc", "EUR", DOT, "amount_unreadable"),
    ("-", "EUR", DOT, "amount_unreadable"),
    ("--", "EUR", DOT, "amount_unreadable"),
    ("N/A", "EUR", DOT, "amount_unreadable"),
    ("NaN", "EUR", DOT, "amount_unreadable"),
    ("nan", "EUR", DOT, "amount_unreadable"),
    ("inf", "EUR", DOT, "amount_unreadable"),
    ("Infinity", "EUR", DOT, "amount_unreadable"),
    ("0x1F", "EUR", DOT, "amount_unreadable"),
    ("1e3", "EUR", DOT, "amount_unreadable"),
    ("1E+3", "EUR", DOT, "amount_unreadable"),
    ("1_000", "EUR", DOT, "amount_unreadable"),
    ("１２.３４", "EUR", DOT, "amount_unreadable"),
    ("١٢", "EUR", DOT, "amount_unreadable"),
    ("1.2.3", "EUR", DOT, "amount_unreadable"),
    ("1,23,45.00", "INR", DOT, "amount_unreadable"),
    ("123,45,678.00", "INR", DOT, "amount_unreadable"),
    ("12,34", "EUR", DOT, "amount_unreadable"),
    ("12.34", "EUR", COMMA, "amount_unreadable"),
    ("1,2345", "EUR", DOT_COMMA, "amount_unreadable"),
    ("1.234.56", "EUR", COMMA_DOT, "amount_unreadable"),
    ("--12.00", "EUR", DOT, "amount_unreadable"),
    ("-12.00-", "EUR", DOT, "amount_unreadable"),
    ("(-12.00)", "EUR", DOT, "amount_unreadable"),
    ("(12.00", "EUR", DOT, "amount_unreadable"),
    ("12 34", "EUR", DOT, "amount_unreadable"),
    ("1 2345", "EUR", DOT, "amount_unreadable"),
    ("12.00 CR", "EUR", DOT, "amount_unreadable"),
    ("12.-", "CHF", DOT, "amount_unreadable"),
    ("1.250,00 TL", "EUR", COMMA, "currency_contradicts"),
    ("12,-", "NOK", COMMA, "amount_unreadable"),
    ("1'23.50", "CHF", DOT, "amount_unreadable"),
    ("10%", "EUR", DOT, "amount_unreadable"),
    ("=1+1", "EUR", DOT, "amount_unreadable"),
    ("1 234,56", "EUR", DOT, "amount_unreadable"),
    ("1,234", "EUR", DOT, "amount_ambiguous"),
    ("-1,234", "EUR", DOT, "amount_ambiguous"),
    ("1.234", "EUR", COMMA, "amount_ambiguous"),
    ("12.345", "EUR", DOT, "amount_decimals"),
    ("12.5", "JPY", DOT, "amount_decimals"),
    ("1.2345", "KWD", DOT, "amount_decimals"),
    ("19.99", "EUR", CENTS, "amount_decimals"),
    ("12345678901234567.89", "EUR", DOT, "amount_overflow"),
    ("99999999999999999999", "EUR", DOT, "amount_overflow"),
    ("12.00", None, DOT, "currency_missing"),
    ("12.00", "XYZ", DOT, "currency_unknown"),
    ("12.00", "usd", DOT, "currency_unknown"),
    ("12.00", "XAU", DOT, "currency_unknown"),
    ("1200", "XYZ", CENTS, "currency_unknown"),
    ("USD 12.00", "EUR", DOT, "currency_contradicts"),
    ("12.00 GBP", "EUR", DOT, "currency_contradicts"),
    ("12.00 €", "USD", DOT, "currency_contradicts"),
    ("R$ 12,00", "USD", COMMA, "currency_contradicts"),
]


@pytest.mark.parametrize(("text", "currency", "notation", "minor"), READ)
def test_amount_is_read(text, currency, notation, minor):
    """An amount in a declared notation is exactly its minor units."""
    assert (minor, None) == money.parse_amount(text, currency, **notation)


@pytest.mark.parametrize(("text", "currency", "notation", "code"), REFUSED)
def test_amount_is_refused_with_a_code(text, currency, notation, code):
    """What cannot be read exactly is not guessed: it gets a code that has a text."""
    assert (None, code) == money.parse_amount(text, currency, **notation)
    assert code in money.AMOUNT_PROBLEMS


@pytest.mark.parametrize("text", [None, "", "   ", "\u00a0", "\ufeff"])
def test_blank_is_no_amount_and_no_problem(text):
    """A blank cell is no amount, also without a currency."""
    assert money.parse_amount(text, "EUR") == (None, None)
    assert money.parse_amount(text, None) == (None, None)


def test_a_column_keeps_its_order_with_plain_and_noted_numbers_mixed():
    """Rows that go the fast and the slow way come back each in its place."""
    frame = pl.DataFrame({"t": ["1.00", "$2.00", None, "x", "-4.00", "(5.00)"]})

    read = frame.select(money.parse_amounts(pl.col("t"), pl.lit("USD")).alias("a")).unnest("a")

    assert read["minor"].to_list() == [100, 200, None, None, -400, -500]
    assert read["code"].to_list() == [None, None, None, "amount_unreadable", None, None]


def test_rounding_is_said():
    """Only rows that lost decimals are marked as rounded."""
    frame = pl.DataFrame({"t": ["1.234", "1.23", "1.230", "x"]})

    read = frame.select(
        money.parse_amounts(pl.col("t"), pl.lit("EUR"), round_excess=True).alias("a")
    ).unnest("a")

    assert read["rounded"].to_list() == [True, False, False, False]


def test_an_empty_column_is_an_empty_answer():
    """No rows in, no rows out, with the same types."""
    frame = pl.DataFrame(schema={"t": pl.String, "c": pl.String})

    read = frame.select(money.parse_amounts(pl.col("t"), pl.col("c")).alias("a")).unnest("a")

    assert {"minor": pl.Int64, "code": pl.String, "rounded": pl.Boolean} == dict(read.schema)


def test_one_mark_cannot_mean_two_things():
    """Declaring the same mark for decimals and thousands is misuse, not data."""
    with pytest.raises(MoneyError, match="cannot be both the decimal and the thousands mark"):
        money.parse_amount("1", "EUR", decimal=",", thousands=",")


def test_lazy_and_eager_agree():
    """The expression means the same in an eager frame and in a lazy plan."""
    frame = pl.DataFrame({"t": ["1,234.50", "7"], "c": ["EUR", "JPY"]})
    expression = money.parse_amounts(pl.col("t"), pl.col("c"))

    assert frame.select(expression).equals(frame.lazy().select(expression).collect())


@settings(max_examples=200, deadline=None)
@given(
    st.integers(min_value=-(10**17), max_value=10**17),
    st.sampled_from(["EUR", "JPY", "BHD", "CLF", "USD"]),
)
def test_minor_units_survive_text_and_back(minor, currency):
    """Minor units written as text are read back as themselves."""
    assert (minor, None) == money.parse_amount(money.to_text(minor, currency), currency)


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_german_notation_survives_there_and_back(minor):
    """Grouped digits with a decimal comma mean the same number."""
    text = f"{Decimal(minor).scaleb(-2):,.2f}".translate(str.maketrans(",.", ".,"))

    assert (minor, None) == money.parse_amount(text, "EUR", decimal=",", thousands=".")


@settings(max_examples=200, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_half_even_is_decimal_half_even(value):
    """Rounding surplus decimals agrees with Python's exact decimals."""
    expected = int(value.quantize(Decimal("0.01"), rounding="ROUND_HALF_EVEN").scaleb(2))

    assert (expected, None) == money.parse_amount(f"{value:f}", "EUR", round_excess=True)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12))
def test_any_text_gets_an_answer(text):
    """No text raises, and none is both read and refused."""
    minor, code = money.parse_amount(text, "EUR")

    assert minor is None or code is None
    assert code is None or code in money.AMOUNT_PROBLEMS


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123450, "EUR", "1234.50"),
        (-5, "EUR", "-0.05"),
        (0, "EUR", "0.00"),
        (1200, "JPY", "1200"),
        (1234, "KWD", "1.234"),
    ],
)
def test_minor_units_as_text(minor, currency, text):
    """Scalar and column form write the same exact decimals."""
    frame = pl.DataFrame({"m": [minor], "c": [currency]})

    assert text == money.to_text(minor, currency)
    assert text == frame.select(money.text_expr(pl.col("m"), pl.col("c"))).item()


def test_amounts_for_people():
    """Display groups digits by locale, names the currency, and says unknown for null."""
    assert money.display(123450, "EUR") == "1,234.50 EUR"
    assert money.display(123450, "EUR", "de_DE") == "1.234,50 EUR"
    assert money.display(1200, "JPY") == "1,200 JPY"
    assert money.display(None, "EUR") == "unknown"


def test_decimals_of_currencies():
    """Decimals come from ISO 4217; a code outside it is an error that names it."""
    known = [money.exponent(c) for c in ("EUR", "JPY", "BHD", "ISK", "UGX")]
    assert known == [2, 0, 3, 0, 0]
    with pytest.raises(MoneyError, match="'EURO' is not an ISO 4217 currency code"):
        money.exponent("EURO")
