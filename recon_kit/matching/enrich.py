"""What a customer's record tells of an event that names the customer and does not tell it itself.

An order may carry nothing but a `customer_id`; who that is stands in a CRM. Only `probable`, which
weighs, hears it: keys, rules and contradictions rest on what the two events tell themselves. What
an event tells itself always goes before. Nothing is kept, so what is corrected or erased at its
source is so in the next run.

Of one customer a source is heard where all its records agree on a field, in the spelling that is
compared; where it contradicts itself it says nothing. The first source in order that says a field
is heard.

No evidence counts twice. What a record tells follows from the customer's id, so it is held only
against an event that names no customer the records know. Where both events name one, their ids
have said it (`customer_id` under `keys` or `compare`): such a pair is compared by what the two tell
themselves (`guarded`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import contradictions, keys
from recon_kit.matching.ladders import Comparison
from recon_kit.settings import Customers

# What is heard, the field that compares it, its spelling there, and what people call it.
_DIGITS = "ltrim(regexp_replace(phone, '[^0-9]', '', 'g'), '0')"
FIELDS: tuple[tuple[str, str, str, str], ...] = (
    ("email", "email", "case when email like '%_@_%' then lower(trim(email)) end", "e-mail"),
    ("customer_name", "name", contradictions.name_sql("customer_name"), "name"),
    ("phone", "phone", f"case when length({_DIGITS}) >= 6 then right({_DIGITS}, 9) end", "phone"),
    (
        "postcode",
        "postcode",
        "nullif(regexp_replace(upper(postcode), '[^0-9A-Z]', '', 'g'), '')",
        "postcode",
    ),
)
_NAMES = tuple(name for name, _, _, _ in FIELDS)
# Whether an event names a customer whom a record tells, and which source tells which field.
ORIGINS: tuple[str, ...] = ("named", *(f"{field}_from" for _, field, _, _ in FIELDS))
# A JSON object over `enriched`: field -> [value, source] of what a record tells; null for nothing.
TOLD_JSON = (
    "nullif(json_merge_patch('{}', json_object("
    + ", ".join(
        f"'{name}', case when {name} is not null then [{name}, {field}_from] end"
        for name, field, _, _ in FIELDS
    )
    + "))::varchar, '{}')"
)
# Columns of a compared row, by the field that they are made of.
_MADE_OF = {
    "email": "email", "email_user": "email", "email_domain": "email", "name": "name",
    "name_last": "name", "name_first": "name", "words": "name", "phone": "phone",
    "phone_end": "phone", "postcode": "postcode",
}  # fmt: skip
_COLUMN = re.compile(r"\b([lr])\.([a-z_][a-z0-9_]*)")


def heard(declared: Customers, learned: Customers) -> Customers:
    """Whose records are read: those declared, with a model whose odds were learned with them."""
    return declared if declared == learned else Customers()


def run(engine: Engine, customers: Customers) -> list[str]:
    """Make `enriched` for the events of `open_left` and `open_right`; what there is to say of it.

    `enriched(event_key, source, named, email, email_from, customer_name, name_from, phone,
    phone_from, postcode, postcode_from)` has a row per open event that names a customer whom a
    record tells; a field and the source it is `from` are null where the event tells it itself.
    """
    if not customers.sources:
        return []
    # on a late day the records stand among the events that are not matched again
    late = engine.one("select count(*) from duckdb_views() where view_name = 'every_event'") != (0,)
    whole = ("every_event", "every_who") if late else ("events", "who")
    engine.run(*record_steps(customers, ASKING, whole), *enriched_steps(customers))
    return _said(engine, customers)


ASKING = "select event_key from open_left union all select event_key from open_right"


def record_steps(
    customers: Customers, asking: str, whole: tuple[str, str] = ("events", "who")
) -> tuple[Step, ...]:
    """`customer_named(event_key, source, customer_id)`, and `customers`, a row per known id.

    Args:
        customers: whose records are read, in which order, and of whose ids they speak.
        asking: query of the `event_key`s that are asked about.
        whole: views of all events and of their personal fields.
    """
    listed = keys.texts(customers.sources)
    own = f" and source in ({keys.texts(customers.of)})" if customers.of else ""
    told = ", ".join(f"{name}, {spelt} as {name}_spelt" for name, _, spelt, _ in FIELDS)
    agreed = ", ".join(
        f"case when count(distinct {name}_spelt) = 1 then"
        f" min(trim({name})) filter ({name}_spelt is not null) end as {name}"
        for name, _, _, _ in FIELDS
    )
    first = ", ".join(
        f"arg_min({name}, place) filter ({name} is not null) as {name},"
        f" min(place) filter ({name} is not null) as {name}_place"
        for name, _, _, _ in FIELDS
    )
    return (
        Step(
            "customer_named",
            f"""
