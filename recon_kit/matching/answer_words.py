"""Sentences about answers of methods without a key, for open items of either side.

`answer_words` has a row per open event and counterpart of a question: `eid, other, code` (the
`why_code` of the open item), `method, kind, reason` (the question's own code), `size` (parts),
`equal_answers`, and whether the event is the principal. What was undecidable has no counterpart.
"""

from __future__ import annotations

import json

from recon_kit.ledger.engine import Step
from recon_kit.matching import answers, keys
from recon_kit.settings import Reconciliation


def hints() -> str:
    """Rows of `nearest`'s table `hints` about what was undecidable or ruled out."""
    return """
    select eid, null::bigint as other, why_code,
           case why_code when 'undecidable' then 4 else 2 end as rank, null as key_used
    from undecided
    union all
    select unnest([left_eid, right_eid]), unnest([right_eid, left_eid]), 'ruled_out', 5, rule
    from ruled_out"""


def code_sql() -> str:
    """The `why_code` of an open item, from a row `p` of `out_proposals`."""
    mine = keys.texts(answers.METHODS)
    return (
        f"case when p.method = 'exact' or (p.method in ({mine}) and p.why_code = 'ambiguous')"
        " then 'ambiguous' else 'proposed' end"
    )


def step(rec: Reconciliation) -> Step:
    """Make `answer_words`."""
    one = keys.one_side(rec)
    return Step(
        "answer_words",
        f"""
create or replace table answer_words as
with sized as (
    select *, {one}_eid as principal, count(*) over (partition by match_id, {one}_eid) as size,
           case when why_code = 'ambiguous' then why_code else 'proposed' end as code
    from answer_proposals
), seen as (
    select *, unnest([left_eid, right_eid]) as eid, unnest([right_eid, left_eid]) as other
    from sized
)
select eid, other, code, method, json_extract_string(levels, '$.kind') as kind,
       why_code as reason, size, equal_answers, eid = principal as whole
from seen
qualify row_number() over (
    partition by eid, other, code order by confidence desc nulls last, match_id) = 1
union all
select eid, null, why_code, '', kind, why_code, null, number, true from undecided""",
        "what was found about each open event, in numbers",
    )


def ranked(levels: str | None) -> tuple[int, str]:
    """The place of an answer among those shown, and what speaks for it, in words.

    Args:
        levels: of its pairs in `pair_evidence`; (0, "") where no answer was ranked.
    """
    told = json.loads(levels) if levels else {}
    if "rank" not in told:
        return 0, ""
    fees = told["fee_off_bp"]
    words = [
        f"within {told['span_days']:g} days",
        f"{told['gap_days']:g} days from it",
        f"fees {fees} basis points from the usual" if fees else "fees as usual",
    ]
    return int(told["rank"]), ", ".join(words)


def counted(levels: str | None, equal_answers: int | None) -> str:
    """How many answers there are of what kind, such as `1,100 sets`; empty where not counted."""
    kind = (json.loads(levels) if levels else {}).get("kind")
    if not kind or not equal_answers or equal_answers < 2:
        return ""
    return f"{equal_answers:,} {kind}s"


def sentence_sql(other: str, apart: str) -> str:
    """The sentence, over a row `w` of `answer_words`.

    Args:
        other: SQL text that names the counterpart.
        apart: SQL text that says how far it lies.
    """
    summed = (
        "w.size || case when w.size = 1 then ' open item equals it'"
        " else case when w.kind = 'run' then ' open items in a row' else ' open items' end"
        " || ' add up to it' end"
    )
    part = f"case when w.size = 1 then 'equals ' else 'adds up with others to ' end || {other}"
    found = f"case when w.whole then {summed} else {part} end"
    several = "w.equal_answers || ' ' || w.kind || 's of open items add up to '"
    counted = f"case when w.whole then {several} || 'it' else"
    return f"""case
    when w.reason = 'undecidable' then w.equal_answers
         || ' open items could be part of it: too many to tell which'
    when w.method = 'learned'
    then 'a rule joins it to ' || {other} || ', and to others as well: '
         || w.equal_answers || ' candidates'
    when w.reason = 'ambiguous'
    then {counted} 'may be part of ' || {other} || ': ' || {several} || 'that' end
         || '; no answer is better'
    when w.method = 'window'
    then 'amount and time agree with ' || {other} || ' alone' || {apart}
         || case w.reason when 'key_differs' then '; but they name different ids'
                 when 'below_floor' then '; but so many could, that it may be by chance'
                 else '; a person confirms' end
    when w.reason = 'residual'
    then 'would close what is open of ' || {other} || '; a person confirms'
    when w.reason = 'chance' then {found} || '; but so many could, that one may by chance'
    when w.reason = 'key_differs' then {found} || '; but they name different ids'
    else {found} || '; a person confirms' end"""
