"""What merging small segments came to, as a table and in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.ledger.compact import FILES_MIN, Compacted
from recon_kit.ledger.litter import AGE_HOURS_MIN
from recon_kit.present.rows import RowsView

_SCHEMA: dict[str, pl.DataType] = {
    "table": pl.String(), "source": pl.String(), "files_before": pl.Int64(),
    "files_after": pl.Int64(), "rows": pl.Int64(), "bytes_before": pl.Int64(),
    "bytes_after": pl.Int64(),
}  # fmt: skip


def view(found: Sequence[Compacted]) -> RowsView:
    """One row per group of files, what it saved, and what becomes of the old files."""
    rows = [
        (one.kind, one.source, one.files, 1 if one.done else one.files, one.rows,
         one.bytes_before, one.bytes_after)
        for one in found
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return RowsView("Compact", frame, tuple(_sentences(found, frame)))


def _sentences(found: Sequence[Compacted], frame: pl.DataFrame) -> list[str]:
    if not found:
        return [f"no table has {FILES_MIN} small segments or more: nothing was merged."]
    files, now, before, after = (
        int(frame[name].sum())
        for name in ("files_before", "files_after", "bytes_before", "bytes_after")
    )
    sizes = f"{_megabytes(before)} are {_megabytes(after)}"
    wait = f"The old files stay for {AGE_HOURS_MIN} hours for whoever reads them"
    said = [
        f"{files:,} files are {now:,} now, {sizes}; every row was read back and compared.",
        f"{wait}; then `recon doctor --gc` removes them.",
    ]
    left = sum(not one.done for one in found)
    if left:
        said.append(f"{left:,} groups were left alone: somebody wrote meanwhile. Run it again.")
    return said


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
