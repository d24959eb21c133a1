"""What differs between two runs of one reconciliation: matches, open items, cases, and events.

Reads the views of a snapshot's engine that shows both runs. Where the later run is kept as changes
against the earlier one these are read, and of the earlier one the rows that they speak of;
otherwise the rows of both are compared. Leaves behind:

- `changed_rows(table_name, row_id, change)`: added, changed or withdrawn, as in `run_changes`;
- `changed_events`: a row per event that stands otherwise than before (`EVENT_SCHEMA`).

| change of an event | meaning |
| --- | --- |
| gained | it stands in a match now, and did not before |
| lost | it stood in a match, and does not now |
| moved | it stands in another match than before |
| changed | the same match or the same open item, told otherwise |
| opened, closed | open now and unknown before, open before and gone now |
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.ledger.changes import compare_sql, row_name, written_name
from recon_kit.ledger.engine import Engine, Step
from recon_kit.safe import quote_ident, quote_text

# Each table with what a person calls its rows, and their money.
THINGS: dict[str, tuple[str, str]] = {
    "matches": ("match", "coalesce(left_sum, right_sum)"),
    "open_items": ("open item", "amount_minor"),
    "findings": ("case", "amount_minor"),
}
# Tables that say where an event stands; members first, the others are found through them.
TABLES: tuple[str, ...] = ("match_members", "matches", "open_items", "findings")
EVENT_SCHEMA: dict[str, pl.DataType] = {
    "reconciliation": pl.String(), "change": pl.String(), "event_key": pl.String(),
    "native_id": pl.String(), "source": pl.String(), "event_type": pl.String(),
    "side": pl.String(), "owner": pl.String(), "state_before": pl.String(),
    "state_after": pl.String(), "method_before": pl.String(), "method_after": pl.String(),
    "disposition_before": pl.String(), "disposition_after": pl.String(),
    "residual_before": pl.Int64(), "residual_after": pl.Int64(), "match_before": pl.String(),
    "match_after": pl.String(), "amount_minor": pl.Int64(), "currency": pl.String(),
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """What changed from one run to another.

    `totals` has a row per thing (match, open item, case), change and currency: `thing, change,
    currency, items, amount_minor`; a match counts with its left sum, of the later run unless it
    was withdrawn. `events` are the first of `changed_events`, largest money first.
    """

    before: str
    after: str
    totals: pl.DataFrame
    events: pl.DataFrame
    events_total: int


def diff(engine: Engine, before: str, after: str, *, rows_max: int = 1_000) -> Difference:
    """Compare two runs.

    Args:
        engine: of a snapshot, opened with both runs.
        before: id of the earlier run.
        after: id of the later run.
        rows_max: of how many events the rows are returned; the totals are always of all.
    """
    engine.run(*steps(engine, before, after))
    events = engine.rows(
        "from changed_events order by abs(amount_minor) desc nulls last, event_key"
        f" limit {int(rows_max)}"
    )
    return Difference(
        before=before,
        after=after,
        totals=engine.rows(_totals()),
        events=events,
        events_total=engine.count("changed_events"),
    )


def rescored(engine: Engine) -> tuple[int, float]:
    """After `diff`: how many changed matches differ in their confidence alone, and by how much.

    Returns:
        The number of matches, and the largest change of a confidence or a margin.
    """
    same = " and ".join(
        f"a.{c} is not distinct from b.{c}"
        for c in ("method", "disposition", "left_sum", "right_sum", "currency", "residual_minor",
                  "discrepancies", "rule_id")
    )  # fmt: skip
    number, most = engine.one(f"""
        select count(*), max(greatest(abs(a.confidence - b.confidence), abs(a.margin - b.margin)))
        from changed_rows c join rows_before_matches b on b.match_id = c.row_id
        join rows_after_matches a on a.match_id = c.row_id
        where c.table_name = 'matches' and c.change = 'changed' and {same}
          and (a.confidence, a.margin) is distinct from (b.confidence, b.margin)""")
    return int(str(number)), float(str(most or 0))


def steps(engine: Engine, before: str, after: str) -> tuple[Step, ...]:
    """The statements of `diff`; looks up whether the changes are kept already."""
    told = (
        f"from run_changes where run_id = {quote_text(after)}"
        f" and base_run_id = {quote_text(before)}"
    )
    kept = engine.one(f"select count(*) from ({told})")[0] != 0
    compared = " union all ".join(
        f"from ({compare_sql(name, _of(name, before), _of(name, after))})" for name in THINGS
    )
    rows = f"select table_name, row_id, change {told}" if kept else compared
    return (
        Step(
            "changed_rows",
            f"create or replace table changed_rows as {rows}",
            "rows of the later run that the earlier one did not have, and the other way round",
        ),
        *(_few_steps(before, after) if kept else _all_steps(before, after)),
        Step("touched", _touched(), "whom these rows are about"),
        *(_standing(label) for label in ("before", "after")),
        Step("changed_events", _events(), "who stands otherwise than before"),
    )


def _all_steps(before: str, after: str) -> tuple[Step, ...]:
    """`rows_before_...` and `rows_after_...`: every row of both runs, by table."""
    return tuple(
        Step(
            f"rows_{label}",
            f"create or replace temp view rows_{label}_{name} as {_of(name, run)[1:-1]}",
            f"all rows {label}",
        )
        for label, run in (("before", before), ("after", after))
        for name in TABLES
    )


def _few_steps(before: str, after: str) -> tuple[Step, ...]:
    """The same, with no more than rows that changed and where those events stand else.

    An event stands in one match of a run at most. So who is a member of a changed match, or has a
    changed open item, stands before in a match that changed, or in one found by the event's key;
    and where it stands in none that the later run wrote, it stands as it did.
    """
    told = Step(
        "few_events",
        f"""
