"""The whole story of one order: its facts, what they were matched with, what is open about them.

It begins with the event that is called by the id, its match, what is open of it and its cases.
From all events that carry the id, the story follows matches forward (order, payments, payout, bank
line); it steps back only from the events that were asked for, so that one order of a payout does
not drag the other two hundred along.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine
from recon_kit.workbench import naming, queries

HOPS_MAX = 6
_BUNDLES = ("payout", "bank_line")  # what stands for many others

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
    called = naming.likeliest(naming.named(engine, order))["event_key"]
    seeds = _seeds(engine, order)
    if seeds.is_empty():
        raise naming.OrderNotFoundError(order)
    story, members = _followed(engine, seeds)
    few = _put(engine, story, members, called)
    told = [engine.rows(query.format(**few)) for query in (_FACTS, _MATCHES, _OPEN, _CASES)]
    whole = pl.concat([_shape(frame) for frame in told])
    order_of_kinds = pl.col("kind").replace_strict(
        {"fact": 0, "match": 1, "open": 2, "case": 3}, return_dtype=pl.Int64
    )
    own = whole["own"]
    return pl.concat([
        whole.filter(own).sort(order_of_kinds, "at", "event_key", "match_id", "what",
                               nulls_last=True),
        whole.filter(~own).sort("at", order_of_kinds, "event_key", "match_id", "what",
                                nulls_last=True),
    ])  # fmt: skip


def _shape(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in STORY_SCHEMA.items()
    )


def _seeds(engine: Engine, order: str) -> pl.DataFrame:
    """`event_key, event_type` of the events that carry the id in any of their keys."""
    asked = naming.asked_for(engine, order)
    carried = engine.rows(
        "select distinct event_key from keys where key_hash = $1 and key = $2"
        " and kind not in ('customer_id', 'business_key') order by event_key",
        [asked.key_hash, asked.key],
    )
    listed = engine.among("story_carried", [*carried["event_key"], asked.text])
    return engine.rows(
        f"select event_key, event_type from events where event_key in {listed} order by event_key"
    )


def _followed(engine: Engine, seeds: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """The keys of a story's events, and all members of the matches that they stand in.

    One step back, from a payment to its order but not from a payout to all of its payments, and
    then forward, to the right sides of the matches whose left side is in the story.
    """
    story = seeds["event_key"].to_list()
    members = _members(engine, story)
    single = seeds.filter(~pl.col("event_type").is_in(_BUNDLES))["event_key"]
    new = _others(members, single.to_list(), "right", story)
    for _ in range(1 + HOPS_MAX):  # back, then forward
        story += new
        members = pl.concat([members, _members(engine, new)]).unique(maintain_order=True)
        new = _others(members, story, "left", story)
        if not new:
            break
    return story, members


def _members(engine: Engine, keys: Sequence[str]) -> pl.DataFrame:
    """`match_id, run_id, event_key, side, role, key_used` of every match that one stands in."""
    mine = queries.matches_of(engine, keys)
    of_mine = engine.rows(
        "select match_id, run_id, event_key, side, role, key_used from match_members"
        f" where match_id in {engine.among('story_ids', mine['match_id'])} order by all"
    )
    return of_mine.join(mine, on=["match_id", "run_id"], how="semi", maintain_order="left")


def _others(
    members: pl.DataFrame, keys: Sequence[str], side: str, known: Sequence[str]
) -> list[str]:
    """Who stands across from these events, which stand on that side; only those not known yet."""
    mine = members.filter(pl.col("side") == side, pl.col("event_key").is_in(keys))
    across = members.filter(pl.col("side") != side).join(
        mine, on=["match_id", "run_id"], how="semi", maintain_order="left"
    )
    return across.filter(~pl.col("event_key").is_in(known))["event_key"].unique().sort().to_list()


def _put(
    engine: Engine, story: Sequence[str], members: pl.DataFrame, called: pl.Series
) -> dict[str, str]:
    """Leave the tables that the queries of a story join.

    Returns:
        What stands after `in` for its events (`story`), their matches (`matches`), and the events
        of both (`all`).
    """
    told, is_called = pl.col("event_key").is_in(story), pl.col("event_key").is_in(called.implode())
    matches = (
        members.filter(told)
        .group_by("match_id", "run_id")
        .agg(own=is_called.any())
        .sort("match_id", "run_id")
    )
    stands = members.join(matches, on=["match_id", "run_id"], maintain_order="left")
    anchors = stands.filter("own", role="principal").select("event_key", "run_id").unique()
    engine.put("story_own", called.to_frame())
    engine.put("story_members", stands)
    engine.put("story_matches", matches)
    engine.put("story_anchors", anchors.sort("event_key", "run_id"))
    return {
        "story": engine.among("story", story),
        "all": engine.among("story_all", [*story, *stands["event_key"]]),
        "matches": engine.among("story_ids", matches["match_id"]),
    }


_FACTS = """
    select e.event_ts as at, e.ts_precision as at_precision, 'fact' as kind, e.source,
      e.event_type, e.native_id, e.amount as amount_minor, e.currency,
      concat_ws(', ', replace(e.event_type, '_', ' '), 'status ' || e.status,
        'by ' || e.payment_method) as what,
      a.name as artefact, e.record_row, a.received_at, e.event_key,
      e.event_key in (from story_own) as own
    from (from events where event_key in {story}) e
    left join artefacts a on a.sha256 = e.artefact_sha256 and a.source = e.source
    order by e.event_key
"""

_MATCHES = """
    with timed as (select event_key, event_ts from events where event_key in {all}),
    sized as (
      select match_id, run_id, any_value(own) as own, count(*) filter (mm.side = 'left') as lefts,
        count(*) filter (mm.side = 'right') as rights,
        string_agg(distinct mm.key_used, ', ' order by mm.key_used) as keys_used,
        max(t.event_ts) as at
      from story_members mm left join timed t using (event_key) group by match_id, run_id
    )
    select s.at, 'match' as kind, m.reconciliation, m.method, m.disposition, m.confidence,
      nullif(m.residual_minor, 0) as amount_minor, m.currency, m.match_id, s.own,
      lefts || ' to ' || rights || coalesce(' on ' || keys_used, '')
        || case when m.residual_minor <> 0 then ', residual stays open' else '' end as what
    from sized s join (from matches where match_id in {matches}) m using (match_id, run_id)
    order by m.match_id
"""

_OPEN = """
    with mine as (
      select o.*, m.own from (
        from open_items where event_key in {story} or match_id in {matches}) o
      left join story_matches m on m.match_id = o.match_id and m.run_id = o.run_id
      where o.event_key in {story} or m.match_id is not null
    )
    select o.expected_by as at, 'open' as kind, o.reconciliation, o.amount_minor, o.currency,
      replace(o.state, '_', ' ') || ': ' || coalesce(o.why, o.why_code) as what,
      o.event_key, o.match_id,
      e.source, e.event_type, e.native_id,
      coalesce(o.own, false) or coalesce(o.event_key in (from story_own), false) as own
    from mine o left join (from events where event_key in {all}) e using (event_key)
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
    where f.anchor_key in {story} or exists (
        from story_anchors a where a.event_key = f.anchor_key and a.run_id = f.run_id)
    order by f.case_id
"""
