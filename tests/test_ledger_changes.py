"""Runs kept as changes: few rows are written, all rows are read."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import T0, complete, ingest, new_store

from recon_kit import model
from recon_kit.ledger import changes, digests
from recon_kit.ledger.engine import open_engine
from recon_kit.model import Run

RUN = Run(
    run_id="r0", reconciliation="orders_to_payments", kind="live", as_of_seq=1, as_of_time=T0,
    settings_hash="s", rules_hash="u", model_hash=None, code_hash="c",
)  # fmt: skip


def tables(residuals, states=()):
    """Matches `m0, m1...` with these residuals and two members each; items with these states."""
    matches = [
        {"match_id": f"m{i}", "residual_minor": r} for i, r in enumerate(residuals) if r is not None
    ]
    members = [
        {"match_id": m["match_id"], "event_key": m["match_id"] + side, "side": side}
        for m in matches
        for side in ("left", "right")
    ]
    items = [{"item_id": f"i{i}", "state": s} for i, s in enumerate(states) if s is not None]
    return {
        "matches": complete(matches, model.RUN_TABLES["matches"]),
        "match_members": complete(members, model.RUN_TABLES["match_members"]),
        "open_items": complete(items, model.RUN_TABLES["open_items"]),
    }


def commit(store, number, told, base=True):
    """Commit run `r<number>` on the one before it."""
    run = replace(RUN, run_id=f"r{number}", base_run_id=f"r{number - 1}" if base else None)
    store.commit_run(run, told, recorded_at=T0)
    return run.run_id


def read(store, run_id, *tables):
    """All rows of a run's tables, in order."""
    with store.snapshot().engine(runs=[run_id]) as engine:
        return [
            engine.rows(
                f"select * exclude (run_id) from {t} where run_id = ? order by all", [run_id]
            )
            for t in tables or model.RUN_TABLES
        ]


def written(store, run_id):
    """Rows that a run wrote, by kind."""
    rows = store.rows("segments").filter(pl.col("run_id") == run_id)
    return dict(rows.sort("kind").select("kind", "rows").iter_rows())


@pytest.fixture
def store(tmp_path):
    made = new_store(tmp_path)
    ingest(made, [{"event_id": "a"}])
    return made


def test_a_late_day_writes_what_changed_and_reads_as_a_whole(store):
    """Of 20 matches one changes, one goes and one comes: 2 matches are written, 20 are read."""
    commit(store, 0, tables([0] * 20))
    commit(store, 1, tables([None, 7, *[0] * 18, 5]))

    with store.snapshot().engine(runs=["r1"]) as engine:
        told = engine.rows(
            "select table_name, row_id, change from run_changes"
            " where table_name = 'matches' order by all"
        ).rows()
    matches, members = read(store, "r1", "matches", "match_members")

    assert told == [
        ("matches", "m0", "withdrawn"), ("matches", "m1", "changed"), ("matches", "m20", "added"),
    ]  # fmt: skip
    assert written(store, "r1") == {"match_members": 2, "matches": 2, "run_changes": 6}
    assert dict(matches.select("match_id", "residual_minor").iter_rows()) == {
        "m1": 7, "m20": 5, **{f"m{i}": 0 for i in range(2, 20)},
    }  # fmt: skip
    assert members.height == 40


def test_a_run_that_changed_nothing_writes_one_row(store):
    """It still says that it stands on its base, and reads as the same rows."""
    commit(store, 0, tables([0, 0, 0]))
    commit(store, 1, tables([0, 0, 0]))

    assert written(store, "r1") == {"run_changes": 1}
    assert read(store, "r1", "matches")[0].height == 3
    assert store.run("r1").result_hash == store.run("r0").result_hash


def test_many_changes_are_kept_as_a_full_copy(store):
    """Where more than a quarter of the rows differ a full copy is as small."""
    commit(store, 0, tables([0, 0, 0, 0]))
    commit(store, 1, tables([1, 1, 1, 1]))

    assert written(store, "r1") == {"match_members": 8, "matches": 4}


def test_a_name_of_several_rows_changes_as_one(store):
    """A match that gains a third member keeps its first two."""
    commit(store, 0, tables([0] * 9))
    more = tables([0] * 9)
    third = complete([{"match_id": "m0", "event_key": "m0x"}], model.RUN_TABLES["match_members"])
    commit(store, 1, more | {"match_members": pl.concat([more["match_members"], third])})

    members = read(store, "r1", "match_members")[0].filter(pl.col("match_id") == "m0")

    assert members["event_key"].to_list() == ["m0left", "m0right", "m0x"]


def test_a_chain_of_changes_ends_in_a_full_copy(store, monkeypatch):
    """No run is read from more than so many others."""
    monkeypatch.setattr(changes, "CHAIN_MAX", 3)
    for number in range(9):
        commit(store, number, tables([0] * 10 + [number]))

    whole = [n for n in range(9) if "run_changes" not in written(store, f"r{n}")]

    assert whole == [0, 4, 8]
    for number in range(9):
        matches = read(store, f"r{number}", "matches")[0]
        assert matches.filter(pl.col("match_id") == "m10")["residual_minor"].to_list() == [number]
        assert matches.height == 11


def test_runs_are_read_side_by_side(store):
    """Of one match each run tells its own residual, also where one stands on the other."""
    for number in range(3):
        commit(store, number, tables([0] * 10 + [number]))

    with store.snapshot().engine(runs=["r2", "r0", "r2"]) as engine:
        rows = engine.rows(
            "select run_id, residual_minor, count(*) over (partition by run_id) from matches"
            " qualify match_id = 'm10' order by run_id"
        ).rows()

    assert rows == [("r0", 0, 11), ("r2", 2, 11)]


