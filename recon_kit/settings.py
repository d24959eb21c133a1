"""`recon.toml` as frozen settings: the shape of the file, checked before anything runs.

Unknown, repeated and undeclared names are errors that name the nearest known one. Nothing here
touches data: whether a source's feed exists is for `ingestion`, what a duration means for
`workdays`, what one value may be for `values`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

from recon_kit import model
from recon_kit.errors import SettingsError, UnknownNameError, nearest
from recon_kit.values import (
    DueTime,
    Duration,
    DurationField,
    ExactDecimal,
    Frozen,
    Name,
    Share,
    SomeTime,
    Zone,
)

FILE_NAME = "recon.toml"


class Workspace(Frozen):
    """Names and conventions of the whole workspace; `timezone` bounds weeks and clocks."""

    name: str
    timezone: Zone = "UTC"
    currency: str | None = None
    reports: str = "reports"
    store: str = "store"
    locale: str = "en_US"
    holidays: str | None = None  # ISO country, such as "US"; weekends always rest
    as_of: AwareDatetime | None = None  # a clock that stands still: demos and closed periods
    reviewer: str | None = None  # who decides here; RECON_REVIEWER goes before it


class Ledger(Frozen):
    """How long received files are kept, in days; only an erasure removes one sooner."""

    raw_days_min: int = Field(default=90, ge=0)


class Column(Frozen):
    """Where a canonical field comes from. Exactly one of the ways below.

    `names` are aliases of one column (the first present one is read), `value` a constant, `join`
    columns put together with `separator`, `from` + `extract` a regular expression's first group.
    `map` translates the text that was found.
    """

    names: tuple[str, ...] = ()
    value: str | None = None
    join: tuple[str, ...] = ()
    separator: str = " "
    origin: tuple[str, ...] = Field(default=(), alias="from")
    extract: str | None = None
    map: dict[str, str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"names": (data,)}
        if isinstance(data, (list, tuple)):
            return {"names": tuple(data)}
        if isinstance(data, dict):
            data = dict(data)
            if "column" in data:
                data["names"] = data.pop("column")
            for key in ("names", "from"):
                if isinstance(data.get(key), str):
                    data[key] = (data[key],)
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Column:
        ways = [bool(self.names), self.value is not None, bool(self.join), bool(self.origin)]
        if sum(ways) != 1:
            raise ValueError("give exactly one of a column name, `value`, `join`, or `from`")
        if bool(self.extract) != bool(self.origin):
            raise ValueError("`from` and `extract` go together")
        if self.extract is not None:
            try:
                re.compile(self.extract)
            except re.error as why:
                raise ValueError(f"`extract` is no regular expression: {why}") from None
        return self


_NOT_DECLARED = {"raw_keys", "external_ids", "raw_personal", "event_type"}
_DERIVED = {"raw_ts", "tz_source", "ts_precision"}
LAYOUT_FIELDS: tuple[str, ...] = (
    *(f for f in (*model.MONEY_FACTS, *model.PERSONAL_FACTS) if f not in _NOT_DECLARED | _DERIVED),
    "debit",
    "credit",
    "direction",
    "time",
    "zone",
    "told_at",
)


# Sums that a line of the file's own totals may tell.
CONTROL_SUMS: tuple[str, ...] = ("amount", "debit", "credit", "fee", "net", "refunded_amount")


class Layout(Frozen):
    """A declared table (feed `table`): notation of the file and where each field comes from."""

    event_type: str | Column
    format: Literal["csv", "json", "ndjson", "parquet"] | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    skip_rows: int = Field(default=0, ge=0)
    header: tuple[str, ...] = ()  # CSV: names of the columns, in order, of a file without a header
    footer_regex: str | None = None
    control_regex: str | None = None  # the file's own totals: (?P<records>...), (?P<amount>...)
    records: str | None = None  # JSON: path to the list, such as "data.items"
    timezone: Zone | None = None
    date_formats: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    unit: Literal["major", "minor"] = "major"
    sign: Literal["signed", "negated", "debit_credit", "indicator", "by_type"] = "signed"
    fee_sign: Literal["positive", "negative"] = "positive"  # of a fee that costs, as printed
    direction_map: dict[str, Literal[-1, 1]] = Field(default_factory=dict)
    nulls: tuple[str, ...] = ("", "--", "N/A", "NULL", "null")
    status_map: dict[str, str] = Field(default_factory=dict)
    personal: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    mutable: tuple[str, ...] = ("status", "available_on", "payout_id", "refunded_amount")
    id_fields: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    sum: tuple[str, ...] = ("amount", "fee", "net")
    round_excess: bool = False
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _known_fields(self) -> Layout:
        for name in self.columns:
            if not name.startswith(("raw_keys.", "external_ids.")) and name not in LAYOUT_FIELDS:
                hint = nearest(name, LAYOUT_FIELDS)
                if own := name.partition("raw_personal.")[2]:
                    hint = f'write "raw_keys.{own}" and personal = ["{own}"] under [sources.layout]'
                raise ValueError(f"columns: no field is called {name!r}; {hint}")
        kind = self.event_type
        named = [kind] if isinstance(kind, str) else [*(kind.map or {}).values(), kind.value]
        for name in filter(None, named):
            if name not in model.EVENT_TYPES:
                hint = nearest(name, model.EVENT_TYPES)
                raise ValueError(f"event_type: {name!r} is no event type; {hint}")
        return self

    @model_validator(mode="after")
    def _control_line(self) -> Layout:
        if self.control_regex is None:
            return self
        try:
            groups = re.compile(self.control_regex).groupindex
        except re.error as why:
            raise ValueError(f"`control_regex` is no regular expression: {why}") from None
        sums = [f for f in CONTROL_SUMS if f in self.columns]
        for name in groups:
            if name not in {"records", *sums}:
                hint = nearest(name, ["records", *sums])
                raise ValueError(f"control_regex: no total is called {name!r}; {hint}")
        if not groups:
            raise ValueError(
                "`control_regex` tells no total; write (?P<records>...) or (?P<amount>...)"
            )
        return self


# What a source's ids carry that means nothing; the last two take the text after the colon.
KEY_NORMALISERS: tuple[str, ...] = (
    "hash", "dashes", "case", "zero_padding", "prefix:", "suffix:",
)  # fmt: skip


class Source(Frozen):
    """A supplier of files: which feed it speaks, who owns it, how often it must come.

    `key_normalisers` say how it writes its ids: with a `hash`, `dashes`, letters in any `case`,
    `zero_padding`, or a `prefix:` or `suffix:` of its own. Keys that agree only so are repaired.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    feed: str
    owner: Name | None = None
    backup: Name | None = None
    cadence: SomeTime | None = None
    precedence: int = 100
    timezone: Zone | None = None
    options: dict[str, str | int | bool | tuple[str, ...]] = Field(default_factory=dict)
    key_normalisers: tuple[str, ...] = ()
    layout: Layout | None = None

    @model_validator(mode="after")
    def _layout_for_table(self) -> Source:
        if (self.feed == "table") != (self.layout is not None):
            raise ValueError(
                'feed "table" needs [sources.layout], and only that feed takes one; '
                "`recon profile FILE` prints a ready one"
            )
        return self

    @model_validator(mode="after")
    def _another_person(self) -> Source:
        if self.backup is not None and self.backup == (self.owner or self.backup):
            raise ValueError(
                f"backup {self.backup!r} stands in for nobody; name an `owner` and somebody else "
                "as `backup`"
            )
        return self

    @model_validator(mode="after")
    def _known_normalisers(self) -> Source:
        for word in self.key_normalisers:
            name, colon, affix = word.partition(":")
            if name + colon not in KEY_NORMALISERS:
                hint = nearest(name + colon, KEY_NORMALISERS)
                raise ValueError(f"key_normalisers: no normaliser is called {word!r}; {hint}")
            if colon and not affix:
                raise ValueError(f"key_normalisers: write the text after it: {word}ORD-")
        return self


