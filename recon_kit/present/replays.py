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

    `untold` are files that left the ledger on purpose; `same` is whether all facts and results
    came out as they were, `unknown` whether all that could be compared did.
    """

    hashes: pl.DataFrame
    changed: pl.DataFrame
    refused: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether everything came out as it was."""
        return self._no_difference and not self._not_compared

    @property
    def unknown(self) -> bool:
        """Whether nothing differs, but not everything could be told again or compared."""
        return self._no_difference and self._not_compared

    @property
    def _not_compared(self) -> bool:
        return bool(self.untold) or self.hashes["same"].null_count() > 0

    @property
    def _no_difference(self) -> bool:
        return bool(self.hashes["same"].fill_null(value=True).all()) and not self.refused

    @property
    def frame(self) -> pl.DataFrame:
        """The hashes."""
        return self.hashes

    def _parts(self) -> list[RowsView]:
        short = self.hashes.with_columns(
            pl.col("was", "is").str.head(12),
            pl.col("same")
            .cast(pl.String)
            .replace_strict({"true": "same", "false": "differs"}, default="unknown"),
        )
        said = "everything came out as it was" if self.same else "not everything is as it was"
        if self.unknown and self.untold:
            said = (
                "nothing came out differently, but not everything could be told again: files were "
                "dropped or erased on purpose"
            )
        elif self.unknown:
            said = (
                "nothing came out differently, but a run is older than what was told since: "
                "`recon run`, then replay again"
            )
        parts = [RowsView("Replay", short, (f"{said}.", *self.untold, *self.refused))]
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
            "same": None if self.unknown else self.same,
            "hashes": self.hashes,
            "changed": self.changed,
            "refused": list(self.refused),
            "untold": list(self.untold),
        }
