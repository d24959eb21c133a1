"""Backup, erasure and litter: the ledger is looked after without losing what it promised."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from ledger_kit import DAY, T0, complete, ingest, new_store, read

from recon_kit import model
from recon_kit.errors import FileRejectedError, LedgerError, WorkspaceError
from recon_kit.ledger.store import Store
from recon_kit.workbench.bench import Workbench
from recon_kit.workbench.setup import restore

ANA = {"event_id": "a", "amount": 100, "order_id": "1", "email": "Ana@example.org"}
BO = {"event_id": "b", "amount": 250, "order_id": "2", "email": "bo@example.org"}


def everything(path):
    """Every byte that lies in a store's files."""
    return b"".join(p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file())


@pytest.fixture
def store(tmp_path):
    made = new_store(tmp_path)
    ingest(made, [ANA, BO])
    ingest(made, [ANA | {"status": "paid"}], received_at=T0 + DAY)
    return made


def keys_of(store, address):
    return (
        read(store, f"select event_key from who_told where lower(email) = '{address}'")
        .to_series()
        .unique()
        .to_list()
    )


def erase(store, address="ana@example.org"):
    return store.erase(keys_of(store, address), actor="di", reason="asked on 5 March",
                       recorded_at=T0 + 2 * DAY)  # fmt: skip


# --- erasure --------------------------------------------------------------------------------------
def test_erased_fields_are_gone_from_every_telling_and_every_past(store):
    """Ana's address leaves all segments; her amounts stay, and so does Bo's address."""
    erased = erase(store)

    assert (erased.events, erased.rows, len(erased.raw)) == (1, 2, 2)
    for seq in (None, 1, 2):
        assert read(store, "select email from who order by all", as_of_seq=seq).rows() == [
            ("bo@example.org",)
        ]
        assert read(store, "select sum(amount) from events", as_of_seq=seq).item() == 350


def test_no_file_of_the_store_holds_an_erased_address(store):
    """Not in segments, not in received files, not in the catalog."""
    with_ana = re.compile(rb"ana@example\.org", re.IGNORECASE)
    raw = b"".join(p.read_bytes() for p in (store.path / "raw").iterdir())
    assert with_ana.search(raw)

    erase(store)

    assert not with_ana.search(everything(store.path))


def test_an_erasure_is_on_record_and_verifies(store):
    """Who removed how much is kept; why is in the chain as a keyed hash; verify is content."""
    erase(store)

    rows = store.rows("erasures").select("kind", "rows", "actor", "reason").rows()
    assert sorted(rows) == [
        ("raw", 0, "di", "asked on 5 March"),
        ("raw", 0, "di", "asked on 5 March"),
        ("who", 1, "di", "asked on 5 March"),
        ("who", 1, "di", "asked on 5 March"),
    ]
    assert Store.open(store.path).verify("all") == []


def test_two_erasures_of_one_segment_leave_what_neither_asked_for(store):
    """Ana's and then Bo's address go; the same segment was written anew twice."""
    erase(store)
    erase(store, "bo@example.org")

    assert read(store, "select count(*) from who").item() == 0
    assert read(store, "select count(*) from events").item() == 2
    assert store.verify("all") == []


def test_an_erased_file_that_comes_back_is_found_and_refused(store, tmp_path):
    """The very bytes do not come in again, and a copy put back by hand is a defect."""
    raw = next(p for p in (store.path / "raw").iterdir() if b"'b'" in p.read_bytes())
    content = raw.read_bytes()
    erase(store)
    (tmp_path / "again.csv").write_bytes(content)

    with pytest.raises(FileRejectedError, match="was erased on purpose"):
        store.receive(tmp_path / "again.csv", source="shop", received_at=T0)
    raw.write_bytes(content)

    assert [p.code for p in store.verify("segments")] == ["not_gone"]