FILTER_FIELDS: tuple[str, ...] = (
    "status", "currency", "payment_method", "channel", "partner_id", "amount_minor", "test",
)  # fmt: skip


class Side(Frozen):
    """The events of one side. A filter passes rows whose field is null."""

    sources: tuple[str, ...]
    types: tuple[str, ...]
    where: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_words(self) -> Side:
        for name in self.types:
            if name not in model.EVENT_TYPES:
                raise ValueError(
                    f"types: {name!r} is no event type; {nearest(name, model.EVENT_TYPES)}"
                )
        known = [f + end for f in FILTER_FIELDS for end in ("", "_not")] + [
            "amount_minor_min",
            "amount_minor_max",
        ]
        for name in self.where:
            if name not in known:
                raise ValueError(f"where: no filter is called {name!r}; {nearest(name, known)}")
        return self


class Measure(Frozen):
    """Which amount of each side must agree."""

    left: Literal["amount", "net"] = "amount"
    right: Literal["amount", "net"] = "amount"


class Tolerance(Frozen):
    """What may differ without being a discrepancy: the larger of both, on sums."""

    minor_units: int = Field(default=0, ge=0)
    percent: ExactDecimal = Decimal(0)


class Window(Frozen):
    """Right time minus left time, for methods without a key."""

    before: DurationField = Duration(count=2, unit="d")
    after: DurationField = Duration(count=30, unit="d")


