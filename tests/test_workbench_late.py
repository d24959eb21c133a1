"""Late days, past days and shadows: what a run changed, and what it left alone."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from conftest import SHOP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon_kit import model
from recon_kit.cli import main
from recon_kit.errors import WorkspaceError
from recon_kit.ledger.engine import Step
from recon_kit.ledger.store import Store
from recon_kit.matching import difference
from recon_kit.workbench.bench import Workbench

EARLY, LATER = datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 20, 11, tzinfo=UTC)
LATE = "Id,Order,Date,Amount\nc3,1003,2026-11-05,9.90\nc4,1004,2026-11-19,39.00\n"
FIX = "Id,Order,Date,Amount\nc2,1002,2026-11-04,25.50\n"


def bench_at(folder, moment):
    return Workbench(folder, clock=lambda: moment)


@pytest.fixture
def late_shop(shop):
    """Files of the morning, reconciled; later two payments more, and one restated."""
    early = bench_at(shop, EARLY)
    early.ingest("till", shop / "till.csv")
    early.ingest("card", shop / "card.csv")
    early.reconcile()
    (shop / "late.csv").write_text(LATE, encoding="utf-8")
    (shop / "fix.csv").write_text(FIX, encoding="utf-8")
    later = bench_at(shop, LATER)
    later.ingest("card", shop / "late.csv", shop / "fix.csv")
    return shop


def test_a_late_day_says_what_it_added_changed_and_withdrew(late_shop):
    """Two orders find their payments, one of them 1.00 short; #1002 is paid in full now."""
    run = bench_at(late_shop, LATER).reconcile()

    assert repr(run).endswith(run.diff.lines["orders_to_payments"])
    assert run.diff.lines == {
        "orders_to_payments": "2 matches added (49.90 EUR), 1 match changed (25.50 EUR), "
        "1 open item added (1.00 EUR), 3 open items withdrawn (55.40 EUR), "
        "2 cases withdrawn (15.40 EUR)"
    }
    rows = run.diff.frame.select(
        "native_id", "change", "state_before", "state_after", "amount_minor", "owner"
    ).rows()
    assert ("#1003", "gained", "overdue", "matched", 990, "finance") in rows
    assert ("#1002", "changed", "residual", "matched", 2550, "finance") in rows
    assert ("c3", "gained", None, "matched", 990, "finance") in rows
    assert ("#1004", "gained", "in_flight", "residual", 4000, "shop_desk") in rows
    assert len(rows) == 6


def test_a_late_day_gives_what_a_full_run_gives(late_shop, tmp_path):
    """The same facts reconciled at once, in a store of their own, have the same result hash."""
    late = bench_at(late_shop, LATER).reconcile().frame["run_id"][0]
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for name in ("recon.toml", "till.csv", "card.csv", "late.csv", "fix.csv"):
        (fresh / name).write_bytes((late_shop / name).read_bytes())
    bench = bench_at(fresh, LATER)
    bench.ingest("till", fresh / "till.csv", received_at=EARLY)
    bench.ingest("card", fresh / "card.csv", received_at=EARLY)
    bench.ingest("card", fresh / "late.csv", fresh / "fix.csv")
    whole = bench.reconcile().frame["run_id"][0]
    hashes = [
        Store.open(folder / "store").run(run_id).result_hash
        for folder, run_id in ((late_shop, late), (fresh, whole))
    ]

    assert hashes[0] == hashes[1]


ANY_SHOP = SHOP.replace('keys = ["order_id"]', 'keys = ["order_id"]\ncardinality = "one_to_many"')
# So many orders, each paid the next day, that lags are known: what comes late is a small change.
PAID = [(f"n{n}", 700) for n in range(110)]
some_orders = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([500, 900, 1400])), max_size=4
)
some_payments = st.lists(
    st.tuples(
        st.sampled_from(["p1", "p2", "p3", "p4", "pn0"]),
        st.sampled_from(["a", "b", "c", "n0", ""]),
        st.sampled_from([500, 900]),
    ),
    max_size=5,
)


RATES = [
    "match_rate", "match_rate_money", "case_rate", "time_to_reconcile_median",
    "time_to_reconcile_p90", "time_to_reconcile_mean_30d", "time_to_reconcile_business_median",
    "time_to_reconcile_business_p90",
]  # fmt: skip


