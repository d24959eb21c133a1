"""The conjunctions that rules are looked for among, and how a rule reads in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from recon_kit.matching.rules import (
    Amount,
    Condition,
    Contains,
    Days,
    Equal,
    Normaliser,
    Prefix,
    Rule,
    TextTest,
)

_IDS = ("order_id", "native_id", "invoice_number", "transaction_id", "payout_id")
_SAME_FIELD = (*_IDS, "sub_order_id", "click_id", "customer_id", "email", "customer_name",
               "phone", "postcode")  # fmt: skip
_DAYS = (0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60)
_ALLOWED_MINOR = (0, 1, 2, 5, 10, 50, 100)


def text_tests() -> tuple[TextTest, ...]:
    """Every test of two texts that is tried."""
    tests: list[TextTest] = [Equal(left=f, right=f) for f in _SAME_FIELD]
    tests += [Equal(left=a, right=b) for a in _IDS for b in _IDS if a != b]
    spellings: tuple[Normaliser, ...] = ("key", "letters_digits", "digits")
    for name in _IDS:
        for spelling in spellings:
            tests += [
                Contains(left=name, right="description", within="right", left_as=spelling,
                         right_as=spelling),
                Contains(left="description", right=name, within="left", left_as=spelling,
                         right_as=spelling),
            ]  # fmt: skip
        tests.append(
            Prefix(left=name, right="description", within="left", right_as="last_word",
                   length_min=6)
        )  # fmt: skip
    tests.append(
        Contains(left="customer_name", right="description", within="right", left_as="lower",
                 right_as="lower")
    )  # fmt: skip
    tests += [
        Equal(left="email", right="email", left_as="lower", right_as="lower"),
        Equal(left="customer_name", right="customer_name", left_as="lower", right_as="lower"),
        Equal(left="phone", right="phone", left_as="digits", right_as="digits", length_min=8),
    ]
    return tuple(dict.fromkeys(tests))


def conjunctions(
    tests: Sequence[TextTest], extent: Mapping[str, int | None]
) -> list[tuple[Condition, ...]]:
    """Each text test with amount and time, as tight as the decisions allow; then without."""
    day = 86_400_000_000
    early, late = extent["earliest"], extent["latest"]
    days = Days(before=_up(-(early or 0) / day, _DAYS), after=_up((late or 0) / day, _DAYS))
    apart = extent["apart"]
    amounts: list[Amount] = [Amount()]
    if apart:
        amounts.append(Amount(minor_units=_up(apart, _ALLOWED_MINOR)))
    known = [days] if early is not None else []
    found: list[tuple[Condition, ...]] = []
    for test in tests:
        for amount in amounts:
            found += [(test, amount, *known), (test, amount)]
        found += [(test, *known), (test,)]
    found += [(amount, *known) for amount in amounts]
    return list(dict.fromkeys(found))


def _up(value: float, steps: Sequence[int]) -> int:
    """The smallest step that is not below a value; the last one where none is."""
    return next((s for s in steps if s >= value), steps[-1])


# --- in words ------------------------------------------------------------------------------------
def told(rule: Rule) -> str:
    """A rule in words: `description contains order_id, same amount, within 3 days`."""
    return ", ".join(_phrase(c) for c in rule.conditions)


def _phrase(condition: Condition) -> str:
    if isinstance(condition, Amount):
        exact = condition.minor_units == 0 and condition.percent == 0
        far = f"amounts at most {condition.minor_units} minor units apart"
        return "same amount" if exact else far
    if isinstance(condition, Days):
        early = f"from {_days(condition.before)} before to " if condition.before else "within "
        return f"{early}{_days(condition.after)} after"
    if isinstance(condition, Equal):
        same = condition.left == condition.right
        return f"same {condition.left}" if same else f"{condition.left} is {condition.right}"
    if isinstance(condition, (Contains, Prefix)):
        whole, part = condition.left, condition.right
        if condition.within == "right":
            whole, part = part, whole
        verb = "contains" if isinstance(condition, Contains) else "begins with"
        return f"{whole} {verb} {part}"
    return f"{condition.side} {condition.field} is {' or '.join(condition.values)}"


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


def name_of(conditions: Iterable[Condition]) -> str:
    """A name for a rule, made of its words."""
    words = "_".join(re.sub(r"[^a-z0-9]+", "_", _phrase(c).lower()) for c in conditions)
    return words.strip("_")[:80]
