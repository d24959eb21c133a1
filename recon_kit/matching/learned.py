"""Method `learned`: approved rules, each naming the decisions that it was distilled from.

A rule's conditions become one quoted SQL join over what is open (see `meeting`). What
follows from the pairs that meet them:

- a pair of a `same` rule whose two events meet nobody else by any `same` rule is a match,
- where an event meets several, each pair is proposed with the number of candidates,
- a pair of a `not_same` rule is barred from every later method,
- a pair of which one rule says same and another not is reported, and neither rule applies to it.

Tables left behind: matches in `more_pairs` (method `learned`, `key_used` the rule's name) with
`live_rules(mid, rule_id)`, questions in `answers`, `ruled_out(left_eid, right_eid, rule)`, and
contradictions in `conflicts` (`rule_conflict`).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, answers, canary, keys, meeting
from recon_kit.matching.canary import NO_TRIALS, Trials
from recon_kit.matching.components import components_sql
from recon_kit.matching.rules import Rule
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

CANDIDATES_MAX = 20  # an event that meets more is left open: a longer list is no question
# What is open after `run`.
STILL_OPEN = """
    select eid from rest anti join (
        select unnest([left_eid, right_eid]) as eid from learned_pairs where alone) taken
    using (eid)"""


def prepare() -> Step:
    """Empty tables, for reconciliations without a rule."""
    return Step(
        "live_rules",
        """
create or replace table live_rules (mid bigint, rule_id varchar);
create or replace table ruled_out (left_eid bigint, right_eid bigint, rule varchar)""",
        "no rule has spoken yet",
    )


def run(
    engine: Engine, rec: Reconciliation, rules: Sequence[Rule], trials: Trials = NO_TRIALS
) -> bool:
    """Apply rules to `rest`; returns whether a match was made of them.

    Args:
        engine: after `exact`.
        rec: the reconciliation; rules of another one are no concern.
        rules: those in force; each is known by its `content_hash`.
        trials: with the rule, if any, that acts on a share of components alone.
    """
    tried = trials.rule if trials.rule and trials.rule.reconciliation == rec.name else None
    mine = sorted(
        {r.content_hash: r for r in (*rules, tried) if r and r.reconciliation == rec.name}.values(),
        key=lambda r: (r.name, r.content_hash),
    )
    if not mine:
        return False
    for rule, looked in meeting.meet(engine, mine):
        _note(engine, f"rule {rule.name} was not run: it would look at {looked:,} pairs; "
              "give it an equal or prefix test")  # fmt: skip
    named = [(i, r.name, r.content_hash, r.verdict) for i, r in enumerate(mine)]
    schema = {"number": pl.Int64, "rule": pl.String, "rule_id": pl.String, "verdict": pl.String}
    engine.put("rules_named", pl.DataFrame(named, schema=schema, orient="row"))
    if tried is not None:
        _try_out(engine, mine, tried, trials.rule_share)
    engine.run(*judge_steps(rec), *live_steps(rec))
    _report(engine)
    return engine.count("live_rules") > 0


def _try_out(engine: Engine, rules: Sequence[Rule], tried: Rule, share: float) -> None:
    """Leave the pairs of a rule on trial in its components, those of its namesake in the others."""
    said = {r.content_hash: number for number, r in enumerate(rules) if r.name == tried.name}
    own = said[tried.content_hash]
    engine.run(
        Step(
            "rule_roots",
            "create or replace temp table rule_roots as"
            + components_sql("select left_eid as a, right_eid as b from rule_pairs"),
            "events that any rule joins",
        )
    )
    canary.place(
        engine,
        "learned",
        tried.content_hash,
        share,
        f"""
select r.node as eid, n.component from rule_roots r join (
    select root, min(event_key) as component
    from rule_roots join (select eid, event_key from rest where side = 0) on eid = node
    where root in (
        select root from rule_roots join rule_pairs on left_eid = node
        where number in ({", ".join(map(str, sorted(said.values())))}))
    group by root) n using (root)""",
    )
    there = canary.on_trial_sql("learned", "left_eid")
    engine.run(
        Step(
            "rule_on_trial",
            f"""
