"""Two records side by side: a row per field, what differs marked, and said in words.

The comparison reads the full values; what it hands on is masked unless a reason was given to see
more. That an e-mail differs by one character can be said without showing it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from difflib import SequenceMatcher
from typing import Any, Literal
from zoneinfo import ZoneInfo

from recon_kit import money, workdays
from recon_kit.present.tables import NOTHING
from recon_kit.safe import (
    MASKED,
    PERSONAL_KINDS,
    mask_email,
    mask_name,
    mask_phone,
    mask_text,
)

Record = Mapping[str, Any]
Outcome = Literal["same", "near", "differs", "one_sided", "shown"]
Piece = tuple[str, bool]  # text, and whether the other side lacks it

_LABELS: dict[str, str] = {
    "order_id": "Order id", "sub_order_id": "Sub-order id", "transaction_id": "Transaction id",
    "invoice_number": "Invoice", "payout_id": "Payout id", "parent_key": "Corrects",
    "click_id": "Click id", "customer_id": "Customer id", "customer_name": "Name",
    "email": "E-mail", "phone": "Phone", "address": "Address", "postcode": "Postcode",
    "description": "Description", "payment_method": "Paid by", "status": "Status",
    "channel": "Channel",
}  # fmt: skip
_MASKS: dict[str, Callable[[str | None], str | None]] = {
    "email": mask_email, "name": mask_name, "phone": mask_phone, "text": mask_text,
}  # fmt: skip
_ONLY = {True: "only left", False: "only right"}
# Each supplier has words of its own for these: that they differ says nothing.
_NOT_COMPARED = frozenset({"status", "payment_method", "channel"})
_PRESENTED = "presentment_amount"
# Less alike than this, single characters say nothing: the whole value is told to differ.
_ALIKE_MIN = 0.6
_HOURS_TOLD_DAYS = 3  # below so many days the hours are told as well
_COMPARED_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field of two records.

    `left` and `right` are pieces of text to be put together; a marked piece is not on the other
    side. `words` says the outcome (`shown` fields speak languages of their own and are not
    compared), `personal` that the values are masked unless asked for.
    """

    name: str
    label: str
    left: tuple[Piece, ...]
    right: tuple[Piece, ...]
    outcome: Outcome
    words: str
    personal: bool = False


@dataclass(frozen=True, slots=True)
class How:
    """How records are compared and shown.

    Args:
        zone: IANA zone for times.
        measures: which amount counts on the left and on the right (`amount` or `net`).
        further: declared keys and fields beyond the canonical ones, such as `raw_keys.booking`.
        unmasked: whether personal fields are shown in full.
    """

    zone: str = "UTC"
    measures: tuple[str, str] = ("amount", "amount")
    further: tuple[str, ...] = ()
    unmasked: bool = False


def rows(left: Record, right: Record | None, how: How) -> tuple[FieldRow, ...]:
    """Compare two records field by field; what neither tells is left out.

    Amount and date come first, then what both tell, then what only one of them does.

    Args:
        left: fields of an event (`model.EVENT_SCHEMA` and `model.WHO_SCHEMA`, any may be missing);
            `told_more` maps fields that a customer's record told to the source of that record;
            `open_minor` is what its match leaves open, where one covers it in part.
        right: the same; none where there is nothing to compare with.
        how: zone, measures and whether personal fields are shown.
    """
    other: Record = right or {}
    found = [_money_row(left, other, how), *_presented(left, other), _time_row(left, other, how)]
    found += [_text_row(name, left, other, how) for name in _LABELS]
    found += [_text_row(name, left, other, how) for name in how.further if name not in _LABELS]
    told = [row for row in found if row is not None]
    places = {"amount": 0, "presented": 1, "event_ts": 2}
    return tuple(sorted(told, key=lambda r: (places.get(r.name, 3), r.outcome == "one_sided")))