def write_day(folder, name, orders, payments):
    """The files of one day; an id that comes once more is told with other content."""
    till = [f"{key},2026-11-03,{cents / 100:.2f},{key}@example.com" for key, cents in orders]
    card = [f"{key},{order},2026-11-04,{cents / 100:.2f}" for key, order, cents in payments]
    for source, head, lines in (
        ("till", "Receipt,Day,Total,E-mail", till), ("card", "Id,Order,Date,Amount", card),
    ):  # fmt: skip
        (folder / f"{source}_{name}.csv").write_text("\n".join([head, *lines, ""]))


def take_in(folder, name, moment, received_at=None):
    bench = bench_at(folder, moment)
    for source in ("till", "card"):
        bench.ingest(source, folder / f"{source}_{name}.csv", received_at=received_at)
    return bench


@settings(
    max_examples=int(os.environ.get("RECON_EXAMPLES", "4")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    some_orders,
    some_payments,
    some_orders,
    some_payments,
    st.sampled_from(["", "not_same", "no_counterpart", "erase"]),
)
def test_any_late_day_gives_what_a_full_run_gives(orders, payments, more, later, said):
    """New keys, parts, restated rows, decisions: late or at once, rows and rates are the same."""
    found = []
    for day_by_day in (True, False):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "recon.toml").write_text(ANY_SHOP, encoding="utf-8")
            paid = [(f"p{key}", key, cents) for key, cents in PAID]
            write_day(folder, "first", PAID + orders, paid + payments)
            write_day(folder, "late", more, later)
            bench = take_in(folder, "first", EARLY if day_by_day else LATER, EARLY)
            if day_by_day:
                bench.reconcile()
            bench = take_in(folder, "late", LATER)
            say(bench, said)
            run_id = bench.reconcile().frame["run_id"][0]
            if day_by_day:
                told = bench.store.run(run_id).evaluated
                assert told.startswith("in full: personal") == (said == "erase"), told
                assert_said_alike(bench, run_id)
            rows = rows_of(bench, run_id)
            # a case of yesterday keeps its number and its opening; what it says is the same
            cases = rows.pop("findings").select("anchor_key", "kind", "amount_minor", "diffs")
            slis = bench.store.sli_values(run_id).filter(pl.col("name").is_in(RATES))
            found.append(rows | {"cases": cases.sort(pl.all()), "slis": slis})
            assert bench.store.verify("segments") == []

    for table, told in found[0].items():
        assert told.rows() == found[1][table].rows(), table


def assert_said_alike(bench, run_id):
    """What changed, read from the changes that were kept, is what comparing all rows gives."""
    base = bench.store.run(run_id).base_run_id
    with bench.store.snapshot().engine(runs=[base, run_id]) as engine:
        kept = difference.diff(engine, base, run_id)
        none = "select null::varchar as run_id, null::varchar as base_run_id limit 0"
        engine.run(Step("forget", f"create or replace temp view run_changes as {none}"))
        compared = difference.diff(engine, base, run_id)
    assert kept.totals.rows() == compared.totals.rows()
    assert kept.events.rows() == compared.events.rows()


def say(bench, said):
    """What a person does meanwhile."""
    if said == "erase":
        bench.erase("n2", reason="asked to", confirm=True)
    elif said == "no_counterpart":
        bench.decide("n1", None, said)
    elif said:
        bench.decide("n1", "pn1", said)


def rows_of(bench, run_id):
    """Every row of a run, table by table."""
    with bench.store.snapshot().engine(runs=[run_id]) as engine:
        return {
            name: engine.rows(f"from {name} where run_id = ? order by all", [run_id]).drop("run_id")
            for name in model.RUN_TABLES
        }


@pytest.fixture
def busy_shop(shop):
    """Sixty orders more, all paid by card: one late payment is a small change."""
    orders = [f"#{n},2026-11-02,{n}.00,x@example.com" for n in range(2000, 2060)]
    paid = [f"p{n},{n},2026-11-03,{n}.00" for n in range(2000, 2060)]
    for name, lines in (("till", orders), ("card", paid)):
        with (shop / f"{name}.csv").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    early = bench_at(shop, EARLY)
    early.ingest("till", shop / "till.csv")
    early.ingest("card", shop / "card.csv")
    early.reconcile()
    (shop / "late.csv").write_text(LATE, encoding="utf-8")
    return shop


