"""Why not: what came nearest to an open item, and what kept it apart.

Reasons are looked for in this order, and the first that is found is told:

| why_code | meaning |
| --- | --- |
| residual | its match leaves money open |
| id_conflict, cardinality | an event with the same key was kept apart from it |
| ambiguous | several answers are equally good |
| proposed | the probable counterpart waits for a person |
| key_taken | an event with the same key stands in another match |
| amount | an open event has the same amount, another key or none |
| customer | an open event is of the same customer, with another amount |
| refund_without_payment, chargeback | an attached event without a parent |
| nothing | nothing came near |
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import keys
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def run(engine: Engine, rec: Reconciliation, zone: str) -> None:
    """Leave `nearest(eid, proposed, nearest_key, why_code, why)`, a row per row of `open_rows`."""
    engine.run(*candidate_steps(rec), taken_step(rec), *near_steps())
    engine.run(*sentence_steps(rec, zone))


def candidate_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """What methods noted on their way: vetoes, ambiguities, proposals."""
    return (
        Step(
            "hints",
            """
create or replace table hints as
select eid, other, why_code, rank, key_used, null::double as confidence
from (
    select unnest([left_eid, right_eid]) as eid, unnest([right_eid, left_eid]) as other,
           why_code, 1 as rank, key_used from conflicts
    union all
    select unnest([left_eid, right_eid]), unnest([right_eid, left_eid]), 'ambiguous', 2, key_used
    from ambiguous
) where eid is not null
union all
select unnest([l.eid, r.eid]), unnest([r.eid, l.eid]),
       case when p.method = 'exact' then 'ambiguous' else 'proposed' end, 3, null, p.confidence
from out_proposals p
join (select eid, event_key from pool) l on l.event_key = p.left_key
join (select eid, event_key from pool) r on r.event_key = p.right_key""",
            "vetoes, ambiguities and proposals, seen from both sides",
        ),
        Step(
            "hints_open",
            """
create or replace table near as
select o.eid, arg_min(h.other, (h.rank, -coalesce(h.confidence, 0), p.event_key)) as other,
       arg_min(h.why_code, (h.rank, -coalesce(h.confidence, 0), p.event_key)) as why_code,
       arg_min(h.key_used, (h.rank, -coalesce(h.confidence, 0), p.event_key)) as key_used
from open_rows o join hints h using (eid) left join pool p on p.eid = h.other
where o.mid is null group by o.eid""",
            "the strongest of them",
        ),
    )


def taken_step(rec: Reconciliation) -> Step:
    """Events of the other side that carry the same key but stand in a match already."""
    arms = (
        " union all ".join(
            f"select o.eid, p.eid as other, p.event_key, {number} as number, {quote_text(key)}"
            f" as key_used from waiting o join pool p using (k{number}, t{number})"
            " where p.side <> o.side and p.side < 2"
            for number, key in enumerate(rec.keys)
        )
        or "select null::bigint as eid, null::bigint as other, '' as event_key, 0 as number, '' as key_used limit 0"
    )  # noqa: E501 - one fallback for reconciliations without keys
    return Step(
        "key_taken",
        f"""
create or replace table waiting as
select p.* from open_rows o join pool p using (eid)
where o.mid is null and o.side < 2 and o.eid not in (select eid from near);
insert into near
select eid, arg_min(other, (number, event_key)), 'key_taken',
       arg_min(key_used, (number, event_key))
from ({arms}) group by eid""",
        "the key is known on the other side, but taken",
    )


def near_steps() -> tuple[Step, ...]:
    """Open events of the other side with the same amount, else of the same customer."""
    return (
        Step(
            "same_amount",
            """
create or replace table lonely as
select o.eid, o.event_key, o.side, o.ts, o.amount, o.currency
from open_rows o where o.mid is null and o.side < 2 and o.eid not in (select eid from near);
create or replace table offered as
select r.eid, r.event_key, r.side, r.ts, r.amount, r.currency
from rest r where r.ts is not null;
create or replace table same_amount as
with distinct_offers as (
    select side, currency, amount, ts, arg_min(eid, event_key) as eid
    from offered where amount is not null group by side, currency, amount, ts
), ahead as (
    select l.eid, d.eid as other, abs(epoch_us(d.ts) - epoch_us(l.ts)) as apart
    from lonely l asof join distinct_offers d
      on d.currency = l.currency and d.amount = l.amount and d.side = 1 - l.side and d.ts >= l.ts
), behind as (
    select l.eid, d.eid as other, abs(epoch_us(d.ts) - epoch_us(l.ts)) as apart
    from lonely l asof join distinct_offers d
      on d.currency = l.currency and d.amount = l.amount and d.side = 1 - l.side and d.ts < l.ts
)
select eid, arg_min(other, apart) as other from (
    select * from behind union all
    select a.* from ahead a left join behind b using (eid)
    where b.apart is null or a.apart < b.apart)
group by eid;
insert into near select eid, other, 'amount', null from same_amount""",
            "the nearest in time of the same amount",
        ),
        Step(
            "same_customer",
            """
