"""Why an event stands where it stands: the way it went, what came near, what would change it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import polars as pl
import pytest

from recon_kit.matching import beside, stored
from recon_kit.workbench.bench import Workbench

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def bench(reconciled_shop):
    return Workbench(reconciled_shop, clock=lambda: NOW)


def test_what_is_worked_out_again_is_what_the_run_weighed(twin_bench):
    """For matches of `probable`: same levels, same weights, to a millionth of a bit."""
    rec = twin_bench.settings.reconciliation("orders_to_payments")
    run = twin_bench.store.current_run(rec.name)
    trained = stored.read(twin_bench.store.model(run.model_hash))
    with twin_bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        kept = engine.rows(
            "select left_key, right_key, weight, levels, weights from pair_evidence"
            " where weights is not null order by left_key, right_key limit 3"
        ).to_dicts()
        prior = beside.prior_of(engine, rec, trained, (run.run_id, str(run.model_hash)))
        again = [
            beside.look(
                engine, rec, pair["left_key"], beside.Scale(trained, prior), [pair["right_key"]]
            ).pairs.filter(pl.col("right_key") == pair["right_key"]).row(0, named=True)
            for pair in kept
        ]  # fmt: skip

    assert len(kept) == 3
    for pair, told in zip(kept, again, strict=True):
        assert json.loads(told["levels"]) == json.loads(pair["levels"])
        assert json.loads(told["weights"]) == json.loads(pair["weights"])
        assert round(told["match_weight"], 5) == round(sum(json.loads(pair["weights"]).values()), 5)


def test_a_residual_says_how_far_it_is_above_the_tolerance(bench):
    """#1002 of 25.50 was paid 20.00: 5.50 too little, and nothing is allowed."""
    view = bench.why("#1002")

    assert view.flips == (
        "its residual of 5.50 EUR is 5.50 EUR above the tolerance of 0.00 EUR",
        "only order_id joins it: with another one it would not stand in this match",
    )
    assert "What would change it\n- its residual of 5.50 EUR" in repr(view)
    assert view.as_dict()["flips"] == list(view.flips)


def test_a_key_of_a_refund_is_no_key_of_the_order(twin_bench):
    """Its refund hangs on the payment by another key; the order is joined by its own alone."""
    run = twin_bench.store.current_run("orders_to_payments")
    with twin_bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        order = engine.rows(
            "select e.event_key from match_members m join events e using (event_key)"
            " where m.side = 'left' and m.role = 'principal' and m.key_used = 'order_id'"
            " and e.transaction_id is not null and match_id in"
            " (select match_id from match_members where role = 'refund')"
            " and match_id in (select match_id from matches where method = 'exact')"
            " order by 1 limit 1"
        ).item()

    assert [f for f in twin_bench.why(order).flips if "order_id" in f] == [
        "without its order_id it would be joined by transaction_id as well"
    ]


def test_what_is_in_flight_says_until_when(bench):
    """#1004 of the 19th may take five days."""
    assert bench.why("#1004").flips == (
        "in flight until 2026-11-24 00:00 UTC; overdue from then on",
    )


def test_the_way_through_the_methods_counts_who_carries_each_key(bench):
    """Both sides are counted, also where nobody answers, and a payment is told like an order."""
    order, payment = bench.why("#1003").methods, bench.why("c9").methods

    assert order.rows() == [
        ("decided", "left open", "nobody has decided about it"),
        ("exact", "left open", "order id 1003: 1 order and no payment carry it"),
    ]
    assert payment["detail"][1] == "order id 9999: no order and 1 payment carry it"


def test_what_a_person_said_stands_in_the_way(bench, reconciled_shop):
    """A pair that a person joined is told with the name of the reviewer."""
    (reconciled_shop / "labels.csv").write_text(
        "left_native_id,right_native_id,label,reviewer,reason\n#1003,c9,same,ana,phone call\n"
    )
    bench.import_labels(reconciled_shop / "labels.csv")
    bench.reconcile()

    view = bench.why("#1003")

    assert view.methods.rows()[0][:2] == ("decided", "matched")
    assert view.methods["detail"][0].startswith("same as c9 (ana)")


def test_the_latest_word_is_told_before_any_run_hears_it(bench):
    """An unsure moves nothing and is told all the same; a same says how it comes to act."""
    bench.decide("#1003", "c9", "unsure", reviewer="ana")
    unsure = bench.why("#1003")
    bench.decide("#1003", "c9", "same", reviewer="bo")
    same = bench.why("#1003")
    bench.reconcile()
    heard = bench.why("#1003")

    assert unsure.answer.endswith(". Said since this run: unsure as c9 (ana)")
    assert unsure.methods["detail"][0] == "unsure as c9 (ana)"
    assert same.answer.endswith(". Said since this run: same as c9 (bo); `recon run` applies it")
    assert same.methods["detail"][0] == "unsure as c9 (ana); same as c9 (bo)"
    assert "Said since" not in heard.answer


