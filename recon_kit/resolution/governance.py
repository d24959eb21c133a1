"""Who may change what matches by itself: the life of a change, told by the rows of `approvals`.

A change (a certificate with its threshold, a model, a rule) is known by the hash of its content.
What happens to it is appended: `proposed` by its author, `approved` or `rejected`, `promoted`,
`voided` with the reason; going back is `rolled_back`, a new row that points at old content. Any of
them may be promoted to a `share` of components first, a canary: it acts there beside what is in
force, until it is voided or something of its kind is promoted to all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recon_kit.errors import MatchingError
from recon_kit.matching.rules import Rule, parse
from recon_kit.model import Certificate

MODEL = "model"  # the kind of an approval that speaks of a model
PUT_IN_FORCE: tuple[str, ...] = ("promoted", "rolled_back")
NOT_IN_FORCE: tuple[str, ...] = ("proposed", "approved", "rejected")  # changes nothing by itself


def certificates(
    rows: pl.DataFrame, approvals: pl.DataFrame, reconciliation: str
) -> tuple[Certificate, ...]:
    """Per method the certificate that was put in force last, and the canary beside it.

    Args:
        rows: table `certificates` as of a sequence.
        approvals: table `approvals` as of the same sequence.
        reconciliation: whose certificates.

    Returns:
        In order of method: at most one that acts on all components, then at most one canary, put
        in force after it (a promotion to all ends the canary before it). `voided` says why one was
        taken back. Expiry is for the reader's clock to judge.
    """
    words = approvals.filter(pl.col("kind") == "certificate").select(
        "seq", "verdict", "note", pl.col("share").fill_null(1.0), certificate_id="content_hash"
    )
    known = rows.filter(pl.col("reconciliation") == reconciliation).unique(
        "certificate_id", keep="first", maintain_order=True
    )
    placed = words.filter(pl.col("verdict").is_in(PUT_IN_FORCE)).join(
        known.drop("seq"), on="certificate_id"
    )
    whole = placed.filter(pl.col("share") >= 1).sort("seq").unique("method", keep="last")
    since = placed.join(whole.select("method", whole="seq"), on="method", how="left")
    beside = (pl.col("share") < 1) & (pl.col("seq") > pl.col("whole").fill_null(0))
    canaries = since.filter(beside).drop("whole").sort("seq").unique("method", keep="last")
    newest = pl.concat([whole, canaries]).sort("method", "seq")
    voided = words.filter(pl.col("verdict") == "voided").sort("seq")
    found = []
    for row in newest.iter_rows(named=True):
        later = voided.filter(
            (pl.col("certificate_id") == row["certificate_id"]) & (pl.col("seq") > row["seq"])
        )
        why = (later["note"][0] or "no reason given") if later.height else None
        found.append(_certificate(row, why))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Tried:
    """What was promoted to a share of components, by its content hash."""

    content_hash: str
    share: float


def rules(
    rows: pl.DataFrame, approvals: pl.DataFrame, reconciliation: str, as_of: datetime
) -> tuple[Rule, ...]:
    """Rules in force for all components: put in force, not taken back, not expired.

    Of two contents under one name the one that was put in force last counts.

    Args:
        rows: table `rules` as of a sequence.
        approvals: table `approvals` as of the same sequence; a rule's rows have kind `rule`.
        reconciliation: whose rules.
        as_of: the moment of the run.

    Raises:
        MatchingError: an approved text is no rule, or not the one whose hash was approved.
    """
    named = {r.name: r for r, share in _placed(rows, approvals, reconciliation) if share >= 1}
    return tuple(rule for _, rule in sorted(named.items()) if as_of < rule.expires)


def rule_on_trial(
    rows: pl.DataFrame, approvals: pl.DataFrame, reconciliation: str, as_of: datetime
) -> tuple[Rule, float] | None:
    """The rule that acts on a share of components, with the share; arguments as of `rules`.

    The one that was put there last, until a rule of its name is put in force for all.
    """
    found = None
    for rule, share in _placed(rows, approvals, reconciliation):
        if share < 1:
            found = (rule, share)
        elif found is not None and found[0].name == rule.name:
            found = None
    return found if found is not None and as_of < found[0].expires else None


def _placed(
    rows: pl.DataFrame, approvals: pl.DataFrame, reconciliation: str
) -> list[tuple[Rule, float]]:
    """Rules that were put in force and not taken back since, in that order, with their shares."""
    words = approvals.filter(pl.col("kind") == "rule").sort("seq")
    last = words.filter(pl.col("verdict").is_in([*PUT_IN_FORCE, "voided"])).unique(
        "content_hash", keep="last", maintain_order=True
    )
    placed = last.filter(pl.col("verdict").is_in(PUT_IN_FORCE)).select(
        "seq", "content_hash", pl.col("share").fill_null(1.0)
    )
    known = rows.filter(pl.col("reconciliation") == reconciliation).unique(
        "content_hash", keep="first", maintain_order=True
    )
    found = []
    for row in known.drop("seq").join(placed, on="content_hash").sort("seq").iter_rows(named=True):
        rule = parse(row["json"])
        if (rule.content_hash, rule.reconciliation) != (row["content_hash"], reconciliation):
            raise MatchingError(
                f"rule {rule.name!r} is not the text that was approved as {row['content_hash']}; "
                "propose it anew and have it approved"
            )
        found.append((rule, float(row["share"])))
    return found


def model_in_use(
    models: pl.DataFrame,
    approvals: pl.DataFrame,
    reconciliation: str,
    as_of_seq: int | None = None,
) -> str | None:
    """Hash of the model that a run scores with; None where none was learned yet.

    The model that was put in force last and not taken back; else the newest that no training
    proposed: what a run learned by itself. A proposed model is a candidate, however new it is.

    Args:
        models: table `models`, as of now: a run learns its model after the facts it is as of.
        approvals: table `approvals`, as of now.
        reconciliation: whose model.
        as_of_seq: what was put in force later does not count; the present where not given.
    """
    mine = models.filter(pl.col("reconciliation") == reconciliation).sort("seq")
    words = approvals.filter(
        (pl.col("kind") == MODEL) & pl.col("content_hash").is_in(mine["model_hash"].implode())
    ).sort("seq")
    then = words if as_of_seq is None else words.filter(pl.col("seq") <= as_of_seq)
    # what acts on a share of components alone is no more than a candidate for all others
    then = then.filter(pl.col("share").fill_null(1.0) >= 1)
    last = then.filter(pl.col("verdict").is_in([*PUT_IN_FORCE, "voided"])).unique(
        "content_hash", keep="last"
    )
    placed = last.filter(pl.col("verdict").is_in(PUT_IN_FORCE)).sort("seq")["content_hash"]
    candidates = words.filter(pl.col("verdict") == "proposed")["content_hash"].implode()
    learned = mine.filter(~pl.col("model_hash").is_in(candidates))["model_hash"]
    found = placed if placed.len() else learned
    return str(found[-1]) if found.len() else None


def model_on_trial(
    models: pl.DataFrame, approvals: pl.DataFrame, reconciliation: str
) -> Tried | None:
    """The model that acts on a share of components, of tables as of a sequence.

    The one that was put there last, until it is taken back or any model is put in force for all.
    """
    mine = models.filter(pl.col("reconciliation") == reconciliation)["model_hash"]
    words = approvals.filter(
        (pl.col("kind") == MODEL)
        & pl.col("content_hash").is_in(mine.implode())
        & pl.col("verdict").is_in([*PUT_IN_FORCE, "voided"])
    ).sort("seq")
    found = None
    for row in words.iter_rows(named=True):
        share = row["share"] if row["share"] is not None else 1.0
        if row["verdict"] != "voided":
            found = Tried(row["content_hash"], share) if share < 1 else None
        elif found is not None and found.content_hash == row["content_hash"]:
            found = None
    return found


def _certificate(row: dict[str, object], voided: str | None) -> Certificate:
    names = Certificate.__dataclass_fields__
    values = {name: row[name] for name in names if name != "voided"}
    return Certificate(**values, voided=voided)  # type: ignore[arg-type]
