"""What benchmarks run on: the invented shop of `shop`, or a workspace with native files taken in.

A folder with a `recon.toml` is a workspace (`recon demo DIR --orders N` makes one of the size that
is wanted); any other folder holds `events/*.parquet` and `who/*.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.ledger.seal import parquet_list
from recon_kit.matching import cascade, keys
from recon_kit.settings import FILE_NAME, Reconciliation
from recon_kit.workbench.bench import Workbench
from tests.benchmarks import shop

MOMENT = datetime(2026, 4, 20, tzinfo=UTC)
KEYS = ("order_id", "transaction_id", "invoice_number")
RECONCILIATION = Reconciliation.model_validate({
    "name": "orders_to_payments",
    "left": {"sources": [shop.ORDER], "types": ["order"]},
    "right": {"sources": [shop.PAYMENT], "types": ["payment"]},
    "attach": ["refund", "chargeback"],
    "keys": KEYS,
    "cardinality": "one_to_many",
    "tolerance": {"minor_units": 2},
    "window": {"before": "2d", "after": "14d"},
    "probable": {"enabled": True, "uncertified": "auto"},
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """An engine with the views of a snapshot, and what is to be evaluated on it."""

    engine: Engine
    rec: Reconciliation
    context: cascade.MatchingContext


def is_workspace(place: Path) -> bool:
    """Whether a folder holds native files in a store rather than generated events."""
    return (place / FILE_NAME).exists()


@contextmanager
def opened(
    place: Path, *, threads: int | None = 2, memory_max: str | None = None, shuffled: bool = False
) -> Iterator[World]:
    """Open a workspace's snapshot, or the generated events of a folder.

    Args:
        place: workspace or folder.
        threads: of the engine.
        memory_max: of the engine, such as `"400MB"`.
        shuffled: read the generated rows in another order.
    """
    if is_workspace(place):
        bench = Workbench(place)
        rec = next(r for r in bench.settings.reconciliations if r.name == RECONCILIATION.name)
        precedence = {s.name: s.precedence for s in bench.settings.sources}
        snapshot = bench.store.snapshot()
        with snapshot.engine(
            precedence=precedence, threads=threads, memory_max=memory_max
        ) as engine:
            context = cascade.MatchingContext(
                as_of=snapshot.coverage()["as_of"].max(),
                timezone=bench.settings.workspace.timezone,
                holidays=bench.settings.workspace.holidays,
            )
            yield World(engine, rec, context)
        return
    files = {name: sorted((place / name).glob("*.parquet")) for name in ("events", "who")}
    with open_engine(
        [f for found in files.values() for f in found],
        threads=threads, memory_max=memory_max,
    ) as engine:  # fmt: skip
        for name, found in files.items():
            turn = " order by md5(event_key)" if shuffled else ""
            kind = "table" if shuffled else "view"
            engine.con.execute(f"create {kind} {name} as from {parquet_list(found)}{turn}")
        engine.put("decisions", pl.DataFrame(schema=model.DECISION_SCHEMA))
        told = [datetime(2026, 1, 1, tzinfo=UTC)] * 2
        engine.put("coverage", pl.DataFrame({
            "source": [shop.ORDER, shop.PAYMENT], "covers_from": told, "covers_to": [MOMENT] * 2,
            "as_of": [MOMENT] * 2,
        }))  # fmt: skip
        yield World(engine, RECONCILIATION, cascade.MatchingContext(as_of=MOMENT))


def three_joins(world: World) -> None:
    """The plainest thing that could work: a hash join per key, no guard, pairs of keys only.

    It reads the same view `events`, so that both pay alike for versions and precedence.
    """
    left, right = keys.side_filter(world.rec.left), keys.side_filter(world.rec.right)
    for number, key in enumerate(world.rec.keys):
        world.engine.con.execute(
            f"create or replace table raw_{number} as select o.event_key as l, p.event_key as r"
            f" from (from events where {left}) o join (from events where {right}) p using ({key})"
        )
