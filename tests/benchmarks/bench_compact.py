"""What `recon compact` costs and saves in a store of many files, and that nothing reads otherwise.

    PERF_DATA=/tmp/perf uv run python tests/benchmarks/bench_compact.py 1000000 --days 60

`PERF_DATA/N` holds `orders.parquet` and `payments.parquet` (see `bench_exact.py`). One row in
`--every` is taken in by day, a file of each source a day. The store is copied, one copy is merged,
then both are reconciled at one moment: the result hashes must be equal. Prints files, bytes and
seconds, the levels of `recon verify` before and after beside sha256 of the same files, and how
long reading all events takes before and after.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench_late import PLAIN, ROWS, SETTINGS, data_folder
from bench_verify import hash_files, sound

from recon_kit.ledger.engine import open_engine
from recon_kit.workbench.bench import Workbench

FIRST = datetime(2026, 4, 20, 12, tzinfo=UTC)


def write_files(base: Path, folder: Path, days: int, every: int) -> None:
    """A file of each source a day."""
    files = {"shop": (base / "orders.parquet", "oid"), "psp": (base / "payments.parquet", "pid")}
    with open_engine([file for file, _ in files.values()], folder=folder) as engine:
        for source, (file, own) in files.items():
            for day in range(days):
                which = f"{own} % {every} = 0 and hash({own}) % {days} = {day}"
                query = ROWS.format(id=f"{own}::varchar", file=file, amount=PLAIN, which=which)
                name = f"{source}_{day:03}"
                engine.write(query, name).rename(folder / f"{name}.parquet")


def timed(what: str, act: Callable[[], object]) -> float:
    """Do it, and say how long it took; processor seconds."""
    began, busy = time.perf_counter(), time.process_time()
    act()
    spent = time.process_time() - busy
    sys.stdout.write(f"{what}: {time.perf_counter() - began:.2f} s, {spent:.2f} CPU s\n")
    sys.stdout.flush()
    return spent


def count(bench: Workbench) -> int:
    """Events that the ledger tells, all of their columns read."""
    with bench.store.snapshot().engine() as engine:
        engine.con.execute("create temp table whole as from events")
        return engine.count("whole")


def check(bench: Workbench, rows: int, when: str) -> None:
    """Verify by level, and read everything, beside hashing the same files."""
    peer = timed(f"{when}, sha256 of every file", lambda: hash_files(bench.store))
    for level in ("chain", "segments", "all"):
        spent = timed(f"{when}, verify {level}", lambda level=level: sound(bench, level))
        sys.stdout.write(
            f"    {spent / rows * 1e6:.2f} CPU s per million rows, {spent / peer:.1f} x sha256\n"
        )
    timed(f"{when}, read all events", lambda: count(bench))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("orders", type=int)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--every", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp:
        many, few = Path(temp).resolve() / "many", Path(temp).resolve() / "few"
        many.mkdir()
        (many / "recon.toml").write_text(SETTINGS, encoding="utf-8")
        write_files(data_folder(asked.orders), many, asked.days, asked.every)
        bench = Workbench(many, clock=lambda: FIRST)
        for source in ("shop", "psp"):
            files = sorted(many.glob(f"{source}_*.parquet"))
            timed(f"ingest {source}", lambda s=source, f=files: bench.ingest(s, *f))
        rows = int(bench.store.batches()["physical"].sum())
        few.mkdir()
        shutil.copy(many / "recon.toml", few)
        timed("backup", lambda: bench.backup(few / "store"))
        merged = Workbench(few, clock=lambda: FIRST)
        sys.stdout.write(f"{rows:,} rows, {merged.store.rows('segments').height:,} segments\n")
        check(merged, rows, "before")
        timed("compact", lambda: sys.stdout.write(f"{merged.compact()}\n"))
        merged._clock = lambda: FIRST + timedelta(days=2)
        merged.litter(remove=True)
        merged._clock = lambda: FIRST
        check(merged, rows, "after")
        hashes = []
        for name, one in (("many files", bench), ("merged", merged)):
            timed(f"run over {name}", one.reconcile)
            run = one.store.current_run("orders_to_payments")
            assert run is not None
            hashes.append(run.result_hash)
            assert count(one) == rows
        sys.stdout.write(f"result hashes {' '.join(h[:16] for h in hashes)}\n")
        assert len(set(hashes)) == 1
        assert [b.store.verify("all") for b in (bench, merged)] == [[], []]


if __name__ == "__main__":
    main()
