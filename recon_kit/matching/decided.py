"""Method `decided`: what people said, applied before anything else looks.

`same` pins a pair, `not_same` bars it from every later method, `no_counterpart` takes an event
out, `accept_residual` and `write_off` close what a match leaves open. A decision that names the
evidence it was made on is applied only while that evidence stands; what people disagree about is
applied for nobody (see `disputes`). Both are listed to be asked again (`reopened`).

Tables left behind: `live_pairs`, `live_groups`, `more_members` of method `decided`,
`barred_keys(left_key, right_key)` with `barred_pool(left_eid, right_eid)`, `excused(eid)` (left
out of the matching and of the open items), `closing(left_key, right_key, verdict, evidence_hash)`
and `reopened(seq, left_key, right_key, verdict, why_code)`.
"""

from __future__ import annotations

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, disputes, evidence, keys
from recon_kit.matching.components import components_sql
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# What is open after `run`.
STILL_OPEN = "select eid from rest anti join live_members using (eid)"


def run(engine: Engine, rec: Reconciliation) -> bool:
    """Apply the decisions in view `decisions`; returns whether a match was made of them."""
    mine = "select count(*) from decisions where reconciliation = ?"
    if not engine.one(mine, [rec.name])[0]:
        engine.run(undecided_step())
        return False
    engine.run(*read_steps(rec))
    if not engine.count("pins"):
        return False
    engine.run(*pin_steps(rec))
    return True


def undecided_step() -> Step:
    """The tables of `read_steps`, empty, where nobody has decided anything yet."""
    return Step(
        "undecided",
        """
create or replace table closing (seq bigint, left_key varchar, right_key varchar, verdict varchar,
    evidence_hash varchar);
create or replace table reopened (seq bigint, left_key varchar, right_key varchar,
    verdict varchar, why_code varchar);
create or replace table barred_keys (left_key varchar, right_key varchar);
create or replace table barred_pool (left_eid bigint, right_eid bigint);
create or replace table excused (eid bigint);
create or replace view rest as select * from pool where side < 2""",
        "nobody has decided anything yet",
    )


def read_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Sort decisions by what they do, those on changed evidence and disputed ones apart."""
    return (*said_steps(rec), *_effect_steps())


def said_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """`said` and `reopened`, of the views `decisions` and `events` alone."""
    pair_hash = evidence.pair_hash_sql("l", "r")
    lone_hash = model.digest_sql("coalesce(l.payload_hash, r.payload_hash)")
    return (
        *disputes.steps(rec),
        Step(
            "said",
            f"""
create or replace table said as
with pairs as (
    select seq, left_key, right_key, verdict, evidence_hash from words
    where seq not in (select seq from disputes)
    qualify row_number() over (partition by left_key, right_key order by seq desc) = 1
), now as (
    from pairs
    union all
    select seq, left_key, right_key, verdict, evidence_hash from decisions
    where reconciliation = {quote_text(rec.name)} and verdict not in {disputes.PAIR_VERDICTS}
    qualify row_number() over (partition by left_key, right_key order by seq desc) = 1
), hashes as (
    select event_key, payload_hash from events
    where event_key in (select left_key from now union all select right_key from now)
)
select d.seq, d.left_key, d.right_key, d.verdict, d.evidence_hash,
       l.event_key is null and d.left_key is not null
           or r.event_key is null and d.right_key is not null as gone,
       case when l.event_key is not null and r.event_key is not null then {pair_hash}
            else {lone_hash} end as hash_now
from now d
left join hashes l on l.event_key = d.left_key
left join hashes r on r.event_key = d.right_key""",
            "the latest word on each pair and on each residual",
        ),
        Step(
            "reopened",
            """
create or replace table reopened as
select seq, left_key, right_key, verdict,
       case when gone then 'event_gone' else 'evidence_changed' end as why_code
from said
where verdict in ('same', 'not_same', 'no_counterpart')
  and (gone or evidence_hash <> hash_now);
create or replace table standing as
from said anti join reopened using (seq);
insert into reopened
select seq, left_key, right_key, verdict, 'reviewers_disagree' from words
where seq in (select seq from disputes);
create or replace table closing as
select seq, left_key, right_key, verdict, evidence_hash
from standing where verdict in ('accept_residual', 'write_off')""",
            "decisions on changed evidence and disputed ones are asked again, not applied",
        ),
    )


def _effect_steps() -> tuple[Step, ...]:
    """What standing decisions do to the pool."""
    return (
        Step(
            "barred",
            """
create or replace table barred_keys as
select left_key, right_key from standing
where verdict = 'not_same' and left_key is not null and right_key is not null;
create or replace table barred_pool as
select l.eid as left_eid, r.eid as right_eid
from barred_keys b
join pool l on l.event_key = b.left_key
join pool r on r.event_key = b.right_key;
create or replace table excused as
select eid from pool
where event_key in (
    select unnest([left_key, right_key]) from standing where verdict = 'no_counterpart')""",
            "pairs that no method may join, events that have no counterpart",
        ),
        Step(
            "pins",
            """
create or replace table pins as
select distinct l.eid as left_eid, r.eid as right_eid, l.event_key as left_key,
       r.event_key as right_key
from (from standing where verdict = 'same') s
join (from pool where side = 0) l on l.event_key = s.left_key
join (from pool where side = 1) r on r.event_key = s.right_key
anti join excused x on x.eid = l.eid
anti join excused y on y.eid = r.eid""",
            "pairs that a person joined",
        ),
        Step(
            "rest",
            """
