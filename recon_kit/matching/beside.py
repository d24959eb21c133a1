"""One event beside what comes near it: compared on demand, level by level.

Near is what shares a declared key, a customer, or roughly the amount in the same currency. The
comparisons are those of the stored model, with its odds; without a model the ladders as they are
written, for the words alone: a weight that nobody learned is no probability.

Leaves `beside(left_key, right_key, other_key, near_by, g0, g1, ...)`, nearest first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import enrich, estimate, features, keys, probable, rarity
from recon_kit.matching.comparisons import Terms, comparisons
from recon_kit.matching.ladders import Comparison
from recon_kit.matching.stored import Trained
from recon_kit.safe import quote_text
from recon_kit.settings import Customers, Reconciliation, Side

NEAR_MAX = 60
_AMOUNT_PERCENT = 10


@dataclass(frozen=True)
class Beside:
    """What stands near one event.

    `pairs` has a row per near event, the likeliest first: `other_key, left_key, right_key`,
    `near_by` (key, customer, amount or match), `match_weight` (bits; null without a model),
    `levels, weights` (JSON as in `pair_evidence`) and `standing` (the number of the level of each
    comparison). `ladders` are the comparisons, `prior` the bits before any evidence.
    """

    pairs: pl.DataFrame
    ladders: tuple[Comparison, ...]
    prior: float | None


@dataclass(frozen=True)
class Scale:
    """What a run weighed with: its model, and the bits before any evidence; none without one."""

    trained: Trained | None = None
    prior: float | None = None


def look(
    engine: Engine,
    rec: Reconciliation,
    event_key: str,
    scale: Scale,
    partners: Sequence[str] = (),
) -> Beside:
    """Compare an event with what comes near it on the other side.

    Args:
        engine: of a snapshot, with `events` and `who`.
        rec: the reconciliation.
        event_key: of an event of either side, or of what hangs on one.
        scale: what the run weighed with.
        partners: events that are compared whether or not they come near.
    """
    at_left = engine.rows(
        f"select {keys.side_filter(rec.left)} or (not {keys.side_filter(rec.right)}"
        f" and source in ({keys.texts(rec.left.sources)})"
        f" and source not in ({keys.texts(rec.right.sources)})) from events where event_key = ?",
        [event_key],
    )
    own, other = (rec.left, rec.right) if at_left.item() else (rec.right, rec.left)
    engine.run(near_step(rec, event_key, other, partners))
    names = ("left", "right") if own is rec.left else ("right", "left")
    engine.run(_side_step(rec, names[0], f"event_key = {quote_text(event_key)}"))
    engine.run(_side_step(rec, names[1], "event_key in (select event_key from near_events)"))
    trained = scale.trained
    extra = trained.extra if trained else rec.probable.compare
    customers = enrich.heard(rec.customers, trained.customers) if trained else rec.customers
    features.prepare(engine, extra, rated=probable.put_rates(engine), customers=customers)
    rare, schedules = (trained.rarity, trained.schedules) if trained else ({"else": "0"}, ())
    rarity.attach_rarity(engine, rare, schedules)
    ladders = trained.ladders if trained else _written(engine, rec, extra)
    found = _compared(engine, ladders, names[1], scale.prior, customers)
    return Beside(found, ladders, scale.prior)


def near_step(rec: Reconciliation, event_key: str, other: Side, partners: Sequence[str]) -> Step:
    """`near_events(event_key, near_by, place)`: at most `NEAR_MAX`, nearest first."""
    shared = [f"coalesce(({keys.key_text(k)}) = asked.t{i}, false)" for i, k in enumerate(rec.keys)]
    own = ", ".join(f"{keys.key_text(k)} as t{i}" for i, k in enumerate(rec.keys))
    told = [("amount", "currency"), ("presentment_amount", "presentment_currency")]
    gap = "least(" + ", ".join(
        f"case when {c} = asked_{d} then abs({a}::hugeint - asked_{b}) end"
        for a, c in told for b, d in told
    ) + ")"  # fmt: skip
    return Step(
        "near_events",
        f"""
