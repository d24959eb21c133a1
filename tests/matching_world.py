"""Literal little worlds for the tests of matching: events as dicts, one call to reconcile them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import cascade
from recon_kit.matching.rules import Rule
from recon_kit.settings import Reconciliation

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
COVERAGE = {
    "source": pl.String(), "covers_from": model.UTC, "covers_to": model.UTC, "as_of": model.UTC,
}  # fmt: skip


def day(number: float) -> datetime:
    """So many days after the first Monday, noon UTC."""
    return MONDAY + timedelta(days=number)


def event(key: str, source: str, kind: str, amount: int | None, **more: Any) -> dict[str, Any]:
    """One event; EUR, on the first Monday, with a payload hash of its own unless told."""
    row = {
        "event_key": key, "source": source, "event_type": kind, "amount": amount,
        "currency": "EUR", "event_ts": MONDAY, "payload_hash": f"payload of {key}",
    }  # fmt: skip
    return row | more


def order(key: str, amount: int | None, **more: Any) -> dict[str, Any]:
    """An order of the shop."""
    return event(key, "shop", "order", amount, **more)


def payment(key: str, amount: int | None, **more: Any) -> dict[str, Any]:
    """A payment of the processor."""
    return event(key, "stripe", "payment", amount, **more)


def person(key: str, email: str | None, name: str | None = None) -> dict[str, Any]:
    """Who stands behind an event."""
    return {"event_key": key, "email": email, "customer_name": name}


def said(
    seq: int, verdict: str, left: str | None, right: str | None, **more: Any
) -> dict[str, Any]:
    """A decision on `orders_to_payments`."""
    row = {
        "seq": seq, "reconciliation": "orders_to_payments", "left_key": left,
        "right_key": right, "verdict": verdict, "stream": "work", "reviewer": "ana",
    }  # fmt: skip
    return row | more


def rec(**more: Any) -> Reconciliation:
    """Orders of the shop to payments of the processor; scoring off unless told."""
    fields: dict[str, Any] = {
        "name": "orders_to_payments",
        "left": {"sources": ["shop"], "types": ["order"]},
        "right": {"sources": ["stripe"], "types": ["payment"]},
        "attach": ["refund", "chargeback"],
        "cardinality": "one_to_many",
        "probable": {"enabled": False},
    }
    return Reconciliation.model_validate(fields | more)


def sharing(name: str, field: str, **more: object) -> Rule:
    """A rule: equal texts in a field of both sides are the same."""
    return Rule.model_validate({
        "name": name, "reconciliation": "orders_to_payments", "created": day(-1),
        "expires": day(90), "conditions": [{"test": "equal", "left": field, "right": field}],
    } | more)  # fmt: skip


def frame(rows: list[dict[str, Any]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Rows with their missing columns null."""
    return pl.DataFrame([{c: r.get(c) for c in schema} for r in rows], schema=schema)


@dataclass
class World:
    """An engine after one reconciliation."""

    engine: Engine
    outcome: cascade.Outcome

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return self.engine.rows(sql).rows()

    def matches(self, *columns: str) -> list[tuple[Any, ...]]:
        """Columns of the matches, in order of their members."""
        picked = ", ".join(columns)
        return self.rows(
            f"select {picked} from out_matches join (select match_id, min(event_key) as first"
            " from out_match_members group by match_id) using (match_id) order by first"
        )

    def members(self, *columns: str) -> list[tuple[Any, ...]]:
        """Columns of the members, in order of their event keys."""
        return self.rows(f"select {', '.join(columns)} from out_match_members order by event_key")

    def groups(self) -> list[str]:
        """Members of each match as text, such as `o1+p1+p2`."""
        return [r[0] for r in self.rows(
            "select string_agg(event_key, '+' order by event_key) as m from out_match_members"
            " group by match_id order by m"
        )]  # fmt: skip

    def open(self, *columns: str) -> list[tuple[Any, ...]]:
        """Columns of the open items, in order of their event keys."""
        return self.rows(f"select {', '.join(columns)} from out_open_items order by event_key")


@contextmanager
def reconciled(
    events: list[dict[str, Any]],
    reconciliation: Reconciliation | None = None,
    *,
    who: list[dict[str, Any]] | None = None,
    decisions: list[dict[str, Any]] | None = None,
    coverage: list[tuple[str, datetime, datetime]] | None = None,
    as_of: datetime = MONDAY + timedelta(days=30),
    threads: int | None = None,
    **context: Any,
) -> Iterator[World]:
    """Reconcile a literal world; every source covers days -60 to 60 unless told."""
    sources = sorted({e["source"] for e in events} | {"shop", "stripe"})
    covered = coverage if coverage is not None else [(s, day(-60), day(60)) for s in sources]
    with open_engine(threads=threads) as engine:
        engine.put("events", frame(events, model.EVENT_SCHEMA))
        engine.put("who", frame(who or [], model.WHO_SCHEMA))
        engine.put("decisions", frame(decisions or [], model.DECISION_SCHEMA))
        engine.put(
            "coverage", pl.DataFrame([(*c, c[2]) for c in covered], schema=COVERAGE, orient="row")
        )
        outcome = cascade.reconcile(
            engine, reconciliation or rec(), cascade.MatchingContext(as_of=as_of, **context)
        )
        yield World(engine, outcome)
