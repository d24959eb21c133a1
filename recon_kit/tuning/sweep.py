"""What every threshold would cost and bring: the table from which a person picks one.

Assignment is solved once; thresholds cut its result (`outcomes`). What the matches are is counted,
what is wrong among them is estimated from labels, each weighing the inverse of the probability with
which it was drawn. An estimate is no promise: `certify` makes those.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit import money, stats
from recon_kit.settings import Costs
from recon_kit.tuning import outcomes, rates

Floats = NDArray[np.float64]
POINTS = 100
_STRICTEST = 0.9999
SWEEP_SCHEMA: dict[str, pl.DataType] = {
    "threshold": pl.Float64(), "margin": pl.Float64(), "matches": pl.Int64(),
    "auto_share": pl.Float64(), "auto_money_share": pl.Float64(),
    "labels": pl.Int64(), "wrong": pl.Int64(),
    "fmr": pl.Float64(), "fmr_low": pl.Float64(), "fmr_high": pl.Float64(),
    "fmr_money": pl.Float64(), "fmr_money_low": pl.Float64(), "fmr_money_high": pl.Float64(),
    "misses": pl.Float64(), "miss_rate": pl.Float64(),
    "review_items": pl.Int64(), "review_hours": pl.Float64(), "cost_minor": pl.Int64(),
    "strict_fpr": pl.Float64(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What is swept: a method's matches, over thresholds and margins, at what costs.

    `currency` is the one of costs and of money shares; `possible_pairs` counts all pairs that
    could be formed of what is open on both sides; `several` whether a left event may have several
    partners; `fmr_max` is the promise that the proposed point should be able to keep.
    """

    method: str
    grid: tuple[float, ...]
    margins: tuple[float, ...]
    costs: Costs
    currency: str
    possible_pairs: int = 0
    several: bool = False
    fmr_max: float = 0.02


@dataclass(frozen=True, slots=True)
class Sweep:
    """The table (`SWEEP_SCHEMA`), its parts (`rates.SEGMENT_SCHEMA`) and one proposed point.

    `money` has `threshold, currency, auto_minor, of_minor` at the first margin; `point` is a row of
    the table, none where nothing can be proposed, and `reason` says why in words. `weighted` is
    false where the labels were not drawn at random: then every rate speaks of those labels alone.
    """

    frame: pl.DataFrame
    segments: pl.DataFrame
    money: pl.DataFrame
    point: dict[str, float] | None
    reason: str
    weighted: bool
    notes: tuple[str, ...] = field(default=())


def fixed_grid(least: float, *further: float, points: int = POINTS) -> tuple[float, ...]:
    """Thresholds from lax to strict, denser towards 1, where scores are; never from the data.

    Each has as few digits as tell it from its neighbours: its distance from 1 has two.

    Args:
        least: the laxest, below which nothing is proposed.
        further: thresholds that must be on it, such as the one in force.
        points: how many, beside those.
    """
    steps = 1 - np.geomspace(1 - min(least, 0.99), 1 - _STRICTEST, points)
    short = (round(1 - float(f"{1 - x:.1e}"), 6) for x in steps)
    return tuple(sorted({*short, *further}))


def sweep(found: pl.DataFrame, labels: pl.DataFrame, question: Question) -> Sweep:
    """Cut the picked pairs of a method at every threshold.

    Args:
        found: picked pairs of a run that was not told the labels (`outcomes.picks`).
        labels: `outcomes.LABEL_SCHEMA`, all of one stream; none may be given.
        question: what is swept.
    """
    grid = np.asarray(question.grid, dtype=np.float64)
    every = found.filter(pl.col("method") == question.method)
    tables = [_at_margin(every, labels, found, question, margin) for margin in question.margins]
    frame = pl.concat(tables).sort("margin", "threshold")
    pairs = outcomes.matchable(every, question.method, question.margins[0])
    cube = rates.cube_of(pairs, grid)
    judged = outcomes.units(pairs, labels)
    weighted = labels.is_empty() or labels["stream"].eq("audit").all()
    first = frame.filter(pl.col("margin") == question.margins[0])
    point, reason = _propose(first, question, weighted=weighted)
    return Sweep(
        frame, pl.concat([rates.segments(cube, judged, grid), rates.by_method(found, labels)]),
        _money(cube, every, grid), point, reason, weighted,
        _notes(labels, judged, every, question, weighted=weighted),
    )  # fmt: skip


