"""Whatever stands in a column of a vendor's file, each of its rows is told or set aside."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from recon_kit import settings
from recon_kit.ingestion.feeds import feed_for
from recon_kit.testing import tell_file

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = {
    "stripe_payouts/itemised_all_categories.csv": "stripe.payout_reconciliation",
    "shopify_orders/orders_reordered_subset.csv": "shopify.orders_csv",
    "google_ads/adjustments.csv": "google_ads.offline_conversions",
    "google_ads/conversions_enhanced_offset.csv": "google_ads.offline_conversions",
}


@pytest.mark.parametrize("cell", ["", "1e3"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_no_cell_makes_a_row_vanish(sample, cell, tmp_path):
    """One column after the other holds nothing, or a number that was rounded: none is lost."""
    lines = (GOLDEN / sample).read_text(encoding="utf-8-sig").splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if "," in line and not line.startswith("#"))
    header, *rows = csv.reader(lines[start:])
    source = settings.Source(name="s", feed=SAMPLES[sample], timezone="UTC")
    path = tmp_path / "changed.csv"

    for column in range(len(header)):
        changed = [[*row[:column], cell, *row[column + 1 :]] for row in rows]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *changed])
        told = tell_file(feed_for(source), path)  # which raises where a row is in no place

        accounted = int(told.events["records"].sum()) + int(told.problems["records"].sum())
        assert accounted == sum(any(row) for row in changed)


def test_a_report_row_without_a_category_is_told(tmp_path):
    """A row that says no category moved its money all the same: it is told as another one."""
    path = tmp_path / "report.csv"
    path.write_text(
        "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category\n"
        "txn_1,2026-03-28 22:30:00,eur,10.00,0.59,9.41,\n",
        encoding="utf-8",
    )
    source = settings.Source(name="stripe", feed="stripe.payout_reconciliation")

    told = tell_file(feed_for(source), path)

    assert told.events.select("event_type", "amount", "net").rows() == [("other", 1_000, 941)]
    assert told.warnings == {"unknown reporting_category; told as type `other`": 1}
