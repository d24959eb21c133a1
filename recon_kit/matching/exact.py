"""Method `exact`: whole groups of open events that share a declared key.

Keys are tried in the declared order on what is still open. Most groups are one left and one right
event: these go the short way, one hash join on 64-bit key hashes with the texts compared after it.
Larger groups are resolved in `groups`. What contradicts itself is taken back: see
`contradictions`.

Tables left behind (`eid`s of `pool`):

- `live_pairs`: matches of one left and one right event (a view; later ones go to `more_pairs`),
- `live_groups` and `live_members`: all other matches (members are a view: those of whole groups,
  which are many, stand in `whole_members` with what is read of them later, others in
  `more_members`),
- `conflicts(left_eid, right_eid, key_used, why_code)`: joined by a key, kept apart by a veto,
- `ambiguous(left_eid, right_eid, key_used)`: answers of which none is better,
- `rest`: what is still open.
"""

from __future__ import annotations

from collections.abc import Mapping

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import (
    amounts,
    complete,
    contradictions,
    fx,
    groups,
    keys,
    late,
    pool,
    repair,
)
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def live_columns(money: str) -> str:
    """Columns of live matches; `money` is the type of their sums."""
    return f"""mid bigint, method varchar, key_used varchar, currency varchar,
    left_sum {money}, right_sum {money}, amount_note varchar, status_note boolean,
    doubt varchar, confidence double, margin double, model_hash varchar"""


def prepare() -> tuple[Step, ...]:
    """Empty tables for the matches of all methods."""
    return (
        Step(
            "live_tables",
            f"""
create or replace table live_groups ({live_columns("hugeint")});
create or replace table more_members (mid bigint, eid bigint, role varchar, counts boolean,
    allocated hugeint);
create or replace table whole_members (mid bigint, eid bigint, role varchar, counts boolean,
    allocated hugeint, event_key varchar, side utinyint, ts timestamptz, key_used varchar);
create or replace view live_members as
from more_members union all select mid, eid, role, counts, allocated from whole_members;
create or replace table more_pairs ({live_columns("bigint")}, left_eid bigint, right_eid bigint,
    left_key varchar, right_key varchar);
create or replace view live_pairs as from more_pairs;
create or replace table conflicts (left_eid bigint, right_eid bigint, key_used varchar,
    why_code varchar);
create or replace table ambiguous (left_eid bigint, right_eid bigint, key_used varchar)""",
            "matches, members, and what was kept apart; a pair has the amounts of its two events",
        ),
    )


