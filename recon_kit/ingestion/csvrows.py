"""Delimited text, strictly: polars parses, an independent count over the bytes checks it.

Per chunk, numpy counts record ends and delimiters outside quotes. Where every quote stands where
RFC 4180 puts it and every record has the header's number of fields, polars parses the chunk and
must give exactly as many rows. Everything else goes the slow path (`lines`), which sets aside the
rows that cannot be read and lets the others through. No value is ever inferred: all is text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from recon_kit.errors import FileRejectedError, SettingsError
from recon_kit.ingestion.feed import ROW, Dialect
from recon_kit.ingestion.lines import Notation, split_line
from recon_kit.ingestion.records import Records
from recon_kit.ingestion.shape import Piece, cut, with_counts
from recon_kit.ingestion.stream import Stream

_OTHER_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_ROWS_TRIED = 3  # first rows by which cells beyond the header are told
_FOOTERS_KEPT = 100  # of one stretch, for the file's own totals
_WHITESPACE = " \t\r\n\u00a0\u200b\ufeff"
_SEP_LINE = re.compile(r'^"?sep=(.)"?\r?\n?$', re.IGNORECASE)
# What is wrong with a record that is no record; an analyst reads these in the quarantine.
ROW_PROBLEMS: dict[str, str] = {
    "row_short": "the row has {found} fields where the header has {wanted}; a table names lines of "
    "totals in `footer_regex`",
    "row_long": "the row has {found} fields where the header has {wanted}; a text that holds the "
    "delimiter must be quoted",
    "row_truncated": "the file ends in the middle of this row; ask for the whole file",
    "quote_unterminated": "a quote opens a field and is never closed",
    "quote_misplaced": "text stands between a closing quote and the next delimiter",
    "row_nul": "the row holds a NUL character",
    "row_too_long": "the row is longer than {wanted:,} bytes",
}


class CsvRecords(Records):
    """Records of a delimited file."""

    def __init__(self, stream: Stream, dialect: Dialect, keeps_together: Sequence[str]) -> None:
        super().__init__(stream, keeps_together)
        self.delimiter = _one_character("delimiter", dialect.delimiter)
        self.quote = _one_character("quote", dialect.quote) if dialect.quote else ""
        self._skip_rows = dialect.skip_rows
        self._footer = dialect.footer_regex
        self._reads = dialect.reads
        self._given = dialect.header
        self._header_line = ""
        self._read_header()
        cap = stream.caps.row_bytes_max
        self.notation = Notation(len(self.header), self.delimiter, self.quote, cap)

    def raw_lines(self, rows: Collection[int]) -> dict[int, str]:
        """The raw text of some records; one more pass over the bytes, without parsing."""
        wanted = sorted(rows)
        found: dict[int, str] = {}
        done, first = 0, 1
        for piece in self._pieces() if wanted else ():
            count = len(piece.starts)
            while done < len(wanted) and wanted[done] < first + count:
                found[wanted[done]] = piece.raw(wanted[done] - first)
                done += 1
            first += count
            if done == len(wanted):
                break
        return found

    # --- header -------------------------------------------------------------------------------

    def _read_header(self) -> None:
        head = b""
        for chunk in self.stream.chunks():
            head += chunk
            if len(head) > self.stream.caps.row_bytes_max:
                break
        # Bytes that are no UTF-8 come through as lone surrogates, so that lengths stay exact.
        text = head[: 2 * self.stream.caps.row_bytes_max].decode("utf-8", "surrogateescape")
        if text.lstrip(_WHITESPACE).startswith(('{"', "[{", "[ {", "{ ")):
            raise self.stream.reject(
                "format_mismatch", "the file is JSON", 'Declare format = "json" or "ndjson".'
            )
        lines = re.findall(r"[^\r\n]*(?:\r\n|\n|\r|$)", text)
        preamble: list[str] = []
        at = 0
        if lines and (sep := _SEP_LINE.match(lines[0])):
            self.delimiter = sep[1]
            at = 1
        for _ in range(self._skip_rows):
            if at < len(lines):
                preamble.append(lines[at].rstrip("\r\n"))
                at += 1
        while at < len(lines) and lines[at] and not lines[at].strip(_WHITESPACE):
            at += 1
        rest = "".join(lines[at:])
        line = _first_record(rest, self.quote)
        if self._given:
            self._begin("".join(lines[:at]), preamble)
            self.header = self._named(self._given)
            return
        self._check_header(line)
        self._begin("".join(lines[:at]) + line, preamble)
        self._header_line = line.rstrip("\r\n")
        fields = self._header_fields()
        fields += [""] * self._nameless_after(rest[len(line) :], len(fields))
        self.header = self._named(fields)

    def _check_header(self, line: str) -> None:
        if not line.strip(_WHITESPACE):
            raise self.stream.reject(
                "empty_file",
                "the file has no header row",
                "Check `skip_rows`, or ask for it again.",
            )
        if len(line) > self.stream.caps.row_bytes_max:
            raise self.stream.reject(
                "header_unreadable",
                f"the header row is longer than {self.stream.caps.row_bytes_max:,} bytes",
                "Check the line ends of the file, and `quote` and `skip_rows` of the layout.",
            )

    def _begin(self, above: str, preamble: Sequence[str]) -> None:
        """Rows begin after the text above them."""
        top = above.encode("utf-8", "surrogateescape")
        self._body_at = len(top)
        self._check_text(top, 0)
        self.preamble = tuple(preamble)

    def _nameless_after(self, body: str, named: int) -> int:
        """How many empty cells every row has beyond the header: some banks end rows with a mark.

        Told by the first rows; all must have as many, and nothing in them.
        """
        beyond = set()
        for _ in range(_ROWS_TRIED):
            line = _first_record(body, self.quote)
            body = body[len(line) :]
            if not line.strip(_WHITESPACE):
                break
            fields, state = split_line(line.rstrip("\r\n"), self.delimiter, self.quote)
            if state not in {"ok", "stray"} or any((f or "").strip() for f in fields[named:]):
                return 0
            beyond.add(len(fields) - named)
        return max(beyond.pop(), 0) if len(beyond) == 1 else 0

    def _header_fields(self) -> list[str]:
        fields, state = split_line(self._header_line, self.delimiter, self.quote)
        if state not in {"ok", "stray"}:
            raise self.stream.reject(
                "header_unreadable",
                "the quotes of the header row are not closed",
                "Check `quote` and `skip_rows`.",
            )
        if len(fields) == 1:
            for mark, word in _OTHER_DELIMITERS.items():
                if mark != self.delimiter and len(_plain_split(self._header_line, mark)) > 1:
                    raise self.stream.reject(
                        "wrong_delimiter",
                        f"the header is one column but holds {word}",
                        f"Declare delimiter = {mark!r}.".replace("'", '"'),
                    )
        return [f or "" for f in fields]

    # --- structure ----------------------------------------------------------------------------

    def _pieces(self) -> Iterator[Piece]:
        """Stretches of whole records after the header, in order; the same on every pass."""
        skip, carry = self._body_at, b""
        pending: bytes | None = None
        for chunk in self.stream.chunks():
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            body = chunk[skip:] if skip else chunk
            skip = 0
            if pending is not None:
                piece, carry = self._cut(carry + pending, final=False)
                yield from self._blocks_of(piece)
            pending = body
        piece, _ = self._cut(carry + (pending or b""), final=True)
        yield from self._blocks_of(piece)

    def _cut(self, data: bytes, *, final: bool) -> tuple[Piece, bytes]:
        return cut(data, self.notation, final=final)

    def _blocks_of(self, piece: Piece) -> Iterator[Piece]:
        step = self.stream.caps.block_rows
        for first in range(0, len(piece.starts), step):
            yield piece.part(first, first + step)

    # --- frames -------------------------------------------------------------------------------

    def _frames(self) -> Iterator[pl.DataFrame]:
        seen = self._body_at
        piece = None
        for piece in self._pieces():
            first = self.physical + 1
            self.physical += len(piece.starts)
            self._check_rows()
            frame = self._frame(piece, first, seen)
            seen += int(piece.ends[-1] - piece.starts[0])
            if frame.height:
                yield frame
        if self.physical == 0:
            self._warn("the file has a header and no rows")
        elif piece is not None and piece.cut_off:
            self._warn("the last row has no line end")

    def _frame(self, piece: Piece, first: int, offset: int) -> pl.DataFrame:
        counted_before = self.blank, len(self._bad), len(self.facts.footers)
        keep = self._regular(piece, first)
        self._check_text(
            piece.data[int(piece.starts[0]) : int(piece.ends[-1])],
            offset,
            cut_off=piece.cut_off and not keep[-1],
        )
        rows = np.flatnonzero(keep)
        schema = dict.fromkeys(self.header, pl.String())
        if piece.fields is not None or not len(rows):
            chosen = [piece.fields[i] for i in rows] if piece.fields is not None else []
            frame = pl.DataFrame(chosen, schema=schema, orient="row")
        else:
            try:
                frame = self._parsed(piece, keep)
            except pl.exceptions.PolarsError as why:
                if piece.counts is not None:
                    raise self._parser_differs(str(why).split("\n", maxsplit=1)[0]) from None
                # As many delimiters too many in one row as are missing in another.
                self.blank, bad, footers = counted_before
                del self._bad[bad:], self.facts.footers[footers:]
                self.facts.unread = bad
                return self._frame(with_counts(piece, self.notation), first, offset)
        frame = frame.with_columns(pl.Series(ROW, rows + first, dtype=pl.Int64))
        return self._without_blanks(frame)

    def _parsed(self, piece: Piece, keep: npt.NDArray[np.bool_]) -> pl.DataFrame:
        data = piece.data[int(piece.starts[0]) : int(piece.ends[-1])]
        count = int(keep.sum())
        if count < len(keep):
            mask = np.repeat(keep, piece.ends - piece.starts)
            data = np.frombuffer(data, np.uint8)[mask].tobytes()
        frame = pl.read_csv(
            data,
            has_header=False,
            schema=dict.fromkeys(self.header, pl.String()),
            separator=self.delimiter,
            quote_char=self.quote or None,
            infer_schema=False,
        )
        if frame.height != count:
            raise self._parser_differs(f"{frame.height:,} rows for {count:,} records")
        return frame

    def _parser_differs(self, how: str) -> FileRejectedError:
        return self.stream.reject(
            "count_differs",
            f"the parser and the independent count of records disagree ({how})",
            "Check `delimiter` and `quote`: the file was refused rather than read wrongly.",
        )

    def _check_text(self, data: bytes, offset: int, *, cut_off: bool = False) -> None:
        if data.isascii() or (cut_off and _ends_inside_character(data)):
            return
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as why:
            raise self.stream.bad_byte(offset + why.start) from None

    def _regular(self, piece: Piece, first: int) -> npt.NDArray[np.bool_]:
        """Which records are rows of the table; the others are counted or set aside here."""
        keep = np.ones(len(piece.starts), dtype=bool)
        lengths = piece.ends - piece.starts
        if self._footer is not None:
            footers = self._footers(piece)
            keep &= ~footers
            self.blank += int(footers.sum())
            at = np.flatnonzero(footers)[:_FOOTERS_KEPT]
            self.facts.footers += [piece.raw(int(i)) for i in at]
        suspects = lengths > self.stream.caps.row_bytes_max
        if piece.counts is not None:
            suspects |= piece.counts != len(self.header)
        low, high = int(piece.starts[0]), int(piece.ends[-1])
        if piece.cut_off and _ends_inside_character(piece.data[low:high]):
            suspects[-1] = True
        if piece.data.find(b"\x00", low, high) >= 0:
            nul = np.flatnonzero(np.frombuffer(piece.data, np.uint8)[low:high] == 0) + low
            suspects[np.searchsorted(piece.ends, nul, side="right")] = True
        for index in np.flatnonzero(suspects & keep):
            keep[index] = False
            raw = piece.raw(int(index))
            if not raw.strip(_WHITESPACE + self.delimiter + self.quote):
                self.blank += 1
                continue
            code, message = self._what_is_wrong(piece, int(index))
            self._set_aside(first + int(index), code, message, raw)
        return keep

    def _what_is_wrong(self, piece: Piece, index: int) -> tuple[str, str]:
        wanted = len(self.header)
        found = wanted if piece.counts is None else int(piece.counts[index])
        last = piece.cut_off and index == len(piece.starts) - 1
        code = piece.codes[index] if piece.codes is not None else None
        if int(piece.ends[index] - piece.starts[index]) > self.stream.caps.row_bytes_max:
            code, wanted = "row_too_long", self.stream.caps.row_bytes_max
        elif code is None and "\x00" in piece.raw(index):
            code = "row_nul"
        elif last and (code == "quote_unterminated" or (code is None and found <= wanted)):
            code = "row_truncated"
        elif code is None:
            code = "row_short" if found < wanted else "row_long"
        return code, ROW_PROBLEMS[code].format(found=found, wanted=wanted)

    def _footers(self, piece: Piece) -> npt.NDArray[np.bool_]:
        """Records whose raw text matches the declared footer."""
        low = int(piece.starts[0])
        offsets = np.append(piece.starts, piece.ends[-1]) - low
        data = piece.data[low : int(piece.ends[-1])]
        lines = pa.LargeStringArray.from_buffers(
            len(piece.starts), pa.py_buffer(offsets), pa.py_buffer(data)
        )
        series = pl.Series("raw", lines).str.strip_chars_end("\r\n")
        try:
            return series.str.contains(self._footer or "").to_numpy()
        except pl.exceptions.ComputeError as why:
            raise SettingsError(f"footer_regex cannot be read: {why}") from None

    def _without_blanks(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Drop rows that say nothing, and headers that a concatenated export repeats."""
        one = pl.col(self.header[0])
        empty = one.is_null() | (one.str.strip_chars(_WHITESPACE) == "")
        suspect = frame.filter(empty | (one == self.header[0]))
        if suspect.is_empty():
            return frame
        cells = [pl.col(c).str.strip_chars(_WHITESPACE).fill_null("") for c in self.header]
        blank = pl.all_horizontal(c == "" for c in cells)
        named = [(c, n) for c, n in zip(cells, self.header, strict=True)
                 if not n.startswith("column_")]  # fmt: skip
        # a header without any name repeats nowhere
        again = pl.all_horizontal(c == n for c, n in named) if named else pl.lit(value=False)
        marked = suspect.select(ROW, blank=blank, again=again)
        drop = marked.filter(pl.col("blank") | pl.col("again"))
        repeats = int(marked["again"].sum())
        if repeats:
            self._warn("the header stands again among the rows (files put together?)", repeats)
        self.blank += drop.height
        return frame.join(drop.select(ROW), on=ROW, how="anti", maintain_order="left")


def _ends_inside_character(data: bytes) -> bool:
    """Whether the end of the file cut a character in half: that spoils its row, not the file."""
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as why:
        return why.end == len(data) and why.reason == "unexpected end of data"
    return False


def _one_character(what: str, text: str) -> str:
    if len(text) != 1 or ord(text) > 127:
        raise SettingsError(f"{what} = {text!r} must be one plain character")
    return text


def _plain_split(line: str, mark: str) -> list[str]:
    return re.sub(r'"[^"]*"', "", line).split(mark)


def _first_record(text: str, quote: str) -> str:
    """The first record of a text with its line end: a header may hold line ends in quotes."""
    inside = False
    for index, char in enumerate(text):
        if quote and char == quote:
            inside = not inside
        elif (char == "\n" and not inside) or (
            char == "\r" and not inside and text[index + 1 : index + 2] != "\n"
        ):
            return text[: index + 1]
    return text if not inside else text.split("\n", maxsplit=1)[0] + "\n"
