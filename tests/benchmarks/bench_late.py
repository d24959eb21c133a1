"""What a late day costs beside the full run before it, and what it writes.

    PERF_DATA=/tmp/perf python tests/benchmarks/bench_late.py 100000

`PERF_DATA/N` holds `orders.parquet` and `payments.parquet` (see `bench_exact.py`). One in a hundred
orders and payments comes a day late, one payment in a thousand is told again with another amount.
The peer is the full run of the day before, in the same store and process; ingesting is timed apart.
Goal: seconds of the late day at most 5 % of the full run, bytes written about the share of change.
Plain matches are carried over, so key joins cost little; the result hash and what changed are read
from the changes. What still grows with all rows: looking up who shares a key with what is new,
indicators, and the scoring of what is open, as the odds of a pair depend on how many are open.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from recon_kit.ledger.engine import open_engine
from recon_kit.workbench.bench import Workbench

SETTINGS = """
[workspace]
name = "bench"
timezone = "UTC"
currency = "EUR"
[[sources]]
name = "shop"
feed = "table"
[sources.layout]
format = "parquet"
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M:%S"]
[sources.layout.columns]
native_id = "id"
order_id = "order_id"
transaction_id = "transaction_id"
invoice_number = "invoice_number"
event_ts = "ts"
amount = "amount"
currency = "currency"
customer_name = "name"
email = "email"
[[sources]]
name = "psp"
feed = "table"
[sources.layout]
format = "parquet"
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M:%S"]
[sources.layout.columns]
native_id = "id"
order_id = "order_id"
transaction_id = "transaction_id"
invoice_number = "invoice_number"
event_ts = "ts"
amount = "amount"
currency = "currency"
customer_name = "name"
email = "email"
[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["shop"], types = ["order"] }
right = { sources = ["psp"], types = ["payment"] }
keys = ["order_id", "transaction_id", "invoice_number"]
cardinality = "one_to_many"
tolerance = { minor_units = 2 }
settles_within = "5d"
"""
ROWS = """
select {id} as id, order_id, transaction_id, invoice_number, amount_text as amount, currency,
       name, email, strftime(make_timestamp(ts::bigint * 1000000), '%Y-%m-%d %H:%M:%S') as ts
from (select *, {amount} as amount_text from '{file}')
where {which} order by id
"""
PLAIN = "printf('%d.%02d', amount::bigint // 100, amount::bigint % 100)"
MORE = "printf('%d.%02d', (amount::bigint + 100) // 100, amount::bigint % 100)"
FIRST = datetime(2026, 4, 20, 12, tzinfo=UTC)


def write_files(base: Path, folder: Path) -> None:
    """The files of the first day and of the late one."""
    files = {"shop": (base / "orders.parquet", "oid"), "psp": (base / "payments.parquet", "pid")}
    with open_engine([file for file, _ in files.values()], folder=folder) as engine:
        for source, (file, own) in files.items():
            name = {"id": f"{own}::varchar", "file": file}
            late = f"hash({own}) % 100 = 0"
            for day, amount, which in (
                ("first", PLAIN, f"not ({late})"),
                ("late", PLAIN, late),
                ("restated", MORE, f"hash({own}) % 1000 = 1"),
            ):
                query = ROWS.format(**name, amount=amount, which=which)
                engine.write(query, f"{source}_{day}").rename(folder / f"{source}_{day}.parquet")


def day(folder: Path, moment: datetime, files: dict[str, list[str]]) -> dict[str, float]:
    """Ingest and reconcile; seconds of both, and bytes that the run wrote."""
    bench = Workbench(folder, clock=lambda: moment)
    started = time.perf_counter()
    for source, names in files.items():
        bench.ingest(source, *(folder / f"{source}_{name}.parquet" for name in names))
    ingested, busy = time.perf_counter(), time.process_time()
    found = bench.reconcile()
    finished, spent = time.perf_counter(), time.process_time() - busy
    mine = pl.col("run_id") == found.frame["run_id"][0]
    written = bench.store.rows("segments").filter(mine)["bytes"].sum()
    sys.stdout.write(f"{found}\n")
    return {
        "ingest s": ingested - started, "run s": finished - ingested,
        "run CPU s": spent, "run MB": written / 1e6,
    }  # fmt: skip


def data_folder(count: int) -> Path:
    """Where the generated shop of this size lies."""
    return Path(os.environ.get("PERF_DATA", Path(tempfile.gettempdir()) / "perf")) / str(count)


def main(count: int) -> None:
    """Print both days and their ratio."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp).resolve()
        (folder / "recon.toml").write_text(SETTINGS, encoding="utf-8")
        write_files(data_folder(count), folder)
        full = day(folder, FIRST, {"shop": ["first"], "psp": ["first"]})
        late = day(
            folder, FIRST + timedelta(days=1), {"shop": ["late"], "psp": ["late", "restated"]}
        )
    lines = [f"{count} orders; first day, late day, share"]
    lines += [f"{n:10}{full[n]:10.2f}{late[n]:10.2f}{late[n] / full[n]:10.1%}" for n in full]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines.append(f"peak memory of the process {peak:.0f} MiB")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
