"""Many small segments become few large ones, and nothing that is read changes."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from how_often import how_often
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_kit import DAY, T0, complete, draft, ingest, new_store, read

from recon_kit import model
from recon_kit.errors import CorruptStoreError, LedgerError
from recon_kit.ledger import compact
from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.store import Store
from recon_kit.model import Run

VIEWS = ("events", "event_versions", "who", "who_told", "keys", "retold", "duplicates",
         "quarantine", "findings_told")  # fmt: skip
BATCH_VIEWS = ("batch_events", "batch_retold", "batch_quarantine")
LATER = T0 + timedelta(days=40)


def bad_row(artefact, number):
    """One line that could not be read."""
    row = {
        "source": "shop",
        "record_row": 9,
        "records": 1,
        "code": "short_row",
        "message": "too few fields",
        "raw_line": f"line {number}",
        "artefact_sha256": artefact,
    }
    return complete([row], model.QUARANTINE_SCHEMA)  # fmt: skip


def day(store, number):
    """A file of one new order, one that changed its status, one told again, and a bad line."""
    rows = [
        {"event_id": f"n{number}", "amount": number, "order_id": f"o{number}",
         "email": f"n{number}@example.org"},
        {"event_id": "old", "amount": 5, "status": f"day {number}", "order_id": "o_old",
         "email": f"day{number}@example.org"},
        {"event_id": "same", "amount": 7},
    ]  # fmt: skip
    ready = draft(store, rows, received_at=T0 + number * DAY, physical=4)
    bad = bad_row(ready.artefact.sha256, number)
    return store.commit_batch(draft(store, rows, received_at=T0 + number * DAY, physical=4,
                                    quarantine=bad))  # fmt: skip


def run(store, number):
    """Run `r<number>` of 40 matches, of which one differs from the run before."""
    residuals = {n % 40: n for n in range(number + 1)}
    rows = [{"match_id": f"m{i}", "residual_minor": residuals.get(i, 0)} for i in range(40)]
    finding = [{"case_id": "c", "kind": f"kind {number}"}]
    tables = {"matches": complete(rows, model.RUN_TABLES["matches"]),
              "findings": complete(finding, model.RUN_TABLES["findings"])}  # fmt: skip
    base = f"r{number - 1}" if number else None
    made = Run(f"r{number}", "r", "live", number, T0, "s", "u", None, "c", base)
    store.commit_run(made, tables, recorded_at=T0)


@pytest.fixture
def store(tmp_path, made_once):
    """Six days of one source, two files of another, five runs."""
    shutil.copytree(made_once, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    made = new_store(tmp_path_factory.mktemp("once"))
    for number in range(6):
        day(made, number)
    ingest(made, [{"event_id": "w", "amount": 1}], source="hook")
    ingest(made, [{"event_id": "w", "amount": 2}], source="hook", received_at=T0 + DAY)
    for number in range(5):
        run(made, number)
    return made.path


def everything(store, *seqs, runs=()):
    """Every row of every view as of these sequences, and of the matches of these runs."""
    found = {}
    for seq in seqs:
        batch = seq if seq in set(store.batches()["seq"]) else None
        with store.snapshot(seq).engine(batch=batch) as engine:
            for view in VIEWS + (BATCH_VIEWS if batch else ()):
                found[seq, view] = engine.rows(f"select * from {view} order by all").rows()
    for name in runs:
        with store.snapshot().engine(runs=[name]) as engine:
            found[name] = engine.rows("select * from matches order by all").rows()
    return found


def files_of(store, folder="seg"):
    return sorted(p.name for p in (store.path / folder).iterdir())


def age(store, days):
    """The litter of so many days after the merging, removed."""
    return store.litter(LATER + timedelta(days=days), remove=True)


def test_every_past_reads_as_before_and_verifies(store):
    """All views of the first, a middle and the last day, the batches' own rows, and runs' rows."""
    which = {"runs": ["r0", "r3"]}
    past = everything(store, 1, 4, 8, 13, **which)

    done = store.compact(LATER)
    with_old_files = everything(store, 1, 4, 8, 13, **which)
    age(store, 2)

    assert {one.kind for one in done} == {
        "events", "who", "keys", "retold", "quarantine", "matches", "findings", "run_changes",
    }  # fmt: skip
    assert with_old_files == past
    assert everything(Store.open(store.path), 1, 4, 8, 13, **which) == past
    assert [store.verify(level) for level in ("chain", "segments", "all")] == [[], [], []]


def test_it_says_how_many_files_became_one(store):
    """Six days of events are one file now; two files of the hook are too few to be merged."""
    done = {one.kind: one for one in store.compact(LATER)}

    assert (done["events"].source, done["events"].files, done["events"].rows) == ("shop", 6, 13)
    assert (done["matches"].source, done["matches"].files) == (None, 5)
    assert all(one.done and one.bytes_before > one.bytes_after > 0 for one in done.values())
    assert store.compact(LATER) == []


def test_old_files_stay_for_a_day_and_then_leave(store):
    """Whoever still reads them can go on; the litter of a day later is just these files."""
    seg, who = files_of(store), files_of(store, "who")
    store.compact(LATER)

    assert set(seg) < set(files_of(store))
    assert age(store, 0) == []
    gone = {one.where for one in age(store, 1)}

    assert {f"who/{name}" for name in who} < gone
    assert len(files_of(store, "who")) == 1
    assert [name for name in files_of(store) if f"seg/{name}" in gone] == []
    # Left of seg: one file each of events, keys, retold and the three run tables; the hook's two
    # of events, and its keys have none.
    assert len(files_of(store)) == 8


def test_rows_lie_in_the_order_of_their_sequences_and_keys_in_that_of_their_hash(store):
    """A merged file is the old ones one after the other; the index of keys stays sorted."""
    old = [
        (seq, *row)
        for seq, sha in store.rows("segments")
        .filter((pl.col("kind") == "who") & (pl.col("source") == "shop"))
        .select("seq", "sha256")
        .rows()
        for row in pl.read_parquet(store.path / "who" / f"{sha}.parquet").rows()
    ]
    store.compact(LATER)
    made = dict(store.rows("compactions").select("kind", "replaced_by").rows())

    who = pl.read_parquet(store.path / "who" / f"{made['who']}.parquet")
    keys = pl.read_parquet(store.path / "seg" / f"{made['keys']}.parquet")
    assert who.select("merged_seq", pl.exclude("merged_seq")).rows() == old
    assert keys["key_hash"].is_sorted()
    assert pl.read_parquet(store.path / "seg" / f"{made['events']}.parquet").schema == pl.Schema(
        {c: pl.Datetime("us", "UTC") if isinstance(k, pl.Datetime) else k
         for c, k in model.EVENT_SCHEMA.items()}
    )  # fmt: skip


def test_who_reads_for_more_than_a_day_after_a_merge_is_told_to_read_again(store):
    """A file that left under an open engine is named; read again, all is there."""
    for number in range(5):
        day(store, number)
    before = read(store, "select count(*) from events").item()

    def read_too_late():
        with store.snapshot().engine() as engine:
            store.compact(T0)
            store.litter(T0 + 2 * DAY, remove=True)
            engine.count("events")

    with pytest.raises(LedgerError, match=r"it was merged into another file .* Read again: "):
        read_too_late()
    assert read(store, "select count(*) from events").item() == before


def test_merged_and_new_files_are_merged_again(store):
    """A merged file and what came after it become one; the first days still read as they did."""
    store.compact(LATER)
    for number in range(6, 10):
        day(store, number)
    last = store.snapshot().seq
    past = everything(store, 3, last)

    again = [one for one in store.compact(LATER + DAY) if one.kind == "events"]
    age(store, 3)

    assert [(one.files, one.rows) for one in again] == [(5, 21)]
    assert everything(store, 3, last) == past
    assert store.verify("all") == []


def test_files_are_never_made_larger_than_asked(store, monkeypatch):
    """Of thirteen rows in six files at most five go into one: no file grows without end."""
    monkeypatch.setattr(compact, "ROWS_MAX", 9)
    monkeypatch.setattr(compact, "FILES_MIN", 2)

    events = [one for one in store.compact(LATER) if one.kind == "events"]

    assert [(one.source, one.files, one.rows) for one in events] == [
        ("hook", 2, 2), ("shop", 4, 9), ("shop", 2, 4),
    ]  # fmt: skip
    assert store.verify("all") == []


def test_dedupe_and_runs_go_on_over_merged_files(store):
    """What a merged file tells is known: the same content is a duplicate, a change is a change."""
    store.compact(LATER)
    age(store, 2)

    again = ingest(store, [{"event_id": "n3", "amount": 3, "order_id": "o3",
                            "email": "n3@example.org"}], received_at=T0 + 50 * DAY)  # fmt: skip
    changed = ingest(store, [{"event_id": "n3", "amount": 4}], received_at=T0 + 51 * DAY)
    run(store, 5)

    assert again.counts.duplicate == 1
    assert changed.counts.conflict == 1
    assert read(store, "select amount from events where event_id = 'n3'").item() == 4
    assert read(store, "select count(*) from matches", runs=["r5"]).item() == 40
    assert store.verify("all") == []


def test_equal_bytes_that_come_again_are_read_once_each(tmp_path):
    """The same bad line under a new mapping makes the same file: after merging it counts twice."""
    store = new_store(tmp_path)
    rows = [{"event_id": "a", "amount": 1}]
    ready = draft(store, rows, physical=2)
    bad = bad_row(ready.artefact.sha256, 0)
    for mapping in ("m1", "m2", "m3", "m4"):
        store.commit_batch(draft(store, rows, physical=2, quarantine=bad, mapping_version=mapping))
    assert len(files_of(store, "quarantine")) == 1

    first = store.compact(LATER)
    ingest(store, [{"event_id": "b"}], received_at=T0 + DAY)
    store.commit_batch(draft(store, rows, physical=2, quarantine=bad, mapping_version="m5"))

    assert "quarantine" not in {one.kind for one in first}  # one file, four times
    assert read(store, "select count(*) from quarantine").item() == 5
    assert read(store, "select count(*) from quarantine", as_of_seq=2).item() == 2


def test_a_person_is_erased_from_merged_files_and_from_what_they_replaced(store):
    """The address leaves the merged file, and the old ones do not wait for a day."""
    store.compact(LATER)
    keys = read(store, "select event_key from who_told where email like 'n3@%'")["event_key"]

    store.erase(keys.to_list(), actor="di", reason="asked", recorded_at=LATER)

    for folder in ("seg", "who", "quarantine", "raw"):
        for path in (store.path / folder).iterdir():
            assert b"n3@example.org" not in path.read_bytes()
            if folder == "who":
                assert "n3@example.org" not in pl.read_parquet(path)["email"].to_list()
    assert len(files_of(store, "who")) == 1
    assert read(store, "select count(*) from who", as_of_seq=4).item() == 4
    assert read(store, "select count(*) from events", as_of_seq=4).item() == 6
    assert store.verify("all") == []


def test_what_was_erased_before_is_not_brought_back(store):
    """A file without a person's rows is merged as it is read, in the place of the old one."""
    keys = read(store, "select event_key from who_told where email like 'n3@%'")["event_key"]
    store.erase(keys.to_list(), actor="di", reason="asked", recorded_at=LATER)
    past = everything(store, 4, 14)

    store.compact(LATER)
    age(store, 2)

    assert everything(store, 4, 14) == past
    assert read(store, "select count(*) from who").item() == 6
    assert store.verify("all") == []


