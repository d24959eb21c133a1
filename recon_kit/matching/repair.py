"""Repaired keys: open events whose keys say the same in another spelling, or by another row.

| repair, as `key_used` tells it | what it follows |
| --- | --- |
| `order_id (zero padding)` | the spellings that `key_normalisers` of the sources declare |
| `transaction_id (external id)` | `pi_`, `ch_`, `txn_`: the vendor's ids of one object |
| `order_id (parent)` | the key of the row that `parent_key` names |
| `order_id (mention)` | an id of the other side in the description, where it names one alone |

A repair is evidence of a weaker kind, so what it joins is looked at more strictly than what a
plain key joins: the amounts must agree (or, where one side tells none, the customer), the time must
lie within the window, and the customer must not differ. What contradicts goes on to the next
methods as if nothing had been found; equal answers are put to a person. Nothing here touches an
event that a plain key has matched.

Tables left behind: matches in `more_pairs`, `live_groups` and `more_members`, questions in
`ambiguous`, and `repaired(left_eid, right_eid, key_used, stands)`.
"""

from __future__ import annotations

from collections.abc import Mapping

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, contradictions, keys, late, spelling
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# What is open after `run`.
STILL_OPEN = "select eid from rest anti join repaired_taken using (eid)"
# A text that more open rows of a side carry tells no single event.
CARRIERS_MAX = 20
# What in a description may be an id.
WORDS = "regexp_extract_all(description, '[\\p{L}\\p{N}][\\p{L}\\p{N}_-]{3,}')"
_ANY = -1  # an id that may be any of the declared keys


def run(
    engine: Engine, rec: Reconciliation, zone: str, normalisers: Mapping[str, tuple[str, ...]]
) -> bool:
    """Match events of `open_wide` by repaired keys; returns whether any was.

    What found a partner is in `repaired_taken`.
    """
    sides, parents, memos = engine.one(
        "select count(distinct side), count(parent_key), count(description) from open_wide"
    )
    if sides != 2:
        return False
    sources = {*rec.left.sources, *rec.right.sources}
    declared = {name: words for name, words in normalisers.items() if name in sources}
    engine.run(*said_steps(rec, declared))
    if parents:
        engine.run(*parent_steps(rec))
    if memos:
        engine.run(words_step())
        late.carriers(engine, rec, words="words")
        engine.run(mention_step())
    engine.run(pair_step(rec))
    engine.drop("said")
    if not engine.count("repair_pairs"):
        return False
    engine.run(
        *contradictions.steps(rec, zone, "repair_pairs"), *judge_steps(rec), *live_steps(rec),
        taken_step(),
    )  # fmt: skip
    return engine.count("repaired_taken") > 0


def said_steps(rec: Reconciliation, declared: Mapping[str, tuple[str, ...]]) -> tuple[Step, ...]:
    """`said(eid, side, number, text, how, rank)`: every id an open event carries, and by what way.

    `number` is the place of the declared key, or `_ANY`; `how` is null for the key as it stands;
    of several ways the one of the lowest `rank` is told.
    """
    plain = [
        f"select eid, side, {i} as number, t{i} as text, null::varchar as how, 0 as rank"
        f" from open_wide where k{i} is not null"
        for i in range(len(rec.keys))
    ]
    spelled = [
        f"select eid, side, {i}, s.text, array_to_string(s.how, ', '), 0 from ("
        f"select *, {told} as s from open_wide where k{i} is not null) where len(s.how) > 0"
        for i in range(len(rec.keys))
        for told in [spelling.spelled_sql(f"t{i}", "source", declared)]
        if told is not None
    ]
    external = [
        f"""select eid, side, {_ANY}, unnest(json_extract_string(external_ids, '$.*')),
            'external id', 1 from open_wide where external_ids is not null""",
        *(
            f"select eid, side, {_ANY}, {column}, 'own id', 1 from open_wide"
            f" where {column} is not null"
            for column in ("native_id", "transaction_id")
        ),
    ]
    arms = "\nunion all ".join([*plain, *spelled, *external])
    return (
        Step("said", f"create or replace table said as {arms}", "ids as they stand, and as meant"),
    )


