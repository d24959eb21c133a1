"""What labels add: trained models against the one that no label taught, on data of known truth.

    python tests/benchmarks/bench_training.py whole DIR [--labels 2000] [--seed 1]
    python tests/benchmarks/bench_training.py transactions DIR [--drop 0.4] [--part 0.3] [--draws 3]
    python tests/benchmarks/bench_training.py twin WORKSPACE [--draws 3] [--keyless]
    python tests/benchmarks/bench_training.py pairs FILE

`whole` goes all the way an analyst goes, through a workspace: both files of DIR
(`transactions_origin.parquet`, `transactions_destination.parquet`) without the two columns that
give the truth away and shuffled, the truth of some rows of the origin side brought in as labels,
a model trained, approved, promoted and used. Only rows that were not labelled are scored.

`transactions` and `twin` draw 50, 200, 1,000 and 5,000 labelled left events (as many as there are)
several times, train on each draw, and score the events that were not drawn: with the trained
model, with ours learned without labels (`unsupervised`), and with Splink alone, which saw no label
either (`splink`; see `quality_splink`), whose pairs are picked by the same global assignment and
keep the probability that Splink gives them. `gain` is trained less unsupervised, `over_splink`
trained less Splink. `--drop` leaves out that share of either side, so that many events have no
counterpart; `--part` keeps a share of the stories. `twin` wants a workspace that `recon demo` made;
`--keyless` takes all its keys for unknown, so that every order is asked; `--faceless` hides e-mail,
phone and address of that share of the payments and leaves of their names the last word alone.

`pairs` wants a parquet of `split, label, left_*, right_*` texts: trains and calibrates on the
splits train and valid, and scores the split test.

Prints one JSON object. Intervals are 95 % t-intervals over draws.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench_quality
import numpy as np
import polars as pl
import quality_splink
from scipy import stats as distributions
from sklearn.metrics import f1_score

from recon_kit import model
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import assign, cascade, probable, stored, trust
from recon_kit.model import StoredModel
from recon_kit.settings import Reconciliation, Side, Window
from recon_kit.tuning import calibrate, examples
from recon_kit.tuning.table import train_table
from recon_kit.tuning.train import train
from recon_kit.values import parse_duration
from recon_kit.workbench.bench import Workbench

SIZES = (50, 200, 1_000, 5_000)
NOW = datetime(2022, 12, 31, tzinfo=UTC)
_SIDE = """
[[sources]]
name = "{name}"
feed = "table"
[sources.layout]
event_type = "payment"
format = "parquet"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
event_ts = "transaction_date"
amount = "amount"
description = "memo"
currency = {{ value = "GBP" }}
"""
TOML = f"""
[workspace]
name = "transactions"
currency = "GBP"
as_of = "2022-12-31T00:00:00Z"
[governance.roles]
data_owner = ["ana"]
operations_lead = ["bo"]
governance_reviewer = ["cy"]
{_SIDE.format(name="origin")}{_SIDE.format(name="destination")}
[[reconciliations]]
name = "origin_to_destination"
left = {{ sources = ["origin"], types = ["payment"] }}
right = {{ sources = ["destination"], types = ["payment"] }}
keys = []
settles_within = "30d"
[reconciliations.probable]
uncertified = "auto"
"""


# --- the whole way --------------------------------------------------------------------------------
def whole(folder: Path, labels: int, seed: int) -> dict[str, Any]:
    """From two files to matches by a trained model; scored on rows without a label."""
    with tempfile.TemporaryDirectory() as temp:
        place = Path(temp)
        (place / "recon.toml").write_text(TOML, encoding="utf-8")
        bench = Workbench(place, clock=lambda: NOW)
        sides = {}
        for number, side in enumerate(("origin", "destination")):
            told = pl.read_parquet(folder / f"transactions_{side}.parquet")
            mixed = told.sample(fraction=1.0, shuffle=True, seed=11 + number)
            row = pl.int_range(1, pl.len() + 1).alias("row")
            sides[side] = mixed.select(row, story="ground_truth")
            mixed.drop("ground_truth", "unique_id").write_parquet(place / f"{side}.parquet")
            bench.ingest(side, place / f"{side}.parquet")
        truth = sides["origin"].join(sides["destination"], on="story", suffix="_right")
        drawn = truth.sample(labels, seed=seed, shuffle=True)
        bench.reconcile()
        before = _scored(bench, place, truth, drawn)
        _labels(drawn).write_csv(place / "labels.csv")
        started = time.perf_counter()
        found = bench.train(labels=place / "labels.csv", seed=seed, by="dee")
        seconds = time.perf_counter() - started
        for person in ("ana", "bo", "cy"):
            bench.approve(found.model_hash, by=person)
        bench.promote(found.model_hash, by="dee")
        bench.reconcile()
        assert bench.store.current_run("origin_to_destination").model_hash == found.model_hash
        return {
            "labels": labels, "rows_scored": truth.height - labels,
            "train_seconds": round(seconds, 1), "chosen": found.card["chosen"],
            "why": found.card["why"], "calibration": found.card["calibration"],
            "unsupervised": before, "trained": _scored(bench, place, truth, drawn),
        }  # fmt: skip


def _labels(drawn: pl.DataFrame) -> pl.DataFrame:
    """Labels by file and row, as these files have no ids."""
    return drawn.select(
        left_artefact=pl.lit("origin.parquet"), left_row="row",
        right_artefact=pl.lit("destination.parquet"), right_row="row_right",
        label=pl.lit("same"), reviewer=pl.lit("truth"),
    )  # fmt: skip


def _scored(
    bench: Workbench, place: Path, truth: pl.DataFrame, drawn: pl.DataFrame
) -> dict[str, float]:
    """What `recon export matches` says of rows that were not drawn, held against the truth."""
    out = place / "matches.csv"
    bench.export("matches", out)
    rows = pl.read_csv(out, infer_schema=False).filter(pl.col("method") == "probable")
    said = rows.select(
        row=pl.col("left_row").cast(pl.Int64), row_right=pl.col("right_row").cast(pl.Int64),
        probability=pl.col("confidence").cast(pl.Float64),
    ).join(drawn, on="row", how="anti")  # fmt: skip
    hit = said.join(truth.with_columns(hit=True), on=["row", "row_right"], how="left")
    return figures(
        hit["probability"].to_numpy(),
        hit["hit"].fill_null(value=False).to_numpy(),
        truth.height - drawn.height,
    )


def figures(chance: np.ndarray, hit: np.ndarray, true: int) -> dict[str, float]:
    """F1 over all told pairs and at 0.5, recall where 999 of 1,000 (99 of 100) are right."""
    order = np.argsort(-chance, kind="stable")
    right = np.cumsum(hit[order])
    precision = right / np.arange(1, len(order) + 1)
    sure = int((chance >= 0.5).sum())
    clipped = np.clip(np.where(hit, chance, 1 - chance), 1e-4, 1)
    missed = true - int(hit.sum())
    return {
        "f1_all": round(2 * int(hit.sum()) / (len(hit) + true), 5),
        "f1": round(2 * float(right[sure - 1] if sure else 0) / (sure + true), 5),
        "recall_at_precision_999": _reach(right, precision, 0.999, true),
        "recall_at_precision_99": _reach(right, precision, 0.99, true),
        "log_loss": round((-np.log(clipped).sum() - missed * np.log(1e-4)) / true, 5),
        "calibration_error": round(calibrate.calibration_error(chance, hit), 5),
    }


def _reach(right: np.ndarray, precision: np.ndarray, least: float, true: int) -> float:
    places = np.flatnonzero(precision >= least)
    return round(float(right[places[-1]]) / true, 5) if places.size else 0.0


# --- learning curves ------------------------------------------------------------------------------
def curve(engine: Engine, rec: Reconciliation, truth: pl.DataFrame, asked: Any) -> dict[str, Any]:
    """Trained and unsupervised on the events not drawn, by number of labels.

    `truth` has (left_key, right_key); right_key null where the event has no counterpart.
    """
    first = probable.score(engine, rec, asked.start)
    assert first.model is not None
    peer = _peer(engine, asked)
    points = []
    for size in [s for s in asked.sizes if s < truth["left_key"].n_unique()]:
        rows = [_draw(engine, rec, truth, (size, seed), (asked.start, first.model, peer))
                for seed in range(asked.draws)]  # fmt: skip
        points.append({"labels": size, "chosen": [r["chosen"] for r in rows],
                       **{name: _interval(rows, name) for name in rows[0]["trained"]}})  # fmt: skip
        sys.stderr.write(f"{size} labels done\n")
    return {
        "draws": asked.draws, "events": truth["left_key"].n_unique(),
        "with_counterpart": truth["right_key"].drop_nulls().len(), "curve": points,
    }  # fmt: skip


def _draw(
    engine: Engine,
    rec: Reconciliation,
    truth: pl.DataFrame,
    drawing: tuple[int, int],
    models: tuple[StoredModel | None, StoredModel, pl.DataFrame],
) -> dict[str, Any]:
    size, seed = drawing
    keys = truth["left_key"].unique().sort().sample(size, seed=seed, shuffle=True)
    lot = truth.filter(pl.col("left_key").is_in(keys.implode()))
    rest = truth.filter(~pl.col("left_key").is_in(keys.implode()))
    trained = train(engine, rec, examples.examples(_decisions(lot, rec), rec), start=models[0])
    return {
        "chosen": trained.card["chosen"],
        "splink": _held(models[2], rest),
        "unsupervised": _judged(engine, rec, models[1], rest),
        "trained": _judged(engine, rec, trained.model, rest),
    }


def _decisions(lot: pl.DataFrame, rec: Reconciliation) -> pl.DataFrame:
    said = pl.when(pl.col("right_key").is_null()).then(pl.lit("no_counterpart"))
    told = lot.with_row_index("seq").with_columns(
        reconciliation=pl.lit(rec.name), verdict=said.otherwise(pl.lit("same")),
        stream=pl.lit("imported"), reviewer=pl.lit("truth"),
    )  # fmt: skip
    return told.select(
        (pl.col(name) if name in told.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in model.DECISION_SCHEMA.items()
    )


def _judged(
    engine: Engine, rec: Reconciliation, scorer: StoredModel, rest: pl.DataFrame
) -> dict[str, float]:
    """Score everything as a run would, and judge the picks of the events in `rest`."""
    probable.score(engine, rec, scorer)
    assign.assign(engine, probable.TABLE, rec.cardinality)
    trust.weigh(engine, stored.read(scorer))
    picks = engine.rows(
        f"""select l.event_key as left_key, r.event_key as right_key, p.probability
        from {trust.TABLE} p join open_left l on l.eid = left_eid
        join open_right r on r.eid = right_eid
        where probability >= {rec.probable.review_min} order by all"""
    )
    return _held(picks, rest)


def _peer(engine: Engine, asked: Any) -> pl.DataFrame:
    """What Splink alone picks, with its own probabilities."""
    if asked.data == "twin":
        quality_splink.plain_splink(engine, least=0.001)
    else:
        quality_splink.plain_transactions(engine)
    assign.assign(engine, "plain_scored", "one_to_one", weight_floor=-10.0)
    return engine.rows(
        """select l.event_key as left_key, r.event_key as right_key,
            s.match_probability as probability
        from assigned_pairs a join plain_scored s using (left_eid, right_eid)
        join open_left l on l.eid = left_eid join open_right r on r.eid = right_eid order by all"""
    )


def _held(picks: pl.DataFrame, rest: pl.DataFrame) -> dict[str, float]:
    """Picks of the events in `rest`, held against the truth."""
    picks = picks.join(rest.select("left_key").unique(), on="left_key", how="semi")
    true = rest.drop_nulls("right_key")
    hit = picks.join(true.with_columns(hit=True), on=["left_key", "right_key"], how="left")
    return figures(
        hit["probability"].to_numpy(), hit["hit"].fill_null(value=False).to_numpy(), true.height
    )


def _interval(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Mean of every model, and of the differences with their t-intervals over draws."""
    told = {who: np.array([row[who][name] for row in rows])
            for who in ("splink", "unsupervised", "trained")}  # fmt: skip
    found: dict[str, Any] = {who: round(float(values.mean()), 5) for who, values in told.items()}
    for word, other in (("gain", "unsupervised"), ("over_splink", "splink")):
        apart = told["trained"] - told[other]
        half = 0.0
        if len(rows) > 1:
            spread = apart.std(ddof=1) / np.sqrt(len(rows))
            half = float(distributions.t.ppf(0.975, len(rows) - 1) * spread)
        middle = float(apart.mean())
        found[word] = [round(value, 5) for value in (middle, middle - half, middle + half)]
    return found


