"""Learning the odds of a match without labels: how often true and random pairs stand on a level.

`u`, the share of random pairs, is counted: over a seeded grid of random pairs, and for levels that
imply an equal key (too rare for any grid) over the join on that key. `m`, the share of true pairs,
comes from expectation-maximisation over the candidate pairs, in which every event has at most one
counterpart: rivals share their probability, so look-alikes do not pass for matches. The number of
matches, which is what the prior is made of, is learned with it and can never exceed one per row of
the smaller side. All counts are whole numbers and all sums run in a fixed order over sorted rows:
the same rows and seed give the same model, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import pair_levels
from recon_kit.matching.assign import Cardinality, posterior
from recon_kit.matching.by_chance import GRID, count_all, draw, shares
from recon_kit.matching.ladders import Comparison
from recon_kit.matching.optimum import Floats, Graph, Ints, graph

ROWS_MIN = 50  # a side with fewer rows teaches nothing; default odds are used
_TRAINING_PAIRS = 400_000
_MATCHES_MIN = 10.0
_ROUNDS_MAX = 60
_SETTLED = 2e-4
_SURE = 0.95
_CERTAIN = 60.0  # bits: what a person said outweighs anything that can be compared
_NEVER = 1e-6  # share of all pairs below which a level was as good as never seen
_OPINION = 10.0  # how many true pairs the default m is worth against those observed
_UNMATCHED_MIN = 0.05  # however well a period reconciles, one row in twenty may have no partner


@dataclass(frozen=True, slots=True)
class Learned:
    """Odds per level (probabilities from the top) and the share of left rows with a partner.

    `settled` is false where the rounds ran out before the odds stood still; `sample` is what they
    were learned from.
    """

    m: Mapping[str, tuple[float, ...]]
    u: Mapping[str, tuple[float, ...]]
    share: float
    unseen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    settled: bool = True
    sample: Sample | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is learned from: pairs (`seq` of either side) with their levels.

    `levels` has a row for each of `ladders`, `total` counts all pairs by level; `drawn` counts the
    left rows that the pairs belong to. `ladders_sql` is what `pair_levels` was found for.
    """

    left: Ints
    right: Ints
    pairs: Graph
    ladders: tuple[Comparison, ...]
    levels: Ints
    total: Mapping[str, Floats]
    drawn: int
    lefts: int
    rights: int
    ladders_sql: tuple[str, ...]


def defaults(ladders: Sequence[Comparison], note: str) -> Learned:
    """The odds as written in the ladders, and even chances that a row has a partner."""
    m = {c.name: shares([level.m for level in c.levels]) for c in ladders}
    u = {c.name: shares([level.u for level in c.levels]) for c in ladders}
    return Learned(m, u, 0.5, notes=(note,))


def prior_odds(share: float, lefts: int, rights: int, cardinality: Cardinality) -> float:
    """Odds that a left and a right row belong together, given that both are still free.

    With M matches expected among `lefts` x `rights` pairs a random pair matches with probability
    M / (lefts * rights); that both are free has the probability of two rows without partner, for
    each side that may have only one (Sadinle, Bayesian estimation of bipartite matchings for
    record linkage, 2017, the prior's ratio for one pair more).
    """
    single_left = cardinality in ("one_to_one", "many_to_one")
    single_right = cardinality in ("one_to_one", "one_to_many")
    matches = share * lefts
    if single_left:
        matches = min(matches, lefts)
    if single_right:
        matches = min(matches, rights)
    free_left = max(1 - matches / lefts, _UNMATCHED_MIN) if single_left else 1.0
    free_right = max(1 - matches / rights, _UNMATCHED_MIN) if single_right else 1.0
    rate = min(matches / (lefts * rights), 0.5)
    return rate / (1 - rate) / (free_left * free_right)


def learn(
    engine: Engine,
    ladders: Sequence[Comparison],
    cardinality: Cardinality,
    seed: int,
    earlier: Sample | None = None,
) -> Learned:
    """Learn from `side_left`, `side_right` and `candidate_pairs`; default odds where it cannot.

    `earlier` was drawn from the same tables with this seed: only ladders that changed since are
    looked at anew.
    """
    sample = (
        _looked_anew(engine, ladders, earlier) if earlier else draw_sample(engine, ladders, seed)
    )
    if isinstance(sample, str):
        _keep_sure(engine, None, None)
        return defaults(ladders, sample)
    learned, chance = fit(ladders, sample, cardinality)
    _keep_sure(engine, sample, chance)
    return replace(learned, sample=sample)