def test_a_backup_holds_what_is_read(store, tmp_path):
    """Superseded files stay behind, and the copy reads as the store."""
    store.compact(LATER)

    store.backup(tmp_path / "copy")

    copy = Store.open(tmp_path / "copy")
    assert len(files_of(copy, "who")) == 1
    assert everything(copy, 4, 13, runs=["r4"]) == everything(store, 4, 13, runs=["r4"])


def test_a_damaged_file_is_never_merged(store):
    """A flipped bit stops the merging of its table, is named, and changes nothing."""
    victim = store.path / "who" / files_of(store, "who")[0]
    victim.chmod(0o644)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)

    with pytest.raises(CorruptStoreError, match=rf"who/{victim.name} is not what was committed"):
        store.compact(LATER)

    assert [p.where for p in store.verify("segments")] == [f"who/{victim.name}"]


def test_a_merged_file_that_reads_otherwise_is_not_committed(store, monkeypatch):
    """Two rows exchanged their amounts on the way: the comparison finds it."""
    written = compact.Engine.write

    def swapped(engine, query, name):
        path = written(engine, query, name)
        frame = pl.read_parquet(path)
        if name == "merged_events":
            frame.with_columns(pl.col("amount").reverse()).write_parquet(path)
        return path

    with monkeypatch.context() as patch:
        patch.setattr(compact.Engine, "write", swapped)
        with pytest.raises(CorruptStoreError, match="merged file of events does not read as the 6"):
            store.compact(LATER)

    assert "events" not in store.rows("compactions")["kind"].to_list()
    assert list((store.path / "tmp").iterdir()) == []
    assert store.verify("all") == []


