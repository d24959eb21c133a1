"""How much the exact method costs beside the plainest thing that could work.

    uv run python -m tests.benchmarks.bench_exact 100000 [rounds]
    uv run recon demo DIR --orders 100000; uv run python -m tests.benchmarks.bench_exact DIR

The peer is three hash joins in the same DuckDB, on the same events, under the same settings, that
only write pairs of keys. A number makes the generated shop of that size (see `shop`), a folder is
the workspace of a twin with its native files taken in. Rounds are interleaved; the table shows
medians, their ratio to the peer, and the same for processor time, which a busy machine disturbs
less. Goals: key joins 1.3, the whole method with members and evidence 3.0.

The method is what stands between the call and its members written out, every query and all Python
in between. Fees and settlement lags are known, as in every run but the first; the warm-up learns
them, and the last line says what such a run costs.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from recon_kit.ledger.engine import Step
from recon_kit.matching import cascade
from recon_kit.model import StoredModel
from tests.benchmarks import shop, worlds
from tests.benchmarks.worlds import World

GOALS = {"key joins": 1.3, "exact method": 3.0}
PEER = "raw three joins"
Cost = tuple[float, float]  # seconds on the wall, seconds of the processors


def clock() -> Cost:
    """Now, on both clocks."""
    return time.perf_counter(), time.process_time()


def since(start: Cost) -> Cost:
    """What passed since `start`."""
    now = clock()
    return now[0] - start[0], now[1] - start[1]


def ours(world: World) -> tuple[dict[str, Cost], StoredModel | None]:
    """One evaluation, its steps added up by what they are for, and the model after it.

    Members are written out: a run writes them, and here they are a view until then.
    """
    spent: list[tuple[str, Cost]] = []
    until: Cost = (0.0, 0.0)
    run = world.engine.run

    def timed(*steps: Step) -> None:
        nonlocal until
        for step in steps:
            begun = clock()
            run(step)
            spent.append((step.name, since(begun)))
            if step.name == "out_match_members":
                until = since(start)

    world.engine.run = timed  # type: ignore[method-assign] - to time each step on both clocks
    start = clock()
    outcome = cascade.reconcile(world.engine, world.rec, world.context)
    whole = since(start)
    world.engine.run = run  # type: ignore[method-assign] - back as it was
    start = clock()
    world.engine.con.execute("create or replace table kept as from out_match_members")
    kept = since(start)
    last = [name for name, _ in spent].index("out_match_members") + 1
    joins = [c for n, c in spent if n.endswith((".crowd_keys", ".crowd", ".pairs"))]
    return {
        "key joins": added(joins),
        "exact method": added([until, kept]),
        "with open items": added([whole, kept]),
        "  members written out": kept,
    } | {f"  {n}": c for n, c in spent[:last] if c[1] > 0.02}, outcome.model


def added(costs: list[Cost]) -> Cost:
    """Costs added up on both clocks."""
    return sum(c[0] for c in costs), sum(c[1] for c in costs)


def measure(place: Path, rounds: int) -> list[str]:
    """Lines of the table."""
    found: dict[str, list[Cost]] = defaultdict(list)
    with worlds.opened(place) as opened:
        plain = opened.rec.probable.model_copy(update={"enabled": False})
        world = replace(opened, rec=opened.rec.model_copy(update={"probable": plain}))
        worlds.three_joins(world)
        first, model = ours(world)
        world = replace(world, context=replace(world.context, model=model))
        for _ in range(rounds):
            start = clock()
            worlds.three_joins(world)
            found[PEER].append(since(start))
            for name, cost in ours(world)[0].items():
                found[name].append(cost)
    middle = {n: [statistics.median(c[i] for c in cs) for i in (0, 1)] for n, cs in found.items()}
    peer = middle[PEER]
    lines = [f"{'':28}{'seconds':>9}{'ratio':>8}{'cpu s':>9}{'ratio':>8}"]
    for name, (wall, cpu) in middle.items():
        goal = f"   goal {GOALS[name]}" if name in GOALS else ""
        lines.append(
            f"{name:28}{wall:9.3f}{wall / peer[0]:8.2f}{cpu:9.3f}{cpu / peer[1]:8.2f}{goal}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = (first["exact method"][i] / peer[i] for i in (0, 1))
    lines.append(f"the first run, which learns fees and lags: {wall:.2f} and {cpu:.2f} times")
    return [*lines, f"peak memory of the process {peak:.0f} MiB, the peer's tables included"]


def main(asked: str, rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="recon_bench_") as temp:
        place = Path(asked)
        if asked.isdecimal():
            place = Path(temp).resolve()
            shop.make(int(asked), place)
        lines = measure(place, rounds)
    sys.stdout.write("\n".join([f"{asked}, {rounds} rounds, medians", *lines]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
