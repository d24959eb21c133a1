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

_KINDS: dict[str, tuple[str, str]] = {
    "fact": ("fact", "facts"), "match": ("match", "matches"),
    "open": ("open item", "open items"), "case": ("case", "cases"),
}  # fmt: skip
# Of what is around an event so much is shown; the rest is counted.
_AROUND_SHOWN = 20
_STORY_COLUMNS: tuple[Column, ...] = (
    Column("at", "When", "time", precision="at_precision"),
    Column("kind", "Kind"),
    Column("native_id", "Id", "code"),
    Column("amount_minor", "Amount", "money"),
    Column("what", "What"),
    Column("artefact", "File"),
    Column("record_row", "Row", "count"),
)


@dataclass(frozen=True, repr=False)
class HistoryView(View):
    """One order's chain as a timeline: first what it is itself, then what is around it.

    Columns of `frame`: `at, kind (fact, match, open, case), source, event_type, native_id,
    amount_minor, currency, what, reconciliation, method, disposition, confidence, artefact,
    record_row, received_at, event_key, match_id, own`; `own` is true of the event that is called
    so, its matches, open items and cases, which come first; the others follow, oldest first.
    """

    order: str
    frame: pl.DataFrame
    about: About

    @property
    def own(self) -> pl.DataFrame:
        """The event itself, its matches, what is open of it, its cases."""
        return self.frame.filter("own")

    @property
    def around(self) -> pl.DataFrame:
        """What carries its id or stands in a match with it, and theirs, oldest first."""
        return self.frame.filter(~pl.col("own"))

    def html(self) -> str:
        """A timeline: when, what, how much, from which row of which file."""
        own, around = self._entries(self.own), self._entries(self.around.head(_AROUND_SHOWN))
        further = ""
        if around:
            rest = self.around.height - _AROUND_SHOWN
            more = f"<p>{rest:,} later ones are in the frame.</p>" if rest > 0 else ""
            further = (
                f"<h3>{escape_html(self._counted_around())}</h3>"
                f'<ol class="rk-timeline">{around}</ol>{more}'
            )
        return (
            f'<section class="rk"><h2>History of {escape_html(self.order)}</h2>'
            f'<p class="rk-lead">{prose_html(_told(self.own))}.</p>'
            f'<ol class="rk-timeline">{own}</ol>{further}{about_line(self.about)}</section>'
        )

    def text(self) -> str:
        """The timeline as tables."""
        what = pl.concat_str("reconciliation", "what", separator=": ")
        own, around = (f.with_columns(what=what.fill_null(pl.col("what")))
                       for f in (self.own, self.around))  # fmt: skip
        parts = [f"History of {self.order}", f"{_told(own)}."]
        parts.append(tables.plain(own, _STORY_COLUMNS, zone=self.about.zone, rows_max=200))
        if around.height:
            body = tables.plain(
                around, _STORY_COLUMNS, zone=self.about.zone, rows_max=_AROUND_SHOWN
            )
            parts += ["", self._counted_around(), body]
        return "\n".join([*parts, self.about.line()])

    def as_dict(self) -> dict[str, Any]:
        """The timeline as rows."""
        return {
            "order": self.order, "rows": masked_frame(self.frame), "about": self.about.as_dict(),
        }  # fmt: skip

    def _counted_around(self) -> str:
        """How much is around it, events by their type."""
        rows = self.around
        facts = rows.filter(pl.col("kind") == "fact")
        types = facts.group_by("event_type").len("n").sort("n", "event_type").rows()
        told = [f"{n:,} {t.replace('_', ' ')}{'s' * (n != 1)}" for t, n in reversed(types)]
        others = _told(rows.filter(pl.col("kind") != "fact"))
        return f"Around it: {', '.join(filter(None, [*told, others]))}"

    def _entries(self, frame: pl.DataFrame) -> str:
        shown = masked_frame(frame).with_columns(
            when=tables.moment_text(pl.col("at"), self.about.zone, pl.col("at_precision")),
            money=tables.money_text(pl.col("amount_minor"), pl.col("currency")),
            sure=tables.share_text(pl.col("confidence")),
        )
        return "".join(self._entry(row) for row in shown.to_dicts())

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


