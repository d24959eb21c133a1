"""Method `probable` inside the cascade: open events go out, matches and proposals come back.

`open_left` and `open_right` hold what is still open, wide enough to be compared, with ids dense and
in order of `event_key`. `probable` scores pairs of them, `assign` picks the pairs that stand
together, `trust` says how probable each is and what makes it a question; here a pair without a
question becomes a match, any other is put to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, canary, enrich, keys, probable, splits, stored, trust
from recon_kit.matching.assign import WEIGHT_FLOOR
from recon_kit.matching.authority import Authority, authority, with_model
from recon_kit.matching.canary import NO_TRIALS, Trials
from recon_kit.matching.components import components_sql
from recon_kit.model import Certificate, StoredModel
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# Working tables that nobody reads once pairs are picked and weighed, and once they are told.
_WEIGHED = ("side_left", "side_right", "candidate_pairs", "scored_pairs", "assigned_pairs")
_TOLD = ("open_left", "open_right", trust.TABLE, "likely_money", "likely_parts", "barred")
# What is open after `run`.
STILL_OPEN = """
    select eid from rest
    anti join (select unnest([left_eid, right_eid]) as eid from likely where why_code is null) taken
    using (eid)"""


def run(  # noqa: PLR0913 - what a run depends on, handed down by name
    engine: Engine,
    rec: Reconciliation,
    model: StoredModel | None,
    certificates: Sequence[Certificate],
    as_of: datetime,
    *,
    retrain: bool = False,
    trials: Trials = NO_TRIALS,
) -> StoredModel | None:
    """Score and assign what is open; returns the model that was used, learned if none was given.

    What may become a match by itself is for the certificate of that model to say, as of `as_of`.
    Where another model is on trial (`trials`), both score everything, and what the new one makes of
    the chosen components stands there, under what certifies that model.
    Leaves matches in `live_pairs` or `live_groups`, questions in `offered_pairs`, and
    `likely(left_eid, right_eid, ...)`, the picked pairs with their evidence, in `eid`s of `pool`;
    `method_notes` says what was split, left out or learned on the way.
    """
    engine.run(*open_steps())
    if not (engine.count("open_left") and engine.count("open_right")):
        return None
    tried = trials.model
    if tried is not None:
        _judged(engine, rec, tried)
        engine.run(*aside_steps())
    used = _judged(engine, rec, model, retrain=retrain)
    scores = Scores(used.model_hash if used else None)
    allowed = authority(rec, "probable", certificates, as_of, scores.model_hash)
    if tried is None:
        canary.choose(engine, "probable", allowed, members_sql())
    else:
        scores = Scores(scores.model_hash, tried.model_hash)
        allowed = with_model(allowed, authority(rec, "probable", certificates, as_of, scores.tried))
        canary.place(
            engine, "probable", tried.model_hash, trials.model_share, members_sql(("", "tried_"))
        )
        engine.run(*beside_steps())
    engine.drop(*_WEIGHED)
    sets = engine.one(f"select count(together) from {trust.TABLE}") != (0,)
    engine.run(*likely_steps(rec, allowed, sets=sets), *live_steps(rec, scores))
    engine.drop(*_TOLD)
    return used


@dataclass(frozen=True, slots=True)
class Scores:
    """The model whose scores stand, and the one whose scores stand where a model is on trial."""

    model_hash: str | None
    tried: str | None = None

    def sql(self, eid: str) -> str:
        """SQL of the model that scored an event of the pool."""
        told = quote_text(self.model_hash) if self.model_hash else "null"
        if self.tried is None:
            return told
        there = canary.on_trial_sql("probable", eid)
        return f"case when {there} then {quote_text(self.tried)} else {told} end"


def _judged(
    engine: Engine, rec: Reconciliation, model: StoredModel | None, *, retrain: bool = False
) -> StoredModel | None:
    """Score, assign and weigh everything by one model; returns the one that was used."""
    scored = probable.score(engine, rec, model, retrain=retrain)
    trained = stored.read(scored.model) if scored.model else None
    notes = [*scored.notes, *splits.assign(engine, rec, trained.ladders if trained else ())]
    engine.put("scored_notes", pl.DataFrame({"note": notes}, schema={"note": pl.String}))
    engine.run(
        Step(
            "notes",
            "insert into method_notes select note from scored_notes"
            " where note not in (from method_notes)",
            "beside the run",
        )
    )
    trust.weigh(engine, trained)
    if trained and enrich.heard(rec.customers, trained.customers).sources:
        engine.run(marked_step())
    return scored.model


def marked_step() -> Step:
    """Say in the levels of each picked pair what customers' records told of it."""
    return Step(
        "marked",
        f"""
create or replace table {trust.TABLE} as
select t.* replace ({enrich.marked_sql("t.levels", "a", "b")} as levels)
from {trust.TABLE} t
join open_left l on l.eid = t.left_eid join open_right r on r.eid = t.right_eid
left join enriched a on a.event_key = l.event_key
left join enriched b on b.event_key = r.event_key""",
        "what came from a record is told as such",
    )


