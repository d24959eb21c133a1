"""Time of `recon verify` by level, against hashing the same files with hashlib in the same run.

    uv run python tests/benchmarks/bench_verify.py 20000 [--repeats 3] [--merge] [--replay]

Makes the twin of that many orders, takes it in and prints processor seconds per million physical
rows of `chain`, `segments`, `all`, and of the peer: sha256 of every file of the store, and the
ratio to it. `--merge` merges small segments first (their number before and after is printed);
`--replay` adds `verify --replay`.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench_ingest import take_in

from recon_kit.ledger.store import Store
from recon_kit.synth import twin
from recon_kit.workbench.bench import Workbench


def cost(act: Callable[[], object], repeats: int) -> float:
    """Median processor seconds."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        act()
        found.append(time.process_time() - began)
    return statistics.median(found)


def hash_files(store: Store) -> None:
    """The peer: every file of the store, once."""
    for path in sorted(p for p in store.path.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256").hexdigest()


def sound(bench: Workbench, level) -> None:
    """Verify, which must find nothing."""
    problems = bench.store.verify(level)
    assert problems == [], problems[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("orders", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--replay", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = twin.make(Path(folder), orders=asked.orders)
        _, rows, _ = take_in(made)
        bench = Workbench(made.folder)
        if asked.merge:
            done = bench.store.compact(datetime(2026, 1, 1, tzinfo=UTC))
            files = sum(one.files for one in done)
            sys.stdout.write(f"{files} files became {len(done)}\n")
        peer = cost(lambda: hash_files(bench.store), asked.repeats)
        found = {"sha256 of every file": peer}
        for level in ("chain", "segments", "all"):
            found[level] = cost(lambda level=level: sound(bench, level), asked.repeats)
        if asked.replay:
            found["replay"] = cost(bench.replay, 1)
    for what, seconds in found.items():
        sys.stdout.write(
            f"{what}: {seconds / rows * 1e6:.2f} processor seconds per million rows, "
            f"{seconds / peer:.1f} x sha256\n"
        )


if __name__ == "__main__":
    main()
