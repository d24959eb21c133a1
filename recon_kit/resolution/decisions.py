"""Decisions: what a person says about a pair, an event or a match, checked and made into rows.

A judgement is drafted against the facts of a snapshot: both events must stand on the sides of the
reconciliation, a verdict that moves money needs a reason, and what the person saw must still be
so. What is wrong with a judgement is a value (`Drafted.problems`), and a draft is recorded whole
or not at all. Undo is another row; nothing is ever edited.

| verdict | about | evidence hash over |
| --- | --- | --- |
| same, not_same, unsure | a left and a right event | both |
| no_counterpart | one event of either side | that event |
| accept_residual | a match with money left open, by any of its members | all its members |
| write_off | such a match, or one open event | all its members, or that event |
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from recon_kit import model
from recon_kit.errors import DecisionRefusedError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.entries import undone
from recon_kit.matching import evidence
from recon_kit.matching.disputes import ADJUDICATED
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

PAIR_VERDICTS: tuple[str, ...] = ("same", "not_same", "unsure")
MONEY_VERDICTS: tuple[str, ...] = ("accept_residual", "write_off")
REASONS: dict[str, str] = {
    "customer_confirmed": "the customer or partner said so",
    "document_seen": "an invoice, statement or receipt shows it",
    "paid_elsewhere": "it was paid by means that send no file here",
    "wrong_id": "an id was mistyped or belongs to something else",
    "test_entry": "it is a test, not a sale",
    "bank_charge": "a bank or processor took a charge on the way",
    "fee_difference": "a fee differs from what was expected",
    "fx_difference": "the rate of exchange explains it",
    "rounding": "it is rounding",
    "goodwill": "the money is given up as goodwill",
    "bad_debt": "the money will not come any more",
    "immaterial": "it is too small to pursue",
    ADJUDICATED: "two people disagreed, and this person settled it",
    "other": "something else; the note says what",
}
JUDGEMENT_SCHEMA: dict[str, pl.DataType] = {
    "left_key": pl.String(), "right_key": pl.String(), "verdict": pl.String(),
    "reason_code": pl.String(), "note": pl.String(), "evidence_hash": pl.String(),
    "lease_token": pl.Int64(), "inclusion_probability": pl.Float64(),
}  # fmt: skip
PROBLEM_SCHEMA: dict[str, pl.DataType] = {
    "row": pl.Int64(), "code": pl.String(), "message": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Context:
    """What all judgements of one call share.

    `stream` is `work` or `audit`; `score_shown` says whether the person saw what the system
    thought; `effective_at` is when it was decided, where that is not now; `reasons` are the codes
    that recon.toml adds to `REASONS`; `run_id` names the run whose matches are meant.
    """

    reviewer: str
    stream: str = "work"
    score_shown: bool = True
    bundle_id: str | None = None
    effective_at: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """Rows for `Store.add_decisions`, and what is wrong with judgements (`PROBLEM_SCHEMA`)."""

    rows: pl.DataFrame
    problems: pl.DataFrame


def judgements(rows: pl.DataFrame, **same_for_all: object) -> pl.DataFrame:
    """Judgements in `JUDGEMENT_SCHEMA` from a frame that has some of its columns.

    Args:
        rows: at least one of `left_key` and `right_key`; columns not known here are left out.
        same_for_all: values of columns that all rows share, such as `verdict="same"`.
    """
    return rows.select(
        (
            pl.lit(same_for_all[name])
            if name in same_for_all
            else pl.col(name)
            if name in rows.columns
            else pl.lit(None)
        )
        .cast(kind)
        .alias(name)
        for name, kind in JUDGEMENT_SCHEMA.items()
    )


def new_bundle() -> str:
    """A name for decisions that are made, and may be undone, as one."""
    return secrets.token_hex(8)


def draft(engine: Engine, asked: pl.DataFrame, rec: Reconciliation, context: Context) -> Drafted:
    """Check judgements and make decisions of them.

    Args:
        engine: a snapshot's engine with view `events` and, for verdicts on matches, the views
            `matches`, `match_members` and `open_items` of `context.run_id`.
        asked: `JUDGEMENT_SCHEMA`; an `evidence_hash` is that of what the person was shown.
        rec: the reconciliation they belong to.
        context: who decides, and what all rows share.

    Returns:
        A decision (`model.DECISION_SCHEMA` without `seq`) for every judgement without a problem,
        with the evidence hash of the facts now. Problems carry the number of the judgement from 1.
    """
    codes = {**REASONS, **context.reasons}
    engine.put("asked", judgements(asked).with_row_index("row", offset=1))
    engine.put("asked_sides", _sides(rec))
    engine.put("asked_reasons", pl.DataFrame({"code": list(codes)}))
    engine.run(*draft_steps(context.run_id))
    found = engine.rows("from judged order by row").with_columns(pl.col("row").cast(pl.Int64))
    told = {c: m.replace("{codes}", ", ".join(codes)) for c, m in PROBLEMS.items()}
    problems = found.filter(pl.col("code").is_not_null()).select(
        "row", "code", message=pl.col("code").replace_strict(told, return_dtype=pl.String)
    )
    return Drafted(_rows(found.filter(pl.col("code").is_null()), rec, context), problems)


# The first that holds is told. Conditions speak of the columns of `told`: what was asked, the
# events that were found, the match they stand in, and whether money is open.
_CHECKS: tuple[tuple[str, str, str], ...] = (
    ("verdict_unknown", f"verdict is null or verdict not in {model.VERDICTS!r}",
     "the verdict must be one of " + ", ".join(model.VERDICTS)),
    ("event_missing", "left_key is null and right_key is null",
     "name the event that is meant"),
    ("pair_incomplete",
     f"verdict in {PAIR_VERDICTS!r} and (left_key is null or right_key is null)",
     "same, not_same and unsure speak of a left and a right event; name both"),
    ("one_event_only",
     "verdict = 'no_counterpart' and left_key is not null and right_key is not null",
     "no_counterpart speaks of one event; leave the other out"),
    ("left_not_found", "left_key is not null and l_key is null",
     "there is no such event on the left side of this reconciliation"),
    ("right_not_found", "right_key is not null and r_key is null",
     "there is no such event on the right side of this reconciliation"),
    ("no_match", "verdict = 'accept_residual' and match_id is null",
     "no match of the current run holds these events; run the reconciliation first"),
    ("no_residual", f"verdict in {MONEY_VERDICTS!r} and match_id is not null and not match_open",
     "the match leaves no money open; there is nothing to accept or write off"),
    ("not_open", "verdict = 'write_off' and match_id is null and not event_open",
     "the event is not open in the current run; there is nothing to write off"),
    ("reason_missing", f"verdict in {MONEY_VERDICTS!r} and reason_code is null",
     "a decision that moves money needs a reason code: {codes}"),
    ("reason_unknown", "reason_code is not null and known_reason is null",
     "there is no such reason code; known: {codes}; [review] reasons in recon.toml adds codes"),
    ("note_missing", "reason_code = 'other' and coalesce(trim(note), '') = ''",
     "the reason other needs a note that says what"),
    ("evidence_changed", "evidence_hash is not null and evidence_hash <> hash_now",
     "the facts have changed since they were shown; look again and decide anew"),
)  # fmt: skip
# `{codes}` stands for the reason codes that the workspace knows.
PROBLEMS: dict[str, str] = {code: message for code, _, message in _CHECKS}


def draft_steps(run_id: str | None) -> tuple[Step, ...]:
    """The statements of `draft`; they leave `judged`: each judgement with its first problem."""
    this_run = f"run_id = {quote_text(run_id)}" if run_id is not None else "false"
    code = " ".join(f"when {condition} then {quote_text(c)}" for c, condition, _ in _CHECKS)
    return (
        Step(
            "asked_events",
            """
