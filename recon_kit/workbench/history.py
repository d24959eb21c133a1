"""The whole story of one order: its facts, what they were matched with, what is open about them.

It begins with the event that is called by the id, its match, what is open of it and its cases.
From all events that carry the id, the story follows matches forward (order, payments, payout, bank
line); it steps back only from the events that were asked for, so that one order of a payout does
not drag the other two hundred along.
"""

from __future__ import annotations

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.keys import key_hash
from recon_kit.workbench import naming

HOPS_MAX = 6

STORY_SCHEMA: dict[str, pl.DataType] = {
    "at": model.UTC, "at_precision": pl.String(), "kind": pl.String(),
    "source": pl.String(), "event_type": pl.String(),
    "native_id": pl.String(), "amount_minor": pl.Int64(), "currency": pl.String(),
    "what": pl.String(), "reconciliation": pl.String(), "method": pl.String(),
    "disposition": pl.String(), "confidence": pl.Float64(), "artefact": pl.String(),
    "record_row": pl.Int64(), "received_at": model.UTC, "event_key": pl.String(),
    "match_id": pl.String(), "own": pl.Boolean(),
}  # fmt: skip


def history(engine: Engine, order: str) -> pl.DataFrame:
    """Everything known about one order: first of itself, then of what is around it, oldest first.

    Args:
        engine: a snapshot's engine with the run tables of the current runs.
        order: an order, transaction, invoice, payout or native id as people write it, or an event
            key, of which the first eight characters are enough.

    Returns:
        `STORY_SCHEMA`: facts, matches, open items and cases. `own` are those of the events that
        are called so, which stand first: the events, their matches, what is open, cases; the
        others follow in the order in which they happened.

    Raises:
        OrderNotFoundError: no event carries this id.
    """
    called = naming.likeliest(naming.named(engine, order))
    engine.put("story_own", called.select("event_key"))
    asked = pl.DataFrame({"raw": [naming.whole_key(engine, order)]}).with_columns(
        key=model.normal_key(pl.col("raw"))
    )
    hashes = [key_hash(key) for key in asked["key"].drop_nulls()] or [0]
    engine.put("asked", asked.with_columns(key_hash=pl.Series(hashes, dtype=pl.UInt64)))
    engine.run(_SEEDS)
    if engine.count("story") == 0:
        raise naming.OrderNotFoundError(order)
    engine.run(_BACK)
    for hop in range(HOPS_MAX):
        before = engine.count("story")
        engine.run(Step(f"forward_{hop}", _FORWARD, "the right sides of matches we are left of"))
        if engine.count("story") == before:
            break
    engine.run(_OWN)
    told = engine.rows(_FACTS), engine.rows(_MATCHES), engine.rows(_OPEN), engine.rows(_CASES)
    story = pl.concat([_shape(frame) for frame in told])
    order_of_kinds = pl.col("kind").replace_strict(
        {"fact": 0, "match": 1, "open": 2, "case": 3}, return_dtype=pl.Int64
    )
    own = story["own"]
    return pl.concat([
        story.filter(own).sort(order_of_kinds, "at", "event_key", "match_id", "what",
                               nulls_last=True),
        story.filter(~own).sort("at", order_of_kinds, "event_key", "match_id", "what",
                                nulls_last=True),
    ])  # fmt: skip


def _shape(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in STORY_SCHEMA.items()
    )


_SEEDS = Step(
    "seeds",
    """
    create or replace table story as
    select distinct event_key, 0 as hop from keys join asked using (key_hash, key)
    where kind not in ('customer_id', 'business_key')
      and event_key in (select event_key from events)
    union
    select event_key, 0 from events, asked where events.event_key = asked.raw
    """,
    "events that carry the id in any of their keys",
)

