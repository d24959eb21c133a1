"""How long a person waits for an answer about one event, beside one pass over all keys.

    python -m tests.benchmarks.bench_screens WORKSPACE [ROUNDS]

`WORKSPACE` is a folder whose reconciliations were run, such as one made by `recon demo --orders
1000000`. Asked is about one order that was refunded in parts, its payment and its payout. The peer
is DuckDB counting one `event_key` in all events and members of the same files: whoever has no
index reads that much. Medians of the rounds, answers taking turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from recon_kit.ledger.engine import Engine
from recon_kit.workbench.bench import Workbench

# An order with a refund, and what its money went into.
CHAIN = """
    select e.native_id, p.native_id, p.payout_id from events e
    join match_members l on l.event_key = e.event_key and l.role = 'principal'
    join match_members r on r.match_id = l.match_id and r.run_id = l.run_id and r.role = 'part'
    join events p on p.event_key = r.event_key and p.payout_id is not null
    where e.event_type = 'order' and l.match_id in (
        select match_id from match_members where role = 'refund')
    order by e.event_key limit 1
"""
PEER = """
    select (select count(*) from events where event_key = '{0}')
         + (select count(*) from match_members where event_key = '{0}')
"""


def measured(doing: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processors."""
    clock, spent = time.perf_counter(), time.process_time()
    doing()
    return time.perf_counter() - clock, time.process_time() - spent


def one_pass(bench: Workbench) -> object:
    """The peer: a snapshot is opened as for any answer, and every key read once."""
    runs = [run.run_id for rec in bench.settings.reconciliations
            if (run := bench.store.current_run(rec.name))]  # fmt: skip
    with bench.store.snapshot().engine(runs=runs) as engine:
        return engine.one(PEER.format("no such key"))


def chain(bench: Workbench) -> tuple[str, ...]:
    """Names to ask about."""
    run = bench.store.current_run(bench.settings.reconciliations[0].name)
    if run is None:
        raise SystemExit("run `recon run` there first")
    with bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        return asked(engine)


def asked(engine: Engine) -> tuple[str, ...]:
    """An order, its payment and its payout."""
    return tuple(map(str, engine.one(CHAIN)))


def main(workspace: Path, rounds: int) -> None:
    """Print a row for each kind of answer."""
    bench = Workbench(workspace)
    names = chain(bench)
    answers: dict[str, Callable[[], object]] = {"one pass over the keys": lambda: one_pass(bench)}
    for what, name in zip(("order", "payment", "payout"), names, strict=True):
        for screen in ("history", "why", "trace"):
            ask = getattr(bench, screen)
            answers[f"{screen} of the {what}"] = lambda ask=ask, name=name: repr(ask(name))
    answers |= {"summary": lambda: repr(bench.summary()), "queue": lambda: repr(bench.queue())}
    took: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for what, answer in answers.items():
            took[what].append(measured(answer))
    events = bench.profile().frame["events"].sum()
    sys.stdout.write(f"{events:,} events; seconds, CPU seconds, times the one pass by CPU\n")
    peer = statistics.median(spent for _, spent in took["one pass over the keys"])
    for what, times in took.items():
        clock, spent = (statistics.median(t[i] for t in times) for i in (0, 1))
        sys.stdout.write(f"{what:24}{clock:8.2f}{spent:8.2f}{spent / peer:8.1f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
