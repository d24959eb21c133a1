"""Headers of received files, for the check of schema drift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.errors import FileRejectedError
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.reader import open_records, read_head
from recon_kit.settings import Settings

HEADER_SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(), "name": pl.String(), "received_at": model.UTC, "columns": pl.String(),
}  # fmt: skip


def header_frame(
    artefacts: pl.DataFrame,
    raw_path: Callable[[str], Path],
    settings: Settings,
    *,
    last: int = 2,
) -> pl.DataFrame:
    """The headers of each declared source's last files, as the table `headers` of the checks.

    Args:
        artefacts: columns sha256, source, name, received_at.
        raw_path: where the bytes of an artefact are.
        settings: declares how each source is read; other sources are left out.
        last: files per source that are looked at.

    Returns:
        Columns of `HEADER_SCHEMA`; `columns` holds the names with a tab between them. A file
        that can no longer be opened, or was erased, is left out.
    """
    sources = {source.name: source for source in settings.sources}
    recent = (
        artefacts.filter(pl.col("source").is_in(list(sources)))
        .sort("source", "received_at", "name", "sha256")
        .group_by("source", maintain_order=True)
        .tail(last)
    )
    rows = []
    for artefact in recent.iter_rows(named=True):
        path = raw_path(artefact["sha256"])
        if not path.exists():  # erased
            continue
        feed = feed_for(sources[artefact["source"]])
        try:
            dialect = feed.dialect(read_head(path))
            names = open_records(path, dialect, name=artefact["name"]).header
        except FileRejectedError:
            continue
        fields = (artefact["source"], artefact["name"], artefact["received_at"], "\t".join(names))
        rows.append(fields)
    return pl.DataFrame(rows, schema=HEADER_SCHEMA, orient="row")
