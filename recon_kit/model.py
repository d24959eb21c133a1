"""The words of the product as schemas, frozen records and ids.

Every table that leaves a room has its columns named here, once. Frames are polars with exactly
these types; the same names are the columns of the DuckDB views that `ledger.engine` offers.

Ids are content hashes, so that the same files give the same ids on any machine, in any order:
`event_key` by source and vendor id, `match_id` by reconciliation and members, `run_id` by inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import polars as pl

EventType = Literal[
    "order", "payment", "refund", "fee", "chargeback", "payout", "bank_line", "conversion",
    "invoice", "shipment", "lead", "booking", "adjustment", "reserve", "transfer",
    "fx_rate", "other",
]  # fmt: skip
EVENT_TYPES: tuple[str, ...] = EventType.__args__  # type: ignore[attr-defined]

UTC = pl.Datetime("us", "UTC")

# --- What a feed tells: one row per event, before the ledger adds identity --------------------
# Amounts are int64 minor units. `raw_keys` and `external_ids` are JSON objects as text with keys
# in alphabetical order and no nulls, or null. `record_row` is the 1-based data row of the file
# (header and preamble not counted) on which the event starts; `records` how many physical rows it
# accounts for (2 or more for line items, 0 for an event derived from another row).
MONEY_FACTS: dict[str, pl.DataType] = {
    "event_id": pl.String(), "event_type": pl.String(), "native_id": pl.String(),
    "business_key": pl.String(), "order_id": pl.String(), "sub_order_id": pl.String(),
    "transaction_id": pl.String(), "invoice_number": pl.String(), "payout_id": pl.String(),
    "parent_key": pl.String(), "click_id": pl.String(), "raw_keys": pl.String(),
    "external_ids": pl.String(), "amount": pl.Int64(), "fee": pl.Int64(), "net": pl.Int64(),
    "refunded_amount": pl.Int64(), "currency": pl.String(), "presentment_amount": pl.Int64(),
    "presentment_currency": pl.String(), "status": pl.String(), "payment_method": pl.String(),
    "description": pl.String(), "event_ts": UTC, "raw_ts": pl.String(), "tz_source": pl.String(),
    "ts_precision": pl.String(), "available_on": pl.Date(), "channel": pl.String(),
    "partner_id": pl.String(), "customer_id": pl.String(), "trace_id": pl.String(),
    "test": pl.Boolean(),
}  # fmt: skip
PERSONAL_FACTS: dict[str, pl.DataType] = {
    "customer_name": pl.String(), "email": pl.String(), "phone": pl.String(),
    "address": pl.String(), "postcode": pl.String(), "raw_personal": pl.String(),
}  # fmt: skip
TOLD: dict[str, pl.DataType] = {
    **MONEY_FACTS, **PERSONAL_FACTS, "told_at": UTC, "derived_id": pl.Boolean(),
    "record_row": pl.Int64(), "records": pl.Int64(),
}  # fmt: skip

# --- What the ledger keeps ---------------------------------------------------------------------
PROVENANCE: dict[str, pl.DataType] = {
    "artefact_sha256": pl.String(), "record_row": pl.Int64(), "parser_version": pl.String(),
}  # fmt: skip
EVENT_SCHEMA: dict[str, pl.DataType] = {
    "event_key": pl.String(), "version_order": pl.String(), "payload_hash": pl.String(),
    "source": pl.String(), **MONEY_FACTS, **PROVENANCE, "recorded_seq": pl.Int64(),
    # bookkeeping of the store, outside every result hash: hash of the immutable fields, physical
    # rows, derived id, an earlier telling was known, that telling differed where it must not
    "fixed_hash": pl.String(), "records": pl.Int64(), "derived_id": pl.Boolean(),
    "restated": pl.Boolean(), "conflict": pl.Boolean(),
}  # fmt: skip
WHO_SCHEMA: dict[str, pl.DataType] = {
    "event_key": pl.String(), "payload_hash": pl.String(), **PERSONAL_FACTS,
}  # fmt: skip
KEYS_SCHEMA: dict[str, pl.DataType] = {
    "key_hash": pl.UInt64(), "kind": pl.String(), "key": pl.String(), "event_key": pl.String(),
}  # fmt: skip
QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "artefact_sha256": pl.String(), "source": pl.String(), "record_row": pl.Int64(),
    "records": pl.Int64(), "code": pl.String(), "column": pl.String(), "message": pl.String(),
    "raw_line": pl.String(),
}  # fmt: skip

# --- What a run derives ------------------------------------------------------------------------
RUN_TABLES: dict[str, dict[str, pl.DataType]] = {
    "matches": {
        "match_id": pl.String(), "reconciliation": pl.String(), "method": pl.String(),
        "disposition": pl.String(), "confidence": pl.Float64(), "margin": pl.Float64(),
        "left_sum": pl.Int64(), "right_sum": pl.Int64(), "currency": pl.String(),
        "residual_minor": pl.Int64(), "discrepancies": pl.String(), "rule_id": pl.String(),
        "model_hash": pl.String(), "certificate_id": pl.String(), "inputs_hash": pl.String(),
    },
    "match_members": {
        "match_id": pl.String(), "event_key": pl.String(), "side": pl.String(),
        "role": pl.String(), "counts": pl.Boolean(), "allocated_minor": pl.Int64(),
        "key_used": pl.String(), "parent": pl.String(),
    },
    "pair_evidence": {
        "match_id": pl.String(), "left_key": pl.String(), "right_key": pl.String(),
        "weight": pl.Float64(), "levels": pl.String(), "weights": pl.String(),
        "rival_key": pl.String(), "rival_weight": pl.Float64(), "equal_answers": pl.Int64(),
    },
    "proposals": {
        "match_id": pl.String(), "reconciliation": pl.String(), "method": pl.String(),
        "confidence": pl.Float64(), "margin": pl.Float64(), "left_key": pl.String(),
        "right_key": pl.String(), "currency": pl.String(), "left_amount": pl.Int64(),
        "right_amount": pl.Int64(), "why_code": pl.String(), "model_hash": pl.String(),
    },
    "open_items": {
        "item_id": pl.String(), "reconciliation": pl.String(), "event_key": pl.String(),
        "match_id": pl.String(), "side": pl.String(), "state": pl.String(),
        "expected_by": UTC, "nearest_key": pl.String(), "why_code": pl.String(),
        "why": pl.String(), "amount_minor": pl.Int64(), "currency": pl.String(),
    },
    "findings": {
        "case_id": pl.String(), "reconciliation": pl.String(), "anchor_key": pl.String(),
        "opening": pl.Int64(), "kind": pl.String(), "class": pl.String(), "severity": pl.String(),
        "priority": pl.String(), "subjects": pl.String(), "diffs": pl.String(),
        "amount_minor": pl.Int64(), "currency": pl.String(), "owner": pl.String(),
        "opened_at": UTC, "suggested_action": pl.String(),
    },
    # Events that a canary judged, with the component they stand in; `certificate_id` is the hash
    # of what is on trial there: a certificate, a model or a rule.
    "canary_events": {
        "event_key": pl.String(), "reconciliation": pl.String(), "side": pl.String(),
        "method": pl.String(), "certificate_id": pl.String(), "component": pl.String(),
    },
}  # fmt: skip
# Tables that runs of an earlier version did not have: without a row they leave no trace in a
# result hash, so that old hashes still hold.
LATER_TABLES: tuple[str, ...] = ("canary_events",)
# Tables whose rows may stand in a run as an earlier one made them; both know rows by `match_id`.
CARRIED_TABLES: tuple[str, ...] = ("matches", "match_members")
# What a run changed against its base, by table and by the first column of the table's rows;
# `change` is added, changed or withdrawn; one row (`base`) says that the run is kept so.
RUN_CHANGES: dict[str, pl.DataType] = {
    "base_run_id": pl.String(),
    "table_name": pl.String(),
    "row_id": pl.String(),
    "change": pl.String(),
}
SLI_SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(), "reconciliation": pl.String(), "cohort": pl.String(),
    "currency": pl.String(), "value": pl.Float64(), "numerator": pl.Int64(),
    "denominator": pl.Int64(), "unit": pl.String(), "state": pl.String(), "note": pl.String(),
}  # fmt: skip
METHODS: tuple[str, ...] = (
    "decided", "exact", "learned", "window", "grouped", "probable", "decomposed",
)  # fmt: skip
ROLES: tuple[str, ...] = ("principal", "part", "refund", "chargeback", "fee", "duplicate")
DISPOSITIONS: tuple[str, ...] = ("auto", "review", "confirmed")
# Columns of the long run tables that hold one of a few words each.
FEW_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "matches": {"method": METHODS, "disposition": DISPOSITIONS},
    "match_members": {"side": ("left", "right"), "role": ROLES},
}
OPEN_STATES: tuple[str, ...] = ("in_flight", "not_covered", "overdue", "proposed")

# --- What people say ---------------------------------------------------------------------------
DECISION_SCHEMA: dict[str, pl.DataType] = {
    "seq": pl.Int64(), "reconciliation": pl.String(), "left_key": pl.String(),
    "right_key": pl.String(), "verdict": pl.String(), "bundle_id": pl.String(),
    "reason_code": pl.String(), "note": pl.String(), "reviewer": pl.String(),
    "recorded_at": UTC, "effective_at": UTC, "stream": pl.String(),
    "inclusion_probability": pl.Float64(), "score_shown": pl.Boolean(),
    "evidence_hash": pl.String(), "lease_token": pl.Int64(), "undoes": pl.Int64(),
}  # fmt: skip
VERDICTS: tuple[str, ...] = (
    "same", "not_same", "unsure", "no_counterpart", "accept_residual", "write_off",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A trained probabilistic model: JSON text, known by the sha256 of exactly that text."""

    model_hash: str
    reconciliation: str
    json: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A dated promise of how many of a method's matches are wrong at most.

    From `threshold` and `margin` on it is `fmr_max` with probability `confidence`, proven by
    `labels` labels of the audit sample. It holds for one `model_hash`: of the model that scores,
    or, for a method without one, of the settings that shape it
    (`matching.authority.method_hash`). `voided` says why it holds no more. A `share` under 1 makes
    it a canary: it acts on that share of components, beside what is in force for the others.
    """

    certificate_id: str
    reconciliation: str
    method: str
    model_hash: str
    threshold: float
    margin: float
    fmr_max: float
    confidence: float
    labels: int
    expires_at: datetime
    voided: str | None = None
    share: float = 1.0

    @property
    def canary(self) -> bool:
        """Whether it acts on a share of components alone."""
        return self.share < 1


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation of one reconciliation; `run_id` is the hash of everything it depends on.

    `evaluated` tells how many events a late day matched again, or why all of them were.
    """

    run_id: str
    reconciliation: str
    kind: Literal["live", "shadow", "replay"]
    as_of_seq: int
    as_of_time: datetime
    settings_hash: str
    rules_hash: str
    model_hash: str | None
    code_hash: str
    base_run_id: str | None = None
    result_hash: str | None = None
    evaluated: str | None = None


