"""What the probabilistic method compares, as data: fields, levels, SQL conditions, default odds.

A comparison is a ladder of levels, tried from the top; a pair stands on the first that holds.
Conditions are DuckDB SQL over `l.` and `r.`, the columns that `features` prepares for both sides,
and read the same in a plain join and, through `splink_settings`, in Splink. Default `m` (share of
true pairs on the level) and `u` (share of random pairs) are used as written where there is too
little data to learn from, and as a weak opinion where there is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recon_kit.settings import Duration

# Lengths of the shared start of two texts, and the classes of how rare a text or amount is:
# class k holds what fewer than one row in 2^k has.
STARTS: tuple[int, ...] = (*range(3, 17), 18, 20, 24, 28, 36)
RARITY: tuple[int, ...] = (14, 12, 10, 8, 6, 4, 2, 0)
RARE_MAX = 16
_PERMILLE: tuple[int, ...] = (5, 10, 20, 35, 60, 100, 150, 250)  # bands of amounts that differ
# Bands of whole days after the left event, by their last day, with the default share of true pairs
_AFTER: tuple[tuple[int, float], ...] = (
    (0, 0.12), (1, 0.12), (2, 0.1), (3, 0.08), (4, 0.05), (5, 0.04), (6, 0.03), (8, 0.03),
    (11, 0.03), (15, 0.02), (21, 0.02), (31, 0.02), (62, 0.01),
)  # fmt: skip

_COLUMN = re.compile(r"\b([lr])\.([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Level:
    """One step of a comparison. `sql` is None for the last one, which takes all that is left."""

    label: str
    sql: str | None
    m: float
    u: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ladder of levels over one subject; `null_sql` says when there is nothing to compare.

    `key` names a column that is equal on both sides on every level above `loose`: pairs on such
    levels can be counted through a join, however rare they are among random pairs.
    """

    name: str
    label: str
    null_sql: str
    levels: tuple[Level, ...]
    key: str | None = None
    loose: int = 0

    def level_sql(self) -> str:
        """Expression over `l` and `r`: the number of the level from 0 at the top, -1 if null."""
        steps = [f"when {level.sql} then {i}" for i, level in enumerate(self.levels) if level.sql]
        return (
            f"case when {self.null_sql} then -1 {' '.join(steps)} else {len(self.levels) - 1} end"
        )


def comparisons(
    filled: Iterable[str], before: Duration, after: Duration, extra: Sequence[str] = ()
) -> tuple[Comparison, ...]:
    """The comparisons for the fields that both sides fill.

    Args:
        filled: names of feature columns filled on both sides (`amount`, `ts`, `email`, `name`,
            `phone`, `postcode`, `text`, `name_text`, `text_name`, `x0`, ...).
        before: how much earlier than the left event the right one may be.
        after: how much later it may be.
        extra: the declared further fields, in the order of the columns `x0`, `x1`, ...
    """
    has = set(filled)
    found: list[Comparison] = []
    if "amount" in has:
        found.append(_amount(shown="shown" in has))
    if "ts" in has:
        found.append(_lag(days(before), days(after)))
    simple = {"email": _email, "name": _name, "phone": _phone, "postcode": _postcode, "text": _text}
    found += [make() for name, make in simple.items() if name in has]
    for name, own, other, label in (
        ("name_text", "words", "text_words", "left name in right text"),
        ("text_name", "text_words", "words", "left text and right name"),
    ):
        if name in has:
            found.append(_mention(name, own, other, label))
    found += [_further(f"x{i}", field) for i, field in enumerate(extra) if f"x{i}" in has]
    return tuple(found)


