"""Owners by ordered routes."""

from __future__ import annotations

import pytest
from small_run import SmallRun

from recon_kit.resolution import routing


@pytest.mark.parametrize(
    ("reconciliation", "kind", "source", "owner"),
    [
        ("orders_to_payments", "missing_right", "shop", "marketing_ops"),
        ("orders_to_payments", "missing_left", "stripe", "payments_ops"),
        ("payouts_to_bank", "missing_left", "bank", "treasury"),  # the reconciliation's owner
        ("payouts_to_bank", "missing_right", "stripe", "treasury"),
        ("payouts_to_bank", "missing_feed", "stripe", "payments_ops"),  # who must send the file
        ("orders_to_payments", "missing_right", None, "operations"),
        ("orders_to_payments", "missing_right", "unheard_of", "operations"),
    ],
)
def test_the_first_route_that_fits_decides(reconciliation, kind, source, owner):
    """A late file goes to its source; else the reconciliation, the anchor's source, the house."""
    run = SmallRun(reconciliation)
    ways = routing.routes(run.rec, run.settings)
    assert routing.route(ways, kind, source).owner == owner


def test_routes_are_a_table_in_their_order():
    """What decides can be shown, in the order in which it decides."""
    run = SmallRun("payouts_to_bank")
    frame = routing.routes_frame(routing.routes(run.rec, run.settings))
    assert dict(frame.schema) == routing.ROUTE_SCHEMA
    assert frame.rows() == [
        (0, "missing_feed", "stripe", "payments_ops", None),
        (1, "schema_drift", "stripe", "payments_ops", None),
        (2, "volume_spike", "stripe", "payments_ops", None),
        (3, None, None, "treasury", None),
        (4, None, "stripe", "payments_ops", None),
        (5, None, None, "operations", None),
    ]


def test_no_route_at_all_is_the_house():
    """An empty list of routes still names somebody."""
    assert routing.route((), "review", "shop").owner == "operations"
