"""The twin's native files: their notation, their overlaps, and that the truth is in them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from recon_kit import settings
from recon_kit.errors import WorkspaceError
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ledger.store import Store
from recon_kit.synth import twin
from recon_kit.synth.twin import Twin

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
SHOPIFY = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,"
    "Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,"
    "Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem compare at price,"
    "Lineitem sku,Lineitem requires shipping,Lineitem taxable,Lineitem fulfillment status,"
    "Billing Name,Billing Street,Billing Address1,Billing Address2,Billing Company,Billing City,"
    "Billing Zip,Billing Province,Billing Country,Billing Phone,Shipping Name,Shipping Street,"
    "Shipping Address1,Shipping Address2,Shipping Company,Shipping City,Shipping Zip,"
    "Shipping Province,Shipping Country,Shipping Phone,Notes,Note Attributes,Cancelled at,"
    "Payment Method,Payment Reference,Refunded Amount,Vendor,Outstanding Balance,Employee,"
    "Location,Device ID,Id,Tags,Risk Level,Source,Lineitem discount,Tax 1 Name,Tax 1 Value,"
    "Tax 2 Name,Tax 2 Value,Tax 3 Name,Tax 3 Value,Tax 4 Name,Tax 4 Value,Tax 5 Name,Tax 5 Value,"
    "Phone,Receipt Number,Duties,Billing Province Name,Shipping Province Name,Payment ID,"
    "Payment Terms Name,Next Payment Due At,Payment References"
)
Row = dict[str, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Twin:
    """A twin of twelve hundred orders."""
    return twin.make(tmp_path_factory.mktemp("twin"), orders=1_200, seed=5)


def rows(path: Path, skip: int = 0, delimiter: str = ",") -> list[Row]:
    """Records of a CSV file by Python's own reader."""
    with path.open(encoding="utf-8", newline="") as lines:
        for _ in range(skip):
            next(lines)
        return list(csv.DictReader(lines, delimiter=delimiter))


def files(made: Twin, source: str, start: str = "") -> list[Path]:
    """Files of a source whose name starts so, oldest first."""
    return [
        made.path(d) for d in made.deliveries
        if d.source == source and Path(d.file).name.startswith(start)
    ]  # fmt: skip


def links(made: Twin, reconciliation: str) -> pl.DataFrame:
    """True pairs of one reconciliation."""
    return pl.read_parquet(made.truth / "links" / f"{reconciliation}.parquet")


def native_ids(made: Twin, source: str) -> set[str]:
    """Ids of rows as the files of a source print them."""
    column, skip, delimiter = {
        "shop": ("Name", 0, ","), "wholesale": ("Document", 0, ";"),
        "stripe_us": ("balance_transaction_id", 0, ","),
        "stripe_eu": ("balance_transaction_id", 0, ","), "bank": ("Bank Reference", 3, ","),
    }[source]  # fmt: skip
    return {r[column] for path in files(made, source) for r in rows(path, skip, delimiter)}


def test_the_manifest_says_what_was_written(made):
    """Every file is listed once with its size, rows and hash, in order of arrival."""
    listed = [d.file for d in made.deliveries]

    assert sorted(listed) == sorted(
        p.relative_to(made.folder).as_posix() for p in made.folder.glob("files/*/*")
    )
    assert [d.received_at for d in made.deliveries] == sorted(
        d.received_at for d in made.deliveries
    )
    assert all(d.as_of <= d.received_at <= made.as_of for d in made.deliveries)
    for d in made.deliveries:
        data = made.path(d).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (d.bytes, d.sha256)
    assert twin.load(made.folder) == made


