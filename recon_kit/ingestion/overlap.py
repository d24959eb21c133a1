"""What the ingested sources hold, and how far the keys of every two of them overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import KEY_FIELDS

_NOT_PROFILED = {"raw_keys", "external_ids"}


@dataclass(frozen=True, slots=True)
class SourcesProfile:
    """What all sources hold.

    Attributes:
        types: source, event_type, currency, events, amount_minor (sum), first, last, days.
        nulls: source, event_type, field, events, nulls, null_share.
        duplicates: source, event_type, repeats (events that repeat another one's time, amount,
            currency and order id), groups.
        overlaps: one row per source, field and other source, field that share keys; see
            `key_overlap`.
    """

    types: pl.DataFrame
    nulls: pl.DataFrame
    duplicates: pl.DataFrame
    overlaps: pl.DataFrame


def profile_sources(engine: Engine, fields: Sequence[str] = KEY_FIELDS) -> SourcesProfile:
    """Profile the events of a snapshot.

    Args:
        engine: a snapshot's engine, with the view `events`.
        fields: key fields whose overlap is measured; ids in `raw_keys` and `external_ids` are
            always included.
    """
    types = engine.rows("""
        select source, event_type, currency, count(*) as events, sum(amount)::varchar as total,
               min(event_ts) as first, max(event_ts) as last,
               count(distinct event_ts::date) as days
        from events group by source, event_type, currency
        order by source, event_type, currency nulls last""")
    return SourcesProfile(
        types=types.with_columns(
            pl.col("total").cast(pl.Int128).alias("amount_minor")
        ).drop("total"),
        nulls=_nulls(engine),
        duplicates=engine.rows("""
            select source, event_type, sum(n - 1)::bigint as repeats, count(*) as groups
            from (select source, event_type, count(*) as n from events
                  where amount is not null and event_ts is not null
                  group by source, event_type, event_ts, amount, currency, order_id
                  having count(*) > 1)
            group by source, event_type order by source, event_type"""),
        overlaps=key_overlap(engine, fields),
    )  # fmt: skip


def key_overlap(engine: Engine, fields: Sequence[str] = KEY_FIELDS) -> pl.DataFrame:
    """Which key fields of which two sources hold the same keys.

    Every field of one source is compared with every field of the other, so an order id that the
    other source calls an invoice number is found too. Ids inside `raw_keys` and `external_ids`
    appear as `raw_keys.name` and `external_ids.name`; raw spellings are normalised first.

    Returns:
        Columns left_source, left_field, right_source, right_field, left_keys and right_keys
        (distinct keys), overlap (distinct keys in both), left_share and right_share (overlap by
        distinct keys of that side); most overlap first, pairs without any left out.
    """
    engine.run(*_key_steps(fields))
    return engine.rows("""
        with totals as (
            select source, field, count(*) as keys from profile_keys group by source, field)
        select l.source as left_source, l.field as left_field,
               r.source as right_source, r.field as right_field,
               any_value(a.keys) as left_keys, any_value(b.keys) as right_keys,
               count(*) as overlap,
               count(*) / any_value(a.keys) as left_share,
               count(*) / any_value(b.keys) as right_share
        from profile_keys l
        join profile_keys r on r.key = l.key and l.source < r.source
        join totals a on a.source = l.source and a.field = l.field
        join totals b on b.source = r.source and b.field = r.field
        group by l.source, l.field, r.source, r.field
        order by overlap desc, left_source, left_field, right_source, right_field""")


# A name may hold any character; inside the quotes of a path these two are written with a backslash.
_PATH = r"""'$."' || replace(replace(name, '\', '\\'), '"', '\"') || '"'"""


def _key_steps(fields: Sequence[str]) -> list[Step]:
    columns = ", ".join(quote_ident(f) for f in fields)
    dull = ", ".join(quote_text(k) for k in model.NULL_KEYS)
    plain = f"""
        select distinct source, field, key
        from (select source, {columns} from events)
        unpivot (key for field in ({columns}))"""
    nested = [
        f"""
        select distinct source, {quote_text(bag + ".")} || name as field,
               trim(regexp_replace(trim(coalesce(json_extract_string({bag}, {_PATH}), '')),
                                   '^''?#?', '')) as key
        from (select source, {bag}, unnest(json_keys({bag})) as name from events
              where {bag} is not null)"""
        for bag in ("raw_keys", "external_ids")
    ]
    everything = "\n        union\n".join([plain, *nested])
    return [
        Step(
            "profile_keys",
            f"""create or replace temp table profile_keys as
        select source, field, key from ({everything})
        where lower(key) not in ({dull})
            and not (field like 'raw_keys.%' and substr(field, 10) in
                     ({", ".join(quote_text(f) for f in fields)}))""",
            "distinct keys by source and field; raw spellings of a listed field are that field",
        )
    ]


def _nulls(engine: Engine) -> pl.DataFrame:
    """Share of nulls per field; only fields that some event of the source fills are listed."""
    fields = [f for f in model.MONEY_FACTS if f not in _NOT_PROFILED | {"event_id", "event_type"}]
    counts = ", ".join(f"count({quote_ident(f)}) as {quote_ident(f)}" for f in fields)
    names = ", ".join(quote_ident(f) for f in fields)
    return engine.rows(f"""
        with counted as (
            select source, event_type, count(*) as events, {counts}
            from events group by source, event_type)
        select source, event_type, field, events, events - filled as nulls,
               1 - filled / events as null_share
        from counted unpivot (filled for field in ({names}))
        where filled > 0
        order by source, event_type, null_share, field""")
