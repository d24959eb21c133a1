"""Method `window`: amount within tolerance and time within the window, where nothing else is.

A pair is an answer only if each of its two events has exactly one candidate among *all* open events
of the other side: counted, never picked in an order. A currency must be shared; an amount of zero,
an event without a time and one whose status says that no money moved are no candidates.

Candidates are counted by rank, not listed: open events of one amount stand in order of time, so two
look-ups give how many lie in a window, and a price that a thousand orders share costs no more than
a rare one. Events with more than a few are done with after that.

Events that have nothing to do with one another agree as well. How many right events would agree
with a left one by chance is told by how often its amount occurs, or, for an amount of its own, by
how densely others lie around it. How many left events have a counterpart at all is learned from all
such pairs at once: of thirty where thirty were to be expected none is worth anything. `confidence`
is what both leave (see `_odds`).
"""

from __future__ import annotations

from recon_kit import workdays
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, answers, canary, keys
from recon_kit.matching.authority import Authority
from recon_kit.settings import Reconciliation

# What is open after `run`.
STILL_OPEN = answers.still_open("window")
# Each pair with its component.
_MEMBERS = """
select unnest([s.eid, s.other]) as eid, l.event_key as component
from single_0 s join single_1 t on t.eid = s.other and t.other = s.eid
join rest l on l.eid = s.eid"""
# Rows tell an amount in up to two currencies, so one candidate may be counted twice.
_COUNTED_MAX = 2
_AROUND = 10  # a tenth of an amount to either side is its neighbourhood
_UNIT_MIN = 50  # amounts that it takes to tell what all of them are multiples of
_UNIT_OF = 1_000  # amounts that are looked at for it
_ROUNDS = 50


def run(engine: Engine, rec: Reconciliation, zone: str, allowed: Authority) -> bool:
    """Match or propose pairs of `rest`; returns whether a match was made."""
    engine.run(row_step(rec, zone), close_step(rec), rank_step())
    for side in (0, 1):
        engine.run(*count_steps(side))
    canary.choose(engine, "window", allowed, _MEMBERS)
    engine.run(*chance_steps(rec))
    engine.run(*pair_steps(rec, allowed, _odds(engine)), *live_steps(rec))
    return engine.one("select count(*) from window_pairs where why_code is null")[0] != 0


def due_sql(rec: Reconciliation, side: str, ts: str, zone: str) -> str:
    """The last time at which the counterpart of an event of a side may come.

    A right event lies in the window of a left one where each comes before the other's last time.
    """
    length = rec.window.after if side == "left" else rec.window.before
    return workdays.due_sql(ts, length.count, length.unit, zone)


def row_step(rec: Reconciliation, zone: str) -> Step:
    """`window_rows`: each open event with each amount it tells and its last time."""
    due = (
        f"case side when 0 then {due_sql(rec, 'left', 'ts', zone)}"
        f" else {due_sql(rec, 'right', 'ts', zone)} end"
    )
    return Step(
        "window_rows",
        f"""
create or replace table window_rows as
select *, {due} as due from (
    select eid, event_key, side, currency as c, amount as v, ts from rest
    where amount <> 0 and currency is not null and ts is not null and not dead
    union all
    select eid, event_key, side, shown_currency, shown, ts from rest
    where shown <> 0 and shown_currency is not null and ts is not null and not dead
      and (amount is null or currency is distinct from shown_currency))""",
        "open events by amount, own and presented",
    )


def close_step(rec: Reconciliation) -> Step:
    """`close_amounts(c, v0, v1)`: left and right amounts within tolerance of each other."""
    allowed = keys.allowed_sql(rec.tolerance, "v")
    return Step(
        "close_amounts",
        f"""
create or replace table close_amounts as
with told as (select distinct side, c, v from window_rows), l as (
    select c, v, (v - {allowed})::bigint as low, (v + {allowed})::bigint as high
    from told where side = 0
), r as (
    select c, v, row_number() over (partition by c order by v) as i from told where side = 1
), spans as (
    select first.c, first.v, first.i as i0, last.i as i1
    from (select l.*, r.i from l asof join r on r.c = l.c and r.v >= l.low) first
    asof join r last on last.c = first.c and last.v <= first.high
)
select s.c, s.v as v0, r.v as v1
from (select *, unnest(generate_series(i0, i1)) as i from spans where i0 <= i1) s
join r on r.c = s.c and r.i = s.i""",
        "amounts that agree, each pair of amounts once",
    )


