"""Exports: matches, open items and cases of current runs as CSV or parquet.

One query writes each, however many rows there are. A CSV is made for spreadsheets: what would be
read as a formula is neutralised, times are ISO 8601 in UTC, amounts are decimal text. Parquet holds
the same columns unchanged. The file appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from recon_kit import money, workdays
from recon_kit.errors import ReportError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.present.lists import FileView
from recon_kit.safe import neutralise, quote_text

What = Literal["matches", "open-items", "cases"]

# Relations by types and roles; the first that holds is the one. `l` and `r` are the two events,
# `several` says whether their match joins more than two counted events.
_SOLD = "('order', 'invoice', 'booking', 'payment', 'shipment')"
RELATIONS: Sequence[tuple[str, str]] = (
    ("duplicate_of", "'duplicate' in (left_role, right_role)"),
    ("charges_back", f"'chargeback' in (l, r) and (l in {_SOLD} or r in {_SOLD})"),
    ("refunds", f"'refund' in (l, r) and (l in {_SOLD} or r in {_SOLD})"),
    ("deposits", "'payout' in (l, r) and 'bank_line' in (l, r)"),
    ("member_of", "'payout' in (l, r) and l <> r"),
    ("batch_of", "'bank_line' in (l, r) and l <> r and several"),
    ("conversion_of", "'conversion' in (l, r) and l <> r"),
    ("pays", "('payment' in (l, r) or 'bank_line' in (l, r)) and (l in $owed or r in $owed)"),
)


def export(
    engine: Engine, what: What, out: Path, reconciliation: str | None = None, zone: str = "UTC"
) -> FileView:
    """Write one kind of result of the runs that an engine shows.

    Args:
        engine: a snapshot's engine with views `events`, `artefacts` and the run tables (each with
            `run_id`) of the runs to export.
        what: `matches` (a row per linked pair, proposals included), `open-items` or `cases`.
        out: file to write; its ending, `.csv` or `.parquet`, chooses the format.
        reconciliation: only rows of this one; all that the engine shows where not given.
        zone: in which `event_day` of open items is the day of a time; a day told alone stays.

    Raises:
        ReportError: the ending is neither, or the folder cannot be written.
    """
    _named_well(out)
    places = money.currency_exponents()
    engine.put("export_places", pl.DataFrame({"currency": list(places), "places": places.values()}))
    engine.run(*_named_steps(zone), *(_pair_steps() if what == "matches" else ()))
    query = {"matches": _MATCHES, "open-items": _OPEN_ITEMS, "cases": _CASES}[what]
    if reconciliation is not None:
        query = f"select * from ({query}) where reconciliation = {quote_text(reconciliation)}"
    table = "export_" + what.replace("-", "_")
    engine.run(Step(table, f"create or replace table {table} as {query}", "the rows to write"))
    order = {"matches": _MATCHES_ORDER, "open-items": "item_id", "cases": "case_id"}[what]
    rows = engine.count(table)
    written = engine.write(f"from {table} order by reconciliation, {order}, run_id", table)
    _publish(written, out)
    return FileView(out, what, rows)


def write(frame: pl.DataFrame, what: str, out: Path) -> FileView:
    """Write a frame as it is, or safe for spreadsheets where the name ends in `.csv`.

    Raises:
        ReportError: the ending is neither `.csv` nor `.parquet`, or it cannot be written.
    """
    _named_well(out)
    with tempfile.TemporaryDirectory() as place:
        written = Path(place) / "frame.parquet"
        frame.write_parquet(written)
        _publish(written, out)
    return FileView(out, what, frame.height)


def _named_well(out: Path) -> None:
    if out.suffix not in {".csv", ".parquet"}:
        raise ReportError(f"{out.name}: an export is written as .csv or .parquet; change the name")


def _publish(written: Path, out: Path) -> None:
    """Bring a parquet file to its place, as it is or as CSV, by rename."""
    try:
        _placed(written, out)
    except OSError as why:
        # an error of a library may come without the system's word for it
        told = why.strerror or why
        raise ReportError(f"{out}: cannot be written ({told}); nothing changed") from None


def _placed(written: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".export-", dir=out.parent))
    try:
        draft = place / out.name
        if out.suffix == ".parquet":
            shutil.copyfile(written, draft)
        else:
            safe = pl.scan_parquet(written).with_columns(neutralise(pl.col(pl.String)))
            safe.sink_csv(draft, datetime_format="%Y-%m-%dT%H:%M:%SZ", float_precision=6)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(out)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def relation_sql() -> str:
    """The relation of a pair as one SQL expression over `l, r, left_role, right_role, several`."""
    owed = "('order', 'invoice', 'booking')"
    cases = " ".join(
        f"when {condition.replace('$owed', owed)} then {quote_text(name)}"
        for name, condition in RELATIONS
    )
    return f"case {cases} else 'counterpart_of' end"


def _decimal(minor: str, places: str) -> str:
    """Minor units as decimal text; the arithmetic is on integers."""
    whole, unit = f"abs({minor}::hugeint)", f"(10::hugeint ** {places})::hugeint"
    return (
        f"case when {places} = 0 then {minor}::varchar else "
        f"case when {minor} < 0 then '-' else '' end || ({whole} // {unit})::varchar || '.' || "
        f"lpad(({whole} % {unit})::varchar, {places}::integer, '0') end"
    )


def _named_steps(zone: str) -> Sequence[Step]:
    day = (
        f"case when e.ts_precision = 'date' then {workdays.told_day_sql('e.event_ts')} "
        f"else {workdays.local_day_sql('e.event_ts', zone)} end"
    )
    return (
        Step(
            "export_files",
            """
            create or replace table export_files as
            select sha256, source, min(name) as name from artefacts group by sha256, source
            """,
            "one name for each file of a source",
        ),
        Step(
            "export_named",
            f"""
            create or replace view export_named as
            select e.event_key, e.source, e.event_type, e.native_id, e.record_row, e.event_ts,
              {day} as event_day,
              e.amount, e.currency, e.presentment_amount, e.presentment_currency,
              coalesce(f.name, e.artefact_sha256) as artefact
            from events e
            left join export_files f on f.sha256 = e.artefact_sha256 and f.source = e.source
            """,
            "events with what people and other systems call them",
        ),
    )


def _pair_steps() -> Sequence[Step]:
    """Table `export_pairs`: who is linked with whom, from members and from proposals."""
    return (
        Step(
            "export_pairs",
            """
            create or replace table export_pairs as
            with sized as (
              select match_id, run_id, count(*) > 2 as several from match_members
              where counts group by match_id, run_id
            ),
            linked as (
              select l.match_id, l.run_id, l.event_key as left_event_key, l.role as left_role,
                r.event_key as right_event_key, r.role as right_role,
                l.allocated_minor as left_minor, r.allocated_minor as right_minor
              from match_members l join match_members r
                on r.match_id = l.match_id and r.run_id = l.run_id
                and l.side = 'left' and r.side = 'right'
              -- what hangs on a match is linked with what counts on the other side
              where l.counts or r.counts
            )
            select k.*, m.reconciliation, m.method, m.disposition, m.confidence, m.margin,
              m.currency, m.discrepancies as discrepancy, coalesce(s.several, false) as several
            from linked k join matches m using (match_id, run_id)
            left join sized s using (match_id, run_id)
            union all by name
            select match_id, run_id, left_key as left_event_key,
              case when parts > 1 then 'part' else 'principal' end as left_role,
              right_key as right_event_key,
              case when parts > 1 then 'principal' else 'part' end as right_role,
              left_amount as left_minor, right_amount as right_minor, reconciliation, method,
              'review' as disposition, confidence, margin, currency, why_code as discrepancy,
              false as several
            from (
              select *, count(*) over (partition by run_id, match_id, right_key) as parts
              from proposals
            )
            where left_key is not null and right_key is not null
            """,
            "a row per linked pair; proposals are pairs that wait for a person",
        ),
    )


# The currency both sides share; where one side tells no money, that of the other.
_CURRENCY = """coalesce(p.currency, case
    when coalesce(le.amount, le.presentment_amount) is null then re.currency
    when coalesce(re.amount, re.presentment_amount) is null then le.currency end)"""


def _own(side: str) -> str:
    """What an event is worth in the shared currency, for members without an allocation."""
    event = f"{side[0]}e"
    return (
        f"coalesce({side}_minor, case when {event}.currency = {_CURRENCY} then {event}.amount "
        f"when {event}.presentment_currency = {_CURRENCY} then {event}.presentment_amount end)"
    )


_MATCHES_ORDER = "match_id, left_event_key, right_event_key, disposition, method"
_MATCHES = f"""
    select reconciliation, match_id, {relation_sql()} as relation, method, disposition, confidence,
      margin, left_source, left_artefact, left_native_id, left_row, left_event_key, left_role,
      right_source, right_artefact, right_native_id, right_row, right_event_key, right_role,
      {_decimal("left_value", "places")} as left_amount,
      {_decimal("right_value", "places")} as right_amount, currency, days_apart, discrepancy, run_id
    from (
      select p.* exclude (currency), {_CURRENCY} as currency, x.places,
        le.event_type as l, re.event_type as r,
        le.source as left_source, le.artefact as left_artefact, le.native_id as left_native_id,
        le.record_row as left_row, re.source as right_source, re.artefact as right_artefact,
        re.native_id as right_native_id, re.record_row as right_row,
        {_own("left")} as left_value, {_own("right")} as right_value,
        round((epoch_us(re.event_ts) - epoch_us(le.event_ts)) / 86400000000, 4) as days_apart
      from export_pairs p
      left join export_named le on le.event_key = p.left_event_key
      left join export_named re on re.event_key = p.right_event_key
      left join export_places x on x.currency = {_CURRENCY}
    )