create or replace temp table customer_named as
select event_key, source, customer_id from events
where event_key in ({asking}) and ({keys.key_hash("customer_id")}) is not null{own}""",
            "who of these names a customer",
        ),
        Step(
            "customers",
            f"""
create or replace temp table customers as
with records as (
    select event_key, customer_id, list_position([{listed}], source) as place
    from {whole[0]} where source in ({listed}) and test is not true
      and customer_id in (select customer_id from customer_named)
), told as (
    select customer_id, place, {told} from records left join (
        select * from {whole[1]} where event_key in (select event_key from records)
    ) using (event_key)
), agreed as (select customer_id, place, {agreed} from told group by customer_id, place)
select customer_id, {first} from agreed group by customer_id""",
            "what the records agree on, by customer",
        ),
    )


def enriched_steps(customers: Customers) -> tuple[Step, ...]:
    """`enriched` out of `customer_named` and `customers`."""
    own = ", ".join(f"min(nullif(trim({name}), '')) as {name}" for name in _NAMES)
    sources = f"[{keys.texts(customers.sources)}]"
    fields = ", ".join(
        f"case when o.{name} is null then c.{name} end as {name},"
        f" case when o.{name} is null then {sources}[c.{name}_place] end as {field}_from"
        for name, field, _, _ in FIELDS
    )
    return (
        Step(
            "enriched",
            f"""