def test_quarantined_lines_of_an_erased_file_are_blanked(tmp_path):
    """A line that could not be read may name the person too; its number and reason stay."""
    made = new_store(tmp_path)
    receipt = ingest(made, [BO])
    bad = complete(
        [{"source": "shop", "record_row": 2, "records": 1, "code": "short_row",
          "message": "too few fields", "raw_line": "ana@example.org,",
          "artefact_sha256": receipt.artefact_sha256}],
        model.QUARANTINE_SCHEMA,
    )  # fmt: skip
    ingest(made, [BO | {"status": "paid"}], received_at=T0 + DAY, quarantine=bad, physical=2)

    erased = erase(made, "bo@example.org")

    assert erased.lines == 1
    assert read(made, "select record_row, code, raw_line from quarantine").rows() == [
        (2, "short_row", None)
    ]


def test_a_person_is_found_by_address_or_by_order(shop):
    """The preview names events, never a personal field, and removes nothing."""
    bench = Workbench(shop, clock=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    bench.ingest("till", shop / "till.csv")

    by_mail = bench.erase(email="ANA@example.com ", reason="asked")
    by_order = bench.erase("#1001", reason="asked")

    assert (
        by_mail.frame["native_id"].to_list() == by_order.frame["native_id"].to_list() == ["#1001"]
    )
    assert "1 event would lose the personal fields" in by_mail.text()
    assert "ana@example.com" not in by_mail.text()
    assert bench.store.rows("erasures").is_empty()
    with pytest.raises(WorkspaceError, match="no event carries that address"):
        bench.erase(email="x@example.com", reason="asked")


# --- backup ---------------------------------------------------------------------------------------
def test_a_backup_is_a_whole_store(store, tmp_path):
    """The copy holds the same chain and the same facts, and verifies."""
    mark = store.backup(tmp_path / "copy")

    copy = Store.open(tmp_path / "copy")
    assert mark == store.checkpoint(keep=False) == copy.checkpoint(keep=False)
    assert read(copy, "select sum(amount) from events").item() == 350
    assert copy.verify("all") == []


def test_a_backup_never_overwrites(store, tmp_path):
    """A folder that holds anything is refused."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "x").touch()

    with pytest.raises(WorkspaceError, match="copy is not empty"):
        store.backup(tmp_path / "copy")


def test_a_backup_of_a_damaged_store_names_the_damage(store, tmp_path):
    """A copy that is not what was committed is no backup, and does not open."""
    victim = next((store.path / "seg").iterdir())
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0")

    with pytest.raises(LedgerError, match="is not what was committed"):
        store.backup(tmp_path / "copy")
    with pytest.raises(WorkspaceError, match="holds no store"):
        Store.open(tmp_path / "copy")


def test_a_backup_is_brought_back_into_a_workspace(shop, tmp_path):
    """The store is lost, the backup returns it; a store that is there is never overwritten."""
    bench = Workbench(shop, clock=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    bench.ingest("till", shop / "till.csv")
    bench.backup(tmp_path / "kept")
    with pytest.raises(WorkspaceError, match="holds a store already"):
        restore(shop, tmp_path / "kept")
    (shop / "store").rename(tmp_path / "lost")

    restore(shop, tmp_path / "kept")

    again = Workbench(shop, clock=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    assert again.store.batches()["accepted"].to_list() == [4]
    assert again.store.verify("all") == []


# --- litter ---------------------------------------------------------------------------------------
def test_only_old_files_that_nothing_names_are_litter(store):
    """A day-old segment without a row and a left copy go; young ones and named ones stay."""
    old = store.path / "seg" / ("f" * 64 + ".parquet")
    young, left = store.path / "seg" / ("e" * 64 + ".parquet"), store.path / "tmp" / "left"
    for path in (old, young, left):
        path.write_bytes(b"half")
    now = datetime.fromtimestamp(young.stat().st_mtime, UTC) + timedelta(seconds=1)
    for path in (old, left):
        os.utime(path, ((now - timedelta(hours=25)).timestamp(),) * 2)

    removed = store.litter(now, remove=True)

    assert sorted(one.where for one in removed) == [f"seg/{'f' * 64}.parquet", "tmp/left"]
    assert (old.exists(), left.exists(), young.exists()) == (False, False, True)
    assert store.verify("all") == []
