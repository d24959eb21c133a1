"""Real labelled data through the command line, as a new analyst would bring it."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
import shared_data
from command import recon
from shared_data import Scored, exported, shared, workspace

from recon_kit.workbench.bench import Workbench

pytestmark = pytest.mark.shared


def counts(frame, *columns):
    """Rows by the values of some columns."""
    return {tuple(row[:-1]): row[-1] for row in frame.group_by(*columns).len().iter_rows()}


# --- transactions: no key, no label ----------------------------------------------------------


@pytest.fixture(scope="module")
def transactions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transactions")
    files = shared_data.hide_transactions(folder)
    return workspace(folder, shared_data.TRANSACTIONS, files)


@pytest.mark.slow
def test_transactions_without_keys_are_found(transactions):
    """45,326 pairs without key or label: nearly all are found, hardly any is wrong."""
    matches = exported(transactions, "matches", "origin_to_destination")
    auto = matches.filter(pl.col("disposition") == "auto")

    assert set(counts(matches, "method", "disposition")) == {
        ("probable", "auto"),
        ("probable", "review"),
    }
    sure = shared_data.row_score(transactions, auto)
    asked = shared_data.row_score(transactions, matches)
    assert sure.precision >= 0.995
    assert sure.f1 >= 0.985
    assert asked.f1 >= 0.99


@pytest.mark.slow
def test_transactions_stand_once_and_everywhere(transactions):
    """No row is in two auto matches, and each row is matched, proposed or open."""
    matches = exported(transactions, "matches", "origin_to_destination")
    items = exported(transactions, "open-items", "origin_to_destination")

    for side in ("left", "right"):
        auto = matches.filter(pl.col("disposition") == "auto")[f"{side}_row"]
        asked = matches.filter(pl.col("disposition") == "review")[f"{side}_row"]
        alone = items.filter(pl.col("match_id").is_null(), pl.col("side") == side)["row"]
        assert auto.n_unique() == auto.len()
        assert set(auto).isdisjoint(alone)
        assert set(asked) <= set(alone)
        assert len(set(auto) | set(alone)) == 45_326


# --- a register of people: no key, no amount, no time ------------------------------------------


@pytest.fixture(scope="module")
def register(tmp_path_factory):
    folder = tmp_path_factory.mktemp("register")
    files = shared_data.hide_febrl4(folder)
    return workspace(folder, shared_data.FEBRL4, files)


@pytest.mark.slow
def test_people_of_a_register_are_found(register):
    """5,000 people told twice with errors, without label: 99 in 100 are found, and rightly."""
    matches = exported(register, "matches", "original_to_copy")
    auto = matches.filter(pl.col("disposition") == "auto")
    sides = ("original", "copy")

    assert shared_data.row_score(register, auto, sides).precision >= 0.999
    assert shared_data.row_score(register, auto, sides).f1 >= 0.99
    assert shared_data.row_score(register, matches, sides).f1 >= 0.995


# --- jaffle shop: orders without amounts -----------------------------------------------------


@pytest.fixture(scope="module")
def jaffle(tmp_path_factory):
    data = shared("data/jaffle_shop_classic")
    files = {name: data / f"{name}.csv" for name in ("raw_orders", "raw_payments")}
    return workspace(tmp_path_factory.mktemp("jaffle"), shared_data.JAFFLE, files)


def test_every_jaffle_order_has_its_payments(jaffle):
    """99 orders and 113 payments: all pairs of the payments' own column, and no other."""
    matches = exported(jaffle, "matches", "orders_to_payments")
    payments = pl.read_csv(shared("data/jaffle_shop_classic/raw_payments.csv"), infer_schema=False)
    truth = set(payments.select("order_id", "id").iter_rows())
    said = set(matches.select("left_native_id", "right_native_id").iter_rows())

    found = Scored(matches.height, len(said & truth), len(truth))
    assert found == Scored(113, 113, 113)
    assert matches["left_native_id"].n_unique() == 99
    assert counts(matches, "method", "disposition", "relation", "discrepancy") == {
        ("exact", "auto", "pays", '["no_amount"]'): 113
    }
    assert exported(jaffle, "open-items", "orders_to_payments").height == 0


