"""Exported matches against the truth of a twin."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recon_kit.errors import LabelError
from recon_kit.synth import score

TRUTH = Path(__file__).resolve().parent.parent / "data" / "sample" / "truth"


def exported(disposition: str = "auto") -> pl.DataFrame:
    """The sample's truth in the columns of `recon export matches`."""
    links = pl.read_parquet(TRUTH / "links" / "*.parquet")
    places = pl.read_parquet(TRUTH / "places.parquet").unique("native_id", maintain_order=True)
    both = links.join(places, left_on="right_native_id", right_on="native_id", how="left")
    placed = pl.col("sha256").is_not_null()
    return both.select(
        "reconciliation", "left_source", "left_native_id", "right_source",
        pl.when(~placed).then("right_native_id").alias("right_native_id"),
        "relation", pl.lit(disposition).alias("disposition"),
        pl.lit("a.csv").alias("left_artefact"), pl.lit(1).alias("left_row"),
        pl.col("sha256").alias("right_artefact"), pl.col("row").alias("right_row"),
    )  # fmt: skip


def row(frame: pl.DataFrame, reconciliation: str, kind: str = "all") -> dict[str, object]:
    """One row of a score."""
    return frame.row(
        by_predicate=(pl.col("reconciliation") == reconciliation) & (pl.col("class") == kind),
        named=True,
    )


def test_the_truth_itself_is_perfect():
    """All true pairs and nothing else: precision and recall are one, everywhere."""
    scored = score.score(exported(), TRUTH)

    assert set(scored["precision"]) == {1.0}
    assert set(scored["recall"]) == {1.0}
    assert scored["false_matches"].sum() == 0
    assert scored["same_relation"].sum() == scored["true_links"].sum()
    assert score.overall(scored)["reconciliation"].to_list() == [
        "orders_to_conversions", "orders_to_payments", "payments_to_payouts", "payouts_to_bank",
    ]  # fmt: skip


def test_events_without_ids_are_known_by_file_name_too():
    """A conversion is found by its file's hash, path or name, and its row."""
    places = pl.read_parquet(TRUTH / "places.parquet")
    names = {s: f.rsplit("/", 1)[1] for s, f in places.select("sha256", "file").iter_rows()}
    renamed = exported().with_columns(pl.col("right_artefact").replace(names))

    scored = score.score(renamed, TRUTH)

    assert row(scored, "orders_to_conversions")["recall"] == 1.0


def test_a_wrong_pair_counts_for_its_left_class():
    """An order paid by somebody else's payment is a false match of the order's class."""
    pairs = exported().filter(pl.col("reconciliation") == "orders_to_payments")
    labels = pl.read_parquet(TRUTH / "labels.parquet").filter("main")
    unpaid = labels.filter(pl.col("label") == "no_payment")["native_id"][0]
    stray = labels.filter(pl.col("label") == "no_order").row(0, named=True)
    wrong = pairs.head(1).with_columns(
        pl.lit("shop").alias("left_source"), pl.lit(unpaid).alias("left_native_id"),
        pl.lit(stray["source"]).alias("right_source"),
        pl.lit(stray["native_id"]).alias("right_native_id"),
    )  # fmt: skip

    scored = score.score(pl.concat([pairs, wrong]), TRUTH)

    found = row(scored, "orders_to_payments")
    assert (found["false_matches"], found["auto"]) == (1, pairs.height + 1)
    assert found["precision"] == pairs.height / (pairs.height + 1)
    assert row(scored, "orders_to_payments", "no_payment")["false_matches"] == 1
    assert row(scored, "orders_to_payments", "no_payment")["recall"] is None
    costly = score.costly(pl.concat([pairs, wrong]), TRUTH)
    assert costly.select("auto", "without_counterpart", "transposed").rows() == [
        (pairs.height + 1, 1, 0)
    ]


def test_proposals_are_no_matches():
    """What waits for a person is neither found nor false, and is counted apart."""
    scored = score.score(exported("review"), TRUTH)

    found = row(scored, "payouts_to_bank")
    assert (found["auto"], found["found"], found["precision"], found["recall"]) == (0, 0, None, 0.0)
    assert found["in_review"] == found["true_links"]


def test_pairs_beyond_the_truth_are_not_judged():
    """A pair with an event that the truth does not know is left out of every rate."""
    pairs = exported()
    odd = pairs.head(1).with_columns(pl.lit(None, pl.String).alias("left_native_id"))

    scored = score.score(pl.concat([pairs, odd]), TRUTH)

    assert scored["precision"].min() == 1.0
    assert score.overall(scored)["not_judged"].sum() == 1


def test_missing_columns_are_named():
    """A frame that is no export says which columns it lacks."""
    with pytest.raises(LabelError, match=r"lack disposition, relation; write them with"):
        score.score(exported().drop("disposition", "relation"), TRUTH)
