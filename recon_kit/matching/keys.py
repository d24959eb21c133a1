"""How declared words of a reconciliation become SQL: keys, filters, measures, tolerance.

Expressions only: nothing here runs a query. Names are quoted by `safe`, texts are escaped by it,
and numbers are printed from integers, so a `recon.toml` cannot end a statement early.
"""

from __future__ import annotations

from recon_kit import model
from recon_kit.errors import MatchingError
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import FILTER_FIELDS, Measure, Reconciliation, Side, Tolerance

_JSON_COLUMNS = ("raw_keys", "external_ids")


def key_text(key: str) -> str:
    """The text of a declared key in view `events`.

    Canonical columns come normalised from their feed. A `raw_keys.x` or `external_ids.x` is kept
    as its file prints it, so spaces and a leading `'` or `#` go here (as in `model.normal_key`).
    """
    column, _, member = key.partition(".")
    if column not in _JSON_COLUMNS:
        return quote_ident(column)
    path = '$."' + member.replace("\\", "\\\\").replace('"', '\\"') + '"'
    raw = f"json_extract_string({quote_ident(column)}, {quote_text(path)})"
    return f"trim(regexp_replace(trim({raw}), '^''?#?', ''))"


def key_hash(text: str) -> str:
    """64-bit hash of a key's text, null for a null-like spelling: null never joins.

    The letters of short texts alone are looked at: to read those of every key would cost as much
    as reading the keys.
    """
    forms = {s for key in model.NULL_KEYS for s in (key, key.upper(), key.title())}
    longest = max(len(s.encode()) for s in forms)
    return (
        f"case when strlen({text}) > {longest} then hash({text})"
        f" when {text} not in ({texts(tuple(sorted(forms)))}) then hash({text}) end"
    )


def texts(values: tuple[str, ...]) -> str:
    """A list of SQL text literals."""
    return ", ".join(quote_text(v) for v in values)


def side_filter(side: Side) -> str:
    """Which rows of view `events` belong to a side."""
    tests = [
        f"source in ({texts(side.sources)})",
        f"event_type in ({texts(side.types)})",
        *(_where(name, value) for name, value in sorted(side.where.items())),
    ]
    return "(" + " and ".join(tests) + ")"


def attached_filter(side: Side, types: tuple[str, ...]) -> str:
    """Which rows hang on the events of a side.

    Of the side's filters only those hold that say whose row it is (test, currency, partner...):
    a refund has another sign and other statuses than what it refunds.
    """
    named = {
        name: value
        for name, value in side.where.items()
        if not name.startswith(("amount_minor", "status"))
    }
    return side_filter(Side(sources=side.sources, types=types, where=named))


def live_sql(rec: Reconciliation) -> str:
    """Which rows are told in earnest: test events never stand beside live ones.

    A reconciliation whose sides ask for `test` themselves is left to do as it says.
    """
    asked = {"test", "test_not"} & {*rec.left.where, *rec.right.where}
    return "true" if asked else "test is not true"


def _where(name: str, value: object) -> str:
    bounds = {"amount_minor_min": ">=", "amount_minor_max": "<="}
    if name in bounds:
        return f"(amount is null or amount {bounds[name]} {_literal(name, value)})"
    field = name.removesuffix("_not") if name not in FILTER_FIELDS else name
    column = quote_ident("amount" if field == "amount_minor" else field)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values:
        return "true" if name != field else f"{column} is null"
    listed = ", ".join(_literal(name, v) for v in values)
    negated = " not" if name != field else ""
    return f"({column} is null or {column}{negated} in ({listed}))"


def _literal(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quote_text(value)
    raise MatchingError(
        f"where.{name} = {value!r}: write a text, a whole number, true or false, or a list of them"
    )


def measure_sql(measure: Measure, side: str) -> str:
    """The amount of a row that must agree; a net that is not told is amount less fee."""
    which = measure.left if side == "left" else measure.right
    return "amount" if which == "amount" else "coalesce(net, amount - fee)"


def presents(measure: Measure, side: str) -> bool:
    """Whether the presented amount stands for the measure (nobody tells a presented net)."""
    return (measure.left if side == "left" else measure.right) == "amount"


def allowed_sql(tolerance: Tolerance, total: str) -> str:
    """How many minor units two sums may differ: the larger of both allowances, rounded down.

    Args:
        tolerance: minor units, and percent of the left sum.
        total: SQL expression of the left sum.
    """
    percent = tolerance.percent.normalize()
    exponent = percent.as_tuple().exponent
    if not isinstance(exponent, int) or percent < 0:
        raise MatchingError(f"tolerance.percent = {tolerance.percent}: write a number from 0 up")
    if percent == 0:
        return str(tolerance.minor_units)
    scale = 10 ** max(0, -exponent)
    share = f"(abs({total})::hugeint * {int(percent * scale)}) // {100 * scale}"
    return f"greatest({tolerance.minor_units}, {share})"


def one_side(rec: Reconciliation) -> str:
    """The side of which a match has a single member, its principal; left where both may."""
    return one_sides(rec)[0]


def one_sides(rec: Reconciliation) -> tuple[str, ...]:
    """The sides on which a match may have its principal: both where both may have several."""
    return {
        "one_to_one": ("left",),
        "one_to_many": ("left",),
        "many_to_one": ("right",),
        "many_to_many": ("left", "right"),
    }[rec.cardinality]
