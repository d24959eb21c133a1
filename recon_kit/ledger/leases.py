"""Claims: one person at a time works on an item, for a while, under a token that only grows.

A claim is a row of `leases`; the newest row of a subject tells who holds it. The token is the
sequence of that row, so a later claim always has a larger one, whatever the clocks say. Claims and
the decisions that rest on them are checked under the writer lock, in the transaction that writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recon_kit.errors import LeaseHeldError, StaleClaimError
from recon_kit.ledger.catalog import Catalog, Reader, moment_of

_NEWEST = (
    "select seq, holder, action, expires_at from leases where subject = ? order by seq desc limit 1"
)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on an item, under which token, until when."""

    subject: str
    holder: str
    token: int
    expires_at: datetime


def subject_of(reconciliation: str, left_key: str | None, right_key: str | None = None) -> str:
    """The item that a decision is about: its left event, else its right one."""
    return f"{reconciliation}:{left_key or right_key}"


def claim(catalog: Catalog, subject: str, holder: str, now: datetime, until: datetime) -> Lease:
    """Take an item; see `Store.claim`."""
    with catalog.locked_write(f"claiming {subject}") as writer:
        held = holder_now(writer, subject, now)
        if held is not None and held.holder != holder:
            raise LeaseHeldError(subject, held.holder, _clock(held))
        writer.insert(
            "leases",
            subject=subject, holder=holder, action="claimed", expires_at=until, recorded_at=now,
        )  # fmt: skip
        return Lease(subject, holder, writer.link("lease"), until)


def release(catalog: Catalog, lease: Lease, now: datetime) -> None:
    """Give an item back; see `Store.release`."""
    with catalog.locked_write(f"releasing {lease.subject}") as writer:
        held = holder_now(writer, lease.subject, now)
        if held is None or held.token != lease.token:
            return
        writer.insert(
            "leases",
            subject=lease.subject, holder=lease.holder, action="released", expires_at=now,
            recorded_at=now,
        )  # fmt: skip
        writer.link("lease")


def holder_now(reader: Reader, subject: str, now: datetime) -> Lease | None:
    """Who holds an item at this moment."""
    newest = _newest(reader, subject)
    if newest is None or newest[1] == "released" or newest[0].expires_at <= now:
        return None
    return newest[0]


def check(reader: Reader, decisions: pl.DataFrame, now: datetime) -> None:
    """Refuse decisions whose claim was taken over, or on what somebody else has claimed.

    A claim that ran out but was not taken over is still good: nobody else has looked meanwhile.
    What was decided elsewhere is only written down here, whoever is at work on it.
    """
    if reader.value("select 1 from leases limit 1") is None:
        return
    names = ("reconciliation", "left_key", "right_key", "reviewer", "lease_token")
    here = decisions.filter(pl.col("stream").ne_missing("imported")).select(names).unique()
    for rec, left, right, reviewer, token in here.sort(names).iter_rows():
        subject = subject_of(rec, left, right)
        newest = _newest(reader, subject)
        if newest is None:
            continue
        lease = newest[0]
        if token is not None and token < lease.token and lease.holder != reviewer:
            raise StaleClaimError(subject, token, lease.holder, lease.token)
        held = holder_now(reader, subject, now)
        if token is None and held is not None and held.holder != reviewer:
            raise LeaseHeldError(subject, held.holder, _clock(held))


def _newest(reader: Reader, subject: str) -> tuple[Lease, str] | None:
    rows = reader.all(_NEWEST, (subject,))
    if not rows:
        return None
    seq, holder, action, expires_at = rows[0]
    return Lease(subject, holder, int(seq), moment_of(expires_at)), action


def _clock(lease: Lease) -> str:
    return f"{lease.expires_at:%Y-%m-%d %H:%M} UTC"
