"""Commands that learn from what people decided."""

from __future__ import annotations

from pathlib import Path

from recon_kit.cli.app import COMMON, DONE, PARTLY, Common, app, bench_of, progress, show


@app.command
def train(
    reconciliation: str | None = None,
    *,
    labels: Path | None = None,
    seed: int | None = None,
    by: str | None = None,
    common: Common = COMMON,
) -> int:
    """Train a match-probability model on the decisions in force, and propose it.

    Prints the model card. Nothing scores with the model before `recon promote`.

    Args:
        reconciliation: Needed when several are declared.
        labels: CSV of labels to bring in first, as `recon labels import` does.
        seed: Seed of every draw; the same labels and seed give the same model.
        by: Who proposes the model.
    """
    result = bench_of(common).train(
        reconciliation, labels=labels, seed=seed, by=by, progress=progress
    )
    return show(result, common, PARTLY if result.refused else DONE)
