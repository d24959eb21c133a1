from datetime import timedelta

import polars as pl
import pytest
from ledger_kit import DAY, T0, complete, draft, ingest, new_store, read

from recon_kit import model
from recon_kit.errors import CountsDoNotTieError, LedgerError
from recon_kit.ledger.keys import key_hash
from recon_kit.model import Counts

AMOUNTS = "select event_id, amount, status from events order by event_id"


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path)


def test_a_told_event_is_read_back_with_identity_and_provenance(store):
    """What was told comes back as told, with its key, its file and row."""
    rows = [{"event_id": "ch_1", "amount": 6540, "currency": "USD", "event_ts": T0, "test": False}]
    receipt = ingest(store, rows)

    events = read(store, "select * from events")
    row = events.row(0, named=True)
    assert dict(events.schema) == model.EVENT_SCHEMA
    assert row["event_key"] == model.event_key("shop", "ch_1")
    assert (row["amount"], row["currency"], row["event_ts"], row["test"]) == (
        6540, "USD", T0, False,
    )  # fmt: skip
    assert (row["artefact_sha256"], row["record_row"]) == (receipt.artefact_sha256, 1)
    assert (row["recorded_seq"], row["restated"], row["conflict"]) == (1, False, False)
    assert receipt.counts == Counts(1, 1, 0, 0, 0, 0)


def test_payload_hash_is_the_python_digest_of_the_told_fields(store):
    """The hash computed in SQL is the published one, times in microseconds."""
    ingest(store, [{"event_id": "1", "amount": -5, "event_ts": T0, "email": "a@example.org"}])

    told = {"event_id": "1", "event_type": "payment", "amount": "-5",
            "event_ts": str(int(T0.timestamp()) * 1_000_000), "email": "a@example.org"}  # fmt: skip
    fields = [told.get(name) for name in (*model.MONEY_FACTS, *model.PERSONAL_FACTS)]
    expected = model.digest("shop", *fields)
    assert read(store, "select payload_hash from events").item() == expected


def test_counts_are_in_physical_records(store):
    """An event that took three rows counts three; one derived from another row counts none."""
    rows = [
        {"event_id": "a", "records": 3},
        {"event_id": "a_fee", "event_type": "fee", "records": 0, "record_row": 1},
    ]
    quarantine = complete([{"records": 2, "record_row": 9, "code": "short_row"}],
                          model.QUARANTINE_SCHEMA)  # fmt: skip
    receipt = ingest(store, rows, quarantine=quarantine, physical=6, blank=1)

    assert receipt.counts == Counts(
        physical=6, accepted=3, duplicate=0, conflict=0, quarantined=2, blank=1
    )
    assert receipt.events == 2
    assert read(store, "select code from quarantine").item() == "short_row"


def test_counts_that_do_not_tie_commit_nothing(store):
    """A record without an end state stops the whole file."""
    with pytest.raises(CountsDoNotTieError, match=r"3 records, but 2 accepted .* = 2"):
        ingest(store, [{"event_id": "a"}, {"event_id": "b"}], physical=3)

    assert store.batches().is_empty()
    assert list((store.path / "seg").iterdir()) == []
    assert list((store.path / "tmp").iterdir()) == []


def test_the_same_file_again_is_known(store):
    """A second ingest of the same bytes answers with the first receipt and adds nothing."""
    first = ingest(store, [{"event_id": "a", "amount": 1}])
    again = ingest(store, [{"event_id": "a", "amount": 1}])

    assert (again.already_known, again.batch_seq, again.counts) == (True, 1, first.counts)
    assert store.snapshot().seq == 1


def test_the_same_bytes_under_a_new_mapping_are_a_new_batch(store):
    """A better parser may tell the same file again; its word is the newer one."""
    ingest(store, [{"event_id": "a", "amount": 1}])
    raw = next((store.path / "raw").iterdir())
    later = store.receive(raw, source="shop", received_at=T0 + DAY)
    again = draft(store, [{"event_id": "a", "amount": 100}], artefact=later, mapping_version="m2")
    receipt = store.commit_batch(again)

    assert receipt.already_known is False
    assert read(store, "select amount from events").item() == 100


