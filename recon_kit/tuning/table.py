"""Train and calibrate on a plain table of pair features with labels, whatever the pairs are.

For teams that compare records elsewhere, and as a check of training itself on public data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recon_kit.errors import LabelError
from recon_kit.tuning import calibrate, fit, folds, measure
from recon_kit.tuning.measure import Answers

EACH_MIN = calibrate.EACH_MIN


@dataclass(frozen=True, slots=True)
class TableModel:
    """A logistic regression over named columns, its calibration, and what is known of it.

    `card` holds labels (right, wrong), figures of held-out groups with intervals, the calibration
    in words, and its error before and after (each fold calibrated on the others).
    """

    features: tuple[str, ...]
    fitted: fit.Regression
    calibration: Mapping[str, Any] | None
    card: Mapping[str, Any]

    def log_odds(self, pairs: pl.DataFrame) -> NDArray[np.float64]:
        """Log-odds of pairs, as the regression says them."""
        return self.fitted.told(_matrix(pairs, self.features))

    def probability(self, pairs: pl.DataFrame) -> pl.Series:
        """Probability of each pair, calibrated where labels bore a calibration out."""
        return pl.Series(
            "probability", calibrate.probability(self.calibration, self.log_odds(pairs))
        )


def train_table(  # noqa: PLR0913 - each names a column of the caller's table
    pairs: pl.DataFrame,
    *,
    label: str,
    features: Sequence[str] | None = None,
    group: str | None = None,
    time: str | None = None,
    seed: int = 0,
) -> TableModel:
    """Train on labelled pairs.

    Args:
        pairs: one row per labelled pair; features are numbers, a null counts as 0 (add a column
            of your own where that it is absent tells something).
        label: column of 1 and 0 (or true and false): whether the pair is true.
        features: columns to learn from; all numeric ones but label, group and time if not given.
        group: column that names what belongs together, such as a record that several pairs share;
            rows of one group are never in two folds. Every row alone if not given.
        time: column by which the latest quarter is held out once more.
        seed: of the folds and intervals.

    Raises:
        LabelError: a column is missing, is no number or infinite, there are fewer than 10 labels
            of either kind, or so few groups that none can be held out.
    """
    names = _features(pairs, label, features, (group, time))
    truth = _truth(pairs, label)
    groups = pairs[group].cast(pl.String) if group else pl.int_range(pairs.height, eager=True)
    groups = groups.cast(pl.String).fill_null("")
    told = _matrix(pairs, names)
    fold = folds.split(groups, folds.FOLDS, seed).to_numpy()
    _held_out(fold, truth, group)
    held = np.zeros(len(truth))
    for number in np.unique(fold):
        out = fold == number
        part = fit.regression(told[~out], truth[~out], groups.filter(~out), seed, base=False)
        held[out] = part.told(told[out])
    fitted = fit.regression(told, truth, groups, seed, base=False)
    calibrated, sides = _calibrated(held, truth, groups, fold, seed)
    card = {
        "labels": {"right": int(truth.sum()), "wrong": int((~truth).sum())},
        "strength": fitted.strength,
        "figures": measure.figures(sides["before"], seed).to_dicts(),
        "calibration": calibrated.said,
        "calibration_error": {
            name: calibrate.calibration_error(side.probability, side.truth)
            for name, side in sides.items()
        },
        "latest": _latest(pairs, time, groups, (told, truth), seed),
    }
    return TableModel(names, fitted, calibrated.stored, card)


def _calibrated(
    held: NDArray[np.float64],
    truth: NDArray[np.bool_],
    groups: pl.Series,
    fold: NDArray[np.int64],
    seed: int,
) -> tuple[calibrate.Calibrated, dict[str, Answers]]:
    """A calibration where it surely helps folds it was not fitted to, and both sets of answers."""
    group = groups.rank("dense").cast(pl.Int64).to_numpy()
    every = np.ones(len(truth), dtype=bool)
    sides = {
        "before": Answers(calibrate.probability(None, held), truth, group),
        "after": Answers(calibrate.crossed(held, truth, every, fold), truth, group),
    }
    rows = pl.int_range(len(truth), eager=True)
    before, after = (measure.by_event(side, rows) for side in sides.values())
    gain, low, _ = measure.loss_gain(before, after, seed)
    fitted = calibrate.calibrate(held, truth)
    if fitted.stored is not None and low <= 0:
        said = f"not calibrated: {fitted.said} changes the log-loss by {-gain:+.4f}, no sure gain"
        return calibrate.Calibrated(None, said), sides
    return fitted, sides


def _latest(
    pairs: pl.DataFrame,
    time: str | None,
    groups: pl.Series,
    rows: tuple[NDArray[np.float64], NDArray[np.bool_]],
    seed: int,
) -> list[dict[str, Any]] | None:
    """Figures of the latest quarter by a model of the rest; None where time cannot tell."""
    late = folds.latest(pairs[time], groups) if time else None
    if late is None:
        return None
    told, truth = rows
    out = late.to_numpy()
    if min(truth[~out].sum(), (~truth[~out]).sum()) < EACH_MIN:
        return None
    part = fit.regression(told[~out], truth[~out], groups.filter(~late), seed, base=False)
    group = groups.rank("dense").cast(pl.Int64).to_numpy()[out]
    chance = calibrate.probability(None, part.told(told[out]))
    return measure.figures(Answers(chance, truth[out], group), seed).to_dicts()


def _features(
    pairs: pl.DataFrame,
    label: str,
    features: Sequence[str] | None,
    others: tuple[str | None, str | None],
) -> tuple[str, ...]:
    for name in (label, *(features or ()), *filter(None, others)):
        if name not in pairs.columns:
            raise LabelError(f"the pairs have no column {name!r}; they have {pairs.columns}")
    numeric = [
        c for c in pairs.columns if pairs[c].dtype.is_numeric() or pairs[c].dtype == pl.Boolean
    ]
    names = features or [c for c in numeric if c not in {label, *others}]
    wrong = [c for c in names if c not in numeric]
    if wrong or not names:
        raise LabelError(
            f"feature {wrong[0]!r} is no number; turn it into one" if wrong else
            "the pairs have no numeric column to learn from"
        )  # fmt: skip
    return tuple(names)


def _truth(pairs: pl.DataFrame, label: str) -> NDArray[np.bool_]:
    said = pairs[label].cast(pl.Float64, strict=False)
    if not said.is_in([0.0, 1.0]).fill_null(value=False).all():
        raise LabelError(f"column {label!r} must hold 1 and 0 only; leave out rows without a label")
    truth = np.asarray(said.to_numpy() == 1)
    right, wrong = int(truth.sum()), int((~truth).sum())
    if min(right, wrong) < EACH_MIN:
        raise LabelError(
            f"{right:,} pairs are labelled 1 and {wrong:,} are labelled 0; {EACH_MIN} of each are "
            "needed to learn what tells them apart"
        )
    return truth


def _matrix(pairs: pl.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """The features as numbers; a null counts as 0.

    Raises:
        LabelError: a column is missing or no number, or a value is infinite.
    """
    for name in names:
        if name not in pairs.columns:
            raise LabelError(
                f"the pairs have no column {name!r}, which the model reads; it reads {list(names)}"
            )
        kind = pairs[name].dtype
        if not (kind.is_numeric() or kind in {pl.Boolean, pl.Null}):
            raise LabelError(f"feature {name!r} is no number; turn it into one")
    told = pairs.select(pl.col(list(names)).cast(pl.Float64).fill_nan(None).fill_null(0.0))
    for name in names:
        row = told[name].is_infinite().arg_max()
        if row is not None and told[name].is_infinite().any():
            raise LabelError(
                f"feature {name!r} is infinite in row {row + 1}; leave the value empty, or put the "
                "largest that means something"
            )
    return told.to_numpy()


def _held_out(fold: NDArray[np.int64], truth: NDArray[np.bool_], group: str | None) -> None:
    """Raise where what is not held out cannot teach both kinds."""
    for number in np.unique(fold):
        left = truth[fold != number]
        if left.all() or not left.any():
            raise LabelError(
                f"without one part of the groups in {group!r} there are no pairs of one kind left "
                "to learn from; group by something that more pairs differ in"
            )
