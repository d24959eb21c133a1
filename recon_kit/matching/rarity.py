"""How rare the start of a text, an amount, a mailbox or a number is: what many share says little.

The commonest terms stand in the stored model by class, so that a score never changes because
other rows came or went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import folding
from recon_kit.matching.features import SIDES, TABLE
from recon_kit.matching.ladders import RARE_MAX, RARITY, STARTS
from recon_kit.matching.schedules import SPLITS, Schedule, frame
from recon_kit.safe import quote_text

_WHOLE = 1_000_000  # the whole text counts as longer than any start
_TERM_SCHEMA = {"term": pl.String(), "class": pl.Int64()}
_TERMS_MAX = 20_000  # kept in the model: about 200 kB
SHARED_MIN, SHARED_CLASS = 10, 10  # rows, and class of rarity, of an e-mail user
_SERIES = "series"  # numbers that many ids have: a year, a shop, a book of invoices


def _texts(rows: str) -> str:
    """Query of (seq, kind, size, term): the hashed starts and the whole text of every row.

    `size` orders the starts of one row from short to long; the whole text comes last.
    """
    return f"""select seq, kind, size, {folding.term("kind", "size", "text")} as term from (
        select seq, 's' as kind, size, left(text, size) as text
        from (select seq, text, unnest({list(STARTS)}) as size from {rows}
            where text is not null)
        where size <= length(text) or size = {STARTS[0]}
        union all select seq, 't', {_WHOLE}, text from {rows} where text is not null)"""


def count_terms(engine: Engine) -> dict[str, str]:
    """How rare the commonest terms are: class (as text) -> their hashes, sorted, put together.

    Class k: between one row in 2^(k+1) and one in 2^k of both sides has the term. The key `else`
    holds the class of every term that is not listed, `series`, where there are any, the numbers
    that stand in many ids. Hashes, because memos name people.
    """
    rows = engine.count(TABLE)
    engine.run(
        Step(
            "term_counts",
            f"""create or replace temp table term_counts as
            select term, count(*) as n from (
                select kind, term from ({_texts(TABLE)})
                union all select 'a', amount_term from {TABLE}
                union all select 'e', user_term from {TABLE})
            where term is not null group by kind, term
            having count(*) >= case kind when 'e' then {SHARED_MIN} else 2 end""",
            "how many rows share a start, a text, an amount, a mailbox",
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
    if series := _series(engine, rows):
        classes[_SERIES] = series
    return classes


def _series(engine: Engine, rows: int) -> str:
    """Hashes of the numbers that at least ten ids have, and ids of more than one row in 1,024.

    The year of `RE-2026-1145` names no invoice. Rows that name one id count once: a contract that
    is paid in twelve parts is still told by its number.
    """
    told = engine.rows(
        f"""select coalesce(string_agg(term, '' order by term), '') as terms from (
            select {folding.term("'n'", "0", "number")} as term
            from (select unnest(refs) as number from (
                select distinct side, refs from {TABLE} where refs is not null))
            group by number
            having count(*) >= {SHARED_MIN} and count(*) * {2**SHARED_CLASS} > {rows})"""
    )
    return str(told.item())


def attach_rarity(
    engine: Engine, classes: Mapping[str, str], schedules: Sequence[Schedule] = ()
) -> None:
    """Make `side_left` and `side_right`: the rows with `amount_rare`, `shared_mail`, `start_<k>`.

    `shared_mail` says that more than one row in 1,024, and at least ten, have the e-mail's user:
    an office's mailbox, which tells little about who it was. `usual_bp`, `usual_fixed` and
    `usual_cap` are what `schedules` say (see `attach_usual_fees`).

    `refs` loses the numbers that stand in many ids.

    `start_<k>` is the shortest start of the row's text that fewer than one row in 2^k has (the
    whole text if only that is so rare), or null. Two texts share a start that rare if and only if
    their `start_<k>` agree, as a start of a shared start is shared; one comparison of whole
    numbers a level answers it. Where a side has no texts, no start is looked for.
    """
    width = folding.TERM_DIGITS
    terms: list[str] = []
    ranks: list[int] = []
    for k, text in classes.items():
        if k not in ("else", _SERIES):
            terms += [text[i : i + width] for i in range(0, len(text), width)]
            ranks += [int(k)] * (len(text) // width)
    listed = pl.DataFrame({"term": terms, "class": ranks}, schema=_TERM_SCHEMA)
    # two terms may share a hash: each of them then counts as the one or the other
    engine.put(
        "rare_terms",
        listed.group_by("term").agg(
            pl.col("class").max().alias("most"), pl.col("class").min().alias("least")
        ),
    )
    series = classes.get(_SERIES, "")
    shared = [series[i : i + width] for i in range(0, len(series), width)]
    net = _net(engine, schedules)
    texts = engine.one(f"select count(distinct side) from {TABLE} where text is not null")[0] == 2
    for side in SIDES:
        fees = net if side == "right" else []
        engine.run(
            Step(
                f"side_{side}",
                _side_sql(side, int(classes["else"]), fees, shared, texts=texts),
                "how rare each text's start and each amount is, by the model",
            )
        )


def _side_sql(
    side: str, other: int, net: Sequence[Schedule], series: Sequence[str], *, texts: bool
) -> str:
    """`other` is the class of every term that is not listed, `series` the numbers of many ids."""
    starts = ", ".join(f"('0x' || start_{k})::bigint as start_{k}" for k in RARITY)
    found = ", ".join(
        f"min_by(term, size) filter (coalesce(most, {other}) >= {k}) as start_{k}" for k in RARITY
    )
    rows = f"(from {TABLE} where side = '{side}')"
    started = f"""left join (
            select seq, {found} from ({_texts(rows)}) left join rare_terms using (term)
            group by seq) s using (seq)"""
    if not texts:
        starts, started = ", ".join(f"null::bigint as start_{k}" for k in RARITY), ""
    fees, charged = _fees_sql(net, "open_right")
    own = ""
    if series:
        number, listed = folding.term("'n'", "0", "n"), ", ".join(map(quote_text, series))
        many = f"{number} in ({listed})"
        own = f" replace (nullif(list_filter(r.refs, lambda n: not ({many})), []) as refs)"
    return f"""create or replace temp table side_{side} as
        select r.* exclude (side, amount_term, user_term){own},
            case when r.amount is null then 0 else coalesce(a.most, {other}) end as amount_rare,
            coalesce(m.least < {SHARED_CLASS}, false) as shared_mail, {fees}, {starts}
        from {rows} r
        left join rare_terms a on a.term = r.amount_term
        left join rare_terms m on m.term = r.user_term
        {started} {charged}"""


def attach_usual_fees(engine: Engine, schedules: Sequence[Schedule]) -> None:
    """Give right rows the fee that their source usually takes of what the left side tells.

    Only schedules of basis `net` count: where an event tells its own fee nothing need be guessed.
    Those that a further field tells apart (the card's country) need `events`.
    """
    fees, charged = _fees_sql(_net(engine, schedules), "side_right")
    engine.run(
        Step(
            "side_right",
            f"""update side_right as s set usual_bp = f.usual_bp, usual_fixed = f.usual_fixed,
                usual_cap = f.usual_cap
            from (select r.event_key, {fees} from side_right r {charged}) f
            where f.event_key = s.event_key""",
            "the usual fee of each source, method and, where it matters, country, by the model",
        )
    )


def _net(engine: Engine, schedules: Sequence[Schedule]) -> list[Schedule]:
    """The schedules of basis `net`, put into `usual_fees`."""
    net = [s for s in schedules if s.basis == "net"]
    engine.put("usual_fees", frame(net))
    return net


def _fees_sql(net: Sequence[Schedule], rows: str) -> tuple[str, str]:
    """Columns of the usual fee of a row `r` of a table, and the joins that they need."""
    if not net:
        return ", ".join(f"null::bigint as usual_{name}" for name in ("bp", "fixed", "cap")), ""
    told, value = "", "''"
    if any(s.split for s in net):
        names = ", ".join(
            f"coalesce(json_extract_string(raw_keys, '$.{name}'), '') as {name}" for name in SPLITS
        )
        told = f"""join (select event_key, {names}
            from events semi join {rows} using (event_key)) t using (event_key)"""
        arms = " ".join(f"when '{name}' then t.{name}" for name in SPLITS)
        value = f"case u.split {arms} else '' end"
    columns = "u.rate_bp as usual_bp, u.fixed_minor as usual_fixed, u.cap_minor as usual_cap"
    return (
        columns,
        f"""{told} left join usual_fees u on u.source = coalesce(r.source, '')
        and u.event_type = coalesce(r.type, '') and u.method = coalesce(r.payment_method, '')
        and u.currency = r.currency
        and u.is_foreign = (r.shown is not null and r.shown_currency <> r.currency)
        and u.value = {value}""",
    )
