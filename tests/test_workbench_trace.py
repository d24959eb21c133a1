"""Where did it go: every record of a file is accounted for, to the cent."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

import recon_kit as rk
from recon_kit.cli import main
from recon_kit.errors import (
    CountsDoNotTieError,
    FileRejectedError,
    UnknownNameError,
    WorkspaceError,
)
from recon_kit.ingestion import trace

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BROKEN = """Receipt,Day,Total,E-mail
#1001,2026-11-02,100.00,ana@example.com
#1001,2026-11-02,100.00,ana@example.com

#1002,2026-11-03,25.50,bo@example.com
#1003,04/11/2026,9.90,cy@example.com
#1004,2026-11-19,forty,di@example.com
"""


@pytest.fixture
def bench(shop):
    (shop / "broken.csv").write_text(BROKEN, encoding="utf-8")
    opened = rk.Workbench(shop, clock=lambda: NOW)
    opened.ingest("till", shop / "broken.csv")
    return opened


def ends(view):
    return view.frame.select("record_row", "state", "native_id", "amount").rows()


def test_every_record_has_one_end_state(bench):
    """Six records: two events, one repeat, one blank line, two rows set aside with their reason."""
    view = bench.trace("broken.csv")

    assert ends(view) == [
        (1, "accepted", "#1001", "100.00 EUR"),
        (2, "duplicate", "#1001", "100.00 EUR"),
        (4, "accepted", "#1002", "25.50 EUR"),
        (5, "quarantined", None, None),
        (6, "quarantined", None, None),
    ]
    assert view.notes == (
        "6 records = 2 accepted + 1 duplicate + 0 conflict + 2 quarantined + 1 blank.",
        "accepted: 2 tellings, 125.50 EUR",
        "duplicate: 1 telling, 100.00 EUR",
    )


def test_a_repeat_names_what_it_repeats(bench):
    """The second telling of #1001 points at the first one's file and row."""
    rows = bench.trace("broken.csv").frame

    assert rows.filter(pl.col("state") == "duplicate")["note"].to_list() == [
        "said first in broken.csv, row 1"
    ]


def mend(shop, old, new):
    """Change the workspace's settings."""
    text = (shop / "recon.toml").read_text(encoding="utf-8")
    assert old in text
    (shop / "recon.toml").write_text(text.replace(old, new), encoding="utf-8")


BOTH_DATES = ('date_formats = ["%Y-%m-%d"]', 'date_formats = ["%Y-%m-%d", "%d/%m/%Y"]')


def test_a_corrected_layout_repairs_quarantine_without_counting_twice(bench, shop):
    """The same bytes under a mended layout: one row becomes an event, the others are known."""
    mend(shop, *BOTH_DATES)
    again = rk.Workbench(shop, clock=lambda: NOW)

    receipt = again.ingest("till", shop / "broken.csv").receipts[0]

    assert receipt.counts.as_tuple() == (6, 1, 3, 0, 1, 1)
    view = again.trace("broken.csv")
    assert [row[:3] for row in ends(view)] == [
        (1, "accepted before", "#1001"),
        (2, "duplicate", "#1001"),
        (4, "accepted before", "#1002"),
        (5, "repaired", "#1003"),
        (6, "quarantined", None),
    ]
    assert view.frame["note"][3] == "quarantined before as time_unreadable"
    assert view.notes[1:] == (
        "accepted before: 2 tellings, 125.50 EUR",
        "duplicate: 1 telling, 100.00 EUR",
        "repaired: 1 telling, 9.90 EUR",
    )
    profile = again.profile("till")
    assert profile.frame.select("files", "events", "quarantined").rows() == [(1, 3, 1)]
    assert len([n for n in profile.notes if n.startswith("quarantined: broken.csv, row")]) == 1


