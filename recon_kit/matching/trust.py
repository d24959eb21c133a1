"""How far a picked pair is trusted: its probability, and what makes it a question for a person.

The one place that turns a scored and assigned pair into a probability (`weigh`), and the one that
decides the why-code (`why_code_sql`):

| why_code | why it is a question |
| --- | --- |
| unscored | its probability is no number |
| ambiguous | another answer is exactly as good |
| currency | the two share no currency in which they could agree |
| amounts_differ | no key joins them, they stand alone, and their amounts are far apart |
| below_floor | its probability is under the certified threshold, or `auto_match_floor` |
| margin | the best rival comes too near |
| uncertified | good enough, but nothing certifies the threshold now (see `authority`) |

The first four hold at any threshold, so they are told before the others. Amounts far apart are one
of them because the same customer buys more than once: an order that nobody paid and a payment of
another purchase agree in all but the money, and no number of such pairs makes one a match.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, classifier
from recon_kit.matching.authority import Authority
from recon_kit.matching.comparisons import AMOUNTS_DIFFER
from recon_kit.matching.stored import Trained
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

TABLE = "trusted_pairs"


def weigh(engine: Engine, trained: Trained | None) -> None:
    """Make `trusted_pairs`: `assigned_pairs` with levels, weights and the final `probability`.

    Without labels that is the chance of the pair under the cardinality, as `assign` found it;
    where labels added a classifier or a calibration to the model, what these make of it. Which
    pairs were picked, and their margins, stay as they are.
    """
    if trained is None or (trained.classifier is None and trained.calibration is None):
        engine.run(probability_step())
        return
    engine.run(
        Step(
            "picked_pairs",
            """
create or replace temp view picked_pairs as
select left_eid, right_eid, match_probability as chance from assigned_pairs
where isfinite(match_probability)""",
            "the pairs that can be judged",
        )
    )
    classifier.describe(engine, "picked_pairs")
    judged = classifier.judge(engine, trained.classifier, trained.calibration)
    engine.run(
        Step(
            TABLE,
            f"""
create or replace table {TABLE} as
select a.*, s.levels, s.weights, j.probability
from assigned_pairs a join scored_pairs s using (left_eid, right_eid)
left join ({judged}) j using (left_eid, right_eid)""",
            "how probable each picked pair is, by what labels taught",
        )
    )


def probability_step() -> Step:
    """`trusted_pairs` where no label taught anything."""
    return Step(
        TABLE,
        f"""
create or replace table {TABLE} as
select a.*, s.levels, s.weights, a.match_probability as probability
from assigned_pairs a join scored_pairs s using (left_eid, right_eid)""",
        "how probable each picked pair is, all considered",
    )


def why_code_sql(allowed: Authority, pair: str, left: str, right: str) -> str:
    """What makes a pair a question, null where nothing does.

    `pair` is an alias of `trusted_pairs`, `left` and `right` are its rows of `second_look`.
    """
    certain = "null" if allowed.alone else "'uncertified'"
    apart = (
        f"{amounts.shared_currency(left, right)} is null and not {amounts.lacks_amount(left)}"
        f" and not {amounts.lacks_amount(right)}"
    )
    return f"""case when {_no_number(pair)} then 'unscored'
            when {pair}.equal_answers > 1 then 'ambiguous'
            when {apart} then 'currency'
            when {pair}.together is null and coalesce({pair}.levels ->> '$.amount'
                 = {quote_text(AMOUNTS_DIFFER)}, false) then 'amounts_differ'
            when {pair}.probability < {allowed.threshold!r} then 'below_floor'
            when {pair}.margin < {allowed.margin!r} then 'margin'
            else {certain} end"""


def worth_sql(rec: Reconciliation, pair: str) -> str:
    """Whether a pair is shown at all; one without a probability always is."""
    return f"({_no_number(pair)} or {pair}.probability >= {rec.probable.review_min!r})"


def _no_number(pair: str) -> str:
    # NaN sorts above every number, so it would pass any threshold.
    return f"({pair}.probability is null or isnan({pair}.probability))"
