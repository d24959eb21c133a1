"""Where did it go: every physical record of one file to its end state, with counts that tie.

| state | meaning |
| --- | --- |
| accepted | told an event for the first time |
| accepted before | an earlier reading of this very file told it; nothing is added |
| repaired | was quarantined by an earlier reading of this file, and now told its event |
| restated | told a known event anew; the newest telling is read |
| conflict | told a known event anew where its feed says that nothing may change |
| derived | an event that the feed made from other rows; it accounts for no record |
| duplicate | said again what was known, in this file or an earlier one |
| possible duplicate | the same, of a row without an id on a day told perhaps in part |
| quarantined | could not be read or could not become an event |
| blank | an empty line |
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.errors import CountsDoNotTieError
from recon_kit.ledger.engine import Engine

# How the end states stand in the six counts of a batch.
_COUNTED_AS = {
    "accepted": "accepted", "repaired": "accepted", "restated": "accepted",
    "accepted before": "duplicate", "derived": "accepted", "conflict": "conflict",
    "duplicate": "duplicate", "possible duplicate": "duplicate", "quarantined": "quarantined",
    "blank": "blank",
}  # fmt: skip

_RECORDS = """
    with set_aside as (
        select source, artefact_sha256, record_row, min(code) as code
        from quarantine
        where artefact_sha256 in (select artefact_sha256 from batch_events)
        group by all
    ),
    told as (
        select e.record_row, e.records, e.artefact_sha256,
            case when e.records = 0 then 'derived' when e.conflict then 'conflict'
                 when a.code is not null then 'repaired'
                 when e.restated then 'restated' else 'accepted' end as state,
            e.event_key, null::varchar as code,
            'quarantined before as ' || a.code as said
        from batch_events e left join set_aside a using (source, artefact_sha256, record_row)
        union all
        select record_row, records, artefact_sha256,
            case why when 'possible_duplicate' then 'possible duplicate' else 'duplicate' end,
            event_key, null, null
        from batch_retold
        union all
        select record_row, records, artefact_sha256, 'quarantined', null, code,
            concat_ws(': ', "column", message)
        from batch_quarantine
    ),
    first_told as (
        select event_key, event_type, coalesce(native_id, transaction_id, order_id) as native_id,
            amount, currency, artefact_sha256 as first_file, record_row as first_row
        from event_versions where event_key in (select event_key from told)
        qualify row_number() over (
            partition by event_key order by recorded_seq, record_row, payload_hash) = 1
    ),
    placed as (
        select t.* exclude (state), f.* exclude (event_key),
            case when t.state = 'duplicate' and f.first_file = t.artefact_sha256
                      and f.first_row = t.record_row then 'accepted before'
                 else t.state end as state
        from told t left join first_told f using (event_key)
    ),
    named as (
        select sha256, max_by(name, seq) as file from artefacts group by sha256
    )
    select t.record_row, t.records, t.state, t.event_type, t.native_id, t.amount as amount_minor,
        t.currency, t.code,
        case when t.said is not null then t.said
             when t.state like '%duplicate' then 'said first in ' || n.file || ', row '
                 || t.first_row
             when t.state = 'accepted before' then 'told by an earlier reading of this file'
             when t.state in ('restated', 'conflict') then 'told first in ' || n.file || ', row '
                 || t.first_row
        end as note,
        t.event_key
    from placed t left join named n on n.sha256 = t.first_file
    order by t.record_row, t.state, t.event_key, t.code, note
"""


@dataclass(frozen=True, slots=True)
class Traced:
    """The end states of one file.

    `records` has a row per told event or problem (`record_row` is the 1-based data row on which
    it starts, `records` how many physical records it accounts for): record_row, records, state,
    event_type, native_id, amount_minor, currency, code, note, event_key. `totals` has a row per
    state and currency: state, currency, records, tellings, amount_minor.
    """

    records: pl.DataFrame
    totals: pl.DataFrame


def trace(engine: Engine, counts: dict[str, int]) -> Traced:
    """Account for every record of a batch.

    Args:
        engine: of a snapshot, with the views of the batch.
        counts: the batch's six counts (`model.Counts`) as they were committed.

    Raises:
        CountsDoNotTieError: what the ledger holds of the batch does not add up to them.
    """
    records = engine.rows(_RECORDS)
    totals = records.group_by("state", "currency").agg(
        pl.col("records").sum(),
        pl.len().cast(pl.Int64).alias("tellings"),
        pl.col("amount_minor").cast(pl.Int128).sum().cast(pl.Int64).alias("amount_minor"),
    )
    blank = pl.DataFrame(
        {"state": ["blank"], "records": [counts["blank"]], "tellings": [counts["blank"]]}
    ).filter(pl.col("records") > 0)
    totals = pl.concat([totals, blank], how="diagonal_relaxed").sort(
        "state", "currency", nulls_last=True
    )
    _tie(totals, counts)
    return Traced(records, totals)


def _tie(totals: pl.DataFrame, counts: dict[str, int]) -> None:
    found = dict.fromkeys(_COUNTED_AS.values(), 0)
    for state, records in totals.select("state", "records").iter_rows():
        found[_COUNTED_AS[state]] += records
    wrong = [
        f"{name} {found[name]:,} instead of {counts[name]:,}"
        for name in found
        if found[name] != counts[name]
    ]
    if wrong:
        raise CountsDoNotTieError(
            f"the ledger's rows of this file do not add up to its receipt: {', '.join(wrong)}; "
            "run `recon verify --segments`"
        )
