"""The whole road on a small twin, by the command line alone: a draw becomes a promise, and ends."""

from __future__ import annotations

import csv
import json

import polars as pl
import pytest

from recon_kit import cli
from recon_kit.synth import twin
from recon_kit.workbench.bench import Workbench

REC = "orders_to_payments"
ROLES = """
[governance.roles]
data_owner = ["ana"]
operations_lead = ["bo"]
governance_reviewer = ["cy"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """2,000 orders of the twin, taken in; nothing may match without a certificate."""
    folder = tmp_path_factory.mktemp("road") / "twin"
    made = twin.make(folder, orders=2_000, seed=7)
    toml = folder / "recon.toml"
    text = toml.read_text(encoding="utf-8").replace(
        'uncertified = "auto"', 'uncertified = "review"'
    )
    toml.write_text(text.partition("[governance.roles]")[0] + ROLES, encoding="utf-8")
    return folder, made


def test_from_a_draw_to_a_certified_match_and_back(shop, capsys, tmp_path):
    """Draw, label from the truth, certify, approve, promote, run, match, roll back, propose."""
    folder, made = shop

    def recon(*words, code=0):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*map(str, words), "--workspace", str(folder), "--json"])
        told = capsys.readouterr()
        assert stopped.value.code in (code if isinstance(code, tuple) else (code,)), told
        return json.loads(told.out) if told.out else None

    for file in made.deliveries:
        moment = file.as_of.strftime("%Y-%m-%dT%H:%M:%S")
        recon("ingest", file.source, made.path(file), "--as-of", moment, code=(0, 5))
    recon("run", REC)
    assert probable(recon) == []

    draw = ["--strata", "method", "--rate", "0.01", "--rates.probable", "0.8"]
    drawn = {
        r["stratum"]: r["new"]
        for r in recon("labels", "draw", "--reconciliation", REC, *draw)["rows"]
    }
    assert drawn["probable"] > 40
    recon("certify", REC, "--fmr-max", "0.1", "--by", "dee", code=1)  # drawn items wait

    sheet = tmp_path / "audit.csv"
    recon("labels", "export", "--out", sheet, "--which", "audit", "--reconciliation", REC)
    answer(sheet, pl.read_parquet(folder / "truth" / "links" / f"{REC}.parquet"))
    assert recon("labels", "import", sheet, "--reconciliation", REC)["rows"] == []

    found = recon("certify", REC, "--fmr-max", "0.1", "--by", "dee")
    named = found["certificate_id"]
    recon("promote", named, "--by", "dee", code=3)
    recon("approve", named, "--by", "dee", code=1)
    for person in ("ana", "bo", "cy"):
        recon("approve", named, "--by", person)
    gained = recon("compare", REC, "--change", named)["sums"]
    recon("promote", named, "--by", "dee")

    recon("run", REC)
    made_now = probable(recon)
    assert certificates(folder, made_now) == {named}
    # what was gained are the left events of those matches: orders, and refunds beside them
    orders = sum(row["left_members"] for row in made_now)
    assert sum(r["items"] for r in gained if r["change"] == "gained") == orders > 0

    recon("rollback", REC, "--by", "bo")
    recon("run", REC)
    assert probable(recon) == []
    states = {r["content_hash"]: r["state"] for r in recon("promote")["rows"]}
    assert states[named] == "approved"


def probable(recon):
    """Matches that the probabilistic method made by itself."""
    return recon("matches", REC, "--method", "probable", "--disposition", "auto")["rows"]


def certificates(folder, rows):
    """The certificates under which matches of the current run stand."""
    bench = Workbench(folder)
    run = bench.store.current_run(REC)
    with bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        held = dict(engine.rows("select match_id, certificate_id from matches").rows())
    return {held[row["match_id"]] for row in rows}


def answer(path, links):
    """Fill an audit sheet as somebody who knows the truth."""
    true = {}
    paid = links.filter(pl.col("relation") == "pays")
    for one in paid.sort("right_source", "right_native_id").iter_rows(named=True):
        right = (one["right_source"], one["right_native_id"])
        true.setdefault((one["left_source"], one["left_native_id"]), []).append(right)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    offered = {}
    for row in rows:
        left = (row["left_source"], row["left_native_id"])
        right = (row["right_source"], row["right_native_id"])
        offered.setdefault(left, set()).update({right} & set(true.get(left, [])))
    for row in rows:
        left = (row["left_source"], row["left_native_id"])
        right = (row["right_source"], row["right_native_id"])
        label = ""
        if right[1]:
            label = "same" if right in true.get(left, []) else ""
        elif left not in true:
            label = "no_counterpart"
        elif not offered[left]:
            label, (row["right_source"], row["right_native_id"]) = "same", true[left][0]
        row |= {"label": label, "reviewer": "eve" if label else ""}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
