"""The Python face: files in, results that can be read, the same answer twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import recon_kit as rk
from recon_kit.errors import (
    FileRejectedError,
    SettingsError,
    UnknownNameError,
    WorkspaceError,
)
from recon_kit.matching.rules import Rule, rules_hash
from recon_kit.synth import score
from recon_kit.workbench.naming import OrderNotFoundError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def bench(shop):
    opened = rk.Workbench(shop, clock=lambda: NOW)
    opened.ingest("till", shop / "till.csv")
    opened.ingest("card", shop / "card.csv")
    return opened


def states(view):
    return {r["native_id"]: r["state"] for r in view.open_items.to_dicts()}


def test_every_order_stands_in_one_state(bench):
    """One order is matched, one leaves 5.50 open, one is overdue, one is still in flight."""
    bench.reconcile()

    totals = bench.summary().totals.select("state", "items", "amount_minor").rows()

    assert sorted(totals) == [
        ("in_flight", 1, 4000),
        ("matched", 1, 12000),
        ("overdue", 1, 990),
        ("residual", 1, 550),
    ]


def test_unexplained_money_is_what_matches_leave_open_on_either_side(shop):
    """Of 25.50 with 20.00 paid 5.50 is open, of 9.90 with 12.00 paid 2.10; the rest is matched."""
    (shop / "card.csv").write_text(
        "Id,Order,Date,Amount\nc1,1001,2026-11-03,100.00\nc2,1002,2026-11-04,20.00\n"
        "c3,1003,2026-11-05,12.00\nc4,1004,2026-11-20,15.00\n"
    )
    bench = rk.Workbench(shop, clock=lambda: NOW)
    for source in ("till", "card"):
        bench.ingest(source, shop / f"{source}.csv")
    bench.reconcile()

    view = bench.summary()

    assert sorted(view.totals.select("state", "items", "amount_minor").rows()) == [
        ("in_flight", 1, 2500),  # of 40.00 that are not due yet 15.00 came already
        ("matched", 1, 14280),
        ("residual", 2, 760),
    ]
    row = view.frame.row(0, named=True)
    assert (row["due"], row["matched"], row["unexplained"]) == (3, 1, 2)
    assert (row["all_minor"], row["due_minor"], row["unexplained_minor"]) == (17540, 15040, 760)
    slis = bench.slis().frame.filter(name="unexplained_amount")
    assert slis["numerator"].to_list() == [760]


def test_a_group_that_leaves_money_open_is_unexplained_by_that_money_alone(shop):
    """Two parts of 60.00 and 40.00 of which 99.00 arrived are two items and 1.00 of money."""
    toml = (shop / "recon.toml").read_text()
    many = toml.replace('settles_within = "5d"', 'cardinality = "many_to_one"')
    (shop / "recon.toml").write_text(many.replace('order_id = "Receipt"', 'order_id = "Order"'))
    (shop / "till.csv").write_text(
        "Receipt,Order,Day,Total,E-mail\n#1,1,2026-10-20,5.00,cy@example.com\n"
        "#7a,7,2026-11-02,60.00,ana@example.com\n#7b,7,2026-11-02,40.00,ana@example.com\n"
        "#8,8,2026-11-19,3.00,di@example.com\n"
    )
    (shop / "card.csv").write_text(
        "Id,Order,Date,Amount\nc1,7,2026-11-03,99.00\nc9,9999,2026-11-12,7.00\n"
    )
    bench = rk.Workbench(shop, clock=lambda: NOW)
    for source in ("till", "card"):
        bench.ingest(source, shop / f"{source}.csv")
    bench.reconcile()

    totals = bench.summary().totals.select("state", "items", "amount_minor").rows()

    assert sorted(totals) == [
        ("in_flight", 1, 300), ("matched", 0, 9900), ("not_covered", 1, 500), ("residual", 2, 100),
    ]  # fmt: skip


def test_open_items_say_where_they_stand_and_why(bench):
    """Each open item of both sides has a state and a sentence."""
    bench.reconcile()

    view = bench.summary()

    assert states(view) == {
        "#1002": "overdue",
        "#1003": "overdue",
        "#1004": "in_flight",
        "c9": "overdue",
        "c10": "in_flight",
    }
    assert view.open_items["why"].null_count() == 0
    residual = view.open_items.filter(pl.col("native_id") == "#1002")
    assert residual["amount_minor"].to_list() == [550]


def test_running_twice_adds_nothing(bench):
    """The same facts and settings are evaluated once; the ledger does not grow."""
    first = bench.reconcile()
    size = bench.store.checkpoint(keep=False).size

    second = bench.reconcile()

    assert first.frame["fresh"].to_list() == [True]
    assert second.frame["fresh"].to_list() == [False]
    assert second.frame["run_id"].to_list() == first.frame["run_id"].to_list()
    assert bench.store.checkpoint(keep=False).size == size


def test_the_rank_of_a_source_outside_the_reconciliation_makes_a_result_stale(bench, shop):
    """Another source may tell a movement of these too: who is read of two is part of the result."""
    first = bench.reconcile()
    text = (shop / "recon.toml").read_text()
    other = text[text.index('[[sources]]\nname = "card"') : text.index("[[reconciliations]]")]
    other = other.replace('name = "card"', 'name = "hooks"')
    fresh = []
    for rank in ("", "precedence = 1\n"):
        told = other.replace('owner = "finance"', f'owner = "finance"\n{rank}')
        (shop / "recon.toml").write_text(text + told)
        fresh += rk.Workbench(shop, clock=lambda: NOW).reconcile().frame["fresh"].to_list()

    assert first.frame["fresh"].to_list() == [True]
    assert fresh == [False, True]


def test_the_same_file_twice_adds_nothing(bench, shop):
    """A file that was taken in is known by its bytes, under whatever name."""
    (shop / "copy.csv").write_bytes((shop / "card.csv").read_bytes())

    receipt = bench.ingest("card", shop / "copy.csv").receipts[0]

    assert receipt.already_known
    assert bench.store.batches().height == 2


def test_a_case_keeps_its_name_until_late_money_settles_it(bench, shop):
    """#1002 lacks 5.50: a case; the second charge comes, and the case closes itself."""
    bench.reconcile()
    before = bench.queue().frame.filter(pl.col("native_id") == "#1002")
    (shop / "late.csv").write_text("Id,Order,Date,Amount\nc3,1002,2026-11-18,5.50\n")
    text = (shop / "recon.toml").read_text()
    text = text.replace('keys = ["order_id"]', 'keys = ["order_id"]\ncardinality = "one_to_many"')
    (shop / "recon.toml").write_text(text)
    again = rk.Workbench(shop, clock=lambda: NOW)

    again.ingest("card", shop / "late.csv")
    again.reconcile()

    assert before.select("kind", "amount_minor", "owner").rows() == [
        ("amount_mismatch", 550, "finance")
    ]
    assert again.queue().frame.filter(pl.col("native_id") == "#1002").is_empty()
    row = again.matches().frame.filter(pl.col("left_ids") == "#1002").row(0, named=True)
    assert (row["left_sum"], row["right_sum"], row["residual_minor"]) == (2550, 2550, 0)


