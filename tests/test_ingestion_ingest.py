"""From a path to a receipt: what is committed, what is known again, and what ties."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recon_kit.errors import (
    CountsDoNotTieError,
    FileRejectedError,
    MissingColumnError,
    UnknownNameError,
)
from recon_kit.ingestion import ingest
from recon_kit.ingestion.feed import Told
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.layout import Table
from recon_kit.ledger.store import Store
from recon_kit.settings import Source, loads

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOML = """
[workspace]
name = "t"
[[sources]]
name = "bank"
feed = "table"
[sources.layout]
event_type = "bank_line"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "id"
event_ts = "date"
amount = "amount"
currency = { value = "EUR" }
description = "text"
"""
SOURCE = loads(TOML).sources[0]
HEAD = "id,date,amount,text\n"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture
def store(tmp_path):
    """A fresh ledger."""
    return Store.create(tmp_path / "store", created_at=NOW)


@pytest.fixture
def take(store, tmp_path):
    """A function that ingests a text as a file."""

    def from_text(text, name="f.csv", source=SOURCE, **more):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return ingest.ingest_file(
            store, source, path, workspace_timezone="UTC", received_at=NOW, **more
        )

    return from_text


def in_store(store, sql):
    """A query over a snapshot."""
    with store.snapshot().engine() as engine:
        return engine.rows(sql)


def test_a_file_becomes_events_and_a_receipt(store, take):
    """Good rows are events, bad rows are quarantined with their raw line, counts tie."""
    receipt = take(HEAD + "1,2026-11-05,1.00,a\n\n2,2026-11-06,x,b\n3,2026-11-07\n")

    assert receipt.counts.as_tuple() == (4, 1, 0, 0, 2, 1)
    assert (receipt.file, receipt.events, receipt.already_known) == ("f.csv", 1, False)
    held = in_store(store, "select record_row, code, raw_line from quarantine order by record_row")
    expected = [(3, "amount_unreadable", "2,2026-11-06,x,b"), (4, "row_short", "3,2026-11-07")]
    assert held.rows() == expected
    covered = store.artefacts().select("covers_from", "covers_to").row(0)
    assert covered == (datetime(2026, 11, 5, tzinfo=UTC),) * 2


def test_the_same_file_again_is_known(store, take):
    """The same bytes, also under another name, give the first receipt and commit nothing."""
    first = take(HEAD + "1,2026-11-05,1.00,a\n")
    again = take(HEAD + "1,2026-11-05,1.00,a\n", name="copy.csv")

    assert (again.already_known, again.batch_seq, again.file) == (True, first.batch_seq, "copy.csv")
    assert again.warnings == (f"this file is already ingested as batch {first.batch_seq}",)
    assert store.batches().height == 1


def test_the_same_name_with_other_content_is_said(take):
    """A replaced file is taken, with a warning; rows told again are duplicates."""
    take(HEAD + "1,2026-11-05,1.00,a\n")
    second = take(HEAD + "1,2026-11-05,1.00,a\n2,2026-11-06,2.00,b\n")

    assert second.counts.as_tuple() == (2, 1, 1, 0, 0, 0)
    assert second.warnings == ("a file of this name with other content was ingested before",)


def test_a_refused_file_commits_nothing(store, take):
    """A file without its columns leaves no batch and no event."""
    with pytest.raises(FileRejectedError, match=r"the header lacks 'date'.*Nothing was committed"):
        take("id,day,amount\n1,2026-11-05,1.00\n")

    assert store.batches().height == 0


def test_several_files_stand_on_their_own(store, tmp_path):
    """A refused file does not stop the others."""
    texts = {
        "a.csv": HEAD + "1,2026-11-05,1,a\n",
        "b.csv": "",
        "c.csv": HEAD + "2,2026-11-06,1,b\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    receipts, refused = ingest.ingest_files(
        store, SOURCE, [tmp_path / n for n in texts], workspace_timezone="UTC", received_at=NOW
    )

    assert [r.file for r in receipts] == ["a.csv", "c.csv"]
    assert [(r.file, r.code) for r in refused] == [("b.csv", "empty_file")]


def test_progress_is_told(take):
    """After each block the caller hears how far it is."""
    heard = []
    rows = "".join(f"{n},2026-11-05,1.00,a\n" for n in range(5))
    caps = ingest.Caps(block_rows=2)
    take(HEAD + rows, progress=lambda rows, events: heard.append((rows, events)), caps=caps)

    assert heard == [(2, 2), (4, 4), (5, 5)]


def test_blocks_do_not_change_what_is_stored(store, take, tmp_path):
    """The same file cut into one block or many gives the same events."""
    text = HEAD + "".join(f"{n},2026-11-{n % 20 + 1:02d},{n}.50,t{n}\n" for n in range(50))
    take(text)
    other = Store.create(tmp_path / "other", created_at=NOW)
    caps = ingest.Caps(block_rows=7, chunk_bytes=64)
    ingest.ingest_file(
        other, SOURCE, tmp_path / "f.csv", workspace_timezone="UTC", received_at=NOW, caps=caps
    )

    sql = "select event_key, payload_hash, record_row, amount from events order by event_key"
    assert in_store(store, sql).equals(in_store(other, sql))


def test_repeated_rows_without_an_id_are_kept_apart(store, take):
    """Two identical fees of one day are two facts: the ledger counts occurrences."""
    toml = TOML.replace('native_id = "id"\n', "")
    receipt = take(
        HEAD + "1,2026-11-05,-1,fee\n2,2026-11-05,-1,fee\n", source=loads(toml).sources[0]
    )

    assert receipt.counts.accepted == 2
    assert in_store(store, "select count(*) as n from events").item() == 2


def test_a_renamed_column_makes_no_second_event_of_a_row_without_an_id(store, take):
    """Rows that only their content tells apart need all of it: the file is refused, with why."""
    source = loads(TOML.replace('native_id = "id"\n', "")).sources[0]
    take(HEAD + "1,2026-11-05,-1,fee\n", source=source)

    with pytest.raises(MissingColumnError) as refused:
        take(HEAD.replace("text", "details") + "1,2026-11-05,-1,fee\n", "g.csv", source)

    assert "the header lacks 'text'" in str(refused.value)
    assert "`id_fields` what tells rows without an id of their own apart" in str(refused.value)
    assert in_store(store, "select count(*) as n from events").item() == 1


def test_a_layout_that_would_count_the_next_file_twice_is_refused(store, take):
    """Rows known by content: reading one field more makes an overlapping row another event."""
    toml = TOML.replace('native_id = "id"\n', "")
    less = toml.replace('description = "text"\n', "")
    take(HEAD + "1,2026-11-01,-1,a\n1,2026-11-02,-2,b\n", source=loads(less).sources[0])
    overlap = HEAD + "1,2026-11-02,-2,b\n1,2026-11-03,-3,c\n"

    with pytest.raises(FileRejectedError) as refused:
        take(overlap, "g.csv", loads(toml).sources[0])

    assert str(refused.value).startswith(
        "g.csv: under the changed layout the records of f.csv, which came in before, would be "
        "told as other events than before (2, the first of row 1), and both would count"
    )
    assert "recon replay --into FOLDER" in str(refused.value)
    assert in_store(store, "select sum(amount) as n from events").item() == -300
    assert take(overlap, "g.csv", loads(less).sources[0]).counts.duplicate == 1


def test_a_layout_that_reads_more_and_keeps_the_ids_goes_on(store, take):
    """Rows with an id of their own, or a file that the new spelling cannot read, are no reason."""
    source = loads(TOML.replace('description = "text"\n', "")).sources[0]
    take(HEAD + "1,2026-11-01,-1,a\n", source=source)

    more = take(HEAD + "1,2026-11-01,-1,a\n2,2026-11-02,-2,b\n", "g.csv", SOURCE)
    spelled = loads(TOML.replace('description = "text"', 'description = "memo"')).sources[0]
    last = take("id,date,amount,memo\n3,2026-11-03,-3,c\n", "h.csv", spelled)

    assert (more.counts.accepted, more.counts.conflict, last.counts.accepted) == (1, 1, 1)
    assert in_store(store, "select count(*) as n from events").item() == 3


def test_a_file_without_its_header_repeats_no_value_of_a_row(take):
    """A value that stands twice in the first row is no name that stands twice, and is not shown."""
    source = loads(TOML.replace('"text"', '"ana@example.com"')).sources[0]

    with pytest.raises(FileRejectedError) as refused:
        take("1,2026-11-05,-1,ana@example.com,ana@example.com\n", source=source)

    assert str(refused.value) == (
        "f.csv: two names of the header are one value: its first row seems to be data: is the "
        "header missing? [duplicate_column]. Export the file with its header, or name its columns "
        "in `header`. Nothing was committed."
    )


def test_an_empty_field_may_be_left_out_of_json(store, take):
    """JSON leaves out what is empty: a day without any memo is no changed format."""
    source = loads(TOML.replace('native_id = "id"\n', "")).sources[0]
    receipt = take('[{"date": "2026-11-05", "amount": "-1"}]', "f.json", source)

    assert receipt.counts.accepted == 1


def test_a_feed_that_loses_rows_is_stopped(take, monkeypatch):
    """Records that a feed accounts for nowhere are an error, and nothing is committed."""
    honest = Table.tell

    def careless(self, records, context):
        told = honest(self, records, context)
        return Told(told.events.head(1), told.problems, told.warnings)

    monkeypatch.setattr(Table, "tell", careless)
    with pytest.raises(CountsDoNotTieError, match="accounts for 1 of 2 records from row 1"):
        take(HEAD + "1,2026-11-05,1,a\n2,2026-11-06,1,b\n")


def test_an_unknown_feed_names_the_nearest():
    """A typing error in a feed's name is caught before any file is read."""
    with pytest.raises(UnknownNameError, match="no feed is called 'tabel'; did you mean 'table'"):
        feed_for(Source.model_construct(name="s", feed="tabel"))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the benchmark files stand beside the project only")
