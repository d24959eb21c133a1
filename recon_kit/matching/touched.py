"""Who has to be matched again on a late day, because something new may reach it.

Methods see only what is open, and keys join whole groups. So what a plain match by key came to is a
function of the facts of its own key groups, and of nothing else: `exact`, `auto`, joined by keys as
they stand, to the cent, with nothing noted. Matched again is what stands in no plain match, what
came or was told anew, what anybody ever decided about, and, link by link, its neighbours (`LINKS`):

| link | whom it brings in |
| --- | --- |
| keys | whoever carries the same text of a declared key, matched or not |
| match | the other members of its match of the run before |
| parents | the row that `parent_key` names, and rows that name it |

What may be open then asks for settled events in two more ways (`ASKED`). Those come in as well,
with their own links, as witnesses: they are matched again as they were.

| asked | whom it brings in |
| --- | --- |
| alike | same side, amount, currency and time: it may be that one told again |
| words | an id in its description is a key of theirs |

Events are known by a 64-bit hash here: two that share one are brought in together, which costs time
and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.receipts import joins_sql, receipts_step
from recon_kit.matching import keys, pool, told_again
from recon_kit.matching.repair import WORDS
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Reconciliation

LINKS: tuple[str, ...] = ("keys", "match", "parents")
ASKED: tuple[str, ...] = ("alike", "words")
_PLAIN = (
    "method = 'exact' and disposition = 'auto' and discrepancies is null and residual_minor = 0"
)
# Tables of this module that nobody needs afterwards.
TABLES: tuple[str, ...] = (
    "late_others",
    "late_members",
    "late_rows",
    "late_links",
    "late_children",
    "late_front",
    "late_next",
    "late_carried",
    "late_stood",
    "late_asked",
    "late_words",
)
_STANDS = "(from late_members where plain) anti join again using (e)"


@dataclass(frozen=True, slots=True)
class Earlier:
    """The run before, whose tables the engine shows.

    `decided` has the `event_key` of every event that anybody ever decided about, taken back or not.
    """

    run_id: str
    as_of_seq: int
    decided: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Found:
    """How many events are matched again, of how many.

    `whole` says that these and the ones that stand are all events there are, and that none of those
    that stood is gone.
    """

    again: int
    events: int
    whole: bool


def find(
    engine: Engine,
    rec: Reconciliation,
    earlier: Earlier,
    neighbours: Collection[str] = (*LINKS, *ASKED),
) -> Found:
    """Leave `again(e)`, who is matched again, and all events and members by their links.

    Args:
        engine: of a snapshot, opened with the earlier run.
        rec: the reconciliation, under the settings of that run.
        earlier: the run.
        neighbours: which of `LINKS` and `ASKED` are followed; less than all is unsound.

    Returns:
        What was found; `late_rows` has every event of the pool, `late_members` every member of the
        earlier run.
    """
    engine.put("late_decided", earlier.decided.select("event_key"))
    engine.run(*row_steps(rec, earlier), children_step(rec, found="parents" in neighbours))
    if engine.count("late_children"):
        engine.run(parents_step(rec))
    _follow(engine, rec, neighbours)
    found = _found(engine)
    if found.whole:
        return found
    engine.run(strays_step())
    _follow(engine, rec, neighbours)
    return _found(engine)


def _follow(engine: Engine, rec: Reconciliation, neighbours: Collection[str]) -> None:
    """Bring in whom `late_front` reaches, and then the witnesses of all with theirs."""
    _spread(engine, rec, neighbours)
    engine.run(*asked_steps(rec, neighbours))
    _spread(engine, rec, neighbours)


def _found(engine: Engine) -> Found:
    """Whether each event of the pool either is matched again or stands, and nothing else stands.

    Both are sets of 64-bit hashes, so their numbers and sums say it without a look-up of each.
    """
    again, events, whole = engine.one(f"""
        select a.n, p.n, p.n = a.n + s.n and p.total = a.total + s.total
        from (select count(*) as n, coalesce(sum(e), 0) as total from late_rows) p,
             (select count(*) as n, coalesce(sum(e), 0) as total
              from late_rows semi join again using (e)) a,
             (select count(*) as n, coalesce(sum(e), 0) as total from ({_STANDS})) s""")
    return Found(int(str(again)), int(str(events)), bool(whole))


def row_steps(rec: Reconciliation, earlier: Earlier) -> tuple[Step, ...]:
    """`late_rows`: every event of the pool by its links; `again(e)`: who is matched again."""
    return (*_told_steps(rec, earlier), _again_step(earlier))


def _told_steps(rec: Reconciliation, earlier: Earlier) -> tuple[Step, ...]:
    named = ", ".join(map(quote_text, (*rec.keys, "parent_key")))
    run = quote_text(earlier.run_id)
    # the first key is in the pool
    texts = "".join(f", {keys.key_text(k)} as t{i}" for i, k in enumerate(rec.keys) if i)
    hashes = "".join(f", {keys.key_hash(f't{i}')} as k{i}" for i in range(1, len(rec.keys)))
    listed = "".join(f", k{i}" for i in range(len(rec.keys)))
    span_us = told_again.span_us(rec)
    # as exactly as it is told that it may be the same: see `told_again`
    bucket = f"epoch_us(ts) // {span_us}" if span_us else "epoch_us(ts)"
    precise = "true" if span_us else f"ts_precision in {told_again.PRECISE}"
    # what indicators read of events that stand: see `carried_told`
    left = rec.left
    own = f"source in ({keys.texts(left.sources)}) and event_type in ({keys.texts(left.types)})"
    money = f"abs({quote_ident(rec.measure.left)})"
    more = f", artefact_sha256, source, {own} as own, {money} as money, {precise} as precise"
    more += ", ts_precision = 'date' as day_alone"
    rows = pool.rows_sql(rec, "events", (texts, hashes + more))
    return (
        receipts_step(),
        Step(
            "late_others",
            f"""
