"""The audit sample is a logged random draw that nobody can foresee, skip or recognise."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from matching_world import MONDAY, frame

import recon_kit as rk
from recon_kit import model
from recon_kit.errors import SettingsError
from recon_kit.ledger.engine import open_engine
from recon_kit.ledger.tables import TABLES
from recon_kit.model import Run
from recon_kit.settings import Reconciliation
from recon_kit.tuning import audit, draws

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEADLINE = NOW + timedelta(days=14)
SECRET = bytes(range(32))
REC = Reconciliation.model_validate(
    {
        "name": "orders_to_payments",
        "left": {"sources": ["shop"], "types": ["order"]},
        "right": {"sources": ["stripe"], "types": ["payment"]},
    }
)
RUN = Run("r1", REC.name, "live", 10, NOW, "s", "u", "model-1", "c")
ORDERS = 4000


@pytest.fixture(scope="module")
def engine():
    """4,000 orders: 3,000 matched by key, 500 by score, 400 unmatched, 100 still in flight."""
    keys = [f"{i:032x}" for i in range(ORDERS)]
    methods = ["exact"] * 3000 + ["probable"] * 500
    matches = [
        {"match_id": f"m{i}", "reconciliation": REC.name, "method": method, "disposition": "auto"}
        for i, method in enumerate(methods)
    ]
    members = [
        {"match_id": f"m{i}", "event_key": keys[i], "side": "left", "role": "principal"}
        for i in range(3500)
    ]
    items = [
        {"item_id": f"i{i}", "event_key": keys[i], "side": "left",
         "state": "overdue" if i < 3900 else "in_flight"}
        for i in range(3500, ORDERS)
    ]  # fmt: skip
    events = [
        {"event_key": key, "amount": 500 if i % 2 else 50_000, "currency": "EUR",
         "event_ts": MONDAY, "payload_hash": key}
        for i, key in enumerate(keys)
    ]  # fmt: skip
    with open_engine(threads=2) as opened:
        opened.put("events", frame(events, model.EVENT_SCHEMA))
        given = {"matches": matches, "match_members": members, "open_items": items, "proposals": []}
        for name, rows in given.items():
            table = frame(rows, model.RUN_TABLES[name])
            opened.put(name, table.with_columns(run_id=pl.lit(RUN.run_id)))
        yield opened


def log_of(*drawn):
    """What the ledger holds after these draws."""
    kinds = TABLES["audit_draws"].columns
    empty = pl.DataFrame(schema=kinds)
    rows = [empty, *(d.rows for d in drawn)]
    told = pl.concat(rows, how="diagonal_relaxed").with_columns(recorded_at=pl.lit(NOW))
    return (
        told.with_columns(seq=pl.int_range(1, pl.len() + 1))
        .select(*kinds)
        .cast(kinds)
    )  # fmt: skip


def draw(engine, plan=None, *earlier, rec=REC, run=RUN):
    return draws.draw(
        engine, rec, run, plan or draws.DrawPlan(), secret=SECRET,
        earlier=log_of(*earlier), deadline=DEADLINE,
    )  # fmt: skip


def keys_of(drawn):
    return set(drawn.rows["event_key"].drop_nulls())


def said(seq, key, verdict, reviewer="ana", right=None, **more):
    row = {
        "seq": seq, "reconciliation": REC.name, "left_key": key, "right_key": right,
        "verdict": verdict, "reviewer": reviewer, "stream": "audit", "recorded_at": NOW,
        "effective_at": NOW,
    }  # fmt: skip
    return row | more


def labels(drawn, *decisions, now=NOW):
    told = frame(list(decisions), model.DECISION_SCHEMA)
    return audit.label_frame(log_of(drawn), told, now)


def test_who_is_drawn_is_the_hmac_of_the_key(engine):
    """The event is drawn where HMAC-SHA256 of draw and key, read as a fraction, is below the rate.

    Computed here with Python's own hmac: 52 bits, as the log promises.
    """
    key = hmac.new(SECRET, b"audit draw", hashlib.sha256).digest()
    name = draws.draw_id(REC.name)

    def u(event):
        digest = hmac.new(key, (name + event).encode(), hashlib.sha256).hexdigest()
        return int(digest[:13], 16) / 2**52

    decided = [f"{i:032x}" for i in range(3900)]
    expected = {event for event in decided if u(event) < 0.02}

    assert keys_of(draw(engine)) == expected


def test_the_rate_is_what_was_asked_for(engine):
    """Of 3,900 decided orders 5 % are drawn, give or take four standard deviations of 13.6."""
    drawn = draw(engine, draws.DrawPlan(rate=0.05))

    assert abs(len(keys_of(drawn)) - 195) <= 4 * 13.6
    assert drawn.strata.rows() == [("all", 3900, 0.05, len(keys_of(drawn)), len(keys_of(drawn)))]


def test_the_same_input_gives_the_same_draw_and_adds_nothing(engine):
    """Drawing again from the same run is known, and a second order of rows changes nothing."""
    first = draw(engine)
    again = draw(engine)

    assert first.rows.equals(again.rows)
    assert draw(engine, None, first).rows.is_empty()


def test_every_row_says_how_it_came_to_be(engine):
    """Rate, frame, run, model and deadline are logged; each stratum has a row of its own."""
    drawn = draw(engine)
    head, item = drawn.rows.row(0, named=True), drawn.rows.row(1, named=True)

    assert (head["event_key"], head["position"], head["inclusion_probability"]) == (None, 0, 0.02)
    assert head["frame_size"] == 3900
    assert (item["position"], item["inclusion_probability"]) == (1, 0.02)
    assert (item["run_id"], item["model_hash"], item["deadline"]) == ("r1", "model-1", DEADLINE)


def test_what_is_still_in_flight_is_not_in_the_frame(engine):
    """Nobody has decided about it yet."""
    drawn = draw(engine, draws.DrawPlan(rate=1.0))

    assert drawn.strata["frame_size"].to_list() == [3900]
    assert f"{3950:032x}" not in keys_of(drawn)


def test_a_larger_rate_only_adds(engine):
    """2 % first, 5 % later: nobody is asked twice, and all now have an inclusion of 5 %."""
    small = draw(engine)
    large = draw(engine, draws.DrawPlan(rate=0.05), small)

    new = large.rows.filter(pl.col("deadline").is_not_null())
    assert keys_of(small) & set(new["event_key"]) == set()
    told = audit.label_frame(log_of(small, large), frame([], model.DECISION_SCHEMA), NOW)
    assert set(told["event_key"]) == keys_of(draw(engine, draws.DrawPlan(rate=0.05)))
    assert told["inclusion_probability"].unique().to_list() == [0.05]
    assert told["deadline"].null_count() == 0


def test_a_count_draws_about_so_many_new_ones(engine):
    """100 more on top of the first 78 or so: within four standard deviations of 100."""
    first = draw(engine)
    more = draw(engine, draws.DrawPlan(count=100), first)

    assert abs(int(more.strata["new"].sum()) - 100) <= 40


def test_strata_have_rates_of_their_own(engine):
    """All of the scored matches, one keyed match in a hundred."""
    plan = draws.DrawPlan(rate=0.01, strata="method", rates={"probable": 1.0})
    drawn = draw(engine, plan)

    assert drawn.strata.select("stratum", "frame_size", "rate").rows() == [
        ("exact", 3000, 0.01),
        ("probable", 500, 1.0),
        ("unmatched", 400, 0.01),
    ]
    probable = drawn.rows.filter(pl.col("stratum") == "probable", pl.col("position") > 0)
    assert probable.height == 500
    assert probable["inclusion_probability"].unique().to_list() == [1.0]


def test_bands_of_amounts_are_powers_of_ten(engine):
    """5.00 EUR and 500.00 EUR are two strata."""
    drawn = draw(engine, draws.DrawPlan(rate=0.5, strata="amount"))

    assert drawn.strata.select("stratum", "frame_size").rows() == [
        ("100 to 999", 1950),
        ("under 10", 1950),
    ]


def test_a_rate_that_is_no_share_is_refused(engine):
    """2 means 200 %: surely 0.02 was meant."""
    with pytest.raises(SettingsError, match=r"rate 2 is no share; write one such as 0\.02"):
        draw(engine, draws.DrawPlan(rate=2))
    with pytest.raises(SettingsError, match="no stratum is called 'probabel'; did you mean"):
        draw(engine, draws.DrawPlan(strata="method", rates={"probabel": 0.5}))


def test_an_item_is_open_until_its_label_and_wrong_after_its_deadline(engine):
    """Skipping is not possible: an item without a label expires."""
    drawn = draw(engine)
    first, second, *_ = sorted(keys_of(drawn))
    answers = [said(1, first, "same", right="p1"), said(2, second, "no_counterpart")]

    now = labels(drawn, *answers)
    late = labels(drawn, *answers, now=DEADLINE + timedelta(seconds=1))

    assert now.head(2).select("label", "right_keys", "reviewer").rows() == [
        ("counterpart", ["p1"], "ana"),
        ("none", [], "ana"),
    ]
    assert set(now["label"][2:]) == {"open"}
    assert set(late["label"]) == {"counterpart", "none", "expired"}
    assert dict(now.schema) == audit.LABEL_SCHEMA


def test_unsure_and_not_the_same_are_no_label(engine):
    """The item stays open for somebody else."""
    drawn = draw(engine)
    first, second, *_ = sorted(keys_of(drawn))

    told = labels(drawn, said(1, first, "unsure", right="p1"),
                  said(2, second, "not_same", right="p2"))  # fmt: skip

    assert set(told["label"]) == {"open"}


def test_a_change_of_mind_counts(engine):
    """The latest word of a reviewer is the label; an undone one is none."""
    drawn = draw(engine)
    first, second, third, *_ = sorted(keys_of(drawn))
    told = labels(
        drawn,
        said(1, first, "same", right="p1"), said(2, first, "no_counterpart"),
        said(3, second, "no_counterpart"), said(4, second, "same", right="p2"),
        said(5, second, "same", right="p3"),
        said(6, third, "same", right="p4"), said(7, third, None, undoes=6),
    )  # fmt: skip

    assert told.head(3).select("label", "right_keys").rows() == [
        ("none", []),
        ("counterpart", ["p2", "p3"]),
        ("open", None),
    ]


def test_two_who_disagree_leave_it_open_until_somebody_adjudicates(engine):
    """Neither word is taken silently; the third person's is."""
    drawn = draw(engine)
    key = min(keys_of(drawn))
    two = [said(1, key, "same", right="p1"), said(2, key, "no_counterpart", "bo")]
    third = said(3, key, "same", "cy", right="p1", reason_code="adjudicated")

    assert labels(drawn, *two).select("label", "disputed", "reviewers").row(0) == ("open", True, 2)
    assert labels(drawn, *two, third).select("label", "reviewer").row(0) == ("counterpart", "cy")
    agreed = labels(drawn, two[0], said(2, key, "same", "bo", right="p1"))
    assert agreed.select("label", "disputed", "reviewers").row(0) == ("counterpart", False, 2)


