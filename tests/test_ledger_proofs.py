"""Every class of byte and every exchange is found, by the level of verify that says it does.

The table reads: what was done to a store at rest, which level is asked, what it answers. Levels
are those of `recon verify`: `chain`, `segments`, `all` (no switch), and `since` with a checkpoint
that was kept elsewhere.
"""

from __future__ import annotations

import re
import shutil
import sqlite3

import polars as pl
import pytest
from ledger_kit import DAY, T0, complete, ingest, new_store
from test_ledger_chain import tamper

from recon_kit import model
from recon_kit.errors import LedgerError
from recon_kit.ledger.store import Store
from recon_kit.model import Run


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Two batches with people and a bad row, a run, a decision, a noted checkpoint; at rest."""
    made = new_store(tmp_path_factory.mktemp("once"))
    rows = [{"event_id": "a", "amount": 1, "email": "a@example.org", "order_id": "1"}]
    bad = complete([{"source": "shop", "record_row": 2, "records": 1, "code": "short_row",
                     "message": "too few fields", "raw_line": "x,"}],
                   model.QUARANTINE_SCHEMA)  # fmt: skip
    ingest(made, rows, quarantine=bad, physical=2)
    ingest(made, [{"event_id": "b", "amount": 2}], received_at=T0 + DAY)
    matches = complete([{"match_id": "m"}], model.RUN_TABLES["matches"])
    run = Run("r1", "rec", "live", 2, T0, "s", "u", None, "c")
    made.commit_run(run, {"matches": matches}, recorded_at=T0)
    made.add_decisions(pl.DataFrame({"verdict": ["same"], "stream": ["work"]}), T0)
    made.checkpoint()
    return made.path


@pytest.fixture
def store(tmp_path, made_once):
    shutil.copytree(made_once, tmp_path / "store")
    return Store.open(tmp_path / "store")


def said(store, level="all", since=None):
    """What a level of verify answers, as people read it."""
    return [str(problem) for problem in Store.open(store.path).verify(level, since=since)]


def first(store, folder, kind=None):
    """A file of a folder; of a kind of segment where one is named."""
    if kind is None:
        return min((store.path / folder).iterdir())
    rows = store.rows("segments").filter(pl.col("kind") == kind)
    return store.path / folder / f"{rows['sha256'][0]}.parquet"


def flip(path, place):
    """Change one bit at a place, from the end where it is negative, in the middle where None."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)


FILES = [("raw", None), ("seg", "events"), ("seg", "keys"), ("seg", "matches"), ("who", None),
         ("quarantine", None)]  # fmt: skip
PLACES = {"first byte": 0, "header": 3, "body": None, "footer": -12, "last byte": -1}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("folder", "kind"), FILES)
def test_one_flipped_bit_anywhere_in_a_file_is_found(store, folder, kind, place):
    """Magic bytes, body and footer of every kind of file; the chain alone does not look there."""
    path = first(store, folder, kind)
    flip(path, PLACES[place])

    assert said(store, "segments") == [
        f"{folder}/{path.name}: its bytes are not what was committed [changed_file]"
    ]
    assert said(store, "chain") == []


@pytest.mark.parametrize(("folder", "kind"), FILES)
def test_a_torn_or_emptied_file_is_found(store, folder, kind):
    """A file that ends early, or has no byte left, is not what was committed."""
    path = first(store, folder, kind)
    whole = path.read_bytes()
    path.chmod(0o644)
    for left in (len(whole) - 1, len(whole) // 2, 0):
        path.write_bytes(whole[:left])

        assert said(store, "segments") == [
            f"{folder}/{path.name}: its bytes are not what was committed [changed_file]"
        ]


def test_two_files_that_changed_names_are_both_found(store):
    """Each holds the bytes of the other."""
    one, other = (p for p in sorted((store.path / "raw").iterdir()))
    spare = store.path / "tmp" / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)

    assert said(store, "segments") == [
        f"raw/{path.name}: its bytes are not what was committed [changed_file]"
        for path in (one, other)
    ]


def test_rows_that_changed_places_within_a_segment_are_found(store):
    """A readable file with the same rows in another order is another file."""
    path = first(store, "seg", "keys")
    path.chmod(0o644)
    pl.read_parquet(path).reverse().write_parquet(path)

    assert said(store, "segments") == [
        f"seg/{path.name}: its bytes are not what was committed [changed_file]"
    ]


