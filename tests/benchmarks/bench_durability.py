"""What durability costs: the same files taken in with every sync, and with none, turn by turn.

    uv run python tests/benchmarks/bench_durability.py 2000 [--repeats 5]

Makes the twin of that many orders in a temporary folder and takes its files into an empty store,
once as the product does it and once with `fsync` made to do nothing and SQLite told not to sync.
Prints seconds (medians), the ratio, the number of syncs, and the same for commits of one decision,
which are nothing but a commit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from bench_ingest import take_in

from recon_kit.ledger.catalog import Catalog
from recon_kit.synth import twin
from recon_kit.workbench.bench import Workbench

DECISIONS = 50


@contextmanager
def syncs(*, real: bool) -> Iterator[list[int]]:
    """Count calls of `fsync`; where they are not real, nothing reaches the disk for certain."""
    fsync, connection, calls = os.fsync, Catalog._write_connection, [0]

    def counted(handle: int) -> None:
        calls[0] += 1
        if real:
            fsync(handle)

    @contextmanager
    def loose(catalog):
        with connection(catalog) as con:
            con.execute("pragma synchronous = off")
            yield con

    os.fsync = counted
    if not real:
        Catalog._write_connection = loose
    try:
        yield calls
    finally:
        os.fsync, Catalog._write_connection = fsync, connection


def decide(made: twin.Twin) -> float:
    """Seconds of so many commits of one decision each."""
    store = Workbench(made.folder).store
    row = pl.DataFrame({"verdict": ["same"], "stream": ["work"]})
    began = time.perf_counter()
    for _ in range(DECISIONS):
        store.add_decisions(row, datetime(2026, 1, 1, tzinfo=UTC))
    return time.perf_counter() - began


def main() -> None:
    """Measure, turn by turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("orders", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = twin.make(Path(folder), orders=asked.orders)
        found: dict[tuple[str, bool], list[float]] = {}
        rows, number = 0, 0
        for _ in range(asked.repeats):
            for real in (True, False):
                with syncs(real=real) as calls:
                    seconds, rows, _ = take_in(made)
                    number = calls[0]
                    found.setdefault(("ingest", real), []).append(seconds)
                    found.setdefault(("decision", real), []).append(decide(made) / DECISIONS)
    sys.stdout.write(f"{rows:,} rows in {len(made.deliveries)} files, {number} syncs\n")
    for what in ("ingest", "decision"):
        safe, loose = (statistics.median(found[what, real]) for real in (True, False))
        sys.stdout.write(
            f"{what}: {safe:.4f} s with syncs, {loose:.4f} s without; ratio {safe / loose:.2f}\n"
        )


if __name__ == "__main__":
    main()
