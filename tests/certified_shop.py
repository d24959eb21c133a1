"""A shop whose payments name no order: only people and amounts tell which belongs to which."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl

from recon_kit.workbench.bench import Workbench

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORDERS = 400

TOML = """
[workspace]
name = "keyless"
timezone = "UTC"
currency = "EUR"
as_of = "2026-05-01T12:00:00Z"

[governance.roles]
data_owner = ["ana"]
operations_lead = ["bo"]
governance_reviewer = ["cy"]

[[sources]]
name = "shop"
feed = "table"
owner = "shop_desk"
[sources.layout]
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M"]
[sources.layout.columns]
native_id = "Order"
order_id = "Order"
event_ts = "Time"
amount = "Total"
currency = { value = "EUR" }
email = "Mail"
customer_name = "Name"

[[sources]]
name = "card"
feed = "table"
owner = "finance"
[sources.layout]
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M"]
[sources.layout.columns]
native_id = "Id"
event_ts = "Time"
amount = "Amount"
currency = { value = "EUR" }
email = "Mail"
customer_name = "Name"

[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["shop"], types = ["order"] }
right = { sources = ["card"], types = ["payment"] }
keys = ["order_id"]
settles_within = "5d"
owner = "finance"
[reconciliations.probable]
enabled = true
review_min = 0.20
"""


def files(numbers, seed: int = 4, who="customer{0}@mail.io,Given{0} Family{1}"):
    """The two files of some orders; `who` is how payers are written by the card processor."""
    dice = random.Random(seed)  # noqa: S311 - a seeded world, no secret
    start = datetime(2026, 3, 1, 8)  # noqa: DTZ001 - written as the file prints it
    shop, card = ["Order,Time,Total,Mail,Name"], ["Id,Time,Amount,Mail,Name"]
    for i in numbers:
        when = start + timedelta(minutes=dice.randrange(50 * 24 * 60))
        paid = when + timedelta(minutes=dice.randrange(1, 90))
        total = f"{dice.randrange(500, 90_000) / 100:.2f}"
        buyer = f"customer{i}@mail.io,Given{i} Family{i * 7}"
        shop.append(f"O{i:04},{when:%Y-%m-%d %H:%M},{total},{buyer}")
        card.append(f"P{i:04},{paid:%Y-%m-%d %H:%M},{total},{who.format(i, i * 7)}")
    return "\n".join(shop) + "\n", "\n".join(card) + "\n"


def more(bench: Workbench, numbers, **how) -> None:
    """Further orders come in."""
    for name, text in zip(("shop", "card"), files(numbers, seed=numbers[0], **how), strict=True):
        path = bench.folder / f"{name}_{numbers[0]}.csv"
        path.write_text(text, encoding="utf-8")
        bench.ingest(name, path)


def promote(bench: Workbench) -> str:
    """Certify, approve by every role, put in force; the certificate's id."""
    named = bench.certify(by="dee").certificate_id
    for person in ("ana", "bo", "cy"):
        bench.approve(named, by=person)
    bench.promote(named, by="dee")
    return named


def make(folder, orders: int = ORDERS) -> Workbench:
    """The shop, taken in and reconciled: everything is proposed, nothing matched."""
    shop, card = files(range(orders))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recon.toml").write_text(TOML, encoding="utf-8")
    (folder / "shop.csv").write_text(shop, encoding="utf-8")
    (folder / "card.csv").write_text(card, encoding="utf-8")
    bench = Workbench(folder, clock=lambda: NOW)
    bench.ingest("shop", folder / "shop.csv")
    bench.ingest("card", folder / "card.csv")
    bench.reconcile()
    return bench


def answer(bench: Workbench, *, wrong: int = 0, leave: int = 0) -> int:
    """Answer the drawn items as somebody who knows: the payment of the same number.

    The first `wrong` are said to have no counterpart, the last `leave` get no answer.
    """
    with bench.store.snapshot().engine() as engine:
        facts = engine.rows("select native_id, event_key, source from events order by native_id")
    numbered = facts.with_columns(number=pl.col("native_id").str.slice(1))
    pairs = (
        numbered.filter(pl.col("source") == "shop")
        .join(numbered.filter(pl.col("source") == "card"), on="number")
        .select(left_key="event_key", right_key="event_key_right")
        .sort("left_key")
    )
    drawn = bench.store.rows("audit_draws").drop_nulls("event_key")
    mine = pairs.join(drawn.select(left_key="event_key").unique(), on="left_key", how="semi")
    told = mine.head(mine.height - leave).with_row_index("row")
    none = pl.col("row") < wrong
    rows = told.select(
        "left_key",
        right_key=pl.when(~none).then("right_key"),
        verdict=pl.when(none).then(pl.lit("no_counterpart")).otherwise(pl.lit("same")),
        reconciliation=pl.lit("orders_to_payments"),
        reviewer=pl.lit("dee"),
        stream=pl.lit("audit"),
        inclusion_probability=pl.lit(1.0),
        effective_at=pl.lit(NOW),
        recorded_at=pl.lit(NOW),
    )
    bench.store.add_decisions(rows, recorded_at=NOW)
    return told.height
