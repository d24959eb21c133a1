"""Marks by which a payment service's export says what its rows, units, currencies and ids are.

A proposal asks here before it falls back on one type, whole units and one constant currency for
all rows. A mark that does not speak clearly is left to the person who reads the proposal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from recon_kit.ingestion import words
from recon_kit.ingestion.feed import ROW, normal_header
from recon_kit.ingestion.guess import ColumnGuess
from recon_kit.ingestion.pairs import debit_credit_pair

_TYPE_COLUMN = (
    r"((record|transaction|event|entry|operation|activity|balance|action|breakdown) )?type"
    r"|reporting category|type ?/ ?transaction type"
)
# What one row is, in the words of payment services, spelled without case and separators.
_TYPE_WORDS: dict[str, str] = {
    **dict.fromkeys(("charge", "payment", "sale", "settled", "capture", "captured",
                     "order"), "payment"),
    **dict.fromkeys(("refund", "refunded", "paymentrefund", "partialrefund", "return", "returned"),
                    "refund"),
    **dict.fromkeys(("chargeback", "dispute", "chargebackreversed", "disputereversal"),
                    "chargeback"),
    **dict.fromkeys(("payout", "merchantpayout", "withdrawal"), "payout"),
    **dict.fromkeys(("fee", "fees", "stripefee", "servicefee", "applicationfee", "networkcost",
                     "invoicededuction"), "fee"),
    **dict.fromkeys(("adjustment", "depositcorrection", "payoutfailure", "payoutcancel",
                     "payoutreversal", "paymentfailurerefund", "refundfailure",
                     "resolutionpayout"), "adjustment"),
    **dict.fromkeys(("reservation", "booking"), "booking"),
    **dict.fromkeys(("reserve", "reservetransaction", "reservedfunds"), "reserve"),
    **dict.fromkeys(("transfer", "balancetransfer"), "transfer"),
    # Steps of one payment before its money moves: no further payments.
    **dict.fromkeys(("received", "authorised", "authorized", "sentforsettle"), "other"),
}  # fmt: skip
# What the last word of a longer name says: `Express Checkout Payment`, `General Withdrawal`.
_LAST_WORDS: tuple[str, ...] = ("refund", "chargeback", "withdrawal", "payout", "payment", "fee")
_TYPES_MAX = 40  # more words than this are no list of types
_SOLD = frozenset({"sale", "charge"})
_FEW = 3  # rows that may share a transaction by chance
_OUTGOING = frozenset({"refund", "chargeback", "fee"})
_NEGATIVE = r"[-(\x{2212}]"
# Objects of Stripe's API, whose amounts count the smallest unit of their currency.
_API_OBJECTS = (
    "balance_transaction", "charge", "payout", "refund", "payment_intent", "dispute", "transfer",
    "checkout.session",
)  # fmt: skip
_MINOR_NAME = r".*\b(cents|pence|minor( units?)?)|.*amount money\.amount|(.*\.)?amount\.value"
_FEE_MARK = r"fee (debit or credit|debit/credit|credit/debit|d/c|dr/cr|direction)( indicator)?"
_CONVERTED = {
    "amount": "converted amount", "currency": "converted currency",
    "presentment_amount": "amount", "presentment_currency": "currency",
}  # fmt: skip
_EMPTY_WORDS = frozenset({"amount", "currency", "debit", "credit", "in", "gc", "nc"})


def plain_names(columns: Iterable[str]) -> dict[str, str]:
    """Column to the name its words are looked for in: without an envelope that all stand in.

    A field inside an object is called by both names: `billing.email` is the billing email.
    """
    names = {column: _spelled(column) for column in columns}
    envelopes = {name.partition(".")[0] if "." in name else "" for name in names.values()}
    if len(envelopes) == 1 and "" not in envelopes:
        names = {column: name.partition(".")[2] for column, name in names.items()}
    return {column: " ".join(name.replace(".", " ").split()) for column, name in names.items()}


def _spelled(column: str) -> str:
    """A normalised name without the hyphens and marks that services write into theirs."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", column)  # `InvoiceNumber`
    name = (
        normal_header(apart).removesuffix(" (metadata)").replace("paymentintent", "payment intent")
    )
    return re.sub(r"(?<=\w\w)-(?=\w)", " ", name)