def test_settings_declare_every_source(made):
    """The twin's `recon.toml` is valid and knows whoever delivers, with an owner each."""
    told = settings.load(made.settings_file)

    assert {s.name for s in told.sources} == {d.source for d in made.deliveries}
    assert all(s.owner for s in told.sources)
    assert [r.name for r in told.reconciliations] == [
        "orders_to_payments", "payments_to_payouts", "payouts_to_bank", "orders_to_conversions",
    ]  # fmt: skip
    assert told.chains[0].name == "order_to_cash"
    assert told.workspace.as_of == made.as_of
    assert told.reconciliation("orders_to_payments").probable.uncertified == "auto"


def test_the_shop_writes_its_79_columns(made):
    """The orders export has the platform's columns in the platform's order, and plain line ends."""
    for path in files(made, "shop"):
        data = path.read_bytes()
        assert data.split(b"\n", 1)[0].decode() == SHOPIFY
        assert b"\r" not in data
    assert len(SHOPIFY.split(",")) == 79


def test_only_the_first_row_of_an_order_is_full(made):
    """Further line items repeat name, mail and time and leave the order's values blank."""
    further = [r for p in files(made, "shop") for r in rows(p) if not r["Id"]]
    first = [r for p in files(made, "shop") for r in rows(p) if r["Id"]]

    assert len(further) > 100
    assert {r["Total"] + r["Financial Status"] + r["Payment Method"] for r in further} == {""}
    assert all(r["Name"] and r["Created at"] and r["Lineitem name"] for r in further)
    assert all(r["Billing Zip"].startswith("'") for r in first)
    assert any("\n" in r["Notes"] for r in first)
    assert {r["Tags"] for r in first if r["Payment Method"] == "bogus"} == {"test"}


def test_refunds_are_told_as_known_at_the_time(made):
    """An order refunded after its month shows nothing then, and its refund in the last export."""
    first = {r["Name"]: r for p in files(made, "shop", "orders_export_2") for r in rows(p)
             if r["Id"]}  # fmt: skip
    changed = [r for p in files(made, "shop", "orders_export_updated") for r in rows(p) if r["Id"]]

    assert changed
    assert all(
        Decimal(r["Refunded Amount"]) > Decimal(first[r["Name"]]["Refunded Amount"])
        for r in changed
    )


def test_the_offset_changes_with_the_clocks(tmp_path):
    """Local times of the shop carry summer's offset before the change and winter's after."""
    autumn = twin.make(tmp_path, orders=200, start=date(2026, 10, 26), days=14)
    told = [r["Created at"] for p in files(autumn, "shop") for r in rows(p) if r["Id"]]

    assert {t[-5:] for t in told if t < "2026-11-01"} == {"-0400"}
    assert {t[-5:] for t in told if t > "2026-11-02"} == {"-0500"}


def test_nets_tie_within_every_row(made):
    """Net is gross less fee in all reports of the processor, and each currency has its decimals."""
    told = [r for s in ("stripe_us", "stripe_eu") for p in files(made, s) for r in rows(p)]
    decimals = {"JPY": 0, "KWD": 3, "BHD": 3}

    assert all(Decimal(r["gross"]) - Decimal(r["fee"]) == Decimal(r["net"]) for r in told)
    for r in told:
        shown, places = r["customer_facing_amount"], r["customer_facing_currency"].upper()
        if shown:
            assert len(shown.partition(".")[2]) == decimals.get(places, 2)


def test_payout_rows_tie_within_their_report(made):
    """A payout row is the negative sum of the nets of the rows that name it in the same file."""
    for path in files(made, "stripe_us", "payout"):
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        payouts = {}
        for r in rows(path):
            if r["reporting_category"] == "payout":
                payouts[r["automatic_payout_id"] or r["source_id"]] = Decimal(r["net"])
            elif r["automatic_payout_id"]:
                sums[r["automatic_payout_id"]] += Decimal(r["net"])
        named = {p: net for p, net in payouts.items() if p in sums}
        assert {p: -net for p, net in named.items()} == dict(sums)