STANDS_COLUMNS: Sequence[Column] = (
    Column("reconciliation", "Reconciliation"),
    Column("what", "What"),
    Column("state", "State", "word"),
    Column("detail", "Detail"),
    Column("id", "Id", "hash"),
)


def _told(frame: pl.DataFrame) -> str:
    """How many facts, matches, open items and cases; those that there are."""
    counts = dict(frame["kind"].value_counts().iter_rows())
    told = ((counts.get(kind, 0), names) for kind, names in _KINDS.items())
    return ", ".join(f"{n:,} {names[n != 1]}" for n, names in told if n)


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
    Column("apart", "Apart"),
    Column("match_weight", "Bits", "number"),
    Column("match_probability", "Probability", "share"),
    Column("note", "Stands"),
    Column("agreement", "What was compared"),
)
BITS = (
    "Bits: each doubles the odds that the two tell one story; above zero it is found more often "
    "among counterparts than among strangers and speaks for it, below zero against it."
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
            event_ts, days_apart, apart, near_by, match_weight, match_probability, note,
            agreement`; `apart` says in words how much later it was than the event.
        weights: `step, weight` (log2 of odds) of the best pair: the prior, then each comparison.
        flips: what would have decided otherwise, a sentence each.
        stands: in which reconciliations it stands and what is open there: `reconciliation, what
            (match, proposal, open item, case), state, detail, id`.
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
    stands: pl.DataFrame = field(default_factory=_none)

    @property
    def frame(self) -> pl.DataFrame:
        """The nearest candidates."""
        return self.candidates

    def _tables(self) -> list[tuple[str, pl.DataFrame, Sequence[Column]]]:
        return [
            ("Where it stands", self.stands, STANDS_COLUMNS),
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
        if self._has_bits():
            parts.append(f'<p class="rk-note">{escape_html(BITS)}</p>')
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
            if frame is self.stands and not frame.is_empty():
                parts += ["", title, *(_standing_line(row) for row in frame.to_dicts())]
            elif frame is self.methods and not frame.is_empty():
                told = [f"- {m} ({outcome}): {seen}" for m, outcome, seen in frame.iter_rows()]
                parts += ["", title, *told]
            elif not frame.is_empty():
                # long words stand below the table, where a terminal does not cut them off
                short = [c for c in columns if c.name != "agreement"]
                parts += ["", title, tables.plain(frame, short, zone=self.about.zone)]
                if frame is self.candidates:
                    compared = frame.select("native_id", "agreement").iter_rows()
                    parts += [f"- {name}: {agreement}" for name, agreement in compared]
        if not self.weights.is_empty():
            columns = (
                Column("step", "Weights of the best pair"),
                Column("weight", "Bits", "number"),
                Column("bar", ""),
            )
            parts += ["", tables.plain(waterfall_rows(self.weights), columns)]
        if self._has_bits():
            parts += ["", BITS]
        if self.flips:
            parts += ["", "What would change it", *(f"- {flip}" for flip in self.flips)]
        return "\n".join([*parts, self.about.line()])

    def as_dict(self) -> dict[str, Any]:
        """The answer and every table."""
        return {
            "event": masked_frame(self.event), "label": self.label, "answer": self.answer,
            "methods": self.methods, "members": masked_frame(self.members),
            "candidates": masked_frame(self.candidates), "weights": self.weights,
            "flips": list(self.flips), "stands": self.stands, "about": self.about.as_dict(),
        }  # fmt: skip

    def _has_bits(self) -> bool:
        bits = self.candidates.get_column("match_weight", default=None)
        return not self.weights.is_empty() or (bits is not None and bits.count() > 0)


def _standing_line(row: dict[str, Any]) -> str:
    """One place where an event stands: `- shop: open item overdue (55262a9f19): no payment ...`."""
    state = str(row["state"]).replace("_", " ")
    return f"- {row['reconciliation']}: {row['what']} {state} ({row['id'][:10]}): {row['detail']}"


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
