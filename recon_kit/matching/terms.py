"""Terms of business learned from proven matches: fee schedules, dated, and settlement lags.

Read off pairs that a key or a person proved, never off what scoring guessed (but see
`sure_schedules`). Learned when a model is trained, stored with it, changed by nothing else. They
feed the comparison of amounts and lags, the clock of open items and the check of fees.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit import workdays
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import fees, keys, pool, stored
from recon_kit.matching.schedules import (
    GROUP,
    SPLITS,
    Lag,
    Schedule,
    fee_sides,
    frame,
    traits_sql,
)
from recon_kit.model import StoredModel
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation, Side

CHECKED_MIN = 50  # rows that a schedule must explain before others are held against it
PAIRS_MIN = 100  # a lag is told from so many pairs on
SHARES: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_PAIRS_MAX = 200_000
_NET_SHARE_MIN = 0.2  # of pairs whose right amount is lower
_KEY_SPACE = 16**6
LAG_SCHEMA: dict[str, pl.DataType] = {
    f.name: pl.String() if f.name.endswith("source") else pl.Int64() for f in fields(Lag)
}


@dataclass(frozen=True, slots=True)
class Learned:
    """What the matches taught: schedules, lags, and sentences for the run's outcome."""

    schedules: tuple[Schedule, ...]
    lags: tuple[Lag, ...]
    notes: tuple[str, ...]


def run(
    engine: Engine, rec: Reconciliation, model: StoredModel | None, zone: str, *, retrain: bool
) -> StoredModel | None:
    """The model with terms, where it has learned nothing yet or has to learn anew; else None.

    Leaves `fee_schedules` (what events are held against) and `usual_lags` in either case.

    A model that scores keeps the terms that it was trained with: other terms are another model,
    and a certificate speaks of one model alone.
    """
    known = stored.read(model) if model else stored.Trained()
    if retrain or not (known.ladders or known.schedules or known.lags):
        found = learn(engine, rec, zone)
        engine.put("terms_notes", pl.DataFrame({"note": found.notes}, schema={"note": pl.String}))
        engine.run(Step("notes", "insert into method_notes from terms_notes", "beside the run"))
        trained = replace(known, schedules=found.schedules, lags=found.lags)
    else:
        trained = known
    told = [s for s in trained.schedules if s.basis == "told" and s.exact >= CHECKED_MIN]
    engine.put("fee_schedules", frame(told))
    engine.put("usual_lags", pl.DataFrame([asdict(lag) for lag in trained.lags], schema=LAG_SCHEMA))
    return None if trained == known else stored.write(rec.name, trained)


def learn(engine: Engine, rec: Reconciliation, zone: str) -> Learned:
    """Read terms off the exact and decided matches that nothing speaks against.

    Args:
        engine: after the methods `decided` and `exact`, with `calendar`.
        rec: the reconciliation; fees are looked for on the sides whose gross amount is compared.
        zone: in which days begin.
    """
    engine.run(_proven_step(engine))
    schedules = _told_schedules(engine, rec) + _net_of_pairs(engine, rec)
    lags = _lags(engine, rec, zone)
    engine.drop("proven_alone", "proven_further", "high_grosses", "net_pairs")
    if not (schedules or lags):
        return Learned((), (), ())
    note = f"{len(schedules)} fee schedules and {len(lags)} settlement lags were learned"
    return Learned(schedules, lags, (note, *_changes(schedules, zone)))


