"""Why an event stands where it stands: finding the event that is meant, and telling the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from recon_kit.errors import UnknownNameError, WorkspaceError
from recon_kit.ledger.engine import Engine
from recon_kit.matching import beside, evidence, ladders, stored
from recon_kit.matching.authority import Authority
from recon_kit.model import StoredModel
from recon_kit.present import comparing
from recon_kit.present.views import About, WhyView
from recon_kit.settings import Reconciliation
from recon_kit.workbench import lineage, naming, queries, trail, whatif

_EXAMPLE = """
    select e.native_id from (
      select mm.match_id, mm.run_id, count(distinct role) as roles, count(*) as members,
        min(event_key) filter (side = 'left' and role = 'principal') as event_key
      from match_members mm join matches m using (match_id, run_id)
      where m.reconciliation = ? and m.disposition = 'auto'
      group by mm.match_id, mm.run_id having count(*) < 10
    ) join events e using (event_key) where e.native_id is not null
    order by roles desc, members desc, e.native_id limit 1
"""

_EVENT = """
    select native_id, event_type, source, amount as amount_minor, currency, event_ts, ts_precision,
      event_key
    from events where event_key = ?
"""

# How many of those near are shown.
CANDIDATES_MAX = 3
_TYPES = ("left_type", "right_type")
_NEAR = f"""
    with near_facts as (from events where event_key in $near)
    select c.other_key, {queries.label("n")} as native_id, n.event_type, n.source,
      n.amount as amount_minor, n.currency, n.event_ts, n.ts_precision,
      round(epoch(n.event_ts - mine.event_ts) / 86400, 1) + 0.0 as days_apart,  -- no minus nought
      c.near_by, c.match_weight, p.confidence as match_probability, c.levels,
      replace(l.event_type, '_', ' ') as left_type, replace(r.event_type, '_', ' ') as right_type,
      m.match_id is null and b.verdict is null as free,
      case when b.verdict is not null then 'a person said not the same'
           when m.match_id = ? then 'its match'
           when m.match_id is not null then 'stands in another match'
           when p.why_code is not null then replace(p.why_code, '_', ' ')
           when o.event_key is not null then 'open' end as note
    from asked_near c
    join near_facts n on n.event_key = c.other_key
    join near_facts mine on mine.event_key = ?
    join near_facts l on l.event_key = c.left_key join near_facts r on r.event_key = c.right_key
    left join (select match_id, event_key from match_members
               where run_id = ? and event_key in $near) m on m.event_key = c.other_key
    left join (select event_key, min(state) as state from open_items where run_id = ?
               and match_id is null and event_key in $near
               group by event_key) o on o.event_key = c.other_key
    left join asked_proposals p
      on p.left_key = c.left_key and p.right_key = c.right_key
    left join (select left_key, right_key, min(verdict) as verdict from decisions
               where verdict = 'not_same' and reconciliation = ? group by all) b
      on b.left_key = c.left_key and b.right_key = c.right_key
    order by c.place
