"""The invented shop's price list, countries, currencies, payment methods and fees.

Everything is an integer: minor units, basis points, rates in 1e-8. The numbers are plausible, the
names are made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from recon_kit.money import exponent
from recon_kit.synth.draws import Draws, Ints

CURRENCIES: tuple[str, ...] = ("USD", "EUR", "GBP", "CAD", "JPY", "KWD", "BHD")
USD, EUR = 0, 1
EXPONENTS: Ints = np.array([exponent(c) for c in CURRENCIES], dtype=np.int64)
# Minor units for 100.00 USD; the smallest step of a price; the smallest step of any amount
# (processors want the third decimal of a three-decimal currency to be zero).
PER_100_USD: Ints = np.array([10_000, 9_200, 7_900, 13_600, 14_800, 30_700, 37_600])
PRICE_STEP: Ints = np.array([5, 5, 5, 5, 10, 50, 50])
AMOUNT_STEP: Ints = np.array([1, 1, 1, 1, 1, 10, 10])

ACCOUNTS: tuple[str, ...] = ("stripe_us", "stripe_eu")
US, EU = 0, 1
SETTLES: Ints = np.array([USD, EUR])  # currency of each account
# Settled minor units per presented minor unit, in 1e-8, by account and currency.
RATE_UNIT = 100_000_000
RATES: Ints = np.array(
    [
        [RATE_UNIT, 108_600_000, 126_600_000, 73_530_000, 67_570_000, 32_570_000, 26_530_000],
        [92_050_000, RATE_UNIT, 116_500_000, 67_700_000, 62_200_000, 29_980_000, 24_420_000],
    ]
)


@dataclass(frozen=True, slots=True)
class Country:
    """Where customers live: currency, account that takes the money, tax in basis points."""

    code: str
    name: str
    currency: int
    account: int
    tax: tuple[int, ...]
    tax_added: bool
    weight: int
    phone: str
    cities: tuple[tuple[str, str, str, int], ...]  # city, province code, province, first zip


COUNTRIES: tuple[Country, ...] = (
    Country("US", "United States", USD, US, (0, 600, 725, 825, 888), True, 52, "+1555", (
        ("Albany", "NY", "New York", 12201), ("Portland", "ME", "Maine", 4101),
        ("Austin", "TX", "Texas", 78701), ("Boulder", "CO", "Colorado", 80301),
        ("Savannah", "GA", "Georgia", 31401), ("Tacoma", "WA", "Washington", 98401))),
    Country("CA", "Canada", 3, US, (500, 1300), True, 6, "+1555", (
        ("Halifax", "NS", "Nova Scotia", 30100), ("Regina", "SK", "Saskatchewan", 40200))),
    Country("GB", "United Kingdom", 2, EU, (2000,), False, 8, "+4420794", (
        ("York", "ENG", "England", 10110), ("Leith", "SCT", "Scotland", 60650))),
    Country("DE", "Germany", EUR, EU, (1900,), False, 10, "+4930555", (
        ("Lübeck", "SH", "Schleswig-Holstein", 23552), ("Jena", "TH", "Thüringen", 7743),
        ("Mainz", "RP", "Rheinland-Pfalz", 55116))),
    Country("FR", "France", EUR, EU, (2000,), False, 7, "+3365550", (
        ("Nîmes", "", "", 30000), ("Angers", "", "", 49000), ("Paris", "", "", 75008))),
    Country("ES", "Spain", EUR, EU, (2100,), False, 4, "+3465550", (
        ("Gijón", "O", "Asturias", 33201), ("Cádiz", "CA", "Cádiz", 11001))),
    Country("NL", "Netherlands", EUR, EU, (2100,), False, 3, "+3165550", (
        ("Delft", "", "", 26110), ("Zwolle", "", "", 80110))),
    Country("JP", "Japan", 4, US, (1000,), False, 5, "+8135550", (
        ("Otaru", "JP-01", "Hokkaidō", 47001), ("Nara", "JP-29", "Nara", 63082))),
    Country("KW", "Kuwait", 5, US, (0,), False, 3, "+9655550", (
        ("Salmiya", "", "", 20001), ("Hawalli", "", "", 30001))),
    Country("BH", "Bahrain", 6, US, (1000,), False, 2, "+9735550", (
        ("Muharraq", "", "", 20101), ("Riffa", "", "", 90101))),
)  # fmt: skip
COUNTRY_CURRENCY: Ints = np.array([c.currency for c in COUNTRIES])
COUNTRY_ACCOUNT: Ints = np.array([c.account for c in COUNTRIES])
COUNTRY_TAX_ADDED = np.array([c.tax_added for c in COUNTRIES])
# Each country's rates repeated to one width, so that a draw picks from a rectangle.
_TAX_WIDTH = 10
COUNTRY_TAX: Ints = np.array([[*(c.tax * _TAX_WIDTH)][:_TAX_WIDTH] for c in COUNTRIES])

_KINDS = ("Lamp", "Throw", "Kettle", "Basket", "Notebook", "Stool", "Candle", "Apron")
_MOODS = ("Harbour", "Fjord", "Moss", "Ember", "Dune", "Slate", "Willow", "Tide")
_BASE_CENTS = (4_990, 6_500, 8_900, 3_450, 1_290, 11_900, 1_890, 2_750)


def _product(mood: int, kind: int) -> tuple[str, str, int]:
    name = f"{_MOODS[mood]} {_KINDS[kind]}"
    if kind == 1:
        name = f'Throw "{_MOODS[mood]}"'
    if kind == 3:
        name = f"{_MOODS[mood]} Basket, large"
    sku = f"{_KINDS[kind][:3].upper()}-{_MOODS[mood][:3].upper()}-{mood * 8 + kind:02d}"
    return name, sku, _BASE_CENTS[kind] * (20 + 3 * mood) // 20


PRODUCTS: tuple[tuple[str, str, int], ...] = tuple(
    _product(mood, kind) for mood in range(len(_MOODS)) for kind in range(len(_KINDS))
)
DELIVERY_CENTS: tuple[int, ...] = (0, 495, 995)
DELIVERY_WEIGHTS = (25, 55, 20)
DELIVERY_NAMES: tuple[str, ...] = ("Collect in store", "Standard", "Express")


def in_currency(usd_cents: int) -> list[int]:
    """A price in every currency, rounded to each one's step of prices."""
    return [
        int((usd_cents * rate // 10_000) // step * step)
        for rate, step in zip(PER_100_USD, PRICE_STEP, strict=True)
    ]


PRICES: Ints = np.array([in_currency(cents) for _, _, cents in PRODUCTS])
DELIVERY: Ints = np.array([in_currency(cents) for cents in DELIVERY_CENTS])

METHODS: tuple[str | None, ...] = (
    "Stripe", "gift_card + Stripe", "PayPal Express Checkout", "Cash on Delivery (COD)",
    "gift_card", "Bank Deposit", "bogus", None,
)  # fmt: skip
STRIPE, GIFT_AND_STRIPE, PAYPAL, COD, GIFT_CARD, BANK_DEPOSIT, BOGUS, NOTHING = range(8)
METHOD_WEIGHTS = (9_080, 50, 500, 200, 80, 50, 40)

CHARGE_METHODS: tuple[str, ...] = ("card", "klarna", "sepa_debit", "customer_balance")
CARD, KLARNA, SEPA, TRANSFER = range(4)
BRANDS: tuple[str, ...] = ("visa", "mastercard", "amex", "discover")
# Variable fee in basis points and fixed fee in minor units of the account's currency.
FEE_CARD_US, FEE_CARD_ABROAD, FEE_CARD_EEA, FEE_CARD_UK = (290, 30), (440, 30), (150, 25), (250, 25)
FEE_KLARNA, FEE_SEPA, FEE_TRANSFER = (299, 35), (0, 35), (50, 0)
FEE_TRANSFER_MAX = 500
CONVERSION_BP: Ints = np.array([100, 200])  # added where the currency is not the account's
DISPUTE_FEE = 1_500


@dataclass(frozen=True, slots=True)
class Prices:
    """What the processor does to its price list, if anything.

    From the day `raised_on` (in UTC) cards of the American account cost `raised_bp` basis points
    more; of a million charges `overcharged_per_million` cost `overcharge_minor` too much.
    """

    raised_on: date | None = None
    raised_bp: int = 30
    overcharged_per_million: int = 0
    overcharge_minor: int = 150


LISTED = Prices()


def fees(  # noqa: PLR0913, PLR0917 - columns of one table
    account: Ints, method: Ints, country: Ints, currency: Ints, gross: Ints, raised_bp: Ints
) -> Ints:
    """Fee of each charge in minor units of its account, by method, country and currency."""
    home = country == 0
    british = country == 2
    kinds = [
        method == KLARNA, method == SEPA, method == TRANSFER,
        (account == US) & home, account == US, british,
    ]  # fmt: skip
    tariff = [FEE_KLARNA, FEE_SEPA, FEE_TRANSFER, FEE_CARD_US, FEE_CARD_ABROAD, FEE_CARD_UK]
    points = np.select(kinds, [t[0] for t in tariff], FEE_CARD_EEA[0])
    fixed = np.select(kinds, [t[1] for t in tariff], FEE_CARD_EEA[1])
    points = points + np.where(currency != SETTLES[account], CONVERSION_BP[account], 0) + raised_bp
    fee = (gross * points + 5_000) // 10_000 + fixed
    capped: Ints = np.where(method == TRANSFER, np.minimum(fee, FEE_TRANSFER_MAX), fee)
    return capped


def rate_table(draws: Draws, days: int) -> Ints:
    """Rates by account, currency and day: a slow walk of at most 0.04 % a day, in 1e-8."""
    table = np.empty((len(ACCOUNTS), len(CURRENCIES), days), dtype=np.int64)
    for account in range(len(ACCOUNTS)):
        for currency in range(len(CURRENCIES)):
            ids = np.arange(days, dtype=np.int64) + (account * 100 + currency) * 1_000_000
            drift = np.cumsum(draws.between("rate", ids, -400, 400))
            base = int(RATES[account, currency])
            fixed = currency == SETTLES[account]
            table[account, currency] = base if fixed else base * (1_000_000 + drift) // 1_000_000
    return table


def settle(amount: Ints, rate: Ints) -> Ints:
    """Presented minor units in the account's currency, rounded to the nearest, halves up."""
    return (amount * rate + RATE_UNIT // 2) // RATE_UNIT