def test_quarantine_is_repaired_from_the_command_line(shop, capsys):
    """Money by currency: 125.50 before, 9.90 more after, and the rest has its reason."""
    (shop / "broken.csv").write_text(BROKEN, encoding="utf-8")

    def recon(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in (*arguments, "-w", shop)])
        return end.value.code, capsys.readouterr().out

    def money_told():
        with rk.Workbench(shop).store.snapshot().engine() as engine:
            return engine.rows("select currency, sum(amount)::bigint from events group by 1").rows()

    code, said = recon("ingest", "till", shop / "broken.csv")
    assert code == 5
    assert "1 quarantined, first row 5: [time_unreadable] in 'event_ts'" in said
    assert "add its own to `date_formats`" in said
    assert money_told() == [("EUR", 12_550)]
    mend(shop, *BOTH_DATES)
    assert recon("ingest", "till", shop / "broken.csv")[0] == 5
    assert money_told() == [("EUR", 13_540)]
    forty = 'amount = { column = "Total", map = { forty = "40.00" } }'
    mend(shop, 'amount = "Total"', forty)
    assert recon("ingest", "till", shop / "broken.csv")[0] == 0
    assert money_told() == [("EUR", 17_540)]
    _, told = recon("trace", "broken.csv")
    assert "6 records = 1 accepted + 4 duplicate + 0 conflict + 0 quarantined + 1 blank." in told
    assert "repaired: 1 telling, 40.00 EUR" in told


def test_a_layout_that_would_count_known_rows_twice_is_refused(bench, shop):
    """Another id for rows that were told is no repair: nothing is committed, the way is told."""
    mend(shop, 'native_id = "Receipt"', 'native_id = "E-mail"')
    again = rk.Workbench(shop, clock=lambda: NOW)

    with pytest.raises(FileRejectedError, match="would be told as other events") as refusal:
        again.ingest("till", shop / "broken.csv")

    assert "(2, the first of row 1)" in str(refusal.value)
    assert "recon replay --into FOLDER" in str(refusal.value)
    assert again.profile("till").frame["events"].to_list() == [2]


def test_a_restated_row_names_the_first_telling(bench, shop):
    """An order whose e-mail changed is told anew; its amount counts once."""
    (shop / "later.csv").write_text(
        "Receipt,Day,Total,E-mail\n#1002,2026-11-03,25.50,bob@example.com\n", encoding="utf-8"
    )
    bench.ingest("till", shop / "later.csv", received_at=datetime(2026, 11, 21, tzinfo=UTC))

    row = bench.trace("later.csv").frame.row(0, named=True)

    assert (row["state"], row["note"]) == ("restated", "told first in broken.csv, row 4")


def test_trace_says_where_an_event_stands_today(bench, shop):
    """After a run each event tells in which reconciliation it is matched or open."""
    bench.ingest("card", shop / "card.csv")
    bench.reconcile()

    now = dict(bench.trace("broken.csv").frame.select("native_id", "now").drop_nulls().rows())

    assert now == {
        "#1001": "orders_to_payments: matched (exact, auto)",
        "#1002": "orders_to_payments: matched (exact, auto)",
    }


def test_a_file_is_found_by_digest_and_by_its_bytes(bench, shop):
    """The first digits of the sha256, or any copy of the file, name it as well."""
    sha = bench.store.batches()["artefact_sha256"].item()
    copy = shop / "elsewhere.txt"
    copy.write_bytes((shop / "broken.csv").read_bytes())

    assert ends(bench.trace(sha[:8])) == ends(bench.trace(copy)) == ends(bench.trace("broken.csv"))


def test_an_unknown_file_is_named_with_the_nearest(bench):
    """A misspelt name points at the known ones."""
    with pytest.raises(UnknownNameError, match=r"did you mean 'broken\.csv'"):
        bench.trace("brokn.csv")


def test_two_files_of_one_name_must_be_told_apart(bench, shop):
    """Where a name was used twice, the digests are offered."""
    (shop / "broken.csv").write_text("Receipt,Day,Total,E-mail\n#9,2026-11-03,1.00,\n")
    bench.ingest("till", shop / "broken.csv")

    with pytest.raises(WorkspaceError, match=r"2 received files are called 'broken\.csv'"):
        bench.trace("broken.csv")


def test_rows_that_do_not_add_up_to_the_receipt_are_an_error(bench):
    """A receipt that promises more than the ledger holds is never papered over."""
    batch = bench.store.batches().row(0, named=True)
    counts = {"physical": 7, "accepted": 3, "duplicate": 1, "conflict": 0, "quarantined": 2,
              "blank": 1}  # fmt: skip

    with (
        bench.store.snapshot().engine(batch=batch["seq"]) as engine,
        pytest.raises(CountsDoNotTieError, match="accepted 2 instead of 3"),
    ):
        trace.trace(engine, counts)
