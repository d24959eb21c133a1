"""Key groups of more than two events: splits, duplicates, payout members, strangers.

A group is all open rows that share a key. The side that may have a single member is the `one`
side, the other the `many` side. In order, for a group with one principal (and for the whole group
where both sides may be many):

1. the many add up to the one: all are parts;
2. one alone equals the principal and others equal it too, or rows repeat a transaction: the
   repeats are duplicates;
3. without those whose customer is another one it adds up: these are set apart (`id_conflict`);
4. otherwise a match with a residual, without those whom amount, customer and time all contradict.

Several principals that share a key are told apart by amounts only where the answer is unique;
otherwise every possible pair is noted as ambiguous and nobody is matched.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, contradictions, keys
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# Pairs tried in one group of several principals; beyond it the group is ambiguous as it stands.
PAIRS_PER_GROUP_MAX = 10_000
# Pairs noted of an ambiguous group; of larger groups each row's nearest three by amount.
PAIRS_NOTED_MAX = 100
NEAREST_NOTED = 3


def run(engine: Engine, rec: Reconciliation, number: int, key: str, zone: str) -> None:
    """Resolve the groups of the keys in `crowd`; see the tables in `exact`."""
    engine.run(*gather_steps(rec, number))
    engine.run(*plain_steps(rec, key))
    if engine.count("hard"):
        engine.run(*suspect_steps(rec), *contradictions.steps(rec, zone))
        engine.run(*hard_steps(rec), *settle_steps(rec, key))
    if engine.count("several"):
        engine.run(*several_steps(rec, key))


def gather_steps(rec: Reconciliation, number: int) -> tuple[Step, ...]:
    """Rows of joint groups with their amounts in the one currency all of them share."""
    k, t = f"k{number}", f"t{number}"
    one = 0 if keys.one_side(rec) == "left" else 1
    unit = "true" if rec.cardinality == "many_to_many" else "n_one = 1"
    return (
        Step(
            "groups",
            f"""
create or replace table crowd_rows as
select eid, event_key, side, side = {one} as one, amount, currency, shown, shown_currency, ts,
       dead, {k} as k, {t} as t
from rest semi join crowd on crowd.k = {k};
create or replace table key_groups as
select row_number() over () as gid, *, {unit} as unit from (
    select k, t, count(*) filter (one) as n_one, count(*) filter (not one) as n_many,
           arg_min(case when amount is not null then currency end, event_key)
               filter (one and amount is not null) as c1,
           arg_min(shown_currency, event_key) filter (one and shown is not null) as c2
    from crowd_rows group by k, t having n_one > 0 and n_many > 0)""",
            "groups with both sides, and the currencies its principal can be told in",
        ),
        Step(
            "group_rows",
            f"""
create or replace table group_rows as
with money as (
    select g.gid, g.unit, r.*, {amounts.amount_in("g.c1", "r")} as v1,
           {amounts.amount_in("g.c2", "r")} as v2, g.c1, g.c2
    from crowd_rows r join key_groups g on r.k = g.k and r.t = g.t
), shared as (
    select gid, case when count(v1) = count(*) then any_value(c1)
                     when count(v2) = count(*) then any_value(c2) end as c,
           bool_or({amounts.lacks_amount("money")}) as lacks
    from money group by gid
)
select m.gid, m.unit, m.eid, m.event_key, m.one, m.ts, m.dead, m.amount, m.currency, m.shown,
       m.shown_currency, s.c, s.lacks, case when s.c = m.c1 then m.v1 else m.v2 end as v
from money m join shared s using (gid)
where not (m.unit and not m.one and exists (
    from barred_pool b join crowd_rows p on p.one and p.k = m.k and p.t = m.t
    where (b.left_eid = p.eid and b.right_eid = m.eid)
       or (b.right_eid = p.eid and b.left_eid = m.eid)))""",
            "own currency, else the presented one; what a person barred stays out",
        ),
    )


def _sums(rec: Reconciliation) -> str:
    """`left_sum, right_sum` from the sums of the one (`target`) and the many (`total`)."""
    if keys.one_side(rec) == "left":
        return "target as left_sum, total as right_sum"
    return "total as left_sum, target as right_sum"


def _ties(rec: Reconciliation, total: str) -> str:
    """Whether the many's total agrees with the target."""
    if keys.one_side(rec) == "left":
        return amounts.agree(rec, "target", total)
    return amounts.agree(rec, total, "target")


