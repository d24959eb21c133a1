"""Probable matches: Splink 5 scores the open rows with a stored model, or one learned here.

The rows that no key has claimed are described (`features`), paired by budgeted rules
(`blocking`), compared on ladders of levels (`comparisons`) and scored by Splink's Fellegi-Sunter
model. Without a model one is learned from the rows themselves (`estimate`), without labels. The
model is JSON known by its hash: ladders, odds, how rare the commonest terms are, the share of
rows that find a partner. A daily run only scores with it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import blocking, enrich, estimate, features, fx, pair_levels, rarity, stored
from recon_kit.matching.comparisons import Terms, comparisons, days
from recon_kit.matching.ladders import Comparison, splink_settings
from recon_kit.matching.stored import Trained
from recon_kit.matching.terms import sure_schedules
from recon_kit.model import StoredModel
from recon_kit.settings import Reconciliation

TABLE = "scored_pairs"
KEEP_WEIGHT = -8.0  # bits; a pair less likely than 1 in 250 is not even a rival
_DAY = 86_400
# Working tables that nobody reads afterwards; whoever asked for scores reads the others and drops
# them.
_SCRATCH = (
    "told_rows", "term_counts", "key_left", "key_right", "key_pairs",
    "keyed_rows", "training_rows", "always_rows", "patterns", "pattern_pairs", "pattern_weights",
    "level_patterns",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score` leaves behind.

    `model` is what the scores were made with (None where nothing could be compared), `table` the
    name of the scored pairs, `learned` whether the model is new, `pairs` how many pairs were
    compared, `rules` what each blocking rule gave, `notes` sentences for the run's outcome.
    """

    model: StoredModel | None
    table: str
    learned: bool
    pairs: int
    rules: tuple[blocking.RuleCount, ...]
    notes: tuple[str, ...]


def score(
    engine: Engine,
    rec: Reconciliation,
    model: StoredModel | None,
    seed: int | None = None,
    *,
    retrain: bool = False,
) -> Scored:
    """Score the open rows of a reconciliation and leave the pairs in `scored_pairs`.

    Args:
        engine: holds `open_left`, `open_right` (eid, event_key, event_ts, ts_precision, amount,
            currency, description, ...), `who`, `events` where further fields are compared or
            currencies differ, and `barred(left_eid, right_eid)` where there are barred pairs.
        rec: the reconciliation; its `probable` settings bound the work.
        model: scores with this; one without odds, or None, learns them first.
        seed: for what is drawn while learning; the setting's seed if not given.
        retrain: learn odds anew though the model has some. Where learning does not settle the
            old ones stay.

    Returns:
        A `Scored`. The table has left_eid, right_eid, left_seq, right_seq (order of event keys),
        match_weight (bits, to 1e-6; before rivals are weighed, see `assign`), match_probability,
        levels and weights (JSON objects by comparison name; `weights` has `prior` too).

    Raises:
        MatchingError: the stored model cannot be read.
    """
    known = stored.read(model) if model is not None else Trained()
    learns = retrain or not known.ladders
    extra = rec.probable.compare if learns else known.extra
    rated = put_rates(engine)
    customers = rec.customers if learns else enrich.heard(rec.customers, known.customers)
    told = features.prepare(engine, extra, rated=rated, customers=customers)
    if engine.one(f"select count(distinct side) from {features.TABLE}") != (2,):
        _empty(engine)
        return Scored(model, TABLE, False, 0, (), ("one side has no open rows",))
    filled = features.filled(engine, extra)
    notes = [*told, *_not_filled(extra, filled)]
    rare = rarity.count_terms(engine) if learns else known.rarity
    rarity.attach_rarity(engine, rare, known.schedules)
    chosen = blocking.rules(filled, extra, records=bool(customers.sources))
    counts = blocking.block(
        engine, chosen, _window(rec), rec.probable.pairs_max, barred=engine.has("barred")
    )
    notes += blocking.notes(counts, chosen)
    trained = known
    found_for: tuple[str, ...] = ()
    if learns:
        seed = rec.probable.seed if seed is None else seed
        anew, taught, found_for = _learn(engine, rec, filled, replace(known, rarity=rare), seed)
        notes += taught
        if anew is None and known.ladders:
            kept = score(engine, rec, model)
            return replace(kept, notes=(*notes, *kept.notes))
        if anew is None:
            _empty(engine)
            engine.drop(*_SCRATCH, pair_levels.TABLE)
            return Scored(model, TABLE, False, 0, tuple(counts), tuple(notes))
        trained = anew
    model = stored.write(rec.name, trained) if trained is not known else model
    rescore(engine, rec, trained, found_for)
    engine.drop(pair_levels.TABLE)
    return Scored(
        model, TABLE, trained is not known,
        engine.count("candidate_pairs"), tuple(counts), tuple(notes),
    )  # fmt: skip


