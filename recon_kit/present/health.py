"""The weekly health report: headline first, then trend, indicators, what is open, definitions.

One set of facts, three audiences, the same numbers for all: `ops` also sees how old open items
are and every indicator, `growth` is spared the charts of open money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from recon_kit.errors import ParameterError, listed, nearest
from recon_kit.present import openboard, tables
from recon_kit.present.healthfacts import AUDIENCES, STATES, HealthFacts
from recon_kit.present.rates import condensed, matrix_columns, sli_matrix
from recon_kit.present.show import View
from recon_kit.present.summary import BOARD_NOTE, largest, scoreboard
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html, prose_html
from recon_kit.sli import definitions


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
        board = scoreboard(self.facts.totals, list(self.facts.about.runs))
        other = pl.col("currency").ne_missing(pl.lit(self.facts.currency))
        names = board["reconciliation"].unique(maintain_order=True)
        place = pl.col("reconciliation").replace_strict(names, range(names.len()))
        return board.sort(place, other, maintain_order=True)

    @property
    def headline(self) -> Part:
        """Who, which week, the sentence to remember, and four figures."""
        facts, about = self.facts, self.facts.about
        sentence = self._sentence()
        figures = self._figures()
        tiles = "".join(
            f'<div class="rk-tile"><dt>{escape_html(label)}</dt>'
            f'<dd class="rk-figure-large">{escape_html(large)}</dd>'
            f"<dd>{prose_html(small)}</dd></div>"
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
            f"<h2>{prose_html(sentence)}</h2>{warning}</header>"
            f'<dl class="rk-tiles">{tiles}</dl>'
        )
        lines = [self._kicker(), sentence, *(f"  {a}: {b} ({c})" for a, b, c in figures)]
        told = {"week": facts.week, "audience": facts.audience, "headline": sentence}
        return Part(body, "\n".join(lines), told)

    def charts(self) -> View:
        """Trend of the matched share, open money by state, age of open items, time to reconcile."""
        from recon_kit.present import charts

        facts = self.facts
        trends: list[charts.Chart] = []
        opens: list[charts.Chart] = []
        for name in self._names:
            own = pl.col("currency").eq_missing(pl.lit(self._main_currency(name)))
            is_mine = pl.col("reconciliation") == name
            rows = facts.weekly.filter(is_mine, pl.col("currency").is_null() | own)
            if not rows.drop_nulls("share").is_empty():
                caption = f"Matched share by week, {_spaced(name)}"
                trends.append(charts.matched_share(rows, caption, half=True))
            late = facts.totals.filter(is_mine, own, pl.col("state") != "matched")
            if not late.is_empty():
                money = f"{_spaced(name)}, {self._main_currency(name)}"
                caption = f"Open amount by state, {money}"
                opens.append(charts.open_by_state(late, caption, half=True))
        drawn = trends + (opens if facts.audience != "growth" else [])
        if facts.audience == "ops" and "age_days" in facts.open_items.columns:
            drawn.append(charts.ageing(charts.age_buckets(facts.open_items["age_days"]), half=True))
        if not facts.curve.is_empty():
            caption = f"Time to reconcile, {_spaced(self._names[0])}" if self._names else ""
            drawn.append(charts.time_to_reconcile(facts.curve, caption, half=True))
        return charts.Charts(tuple(drawn))

    @property
    def totals_table(self) -> Part:
        """Left items and money by state; each row adds up to all left items of the source."""
        return self._part(self._board, TOTAL_COLUMNS, "Left items of the week by state", BOARD_NOTE)

    @property
    def sli_table(self) -> Part:
        """Every indicator on a row, every reconciliation in a column; unknown is said and why."""
        told = condensed(self.facts.slis, self.facts.currency)
        if self.facts.audience != "ops":
            told = told.filter(~pl.col("name").str.contains("business|mean|backlog|case_rate"))
        matrix, notes = sli_matrix(told, self.facts.week, self._names)
        columns = matrix_columns(matrix)
        return self._part(matrix, columns, "Service level indicators", " ".join(notes), rows_max=80)

    @property
    def open_table(self) -> Part:
        """The largest open items that somebody has to look at, each with its reason."""
        total, shown = attention(self.facts.open_items, self.facts.currency)
        which = "overdue, residual or proposed"
        caption = f"Largest of {total:,} open items of all weeks that need attention: {which}"
        money = tables.money_text(pl.col("amount_minor"), pl.col("currency"))
        where = pl.col("source") + ", " + pl.col("reconciliation").str.replace_all("_", " ")
        shown = shown.with_columns(open=money + " " + pl.col("currency"), where=where)
        return self._part(shown, OPEN_REPORT_COLUMNS, caption, TRACE_NOTE)

    @property
    def open_board(self) -> Part:
        """Everything that is open, whatever its week: items, cases about them, questions."""
        board = openboard.board(self.facts.counted)
        return self._part(board, openboard.COLUMNS, openboard.CAPTION, openboard.NOTE)

    @property
    def case_table(self) -> Part:
        """Open cases by kind, with the share of each owner."""
        cases = openboard.by_kind(self.facts.cases)
        caption = "Open cases by kind"
        if not cases.is_empty():
            caption = f"{openboard.total(cases, 'cases'):,} open cases by kind"
        return self._part(cases, openboard.CASE_COLUMNS, caption, rows_max=40)

    @property
    def definitions(self) -> Part:
        """What every word of the report means."""
        told = dict(STATES)
        shown = set(self.facts.slis["name"].unique())
        told |= {_words(d.name): d.sentence for d in definitions.DEFINITIONS if d.name in shown}
        body = "".join(
            f"<dt>{prose_html(word)}</dt><dd>{prose_html(meaning)}</dd>"
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
            self.headline, self.totals_table, self.charts(), self.open_board, self.case_table,
            self.open_table, self.sli_table, self.definitions, self.footer,
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
        below = f'<p class="rk-note">{prose_html(note)}</p>' if note else ""
        body = tables.html(frame, columns, caption=caption, zone=zone, rows_max=rows_max)
        plain = tables.plain(frame, columns, zone=zone, rows_max=rows_max)
        return Part(body + below, f"{caption}\n{plain}", {"rows": frame})

    @property
    def _names(self) -> list[str]:
        """The reconciliations, the first declared one first."""
        return self._board["reconciliation"].unique(maintain_order=True).to_list()

    def _main_currency(self, name: str) -> str | None:
        """The workspace's currency, or that of most left items where it does not occur."""
        rows = self._board.filter(
            pl.col("reconciliation") == name, pl.col("currency").is_not_null()
        )
        if self.facts.currency in rows["currency"]:
            return self.facts.currency
        rows = rows.sort("all", "currency", descending=[True, False])
        return None if rows.is_empty() else str(rows["currency"][0])

    def _kicker(self) -> str:
        facts = self.facts
        who = {"ops": "operations", "finance": "finance", "growth": "growth"}[facts.audience]
        return (
            f"{facts.about.workspace} · {facts.week} ({facts.first_day} to {facts.last_day}) "
            f"· for {who}"
        )

    def _sentence(self) -> str:
        if self._board.is_empty():
            return "No left items fall into this week"
        rows = self._first
        name = _spaced(rows["reconciliation"][0])
        due, matched = int(rows["due"].sum()), int(rows["matched"].sum())
        if due == 0:
            return f"Nothing of this week is due yet in {name}"
        told = f"{tables.one_share(matched, due)} of what was due is matched in {name}"
        unexplained = self._unexplained().head(1).to_dicts()
        money = [tables.one_money(row["unexplained_minor"], row["currency"]) for row in unexplained]
        items, waiting = int(rows["unexplained"].sum()), int(rows["proposed"].sum())
        if money and items:
            more = self._unexplained()["currency"].to_list()[1:]
            others = f", and more in {listed(more)}" if more else ""
            return f"{told}; {money[0]} is unexplained{others}"
        if items:
            return f"{told}; {items:,} items unexplained"
        wait = "1 item waits" if waiting == 1 else f"{waiting:,} items wait"
        return f"{told}; {wait} for a person" if waiting else f"{told}; all is explained"

    @property
    def _first(self) -> pl.DataFrame:
        """The board of the reconciliation that makes the headline."""
        return self._board.filter(pl.col("reconciliation") == self._names[0])

    def _unexplained(self) -> pl.DataFrame:
        """Its currencies with unexplained money, the main one first."""
        main = self._main_currency(self._names[0])
        rows = self._first.filter(pl.col("unexplained") > 0).drop_nulls("currency")
        first = pl.col("currency").ne_missing(pl.lit(main))
        return rows.sort(first, "unexplained", "currency", descending=[False, True, False])

    def _figures(self) -> list[tuple[str, str, str]]:
        """Tiles: label, the figure, the small print."""
        if self._board.is_empty():
            return [("Left items", "0", "in this week")]
        rows = self._first
        due, matched = int(rows["due"].sum()), int(rows["matched"].sum())
        figures = [
            (
                "Matched items",
                tables.one_share(matched, due),
                f"{matched:,} of {due:,} due items of the week",
            )
        ]
        main = self._main_currency(self._names[0])
        for row in rows.filter(pl.col("currency") == main).to_dicts():
            share = tables.one_share(row["matched_minor"], row["due_minor"])
            small = _of(row["matched_minor"], row["due_minor"], row["currency"])
            figures.append((f"Matched money, {main}", share, small))
            money = tables.one_money(row["unexplained_minor"], main).split(" ")[0]
            others = ", ".join(c for c in self._unexplained()["currency"] if c != main)
            small = f"in {row['unexplained']:,} items of the week"
            small += f"; more in {others}" if others else ""
            figures.append((f"Unexplained, {main}", money, small))
        waiting = int(rows["proposed"].sum())
        flight, unknown = int(rows["in_flight"].sum()), int(rows["not_covered"].sum())
        every = openboard.total(self.facts.counted, "questions")
        whole = f"proposed items of the week; {every:,} questions of all weeks wait for a person"
        figures.append(("To confirm", f"{waiting:,}", whole))
        small = f"of the week: {flight:,} in flight, {unknown:,} not covered"
        figures.append(("Not judged yet", f"{flight + unknown:,}", small))
        return figures


def attention(open_items: pl.DataFrame, currency: str | None) -> tuple[int, pl.DataFrame]:
    """How many open items somebody has to look at, and the largest of them, as the report lists.

    Args:
        open_items: as `OpenItemsView`.
        currency: the workspace's; half of the lines are its.
    """
    items = open_items.filter(~pl.col("state").is_in(["in_flight", "not_covered"]))
    own = pl.col("currency").eq_missing(pl.lit(currency))
    priced = items.filter(pl.col("amount_minor").is_not_null())
    some = [largest(priced.filter(which), OPEN_ROWS // 2) for which in (own, ~own)]
    return items.height, pl.concat(some)


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
OPEN_REPORT_COLUMNS: Sequence[Column] = (
    Column("native_id", "Item", "code"),
    Column("where", "Source, reconciliation"),
    Column("open", "Open amount", "figure"),
    Column("event_ts", "Date", "day", precision="ts_precision"),
    Column("state", "State", "word"),
    Column("why", "Why it is open"),
    Column("item_id", "Open item", "hash"),
)
TRACE_NOTE = (
    "recon trace ID leads from an open item or a case to the file, row and column it came from."
)
OPEN_ROWS = 10
