"""Labels on paper and by two people: sheets, second looks, agreement."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recon_kit.ledger.engine import open_engine
from recon_kit.present import exports
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.present.views import FileView
from recon_kit.tuning import agreement, sheets
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
                candidates in no order and nothing of what the system thinks; or `second`: what
                `second_looks` lists, without what was said before.
        """
        rec = self._one(reconciliation)
        if which == "second":
            pairs, facts = self._second(rec)
            questions = pairs.select("question_id", "stream").unique(maintain_order=True)
            pairs = pairs.with_columns(confidence=pl.lit(None, dtype=pl.Float64))
        else:
            read, _, _ = self._waiting(rec.name, self._runs(rec.name))
            questions, pairs, facts = read.questions, read.pairs, read.facts
        with open_engine((), threads=1) as engine:
            zone = self.settings.workspace.timezone
            frame = sheets.sheet(engine, questions, pairs, facts, which, zone=zone)
        return exports.write(frame, f"label sheet ({which})", self.folder / out)

    def second_looks(self, reconciliation: str | None = None) -> RowsView:
        """What a second person is asked: audit labels against what was picked, one in ten others.

        `.frame` names the event, why, and who must not be the second person; what the first person
        said is not shown. `export_labels(which="second")` writes the sheet.
        """
        rec = self._one(reconciliation)
        pairs, facts = self._second(rec)
        names = facts.select("event_key", "native_id")
        shown = (
            pairs.group_by("question_id", "stream", "why", "not_by", "left_key")
            .agg(candidates=pl.len())
            .join(names, left_on="left_key", right_on="event_key", how="left")
            .select("native_id", "stream", "why", "not_by", "candidates", "left_key")
            .sort("stream", "left_key", "native_id")
        )
        said = "`recon labels export --which second` writes the sheet for the second person."
        return RowsView(f"Asked a second time in {rec.name}", shown, (said,))

    def agreement(self, reconciliation: str | None = None) -> RowsView:
        """How far two reviewers agree where both judged the same question.

        `.frame` is in the columns of `tuning.agreement.AGREEMENT_SCHEMA`; `conflicts` lists the
        questions on which they disagree and nobody has adjudicated.
        """
        rec = self._one(reconciliation)
        said = self.store.decisions().filter(pl.col("reconciliation") == rec.name)
        told = (
            "Kappa collapses where one answer is rare: see raw agreement and prevalence.",
            "`recon decisions --conflicts` lists disputes; a third person settles: adjudicated.",
        )
        found = agreement.agreement(said)
        return RowsView(f"Agreement of reviewers in {rec.name}", found, told, _AGREEMENT)


_AGREEMENT = (
    Column("stream", "Stream", "word"), Column("judged", "Judged", "count"),
    Column("twice", "By two", "count"), Column("agree", "Agree", "count"),
    Column("raw_agreement", "Raw agreement", "share"), Column("prevalence", "Same", "share"),
    Column("kappa", "Kappa", "number"), Column("settled", "Adjudicated", "count"),
)  # fmt: skip
