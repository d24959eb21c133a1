"""Received files are kept for so many days; then they may leave, on record and never silently."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from ledger_kit import DAY, T0, draft, ingest, new_store, read
from test_ledger_chain import tamper

import recon_kit as rk
from recon_kit.cli.app import app
from recon_kit.errors import LedgerError, SettingsError
from recon_kit.ledger import batches
from recon_kit.ledger.store import Store
from recon_kit.settings import loads

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
A = {"event_id": "a", "amount": 1}
B = {"event_id": "b", "amount": 2}


@pytest.fixture
def store(tmp_path):
    """Two files, of 5 January and of 1 March."""
    made = new_store(tmp_path)
    ingest(made, [A])
    ingest(made, [B], received_at=T0 + 55 * DAY)
    return made


def drop(store, days_after, days_min=90):
    return store.drop_old_files(T0 + days_after * DAY, days_min, actor="di")


def raw(store):
    return {p.name for p in (store.path / "raw").iterdir()}


def test_a_file_younger_than_the_days_is_never_removed(store):
    """After 89 days nothing may go, after 90 the first file, a moment before that none."""
    assert store.old_files(T0 + 89 * DAY, 90) == []
    assert store.old_files(T0 + 90 * DAY - timedelta(seconds=1), 90) == []
    assert drop(store, 89) == []
    assert len(raw(store)) == 2

    gone = drop(store, 90)

    assert [one.received_at for one in gone] == [T0]
    assert raw(store) == set(store.artefacts()["sha256"]) - {gone[0].sha256}


def test_what_was_dropped_is_on_record(store):
    """Which file of which source, its hash, how long it was kept, when it left and by whom."""
    gone = drop(store, 90)[0]

    row = store.rows("raw_drops").row(0, named=True)
    assert row == {
        "seq": 3, "sha256": gone.sha256, "source": "shop", "name": gone.name,
        "bytes": gone.bytes, "received_at": T0, "days_min": 90, "actor": "di",
        "recorded_at": T0 + 90 * DAY,
    }  # fmt: skip
    assert Store.open(store.path).verify("all") == []
    assert read(store, "select sum(amount) from events").item() == 3


def test_without_the_record_a_missing_file_is_a_defect(store):
    """Taking the record back, or removing a file by hand, is found."""
    gone = drop(store, 90)[0]
    other = (raw(store)).pop()
    (store.path / "raw" / other).unlink()

    assert [(p.code, p.where) for p in store.verify("segments")] == [
        ("missing_file", f"raw/{other}")
    ]
    tamper(store, "delete from raw_drops")
    assert ("changed_row", "raw_drops of sequence 3") in [
        (p.code, p.where) for p in store.verify("chain")
    ]
    assert ("missing_file", f"raw/{gone.sha256}") in [
        (p.code, p.where) for p in store.verify("segments")
    ]


def test_a_file_that_came_again_counts_from_then(store, tmp_path):
    """Read anew under another mapping on day 80, it is kept until day 170."""
    first = store.artefacts().row(0, named=True)
    later = store.receive(store.raw_path(first["sha256"]), source="shop", received_at=T0 + 80 * DAY)
    store.commit_batch(draft(store, [A], artefact=later, mapping_version="m2"))

    assert drop(store, 144) == []
    assert {one.received_at for one in drop(store, 170)} == {T0 + 55 * DAY, T0 + 80 * DAY}


def test_a_dropped_file_may_come_in_again(store):
    """It is known, adds nothing, and lies in raw/ as if it had never left."""
    gone = drop(store, 90)[0]
    again = ingest(store, [A])

    assert again.already_known
    assert gone.sha256 in raw(store)
    assert store.not_kept() == {}
    assert store.verify("all") == []


def test_a_file_dropped_while_it_is_judged_is_not_committed(store, monkeypatch):
    """Nothing is ever committed whose bytes are gone."""
    ready = draft(store, [{"event_id": "c"}])
    prepare = batches._prepare

    def and_drop(*arguments):
        made = prepare(*arguments)
        store.raw_path(ready.artefact.sha256).unlink()
        return made

    monkeypatch.setattr(batches, "_prepare", and_drop)
    with pytest.raises(LedgerError, match="its bytes are not in raw/; call `receive`"):
        store.commit_batch(ready)

    assert store.batches().height == 2


def test_a_file_that_was_received_and_never_ingested_ages_too(store, tmp_path):
    """A refused file stays for its days, and a young one for whoever is about to commit it."""
    path = tmp_path / "refused.csv"
    path.write_bytes(b"x")
    sha = store.receive(path, source="shop", received_at=T0).sha256
    kept = datetime.fromtimestamp(store.raw_path(sha).stat().st_mtime, UTC)

    assert sha not in {one.sha256 for one in store.old_files(kept + timedelta(hours=23), 0)}
    gone = {one.sha256: one for one in store.drop_old_files(kept + 90 * DAY, 90, actor="di")}
    assert (gone[sha].source, gone[sha].name, gone[sha].bytes) == (None, None, 1)
    assert store.rows("raw_drops").filter(pl.col("sha256") == sha)["name"].to_list() == [None]
    assert store.verify("all") == []


def test_a_crash_after_the_record_leaves_a_file_too_many(store, monkeypatch):
    """The next call removes it, without a second record."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drop(store, 90)
    assert len(raw(store)) == 2
    assert store.verify("all") == []

    assert len(drop(store, 91)) == 1

    assert store.rows("raw_drops").height == 1
    assert len(raw(store)) == 1


