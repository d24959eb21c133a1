"""Guesses about an undeclared file, for a person to confirm. Nothing is ingested by them.

Ingestion itself never infers. Only `profile` looks at a strange file and proposes how it might
be read; every doubt becomes a note that ends up as a comment in the proposed settings.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from recon_kit import money
from recon_kit.ingestion import times
from recon_kit.ingestion.feed import Dialect
from recon_kit.ingestion.preamble import find_table

_LINES_LOOKED_AT = 60
_VALUES_LOOKED_AT = 2_000
_FITS = 0.98  # share of values that must fit for a column to be of a kind

# Most specific first: of two formats that read every value alike the earlier one is proposed.
DATE_FORMATS: tuple[str, ...] = (
    "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S %Z",
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S %z", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d",
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d.", "%Y.%m.%d",
    "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%Y %H:%M:%S%.f",
    "%m-%d-%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%b %d, %Y",
    "%d %b %Y", "%d %b %y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p %Z", "%d.%m.%Y, %H:%M", "%d/%m/%Y, %H:%M", "%m/%d/%Y, %I:%M %p",
)  # fmt: skip
_TIME_WORDS = re.compile(
    r"date|time|created|posted|booked|settled|datum|fecha|buchung(stag)?$|(_| )(at|on)$",
    re.IGNORECASE,
)
_PHONE_WORDS = re.compile(r"phone|mobile|telefon|\btel\b", re.IGNORECASE)
_NAME_WORDS = re.compile(
    r"^(customer|billing|shipping|card|contact|payer|buyer|partner|client|ship.to|bill.to"
    r"|consumer|shopper)?[ _]?name$|^(customer|client|buyer|consumer|shopper|debtor|sender)$"
    r"|(^|[ _])(first|last|full|middle|given|family)[ _]?name$"
    r"|surname|cardholder|recipient|\bpayee\b|counter ?part(y|ies)|\bpartner[ _]?n(ame|eve)"
    r"|\b(guest|travell?er|booker|passenger|booked by|payer|ordering party|account holder)\b"
    r"|^(fn|ln)$|\bnaam\b|^nombre\b|^nom\b|titulaire|b[ée]n[ée]ficiaire|benefici?ari|ordinante"
    r"|auftraggeber|empf(ä|ae?)nger(?!iban|kto|blz|bic)|beg(ü|ue?)nstigter|zahlungsbeteiligt"
    r"|zahlungspflichtig|kontoinhaber|intestatario|tegenpartij$|n[áa]zev|saaja|maksaja|\bna[mv]n\b"
    r"|mottak(er|are)|avs[äe]nd(are|er)|odbiorc|nadawc|kontrahent|imi[ęe]|nazwisk",
    re.IGNORECASE,
)
# What people write about themselves and others into a free field.
_NOTE_WORDS = re.compile(
    r"^(customer |order |buyer |gift )?(notes?|comments?|remarks?|messages?)([ _]attributes)?$"
    r"|^notes? and|instructions?$|special requests?|bemerkung|anmerkung|opmerking",
    re.IGNORECASE,
)
_ACCOUNT_WORDS = re.compile(
    r"\biban\b|bank[ _]?account|(account|card)[ _]?(no|number|key)"
    r"|(^|[_\W])(ssn|soc(ial)?[ _]?sec(urity)?|passport|national[ _]?id)([_\W]|$)",
    re.IGNORECASE,
)
# A day that says who somebody is, not when anything happened.
_BIRTH_WORDS = re.compile(
    r"(^|[_\W])(dob|birth[ _]?(date|day)|(date|day)[ _]of[ _]birth|born|geburts(tag|datum)"
    r"|(date|lieu)[ _]de[ _]naissance|fecha[ _]de[ _]nacimiento)([_\W]|$)",
    re.IGNORECASE,
)
_IBAN = r"^[A-Z]{2}[0-9]{2} ?[A-Z0-9 ]{10,32}$"
_OWN_ACCOUNT_WORDS = re.compile(r"\b(account|konto|rekening|cuenta|conto|compte)\b", re.IGNORECASE)
_ACCOUNT_DIGITS = r"^(\D?[0-9]){8,}$"
_ADDRESS_WORDS = re.compile(
    r"address|street|\bcity\b|zip|post(al)?[ _]?code|line_?[12]$", re.IGNORECASE
)
_ID_WORDS = re.compile(
    r"(^|[ _\-])(id|ids|no|nr|num|number|ref|reference|key|code|token)([ _\-]|$)|(?<!^)#|Id$|ID$"
    r"|^(name|order|transaction|invoice)$",
    re.IGNORECASE,
)
_ENDS_IN_ZONE = r" [A-Z]{2,5}$"  # `2026-03-02 10:00:00 UTC`
_LOOKS_DATED = r"[0-9]{1,4}[-/. ][0-9A-Za-z]{1,3}[-/., ]|[A-Za-z]{3,9}\.? [0-9]{1,2},? [0-9]{4}"
_DIGITAL_DAY, _EPOCH_TIME = r"^[12][0-9]{7}$", r"^[0-9]{10}(\.[0-9]+)?$|^[0-9]{13}$"
_LOOKS_COUNTED = r"^[-+]?[0-9]{1,18}$"
_SIGN = "(?:[A-Z]{3}|[$\u20ac\u00a3\u00a5])"
_LOOKS_PAID = (
    rf"^[-+(\x{{2212}}]?\s*(?:{_SIGN}\s?)?[-+]?[0-9][0-9.,'\s\x{{a0}}\x{{202f}}]*\)?-?\s*{_SIGN}?$"
)
_CURRENCY_MARK = r"\s*(\p{Sc}|[A-Z]{3}|kr\.?|zł|Kč|Ft|TL)\s*"
_LETTERS = r"([A-Z]{3})"  # of an amount that names its currency
_MONEY_WORDS = re.compile(
    r"\b(amount|total|gross|net|price|value|fees?|soll|haben|umsatz|dare|avere|debe|haber|valor)\b"
    r"|d[ée]bit|cr[ée]dit|betrag|importe|montant|bedrag|importo|bel(opp|ø|o)|kwota|tutar|金額",
    re.IGNORECASE,
)
_MOSTLY = 0.5  # of a column that is called an amount, so many values must read as one
# An amount with its direction behind it, as many banks of the Commonwealth print it.
BARE_AMOUNT, MARK_BEHIND = r"([-+]?[0-9][0-9.,]*)", r"([CcDd][Rr])"
MARKED_AMOUNT = rf"^\s*{BARE_AMOUNT}\s*{MARK_BEHIND}\.?\s*$"
_VENDOR_ID = r"^[a-z]{2,5}_[A-Za-z0-9_]{8,}$"  # `pi_3TRX...`, `cus_M5wW...`
_EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$|^[0-9a-f]{64}$"
FOOTER_NOTE = "lines that tell totals or balances are no rows: see footer_regex"
_SEPARATOR = re.compile(r'^"?sep=."?\r?\n', re.IGNORECASE)
_TOTALS = re.compile(
    r"^\W*((?:grand |sub)?totals?|summe|gesamt(?:summe|betrag)?|total[ei]|totaal|suma|somme"
    r"|yhteensä|összesen|итого)\b",
    re.IGNORECASE,
)
_FOOT = re.compile(
    r"^\W*(copyright|confidential|kontostand|(?:closing|ending) balance)\b", re.IGNORECASE
)
_HAS_DAY = re.compile(r"[0-9]{1,4}[-/.][0-9A-Za-z]{1,3}[-/.][0-9]{1,4}")
# Lines among the rows that tell a balance, not a movement; and the foot of a printed report.
_BALANCE_LINE = re.compile(
    r"(?:^|[;,\t|])\W*(anfangssaldo|endsaldo|(?:opening|closing) balance"
    r"|(?:beginning|ending) balance as of|saldo (?:inicial|final|iniziale|finale)"
    r"|solde (?:initial|final)|(?:begin|eind)saldo)\b",
    re.IGNORECASE,
)
_REPORT_FOOT = re.compile(r"\b((?:accrual|cash) basis)\W*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DialectGuess:
    """How the file might be read, with what is doubtful about it."""

    dialect: Dialect
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """What one column seems to hold.

    `kind` is one of empty, email, phone, name, address, account, birth, note, timestamp, date,
    currency, boolean, amount, count, id, text. `formats` are the date formats that read every
    value: more than one means that a person must choose.
    """

    kind: str
    formats: tuple[str, ...] = ()
    comma_only: int = 0  # values that only a decimal comma explains
    dot_only: int = 0  # values that only a decimal point explains
    grouped_or_decimal: int = 0  # values such as `1,234` that both explain
    unread: int = 0  # values that neither explains, among amounts
    marked: bool = False  # whether each amount ends in its direction: `12.50 Dr`

    @property
    def personal(self) -> bool:
        """Whether samples of this column must be masked."""
        return self.kind in {"email", "phone", "name", "address", "account", "birth", "note"}


def number_marks(columns: Sequence[ColumnGuess]) -> tuple[str, str | None]:
    """The decimal mark of amounts, and the one that groups thousands where some read either way."""
    comma = sum(g.comma_only for g in columns) > sum(g.dot_only for g in columns)
    either = any(g.grouped_or_decimal for g in columns)
    return ("," if comma else "."), (("." if comma else ",") if either else None)


def guess_dialect(head: bytes, tail: bytes = b"") -> DialectGuess:
    """Format, encoding, delimiter and preamble from the first bytes of a file.

    Args:
        head: the first bytes, unpacked.
        tail: the last bytes, where a footer would stand.
    """
    if head.startswith(b"PAR1"):
        return DialectGuess(Dialect(format="parquet"))
    encoding, notes = _guess_encoding(head)
    text = _decoded(head, encoding)
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")):
        return DialectGuess(replace(_guess_json(start), encoding=encoding), tuple(notes))
    # the reader takes a first line `sep=;` by itself
    table = find_table(_SEPARATOR.sub("", text.lstrip("\ufeff")), _LINES_LOOKED_AT)
    if table.skip_rows:
        notes.append(f"{table.skip_rows} lines above the header are skipped")
    if table.columns:
        notes.append("the file has no header row: name its columns in `header`, in their order")
    body = text.splitlines()[table.skip_rows + (not table.columns) :]
    footer = _guess_footer(body, _decoded(tail, encoding))
    if footer:
        notes.append(FOOTER_NOTE)
    return DialectGuess(
        Dialect(
            encoding=encoding,
            delimiter=table.delimiter,
            skip_rows=table.skip_rows,
            header=tuple(f"column_{i}" for i in range(1, table.columns + 1)),
            footer_regex=footer,
            reads=frozenset(),  # a look at a file needs no name to be clear
        ),
        tuple(notes),
    )


def guess_column(header: str, values: pl.Series) -> ColumnGuess:
    """What a column holds, from its name and its distinct filled values."""
    seen = values.drop_nulls().unique(maintain_order=True).head(_VALUES_LOOKED_AT)
    if seen.is_empty():
        return ColumnGuess("empty")
    kind = _personal_kind(header, seen)
    if kind is not None:
        return ColumnGuess(kind)
    dated = _guess_dates(header, seen)
    if dated is not None:
        return dated
    kind = _plain_kind(header, seen)
    if kind == "text" and _share(seen, MARKED_AMOUNT) >= _FITS:
        bare = seen.str.extract(MARKED_AMOUNT, 1).drop_nulls()
        return replace(_guess_amounts(bare), marked=True)
    if kind == "text" and _share(seen, r"[0-9]") >= _MOSTLY:
        paid = _guess_amounts(seen)
        named = _MONEY_WORDS.search(header) is not None
        if (len(seen) - paid.unread) / len(seen) >= (_MOSTLY if named else _FITS):
            return paid
    return _guess_amounts(seen) if kind == "amount" else ColumnGuess(kind)


def _personal_kind(header: str, seen: pl.Series) -> str | None:
    own = header.rpartition(".")[2].lstrip("*")  # JSON: the name inside its object
    said = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", own)  # `ContactName`
    numbers = _OWN_ACCOUNT_WORDS.search(header) and _share(seen, _ACCOUNT_DIGITS) >= _FITS
    signs = {
        "email": _share(seen, _EMAIL) >= _FITS,
        "phone": _PHONE_WORDS.search(header),
        "account": numbers or _ACCOUNT_WORDS.search(header) or _share(seen, _IBAN) >= _FITS,
        "note": _NOTE_WORDS.search(header),
        "birth": _BIRTH_WORDS.search(header),
        "address": _ADDRESS_WORDS.search(header),
        # A shop's order name ("#1001") is no person's name.
        "name": _NAME_WORDS.search(said) and _share(seen, r"[0-9]") < 0.5,
    }
    return next((kind for kind, sign in signs.items() if sign), None)


def _plain_kind(header: str, seen: pl.Series) -> str:
    prefixed = min(_share(seen, _VENDOR_ID), _share(seen, r"[0-9]"))
    named_id = _ID_WORDS.search(header.rpartition(".")[2]) is not None or prefixed >= _FITS
    if seen.str.to_uppercase().is_in(list(money.currency_exponents())).all():
        return "currency"
    if seen.str.to_lowercase().is_in(["true", "false", "yes", "no", "t", "f", "y", "n"]).all():
        return "boolean"
    if not named_id and _share(seen, _LOOKS_COUNTED) >= _FITS:
        return "count"
    if not named_id and _share(seen, _LOOKS_PAID) >= _FITS and _only_currencies(seen):
        return "amount"
    return "id" if named_id else "text"


def _only_currencies(amounts: pl.Series) -> bool:
    """Whether letters beside the digits are currencies: `INV-0001` is no amount."""
    letters = amounts.str.extract(_LETTERS, 1).drop_nulls()
    return bool(letters.is_in(list(money.currency_exponents())).all())


def _share(values: pl.Series, pattern: str) -> float:
    return float(values.str.contains(pattern).sum()) / max(len(values), 1)


def _guess_encoding(head: bytes) -> tuple[str, list[str]]:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name, []
    sample = head[:4096]
    if len(sample) >= 8 and sample.count(0) * 3 > len(sample):
        little = sample[1::2].count(0) > sample[0::2].count(0)
        return ("utf-16-le" if little else "utf-16-be"), ["UTF-16 without a mark: check accents"]
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head, final=False)
    except UnicodeDecodeError:
        return "cp1252", ["the bytes are not UTF-8; cp1252 is a guess: check accents and signs"]
    return "utf-8", []


def _decoded(data: bytes, encoding: str) -> str:
    return codecs.getincrementaldecoder(encoding)("replace").decode(data, final=False)


def _guess_json(start: str) -> Dialect:
    first, _, rest = start.partition("\n")
    if first.rstrip().endswith("}") and rest.lstrip().startswith("{"):
        return Dialect(format="ndjson")
    try:
        body = json.loads(start)
    except ValueError:  # longer than what was looked at: the reader will say if it is broken
        return Dialect(format="json")
    return Dialect(format="json", records=_list_in(body))


def _list_in(body: object, depth: int = 2) -> str | None:
    """Path of the first list of objects inside an object, such as `data.items`."""
    if not isinstance(body, dict) or depth == 0 or "id" in body:
        return None  # what has an id is a record itself, not an envelope of records
    for name, value in body.items():
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            return str(name)
    inner = ((n, _list_in(v, depth - 1)) for n, v in body.items() if isinstance(v, dict))
    return next((f"{name}.{path}" for name, path in inner if path), None)


def _guess_footer(body: list[str], tail: str) -> str | None:
    """A pattern of the lines that tell totals at the end, or a balance anywhere among the rows."""
    last = [line for line in tail.splitlines()[-6:] if line.strip()]
    # a payee may be called like a total, but its row has a day
    words = [m[1] for line in last if (m := _TOTALS.match(line)) and not _HAS_DAY.search(line)]
    words += [m[1] for line in last if (m := _FOOT.match(line))]
    feet = [m[1] for line in last if (m := _REPORT_FOOT.search(line))]
    whole = len(body) <= _LINES_LOOKED_AT
    rows = body if whole else [*body[:_LINES_LOOKED_AT], *last]
    balances = [m[1] for line in rows if (m := _BALANCE_LINE.search(line))]
    found = []
    if words:
        found.append("^\\W*(" + "|".join(dict.fromkeys(re.escape(w) for w in words)) + ")")
    if balances:
        found.append("(^|[;,\\t|])\\W*(" + "|".join(dict.fromkeys(balances)) + ")")
    found += dict.fromkeys(re.escape(foot) for foot in feet)
    return "|".join(found) or None


def read_times(column: str, text: str) -> pl.Expr:
    """Times as `times.parse_times` reads them by one proposed format, which may end in a zone."""
    plain = text.removesuffix(" %Z")
    return times.parse_times(pl.col(column), formats=(plain,), zone="UTC", named_zone=plain != text)


def _guess_dates(header: str, seen: pl.Series) -> ColumnGuess | None:
    formats = DATE_FORMATS
    if _share(seen, _LOOKS_DATED) < _FITS:
        # bare digits are a time only where the header speaks of one
        bare = (("%Y%m%d", _DIGITAL_DAY), (times.EPOCH, _EPOCH_TIME))
        formats = tuple(f for f, pattern in bare if _share(seen, pattern) >= _FITS)
        if not formats or not _TIME_WORDS.search(header):
            return None
    frame = seen.alias("v").to_frame()
    read: dict[str, pl.Series] = {}
    for text in formats:
        if text.endswith(" %Z") and _share(seen, _ENDS_IN_ZONE) < _FITS:
            continue
        cell = read_times("v", text).alias("v")
        parsed = frame.select(cell)["v"]
        instants = parsed.struct.field("ts")
        # Placeholders such as 1970-01-01 were read, if not accepted.
        fits = instants.is_not_null() | (parsed.struct.field("code") == "time_placeholder")
        if fits.mean() == 1 or (float(fits.sum()) / len(seen)) >= _FITS:
            read[text] = instants
    if not read:
        return None
    best = max(read, key=lambda f: len(seen) - read[f].null_count())
    rivals = [f for f in read if f != best and not read[f].equals(read[best], null_equal=True)]
    clock = re.search(r"%[HI]", best) or best == times.EPOCH
    return ColumnGuess("timestamp" if clock else "date", (best, *rivals))


def _guess_amounts(seen: pl.Series) -> ColumnGuess:
    """Which decimal mark explains the values; the money parser itself is asked both ways."""
    # which currency an amount names says nothing about its marks
    bare = seen.str.replace_all(_CURRENCY_MARK, "")
    frame = bare.alias("v").to_frame().with_columns(currency=pl.lit("USD"))
    bad = {}
    for mark in (".", ","):
        read = money.parse_amounts(
            pl.col("v"), pl.col("currency"), decimal=mark, exponents={"USD": 9}
        )
        bad[mark] = frame.select(read.struct.field("code"))["code"]
    letters = seen.str.extract(_LETTERS, 1)
    strange = letters.is_not_null() & ~letters.is_in(list(money.currency_exponents()))
    strange = strange.fill_null(value=False)
    dot, comma = bad["."].is_null(), bad[","].is_null()
    # `1,234` is refused with a decimal point (ambiguous) and read with a decimal comma.
    doubt = (bad["."] == "amount_ambiguous").fill_null(value=False) | (
        bad[","] == "amount_ambiguous"
    ).fill_null(value=False)
    return ColumnGuess(
        "amount",
        comma_only=int((comma & ~dot & ~doubt).sum()),
        dot_only=int((dot & ~comma & ~doubt).sum()),
        grouped_or_decimal=int(doubt.sum()),
        unread=int(((~dot & ~comma & ~doubt) | strange).sum()),
    )
