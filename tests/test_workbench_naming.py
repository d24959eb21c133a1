"""Whom a name means: what is called so before what merely carries it, on every screen alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import polars as pl
import pytest
from matching_world import frame

from recon_kit import model
from recon_kit.errors import DecisionRefusedError, WorkspaceError
from recon_kit.ledger.engine import open_engine
from recon_kit.workbench.bench import Workbench
from recon_kit.workbench.history import history

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# Two payments of an order that nobody knows, and one that a file calls like an order number.
MORE = """Id,Order,Date,Amount
c21,7777,2026-11-03,1.00
c22,7777,2026-11-04,2.00
1003,8888,2026-11-05,3.00
"""


@pytest.fixture
def bench(reconciled_shop):
    made = Workbench(reconciled_shop, clock=lambda: NOW)
    (reconciled_shop / "more.csv").write_text(MORE, encoding="utf-8")
    made.ingest("card", reconciled_shop / "more.csv")
    made.reconcile()
    return made


@pytest.fixture(scope="module")
def payout(twin_bench):
    """A payout by the id that it has, and how many other events carry that id."""
    with twin_bench.store.snapshot().engine() as engine:
        return engine.rows(
            "select p.native_id, count(*) as carriers from events p"
            " join events m on m.payout_id = p.native_id and m.event_type <> 'payout'"
            " where p.event_type = 'payout' group by 1 order by 2 desc, 1 limit 1"
        ).row(0)


def test_the_id_of_a_payout_means_the_payout(twin_bench, payout):
    """Its payments carry the id as well; none of them is what was asked about."""
    name, carriers = payout
    assert carriers > 5

    assert twin_bench.why(name).label == name
    assert twin_bench.why(name).event["event_type"].to_list() == ["payout"]
    assert twin_bench.trace(name).answer.startswith(f"payout {name} is read from ")


def test_the_history_of_a_payout_begins_with_itself(twin_bench, payout):
    """First the payout and its matches, then what carries its id, counted by type."""
    name, carriers = payout
    story = twin_bench.history(name)

    first = story.frame.row(0, named=True)
    assert (first["kind"], first["event_type"], first["native_id"]) == ("fact", "payout", name)
    assert story.own["kind"].to_list()[:2] == ["fact", "match"]
    assert story.own.filter(pl.col("kind") == "fact").height == 1
    assert story.around.filter(pl.col("kind") == "fact").height >= carriers
    assert re.search(r"^1 fact, \d matche?s?", story.text(), re.MULTILINE)
    assert re.search(r"^Around it: \d+ payments, .*\d+ matches", story.text(), re.MULTILINE)
    assert f"20 of {story.around.height} rows" in story.text()
    assert f"{story.around.height - 20} later ones are in the frame" in story.html()


def test_an_order_number_means_the_order_though_its_payment_carries_it(bench):
    """1001 is how the order is called; the payment only names it."""
    assert bench.why("1001").label == "#1001"
    assert bench.trace("1001").answer == "order #1001 is read from till.csv, row 1."


def test_what_a_screen_calls_so_is_offered_beside_the_order_of_that_number(twin_bench):
    """The queue shows a conversion without an id of its own by its order number, 1095."""
    assert "1095" in twin_bench.queue("orders_to_conversions").frame["native_id"].to_list()

    with pytest.raises(WorkspaceError) as asked:
        twin_bench.why("1095")

    assert re.match(
        r"\d events are called '1095'; ask about one by its event key ", str(asked.value)
    )
    assert "order #1095 of shop: " in str(asked.value)
    assert "conversion 1095 of ads: " in str(asked.value)
    assert twin_bench.why("#1095").label == "#1095"


def test_what_a_file_calls_so_goes_before_what_goes_by_that_number(bench):
    """A payment whose file calls it 1003 is nearer to the name than order #1003."""
    assert bench.why("1003").event["event_type"].to_list() == ["payment"]


def test_events_that_fit_equally_are_listed_and_asked_for(bench):
    """Nobody guesses which of the two payments of 7777 is meant; why, trace and decide ask."""
    listed = r"\(payment c21 of card: [0-9a-f]{12}, payment c22 of card: [0-9a-f]{12}\)"

    with pytest.raises(WorkspaceError) as asked:
        bench.why("7777")
    with pytest.raises(DecisionRefusedError) as refused:
        bench.decide("#1003", "7777", "same")

    assert re.fullmatch(
        rf"2 events carry '7777'; ask about one by its event key {listed}", str(asked.value)
    )
    assert re.fullmatch(
        rf"2 right events of orders_to_payments carry '7777'; name one by its event key {listed}\. "
        r"Nothing was recorded\.",
        str(refused.value),
    )


def test_a_story_follows_its_matches_six_times_and_no_further():
    """Each event is the left side of a match with the next: of e0 up to e6, and e7 is left out."""
    events = [{"event_key": f"e{n}", "native_id": f"n{n}", "source": "s"} for n in range(8)]
    matches = [
        {"match_id": f"m{n}", "event_key": f"e{n + place}", "side": side, "role": role}
        for n in range(7)
        for place, side, role in ((0, "left", "principal"), (1, "right", "part"))
    ]
    with open_engine() as engine:
        engine.put("events", frame(events, model.EVENT_SCHEMA))
        engine.put("keys", frame([], model.KEYS_SCHEMA))
        for name, rows in (("match_members", matches), ("matches", []), ("open_items", []),
                           ("findings", [])):  # fmt: skip
            told = frame(rows, model.RUN_TABLES[name]).with_columns(run_id=pl.lit("r"))
            engine.put(name, told)
        engine.con.execute(
            "create table artefacts (sha256 varchar, source varchar, name varchar,"
            " received_at timestamptz)"
        )

        story = history(engine, "e0")

    assert story["native_id"].to_list() == ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]