def days(span: Duration) -> int:
    """A duration in whole calendar days, rounded up; business time is stretched to its longest.

    Five business days span at most a weekend more; a holiday is allowed for by one further day.
    """
    count = span.count
    if span.unit == "bd":
        return count + 2 * -(-count // 5) + 1
    if span.unit == "bh":
        return days(Duration(count=-(-count // 8), unit="bd"))
    per_day = {"d": 1, "h": 24, "m": 1440}[span.unit]
    return -(-count // per_day)


# --- the ladders ----------------------------------------------------------------------------------
def _amount(*, shown: bool) -> Comparison:
    """Equal (the rarer the amount, the more it says), rounded, or off by a percentage, signed.

    A processor's fee takes 1 to 4 percent and some cents, a currency conversion a few percent
    either way: the bands on the low and the high side are learned apart. Where a side also tells
    what was presented to the customer (`shown`), the amounts in the shared currency are compared.
    """
    left, right, null = "l.amount", "r.amount", "l.currency <> r.currency"
    if shown:
        own = "l.currency in (r.currency, r.shown_currency)"
        left = f"(case when {own} then l.amount else l.shown end)"
        right = (
            "(case when r.currency in (l.currency, l.shown_currency) and "
            f"not ({own} and l.currency <> r.currency) then r.amount else r.shown end)"
        )
        null = f"not coalesce({own} or l.shown_currency in (r.currency, r.shown_currency), false)"
    gap = f"abs({left} - {right})"
    same = f"{left} = {right}"
    levels = [
        Level(f"same amount, fewer than 1 row in {2**k}", f"{same} and l.amount_rare >= {k}", m, u)
        for k, m, u in ((12, 0.12, 2e-5), (9, 0.14, 2e-4), (6, 0.14, 2e-3))
    ]
    levels.append(Level("same amount, a common one", same, 0.12, 0.01))
    levels.append(Level("off by at most 3 minor units", f"{gap} <= 3", 0.05, 1e-4))
    last = 0
    for edge in _PERMILLE:
        band = f"{last / 10:g} to {edge / 10:g} %"
        bound = f"{gap} * 1000 <= abs({left}) * {edge}"
        u = 0.0012 * (edge - last) / 10
        lower = f"{bound} and abs({right}) < abs({left})"
        levels.append(Level(f"right is {band} lower", lower, 0.03, u))
        levels.append(Level(f"right is {band} higher", bound, 0.016, u))
        last = edge
    levels.append(Level("amounts differ", None, 0.02, 0.9))
    nothing = f"l.amount is null or r.amount is null or {null}"
    return Comparison("amount", "amount", nothing, tuple(levels), None if shown else "amount", 4)


def _lag(before: int, after: int) -> Comparison:
    """Right time minus left time, in hours where both are instants, else in days."""
    exact = "l.instant and r.instant and r.ts - l.ts"
    day = "floor((r.ts - l.ts + 43200) / 86400)"
    levels = [
        Level("within the hour after", f"{exact} between 0 and 3599", 0.2, 0.0005),
        Level("1 to 8 hours after", f"{exact} between 3600 and 28799", 0.12, 0.003),
        Level("8 to 24 hours after", f"{exact} between 28800 and 86399", 0.1, 0.007),
    ]
    low = 0
    for high, m in _AFTER:
        if low > after:
            break
        high = min(high, after)  # noqa: PLW2901 - the last band ends with the window
        name = _days_after(low, high)
        u = 0.008 * (high - low + 1)
        levels.append(Level(name, f"{day} between {low} and {high}", m, u))
        low = high + 1
    if low <= after:
        levels.append(
            Level(f"{low} days after or more", f"{day} between {low} and {after}", 0.01, 0.2)
        )
    if before >= 1:
        levels.append(Level("1 day before", f"{day} = -1", 0.02, 0.008))
    if before > 1:
        earlier = f"{day} between {-before} and -2"
        levels.append(Level(f"2 to {before} days before", earlier, 0.01, 0.008 * before))
    levels.append(Level("outside the window", None, 0.002, 0.6))
    return Comparison("lag", "time lag", "l.ts is null or r.ts is null", tuple(levels))


def _days_after(low: int, high: int) -> str:
    if high == 0:
        return "same day"
    if high == low:
        return "1 day after" if high == 1 else f"{high} days after"
    return f"{low} to {high} days after"


def _email() -> Comparison:
    like = "jaro_winkler_similarity(l.email_user, r.email_user)"
    return Comparison(
        "email",
        "e-mail",
        "l.email is null or r.email is null",
        (
            Level("same address", "l.email = r.email", 0.7, 2e-4),
            Level("same user part", "l.email_user = r.email_user", 0.12, 1e-4),
            Level("user part off by a typo", f"{like} >= 0.92", 0.08, 5e-4),
            Level("addresses differ", None, 0.1, 0.999),
        ),
        "email_user",
        2,
    )


def _name() -> Comparison:
    like = "jaro_winkler_similarity(l.name, r.name)"
    initials = "l.name_last = r.name_last and l.name_first = r.name_first"
    return Comparison(
        "name",
        "customer name",
        "l.name is null or r.name is null",
        (
            Level("same words", "l.name = r.name", 0.65, 2e-4),
            Level("same longest word and initial", initials, 0.1, 1e-4),
            Level("off by a typo", f"{like} >= 0.92", 0.1, 3e-4),
            Level("same longest word", "l.name_last = r.name_last", 0.05, 2e-3),
            Level("alike", f"{like} >= 0.8", 0.03, 0.01),
            Level("names differ", None, 0.07, 0.98),
        ),
    )


def _phone() -> Comparison:
    return _exact_or_typo("phone", "phone", 0.85, 1e-4)


def _postcode() -> Comparison:
    return _exact_or_typo("postcode", "postcode", 0.85, 2e-3)


def _further(column: str, field: str) -> Comparison:
    return _exact_or_typo(column, field, 0.8, 5e-4)


def _exact_or_typo(column: str, label: str, m: float, u: float) -> Comparison:
    typo = f"length(l.{column}) >= 6 and damerau_levenshtein(l.{column}, r.{column}) <= 1"
    return Comparison(
        column,
        label,
        f"l.{column} is null or r.{column} is null",
        (
            Level("same", f"l.{column} = r.{column}", m, u),
            Level("off by one character", typo, 0.05, u),
            Level("different", None, 0.95 - m, 1 - 2 * u),
        ),
        column,
        1,
    )


def _text() -> Comparison:
    """How much the shared start of two texts says: the fewer rows have that start, the more.

    Bank memos are cut off, and end in words that are put there by chance; what they begin with
    names somebody. Texts that start differently may still share their words.
    """
    levels = [
        Level(
            f"same start, fewer than 1 row in {2**k}" if k else "same start, a common one",
            f"l.start_{k} = r.start_{k}",
            m,
            0.5**k / 2,
        )
        for k, m in zip(RARITY, (0.25, 0.15, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02), strict=True)
    ]
    words = "len(list_intersect(l.text_words, r.text_words))"
    least = "least(len(l.text_words), len(r.text_words))"
    like = "jaro_winkler_similarity(l.text, r.text) >= 0.9"
    levels += [
        Level("off by a typo", like, 0.04, 5e-4),
        Level("all words shared", f"{words} = {least} and {least} >= 2", 0.04, 5e-4),
        Level("half of the words shared", f"{words} * 2 >= {least} and {words} >= 1", 0.05, 0.02),
        Level("texts differ", None, 0.12, 0.93),
    ]
    null = "l.text is null or r.text is null"
    return Comparison(
        "text", "description", null, tuple(levels), f"start_{RARITY[-1]}", len(RARITY)
    )


def _mention(name: str, own: str, other: str, label: str) -> Comparison:
    both = f"len(list_intersect(l.{own}, r.{other}))"
    named = f"least(len(l.{own}), len(r.{other}))"
    return Comparison(
        name,
        label,
        f"l.{own} is null or r.{other} is null",
        (
            Level("all words", f"{both} = {named} and {named} >= 2", 0.5, 1e-4),
            Level("a word", f"{both} >= 1", 0.2, 5e-3),
            Level("no word in common", None, 0.3, 0.995),
        ),
    )


def _rare(column: str, rarity: int) -> str:
    return f"{column} >= {rarity}"


# --- as Splink settings, and back -----------------------------------------------------------------
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
    return _COLUMN.sub(lambda found: f'"{found[2]}_{found[1]}"', sql)


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