def test_history_tells_one_order_from_file_to_case(bench):
    """Facts with file and row, the match, the open rest and its case, by the id people use."""
    bench.reconcile()

    story = bench.history("1002").frame

    facts = story.filter(pl.col("kind") == "fact")
    assert facts.select("native_id", "artefact", "record_row", "amount_minor").rows() == [
        ("#1002", "till.csv", 2, 2550),
        ("c2", "card.csv", 2, 2000),
    ]
    assert set(story["kind"]) == {"fact", "match", "open", "case"}
    case = story.row(by_predicate=pl.col("kind") == "case", named=True)
    assert case["what"].startswith("amount mismatch, owner finance: ")


def test_history_of_an_unknown_id_says_so(bench):
    """An id that nothing carries gives a sentence, not an empty table."""
    bench.reconcile()

    with pytest.raises(OrderNotFoundError, match="no event carries '4711'"):
        bench.history("4711")


def test_why_names_the_method_that_matched(bench):
    """A matched event says by which method and key."""
    bench.reconcile()

    view = bench.why("#1001")

    assert view.answer == ("orders_to_payments: exact match as principal, joined by order_id; auto")
    assert view.methods["method"].to_list() == ["decided", "exact"]


def test_why_says_what_kept_an_open_event_apart(bench):
    """An open event says its state and that no counterpart shares its key."""
    bench.reconcile()

    view = bench.why("#1003")

    assert view.answer.startswith("orders_to_payments: overdue: ")
    assert "1003" in view.answer


