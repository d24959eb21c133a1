import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from ledger_kit import DAY, T0, draft, ingest, new_store, read

from recon_kit.errors import (
    CorruptStoreError,
    FileRejectedError,
    LedgerError,
    StoreBusyError,
    WorkspaceError,
)
from recon_kit.ledger import files, lock
from recon_kit.ledger.store import Store

TESTS = Path(__file__).parent


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path)


def test_a_received_file_is_kept_byte_for_byte(store, tmp_path):
    """The bytes lie under their sha256, read-only, with nothing left in tmp."""
    file = tmp_path / "orders.csv"
    file.write_bytes(b"id\r\n1\r\n")
    artefact = store.receive(file, source="shop", received_at=T0)

    kept = store.raw_path(artefact.sha256)
    assert artefact.sha256 == "aaf52dc16349094c5563f8959ff0a9814354e804ff5c4e09457ae70040bc037c"
    assert kept.read_bytes() == b"id\r\n1\r\n"
    assert (artefact.bytes, artefact.name, artefact.as_of) == (7, "orders.csv", T0)
    assert kept.stat().st_mode & 0o777 == 0o444
    assert list((store.path / "tmp").iterdir()) == []


def test_a_file_that_grows_is_refused(store, tmp_path, monkeypatch):
    """A file whose writer has not finished is not half taken in."""
    file = tmp_path / "orders.csv"
    file.write_bytes(b"x" * 10)
    real = os.read

    def read_and_grow(handle, count):
        block = real(handle, count)
        with file.open("ab") as writer:
            writer.write(b"y")
        monkeypatch.setattr(files.os, "read", real)
        return block

    monkeypatch.setattr(files.os, "read", read_and_grow)
    with pytest.raises(FileRejectedError, match="changed while it was being read"):
        store.receive(file, source="shop", received_at=T0)
    assert list((store.path / "raw").iterdir()) == []
    assert list((store.path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"), [("absent.csv", "missing_file"), ("folder", "not_a_file")]
)
def test_what_is_no_plain_file_is_refused(store, tmp_path, name, code):
    """An absent file and a folder are refused with a code."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileRejectedError) as caught:
        store.receive(tmp_path / name, source="shop", received_at=T0)

    assert caught.value.code == code


def test_a_named_pipe_is_refused_without_waiting(store, tmp_path):
    """A pipe in the inbox does not hang the ingest."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileRejectedError, match="no plain file"):
        store.receive(tmp_path / "pipe", source="shop", received_at=T0)


def test_a_file_over_the_cap_is_refused(store, tmp_path):
    """The cap holds while reading, whatever the folder says of the length."""
    (tmp_path / "big.csv").write_bytes(b"x" * 11)
    with pytest.raises(FileRejectedError, match="more than 10 bytes"):
        store.receive(tmp_path / "big.csv", source="shop", received_at=T0, bytes_max=10)


def test_a_changed_raw_file_is_noticed_when_it_comes_again(store, tmp_path):
    """Bytes that no longer have their name are never used as if they had."""
    file = tmp_path / "orders.csv"
    file.write_bytes(b"id\n1\n")
    kept = store.raw_path(store.receive(file, source="shop", received_at=T0).sha256)
    kept.chmod(0o644)
    kept.write_bytes(b"id\n2\n")

    with pytest.raises(CorruptStoreError, match="does not hold the bytes of its name"):
        store.receive(file, source="shop", received_at=T0)


def test_a_time_without_a_zone_is_refused(store, tmp_path):
    """The ledger does not guess what zone a clock showed."""
    (tmp_path / "a.csv").write_bytes(b"a")
    with pytest.raises(LedgerError, match="need a zone"):
        store.receive(tmp_path / "a.csv", source="shop", received_at=T0.replace(tzinfo=None))


def test_a_full_disk_is_said_plainly(store, tmp_path, monkeypatch):
    """No space left: an error in plain words, and a store as it was."""
    ingest(store, [{"event_id": "a"}])

    def full(handle):
        raise OSError(28, "No space left on device")

    ready = draft(store, [{"event_id": "b"}])
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(LedgerError, match="no space is left"):
        store.commit_batch(ready)
    monkeypatch.undo()
    assert read(store, "select event_id from events").item() == "a"
    assert store.commit_batch(ready).batch_seq == 2


def test_a_newer_format_is_refused(store):
    """A store written by a later version is not touched."""
    (store.path / "FORMAT").write_text("recon_kit store\n3\n", encoding="utf-8")

    with pytest.raises(WorkspaceError, match="format 3; this version reads up to 2"):
        Store.open(store.path)


def test_no_store_and_a_second_store_are_errors(store, tmp_path):
    """Opening needs a store, making one needs none."""
    with pytest.raises(WorkspaceError, match="holds no store; `recon init`"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(WorkspaceError, match="holds a store already"):
        Store.create(store.path, created_at=T0)


LINUX_MOUNTS = (
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "40 22 0:35 / /srv/my\\040share rw - nfs4 server:/x rw,vers=4.2\n"
)
MAC_MOUNTS = "/dev/disk3s1 on / (apfs, local)\n//ana@host/x on /Volumes/x (smbfs, nodev)\n"


def test_file_systems_are_read_from_the_systems_own_list():
    """Mount points with spaces are understood on Linux, and the list of macOS is too."""
    linux = files.parse_mounts(LINUX_MOUNTS, "linux")
    mac = files.parse_mounts(MAC_MOUNTS, "darwin")

    assert linux == {"/": "ext4", "/srv/my share": "nfs4"}
    assert mac == {"/": "apfs", "/Volumes/x": "smbfs"}
    assert files.file_system(Path("/srv/my share/store"), linux) == "nfs4"


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """Locks of a network folder cannot be trusted with money."""
    monkeypatch.setattr(files, "_mounts", lambda: {"/": "nfs4"})
    with pytest.raises(LedgerError, match=r"network file system \(nfs4\)"):
        new_store(tmp_path)


def test_a_read_only_store_can_be_read_and_says_why_it_cannot_be_written(store, monkeypatch):
    """Without the right to write, reading goes on and writing fails in plain words."""
    ingest(store, [{"event_id": "a"}])
    ready = draft(store, [{"event_id": "b"}])
    real = os.open

    def read_only(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(store.path)):
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(lock.os, "open", read_only)
    with pytest.raises(LedgerError, match="cannot be written"):
        store.commit_batch(ready)
    assert read(store, "select event_id from events").item() == "a"


def test_a_store_that_nobody_may_write_is_read_as_it_lies(store, monkeypatch):
    """On a read-only mount nothing can be made beside the catalog, not even to read it."""
    ingest(store, [{"event_id": "a"}])
    listed = sorted(p.name for p in store.path.iterdir())
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert read(store, "select event_id from events").item() == "a"
    assert store.verify("all") == []
    assert sorted(p.name for p in store.path.iterdir()) == listed
    with pytest.raises(LedgerError, match=r"cannot be written \(read-only for this user\)"):
        ingest(store, [{"event_id": "b"}])


def test_who_waits_in_vain_is_told_who_holds_the_lock(store, monkeypatch):
    """A busy store names process, host and purpose of its holder; the lock dies with it."""
    command = [sys.executable, str(TESTS / "ledger_worker.py"), "hold", str(store.path), "60"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr(lock, "WAIT_SECONDS", 0.2)
        expected = f"process {holder.pid} on .* \\(a long import\\) has held"
        with (
            pytest.raises(StoreBusyError, match=expected),
            lock.writer_lock(store.path / "writer.lock", "test", 0.2),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with lock.writer_lock(store.path / "writer.lock", "test", 5):
        pass


def test_a_forked_child_does_not_keep_the_lock(store):
    """A child that outlives its parent's commit must not block the next writer."""
    path = store.path / "writer.lock"
    with lock.writer_lock(path, "parent"):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        started = time.monotonic()
        with lock.writer_lock(path, "next", 5):
            waited = time.monotonic() - started
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)

    assert waited < 1


def test_a_store_of_an_earlier_version_gains_what_came_since(tmp_path):
    """Tables and columns that it lacks are added when it is opened; its chain stays whole."""
    store = new_store(tmp_path)
    ingest(store, [{"event_id": "a"}])
    with closing(sqlite3.connect(store.path / "meta.db")) as con:
        con.execute("drop table leases")
        con.execute("alter table audit_draws drop column stratum")

    again = Store.open(store.path)

    assert again.rows("leases").is_empty()
    assert "stratum" in again.rows("audit_draws").columns
    lease = again.claim("a", "ana", now=T0, until=T0 + DAY)
    assert (lease.token, again.verify("all")) == (2, [])
