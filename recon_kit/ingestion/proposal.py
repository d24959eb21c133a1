"""A ready `[[sources]]` block for a file, as TOML text with every doubt as a comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from recon_kit.ingestion import one_currency, vendor_marks, words
from recon_kit.ingestion.feed import Dialect, normal_header
from recon_kit.ingestion.guess import BARE_AMOUNT, MARK_BEHIND, MARKED_AMOUNT, ColumnGuess
from recon_kit.ingestion.toml_block import quoted, source_name, types_line

_OWNER = '# owner = "finance"  # who answers for it; its cases go there'
_COMMON_TYPES = "order, payment, refund, payout, bank_line, conversion"
# Files whose rows are of one kind, whatever a column called `type` may say.
_ONE_KIND = frozenset({"bank_line", "conversion", "invoice", "lead", "order"})


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
    head = [f"# {note}" for note in notes] + ["[[sources]]", f"name = {quoted(name)}"]
    if feed is not None:
        return "\n".join([*head, *_vendor(feed, guesses)]) + "\n"
    chosen = _choose_fields(guesses, rows)
    return "\n".join([*head, *_table(file, dialect, guesses, chosen, rows)]) + "\n"


def _vendor(feed: str, guesses: Mapping[str, ColumnGuess]) -> list[str]:
    lines = [f"feed = {quoted(feed)}", _OWNER]
    names = {normal_header(n) for n in guesses}
    if feed.startswith("shopify.") and "total" not in names:
        lines.append("# the file has no column 'Total': its orders would tell no amount")
    if feed.startswith("stripe.") and "created utc" not in names:
        lines.append('timezone = "UTC"  # put the zone that the report was requested in')
    return lines


def _choose_fields(guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame) -> dict[str, str]:
    """Field to column: per field the best-worded column of a fitting kind, each column once."""
    chosen: dict[str, str] = {}
    names = vendor_marks.plain_names(guesses)
    doubled = _doubled(guesses)
    for field, patterns in words.FIELD_WORDS.items():
        fits = words.FIELD_KINDS.get(field)
        free = {
            column: names[column]
            for column, guess in guesses.items()
            if column not in chosen.values()
            and column not in doubled
            and (guess.kind in fits if fits else guess.kind not in {"empty", "amount"})
            and vendor_marks.may_be(field, column, guesses, rows)
        }
        # of a day and a time in like words the time says more
        order = sorted(free, key=lambda c: guesses[c].kind != "timestamp")
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
    held = {*chosen.values(), *_doubled(guesses)}
    coded = [c for c, g in guesses.items() if g.kind == "currency" and c not in held]
    other = {c for c in coded if re.search(words.OTHER_CURRENCY, normal_header(c))}
    if "currency" not in chosen and len(coded) == 1 and not other:
        chosen["currency"] = coded[0]
    _complete_money(chosen, guesses, rows)
    paid = [chosen[f] for f in ("amount", "debit", "credit") if f in chosen]
    if "currency" in chosen and vendor_marks.told_by_few(rows, chosen["currency"], paid):
        del chosen["currency"]
    if "amount" in chosen:
        _complete_direction(chosen, guesses, rows)
    return chosen


def _complete_money(
    chosen: dict[str, str], guesses: Mapping[str, ColumnGuess], rows: pl.DataFrame
) -> None:
    """The amount or its pair of columns, and the currency that is named like it.

    Beside a pair that tells money going out, an amount without any sign says less: not which way.
    What moved is already less the fee, which is left out then.
    """
    held = {*chosen.values(), *_doubled(guesses)}
    paid = [c for c, g in guesses.items() if g.kind == "amount" and c not in held]
    pair = vendor_marks.debit_credit_pair(guesses)
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
        chosen["amount"] = vendor_marks.gross_column(guesses) or paid[0]
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


def _table(
    file: str,
    dialect: Dialect,
    guesses: Mapping[str, ColumnGuess],
    chosen: Mapping[str, str],
    rows: pl.DataFrame,
) -> list[str]:
    kind = _event_type(f"{dialect.records or ''} {file}", guesses)
    types = vendor_marks.types_told(guesses, rows, chosen.get("amount"))
    # No bank pays its own lines out under a number, or less a fee: this is a payment service.
    service = "payout_id" in chosen or {"fee", "net"} <= set(chosen)
    if kind in _ONE_KIND and not (kind == "bank_line" and service):
        types = None
    signed = vendor_marks.printed_below_zero(rows, chosen.get("amount"))
    if signed and kind in {"order", "payment"}:
        kind = "other"  # which may carry either sign
    lines = [
        'feed = "table"',
        _OWNER,
        "[sources.layout]",
        types_line(*types)
        if types is not None
        else f"event_type = {quoted(kind)}  # a guess: say what one row is ({_COMMON_TYPES}, ...)",
    ]
    lines += _notation(dialect)
    lines += _clock(guesses, chosen, rows)
    lines += _amounts(guesses, chosen, rows)
    if "direction" in chosen:
        column = rows[chosen["direction"]].cast(pl.String)
        inside = chosen["direction"] == chosen.get("amount")
        lines += _direction(column.str.extract(MARKED_AMOUNT, 2) if inside else column)
    elif types is not None:
        if vendor_marks.outgoing_unsigned(types, rows, chosen.get("amount")):
            lines.append('sign = "by_type"  # what goes out is printed without a minus')
    elif kind == "refund" and "amount" in chosen and not signed:
        lines.append(
            'sign = "negated"  # refunds give money back; these are printed without a minus'
        )
    lines += _marks_unused(guesses, chosen)
    if vendor_marks.fees_below_zero(rows, chosen):
        lines.append('fee_sign = "negative"  # every fee of a sale is printed below zero: a cost')
    return [*lines, "[sources.layout.columns]", *_columns(kind, guesses, chosen, rows)]


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


def _clock(
    guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> list[str]:
    column = chosen.get("event_ts")
    if column is None:
        return ["# no column of dates or times was found; events will have no time"]
    formats = guesses[column].formats
    lines = []
    if "%z" not in formats[0] and formats[0] != "epoch" and column in rows.columns:
        lines.append('timezone = "UTC"  # the times carry no offset: put the zone of the supplier')
    lines.append(f"date_formats = [{quoted(formats[0])}]")
    if re.search(words.DUE, normal_header(column)):
        lines.append(
            f"# {column!r} says when money is due: put when it was asked, if a column does"
        )
    if len(formats) > 1:
        rivals = ", ".join(formats[1:])
        lines.append(f"# every value also reads as {rivals}, with another meaning: choose one")
    return lines


def _amounts(
    guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> list[str]:
    used = [guesses[chosen[f]] for f in ("amount", "debit", "credit", "fee", "net") if f in chosen]
    comma = sum(g.comma_only for g in used) > sum(g.dot_only for g in used)
    lines = [f"decimal = {quoted(',' if comma else '.')}"]
    if any(g.comma_only for g in used) and any(g.dot_only for g in used):
        lines.append("# some amounts only read with a decimal comma, others with a point")
    if any(g.grouped_or_decimal for g in used):
        mark = "." if comma else ","
        doubt = f"some amounts (such as 1{mark}234) read either way: check"
        lines.append(f"thousands = {quoted(mark)}  # {doubt}")
    if "amount" not in chosen and {"debit", "credit"} & set(chosen):
        lines.append('sign = "debit_credit"')
    marks_fees = vendor_marks.fee_mark(guesses)
    fee = vendor_marks.fee_beside(guesses)
    if marks_fees is None and fee is not None and {"fee", "amount"}.isdisjoint(chosen):
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
    pairs = ", ".join(f"{quoted(mark)} = {sign}" for mark, sign in signs.items())
    return [
        'sign = "indicator"',
        f"direction_map = {{ {pairs} }}",
    ]


def _columns(
    kind: str, guesses: Mapping[str, ColumnGuess], chosen: Mapping[str, str], rows: pl.DataFrame
) -> list[str]:
    lines = [
        f"{field} = {_source(field, chosen)}"
        for field in (*words.FIELD_WORDS, "direction")
        if field in chosen
    ]
    lines += [
        f"# the header names {name!r} twice: neither is read; rename one, or name all in `header`"
        for name, number in _doubled(guesses).items()
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
    if "payout_id" not in chosen and payout is not None:
        lines.append(f"payout_id = {quoted(payout)}")
    named = (
        vendor_marks.payouts_in_text(guesses, rows)
        if "payout_id" not in chosen and payout is None
        else None
    )
    if named is not None:
        lines.append(f"payout_id = {{ from = {quoted(named)}, extract = '(po_\\w+)' }}")
    if "currency" not in chosen:
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


def _doubled(columns: Iterable[str]) -> dict[str, int]:
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


def _event_type(file: str, guesses: Mapping[str, ColumnGuess]) -> str:
    name = re.sub(r"[^a-z0-9]+", " ", file.lower())
    header = " | ".join(normal_header(c) for c in guesses)
    found = [kind for kind, pattern in words.FILE_WORDS if re.search(pattern, name)]
    found += [kind for kind, pattern in words.HEADER_WORDS if re.search(pattern, header)]
    return found[0] if found else "other"
