"""Power cuts: whatever was committed is whole afterwards, and every sync is needed for that."""

from __future__ import annotations

import os
import sys

import polars as pl
import pytest
from ledger_kit import draft, new_store
from lossy_disk import losses, recorded

from recon_kit import model

CUTS = int(os.environ.get("RECON_CUTS", "400"))
ROWS = [
    {"event_id": "a", "amount": 100, "order_id": "1", "email": "ana@example.org"},
    {"event_id": "b", "amount": 250, "order_id": "2"},
    {"event_id": "b", "amount": 250, "order_id": "2"},
]
BAD_ROW = {
    "artefact_sha256": "x", "source": "shop", "record_row": 4, "records": 1, "code": "short_row",
    "column": None, "message": "too few fields", "raw_line": "c,",
}  # fmt: skip


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What ingesting one file calls: facts, people, keys, repeats and quarantine."""
    store = new_store(tmp_path)
    bad = pl.DataFrame([BAD_ROW], schema=model.QUARANTINE_SCHEMA)
    with recorded(monkeypatch) as made:
        ready = draft(store, ROWS, quarantine=bad, physical=4)
        receipt = store.commit_batch(ready)
    assert receipt.counts.as_tuple() == (4, 2, 1, 0, 1, 0)
    return made


def test_no_power_cut_loses_a_committed_fact(calls, capsys):
    """At whatever moment the power goes, committed files have their names and their bytes."""
    lost = losses(calls, CUTS * 10, seed=7)

    with capsys.disabled():
        syncs = sum(call.kind == "sync" for call in calls)
        sys.stdout.write(f"\n{CUTS * 10} power cuts over {syncs} syncs: {lost} losses\n")
    assert lost == 0


def test_every_single_sync_is_needed(calls, capsys):
    """Leaving out any one sync of a file or folder loses committed facts at some power cut."""
    found = []
    for number, call in enumerate(calls):
        if call.kind == "sync":
            without = [*calls[:number], *calls[number + 1 :]]
            found.append(losses(without, CUTS, seed=number))

    with capsys.disabled():
        sys.stdout.write(f"\nlosses of {CUTS} power cuts, each sync left out once: {found}\n")
    assert len(found) >= 9
    assert min(found) > 0