class Uncertain(Frozen):
    """Settings shared by every method whose matches are not proven by a key.

    What matches without a certificate (`uncertified = "auto"`) is held to `auto_match_floor` of
    `probable`, whichever of them says how sure it is.
    """

    enabled: bool = False
    uncertified: Literal["review", "auto"] = "review"


class Probable(Uncertain):
    """The probabilistic method; below `review_min` nothing is proposed."""

    enabled: bool = True
    review_min: Share = 0.20
    auto_match_floor: Share = 0.95
    margin_min: Share = 0.10
    compare: tuple[str, ...] = ()
    pairs_max: int = Field(default=20_000_000, ge=1)
    seed: int = 20_260_101

    @model_validator(mode="after")
    def _order(self) -> Probable:
        if self.auto_match_floor < self.review_min:
            raise ValueError(
                "auto_match_floor lies below review_min; review_min must be the lower one"
            )
        return self


KEY_FIELDS: tuple[str, ...] = (
    "order_id", "sub_order_id", "transaction_id", "invoice_number", "payout_id", "click_id",
    "native_id", "parent_key", "customer_id",
)  # fmt: skip


# What a record may tell of a customer that is compared.
CUSTOMER_FIELDS: tuple[str, ...] = ("email", "customer_name", "phone", "postcode")


class Customers(Frozen):
    """Sources whose records say who a customer is; the first that tells a field is heard.

    `of` are the sources whose `customer_id` they know; those of both sides if none is named.
    """

    sources: tuple[str, ...] = ()
    of: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"sources": tuple(data)} if isinstance(data, (list, tuple)) else data


class Reconciliation(Frozen):
    """Two sides that ought to agree, and what agreeing means."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    left: Side
    right: Side
    attach: tuple[str, ...] = ()
    measure: Measure = Measure()
    keys: tuple[str, ...] = ("order_id", "transaction_id", "invoice_number")
    cardinality: Literal["one_to_one", "one_to_many", "many_to_one", "many_to_many"] = "one_to_one"
    tolerance: Tolerance = Tolerance()
    window: Window = Window()
    settles_within: DueTime = Duration(count=5, unit="bd")
    duplicates_within: DurationField | None = None  # told again under a new id: the same second
    sign_off_over: dict[str, ExactDecimal] | None = None
    fx_band_percent: ExactDecimal = Decimal(3)
    owner: Name | None = None
    customers: Customers = Customers()
    probable: Probable = Probable()
    window_method: Uncertain = Uncertain()
    grouped: Uncertain = Uncertain()
    decomposed: Uncertain = Uncertain()

    @model_validator(mode="after")
    def _known_words(self) -> Reconciliation:
        for key in self.keys:
            if key not in KEY_FIELDS and not key.startswith(("raw_keys.", "external_ids.")):
                raise ValueError(
                    f"keys: no key field is called {key!r}; {nearest(key, KEY_FIELDS)}"
                )
        for name in self.attach:
            if name not in model.EVENT_TYPES:
                raise ValueError(
                    f"attach: {name!r} is no event type; {nearest(name, model.EVENT_TYPES)}"
                )
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that is read, each once: of both sides, and of customers."""
        sides = (*self.left.sources, *self.right.sources)
        return tuple(dict.fromkeys((*sides, *self.customers.sources)))