def test_overlapping_exports_store_each_event_once(store):
    """Rows that an earlier file told are counted as duplicates and not stored again."""
    ingest(store, [{"event_id": "a", "amount": 1}, {"event_id": "b", "amount": 2}])
    receipt = ingest(store, [{"event_id": "b", "amount": 2}, {"event_id": "c", "amount": 3}])

    assert receipt.counts == Counts(2, 1, 1, 0, 0, 0)
    assert read(store, AMOUNTS).rows() == [("a", 1, None), ("b", 2, None), ("c", 3, None)]
    assert read(store, "select record_row, why from retold").rows() == [(1, "retold")]


def test_a_repeat_within_one_file_is_one_event(store):
    """A vendor that delivers a charge twice in one file has made one charge."""
    receipt = ingest(store, [{"event_id": "a", "amount": 1}, {"event_id": "a", "amount": 1}])

    assert receipt.counts == Counts(2, 1, 1, 0, 0, 0)
    assert read(store, "select record_row from events").rows() == [(1,)]


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_newest_telling_is_read_whatever_came_in_first(store, newest_first):
    """A status that changed is read as of the newest file, in any order of ingest."""
    old = {"rows": [{"event_id": "a", "amount": 1, "status": "open"}], "received_at": T0}
    new = {"rows": [{"event_id": "a", "amount": 1, "status": "paid"}], "received_at": T0 + DAY}
    for one in [new, old] if newest_first else [old, new]:
        receipt = ingest(store, one["rows"], received_at=one["received_at"])

    assert receipt.counts == Counts(1, 1, 0, 0, 0, 0)
    assert read(store, AMOUNTS).rows() == [("a", 1, "paid")]
    assert read(store, "select restated, conflict from events").rows() == [(True, False)]
    assert read(store, "select status from event_versions order by all").rows() == [
        ("open",), ("paid",),
    ]  # fmt: skip


def test_the_feeds_own_clock_orders_tellings_before_the_files(store):
    """Where a row says when it was updated, that beats the date of its file."""
    ingest(store, [{"event_id": "a", "status": "paid", "told_at": T0 + 5 * DAY}])
    ingest(store, [{"event_id": "a", "status": "open", "told_at": T0}], received_at=T0 + 9 * DAY)

    assert read(store, "select status from events").item() == "paid"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0)])
def test_a_status_that_goes_back_is_read_as_last_told(store, order):
    """Open, paid, open again: the third file repeats the first one's words and still counts."""
    statuses = ["open", "paid", "open"]
    for day in order:
        rows = [{"event_id": "a", "status": statuses[day]}]
        ingest(store, rows, received_at=T0 + day * DAY)

    assert read(store, "select status from events").item() == "open"


def test_a_changed_amount_is_a_conflict(store):
    """A field that the feed does not declare mutable may not change unnoticed."""
    ingest(store, [{"event_id": "a", "amount": 1}])
    receipt = ingest(store, [{"event_id": "a", "amount": 2}], received_at=T0 + DAY)

    assert receipt.counts == Counts(1, 0, 0, 1, 0, 0)
    assert read(store, "select amount, conflict from events").rows() == [(2, True)]


def test_two_contents_in_one_file_are_a_conflict_too(store):
    """The later row of one file is read; the event is flagged."""
    receipt = ingest(store, [{"event_id": "a", "amount": 1}, {"event_id": "a", "amount": 2}])

    assert receipt.counts == Counts(2, 1, 0, 1, 0, 0)
    assert read(store, "select amount, conflict from events").rows() == [(2, True)]


def test_a_changed_address_is_no_conflict(store):
    """Personal fields may change; the newest are shown."""
    ingest(store, [{"event_id": "a", "email": "old@example.org"}])
    receipt = ingest(store, [{"event_id": "a", "email": "new@example.org"}], received_at=T0 + DAY)

    assert receipt.counts == Counts(1, 1, 0, 0, 0, 0)
    assert read(store, "select email from who").rows() == [("new@example.org",)]


def test_personal_fields_lie_apart(store):
    """Segments of money facts hold no name and no address."""
    ingest(store, [{"event_id": "a", "customer_name": "Ana Diaz", "email": "ana@example.org"}])

    events = [p for p in (store.path / "seg").iterdir() if "email" in pl.read_parquet_schema(p)]
    assert events == []
    who = read(store, "select customer_name, email from who join events using (event_key)")
    assert who.rows() == [("Ana Diaz", "ana@example.org")]


