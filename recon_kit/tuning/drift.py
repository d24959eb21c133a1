"""Drift: whether what has come since a certificate is still like what it was proven on.

The reference is counted when a threshold is certified and kept with the certificate; every live run
counts the same of the events that came after it. Compared are, among the matches the promise speaks
of, their scores and the levels of every comparison; and of every source the share of events
without each key and the share that found a partner. Among those matches alone, because people
decide what lies below, and what they decided is scored no more.

A measure has drifted where its population stability index is 0.25 or more *and* chance does as much
less often than once in 100,000 times: on few events an index is large for no reason.

Source: the index as used for credit scores (Siddiqi, 2006); its distribution under no change,
(1/n + 1/m) times chi-squared: Yurdakul and Naranjo, J. Risk Model Validation 14 (2020).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from recon_kit import model, stats
from recon_kit.ledger.engine import Engine
from recon_kit.matching import keys
from recon_kit.model import Certificate
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation
from recon_kit.tuning import outcomes

WATCH, DRIFTED = 0.1, 0.25
CHANCE = 1e-5
EVENTS_MIN = 100
SAID = "drift: "  # how the reason of a certificate that drift voided begins
_SCORE = "score"
# How rare a value is depends on how many rows there are: growth is no drift.
_RARITY = re.compile(r", (fewer than 1 row in \d+|a common one)$")
_BIN_SHARE = 0.1  # bins of the score hold at least so much of the reference
COUNT_SCHEMA: dict[str, pl.DataType] = {
    # `band` is the lowest score of a pair's band; null for what is counted of sources
    "measure": pl.String(), "band": pl.Float64(), "bin": pl.String(), "n": pl.Int64(),
}  # fmt: skip
DRIFT_SCHEMA: dict[str, pl.DataType] = {
    "measure": pl.String(), "state": pl.String(), "psi": pl.Float64(), "reference": pl.Int64(),
    "now": pl.Int64(), "changed_most": pl.String(), "share_then": pl.Float64(),
    "share_now": pl.Float64(),
}  # fmt: skip


def reference(
    engine: Engine, rec: Reconciliation, run: model.Run, promise: tuple[str, float, Sequence[float]]
) -> dict[str, Any]:
    """What a certificate is held against, as JSON values.

    Args:
        engine: a snapshot's engine with the tables of `run`.
        rec: the reconciliation.
        run: the run that the threshold was proven on.
        promise: method, margin, and the thresholds that passed.
    """
    method, margin, passed = promise
    pairs = _pairs(engine, rec, run.run_id, (method, margin, run.model_hash), -1)
    above = pairs.filter(pl.col("confidence") >= min(passed))["confidence"]
    inner = [above.quantile(i / 10) for i in range(1, 10)] if above.len() else []
    bands = sorted({*passed, *(round(x, 6) for x in inner if x is not None)})
    told = _counted(pairs, bands, _sources(engine, rec, run.run_id, -1))
    return {"as_of_seq": run.as_of_seq, "bands": bands, "counts": [list(r) for r in told.rows()]}


def lapsed(
    engine: Engine, rec: Reconciliation, rows: pl.DataFrame, held: Sequence[Certificate]
) -> list[tuple[Certificate, str]]:
    """Certificates that the run being made shows to speak of other data, with the reason.

    Args:
        engine: after `cascade.reconcile`; its results are in `out_...`.
        rec: the reconciliation.
        rows: table `certificates`.
        held: the certificates under which this run matches.
    """
    found = []
    for certificate in held:
        table = measures(engine, rec, rows, certificate, None)
        worst = table.filter(pl.col("state") == "drifted").sort("psi", "measure", descending=True)
        if worst.height:
            found.append((certificate, SAID + "; ".join(map(_words, worst.head(3).to_dicts()))))
    return found


def measures(
    engine: Engine,
    rec: Reconciliation,
    rows: pl.DataFrame,
    certificate: Certificate,
    run_id: str | None,
) -> pl.DataFrame:
    """Every measure of what came since a certificate, in the columns of `DRIFT_SCHEMA`.

    Args:
        engine: a snapshot's engine.
        rec: the reconciliation.
        rows: table `certificates`, whose texts hold the references.
        certificate: which one.
        run_id: the run that says how events stand now; the one being made where not given.

    Returns:
        `state` is `steady`, `watch` (from an index of 0.1 on), `drifted` or `too few` (under 100
        events then or now); worst first. `changed_most` is the bin whose share changed most. No
        rows where the certificate has no reference.
    """
    text = rows.filter(pl.col("certificate_id") == certificate.certificate_id)["json"]
    kept = json.loads(str(text[0])).get("drift") if text.len() else None
    if kept is None:
        return pl.DataFrame(schema=DRIFT_SCHEMA)
    since, bands = int(kept["as_of_seq"]), kept["bands"]
    promise = (certificate.method, certificate.margin, certificate.model_hash)
    now = _counted(
        _pairs(engine, rec, run_id, promise, since), bands, _sources(engine, rec, run_id, since)
    )
    was = pl.DataFrame(kept["counts"], schema=COUNT_SCHEMA, orient="row")
    return compared(was, now, certificate.threshold)


def compared(was: pl.DataFrame, now: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Two counts (`COUNT_SCHEMA`) held against one another, pairs from a threshold on."""
    own = pl.col("band").is_null() | (pl.col("band") >= threshold)
    totals = [
        counts.filter(own).group_by("measure", "bin").agg(pl.col("n").sum().alias(name))
        for counts, name in ((was, "was"), (now, "now"))
    ]
    both = totals[0].join(totals[1], on=["measure", "bin"], how="full", coalesce=True)
    both = both.with_columns(pl.col("was", "now").fill_null(0)).sort("measure", "bin")
    rows = [
        _measured(str(name), _merged(part) if name == _SCORE else part)
        for (name,), part in both.group_by("measure", maintain_order=True)
    ]
    found = pl.DataFrame(rows, schema=DRIFT_SCHEMA, orient="row")
    return found.sort("psi", "measure", descending=[True, False])