def test_every_reconciliation_is_named_with_what_is_open_there(twin_bench):
    """Order #1144 is paid, and its conversion tells another amount: both are said, with ids."""
    case_id = twin_bench.queue("orders_to_conversions").frame.filter(
        pl.col("native_id") == "#1144"
    )["case_id"].item()  # fmt: skip

    view = twin_bench.why("#1144")

    assert view.answer.startswith("orders_to_payments: exact match")
    assert view.answer.endswith(
        ". Also open in orders_to_conversions: open item overdue, case amount mismatch"
    )
    assert view.stands.select("reconciliation", "what").rows() == [
        ("orders_to_conversions", "match"), ("orders_to_conversions", "open item"),
        ("orders_to_conversions", "case"), ("orders_to_payments", "match"),
    ]  # fmt: skip
    assert f"- orders_to_conversions: case amount mismatch ({case_id[:10]}): owner" in view.text()


def test_how_far_apart_is_said_in_words_and_bits_are_explained_once(twin_bench):
    """No `-0.0 days`; what was compared stands uncut below the table."""
    rows = twin_bench.matches("orders_to_payments", method="probable", disposition="auto").frame
    view = twin_bench.why(rows["left_ids"][0], "orders_to_payments")
    text = view.text()

    assert text.count("Bits: each doubles the odds that the two tell one story") == 1
    assert view.html().count("Bits: each doubles the odds") == 1
    assert "-0.0" not in text
    assert view.candidates["apart"].str.contains("later|earlier|same day|within").all()
    name, agreement = view.candidates.select("native_id", "agreement").row(0)
    assert f"- {name}: {agreement}" in text


def test_at_most_three_near_events_with_what_they_agree_on(bench, reconciled_shop):
    """The nearest by amount first; each says where it stands and what was compared."""
    rows = [f"n{i},77{i},2026-11-0{i + 4},9.90" for i in range(5)]
    (reconciled_shop / "near.csv").write_text("\n".join(["Id,Order,Date,Amount", *rows]) + "\n")
    bench.ingest("card", reconciled_shop / "near.csv")
    bench.reconcile()

    near = bench.why("#1003").candidates

    assert near.select("native_id", "near_by", "note").rows() == [
        ("n0", "amount", "open"), ("n1", "amount", "open"), ("n2", "amount", "open"),
    ]  # fmt: skip
    assert near["agreement"][0] == "amount: same amount, a common one; lag: same day"
    assert near["match_probability"].null_count() == 3


def test_every_kind_of_event_is_explained(twin_bench):
    """Payouts, bank lines, refunds, fees and duplicates: each has an answer and a way."""
    with twin_bench.store.snapshot().engine() as engine:
        kinds = engine.rows(
            "select event_type, min(event_key) as event_key from events"
            " where event_type not in ('fx_rate', 'other') group by event_type order by event_type"
        )

    views = {kind: twin_bench.why(key) for kind, key in kinds.iter_rows()}

    assert {"order", "payment", "payout", "refund"} <= set(views)
    assert all(v.answer and v.methods.height for v in views.values())


def test_a_match_by_probability_says_what_would_make_it_a_question(twin_bench):
    """Its own partner is compared, its weights are drawn, and it has bits to lose."""
    rows = twin_bench.matches("orders_to_payments", method="probable", disposition="auto").frame
    view = twin_bench.why(rows["left_ids"][0], "orders_to_payments")

    assert view.candidates["note"][0] == "its match"
    assert view.weights["step"][0] == "prior: before any evidence"
    assert any("it would be a question at" in flip and "to lose" in flip for flip in view.flips)


def test_an_id_means_the_event_that_is_called_so_before_those_that_carry_it(twin_bench):
    """A payout's id stands on each of its payments as well; the payout itself is meant."""
    with twin_bench.store.snapshot().engine() as engine:
        name = engine.one(
            "select min(native_id) from events where event_type = 'payout'"
            " and native_id in (select payout_id from events where event_type = 'payment')"
        )[0]
    view = twin_bench.why(name)

    assert (view.label, view.event["event_type"][0]) == (name, "payout")
    assert view.answer.startswith("payments_to_payouts: ")


def test_an_id_that_no_event_is_called_by_finds_the_event_that_carries_it(bench):
    """Order number 1001 is the name of an order; `9999` is told by a payment alone."""
    assert bench.why("1001").label == "#1001"
    assert bench.why("9999").label == "c9"


NAMELESS = """
[workspace]
name = "books"
timezone = "UTC"
currency = "USD"
[[reconciliations]]
name = "books_to_bank"
left = { sources = ["books"], types = ["payment"] }
right = { sources = ["bank"], types = ["bank_line"] }
keys = []
settles_within = "5d"
"""
NAMELESS_SOURCE = """
[[sources]]
name = "{name}"
feed = "table"
[sources.layout]
event_type = "{event_type}"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
columns = {{ event_ts = "Date", amount = "Amount", description = "Memo", currency.value = "USD" }}
"""


