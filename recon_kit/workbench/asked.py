"""What a person is asked, read from the current runs: proposals, held-back matches, audit draws.

A question hangs on one event: the principal of what is proposed (the left event, or the bank line
of several payouts), or the drawn left event of an audit. Everything that may be its counterpart is
a candidate, so that rivals stand beside one another and are decided together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import enrich, ladders
from recon_kit.matching.components import components_sql
from recon_kit.matching.keys import one_side
from recon_kit.present import screen
from recon_kit.present.questions import Question
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation
from recon_kit.tuning import draws as draws_room
from recon_kit.tuning import worklist
from recon_kit.workbench import partly, rivals

QUESTIONS_MAX = 20_000  # of one sitting; the facts of all of them are kept in memory
SECOND = "second"  # the why-code of what another person has judged before
_EVENTS = ("asked_key", "other_key", "rival_key", "held_by")
_AGAIN: dict[str, pl.DataType] = {
    name: pl.String() for name in ("reconciliation", "left_key", "right_key", "stream")
}

# A row per candidate and event of it; `asked_key` is what the question hangs on.
_PROPOSED = """
    create or replace temp table review_pairs as
    with told as (
      select p.reconciliation, p.match_id, p.method, p.confidence, p.margin, p.why_code,
        p.left_key, p.right_key, 'work' as stream
      from proposals p
      union all
      select m.reconciliation, m.match_id, m.method, m.confidence, m.margin,
        case when m.discrepancies like '%"id_conflict"%' then 'id_conflict'
          when m.discrepancies like '%"currency"%' then 'currency' else 'sign_off' end,
        l.event_key, r.event_key, 'work'
      from matches m
      join match_members l on l.match_id = m.match_id and l.run_id = m.run_id
        and l.side = 'left' and l.counts
      join match_members r on r.match_id = m.match_id and r.run_id = m.run_id
        and r.side = 'right' and r.counts
      where m.disposition = 'review'
    )
    select t.*, case s.one when 'left' then left_key else right_key end as asked_key,
      case s.one when 'left' then right_key else left_key end as other_key
    from told t join review_sides s using (reconciliation)
"""
_ONCE = """
    delete from review_pairs
    where (reconciliation, asked_key) in (select (reconciliation, event_key) from review_draws)
"""
_DRAWN = """
    insert into review_pairs
    with drawn as (
      select distinct reconciliation, event_key from review_draws
    ),
    others as (
      select d.reconciliation, d.event_key as left_key, r.event_key as right_key
      from drawn d
      join match_members l on l.event_key = d.event_key and l.side = 'left'
      join matches m on m.match_id = l.match_id and m.run_id = l.run_id
        and m.reconciliation = d.reconciliation
      join match_members r on r.match_id = m.match_id and r.run_id = m.run_id
        and r.side = 'right' and r.role <> 'duplicate'
      union
      select d.reconciliation, d.event_key, p.right_key
      from drawn d join proposals p
        on p.reconciliation = d.reconciliation and p.left_key = d.event_key
      union
      select d.reconciliation, d.event_key, o.nearest_key
      from drawn d join open_items o
        on o.reconciliation = d.reconciliation and o.event_key = d.event_key
      where o.nearest_key is not null
    )
    select d.reconciliation, coalesce(o.right_key, d.event_key), null, null, null, 'audit',
      d.event_key, o.right_key, 'audit', d.event_key, o.right_key
    from drawn d
    left join others o on o.reconciliation = d.reconciliation and o.left_key = d.event_key
"""
# What a second person is asked stands for the question that the first one answered: only the pairs
# in doubt, and nothing of what was said.
_SECOND = f"""
    create or replace temp table review_again as
    select s.*, case when s.stream = 'audit' or d.one = 'left' then left_key else right_key end
      as asked_key
    from review_second s join review_sides d using (reconciliation);
    delete from review_pairs
    where (reconciliation, asked_key) in (select (reconciliation, asked_key) from review_again);
    insert into review_pairs
    select reconciliation,
      {model.pair_id_sql("reconciliation")},
      null, null, null, '{SECOND}', left_key, right_key, stream, asked_key,
      case when asked_key = left_key then right_key else left_key end
    from review_again
