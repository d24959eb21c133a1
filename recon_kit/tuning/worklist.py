"""The order of the work stream: what a label is worth, per minute of a person's time.

A label is worth the money that would be misjudged without it. Decide a pair of probability p by a
threshold t and the expected loss is `min(p (1 - t), (1 - p) t)` of its amount, as t is where both
kinds of error cost the same; that is largest at the threshold and falls to nothing where the
system is sure. Relative to its largest value this is the *doubt* of a question, from 0 to 1:

    doubt = min(p / t, (1 - p) / (1 - t))      stake = amount x doubt x t (1 - t)

Value is stake per minute of review, amounts taken relative to the middle amount of their currency
so that currencies can stand in one queue. Two rules keep the queue from asking one thing again and
again: patterns of agreement take turns (the n-th question of a pattern counts 1/n, as seats are
dealt by D'Hondt), and the second question about one customer, or about one component of rivals,
comes after the first of every other.

Drawn audit items stand at random places among the first of them, as do as many ordinary questions
that are asked blind as well, so that nothing about a question tells which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from recon_kit import money

MINUTES_FIRST, MINUTES_MORE = 1.0, 0.25  # a question with one candidate; each further candidate
MIXED_AMONG = 20  # audit items stand among this many questions at least
ENOUGH = 0.95  # of the stake: what remains is the tail that no longer pays
WORTH_SCHEMA: dict[str, pl.DataType] = {
    "doubt": pl.Float64(), "stake_minor": pl.Int64(), "minutes": pl.Float64(),
    "value": pl.Float64(), "turn": pl.Int64(), "tier": pl.Int64(), "decoy": pl.Boolean(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stop:
    """When further labels stop paying: after `items` questions, of which the sentence tells why."""

    items: int
    said: str


def order(questions: pl.DataFrame, thresholds: Mapping[str, float]) -> pl.DataFrame:
    """Put questions in the order in which they should be asked.

    Args:
        questions: `question_id, reconciliation, stream (work or audit), confidence, amount_minor,
            currency, candidates` (how many), `pattern` (of agreement), `customer, component` (what
            makes two questions related, either may be null) and `u` (a secret random number from
            0 to 1 for each question).
        thresholds: by reconciliation the confidence from which pairs are matched.

    Returns:
        The questions with the columns of `WORTH_SCHEMA`, first to be asked first. `stake_minor` is
        null where the amount is unknown; `decoy` marks ordinary questions that are asked blind.
    """
    work = _worth(questions.filter(pl.col("stream") != "audit"), thresholds)
    ranked = work.sort("tier", pl.col("value") / pl.col("turn"), "question_id",
                       descending=[False, True, False])  # fmt: skip
    audit = questions.filter(pl.col("stream") == "audit")
    among = min(max(MIXED_AMONG, 4 * audit.height), work.height)
    early = pl.int_range(pl.len()) < among
    blind = early & (pl.col("u").rank("ordinal").over(early) <= audit.height)
    placed = ranked.with_columns(place=pl.int_range(pl.len()) + 0.5, decoy=blind)
    # Twice as many places as there are questions to stand among: they are dealt evenly.
    mixed = audit.with_columns(place=pl.col("u") * max(among, 1), decoy=pl.lit(False))
    every = pl.concat([placed, mixed], how="diagonal").sort("place", "question_id")
    return every.select(
        *questions.columns,
        *(pl.col(name).cast(kind) for name, kind in WORTH_SCHEMA.items()),
    )


def stop(ordered: pl.DataFrame, minute_cost: Mapping[str, int] | None = None) -> Stop:
    """How many of the questions are worth asking, in words with the numbers.

    Args:
        ordered: what `order` returned.
        minute_cost: by currency, what a minute of review costs in minor units. Without it, asking
            stops where the rest holds 5 % of the money that labels can settle.
    """
    work = ordered.filter((pl.col("stream") != "audit") & (pl.col("stake_minor") > 0))
    if work.is_empty():
        return Stop(0, "No question is worth asking: nothing that is open is in doubt.")
    stake = pl.col("stake_minor")
    share = stake.rank("ordinal", descending=True).over("currency")
    by_size = work.with_columns(place=share).sort("currency", "place")
    told = by_size.with_columns(
        before=(stake.cum_sum() - stake).over("currency"), whole=stake.sum().over("currency")
    )
    if minute_cost:
        costs = pl.col("currency").replace_strict(
            dict(minute_cost), default=None, return_dtype=pl.Int64
        )
        keep = stake >= costs * pl.col("minutes")
    else:
        keep = pl.col("before") < ENOUGH * pl.col("whole")
    kept = told.with_columns(keep=keep.fill_null(False))
    items = int(kept["keep"].sum())
    sums = kept.group_by("currency").agg(
        now=stake.filter("keep").sum(), rest=stake.filter(~pl.col("keep")).sum()
    )
    amounts = [_sums(sums, name) for name in ("now", "rest")]
    rest = work.height - items
    minutes = float(kept.filter("keep")["minutes"].sum())
    why = "a minute of review costs more" if minute_cost else f"that is the last {1 - ENOUGH:.0%}"
    tail = (
        f" The other {rest:,} {'holds' if rest == 1 else 'hold'} {amounts[1]} together: {why}, "
        "so more labels stop paying there."
        if rest
        else ""
    )
    return Stop(
        items,
        f"{_counted(items, 'question')} {'settles' if items == 1 else 'settle'} {amounts[0]} that "
        f"may be misjudged, in about {_counted(max(1, round(minutes)), 'minute')}.{tail}",
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _sums(sums: pl.DataFrame, name: str) -> str:
    parts = [
        money.display(int(minor), currency)
        for currency, minor in sums.sort("currency").select("currency", name).iter_rows()
        if currency is not None and minor
    ]
    return " and ".join(parts) or "nothing"


def _worth(work: pl.DataFrame, thresholds: Mapping[str, float]) -> pl.DataFrame:
    """Doubt, stake, minutes, value, turn within the pattern and tier of ordinary questions."""
    t = (
        pl.col("reconciliation")
        .replace_strict(dict(thresholds), default=0.95, return_dtype=pl.Float64)
        .clip(0.01, 0.99)
    )
    # Equal answers without a score share one chance; a match held back by policy is a coin to us.
    p = pl.col("confidence").fill_null(1 / (1 + pl.col("candidates").clip(1))).clip(0.0, 1.0)
    amount = pl.col("amount_minor").abs()
    typical = amount.median().over("currency")
    told = work.with_columns(
        doubt=pl.min_horizontal(p / t, (1 - p) / (1 - t)),
        minutes=MINUTES_FIRST + MINUTES_MORE * (pl.col("candidates") - 1).clip(0),
        weight=pl.when(typical > 0).then(amount / typical).otherwise(1.0).fill_null(1.0),
    ).with_columns(
        stake_minor=(amount * pl.col("doubt") * t * (1 - t)).round().cast(pl.Int64),
        value=pl.col("weight") * pl.col("doubt") * t * (1 - t) / pl.col("minutes"),
    )
    # One order everywhere: by value, ties by id, so that ranks are the same on every machine.
    told = told.sort("value", "question_id", descending=[True, False])
    related = [
        pl.when(pl.col(name).is_null()).then(1).otherwise(pl.int_range(1, pl.len() + 1).over(name))
        for name in ("customer", "component")
    ]
    return told.with_columns(tier=pl.max_horizontal(related)).with_columns(
        turn=pl.int_range(1, pl.len() + 1).over("pattern", "tier")
    )
