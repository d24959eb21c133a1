"""The pool: one narrow row per event that a reconciliation looks at.

`pool` has these columns; everything else of an event, its further keys too, is fetched late, for
the few rows that need it (see `late`), by `event_key`:

| column | meaning |
| --- | --- |
| eid | integer id inside one evaluation; arbitrary, so nothing may be ordered by it |
| event_key | identity; every tie is broken by it |
| side | 0 left, 1 right, 2 attached (a refund of what stands on a side) |
| home | side whose sources told it: 0 or 1 (differs from `side` for attached rows) |
| amount, currency | the measure of its side |
| shown, shown_currency | the presented amount, where it stands for the measure |
| ts | event time |
| dead | its status says that no money moved |
| k0, t0 | 64-bit hash of the first declared key, and its text, compared after a join |
| refunded | what a column of its own says was refunded of it, where refunds are attached |
"""

from __future__ import annotations

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import keys
from recon_kit.settings import Reconciliation

LEFT, RIGHT, ATTACHED = 0, 1, 2
COLUMNS = "eid, event_key, side, home, amount, currency, shown, shown_currency, ts, dead"
# Statuses of events that moved no money. An order or payment in one of them that is matched to a
# live counterpart is a status mismatch.
DEAD_STATUSES: tuple[str, ...] = (
    "voided", "cancelled", "canceled", "failed", "declined", "expired", "denied", "refused",
    "blocked", "reversed_authorization", "authorization_expired", "trash",
)  # fmt: skip


def build(engine: Engine, rec: Reconciliation) -> bool:
    """Make `pool` from the views of the engine; whether any event at all is a test.

    Raises:
        MatchingError: a source and type stands on both sides without any filter to tell them
            apart, so that every event would be its own counterpart.
    """
    _sides_differ(rec)
    shown, refunded, tests = (bool(told) for told in engine.one(
        "select count(presentment_amount) > 0, count(refunded_amount) > 0, bool_or(test)"
        " from events"
    ))  # fmt: skip
    refunded = refunded and "refund" in rec.attach
    engine.run(*steps(rec, shown=shown, refunded=refunded), whole_step("pool"))
    return tests


def whole_step(rows: str, span: str = "pool") -> Step:
    """`whole_pool(side, amount, currency, ts)`: what common amounts are counted among.

    And `whole_span(first_ts, last_ts)`: from when to when they go; `span` has their `ts`.
    """
    return Step(
        "whole_pool",
        f"""
create or replace view whole_pool as select side, amount, currency, ts from {rows};
create or replace view whole_span as
select min(ts) as first_ts, max(ts) as last_ts from {span}""",
        "also where matching looks at a part of the pool alone (see `carried`)",
    )


def test_note_step(rec: Reconciliation) -> Step:
    """Say how many test events were left out, in `method_notes`."""
    sides = f"({keys.side_filter(rec.left)} or {keys.side_filter(rec.right)})"
    return Step(
        "test_events",
        f"""
insert into method_notes
select n || case when n = 1 then ' test event takes' else ' test events take' end
       || ' no part'
from (select count(*) as n from events where test and {sides} and not ({keys.live_sql(rec)}))
where n > 0""",
        "test events never stand beside live ones",
    )


def steps(rec: Reconciliation, *, shown: bool = True, refunded: bool = False) -> tuple[Step, ...]:
    """The statements of `build`, printable.

    `shown` is whether any event tells a presented amount, `refunded` whether one tells what was
    refunded of it; else these columns need no room.
    """
    columns = COLUMNS.removeprefix("eid, ") + (", k0, t0" if rec.keys else "")
    rows = rows_sql(rec, further=("", ", refunded_amount as refunded") if refunded else ("", ""))
    told = f"{columns}, {'refunded' if refunded else 'null::bigint as refunded'}"
    if not shown:
        untold = {"shown": "bigint", "shown_currency": "varchar"}
        rows = f"select * exclude ({', '.join(untold)}) from ({rows})"
        told = ", ".join(
            f"null::{untold[name]} as {name}" if name in untold else name
            for name in told.split(", ")
        )
    return (
        Step(
            "pool",
            f"create or replace table pool_rows as {rows}",
            "every event of the two sides and what hangs on them, narrow",
        ),
        Step(
            "pool_ids",
            f"create or replace view pool as select rowid as eid, {told} from pool_rows",
            "integer ids keep every later join small",
        ),
    )


