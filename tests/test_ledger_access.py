"""Who may write to a store beside its owner."""

from __future__ import annotations

import os
import stat

import pytest
from ledger_kit import T0, ingest, new_store, read

from recon_kit.cli import main
from recon_kit.errors import LedgerError
from recon_kit.ledger import access
from recon_kit.ledger.store import Store
from recon_kit.workbench.bench import Workbench


@pytest.mark.parametrize(
    "name", ["", "raw", "seg", "who", "quarantine", "tmp", "checkpoints", "meta.db", "FORMAT"]
)
def test_a_store_that_everybody_may_write_is_refused(tmp_path, name):
    """One folder or file that any user may change is enough; closed again, the store opens."""
    store = new_store(tmp_path)
    ingest(store, [{"event_id": "a"}])
    path = store.path / name if name else store.path
    mode = path.stat().st_mode
    path.chmod(mode | stat.S_IWOTH)

    with pytest.raises(LedgerError) as refusal:
        Store.open(store.path)
    assert str(refusal.value) == (
        f"every user of this machine may write to {path}, so nothing in it could be trusted; "
        f"close it (chmod -R o-w {store.path}), run `recon verify`, and go on."
    )
    path.chmod(mode)
    assert read(Store.open(store.path), "select event_id from events").item() == "a"


def test_a_store_is_not_made_where_everybody_writes(tmp_path):
    """A folder that is open to all is no place for a new store, and stays as it was."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    with pytest.raises(LedgerError, match="every user of this machine may write to"):
        Store.create(tmp_path / "open", created_at=T0)
    assert not (tmp_path / "open" / "meta.db").exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o770), (0o022, 0o750), (0o077, 0o700)])
def test_a_new_store_is_closed_to_others_whatever_the_umask(tmp_path, umask, mode):
    """Other users of the machine can neither read received files nor write anything."""
    before = os.umask(umask)
    try:
        store = new_store(tmp_path)
        ingest(store, [{"event_id": "a"}])
    finally:
        os.umask(before)

    folders = [store.path, *(p for p in store.path.iterdir() if p.is_dir())]
    assert {p.stat().st_mode & 0o777 for p in folders} == {mode}
    assert not any(p.stat().st_mode & stat.S_IWOTH for p in store.path.rglob("*"))
    assert read(Store.open(store.path), "select event_id from events").item() == "a"


def test_a_group_that_may_write_is_said_and_not_refused(tmp_path, monkeypatch):
    """A team may share a store; `recon doctor` names the group. One's own group is nobody else."""
    store = new_store(tmp_path)
    assert store.open_to() == []
    (store.path / "seg").chmod(0o770)

    monkeypatch.setattr(access, "_own_group", lambda *_: True)
    assert Store.open(store.path).open_to() == []
    monkeypatch.setattr(access, "_own_group", lambda *_: False)
    monkeypatch.setattr(access, "_group_name", lambda _: "interns")
    (said,) = Store.open(store.path).open_to()
    assert said == (
        "members of the group 'interns' may write to it; where that is no team of yours, "
        f"chmod -R g-w {store.path}"
    )


def test_doctor_says_who_else_reads_the_ledger(shop, capsys):
    """A store that everybody may read holds received files and addresses in the open."""
    bench = Workbench(shop)
    bench.ingest("till", shop / "till.csv")
    for path in (bench.store.path, bench.store.path / "raw"):
        path.chmod(0o755)

    def doctor():
        with pytest.raises(SystemExit):
            main(["doctor", "-w", str(shop)])
        return " ".join(capsys.readouterr().out.split())

    assert "access warn every user of this machine may read received files" in doctor()
    bench.store.path.chmod(0o750)
    assert "access ok its owner alone" in doctor()
    bench.store.path.chmod(0o777)
    assert "workspace fail every user of this machine may write to" in doctor()