def test_a_group_that_changed_meanwhile_is_left_alone(store, monkeypatch):
    """An erasure while the file of personal rows was being merged wins; the next call merges."""
    staged = compact._stage
    keys = read(store, "select event_key from who_told where email like 'n3@%'")["event_key"]

    def erased_meanwhile(engine, places, group):
        made = staged(engine, places, group)
        if group.kind == "who":
            store.erase(keys.to_list(), actor="di", reason="asked", recorded_at=LATER)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(compact, "_stage", erased_meanwhile)
        done = {one.kind: one.done for one in store.compact(LATER)}

    assert done["who"] is False
    assert done["events"] is True
    assert [one.kind for one in store.compact(LATER)] == ["who"]
    assert read(store, "select count(*) from who").item() == 6
    assert store.verify("all") == []


def test_an_older_format_is_raised_before_anything_is_merged(store):
    """A version that knows nothing of merged files refuses the store instead of misreading it."""
    (store.path / "FORMAT").write_text("recon_kit store\n1\n", encoding="utf-8")

    store.compact(LATER)

    assert (store.path / "FORMAT").read_text(encoding="utf-8") == "recon_kit store\n2\n"


# --- crashes --------------------------------------------------------------------------------------
class Killed(BaseException):
    """The process ends here."""


def crash_points(monkeypatch, number):
    """Let the process end at the `number`-th sync, naming or commit; counts them."""
    seen = [0]

    def at(real):
        def perhaps(*arguments):
            seen[0] += 1
            if seen[0] == number:
                raise Killed
            return real(*arguments)

        return perhaps

    write = Catalog.write

    @contextmanager
    def perhaps_write(catalog):
        with write(catalog) as writer:
            yield writer
            seen[0] += 1
            if seen[0] == number:
                raise Killed  # all rows are written, nothing is committed

    monkeypatch.setattr(os, "fsync", at(os.fsync))
    monkeypatch.setattr(Path, "rename", at(Path.rename))
    monkeypatch.setattr(Catalog, "write", perhaps_write)
    return seen


