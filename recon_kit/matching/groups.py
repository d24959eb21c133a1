"""Key groups of more than two events: splits, members of a payout, and what needs a choice.

A group is all open rows that share a key. The side that may have a single member is the `one`
side, its member the principal; the other is the `many` side. Where the many add up to the one, all
are parts, and where an amount is missing only the key can join them. Groups that do not add up go
to `uneven`, groups with several principals to `several`.

Most groups are told in one currency, amount by amount, and add up, or tell one payment twice: a
sum and two extremes say so (`alike`), and only what that leaves is gone through with all the
questions of currencies and missing amounts.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, keys, several, uneven
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def run(engine: Engine, rec: Reconciliation, key: str, *, barred: bool) -> tuple[bool, bool]:
    """Match groups of `crowd_rows` that explain themselves.

    `barred` is whether a person parted any pair of the pool. Returns whether `resolve` has other
    groups left, and whether any row of the crowds stands in no whole group.
    """
    engine.run(alike_step(rec, barred=barred))
    plain, others, loose = engine.one(
        """select count(way), count(*) - count(way),
                  coalesce(sum(members) filter (way is not null), 0)
                      < (select count(*) from crowd_rows)
           from alike"""
    )
    if plain:
        engine.run(*alike_live_steps(rec, key))
    if others:
        engine.run(*steps(rec, key, barred=barred))
    return bool(others), bool(loose)


def alike_step(rec: Reconciliation, *, barred: bool = True) -> Step:
    """`alike`: joint groups, and the `way` in which those of one currency explain themselves.

    `adds_up`: every amount is told, and the parts come to the principal. `repeats`: every row of
    the many side tells one and the same amount, which is the principal's: it was told more than
    once. Where somebody parted a pair no group is taken here.
    """
    several_ones = rec.cardinality == "many_to_many"
    principal = "arg_min(eid, event_key)" if several_ones else "max(eid)"
    adds_up = "false" if rec.cardinality == "one_to_one" else amounts.ties(rec, "total")
    return Step(
        "alike",
        f"""
create or replace table alike as
select *, case when not simple or {str(barred).lower()} then null
               when n_one > 1 and not {str(several_ones).lower()} then null
               when {adds_up} then 'adds_up'
               when n_one = 1 and low = high and {amounts.ties(rec, "low")} then 'repeats' end
       as way
from (
    select k, t, count(*) as members, count(*) filter (one) as n_one,
           {principal} filter (one) as mid, min(currency) as c, sum(amount) filter (one) as target,
           sum(amount) filter (not one) as total, min(amount) filter (not one) as low,
           max(amount) filter (not one) as high,
           bool_or(dead) filter (one) <> bool_or(dead) filter (not one) as status_note,
           count(amount) = count(*) and count(currency) = count(*)
               and min(currency) = max(currency) as simple
    from crowd_rows group by k, t having n_one > 0 and count(*) > n_one)""",
        "one currency, every amount told, and the parts add up or repeat one another",
    )


def alike_live_steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Put the groups with a `way` among the matches; the earliest of repeats is the payment."""
    return (
        Step(
            "alike_live",
            f"""
insert into live_groups
select mid, 'exact', {quote_text(key)}, c, left_sum, right_sum, null, status_note, null, 1.0,
       null, null
from (select *, {amounts.side_sums(rec)}
      from (select * replace (case way when 'repeats' then low else total end as total)
            from alike where way is not null));
insert into whole_members
select mid, eid, role, role <> 'duplicate', amount, event_key, side, ts, {quote_text(key)} from (
    select a.mid, r.eid, r.amount, r.event_key, r.side, r.ts,
           case when r.one then 'principal' else 'part' end as role
    from crowd_rows r join (from alike where way = 'adds_up') a on a.k = r.k and a.t = r.t
    union all
    select a.mid, r.eid, r.amount, r.event_key, r.side, r.ts,
           case when r.one then 'principal' when row_number() over (
                    partition by r.k, r.t, r.one order by r.dead, r.ts nulls last, r.event_key) > 1
                then 'duplicate' else 'part' end
    from crowd_rows r join (from alike where way = 'repeats') a on a.k = r.k and a.t = r.t)""",
            "payouts with all their members, payments that were sent twice",
        ),
    )


def steps(rec: Reconciliation, key: str, *, barred: bool = True) -> tuple[Step, ...]:
    """Match what `alike_step` left and still adds up; the rest is in `uneven` and `several`."""
    return (*gather_steps(rec, barred=barred), *plain_steps(rec, key))


def resolve(engine: Engine, rec: Reconciliation, key: str, zone: str) -> None:
    """Resolve the groups that `steps` left; see the tables in `exact`."""
    unequal, crowded = engine.one(
        "select (select count(*) from uneven), (select count(*) from several)"
    )
    if unequal:
        uneven.run(engine, rec, key, zone)
    if crowded:
        engine.run(*several.steps(rec, key))


