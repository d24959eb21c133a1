"""Two stories: everything known about one order, and why one event is where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from recon_kit.present import tables
from recon_kit.present.base import About, about_line
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html, masked_frame, prose_html

_KINDS = ("fact", "match", "open", "case")


@dataclass(frozen=True, repr=False)
class HistoryView(View):
    """One order's chain as a timeline.

    Columns of `frame`: `at, kind (fact, match, open, case), source, event_type, native_id,
    amount_minor, currency, what, reconciliation, method, disposition, confidence, artefact,
    record_row, received_at, event_key, match_id`, oldest first.
    """

    order: str
    frame: pl.DataFrame
    about: About

    def html(self) -> str:
        """A timeline: when, what, how much, from which row of which file."""
        entries = "".join(self._entry(row) for row in self._rows())
        return (
            f'<section class="rk"><h2>History of {escape_html(self.order)}</h2>'
            f'<p class="rk-lead">{prose_html(self._told())}</p>'
            f'<ol class="rk-timeline">{entries}</ol>{about_line(self.about)}</section>'
        )

    def text(self) -> str:
        """The timeline as a table."""
        columns = (
            Column("at", "When", "time", precision="at_precision"),
            Column("kind", "Kind"),
            Column("native_id", "Id", "code"),
            Column("amount_minor", "Amount", "money"),
            Column("what", "What"),
            Column("artefact", "File"),
            Column("record_row", "Row", "count"),
        )
        body = tables.plain(self.frame, columns, zone=self.about.zone, rows_max=200)
        return f"History of {self.order}\n{self._told()}\n{body}\n{self.about.line()}"

    def as_dict(self) -> dict[str, Any]:
        """The timeline as rows."""
        return {
            "order": self.order, "rows": masked_frame(self.frame), "about": self.about.as_dict(),
        }  # fmt: skip

    def _told(self) -> str:
        counts = dict(self.frame["kind"].value_counts().iter_rows())
        names = {"fact": "facts", "match": "matches", "open": "open items", "case": "cases"}
        return ", ".join(f"{counts.get(kind, 0)} {names[kind]}" for kind in _KINDS) + "."

    def _rows(self) -> list[dict[str, Any]]:
        shown = masked_frame(self.frame).with_columns(
            when=tables.moment_text(pl.col("at"), self.about.zone, pl.col("at_precision")),
            money=tables.money_text(pl.col("amount_minor"), pl.col("currency")),
            sure=tables.share_text(pl.col("confidence")),
        )
        return shown.to_dicts()

    def _entry(self, row: dict[str, Any]) -> str:
        """One moment; every value is escaped here."""
        kind = row["kind"] if row["kind"] in _KINDS else "fact"
        amount = ""
        if row["money"] is not None:
            text = escape_html(f"{row['money']} {row['currency']}")
            amount = f' <span class="rk-money">{text}</span>'
        name = f" <code>{escape_html(row['native_id'])}</code>" if row["native_id"] else ""
        how = [row[n] for n in ("reconciliation", "method", "disposition") if row.get(n)]
        how += [f"confidence {row['sure']}"] if row["sure"] is not None else []
        origin = [f"from {row['source']}"] if row["source"] else []
        if row["artefact"]:
            origin.append(f"{row['artefact']}, row {row['record_row']}")
        below = escape_html("; ".join([", ".join(how), *origin]).strip("; "))
        what = escape_html(row["what"] or "")
        return (
            f'<li class="rk-{kind}"><time>{escape_html(row["when"] or "time unknown")}</time>'
            f"<strong>{kind.capitalize()}</strong> {what}{name}{amount}"
            f'<span class="rk-origin">{below}</span></li>'
        )


METHOD_COLUMNS: Sequence[Column] = (
    Column("method", "Method"),
    Column("outcome", "Outcome"),
    Column("detail", "What it saw"),
)
CANDIDATE_COLUMNS: Sequence[Column] = (
    Column("native_id", "Candidate", "code"),
    Column("event_type", "Type", "word"),
    Column("source", "Source"),
    Column("amount_minor", "Amount", "money"),
    Column("event_ts", "Date", "day", precision="ts_precision"),
    Column("days_apart", "Days apart", "number"),
    Column("match_weight", "Bits", "number"),
    Column("match_probability", "Probability", "share"),
    Column("note", "Stands"),
    Column("agreement", "What was compared"),
)
MEMBER_COLUMNS: Sequence[Column] = (
    Column("native_id", "Member", "code"),
    Column("side", "Side"),
    Column("role", "Role"),
    Column("source", "Source"),
    Column("amount_minor", "Amount", "money"),
    Column("event_ts", "Date", "day", precision="ts_precision"),
    Column("key_used", "By key", "code"),
)


def _none() -> pl.DataFrame:
    return pl.DataFrame()


@dataclass(frozen=True, repr=False)
class WhyView(View):
    """Why an event was matched as it was, or what kept it apart.

    Args:
        label: how people call the event (its native id).
        answer: one sentence: the state and its reason.
        about: from where and when it speaks.
        event: the event itself: `native_id, event_type, source, amount_minor, currency, event_ts,
            event_key`, one row.
        methods: `method, outcome, detail` in the order of the cascade.
        members: of its match, if any: `native_id, side, role, source, amount_minor, currency,
            event_ts, key_used`.
        candidates: likeliest first: `native_id, event_type, source, amount_minor, currency,
            event_ts, days_apart, near_by, match_weight, match_probability, note, agreement`.
        weights: `step, weight` (log2 of odds) of the best pair: the prior, then each comparison.
        flips: what would have decided otherwise, a sentence each.
    """

    label: str
    answer: str
    about: About
    event: pl.DataFrame = field(default_factory=_none)
    methods: pl.DataFrame = field(default_factory=_none)
    members: pl.DataFrame = field(default_factory=_none)
    candidates: pl.DataFrame = field(default_factory=_none)
    weights: pl.DataFrame = field(default_factory=_none)
    flips: tuple[str, ...] = ()

    @property
    def frame(self) -> pl.DataFrame:
        """The nearest candidates."""
        return self.candidates

    def _tables(self) -> list[tuple[str, pl.DataFrame, Sequence[Column]]]:
        return [
            ("The match it belongs to", self.members, MEMBER_COLUMNS),
            ("Methods, in order", self.methods, METHOD_COLUMNS),
            ("Nearest candidates", self.candidates, CANDIDATE_COLUMNS),
        ]

    def html(self) -> str:
        """The answer, the match, the methods gone through, the candidates, the weights."""
        parts = [
            tables.html(frame, columns, caption=title, zone=self.about.zone)
            for title, frame, columns in self._tables()
            if not frame.is_empty()
        ]
        if not self.weights.is_empty():
            from recon_kit.present import charts

            parts.append(charts.waterfall(self.weights).figure())
        if self.flips:
            told = "".join(f"<li>{prose_html(flip)}</li>" for flip in self.flips)
            parts.append(f"<h3>What would change it</h3><ul>{told}</ul>")
        return (
            f'<section class="rk"><h2>Why: {escape_html(self.label)}</h2>'
            f'<p class="rk-lead">{prose_html(self.answer)}</p>{"".join(parts)}'
            f"{about_line(self.about)}</section>"
        )

    def text(self) -> str:
        """The same as plain text."""
        parts = [f"Why: {self.label}", self.answer]
        for title, frame, columns in self._tables():
            if frame is self.methods and not frame.is_empty():
                told = [f"- {m} ({outcome}): {seen}" for m, outcome, seen in frame.iter_rows()]
                parts += ["", title, *told]
            elif not frame.is_empty():
                parts += ["", title, tables.plain(frame, columns, zone=self.about.zone)]
        if not self.weights.is_empty():
            columns = (
                Column("step", "Weights of the best pair"),
                Column("weight", "Bits", "number"),
                Column("bar", ""),
            )
            parts += ["", tables.plain(waterfall_rows(self.weights), columns)]
        if self.flips:
            parts += ["", "What would change it", *(f"- {flip}" for flip in self.flips)]
        return "\n".join([*parts, self.about.line()])

    def as_dict(self) -> dict[str, Any]:
        """The answer and every table."""
        return {
            "event": masked_frame(self.event), "label": self.label, "answer": self.answer,
            "methods": self.methods, "members": masked_frame(self.members),
            "candidates": masked_frame(self.candidates), "weights": self.weights,
            "flips": list(self.flips), "about": self.about.as_dict(),
        }  # fmt: skip


def waterfall_rows(weights: pl.DataFrame) -> pl.DataFrame:
    """The waterfall for a terminal: a bar of `+` or `-` for each step, and the sum.

    Args:
        weights: `step, weight` (log2 of odds).
    """
    total = pl.DataFrame({"step": ["all together"], "weight": [weights["weight"].sum()]})
    rows = pl.concat([weights, total]).with_columns(pl.col("weight").round(1))
    size = pl.col("weight").abs().round().cast(pl.UInt32).clip(0, 30)
    return rows.with_columns(
        bar=pl.when(pl.col("weight") < 0)
        .then(pl.lit("-" * 30).str.head(size))
        .otherwise(pl.lit("+" * 30).str.head(size))
    )
