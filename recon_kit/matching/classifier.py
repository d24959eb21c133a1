"""What labels taught beyond the odds: how probable a pair is, all considered, as SQL.

Splink's weights take comparisons for independent and know nothing of rivals. A model trained on
labels may add two things, both plain JSON in the stored model:

* `classifier`: a logistic regression over a pair's numbers (`NUMBERS`) and levels. The chance of
  the pair under the cardinality is one of the numbers, so the classifier corrects what Splink and
  `assign` said; where labels teach nothing it says the same.
* `calibration`: from log-odds to the probability that labels bear out (`platt` or `isotonic`).

Training reads the same table, `pair_features`, as a daily run does, so the two cannot drift apart;
and a run loads no training code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.safe import quote_ident

TABLE = "pair_features"
# A probability is told to six digits: these are the log-odds of the first and the last.
CHANCE_MIN = 1e-6
_FLOOR = -8.0  # bits: where no rival was kept, the best one lies below this (`KEEP_WEIGHT`)
_LEAD_MAX = 20
_PLATT, _ISOTONIC = "platt", "isotonic"


def log_odds(chance: str) -> str:
    """SQL: natural log-odds of a chance, bounded where six digits end."""
    bounded = f"least(greatest({chance}, {CHANCE_MIN}), 1 - {CHANCE_MIN})"
    return f"ln({bounded} / (1 - {bounded}))"


# A pair's numbers by name, over `p` (the scored pair among its rivals) and both sides `l`, `r`.
# What cannot be told is 0, and a number of its own says so.
_GAP = "ln(abs(r.amount)::double / abs(l.amount))"
_LAG = "(r.ts - l.ts) / 86400.0"
_TIMES = "l.ts is not null and r.ts is not null"
_MONEY = "l.amount is not null and r.amount is not null and l.amount <> 0 and r.amount <> 0"
NUMBERS: dict[str, str] = {
    "chance": log_odds("p.chance"),
    "weight": "least(greatest(p.match_weight, -8), 40)",
    "lead_left": f"least(greatest(p.match_weight - p.rival_left, -{_LEAD_MAX}), {_LEAD_MAX})",
    "lead_right": f"least(greatest(p.match_weight - p.rival_right, -{_LEAD_MAX}), {_LEAD_MAX})",
    "rank_left": "log2(p.rank_left)",
    "rank_right": "log2(p.rank_right)",
    "rivals_left": "log2(p.pairs_left)",
    "rivals_right": "log2(p.pairs_right)",
    "lag_days": f"case when {_TIMES} then least(greatest({_LAG}, -90), 90) else 0 end",
    "lag_unknown": f"(not ({_TIMES}))::int",
    "amount_ratio": f"case when {_MONEY} then least(greatest({_GAP}, -1), 1) else 0 end",
    "amount_gap": f"case when {_MONEY} then least(abs({_GAP}), 1) else 0 end",
    "amount_unknown": f"(not ({_MONEY}))::int",
    "amount_rarity": "l.amount_rare",
}


def describe(engine: Engine, wanted: str, *, scored: str = "scored_pairs") -> None:
    """Make `pair_features(left_eid, right_eid, levels, <NUMBERS>)` of the wanted pairs.

    Args:
        engine: holds `side_left` and `side_right` as `features` made them, and the scored pairs.
        wanted: table of (left_eid, right_eid, chance); chance under the cardinality.
        scored: table of all scored pairs; rivals are looked for among all of them.
    """
    engine.run(*steps(wanted, scored))


def steps(wanted: str, scored: str) -> tuple[Step, ...]:
    """The statements of `describe`, printable."""
    others = "rows between unbounded preceding and unbounded following exclude current row"
    numbers = ", ".join(f"({sql})::double as {name}" for name, sql in NUMBERS.items())
    return (
        Step(
            "rivalry",
            f"""
create or replace temp table rivalry as
select left_eid, right_eid, match_weight, levels,
       rank() over (partition by left_eid order by match_weight desc) as rank_left,
       rank() over (partition by right_eid order by match_weight desc) as rank_right,
       count(*) over (partition by left_eid) as pairs_left,
       count(*) over (partition by right_eid) as pairs_right,
       coalesce(max(match_weight) over (partition by left_eid {others}), {_FLOOR}) as rival_left,
       coalesce(max(match_weight) over (partition by right_eid {others}), {_FLOOR}) as rival_right
