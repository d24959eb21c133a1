"""The service level indicators of one evaluation, each defined once.

Every function below is one indicator; its docstring names numerator, denominator, unit and clock,
and `definitions.DEFINITIONS` says the same in the words of a report. An indicator that cannot be
known yet has state `unknown`, no value, and a note that says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from recon_kit import model, stats, workdays
from recon_kit.ledger.engine import Engine
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation, Settings
from recon_kit.sli import population
from recon_kit.sli.definitions import DEFINITIONS, Definition, definition
from recon_kit.sli.population import Tables

__all__ = ["DEFINITIONS", "Definition", "Tables", "compute", "definition"]

ALL = "all"  # the cohort of all mature weeks, or of the as-of time
MEAN_LIMIT_HOURS = 30 * 24.0


def compute(  # noqa: PLR0913 - places and audits have defaults; the rest is what is measured
    engine: Engine,
    rec: Reconciliation,
    settings: Settings,
    as_of: datetime,
    *,
    tables: Tables | None = None,
    audited: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """All indicators of one reconciliation.

    Args:
        engine: a snapshot's engine with the results under `tables`; needs the views `events`,
            `event_versions`, `artefacts` and `decisions`. Its table `calendar` is replaced.
        rec: the reconciliation.
        settings: zone and holidays.
        as_of: the instant at which one looks.
        tables: where the results stand; by default the `out_...` tables of this evaluation.
        audited: audit draws that were answered, `wrong` (Boolean) and `inclusion_probability`
            (Float64, as logged when drawn); without draws the false-match estimate is unknown.

    Returns:
        Rows in `model.SLI_SCHEMA`, ordered by definition, cohort and currency.
    """
    population.populate(engine, rec, settings, as_of, tables or Tables())
    queries = (
        match_rate(settings.workspace.timezone),
        match_rate_money(settings.workspace.timezone),
        queue_depth(),
        blocking_cases(),
        backlog_age(as_of),
        unexplained_amount(),
        case_rate(),
        feed_freshness(rec, as_of),
    )
    frames = [_shape(engine.rows(query), rec) for query in queries]
    said = [false_match_estimate(audited), *time_to_reconcile(engine)]
    frames.append(_shape(pl.DataFrame(said, schema=model.SLI_SCHEMA), rec))
    place = {d.name: i for i, d in enumerate(DEFINITIONS)}
    order = pl.col("name").replace_strict(place, return_dtype=pl.Int64)
    return pl.concat(frames).sort(order, "cohort", "currency", nulls_last=True)


def match_rate(zone: str) -> str:
    """Matched share of a week's left events, by count.

    Numerator: left events in an automatic or confirmed match without residual beyond tolerance.
    Denominator: covered left events. Unit: share. Clock: event time, weeks of the workspace zone;
    mature weeks only; cohort `all` is all mature weeks together.
    """
    counted = """
      select week as cohort, null::varchar as currency,
        coalesce(sum(events) filter (state = 'settled'), 0)::bigint as numerator,
        coalesce(sum(events) filter (state <> 'not_covered'), 0)::bigint as denominator
      from sli_left group by week"""
    return _cohort_rows("match_rate", counted, zone)


def match_rate_money(zone: str) -> str:
    """Covered share of a week's left money, per currency.

    Numerator: money of settled left events; of a match with a residual beyond tolerance the part
    that the right side covers, shared among its left events by their money (whole minor units
    that add up). Denominator: money of covered left events, without sign. Unit: share; both in
    minor units of the currency. Clock: as for `match_rate`.
    """
    counted = """
      select week as cohort, currency, sum(covered)::bigint as numerator,
        sum(money)::bigint as denominator
      from (
        select week, currency, money,
          case when state = 'settled' then money::hugeint
            when state = 'residual' then (running * part) // whole
              - ((running - money) * part) // whole
            else 0 end as covered
        from (
          select week, l.currency, money, l.state, null as running, null as part, null as whole
          from sli_left l where state in ('settled', 'open')
          union all
          select week, l.currency, money, l.state,
            sum(money) over (partition by mno, l.currency order by event_key
              rows unbounded preceding) as running,
            case when sign(left_sum) = sign(right_sum)
              then least(abs(left_sum), abs(right_sum)) else 0 end::hugeint as part,
            nullif(abs(left_sum), 0)::hugeint as whole
          from sli_left l join sli_numbered n on n.rowid = l.mno
          where l.state = 'residual' and money is not null and l.currency is not null
        ) where money is not null and currency is not null
      ) group by week, currency"""
    return _cohort_rows("match_rate_money", counted, zone)


def queue_depth() -> str:
    """Open cases. Numerator: cases of class B and C. Unit: cases. Clock: the as-of time."""
    return f"""
      select {_row("queue_depth", "count(*)", "cases", numerator="count(*)")}
      from sli_findings where "class" <> 'A'"""


def blocking_cases() -> str:
    """Open cases that block payouts.

    Numerator: cases of class B and C with severity `block_payout`. Unit: cases. Clock: the as-of
    time.
    """
    return f"""
      select {_row("blocking_cases", "count(*)", "cases", numerator="count(*)")}
      from sli_findings where "class" <> 'A' and severity = 'block_payout'"""


def backlog_age(as_of: datetime) -> str:
    """Age of open cases: oldest, median and 90th percentile.

    Numerator: hours since opening. Denominator: cases of class B and C. Unit: hours, 0 without
    an open case. Clock: `opened_at` to the as-of time, elapsed.
    """
    parts = (("oldest", "max(age)"), ("median", "median(age)"), ("p90", "quantile_cont(age, 0.9)"))
    note = "case when count(*) = 0 then 'no case is open' end"
    selects = " union all ".join(
        "select "
        + _row(
            f"backlog_age_{name}", f"coalesce({value}, 0)", "hours",
            denominator="count(*)", note=note,
        )
        + " from ages"
        for name, value in parts
    )  # fmt: skip
    now = workdays.instant_sql(as_of)
    return f"""
      with ages as (
        select greatest(0, epoch_us({now}) - epoch_us(opened_at)) / 3600000000 as age
        from sli_findings where "class" <> 'A'
      ) {selects}"""


def unexplained_amount() -> str:
    """Money without explanation, per currency.

    Numerator: overdue events of both sides, overdue residuals beyond tolerance, and the left side
    of proposals, without sign. Unit: minor. Clock: the as-of time.
    """
    total = "sum(abs(amount_minor))::bigint"
    columns = _row("unexplained_amount", total, "minor", numerator=total, currency="currency")
    return f"""
      select {columns}
      from sli_open
      where (state = 'overdue' or (state = 'proposed' and coalesce(side, 'left') = 'left'))
        and amount_minor is not null and currency is not null
      group by currency"""


def case_rate() -> str:
    """Open cases for each left event.

    Numerator: cases of class B and C. Denominator: covered left events. Unit: share. Clock: the
    as-of time.
    """
    columns = _row(
        "case_rate", "cases / nullif(events, 0)", "share", numerator="cases",
        denominator="events", note="case when events = 0 then 'no left event is covered' end",
    )  # fmt: skip
    return f"""
      select {columns}
      from (select count(*) as cases from sli_findings where "class" <> 'A'),
        (select coalesce(sum(events), 0)::bigint as events from sli_left
          where state <> 'not_covered')"""


def feed_freshness(rec: Reconciliation, as_of: datetime) -> str:
    """Hours since a source's last file; the cohort is the source.

    Unit: hours. Clock: receipt to the as-of time. Unknown for a source that never sent a file.
    """
    names = sorted({*rec.left.sources, *rec.right.sources})
    listed = ", ".join(f"({quote_text(n)})" for n in names)
    passed = f"epoch_us({workdays.instant_sql(as_of)}) - epoch_us(max(received_at))"
    # greatest() would turn "never" into 0 hours
    age = f"case when max(received_at) is not null then greatest(0, {passed}) / 3600000000 end"
    note = "case when max(received_at) is null then 'no file was received yet' end"
    return f"""
      select {_row("feed_freshness", age, "hours", cohort="s.source", note=note)}
      from (values {listed}) s(source) left join artefacts a on a.source = s.source
      group by s.source"""


def false_match_estimate(audited: pl.DataFrame | None) -> dict[str, object]:
    """Estimated share of wrong automatic matches, with its 95 % interval in the note.

    Numerator: draws found wrong. Denominator: draws; both weighted by the inverse of the logged
    inclusion probability in the value (Hajek). Unit: share. Clock: none.
    """
    row: dict[str, object] = {
        "name": "false_match_estimate", "cohort": ALL, "unit": "share", "state": "unknown",
        "note": "no audit label with a logged inclusion probability",
    }  # fmt: skip
    if audited is None:
        return row
    drawn = audited.filter(pl.col("inclusion_probability").is_not_null())
    found = stats.hajek(
        drawn["wrong"].cast(pl.Float64).to_numpy(), drawn["inclusion_probability"].to_numpy()
    )
    if found is None:
        return row
    return row | {
        "value": found.value,
        "numerator": int(drawn["wrong"].sum()),
        "denominator": found.draws,
        "state": "known",
        "note": f"95 % interval {found.low:.2%} to {found.high:.2%}; an estimate, no certificate",
    }


def time_to_reconcile(engine: Engine) -> Iterator[dict[str, object]]:
    """Kaplan-Meier median and 90th percentile, and the mean restricted to 30 days.

    Numerator: events settled. Denominator: covered left events watched. Unit: hours, and business
    hours for the quantiles. Clock: first receipt to the receipt or decision that completed the
    match; open events are censored at the as-of time. A row for each week and for `all`.
    """
    watched = engine.rows("from sli_watched order by all")
    weeks = sorted(w for w in watched["week"].unique().to_list() if w is not None)
    for cohort in (ALL, *weeks):
        mine = watched if cohort == ALL else watched.filter(pl.col("week") == cohort)
        yield from _times(mine, cohort)


def _times(watched: pl.DataFrame, cohort: str) -> Iterator[dict[str, object]]:
    for column, prefix in (
        ("hours", "time_to_reconcile"),
        ("business_hours", "time_to_reconcile_business"),
    ):
        seen = watched.filter(pl.col(column).is_not_null())
        curve = stats.kaplan_meier(
            seen[column].to_numpy(), seen["ended"].to_numpy(), seen["events"].to_numpy()
        )
        row: dict[str, object] = {
            "cohort": cohort, "unit": column, "state": "known", "note": None,
        }  # fmt: skip
        if curve is None:
            row |= {"state": "unknown", "note": "no left event is covered", "value": None}
            row |= {"numerator": 0, "denominator": 0}
            names = ("median", "p90", "mean_30d") if column == "hours" else ("median", "p90")
            yield from (row | {"name": f"{prefix}_{n}"} for n in names)
            continue
        row |= {"numerator": curve.events, "denominator": curve.subjects}
        for name, part, few in (("median", 0.5, "half"), ("p90", 0.9, "nine of ten")):
            value = curve.quantile(part)
            found = row | {"name": f"{prefix}_{name}", "value": value}
            if value is None:
                found |= {"state": "unknown", "note": f"fewer than {few} are settled"}
            yield found
        if column == "hours":
            mean = curve.restricted_mean(MEAN_LIMIT_HOURS)
            yield row | {"name": f"{prefix}_mean_30d", "value": mean, "note": _mean_note(curve)}


def _mean_note(curve: stats.Survival) -> str | None:
    if curve.last >= MEAN_LIMIT_HOURS or curve.events == curve.subjects:
        return None
    return f"watched for {curve.last:.0f} hours only; what is open is taken to stay open"


def _row(  # noqa: PLR0913 - a row has these columns
    name: str,
    value: str,
    unit: str,
    *,
    cohort: str = f"'{ALL}'",
    currency: str = "null::varchar",
    numerator: str = "null::bigint",
    denominator: str = "null::bigint",
    note: str = "null::varchar",
) -> str:
    """A select list in the columns of an indicator; a value that is null is unknown."""
    return (
        f"'{name}' as name, {cohort} as cohort, {currency} as currency,"
        f" ({value})::double as value, {numerator} as numerator, {denominator} as denominator,"
        f" '{unit}' as unit, case when ({value}) is null then 'unknown' else 'known' end as state,"
        f" {note} as note"
    )


_NOTHING_JUDGED = (
    "case when exists (select 1 from sli_cohorts where mature)"
    " then 'the left events of mature weeks tell no amount' else 'no week is mature yet' end"
)


def _cohort_rows(name: str, counted: str, zone: str) -> str:
    """Rows for each week, and for all mature weeks together, of a share counted by week.

    `counted` has the columns cohort, currency, numerator, denominator; `zone` is the workspace's,
    in which a note tells a time.
    """
    judged = "case when mature and denominator > 0 then numerator / denominator end"
    where = quote_text(zone)
    note = (
        "case when cohort is null then 'events without a time belong to no week'"
        f" when not mature then coalesce('not mature before ' || strftime(timezone({where},"
        f" mature_from), '%Y-%m-%d %H:%M ') || {where}, 'settlement time unknown')"
        " when denominator = 0 then 'no left event is covered' end"
    )
    weekly = _row(
        name, judged, "share", cohort="coalesce(cohort, 'undated')", currency="currency",
        numerator="numerator", denominator="denominator", note=note,
    )  # fmt: skip
    total = "sum(numerator)::double / nullif(sum(denominator), 0)"
    overall = _row(
        name, total, "share", currency="currency", numerator="sum(numerator)::bigint",
        denominator="sum(denominator)::bigint",
        note="case when sum(denominator) = 0 then 'no left event of mature weeks is covered' end",
    )  # fmt: skip
    return f"""
      with counted as ({counted}),
      judged as (
        select c.*, coalesce(s.mature, false) as mature, s.mature_from
        from counted c left join sli_cohorts s on s.week = c.cohort
      )
      select {weekly} from judged
      union all
      select {overall} from judged where mature group by currency
      union all
      select {_row(name, "null::double", "share", note=_NOTHING_JUDGED)}
      where not exists (select 1 from judged where mature)"""


def _shape(frame: pl.DataFrame, rec: Reconciliation) -> pl.DataFrame:
    whole = frame.with_columns(reconciliation=pl.lit(rec.name))
    return whole.select(
        (pl.col(name) if name in whole.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in model.SLI_SCHEMA.items()
    )
