"""What hangs on a match without entering its sum: refunds and chargebacks of an order.

An attached event finds its match through `parent_key` (the vendor's id of what it corrects, looked
up among the `native_id`, `transaction_id` and `external_ids` of its own source), else through the
declared keys, at any lag. A chargeback's reversal may hang on the chargeback. A key that leads to
several matches leads nowhere.

Tables left behind: `live_attached(mid, eid, role, parent, key_used, allocated)` and
`parents(eid, parent, parent_side)`, the known parents, matched or not.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, keys, late
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def run(engine: Engine, rec: Reconciliation) -> None:
    """Hang all attached events of the pool on the matches of all methods."""
    engine.run(*prepare())
    if not rec.attach or not engine.count("attached"):
        return
    engine.run(parent_step())
    asking = engine.rows(f"select distinct source from {_UNTOLD} order by source")["source"]
    if asking.len():
        engine.run(external_step(tuple(asking)))
    if engine.count("parents_told"):
        engine.run(*ranked_steps(), *by_parent_steps())
    if rec.keys:
        late.carriers(engine, rec)
        engine.run(*(by_key_step(number, key) for number, key in enumerate(rec.keys)))
    engine.run(*second_hand_steps())


def prepare() -> tuple[Step, ...]:
    """Empty tables, and the attached rows with what is fetched late for them."""
    return (
        Step(
            "attached",
            """
create or replace table live_attached (mid bigint, eid bigint, role varchar, parent varchar,
    key_used varchar, allocated hugeint);
create or replace table parents (eid bigint, parent varchar, parent_eid bigint,
    parent_side utinyint);
create or replace table attached as from second_look where side = 2""",
            "refunds and chargebacks, with the id of what they correct",
        ),
        Step(
            "standing_in",
            """
create or replace view standing_in as
select left_eid as eid, mid from live_pairs union all select right_eid, mid from live_pairs
union all select eid, mid from live_members""",
            "which match an event stands in",
        ),
    )


def parent_step() -> Step:
    """Candidate parents by the two ids that are columns.

    A join for each: what asks is little, and a join lets the scan pass over what nobody asks for.
    """
    arms = "\n    union all\n".join(
        f"""    select a.eid, e.event_key as parent
    from (from attached where parent_key is not null) a
    join events e on e.source = a.source and e.{handle} = a.parent_key
    where e.event_key <> a.event_key"""
        for handle in ("native_id", "transaction_id")
    )
    return Step(
        "parents_told",
        f"""
create or replace table parents_told as
select distinct eid, parent from (
{arms})""",
        "the row that carries the parent's id as its own",
    )


_UNTOLD = """(from attached where parent_key is not null
      and eid not in (select eid from parents_told))"""


def external_step(sources: tuple[str, ...]) -> Step:
    """Candidate parents among the vendor's ids of other objects, in the sources that still ask."""
    return Step(
        "parents_external",
        f"""
insert into parents_told
select distinct a.eid, e.event_key
from {_UNTOLD} a
join (select event_key, source, unnest(json_extract_string(external_ids, '$.*')) as handle
      from events where source in ({keys.texts(sources)}) and external_ids is not null) e
  on e.source = a.source and e.handle = a.parent_key and e.event_key <> a.event_key""",
        "else a row that names it as another object's id",
    )


def ranked_steps() -> tuple[Step, ...]:
    """One parent each: what stands on a side before what hangs, what is matched before open."""
    return (
        Step(
            "parents",
            """
insert into parents
select t.eid, t.parent, p.eid, p.side
from parents_told t
left join (from pool where event_key in (select parent from parents_told)) p
       on p.event_key = t.parent
left join standing_in s on s.eid = p.eid
qualify row_number() over (
    partition by t.eid order by p.side is null, p.side = 2, s.mid is null, t.parent) = 1""",
            "one parent for each",
        ),
        Step(
            "parents_in_circles",
            """
delete from parents where parent_side = 2 and eid not in (
    with recursive led as (
        select eid from parents
        where parent_side is distinct from 2 or parent_eid not in (select eid from parents)
        union
        select p.eid from parents p join led on led.eid = p.parent_eid
        where p.parent_side = 2
    )
    select eid from led)""",
            "corrections that name one another correct nothing: they stand open by themselves",
        ),
    )


def by_parent_steps() -> tuple[Step, ...]:
    """Hang on the parent's match."""
    return (
        Step(
            "attached_by_parent",
            f"""
insert into live_attached
select s.mid, a.eid, {_ROLE}, p.parent, 'parent_key', {_value("c")}
from parents p join attached a using (eid) join standing_in s on s.eid = p.parent_eid
join live_currency c on c.mid = s.mid""",
            "a refund follows its payment",
        ),
    )


def by_key_step(number: int, key: str) -> Step:
    """Hang what has no matched parent on the one match that carries its key."""
    return Step(
        f"attached_by_{key}",
        f"""
insert into live_attached
select c.mid, a.eid, {_ROLE}, null, {quote_text(key)}, {_value("c")}
from (
    select a.eid, min(s.mid) as mid
    from (from attached where eid not in (select eid from live_attached)
          and k{number} is not null) a
    join (from carriers where number = {number}) c on c.t = a.t{number}
    join standing_in s on s.eid = c.eid
    group by a.eid having count(distinct s.mid) = 1) found
join attached a using (eid) join live_currency c using (mid)""",
        "or the order whose key it carries",
    )


def second_hand_steps() -> tuple[Step, ...]:
    """Hang what corrects an attached event (a reversal of a chargeback) beside it."""
    return (
        Step(
            "attached_second_hand",
            f"""
insert into live_attached
select l.mid, a.eid, {_ROLE}, p.parent, 'parent_key', {_value("c")}
from parents p join attached a using (eid)
join live_attached l on l.eid = p.parent_eid
join live_currency c on c.mid = l.mid
where p.parent_side = 2 and a.eid not in (select eid from live_attached)""",
            "what corrects a correction",
        ),
    )


_ROLE = (
    "case when a.event_type in ('refund', 'chargeback', 'fee') then a.event_type else 'part' end"
)


def _value(match: str) -> str:
    return amounts.amount_in(f"{match}.currency", "a")
