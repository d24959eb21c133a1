"""What a person says is checked against the facts and recorded whole, or refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import recon_kit as rk
from recon_kit.errors import (
    DecisionRefusedError,
    LeaseHeldError,
    StaleClaimError,
    UnknownNameError,
)
from recon_kit.ledger.leases import subject_of
from recon_kit.resolution import decisions
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Workspace

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        """The time it shows."""
        return self.now

    def later(self, minutes):
        """Move it on, or back."""
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bench(reconciled_shop, clock, monkeypatch):
    monkeypatch.setenv("RECON_REVIEWER", "ana")
    return rk.Workbench(reconciled_shop, clock=clock)


def left_ids(bench, method):
    return bench.matches(method=method).frame["left_ids"].to_list()


def test_same_joins_what_no_key_joins(bench):
    """#1003 of 9.90 is said to be paid by c9; the next run has that match, confirmed."""
    said = bench.decide("#1003", "c9", "same")
    bench.reconcile()

    assert said.frame.select("verdict", "reviewer").rows() == [("same", "ana")]
    row = bench.matches(method="decided").frame.row(0, named=True)
    assert (row["left_ids"], row["right_ids"], row["disposition"]) == ("#1003", "c9", "confirmed")


def test_an_event_key_or_its_beginning_names_an_event_too(bench):
    """Native id, whole key and the first eight characters name the same event."""
    keys = bench.decide("#1003", "c9", "same").frame.select("left_key", "right_key").row(0)

    again = bench.decide(keys[0], keys[1][:8], "not_same").frame

    assert again.select("left_key", "right_key").row(0) == keys


def test_undo_is_a_row_and_undo_of_undo_brings_it_back(bench):
    """Three rows stand in the ledger; the first decision is in force again."""
    first = bench.decide("#1003", "c9", "same").frame["seq"][0]

    undo = bench.undo(first).frame["seq"][0]
    gone = bench.store.decisions_now().height
    bench.undo(undo)

    assert gone == 0
    assert bench.store.decisions_now()["seq"].to_list() == [first]
    assert bench.store.decisions().height == 3


def test_undo_without_a_name_takes_back_the_reviewers_newest(bench):
    """Ana's last decision goes, Bo's stays."""
    bench.decide("#1003", "c9", "not_same")
    bench.decide("#1004", "c10", "not_same", reviewer="bo")
    bench.undo()

    assert bench.store.decisions_now()["reviewer"].to_list() == ["bo"]
    with pytest.raises(DecisionRefusedError, match="ana has no decision in force"):
        bench.undo()


def test_what_is_undone_cannot_be_undone_again(bench):
    """The message says that it is undone already, or never was."""
    seq = bench.decide("#1003", "c9", "same").frame["seq"][0]
    bench.undo(seq)

    with pytest.raises(DecisionRefusedError, match=f"decision {seq} is undone already"):
        bench.undo(seq)
    with pytest.raises(DecisionRefusedError, match="decision 999 does not exist"):
        bench.undo(999)


def test_a_bundle_is_one_decision_and_one_undo(bench):
    """Two pairs in one call share a bundle; one undo takes both back."""
    pairs = bench.decide("#1003", "c9", "unsure").frame.vstack(
        bench.decide("#1004", "c10", "unsure").frame
    )
    bundle = bench.decide_many(pairs, "not_same").frame["bundle_id"].unique().to_list()

    assert len(bundle) == 1
    before = bench.store.decisions_now().filter(pl.col("verdict") == "not_same").height
    undone = bench.undo(bundle=bundle[0]).frame

    assert (before, undone.height) == (2, 2)
    assert bench.store.decisions_now()["verdict"].to_list() == ["unsure", "unsure"]


def test_a_bundle_with_one_bad_pair_records_nothing(bench):
    """One pair of the bundle names no event: the other is not recorded either."""
    good = bench.decide("#1003", "c9", "unsure").frame.select("left_key", "right_key")
    pairs = good.vstack(good.with_columns(right_key=pl.lit("nobody")))

    with pytest.raises(DecisionRefusedError, match=r"judgement 2: .*right side.*Nothing was rec"):
        bench.decide_many(pairs, "same")
    assert bench.store.decisions().height == 1


def test_accepting_a_residual_needs_a_reason_and_closes_the_item(bench):
    """#1002 lacks 5.50; accepted as goodwill it is open no more."""
    match = bench.matches().frame.filter(pl.col("left_ids") == "#1002")["match_id"][0]
    with pytest.raises(DecisionRefusedError, match=r"needs a reason code: customer_confirmed, "):
        bench.decide(match, verdict="accept_residual")

    bench.decide(match[:8], verdict="accept_residual", reason="goodwill")
    bench.reconcile()

    assert "#1002" not in bench.summary().open_items["native_id"].to_list()