def transactions(asked: Any) -> dict[str, Any]:
    """The curve on the two transaction files."""
    files, queries = bench_quality.transactions(asked.place.resolve(), asked.drop, asked.part)
    rec = Reconciliation(
        name="transactions",
        left=Side(sources=("a",), types=("payment",)),
        right=Side(sources=("b",), types=("payment",)),
        window=Window(before=parse_duration("2d"), after=parse_duration("30d")),
    )
    asked.start = None
    with open_engine(files) as engine:
        bench_quality.load(engine, queries)
        truth = engine.rows(
            """select l.event_key as left_key, r.event_key as right_key
            from open_left l join truth_left using (eid)
            left join (select story, r.event_key from open_right r join truth_right using (eid)) r
            using (story) order by all"""
        )
        return curve(engine, rec, truth, asked)


def twin(asked: Any) -> dict[str, Any]:
    """The curve on what no key claims of a demo's orders and payments."""
    bench = Workbench(asked.place)
    rec = bench.settings.reconciliation("orders_to_payments")
    rec = rec.model_copy(update={"keys": ()}) if asked.keyless else rec
    links = pl.read_parquet(asked.place / "truth" / "links" / "*.parquet").filter(
        pl.col("reconciliation") == rec.name
    )
    place = bench.settings.workspace
    context = cascade.MatchingContext(bench.now(), place.timezone, place.holidays)
    with bench.store.snapshot().engine() as engine:
        if asked.faceless:
            engine.con.execute(_FACELESS.format(share=asked.faceless))
        asked.start = cascade.leave_open(engine, rec, context)
        engine.put("links", links)
        truth = engine.rows(
            """with named as (
                select le.event_key as left_key, re.event_key as right_key from links k
                join events le on le.native_id = left_native_id and le.source = left_source
                join events re on re.native_id = right_native_id and re.source = right_source
                semi join open_left o on o.event_key = le.event_key
                semi join open_right p on p.event_key = re.event_key)
            select l.event_key as left_key, n.right_key from open_left l
            left join named n on n.left_key = l.event_key order by all"""
        )
        return curve(engine, rec, truth, asked)


