"""Where records end in a stretch of bytes, counted by numpy and never by the parser.

A stretch whose quotes all stand where RFC 4180 puts them is cut by parity: a line end or a
delimiter counts where an even number of quotes came before it. Any other stretch is cut line by
line (`lines`), so that what follows a stray quote is not swallowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recon_kit.ingestion.lines import Notation, isolate

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]
_LF, _CR = 10, 13


@dataclass(slots=True)
class Piece:
    """A stretch of whole records: their byte ranges, field counts, and fields if read slowly."""

    data: bytes
    starts: Numbers
    ends: Numbers
    counts: Numbers | None  # fields of each record; None when all have the header's number
    fields: list[list[str | None] | None] | None = None
    codes: list[str | None] | None = None
    cut_off: bool = False  # the last record has no line end

    def part(self, first: int, last: int) -> Piece:
        """Records `first` to `last` (exclusive)."""
        return Piece(
            self.data,
            self.starts[first:last],
            self.ends[first:last],
            None if self.counts is None else self.counts[first:last],
            None if self.fields is None else self.fields[first:last],
            None if self.codes is None else self.codes[first:last],
            self.cut_off and last >= len(self.starts),
        )

    def raw(self, index: int) -> str:
        """One record as text, without its line end."""
        line = self.data[int(self.starts[index]) : int(self.ends[index])]
        return line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


def cut(data: bytes, notation: Notation, *, final: bool) -> tuple[Piece, bytes]:
    """Records of a stretch that begins at a record's start, and the bytes of an unfinished one.

    Args:
        data: UTF-8 bytes.
        notation: how the table is written.
        final: whether the file ends here, so that an unfinished record is a record.
    """
    quoted = bool(notation.quote) and notation.quote.encode() in data
    inside = _inside_quotes(data, notation.quote) if quoted else None
    data = _lone_returns(data, inside, final=final)
    ends = _record_ends(data, inside)
    cut_off = final and (int(ends[-1]) if len(ends) else 0) < len(data)
    if cut_off:
        ends = np.append(ends, len(data))
    rest = int(ends[-1]) if len(ends) else 0
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if len(ends) else ends
    broken = len(data) - rest > notation.row_bytes_max
    if inside is not None and not broken:
        broken = (final and bool(inside[-1])) or not _well_placed(data[:rest], notation)
    if broken:
        return _slow(data, notation, final=final)
    if _delimiters(data[:rest], inside, notation.delimiter) == len(ends) * (notation.columns - 1):
        # A row too long makes polars raise; with the right total none is too short then.
        return Piece(data, starts, ends, None, cut_off=cut_off), data[rest:]
    counts = _field_counts(data, inside, notation.delimiter, starts, ends)
    wrong = np.flatnonzero(counts != notation.columns)
    if inside is not None and any(
        data.count(b"\n", int(starts[i]), int(ends[i])) > 1 for i in wrong
    ):
        return _slow(data, notation, final=final)
    return Piece(data, starts, ends, counts, cut_off=cut_off), data[rest:]


def with_counts(piece: Piece, notation: Notation) -> Piece:
    """The same records with their field counts."""
    quoted = bool(notation.quote) and notation.quote.encode() in piece.data
    inside = _inside_quotes(piece.data, notation.quote) if quoted else None
    counts = _field_counts(piece.data, inside, notation.delimiter, piece.starts, piece.ends)
    return replace(piece, counts=counts)


def _slow(data: bytes, notation: Notation, *, final: bool) -> tuple[Piece, bytes]:
    found = isolate(data, notation, final=final)
    counts = np.array([0 if f is None else len(f) for f in found.fields], dtype=np.int64)
    piece = Piece(
        data,
        np.array(found.starts, dtype=np.int64),
        np.array(found.ends, dtype=np.int64),
        counts,
        found.fields,
        found.codes,
        cut_off=final and not data.endswith(b"\n"),
    )
    return piece, data[found.rest :]


def _inside_quotes(data: bytes, quote: str) -> Flags:
    """1 at every byte that stands inside quotes (an opening quote counts, a closing not)."""
    marks = np.frombuffer(data, np.uint8) == ord(quote)
    return np.bitwise_xor.accumulate(marks.view(np.uint8))


def _lone_returns(data: bytes, inside: Flags | None, *, final: bool) -> bytes:
    """CR-only line ends as LF, where they stand outside quotes."""
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        return data
    view = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(view == _CR)
    if not final:
        at = at[at < len(view) - 1]
    following = np.where(at + 1 < len(view), view[np.minimum(at + 1, len(view) - 1)], 0)
    lone = at[following != _LF]
    if inside is not None:
        lone = lone[inside[lone] == 0]
    changed = view.copy()
    changed[lone] = _LF
    return changed.tobytes()


def _record_ends(data: bytes, inside: Flags | None) -> Numbers:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF)
    if inside is not None:
        ends = ends[inside[ends] == 0]
    return (ends + 1).astype(np.int64, copy=False)


def _delimiters(data: bytes, inside: Flags | None, delimiter: str) -> int:
    """How many delimiters stand outside quotes."""
    if inside is None:
        return data.count(delimiter.encode())
    marks = np.frombuffer(data, np.uint8) == ord(delimiter)
    return int(np.count_nonzero(marks & (inside[: len(data)] == 0)))


def _field_counts(
    data: bytes, inside: Flags | None, delimiter: str, starts: Numbers, ends: Numbers
) -> Numbers:
    outside = np.frombuffer(data, np.uint8) == ord(delimiter)
    if inside is not None:
        outside &= inside == 0
    marks = np.flatnonzero(outside)
    upto = np.searchsorted(marks, ends)
    return (upto - np.searchsorted(marks, starts) + 1).astype(np.int64, copy=False)


def _well_placed(data: bytes, notation: Notation) -> bool:
    """Whether each quote opens right after a delimiter or line end, and closes right before one."""
    view = np.frombuffer(data, np.uint8)
    quote, delimiter = ord(notation.quote), ord(notation.delimiter)
    at = np.flatnonzero(view == quote)
    if not len(at):
        return True
    # Look-up tables instead of `isin`, which sorts: a quoted file has a quote every few bytes.
    may_open, may_close = np.zeros(256, bool), np.zeros(256, bool)
    may_open[[delimiter, _LF, quote]] = True
    may_close[[delimiter, _LF, _CR, quote]] = True
    # Quotes alternate: at even places of the list they open, at odd ones they close.
    opens, closes = at[::2], at[1::2]
    before = may_open[view[opens - 1]]
    before[0] = before[0] or opens[0] == 0
    after = may_close[view[np.minimum(closes + 1, len(view) - 1)]]
    if len(closes):
        after[-1] = after[-1] or closes[-1] + 1 == len(view)
    return bool(before.all() and after.all())
