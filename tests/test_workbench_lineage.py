"""From a line of a report back to file, row and column, and from there to the line again."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import recon_kit as rk
from recon_kit.cli import main
from recon_kit.errors import UnknownNameError, WorkspaceError
from recon_kit.ingestion.feed import FeedContext
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.origin import origin
from recon_kit.settings import Source
from recon_kit.workbench import reportlines

NOW = datetime(2026, 11, 20, 11, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def bench(reconciled_shop):
    return rk.Workbench(reconciled_shop, clock=lambda: NOW)


@pytest.fixture
def recon(reconciled_shop, capsys):
    """Run a command on the reconciled shop; returns what it printed as JSON."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments), "--json", "-w", str(reconciled_shop)])
        told = capsys.readouterr()
        assert end.value.code == 0, told.err
        return json.loads(told.out)

    return run


def read_from(view):
    """Field: column, and what is printed there."""
    return {f: (c, p) for f, c, p in view.fields.select("field", "column", "printed").rows()}


def test_an_event_leads_to_file_row_and_column(bench):
    """Order #1002 is row 2 of till.csv: 25.50 from Total, its day from Day, its id from Receipt."""
    view = bench.trace("#1002")

    assert view.answer == "order #1002 is read from till.csv, row 2."
    assert view.tellings.select("file", "record_row", "state", "source").rows() == [
        ("till.csv", 2, "read", "till")
    ]
    assert read_from(view) == {
        "event_type": (None, None), "native_id": ("Receipt", "#1002"),
        "order_id": ("Receipt", "#1002"), "raw_keys": ("Receipt", "#1002"),
        "amount": ("Total", "25.50"), "currency": (None, None),
        "event_ts": ("Day", "2026-11-03"), "email": ("E-mail", None),
    }  # fmt: skip
    assert dict(view.fields.select("field", "value").rows())["amount"] == "25.50 EUR"


def test_an_event_leads_to_match_open_item_case_and_report_line(bench):
    """20.00 of 25.50 came: matched, 5.50 open, a case for finance, unexplained in the report."""
    (bench.folder / "reports").mkdir(exist_ok=True)
    (bench.folder / "reports" / "weekly_health_2026-W45_ops.html").touch()
    view = bench.trace("#1002")

    assert view.standing.select("reconciliation", "what", "state").rows() == [
        ("orders_to_payments", "match", "exact, auto"),
        ("orders_to_payments", "open item", "overdue"),
        ("orders_to_payments", "case", "amount_mismatch"),
    ]
    item, case = view.standing["id"][1:]
    week, *others = view.lines
    assert week == (
        "2026-W45, Left items of the week by state: orders to payments, EUR, under Unexplained "
        "(weekly_health_2026-W45_ops.html)"
    )
    assert others == [
        f"Largest of 3 open items: line 3, open item {item[:10]}",
        f"Open cases by kind: amount mismatch; `recon queue` has it as {case[:10]}",
    ]


def test_a_payment_leads_to_the_line_of_its_order(bench):
    """c1 stands in no table of left items itself: order #1001, which it pays, does."""
    (line,) = bench.trace("c1").lines

    assert line == (
        "2026-W45, Left items of the week by state: orders to payments, EUR, under Matched, with "
        "#1001 (`recon report weekly_health --week 2026-W45`)"
    )


def test_lines_that_are_not_shown_are_counted(bench, monkeypatch):
    """Of a match of many left items some lines are shown, and the number of the others is said."""
    monkeypatch.setattr(reportlines, "_LEFT_SHOWN", 0)

    assert bench.trace("#1001").lines == ("and 1 further left items, each in its own week",)


def test_every_id_of_the_rendered_report_leads_back(recon, reconciled_shop):
    """Each open item and case that the page names is traced to the row that told it."""
    page = Path(recon("report")["path"]).read_text(encoding="utf-8")
    shown = {}
    for caption in ("open items of all weeks", "open cases by kind"):
        table = page[page.index(caption) :]
        table = table[: table.index("</table>")]
        shown[caption] = re.findall(r">([0-9a-f]{10})<", table)

    assert [len(ids) for ids in shown.values()] == [3, 3]
    for ids in shown.values():
        for one in ids:
            told = recon("trace", one)
            (read,) = [t for t in told["tellings"] if t["state"] == "read"]
            line = (reconciled_shop / read["file"]).read_text().splitlines()[read["record_row"]]
            assert line.split(",")[0] == read["native_id"]
            assert one in {row["id"][:10] for row in told["standing"]}
            assert any(one in said for said in told["lines"])


