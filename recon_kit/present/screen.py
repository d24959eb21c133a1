"""What the review screen is told: one question as a plain message.

In blind mode score, weights, rivals' scores, method and the system's reason are not in the message
at all, and candidates stand in an order that says nothing about what the system prefers. Personal
fields are masked in the message itself unless the reviewer gave a reason to see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from recon_kit import money
from recon_kit.present import comparing
from recon_kit.present.comparing import How, Record
from recon_kit.present.questions import VERDICTS, Candidate, Question

BLIND_SENTENCE = "Judge by the facts alone: what the system thinks of it is not shown."
BLIND_WAY = " If it is another one, find it (f); if there is none, say so (x)."


def seen(question: Question, *, blind: bool) -> Question:
    """The question as it may be shown: without what the system thinks where that is to be blind."""
    if not (blind or question.blind):
        return question
    bare = [Candidate(key=c.key, records=c.records, verdict=c.verdict) for c in question.candidates]
    asked = _one(question.asked, question.how, 0)
    bare.sort(key=lambda c: (_distance(asked, _one(c.records, question.how, 1)), c.key))
    # where "not the same" says too little, the way on is named instead
    way = "" if "not_same" in actions(question, 0) else BLIND_WAY
    return replace(question, candidates=tuple(bare), why=BLIND_SENTENCE + way, method="")


def message(
    question: Question, chosen: int, *, blind: bool, unmasked: bool = False
) -> dict[str, Any]:
    """One question for the screen.

    Args:
        question: as `seen` leaves it.
        chosen: which candidate stands beside what is asked about.
        blind: whether anything the system thinks is left out.
        unmasked: whether a reason was given to see personal fields.
    """
    blind = blind or question.blind
    how = replace(question.how, unmasked=unmasked)
    candidate = question.candidates[chosen] if question.candidates else None
    asked = _one(question.asked, how, 0)
    other = _one(candidate.records, how, 1) if candidate else None
    fields = comparing.rows(asked, other, how)
    told = {
        "id": question.question_id,
        "reconciliation": question.reconciliation,
        "ask": _ask(question, candidate),
        "why": question.why,
        "at_risk": _risk(question),
        "left": _head(question.asked),
        "right": _head(candidate.records) if candidate else None,
        "rows": [_row(row) for row in fields],
        "members": _members(question, candidate, how),
        "candidates": [
            _choice(c, question, at == chosen, blind=blind)
            for at, c in enumerate(question.candidates)
        ],
        "personal": comparing.has_personal(
            *question.asked, *(candidate.records if candidate else ())
        ),
        "unmasked": unmasked,
        "said": _said(question, candidate),
        "actions": actions(question, chosen),
    }
    if not blind and candidate is not None:
        told |= {"method": question.method, "evidence": _evidence(candidate)}
        # what was not weighed was joined by a key: which of them agree is all there is to go by
        told["keys"] = "" if candidate.evidence else _keys(fields, question.keys)
    return told


def title(record: Record) -> str:
    """How people call an event: `order #1001`."""
    kind = str(record.get("event_type") or "event").replace("_", " ")
    names = (record.get(n) for n in ("native_id", "order_id", "transaction_id"))
    name = next(filter(None, names), str(record.get("event_key", ""))[:8])
    return f"{kind} {name}"


def titles(records: Sequence[Record]) -> str:
    """Several events in a few words: `3 payouts`."""
    if len(records) == 1:
        return title(records[0])
    kinds = {str(r.get("event_type") or "event").replace("_", " ") for r in records}
    return f"{len(records)} {kinds.pop() + 's' if len(kinds) == 1 else 'events'}"


def share_words(share: float) -> str:
    """A probability as per cent; what is nearly certain is never called certain."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{share:.1%}".replace("%", " %")


def _one(records: Sequence[Record], how: How, side: int) -> Record:
    return comparing.summed(records, how.measures[side])


def _distance(asked: Record, other: Record) -> float:
    """How far apart in time, in seconds; unknown times stand last."""
    a, b = asked.get("event_ts"), other.get("event_ts")
    return float("inf") if a is None or b is None else float(abs((b - a).total_seconds()))


def _ask(question: Question, candidate: Candidate | None) -> str:
    asked = titles(question.asked)
    if candidate is None:
        return f"Has {asked} a counterpart?"
    verb = "are" if len(candidate.records) > 1 else "is"
    return f"{verb.capitalize()} {titles(candidate.records)} the counterpart of {asked}?"


def _risk(question: Question) -> str:
    if question.amount_minor is None or question.currency is None:
        return ""
    return money.display(abs(question.amount_minor), question.currency)


def _head(records: Sequence[Record]) -> dict[str, str]:
    """The head of a column: what it is, and where it was told."""
    sources = sorted({str(r.get("source") or "") for r in records})
    name = titles(records)
    told = ", ".join(filter(None, sources))
    file, row = records[0].get("artefact"), records[0].get("record_row")
    where = f"{file}, row {row}" if len(records) == 1 and file else ""
    return {"title": name[:1].upper() + name[1:], "source": told, "file": where}