"""
_ID = model.digest_sql("reconciliation", "asked_key", "stream")
_LISTED = f"""
    create or replace temp table review_asked as
    with shown as (
      select p.*, e.levels from review_pairs p left join (
        select match_id, left_key, right_key, max(levels) as levels
        from pair_evidence group by all
      ) e on e.match_id = p.match_id and e.left_key = p.left_key and e.right_key = p.right_key
    ),
    one as (
      select reconciliation, asked_key, stream, max_by(method, rank) as method,
        max_by(why_code, rank) as why_code, max(confidence) as confidence,
        max_by(coalesce(levels, method || ' ' || why_code, why_code), rank) as pattern
      from (
        select *, struct_pack(c := coalesce(confidence, -1), k := match_id) as rank
        from shown where coalesce(why_code, '') not in {rivals.CODES!r}
      )
      group by reconciliation, asked_key, stream
    ),
    sized as (
      select reconciliation, asked_key, stream, count(distinct other_key) as candidates
      from review_pairs group by all
    )
    select {_ID} as question_id, o.*, e.event_ts, e.currency, z.candidates,
      coalesce(e.customer_id, lower(w.email)) as customer, c.root as component,
      case s.measure when 'net' then coalesce(e.net, e.amount) else e.amount end as amount_minor
    from one o join events e on e.event_key = o.asked_key
    join review_sides s using (reconciliation)
    join sized z using (reconciliation, asked_key, stream)
    left join (
      select event_key, payload_hash, max(email) as email from who
      where event_key in (select asked_key from one) group by all
    ) w on w.event_key = e.event_key and w.payload_hash = e.payload_hash
    left join (
      {
    components_sql(
        "select asked_key as a, other_key as b from review_pairs where other_key is not null"
    )
}
    ) c on c.node = o.asked_key
"""
_PAIRS = f"""
    select {_ID} as question_id, p.*, e.levels, e.weights, e.equal_answers, e.rival_key, h.held_by
    from review_pairs p
    left join review_held h using (reconciliation, asked_key, other_key)
    left join (
      select match_id, left_key, right_key, any_value(levels) as levels,
        any_value(weights) as weights, max(equal_answers) as equal_answers,
        max(rival_key) as rival_key
      from pair_evidence group by all
    ) e on e.match_id = p.match_id and e.left_key = p.left_key and e.right_key = p.right_key
    order by p.confidence desc nulls last,
      try_cast(json_extract_string(e.levels, '$.rank') as integer) nulls last,
      p.match_id, p.other_key, p.left_key
"""
_RECORDS = """
    create or replace temp table review_records as
    select event_key, json_group_object(name, told::json)::varchar as told_more
    from (from review_told where told is not null order by event_key, name) group by event_key