def plain_steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Groups that add up, or that only the key can join; the others are `hard` or `several`."""
    single = "n_many = 1" if rec.cardinality == "one_to_one" else "true"
    return (
        Step(
            "group_sums",
            f"""
create or replace table group_sums as
select gid, any_value(unit) as unit, any_value(c) as c, bool_or(lacks) as lacks,
       count(*) filter (one) as n_one, count(*) filter (not one) as n_many,
       sum(v) filter (one) as target, sum(v) filter (not one) as total,
       any_value(currency order by event_key) filter (one) as own,
       min(eid) filter (one) as mid, min(eid) filter (not one) as other,
       bool_or(dead) filter (one) <> bool_or(dead) filter (not one) as status_note
from group_rows group by gid having n_one > 0 and n_many > 0""",
            "what each group adds up to",
        ),
        Step(
            "plain",
            f"""
create or replace table plain as
select *, case when c is not null then null when lacks then 'no_amount' else 'currency' end
       as amount_note
from group_sums
where unit and {single} and (c is null or {_ties(rec, "total")});
create or replace table hard as
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
from (select *, {_sums(rec)} from plain);
insert into live_members
select p.mid, r.eid, case when r.one then 'principal' else 'part' end, true, r.v
from plain p join group_rows r using (gid)""",
            "split payments, members of a payout",
        ),
    )


def suspect_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Pairs of a hard group's principal with each of its many."""
    left, right = ("o", "m") if keys.one_side(rec) == "left" else ("m", "o")
    return (
        Step(
            "suspects",
            f"""
create or replace table suspects as
select {left}.eid as left_eid, {right}.eid as right_eid
from (from hard where n_one = 1) h
join group_rows o on o.gid = h.gid and o.one
join group_rows m on m.gid = h.gid and not m.one""",
            "who contradicts the principal",
        ),
    )


def hard_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Choose the members of groups that do not add up as they stand; see the module's list."""
    many = "right" if keys.one_side(rec) == "left" else "left"
    # Sets of rows to try, in order: all; all of the same customer; all that are not contradicted
    # in every way. Each first with equals of the target set apart, then with repeats set apart.
    sets = {"a": "true", "b": "not stranger", "c": "not alien"}
    tried = [(s, way) for s in sets for way in ("equal", "again")]
    totals = ",\n       ".join(
        f"coalesce(sum(v) filter ({rows}), 0) - case when count(*) filter ({rows} and equals) > 1"
        f" then any_value(v) filter (equals)"
        f" * (count(*) filter ({rows} and equals) - 1) else 0 end as {s}_equal,\n       "
        f"coalesce(sum(v) filter ({rows} and not again), 0) as {s}_again,\n       "
        f"count(*) filter ({rows}) as {s}_rows"
        for s, rows in sets.items()
    )
    arms = " ".join(
        f"when {s}_rows > 0 and {_ties(rec, f'{s}_{way}')} then '{s}{way}'" for s, way in tried
    )
    return (
        Step(
            "hard_rows",
            f"""
create or replace table hard_rows as
with judged as (
    select r.gid, r.eid, r.event_key, r.v, r.dead, r.ts, h.target,
           coalesce(v.customer = 'disagree', false) as stranger, coalesce(v.late, false) as late,
           {_ties(rec, "r.v")} as fits
    from hard h
    join group_rows r on r.gid = h.gid and not r.one
    left join verdicts v on v.{many}_eid = r.eid
), paid as (
    select j.gid, j.eid, e.transaction_id as tx
    from judged j join (select event_key, transaction_id from events) e using (event_key)
), alike as (
    select gid, min(v) filter (fits) as v_min, max(v) filter (fits) as v_max
    from judged group by gid
)
select j.*, fits and v_min = v_max as equals, stranger and late and not fits as alien,
       tx is not null and row_number() over (
           partition by j.gid, tx, v order by dead, j.ts nulls last, event_key) > 1 as again
from judged j join alike using (gid) join paid using (gid, eid)""",
            "which rows fit alone, repeat one another, or belong to somebody else",
        ),
        Step(
            "hard_choice",
            f"""
create or replace table hard_choice as
select h.*, choice, fitting, same_fitting, known_rows
from hard h join (
    select gid, c_rows as known_rows, case {arms} when c_rows > 0 then 'rest' else 'none' end as choice, fitting,
           same_fitting
    from (
        select gid, any_value(target) as target, count(*) filter (fits) as fitting,
               coalesce(bool_and(equals) filter (fits), false) as same_fitting,
       {totals}
        from hard_rows group by gid)) using (gid)""",
            "the first set of rows that adds up",
        ),
    )