_FACELESS = """
alter view who rename to told_who;
create temp table who as
select w.* replace (
    case when hidden then null else email end as email,
    case when hidden then regexp_extract(customer_name, '\\S+$') else customer_name end
        as customer_name,
    case when hidden then null else phone end as phone,
    case when hidden then null else address end as address,
    case when hidden then null else postcode end as postcode,
    case when hidden then null else raw_personal end as raw_personal)
from (
    select t.*, event_type = 'payment'
        and ('0x' || left(md5('hidden' || event_key), 8))::bigint / 4294967296.0 < {share} as hidden
    from told_who t join (select event_key, min(event_type) as event_type from events group by all)
        using (event_key)) w"""


# --- a plain table of pairs -----------------------------------------------------------------------
def pairs(file: Path) -> dict[str, Any]:
    """Train and calibrate on two splits of a table of text pairs; score the third."""
    with open_engine([file]) as engine:
        fields = [c[5:] for c in engine.rows(f"from '{file}' limit 0").columns if c[:5] == "left_"]
        columns = ", ".join(sql for name in fields for sql in _alike(name))
        told = engine.rows(
            f"""select split, label::int as label, left_{fields[0]} as record, {columns}
            from '{file}' order by all"""
        )
    known, test = told.filter(pl.col("split") != "test"), told.filter(pl.col("split") == "test")
    started = time.perf_counter()
    taught = train_table(known.drop("split"), label="label", group="record", seed=1)
    seconds = time.perf_counter() - started
    answer = test["label"].to_numpy() == 1
    chance = taught.probability(test).to_numpy()
    # a score that is no probability: the mean of all likenesses, read as one
    plain, raw = (
        np.log(np.clip(m, 1e-6, 1 - 1e-6) / (1 - np.clip(m, 1e-6, 1 - 1e-6)))
        for m in (frame.select(pl.mean_horizontal(taught.features)).to_series().to_numpy()
                  for frame in (known, test))
    )  # fmt: skip
    fitted = calibrate.calibrate(plain, known["label"].to_numpy() == 1)
    return {
        "train_seconds": round(seconds, 1), "pairs_learned_from": known.height,
        "f1_test": round(float(f1_score(answer, chance >= 0.5)), 4),
        "calibration": taught.card["calibration"],
        "calibration_error_test": round(calibrate.calibration_error(chance, answer), 4),
        "held_out": {f["metric"]: [round(f[k], 4) for k in ("value", "low", "high")]
                     for f in taught.card["figures"]},
        "mean_likeness_as_a_score": {
            "calibration": fitted.said,
            "calibration_error_test_before": round(
                calibrate.calibration_error(calibrate.probability(None, raw), answer), 4),
            "calibration_error_test_after": round(
                calibrate.calibration_error(calibrate.probability(fitted.stored, raw), answer), 4),
        },
    }  # fmt: skip


