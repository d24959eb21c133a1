import hashlib
import sqlite3

import polars as pl
import pytest
from ledger_kit import DAY, T0, ingest, new_store

from recon_kit.errors import LedgerError
from recon_kit.ledger.hashchain import START, Checkpoint, canonical, link_hash
from recon_kit.model import Run

RUN = Run("r1", "rec", "live", 2, T0, "s", "u", None, "c")


@pytest.fixture
def store(tmp_path):
    """A store with two batches, a run, a decision and personal data."""
    made = new_store(tmp_path)
    ingest(made, [{"event_id": "a", "amount": 1, "email": "a@example.org", "order_id": "1"}])
    ingest(made, [{"event_id": "b", "amount": 2}], received_at=T0 + DAY)
    made.commit_run(RUN, {}, recorded_at=T0)
    made.add_decisions(pl.DataFrame({"verdict": ["same"], "stream": ["work"]}), T0)
    return made


def tamper(store, *statements):
    """Change the catalog behind the ledger's back."""
    con = sqlite3.connect(store.path / "meta.db", isolation_level=None)
    for (name,) in con.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        con.execute(f"drop trigger {name}")
    for statement in statements:
        con.execute(statement)
    con.close()


def found(store, level="all", **options):
    """Codes and places of what verify finds."""
    return [(p.code, p.where) for p in store.verify(level, **options)]


def flip(path):
    """Change one bit in the middle of a file."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_canonical_bytes_have_one_spelling():
    """Names in order, no spaces, text in NFC, and nothing that has two spellings."""
    assert (
        canonical({"b": [1, None, True], "a": "e\u0301\n"})
        == '{"a":"\u00e9\\n","b":[1,null,true]}'.encode()
    )
    for value in (1.0, 2**53 + 1, {1: "a"}, {"\u00e9": 1}, b"x"):
        with pytest.raises(LedgerError, match="takes text, booleans, null and integers"):
            canonical({"value": value})


def test_a_link_hashes_the_link_before_it():
    """The published formula, by hand."""
    body = b'{"seq":1}'
    expected = hashlib.sha256(b"\x00" + bytes(32) + body).hexdigest()
    assert link_hash(START, body) == expected


def test_a_sound_store_has_no_problem(store):
    """Every level finds nothing in a store that nobody touched."""
    assert [store.verify(level) for level in ("chain", "segments", "all")] == [[], [], []]


@pytest.mark.parametrize("folder", ["raw", "seg", "who"])
def test_a_flipped_bit_in_any_file_is_found(store, folder):
    """Facts, personal rows and received bytes are all hashed again, and the file is named."""
    path = min((store.path / folder).iterdir())
    flip(path)

    assert found(store, "segments") == [("changed_file", f"{folder}/{path.name}")]
    assert found(store, "chain") == []


def test_a_missing_segment_is_found(store):
    """A file that is gone is named as well."""
    path = min((store.path / "seg").iterdir())
    path.unlink()

    assert found(store) == [("missing_file", f"seg/{path.name}")]


def test_a_changed_link_is_found(store):
    """Bytes of the chain that no longer have their hash."""
    tamper(
        store,
        "update hashchain set body = cast(replace(body, 'shop', 'shoq') as blob) where seq = 2",
    )

    assert ("changed_link", "hashchain row 2") in found(store)


def test_a_rewritten_link_breaks_the_next_one(store):
    """Whoever also repairs the hash breaks the link after it."""
    with store._catalog.read() as reader:
        prev, body = reader.all("select prev, body from hashchain where seq = 2")[0]
    body = body.replace(b"shop", b"shoq")
    tamper(
        store,
        f"update hashchain set body = x'{body.hex()}', hash = '{link_hash(prev, body)}' "
        "where seq = 2",
    )

    problems = found(store)
    assert ("broken_link", "hashchain row 3") in problems
    assert ("changed_row", "batches of sequence 2") in problems


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update batches set accepted = 2 where seq = 1", ("changed_row", "batches of sequence 1")),
        ("update decisions set verdict = 'not_same'", ("changed_row", "decisions of sequence 4")),
        ("update decisions set note = 'x'", ("changed_row", "decisions of sequence 4")),
        ("update runs set result_hash = 'x'", ("changed_row", "runs of sequence 3")),
        ("delete from segments where seq = 2 and kind = 'events'",
         ("changed_row", "segments of sequence 2")),
        ("delete from hashchain where seq = 2", ("gap", "hashchain row 3")),
        ("insert into approvals (seq, approver) values (9, 'x')",
         ("rows_outside_chain", "approvals")),
    ],
)  # fmt: skip
def test_a_changed_row_of_the_catalog_is_found(store, statement, expected):
    """Rows are compared with what the chain says was committed."""
    tamper(store, statement)

    assert expected in found(store, "chain")


def test_counts_that_no_longer_tie_are_found(store):
    """The six counts are checked again."""
    tamper(store, "update batches set blank = 1 where seq = 1")

    assert ("counts", "batches of sequence 1") in found(store, "chain")


def test_a_dropped_tail_is_found_by_whoever_holds_a_checkpoint(store):
    """The chain alone cannot know how long it was; a note of its size can."""
    elsewhere = store.checkpoint(keep=False)
    tamper(store, "delete from hashchain where seq = 4", "delete from decisions")

    assert found(store) == []
    assert found(store, since=elsewhere) == [("dropped_tail", "the checkpoint given")]


def test_a_rewritten_tail_is_found_by_the_notes_of_the_store(store):
    """Same length, other content: the noted head differs."""
    state = store.checkpoint()
    note = store.path / "checkpoints" / "000000000004.note"
    tamper(store, "delete from hashchain where seq = 4", "delete from decisions")
    store.add_decisions(pl.DataFrame({"verdict": ["not_same"], "stream": ["work"]}), T0)

    assert Checkpoint.parse(note.read_text(encoding="utf-8")) == state
    assert found(store) == [("rewritten", "checkpoints/000000000004.note")]


def test_a_checkpoint_of_another_store_is_named(store, tmp_path):
    """Two stores are never taken for one another."""
    (tmp_path / "other").mkdir()
    other = new_store(tmp_path / "other").checkpoint()

    assert found(store, since=other) == [("other_store", "the checkpoint given")]


def test_a_checkpoint_is_three_lines():
    """Origin, size and head, each on its line; anything else is refused."""
    state = Checkpoint("recon_kit/ab", 7, "c" * 64)
    assert str(state) == f"recon_kit/ab\n7\n{'c' * 64}\n"
    assert Checkpoint.parse(str(state)) == state
    with pytest.raises(LedgerError, match="three lines"):
        Checkpoint.parse("recon_kit/ab\n7\n")


def test_a_damaged_catalog_is_a_problem_not_a_crash(store):
    """Verify answers even where SQLite cannot read its file."""
    (store.path / "meta.db").write_bytes(b"not a database at all" * 400)
    for name in ("meta.db-wal", "meta.db-shm"):
        (store.path / name).unlink(missing_ok=True)

    assert found(store) == [("catalog_unreadable", "meta.db")]


def test_the_catalog_itself_refuses_to_change_rows(store):
    """A slip of hand with a SQL shell is stopped by the tables themselves."""
    con = sqlite3.connect(store.path / "meta.db", isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="batches is append only"):
        con.execute("update batches set accepted = 0")
    with pytest.raises(sqlite3.IntegrityError, match="decisions is append only"):
        con.execute("delete from decisions")
    con.close()
