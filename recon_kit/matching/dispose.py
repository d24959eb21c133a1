"""From matches in working tables to the tables of a run: discrepancies, dispositions, ids.

`decided` is confirmed; `exact` is auto unless a doubt remains (`id_conflict`, `currency`); what a
later method put among the live matches is auto as well. Above the sign-off limit of its currency a
match waits for a person and keeps its members.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from recon_kit import model, money
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, canary, keys
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def currencies() -> Step:
    """`live_currency(mid, currency)` of every match."""
    return Step(
        "live_currency",
        "create or replace view live_currency as"
        " select mid, currency from live_pairs union all select mid, currency from live_groups",
        "the currency of each match",
    )


def run(
    engine: Engine,
    rec: Reconciliation,
    certificates: Mapping[str, str],
    on_trial: Mapping[str, str | None],
) -> None:
    """Write `out_matches` and `out_match_members`; `attach` must have run.

    `certificates` names, by method, the certificate under which its matches stand, `on_trial` the
    one under which those of its components on trial do. Where nothing hangs on a match, or nobody
    tells of a refund, what would look for it is left out.
    """
    hanging, refunds = (bool(told) for told in engine.one(
        "select exists (from live_attached), exists (from pool where refunded is not null)"
    ))  # fmt: skip
    if hanging or refunds:
        engine.run(refund_step())
    engine.run(
        *note_steps(rec, refunds=hanging or refunds),
        *id_steps(hanging=hanging),
        *out_steps(rec, _certificate(certificates, on_trial), hanging=hanging),
    )


def refund_step() -> Step:
    """`refunds_seen` and `refund_claims`: refunds told as events, and in a column."""
    return Step(
        "refund_claims",
        """
create or replace table refunds_seen as
select l.mid, a.home, sum(l.allocated) as total
from live_attached l join attached a using (eid) where a.event_type = 'refund'
group by l.mid, a.home;
create or replace table refund_claims as
with stood as not materialized (
    select unnest([left_eid, right_eid]) as eid, mid, currency from live_pairs
    union all
    select m.eid, m.mid, g.currency from live_members m join live_groups g using (mid)
), seen as materialized (
    select eid from stood where mid in (select mid from refunds_seen)
), placed as materialized (
    select eid, side, currency, refunded from pool where refunded <> 0
    union all
    select eid, side, currency, refunded from pool where refunded = 0 and eid in (from seen)
)
select s.mid, p.side, sum(abs(p.refunded)) as total
from placed p join (from stood where eid in (select eid from placed)) s using (eid)
where p.currency = s.currency
group by s.mid, p.side""",
        "what each side says was refunded, in columns and as events",
    )


def note_steps(rec: Reconciliation, *, refunds: bool) -> tuple[Step, ...]:
    """`notes(mid, note)`: disagreements that need more than the two sums to see.

    `refunds` is whether `refund_step` has run.
    """
    allowed = keys.allowed_sql(rec.tolerance, "told_left")
    differ = f"""
select mid, 'refund_mismatch' as note from (
    select mid, coalesce(lc.total, abs(ls.total)) as told_left,
           coalesce(abs(rs.total), rc.total) as told_right
    from (select mid from refund_claims union select mid from refunds_seen) m
    left join (from refund_claims where side = 0) lc using (mid)
    left join (from refund_claims where side = 1) rc using (mid)
    left join (from refunds_seen where home = 0) ls using (mid)
    left join (from refunds_seen where home = 1) rs using (mid))
where told_left is not null and abs(told_left - coalesce(told_right, 0)) > {allowed}
union all"""
    return (
        Step(
            "notes",
            f"""
create or replace table notes as{differ if refunds else ""}
select mid, 'fee_mismatch' as note from (
    select o.mid, o.diff, sum(f.fee) filter (o.side = 0) as left_fee,
           sum(f.fee) filter (o.side = 1) as right_fee
    from (
        select mid, unnest([left_eid, right_eid]) as eid, unnest([0, 1]) as side,
               abs(left_sum - right_sum) as diff
        from more_pairs where amount_note = 'amount_mismatch'
        union all
        select m.mid, m.eid, p.side, abs(left_sum - right_sum)
        from (from live_groups where amount_note = 'amount_mismatch') g
        join (from live_members where counts) m using (mid) join pool p using (eid)
    ) o
    join facts f using (eid)
    where f.fee <> 0
    group by o.mid, o.diff)
where diff in (abs(left_fee), abs(right_fee))
union all
select mid, 'duplicate' from live_members where role = 'duplicate' group by mid""",
            "refunds that differ, differences that are the fee, payments made twice",
        ),
    )


def id_steps(*, hanging: bool) -> tuple[Step, ...]:
    """Members of matches that are more than a pair, and what is noted of each match.

    `hanging` is whether anything hangs on a match: a pair with something on it is no mere pair.
    """
    hung = Step(
        "hung",
        "create or replace table hung as select distinct mid from live_attached",
        "pairs that are larger matches, because something hangs on them",
    )
    hangs = (
        ""
        if not hanging
        else """
union all
select a.mid, p.event_key, p.home, a.role, false, a.allocated, a.key_used, a.parent
from live_attached a join pool p using (eid)
union all
select mid, event_key, side,
       case when (side = 0) = (mid = left_eid) then 'principal' else 'part' end, true,
       case side when 0 then left_sum else right_sum end, key_used, null
from (select *, unnest([left_key, right_key]) as event_key, unnest([0, 1]) as side
      from live_pairs semi join hung using (mid))"""
    )
    return (
        *((hung,) if hanging else ()),
        Step(
            "member_rows",
            f"""
create or replace table further_members as
select g.mid, p.event_key, p.side, m.role, m.counts, m.allocated, g.key_used,
       null::varchar as parent
