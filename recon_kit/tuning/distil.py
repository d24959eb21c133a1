"""Decisions become proposed rules: what people keep saying, written down so that it can be checked.

From pairs said to be the same simple conjunctions are mined over the vocabulary of
`matching.rules`: one test of texts, with amount and time where all supporting pairs agree on them.
Each conjunction is then held against what is known: the supporting pairs, pairs said not to be the
same, and every other event that meets the rule beside the counterpart that a person named (under a
cardinality that allows one, such a pair is wrong). The share that it judges right gets an exact
lower bound that pays for the number of conjunctions tried. A rule names its decisions, expires, and
does nothing until it is approved.

Labels of the audit sample are never mined: they are kept for certificates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from recon_kit import stats
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import decided, disputes, meeting, pool
from recon_kit.matching.rules import LIFE, Amount, Condition, Days, Rule, TextTest
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation
from recon_kit.tuning.conjunctions import conjunctions, name_of, text_tests
from recon_kit.tuning.conjunctions import told as phrased

SUPPORT_MIN = 5  # fewer pairs are no habit
RULES_MAX = 5  # of one proposal: each is to be read and approved by people
LABELS_MAX = 2_000  # the newest decisions that are mined
DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Distilled:
    """A rule and how it fares: what it is made of, and what it would do today.

    `support` pairs that people said are the same meet it, `wrong` pairs that it would join are
    known to be wrong (`contradicts`: decisions that say so). Of what is open now it would match
    `matches` pairs and ask about `asks` events; `money` is (currency, minor units) of the matches.
    """

    rule: Rule
    words: str
    support: int
    wrong: int
    newest: datetime
    contradicts: tuple[int, ...]
    matches: int
    asks: int
    money: tuple[tuple[str, int], ...]


def distil(
    engine: Engine, rec: Reconciliation, now: datetime, *, run_id: str | None = None
) -> list[Distilled]:
    """Mine rules from decisions in force.

    Args:
        engine: a snapshot's engine with views `events`, `who`, `decisions` and, for what a rule
            would do today, `open_items` of `run_id`.
        rec: whose decisions.
        now: the clock that rules are created by and expire from.
        run_id: the current run.

    Returns:
        At most `RULES_MAX` rules, the one that explains most decisions first; each explains
        `SUPPORT_MIN` decisions or more that none before it does. Empty where nothing recurs.
    """
    engine.run(*decided.said_steps(rec), *_label_steps())
    if engine.count("mined_same") < SUPPORT_MIN:
        return []
    pool.build(engine, rec)
    engine.run(_rest_step("select left_key as k from mined_same union select right_key "
                          "from mined_same union select unnest([left_key, right_key]) "
                          "from mined_apart"))  # fmt: skip
    extent = engine.rows(_EXTENT).row(0, named=True)
    possible = _told_tests(engine)
    texts = _hits(engine, rec, [(t,) for t in possible], now)
    usual = texts.filter(pl.col("support") >= SUPPORT_MIN).sort("number")
    tests = [possible[i] for i in usual["number"]]
    tried = conjunctions(tests, extent)
    told = _hits(engine, rec, tried, now)
    chosen = _choose(engine, told, tried)
    return _finished(engine, rec, now, chosen, tried=len(possible) + len(tried),
                     run_id=run_id)  # fmt: skip


def _label_steps() -> tuple[Step, ...]:
    """`mined_same` and `mined_apart`: standing pairs of the work stream and from elsewhere."""
    taken = """
from standing s join decisions d using (seq)
where d.stream is distinct from 'audit'
  and s.left_key is not null and s.right_key is not null"""
    return (
        Step(
            "mined",
            f"""
create or replace table mined_same as
select s.seq, s.left_key, s.right_key, d.recorded_at {taken} and s.verdict = 'same'
order by s.seq desc limit {LABELS_MAX};
create or replace table mined_apart as
select s.seq, s.left_key, s.right_key {taken} and s.verdict = 'not_same'
order by s.seq desc limit {LABELS_MAX}""",
            "what people said of pairs",
        ),
    )


def _rest_step(keys: str) -> Step:
    """`rest`: the events a rule is tried on."""
    return Step(
        "mined_rest",
        f"""
