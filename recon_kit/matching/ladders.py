"""Ladders of levels: what a comparison is, how Splink reads it, how a score is told.

A comparison is a ladder of levels, tried from the top; a pair stands on the first that holds.
Conditions are DuckDB SQL over `l.` and `r.`, the rows of both sides as `features` prepares them,
and read the same in a plain join and, through `splink_settings`, in Splink.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Lengths of the shared start of two texts, and the classes of how rare a text or amount is:
# class k holds what fewer than one row in 2^k has.
STARTS: tuple[int, ...] = (*range(3, 17), 18, 20, 24, 28, 36)
RARITY: tuple[int, ...] = (14, 12, 10, 8, 6, 4, 2, 0)
RARE_MAX = 16
# A side as it stands in a label; no article goes before it where a word of its own follows.
_SIDE = re.compile(r"\b(left|right)\b(?=( name| text| number)?)")
_SHARED_WORD = re.compile(r"\blist_has_any\(l\.words, r\.words\)")
_LIKENESS = re.compile(r"(\bjaro_winkler_similarity\(l\.\w+, r\.\w+)\) >= (0\.\d+)")
_CUT_BELOW = 0.002
# Amounts (minor units) and rates (basis points) below these multiply within 64 bits.
_SMALL, _RATE_SMALL = 10**13, 10**5
_NARROW, _WIDE = "l.amount", "l.amount::hugeint"
_QUICK = re.compile(r"jaro_winkler_similarity\(l\.\w+, r\.\w+, 0\.\d+\) >= 0\.\d+(?= and )")
_DAYS = re.compile(
    r"floor\(\((?P<gap>r\.(?P<at>ts|noon) - l\.(?P=at)) \+ 43200\) / 86400\)"
    r" (?:= (?P<day>-?\d+)|between (?P<first>-?\d+) and (?P<last>-?\d+))"
)
# A column of either row in a condition.
COLUMN = re.compile(r"\b([lr])\.([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Level:
    """One step of a comparison. `sql` is None for the last one, which takes all that is left.

    `key` names a column that is equal on both sides for every pair on the level: such pairs can be
    counted through a join, however rare they are among random pairs. `m_max` is the most that
    learning may come to believe of true pairs.
    """

    label: str
    sql: str | None
    m: float
    u: float
    key: str | None = None
    m_max: float = 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ladder of levels over one subject; `null_sql` says when there is nothing to compare.

    `beyond` is the place of a level and a condition: where it holds, neither that level nor one
    below it does, but for the last. Most pairs of strangers are turned down there, before they
    climb through all levels; it changes no answer, so it is no part of a stored model.
    """

    name: str
    label: str
    null_sql: str
    levels: tuple[Level, ...]
    beyond: tuple[int, str] | None = field(default=None, compare=False)

    def level_sql(self) -> str:
        """Expression over `l` and `r`: the number of the level from 0 at the top, -1 if null."""
        last = len(self.levels) - 1
        steps = [(quick_sql(level.sql), i) for i, level in enumerate(self.levels) if level.sql]
        if self.beyond:
            place, sql = self.beyond
            steps.insert(place, (quick_sql(sql), last))
        return _case_sql([(self.null_sql, -1), *steps], last)


def _case_sql(steps: Sequence[tuple[str, int]], last: int) -> str:
    """The first step that holds, else the last level.

    DuckDB works a condition out anew in every step. A likeness that two steps begin with is asked
    once: below the first of them the steps stand twice, where it holds and where it does not.
    """
    begins = [found[0] if (found := _QUICK.match(sql)) else "" for sql, _ in steps]
    place, asked = next(
        ((n, one) for n, one in enumerate(begins) if one and begins.count(one) > 1),
        (len(steps), ""),
    )
    told = " ".join(f"when {sql} then {level}" for sql, level in steps[:place])
    if not asked:
        return f"case {told} else {last} end"
    yes = [(sql.replace(asked, "true"), level) for sql, level in steps[place:]]
    no = [step for step, one in zip(steps[place:], begins[place:], strict=True) if one != asked]
    return f"case {told} when {asked} then {_case_sql(yes, last)} else {_case_sql(no, last)} end"


