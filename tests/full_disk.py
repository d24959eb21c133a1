"""A store on a disk with so many free pages: run by `test_ledger_full_disk.py` on a small tmpfs.

    python tests/full_disk.py FOLDER

Ingests a file, commits a run and merges segments, each first with no free page on the disk, then
with one, two and so on until it succeeds, so that the disk is full at every write in turn. Prints
one JSON object per act: how often it was refused, what was said, what was not as before.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from ledger_kit import DAY, T0, complete, ingest, new_store

from recon_kit import model
from recon_kit.errors import LedgerError
from recon_kit.ledger import compact
from recon_kit.ledger.store import Store
from recon_kit.model import Run


def rows(name: str) -> list[dict[str, object]]:
    """Forty payments of people who have an address."""
    return [
        {"event_id": f"{name}{i}", "amount": i, "order_id": f"o{i}", "email": f"{i}@example.org"}
        for i in range(40)
    ]


def take_in(store: Store, folder: Path) -> None:
    """One file."""
    ingest(store, rows("c"), received_at=T0 + 2 * DAY, folder=folder)


def reconcile(store: Store, folder: Path) -> None:
    """One run."""
    matches = complete([{"match_id": f"m{i}"} for i in range(40)], model.RUN_TABLES["matches"])
    run = Run("r", "rec", "live", 0, T0, "s", "u", None, "c")
    store.commit_run(run, {"matches": matches}, recorded_at=T0)


def merge(store: Store, folder: Path) -> None:
    """Small segments."""
    compact.FILES_MIN = 2
    store.compact(T0)


def state(store: Store) -> tuple[object, ...]:
    """What is committed, and whether it can be read."""
    with store.snapshot().engine() as engine:
        told = engine.rows("select count(*), sum(amount) from events").row(0)
    return (store.snapshot().seq, *told)


def leave(disk: Path, pages: int) -> Path:
    """Fill a disk up to so many pages."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    wanted = (free.f_bavail - pages) * free.f_bsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(wanted, 1))
    return filler


def try_at_every_page(store: Store, disk: Path, act, folder: Path) -> dict[str, object]:
    """Do one thing with no free page, with one, with two, until it is done."""
    said: list[str] = []
    wrong: list[str] = []
    before = state(store)
    for pages in range(2000):
        filler = leave(disk, pages)
        try:
            act(store, folder)
            break
        except LedgerError as why:
            said.append(str(why))
            now = state(store)  # reading goes on while the disk is full
            # of several tables that are merged, those that found room are committed
            if now != before if act is not merge else now[1:] != before[1:]:
                wrong.append(f"{pages} pages: {before} became {now}")
        finally:
            filler.unlink()
        wrong += [f"{pages} pages: {problem}" for problem in store.verify("all")]
        if list((store.path / "tmp").iterdir()):
            wrong.append(f"{pages} pages: something is left in tmp/")
    return {"act": act.__name__, "refused": len(said), "said": said, "wrong": wrong}


def main(disk: Path) -> None:
    """Three acts on one store."""
    inbox = Path(os.environ["RECON_TEMP"])
    store = new_store(disk)
    for number, name in enumerate("ab"):
        ingest(store, rows(name), received_at=T0 + number * DAY, folder=inbox)
    for act in (take_in, reconcile, merge):
        sys.stdout.write(json.dumps(try_at_every_page(store, disk, act, inbox)) + "\n")
    shutil.rmtree(store.path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
