"""What a reviewer is asked, and whom the review screen talks to.

A `Question` holds facts of one thing to be judged; a `Desk` supplies questions and keeps what a
person says. The screen knows no store: whatever stands behind the desk has committed a decision
before `decide` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import polars as pl

from recon_kit.present.comparing import How, Record

Verdict = Literal["same", "not_same", "no_counterpart", "unsure"]
VERDICTS: dict[str, str] = {
    "same": "same", "not_same": "not the same", "no_counterpart": "no counterpart",
    "unsure": "unsure",
}  # fmt: skip
# Why a person is asked, in a few words, by the code of the proposal.
REASONS: dict[str, str] = {
    "ambiguous": "equally good answers", "below_floor": "not probable enough",
    "margin": "a rival comes near", "currency": "no common currency",
    "uncertified": "nothing certifies it yet", "key_differs": "different ids",
    "id_conflict": "a key contradicted by the facts",
    "residual": "would close what is open", "amounts_differ": "amounts far apart",
    "chance": "may add up by chance", "sign_off": "above the sign-off limit",
}  # fmt: skip
LISTING: dict[str, pl.DataType] = {
    "question_id": pl.String(), "reconciliation": pl.String(), "method": pl.String(),
    "why_code": pl.String(), "amount_minor": pl.Int64(), "currency": pl.String(),
    "event_ts": pl.Datetime("us", "UTC"), "confidence": pl.Float64(), "blind": pl.Boolean(),
    "place": pl.Int64(), "verdict": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible counterpart: an event, or several that are proposed together.

    `probability` and `margin` are shares from 0 to 1; `rival` names the event that came
    nearest to either place, where one did; `evidence` is (comparison, what was found,
    weight in log2 of odds) from the prior on; `note` says what else is known of it, such as that it
    is proposed elsewhere too; `verdict` what was said of this very pair.
    """

    key: str
    records: tuple[Record, ...]
    probability: float | None = None
    margin: float | None = None
    evidence: tuple[tuple[str, str, float], ...] = ()
    note: str = ""
    rival: str = ""
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to be judged: whose counterpart is it?

    `asked` are the records asked about (one, or all of a proposed group's smaller side),
    `candidates` the possible counterparts, best first; `why` says in a sentence why a person is
    asked. An `audit` question is blind and cannot be passed over; so are as many others (`decoy`),
    so that nobody can tell which it is. `keys` are the declared ones, of which the screen says
    which agree where nothing else was weighed. Where another person judged a pair `again` is set:
    it is blind as well, and asked of this very pair.
    """

    question_id: str
    reconciliation: str
    method: str
    why: str
    asked: tuple[Record, ...]
    candidates: tuple[Candidate, ...]
    how: How = field(default_factory=How)
    keys: tuple[str, ...] = ()
    amount_minor: int | None = None
    currency: str | None = None
    stream: Literal["work", "audit"] = "work"
    decoy: bool = False
    again: bool = False
    verdict: str | None = None
    verdict_note: str = ""

    @property
    def blind(self) -> bool:
        """Whether it is judged by the facts alone, whatever the round shows."""
        return self.decoy or self.stream == "audit"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says of a question; `candidate` is none where no counterpart is meant.

    `note` are words of their own that are kept with the decision, empty where there are none.
    """

    question: Question
    verdict: Verdict
    candidate: Candidate | None
    score_shown: bool
    note: str = ""


class Desk(Protocol):
    """What stands behind the screen. Misuse and failures are `ReconError`s: their text is shown.

    `remembers` says whether rules can be proposed from decisions here.
    """

    remembers: bool

    def listing(self) -> pl.DataFrame:
        """Every question of this review in the columns of `LISTING`, in the order to be asked.

        `verdict` is what was decided since the last run, null while it waits.
        """

    def question(self, question_id: str) -> Question:
        """The facts of one question, with what was said of it so far."""

    def claim(self, question: Question) -> str:
        """Take a question that is on the screen; a sentence where somebody else has it."""

    def decide(self, answer: Answer) -> str:
        """Commit a decision; returns when it is durable, with a short name of it for the status."""

    def undo(self) -> str | None:
        """Take back the newest decision since the last run; its question, none if there is none."""

    def remember(self, question: Question) -> str:
        """Propose a rule from what was decided; a sentence that says what came of it."""

    def unmask(self, question: Question, reason: str) -> None:
        """Leave in the ledger who asked to see personal fields, of what, and why."""

    def find(self, question: Question, text: str) -> Candidate:
        """A counterpart by an id that the reviewer types."""


Message = Mapping[str, Any]