create or replace table mined_rest as select distinct k as event_key from ({keys});
create or replace view rest as
select * from pool where side < 2 and event_key in (select event_key from mined_rest)""",
        "the events that rules are tried on",
    )


_EXTENT = """
    select min(epoch_us(r.event_ts) - epoch_us(l.event_ts)) as earliest,
      max(epoch_us(r.event_ts) - epoch_us(l.event_ts)) as latest,
      max(abs(l.amount - r.amount)) filter (l.currency = r.currency) as apart
    from mined_same s join events l on l.event_key = s.left_key
    join events r on r.event_key = s.right_key
"""


def _told_tests(engine: Engine) -> list[TextTest]:
    """The tests whose fields both sides of the decided pairs tell often enough."""
    tests = text_tests()
    told: dict[str, dict[str, int]] = {}
    for side, name in ((0, "left"), (1, "right")):
        fields = sorted({getattr(test, name) for test in tests})
        listed = ", ".join(f"count({'w' if f in _PERSONAL else 'e'}.{f}) as {f}" for f in fields)
        told[name] = engine.rows(
            f"select {listed} from events e left join who w using (event_key) "
            f"where e.event_key in (select event_key from rest where side = {side})"
        ).row(0, named=True)
    return [
        test
        for test in tests
        if min(told["left"][test.left], told["right"][test.right]) >= SUPPORT_MIN
    ]


_PERSONAL = ("email", "customer_name", "phone", "postcode")


def _rule(rec: Reconciliation, conditions: Sequence[Condition], now: datetime) -> Rule:
    return Rule(
        name=name_of(conditions), reconciliation=rec.name, conditions=tuple(conditions),
        created=now, expires=now + LIFE,
    )  # fmt: skip


def _hits(
    engine: Engine, rec: Reconciliation, conjunctions: Sequence[Sequence[Condition]], now: datetime
) -> pl.DataFrame:
    """Pairs of `rest` that meet each conjunction, judged: `number, support, wrong`.

    One that would look at more pairs than `learned` allows is left out; so is one that knows no
    text, in `rest` as in the run that would apply it.
    """
    _meet(engine, rec, [_rule(rec, c, now) for c in conjunctions])
    return engine.rows(
        "select number, count(*) filter (verdict = 'right') as support, "
        "count(*) filter (verdict = 'wrong') as wrong from mined_hits group by number "
        "order by number"
    )


def _meet(engine: Engine, rec: Reconciliation, rules: Sequence[Rule]) -> None:
    """`mined_hits(number, left_key, right_key, verdict)`: pairs of `rest` that meet each rule."""
    single = " or ".join(
        f"h.{key} in (select {key} from mined_same)" for key in disputes.single_sides(rec)
    )
    meeting.meet(engine, rules)
    engine.run(
        Step(
            "mined_hits",
            f"""
create or replace table mined_hits as
with met as (
  select p.number, l.event_key as left_key, r.event_key as right_key
  from rule_pairs p join pool l on l.eid = p.left_eid join pool r on r.eid = p.right_eid
)
select h.*, case when s.left_key is not null then 'right'
    when a.left_key is not null or {single or "false"} then 'wrong' end as verdict
from met h
left join (select distinct left_key, right_key from mined_same) s
  on s.left_key = h.left_key and s.right_key = h.right_key
