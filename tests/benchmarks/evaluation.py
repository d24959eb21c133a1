"""One run in a process of its own: the product, or a peer of it. Prints one JSON object.

    uv run python -m tests.benchmarks.evaluation DIR OUT [--tool recon|joins|splink] ...

Work time starts when libraries are loaded and ends when the result is written: opening the files,
matching, and for the product all tables of a run. Peak memory is that of the process until then.
`OUT/pairs.parquet` gets the pairs that the tool matches by itself (`left_key, right_key`).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlglot.dialects.duckdb  # noqa: F401 - Splink's parser loads it at first use: no work

from recon_kit.ledger.columns import run_rows
from recon_kit.matching import cascade, likely, probable
from recon_kit.model import RUN_TABLES, StoredModel
from tests.benchmarks import peer_splink, worlds
from tests.benchmarks.worlds import World

# Steps that only explain: what came nearest to an open item, in words, and weights kept of pairs.
EXPLAINING = frozenset({
    "out_pair_evidence", "hints", "hints_open", "waiting", "carriers", "key_taken", "same_amount",
    "same_customer", "unknown", "unknown_facts", "strangers", "compared", "nearest",
})  # fmt: skip
OF_MATCHING = ("left", "right")
PAIRS = """
select l.event_key as left_key, r.event_key as right_key
from (from out_match_members where side = 'left' and counts) l
join (from out_match_members where side = 'right' and counts) r using (match_id)
semi join (from out_matches where disposition in ('auto', 'confirmed')) m using (match_id)"""


def recon(world: World, out: Path, model: StoredModel | None) -> dict[str, Any]:
    """The product: evaluate, write all tables of a run; says what the time went into."""
    seen: list[probable.Scored] = []
    score = probable.score

    def noted(*given: Any, **named: Any) -> probable.Scored:
        seen.append(score(*given, **named))
        return seen[-1]

    likely.probable.score = noted  # type: ignore[attr-defined] - to learn how many pairs it scored
    began = time.perf_counter()
    outcome = cascade.reconcile(world.engine, world.rec, replace(world.context, model=model))
    matched = time.perf_counter()
    for name in outcome.tables:
        world.engine.write(run_rows(name, f"out_{name}"), f"result_{name}")
    written = time.perf_counter()
    explained = sum(t.seconds for t in outcome.trail if t.name in EXPLAINING)
    if outcome.model is not None:
        (out / "model.json").write_text(json.dumps([
            outcome.model.model_hash, outcome.model.reconciliation, outcome.model.json,
        ]))  # fmt: skip
    return {
        "match_s": matched - began, "write_s": written - matched, "explain_s": explained,
        "candidates": seen[-1].pairs if seen else 0, "trained": model is None,
        "matches": outcome.tables["matches"], "rows": world.engine.count("pool"),
    }  # fmt: skip


def result_hash(world: World) -> str:
    """Hash of all tables of the run, whatever the order of their rows."""
    parts = [
        world.engine.one(
            f"select count(*), coalesce(sum(hash(r::varchar)::hugeint), 0)::varchar"
            f" from (select to_json(t) as r from out_{name} t)"
        )
        for name in RUN_TABLES
        if name != "findings"
    ]
    return "-".join(f"{rows}:{total}" for rows, total in parts)


def joins(world: World) -> dict[str, Any]:
    """The peer that does least: a hash join per key."""
    worlds.three_joins(world)
    return {}


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Open, do the work, measure, then write pairs and hash (neither is work)."""
    model = None
    if asked.model:
        model_hash, name, content = json.loads(asked.model.read_text())
        model = StoredModel(model_hash=model_hash, reconciliation=name, json=content)
    started, busy = time.perf_counter(), time.process_time()
    with worlds.opened(
        asked.place, threads=asked.threads, memory_max=asked.memory, shuffled=asked.shuffled
    ) as world:
        opened = time.perf_counter()
        if asked.tool == "recon":
            told, pairs = recon(world, asked.out, model), PAIRS
        elif asked.tool == "joins":
            told = joins(world)
            pairs = " union ".join(
                f"select l as left_key, r as right_key from raw_{i}"
                for i in range(len(worlds.KEYS))
            )
        else:
            told, pairs = peer_splink.link(world)
        done, spent = time.perf_counter(), time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told |= {
            "work_s": done - started, "open_s": opened - started, "cpu_s": spent - busy,
            "rss_mb": round(peak),
        }  # fmt: skip
        world.engine.write(pairs, "pairs").rename(asked.out / "pairs.parquet")
        if asked.tool == "recon" and asked.hash:
            told["result_hash"] = result_hash(world)
    return told


def main() -> None:
    """Read the arguments, run, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("place", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--tool", choices=["recon", "joins", "splink"], default="recon")
    options.add_argument("--model", type=Path, help="stored model; learned if not given")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--memory", help='of the engine, such as "400MB"')
    options.add_argument("--shuffled", action="store_true", help="rows in another order")
    options.add_argument("--hash", action="store_true", help="hash the result as well")
    asked = options.parse_args()
    asked.place, asked.out = asked.place.resolve(), asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(json.dumps(run(asked)) + "\n")


if __name__ == "__main__":
    main()
