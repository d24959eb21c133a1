"""The invented world adds up, and as much of it is damaged as it says."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from recon_kit.synth import orders, payments, story, tables
from recon_kit.synth.banking import ARRIVALS
from recon_kit.synth.rates import expected
from recon_kit.synth.truth import labels
from recon_kit.synth.world import World

ORDERS = 6_000


@pytest.fixture(scope="module")
def world() -> World:
    """Six thousand orders in twelve weeks."""
    return story.tell_story(orders=ORDERS, seed=11, start=date(2026, 7, 6), days=84)


def shop(world: World) -> pl.DataFrame:
    """Shop orders that the files tell."""
    return world.book.filter(~pl.col("wholesale") & ~pl.col("ghost"))


def test_as_many_orders_as_asked_for(world):
    """The files tell exactly the number of orders, numbered without gaps in time order."""
    told = world.book.filter(~pl.col("ghost"))
    own = shop(world)

    assert told.height == ORDERS
    assert own["i"].to_list() == list(range(own.height))
    assert own["ts"].is_sorted()
    assert own["ts"].min() >= world.period.start_ts
    assert own["ts"].max() < world.period.end_ts


def test_a_total_is_the_sum_of_its_parts(world):
    """Goods less discount are the subtotal; shipping and added tax make the total."""
    book = world.book
    attr, wholesale = book["attr"].to_numpy(), book["wholesale"].to_numpy()
    goods = np.zeros(book.height, dtype=np.int64)
    for slot in range(4):
        product, quantity = orders.order_lines(world.draws, attr, slot, wholesale)
        goods += tables.PRICES[product, book["currency"].to_numpy()] * quantity
    added = tables.COUNTRY_TAX_ADDED[book["country"].to_numpy()]
    tax = np.where(added, book["tax"].to_numpy(), 0)

    assert (goods - book["discount"]).to_list() == book["subtotal"].to_list()
    assert (book["subtotal"] + book["shipping"] + tax).to_list() == book["total"].to_list()


def test_three_decimals_end_in_zero(world):
    """Amounts in dinars have a zero as third decimal, as processors ask for."""
    dinars = [tables.CURRENCIES.index(c) for c in ("KWD", "BHD")]
    shown = world.moves.filter(pl.col("currency").is_in(dinars))["presented"]

    assert shown.len() > 100
    assert (shown % 10).unique().to_list() == [0]


def test_a_payout_is_the_sum_of_its_members(world):
    """Nets of the members, however large, make the payout; every payout is money."""
    nets = world.paid.moves.filter(pl.col("payout") >= 0).group_by("payout").agg(
        (pl.col("gross") - pl.col("fee")).sum().alias("sum")
    )  # fmt: skip
    both = world.paid.payouts.join(nets, on="payout")

    assert both.height == world.paid.payouts.height
    assert both["sum"].to_list() == both["net"].to_list()
    assert both["net"].min() > 0


def test_the_bank_receives_what_was_paid_out(world):
    """A line of the bank is the sum of the payouts that it brings, some days later."""
    both = (
        world.bank.deposits.join(world.paid.payouts, on="payout")
        .group_by("reference")
        .agg(pl.col("net").sum(), pl.col("day").max().alias("paid_on"), pl.len().alias("payouts"))
        .join(world.bank.lines, on="reference")
    )

    assert both["net"].to_list() == both["amount"].to_list()
    assert (both["day"] > both["paid_on"]).all()
    assert sorted(both["payouts"].unique()) == [1, 2]


def test_every_way_of_arriving_occurs(world):
    """Even among eighty payouts each way of arriving at the bank is met."""
    arrived = {ARRIVALS[k] for k in world.bank.deposits["arrival"].unique()}

    assert arrived == {"payout_id", "no_reference", "cut_reference", "lump", "lump_first"}
    assert world.bank.deposits.height < world.paid.payouts.height


def test_split_parts_make_the_order(world):
    """The payments of a split order add up to its total."""
    split = world.book.filter(pl.col("class") == orders.SPLIT)
    charges = payments.movements(world.draws, world.period, split)
    late = charges.filter(pl.col("created") >= world.period.end_ts - 10 * payments.DAY)["i"]
    sums = (
        charges.filter((pl.col("kind") == payments.CHARGE) & ~pl.col("i").is_in(late.implode()))
        .filter(pl.col("i") < payments.NO_ORDER_FROM)
        .group_by("i")
        .agg(pl.col("presented").sum(), pl.len().alias("parts"))
        .join(split, on="i")
    )

    assert sums.height > 20
    assert sums["presented"].to_list() == sums["total"].to_list()
    assert set(sums["parts"]) == {2, 3}


def test_refunds_never_exceed_their_charge(world):
    """However many refunds a charge has, they add up to no more than it."""
    refunds = world.moves.filter(pl.col("kind") == payments.REFUND)
    sums = refunds.group_by("parent").agg(pl.col("presented").sum().alias("back"), pl.len())
    both = sums.join(world.moves.select("presented", uid="parent", own="uid"), left_on="parent",
                     right_on="own")  # fmt: skip

    assert (both["back"] <= both["presented"]).all()
    assert both["len"].max() >= 2


def test_a_wrong_number_is_another_real_order(world):
    """A transposed id names an order that exists and is not its own."""
    wrong = world.moves.filter(pl.col("key") == payments.WRONG_NUMBER)
    own = orders.number_of(world.period, wrong["i"].to_numpy())

    assert wrong.height > 5
    assert (wrong["named"] != pl.Series(own)).all()
    assert wrong["named"].is_in(world.book["number"].implode()).all()


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [
        ("order_id", 0.88, 0.94), ("transaction_id", 0.02, 0.04), ("drift", 0.02, 0.045),
        ("invoice", 0.005, 0.015), ("no_payment", 0.005, 0.015), ("split", 0.003, 0.014),
        ("transposed", 0.001, 0.008),
    ],
)  # fmt: skip
def test_classes_have_their_shares(world, label, low, high):
    """Of the orders that ought to be paid here, each class has about the share it claims."""
    book = world.book.filter(~pl.col("ghost") & (pl.col("class") != orders.OUT_OF_SCOPE))
    share = (book["class"] == orders.CLASSES.index(label)).sum() / book.height

    assert low < share < high


@pytest.mark.parametrize(
    "label",
    [
        "no_order", "order_before_files", "redelivered", "double_charge", "refund", "chargeback",
        "restated", "instant", "not_paid_out", "account_fee", "only_in_text",
        "refund_unknown_to_shop", "late_payment", "not_paid_yet", "gift_card_part", "twin_order",
        "order_edited", "amount_less_fee", "converted", "no_decimals", "three_decimals",
        "cancelled", "cancelled_unpaid", "voided", "pending", "free", "test_order",
        "other_processor", "phantom", "strange_deposit", "value_blank", "value_long",
        "value_subtotal",
    ],
)  # fmt: skip
def test_every_kind_of_damage_occurs(world, label):
    """Each label of the truth is met in six thousand orders."""
    assert label in labels(world)["label"].to_list()


def test_every_event_has_one_class(world):
    """Each event that the truth names has exactly one main label."""
    main = labels(world).filter("main")

    assert not main.select("source", "native_id").is_duplicated().any()
    assert main["label"].null_count() == 0


def test_true_rates_count_the_world(world):
    """Weeks add up to the whole, and about 97 in 100 orders have a counterpart."""
    rates = expected(world).filter(
        (pl.col("reconciliation") == "orders_to_payments") & (pl.col("name") == "has_counterpart")
    )
    whole = rates.filter(pl.col("cohort") == "all")
    weeks = rates.filter(pl.col("cohort") != "all")

    assert weeks.height == 12
    assert weeks["numerator"].sum() == whole["numerator"].item()
    assert 0.95 < whole["value"].item() < 0.99
    assert weeks.filter("mature")["value"].min() > 0.96