def test_few_changes_are_kept_as_such_and_said_alike(busy_shop):
    """What is read from the changes that were kept is what comparing all rows gives."""
    bench = bench_at(busy_shop, LATER)
    before = bench.store.current_run("orders_to_payments").run_id
    bench.ingest("card", busy_shop / "late.csv")
    after = bench.reconcile().frame["run_id"][0]
    kinds = bench.store.rows("segments").filter(pl.col("run_id") == after)["kind"].to_list()

    with bench.store.snapshot().engine(runs=[before, after]) as engine:
        kept = difference.diff(engine, before, after)
        back = difference.diff(engine, after, before)

    assert "run_changes" in kinds
    assert kept.totals.filter(pl.col("thing") == "match").rows() == [
        ("match", "added", "EUR", 2, 4990)
    ]
    assert back.totals.filter(pl.col("thing") == "match").rows() == [
        ("match", "withdrawn", "EUR", 2, 4990)
    ]
    turned = {"gained": "lost", "lost": "gained", "opened": "closed", "closed": "opened"}
    assert {
        (r["event_key"], turned.get(r["change"], r["change"])) for r in kept.events.to_dicts()
    } == {(r["event_key"], r["change"]) for r in back.events.to_dicts()}


@pytest.fixture
def paid_shop(tmp_path):
    """A hundred and ten orders, paid and reconciled; a late file with one payment more."""
    folder = tmp_path / "paid"
    folder.mkdir()
    (folder / "recon.toml").write_text(ANY_SHOP, encoding="utf-8")
    write_day(folder, "first", PAID, [(f"p{key}", key, cents) for key, cents in PAID])
    take_in(folder, "first", EARLY).reconcile()
    write_day(folder, "late", [], [("again", "n7", 700)])
    return folder


def test_the_record_of_a_run_says_what_was_matched_again(paid_shop):
    """A payment comes twice: it, the order and the first payment; all else stands."""
    bench = take_in(paid_shop, "late", LATER)
    first = bench.store.current_run("orders_to_payments")

    view = bench.reconcile()

    run = bench.store.run(view.frame["run_id"][0])
    assert first.evaluated == "in full: no run was made before"
    assert run.evaluated == "3 of 221 events were matched again"
    assert view.frame["note"].to_list() == [run.evaluated]
    assert view.frame["matches"].to_list() == [110]
    roles = rows_of(bench, run.run_id)["match_members"].group_by("role").len().sort("role")
    assert roles.rows() == [("duplicate", 1), ("part", 110), ("principal", 110)]


def test_a_match_that_was_carried_over_is_matched_again_when_it_is_touched(paid_shop):
    """Day by day, three times: what stood twice is taken apart on the third day."""
    take_in(paid_shop, "late", LATER).reconcile()
    write_day(paid_shop, "more", [], [("pn8", "elsewhere", 700), ("again", "n7", 700)])
    third = datetime(2026, 11, 20, 12, tzinfo=UTC)
    bench = take_in(paid_shop, "more", third)

    run_id = bench.reconcile().frame["run_id"][0]

    assert bench.store.run(run_id).evaluated == "5 of 221 events were matched again"
    assert rows_of(bench, run_id)["matches"].height == 109
    assert "no payment carries order id n8" in bench.why("n8").answer
    assert bench.store.verify("segments") == []


def wait_longer(_, folder):
    text = ANY_SHOP.replace('settles_within = "5d"', 'settles_within = "6d"')
    (folder / "recon.toml").write_text(text, encoding="utf-8")


def forget_a_person(bench, _):
    bench.erase("n2", reason="asked to", confirm=True)


REASONS = {
    "the settings have changed": wait_longer,
    "personal fields were erased": forget_a_person,
    "a shadow run builds on no other": lambda *_: None,
}


@pytest.mark.parametrize("why", REASONS)
def test_a_run_is_made_in_full_where_it_cannot_build_on_another(paid_shop, why):
    """Other settings, erased fields, a shadow: the record says which."""
    REASONS[why](take_in(paid_shop, "late", LATER), paid_shop)
    bench = bench_at(paid_shop, LATER)

    run_id = bench.reconcile(shadow="shadow" in why).frame["run_id"][0]

    assert bench.store.run(run_id).evaluated == f"in full: {why}"


def test_a_run_is_made_in_full_where_terms_are_still_unknown(late_shop):
    """Four orders teach no settlement time, so every run learns anew, from all matches."""
    run_id = bench_at(late_shop, LATER).reconcile().frame["run_id"][0]

    told = Store.open(late_shop / "store").run(run_id).evaluated
    assert told == "in full: fees and lags are learned from all matches"


