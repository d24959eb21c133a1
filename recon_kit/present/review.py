"""The review screen as a Jupyter widget, and what stands in its place where there is none.

The one module that knows anywidget. Records travel by messages and never as synced traits, so
that saving a notebook with the state of its widgets saves nothing of them; what the widget knows
lives in the kernel. Where no widget is drawn (a report, a terminal) the view says what waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import polars as pl

from recon_kit.present import tables
from recon_kit.present.asking import Round
from recon_kit.present.base import About, about_line
from recon_kit.present.questions import REASONS, Desk
from recon_kit.present.show import View, marked
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html

STATIC = Path(__file__).parent / "static"
_COLUMNS = (
    Column("reconciliation", "Reconciliation"),
    Column("why_code", "Why a person is asked", "word"),
    Column("waiting", "Waiting", "count"),
    Column("decided", "Decided", "count"),
    Column("amount_minor", "Waiting amount", "money"),
)


class ReviewWidget(anywidget.AnyWidget):
    """The screen; everything it shows and does goes through a `Round` in the kernel."""

    _esm = (STATIC / "review.js").read_text(encoding="utf-8")
    _css = (STATIC / "review.css").read_text(encoding="utf-8")

    def __init__(self, asking: Round) -> None:
        super().__init__()
        self._asking = asking
        self.on_msg(self._heard)

    def _heard(self, _: object, content: dict[str, Any], __: object) -> None:
        self.send(self._asking.handle(content))
        later = self._asking.settle()
        if later is not None:
            self.send(later)


@dataclass(frozen=True, repr=False)
class ReviewView(View):
    """What waits for a person's judgement: a widget in Jupyter, a list everywhere else.

    `blind` leaves out everything the system thinks; `about` says from when it speaks.
    """

    desk: Desk
    about: About
    blind: bool = False

    @property
    def frame(self) -> pl.DataFrame:
        """Every question in the columns of `questions.LISTING`, in the order to be asked."""
        return self.desk.listing()

    def widget(self) -> ReviewWidget:
        """The screen, at the first question that waits."""
        return ReviewWidget(Round(self.desk, blind=self.blind))

    def html(self) -> str:
        """How much waits, and why; no record of it, because a notebook keeps this."""
        listed = self._listed()
        body = tables.html(listed, self._columns(), caption="Waiting for review", rows_max=50)
        return (
            f'<section class="rk"><h2>Review</h2><p class="rk-lead">{prose_html(self._lead())}</p>'
            f"{body}{about_line(self.about)}</section>"
        )

    def text(self) -> str:
        """How much waits and why, and the first question as the screen would show it."""
        return "\n".join([self._summary(), *_question_lines(self._first()), self.about.line()])

    def as_dict(self) -> dict[str, Any]:
        """How much waits, by reconciliation, reason and currency."""
        return {"waiting": self._listed(), "about": self.about.as_dict()}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude  # Jupyter drops what it does not want itself
        drawn = self.widget()._repr_mimebundle_()
        # anywidget answers with (data, metadata) since 0.9
        data = drawn[0] if isinstance(drawn, tuple) else drawn
        return {**(data or {}), **marked(self.html(), self._summary())}

    def _columns(self) -> tuple[Column, ...]:
        return tuple(c for c in _COLUMNS if not (self.blind and c.name == "why_code"))

    def _listed(self) -> pl.DataFrame:
        by = ["reconciliation", "currency"] + ([] if self.blind else ["why_code"])
        waits = pl.col("verdict").is_null()
        return (
            self.frame.group_by(by)
            .agg(
                waiting=waits.sum().cast(pl.Int64),
                decided=(~waits).sum().cast(pl.Int64),
                amount_minor=pl.col("amount_minor").abs().filter(waits).sum(),
            )
            .sort(*by, nulls_last=True)
            .with_columns(pl.col("why_code").replace(REASONS) if "why_code" in by else [])
        )

    def _lead(self) -> str:
        left = self.frame["verdict"].null_count()
        if left == 0:
            return "Nothing waits for a judgement."
        return (
            f"{left:,} question{'s wait' if left > 1 else ' waits'} for a judgement. "
            "Open the notebook in JupyterLab to answer by single keys."
        )

    def _summary(self) -> str:
        listed = tables.plain(self._listed(), self._columns(), rows_max=50)
        return f"Review\n{self._lead()}\n{listed}"

    def _first(self) -> dict[str, Any] | None:
        asked: dict[str, Any] | None = Round(self.desk, blind=self.blind).state()["question"]
        return asked


def _question_lines(asked: dict[str, Any] | None) -> list[str]:
    """One question as lines of text."""
    if asked is None:
        return []
    cells = [
        {
            "Field": row["label"],
            "Asked about": "".join(text for text, _ in row["left"]),
            "Candidate": "".join(text for text, _ in row["right"]),
            "Difference": row["words"],
        }
        for row in asked["rows"]
    ]
    frame = pl.DataFrame(cells)
    others = [
        f"{place}. {c['title']}: {c['facts']} {c.get('score', '')}".rstrip()
        for place, c in enumerate(asked["candidates"], 1)
        if len(asked["candidates"]) > 1
    ]
    evidence = asked.get("evidence")
    told = (
        [f"{s['label']}: {s['found']} {s['text']}" for s in evidence["steps"]] if evidence else []
    )
    risk = [f"At risk: {asked['at_risk']}"] if asked["at_risk"] else []
    table = tables.plain(frame, [Column(n, n) for n in frame.columns], rows_max=50)
    return ["", asked["ask"], asked["why"], *risk, table, *others, *told, ""]
