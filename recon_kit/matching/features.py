"""One row per open event with all that comparisons and blocking rules read, both sides alike.

Texts are folded to one spelling here, once per row, so that the work per pair stays small. `seq`
numbers the rows of a side in order of `event_key`: unlike `eid` it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import enrich, fx
from recon_kit.model import MONEY_FACTS
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Customers

SIDES: tuple[str, str] = ("left", "right")
# Fields of which a comparison is made where both sides fill them: name -> column that tells.
_ONE_SIDED: tuple[str, ...] = ("words", "text_words", "shown", "refs", "text_refs")
SINGLE_FIELDS: tuple[str, ...] = (
    "amount", "ts", "email", "name", "phone", "postcode", "text", "click", "invoice", "worth",
)  # fmt: skip
_MAPS = {
    "raw_keys": "e.raw_keys", "external_ids": "e.external_ids", "raw_personal": "w.raw_personal",
}  # fmt: skip
# Columns of an open event that are read where they are there.
_OPTIONAL: dict[str, str] = {
    "source": "varchar", "type": "varchar", "payment_method": "varchar", "fee": "bigint",
    "order_id": "varchar", "invoice_number": "varchar", "click_id": "varchar",
}  # fmt: skip
# Columns of an open event in which numbers stand, and what is made of them.
_TELL_NUMBERS: tuple[str, ...] = ("description", "order_id", "invoice_number")
_NUMBERS: dict[str, str] = {"invoice": "varchar", "refs": "varchar[]", "text_refs": "varchar[]"}
# What a company is called beside its name; the same one is written with and without it.
_LEGAL_FORMS: tuple[str, ...] = (
    "AB", "AG", "APS", "AS", "BV", "CO", "CORP", "CORPORATION", "EURL", "GMBH", "INC",
    "INCORPORATED", "KG", "LIMITED", "LLC", "LLP", "LTD", "LTDA", "MBH", "NV", "OG", "OHG", "OY",
    "OYJ", "PLC", "PTE", "PTY", "SA", "SARL", "SAS", "SE", "SL", "SPA", "SRL", "UG",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Side:
    """A side, the columns that its open events have, and those of a row that are left empty."""

    name: str
    given: frozenset[str]
    idle: frozenset[str]


def prepare(
    engine: Engine,
    extra: Sequence[str],
    *,
    rated: bool = False,
    customers: Customers | None = None,
) -> list[str]:
    """Make `row_left` and `row_right` from `open_left`, `open_right`, `who` and `events`.

    Args:
        engine: holds those tables.
        extra: the declared further fields.
        rated: whether `rates` is there, so that amounts can be told in one currency.
        customers: whose records tell more of them (see `enrich`); then the rows have
            `enrich.ORIGINS` as well.

    Returns:
        What there is to say of the records.
    """
    notes = enrich.run(engine, customers or Customers())
    told = bool(customers and customers.sources)
    engine.run(_who_step(personal="raw_personal" in str(extra)))
    given = {side: engine.rows(f"select * from open_{side} limit 0").columns for side in SIDES}
    numbers = {side: _tells_numbers(engine, side, given[side]) for side in SIDES}
    for side, other in (SIDES, SIDES[::-1]):
        asked = _Side(side, frozenset(given[side]), _idle(numbers[side], numbers[other]))
        engine.run(
            Step(
                f"row_{side}",
                f"create or replace temp table row_{side} as "
                f"{_rows_sql(asked, extra, rated=rated, told=told)}",
                "one spelling of every field that is compared",
            )
        )
    engine.drop("open_who")
    return notes


def _who_step(*, personal: bool) -> Step:
    """`open_who`: what the open events of both sides tell of their customers, one row an event."""
    fields = ("email", "customer_name", "phone", "postcode", *(("raw_personal",) * personal))
    return Step(
        "open_who",
        f"""
create or replace temp table open_who as
select event_key, {", ".join(f"min({name}) as {name}" for name in fields)}
from who where event_key in (
    select event_key from open_left union all select event_key from open_right)
