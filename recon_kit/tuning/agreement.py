"""Two people on the same question: who is asked a second time, and how far reviewers agree.

A wrong label weighs heavily where wrong matches are rare, so every audit label that speaks against
what was picked goes to a second person, and one in ten of all other judgements, chosen by a keyed
hash. Where the two disagree neither word is applied, until a third person adjudicates.

Cohen's kappa is what remains of agreement after chance. It collapses where one answer is rare, so
raw agreement and prevalence stand beside it.
"""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.ledger.entries import in_force
from recon_kit.matching.disputes import ADJUDICATED
from recon_kit.tuning import draws, fit
from recon_kit.tuning.audit import reviewer_labels

SHARE = 0.1  # of work judgements that a second person is asked about
SECOND_SCHEMA: dict[str, pl.DataType] = {
    "left_key": pl.String(), "right_key": pl.String(), "stream": pl.String(),
    "why": pl.String(), "not_by": pl.String(), "question_id": pl.String(),
}  # fmt: skip
AGREEMENT_SCHEMA: dict[str, pl.DataType] = {
    "stream": pl.String(), "judged": pl.Int64(), "twice": pl.Int64(), "agree": pl.Int64(),
    "raw_agreement": pl.Float64(), "prevalence": pl.Float64(), "kappa": pl.Float64(),
    "settled": pl.Int64(),
}  # fmt: skip
WRONG, SAMPLED = "the audit label speaks against what was picked", "one in ten is asked twice"


def agreement(decisions: pl.DataFrame) -> pl.DataFrame:
    """How far two reviewers agree on what both judged, in the columns of `AGREEMENT_SCHEMA`.

    Args:
        decisions: of one reconciliation, undone ones included.

    Returns:
        A row for the stream `audit` (an answer is a counterpart, or none) and one for `work`, with
        what was imported (an answer is same or not the same, of a pair). `twice` counts questions
        with two or more reviewers, of which the first two are compared; `prevalence` is the share
        of `same` among their answers; `kappa` is null where all answers are alike, `settled` counts
        the questions that a further person adjudicated. `unsure` is no answer.
    """
    rows = []
    for stream, said in (("audit", _audit_words(decisions)), ("work", _work_words(decisions))):
        own = said.filter(~pl.col("adjudicated")).sort("seq")
        each = own.group_by("question", maintain_order=True).agg("answer")
        both = each.filter(pl.col("answer").list.len() > 1).select(
            first=pl.col("answer").list.get(0), second=pl.col("answer").list.get(1)
        )
        agree = both.filter(pl.col("first") == pl.col("second")).height
        answers = pl.concat([both["first"], both["second"]])
        same = int(answers.str.starts_with("same").sum())
        rows.append((
            stream, each.height, both.height, agree,
            agree / both.height if both.height else None,
            same / answers.len() if both.height else None,
            fit.kappa(both["first"], both["second"]),
            said.filter("adjudicated")["question"].n_unique(),
        ))  # fmt: skip
    return pl.DataFrame(rows, schema=AGREEMENT_SCHEMA, orient="row")


def second_work(engine: Engine, decisions: pl.DataFrame, secret: bytes) -> pl.DataFrame:
    """One in ten of the pairs that one person judged, in the columns of `SECOND_SCHEMA`.

    Args:
        engine: any; hashes are computed in it.
        decisions: of one reconciliation, undone ones included.
        secret: of the store; nobody without it foresees who will be asked again.
    """
    words = _work_words(decisions).filter(pl.col("answer") != "no_counterpart")
    once = words.filter(pl.len().over("question") == 1)
    engine.put("judged_once", once.select("question", "left_key", "right_key", "reviewer"))
    with draws.keyed(engine, secret, b"second look"):
        found = engine.rows(
            f"""select left_key, right_key, 'work' as stream, reviewer as not_by, question
            from judged_once, secret_pads where {draws.fraction_sql("question")} < {SHARE}
            order by question"""
        )
    return _shaped(found.with_columns(why=pl.lit(SAMPLED)))


def second_audit(labels: pl.DataFrame, picked: pl.DataFrame) -> pl.DataFrame:
    """Audit labels of one person that speak against what was picked, in `SECOND_SCHEMA`.

    Args:
        labels: `audit.audit_labels`.
        picked: `left_key, right_key` of the pairs picked by the runs from which events were drawn.

    Returns:
        A row per candidate: each picked partner and each that the first person named.
    """
    told = labels.filter(
        pl.col("label").is_in(["counterpart", "none"]), pl.col("reviewers") == 1
    ).select("event_key", "reviewer", named=pl.col("right_keys").fill_null([]))
    pairs = picked.select("left_key", "right_key").unique().join(
        told, left_on="left_key", right_on="event_key"
    )  # fmt: skip
    wrong = pairs.filter(~pl.col("right_key").is_in("named"))
    mine = told.join(wrong.select(event_key="left_key").unique(), on="event_key", how="semi")
    named = mine.rename({"event_key": "left_key"}).explode("named").rename({"named": "right_key"})
    every = pl.concat([
        pairs.join(wrong.select("left_key").unique(), on="left_key", how="semi").drop("named"),
        named.drop_nulls("right_key").select("left_key", "right_key", "reviewer"),
    ]).unique(["left_key", "right_key"]).sort("left_key", "right_key")  # fmt: skip
    return _shaped(every.with_columns(
        question="left_key", stream=pl.lit("audit"), why=pl.lit(WRONG), not_by="reviewer"
    ))  # fmt: skip


def _audit_words(decisions: pl.DataFrame) -> pl.DataFrame:
    """`question, answer, reviewer, adjudicated, seq` of the audit stream, by reviewer."""
    words = reviewer_labels(decisions).filter(pl.col("verdict") != "unsure")
    return words.select(
        "reviewer", "adjudicated", "seq", question="event_key",
        answer=pl.concat_str("verdict", pl.col("right_keys").list.join(" "), separator=" "),
    )  # fmt: skip


def _work_words(decisions: pl.DataFrame) -> pl.DataFrame:
    """The same of judgements outside the audit, with the keys of their pair."""
    said = in_force(decisions).filter(
        pl.col("stream").is_in(["work", "imported"]).fill_null(True),
        pl.col("verdict").is_in(["same", "not_same", "no_counterpart"]),
    )
    latest = said.sort("seq").unique(["left_key", "right_key", "reviewer"], keep="last")
    key = pl.concat_str(pl.col("left_key", "right_key").fill_null(""), separator="|")
    return latest.select(
        "reviewer", "seq", "left_key", "right_key", question=key, answer="verdict",
        adjudicated=(pl.col("reason_code") == ADJUDICATED).fill_null(False),
    )  # fmt: skip


def _shaped(found: pl.DataFrame) -> pl.DataFrame:
    return found.with_columns(question_id="question").select(
        pl.col(name).cast(kind) for name, kind in SECOND_SCHEMA.items()
    )
