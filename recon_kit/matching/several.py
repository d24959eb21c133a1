"""Key groups with several principals: told apart by amounts where the answer is unique.

Each row of the many side that agrees with exactly one principal belongs to it, and equals of such a
row repeat it. Where parts are allowed, a split may hide behind a pair that fits; so the answer
stands only if nothing is left over on one of the sides, or what is left over adds up to the one
principal that is left. Otherwise nobody is matched and the possible pairs are noted as ambiguous.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Step
from recon_kit.matching import amounts, keys
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# Pairs tried in one group of several principals; beyond it the group is ambiguous as it stands.
PAIRS_PER_GROUP_MAX = 10_000
# Pairs noted of an ambiguous group; of larger groups each row's nearest three by amount.
PAIRS_NOTED_MAX = 100
NEAREST_NOTED = 3


def steps(rec: Reconciliation, key: str) -> tuple[Step, ...]:
    """Resolve the groups of table `several`."""
    left, right = ("o", "m") if keys.one_side(rec) == "left" else ("m", "o")
    value = "right_sum" if left == "o" else "left_sum"
    whole = "true" if rec.cardinality == "one_to_one" else "ones_left = 0 or many_left = 0"
    tie = "false" if rec.cardinality == "one_to_one" else amounts.ties(rec, "total")
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
select * exclude (low, high, one_currency) from (
    select * exclude (ways), row_number() over (
               partition by o_eid order by dead, ts nulls last, m_key) as turn,
           min({value}) over (partition by o_eid) as low,
           max({value}) over (partition by o_eid) as high,
           min(currency) over (partition by o_eid) = max(currency) over (partition by o_eid)
               as one_currency
    from (select *, count(*) over (partition by m_eid) as ways
          from trials where amount_note is null)
    where ways = 1)
where low = high and one_currency""",
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
        *_live_steps(rec, key, left, right),
    )


def _live_steps(rec: Reconciliation, key: str, left: str, right: str) -> tuple[Step, ...]:
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
insert into more_members
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
from (select *, {amounts.side_sums(rec)} from several_state where verdict = 'adds_up') s
join (select gid, {status} as status_note from left_over group by gid) using (gid);
insert into more_members
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
select case when one = ('{left}' = 'o') then eid end,
       case when one <> ('{left}' = 'o') then eid end, {used}
from group_rows r
join (from several where n_one * n_many > {PAIRS_PER_GROUP_MAX}) g using (gid)""",
            "answers of which none is better",
        ),
    )
