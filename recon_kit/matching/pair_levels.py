"""On which level of each ladder every candidate pair stands: found once, read by all.

Learning reads the levels of the pairs that it draws, scoring those of all pairs, training on labels
those of every fold. They depend on the rows and the ladders alone, never on odds.
"""

from __future__ import annotations

from collections.abc import Sequence

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.ladders import Comparison

TABLE = "pair_levels"


def find(
    engine: Engine, ladders: Sequence[Comparison], found_for: Sequence[str] = ()
) -> tuple[str, ...]:
    """Make `pair_levels(l, r, g0, g1, ...)` for all `candidate_pairs`; -1 is nothing to compare.

    Args:
        engine: holds `side_left`, `side_right` and `candidate_pairs`.
        ladders: the comparisons, in the order of the columns.
        found_for: what an earlier call returned, where its table is still there and pairs are
            the same: a ladder of the same SQL is not looked at again.

    Returns:
        The SQL of the ladders, in the order of the columns.
    """
    wanted = tuple(ladder.level_sql() for ladder in ladders)
    if wanted == tuple(found_for):
        return wanted
    known = {sql: f"p.g{i}" for i, sql in enumerate(found_for)}
    columns = ", ".join(
        f"{known.get(sql, f'({sql})::tinyint')} as g{i}" for i, sql in enumerate(wanted)
    )
    engine.run(
        Step(
            TABLE,
            f"""create or replace temp table {TABLE} as
            select p.l, p.r, {columns} from {TABLE if found_for else "candidate_pairs"} p
            join side_left l on l.seq = p.l join side_right r on r.seq = p.r""",
            "on which level each comparison of each pair stands",
        )
    )
    return wanted