# --- proven pairs ---------------------------------------------------------------------------------
def _proven_step(engine: Engine) -> Step:
    """`proven_pairs`: both events with what terms are read off; all, or a share that keys decide.

    By side `<side>_eid`, `<side>_key`, `<side>_ts`, `<side>_amount` and `<side>_currency`. A view:
    of the many members of whole groups each reader wants few columns.
    """
    known = "method in ('exact', 'decided') and doubt is null and not coalesce(status_note, false)"
    count = engine.one(f"select count(*) from live_pairs where {known}")[0]
    assert isinstance(count, int)  # noqa: S101 - count(*) is an integer
    taken = "true"
    if count > _PAIRS_MAX:
        border = f"{_KEY_SPACE * _PAIRS_MAX // count:06x}"
        taken = f"left_key < {quote_text(border)}"
    told = ", ".join(
        f"{alias}.{column} as {side}_{column}"
        for side, alias in (("left", "l"), ("right", "r"))
        for column in ("eid", "ts", "amount", "currency")
    )
    return Step(
        "proven_pairs",
        f"""
create or replace table proven_alone as
select left_key, right_key, {told}
from (from live_pairs where {known} and {taken}) join pool l on l.eid = left_eid
join pool r on r.eid = right_eid;
create or replace table proven_further as
select m.mid, p.eid, p.event_key, p.side, p.ts, p.amount, p.currency
from (from more_members where counts) m
semi join (from live_groups where {known}) g using (mid) join pool p using (eid);
create or replace view proven_pairs as
with members as (
    from proven_further
    union all
    select mid, eid, event_key, side, ts, allocated::bigint, g.currency
    from (from whole_members where counts) m
    join (select mid, currency from live_groups where {known}) g using (mid)
)
from proven_alone
union all
select l.event_key, r.event_key, {told}
from (from members where side = {pool.LEFT}) l join (from members where side = {pool.RIGHT}) r
    using (mid)""",
        "pairs that a key or a person proved",
    )


def net_sql(gross: str, currency: str, net: str, net_currency: str) -> str:
    """Whether an amount may be another one less a fee."""
    return f"{currency} = {net_currency} and {gross} > {net} + 3 and {net} > {gross} // 4 * 3"


# --- fees -----------------------------------------------------------------------------------------
def _told_schedules(engine: Engine, rec: Reconciliation) -> tuple[Schedule, ...]:
    """Of events that tell their own fee."""
    told = "e.fee is not null and e.amount > 0 and e.event_ts is not null"
    # Who tells no fee is not looked up: his few columns say so, all others stay unread.
    sides = [
        side
        for side in fee_sides(rec)
        if engine.one(
            f"select exists (from events e where {told}"
            f" and source in ({keys.texts(getattr(rec, side).sources)}))"
        )[0]
    ]
    if not sides:
        return ()
    sources = keys.texts(tuple(s for side in sides for s in getattr(rec, side).sources))
    proven = " union all ".join(
        f"select {side}_key as event_key from proven_pairs" for side in sides
    )
    rows = engine.rows(
        f"""select {traits_sql("e")}, e.amount as gross, e.fee, e.event_ts
        from events e semi join ({proven}) using (event_key)
        where {told} and source in ({sources}) order by e.event_ts, e.event_key"""
    )
    return schedules_of(rows, "told")


def _net_of_pairs(engine: Engine, rec: Reconciliation) -> tuple[Schedule, ...]:
    """Of right events that tell no fee, whose amount is the left one less something."""
    if "right" not in fee_sides(rec):
        return ()
    left, gross, currency = "", "left_amount", "left_currency"
    if rec.measure.left != "amount":
        # The pool holds nets. Only a positive right amount can be what remains of a higher one, so
        # what is not above the least of them need not be looked up.
        gross, currency = "l.amount", "l.currency"
        left = "join high_grosses l on l.eid = left_eid"
        engine.run(_high_step())
        if not engine.count("high_grosses"):
            return ()
    engine.run(
        Step(
            "net_pairs",
            f"""
create or replace table net_pairs as
select left_key, right_key as event_key, {gross} as gross, {gross} - right_amount as fee
from proven_pairs {left}
where {net_sql(gross, currency, "right_amount", "right_currency")}
  and left_ts is not null and right_ts is not null""",
            "pairs of which the right amount may be the left one less a fee",
        )
    )
    if not engine.count("net_pairs"):
        return ()
    rows = engine.rows(
        f"""select {traits_sql("e")}, p.gross, p.fee, e.event_ts
        from net_pairs p join (from events where fee is null) e using (event_key)
        order by e.event_ts, e.event_key, p.left_key"""
    )
    return schedules_of(rows, "net")