create or replace table same_customer as
with people as (
    select event_key, lower(trim(email)) as mail from who where email like '%_@_%'
), asking as (
    select l.*, p.mail from lonely l join people p using (event_key)
    where l.eid not in (select eid from near)
), offering as (
    select o.*, p.mail from offered o join people p using (event_key)
    where p.mail in (select mail from asking)
)
select a.eid, arg_min(o.eid, (abs(epoch_us(o.ts) - epoch_us(a.ts)), o.event_key)) as other
from asking a join offering o on o.mail = a.mail and o.side = 1 - a.side
where a.ts is not null group by a.eid;
insert into near select eid, other, 'customer', null from same_customer""",
            "the nearest in time of the same customer",
        ),
    )


def sentence_steps(rec: Reconciliation, zone: str) -> tuple[Step, ...]:
    """Put the reason into a sentence."""
    del zone
    left, right = (" or ".join(t.replace("_", " ") for t in s.types) for s in (rec.left, rec.right))
    names = ", ".join(keys_named(rec))
    listed = ", ".join(
        f"case when p.t{i} is not null then {quote_text(key + ' ')} || p.t{i} end"
        for i, key in enumerate(rec.keys)
    )
    return (
        Step(
            "compared",
            f"""
create or replace table compared as
select o.eid, o.mid, o.side, o.amount, o.currency, n.other, n.key_used,
       case when o.mid is not null then 'residual' when n.why_code is not null then n.why_code
            when o.side = 2 then case when e.event_type = 'chargeback' then 'chargeback'
                                      else 'refund_without_payment' end
            else 'nothing' end as why_code,
       q.event_key as nearest_key, e.event_type, oe.event_type as other_type,
       coalesce(oe.native_id, oe.order_id, oe.transaction_id, q.event_key) as other_name,
       case o.home when 0 then {quote_text(right)} else {quote_text(left)} end as other_side,
       array_to_string(list_filter([{listed}], lambda x: x is not null), ', ') as carried,
       (epoch_us(q.ts) - epoch_us(o.ts)) // 86400000000 as days, q.amount is not distinct from
       o.amount and q.currency is not distinct from o.currency as same_amount,
       q.currency is distinct from o.currency as other_currency,
       lower(trim(ow.email)) <> lower(trim(w.email)) as other_customer
from open_rows o
join pool p on p.eid = o.eid
left join near n on n.eid = o.eid and o.mid is null
left join pool q on q.eid = n.other
left join (select event_key, event_type from events
           where event_key in (select event_key from open_rows)) e on e.event_key = o.event_key
left join (select event_key, event_type, native_id, order_id, transaction_id from events
           where event_key in (select event_key from pool
                               where eid in (select other from near))) oe
       on oe.event_key = q.event_key
left join (select event_key, email from who
           where event_key in (select event_key from open_rows)) w on w.event_key = o.event_key
left join (select event_key, email from who
           where event_key in (select event_key from pool
                               where eid in (select other from near))) ow
       on ow.event_key = q.event_key""",
            "the item beside what came nearest",
        ),
        Step(
            "nearest",
            f"""
create or replace table nearest as
select eid, why_code in ('ambiguous', 'proposed') as proposed, nearest_key, why_code,
       case when why_code = 'residual' then 'the match leaves money open: the other side has '
                || case when amount > 0 then 'less' else 'more' end
            when why_code = 'refund_without_payment' or why_code = 'chargeback'
            then 'no row carries the id that this ' || coalesce(event_type, 'event')
                || ' corrects'
            else {_no_key(names)} || case why_code
                when 'nothing' then '; nothing open comes near in amount or customer'
                when 'amount' then '; nearest by amount: ' || {_OTHER} || {_APART}
                when 'customer' then '; nearest by customer: ' || {_OTHER} || {_APART}
                when 'proposed' then '; most probable: ' || {_OTHER} || {_APART}
                else '' end end as why
from (select *, case when {_KEPT} then {_SAME_KEY} end as same_key from compared)""",
            "in words",
        ),
    )


_KEPT = "why_code in ('id_conflict', 'cardinality', 'ambiguous', 'key_taken')"
_OTHER = "coalesce(other_type || ' ', '') || coalesce(other_name, '')"
_APART = """coalesce(case when days = 0 then ', the same day'
         when days > 0 then ', ' || days || case days when 1 then ' day' else ' days' end || ' later'
         else ', ' || -days || case days when -1 then ' day' else ' days' end || ' earlier' end, '')
    || case when other_currency then ', another currency'
            when not same_amount then ', another amount' else '' end
    || case when other_customer then ', another customer' else '' end"""
_SAME_KEY = f"""coalesce({_OTHER}, 'an event') || ' carries the same '
    || coalesce(key_used, 'key') || case why_code
        when 'id_conflict' then ', but contradicts it' || {_APART}
        when 'cardinality' then ', but has its counterpart'
        when 'key_taken' then ', but stands in another match'
        else ', and so do others: no answer is better' end"""


def keys_named(rec: Reconciliation) -> tuple[str, ...]:
    """The declared keys as a person reads them."""
    return tuple(key.replace("_", " ") for key in rec.keys)


def _no_key(names: str) -> str:
    """Say that the key was not found, unless it was found and something kept it apart."""
    none = quote_text(f"it carries none of: {names}")
    return (
        f"case when same_key is not null then same_key when carried = '' then {none}"
        " else 'no ' || other_side || ' carries ' || carried end"
    )
