"""What a change would do, told before it does it: on the facts of now, and of then."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
from certified_shop import NOW, TOML, answer, make

from recon_kit import cli
from recon_kit.errors import SettingsError, UnknownNameError
from recon_kit.workbench.bench import Workbench

ORDERS = 60


@pytest.fixture(scope="module")
def proposed(tmp_path_factory):
    """Sixty orders whose payments are proposed; nothing is matched."""
    return make(tmp_path_factory.mktemp("compare") / "shop", orders=ORDERS).folder


@pytest.fixture
def bench(proposed, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(proposed, tmp_path / "shop")
    return Workbench(tmp_path / "shop", clock=lambda: NOW)


def ordered(bench) -> int:
    """Money of all orders, in cents."""
    with bench.store.snapshot().engine() as engine:
        return int(engine.one("select sum(amount) from events where event_type = 'order'")[0])


def test_a_threshold_says_what_it_would_gain_and_changes_nothing(bench):
    """All sixty orders would be matched, with their money and whose they are; none is."""
    current = bench.store.current_run("orders_to_payments")
    money = ordered(bench)

    found = bench.compare(threshold=0.5)

    assert found.sums.rows() == [("gained", "probable", "EUR", ORDERS, money)]
    assert found.owners.select("change", "currency", "items", "amount_minor").rows() == [
        ("gained", "EUR", ORDERS, money)
    ]
    assert found.comparison.standing.rows() == [("proposed", "matched", "EUR", ORDERS, money)]
    assert found.lines() == [
        "Compared: what was in force as of 2026-05-01 with probable from 0.5 on, uncertified.",
        f"Gained {ORDERS} ({money / 100:,.2f} EUR); lost none; moved none.",
    ]
    assert set(found.frame["change"]) == {"gained"}
    assert found.frame.height == 2 * ORDERS
    assert bench.store.current_run("orders_to_payments") == current
    assert bench.matches().frame.is_empty()


def test_the_other_way_round_it_is_lost(bench):
    """Two finished runs, by the beginning of their ids, in either order."""
    runs = bench.compare(threshold=0.5).comparison.difference

    back = bench.compare(before=runs.after[:12], after=runs.before[:12])
    same = bench.compare(before=runs.after[:12], after=runs.after[:12])

    assert back.sums.select("change", "method", "items").rows() == [("lost", "probable", ORDERS)]
    assert same.lines()[1] == "No left event changes its match."


def test_another_settings_file_is_compared_as_a_whole(bench, tmp_path):
    """Bank rules of tomorrow on the facts of today: a file beside the one in force."""
    wider = tmp_path / "wider.toml"
    wider.write_text(
        TOML.replace("review_min = 0.20", 'review_min = 0.20\nuncertified = "auto"'),
        encoding="utf-8",
    )

    found = bench.compare(settings=wider)

    assert found.sums.select("change", "method", "items").rows() == [("gained", "probable", ORDERS)]
    assert found.what == "what was in force as of 2026-05-01 with the settings of wider.toml"


def test_on_what_was_known_then(bench):
    """Before the payments came there was nothing to match, whatever the threshold."""
    assert bench.compare(threshold=0.5, as_of=1).sums.is_empty()
    assert bench.compare(threshold=0.5, as_of=2).sums["items"].to_list() == [ORDERS]


def test_a_certificate_is_compared_as_if_promoted(tmp_path):
    """Proven but not approved: the comparison says what it will do; nothing is matched yet."""
    bench = make(tmp_path / "shop", orders=400)
    bench.draw_audit(rate=0.5)
    drawn = answer(bench)
    named = bench.certify(by="dee").certificate_id

    found = bench.compare(change=named[:10])

    assert found.sums.select("change", "method", "items").rows() == [
        ("gained", "probable", 400 - drawn)
    ]
    assert found.frame.filter(pl.col("side") == "left")["disposition_after"].unique().to_list() == [
        "auto"
    ]
    assert bench.promote().frame.filter(kind="certificate")["state"].to_list() == ["waiting"]


def test_what_cannot_be_compared_says_why(bench):
    """Nothing named, a threshold below what is proposed, a run or change nobody knows."""
    with pytest.raises(SettingsError, match="nothing to compare: name a change, a threshold"):
        bench.compare()
    with pytest.raises(SettingsError, match=r"threshold 0\.1 must lie between review_min 0\.2"):
        bench.compare(threshold=0.1)
    with pytest.raises(SettingsError, match=r"change 'abc' and threshold 0\.9 are two questions"):
        bench.compare(change="abc", threshold=0.9)
    with pytest.raises(SettingsError, match="a share needs the change that is to be tried"):
        bench.compare(threshold=0.9, share=0.1)
    with pytest.raises(SettingsError, match="a margin needs a threshold"):
        bench.compare(change="abc", margin=0.1)
    with pytest.raises(UnknownNameError, match="zzz"):
        bench.compare(before="zzz", after="zzz")
    with pytest.raises(UnknownNameError, match="zzz"):
        bench.compare(change="zzz")


def test_the_command_line_tells_the_same(bench, capsys):
    """One object with sums, owners, the two runs and the events."""
    with pytest.raises(SystemExit) as done:
        cli.main(["compare", "--threshold", "0.5", "--json", "--workspace", str(bench.folder)])
    told = json.loads(capsys.readouterr().out)

    assert done.value.code == 0
    assert told["sums"][0]["items"] == ORDERS
    assert told["runs"]["before"] != told["runs"]["after"]
    assert told["events_total"] == len(told["rows"]) == 2 * ORDERS