create or replace temp table late_others as
select match_id from matches where run_id = {run} and not coalesce({_PLAIN}, false)
union
select match_id from match_members
where run_id = {run} and (key_used is null or key_used not in ({named}))""",
            "matches of the run before that are more than plain",
        ),
        Step(
            "late_members",
            f"""
create or replace temp table late_members as
select hash(event_key) as e, hash(match_id) as m, side = 'left' as is_left,
       role in ('principal', 'part') as counts, match_id not in (from late_others) as plain
from match_members where run_id = {run}""",
            "who stands in which match of the run before",
        ),
        Step(
            "late_rows",
            f"""
create or replace temp table late_rows as
select hash(e.event_key) as e, hash(side, currency, amount) as alike, {bucket} as bucket,
       side < {pool.ATTACHED} and ts is not null and amount is not null
           and coalesce(precise, false) as asks, ts, day_alone, currency, own, money,
       coalesce(f.first_at, r.received_at) as received_at{listed}
from ({rows}) e
{joins_sql("e")}""",
            "every event of the pool by its keys",
        ),
    )


def _again_step(earlier: Earlier) -> Step:
    run, since = quote_text(earlier.run_id), earlier.as_of_seq
    return Step(
        "again",
        f"""
create or replace temp table again as
select distinct e from (
    select e from late_members where not plain
    union all
    select hash(event_key) from open_items where run_id = {run} and event_key is not null
    union all
    select hash(event_key) from event_versions where recorded_seq > {since}
    union all
    select hash(event_key) from retold
    where artefact_sha256 in (select sha256 from artefacts where seq > {since})
    union all
    select hash(event_key) from late_decided);
create or replace temp table late_front as from again""",
        "what is more than plain or open, what was told since, what anybody decided about",
    )


def strays_step() -> Step:
    """The next front: events that stand in no match and are no open item either.

    Such as refunds that wait with what they refund.
    """
    return Step(
        "late_strays",
        """
create or replace temp table late_front as
select distinct e from late_rows
anti join (select e from late_members where plain) using (e) anti join again using (e);
insert into again from late_front""",
        "what else stands in no plain match",
    )


def children_step(rec: Reconciliation, *, found: bool) -> Step:
    """`late_children`: who names a parent; an empty `late_links`."""
    return Step(
        "late_children",
        f"""
