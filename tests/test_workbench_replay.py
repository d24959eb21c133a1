"""The ledger told once more: the same files and decisions give the same facts and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest
from how_often import LONG

import recon_kit as rk
from recon_kit.cli.app import app
from recon_kit.errors import WorkspaceError
from recon_kit.ledger.store import Store

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATE = """Receipt,Day,Total,E-mail
#1003,2026-11-04,9.90,cyril@example.com
#1004,2026-11-19,40.00,di@example.com
#1005,2026-11-20,12.00,ed@example.com
"""
REPLAY = """
import sys, recon_kit as rk
found = rk.open(sys.argv[1]).replay(shuffle=int(sys.argv[2]))
print(found.same, *found.hashes["is"])
"""


@pytest.fixture
def bench(shop):
    """Two overlapping files of orders, one of payments, a decision and its undo, a run."""
    (shop / "late.csv").write_text(LATE, encoding="utf-8")
    opened = rk.Workbench(shop, clock=lambda: NOW)
    opened.ingest("till", shop / "till.csv")
    opened.ingest("card", shop / "card.csv")
    opened.ingest("till", shop / "late.csv", received_at=datetime(2026, 11, 20, 13, tzinfo=UTC))
    with opened.store.snapshot().engine() as engine:
        keys = dict(engine.rows("select native_id, event_key from events").rows())
    judged = {
        "reconciliation": "orders_to_payments", "left_key": keys["#1002"],
        "right_key": keys["c2"], "verdict": "not_same", "reviewer": "ana", "stream": "work",
    }  # fmt: skip
    first = opened.store.add_decisions(pl.DataFrame([judged]), NOW)
    opened.store.add_decisions(pl.DataFrame([{"undoes": first, "reviewer": "ana"}]), NOW)
    judged |= {"left_key": keys["#1003"], "right_key": keys["c9"], "verdict": "same"}
    opened.store.add_decisions(pl.DataFrame([judged]), NOW)
    opened.reconcile()
    return opened


@pytest.mark.parametrize("shuffle", [None, 1, 2])
def test_a_replay_gives_the_same_facts_and_results(bench, shuffle):
    """In the order of arrival or any other: one hash for the facts, one per reconciliation."""
    view = bench.replay(shuffle=shuffle)

    assert view.hashes.select("what", "same", "why").rows() == [
        ("facts", True, ""),
        ("orders_to_payments", True, ""),
    ]
    assert view.changed.is_empty()


def test_a_kept_replay_holds_what_people_said(bench, shop, tmp_path):
    """Decisions and undos stand in the fresh store, each undo naming its decision's new number."""
    bench.replay(tmp_path / "again")

    fresh = Store.open(tmp_path / "again")

    assert fresh.decisions_now().select("verdict", "reviewer").rows() == [("same", "ana")]
    assert fresh.decisions().height == bench.store.decisions().height
    assert fresh.verify("all") == []


def test_answers_after_the_last_run_are_no_difference(bench, shop, capsys):
    """Between an answer and the next run a result cannot be compared: exit 4, with the way out."""
    place = ["--workspace", str(shop)]
    app(["decide", "#1002", "c2", "--not-same", *place])
    capsys.readouterr()

    code = app(["verify", "--replay", *place])

    told = capsys.readouterr().out
    assert code == 4
    assert "unknown  files or answers came in after that run" in told
    assert "a run is older than what was told since: `recon run`, then replay again." in told
    assert [app([*words, *place]) for words in (["run"], ["verify", "--replay"])] == [0, 0]


def test_a_replay_leaves_no_litter(bench, shop):
    """A replay that is not kept leaves nothing beside the store."""
    before = sorted(p.name for p in shop.iterdir())

    bench.replay()

    assert sorted(p.name for p in shop.iterdir()) == before