from {quote_ident(scored)} where isfinite(match_weight)""",
            "how each pair stands among the rivals of its two events",
        ),
        Step(
            TABLE,
            f"""
create or replace temp table {TABLE} as
select p.left_eid, p.right_eid, p.levels, {numbers}
from (select * from rivalry join (select left_eid, right_eid, chance from {quote_ident(wanted)})
      using (left_eid, right_eid)) p
join side_left l on l.eid = p.left_eid join side_right r on r.eid = p.right_eid""",
            "what the classifier reads",
        ),
        Step("drop_rivalry", "drop table rivalry"),
    )


def judge(
    engine: Engine, classifier: Mapping[str, Any] | None, calibration: Mapping[str, Any] | None
) -> str:
    """Query of (left_eid, right_eid, probability) over `pair_features`.

    Args:
        engine: where the share of every pattern of levels is put (`level_parts`).
        classifier: as stored; None leaves the chance under the cardinality.
        calibration: as stored; None leaves the log-odds as they are.
    """
    told = "chance"
    source = TABLE
    if classifier is not None:
        terms = [f"{number(c)} * {quote_ident(n)}" for n, c in _numbers(classifier).items()]
        engine.put("level_parts", _level_parts(engine, classifier))
        told = " + ".join([number(classifier["intercept"]), "part", *terms])
        source = f"{TABLE} join level_parts using (levels)"
    return f"""select left_eid, right_eid,
        round({probability_sql(calibration, "told")}, 6) as probability
    from (select left_eid, right_eid, {told} as told from {source})"""


def probability_sql(calibration: Mapping[str, Any] | None, told: str) -> str:
    """SQL: the probability of log-odds `told`, calibrated where there is a calibration."""
    if calibration is None:
        return _logistic(told)
    kind = calibration.get("kind")
    if kind == _PLATT:
        return _logistic(
            f"{number(calibration['slope'])} * {told} + {number(calibration['intercept'])}"
        )
    if kind == _ISOTONIC:
        values = [number(value) for value in calibration["values"]]
        edges = [number(edge) for edge in calibration["edges"]]
        arms = " ".join(
            f"when {told} < {edge} then {value}" for edge, value in zip(edges, values, strict=False)
        )
        return f"(case {arms} else {values[-1]} end)" if arms else f"({values[-1]})"
    raise MatchingError(
        f"the stored model has a calibration of kind {kind!r}; this version reads platt and "
        "isotonic. Train it again"
    )


def number(value: Any) -> str:
    """A number of the stored model as SQL, with all its digits; anything else is refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MatchingError(f"the stored model holds {value!r} where a number belongs")
    return f"({float(value)!r}::double)"


def _logistic(told: str) -> str:
    # beyond 700 the exponential overflows; far before that the sixth digit is settled
    return f"1 / (1 + exp(-least(greatest({told}, -50), 50)))"


def _numbers(classifier: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(classifier["numbers"]) - set(NUMBERS))
    if classifier.get("kind") != "logistic" or unknown:
        what = f"number {unknown[0]!r}" if unknown else f"kind {classifier.get('kind')!r}"
        raise MatchingError(
            f"the stored model's classifier has {what}, which this version does not know; "
            "train it again"
        )
    return classifier["numbers"]  # type: ignore[no-any-return]


def _level_parts(engine: Engine, classifier: Mapping[str, Any]) -> pl.DataFrame:
    """What the levels of a pair add, once per pattern: (levels, part)."""
    found = engine.rows(f"select distinct levels from {TABLE} order by levels")["levels"].to_list()
    shares = classifier["levels"]
    return pl.DataFrame(
        {"levels": found, "part": [level_part(shares, text) for text in found]},
        schema={"levels": pl.String, "part": pl.Float64},
    )


def level_part(shares: Mapping[str, Mapping[str, float]], levels: str) -> float:
    """Sum of what one pattern's levels add; a level that training never met adds nothing."""
    stands: Mapping[str, str] = json.loads(levels)
    added: Sequence[float] = [shares.get(name, {}).get(at, 0.0) for name, at in stands.items()]
    return float(sum(added))
