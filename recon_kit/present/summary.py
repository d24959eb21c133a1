"""The first screen: how much is matched, what is not, why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from recon_kit.present import openboard, tables
from recon_kit.present.base import About, about_line
from recon_kit.present.lists import OPEN_COLUMNS
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html, masked_frame, prose_html

_STATES = ("matched", "residual", "in_flight", "not_covered", "overdue", "proposed")


def scoreboard(totals: pl.DataFrame, order: Sequence[str] = ()) -> pl.DataFrame:
    """One row per reconciliation and currency, from left events counted by state.

    Args:
        totals: `reconciliation, currency, state, items, amount_minor`; states are matched,
            residual, in_flight, not_covered, overdue, proposed.
        order: reconciliations in the order in which they are to stand; others follow.

    Returns:
        `reconciliation, currency`, and for each state and for `due`, `unexplained` and `all` the
        number of items and `<state>_minor`; `matched_share` and `matched_share_money` of what is
        due. Due is everything but in flight and not covered; unexplained is overdue and residual.
    """
    keys = ["reconciliation", "currency"]
    wide = totals.group_by(keys, maintain_order=True).agg(
        *(_sum("items", [state]).alias(state) for state in _STATES),
        *(_sum("amount_minor", [state]).alias(f"{state}_minor") for state in _STATES),
        *(
            _sum(column, states).alias(name + end)
            for name, states in _GROUPS.items()
            for column, end in (("items", ""), ("amount_minor", "_minor"))
        ),
    )
    return wide.with_columns(
        matched_share=_ratio("matched", "due"),
        matched_share_money=_ratio("matched_minor", "due_minor"),
    ).sort(_place(order), *keys, nulls_last=True, maintain_order=True)


def _place(order: Sequence[str]) -> pl.Expr:
    places = {name: place for place, name in enumerate(order)}
    return pl.col("reconciliation").replace_strict(
        places, default=len(places), return_dtype=pl.Int64
    )


_GROUPS: dict[str, list[str]] = {
    "all": list(_STATES),
    "due": ["matched", "residual", "overdue", "proposed"],
    "unexplained": ["overdue", "residual"],
}


def largest(open_items: pl.DataFrame, rows_max: int = 20) -> pl.DataFrame:
    """The largest open items of every currency in turn, so that no currency hides another.

    Amounts of different currencies are never compared: the largest of each come first, then the
    second of each, until `rows_max` are found; shown by currency, largest first.
    """
    if open_items.is_empty():
        return open_items
    size = pl.col("amount_minor").abs().fill_null(0)
    place = pl.struct(-size, "item_id").rank("ordinal").over("currency")
    return (
        open_items.with_columns(_place=place)
        .sort("_place", "currency", "item_id", nulls_last=True)
        .head(rows_max)
        .sort("currency", "_place", nulls_last=True)
        .drop("_place")
    )


@dataclass(frozen=True, repr=False)
class Summary(View):
    """The first screen of a workspace.

    Args:
        about: from where and when it speaks.
        totals: left events by state; the columns of `scoreboard`'s argument.
        open_items: `native_id, event_type, source, amount_minor, currency, event_ts, state,
            expected_by, why, reconciliation, item_id`.
        counted: open items, cases and questions by state; the columns of `openboard.board`.
        settled: cases that settle themselves and are only recorded.
        export_path: where the printed export line writes.
    """

    about: About
    totals: pl.DataFrame
    open_items: pl.DataFrame
    counted: pl.DataFrame = field(default_factory=openboard.EMPTY.clone)
    settled: int = 0
    export_path: str = "reports/open_items.csv"

    @property
    def frame(self) -> pl.DataFrame:
        """The scoreboard: one row per reconciliation and currency."""
        return scoreboard(self.totals, list(self.about.runs))

    @property
    def headline(self) -> str:
        """How much of what is due is matched, by count: each reconciliation with its numbers."""
        if self.totals.is_empty():
            return "Nothing has been reconciled yet."
        return "; ".join(self.headlines)

    @property
    def headlines(self) -> tuple[str, ...]:
        """The parts of the headline, one for each reconciliation."""
        by_name = self.frame.group_by("reconciliation", maintain_order=True).agg(
            pl.col("matched").sum(), pl.col("due").sum()
        )
        return tuple(
            f"{_sentence_case(row['reconciliation'])}: {row['matched']:,} of {row['due']:,} due "
            f"items are matched ({tables.one_share(row['matched'], row['due'])})"
            for row in by_name.to_dicts()
        )

    @property
    def next_step(self) -> str:
        """The one thing to do now, as a call."""
        if self.totals.is_empty():
            return 'Take files in with bench.ingest("SOURCE", "FILE"), then bench.reconcile().'
        if asked := openboard.total(self.counted, "questions"):
            wait = "question waits" if asked == 1 else "questions wait"
            return (
                f"{asked:,} {wait} for a person: `bench.review()` asks one at a time (notebook "
                "03_review_matches)."
            )
        if self.cases:
            wait = "case waits for its owner" if self.cases == 1 else "cases wait for their owners"
            return f"{self.cases:,} {wait}: `bench.queue()`."
        return "Nothing waits for a person: `bench.report()` tells the others."

    @property
    def cases(self) -> int:
        """How many cases are open, as `queue` lists them."""
        return openboard.total(self.counted, "cases")

    @property
    def export_line(self) -> str:
        """The call that writes every open item to a file."""
        return f'bench.export("open-items", "{self.export_path}")'

    def _biggest(self) -> pl.DataFrame:
        return largest(self.open_items)

    def html(self) -> str:
        """Headline, scoreboard, what is open, the largest open items, the next step."""
        board = tables.html(self.frame, BOARD_COLUMNS, caption="Left items by state", rows_max=100)
        biggest = tables.html(
            self._biggest(), _SHORT, zone=self.about.zone,
            caption=f"Largest open items of {self.open_items.height:,}",
        )  # fmt: skip
        return (
            f'<section class="rk"><h2>{escape_html(self.about.workspace)}</h2>{self._lead()}{board}'
            f'<p class="rk-note">{prose_html(BOARD_NOTE)}</p>{self._open_html()}{biggest}'
            f'<p class="rk-note">All of them: <code>{escape_html(self.export_line)}</code></p>'
            f'<p class="rk-next"><strong>Next:</strong> {prose_html(self.next_step)}</p>'
            f"{about_line(self.about)}</section>"
        )

    def text(self) -> str:
        """The same as plain text."""
        zone = self.about.zone
        return "\n".join(
            [
                *(self.headlines or (self.headline,)), "",
                tables.plain(self.frame, BOARD_COLUMNS, rows_max=100), "",
                *self._open_lines(),
                f"Largest open items of {self.open_items.height:,}",
                tables.plain(self._biggest(), _SHORT, zone=zone),
                f"All of them: {self.export_line}", "",
                f"Next: {self.next_step}", self.about.line(),
            ]
        )  # fmt: skip

    def _lead(self) -> str:
        """A reconciliation a line: a sentence of four is read by nobody."""
        if not self.totals.is_empty():
            told = "".join(f"<li>{prose_html(line)}</li>" for line in self.headlines)
            return f'<ul class="rk-lead">{told}</ul>'
        return f'<p class="rk-lead">{prose_html(self.headline)}</p>'

    def _open_html(self) -> str:
        if self.counted.is_empty():
            return ""
        board = openboard.board(self.counted)
        table = tables.html(board, openboard.COLUMNS, caption=openboard.CAPTION)
        return f'{table}<p class="rk-note">{prose_html(self._open_note())}</p>'

    def _open_lines(self) -> list[str]:
        if self.counted.is_empty():
            return []
        table = tables.plain(openboard.board(self.counted), openboard.COLUMNS)
        return [openboard.CAPTION, table, self._open_note(), ""]

    def _open_note(self) -> str:
        where = "`bench.queue()` lists the cases, `bench.review()` asks the questions."
        return " ".join(
            filter(None, (openboard.NOTE, openboard.settled_sentence(self.settled), where))
        )

    def as_dict(self) -> dict[str, Any]:
        """Scoreboard, what is open, largest open items, counts, next step."""
        return {
            "headline": self.headline,
            "scoreboard": self.frame,
            "largest_open_items": masked_frame(self._biggest()),
            "open_items": self.open_items.height,
            "what_is_open": openboard.board(self.counted),
            "cases": self.cases,
            "cases_settled_by_rule": self.settled,
            "next_step": self.next_step,
            "about": self.about.as_dict(),
        }


# Type and expected date say little beside item, state and reason, and the reason needs the room.
_LEFT_OUT = {"event_type", "expected_by", "reconciliation"}
_SHORT = (
    Column("reconciliation", "Reconciliation"),
    *(c for c in OPEN_COLUMNS if c.name not in _LEFT_OUT),
)
BOARD_COLUMNS: Sequence[Column] = (
    Column("reconciliation", "Reconciliation"),
    Column("currency", "Currency"),
    Column("all", "Items", "count"),
    Column("matched", "Matched", "count"),
    Column("matched_share", "of due", "share"),
    Column("matched_minor", "in money", "money"),
    Column("matched_share_money", "of due", "share"),
    Column("in_flight", "In flight", "count"),
    Column("not_covered", "Not covered", "count"),
    Column("proposed", "Proposed", "count"),
    Column("unexplained", "Unexplained", "count"),
    Column("unexplained_minor", "in money", "money"),
)
BOARD_NOTE = (
    "Due is every left item but those in flight (inside their settlement time) and not covered "
    "(the other side's files do not reach that far). Unexplained is what is overdue, and "
    "residuals: of a match that leaves money open, on whichever side, only that money; what it "
    "covers is matched money."
)


def _sentence_case(name: str) -> str:
    """A reconciliation's name at the head of a sentence: `orders_to_payments`, in words."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _sum(column: str, states: Sequence[str]) -> pl.Expr:
    picked = pl.col(column).filter(pl.col("state").is_in(list(states)))
    return picked.cast(pl.Int128).sum().cast(pl.Int64)


def _ratio(part: str, whole: str) -> pl.Expr:
    # A share for display; the amounts themselves stay integers.
    number = pl.col(part).cast(pl.Float64) / pl.col(whole)
    return pl.when(pl.col(whole) > 0).then(number).otherwise(None)