@dataclass(frozen=True, slots=True)
class Artefact:
    """One received file, byte for byte. `covers_*` bound the event times it tells about."""

    sha256: str
    source: str
    name: str
    bytes: int
    received_at: datetime
    as_of: datetime
    covers_from: datetime | None = None
    covers_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the physical records of one file went. They must add up before anything commits."""

    physical: int
    accepted: int
    duplicate: int
    conflict: int
    quarantined: int
    blank: int

    @property
    def tie(self) -> bool:
        """Whether every physical record has exactly one end state."""
        went = self.accepted + self.duplicate + self.conflict + self.quarantined + self.blank
        return self.physical == went and min(self.as_tuple()) >= 0

    def as_tuple(self) -> tuple[int, int, int, int, int, int]:
        """The six counts in the order in which they are stored."""
        return (
            self.physical, self.accepted, self.duplicate,
            self.conflict, self.quarantined, self.blank,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one ingested file."""

    source: str
    file: str
    artefact_sha256: str
    batch_seq: int
    counts: Counts
    events: int
    already_known: bool = False
    warnings: tuple[str, ...] = ()


def digest(*parts: str | None, length: int = 32) -> str:
    """First `length` hex digits of the sha256 over parts, each ended by a unit separator.

    A null part differs from an empty one (it is written as NUL). The SQL twin is `digest_sql`.
    """
    text = "".join(("\x00" if part is None else part) + "\x1f" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_sql(*expressions: str, length: int = 32) -> str:
    """DuckDB expression equal to `digest` over text expressions (cast them to varchar first)."""
    return f"left(sha256({digested_sql(*expressions)}), {length})"


def digested_sql(*expressions: str) -> str:
    """DuckDB expression of the text that `digest` hashes, over text expressions."""
    # One `concat` builds the text once; `||` would build it anew at every part.
    parts = ", ".join(f"coalesce({e}, chr(0)), chr(31)" for e in expressions)
    return f"concat({parts})"


def event_key(source: str, event_id: str) -> str:
    """Identity of an event: the source's name and the vendor's (or derived) id."""
    return digest(source, event_id)


# A pair is called by what it is made of: the ends of its two keys, then its reconciliation. Keys
# are digests themselves; hashing them once more would cost six times as much. Their ends, since
# people call events by the beginnings.
_RECONCILIATION_DIGITS, _KEY_DIGITS = 8, 12


def match_id(reconciliation: str, member_keys: Iterable[str]) -> str:
    """Identity of a match: who is in it, regardless of how it was found.

    A pair has the ends of its two keys, the smaller key first, and the beginning of its
    reconciliation's digest; a larger match has the digest of all. The SQL twins are `pair_id_sql`
    and `members_id_sql`.
    """
    keys = sorted(member_keys)
    if len(keys) != 2:
        return digest(reconciliation, *keys)
    ends = "".join(key[-_KEY_DIGITS:] for key in keys)
    return ends + digest(reconciliation, length=_RECONCILIATION_DIGITS)


def pair_id_sql(reconciliation: str, one: str = "left_key", other: str = "right_key") -> str:
    """DuckDB expression equal to `match_id` of a pair, over text expressions."""
    # a plain comparison costs half of `least` and `greatest`, a part of a text half of its `right`
    smaller = f"substring(case when {one} < {other} then {one} else {other} end, -{_KEY_DIGITS})"
    greater = f"substring(case when {one} < {other} then {other} else {one} end, -{_KEY_DIGITS})"
    return (
        f"concat({smaller}, {greater}, {digest_sql(reconciliation, length=_RECONCILIATION_DIGITS)})"
    )


def members_id_sql(reconciliation: str, member_keys: str) -> str:
    """DuckDB expression equal to `match_id`, over a list of keys in order."""
    listed = f"concat({reconciliation}, chr(31), array_to_string({member_keys}, chr(31)), chr(31))"
    pair = pair_id_sql(reconciliation, f"{member_keys}[1]", f"{member_keys}[2]")
    return f"case when len({member_keys}) = 2 then {pair} else left(sha256({listed}), 32) end"


# Spellings of "there is no id". They never join with one another.
NULL_KEYS: tuple[str, ...] = (
    "", "-", "--", "0", "00", "000", "0000", "n/a", "na", "nan", "nil", "none", "null", "undefined",
    "(null)", "#n/a", "n.a.", "?", ".", "unknown", "(blank)",
)  # fmt: skip
_INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"


def normal_key(raw: pl.Expr) -> pl.Expr:
    """One spelling for ids that mean the same: `#1001`, `'1001` and ` 1001 ` become `1001`.

    Unicode is folded to NFKC, invisible characters go, case and leading zeros stay (`pi_1aB` and
    `pi_1Ab` are two payments; `000123` is not `123`). Null-like spellings become null.
    """
    key = (
        raw.str.normalize("NFKC")
        .str.replace_all(_INVISIBLE, "")
        .str.strip_chars()
        .str.strip_prefix("'")
        .str.strip_prefix("#")
        .str.strip_chars()
    )
    return pl.when(key.str.to_lowercase().is_in(list(NULL_KEYS))).then(None).otherwise(key)


# An id that a spreadsheet has rounded cannot be repaired: `1.23457E+15`, `92598312.0`.
LOSSY_ID = r"^[0-9]+(\.[0-9]+)?[eE]\+?[0-9]+$|^[0-9]{6,}\.0$"


def json_object(fields: dict[str, pl.Expr]) -> pl.Expr:
    """A JSON object as text from named text columns: keys sorted, nulls left out, null if empty."""
    if not fields:
        return pl.lit(None, dtype=pl.String)
    members = [
        pl.when(fields[name].is_not_null())
        .then(
            pl.struct(fields[name].cast(pl.String).alias(name))
            .struct.json_encode()
            .str.slice(1)
            .str.head(-1)
        )
        .otherwise(None)
        for name in sorted(fields)
    ]
    body = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.when(body == "").then(None).otherwise(pl.lit("{") + body + pl.lit("}"))