_BACK = Step(
    "back",
    """
    insert into story
    select distinct other.event_key, 0 from story
    join match_members mine on mine.event_key = story.event_key and mine.side = 'right'
    join match_members other on other.match_id = mine.match_id and other.run_id = mine.run_id
      and other.side = 'left'
    join events e on e.event_key = story.event_key
    where e.event_type not in ('payout', 'bank_line')
      and other.event_key not in (select event_key from story)
    """,
    "what the events asked for were matched to, one step back",
)

_FORWARD = """
    insert into story
    select distinct other.event_key, 1 from story
    join match_members mine on mine.event_key = story.event_key and mine.side = 'left'
    join match_members other on other.match_id = mine.match_id and other.run_id = mine.run_id
      and other.side = 'right'
    where other.event_key not in (select event_key from story)
"""

_OWN = Step(
    "own",
    """
    create or replace table story_matches as
    select mm.match_id, mm.run_id, bool_or(o.event_key is not null) as own
    from story join match_members mm using (event_key) left join story_own o using (event_key)
    group by mm.match_id, mm.run_id;
    create or replace table story_anchors as
    select distinct p.event_key, p.run_id from story_matches
    join match_members p using (match_id, run_id) where own and p.role = 'principal'
    """,
    "matches of the story, and those of the events that are called so, with their principals",
)

_FACTS = """
    select e.event_ts as at, e.ts_precision as at_precision, 'fact' as kind, e.source,
      e.event_type, e.native_id, e.amount as amount_minor, e.currency,
      concat_ws(', ', replace(e.event_type, '_', ' '), 'status ' || e.status,
        'by ' || e.payment_method) as what,
      a.name as artefact, e.record_row, a.received_at, e.event_key,
      e.event_key in (from story_own) as own
    from story join events e using (event_key)
    left join artefacts a on a.sha256 = e.artefact_sha256 and a.source = e.source
    order by e.event_key
"""

_MATCHES = """
    with sized as (
      select match_id, run_id, any_value(own) as own, count(*) filter (mm.side = 'left') as lefts,
        count(*) filter (mm.side = 'right') as rights,
        string_agg(distinct mm.key_used, ', ' order by mm.key_used) as keys_used,
        max(e.event_ts) as at
      from story_matches join match_members mm using (match_id, run_id)
      left join events e using (event_key) group by match_id, run_id
    )
    select s.at, 'match' as kind, m.reconciliation, m.method, m.disposition, m.confidence,
      nullif(m.residual_minor, 0) as amount_minor, m.currency, m.match_id, s.own,
      lefts || ' to ' || rights || coalesce(' on ' || keys_used, '')
        || case when m.residual_minor <> 0 then ', residual stays open' else '' end as what
    from sized s join matches m using (match_id, run_id) order by m.match_id
"""

_OPEN = """
    select o.expected_by as at, 'open' as kind, o.reconciliation, o.amount_minor, o.currency,
      replace(o.state, '_', ' ') || ': ' || coalesce(o.why, o.why_code) as what,
      o.event_key, o.match_id,
      e.source, e.event_type, e.native_id,
      coalesce(m.own, false) or coalesce(o.event_key in (from story_own), false) as own
    from open_items o left join events e using (event_key)
    left join story_matches m on m.match_id = o.match_id and m.run_id = o.run_id
    where o.event_key in (select event_key from story) or m.match_id is not null
    order by o.item_id
"""

_CASES = """
    select f.opened_at as at, 'case' as kind, f.reconciliation, f.amount_minor, f.currency,
      replace(f.kind, '_', ' ') || ', owner ' || coalesce(f.owner, 'nobody yet') || ': '
        || f.suggested_action as what,
      f.anchor_key as event_key,
      f.anchor_key in (from story_own) or exists (
        from story_anchors a where a.event_key = f.anchor_key and a.run_id = f.run_id) as own
    from findings f
    where f.anchor_key in (select event_key from story) or exists (
        from story_anchors a where a.event_key = f.anchor_key and a.run_id = f.run_id)
    order by f.case_id
"""