def parent_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Add to `said` the keys of the row that an open event names as its parent."""
    columns = ", ".join(f"{keys.key_text(k)} as t{i}" for i, k in enumerate(rec.keys))
    wanted = "(select parent_key from open_wide)"
    # a correction is paid out with other payments than what it corrects
    inherited = [i for i, key in enumerate(rec.keys) if key != "payout_id"]
    arms = "\nunion all ".join(
        f"select eid, side, {i}, t{i}, 'parent', 2 from parent_rows"
        f" where ({keys.key_hash(f't{i}')}) is not null"
        for i in inherited
    )
    if not arms:
        return ()
    return (
        Step(
            "parent_rows",
            f"""
create or replace table parent_rows as
select distinct o.eid, o.side, e.* exclude (source, handle, event_key)
from (from open_wide where parent_key is not null) o join (
    select source, event_key, {columns}, unnest([native_id, transaction_id]) as handle from events
    where native_id in {wanted} or transaction_id in {wanted}
) e on e.source = o.source and e.handle = o.parent_key and e.event_key <> o.event_key;
insert into said {arms}""",
            "refund to payment to order: the keys of the row it corrects",
        ),
    )


def words_step() -> Step:
    """`words(eid, side, word)`: what in the descriptions of open events may be an id."""
    return Step(
        "words",
        f"""
create or replace table words as
select distinct eid, side, unnest({WORDS}) as word
from open_wide where description is not null""",
        "an order may be named in a memo",
    )


def mention_step() -> Step:
    """Add to `said` the one id of the other side that a description names."""
    return Step(
        "mentions",
        """
create or replace table mentions as
with hits as (
    select w.eid, w.side, c.number, w.word, c.eid as other
    from words w join carriers c on c.t = w.word and c.side = 1 - w.side
)
select eid, side, number, word from hits
where eid in (select eid from hits group by eid having count(distinct other) = 1);
insert into said select eid, side, number, word, 'mention', 3 from mentions""",
        "where it names one alone, settled or not",
    )


def pair_step(rec: Reconciliation) -> Step:
    """`repair_pairs(left_eid, right_eid, key_used)`: which open events a repair joins."""
    names = ", ".join(quote_text(key) for key in rec.keys)
    return Step(
        "repair_pairs",
        f"""
create or replace table repair_pairs as
with telling as (
    select distinct * from said
    -- what the other side never says meets nobody: most ids go here
    semi join (select text from said semi join (select text from said where side = 1) theirs
               using (text) where side = 0) met using (text)
    -- a short number is the own id of many things
    where not (coalesce(how, '') in ('own id', 'external id')
               and (length(text) < 3 or regexp_full_match(text, '[0-9]{{1,7}}')))
    qualify count(*) over (partition by side, text, number, how) <= {CARRIERS_MAX}
), joined as (
    select l.eid as left_eid, r.eid as right_eid, greatest(l.rank, r.rank) as rank,
           [{names}][nullif(greatest(l.number, r.number), {_ANY}) + 1] as key,
           array_to_string(list_sort(list_distinct(string_split(
               replace(concat_ws(', ', l.how, r.how), 'own id', 'external id'), ', '))), ', ')
               as how
    from (from telling where side = 0) l join (from telling where side = 1) r using (text)
    where (l.number = r.number or {_ANY} in (l.number, r.number))
      and coalesce(l.how, r.how) is not null
      -- what is a guess on one side must stand as it is on the other
      and (coalesce(l.how, '') not in ('mention', 'own id', 'parent')
           or r.how is null or r.how = 'external id' and l.how = 'own id')
      and (coalesce(r.how, '') not in ('mention', 'own id', 'parent')
           or l.how is null or l.how = 'external id' and r.how = 'own id')
)
select left_eid, right_eid, arg_min(key_used, (rank, key is null, key_used)) as key_used
from (select *, coalesce(key || ' (' || how || ')', how) as key_used from joined)
anti join barred_pool using (left_eid, right_eid)
anti join conflicts using (left_eid, right_eid)
group by left_eid, right_eid""",
        "the same id by another way",
    )


def judge_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """`repaired`: the pairs with their money; `stands` where nothing speaks against them."""
    one, many = _sides(rec)
    single = rec.cardinality == "one_to_one"
    return (
        Step(
            "repaired",
            f"""
