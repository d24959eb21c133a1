"""Hold exported matches against the truth of a twin: precision, recall, false matches.

Pairs are compared by native id. Events whose rows have no id of their own (conversions) are known
by file and row. Pairs with an event that the truth does not judge (such as a refund that the shop
tells as a column) are left out and counted.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recon_kit.errors import LabelError
from recon_kit.synth.truth import LINK_COLUMNS

ALL = "all"
ACCEPTED = ("auto", "confirmed")
_PAIR = ("reconciliation", "left_source", "left_native_id", "right_source", "right_native_id")
NEEDED: tuple[str, ...] = (
    *_PAIR, "disposition", "relation", "left_artefact", "left_row", "right_artefact", "right_row",
)  # fmt: skip


def score(exported: pl.DataFrame, truth: Path) -> pl.DataFrame:
    """Judge exported matches by reconciliation and class.

    Args:
        exported: rows of `recon export matches`, proposals (disposition `review`) included.
        truth: the twin's folder `truth`.

    Returns:
        Sorted by reconciliation and class (`all` first): reconciliation, class, true_links, auto
        (pairs matched without a person, or confirmed by one), found (of the true links),
        false_matches (auto pairs that are no link), precision = found / auto,
        recall = found / true_links, in_review (true links that were only proposed),
        wrong_in_review, same_relation (found links that also say the right relation),
        not_judged (pairs with an event unknown to the truth). A false match counts for the class
        of its left event. Precision and recall are null where nothing was matched or true.

    Raises:
        LabelError: columns are missing.
    """
    links, pairs = _told(exported, truth)
    done = links.join(
        pairs.filter("link").select(*_PAIR, "accepted", pl.col("relation").alias("said")),
        on=_PAIR, how="left", maintain_order="left",
    )  # fmt: skip
    accepted = pl.col("accepted").fill_null(value=False)
    truths = [
        done.group_by("reconciliation", _class(every, "kind")).agg(
            pl.len().alias("true_links"), accepted.sum().alias("found"),
            (pl.col("accepted").not_()).sum().alias("in_review"),
            (accepted & (pl.col("said") == pl.col("relation"))).sum().alias("same_relation"),
        )
        for every in (True, False)
    ]  # fmt: skip
    wrong = [
        pairs.group_by("reconciliation", _class(every, "kind")).agg(
            (pl.col("accepted") & pl.col("known")).sum().alias("auto"),
            (pl.col("accepted") & pl.col("known") & ~pl.col("link")).sum().alias("false_matches"),
            (~pl.col("accepted") & pl.col("known") & ~pl.col("link"))
            .sum()
            .alias("wrong_in_review"),
            (~pl.col("known")).sum().alias("not_judged"),
        )
        for every in (True, False)
    ]
    both = pl.concat(truths).join(
        pl.concat(wrong), on=["reconciliation", "class"], how="full", coalesce=True
    )
    return _rates(both)


def overall(scored: pl.DataFrame) -> pl.DataFrame:
    """One row per reconciliation of what `score` returns."""
    return scored.filter(pl.col("class") == ALL)


def costly(exported: pl.DataFrame, truth: Path) -> pl.DataFrame:
    """False auto matches that cost most: on events with no counterpart, and on mistyped ids.

    Args:
        exported: as of `score`.
        truth: as of `score`.

    Returns:
        A row per reconciliation: auto, without_counterpart (an event of the pair is in no true link
        of that reconciliation), transposed (an event's class is `transposed`), and of both the
        share of all auto pairs.

    Raises:
        LabelError: columns are missing.
    """
    links, pairs = _told(exported, truth)
    auto = pairs.filter(pl.col("accepted") & pl.col("known"))
    for side in ("left", "right"):
        linked = links.select(*(c for c in _PAIR if c[:4] in ("reco", side[:4]))).unique()
        linked = linked.with_columns(pl.lit(value=True).alias(f"{side}_linked"))
        auto = auto.join(linked, on=linked.columns[:3], how="left", maintain_order="left")
    lone = pl.col("left_linked").is_null() | pl.col("right_linked").is_null()
    swapped = (pl.col("left_class") == "transposed") | (pl.col("right_class") == "transposed")
    counted = {"without_counterpart": lone, "transposed": swapped}
    return (
        auto.group_by("reconciliation")
        .agg(pl.len().alias("auto"), *((~pl.col("link") & c).sum().alias(n) for n, c in
             counted.items()))
        .with_columns((pl.col(n) / pl.col("auto")).alias(f"{n}_share") for n in counted)
        .sort("reconciliation")
    )  # fmt: skip


def _told(exported: pl.DataFrame, truth: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The true links, and the exported pairs judged by them."""
    missing = sorted(set(NEEDED) - set(exported.columns))
    if missing:
        raise LabelError(
            f"these exported matches lack {', '.join(missing)}; "
            "write them with `recon export matches`"
        )
    links = pl.read_parquet(truth / "links" / "*.parquet").select(LINK_COLUMNS)
    main = pl.read_parquet(truth / "labels.parquet").filter("main")
    pairs = _named(exported, pl.read_parquet(truth / "places.parquet"))
    return links, _judged(pairs, links, main)


def _class(every: bool, column: str) -> pl.Expr:
    return (pl.lit(ALL) if every else pl.col(column)).alias("class")


def _named(exported: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Exported pairs with the truth's name where an event has no native id."""
    name = pl.col("file").str.extract(r"([^/]+)$", 1)
    known = pl.concat(
        places.select(artefact.alias("artefact"), "row", pl.col("native_id").alias("found"))
        for artefact in (pl.col("sha256"), pl.col("file"), name)
    ).unique(["artefact", "row"])
    named = exported.select(pl.col(c) for c in NEEDED)
    for side in ("left", "right"):
        named = named.with_columns(
            pl.col(f"{side}_native_id").cast(pl.String), pl.col(f"{side}_row").cast(pl.Int64)
        ).join(
            known, left_on=[f"{side}_artefact", f"{side}_row"], right_on=["artefact", "row"],
            how="left", maintain_order="left",
        )  # fmt: skip
        named = named.with_columns(
            pl.coalesce(f"{side}_native_id", "found").alias(f"{side}_native_id")
        ).drop("found")
    return named


def _judged(pairs: pl.DataFrame, links: pl.DataFrame, main: pl.DataFrame) -> pl.DataFrame:
    """One row per pair: accepted, link (it is true), known (both events are), kind (its class)."""
    single = (
        pairs.with_columns(pl.col("disposition").is_in(list(ACCEPTED)).alias("accepted"))
        .sort(*_PAIR, "accepted", "relation", descending=[False] * 5 + [True, False])
        .unique(_PAIR, keep="first", maintain_order=True)
    )
    single = single.join(
        links.select(*_PAIR, pl.col("kind").alias("true_kind")), on=_PAIR, how="left",
        maintain_order="left",
    )  # fmt: skip
    for side in ("left", "right"):
        single = single.join(
            main.select("source", "native_id", pl.col("label").alias(f"{side}_class")),
            left_on=[f"{side}_source", f"{side}_native_id"], right_on=["source", "native_id"],
            how="left", maintain_order="left",
        )  # fmt: skip
    link = pl.col("true_kind").is_not_null()
    return single.with_columns(
        link.alias("link"),
        (pl.col("left_class").is_not_null() & pl.col("right_class").is_not_null()).alias("known"),
        pl.coalesce("true_kind", "left_class", "right_class", pl.lit("unknown")).alias("kind"),
    )


def _rates(both: pl.DataFrame) -> pl.DataFrame:
    counts = [
        "true_links", "auto", "found", "false_matches", "in_review", "wrong_in_review",
        "same_relation", "not_judged",
    ]  # fmt: skip

    def share(of: str) -> pl.Expr:
        return pl.when(pl.col(of) > 0).then(pl.col("found") / pl.col(of))

    whole = both.with_columns(pl.col(counts).fill_null(0).cast(pl.Int64))
    return (
        whole.select(
            "reconciliation", "class", *counts[:4], share("auto").alias("precision"),
            share("true_links").alias("recall"), *counts[4:],
        )
        .sort(
            "reconciliation", pl.col("class") != ALL, "class"
        )
    )  # fmt: skip
