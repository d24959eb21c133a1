"""Received files that need not be kept any longer, as a table and in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import polars as pl

from recon_kit import model
from recon_kit.ledger.retention import OldFile
from recon_kit.present.rows import RowsView

_SCHEMA: dict[str, pl.DataType] = {
    "sha256": pl.String(), "source": pl.String(), "file": pl.String(), "bytes": pl.Int64(),
    "received_at": model.UTC, "quarantined": pl.Int64(),
}  # fmt: skip


def view(found: Sequence[OldFile], days_min: int, zone: str, *, dropped: bool) -> RowsView:
    """One row per file, and what its leaving means."""
    frame = pl.DataFrame([astuple(one) for one in found], schema=_SCHEMA, orient="row")
    if not found:
        note = f"every received file is younger than {days_min} days (`raw_days_min`): all are kept"
        return RowsView("Old files", frame, (f"{note}.",), zone=zone)
    quarantined = int(frame["quarantined"].sum())
    size = f"{int(frame['bytes'].sum()) / 1e6:,.1f} MB"
    lost = "can no longer be replayed"
    if quarantined:
        lost += f", and {quarantined:,} quarantined records no longer be repaired from them"
    lost = f"Their facts stay, but {lost}."
    if dropped:
        return RowsView(
            "Old files",
            frame,
            (f"{len(found):,} files of {size} were dropped, on record.", lost),
            zone=zone,
        )
    notes = (
        f"{len(found):,} files of {size} are {days_min} days old or more (`raw_days_min`).",
        "Nothing was removed; `recon doctor --gc --raw` drops them.",
        lost,
    )
    return RowsView("Old files", frame, notes, zone=zone)
