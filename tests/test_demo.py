"""The demo: one call from nothing to the report, and the same call again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon_kit.errors import WorkspaceError
from recon_kit.workbench import demo
from recon_kit.workbench.bench import Workbench

ORDERS = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small demo, made twice: the folder, what each time told, and the ledger in between."""
    folder = tmp_path_factory.mktemp("demo") / "small"
    first = demo.run(folder, orders=ORDERS)
    between = state(folder) | {"page": first.report.stat().st_mtime_ns}
    told: list[str] = []
    second = demo.run(folder, orders=ORDERS, progress=told.append)
    return folder, first, between, second, told


def state(folder: Path):
    """What a second run must not change: links of the ledger, current runs."""
    bench = Workbench(folder)
    runs = [bench.store.current_run(rec.name) for rec in bench.settings.reconciliations]
    return {
        "links": bench.store.checkpoint(keep=False).size,
        "runs": [run.run_id for run in runs if run is not None],
    }


@pytest.mark.slow
def test_the_first_run_makes_workspace_report_and_truth(made):
    """Native files, ledger, four runs, a report of one file, and rates beside the truth."""
    folder, first, between, _, _ = made

    assert (folder / "recon.toml").is_file()
    assert len(between["runs"]) == 4
    assert first.report.suffix == ".html"
    assert first.report.is_file()
    assert first.headlines[0].startswith("Orders to payments: ")
    assert set(first.frame["reconciliation"]) == {
        "orders_to_payments", "payments_to_payouts", "payouts_to_bank", "orders_to_conversions",
    }  # fmt: skip
    assert first.frame["precision"].min() > 0.9
    assert "Beside the known truth" in repr(first)


@pytest.mark.slow
def test_the_second_run_adds_nothing_and_leaves_the_report(made):
    """No link in the ledger, the same run ids, the same numbers, the page not rendered again."""
    folder, first, between, second, told = made

    after = state(folder) | {"page": second.report.stat().st_mtime_ns}

    assert after == between
    assert second.report == first.report
    assert second.headlines == first.headlines
    assert second.frame.equals(first.frame)
    assert not [text for text in told if "matching" in text]


@pytest.mark.slow
def test_a_demo_of_another_size_or_seed_is_refused(made):
    """A folder holds one demo; another one is asked to go elsewhere, and nothing is touched."""
    folder, _, between, _, _ = made

    with pytest.raises(WorkspaceError, match="is a demo of 300 orders with seed 7; ask for the"):
        demo.run(folder, orders=400)
    with pytest.raises(WorkspaceError, match="choose another folder, or remove this one"):
        demo.run(folder, orders=ORDERS, seed=8)

    assert state(folder)["links"] == between["links"]


def test_a_folder_that_is_no_demo_is_refused(tmp_path):
    """What somebody keeps in a folder is never mixed with an invented shop."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(WorkspaceError, match="is not empty and no demo"):
        demo.run(tmp_path, orders=ORDERS)