def test_every_id_of_an_export_leads_back_to_the_row_it_names(recon, reconciled_shop):
    """Match, open item, case and event: trace and export name the same file and row."""
    checked = 0
    for what, column, sides in (
        ("matches", "match_id", ("left_", "right_")),
        ("open-items", "item_id", ("",)),
        ("cases", "case_id", ("",)),
    ):
        out = reconciled_shop / f"{what}.csv"
        recon("export", what, "--out", out)
        with out.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert rows
        for row in rows:
            result = recon("trace", row[column])
            assert row[column] in {s["id"] for s in result["standing"]}
            for side in sides:
                place = (row[f"{side}artefact"], int(row[f"{side}row"]))
                assert place in {(t["file"], t["record_row"]) for t in result["tellings"]}
                event = recon("trace", row[f"{side}event_key"])
                assert place == (event["tellings"][0]["file"], event["tellings"][0]["record_row"])
                checked += 1
    assert checked == 12  # 2 pairs, 5 open items, 3 cases


def test_what_an_old_report_showed_is_still_found(bench, reconciled_shop):
    """#1003 was open on Friday; today it is paid, and the id of Friday still leads to its row."""
    item = bench.trace("#1003").standing.filter(what="open item")["id"].item()
    (reconciled_shop / "late.csv").write_text("Id,Order,Date,Amount\nc3,1003,2026-11-06,9.90\n")
    later = rk.Workbench(reconciled_shop, clock=lambda: NOW + timedelta(days=1))
    later.ingest("card", reconciled_shop / "late.csv")
    later.reconcile()

    view = later.trace(item[:10])

    assert view.answer.startswith("open item of an earlier run (run ")
    assert view.answer.endswith(
        ") of orders_to_payments; where its event stands now is below: order #1003 is read from "
        "till.csv, row 3."
    )
    assert view.standing.select("what", "state").rows() == [("match", "exact, auto")]


def test_a_match_leads_to_all_its_rows(bench):
    """Both members, each with its file and row; columns are for single events."""
    match = bench.matches().frame["match_id"][0]
    view = bench.trace(match)

    assert sorted(view.tellings.select("file", "record_row").rows()) in (
        [("card.csv", 1), ("till.csv", 1)], [("card.csv", 2), ("till.csv", 2)],
    )  # fmt: skip
    assert view.answer.startswith("match of orders_to_payments, 2 events: ")
    assert view.fields.is_empty()


def test_every_telling_says_whether_it_is_read(bench, reconciled_shop):
    """Told again word for word, then anew: three rows of three files, and the newest is read."""
    header = "Receipt,Day,Total,E-mail\n"
    row = "#1001,2026-11-02,100.00,ana@example.com\n"
    for name, text, day in (("again", row, 21), ("anew", row.replace("ana@", "an@"), 22)):
        (reconciled_shop / f"{name}.csv").write_text(header + "\n" * (name == "again") + text)
        bench.ingest("till", reconciled_shop / f"{name}.csv",
                     received_at=datetime(2026, 11, day, tzinfo=UTC))  # fmt: skip

    assert sorted(bench.trace("#1001").tellings.select("file", "record_row", "state").rows()) == [
        ("again.csv", 2, "retold, nothing added"),
        ("anew.csv", 1, "read"),
        ("till.csv", 1, "read until it was told anew"),
    ]


def test_a_file_that_left_and_settings_that_changed_are_said(bench, reconciled_shop):
    """Without the received file there are no columns; under a new layout they are today's."""
    text = (reconciled_shop / "recon.toml").read_text(encoding="utf-8")
    (reconciled_shop / "recon.toml").write_text(
        text.replace('amount = "Total"', 'amount = "Total"\ndescription = "Day"'), encoding="utf-8"
    )
    changed = rk.Workbench(reconciled_shop, clock=lambda: NOW).trace("#1001")
    sha = bench.trace("#1001").tellings["artefact_sha256"].item()
    bench.store.raw_path(sha).unlink()
    gone = bench.trace("#1001")

    (said,) = changed.notes
    assert said == (
        "recon.toml says otherwise of till than when till.csv was read: values and columns are "
        "shown as they would be read today."
    )
    assert gone.fields.is_empty()
    assert gone.notes == (
        "till.csv is not there; run `recon verify --segments`: its columns can no longer be shown.",
    )