def settle_steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Write hard groups as matches: parts, duplicates and those set apart."""
    used = quote_text(key)
    single = rec.cardinality == "one_to_one"
    left, right = ("mid", "eid") if keys.one_side(rec) == "left" else ("eid", "mid")
    # Under one_to_one only a row that equals the principal alone may stand, with its repeats.
    stays = "case left(choice, 1) when 'a' then true when 'b' then not stranger else not alien end"
    settled = "choice <> 'none'"
    if single:
        stays = "case when fitting > 0 then equals else not alien end"
        settled = "(same_fitting or (fitting = 0 and known_rows = 1))"
    return (
        Step(
            "settled",
            f"""
create or replace table settled as
with kept as (
    select c.gid, c.mid, c.choice, c.c, r.* exclude (gid), {stays} as stays
    from (from hard_choice where {settled}) c join hard_rows r using (gid)
)
select *, case when not stays then 'apart'
               when choice like '%again' and again then 'duplicate'
               when choice not like '%again' and equals and row_number() over (
                   partition by gid, stays and equals order by dead, stranger, ts nulls last,
                   event_key) > 1 then 'duplicate'
               else 'part' end as role
from kept""",
            "the earliest of equals is the payment, the others repeat it",
        ),
        Step(
            "settled_live",
            f"""
insert into live_groups
select mid, 'exact', {used}, c, left_sum, right_sum,
       case when {amounts.agree(rec, "left_sum", "right_sum")} then null
            else 'amount_mismatch' end as amount_note,
       status_note,
       case when amount_note is not null and strangers then 'id_conflict' end,
       1.0, null, null
from (
    select s.mid, any_value(s.c) as c, any_value(h.target) as target,
           coalesce(sum(s.v) filter (role = 'part'), 0) as total,
           coalesce(bool_or(s.stranger) filter (role = 'part'), false) as strangers,
           any_value(h.status_note) as status_note, {_sums(rec)}
    from settled s join hard h using (gid) group by s.mid);
insert into live_members
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
select {left}, {right}, {used},
       case when stranger then 'id_conflict' else 'cardinality' end
