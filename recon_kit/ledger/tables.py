"""Tables of the catalog, once: their columns make the SQL, the frames and the links of the chain.

Every row carries the `seq` of the commit it came with. Nothing is ever updated; a current state is
read as the newest row. Times are whole microseconds since 1970 in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from recon_kit import model
from recon_kit.model import UTC

TEXT, INT, REAL, BOOL = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()


@dataclass(frozen=True, slots=True)
class Table:
    """One append-only table.

    `unique` is a tuple of columns that never repeat. Columns in `veiled` are free text that may
    name a person, or long: the chain of hashes carries only a keyed hash of them.
    """

    columns: dict[str, pl.DataType]
    unique: tuple[str, ...] = ()
    veiled: frozenset[str] = field(default_factory=frozenset)


def _table(
    columns: dict[str, pl.DataType], unique: tuple[str, ...] = (), veiled: tuple[str, ...] = ()
) -> Table:
    rest = {name: kind for name, kind in columns.items() if name != "seq"}
    return Table({"seq": INT, **rest}, unique, frozenset(veiled))


TABLES: dict[str, Table] = {
    # What was received and what became of it.
    "artefacts": _table({
        "sha256": TEXT, "source": TEXT, "name": TEXT, "bytes": INT, "received_at": UTC,
        "as_of": UTC, "covers_from": UTC, "covers_to": UTC,
    }, unique=("seq",)),
    "batches": _table({
        "source": TEXT, "artefact_sha256": TEXT, "file": TEXT, "feed": TEXT,
        "parser_version": TEXT, "mapping_version": TEXT, "physical": INT, "accepted": INT,
        "duplicate": INT, "conflict": INT, "quarantined": INT, "blank": INT, "events": INT,
        "warnings": TEXT, "recorded_at": UTC,
    }, unique=("source", "artefact_sha256", "parser_version", "mapping_version"),
       veiled=("warnings",)),
    # `restated`: rows whose event was told before with other content; `contested`: rows whose
    # business key another event bears; `named`: rows with a business key. Zero means that
    # reading needs no look at them.
    "segments": _table({
        "kind": TEXT, "sha256": TEXT, "source": TEXT, "run_id": TEXT, "rows": INT, "bytes": INT,
        "restated": INT, "contested": INT, "named": INT,
    }, unique=("seq", "kind", "sha256")),
    # Files that left the disk on purpose, and what is read in their place.
    "erasures": _table({
        "kind": TEXT, "sha256": TEXT, "replaced_by": TEXT, "rows": INT, "actor": TEXT,
        "reason": TEXT, "recorded_at": UTC,
    }, unique=("kind", "sha256"), veiled=("reason",)),
    # Received files that left raw/ after the days for which they are kept.
    "raw_drops": _table({
        "sha256": TEXT, "source": TEXT, "name": TEXT, "bytes": INT, "received_at": UTC,
        "days_min": INT, "actor": TEXT, "recorded_at": UTC,
    }, unique=("seq", "sha256")),
    # Small files whose rows are read from a merged one now; what is read stays the same.
    "compactions": _table({
        "kind": TEXT, "sha256": TEXT, "replaced_by": TEXT, "rows": INT, "recorded_at": UTC,
    }, unique=("seq", "kind", "sha256")),
    # What runs derived; `evaluated` says whether all was matched again, and else why not.
    "runs": _table({
        "run_id": TEXT, "reconciliation": TEXT, "kind": TEXT, "as_of_seq": INT,
        "as_of_time": UTC, "settings_hash": TEXT, "rules_hash": TEXT, "model_hash": TEXT,
        "code_hash": TEXT, "base_run_id": TEXT, "result_hash": TEXT, "recorded_at": UTC,
        "evaluated": TEXT,
    }, unique=("run_id",)),
    "current_run": _table({"reconciliation": TEXT, "run_id": TEXT}, unique=("seq",)),
    "models": _table(
        {"model_hash": TEXT, "reconciliation": TEXT, "json": TEXT},
        unique=("seq",), veiled=("json",),
    ),
    "sli_values": _table(
        {"run_id": TEXT, **model.SLI_SCHEMA}, veiled=("note",),
    ),
    # What people said and promised.
    "decisions": _table(model.DECISION_SCHEMA, unique=("seq",), veiled=("note",)),
    # A claim is the newest row of its subject; its sequence is its fencing token.
    "leases": _table({
        "subject": TEXT, "holder": TEXT, "action": TEXT, "expires_at": UTC, "recorded_at": UTC,
    }, unique=("subject", "seq")),
    # One row for each stratum of a draw (no event) with rate and frame, one for each drawn event.
    "audit_draws": _table({
        "reconciliation": TEXT, "draw_id": TEXT, "event_key": TEXT, "position": INT,
        "inclusion_probability": REAL, "as_of_seq": INT, "recorded_at": UTC, "run_id": TEXT,
        "model_hash": TEXT, "stratum": TEXT, "frame_size": INT, "deadline": UTC,
    }, unique=("seq",)),
    "rules": _table({
        "reconciliation": TEXT, "content_hash": TEXT, "json": TEXT, "author": TEXT,
        "expires_at": UTC, "recorded_at": UTC,
    }, unique=("seq",), veiled=("json",)),
    "certificates": _table({
        "certificate_id": TEXT, "reconciliation": TEXT, "method": TEXT, "model_hash": TEXT,
        "threshold": REAL, "margin": REAL, "fmr_max": REAL, "confidence": REAL, "labels": INT,
        "json": TEXT, "expires_at": UTC, "recorded_at": UTC,
    }, unique=("seq",), veiled=("json",)),
    # `share`: put in force for so many of all components only; null is all of them.
    "approvals": _table({
        "content_hash": TEXT, "kind": TEXT, "approver": TEXT, "role": TEXT, "verdict": TEXT,
        "note": TEXT, "recorded_at": UTC, "share": REAL,
    }, unique=("seq",), veiled=("note",)),
    "case_entries": _table({
        "case_id": TEXT, "entry": TEXT, "actor": TEXT, "reason_code": TEXT, "note": TEXT,
        "json": TEXT, "effective_at": UTC, "recorded_at": UTC,
    }, unique=("seq",), veiled=("note", "json")),
    # Who asked to see personal fields in full, of which events (a JSON list), and why.
    "disclosures": _table({
        "reconciliation": TEXT, "event_keys": TEXT, "actor": TEXT, "reason": TEXT,
        "recorded_at": UTC,
    }, unique=("seq",), veiled=("reason",)),
    "gate_results": _table({
        "gate": TEXT, "answer": TEXT, "reason": TEXT, "release": TEXT, "as_of_seq": INT,
        "recorded_at": UTC,
    }, unique=("seq",), veiled=("reason", "release")),
}  # fmt: skip
# Tables that `Store.append` may write: one row is one commit of its own.
SAID: tuple[str, ...] = (
    "decisions", "audit_draws", "rules", "certificates", "approvals", "case_entries",
    "gate_results", "disclosures",
)  # fmt: skip