from live_groups g join more_members m using (mid) join pool p using (eid){hangs};
create or replace view member_rows as
from further_members
union all
select mid, event_key, side, role, counts, allocated, key_used, null from whole_members""",
            "their members",
        ),
        Step(
            "said_of",
            """
create or replace table said_of as
select mid, list(note order by note) as notes from (
    from notes
    union all
    select mid, 'residual_accepted' from closed_residuals)
group by mid""",
            "further notes of each match",
        ),
    )


def out_steps(rec: Reconciliation, certificate: str, *, hanging: bool) -> tuple[Step, ...]:
    """`heads` (a row per match, with what identifies it), and the two tables of a run on it.

    Most matches are pairs, and stand already in the join that made them: they are read from there.
    What else is a match is in `larger_heads`. Each pair is read once and written twice, as its
    principal and as its part. `certificate` is SQL of the certificate of a match.
    """
    pair = model.pair_id_sql(quote_text(rec.name))
    many = model.members_id_sql(quote_text(rec.name), "listed")
    constant = {
        "reconciliation": f"{quote_text(rec.name)} as reconciliation",
        "certificate_id": f"{certificate} as certificate_id",
        "inputs_hash": "null::varchar as inputs_hash",
    }
    one, part = ("right", "left") if keys.one_side(rec) == "right" else ("left", "right")
    pairs = "live_pairs anti join hung using (mid)" if hanging else "live_pairs"
    larger = "live_groups"
    if hanging:
        larger = """(select * exclude (left_eid, right_eid, left_key, right_key)
      from live_pairs semi join hung using (mid) union all by name from live_groups)"""
    return (
        Step(
            "heads",
            f"""
create or replace table larger_heads as
select match_id, {_head(rec)}, mid
from {larger}
left join said_of using (mid)
join (select mid, {many} as match_id
      from (select mid, list(event_key order by event_key) as listed from member_rows group by mid))
using (mid);
create or replace view heads as
select {pair} as match_id, {_head(rec)}, mid
from (from {pairs}) left join said_of using (mid)
union all
from larger_heads""",
            "the same members are the same match on any machine",
        ),
        Step(
            "out_matches",
            f"""
create or replace view out_matches as
select {", ".join(constant.get(c, c) for c in model.RUN_TABLES["matches"])}
from heads left join live_rules using (mid)""",
            "matches with disposition and discrepancies",
        ),
        Step(
            "out_match_members",
            f"""
create or replace view out_match_members as
select match_id, case n when 0 then {one}_key else {part}_key end as event_key,
       case n when 0 then '{one}' else '{part}' end as side,
       case n when 0 then 'principal' else 'part' end as role, true as counts,
       (case n when 0 then {one}_sum else {part}_sum end)::bigint as allocated_minor, key_used,
       null::varchar as parent
from (select *, {pair} as match_id from {pairs}) cross join (values (0), (1)) twice(n)
union all
select h.match_id, m.event_key, case m.side when 0 then 'left' else 'right' end, m.role,
       m.counts, m.allocated::bigint, m.key_used, m.parent
from member_rows m join larger_heads h using (mid)""",
            "members are the truth of a match",
        ),
    )  # fmt: skip


def _certificate(certificates: Mapping[str, str], on_trial: Mapping[str, str | None]) -> str:
    """The certificate of a match, by its method and whether its component is on trial."""
    tried = [
        f"when method = {quote_text(method)} and {canary.on_trial_sql(method, 'mid')}"
        f" then {quote_text(named) if named else 'null::varchar'}"
        for method, named in sorted(on_trial.items())
    ]
    held = [
        f"when method = {quote_text(method)} then {quote_text(named)}"
        for method, named in sorted(certificates.items())
    ]
    arms = " ".join([*tried, *held])
    return f"case {arms} end" if arms else "null::varchar"


def _head(rec: Reconciliation) -> str:
    """The columns of `matches` after `match_id`, over a live match and its `notes`."""
    return f"""method,
       case when method = 'decided' then 'confirmed'
            when doubt is not null then 'review'
            when {over_limit(rec)} then 'review' else 'auto' end as disposition,
       confidence, margin, left_sum::bigint as left_sum, right_sum::bigint as right_sum, currency,
       (left_sum - right_sum)::bigint as residual_minor,
       case when amount_note is not null or doubt is not null or status_note or notes is not null
            then nullif(to_json(list_sort(list_distinct(list_filter(
                [case when amount_note = 'amount_mismatch'
                       and coalesce(list_contains(notes, 'fee_mismatch'), false)
                      then null else amount_note end, doubt,
                 case when status_note then 'status_mismatch' end]
                || coalesce(notes, []), lambda x: x is not null))))::varchar, '[]')
            end as discrepancies,
       model_hash"""


def residual_open(rec: Reconciliation) -> str:
    """Whether a match leaves money open beyond tolerance (over `left_sum, right_sum`)."""
    return f"coalesce(not ({amounts.agree(rec, 'left_sum', 'right_sum')}), false)"


def over_limit(rec: Reconciliation, left: str = "left_sum", right: str = "right_sum") -> str:
    """Whether a person must sign off two sums in `currency`, as SQL."""
    if rec.sign_off_over is None:
        return "false"
    size = f"greatest(abs({left}), abs({right}))"
    arms = " ".join(
        f"when {quote_text(currency)} then {size} > {_minor(limit, currency)}"
        for currency, limit in sorted(rec.sign_off_over.items())
    )
    return f"coalesce(case currency {arms} else true end, true)" if arms else "true"


def _minor(limit: Decimal, currency: str) -> int:
    """A limit in minor units, rounded down: between two cents the smaller one is the limit."""
    return int(limit.scaleb(money.exponent(currency)))