def has_personal(*records: Record) -> bool:
    """Whether any of the records holds a personal field."""
    return any(record.get(name) for record in records for name in PERSONAL_KINDS)


# --- money ---------------------------------------------------------------------------------------
def amount_of(record: Record, measure: str) -> int | None:
    """The amount that counts: the declared measure, else the plain amount."""
    found = record.get(measure)
    value = record.get("amount") if found is None else found
    return None if value is None else int(value)


def open_part(record: Record, measure: str) -> tuple[int, int] | None:
    """What is open of an event that a match covers in part, and the whole; none where none does."""
    whole, left = amount_of(record, measure), record.get("open_minor")
    if whole is None or left is None or not 0 < int(left) * (1 if whole > 0 else -1) < abs(whole):
        return None
    return int(left), whole


def money_words(left: int, right: int, currency: str) -> str:
    """How the right amount differs from the left one: `0.40 less (0.4 %)`."""
    apart = right - left
    if apart == 0:
        return "same amount"
    size = money.display(abs(apart), currency).removesuffix(f" {currency}")
    tenths = abs(apart) * 1000 // abs(left) if left else 0
    share = f" ({tenths // 10}.{tenths % 10} %)" if tenths else ""
    return f"{size} {'more' if apart > 0 else 'less'}{share}"


def _money_row(left: Record, right: Record, how: How) -> FieldRow | None:
    sides = tuple(zip((left, right), how.measures, strict=True))
    ours, theirs = (_open_or_whole(record, measure) for record, measure in sides)
    if ours is None and theirs is None:
        return None
    label = "Net amount" if set(how.measures) == {"net"} else "Amount"
    shown = [_whole(_money_text(record, measure)) for record, measure in sides]
    outcome, words = _money_outcome(left, right, ours, theirs)
    return FieldRow("amount", label, shown[0], shown[1], outcome, words)


def _open_or_whole(record: Record, measure: str) -> int | None:
    """What a further event would have to come to: what is open, where a part is matched."""
    part = open_part(record, measure)
    return amount_of(record, measure) if part is None else part[0]


def _money_text(record: Record, measure: str) -> str | None:
    value, part = amount_of(record, measure), open_part(record, measure)
    if value is None:
        return None
    if not record.get("currency"):
        return "?"
    told = money.display(value, record["currency"])
    return told if part is None else f"{money.display(part[0], record['currency'])} open of {told}"


def _money_outcome(
    left: Record, right: Record, ours: int | None, theirs: int | None
) -> tuple[Outcome, str]:
    """Compare in the currency both share: their own, else the one that was presented."""
    if ours is None or theirs is None:
        return "one_sided", _ONLY[theirs is None]
    told_left, told_right = _amounts(left, ours), _amounts(right, theirs)
    for currency in (left.get("currency"), right.get("currency")):
        a, b = told_left.get(currency), told_right.get(currency)
        if currency and a is not None and b is not None:
            words = money_words(int(a), int(b), currency)
            same = left.get("currency") == right.get("currency")
            told = words if same else f"{words} in {currency}"
            if a == b:
                return "same", told
            return ("near" if abs(a - b) * 20 <= abs(a) else "differs"), told
    return "differs", "another currency"


def _amounts(record: Record, own: int) -> dict[str | None, int | None]:
    """Amounts by currency; the own one counts where it is also the presented one."""
    return {record.get("presentment_currency"): record.get(_PRESENTED), record.get("currency"): own}


def _presented(left: Record, right: Record) -> list[FieldRow | None]:
    """What the customer saw, where that was in another currency."""
    shown = [
        money.display(int(r[_PRESENTED]), r["presentment_currency"])
        if r.get(_PRESENTED) is not None and r.get("presentment_currency") != r.get("currency")
        else None
        for r in (left, right)
    ]
    if shown == [None, None]:
        return []
    return [FieldRow("presented", "Presented", _whole(shown[0]), _whole(shown[1]), "shown", "")]


