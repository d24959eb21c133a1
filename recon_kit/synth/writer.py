"""Writing delivered files: CSV in the notation of each system, hashed while written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

import polars as pl

from recon_kit import money
from recon_kit.synth.draws import Ints
from recon_kit.synth.orders import EPOCH, Calendar
from recon_kit.synth.tables import CURRENCIES

ROWS_MAX = 50_000  # rows turned into text at a time


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file as it was received: `file` is relative to the twin's folder."""

    source: str
    file: str
    received_at: datetime
    as_of: datetime
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Notation:
    """How a system writes CSV."""

    separator: str = ","
    line_end: str = "\n"
    quote: Literal["necessary", "always", "non_numeric", "never"] = "necessary"


def deliver(  # noqa: PLR0913 - a file has that many properties, all but three by name
    folder: Path,
    file: str,
    blocks: Iterable[pl.DataFrame],
    *,
    received_at: datetime,
    as_of: datetime,
    preamble: str = "",
    footer: str = "",
    notation: Notation | None = None,
) -> Delivery:
    """Write one file from blocks of text columns; its source is the name of its folder.

    Args:
        folder: the twin's folder.
        file: path below it, such as `files/shop/orders.csv`.
        blocks: frames of equal columns, the first of which gives the header.
        received_at: when it came.
        as_of: until when it is complete.
        preamble: text before the header, with its line ends.
        footer: text after the last row.
        notation: separator, line ends and quotes.
    """
    form = notation or Notation()
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, records, size, first = hashlib.sha256(), 0, 0, True
    with path.open("wb") as target:

        def put(data: bytes) -> int:
            digest.update(data)
            return target.write(data)

        size += put(preamble.encode())
        for block in blocks:
            buffer = io.BytesIO()
            block.write_csv(
                buffer, include_header=first, separator=form.separator,
                line_terminator=form.line_end, quote_style=form.quote,
            )  # fmt: skip
            size += put(buffer.getvalue())
            records, first = records + block.height, False
        size += put(footer.encode())
    return Delivery(path.parent.name, file, received_at, as_of, records, size, digest.hexdigest())


def months(period: Calendar) -> list[tuple[str, int, int]]:
    """Calendar months of the period: label `2026-07`, first epoch day, first day after."""
    found, at = [], period.start
    while at < period.end:
        after = date(at.year + at.month // 12, at.month % 12 + 1, 1)
        last = min(after, period.end)
        found.append((f"{at:%Y-%m}", (at - EPOCH).days, (last - EPOCH).days))
        at = after
    return found


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as a time in UTC."""
    from datetime import UTC

    return datetime.fromtimestamp(seconds, UTC)


def day_of(epoch_day: int) -> date:
    """An epoch day as a date."""
    return EPOCH + timedelta(days=epoch_day)


def currency_names(index: pl.Series) -> pl.Series:
    """ISO codes of currencies by index."""
    return pl.Series(CURRENCIES).gather(index.cast(pl.Int64))


def amounts(minor: str, currency: str = "currency") -> pl.Expr:
    """A column of minor units as decimal text; `currency` names a column of ISO codes."""
    return money.text_expr(pl.col(minor), pl.col(currency))


def times(seconds: str, zone: str, form: str) -> pl.Expr:
    """A column of UTC seconds as text in a zone."""
    stamp = pl.from_epoch(pl.col(seconds), time_unit="s").dt.replace_time_zone("UTC")
    return stamp.dt.convert_time_zone(zone).dt.strftime(form)


def slices(frame: pl.DataFrame, rows: int = ROWS_MAX) -> Iterable[pl.DataFrame]:
    """Consecutive parts of a frame; one empty part where it is empty, for the header."""
    yield from frame.iter_slices(rows) if frame.height else [frame]


def series(name: str, values: Ints) -> pl.Series:
    """A named column of integers."""
    return pl.Series(name, values)