def test_only_blind_decisions_on_drawn_events_are_audit_labels(engine):
    """What somebody decided in the work stream says nothing about the sample."""
    drawn = draw(engine)
    key = min(keys_of(drawn))

    assert set(labels(drawn, said(1, key, "same", right="p1", stream="work"))["label"]) == {"open"}


def test_the_workbench_draws_logs_and_takes_blind_answers(reconciled_shop, monkeypatch):
    """Three orders are decided; all are drawn; a blind answer is a label, a seen one is not."""
    monkeypatch.setenv("RECON_REVIEWER", "ana")
    bench = rk.Workbench(reconciled_shop, clock=lambda: NOW)
    drawn = bench.draw_audit(rate=1.0)

    bench.decide("#1003", verdict="no_counterpart", score_shown=False)
    bench.decide("#1001", "c1", "same")

    assert drawn.frame.rows() == [("all", 3, 1.0, 3, 3)]
    told = audit.audit_labels(bench.store, "orders_to_payments", NOW)
    assert sorted(told["label"]) == ["none", "open", "open"]
    rows = bench.store.decisions().select("stream", "inclusion_probability").rows()
    assert rows == [("audit", 1.0), ("work", None)]
    assert "nothing was added" in str(bench.draw_audit(rate=1.0))
    assert bench.store.verify("chain") == []