def _alike(field: str) -> list[str]:
    """How alike two texts are, in three ways."""
    left, right = (f"lower(coalesce({side}_{field}, ''))" for side in ("left", "right"))
    own, other = (f"regexp_extract_all({text}, '[a-z0-9]+')" for text in (left, right))
    shared = f"len(list_intersect({own}, {other}))::double"
    every = f"greatest(len(list_distinct({own} || {other})), 1)"
    least = f"greatest(least(len(list_distinct({own})), len(list_distinct({other}))), 1)"
    return [
        f"jaro_winkler_similarity({left}, {right}) as {field}_letters",
        f"{shared} / {every} as {field}_words",
        f"{shared} / {least} as {field}_inside",
    ]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", choices=["whole", "transactions", "twin", "pairs"])
    parser.add_argument("place", type=Path)
    parser.add_argument("--labels", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--keyless", action="store_true")
    parser.add_argument("--faceless", type=float, default=0.0)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    asked = parser.parse_args()
    if asked.data == "whole":
        found = whole(asked.place.resolve(), asked.labels, asked.seed)
    elif asked.data == "pairs":
        found = pairs(asked.place.resolve())
    else:
        found = transactions(asked) if asked.data == "transactions" else twin(asked)
    json.dump(found, sys.stdout, indent=1, default=str)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
