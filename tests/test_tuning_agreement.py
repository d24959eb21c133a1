"""Two people on the same question: who is asked, how far they agree, who settles it."""

from __future__ import annotations

import csv
import json

import polars as pl
import pytest
from certified_shop import answer, make

from recon_kit import cli, model
from recon_kit.ledger.engine import open_engine
from recon_kit.tuning import agreement


def said(*rows):
    """Decisions: (stream, left, right, verdict, reviewer[, reason]) each, in their order."""
    told = [
        {
            "seq": seq, "reconciliation": "r", "stream": row[0], "left_key": row[1],
            "right_key": row[2], "verdict": row[3], "reviewer": row[4],
            "reason_code": row[5] if len(row) > 5 else None,
        }
        for seq, row in enumerate(rows, 1)
    ]  # fmt: skip
    return pl.DataFrame(told, schema_overrides=model.DECISION_SCHEMA).select(
        (pl.col(n) if n in told[0] else pl.lit(None)).cast(k).alias(n)
        for n, k in model.DECISION_SCHEMA.items()
    )


def test_kappa_by_hand():
    """Ten pairs, eight alike, six and six of ten same: (0.8 - 0.52) / (1 - 0.52) = 0.583."""
    first = ["same"] * 6 + ["not_same"] * 4
    second = ["same"] * 5 + ["not_same"] * 4 + ["same"]
    rows = [("work", f"l{i}", f"r{i}", v, "ana") for i, v in enumerate(first)]
    rows += [("work", f"l{i}", f"r{i}", v, "bo") for i, v in enumerate(second)]
    rows += [
        ("work", "l99", "r99", "same", "ana"),
        ("work", "l5", "r5", "same", "cy", "adjudicated"),
    ]

    work = agreement.agreement(said(*rows)).row(1, named=True)

    assert (work["judged"], work["twice"], work["agree"], work["settled"]) == (11, 10, 8, 1)
    assert (work["raw_agreement"], work["prevalence"]) == (0.8, 0.6)
    assert work["kappa"] == pytest.approx((0.8 - 0.52) / (1 - 0.52), abs=1e-6)


def test_audit_answers_agree_when_they_name_the_same_counterparts():
    """Another counterpart is another answer; one kind of answer alone has no kappa."""
    rows = [
        ("audit", "a", "x", "same", "ana"), ("audit", "a", "x", "same", "bo"),
        ("audit", "b", "x", "same", "ana"), ("audit", "b", "y", "same", "bo"),
        ("audit", "c", "z", "same", "ana"), ("audit", "c", "z", "unsure", "bo"),
    ]  # fmt: skip

    audit, work = agreement.agreement(said(*rows)).iter_rows(named=True)

    assert (audit["judged"], audit["twice"], audit["agree"]) == (3, 2, 1)
    assert (work["judged"], work["twice"], work["kappa"]) == (0, 0, None)
    alike = agreement.agreement(said(*rows[:2])).row(0, named=True)
    assert (alike["raw_agreement"], alike["kappa"]) == (1.0, None)


def test_one_in_ten_is_asked_twice_and_nobody_chooses_which():
    """A keyed hash picks about a tenth; whoever has a second word already is not asked again."""
    rows = [("work", f"l{i}", f"r{i}", "same", "ana") for i in range(2_000)]
    twice = [("work", f"l{i}", f"r{i}", "same", "bo") for i in range(1_000)]

    with open_engine() as engine:
        found = agreement.second_work(engine, said(*rows), b"secret")
        again = agreement.second_work(engine, said(*rows), b"secret")
        other = agreement.second_work(engine, said(*rows), b"another")
        less = agreement.second_work(engine, said(*rows, *twice), b"secret")

    assert 150 < found.height < 250
    assert found.equals(again)
    assert set(found["left_key"]) != set(other["left_key"])
    assert set(less["left_key"]) == {k for k in found["left_key"] if int(k[1:]) >= 1_000}
    assert found["not_by"].unique().to_list() == ["ana"]


def test_a_wrong_audit_label_goes_to_a_second_person_and_a_third_settles_it(tmp_path, capsys):
    """Three said to have no counterpart: asked blind again, agreed on, disputed, adjudicated."""
    bench = make(tmp_path / "shop", orders=60)
    bench.draw_audit(rate=1.0)
    answer(bench, wrong=3)
    bench.reconcile()

    def recon(*words):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*map(str, words), "--workspace", str(bench.folder), "--json"])
        return stopped.value.code, json.loads(capsys.readouterr().out)

    code, listed = recon("labels", "second")
    asked = [row["native_id"] for row in listed["rows"]]
    assert (code, len(asked)) == (0, 3)
    assert {(r["stream"], r["not_by"], r["why"]) for r in listed["rows"]} == {
        ("audit", "dee", agreement.WRONG)
    }

    out = tmp_path / "second.csv"
    recon("labels", "export", "--out", out, "--which", "second")
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6  # the picked payment of each, and the row for none
    assert "dee" not in out.read_text(encoding="utf-8")
    for row in rows:
        alone, disagrees = not row["right_native_id"], row["left_native_id"] == asked[0]
        if alone != disagrees:
            row |= {"label": "no_counterpart" if alone else "same", "reviewer": "bo"}
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert recon("labels", "import", out)[1]["rows"] == []

    assert recon("labels", "second")[1]["rows"] == []
    audit = recon("labels", "agreement")[1]["rows"][0]
    assert (audit["judged"], audit["twice"], audit["agree"], audit["settled"]) == (60, 3, 2, 0)
    assert audit["raw_agreement"] == pytest.approx(2 / 3)
    code, disputes = recon("decisions", "--conflicts")
    assert (code, disputes["rows"][0]["left_id"]) == (4, asked[0])

    bench.decide(
        asked[0], None, "no_counterpart", reviewer="cy", reason="adjudicated", score_shown=False
    )
    assert recon("decisions", "--conflicts")[0] == 0
    assert recon("labels", "agreement")[1]["rows"][0]["settled"] == 1