def test_days_are_never_negative(store):
    """Neither in the settings nor by a call."""
    with pytest.raises(LedgerError, match="kept for -1 days; the number is never negative"):
        drop(store, 90, days_min=-1)
    with pytest.raises(SettingsError, match="raw_days_min"):
        loads('[workspace]\nname = "x"\n[ledger]\nraw_days_min = -1\n')
    assert loads('[workspace]\nname = "x"\n').ledger.raw_days_min == 90


# --- what replay and verify say -------------------------------------------------------------------
@pytest.fixture
def bench(shop):
    """Payments that came in eight days ago, orders of today, and a run over both."""
    text = (shop / "recon.toml").read_text(encoding="utf-8")
    (shop / "recon.toml").write_text(f"{text}\n[ledger]\nraw_days_min = 7\n", encoding="utf-8")
    opened = rk.Workbench(shop, clock=lambda: NOW)
    card = (shop / "card.csv").read_text(encoding="utf-8").replace("2026-11-20", "2026-11-11")
    (shop / "card.csv").write_text(card, encoding="utf-8")
    opened.ingest("card", shop / "card.csv", received_at=NOW - 8 * DAY)
    opened.ingest("till", shop / "till.csv")
    opened.reconcile()
    return opened


def test_a_replay_says_what_cannot_be_told_again(bench):
    """Four payments of the dropped file are unknown, not different; the orders are the same."""
    listed = bench.old_files()
    assert listed.frame["file"].to_list() == ["card.csv"]
    assert "`recon doctor --gc --raw` drops them" in listed.text()
    bench.old_files(drop=True, actor="di")

    view = bench.replay()

    assert (view.same, view.unknown) == (False, True)
    assert len(view.untold) == 1
    assert view.untold[0].startswith("card.csv: dropped on 2026-11-20 by di, after the days")
    assert view.untold[0].endswith("it cannot be told again")
    assert view.hashes.select("what", "same", "why").rows() == [
        ("facts", None, "4 of 8 facts were told by files that are no longer kept"),
        ("orders_to_payments", None, "files that it may have read are no longer kept"),
    ]
    assert set(view.changed.select("source", "change").rows()) == {("card", "not kept")}
    assert "not everything could be told again" in view.text()
    assert "1 received file left raw/ on record" in bench.verify().text()
    assert bench.verify().frame.is_empty()


def test_a_real_difference_is_not_hidden_by_a_dropped_file(bench, shop):
    """The till's days are Berlin days now: that differs, whatever is no longer kept."""
    bench.old_files(drop=True, actor="di")
    text = (shop / "recon.toml").read_text(encoding="utf-8")
    (shop / "recon.toml").write_text(
        text.replace('"order"\ntimezone = "UTC"', '"order"\ntimezone = "Europe/Berlin"'),
        encoding="utf-8",
    )
    view = rk.Workbench(shop, clock=lambda: NOW).replay()

    assert (view.same, view.unknown) == (False, False)
    assert view.hashes["why"].to_list() == [
        "4 of 8 facts read differently; 4 of 8 facts were told by files that are no longer kept",
        "its settings have changed since",
    ]


def test_an_erased_file_is_unknown_to_a_replay_as_well(bench):
    """Ana's orders file is gone: four facts cannot be told again, and nobody claims otherwise."""
    bench.erase(email="ana@example.com", reason="asked", confirm=True, actor="di")

    view = bench.replay()

    assert view.unknown
    assert view.untold == ("till.csv: erased on 2026-11-20 by di; it cannot be told again",)


def test_a_user_drops_old_files_by_one_command(bench, shop, capsys):
    """List, drop, list again, replay: exit codes 0, 0, 0 and 4, and one JSON object each."""
    bench_now = f'as_of = "{NOW:%Y-%m-%dT%H:%M:%SZ}"'
    assert bench_now in (shop / "recon.toml").read_text(encoding="utf-8")
    said = []
    for words in (["doctor", "--raw"], ["doctor", "--gc", "--raw"], ["doctor", "--raw"],
                  ["replay"]):  # fmt: skip
        code = app([*words, "--workspace", str(shop), "--json"])
        said.append((code, json.loads(capsys.readouterr().out)))

    assert [code for code, _ in said] == [0, 0, 0, 4]
    assert [len(answer["rows"]) for _, answer in said[:3]] == [1, 1, 0]
    assert said[2][1]["notes"] == [
        "every received file is younger than 7 days (`raw_days_min`): all are kept."
    ]
    assert said[3][1]["same"] is None
    till = bench.store.artefacts().filter(pl.col("name") == "till.csv")["sha256"].item()
    assert raw(bench.store) == {till}
