"""Give identity to what a feed told: keys, hashes and the order of versions, in SQL.

| column | meaning |
| --- | --- |
| `event_key` | first half of sha256 over source and event id |
| `payload_hash` | the same over source, event id and every told field: one telling's content |
| `fixed_hash` | the same without the feed's mutable fields and without personal ones |
| `version_order` | text that sorts as (told at, else the file's as-of; received at; file; row) |

An id that the feed derived from a row's fields may repeat within a file: two equal lines are two
movements. Its ordinal among equal ids of the same file becomes part of the id. Times enter every
hash as microseconds, so that no session's zone matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.errors import LedgerError, nearest
from recon_kit.ledger.catalog import micros
from recon_kit.ledger.engine import Engine, Step
from recon_kit.model import Artefact
from recon_kit.safe import quote_ident, quote_text

_PAYLOAD = {**model.MONEY_FACTS, **model.PERSONAL_FACTS}
# Microseconds from year 1 to 1970, so that earlier times keep their order as text.
_SHIFT = 62_135_596_800_000_000


def parquet_list(paths: Sequence[Path]) -> str:
    """A `read_parquet` call over exact files."""
    return "read_parquet([" + ", ".join(quote_text(str(p)) for p in paths) + "])"


def seal(
    engine: Engine,
    told: Sequence[Path],
    artefact: Artefact,
    *,
    mutable: Sequence[str],
    parser_version: str,
) -> None:
    """Make table `sealed`: told rows with identity, in no particular order.

    Args:
        engine: an engine that may read `told`.
        told: parquet files in the columns of `model.TOLD`.
        artefact: the file that told them.
        mutable: fields that a later telling may change without being a conflict.
        parser_version: version of the feed that read the file.

    Raises:
        LedgerError: a row lacks its id, type, row number or count, or `mutable` names no field.
    """
    for name in mutable:
        if name not in _PAYLOAD:
            raise LedgerError(f"no field is called {name!r}; {nearest(name, _PAYLOAD)}")
    columns = ", ".join(quote_ident(c) for c in model.TOLD)
    if told:
        rows = f"select {columns}, file_index, file_row_number from {parquet_list(told)}"
    else:
        engine.put("nothing_told", pl.DataFrame(schema=model.TOLD))
        rows = f"select {columns}, 0 as file_index, 0 as file_row_number from nothing_told"
    engine.run(Step("told", f"create temp view told as {rows}", "the rows as the feed told them"))
    _refuse_incomplete(engine)
    fixed = [c for c in model.MONEY_FACTS if c not in mutable]
    engine.run(
        *_occurrences(fixed, artefact.source),
        Step(
            "sealed",
            _sealed_sql(artefact, fixed, parser_version),
            "each row with its key, the hashes of its content and its place among versions",
        ),
    )


def _refuse_incomplete(engine: Engine) -> None:
    needed = ("event_id", "event_type", "record_row", "records", "derived_id")
    for name in needed:
        bad = engine.rows(
            f"select count(*) as rows, min(record_row) as first from told "
            f"where {quote_ident(name)} is null"
        ).row(0)
        if bad[0]:
            raise LedgerError(
                f"row {bad[1]}: {name} is null (in {bad[0]} events); the feed must fill it or "
                "quarantine the row."
            )


def _occurrences(fixed: Sequence[str], source: str) -> tuple[Step, ...]:
    """Ordinals of derived ids that repeat within the file; all others are the first."""
    return (
        Step(
            "repeated_ids",
            "create temp table repeated_ids as select event_id from told where derived_id "
            "group by event_id having count(*) > 1",
            "derived ids that several rows of this file share",
        ),
        Step(
            "occurrences",
            f"""
            create temp table occurrences as
            select file_index, file_row_number,
                row_number() over (
                    partition by event_id
                    order by {_digest(fixed, source)}, record_row, file_index, file_row_number
                ) as occurrence
            from told where derived_id and event_id in (from repeated_ids)""",
            "by content first, so that a file in the other direction gives the same ordinals",
        ),
    )


def _sealed_sql(artefact: Artefact, fixed: Sequence[str], parser_version: str) -> str:
    source, sha = artefact.source, artefact.sha256
    told_us = f"coalesce(epoch_us(told_at), {micros(artefact.as_of)}) + {_SHIFT}"
    received = str(micros(artefact.received_at) + _SHIFT).zfill(18)
    order = (
        f"concat(lpad(cast({told_us} as varchar), 18, '0'), '.{received}.{sha[:16]}.', "
        "lpad(cast(record_row as varchar), 10, '0'))"
    )
    carried = [c for c in model.TOLD if c not in {"event_id", "told_at"}]
    names = ", ".join(quote_ident(c) for c in carried)
    return f"""
        create temp table sealed as
        with identified as (
            select * exclude (event_id),
                case when derived_id
                     then concat(event_id, chr(31), cast(coalesce(occurrence, 1) as varchar))
                     else event_id end as event_id
            from told left join occurrences using (file_index, file_row_number)
        )
        select {model.digest_sql(quote_text(source), "event_id")} as event_key,
            {order} as version_order,
            {_digest(list(_PAYLOAD), source)} as payload_hash,
            {_digest(fixed, source)} as fixed_hash,
            {quote_text(source)} as source, event_id, {names},
            {quote_text(sha)} as artefact_sha256,
            {quote_text(parser_version)} as parser_version
        from identified"""


def _digest(fields: Sequence[str], source: str) -> str:
    """The SQL of `model.digest` over the source and fields, as one concatenation."""
    parts = [f"{quote_text(source)}, chr(31)"]
    for name in fields:
        kind, column = _PAYLOAD[name], quote_ident(name)
        if isinstance(kind, pl.Datetime):
            column = f"epoch_us({column})"
        text = column if isinstance(kind, pl.String) else f"cast({column} as varchar)"
        parts.append(f"coalesce({text}, chr(0)), chr(31)")
    return f"left(sha256(concat({', '.join(parts)})), 32)"
