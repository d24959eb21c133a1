"""What makes up a payout: speed beside the plainest way, and what the answers are worth.

    python tests/benchmarks/bench_payouts.py [deposits] [payments of each] [rounds]

Three invented worlds whose truth is known, every table shuffled before anyone reads it:

- *referenced*: payments name their payout and so does the deposit. Peer: one join and a sum per
  payout in the same DuckDB on the same rows, which writes pass or fail for each and nothing else.
  `exact` writes matches, members and evidence of the same groups.
- *runs*: nobody names anything; a deposit is some payments in a row, told by their order in time
  within a window of 1,500. Peer: prefix sums and a dictionary for each deposit, counting all hits.
- *sets*: a deposit is any 14 of 28 payments. Peer: the number of sets, by two sorted halves.

A run has a fixed cost of some 40 to 60 ms, so few deposits say little of speed; 5,000 of 200
payments each are a day of a large shop. Rounds are interleaved; times are medians. Goals: 20,000
referenced deposits and 2,000 runs a second, no wrong assignment, every ambiguous deposit with its
number of answers.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import cascade, subsets
from recon_kit.safe import quote_ident
from recon_kit.settings import Reconciliation

Ints = npt.NDArray[np.int64]
START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = 1_500  # payments before a deposit, one a minute
POOL, MEMBERS, SETS = 28, 14, 20
# deposits, payments that may belong to each, payments that do
SCATTERED = {"14 of 28": (50, 28, 14), "5 of 12": (200, 12, 5), "3 of 8": (200, 8, 3)}
Call = Callable[[], Any]
LATE = START + timedelta(days=3650)
CONTEXT = cascade.MatchingContext(as_of=LATE)


def payments(number: int, rng: np.random.Generator) -> pl.DataFrame:
    """Payments a minute apart: gross, a fee of 2.9 % and 30 cents, and what is left."""
    gross = np.maximum(100, np.exp(rng.normal(8.4, 0.9, number)).astype(np.int64))
    fee = (gross * 29 + 500) // 1000 + 30
    return pl.DataFrame({
        "event_key": [f"p{i:08}" for i in range(number)], "amount": gross, "fee": fee,
        "net": gross - fee,
    }).with_columns(
        event_type=pl.lit("payment"), source=pl.lit("psp"), minute=pl.int_range(number)
    )  # fmt: skip


def deposits(payout: Ints, paid: pl.DataFrame) -> pl.DataFrame:
    """One deposit per payout, ten minutes after its last payment."""
    told = paid.select("net", "minute", payout=pl.Series(payout)).filter(pl.col("payout") >= 0)
    return told.group_by("payout").agg(
        pl.col("net").sum().alias("amount"), pl.col("minute").max() + 10
    ).sort("payout").select(
        "amount", "minute", event_key=pl.format("d{}", pl.col("payout").cast(pl.String)),
        event_type=pl.lit("payout"), source=pl.lit("bank"),
    )  # fmt: skip


def events(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """All rows in the columns of the ledger, shuffled."""
    told = pl.concat(parts, how="diagonal").with_columns(
        event_ts=pl.lit(START) + pl.duration(minutes="minute"), currency=pl.lit("USD"),
        ts_precision=pl.lit("second"), payload_hash=pl.col("event_key"),
        native_id=pl.col("event_key"),
    )  # fmt: skip
    known = set(told.columns)
    return told.select(
        (pl.col(c) if c in known else pl.lit(None)).cast(t).alias(c)
        for c, t in model.EVENT_SCHEMA.items()
    ).sample(fraction=1.0, shuffle=True, seed=11)


def declared(**more: Any) -> Reconciliation:
    """Payments by their net to deposits."""
    return Reconciliation.model_validate({
        "name": "payments_to_deposits",
        "left": {"sources": ["psp"], "types": ["payment"]},
        "right": {"sources": ["bank"], "types": ["payout"]},
        "measure": {"left": "net", "right": "amount"},
        "cardinality": "many_to_one", "probable": {"enabled": False},
        "window": {"before": "0m", "after": f"{WINDOW}m"},
    } | more)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Events of one world on an engine, and which deposit each payment is part of."""

    engine: Engine
    view: str
    rec: Reconciliation
    truth: dict[str, str]

    def reconcile(self) -> dict[str, float]:
        """Evaluate everything and write the members; seconds by method, and of all by the clock."""
        spent: dict[str, float] = defaultdict(float)

        def clocked(name: str, method: cascade.Method) -> cascade.Method:
            def call(*given: Any) -> Any:
                began = time.perf_counter()
                done = method(*given)
                spent[name] += time.perf_counter() - began
                return done

            return call

        order = cascade.ORDER
        cascade.ORDER = tuple((n, clocked(n, m)) for n, m in order)
        try:
            self.engine.con.execute(f"create or replace view events as from {self.view}")
            began = time.perf_counter()
            cascade.reconcile(self.engine, self.rec, CONTEXT)
        finally:
            cascade.ORDER = order
        self.engine.con.execute("create or replace table kept as from out_match_members")
        return spent | {"whole": time.perf_counter() - began}

    def judged(self) -> dict[str, int]:
        """How many deposits were matched, asked about, told undecidable; right and wrong."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for part, deposit in self.truth.items():
            wanted[deposit].add(part)
        matched = self._sets(
            "select match_id, event_key from out_match_members where side = 'left'",
            "select match_id, event_key from out_match_members where side = 'right'",
        )
        asked = self._sets(
            "select match_id, left_key from out_proposals",
            "select distinct match_id, right_key from out_proposals",
        )
        one = self.engine.one
        listed = {d for d, _ in asked}
        return {
            "deposits": len(wanted),
            "matched": len(matched),
            "wrong": sum(parts != wanted[d] for d, parts in matched),
            "asked": len(listed),
            "true answer among those shown": sum(wanted[d] == parts for d, parts in asked),
            "ambiguous": one(
                "select count(*) from out_open_items where side = 'right'"
                " and why_code = 'ambiguous'"
            )[0],
            "ambiguous without a number": one(
                "select count(*) from out_open_items where side = 'right' and why_code ="
                r" 'ambiguous' and not regexp_matches(why, '^\d+ (run|set)s of open items')"
            )[0],
            "undecidable": one(
                "select count(*) from out_open_items where side = 'right'"
                " and why_code = 'undecidable'"
            )[0],
        }

    def _sets(self, parts: str, wholes: str) -> list[tuple[str, set[str]]]:
        found: dict[str, set[str]] = defaultdict(set)
        for key, part in self.engine.rows(parts).iter_rows():
            found[key].add(part)
        return [(whole, found[key]) for key, whole in self.engine.rows(wholes).iter_rows()]


# --- Peers --------------------------------------------------------------------------------------
def join_and_sum(engine: Engine) -> int:
    """Deposits whose payments, found by the reference, add up."""
    found = engine.con.execute("""
        select count(*) filter (s = d.amount) from
            (from referenced where event_type = 'payout') d join
            (select payout_id, sum(net) as s from referenced
             where event_type = 'payment' group by payout_id) p using (payout_id)""").fetchone()
    return int(found[0]) if found else 0


def dictionary(rows: pl.DataFrame) -> Callable[[], int]:
    """Deposits with a run, by prefix sums and a dictionary for each deposit."""
    told = rows.sort("event_ts", "event_key")
    paid = told.filter(pl.col("event_type") == "payment")
    due = told.filter(pl.col("event_type") == "payout")
    net, at = paid["net"].to_numpy(), paid["event_ts"].dt.epoch("s").to_numpy()
    wanted = list(zip(due["amount"], due["event_ts"].dt.epoch("s"), strict=True))

    def call() -> int:
        hit = 0
        for amount, when in wanted:
            last = int(np.searchsorted(at, when, "right"))
            sums = np.concatenate([[0], np.cumsum(net[max(0, last - WINDOW) : last])]).tolist()
            places = {v: i for i, v in enumerate(sums)}
            hit += any(places.get(v + amount, -1) > i for i, v in enumerate(sums))
        return hit

    return call


def halves(values: Ints, target: int) -> int:
    """How many sets add up to the target, by two sorted halves."""

    def sums(part: Ints) -> Ints:
        found = np.zeros(1, np.int64)
        for value in part:
            found = np.concatenate([found, found + value])
        return np.sort(found)

    one, other = sums(values[: len(values) // 2]), sums(values[len(values) // 2 :])
    right = np.searchsorted(other, target - one, "right")
    return int((right - np.searchsorted(other, target - one, "left")).sum())


# --- Worlds -------------------------------------------------------------------------------------
def in_a_row(count: int, size: int, *, named: bool) -> tuple[pl.DataFrame, Ints]:
    """Deposits of payments that follow one another, with or without a reference."""
    paid = payments(count * size, np.random.default_rng(5))
    payout = np.arange(count * size) // size
    due = deposits(payout, paid)
    if named:
        paid = paid.with_columns(payout_id=pl.Series([f"po_{p}" for p in payout.tolist()]))
        due = due.with_columns(payout_id=pl.format("po_{}", pl.int_range(count)))
    return events([paid, due]), payout


def scattered(count: int, pool: int, members: int) -> tuple[pl.DataFrame, Ints]:
    """Deposits of some payments of a pool, each pool far from the next; -1: part of none."""
    rng = np.random.default_rng(7)
    payout = np.full(count * pool, -1)
    for number in range(count):
        payout[number * pool + rng.permutation(pool)[:members]] = number
    apart = pl.col("minute") + (pl.col("minute") // pool) * 3 * WINDOW
    paid = payments(count * pool, rng).with_columns(minute=apart)
    return events([paid, deposits(payout, paid)]), payout


def truth_of(payout: Ints) -> dict[str, str]:
    """Which deposit each payment is part of."""
    return {f"p{i:08}": f"d{p}" for i, p in enumerate(payout.tolist()) if p >= 0}


def measured(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Medians in seconds of interleaved rounds, after one that does not count."""
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            told = call()
            spent = time.perf_counter() - began
            if number:
                parts = told if isinstance(told, dict) else {name: spent}
                for part, seconds in parts.items():
                    times[part].append(seconds)
    return {name: statistics.median(t) for name, t in times.items()}


