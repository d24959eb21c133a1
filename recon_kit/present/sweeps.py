"""What every threshold would bring: the reason for one, the chart, the table, the parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.matching.authority import Authority
from recon_kit.present import tables
from recon_kit.present.base import About, about_line
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html
from recon_kit.tuning.sweep import Question, Sweep

_SHOWN = 12  # thresholds of a table that people read; `.frame` has all
_PARTS_SHOWN = 60
_JUDGED = ("labels", "wrong", "fmr", "fmr_high")
_COLUMNS = (
    Column("at", "From", "figure"),
    Column("matches", "Matches", "count"),
    Column("auto_share", "By itself", "share"),
    Column("auto_money_share", "Money by itself", "share"),
    Column("fmr", "Wrong", "share"),
    Column("fmr_high", "At most", "share"),
    Column("fmr_money", "Wrong money", "share"),
    Column("fmr_money_high", "At most", "share"),
    Column("miss_rate", "Missed", "share"),
    Column("review_items", "To people", "count"),
    Column("hours", "Hours", "figure"),
    Column("cost_minor", "Cost", "money"),
    Column("strict", "Strict FPR", "figure"),
)
_PARTS = (
    Column("by", "By", "word"),
    Column("segment", "Part"),
    Column("matches", "Matches", "count"),
    Column("auto_share", "By itself", "share"),
    Column("auto_minor", "Matched", "money"),
    Column("labels", "Labels", "count"),
    Column("wrong", "Wrong", "count"),
    Column("fmr", "Wrong share", "share"),
    Column("fmr_high", "At most", "share"),
)


_TITLE = "Thresholds, strictest first; by itself: the share of all pairs found that needs nobody"


def _tiny(rate: float) -> str:
    """A rate that no percent sign could show."""
    return f"{rate:.1e}" if rate else "0"


@dataclass(frozen=True, repr=False)
class SweepView(View):
    """A sweep: `.frame` has every threshold, `.segments` every part, `.point` the proposal."""

    sweep: Sweep
    question: Question
    allowed: Authority
    about: About
    tried: str = ""  # what is tried on a share of components beside what is in force

    @property
    def frame(self) -> pl.DataFrame:
        """Every threshold and margin (`sweep.SWEEP_SCHEMA`)."""
        return self.sweep.frame

    @property
    def segments(self) -> pl.DataFrame:
        """By source pair, currency, band of amounts and method (`rates.SEGMENT_SCHEMA`)."""
        return self.sweep.segments

    @property
    def point(self) -> dict[str, float] | None:
        """The proposed row; none where nothing can be proposed."""
        return self.sweep.point

    def chart(self) -> Any:
        """Share matched and wrong over the threshold, with a cursor."""
        from recon_kit.present.thresholds import threshold_chart

        return threshold_chart(self._first(), self._at(), self.question.fmr_max, mark=self._mark())

    def lines(self) -> list[str]:
        """The proposal with its reason, and what is in force."""
        proposed = "Proposed: " if self.sweep.point else "Nothing is proposed. "
        least = f", from {self.allowed.threshold:g} on" if self.allowed.alone else ""
        tried = f" {self.tried}" if self.tried else ""
        return [f"{proposed}{self.sweep.reason}", f"Now: {self.allowed.said}{least}.{tried}"]

    def _at(self) -> float:
        """The threshold that is looked at first: proposed, else in force, else of the settings."""
        if self.sweep.point:
            return self.sweep.point["threshold"]
        near = self._first()["threshold"].sort()
        above = near.filter(near >= self.allowed.threshold)
        return float(above[0] if above.len() else near[-1])

    def _first(self) -> pl.DataFrame:
        return self.frame.filter(pl.col("margin") == self.question.margins[0])

    def _table(self) -> pl.DataFrame:
        rows = self._first().sort("threshold", descending=True)
        every = max(1, rows.height // _SHOWN)
        kept = (pl.int_range(pl.len()) % every == 0) | (pl.col("threshold") == self._at())
        return rows.filter(kept).with_columns(
            at=pl.col("threshold").map_elements(self._named, return_dtype=pl.String),
            hours=pl.col("review_hours").round(1).cast(pl.String),
            strict=pl.col("strict_fpr").map_elements(_tiny, return_dtype=pl.String),
            currency=pl.lit(self.question.currency),
        )

    def _named(self, threshold: float) -> str:
        """A threshold, with a word where it is proposed or in force."""
        word = self._mark() if threshold == self._at() else ""
        return f"{threshold:g} ({word})" if word else f"{threshold:g}"

    def _mark(self) -> str:
        """What the threshold that is looked at first is; nothing where a person decides all."""
        if self.sweep.point:
            return "proposed"
        return "now" if self.allowed.alone else ""

    def _parts(self) -> pl.DataFrame:
        """Every part at one threshold; where no label is, nothing is said of wrong ones."""
        rows = self.segments.filter(
            pl.col("threshold").is_null() | (pl.col("threshold") == self._at())
        )
        known = pl.when(pl.col("labels") > 0)
        # a method has one row of what it matches now, whatever threshold is looked at
        by = pl.when(pl.col("threshold").is_null()).then(pl.lit("method, now")).otherwise("by")
        told = rows.with_columns(known.then(pl.col(name)).alias(name) for name in _JUDGED)
        return told.with_columns(by=by)

    def _parts_title(self) -> str:
        return f"The same by part, from {self._at():g} on; by method as it stands now"

    def html(self) -> str:
        """Reason, table, parts, definitions; `chart()` is shown beside it."""
        said = "".join(f"<p>{prose_html(line)}</p>" for line in self.lines())
        table = tables.html(self._table(), _COLUMNS, caption=_TITLE)
        parts = tables.html(
            self._parts(), _PARTS, caption=self._parts_title(), rows_max=_PARTS_SHOWN
        )
        notes = "".join(f'<p class="rk-note">{prose_html(n)}</p>' for n in self.sweep.notes)
        return f'<section class="rk">{said}{table}{parts}{notes}{self._foot()}</section>'

    def _foot(self) -> str:
        return about_line(self.about)

    def text(self) -> str:
        """The same as plain text, without the chart."""
        return "\n".join([
            *self.lines(), _TITLE, tables.plain(self._table(), _COLUMNS), "", self._parts_title(),
            tables.plain(self._parts(), _PARTS, rows_max=_PARTS_SHOWN), *self.sweep.notes,
            self.about.line(),
        ])  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Every threshold, every part, the proposal and its reason."""
        return {
            "method": self.question.method, "proposed": self.sweep.point,
            "reason": self.sweep.reason, "weighted": self.sweep.weighted,
            "in_force": self.allowed.said, "tried": self.tried, "currency": self.question.currency,
            "rows": self.frame, "segments": self.segments, "money": self.sweep.money,
            "notes": list(self.sweep.notes), "about": self.about.as_dict(),
        }  # fmt: skip
