"""The contract of a feed: how one kind of file is read and what its rows mean.

To add a feed, subclass `Feed` in `feeds/`, write `columns` and `tell`, add one line to
`feeds/__init__.py`, and put a sample file with its expected events beside it. Everything else has
a default. A feed never opens a file and never raises for a bad row: it gets text columns, returns
events, and names the rows it could not read.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import polars as pl

from recon_kit import model
from recon_kit.settings import Source

ROW = "record_row"  # name of the column that numbers physical records, from 1, header not counted
PROBLEM_SCHEMA: dict[str, pl.DataType] = {
    "record_row": pl.Int64(), "records": pl.Int64(), "code": pl.String(), "column": pl.String(),
    "message": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the bytes of a file become records of text. Always declared or fixed by the feed."""

    format: Literal["csv", "json", "ndjson", "parquet"] = "csv"
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    skip_rows: int = 0
    header: tuple[str, ...] = ()  # names of the columns of a file that prints none
    footer_regex: str | None = None
    records: str | None = None
    # Names that the feed reads, so that each must stand once in the header; None means all names.
    reads: frozenset[str] | None = None


@dataclass(slots=True)
class FileFacts:
    """What the reader learns of a file on its way, whole when `Feed.finish` is called."""

    footers: list[str] = field(default_factory=list)  # lines that the layout's footer names
    unread: int = 0  # rows that are no records


@dataclass(frozen=True, slots=True)
class FeedContext:
    """What a feed may know beside the rows: its source's settings and the file's preamble."""

    source: Source
    workspace_timezone: str
    file: str
    preamble: tuple[str, ...] = ()
    facts: FileFacts = field(default_factory=FileFacts)

    @property
    def timezone(self) -> str | None:
        """Zone of times without an offset, where the source declares one."""
        return self.source.timezone or (self.source.layout.timezone if self.source.layout else None)


@dataclass(frozen=True, slots=True)
class Told:
    """Events of one block of records (`model.TOLD`) and the rows that could not become events.

    Each physical record of the block is in exactly one place: counted by one event's `records`,
    or by one problem's `records`, or held back in `carry` until `Feed.finish` tells it.

    `carry` holds small frames by name that the feed wants to see again when the file has ended,
    such as sums per payout. The frames of all blocks are stacked by name, in file order.
    """

    events: pl.DataFrame
    problems: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PROBLEM_SCHEMA))
    warnings: Mapping[str, int] = field(default_factory=dict)
    carry: Mapping[str, pl.DataFrame] = field(default_factory=dict)


class Feed(ABC):
    """One kind of file."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    # Fields that a later telling of the same event may change; any other change is a conflict.
    mutable: ClassVar[tuple[str, ...]] = ("status", "available_on", "payout_id", "refunded_amount")
    # Adjacent records with equal values here (or blank ones) belong together and reach `tell` in
    # one block, however the file is cut.
    keeps_together: ClassVar[tuple[str, ...]] = ()
    # Whether an amount's sign must fit its type (a payment is never negative). Off where a vendor
    # books corrections under the type that they correct.
    strict_signs: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        self.source = source

    @abstractmethod
    def columns(self) -> Mapping[str, Sequence[str]]:
        """Columns the feed cannot do without: name to accepted spellings of the header."""

    def apart(self) -> Mapping[str, Sequence[str]]:
        """Columns by which rows without an id of their own are told apart, as `columns` has them.

        A header that lacks one would make every row of an overlapping file another event. Files
        without a header, such as JSON, leave out what is empty.
        """
        return {}

    @abstractmethod
    def tell(self, records: pl.DataFrame, context: FeedContext) -> Told:
        """Turn one block of text records (plus `record_row`) into events.

        Args:
            records: text columns under their header's spelling, plus `record_row`.
            context: the source's settings and the file's name and preamble.

        Returns:
            Events in the columns of `model.TOLD` and the records that are quarantined.
        """

    def finish(
        self,
        carry: Mapping[str, pl.DataFrame],  # noqa: ARG002 - most feeds carry nothing
        context: FeedContext,  # noqa: ARG002 - same
    ) -> Told | None:
        """Tell what only the whole file shows; called once, after the last block, if any carried.

        Args:
            carry: every block's `Told.carry`, stacked by name in file order.
            context: the same context that `tell` got.

        Returns:
            Further events (usually with `records` 0) and problems, or None.
        """
        return None

    def dialect(self, head: str) -> Dialect:  # noqa: ARG002 - most feeds need no look
        """How to read the file, given its first characters; a comma-separated table by default."""
        return Dialect()

    def together(self) -> tuple[str, ...]:
        """Columns of `keeps_together`; a table declares its own."""
        return self.keeps_together

    def mutable_fields(self) -> tuple[str, ...]:
        """Fields that may change without being a conflict; a table declares its own."""
        return self.mutable

    @property
    def parser_version(self) -> str:
        """Which reader it is, of which version; part of a batch's identity."""
        return f"{self.name}/{self.version}"

    def mapping_version(self) -> str:
        """Hash of what the settings add to the mapping; part of a batch's identity."""
        return model.digest(
            self.source.feed, self.source.model_dump_json(exclude={"owner", "backup", "cadence"})
        )


def normal_header(name: str) -> str:
    """One spelling for headers that mean the same: case, spaces, `*` marks and trailing `:` go."""
    text = unicodedata.normalize("NFKC", name).replace("\ufeff", "").strip().lstrip("*").rstrip(":")
    return re.sub(r"[\s_]+", " ", text).strip().casefold()


class Header:
    """Columns of one block by any accepted spelling."""

    def __init__(self, records: pl.DataFrame) -> None:
        self._actual = {normal_header(c): c for c in records.columns if c != ROW}

    def __contains__(self, name: str) -> bool:
        return normal_header(name) in self._actual

    def actual(self, *names: str) -> str | None:
        """The file's own spelling of the first of `names` that is present."""
        return next((self._actual[normal_header(n)] for n in names if n in self), None)

    def text(self, *names: str) -> pl.Expr:
        """Text of the first present spelling; null for a blank cell or an absent column."""
        found = self.actual(*names)
        if found is None:
            return pl.lit(None, dtype=pl.String)
        trimmed = pl.col(found).str.strip_chars(" \t\r\n\u00a0\u200b\ufeff")
        return pl.when(trimmed == "").then(None).otherwise(trimmed)


def stack_carry(carries: Sequence[Mapping[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """The carried frames of all blocks, stacked by name in the order given."""
    names = dict.fromkeys(name for carry in carries for name in carry)
    return {name: pl.concat([c[name] for c in carries if name in c]) for name in names}


def told_frame(events: pl.DataFrame) -> pl.DataFrame:
    """Complete a frame of events to `model.TOLD`: missing ones null, exact types, fixed order."""
    missing = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in model.TOLD.items()
        if name not in events.columns
    ]
    unknown = [c for c in events.columns if c not in model.TOLD]
    if unknown:
        raise ValueError(f"not fields of an event: {unknown}")
    return events.with_columns(missing).select(
        pl.col(name).cast(dtype) for name, dtype in model.TOLD.items()
    )
