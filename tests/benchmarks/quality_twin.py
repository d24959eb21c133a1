"""The whole way on files with a known truth: rates by class, and false matches that cost most."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.synth import score, twin
from recon_kit.workbench.bench import Workbench

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shared_data


def twin_rates(orders: int, seed: int) -> dict[str, Any]:
    """Make the invented shop, take its files in, reconcile, and hold the result to the truth.

    Per reconciliation and class: precision and recall of what was matched without a person, and of
    that together with what was proposed to one; then the false matches that cost most.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "twin"
        made = twin.make(folder, orders=orders, seed=seed)
        bench = Workbench(folder)
        for delivery in made.deliveries:
            bench.ingest(
                delivery.source, made.path(delivery),
                as_of=delivery.as_of, received_at=delivery.received_at,
            )  # fmt: skip
        done = bench.reconcile()
        told = [
            pl.read_parquet(bench.export("matches", f"{name}.parquet", reconciliation=name).path)
            for name in (r.name for r in bench.settings.reconciliations)
        ]
        exported = pl.concat(told)
        rates = score.score(exported, made.truth)
        costly = score.costly(exported, made.truth)
    return {
        "orders": orders,
        "failed": dict(done.failures),
        "classes": [_rates(row) for row in rates.iter_rows(named=True)],
        "false_matches": costly.to_dicts(),
    }


def _rates(row: dict[str, Any]) -> dict[str, Any]:
    """One class: auto alone, and auto with what was put to a person."""
    both = row["found"] + row["in_review"]
    said = row["auto"] + row["in_review"] + row["wrong_in_review"]
    return {
        "reconciliation": row["reconciliation"], "class": row["class"],
        "true_links": row["true_links"], "auto": row["auto"],
        "auto_precision": _share(row["found"], row["auto"]),
        "auto_recall": _share(row["found"], row["true_links"]),
        "with_review_precision": _share(both, said),
        "with_review_recall": _share(both, row["true_links"]),
        "false_matches": row["false_matches"], "wrong_in_review": row["wrong_in_review"],
    }  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def register() -> dict[str, Any]:
    """Two tellings of 5,000 people (febrl4), through the command line, without label or key."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = shared_data.hide_febrl4(folder)
        with contextlib.redirect_stdout(sys.stderr):
            shared_data.workspace(folder, shared_data.FEBRL4, files)
            matches = shared_data.exported(folder, "matches", "original_to_copy")
        auto = matches.filter(pl.col("disposition") == "auto")
        judged = {
            name: shared_data.row_score(folder, frame, ("original", "copy"))
            for name, frame in (("auto", auto), ("with_review", matches))
        }
    return {
        name: {
            "pairs": s.pairs, "precision": round(s.precision, 5),
            "recall": round(s.recall, 5), "f1": round(s.f1, 5),
        }
        for name, s in judged.items()
    }  # fmt: skip
