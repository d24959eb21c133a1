"""The terms of business between two sides, as records: what is paid in fees, how long money takes.

Learned in `terms` from matches that a key or a person proved, kept in the stored model, read when
pairs are compared, when open items are dated, and when fees are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recon_kit.model import UTC
from recon_kit.settings import Reconciliation

# Members of `raw_keys` by which processors price payments of one method apart.
SPLITS: tuple[str, ...] = ("card_country", "card_brand", "card_funding")
# What always tells schedules apart.
GROUP: tuple[str, ...] = ("source", "event_type", "method", "currency", "is_foreign")
_COLUMNS: dict[str, pl.DataType] = {
    "source": pl.String(), "event_type": pl.String(), "method": pl.String(),
    "currency": pl.String(), "is_foreign": pl.Boolean(), "split": pl.String(),
    "value": pl.String(), "since": UTC, "until": UTC, "rate_bp": pl.Int64(),
    "fixed_minor": pl.Int64(), "cap_minor": pl.Int64(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Schedule:
    """One fee schedule: `rate_bp` basis points and `fixed_minor` minor units, from a day on.

    It holds for events of one source, type, payment method (`""`: none told) and currency;
    `foreign` says that another currency was presented, `split` names a further field that tells
    schedules apart (`card_country`; `""`: none does) and `value` its value. `cap_minor` is the
    most that is ever taken. It holds from the instant `since` until before `until` (ISO, UTC; `""`:
    still).
    `basis` is `told` where the event tells its own fee, `net` where the fee is what the amount
    lacks against the other side's. `rows` it was read off, `exact` of them it explains to one
    minor unit.
    """

    source: str
    event_type: str
    method: str
    currency: str
    foreign: bool
    split: str
    value: str
    since: str
    until: str
    rate_bp: int
    fixed_minor: int
    cap_minor: int | None
    basis: str
    rows: int
    exact: int

    @property
    def label(self) -> str:
        """Such as `2.9 % and 30`, with the cap where there is one."""
        most = f", at most {self.cap_minor}" if self.cap_minor is not None else ""
        return f"{self.rate_bp / 100:g} % and {self.fixed_minor}{most}"


@dataclass(frozen=True, slots=True)
class Lag:
    """How long the right event comes after the left one, between two sources.

    Seconds by share of pairs (`p05` may be negative: some come before), the whole business days
    within which 95 of 100 have come, and the number of pairs it was read off.
    """

    left_source: str
    right_source: str
    p05: int
    p25: int
    p50: int
    p75: int
    p95: int
    p99: int
    business_days_p95: int
    pairs: int


def fee_sides(rec: Reconciliation) -> tuple[str, ...]:
    """The sides whose gross amount is compared: where nets are, the fee is part of the money."""
    return tuple(s for s in ("left", "right") if getattr(rec.measure, s) == "amount")


def traits_sql(event: str, read: Sequence[str] = SPLITS) -> str:
    """Columns of an event that tell its schedule: source, type, method, currency, and so on.

    Args:
        event: its alias.
        read: the members of `raw_keys` that are wanted; reading them costs, the others are empty.
    """
    splits = ", ".join(
        f"coalesce(json_extract_string({event}.raw_keys, '$.{name}'), '') as {name}"
        if name in read
        else f"'' as {name}"
        for name in SPLITS
    )
    return f"""{event}.source, {event}.event_type, coalesce({event}.payment_method, '') as method,
    {event}.currency, coalesce({event}.presentment_currency <> {event}.currency, false)
        as is_foreign, {splits}"""


def frame(schedules: Sequence[Schedule]) -> pl.DataFrame:
    """Schedules as a table: `since` and `until` as instants, null where still in force."""
    rows = [
        (
            s.source, s.event_type, s.method, s.currency, s.foreign, s.split, s.value,
            datetime.fromisoformat(s.since), datetime.fromisoformat(s.until) if s.until else None,
            s.rate_bp, s.fixed_minor, s.cap_minor,
        )
        for s in schedules
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def table_sql(name: str) -> str:
    """Statement that makes an empty table of schedules, where there is none of that name."""
    kinds = {pl.String(): "varchar", pl.Boolean(): "boolean", UTC: "timestamptz"}
    columns = ", ".join(f"{c} {kinds.get(kind, 'bigint')}" for c, kind in _COLUMNS.items())
    return f"create table if not exists {name} ({columns})"


def in_force_sql(event: str, schedule: str) -> str:
    """Condition under which a row of `frame` holds for an event.

    Args:
        event: alias of the event, which has `event_ts` and the columns of `traits_sql`.
        schedule: alias of the schedule.
    """
    same = " and ".join(f"{schedule}.{name} = {event}.{name}" for name in GROUP)
    arms = " ".join(f"when '{name}' then {event}.{name}" for name in SPLITS)
    return (
        f"{same} and {schedule}.value = case {schedule}.split {arms} else '' end"
        f" and {event}.event_ts >= {schedule}.since"
        f" and ({schedule}.until is null or {event}.event_ts < {schedule}.until)"
    )


def fee_sql(gross: str, schedule: str) -> str:
    """The fee of an amount under a row of `frame`: an integer expression."""
    fee = f"({gross} * {schedule}.rate_bp + 5000) // 10000 + {schedule}.fixed_minor"
    return f"least({fee}, coalesce({schedule}.cap_minor, {2**62}))"
