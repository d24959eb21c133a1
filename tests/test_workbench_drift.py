"""A certificate holds while what comes in is like what it was proven on, and says why it ends."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
from certified_shop import NOW, answer, make, more, promote

from recon_kit import cli, stats
from recon_kit.tuning import drift
from recon_kit.workbench.bench import Workbench

NEW = range(1_000, 1_160)
WHY = (
    "drift: comparison customer has an index of 12.40 on 160 new events "
    "(same e-mail: 100% then, 0% now)"
)


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """The keyless shop under a certificate, its matches made."""
    folder = tmp_path_factory.mktemp("drift") / "shop"
    bench = make(folder)
    bench.draw_audit(rate=0.5)
    answer(bench)
    promote(bench)
    bench.reconcile()
    return folder


@pytest.fixture
def bench(certified, tmp_path):
    folder = tmp_path / "shop"
    shutil.copytree(certified, folder)
    return Workbench(folder, clock=lambda: NOW)


def standing(bench):
    """Matches of the current run by method and whether a certificate allows them; proposals."""
    run = bench.store.current_run("orders_to_payments")
    with bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        found = engine.rows(
            "select method, certificate_id is not null, count(*) from matches "
            "group by all order by all"
        )
        return found.rows(), engine.count("proposals")


def test_a_reconciliation_without_keys_is_certified_and_watched_like_any(tmp_path):
    """Its reference has partners found and levels, and no key that could go missing."""
    bench = make(tmp_path / "shop")
    toml = (bench.folder / "recon.toml").read_text(encoding="utf-8")
    keyless = toml.replace('keys = ["order_id"]', "keys = []")
    (bench.folder / "recon.toml").write_text(keyless, encoding="utf-8")
    bench = Workbench(bench.folder, clock=lambda: NOW)
    bench.reconcile()
    bench.draw_audit(rate=0.5)
    answer(bench)
    promote(bench)
    bench.reconcile()

    seen = bench.drift()
    assert seen.notes[0].endswith("not voided.")
    assert {"partners of shop", "partners of card"} <= set(seen.frame["measure"])
    assert not any(name.startswith("order_id of") for name in seen.frame["measure"])


def test_more_of_the_same_is_matched_under_the_certificate(bench):
    """160 orders as before: nothing has drifted, all of them are matched."""
    (_, (_, _, before)), _ = standing(bench)

    more(bench, NEW)
    bench.reconcile()

    made, proposed = standing(bench)
    assert made[1] == ("probable", True, before + 160)
    assert proposed == 0
    assert set(bench.drift().frame["state"]) == {"steady"}


def test_what_drifted_is_proposed_and_says_why(bench, capsys):
    """The processor stops telling e-mails: no match under the old promise, a case, the reason."""
    more(bench, NEW, who=",Given{0} Family{1}")
    told = []
    bench.reconcile(progress=told.append)

    assert "drifted 12.4 400 160" in " ".join(bench.drift().text().split())
    made, proposed = standing(bench)
    assert [m[0] for m in made] == ["decided"]
    assert proposed == 560 - made[0][2]
    assert f"orders_to_payments: certificate of probable void: {WHY}" in told
    case = bench.queue().frame.filter(pl.col("kind") == "drift").row(0, named=True)
    assert (case["owner"], json.loads(case["diffs"])["why"]) == ("finance", WHY)
    assert f"the certificate was voided ({WHY})" in bench.matches().about.line()
    last = bench.store.rows("approvals").row(-1, named=True)
    assert (last["verdict"], last["approver"], last["note"]) == ("voided", "drift check", WHY)

    with pytest.raises(SystemExit) as stopped:
        cli.main(["drift", "--workspace", str(bench.folder), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 3
    assert [r["measure"] for r in shown["rows"] if r["state"] == "drifted"] == [
        "comparison customer"
    ]


def test_a_void_certificate_stays_void_and_the_case_stays_one(bench):
    """The next run does not ask again, and does not come back to the promise by itself."""
    more(bench, NEW, who=",Given{0} Family{1}")
    bench.reconcile()
    words = bench.store.rows("approvals").height
    case = bench.queue().frame.filter(pl.col("kind") == "drift")["case_id"].to_list()

    more(bench, range(2_000, 2_010))
    bench.reconcile()

    assert bench.store.rows("approvals").height == words
    assert bench.queue().frame.filter(pl.col("kind") == "drift")["case_id"].to_list() == case
    assert [m[0] for m in standing(bench)[0]] == ["decided"]


def test_a_key_that_vanishes_is_drift(bench):
    """The shop exports no order ids any more: the share of null keys says so."""
    text = (bench.folder / "recon.toml").read_text(encoding="utf-8")
    (bench.folder / "recon.toml").write_text(
        text.replace('order_id = "Order"', 'order_id = "Reference"'), encoding="utf-8"
    )
    told = Workbench(bench.folder, clock=lambda: NOW)
    lines = (bench.folder / "shop.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"N{i:04}{line[5:]}," for i, line in enumerate(lines[1:161])]
    path = bench.folder / "renamed.csv"
    path.write_text("\n".join([lines[0] + ",Reference", *rows]) + "\n", encoding="utf-8")

    told.ingest("shop", path)
    told.reconcile()

    found = told.drift().frame.filter(pl.col("state") == "drifted")["measure"].to_list()
    assert "order_id of shop" in found


@pytest.mark.parametrize(("wrong", "code", "state"), [(0, 4, "observe"), (25, 3, "roll_back")])
def test_matches_under_a_certificate_are_watched(bench, capsys, wrong, code, state):
    """160 drawn from the matches made since: all right is too early to say, 25 wrong end it."""
    assert bench.watch().frame.row(0)[:4] == ("all", "observe", 0, 0)
    more(bench, NEW)
    bench.reconcile()
    before = bench.store.rows("audit_draws").drop_nulls("event_key")["event_key"]
    bench.draw_audit(rate=1.0)
    label(bench, [k for k in drawn(bench) if k not in set(before)], wrong)

    with pytest.raises(SystemExit) as stopped:
        cli.main(["watch", "--apply", "--by", "bo", "--workspace", str(bench.folder), "--json"])
    shown = json.loads(capsys.readouterr().out)

    assert (stopped.value.code, shown["rows"][0]["state"]) == (code, state)
    assert shown["rows"][0]["wrong"] == wrong
    assert shown["rows"][0]["labels"] >= 160
    held = [r["state"] for r in bench.promote().frame.to_dicts() if r["kind"] == "certificate"]
    assert held == ["in force" if state == "observe" else "approved"]


def drawn(bench):
    return bench.store.rows("audit_draws").drop_nulls("event_key")["event_key"].unique().sort()


def label(bench, keys, wrong):
    """Say of drawn events what they are: the partner they were matched with, but for some none."""
    run = bench.store.current_run("orders_to_payments")
    with bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        pairs = engine.rows(
            "select l.event_key as left_key, r.event_key as right_key from match_members l "
            "join match_members r using (match_id) where l.side = 'left' and r.side = 'right'"
        )
    rows = pairs.filter(pl.col("left_key").is_in(keys)).sort("left_key").with_row_index("row")
    none = pl.col("row") < wrong
    told = rows.select(
        "left_key", right_key=pl.when(~none).then("right_key"),
        verdict=pl.when(none).then(pl.lit("no_counterpart")).otherwise(pl.lit("same")),
        reconciliation=pl.lit("orders_to_payments"), reviewer=pl.lit("dee"),
        stream=pl.lit("audit"), inclusion_probability=pl.lit(1.0), effective_at=pl.lit(NOW),
    )  # fmt: skip
    bench.store.add_decisions(told, recorded_at=NOW)


def test_the_index_by_hand():
    """Half and half becomes one in ten: 0.4 ln(0.9/0.5) - 0.4 ln(0.1/0.5) = 0.879."""
    assert stats.psi([500_000, 500_000], [900_000, 100_000]) == pytest.approx(0.8789, abs=1e-4)
    assert stats.psi([10, 20, 30], [100, 200, 300]) == pytest.approx(0.0, abs=1e-3)
    assert stats.psi_chance(0.0, [10, 20], [1, 2]) == 1.0


def test_chance_alone_voids_nothing():
    """2,000 looks at 100 to 400 events of an unchanged population of ten bins: no false alarm."""
    rng = np.random.default_rng(11)
    shares = rng.dirichlet(np.full(10, 3.0))
    alarms = 0
    for _ in range(2_000):
        was = rng.multinomial(400, shares)
        now = rng.multinomial(int(rng.integers(100, 400)), shares)
        index = stats.psi(was, now)
        alarms += index >= drift.DRIFTED and stats.psi_chance(index, was, now) < drift.CHANCE

    assert alarms == 0


def test_a_shifted_population_is_found_on_few_events():
    """A third of the events moves from the highest bin to the lowest: found on 150 of them."""
    was = counts("comparison email", {"same": 900, "other": 100})
    now = counts("comparison email", {"same": 85, "other": 65})

    found = drift.compared(was, now, 0.9).row(0, named=True)

    assert (found["state"], found["changed_most"]) == ("drifted", "other")
    assert (found["share_then"], found["share_now"]) == (0.1, pytest.approx(65 / 150))


def test_few_events_say_nothing():
    """Under 100 events no index is believed, however large."""
    was = counts("score", {"a": 900, "b": 100})

    found = drift.compared(was, counts("score", {"a": 0, "b": 99}), 0.9)

    assert found["state"].to_list() == ["too few"]


def test_only_what_the_promise_speaks_of_is_compared():
    """Pairs below the threshold are for people, whatever they look like."""
    was = pl.concat([counts("score", {"a": 500}), counts("score", {"low": 100}, band=0.5)])
    now = pl.concat([counts("score", {"a": 500}), counts("score", {"low": 900}, band=0.5)])

    assert drift.compared(was, now, 0.9)["state"].to_list() == ["steady"]
    assert drift.compared(was, now, 0.4)["state"].to_list() == ["drifted"]


def counts(measure, bins, band=0.95):
    rows = [(measure, band, name, n) for name, n in bins.items()]
    return pl.DataFrame(rows, schema=drift.COUNT_SCHEMA, orient="row")
