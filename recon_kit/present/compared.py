"""Two runs side by side: gained, lost and moved, with money, for whom, and each event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit import money
from recon_kit.present import tables
from recon_kit.present.changed import ChangesView
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import escape_html
from recon_kit.tuning.compare import Comparison

_SUMS = (
    Column("change", "Change"), Column("method", "Method", "word"),
    Column("items", "Left events", "count"), Column("amount_minor", "Money", "money"),
    Column("currency", "Currency"),
)  # fmt: skip
_OWNERS = (
    Column("owner", "Owner"), Column("change", "Change"), Column("items", "Left events", "count"),
    Column("amount_minor", "Money", "money"), Column("currency", "Currency"),
)  # fmt: skip
# What a person asks first; all other ways to stand otherwise are counted together.
_TOLD = ("gained", "lost", "moved")


@dataclass(frozen=True, repr=False)
class CompareView(View):
    """What a change would do: `.frame` has a row per event that would stand otherwise."""

    what: str
    comparison: Comparison
    events: ChangesView

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
        parts = [self._counted(change) for change in _TOLD]
        rest = self.sums.filter(~pl.col("change").is_in(_TOLD))["items"].sum()
        told = ", ".join(p for p in parts if p)
        further = f"; {rest:,} further left events stand otherwise" if rest else ""
        return [f"Compared: {self.what}.", (told or "No left event changes its match") + further]

    def _counted(self, change: str) -> str:
        rows = self.sums.filter(pl.col("change") == change)
        if rows.is_empty():
            return ""
        by = rows.drop_nulls("currency").group_by("currency").agg(pl.col("amount_minor").sum())
        sums = ", ".join(
            money.display(amount, code) for code, amount in by.sort("currency").iter_rows()
        )
        return f"{change} {rows['items'].sum():,}" + (f" ({sums})" if sums else "")

    def html(self) -> str:
        """The answer, the sums, whom it concerns, and the events."""
        said = "".join(f"<p>{escape_html(line)}</p>" for line in self.lines())
        sums = tables.html(self.sums, _SUMS, caption="What changes")
        owners = tables.html(self.owners, _OWNERS, caption="Whom it concerns")
        return f'<section class="rk">{said}{sums}{owners}</section>{self.events.html()}'

    def text(self) -> str:
        """The same as plain text."""
        return "\n".join([
            *self.lines(), "", tables.plain(self.sums, _SUMS), "",
            tables.plain(self.owners, _OWNERS), "", self.events.text(),
        ])  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Sums, owners, standing, and the events."""
        return {
            "compared": self.what, "lines": self.lines(), "sums": self.sums,
            "owners": self.owners, "standing": self.comparison.standing,
            **{k: v for k, v in self.events.as_dict().items() if k not in {"lines", "compared"}},
            "runs": {"before": self.comparison.difference.before,
                     "after": self.comparison.difference.after},
        }  # fmt: skip
