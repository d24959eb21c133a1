"""A plain table of text with a heading: checks, problems, whatever has no view of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.present import tables
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import masked_frame, prose_html

_ROWS_MAX = 200


def _kind(dtype: pl.DataType) -> tables.Kind:
    """How a type is written; the only fractions in such tables are shares."""
    if dtype.is_integer():
        return "count"
    if dtype.is_float():
        return "share"
    return "time" if dtype.is_temporal() else "text"


@dataclass(frozen=True, repr=False)
class RowsView(View):
    """Rows under a heading, with sentences below; numbers are right-aligned by their type.

    `shown` names the columns that people see, `rows_max` how many rows; `upwards` shows the last
    row first; `zone` is that in which times are read. `.frame` has them all as they are.
    """

    title: str
    frame: pl.DataFrame
    notes: tuple[str, ...] = ()
    shown: tuple[Column, ...] = ()
    rows_max: int = _ROWS_MAX
    upwards: bool = False
    zone: str = "UTC"

    def columns(self) -> Sequence[Column]:
        """The columns in `shown`; without, every column of the frame under its own name."""
        return self.shown or [
            Column(name, name.replace("_", " ").capitalize(), _kind(dtype))
            for name, dtype in self.frame.schema.items()
        ]

    @property
    def _shown(self) -> pl.DataFrame:
        """The frame with lists as text, in the order that people see."""
        frame = self.frame.reverse() if self.upwards else self.frame
        return frame.with_columns(pl.col(pl.List(pl.String)).list.join(", "))

    def html(self) -> str:
        """The table and its notes."""
        body = tables.html(
            self._shown, self.columns(), caption=self.title, zone=self.zone,
            rows_max=self.rows_max, more=tables.IN_FRAME,
        )  # fmt: skip
        notes = "".join(f'<p class="rk-note">{prose_html(note)}</p>' for note in self.notes)
        return f'<section class="rk">{body}{notes}</section>'

    def text(self) -> str:
        """The table and its notes as plain text."""
        body = tables.plain(self._shown, self.columns(), zone=self.zone, rows_max=self.rows_max)
        return "\n".join([self.title, body, *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Title, rows and notes."""
        rows = masked_frame(self.frame)
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}