group by event_key""",
        "personal fields are read once for both sides",
    )


def _tells_numbers(engine: Engine, side: str, given: Sequence[str]) -> set[str]:
    """Of the columns in which numbers stand, those that any open event of a side fills."""
    names = [name for name in _TELL_NUMBERS if name in given]
    if not names:
        return set()
    flags = engine.one(f"select {', '.join(f'count({n}) > 0' for n in names)} from open_{side}")
    return {name for name, flag in zip(names, flags, strict=True) if flag}


def _idle(own: set[str], other: set[str]) -> frozenset[str]:
    """Numbers that need not be spelt out, as nothing on the other side could meet them."""
    meets = {
        "invoice": {"invoice_number"} & own,
        "refs": {"description"},
        "text_refs": {"order_id", "invoice_number"},
    }
    return frozenset(name for name, columns in meets.items() if not columns & other)


def _rows_sql(side: _Side, extra: Sequence[str], *, rated: bool, told: bool) -> str:
    """Query of a side's rows. Each stage reads what the one before it wrote down.

    DuckDB works out again what an expression repeats inside a `case`; a column it does not.
    """
    own = [f"{_further(field)} as x{i}" for i, field in enumerate(extra)]
    origins = [f"w.{name}" for name in enrich.ORIGINS if told]
    further = ", ".join(["", *own, *origins])
    from_events = "join events e using (event_key)" if extra else ""
    optional = ", ".join(
        f"{f'o.{name}' if name in side.given else 'null'}::{kind} as {name}"
        for name, kind in _OPTIONAL.items()
    )
    numbers = {
        "invoice": "case when length(invoice_digits) >= 3 then invoice_digits end",
        "refs": _numbers("concat_ws(' ', order_id, invoice_number)"),
        "text_refs": _numbers("text"),
    }
    numbered = ", ".join(
        f"{f'null::{_NUMBERS[name]}' if name in side.idle else sql} as {name}"
        for name, sql in numbers.items()
    )
    worth = fx.worth_sql("o.amount", "o.currency", "o.told_ts") if rated else "null::bigint"
    return f"""
    with plain as (
        select o.eid, o.event_key, row_number() over (order by o.event_key) as seq,
            o.amount::bigint as amount, coalesce(o.currency, '') as currency,
            o.presentment_amount::bigint as shown,
            coalesce(o.presentment_currency, '') as shown_currency,
            epoch(o.event_ts)::bigint as ts, o.event_ts as told_ts, {optional},
            coalesce(o.ts_precision, 'unknown') not in ('date', 'day', 'unknown') as instant,
            o.description
        from open_{side.name} o
    ), known as (
        select o.*, upper(strip_accents(o.description)) as loud_text,
            upper(strip_accents(w.customer_name)) as loud_name, lower(trim(w.email)) as mail,
            nullif({_digits("w.phone")}, '') as digits,
            nullif(regexp_replace(upper(w.postcode), '[^0-9A-Z]', '', 'g'), '') as postcode
            {further}
        from plain o left join {enrich.who_sql("open_who") if told else "open_who"} w
            using (event_key) {from_events}
    ), folded as (
        select *, nullif(mail, '') as email, {_single_spaced("loud_text")} as text,
            {_single_spaced("loud_name")} as full_name from known
    ), split as (
        select *, {_parts("full_name")} as parts, {_parts("text")} as text_parts,
            {_user("email")} as plain_user, {_digits("invoice_number")} as invoice_digits
        from folded
    ), listed as (
        select *, {_unformed(_words("parts"), "full_name")} as all_words,
            {_words("text_parts")} as all_text_words from split
    ), named as (
        select *, list_sort({_distinct("all_words")}) as words,
            {_distinct("all_text_words")} as text_words from listed
    ), known_last as (
        select *, {_longest("words")} as name_last from named
    )
    select * exclude (description, loud_text, loud_name, mail, plain_user, full_name, digits,
            parts, text_parts, all_words, all_text_words, invoice_digits, told_ts, order_id,
            invoice_number, click_id),
        coalesce(nullif(plain_user, ''), email) as email_user,
        split_part(email, '@', 2) as email_domain,
        case when length(digits) >= 6 then right(digits, 9) end as phone,
        case when length(digits) >= 6 then right(digits, 7) end as phone_end,
        array_to_string(words, ' ') as name,
        left(list_min(list_filter(parts, lambda w: w <> name_last and w <> '')), 1) as name_first,
        nullif(upper(trim(click_id)), '') as click, {numbered}, {worth} as worth
    from known_last o"""


def _digits(column: str) -> str:
    """The digits of a text without leading zeros."""
    return f"ltrim(regexp_replace({column}, '[^0-9]', '', 'g'), '0')"


def _numbers(column: str) -> str:
    """The distinct runs of four or more digits in a text, without leading zeros; null if none."""
    found = f"list_transform(regexp_extract_all({column}, '[0-9]{{4,}}'), lambda n: ltrim(n, '0'))"
    return f"nullif(list_distinct(list_filter({found}, lambda n: length(n) >= 4)), [])"


def _single_spaced(column: str) -> str:
    """A text without double, leading and trailing spaces; empty is null."""
    spaced = f"regexp_replace({column}, '\\s+', ' ', 'g')"
    return (
        f"nullif(trim(case when regexp_matches({column}, '  |[\\t\\n\\f\\r]')"
        f" then {spaced} else {column} end), '')"
    )


def _user(email: str) -> str:
    """Whose mailbox it is, without dots and what follows a plus."""
    untagged = f"""case when contains({email}, '+')
        then regexp_replace({email}, '[+][^@]*@', '@') else {email} end"""
    return f"replace(split_part({untagged}, '@', 1), '.', '')"


def _parts(column: str) -> str:
    """A folded text without punctuation, cut at its spaces; parts may be empty."""
    plain = f"regexp_replace({column}, '[^0-9A-Z ]+', ' ', 'g')"
    return (
        f"string_split(case when regexp_matches({column}, '[^0-9A-Z ]') then {plain}"
        f" else {column} end, ' ')"
    )


def _words(parts: str) -> str:
    """The words among the parts of a text: two letters or more. A word may stand there twice."""
    return f"list_filter({parts}, lambda w: length(w) >= 2)"


def _unformed(words: str, column: str) -> str:
    """The words of a name without legal forms, unless nothing else is left."""
    forms = ", ".join(quote_text(form) for form in _LEGAL_FORMS)
    any_form = f"(^|[^0-9A-Z])({'|'.join(_LEGAL_FORMS)})([^0-9A-Z]|$)"
    others = f"list_filter({words}, lambda w: w not in ({forms}))"
    return (
        f"case when regexp_matches({column}, '{any_form}')"
        f" then coalesce(nullif({others}, []), {words}) else {words} end"
    )


def _distinct(words: str) -> str:
    """Each word once; null when there is none. Two different ones are what most names have."""
    plain = f"len({words}) = 1 or len({words}) = 2 and {words}[1] <> {words}[2]"
    return f"case when {plain} then {words} when len({words}) > 0 then list_distinct({words}) end"


def _longest(words: str) -> str:
    """The longest of sorted words, the first in the alphabet of several."""
    return f"list_reduce({words}, lambda x, y: case when length(y) > length(x) then y else x end)"


def _further(field: str) -> str:
    """A declared field: a column of the canonical event or a member of one of its JSON maps."""
    name, _, member = field.partition(".")
    if not member and name in MONEY_FACTS:
        return f"nullif(upper(trim(e.{quote_ident(name)}::varchar)), '')"
    if not member or name not in _MAPS:
        raise MatchingError(
            f"[reconciliations.probable] compare: no field is called {field!r}; name a column of "
            "the event, or one declared under raw_keys., external_ids. or raw_personal."
        )
    path = quote_text('$."' + member.replace('"', "") + '"')
    return f"nullif(upper(trim(json_extract_string({_MAPS[name]}, {path}))), '')"


def filled(engine: Engine, extra: Sequence[str]) -> tuple[str, ...]:
    """The fields that both sides fill, in at least one row in a hundred.

    `name_text` and `text_name` (a name of one side among the words of the other side's text) are
    there where names cannot be compared with names, `ref_text` and `text_ref` (a number of one
    side's keys in the other side's text) where each side has one of them; `shown` where a side
    tells what was presented in another currency, `fee` where one tells a fee; `currency` where
    both sides keep the same currencies, so that different ones tell against a pair.
    """
    names = (*SINGLE_FIELDS, *_ONE_SIDED, *(f"x{i}" for i in range(len(extra))))
    counted = ", ".join(f"count({name}) * 100 >= count(*) and count({name}) > 0" for name in names)
    told: dict[str, set[str]] = {}
    for side in SIDES:
        flags = engine.one(f"select {counted} from row_{side}")
        told[side] = {name for name, flag in zip(names, flags, strict=True) if flag}
    left, right = told["left"], told["right"]
    found = [n for n in names if n in left & right and n not in _ONE_SIDED]
    if "amount" in found and "shown" in left | right:
        found.append("shown")
    if "name" not in found:
        found += ["name_text"] if "words" in left and "text_words" in right else []
        found += ["text_name"] if "text_words" in left and "words" in right else []
    found += ["ref_text"] if "refs" in left and "text_refs" in right else []
    found += ["text_ref"] if "text_refs" in left and "refs" in right else []
    if "amount" in found and _tells_fees(engine):
        found.append("fee")
    if "amount" in found and _one_money(engine):
        found.append("currency")
    return tuple(found)


def _tells_fees(engine: Engine) -> bool:
    told = " union all ".join(f"select fee from row_{side}" for side in SIDES)
    return bool(engine.one(f"select coalesce(bool_or(fee > 0), false) from ({told})")[0])


def _one_money(engine: Engine) -> bool:
    """Whether nine rows in ten of either side are in a currency that the other side has too."""
    shares = [
        engine.one(
            f"""select count(*) filter (currency in (select currency from row_{other}
                union select shown_currency from row_{other} where shown is not null)) * 10
                >= count(*) * 9 from row_{side}"""
        )[0]
        for side, other in (SIDES, SIDES[::-1])
    ]
    return all(shares)
