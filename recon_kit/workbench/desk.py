"""The desk behind the review screen: questions out of the current runs, decisions into the ledger.

Everything a sitting needs is read once; a decision is checked against those facts in a small
engine of its own and committed before `decide` returns. What other people and other screens decide
meanwhile is read from the ledger before every commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from recon_kit import model
from recon_kit.errors import DecisionRefusedError
from recon_kit.ledger.engine import open_engine
from recon_kit.ledger.entries import in_force
from recon_kit.ledger.leases import Lease, subject_of
from recon_kit.ledger.store import Store
from recon_kit.matching.keys import one_side
from recon_kit.present import screen
from recon_kit.present.comparing import How, Record
from recon_kit.present.questions import LISTING, VERDICTS, Answer, Candidate, Question
from recon_kit.resolution import decisions as decision_room
from recon_kit.settings import Reconciliation, Settings
from recon_kit.workbench import asked as asked_room
from recon_kit.workbench.asked import Asked
from recon_kit.workbench.sayings import SAID_ON_PAIRS, verdicts
from recon_kit.workdays import add_duration

Finder = Callable[[Reconciliation, str, str], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Sitting:
    """What one sitting stands on.

    `base_seq` is, by reconciliation, the sequence up to which decisions are in its run already;
    `find(reconciliation, side, text)` gives the facts of the event that a reviewer names;
    `remember(reconciliation)` says what rule could be made of the decisions, where that is known.
    """

    store: Store
    settings: Settings
    reviewer: str
    asked: Asked
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
        questions = sitting.asked.questions.with_row_index("place")
        self._questions = questions.with_columns(pl.col("place").cast(pl.Int64))
        self._rows = {q: i for i, q in enumerate(questions["question_id"])}
        self._pairs = sitting.asked.pairs
        self._facts = sitting.asked.facts
        self._places = {key: i for i, key in enumerate(self._facts["event_key"])}
        self._also = _asked_elsewhere(self._pairs)
        self._said = sitting.store.rows("decisions")
        self._verdicts = verdicts(self._questions, self._pairs, self._standing())
        self._lease: tuple[str, Lease] | None = None
        self._engine_of = ExitStack()
        self._engine = self._engine_of.enter_context(open_engine((), threads=1))
        for table in ("match_members", "open_items"):
            schema = {"run_id": pl.String(), **model.RUN_TABLES[table]}
            self._engine.put(table, pl.DataFrame(schema=schema))

    # --- what is asked -----------------------------------------------------------------------
    def listing(self) -> pl.DataFrame:
        """Every question with what was said of it; see `present.questions.Desk`."""
        said = pl.DataFrame(
            {"question_id": list(self._verdicts), "verdict": list(self._verdicts.values())},
            schema={"question_id": pl.String, "verdict": pl.String},
        )
        told = self._questions.join(said, on="question_id", how="left", maintain_order="left")
        return told.select(pl.col(name).cast(kind) for name, kind in LISTING.items())

    def question(self, question_id: str) -> Question:
        """The facts of one question, its candidates best first."""
        row = self._questions.row(self._rows[question_id], named=True)
        rec = self._recs[row["reconciliation"]]
        pairs = self._pairs.filter(pl.col("question_id") == question_id)
        side = 0 if self._side(row) == "left" else 1
        measures = (rec.measure.left, rec.measure.right)
        question = Question(
            question_id=question_id,
            reconciliation=rec.name,
            method=row["method"] or "",
            why="",
            asked=(self._record(row["asked_key"]),),
            candidates=self._candidates(pairs, rec),
            how=How(
                zone=self._sitting.settings.workspace.timezone,
                zones=_zones(self._sitting.settings),
                measures=(measures[side], measures[1 - side]),
                further=tuple(n for n in (*rec.keys, *rec.probable.compare) if "." in n),
            ),
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            stream=row["stream"],
            verdict=self._verdicts.get(question_id),
        )
        words = asked_room.why(question, row["why_code"], rec)
        return replace(question, why=words, verdict_note=self._told(question))

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
                f"meanwhile this was decided elsewhere: {self._told(self.question_of(question))} "
                "Nothing was saved; press the key again to overrule it, or go on to the next."
            )
        rec = self._recs[question.reconciliation]
        pairs = self._meant(answer, rec)
        self._engine.put("events", self._evidence(pairs))
        lease = self._lease[1].token if self._lease_of(question) and self._lease else None
        asked = decision_room.judgements(pairs, verdict=answer.verdict, lease_token=lease)
        context = decision_room.Context(
            reviewer=self._sitting.reviewer,
            stream=question.stream,
            score_shown=answer.score_shown,
            bundle_id=decision_room.new_bundle() if pairs.height > 1 else None,
            effective_at=self._sitting.clock(),
            reasons=self._sitting.settings.review.reasons,
        )
        drafted = decision_room.draft(self._engine, asked, rec, context)
        decision_room.refuse(drafted.problems)
        self._commit(pl.concat([self._taken_back(question, answer.verdict), drafted.rows]))
        return f"{VERDICTS[answer.verdict]}, {screen.titles(question.asked)}"

    def undo(self) -> str | None:
        """Take back this reviewer's newest decision since the last run, with its bundle."""
        self._catch_up()
        mine = self._standing().filter(
            pl.col("reviewer") == self._sitting.reviewer, pl.col("seq") > self._base()
        )
        asked = self._questions.join(self._touching(mine), on="question_id", how="inner")
        if asked.is_empty():
            return None
        newest = asked.sort("seq", "question_id").row(-1, named=True)
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
        side = "right" if self._side(self._row(question)) == "left" else "left"
        found = self._sitting.find(rec, side, text)
        key, asked_key = str(found["event_key"][0]), str(question.asked[0]["event_key"])
        if key not in self._places:
            self._places[key] = self._facts.height
            self._facts = pl.concat([self._facts, found.select(self._facts.columns)])
        own = self._pairs.filter(pl.col("question_id") == question.question_id)
        alone = own.filter(pl.col("other_key") == key, pl.len().over("match_id") == 1)
        if alone.is_empty():
            left, right = (asked_key, key) if side == "right" else (key, asked_key)
            row = {
                "question_id": question.question_id, "reconciliation": rec.name,
                "match_id": model.match_id(rec.name, (left, right)), "left_key": left,
                "right_key": right, "asked_key": asked_key, "other_key": key,
                "stream": question.stream, "why_code": "named",
            }  # fmt: skip
            alone = pl.DataFrame([row], schema_overrides=dict(self._pairs.schema)).select(
                pl.col(n) if n in row else pl.lit(None, dtype=kind).alias(n)
                for n, kind in self._pairs.schema.items()
            )
            self._pairs = pl.concat([self._pairs, alone])
        match_id = str(alone["match_id"][0])
        return next(c for c in self._candidates(alone, rec) if c.key == match_id)

    # --- inside ------------------------------------------------------------------------------
    def question_of(self, question: Question) -> Question:
        """The same question with what is known of it now."""
        return replace(question, verdict=self._verdicts.get(question.question_id))

    def _row(self, question: Question) -> dict[str, Any]:
        return self._questions.row(self._rows[question.question_id], named=True)

    def _side(self, row: Mapping[str, Any]) -> str:
        """On which side the event stands that the question hangs on."""
        return "left" if row["stream"] == "audit" else one_side(self._recs[row["reconciliation"]])

    def _record(self, key: str) -> Record:
        return self._facts.row(self._places[key], named=True)

    def _candidates(self, pairs: pl.DataFrame, rec: Reconciliation) -> tuple[Candidate, ...]:
        """A candidate per proposed match, with the weights that speak for it."""
        said = self._pair_verdicts()
        found: dict[str, list[dict[str, Any]]] = {}
        for row in pairs.drop_nulls("other_key").iter_rows(named=True):
            found.setdefault(row["match_id"], []).append(row)
        return tuple(
            Candidate(
                key=key,
                records=tuple(self._record(row["other_key"]) for row in rows),
                probability=rows[0]["confidence"],
                margin=rows[0]["margin"],
                evidence=asked_room.evidence(rows[0]["levels"], rows[0]["weights"]),
                note=self._note(rows),
                verdict=said.get((rec.name, rows[0]["left_key"], rows[0]["right_key"])),
            )
            for key, rows in found.items()
        )

    def _note(self, rows: list[dict[str, Any]]) -> str:
        """Whether it is the rival of what is proposed, and where else its events are proposed."""
        others = {
            key for row in rows for key in self._also.get(row["other_key"], ())
        } - {rows[0]["asked_key"]}  # fmt: skip
        if not others:
            return "rival" if rows[0]["why_code"] == "rival" else ""
        first = screen.title(self._record(min(others)))
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"also proposed for {first}{more}"

    def _told(self, question: Question) -> str:
        """Who said what of a question, in words; empty where nobody did."""
        verdict = self._verdicts.get(question.question_id)
        if verdict is None:
            return ""
        rows = self._about(question)
        who = rows["reviewer"][-1] if rows.height else self._sitting.reviewer
        told = "You" if who == self._sitting.reviewer else who
        return f"{told} said: {VERDICTS.get(verdict, verdict)}."

    def _standing(self) -> pl.DataFrame:
        """Decisions in force on the reconciliations of this sitting that its runs do not know.

        An `unsure` of this reviewer stands until somebody settles it, whatever was run since.
        """
        known = pl.DataFrame(
            {
                "reconciliation": list(self._sitting.base_seq),
                "base": list(self._sitting.base_seq.values()),
            },
            schema={"reconciliation": pl.String, "base": pl.Int64},
        )
        mine = (pl.col("verdict") == "unsure") & (pl.col("reviewer") == self._sitting.reviewer)
        rows = in_force(self._said).join(known, on="reconciliation", how="inner")
        return rows.filter((pl.col("seq") > pl.col("base")) | mine).sort("seq").drop("base")

    def _base(self) -> int:
        return min(self._sitting.base_seq.values(), default=0)

    def _pair_verdicts(self) -> dict[tuple[str, str, str], str]:
        rows = self._standing().select(*SAID_ON_PAIRS, "verdict").drop_nulls()
        return {(r, a, b): v for r, a, b, v in rows.iter_rows()}

    def _touching(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Which questions decisions speak of: `question_id, seq, bundle_id`."""
        said = rows.select("seq", "bundle_id", *SAID_ON_PAIRS)
        own = ["question_id", "seq", "bundle_id"]
        pairs = said.join(self._pairs, on=list(SAID_ON_PAIRS), how="inner").select(own)
        alone = said.filter(pl.col("left_key").is_null() | pl.col("right_key").is_null())
        lone = alone.with_columns(asked_key=pl.coalesce("left_key", "right_key")).join(
            self._questions, on=["reconciliation", "asked_key"], how="inner"
        )
        return pl.concat([pairs, lone.select(own)]).unique()

    def _about(self, question: Question) -> pl.DataFrame:
        """Standing decisions on one question, oldest first."""
        rows = self._standing()
        seqs = self._touching(rows).filter(pl.col("question_id") == question.question_id)["seq"]
        return rows.filter(pl.col("seq").is_in(seqs.implode()))

    def _taken_back(self, question: Question, verdict: str) -> pl.DataFrame:
        """Undo what this reviewer said of the question before, where it is answered anew.

        Saying of a second candidate that it is not the same takes nothing back.
        """
        rows = self._about(question).filter(pl.col("reviewer") == self._sitting.reviewer)
        if question.question_id not in self._verdicts or rows.is_empty():
            rows = rows.head(0)
        if verdict == "not_same":
            rows = rows.filter(pl.col("verdict") != "not_same")
        return decision_room.undo_rows(rows, self._sitting.reviewer)

    def _meant(self, answer: Answer, rec: Reconciliation) -> pl.DataFrame:
        """The pairs, or the lone event, that a decision speaks of."""
        keys = {"left_key": pl.String, "right_key": pl.String}
        if answer.candidate is None:
            key = answer.question.asked[0]["event_key"]
            side = self._side(self._row(answer.question))
            lone = (key, None) if side == "left" else (None, key)
            return pl.DataFrame([lone], schema=keys, orient="row")
        wanted = (pl.col("question_id") == answer.question.question_id) & (
            pl.col("match_id") == answer.candidate.key
        )
        pairs = self._pairs.filter(wanted, pl.col("reconciliation") == rec.name)
        return pairs.select(*keys).unique(maintain_order=True)

    def _evidence(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """The events that are spoken of, as they were shown."""
        keys = pl.concat([pairs["left_key"], pairs["right_key"]]).drop_nulls().unique()
        columns = ["event_key", "payload_hash", "source", "event_type"]
        return self._facts.filter(pl.col("event_key").is_in(keys.implode())).select(columns)

    def _lease_of(self, question: Question) -> bool:
        return self._lease is not None and self._lease[0] == question.question_id

    def _commit(self, rows: pl.DataFrame) -> None:
        self._sitting.store.add_decisions(rows, recorded_at=self._sitting.clock())
        self._catch_up()

    def _catch_up(self) -> None:
        """Read what was decided since we last looked, here or elsewhere."""
        seen = int(self._said["seq"].max() or 0)  # type: ignore[arg-type] # a maximum of integers
        new = self._sitting.store.rows("decisions", after_seq=seen)
        if not new.is_empty():
            self._said = pl.concat([self._said, new])
            self._verdicts = verdicts(self._questions, self._pairs, self._standing())


def _asked_elsewhere(pairs: pl.DataFrame) -> dict[str, list[str]]:
    """Events that are candidates of several questions: to which events they are proposed."""
    proposed = (pl.col("stream") == "work") & (pl.col("why_code") != "rival")
    told = pairs.filter(proposed).drop_nulls("other_key")
    several = (
        told.group_by("other_key")
        .agg(pl.col("asked_key").unique().sort())
        .filter(pl.col("asked_key").list.len() > 1)
    )
    return dict(several.iter_rows())


def _zones(settings: Settings) -> dict[str, str]:
    """In which zone a source's dates without a time of day are read."""
    home = settings.workspace.timezone
    return {
        s.name: str(s.timezone or (s.layout.timezone if s.layout else None) or home)
        for s in settings.sources
    }
