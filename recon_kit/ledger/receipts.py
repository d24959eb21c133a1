"""When an event was first heard of: with which received file, whatever was told of it later."""

from __future__ import annotations

from recon_kit.ledger.engine import Step


def receipts_step() -> Step:
    """`receipts(sha256, source, received_at)` and `first_told(event_key, first_at)`.

    The second has those events alone that several files tell with other content; of all others the
    file of their one telling says it. Reads the views `artefacts` and `event_versions`, once for
    an engine: what a snapshot shows stays as it is.
    """
    return Step(
        "receipts",
        """
create table if not exists receipts as
select sha256, source, min(received_at) as received_at from artefacts group by sha256, source;
create table if not exists first_told as
select v.event_key, min(r.received_at) as first_at
from event_versions v
join receipts r on r.sha256 = v.artefact_sha256 and r.source = v.source
where v.restated group by v.event_key""",
        "when files came, and events that several of them tell",
    )


def joins_sql(event: str) -> str:
    """Joins after which `coalesce(f.first_at, r.received_at)` is when an event was first heard of.

    Args:
        event: alias of the event, with its file, source and key.
    """
    return f"""left join receipts r
  on r.sha256 = {event}.artefact_sha256 and r.source = {event}.source
left join first_told f on f.event_key = {event}.event_key"""
