"""Why not: what came nearest to an open item, and what kept it apart.

Reasons are looked for in this order, and the first that is found is told:

| why_code | meaning |
| --- | --- |
| residual | its match leaves money open |
| id_conflict, cardinality | an event with the same key was kept apart from it |
| ambiguous | several answers are equally good |
| undecidable | too many open items could add up to it |
| proposed | the probable counterpart waits for a person |
| not_same, ruled_out | a person, or a rule, said of a pair that it is not the same |
| rule_conflict | two rules contradict each other about a pair |
| key_taken | an event with the same key stands in another match |
| possible_duplicate | another event of its source has the same content under another id |
| amount | an open event has the same amount, another key or none |
| customer | an open event is of the same customer, with another amount |
| refund_without_payment, chargeback | an attached event without a parent |
| nothing | nothing came near |
"""

from __future__ import annotations

import polars as pl

from recon_kit import money
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import answer_words, contradictions, keys, late, told_again
from recon_kit.matching.ladders import kinds
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def run(engine: Engine, rec: Reconciliation) -> None:
    """Leave `nearest(eid, proposed, nearest_key, why_code, why)`, a row per row of `open_rows`."""
    if not engine.count("open_rows"):
        engine.run(nobody_step())
        return
    places = money.currency_exponents()
    engine.put(
        "currency_places",
        pl.DataFrame(
            {
                "currency": list(places),
                "places": list(places.values()),
                "unit_minor": [10**n for n in places.values()],
            }
        ),
    )
    engine.run(*candidate_steps())
    if rec.keys:
        engine.run(waiting_step(rec))
        if engine.count("waiting"):
            if not late.carriers_made(engine):
                engine.run(late.carriers_step(rec, "waiting"))  # nobody asks for more after this
            engine.run(taken_step(rec))
        engine.drop("carriers")
    engine.run(told_again.alike_step(rec))
    _look_up(engine, told_again.of_unknown_kind(rec))
    if told_again.run(engine, rec):
        _look_up(engine)
    engine.run(*near_steps(), answer_words.step(rec), *sentence_steps(rec))


def _look_up(engine: Engine, others: str = "") -> None:
    """Fetch facts of whom nobody looked at yet: those in `near`, and `others` (a query of eids)."""
    engine.run(unknown_step(others))
    if engine.count("unknown"):
        engine.run(unknown_facts_step())


def nobody_step() -> Step:
    """Where everything stands in a match there is nothing to give a reason for."""
    return Step(
        "nearest",
        "create or replace table nearest (eid bigint, proposed boolean, nearest_key varchar,"
        " why_code varchar, why varchar)",
        "nothing is open",
    )


def candidate_steps() -> tuple[Step, ...]:
    """What methods noted on their way: vetoes, ambiguities, proposals."""
    return (
        Step(
            "hints",
            f"""
create or replace table hints as
with asked as materialized (
    select eid, event_key from second_look
    union all
    select eid, event_key from pool
    where eid in (select mid from needy) and eid not in (select eid from second_look)
)
select eid, other, why_code, rank, key_used, null::double as confidence
from (
    select unnest([left_eid, right_eid]) as eid, unnest([right_eid, left_eid]) as other,
           why_code, 1 as rank, key_used from conflicts
    union all
    select unnest([left_eid, right_eid]), unnest([right_eid, left_eid]), 'ambiguous', 2, key_used
    from ambiguous
    union all
    select unnest([left_eid, right_eid]), unnest([right_eid, left_eid]), 'not_same', 5, null
    from barred_pool anti join ruled_out using (left_eid, right_eid)
    union all{answer_words.hints()}
) where eid is not null
union all
select unnest([l.eid, r.eid]), unnest([r.eid, l.eid]),
       {answer_words.code_sql()}, 3, null, p.confidence
from out_proposals p
join asked l on l.event_key = p.left_key join asked r on r.event_key = p.right_key""",
            "vetoes, ambiguities and proposals, seen from both sides",
        ),
        Step(
            "hints_open",
            """
create or replace table near as
select eid, hint.other, hint.why_code, hint.key_used
from (
    select eid, arg_min({'other': other, 'why_code': why_code, 'key_used': key_used}, place) as hint
from (
    select h.*, (h.rank, -coalesce(h.confidence, 0), p.event_key, h.why_code,
                 coalesce(h.key_used, '')) as place
    from open_rows o join hints h using (eid) left join pool p on p.eid = h.other
    where o.mid is null)
group by eid)""",
            "the strongest of them, with what it leaves untold",
        ),
    )