def rank_step() -> Step:
    """`window_ranks`: events of one side and amount, numbered in order of time."""
    return Step(
        "window_ranks",
        """
create or replace table window_ranks as
select *, row_number() over (partition by side, c, v order by ts, event_key) as n
from window_rows""",
        "so that two look-ups count what lies in a window",
    )


def count_steps(side: int) -> tuple[Step, ...]:
    """`single_{side}(eid, other)`: events of a side with exactly one candidate on the other."""
    other = 1 - side
    return (
        Step(
            f"window_seen_{side}",
            f"""
create or replace table window_seen_{side} as
with wanted as (
    select w.eid, w.c, a.v{other} as v, w.ts, w.due
    from (from window_ranks where side = {side}) w
    join close_amounts a on a.c = w.c and a.v{side} = w.v
), places as (
    select c, v, ts, due, max(n) as n from window_ranks where side = {other} group by all
), until as (
    select w.*, p.n as last from wanted w asof join places p
        on p.c = w.c and p.v = w.v and p.ts <= w.due
)
select u.eid, u.c, u.v, coalesce(p.n, 0) + 1 as first, u.last
from until u asof left join (select c, v, due, max(n) as n from places group by all) p
    on p.c = u.c and p.v = u.v and p.due < u.ts
where u.last > coalesce(p.n, 0)""",
            "how many candidates each event has, by rank",
        ),
        Step(
            f"single_{side}",
            f"""
create or replace table single_{side} as
with barred as (
    select {"left" if side == 0 else "right"}_eid as eid,
           {"right" if side == 0 else "left"}_eid as other from barred_pool
), few as (
    select eid from window_seen_{side}
    left join (select eid, count(*) as b from barred group by eid) using (eid)
    group by eid having sum(last - first + 1) <= {_COUNTED_MAX} * (1 + any_value(coalesce(b, 0)))
), listed as (
    select distinct s.eid, r.eid as other
    from (select *, unnest(generate_series(first, last)) as n
          from window_seen_{side} semi join few using (eid)) s
    join (from window_ranks where side = {other}) r using (c, v, n)
)
select eid, min(other) as other from listed anti join barred using (eid, other)
group by eid having count(*) = 1""",
            "those with exactly one",
        ),
    )


def chance_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """`window_alone`: pairs in which each is the only candidate of the other, with their `chance`.

    `window_amounts` has the amounts of all right events, matched or not, counted from below.
    """
    allowed = keys.allowed_sql(rec.tolerance, "v")
    return (
        Step(
            "window_amounts",
            f"""
create or replace table window_mutual as
select s.eid as left_eid, s.other as right_eid, l.currency as c, l.amount as v
from single_0 s join single_1 t on t.eid = s.other and t.other = s.eid join rest l on l.eid = s.eid;
create or replace table window_amounts as
select c, v, sum(n) over (partition by c order by v)::bigint as upto from (
    select currency as c, amount as v, count(*) as n from whole_pool
    where side = 1 and amount is not null and currency in (select c from window_mutual)
    group by all);
create or replace table window_units as
select c, case when count(*) < {_UNIT_MIN} then 1
               else list_reduce(min(abs(v), {_UNIT_OF}), lambda x, y: gcd(x, y)) end as unit
from window_amounts where v <> 0 group by c""",
            "how often each amount occurs, and what all are multiples of",
        ),
        Step(
            "window_expected",
            f"""
create or replace table window_expected as
with asked as (
    select c, v, {allowed} as a, greatest({allowed}, abs(v) // {_AROUND}) as h
    from (select distinct c, v from window_mutual)
), ends as (
    select c, v, unnest([v + a, v - a - 1, v + h, v - h - 1])::bigint as until,
           unnest([1, 2, 3, 4]) as which from asked
), counted as (
    select e.c, e.v, which, coalesce(upto, 0) as n
    from ends e asof left join window_amounts w on w.c = e.c and w.v <= e.until
), seen as (
    select c, v, sum(case which when 1 then n when 2 then -n end) - 1 as agreeing,
           sum(case which when 3 then n when 4 then -n end) - 1 as around
    from counted group by c, v
)
select c, v, greatest(0, agreeing, around * (2 * a // unit + 1)::double / (2 * h // unit + 1))
           as expected
from seen join asked using (c, v) join window_units using (c)""",
            "how many other right events would agree with an amount at any time",
        ),
        Step(
            "window_alone",
            """
create or replace table window_alone as
select p.left_eid, p.right_eid,
       coalesce(expected, 0) * least(1.0, (epoch_us(lw.due) - epoch_us(lw.ts)
           + epoch_us(rw.due) - epoch_us(rw.ts)) / us) as chance
from window_mutual p left join window_expected x using (c, v)
join (select eid, max(ts) as ts, max(due) as due from window_rows group by eid) lw
  on lw.eid = left_eid
join (select eid, max(ts) as ts, max(due) as due from window_rows group by eid) rw
  on rw.eid = right_eid
cross join (select greatest(1, max(epoch_us(ts)) - min(epoch_us(ts))) as us
            from whole_pool where side = 1)""",
            "and how many of them in such a window",
        ),
    )