def aside_steps() -> tuple[Step, ...]:
    """`tried_scored_pairs` and `tried_trusted_pairs`: what the model on trial makes of all."""
    return tuple(
        Step(f"tried_{name}", f"create or replace table tried_{name} as from {name}",
             "what the model on trial makes of all")
        for name in (probable.TABLE, trust.TABLE)
    )  # fmt: skip


def beside_steps() -> tuple[Step, ...]:
    """Put what the model on trial made of its components in place of what the other made."""
    mine = (
        "left_eid in (select eid from open_left where"
        f" {canary.on_trial_sql('probable', 'pool_eid')})"
    )
    return tuple(
        Step(
            f"{name}_beside",
            f"""
create or replace table other_{name} as from {name};
create or replace table {name} as
select * from other_{name} where not ({mine})
union all by name select * from tried_{name} where {mine};
drop table other_{name};
drop table tried_{name}""",
            "each component as one model sees it",
        )
        for name in (probable.TABLE, trust.TABLE)
    )


def open_steps() -> tuple[Step, ...]:
    """What is open on each side, and the pairs nobody may join."""
    first = {"left": "0", "right": "(select count(*) from open_left)"}
    sides = [
        Step(
            f"open_{name}",
            f"""
create or replace table open_{name} as
select row_number() over (order by r.event_key) + {first[name]} as eid, r.eid as pool_eid,
       r.event_key, r.ts as event_ts, f.ts_precision, r.amount, r.currency,
       r.shown as presentment_amount, r.shown_currency as presentment_currency, f.description,
       f.source, f.event_type as type, f.status, f.payment_method, f.fee, f.order_id,
       f.invoice_number, f.click_id
from (from rest where side = {number}) r join facts f using (eid)""",
            "open events, wide enough to be compared; no id stands on both sides",
        )
        for number, name in ((0, "left"), (1, "right"))
    ]
    barred = Step(
        "barred",
        """
create or replace table barred as
select l.eid as left_eid, r.eid as right_eid
from (from barred_pool
      union select left_eid, right_eid from conflicts where why_code = 'id_conflict') b
join open_left l on l.pool_eid = b.left_eid
join open_right r on r.pool_eid = b.right_eid""",
        "pairs that a person or a veto parted",
    )
    return (*sides, barred)


def members_sql(models: Sequence[str] = ("",)) -> str:
    """Query of `eid, component`: events joined by pairs that might stand, or that were picked.

    A pair that is worth less than no pair decides nothing, so it joins nothing. Open events are
    numbered by key, left ones first: a component's smallest number is its smallest left key.
    `models` are what the names of each model's tables begin with.
    """
    links = " union all ".join(
        f"select left_eid as a, right_eid as b from {of}{probable.TABLE}"
        f" where match_weight > {WEIGHT_FLOOR}"
        f" union all select left_eid, right_eid from {of}{trust.TABLE}"
        for of in models
    )
    return f"""
select o.pool_eid as eid, l.event_key as component from ({components_sql(links)}) c
join open_left l on l.eid = c.root
join (select eid, pool_eid from open_left union all select eid, pool_eid from open_right) o
  on o.eid = c.node"""