def types_told(
    guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame, amount: str | None
) -> tuple[str, dict[str, str]] | None:
    """The column that says what each row is, and the event type of each of its words.

    A word that is not known, or whose rows carry signs that its type never has, is `other`.
    """
    best: tuple[tuple[float, int], str, dict[str, str]] | None = None
    for column in guesses:
        if column not in rows.columns or not re.fullmatch(_TYPE_COLUMN, _own_name(column)):
            continue
        told = marks(rows[column])
        known = [word for word in told if _kind(word) is not None]
        worth = len(known) / max(len(told), 1), len(known)
        if worth[0] < 0.5 or len(told) > _TYPES_MAX or (best is not None and best[0] >= worth):
            continue
        kinds = {word: _type_of(word, rows, column, amount) for word in told}
        best = worth, column, kinds
    return None if best is None else best[1:]


def _kind(word: str) -> str | None:
    """The event type that a word of a type column stands for; null where it is not known."""
    last = _plain(re.split(r"[\W_]+", word.strip(" ()"))[-1])
    return _TYPE_WORDS.get(_plain(word)) or (_TYPE_WORDS[last] if last in _LAST_WORDS else None)


def _type_of(word: str, rows: pl.DataFrame, column: str, amount: str | None) -> str:
    kind = _kind(word) or "other"
    if amount is None or amount not in rows.columns:
        return kind
    below, above = _signs(rows.filter(_text(column) == word), amount)
    if (kind == "payment" and below) or (kind == "refund" and below and above):
        return "other"
    return kind


def on_the_paying_side(
    types: tuple[str, dict[str, str]], rows: pl.DataFrame, amount: str | None
) -> bool:
    """Whether every sale is printed below zero: a buyer's card, whose rows are account lines."""
    column, kinds = types
    sold = [w for w in kinds if _kind(w) == "payment" and _plain(w) in _SOLD]
    if amount is None or amount not in rows.columns or not sold:
        return False
    below, above = _signs(rows.filter(_text(column).is_in(sold)), amount)
    return below and not above


def outgoing_unsigned(
    types: tuple[str, dict[str, str]], rows: pl.DataFrame, amount: str | None
) -> bool:
    """Whether refunds, chargebacks and fees are printed as bare sizes, none with a minus."""
    column, kinds = types
    if amount is None or amount not in rows.columns:
        return False
    outgoing = [word for word, kind in kinds.items() if kind in _OUTGOING]
    below, above = _signs(rows.filter(_text(column).is_in(outgoing)), amount)
    return above and not below


def printed_below_zero(rows: pl.DataFrame, column: str | None) -> bool:
    """Whether any of these amounts is printed below zero."""
    return column is not None and column in rows.columns and _signs(rows, column)[0]


def any_nonzero(rows: pl.DataFrame, column: str) -> bool:
    """Whether any of these amounts is told and not zero."""
    return column in rows.columns and bool(rows[column].cast(pl.String).str.contains("[1-9]").any())


def _signs(rows: pl.DataFrame, amount: str) -> tuple[bool, bool]:
    """Whether any amount is printed below zero, and any above."""
    told = rows.filter(_text(amount).str.contains("[1-9]"))[amount].cast(pl.String)
    below = told.str.contains(_NEGATIVE)
    return bool(below.any()), not bool(below.all())


def counts_minor(guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame, amount: str) -> bool:
    """Whether the file is known to count cents: Stripe's API, PayPal's reports, or by its name."""
    names = {normal_header(c) for c in guesses}
    if {"transaction event code", "gross transaction amount"} <= names:
        return True
    if re.fullmatch(_MINOR_NAME, normal_header(amount)):
        return True
    objects = [c for c in guesses if _own_name(c) == "object" and c in rows.columns]
    return any(set(marks(rows[c])) & set(_API_OBJECTS) for c in objects)