delete from rule_pairs where number = {own} and not ({there});
delete from rule_pairs
where number in ({", ".join(str(n) for n in (-1, *said.values()) if n != own)}) and {there}""",
            "a rule on trial speaks in its components alone, and there for its namesake",
        )
    )


def judge_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """`learned_pairs(left_eid, right_eid, rule, rule_id, candidates, alone, currency...)`."""
    return (
        Step(
            "rule_conflicts",
            """
create or replace table rule_said as
select left_eid, right_eid, verdict, min(rule) as rule, arg_min(rule_id, number) as rule_id
from rule_pairs join rules_named using (number)
anti join barred_pool using (left_eid, right_eid)
group by left_eid, right_eid, verdict;
create or replace table rule_conflicts as
select s.left_eid, s.right_eid, s.rule, n.rule as other_rule
from (from rule_said where verdict = 'same') s
join (from rule_said where verdict = 'not_same') n using (left_eid, right_eid);
insert into conflicts
select left_eid, right_eid, rule || ' and ' || other_rule, 'rule_conflict' from rule_conflicts;
insert into ruled_out
select left_eid, right_eid, rule from rule_said
anti join rule_conflicts using (left_eid, right_eid) where verdict = 'not_same';
insert into barred_pool select left_eid, right_eid from ruled_out""",
            "what rules bar, and where one says same and another not",
        ),
        Step(
            "learned_pairs",
            f"""
create or replace table learned_pairs as
select p.*, greatest(at_left, at_right) as candidates,
       at_left = 1 and at_right = 1 as alone, l.event_key as left_key, r.event_key as right_key,
       l.dead <> r.dead as status_note, {amounts.pair_money(rec)}
from (
    select *, count(*) over (partition by left_eid) as at_left,
           count(*) over (partition by right_eid) as at_right
    from rule_said where verdict = 'same') p
join rest l on l.eid = left_eid join rest r on r.eid = right_eid
anti join rule_conflicts c on c.left_eid = p.left_eid and c.right_eid = p.right_eid""",
            "pairs of rules, with how many others their events meet",
        ),
    )


def live_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Pairs that meet nobody else are matches, the others questions."""
    one = keys.one_side(rec)
    return (
        Step(
            "learned_live",
            f"""
insert into more_pairs
select {one}_eid, 'learned', rule, currency, left_sum, right_sum, amount_note, status_note,
       case when amount_note = 'currency' then 'currency' end, 1.0, null, null,
       left_eid, right_eid, left_key, right_key
from learned_pairs where alone;
insert into live_rules select {one}_eid, rule_id from learned_pairs where alone""",
            "matches by rule",
        ),
        answers.pairs_step(
            "learned_questions",
            f"""
select left_eid, right_eid, 'learned' as method, 1.0 / candidates as confidence,
       'ambiguous' as why_code, candidates as equal_answers,
       json_object('rule', rule, 'candidates', candidates)::varchar as levels
from learned_pairs where not alone and candidates <= {CANDIDATES_MAX}""",
        ),
    )


def _report(engine: Engine) -> None:
    """Notes beside the run: contradictions, and rules that say too little."""
    for left, right, pairs in engine.rows(
        "select rule, other_rule, count(*) from rule_conflicts group by all order by all"
    ).iter_rows():
        _note(engine, f"rules {left} and {right} contradict each other on {pairs:,} "
              f"{'pair' if pairs == 1 else 'pairs'}: neither applies there")  # fmt: skip
    for rule, events in engine.rows(
        f"select rule, count(distinct left_eid) from learned_pairs where candidates >"
        f" {CANDIDATES_MAX} group by rule order by rule"
    ).iter_rows():
        meet = "event meets" if events == 1 else "events meet"
        stay = "stays" if events == 1 else "stay"
        _note(engine, f"rule {rule}: {events:,} {meet} more than {CANDIDATES_MAX} candidates and "
              f"{stay} open")  # fmt: skip


def _note(engine: Engine, note: str) -> None:
    engine.run(Step("note", f"insert into method_notes values ({quote_text(note)})", "beside it"))
