"""Labels on paper: a sheet leaves, is filled in, comes back, and nothing is lost or invented."""

from __future__ import annotations

import csv
import json
import shutil

import polars as pl
import pytest
from review_shop import make

from recon_kit import cli
from recon_kit.workbench.bench import Workbench


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sheets") / "shop").folder


@pytest.fixture
def bench(made, tmp_path):
    return Workbench(shutil.copytree(made, tmp_path / "shop"))


def recon(capsys, *words):
    """Exit code and result of a command."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([*map(str, words), "--json"])
    return stopped.value.code, json.loads(capsys.readouterr().out)


def fill(path, answer):
    """Write answers into a sheet: `answer(row)` gives what changes in it."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = [row | answer(row) for row in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(told)
    return told


def test_a_sheet_of_proposals_goes_out_and_comes_back(bench, tmp_path, capsys):
    """Every proposed pair with masked facts; two answers become two decisions on those pairs."""
    at, out = ["--workspace", bench.folder], tmp_path / "sheet.csv"

    code, told = recon(capsys, "labels", "export", "--out", out, *at)
    sheet = pl.read_csv(out, infer_schema=False)
    asked = bench.review().desk.listing()

    assert (code, told["rows"]) == (0, sheet.height)
    assert sheet["left_native_id"].n_unique() == asked.height
    assert sheet["label"].null_count() == sheet.height
    first = sheet.filter(pl.col("left_native_id") == "#1001").row(0, named=True)
    assert first["right_native_id"] == "c1"
    assert (first["shown_left_amount"], first["shown_right_amount"]) == ("20.00", "20.00")
    assert first["shown_left_email"] == "a***@example.com"
    assert "ana.diaz" not in out.read_text(encoding="utf-8")

    answers = {("#1001", "c1"): "same", ("#1004", "c4b"): "not_same"}
    fill(out, lambda r: {
        "label": answers.get((r["left_native_id"], r["right_native_id"]), ""),
        "reviewer": "bo" if (r["left_native_id"], r["right_native_id"]) in answers else "",
    })  # fmt: skip
    code, told = recon(capsys, "labels", "import", out, *at)

    assert (code, told["rows"]) == (0, [])
    said = bench.decisions().frame.sort("left_id")
    assert said.select("left_id", "right_id", "verdict", "reviewer", "stream", "state").rows() == [
        ("#1001", "c1", "same", "bo", "imported", "in force"),
        ("#1004", "c4b", "not_same", "bo", "imported", "in force"),
    ]


def test_audit_answers_on_a_sheet_are_audit_labels(bench, tmp_path, capsys):
    """Drawn events go out blind, each with a row of its own; answers keep the logged chance."""
    at, out = ["--workspace", bench.folder], tmp_path / "audit.csv"
    bench.draw_audit(rate=0.5)
    drawn = bench.store.rows("audit_draws").drop_nulls("event_key")["event_key"].sort().to_list()

    recon(capsys, "labels", "export", "--out", out, "--which", "audit", *at)
    sheet = pl.read_csv(out, infer_schema=False)

    assert sorted(set(sheet["left_event_key"])) == drawn
    assert "shown_confidence" not in sheet.columns
    lone = sheet.filter(pl.col("right_event_key").is_null())
    assert lone["left_event_key"].sort().to_list() == drawn

    def same_number(row):
        mine, other = row["left_native_id"], row["right_native_id"]
        hit = other == f"c{int(mine[1:]) - 1000}"
        return {"label": "same" if hit else "", "reviewer": "bo" if hit else ""}

    filled = fill(out, same_number)
    code, told = recon(capsys, "labels", "import", out, *at)

    assert (code, told["rows"]) == (0, [])
    said = bench.store.decisions()
    assert said.height == sum(row["label"] == "same" for row in filled) > 5
    assert said["stream"].unique().to_list() == ["audit"]
    assert said["inclusion_probability"].unique().to_list() == [0.5]
    assert said["score_shown"].any() is False


def test_a_parquet_sheet_comes_back_too(bench, tmp_path):
    """The lossless twin of the CSV: labels are filled in with code."""
    out = tmp_path / "sheet.parquet"
    bench.export_labels(out)
    here = pl.col("left_native_id") == "#1002"

    sheet = pl.read_parquet(out).with_columns(
        label=pl.when(here).then(pl.lit("unsure")), reviewer=pl.when(here).then(pl.lit("bo"))
    )
    sheet.write_parquet(out)
    bench.import_labels(out)

    assert bench.store.decisions().select("verdict", "reviewer").unique().rows() == [
        ("unsure", "bo")
    ]


def test_what_a_spreadsheet_would_run_is_written_as_text(tmp_path):
    """A record id that is a formula is neutralised in the CSV and still found by its event key."""
    bench = make(tmp_path / "shop", card_ids={"c1": "=1+1"})
    out = tmp_path / "sheet.csv"

    bench.export_labels(out)
    fill(out, lambda r: {"label": "same", "reviewer": "bo"} if r["left_native_id"] == "#1001"
         and r["right_native_id"] == "'=1+1" else {})  # fmt: skip
    bench.import_labels(out)

    assert bench.decisions().frame.select("left_id", "right_id", "verdict").rows() == [
        ("#1001", "=1+1", "same")
    ]
