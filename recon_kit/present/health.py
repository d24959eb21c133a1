"""The weekly health report: headline first, then trend, indicators, what is open, definitions.

One set of facts, three audiences, the same numbers for all: `ops` also sees how old open items
are and every indicator, `growth` is spared the charts of open money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from recon_kit.errors import ParameterError, nearest
from recon_kit.present import tables
from recon_kit.present.base import About
from recon_kit.present.lists import OPEN_COLUMNS
from recon_kit.present.rates import matrix_columns, sli_matrix
from recon_kit.present.show import View
from recon_kit.present.summary import BOARD_NOTE, largest, scoreboard
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html
from recon_kit.sli import definitions

AUDIENCES = ("ops", "finance", "growth")

STATES: Mapping[str, str] = {
    "Matched": "within tolerance, automatically or confirmed by a person",
    "Residual": "matched, with money left open beyond the tolerance",
    "Proposed": "a counterpart was found, but a person has to confirm it",
    "Overdue": "not matched although the settlement time has passed",
    "In flight": "not matched, but still inside its settlement time",
    "Not covered": "the other side's files do not reach that far: unknown, in no rate, no case",
}


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What the report is made of.

    Args:
        week: ISO week such as `2026-W46`; `first_day` and `last_day` bound it.
        audience: `ops`, `finance` or `growth`.
        totals: left events of the week by state: `reconciliation, currency, state, items,
            amount_minor` (and those of the runs as a whole when `week_only` is false).
        weekly: the trend, `reconciliation, currency, week, measure, share, mature`;
            `weekly_shares` makes it.
        slis: `model.SLI_SCHEMA`; rows of other weeks are left out.
        open_items: as `OpenItemsView`; with `age_days` the ageing chart is drawn.
        curve: `days, share` and optionally `low, high`: time to reconcile.
        cases: open cases: `kind, owner, cases` and optionally `oldest_days`.
    """

    about: About
    week: str
    first_day: date
    last_day: date
    audience: str
    totals: pl.DataFrame
    weekly: pl.DataFrame
    slis: pl.DataFrame
    open_items: pl.DataFrame
    curve: pl.DataFrame = field(default_factory=pl.DataFrame)
    cases: pl.DataFrame = field(default_factory=pl.DataFrame)


@dataclass(frozen=True, repr=False)
class Part(View):
    """A piece of a report with its HTML and text ready."""

    body: str
    plain: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def html(self) -> str:
        """The piece as an element."""
        return f'<section class="rk">{self.body}</section>'

    def text(self) -> str:
        """The piece as plain text."""
        return self.plain

    def as_dict(self) -> dict[str, Any]:
        """What the piece is made of."""
        return dict(self.facts)