def test_the_short_key_on_a_screen_names_its_event(bench):
    """Events without an id are shown by eight characters of their key, and found by them."""
    bench.reconcile()
    key = bench.why("#1003").event["event_key"][0]

    assert bench.why(key[:8]).label == "#1003"
    assert bench.history(key[:8]).frame["event_key"][0] == key


def test_imported_labels_pin_a_pair(bench, shop):
    """A person says #1003 is paid by c9: the next run confirms it, whatever the keys say."""
    bench.reconcile()
    (shop / "labels.csv").write_text(
        "left_native_id,right_native_id,label,reviewer,reason\n#1003,c9,same,ana,phone call\n"
        "#1003,c8,same,ana,\n"
    )

    problems = bench.import_labels(shop / "labels.csv")
    bench.reconcile()

    assert problems.frame.select("row", "code").rows() == [(2, "right_not_found")]
    row = bench.matches(disposition="confirmed").frame.row(0, named=True)
    assert (row["left_ids"], row["right_ids"], row["method"]) == ("#1003", "c9", "decided")


def test_a_past_sequence_is_seen_as_it_was(bench, shop):
    """Evaluated as of the sequence before the payments came, nothing is matched."""
    bench.reconcile()
    first = int(bench.store.batches()["seq"].min())

    past = bench.reconcile(as_of=first)

    assert past.frame["matches"].to_list() == [0]
    assert bench.matches().frame.height == 2


def test_a_restated_order_is_read_as_told_last(bench, shop):
    """The till corrects #1003 to 7.00 with a later file: the later telling counts."""
    (shop / "fix.csv").write_text(
        "Receipt,Day,Total,E-mail\n#1003,2026-11-04,7.00,cy@example.com\n"
    )

    receipt = bench.ingest("till", shop / "fix.csv").receipts[0]
    bench.reconcile()

    assert receipt.counts.conflict == 1
    assert bench.history("1003").frame["amount_minor"].to_list()[0] == 700


def test_export_writes_decimal_text_of_each_pair(bench, shop):
    """A row per linked pair, amounts as exact decimal text."""
    bench.reconcile()

    done = bench.export("matches", "out/matches.csv")

    rows = pl.read_csv(done.path, infer_schema=False)
    assert done.path == shop / "out" / "matches.csv"
    assert rows.sort("left_native_id").select(
        "left_native_id", "right_native_id", "relation", "left_amount", "right_amount", "currency"
    ).rows() == [
        ("#1001", "c1", "pays", "100.00", "100.00", "EUR"),
        ("#1002", "c2", "pays", "25.50", "20.00", "EUR"),
    ]


def test_nothing_reconciled_yet_is_said(bench):
    """Asking for results before the first run names the command."""
    with pytest.raises(WorkspaceError, match="nothing has been reconciled yet; `recon run`"):
        bench.summary()


def test_a_missing_column_names_its_nearest(bench, shop):
    """A renamed header refuses the file, names the nearest column, and commits nothing."""
    (shop / "odd.csv").write_text("Id,Order,Date,Amnt\nc5,1003,2026-11-05,9.90\n")
    before = bench.store.batches().height

    with pytest.raises(FileRejectedError, match=r"'Amount'.*did you mean 'Amnt'"):
        bench.ingest("card", shop / "odd.csv")

    assert bench.store.batches().height == before


def test_an_unknown_source_names_its_nearest(bench, shop):
    """A misspelt source is misuse, with the spelling that was probably meant."""
    with pytest.raises(UnknownNameError, match="no source is called 'cards'; did you mean 'card'"):
        bench.ingest("cards", shop / "card.csv")


