"""Everything that may be a case, as rows of one table; several rows may hang on one anchor.

`case_candidates(anchor_key, kind, class_is, subjects, amount, currency, since, source, diffs)`:
`class_is` is set where a row has another class than its kind, `subjects` are event keys, `amount`
is the money at risk in minor units and never negative, `since` the instant from which the facts
make it a case, `diffs` a JSON object.
"""

from __future__ import annotations

from datetime import datetime

from recon_kit import workdays
from recon_kit.ledger.engine import Step
from recon_kit.resolution import kinds
from recon_kit.resolution.gather import CaseTables, attached_sql, gather_steps, side_sql, texts
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation, Settings

# Why-codes with which matching says that several answers are equally good.
AMBIGUOUS_CODES: tuple[str, ...] = ("ambiguous", "equal_answers", "undecidable")
# Statuses after which a dispute asks for nothing more.
ENDED_DISPUTES: tuple[str, ...] = ("won", "lost", "reversed", "closed", "accepted", "expired")


def candidate_steps(
    rec: Reconciliation, settings: Settings, as_of: datetime, tables: CaseTables
) -> tuple[Step, ...]:
    """Statements that leave `case_candidates`."""
    zone = settings.workspace.timezone
    return (
        Step(
            "case_candidates",
            """
create or replace table case_candidates (anchor_key varchar, kind varchar, class_is varchar,
  subjects varchar[], amount hugeint, currency varchar, since timestamptz, source varchar,
  diffs varchar)""",
            "an empty table to fill",
        ),
        *gather_steps(rec, tables),
        _matches_step(),
        _residuals_step(rec),
        _noted_step(),
        _refunds_step(rec, as_of, zone),
        _held_step(),
        _groups_step(),
        _proposals_step(),
        _overdue_step(rec),
        _told_again_step(rec),
        _disputes_step(rec),
        _feeds_step(),
    )


def _matches_step() -> Step:
    """The matches that may be cases, each with its anchor."""
    return Step(
        "case_matches",
        """
create or replace table case_matches as
select mm.match_id,
  first(mm.event_key order by mm.role <> 'principal', mm.side <> 'left',
    mm.event_key) as anchor_key,
  list(mm.event_key order by mm.event_key) as subjects,
  first(e.source order by mm.role <> 'principal', mm.side <> 'left', mm.event_key) as source,
  count(*) filter (mm.counts) as amounts,
  count(distinct e.currency) filter (mm.counts) as currencies,
  abs(sum(e.fee) filter (mm.counts and mm.side = 'left')) as left_fees,
  abs(sum(e.fee) filter (mm.counts and mm.side = 'right')) as right_fees,
  bool_or(e.event_type = 'payout') as of_payout
from case_members mm
join (select match_id from case_heads) using (match_id)
join case_events e using (event_key)
group by mm.match_id""",
        "a match is anchored on its principal, the left one if both sides have one",
    )


def _residuals_step(rec: Reconciliation) -> Step:
    band = f"{rec.fx_band_percent} / 100 * greatest(abs(m.left_sum), abs(m.right_sum))"
    money = "abs(coalesce(o.amount_minor, m.residual_minor))"
    return Step(
        "case_residuals",
        f"""
insert into case_candidates
select anchor_key, kind, case when kind = 'rounding' then 'C' end, subjects, amount, currency,
  since, source, diffs
from (
  select c.anchor_key, c.subjects, c.source, {money} as amount,
    coalesce(o.currency, m.currency) as currency, o.expected_by as since,
    case when c.of_payout then 'payout_break'
      when {money} <= c.amounts * {kinds.ROUNDING_PER_AMOUNT} then 'rounding'
      when {money} in (c.left_fees, c.right_fees) then 'fee_mismatch'
      when c.currencies > 1 and {money} <= {band} then 'fx_residue'
      else 'amount_mismatch' end as kind,
    to_json({{'match_id': m.match_id, 'method': m.method, 'left_sum': m.left_sum,
      'right_sum': m.right_sum, 'residual': m.residual_minor, 'currency': m.currency,
      'discrepancies': m.discrepancies, 'why': o.why}}) as diffs
  from out_open_items o
  join case_heads m using (match_id)
  join case_matches c using (match_id)
  where o.state = 'overdue'
)""",
        "matches whose residual is beyond tolerance after their settlement time",
    )