def test_the_european_report_lacks_payout_rows(made):
    """Payouts of that account can only be derived, and the bank received just these sums."""
    told = {r["balance_transaction_id"]: r for p in files(made, "stripe_eu") for r in rows(p)}
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for r in told.values():
        sums[r["automatic_payout_id"]] += Decimal(r["net"])
    bank = {r["Bank Reference"]: r for p in files(made, "bank") for r in rows(p, 3)}
    pairs = links(made, "payouts_to_bank").filter(
        (pl.col("left_source") == "stripe_eu") & ~pl.col("kind").str.starts_with("lump")
    )

    assert "payout" not in {r["reporting_category"] for r in told.values()}
    assert {r["currency"] for r in told.values()} == {"eur"}
    assert pairs.height > 10
    for payout, line in pairs.select("left_native_id", "right_native_id").iter_rows():
        assert sums[payout] == Decimal(bank[line]["Amount"].replace(",", ""))


def test_exports_overlap_with_equal_rows(made):
    """A row that two months tell is the same text in both, column by column."""
    for source, start in (("stripe_us", "payout_reconciliation_itemized_2026-0"),
                          ("stripe_eu", "payout"), ("ads", "offline")):  # fmt: skip
        seen: Counter[tuple[str, ...]] = Counter()
        ids: set[tuple[str, str]] = set()
        for path in files(made, source, start):
            if "restated" in path.name:
                continue
            for r in rows(path, 1 if source == "ads" else 0):
                seen[tuple(r.values())] += 1
                ids.add((r.get("balance_transaction_id") or r["Google Click ID"],
                         r.get("Conversion Time", "")))  # fmt: skip
        # the week told again had its order ids hidden before, and is left out here
        assert max(seen.values()) == 2
        assert len(ids) == len(seen)


def test_the_restated_week_fills_in_order_ids(made):
    """Told again, a week differs in the order id alone, where it was blank before."""
    july = files(made, "stripe_us", "payout_reconciliation_itemized_2026-07")[0]
    first = {r["balance_transaction_id"]: r for r in rows(july)}
    again = next(p for p in files(made, "stripe_us") if "restated" in p.name)
    key = "payment_metadata[order_id]"
    differ = [(first[r["balance_transaction_id"]], r) for r in rows(again)
              if first[r["balance_transaction_id"]] != r]  # fmt: skip

    assert differ
    assert all(old[key] == "" and new[key] for old, new in differ)
    assert all({**old, key: new[key]} == new for old, new in differ)


def test_wholesale_and_bank_have_their_own_notation(made):
    """Semicolons and decimal commas there; title lines and grouped thousands here."""
    wholesale = files(made, "wholesale")[0].read_text(encoding="utf-8")
    statement = files(made, "bank")[0].read_text(encoding="utf-8").splitlines()

    assert re.search(r"^WS-000001;INV-20417;06\.07\.2026;", wholesale, re.MULTILINE)
    assert re.search(r";\d\.\d{3},\d{2};", wholesale)
    assert wholesale.splitlines()[-1].startswith("Total;")
    assert statement[0] == "Statement of accounts,2026-07"
    assert statement[3].startswith("Booking Date,")
    assert any(re.search(r'"-?\d{1,3},\d{3}\.\d{2}"', line) for line in statement)


@pytest.mark.parametrize(
    "reconciliation", ["orders_to_payments", "payments_to_payouts", "payouts_to_bank"]
)
def test_every_true_link_is_in_the_files(made, reconciliation):
    """Both ends of a true pair stand in a file under the id that the truth gives them."""
    pairs = links(made, reconciliation)
    payouts = {r["automatic_payout_id"] for p in files(made, "stripe_eu") for r in rows(p)}

    assert pairs.height > 30
    assert not pairs.is_duplicated().any()
    for side in ("left", "right"):
        for source, told in pairs.group_by(f"{side}_source"):
            known = native_ids(made, str(source[0]))
            known |= payouts if source[0] == "stripe_eu" else set()
            assert set(told[f"{side}_native_id"]) <= known