def test_a_time_that_changed_is_a_change(store):
    """When an item is expected leaves no trace in the result hash, but it is read as told last."""
    early = tables([0] * 5, ["overdue"])
    later = early["open_items"].with_columns(expected_by=pl.lit(T0).cast(model.UTC))
    commit(store, 0, early)
    commit(store, 1, early | {"open_items": later})

    assert read(store, "r1", "open_items")[0]["expected_by"].to_list() == [T0]


def test_equal_rows_are_kept_as_a_full_copy(store):
    """Two equal rows cannot be told apart by what changed: nothing is lost, all is written."""
    one = tables([0] * 8)
    commit(store, 0, one)
    twice = pl.concat([one["matches"], one["matches"].head(1)])
    commit(store, 1, one | {"matches": twice})

    assert written(store, "r1") == {"match_members": 16, "matches": 9}
    assert read(store, "r1", "matches")[0].height == 9


def segment_of(store, run_id, kind):
    """The file of a run's segment."""
    mine = (pl.col("run_id") == run_id) & (pl.col("kind") == kind)
    return store.path / "seg" / f"{store.rows('segments').filter(mine)['sha256'].item()}.parquet"


def codes(store, level):
    return [p.code for p in store.verify(level)]


@pytest.fixture
def chain(store):
    """Three runs, each on the one before; the last two are kept as changes."""
    for number in range(3):
        commit(store, number, tables([0] * 10 + [number]))
    return store


def test_a_run_kept_as_changes_is_verified_as_it_reads(chain):
    """Read over its base each is the result that was committed."""
    assert "run_changes" in written(chain, "r2")
    assert codes(chain, "all") == []


def test_a_flipped_byte_under_a_run_is_found_in_every_run_that_stands_on_it(chain):
    """One byte of the full copy is changed: the file is named, and the two runs over it."""
    file = segment_of(chain, "r0", "matches")
    content = bytearray(file.read_bytes())
    content[8] ^= 1
    file.write_bytes(bytes(content))

    assert codes(chain, "segments") == ["changed_file", "unreadable_run", "unreadable_run"]


def test_rows_that_were_exchanged_under_a_run_are_found(chain):
    """A residual of 1 becomes 5 in a readable file of the right name: r1 and r2 read otherwise."""
    file = segment_of(chain, "r1", "matches")
    pl.read_parquet(file).with_columns(residual_minor=pl.lit(5, pl.Int64)).write_parquet(file)

    assert [str(p) for p in chain.verify("segments")[1:]] == [
        "run r1: read over its base it is not the result that was committed [changed_run]"
    ]
    assert codes(chain, "all") == ["changed_file", "changed_run"]


def test_a_hash_of_an_earlier_version_is_checked_in_its_own_way(store, monkeypatch):
    """One sha256 over sorted rows, in sixteen parts as in one, also of rows without a name."""
    told = tables([0] * 40, ["overdue"] * 9)
    names = [*(f"{n:x}0" for n in range(39)), None]
    told["matches"] = told["matches"].with_columns(match_id=pl.Series(names, dtype=pl.String))
    with open_engine() as engine:
        for name, frame in told.items():
            engine.put(name, frame)
        sources = {name: name for name in told}
        at_once = digests.of_kind(engine, "0123", sources)
        monkeypatch.setattr(digests, "SORTED_ROWS_MAX", 1)
        in_parts = digests.of_kind(engine, "0123", sources)

    assert at_once == in_parts == "603dbb6c8df813e3ce3a3baffeb0d23f"


def test_a_run_on_one_of_an_earlier_version_is_hashed_from_all_its_rows(store):
    """The base's hash is of the earlier kind: nothing is added to it, and both runs verify."""
    told = tables([0] * 20)
    with open_engine() as engine:
        for name, frame in told.items():
            engine.put(name, frame)
        earlier = digests.of_kind(engine, None, {name: name for name in told})
    run = replace(RUN, run_id="r0", result_hash=earlier)
    store.commit_run(run, told, recorded_at=T0)
    commit(store, 1, tables([None, *[0] * 19]))
    commit(store, 100, tables([None, *[0] * 19]), base=False)
    hashes = [store.run(r).result_hash for r in ("r0", "r1", "r100")]

    assert hashes[0] == earlier
    assert hashes[1] == hashes[2] != earlier
    assert "run_changes" in written(store, "r1")
    assert codes(store, "all") == []


residuals = st.lists(st.one_of(st.none(), st.integers(0, 2)), min_size=6, max_size=14)
states = st.lists(st.sampled_from([None, "overdue", "in_flight"]), max_size=4)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(residuals, states), min_size=2, max_size=4))
def test_any_history_reads_as_full_copies_would(history):
    """Whatever comes, changes, goes and comes again: rows and hashes are those of full copies."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "CHANGED_SHARE_MAX", 1.0)
        store = new_store(Path(folder))
        kept = [commit(store, n, tables(*told)) for n, told in enumerate(history)]
        alone = [commit(store, 100 + n, tables(*t), base=False) for n, t in enumerate(history)]
        with store.snapshot().engine(runs=kept + alone) as engine:
            for name in model.RUN_TABLES:
                rows = f"select * exclude (run_id) from {name} where run_id = ? order by all"
                for one, other in zip(kept, alone, strict=True):
                    assert engine.rows(rows, [one]).rows() == engine.rows(rows, [other]).rows()
        hashes = dict(store.runs().select("run_id", "result_hash").iter_rows())

        assert [hashes[r] for r in kept] == [hashes[r] for r in alone]
