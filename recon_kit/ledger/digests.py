"""Hash of what a run came to: which run, when and in what order leave no trace in it.

Each row of each run table, with the table's name, is hashed by sha256; the first 128 bits of all
rows are added up modulo 2^128. So a row more is one addition and a row less one subtraction, two
equal rows count as two, and a late day brings the hash of the run before up to date by what it
changed. Times are left out: they tell when something was recorded. Floats count to six decimals. A
table without a row counts like one that is not there.

A sum tells results apart that differ by chance or by a defect. It is no seal against somebody who
chooses rows until sums agree: that is the part of the chain, which holds the sha256 of every
segment. Runs of an earlier version carry another kind, one sha256 over all sorted rows; `of_kind`
hashes rows the way a given hash was made, so that both can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine
from recon_kit.safe import quote_ident, quote_text

KIND = "sum:"  # what a hash of this kind begins with
_BITS = 128
_HALF = 16  # hex digits of 64 bits
# Of the earlier kind: so many rows of a table are sorted at once: about 1 GB of memory.
SORTED_ROWS_MAX = 5_000_000
_DIGITS = "0123456789abcdef"


def result_hash(engine: Engine, sources: Mapping[str, str]) -> str:
    """Hash of a run's logical rows.

    Args:
        engine: an engine that can read the sources.
        sources: per run table the SQL that reads it.
    """
    return moved(engine, f"{KIND}0", {}, sources)


def moved(engine: Engine, before: str, gone: Mapping[str, str], come: Mapping[str, str]) -> str:
    """Hash of a run after rows went and rows came.

    Args:
        engine: an engine that can read the sources.
        before: its hash before, of this kind.
        gone: per run table the SQL that reads rows that it had and no longer has.
        come: the same of rows that it has now and had not.
    """
    total = int(before.removeprefix(KIND), 16) + _sum(engine, come) - _sum(engine, gone)
    return f"{KIND}{total % 2**_BITS:032x}"


def is_sum(result: str | None) -> bool:
    """Whether a hash is of the kind that can be added to."""
    return result is not None and result.startswith(KIND)


def of_kind(engine: Engine, like: str | None, sources: Mapping[str, str]) -> str:
    """Hash of rows, made in the way in which the hash `like` was made."""
    return result_hash(engine, sources) if is_sum(like) else _sorted_hash(engine, sources)


def _sum(engine: Engine, sources: Mapping[str, str]) -> int:
    """Sum of the first 128 bits of the hashes of all rows."""
    total = 0
    for name, source in sources.items():
        text = model.digested_sql(quote_text(name), *_texts(name))
        # `concat` and `substring` take half the time of `||` and a slice
        high, low = (
            f"concat('0x', substring(h, {1 + i * _HALF}, {_HALF}))::ubigint" for i in (0, 1)
        )
        found = engine.one(
            f"select sum({high})::varchar, sum({low})::varchar"
            f" from (select sha256({text}) as h from {source})"
        )
        high_sum, low_sum = (int(str(part or 0)) for part in found)
        total += (high_sum << 64) + low_sum
    return total


def _texts(name: str) -> list[str]:
    """What counts of a row of a run table, as texts."""
    return [_as_text(c, kind) for c, kind in model.RUN_TABLES[name].items() if kind != model.UTC]


def _as_text(name: str, kind: pl.DataType) -> str:
    column = quote_ident(name)
    if isinstance(kind, pl.Float64):
        return f"cast(round({column}, 6) + 0.0 as varchar)"
    return f"cast({column} as varchar)"


# --- the kind of earlier versions -----------------------------------------------------------------
def _sorted_hash(engine: Engine, sources: Mapping[str, str]) -> str:
    """One sha256 a table over the texts of its rows, sorted."""
    parts: list[str | None] = []
    for name in model.RUN_TABLES:
        source, digest = sources.get(name), None
        rows = engine.one(f"select count(*) from {source}")[0] if source else 0
        if rows:
            text = model.digested_sql(*_texts(name))
            first = quote_ident(next(iter(model.RUN_TABLES[name])))
            digest = engine.digest(
                f"select {text} as t from {source} where {share} order by t"
                for share in _shares(first, rows)
            )
        if digest is not None or name not in model.LATER_TABLES:
            parts += [name, digest]
    return model.digest("result", *parts)


def _shares(first: str, rows: object) -> list[str]:
    """Conditions that cut a table into parts of a bounded size, in the order of its texts.

    A row's text begins with its first column, most often a hash: its first digit tells the part,
    and the parts one after the other are the whole in order.
    """
    assert isinstance(rows, int)  # noqa: S101 - count(*) is an integer
    number = 1
    while number < len(_DIGITS) and rows > number * SORTED_ROWS_MAX:
        number *= 2
    digits = [_DIGITS[i * len(_DIGITS) // number] for i in range(1, number)]
    lower = ["true", *(f"{first} >= {quote_text(d)}" for d in digits)]
    upper = [*(f"({first} < {quote_text(d)} or {first} is null)" for d in digits), "true"]
    return [f"{low} and {up}" for low, up in zip(lower, upper, strict=True)]