def run(
    engine: Engine,
    rec: Reconciliation,
    zone: str,
    normalisers: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Match all key groups of `rest`, then what a repaired key joins.

    Most families of steps are for the few: crowds, suspects, currencies. Each is left out where a
    count says that there is nobody it could be for.

    Args:
        engine: `prepare` and `decided` must have run.
        rec: the reconciliation.
        zone: of the workspace.
        normalisers: how sources spell their keys, by source (see `spelling`).
    """
    barred, shown = (bool(told) for told in engine.one(
        "select exists (from barred_pool), exists (from pool where shown is not null)"
    ))  # fmt: skip
    for number, key in enumerate(rec.keys):
        if number == 0:
            engine.run(crowd_keys_step(key))
            engine.run(crowd_step(rec, key, most=_most_are_crowded(engine)))
        engine.run(*(further_steps if number else first_steps)(
            rec, number, key, barred=barred, shown=shown
        ))  # fmt: skip
        crowded, suspected, rated = _exceptions(engine, number)
        if suspected and number:
            engine.run(suspects_step(rec, number))
        unequal = loose = False
        if crowded:
            unequal, loose = groups.run(engine, rec, key, barred=barred)
        if number == 0:
            engine.run(*late.steps(rec, _lone(), crowded=loose))
        if suspected:
            engine.run(*(fx.steps(rec) if rated else ()), *veto_steps(rec, zone, rated=rated))
        if unequal:
            groups.resolve(engine, rec, key, zone)
    if not rec.keys:
        engine.run(keyless_step(), *late.steps(rec, "select eid, event_key from rest"))
        return
    engine.run(live_step(rec), open_step(rec))
    complete.run(engine, rec, barred=barred)
    if repair.run(engine, rec, zone, normalisers or {}):
        engine.run(rest_step(len(rec.keys) + 2, repair.STILL_OPEN))


def _exceptions(engine: Engine, number: int) -> tuple[bool, bool, bool]:
    """Whether a key has crowds, suspects, and suspects without a currency in common."""
    crowded, suspected, rated = engine.one(
        f"""select exists (from crowd_rows), count(*) > 0,
                   coalesce(bool_or(amount_note = 'currency'), false)
            from joined_{number} where met and not stands"""
    )
    return bool(crowded), bool(suspected), bool(rated)


def keyless_step() -> Step:
    """Where no key is declared nobody has a partner yet."""
    return Step(
        "keyless",
        """
create or replace view crowd_rows as
select null::bigint as eid, null::varchar as event_key where false;
create or replace table suspect_pairs (left_eid bigint, right_eid bigint, left_key varchar,
    right_key varchar)""",
        "no key is declared",
    )


def crowd_keys_step(key: str) -> Step:
    """`crowd_keys(k, carried)`: first keys of more than two open events, and of how many."""
    return Step(
        f"{key}.crowd_keys",
        """
create or replace table crowd_keys as
select k0 as k, count(*) as carried from rest where k0 is not null
group by k having count(*) > 2""",
        "keys that more than two open events carry",
    )


def _most_are_crowded(engine: Engine) -> bool:
    """Whether more than half of what is open stands in crowds, as where payouts are taken apart."""
    most = engine.one(
        "select coalesce(sum(carried), 0) * 2 > (select count(*) from rest) from crowd_keys"
    )[0]
    return bool(most)


def crowd_step(rec: Reconciliation, key: str, *, most: bool) -> Step:
    """`crowd_rows`: events with a key of `crowd_keys`.

    Few are copied, as they are read often; where they are `most` of all, that would hold
    everything twice, and going through all again costs less.
    """
    rows = f"""
select {_keyed(rec)}, k0 as k, t0 as t, true as crowded
from rest semi join crowd_keys c on c.k = k0"""
    made = f"""
create or replace table keyed as{rows};
create or replace view crowd_rows as from keyed where crowded"""
    return Step(
        f"{key}.crowd",
        f"create or replace view crowd_rows as{rows}" if most else made,
        "events with a key that more than two open ones carry",
    )


def first_steps(
    rec: Reconciliation, number: int, key: str, *, barred: bool = False, shown: bool = True
) -> tuple[Step, ...]:
    """Groups of exactly one left and one right event by the first key, among all that is open.

    The join of the first key is a full one: who finds no partner comes out of it as well, which
    saves going through all events once more to see what is left. Its result stays as it is
    (deleting from a large table costs more than the join); `live_pairs` is a view of what stands in
    it.
    """
    k, t = f"k{number}", f"t{number}"
    left, right = (
        f"(select *, {t} as t from rest anti join crowd_keys c on c.k = {k} where side = {side})"
        for side in (pool.LEFT, pool.RIGHT)
    )
    joined = f"{left} l full join {right} r using ({k})"
    return (
        Step(
            f"{key}.pairs",
            f"create or replace table joined_{number} as"
            f" {_pairs(rec, joined, barred=barred, shown=shown)}",
            "one left and one right event carry the key",
        ),
        suspects_step(rec, number),
    )


def further_steps(
    rec: Reconciliation, number: int, key: str, *, barred: bool = False, shown: bool = True
) -> tuple[Step, ...]:
    """The same by a further key, among the rows of `second_look` that nobody has taken."""
    k, t = f"k{number}", f"t{number}"
    left, right = (
        f"(from keyed where not crowded and side = {side})" for side in (pool.LEFT, pool.RIGHT)
    )
    return (
        Step(
            f"{key}.crowd",
            f"""
create or replace table keyed as
with still_open as materialized (
    select {_keyed(rec)}, {k} as k, {t} as t
    from second_look anti join ({_taken(number)}) taken using (eid)
    where side < {pool.ATTACHED} and {k} is not null
)
select *, k in (select k from still_open group by k having count(*) > 2) as crowded
from still_open;
create or replace view crowd_rows as from keyed where crowded""",
            "each key sees only what is open, and who of it is more than two",
        ),
        Step(
            f"{key}.pairs",
            f"create or replace table joined_{number} as"
            f" {_pairs(rec, f'{left} l join {right} r using (k)', barred=barred, shown=shown)}",
            "one left and one right event carry the key",
        ),
    )


def _keyed(rec: Reconciliation) -> str:
    """Columns of `keyed` before its key."""
    one = pool.LEFT if keys.one_side(rec) == "left" else pool.RIGHT
    return (
        f"eid, event_key, side, side = {one} as one, amount, currency, shown, shown_currency, ts,"
        " dead"
    )


def _pairs(rec: Reconciliation, joined: str, *, barred: bool, shown: bool) -> str:
    """Query of a key's join: the two events, their money, whether they met and stand."""
    return f"""
select left_eid, right_eid, left_key, right_key, currency, left_sum, right_sum, amount_note,
       status_note, coalesce(same_text, false) as met,
       met and (amount_note is null or amount_note = 'no_amount') as stands
from (
    select l.eid as left_eid, r.eid as right_eid, l.event_key as left_key,
           r.event_key as right_key, l.dead <> r.dead as status_note,
           {_met(barred)} as same_text, {amounts.pair_money(rec, shown=shown)}
    from {joined}
)"""


def suspects_step(rec: Reconciliation, number: int) -> Step:
    """`suspect_pairs`: who met a partner with whom the amounts disagree."""
    return Step(
        f"{rec.keys[number]}.suspects",
        f"create or replace table suspect_pairs as {_joined(rec, number)} where met and not stands",
        "who met a partner with whom the amounts disagree",
    )


def live_step(rec: Reconciliation) -> Step:
    """`live_pairs`: what stands in the joins of all keys, and what came later."""
    stand = "".join(
        f"\n{_joined(rec, number)} where stands\nunion all" for number in range(len(rec.keys))
    )
    return Step(
        "live_pairs",
        f"""
create or replace view live_pairs as{stand}
from more_pairs""",
        "matches of one left and one right event",
    )


def _lone() -> str:
    """Who met nobody by the first key."""
    return """
    select coalesce(left_eid, right_eid) as eid, coalesce(left_key, right_key) as event_key
    from joined_0 where left_eid is null or right_eid is null
    union all
    select unnest([left_eid, right_eid]), unnest([left_key, right_key]) from joined_0
    where not met and left_eid is not null and right_eid is not null"""


def _joined(rec: Reconciliation, number: int) -> str:
    """Rows of a key's join in the columns of `live_pairs`."""
    return f"""select {keys.one_side(rec)}_eid as mid, 'exact' as method,
       {quote_text(rec.keys[number])} as key_used, currency, left_sum, right_sum, amount_note,
       status_note, case when amount_note = 'currency' then 'currency' end as doubt,
       1.0::double as confidence, null::double as margin, null::varchar as model_hash,
       left_eid, right_eid, left_key, right_key
from joined_{number}"""


def _met(barred: bool) -> str:
    """Whether both carry the very text of the key, and nobody barred the pair."""
    same = "l.t = r.t"
    if barred:
        same += " and (l.eid, r.eid) not in (select (left_eid, right_eid) from barred_pool)"
    return same


def veto_steps(rec: Reconciliation, zone: str, *, rated: bool) -> tuple[Step, ...]:
    """Put suspects back as matches, unless what they join contradicts itself.

    `rated` is whether `fx` judged some of them.
    """
    plausible = "f.plausible" if rated else "null::boolean as plausible"
    rates = "left join rated f using (left_eid, right_eid)" if rated else ""
    return (
        Step(
            "judged",
            f"""
create or replace table judged as
select s.*, v.customer, {plausible},
       coalesce(case when amount_note = 'currency' then not plausible end, false)
       or (customer = 'disagree' and late and not coalesce(plausible, false)) as vetoed
from suspect_pairs s
join ({contradictions.verdicts_sql(rec, zone, "suspect_pairs")}) v using (left_eid, right_eid)
{rates}""",
            "veto: amount, customer and time all disagree, or the rate is implausible",
        ),
        Step(
            "unsuspected",
            """
insert into conflicts
select left_eid, right_eid, key_used, 'id_conflict' from judged where vetoed;
insert into more_pairs
select * exclude (customer, plausible, vetoed) replace (
    case when plausible then 'fx_residue' else amount_note end as amount_note,
    case when plausible then null when customer = 'disagree' then 'id_conflict'
         else doubt end as doubt)
from judged where not vetoed""",
            "two of three contradictions do not part a pair, but a person looks",
        ),
    )


def _taken(number: int) -> str:
    """Query of those of `second_look` that found a partner by the keys before that number.

    What stands in the join of the first key is not among them: nobody looked at it twice.
    """
    joined = "".join(
        f"\nunion all select unnest([left_eid, right_eid]) from joined_{n} where stands"
        for n in range(1, number)
    )
    return f"""select eid from live_members
union all select unnest([left_eid, right_eid]) from more_pairs{joined}"""


def open_step(rec: Reconciliation) -> Step:
    """`rest` after the last key: what is open, with the ids that a repair reads."""
    columns = late.key_columns(rec)
    return Step(
        "open_wide",
        f"""
create or replace table open_wide as
select {columns}, {late.IDS} from second_look anti join ({_taken(len(rec.keys))}) taken using (eid)
where side < {pool.ATTACHED};
create or replace view rest as select {columns} from open_wide;
drop table if exists rest_1""",
        "no partner, a vetoed one, or a crowd that came to nothing: all others are taken",
    )


def rest_step(number: int, still_open: str) -> Step:
    """Narrow `rest` down to some events.

    Args:
        number: of the next working table; those before it go.
        still_open: query of the `eid`s that stay.
    """
    gone = ["open_wide", *(f"rest_{earlier}" for earlier in range(1, number))]
    dropped = ";\n".join(f"drop table if exists {name}" for name in gone)
    return Step(
        f"rest.{number}",
        f"""
create or replace table rest_{number} as
from rest semi join ({still_open}) still_open using (eid);
create or replace view rest as from rest_{number};
{dropped}""",
        "each method sees only what is open",
    )
