"""Every case of the catalogue of bad input (`bad_input`), through reader, feed, gate and ledger."""

from __future__ import annotations

import ast
import os
from datetime import UTC, datetime
from pathlib import Path

import bad_input
import pytest
from bad_input import CASES, CATALOGUE, HELD, NO_FEED_YET, QUIRKS

from recon_kit.errors import FileRejectedError, ReconError
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ledger.store import Store

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TESTS = Path(__file__).resolve().parent


class Desk:
    """One real ledger for all cases, each under a source of its own."""

    def __init__(self, folder):
        self.folder, self.sources = folder, 0
        self.store = Store.create(folder / "store", created_at=NOW)

    def take(self, case):
        """Ingest the files of a case in order; the receipt of the last."""
        self.sources += 1
        source = case.named_source(f"source_{self.sources}")
        for number, data in enumerate((*case.before, case.file)):
            path = self.folder / f"{source.name}_{number}.csv"
            path.write_bytes(data)
            receipt = ingest_file(
                self.store, source, path, workspace_timezone="UTC", received_at=NOW
            )
        return receipt

    def batch(self, receipt, what):
        """Rows of a batch, in the order of the file."""
        with self.store.snapshot().engine(batch=receipt.batch_seq, threads=1) as engine:
            return engine.rows(f"select * from batch_{what} order by record_row, records desc")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """An empty ledger."""
    return Desk(tmp_path_factory.mktemp("bad_input"))


def cases(answer):
    """The cases with one answer, each named as the catalogue names it."""
    return [pytest.param(case, id=case.id) for case in CASES if case.answer == answer]


@pytest.mark.parametrize("case", cases("refused"))
def test_the_file_is_refused(desk, case):
    """Nothing is committed; the message names file, code, what is wrong and the way out."""
    before = desk.store.snapshot().seq
    with pytest.raises(ReconError) as refusal:
        desk.take(case)
    message = str(refusal.value)

    assert case.says in message
    assert len(message) < 1_000
    assert desk.store.snapshot().seq == before
    if case.code:
        assert isinstance(refusal.value, FileRejectedError)
        assert message.startswith(f"source_{desk.sources}_0.csv: ")
        assert f"[{case.code}]. " in message
        assert message.endswith(". Nothing was committed.")


@pytest.mark.parametrize("case", cases("set aside"))
def test_the_row_is_set_aside(desk, case):
    """The row is kept with number, code, message and raw line; the others go on; counts tie."""
    receipt = desk.take(case)
    quarantine = desk.batch(receipt, "quarantine")

    assert quarantine["code"].unique().to_list() == [case.code]
    assert case.says in quarantine["message"][0]
    assert quarantine["raw_line"].null_count() == 0
    assert receipt.events == case.events
    assert receipt.counts.tie
    assert receipt.counts.as_tuple() == (case.counts or receipt.counts.as_tuple())
    first = quarantine["record_row"][0]
    assert f"quarantined, first row {first}: [{case.code}]" in receipt.warnings[0]
    assert quarantine["message"][0] in receipt.warnings[0]


@pytest.mark.parametrize("case", cases("warned"))
def test_the_file_is_accepted_with_a_warning(desk, case):
    """Everything that can be read is taken, and the receipt says what was odd."""
    receipt = desk.take(case)

    assert case.says in "; ".join(receipt.warnings)
    assert receipt.events == case.events
    assert receipt.counts.tie
    assert receipt.counts.as_tuple() == (case.counts or receipt.counts.as_tuple())
    assert told(desk, receipt, case) == case.told


@pytest.mark.parametrize("case", cases("read"))
def test_the_file_is_read(desk, case):
    """No row is lost, nothing is said, and the last event says what its row meant."""
    receipt = desk.take(case)

    assert (receipt.events, receipt.counts.quarantined, receipt.warnings) == (case.events, 0, ())
    assert receipt.counts.tie
    assert receipt.counts.as_tuple() == (case.counts or receipt.counts.as_tuple())
    assert told(desk, receipt, case) == case.told


@pytest.mark.parametrize("case", cases("again"))
def test_what_was_told_before_is_counted_as_such(desk, case):
    """Duplicates, restatements and conflicts are told apart, and nothing counts twice."""
    receipt = desk.take(case)

    assert receipt.counts.as_tuple() == case.counts
    assert case.says in "; ".join(receipt.warnings)


