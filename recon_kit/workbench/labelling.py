"""Labels on paper: questions leave as a sheet, answers come back by `import_labels`."""

from __future__ import annotations

from pathlib import Path

from recon_kit.ledger.engine import open_engine
from recon_kit.present import exports
from recon_kit.present.views import FileView
from recon_kit.tuning import sheets
from recon_kit.workbench.reviewing import Reviewing


class Labelling(Reviewing):
    """Questions for people who decide elsewhere."""

    def export_labels(
        self,
        out: Path | str,
        reconciliation: str | None = None,
        *,
        which: sheets.Which = "proposals",
    ) -> FileView:
        """Write what waits for a judgement as a sheet with an empty column `label`.

        Fill in `label` (same, not_same, unsure, no_counterpart) and `reviewer`, and bring the file
        back with `import_labels`; rows without a label are left out. Personal fields are masked,
        and what a spreadsheet would read as a formula is neutralised.

        Args:
            out: `.csv` or `.parquet`; a relative path starts in the workspace's folder.
            reconciliation: whose questions; needed where several are declared.
            which: `proposals`, or `audit`: the drawn events that have no label yet, with their
                candidates in no order and nothing of what the system thinks.
        """
        rec = self._one(reconciliation)
        read, _, _ = self._waiting(rec.name, self._runs(rec.name))
        with open_engine((), threads=1) as engine:
            frame = sheets.sheet(engine, read.questions, read.pairs, read.facts, which)
        return exports.write(frame, f"label sheet ({which})", self.folder / out)
