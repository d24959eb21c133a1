"""How much a sweep over many thresholds costs beside one sort of the scores.

    python tests/benchmarks/bench_sweep.py [matches] [rounds]

The peer is `polars.Series.sort` of the same scores in the same process. Rounds are interleaved; the
table shows medians and their ratio to the peer. `cut` counts matches and money at every threshold;
`sweep` is all of it: estimates from 5,000 labels with intervals, misses, cost, parts by source,
currency and band of amounts.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import polars as pl

from recon_kit.settings import Costs
from recon_kit.tuning import outcomes, rates, sweep

LABELS = 5_000


def made(count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Picks of invented matches in two currencies, and labels of some of them."""
    rng = np.random.default_rng(5)
    row = pl.int_range(count, dtype=pl.Int64)
    found = pl.DataFrame({
        "confidence": rng.beta(8, 1, count), "amount_minor": rng.integers(100, 500_000, count),
        "usd": rng.random(count) < 0.3,
    }).with_columns(
        left_key="l" + row.cast(pl.String), right_key="r" + row.cast(pl.String),
        method=pl.lit("probable"), model_hash=pl.lit("m"), margin=pl.lit(1.0),
        barred=pl.lit(False), held=pl.lit(False), proposed=pl.lit(True),
        left_source=pl.lit("shop"), right_source=pl.lit("stripe"),
        currency=pl.when("usd").then(pl.lit("USD")).otherwise(pl.lit("EUR")),
    ).select(list(outcomes.PICK_SCHEMA))  # fmt: skip
    some = found.gather_every(max(1, count // LABELS)).with_row_index()
    labels = some.select(
        "left_key",
        right_key=pl.when(pl.col("index") % 50 == 0).then(pl.lit("x")).otherwise("right_key"),
        state=pl.lit("answered"),
        inclusion_probability=pl.lit(LABELS / count),
        stream=pl.lit("audit"),
        labelled_at=pl.lit(datetime(2026, 5, 1, tzinfo=UTC)),
        labelled_by=pl.lit("ana"),
    )
    return found, labels


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    found, labels = made(count)
    asked = sweep.Question(
        "probable", sweep.fixed_grid(0.2), (0.0,), Costs(), "EUR", possible_pairs=count**2
    )
    grid = np.asarray(asked.grid)
    scores = found["confidence"]

    def cut() -> object:
        at = scores.to_numpy()
        money = found["amount_minor"].cast(pl.Float64).to_numpy()
        return rates.tails(at, np.ones(at.size), grid), rates.tails(at, money, grid)

    work = {
        "one polars sort": scores.sort,
        "cut": cut,
        "sweep": lambda: sweep.sweep(found, labels, asked),
    }
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, call in work.items():
            began = time.perf_counter()
            call()
            if number:
                times[name].append(time.perf_counter() - began)
    base = statistics.median(times["one polars sort"])
    told = [f"{count:,} matches, {grid.size} thresholds, {labels.height:,} labels, {rounds} rounds"]
    for name, seconds in times.items():
        median = statistics.median(seconds)
        told.append(f"{name:<16} {median * 1000:9.1f} ms  {median / base:6.1f} x the sort")
    sys.stdout.write("\n".join(told) + "\n")


if __name__ == "__main__":
    main()
