"""Cases: what becomes one, how it keeps its identity, and what it is worth."""

from __future__ import annotations

import json
from datetime import datetime

import polars as pl
import pytest
from small_run import SETTINGS, SmallRun, ny

from recon_kit import model
from recon_kit.resolution import cases, kinds

NOW = ny("2026-11-20T12:00")
NOTHING = pl.DataFrame()


def found(
    run: SmallRun, as_of: datetime = NOW, previous: pl.DataFrame = NOTHING, **more
) -> pl.DataFrame:
    with run.engine() as engine:
        cases.find_cases(engine, run.rec, run.settings, as_of, previous, **more)
        return engine.rows("select * from out_findings order by case_id")


def only(frame: pl.DataFrame) -> dict:
    assert frame.height == 1
    return frame.row(0, named=True)


def kinds_of(frame: pl.DataFrame) -> list[tuple[str, str]]:
    return sorted(frame.select("anchor_key", "kind").iter_rows())


def missing_payment() -> SmallRun:
    """Order of 2 November, 100.00, received on the 3rd; due when Monday the 9th is over."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000, got="2026-11-03T06:00")
    run.open("o1", "left", "overdue", amount=10000, by="2026-11-10T00:00", why_code="no_candidate")
    return run


def test_findings_have_exactly_the_stored_columns():
    """The table can be committed as it is."""
    frame = found(missing_payment())
    assert dict(frame.schema) == model.RUN_TABLES["findings"]


def test_an_overdue_order_is_a_case_of_its_sources_owner():
    """100.00 USD are at risk: above a tenth of 1,000.00 would be P2, so this is P3."""
    case = only(found(missing_payment()))
    assert case["kind"] == "missing_right"
    assert (case["class"], case["severity"], case["priority"]) == ("B", "review", "P3")
    assert (case["amount_minor"], case["currency"]) == (10000, "USD")
    assert case["owner"] == "marketing_ops"
    assert case["anchor_key"] == "o1"
    assert json.loads(case["subjects"]) == ["o1"]
    assert json.loads(case["diffs"])["why_code"] == "no_candidate"
    assert case["opened_at"] == ny("2026-11-10T00:00")
    assert case["case_id"] == model.digest("orders_to_payments", "o1", "1")


def test_an_overdue_payment_misses_its_left_side():
    """Money without an order is `missing_left`, owned by who told of the money."""
    run = SmallRun().event("p1", "payment", "stripe", "2026-11-02", 2500)
    run.open("p1", "right", "overdue", amount=2500, by="2026-11-10T00:00")
    case = only(found(run))
    assert (case["kind"], case["owner"], case["priority"]) == (
        "missing_left", "payments_ops", "P3",
    )  # fmt: skip


@pytest.mark.parametrize("state", ["in_flight", "not_covered"])
def test_what_is_not_late_or_not_known_makes_no_case(state):
    """Within its settlement time, or outside what the other side's files cover: no case."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-19", 10000)
    run.event("o2", "order", "shop", "2026-11-19", 10000)
    run.event("p2", "payment", "stripe", "2026-11-19", 6000)
    run.open("o1", "left", state, amount=10000)
    run.match("m2", ["o2:principal"], ["p2:part"], (10000, 6000), state=state)
    assert found(run).height == 0


def test_a_case_found_late_opens_when_its_facts_were_received():
    """A file of the 18th about the 2nd cannot have made a case on the 10th."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000, got="2026-11-18T09:00")
    run.open("o1", "left", "overdue", amount=10000, by="2026-11-10T00:00")
    assert only(found(run))["opened_at"] == ny("2026-11-18T09:00")


# --- Residuals ---------------------------------------------------------------------------------
def split(paid: int, *, state="overdue", **more) -> SmallRun:
    """Order of 100.00 with one payment."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000)
    run.event("p1", "payment", "stripe", "2026-11-02", paid, **more)
    run.match(
        "m1", ["o1:principal"], ["p1:part"], (10000, paid), state=state, by="2026-11-10T00:00"
    )
    return run


def test_the_story_before_the_second_charge():
    """60.00 of 100.00 came: after the settlement time 40.00 is an amount mismatch of the order."""
    case = only(found(split(6000)))
    assert (case["kind"], case["anchor_key"], case["amount_minor"]) == (
        "amount_mismatch", "o1", 4000,
    )  # fmt: skip
    diffs = json.loads(case["diffs"])
    assert (diffs["left_sum"], diffs["right_sum"], diffs["residual"]) == (10000, 6000, 4000)
    assert json.loads(case["subjects"]) == ["o1", "p1"]