def test_a_crash_at_any_step_leaves_the_old_or_the_new_files(tmp_path, monkeypatch):
    """Whichever sync, naming or commit is the last: all reads as before, and the rest can be done.

    Each crash goes on where the one before left the store, litter and all, as after a restart.
    """
    store = new_store(tmp_path)
    for number in range(4):
        day(store, number)
    past = everything(store, 2, 4)
    number = 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            crash_points(patch, number)
            try:
                store.compact(LATER)
            except Killed:
                pass
            else:
                break
        store = Store.open(store.path)
        assert everything(store, 2, 4) == past
        assert store.verify("all") == []
    store.compact(LATER)
    store.litter(datetime(2099, 1, 1, tzinfo=UTC), remove=True)

    assert number > 6
    assert everything(store, 2, 4) == past
    assert len(files_of(store)) == 5  # events, keys, and three of `retold`, too few to merge
    assert store.verify("all") == []


# --- any history ----------------------------------------------------------------------------------
rows_of_a_day = st.lists(
    st.builds(
        lambda key, amount, status: {
            "event_id": f"v{key}", "amount": amount, "status": status,
            "business_key": f"b{key % 2}", "email": f"{status}@example.org",
        },
        st.integers(0, 4), st.sampled_from([1, 1, 2]), st.sampled_from(["open", "paid"]),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(
    max_examples=how_often("RECON_EXAMPLES", short=3, long=200),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(rows_of_a_day, min_size=4, max_size=5), st.sets(st.integers(3, 4), max_size=1))
def test_any_history_reads_the_same_merged_or_not(days, merged_after):
    """Overlapping, restated and contested files, merged whenever: every past reads alike."""
    shown = []
    for merging in (False, True):
        with TemporaryDirectory() as folder:
            store, seqs = new_store(Path(folder)), []
            for number, rows in enumerate(days):
                seqs.append(ingest(store, rows, received_at=T0 + number * DAY).batch_seq)
                if merging and number in merged_after:
                    store.compact(LATER)
            if merging:
                store.compact(LATER)
                store.litter(LATER + 2 * DAY, remove=True)
                assert store.verify("all") == []
            told = []
            for seq in seqs[1::2]:
                with store.snapshot(seq).engine() as engine:
                    told.append([
                        engine.rows(f"select * {skip} from {view} order by all").rows()
                        for view, skip in (
                            ("events", "exclude (recorded_seq)"), ("who", ""), ("keys", ""),
                            ("retold", ""), ("duplicates", ""),
                        )
                    ])  # fmt: skip
            shown.append(told)

    assert shown[0] == shown[1]


# --- as a user ------------------------------------------------------------------------------------
def test_a_user_is_told_what_was_saved(shop):
    """Four small files of the till become one; a second call says that nothing is left to do."""
    from recon_kit.workbench.bench import Workbench

    bench = Workbench(shop, clock=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    for number in range(4):
        path = shop / f"till{number}.csv"
        path.write_text(
            f"Receipt,Day,Total,E-mail\n#20{number},2026-11-02,1.00,a{number}@example.com\n",
            encoding="utf-8",
        )
        bench.ingest("till", path)

    first, second = bench.compact(), bench.compact()

    assert first.frame.select("table", "source", "files_before", "files_after", "rows").rows() == [
        ("events", "till", 4, 1, 4),
        ("keys", "till", 4, 1, 12),
        ("who", "till", 4, 1, 4),
    ]
    assert "12 files are 3 now" in first.text()
    assert "`recon doctor --gc` removes them" in first.text()
    assert second.notes == ("no table has 4 small segments or more: nothing was merged.",)
