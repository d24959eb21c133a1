"""A bench of literal frames: what the views, notebooks and reports are tested with.

It stands in for `recon_kit.workbench.bench` and answers the same calls with the same view classes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from model_card import VIEW as MODEL
from review_desk import FakeDesk

from recon_kit import model
from recon_kit.errors import ReconError
from recon_kit.present import views
from recon_kit.present.modelcard import ModelView
from recon_kit.present.review import ReviewView
from recon_kit.present.rows import RowsView

AS_OF = datetime(2026, 11, 16, 8, 0, tzinfo=UTC)
ATTACK = "</script><script>window.hit=1</script><img src=x onerror=alert(1)>"

ABOUT = views.About(
    workspace="Acme Outdoor",
    as_of=AS_OF,
    as_of_seq=1482,
    zone="America/New_York",
    runs={
        "orders_to_payments": "9f2c51e07ab34d18c2ff6b1d90a4e377",
        "payouts_to_bank": "1d8e6602bb3941cf8a54f7e2c0936ad1",
    },
    checkpoint="acme-outdoor 1482 sha256:5be1b0f1c09d2a7f6c1f4b7b6a61d0d8e0d8a0f1",
    uncertified=("orders_to_payments",),
)

TOTALS = pl.DataFrame(
    [
        ("orders_to_payments", "EUR", "matched", 1180, 14_210_455),
        ("orders_to_payments", "EUR", "residual", 6, 61_280),
        ("orders_to_payments", "EUR", "in_flight", 41, 512_300),
        ("orders_to_payments", "EUR", "overdue", 9, 118_940),
        ("orders_to_payments", "EUR", "proposed", 14, 166_075),
        ("orders_to_payments", "USD", "matched", 5022, 61_870_290),
        ("orders_to_payments", "USD", "residual", 17, 240_011),
        ("orders_to_payments", "USD", "in_flight", 160, 1_904_500),
        ("orders_to_payments", "USD", "not_covered", 22, 251_900),
        ("orders_to_payments", "USD", "overdue", 31, 402_255),
        ("orders_to_payments", "USD", "proposed", 28, 330_118),
        ("payouts_to_bank", "USD", "matched", 6, 58_420_917),
        ("payouts_to_bank", "USD", "in_flight", 1, 9_120_004),
    ],
    schema={
        "reconciliation": pl.String, "currency": pl.String, "state": pl.String,
        "items": pl.Int64, "amount_minor": pl.Int64,
    },
    orient="row",
)  # fmt: skip

_WHY = {
    "overdue": "no payment carries this order id; the nearest differs by 12.40 USD",
    "proposed": "one payment fits by e-mail and amount, but the order ids differ",
    "in_flight": "inside its settlement time",
    "not_covered": "the processor's files end on 2026-11-12",
    "residual": "two payments add up to less than the order",
}


def _open_items() -> pl.DataFrame:
    states = ["overdue", "residual", "proposed", "in_flight", "not_covered"]
    rows = [
        {
            "item_id": f"item{i:04d}",
            "reconciliation": "orders_to_payments",
            "side": "left",
            "state": states[i % 5],
            "source": "shop",
            "event_type": "order",
            "native_id": ATTACK if i == 3 else f"#{10_412 + 7 * i}",
            "amount_minor": (97_531 * (i + 3)) % 184_000 + 950,
            "currency": "EUR" if i % 3 == 0 else "USD",
            "event_ts": AS_OF - timedelta(days=i % 40, hours=5),
            "expected_by": AS_OF - timedelta(days=i % 9 - 3),
            "why_code": states[i % 5],
            "why": _WHY[states[i % 5]],
            "nearest": f"py_{i:05d}",
            "age_days": float(i % 40),
        }
        for i in range(64)
    ]
    return pl.DataFrame(rows, schema_overrides={"event_ts": model.UTC, "expected_by": model.UTC})


OPEN_ITEMS = _open_items()
COUNTED = pl.DataFrame(
    {
        "state": ["in_flight", "none", "not_covered", "overdue", "proposed", "residual"],
        "left_items": [13, 0, 12, 13, 13, 13],
        "right_items": [2, 0, 30, 4, 11, 0],
        "items": [15, 0, 42, 17, 24, 13],
        "cases": [0, 9, 0, 17, 13, 15],
        "questions": [0, 1, 0, 0, 13, 2],
    }
)


def _slis() -> pl.DataFrame:
    rows = []
    for i in range(12):
        week = f"2026-W{36 + i:02d}"
        mature = i < 10
        by_count, by_money = 900 + 4 * i, 91_000_000 + 410_000 * i
        for name, currency, part, whole in (
            ("match_rate", None, by_count, 1000),
            ("match_rate_money", "USD", by_money, 100_000_000),
        ):
            rows.append(
                {
                    "name": name, "reconciliation": "orders_to_payments", "cohort": week,
                    "currency": currency, "value": part / whole if mature else None,
                    "numerator": part, "denominator": whole, "unit": "share",
                    "state": "known" if mature else "unknown",
                    "note": None if mature else "not mature before 2026-11-23 05:00 UTC",
                }
            )  # fmt: skip
    for name, value, unit, currency, note in (
        ("false_match_estimate", None, "share", None, "no audit draw has been labelled yet"),
        ("time_to_reconcile_median", 41.25, "hours", None, None),
        ("time_to_reconcile_p90", 98.0, "hours", None, None),
        ("queue_depth", 54.0, "cases", None, None),
        ("unexplained_amount", 642_266.0, "minor", "USD", None),
    ):
        rows.append(
            {
                "name": name, "reconciliation": "orders_to_payments", "cohort": "all",
                "currency": currency, "value": value, "numerator": None, "denominator": None,
                "unit": unit, "state": "unknown" if value is None else "known", "note": note,
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=model.SLI_SCHEMA)


SLIS = _slis()
CURVE = pl.DataFrame(
    {
        "days": [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0, 21.0, 30.0],
        "share": [0.0, 0.21, 0.38, 0.52, 0.66, 0.79, 0.88, 0.93, 0.955, 0.967, 0.972, 0.975],
        "low": [0.0, 0.2, 0.365, 0.505, 0.645, 0.775, 0.868, 0.92, 0.947, 0.96, 0.965, 0.968],
        "high": [0.0, 0.22, 0.395, 0.535, 0.675, 0.805, 0.892, 0.94, 0.963, 0.974, 0.979, 0.982],
    }
)
CASES = pl.DataFrame(
    {
        "kind": ["missing_right", "amount_mismatch", "review"],
        "owner": ["revenue operations", "finance operations", "revenue operations"],
        "cases": [31, 17, 6],
        "oldest_days": [12.4, 8.1, 2.0],
    }
)
STORY = pl.DataFrame(
    [
        {
            "at": datetime(2026, 11, 3, 15, 4, tzinfo=UTC), "kind": "fact", "source": "shop",
            "event_type": "order", "native_id": "#1001", "amount_minor": 10_000,
            "currency": "EUR", "what": "order, status paid", "artefact": "orders.csv",
            "record_row": 17,
        },
        {
            "at": datetime(2026, 11, 3, 15, 5, tzinfo=UTC), "kind": "fact", "source": "stripe",
            "event_type": "payment", "native_id": "txn_A", "amount_minor": 6_540,
            "currency": "USD", "what": "payment, 60.00 EUR presented", "artefact": "payouts.csv",
            "record_row": 4,
        },
        {
            "at": datetime(2026, 11, 3, 15, 6, tzinfo=UTC), "kind": "match",
            "reconciliation": "orders_to_payments", "method": "exact", "disposition": "auto",
            "confidence": 1.0, "amount_minor": 4_000, "currency": "EUR",
            "what": "1 to 1 on order_id, residual stays open",
        },
        {
            "at": datetime(2026, 11, 10, 5, 0, tzinfo=UTC), "kind": "open",
            "reconciliation": "orders_to_payments", "amount_minor": 4_000, "currency": "EUR",
            "what": "overdue: one payment is missing",
        },
    ],
    schema={
        "at": model.UTC, "at_precision": pl.String, "kind": pl.String,
        "source": pl.String, "event_type": pl.String,
        "native_id": pl.String, "amount_minor": pl.Int64, "currency": pl.String,
        "what": pl.String, "reconciliation": pl.String, "method": pl.String,
        "disposition": pl.String, "confidence": pl.Float64, "artefact": pl.String,
        "record_row": pl.Int64, "received_at": model.UTC, "event_key": pl.String,
        "match_id": pl.String,
    },
).with_columns(own=pl.col("source").fill_null("shop") == "shop").sort(
    "own", "at", descending=[True, False]
)  # fmt: skip
MATCHES = pl.DataFrame(
    {
        "match_id": ["m1", "m2"],
        "reconciliation": ["orders_to_payments"] * 2,
        "method": ["exact", "probable"],
        "disposition": ["auto", "review"],
        "confidence": [1.0, 0.9731],
        "left_ids": ["#1001", "#1002"],
        "right_ids": ["txn_A, txn_B", "txn_C"],
        "left_sum": [10_000, 250_000],
        "right_sum": [6_000, 250_000],
        "currency": ["EUR", "JPY"],
        "residual_minor": [4_000, 0],
    }
)
QUEUE = pl.DataFrame(
    {
        "case_id": ["c1"], "priority": ["P2"], "kind": ["missing_right"], "native_id": ["#1003"],
        "amount_minor": [42_000], "currency": ["USD"], "owner": ["revenue operations"],
        "opened_at": [AS_OF], "suggested_action": ["ask the processor for the missing file"],
    },
    schema_overrides={"opened_at": model.UTC},
)  # fmt: skip
WHY = views.WhyView(
    label="#1003",
    answer="Overdue: no payment carries this order id, and the nearest one differs in amount.",
    about=ABOUT,
    methods=pl.DataFrame(
        {
            "method": ["decided", "exact", "window", "probable"],
            "outcome": ["nothing", "nothing", "not alone", "below the threshold"],
            "detail": ["no decision", "no payment has key 1003", "3 candidates", "best 18.2 %"],
        }
    ),
    candidates=pl.DataFrame(
        {
            "native_id": ["txn_Z"], "event_type": ["payment"], "source": ["stripe"],
            "amount_minor": [40_760], "currency": ["USD"], "event_ts": [AS_OF],
            "days_apart": [1.5], "apart": ["1 day 12 hours later"], "match_probability": [0.182],
            "note": ["open"], "agreement": ["amount differs by 12.40 USD"],
        }
    ),
    weights=pl.DataFrame(
        {
            "step": ["prior", "e-mail agrees", "amount near", "name differs", "one day apart"],
            "weight": [-12.4, 9.6, 2.1, -3.3, 1.8],
        }
    ),
)  # fmt: skip


class Workbench:
    """The calls that the notebooks make, answered from the frames above."""

    def __init__(self, folder: str) -> None:
        if "missing" in folder:
            raise ReconError("the folder is no workspace; run `recon init`")

    def profile(self, *_: str) -> views.ProfileView:
        """Coverage of two sources."""
        frame = pl.DataFrame(
            {
                "source": ["shop", "stripe"], "feed": ["shopify.orders_csv", "stripe.payouts"],
                "files": [3, 7], "events": [6530, 13_402], "quarantined": [0, 2],
                "first_ts": [AS_OF - timedelta(days=90)] * 2, "last_ts": [AS_OF] * 2,
            },
            schema_overrides={"first_ts": model.UTC, "last_ts": model.UTC},
        )  # fmt: skip
        return views.ProfileView(frame, ABOUT)

    def key_overlap(self) -> RowsView:
        """Keys that two sources share."""
        row = {"left_source": "shop", "right_source": "stripe", "overlap": 12, "share": 0.96}
        return RowsView("Keys that two sources share", pl.DataFrame([row]))

    def checks(self) -> RowsView:
        """No broken promise."""
        return RowsView("Checks", pl.DataFrame(schema={"check": pl.String, "count": pl.Int64}))

    def reconcile(self, *_: str) -> views.RunView:
        """Two runs."""
        frame = pl.DataFrame(
            {
                "reconciliation": list(ABOUT.runs), "run_id": list(ABOUT.runs.values()),
                "fresh": [True, False], "matches": [6202, 6], "open_items": [328, 1],
                "cases": [54, 0], "settled": [7, 0],
            }
        )  # fmt: skip
        return views.RunView(frame, ABOUT)

    def summary(self) -> views.Summary:
        """The first screen."""
        return views.Summary(ABOUT, TOTALS, OPEN_ITEMS, COUNTED, settled=7)

    def matches(self, *_: str, **__: str) -> views.MatchesView:
        """Two matches."""
        return views.MatchesView(MATCHES, ABOUT)

    def queue(self, *_: str) -> views.QueueView:
        """One case."""
        return views.QueueView(QUEUE, ABOUT)

    def slis(self, *_: str) -> views.SliView:
        """Twelve weeks of rates."""
        return views.SliView(SLIS, ABOUT)

    def review(self, *_: str | None, **__: bool) -> ReviewView:
        """Three questions."""
        return ReviewView(FakeDesk(), ABOUT)

    def decisions(self, *_: str) -> RowsView:
        """Two decisions in force."""
        rows = [
            (12, "in force", "same", "#10412", "py_00007"),
            (13, "in force", "same", "#2", "p9"),
        ]
        names = ["seq", "state", "verdict", "left_id", "right_id"]
        return RowsView("Decisions", pl.DataFrame(rows, schema=names, orient="row"))

    def train(self, *_: str, **__: object) -> ModelView:
        """A literal card."""
        return MODEL

    def promote(self, **_: str) -> RowsView:
        """One change that waits."""
        row = {"what": ["model of probable"], "state": ["waiting"]}
        return RowsView("Changes to what is matched without a person", pl.DataFrame(row))

    def history(self, order: str) -> views.HistoryView:
        """A story of four moments."""
        return views.HistoryView(order, STORY, ABOUT)

    def why(self, *_: str) -> views.WhyView:
        """An answer with a waterfall."""
        return WHY

    def export(self, what: str, path: object, **_: str) -> views.FileView:
        """The file that would be written."""
        return views.FileView(Path(str(path)), what, 64)

    def health(self, week: str = "latest", audience: str = "ops") -> views.HealthView:
        """The weekly report."""
        named = "2026-W46" if week == "latest" else week
        return views.HealthView(
            views.HealthFacts(
                about=ABOUT, week=named, first_day=date(2026, 11, 9),
                last_day=date(2026, 11, 15), audience=audience, totals=TOTALS,
                weekly=views.weekly_shares(SLIS, named), slis=SLIS,
                open_items=OPEN_ITEMS, curve=CURVE, cases=CASES, counted=COUNTED,
            )
        )  # fmt: skip


def open(folder: str = "data/demo") -> Workbench:  # noqa: A001 - stands in for rk.open
    """As `rk.open`."""
    return Workbench(str(folder))


demo = init = open