def test_a_day_before_the_first_file_is_refused_with_the_way_out(bench):
    """Files of 2026 that came in 2026 told nothing in 2024: no empty run passes for a result."""
    with pytest.raises(WorkspaceError) as refused:
        bench.reconcile(as_of="2024-02-10")

    assert str(refused.value).startswith(
        "as of 2024-02-10 nothing was known: the first file came in on 2026-"
    )
    assert str(refused.value).endswith("set `as_of` under [workspace] instead")
    assert bench.store.runs().is_empty()


def test_an_as_of_that_is_neither_is_refused(bench):
    """Words are no time."""
    with pytest.raises(SettingsError, match="neither a sequence number nor a date"):
        bench.reconcile(as_of="yesterday")


def test_verify_finds_the_ledger_whole(bench):
    """After ingest and run, everything is as committed."""
    bench.reconcile()

    assert bench.verify().frame.is_empty()


def test_profile_lists_every_source(bench):
    """One row per declared source, with its files, events and dates."""
    frame = bench.profile().frame

    assert frame.select("source", "files", "events").rows() == [("till", 1, 4), ("card", 1, 4)]


def test_profile_of_a_source_lists_what_was_set_aside(bench, shop):
    """Each quarantined row stands there with its file, its number and the reason."""
    (shop / "odd.csv").write_text(
        "Id,Order,Date,Amount\nc5,1003,2026-11-05,9.90\nc6,1003,2026-11-05,1OO.00\n"
    )
    bench.ingest("card", shop / "odd.csv")

    notes = bench.profile("card").notes

    said = [n for n in notes if n.startswith("quarantined")]
    assert len(said) == 1
    assert said[0].startswith(
        "quarantined: odd.csv, row 2: the amount is not a decimal number in the declared notation "
        "(`decimal`, `thousands`); "
    )


def test_key_overlap_finds_the_shared_key(bench):
    """Two of four order ids of the till are carried by card payments."""
    frame = bench.key_overlap().frame
    pair = frame.filter(pl.all_horizontal(pl.col("^.*field$") == "order_id"))

    assert pair.height == 1
    assert 2 in pair.row(0)


def test_the_twin_is_matched_as_its_truth_says(twin_bench):
    """On the small twin nothing is matched wrongly by key, and nearly all is found."""
    out = twin_bench.export("matches", "exports/matches.parquet").path

    overall = score.overall(score.score(pl.read_parquet(out), twin_bench.folder / "truth"))

    rates = {r["reconciliation"]: r for r in overall.to_dicts()}
    assert rates["orders_to_payments"]["precision"] >= 0.99
    assert rates["orders_to_payments"]["recall"] >= 0.96
    assert rates["payments_to_payouts"]["precision"] == 1.0


def test_every_money_of_the_twin_is_accounted_for(twin_bench):
    """Per reconciliation and currency the states add up to the left side's own total."""
    rec = twin_bench.settings.reconciliation("payments_to_payouts")
    told = twin_bench.summary("payments_to_payouts").totals
    with twin_bench.store.snapshot().engine() as engine:
        engine.put("wanted", pl.DataFrame({"s": rec.left.sources}))
        engine.put("kinds", pl.DataFrame({"t": rec.left.types}))
        expected = engine.rows(
            "select currency, count(*) as items from events where source in (select s from wanted)"
            " and event_type in (select t from kinds) group by currency order by currency"
        )

    actual = told.group_by("currency").agg(pl.col("items").sum()).sort("currency")

    assert actual.rows() == expected.rows()


