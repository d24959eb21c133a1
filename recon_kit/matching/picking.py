"""From all answers of a method to what is matched, what is asked, and what is undecidable.

One answer alone, whose items no other lump claims and which is not to be expected by chance, may be
a match if the method may match by itself. All else is a question. Of several equally good answers
the `SHOWN_MAX` most plausible are shown, ranked by how close together their items lie in time, how
close to the lump, and how far their fees are from the usual one. The ranking is told and never
used to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import answers, canary
from recon_kit.matching.authority import Authority
from recon_kit.matching.lumps import Pile
from recon_kit.matching.runs import Ints
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

SHOWN_MAX = 3
_LUMPS = "select eid, event_key as component from asked_lumps join pool using (eid)"
# The items of answers that a certificate judges; those of other answers may stand in several.
_ITEMS = """
select p.eid, l.event_key as component from found_parts p join found f using (aid)
join pool l on l.eid = f.one_eid
where f.why_code is null or f.why_code in ('below_floor', 'uncertified')"""
_DAY = 86_400_000_000  # microseconds
CANDIDATES: dict[str, pl.DataType] = {
    "aid": pl.Int64(), "one_eid": pl.Int64(), "currency": pl.String(), "one_sum": pl.Int64(),
    "size": pl.Int64(), "span": pl.Int64(), "gap": pl.Int64(), "fee_off_bp": pl.Int64(),
    "rivals": pl.Int64(),
}  # fmt: skip
TALLIES: dict[str, pl.DataType] = {
    "one_eid": pl.Int64(), "equal_answers": pl.Int64(), "items": pl.Int64(),
    "chance": pl.Float64(), "residual": pl.Boolean(),
}  # fmt: skip
PARTS: dict[str, pl.DataType] = {"aid": pl.Int64(), "eid": pl.Int64(), "v": pl.Int64()}


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a method found.

    `candidates` are answers in the columns of `CANDIDATES` (`span` and `gap` in microseconds,
    `rivals` other lumps that claim one of the items), `tallies` one row per lump and pile with
    how many answers there are, listed or not, among how many items, how many chance would give,
    and whether the lump is a residual. `parts` makes the items of the answers it is asked for, in
    the columns of `PARTS`. `kind` is what was counted: runs or sets.
    """

    kind: Literal["run", "set"]
    candidates: pl.DataFrame
    tallies: pl.DataFrame
    parts: Callable[[pl.DataFrame], pl.DataFrame]


def settle(
    engine: Engine, rec: Reconciliation, method: str, found: Findings, allowed: Authority
) -> bool:
    """Match, ask, or note as undecided; returns whether a match was made."""
    tallies = found.tallies.group_by("one_eid").agg(
        pl.col("equal_answers").sum(),
        pl.col("items").sum(),
        pl.col("chance").sum(),
        pl.col("residual").any(),
    )
    every = found.candidates.join(tallies, on="one_eid")
    lone = (pl.col("equal_answers") == 1) & (pl.col("size") < size_min(rec, method))
    lone &= ~pl.col("residual")
    asked = every.filter(~lone)
    engine.put("asked_lumps", asked.select(eid="one_eid").unique(maintain_order=True))
    canary.choose(engine, method, allowed, _LUMPS)
    each = canary.parts(engine, method, allowed, asked, "one_eid")
    known = pl.concat([_judged(rows, found.kind, may) for rows, may in each])
    engine.put("found", known)
    engine.put("found_parts", found.parts(known))
    canary.choose(engine, method, allowed, _ITEMS)
    told = every["one_eid"].unique().implode()
    left = tallies.filter(pl.col("equal_answers") > 0, ~pl.col("one_eid").is_in(told))
    note(engine, found.kind, "ambiguous", left.select("one_eid", number="equal_answers"))
    return answers.settle(engine, rec, method) > 0


def size_min(rec: Reconciliation, method: str) -> int:
    """The fewest items of an answer: a single one is for `window`, where that is on."""
    return 1 if method == "decomposed" and not rec.window_method.enabled else 2


def note(engine: Engine, kind: str, why_code: str, lumps: pl.DataFrame) -> None:
    """Remember lumps (`one_eid, number`) without an answer to show; the last word counts.

    `kind` is what was to be counted, `run` or `set`, `number` how many there are, or of how many
    items where they are undecidable.
    """
    engine.put("lumps_noted", lumps)
    engine.run(
        Step(
            f"{kind}s.undecided",
            f"""
delete from undecided where eid in (select one_eid from lumps_noted);
insert into undecided
select {quote_text(kind)}, one_eid, {quote_text(why_code)}, number from lumps_noted""",
            "told as a number where there is nothing to show",
        )
    )


def _judged(rows: pl.DataFrame, kind: str, allowed: Authority) -> pl.DataFrame:
    """The answers to match or to show, in the columns of `answers`' table `found`."""
    several = (pl.col("equal_answers") > 1) | (pl.col("rivals") > 0)
    equal = pl.when(pl.col("equal_answers") > 1).then("equal_answers").otherwise(
        pl.col("rivals") + 1
    )  # fmt: skip
    rank = pl.struct("span", "gap", "fee_off_bp", "aid").rank("ordinal").over("one_eid")
    confidence = (1 / (pl.col("equal_answers") + pl.col("rivals") + pl.col("chance"))).round(6)
    rows = rows.with_columns(rank=rank.cast(pl.Int64), confidence=confidence)
    uncertified = pl.lit(None, pl.String) if allowed.alone else pl.lit("uncertified")
    why = (
        pl.when(several).then(pl.lit("ambiguous"))
        .when(pl.col("chance") > answers.CHANCE_MAX).then(pl.lit("chance"))
        .when(pl.col("confidence") < allowed.threshold).then(pl.lit("below_floor"))
        .when(pl.col("residual")).then(pl.lit("residual"))
        .otherwise(uncertified)
    )  # fmt: skip
    levels = pl.struct(
        pl.lit(kind).alias("kind"), pl.col("rank"), pl.col("items"),
        pl.col("chance").round(6).alias("expected_by_chance"),
        (pl.col("span") / _DAY).round(2).alias("span_days"),
        (pl.col("gap") / _DAY).round(2).alias("gap_days"), pl.col("fee_off_bp"),
    ).struct.json_encode()  # fmt: skip
    return rows.filter(pl.col("rank") <= SHOWN_MAX).select(
        "aid", "one_eid", "currency", "one_sum", "confidence", why_code=why,
        equal_answers=equal, levels=levels,
    )  # fmt: skip


def fee_distance(pile: Pile) -> Ints:
    """For each item how many basis points its fee is from the usual one of the pile; 0: untold."""
    fees = pile.items["fee_bp"]
    usual = fees.median()
    away = (fees - (usual if isinstance(usual, (int, float)) else 0)).abs().fill_null(0)
    return np.asarray(away.round().to_numpy(), dtype=np.int64)


def gaps(first: Ints, last: Ints, at: Ints) -> Ints:
    """Microseconds from a lump's time to the nearest end of its items' time."""
    outside: Ints = np.maximum(first - at, at - last)
    return np.where(outside > 0, outside, 0)


def empty(kind: dict[str, pl.DataType]) -> pl.DataFrame:
    """No rows of `CANDIDATES`, `TALLIES` or `PARTS`."""
    return pl.DataFrame(schema=kind)
