"""A process of its own for the tests of the ledger: it writes or reads until it is stopped."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from ledger_kit import DAY, T0, complete, ingest

from recon_kit import model
from recon_kit.ledger.store import Store
from recon_kit.model import Run

ROWS = 20


def write(path: Path, name: str, count: int, acks: Path) -> None:
    """Commit small batches, noting each after the store has answered; merge every second time."""
    store = Store.open(path)
    folder = acks.parent / f"in_{name}"
    folder.mkdir(exist_ok=True)
    with acks.open("a", encoding="utf-8") as log:
        for number in range(count):
            rows = [
                {"event_id": f"{name}-{number}-{i}", "amount": i, "order_id": f"o{i}"}
                for i in range(ROWS)
            ]
            received_at = T0 + DAY + timedelta(seconds=number)
            receipt = ingest(store, rows, received_at=received_at, folder=folder)
            log.write(f"{receipt.artefact_sha256} {receipt.events}\n")
            log.flush()
            os.fsync(log.fileno())
            if number % 2:
                store.compact(received_at)


def derive(path: Path, count: int) -> None:
    """Commit live runs of 40 matches; each changes one residual of the run before to its number."""
    store = Store.open(path)
    for number in range(store.runs().height, count):
        residuals = {n % 40: n for n in range(number + 1)}
        base = store.current_run("r")
        run = Run(
            run_id=f"r{number}", reconciliation="r", kind="live", as_of_seq=0, as_of_time=T0,
            settings_hash="s", rules_hash="u", model_hash=None, code_hash="c",
            base_run_id=base.run_id if base else None,
        )  # fmt: skip
        rows = [{"match_id": f"m{i}", "residual_minor": residuals.get(i, 0)} for i in range(40)]
        matches = complete(rows, model.RUN_TABLES["matches"])
        store.commit_run(run, {"matches": matches}, recorded_at=T0)


def read(path: Path, stop: Path) -> None:
    """Hold an open engine at all times; what a snapshot shows must never change."""
    store = Store.open(path)
    while not stop.exists():
        snapshot = store.snapshot()
        with snapshot.engine() as engine:
            first = engine.count("events")
            time.sleep(0.05)
            if engine.count("events") != first or first % ROWS:
                sys.exit("a snapshot changed or held part of a batch")


def hold_lock(path: Path, seconds: float) -> None:
    """Hold the writer lock."""
    from recon_kit.ledger.lock import writer_lock

    with writer_lock(path / "writer.lock", "a long import"):
        sys.stdout.write("held\n")
        sys.stdout.flush()
        time.sleep(seconds)


if __name__ == "__main__":
    kind, store_path, *rest = sys.argv[1:]
    if kind == "write":
        write(Path(store_path), rest[0], int(rest[1]), Path(rest[2]))
    elif kind == "derive":
        derive(Path(store_path), int(rest[0]))
    elif kind == "read":
        read(Path(store_path), Path(rest[0]))
    else:
        hold_lock(Path(store_path), float(rest[0]))
