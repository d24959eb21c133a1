"""The desk behind the review screen: questions out of the current runs, decisions into the ledger.

Everything a sitting needs is read once; a decision is checked against those facts in a small
engine of its own and committed before `decide` returns. What other people and other screens decide
meanwhile is read from the ledger before every commit.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from recon_kit import model
from recon_kit.errors import DecisionRefusedError
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.ledger.entries import in_force
from recon_kit.ledger.leases import Lease, subject_of
from recon_kit.ledger.store import Store
from recon_kit.present import screen
from recon_kit.present.questions import LISTING, VERDICTS, Answer, Candidate, Question
from recon_kit.resolution import decisions as decision_room
from recon_kit.resolution.crossing import crossing
from recon_kit.settings import Reconciliation, Settings
from recon_kit.workbench import naming
from recon_kit.workbench.asked import SECOND, Asked
from recon_kit.workbench.cards import Cards
from recon_kit.workbench.sayings import SAID_ON_PAIRS, touched, verdicts
from recon_kit.workdays import add_duration

Finder = Callable[[Reconciliation, str, str], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Sitting:
    """What one sitting stands on.

    `drawn` has the audit items (`reconciliation, event_key, inclusion_probability`); `base_seq` is,
    by reconciliation, the sequence up to which its run knows decisions already;
    `find(reconciliation, side, text)` gives the facts of the event that a reviewer names;
    `remember(reconciliation)` says what rule could be made of the decisions, where that is known.
    """

    store: Store
    settings: Settings
    reviewer: str
    asked: Asked
    drawn: pl.DataFrame
    base_seq: Mapping[str, int]
    clock: Callable[[], datetime]
    find: Finder
    remember: Callable[[Reconciliation], str] | None = None


class LedgerDesk:
    """A `present.questions.Desk` over a workspace's ledger."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self.remembers = sitting.remember is not None
        self._recs = {r.name: r for r in sitting.settings.reconciliations}
        self._cards = Cards(sitting.asked, sitting.settings)
        self._said = sitting.store.rows("decisions")
        self._heard()
        self._lease: tuple[str, Lease] | None = None
        self._warned: tuple[str, str | None] | None = None
        opened = ExitStack()
        weakref.finalize(self, opened.close)
        self._engine = opened.enter_context(open_engine((), threads=1))
        _put_nothing(self._engine)

    # --- what is asked -----------------------------------------------------------------------
    def listing(self) -> pl.DataFrame:
        """Every question with what was said of it; see `present.questions.Desk`."""
        said = pl.DataFrame(
            {"question_id": list(self._verdicts), "verdict": list(self._verdicts.values())},
            schema={"question_id": pl.String, "verdict": pl.String},
        )
        told = self._cards.questions.join(said, on="question_id", how="left", maintain_order="left")
        told = told.with_columns(
            blind=pl.col("decoy") | (pl.col("stream") == "audit"),
            why_code=pl.when(~pl.col("why_code").is_in(["audit", SECOND])).then("why_code"),
        )
        return told.select(pl.col(name).cast(kind) for name, kind in LISTING.items())

    def question(self, question_id: str) -> Question:
        """The facts of one question, its candidates best first."""
        rows = self._known_of(question_id).select(*SAID_ON_PAIRS, "verdict").drop_nulls()
        card = self._cards.card(question_id, {(r, a, b): v for r, a, b, v in rows.iter_rows()})
        verdict = self._verdicts.get(question_id)
        return replace(card, verdict=verdict, verdict_note=self._told(question_id))

    def claim(self, question: Question) -> str:
        """Take the question for a while; give back the one before, where it was not decided."""
        now, settings = self._sitting.clock(), self._sitting.settings
        if self._lease and self._lease[0] not in self._verdicts:
            self._sitting.store.release(self._lease[1], now=now)
        self._lease = None
        key, lasts = str(question.asked[0]["event_key"]), settings.review.lease
        zone, rest = settings.workspace.timezone, settings.workspace.holidays
        lease = self._sitting.store.claim(
            subject_of(question.reconciliation, key),
            self._sitting.reviewer,
            now=now,
            until=add_duration(now, lasts.count, lasts.unit, zone, rest),
        )
        self._lease = (question.question_id, lease)
        return ""

    # --- what is said ------------------------------------------------------------------------
    def decide(self, answer: Answer) -> str:
        """Commit a decision on every pair that is meant; what was said before is taken back."""
        question = answer.question
        before = self._verdicts.get(question.question_id)
        self._catch_up()
        if self._verdicts.get(question.question_id) != before:
            raise DecisionRefusedError(
                f"meanwhile this was decided elsewhere: {self._told(question.question_id)} "
                "Nothing was saved; press the key again to overrule it, or go on to the next."
            )
        pairs = self._meant(answer)
        again = self._taken_back(question, answer.verdict)
        if answer.verdict == "same":
            self._warn_once(answer, pairs, again)
        keys = pl.concat([pairs["left_key"], pairs["right_key"]]).drop_nulls().unique()
        self._engine.put("events", self._cards.evidence(keys))
        mine = self._lease is not None and self._lease[0] == question.question_id
        asked = decision_room.judgements(
            pairs,
            verdict=answer.verdict,
            note=answer.note or None,
            lease_token=self._lease[1].token if self._lease and mine else None,
            inclusion_probability=self._inclusion(question),
        )
        context = decision_room.Context(
            reviewer=self._sitting.reviewer,
            stream=question.stream,
            score_shown=answer.score_shown,
            bundle_id=decision_room.new_bundle() if pairs.height > 1 else None,
            effective_at=self._sitting.clock(),
            reasons=self._sitting.settings.review.reasons,
        )
        rec = self._recs[question.reconciliation]
        drafted = decision_room.draft(self._engine, asked, rec, context)
        decision_room.refuse(drafted.problems)
        self._commit(pl.concat([again, drafted.rows]))
        return f"{VERDICTS[answer.verdict]}, {screen.titles(question.asked)}"

    def undo(self) -> str | None:
        """Take back this reviewer's newest decision since the last run, with its bundle."""
        self._catch_up()
        base = pl.col("reconciliation").replace_strict(
            dict(self._sitting.base_seq), return_dtype=pl.Int64
        )
        mine = self._standing.filter(
            pl.col("reviewer") == self._sitting.reviewer, pl.col("seq") > base
        )
        about = touched(self._cards.questions, self._cards.pairs, mine)
        if about.is_empty():
            return None
        newest = about.sort("seq", "question_id").row(-1, named=True)
        seq, bundle = newest["seq"], newest["bundle_id"]
        targets = decision_room.undoable(
            self._said, self._sitting.reviewer, seq=None if bundle else seq, bundle=bundle
        )
        self._commit(decision_room.undo_rows(targets, self._sitting.reviewer))
        return str(newest["question_id"])

    def remember(self, question: Question) -> str:
        """Say what rule could be made of the decisions on this reconciliation."""
        if self._sitting.remember is None:
            raise DecisionRefusedError("no rules can be proposed here.")
        return self._sitting.remember(self._recs[question.reconciliation])

    def unmask(self, question: Question, reason: str) -> None:
        """Leave a row in the chain: who asked to see whose personal fields, and why."""
        records = [*question.asked, *(r for c in question.candidates for r in c.records)]
        row = {
            "reconciliation": question.reconciliation,
            "event_keys": json.dumps(sorted({str(r["event_key"]) for r in records})),
            "actor": self._sitting.reviewer,
            "reason": reason,
        }
        self._sitting.store.append("disclosures", pl.DataFrame([row]), self._sitting.clock())

    def find(self, question: Question, text: str) -> Candidate:
        """Put an event that the reviewer names beside the candidates of a question."""
        rec = self._recs[question.reconciliation]
        on_left = self._cards.asked_side(question.question_id) == "left"
        found = self._sitting.find(rec, "right" if on_left else "left", text)
        key = self._cards.name(question, found)
        self._heard()
        return next(c for c in self.question(question.question_id).candidates if c.key == key)

    # --- inside ------------------------------------------------------------------------------
    def _heard(self) -> None:
        """What stands of all that was said, and what it says of each question.

        Decisions in force count that the runs of this sitting do not know. An `unsure` of this
        reviewer stands until somebody settles it, whatever was run since.
        """
        known = pl.DataFrame(
            list(self._sitting.base_seq.items()),
            schema={"reconciliation": pl.String, "base": pl.Int64},
            orient="row",
        )
        mine = (pl.col("verdict") == "unsure") & (pl.col("reviewer") == self._sitting.reviewer)
        rows = in_force(self._said).join(known, on="reconciliation", how="inner")
        new = (pl.col("seq") > pl.col("base")) | mine
        self._standing = rows.filter(new).sort("seq").drop("base")
        own = self._standing.filter(pl.col("reviewer") == self._sitting.reviewer)
        again = (pl.col("why_code") == SECOND).fill_null(value=False)
        self._verdicts = {
            name: verdict
            for which, said in ((~again, self._standing), (again, own))
            for name, verdict in verdicts(
                self._cards.questions.filter(which), self._cards.pairs, said
            ).items()
        }

    def _known_of(self, question_id: str) -> pl.DataFrame:
        """Standing decisions that this reviewer may know of at one question.

        Where a second person is asked, what the first one said stays unsaid.
        """
        here = self._cards.questions.filter(pl.col("question_id") == question_id)
        if here["why_code"][0] != SECOND:
            return self._standing
        return self._standing.filter(pl.col("reviewer") == self._sitting.reviewer)

    def _about(self, question_id: str) -> pl.DataFrame:
        """Standing decisions on one question, oldest first."""
        cards, known = self._cards, self._known_of(question_id)
        seqs = touched(cards.questions, cards.pairs, known)
        wanted = seqs.filter(pl.col("question_id") == question_id)["seq"]
        return known.filter(pl.col("seq").is_in(wanted.implode()))

    def _told(self, question_id: str) -> str:
        """Who said what of a question, in words; empty where nobody did."""
        verdict = self._verdicts.get(question_id)
        if verdict is None:
            return ""
        who = self._about(question_id)["reviewer"][-1]
        told = "You" if who == self._sitting.reviewer else who
        return f"{told} said: {VERDICTS.get(verdict, verdict)}."

    def _taken_back(self, question: Question, verdict: str) -> pl.DataFrame:
        """Undo what this reviewer said of the question before, where it is answered anew.

        Saying of a further candidate that it is not the same takes nothing back.
        """
        rows = self._about(question.question_id)
        rows = rows.filter(pl.col("reviewer") == self._sitting.reviewer)
        if question.question_id not in self._verdicts:
            rows = rows.head(0)
        if verdict == "not_same":
            rows = rows.filter(pl.col("verdict") != "not_same")
        return decision_room.undo_rows(rows, self._sitting.reviewer)

    def _meant(self, answer: Answer) -> pl.DataFrame:
        """The pairs, or the lone event, that a decision speaks of."""
        keys = {"left_key": pl.String, "right_key": pl.String}
        question_id = answer.question.question_id
        if answer.candidate is None:
            key = answer.question.asked[0]["event_key"]
            on_left = self._cards.asked_side(question_id) == "left"
            lone = (key, None) if on_left else (None, key)
            return pl.DataFrame([lone], schema=keys, orient="row")
        every = self._cards.pairs.filter(pl.col("question_id") == question_id)
        return naming.meant_pairs(every, answer.candidate.key, answer.verdict)

    def _warn_once(self, answer: Answer, pairs: pl.DataFrame, again: pl.DataFrame) -> None:
        """Refuse to give away once more what was given to another event, the first time.

        What is taken back with this answer does not count, nor, where the question is blind, what
        others said.

        Raises:
            DecisionRefusedError: some of it was given away; pressed again it is recorded.
        """
        question, me = answer.question, self._sitting.reviewer
        meant = (question.question_id, answer.candidate.key if answer.candidate else None)
        rec = self._recs[question.reconciliation]
        found = crossing(self._said, pairs, rec)
        found = found.join(again.select(seq="undoes"), on="seq", how="anti", maintain_order="left")
        if question.blind:
            found = found.filter(pl.col("reviewer") == me)
        if found.is_empty() or self._warned == meant:
            return
        self._warned = meant
        seq, shared, other, who = found.row(-1)
        said = "you" if who == me else who
        raise DecisionRefusedError(
            f"{said} said before that {self._cards.called(shared)} is the counterpart of "
            f"{self._cards.called(other)} (decision {seq}), and {rec.name} gives it one. Nothing "
            f"was saved; press the key again to say both, or take that back first: recon undo "
            f"{seq}."
        )

    def _inclusion(self, question: Question) -> float | None:
        """With which probability an audit question came to be asked; none for work."""
        if question.stream != "audit":
            return None
        drawn = self._sitting.drawn.filter(
            pl.col("reconciliation") == question.reconciliation,
            pl.col("event_key") == question.asked[0]["event_key"],
        )
        return float(drawn["inclusion_probability"][0])

    def _commit(self, rows: pl.DataFrame) -> None:
        self._sitting.store.add_decisions(rows, recorded_at=self._sitting.clock())
        self._catch_up()

    def _catch_up(self) -> None:
        """Read what was decided since we last looked, here or elsewhere."""
        seen = int(self._said["seq"].max() or 0)  # type: ignore[arg-type] # a maximum of integers
        new = self._sitting.store.rows("decisions", after_seq=seen)
        if not new.is_empty():
            self._said = pl.concat([self._said, new])
            self._heard()


def _put_nothing(engine: Engine) -> None:
    """Empty tables of matches: what is decided here speaks of events alone."""
    for table in ("match_members", "open_items"):
        engine.put(table, pl.DataFrame(schema={"run_id": pl.String, **model.RUN_TABLES[table]}))
