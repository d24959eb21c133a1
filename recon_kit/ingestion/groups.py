"""Line items put together: several rows of a file that tell one event.

Fields told once may stand on the first line only, or on all; where two lines differ, the whole
group is a problem, for then nobody knows which line is right. Amounts in `sum` are added exactly.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ingestion.amounts import MONEY, first_problem
from recon_kit.ingestion.feed import ROW
from recon_kit.settings import Layout

_PER_LINE = ("debit", "credit", "direction", "flipped", "code", "column", "records", ROW)
_INT64_MAX = 2**63 - 1


def with_group_keys(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Columns that say which group a line belongs to; a blank key continues the line above.

    Type and currency of a line that leaves them blank are those of its group, as money cannot be
    read without them.
    """
    if not layout.group_by:
        return rows
    keys = _keys(layout)
    rows = rows.with_columns(
        pl.col(name).forward_fill().alias(key)
        for name, key in zip(layout.group_by, keys, strict=True)
    )
    return rows.with_columns(
        pl.coalesce(c, pl.col(c).drop_nulls().first().over(keys)).alias(c)
        for c in ("event_type", "currency", "presentment_currency")
        if c in rows.columns
    )


def _keys(layout: Layout) -> list[str]:
    return [f"__group_{i}" for i in range(len(layout.group_by))]


def put_together(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """One row per group of `layout.group_by`, in the order of the first lines.

    `records` counts the lines of the group.
    """
    keys = _keys(layout)
    summed = [m for m in layout.sum if m in MONEY and m in rows.columns]
    once = [c for c in rows.columns if c not in {*_PER_LINE, *summed, *keys}]
    grouped = rows.group_by(keys, maintain_order=True).agg(
        pl.col(ROW).min(),
        pl.col("records").sum(),
        pl.col("flipped").any(),
        pl.col("code").drop_nulls().first(),
        pl.col("column").drop_nulls().first(),
        *(pl.col(c).drop_nulls().first() for c in once),
        *(
            pl.when(pl.col(m).count() > 0).then(pl.col(m).cast(pl.Int128).sum()).alias(m)
            for m in summed
        ),
        *(pl.col(c).drop_nulls().n_unique().alias(f"__kinds_{c}") for c in once),
    )
    checks = [
        (pl.when(pl.col(f"__kinds_{c}") > 1).then(pl.lit("group_differs")), c) for c in once
    ] + [(pl.when(pl.col(m).abs() > _INT64_MAX).then(pl.lit("group_overflow")), m) for m in summed]
    together = first_problem(grouped, checks)
    return together.with_columns(pl.col(m).cast(pl.Int64, strict=False) for m in summed).drop(
        [*keys, *(f"__kinds_{c}" for c in once)]
    )
