from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from how_often import how_often
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_kit import DAY, T0, ingest, new_store

# What a row says of itself, without where and in which order this store received it.
CONTENT = """
    select event_key, payload_hash, fixed_hash, event_id, business_key, source, amount, status,
        event_ts, restated, conflict from events order by event_key"""
WHO = "select event_key, email from who order by event_key"
DUPLICATES = "select event_key, kept_key, why from duplicates order by all"
PRECEDENCE = {"shop": 2, "hook": 1}

vendor_rows = st.builds(
    lambda key, amount, status, day, business: {
        "event_id": f"v{key}", "amount": amount, "status": status, "event_ts": T0 + day * DAY,
        "business_key": f"b{business}" if business else None, "email": f"{status}@example.org",
    },
    st.integers(0, 3), st.sampled_from([1, 1, 1, 2]), st.sampled_from(["open", "paid"]),
    st.integers(0, 3), st.integers(0, 2),
)  # fmt: skip
derived_rows = st.builds(
    lambda day, amount: {
        "event_id": f"{day}\x1f{amount}", "derived_id": True, "amount": amount,
        "event_ts": T0 + timedelta(days=day),
    },
    st.integers(0, 3), st.integers(1, 2),
)  # fmt: skip
file_of_events = st.tuples(
    st.sampled_from(["shop", "hook"]),
    st.lists(st.one_of(vendor_rows, derived_rows), min_size=1, max_size=6),
)


def contents(files):
    """What a fresh store shows after ingesting files in the order given."""
    with TemporaryDirectory() as folder:
        store = new_store(Path(folder))
        for moment, (source, rows) in files:
            ingest(store, rows, source=source, received_at=T0 + moment * DAY)
        with store.snapshot().engine(precedence=PRECEDENCE) as engine:
            return [engine.rows(query).rows() for query in (CONTENT, WHO, DUPLICATES)]


@settings(
    max_examples=how_often("RECON_EXAMPLES", short=15, long=200),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(file_of_events, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_ingest_does_not_show(told, random):
    """Overlapping files of two sources give the same events in whatever order they come in."""
    files = list(enumerate(told))
    shuffled = files[:]
    random.shuffle(shuffled)

    assert contents(files) == contents(shuffled)


def test_an_event_told_otherwise_costs_no_second_pass_over_the_files(tmp_path):
    """Two sources, one event of one told again: every file is opened once, each event read once."""
    store = new_store(tmp_path)
    ingest(store, [{"event_id": "a", "amount": 1}, {"event_id": "b", "amount": 2}])
    ingest(store, [{"event_id": "c", "amount": 4}], source="hook")
    ingest(store, [{"event_id": "a", "amount": 8}], received_at=T0 + DAY)

    with store.snapshot().engine() as engine:
        plan = "\n".join(engine.rows("explain select sum(amount) from events")["explain_value"])
        told = engine.rows("select event_id, amount, restated from events order by all").rows()
        every = engine.rows("select event_id, amount from event_versions order by all").rows()

    assert plan.count("READ_PARQUET") == 2  # one pass over each source
    assert told == [("a", 8, True), ("b", 2, False), ("c", 4, False)]
    assert every == [("a", 1), ("a", 8), ("b", 2), ("c", 4)]
