"""What a replay came to: the hashes of facts and results then and now, and what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.present.rows import RowsView
from recon_kit.present.show import View


@dataclass(frozen=True, repr=False)
class ReplayView(View):
    """`hashes` (what, was, is, same, why), `changed` facts, and files `refused` by today's rules.

    `same` is whether facts and results came out as they were.
    """

    hashes: pl.DataFrame
    changed: pl.DataFrame
    refused: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether everything came out as it was."""
        return bool(self.hashes["same"].all()) and not self.refused

    @property
    def frame(self) -> pl.DataFrame:
        """The hashes."""
        return self.hashes

    def _parts(self) -> list[RowsView]:
        short = self.hashes.with_columns(
            pl.col("was", "is").str.head(12),
            pl.when("same").then(pl.lit("same")).otherwise(pl.lit("differs")).alias("same"),
        )
        said = "everything came out as it was" if self.same else "not everything is as it was"
        parts = [RowsView("Replay", short, (f"{said}.", *self.refused))]
        if not self.changed.is_empty():
            parts.append(RowsView("Facts that read differently", self.changed))
        return parts

    def html(self) -> str:
        """Both tables."""
        return f'<div class="rk">{"".join(part.html() for part in self._parts())}</div>'

    def text(self) -> str:
        """Both tables as plain text."""
        return "\n\n".join(part.text() for part in self._parts())

    def as_dict(self) -> dict[str, Any]:
        """Hashes in full, what changed, what was refused."""
        return {
            "same": self.same,
            "hashes": self.hashes,
            "changed": self.changed,
            "refused": list(self.refused),
        }
