"""What reading events costs once some were told again with other amounts.

    PERF_DATA=/tmp/perf python tests/benchmarks/bench_restated.py 100000 [rounds]

The peer is the same store as of the sequence before: no event restated. One payment in a thousand
is then told again (see `bench_late.py`). Rounds are interleaved; medians of CPU seconds, so that
other work on the machine does not count. Goal: ratio about 1 for wide readings.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import bench_late

from recon_kit.workbench.bench import Workbench

READINGS = {
    "one column": "select max(amount) from events",
    "keys and money": "select max(event_key), max(order_id), sum(amount) from events",
    "a pool": "select count(hash(event_key, source, event_type, order_id, amount, currency, status,"
    " event_ts)) from events where event_type = 'payment' and test is not true",
    "every column": "select count(hash(columns(*))) from events",
    "who": "select max(event_key), max(email), max(customer_name) from who",
}


def measure(bench: Workbench, before: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """CPU seconds per reading, without and with restated events."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        for state, seq in (("none", before), ("some", None)):
            started = time.process_time()
            with bench.store.snapshot(seq).engine() as engine:
                found["opening"][state].append(time.process_time() - started)
                for name, query in READINGS.items():
                    started = time.process_time()
                    engine.one(query)
                    found[name][state].append(time.process_time() - started)
    return found


def main(count: int, rounds: int) -> None:
    """Ingest two days, read both, print a table."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp).resolve()
        (folder / "recon.toml").write_text(bench_late.SETTINGS, encoding="utf-8")
        bench_late.write_files(bench_late.data_folder(count), folder)
        bench = Workbench(folder, clock=lambda: bench_late.FIRST)
        for source in ("shop", "psp"):
            bench.ingest(source, folder / f"{source}_first.parquet")
        before = int(str(bench.store.rows("batches")["seq"].max()))
        bench = Workbench(folder, clock=lambda: bench_late.FIRST + timedelta(days=1))
        bench.ingest("psp", folder / "psp_restated.parquet")
        lines = [f"{count} orders; none restated, 0.1 % of payments restated, ratio"]
        for name, states in measure(bench, before, rounds).items():
            none, some = (statistics.median(states[state]) for state in ("none", "some"))
            lines.append(f"{name:18}{none:9.3f}{some:9.3f}{some / none:9.2f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