def test_a_trace_shows_no_person(bench):
    """Neither the screen, nor the page, nor JSON repeats what a personal field says."""
    view = bench.trace("#1001")
    told = "".join((view.text(), view.html(), str(view.as_dict())))

    assert "ana@" not in told
    assert read_from(view)["email"] == ("E-mail", None)


def test_a_name_that_fits_several_or_nothing_is_explained(bench):
    """Two payments carry 7777 and nothing is called so: each is offered by its key."""
    (bench.folder / "more.csv").write_text(
        "Id,Order,Date,Amount\nc21,7777,2026-11-03,1.00\nc22,7777,2026-11-04,2.00\n"
    )
    bench.ingest("card", bench.folder / "more.csv")
    with pytest.raises(WorkspaceError) as several:
        bench.trace("7777")
    assert re.fullmatch(
        r"2 events carry '7777'; name one by its event key "
        r"\(payment c21 of card: [0-9a-f]{12}, payment c22 of card: [0-9a-f]{12}\)",
        str(several.value),
    )
    with pytest.raises(UnknownNameError, match="no received file, event, match, open item or case"):
        bench.trace("deadbeefdeadbeef")


def test_a_workspace_that_was_never_reconciled_traces_its_events(shop):
    """Where nothing was matched yet, file, row and column are known all the same."""
    bench = rk.Workbench(shop, clock=lambda: NOW)
    bench.ingest("till", shop / "till.csv")
    view = bench.trace("#1004")

    assert view.answer == "order #1004 is read from till.csv, row 4."
    assert (view.standing.height, view.lines) == (0, ())


ORDER = ("shopify.orders_csv", "shopify_orders/orders_79_columns.csv", 1, False)
REFUND = ("shopify.orders_csv", "shopify_orders/orders_79_columns.csv", 1, True)
CHARGE = ("stripe.payout_reconciliation", "stripe_payouts/itemised_all_categories.csv", 1, False)
CLICK = ("google_ads.offline_conversions", "google_ads/conversions_zone_in_file.csv", 1, False)


@pytest.mark.parametrize(
    ("sample", "columns"),
    [
        (ORDER, {"amount": "Total", "refunded_amount": "Refunded Amount", "event_ts": "Created at",
                 "currency": "Currency", "order_id": "Name", "transaction_id": "Payment ID",
                 "status": "Financial Status", "customer_name": "Billing Name",
                 "channel": "Source", "click_id": "Note Attributes"}),
        (REFUND, {"amount": "Refunded Amount", "currency": "Currency", "order_id": "Name",
                  "parent_key": "Name", "transaction_id": "Payment ID"}),
        (CHARGE, {"amount": "gross", "fee": "fee", "net": "net", "event_type": "reporting_category",
                  "native_id": "balance_transaction_id", "transaction_id": "payment_intent_id",
                  "order_id": "payment_metadata[order_id]", "payout_id": "automatic_payout_id",
                  "event_ts": "created_utc", "available_on": "available_on_utc"}),
        (CLICK, {"amount": "Conversion Value", "event_ts": "Conversion Time",
                 "order_id": "Order ID", "click_id": "Google Click ID"}),
    ],
    ids=["order", "refund beside it", "charge", "conversion"],
)  # fmt: skip
def test_the_columns_of_vendors_files_are_found_by_trying(sample, columns):
    """No feed declares its columns: those without which a field would differ are the ones."""
    feed, file, row, derived = sample
    source = Source(name="s", feed=feed)
    found = origin(
        feed_for(source), GOLDEN / file, FeedContext(source, "UTC", file), row, derived=derived
    )
    cells = found.cells.group_by("field", maintain_order=True).agg(pl.col("column"))
    named = dict(cells.rows())

    assert {field: named[field] for field in columns} == {f: [c] for f, c in columns.items()}
