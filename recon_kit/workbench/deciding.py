"""Decisions: what people say, taken down."""

from __future__ import annotations

from pathlib import Path

from recon_kit.present.rows import RowsView
from recon_kit.tuning import labels as label_room
from recon_kit.workbench.face import Face


class Deciding(Face):
    """What people say."""

    def import_labels(self, file: Path | str, reconciliation: str | None = None) -> RowsView:
        """Bring in labels that were decided elsewhere, as decisions.

        Args:
            file: a CSV; `tuning.labels.COLUMNS` names its columns.
            reconciliation: to which they belong; needed where several are declared.
        """
        rec = self._one(reconciliation)
        now = self._clock()
        with self.store.snapshot().engine() as engine:
            found = label_room.resolve(engine, label_room.read_labels(Path(file)), rec, now)
        if not found.decisions.is_empty():
            self.store.add_decisions(found.decisions, recorded_at=now)
        notes = (f"{found.decisions.height:,} labels imported into {rec.name}.",)
        return RowsView("Rows that were not imported", found.problems, notes)