# --- time ----------------------------------------------------------------------------------------
def time_words(seconds: int, days: int, *, whole_days: bool) -> str:
    """How much later or earlier the right time is: `1 day 17 hours later`, `12 minutes earlier`.

    Args:
        seconds: right minus left.
        days: the same in calendar days.
        whole_days: whether one of them has no time of day.
    """
    late = seconds if not whole_days else days
    when = "later" if late > 0 else "earlier"
    if whole_days or abs(seconds) >= 86_400:
        size = abs(days) if whole_days else abs(seconds) // 86_400
        hours = abs(seconds) % 86_400 // 3600
        if size == 0:
            return "same day"
        told = _counted(size, "day")
        if hours and not whole_days and size < _HOURS_TOLD_DAYS:
            told += f" {_counted(hours, 'hour')}"
        return f"{told} {when}"
    if abs(seconds) < 60:
        return "within a minute"
    size, unit = (
        (abs(seconds) // 60, "minute") if abs(seconds) < 3600 else (abs(seconds) // 3600, "hour")
    )
    return f"{_counted(size, unit)} {when}"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}"


def time_text(record: Record, how: How) -> str | None:
    """A record's time in the zone it is read in; without the clock where it has none."""
    local = _local(record, how)
    if local is None:
        return None
    last = record.get("last_ts")
    if last is not None and last != record.get("event_ts"):
        until = _local({**record, "event_ts": last}, how)
        return f"{local:%Y-%m-%d} to {until:%Y-%m-%d}"
    if record.get("ts_precision") == "date":
        return f"{local:%Y-%m-%d}"
    return f"{local:%Y-%m-%d %H:%M}"


def _local(record: Record, how: How) -> datetime | None:
    moment = record.get("event_ts")
    if moment is None:
        return None
    zone = ZoneInfo(how.zone)
    if record.get("ts_precision") == "date":
        return datetime.combine(workdays.told_day(moment), time(), zone)
    return moment.astimezone(zone)  # type: ignore[no-any-return]


def apart_words(left: Record, right: Record, how: How) -> str:
    """How far the two times lie apart, in words; empty where one is unknown."""
    ours, theirs = _local(left, how), _local(right, how)
    if ours is None or theirs is None:
        return ""
    whole = "date" in (left.get("ts_precision"), right.get("ts_precision"))
    seconds = (theirs - ours) // timedelta(seconds=1)
    return time_words(seconds, (theirs.date() - ours.date()).days, whole_days=whole)


def _time_row(left: Record, right: Record, how: How) -> FieldRow | None:
    ours, theirs = time_text(left, how), time_text(right, how)
    if ours is None and theirs is None:
        return None
    if ours is None or theirs is None:
        only = _ONLY[theirs is None]
        return FieldRow("event_ts", "Date", _whole(ours), _whole(theirs), "one_sided", only)
    words = apart_words(left, right, how)
    outcome: Outcome = "same" if words.startswith(("same", "within")) else "near"
    return FieldRow("event_ts", "Date", _whole(ours), _whole(theirs), outcome, words)


# --- text ----------------------------------------------------------------------------------------
def marked(left: str, right: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...], int]:
    """Both texts in pieces, those marked that the other lacks, and how many characters differ.

    Zero means that they are too unlike for single characters to say anything.
    """
    a, b = left[:_COMPARED_CHARACTERS_MAX], right[:_COMPARED_CHARACTERS_MAX]
    matcher = SequenceMatcher(None, a.casefold(), b.casefold(), autojunk=False)
    if len(a) != len(a.casefold()) or len(b) != len(b.casefold()) or matcher.ratio() < _ALIKE_MIN:
        return ((left, True),), ((right, True),), 0
    ours: list[Piece] = []
    theirs: list[Piece] = []
    count = 0
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        differs = tag != "equal"
        count += max(a1 - a0, b1 - b0) * differs
        ours += [(a[a0:a1], differs)] if a1 > a0 else []
        theirs += [(b[b0:b1], differs)] if b1 > b0 else []
    rest = (left[len(a) :], right[len(b) :])
    ours += [(rest[0], rest[0] != rest[1])] if rest[0] else []
    theirs += [(rest[1], rest[0] != rest[1])] if rest[1] else []
    return tuple(ours), tuple(theirs), count


