"""Whether a dated rate makes two amounts in different currencies one and the same.

An `fx_rate` event says that its `amount` in `currency` was worth its `presentment_amount` in
`presentment_currency` at its `event_ts`. The rate of a pair is the latest one told up to a week
before the left event. All arithmetic is on whole minor units: cross products, no division.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Step
from recon_kit.settings import Reconciliation

RATE_AGE_DAYS_MAX = 7


def rates_step() -> Step:
    """Make `rates(base, quote, ts, base_minor, quote_minor)`: every told rate, both ways."""
    return Step(
        "rates",
        """
    create or replace table rates as
    with told as (
        select event_ts as ts, event_key, currency as base, amount as base_minor,
               presentment_currency as quote, presentment_amount as quote_minor
        from events
        where event_type = 'fx_rate' and amount > 0 and presentment_amount > 0
          and event_ts is not null
    ), both_ways as (
        from told union all
        select ts, event_key, quote, quote_minor, base, base_minor from told
    )
    select base, quote, ts, arg_min(base_minor, event_key) as base_minor,
           arg_min(quote_minor, event_key) as quote_minor
    from both_ways group by base, quote, ts""",
        "dated rates, in both directions",
    )


def steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Make `rated(left_eid, right_eid, plausible)` for suspect pairs; null: no rate is known."""
    percent = rec.fx_band_percent.normalize()
    exponent = percent.as_tuple().exponent
    scale = 10 ** max(0, -exponent) if isinstance(exponent, int) else 1
    return (
        rates_step(),
        Step(
            "rated",
            f"""
create or replace table rated as
select left_eid, right_eid,
       case when q.ts >= s.ts - interval {RATE_AGE_DAYS_MAX} day
            then try(abs(left_minor * quote_minor - right_minor * base_minor) * {100 * scale}
                     <= abs(left_minor * quote_minor) * {int(percent * scale)}) end as plausible
from (
    select left_eid, right_eid, l.ts, l.currency as base, r.currency as quote,
           l.amount::hugeint as left_minor, r.amount::hugeint as right_minor
    from suspect_pairs
    join second_look l on l.eid = left_eid
    join second_look r on r.eid = right_eid
    where amount_note = 'currency'
) s
asof left join rates q on q.base = s.base and q.quote = s.quote and q.ts <= s.ts""",
            "the implied rate lies within the band around the dated one",
        ),
    )


def worth_sql(amount: str, currency: str, ts: str) -> str:
    """An amount in the currency that most rates are told in, at its own day's rate; null if none.

    A figure to compare with, never money: rounded half up, and forgotten after scoring. Needs
    `rates`.
    """
    quote = "(select quote from rates group by quote order by count(*) desc, quote limit 1)"
    rate = f"""(select arg_max((q.quote_minor, q.base_minor), q.ts) from rates q
        where q.base = {currency} and q.quote = {quote} and q.ts <= {ts}
          and q.ts >= {ts} - interval {RATE_AGE_DAYS_MAX} day)"""
    return f"""case when {currency} = {quote} then {amount}
        else (({amount}::hugeint * {rate}[1] * 2 + {rate}[2]) // ({rate}[2] * 2))::bigint end"""
