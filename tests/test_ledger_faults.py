"""Whatever fails while a file is taken in: the store is as it was, and trying again succeeds."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_kit import DAY, T0, draft, ingest, new_store, read

from recon_kit.errors import LedgerError, StoreBusyError
from recon_kit.ledger import lock
from recon_kit.ledger.store import Store

WORKER = [sys.executable, str(Path(__file__).parent / "ledger_worker.py")]
ROWS = [
    {"event_id": "a", "amount": 100, "email": "ana@example.org"},
    {"event_id": "b", "amount": 250},
]
SAID = {
    errno.ENOSPC: "no space is left",
    errno.EIO: "the disk under .* reports an error",
    errno.EACCES: "cannot be written",
}


def failing(monkeypatch, owner, name, number, code):
    """Make the `number`-th call of a function fail with a system error."""
    real, calls = getattr(owner, name), iter(range(10_000))

    def perhaps(*arguments):
        if next(calls) == number:
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    monkeypatch.setattr(owner, name, perhaps)


@pytest.mark.parametrize("code", sorted(SAID), ids=errno.errorcode.get)
@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "rename")], ids=["sync", "name"])
def test_a_failing_disk_leaves_the_store_as_it_was(tmp_path, monkeypatch, owner, name, code):
    """Every sync and every naming fails once: nothing is committed, and the next try succeeds."""
    store = new_store(tmp_path)
    ingest(store, [{"event_id": "before", "amount": 1}])
    said: list[str] = []
    number = 0
    while True:
        with monkeypatch.context() as patch:
            failing(patch, owner, name, number, code)
            try:
                ingest(store, ROWS, received_at=T0 + number * DAY)
            except LedgerError as why:
                said.append(str(why))
            else:
                break
        assert store.batches().height == 1
        assert read(store, "select event_id from events").to_series().to_list() == ["before"]
        number += 1

    assert len(said) >= 3
    assert [text for text in said if not re.search(SAID[code], text)] == []
    assert store.batches().height == 2
    assert Store.open(store.path).verify("all") == []
    assert list((store.path / "tmp").iterdir()) == []


def test_a_commit_that_fails_takes_everything_back(tmp_path, monkeypatch):
    """An error after the rows were written, before the commit: none of them is there."""
    store = new_store(tmp_path)
    ready = draft(store, ROWS)

    def broken(writer, kind):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("recon_kit.ledger.catalog.Writer.link", broken)
        with pytest.raises(LedgerError, match="have the disk checked"):
            store.commit_batch(ready)

    assert store.batches().height == 0
    assert store.verify("all") == []
    assert store.commit_batch(ready).counts.accepted == 2


def test_a_stopped_holder_of_the_lock_blocks_and_is_named(tmp_path, monkeypatch):
    """A writer that the system has stopped keeps others waiting, by name, and goes on unharmed."""
    store = new_store(tmp_path)
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.2)
    holder = subprocess.Popen(
        [*WORKER, "hold", str(store.path), "1.5"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)

    with (
        pytest.raises(StoreBusyError, match=rf"process {holder.pid} .*\(a long import\)"),
        lock.writer_lock(store.path / "writer.lock", "ingest shop", 0.2),
    ):
        pass

    holder.send_signal(signal.SIGCONT)
    assert holder.wait(timeout=30) == 0
    assert ingest(store, ROWS).counts.accepted == 2


def test_a_clock_that_goes_back_changes_no_order(tmp_path):
    """The sequence orders commits, whatever time they claim."""
    store = new_store(tmp_path)
    ingest(store, [{"event_id": "a"}], received_at=T0 + DAY)
    ingest(store, [{"event_id": "b"}], received_at=T0 - timedelta(days=400))

    assert store.batches().select("seq", "recorded_at").rows() == [
        (1, T0 + DAY),
        (2, T0 - timedelta(days=400)),
    ]
    assert store.verify("all") == []


def test_an_older_copy_of_the_catalog_is_found_by_a_checkpoint(tmp_path):
    """Whoever puts yesterday's meta.db back is found by the note that today's run left."""
    store = new_store(tmp_path)
    ingest(store, [{"event_id": "a"}])
    old = (store.path / "meta.db").read_bytes()
    ingest(store, [{"event_id": "b"}])
    kept = store.checkpoint(keep=False)
    (store.path / "meta.db").write_bytes(old)

    found = Store.open(store.path).verify("chain", since=kept)

    assert [problem.code for problem in found] == ["dropped_tail"]


def test_a_whole_copy_of_a_store_is_a_store(tmp_path):
    """A folder copied while nobody writes opens elsewhere, with the same chain."""
    store = new_store(tmp_path)
    ingest(store, ROWS)
    subprocess.run(["cp", "-a", str(store.path), str(tmp_path / "copy")], check=True)

    copy = Store.open(tmp_path / "copy")

    assert copy.verify("all") == []
    assert copy.checkpoint(keep=False) == store.checkpoint(keep=False)