create or replace temp table enriched as
select n.event_key, n.source, true as named, {fields}
from customer_named n join customers c using (customer_id) left join (
    select event_key, {own} from who
    where event_key in (select event_key from customer_named) group by event_key
) o using (event_key)""",
            "of an event only what it does not tell itself",
        ),
    )


def who_sql(own: str) -> str:
    """Query of personal fields by event, the records' values where it tells none itself.

    `own` is a query of `event_key` and what the events tell themselves. Adds `ORIGINS`.
    """
    fields = ", ".join(
        f"coalesce(nullif(trim(w.{name}), ''), n.{name}) as {name}" for name in _NAMES
    )
    return (
        f"(select event_key, {fields}, w.* exclude (event_key, {', '.join(_NAMES)}),"
        f" {', '.join(f'n.{c}' for c in ORIGINS)}"
        f" from {own} w full join enriched n using (event_key))"
    )


def _said(engine: Engine, customers: Customers) -> list[str]:
    """How many open events were told more, and of which fields; or that none was."""
    counts = ", ".join(f"count({name})" for name in _NAMES)
    any_told = " or ".join(f"{name} is not null" for name in _NAMES)
    events, *told = engine.one(f"select count(*) filter ({any_told}), {counts} from enriched")
    by = ", ".join(customers.sources)
    if not events:
        tells = "tells" if len(customers.sources) == 1 else "tell"
        named = _open(engine.count("customer_named"))
        return [f"{by} {tells} nothing more of the {named} that name customers"]
    parts = [
        f"{word} {number:,}" for (_, _, _, word), number in zip(FIELDS, told, strict=True) if number
    ]
    return [f"{by}: {_open(events)} told more by the customer's record ({', '.join(parts)})"]


def _open(number: object) -> str:
    return f"{number:,} open event{'s' * (number != 1)}"


# --- comparing -----------------------------------------------------------------------------------
def guarded(ladders: Sequence[Comparison], customers: Customers) -> tuple[Comparison, ...]:
    """The ladders, in which two events that both name a known customer are held by their own facts.

    Names, labels and odds stay, so that what is learned or stored is told by the plain ladders.
    """
    if not customers.sources:
        return tuple(ladders)
    return tuple(_guarded(ladder) for ladder in ladders)


def _guarded(ladder: Comparison) -> Comparison:
    levels = tuple(
        replace(level, sql=_either(level.sql) if level.sql else None) for level in ladder.levels
    )
    beyond = (ladder.beyond[0], _either(ladder.beyond[1])) if ladder.beyond else None
    return replace(ladder, null_sql=_either(ladder.null_sql), levels=levels, beyond=beyond)


def _either(sql: str) -> str:
    """A condition over all that is known, or over own facts where both events are named."""
    own = _COLUMN.sub(_own_sql, sql)
    return sql if own == sql else f"(case when l.named and r.named then {own} else {sql} end)"


# Whether the rows `a` and `b` of a blocking rule may not meet: see `blocking`.
BORROWED = "coalesce(a.named and b.named, false) and (a.borrowed or b.borrowed)"


def borrowed_sql(column: str) -> str:
    """Whether a record told what stands in a column of a compared row."""
    field = _MADE_OF.get(column)
    return f"{field}_from is not null" if field else "false"


def _own_sql(found: re.Match[str]) -> str:
    field = _MADE_OF.get(found[2])
    return f"(case when {found[1]}.{field}_from is null then {found[0]} end)" if field else found[0]


# --- saying --------------------------------------------------------------------------------------
# Comparisons that read what records tell, with the sides and fields.
_READ_BY: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "customer": (("l", "r"), ("email", "name", "phone", "postcode")),
    "name_text": (("l",), ("name",)),
    "text_name": (("r",), ("name",)),
}


def marked_sql(levels: str, left: str, right: str) -> str:
    """`levels` of a pair (JSON text) that say what came from a record, where anything did.

    `left` and `right` are aliases of rows of `enriched`; such as `same e-mail (e-mail of shop from
    crm)`.
    """
    told = {name: f"json_extract_string({levels}, '$.{name}')" for name in _READ_BY}
    marks = ", ".join(
        f"'{name}', {level} || {origin_sql(name, level, left, right)}"
        for name, level in told.items()
    )
    nothing = f"{left}.named is null and {right}.named is null"
    merged = f"json_merge_patch({levels}, json_object({marks}))::varchar"
    return f"case when {nothing} then {levels} else {merged} end"


def origin_sql(comparison: str, level: str, left: str = "l", right: str = "r") -> str:
    """What a level owes to records, in brackets; empty where it owes them nothing.

    `level` is an expression of its label; `left` and `right` have `source` and `ORIGINS`.
    """
    sides, fields = _READ_BY.get(comparison, ((), ()))
    parts = ", ".join(
        f"case when {_speaks_of(comparison, level, word)} then "
        f"'{word} of ' || {alias}.source || ' from ' || {alias}.{field}_from end"
        for side, alias in (("l", left), ("r", right))
        for _, field, _, word in FIELDS
        if side in sides and field in fields
    )
    if not parts:
        return "''"
    both = f"coalesce({left}.named and {right}.named, false)"
    told = f"' (' || nullif(concat_ws(', ', {parts}), '') || ')'"
    return f"case when {both} then '' else coalesce({told}, '') end"


def _speaks_of(comparison: str, level: str, word: str) -> str:
    """Whether a label speaks of a field; that nothing agrees speaks of all."""
    if comparison != "customer":
        return "true"
    words = [word, "mailbox"] if word == "e-mail" else [word]
    return " or ".join([f"{level} = 'different'", *(f"contains({level}, '{w}')" for w in words)])
