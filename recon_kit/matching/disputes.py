"""Whose word stands: what people say of pairs and events, where they agree and where not.

Per pair the latest word of each reviewer counts; `unsure` takes back one's own word and says
nothing against another's. Words that contradict one another are applied by nobody until one of
them is taken back, or a third person settles it (reason code `adjudicated`), which silences every
earlier word on that pair and, where it names a counterpart or none, on that left event.

| kind | what contradicts what |
| --- | --- |
| verdicts | one pair: one person says same, another not the same |
| counterpart_or_none | one event: one person names a counterpart, another says it has none |
| two_counterparts | one event that may have one counterpart: two people name different ones |
| audit_labels | one event of the audit sample: two people give different labels |

Reads view `decisions`; leaves `words` (what stands after all changes of mind) and
`disputes(seq, other_seq, kind)`, each contradiction from both ends.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Step
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

PAIR_VERDICTS = "('same', 'not_same', 'unsure', 'no_counterpart')"
ADJUDICATED = "adjudicated"


def steps(rec: Reconciliation) -> tuple[Step, ...]:
    """The statements that leave `words` and `disputes`."""
    return (_words_step(rec), _disputes_step(rec))


def single_sides(rec: Reconciliation) -> tuple[str, ...]:
    """The key columns of the sides whose events have one counterpart at most."""
    return {
        "one_to_one": ("left_key", "right_key"),
        "one_to_many": ("right_key",),
        "many_to_one": ("left_key",),
        "many_to_many": (),
    }[rec.cardinality]


def _words_step(rec: Reconciliation) -> Step:
    return Step(
        "words",
        f"""
create or replace table words as
with spoken as (
    select seq, left_key, right_key, verdict, evidence_hash, stream,
           coalesce(reviewer, '') as reviewer, reason_code = {quote_text(ADJUDICATED)} as settles
    from decisions
    where reconciliation = {quote_text(rec.name)} and verdict in {PAIR_VERDICTS}
    qualify row_number() over (
        partition by left_key, right_key, coalesce(reviewer, '') order by seq desc) = 1
), settling as (
    from spoken where settles
), own as (
    select a.seq from spoken a join spoken b
      on a.reviewer = b.reviewer and a.seq < b.seq and b.verdict <> a.verdict
      and (a.left_key = b.left_key or a.right_key = b.right_key)
    where a.verdict in ('same', 'no_counterpart') and b.verdict in ('same', 'no_counterpart')
), silenced as (
    select w.seq from spoken w join settling s
      on s.seq > w.seq and s.left_key = w.left_key
      and not (w.settles is true and w.reviewer = s.reviewer)
    where s.right_key is not distinct from w.right_key
       or s.verdict in ('same', 'no_counterpart') and w.verdict in ('same', 'no_counterpart')
)
select seq, left_key, right_key, verdict, evidence_hash, stream, reviewer
from spoken
where verdict <> 'unsure' and seq not in (from own) and seq not in (from silenced)""",
        "each reviewer's latest word, as far as nobody settled the matter later",
    )


def _disputes_step(rec: Reconciliation) -> Step:
    apart = [
        f"""select a.seq, b.seq, 'two_counterparts' from named a join named b
    on a.{key} = b.{key} and {_other(key)}"""
        for key in single_sides(rec)
    ]
    apart.append(
        f"""select a.seq, b.seq, 'audit_labels' from named a join named b
    on a.left_key = b.left_key and a.stream = 'audit' and b.stream = 'audit'
    and {_other("left_key")}"""
    )
    return Step(
        "disputes",
        f"""
create or replace table disputes as
with named as (from words where verdict = 'same'), found as (
    select a.seq as one, b.seq as other, 'verdicts' as kind from words a join words b
      on a.left_key = b.left_key and a.right_key = b.right_key and a.reviewer <> b.reviewer
    where a.verdict = 'same' and b.verdict = 'not_same'
    union all
    select a.seq, b.seq, 'counterpart_or_none' from named a
    join (from words where verdict = 'no_counterpart') b
      on (a.left_key = b.left_key or a.right_key = b.right_key) and a.reviewer <> b.reviewer
    union all
    {" union all ".join(apart)}
)
select seq, other_seq, min(kind) as kind from (
    select one as seq, other as other_seq, kind from found
    union all select other, one, kind from found
) group by seq, other_seq""",
        "words that contradict one another",
    )


def _other(key: str) -> str:
    """Two people name different counterparts of `key`, neither of whom names the other's too."""
    far = "right_key" if key == "left_key" else "left_key"
    return f"""a.{far} < b.{far} and a.reviewer <> b.reviewer
    and not exists (from named c where c.{key} = a.{key} and c.{far} = b.{far}
                    and c.reviewer = a.reviewer)
    and not exists (from named c where c.{key} = a.{key} and c.{far} = a.{far}
                    and c.reviewer = b.reviewer)"""