def test_writing_off_an_open_event_closes_it(bench):
    """#1003 will never be paid."""
    bench.decide("#1003", verdict="write_off", reason="bad_debt")
    bench.reconcile()

    assert "#1003" not in bench.summary().open_items["native_id"].to_list()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("#1003", "c9", "maybe"), "verdict_unknown"),
        (("#1003", None, "same"), "pair_incomplete"),
        (("#1003", "c9", "no_counterpart"), "one_event_only"),
        (("#1001", None, "accept_residual", "rounding"), "no_residual"),
        (("#1003", None, "accept_residual", "rounding"), "no_match"),
        (("#1003", None, "write_off", "because"), "reason_unknown"),
        (("#1003", None, "write_off", "other"), "note_missing"),
        (("#1001", None, "write_off", "bad_debt"), "no_residual"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_code(bench, arguments, code):
    """Each refusal has a code and leaves the ledger as it was."""
    left, right, verdict, *reason = arguments
    with pytest.raises(DecisionRefusedError, match=rf"\[{code}\]"):
        bench.decide(left, right, verdict, reason=reason[0] if reason else None)
    assert bench.store.decisions().is_empty()


def test_an_unknown_name_says_which_side_was_searched(bench):
    """A payment is no left event."""
    with pytest.raises(
        UnknownNameError, match="no left event of orders_to_payments is called 'c9'"
    ):
        bench.decide("c9", "c10", "same")


def test_reason_codes_of_recon_toml_count(reconciled_shop, clock):
    """A workspace adds its own codes to those of the house."""
    toml = reconciled_shop / "recon.toml"
    toml.write_text(toml.read_text() + '\n[review.reasons]\nlost_parcel = "it got lost"\n')
    bench = rk.Workbench(reconciled_shop, clock=clock)

    said = bench.decide("#1003", verdict="write_off", reason="lost_parcel", reviewer="ana")

    assert said.frame["reason_code"].to_list() == ["lost_parcel"]


def test_a_decision_on_facts_that_changed_since_they_were_shown_is_refused(bench):
    """The hash of what the person saw is not that of the facts now."""
    with pytest.raises(DecisionRefusedError, match=r"look again and decide anew"):
        bench.decide("#1003", "c9", "same", evidence_hash="of yesterday")
    shown = bench.decide("#1003", "c9", "unsure")
    now = bench.store.decisions()["evidence_hash"][0]

    bench.decide("#1003", "c9", "same", evidence_hash=now)

    assert shown.frame.height == 1
    assert bench.store.decisions()["evidence_hash"].to_list() == [now, now]


def test_one_claim_at_a_time(bench):
    """While Ana holds #1003, Bo can neither claim nor decide it; afterwards he can."""
    mine = bench.claim("#1003")
    with pytest.raises(LeaseHeldError, match=r"ana is at work on .* until 2026-11-20 12:15 UTC"):
        bench.claim("#1003", reviewer="bo")
    with pytest.raises(LeaseHeldError, match="Nothing was recorded"):
        bench.decide("#1003", "c9", "same", reviewer="bo")

    bench.release(mine)

    assert bench.claim("#1003", reviewer="bo").token > mine.token


def test_a_decision_with_an_overtaken_claim_is_refused(bench, clock):
    """Ana's claim runs out, Bo takes the item; Ana's answer comes too late and says who has it."""
    mine = bench.claim("#1003")
    clock.later(16)
    his = bench.claim("#1003", reviewer="bo")

    with pytest.raises(StaleClaimError, match=rf"claim {mine.token} on .*bo has claimed it since"):
        bench.decide("#1003", "c9", "same", lease_token=mine.token)
    said = bench.decide("#1003", "c9", "same", reviewer="bo", lease_token=his.token)

    assert said.frame.height == 1
    assert bench.store.decisions()["lease_token"].to_list() == [his.token]


def test_a_claim_that_ran_out_but_nobody_took_is_still_good(bench, clock):
    """A slow reviewer does not lose the answer."""
    mine = bench.claim("#1003")
    clock.later(60)

    assert bench.decide("#1003", "c9", "same", lease_token=mine.token).frame.height == 1


def test_tokens_grow_whatever_the_clock_says(bench, clock):
    """A clock that goes backwards cannot make an older claim look newer."""
    tokens = []
    for minutes in (0, 20, -300):
        clock.later(minutes)
        tokens.append(bench.claim("#1003").token)

    assert tokens == sorted(set(tokens))
    held = bench.store.lease(subject_of("orders_to_payments", "x"), now=clock())
    assert held is None


def test_who_decides(monkeypatch):
    """Given name, then RECON_REVIEWER, then the workspace's, then the system's user."""
    place = Workspace(name="acme", reviewer="desk")
    assert reviewer_name(place, "bo", {"RECON_REVIEWER": "ana"}) == "bo"
    assert reviewer_name(place, None, {"RECON_REVIEWER": "ana"}) == "ana"
    assert reviewer_name(place, None, {}) == "desk"
    monkeypatch.setattr("getpass.getuser", lambda: "unix")
    assert reviewer_name(Workspace(name="acme"), None, {}) == "unix"


def test_the_hash_of_a_decision_is_that_of_matching(bench):
    """What `decide` stores is what the cascade compares: nothing is reopened by the next run."""
    bench.decide("#1003", "c9", "same")
    bench.decide("#1004", verdict="no_counterpart")
    match = bench.matches().frame.filter(pl.col("left_ids") == "#1002")["match_id"][0]
    bench.decide(match, verdict="accept_residual", reason="goodwill")
    bench.reconcile()

    assert sorted(left_ids(bench, "decided")) == ["#1003"]
    assert "#1002" not in bench.summary().open_items["native_id"].to_list()
    assert "#1004" not in bench.summary().open_items["native_id"].to_list()


def test_money_verdicts_are_named_once():
    """Every verdict of the ledger is about a pair, one event or money."""
    from recon_kit import model

    known = (*decisions.PAIR_VERDICTS, "no_counterpart", *decisions.MONEY_VERDICTS)
    assert sorted(known) == sorted(model.VERDICTS)