def waiting_step(rec: Reconciliation) -> Step:
    """`waiting(eid, side, k0, t0, ...)`: open events for which no method noted anything."""
    carried = "".join(f", p.k{number}, p.t{number}" for number in range(len(rec.keys)))
    return Step(
        "waiting",
        f"""
create or replace table waiting as
select p.eid, p.side{carried} from open_rows o join second_look p using (eid)
where o.mid is null and o.side < 2 and o.eid not in (select eid from near)""",
        "open events of which nothing is known yet",
    )


def taken_step(rec: Reconciliation) -> Step:
    """Events of the other side that carry the same key but stand in a match already."""
    arms = " union all ".join(
        f"select o.eid, c.eid as other, c.event_key, number, {quote_text(key)} as key_used"
        f" from waiting o join carriers c on number = {number} and c.t = o.t{number}"
        f" where o.k{number} is not null and c.side = 1 - o.side"
        " and c.eid not in (select eid from rest)"
        for number, key in enumerate(rec.keys)
    )
    return Step(
        "key_taken",
        f"""
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
with mails as (
    select eid, lower(trim(email)) as mail from people
    where eid in (select eid from offered union all select eid from lonely)
      and email like '%_@_%'
), asking as (
    select l.*, p.mail from lonely l join mails p using (eid)
    where l.eid not in (select eid from near)
), offering as (
    select o.*, p.mail from offered o join mails p using (eid)
    where p.mail in (select mail from asking)
)
select a.eid, arg_min(o.eid, (abs(epoch_us(o.ts) - epoch_us(a.ts)), o.event_key)) as other
from asking a join offering o on o.mail = a.mail and o.side = 1 - a.side
where a.ts is not null group by a.eid;
insert into near select eid, other, 'customer', null from same_customer""",
            "the nearest in time of the same customer",
        ),
    )


def unknown_step(others: str = "") -> Step:
    """`unknown`: what may be nearest but stands in a plain match: nobody looked at it yet.

    What is found after this is open, and known. `others` is a query of further eids.
    """
    asked = "select other as eid from near" + (f" union all {others}" if others else "")
    return Step(
        "unknown",
        f"""
create or replace table unknown as
select p.eid, p.event_key from pool p
semi join ({asked}) n using (eid)
anti join facts f using (eid)""",
        "who has the key",
    )


def unknown_facts_step() -> Step:
    """Fetch them too."""
    return Step(
        "unknown_facts",
        """
insert into further_facts by name
select u.eid, e.* exclude (event_key) from unknown u join (
    select event_key, source, event_type, native_id, transaction_id from events
) e using (event_key)""",
        "its type and its name",
    )


def sentence_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Put the reason into a sentence."""
    left, right = (kinds(side.types) for side in (rec.left, rec.right))
    listed = ", ".join(
        f"case when p.k{i} is not null then {quote_text(_spoken(key) + ' ')} || p.t{i} end"
        for i, key in enumerate(rec.keys)
    )
    return (
        Step(
            "strangers",
            f"""
create or replace table strangers as
with faces as (
    select p.eid, lower(trim(p.email)) as mail, {contradictions.name_sql("p.customer_name")} as name
    from people p
    semi join (select eid from near where why_code in ('id_conflict', 'amount', 'proposed')
               union select other from near
               where why_code in ('id_conflict', 'amount', 'proposed')) n using (eid)
)
select n.eid, a.mail <> b.mail
       and not coalesce({contradictions.alike_sql("a.name", "b.name")}, false) as other_customer
from near n join faces a on a.eid = n.eid join faces b on b.eid = n.other""",
            "which of them are of another customer",
        ),
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
       coalesce(oe.native_id, oe.transaction_id) as other_name,
       case o.home when 0 then {quote_text(right)} else {quote_text(left)} end as other_side,
       array_to_string(list_filter([{listed}]::varchar[], lambda x: x is not null), ', ')
           as carried,
       epoch_us(q.ts) - epoch_us(o.ts) as apart, apart // 86400000000 as days,
       coalesce(q.currency <> o.currency, false) as other_currency,
       coalesce(q.amount <> o.amount, false) as other_amount,
       coalesce(v.other_customer, false) as other_customer,
       {_money("abs(o.amount)", "o.currency", "a")} as money,
       {_money("q.amount", "q.currency", "b")} as other_money
from open_rows o
left join second_look p on p.eid = o.eid
left join near n on n.eid = o.eid and o.mid is null
left join pool q on q.eid = n.other
left join facts e on e.eid = o.eid
left join facts oe on oe.eid = n.other
left join strangers v on v.eid = o.eid
left join currency_places a on a.currency = o.currency
left join currency_places b on b.currency = q.currency""",
            "the item beside what came nearest",
        ),
        _words_step(rec),
    )