left join (select distinct left_key, right_key from mined_apart) a
  on a.left_key = h.left_key and a.right_key = h.right_key""",
            "what is known of the pairs that meet each rule; where one counterpart is allowed, "
            "any but the named one is wrong",
        )
    )


def _choose(
    engine: Engine, told: pl.DataFrame, conjunctions: Sequence[tuple[Condition, ...]]
) -> list[tuple[Condition, ...]]:
    """Greedily the conjunction that explains most pairs not explained yet; seldom wrong, at most.

    Of those that explain equally many the one with most conditions: it claims least.
    """
    hits = engine.rows(
        "select h.number, s.seq from mined_hits h join mined_same s using (left_key, right_key)"
    )
    fair = told.filter(pl.col("wrong") <= pl.col("support") * 0.05)
    open_hits = hits.join(fair.select("number"), on="number", how="semi")
    weak = [all(isinstance(t, (Amount, Days)) for t in c) for c in conjunctions]
    known = pl.DataFrame(
        {"number": range(len(conjunctions)), "size": map(len, conjunctions), "weak": weak},
        schema={"number": pl.Int64, "size": pl.Int64, "weak": pl.Boolean},
    )
    chosen: list[tuple[Condition, ...]] = []
    for _ in range(RULES_MAX):
        counted = (
            open_hits.group_by("number").len("gain")
            .with_columns(pl.col("number").cast(pl.Int64), pl.col("gain").cast(pl.Int64))
            .join(known, on="number")
            .filter(pl.col("gain") >= SUPPORT_MIN)
        )  # fmt: skip
        if counted.is_empty():
            break
        # Equal amounts alone turn up by chance among more events than were decided about, so a
        # text goes first. A tenth fewer pairs for one more condition is a good bargain.
        first = counted.filter(pl.col("weak") == pl.col("weak").min())
        near = first.filter(pl.col("gain") >= 0.9 * pl.col("gain").max()).sort(
            "size", "gain", "number", descending=[True, True, False]
        )
        best = int(near["number"][0])
        chosen.append(conjunctions[best])
        explained = open_hits.filter(pl.col("number") == best).select("seq")
        open_hits = open_hits.join(explained, on="seq", how="anti")
    return chosen


def _finished(  # noqa: PLR0913 - the rules and everything they are held against
    engine: Engine,
    rec: Reconciliation,
    now: datetime,
    chosen: Sequence[tuple[Condition, ...]],
    *,
    tried: int,
    run_id: str | None,
) -> list[Distilled]:
    """Hold the chosen rules against every event of the other side, and against what is open."""
    if not chosen:
        return []
    rules = [_rule(rec, c, now) for c in chosen]
    engine.run(_rest_step("select left_key as k from mined_same union select right_key from "
                          "mined_same union select unnest([left_key, right_key]) from mined_apart "
                          "union select event_key from pool where side = 1"))  # fmt: skip
    _meet(engine, rec, rules)
    known = engine.rows(_KNOWN)
    shown = f"run_id = {quote_text(run_id)}" if run_id is not None else "false"
    engine.run(
        _rest_step(
            f"select event_key as k from open_items where {shown} and match_id is null"
            " and event_key not in (select left_key from mined_same union all"
            " select right_key from mined_same)"
        )
    )
    _meet(engine, rec, rules)
    today = engine.rows(_TODAY)
    money = engine.rows(_MONEY_TODAY)
    found = []
    for number, rule in enumerate(rules):
        row = _row(known, number)
        if row is None:
            continue
        support, wrong = int(row["support"]), int(row["wrong"])
        bound = stats.clopper_pearson_lower(support, support + wrong, DELTA / tried)
        seen = _row(today, number)
        mine = money.filter(pl.col("number") == number).sort("currency")
        found.append(
            Distilled(
                rule.model_copy(update={
                    "decisions": tuple(row["seqs"]), "support": support,
                    "precision_bound": round(bound, 6),
                }),
                phrased(rule), support, wrong, row["newest"], tuple(row["against"]),
                int(seen["alone"]) if seen else 0, int(seen["asked"]) if seen else 0,
                tuple(mine.select("currency", "minor").iter_rows()),
            )
        )  # fmt: skip
    return found


def _row(frame: pl.DataFrame, number: int) -> dict[str, Any] | None:
    rows = frame.filter(pl.col("number") == number)
    return rows.row(0, named=True) if rows.height else None


_KNOWN = """
    select h.number, count(*) filter (h.verdict = 'right') as support,
      count(*) filter (h.verdict = 'wrong') as wrong,
      list_sort(list(distinct s.seq) filter (s.seq is not null)) as seqs,
      max(s.recorded_at) as newest,
      coalesce(list_sort(list(distinct a.seq) filter (a.seq is not null)), []) as against
    from mined_hits h
    left join mined_same s on s.left_key = h.left_key and s.right_key = h.right_key
    left join mined_apart a on a.left_key = h.left_key and a.right_key = h.right_key
    group by h.number order by h.number
"""
_COUNTED = """
    with met as (
      select *, count(*) over (partition by number, left_key) as at_left,
        count(*) over (partition by number, right_key) as at_right
      from mined_hits where verdict is distinct from 'wrong'
    )
"""
_TODAY = f"""
    {_COUNTED}
    select number, count(*) filter (at_left = 1 and at_right = 1) as alone,
      count(distinct left_key) filter (at_left > 1 or at_right > 1) as asked
    from met group by number order by number
"""
_MONEY_TODAY = f"""
    {_COUNTED}
    select m.number, p.currency, sum(p.amount)::bigint as minor
    from met m join (from pool where side = 0) p on p.event_key = m.left_key
    where at_left = 1 and at_right = 1 and p.currency is not null
    group by all order by all
"""
