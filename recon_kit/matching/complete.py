"""Late parts: open events that make a match with a residual add up.

A part may carry another key than the one that made the match (the second charge of a split names
only its transaction), or come after a person joined the first one. Where the open events that share
any declared key with a match, and with no other one, bring its sums together within tolerance,
they are its parts. Nothing is added that does not close the residual.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, keys
from recon_kit.matching.dispose import residual_open
from recon_kit.settings import Reconciliation


def run(engine: Engine, rec: Reconciliation, *, barred: bool) -> None:
    """Complete matches from `rest`, whose table `open_wide` is without their parts then.

    `barred` is whether a person parted any pair of the pool.
    """
    if rec.cardinality == "one_to_one" or not rec.keys:
        return
    engine.run(needy_step(rec))
    if not engine.count("needy"):
        return
    engine.run(*found_steps(rec, barred=barred))
    if engine.count("completed"):
        engine.run(*live_steps(rec))


def needy_step(rec: Reconciliation) -> Step:
    """Matches that leave money open."""
    open_money = f"currency is not null and {residual_open(rec)}"
    return Step(
        "needy",
        f"""
create or replace table needy as
select mid, currency, left_sum, right_sum from more_pairs where {open_money}
union all
select mid, currency, left_sum, right_sum from live_groups where {open_money}""",
        "matches that leave money open",
    )


def found_steps(rec: Reconciliation, *, barred: bool) -> tuple[Step, ...]:
    """`late_parts(mid, eid, v)` and `completed(mid, total)`."""
    one = keys.one_side(rec)
    many, number = ("right", 1) if one == "left" else ("left", 0)
    # each row once with each of its keys: one join looks for all of them
    carried = ", ".join(
        f"unnest([{listed}]) as {name}"
        for name, listed in (
            ("key", ", ".join(str(i) for i in range(len(rec.keys)))),
            ("k", ", ".join(f"k{i}" for i in range(len(rec.keys)))),
            ("t", ", ".join(f"t{i}" for i in range(len(rec.keys)))),
        )
    )
    parted = (
        """
    where not exists (
        from barred_pool b where (b.left_eid = sharing.member and b.right_eid = sharing.eid)
                              or (b.right_eid = sharing.member and b.left_eid = sharing.eid))"""
        if barred
        else ""
    )
    return (
        Step(
            "late_parts",
            f"""
create or replace table late_parts as
with members as (
    select mid, eid as member, {carried}
    from needy
    join (select mid, unnest([left_eid, right_eid]) as eid from more_pairs
          union all select mid, eid from live_members) m using (mid)
    join second_look using (eid)
), sharing as (
    select m.mid, m.member, r.eid
    from members m
    join (select eid, {carried} from rest where side = {number}) r using (key, k, t)
), single as (
    select eid, min(mid) as mid from sharing{parted}
    group by eid having count(distinct mid) = 1
)
select s.mid, s.eid, {amounts.amount_in("n.currency", "r")} as v
from single s join needy n using (mid) join rest r using (eid);
create or replace table completed as
select mid, total from (
    select n.mid, n.{one}_sum as target, n.{many}_sum + sum(p.v) as total
    from needy n join late_parts p using (mid)
    group by n.mid, n.{one}_sum, n.{many}_sum having count(p.v) = count(*))
where {amounts.ties(rec, "total")}""",
            "open events that share a key with them alone and close the residual",
        ),
    )


def live_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Add the late parts to their matches."""
    one = keys.one_side(rec)
    many = "right" if one == "left" else "left"
    return (
        Step(
            "completed_live",
            f"""
insert into more_members
select mid, {one}_eid, 'principal', true, {one}_sum from more_pairs semi join completed using (mid)
union all
select mid, {many}_eid, 'part', true, {many}_sum from more_pairs semi join completed using (mid)
union all
select mid, eid, 'part', true, v from late_parts semi join completed using (mid);
delete from open_wide where eid in (select eid from late_parts semi join completed using (mid));
create or replace table completed_heads as
select * exclude (left_eid, right_eid, left_key, right_key)
from more_pairs semi join completed using (mid)
union all by name
from live_groups semi join completed using (mid);
delete from more_pairs where mid in (select mid from completed);
delete from live_groups where mid in (select mid from completed);
insert into live_groups
select h.* replace (c.total as {many}_sum, null as amount_note,
                    case when doubt = 'id_conflict' then null else doubt end as doubt)
from completed_heads h join completed c using (mid)""",
            "the match takes them in",
        ),
    )