@pytest.mark.parametrize(
    ("file", "layout", "records", "total"),
    [
        ("bankstatementparser__csv_french_headers.csv",
         ('delimiter = ";"\ndecimal = ","\nsign = "debit_credit"|event_ts = "Date opération"\n'
         'debit = "Débit"\ncredit = "Crédit"\ncurrency = "Devise"'), 3, 226094),
        ("bankstatementparser__csv_spanish_headers.csv",
         ('delimiter = ";"\ndecimal = ","\nthousands = "."|event_ts = "Fecha"\n'
         'amount = "Importe"\ncurrency = "Moneda"'), 3, 226094),
        ("bank-statement-import__debit_credit.csv",
         ('sign = "indicator"|event_ts = "Date"\namount = "Amount"\ndirection = "D/C"\n'
         'currency = { value = "USD" }'), 2, 150000),
        ("beancount-import__bank.csv",
         ('|event_ts = "Date"\namount = "Amount"\ncurrency = { value = "USD" }\n'
         'description = "Description"'), 7, -23000),
    ],
)  # fmt: skip
def test_real_bank_files(store, file, layout, records, total):
    """Real exports of banks are read whole, to the cent."""
    notation, fields = layout.split("|")
    head = TOML.split("[sources.layout.columns]", maxsplit=1)[0]
    head = head.replace('"%Y-%m-%d"', '"%Y-%m-%d", "%m/%d/%Y"')
    source = loads(f"{head}{notation}\n[sources.layout.columns]\n{fields}\n").sources[0]
    path = SHARED / "data" / "native_samples" / "bank_csv" / file

    receipt = ingest.ingest_file(store, source, path, workspace_timezone="UTC", received_at=NOW)

    assert receipt.counts.as_tuple() == (records, records, 0, 0, 0, 0)
    assert int(in_store(store, "select sum(amount) as total from events").item()) == total


def test_the_quarantine_has_the_ledgers_columns(store, take):
    """What is set aside can be read back with source, row, code and message."""
    take(HEAD + "1,2026-11-05,x,a\n")
    held = in_store(store, "select * from quarantine")

    assert held["source"].to_list() == ["bank"]
    assert held["message"].item().endswith("and `nulls` for a text that means no amount")
    assert isinstance(held, pl.DataFrame)