def _learn(
    engine: Engine, rec: Reconciliation, filled: Sequence[str], known: Trained, seed: int
) -> tuple[Trained | None, list[str], tuple[str, ...]]:
    """The model with odds from the open rows, and what there is to say about it.

    There is none where nothing can be compared, or where learning did not settle though a model is
    there. Where the pairs that are all but certain show a usual fee, it is learned again with that
    fee. Third comes what `pair_levels` was found for (see `pair_levels.find`).
    """
    extra = rec.probable.compare
    terms = Terms(
        rec.window.before,
        rec.window.after,
        rec.cardinality == "one_to_one",
        extra,
        usual=any(s.basis == "net" for s in known.schedules),
        lags=known.lags,
        fx_band_bp=int(rec.fx_band_percent * 100),
    )
    ladders = comparisons(filled, terms)
    if not ladders or not blocking.rules(filled, extra):
        return None, ["the two sides fill no field in common that could be compared"], ()
    guarded = enrich.guarded(ladders, rec.customers)
    odds = estimate.learn(engine, guarded, rec.cardinality, seed)
    notes: list[str] = []
    schedules = known.schedules
    if "amount" in filled and not terms.usual:
        seen = sure_schedules(engine)
        if seen:
            labels = dict.fromkeys(s.label for s in seen)
            notes += [f"right amounts are often the left ones less a fee of {s}" for s in labels]
            schedules += seen
            rarity.attach_usual_fees(engine, schedules)
            ladders = comparisons(filled, replace(terms, usual=True))
            guarded = enrich.guarded(ladders, rec.customers)
            odds = estimate.learn(engine, guarded, rec.cardinality, seed, odds.sample)
    notes += odds.notes
    if not odds.settled and known.ladders:
        notes.append("the model that was there is kept: learning a new one did not settle")
        return None, notes, ()
    if odds.unseen:
        steps = sum(len(c.levels) for c in ladders)
        notes.append(f"{len(odds.unseen)} of {steps} levels met no true pair while learning")
    trained = replace(
        known,
        ladders=stored.with_odds(ladders, odds.m, odds.u),
        share=odds.share,
        extra=tuple(extra),
        customers=rec.customers,
        unseen=odds.unseen,
        schedules=schedules,
        # what labels taught corrects the odds it was trained beside, no others
        classifier=None,
        calibration=None,
        card=None,
    )
    return trained, notes, odds.sample.ladders_sql if odds.sample else ()


def put_rates(engine: Engine) -> bool:
    """Dated rates, where open rows are in several currencies and events tell any."""
    told = " union ".join(f"select currency from open_{side}" for side in features.SIDES)
    if engine.one(f"select count(*) from ({told})")[0] == 1 or not engine.has("events"):
        return False
    engine.run(fx.rates_step())
    return engine.count("rates") > 0


def _not_filled(extra: Sequence[str], filled: Sequence[str]) -> list[str]:
    """A sentence for each declared field that is missing on a side: compared without it."""
    return [
        f"{field} is declared under `compare`, but hardly any row of one side fills it: "
        "scored without it"
        for i, field in enumerate(extra)
        if f"x{i}" not in filled
    ]


def _window(rec: Reconciliation) -> tuple[int, int]:
    return days(rec.window.before) * _DAY, days(rec.window.after) * _DAY


def _empty(engine: Engine) -> None:
    engine.run(
        Step(
            TABLE,
            f"""create or replace table {TABLE} (left_eid bigint, right_eid bigint,
            left_seq bigint, right_seq bigint, match_weight double, match_probability double,
            levels varchar, weights varchar)""",
            "no pair to score",
        )
    )


def as_splink(model: StoredModel, lefts: int, rights: int, rec: Reconciliation) -> dict[str, Any]:
    """The model as a Splink 5 settings dictionary for sides of these sizes (for its charts)."""
    trained = stored.read(model)
    odds = estimate.prior_odds(trained.share, max(lefts, 1), max(rights, 1), rec.cardinality)
    m, u = trained.odds()
    return splink_settings(trained.ladders, m, u, odds / (1 + odds))


