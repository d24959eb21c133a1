"""A late day: plain matches of the run before stand as they are, all else is matched again.

`touched` says who has to be matched again. Those take the place of `events` and `who`, and go
through the very same cascade, beside whom they may meet; the rows of all other matches are carried
over. How common an amount is, the unit of a currency and the first and last day are read from all
events (`pool.whole_step`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import pool, touched
from recon_kit.matching.touched import Earlier
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Reconciliation

# Where more events than this share are matched again, a full run is as quick.
AGAIN_SHARE_MAX = 0.5


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


def narrow(engine: Engine, rec: Reconciliation, earlier: Earlier) -> Narrowed:
    """Put what has to be matched again in the place of `events` and `who`.

    Args:
        engine: of a snapshot, opened with the earlier run; not narrowed yet.
        rec: the reconciliation, under the settings of that run.
        earlier: the run.

    Returns:
        What was found. Where it says `why_not` nothing was put in place of anything; otherwise the
        views stand as `every_event` and `every_who` until `widen`, `retaken(match_id)` has the
        matches of the earlier run that do not stand as they are, and `carried_told(m, is_left,
        counted, event_ts, day_alone, money, currency, received_at)` the principals and parts of the
        others.
    """
    found = touched.find(engine, rec, earlier)
    counted = Narrowed(found.again, found.events)
    if not found.whole:
        return Narrowed(0, 0, "events of the run before are gone")
    if counted.again > AGAIN_SHARE_MAX * counted.events:
        return Narrowed(0, 0, "most events would be matched again")
    engine.run(*place_steps(rec, earlier))
    return counted


# What the ledger keeps of a row beside its facts, and facts that no method reads unless asked to.
_UNREAD = ("event_id", "business_key", "raw_ts", "tz_source")


def place_steps(rec: Reconciliation, earlier: Earlier) -> tuple[Step, ...]:
    """`retaken`, and the smaller `events` and `who`."""
    run = quote_text(earlier.run_id)
    facts = [c for c in model.MONEY_FACTS if c not in _UNREAD or c in rec.probable.compare]
    told = ("event_key", "payload_hash", "source", "artefact_sha256", *facts)
    columns = ", ".join(map(quote_ident, told))
    return (
        Step(
            "retaken",
            f"""
create or replace temp table retaken as
select match_id from matches where run_id = {run} and hash(match_id) in (
    select m from late_members semi join again using (e))""",
            "matches of the run before that are found again, or not",
        ),
        Step(
            "late_events",
            f"""
alter view events rename to every_event;
create temp table events as select {columns} from every_event
where hash(event_key) in (from again) or test or event_type = 'fx_rate';
alter view who rename to every_who;
create temp table who as from every_who semi join events using (event_key)""",
            "rates are needed by all, and test events are counted",
        ),
        Step(
            "carried_told",
            """
create or replace temp table carried_told as
select m, is_left, coalesce(is_left and own, false) as counted, ts as event_ts, day_alone, money,
       currency, received_at
from (from late_rows anti join again using (e))
join (from late_members where counts and plain) using (e)""",
            "what indicators need of the events that stand",
        ),
        Step(
            "late_standing",
            f"""
create or replace temp table late_standing as
select 'match_members' as name, 'exact' as method, 'auto' as disposition, (
    select count(*) from (from late_members where plain) anti join again using (e)) as n
union all
select 'matches', 'exact', 'auto',
    (select count(*) from matches where run_id = {run}) - (select count(*) from retaken)""",
            "how many rows stand as they are",
        ),
        Step(
            "late_span",
            """
create or replace temp table late_span as
select unnest([min(ts), max(ts)]) as ts from late_rows""",
            "from when to when events go",
        ),
        *(Step("late_drop", f"drop table if exists {name}") for name in touched.TABLES),
    )


def whole_step(rec: Reconciliation) -> Step:
    """`whole_pool` over every event, for a narrowed engine."""
    return pool.whole_step(f"({pool.rows_sql(rec, 'every_event')})", "late_span")


def widen(engine: Engine, earlier: Earlier) -> None:
    """Put `events` and `who` back, and the rows that stand as they are beside the new ones.

    The rows made anew are in `new_matches` and `new_match_members` then (see `made`), the events
    that were matched again in `again_events`; `hung_members` has those members of matches that
    stand which are neither principal nor part.
    """
    engine.run(
        Step(
            "late_back",
            """
alter table events rename to again_events;
alter view every_event rename to events;
drop table who;
alter view every_who rename to who""",
            "every event again",
        ),
        *(carried_step(name, earlier) for name in model.CARRIED_TABLES),
        Step(
            "hung_members",
            f"""
create view hung_members as
select {_columns("match_members")}
from (from match_members where run_id = {quote_text(earlier.run_id)}
      and role not in ('principal', 'part'))
anti join retaken using (match_id)""",
            "refunds, disputes and duplicates of what stands",
        ),
    )


def is_late(narrowed: Narrowed | None) -> bool:
    """Whether matches of an earlier run stand."""
    return narrowed is not None and not narrowed.why_not


def made(table: str, narrowed: Narrowed | None) -> str:
    """Where the rows stand that a run made itself."""
    return f"new_{table}" if is_late(narrowed) and table in model.CARRIED_TABLES else f"out_{table}"


def retaken(engine: Engine, narrowed: Narrowed | None) -> Path | None:
    """A file of the matches of the earlier run that were made anew; none where all were."""
    if not is_late(narrowed):
        return None
    return engine.write("select match_id from retaken order by match_id", "retaken")


def stands(engine: Engine, table: str) -> int:
    """How many rows of a table of the earlier run stand as they are."""
    found = engine.one(f"select n from late_standing where name = {quote_text(table)}")
    return int(str(found[0]))


def methods_sql(narrowed: Narrowed | None) -> str:
    """Query of `method, disposition, n`, how many matches there are of each.

    Matches that stand are plain, so they have one method and disposition and are not read.
    """
    told = (
        f"select method, disposition, count(*) as n from {made('matches', narrowed)} group by all"
    )
    if not is_late(narrowed):
        return told
    stood = "select method, disposition, n from late_standing where name = 'matches' and n > 0"
    return f"""
select method, disposition, sum(n)::bigint as n from ({told} union all {stood}) group by all"""


def carried_step(table: str, earlier: Earlier) -> Step:
    """`out_...` of a table: rows made anew and rows of the earlier run that stand as they are.

    A plain match leaves nothing open and asks nothing, so it has rows in no other table.
    """
    columns = _columns(table)
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


def _columns(table: str) -> str:
    return ", ".join(map(quote_ident, model.RUN_TABLES[table]))
