"""Why an event stands where it stands: finding the event that is meant, and telling the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable

import polars as pl

from recon_kit import model
from recon_kit.errors import UnknownNameError
from recon_kit.ledger.engine import Engine
from recon_kit.matching import evidence
from recon_kit.present.views import About, WhyView
from recon_kit.settings import Reconciliation
from recon_kit.workbench.history import OrderNotFoundError, whole_key

_NAMED = """
    select e.event_key, e.source, e.event_type, e.event_ts from events e
    where e.event_key = ? or e.event_key in (
      select k.event_key from keys k
      where k.key = ? and k.kind not in ('customer_id', 'business_key', 'parent_key')
    )
    order by e.event_ts nulls last, e.event_key
"""

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
    select native_id, event_type, source, amount as amount_minor, currency, event_ts, event_key
    from events where event_key = ?
"""

_CANDIDATES = """
    select n.native_id, n.event_type, n.source, n.amount as amount_minor, n.currency, n.event_ts,
      round(epoch(n.event_ts - mine.event_ts) / 86400, 1) as days_apart,
      p.weight as match_weight, c.confidence as match_probability, c.why_code as note
    from asked_candidates c join events n on n.event_key = c.other_key
    join events mine on mine.event_key = c.event_key
    left join asked_evidence p on p.match_id = c.match_id
    order by c.confidence desc nulls last, n.event_key
"""


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
        event: an event key, its first eight characters, or any id that names one.

    Raises:
        OrderNotFoundError: no event carries the id.
        UnknownNameError: events carry it, but none stands in these reconciliations.
    """
    event = whole_key(engine, event)
    normal = pl.DataFrame({"raw": [event]}).select(model.normal_key(pl.col("raw"))).item()
    named = engine.rows(_NAMED, [event, normal])
    if named.is_empty():
        raise OrderNotFoundError(event)
    recs = list(recs)
    for rec in recs:
        for side in (rec.left, rec.right):
            here = named.filter(
                pl.col("source").is_in(side.sources), pl.col("event_type").is_in(side.types)
            )
            if not here.is_empty():
                return rec, str(here["event_key"][0])
    raise UnknownNameError("reconciliation", f"with {event} on a side", [r.name for r in recs])


def why_view(engine: Engine, rec: Reconciliation, key: str, run_id: str, about: About) -> WhyView:
    """Everything a person asks about one event of one reconciliation."""
    found = evidence.why(engine, key, prefix="", run_id=run_id)
    event = engine.rows(_EVENT, [key])
    return WhyView(
        label=str(event["native_id"][0] or key[:8]),
        answer=f"{rec.name}: {found.sentence}",
        about=about,
        event=event,
        methods=_methods(rec, found),
        members=found.members.rename({"amount": "amount_minor"}),
        candidates=_candidates(engine, found),
        weights=_weights(found.evidence),
    )


def _methods(rec: Reconciliation, found: evidence.Why) -> pl.DataFrame:
    """What each enabled method of the cascade said, up to the one that settled it."""
    settled = str(found.match["method"][0]) if found.match.height else None
    switched = {
        "learned": settled == "learned" or "learned" in found.proposals["method"],
        "window": rec.window_method.enabled, "grouped": rec.grouped.enabled,
        "probable": rec.probable.enabled, "decomposed": rec.decomposed.enabled,
    }  # fmt: skip
    enabled = [method for method in model.METHODS if switched.get(method, True)]
    rows: list[tuple[str, str, str]] = []
    for method in enabled:
        if method == settled:
            rows.append((method, found.standing, found.sentence))
            break
        rows.append((method, "left open", _why_not(method, rec, found)))
    schema = ["method", "outcome", "detail"]
    return pl.DataFrame(rows, schema=dict.fromkeys(schema, pl.String), orient="row")


def _why_not(method: str, rec: Reconciliation, found: evidence.Why) -> str:
    if method == "decided":
        return "nobody has decided about it"
    proposed = found.proposals.filter(pl.col("method") == method).height
    if proposed:
        return f"{proposed} counterpart(s) proposed; a person decides"
    if method == "exact":
        return (
            f"no open counterpart shares {', '.join(rec.keys)}"
            if rec.keys
            else "no key is declared"
        )
    said = {
        "window": "no open event agrees in amount and time with it alone",
        "grouped": "no run of open items adds up",
        "decomposed": "no set of open items adds up",
    }
    return said.get(method, f"no candidate reached {rec.probable.review_min:.0%}")


def _candidates(engine: Engine, found: evidence.Why) -> pl.DataFrame:
    """Proposed counterparts, and the nearest event where nothing was proposed."""
    key = pl.lit(found.event_key)
    proposed = found.proposals.select(
        event_key=key,
        other_key=pl.when(pl.col("left_key") == key).then("right_key").otherwise("left_key"),
        confidence="confidence",
        why_code="why_code",
        match_id="match_id",
    )
    near = found.open_item.filter(
        pl.col("nearest_key").is_not_null()
        & ~pl.col("nearest_key").is_in(proposed["other_key"].implode())
    ).select(
        event_key=key,
        other_key="nearest_key",
        confidence=pl.lit(None, dtype=pl.Float64),
        why_code="why_code",
        match_id=pl.lit(None, dtype=pl.String),
    )
    engine.put("asked_candidates", pl.concat([proposed, near]))
    engine.put("asked_evidence", found.evidence.select("match_id", "weight"))
    return engine.rows(_CANDIDATES)


def _weights(pairs: pl.DataFrame) -> pl.DataFrame:
    """The waterfall of the strongest pair: what each comparison added, in log2 of odds."""
    schema = {"step": pl.String, "weight": pl.Float64}
    strongest = pairs.drop_nulls("weights").sort("weight", "left_key", "right_key", descending=True)
    if strongest.is_empty():
        return pl.DataFrame(schema=schema)
    told = json.loads(strongest["weights"][0])
    return pl.DataFrame(
        [(str(name), float(weight)) for name, weight in told.items()], schema=schema, orient="row"
    )
