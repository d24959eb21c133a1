"""Views that are one table: matches, open items, the queue, SLIs, sources, files, runs.

Each is built from a frame alone and names the columns it reads: missing ones are left out of the
display, further ones stay in `.frame`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.model import Receipt
from recon_kit.present import tables
from recon_kit.present.base import About, FrameView, about_line
from recon_kit.present.changed import ChangesView
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html, prose_html


@dataclass(frozen=True, repr=False)
class MatchesView(FrameView):
    """Matches, one row each.

    Columns: `reconciliation, method, disposition, confidence, margin, left_ids, right_ids,
    left_members, right_members, left_sum, right_sum, currency, residual_minor, discrepancies,
    event_ts, match_id`. `proposed` is how many proposals wait beside them.
    """

    frame: pl.DataFrame
    about: About
    proposed: int = 0

    @property
    def title(self) -> str:
        """How many matches, and how many might become some."""
        waits = "proposal waits" if self.proposed == 1 else "proposals wait"
        beside = f"; {self.proposed:,} {waits} in the queue" if self.proposed else ""
        return f"Matches: {self.frame.height:,}{beside}"

    def columns(self) -> Sequence[Column]:
        """Both sides, how they were matched, and what stays open."""
        return (
            Column("left_ids", "Left"),
            Column("right_ids", "Right"),
            Column("left_sum", "Left sum", "money"),
            Column("right_sum", "Right sum", "money"),
            Column("residual_minor", "Residual", "money"),
            Column("method", "Method", "word"),
            Column("disposition", "Disposition"),
            Column("confidence", "Confidence", "share"),
            Column("reconciliation", "Reconciliation"),
            Column("match_id", "Match", "hash"),
        )


OPEN_COLUMNS: tuple[Column, ...] = (
    Column("native_id", "Item", "code"),
    Column("event_type", "Type", "word"),
    Column("source", "Source"),
    Column("reconciliation", "Reconciliation"),
    Column("amount_minor", "Open amount", "money"),
    Column("event_ts", "Date", "day", precision="ts_precision"),
    Column("state", "State", "word"),
    Column("expected_by", "Expected by", "day"),
    Column("why", "Why it is open"),
)


@dataclass(frozen=True, repr=False)
class OpenItemsView(FrameView):
    """What is not matched, or not fully, with the reason.

    Columns: `native_id, event_type, source, amount_minor, currency, event_ts, ts_precision, state,
    expected_by, why_code, why, nearest, reconciliation, item_id`.
    """

    frame: pl.DataFrame
    about: About

    @property
    def title(self) -> str:
        """How many open items."""
        return f"Open items: {self.frame.height:,}"

    def columns(self) -> Sequence[Column]:
        """Each item with its state and why."""
        return (
            *OPEN_COLUMNS,
            Column("nearest", "Nearest", "code"),
            Column("item_id", "Open item", "hash"),
        )


@dataclass(frozen=True, repr=False)
class QueueView(FrameView):
    """Open cases, most urgent first.

    Columns: `priority, kind, native_id, source, amount_minor, currency, owner, opened_at, due_at,
    state, suggested_action, reconciliation, case_id`.
    """

    frame: pl.DataFrame
    about: About

    @property
    def title(self) -> str:
        """How many cases wait."""
        return f"Queue: {self.frame.height:,} open cases"

    def columns(self) -> Sequence[Column]:
        """What waits, for whom, until when, and what to do."""
        return (
            Column("priority", "Priority"),
            Column("kind", "Kind", "word"),
            Column("native_id", "Item", "code"),
            Column("source", "Source"),
            Column("reconciliation", "Reconciliation"),
            Column("amount_minor", "At risk", "money"),
            Column("owner", "Owner"),
            Column("due_at", "Due", "time"),
            Column("state", "State", "word"),
            Column("case_id", "Case", "hash"),
            Column("suggested_action", "Suggested action"),
        )


@dataclass(frozen=True, repr=False)
class ProfileView(FrameView):
    """What files and sources hold.

    Columns, all optional: by source `source, feed, files, events, quarantined, first_ts, last_ts,
    as_of, note`; by column of a file `column, filled, distinct, kind, example, note`. `layout` is
    a ready `[sources.layout]`, printed as it is to be pasted.
    """

    frame: pl.DataFrame
    about: About
    name: str = "Sources"
    layout: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What was profiled."""
        return self.name

    def columns(self) -> Sequence[Column]:
        """Coverage by source, or content by column."""
        return (
            Column("source", "Source"),
            Column("column", "Column"),
            Column("feed", "Feed"),
            Column("kind", "Looks like"),
            Column("files", "Files", "count"),
            Column("events", "Events", "count"),
            Column("quarantined", "Quarantined", "count"),
            Column("filled", "Filled", "share"),
            Column("distinct", "Distinct", "count"),
            Column("first_ts", "From", "day"),
            Column("last_ts", "To", "day"),
            Column("as_of", "As of", "time"),
            Column("example", "Example"),
            Column("note", "Note"),
        )

    def html(self) -> str:
        """The table, notes, and the layout ready to paste."""
        body = tables.html(
            self.frame, self.columns(), caption=self.title, zone=self.about.zone, rows_max=200
        )
        notes = "".join(f'<p class="rk-note">{prose_html(n)}</p>' for n in self.notes)
        layout = f"<h3>Layout</h3><pre>{escape_html(self.layout)}</pre>" if self.layout else ""
        return f'<section class="rk">{body}{notes}{layout}{about_line(self.about)}</section>'

    def text(self) -> str:
        """The table, notes and layout as plain text."""
        body = tables.plain(self.frame, self.columns(), zone=self.about.zone, rows_max=200)
        return "\n".join(filter(None, [self.title, body, *self.notes, self.layout]))

    def as_dict(self) -> dict[str, Any]:
        """Rows, notes and layout."""
        return super().as_dict() | {"notes": list(self.notes), "layout": self.layout}