create or replace view rest as
select * from pool where side < 2 and eid not in (from excused)""",
            "what has no counterpart is out",
        ),
    )


def pin_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Pinned pairs that touch one another are one match, whatever the declared cardinality."""
    one = 0 if keys.one_side(rec) == "left" else 1
    groups = components_sql("select left_eid as a, right_eid as b from pins")
    return (
        Step(
            "pinned_rows",
            f"""
create or replace table pinned_groups as
select node as eid, root as gid from ({groups});
create or replace table torn as
select distinct l.gid from barred_pool b
join pinned_groups l on l.eid = b.left_eid join pinned_groups r on r.eid = b.right_eid
where l.gid = r.gid;
insert into reopened
select s.seq, s.left_key, s.right_key, 'same', 'contradicts_not_same'
from (from standing where verdict = 'same') s
join pins p using (left_key, right_key)
join (from pinned_groups where gid in (from torn)) g on g.eid = p.left_eid;
delete from pinned_groups where gid in (from torn);
create or replace table pinned_rows as
with money as (
    select g.gid, p.*, p.side = {one} as one,
           first_value(case when p.amount is not null then p.currency end) over w as c1,
           first_value(case when p.shown is not null then p.shown_currency end) over w as c2
    from pinned_groups g join pool p using (eid)
    window w as (partition by g.gid order by p.side <> {one}, p.event_key
                 rows between unbounded preceding and unbounded following)
), told as (
    select *, {amounts.amount_in("c1", "money")} as v1, {amounts.amount_in("c2", "money")} as v2
    from money
)
select *, case when count(v1) over g = count(*) over g then c1
               when count(v2) over g = count(*) over g then c2 end as c,
       case when count(v1) over g = count(*) over g then v1
            when count(v2) over g = count(*) over g then v2 end as v
from told window g as (partition by gid)""",
            "components of pinned pairs, in the currency all share",
        ),
        Step(
            "pinned_live",
            f"""
create or replace table pinned_sums as
select arg_min(eid, event_key) filter (one) as mid, gid, any_value(c) as currency,
       sum(v) filter (side = 0) as left_sum, sum(v) filter (side = 1) as right_sum,
       bool_or({amounts.lacks_amount("pinned_rows")}) as lacks,
       bool_or(dead) filter (side = 0) <> bool_or(dead) filter (side = 1) as status_note
from pinned_rows group by gid;
insert into live_groups
select mid, 'decided', 'decision', currency, left_sum, right_sum,
       case when currency is null then case when lacks then 'no_amount' else 'currency' end
            when {amounts.agree(rec, "left_sum", "right_sum")} then null
            else 'amount_mismatch' end,
       status_note, null, 1.0, null, null
from pinned_sums;
insert into more_members
select s.mid, r.eid, case when r.one then 'principal' else 'part' end, true, r.v
from pinned_sums s join pinned_rows r using (gid)""",
            "confirmed matches",
        ),
    )


def close_residuals(engine: Engine) -> None:
    """Find the matches and events that `accept_residual` and `write_off` settle.

    Leaves `closed_residuals(mid)` and `written_off(event_key)`; a decision on a match that has
    changed since (its `evidence_hash` is not that of the members now) goes to `reopened`.
    """
    engine.run(*(closing_steps() if engine.count("closing") else nothing_closed_steps()))


def nothing_closed_steps() -> tuple[Step, ...]:
    """Empty tables, where nobody accepted a residual."""
    return (
        Step(
            "closed_residuals",
            """
create or replace table closed_residuals (mid bigint);
create or replace table written_off (event_key varchar)""",
            "nobody accepted a residual",
        ),
    )


def closing_steps() -> tuple[Step, ...]:
    """The statements of `close_residuals`; see `evidence.evidence_hash` for the hash."""
    return (
        Step(
            "closing_matches",
            f"""
create or replace table closing_members as
with named as (
    select seq, verdict, evidence_hash, unnest([left_key, right_key]) as event_key from closing
), eids as (
    select n.seq, n.verdict, n.evidence_hash, n.event_key, p.eid
    from named n join (from pool where event_key in (select event_key from named)) p
      using (event_key)
), stands as (
    select left_eid as eid, mid from live_pairs where left_eid in (select eid from eids)
    union all
    select right_eid, mid from live_pairs where right_eid in (select eid from eids)
    union all
    select eid, mid from live_members where eid in (select eid from eids)
)
select e.seq, e.verdict, e.evidence_hash, e.event_key, s.mid
from eids e left join stands s using (eid);
create or replace table closing_evidence as
with wanted as (select distinct mid from closing_members where mid is not null), members as (
    select p.mid, unnest([left_key, right_key]) as event_key
    from live_pairs p semi join wanted using (mid)
    union all
    select m.mid, p.event_key
    from (from live_members semi join wanted using (mid)) m join pool p using (eid)
    union all
    select a.mid, p.event_key
    from (from live_attached semi join wanted using (mid)) a join pool p using (eid)
)
select m.mid, {evidence.members_hash_sql("e")} as hash_now
from members m join (select event_key, payload_hash from events) e using (event_key)
group by m.mid""",
            "which matches they speak of, and the evidence these stand on now",
        ),
        Step(
            "closed_residuals",
            """
create or replace table closed_residuals as
select distinct m.mid from closing_members m join closing_evidence e using (mid)
where m.evidence_hash is null or m.evidence_hash = e.hash_now;
create or replace table written_off as
select distinct event_key from closing_members where verdict = 'write_off' and mid is null;
insert into reopened
select c.seq, c.left_key, c.right_key, c.verdict, 'evidence_changed'
from closing c where seq in (
    select m.seq from closing_members m join closing_evidence e using (mid)
    where m.evidence_hash <> e.hash_now)""",
            "the residual is settled while the evidence stands",
        ),
    )