def test_what_is_open_adds_up_on_every_screen(twin_bench):
    """Open items, cases and questions of the bridge are those of list, queue, run and review."""
    counted = twin_bench.summary().counted
    board = twin_bench.summary().frame
    left = dict(counted.select("state", "left_items").rows())

    assert counted["items"].sum() == twin_bench.summary().open_items.height
    named = counted.filter(pl.col("state").is_in(["overdue", "residual", "proposed"]))
    assert f"Largest of {named['items'].sum():,} open items" in str(twin_bench.health().open_table)
    assert counted["cases"].sum() == twin_bench.queue().frame.height
    assert counted["cases"].sum() == twin_bench.reconcile().frame["cases"].sum()
    assert counted["questions"].sum() == twin_bench.worklist().frame.height
    # a left item whose match leaves money open that is not due yet is in flight as well
    waits = left.get("in_flight", 0) + left.get("not_covered", 0) + left.get("residual_waits", 0)
    assert waits == board["in_flight"].sum() + board["not_covered"].sum()
    assert [left.get(s, 0) for s in ("overdue", "proposed")] == [
        board[s].sum() for s in ("overdue", "proposed")
    ]


def test_a_suggested_action_names_the_sources_of_the_other_side(twin_bench):
    """Nobody has to know which side is right: the sources that ought to know are named."""
    queue = twin_bench.queue("orders_to_payments").frame
    said = dict(queue.select("kind", "suggested_action").unique().rows())

    assert said["missing_right"] == (
        "Ask stripe_us or stripe_eu for its counterpart, or declare that it has none."
    )
    assert said["missing_left"] == (
        "Find its counterpart in shop or wholesale, or declare that it has none."
    )


def test_views_show_themselves(twin_bench):
    """Every view has a plain and a rich form, and masks people."""
    for view in (twin_bench.summary(), twin_bench.queue(), twin_bench.matches()):
        assert "nordlys" in repr(view)
        assert "text/html" in view._repr_mimebundle_()


def test_a_rule_matches_once_it_is_in_force(bench):
    """Promoting a rule makes another run, whose matches name it; expired it is no concern."""
    rule = Rule.model_validate({
        "name": "seven_euros", "reconciliation": "orders_to_payments",
        "conditions": [{"test": "amount", "minor_units": 290}, {"test": "days", "after": 10}],
        "created": NOW, "expires": NOW + timedelta(days=9),
    })  # fmt: skip
    kept = {"reconciliation": rule.reconciliation, "content_hash": rule.content_hash,
            "json": rule.text, "author": "bo"}  # fmt: skip
    before = bench.reconcile().frame["run_id"][0]
    bench.store.append("rules", pl.DataFrame([kept]), NOW)
    assert bench.reconcile().frame["run_id"][0] == before

    promoted = {"content_hash": rule.content_hash, "kind": "rule", "approver": "ana",
                "verdict": "promoted"}  # fmt: skip
    bench.store.append("approvals", pl.DataFrame([promoted]), NOW)
    run_id = bench.reconcile().frame["run_id"][0]

    found = bench.matches(method="learned").frame.select("left_ids", "right_ids", "disposition")
    assert found.rows() == [("#1003", "c9", "auto")]
    assert bench.store.run(run_id).rules_hash == rules_hash((rule,)) != rules_hash(())
    told = bench.why("#1003")
    assert "learned match as principal, joined by seven_euros; auto" in told.answer
    assert told.methods.select("method", "outcome").rows()[-1] == ("learned", "matched")


def test_a_lost_column_opens_a_case_for_whoever_owns_the_source(bench, shop):
    """The till's next file lacks a column that was read: a case that names it; then it is back."""
    (shop / "second.csv").write_text("Receipt,Day,Total\n#1005,2026-11-20,12.00\n")
    bench.ingest("till", shop / "second.csv", received_at=NOW + timedelta(hours=1))
    bench.reconcile()
    drift = bench.queue().frame.filter(pl.col("kind") == "schema_drift").to_dicts()
    (shop / "third.csv").write_text("Receipt,Day,Total,E-mail\n#1006,2026-11-20,1.00,\n")
    bench.ingest("till", shop / "third.csv", received_at=NOW + timedelta(hours=2))
    (shop / "fourth.csv").write_text("Receipt,Day,Total,E-mail\n#1007,2026-11-20,2.00,\n")
    bench.ingest("till", shop / "fourth.csv", received_at=NOW + timedelta(hours=3))
    bench.reconcile()

    assert [(row["owner"], row["amount_minor"]) for row in drift] == [("shop_desk", None)]
    assert "schema_drift" not in bench.queue().frame["kind"].to_list()
