"""A rule on trial that keeps pairs apart, judged by labels: which pairs it kept apart in a run.

Such a rule makes no match, so its mistake is no false match but a pair that is the same and that it
says is not. What the label of a left event on trial says of it (`canary.judged`):

| label | of the rule |
| --- | --- |
| names an event that the rule keeps from it | wrong |
| names another, whether that stands matched or not, or none | right |
| no answer by its deadline | wrong, as everywhere |
| of an event from which the rule keeps nothing | nothing |

A named counterpart that the rule does not speak of and that stands unmatched is a missed match of
other methods. It is no evidence on the rule, neither for it nor against it.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import meeting, pool
from recon_kit.matching.rules import Rule
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation
from recon_kit.tuning import outcomes

KEPT_SCHEMA: dict[str, pl.DataType] = {
    "event_key": pl.String(), "right_key": pl.String(), "component": pl.String(),
}  # fmt: skip


def kept_apart(engine: Engine, rec: Reconciliation, rule: Rule, run_id: str | None) -> pl.DataFrame:
    """Pairs that a rule on trial kept apart in one run, in the columns of `KEPT_SCHEMA`, by keys.

    The record of a run tells which events were on trial; the rule is asked of them once more.

    Args:
        engine: a snapshot's engine with the facts that the run saw and its table `canary_events`.
        rec: the reconciliation of the rule.
        rule: the rule on trial, of the verdict `not_same`.
        run_id: the run, or none for the one being made.
    """
    pool.build(engine, rec)
    tried = quote_text(rule.content_hash)
    events = outcomes.of_run(run_id)["canary_events"]
    engine.run(
        Step(
            "parted_events",
            f"""
create or replace temp table parted_events as
select event_key, component from {events} where method = 'learned' and certificate_id = {tried};
create or replace view rest as
select p.* from pool p join parted_events using (event_key) where side < 2""",
            "the events that the rule was tried on",
        )
    )
    meeting.meet(engine, [rule])
    found = engine.rows(
        """
        select l.event_key, r.event_key as right_key, t.component
        from (select distinct left_eid, right_eid from rule_pairs)
        join pool l on l.eid = left_eid join pool r on r.eid = right_eid
        join parted_events t on t.event_key = l.event_key
        order by all"""
    )
    return found.select(pl.col(name).cast(kind) for name, kind in KEPT_SCHEMA.items())