create or replace temp table few_events as
select event_key from match_members_written where run_id = {quote_text(after)}
union
select event_key from open_items_written
where run_id = {quote_text(after)} and event_key is not null
union
select event_key from {_of("open_items", before)}
where item_id in {_changed("open_items")} and event_key is not null""",
        "events that the later run writes about, or whose open items closed",
    )
    match_ids = "(select match_id from few_match_members)"
    events = "(select event_key from few_match_members union all from few_events)"
    wanted = {
        "match_members": f"""match_id in {_changed("matches", "match_members")}
    or event_key in (from few_events)""",
        "matches": f"match_id in {_changed('matches')} or match_id in {match_ids}",
        "open_items": f"""item_id in {_changed("open_items")} or match_id in {match_ids}
    or event_key in {events}""",
        "findings": f"case_id in {_changed('findings')} or anchor_key in {events}",
    }
    return (told, *(step for name in TABLES for step in _few(name, wanted[name], before, after)))


def _few(name: str, wanted: str, before: str, after: str) -> tuple[Step, Step]:
    return (
        Step(
            f"few_{name}",
            f"create or replace temp table few_{name} as from {_of(name, before)} where {wanted}",
            "rows that changed or closed, and rows about the same events",
        ),
        Step(
            f"rows_{name}",
            f"""
create or replace temp view rows_before_{name} as from few_{name};
create or replace temp view rows_after_{name} as
select * exclude (run_id) from {written_name(name)} where run_id = {quote_text(after)}
union all by name
from few_{name} where {quote_ident(row_name(name))} not in {_changed(name)}""",
            "rows that came, and those that stand",
        ),
    )


def _changed(*tables: str) -> str:
    listed = ", ".join(map(quote_text, tables))
    return f"(select row_id from changed_rows where table_name in ({listed}))"


def _of(name: str, run_id: str) -> str:
    """The rows of one run of a table, in the columns of the table."""
    return (
        f"(select * exclude (run_id) from {quote_ident(name)} where run_id = {quote_text(run_id)})"
    )


def _touched() -> str:
    arms = "\nunion all\n".join(
        f"""select event_key, side from rows_{label}_match_members