def test_a_past_day_is_seen_as_of_its_end(shop, capsys):
    """Files of the 19th at 23:30 in New York count for that day, those of 0:30 do not."""
    text = (shop / "recon.toml").read_text(encoding="utf-8")
    zoned = text.replace('timezone = "UTC"\ncurrency', 'timezone = "America/New_York"\ncurrency')
    (shop / "recon.toml").write_text(zoned, encoding="utf-8")
    (shop / "late.csv").write_text(LATE.splitlines()[0] + "\nc3,1003,2026-11-05,9.90\n")
    night, after = (
        datetime(2026, 11, 20, 4, 30, tzinfo=UTC),
        datetime(2026, 11, 20, 5, 30, tzinfo=UTC),
    )
    bench_at(shop, night).ingest("till", shop / "till.csv")
    bench_at(shop, night).ingest("card", shop / "card.csv")
    bench_at(shop, after).ingest("card", shop / "late.csv")
    bench = bench_at(shop, LATER)
    now = bench.reconcile()

    past = bench.reconcile(as_of="2026-11-19")

    run = bench.store.run(past.frame["run_id"][0])
    assert (now.frame["matches"][0], past.frame["matches"][0]) == (3, 2)
    assert (run.kind, run.as_of_seq) == ("shadow", 2)
    assert run.as_of_time == datetime(2026, 11, 20, 4, 59, 59, 999999, tzinfo=UTC)
    assert bench.store.current_run("orders_to_payments").run_id == now.frame["run_id"][0]
    assert past.diff.lines == {
        "orders_to_payments": "1 match withdrawn (9.90 EUR), 1 open item added (9.90 EUR), "
        "1 case added (9.90 EUR)"
    }
    with pytest.raises(SystemExit) as ended:
        main(["run", "--as-of", "2026-11-19", "--json", "-w", str(shop)])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"][0]["run_id"] == past.frame["run_id"][0]
    assert told["diff"]["lines"] == past.diff.lines


def test_a_sequence_before_the_first_file_is_refused(shop):
    """An empty run would read like a result in which everything is withdrawn."""
    bench = bench_at(shop, LATER)
    bench.ingest("till", shop / "till.csv")

    with pytest.raises(WorkspaceError, match=r"^at sequence 0 nothing was known: the first file "):
        bench.reconcile(as_of=0)


def test_a_shadow_leaves_the_current_result_alone(busy_shop):
    """A shadow run under other settings differs; what is current stays as it is."""
    bench = bench_at(busy_shop, LATER)
    current = bench.store.current_run("orders_to_payments").run_id
    before = rows_of(bench, current)
    text = (busy_shop / "recon.toml").read_text(encoding="utf-8")
    loose = text.replace(
        'settles_within = "5d"', 'settles_within = "5d"\ntolerance = { minor_units = 600 }'
    )
    (busy_shop / "recon.toml").write_text(loose, encoding="utf-8")

    shadow = bench_at(busy_shop, LATER).reconcile(shadow=True)

    assert shadow.frame["open_items"].to_list() != [before["open_items"].height]
    assert bench.store.current_run("orders_to_payments").run_id == current
    after = rows_of(bench, current)
    assert all(after[name].equals(before[name]) for name in before)
    assert "1 open item withdrawn (5.50 EUR)" in shadow.diff.lines["orders_to_payments"]


def test_a_case_of_many_runs_keeps_its_opening(busy_shop):
    """Owner, number and opening time of a case outlast runs that are kept as changes."""
    opened = []
    for hour, amount in ((10, "3000"), (11, "3001"), (12, "3002")):
        (busy_shop / "more.csv").write_text(
            f"Id,Order,Date,Amount\nq{hour},{amount},2026-11-19,1.00\n"
        )
        text = (busy_shop / "recon.toml").read_text(encoding="utf-8")
        as_of = f'as_of = "2026-11-20T{hour + 3}:00:00Z"'
        kept = "\n".join(as_of if line.startswith("as_of") else line for line in text.splitlines())
        (busy_shop / "recon.toml").write_text(kept, encoding="utf-8")
        bench = bench_at(busy_shop, datetime(2026, 11, 20, hour, tzinfo=UTC))
        bench.ingest("card", busy_shop / "more.csv")
        bench.reconcile()
        cases = bench.queue().frame.sort("case_id")
        opened.append(cases.select("case_id", "opening", "opened_at", "owner").rows())

    assert len(opened[0]) == 3
    assert opened[0] == opened[1] == opened[2]