def lines(*amounts, day=0):
    """Bank lines without an id of their own."""
    return [
        {"event_id": f"2026-01-{5 + day:02}\x1f{a}", "derived_id": True, "amount": a,
         "event_ts": T0 + day * DAY}
        for a in amounts
    ]  # fmt: skip


def test_equal_lines_of_one_file_are_two_events(store):
    """Two coffees on one day are two coffees."""
    receipt = ingest(store, lines(350, 350, 900))

    assert receipt.counts.accepted == 3
    assert read(store, "select sum(amount)::bigint from events").item() == 1600


def test_a_line_inside_both_files_is_one_event(store):
    """On a day that both files tell in full, the repeat is the same movement."""
    ingest(store, lines(1) + lines(350, 350, day=1) + lines(2, day=2))
    second = lines(1) + lines(350, 350, 350, day=1) + lines(2, day=2) + lines(7, day=3)
    receipt = ingest(store, [*lines(8, day=-1), *second], received_at=T0 + DAY)

    assert receipt.counts == Counts(7, 3, 4, 0, 0, 0)
    assert read(store, "select count(*) from events where amount = 350").item() == 3
    assert read(store, "select amount from duplicates join events using (event_key)").sort(
        "amount"
    ).rows() == [(1,), (2,)]


def test_a_repeat_on_a_boundary_day_is_kept_as_a_possible_duplicate(store):
    """The last day of one file is the first of the next: perhaps one coffee, perhaps two."""
    ingest(store, lines(1) + lines(350, day=1))
    receipt = ingest(store, lines(350, day=1) + lines(2, day=2), received_at=T0 + DAY)

    assert receipt.counts == Counts(2, 1, 1, 0, 0, 0)
    assert read(store, "select count(*) from events where amount = 350").item() == 1
    duplicates = read(store, "select event_key = kept_key as same, why from duplicates")
    assert duplicates.rows() == [(True, "possible_duplicate")]


def test_a_vendors_id_is_never_a_possible_duplicate(store):
    """Only ids made of a row's content can name two movements."""
    ingest(store, [{"event_id": "a", "event_ts": T0}])
    ingest(store, [{"event_id": "a", "event_ts": T0}], received_at=T0 + DAY)

    assert read(store, "select count(*) from duplicates").item() == 0


def test_one_movement_told_by_two_sources_is_read_once(store):
    """Of two tellings of one business key the source with the lower precedence is read."""
    ingest(store, [{"event_id": "ch_1", "amount": 5, "business_key": "ch_1"}], source="report")
    ingest(store, [{"event_id": "evt_9", "amount": 5, "business_key": "ch_1"}], source="hook")

    by_hook = read(store, "select source from events", precedence={"hook": 1, "report": 2})
    by_report = read(store, "select source from events", precedence={"hook": 2, "report": 1})
    kept = read(store, "select kept_key, why from duplicates", precedence={"hook": 1})
    assert (by_hook.item(), by_report.item()) == ("hook", "report")
    assert kept.rows() == [(model.event_key("hook", "evt_9"), "retold")]


def test_a_told_row_is_read_before_a_derived_one(store):
    """A payout's own row replaces the payout that was derived from its members."""
    derived = {"event_id": "sum_7", "business_key": "po_7", "records": 0, "record_row": 1}
    ingest(store, [{"event_id": "ch_1"}, derived])
    ingest(store, [{"event_id": "po_7", "business_key": "po_7"}], received_at=T0 + DAY)

    assert read(store, "select event_id from events order by event_id").rows() == [
        ("ch_1",), ("po_7",),
    ]  # fmt: skip


def test_all_movements_of_the_source_that_is_read_are_kept(store):
    """Two single refunds replace the cumulative one; neither of them is dropped."""
    ingest(store, [{"event_id": "sum", "amount": -30, "business_key": "refund:1"}])
    singles = [
        {"event_id": "re_1", "amount": -10, "business_key": "refund:1"},
        {"event_id": "re_2", "amount": -20, "business_key": "refund:1"},
    ]
    ingest(store, singles, source="stripe")

    query = "select amount from events order by amount"
    assert read(store, query, precedence={"stripe": 1}).rows() == [(-20,), (-10,)]
    assert read(store, query, precedence={"shop": 1}).rows() == [(-30,)]