where match_id in {_changed("matches")}
union all
select event_key, side from rows_{label}_open_items where item_id in {_changed("open_items")}"""
        for label in ("before", "after")
    )
    return f"""
create or replace table touched as
select event_key, min(side) as side from ({arms})
where event_key is not null group by event_key"""


def _standing(label: str) -> Step:
    """`stood_before` or `stood_after`: where each touched event stands in one run."""
    return Step(
        f"stood_{label}",
        f"""
create or replace table stood_{label} as
select t.event_key, m.match_id, h.method, h.disposition, h.residual_minor, m.role,
       case when m.match_id is null then o.state when r.item_id is null then 'matched'
            else 'residual' end as state,
       coalesce(m.allocated_minor, o.amount_minor) as amount_minor,
       case when m.match_id is null then o.currency else h.currency end as currency
from touched t
left join rows_{label}_match_members m using (event_key)
left join rows_{label}_matches h on h.match_id = m.match_id
left join (from rows_{label}_open_items where match_id is null) o on o.event_key = t.event_key
left join (from rows_{label}_open_items where match_id is not null) r
       on r.match_id = m.match_id""",
        f"where each of them stands {label}",
    )


def _events() -> str:
    return """
create or replace table changed_events as
select * from (
    select e.reconciliation,
           case when a.match_id is not null and b.match_id is null then 'gained'
                when b.match_id is not null and a.match_id is null then 'lost'
                when a.match_id <> b.match_id then 'moved'
                when b.state is null then 'opened' when a.state is null then 'closed'
                else 'changed' end as change,
           t.event_key, v.native_id, v.source, v.event_type, t.side, f.owner,
           b.state as state_before, a.state as state_after,
           b.method as method_before, a.method as method_after,
           b.disposition as disposition_before, a.disposition as disposition_after,
           b.residual_minor as residual_before, a.residual_minor as residual_after,
           b.match_id as match_before, a.match_id as match_after,
           coalesce(a.amount_minor, b.amount_minor) as amount_minor,
           case when a.amount_minor is not null then a.currency else b.currency end as currency
    from touched t
    join stood_before b using (event_key)
    join stood_after a using (event_key)
    cross join (select min(reconciliation) as reconciliation from (
        select reconciliation from rows_after_matches
        union all select reconciliation from rows_after_open_items
        union all select reconciliation from rows_before_matches
        union all select reconciliation from rows_before_open_items)) e
    left join (select event_key, native_id, source, event_type from events
               where event_key in (select event_key from touched)) v on v.event_key = t.event_key
    left join (
        select anchor_key, arg_max(owner, later) as owner from (
            select anchor_key, owner, 1 as later from rows_after_findings
            union all select anchor_key, owner, 0 from rows_before_findings)
        group by anchor_key) f on f.anchor_key = t.event_key
)
where (match_before, method_before, disposition_before, state_before, residual_before)
      is distinct from
      (match_after, method_after, disposition_after, state_after, residual_after)"""


def _totals() -> str:
    arms = " union all ".join(
        f"""
select {quote_text(thing)} as thing, c.change, coalesce(a.currency, b.currency) as currency,
       coalesce(a.money, b.money) as money
from (from changed_rows where table_name = {quote_text(name)}) c
left join (select {row_id} as row_id, currency, {money} as money from rows_after_{name}) a
       using (row_id)
left join (select {row_id} as row_id, currency, {money} as money from rows_before_{name}) b
       using (row_id)"""
        for name, (thing, money) in THINGS.items()
        for row_id in (row_name(name),)
    )
    return f"""
from (select thing, change, currency, count(*) as items, sum(money)::bigint as amount_minor
      from ({arms}) group by all)
order by case thing when 'match' then 0 when 'open item' then 1 else 2 end, change, currency"""
