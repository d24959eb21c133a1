"""What became of decisions: in force, replaced, disputed, or asked again because facts changed.

Nothing is resolved silently. A decision on facts that have changed since is listed to be asked
again (`changes` tells what differs); words that contradict one another are listed side by side
until somebody takes one back or adjudicates.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import decided, disputes
from recon_kit.matching.components import components_sql
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

WHAT: dict[str, str] = {
    "verdicts": "two people say the opposite of this pair; neither is applied",
    "counterpart_or_none": "one person names a counterpart, another says there is none; "
    "neither is applied",
    "two_counterparts": "two people name different counterparts where one is allowed; "
    "neither is applied",
    "audit_labels": "two people label this drawn event differently; neither is applied",
    "several_counterparts": "more counterparts are named than the cardinality allows; "
    "they are joined as one match",
    "chain": "pairs said to be the same join two events that somebody said are not; "
    "none of them is applied",
}


def decision_states(engine: Engine, rec: Reconciliation) -> pl.DataFrame:
    """Every decision that is not undone, with what became of it.

    Args:
        engine: a snapshot's engine with views `decisions` and `events`, after
            `changes.find_residuals`.
        rec: whose decisions.

    Returns:
        `seq, state, verdict, left_id, right_id, reason_code, reviewer, stream, recorded_at,
        left_key, right_key, bundle_id, evidence_hash`, oldest first. `state` is `in force`,
        `replaced` (by a later word on the same matter), `unsure`, or why it is asked again:
        `evidence_changed`, `event_gone`, `reviewers_disagree`, `contradicts_not_same`.
    """
    engine.run(*decided.said_steps(rec), *_torn_steps())
    return engine.rows(
        f"""
        with last as (select seq, min(why_code) as why_code from (
            select seq, why_code from reopened
            union all select seq, why_code from stale_residuals
            union all select seq, 'contradicts_not_same' from torn_words) group by seq)
        select d.seq, coalesce(l.why_code, case when s.seq is not null then 'in force'
            when d.verdict = 'unsure' then 'unsure' else 'replaced' end) as state,
          d.verdict, {_named("le", "d.left_key")} as left_id,
          {_named("re", "d.right_key")} as right_id, d.reason_code, d.reviewer, d.stream,
          d.recorded_at, d.left_key, d.right_key, d.bundle_id, d.evidence_hash
        from (from decisions where reconciliation = {quote_text(rec.name)}) d
        left join last l using (seq)
        left join said s using (seq)
        left join events le on le.event_key = d.left_key
        left join events re on re.event_key = d.right_key
        order by d.seq"""
    )


def conflicts(engine: Engine, rec: Reconciliation) -> pl.DataFrame:
    """Decisions that contradict one another, one row per contradiction.

    Args:
        engine: after `decision_states`.
        rec: whose decisions.

    Returns:
        `kind, left_id, right_id, said, what, seqs`: who said what (`ana: same c9 (12)`), what is
        wrong in words, and the decisions concerned, in order of these.
    """
    parts = [
        "select kind, [seq, other_seq] as seqs from disputes where seq < other_seq",
        "select 'chain', list(distinct seq) from torn_words group by root",
    ]
    for key, far in (("left_key", "right_key"), ("right_key", "left_key")):
        if key in disputes.single_sides(rec):
            parts.append(
                "select 'several_counterparts', list(distinct seq) from standing "
                f"where verdict = 'same' group by {key} having count(distinct {far}) > 1"
            )
    found = engine.rows(
        f"""
        with every as ({" union all ".join(parts)}),
        numbered as (
          select kind, list_sort(seqs) as seqs,
            row_number() over (order by list_sort(seqs), kind) as place from every
        ),
        each as (select place, kind, seqs, unnest(seqs) as seq from numbered),
        told as (
          select e.place, e.kind, e.seqs, d.seq, d.reviewer,
            replace(d.verdict, '_', ' ') as verdict,
            {_named("le", "d.left_key")} as left_id, {_named("re", "d.right_key")} as right_id
          from each e join decisions d using (seq)
          left join events le on le.event_key = d.left_key
          left join events re on re.event_key = d.right_key
        )
        select kind, string_agg(distinct left_id, ', ' order by left_id) as left_id,
          string_agg(distinct right_id, ', ' order by right_id) as right_id,
          string_agg(concat(reviewer, ': ', concat_ws(' ', verdict, right_id), ' (', seq, ')'),
            '; ' order by seq) as said, min(seqs) as seqs
        from told group by place, kind order by place"""
    )
    what = pl.col("kind").replace_strict(WHAT, return_dtype=pl.String)
    return found.select("kind", "left_id", "right_id", "said", what=what, seqs="seqs")


def _torn_steps() -> tuple[Step, ...]:
    """`torn_words(seq, root)`: chains of same that hold a pair which is said not to be the same."""
    groups = components_sql(
        "select left_key as a, right_key as b from standing where verdict = 'same'"
    )
    return (
        Step(
            "torn_words",
            f"""
create or replace table said_groups as
select node as key, root from ({groups});
create or replace table torn_words as
with torn as (
    select n.seq, l.root from (from standing where verdict = 'not_same') n
    join said_groups l on l.key = n.left_key join said_groups r on r.key = n.right_key
    where l.root = r.root
)
select seq, root from torn
union
select s.seq, g.root from (from standing where verdict = 'same') s
join said_groups g on g.key = s.left_key where g.root in (select root from torn)""",
            "chains of pairs that contradict themselves",
        ),
    )


def _named(alias: str, key: str) -> str:
    """What people call an event; the beginning of its key where it has no id or is gone."""
    return f"coalesce({alias}.native_id, left({key}, 8))"
