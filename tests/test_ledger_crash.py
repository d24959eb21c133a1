import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from how_often import how_often
from ledger_kit import draft, ingest, new_store, read

from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.store import Store

WORKER = [sys.executable, str(Path(__file__).parent / "ledger_worker.py")]
KILLS = how_often("RECON_KILLS", short=25, long=1_000)
BATCHES = how_often("RECON_BATCHES", short=5, long=100)
SEED = int(os.environ.get("RECON_SEED", "7"))


def start(*arguments):
    return subprocess.Popen([*WORKER, *map(str, arguments)], stderr=subprocess.PIPE, text=True)


def acknowledged(path):
    """What writers were told is committed: artefact and number of events."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [(sha, int(events)) for sha, events in map(str.split, lines)]


def state(store):
    """Committed batches as (artefact, events), and events that can be read per batch."""
    batches = store.batches()
    committed = set(zip(batches["artefact_sha256"], batches["events"], strict=True))
    with store.snapshot().engine() as engine:
        rows = engine.rows("select artefact_sha256, count(*) from events group by all").rows()
    return committed, set(rows)


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_and_leaves_nothing_by_half(tmp_path, capsys):
    """Kill -9 while files are taken in and merged: what was acknowledged is there, and whole."""
    store = new_store(tmp_path)
    acks = tmp_path / "acks"
    moments = random.Random(SEED)  # noqa: S311 - moments to kill at, no secrets
    partial = 0
    for kill in range(KILLS):
        before = len(acknowledged(acks))
        writer = start("write", store.path, f"k{kill}", 100_000, acks)
        while len(acknowledged(acks)) == before and writer.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.4))
        writer.kill()
        writer.communicate()
        committed, readable = state(store)
        partial += len(committed ^ readable)

    acked = acknowledged(acks)
    lost = len(set(acked) - state(store)[0])
    unanswered = store.batches().height - len(acked)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{KILLS} kills (seed {SEED}): {len(acked)} batches acknowledged, {lost} lost, "
            f"{partial} partial, {unanswered} committed without an answer\n"
        )
    assert (lost, partial) == (0, 0)
    assert len(acked) >= KILLS
    assert store.verify("all") == []


@pytest.mark.slow
def test_a_killed_run_stands_as_a_whole_or_not_at_all(tmp_path):
    """Kill -9 while runs are kept as changes: the current run reads all its matches, as told."""
    store = new_store(tmp_path)
    moments = random.Random(SEED)  # noqa: S311 - moments to kill at, no secrets
    for _ in range(max(2, KILLS // 8)):
        before = store.runs().height
        writer = start("derive", store.path, 100_000)
        while store.runs().height < before + 2 and writer.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
        writer.kill()
        writer.communicate()
        last = store.runs().height - 1
        query = "select match_id, residual_minor from matches order by residual_minor, match_id"
        rows = read(store, query, runs=[f"r{last}"]).rows()

        told = {n % 40: n for n in range(last + 1)}
        assert dict(rows) == {f"m{i}": told.get(i, 0) for i in range(40)}
        assert len(rows) == 40
        assert store.current_run("r").run_id == f"r{last}"
    assert store.verify("all") == []


@pytest.mark.slow
def test_four_writers_and_three_readers_do_not_disturb_one_another(tmp_path):
    """Readers keep engines open while four processes commit and merge: all of it is there."""
    store = new_store(tmp_path)
    stop = tmp_path / "stop"
    readers = [start("read", store.path, stop) for _ in range(3)]
    writers = [
        start("write", store.path, name, BATCHES, tmp_path / f"acks_{name}") for name in "abcd"
    ]
    failures = [w.communicate()[1] for w in writers if w.wait(timeout=600)]
    stop.touch()
    failures += [r.communicate()[1] for r in readers if r.wait(timeout=120)]

    acked = [one for name in "abcd" for one in acknowledged(tmp_path / f"acks_{name}")]
    assert failures == []
    assert len(acked) == 4 * BATCHES
    assert state(store) == (set(acked), set(acked))
    assert store.batches()["accepted"].to_list() == [20] * (4 * BATCHES)
    assert store.rows("compactions").height > 0
    assert store.verify("all") == []


def test_what_a_commit_names_is_on_the_disk_before_it(tmp_path, monkeypatch):
    """Bytes, then the name, then the folder, then the commit: no power cut leaves a row in the air.

    kill -9 never shows a missing fsync, because the system keeps its memory; the order of calls
    does.
    """
    store = new_store(tmp_path)
    ready = draft(store, [{"event_id": "a", "email": "a@example.org"}])
    trail = []
    fsync, rename, write = os.fsync, Path.rename, Catalog.write

    def noted_fsync(handle):
        fsync(handle)
        trail.append(("fsync", os.fstat(handle).st_ino))

    def noted_rename(path, target):
        trail.append(("rename", path.stat().st_ino))
        return rename(path, target)

    @contextmanager
    def noted_write(catalog):
        with write(catalog) as writer:
            yield writer
        trail.append(("commit", 0))

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    monkeypatch.setattr(Catalog, "write", noted_write)
    store.commit_batch(ready)
    monkeypatch.undo()

    segments = [p for name in ("seg", "who") for p in (store.path / name).iterdir()]
    assert len(segments) == 2
    for path in segments:
        inode, folder = path.stat().st_ino, path.parent.stat().st_ino
        named = trail.index(("rename", inode))
        assert trail.index(("fsync", inode)) < named
        assert named < trail.index(("fsync", folder), named) < trail.index(("commit", 0))


def test_litter_of_a_killed_writer_is_no_data(tmp_path):
    """A segment without a committed row is not read, and does not trouble the next writer."""
    store = new_store(tmp_path)
    (store.path / "seg" / ("f" * 64 + ".parquet")).write_bytes(b"half")
    (store.path / "tmp" / "left").write_bytes(b"half")
    ingest(store, [{"event_id": "a"}])

    assert read(Store.open(store.path), "select event_id from events").item() == "a"
    assert store.verify("all") == []