def quick_sql(sql: str) -> str:
    """The same condition, asked so that most pairs are turned down before the costly part of it.

    Lists without a mark in common share no word (`word_marks`, see `features`). Likeness that
    cannot come near its least is not worked out to the end; the cut lies below, so that no
    rounding decides. Days are counted in the seconds at which they begin and end. A fee is reckoned
    in narrow numbers where the amount leaves room for that.
    """
    sql = _DAYS.sub(_seconds_sql, sql)
    if _WIDE in sql:
        small = f"abs({_NARROW}) < {_SMALL} and coalesce(r.usual_bp, 0) < {_RATE_SMALL}"
        sql = f"(case when {small} then {sql.replace(_WIDE, _NARROW)} else {sql} end)"
    sql = _SHARED_WORD.sub(r"((l.word_marks & r.word_marks) <> 0 and \g<0>)", sql)
    return _LIKENESS.sub(lambda f: f"{f[1]}, {float(f[2]) - _CUT_BELOW:.3f}) >= {f[2]}", sql)


def _seconds_sql(found: re.Match[str]) -> str:
    first, last = (int(found[name] or found["day"]) for name in ("first", "last"))
    return f"{found['gap']} between {first * 86400 - 43200} and {last * 86400 + 43199}"


def splink_settings(
    ladders: Sequence[Comparison],
    m: Mapping[str, Sequence[float]],
    u: Mapping[str, Sequence[float]],
    prior: float,
) -> dict[str, Any]:
    """A Splink 5 settings dictionary with every probability set.

    Args:
        ladders: the comparisons.
        m: by comparison name, one probability a level, from the top.
        u: likewise.
        prior: probability that two rows that are both still free belong together.
    """
    return {
        "link_type": "link_only",
        "sql_dialect": "duckdb",
        "unique_id_column_name": "eid",
        "source_dataset_column_name": "source_dataset",
        "probability_two_random_records_match": prior,
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
        "blocking_rules_to_generate_predictions": ["l.eid = r.eid"],
        "linker_uid": "recon_kit",
        "comparisons": [_splink_comparison(c, m[c.name], u[c.name]) for c in ladders],
    }


def _splink_comparison(
    ladder: Comparison, m: Sequence[float], u: Sequence[float]
) -> dict[str, Any]:
    null = {
        "sql_condition": splink_sql(ladder.null_sql),
        "label_for_charts": "nothing to compare",
        "is_null_level": True,
    }
    levels = [
        {
            "sql_condition": splink_sql(level.sql) if level.sql else "ELSE",
            "label_for_charts": level.label,
            "m_probability": m[i],
            "u_probability": u[i],
        }
        for i, level in enumerate(ladder.levels)
    ]
    return {
        "output_column_name": ladder.name,
        "comparison_description": ladder.label,
        "comparison_levels": [null, *levels],
    }


def splink_sql(sql: str) -> str:
    """Conditions over `l.column` and `r.column` in Splink's spelling: `"column_l"`."""
    return COLUMN.sub(lambda found: f'"{found[2]}_{found[1]}"', sql)


def spoken(text: str, left: str, right: str) -> str:
    """Words of a level with what the two events are in place of left and right.

    Args:
        text: such as `right is 15 to 25 % higher`.
        left: what the left event is, such as `order`; the words stay where both are the same.
        right: likewise.
    """
    if left == right:
        return text
    names = {"left": left, "right": right}
    return _SIDE.sub(lambda found: f"{'' if found[2] else 'the '}{names[found[1]]}", text)


def kinds(types: Sequence[str], *, several: bool = False) -> str:
    """What the events of a side are, in words: `payment, refund or bank line`.

    Args:
        types: event types of the side; `other` is any event.
        several: whether more than one is spoken of.
    """
    names = ["event" if t == "other" else t.replace("_", " ") for t in types]
    names = [f"{name}s" if several else name for name in names]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def explain(levels: Mapping[str, str], weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Records for a waterfall: the start, each comparison in order of its weight, and the sum.

    Args:
        levels: comparison name -> label of the level the pair stands on.
        weights: the same names -> match weight in bits, and `prior` -> bits before any evidence.

    Returns:
        Records (step, level, weight, from, to) in bits of log2 odds; `to` of the last is the
        match weight.
    """
    steps = sorted((n for n in weights if n != "prior"), key=lambda n: (-abs(weights[n]), n))
    at = 0.0
    records: list[dict[str, Any]] = []
    for name in (["prior"] if "prior" in weights else []) + steps:
        to = round(at + weights[name], 6)
        level = "before any evidence" if name == "prior" else levels.get(name, "")
        records.append(
            {"step": name, "level": level, "weight": weights[name], "from": at, "to": to}
        )
        at = to
    records.append({"step": "match weight", "level": "", "weight": at, "from": 0.0, "to": at})
    return records
