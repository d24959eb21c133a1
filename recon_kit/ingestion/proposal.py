"""A ready `[[sources]]` block for a file, as TOML text with every doubt as a comment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit import model
from recon_kit.ingestion import (
    day_and_time,
    line_items,
    one_currency,
    pairs,
    unsettled,
    vendor_marks,
    words,
)
from recon_kit.ingestion.feed import Dialect, normal_header
from recon_kit.ingestion.fields import choose_fields, doubled
from recon_kit.ingestion.guess import (
    BARE_AMOUNT,
    FOOTER_NOTE,
    MARK_BEHIND,
    MARKED_AMOUNT,
    ColumnGuess,
    number_marks,
)
from recon_kit.ingestion.identity import DERIVED_ID_FIELDS
from recon_kit.ingestion.toml_block import OWNER, quoted, source_name, types_line
from recon_kit.ingestion.vendor_block import vendor_block
from recon_kit.settings import Layout

_COMMON_TYPES = "order, payment, refund, payout, bank_line, conversion"
# Files whose rows are of one kind, whatever a column called `type` may say.
_ONE_KIND = frozenset({"bank_line", "conversion", "invoice", "lead", "order"})
_SET_ASIDE = "lines that tell totals are no rows: they will be set aside"
_BESIDE = ("direction", "time", "zone", "presentment_amount", "presentment_currency")
# Files whose rows need move no money.
_PLANS = frozenset({"booking", "conversion", "invoice", "lead", "order", "shipment"})


def propose(  # noqa: PLR0913 - everything that the profile found goes in
    file: str,
    dialect: Dialect,
    feed: str | None,
    *,
    guesses: Mapping[str, ColumnGuess],
    notes: Sequence[str],
    rows: pl.DataFrame,
) -> str:
    """The block that would declare this file; valid as it stands, to be confirmed by a person.

    Args:
        file: the file's name.
        dialect: how the file was read.
        feed: the vendor's feed that reads it, if one does.
        guesses: what each column seems to hold.
        notes: what was doubtful about the file.
        rows: its first rows, looked at for currency signs and offsets.
    """
    name = source_name(file)
    if feed is not None:
        notes = [_SET_ASIDE if note == FOOTER_NOTE else note for note in notes]
    head = [f"# {note}" for note in notes] + ["[[sources]]", f"name = {quoted(name)}"]
    if feed is not None:
        return "\n".join([*head, *vendor_block(feed, guesses)]) + "\n"
    chosen = choose_fields(guesses, rows)
    return "\n".join([*head, *_table(file, dialect, guesses, chosen, rows)]) + "\n"


def _table(
    file: str,
    dialect: Dialect,
    guesses: Mapping[str, ColumnGuess],
    chosen: Mapping[str, str],
    rows: pl.DataFrame,
) -> list[str]:
    kind = _event_type(f"{dialect.records or ''} {file}", guesses)
    types = vendor_marks.types_told(guesses, rows, chosen.get("amount"))
    # No bank pays its own lines out under a number, or tells their net: this is a service.
    service = bool({"payout_id", "net"} & set(chosen))
    if kind in _ONE_KIND and not service:
        types = None
    if types is not None and vendor_marks.on_the_paying_side(types, rows, chosen.get("amount")):
        kind, types = "bank_line", None
    signed = vendor_marks.printed_below_zero(rows, chosen.get("amount"))
    if signed and kind in {"order", "payment"}:
        kind = "other"  # which may carry either sign
    status = chosen.get("status")
    by_status = None if types is not None else unsettled.types_by_status(kind, status, rows)
    lines = [
        'feed = "table"',
        OWNER,
        "[sources.layout]",
        *_types(kind, types or by_status),
    ]
    idle = unsettled.words_of_nothing(status, rows) if by_status is None else []
    if idle and kind not in _PLANS:
        told = ", ".join(quoted(re.sub(r"[\s-]+", "_", word.lower())) for word in idle)
        lines.append(
            f"# rows of some {status!r} moved no money: leave them out of a side by "
            f"where = {{ status_not = [{told}] }}"
        )
    lines += _notation(dialect)
    lines += _nulls(chosen, rows)
    lines += _clock(guesses, chosen, rows)
    lines += _amounts(guesses, chosen, rows)
    lines += _signs(kind, types, guesses, chosen, rows)
    lines += _marks_unused(guesses, chosen)
    chosen, grouped = line_items.grouping(kind, chosen, rows)
    lines += grouped or _ids(chosen, rows, typed=types is not None, by_status=by_status is not None)
    if vendor_marks.fees_below_zero(rows, chosen):
        lines.append('fee_sign = "negative"  # every fee of a sale is printed below zero: a cost')
    return [*lines, "[sources.layout.columns]", *_columns(kind, guesses, chosen, rows)]


def _signs(
    kind: str,
    types: tuple[str, dict[str, str]] | None,
    guesses: Mapping[str, ColumnGuess],
    chosen: Mapping[str, str],
    rows: pl.DataFrame,
) -> list[str]:
    """Which way money went, where the amounts' own signs do not say it."""
    amount = chosen.get("amount")
    if "direction" in chosen:
        column = rows[chosen["direction"]].cast(pl.String)
        inside = chosen["direction"] == amount
        lines = _direction(column.str.extract(MARKED_AMOUNT, 2) if inside else column)
        if any(normal_header(c).startswith(words.CONTRA_ACCOUNT) for c in guesses):
            lines.append(
                "# a ledger marks debit and credit of its own account: a customer's account is "
                "debited what was invoiced: check the signs"
            )
        return lines
    if types is not None and vendor_marks.outgoing_unsigned(types, rows, amount):
        return ['sign = "by_type"  # what goes out is printed without a minus']
    signed = vendor_marks.printed_below_zero(rows, amount)
    if types is None and kind == "refund" and amount is not None and not signed:
        return ['sign = "negated"  # refunds give money back; these are printed without a minus']
    return []


