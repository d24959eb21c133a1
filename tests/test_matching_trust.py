from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from recon_kit.ledger.engine import open_engine
from recon_kit.matching import trust
from recon_kit.matching.assign import ASSIGNED_SCHEMA
from recon_kit.matching.authority import authority
from recon_kit.settings import Probable, Reconciliation, Side

REC = Reconciliation(
    name="orders_to_payments",
    left=Side(sources=("shop",), types=("order",)),
    right=Side(sources=("stripe",), types=("payment",)),
    probable=Probable(review_min=0.2, auto_match_floor=0.95, margin_min=0.1, uncertified="auto"),
)

FAR = {"email": "same e-mail", "amount": "amounts differ"}


def verdict(
    probability: float | None, *, margin: float = 0.9, equal: int = 1, **other: object
) -> tuple[str | None, bool]:
    """(why-code, whether the pair is shown) of one picked pair."""
    rec = other.get("rec", REC)
    assert isinstance(rec, Reconciliation)
    pair = {
        "left_eid": 1, "right_eid": 2, "match_weight": 5.0, "match_probability": probability,
        "margin": margin, "weight_margin": None, "rival_eid": None, "rival_weight": None,
        "equal_answers": equal, "together": other.get("together"),
    }  # fmt: skip
    money = {"amount": [10_000], "currency": [other.get("currency", "EUR")]}
    none = {"shown": pl.Series([None], dtype=pl.Int64), "shown_currency": pl.Series([""])}
    with open_engine() as engine:
        engine.put("assigned_pairs", pl.DataFrame([pair], schema=ASSIGNED_SCHEMA))
        engine.put(
            "scored_pairs",
            pl.DataFrame(
                {
                    "left_eid": [1],
                    "right_eid": [2],
                    "levels": [json.dumps(other.get("levels", {}))],
                    "weights": ["{}"],
                }
            ),
        )
        engine.put("p", pl.DataFrame({"amount": [10_000], "currency": ["EUR"], **none}))
        engine.put("q", pl.DataFrame({**money, **none}))
        allowed = authority(rec, "probable", (), datetime(2026, 3, 1, tzinfo=UTC))
        trust.weigh(engine, None)
        row = engine.one(
            f"select {trust.why_code_sql(allowed, 'a', 'p', 'q')}, {trust.worth_sql(rec, 'a')}"
            f" from {trust.TABLE} a, p, q"
        )
    assert row[0] is None or isinstance(row[0], str)
    return row[0], bool(row[1])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"probability": 0.99}, (None, True)),
        ({"probability": 0.80}, ("below_floor", True)),
        ({"probability": 0.10}, ("below_floor", False)),
        ({"probability": 0.99, "margin": 0.05}, ("margin", True)),
        ({"probability": 0.99, "equal": 2}, ("ambiguous", True)),
        ({"probability": 0.99, "currency": "USD"}, ("currency", True)),
        ({"probability": 0.99, "levels": FAR}, ("amounts_differ", True)),
        ({"probability": 0.99, "levels": FAR, "together": 1}, (None, True)),
        ({"probability": 0.99, "levels": {"amount": "same amount"}}, (None, True)),
    ],
)
def test_what_makes_a_pair_a_question(found, expected):
    """Above floor and margin a pair is a match; each shortcoming is named."""
    assert verdict(**found) == expected


@pytest.mark.parametrize("probability", [float("nan"), None])
def test_a_probability_that_is_no_number_goes_to_a_person(probability):
    """NaN sorts above every threshold; it is shown, and never matched."""
    assert verdict(probability) == ("unscored", True)


def test_without_a_certificate_a_good_pair_stays_a_question():
    """By default nothing that a model says is booked."""
    rec = REC.model_copy(update={"probable": Probable(uncertified="review")})
    assert verdict(0.99, rec=rec) == ("uncertified", True)