def test_a_corrected_mapping_shows_what_reads_differently(bench, shop):
    """The order id stands in another column: every order reads differently, no payment does."""
    text = (shop / "recon.toml").read_text()
    (shop / "recon.toml").write_text(text.replace('order_id = "Receipt"', 'order_id = "E-mail"'))
    view = rk.Workbench(shop, clock=lambda: NOW).replay()

    assert not view.same
    assert view.hashes["why"].to_list() == [
        "5 of 9 facts read differently",
        "its settings have changed since",
    ]
    assert set(view.changed.select("source", "change").rows()) == {("till", "other content")}


def test_a_user_corrects_a_mapping_and_adopts_what_came_out(bench, shop, capsys):
    """`replay --into` shows the diff, exit 1; with that folder as the store all is the same again.

    The till's days are Berlin days: 5 facts read otherwise; the history of before stays as it was.
    """
    before = bench.verify().notes
    text = (shop / "recon.toml").read_text(encoding="utf-8")
    corrected = text.replace('"order"\ntimezone = "UTC"', '"order"\ntimezone = "Europe/Berlin"')
    (shop / "recon.toml").write_text(corrected, encoding="utf-8")
    told = []
    for words in (["replay", "--into", str(shop / "corrected")], ["verify"]):
        code = app([*words, "--workspace", str(shop), "--json"])
        told.append((code, json.loads(capsys.readouterr().out)))

    assert [code for code, _ in told] == [1, 0]
    assert told[0][1]["hashes"][0]["why"] == "5 of 9 facts read differently"
    assert {(row["source"], row["change"]) for row in told[0][1]["changed"]} == {
        ("till", "other content")
    }
    assert tuple(told[1][1]["notes"]) == before

    (shop / "recon.toml").write_text(
        corrected.replace('currency = "EUR"', 'currency = "EUR"\nstore = "corrected"', 1),
        encoding="utf-8",
    )
    codes = [
        app([*words, "--workspace", str(shop), "--json"])
        for words in (["run"], ["verify"], ["verify", "--replay"])
    ]
    capsys.readouterr()
    assert codes == [0, 0, 0]


def test_a_file_that_todays_settings_cannot_read_is_named(bench, shop):
    """A renamed column stops no replay: the refused file is listed and the rest is compared."""
    text = (shop / "recon.toml").read_text()
    (shop / "recon.toml").write_text(text.replace('native_id = "Id"', 'native_id = "Payment"'))

    view = rk.Workbench(shop, clock=lambda: NOW).replay()

    assert not view.same
    assert len(view.refused) == 1
    assert view.refused[0].startswith("card.csv: the header lacks")


def test_bytes_that_are_gone_cannot_be_replayed(bench):
    """A replay needs every received file; the one that is missing is named."""
    sha = bench.store.artefacts().filter(pl.col("name") == "card.csv")["sha256"].item()
    bench.store.raw_path(sha).unlink()

    with pytest.raises(WorkspaceError, match=r"card\.csv: its bytes are no longer in raw/"):
        bench.replay()


@pytest.mark.slow
@pytest.mark.parametrize(
    "world",
    ["corner shop", pytest.param("twin", marks=pytest.mark.skipif(not LONG, reason="RECON_LONG"))],
)
def test_machine_and_environment_leave_no_trace(request, world):
    """Threads, zone, locale and hash seed of the process change no hash, nor does the order."""
    workspace = request.getfixturevalue("bench" if world == "corner shop" else "twin_bench").folder
    said = set()
    for number, (threads, zone, locale) in enumerate(
        [("1", "UTC", "C"), ("2", "Asia/Kathmandu", "C.UTF-8"), ("8", "America/St_Johns", "POSIX")]
    ):
        environment = os.environ | {
            "RECON_THREADS": threads, "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": str(number),
            "POLARS_MAX_THREADS": threads,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", REPLAY, str(workspace), str(number)],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        said.add(done.stdout)

    assert len(said) == 1
    hashes = said.pop()
    if LONG:
        sys.stdout.write(f"{world}: {hashes}")
    assert hashes.startswith("True ")