def _odds(engine: Engine) -> float:
    """Odds that a pair is of counterparts, times its chance: share / (free left * free right).

    `share` of the left events with one candidate or none have a counterpart. A pair that agrees by
    chance takes a left and a right event without one, or it would not be the only candidate of
    both. Maximum likelihood by EM, with one event of either kind added.
    """
    told = engine.rows("select chance, count(*) as n from window_alone group by chance order by 1")
    lefts, rights = (_judged(engine, side) for side in (0, 1))
    chance, n = told["chance"].to_numpy(), told["n"].to_numpy()
    share, odds = 0.5, 1.0
    for _ in range(_ROUNDS):
        odds = share / ((1 - share) * max(1 - share * lefts / max(rights, 1), 1 / (rights + 2)))
        share = (float(n @ (odds / (odds + chance))) + 1) / (lefts + 2)
    return float(f"{odds:.6g}")


def _judged(engine: Engine, side: int) -> int:
    """Open events of a side that have no candidate, or are in a pair: all but the ambiguous."""
    found = engine.one(
        f"""select (select count(distinct eid) from window_rows where side = {side})
            - (select count(distinct eid) from window_seen_{side})
            + (select count(*) from window_alone)"""
    )[0]
    assert isinstance(found, int)  # noqa: S101 - a count
    return found


def pair_steps(rec: Reconciliation, allowed: Authority, odds: float) -> tuple[Step, ...]:
    """`window_pairs`: each is the only candidate of the other; `why_code` null: a match."""
    why = canary.either(allowed, "window", "left_eid", lambda may: _why(rec, may))
    return (
        Step(
            "window_pairs",
            f"""
create or replace table window_pairs as
select *, {why} as why_code
from (
    select p.*, l as l_, r as r_, {amounts.pair_money(rec)},
           l.dead <> r.dead as status_note, l.event_key as left_key, r.event_key as right_key,
           round({odds!r} / ({odds!r} + chance), 6) as confidence
    from window_alone p
    join rest l on l.eid = left_eid join rest r on r.eid = right_eid)
where amount_note is null""",
            "each is the other's only candidate",
        ),
    )


def _why(rec: Reconciliation, allowed: Authority) -> str:
    """What makes a pair a question, null where nothing does."""
    certain = "null" if allowed.alone else "'uncertified'"
    return f"""case when {_differ(rec)} then 'key_differs'
                when confidence < {allowed.threshold!r} then 'below_floor'
                else {certain} end"""


def _differ(rec: Reconciliation) -> str:
    return answers.differ(rec, "l_", "r_")


def live_steps(rec: Reconciliation) -> tuple[Step, ...]:
    """Matches and questions."""
    one = keys.one_side(rec)
    levels = "json_object('expected_by_chance', round(chance, 6))::varchar"
    return (
        Step(
            "window_live",
            f"""
insert into more_pairs
select {one}_eid, 'window', null, currency, left_sum, right_sum, amount_note, status_note, null,
       confidence, null, null, left_eid, right_eid, left_key, right_key
from window_pairs where why_code is null;
insert into answer_evidence
select 'window', {one}_eid, left_eid, right_eid, 1, {levels}
from window_pairs where why_code is null""",
            "matches by amount and time",
        ),
        answers.pairs_step(
            "window_questions",
            f"""
select left_eid, right_eid, 'window' as method, confidence, why_code, 1 as equal_answers,
       {levels} as levels
from window_pairs where why_code is not null""",
        ),
    )
