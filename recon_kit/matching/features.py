"""One row per open event with all that comparisons and blocking rules read, both sides alike.

Texts are folded to one spelling here, once per row, so that the work per pair stays small. `seq`
numbers the rows of a side in order of `event_key`: unlike `eid` it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence

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
# What a company is called beside its name; the same one is written with and without it.
_LEGAL_FORMS: tuple[str, ...] = (
    "AB", "AG", "APS", "AS", "BV", "CO", "CORP", "CORPORATION", "EURL", "GMBH", "INC",
    "INCORPORATED", "KG", "LIMITED", "LLC", "LLP", "LTD", "LTDA", "MBH", "NV", "OG", "OHG", "OY",
    "OYJ", "PLC", "PTE", "PTY", "SA", "SARL", "SAS", "SE", "SL", "SPA", "SRL", "UG",
)  # fmt: skip


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
    for side in SIDES:
        given = engine.rows(f"select * from open_{side} limit 0").columns
        engine.run(
            Step(
                f"row_{side}",
                f"create or replace temp table row_{side} as "
                f"{_rows_sql(side, extra, given, rated=rated, told=told)}",
                "one spelling of every field that is compared",
            )
        )
    return notes


def _rows_sql(
    side: str, extra: Sequence[str], given: Sequence[str], *, rated: bool, told: bool
) -> str:
    own = [f"{_further(field)} as x{i}" for i, field in enumerate(extra)]
    origins = [f"w.{name}" for name in enrich.ORIGINS if told]
    further = ", ".join(["", *own, *origins])
    from_events = "join events e using (event_key)" if extra else ""
    personal = ", min(raw_personal) as raw_personal" if "raw_personal" in str(extra) else ""
    optional = ", ".join(
        f"{f'o.{name}' if name in given else 'null'}::{kind} as {name}"
        for name, kind in _OPTIONAL.items()
    )
    unique_who = f"""(select event_key, min(email) as email, min(customer_name) as customer_name,
            min(phone) as phone, min(postcode) as postcode{personal}
            from who where event_key in (select event_key from open_{side}) group by event_key)"""
    if told:
        unique_who = enrich.who_sql(unique_who)
    return f"""
    with plain as (
        select o.eid, o.event_key, o.amount::bigint as amount, coalesce(o.currency, '') as currency,
            o.presentment_amount::bigint as shown,
            coalesce(o.presentment_currency, '') as shown_currency,
            epoch(o.event_ts)::bigint as ts, o.event_ts as told_ts, {optional},
            coalesce(o.ts_precision, 'unknown') not in ('date', 'day', 'unknown') as instant,
            {_folded("o.description")} as text,
            nullif(lower(trim(w.email)), '') as email,
            {_folded("w.customer_name")} as full_name,
            nullif(ltrim(regexp_replace(w.phone, '[^0-9]', '', 'g'), '0'), '') as digits,
            nullif(regexp_replace(upper(w.postcode), '[^0-9A-Z]', '', 'g'), '') as postcode
            {further}
        from open_{side} o left join {unique_who} w using (event_key) {from_events}
    ), words as (
        select *, {_name_words("full_name")} as words, {_words("text")} as text_words,
            {_letters("full_name")} as letters from plain
    )
    select * exclude (full_name, digits, letters, told_ts, order_id, invoice_number, click_id),
        row_number() over (order by event_key) as seq,
        regexp_replace(replace(split_part(regexp_replace(email, '[+][^@]*@', '@'), '@', 1),
            '.', ''), '^$', email) as email_user,
        split_part(email, '@', 2) as email_domain,
        case when length(digits) >= 6 then right(digits, 9) end as phone,
        case when length(digits) >= 6 then right(digits, 7) end as phone_end,
        array_to_string(list_sort(words), ' ') as name,
        {_longest("words")} as name_last,
        left(list_sort(list_filter(letters, lambda w: w <> {_longest("words")}))[1], 1)
            as name_first,
        split_part(text, ' ', 1) as text_word,
        nullif(upper(trim(click_id)), '') as click,
        {_number("invoice_number")} as invoice,
        {_numbers("concat_ws(' ', order_id, invoice_number)")} as refs,
        {_numbers("text")} as text_refs,
        {
        fx.worth_sql("words.amount", "words.currency", "words.told_ts") if rated else "null::bigint"
    } as worth
    from words"""


def _number(column: str) -> str:
    """The digits of an invoice number without leading zeros; null below three digits."""
    digits = f"ltrim(regexp_replace({column}, '[^0-9]', '', 'g'), '0')"
    return f"case when length({digits}) >= 3 then {digits} end"


def _numbers(column: str) -> str:
    """The distinct runs of four or more digits in a text, without leading zeros; null if none."""
    found = f"list_transform(regexp_extract_all({column}, '[0-9]{{4,}}'), lambda n: ltrim(n, '0'))"
    return f"nullif(list_distinct(list_filter({found}, lambda n: length(n) >= 4)), [])"


def _folded(column: str) -> str:
    """Upper case, no accents, single spaces; empty is null."""
    return f"nullif(trim(regexp_replace(upper(strip_accents({column})), '\\s+', ' ', 'g')), '')"


def _words(column: str) -> str:
    """The distinct words of a folded text, without punctuation; null when there is none."""
    return (
        f"case when {column} is not null then "
        f"nullif(list_distinct(list_filter({_parts(column)}, lambda w: length(w) >= 2)), []) end"
    )


def _name_words(column: str) -> str:
    """The words of a name without legal forms, unless nothing else is left."""
    forms = ", ".join(quote_text(form) for form in _LEGAL_FORMS)
    words = _words(column)
    return f"coalesce(nullif(list_filter({words}, lambda w: w not in ({forms})), []), {words})"


def _letters(column: str) -> str:
    """The words of a name with those of one letter: initials."""
    return f"list_distinct(list_filter({_parts(column)}, lambda w: length(w) >= 1))"


def _parts(column: str) -> str:
    return f"string_split(regexp_replace({column}, '[^0-9A-Z ]+', ' ', 'g'), ' ')"


def _longest(words: str) -> str:
    """The longest word, the first in the alphabet of several."""
    return f"list_sort(list_transform({words}, lambda w: [(100 - length(w))::varchar, w]))[1][2]"


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