def test_rows_without_any_id_are_called_by_the_beginning_of_their_key(tmp_path):
    """A statement without ids: what is proposed waits in the queue, and nothing is called None."""
    declared = [("books", "payment"), ("bank", "bank_line")]
    sources = [NAMELESS_SOURCE.format(name=n, event_type=kind) for n, kind in declared]
    (tmp_path / "recon.toml").write_text("".join([NAMELESS, *sources]))
    bench = Workbench(tmp_path, clock=lambda: NOW)
    for source, memo in (("bank", "Office rent paid"), ("books", "Office rent")):
        file = tmp_path / f"{source}.csv"
        file.write_text(f"Date,Memo,Amount\n2026-11-02,{memo},1200.00\n2026-11-03,Fuel,35.25\n")
        bench.ingest(source, file)
    bench.reconcile()
    asked = bench.queue().frame["native_id"].to_list()
    view = bench.why(asked[0])
    other = view.candidates["native_id"][0]

    assert bench.matches().title == "Matches: 0; 2 proposals wait in the queue"
    assert bench.matches(method="exact").title == "Matches: 0"
    assert len(asked) == 2
    assert view.answer == (
        "books_to_bank: proposed: no key is declared; most probable: bank line, 1,200.00 USD, "
        "the same day"
    )
    assert "; 1 counterpart proposed; a person decides" in repr(view)
    assert bench.why(other).event["source"].item() == "bank"
    assert "None" not in repr(view)


def test_a_pair_that_its_rivals_crowd_out_is_not_said_to_be_improbable(tmp_path):
    """Two bank lines of one rent: one is asked about, the other is as good and not asked about."""
    declared = [("books", "payment"), ("bank", "bank_line")]
    sources = [NAMELESS_SOURCE.format(name=n, event_type=kind) for n, kind in declared]
    (tmp_path / "recon.toml").write_text("".join([NAMELESS, *sources]))
    bench = Workbench(tmp_path, clock=lambda: NOW)
    rent = "2026-11-02,Office rent,1200.00\n"
    for source, rows in (("bank", rent * 2), ("books", rent + "2026-11-20,Fuel,35.25\n")):
        file = tmp_path / f"{source}.csv"
        file.write_text(f"Date,Memo,Amount\n{rows}")
        bench.ingest(source, file)
    bench.reconcile()
    with bench.store.snapshot().engine() as engine:
        lines = engine.rows("select event_key from events where source = 'bank' order by 1")
    told = sorted(bench.why(key).methods["detail"][-1] for key in lines["event_key"])
    flips = [flip for key in lines["event_key"] for flip in bench.why(key).flips]

    crowded = (
        "its rivals leave too little of that to ask about, or it was no pair that was looked at"
    )
    assert [re.sub(r"0\.\d\d", "P", detail) for detail in told] == [
        "1 event comes near, the best at P; 1 counterpart proposed; a person decides",
        f"1 event comes near, the best open one at P by itself; {crowded}",
    ]
    assert [re.sub(r"0\.\d\d", "P", flip) for flip in flips if "it" in flip][-1:] == [
        f"its likeliest counterpart is P by itself; {crowded}"
    ]
    assert [flip for flip in flips if "bits" in flip] == []


def test_methods_of_groups_say_what_they_looked_at(tmp_path):
    """10.00, 20.00 and 10.00 make 30.00 twice in a row: the sets are left to that question."""
    declared = [("books", "payment"), ("bank", "bank_line")]
    sources = [NAMELESS_SOURCE.format(name=n, event_type=kind) for n, kind in declared]
    groups = "".join(f"[reconciliations.{m}]\nenabled = true\n" for m in ("grouped", "decomposed"))
    files = {
        "books": "2026-11-02,A,10.00\n2026-11-03,B,20.00\n2026-11-04,C,10.00\n",
        "bank": "2026-11-05,D,30.00\n",
    }

    def told(cardinality: str) -> list[str]:
        folder = tmp_path / cardinality
        folder.mkdir()
        shape = f'cardinality = "{cardinality}"\n{groups}'
        (folder / "recon.toml").write_text("".join([NAMELESS, shape, *sources]))
        bench = Workbench(folder, clock=lambda: NOW)
        for source, rows in files.items():
            file = folder / f"{source}.csv"
            file.write_text(f"Date,Memo,Amount\n{rows}")
            bench.ingest(source, file)
        bench.reconcile()
        with bench.store.snapshot().engine() as engine:
            line = engine.one("select event_key from events where source = 'bank'")[0]
        methods = bench.why(line).methods
        return methods.filter(pl.col("method").is_in(["grouped", "decomposed"]))["detail"].to_list()

    assert told("one_to_one") == ["one to one has no groups"] * 2
    grouped, decomposed = told("many_to_one")
    assert grouped.startswith("2 runs add up, most plausible first: 1. ")
    assert decomposed == "left to what grouped asks"