create or replace table near_events as
with asked as (
    select amount as asked_amount, currency as asked_currency, event_ts as asked_ts,
           presentment_amount as asked_presentment_amount,
           presentment_currency as asked_presentment_currency
           {", " + own if own else ""}
    from events where event_key = {quote_text(event_key)}
), same_customer as ({_same_customer_sql(rec, event_key)}
), found as (
    select event_key, {" or ".join(shared) or "false"} as by_key,
           event_key in (from same_customer) as by_customer,
           coalesce({gap} * 100 <= abs(asked_amount) * {_AMOUNT_PERCENT}, false) as by_amount,
           event_key in ({keys.texts(tuple(partners)) or "null"}) as partner,
           {gap} as gap, abs(epoch_us(event_ts) - epoch_us(asked_ts)) as apart
    from events cross join asked
    where event_key <> {quote_text(event_key)} and {keys.side_filter(other)}
)
select event_key, case when by_key then 'key' when by_customer then 'customer'
                       when by_amount then 'amount' else 'match' end as near_by,
       row_number() over (
           order by coalesce(partner, false) desc, by_key desc, by_customer and by_amount desc,
                    by_customer desc, gap = 0 desc, apart nulls last, gap nulls last, event_key
       ) as place
from found where by_key or by_customer or by_amount or partner
qualify place <= {NEAR_MAX}""",
        "what shares a key, a customer or roughly the amount",
    )


def _same_customer_sql(rec: Reconciliation, event_key: str) -> str:
    """Query of the events of an event's customer: by address, own or in a customer's record."""
    asked = quote_text(event_key)
    mail = "lower(trim(email))"
    own = f"select {mail} as mail from who where event_key = {asked} and email like '%_@_%'"
    if not rec.customers.sources:
        return f"select event_key from who where {mail} in ({own})"
    told = keys.texts(rec.customers.sources)
    records = f"""select r.customer_id, lower(trim(w.email)) as mail from events r
        join who w using (event_key)
        where r.source in ({told}) and r.customer_id is not null and w.email like '%_@_%'"""
    mails = f"""{own} union select mail from ({records}) where customer_id in (
        select customer_id from events where event_key = {asked})"""
    return f"""
    select event_key from who where {mail} in ({mails}) union
    select event_key from events where customer_id in (
        select customer_id from ({records}) where mail in ({mails}))"""


def _side_step(rec: Reconciliation, side: str, which: str) -> Step:
    """`open_left` or `open_right` in the columns that `features` reads."""
    shown = keys.presents(rec.measure, side)
    return Step(
        f"open_{side}",
        f"""
create or replace table open_{side} as
select row_number() over (order by event_key) as eid, event_key, event_ts, ts_precision,
       {keys.measure_sql(rec.measure, side)} as amount, currency, description, source,
       payment_method, fee, order_id, invoice_number, click_id,
       {"presentment_amount" if shown else "null::bigint as presentment_amount"},
       {"presentment_currency" if shown else "null::varchar as presentment_currency"},
       event_type as type, status
from events where {which}""",
        "wide enough to be compared",
    )


def _written(engine: Engine, rec: Reconciliation, extra: Sequence[str]) -> tuple[Comparison, ...]:
    single = rec.cardinality == "one_to_one"
    terms = Terms(rec.window.before, rec.window.after, single, tuple(extra))
    return comparisons(features.filled(engine, extra), terms)


def _compared(
    engine: Engine,
    ladders: Sequence[Comparison],
    other: str,
    prior: float | None,
    customers: Customers,
) -> pl.DataFrame:
    """Every near pair with its levels and what they weigh; the likeliest first."""
    numbers = [
        f"({c.level_sql()})::bigint as g{i}"
        for i, c in enumerate(enrich.guarded(ladders, customers))
    ]
    origins = [
        f"{enrich.origin_sql(c.name, f'[{keys.texts(_labels(c))}][g{i} + 1]')} as origin{i}"
        for i, c in enumerate(ladders)
        if customers.sources
    ]
    engine.run(
        Step(
            "beside",
            f"""