@pytest.mark.parametrize(
    ("paid", "more", "kind", "klass", "at_risk"),
    [
        (12000, {}, "amount_mismatch", "C", 2000),  # paid too much is money at risk, too
        (9998, {}, "rounding", "C", 2),  # two amounts, one cent each, but beyond tolerance
        (9997, {}, "amount_mismatch", "C", 3),
        (9680, {"fee": 320}, "fee_mismatch", "B", 320),
        (9680, {"fee": 321}, "amount_mismatch", "C", 320),
        (9701, {"currency": "EUR"}, "fx_residue", "B", 299),  # inside the band of 3 %
        (9699, {"currency": "EUR"}, "amount_mismatch", "C", 301),
    ],
)
def test_a_residual_is_named_after_what_explains_it(paid, more, kind, klass, at_risk):
    """Fees to the cent, a foreign currency's band, a cent for each amount; else a mismatch."""
    case = only(found(split(paid, **more)))
    assert (case["kind"], case["class"], case["amount_minor"]) == (kind, klass, at_risk)


def test_rounding_within_tolerance_resolves_itself():
    """A cent inside the tolerance is recorded as class A and asks for nobody."""
    case = only(found(split(9999, state=None)))
    assert (case["kind"], case["class"], case["severity"]) == ("rounding", "A", "auto")
    assert case["amount_minor"] == 1


def test_a_payout_that_does_not_add_up_blocks_it():
    """94.34 was paid out, the rows say 95.34: 1.00 on the payout, which is the anchor."""
    run = SmallRun("payments_to_payouts")
    run.event("c1", "payment", "stripe", "2026-11-02", 6320)
    run.event("c2", "payment", "stripe", "2026-11-02", 3214)
    run.event("po7", "payout", "stripe", "2026-11-04", 9434)
    run.match(
        "m1", ["c1:part", "c2:part"], ["po7:principal"], (9534, 9434),
        state="overdue", by="2026-11-11T12:00",
    )  # fmt: skip
    case = only(found(run))
    assert (case["kind"], case["anchor_key"], case["severity"]) == (
        "payout_break", "po7", "block_payout",
    )  # fmt: skip
    assert (case["amount_minor"], case["priority"]) == (100, "P2")


def test_a_status_that_contradicts_is_a_case_although_the_money_agrees():
    """A voided order that was paid is wrong on one side."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000, status="voided")
    run.event("p1", "payment", "stripe", "2026-11-02", 10000)
    run.match(
        "m1", ["o1:principal"], ["p1:part"], (10000, 10000), discrepancies='["status_mismatch"]'
    )
    assert only(found(run))["kind"] == "status_mismatch"


# --- Proposals and held matches ----------------------------------------------------------------
def proposed() -> SmallRun:
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000)
    run.event("p1", "payment", "stripe", "2026-11-03", 10000)
    run.open("o1", "left", "proposed", amount=10000).open("p1", "right", "proposed", amount=10000)
    return run


def test_a_proposal_is_one_question_on_its_left_event():
    """Both events are open, but only one case asks about them."""
    case = only(found(proposed().proposal("x1", "o1", "p1", 10000)))
    assert (case["kind"], case["anchor_key"], case["amount_minor"]) == ("review", "o1", 10000)
    assert json.loads(case["subjects"]) == ["o1", "p1"]
    assert json.loads(case["diffs"])["confidence"] == 0.8


def test_equal_answers_are_one_ambiguous_case():
    """Two payments fit one order equally well: one case that names all three."""
    run = proposed().event("p2", "payment", "stripe", "2026-11-03", 10000)
    run.open("p2", "right", "proposed", amount=10000)
    run.proposal("x1", "o1", "p1", 10000, why_code="equal_answers")
    run.proposal("x2", "o1", "p2", 10000, why_code="equal_answers")
    case = only(found(run))
    assert (case["kind"], case["amount_minor"]) == ("ambiguous", 10000)
    assert json.loads(case["subjects"]) == ["o1", "p1", "p2"]


def test_a_proposed_group_hangs_on_its_one_event():
    """Three payouts proposed for one bank line are one question, worth the line."""
    run = SmallRun("payouts_to_bank").event("b1", "bank_line", "bank", "2026-11-05", 6000)
    run.open("b1", "right", "proposed", amount=6000)
    for key, amount in (("po1", 1000), ("po2", 2000), ("po3", 3000)):
        run.event(key, "payout", "stripe", "2026-11-03", amount)
        run.open(key, "left", "proposed", amount=amount)
        run.proposal("x1", key, "b1", amount, right_amount=6000, method="grouped")
    case = only(found(run))
    assert (case["anchor_key"], case["amount_minor"], case["owner"]) == ("b1", 6000, "treasury")
    assert json.loads(case["subjects"]) == ["b1", "po1", "po2", "po3"]


def test_a_proposed_item_without_a_proposal_is_not_lost():
    """An item that waits for a person makes a case even if nothing says about whom."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000)
    run.open("o1", "left", "proposed", amount=10000)
    assert kinds_of(found(run)) == [("o1", "review")]


