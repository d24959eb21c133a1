"""Two finished runs beside one another: what one gains, loses or moves, how much money, whose.

The runs may differ in rules, model, threshold or settings; they saw the same facts. A matching
event counts once, on the left side, so that an order and its payment are not told twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.matching import difference
from recon_kit.matching.difference import Difference

SUM_SCHEMA: dict[str, pl.DataType] = {
    "change": pl.String(), "method": pl.String(), "currency": pl.String(),
    "items": pl.Int64(), "amount_minor": pl.Int64(),
}  # fmt: skip
OWNER_SCHEMA: dict[str, pl.DataType] = {
    "owner": pl.String(), "change": pl.String(), "currency": pl.String(), "items": pl.Int64(),
    "amount_minor": pl.Int64(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs: `sums` by change, method and currency, `owners` by whom it concerns.

    `method` is the one that matches now, or, for what is lost, the one that matched before.
    `standing` has `state_before, state_after, currency, items, amount_minor` of all left events
    that stand otherwise.
    """

    difference: Difference
    sums: pl.DataFrame
    owners: pl.DataFrame
    standing: pl.DataFrame


def compare(engine: Engine, before: str, after: str, owners: dict[str, str]) -> Comparison:
    """Compare two runs of one reconciliation.

    Args:
        engine: of a snapshot, opened with both runs.
        before: id of the run to compare with.
        after: id of the other run.
        owners: by source, who is told of an event that has no case.
    """
    found = difference.diff(engine, before, after)
    engine.put("source_owners", pl.DataFrame(
        {"source": list(owners), "told": list(owners.values())},
        schema={"source": pl.String, "told": pl.String},
    ))  # fmt: skip
    return Comparison(
        found,
        _summed(engine, "change, coalesce(method_after, method_before) as method, currency"),
        _summed(engine, "coalesce(owner, told, 'nobody') as owner, change, currency"),
        _summed(engine, "state_before, state_after, currency"),
    )


def _summed(engine: Engine, keys: str) -> pl.DataFrame:
    return engine.rows(
        f"""
        select {keys}, count(*) as items, sum(abs(amount_minor))::bigint as amount_minor
        from changed_events left join source_owners using (source)
        where side = 'left' group by all order by all"""
    )
