"""What a run changed: a sentence per reconciliation, a row per event that stands otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from recon_kit import money
from recon_kit.present import tables
from recon_kit.present.base import About, FrameView, about_line
from recon_kit.present.tables import Column
from recon_kit.safe import masked_frame, prose_html

_THINGS = {"match": "matches", "open item": "open items", "case": "cases"}
_ROWS_MAX = 50


def sentence(totals: pl.DataFrame, first: bool) -> str:
    """Counts and money of what was added, changed and withdrawn.

    Args:
        totals: rows of one reconciliation: `thing, change, currency, items, amount_minor`.
        first: there was no run before.
    """
    if first:
        return "first run: there is nothing to compare with"
    told = [
        f"{_counted(int(rows['items'].sum()), thing)} {change}{_monies(rows)}"
        for thing in _THINGS
        for change in ("added", "changed", "withdrawn")
        for rows in (totals.filter(pl.col("thing") == thing, pl.col("change") == change),)
        if rows.height
    ]
    return ", ".join(told) or "nothing changed"


def with_states_told(events: pl.DataFrame) -> pl.DataFrame:
    """Events whose states before and after read as words; a residual is money left open."""
    return events.with_columns(
        pl.col("state_before", "state_after").replace({"residual": "matched, money open"})
    )


def _counted(items: int, thing: str) -> str:
    return f"{items:,} {thing if items == 1 else _THINGS[thing]}"


def _monies(rows: pl.DataFrame) -> str:
    """Money by currency in brackets; what has no known amount is left out."""
    known = rows.drop_nulls(["currency", "amount_minor"]).sort("currency")
    told = [
        money.display(amount, currency)
        for currency, amount in known.select("currency", "amount_minor").iter_rows()
    ]
    return f" ({', '.join(told)})" if told else ""


@dataclass(frozen=True, repr=False)
class ChangesView(FrameView):
    """What runs changed against the runs before them.

    `frame` has a row per event that stands otherwise, largest money first: `reconciliation,
    change, native_id, event_type, source, owner, state_before, state_after, method_before,
    method_after, ..., amount_minor, currency, event_key`. `totals` counts matches, open items and
    cases: `reconciliation, thing, change, currency, items, amount_minor`. `compared` maps a
    reconciliation to the two runs (earlier, later); a first run has no earlier one. `rescored` says
    of a reconciliation how many of the changed matches are the same but for their confidence.
    """

    frame: pl.DataFrame
    about: About
    totals: pl.DataFrame
    compared: Mapping[str, tuple[str | None, str]]
    events_total: int = 0
    rescored: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How many events stand otherwise."""
        return f"Events that stand otherwise than before: {self.events_total:,}"

    @property
    def lines(self) -> dict[str, str]:
        """One sentence per reconciliation."""
        return {
            name: sentence(self.totals.filter(pl.col("reconciliation") == name), before is None)
            + (f". {self.rescored[name]}" if name in self.rescored else "")
            for name, (before, _) in self.compared.items()
        }

    def columns(self) -> Sequence[Column]:
        """What changed, for whom, and whose it is."""
        return (
            Column("native_id", "Event", "code"),
            Column("event_type", "Type", "word"),
            Column("change", "Change"),
            Column("amount_minor", "Amount", "money"),
            Column("state_before", "Before", "word"),
            Column("state_after", "Now", "word"),
            Column("method_after", "Method", "word"),
            Column("owner", "Owner"),
            Column("reconciliation", "Reconciliation"),
        )

    def _told(self) -> list[str]:
        return [f"{name}: {line}" for name, line in self.lines.items()]

    def html(self) -> str:
        """The sentences, then the events."""
        told = "".join(f"<p>{prose_html(line)}</p>" for line in self._told())
        body = tables.html(
            with_states_told(self.frame), self.columns(), caption=self.title, zone=self.about.zone,
            rows_max=_ROWS_MAX,
        )  # fmt: skip
        return f'<section class="rk">{told}{body}{about_line(self.about)}</section>'

    def text(self) -> str:
        """The sentences, then the events."""
        body = tables.plain(
            with_states_told(self.frame), self.columns(), zone=self.about.zone, rows_max=_ROWS_MAX
        )
        return "\n".join([*self._told(), self.title, body, self.about.line()])

    def as_dict(self) -> dict[str, Any]:
        """Sentences, totals, the runs compared, and the events."""
        return {
            "title": self.title,
            "lines": self.lines,
            "totals": self.totals,
            "compared": {n: {"before": b, "after": a} for n, (b, a) in self.compared.items()},
            "events_total": self.events_total,
            "rows": masked_frame(self.frame),
            "about": self.about.as_dict(),
        }
