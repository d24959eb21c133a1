"""One row per open event with all that comparisons and blocking rules read, both sides alike.

Texts are folded to one spelling here, once per row, so that the work per pair stays small. `seq`
numbers the rows of a side in order of `event_key`: unlike `eid` it is the same in every run.
How rare a text's start or an amount is comes from the stored model (`rare_terms`), so that a
score never changes because other rows came or went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.comparisons import RARE_MAX, RARITY, STARTS
from recon_kit.model import MONEY_FACTS
from recon_kit.safe import quote_ident, quote_text

SIDES: tuple[str, str] = ("left", "right")
# Fields of which a comparison is made where both sides fill them: name -> column that tells.
_ONE_SIDED: tuple[str, ...] = ("words", "text_words", "shown")
SINGLE_FIELDS: tuple[str, ...] = ("amount", "ts", "email", "name", "phone", "postcode", "text")
_MAPS = {
    "raw_keys": "e.raw_keys", "external_ids": "e.external_ids", "raw_personal": "w.raw_personal",
}  # fmt: skip
_HASH_DIGITS = 10
_WHOLE = 1_000_000  # the whole text counts as longer than any start
_TERM_SCHEMA = {"term": pl.String(), "class": pl.Int64()}


def prepare(engine: Engine, extra: Sequence[str]) -> None:
    """Make `row_left` and `row_right` from `open_left`, `open_right`, `who` and `events`."""
    for side in SIDES:
        engine.run(
            Step(
                f"row_{side}",
                f"create or replace temp table row_{side} as {_rows_sql(side, extra)}",
                "one spelling of every field that is compared",
            )
        )


def _rows_sql(side: str, extra: Sequence[str]) -> str:
    own = [f"{_further(field)} as x{i}" for i, field in enumerate(extra)]
    further = ", ".join(["", *own])
    from_events = "join events e using (event_key)" if extra else ""
    personal = ", min(raw_personal) as raw_personal" if "raw_personal" in str(extra) else ""
    unique_who = f"""(select event_key, min(email) as email, min(customer_name) as customer_name,
            min(phone) as phone, min(postcode) as postcode{personal} from who group by event_key)"""
    return f"""
    with plain as (
        select o.eid, o.event_key, o.amount::bigint as amount, coalesce(o.currency, '') as currency,
            o.presentment_amount::bigint as shown,
            coalesce(o.presentment_currency, '') as shown_currency,
            epoch(o.event_ts)::bigint as ts,
            coalesce(o.ts_precision, 'unknown') not in ('date', 'day', 'unknown') as instant,
            {_folded("o.description")} as text,
            nullif(lower(trim(w.email)), '') as email,
            {_folded("w.customer_name")} as full_name,
            nullif(right(regexp_replace(w.phone, '[^0-9]', '', 'g'), 9), '') as phone,
            nullif(regexp_replace(upper(w.postcode), '[^0-9A-Z]', '', 'g'), '') as postcode
            {further}
        from open_{side} o left join {unique_who} w using (event_key) {from_events}
    ), words as (
        select *, {_words("full_name")} as words, {_words("text")} as text_words from plain
    )
    select * exclude (full_name),
        row_number() over (order by event_key) as seq,
        regexp_replace(replace(split_part(regexp_replace(email, '[+][^@]*@', '@'), '@', 1),
            '.', ''), '^$', email) as email_user,
        array_to_string(list_sort(words), ' ') as name,
        {_longest("words")} as name_last,
        left(list_sort(list_filter(words, lambda w: w <> {_longest("words")}))[1], 1) as name_first,
        split_part(text, ' ', 1) as text_word
    from words"""


def _folded(column: str) -> str:
    """Upper case, no accents, single spaces; empty is null."""
    return f"nullif(trim(regexp_replace(upper(strip_accents({column})), '\\s+', ' ', 'g')), '')"


def _words(column: str) -> str:
    """The distinct words of a folded text, without punctuation; null when there is none."""
    parts = f"string_split(regexp_replace({column}, '[^0-9A-Z ]+', ' ', 'g'), ' ')"
    return (
        f"case when {column} is not null then "
        f"nullif(list_distinct(list_filter({parts}, lambda w: length(w) >= 2)), []) end"
    )


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
    there where names cannot be compared with names; `shown` where a side tells what was presented
    in another currency; `currency` where both sides keep the same currencies, so that different
    ones tell against a pair.
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
    if "amount" in found and _one_money(engine):
        found.append("currency")
    return tuple(found)


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


# --- how rare a start or an amount is -------------------------------------------------------------
_TERMS_MAX = 20_000  # kept in the model: about 200 kB


def _terms(side: str) -> str:
    """Query of (seq, kind, size, term): the hashed starts, whole text and amount of every row.

    `size` orders the starts of one row from short to long; the whole text comes last.
    """
    starts = f"""select seq, 's' as kind, size, left(text, size) as term
        from (select seq, text, unnest({list(STARTS)}) as size from row_{side}
            where text is not null)
        where size <= length(text) or size = {STARTS[0]}"""
    whole = f"select seq, 't', {_WHOLE}, text from row_{side} where text is not null"
    money = f"""select seq, 'a', 0, amount::varchar || ' ' || currency from row_{side}
        where amount is not null"""
    hashed = f"left(md5(kind || size || ':' || term), {_HASH_DIGITS})"
    return f"""select seq, kind, size, {hashed} as term
        from ({starts} union all {whole} union all {money})"""


def count_terms(engine: Engine) -> dict[str, str]:
    """How rare the commonest terms are: class (as text) -> their hashes, sorted, put together.

    Class k: between one row in 2^(k+1) and one in 2^k of both sides has the term. The key `else`
    holds the class of every term that is not listed. Hashes, because memos name people.
    """
    rows = engine.count("row_left") + engine.count("row_right")
    engine.run(
        Step(
            "term_counts",
            f"""create or replace temp table term_counts as
            select term, count(*) as n from (
                select term from ({_terms("left")}) union all select term from ({_terms("right")}))
            group by term having count(*) >= 2""",
            "how many rows share a start, a text, an amount",
        )
    )
    over = engine.rows(f"select n from term_counts order by n desc limit 1 offset {_TERMS_MAX}")
    floor = max(1, int(over["n"][0])) if len(over) else 1
    listed = engine.rows(
        f"""select least({RARE_MAX}, floor(log2({rows} / n)))::int as class,
              string_agg(term, '' order by term) as terms
            from term_counts where n > {floor} group by class order by class"""
    )
    classes = {str(k): str(terms) for k, terms in listed.iter_rows()}
    classes["else"] = str(max(0, min(RARE_MAX, (max(rows, 1) // floor).bit_length() - 1)))
    return classes


def attach_rarity(engine: Engine, classes: Mapping[str, str]) -> None:
    """Make `side_left` and `side_right`: the rows with `amount_rare` and `start_<k>`.

    `start_<k>` is the shortest start of the row's text that fewer than one row in 2^k has (the
    whole text if only that is so rare), or null. Two texts share a start that rare if and only if
    their `start_<k>` agree, as a start of a shared start is shared; one comparison of whole
    numbers a level answers it.
    """
    width = _HASH_DIGITS
    terms: list[str] = []
    ranks: list[int] = []
    for k, text in classes.items():
        if k != "else":
            terms += [text[i : i + width] for i in range(0, len(text), width)]
            ranks += [int(k)] * (len(text) // width)
    engine.put("rare_terms", pl.DataFrame({"term": terms, "class": ranks}, schema=_TERM_SCHEMA))
    other = int(classes["else"])
    starts = ", ".join(
        f"min_by(term, size) filter (kind <> 'a' and class >= {k}) as start_{k}" for k in RARITY
    )
    hashed = ", ".join(f"('0x' || start_{k})::bigint as start_{k}" for k in RARITY)
    for side in SIDES:
        engine.run(
            Step(
                f"side_{side}",
                f"""create or replace temp table side_{side} as
                select r.*, coalesce(amount_rare, 0) as amount_rare, {hashed}
                from row_{side} r left join (
                    select seq, max(class) filter (kind = 'a') as amount_rare, {starts}
                    from (select seq, kind, size, term, coalesce(class, {other}) as class
                        from ({_terms(side)}) left join rare_terms using (term))
                    group by seq) using (seq)""",
                "how rare each text's start and each amount is, by the model",
            )
        )