def _row(row: comparing.FieldRow) -> dict[str, Any]:
    return {
        "name": row.name, "label": row.label, "left": row.left, "right": row.right,
        "outcome": row.outcome, "words": row.words, "personal": row.personal,
    }  # fmt: skip


def _keys(fields: Sequence[comparing.FieldRow], keys: Sequence[str]) -> str:
    """Which keys agree: `order id agrees; transaction id differs`; those both sides tell."""
    return "; ".join(
        f"{row.label.lower()} {'agrees' if row.outcome == 'same' else 'differs'}"
        for row in fields
        if row.name in keys and row.outcome in ("same", "near", "differs")
    )


def _members(question: Question, candidate: Candidate | None, how: How) -> dict[str, Any] | None:
    """A proposed group, member by member, with their sum and what is left of the other side."""
    sides = (question.asked, candidate.records if candidate else ())
    side = next((at for at, records in enumerate(sides) if len(records) > 1), None)
    if side is None:
        return None
    records, opposite = sides[side], sides[1 - side]
    whole = _one(records, how, side)
    other = _one(opposite, how, 1 - side) if opposite else {}
    total = comparing.amount_of(whole, how.measures[side])
    single = comparing.amount_of(other, how.measures[1 - side])
    currency = whole.get("currency")
    shared = currency if currency == other.get("currency") else None
    words = "another currency" if currency else "several currencies"
    if shared and total is not None and single is not None:
        words = comparing.money_words(single, total, str(shared))
    return {
        "caption": f"The {titles(records)}, and what they add up to",
        "rows": [
            [title(r), comparing.time_text(r, how) or "", _amount(r, how.measures[side])]
            for r in records
        ],
        "totals": [
            ["sum", "", _amount(whole, how.measures[side])],
            *([[title(other), "", _amount(other, how.measures[1 - side])]] if other else []),
            ["difference", "", words],
        ],
    }


def _amount(record: Record, measure: str) -> str:
    amount, currency = comparing.amount_of(record, measure), record.get("currency")
    return money.display(amount, currency) if amount is not None and currency else "no amount"


def _choice(
    candidate: Candidate, question: Question, chosen: bool, *, blind: bool
) -> dict[str, Any]:
    """One line of the list of candidates: its facts and, unless blind, how probable it is."""
    how = question.how
    asked, other = _one(question.asked, how, 0), _one(candidate.records, how, 1)
    facts = [_amount(other, how.measures[1]), comparing.apart_words(asked, other, how)]
    told = {
        "key": candidate.key,
        "title": titles(candidate.records),
        "facts": " · ".join(filter(None, facts)),
        "chosen": chosen,
        "said": VERDICTS.get(candidate.verdict or "", ""),
    }
    if not blind:
        if candidate.probability is not None:
            told["score"] = share_words(candidate.probability)
        told["note"] = candidate.note
    return told


def _evidence(candidate: Candidate) -> dict[str, Any] | None:
    if not candidate.evidence:
        return None
    total = sum(weight for _, _, weight in candidate.evidence)
    return {
        "steps": [
            {"label": name, "found": found, "weight": weight, "text": _signed(weight)}
            for name, found, weight in candidate.evidence
        ],
        "total": _signed(total),
        "probability": None
        if candidate.probability is None
        else share_words(candidate.probability),
        "margin": _lead(candidate.margin, candidate.rival),
    }


def _signed(weight: float) -> str:
    """A weight with its sign; what rounds to nothing has none."""
    return f"{weight:+.1f}" if abs(weight) >= 0.05 else "0.0"


def _lead(margin: float | None, rival: str) -> str | None:
    """How far ahead of its best rival; where it has none, how far that is says nothing."""
    if margin is None or margin >= 1:
        return None
    if not rival:
        return "it has no rival"
    points = round(margin * 100)
    if points >= 99:
        return "no rival comes near"
    return f"{points} points ahead of {rival}" if points else f"no better than {rival}"


def _said(question: Question, candidate: Candidate | None) -> str:
    verdict = question.verdict or (candidate.verdict if candidate else None)
    if verdict is None:
        return ""
    return question.verdict_note or f"You said: {VERDICTS.get(verdict, verdict)}."


def actions(question: Question, chosen: int) -> list[str]:
    """What a person may do now; a blind question is not passed over, and asks for the answer.

    Only what is asked of one pair, again, can be told apart without naming another counterpart.
    """
    blind, paired = question.blind, chosen < len(question.candidates)
    allowed: Mapping[str, bool] = {
        "same": paired,
        "not_same": paired and (question.again or not blind),
        "no_counterpart": True,
        "unsure": True,
        "next": not blind,
        "find": len(question.asked) == 1,
    }
    return [name for name, is_allowed in allowed.items() if is_allowed]
