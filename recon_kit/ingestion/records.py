"""What every reader gives: text columns by block, and every record that is not among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence

import polars as pl

from recon_kit.errors import HEADLESS, is_value
from recon_kit.ingestion.feed import ROW, FileFacts, normal_header
from recon_kit.ingestion.stream import Stream

RAW_LINE_MAX = 10_000  # characters of a raw line that the quarantine keeps; raw/ has the rest
BAD_SCHEMA: dict[str, pl.DataType] = {
    "record_row": pl.Int64(), "records": pl.Int64(), "code": pl.String(), "column": pl.String(),
    "message": pl.String(), "raw_line": pl.String(),
}  # fmt: skip


class Records(ABC):
    """The records of one file. `blocks` is read once; the counts are final when it has ended.

    `physical` counts every record after the header, `blank` those that say nothing (empty rows,
    declared footers, repeated headers), `bad` holds those that are no records; the rest comes in
    blocks: physical = rows of all blocks + blank + rows of `bad`.
    """

    def __init__(self, stream: Stream, keeps_together: Sequence[str]) -> None:
        self.stream = stream
        self.name = stream.name
        self.header: tuple[str, ...] = ()
        self.preamble: tuple[str, ...] = ()
        self.physical = 0
        self.blank = 0
        self.facts = FileFacts()
        self.warnings: dict[str, int] = {}
        self._reads: frozenset[str] | None = None
        self._together = tuple(keeps_together)
        self._bad: list[tuple[int, str, str, str]] = []

    @property
    def bad(self) -> pl.DataFrame:
        """Records that could not be read: row, code, message and raw line, in file order."""
        rows = [(r, 1, code, None, text, raw) for r, code, text, raw in self._bad]
        return pl.DataFrame(rows, schema=BAD_SCHEMA, orient="row")

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Frames of text columns plus `record_row`, in file order, in bounded memory."""
        wanted = {normal_header(n) for n in self._together}
        held: pl.DataFrame | None = None
        for block in self._frames():
            whole = block if held is None else pl.concat([held, block], how="diagonal")
            names = [c for c in whole.columns if normal_header(c) in wanted]
            cut = _last_group(whole, names) if names else whole.height
            held = whole[cut:] if cut < whole.height else None
            if cut:
                yield whole[:cut]
        if held is not None:
            yield held

    @abstractmethod
    def raw_lines(self, rows: Collection[int]) -> dict[int, str]:
        """The raw text of some records by row; reads the file again if need be."""

    @abstractmethod
    def _frames(self) -> Iterator[pl.DataFrame]: ...

    def _warn(self, what: str, count: int = 1) -> None:
        self.warnings[what] = self.warnings.get(what, 0) + count

    def _set_aside(self, row: int, code: str, message: str, raw: str) -> None:
        self.facts.unread += 1
        self._bad.append((row, code, message, raw[:RAW_LINE_MAX]))

    def _check_rows(self) -> None:
        if self.physical > self.stream.caps.rows_max:
            raise self.stream.reject(
                "too_many_rows", f"more than {self.stream.caps.rows_max:,} rows", "Split the file."
            )

    def _named(self, names: Sequence[str]) -> tuple[str, ...]:
        """The header, refused where a name stands twice; nameless columns get their number."""
        if len(names) > self.stream.caps.columns_max:
            raise self.stream.reject(
                "too_many_columns",
                f"the header has {len(names):,} columns",
                "Check the delimiter, or leave columns out of the export.",
            )
        header = [n.strip() or f"column_{i}" for i, n in enumerate(names, 1)]
        seen: dict[str, str] = {}
        for place, name in enumerate(header):
            key = normal_header(name)
            if key in seen and self._reads is not None and key not in self._reads:
                self._warn(f"the header names {seen[key]!r} twice; no declared field reads it")
                header[place] = _numbered(name, seen)
                key = normal_header(header[place])
            elif key in seen:
                raise self.stream.reject("duplicate_column", *_twice(name, seen[key]))
            seen[key] = name
        return tuple(n if n != ROW else f"{ROW} of the file" for n in header)


def _twice(name: str, before: str) -> tuple[str, str]:
    """What is wrong with two names that are one, and the way out; no value of a row is told."""
    if is_value(name):
        return (
            f"two names of the header are one value: {HEADLESS}",
            "Export the file with its header, or name its columns in `header`.",
        )
    return (
        f"the header names {name!r} twice (as {before!r} before)",
        "Rename one of the columns: which of them to read cannot be guessed.",
    )


def _numbered(name: str, seen: Collection[str]) -> str:
    """A name for a column whose own is taken: `branch_code (2)`."""
    number = 2
    while normal_header(f"{name} ({number})") in seen:
        number += 1
    return f"{name} ({number})"


def _last_group(block: pl.DataFrame, names: Sequence[str]) -> int:
    """Where the last group begins: adjacent rows whose values are equal or blank."""
    values = [
        pl.when(pl.col(n).str.strip_chars() == "").then(None).otherwise(pl.col(n)).forward_fill()
        for n in names
    ]
    changes = pl.any_horizontal([v.ne_missing(v.shift(1)) for v in values])
    starts = block.select(changes.arg_true().alias("at"))["at"]
    # Row 0 always counts as a start: its shifted neighbour is null.
    last = starts[-1] if starts.len() else 0
    return int(last)