def gather_steps(rec: Reconciliation, *, barred: bool) -> tuple[Step, ...]:
    """Rows of joint groups with their amounts in the one currency all of them share."""
    unit = "true" if rec.cardinality == "many_to_many" else "n_one = 1"
    parted = (
        ""
        if not barred
        else """
where not (m.unit and not m.one and exists (
    from barred_pool b join crowd_rows p on p.one and p.k = m.k and p.t = m.t
    where (b.left_eid = p.eid and b.right_eid = m.eid)
       or (b.right_eid = p.eid and b.left_eid = m.eid)))"""
    )
    return (
        Step(
            "groups",
            f"""
create or replace table key_groups as
select row_number() over () as gid, *, {unit} as unit from (
    select k, t, count(*) filter (one) as n_one, count(*) filter (not one) as n_many,
           arg_min(case when amount is not null then currency end, event_key)
               filter (one and amount is not null) as c1,
           arg_min(shown_currency, event_key) filter (one and shown is not null) as c2
    from (from crowd_rows semi join (from alike where way is null) left_over using (k, t))
    group by k, t)""",
            "groups with both sides, and the currencies its principal can be told in",
        ),
        Step(
            "outsiders",
            f"""
create or replace table outsiders as
with money as (
    select g.gid, r.eid, r.one, {amounts.amount_in("g.c1", "r")} as v,
           {amounts.lacks_amount("r")} as lacks
    from crowd_rows r join key_groups g on r.k = g.k and r.t = g.t where g.unit
)
select gid, eid from money join (
    select gid, sum(v) filter (one) as target, sum(v) filter (not one) as total
    from money group by gid
    having count(v) < count(*) and count(v) filter (not one) > 0 and not bool_or(lacks)
) using (gid)
where not one and v is null and {amounts.ties(rec, "total")}""",
            "the others add up without those that share no currency with the principal",
        ),
        Step(
            "group_rows",
            f"""
create or replace table group_rows as
with money as (
    select g.gid, g.unit, r.*, {amounts.amount_in("g.c1", "r")} as v1,
           {amounts.amount_in("g.c2", "r")} as v2, g.c1, g.c2
    from (from crowd_rows where eid not in (select eid from outsiders)) r
    join key_groups g on r.k = g.k and r.t = g.t
), shared as (
    select gid, case when count(v1) = count(*) then any_value(c1)
                     when count(v2) = count(*) then any_value(c2) end as c,
           bool_or({amounts.lacks_amount("money")}) as lacks
    from money group by gid
), sides as (
    -- where one side tells no amount the other's still adds up, if only one currency is named
    select gid, one, lone as own from money
    join (select gid, min(currency) as lone from money group by gid
          having min(currency) = max(currency)) using (gid)
    group by gid, one, lone having count(amount) = count(*) and count(currency) = count(*)
)
select m.gid, m.unit, m.eid, m.event_key, m.one, m.ts, m.dead, m.amount, m.currency, m.shown,
       m.shown_currency, s.c, s.lacks, o.own,
       case when s.c is null and s.lacks and o.own is not null then m.amount
            when s.c = m.c1 then m.v1 when s.c = m.c2 then m.v2 end as v
from money m join shared s using (gid) left join sides o using (gid, one){parted}""",
            "own currency, else the presented one; what a person barred stays out",
        ),
    )


def plain_steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Groups that add up, or that only the key can join; the others are `uneven` or `several`."""
    single = "n_many = 1" if rec.cardinality == "one_to_one" else "true"
    left, right = ("mid", "eid") if keys.one_side(rec) == "left" else ("eid", "mid")
    return (
        Step(
            "group_sums",
            """
create or replace table group_sums as
select gid, any_value(unit) as unit, any_value(c) as c, bool_or(lacks) as lacks,
       count(*) filter (one) as n_one, count(*) filter (not one) as n_many,
       sum(v) filter (one) as target, sum(v) filter (not one) as total,
       coalesce(any_value(currency order by event_key) filter (one), max(own)) as own,
       arg_min(eid, event_key) filter (one) as mid,
       bool_or(dead) filter (one) <> bool_or(dead) filter (not one) as status_note
from group_rows group by gid having n_one > 0 and n_many > 0""",
            "what each group adds up to",
        ),
        Step(
            "outsiders_apart",
            f"""
insert into conflicts
select {left}, {right}, {quote_text(key)}, 'id_conflict' from outsiders join group_sums using (gid)
""",
            "they share the key, and go on",
        ),
        Step(
            "plain",
            f"""
create or replace table plain as
select *, case when c is not null then null when lacks then 'no_amount' else 'currency' end
       as amount_note
from group_sums
where unit and {single} and (c is null or {amounts.ties(rec, "total")});
create or replace table uneven as
select g.* from group_sums g anti join plain using (gid) where unit and c is not null;
create or replace table several as
select g.* from group_sums g anti join plain using (gid) where not unit or c is null""",
            "the parts add up, or only the key can tell",
        ),
        Step(
            "plain_live",
            f"""
insert into live_groups
select mid, 'exact', {quote_text(key)}, coalesce(c, own), left_sum, right_sum, amount_note,
       status_note, case when amount_note = 'currency' then 'currency' end, 1.0, null, null
from (select *, {amounts.side_sums(rec)} from plain);
insert into more_members
select p.mid, r.eid, case when r.one then 'principal' else 'part' end, true, r.v
from plain p join group_rows r using (gid)""",
            "split payments, members of a payout",
        ),
    )