create or replace table beside as
select l.event_key as left_key, r.event_key as right_key, n.event_key as other_key, n.near_by,
       n.place{"".join(f", {column}" for column in (*numbers, *origins))}
from side_left l cross join side_right r
join near_events n on n.event_key = {"l" if other == "left" else "r"}.event_key""",
            "on which level each comparison stands",
        )
    )
    worth = [
        pl.col(f"g{i}").replace_strict(_weights(c), default=0.0, return_dtype=pl.Float64)
        for i, c in enumerate(ladders)
    ]
    names = [f"g{i}" for i in range(len(ladders))]
    start = pl.lit(prior or 0.0)
    found = engine.rows("from beside order by place").with_columns(
        told=pl.sum_horizontal(start, *worth).round(6),
        standing=pl.concat_list(names) if names else pl.lit([], dtype=pl.List(pl.Int64)),
    )
    owed = found.select(pl.col(f"origin{i}") for i in range(len(origins))).rows()
    words = [
        _words(ladders, standing, prior, told)
        for standing, told in zip(found["standing"], owed or repeat(()), strict=bool(owed))
    ]
    return (
        found.with_columns(
            pl.Series("levels", [w[0] for w in words], dtype=pl.String),
            pl.Series("weights", [w[1] for w in words], dtype=pl.String),
            match_weight=pl.col("told") if prior is not None else pl.lit(None, dtype=pl.Float64),
        )
        .sort("told", "place", descending=[True, False])
        .select(
            "other_key", "left_key", "right_key", "near_by", "match_weight", "levels", "weights",
            "standing",
        )
    )  # fmt: skip


def _weights(ladder: Comparison) -> dict[int, float]:
    return {i: math.log2(level.m / level.u) for i, level in enumerate(ladder.levels)}


def _labels(ladder: Comparison) -> tuple[str, ...]:
    return tuple(level.label for level in ladder.levels)


def _words(
    ladders: Sequence[Comparison],
    standing: Sequence[int],
    prior: float | None,
    owed: Sequence[str],
) -> tuple[str, str]:
    """(levels, weights) of one pair as JSON objects, as `pair_evidence` has them.

    `owed` says by comparison what comes from customers' records; empty where none are read.
    """
    held = [(c, number) for c, number in zip(ladders, standing, strict=True) if number >= 0]
    weights = {} if prior is None else {"prior": round(prior, 6)}
    weights |= {c.name: round(_weights(c)[number], 6) for c, number in held}
    owes = {c.name: told for c, told in zip(ladders, owed, strict=False)}
    levels = {c.name: c.levels[number].label + owes.get(c.name, "") for c, number in held}
    return json.dumps(levels, ensure_ascii=False), json.dumps(weights)


def prior_of(
    engine: Engine, rec: Reconciliation, trained: Trained, scored: tuple[str, str]
) -> float:
    """Bits before any evidence in a stored run: kept with its pairs, else counted as it was.

    `scored` is the run and the model: where one is on trial, each has its own.

    What `probable` saw open were its own matches and what is open still.
    """
    run_id, model_hash = scored
    kept = engine.rows(
        "select weights from pair_evidence where run_id = $1 and weights is not null"
        " and match_id in (select match_id from matches where run_id = $1 and model_hash = $2"
        " union all select match_id from proposals where run_id = $1 and model_hash = $2)"
        " order by match_id, left_key, right_key limit 1",
        [run_id, model_hash],
    )
    if kept.height:
        return float(json.loads(kept.item())["prior"])
    counts = engine.rows(
        "select side, count(*) as n from ("
        " select side, event_key from open_items where run_id = ? and match_id is null"
        " union all select side, event_key from match_members m join matches h using"
        " (run_id, match_id) where run_id = ? and method in ('probable', 'decomposed'))"
        " group by side",
        [run_id, run_id],
    )
    rows = dict(counts.iter_rows())
    lefts, rights = max(1, rows.get("left", 0)), max(1, rows.get("right", 0))
    return math.log2(estimate.prior_odds(trained.share, lefts, rights, rec.cardinality))