create or replace temp table late_children as
select event_key, source, parent_key from events
where parent_key is not null and source in ({_sources(rec)}) and {str(found).lower()};
create or replace temp table late_links (a ubigint, b ubigint)""",
        "refunds, and whatever else corrects another row",
    )


def parents_step(rec: Reconciliation) -> Step:
    """`late_links(a, b)`: an event and the row that it names as its parent."""
    wanted = "(select parent_key from late_children)"
    return Step(
        "late_links",
        f"""
insert into late_links
select hash(c.event_key) as a, hash(e.event_key) as b
from late_children c
join (
    select event_key, source, unnest([native_id, transaction_id]) as handle from events
    where source in ({_sources(rec)}) and (native_id in {wanted} or transaction_id in {wanted})
    union all
    select event_key, source, unnest(json_extract_string(external_ids, '$.*')) from events
    where source in ({_sources(rec)}) and external_ids is not null
) e on e.source = c.source and e.handle = c.parent_key""",
        "parents by each id that may be meant",
    )


def _sources(rec: Reconciliation) -> str:
    return keys.texts(tuple(sorted({*rec.left.sources, *rec.right.sources})))


def _spread(engine: Engine, rec: Reconciliation, neighbours: Collection[str]) -> None:
    """Follow the links of `late_front` until nobody new comes into `again`."""
    while engine.count("late_front"):
        engine.run(*spread_steps(rec, neighbours))


def spread_steps(rec: Reconciliation, neighbours: Collection[str]) -> tuple[Step, ...]:
    """One step along all links: the next `late_front`, added to `again`."""
    shared = [f"k{i}" for i in range(len(rec.keys))] if "keys" in neighbours else []
    links = [("late_rows", "late_carried", c) for c in shared]
    links += [("late_members", "late_stood", "m")] if "match" in neighbours else []
    found = "".join(
        f"""
    select e from {table} where {c} in (select {c} from {last} where {c} is not null)
    union all"""
        for table, last, c in links
    )
    return (
        Step(
            "late_shared",
            f"""
create or replace temp table late_carried as
select {", ".join(shared) or "e"} from late_rows semi join late_front using (e);
create or replace temp table late_stood as
select m from late_members semi join late_front using (e)""",
            "keys and matches of who came last",
        ),
        Step(
            "late_next",
            f"""
create or replace temp table late_next as
select distinct e from ({found}
    select b from late_links semi join late_front on e = a
    union all
    select a from late_links semi join late_front on e = b
) anti join again using (e);
insert into again from late_next;
create or replace temp table late_front as from late_next""",
            "who shares one, or is named as parent",
        ),
    )


def asked_steps(rec: Reconciliation, neighbours: Collection[str]) -> tuple[Step, ...]:
    """Witnesses: settled events that open ones may be held against; they are the next front."""
    near = "[bucket - 1, bucket, bucket + 1]" if told_again.span_us(rec) else "[bucket]"
    tests = ["hash(alike, bucket) in (from late_asked)"]
    tests += [f"k{i} in (from late_words)" for i in range(len(rec.keys))]
    return (
        Step(
            "late_asked",
            f"""
create or replace temp table late_asked as
select distinct hash(alike, b) as h from (
    select alike, unnest({near}) as b from late_rows semi join again using (e)
    where asks and {str("alike" in neighbours).lower()});
create or replace temp table late_words as
select distinct hash(word) as h from (
    select unnest({WORDS}) as word from events
    where description is not null and hash(event_key) in (from again)
      and {str("words" in neighbours and bool(rec.keys)).lower()})""",
            "what they may repeat, and which ids they mention",
        ),
        Step(
            "late_witnesses",
            f"""
create or replace temp table late_front as
select distinct e from late_rows where {" or ".join(tests)};
delete from late_front where e in (from again);
insert into again from late_front""",
            "and who that is",
        ),
    )