def _ids(
    chosen: Mapping[str, str], rows: pl.DataFrame, *, typed: bool, by_status: bool
) -> list[str]:
    """What tells rows apart whose ids repeat, such as a transfer's and that of its fee.

    Where the status says what a row is, that may change, and the row stays the same.
    """
    lines = []
    if by_status:
        may = (*Layout.model_fields["mutable"].default, "event_type")
        listed = ", ".join(quoted(field) for field in may)
        lines.append(f"mutable = [{listed}]  # a row may fail later and stays the same row")
    own = chosen.get("native_id")
    repeats = own is not None and vendor_marks.ids_repeat(own, rows)
    if not repeats and (own is not None or not by_status):
        return lines
    told = {*chosen, *(["amount"] * bool({"debit", "credit"} & set(chosen)))}
    fields = [f for f in DERIVED_ID_FIELDS if f in told]
    if repeats:
        fields = ["native_id", *["event_type"] * typed, *fields]
    listed = ", ".join(quoted(field) for field in fields)
    why = f"{own!r} repeats; together these tell rows apart" if repeats else "no row has an id"
    return [*lines, f"id_fields = [{listed}]  # {why}"]


def _types(kind: str, told: tuple[str, Mapping[str, str]] | None) -> list[str]:
    if told is not None:
        return [types_line(*told)]
    return [f"event_type = {quoted(kind)}  # a guess: say what one row is ({_COMMON_TYPES}, ...)"]


def _notation(dialect: Dialect) -> list[str]:
    lines = []
    if dialect.format != "csv":
        where = [f"records = {quoted(dialect.records)}"] if dialect.records else []
        return [f"format = {quoted(dialect.format)}", *where]
    if dialect.encoding != "utf-8":
        lines.append(f"encoding = {quoted(dialect.encoding)}  # check accents and currency signs")
    lines.append(f"delimiter = {quoted(dialect.delimiter)}")
    if dialect.skip_rows:
        lines.append(f"skip_rows = {dialect.skip_rows}")
    if dialect.header:
        names = ", ".join(quoted(name) for name in dialect.header)
        lines.append(f"header = [{names}]  # the file prints none: name them, here and below")
    if dialect.footer_regex:
        lines.append(f"footer_regex = {quoted(dialect.footer_regex)}")
    return lines


def _nulls(chosen: Mapping[str, str], rows: pl.DataFrame) -> list[str]:
    """The signs of nothing among amounts, currencies, days and ids: `-` is a common one."""
    told = {
        mark
        for field, column in chosen.items()
        if column in rows.columns and field != "description"
        for mark in vendor_marks.marks(rows[column])
    }
    usual = Layout.model_fields["nulls"].default
    new = sorted(m for m in told if m not in usual and m.casefold() in model.NULL_KEYS and m != "0")
    if not any(mark.strip("0") for mark in new):
        return []
    listed = ", ".join(quoted(mark) for mark in (*usual, *(m for m in new if m.strip("0"))))
    return [f"nulls = [{listed}]  # what the file prints for nothing"]


