"""A rule is a small, declarative text with one hash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recon_kit.errors import MatchingError
from recon_kit.matching import rules

CUT_REFERENCE: dict[str, Any] = {
    "name": "cut_reference",
    "reconciliation": "payouts_to_bank",
    "conditions": [
        {"test": "is", "side": "right", "field": "source", "values": ["bank"]},
        {"test": "prefix", "left": "payout_id", "right": "description", "right_as": "last_word",
         "within": "left", "length_min": 8},
        {"test": "amount", "percent": "0.5"},
        {"test": "days", "before": 1, "after": 10},
    ],
    "decisions": [41, 52, 60],
    "support": 3,
    "precision_bound": 0.97,
    "created": "2026-03-02T12:00:00Z",
    "expires": "2026-09-01T00:00:00Z",
}  # fmt: skip


def test_a_rule_survives_its_own_text() -> None:
    """Parsing the canonical text gives the same rule, the same text and the same hash."""
    rule = rules.parse(json.dumps(CUT_REFERENCE))
    again = rules.parse(rule.text)

    assert again == rule
    assert (again.text, again.content_hash) == (rule.text, rule.content_hash)
    assert rule.text.startswith('{"conditions":[{"field":"source","side":"right","test":"is"')


def test_equal_rules_have_one_hash_whatever_their_spelling() -> None:
    """The order of the members and defaults that are written out change nothing."""
    spelled = dict(reversed(CUT_REFERENCE.items())) | {"verdict": "same"}

    assert rules.parse(json.dumps(spelled)).content_hash == (
        rules.parse(json.dumps(CUT_REFERENCE)).content_hash
    )


def test_another_content_has_another_hash() -> None:
    """An approval of one rule says nothing of a rule that differs in one allowance."""
    other = CUT_REFERENCE | {"conditions": [{"test": "amount", "minor_units": 1}]}

    assert rules.parse(json.dumps(other)).content_hash != (
        rules.parse(json.dumps(CUT_REFERENCE)).content_hash
    )


def test_the_hash_of_the_rules_in_force_knows_no_order() -> None:
    """Two rules give one hash; none gives another."""
    first = rules.parse(json.dumps(CUT_REFERENCE))
    second = rules.parse(json.dumps(CUT_REFERENCE | {"name": "other"}))

    assert rules.rules_hash((first, second)) == rules.rules_hash((second, first))
    assert rules.rules_hash(()) != rules.rules_hash((first,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conditions": [{"test": "is", "side": "left", "field": "source", "values": ["a"]}]},
         "no condition compares the two sides"),
        ({"conditions": [{"test": "days", "after": 3}]}, "no condition compares the two sides"),
        ({"conditions": [{"test": "equal", "left": "invoice", "right": "order_id"}]},
         "no field is called 'invoice'; did you mean 'invoice_number'?"),
        ({"conditions": [{"test": "is", "side": "left", "field": "email", "values": ["a@b.c"]}]},
         "'email' cannot be held against a constant"),
        ({"conditions": [{"test": "contains", "left": "order_id", "right": "description",
                          "within": "right", "length_min": 0}]},
         "length_min: Input should be greater than or equal to 4"),
        ({"conditions": [{"test": "sql", "where": "1=1"}]}, "sql"),
        ({"expires": "2026-01-01T00:00:00Z"}, "it expires before it was created"),
        ({"sql": "drop table events"}, "sql: Extra inputs are not permitted"),
        ({"expires": "2026-09-01T00:00:00"}, "expires: Input should have timezone info"),
    ],
)  # fmt: skip
def test_what_the_vocabulary_does_not_know_is_an_error(
    change: dict[str, Any], message: str
) -> None:
    """The message names the rule, the place and the remedy."""
    with pytest.raises(MatchingError, match="rule 'cut_reference' cannot be read: ") as told:
        rules.parse(json.dumps(CUT_REFERENCE | change))
    assert message in str(told.value)


def test_no_json_is_no_rule() -> None:
    """A text that is no JSON object is refused like any other."""
    with pytest.raises(MatchingError, match="rule '\\?' cannot be read: Invalid JSON"):
        rules.parse("select 1")