create or replace table repaired as
select *, apart is null and (amount_note is null
          or amount_note = 'no_amount' and customer = 'agree') as stands
from (
    select p.left_eid, p.right_eid, p.key_used, l.event_key as left_key,
           r.event_key as right_key, l.dead <> r.dead as status_note, v.customer,
           case when v.late then 'late' when v.customer = 'disagree' then 'customer' end as apart,
           {amounts.pair_money(rec)}
    from repair_pairs p
    join second_look l on l.eid = p.left_eid join second_look r on r.eid = p.right_eid
    join verdicts v on v.left_eid = p.left_eid and v.right_eid = p.right_eid
)""",
            "stricter than for a plain key: amount, customer and time",
        ),
        Step(
            "repaired_alone",
            f"""
create or replace table repaired_alone as
select * from repaired where stands
qualify count(*) over (partition by left_eid) = 1 and count(*) over (partition by right_eid) = 1;
create or replace table repaired_splits as
with parts as (
    select * from repaired where apart is null and amount_note = 'amount_mismatch' and {not single}
      and {one}_eid not in (select {one}_eid from repaired where stands)
    qualify count(*) over (partition by {many}_eid) = 1
), sums as (
    select {one}_eid as mid, currency, min({one}_sum) as target, sum({many}_sum) as total
    from parts group by {one}_eid, currency having count(*) > 1
)
from (select p.*, p.{one}_eid as mid, s.target, s.total
      from parts p join sums s on s.mid = p.{one}_eid and s.currency = p.currency)
where {amounts.ties(rec, "total")};
insert into ambiguous
select left_eid, right_eid, key_used from repaired r
where stands and not exists (from repaired_alone a
    where a.left_eid = r.left_eid and a.right_eid = r.right_eid)""",
            "one answer alone, parts that add up; several answers are for a person",
        ),
    )


def live_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Put the answers among the matches."""
    one, many = _sides(rec)
    return (
        Step(
            "repaired_live",
            f"""
insert into more_pairs by name
select {one}_eid as mid, 'exact' as method, key_used, currency, left_sum, right_sum, amount_note,
       status_note, null as doubt, 1.0 as confidence, null as margin, null as model_hash,
       left_eid, right_eid, left_key, right_key
from repaired_alone;
insert into live_groups by name
select mid, 'exact' as method, min(key_used) as key_used, min(currency) as currency,
       {"min(target)" if one == "left" else "min(total)"} as left_sum,
       {"min(total)" if one == "left" else "min(target)"} as right_sum, null as amount_note,
       bool_or(status_note) as status_note, null as doubt, 1.0 as confidence, null as margin,
       null as model_hash
from repaired_splits group by mid;
insert into more_members by name
select mid, {many}_eid as eid, 'part' as role, true as counts, {many}_sum as allocated
from repaired_splits
union all by name
select mid, mid as eid, 'principal' as role, true as counts, min(target) as allocated
from repaired_splits group by mid""",
            "matched by a key that says how it was repaired",
        ),
    )


def taken_step() -> Step:
    """`repaired_taken`: what a repair has joined."""
    return Step(
        "repaired_taken",
        """
create or replace table repaired_taken as
select unnest([left_eid, right_eid]) as eid from repaired_alone
union select unnest([left_eid, right_eid]) from repaired_splits""",
        "each method sees only what is open",
    )


def _sides(rec: Reconciliation) -> tuple[str, str]:
    return ("left", "right") if keys.one_side(rec) == "left" else ("right", "left")
