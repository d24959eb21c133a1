"""Small files of events for the tests of the ledger."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.store import BatchDraft, Store

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MUTABLE = ("status", "payout_id")
NO_QUARANTINE = pl.DataFrame(schema=model.QUARANTINE_SCHEMA)


def new_store(folder: Path) -> Store:
    """An empty store."""
    return Store.create(folder / "store", created_at=T0)


def complete(rows, schema):
    """Rows of a few fields as a frame in all columns of a schema."""
    frame = pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame()
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
        if name not in frame.columns
    ).select(pl.col(name).cast(kind) for name, kind in schema.items())


def told(rows, path):
    """A parquet file in the columns of TOLD from rows that name only what matters."""
    full = [
        {"event_type": "payment", "records": 1, "derived_id": False, "record_row": number} | row
        for number, row in enumerate(rows, 1)
    ]
    frame = complete(full, model.TOLD) if full else pl.DataFrame(schema=model.TOLD)
    frame.write_parquet(path)
    return path


def draft(store, rows, *, source="shop", received_at=T0, as_of=None, folder=None, **changes):
    """Receive a file with these rows and draft its batch; `changes` replace fields of the draft."""
    text = repr((source, rows, as_of, received_at)).encode()
    name = hashlib.sha256(text).hexdigest()[:12]
    folder = folder or store.path.parent
    file = folder / f"{name}.csv"
    file.write_bytes(text)
    artefact = store.receive(file, source=source, received_at=received_at, as_of=as_of)
    fields = {
        "artefact": artefact,
        "feed": "test",
        "parser_version": "1",
        "mapping_version": "m1",
        "mutable": MUTABLE,
        "told": (told(rows, folder / f"{name}.parquet"),),
        "quarantine": NO_QUARANTINE,
        "physical": sum(row.get("records", 1) for row in rows),
    }
    return BatchDraft(**(fields | changes))


def ingest(store, rows, **options):
    """Receive and commit a file with these rows."""
    return store.commit_batch(draft(store, rows, **options))


def read(store, query, *, as_of_seq=None, **options):
    """A query's rows over a snapshot."""
    with store.snapshot(as_of_seq).engine(**options) as engine:
        return engine.rows(query)
