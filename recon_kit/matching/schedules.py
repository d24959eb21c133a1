"""The terms of business between two sides, as records: what is paid in fees, how long money takes.

Learned in `terms` from matches that a key or a person proved, kept in the stored model, read when
pairs are compared, when open items are dated, and when fees are checked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """One fee schedule: `rate_bp` basis points and `fixed_minor` minor units, from a day on.

    It holds for events of one source, type, payment method (`""`: none told) and currency;
    `foreign` says that another currency was presented, `split` names a further field that tells
    schedules apart (`card_country`; `""`: none does) and `value` its value. `cap_minor` is the
    most that is ever taken. `since` is the ISO day from which it was seen. `basis` is `told`
    where the event tells its own fee, `net` where the fee is what the other side's amount lacks.
    `rows` it was read off, `exact` of them it explains to the minor unit.
    """

    source: str
    event_type: str
    method: str
    currency: str
    foreign: bool
    split: str
    value: str
    since: str
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