def line(name: str, seconds: float, size: tuple[int, int], peer: float, goal: int | None) -> str:
    """One line of the table; `size` is how many, and the payments of each where they are told."""
    number, each = size
    told = f"{name:34}{seconds * 1000:9.1f} ms{number / seconds:12,.0f}/s{seconds / peer:8.2f}"
    told += f"{number * each / seconds:14,.0f} payments/s" if each else ""
    return told + (f"   goal {goal:,}/s" if goal else "")


def _told(
    engine: Engine, worlds: dict[str, World], rows: pl.DataFrame, size: tuple[int, int, int]
) -> list[str]:
    """Lines of the table: speed of each world beside its peer, then what the answers are worth."""
    count, each, rounds = size
    engine.put("who", pl.DataFrame(schema=model.WHO_SCHEMA))
    engine.put("decisions", pl.DataFrame(schema=model.DECISION_SCHEMA))
    engine.put("coverage", pl.DataFrame({
        "source": ["psp", "bank"], "covers_from": [START] * 2, "covers_to": [LATE] * 2,
        "as_of": [LATE] * 2,
    }))  # fmt: skip
    lines: list[str] = []

    def add(title: str, calls: dict[str, Call], number: int, goals: dict[str, int]) -> None:
        took = measured(calls, rounds)
        peer = next(iter(took.values()))
        lines.append(title)
        lines.extend(
            line(n, s, (number, each if number == count else 0), peer, goals.get(n))
            for n, s in took.items()
            if s * 100 > peer
        )

    def worth(name: str) -> None:
        lines.extend([f"  {k:38}{v:9,}" for k, v in worlds[name].judged().items()] + [""])

    add(
        "payments and deposits name their payout",
        {"join and sum": lambda: join_and_sum(engine), "ours": worlds["referenced"].reconcile},
        count, {"exact": 20_000},
    )  # fmt: skip
    worth("referenced")
    add(
        "nobody names it, payments in a row",
        {"prefix sums and a dictionary": dictionary(rows), "ours": worlds["rows"].reconcile},
        count, {"grouped": 2_000},
    )  # fmt: skip
    worth("rows")
    rng = np.random.default_rng(3)
    pools = [payments(POOL, rng)["net"].to_numpy() for _ in range(SETS)]
    sums = [int(pool[rng.permutation(POOL)[:MEMBERS]].sum()) for pool in pools]
    asked = list(zip(pools, sums, strict=True))
    assert [halves(p, s) for p, s in asked] == [
        subsets.solve(p, s, s, listed_max=0).count for p, s in asked
    ]
    add(
        f"{SETS} counts of the sets of {POOL} payments that add up",
        {
            "two sorted halves": lambda: [halves(p, s) for p, s in asked],
            "our search": lambda: [subsets.solve(p, s, s, listed_max=0) for p, s in asked],
            "our search, at most 2,000 listed": lambda: [
                subsets.solve(p, s, s, listed_max=2_000) for p, s in asked
            ],
        },
        SETS, {},
    )  # fmt: skip
    for name in SCATTERED:
        lines.append(f"{name} payments, scattered: the whole method")
        worlds[name].reconcile()
        worth(name)
    return lines