create or replace table asked_events as
with wanted as (select unnest([left_key, right_key]) as event_key from asked)
select e.event_key, e.payload_hash,
  bool_or(s.side = 'left') as on_left, bool_or(s.side = 'right') as on_right
from events e join asked_sides s on s.source = e.source and s.type = e.event_type
where e.event_key in (select event_key from wanted)
group by e.event_key, e.payload_hash""",
            "the events that are spoken of, and on which side they stand",
        ),
        Step(
            "asked_matches",
            f"""
create or replace table asked_matches as
with touched as (
  select a.row, min(mm.match_id) as match_id
  from asked a join (from match_members where {this_run}) mm
    on mm.event_key in (a.left_key, a.right_key)
  where a.verdict in {MONEY_VERDICTS!r}
  group by a.row having count(distinct mm.match_id) = 1
)
select t.row, t.match_id, {evidence.members_hash_sql("e")} as hash_now,
  t.match_id in (
    select match_id from open_items where {this_run} and match_id is not null) as open
from touched t
join (from match_members where {this_run}) mm using (match_id)
join events e using (event_key)
group by t.row, t.match_id""",
            "the match whose money is meant, and the evidence it stands on",
        ),
        Step(
            "judged",
            f"""
create or replace table judged as
with lone as (
  select distinct event_key from open_items
  where {this_run} and match_id is null and event_key is not null
), told as (
  select a.*, l.event_key as l_key, r.event_key as r_key, k.code as known_reason,
    m.match_id, m.open as match_open,
    coalesce(a.left_key, a.right_key) in (from lone) as event_open,
    coalesce(m.hash_now,
      case when l.event_key is not null and r.event_key is not null
           then {evidence.pair_hash_sql("l", "r")}
           else {model.digest_sql("coalesce(l.payload_hash, r.payload_hash)")} end) as hash_now
  from asked a
  left join (from asked_events where on_left) l on l.event_key = a.left_key
  left join (from asked_events where on_right) r on r.event_key = a.right_key
  left join asked_matches m on m.row = a.row
  left join asked_reasons k on k.code = a.reason_code
)
select *, case {code} end as code from told""",
            "the first thing that is wrong with each judgement",
        ),
    )


def undo_rows(
    targets: pl.DataFrame, reviewer: str, *, reason_code: str | None = None, note: str | None = None
) -> pl.DataFrame:
    """Rows that take decisions back, together; an undo is taken back the same way.

    Args:
        targets: rows of the ledger's decisions, each not undone yet.
        reviewer: who takes them back.
        reason_code: why, as a code.
        note: why, in words.
    """
    values = {
        "bundle_id": pl.lit(new_bundle() if targets.height > 1 else None),
        "reason_code": pl.lit(reason_code), "note": pl.lit(note), "reviewer": pl.lit(reviewer),
        "undoes": pl.col("seq"),
    }  # fmt: skip
    kept = ("reconciliation", "left_key", "right_key", "stream")
    return targets.select(
        values.get(name, pl.col(name) if name in kept else pl.lit(None)).cast(kind).alias(name)
        for name, kind in model.DECISION_SCHEMA.items()
        if name != "seq"
    )


def undoable(
    decisions: pl.DataFrame, reviewer: str, *, seq: int | None = None, bundle: str | None = None
) -> pl.DataFrame:
    """The rows that one undo takes back.

    Args:
        decisions: every row of the ledger, undone ones included.
        reviewer: whose newest decision is meant, where neither `seq` nor `bundle` is given.
        seq: one row, be it a decision or an undo.
        bundle: all rows of a bundle that are not undone yet.

    Raises:
        DecisionRefusedError: there is no such row, or it is undone already.
    """
    open_rows = decisions.filter(~pl.col("seq").is_in(sorted(undone(decisions))))
    said = open_rows.filter(pl.col("undoes").is_null())
    if seq is None and bundle is None:
        mine = said.filter(pl.col("reviewer") == reviewer).sort("seq").tail(1)
        if mine.is_empty():
            raise DecisionRefusedError(f"{reviewer} has no decision in force; nothing is undone.")
        seq, bundle = mine["seq"][0], mine["bundle_id"][0]
    if bundle is not None:
        found = said.filter(pl.col("bundle_id") == bundle)
        wanted = f"bundle {bundle}"
    else:
        found = open_rows.filter(pl.col("seq") == seq)
        wanted = f"decision {seq}"
    if found.is_empty():
        known = pl.col("seq") == seq if bundle is None else pl.col("bundle_id") == bundle
        state = "is undone already" if decisions.filter(known).height else "does not exist"
        raise DecisionRefusedError(f"{wanted} {state}; nothing is undone.")
    return found


def refuse(problems: pl.DataFrame) -> None:
    """Raise for the first problem of a draft.

    Raises:
        DecisionRefusedError: there is one.
    """
    if problems.is_empty():
        return
    first = problems.row(0, named=True)
    more = f" ({problems.height - 1} more like it or others)" if problems.height > 1 else ""
    raise DecisionRefusedError(
        f"judgement {first['row']}: {first['message']} [{first['code']}]{more}. "
        "Nothing was recorded."
    )


def _sides(rec: Reconciliation) -> pl.DataFrame:
    """Which source and type stand on which side, once each."""
    rows = [
        (side, source, kind)
        for side, told in (("left", rec.left), ("right", rec.right))
        for source in dict.fromkeys(told.sources)
        for kind in dict.fromkeys(told.types)
    ]
    return pl.DataFrame(rows, schema=["side", "source", "type"], orient="row")


def _rows(good: pl.DataFrame, rec: Reconciliation, context: Context) -> pl.DataFrame:
    values = {
        "reconciliation": pl.lit(rec.name), "bundle_id": pl.lit(context.bundle_id),
        "reviewer": pl.lit(context.reviewer), "effective_at": pl.lit(context.effective_at),
        "stream": pl.lit(context.stream), "score_shown": pl.lit(context.score_shown),
        "evidence_hash": pl.col("hash_now"), "recorded_at": pl.lit(None), "undoes": pl.lit(None),
    }  # fmt: skip
    return good.select(
        values.get(name, pl.col(name) if name in good.columns else pl.lit(None))
        .cast(kind)
        .alias(name)
        for name, kind in model.DECISION_SCHEMA.items()
        if name != "seq"
    )