"""
_FACTS = """
    select e.*, w.* exclude (event_key, payload_hash), a.name as artefact, m.told_more, p.open_of
    from events e
    left join who w on w.event_key = e.event_key and w.payload_hash = e.payload_hash
    left join (select sha256, min(name) as name from artefacts group by sha256) a
      on a.sha256 = e.artefact_sha256
    left join review_records m on m.event_key = e.event_key
    left join review_partly p on p.event_key = e.event_key
    where e.event_key in (select event_key from review_wanted)
    order by e.event_key
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything the questions of a sitting stand on.

    `questions`, in the order in which they are asked: `question_id, reconciliation, asked_key,
    stream, method, why_code, confidence, event_ts, currency, amount_minor` and the columns that
    `tuning.worklist.order` reads and adds. `pairs`: a row per candidate event: `question_id,
    reconciliation, match_id, method, confidence, margin, why_code, left_key, right_key, asked_key,
    other_key, levels, weights, equal_answers, rival_key, held_by`, best candidate first; `held_by`
    is with whom another match holds it. `facts`: see there.
    """

    questions: pl.DataFrame
    pairs: pl.DataFrame
    facts: pl.DataFrame


def put_proposed(engine: Engine, recs: Sequence[Reconciliation]) -> None:
    """Make `review_pairs`: what is proposed or held back, `asked_key` by `other_key`.

    Args:
        engine: shows the current runs of `recs`; its table `review_sides` is replaced.
        recs: the reconciliations to ask about.
    """
    sides = [(rec.name, one_side(rec), getattr(rec.measure, one_side(rec))) for rec in recs]
    schema = dict.fromkeys(("reconciliation", "one", "measure"), pl.String)
    engine.put("review_sides", pl.DataFrame(sides, schema=schema, orient="row"))
    engine.run(
        Step("review_pairs", _PROPOSED, "what is proposed or held back, candidate by candidate")
    )


def read(
    engine: Engine,
    recs: Sequence[Reconciliation],
    draws: pl.DataFrame,
    secret: bytes,
    second: pl.DataFrame | None = None,
) -> Asked:
    """Read what waits for a person.

    Args:
        engine: a snapshot's engine with the tables of the current runs of `recs`.
        recs: the reconciliations to ask about.
        draws: audit draws that wait for a label: `reconciliation, event_key`.
        secret: of the store, by which drawn events are mixed among the others.
        second: what this person is asked because another judged it: `reconciliation, left_key,
            right_key, stream`. It is asked blind, mixed in like drawn events, without a mark.
    """
    put_proposed(engine, recs)
    members = [
        (rec.name, side, source, kind)
        for rec in recs
        for side, told in (("left", rec.left), ("right", rec.right))
        for source in dict.fromkeys(told.sources)
        for kind in dict.fromkeys(told.types)
    ]
    columns = ["reconciliation", "side", "source", "event_type"]
    engine.put(
        "review_members",
        pl.DataFrame(members, schema=dict.fromkeys(columns, pl.String), orient="row"),
    )
    named = [(rec.name, kind) for rec in recs for kind in dict.fromkeys(rec.keys)]
    engine.put(
        "review_keys",
        pl.DataFrame(
            named, schema=dict.fromkeys(("reconciliation", "kind"), pl.String), orient="row"
        ),
    )
    engine.put("review_draws", draws.select("reconciliation", "event_key"))
    again = pl.DataFrame(schema=_AGAIN) if second is None else second.select(list(_AGAIN))
    engine.put("review_second", again)
    engine.run(
        *rivals.steps(),
        Step("review_once", _ONCE, "a drawn event is asked in the audit alone"),
        Step("review_drawn", _DRAWN, "what may be the counterpart of a drawn event"),
        Step("review_again", _SECOND, "what another person judged, asked once more"),
        rivals.held_step(),
        Step("review_asked", _LISTED, "one question per event that they hang on"),
    )
    with draws_room.keyed(engine, secret, b"review order"):
        u = draws_room.fraction_sql("a.question_id")
        found = engine.rows(f"select a.*, {u} as u from review_asked a, secret_pads")
    thresholds = {rec.name: rec.probable.auto_match_floor for rec in recs}
    questions = _ordered(found, thresholds).head(QUESTIONS_MAX)
    pairs = engine.rows(_PAIRS).join(
        questions.select("question_id"), on="question_id", how="semi", maintain_order="left"
    )
    events = pl.concat([pairs[name] for name in _EVENTS]).unique().to_list()
    return Asked(questions, pairs, facts(engine, events, recs))


def _ordered(found: pl.DataFrame, thresholds: dict[str, float]) -> pl.DataFrame:
    """`worklist.order`, in which what is asked once more stands like drawn events, blind."""
    again = (pl.col("why_code") == SECOND).fill_null(value=False)
    streams = found.select("question_id", told="stream")
    mixed = found.with_columns(stream=pl.when(again).then(pl.lit("audit")).otherwise("stream"))
    ordered = worklist.order(mixed, thresholds).join(
        streams, on="question_id", how="left", maintain_order="left"
    )
    return ordered.with_columns(
        stream="told", decoy=pl.col("decoy") | (again & (pl.col("told") == "work"))
    ).drop("told")


def facts(
    engine: Engine, event_keys: Sequence[str | None], recs: Sequence[Reconciliation] = ()
) -> pl.DataFrame:
    """Events with their personal fields and the name of the file that told them.

    `told_more` is JSON, null where it would be empty: by reconciliation and field, what a record
    of the event's customer tells and the event does not, and the source of that record. `open_of`
    is JSON as well: by reconciliation, how many minor units of the event its match leaves open.
    """
    wanted = pl.DataFrame({"event_key": list(event_keys)}, schema={"event_key": pl.String})
    engine.put("review_wanted", wanted.drop_nulls().unique().sort("event_key"))
    engine.put(
        "review_told",
        pl.DataFrame(schema={"event_key": pl.String, "name": pl.String, "told": pl.String}),
    )
    for rec in recs:
        if rec.customers.sources:
            engine.run(
                *enrich.record_steps(rec.customers, "select event_key from review_wanted"),
                *enrich.enriched_steps(rec.customers),
                Step(
                    "review_told",
                    f"insert into review_told select event_key, {quote_text(rec.name)},"
                    f" {enrich.TOLD_JSON} from enriched",
                    "what records tell of the events that are asked about",
                ),
            )
    engine.run(Step("review_records", _RECORDS, "by event"), partly.step(engine, recs))
    return engine.rows(_FACTS)


# --- in words ------------------------------------------------------------------------------------
_STEPS = {"prior": "before looking", "lag": "time lag", "text": "description"}


def evidence(
    levels: str | None, weights: str | None, types: tuple[str, str] = ("", "")
) -> tuple[tuple[str, str, float], ...]:
    """(comparison, what was found, weight in log2 of odds) of a scored pair, the prior first.

    `types` says what the left and the right event are, for the words of what was found.
    """
    if weights is None:
        return ()
    found = json.loads(levels) if levels else {}
    return tuple(
        (
            _STEPS.get(name, name.replace("_", " ")),
            "any two records of these sides"
            if name == "prior"
            else ladders.spoken(str(found.get(name, "")), *types),
            float(weight),
        )
        for name, weight in json.loads(weights).items()
    )


def with_reason(
    question: Question, why_code: str | None, rec: Reconciliation, fitting: int, counted: str = ""
) -> Question:
    """The question with the sentence that says why a person is asked.

    Args:
        question: with its candidates.
        why_code: of its proposal; of a match that is held back, `sign_off` where the limit does
            it, else what makes it doubtful.
        rec: the reconciliation it belongs to.
        fitting: how many of the candidates fit by what they are, not by an id alone.
        counted: how many answers there are in all, where they were counted; fewer may be shown.
    """
    kind = str(question.asked[0].get("event_type") or "event").replace("_", " ")
    first = question.candidates[0] if question.candidates else None
    sure = screen.share_words(first.probability) if first and first.probability else "unknown"
    floor = screen.share_words(rec.probable.auto_match_floor)
    limit = (rec.sign_off_over or {}).get(str(question.currency))
    sentences = {
        "ambiguous": f"{counted} of open items add up to this {kind}; "
        + ("the most plausible are shown first." if fitting > 1 else "one is shown.")
        if counted
        else f"{fitting} candidates fit this {kind} equally well."
        if fitting > 1
        else f"Other answers fit this {kind} equally well.",
        "below_floor": f"{'The likeliest' if fitting > 1 else 'It'} is {sure} probable; "
        f"matches are made without asking from {floor}.",
        "margin": "Another candidate comes too near to choose without asking.",
        "currency": "The two share no currency in which their amounts could be compared.",
        "amounts_differ": "All else agrees, but the amounts are far apart and no id joins them.",
        "uncertified": _UNCERTIFIED.get(question.method, "Nothing certifies this method yet."),
        "id_conflict": "A key joins them, but customer and amount disagree: an id may be wrong.",
        "key_differs": "They fit, but they name different ids.",
        "residual": partly.sentence(question),
        "chance": "So many sums were looked at that one may fit by chance.",
        "sign_off": f"Above {limit} {question.currency} a person signs a match off."
        if limit is not None
        else f"In {question.currency or 'an unknown currency'} a person signs every match off.",
    }
    sentence = sentences.get(why_code or "", "No method may decide this by itself.")
    return replace(question, why=sentence)


_UNCERTIFIED = {
    "probable": "It is probable enough, but no certificate for the threshold is in force.",
    "window": "Amount and date fit this candidate alone, but no key says so.",
    "grouped": "They follow one another and add up to it, but no key says so.",
    "decomposed": "They add up to it, but no key says so.",
    "learned": "A rule made from decisions joins them, and nothing certifies it yet.",
}