def main(count: int, size: int, rounds: int) -> None:
    """Print the table."""
    tables = {
        "referenced": in_a_row(count, size, named=True), "rows": in_a_row(count, size, named=False),
        **{name: scattered(*size) for name, size in SCATTERED.items()},
    }  # fmt: skip
    told = [f"{count:,} deposits of {size} payments, {rounds} rounds, medians; x the peer", ""]
    with tempfile.TemporaryDirectory() as temp:
        files = {name: Path(temp).resolve() / f"{i}.parquet" for i, name in enumerate(tables)}
        for name, file in files.items():
            tables[name][0].write_parquet(file)
        with open_engine(files.values(), threads=2) as engine:
            worlds = {}
            for name, file in files.items():
                engine.con.execute(f"create view {quote_ident(name)} as from '{file}'")
                method = "grouped" if name == "rows" else "decomposed"
                worlds[name] = World(
                    engine, quote_ident(name),
                    declared(keys=["payout_id"]) if name == "referenced"
                    else declared(**{method: {"enabled": True, "uncertified": "auto"}}),
                    truth_of(tables[name][1]),
                )  # fmt: skip
            told += _told(engine, worlds, tables["rows"][0], (count, size, rounds))
    sys.stdout.write("\n".join(told) + "\n")


if __name__ == "__main__":
    main(*(int(a) for a in (sys.argv[1:] + ["500", "200", "5"][len(sys.argv) - 1 :])))
