"""Two runs side by side: gained, lost and moved, with money, for whom, and each event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit import money
from recon_kit.present import tables
from recon_kit.present.base import about_line
from recon_kit.present.changed import ChangesView, with_states_told
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html
from recon_kit.tuning.compare import Comparison

_SUMS = (
    Column("change", "Change"), Column("method", "Method", "word"),
    Column("items", "Left events", "count"), Column("amount_minor", "Money", "money"),
)  # fmt: skip
_OWNERS = (
    Column("owner", "Owner"), Column("change", "Change"), Column("items", "Left events", "count"),
    Column("amount_minor", "Money", "money"),
)  # fmt: skip
_EVENTS = (
    Column("native_id", "Event", "code"), Column("event_type", "Type", "word"),
    Column("change", "Change"), Column("amount_minor", "Amount", "money"),
    Column("state_before", "Before", "word"), Column("state_after", "After", "word"),
    Column("method_after", "By", "word"), Column("owner", "Owner"),
)  # fmt: skip
# What a person asks first; all other ways to stand otherwise are counted together.
_TOLD = ("gained", "lost", "moved")
_NONE = "no left event changes its match"


@dataclass(frozen=True, repr=False)
class CompareView(View):
    """What a change would do: `.frame` has a row per event that would stand otherwise."""

    what: str
    comparison: Comparison
    events: ChangesView
    tried: str = ""  # what is tried on a share of components now

    @property
    def frame(self) -> pl.DataFrame:
        """Events that stand otherwise, largest money first (`difference.EVENT_SCHEMA`)."""
        return self.events.frame

    @property
    def sums(self) -> pl.DataFrame:
        """By change, method and currency."""
        return self.comparison.sums

    @property
    def owners(self) -> pl.DataFrame:
        """By whom it concerns."""
        return self.comparison.owners

    def lines(self) -> list[str]:
        """What is compared, and the answer in one sentence."""
        rest = self.sums.filter(~pl.col("change").is_in(_TOLD))["items"].sum()
        further = f" {rest:,} further left events stand otherwise." if rest else ""
        any_told = self.sums["change"].is_in(_TOLD).any()
        told = "; ".join(self._counted(change) for change in _TOLD) if any_told else _NONE
        answer = f"{told[0].upper()}{told[1:]}.{further}"
        return [f"Compared: {self.what}.", answer, *([self.tried] if self.tried else [])]

    def _counted(self, change: str) -> str:
        rows = self.sums.filter(pl.col("change") == change)
        if rows.is_empty():
            return f"{change} none"
        by = rows.drop_nulls("currency").group_by("currency").agg(pl.col("amount_minor").sum())
        sums = ", ".join(
            money.display(amount, code) for code, amount in by.sort("currency").iter_rows()
        )
        return f"{change} {rows['items'].sum():,}" + (f" ({sums})" if sums else "")

    def html(self) -> str:
        """The answer, the sums, whom it concerns, and the events."""
        what, answer, *tried = (prose_html(line) for line in self.lines())
        said = f"<p>{what}</p><p><strong>{answer}</strong></p>"
        said += "".join(f"<p>{line}</p>" for line in tried)
        parts = ((self.sums, _SUMS, "What changes"), (self.owners, _OWNERS, "Whom it concerns"),
                 (with_states_told(self.frame), _EVENTS, self._title()))  # fmt: skip
        body = "".join(tables.html(f, c, caption=t) for f, c, t in parts if f.height)
        return f'<section class="rk">{said}{body}{about_line(self.events.about)}</section>'

    def text(self) -> str:
        """The same as plain text."""
        if self.frame.is_empty():
            return "\n".join([*self.lines(), self.events.about.line()])
        return "\n".join([
            *self.lines(), "", tables.plain(self.sums, _SUMS), "",
            tables.plain(self.owners, _OWNERS), "", self._title(),
            tables.plain(with_states_told(self.frame), _EVENTS), self.events.about.line(),
        ])  # fmt: skip

    def _title(self) -> str:
        return f"Events that would stand otherwise: {self.events.events_total:,}"

    def as_dict(self) -> dict[str, Any]:
        """Sums, owners, standing, and the events."""
        return {
            "compared": self.what, "lines": self.lines(), "sums": self.sums,
            "owners": self.owners, "tried": self.tried, "standing": self.comparison.standing,
            **{k: v for k, v in self.events.as_dict().items() if k not in {"lines", "compared"}},
            "runs": {"before": self.comparison.difference.before,
                     "after": self.comparison.difference.after},
        }  # fmt: skip
