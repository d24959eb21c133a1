"""A late day: plain matches of the run before stand as they are, all else is matched again.

Methods see only what is open, and keys join whole groups. So what a plain match by key came to is a
function of the facts of its own key groups, and of nothing else. Where none of these facts, and
nothing that was said of these events, is new, its rows are carried over. Everything else goes
through the very same cascade, beside what it may meet. A plain match is `exact`, `auto`, joined by
keys as they stand, to the cent, with nothing noted.

Matched again is what stands in no plain match, what came or was told anew, what anybody ever
decided about, and, link by link, its neighbours (`LINKS`):

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

How common an amount is, the unit of a currency and the first and last day are read from all events
(`pool.whole_step`). Events are known by a 64-bit hash here: two that share one are brought in
together, which costs time and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import keys, pool, told_again
from recon_kit.matching.repair import WORDS
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Reconciliation

LINKS: tuple[str, ...] = ("keys", "match", "parents")
ASKED: tuple[str, ...] = ("alike", "words")
# Where more events than this share are matched again, a full run is as quick.
AGAIN_SHARE_MAX = 0.5
_PLAIN = (
    "method = 'exact' and disposition = 'auto' and discrepancies is null and residual_minor = 0"
)
_TABLES = (
    "late_rows",
    "late_links",
    "late_children",
    "late_front",
    "late_next",
    "late_asked",
    "late_words",
)


@dataclass(frozen=True, slots=True)
class Earlier:
    """The run before, whose tables the engine shows.

    `decided` has the `event_key` of every event that anybody ever decided about, taken back or not.
    """

    run_id: str
    as_of_seq: int
    decided: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Narrowed:
    """How many events are matched again, of how many; `why_not` where all of them are."""

    again: int
    events: int
    why_not: str = ""

    def __str__(self) -> str:
        if self.why_not:
            return f"in full: {self.why_not}"
        return f"{self.again:,} of {self.events:,} events were matched again"


def narrow(
    engine: Engine,
    rec: Reconciliation,
    earlier: Earlier,
    neighbours: Collection[str] = (*LINKS, *ASKED),
) -> Narrowed:
    """Put what has to be matched again in the place of `events` and `who`.

    Args:
        engine: of a snapshot, opened with the earlier run; not narrowed yet.
        rec: the reconciliation, under the settings of that run.
        earlier: the run.
        neighbours: which of `LINKS` and `ASKED` are followed; less than all is unsound.

    Returns:
        What was found. Where it says `why_not` nothing was put in place of anything; otherwise the
        views stand as `every_event` and `every_who` until `widen`, and `retaken(match_id)` has the
        matches of the earlier run that do not stand as they are.
    """
    engine.put("late_decided", earlier.decided.select("event_key"))
    engine.run(*row_steps(rec, earlier), children_step(rec, found="parents" in neighbours))
    if engine.count("late_children"):
        engine.run(parents_step(rec))
    _spread(engine, rec, neighbours)
    engine.run(*asked_steps(rec, neighbours))
    _spread(engine, rec, neighbours)
    again, events, lost = engine.one(
        """select count(*) filter (not gone and a.e is not null), count(*) filter (not gone),
                  count(*) filter (gone and a.e is null)
           from late_rows r left join again a using (e)"""
    )
    counted = Narrowed(int(str(again)), int(str(events)))
    if lost != 0:
        return Narrowed(0, 0, "events of the run before are gone")
    if counted.again > AGAIN_SHARE_MAX * counted.events:
        return Narrowed(0, 0, "most events would be matched again")
    engine.run(*place_steps(rec, earlier))
    return counted


def row_steps(rec: Reconciliation, earlier: Earlier) -> tuple[Step, ...]:
    """`late_rows`: every event of the pool by its links; `again(e)`: who is matched again."""
    named = ", ".join(map(quote_text, (*rec.keys, "parent_key")))
    run = quote_text(earlier.run_id)
    texts = "".join(f", {keys.key_text(key)} as t{i}" for i, key in enumerate(rec.keys))
    hashes = "".join(f", {keys.key_hash(f't{i}')} as k{i}" for i in range(len(rec.keys)))
    listed = "".join(f", k{i}" for i in range(len(rec.keys)))
    span_us = told_again.span_us(rec)
    # as exactly as it is told that it may be the same: see `told_again`
    bucket = f"epoch_us(ts) // {span_us}" if span_us else "epoch_us(ts)"
    precise = "true" if span_us else f"ts_precision in {told_again.PRECISE}"
    rows = pool.rows_sql(rec, "events", (texts, f"{hashes}, {precise} as precise"))
    since = earlier.as_of_seq
    return (
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
            "late_rows",
            f"""
