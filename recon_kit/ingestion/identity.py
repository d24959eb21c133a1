"""Ids and keys of a declared table: normalised to join, raw beside them, lossy ones refused."""

from __future__ import annotations

import polars as pl

from recon_kit import model
from recon_kit.errors import SettingsError, nearest
from recon_kit.ingestion.amounts import MONEY, first_problem
from recon_kit.settings import Layout

KEYS: tuple[str, ...] = (
    "order_id", "sub_order_id", "transaction_id", "invoice_number", "payout_id", "parent_key",
    "click_id",
)  # fmt: skip
OUT: tuple[str, ...] = (
    "event_id", "derived_id", "native_id", "customer_id", "raw_keys", "external_ids",
    "raw_personal", *KEYS,
)  # fmt: skip
ID_PROBLEMS: dict[str, str] = {
    "id_lossy": "a spreadsheet has rounded an id (such as 1.23457E+15); export the file again",
}
# Published: the id of a row without a vendor's id is these fields, joined (of a group of lines: its
# type and `group_by`). Mutable fields are not among them, and amounts and times stand as they were
# understood, not as they were printed.
DERIVED_ID_FIELDS: tuple[str, ...] = (
    "event_type", "event_ts", "amount", "currency", "description", "order_id", "sub_order_id",
    "transaction_id", "invoice_number", "parent_key", "click_id", "customer_id",
)  # fmt: skip


def with_ids(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Columns of `OUT`; rows with a lossy id get the code `id_lossy`."""
    absent = [c for c in (*KEYS, "native_id", "customer_id") if c not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(c) for c in absent)
    named = [
        c
        for c in rows.columns
        if c in {*KEYS, "native_id", "customer_id", "event_id"}
        or c.startswith(("raw_keys.", "external_ids."))
    ]
    lossy = [
        (pl.when(pl.col(c).str.contains(model.LOSSY_ID)).then(pl.lit("id_lossy")), c) for c in named
    ]
    rows = first_problem(rows, lossy)
    rows = rows.with_columns(model.normal_key(pl.col(c)).alias(f"__{c}") for c in KEYS)
    rows = rows.with_columns(
        raw_keys=_raw_keys(rows, layout),
        external_ids=model.json_object(_declared(rows, "external_ids.")),
        raw_personal=model.json_object(
            {n: e for n, e in _declared(rows, "raw_keys.").items() if n in layout.personal}
        ),
    )
    rows = rows.with_columns(pl.col(f"__{c}").alias(c) for c in KEYS)
    return _event_ids(rows, layout)


def _declared(rows: pl.DataFrame, prefix: str) -> dict[str, pl.Expr]:
    return {c.removeprefix(prefix): pl.col(c) for c in rows.columns if c.startswith(prefix)}


def _raw_keys(rows: pl.DataFrame, layout: Layout) -> pl.Expr:
    """Declared raw keys, and the raw text of every key that normalising has changed."""
    changed = {
        c: pl.when(pl.col(c).ne_missing(pl.col(f"__{c}"))).then(pl.col(c))
        for c in KEYS
        if not rows.select(pl.col(c).eq_missing(pl.col(f"__{c}")).all()).item()
    }
    declared = {n: e for n, e in _declared(rows, "raw_keys.").items() if n not in layout.personal}
    return model.json_object({**changed, **declared})


def _event_ids(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    # A group of lines is known by what groups it: its sum may be restated.
    grouped = ("event_type", *layout.group_by) if layout.group_by else ()
    fields = layout.id_fields or grouped or DERIVED_ID_FIELDS
    derived = pl.concat_str([_id_text(rows, f) for f in fields], separator="\x1f")
    own = pl.col("event_id") if "event_id" in rows.columns else pl.col("native_id")
    if layout.id_fields:
        own = pl.lit(None, dtype=pl.String)
    return rows.with_columns(event_id=pl.coalesce(own, derived), derived_id=own.is_null())


def _id_text(rows: pl.DataFrame, field: str) -> pl.Expr:
    """One field of a derived id as text; null is empty, so that the fields keep their places."""
    if field == "event_ts":
        moment = pl.col("instant").struct["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
        text = pl.coalesce(moment, "raw_ts")
    elif field in MONEY or field in rows.columns:
        text = pl.col(field).cast(pl.String)
    elif field in model.MONEY_FACTS or field in model.PERSONAL_FACTS:
        text = pl.lit(None, dtype=pl.String)
    else:
        raise SettingsError(
            f"id_fields: no field is called {field!r}; {nearest(field, rows.columns)}"
        )
    return text.fill_null("")
