"""How well matching does on files whose truth is known, and how fast beside plain Splink.

    python tests/benchmarks/bench_quality.py transactions DIR [--drop SHARE] [--part SHARE]
    python tests/benchmarks/bench_quality.py generated DIR
    python tests/benchmarks/bench_quality.py register
    python tests/benchmarks/bench_quality.py twin [--orders N] [--seed N]
    python tests/benchmarks/bench_quality.py residual DIR [--rounds N]
    python tests/benchmarks/bench_quality.py scoring DIR [--rounds N]

The first two, `residual` and `scoring` run the probable method alone, without labels; `register`
and `twin` run the whole product, from files to exported matches.

`transactions` wants DIR with `transactions_origin.parquet` and `transactions_destination.parquet`
(columns ground_truth, unique_id, memo, transaction_date, amount). The two columns that give the
truth away are dropped and both sides shuffled before matching; only the scoring at the end reads
them. `--drop` leaves out that share of each side, independently, so that many rows have no partner
(1 gives two sides without any true pair). `--part` keeps a share of the stories.

`generated` wants DIR with `orders`, `payments` and `truth` in parquet; rows that share a key are
set apart first, the rest (drifted names, e-mails and amounts) is matched. `residual` runs the same
rows through the residual stage with training and through plain Splink, interleaved; `scoring`
takes the DIR of `transactions` and scores its candidate pairs with one model, here and by Splink's
predict.

`register` wants the febrl4 files beside the repository. `twin` makes an invented shop of N orders
and says precision and recall per class of corruption, of what was matched without a person and of
that with what was proposed, and the false matches on rows without a counterpart and on mistyped
ids.

Prints one JSON object; of the probable method alone: pairs, seconds, precision, recall and F1 by
threshold, calibration, five misses and five false matches with the levels they stood on.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import quality_splink
import quality_twin

from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import probable
from recon_kit.matching.assign import assign
from recon_kit.settings import Reconciliation, Side, Window
from recon_kit.values import parse_duration

NO_WHO = "null::varchar as customer_name, null::varchar as email"
KEYS = ("order_id", "transaction_id", "invoice_number")


def transactions(folder: Path, drop: float, part: float) -> tuple[list[Path], dict[str, str]]:
    """Files to open, and one query per side with `story` as the hidden truth."""
    files = [folder / f"transactions_{side}.parquet" for side in ("origin", "destination")]
    queries = {}
    for side, file in zip(("left", "right"), files, strict=True):
        lot = f"('0x' || left(md5('{side}' || ground_truth), 8))::bigint / 4294967296.0"
        kept = f"{lot} >= {drop}"
        if drop >= 1:
            kept = f"ground_truth % 2 = {int(side == 'right')}"
        story = "('0x' || left(md5('part' || ground_truth), 8))::bigint / 4294967296.0"
        queries[side] = f"""
            select md5('{side}' || unique_id) as event_key, ground_truth::varchar as story,
                transaction_date::timestamptz as event_ts, 'date' as ts_precision,
                (amount::varchar::decimal(18, 2) * 100)::bigint as amount, 'GBP' as currency,
                memo as description, {NO_WHO}
            from '{file}' where {kept} and {story} < {part}"""
    return files, queries


def generated(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The rows that no key claims; `story` is the order's number."""
    files = [folder / f"{table}.parquet" for table in ("orders", "payments", "truth")]
    orders, payments, truth = files
    keyed = " union ".join(
        f"select o.oid from '{orders}' o join '{payments}' p using ({key})" for key in KEYS
    )
    shared = """to_timestamp(ts) as event_ts, 'second' as ts_precision, amount::bigint as amount,
        currency, null::varchar as description, name as customer_name, email"""
    unkeyed = " and ".join(f"{key} is null" for key in KEYS)
    return files, {
        "left": f"""select md5('o' || oid) as event_key, oid::varchar as story, {shared}
            from '{orders}' where oid not in ({keyed})""",
        "right": f"""select md5('p' || pid) as event_key, coalesce(oid::varchar, 'none') as story,
            {shared} from '{payments}' left join (select oid, pid from '{truth}'
                where kind = 'drift') using (pid) where {unkeyed}""",
    }


def load(engine: Engine, queries: dict[str, str]) -> None:
    """`open_left`, `open_right`, `who`; the truth goes to tables that matching never reads."""
    told = []
    for side, query in queries.items():
        rows = engine.rows(
            f"""select row_number() over (order by event_key) as eid, * from ({query})
            order by md5(event_key)"""
        )
        engine.put(f"truth_{side}", rows.select("eid", "story"))
        money = {"presentment_amount": pl.Int64, "presentment_currency": pl.String}
        empty = [pl.lit(None, dtype=kind).alias(name) for name, kind in money.items()]
        told.append(rows.select("event_key", "customer_name", "email"))
        engine.put(f"open_{side}", rows.drop("story", "customer_name", "email").with_columns(empty))
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in ("phone", "postcode")]
    engine.put("who", pl.concat(told).with_columns(absent))