def test_a_snapshot_reads_as_of_its_sequence(store):
    """What came later is not seen, and a row is as it was told by then."""
    ingest(store, [{"event_id": "a", "status": "open"}])
    ingest(store, [{"event_id": "a", "status": "paid"}, {"event_id": "b"}], received_at=T0 + DAY)

    then = read(store, "select event_id, status from events", as_of_seq=1)
    assert then.rows() == [("a", "open")]
    assert read(store, "select count(*) from events", as_of_seq=0).item() == 0
    assert store.snapshot(1).seq == 1
    with pytest.raises(LedgerError, match="no sequence 3; the ledger holds 0 to 2"):
        store.snapshot(3)


def test_an_open_snapshot_is_not_disturbed_by_a_commit(store):
    """An engine keeps reading its own files while the store grows."""
    ingest(store, [{"event_id": "a"}])
    with store.snapshot().engine() as engine:
        ingest(store, [{"event_id": "b"}], received_at=T0 + DAY)
        seen = engine.count("events")

    assert (seen, read(store, "select count(*) from events").item()) == (1, 2)


def test_any_key_of_an_event_is_found_by_its_hash(store):
    """The index of keys answers for ids of the row, of its payout and of other objects."""
    ids = {"external_ids": '{"charge":"ch_1"}', "raw_keys": '{"order_id":"#1001"}'}
    ingest(store, [{"event_id": "a", "order_id": "1001", "payout_id": "po_7", **ids}])

    found = read(store, f"select kind, key from keys where key_hash = {key_hash('ch_1')}")
    assert found.rows() == [("external_ids.charge", "ch_1")]
    assert read(store, "select kind from keys order by kind").get_column("kind").to_list() == [
        "external_ids.charge", "order_id", "payout_id", "raw_keys.order_id",
    ]  # fmt: skip


def test_a_file_without_events_is_a_heartbeat(store):
    """A header-only file commits a batch with its counts and no segment."""
    receipt = ingest(store, [], blank=1, physical=1, told=())

    assert receipt.counts == Counts(1, 0, 0, 0, 0, 1)
    assert receipt.events == 0
    assert store.snapshot().coverage().row(0, named=True)["as_of"] == T0


def test_coverage_runs_from_the_first_to_the_last_event_of_a_source(store):
    """A source covers what its files tell, whatever order they came in."""
    ingest(store, [{"event_id": "b", "event_ts": T0 + 3 * DAY}], received_at=T0 + 4 * DAY)
    ingest(store, [{"event_id": "a", "event_ts": T0}])

    coverage = store.snapshot().coverage().rows()
    assert coverage == [("shop", T0, T0 + 3 * DAY, T0 + 4 * DAY)]


def test_a_null_id_is_the_feeds_defect(store):
    """The ledger names the row rather than inventing an identity."""
    with pytest.raises(LedgerError, match="row 2: event_id is null"):
        ingest(store, [{"event_id": "a"}, {"event_id": None}])


def test_an_unknown_mutable_field_is_named(store):
    """A misspelt field would turn every change into a conflict."""
    with pytest.raises(LedgerError, match="'statos'; did you mean 'status'"):
        ingest(store, [{"event_id": "a"}], mutable=("statos",))


def test_a_batch_needs_its_raw_file(store):
    """Facts are only committed when the bytes they came from are kept."""
    ready = draft(store, [{"event_id": "a"}])
    store.raw_path(ready.artefact.sha256).unlink()

    with pytest.raises(LedgerError, match="call `receive` before committing"):
        store.commit_batch(ready)


def test_a_session_zone_does_not_enter_the_hashes(store, tmp_path, monkeypatch):
    """The same file gives the same hashes on a machine in another zone."""
    rows = [{"event_id": "a", "event_ts": T0 + timedelta(microseconds=7), "told_at": T0}]
    ingest(store, rows)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    (tmp_path / "other").mkdir()
    other = new_store(tmp_path / "other")
    ingest(other, rows)

    columns = "select payload_hash, fixed_hash, version_order from events"
    assert read(store, columns).rows() == read(other, columns).rows()
