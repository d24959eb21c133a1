"""Key groups that do not add up as they stand: duplicates, strangers, residuals.

Tried in this order, the first that adds up is taken:

1. without repeats: one row alone equals the principal and others equal it too, or rows repeat the
   amount and transaction of another one;
2. the same among those whose customer is not positively another one;
3. the same among those whom not everything (amount, customer and time) contradicts.

If nothing adds up, the rows of 3 are a match with a residual. Under one_to_one only a row that
equals the principal alone may be its part.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, contradictions, keys
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# Sets of rows to try, as conditions over `uneven_rows` with verdicts.
SETS: dict[str, str] = {"a": "true", "b": "not stranger", "c": "not alien"}
WAYS = ("equal", "again")


def run(engine: Engine, rec: Reconciliation, key: str, zone: str) -> None:
    """Resolve the groups of table `uneven`."""
    engine.run(*row_steps(rec))
    if engine.count("suspects"):
        engine.run(*contradictions.steps(rec, zone))
    else:
        engine.run(contradictions.none_step())
    engine.run(*choice_steps(rec), settled_step(rec), *live_steps(rec, key))


def row_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """`uneven_rows`: which rows fit alone and which repeat others; suspects of the rest."""
    left, right = ("mid", "eid") if keys.one_side(rec) == "left" else ("eid", "mid")
    return (
        Step(
            "uneven_rows",
            f"""
create or replace table uneven_rows as
with tried as (
    select r.gid, r.eid, r.event_key, r.v, r.dead, r.ts, u.target,
           {amounts.ties(rec, "r.v")} as fits
    from uneven u join group_rows r on r.gid = u.gid and not r.one
), alike as (
    select gid, min(v) filter (fits) as v_min, max(v) filter (fits) as v_max
    from tried group by gid
)
select t.*, coalesce(fits and v_min = v_max, false) as equals,
       f.transaction_id is not null and row_number() over (
           partition by t.gid, f.transaction_id, v order by dead, t.ts nulls last, t.event_key
       ) > 1 as again
from tried t join alike using (gid) join facts f using (eid)""",
            "rows that fit alone, rows that repeat one another",
        ),
        Step(
            "uneven_suspects",
            f"""
create or replace table suspects as
select {left} as left_eid, {right} as right_eid from uneven join uneven_rows using (gid)
where n_one = 1 and gid not in (
    select gid from (
        select gid, any_value(target) as target, {_totals("a", "true")}
        from uneven_rows group by gid)
    where {" or ".join(amounts.ties(rec, f"a_{way}") for way in WAYS)})""",
            "what repeats cannot explain, strangers may",
        ),
    )


def _totals(name: str, rows: str) -> str:
    """Totals of a set of rows: with equals of the target counted once, and without repeats."""
    equals = f"count(*) filter ({rows} and equals)"
    return f"""
        coalesce(sum(v) filter ({rows}), 0)
            - case when {equals} > 1 then any_value(v) filter (equals) * ({equals} - 1) else 0 end
            as {name}_equal,
        coalesce(sum(v) filter ({rows} and not again), 0) as {name}_again,
        count(*) filter ({rows}) as {name}_rows"""


def choice_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """`uneven_choice`: the first set of rows that adds up, else `rest`, or `none` without rows."""
    many = "right" if keys.one_side(rec) == "left" else "left"
    arms = " ".join(
        f"when {name}_rows > 0 and {amounts.ties(rec, f'{name}_{way}')} then '{name}{way}'"
        for name in SETS
        for way in WAYS
    )
    return (
        Step(
            "uneven_judged",
            f"""
create or replace table uneven_judged as
select r.*, coalesce(v.customer = 'disagree', false) as stranger,
       coalesce(v.customer = 'disagree' and v.late, false) and not fits as alien
from uneven_rows r left join verdicts v on v.{many}_eid = r.eid""",
            "rows of another customer",
        ),
        Step(
            "uneven_choice",
            f"""
create or replace table uneven_choice as
select *, case {arms} when c_rows > 0 then 'rest' else 'none' end as choice
from uneven join (
    select gid, count(*) filter (fits) as fitting,
           coalesce(bool_and(equals) filter (fits), false) as same_fitting,
           {", ".join(_totals(name, rows) for name, rows in SETS.items())}
    from uneven_judged group by gid) using (gid)""",
            "the first set of rows that adds up",
        ),
    )


def _settled(rec: Reconciliation) -> str:
    """Which groups of `uneven_choice` become a match."""
    if rec.cardinality == "one_to_one":
        return "(choice <> 'none' and (same_fitting or (fitting = 0 and c_rows = 1)))"
    return "choice <> 'none'"


def settled_step(rec: Reconciliation) -> Step:
    """`settled`: every row of such a group as part, duplicate or apart."""
    stays = "case left(choice, 1) when 'a' then true when 'b' then not stranger else not alien end"
    if rec.cardinality == "one_to_one":
        stays = "case when fitting > 0 then equals else not alien end"
    return Step(
        "settled",
        f"""
create or replace table settled as
with kept as (
    select c.mid, c.choice, c.c, c.status_note, j.*, {stays} as stays
    from (from uneven_choice where {_settled(rec)}) c join uneven_judged j using (gid)
)
select *, case when not stays then 'apart'
               when choice like '%again' and again then 'duplicate'
               when choice not like '%again' and equals and row_number() over (
                   partition by gid, stays and equals
                   order by dead, stranger, ts nulls last, event_key) > 1 then 'duplicate'
               else 'part' end as role
from kept""",
        "the earliest of equals is the payment, the others repeat it",
    )


def live_steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Write settled groups as matches, note whom they leave apart."""
    used = quote_text(key)
    left, right = ("mid", "eid") if keys.one_side(rec) == "left" else ("eid", "mid")
    return (
        Step(
            "settled_live",
            f"""
insert into live_groups
select mid, 'exact', {used}, c, left_sum, right_sum, amount_note, status_note,
       case when amount_note is not null and strangers then 'id_conflict' end, 1.0, null, null
from (
    select *, {amounts.side_sums(rec)},
           case when {amounts.ties(rec, "total")} then null else 'amount_mismatch' end
               as amount_note
    from (
        select mid, any_value(c) as c, any_value(target) as target,
               coalesce(sum(v) filter (role = 'part'), 0) as total,
               coalesce(bool_or(stranger) filter (role = 'part'), false) as strangers,
               any_value(status_note) as status_note
        from settled group by mid));
insert into more_members
select mid, eid, role, role = 'part', v from settled where role <> 'apart'
union all
select h.mid, r.eid, 'principal', true, r.v
from (select distinct gid, mid from settled) h join group_rows r on r.gid = h.gid and r.one""",
            "matches with their residual",
        ),
        Step(
            "set_apart",
            f"""
insert into conflicts
select {left}, {right}, {used}, case when stranger then 'id_conflict' else 'cardinality' end
from settled where role = 'apart'
union all
select {left}, {right}, {used}, 'id_conflict'
from uneven_choice join uneven_judged using (gid) where choice = 'none';
insert into ambiguous
select {left}, {right}, {used}
from uneven_choice join uneven_judged using (gid)
where not {_settled(rec)} and choice <> 'none'""",
            "they share the key, and go on",
        ),
    )
