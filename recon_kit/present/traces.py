"""One event from the file, row and column it came from to the line of the report that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.present import tables
from recon_kit.present.base import About, about_line
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html, prose_html

TELLING_COLUMNS: Sequence[Column] = (
    Column("native_id", "Event", "code"),
    Column("event_type", "Type", "word"),
    Column("file", "File"),
    Column("record_row", "Row", "count"),
    Column("state", "Read"),
    Column("source", "Source"),
    Column("received_at", "Received", "time"),
    Column("recorded_seq", "Sequence", "count"),
    Column("parser_version", "Read by"),
    Column("artefact_sha256", "sha256", "hash"),
    Column("event_key", "Event key", "hash"),
)
FIELD_COLUMNS: Sequence[Column] = (
    Column("field", "Field", "word"),
    Column("value", "Value", "code"),
    Column("column", "From column"),
    Column("printed", "Printed there as", "code"),
)
STANDING_COLUMNS: Sequence[Column] = (
    Column("reconciliation", "Reconciliation", "word"),
    Column("what", "What"),
    Column("state", "State", "word"),
    Column("detail", "Detail"),
    Column("id", "Id", "hash"),
)


@dataclass(frozen=True, repr=False)
class TraceView(View):
    """Where events came from, where they stand, and which lines of the report show them.

    Args:
        label: how people call what was asked for.
        answer: one sentence.
        about: from where and when it speaks.
        tellings: `native_id, event_type, file, record_row, state, source, received_at,
            recorded_seq, parser_version, artefact_sha256, records, event_key`, a row per row of a
            file that told one of the events.
        fields: of a single event: `field, value, column, printed`.
        standing: `reconciliation, what, state, detail, id`.
        lines: where the report shows it, a sentence each.
        notes: what cannot be shown, and why.
    """

    label: str
    answer: str
    about: About
    tellings: pl.DataFrame
    fields: pl.DataFrame
    standing: pl.DataFrame
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> pl.DataFrame:
        """Every row of every file that told it."""
        return self.tellings

    def _tables(self) -> list[tuple[str, pl.DataFrame, Sequence[Column]]]:
        return [
            ("Told in", self.tellings, TELLING_COLUMNS),
            ("Read from", _named(self.fields), FIELD_COLUMNS),
            ("Stands in", self.standing, STANDING_COLUMNS),
        ]

    def html(self) -> str:
        """The sentence, files and rows, columns, where it stands, lines of the report."""
        parts = [
            tables.html(frame, columns, caption=title, zone=self.about.zone, rows_max=100)
            for title, frame, columns in self._tables()
            if not frame.is_empty()
        ]
        if self.lines:
            told = "".join(f"<li>{prose_html(line)}</li>" for line in self.lines)
            parts.append(f"<h3>Shown in the weekly health report</h3><ul>{told}</ul>")
        notes = "".join(f'<p class="rk-note">{prose_html(note)}</p>' for note in self.notes)
        return (
            f'<section class="rk"><h2>Trace: {escape_html(self.label)}</h2>'
            f'<p class="rk-lead">{prose_html(self.answer)}</p>{"".join(parts)}{notes}'
            f"{about_line(self.about)}</section>"
        )

    def text(self) -> str:
        """The same as plain text."""
        parts = [f"Trace: {self.label}", self.answer]
        for title, frame, columns in self._tables():
            if not frame.is_empty():
                body = tables.plain(frame, columns, zone=self.about.zone, rows_max=100)
                parts += ["", title, body]
        if self.lines:
            parts += ["", "Shown in the weekly health report", *(f"- {one}" for one in self.lines)]
        return "\n".join([*parts, *(["", *self.notes] if self.notes else []), self.about.line()])

    def as_dict(self) -> dict[str, Any]:
        """The sentence and every table."""
        return {
            "label": self.label, "answer": self.answer, "tellings": self.tellings,
            "fields": self.fields, "standing": self.standing, "lines": list(self.lines),
            "notes": list(self.notes), "about": self.about.as_dict(),
        }  # fmt: skip


def _named(fields: pl.DataFrame) -> pl.DataFrame:
    """Fields that no column says are said by the settings or the feed."""
    if fields.is_empty():
        return fields
    return fields.with_columns(pl.col("column").fill_null("recon.toml, or the feed"))
