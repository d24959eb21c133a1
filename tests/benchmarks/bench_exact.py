"""How much the exact method costs beside the plainest thing that could work.

    PERF_DATA=/tmp/perf python tests/benchmarks/bench_exact.py 100000 [rounds]

The peer is three hash joins in the same DuckDB, on the same events, under the same settings, that
only write pairs of keys. `PERF_DATA/N` holds `orders.parquet` and `payments.parquet` of a generated
shop with `oid|pid, order_id, transaction_id, invoice_number, amount, currency, name, email, ts`
and, for payments, `fee, payout_id`. Rounds are interleaved; the table shows medians and their
ratio to the peer. Goals: key joins 1.3, the whole method with members and evidence 3.0.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import cascade
from recon_kit.settings import Reconciliation

KEYS = ("order_id", "transaction_id", "invoice_number")
GOALS = {"key joins": 1.3, "exact method": 3.0}
MOMENT = datetime(2026, 4, 20, tzinfo=UTC)
RECONCILIATION = Reconciliation.model_validate({
    "name": "orders_to_payments",
    "left": {"sources": ["shop"], "types": ["order"]},
    "right": {"sources": ["psp"], "types": ["payment"]},
    "attach": ["refund", "chargeback"],
    "keys": KEYS,
    "cardinality": "one_to_many",
    "tolerance": {"minor_units": 2},
    "probable": {"enabled": False},
})  # fmt: skip
_SQL_TYPES = {
    pl.String(): "varchar", pl.Int64(): "bigint", pl.Boolean(): "boolean", pl.Date(): "date",
    model.UTC: "timestamptz",
}  # fmt: skip


def told(source: str, kind: str, own_id: str, more: dict[str, str]) -> str:
    """Rows of view `events` from a generated table."""
    known = {
        "event_key": f"left(sha256('{source}|' || {own_id}), 32)",
        "payload_hash": f"left(sha256('{source}/' || {own_id}), 32)",
        "source": f"'{source}'", "event_type": f"'{kind}'", "status": "'paid'",
        "native_id": f"'{source}_' || {own_id}", "amount": "amount", "currency": "currency",
        "event_ts": "to_timestamp(ts)", "ts_precision": "'second'",
        **{k: k for k in KEYS}, **more,
    }  # fmt: skip
    return "select " + ", ".join(
        f"cast({known.get(c, 'null')} as {_SQL_TYPES[t]}) as {c}"
        for c, t in model.EVENT_SCHEMA.items()
    )


def prepare(folder: Path, temp: Path) -> tuple[Path, Path]:
    """Events and people as the ledger would keep them: one parquet file each."""
    orders, payments = folder / "orders.parquet", folder / "payments.parquet"
    for file in (orders, payments):
        if not file.exists():
            raise SystemExit(f"{file} is not there; generate it first (see the top of this file)")
    with open_engine([orders, payments], folder=temp) as engine:
        sides = (
            (told("shop", "order", "oid", {}), orders),
            (told("psp", "payment", "pid", {"fee": "fee", "net": "amount - fee",
                                            "payout_id": "payout_id"}), payments),
        )  # fmt: skip
        events = engine.write(
            " union all ".join(f"{sql} from '{file}'" for sql, file in sides), "events"
        ).rename(temp / "events.parquet")
        who = engine.write(
            " union all ".join(
                f"select left(sha256('{source}|' || {own}), 32) as event_key,"
                f" '' as payload_hash, name as customer_name, email, null::varchar as phone,"
                f" null::varchar as address, null::varchar as postcode,"
                f" null::varchar as raw_personal from '{file}'"
                for source, own, file in (("shop", "oid", orders), ("psp", "pid", payments))
            ),
            "who",
        ).rename(temp / "who.parquet")
    return events, who


def open_views(engine: Engine, events: Path, who: Path) -> None:
    """What a snapshot offers."""
    engine.con.execute(f"create view events as from '{events}'")
    engine.con.execute(f"create view who as from '{who}'")
    engine.put("decisions", pl.DataFrame(schema=model.DECISION_SCHEMA))
    day = datetime(2026, 1, 1, tzinfo=UTC)
    engine.put("coverage", pl.DataFrame({
        "source": ["shop", "psp"], "covers_from": [day] * 2, "covers_to": [MOMENT] * 2,
        "as_of": [MOMENT] * 2,
    }))  # fmt: skip


def raw(engine: Engine) -> float:
    """The peer: three joins, no guard, pairs of keys only."""
    started = time.perf_counter()
    for number, key in enumerate(KEYS):
        engine.con.execute(
            f"create or replace table raw_{number} as select o.event_key as l, p.event_key as r"
            " from (from events where source = 'shop' and event_type = 'order') o"
            " join (from events where source = 'psp' and event_type = 'payment') p"
            f" using ({key})"
        )
    return time.perf_counter() - started


def ours(engine: Engine) -> dict[str, float]:
    """One evaluation, its steps added up by what they are for; members are written out."""
    outcome = cascade.reconcile(engine, RECONCILIATION, cascade.MatchingContext(as_of=MOMENT))
    names = [t.name for t in outcome.trail]
    until = names.index("out_match_members") + 1  # matches are a table by now, members a view
    seconds = [t.seconds for t in outcome.trail]
    started = time.perf_counter()
    engine.con.execute("create or replace table kept as from out_match_members")
    kept = time.perf_counter() - started
    joins = sum(s for n, s in zip(names, seconds, strict=True) if n.endswith((".crowd", ".pairs")))
    return {
        "key joins": joins,
        "exact method": sum(seconds[:until]) + kept,
        "with open items": sum(seconds) + kept,
        "  members written out": kept,
    } | {f"  {n}": s for n, s in zip(names[:until], seconds, strict=False) if s > 0.02}


def main(count: int, rounds: int) -> None:
    """Print the table."""
    base = Path(os.environ.get("PERF_DATA", Path(tempfile.gettempdir()) / "perf"))
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temp:
        events, who = prepare(base / str(count), Path(temp).resolve())
        with open_engine([events, who], threads=2) as engine:
            open_views(engine, events, who)
            raw(engine)
            ours(engine)
            for _ in range(rounds):
                found["raw three joins"].append(raw(engine))
                for name, seconds in ours(engine).items():
                    found[name].append(seconds)
    peer = statistics.median(found["raw three joins"])
    lines = [f"{count} orders, {rounds} rounds, medians"]
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        goal = f"  goal {GOALS[name]}" if name in GOALS else ""
        lines.append(f"{name:28}{middle:8.3f} s {middle / peer:6.2f}{goal}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines.append(f"peak memory of the process {peak:.0f} MiB")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
