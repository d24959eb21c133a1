"""A result of one evaluation, written down row by row: what cases and SLIs are computed from."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit import model, settings
from recon_kit.ledger.engine import open_engine

ZONE = "America/New_York"

SETTINGS = """
[workspace]
name = "acme"
timezone = "America/New_York"
currency = "USD"
[[sources]]
name = "shop"
feed = "shopify.orders_csv"
owner = "marketing_ops"
[[sources]]
name = "stripe"
feed = "stripe.payout_reconciliation"
owner = "payments_ops"
[[sources]]
name = "bank"
feed = "camt"
[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["shop"], types = ["order"] }
right = { sources = ["stripe"], types = ["payment"] }
attach = ["refund", "chargeback"]
cardinality = "one_to_many"
settles_within = "5bd"
[[reconciliations]]
name = "payments_to_payouts"
left = { sources = ["stripe"], types = ["payment", "refund", "chargeback"] }
right = { sources = ["stripe"], types = ["payout"] }
measure = { left = "net", right = "amount" }
keys = ["payout_id"]
cardinality = "many_to_one"
settles_within = "7d"
sign_off_over = { USD = "50.00" }
[[reconciliations]]
name = "payouts_to_bank"
left = { sources = ["stripe"], types = ["payout"] }
right = { sources = ["bank"], types = ["bank_line"] }
keys = ["payout_id"]
cardinality = "many_to_one"
owner = "treasury"
settles_within = "5bd"
"""


def ny(text: str) -> datetime:
    """A New York wall clock as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC)


def frame(schema: dict[str, pl.DataType], rows: list[dict]) -> pl.DataFrame:
    """Rows with the columns of a schema; what is not said is null."""
    for row in rows:
        unknown = set(row) - set(schema)
        assert not unknown, f"no column {unknown}"
    return pl.DataFrame(
        [{name: row.get(name) for name in schema} for row in rows], schema=schema, orient="row"
    )


class SmallRun:
    """Facts and results of one evaluation; every adder returns the run itself."""

    def __init__(self, reconciliation: str = "orders_to_payments", toml: str = SETTINGS) -> None:
        self.settings = settings.loads(toml)
        self.rec = self.settings.reconciliation(reconciliation)
        self.events: list[dict] = []
        self.artefacts: list[dict] = []
        self.duplicates: list[dict] = []
        self.decisions: list[dict] = []
        self.tables: dict[str, list[dict]] = {name: [] for name in model.RUN_TABLES}

    def event(self, key, kind, source, day, amount=None, *, got=None, **more):
        """One event at noon in New York, received at `got` or at its own time; USD unless said."""
        ts = ny(f"{day}T12:00") if day else None
        received = ny(got) if got else ts
        sha = f"sha-{key}"
        self.events.append({
            "event_key": key, "event_type": kind, "source": source, "event_ts": ts,
            "amount": amount, "net": amount, "currency": "USD",
             "artefact_sha256": sha, **more,
        })  # fmt: skip
        self.artefacts.append({"sha256": sha, "source": source, "received_at": received})
        return self

    def open(self, key, side, state, *, amount=None, currency="USD", by=None, **more):
        """One open event."""
        self.tables["open_items"].append({
            "item_id": f"open-{key}", "reconciliation": self.rec.name, "event_key": key,
            "side": side, "state": state, "amount_minor": amount, "currency": currency,
            "expected_by": ny(by) if by else None, **more,
        })  # fmt: skip
        return self

    def match(self, name, left, right, sums, *, state=None, by=None, attached=(), **more):
        """One match; `left` and `right` are `key:role`; a `state` leaves its residual open."""
        residual = sums[0] - sums[1]
        self.tables["matches"].append({
            "match_id": name, "reconciliation": self.rec.name, "method": "exact",
            "disposition": "auto", "left_sum": sums[0], "right_sum": sums[1], "currency": "USD",
            "residual_minor": residual, **more,
        })  # fmt: skip
        for side, members in (("left", left), ("right", right), ("right", attached)):
            for member in members:
                key, role = member.split(":")
                self.tables["match_members"].append({
                    "match_id": name, "event_key": key, "side": side, "role": role,
                    "counts": role in ("principal", "part"), "allocated_minor": self.amount(key),
                })  # fmt: skip
        if state is not None:
            anchor, side = next(
                (member.split(":")[0], side)
                for side, members in (("left", left), ("right", right))
                for member in members
                if member.endswith(":principal")
            )
            self.tables["open_items"].append({
                "item_id": f"open-{name}", "reconciliation": self.rec.name, "match_id": name,
                "event_key": anchor, "side": side, "state": state, "why_code": "residual",
                "amount_minor": abs(residual), "currency": more.get("currency", "USD"),
                "expected_by": ny(by) if by else None,
            })  # fmt: skip
        return self

    def proposal(self, name, left, right, amount, **more):
        """One proposed pair."""
        self.tables["proposals"].append({
            "match_id": name, "reconciliation": self.rec.name, "method": "probable",
            "left_key": left, "right_key": right, "left_amount": amount, "right_amount": amount,
            "currency": "USD", "confidence": 0.8, **more,
        })  # fmt: skip
        return self

    def amount(self, key):
        """The amount of an event told before."""
        return next((e["amount"] for e in self.events if e["event_key"] == key), None)

    @contextmanager
    def engine(self, *, results=True):
        """An engine that holds everything under the names of a snapshot (after matching)."""
        artefacts = {
            "sha256": pl.String(), "source": pl.String(), "received_at": model.UTC,
            "covers_from": model.UTC, "covers_to": model.UTC,
        }  # fmt: skip
        duplicates = {"event_key": pl.String(), "kept_key": pl.String(), "why": pl.String()}
        with open_engine(threads=1) as engine:
            events = frame(model.EVENT_SCHEMA, self.events)
            engine.put("event_versions", events)
            gone = [d["event_key"] for d in self.duplicates if d["event_key"] != d["kept_key"]]
            engine.put("events", events.filter(~pl.col("event_key").is_in(gone)))
            engine.put("artefacts", frame(artefacts, self.artefacts))
            engine.put("duplicates", frame(duplicates, self.duplicates))
            engine.put("decisions", frame(model.DECISION_SCHEMA, self.decisions))
            for name, schema in model.RUN_TABLES.items() if results else ():
                engine.put(f"out_{name}", frame(schema, self.tables[name]))
            yield engine
