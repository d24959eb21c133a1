"""The slow path: one line at a time, so that a broken row costs that row and no other.

Used only for the stretch of a file whose quotes do not stand where RFC 4180 puts them. A quote
that opens a field and is never closed properly makes its line bad; the next line is read afresh,
except that the line on which such a text seems to end is bad as well: rather one row too many in
the quarantine than a row that nobody wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_LINES_MAX = 500  # longest text of one cell, in lines, that the slow path still puts together


@dataclass(frozen=True, slots=True)
class Notation:
    """How a table is written: fields per record, delimiter, quote ("" for none), longest row."""

    columns: int
    delimiter: str
    quote: str
    row_bytes_max: int


@dataclass(slots=True)
class Isolated:
    """Records of one stretch: byte ranges, and per record its fields or what is wrong with it."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    fields: list[list[str | None] | None] = field(default_factory=list)
    codes: list[str | None] = field(default_factory=list)
    rest: int = 0  # where an unfinished record begins (the length of the stretch if none does)

    def add(self, start: int, end: int, fields: list[str | None] | None, code: str | None) -> None:
        """One more record."""
        self.starts.append(start)
        self.ends.append(end)
        self.fields.append(fields)
        self.codes.append(code)


def split_line(text: str, delimiter: str, quote: str) -> tuple[list[str | None], str]:
    """Fields of one line and how it went: `ok`, `stray`, `open` (inside quotes) or `junk`.

    A quote opens only at the start of a field; elsewhere it is a character like any other
    (`stray`). An empty unquoted field is null. `junk` is text between a closing quote and the
    delimiter.
    """
    fields: list[str | None] = []
    at, size, state = 0, len(text), "ok"
    while True:
        if quote and text.startswith(quote, at):
            value, at, closed = _quoted(text, at + 1, quote)
            if not closed:
                return fields, "open"
            if at < size and text[at] != delimiter:
                return fields, "junk"
            fields.append(value)
        else:
            stop = text.find(delimiter, at)
            stop = size if stop < 0 else stop
            fields.append(text[at:stop] or None)
            if quote and quote in text[at:stop]:
                state = "stray"
            at = stop
        if at >= size:
            return fields, state
        at += 1


def _quoted(text: str, at: int, quote: str) -> tuple[str, int, bool]:
    parts: list[str] = []
    while True:
        stop = text.find(quote, at)
        if stop < 0:
            return "", len(text), False
        parts.append(text[at:stop])
        if text.startswith(quote, stop + 1):
            parts.append(quote)
            at = stop + 2
        else:
            return "".join(parts), stop + 1, True


def isolate(data: bytes, notation: Notation, *, final: bool) -> Isolated:
    """Split a stretch that begins at a record's start into records, good and bad.

    Args:
        data: valid UTF-8 whose lines end in LF (CR before it allowed).
        notation: how the table is written; no record is put together beyond its longest row.
        final: whether the file ends here; otherwise an unfinished record is left as `rest`.
    """
    found = Isolated()
    at, size, broken = 0, len(data), False
    while at < size:
        stop = data.find(b"\n", at)
        if stop < 0 and not final:
            break
        end = size if stop < 0 else stop + 1
        fields, state = split_line(_line(data, at, end), notation.delimiter, notation.quote)
        if state == "open":
            joined = _join_lines(data, at, end, notation)
            unfinished = joined is None or (joined and joined[0] == size)
            if unfinished and not final and size - at < notation.row_bytes_max:
                break
            if joined:
                end, fields = joined
                state = "ok"
        code = {"open": "quote_unterminated", "junk": "quote_misplaced"}.get(state)
        if state == "stray" and broken:
            code = "quote_misplaced"
        if code or (state == "ok" and notation.quote.encode() in data[at:end]):
            broken = state in {"open", "junk"}
        found.add(at, end, None if code else fields, code)
        at = end
    found.rest = at
    return found


def _line(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


def _join_lines(
    data: bytes, start: int, end: int, notation: Notation
) -> tuple[int, list[str | None]] | tuple[()] | None:
    """End and fields of a record of several lines; () if there is none, None if data ran out."""
    mark = notation.quote.encode()
    for _ in range(_LINES_MAX):
        closing = data.find(mark, end)
        if closing < 0:
            return None
        stop = data.find(b"\n", closing)
        end = len(data) if stop < 0 else stop + 1
        if end - start > notation.row_bytes_max:
            return ()
        fields, state = split_line(_line(data, start, end), notation.delimiter, notation.quote)
        if state in {"ok", "stray"}:
            return end, fields
        if state == "junk":
            return ()
        if stop < 0:
            return None
    return ()