def _at_margin(
    every: pl.DataFrame,
    labels: pl.DataFrame,
    found: pl.DataFrame,
    question: Question,
    margin: float,
) -> pl.DataFrame:
    """The table at one margin."""
    grid = np.asarray(question.grid, dtype=np.float64)
    pairs = outcomes.matchable(every, question.method, margin)
    frame = (
        outcomes.frame_of(pairs) if question.several else pairs.rename({"confidence": "matched_at"})
    )
    home = (frame["currency"] == question.currency).fill_null(False).to_numpy()
    amount = frame["amount_minor"].fill_null(0).abs().cast(pl.Float64).to_numpy()
    at = frame["matched_at"].to_numpy()
    lefts = every["left_key"].n_unique() if question.several else every.height
    whole = every.filter(pl.col("currency") == question.currency)["amount_minor"].abs().sum()
    matches = rates.tails(at, np.ones(at.size), grid).astype(np.int64)
    judged = outcomes.units(pairs, labels)
    found_rates = rates.estimates(judged, grid)
    missed = _misses(found, labels, question, margin, grid)
    review = lefts - matches
    hours = review * float(question.costs.minutes_per_item) / 60
    cost = _wrong_cost(judged, matches, question, grid) + hours * float(question.costs.hour)
    wrong_all = np.nan_to_num(found_rates["fmr"]) * matches
    columns: dict[str, object] = {
        "threshold": grid, "margin": np.full(grid.size, margin), "matches": matches,
        "auto_share": matches / max(lefts, 1),
        "auto_money_share": rates.tails(at[home], amount[home], grid) / max(float(whole), 1.0),
        **found_rates, **missed, "review_items": review, "review_hours": hours,
        "cost_minor": np.rint(cost * 10 ** money.exponent(question.currency)),
        "strict_fpr": wrong_all / max(question.possible_pairs, 1),
    }  # fmt: skip
    table = pl.DataFrame({name: columns[name] for name in SWEEP_SCHEMA}, nan_to_null=True)
    unknown = [c for c in ("strict_fpr", "cost_minor") if judged.is_empty() or (
        c == "strict_fpr" and not question.possible_pairs)]  # fmt: skip
    return table.select(
        (pl.lit(None) if name in unknown else pl.col(name)).cast(kind).alias(name)
        for name, kind in SWEEP_SCHEMA.items()
    )


def _misses(
    found: pl.DataFrame, labels: pl.DataFrame, question: Question, margin: float, grid: Floats
) -> dict[str, object]:
    """Left events with a counterpart that nothing would match to it, estimated from the labels."""
    named = labels.filter((pl.col("state") == "answered") & pl.col("right_key").is_not_null())
    truth = named.select("left_key", "right_key", "inclusion_probability").unique()
    mine = outcomes.matchable(found, question.method, margin)
    others = found.filter(
        (pl.col("method") != question.method)
        & ~pl.col("held").fill_null(False)
        & ~pl.col("proposed").fill_null(False)
    )
    right = pl.concat([mine, others.with_columns(confidence=pl.lit(2.0))]).select(
        "left_key", "right_key", "confidence"
    )
    reached = truth.join(right, on=["left_key", "right_key"], how="left").group_by("left_key").agg(
        pl.col("confidence").max(), pl.col("inclusion_probability").min()
    )  # fmt: skip
    weight = (1 / reached["inclusion_probability"].fill_null(1.0)).to_numpy()
    at = reached["confidence"].fill_null(-1.0).to_numpy()
    missed = weight.sum() - rates.tails(at, weight, grid)
    rate = missed / weight.sum() if weight.size else np.full(grid.size, np.nan)
    return {"misses": missed if weight.size else np.full(grid.size, np.nan), "miss_rate": rate}


