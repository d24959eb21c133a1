"""Gates answer go only when everything they ask for is known and met."""

from __future__ import annotations

import polars as pl
import pytest
from small_run import frame

from recon_kit import model
from recon_kit.errors import UnknownNameError
from recon_kit.sli import gates
from recon_kit.sli.gates import Condition, Gate


def sli(name, value, *, cohort="all", state="known", **more):
    return {
        "name": name, "reconciliation": "orders_to_payments", "cohort": cohort, "value": value,
        "state": state, **more,
    }  # fmt: skip


def measured(*changes: dict) -> pl.DataFrame:
    rows = [
        sli("feed_freshness", 20.0, cohort="shop"),
        sli("feed_freshness", 30.0, cohort="stripe"),
        sli("match_rate", 0.97, numerator=970, denominator=1000),
        sli("match_rate_money", 0.99, currency="USD"),
        sli("case_rate", 0.01),
        sli("blocking_cases", 0.0),
    ]
    changed = {(c["name"], c["cohort"]) for c in changes}
    kept = [r for r in rows if (r["name"], r["cohort"]) not in changed]
    return frame(model.SLI_SCHEMA, [*kept, *changes])


@pytest.mark.parametrize("name", ["hold_spend", "pause_invoicing", "block_payout"])
def test_all_gates_open_when_all_is_well(name):
    """Fresh files, 97 % matched, 99 % of the money, no blocking case: go."""
    assert gates.evaluate(gates.gate(name), measured()).answer == "go"


@pytest.mark.parametrize(
    ("name", "change", "answer", "reason"),
    [
        (
            "hold_spend",
            sli("match_rate", 0.90, numerator=900, denominator=1000),
            "hold",
            "match_rate of orders_to_payments is 0.9, below 0.95",
        ),
        (
            "hold_spend",
            sli("match_rate", 1.0, numerator=1, denominator=1),
            "unknown",
            "match_rate of orders_to_payments is 1, but 1 event is too few to be sure",
        ),
        (
            "hold_spend",
            sli("match_rate", 1.0, numerator=19, denominator=19),
            "unknown",
            "match_rate of orders_to_payments is 1, but 19 events are too few to be sure",
        ),
        (
            "hold_spend",
            sli("match_rate", 1.0, numerator=20, denominator=20),
            "go",
            "all conditions are met",
        ),
        (
            "hold_spend",
            sli("match_rate", 0.9, numerator=9, denominator=10),
            "unknown",
            (
                "match_rate of orders_to_payments is 0.9, below 0.95, but 10 events are too few to "
                "be sure"
            ),
        ),
        (
            "hold_spend",
            sli("match_rate", None, state="unknown", note="no week is mature yet"),
            "unknown",
            "match_rate of orders_to_payments is unknown: no week is mature yet",
        ),
        (
            "block_payout",
            sli("blocking_cases", 2.0),
            "hold",
            "blocking_cases of orders_to_payments is 2, above 0",
        ),
        (
            "block_payout",
            sli("feed_freshness", 100.0, cohort="stripe"),
            "unknown",
            "feed_freshness of orders_to_payments, stripe is 100, above 72",
        ),
        (
            "pause_invoicing",
            sli("match_rate_money", 0.5, currency="USD"),
            "hold",
            "match_rate_money of orders_to_payments, USD is 0.5, below 0.95",
        ),
    ],
)
def test_a_gate_says_what_decided_it(name, change, answer, reason):
    """Surely bad holds, not knowing is unknown, and the reason names the figure."""
    got = gates.evaluate(gates.gate(name), measured(change))
    assert (got.answer, got.reason) == (answer, reason)
    assert got.release == gates.gate(name).release


def test_nothing_measured_is_unknown():
    """An empty table of indicators opens no gate."""
    got = gates.evaluate(gates.gate("block_payout"), frame(model.SLI_SCHEMA, []))
    assert (got.answer, got.reason) == ("unknown", "feed_freshness was not measured")


def test_hold_outweighs_unknown():
    """A stale file does not excuse a blocking case."""
    got = gates.evaluate(
        gates.gate("block_payout"),
        measured(sli("feed_freshness", 100.0, cohort="shop"), sli("blocking_cases", 1.0)),
    )
    assert got.answer == "hold"


def test_own_gates_come_before_the_built_in_ones():
    """A gate of one's own may take a built-in name."""
    own = Gate("hold_spend", (Condition("queue_depth", at_most=5.0),), "Work the queue.")
    rows = frame(model.SLI_SCHEMA, [sli("queue_depth", 6.0)])
    assert gates.evaluate(gates.gate("hold_spend", (own,)), rows).answer == "hold"
    with pytest.raises(UnknownNameError, match="no gate is called 'hold_spent'; did you mean"):
        gates.gate("hold_spent")