def rows_sql(
    rec: Reconciliation, events: str = "events", further: tuple[str, str] = ("", "")
) -> str:
    """Query of the pool's rows, without `eid`.

    Args:
        rec: whose pool.
        events: the view that they are read from.
        further: more columns, each with its comma before it: of the events, and of these.
    """
    left, right = keys.side_filter(rec.left), keys.side_filter(rec.right)
    hangs = "false"
    if rec.attach:
        hangs = (
            f"({keys.attached_filter(rec.left, rec.attach)}"
            f" or {keys.attached_filter(rec.right, rec.attach)})"
        )
    return f"""
select {row_sql(rec)}{further[1]}
from ({told_sql(rec, events, further[0])}
        where ({left} or {right} or {hangs}) and {keys.live_sql(rec)})"""


def told_sql(rec: Reconciliation, events: str = "events", further: str = "") -> str:
    """Query of a view of events: its columns, `side` and `t0` as in the pool, and further ones."""
    left, right = keys.side_filter(rec.left), keys.side_filter(rec.right)
    text = "".join(f", {keys.key_text(name)} as t0" for name in rec.keys[:1])
    return f"""
        select *, case when {left} then {LEFT} when {right} then {RIGHT}
                  else {ATTACHED} end::utinyint as side{text}{further}
        from {events}"""


def row_sql(rec: Reconciliation) -> str:
    """The columns of the pool but for `eid`, as a select list over `told_sql`."""
    home = f"(source in ({keys.texts(rec.right.sources)}))::utinyint"
    if set(rec.left.sources) & set(rec.right.sources):
        home = f"case when side < {ATTACHED} then side else {home} end"
    first = f", {keys.key_hash('t0')} as k0, t0" if rec.keys else ""
    shown = [
        _by_side(
            {
                LEFT: column if keys.presents(rec.measure, "left") else "null",
                RIGHT: column if keys.presents(rec.measure, "right") else "null",
                ATTACHED: column,
            }
        )
        + f" as {alias}"
        for column, alias in (
            ("presentment_amount", "shown"), ("presentment_currency", "shown_currency"),
        )
    ]  # fmt: skip
    measured = _by_side(
        {
            LEFT: keys.measure_sql(rec.measure, "left"),
            RIGHT: keys.measure_sql(rec.measure, "right"),
            ATTACHED: "amount",
        }
    )
    return f"""event_key, side,
       {home} as home, {measured} as amount, currency, {", ".join(shown)},
       event_ts as ts, coalesce(status in ({keys.texts(DEAD_STATUSES)}), false) as dead{first}"""


def _by_side(told: dict[int, str]) -> str:
    """An expression by side; the column itself where all sides tell it alike."""
    if len(set(told.values())) == 1:
        return told[LEFT]
    arms = " ".join(f"when {side} then {column}" for side, column in told.items())
    return f"case side {arms} end"


def _sides_differ(rec: Reconciliation) -> None:
    sources = sorted(set(rec.left.sources) & set(rec.right.sources))
    types = sorted(set(rec.left.types) & set(rec.right.types))
    if sources and types and not rec.left.where and not rec.right.where:
        raise MatchingError(
            f"reconciliation {rec.name!r}: {types[0]!r} of {sources[0]!r} stands on the left and "
            "on the right, so every event would be its own counterpart; take it off one side or "
            "tell the sides apart with `where`"
        )