def _measured(name: str, part: pl.DataFrame) -> tuple[object, ...]:
    was, now = part["was"].to_numpy(), part["now"].to_numpy()
    n, m = int(was.sum()), int(now.sum())
    index = stats.psi(was, now)
    then, here = was / max(n, 1), now / max(m, 1)
    most = int(np.argmax(np.abs(here - then)))
    if min(n, m) < EVENTS_MIN:
        state = "too few"
    elif index >= DRIFTED and stats.psi_chance(index, was, now) < CHANCE:
        state = "drifted"
    else:
        state = "watch" if index >= WATCH else "steady"
    bin_name = str(part["bin"][most])
    return (name, state, index, n, m, bin_name, float(then[most]), float(here[most]))


def _merged(part: pl.DataFrame) -> pl.DataFrame:
    """Bins of the score, joined upwards until each holds its share of the reference."""
    least = _BIN_SHARE * int(part["was"].sum())
    rows: list[tuple[str, int, int]] = []
    for name, was, now in part.select("bin", "was", "now").iter_rows():
        if rows and rows[-1][1] < least:
            rows[-1] = (rows[-1][0], rows[-1][1] + was, rows[-1][2] + now)
        else:
            rows.append((name, was, now))
    return pl.DataFrame(rows, schema=["bin", "was", "now"], orient="row")


def _words(row: Mapping[str, Any]) -> str:
    return (
        f"{row['measure']} has an index of {row['psi']:.2f} on {row['now']:,} new events "
        f"({row['changed_most']}: {row['share_then']:.0%} then, {row['share_now']:.0%} now)"
    )


# --- Counting ------------------------------------------------------------------------------------
def _counted(pairs: pl.DataFrame, bands: Sequence[float], sources: pl.DataFrame) -> pl.DataFrame:
    """Pairs by band and level, and what was counted of the sources, in `COUNT_SCHEMA`."""
    edges = pl.DataFrame({"band": list(bands)}, schema={"band": pl.Float64})
    placed = pairs.sort("confidence").join_asof(
        edges.sort("band"), left_on="confidence", right_on="band"
    )
    told = placed.drop_nulls("band").group_by("band", "levels").agg(pl.col("n").sum())
    rows: list[tuple[str, float, str, int]] = []
    for band, levels, n in told.sort("band", "levels").iter_rows():
        rows.append((_SCORE, band, f"from {band:.6f}", n))
        rows += [
            (f"comparison {name}", band, _RARITY.sub("", str(level)), n)
            for name, level in json.loads(levels or "{}").items()
        ]
    found = pl.DataFrame(rows, schema=COUNT_SCHEMA, orient="row")
    summed = found.group_by("measure", "band", "bin").agg(pl.col("n").sum())
    return pl.concat([summed, sources]).sort("measure", "band", "bin")


def _pairs(
    engine: Engine,
    rec: Reconciliation,
    run_id: str | None,
    promise: tuple[str, float, str | None],
    since: int,
) -> pl.DataFrame:
    """`confidence, levels, n` of the pairs that a promise speaks of, of events after `since`."""
    method, margin, scored = promise
    every = outcomes.picks(engine, rec, run_id)
    if method == "probable":  # a model on trial scores some of them
        every = every.filter(pl.col("model_hash") == scored)
    found = outcomes.matchable(every, method, margin)
    engine.put("drift_picks", found.select("left_key", "right_key", "confidence"))
    told = outcomes.of_run(run_id)
    return engine.rows(
        f"""
        with seen as (
          select left_key, right_key, max(levels) as levels
          from {told["pair_evidence"]} group by all)
        select p.confidence, s.levels, count(*) as n
        from drift_picks p join events e on e.event_key = p.left_key
        left join seen s on s.left_key = p.left_key and s.right_key = p.right_key
        where e.recorded_seq > {since} group by all"""
    )


def _sources(engine: Engine, rec: Reconciliation, run_id: str | None, since: int) -> pl.DataFrame:
    """Events of each source without each key, and those old enough that found no partner."""
    told = outcomes.of_run(run_id)
    parts = [
        f"""select {quote_text(f"{key} of ")} || source as measure,
          case when {keys.key_text(key)} is null then 'none' else 'told' end as bin
        from events where {keys.side_filter(side)} and {keys.live_sql(rec)}
          and recorded_seq > {since}"""
        for key in rec.keys
        for side in (rec.left, rec.right)
    ]
    parts.append(
        f"""select 'partners of ' || e.source as measure,
          case when s.paired then 'found' else 'none' end as bin
        from (
          select event_key, side, true as paired from {told["match_members"]}
          where role in ('principal', 'part')
          union
          select event_key, side, state = 'proposed' from {told["open_items"]}
          where match_id is null and state in ('overdue', 'proposed')
        ) s join events e using (event_key)
        left join (
          select o.side, min(v.event_ts) as youngest
          from {told["open_items"]} o join events v using (event_key)
          where o.state = 'in_flight' and o.match_id is null group by o.side
        ) f on f.side = s.side
        where e.recorded_seq > {since} and (f.youngest is null or e.event_ts < f.youngest)"""
    )
    found = engine.rows(
        f"select measure, bin, count(*) as n from ({' union all '.join(parts)}) group by all"
    )
    return found.select(
        "measure", pl.lit(None, dtype=pl.Float64).alias("band"), "bin", pl.col("n").cast(pl.Int64)
    )
