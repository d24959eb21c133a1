"""How rare the start of a text, an amount or a mailbox is: what many share says little.

The commonest terms stand in the stored model by class, so that a score never changes because
other rows came or went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.features import SIDES
from recon_kit.matching.ladders import RARE_MAX, RARITY, STARTS
from recon_kit.matching.schedules import SPLITS, Schedule, frame

_HASH_DIGITS = 10
_WHOLE = 1_000_000  # the whole text counts as longer than any start
_TERM_SCHEMA = {"term": pl.String(), "class": pl.Int64()}
_TERMS_MAX = 20_000  # kept in the model: about 200 kB
SHARED_MIN, SHARED_CLASS = 10, 10  # rows, and class of rarity, of an e-mail user


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
    mail = f"select seq, 'e', 0, email_user from row_{side} where email_user is not null"
    hashed = f"left(md5(kind || size || ':' || term), {_HASH_DIGITS})"
    return f"""select seq, kind, size, {hashed} as term
        from ({starts} union all {whole} union all {money} union all {mail})"""


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
                select kind, term from ({_terms("left")})
                union all select kind, term from ({_terms("right")}))
            group by kind, term
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
    return classes


def attach_rarity(engine: Engine, classes: Mapping[str, str]) -> None:
    """Make `side_left` and `side_right`: the rows with `amount_rare`, `shared_mail`, `start_<k>`.

    `shared_mail` says that more than one row in 1,024, and at least ten, have the e-mail's user:
    an office's mailbox, which tells little about who it was. `usual_bp`, `usual_fixed` and
    `usual_cap` are empty until `attach_usual_fees`.

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
        f"min_by(term, size) filter (kind in ('s', 't') and class >= {k}) as start_{k}"
        for k in RARITY
    )
    hashed = ", ".join(f"('0x' || start_{k})::bigint as start_{k}" for k in RARITY)
    for side in SIDES:
        engine.run(
            Step(
                f"side_{side}",
                f"""create or replace temp table side_{side} as
                select r.*, coalesce(amount_rare, 0) as amount_rare,
                    coalesce(shared_mail, false) as shared_mail, null::bigint as usual_bp,
                    null::bigint as usual_fixed, null::bigint as usual_cap, {hashed}
                from row_{side} r left join (
                    select seq, max(class) filter (kind = 'a') as amount_rare,
                        bool_or(listed < {SHARED_CLASS}) filter (kind = 'e') as shared_mail,
                        {starts}
                    from (select seq, kind, size, term, class as listed,
                            coalesce(class, {other}) as class
                        from ({_terms(side)}) left join rare_terms using (term))
                    group by seq) using (seq)""",
                "how rare each text's start and each amount is, by the model",
            )
        )


def attach_usual_fees(engine: Engine, schedules: Sequence[Schedule]) -> None:
    """Give right rows the fee that their source usually takes of what the left side tells.

    Only schedules of basis `net` count: where an event tells its own fee nothing need be guessed.
    Those that a further field tells apart (the card's country) need `events`.
    """
    net = [s for s in schedules if s.basis == "net"]
    engine.put("usual_fees", frame(net))
    told = "side_right r"
    value = "''"
    if any(s.split for s in net):
        names = ", ".join(
            f"coalesce(json_extract_string(raw_keys, '$.{name}'), '') as {name}" for name in SPLITS
        )
        told += f""" join (select event_key, {names}
            from events semi join side_right using (event_key)) t using (event_key)"""
        arms = " ".join(f"when '{name}' then t.{name}" for name in SPLITS)
        value = f"case u.split {arms} else '' end"
    engine.run(
        Step(
            "side_right",
            f"""create or replace temp table side_right as
            select r.* replace (u.rate_bp as usual_bp, u.fixed_minor as usual_fixed,
                u.cap_minor as usual_cap)
            from {told} left join usual_fees u on u.source = coalesce(r.source, '')
                and u.event_type = coalesce(r.type, '')
                and u.method = coalesce(r.payment_method, '') and u.currency = r.currency
                and u.is_foreign = (r.shown is not null and r.shown_currency <> r.currency)
                and u.value = {value}""",
            "the usual fee of each source, method and, where it matters, country, by the model",
        )
    )