def test_a_match_above_the_sign_off_limit_waits_for_a_person():
    """Disposition `review` is a case; 150.00 above the limit of 50.00 is P1."""
    run = SmallRun("payments_to_payouts").event("c1", "payment", "stripe", "2026-11-02", 15000)
    run.event("po1", "payout", "stripe", "2026-11-04", 15000)
    run.match("m1", ["c1:part"], ["po1:principal"], (15000, 15000), disposition="review")
    case = only(found(run))
    assert (case["kind"], case["anchor_key"], case["priority"]) == ("review", "po1", "P1")


def test_one_anchor_is_one_case_named_by_its_gravest_kind():
    """A held match with a status that contradicts: one case, the other kind is noted."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000)
    run.event("p1", "payment", "stripe", "2026-11-02", 10000)
    run.match(
        "m1", ["o1:principal"], ["p1:part"], (10000, 10000),
        disposition="review", discrepancies='["status_mismatch"]',
    )  # fmt: skip
    case = only(found(run))
    assert case["kind"] == "status_mismatch"
    assert json.loads(case["diffs"])["also"] == ["review"]


def test_ids_that_contradict_each_other_name_both_events():
    """A vetoed key match leaves both sides open; each says whom it collided with."""
    run = missing_payment().event("p9", "payment", "stripe", "2026-11-02", 777)
    run.tables["open_items"][0] |= {"why_code": "id_conflict", "nearest_key": "p9"}
    case = only(found(run))
    assert case["kind"] == "id_conflict"
    assert json.loads(case["subjects"]) == ["o1", "p9"]


# --- Duplicates, refunds, chargebacks ----------------------------------------------------------
def test_duplicates_resolve_themselves():
    """The second delivery of a charge inside a match, and a second telling, are class A."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000)
    run.event("p1", "payment", "stripe", "2026-11-02", 10000)
    run.event("p2", "payment", "stripe", "2026-11-02", 10000)
    run.event("p3", "payment", "stripe", "2026-11-02", 10000)
    run.duplicates.append({"event_key": "p3", "kept_key": "p1", "why": "retold"})
    run.match("m1", ["o1:principal"], ["p1:part", "p2:duplicate"], (10000, 10000))
    frame = found(run)
    assert kinds_of(frame) == [("p2", "duplicate"), ("p3", "duplicate")]
    assert frame["class"].to_list() == ["A", "A"]
    assert frame["amount_minor"].to_list() == [10000, 10000]


def test_a_possible_duplicate_is_a_persons():
    """A row without an id at the edge of two files may be one movement or two."""
    run = SmallRun("payouts_to_bank").event("b1", "bank_line", "bank", "2026-11-02", 500)
    run.duplicates.append({"event_key": "b1", "kept_key": "b1", "why": "possible_duplicate"})
    case = only(found(run))
    assert (case["kind"], case["class"], case["anchor_key"]) == ("possible_duplicate", "C", "b1")


def test_duplicates_of_other_reconciliations_are_left_to_them():
    """A bank line told twice is no business of orders and payments."""
    run = SmallRun().event("b1", "bank_line", "bank", "2026-11-02", 500)
    run.duplicates.append({"event_key": "b1", "kept_key": "b1", "why": "possible_duplicate"})
    assert found(run).height == 0


def test_a_refund_of_an_unknown_payment_is_a_case_once_it_is_overdue():
    """A refund that hangs on nothing is worth what was paid back."""
    run = SmallRun().event("r1", "refund", "stripe", "2026-11-02", -1000, parent_key="ch_404")
    run.open("r1", "right", "in_flight", amount=1000, why_code="refund_without_payment")
    assert found(run).height == 0
    run.tables["open_items"][0]["state"] = "overdue"
    case = only(found(run))
    assert (case["kind"], case["amount_minor"]) == ("refund_without_payment", 1000)


