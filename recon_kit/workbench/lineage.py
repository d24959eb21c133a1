"""From one event, match, open item or case to the file, row and column it came from, and onwards.

A name leads to events: an event key, any id that names one, or the id that a report, an export or a
screen shows beside a match, a proposal, an open item or a case. What an id meant in an earlier run
is found there as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from recon_kit.errors import WorkspaceError
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.store import Store
from recon_kit.present.traces import TraceView
from recon_kit.workbench import naming, queries, readfrom, reportlines
from recon_kit.workbench.reportlines import Place

_ID = re.compile(r"^[0-9a-f]{6,32}$")
_NAMED_MAX = 5
_KEYS = {"event_key": pl.String}

# Every id that a screen, report or export shows; of one id in two places the first counts.
_BY_ID = """
    select * from (
        select 1 as place, 'match' as kind, match_id as id, reconciliation, match_id,
            null as event_key
        from matches where starts_with(match_id, $1)
        union all
        select 2, 'proposal', match_id, reconciliation, match_id, null
        from proposals where starts_with(match_id, $1)
        union all
        select 3, 'open item', item_id, reconciliation, match_id, event_key
        from open_items where starts_with(item_id, $1)
        union all
        select 4, 'case', case_id, reconciliation, null, anchor_key
        from findings_told where starts_with(case_id, $1)
        union all
        select 5, 'event', event_key, null, null, event_key
        from event_versions where starts_with(event_key, $1)
    )
    qualify row_number() over (partition by id order by place, match_id, event_key) = 1
    order by place, id limit 6
"""
_MEMBERS = """
    select event_key from match_members where match_id = $1
    union
    select unnest([left_key, right_key]) from proposals where match_id = $1
    order by 1
"""
_TELLINGS = """
    with placed as (
        select v.event_key, v.source, v.artefact_sha256, v.record_row, v.records, v.recorded_seq,
            v.parser_version, v.version_order,
            case when c.event_key is null and v.conflict then 'conflict, not read'
                 when c.event_key is null then 'read until it was told anew'
                 when d.kept_key is not null and e.event_key is null
                      then 'not read: ' || left(d.kept_key, 12) || ' tells the same movement'
                 else 'read' end as state
        from (from event_versions where event_key in {asked}) v
        left join (from current_events where event_key in {asked}) c
            using (event_key, payload_hash, artefact_sha256, record_row)
        left join (select event_key from events where event_key in {asked}) e using (event_key)
        left join (select event_key, min(kept_key) as kept_key from duplicates
                   where event_key in {asked} group by 1) d using (event_key)
        union all
        select r.event_key, a.source, r.artefact_sha256, r.record_row, r.records, a.seq, null,
            r.version_order, replace(r.why, '_', ' ') || ', nothing added'
        from (from retold where event_key in {asked}) r
        left join (select sha256, min(source) as source, min(seq) as seq
                   from artefacts group by 1) a on a.sha256 = r.artefact_sha256
    )
    select n.event_type, coalesce(n.native_id, n.order_id, n.transaction_id, left(p.event_key, 8))
            as native_id, f.name as file, p.record_row, p.state, p.source, f.received_at,
        p.recorded_seq, p.parser_version, p.artefact_sha256, p.records, p.event_key
    from placed p
    left join (select event_key, any_value(event_type) as event_type, min(native_id) as native_id,
                   min(order_id) as order_id, min(transaction_id) as transaction_id
               from event_versions where event_key in {asked} group by 1) n using (event_key)
    left join (select sha256, source, max_by(name, seq) as name, min(received_at) as received_at
               from artefacts group by all) f
        on f.sha256 = p.artefact_sha256 and f.source = p.source
    order by p.event_key, p.version_order, p.recorded_seq, p.artefact_sha256, p.record_row, p.state
