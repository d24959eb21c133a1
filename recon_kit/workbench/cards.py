"""Questions made of what was read: events with their facts, candidates with their evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from recon_kit import model
from recon_kit.matching import answer_words
from recon_kit.matching.keys import one_side
from recon_kit.present import screen
from recon_kit.present.comparing import How, Record
from recon_kit.present.questions import Candidate, Question
from recon_kit.settings import Settings
from recon_kit.workbench import asked as asked_room
from recon_kit.workbench import rivals
from recon_kit.workbench.asked import Asked

PairVerdicts = Mapping[tuple[str, str, str], str]


class Cards:
    """The questions of one sitting, each put together when it is asked for.

    `questions` and `pairs` are those of `Asked`, with the place of each question; `pairs` grows
    when a reviewer names a counterpart.
    """

    def __init__(self, asked: Asked, settings: Settings) -> None:
        place = pl.col("place").cast(pl.Int64)
        self.questions = asked.questions.with_row_index("place").with_columns(place)
        self.pairs = asked.pairs
        self._facts = asked.facts
        self._settings = settings
        self._recs = {r.name: r for r in settings.reconciliations}
        self._rows = {q: i for i, q in enumerate(self.questions["question_id"])}
        self._places = {key: i for i, key in enumerate(self._facts["event_key"])}
        self._also = _asked_elsewhere(self.pairs)

    def card(self, question_id: str, said: PairVerdicts) -> Question:
        """One question, its candidates best first, with what was said of each pair."""
        row = self.questions.row(self._rows[question_id], named=True)
        rec = self._recs[row["reconciliation"]]
        on_left = self.asked_side(question_id) == "left"
        measures = (rec.measure.left, rec.measure.right)
        pairs = self.pairs.filter(pl.col("question_id") == question_id)
        found: dict[str, list[dict[str, Any]]] = {}
        # a rival that is no candidate here stands on the side of what is asked about
        here = pairs["other_key"].implode()
        rival = pl.col("rival_key")
        pairs = pairs.with_columns(wanted_by=pl.when(~rival.is_in(here)).then(rival))
        for pair in pairs.drop_nulls("other_key").iter_rows(named=True):
            found.setdefault(pair["match_id"], []).append(pair)
        return asked_room.with_reason(
            Question(
                question_id=question_id,
                reconciliation=rec.name,
                method=row["method"] or "",
                why="",
                asked=(self._record(row["asked_key"], rec.name),),
                candidates=tuple(self._candidate(k, rows, said) for k, rows in found.items()),
                how=How(
                    zone=self._settings.workspace.timezone,
                    measures=measures if on_left else measures[::-1],
                    further=tuple(n for n in (*rec.keys, *rec.probable.compare) if "." in n),
                ),
                keys=rec.keys,
                amount_minor=row["amount_minor"],
                currency=row["currency"],
                stream=row["stream"],
                decoy=bool(row["decoy"]),
                again=row["why_code"] == asked_room.SECOND and row["stream"] == "work",
            ),
            row["why_code"],
            rec,
            sum(rows[0]["why_code"] != "same_id" for rows in found.values()),
            _counted(pairs),
        )

    def asked_side(self, question_id: str) -> str:
        """On which side the event stands that a question hangs on."""
        row = self.questions.row(self._rows[question_id], named=True)
        return "left" if row["stream"] == "audit" else one_side(self._recs[row["reconciliation"]])

    def evidence(self, event_keys: pl.Series) -> pl.DataFrame:
        """Events as they were shown, in the columns that a decision is checked against."""
        columns = ["event_key", "payload_hash", "source", "event_type"]
        return self._facts.filter(pl.col("event_key").is_in(event_keys.implode())).select(columns)

    def name(self, question: Question, found: pl.DataFrame) -> str:
        """Put an event beside the candidates of a question; the key of that candidate.

        Args:
            question: which one.
            found: the facts of the event, one row.
        """
        key, asked_key = str(found["event_key"][0]), str(question.asked[0]["event_key"])
        if key not in self._places:
            self._places[key] = self._facts.height
            self._facts = pl.concat([self._facts, found.select(self._facts.columns)])
        own = self.pairs.filter(pl.col("question_id") == question.question_id)
        alone = own.filter(pl.len().over("match_id") == 1).filter(pl.col("other_key") == key)
        if not alone.is_empty():
            return str(alone["match_id"][0])
        on_left = self.asked_side(question.question_id) == "left"
        left, right = (asked_key, key) if on_left else (key, asked_key)
        row = {
            "question_id": question.question_id, "reconciliation": question.reconciliation,
            "match_id": model.match_id(question.reconciliation, (left, right)),
            "left_key": left, "right_key": right, "asked_key": asked_key, "other_key": key,
            "stream": question.stream, "why_code": "named",
        }  # fmt: skip
        values = {name: [row.get(name)] for name in self.pairs.columns}
        self.pairs = pl.concat([self.pairs, pl.DataFrame(values, schema=self.pairs.schema)])
        return str(row["match_id"])

    def called(self, key: str) -> str:
        """How people call an event; the beginning of its key where its facts are not at hand."""
        place = self._places.get(key)
        return f"event {key[:8]}" if place is None else screen.title(self._bare(place))

    def _type(self, key: str) -> str:
        """What an event is, in words."""
        return str(self._bare(self._places[key])["event_type"] or "event").replace("_", " ")

    def _bare(self, place: int) -> Record:
        return self._facts.row(place, named=True)

    def _record(self, key: str, reconciliation: str) -> Record:
        """An event's facts, filled up with what the record of its customer tells."""
        facts = dict(self._bare(self._places[key]))
        told = json.loads(facts.pop("told_more") or "{}").get(reconciliation, {})
        open_of = json.loads(facts.pop("open_of") or "{}")
        values = {field: value for field, (value, _) in told.items()}
        return {
            **facts,
            **values,
            "open_minor": open_of.get(reconciliation),
            "told_more": {field: source for field, (_, source) in told.items()},
        }

    def _candidate(self, key: str, rows: list[dict[str, Any]], said: PairVerdicts) -> Candidate:
        first = rows[0]
        words = [
            said.get((row["reconciliation"], row["left_key"], row["right_key"])) for row in rows
        ]
        return Candidate(
            key=key,
            records=tuple(self._record(row["other_key"], row["reconciliation"]) for row in rows),
            # What methods without a model call confidence is no probability.
            probability=first["confidence"] if first["method"] == "probable" else None,
            margin=first["margin"] if first["method"] == "probable" else None,
            evidence=asked_room.evidence(
                first["levels"],
                first["weights"],
                (self._type(first["left_key"]), self._type(first["right_key"])),
            ),
            note=self._note(rows),
            rival=self.called(first["rival_key"]) if first["rival_key"] else "",
            verdict="not_same" if "not_same" in words else words[0],
        )

    def _note(self, rows: list[dict[str, Any]]) -> str:
        """Why it stands here where it is not proposed, and who else has or wants its events."""
        held = sorted({row["held_by"] for row in rows if row["held_by"]})
        others = {key for row in rows for key in self._also.get(row["other_key"], ())}
        others |= {row["wanted_by"] for row in rows if row["wanted_by"]}
        others -= {rows[0]["asked_key"], *held}
        told = {**rivals.NOTES, "named": "named by you"}.get(rows[0]["why_code"] or "", "")
        told = told or answer_words.ranked(rows[0]["levels"])[1]
        return "; ".join(filter(None, [
            told, self._others("now matched with", held),
            self._others("also fits", sorted(others)),
        ]))  # fmt: skip

    def _others(self, what: str, keys: list[str]) -> str:
        """The first of some events by name, and how many more there are."""
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        return f"{what} {self.called(keys[0])}{more}" if keys else ""


def _counted(pairs: pl.DataFrame) -> str:
    """How many answers there are to a question, shown or not, in words; empty where not counted."""
    told = pairs.drop_nulls("equal_answers").sort("equal_answers", "levels").tail(1)
    return answer_words.counted(*told.select("levels", "equal_answers").row(0)) if len(told) else ""


def _asked_elsewhere(pairs: pl.DataFrame) -> dict[str, list[str]]:
    """Events that are candidates of several questions: to which events they are proposed."""
    proposed = (pl.col("stream") == "work") & ~pl.col("why_code").is_in(rivals.CODES)
    told = pairs.filter(proposed).drop_nulls("other_key")
    several = (
        told.group_by("other_key")
        .agg(pl.col("asked_key").unique().sort())
        .filter(pl.col("asked_key").list.len() > 1)
    )
    return dict(several.iter_rows())