def _clock(
    guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> list[str]:
    column = chosen.get("event_ts")
    if column is None:
        return [
            "# no column of dates or times was found; events will have no time",
            *_odd_days(guesses),
        ]
    formats = guesses[column].formats
    behind = day_and_time.format_behind(chosen, rows)
    lines = []
    if "%z" not in formats[0] and formats[0] != "epoch" and column in rows.columns:
        zone = "the times carry no offset: put the zone of the supplier"
        if "zone" in chosen:
            zone = f"for rows that {chosen['zone']!r} leaves blank"
        lines.append(f'timezone = "UTC"  # {zone}')
    lines.append(f"date_formats = [{quoted(formats[0] + behind)}]")
    if re.search(words.DUE, normal_header(column)):
        lines.append(
            f"# {column!r} says when money is due: put when it was asked, if a column does"
        )
    if len(formats) > 1:
        rivals = ", ".join(text + behind for text in formats[1:])
        lines.append(f"# every value also reads as {rivals}, with another meaning: choose one")
    return lines


def _odd_days(guesses: Mapping[str, ColumnGuess]) -> list[str]:
    """What to do about a column that is called a date and that no one format reads."""
    names = vendor_marks.plain_names(guesses)
    called = [
        c
        for c, g in guesses.items()
        if g.kind in {"text", "count", "amount"}
        and any(re.fullmatch(p, names[c]) for p in words.FIELD_WORDS["event_ts"])
    ]
    return [
        f"# {column!r} is called one, but no one format reads it: export it as YYYY-MM-DD, or put "
        "each of its formats in date_formats"
        for column in called[:1]
    ]


def _marks(used: Sequence[ColumnGuess]) -> list[str]:
    """How the amounts part decimals and group thousands, and what is doubtful about it."""
    decimal, mark = number_marks(used)
    unread = sum(g.unread for g in used)
    lines = [f"decimal = {quoted(decimal)}"]
    if any(g.comma_only for g in used) and any(g.dot_only for g in used):
        lines.append("# some amounts only read with a decimal comma, others with a point")
    if unread:
        lines.append(f"# {unread:,} different amounts cannot be read: their rows will be set aside")
    if mark is not None:
        doubt = f"some amounts (such as 1{mark}234) read either way: check"
        lines.append(f"thousands = {quoted(mark)}  # {doubt}")
    return lines


def _amounts(
    guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> list[str]:
    used = [guesses[chosen[f]] for f in ("amount", "debit", "credit", "fee", "net") if f in chosen]
    lines = _marks(used)
    if not {"amount", "debit", "credit"} & set(chosen):
        lines.append("# no column of amounts was found; events will have none")
    if "amount" not in chosen and {"debit", "credit"} & set(chosen):
        lines.append('sign = "debit_credit"')
        if not pairs.is_named(chosen["debit"]):
            lines.append("# no word says which of the two is money out: check debit and credit")
    taxes = [c for c in guesses if re.fullmatch(words.TAX_ON_FEE, normal_header(c))]
    if taxes and "fee" in chosen:
        lines.append(f"# {taxes[0]!r} is a cost beside the fee and is not read")
    marks_fees = vendor_marks.fee_mark(guesses)
    fee = vendor_marks.fee_beside(guesses)
    if marks_fees is None and fee is not None and "fee" not in chosen:
        lines.append(f"# {fee!r} is left out: what moved is already less the fee: check")
    if marks_fees is not None:
        shown = " ".join(marks_fees.split())
        lines.append(f"# fees are left out: a layout reads one sign, {shown!r} two")
    whole = bool(used) and all(g.kind == "count" for g in used)
    if whole and vendor_marks.counts_minor(guesses, rows, chosen.get("amount", "")):
        lines.append('unit = "minor"  # this format counts cents')
    elif whole:
        lines.append('# every amount is a whole number: if the file counts cents, unit = "minor"')
    return lines


def _marks_unused(guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str]) -> list[str]:
    """A debit/credit mark beside amounts that carry signs: which of the two holds is not known."""
    marks = [c for c in guesses if re.fullmatch(words.DIRECTION, normal_header(c))]
    if "amount" not in chosen or "direction" in chosen or not marks:
        return []
    mark = " ".join(marks[0].split())
    return [f"# the amounts carry signs and {mark!r} marks debit or credit too: check which holds"]


def _direction(marks: pl.Series) -> list[str]:
    """The sign that each mark of a debit/credit column stands for."""
    signs = {
        mark: words.MARK_SIGNS.get(mark.casefold(), -1 if mark[0] in "dDsSoO" else 1)
        for mark in vendor_marks.marks(marks)
    }
    told = ", ".join(f"{quoted(mark)} = {sign}" for mark, sign in signs.items())
    return ['sign = "indicator"', f"direction_map = {{ {told} }}"]


def _columns(
    kind: str, guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> list[str]:
    lines = [
        f"{field} = {_source(field, chosen)}"
        for field in (*words.FIELD_WORDS, *_BESIDE)
        if field in chosen
    ]
    lines += [
        f"# the header names {name!r} twice: neither is read; rename one, or name all in `header`"
        for name, number in doubled(guesses).items()
        if number == 1
    ]
    halves = vendor_marks.halves_of_a_name(guesses)
    if "customer_name" not in chosen and halves is not None:
        both = ", ".join(quoted(half) for half in halves)
        lines.append(f"customer_name = {{ join = [{both}] }}")
    if kind == "order" and "order_id" not in chosen and "native_id" in chosen:
        lines.append(f"order_id = {quoted(chosen['native_id'])}  # an order's own id")
    taken = set(chosen.values())
    own = {chosen.get("native_id")} if kind == "payout" else set()
    ids = [c for c, g in guesses.items() if g.kind == "id"]
    payout = vendor_marks.payout_column((c for c in ids if c not in taken or c in own), rows)
    if payout is None and kind == "payout":
        at_bank = (c for c in ids if re.fullmatch(words.PAYOUT_AT_BANK, normal_header(c)))
        payout = next(at_bank, None)
    if "payout_id" not in chosen and payout is not None:
        lines.append(f"payout_id = {quoted(payout)}")
    named = (
        vendor_marks.payouts_in_text(guesses, rows)
        if "payout_id" not in chosen and payout is None
        else None
    )
    if named is not None:
        lines.append(f"payout_id = {{ from = {quoted(named)}, extract = '(po_\\w+)' }}")
    translated = one_currency.translated(guesses, rows) if "currency" not in chosen else None
    if translated is not None:
        lines.append(translated)
    elif "currency" not in chosen:
        found, why = one_currency.told(guesses, chosen, rows)
        lines.append(f"currency = {{ value = {quoted(found or 'USD')} }}  # {why}")
    lines += [
        f"# refunded_amount = {quoted(c)}  # refunds told beside the payment"
        for c in vendor_marks.refunds_beside(guesses)
    ]
    for column, guess in guesses.items():
        if guess.kind == "birth" or (guess.kind == "id" and column not in {*taken, payout}):
            key = re.sub(r"[^a-z0-9]+", "_", normal_header(column)).strip("_") or "key"
            line = f"# {quoted('raw_keys.' + key)} = {quoted(column)}"
            apart = f"  # with personal = [{quoted(key)}] under [sources.layout]"
            lines.append(line + apart * guess.personal)
    return lines


def _source(field: str, chosen: Mapping[str, str]) -> str:
    """Where a field is read: a column, or the part of it before or behind a mark."""
    column = quoted(chosen[field])
    part = {"amount": 1, "direction": 2}.get(field)
    if part is None or chosen.get("direction") != chosen.get("amount"):
        return column
    return f"{{ from = {column}, extract = {quoted((BARE_AMOUNT, MARK_BEHIND)[part - 1])} }}"


def _event_type(file: str, guesses: Mapping[str, ColumnGuess]) -> str:
    name = re.sub(r"[^a-z0-9]+", " ", file.lower())
    names = vendor_marks.plain_names(c for c in guesses if not c.endswith("(metadata)"))
    header = " | ".join([*(normal_header(c) for c in names), *names.values()])
    found = [kind for kind, pattern in words.FILE_WORDS if re.search(pattern, name)]
    found += [kind for kind, pattern in words.HEADER_WORDS if re.search(pattern, header)]
    return found[0] if found else "other"