def test_jaffle_payments_keep_their_money(jaffle, capsys):
    """What the pairs say was paid is the file's total, 1,672.00, and so is what the matches say."""
    pairs = exported(jaffle, "matches", "orders_to_payments")
    cents = pl.col("right_amount").str.replace(".", "", literal=True).cast(pl.Int64)
    capsys.readouterr()
    assert recon("matches", "--json", "-w", jaffle) == 0
    matches = json.loads(capsys.readouterr().out)["rows"]

    assert pairs.select(cents.sum()).item() == 167_200
    assert sum(match["right_sum"] for match in matches) == 167_200
    assert {match["currency"] for match in matches} == {"USD"}


# --- lerian: a bank statement against a ledger -----------------------------------------------


@pytest.fixture(scope="module")
def lerian(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lerian")
    return workspace(folder, shared_data.LERIAN, shared_data.hide_lerian(folder))


def bank_truth():
    return shared_data.lerian_table("bank-statement").select(
        "bank_entry_id", "reference", bank_scenario="scenario"
    )


def ledger_truth():
    return shared_data.lerian_ledger().select(
        "ledger_entry_id", ledger_reference="reference", ledger_scenario="scenario"
    )


def test_lerian_pairs_share_their_reference(lerian):
    """All 790 bank lines with a reference in the ledger are matched or proposed; none is wrong."""
    matches = exported(lerian, "matches", "ledger_to_bank")
    named = matches.join(bank_truth(), left_on="right_native_id", right_on="bank_entry_id").join(
        ledger_truth(), left_on="left_native_id", right_on="ledger_entry_id"
    )

    right = named.filter(pl.col("reference") == pl.col("ledger_reference")).height
    assert Scored(matches.height, right, 790) == Scored(789, 789, 790)
    assert counts(matches, "method", "disposition") == {
        ("exact", "auto"): 787,
        ("exact", "review"): 2,
    }
    assert matches["match_id"].n_unique() == 761


def test_lerian_scenarios_are_told_apart(lerian):
    """What the file's author meant by a line is what the product says of it."""
    matches = exported(lerian, "matches", "ledger_to_bank").join(
        bank_truth(), left_on="right_native_id", right_on="bank_entry_id"
    )
    role = pl.when(pl.col("right_role") == "duplicate").then(pl.lit("duplicate"))
    matches = matches.with_columns(said=role.otherwise("discrepancy"))

    assert counts(matches, "bank_scenario", "disposition", "said") == {
        ("bank_statement_match_candidate", "auto", None): 694,
        ("bank_statement_match_candidate", "auto", '["duplicate"]'): 11,
        ("bank_statement_match_candidate", "auto", "duplicate"): 17,
        ("duplicate_bank_line", "auto", '["duplicate"]'): 17,
        ("duplicate_bank_line", "auto", "duplicate"): 11,
        ("duplicate_bank_line", "auto", None): 1,
        ("duplicate_bank_line", "review", "ambiguous"): 1,
        ("amount_tolerance_candidate", "auto", None): 17,
        ("amount_tolerance_candidate", "review", "ambiguous"): 1,
        ("amount_mismatch_outside_tolerance", "auto", '["amount_mismatch"]'): 10,
        ("missing_e2e_uses_reference_fallback", "auto", None): 9,
    }


def test_lerian_lines_without_a_counterpart_stay_open(lerian):
    """Fees, lines of the bank only and entries of the ledger only are open, none is matched."""
    items = exported(lerian, "open-items", "ledger_to_bank")
    alone = items.filter(pl.col("match_id").is_null())
    bank = alone.join(bank_truth(), left_on="native_id", right_on="bank_entry_id")
    ledger = alone.join(ledger_truth(), left_on="native_id", right_on="ledger_entry_id")

    assert counts(bank, "bank_scenario", "state") == {
        ("bank_fee_only", "overdue"): 45,
        ("bank_fee_only", "not_covered"): 5,
        ("bank_only_unmatched", "overdue"): 140,
        ("bank_only_unmatched", "not_covered"): 20,
        ("amount_mismatch_outside_tolerance", "overdue"): 1,
        ("amount_tolerance_candidate", "proposed"): 1,
        ("duplicate_bank_line", "proposed"): 1,
    }
    assert counts(ledger, "ledger_scenario") == {
        ("ledger_only",): 120,
        ("missing_e2e_uses_reference_fallback",): 20,
        ("ledger_bank_candidate",): 101,
    }
    assert items.filter(pl.col("match_id").is_not_null()).height == 10


def test_lerian_cases_by_kind(lerian):
    """Each kind of trouble is a case of its kind; what is not covered is none."""
    cases = exported(lerian, "cases", "ledger_to_bank")

    assert counts(cases, "kind", "class") == {
        ("missing_right", "B"): 220,
        ("missing_left", "B"): 186,
        ("duplicate", "A"): 28,
        ("rounding", "A"): 17,
        ("amount_mismatch", "C"): 8,
        ("ambiguous", "C"): 1,
    }


def test_lerian_adjustments_hang_on_their_entries(lerian):
    """500 adjustments name an entry and 500 do not; an adjustment never equals its entry."""
    truth = shared_data.lerian_table("bank-adjustments").select("adjustment_id", "scenario")
    matches = exported(lerian, "matches", "ledger_to_adjustments")
    items = exported(lerian, "open-items", "ledger_to_adjustments")
    matched = matches.join(truth, left_on="right_native_id", right_on="adjustment_id")
    alone = items.join(truth, left_on="native_id", right_on="adjustment_id")

    assert counts(matched, "scenario", "disposition", "discrepancy") == {
        ("adjustment_links_to_ledger_and_bank", "auto", '["amount_mismatch"]'): 500
    }
    assert counts(alone, "scenario") == {
        ("adjustment_only_unmatched",): 350,
        ("bank_fee_adjustment",): 150,
    }


# --- native files: profile, then ingest by the block that it prints --------------------------

BANK, STRIPE = "data/native_samples/bank_csv/", "data/native_samples/stripe/"
SHOPIFY, SMASHPIG = "samples/shopify/shopify_python_api__", "samples/stripe/SmashPig__"
MINOR = ('decimal = "."', 'unit = "minor"\ndecimal = "."')
REPORT = "stripe.payout_reconciliation"

# file, what a person changes in the printed block, feed, records, minor units by type and currency
# (payouts of a report that has no rows for them are the sums of its nets)
TAKEN = [
    (BANK + "bank-statement-import__balance.csv", None, "table", 2,
     {("bank_line", "USD"): 150_000}),
    (BANK + "bank-statement-import__debit_credit.csv", None, "table", 2,
     {("bank_line", "USD"): -150_000}),
    (BANK + "bank-statement-import__multi_currency.csv", None, "table", 2,
     {("bank_line", "USD"): -3_350, ("bank_line", "EUR"): 152_500}),
    (BANK + "bank-statement-import__sample_statement_en.csv", None, "table", 2,
     {("bank_line", "USD"): -3_350, ("bank_line", "EUR"): 152_500}),
    (BANK + "bankstatementparser__csv_french_headers.csv", None, "table", 3,
     {("bank_line", "EUR"): 226_094}),
    (BANK + "bankstatementparser__csv_spanish_headers.csv", None, "table", 3,
     {("bank_line", "EUR"): 226_094}),
    (BANK + "bankstatementparser__sample_split_amounts.csv", None, "table", 2,
     {("bank_line", "EUR"): 105_025}),
    (BANK + "beancount-import__bank.csv", None, "table", 7, {("bank_line", "USD"): -23_000}),
    (BANK + "hledger__csb43.csv", None, "table", 2, {("bank_line", "EUR"): 100_000}),
    (STRIPE + "dbt-stripe__charge_data.csv", MINOR, "table", 16,
     {("other", "USD"): 6_677_696}),  # each was declined
    (STRIPE + "dbt-stripe__refund_data.csv", MINOR, "table", 4,
     {("refund", "USD"): -2_391_421}),
    (STRIPE + "dbt-stripe__customer_data.csv", None, "table", 12, {("other", "USD"): None}),
    (STRIPE + "hledger__stripe.csv", None, REPORT, 2,
     {("payment", "USD"): 1_200, ("refund", "USD"): -77}),
    ("data/native_samples/shopify/dbt-shopify__shopify_order_data.csv", None, "table", 8,
     {("order", "GBP"): 1_198, ("order", "USD"): 61_503}),
    (SHOPIFY + "order.json", None, "table", 1, {("order", "USD"): 40_994}),
    (SHOPIFY + "payouts.json", None, "table", 6,
     {("payout", "USD"): 17_004, ("other", "USD"): 4_312, ("payout", "CAD"): 5_169}),  # one failed
    # 59.75 in all, each row by the word that it carries; a payout is told as what arrives
    (SHOPIFY + "payouts_transactions.json", None, "table", 25,
     {("payment", "USD"): 7_750, ("refund", "USD"): -1_350, ("chargeback", "USD"): -1_150,
      ("adjustment", "USD"): -85, ("payout", "USD"): 4_190, ("reserve", "USD"): 0,
      ("other", "USD"): 5_000}),
    (SHOPIFY + "refund.json", None, "table", 1, {("refund", "USD"): None}),
    (SHOPIFY + "tender_transactions.json", None, "table", 3, {("payment", "CAD"): 29_478}),
    (SHOPIFY + "transactions.json", None, "table", 1, {("payment", "USD"): 40_994}),
    (SMASHPIG + "payments_activity.csv", None, REPORT, 2,
     {("payment", "USD"): 3_000, ("chargeback", "USD"): -3_000, ("payout", "USD"): -1_620}),
    (SMASHPIG + "settlement_report.csv", None, REPORT, 7,
     {("payment", "USD"): 3_500, ("refund", "USD"): -1_000, ("fee", "USD"): -100,
      ("chargeback", "USD"): 335, ("payout", "USD"): 2_400}),
    (SMASHPIG + "settlement_report_with_customer_data.csv", None, REPORT, 3,
     {("payment", "USD"): 3_500, ("fee", "USD"): -50, ("payout", "USD"): 3_355}),
    ("samples/stripe/pay__charge.refunded.json", MINOR, "table", 1, {("payment", "USD"): 1_500}),
    ("samples/stripe/pay__charge.succeeded.json", MINOR, "table", 1, {("payment", "USD"): 500}),
    ("samples/stripe/pay__checkout.session.completed.json", None, "table", 1,
     {("payment", "USD"): 1_900}),
]  # fmt: skip

REFUSED = [
    (
        BANK + "bank-statement-import__sample_statement_en.xlsx",
        "the file is an Excel workbook (XLSX) [format_mismatch]. Save it as CSV.",
    ),
]


@pytest.mark.parametrize("row", TAKEN, ids=lambda row: row[0].rpartition("/")[2])
def test_a_native_file_is_taken_in_by_its_printed_block(tmp_path, capsys, row):
    """`recon profile` prints a block with which every record of the file becomes an event."""
    file, edit, feed, records, money = row
    path = shared(file)
    assert recon("profile", path, "--json") == 0
    block = json.loads(capsys.readouterr().out)["layout"]
    block = block.replace(*edit) if edit else block
    source = re.search(r'^name = "(.+)"$', block, re.MULTILINE)[1]
    settings = f'[workspace]\nname = "native"\ntimezone = "UTC"\n\n{block}'
    (tmp_path / "recon.toml").write_text(settings, encoding="utf-8")

    assert recon("ingest", source, path, "--json", "-w", tmp_path) == 0
    receipt = json.loads(capsys.readouterr().out)["files"][0]

    assert f'feed = "{feed}"' in block
    ended = {n: receipt[n] for n in ("accepted", "duplicate", "conflict", "quarantined", "blank")}
    assert ended == {
        "accepted": records, "duplicate": 0, "conflict": 0, "quarantined": 0, "blank": 0,
    }  # fmt: skip
    assert receipt["physical"] == records
    assert totals(tmp_path) == money
    lacking = any(kind == "refund" and minor is None for (kind, _), minor in money.items())
    assert ("money that moved without an amount" in (receipt["note"] or "")) == lacking


def totals(folder):
    """Minor units by type and currency of the events in a workspace."""
    with Workbench(folder).store.snapshot().engine() as engine:
        rows = engine.rows(
            "select event_type, currency, sum(amount)::bigint as minor from events group by all"
        )
    return {(kind, currency): minor for kind, currency, minor in rows.iter_rows()}


@pytest.mark.parametrize(("file", "message"), REFUSED, ids=["xlsx"])
def test_a_file_that_is_no_table_is_refused_with_the_way_out(capsys, file, message):
    """What cannot be read is refused at once, by name, reason and remedy."""
    assert recon("profile", shared(file)) == 1
    assert message in capsys.readouterr().err


def test_every_native_file_is_in_the_tables():
    """No sample of a shop, a processor or a bank is left out."""
    folders = (
        "samples/shopify", "samples/stripe", "data/native_samples/stripe",
        "data/native_samples/shopify", "data/native_samples/bank_csv",
    )  # fmt: skip
    found = {
        f"{folder}/{path.name}"
        for folder in folders
        for path in shared(folder).iterdir()
        if path.suffix != ".md"
    }
    assert {row[0] for row in (*TAKEN, *REFUSED)} == found