class Chain(Frozen):
    """Reconciliations in sequence."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    steps: tuple[str, ...]


class Review(Frozen):
    """How people decide: their reason codes, how long a claim and an audit item last.

    `reasons` adds codes to those of the house, each with its meaning. `second_review_percent` of
    decisions are asked of a second person, blind.
    """

    reasons: dict[str, str] = Field(default_factory=dict)
    lease: SomeTime = Duration(count=15, unit="m")
    audit_deadline: SomeTime = Duration(count=14, unit="d")
    second_review_percent: ExactDecimal = Decimal(10)

    @model_validator(mode="after")
    def _plain_codes(self) -> Review:
        for code in self.reasons:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", code):
                raise ValueError(f"reasons: {code!r} is no code; write small letters, digits and _")
        if not 0 <= self.second_review_percent <= 100:
            raise ValueError("second_review_percent lies between 0 and 100")
        return self


ROLES: tuple[str, ...] = ("data_owner", "operations_lead", "governance_reviewer")


class Governance(Frozen):
    """Who must approve what changes the matches that are made without a person.

    `roles` names the holders of each role; `approvals` lists the roles that must each approve, by
    different people and never by the author of the change.
    """

    approvals: tuple[str, ...] = ROLES
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_roles(self) -> Governance:
        known = {*self.approvals, *ROLES}
        for role, holders in self.roles.items():
            if role not in known:
                raise ValueError(f"roles: no approval is asked of {role!r}; {nearest(role, known)}")
            if not holders or any(not name.strip() for name in holders):
                raise ValueError(f"roles: {role!r} needs at least one name")
        if not self.approvals or len(set(self.approvals)) != len(self.approvals):
            raise ValueError("approvals: list at least one role, and none twice")
        return self


class Costs(Frozen):
    """What a person's minute and a wrong match cost, in the workspace currency.

    A wrong match costs `wrong_match` and `wrong_match_percent` of its amount, so that the cut
    between matching and asking rises with the money at stake.
    """

    minutes_per_item: ExactDecimal = Decimal(3)
    hour: ExactDecimal = Decimal(40)
    wrong_match: ExactDecimal = Decimal(20)
    wrong_match_percent: ExactDecimal = Decimal(10)

    @model_validator(mode="after")
    def _not_negative(self) -> Costs:
        for name, value in self:
            if value < 0:
                raise ValueError(f"{name} is {value}; a cost is never negative")
        return self


class Settings(Frozen):
    """The whole of one `recon.toml`."""

    workspace: Workspace
    ledger: Ledger = Ledger()
    sources: tuple[Source, ...] = ()
    reconciliations: tuple[Reconciliation, ...] = ()
    chains: tuple[Chain, ...] = ()
    review: Review = Review()
    governance: Governance = Governance()
    costs: Costs = Costs()

    @model_validator(mode="after")
    def _declared_names(self) -> Settings:
        sources = _unique("source", [s.name for s in self.sources])
        recs = _unique("reconciliation", [r.name for r in self.reconciliations])
        _unique("chain", [c.name for c in self.chains])
        for rec in self.reconciliations:
            for name in (*rec.left.sources, *rec.right.sources):
                _declared(f"reconciliation {rec.name!r}", "source", name, sources)
            self._check_customers(rec, sources)
        for chain in self.chains:
            for name in chain.steps:
                _declared(f"chain {chain.name!r}", "reconciliation", name, recs)
        return self

    def _check_customers(self, rec: Reconciliation, sources: set[str]) -> None:
        """Whether the sources of customers are there, name customers and tell of them."""
        where, named = f"reconciliation {rec.name!r}: customers", rec.customers
        for name in named.sources:
            _declared(where, "source", name, sources)
            layout = self.source(name).layout
            if layout is not None and "customer_id" not in layout.columns:
                raise ValueError(
                    f"{where}: source {name!r} does not say whom its rows are about; map "
                    "customer_id in its [sources.layout.columns]"
                )
            if layout is not None and not set(CUSTOMER_FIELDS) & set(layout.columns):
                raise ValueError(
                    f"{where}: source {name!r} tells nothing of a customer; map one of "
                    f"{', '.join(CUSTOMER_FIELDS)} in its [sources.layout.columns]"
                )
        sides = {*rec.left.sources, *rec.right.sources}
        for name in named.of:
            if name not in sides:
                raise ValueError(f"{where}: of: {name!r} is on no side; {nearest(name, sides)}")
        if named.of and not named.sources:
            raise ValueError(f"{where}: of: name the sources whose records describe customers")
        if named.sources and not rec.probable.enabled:
            raise ValueError(
                f"{where}: only the method `probable` reads them, and it is not enabled here"
            )

    def source(self, name: str) -> Source:
        """The declared source of that name, or `UnknownNameError`."""
        for source in self.sources:
            if source.name == name:
                return source
        raise UnknownNameError("source", name, [s.name for s in self.sources])

    def reconciliation(self, name: str) -> Reconciliation:
        """The declared reconciliation of that name, or `UnknownNameError`."""
        for rec in self.reconciliations:
            if rec.name == name:
                return rec
        raise UnknownNameError("reconciliation", name, [r.name for r in self.reconciliations])


def load(path: Path) -> Settings:
    """Read one `recon.toml`; every defect is a `SettingsError` naming file, place and remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist; `recon init` makes a workspace") from None
    except UnicodeDecodeError as why:
        raise SettingsError(f"{path} is not UTF-8 (byte {why.start}); save it as UTF-8") from None
    return loads(text, str(path))


