"""Checks of what was ingested. A broken promise of the data is a finding, never an exception.

Each check is a function `(engine, settings, as_of) -> findings`; `CHECKS` at the foot is the
list of them, `run_checks` calls them all. They read the views of a snapshot (`events`,
`artefacts`, ...) and two tables that a caller may add to the engine:

    batches    the six counts of every ingested file (`Store.batches()`)
    headers    `source, name, received_at, columns`: the header of every artefact, `columns` as
               one text with a tab between names

A check whose table is absent says so instead of passing silently.
"""
# ruff: noqa: ARG001 - every check has one shape, whether it needs all of it or not

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from recon_kit import money, workdays
from recon_kit.ingestion.volume import odd_days
from recon_kit.ledger.engine import Engine
from recon_kit.settings import Settings, Source

Severity = Literal["error", "warn"]
_EXAMPLES_MAX = 5
_WEEKS_MIN = 4  # weeks a source must be seen before a silent weekday is odd
_USUAL_SHARE = 0.8  # share of weeks in which a weekday must have had rows to be usual

FINDING_SCHEMA: dict[str, pl.DataType] = {
    "check": pl.String(), "severity": pl.String(), "source": pl.String(), "count": pl.Int64(),
    "message": pl.String(), "examples": pl.List(pl.String()),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise of the data.

    `message` says what is wrong and what to do; `count` how many events, files or days it
    concerns; `examples` are at most five of their ids, never values of a customer's row.
    """

    check: str
    severity: Severity
    source: str | None
    count: int
    message: str
    examples: tuple[str, ...] = ()


Check = Callable[[Engine, Settings, datetime], list[Finding]]


def run_checks(engine: Engine, settings: Settings, as_of: datetime) -> tuple[Finding, ...]:
    """Every finding of every check, errors first, in a fixed order."""
    found = [finding for check in CHECKS for finding in check(engine, settings, as_of)]
    return tuple(sorted(found, key=lambda f: (f.severity, f.check, f.source or "", f.message)))


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Findings as a frame in the columns of `FINDING_SCHEMA`."""
    rows = [
        {name: getattr(f, name) for name in FINDING_SCHEMA} | {"examples": list(f.examples)}
        for f in findings
    ]
    return pl.DataFrame(rows, schema=FINDING_SCHEMA)


def check_row_parity(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """Physical records = accepted + duplicate + conflict + quarantined + blank, per file."""
    if not _has(engine, "batches"):
        return [_not_checked("row_parity", "batches", "put `Store.batches()` there")]
    went = "accepted + duplicate + conflict + quarantined + blank"
    broken = f"""
        select source, count(*) as n, list(artefact_sha256 order by artefact_sha256) as examples
        from batches where physical <> {went} group by source order by source"""
    quarantined = """
        select source, sum(quarantined)::bigint as n,
               list(artefact_sha256 order by artefact_sha256) as examples
        from batches where quarantined > 0 group by source order by source"""
    return [
        *_findings(engine, broken, "row_parity", "error",
                   "files whose records do not add up to where they went", "run `recon verify`"),
        *_findings(engine, quarantined, "row_parity", "warn",
                   "records are quarantined", "see `recon profile SOURCE` for their reasons"),
    ]  # fmt: skip


def check_unique_ids(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """One event per event id and source; no telling that contradicts an earlier one."""
    twice = """
        select source, count(*) as n, list(event_id order by event_id) as examples
        from (select source, event_id from events where not coalesce(derived_id, false)
              group by source, event_id having count(*) > 1)
        group by source order by source"""
    native = """
        select source, count(*) as n, list(native_id order by native_id) as examples
        from (select source, native_id from events where native_id is not null and records > 0
              group by source, event_type, native_id having count(*) > 1)
        group by source order by source"""
    conflict = """
        select source, count(*) as n, list(event_key order by event_key) as examples
        from events where conflict group by source order by source"""
    return [
        *_findings(engine, twice, "unique_ids", "error",
                   "event ids that name several events", "the feed's identity is too weak"),
        *_findings(engine, native, "unique_ids", "warn",
                   "the file's own ids that stand on several events of one type",
                   "were they used twice?"),
        *_findings(engine, conflict, "unique_ids", "warn",
                   "events told again with another amount or time", "the last telling is read"),
    ]  # fmt: skip


def check_relationships(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """Refunds and chargebacks name a known parent; payouts and their members know each other."""
    ids = """
        with ids as (
            select source, native_id as id from events where event_type <> 'refund'
            union select source, transaction_id from events where event_type in ('payment', 'order')
            union select source, unnest(json_extract_string(external_ids, '$.*')) from events
                  where event_type in ('payment', 'order', 'conversion')
        )"""
    orphans = f"""{ids}
        select e.source, count(*) as n, list(e.event_key order by e.event_key) as examples
        from events e anti join ids on ids.source = e.source and ids.id = e.parent_key
        where e.parent_key is not null group by e.source order by e.source"""
    no_payout = """
        select m.source, count(distinct m.payout_id) as n,
               list(distinct m.payout_id order by m.payout_id) as examples
        from events m anti join (select source, payout_id from events
                                 where event_type = 'payout' and payout_id is not null) p
            on p.source = m.source and p.payout_id = m.payout_id
        where m.payout_id is not null and m.event_type not in ('payout', 'bank_line')
        group by m.source order by m.source"""
    no_members = """
        select p.source, count(*) as n, list(p.payout_id order by p.payout_id) as examples
        from events p anti join (select source, payout_id from events
                                 where event_type <> 'payout' and payout_id is not null) m
            on p.source = m.source and p.payout_id = m.payout_id
        where p.event_type = 'payout' and p.payout_id is not null
          and p.source in (select source from events
                           where event_type <> 'payout' and payout_id is not null)
        group by p.source order by p.source"""
    return [
        *_findings(engine, orphans, "relationships", "warn",
                   "corrections of something that no file has told",
                   "ingest the earlier period"),
        *_findings(engine, no_payout, "relationships", "warn",
                   "payout ids with members and without a payout",
                   "ingest the payouts of their days"),
        *_findings(engine, no_members, "relationships", "warn",
                   "payouts without members", "ingest the itemised report of their days"),
    ]  # fmt: skip


def check_money(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """Invariants of amounts: net, payout sums, signs, currencies."""

    def events_where(condition: str) -> str:
        return f"""
            select source, count(*) as n, list(event_key order by event_key) as examples
            from events where {condition} group by source order by source"""

    # A payout's fee is taken from the balance beside the money sent, not out of it.
    net = """net is not null and amount is not null and fee is not null and net <>
        case when event_type = 'payout' then amount + fee else amount - fee end"""
    sign = """(event_type = 'order' and amount < 0)
        or (event_type = 'payment' and amount < 0 and coalesce(status, '') <> 'charge_failure')
        or (event_type = 'refund' and amount > 0 and coalesce(status, '') <> 'refund_failure')"""
    sums = """
        with members as (
            select source, payout_id, currency, sum(coalesce(net, amount)) as net from events
            where payout_id is not null and event_type <> 'payout' group by all),
        payouts as (
            select source, payout_id, currency, sum(coalesce(net, amount)) as sent from events
            where payout_id is not null and event_type = 'payout' group by all)
        select source, count(*) as n, list(payout_id order by payout_id, currency) as examples
        from payouts join members using (source, payout_id, currency)
        where sent <> net group by source order by source"""
    return [
        *_findings(engine, events_where(net), "money", "warn",
                   "events whose net is not amount minus fee", "the printed net is kept"),
        *_findings(engine, events_where(f"({sign})"), "money", "warn",
                   "events whose amount has the other sign than their type",
                   "see the layout's `sign`"),
        *_findings(engine, events_where("amount is not null and currency is null"), "money",
                   "error", "amounts without a currency", "declare the currency of the source"),
        *_findings(engine, sums, "money", "warn",
                   "payouts that are not the sum of their members' nets",
                   "is a file of their days missing?"),
    ]  # fmt: skip


def check_coverage(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """Days without an event on a weekday that usually has some."""
    day = workdays.local_day_sql("event_ts", settings.workspace.timezone)
    silent = f"""
        with days as (select distinct source, {day} as day from events where event_ts is not null),
        spans as (select source, min(day) as first, max(day) as last from days group by source),
        calendar as (
            select source, unnest(generate_series(first, last, interval 1 day))::date as day
            from spans where last - first >= {_WEEKS_MIN * 7}),
        seen as (
            select calendar.source, calendar.day, isodow(calendar.day) as weekday,
                   days.day is not null as has_rows
            from calendar left join days using (source, day)),
        usual as (
            select source, weekday from seen group by source, weekday
            having avg(has_rows::int) >= {_USUAL_SHARE})
        select source, count(*) as n, list(day::varchar order by day) as examples
        from seen join usual using (source, weekday) where not has_rows
        group by source order by source"""
    return _findings(engine, silent, "coverage", "warn",
                     "days without an event on a weekday that usually has some",
                     "was a file missed?")  # fmt: skip


def check_heartbeat(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """A source with a cadence has sent a file within it, counted to `as_of`."""
    last = {
        str(row["source"]): row["at"]
        for row in engine.rows(
            "select source, max(received_at) as at from artefacts group by source"
        ).iter_rows(named=True)
    }
    found = []
    for source in settings.sources:
        if source.cadence is None:
            continue
        received = last.get(source.name)
        if received is None:
            found.append(Finding("heartbeat", "error", source.name, 1, _silent(source)))
        elif as_of > _due(received, source, settings):
            found.append(
                Finding(
                    "heartbeat",
                    "error",
                    source.name,
                    1,
                    f"the last file came on {received.astimezone(UTC):%Y-%m-%d %H:%M} UTC, "
                    f"longer ago than the declared cadence of {source.cadence}; {_ask(source)}",
                )
            )
    return found


def check_schema_drift(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """The header of a source's last file is the header of the file before it."""
    if not _has(engine, "headers"):
        return [_not_checked("schema_drift", "headers", "put the headers of its artefacts there")]
    pairs = engine.rows("""
        select source, name, columns,
               lag(columns) over (partition by source order by received_at, name) as before
        from headers
        qualify before is not null
            and row_number() over (partition by source order by received_at desc, name desc) = 1
        order by source""")
    found = []
    for row in pairs.iter_rows(named=True):
        now, before = row["columns"].split("\t"), row["before"].split("\t")
        gone = [c for c in before if c not in now]
        new = [c for c in now if c not in before]
        if gone or new:
            said = [f"{word} {', '.join(map(repr, names))}"
                    for word, names in (("lost", gone), ("gained", new)) if names]  # fmt: skip
            found.append(
                Finding(
                    "schema_drift",
                    "error" if gone else "warn",
                    row["source"],
                    len(gone) + len(new),
                    f"the header {' and '.join(said)}; "
                    "see whether the mapping still reads what it should",
                    (row["name"],),
                )
            )
    return found


def check_volume(engine: Engine, settings: Settings, as_of: datetime) -> list[Finding]:
    """No day brings far more or far less than its weekday usually does, by count or money."""
    by_source: dict[str, list[str]] = {}
    for row in odd_days(engine, settings):
        by_source.setdefault(str(row["source"]), []).append(_odd_day(row))
    return [
        Finding(
            "volume", "warn", source, len(days),
            "days that brought far more or far less than their weekday usually does: "
            f"{len(days):,}; was a file cut, doubled or mapped anew?",
            tuple(days[:_EXAMPLES_MAX]),
        )
        for source, days in by_source.items()
    ]  # fmt: skip


def _odd_day(row: dict[str, object]) -> str:
    told, usual = int(str(row["told"])), int(str(row["usual"]))
    if row["what"] == "events":
        return f"{row['day']}: {told:,} events, usually {usual:,}"
    currency = str(row["currency"])
    return (
        f"{row['day']}: {money.to_text(told, currency)} {currency}, "
        f"usually {money.to_text(usual, currency)}"
    )


def _findings(  # noqa: PLR0913, PLR0917 - the parts of a finding, read in the order of its text
    engine: Engine, sql: str, check: str, severity: Severity, what: str, remedy: str
) -> list[Finding]:
    """One finding per row of a query that gives `source, n, examples`."""
    rows = engine.rows(f"select source, n, examples[1:{_EXAMPLES_MAX}] as examples from ({sql})")
    return [
        Finding(
            check, severity, row["source"], int(row["n"]), f"{what}: {row['n']:,}; {remedy}",
            tuple(str(e) for e in row["examples"]),
        )
        for row in rows.sort("source").iter_rows(named=True)
    ]  # fmt: skip


def _has(engine: Engine, table: str) -> bool:
    sql = "select count(*) from information_schema.tables where table_name = ?"
    found = engine.one(sql, [table])[0]
    return bool(found)


def _not_checked(check: str, table: str, remedy: str) -> Finding:
    text = f"not checked: the engine has no table {table!r}; {remedy}"
    return Finding(check, "warn", None, 0, text)


def _due(received: datetime, source: Source, settings: Settings) -> datetime:
    assert source.cadence is not None  # noqa: S101 - asked before
    workspace = settings.workspace
    return workdays.add_duration(
        received, source.cadence.count, source.cadence.unit, workspace.timezone, workspace.holidays
    )


def _silent(source: Source) -> str:
    return f"no file has ever come, although one is due every {source.cadence}; {_ask(source)}"


def _ask(source: Source) -> str:
    return f"ask {source.owner}" if source.owner else "ask whoever sends it"


CHECKS: Sequence[Check] = (
    check_row_parity,
    check_unique_ids,
    check_relationships,
    check_money,
    check_coverage,
    check_heartbeat,
    check_schema_drift,
    check_volume,
)