def test_refunds_that_differ_are_a_case_after_both_sides_had_time_to_tell():
    """The shop says 10.00 was refunded, stripe told 7.00 on the 9th: 3.00, from the 17th on."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", 10000, refunded_amount=1000)
    run.event("p1", "payment", "stripe", "2026-11-02", 10000)
    run.event("r1", "refund", "stripe", "2026-11-09", -700)
    run.match(
        "m1", ["o1:principal"], ["p1:part"], (10000, 10000), attached=["r1:refund"],
        discrepancies='["refund_mismatch"]',
    )  # fmt: skip
    assert found(run, ny("2026-11-16T23:59")).height == 0
    case = only(found(run, ny("2026-11-17T00:00")))
    assert (case["kind"], case["amount_minor"]) == ("amount_mismatch", 300)
    diffs = json.loads(case["diffs"])
    assert (diffs["refunds_claimed"], diffs["refunds_told"]) == (1000, 700)


def test_the_refund_of_a_matched_order_is_no_case():
    """It hangs on the match and is in order."""
    run = split(10000, state=None).event("r1", "refund", "stripe", "2026-11-05", -1000)
    run.tables["match_members"].append(
        {"match_id": "m1", "event_key": "r1", "side": "right", "role": "refund", "counts": False}
    )
    assert found(run).height == 0


@pytest.mark.parametrize(
    ("status", "given_back", "expected"),
    [
        ("needs_response", 0, [("d1", "chargeback")]),
        (None, 0, [("d1", "chargeback")]),
        ("won", 0, []),
        ("lost", 0, []),
        ("needs_response", 10000, []),
    ],
)
def test_a_dispute_is_open_until_it_ends_or_is_given_back(status, given_back, expected):
    """A chargeback hangs on the match and is a case of its own."""
    run = split(10000, state=None)
    run.event("d1", "chargeback", "stripe", "2026-11-09", -10000, status=status)
    attached = ["d1"]
    if given_back:
        run.event("d2", "chargeback", "stripe", "2026-11-12", given_back)
        attached.append("d2")
    for key in attached:
        run.tables["match_members"].append({
            "match_id": "m1", "event_key": key, "side": "right", "role": "chargeback",
            "counts": False,
        })  # fmt: skip
    assert kinds_of(found(run)) == expected


def test_a_late_feed_is_a_case_of_its_sources_owner():
    """Stripe must come daily; its last file is of the 17th, so one has been missing since."""
    daily = SETTINGS.replace('owner = "payments_ops"', 'owner = "payments_ops"\ncadence = "1d"')
    run = SmallRun(toml=daily).event("p1", "payment", "stripe", "2026-11-17", 1000)
    run.event("o1", "order", "shop", "2026-11-17", 1000)
    run.match("m1", ["o1:principal"], ["p1:part"], (1000, 1000))
    case = only(found(run))
    assert (case["kind"], case["anchor_key"], case["owner"]) == (
        "missing_feed", "source:stripe", "payments_ops",
    )  # fmt: skip
    assert case["opened_at"] == ny("2026-11-18T12:00")
    assert found(run, ny("2026-11-18T11:00")).height == 0


# --- Identity across runs ----------------------------------------------------------------------
def stored(*runs: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([f.with_columns(run_order=pl.lit(i)) for i, f in enumerate(runs)])


def test_three_runs_tell_one_case_and_its_reopening():
    """Missing, then short, then settled, then short again: one case, closed, and a second one."""
    first = found(missing_payment(), ny("2026-11-11T08:00"))
    short = split(6000)
    second = found(short, ny("2026-11-12T08:00"), stored(first))
    before, after = only(first), only(second)
    assert (before["kind"], after["kind"]) == ("missing_right", "amount_mismatch")
    assert (before["amount_minor"], after["amount_minor"]) == (10000, 4000)
    for same in ("case_id", "opened_at", "owner", "opening"):
        assert before[same] == after[same]
    third = found(split(10000, state=None), ny("2026-11-13T08:00"), stored(first, second))
    assert third.height == 0
    again = only(found(short, ny("2026-11-16T08:00"), stored(first, second, third), runs_before=3))
    assert again["opening"] == 2
    assert again["case_id"] == model.digest("orders_to_payments", "o1", "2")
    assert again["opened_at"] == ny("2026-11-16T08:00")


def test_a_case_that_was_closed_in_between_is_opened_anew():
    """The last run found something else only, so the case had been closed."""
    first = found(missing_payment(), ny("2026-11-11T08:00"))
    other = SmallRun().event("o2", "order", "shop", "2026-11-02", 500)
    other.open("o2", "left", "overdue", amount=500, by="2026-11-10T00:00")
    second = found(other, ny("2026-11-12T08:00"), stored(first))
    third = only(found(missing_payment(), ny("2026-11-13T08:00"), stored(first, second)))
    assert third["opening"] == 2
    fourth = only(
        found(
            missing_payment(),
            ny("2026-11-14T08:00"),
            stored(first, second, pl.DataFrame([third], schema=model.RUN_TABLES["findings"])),
        )
    )
    assert (fourth["case_id"], fourth["opened_at"]) == (third["case_id"], third["opened_at"])


def test_the_owner_stays_when_routes_change():
    """A new owner in the settings gets new cases, not those that someone already has."""
    first = found(missing_payment(), ny("2026-11-11T08:00"))
    moved = SmallRun(toml=SETTINGS.replace('"marketing_ops"', '"growth"'))
    moved.events, moved.artefacts = missing_payment().events, missing_payment().artefacts
    moved.tables = missing_payment().tables
    assert only(found(moved))["owner"] == "growth"
    assert only(found(moved, previous=stored(first)))["owner"] == "marketing_ops"


def test_findings_of_other_reconciliations_are_no_past():
    """The same event may anchor a case elsewhere."""
    first = found(missing_payment()).with_columns(reconciliation=pl.lit("elsewhere"))
    assert only(found(missing_payment(), previous=stored(first)))["opening"] == 1


# --- Acceptance --------------------------------------------------------------------------------
def test_what_a_person_accepted_asks_for_nobody():
    """Matching closed the residual of 40.00 on a person's word; neither it nor the status asks."""
    run = split(6000, state=None)
    run.tables["matches"][0]["discrepancies"] = '["residual_accepted","status_mismatch"]'
    assert found(run).height == 0