_TIME_UNITS = {"hours": "h", "business_hours": "business h"}


def sli_values(slis: pl.DataFrame) -> pl.DataFrame:
    """SLI rows (`model.SLI_SCHEMA`) as text for readers.

    Adds `label` (the name in words), `shown` (the value with its unit) and `part`, `whole`
    (numerator and denominator, as money where the indicator is about money).
    """
    value, unit, currency = pl.col("value"), pl.col("unit"), pl.col("currency")
    whole = value.round(0).cast(pl.Int64, strict=False)
    shown: Any = pl.when(unit == "share").then(tables.share_text(value))
    shown = shown.when(unit == "minor").then(tables.money_text(whole, currency) + " " + currency)
    long = (unit == "hours") & (value >= 72)
    shown = shown.when(long).then((value / 24).round(1).cast(pl.String) + " d")
    for name, short in _TIME_UNITS.items():
        shown = shown.when(unit == name).then(value.round(1).cast(pl.String) + f" {short}")
    plain = pl.when(value == whole).then(whole.cast(pl.String))
    shown = shown.otherwise(plain.otherwise(value.round(2).cast(pl.String)))
    words = pl.col("name").str.replace_all("_", " ")
    return slis.with_columns(
        label=words.str.head(1).str.to_uppercase() + words.str.slice(1),
        shown=pl.when(value.is_null()).then(pl.lit("unknown")).otherwise(shown),
        part=_counted("numerator"),
        whole=_counted("denominator"),
    )


def _counted(name: str) -> pl.Expr:
    """A numerator or denominator: money where the row has a currency, else a number."""
    of_money = pl.col("currency").is_not_null()
    money = tables.money_text(pl.col(name), pl.col("currency"))
    return pl.when(of_money).then(money).otherwise(tables.count_text(pl.col(name)))