def judge(engine: Engine) -> dict[str, Any]:
    """Precision, recall and F1 by threshold, calibration, and examples."""
    possible = engine.one("select count(*) from truth_left l join truth_right r using (story)")[0]
    engine.con.execute(
        """create or replace temp table judged as
        select a.*, l.story = r.story as hit from assigned_pairs a
        join truth_left l on l.eid = a.left_eid join truth_right r on r.eid = a.right_eid"""
    )
    curve = engine.rows(
        """select t as threshold, count(*) as pairs, count(*) filter (hit) as right_ones
        from judged, unnest([0, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99]) as x(t)
        where match_probability >= t group by t order by t"""
    )
    points = []
    for threshold, pairs, hits in curve.iter_rows():
        precision, recall = hits / pairs, hits / max(int(str(possible)), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        points.append(
            {"threshold": float(threshold), "pairs": pairs, "precision": round(precision, 4),
             "recall": round(recall, 4), "f1": round(f1, 4)}
        )  # fmt: skip
    bins = engine.rows(
        """select floor(match_probability * 10)::int as tenth, count(*) as pairs,
            round(avg(match_probability), 3) as said, round(avg(hit::int), 3) as found
        from judged group by tenth order by tenth"""
    )
    return {
        "true_pairs": possible,
        "curve": points,
        "calibration": bins.to_dicts(),
        "auto": engine.rows(
            """select count(*) as pairs, round(avg(hit::int), 5) as precision from judged
            where match_probability >= 0.95 and margin >= 0.1 and equal_answers = 1"""
        ).to_dicts(),
        "false_matches": examples(engine, "false_match"),
        "misses": examples(engine, "miss"),
    }


def examples(engine: Engine, kind: str) -> list[dict[str, Any]]:
    """Five pairs with what each side said, and the levels they stood on."""
    chosen = {
        "false_match": """select left_eid, right_eid, match_probability from judged
            where not hit order by match_probability desc, left_eid limit 5""",
        "miss": """select l.eid as left_eid, r.eid as right_eid, null as match_probability
            from truth_left l join truth_right r using (story)
            where not exists (select 1 from judged j where j.left_eid = l.eid
                and j.right_eid = r.eid and j.match_probability >= 0.2)
            order by left_eid limit 5""",
    }[kind]
    shown = """struct_pack(amount := {s}.amount, currency := {s}.currency,
        ts := {s}.event_ts::varchar, text := {s}.description, name := w{s}.customer_name,
        email := w{s}.email)"""
    return engine.rows(
        f"""select {shown.format(s="l")} as left_row, {shown.format(s="r")} as right_row,
            c.match_probability, s.match_weight, s.levels, s.weights
        from ({chosen}) c join open_left l on l.eid = c.left_eid
        join open_right r on r.eid = c.right_eid
        join who wl on wl.event_key = l.event_key join who wr on wr.event_key = r.event_key
        left join scored_pairs s on s.left_eid = c.left_eid and s.right_eid = c.right_eid
        order by c.match_probability desc, c.left_eid"""
    ).to_dicts()


def measure(files: list[Path], queries: dict[str, str], rec: Reconciliation) -> dict[str, Any]:
    """Learn, score with the stored model, assign, judge."""
    with open_engine(files) as engine:
        load(engine, queries)
        started = time.perf_counter()
        first = probable.score(engine, rec, None)
        learned = time.perf_counter()
        probable.score(engine, rec, first.model)
        scored = time.perf_counter()
        assign(engine, "scored_pairs", rec.cardinality)
        assigned = time.perf_counter()
        return {
            "rows": [engine.count("open_left"), engine.count("open_right")],
            "pairs": first.pairs,
            "kept": engine.count("scored_pairs"),
            "seconds": {
                "learn_and_score": round(learned - started, 2),
                "score_with_stored_model": round(scored - learned, 2),
                "assign": round(assigned - scored, 2),
            },
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "notes": first.notes,
            "rules": [f"{c.rule} ({c.key}, {c.form}): {c.pairs}" for c in first.rules],
            **judge(engine),
        }


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, on its files."""
    if asked.data == "register":
        return quality_twin.register()
    if asked.data == "twin":
        return quality_twin.twin_rates(asked.orders, asked.seed)
    if asked.folder is None:
        raise SystemExit(f"{asked.data} wants the folder of its files; see the top of this file")
    after = "30d"
    if asked.data in ("transactions", "scoring"):
        files, queries = transactions(asked.folder.resolve(), asked.drop, asked.part)
    else:
        files, queries = generated(asked.folder.resolve())
        after = "14d"
    rec = Reconciliation(
        name="quality",
        left=Side(sources=("a",), types=("payment",)),
        right=Side(sources=("b",), types=("payment",)),
        window=Window(before=parse_duration("2d"), after=parse_duration(after)),
    )
    if asked.data in ("transactions", "generated"):
        return measure(files, queries, rec)
    beside = quality_splink.residual if asked.data == "residual" else quality_splink.scoring
    with open_engine(files) as engine:
        load(engine, queries)
        return beside(engine, rec, asked.rounds)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "data", choices=["transactions", "generated", "register", "twin", "residual", "scoring"]
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    json.dump(measured(parser.parse_args()), sys.stdout, indent=1, default=str)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
