"""Train a match-probability model of one reconciliation from manual decisions.

Three models are held against each other on labelled events that they have not seen (folds of
connected components; the latest quarter once more, by a model of the earlier part):

* `unsupervised`: Splink's odds, learned from the open rows alone;
* `odds`: the same, with the labels taken as true in EM;
* `classifier`: a logistic regression over levels, lead, rank, rarity, lag and amount ratio, which
  corrects the chance that `odds` gives a pair.

The rule by which one is chosen (`choose`), in order:

1. Without a usable label it is `unsupervised`.
2. Below 30 labelled events that models answer nothing is measured: `odds`.
3. Where labels make the odds worse by more than the interval says chance can, `unsupervised`.
4. `classifier` where all of this holds, else `odds`: at least 200 labelled events; at least 20
   picked pairs known to be right and 20 known to be wrong; its mean log-loss is lower by more
   than the 95 % interval over components; it does not find fewer true pairs where 99 of 100 are
   right; it is no worse on the latest events; and, where no label says that an event has no
   counterpart, the model expects nearly every event to have one.

Whatever is chosen is a candidate: nothing scores with it before it is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.matching import stored
from recon_kit.model import StoredModel
from recon_kit.settings import Reconciliation
from recon_kit.tuning import calibrate, card, heldout, lessons, measure, supported
from recon_kit.tuning.examples import Examples
from recon_kit.tuning.heldout import Plan
from recon_kit.tuning.lessons import Lessons
from recon_kit.tuning.supported import COMPARE_EACH_MIN, COMPARE_MIN, MEASURE_MIN

# Where so many events are expected to have no counterpart, labels must name some of them.
LONE_SHARE_MAX = 0.1
UNSUPERVISED, ODDS, CLASSIFIER = "unsupervised", "odds", "classifier"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Training:
    """A trained model and its card (which is stored in it)."""

    model: StoredModel
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured on held-out events; empty where there were too few.

    `measured` is the number of events of whose answers labels tell right from wrong; `figures` has
    model, on (folds, latest), metric, value, low, high; `gains` the fall of the log-loss with its
    interval, by comparison; `found` the held-out answers of the folds; `right` and `wrong` count
    the picked pairs that are labelled.
    """

    measured: int = 0
    plan: Plan | None = None
    found: pl.DataFrame | None = None
    figures: pl.DataFrame = field(default_factory=pl.DataFrame)
    gains: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    right: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Which model, and the sentence that says why."""

    kind: str
    said: str


def train(  # noqa: PLR0913 - what a training depends on, by name
    engine: Engine,
    rec: Reconciliation,
    known: Examples,
    seed: int | None = None,
    *,
    start: StoredModel | None = None,
    progress: Progress = lambda _: None,
) -> Training:
    """Train on labels, and say on a card what the result is worth.

    Args:
        engine: as `matching.cascade.leave_open` leaves it.
        rec: the reconciliation.
        known: the labels (`examples.examples`).
        seed: of every draw; the setting's seed if not given.
        start: the model that `leave_open` returned: terms and no odds.
        progress: told each stage.

    Raises:
        MatchingError: the two sides have nothing that could be compared.
    """
    progress(f"{rec.name}: learning without labels")
    work = Lessons(engine, rec, known, start, seed)
    trial = _try(work, progress)
    choice = choose(work, trial)
    progress(f"{rec.name}: the final model")
    final = work.unlabelled if choice.kind == UNSUPERVISED else work.learn(work.rows)
    scored = work.score(final)
    if choice.kind == CLASSIFIER and trial.plan is not None:
        fitted = heldout.train_classifier(work, trial.plan, scored, work.rows)
        if fitted is not None:
            final = replace(final, classifier=lessons.as_stored(*fitted))
    calibrated = _calibration(work, trial, choice)
    final = replace(final, calibration=calibrated.stored)
    seen = _standing(work, trial)
    told = card.write(work, known, card.Story(
        final=final, choice=choice.kind, why=choice.said, calibration=calibrated.said,
        supports=supported.sentences(seen), figures=trial.figures, gains=trial.gains,
        plan=trial.plan, reliability=_reliability(trial, choice),
        missing=supported.missing(seen.events), lacking=supported.lacking(seen),
    ))  # fmt: skip
    model = stored.write(rec.name, replace(final, card=told))
    return Training(model, told)


def _try(work: Lessons, progress: Progress) -> Trial:
    """Measure all three models on events they have not seen."""
    if work.events.height < MEASURE_MIN or not work.learnable:
        return Trial()
    # the scoring without labels decides what hangs together
    work.score(work.unlabelled)
    planned = heldout.plan(work)
    progress(f"{work.rec.name}: {work.events.height:,} labelled events, held out in turn")
    before = heldout.unlabelled(work, planned, work.unlabelled)
    measured = _answered(before)
    if measured < MEASURE_MIN:
        return Trial(measured)
    found = heldout.cross(work, planned, progress)
    progress(f"{work.rec.name}: held out, the latest")
    late = heldout.latest(work, planned)
    if late is not None and _answered(late) < MEASURE_MIN:
        late = None
    told, truth = heldout.picked(found, "odds")
    sets = [(UNSUPERVISED, "folds", before, "odds", True), (ODDS, "folds", found, "odds", True)]
    sets += [(ODDS, "latest", late, "odds", False)] if late is not None else []
    if found.filter(pl.col("odds").is_not_null())["classifier"].null_count() == 0:
        sets.append((CLASSIFIER, "folds", found, "classifier", True))
        if late is not None and late.filter(pl.col("classifier").is_not_null()).height:
            sets.append((CLASSIFIER, "latest", late, "classifier", False))
    figures, loss = [], {}
    for name, on, rows, column, crossed in sets:
        held, event = heldout.measured(rows, planned, column, crossed=crossed)
        loss[name, on] = measure.by_event(held, event)
        figures.append(
            measure.figures(held, work.seed).select(
                pl.lit(name).alias("model"), pl.lit(on).alias("on"), pl.all()
            )
        )
    gains = {
        f"{after} over {first}, {on}": measure.loss_gain(
            loss[first, on], loss[after, on], work.seed
        )
        for first, after in ((UNSUPERVISED, ODDS), (ODDS, CLASSIFIER))
        for on in ("folds", "latest")
        if (first, on) in loss and (after, on) in loss
    }
    right = int(truth.sum())
    return Trial(measured, planned, found, pl.concat(figures), gains, right, len(told) - right)


def _answered(found: pl.DataFrame) -> int:
    """How many labelled events were answered with something that labels call right or wrong."""
    return found.filter(pl.col("truth").is_not_null())["left_key"].n_unique()


def choose(work: Lessons, trial: Trial) -> Choice:
    """Which model, by the rule in the head of this module."""
    events = work.events.height
    if work.rows.is_empty():
        return Choice(
            UNSUPERVISED, "no label could be used, so it learned from the open events alone"
        )
    if not work.learnable:
        return Choice(UNSUPERVISED, "there are too few open events for labels to teach anything")
    if events < MEASURE_MIN:
        return Choice(
            ODDS, f"it learned from {events:,} labelled events; {MEASURE_MIN} could be measured"
        )
    if trial.measured < MEASURE_MIN:
        return Choice(
            ODDS,
            f"it learned from {events:,} labelled events, but labels tell right from wrong for "
            f"{trial.measured:,} of its answers alone; {MEASURE_MIN} could be measured",
        )
    _, _, high = trial.gains[f"{ODDS} over {UNSUPERVISED}, folds"]
    if high < 0:
        return Choice(
            UNSUPERVISED,
            "with labels it answered events held out worse, by more than chance can: some labels "
            "may be wrong, or contradict one another",
        )
    doubt = _too_little(work, trial)
    return Choice(ODDS, doubt) if doubt else _compared(trial)


def _too_little(work: Lessons, trial: Trial) -> str:
    """Why a classifier cannot be compared; empty where it can."""
    events = work.events.height
    if events < COMPARE_MIN:
        return f"a classifier is compared from {COMPARE_MIN} labelled events on; {events:,} are"
    if min(trial.right, trial.wrong) < COMPARE_EACH_MIN:
        return (
            f"of its labelled answers {trial.right:,} are right and {trial.wrong:,} "
            f"wrong; a classifier is compared from {COMPARE_EACH_MIN} of each on"
        )
    if _blind(work):
        return _BLIND
    if f"{CLASSIFIER} over {ODDS}, folds" not in trial.gains:
        return "some folds held too few pairs of either kind to train a classifier"
    return ""


def _compared(trial: Trial) -> Choice:
    """The classifier, or the odds where it is not surely better."""
    gain, low, high = trial.gains[f"{CLASSIFIER} over {ODDS}, folds"]
    later, _, _ = trial.gains.get(f"{CLASSIFIER} over {ODDS}, latest", (0.0, 0.0, 0.0))
    said = f"the classifier {_lowers(gain, low, high)}"
    if low <= 0:
        return Choice(ODDS, f"{said}: {'it is surely worse' if high < 0 else 'no sure gain'}")
    if _reach(trial, CLASSIFIER) < _reach(trial, ODDS):
        return Choice(ODDS, f"{said}, but finds fewer true pairs where 99 of 100 are right")
    if later < 0:
        return Choice(ODDS, f"{said}, but not on the latest events ({later:+.4f})")
    return Choice(CLASSIFIER, said)


def _lowers(gain: float, low: float, high: float) -> str:
    """What became of the log-loss, with the interval of its fall."""
    return (
        f"{'lowers' if gain >= 0 else 'raises'} the log-loss by {abs(gain):.4f} (its fall: 95 % "
        f"between {low:+.4f} and {high:+.4f})"
    )


_BLIND = (
    "no label says that an event has no counterpart, and the model expects that many have none: "
    "what tells them apart cannot have been learned"
)


def _blind(work: Lessons) -> bool:
    """Whether labels show only events with a counterpart where many have none."""
    named_none = (work.events["kind"] == "none").any()
    return not named_none and 1 - work.unlabelled.share >= LONE_SHARE_MAX


def _standing(work: Lessons, trial: Trial) -> supported.Standing:
    """What there is to judge the model by."""
    return supported.Standing(
        work.events.height, frozenset(work.events["kind"]), trial.measured, trial.right,
        trial.wrong, compared=not _too_little(work, trial), blind=_blind(work),
        unspoken=supported.unspoken(work),
    )  # fmt: skip


def _reach(trial: Trial, model: str) -> float:
    rows = trial.figures.filter(
        (pl.col("model") == model)
        & (pl.col("on") == "folds")
        & (pl.col("metric") == "recall_at_precision_99")
    )
    return float(rows["value"][0] or 0.0)


def _calibration(work: Lessons, trial: Trial, choice: Choice) -> calibrate.Calibrated:
    """Calibrate the chosen model on what its held-out twins said: labels it was not trained on.

    Kept only where it surely lowers the log-loss of folds it was not fitted to: a staircase costs
    resolution, and a model that is right about itself gains nothing for it.
    """
    if trial.found is None or trial.plan is None:
        return calibrate.Calibrated(None, "not calibrated: too few labels")
    if choice.kind == UNSUPERVISED:
        return calibrate.Calibrated(None, "not calibrated, as labels that mislead would be used")
    if _blind(work):
        return calibrate.Calibrated(None, f"not calibrated: {_BLIND}")
    fitted = calibrate.calibrate(*heldout.picked(trial.found, choice.kind))
    if fitted.stored is None:
        return fitted
    before, after = (
        heldout.losses(trial.found, trial.plan, choice.kind, crossed=crossed)
        for crossed in (False, True)
    )
    gain, low, high = measure.loss_gain(before, after, work.seed)
    moved = _lowers(gain, low, high)
    if low <= 0:
        return calibrate.Calibrated(
            None, f"not calibrated: {fitted.said}, {moved}; the probabilities stay as they are"
        )
    return calibrate.Calibrated(fitted.stored, f"{fitted.said}, {moved}")


def _reliability(trial: Trial, choice: Choice) -> Mapping[str, pl.DataFrame]:
    """Reliability of held-out picks before and after calibration (each fold by the others)."""
    if trial.found is None or trial.plan is None:
        return {}
    told = CLASSIFIER if choice.kind == CLASSIFIER else ODDS
    found = {}
    for name, crossed in (("before", False), ("after", True)):
        held, _ = heldout.measured(trial.found, trial.plan, told, crossed=crossed)
        said = ~pl.Series(held.probability).is_nan().to_numpy()
        found[name] = calibrate.reliability(held.probability[said], held.truth[said])
    return found