@dataclass(frozen=True, repr=False)
class HealthView(View):
    """The report of one week for one audience, in parts that a notebook shows one by one."""

    facts: HealthFacts

    def __post_init__(self) -> None:
        if self.facts.audience not in AUDIENCES:
            raise ParameterError(
                f"audience {self.facts.audience!r} has no report; "
                f"{nearest(self.facts.audience, AUDIENCES)}"
            )

    @property
    def frame(self) -> pl.DataFrame:
        """One row per reconciliation and currency: counts and money by state."""
        return self._board

    @cached_property
    def _board(self) -> pl.DataFrame:
        """In the order in which the runs are named; the first one makes the headline."""
        return scoreboard(self.facts.totals, list(self.facts.about.runs))

    @property
    def headline(self) -> Part:
        """Who, which week, the sentence to remember, and four figures."""
        facts, about = self.facts, self.facts.about
        sentence = self._sentence()
        figures = self._figures()
        tiles = "".join(
            f'<div class="rk-tile"><dt>{escape_html(label)}</dt>'
            f'<dd class="rk-figure-large">{escape_html(large)}</dd>'
            f"<dd>{escape_html(small)}</dd></div>"
            for label, large, small in figures
        )
        warning = ""
        if about.uncertified:
            names = ", ".join(map(_spaced, about.uncertified))
            warning = (
                f'<p class="rk-alert">Uncertified automatic matches: {escape_html(names)}.</p>'
            )
        body = (
            f'<header class="rk-head"><p class="rk-kicker">{escape_html(self._kicker())}</p>'
            f"<h2>{escape_html(sentence)}</h2>{warning}</header>"
            f'<dl class="rk-tiles">{tiles}</dl>'
        )
        lines = [self._kicker(), sentence, *(f"  {a}: {b} ({c})" for a, b, c in figures)]
        told = {"week": facts.week, "audience": facts.audience, "headline": sentence}
        return Part(body, "\n".join(lines), told)

    def charts(self) -> View:
        """Trend of the matched share, open money by state, age of open items, time to reconcile."""
        from recon_kit.present import charts

        facts = self.facts
        drawn: list[charts.Chart] = []
        trends, opens = [], []
        for name in self._board["reconciliation"].unique(maintain_order=True).to_list():
            own = pl.col("currency").is_null() | (pl.col("currency") == self._main_currency(name))
            is_mine = pl.col("reconciliation") == name
            trends.append((_spaced(name), facts.weekly.filter(is_mine, own)))
            late = facts.totals.filter(is_mine, pl.col("state") != "matched").drop_nulls("currency")
            opens.append((_spaced(name), late))
        # Beside one another, several small trends say more than one with all lines in it.
        height = 180 if len(trends) <= 2 else 110
        drawn += [
            charts.matched_share(rows, f"Matched share by week, {name}", height=height)
            for name, rows in trends
            if not rows.drop_nulls("share").is_empty()
        ]
        if facts.audience != "growth":
            drawn += [
                charts.open_by_state(rows, f"Open amount by state, {name}")
                for name, rows in opens
                if rows["state"].n_unique() > 1
            ]
        if facts.audience == "ops" and "age_days" in facts.open_items.columns:
            drawn.append(charts.ageing(charts.age_buckets(facts.open_items["age_days"])))
        if not facts.curve.is_empty():
            drawn.append(charts.time_to_reconcile(facts.curve))
        return charts.Charts(tuple(drawn))

    @property
    def totals_table(self) -> Part:
        """Left items and money by state; each row adds up to all left items of the source."""
        return self._part(self._board, TOTAL_COLUMNS, "Left items of the week by state", BOARD_NOTE)

    @property
    def sli_table(self) -> Part:
        """Every indicator on a row, every reconciliation in a column; unknown is said and why."""
        names = self._board["reconciliation"].unique(maintain_order=True).to_list()
        told = self.facts.slis
        if self.facts.audience != "ops":
            told = told.filter(~pl.col("name").str.contains("business|mean|backlog|case_rate"))
        matrix, notes = sli_matrix(told, self.facts.week, names)
        columns = matrix_columns(matrix)
        return self._part(matrix, columns, "Service level indicators", " ".join(notes), rows_max=80)

    @property
    def open_table(self) -> Part:
        """The largest open items, each with its reason."""
        items = self.facts.open_items
        return self._part(
            largest(items), OPEN_REPORT_COLUMNS, f"Largest of {items.height:,} open items"
        )

    @property
    def case_table(self) -> Part:
        """Open cases by kind and owner."""
        return self._part(self.facts.cases, CASE_COLUMNS, "Open cases by kind", rows_max=40)

    @property
    def definitions(self) -> Part:
        """What every word of the report means."""
        told = dict(STATES)
        shown = set(self.facts.slis["name"].unique())
        told |= {_words(d.name): d.sentence for d in definitions.DEFINITIONS if d.name in shown}
        body = "".join(
            f"<dt>{escape_html(word)}</dt><dd>{escape_html(meaning)}</dd>"
            for word, meaning in told.items()
        )
        plain = "\n".join(f"{word}: {meaning}" for word, meaning in told.items())
        return Part(f'<dl class="rk-defs">{body}</dl>', plain, told)

    @property
    def footer(self) -> Part:
        """From when, from which runs, and the checkpoint that makes tampering evident."""
        about = self.facts.about
        rows = {
            "Workspace": about.workspace,
            "As of": f"{about.moment()}, sequence {about.as_of_seq:,}",
            "Week": f"{self.facts.week}, {self.facts.first_day} to {self.facts.last_day}",
            **{f"Run of {_spaced(name)}": run for name, run in about.runs.items()},
            "Checkpoint": about.checkpoint or "none",
        }
        body = "".join(
            f"<dt>{escape_html(k)}</dt><dd><code>{escape_html(v)}</code></dd>"
            for k, v in rows.items()
        )
        why = (
            "The ledger is tamper-evident to anyone who holds an earlier checkpoint. "
            "Personal data is masked."
        )
        return Part(
            f'<footer class="rk-footer"><dl>{body}</dl><p>{why}</p></footer>',
            "\n".join([*(f"{k}: {v}" for k, v in rows.items()), why]),
            rows,
        )

    def html(self) -> str:
        """The whole report, as the notebook shows it part by part."""
        return f'<section class="rk">{"".join(part.html() for part in self._parts())}</section>'

    def text(self) -> str:
        """The whole report as plain text."""
        return "\n\n".join(part.text() for part in self._parts())

    def as_dict(self) -> dict[str, Any]:
        """The numbers of the report."""
        facts = self.facts
        return {
            **self.headline.as_dict(), "totals": self._board,
            "weekly": facts.weekly,
            "slis": facts.slis, "about": facts.about.as_dict(),
        }  # fmt: skip

    def _parts(self) -> Sequence[View]:
        return (
            self.headline, self.totals_table, self.charts(), self.sli_table, self.open_table,
            self.definitions, self.footer,
        )  # fmt: skip

    def _part(
        self,
        frame: pl.DataFrame,
        columns: Sequence[Column],
        caption: str,
        note: str = "",
        rows_max: int = tables.ROWS_SHOWN,
    ) -> Part:
        zone = self.facts.about.zone
        below = f'<p class="rk-note">{escape_html(note)}</p>' if note else ""
        body = tables.html(frame, columns, caption=caption, zone=zone, rows_max=rows_max)
        plain = tables.plain(frame, columns, zone=zone, rows_max=rows_max)
        return Part(body + below, f"{caption}\n{plain}", {"rows": frame})

    def _main_currency(self, name: str) -> str | None:
        """The currency of most left items of a reconciliation."""
        rows = self._board.filter(
            pl.col("reconciliation") == name, pl.col("currency").is_not_null()
        ).sort("all", "currency", descending=[True, False])
        return None if rows.is_empty() else str(rows["currency"][0])

    def _kicker(self) -> str:
        facts = self.facts
        who = {"ops": "operations", "finance": "finance", "growth": "growth"}[facts.audience]
        return (
            f"{facts.about.workspace} · {facts.week} ({facts.first_day} to {facts.last_day}) "
            f"· for {who}"
        )

    def _sentence(self) -> str:
        board = self._board
        if board.is_empty():
            return "No left items fall into this week"
        name = board["reconciliation"][0]
        rows = board.filter(pl.col("reconciliation") == name)
        due, matched = int(rows["due"].sum()), int(rows["matched"].sum())
        if due == 0:
            return f"Nothing of this week is due yet in {_spaced(name)}"
        return (
            f"{tables.one_share(matched, due)} of what was due is matched in {_spaced(name)}: "
            f"{matched:,} of {due:,} items"
        )

    def _figures(self) -> list[tuple[str, str, str]]:
        """Four tiles: label, the figure, the small print; money one tile per currency."""
        board = self._board
        if board.is_empty():
            return [("Left items", "0", "in this week")]
        name = board["reconciliation"][0]
        rows = board.filter(pl.col("reconciliation") == name)
        money = rows.filter(pl.col("currency").is_not_null() & (pl.col("due_minor") > 0))
        money = money.sort("due", descending=True).head(2)
        figures = [
            (
                f"Matched money, {row['currency']}",
                tables.one_share(row["matched_minor"], row["due_minor"]),
                _of(row["matched_minor"], row["due_minor"], row["currency"]),
            )
            for row in money.to_dicts()
        ]
        figures += [
            (
                f"Unexplained, {row['currency']}",
                tables.one_money(row["unexplained_minor"], row["currency"]).split(" ")[0],
                f"in {row['unexplained']:,} items overdue or with a residual",
            )
            for row in money.head(1).to_dicts()
        ]
        waiting = int(rows["proposed"].sum())
        flight = int(rows["in_flight"].sum()) + int(rows["not_covered"].sum())
        figures.append(("To confirm", f"{waiting:,}", "proposals wait for a person"))
        figures.append(("Not due yet", f"{flight:,}", "in flight or not covered"))
        return figures


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _of(part: int, whole: int, currency: str) -> str:
    return (
        f"{tables.one_money(part, currency).split(' ')[0]} of {tables.one_money(whole, currency)}"
    )


TOTAL_COLUMNS: Sequence[Column] = (
    Column("reconciliation", "Reconciliation", "word"),
    Column("currency", "Currency"),
    Column("all_minor", "All", "money"),
    Column("matched_minor", "Matched", "money"),
    Column("matched_share_money", "of due", "share"),
    Column("proposed_minor", "Proposed", "money"),
    Column("unexplained_minor", "Unexplained", "money"),
    Column("in_flight_minor", "In flight", "money"),
    Column("not_covered_minor", "Not covered", "money"),
)
OPEN_REPORT_COLUMNS: Sequence[Column] = tuple(
    column for column in OPEN_COLUMNS if column.name not in {"event_type", "expected_by"}
)
CASE_COLUMNS: Sequence[Column] = (
    Column("kind", "Kind", "word"),
    Column("owner", "Owner"),
    Column("cases", "Cases", "count"),
    Column("oldest_days", "Oldest, days", "number"),
)
