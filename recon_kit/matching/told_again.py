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


def run(engine: Engine, rec: Reconciliation) -> bool:
    """Add to `near` who repeats whom; whether some of these stand in no `facts` yet.

    `alike`, and `facts` of the events `of_unknown_kind`, must stand.
    """
    if not engine.count("alike"):
        return False
    engine.run(kind_step(rec))
    unseen = engine.one(
        "select count(*), count(*) filter (other not in (select eid from second_look))"
        " from same_kind"
    )
    if not unseen[0]:
        return False
    engine.run(*same_steps(unseen=bool(unseen[1])))
    return bool(unseen[1]) and _of_one_kind(rec) != ()


def _of_one_kind(rec: Reconciliation) -> tuple[int, ...]:
    """Sides of one source and one type: of their events nobody has to be asked for these."""
    sides = enumerate((rec.left, rec.right))
    return tuple(n for n, side in sides if len(side.sources) == len(side.types) == 1)


def of_unknown_kind(rec: Reconciliation) -> str:
    """Query of the others in `alike` whose source and type must be looked up."""
    known = "".join(f" and side <> {number}" for number in _of_one_kind(rec))
    return f"select other from alike where true{known}"


def alike_step(rec: Reconciliation) -> Step:
    """`alike(eid, side, other)`: same side, amount and currency at the same time.

    `open_rows`, `facts` and `near` must stand.
    """
    span = span_us(rec)
    when = "p.ts = a.ts"
    spread, bucket = "", ""
    # one number is looked up in a fraction of the time of all that must agree
    found = """, timely as materialized (
    select eid from pool where ts in (select ts from asked)
), found as materialized (
    from pool where eid in (from timely)
)"""
    if span:
        # neighbours in time share a bucket or stand in the next one: no range join
        found = ", found as (from pool)"
        at = f"epoch_us({{}}.ts) // {span}"
        spread = f", unnest([{at.format('o')} - 1, {at.format('o')}, {at.format('o')} + 1]) as b"
        bucket = f" and {at.format('p')} = a.b"
        when = f"abs(epoch_us(p.ts) - epoch_us(a.ts)) <= {span}"
    precise = "true" if span else f"f.ts_precision in {PRECISE}"
    return Step(
        "alike",
        f"""
create or replace table alike as
with asked as materialized (
    select o.*, f.source, f.event_type{spread} from open_rows o join facts f using (eid)
    where o.mid is null and o.side < 2 and o.ts is not null and o.amount is not null and {precise}
      and o.eid not in (select eid from near)
){found}
select distinct a.eid, a.side, a.event_key, a.source, a.event_type, p.eid as other,
       p.event_key as other_key
from asked a join found p
  on p.side = a.side and p.currency = a.currency and p.amount = a.amount{bucket}
where {when} and p.eid <> a.eid
  and (p.event_key < a.event_key or p.eid not in (select eid from rest))""",
        "same side, amount and currency at the same time",
    )


def span_us(rec: Reconciliation) -> int:
    """How far apart two tellings may be, in microseconds; 0: at the very time, to the second."""
    span = rec.duplicates_within
    return span.count * _UNITS_S[span.unit] * 1_000_000 if span else 0


def kind_step(rec: Reconciliation) -> Step:
    """`same_kind`: those of `alike` that are of one source and type."""
    sides = ", ".join(map(str, _of_one_kind(rec))) or "-1"
    arms = [
        f"from alike where side in ({sides})",
        f"""from (from alike where side not in ({sides})) a semi join facts f
  on f.eid = a.other and f.source = a.source and f.event_type = a.event_type""",
    ]
    return Step(
        "same_kind",
        f"create or replace table same_kind as {' union all '.join(arms)}",
        "told by the same source as the same kind of event",
    )


def same_steps(*, unseen: bool) -> tuple[Step, ...]:
    """Of `same_kind` the ones of one customer; `unseen`: some others are not in `people`."""
    name = contradictions.name_sql
    plain = """
    union all
    select o.eid, w.email, w.customer_name
    from (select distinct other as eid, other_key as event_key from same_kind
          where other not in (select eid from second_look)) o
    join (select event_key, email, customer_name from who) w using (event_key)"""
    return (
        Step(
            "alike_people",
            f"""
create or replace table alike_people as
select eid, min(lower(trim(email))) as mail, min({name("customer_name")}) as name
from (
    select eid, email, customer_name from people
    where eid in (select unnest([eid, other]) from same_kind){plain if unseen else ""})
group by eid""",
            "who stands behind them",
        ),
        Step(
            "told_again",
            """
insert into near
select a.eid, arg_min(a.other, a.other_key), 'possible_duplicate', null
from same_kind a
join alike_people l on l.eid = a.eid
join alike_people r on r.eid = a.other
where coalesce(l.mail = r.mail, l.name = r.name, false)
group by a.eid""",
            "told again under another id",
        ),
    )