def test_conversions_stand_where_the_truth_says(made):
    """File and row lead to the conversion of the order that it names."""
    places = pl.read_parquet(made.truth / "places.parquet")
    pairs = links(made, "orders_to_conversions").filter(pl.col("kind") == "order_id")
    both = pairs.join(places, left_on="right_native_id", right_on="native_id")
    told = {d.file: rows(made.path(d), 1) for d in made.deliveries if d.source == "ads"}

    assert both.height > 50
    assert [told[f][row - 1]["Order ID"] for f, row in both.select("file", "row").iter_rows()] == (
        both["left_native_id"].to_list()
    )


def test_all_files_can_be_read_without_loss(made, tmp_path):
    """The product reads every file: nothing is quarantined, and only overlaps are duplicates."""
    told = settings.load(made.settings_file)
    store = Store.create(tmp_path / "store", created_at=made.deliveries[0].received_at)
    receipts = [
        ingest_file(
            store, told.source(d.source), made.path(d), received_at=d.received_at, as_of=d.as_of,
            workspace_timezone=told.workspace.timezone,
        )
        for d in made.deliveries
    ]  # fmt: skip

    assert sum(r.counts.quarantined for r in receipts) == 0
    assert sum(r.counts.conflict for r in receipts) == 0
    assert sum(r.counts.physical - r.counts.blank for r in receipts) == sum(
        d.records for d in made.deliveries
    )
    assert sum(r.counts.duplicate for r in receipts) > 50


def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(made, tmp_path):
    """One thread or two, in another process: the same files; another seed: other files."""
    for threads in ("1", "2"):
        target = str(tmp_path / threads)
        script = (
            "import sys; from pathlib import Path; from recon_kit.synth import twin; "
            "twin.make(Path(sys.argv[1]), orders=1_200, seed=5)"
        )
        subprocess.run(
            [sys.executable, "-c", script, target], check=True,
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            cwd=Path(__file__).resolve().parent.parent,
        )  # fmt: skip
        same = twin.load(Path(target))
        assert [d.sha256 for d in same.deliveries] == [d.sha256 for d in made.deliveries]
    other = twin.make(tmp_path / "other", orders=1_200, seed=6)

    assert {d.sha256 for d in other.deliveries}.isdisjoint(d.sha256 for d in made.deliveries)


def test_the_tracked_sample_is_made_again_byte_by_byte(tmp_path):
    """`data/sample` is what its own manifest's arguments make; its truth has the same content."""
    told = twin.load(SAMPLE)
    again = twin.make(tmp_path, orders=told.orders, seed=told.seed, start=told.start,
                      days=told.days)  # fmt: skip

    def contents(folder: Path) -> dict[str, bytes]:
        found = [*folder.glob("files/*/*"), folder / "recon.toml", folder / "manifest.json"]
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}

    assert contents(again.folder) == contents(SAMPLE)
    for path in sorted(SAMPLE.glob("truth/**/*.parquet")):
        same = pl.read_parquet(again.folder / path.relative_to(SAMPLE))
        assert same.equals(pl.read_parquet(path)), path.name
    assert sum(len(data) for data in contents(SAMPLE).values()) < 600_000


def test_no_twin_is_an_error_with_a_remedy(tmp_path):
    """A folder without manifest, and a world too small, are refused in words."""
    with pytest.raises(WorkspaceError, match=r"holds no manifest\.json.*recon demo"):
        twin.load(tmp_path)
    with pytest.raises(WorkspaceError, match="at least 20 orders and one day, not 5 and 84"):
        twin.make(tmp_path, orders=5)


def test_the_manifest_is_plain_json(made):
    """Machines without this package can follow the order of arrival."""
    told = json.loads((made.folder / "manifest.json").read_text(encoding="utf-8"))

    assert told["deliveries"][0]["source"] == "shop"
    assert told["deliveries"][0]["received_at"] == "2026-08-01T06:00:00+00:00"
    assert "no person" in told["what"]
