"""Rules that were distilled from decisions: their one format, as JSON and as frozen records.

A rule says of every open pair that meets all its conditions that it is the same, or that it is not.
The vocabulary is small and declarative; no SQL ever stands in a rule, `learned` compiles it:

| test | meaning |
| --- | --- |
| `is` | a field of one side is one of `values`, such as a currency or a source |
| `equal` | a field of the left and one of the right are the same text |
| `contains` | the text of the side `within` contains that of the other side |
| `prefix` | the text of the side `within` begins with that of the other side |
| `amount` | in a currency both share, the amounts differ by no more than the larger allowance |
| `days` | right time minus left time lies between `-before` and `after` days |

Before texts are compared each is written anew by its normaliser (`left_as`, `right_as`): `key`
(spaces, a leading `'` or `#` go), `lower`, `digits` (nothing else stays), `letters_digits`,
`first_word` or `last_word`. A text that is null, or shorter than `length_min`, meets no test: an
empty reference is contained in every text and proves nothing.

    {"name": "cut_reference", "reconciliation": "payouts_to_bank", "verdict": "same",
     "conditions": [
       {"test": "is", "side": "right", "field": "source", "values": ["bank"]},
       {"test": "prefix", "left": "payout_id", "right": "description", "right_as": "last_word",
        "within": "left", "length_min": 8},
       {"test": "amount", "minor_units": 0}],
     "decisions": [41, 52, 60], "support": 3, "precision_bound": 0.97,
     "created": "2026-03-02T12:00:00Z", "expires": "2026-09-01T00:00:00Z"}

`content_hash` is the hash of the canonical text (`text`): what an approval is bound to, and what
`matches.rule_id` names.
"""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError
from pydantic import model_validator as checked

from recon_kit import model
from recon_kit.errors import MatchingError, nearest
from recon_kit.values import ExactDecimal, Frozen

Side = Literal["left", "right"]
Normaliser = Literal["key", "lower", "digits", "letters_digits", "first_word", "last_word"]
Verdict = Literal["same", "not_same"]
# A constant stands in a table that is never erased, so it may be no personal text.
CONSTANT_FIELDS: tuple[str, ...] = (
    "source", "event_type", "currency", "presentment_currency", "status", "payment_method",
    "channel", "partner_id",
)  # fmt: skip
TEXT_FIELDS: tuple[str, ...] = (
    *CONSTANT_FIELDS, "native_id", "order_id", "sub_order_id", "transaction_id",
    "invoice_number", "payout_id", "parent_key", "click_id", "customer_id", "description",
    "email", "customer_name", "phone", "postcode",
)  # fmt: skip
_JSON_FIELDS = ("raw_keys.", "external_ids.")
LIFE = timedelta(days=180)  # of a rule that says nothing else
LENGTH_MIN = 4  # shorter texts turn up in others by chance


def _text_field(name: str) -> str:
    if name not in TEXT_FIELDS and not name.startswith(_JSON_FIELDS):
        raise ValueError(f"no field is called {name!r}; {nearest(name, TEXT_FIELDS)}")
    return name


def _constant_field(name: str) -> str:
    if name not in CONSTANT_FIELDS:
        raise ValueError(
            f"{name!r} cannot be held against a constant; {nearest(name, CONSTANT_FIELDS)}"
        )
    return name


TextField = Annotated[str, AfterValidator(_text_field)]
ConstantField = Annotated[str, AfterValidator(_constant_field)]


class Is(Frozen):
    """A field of one side is one of `values`."""

    test: Literal["is"] = "is"
    side: Side
    field: ConstantField
    values: tuple[str, ...] = Field(min_length=1)


class Equal(Frozen):
    """A field of the left and one of the right are the same text."""

    test: Literal["equal"] = "equal"
    left: TextField
    right: TextField
    left_as: Normaliser = "key"
    right_as: Normaliser = "key"
    length_min: int = Field(default=1, ge=1)