def draw_sample(
    engine: Engine,
    ladders: Sequence[Comparison],
    seed: int,
    always: Sequence[int] = (),
) -> Sample | str:
    """What is learned from, or a sentence that says why there is nothing.

    Args:
        engine: holds `side_left`, `side_right` and `candidate_pairs`.
        ladders: the comparisons.
        seed: of the draws.
        always: `seq` of left rows whose pairs are wanted whatever is drawn (labelled ones).
    """
    lefts, rights = engine.count("side_left"), engine.count("side_right")
    if min(lefts, rights) < ROWS_MIN:
        return f"fewer than {ROWS_MIN} open rows on one side: default odds, nothing was learned"
    draw(engine, seed)
    total = count_all(engine, ladders, lefts * rights)
    engine.put("always_rows", pl.DataFrame({"seq": list(always)}, schema={"seq": pl.Int64}))
    sample = _training_pairs(engine, ladders, total, (lefts, rights))
    return sample or "no candidate pairs to learn from: default odds"


def _looked_anew(engine: Engine, ladders: Sequence[Comparison], earlier: Sample) -> Sample:
    """The same pairs on other ladders, of which those that are the same need no second look."""
    new = [c for c in ladders if c not in earlier.ladders]
    total = dict(earlier.total)
    if new:
        total |= count_all(engine, new, earlier.lefts * earlier.rights)
    ladders_sql = pair_levels.find(engine, ladders, earlier.ladders_sql)
    return replace(
        earlier,
        ladders=tuple(ladders),
        levels=_pair_levels(engine, len(ladders))[2],
        total={c.name: total[c.name] for c in ladders},
        ladders_sql=ladders_sql,
    )


def _keep_sure(engine: Engine, sample: Sample | None, chance: Floats | None) -> None:
    """`sure_pairs(l, r)`: the pairs that are all but certain, for `terms`."""
    pairs = pl.DataFrame(schema={"l": pl.Int64(), "r": pl.Int64()})
    if sample is not None and chance is not None:
        sure = chance >= _SURE
        pairs = pl.DataFrame({"l": sample.left[sure], "r": sample.right[sure]})
    engine.put("sure_pairs", pairs)


def _training_pairs(
    engine: Engine,
    ladders: Sequence[Comparison],
    total: Mapping[str, Floats],
    sizes: tuple[int, int],
) -> Sample | None:
    """All candidate pairs of as many drawn left rows as the budget allows, with their levels."""
    engine.run(
        Step(
            "training_rows",
            f"""create or replace temp table training_rows as select seq from (
                select d.seq, d.turn, sum(coalesce(n, 0)) over (order by d.turn) as so_far
                from draw_left d left join (select l as seq, count(*) as n from candidate_pairs
                    group by l) using (seq))
            where so_far <= {_TRAINING_PAIRS} or turn <= {GRID} or seq in (from always_rows)""",
            "left rows to learn from, with all their partners",
        )
    )
    ladders_sql = pair_levels.find(engine, ladders)
    left, right, numbers = _pair_levels(engine, len(ladders))
    if not len(left):
        return None
    pairs = graph(left, right, np.zeros(len(left), dtype=np.int64))
    drawn = engine.count("training_rows")
    return Sample(left, right, pairs, tuple(ladders), numbers, total, drawn, *sizes, ladders_sql)


def _pair_levels(engine: Engine, ladders: int) -> tuple[Ints, Ints, Ints]:
    """Left and right `seq` of the pairs of `training_rows`, in their order, and their levels."""
    found = engine.rows(
        f"from {pair_levels.TABLE} where l in (select seq from training_rows) order by l, r"
    )
    numbers = [found[f"g{i}"].to_numpy().astype(np.int64) for i in range(ladders)]
    return found["l"].to_numpy(), found["r"].to_numpy(), np.stack(numbers)