@dataclass(frozen=True, repr=False)
class ReceiptView(View):
    """What became of ingested files."""

    receipts: tuple[Receipt, ...]

    @property
    def quarantined(self) -> int:
        """Records of all files that were set aside."""
        return sum(r.counts.quarantined for r in self.receipts)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per file: the six counts, events, and notes."""
        return pl.DataFrame(
            [
                {
                    "file": r.file, "source": r.source, "physical": r.counts.physical,
                    "accepted": r.counts.accepted, "duplicate": r.counts.duplicate,
                    "conflict": r.counts.conflict, "quarantined": r.counts.quarantined,
                    "blank": r.counts.blank, "events": r.events, "batch_seq": r.batch_seq,
                    "note": "; ".join(
                        (["known already, nothing added"] if r.already_known else [])
                        + list(r.warnings)
                    ),
                }
                for r in self.receipts
            ]
        )  # fmt: skip

    def _columns(self) -> Sequence[Column]:
        counts = ("physical", "accepted", "duplicate", "conflict", "quarantined", "blank")
        labels = ("Records", "Accepted", "Duplicate", "Conflict", "Quarantined", "Blank")
        return (
            Column("file", "File"),
            Column("source", "Source"),
            *(Column(n, label, "count") for n, label in zip(counts, labels, strict=True)),
            Column("events", "Events", "count"),
            Column("note", "Note"),
        )

    def html(self) -> str:
        """A row per file."""
        body = tables.html(self.frame, self._columns(), caption="Ingested files", rows_max=100)
        return f'<section class="rk">{body}</section>'

    def text(self) -> str:
        """A row per file, and below it every note in full: they say what to mend."""
        columns = [column for column in self._columns() if column.name != "note"]
        notes = [
            f"{r.file}: {note}"
            for r in self.receipts
            for note in ("known already, nothing added",) * r.already_known + r.warnings
        ]
        notes += [
            f"{r.file}: `recon trace {r.file}` lists where every record went"
            for r in self.receipts
            if r.counts.quarantined
        ]
        table = tables.plain(self.frame, columns, rows_max=100)
        return "\n".join(["Ingested files", table, *notes])

    def as_dict(self) -> dict[str, Any]:
        """The receipts and how many records were set aside."""
        return {"files": self.frame, "quarantined": self.quarantined}


@dataclass(frozen=True, repr=False)
class RunView(FrameView):
    """What running did.

    Columns: `reconciliation, run_id, fresh, matches, open_items, cases, settled, note`; `cases` are
    open ones, `settled` those that settle themselves and are only recorded. `failures` maps a
    reconciliation to why it could not be run; `answers` says what became of the answers that a run
    heard first; `diff` says what changed against the runs before.
    """

    frame: pl.DataFrame
    about: About
    failures: Mapping[str, str] = field(default_factory=dict)
    diff: ChangesView | None = None
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether any reconciliation could not be run."""
        return bool(self.failures)

    @property
    def title(self) -> str:
        """How many reconciliations ran."""
        return f"Reconciled: {self.frame.height:,}"

    def columns(self) -> Sequence[Column]:
        """What each run found."""
        return (
            Column("reconciliation", "Reconciliation"),
            Column("matches", "Matches", "count"),
            Column("open_items", "Open items", "count"),
            Column("cases", "Open cases", "count"),
            Column("settled", "Settled by rule", "count"),
            Column("fresh", "Evaluated now", "yes"),
            Column("run_id", "Run", "hash"),
            Column("note", "Note"),
        )

    def html(self) -> str:
        """The runs, what became of answers, what each changed, and each failure."""
        told = "".join(f"<p>{prose_html(line)}</p>" for line in self._told())
        wrong = "".join(
            f'<p><span class="rk-alert">{prose_html(name)} failed:</span> {prose_html(why)}</p>'
            for name, why in self.failures.items()
        )
        return super().html().removesuffix("</section>") + told + wrong + "</section>"

    def text(self) -> str:
        """The runs, what became of answers, what each changed, and each failure."""
        wrong = [f"{name} failed: {why}" for name, why in self.failures.items()]
        return "\n".join([super().text(), *self._told(), *wrong])

    def as_dict(self) -> dict[str, Any]:
        """The runs, what they changed, and the failures."""
        diff = self.diff.as_dict() if self.diff else None
        return super().as_dict() | {
            "failures": dict(self.failures), "answers": dict(self.answers), "diff": diff,
        }  # fmt: skip

    def _told(self) -> list[str]:
        """What became of people's answers, then what each run changed."""
        changed = self.diff.lines if self.diff else {}
        return [
            f"{name}: {line}" for lines in (self.answers, changed) for name, line in lines.items()
        ]


@dataclass(frozen=True, repr=False)
class FileView(View):
    """A file that was written, and how many rows it holds."""

    path: Path
    what: str
    rows: int | None = None

    def _said(self) -> str:
        rows = f", {self.rows:,} rows" if self.rows is not None else ""
        return f"{self.what}{rows}: {self.path}"

    def html(self) -> str:
        """One line."""
        return f'<section class="rk"><p>{prose_html(self._said())}</p></section>'

    def text(self) -> str:
        """One line."""
        return self._said()

    def as_dict(self) -> dict[str, Any]:
        """Path, kind and rows."""
        return {"path": str(self.path), "what": self.what, "rows": self.rows}
