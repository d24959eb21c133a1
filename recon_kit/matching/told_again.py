"""The same content under another id: one movement that may have been told twice.

An open event that agrees with another one of its source and type in amount, currency, customer and
time (to the second, or within `duplicates_within`) is probably that one again. Nothing is dropped:
it stays open and says whom it repeats. Of two open ones the later key is the repetition, so that
what is truly missing stays missing once.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import contradictions
from recon_kit.settings import Reconciliation

PRECISE = "('second')"
_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "bd": 86_400, "bh": 3_600}


def run(engine: Engine, rec: Reconciliation) -> None:
    """Add to `near` who repeats whom; `open_rows`, `facts` and `near` must stand."""
    engine.run(alike_step(rec))
    if engine.count("alike"):
        engine.run(*same_steps())


def alike_step(rec: Reconciliation) -> Step:
    """`alike(eid, other)`: same side, amount and currency at the same time."""
    span = span_us(rec)
    when = "p.ts = a.ts"
    spread, bucket = "", ""
    if span:
        # neighbours in time share a bucket or stand in the next one: no range join
        at = f"epoch_us({{}}.ts) // {span}"
        spread = f", unnest([{at.format('o')} - 1, {at.format('o')}, {at.format('o')} + 1]) as b"
        bucket = f" and {at.format('p')} = a.b"
        when = f"abs(epoch_us(p.ts) - epoch_us(a.ts)) <= {span}"
    precise = "true" if span else f"f.ts_precision in {PRECISE}"
    return Step(
        "alike",
        f"""
create or replace table alike as
select distinct a.eid, a.event_key, a.source, a.event_type, p.eid as other,
       p.event_key as other_key
from (
    select o.*, f.source, f.event_type{spread} from open_rows o join facts f using (eid)
    where o.mid is null and o.side < 2 and o.ts is not null and o.amount is not null and {precise}
      and o.eid not in (select eid from near)
) a join pool p
  on p.side = a.side and p.currency = a.currency and p.amount = a.amount{bucket}
where {when} and p.eid <> a.eid
  and (p.event_key < a.event_key or p.eid not in (select eid from rest))""",
        "same side, amount and currency at the same time",
    )


def span_us(rec: Reconciliation) -> int:
    """How far apart two tellings may be, in microseconds; 0: at the very time, to the second."""
    span = rec.duplicates_within
    return span.count * _UNITS_S[span.unit] * 1_000_000 if span else 0


def same_steps() -> tuple[Step, ...]:
    """Of these the ones of one source, type and customer."""
    name = contradictions.name_sql
    return (
        Step(
            "alike_people",
            f"""
create or replace table alike_people as
select event_key, min(lower(trim(email))) as mail, min({name("customer_name")}) as name
from who where event_key in (select event_key from alike union select other_key from alike)
group by event_key""",
            "who stands behind them",
        ),
        Step(
            "told_again",
            """
insert into near
select a.eid, arg_min(a.other, a.other_key), 'possible_duplicate', null
from alike a
join (select event_key, source, event_type from events
      where event_key in (select other_key from alike)) e on e.event_key = a.other_key
join alike_people l on l.event_key = a.event_key
join alike_people r on r.event_key = a.other_key
where e.source = a.source and e.event_type = a.event_type
  and coalesce(l.mail = r.mail, l.name = r.name, false)
group by a.eid""",
            "told again under another id",
        ),
    )