create or replace temp table late_rows as
with told as (
    select hash(event_key) as e, hash(side, currency, amount) as alike, {bucket} as bucket,
           side < {pool.ATTACHED} and ts is not null and amount is not null
               and coalesce(precise, false) as asks{listed}
    from ({rows})
), members as (
    select hash(event_key) as e, hash(match_id) as m
    from (from match_members where run_id = {run}) anti join late_others using (match_id)
)
select coalesce(t.e, s.e) as e, t.e is null as gone, alike, bucket, coalesce(asks, false) as asks,
       m{listed}
from told t full join members s on s.e = t.e""",
            "every event by its keys, and by the plain match that it stands in",
        ),
        Step(
            "again",
            f"""
create or replace temp table again as
select distinct e from (
    select e from late_rows where m is null
    union all
    select hash(event_key) from event_versions where recorded_seq > {since}
    union all
    select hash(event_key) from retold
    where artefact_sha256 in (select sha256 from artefacts where seq > {since})
    union all
    select hash(event_key) from late_decided);
create or replace temp table late_front as from again""",
            "what stands in none, what was told since, what anybody decided about",
        ),
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
    columns = [f"k{i}" for i in range(len(rec.keys))] if "keys" in neighbours else []
    columns += ["m"] if "match" in neighbours else []
    shared = "".join(
        f"""
create or replace temp table late_{c} as
select distinct {c} from late_rows semi join late_front using (e) where {c} is not null;"""
        for c in columns
    )
    tests = " or ".join(f"{c} in (from late_{c})" for c in columns) or "false"
    return (
        Step("late_shared", shared or "select 1", "keys and matches of who came last"),
        Step(
            "late_next",
            f"""
create or replace temp table late_next as
select distinct e from (
    select e from late_rows where {tests}
    union all
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


# What the ledger keeps of a row beside its facts, and facts that no method reads unless asked to.
_UNREAD = ("event_id", "business_key", "raw_ts", "tz_source")


def place_steps(rec: Reconciliation, earlier: Earlier) -> tuple[Step, ...]:
    """`retaken`, and the smaller `events` and `who`."""
    run = quote_text(earlier.run_id)
    facts = [c for c in model.MONEY_FACTS if c not in _UNREAD or c in rec.probable.compare]
    columns = ", ".join(map(quote_ident, ("event_key", "payload_hash", "source", *facts)))
    return (
        Step(
            "retaken",
            f"""
create or replace temp table retaken as
select match_id from late_others
union
select match_id from match_members where run_id = {run} and hash(event_key) in (from again)""",
            "matches of the run before that are found again, or not",
        ),
        Step(
            "late_events",
            f"""
alter view events rename to every_event;
create temp table events as select {columns} from every_event
where hash(event_key) in (from again) or test or event_type = 'fx_rate';
alter view who rename to every_who;
create temp table who as from every_who where hash(event_key) in (from again)""",
            "rates are needed by all, and test events are counted",
        ),
        *(Step("late_drop", f"drop table if exists {name}") for name in _TABLES),
    )


def whole_step(rec: Reconciliation) -> Step:
    """`whole_pool` over every event, for a narrowed engine."""
    return pool.whole_step(f"({pool.rows_sql(rec, 'every_event')})")


def widen(engine: Engine, earlier: Earlier) -> None:
    """Put `events` and `who` back, and the rows that stand as they are beside the new ones.

    The rows made anew are in `new_matches` and `new_match_members` then: see `made`.
    """
    engine.run(
        Step(
            "late_back",
            """
drop table events;
alter view every_event rename to events;
drop table who;
alter view every_who rename to who""",
            "every event again",
        ),
        *(carried_step(name, earlier) for name in model.CARRIED_TABLES),
    )


def made(table: str, narrowed: Narrowed | None) -> str:
    """Where the rows stand that a run made itself."""
    late = narrowed is not None and not narrowed.why_not
    return f"new_{table}" if late and table in model.CARRIED_TABLES else f"out_{table}"


def retaken(engine: Engine, narrowed: Narrowed | None) -> Path | None:
    """A file of the matches of the earlier run that were made anew; none where all were."""
    if narrowed is None or narrowed.why_not:
        return None
    return engine.write("select match_id from retaken order by match_id", "retaken")


def carried_step(table: str, earlier: Earlier) -> Step:
    """`out_...` of a table: rows made anew and rows of the earlier run that stand as they are.

    A plain match leaves nothing open and asks nothing, so it has rows in no other table.
    """
    columns = ", ".join(f'"{c}"' for c in model.RUN_TABLES[table])
    return Step(
        f"out_{table}",
        f"""
drop view if exists new_{table};
alter view out_{table} rename to new_{table};
create view out_{table} as
select {columns} from new_{table}
union all
select {columns} from (from {table} where run_id = {quote_text(earlier.run_id)})
anti join retaken using (match_id)""",
        "what was matched again, and what stands",
    )