def likely_steps(rec: Reconciliation, allowed: Authority, *, sets: bool) -> tuple[Step, ...]:
    """Picked pairs above `review_min`, and what makes each a question (null: nothing).

    `sets` is whether any of them are parts of one principal, picked together. `mid` is the
    principal, which a set names itself.
    """
    why = canary.either(
        allowed, "probable", "l.pool_eid", lambda may: trust.why_code_sql(may, "a", "p", "q")
    )
    one = keys.one_side(rec)[0]  # alias of the side whose event calls a pair
    together = ""
    if sets:
        together = """ replace (case when together is null then why_code
    else max(why_code) over (partition by together) end as why_code)"""
    return (
        Step(
            "likely",
            f"""
create or replace table likely as
select * exclude (together){together}
from (
select a.together, case a.together when a.left_eid then l.pool_eid
           when a.right_eid then r.pool_eid else {one}.pool_eid end as mid,
       l.pool_eid as left_eid, r.pool_eid as right_eid, l.event_key as left_key,
       r.event_key as right_key, a.match_weight, a.probability as match_probability, a.margin,
       coalesce(ll.event_key, rr.event_key) as rival_key, a.rival_weight, a.equal_answers,
       a.levels, a.weights, {why} as why_code
from {trust.TABLE} a
join open_left l on l.eid = a.left_eid
join open_right r on r.eid = a.right_eid
join second_look p on p.eid = l.pool_eid
join second_look q on q.eid = r.pool_eid
left join open_left ll on ll.eid = a.rival_eid
left join open_right rr on rr.eid = a.rival_eid
where {trust.worth_sql(rec, "a")})""",
            "the pairs worth a look; parts of one principal stand or fall together",
        ),
    )


def live_steps(rec: Reconciliation, scores: Scores) -> tuple[Step, ...]:
    """Pairs without a question are matches; those that share a principal are one match."""
    return (
        Step(
            "likely_money",
            f"""
create or replace table likely_money as
select left_eid, right_eid, left_key, right_key, match_probability, margin,
       l.dead <> r.dead as status_note, mid, count(*) over (partition by mid) as partners,
       mid = right_eid as of_right, {amounts.pair_money(rec)}
from (from likely where why_code is null)
join second_look l on l.eid = left_eid join second_look r on r.eid = right_eid""",
            "what the picked pairs are worth",
        ),
        Step(
            "likely_parts",
            """
create or replace table likely_parts as
select mid, of_right, currency, status_note, match_probability, margin,
       case when of_right then left_eid else right_eid end as eid,
       case when of_right then right_sum else left_sum end as own,
       case when of_right then left_sum else right_sum end as part
from likely_money where partners > 1""",
            "the parts of those that stand together",
        ),
        Step(
            "likely_live",
            f"""
insert into more_pairs
select mid, 'probable', null, currency, left_sum, right_sum, amount_note, status_note,
       null, match_probability, margin, {scores.sql("left_eid")},
       left_eid, right_eid, left_key, right_key
from likely_money where partners = 1;
insert into live_groups
select mid, 'probable', null, currency, left_sum, right_sum,
       case when left_sum is null or right_sum is null then 'no_amount'
            when {amounts.agree(rec, "left_sum", "right_sum")} then null
            else 'amount_mismatch' end,
       status_note, null, confidence, margin, {scores.sql("mid")}
from (
    select *, case when of_right then total else target end as left_sum,
           case when of_right then target else total end as right_sum
    from (
        select mid, of_right, min(currency) as currency, bool_or(status_note) as status_note,
               case when min(currency) = max(currency) then any_value(own) end as target,
               case when min(currency) = max(currency) and count(part) = count(*)
                    then sum(part) end as total,
               min(match_probability) as confidence, min(margin) as margin
        from likely_parts group by mid, of_right));
insert into more_members
select m.mid, m.eid, 'part', true,
       -- what each told, where all of them did, whether or not the principal tells an amount
       case when case when m.of_right then g.left_sum else g.right_sum end is not null
            then m.part end
from likely_parts m join live_groups g using (mid)
union all
select mid, mid, 'principal', true, case when of_right then right_sum else left_sum end
from live_groups join (select distinct mid, of_right from likely_parts) using (mid)""",
            "matches above the floor and the margin",
        ),
        Step(
            "offered_pairs",
            f"""
insert into offered_pairs
select left_eid, right_eid, 'probable', match_probability, margin, why_code,
       {scores.sql("left_eid")}
from likely where why_code is not null""",
            "pairs for a person",
        ),
    )
