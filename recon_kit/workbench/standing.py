"""What became of decisions, of one reconciliation or of all: in force, disputed, asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import polars as pl

from recon_kit.errors import SettingsError
from recon_kit.ledger.engine import Engine
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.resolution import changes, standing
from recon_kit.settings import Reconciliation
from recon_kit.workbench import heard
from recon_kit.workbench.face import Face


class Standing(Face):
    """Where the word of people stands."""

    def decisions(self, reconciliation: str | None = None) -> RowsView:
        """Every decision that is not undone, and what became of it.

        `.frame` says of each whether it is in force, replaced, or asked again and why; see
        `resolution.standing.decision_states`.

        Args:
            reconciliation: whose; of all, where not given.
        """
        found = []
        for rec in self._decided(reconciliation):
            with self._standing(rec) as (_, states):
                found.append(_of(rec, states))
        told = pl.concat(found).sort("seq")
        said = [_counts(told, name) for name in ("state", "verdict", "stream")]
        return RowsView(
            f"Decisions{_of_whom(reconciliation)}, latest first", told,
            tuple(f"{line}." for line in said if line), _DECISIONS,
            rows_max=_DECISIONS_SHOWN, upwards=True, zone=self.settings.workspace.timezone,
        )  # fmt: skip

    def conflicts(self, reconciliation: str | None = None) -> RowsView:
        """Decisions that contradict one another, who said what, and what is applied meanwhile.

        One of them takes the word back, or a further person decides with the reason `adjudicated`.
        """
        found = []
        for rec in self._decided(reconciliation):
            with self._standing(rec) as (engine, _):
                found.append(_of(rec, standing.conflicts(engine, rec)))
        title, zone = f"Conflicts{_of_whom(reconciliation)}", self.settings.workspace.timezone
        return RowsView(title, pl.concat(found), zone=zone)

    def reopened(self, reconciliation: str | None = None) -> RowsView:
        """Decisions whose facts have changed since: every field that differs, then and now."""
        found = []
        for rec in self._decided(reconciliation):
            with self._standing(rec) as (engine, _):
                found.append(_of(rec, changes.diffs(engine)))
        title = f"Changed since decided{_of_whom(reconciliation)}"
        return RowsView(title, pl.concat(found), zone=self.settings.workspace.timezone)

    def _decided(self, name: str | None) -> Sequence[Reconciliation]:
        """The reconciliation of that name; else those in which something was decided."""
        if name is not None:
            return (self.settings.reconciliation(name),)
        recs = self.settings.reconciliations
        if not recs:
            raise SettingsError("recon.toml declares no reconciliation, so nothing was decided")
        said = set(self.store.decisions()["reconciliation"].unique())
        return [rec for rec in recs if rec.name in said] or recs[:1]

    @contextmanager
    def _standing(self, rec: Reconciliation) -> Iterator[tuple[Engine, pl.DataFrame]]:
        """An engine after `standing.decision_states`, and what that told."""
        with heard.decisions_told(self.store, self.settings, rec) as told:
            yield told


def _counts(told: pl.DataFrame, name: str) -> str:
    """How many decisions have each value of a column: `12 same, 3 not same`."""
    found = told.group_by(pl.col(name).fill_null("work")).len("n").sort(name)
    return ", ".join(f"{n:,} {str(value).replace('_', ' ')}" for value, n in found.iter_rows())


def _of(rec: Reconciliation, found: pl.DataFrame) -> pl.DataFrame:
    return found.select(pl.lit(rec.name).alias("reconciliation"), pl.all())


def _of_whom(name: str | None) -> str:
    return "" if name is None else f" of {name}"


_DECISIONS_SHOWN = 20
_DECISIONS = (
    Column("reconciliation", "Reconciliation"),
    Column("seq", "Seq", "count"), Column("left_id", "Left", "code"),
    Column("verdict", "Decided", "word"), Column("right_id", "Right", "code"),
    Column("reviewer", "By"), Column("stream", "Stream", "word"),
    Column("recorded_at", "At", "time"), Column("state", "State", "word"),
    Column("reason_code", "Reason", "word"),
)  # fmt: skip