def fee_is_a_row(rows: pl.DataFrame, chosen: Mapping[str, str]) -> bool:
    """Whether some row is itself the fee that it tells: then every amount is told without it."""
    if not {"fee", "amount"} <= set(chosen) or not set(chosen.values()) <= set(rows.columns):
        return False
    fee, amount = _text(chosen["fee"]), _text(chosen["amount"])
    out = rows.filter(fee.str.contains("[1-9]"), amount.str.contains(_NEGATIVE))
    size = [text.str.replace_all(r"[^0-9]", "") for text in (fee, amount)]
    return bool(out.select((size[0] == size[1]).any()).item())


def fees_below_zero(rows: pl.DataFrame, chosen: Mapping[str, str]) -> bool:
    """Whether each fee beside an amount that is not below zero is itself printed below zero."""
    if not {"fee", "amount"} <= set(chosen) or not set(chosen.values()) <= set(rows.columns):
        return False
    fee, amount = (pl.col(chosen[name]).cast(pl.String) for name in ("fee", "amount"))
    told = rows.filter(fee.str.contains("[1-9]"), ~amount.str.contains(_NEGATIVE))
    return told.height > 0 and bool(told.select(fee.str.contains(_NEGATIVE).all()).item())


def twin_currency(amount: str, guesses: Mapping[str, ColumnGuess]) -> str | None:
    """The one column of currencies whose name says that it is this amount's.

    `Gross Transaction Currency` belongs to `Gross Transaction Amount`, `Main Currency` to
    `Main Amount`, `paid.currency` to `paid.amount`; two that fit equally well are none.
    """
    beside = f"{amount.rpartition('.')[0]}.currency"
    if beside in guesses:
        return beside
    wanted = _words(amount)
    shared = sorted(
        ((len(wanted & _words(c)), c) for c, g in guesses.items() if g.kind == "currency"),
        reverse=True,
    )
    if not shared or shared[0][0] == 0 or (len(shared) > 1 and shared[1][0] == shared[0][0]):
        return None
    return shared[0][1]


def told_by_few(rows: pl.DataFrame, currency: str, amounts: Sequence[str]) -> bool:
    """Whether one currency stands in the column alone, and not beside every amount."""
    if not amounts or not {currency, *amounts} <= set(rows.columns):
        return False
    paid = rows.filter(pl.any_horizontal(_text(c).str.len_chars() > 0 for c in amounts))
    beside = paid.filter(_text(currency).str.len_chars() > 0)
    return len(marks(rows[currency])) == 1 and beside.height < paid.height


def halves_of_a_name(guesses: Iterable[str]) -> tuple[str, str] | None:
    """The columns of a given and a family name of one person, the first such two."""
    spelled = {_spelled(column): column for column in guesses}
    for name, column in spelled.items():
        found = re.fullmatch(words.GIVEN_NAME, name)
        others = (found[1] + family for family in words.FAMILY_NAMES) if found else ()
        family = next((spelled[other] for other in others if other in spelled), None)
        if family is not None:
            return column, family
    return None


def fee_mark(guesses: Mapping[str, ColumnGuess]) -> str | None:
    """The column that says which way each fee went, where there is one."""
    return next((c for c in guesses if re.fullmatch(_FEE_MARK, normal_header(c))), None)


def fee_beside(guesses: Mapping[str, ColumnGuess]) -> str | None:
    """The column of fees beside amounts that moved, where there is one."""
    money = (c for c, g in guesses.items() if g.kind in {"amount", "count"})
    return next((c for c in money if re.fullmatch(words.FIELD_WORDS["fee"][0], _spelled(c))), None)


def payout_column(columns: Iterable[str], rows: pl.DataFrame) -> str | None:
    """The first of these columns that holds ids of Stripe's payouts and nothing else."""
    for column in columns:
        told = marks(rows[column]) if column in rows.columns else []
        if told and all(re.fullmatch(r"po_\w{2,}", value) for value in told):
            return column
    return None