def test_an_accepted_dispute_is_over():
    """A chargeback that a person wrote off is no case."""
    run = SmallRun().event("d1", "chargeback", "stripe", "2026-11-09", -10000)
    assert kinds_of(found(run)) == [("d1", "chargeback")]
    run.decisions.append({
        "seq": 1, "reconciliation": "orders_to_payments", "right_key": "d1",
        "verdict": "write_off",
    })  # fmt: skip
    assert found(run).height == 0


def test_a_dispute_that_may_still_find_its_payment_waits():
    """In flight, a chargeback without its payment makes no case."""
    run = SmallRun().event("d1", "chargeback", "stripe", "2026-11-19", -10000)
    run.open("d1", "right", "in_flight", amount=10000, why_code="chargeback")
    assert found(run).height == 0


# --- Kinds and priorities ----------------------------------------------------------------------
def test_the_kinds_are_those_of_the_vocabulary():
    """Every kind has a class, an action and a runbook, and no two share a name."""
    names = [k.name for k in kinds.KINDS]
    assert len(names) == len(set(names))
    assert {"A", "B", "C"} == {k.klass for k in kinds.KINDS}
    assert all(k.suggested_action and k.runbook for k in kinds.KINDS)
    assert {k.severity for k in kinds.KINDS if k.klass == "A"} == {"auto"}


@pytest.mark.parametrize(
    ("amount", "currency", "priority"),
    [
        (100001, "USD", "P1"),
        (100000, "USD", "P2"),
        (10000, "USD", "P3"),
        (1000, "USD", "P4"),
        (1001, "JPY", "P1"),
        (None, "USD", "P3"),
        (5, "XXX_UNKNOWN", "P3"),
    ],
)
def test_priority_follows_the_money(amount, currency, priority):
    """Above 1,000.00 is P1, above 100.00 P2, above 10.00 P3; unknown money is no small money."""
    run = SmallRun().event("o1", "order", "shop", "2026-11-02", amount, currency=currency)
    run.open("o1", "left", "overdue", amount=amount, currency=currency, by="2026-11-10T00:00")
    assert only(found(run))["priority"] == priority


def test_results_do_not_depend_on_the_order_of_rows():
    """The same rows in another order give the same findings."""
    run = split(6000).event("o2", "order", "shop", "2026-11-02", 500)
    run.open("o2", "left", "overdue", amount=500, by="2026-11-10T00:00")
    before = found(run)
    run.events.reverse()
    for rows in run.tables.values():
        rows.reverse()
    assert before.equals(found(run))