def loads(text: str, name: str = FILE_NAME) -> Settings:
    """Settings from TOML text; `name` is used in messages."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise SettingsError(f"{name} is not valid TOML: {why}") from None
    for rec in data.get("reconciliations", []):
        _rename_window(rec)
    try:
        return Settings.model_validate(data)
    except ValidationError as why:
        raise SettingsError(f"{name}: " + "; ".join(_explain(e) for e in why.errors())) from None


def _rename_window(rec: Any) -> None:
    """`[reconciliations.window]` holds both the bounds and the method's switch; split them."""
    window = rec.get("window") if isinstance(rec, dict) else None
    if isinstance(window, dict):
        switch = {k: window.pop(k) for k in ("enabled", "uncertified") if k in window}
        if switch:
            rec["window_method"] = switch


def _declared(where: str, kind: str, name: str, known: set[str]) -> None:
    if name not in known:
        raise ValueError(f"{where}: no {kind} is called {name!r}; {nearest(name, known)}")


def _unique(kind: str, names: list[str]) -> set[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two {kind}s are called {name!r}; rename one of them")
    return set(names)


def _explain(error: Any) -> str:
    place = ".".join(str(p) for p in error["loc"] if p not in ("function-after", "Column"))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        close = difflib.get_close_matches(name, _all_names(), n=1, cutoff=0.6)
        return f"{place} is unknown" + (f"; did you mean {close[0]!r}?" if close else "")
    if error["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {message}" if place else message


def _all_names() -> list[str]:
    names: set[str] = {"column", "from", "window"}
    todo: list[type[BaseModel]] = [Settings]
    while todo:
        kind = todo.pop()
        for name, field in kind.model_fields.items():
            names.add(name)
            todo += [t for t in _models_in(field.annotation) if t is not kind]
    return sorted(names)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models_in(part)]
