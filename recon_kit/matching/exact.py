"""Method `exact`: whole groups of open events that share a declared key.

Keys are tried in the declared order on what is still open. Most groups are one left and one right
event: these go the short way, one hash join on 64-bit key hashes with the texts compared after it.
Larger groups are resolved in `groups`. What contradicts itself is taken back: see
`contradictions`.

Tables left behind (`eid`s of `pool`):

- `live_pairs`: matches of one left and one right event,
- `live_groups` and `live_members`: all other matches,
- `conflicts(left_eid, right_eid, key_used, why_code)`: joined by a key, kept apart by a veto,
- `ambiguous(left_eid, right_eid, key_used)`: answers of which none is better,
- `rest`: what is still open.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, complete, contradictions, fx, groups, keys, late
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

LIVE_COLUMNS = """mid bigint, method varchar, key_used varchar, currency varchar,
    left_sum hugeint, right_sum hugeint, amount_note varchar, status_note boolean,
    doubt varchar, confidence double, margin double, model_hash varchar"""


def prepare() -> tuple[Step, ...]:
    """Empty tables for the matches of all methods."""
    return (
        Step(
            "live_tables",
            f"""
create or replace table live_groups ({LIVE_COLUMNS});
create or replace table live_members (mid bigint, eid bigint, role varchar, counts boolean,
    allocated hugeint);
create or replace table live_pairs ({LIVE_COLUMNS}, left_eid bigint, right_eid bigint,
    left_key varchar, right_key varchar);
create or replace table conflicts (left_eid bigint, right_eid bigint, key_used varchar,
    why_code varchar);
create or replace table ambiguous (left_eid bigint, right_eid bigint, key_used varchar)""",
            "matches, members, and what was kept apart",
        ),
    )


def run(engine: Engine, rec: Reconciliation, zone: str) -> None:
    """Match all key groups of `rest`; `prepare` and `decided` must have run."""
    for number, key in enumerate(rec.keys):
        engine.run(*pair_steps(rec, number, key))
        crowded = engine.count("crowd") > 0
        if crowded:
            engine.run(*groups.steps(rec, number, key))
        if number == 0:
            engine.run(*late.steps())
        engine.run(*suspect_steps(key))
        if engine.count("suspects"):
            engine.run(*contradictions.steps(rec, zone), *fx.steps(rec), *veto_steps())
        if crowded:
            groups.resolve(engine, rec, key, zone)
        take_out(engine, number + 2)
    if not rec.keys:
        engine.run(*late.steps())
    if complete.run(engine, rec):
        take_out(engine, len(rec.keys) + 2)


def pair_steps(rec: Reconciliation, number: int, key: str) -> tuple[Step, ...]:
    """Groups of exactly one left and one right event."""
    used, k, t = quote_text(key), f"k{number}", f"t{number}"
    anchor = f"{keys.one_side(rec)}_eid"
    return (
        Step(
            f"{key}.crowd",
            f"create or replace table crowd as"
            f" select {k} as k from rest where {k} is not null group by k having count(*) > 2",
            "keys that more than two open events carry",
        ),
        Step(
            f"{key}.pairs",
            f"""
insert into live_pairs
select {anchor}, 'exact', {used}, currency, left_sum, right_sum, amount_note, status_note,
       case when amount_note = 'currency' then 'currency' end, 1.0, null, null,
       left_eid, right_eid, left_key, right_key
from (
    select l.eid as left_eid, r.eid as right_eid, l.event_key as left_key,
           r.event_key as right_key, l.dead <> r.dead as status_note, l.{t} = r.{t} as same_text,
           {amounts.pair_money(rec)}
    from (from rest where side = 0) l
    join (from rest where side = 1) r using ({k})
    anti join crowd on crowd.k = {k}
)
anti join barred_pool using (left_eid, right_eid)
where same_text""",
            "one left and one right event carry the key",
        ),
    )


def suspect_steps(key: str) -> tuple[Step, ...]:
    """Take pairs that disagree out of the matches until it is known what speaks against them."""
    return (
        Step(
            f"{key}.suspects",
            f"""
create or replace table suspect_pairs as
from live_pairs
where key_used = {quote_text(key)} and amount_note in ('amount_mismatch', 'currency');
create or replace table suspects as select left_eid, right_eid from suspect_pairs;
delete from live_pairs where left_eid in (select left_eid from suspects)""",
            "pairs whose amounts disagree, or that share no currency",
        ),
    )


def veto_steps() -> tuple[Step, ...]:
    """Put suspects back as matches, unless what they join contradicts itself."""
    return (
        Step(
            "judged",
            """
create or replace table judged as
select s.*, v.customer, f.plausible,
       coalesce(case when amount_note = 'currency' then not plausible end, false)
       or (customer = 'disagree' and late and not coalesce(plausible, false)) as vetoed
from suspect_pairs s
join verdicts v using (left_eid, right_eid)
left join rated f using (left_eid, right_eid)""",
            "veto: amount, customer and time all disagree, or the rate is implausible",
        ),
        Step(
            "conflicts",
            """
insert into conflicts
select left_eid, right_eid, key_used, 'id_conflict' from judged where vetoed""",
            "both sides go on",
        ),
        Step(
            "unsuspected",
            """
insert into live_pairs
select * exclude (customer, plausible, vetoed) replace (
    case when plausible then 'fx_residue' else amount_note end as amount_note,
    case when plausible then null when customer = 'disagree' then 'id_conflict'
         else doubt end as doubt)
from judged where not vetoed""",
            "two of three contradictions do not part a pair, but a person looks",
        ),
    )


def take_out(engine: Engine, number: int) -> None:
    """Take the members of all matches out of `rest`; `number` names the next working table."""
    engine.run(
        Step(
            f"rest.{number}",
            f"""
create or replace table rest_{number} as
from rest
anti join (select left_eid as eid from live_pairs union all select right_eid from live_pairs
           union all select eid from live_members) taken using (eid);
create or replace view rest as from rest_{number};
drop table if exists rest_{number - 1}""",
            "each method sees only what is open",
        ),
    )
