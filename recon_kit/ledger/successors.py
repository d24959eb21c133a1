"""Files whose place another took, by erasure or by compaction, and which file is read now.

A segment's row in the catalog never changes. Where its file was written anew without a person's
rows, or together with others of its table, a later commit says so, and whoever reads follows it
from file to file. The replacement stands where the old file stood, with the old sequence, so that
every past is read from what is there now.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.ledger.catalog import Reader

_GONE = {
    "seq": pl.Int64(), "kind": pl.String(), "sha256": pl.String(), "replaced_by": pl.String(),
    "merged": pl.Boolean(),
}  # fmt: skip


def read_now(
    reader: Reader, where: str = "true", parameters: Sequence[str | int] = ()
) -> pl.DataFrame:
    """Rows of `segments` with the file that each is read from now; those without one are left out.

    Args:
        reader: of the catalog.
        where: which rows, over columns that all rows of one file share or by sequence.
        parameters: its values.

    Returns:
        The columns of `segments`; `merged` says that the file holds the rows of other sequences
        as well, each row with its own (see `segments.seq_column`).
    """
    return in_place(reader.frame("segments", where, parameters), successions(reader))


def successions(reader: Reader) -> pl.DataFrame:
    """Every file that left or was superseded: seq, kind, sha256, replaced_by (or null), merged."""
    rows = reader.all(
        "select seq, kind, sha256, replaced_by, false from erasures union all "
        "select seq, kind, sha256, replaced_by, true from compactions order by 1, 2, 3"
    )
    return pl.DataFrame(rows, schema=_GONE, orient="row")


def in_place(found: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """Rows of `segments` with superseded files replaced by what is read in their place.

    Args:
        found: rows of `segments`.
        gone: see `successions`.
    """
    standing = found.with_columns(merged=pl.lit(value=False))
    if gone.is_empty():
        return standing
    came = gone.filter(pl.col("replaced_by").is_not_null()).select(
        "seq", "kind", pl.col("replaced_by").alias("sha256")
    )
    standing = standing.join(
        came, on=["seq", "kind", "sha256"], how="anti", maintain_order="left"
    ).with_row_index("row")
    standing = standing.with_columns(pl.col("seq").alias("since"))
    # Bytes may come again after they were superseded, so a file only gives way to what was
    # committed after it. Each round is a later commit: it ends.
    while not (hops := _next(standing, gone)).is_empty():
        moved = pl.col("hop").is_not_null()
        standing = (
            standing.join(hops, on="row", how="left", maintain_order="left")
            .with_columns(
                pl.when(moved).then("replaced_by").otherwise("sha256").alias("sha256"),
                pl.coalesce("hop", "since").alias("since"),
                pl.coalesce("merging", "merged").or_(pl.col("merged")).alias("merged"),
            )
            .drop("hop", "replaced_by", "merging")
            .filter(pl.col("sha256").is_not_null())
        )
    return standing.drop("row", "since")


def _next(standing: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """The first commit after each row's file in which that file gave way: row, hop, replaced_by."""
    return (
        standing.select("row", "kind", "sha256", "since")
        .join(gone, on=["kind", "sha256"], how="inner")
        .filter(pl.col("seq") > pl.col("since"))
        .sort("row", "seq")
        .unique("row", keep="first", maintain_order=True)
        .select("row", pl.col("seq").alias("hop"), "replaced_by", pl.col("merged").alias("merging"))
    )