def fit(
    ladders: Sequence[Comparison],
    sample: Sample,
    cardinality: Cardinality,
    said: Ints | None = None,
) -> tuple[Learned, Floats]:
    """Alternate between "which pairs are true" and "what do true pairs look like".

    Args:
        ladders: the comparisons, with the odds to start from.
        sample: what is learned from.
        cardinality: how many counterparts an event may have.
        said: per pair of the sample what people said: 1 it is true, -1 it is not, 0 nothing.
            Such pairs keep that chance in every round, and their rivals follow from it.

    Returns:
        The odds and the last chance of every training pair.
    """
    limits = (
        1 if cardinality in ("one_to_one", "many_to_one") else None,
        1 if cardinality in ("one_to_one", "one_to_many") else None,
    )
    opinion = [np.array(shares([level.m for level in c.levels])) for c in ladders]
    total = [sample.total[c.name] for c in ladders]
    m, share, moved = list(opinion), 0.5, 1.0
    u = [_random_share(t, np.zeros(len(t))) for t in total]
    seen = [np.zeros(len(t)) for t in total]
    chance = np.zeros(sample.levels.shape[1])
    rounds = 0
    while moved > _SETTLED and rounds < _ROUNDS_MAX:
        rounds += 1
        odds = prior_odds(share, sample.drawn, sample.rights, cardinality)
        weight = np.full(sample.levels.shape[1], np.log2(odds))
        for i, level in enumerate(sample.levels):
            weight += np.append(np.log2(m[i] / u[i]), 0.0)[level]  # level -1 reads the last: 0
        if said is not None:
            weight = np.where(said == 0, weight, said * _CERTAIN)
        chance = posterior(sample.pairs, weight, limits, rounds=12)
        seen = [
            np.bincount(level[level >= 0], chance[level >= 0], len(t)).astype(np.float64)
            for level, t in zip(sample.levels, total, strict=True)
        ]
        before, before_share = m, share
        m = [_true_share(c, s, o) for c, s, o in zip(ladders, seen, opinion, strict=True)]
        scale = sample.lefts / sample.drawn
        u = [_random_share(t, s * scale) for t, s in zip(total, seen, strict=True)]
        share = min(float(chance.sum()) / sample.drawn, 1.0)
        moved = max(float(np.abs(a - b).max()) for a, b in zip(m, before, strict=True))
        moved = max(moved, abs(share - before_share))
    notes = []
    if moved > _SETTLED:
        notes.append(f"learning had not settled after {rounds} rounds (last change {moved:.4f})")
    if share * sample.drawn < _MATCHES_MIN:
        # what true pairs look like cannot be learned from none; that there are none can
        notes.append("hardly any match to learn from: default odds for true pairs")
        m = opinion
    m, u = _unlearned(ladders, m, u, seen, total)
    unseen = tuple(
        f"{c.name}: {c.levels[i].label}"
        for c, s in zip(ladders, seen, strict=True)
        for i in range(len(c.levels))
        if s[i] < 0.5
    )
    learned = Learned(
        {c.name: shares(v) for c, v in zip(ladders, m, strict=True)},
        {c.name: shares(v) for c, v in zip(ladders, u, strict=True)},
        round(max(share, 1 / sample.drawn), 9),
        unseen,
        tuple(notes),
        moved <= _SETTLED,
    )
    return learned, chance


def _true_share(ladder: Comparison, seen: Floats, opinion: Floats) -> Floats:
    """Share of true pairs on each level: what was seen, a little opinion, none over its most."""
    m = (seen + _OPINION * opinion) / (seen.sum() + _OPINION)
    most = np.array([level.m_max for level in ladder.levels])
    over = m > most
    if over.any():
        m = np.where(over, most, m * (1 - most[over].sum()) / m[~over].sum())
    return np.asarray(m)


def _unlearned(
    ladders: Sequence[Comparison],
    m: list[Floats],
    u: list[Floats],
    seen: list[Floats],
    total: list[Floats],
) -> tuple[list[Floats], list[Floats]]:
    """Levels that no pair of either kind stood on keep the default ratio of m to u."""
    for i, c in enumerate(ladders):
        counted = total[i] / max(float(total[i].sum()), 1.0)
        never = (seen[i] < 0.5) & (counted < _NEVER)
        ratio = np.array([level.m / level.u for level in c.levels])
        m[i] = np.where(never, np.minimum(m[i], u[i] * ratio), m[i])
        u[i] = np.where(never, np.maximum(u[i], m[i] / ratio), u[i])
    return m, u


def _random_share(total: Floats, true: Floats) -> Floats:
    """Share of untrue pairs on each level: all pairs less the true ones, never quite none."""
    rest = np.maximum.reduce([total - true, 0.02 * total, np.full_like(total, 0.5)])
    return np.asarray(rest / rest.sum())