"""
_STANDING = """
    select reconciliation, what, id, state, detail from (
        select m.reconciliation, 1 as place, 'match' as what, m.match_id as id,
            m.method || ', ' || m.disposition as state,
            concat_ws(', ', 'as ' || string_agg(distinct mm.role, ' and ' order by mm.role),
                'by ' || string_agg(distinct mm.key_used, ' and ' order by mm.key_used),
                'confidence ' || m.confidence::decimal(6, 4), 'rule ' || left(m.rule_id, 10),
                'model ' || left(m.model_hash, 10), 'certificate ' || left(m.certificate_id, 10))
                as detail
        from (from matches where match_id in {matches}) m
        join (from match_members where event_key in {asked}) mm using (match_id, run_id)
        group by m.run_id, m.reconciliation, m.match_id, m.method, m.disposition, m.confidence,
            m.rule_id, m.model_hash, m.certificate_id
        union all
        select reconciliation, 2, 'proposal', match_id, method || ', review',
            concat_ws(', ', 'confidence ' || max(confidence)::decimal(6, 4),
                min(replace(why_code, '_', ' ')))
        from proposals where left_key in {asked} or right_key in {asked}
        group by run_id, reconciliation, match_id, method
        union all
        select o.reconciliation, 3, 'open item', o.item_id, replace(o.state, '_', ' '), o.why
        from open_items o
        where o.event_key in {asked} or (o.match_id in {matches} and exists (
            from asked_matches a where a.match_id = o.match_id and a.run_id = o.run_id))
        union all
        select reconciliation, 4, 'case', case_id, kind,
            concat_ws(', ', 'owner ' || coalesce(owner, 'nobody yet'), suggested_action)
        from findings f
        where anchor_key in {asked}
           or exists (from asked_events a where contains(f.subjects, a.event_key))
           or exists (from asked_matches join (
                          from match_members where match_id in {matches} and role = 'principal') p
                      using (match_id, run_id)
                      where p.event_key = f.anchor_key and p.run_id = f.run_id)
        union all
        select reconciliation, 5, 'decision', seq::varchar, verdict,
            concat_ws(', ', 'by ' || reviewer, reason_code)
        from decisions where left_key in {asked} or right_key in {asked}
    ) order by reconciliation, place, id
"""


@dataclass(frozen=True)
class Meant:
    """What a name leads to: events, and how it was called where it was shown."""

    kind: str
    id: str
    event_keys: tuple[str, ...]
    reconciliation: str | None = None
    run_id: str | None = None  # of an earlier run, where no current one knows the id


def meant(engine: Engine, name: str) -> Meant | None:
    """The event or result that a name means in the runs an engine shows; none where none.

    Args:
        engine: of a snapshot, with the run tables of some runs.
        name: an event key or the id of a match, proposal, open item or case (six characters or
            more of it), or any id by which files call one event.

    Raises:
        WorkspaceError: the name fits several.
    """
    return by_id(engine, name) or _by_name(engine, name)


def by_id(engine: Engine, name: str) -> Meant | None:
    """What an id of the product's own means; see `meant`."""
    if not _ID.match(name):
        return None
    found = engine.rows(_BY_ID, [name]).to_dicts()
    if len(found) > 1:
        listed = ", ".join(f"{f['kind']} {f['id'][:16]}" for f in found[:_NAMED_MAX])
        raise WorkspaceError(f"{name} begins several ids: {listed}; write more of the one you mean")
    if not found:
        return None
    one = found[0]
    keys = (one["event_key"],)
    if one["event_key"] is None:
        keys = tuple(engine.rows(_MEMBERS, [one["match_id"]])["event_key"].drop_nulls())
    return Meant(one["kind"], one["id"], keys, one["reconciliation"])


def _by_name(engine: Engine, name: str) -> Meant | None:
    chosen = naming.likeliest(naming.named(engine, name))
    if chosen.height > 1:
        how = "are called" if chosen["place"][0] <= naming.CALLED else "carry"
        raise WorkspaceError(
            f"{chosen.height} events {how} {name!r}; name one by its event key "
            f"({naming.listed(chosen)})"
        )
    if chosen.is_empty():
        return None
    key = str(chosen["event_key"][0])
    return Meant("event", key, (key,))


