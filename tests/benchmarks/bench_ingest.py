"""Taking files in, against DuckDB decoding the same files in the same run.

    uv run python tests/benchmarks/bench_ingest.py 100000 [--repeats 3]

Makes the twin of that many orders in a temporary folder and prints a table: physical rows per
second of `ingest` (everything: raw copy, strict reading, identity, dedupe, fsync, commit) and of
`read_csv(all_varchar)` in DuckDB, which only decodes; their ratio; peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from recon_kit.ledger.engine import open_engine
from recon_kit.synth import twin
from recon_kit.workbench.bench import Workbench


def decode(made: twin.Twin) -> float:
    """Seconds that DuckDB needs to decode every cell of every file as text."""
    paths = [made.path(d) for d in made.deliveries]
    began = time.perf_counter()
    with open_engine(paths) as engine:
        for path, delivery in zip(paths, made.deliveries, strict=True):
            skip = {"bank": 3, "ads": 1}.get(delivery.source, 0)
            mark = ";" if delivery.source == "wholesale" else ","
            engine.rows(
                "select bit_xor(hash(columns(*))) from read_csv(?, all_varchar = true,"
                f" delim = '{mark}', header = true, skip = {skip}, quote = '\"', escape = '\"',"
                " null_padding = true, parallel = false, strict_mode = false)",
                [str(path)],
            )
    return time.perf_counter() - began


def take_in(made: twin.Twin) -> tuple[float, int, int]:
    """Seconds, physical rows and events of taking every file into an empty store."""
    shutil.rmtree(made.folder / "store", ignore_errors=True)
    bench = Workbench(made.folder)
    rows = events = 0
    began = time.perf_counter()
    for delivery in made.deliveries:
        receipt = bench.ingest(
            delivery.source,
            made.path(delivery),
            as_of=delivery.as_of,
            received_at=delivery.received_at,
        ).receipts[0]
        rows += receipt.counts.physical
        events += receipt.events
    return time.perf_counter() - began, rows, events


def main() -> None:
    """Print the table for one size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("orders", type=int)
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recon_bench_"))
    try:
        made = twin.make(folder, orders=asked.orders)
        size = sum(made.path(d).stat().st_size for d in made.deliveries)
        pairs = [(decode(made), *take_in(made)) for _ in range(asked.repeats)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    plain = statistics.median(p[0] for p in pairs)
    whole = statistics.median(p[1] for p in pairs)
    _, _, rows, events = pairs[0]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"orders {asked.orders:,}, files {len(made.deliveries)}, {size / 1e6:,.0f} MB, "
        f"rows {rows:,}, events {events:,}\n"
        f"DuckDB decode   {plain:8.2f} s  {rows / plain:12,.0f} rows/s  1.0\n"
        f"recon ingest    {whole:8.2f} s  {rows / whole:12,.0f} rows/s  {whole / plain:.1f}\n"
        f"peak memory     {memory:,.0f} MB (making the twin included)\n"
    )


if __name__ == "__main__":
    main()
