"""Fees that are not what the schedule in force says.

A processor that told its fees for weeks by one schedule and takes another amount today has made a
mistake, or has changed its prices without a word. Either is a case, with the money that was taken
too much (or too little). The schedules are those of the stored model (`matching.terms`): they
change at training alone, so a price that rises is a case until a person has looked at it.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import schedules
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# What a fee may lie off: processors round halves in several ways.
ROUNDING_MINOR = 1


def run(engine: Engine, rec: Reconciliation) -> None:
    """Add to `case_candidates` the events of this reconciliation whose fee is off its schedule.

    Reads `fee_schedules` (columns of `schedules.frame`), `events`, `out_match_members`.
    """
    engine.run(
        Step(
            "fee_schedules",
            schedules.table_sql("fee_schedules"),
            "no schedule, unless matching has left some",
        )
    )
    sides = [getattr(rec, name) for name in schedules.fee_sides(rec)]
    if not sides or not engine.count("fee_schedules"):
        return
    splits = engine.rows("select distinct split from fee_schedules where split <> ''")["split"]
    wanted = " or ".join(
        f"(source in ({_texts(side.sources)}) and event_type in ({_texts(side.types)}))"
        for side in sides
    )
    engine.run(*steps(wanted, tuple(splits)))


def steps(wanted: str, splits: tuple[str, ...]) -> tuple[Step, ...]:
    """The statements of `run` for events that fulfil a condition."""
    fee = schedules.fee_sql("f.amount", "s")
    return (
        Step(
            "case_fees",
            f"""
create or replace table case_fees as
select event_key, source, amount, fee, currency, event_ts, expected, fee - expected as over, since,
       rate_bp, fixed_minor
from (
  select f.*, {fee} as expected, s.since, s.rate_bp, s.fixed_minor
  from (
    select e.event_key, e.amount, e.fee, e.event_ts, {schedules.traits_sql("e", splits)}
    from (from events where ({wanted}) and fee is not null and amount > 0) e
  ) f join fee_schedules s on {schedules.in_force_sql("f", "s")}
) where abs(fee - expected) > {ROUNDING_MINOR}""",
            "events whose fee is not what their schedule says",
        ),
        Step(
            "case_overcharges",
            """
insert into case_candidates
select anchor_key, 'fee_mismatch', 'C', list_distinct(list(event_key) || [anchor_key]),
  abs(sum(over)), currency, min(event_ts), min(source),
  to_json({'fee': sum(fee), 'expected_fee': sum(expected), 'overcharge': sum(over),
    'gross': sum(amount), 'currency': currency, 'schedule_rate_bp': max(rate_bp),
    'schedule_fixed_minor': max(fixed_minor), 'schedule_since': max(since)::varchar,
    'why': 'the fee is not what the schedule of its source says'})
from (
  select f.*, coalesce(a.anchor_key, f.event_key) as anchor_key
  from case_fees f
  left join out_match_members m on m.event_key = f.event_key
  left join (
    select match_id, first(event_key order by role <> 'principal', side <> 'left', event_key)
      as anchor_key
    from out_match_members where match_id in (
      select match_id from out_match_members where event_key in (select event_key from case_fees))
    group by match_id
  ) a on a.match_id = m.match_id
) group by anchor_key, currency""",
            "each is a case of its match, or its own",
        ),
    )


def _texts(values: tuple[str, ...]) -> str:
    return ", ".join(quote_text(value) for value in values)