class Contains(Frozen):
    """The text of the side `within` contains that of the other side."""

    test: Literal["contains"] = "contains"
    left: TextField
    right: TextField
    within: Side
    left_as: Normaliser = "key"
    right_as: Normaliser = "key"
    length_min: int = Field(default=LENGTH_MIN, ge=LENGTH_MIN)


class Prefix(Frozen):
    """The text of the side `within` begins with that of the other side."""

    test: Literal["prefix"] = "prefix"
    left: TextField
    right: TextField
    within: Side
    left_as: Normaliser = "key"
    right_as: Normaliser = "key"
    length_min: int = Field(default=LENGTH_MIN, ge=LENGTH_MIN)


class Amount(Frozen):
    """Amounts differ by at most `minor_units`, or `percent` of the left one if that is more."""

    test: Literal["amount"] = "amount"
    minor_units: int = Field(default=0, ge=0)
    percent: Annotated[ExactDecimal, Field(ge=0)] = Decimal(0)


class Days(Frozen):
    """Right time minus left time lies between `-before` and `after` days of 24 hours."""

    test: Literal["days"] = "days"
    before: int = Field(default=0, ge=0)
    after: int = Field(default=0, ge=0)


TextTest = Equal | Contains | Prefix
Condition = Annotated[Is | Equal | Contains | Prefix | Amount | Days, Field(discriminator="test")]


class Rule(Frozen):
    """One rule, with what it was distilled from.

    `decisions` are the sequence numbers of the decisions that agree with it, `support` how many
    pairs they judged, `precision_bound` a lower bound of the share of its pairs that it judges
    right. Unknown names are errors.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    reconciliation: str
    verdict: Verdict = "same"
    conditions: tuple[Condition, ...] = Field(min_length=1)
    decisions: tuple[int, ...] = ()
    support: int = Field(default=0, ge=0)
    precision_bound: float | None = Field(default=None, ge=0.0, le=1.0)
    created: AwareDatetime
    expires: AwareDatetime

    @checked(mode="after")
    def _joins_something(self) -> Rule:
        if not any(isinstance(c, (Equal, Contains, Prefix, Amount)) for c in self.conditions):
            raise ValueError(
                "no condition compares the two sides: add an equal, contains, prefix or amount test"
            )
        if self.expires <= self.created:
            raise ValueError("it expires before it was created")
        return self

    @property
    def text(self) -> str:
        """The canonical JSON: keys in order, no spaces. Equal rules have equal texts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def content_hash(self) -> str:
        """Hash of `text`."""
        return model.digest(self.text)


def parse(text: str) -> Rule:
    """A rule from its JSON.

    Raises:
        MatchingError: it is no JSON, or says what the vocabulary does not know.
    """
    try:
        return Rule.model_validate_json(text)
    except ValidationError as why:
        problems = "; ".join(_told(e) for e in why.errors())
        raise MatchingError(f"rule {_name(text)!r} cannot be read: {problems}") from None


def read(text: str, reconciliation: str, now: datetime) -> tuple[Rule, ...]:
    """Rules that a person wrote as TOML: one at the top of the file, or each under `[[rules]]`.

    What a file may leave out: `reconciliation`, `created` (now) and `expires` (`LIFE` later).

    Args:
        text: of the file; see the top of this module for what a rule says.
        reconciliation: whose rules they are where the file does not say so.
        now: the clock.

    Raises:
        MatchingError: it is no TOML, or says what the vocabulary does not know.
    """
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise MatchingError(f"this is no TOML: {why}") from None
    usual = {"reconciliation": reconciliation, "created": now, "expires": now + LIFE}
    return tuple(
        parse(json.dumps(usual | rule, default=_as_json)) for rule in told.get("rules", [told])
    )


def _as_json(value: object) -> str:
    """A TOML date as JSON has it; a day without a zone begins in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return str(value)


def rules_hash(rules: tuple[Rule, ...]) -> str:
    """Hash of the rules in force, whatever their order; part of the identity of a run."""
    return model.digest("rules", *sorted(r.content_hash for r in rules))


def _told(error: Any) -> str:
    place = ".".join(str(p) for p in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _name(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return "?"
    return str(found.get("name", "?")) if isinstance(found, dict) else "?"
