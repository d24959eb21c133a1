"""What labels support, in words: which figures there can be, and what these labels cannot tell.

| labelled events | allow |
| --- | --- |
| none | a model learned from the open events alone |
| fewer than 30 | to learn from them |
| 30 | figures on events held out, with wide intervals |
| 200 | a comparison with a classifier, where 20 picked pairs of either kind are labelled |
| any, 1,000 | a calibration by a line, by a staircase; where 10 pairs of either kind are labelled |

What is not there is never said to be: neither a comparison that one kind of pair forbids, nor a
word on currencies and sources that no label speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.tuning import calibrate
from recon_kit.tuning.lessons import Lessons

MEASURE_MIN = 30
COMPARE_MIN = 200
COMPARE_EACH_MIN = 20
UNSPOKEN_MIN = 0.01  # a smaller share of the open events is not worth a sentence


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to judge by.

    `events` labelled, of `kinds` (counterpart, none, not_this); `measured` of them answered with
    something that labels call right or wrong; `right` and `wrong` picked pairs; whether a
    classifier was `compared`; `blind` where labels name no event without counterpart though many
    have none; `unspoken` as the function of that name tells.
    """

    events: int
    kinds: frozenset[str] = frozenset()
    measured: int = 0
    right: int = 0
    wrong: int = 0
    compared: bool = False
    blind: bool = False
    unspoken: tuple[str, ...] = ()


def missing(events: int) -> int:
    """How many more labelled events open the next step; 0 where all of them are open."""
    steps = (MEASURE_MIN, COMPARE_MIN, calibrate.ISOTONIC_MIN)
    return next((step - events for step in steps if events < step), 0)


def lacking(seen: Standing) -> str:
    """Which labels would tell more than further ones of the same kind; empty where none would."""
    if seen.events < MEASURE_MIN:
        return ""
    if "counterpart" not in seen.kinds:
        return "labels that name a counterpart"
    if seen.blind:
        return "labels of events that have no counterpart"
    if min(seen.right, seen.wrong) < calibrate.EACH_MIN:
        return f"labels of pairs that it would match and that are {_scarce(seen)}"
    return ""


def _scarce(seen: Standing) -> str:
    return "not the same" if seen.wrong <= seen.right else "the same"


def sentences(seen: Standing) -> tuple[str, ...]:
    """What so many labels of these kinds allow one to say."""
    said = [_allowed(seen)]
    if seen.events and "counterpart" not in seen.kinds:
        said.append("No label names a counterpart: how many of them are found cannot be known.")
    if seen.events and "none" not in seen.kinds:
        said.append(
            "No label says that an event has no counterpart: nothing here tells how often such an "
            "event would be matched."
        )
    said += seen.unspoken
    if seen.measured < MEASURE_MIN:
        return tuple(said)
    if min(seen.right, seen.wrong) < calibrate.EACH_MIN:
        said.append(
            f"Of its labelled answers {seen.right:,} are right and {seen.wrong:,} wrong: where the "
            "probabilities are too high or too low cannot be seen."
        )
    said.append("These labels are no random draw: no promise rests on the figures.")
    return tuple(said)


def _allowed(seen: Standing) -> str:
    """The first sentence: which of figures, comparison and calibration there are."""
    events = f"{seen.events:,} labelled events"
    if seen.events == 0:
        return "No label: it learned from the open events alone. How often it is right is unknown."
    if seen.events < MEASURE_MIN:
        return (
            f"{events}: it learned from them. From {MEASURE_MIN} on there are figures, from "
            f"{COMPARE_MIN} on a classifier is compared."
        )
    if seen.measured < MEASURE_MIN:
        return (
            f"{events}: no figures, as labels tell right from wrong for {seen.measured:,} of its "
            f"answers alone. From {MEASURE_MIN} on there are some."
        )
    if seen.events < COMPARE_MIN:
        return (
            f"{events}: figures with wide intervals; a classifier is compared from "
            f"{COMPARE_MIN} on."
        )
    told = ["figures"]
    if seen.compared:
        told.append("a comparison with a classifier")
    if min(seen.right, seen.wrong) >= calibrate.EACH_MIN and not seen.blind:
        pairs = seen.right + seen.wrong
        by = "staircase" if pairs >= calibrate.ISOTONIC_MIN else "line"
        told.append(f"a calibration by a {by}")
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    return f"{events}: {listed}{'' if len(told) > 1 else ' alone'}."


def unspoken(work: Lessons) -> tuple[str, ...]:
    """Sentences on the currencies and sources of open left events that no label speaks of."""
    work.engine.put("labelled_keys", work.events.select("left_key"))
    told = work.engine.rows("from open_left limit 0").columns
    said = []
    for name, words in (("currency", "in {}"), ("source", "of the source {}")):
        if name not in told:
            continue
        each = work.engine.rows(
            f"""select {name}, count(*) as open,
                count(*) filter (event_key in (select left_key from labelled_keys)) as labelled
            from open_left where {name} is not null group by all order by all"""
        )
        silent = each.filter(pl.col("labelled") == 0).sort(name)
        share = int(silent["open"].sum()) / max(work.sizes[0], 1)
        if not work.events.is_empty() and share >= UNSPOKEN_MIN:
            *others, last = silent[name]
            listed = f"{', '.join(others)} or {last}" if others else last
            said.append(
                f"No label speaks of an event {words.format(listed)}, which {share:.0%} of the "
                "open left events are: nothing here tells how good it is there."
            )
    return tuple(said)