def payouts_in_text(guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame) -> str | None:
    """The column of free text that names Stripe's payouts, as bank lines do."""
    texts = [c for c, g in guesses.items() if g.kind == "text" and c in rows.columns]
    named = (c for c in texts if rows[c].cast(pl.String).str.contains(r"\bpo_\w{2,}").any())
    return next(named, None)


def gross_column(guesses: Mapping[str, ColumnGuess]) -> str | None:
    """The first column of gross amounts; they may all be whole."""
    money = (c for c, g in guesses.items() if g.kind in {"amount", "count"})
    return next((c for c in money if re.match(r"gross\b", normal_header(c))), None)


def converted(guesses: Mapping[str, ColumnGuess]) -> dict[str, str]:
    """Of an export that tells what was paid and what it became in the account: both, by field.

    The fee beside them is one of the account's currency.
    """
    kinds = {"amount", "count", "currency"}
    names = {normal_header(c): c for c, g in guesses.items() if g.kind in kinds}
    told = {field: names.get(name) for field, name in _CONVERTED.items()}
    return {} if None in told.values() else {f: c for f, c in told.items() if c is not None}


def refunds_beside(guesses: Mapping[str, ColumnGuess]) -> list[str]:
    """Columns that tell of each payment how much of it was refunded."""
    money = [c for c, g in guesses.items() if g.kind in {"amount", "count"}]
    of = r"(amount|total) refunded|refunded (amount|total)"
    if converted(guesses):
        of = "converted amount refunded"
    return [c for c in money if re.fullmatch(of, _spelled(c))]


def may_be(field: str, column: str, guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame) -> bool:
    """Whether a column that is worded like a field can be it.

    Half of a pair of debit and credit is no amount: the other half would be lost. What all rows
    share tells no transaction, and an order's id, however it is called, no row of it.
    """
    if field == "native_id":
        return tells_apart(column, rows) and not re.search(r"\border\b", normal_header(column))
    if field == "transaction_id" and column in rows.columns:
        return not _is_prose(column, rows) and (rows.height < _FEW or len(marks(rows[column])) != 1)
    if field == "description" and normal_header(column) == "payment reference":
        return _is_prose(column, rows)
    if field == "amount" and normal_header(column).startswith("net "):
        return gross_column(guesses) is None  # the gross beside it says what was paid
    return field != "amount" or column not in (debit_credit_pair(guesses) or ())


def _is_prose(column: str, rows: pl.DataFrame) -> bool:
    """Whether some of these are words that a payer wrote, and no ids."""
    told = marks(rows[column]) if column in rows.columns else []
    return any(re.search(r"\s", mark) for mark in told)


def tells_apart(column: str, rows: pl.DataFrame) -> bool:
    """Whether these ids are of the rows themselves, not of an account or report they share.

    An id that most rows lack is none of theirs.
    """
    if re.search(r"\b(reference|parent|related|original)\b", normal_header(column)):
        return False  # the id of another row
    if column not in rows.columns:
        return True
    filled = rows.filter(_text(column).str.len_chars() > 0)
    apart = filled.unique()
    return filled.height * 2 > rows.height and apart[column].n_unique() * 2 > apart.height


def ids_repeat(column: str, rows: pl.DataFrame) -> bool:
    """Whether rows that say different things share an id: one would be read as a later other."""
    if column not in rows.columns:
        return False
    ids = rows.drop(ROW, strict=False).unique().filter(_text(column).str.len_chars() > 0)[column]
    return ids.n_unique() < len(ids)


def marks(column: pl.Series) -> Sequence[str]:
    """The distinct filled texts of a column, in order."""
    told: list[str] = (
        column.cast(pl.String).str.strip_chars().drop_nulls().unique().sort().to_list()
    )
    return [mark for mark in told if mark]


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.strip_chars()


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())


def _own_name(column: str) -> str:
    """A column's normalised name; of a nested one the name inside its object."""
    return _spelled(column).rpartition(".")[2]


def _words(column: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", normal_header(column))) - _EMPTY_WORDS
