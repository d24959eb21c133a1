"""What has changed since a decision was made: field by field, then and now."""

from __future__ import annotations

import polars as pl

from recon_kit import model, money
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import evidence
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

DIFF_SCHEMA: dict[str, pl.DataType] = {
    "seq": pl.Int64(), "event_key": pl.String(), "native_id": pl.String(),
    "field": pl.String(), "then": pl.String(), "now": pl.String(),
}  # fmt: skip
MEMBER, PERSONAL = "member of the match", "personal details"
# Fields whose minor units belong to a currency of the same event.
_MONEY: dict[str, str] = {
    "amount": "currency", "fee": "currency", "net": "currency", "refunded_amount": "currency",
    "presentment_amount": "presentment_currency",
}  # fmt: skip
_FIELDS = tuple(f for f in model.MONEY_FACTS if f not in {"event_id", "raw_ts"})


def find_residuals(engine: Engine, rec: Reconciliation, runs: pl.DataFrame) -> None:
    """Leave what decisions on money left open spoke of, then and now.

    Makes `residuals(seq, event_key, now)`, the members of the match then and in the current run,
    and `stale_residuals(seq, why_code)`: the members or their facts are not those that were seen.

    Args:
        engine: shows every run that `runs` names.
        rec: whose decisions.
        runs: `seq` of such decisions, `run_id` that was current then, `run_now` that is now.
    """
    engine.put("residual_runs", runs)
    engine.run(
        Step(
            "residuals",
            f"""
create or replace table residuals as
with asked as (
  select d.seq, coalesce(d.left_key, d.right_key) as event_key, r.run_id, r.run_now
  from decisions d join residual_runs r using (seq)
  where d.reconciliation = {quote_text(rec.name)}
), spoken as (
  select seq, event_key, run_id, false as now from asked
  union all select seq, event_key, run_now, true from asked
)
select distinct s.seq, every.event_key, s.now
from spoken s
join match_members mine on mine.event_key = s.event_key and mine.run_id = s.run_id
join match_members every on every.match_id = mine.match_id and every.run_id = mine.run_id""",
            "who was, and who is, in the match whose money was given up",
        ),
        Step(
            "stale_residuals",
            f"""
create or replace table stale_residuals as
with now as (
  select r.seq, {evidence.members_hash_sql("e")} as hash_now
  from residuals r join events e using (event_key) where r.now group by r.seq
)
select d.seq, case when n.seq is null then 'event_gone' else 'evidence_changed' end as why_code
from decisions d join residual_runs using (seq) left join now n using (seq)
where d.evidence_hash is distinct from n.hash_now
  and d.seq in (select seq from residuals)""",
            "members or facts that are not those that were seen",
        ),
    )


def diffs(engine: Engine) -> pl.DataFrame:
    """Field by field what has changed under decisions that must be asked again.

    Args:
        engine: after `standing.decision_states`, with view `event_versions`.

    Returns:
        `DIFF_SCHEMA` in order of seq, event and field: `then` and `now` as text, amounts in
        decimals. Where only personal details changed the field is `personal details` and their
        values stay out. A member that joined or left a match has the field `member of the match`.
    """
    engine.run(*_compared_steps())
    told = engine.rows(
        f"select c.seq, c.now, v.event_key, v.payload_hash, {', '.join(f'v.{f}' for f in _FIELDS)} "
        "from compared c join event_versions v using (event_key, payload_hash)"
    )
    readable = told.with_columns(
        money.text_expr(pl.col(name), pl.col(unit)).alias(name) for name, unit in _MONEY.items()
    ).with_columns(pl.col(f).cast(pl.String) for f in _FIELDS)
    place = ["seq", "event_key"]
    long = readable.unpivot(_FIELDS, index=[*place, "now"], variable_name="field")
    then, now = (
        long.filter(pl.col("now") == flag).select(*place, "field", value=pl.col("value"))
        for flag in (False, True)
    )
    pairs = then.join(now, on=[*place, "field"]).select(
        *place, "field", then="value", now="value_right"
    )
    changed = pairs.filter(pl.col("then").ne_missing(pl.col("now")))
    silent = (
        told.select(*place, "payload_hash")
        .unique()
        .group_by(place)
        .len()
        .filter(pl.col("len") > 1)
        .join(changed, on=place, how="anti")
        .select(*place, field=pl.lit(PERSONAL), then=pl.lit(None, dtype=pl.String),
                now=pl.lit("changed"))
    )  # fmt: skip
    every = pl.concat([changed, silent, engine.rows(_MEMBERS)], how="vertical_relaxed")
    ids = engine.rows(
        "select event_key, native_id from events where event_key in ("
        "select event_key from compared union all select event_key from residuals)"
    )
    return (
        every.join(ids, on="event_key", how="left")
        .select(pl.col(n).cast(k) for n, k in DIFF_SCHEMA.items())
        .sort("seq", "event_key", "field")
    )


_MEMBERS = f"""
    select seq, event_key, {quote_text(MEMBER)} as field,
      case when bool_or(not now) then 'yes' else 'no' end as "then",
      case when bool_or(now) then 'yes' else 'no' end as now
    from residuals where seq in (select seq from stale_residuals)
    group by seq, event_key having count(distinct now) = 1
"""


def _compared_steps() -> tuple[Step, ...]:
    """`compared(seq, event_key, payload_hash, now)`: the telling that was seen, and today's."""
    return (
        Step(
            "compared",
            f"""
create or replace table compared as
with changed as (
  select r.seq, r.left_key, r.right_key, d.evidence_hash
  from reopened r join decisions d using (seq) where r.why_code = 'evidence_changed'
), tellings as (
  select event_key, payload_hash, version_order, recorded_seq from event_versions
  where event_key in (select unnest([left_key, right_key]) from changed)
    or event_key in (select event_key from residuals)
), pairs as (
  select c.seq, l.event_key as one, l.payload_hash as one_hash, r.event_key as two,
    r.payload_hash as two_hash
  from changed c join tellings l on l.event_key = c.left_key
  join tellings r on r.event_key = c.right_key
  where {evidence.pair_hash_sql("l", "r")} = c.evidence_hash
), alone as (
  select c.seq, t.event_key, t.payload_hash
  from changed c join tellings t on t.event_key = coalesce(c.left_key, c.right_key)
  where (c.left_key is null or c.right_key is null)
    and {model.digest_sql("t.payload_hash")} = c.evidence_hash
), members as (
  select r.seq, t.event_key, arg_max(t.payload_hash, (t.version_order, t.payload_hash)) as h
  from residuals r join stale_residuals s using (seq)
  join tellings t on t.event_key = r.event_key and t.recorded_seq <= r.seq
  where not r.now group by r.seq, t.event_key
), seen as (
  select seq, one as event_key, one_hash as payload_hash from pairs
  union select seq, two, two_hash from pairs
  union from alone
  union from members
)
select *, false as now from seen
union all
select t.seq, e.event_key, e.payload_hash, true
from seen t join events e using (event_key)""",
            "the tellings that were seen are those whose hash was stored; today's beside them",
        ),
    )