def told(desk, receipt, case):
    """The fields that a case speaks of, of its last event."""
    if not case.told:
        return {}
    event = desk.batch(receipt, "events").row(-1, named=True)
    found = {name: event[name] for name in case.told}
    return {
        name: f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if name == "event_ts" else value
        for name, value in found.items()
    }


def numbers(kind):
    """Numbers of the catalogue (int) or of the groups of quirks ("quirk N") that have a case."""
    named = {case.number for case in CASES} | set(HELD)
    return {n for n in named if isinstance(n, kind)}


def test_every_number_of_the_catalogue_has_a_case():
    """98 numbers and 22 groups of quirks: a file in the table, or named tests elsewhere."""
    assert set(CATALOGUE) == set(range(1, 99)) == numbers(int)
    assert {f"quirk {n}" for n in QUIRKS} == {f"quirk {n}" for n in range(1, 23)}
    assert {n for n in numbers(str) if n.startswith("quirk")} == {f"quirk {n}" for n in QUIRKS}
    assert set(NO_FEED_YET) <= {case.number for case in CASES}


def test_every_test_that_holds_a_number_exists():
    """A test that was renamed or dropped leaves no number without one."""
    missing = [
        name
        for names in HELD.values()
        for name in names
        if name.rpartition(".")[2] not in functions_of(name.partition(".")[0])
    ]

    assert missing == []


def functions_of(module):
    """Names of the tests in a file."""
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_only_a_plain_file_is_taken(desk, tmp_path):
    """24, 25: a link, a folder, nothing at all, and what this user may not read are refused."""
    source = CASES[0].named_source("plain")
    (tmp_path / "real.csv").write_bytes(bad_input.table(bad_input.ROW1))
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    (tmp_path / "locked.csv").write_bytes(b"id\n")
    (tmp_path / "locked.csv").chmod(0)
    wrong = {
        "link.csv": "the path is a symbolic link [file_is_link]. Give the file itself.",
        "none.csv": "the file does not exist [file_missing]. Check the path.",
        ".": "the path is no plain file [file_not_plain]. Give one file, not a folder.",
    }
    if os.geteuid() != 0:  # root may read everything
        wrong["locked.csv"] = "this user may not read the file [file_unreadable]. Grant read"

    for name, message in wrong.items():
        with pytest.raises(FileRejectedError) as refusal:
            ingest_file(
                desk.store, source, tmp_path / name, workspace_timezone="UTC", received_at=NOW
            )
        assert message in str(refusal.value)


def test_refunds_that_name_one_another_stand_open(shop):
    """76: two refunds, each the other's parent, are told, end no run, settle and hide nothing."""
    import recon_kit as rk

    text = (shop / "recon.toml").read_text(encoding="utf-8")
    text = text.replace('event_type = "payment"', 'event_type = { column = "Kind" }')
    text = text.replace('native_id = "Id"', 'native_id = "Id"\nparent_key = "Of"')
    text = text.replace('keys = ["order_id"]', 'keys = ["order_id"]\nattach = ["refund"]')
    (shop / "recon.toml").write_text(text, encoding="utf-8")
    (shop / "card.csv").write_text(
        "Id,Order,Date,Amount,Kind,Of\nr1,,2026-11-03,-5.00,refund,r2\n"
        "r2,,2026-11-03,-5.00,refund,r1\nr3,,2026-11-03,-5.00,refund,r3\n"
        "r4,,2026-11-04,-5.00,refund,r3\n", encoding="utf-8",
    )  # fmt: skip
    bench = rk.Workbench(shop, clock=lambda: NOW)
    bench.ingest("till", shop / "till.csv")
    bench.ingest("card", shop / "card.csv")
    bench.reconcile()
    run = bench.store.current_run("orders_to_payments").run_id

    with bench.store.snapshot().engine(runs=[run]) as engine:
        items = engine.rows("""
            select native_id, why_code from open_items join events using (event_key)
            where event_type = 'refund' order by native_id""")
    assert items.rows() == [(name, "refund_without_payment") for name in ("r1", "r2", "r3")]