def _words_step(rec: Reconciliation) -> Step:
    """`nearest`: the reason of each open item in words."""
    return Step(
        "nearest",
        f"""
create or replace table nearest as
select c.eid, why_code in ('ambiguous', 'proposed') as proposed, nearest_key, why_code,
case when w.method is not null then {answer_words.sentence_sql(_OTHER, _APART)} else case why_code
    when 'residual' then coalesce(money, 'an amount') || case
        when (amount > 0) = ({"true" if keys.one_side(rec) == "left" else "false"})
        then ' of it has no counterpart yet' else ' more came in than it asks for' end
    when 'refund_without_payment' then {_ORPHAN}
    when 'chargeback' then {_ORPHAN}
    when 'id_conflict' then {_SAME_KEY} || ', but contradicts it' || {_APART}
    when 'cardinality' then {_SAME_KEY} || ', but has its counterpart'
    when 'key_taken' then {_SAME_KEY} || ', but stands in another match'
    when 'possible_duplicate' then 'may be ' || {_OTHER} || ' told again under another id: the'
        || ' same source, amount and customer at the same time'
    when 'ambiguous' then {_SAME_KEY} || ', and so do others: no answer is better'
    when 'not_same' then 'a person said that ' || {_OTHER} || ' is not its counterpart'
    when 'amount' then {_no_key(rec)} || '; nearest by amount: ' || {_OTHER} || {_APART}
    when 'customer' then {_no_key(rec)} || '; nearest by customer: ' || {_OTHER} || {_APART}
    when 'proposed' then {_no_key(rec)} || '; most probable: ' || {_OTHER} || {_APART}
    when 'ruled_out' then 'rule ' || key_used || ' says that ' || {_OTHER}
                          || ' is not its counterpart'
    when 'rule_conflict' then 'rules ' || key_used || ' contradict each other about ' || {_OTHER}
    else {_no_key(rec)} || '; nothing open comes near by amount or customer' end end as why
from compared c
left join answer_words w
  on w.eid = c.eid and w.code = c.why_code and w.other is not distinct from c.other""",
        "in words",
    )


def _spoken(key: str) -> str:
    """A declared key as a person reads it: `raw_keys.booking_ref` is `booking ref`."""
    return key.rpartition(".")[2].replace("_", " ")


def _money(minor: str, currency: str, places: str) -> str:
    """Minor units as people write them, `1,234.50 EUR`; null when either is unknown.

    `places` is an alias of `currency_places`.
    """
    unit, places = f"{places}.unit_minor", f"{places}.places"
    whole, cents = f"(abs({minor}) // {unit})", f"(abs({minor}) % {unit})"
    return (
        f"case when {minor} < 0 then '-' else '' end || format('{{:,}}', {whole})"
        f" || case when {places} > 0"
        f" then '.' || lpad({cents}::varchar, {places}::int, '0') else '' end"
        f" || ' ' || {currency}"
    )


_KIND = "case other_type when 'other' then 'event' else replace(other_type, '_', ' ') end"
_OTHER = f"coalesce(nullif(concat_ws(' ', {_KIND}, other_name), ''), 'an event')"
_KEY = "replace(regexp_replace(coalesce(key_used, 'key'), '^.*[.]', ''), '_', ' ')"
_SAME_KEY = f"{_OTHER} || ' carries the same ' || {_KEY}"
_ORPHAN = "'no row carries the id that this ' || coalesce(event_type, 'event') || ' corrects'"
_DAYS = """case when days = 0 then 'less than a day' when abs(days) = 1 then '1 day'
                else abs(days) || ' days' end"""
_APART = f"""
    coalesce(', ' || other_money, '')
    || case when apart = 0 then ', the same day'
            when apart is not null then ', ' || {_DAYS} ||
                case when apart > 0 then ' later' else ' earlier' end
            else '' end
    || case when other_currency then ', another currency' when other_amount then ', another amount'
            else '' end
    || case when other_customer then ', another customer' else '' end"""


def _no_key(rec: Reconciliation) -> str:
    """Say that its keys were not found, or that it has none."""
    if not rec.keys:
        return "'no key is declared'"
    none = quote_text("it carries none of: " + ", ".join(_spoken(k) for k in rec.keys))
    return (
        f"case when carried = '' then {none} else 'no ' || other_side || ' carries ' || carried end"
    )
