"""Who else may be meant: what stands in the review beside that which is proposed.

A question that shows one answer of two asks for trust, not for judgement. So beside every proposed
or held-back pair stand, where they are on the other side:

- the rival that came nearest to it when pairs were chosen (`rival`);
- where that rival wants the same counterpart, what was proposed to the rival instead: two orders
  and two payments of one customer may be joined either way (`rival`);
- open events that carry an id of the event asked about (`same_id`): the key that joined a pair
  may be the mistyped one of two.
"""

from __future__ import annotations

from recon_kit import model
from recon_kit.ledger.engine import Step

SAME_ID_MAX = 5  # a key that many open events carry names none of them
CODES: tuple[str, ...] = ("rival", "same_id")  # why-codes of what stands beside, not proposed
NOTES: dict[str, str] = {"rival": "rival", "same_id": "carries the same id"}

_NEAREST = """
    create or replace temp table review_nearest as
    select distinct p.reconciliation, p.asked_key, p.other_key, e.rival_key
    from review_pairs p
    join pair_evidence e on e.match_id = p.match_id
      and e.left_key = p.left_key and e.right_key = p.right_key
    where e.rival_key is not null
"""
_SAME_ID = f"""
    create or replace temp table review_same_id as
    with asked as (
      select distinct p.reconciliation, p.asked_key, k.kind, k.key_hash, k.key
      from review_pairs p
      join keys k on k.event_key = p.asked_key
      join review_keys w on w.reconciliation = p.reconciliation and w.kind = k.kind
    ), loose as (
      select distinct o.reconciliation, o.event_key, k.kind, k.key_hash, k.key
      from open_items o
      join keys k on k.event_key = o.event_key
      where o.match_id is null and k.kind in (select kind from review_keys)
    )
    from (
      select distinct a.reconciliation, a.asked_key, o.event_key as rival_key
      from asked a join loose o on o.reconciliation = a.reconciliation and o.kind = a.kind
        and o.key_hash = a.key_hash and o.key = a.key and o.event_key <> a.asked_key
    )
    qualify count(*) over (partition by reconciliation, asked_key) <= {SAME_ID_MAX}
"""
_RIVALS = f"""
    insert into review_pairs
    with near as (
      select reconciliation, asked_key, rival_key, 'rival' as code from review_nearest
      union all
      select n.reconciliation, n.asked_key, p.other_key, 'rival'
      from review_nearest n join review_pairs p
        on p.reconciliation = n.reconciliation and p.asked_key = n.rival_key
      where p.other_key <> n.other_key
      union all
      select reconciliation, asked_key, rival_key, 'same_id' from review_same_id
    ), told as (
      select n.reconciliation, n.asked_key, n.rival_key, min(n.code) as code,
        case any_value(s.one) when 'left' then n.asked_key else n.rival_key end as left_key,
        case any_value(s.one) when 'left' then n.rival_key else n.asked_key end as right_key
      from near n
      join review_sides s using (reconciliation)
      join events v on v.event_key = n.rival_key
      join review_members m on m.reconciliation = n.reconciliation and m.side <> s.one
        and m.source = v.source and m.event_type = v.event_type
      group by n.reconciliation, n.asked_key, n.rival_key
    )
    select reconciliation,
      {model.pair_id_sql("reconciliation")},
      null, null, null, code, left_key, right_key, 'work', asked_key, rival_key
    from told anti join review_pairs using (reconciliation, left_key, right_key)
"""
# What another match of the current run holds already, and the event it is joined with.
_HELD = """
    create or replace temp table review_held as
    select p.reconciliation, p.asked_key, p.other_key, min(o.event_key) as held_by
    from review_pairs p
    join review_sides s using (reconciliation)
    join match_members r on r.event_key = p.other_key and r.counts and r.side <> s.one
    join matches m on m.match_id = r.match_id and m.run_id = r.run_id
      and m.reconciliation = p.reconciliation
    join match_members o on o.match_id = r.match_id and o.run_id = r.run_id and o.counts
      and o.side = s.one
    where m.match_id <> p.match_id and o.event_key <> p.asked_key
    group by all
"""


def steps() -> tuple[Step, ...]:
    """Statements that add to `review_pairs` what may be meant instead.

    They read `review_pairs`, `review_sides`, `review_members` and `review_keys` of
    `workbench.asked`.
    """
    return (
        Step("review_nearest", _NEAREST, "the rival that came nearest to each proposed pair"),
        Step("review_same_id", _SAME_ID, "open events that carry an id of what is asked about"),
        Step("review_rivals", _RIVALS, "those on the other side, beside what is proposed"),
    )


def held_step() -> Step:
    """`review_held(reconciliation, asked_key, other_key, held_by)`: candidates matched elsewhere.

    To run when `review_pairs` is complete.
    """
    return Step("review_held", _HELD, "candidates that another match holds, and with whom")
