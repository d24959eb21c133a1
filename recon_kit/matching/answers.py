"""Answers of methods without a key: pairs and groups, as matches or as questions for a person.

An answer is a principal and its parts; methods leave them in two tables and call `settle`:

- `found(aid, one_eid, currency, one_sum, confidence, why_code, equal_answers, levels)`: an answer;
  `why_code` is null where it may be a match, else what makes it a question; `levels` is JSON that
  says what the answer rests on,
- `found_parts(aid, eid, v)`: its parts with their money in that currency.

A question is kept as one proposal per pair; pairs of one answer share its `match_id`, which is the
id that the match would have. `pair_evidence` has the number of equally good answers and `levels`
of matches and questions alike.

| why_code | why it is a question |
| --- | --- |
| ambiguous | other answers are exactly as good; `equal_answers` counts all of them |
| key_differs | it joins events that name different ids |
| residual | it would close what a match by key leaves open |
| chance | so many sets were looked at that one may add up by chance |
| uncertified | nothing certifies the method yet |
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, keys
from recon_kit.model import members_id_sql
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# The expected number of answers by chance above which a unique one is no match by itself.
CHANCE_MAX = 0.01
METHODS: tuple[str, ...] = ("learned", "window", "grouped", "decomposed")  # first told, first kept


def prepare() -> Step:
    """Empty tables, for reconciliations whose methods found nothing."""
    return Step(
        "answers",
        """
create or replace table offered_answers (method varchar, aid bigint, left_eid bigint,
    right_eid bigint, confidence double, why_code varchar, equal_answers bigint, levels varchar);
create or replace table answer_evidence (method varchar, mid bigint, left_eid bigint,
    right_eid bigint, equal_answers bigint, levels varchar);
create or replace table answer_proposals as
select null::varchar as match_id, *, null::varchar as left_key, null::varchar as right_key
from offered_answers limit 0;
create or replace table needy (mid bigint);
create or replace table undecided (kind varchar, eid bigint, why_code varchar, number bigint)""",
        "nothing was found yet",
    )


def still_open(method: str) -> str:
    """Query of what is open after `settle`."""
    return (
        "select eid from rest anti join (select unnest([left_eid, right_eid]) as eid"
        f" from answer_evidence where method = {quote_text(method)}) taken using (eid)"
    )


def pairs_step(name: str, query: str) -> Step:
    """Questions about pairs: `query` gives the columns of `offered_answers` without `aid`."""
    return Step(
        name,
        f"""
insert into offered_answers by name
select *, row_number() over (order by left_eid, right_eid) as aid from ({query})""",
        "pairs for a person",
    )


def settle(engine: Engine, rec: Reconciliation, method: str) -> int:
    """Turn `found` and `found_parts` into matches and questions; returns how many matches."""
    engine.run(*settle_steps(rec, method))
    matched = engine.one("select count(*) from found where why_code is null")[0]
    return matched if isinstance(matched, int) else 0


def settle_steps(rec: Reconciliation, method: str) -> tuple[Step, ...]:
    """The statements of `settle`."""
    one, many = ("left", "right") if keys.one_side(rec) == "left" else ("right", "left")
    named = quote_text(method)
    return (
        Step(
            f"{method}.differs",
            f"""
create or replace table differing as
select distinct f.aid from found f join found_parts p using (aid)
join rest a on a.eid = f.one_eid join rest b on b.eid = p.eid where {differ(rec, "a", "b")};
update found set why_code = 'key_differs'
where why_code is null and aid in (select aid from differing)""",
            "events that name different ids are joined by nobody but a person",
        ),
        Step(
            f"{method}.contested",
            """
create or replace table contested as
with members as (
    select aid, eid from found_parts semi join (from found where why_code is null) s using (aid)
    union all select aid, one_eid from found where why_code is null
)
select distinct aid from members
where eid in (select eid from members group by eid having count(*) > 1);
update found set why_code = 'ambiguous', equal_answers = greatest(2, equal_answers)
where aid in (select aid from contested)""",
            "an event stands in one match: what two answers claim goes to a person",
        ),
        Step(
            f"{method}.live",
            f"""
insert into live_groups
select one_eid, {named}, null, currency, left_sum, right_sum,
       case when {amounts.agree(rec, "left_sum", "right_sum")} then null
            else 'amount_mismatch' end,
       false, null, confidence, null, null
