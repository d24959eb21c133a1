"""Lists in which several rows tell one order or invoice: its lines belong together."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from recon_kit.ingestion.toml_block import quoted

# By what the rows of such a list belong together, best first.
_KEYS: dict[str, tuple[str, ...]] = {
    "order": ("order_id", "native_id"),
    "invoice": ("invoice_number", "native_id"),
}
_MONEY = ("amount", "fee", "net", "debit", "credit")
_ALIKE = ("event_ts", "currency")  # of the rows of one order or invoice


def grouping(
    kind: str, chosen: Mapping[str, str], rows: pl.DataFrame
) -> tuple[dict[str, str], list[str]]:
    """Fields without those that differ from line to line, and the settings that group the lines.

    An amount that all lines of each group repeat is told once; else the lines' amounts are added.

    Args:
        kind: what a row of the list is thought to be.
        chosen: field to column.
        rows: the first rows of the file.

    Returns:
        The fields as they were and no lines, where no two rows tell one order or invoice.
    """
    field = next((f for f in _KEYS.get(kind, ()) if chosen.get(f) in rows.columns), None)
    if field is None or not {chosen[f] for f in chosen} <= set(rows.columns):
        return dict(chosen), []
    named = rows.filter(_text(chosen[field]).is_not_null())
    groups = named.group_by(_text(chosen[field]).alias("__key")).agg(
        pl.len().alias("__rows"),
        *(_text(column).drop_nulls().n_unique().alias(f) for f, column in chosen.items()),
    )
    several = groups.filter(pl.col("__rows") > 1)
    differ = {f for f in chosen if bool((several[f] > 1).any())}
    if several.is_empty() or differ & set(_ALIKE):
        return dict(chosen), []
    lines = [
        f"group_by = [{quoted(field)}]  # rows that share {chosen[field]!r} are lines of one {kind}"
    ]
    if "amount" in chosen and "amount" not in differ:
        lines.append(f"sum = []  # each line repeats {chosen['amount']!r} of the whole: told once")
    else:
        lines.append("# the amounts of the lines are added up: check that none is a total")
    return {f: c for f, c in chosen.items() if f in _MONEY or f not in differ}, lines


def _text(column: str) -> pl.Expr:
    text = pl.col(column).cast(pl.String).str.strip_chars()
    return pl.when(text.str.len_chars() > 0).then(text)
