"""How often pairs stand on each level by chance: counted over random pairs, and over shared keys.

Levels that imply an equal key are too rare for any grid of random pairs: they are counted over the
join on that key. All counts are whole numbers, drawn in an order that only keys and seed decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.ladders import COLUMN, Comparison
from recon_kit.matching.optimum import Floats

GRID = 700  # rows a side in the grid of random pairs: 490,000 pairs
_KEYED_PAIRS = 300_000
_ALIKE_MIN = 8  # partners a row, from which on rows that read alike are compared once


def draw(engine: Engine, seed: int) -> None:
    """`draw_left`, `draw_right`: rows in an order that only their keys and the seed decide."""
    for side in ("left", "right"):
        engine.run(
            Step(
                f"draw_{side}",
                f"""create or replace temp table draw_{side} as select seq, row_number() over (
                    order by md5(event_key || {int(seed)}::varchar), event_key) as turn
                from side_{side}""",
                "a random order that is the same in every run",
            )
        )


def count_all(engine: Engine, ladders: Sequence[Comparison], everything: int) -> dict[str, Floats]:
    """How many of all pairs stand on each level, true ones included: comparison -> counts."""
    columns = ", ".join(f"{c.level_sql()} as g{i}" for i, c in enumerate(ladders))
    names = ", ".join(f"g{i}" for i in range(len(ladders)))
    # In two halves: DuckDB gives so few rows to one thread.
    halves = " union all ".join(
        f"select s.* from side_left s join draw_left d using (seq)"
        f" where turn <= {GRID} and turn % 2 = {half}"
        for half in (0, 1)
    )
    grid = engine.rows(
        f"""select {names}, count(*) as n from (select {columns} from ({halves}) l,
            (select s.* from side_right s join draw_right d using (seq) where turn <= {GRID}) r)
        group by all order by all"""
    )
    n = grid["n"].to_numpy().astype(np.float64)
    totals: dict[str, Floats] = {}
    for i, ladder in enumerate(ladders):
        level = grid[f"g{i}"].to_numpy().astype(np.int64)
        known = level >= 0
        seen = np.bincount(level[known], n[known], len(ladder.levels))
        opinion = np.array(shares([step.u for step in ladder.levels]))
        compared = float(n[known].sum()) / float(n.sum())
        count = (seen + 5 * opinion) / (seen.sum() + 5) * everything * max(compared, 1e-6)
        for key in sorted({level.key for level in ladder.levels if level.key}):
            keyed = _count_keyed(engine, ladder, key)
            on_key = np.array([level.key == key for level in ladder.levels])
            count = np.where(on_key, keyed + 0.5, count)
        totals[ladder.name] = count
    return totals


def _count_keyed(engine: Engine, ladder: Comparison, key: str) -> Floats:
    """Pairs per level among those that share a key, scaled up from a share of the left rows."""
    engine.run(
        Step(
            "keyed_rows",
            f"""create or replace temp table keyed_rows as
            select seq, turn, sum(n) over (order by turn) as so_far from (
                select l.seq, d.turn, k.n from side_left l join draw_left d using (seq)
                join (select {key}, count(*) as n from side_right
                    where {key} is not null group by {key}) k using ({key}))""",
            "how many partners share a left row's key, in drawn order",
        )
    )
    taken, all_pairs, drawn_pairs = engine.one(
        f"""select count(*) filter (so_far <= {_KEYED_PAIRS}), coalesce(max(so_far), 0)::bigint,
            coalesce(max(so_far) filter (so_far <= {_KEYED_PAIRS}), 0)::bigint from keyed_rows"""
    )
    assert isinstance(all_pairs, int)  # noqa: S101 - cast to bigint above
    assert isinstance(drawn_pairs, int)  # noqa: S101 - cast to bigint above
    if not taken:
        return np.full(len(ladder.levels), float(all_pairs) / len(ladder.levels))
    # Rows that read alike are compared once where a key has many partners, such as a price.
    reads = [f"{_read(ladder, side, key)}, count(*) as n" for side in "lr"]
    grouped = "group by all"
    if drawn_pairs < _ALIKE_MIN * int(str(taken)):
        reads, grouped = ["*, 1 as n", "*, 1 as n"], ""
    found = engine.rows(
        f"""select g, sum(n)::bigint as n from (select {ladder.level_sql()} as g, l.n * r.n as n
            from (select {reads[0]} from side_left semi join (
                from keyed_rows where so_far <= {_KEYED_PAIRS}) using (seq) {grouped}) l
            join (select {reads[1]} from side_right {grouped}) r on l.{key} = r.{key})
        where g >= 0 group by g order by g"""
    )
    level, n = found["g"].to_numpy().astype(np.int64), found["n"].to_numpy()
    scale = all_pairs / max(drawn_pairs, 1)
    return np.asarray(np.bincount(level, n, len(ladder.levels)) * scale)


def _read(ladder: Comparison, side: str, key: str) -> str:
    """The columns that a ladder reads of a side (`l` or `r`), and the key."""
    read = {found[2] for found in COLUMN.finditer(ladder.level_sql()) if found[1] == side}
    return ", ".join(sorted(read | {key}))


def shares(values: Sequence[float] | Floats) -> tuple[float, ...]:
    """Values as shares of their sum, to nine digits."""
    whole = float(sum(values))
    return tuple(float(f"{float(v) / whole:.9g}") for v in values)
