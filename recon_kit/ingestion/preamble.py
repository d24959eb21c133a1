"""Where the table of a delimited file begins: its delimiter, the lines above it, its header.

Banks print an account, a period and a balance above the table, and some print no header at all.
Only `profile` guesses; what it finds stands in the proposed settings for a person to confirm.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")
_ABOVE_MAX = 40  # lines that may stand above a table
_BODY_SHARE_MIN = 0.8  # of the lines below a header, so many are as wide as it
_EVEN_SHARE_MIN = 0.99  # of the lines of a table without a header, so many are alike
# What only a row of data holds: a day, a time, an amount with decimals.
_A_DAY = r"[0-9]{1,4}([-/.][0-9A-Za-z]{1,3}){1,2}[-/.]?[0-9]{0,4}([ T][0-9]{1,2}:.*)?"
_AN_AMOUNT = r"[-+(]?\s*[$€£¥]?\s*[0-9][0-9.,' \u00a0\u202f]*[.,][0-9]{1,3}\s*[)€$£%-]?"
_DATA = re.compile(rf"^({_A_DAY}|{_AN_AMOUNT})$")
_NUMBER = re.compile(r"^[-+$€£\d.,:/() ]+$")


@dataclass(frozen=True, slots=True)
class TableStart:
    """How a file is cut into rows, and where they begin.

    `columns` is the number of columns of a table without a header row, else 0.
    """

    delimiter: str
    skip_rows: int
    columns: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    number: int  # of the physical line on which it starts, from 0
    cells: tuple[str, ...]

    @property
    def filled(self) -> tuple[str, ...]:
        return tuple(c for c in self.cells if c)


def find_table(text: str, lines_max: int) -> TableStart:
    """The delimiter and the first line of the table that most of a file's first lines make up.

    Args:
        text: the beginning of the file.
        lines_max: lines that are looked at.
    """
    found: list[tuple[int, int, TableStart]] = []
    for mark in DELIMITERS:
        lines = list(_lines(text, mark, lines_max))
        for place, line in enumerate(lines):
            if line.number > _ABOVE_MAX:
                break
            rows = _rows_below(lines, place)
            if rows is not None and _names_columns(line):
                start = TableStart(mark, line.number)
                found.append((rows * len(line.cells), -line.number, start))
        bare = _without_header(lines, mark)
        if bare is not None and not any(s.delimiter == mark for *_, s in found):
            found.append((len(lines) * bare.columns, 0, bare))
    if found:
        return max(found, key=lambda f: f[:2])[2]
    return TableStart(_widest(text, lines_max), 0)


def _lines(text: str, mark: str, lines_max: int) -> Iterator[_Line]:
    """Records with the number of their first line; the last may be cut off, so it is left out."""
    physical = text.splitlines()
    if len(physical) > lines_max:
        physical = physical[:lines_max]
    elif len(physical) > 2 and not text.endswith(("\n", "\r")):
        physical = physical[:-1]
    reader = csv.reader((line + "\n" for line in physical), delimiter=mark)
    start = 0
    try:
        for row in reader:
            cells = tuple(c.strip() for c in row)
            if any(cells):
                yield _Line(start, cells)
            start = reader.line_num
    except csv.Error:
        return


def _rows_below(lines: list[_Line], place: int) -> int | None:
    """How many rows a header would have; none where what follows is no table under it.

    Most lines are rows of it, or rows come first and then only totals, which are narrower.
    """
    width = len(lines[place].cells)
    below = lines[place + 1 :]
    fits = [_fits(line, width) for line in below]
    rows = sum(fits)
    last = next((i for i in reversed(range(len(fits))) if fits[i]), -1)
    totals = all(len(line.cells) < width for line in below[last + 1 :])
    whole = rows >= _BODY_SHARE_MIN * len(below) or (totals and all(fits[: last + 1]))
    return rows if width > 1 and rows and whole else None


def _fits(line: _Line, width: int) -> bool:
    """As wide as the header, but for delimiters after the last cell."""
    return len(line.cells) == width or (len(line.cells) > width > 1 and not any(line.cells[width:]))


def _names_columns(line: _Line) -> bool:
    """Whether a line could be a header: mostly filled, mostly words, no day and no amount."""
    filled = line.filled
    words = [c for c in filled if not _NUMBER.match(c)]
    return (
        len(filled) * 2 >= len(line.cells)
        and len(words) * 2 > len(filled)
        and not any(_DATA.match(c) for c in filled)
    )


def _without_header(lines: list[_Line], mark: str) -> TableStart | None:
    """A table whose first line already holds a day and an amount, as every line does."""
    if not lines:
        return None
    width = len(lines[0].cells)
    even = sum(len(line.cells) == width for line in lines)
    days = [any(re.fullmatch(_A_DAY, c) for c in line.filled) for line in lines]
    sums = [any(re.fullmatch(_AN_AMOUNT, c) for c in line.filled) for line in lines]
    told = sum(d and s for d, s in zip(days, sums, strict=True))
    if width < 2 or min(even, told) < _EVEN_SHARE_MIN * len(lines):
        return None
    return TableStart(mark, 0, width)


def _widest(text: str, lines_max: int) -> str:
    """The mark that cuts most lines; a file of a header alone has no rows to go by."""
    lines = text.splitlines()[:lines_max]
    return max(DELIMITERS, key=lambda mark: sum(line.count(mark) for line in lines))