def _high_step() -> Step:
    """`high_grosses(eid, amount, currency)`: of left events, where the pool holds their nets."""
    return Step(
        "high_grosses",
        f"""
create or replace table high_grosses as
select p.eid, e.amount, e.currency from events e join pool p using (event_key)
where p.side = {pool.LEFT} and e.amount > (
    select min(amount) + 3 from pool where side = {pool.RIGHT} and amount > 0)""",
        "gross amounts of the left side, where its nets are compared",
    )


def sure_schedules(engine: Engine) -> tuple[Schedule, ...]:
    """Usual fees off `sure_pairs(l, r)`, open pairs that scoring is all but certain of.

    They serve the scoring of such pairs alone: a fee that nobody told is no ground for a finding.
    """
    splits = ", ".join(f"'' as {name}" for name in SPLITS)
    rows = engine.rows(
        f"""select coalesce(r.source, '') as source, coalesce(r.type, '') as event_type,
            coalesce(r.payment_method, '') as method, r.currency,
            r.shown is not null and r.shown_currency <> r.currency as is_foreign, {splits},
            l.amount as gross, l.amount - r.amount as fee,
            to_timestamp(coalesce(r.ts, 0)) as event_ts
        from sure_pairs s join side_left l on l.seq = s.l join side_right r on r.seq = s.r
        where {net_sql("l.amount", "l.currency", "r.amount", "r.currency")}
        order by coalesce(r.ts, 0), s.l, s.r limit {_PAIRS_MAX}"""
    )
    return schedules_of(rows, "net")


def schedules_of(rows: pl.DataFrame, basis: str) -> tuple[Schedule, ...]:
    """Schedules by source, type, method and currency, split further where one does not do.

    Args:
        rows: the columns of `traits_sql`, `gross`, `fee` and `event_ts`, in order of time.
        basis: `told` or `net`, see `Schedule`.
    """
    found: list[Schedule] = []
    for _, group in rows.group_by(GROUP, maintain_order=True):
        if group.height < fees.ROWS_MIN:
            continue
        whole = _schedules(group, "", "", basis)
        best, covered = whole, sum(s.exact for s in whole)
        if covered < fees.SHARE_MIN * group.height:
            for split in SPLITS:
                parts = [
                    schedule
                    for (value,), part in group.group_by([split], maintain_order=True)
                    for schedule in _schedules(part, split, str(value), basis)
                ]
                explained = sum(s.exact for s in parts)
                if explained > covered:
                    best, covered = parts, explained
        found += best
    return tuple(sorted(found, key=lambda s: (*_same_trade(s), s.since)))


def _schedules(rows: pl.DataFrame, split: str, value: str, basis: str) -> list[Schedule]:
    """The schedules of one group over time."""
    gross, fee = rows["gross"].to_numpy(), rows["fee"].to_numpy()
    at = rows["event_ts"]  # a moment is made of the few rows that are asked for, not of all
    day = at.dt.epoch("d").cast(pl.Int64).to_numpy()
    if basis == "net":
        # what is lower for other reasons stands among these rows: one schedule, no dates
        tariff = fees.usual(gross, fee, _NET_SHARE_MIN)
        fits = int(tariff.explains(gross, fee).sum()) if tariff else 0
        stretches = [fees.Stretch(0, len(at), tariff, fits)] if tariff else []
    else:
        stretches = fees.over_time(gross, fee, day)
    named = {name: rows[name][0] for name in GROUP}
    named["foreign"] = named.pop("is_foreign")
    found = []
    for number, stretch in enumerate(stretches):
        following = stretches[number + 1].first if number + 1 < len(stretches) else None
        found.append(
            Schedule(
                **named, split=split, value=value, since=at[stretch.first].isoformat(),
                until=_until(at, stretch, following), rate_bp=stretch.tariff.rate_bp,
                fixed_minor=stretch.tariff.fixed_minor, cap_minor=stretch.tariff.cap_minor,
                basis=basis, rows=stretch.end - stretch.first, exact=stretch.exact,
            )
        )  # fmt: skip
    return found


