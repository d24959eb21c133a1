"""Whose events: a person found by address or by ids, without ever showing a personal field."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.ledger.erase import Erased

_SHOWN = "event_key, source, event_type, native_id, event_ts, ts_precision"

_BY_HAND = (
    "Descriptions, notes of decisions, exports and rendered reports may still name the person; "
    "look through those by hand."
)


def events_of(engine: Engine, ids: Sequence[str], email: str | None) -> pl.DataFrame:
    """Events that carry one of the ids, or of which any telling holds the address.

    Args:
        engine: of a snapshot.
        ids: order, transaction, customer or native ids, or event keys.
        email: an address, compared without case and spaces around it.

    Returns:
        event_key, source, event_type, native_id, event_ts, ts_precision; by event key.
    """
    handles = "event_key, native_id, order_id, transaction_id, customer_id"
    return engine.rows(
        f"""
        select {_SHOWN} from events
        where event_key in (
            select event_key from (
                select event_key, unnest([{handles}]) as handle from event_versions)
            where handle in (select unnest(?::varchar[]))
            union
            select event_key from who_told where lower(trim(email)) = lower(trim(?::varchar)))
        order by event_key""",
        [[one.removeprefix("#") for one in ids] + list(ids), email],
    )


def preview_sentence(events: int) -> str:
    """What an erasure would do."""
    return (
        f"{events:,} event{'s' * (events != 1)} would lose the personal fields, and every received "
        "file that told one would leave raw/; amounts, keys and results stay. Add --confirm to do "
        "it."
    )


def erased_sentences(done: Erased) -> list[str]:
    """What left the disk, in sentences."""
    told = f"{_counted(done.rows, 'telling')} of {_counted(done.events, 'event')}"
    return [
        f"{told} lost the personal fields.",
        f"{_counted(len(done.raw), 'received file')} left raw/ and can no longer be replayed.",
        f"{_counted(done.lines, 'raw line')} of quarantined rows blanked.",
        _BY_HAND,
    ]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