"""


@dataclass(frozen=True)
class Asked:
    """What a question is answered from: the stored run, its model, and what may match alone.

    `tried` is the model that scored the components on trial, where one did. `said` are all
    decisions in force (`model.DECISION_SCHEMA`), of which the run heard those up to `heard_seq`.
    """

    run_id: str
    model: StoredModel | None
    allowed: Authority
    said: pl.DataFrame
    heard_seq: int
    tried: StoredModel | None = None


def example(engine: Engine, recs: Iterable[Reconciliation]) -> str | None:
    """The id of an order with much to tell: many roles in one match; null where none is matched."""
    for rec in recs:
        found = engine.rows(_EXAMPLE, [rec.name])
        if not found.is_empty():
            return str(found.item())
    return None


def locate(
    engine: Engine, recs: Iterable[Reconciliation], event: str
) -> tuple[Reconciliation, str]:
    """The event that is meant, and the first reconciliation it takes part in.

    Args:
        engine: a snapshot's engine.
        recs: where to look, in order.
        event: an event key, its first eight characters, or any id: of the event itself, else
            one that it carries.

    Raises:
        OrderNotFoundError: no event carries the id.
        UnknownNameError: events carry it, but none stands in these reconciliations.
        WorkspaceError: several events fit it equally well; each is named.
    """
    called = naming.likeliest(naming.named(engine, event))
    if called.is_empty():
        raise naming.OrderNotFoundError(event)
    recs = list(recs)
    held = _held(engine, called["event_key"])
    places: dict[str, Reconciliation] = {}
    # a run may leave out what stands on a side: where it says something of the event goes first
    for known in (True, False):
        for stands in (_on_a_side, _attached):
            for rec in recs:
                for key in stands(called, rec)["event_key"]:
                    if not known or (rec.name, key) in held:
                        places.setdefault(str(key), rec)
    if not places:
        raise UnknownNameError("reconciliation", f"with {event} on a side", [r.name for r in recs])
    if len(places) > 1:
        several = called.filter(pl.col("event_key").is_in(list(places)))
        how = "are called" if several["place"][0] <= naming.CALLED else "carry"
        raise WorkspaceError(
            f"{several.height} events {how} {event!r}; ask about one by its event key "
            f"({naming.listed(several)})"
        )
    key, rec = next(iter(places.items()))
    return rec, key


def _held(engine: Engine, keys: pl.Series) -> set[tuple[str, str]]:
    """Reconciliations whose run matched an event or lists it as open."""
    listed = engine.among("held_keys", keys)
    rows = engine.rows(
        "select m.reconciliation, mm.event_key from match_members mm"
        f" join matches m using (match_id, run_id) where mm.event_key in {listed}"
        " union select reconciliation, event_key from open_items"
        f" where event_key in {listed} order by all"
    )
    return {(name, key) for name, key in rows.iter_rows()}


def _on_a_side(named: pl.DataFrame, rec: Reconciliation) -> pl.DataFrame:
    """Events of either side of a reconciliation, the left ones first."""
    source, kind = pl.col("source"), pl.col("event_type")
    return pl.concat(
        named.filter(source.is_in(side.sources), kind.is_in(side.types))
        for side in (rec.left, rec.right)
    )


def _attached(named: pl.DataFrame, rec: Reconciliation) -> pl.DataFrame:
    """Events that hang on others of a reconciliation, such as refunds."""
    sources = {*rec.left.sources, *rec.right.sources}
    return named.filter(pl.col("source").is_in(sources), pl.col("event_type").is_in(rec.attach))


def why_view(engine: Engine, rec: Reconciliation, key: str, asked: Asked, about: About) -> WhyView:
    """Everything a person asks about one event of one reconciliation.

    Stored is what cannot be recomputed; the way through the methods, what comes near, and what
    would have decided otherwise are worked out here, from the facts and the run's model.
    """
    found = evidence.why(engine, key, prefix="", run_id=asked.run_id)
    scored = (
        asked.model if asked.tried is None or not _on_trial(engine, asked, key) else asked.tried
    )
    trained = None
    if scored and not stored.is_older(scored):
        trained = stored.read(scored)
    if trained is not None and not trained.ladders:
        trained = None
    told = (asked.run_id, scored.model_hash) if scored else (asked.run_id, "")
    prior = beside.prior_of(engine, rec, trained, told) if trained else None
    partners = found.members["event_key"].head(beside.NEAR_MAX).to_list()
    near = beside.look(engine, rec, key, beside.Scale(trained, prior), partners)
    event = engine.rows(_EVENT, [key])
    candidates = _candidates(engine, rec, found, near, asked.run_id)
    candidates = candidates.with_columns(_apart(event, candidates, about.zone))
    kinds = candidates.select(_TYPES).unique()
    types = kinds.row(0) if kinds.height == 1 else ("", "")  # of several, the sides' own words stay
    free = candidates.select("other_key", "free")
    near = replace(near, pairs=near.pairs.join(free, on="other_key", maintain_order="left"))
    further = trail.other_keys(engine, rec, found) if found.match.height else []
    stakes = whatif.Stakes(rec, _there(engine, asked, key), about.zone, further)
    words = trail.words(engine, rec, key, asked.said, asked.heard_seq)
    stands = lineage.standing(engine, [key]).filter(pl.col("what") != "decision")
    return WhyView(
        label=str(event["native_id"][0] or key[:8]),
        answer=f"{rec.name}: {found.sentence}{words.unheard}{_elsewhere(stands, rec)}",
        about=about,
        event=event,
        stands=stands,
        methods=trail.method_trail(engine, rec, found, near, words.told),
        members=found.members.rename({"amount": "amount_minor"}),
        candidates=candidates.drop("other_key", "free", *_TYPES).head(CANDIDATES_MAX),
        weights=_weights(found, near, types),
        flips=tuple(ladders.spoken(f, *types) for f in whatif.sentences(stakes, found, near)),
    )


def _elsewhere(stands: pl.DataFrame, rec: Reconciliation) -> str:
    """What is open of the event in other reconciliations, in words; empty where nothing is."""
    rows = stands.filter(
        pl.col("reconciliation") != rec.name, pl.col("what").is_in(["open item", "case"])
    )
    told = [
        f"{name}: " + ", ".join(
            f"{what} {state.replace('_', ' ')}" for what, state in here.rows()
        )
        for (name,), here in rows.group_by("reconciliation", maintain_order=True)
        for here in (here.select("what", "state"),)
    ]  # fmt: skip
    return f". Also open in {'; '.join(told)}" if told else ""


def _candidates(
    engine: Engine, rec: Reconciliation, found: evidence.Why, near: beside.Beside, run_id: str
) -> pl.DataFrame:
    """What comes near, the likeliest first, what it agrees on and where it stands."""
    engine.put("asked_near", near.pairs.drop("standing").with_row_index("place"))
    engine.put("asked_proposals", found.proposals)
    match_id = found.match["match_id"][0] if found.match.height else ""
    listed = engine.among("near_keys", [found.event_key, *near.pairs["other_key"]])
    rows = engine.rows(
        _NEAR.replace("$near", listed), [match_id, found.event_key, run_id, run_id, rec.name]
    )
    agreement = [
        ladders.spoken(
            "; ".join(f"{name}: {level}" for name, level in json.loads(told).items()), *types
        )
        for told, *types in rows.select("levels", "left_type", "right_type").iter_rows()
    ]
    return rows.drop("levels").with_columns(pl.Series("agreement", agreement, dtype=pl.String))


def _apart(event: pl.DataFrame, candidates: pl.DataFrame, zone: str) -> pl.Series:
    """How much later than the event each candidate is, in words; null where a time is unknown."""
    how, mine = comparing.How(zone=zone), event.row(0, named=True)
    told = [comparing.apart_words(mine, row, how) or None for row in candidates.to_dicts()]
    return pl.Series("apart", told, dtype=pl.String)


def _weights(found: evidence.Why, near: beside.Beside, types: tuple[str, str]) -> pl.DataFrame:
    """The waterfall of its match or of the best pair: what each comparison added, in bits.

    Where the run kept the weights of a pair these are told; else they are worked out again.
    """
    schema = {"step": pl.String, "weight": pl.Float64}
    kept = found.evidence.drop_nulls("weights")
    if kept.height:
        pair = kept.sort("weight", "left_key", "right_key", descending=True).row(0, named=True)
    elif found.match.is_empty() and near.prior is not None and near.pairs.height:
        pair = near.pairs.row(0, named=True)
    else:
        return pl.DataFrame(schema=schema)
    told = ladders.explain(json.loads(pair["levels"]), json.loads(pair["weights"]))[:-1]
    rows = [
        (f"{r['step']}: {ladders.spoken(r['level'], *types)}", float(r["weight"])) for r in told
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _there(engine: Engine, asked: Asked, key: str) -> Authority:
    """What the probabilistic method may do alone where an event stands: in a canary, or beside."""
    allowed = asked.allowed
    if allowed.canary is None:
        return allowed
    return allowed.canary if _on_trial(engine, asked, key) else replace(allowed, canary=None)


def _on_trial(engine: Engine, asked: Asked, key: str) -> bool:
    """Whether something was tried on the component of an event."""
    tried = engine.one(
        "select count(*) from canary_events where run_id = $1 and event_key = $2"
        " and method = 'probable'",
        [asked.run_id, key],
    )
    return tried != (0,)
