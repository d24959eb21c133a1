"""A round of reviewing: which question is on the screen, and what a key press leads to.

A round is plain Python: it takes the messages of a screen and gives the ones that the screen is to
be told, so that what a reviewer may see is decided here and tested without a browser.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import polars as pl

from recon_kit import money
from recon_kit.errors import ReconError
from recon_kit.present import screen
from recon_kit.present.questions import REASONS, VERDICTS, Answer, Desk, Message, Question

_PAUSE_SECONDS = 300.0  # whoever takes longer over one pair was away
_BANDS = (100, 1_000, 10_000)
_ORDERS: dict[str, str] = {
    "useful": "most useful first", "money": "largest amount first", "oldest": "oldest first",
    "unsure": "least sure first",
}  # fmt: skip
_FILTERS: dict[str, str] = {
    "reconciliation": "Reconciliation", "method": "Method", "why_code": "Reason",
    "band": "Amount", "currency": "Currency",
}  # fmt: skip


class Round:
    """One reviewer's way through the questions of a desk.

    Args:
        desk: supplies questions and keeps decisions.
        blind: leave out everything the system thinks.
        clock: seconds, for the pace.
    """

    def __init__(
        self, desk: Desk, *, blind: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk, self._clock = desk, clock
        self.blind = blind
        self._filters: dict[str, str] = {}
        self._order = "useful"
        self._listing = self._listed()
        self._current: str | None = None
        self._question: Question | None = None
        self._chosen = 0
        self._unmasked = False
        self._seen: list[str] = []
        self._shown_at = clock()
        self._paces: list[float] = []
        self._note = ""
        self._remark = ""  # what the reviewer wrote about the question on the screen
        self._claimed: str | None = None
        self._decided: Question | None = None
        self._go(self._following())

    # --- messages ----------------------------------------------------------------------------
    def handle(self, message: Message) -> dict[str, Any]:
        """Do what a screen asks for, and say what it is to show.

        A failure is a reply of type `failed` with its text; what is on the screen stays.
        """
        self._note = ""
        doing = {
            "hello": self._hello, "decide": self._decide, "undo": self._undo, "next": self._next,
            "previous": self._previous, "choose": self._choose, "filter": self._filter,
            "remember": self._remember, "unmask": self._unmask, "find": self._find,
            "note": self._write,
        }.get(str(message.get("type")))  # fmt: skip
        try:
            self._same_page(message)
            (doing or self._unknown)(message)
        except ReconError as why:
            return {"type": "failed", "message": str(why), "reply_to": message.get("n")}
        return {**self.state(), "reply_to": message.get("n")}

    def settle(self) -> dict[str, Any] | None:
        """Claim what is on the screen, once it is there; something to tell if another has it."""
        if self._question is None or self._claimed == self._current:
            return None
        self._claimed = self._current
        try:
            self._note = self._desk.claim(self._question)
        except ReconError as why:
            self._note = str(why)
        return self.state() if self._note else None

    def state(self) -> dict[str, Any]:
        """Everything the screen shows now."""
        question = self._question
        return {
            "type": "state",
            "blind": self.blind,
            "progress": self._progress(),
            "filters": self._choices(),
            "note": self._note,
            "remark": self._remark,
            "remembers": self._desk.remembers,
            "question": None
            if question is None
            else screen.message(question, self._chosen, blind=self.blind, unmasked=self._unmasked),
        }

    def _same_page(self, message: Message) -> None:
        """Refuse what was pressed on a question that is no longer the one on the screen."""
        about = message.get("question")
        if about is not None and about != self._current:
            raise ReconError(
                "this page was behind, so nothing was saved; it shows the current question now."
            )

    def _unknown(self, _: Message) -> None:
        raise ReconError("the screen asked for something unknown; run the cell again.")

    def _hello(self, _: Message) -> None:
        """A screen has opened."""

    def _decide(self, message: Message) -> None:
        question = self._asked()
        verdict = str(message.get("verdict"))
        if verdict not in VERDICTS:
            raise ReconError(f"{verdict!r} is no verdict; nothing was saved.")
        if verdict not in screen.actions(question, self._chosen):
            raise ReconError("that is not possible for this question; nothing was saved.")
        candidate = question.candidates[self._chosen] if question.candidates else None
        if message.get("candidate") != (candidate.key if candidate else None):
            raise ReconError(
                "another candidate stood on the screen, so nothing was saved; look again."
            )
        shown = not (self.blind or question.blind)
        meant = None if verdict == "no_counterpart" else candidate
        answer = Answer(question, verdict, meant, shown, self._remark)  # type: ignore[arg-type]
        said = self._desk.decide(answer)
        took = self._clock() - self._shown_at
        self._paces += [took] if took < _PAUSE_SECONDS else []
        self._listing = self._listed()
        noted = ", with your note" if self._remark else ""
        self._note, self._decided, self._remark = f"Saved: {said}{noted}.", question, ""
        if self._waits(question.question_id):
            self._show(question.question_id)
        else:
            self._go(self._following())

    def _undo(self, _: Message) -> None:
        question_id = self._desk.undo()
        if question_id is None:
            self._note = "Nothing was decided since the last run, so there is nothing to undo."
            return
        self._listing = self._listed()
        self._note = "Taken back. Decide again, or go on."
        self._go(question_id)

    def _next(self, _: Message) -> None:
        if self._asked().blind:
            raise ReconError("this question cannot be passed over: choose, say none, or unsure.")
        following = self._following()
        if following == self._current:
            self._note = "This is the only one left."
        self._go(following)

    def _previous(self, _: Message) -> None:
        if not self._seen:
            self._note = "This is the first one."
            return
        before = self._seen.pop()
        self._show(before)

    def _choose(self, message: Message) -> None:
        keys = [c.key for c in self._asked().candidates]
        wanted = message.get("candidate")
        if wanted not in keys:
            raise ReconError("there is no such candidate; look again.")
        self._chosen = keys.index(wanted)
        self._unmasked = False

    def _filter(self, message: Message) -> None:
        name, value = str(message.get("name")), str(message.get("value") or "")
        if name == "order":
            self._order = value if value in _ORDERS else "useful"
        elif name in _FILTERS:
            self._filters = {**self._filters, name: value} if value else {
                n: v for n, v in self._filters.items() if n != name
            }  # fmt: skip
        self._go(self._following(start=True))

    def _remember(self, _: Message) -> None:
        if not self._desk.remembers:
            raise ReconError("no rules can be proposed here.")
        if self._decided is None:
            raise ReconError("decide first: a rule is proposed from the newest decision.")
        self._note = self._desk.remember(self._decided)

    def _unmask(self, message: Message) -> None:
        reason = " ".join(str(message.get("reason") or "").split())
        if len(reason) < 3:
            raise ReconError("say why you need to see it; the reason is kept in the ledger.")
        self._desk.unmask(self._asked(), reason)
        self._unmasked = True
        self._note = "Shown in full for this question. Who asked, and why, is in the ledger."

    def _write(self, message: Message) -> None:
        """Keep words of the reviewer for the decision on this question; none take them away."""
        self._asked()
        self._remark = " ".join(str(message.get("text") or "").split())
        self._note = (
            "Your note is kept with your next answer to this question."
            if self._remark
            else "No note goes with your answer."
        )

    def _find(self, message: Message) -> None:
        text = " ".join(str(message.get("text") or "").split())
        question = self._asked()
        found = self._desk.find(question, text)
        self._show(question.question_id)
        keys = [c.key for c in self._asked().candidates]
        self._chosen = keys.index(found.key)
        self._note = f"Beside it now: {screen.titles(found.records)}."

    # --- where we are ------------------------------------------------------------------------
    def _asked(self) -> Question:
        if self._question is None:
            raise ReconError("nothing waits here; change the filters, or reconcile again.")
        return self._question

    def _listed(self) -> pl.DataFrame:
        """The desk's listing with the band of each amount in its own currency."""
        listing = self._desk.listing()
        places = money.currency_exponents()
        unit = pl.col("currency").replace_strict(
            list(places), [10**p for p in places.values()], default=None, return_dtype=pl.Int64
        )
        major = pl.col("amount_minor").abs() // unit
        # The largest bound that an amount reaches names its band.
        band = pl.lit(f"under {_BANDS[0]:,}")
        for low, high in pairwise((*_BANDS, None)):
            name = f"{low:,} to {high:,}" if high else f"{low:,} and more"
            band = pl.when(major >= low).then(pl.lit(name)).otherwise(band)
        return listing.with_columns(
            band=pl.when(major.is_null()).then(pl.lit("no amount")).otherwise(band)
        )

    def _wanted(self) -> pl.DataFrame:
        """What passes the filters, in the order that was asked for."""
        blind = pl.col("blind")
        frame = self._listing.filter(
            *(blind | (pl.col(name) == value) for name, value in self._filters.items())
        )
        by: dict[str, list[pl.Expr]] = {
            "money": [pl.col("amount_minor").abs()],
            "oldest": [-pl.col("event_ts").dt.epoch("us")],
            "unsure": [-(pl.col("confidence") - 0.5).abs()],
        }
        # A blind question is neither filtered out nor put off by another order.
        first = [] if self._order == "useful" else [blind]
        keys = [*first, *by.get(self._order, []), -pl.col("place")]
        return frame.sort(*keys, descending=True, nulls_last=True)

    def _waits(self, question_id: str) -> bool:
        return not self._listing.filter(
            pl.col("question_id") == question_id, pl.col("verdict").is_null()
        ).is_empty()

    def _following(self, *, start: bool = False) -> str | None:
        """The next waiting question after the current one, from the top again at the end."""
        frame = self._wanted()
        names = frame["question_id"].to_list()
        waiting = set(frame.filter(pl.col("verdict").is_null())["question_id"])
        here = 0 if start or self._current not in names else names.index(self._current) + 1
        return next((name for name in names[here:] + names[:here] if name in waiting), None)

    def _go(self, question_id: str | None) -> None:
        """Show another question and remember where we came from."""
        if self._current is not None and question_id != self._current:
            self._seen = [*(n for n in self._seen if n != self._current), self._current]
        self._show(question_id)

    def _show(self, question_id: str | None) -> None:
        self._remark = self._remark if question_id == self._current else ""
        self._current, self._question = question_id, None
        self._chosen, self._unmasked = 0, False
        self._shown_at = self._clock()
        if question_id is None:
            return
        question = screen.seen(self._desk.question(question_id), blind=self.blind)
        self._question = question
        open_ones = [i for i, c in enumerate(question.candidates) if c.verdict is None]
        self._chosen = open_ones[0] if open_ones else 0

    # --- how far we are ----------------------------------------------------------------------
    def _progress(self) -> dict[str, Any]:
        wanted = self._wanted()
        left = wanted["verdict"].null_count()
        pace = statistics.median(self._paces) if self._paces else None
        said = dict(self._listing.drop_nulls("verdict")["verdict"].value_counts().iter_rows())
        return {
            "done": wanted.height - left,
            "left": left,
            "minutes": None if pace is None else max(1, round(pace * left / 60)),
            "pace_seconds": None if pace is None else max(1, round(pace)),
            "tally": [[VERDICTS[v], int(said.get(v, 0))] for v in VERDICTS],
        }

    def _choices(self) -> list[dict[str, Any]]:
        """Filters with the values that occur, and the order."""
        hidden = {"method", "why_code"} if self.blind else set()
        choices = []
        for name, label in _FILTERS.items():
            # A choice that was there at the start stays there while the queue shrinks.
            values = sorted(self._listing[name].drop_nulls().unique(), key=_band_place)
            if name in hidden or len(values) < 2:
                continue
            waits = self._listing.filter(pl.col("verdict").is_null())[name].drop_nulls()
            counts = dict(waits.value_counts().iter_rows())
            chosen = self._filters.get(name, "")
            options = [[v, f"{_words(name, v)} ({counts.get(v, 0)})"] for v in values]
            choices.append(
                {"name": name, "label": label, "value": chosen, "options": [["", "all"], *options]}
            )
        orders = [[n, label] for n, label in _ORDERS.items() if not (self.blind and n == "unsure")]
        return [*choices, {"name": "order", "label": "Order", "value": self._order,
                           "options": orders}]  # fmt: skip


def _words(name: str, value: str) -> str:
    """A value of a filter as people read it."""
    return REASONS.get(value, value) if name == "why_code" else value.replace("_", " ")


def _band_place(value: str) -> tuple[int, str]:
    """Amount bands stand by size, all else by name."""
    number = value.removeprefix("under ").split(" ")[0].replace(",", "")
    return (int(number) - value.startswith("under ") if number.isdecimal() else -1, value)
