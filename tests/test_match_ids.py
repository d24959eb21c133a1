"""What a match is called."""

from __future__ import annotations

import pytest

from recon_kit import model
from recon_kit.ledger.engine import open_engine

ORDER, PAYMENT, REFUND = (model.event_key("shop", name) for name in ("o1", "p1", "r1"))


def test_a_pair_is_called_by_the_ends_of_its_keys_and_its_reconciliation():
    """12 digits of each key, the smaller one first, then 8 of the reconciliation."""
    one, other = sorted((ORDER, PAYMENT))
    named = model.match_id("orders_to_payments", (PAYMENT, ORDER))
    assert named == one[-12:] + other[-12:] + model.digest("orders_to_payments", length=8)
    assert len(named) == 32
    assert named[:8] not in (ORDER[:8], PAYMENT[:8])  # what people write of it names no event


def test_the_same_pair_has_another_name_in_another_reconciliation():
    """Orders meet payments in one reconciliation and may meet them in a second one."""
    names = ("orders_to_payments", "orders_to_payouts")
    assert len({model.match_id(name, (ORDER, PAYMENT)) for name in names}) == 2


@pytest.mark.parametrize("members", [(ORDER, PAYMENT), (PAYMENT, ORDER), (ORDER, PAYMENT, REFUND)])
def test_the_engine_calls_a_match_as_python_does(members):
    """Whatever made the match, a pair, a list of two, a larger group: its name is the same."""
    listed = f"list_sort({list(members)!r})"
    by_members = model.members_id_sql("'orders'", listed)
    by_pair = model.pair_id_sql("'orders'", f"'{members[0]}'", f"'{members[1]}'")
    with open_engine() as engine:
        assert engine.one(f"select {by_members}") == (model.match_id("orders", members),)
        assert engine.one(f"select {by_pair}") == (model.match_id("orders", members[:2]),)
