"""JSON and NDJSON as records of text: numbers keep their digits, nesting becomes dotted columns.

`{"id": 9007199254740993, "price": {"amount": 1.10}}` gives the columns `id` and `price.amount`
with exactly these digits. Lists stay JSON text. NaN, repeated keys and hostile nesting are
refused: a row of NDJSON goes to the quarantine, a JSON document is rejected as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import polars as pl

from recon_kit.ingestion.feed import ROW
from recon_kit.ingestion.records import Records
from recon_kit.ingestion.stream import Stream

_DEPTH_MAX = 32
JSON_PROBLEMS: dict[str, str] = {
    "json_unreadable": "the line is not JSON",
    "json_truncated": "the file ends in the middle of this line",
    "json_duplicate_key": "the record names a key twice",
    "json_not_a_number": "NaN or Infinity stands where a number should",
    "json_too_deep": f"objects are nested more than {_DEPTH_MAX} deep",
    "json_not_object": "the record is no JSON object",
    "row_too_long": "the line is longer than {wanted:,} bytes",
    "row_nul": "the row holds a NUL character",
}


class _Number(str):
    """Digits of a JSON number; a class of its own so that text in lists keeps its quotes."""

    __slots__ = ()


class _RefusedError(ValueError):
    """Why a piece of JSON is refused; `code` is a key of JSON_PROBLEMS."""

    def __init__(self, code: str) -> None:
        super().__init__(JSON_PROBLEMS[code])
        self.code = code


class NdjsonRecords(Records):
    """One JSON object per line."""

    def __init__(self, stream: Stream, keeps_together: Sequence[str]) -> None:
        super().__init__(stream, keeps_together)
        self._columns: dict[str, None] = {}
        self._ready = self._read()
        self._first = next(self._ready, None)
        self.header = self._named(list(self._columns))

    def raw_lines(self, rows: Collection[int]) -> dict[int, str]:
        """The lines of some records; reads the file again."""
        wanted = set(rows)
        return {n: t for n, t, _ in self._lines() if n in wanted} if wanted else {}

    def _frames(self) -> Iterator[pl.DataFrame]:
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._ready
        if self.physical == 0:
            self._warn("the file has no rows")

    def _read(self) -> Iterator[pl.DataFrame]:
        found: list[tuple[int, dict[str, str | None]]] = []
        for number, line, ended in self._lines():
            self.physical += 1
            self._check_rows()
            if not line.strip():
                self.blank += 1
                continue
            try:
                cells = self._cells(line)
            except _RefusedError as why:
                partial = why.code == "json_unreadable" and not ended
                code = "json_truncated" if partial else why.code
                message = JSON_PROBLEMS[code].format(wanted=self.stream.caps.row_bytes_max)
                self._set_aside(number, code, message, line)
                continue
            if not ended:
                self._warn("the last row has no line end")
            self._columns.update(dict.fromkeys(cells))
            found.append((number, cells))
            if len(found) >= self.stream.caps.block_rows:
                yield _frame(found, list(self._columns))
                found = []
        if found:
            yield _frame(found, list(self._columns))

    def _cells(self, line: str) -> dict[str, str | None]:
        if len(line) > self.stream.caps.row_bytes_max:
            raise _RefusedError("row_too_long")
        return flat(loads_exact(line))

    def _lines(self) -> Iterator[tuple[int, str, bool]]:
        """(row, text, whether a line end followed) of every line."""
        rest, number, offset = b"", 0, 0
        for chunk in self.stream.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                number += 1
                yield number, self._text(line, offset), True
                offset += len(line) + 1
        if rest:
            yield number + 1, self._text(rest, offset, last=True), False

    def _text(self, line: bytes, offset: int, *, last: bool = False) -> str:
        try:
            return line.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as why:
            if last:
                return line.decode("utf-8", "replace")
            raise self.stream.bad_byte(offset + why.start) from None


class JsonRecords(Records):
    """One JSON document: a list of objects, or an object with the list at a declared path."""

    def __init__(self, stream: Stream, path: str | None, keeps_together: Sequence[str]) -> None:
        super().__init__(stream, keeps_together)
        self._items = self._listed(self._document(), path)
        self._cells: list[tuple[int, dict[str, str | None]]] = []
        self.physical = len(self._items)
        self._check_rows()
        columns: dict[str, None] = {}
        for number, item in enumerate(self._items, 1):
            try:
                cells = flat(item)
            except _RefusedError as why:
                self._set_aside(number, why.code, str(why), _dumps(item))
                continue
            columns.update(dict.fromkeys(cells))
            self._cells.append((number, cells))
        self.header = self._named(list(columns))

    def raw_lines(self, rows: Collection[int]) -> dict[int, str]:
        """The records as compact JSON with the digits of the file."""
        return {n: _dumps(self._items[n - 1]) for n in sorted(rows)}

    def _frames(self) -> Iterator[pl.DataFrame]:
        step = self.stream.caps.block_rows
        for first in range(0, len(self._cells), step):
            yield _frame(self._cells[first : first + step], list(self.header))
        if self.physical == 0:
            self._warn("the file has no rows")

    def _document(self) -> Any:
        parts: list[bytes] = []
        size = 0
        for chunk in self.stream.chunks():
            size += len(chunk)
            if size > self.stream.caps.json_bytes_max:
                raise self.stream.reject(
                    "file_too_large",
                    f"a JSON document of more than {self.stream.caps.json_bytes_max:,} bytes",
                    "Ask for NDJSON (one object per line), which is read in pieces.",
                )
            parts.append(chunk)
        data = b"".join(parts)
        try:
            return loads_exact(data.decode("utf-8"))
        except UnicodeDecodeError as why:
            raise self.stream.bad_byte(why.start) from None
        except _RefusedError as why:
            text = str(why).replace("the line", "the file")
            raise self.stream.reject(
                why.code, text, 'Ask for the file again; one object per line is format = "ndjson".'
            ) from None

    def _listed(self, document: Any, path: str | None) -> list[Any]:
        found = document
        for step in path.split(".") if path else ():
            if not isinstance(found, dict) or step not in found:
                known = ", ".join(sorted(found)) if isinstance(found, dict) else "a list"
                raise self.stream.reject(
                    "json_path",
                    f"nothing stands at {path!r} (there is: {known})",
                    "Check `records`.",
                )
            found = found[step]
        if isinstance(found, dict) and not path:
            return [found]
        if not isinstance(found, list):
            raise self.stream.reject(
                "json_no_list",
                f"no list of objects stands at {path or 'the top'!r}",
                'Declare where it is, such as records = "data.items".',
            )
        return found


def loads_exact(text: str) -> Any:
    """JSON with numbers as their digits; NaN, repeated keys and deep nesting are refused."""
    if "\x00" in text:
        raise _RefusedError("row_nul")
    try:
        return json.loads(
            text,
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise _RefusedError("json_too_deep") from None
    except json.JSONDecodeError:
        raise _RefusedError("json_unreadable") from None


def flat(record: Any) -> dict[str, str | None]:
    """One object as dotted names and texts; lists as JSON text, null and {} as null."""
    if not isinstance(record, dict):
        raise _RefusedError("json_not_object")
    cells: dict[str, str | None] = {}
    _flatten(record, "", cells, 1)
    return cells


def _flatten(record: dict[str, Any], prefix: str, cells: dict[str, str | None], depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise _RefusedError("json_too_deep")
    for key, value in record.items():
        name = prefix + (key.strip() or "nameless")
        if name == ROW:
            name = f"{ROW} of the file"
        if isinstance(value, dict) and value:
            _flatten(value, name + ".", cells, depth + 1)
        elif name in cells:
            raise _RefusedError("json_duplicate_key")
        elif isinstance(value, str):
            cells[name] = value
        elif value is None or value == {}:
            cells[name] = None
        else:
            cells[name] = _dumps(value)


def _dumps(value: Any) -> str:
    """Compact JSON with numbers exactly as the file had them."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        pairs = (json.dumps(k, ensure_ascii=False) + ":" + _dumps(v) for k, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dumps, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _refuse_constant(_: str) -> Any:
    raise _RefusedError("json_not_a_number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("json_duplicate_key")
    return found


def _frame(found: list[tuple[int, dict[str, str | None]]], columns: list[str]) -> pl.DataFrame:
    data = {c: pl.Series(c, [cells.get(c) for _, cells in found], dtype=pl.String) for c in columns}
    data[ROW] = pl.Series(ROW, [n for n, _ in found], dtype=pl.Int64)
    return pl.DataFrame(data)