SWAP_LINKS = """
    update hashchain set body = case seq
        when 1 then (select body from hashchain where seq = 2)
        else (select body from hashchain where seq = 1) end where seq in (1, 2)"""
CATALOG = {
    "a byte of a link's bytes": (
        ["update hashchain set body = cast(replace(body, 'same', 'sane') as blob) where seq = 4"],
        "hashchain row 4: its bytes do not have its hash [changed_link]",
    ),
    "a digit of a link's hash": (
        ["update hashchain set hash = replace(hash, substr(hash, 1, 4), 'beef') where seq = 2"],
        "hashchain row 3: it does not name the link before it [broken_link]",
    ),
    "a digit of the hash before": (
        ["update hashchain set prev = replace(prev, substr(prev, 1, 4), 'beef') where seq = 2"],
        "hashchain row 2: it does not name the link before it [broken_link]",
    ),
    "two links that changed places": (
        [SWAP_LINKS],
        "hashchain row 1: its bytes do not have its hash [changed_link]",
    ),
    "a link that is missing": (
        ["delete from hashchain where seq = 2"],
        "hashchain row 3: sequence 2 is missing [gap]",
    ),
    "a link that was added": (
        ["insert into hashchain values (9, '00', x'7b7d', '00')"],
        "hashchain row 9: sequence 5 is missing [gap]",
    ),
    "a value of a row": (
        ["update artefacts set received_at = received_at + 1 where seq = 2"],
        "artefacts of sequence 2: column received_at is not what was committed [changed_row]",
    ),
    "two rows that changed places": (
        ["update artefacts set seq = -seq", "update artefacts set seq = 3 + seq"],
        "artefacts of sequence 1: column as_of is not what was committed [changed_row]",
    ),
    "a row that is missing": (
        ["delete from segments where seq = 3"],
        "segments of sequence 3: 0 rows, committed were 1 [changed_row]",
    ),
    "a row that was added": (
        ["insert into erasures (seq, kind, sha256) values (2, 'raw', 'x')"],
        "erasures: 1 rows, but the chain tells 0 [rows_outside_chain]",
    ),
    "free text that the chain holds as a keyed hash": (
        ["update decisions set note = 'never said'"],
        "decisions of sequence 4: column note is not what was committed [changed_row]",
    ),
    "the secret of the keyed hashes": (
        ["update meta set value = '00' where name = 'secret'"],
        "batches of sequence 1: column warnings is not what was committed [changed_row]",
    ),
    "the secret, so that it is none": (
        ["update meta set value = 'x' where name = 'secret'"],
        "meta.db: the secret of the store in meta.db is damaged",
    ),
    "the name of the store": (
        ["update meta set value = 'another' where name = 'store_id'"],
        "checkpoints/000000000004.note: it is of recon_kit/",
    ),
    "the tail": (
        ["delete from hashchain where seq = 4", "delete from decisions"],
        "checkpoints/000000000004.note: it has seen 4 links; now there are 3 [dropped_tail]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CATALOG)
def test_whatever_is_changed_in_the_catalog_is_found_by_the_chain(store, what):
    """Rows, links, their order and their number, against the triggers that would forbid it."""
    statements, expected = CATALOG[what]
    tamper(store, *statements)

    found = said(store, "chain")
    assert [text for text in found if text.startswith(expected)] != [], found


def rows_of(path):
    """Everything that the catalog's tables hold, or None where they cannot be read."""
    con = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        names = con.execute("select name from sqlite_master where type = 'table'").fetchall()
        return {n: con.execute(f"select * from {n}").fetchall() for (n,) in sorted(names)}
    except sqlite3.DatabaseError:
        return None
    finally:
        con.close()


def test_a_flipped_bit_in_any_page_of_the_catalog_is_found_or_changes_nothing(store):
    """The kind of each page, the start of its cells and its last cell: found, or no row differs."""
    meta = store.path / "meta.db"
    whole, before = meta.read_bytes(), rows_of(meta)
    size = int.from_bytes(whole[16:18], "big")
    missed, found = [], 0
    for page in range(len(whole) // size):
        head = page * size + (100 if page == 0 else 0)  # the file's own header comes first
        content = int.from_bytes(whole[head + 5 : head + 7], "big")
        cell = page * size + min(content + 3, size - 1)
        places = {head, cell, (page + 1) * size - 1} | ({0, 18, 56} if page == 0 else set())
        for place in sorted(places):
            data = bytearray(whole)
            data[place] ^= 1
            meta.write_bytes(data)
            answer = said_or_refused(store)
            found += bool(answer)
            if not answer and rows_of(meta) != before:
                missed.append(place)
    meta.write_bytes(whole)

    assert missed == []
    assert found > len(whole) // size
    assert said(store) == []


def said_or_refused(store):
    """What verify answers; a store that does not even open has been found out too."""
    try:
        return said(store)
    except LedgerError as why:
        return [str(why)]


# --- checkpoints and whole stores -----------------------------------------------------------------
def test_a_changed_checkpoint_is_found(store):
    """A note is three lines; one with another head says that it has seen another chain."""
    note = next((store.path / "checkpoints").iterdir())
    origin, size, head, _ = note.read_text(encoding="utf-8").split("\n")

    note.write_text(f"{origin}\n{size}\n{'0' * 64}\n", encoding="utf-8")
    assert said(store, "chain") == [
        f"checkpoints/{note.name}: link 4 has another hash now [rewritten]"
    ]
    note.write_text(f"{origin}\n{size}\n{head}", encoding="utf-8")
    assert said(store, "chain") == [
        f"checkpoints/{note.name}: it is no checkpoint note [unreadable_note]"
    ]


@pytest.fixture
def older(store, tmp_path):
    """A whole copy of the store as it was before one more file came, notes and all."""
    shutil.copytree(store.path, tmp_path / "older")
    ingest(store, [{"event_id": "c"}], received_at=T0 + 2 * DAY)
    return tmp_path / "older"


def test_an_older_database_is_found_by_the_notes_beside_it(store, older):
    """Yesterday's meta.db under today's notes: links are missing."""
    store.checkpoint()
    shutil.copyfile(older / "meta.db", store.path / "meta.db")

    assert said(store, "chain") == [
        "checkpoints/000000000005.note: it has seen 5 links; now there are 4 [dropped_tail]"
    ]


def test_a_whole_older_store_is_found_by_whoever_kept_a_checkpoint(store, older):
    """Nothing within can tell; a checkpoint of today that was kept elsewhere can."""
    mark = store.checkpoint(keep=False)
    shutil.rmtree(store.path)
    older.rename(store.path)

    assert said(store) == []
    assert said(store, "chain", mark) == [
        "the checkpoint given: it has seen 5 links; now there are 4 [dropped_tail]"
    ]


def test_a_foreign_database_is_found(store, tmp_path):
    """Another store's meta.db: the notes are of this one, and its files are not here."""
    mark = store.checkpoint(keep=False)
    (tmp_path / "other").mkdir()
    other = new_store(tmp_path / "other")
    receipt = ingest(other, [{"event_id": "z"}])
    origin = other.checkpoint(keep=False).origin
    shutil.copyfile(other.path / "meta.db", store.path / "meta.db")

    note = f"it is of {mark.origin}, this is {origin} [other_store]"
    assert said(store, "chain") == [f"checkpoints/000000000004.note: {note}"]
    assert said(store, "chain", mark)[-1] == f"the checkpoint given: {note}"
    missing = said(store, "segments")
    assert len(missing) == 2
    assert f"raw/{receipt.artefact_sha256}: it cannot be read" in missing[1]
    assert all(re.search(r"\(No such file or directory\) \[missing_file\]$", m) for m in missing)


def test_a_merged_file_is_as_well_guarded_as_any(store):
    """A flipped bit in it is found; the files it replaced are no longer missed when they leave."""
    for number in range(4):
        ingest(store, [{"event_id": f"n{number}"}], received_at=T0 + (3 + number) * DAY)
    store.compact(T0 + 9 * DAY)
    store.litter(T0 + 11 * DAY, remove=True)
    assert said(store) == []
    merged = store.rows("compactions")["replaced_by"][0]

    flip(store.path / "seg" / f"{merged}.parquet", None)

    assert said(store, "segments") == [
        f"seg/{merged}.parquet: its bytes are not what was committed [changed_file]"
    ]
