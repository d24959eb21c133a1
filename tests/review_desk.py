"""A desk of literal questions, for tests of the review screen without a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from recon_kit.errors import ReconError
from recon_kit.present.comparing import How
from recon_kit.present.questions import LISTING, Candidate, Question

HOW = How(zone="UTC")


def order(number, amount, email="ana.diaz@example.com", name="Ana Diaz", day=3, **more):
    return {
        "event_key": f"o{number}", "event_type": "order", "source": "shop",
        "native_id": f"#{number}", "order_id": str(number), "amount": amount, "currency": "EUR",
        "customer_name": name, "email": email, "phone": "+34 600 123 456", "status": "paid",
        "event_ts": datetime(2026, 11, day, 15, 4, tzinfo=UTC), "ts_precision": "second",
        "artefact": "orders.csv", "record_row": 17, **more,
    }  # fmt: skip


def payment(name, amount, email="ana.diaz@example.com", day=6, hour=15, **more):
    return {
        "event_key": name, "event_type": "payment", "source": "stripe", "native_id": name,
        "transaction_id": "pi_3MqZ81", "amount": amount, "currency": "EUR", "email": email,
        "event_ts": datetime(2026, 11, day, hour, 9, tzinfo=UTC), "ts_precision": "second",
        "artefact": "payouts.csv", "record_row": 4, "status": "succeeded", **more,
    }  # fmt: skip


EVIDENCE = (
    ("prior", "any two records", -12.4), ("customer", "e-mail off by a typo, names alike", 11.9),
    ("amount", "off by at most 3 minor units", 9.3), ("time lag", "3 days after", -1.3),
)  # fmt: skip


def pair(number, amount=10_000, **more):
    """A question about one order with one candidate."""
    chosen = Candidate(
        f"py_{number}", (payment(f"py_{number}", amount - 40, "ana.dias@example.com"),),
        0.9942, 0.42, EVIDENCE, rival="payment py_9",
    )  # fmt: skip
    told = {
        "question_id": f"q{number}", "reconciliation": "orders_to_payments", "method": "probable",
        "why": "Nothing certifies the threshold yet, so a person decides.",
        "asked": (order(number, amount),), "candidates": (chosen,), "how": HOW,
        "amount_minor": amount, "currency": "EUR",
    }  # fmt: skip
    return Question(**(told | more))


RIVALS = pair(
    1002, 25_550,
    why="2 payments fit this order equally well.",
    candidates=(
        Candidate("py_A", (payment("py_A", 25_550),), 0.5, 0.0, EVIDENCE),
        Candidate("py_B", (payment("py_B", 25_550, day=4),), 0.41, 0.0, EVIDENCE,
                  "also proposed for order #1009"),
        Candidate("py_C", (payment("py_C", 25_000, "bo@example.com", day=5),), 0.07),
    ),
)  # fmt: skip
PAYOUTS = tuple(
    {
        "event_key": f"po_{n}", "event_type": "payout", "source": "stripe", "native_id": f"po_{n}",
        "amount": amount, "currency": "USD", "ts_precision": "second",
        "event_ts": datetime(2026, 11, day, 2, 0, tzinfo=UTC),
    }
    for n, amount, day in ((7, 9_434, 2), (8, 12_050, 3), (9, 1_999, 4))
)  # fmt: skip
GROUP = Question(
    question_id="q_bank", reconciliation="payouts_to_bank", method="grouped",
    why="3 payouts add up to this bank line, 1.00 more than it shows.",
    asked=(
        {
            "event_key": "b1", "event_type": "bank_line", "source": "bank",
            "native_id": "FTMRP2G", "amount": 23_383, "currency": "USD",
            "description": "STRIPE TRANSFER", "ts_precision": "date",
            "event_ts": datetime(2026, 11, 5, tzinfo=UTC),
        },
    ),
    candidates=(Candidate("po_7 po_8 po_9", PAYOUTS, None, None),),
    how=HOW, amount_minor=23_383, currency="USD",
)  # fmt: skip
AUDIT = pair(1004, 8_000, question_id="q_audit", stream="audit")


class FakeDesk:
    """Keeps what was said in a list; fails on demand."""

    remembers = True

    def __init__(self, *questions):
        self.questions = {q.question_id: q for q in questions or (pair(1001), RIVALS, GROUP)}
        self.said = []  # (question_id, verdict, candidate key)
        self.asked_for = []
        self.broken = None
        self.held = ""

    def listing(self):
        """The questions, in the order given."""
        rows = [
            {
                "question_id": q.question_id, "reconciliation": q.reconciliation,
                "method": q.method,
                "why_code": "ambiguous" if len(q.candidates) > 1 else "below_floor",
                "amount_minor": q.amount_minor, "currency": q.currency,
                "event_ts": q.asked[0]["event_ts"], "blind": q.blind,
                "confidence": q.candidates[0].probability if q.candidates else None,
                "place": place, "verdict": self._verdict(q),
            }
            for place, q in enumerate(self.questions.values())
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=LISTING)

    def _verdict(self, question):
        said = [(v, c) for q, v, c in self.said if q == question.question_id]
        apart = {c for v, c in said if v == "not_same"}
        if said and said[-1][0] != "not_same":
            return said[-1][0]
        return "not_same" if apart and apart >= {c.key for c in question.candidates} else None

    def question(self, question_id):
        """With what was said of it."""
        question = self.questions[question_id]
        said = {c: v for q, v, c in self.said if q == question_id and c}
        return replace(
            question,
            candidates=tuple(replace(c, verdict=said.get(c.key)) for c in question.candidates),
            verdict=self._verdict(question),
        )

    def claim(self, _):
        """Whoever `held` names has it."""
        return self.held

    def decide(self, answer):
        """Keep it, unless broken."""
        if self.broken:
            raise ReconError(self.broken)
        key = answer.candidate.key if answer.candidate else None
        self.said.append((answer.question.question_id, answer.verdict, key))
        self.asked_for.append(answer)
        return f"{answer.verdict} for {answer.question.question_id}"

    def undo(self):
        """Drop the newest."""
        return self.said.pop()[0] if self.said else None

    def remember(self, _):
        """Not enough yet."""
        return "No rule can be made of it yet: 2 more decisions like it are needed."

    def unmask(self, question, reason):
        """Keep the reason."""
        self.asked_for.append((question.question_id, reason))

    def find(self, _, text):
        """Nothing else is known."""
        raise ReconError(f"no payment is called {text!r}.")