def in_earlier_runs(
    store: Store, current: Sequence[str], name: str, progress: Callable[[str], None]
) -> Meant | None:
    """What an id meant in the newest of the earlier runs that knows it; none where none does."""
    if not _ID.match(name):
        return None
    runs = store.runs().filter(~pl.col("run_id").is_in(list(current))).sort("seq", descending=True)
    for run_id, rec, at in runs.select("run_id", "reconciliation", "as_of_time").iter_rows():
        progress(f"looking for {name} in the run of {rec} as of {at:%Y-%m-%d %H:%M}")
        with store.snapshot().engine(runs=[run_id]) as engine:
            found = by_id(engine, name)
        if found is not None:
            return Meant(found.kind, found.id, found.event_keys, found.reconciliation, run_id)
    return None


def view(engine: Engine, store: Store, place: Place, found: Meant) -> TraceView:
    """Everything that leads to and from what was asked for.

    Args:
        engine: shows the current runs.
        store: holds the received files.
        place: settings, runs and reports of the workspace.
        found: what was asked for.
    """
    told = tellings(engine, found.event_keys)
    stands = standing(engine, found.event_keys)
    read = told.filter(pl.col("state") == "read")
    one = read if read.height else told.tail(1)
    fields, note = pl.DataFrame(), None
    if len(found.event_keys) == 1 and one.height:
        fields, note = readfrom.columns_of(store, place.settings, one.row(0, named=True))
    lines: tuple[str, ...] = ()
    if place.about.runs:
        lines = reportlines.lines(engine, place, found.event_keys, stands)
    name = str(told["native_id"][0]) if told.height else found.id[:10]
    label = name if found.kind == "event" else f"{found.kind} {found.id[:10]}"
    notes = (note,) if note else ()
    return TraceView(
        label, _answer(found, told, stands), place.about, told, fields, stands, lines, notes
    )


def _answer(found: Meant, told: pl.DataFrame, stands: pl.DataFrame) -> str:
    """What it is, where its events are read from, and what became of an earlier run's result."""
    read = told.filter(pl.col("state") == "read")
    if found.kind == "event":
        what = ""
    else:
        number = len(found.event_keys)
        what = f"{found.kind} of {found.reconciliation}, {number} event{'s' * (number != 1)}: "
        gone = found.id not in stands["id"].to_list()
        if found.run_id is not None or gone:
            run = f" (run {found.run_id[:10]})" if found.run_id else ""
            what = f"{found.kind} of an earlier run{run} of {found.reconciliation}; where its "
            what += f"event{'s' * (number != 1)} stand{'s' * (number == 1)} now is below: "
    rows = [
        f"{r['event_type']} {r['native_id']} is read from {r['file']}, row {r['record_row']}"
        for r in read.head(_NAMED_MAX).to_dicts()
    ]
    more = f", and {read.height - _NAMED_MAX:,} more" if read.height > _NAMED_MAX else ""
    return what + ("; ".join(rows) + more if rows else "no telling of it is read today") + "."


def tellings(engine: Engine, keys: Sequence[str]) -> pl.DataFrame:
    """Every row of every file that told these events: where it stands and whether it is read.

    Returns:
        event_type, native_id, file, record_row, state, source, received_at, recorded_seq,
        parser_version, artefact_sha256, records, event_key; the telling that is read has the
        state `read`.
    """
    return engine.rows(_TELLINGS.format(asked=engine.among("asked_keys", keys)))


def standing(engine: Engine, keys: Sequence[str]) -> pl.DataFrame:
    """Where events stand: `reconciliation, what, id, state, detail`, a row per result."""
    engine.put("asked_events", pl.DataFrame({"event_key": list(keys)}, schema=_KEYS))
    asked = engine.among("asked_keys", keys)
    matches = queries.matches_of(engine, keys)
    engine.put("asked_matches", matches)
    listed = engine.among("asked_ids", matches["match_id"])
    return engine.rows(_STANDING.format(asked=asked, matches=listed))
