"""What one training works on: open rows, their candidate pairs, and labels that some may see.

Everything that is learned or scored goes through the same code as a daily run: `probable` scores,
`assign` picks, `classifier` describes. Only which labels are seen differs from step to step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine
from recon_kit.matching import assign, classifier, enrich, estimate, probable, splits, stored
from recon_kit.matching.stored import Trained
from recon_kit.model import StoredModel
from recon_kit.settings import Reconciliation
from recon_kit.tuning import examples, fit
from recon_kit.tuning.examples import Examples

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored pairs of the labelled events under one model.

    `pairs` has a row per scored pair of a labelled event: left_key, right_key, picked, levels and
    the classifier's numbers; `picks` a row per picked pair of all events: left_key, right_key,
    match_weight, match_probability, levels.
    """

    pairs: pl.DataFrame
    picks: pl.DataFrame


class Lessons:
    """The open rows of a reconciliation, a model learned from them without labels, and labels."""

    def __init__(
        self,
        engine: Engine,
        rec: Reconciliation,
        known: Examples,
        start: StoredModel | None,
        seed: int | None,
    ) -> None:
        """Learn without labels, and draw what labels will be learned with.

        Args:
            engine: holds `open_left`, `open_right`, `who`, `events` (see `cascade.leave_open`).
            rec: the reconciliation.
            known: the labels; those on events that are not open here teach nothing.
            start: a model with terms and no odds, where methods learned terms.
            seed: of every draw; the setting's seed if not given.

        Raises:
            MatchingError: the two sides have nothing that could be compared.
        """
        self.engine, self.rec = engine, rec
        self.seed = rec.probable.seed if seed is None else seed
        first = probable.score(engine, rec, start, self.seed)
        self.notes = first.notes
        if first.model is None or not stored.read(first.model).ladders:
            raise MatchingError(
                f"reconciliation {rec.name!r} has nothing to train a model on: "
                f"{'; '.join(first.notes)}"
            )
        self.unlabelled = stored.read(first.model)
        self.sizes = (engine.count("side_left"), engine.count("side_right"))
        self.candidates = first.pairs
        self.sides = [
            engine.rows(f"select event_key, seq, ts from side_{side} order by event_key")
            for side in ("left", "right")
        ]
        open_left = pl.col("left_key").is_in(self.sides[0]["event_key"].implode())
        by_right = pl.col("left_key").is_null() & pl.col("right_key").is_in(
            self.sides[1]["event_key"].implode()
        )
        self.rows = known.rows.filter(open_left.fill_null(value=False) | by_right)
        self.not_open = known.rows.height - self.rows.height
        self.events = examples.labelled(self.rows).join(
            self.sides[0].rename({"event_key": "left_key"}), on="left_key", maintain_order="left"
        )
        self._sample = estimate.draw_sample(
            engine,
            enrich.guarded(self.unlabelled.ladders, self.unlabelled.customers),
            self.seed,
            self.events["seq"].to_list(),
        )
        self._found_for = () if isinstance(self._sample, str) else self._sample.ladders_sql

    @property
    def learnable(self) -> bool:
        """Whether there are rows enough to learn odds from."""
        return not isinstance(self._sample, str)

    def learn(self, rows: pl.DataFrame) -> Trained:
        """A model whose odds come from EM over the sample, with what these examples say as true."""
        sample = self._sample
        if isinstance(sample, str):
            return self.unlabelled
        truth = examples.truth(self._keyed(sample.left, sample.right), rows, self.rec)
        said = (truth.cast(pl.Int64) * 2 - 1).fill_null(0).to_numpy()
        learned, _ = estimate.fit(self.unlabelled.ladders, sample, self.rec.cardinality, said)
        return replace(
            self.unlabelled,
            ladders=stored.with_odds(self.unlabelled.ladders, learned.m, learned.u),
            share=learned.share,
            unseen=learned.unseen,
        )

    def score(self, model: Trained) -> Scored:
        """Score the candidate pairs with a model, as a run would."""
        engine = self.engine
        self._found_for = probable.rescore(engine, self.rec, model, self._found_for)
        splits.assign(engine, self.rec, model.ladders)
        pairs_of = splits.cardinality_of_pairs(self.rec, model.ladders)
        chances = assign.chances(engine, probable.TABLE, pairs_of)
        engine.put("labelled_rows", self.events.select("seq"))
        engine.put("pair_chances", chances)
        engine.con.execute(
            """create or replace temp view labelled_pairs as select c.* from pair_chances c
            join scored_pairs s using (left_eid, right_eid)
            where s.left_seq in (from labelled_rows)"""
        )
        classifier.describe(engine, "labelled_pairs")
        keys = """join side_left l on l.eid = left_eid join side_right r on r.eid = right_eid"""
        numbers = ", ".join(classifier.NUMBERS)
        pairs = engine.rows(
            f"""select l.event_key as left_key, r.event_key as right_key,
                a.left_eid is not null as picked, f.levels, {numbers}
            from {classifier.TABLE} f left join assigned_pairs a using (left_eid, right_eid)
            {keys} order by left_key, right_key"""
        )
        picks = engine.rows(
            f"""select l.event_key as left_key, r.event_key as right_key, a.match_weight,
                a.match_probability, s.levels
            from assigned_pairs a join scored_pairs s using (left_eid, right_eid)
            {keys} where isfinite(a.match_weight) order by left_key, right_key"""
        )
        return Scored(pairs, picks)

    def ties(self) -> pl.DataFrame:
        """All pairs that were scored last: (left_key, right_key, match_weight)."""
        return self.engine.rows(
            """select l.event_key as left_key, r.event_key as right_key, match_weight
            from scored_pairs join side_left l on l.eid = left_eid
            join side_right r on r.eid = right_eid
            where isfinite(match_weight) order by left_key, right_key"""
        )

    def _keyed(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> pl.DataFrame:
        """Pairs of `seq` as pairs of event keys."""
        pairs = pl.DataFrame({"l": left, "r": right})
        for side, column, name in zip(
            self.sides, ("l", "r"), ("left_key", "right_key"), strict=True
        ):
            pairs = pairs.join(
                side.select(pl.col("seq").alias(column), pl.col("event_key").alias(name)),
                on=column, how="left", maintain_order="left",
            )  # fmt: skip
        return pairs.select("left_key", "right_key")


# --- the classifier's matrix ----------------------------------------------------------------------
def columns(pairs: pl.DataFrame) -> list[tuple[str, str]]:
    """Columns of the matrix: (`number`, name), then (comparison, level) as they occur in pairs."""
    numbers = [("number", name) for name in classifier.NUMBERS]
    patterns = sorted(set(pairs["levels"].unique().to_list()))
    met = {(name, at) for text in patterns for name, at in json.loads(text).items()}
    return [*numbers, *sorted(met)]


def matrix(pairs: pl.DataFrame, names: list[tuple[str, str]]) -> Floats:
    """One row per pair: its numbers as they are, 1 for each level it stands on."""
    told = pairs.select(list(classifier.NUMBERS)).to_numpy()
    levels = [pair for pair in names if pair[0] != "number"]
    patterns = pairs.select("levels").unique().sort("levels")
    flags = np.array(
        [
            [float(json.loads(text).get(name) == at) for name, at in levels]
            for text in patterns["levels"]
        ]
    ).reshape(patterns.height, len(levels))
    place = pairs.select("levels").join(
        patterns.with_row_index("at"), on="levels", how="left", maintain_order="left"
    )["at"]
    return np.concatenate([told, flags[place.to_numpy()]], axis=1)


def as_stored(names: list[tuple[str, str]], fitted: fit.Regression) -> Mapping[str, Any]:
    """The regression as `matching.classifier` reads it."""
    numbers: dict[str, float] = {}
    levels: dict[str, dict[str, float]] = {}
    for (kind, name), value in zip(names, fitted.coefficients, strict=True):
        if value == 0.0:
            continue
        if kind == "number":
            numbers[name] = value
        else:
            levels.setdefault(kind, {})[name] = value
    return {
        "kind": "logistic",
        "intercept": fitted.intercept,
        "numbers": numbers,
        "levels": levels,
        "strength": fitted.strength,
    }
