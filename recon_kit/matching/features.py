"""One row per open event with all that comparisons and blocking rules read, both sides alike.

Texts are folded to one spelling here, once per row, so that the work per pair stays small. `seq`
numbers the rows of a side in order of `event_key`: unlike `eid` it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import enrich, folding, fx
from recon_kit.model import MONEY_FACTS
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Customers

SIDES: tuple[str, str] = ("left", "right")
TABLE = "told_rows"
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
_NUMBERS: tuple[str, ...] = ("invoice", "refs", "text_refs")
_NOON = 43_200  # seconds of a day at its noon
# Columns of a row that need no last touch.
_KEPT: tuple[str, ...] = (
    "side", "seq", "eid", "event_key", "amount", "currency", "shown", "shown_currency", "ts",
    "source", "type", "payment_method", "fee", "instant", "text", "email", "postcode", "words",
    "text_words", "name_last", "email_user",
)  # fmt: skip


def prepare(
    engine: Engine,
    extra: Sequence[str],
    *,
    rated: bool = False,
    customers: Customers | None = None,
) -> list[str]:
    """Make `told_rows` from `open_left`, `open_right`, `who` and `events`.

    The rows of both sides stand in one table (`side` is `left` or `right`): so they are worked on
    side by side, and a column that is read late is read once.

    Args:
        engine: holds those tables; where open events tell their number in the pool (`pool_eid`),
            `second_look` and `people` as well.
        extra: the declared further fields.
        rated: whether `rates` is there, so that amounts can be told in one currency.
        customers: whose records tell more of them (see `enrich`); then the rows have
            `enrich.ORIGINS` as well.

    Returns:
        What there is to say of the records.
    """
    notes = enrich.run(engine, customers or Customers())
    told = bool(customers and customers.sources)
    given = {side: engine.rows(f"select * from open_{side} limit 0").columns for side in SIDES}
    numbers = {side: _tells_numbers(engine, side, given[side]) for side in SIDES}
    plain = [
        _plain_sql(side, given[side], _idle(numbers[side], numbers[other]))
        for side, other in (SIDES, SIDES[::-1])
    ]
    engine.run(
        _who_step(engine, given, personal="raw_personal" in str(extra)),
        Step(
            TABLE,
            f"create or replace temp table {TABLE} as "
            f"{_rows_sql(' union all by name '.join(plain), extra, rated=rated, told=told)}",
            "one spelling of every field that is compared",
        ),
    )
    engine.drop("open_who")
    return notes


def _who_step(engine: Engine, given: Mapping[str, Sequence[str]], *, personal: bool) -> Step:
    """`open_who`: what the open events of both sides tell of their customers, one row an event.

    An evaluation has read these fields already, in `people` (see `late`), for all that need a
    second look: only where that leaves out an open event, or one of its fields, is `who` read.
    """
    fields = ("email", "customer_name", "phone", "postcode", *(("raw_personal",) * personal))
    told = """from who where event_key in (
    select event_key from open_left union all select event_key from open_right)"""
    numbered = all("pool_eid" in columns for columns in given.values())
    if numbered and not personal and _all_in_people(engine):
        told = """from (select pool_eid, event_key from open_left
    union all select pool_eid, event_key from open_right) o join people p on p.eid = o.pool_eid"""
    return Step(
        "open_who",
        f"""
create or replace temp table open_who as
select event_key, {", ".join(f"min({name}) as {name}" for name in fields)}
{told}
group by event_key""",
        "personal fields are read once for both sides",
    )


def _all_in_people(engine: Engine) -> bool:
    """Whether `people` was made for every open event."""
    unseen = engine.one(
        """select exists (from (select pool_eid from open_left union all
            select pool_eid from open_right) where pool_eid not in (select eid from second_look))"""
    )[0]
    return not unseen


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


def _plain_sql(side: str, given: Sequence[str], idle: Collection[str]) -> str:
    """Query of a side's open events, in the columns that both sides have."""
    optional = ", ".join(
        f"{name if name in given else 'null'}::{kind} as {name}" for name, kind in _OPTIONAL.items()
    )
    return f"""
        select '{side}' as side, eid, event_key, row_number() over (order by event_key) as seq,
            amount::bigint as amount, coalesce(currency, '') as currency,
            presentment_amount::bigint as shown,
            coalesce(presentment_currency, '') as shown_currency,
            epoch(event_ts)::bigint as ts, event_ts as told_ts,
            coalesce(ts_precision, 'unknown') not in ('date', 'day', 'unknown') as instant,
            description, {optional},
            {", ".join(f"{name not in idle} as tells_{name}" for name in _NUMBERS)}
        from open_{side}"""