def _noted_step() -> Step:
    return Step(
        "case_noted",
        """
insert into case_candidates
select c.anchor_key, n.kind, null, c.subjects, n.amount, m.currency, null, c.source,
  to_json({'match_id': m.match_id, 'method': m.method, 'left_sum': m.left_sum,
    'right_sum': m.right_sum, 'residual': m.residual_minor, 'currency': m.currency,
    'discrepancies': m.discrepancies})
from case_heads m
join case_matches c using (match_id)
cross join lateral (
  select 'rounding' as kind, abs(m.residual_minor) as amount
  where m.residual_minor <> 0 and m.disposition <> 'review' and m.match_id not in (
    select match_id from out_open_items where match_id is not null)
  union all
  select 'status_mismatch', greatest(abs(m.left_sum), abs(m.right_sum))
  where m.discrepancies like '%"status_mismatch"%'
  union all
  select 'id_conflict', greatest(abs(m.left_sum), abs(m.right_sum))
  where m.discrepancies like '%"id_conflict"%'
) n
where coalesce(m.discrepancies, '') not like '%"residual_accepted"%'""",
        "differences within tolerance, and discrepancies other than money",
    )


def _refunds_step(rec: Reconciliation, as_of: datetime, zone: str) -> Step:
    """Refunds told differently by the two sides, once both had their settlement time to tell."""
    settles = rec.settles_within
    due = workdays.due_sql("t.told_at", settles.count, settles.unit, zone)
    return Step(
        "case_refunds",
        f"""
insert into case_candidates
select anchor_key, 'amount_mismatch', null, subjects, nullif(abs(claimed - refunded), 0),
  currency, due, source,
  to_json({{'match_id': match_id, 'method': method, 'refunds_claimed': claimed,
    'refunds_told': refunded, 'currency': currency, 'discrepancies': discrepancies}})
from (
  select m.match_id, m.method, m.currency, m.discrepancies, c.anchor_key, c.subjects, c.source,
    t.claimed, t.refunded, {due} as due
  from (from case_heads where discrepancies like '%"refund_mismatch"%'
        and discrepancies not like '%"residual_accepted"%') m
  join case_matches c using (match_id)
  join (
    select mm.match_id, max(a.received_at) as told_at,
      coalesce(abs(sum(e.refunded_amount) filter (mm.counts and mm.side = 'left')), 0) as claimed,
      coalesce(abs(sum(mm.allocated_minor) filter (mm.role = 'refund')), 0) as refunded
    from case_members mm join case_events e using (event_key)
    left join artefacts a on a.sha256 = e.artefact_sha256 and a.source = e.source
    where mm.match_id in (
      select match_id from case_heads where discrepancies like '%"refund_mismatch"%')
    group by mm.match_id
  ) t using (match_id)
) r
where due <= {workdays.instant_sql(as_of)}""",
        "what one side says was refunded is not what the other says",
    )


def _held_step() -> Step:
    return Step(
        "case_held",
        """
insert into case_candidates
select c.anchor_key, 'review', null, c.subjects,
  greatest(abs(m.left_sum), abs(m.right_sum)), m.currency, null, c.source,
  to_json({'match_id': m.match_id, 'method': m.method, 'confidence': m.confidence,
    'left_sum': m.left_sum, 'right_sum': m.right_sum, 'currency': m.currency,
    'discrepancies': m.discrepancies})
from case_heads m join case_matches c using (match_id)
where m.disposition = 'review'""",
        "matches that wait for a person's signature",
    )


def _groups_step() -> Step:
    """A proposal with one event on a side hangs on that event, left before right."""
    return Step(
        "case_groups",
        """
create or replace table case_groups as
select match_id,
  case when count(distinct left_key) = 1 or count(distinct right_key) <> 1
    then coalesce(min(left_key), min(right_key)) else min(right_key) end as anchor_key,
  list_distinct(list_concat(list(left_key), list(right_key))) as keys,
  max(confidence) as confidence, min(method) as method,
  greatest(abs(sum(distinct_left)), abs(sum(distinct_right))) as amount,
  min(currency) as currency,
  min(why_code) filter (not ambiguous) as why_code, bool_or(ambiguous) as ambiguous
from (
  select *, case when row_number() over (partition by match_id, left_key order by right_key) = 1
      then left_amount end as distinct_left,
    case when row_number() over (partition by match_id, right_key order by left_key) = 1
      then right_amount end as distinct_right,
    coalesce(why_code in """
        + texts(AMBIGUOUS_CODES)
        + """, false) as ambiguous
  from out_proposals
)
group by match_id""",
        "proposed pairs that belong together are one question",
    )


