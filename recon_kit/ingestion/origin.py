"""Which columns of a file one event was read from: found by trying, true of every feed.

The event's own records are read once more from the received file, and told again with one column
changed: blank, or, where the row could not be told without it, by one digit or another currency.
The fields that then differ are read from that column. Nothing is declared, so nothing can lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recon_kit import model, money
from recon_kit.ingestion.feed import ROW, Feed, FeedContext, stack_carry
from recon_kit.ingestion.gate import pass_gate
from recon_kit.ingestion.reader import open_records, read_head

# What the product adds to a row, beside what the row says.
_OURS = {"event_id", "derived_id", "told_at", "record_row", "records", "tz_source",
         "ts_precision", "raw_ts"}  # fmt: skip
FIELDS: tuple[str, ...] = tuple(f for f in model.TOLD if f not in _OURS)
# What may name a person: never repeated.
FREE: frozenset[str] = frozenset({*model.PERSONAL_FACTS, "description"})
_DIGITS_TRIED = 3
_PRINTED_MAX = 40
_TEXTS_SHOWN = 3  # of the several records of one event
_OTHER_CURRENCY = {0: ("JPY", "KRW"), 2: ("EUR", "USD"), 3: ("KWD", "BHD")}


@dataclass(frozen=True)
class Origin:
    """Of one event, as its file tells it today.

    `told` has its fields (`model.TOLD`; none where the row tells no event any more), `cells` a row
    per field and column it is read from: `field, column, printed`. `printed` is what stands there;
    null where a personal field is read from it, and for free text, which may name anybody.
    """

    told: dict[str, object] | None
    cells: pl.DataFrame


def origin(feed: Feed, raw: Path, context: FeedContext, row: int, *, derived: bool) -> Origin:
    """Look up where the event that starts on one data row comes from.

    Args:
        feed: of the event's source.
        raw: the received file.
        context: its source's settings and its name.
        row: the 1-based data row on which the event starts.
        derived: whether it is the event that the feed made beside the one told there.

    Raises:
        FileRejectedError: the file can no longer be read by this feed.
    """
    block, context = _records_of(feed, raw, context, row)
    told = _tell(feed, block, context, row, derived=derived)
    found: list[tuple[str, str, str | None]] = []
    for column in (c for c in block.columns if c != ROW) if told else ():
        cells = block[column].drop_nulls()
        if (cells.str.strip_chars() == "").all():
            continue
        fields = _fields_of(feed, block, context, row, column, told or {}, derived=derived)
        texts = cells.unique(maintain_order=True).to_list()
        free = not fields.isdisjoint(FREE) or any(len(t) > _PRINTED_MAX for t in texts)
        printed = None if free else "; ".join(texts[:_TEXTS_SHOWN])
        found += [(f, column, printed) for f in FIELDS if f in fields]
    schema = {"field": pl.String, "column": pl.String, "printed": pl.String}
    return Origin(told, pl.DataFrame(found, schema=schema, orient="row"))


def _records_of(
    feed: Feed, raw: Path, context: FeedContext, row: int
) -> tuple[pl.DataFrame, FeedContext]:
    """The records of the event that starts on a row: its own, and those that belong with it."""
    records = open_records(
        raw, feed.dialect(read_head(raw, context.file)), keeps_together=feed.together(),
        name=context.file,
    )  # fmt: skip
    context = FeedContext(
        context.source, context.workspace_timezone, context.file, records.preamble, records.facts
    )
    for block in records.blocks():
        rest = block.filter(pl.col(ROW) >= row)
        if rest.height and rest[ROW][0] == row:
            own = _tell(feed, rest, context, row, derived=False)
            taken = own["records"] if own else 1
            return rest.head(max(1, int(str(taken)))), context
    return pl.DataFrame(schema={ROW: pl.Int64}), context


def _tell(
    feed: Feed, block: pl.DataFrame, context: FeedContext, row: int, *, derived: bool
) -> dict[str, object] | None:
    """The event that a block tells on a row; none where it tells none."""
    if block.is_empty():
        return None
    told = [feed.tell(block, context)]
    if told[0].carry and derived:
        last = feed.finish(stack_carry([told[0].carry]), context)
        told += [last] if last is not None else []
    for one in told:
        events = pass_gate(one, strict_signs=feed.strict_signs).events
        own = events.filter(pl.col(ROW) == row, (pl.col("records") == 0) == derived)
        if own.height:
            return own.row(0, named=True)
    return None


def _fields_of(  # noqa: PLR0913, PLR0917 - one question about one cell
    feed: Feed,
    block: pl.DataFrame,
    context: FeedContext,
    row: int,
    column: str,
    told: dict[str, object],
    *,
    derived: bool,
) -> set[str]:
    """The fields that differ once a column says something else."""
    for other in _others(block[column]):
        again = _tell(feed, block.with_columns(other.alias(column)), context, row, derived=derived)
        fields = {f for f in FIELDS if again[f] != told[f]} if again is not None else set()
        if fields:
            return fields
    return set()


def _others(cells: pl.Series) -> Iterator[pl.Series]:
    """What a column could say instead: nothing, more, another currency, another digit."""
    yield cells.clear(cells.len())
    yield cells + "x"
    code = str(cells.drop_nulls().first()).strip().upper()
    if code in money.currency_exponents():
        first, second = _OTHER_CURRENCY.get(money.currency_exponents()[code], ("EUR", "USD"))
        yield pl.Series([second if code == first else first] * cells.len())
    for place in range(_DIGITS_TRIED):
        for step in (1, -1):
            other = [None if c is None else _other_digit(c, place, step) for c in cells]
            yield pl.Series(other, dtype=pl.String)


def _other_digit(text: str, place: int, step: int) -> str:
    """A text with one digit, counted from its end, one higher or lower where that is a digit."""
    digits = [m.start() for m in re.finditer(r"[0-9]", text)]
    if len(digits) <= place:
        return text
    at = digits[-1 - place]
    return f"{text[:at]}{min(9, max(0, int(text[at]) + step))}{text[at + 1 :]}"
