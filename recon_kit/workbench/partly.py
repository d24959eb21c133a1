"""Events that a match covers in part: how much of each is open, and what to say of it.

A bank line of 43,155.10 of which a payout of 15,022.70 is matched has 28,132.40 open: that, and not
the whole, is what a further payout has to come to.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recon_kit import money
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.keys import one_side
from recon_kit.present import comparing
from recon_kit.present.questions import Question
from recon_kit.settings import Reconciliation

# Only where the side of the one has a single event, told in the currency of the match.
_PARTLY = """
    create or replace temp table review_partly as
    with partly as (
      select m.reconciliation, min(mm.event_key) as event_key,
        case o.one when 'left' then m.residual_minor else -m.residual_minor end as open_minor
      from matches m join review_one o using (reconciliation)
      join match_members mm
        on mm.match_id = m.match_id and mm.run_id = m.run_id and mm.side = o.one and mm.counts
      join events e on e.event_key = mm.event_key
      where e.currency = m.currency
        and (m.match_id, m.run_id) in (select (match_id, run_id) from open_items)
      group by m.reconciliation, m.match_id, m.run_id, open_minor having count(*) = 1
    )
    select event_key, json_group_object(reconciliation, open_minor)::varchar as open_of
    from (from partly semi join review_wanted using (event_key) order by event_key, reconciliation)
    group by event_key
"""
_NONE = """
    create or replace temp table review_partly as
    select null::varchar as event_key, null::varchar as open_of where false
"""


def step(engine: Engine, recs: Sequence[Reconciliation]) -> Step:
    """`review_partly(event_key, open_of)` of the events in `review_wanted`.

    `open_of` is JSON: by reconciliation, how many minor units of the event its match leaves open.
    The engine shows the current runs of `recs`.
    """
    sides = [(rec.name, one_side(rec)) for rec in recs]
    schema = {"reconciliation": pl.String, "one": pl.String}
    engine.put("review_one", pl.DataFrame(sides, schema=schema, orient="row"))
    return Step("review_partly", _PARTLY if recs else _NONE, "events that a match covers in part")


def sentence(question: Question) -> str:
    """Why a person is asked whether something closes what a match leaves open."""
    mine, theirs = question.how.measures
    told = [(record, mine) for record in question.asked]
    told += [(record, theirs) for c in question.candidates[:1] for record in c.records]
    for record, measure in told:
        part = comparing.open_part(record, measure)
        if part is not None and record.get("currency"):
            still, whole = (money.display(minor, record["currency"]) for minor in part)
            return f"A match by key leaves {still} of {whole} open; this would close it."
    return "It would close what a match by key leaves open."
