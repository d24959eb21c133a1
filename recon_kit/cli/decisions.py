"""Commands that take down what people say."""

from __future__ import annotations

from pathlib import Path

from recon_kit.cli.app import COMMON, DONE, PARTLY, Common, bench_of, labels_app, show


@labels_app.command(name="import")
def labels_import(file: Path, *, reconciliation: str | None = None, common: Common = COMMON) -> int:
    """Bring in labels from a CSV; unusable rows are listed and the rest is kept.

    Parameters
    ----------
    file: CSV with left_source, left_native_id, right_source, right_native_id, label, reviewer.
    reconciliation: To which the labels belong; needed when several are declared.
    """
    result = bench_of(common).import_labels(file, reconciliation)
    return show(result, common, DONE if result.frame.is_empty() else PARTLY)