def _proposals_step() -> Step:
    return Step(
        "case_proposals",
        """
insert into case_candidates
select g.anchor_key, case when g.ambiguous then 'ambiguous' else 'review' end, null,
  list_filter(g.keys, lambda k: k is not null), g.amount, g.currency, null, e.source,
  to_json({'match_id': g.match_id, 'method': g.method, 'confidence': g.confidence,
    'why_code': g.why_code})
from case_groups g left join case_events e on e.event_key = g.anchor_key
where g.anchor_key is not null""",
        "what matching proposes and a person must answer",
    )


def _overdue_step(rec: Reconciliation) -> Step:
    attached = texts(rec.attach)
    return Step(
        "case_overdue",
        f"""
insert into case_candidates
select o.event_key,
  case when o.why_code in {texts(AMBIGUOUS_CODES)} then 'ambiguous'
    when o.why_code in ('id_conflict', 'possible_duplicate') then o.why_code
    when o.state = 'proposed' then 'review'
    when e.event_type = 'refund' and e.event_type in {attached} then 'refund_without_payment'
    when e.event_type = 'chargeback' and e.event_type in {attached} then 'chargeback'
    when o.side = 'left' then 'missing_right' else 'missing_left' end,
  null,
  case when o.nearest_key is not null and o.why_code in ('id_conflict', 'possible_duplicate')
    then [o.event_key, o.nearest_key] else [o.event_key] end,
  abs(o.amount_minor), o.currency, o.expected_by, e.source,
  to_json({{'side': o.side, 'expected_by': o.expected_by, 'why_code': o.why_code, 'why': o.why,
    'nearest_key': o.nearest_key}})
from out_open_items o join case_events e using (event_key)
where o.match_id is null and o.event_key not in (
    select k from (select unnest(keys) as k from case_groups) where k is not null
  ) and o.state in ('overdue', 'proposed')""",
        "events whose counterpart did not come in time and that no proposal speaks of",
    )


def _told_again_step(rec: Reconciliation) -> Step:
    scope = f"{side_sql(rec.left)} or {side_sql(rec.right)} or {attached_sql(rec)}"
    return Step(
        "case_told_again",
        f"""
insert into case_candidates
select d.event_key, d.kind, null, list_distinct([d.event_key, d.kept_key]), abs(e.amount),
  e.currency, null, e.source, to_json({{'why': d.why, 'kept_key': d.kept_key}})
from (
  select mm.event_key, mm.parent as kept_key, 'same money in one match' as why,
    'duplicate' as kind
  from case_members mm where mm.role = 'duplicate'
  union all
  select event_key, kept_key, why,
    case when why = 'possible_duplicate' then why else 'duplicate' end
  from duplicates
) d
join case_events e on e.event_key = case when d.why in ('retold', 'possible_duplicate')
  then d.kept_key else d.event_key end
where {scope}""",
        "the same movement told again, or perhaps",
    )


def _disputes_step(rec: Reconciliation) -> Step:
    return Step(
        "case_disputes",
        f"""
insert into case_candidates
with disputes as (
  select e.event_key, e.source, e.amount, e.currency, e.status, mm.match_id,
    sum(e.amount) over (partition by coalesce(mm.match_id, e.event_key)) as together
  from case_events e left join case_members mm using (event_key)
  where {attached_sql(rec)} and e.event_type = 'chargeback'
)
select event_key, 'chargeback', null, [event_key], abs(amount), currency, null, source,
  to_json({{'match_id': match_id, 'status': status}})
from disputes
where coalesce(lower(status), '') not in {texts(ENDED_DISPUTES)}
  and coalesce(together, -1) < 0 and coalesce(amount, -1) < 0
  and event_key not in (
    select event_key from out_open_items where match_id is null and state <> 'overdue')
  and event_key not in (
    select k from (
      select unnest([left_key, right_key]) as k from decisions
      where reconciliation = {quote_text(rec.name)}
        and verdict in ('no_counterpart', 'accept_residual', 'write_off')
    ) where k is not null)""",
        "disputes that are neither ended, given back nor accepted",
    )


def _feeds_step() -> Step:
    return Step(
        "case_feeds",
        """
insert into case_candidates
select anchor, kind, null, [], null, null, since, source, diffs from case_feeds""",
        "sources whose next file is late, whose columns changed, whose days are odd, and the like",
    )