def _rows_sql(plain: str, extra: Sequence[str], *, rated: bool, told: bool) -> str:
    """Query of the rows of both sides. Each stage reads what the one before it wrote down.

    DuckDB works out again what an expression repeats inside a `case`; a column it does not.
    """
    own = [f"{_further(field)} as x{i}" for i, field in enumerate(extra)]
    origins = [f"w.{name}" for name in enrich.ORIGINS if told]
    further = ", ".join(["", *own, *origins])
    from_events = "join events e using (event_key)" if extra else ""
    worth = fx.worth_sql("o.amount", "o.currency", "o.told_ts") if rated else "null::bigint"
    return f"""
    with known as (
        select o.*, upper(strip_accents(o.description)) as loud_text,
            upper(strip_accents(w.customer_name)) as loud_name, lower(trim(w.email)) as mail,
            nullif({folding.digits("w.phone")}, '') as phone_digits,
            nullif(regexp_replace(upper(w.postcode), '[^0-9A-Z]', '', 'g'), '') as postcode,
            case when tells_refs then {folding.id_numbers(("o.order_id", "o.invoice_number"))} end
                as refs
            {further}
        from ({plain}) o left join {enrich.who_sql("open_who") if told else "open_who"} w
            using (event_key) {from_events}
    ), folded as (
        select *, nullif(mail, '') as email, {folding.single_spaced("loud_text")} as text,
            {folding.single_spaced("loud_name")} as full_name,
            case when tells_invoice then {folding.digits("invoice_number")} end as invoice_digits
        from known
    ), split as (
        select *, {folding.parts("full_name")} as parts, {folding.parts("text")} as text_parts,
            {folding.user("email")} as plain_user, case when tells_text_refs then text end as memo
        from folded
    ), listed as (
        select *, {folding.unformed(folding.words("parts"), "full_name")} as all_words,
            {folding.words("text_parts")} as all_text_words from split
    ), named as (
        select *, list_sort({folding.distinct("all_words")}) as words,
            {folding.distinct("all_text_words")} as text_words from listed
    ), last_named as (
        select *, {folding.longest("words")} as name_last,
            coalesce(nullif(plain_user, ''), email) as email_user from named
    )
    select {", ".join(_KEPT)} {"".join(f", x{i}" for i in range(len(extra)))}
        {"".join(f", {name}" for name in enrich.ORIGINS if told)},
        split_part(email, '@', 2) as email_domain,
        case when length(phone_digits) >= 6 then right(phone_digits, 9) end as phone,
        case when length(phone_digits) >= 6 then right(phone_digits, 7) end as phone_end,
        array_to_string(words, ' ') as name, {folding.marks("words")} as word_marks,
        left(list_min(list_filter(parts, lambda w: w <> name_last and w <> '')), 1) as name_first,
        nullif(upper(trim(click_id)), '') as click,
        case when length(invoice_digits) >= 3 then invoice_digits end as invoice,
        refs, {folding.numbers("memo")} as text_refs,
        {folding.term("'a'", "0", "amount::varchar || ' ' || currency")} as amount_term,
        {folding.term("'e'", "0", "email_user")} as user_term, {worth} as worth,
        ts + case when instant then 0 else {_NOON} end as noon
    from last_named o"""


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
    side's keys in the other side's text) where each side has one of them; `noon` where some rows
    tell a day alone and others a time of the day; `shown` where a side
    tells what was presented in another currency, `fee` where one tells a fee; `currency` where
    both sides keep the same currencies, so that different ones tell against a pair.
    """
    names = (*SINGLE_FIELDS, *_ONE_SIDED, *(f"x{i}" for i in range(len(extra))))
    counted = ", ".join(f"count({name}) * 100 >= count(*) and count({name}) > 0" for name in names)
    told: dict[str, set[str]] = {side: set() for side in SIDES}
    rows = engine.rows(f"select side, {counted} from {TABLE} group by side order by side")
    for side, *flags in rows.iter_rows():
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
    if "ts" in found and _days_and_times(engine):
        found.append("noon")
    if "amount" in found and _tells_fees(engine):
        found.append("fee")
    if "amount" in found and _one_money(engine):
        found.append("currency")
    return tuple(found)


def _days_and_times(engine: Engine) -> bool:
    """Whether some rows tell a day alone and others a time of the day."""
    return bool(
        engine.one(f"select count(distinct instant) = 2 from {TABLE} where ts is not null")[0]
    )


def _tells_fees(engine: Engine) -> bool:
    return bool(engine.one(f"select coalesce(bool_or(fee > 0), false) from {TABLE}")[0])


def _one_money(engine: Engine) -> bool:
    """Whether nine rows in ten of either side are in a currency that the other side has too."""
    return bool(
        engine.one(
            f"""with has as (
                select distinct side, currency from {TABLE} union
                select distinct side, shown_currency from {TABLE} where shown is not null)
            select bool_and(enough) from (
                select count(h.currency) * 10 >= count(*) * 9 as enough from {TABLE} r
                left join has h on h.side <> r.side and h.currency = r.currency group by r.side)"""
        )[0]
    )