from (select *, {amounts.side_sums(rec)} from (
    select f.*, f.one_sum as target, p.total
    from (from found where why_code is null) f
    join (select aid, sum(v) as total from found_parts group by aid) p using (aid)));
insert into more_members
select f.one_eid, p.eid, 'part', true, p.v
from (from found where why_code is null) f join found_parts p using (aid)
union all
select one_eid, one_eid, 'principal', true, one_sum from found where why_code is null""",
            "answers that may stand by themselves",
        ),
        Step(
            f"{method}.questions",
            f"""
insert into answer_evidence
select {named}, f.one_eid, f.one_eid as {one}_eid, p.eid as {many}_eid, equal_answers, levels
from (from found where why_code is null) f join found_parts p using (aid);
insert into offered_answers by name
select {named} as method, aid, f.one_eid as {one}_eid, p.eid as {many}_eid, confidence, why_code,
       equal_answers, levels
from (from found where why_code is not null) f join found_parts p using (aid)""",
            "what they rest on, and what a person must answer",
        ),
    )


def differ(rec: Reconciliation, left: str, right: str) -> str:
    """Whether two rows tell one declared key in different words.

    One that begins with the other is the same id, cut off by a bank's text field.
    """
    tests = [
        f"({left}.k{i} is not null and {right}.k{i} is not null"
        f" and not starts_with({left}.t{i}, {right}.t{i})"
        f" and not starts_with({right}.t{i}, {left}.t{i}))"
        for i in range(len(rec.keys))
    ]
    return "(" + " or ".join(tests) + ")" if tests else "false"


# What is asked of an event in a question.
_ASKED = "eid, event_key, amount, currency, shown, shown_currency"


def proposal_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Add questions whose events are all still open to `out_proposals`, each once."""
    order = " ".join(f"when {quote_text(m)} then {i}" for i, m in enumerate(METHODS))
    return (
        Step(
            "answer_ids",
            f"""
create or replace view askable as
select {_ASKED} from rest union all
select {_ASKED} from pool where eid in (
    select {keys.one_side(rec)}_eid from offered_answers)
    and eid in (select mid from needy) and eid not in (select eid from rest);
create or replace table answer_ids as
select method, aid,
       {members_id_sql(quote_text(rec.name), "list(event_key order by event_key)")} as match_id
from (select distinct method, aid, unnest([left_eid, right_eid]) as eid from offered_answers) m
left join askable r using (eid)
group by method, aid having count(r.eid) = count(*)""",
            "the same members are the same question on any machine",
        ),
        Step(
            "answer_proposals",
            f"""
create or replace table answer_proposals as
select i.match_id, o.*, l.event_key as left_key, r.event_key as right_key,
       {amounts.pair_money(rec)}
from offered_answers o join answer_ids i using (method, aid)
join askable l on l.eid = left_eid join askable r on r.eid = right_eid
anti join out_proposals known on known.match_id = i.match_id
      and known.left_key = l.event_key and known.right_key = r.event_key
qualify row_number() over (
    partition by i.match_id, left_eid, right_eid order by case method {order} end, aid) = 1;
insert into out_proposals
select match_id, {quote_text(rec.name)}, method, confidence, null, left_key, right_key, currency,
       left_sum::bigint, right_sum::bigint, why_code, null
from answer_proposals""",
            "what was scored says more than what merely agrees, so it is told instead",
        ),
    )


def ask(engine: Engine, rec: Reconciliation) -> None:
    """Add the questions that `rest` leaves standing to `out_proposals`; `answer_proposals`."""
    if engine.count("offered_answers"):
        engine.run(*proposal_steps(rec))


def keep(engine: Engine) -> None:
    """Add what answers rest on to `out_pair_evidence`, where a method has answered at all."""
    answered = engine.one(
        "select (select count(*) from answer_evidence) + (select count(*) from answer_proposals)"
    )
    if answered != (0,):
        engine.run(evidence_step())


def evidence_step() -> Step:
    """Add what answers rest on to `out_pair_evidence`."""
    return Step(
        "answers_kept",
        """
insert into out_pair_evidence by name
select h.match_id, l.event_key as left_key, r.event_key as right_key, e.equal_answers, e.levels
from answer_evidence e join heads h on h.mid = e.mid and h.method = e.method
join pool l on l.eid = e.left_eid join pool r on r.eid = e.right_eid
union all by name
select match_id, left_key, right_key, equal_answers, levels from answer_proposals""",
        "how many equal answers there were cannot be read off the members",
    )
