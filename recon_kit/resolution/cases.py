"""What a rule or a person must settle, found in the result of one evaluation.

A case hangs on one event, its *anchor*: the left event, else the right one; for a match the
principal. `case_id` is the hash of reconciliation, anchor and opening number, so that a case
keeps its name, owner and opening time from run to run while its kind, subjects and money change
(an order without payment becomes an order with a residual: one case, one clock). A case closes
itself by not being found again; found once more after that, it is opened anew with the next
number.

What is in flight or not covered makes no case; nor does what a person accepted, which matching
has closed already. Reads the views `events`, `event_versions`,
`artefacts`, `duplicates`, `decisions` and the tables `out_matches`, `out_match_members`,
`out_proposals`, `out_open_items`; leaves `out_findings`. Every table it makes on the way is called
`case_...`, except `calendar`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import polars as pl

from recon_kit import model, workdays
from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.receipts import joins_sql, receipts_step
from recon_kit.resolution import alarms, clocks, kinds, overcharges, routing
from recon_kit.resolution.candidates import candidate_steps
from recon_kit.resolution.gather import CaseTables
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation, Settings

HISTORY_SCHEMA: dict[str, pl.DataType] = {
    "anchor_key": pl.String(), "opening": pl.Int64(), "opened_at": model.UTC,
    "owner": pl.String(), "alive": pl.Boolean(),
}  # fmt: skip


def find_cases(  # noqa: PLR0913 - the three inputs, the clock and the past are all needed
    engine: Engine,
    rec: Reconciliation,
    settings: Settings,
    as_of: datetime,
    previous: pl.DataFrame,
    *,
    runs_before: int | None = None,
    lapsed: pl.DataFrame | None = None,
    tables: CaseTables | None = None,
) -> None:
    """Leave `out_findings`: the open cases of one evaluation, and class A for the record.

    Args:
        engine: a snapshot's engine after `matching.cascade.reconcile`.
        rec: the reconciliation that was evaluated.
        settings: the workspace's settings (zone, holidays, owners).
        as_of: the instant of the evaluation.
        previous: findings of earlier live runs of this reconciliation, with `run_order` (0 is the
            oldest), at least the columns that `history` reads; may be empty.
        runs_before: number of those runs. Without it the newest run that found anything is taken
            for the last one, and a case that was closed by a run that found nothing at all is
            continued instead of opened anew.
        lapsed: `method, reason` of certificates that drift has voided.
        tables: where the results stand; by default the `out_...` tables of this evaluation.
    """
    engine.put("case_kinds", kinds.kinds_frame(rec.left.sources, rec.right.sources))
    engine.put("case_routes", routing.routes_frame(routing.routes(rec, settings)))
    engine.put("case_history", history(previous, rec.name, runs_before))
    told = pl.concat(
        [alarms.of_feeds(engine, rec, settings, as_of), alarms.of_customers(engine, rec)]
    )
    if lapsed is not None:
        told = pl.concat([told, alarms.of_promises(lapsed)])
    engine.put("case_feeds", told)
    clocks.put_calendar(engine, settings, as_of, "select min(received_at) from artefacts")
    engine.run(*candidate_steps(rec, settings, as_of, tables or CaseTables()))
    overcharges.run(engine, rec)
    found = engine.rows("select distinct currency from case_candidates where currency is not null")
    limits = kinds.limits_frame(found["currency"].to_list(), rec.sign_off_over)
    engine.put("case_limits", limits)
    engine.run(receipts_step(), *_finding_steps(rec, as_of))


def history(previous: pl.DataFrame, reconciliation: str, runs_before: int | None) -> pl.DataFrame:
    """The last word of earlier runs on each anchor, in `HISTORY_SCHEMA`.

    Reads reconciliation, anchor_key, opening, opened_at, owner and run_order. `alive` says that
    the newest run still had the case.
    """
    if previous.is_empty():
        return pl.DataFrame(schema=HISTORY_SCHEMA)
    newest = previous["run_order"].max() if runs_before is None else runs_before - 1
    mine = previous.filter(pl.col("reconciliation") == reconciliation)
    last = mine.sort("anchor_key", "opening", "run_order").unique(
        "anchor_key", keep="last", maintain_order=True
    )
    return last.with_columns(alive=pl.col("run_order") == newest).select(
        pl.col(name).cast(dtype) for name, dtype in HISTORY_SCHEMA.items()
    )


def _finding_steps(rec: Reconciliation, as_of: datetime) -> Iterable[Step]:
    return (_merged_step(), _received_step(), _findings_step(rec, as_of))


def _merged_step() -> Step:
    return Step(
        "case_merged",
        """
