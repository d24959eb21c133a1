"""Where did it go: one received file, from its records to where their events stand today."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recon_kit import money
from recon_kit.errors import WorkspaceError
from recon_kit.ingestion import trace
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.store import Store
from recon_kit.model import Counts
from recon_kit.present.rows import RowsView

_PREFIX_MIN = 6

_STANDING = """
    with stands as (
        select mm.event_key, m.reconciliation,
            case mm.role when 'duplicate' then 'duplicate of a matched event'
                 else 'matched (' || m.method || ', ' || m.disposition || ')' end as what
        from match_members mm join matches m using (match_id, run_id)
        union all
        select event_key, reconciliation, replace(state, '_', ' ') from open_items
        where match_id is null
    )
    select event_key, string_agg(reconciliation || ': ' || what, '; '
        order by reconciliation, what) as now
    from stands group by event_key
"""


def find_batch(store: Store, artefact: str) -> dict[str, object] | None:
    """The newest batch of a received file; none where no received file is meant.

    Args:
        store: the workspace's ledger.
        artefact: the first six or more digits of its sha256, its name, or the path of a copy.

    Raises:
        WorkspaceError: several are meant.
    """
    batches = store.batches()
    digest = _digest_of(Path(artefact))
    named = batches.filter(
        (pl.col("artefact_sha256") == digest)
        if digest
        else (pl.col("file") == artefact)
        | (
            pl.col("artefact_sha256").str.starts_with(artefact.lower())
            & pl.lit(len(artefact) >= _PREFIX_MIN)
        )
    ).sort("seq")
    if named.is_empty():
        return None
    hashes = named["artefact_sha256"].unique(maintain_order=True).to_list()
    if len(hashes) > 1:
        listed = ", ".join(h[:12] for h in hashes[-5:])
        raise WorkspaceError(
            f"{len(hashes)} received files are called {artefact!r}; name one by its sha256: "
            f"{listed}"
        )
    return named.row(-1, named=True)


def view(engine: Engine, batch: dict[str, object], runs: Sequence[str]) -> RowsView:
    """The records of a batch with their end states, and sentences that tie them to its receipt."""
    counts = {name: int(str(batch[name])) for name in Counts.__slots__}
    found = trace.trace(engine, counts)
    frame = found.records
    if runs:
        frame = frame.join(engine.rows(_STANDING), on="event_key", how="left").sort(
            "record_row", "state", "event_key", "code", "note", nulls_last=True
        )
    file, sha = str(batch["file"]), str(batch["artefact_sha256"])
    return RowsView(
        f"{file} ({batch['source']}, sha256 {sha[:12]})",
        _shown(frame),
        (_counted(counts), *_sums(found.totals)),
    )


def _digest_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """Amounts as decimal text in their currency."""
    amount = money.text_expr(pl.col("amount_minor"), pl.col("currency"))
    told = frame.with_columns((amount + " " + pl.col("currency")).alias("amount"))
    empty = [c for c in ("code", "note", "now") if c in told.columns and not told[c].count()]
    return told.drop("amount_minor", "currency", *empty)


def _counted(counts: dict[str, int]) -> str:
    parts = [f"{counts[name]:,} {name}" for name in Counts.__slots__[1:]]
    return f"{counts['physical']:,} records = {' + '.join(parts)}."


def _sums(totals: pl.DataFrame) -> list[str]:
    """Money by state and currency; nothing where the state tells no amount."""
    return [
        f"{row['state']}: {row['tellings']:,} telling{'s' * (row['tellings'] != 1)}, "
        f"{money.to_text(row['amount_minor'], row['currency'])} {row['currency']}"
        for row in totals.filter(pl.col("currency").is_not_null()).iter_rows(named=True)
    ]