def _wrong_cost(
    judged: pl.DataFrame, matches: NDArray[np.int64], question: Question, grid: Floats
) -> Floats:
    """Expected cost of wrong matches at every threshold, in major units."""
    at, wrong, weight, amount = rates.arrays(judged)
    home = (judged["currency"] == question.currency).fill_null(False).to_numpy()
    major = np.where(home, amount, 0.0) / 10 ** money.exponent(question.currency)
    each = (
        float(question.costs.wrong_match) + major * float(question.costs.wrong_match_percent) / 100
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = rates.tails(wrong, weight * each, grid) / rates.tails(at, weight, grid)
    return np.nan_to_num(mean) * matches


def _money(cube: pl.DataFrame, every: pl.DataFrame, grid: Floats) -> pl.DataFrame:
    """Money matched at every threshold, by currency, beside all money the method picked."""
    whole = every.drop_nulls("currency").group_by("currency").agg(
        of=pl.col("amount_minor").abs().sum()
    )  # fmt: skip
    tables = [
        pl.DataFrame({
            "threshold": grid, "currency": [code] * grid.size,
            "auto_minor": rates.from_places(cube.filter(pl.col("currency") == code), "minor", grid),
            "of_minor": [of] * grid.size,
        })
        for code, of in whole.sort("currency").iter_rows()
    ]  # fmt: skip
    schema = {"threshold": pl.Float64, "currency": pl.String, "auto_minor": pl.Int64,
              "of_minor": pl.Int64}  # fmt: skip
    return pl.concat(tables) if tables else pl.DataFrame(schema=schema)


def _propose(
    table: pl.DataFrame, question: Question, *, weighted: bool
) -> tuple[dict[str, float] | None, str]:
    """The cheapest point whose estimated rate is low enough with its interval, and why.

    Only a random draw makes that sure of all matches; labels that people chose speak of themselves.
    """
    if table["labels"].max() in (None, 0):
        return None, _unlabelled(table, question)
    good = table.filter((pl.col("fmr_high") <= question.fmr_max) & (pl.col("matches") > 0))
    if good.is_empty():
        least = table.drop_nulls("fmr_high").sort("fmr_high", "threshold").row(0, named=True)
        return None, (
            f"At no threshold is the estimate surely under {question.fmr_max:.1%}: the best is "
            f"{least['fmr']:.2%}, at most {least['fmr_high']:.2%}, at {least['threshold']:g} with "
            f"{least['labels']:,} labels. More labels, or a better model, are needed."
        )
    row = good.sort("cost_minor", "threshold", descending=[False, True]).row(0, named=True)
    rate = f"{question.fmr_max:.1%}"
    among = f"surely no more than {rate} are wrong"
    last = "It is an estimate; `recon certify` makes it a promise."
    if not weighted:
        among = f"no more than {rate} of the labelled matches are wrong"
        last = (
            "These labels were not drawn at random, so of all other matches nothing is sure: "
            "`recon labels draw` asks for some that were, and `recon certify` proves by them."
        )
    return row, (
        f"{row['threshold']:g}: of all thresholds at which {among} "
        f"(here {row['fmr']:.2%}, at most {row['fmr_high']:.2%}, "
        f"from {row['labels']:,} labels) it costs least; {row['auto_share']:.1%} need nobody, "
        f"{row['review_items']:,} items or {row['review_hours']:.1f} hours are left to people. "
        f"{last}"
    )


def _unlabelled(table: pl.DataFrame, question: Question) -> str:
    """What to do where no label says anything, and whether it could be enough."""
    picks = int(table["matches"].to_numpy().max(initial=0))
    least = stats.labels_needed(0, question.fmr_max)
    known = f"No label says which of these {picks:,} matches are right"
    if picks < least:
        return (
            f"{known}, and even if all were drawn and right, they could not prove that at most "
            f"{question.fmr_max:.1%} are wrong: that takes {least:,}. A laxer rate, or more data, "
            "is needed."
        )
    return (
        f"{known}. `recon labels draw` puts a random part of them into the queue (notebook 03); "
        f"{least:,} right answers can prove that at most {question.fmr_max:.1%} are wrong."
    )


def _notes(
    labels: pl.DataFrame, judged: pl.DataFrame, every: pl.DataFrame, question: Question,
    *, weighted: bool,
) -> tuple[str, ...]:  # fmt: skip
    told = []
    if not weighted:
        told.append(
            "Rates rest on imported labels, which nobody drew at random: unweighted, they speak of "
            "the labelled matches alone and can certify nothing."
        )
    elif not labels.is_empty():
        waiting = labels.filter(pl.col("state") == "waiting").height
        told.append(
            f"Rates are estimated from {judged.height:,} answered draws of the audit sample, each "
            "weighing the inverse of its chance" + (f"; {waiting:,} wait." if waiting else ".")
        )
    foreign = sorted(set(every["currency"].drop_nulls().unique()) - {question.currency})
    if foreign:
        told.append(
            f"Costs and money shares are in {question.currency}; of matches in "
            f"{', '.join(foreign)} only the fixed cost is counted."
        )
    told.append(
        f"Strict false-positive rate: wrong pairs among all {question.possible_pairs:,} pairs that "
        "could be formed of what was open. It is near zero at any threshold and says little; the "
        "false-match rate (fmr) is the share of wrong ones among the matches made."
    )
    return tuple(told)