def _until(at: pl.Series, stretch: fees.Stretch, following: int | None) -> str:
    """When a schedule ends: at the first row of the next one, or where it broke off.

    A few odd rows at the end leave it in force: they are differences, not a new schedule.
    """
    last: datetime = at[stretch.end - 1]
    after: datetime = at[-1] if following is None else at[following]
    if after - last >= timedelta(days=fees.DAYS_MIN):
        return (last + timedelta(seconds=1)).isoformat()
    return "" if following is None else after.isoformat()


def _same_trade(schedule: Schedule) -> tuple[str, ...]:
    """What two schedules share that follow one another in time."""
    return (
        schedule.source, schedule.event_type, schedule.method, schedule.currency,
        str(schedule.foreign), schedule.split, schedule.value,
    )  # fmt: skip


def _changes(schedules: Sequence[Schedule], zone: str) -> list[str]:
    """A sentence for each change of a schedule, with its day in a zone."""
    said = []
    for before, after in itertools.pairwise(schedules):
        if _same_trade(before) != _same_trade(after):
            continue
        what = " ".join(filter(None, (after.method, after.event_type, after.value)))
        said.append(
            f"{after.source}: the fee of {what} in {after.currency} changed from {before.label} "
            f"to {after.label} on {_local_day(after.since, zone)}"
        )
    return said


def _local_day(instant: str, zone: str) -> str:
    return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).date().isoformat()


# --- lags -----------------------------------------------------------------------------------------
def _lags(engine: Engine, rec: Reconciliation, zone: str) -> tuple[Lag, ...]:
    """Seconds from the left to the right event by source pair, and business days."""
    shares = ", ".join(str(s) for s in SHARES)
    left, left_join = _source(rec.left, "left")
    right, right_join = _source(rec.right, "right")
    found = engine.rows(
        f"""select left_source, right_source, quantile_disc(lag, [{shares}]) as at,
            quantile_disc(waited, 0.95)::bigint as waited, count(*) as pairs
        from (
            select left_source, right_source, lag, case when right_day <= left_day then 0
                else cr.business_index - cl.business_index + (not cr.is_business)::int end as waited
            from (
                select {left} as left_source, {right} as right_source,
                    epoch(right_ts)::bigint - epoch(left_ts)::bigint as lag,
                    {workdays.local_day_sql("left_ts", zone)} as left_day,
                    {workdays.local_day_sql("right_ts", zone)} as right_day
                from proven_pairs {left_join} {right_join}
                where left_ts is not null and right_ts is not null)
            join calendar cl on cl.day = left_day join calendar cr on cr.day = right_day)
        group by left_source, right_source having count(*) >= {PAIRS_MIN}
        order by left_source, right_source"""
    )
    return tuple(_lag(row) for row in found.iter_rows(named=True))


def _source(side: Side, name: str) -> tuple[str, str]:
    """SQL of the source of a proven pair's event on a side, and the join that it needs."""
    if len(side.sources) == 1:
        return quote_text(side.sources[0]), ""
    told = (
        f"(select p.eid, e.source from events e join pool p using (event_key)"
        f" where p.eid in (select {name}_eid from proven_pairs))"
    )
    return f"{name}_told.source", f"join {told} {name}_told on {name}_told.eid = {name}_eid"


def _lag(row: dict[str, Any]) -> Lag:
    p05, p25, p50, p75, p95, p99 = row["at"]
    return Lag(
        left_source=row["left_source"], right_source=row["right_source"], p05=p05, p25=p25,
        p50=p50, p75=p75, p95=p95, p99=p99, business_days_p95=row["waited"], pairs=row["pairs"],
    )  # fmt: skip