from settled where role = 'apart'
union all
select {left}, {right}, {used}, 'id_conflict'
from (select h.mid, r.eid from hard_choice h join hard_rows r using (gid) where choice = 'none');
insert into ambiguous
select {left}, {right}, {used}
from (select h.mid, r.eid from hard_choice h join hard_rows r using (gid)
      where not ({settled}) and choice <> 'none')""",
            "they share the key, and go on",
        ),
    )


def several_steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Several principals share the key: unique fits by amount, or nobody is matched."""
    left, right = ("o", "m") if keys.one_side(rec) == "left" else ("m", "o")
    value = "right_sum" if left == "o" else "left_sum"
    # A split may hide behind a pair that fits, so where parts are allowed nothing may be left
    # over on both sides, unless what is left over adds up as well.
    whole = "true" if rec.cardinality == "one_to_one" else "ones_left = 0 or many_left = 0"
    tie = "false" if rec.cardinality == "one_to_one" else _ties(rec, "total")
    return (
        Step(
            "trials",
            f"""
create or replace table trials as
select o.gid, o.eid as o_eid, m.eid as m_eid, m.event_key as m_key, o.event_key as o_key,
       m.dead, m.ts, abs(epoch_us(m.ts) - epoch_us(o.ts)) as apart,
       {amounts.pair_money(rec, left, right)}
from (from several where n_one * n_many <= {PAIRS_PER_GROUP_MAX}) g
join group_rows o on o.gid = g.gid and o.one
join group_rows m on m.gid = g.gid and not m.one
anti join barred_pool b on b.left_eid = {left}.eid and b.right_eid = {right}.eid;
create or replace table sole as
select * exclude (low, high) from (
    select * exclude (ways), row_number() over (
               partition by o_eid order by dead, ts nulls last, m_key) as turn,
           min({value}) over (partition by o_eid) as low,
           max({value}) over (partition by o_eid) as high
    from (select *, count(*) over (partition by m_eid) as ways
          from trials where amount_note is null)
    where ways = 1)
where low = high""",
            "rows that agree with exactly one principal, and those that repeat them",
        ),
        Step(
            "several_state",
            f"""
create or replace table left_over as
select r.* from group_rows r semi join several using (gid)
anti join (select o_eid as eid from sole union all select m_eid from sole) s using (eid);
create or replace table several_state as
select *, case when {whole} then 'fits' when ones_left = 1 and known and {tie} then 'adds_up'
               else 'ambiguous' end as verdict
from (
    select g.gid, g.n_one, g.n_many, count(l.eid) filter (l.one) as ones_left,
           count(l.eid) filter (not l.one) as many_left, count(l.v) = count(l.eid) as known,
           sum(l.v) filter (l.one) as target, sum(l.v) filter (not l.one) as total,
           min(l.eid) filter (l.one) as mid, any_value(l.c) as c
    from several g left join left_over l using (gid) group by g.gid, g.n_one, g.n_many)""",
            "what no unique fit explains",
        ),
        *_several_live(rec, key, left, right),
    )


def _several_live(rec: Reconciliation, key: str, left: str, right: str) -> tuple[Step, ...]:
    used, status = quote_text(key), "bool_or(dead) filter (one) <> bool_or(dead) filter (not one)"
    return (
        Step(
            "several_live",
            f"""
insert into live_groups
select o_eid, 'exact', {used}, any_value(currency), any_value(left_sum), any_value(right_sum),
       null, null, null, 1.0, null, null
from sole semi join (from several_state where verdict <> 'ambiguous') s using (gid)
group by o_eid;
insert into live_members
select o_eid, m_eid, case turn when 1 then 'part' else 'duplicate' end, turn = 1,
       {"right_sum" if left == "o" else "left_sum"}
from sole semi join (from several_state where verdict <> 'ambiguous') s using (gid)
union all
select distinct o_eid, o_eid, 'principal', true, {"left_sum" if left == "o" else "right_sum"}
from sole semi join (from several_state where verdict <> 'ambiguous') s using (gid)""",
            "each principal with the amount that only it has",
        ),
        Step(
            "several_rest",
            f"""
insert into live_groups
select mid, 'exact', {used}, s.c, left_sum, right_sum, null, status_note, null, 1.0, null, null
from (select *, {_sums(rec)} from several_state where verdict = 'adds_up') s
join (select gid, {status} as status_note from left_over group by gid) using (gid);
insert into live_members
select s.mid, l.eid, case when l.one then 'principal' else 'part' end, true, l.v
from (from several_state where verdict = 'adds_up') s join left_over l using (gid)""",
            "the last principal takes the rest, which adds up to it",
        ),
        Step(
            "several_ambiguous",
            f"""
insert into ambiguous
select {left}_eid, {right}_eid, {used} from (
    select t.*, g.ones_left, g.many_left, row_number() over (
               partition by m_eid order by abs(left_sum - right_sum) nulls last,
               apart nulls last, o_key) as nearness
    from trials t
    join (from several_state where verdict <> 'adds_up') g using (gid)
    where g.verdict = 'ambiguous' or (t.o_eid in (select eid from left_over)
                                      and t.m_eid in (select eid from left_over)))
where ones_left * many_left <= {PAIRS_NOTED_MAX} or nearness <= {NEAREST_NOTED}
union all
select case when one = ({left!r} = 'o') then eid end, case when one <> ({left!r} = 'o') then eid end,
       {used}
from group_rows r
join (from several where n_one * n_many > {PAIRS_PER_GROUP_MAX}) g using (gid)""",
            "answers of which none is better",
        ),
    )
