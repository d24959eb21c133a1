"""What a person is asked: pairs that no method may join by itself, reserving nothing.

`out_proposals` has the pairs of ambiguous key groups and the pairs of later methods that stay
below their threshold or are not certified; a pair that is both keeps the key's reason and the
score. A proposed group is a row per pair under one `match_id`
(see `answers`). What has an event that found its match after all is no longer proposed.
"""

from __future__ import annotations

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, answers
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def prepare() -> Step:
    """`offered_pairs`: where later methods leave what they propose."""
    return Step(
        "offered_pairs",
        """
create or replace table offered_pairs (left_eid bigint, right_eid bigint, method varchar,
    confidence double, margin double, why_code varchar, model_hash varchar)""",
        "pairs for a person",
    )


def run(engine: Engine, rec: Reconciliation) -> None:
    """Write `out_proposals` from `ambiguous` and `offered_pairs`; `rest` must be final."""
    engine.run(*steps(rec))
    answers.ask(engine, rec)


def steps(rec: Reconciliation) -> tuple[Step, ...]:
    """The pairs alone; questions about answers come after them."""
    pair = model.pair_id_sql(quote_text(rec.name))
    return (
        Step(
            "out_proposals",
            f"""
create or replace table out_proposals as
with several as (
    select distinct left_eid, right_eid from ambiguous
    where left_eid is not null and right_eid is not null
), pairs as (
    select left_eid, right_eid, 'exact' as method, o.confidence, coalesce(o.margin, 0.0) as margin,
           'ambiguous' as why_code, o.model_hash
    from several left join offered_pairs o using (left_eid, right_eid)
    union all by name
    from offered_pairs anti join several using (left_eid, right_eid)
)
select {pair} as match_id, {quote_text(rec.name)} as reconciliation, method, confidence, margin,
       left_key, right_key, money.currency,
       money.left_sum::bigint as left_amount, money.right_sum::bigint as right_amount,
       why_code, model_hash
from (
    select pairs.*, l.event_key as left_key, r.event_key as right_key,
           {amounts.pair_money(rec)}
    from pairs join rest l on l.eid = left_eid join rest r on r.eid = right_eid
) money
anti join barred_pool b on b.left_eid = money.left_eid and b.right_eid = money.right_eid""",
            "pairs whose events are both still open",
        ),
    )