create or replace table case_merged as
with ranked as (
  select c.*, k.position, k.klass, k.severity, k.least, k.suggested_action,
    row_number() over (partition by anchor_key
      order by position, amount desc nulls last, since, diffs, subjects) as place
  from case_candidates c join case_kinds k on k.name = c.kind
),
gathered as (
  select anchor_key, list_sort(list_distinct(flatten(list(subjects)))) as subjects,
    list(distinct kind order by kind) as kinds
  from ranked group by anchor_key
)
select r.anchor_key, r.kind, coalesce(r.class_is, r.klass) as klass,
  case when r.class_is is null then r.severity else 'review' end as severity, r.least,
  r.suggested_action, r.amount, r.currency, r.since, r.source,
  to_json(list_slice(g.subjects, 1, 50))::varchar as subjects,
  json_merge_patch(r.diffs, to_json({
    'also': list_filter(g.kinds, lambda k: k <> r.kind), 'events': len(g.subjects)
  }))::varchar as diffs
from ranked r join gathered g using (anchor_key) where r.place = 1""",
        "one case for each anchor: the first kind names it, the others are noted",
    )


def _received_step() -> Step:
    return Step(
        "case_received",
        f"""
create or replace table case_received as
select e.event_key, coalesce(f.first_at, r.received_at) as received_at
from (from case_events where event_key in (select anchor_key from case_merged)) e
{joins_sql("e")}
union all
select e.event_key, coalesce(f.first_at, r.received_at)
from (from events where event_key in (
  select anchor_key from case_merged where anchor_key not in (select event_key from case_events)
    and anchor_key not in (select anchor from case_feeds))) e
{joins_sql("e")}""",
        "when the anchor was first heard of",
    )


def _findings_step(rec: Reconciliation, as_of: datetime) -> Step:
    name, now = quote_text(rec.name), workdays.instant_sql(as_of)
    priority = kinds.priority_sql("m.amount", "l.much_minor", "m.least")
    columns = ", ".join(f'"{c}"' for c in model.RUN_TABLES["findings"])
    return Step(
        "findings",
        f"""
create or replace table out_findings as
with owned as (
  select m.anchor_key, arg_min(r.owner, r.position) as owner
  from case_merged m join case_routes r
    on (r.kind is null or r.kind = m.kind) and (r.source is null or r.source = m.source)
  group by m.anchor_key
),
opened as (
  select m.*, {priority} as priority,
    case when h.anchor_key is null then 1 when h.alive then h.opening else h.opening + 1 end
      as opening,
    case when h.alive then coalesce(h.owner, o.owner) else o.owner end as owner,
    case when h.alive then h.opened_at when h.anchor_key is not null then {now}
      else least({now}, coalesce(greatest(m.since, v.received_at), {now})) end as opened_at
  from case_merged m
  join owned o using (anchor_key)
  left join case_history h using (anchor_key)
  left join case_limits l on l.currency = m.currency
  left join case_received v on v.event_key = m.anchor_key
),
shaped as (
  select {model.digest_sql(name, "anchor_key", "opening::varchar")} as case_id,
    {name} as reconciliation, anchor_key, opening::bigint as opening, kind, klass as "class",
    severity, priority, subjects, diffs, amount::bigint as amount_minor, currency, owner,
    opened_at, suggested_action
  from opened
)
select {columns} from shaped order by case_id""",
        "identity, owner, priority and opening of every case",
    )