"""

_OPEN_ITEMS = f"""
    with told as (
      select o.*, coalesce(o.event_key, p.event_key) as shown_key
      from open_items o
      left join (
        select match_id, run_id, arg_min(event_key, (role <> 'principal', event_key)) as event_key
        from match_members where side = 'left' group by match_id, run_id
      ) p on p.match_id = o.match_id and p.run_id = o.run_id and o.event_key is null
    )
    select t.reconciliation, t.item_id, t.side, t.state, e.source, e.artefact, e.native_id,
      e.record_row as row, e.event_type, t.shown_key as event_key, t.match_id,
      {_decimal("t.amount_minor", "x.places")} as amount, t.currency, e.event_day, e.event_ts,
      t.expected_by,
      t.why_code, t.why, n.source as nearest_source, n.native_id as nearest_native_id,
      t.nearest_key as nearest_event_key, t.run_id
    from told t
    left join export_named e on e.event_key = t.shown_key
    left join export_named n on n.event_key = t.nearest_key
    left join export_places x on x.currency = t.currency
"""

_CASES = f"""
    select f.reconciliation, f.case_id, f.opening, f.kind, f.class, f.severity, f.priority,
      f.owner, e.source, e.artefact, e.native_id, e.record_row as row,
      f.anchor_key as event_key, {_decimal("f.amount_minor", "x.places")} as amount, f.currency,
      f.opened_at, f.suggested_action, f.diffs, f.subjects, f.run_id
    from findings f
    left join export_named e on e.event_key = f.anchor_key
    left join export_places x on x.currency = f.currency
"""
