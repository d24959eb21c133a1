"""Workspaces that many tests look at: the small twin, taken in and reconciled once."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Every run tries the same examples, so that what fails once fails again; the long form explores.
settings.register_profile("same_examples", derandomize=True, database=None)
if "RECON_LONG" not in os.environ:
    settings.load_profile("same_examples")

SHOP = """
[workspace]
name = "corner_shop"
timezone = "UTC"
currency = "EUR"
as_of = "2026-11-20T12:00:00Z"

[[sources]]
name = "till"
feed = "table"
owner = "shop_desk"
[sources.layout]
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "Receipt"
order_id = "Receipt"
event_ts = "Day"
amount = "Total"
currency = { value = "EUR" }
email = "E-mail"

[[sources]]
name = "card"
feed = "table"
owner = "finance"
[sources.layout]
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "Id"
order_id = "Order"
event_ts = "Date"
amount = "Amount"
currency = { value = "EUR" }

[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["till"], types = ["order"] }
right = { sources = ["card"], types = ["payment"] }
keys = ["order_id"]
settles_within = "5d"
owner = "finance"
[reconciliations.probable]
enabled = false
"""
TILL = """Receipt,Day,Total,E-mail
#1001,2026-11-02,100.00,ana@example.com
#1002,2026-11-03,25.50,bo@example.com
#1003,2026-11-04,9.90,cy@example.com
#1004,2026-11-19,40.00,di@example.com
"""
CARD = """Id,Order,Date,Amount
c1,1001,2026-11-03,100.00
c2,1002,2026-11-04,20.00
c9,9999,2026-11-10,7.00
c10,9998,2026-11-20,7.10
"""


@pytest.fixture(scope="session", autouse=True)
def _same_draws_every_time():
    """Every store made in this process has one secret, so that each run draws the same audit."""
    from recon_kit.ledger import store

    fixed = SimpleNamespace(token_bytes=lambda size: b"for tests alone, and so no secret"[:size])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "secrets", fixed)
        yield


@pytest.fixture(scope="session")
def _reconciled_once(tmp_path_factory):
    from recon_kit.workbench.bench import Workbench

    folder = _corner_shop(tmp_path_factory.mktemp("once") / "shop")
    bench = Workbench(folder, clock=lambda: datetime(2026, 11, 20, 11, tzinfo=UTC))
    for source in ("till", "card"):
        bench.ingest(source, folder / f"{source}.csv")
    bench.reconcile()
    return folder


@pytest.fixture
def reconciled_shop(_reconciled_once, tmp_path):
    """The corner shop, taken in and reconciled; each test has a copy to change."""
    return Path(shutil.copytree(_reconciled_once, tmp_path / "shop"))


@pytest.fixture
def shop(tmp_path):
    """A corner shop of four orders and four card payments, not yet taken in."""
    return _corner_shop(tmp_path / "shop")


def _corner_shop(folder):
    folder.mkdir()
    (folder / "recon.toml").write_text(SHOP, encoding="utf-8")
    (folder / "till.csv").write_text(TILL, encoding="utf-8")
    (folder / "card.csv").write_text(CARD, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def twin_bench(tmp_path_factory):
    """The small tracked twin, taken in and reconciled: to be looked at, not to be changed."""
    from recon_kit.synth import twin
    from recon_kit.workbench.bench import Workbench

    folder = tmp_path_factory.mktemp("twin") / "sample"
    shutil.copytree(ROOT / "data" / "sample", folder)
    made = twin.load(folder)
    bench = Workbench(folder)
    for delivery in made.deliveries:
        bench.ingest(
            delivery.source,
            made.path(delivery),
            as_of=delivery.as_of,
            received_at=delivery.received_at,
        )
    bench.reconcile()
    return bench