# --- scoring --------------------------------------------------------------------------------------
def rescore(
    engine: Engine, rec: Reconciliation, trained: Trained, found_for: Sequence[str] = ()
) -> tuple[str, ...]:
    """Make `scored_pairs` anew with other odds, over the candidate pairs that `score` left.

    A weight depends on nothing but the levels a pair stands on. So the levels of every pair are
    found once, or are there already (`found_for`, see `pair_levels.find`), and Splink weighs each
    distinct pattern of levels, of which there are few. `pair_levels` stays; returns what it was
    found for.
    """
    lefts, rights = engine.count("side_left"), engine.count("side_right")
    odds = estimate.prior_odds(trained.share, lefts, rights, rec.cardinality)
    heard = enrich.heard(rec.customers, trained.customers)
    found_for = pair_levels.find(engine, enrich.guarded(trained.ladders, heard), found_for)
    names = ", ".join(f"g{i}" for i in range(len(trained.ladders)))
    engine.run(
        Step(
            "patterns",
            f"""create or replace temp table patterns as
            select row_number() over (order by {names}) as eid, * from (
                select distinct {names} from pair_levels)""",
            "the distinct patterns of levels",
        )
    )
    _splink_weights(engine, trained, odds / (1 + odds))
    _explained(engine, trained, math.log2(odds))
    engine.drop(*_SCRATCH)
    return tuple(found_for)


def _splink_weights(engine: Engine, trained: Trained, prior: float) -> None:
    """Splink's predict over `patterns` -> `pattern_weights(eid, w)`, those that may matter.

    Each pattern is set beside itself, as one table without sides: Splink looks up the columns of
    each table several times.
    """
    m, u = trained.odds()
    ladders = [_by_number(c, i) for i, c in enumerate(trained.ladders)]
    with _quiet():
        from splink import DuckDBAPI, Linker

        engine.run(
            Step(
                "pattern_pairs",
                """create or replace table pattern_pairs as
                select '0' as match_key, eid as join_key_l, eid as join_key_r from patterns""",
                "each pattern beside itself, in Splink's spelling",
            )
        )
        api = DuckDBAPI(connection=engine.con)
        settings = splink_settings(ladders, m, u, prior) | {"link_type": "dedupe_only"}
        linker = Linker(api.register("patterns"), settings, log_level=None, validate_settings=False)
        linker.table_management.register_blocked_pairs_for_predict(api.register("pattern_pairs"))
        found = linker.inference.predict(threshold_match_weight=KEEP_WEIGHT, warning_mode="never")
        engine.run(
            Step(
                "pattern_weights",
                f"""create or replace temp table pattern_weights as
                select eid_l as eid, round(match_weight, 6) as w from {found.physical_name}""",
                "weights to a millionth of a bit",
            )
        )
        found.drop_table_from_database_and_remove_from_cache()


def _by_number(ladder: Comparison, place: int) -> Comparison:
    """The same ladder over rows that tell the number of its level in the column `g<place>`."""
    column = f"l.g{place}"
    return replace(
        ladder,
        null_sql=f"{column} = -1",
        levels=tuple(
            replace(level, sql=f"{column} = {n}" if level.sql else None)
            for n, level in enumerate(ladder.levels)
        ),
    )


def _explained(engine: Engine, trained: Trained, prior: float) -> None:
    """Levels and weights per pair: told once per pattern of levels, joined by its number."""
    ladders = trained.ladders
    names = ", ".join(f"g{i}" for i in range(len(ladders)))
    patterns = engine.rows(
        f"select w, {names} from patterns join pattern_weights using (eid) order by all"
    )
    told = [_pattern(ladders, row[1:], prior) for row in patterns.iter_rows()]
    levels = pl.Series("levels", [a for a, _ in told], dtype=pl.String)
    weights = pl.Series("weights", [b for _, b in told], dtype=pl.String)
    engine.put("level_patterns", patterns.with_columns(levels, weights))
    engine.run(
        Step(
            TABLE,
            f"""create or replace table {TABLE} as
            select a.eid as left_eid, b.eid as right_eid, k.l as left_seq, k.r as right_seq,
                t.w as match_weight, round(1 / (1 + pow(2, -t.w)), 6) as match_probability,
                t.levels, t.weights
            from pair_levels k join level_patterns t using ({names})
            join side_left a on a.seq = k.l join side_right b on b.seq = k.r""",
            "scored pairs with their reasons",
        )
    )


def _pattern(ladders: Sequence[Comparison], row: tuple[int, ...], prior: float) -> tuple[str, str]:
    """(levels, weights) as JSON objects; a comparison with nothing to compare is left out."""
    levels: dict[str, str] = {}
    weights: dict[str, float] = {"prior": round(prior, 6)}
    for ladder, number in zip(ladders, row, strict=True):
        if number >= 0:
            level = ladder.levels[number]
            levels[ladder.name] = level.label
            weights[ladder.name] = round(math.log2(level.m / level.u), 6)
    return json.dumps(levels, ensure_ascii=False), json.dumps(weights)


@contextmanager
def _quiet() -> Iterator[None]:
    """Splink announces every step; here only its errors are news."""
    logger = logging.getLogger("splink")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