def _text_row(name: str, left: Record, right: Record, how: How) -> FieldRow | None:
    ours, theirs = _value(left, name), _value(right, name)
    if ours is None and theirs is None:
        return None
    personal = name in PERSONAL_KINDS
    a: tuple[Piece, ...] = _whole(ours)
    b: tuple[Piece, ...] = _whole(theirs)
    outcome: Outcome
    if ours is None or theirs is None:
        outcome, words = "one_sided", _ONLY[theirs is None]
    elif _plain(name, ours) == _plain(name, theirs):
        outcome, words = "same", "same"
    elif name in _NOT_COMPARED:
        outcome, words = "shown", ""
    else:
        a, b, count = marked(ours, theirs)
        plural = "" if count == 1 else "s"
        outcome = "near" if count else "differs"
        words = f"{count} character{plural} differ{'s' * (count == 1)}" if count else "different"
    words = " ".join(filter(None, [words, _from_records(name, left, right)]))
    if personal and not how.unmasked:
        a, b = _whole(_masked(name, ours)), _whole(_masked(name, theirs))
    label = _LABELS.get(name, name.rpartition(".")[2].replace("_", " ").capitalize())
    return FieldRow(name, label, a, b, outcome, words, personal)


def _from_records(name: str, left: Record, right: Record) -> str:
    """Which of the values the event did not tell itself: `(left: from crm)`."""
    told = [
        f"{side}: from {record['told_more'][name]}"
        for side, record in (("left", left), ("right", right))
        if name in (record.get("told_more") or {})
    ]
    return f"({', '.join(told)})" if told else ""


def _value(record: Record, name: str) -> str | None:
    column, _, member = name.partition(".")
    if member:
        held = record.get(column)
        found = json.loads(held).get(member) if held else None
    else:
        found = record.get(name)
    text = "" if found is None else " ".join(str(found).split())
    return text or None


def _plain(name: str, text: str) -> str:
    """The spelling in which two values of a field are the same."""
    if name == "phone":
        return "".join(filter(str.isdigit, text))
    return text.strip("'#").casefold()


def _masked(name: str, text: str | None) -> str | None:
    mask = _MASKS.get(PERSONAL_KINDS[name])
    return None if text is None else mask(text) if mask else MASKED


def _whole(text: str | None) -> tuple[Piece, ...]:
    return ((NOTHING if text is None else text, False),)


# --- groups --------------------------------------------------------------------------------------
def summed(records: Sequence[Record], measure: str) -> Record:
    """Several records as one to be compared: their sum, their times, what all of them share.

    A sum is made only where all are in one currency and all tell an amount.
    """
    first = min(
        records, key=lambda r: (r.get("event_ts") is None, r.get("event_ts"), r.get("event_key"))
    )
    if len(records) == 1:
        return first
    shared = {
        name: first.get(name)
        for name in (*_LABELS, "source", "event_type", "currency", "ts_precision", "raw_keys")
        if all(record.get(name) == first.get(name) for record in records)
    }
    amounts = [amount_of(record, measure) for record in records]
    total = None if None in amounts or not shared.get("currency") else sum(filter(None, amounts))
    times = [record["event_ts"] for record in records if record.get("event_ts") is not None]
    told_more = {
        name: source
        for record in records
        for name, source in (record.get("told_more") or {}).items()
        if name in shared
    }
    return {
        **shared, "told_more": told_more,
        "amount": total, "net": None,
        "event_ts": first.get("event_ts"), "last_ts": max(times, default=None),
    }  # fmt: skip
