"""Tell what is new from what was told before: one verdict per sealed row, by anti-join.

| fate | meaning | counted as |
| --- | --- | --- |
| new | its event was never told | accepted |
| restated | its event was told with other content; the newest is read | accepted, or conflict |
| duplicate | exactly this was told before, in this file or an earlier one | duplicate |
| possible_duplicate | the same, of a derived id on a day told perhaps in part | duplicate |

A derived id names its row's content, so the same line in two files may be one movement told twice
or two equal ones. Within a file equal lines are counted apart; on a day that both files tell in
full the repeat is the same movement; on the first or last day of either it may be another one.
A restated row is in conflict where a field changed that its feed does not declare as mutable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.seal import parquet_list
from recon_kit.safe import quote_text


def judge(
    engine: Engine, told_before: Sequence[Path], bounds: pl.DataFrame, artefact_sha256: str
) -> None:
    """Make table `verdicts` (n, fate, restated, conflict, records) for the rows of `sealed`.

    Args:
        engine: an engine that holds `sealed` and may read `told_before`.
        told_before: committed segments of events of the same source.
        bounds: first and last day (UTC) of this source's artefacts, this one's included.
        artefact_sha256: the file being judged.
    """
    engine.put("bounds", bounds)
    engine.run(
        Step(
            "ids",
            "create temp table ids as select rowid as n, event_key, payload_hash, fixed_hash, "
            "record_row, records, derived_id, business_key, "
            "cast(make_timestamp(epoch_us(event_ts)) as date) as day from sealed",
            "the narrow part of each row that decides its fate",
        ),
        _known(told_before),
        Step(
            "repeats",
            """
            create temp table repeats as
            select n from (
                select n, row_number() over (
                    partition by payload_hash order by record_row, records desc, n) as turn
                from ids where payload_hash in (
                    select payload_hash from ids group by payload_hash having count(*) > 1))
            where turn > 1""",
            "rows that say again what an earlier row of this file says",
        ),
        Step(
            "changes",
            """
            create temp table changes as
            with once as (from ids anti join repeats using (n)),
            several as (select event_key from once group by event_key having count(*) > 1)
            select n, min(fixed_hash) over one_event <> max(fixed_hash) over one_event as differs,
                row_number() over (
                    partition by event_key order by record_row, payload_hash) > 1 as later
            from once where event_key in (from several)
            window one_event as (partition by event_key)""",
            "events that this file tells with several contents",
        ),
        Step("verdicts", _verdicts(artefact_sha256), "the fate of every row"),
    )


def _known(told_before: Sequence[Path]) -> Step:
    columns = "event_key, payload_hash, fixed_hash, artefact_sha256"
    if told_before:
        body = (
            f"select {columns} from {parquet_list(told_before)} "
            "where event_key in (select event_key from ids)"
        )
    else:
        empty = ", ".join(f"cast(null as varchar) as {c}" for c in columns.split(", "))
        body = f"select {empty} where false"
    return Step("known", f"create temp table known as {body}", "earlier tellings of these events")


def _verdicts(artefact_sha256: str) -> str:
    own = quote_text(artefact_sha256)
    return f"""
        create temp table verdicts as
        with known_keys as (
            select event_key, min(fixed_hash) as low, max(fixed_hash) as high
            from known group by event_key
        ),
        own as (from bounds where artefact_sha256 = {own}),
        judged as (
            select i.n, i.records, i.fixed_hash, k.low, k.high,
                coalesce(c.later, false) as later, coalesce(c.differs, false) as differs,
                case
                    when i.n in (from repeats) then 'duplicate'
                    when p.payload_hash is null and k.event_key is null
                        and not coalesce(c.later, false) then 'new'
                    when p.payload_hash is null then 'restated'
                    when i.derived_id and p.artefact_sha256 <> {own} and coalesce(
                        i.day in (b.first_day, b.last_day)
                        or i.day in (select unnest([first_day, last_day]) from own), false)
                        then 'possible_duplicate'
                    else 'duplicate'
                end as fate
            from ids i
            left join known p on p.payload_hash = i.payload_hash
            left join bounds b on b.artefact_sha256 = p.artefact_sha256
            left join known_keys k on k.event_key = i.event_key
            left join changes c on c.n = i.n
        )
        select n, records, fate, fate = 'restated' as restated,
            fate = 'restated' and (
                coalesce(low <> fixed_hash or high <> fixed_hash, false) or (later and differs)
            ) as conflict
        from judged"""


def contested(engine: Engine, named: Sequence[Path]) -> int:
    """How many accepted rows bear a business key that another event bears as well.

    Args:
        engine: an engine that holds `ids` and `verdicts` and may read `named`.
        named: committed segments of events, of any source, that hold business keys.
    """
    before = (
        f"union all select business_key, event_key from {parquet_list(named)} "
        "where business_key in (select business_key from fresh)"
        if named
        else ""
    )
    number = engine.one(f"""
        with fresh as (
            select i.business_key, i.event_key from ids i join verdicts v using (n)
            where v.fate in ('new', 'restated') and i.business_key is not null
        ),
        borne as (select business_key, event_key from fresh {before}),
        several as (
            select business_key from borne group by business_key
            having count(distinct event_key) > 1
        )
        select count(*) from fresh where business_key in (from several)""")[0]
    assert isinstance(number, int)  # noqa: S101 - count(*) is an integer
    return number


def bounds_of(artefacts: pl.DataFrame) -> pl.DataFrame:
    """First and last day (UTC) of each artefact, from rows (sha256, covers_from, covers_to)."""
    return artefacts.group_by(pl.col("sha256").alias("artefact_sha256")).agg(
        pl.col("covers_from").min().dt.date().alias("first_day"),
        pl.col("covers_to").max().dt.date().alias("last_day"),
    )
