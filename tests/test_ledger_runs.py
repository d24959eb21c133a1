import json
from dataclasses import replace

import polars as pl
import pytest
from ledger_kit import DAY, T0, complete, ingest, new_store

from recon_kit import model
from recon_kit.errors import LedgerError, UnknownNameError
from recon_kit.model import Run, StoredModel

RUN = Run(
    run_id="r1", reconciliation="orders_to_payments", kind="live", as_of_seq=1, as_of_time=T0,
    settings_hash="s", rules_hash="u", model_hash=None, code_hash="c",
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    made = new_store(tmp_path)
    ingest(made, [{"event_id": "a"}])
    return made


def matches(*ids, **fields):
    """Matches of which only some fields matter."""
    return complete([{"match_id": i, **fields} for i in ids], model.RUN_TABLES["matches"])


def decisions(*rows):
    """Decisions on one pair, on the work stream unless said otherwise."""
    return complete(
        [
            {"verdict": "same", "stream": "work", "left_key": "l", "right_key": "r"} | r
            for r in rows
        ],
        model.DECISION_SCHEMA,
    ).drop("seq")


def test_a_run_is_stored_with_its_tables_values_and_model(store):
    """What a run derived is read back under its id."""
    slis = complete([{"name": "match_rate", "value": 0.98, "note": "n"}], model.SLI_SCHEMA)
    stored = StoredModel("h1", "orders_to_payments", '{"m": 1}')
    seq = store.commit_run(
        RUN, {"matches": matches("m1", "m2")}, slis=slis, model=stored, recorded_at=T0
    )

    assert seq == 2
    assert replace(store.run("r1"), result_hash=None) == RUN
    assert store.sli_values("r1").rows() == slis.rows()
    assert store.model("h1") == stored
    with store.snapshot().engine(runs=["r1"]) as engine:
        assert engine.rows("select run_id, match_id from matches order by match_id").rows() == [
            ("r1", "m1"), ("r1", "m2"),
        ]  # fmt: skip
        assert engine.count("proposals") == 0
    with store.snapshot().engine() as engine:
        assert engine.count("matches") == 0


def test_a_run_is_stored_once(store):
    """Committing the same run again gives its sequence and adds nothing."""
    first = store.commit_run(RUN, {"matches": matches("m1")}, recorded_at=T0)
    again = store.commit_run(RUN, {"matches": matches("m1", "m2")}, recorded_at=T0 + DAY)

    assert (first, again, store.snapshot().seq) == (2, 2, 2)


def test_the_result_hash_is_of_the_rows_and_nothing_else(store, tmp_path):
    """Order of rows, id of the run and times leave no trace; a changed residual does."""
    items = [{"item_id": "i", "why_code": "w", "expected_by": T0}]

    def result(run_id, frame, **more):
        store.commit_run(replace(RUN, run_id=run_id), {"matches": frame, **more}, recorded_at=T0)
        return store.run(run_id).result_hash

    one = result("a", matches("m1", "m2"))
    path = tmp_path / "matches.parquet"
    matches("m2", "m1").write_parquet(path)
    early = complete(items, model.RUN_TABLES["open_items"])
    late = early.with_columns(expected_by=pl.lit(T0 + DAY).cast(model.UTC))

    assert one == result("b", path)
    assert one != result("c", matches("m1", "m2", residual_minor=1))
    assert result("d", matches("m1"), open_items=early) == result(
        "e", matches("m1"), open_items=late
    )


def test_a_table_of_a_later_version_leaves_no_trace_while_it_is_empty(store, monkeypatch):
    """Hashes of runs that were made before it was known still hold; a row of it counts."""
    row = complete([{"event_key": "e"}], model.RUN_TABLES["canary_events"])

    def result(run_id, **more):
        tables = {"matches": matches("m1"), **more}
        store.commit_run(replace(RUN, run_id=run_id), tables, recorded_at=T0)
        return store.run(run_id).result_hash

    empty, full = result("a", canary_events=row.head(0)), result("b", canary_events=row)
    earlier = {n: c for n, c in model.RUN_TABLES.items() if n not in model.LATER_TABLES}
    monkeypatch.setattr(model, "RUN_TABLES", earlier)

    assert result("c") == empty != full


def test_the_current_run_moves_and_moves_back(store):
    """A newer live run becomes current; making the older one current again is its undo."""
    store.commit_run(RUN, {}, recorded_at=T0)
    store.commit_run(replace(RUN, run_id="r2"), {}, recorded_at=T0)
    store.commit_run(replace(RUN, run_id="r3", kind="shadow"), {}, recorded_at=T0)
    assert store.current_run("orders_to_payments").run_id == "r2"

    seq = store.make_current("r1")
    assert store.make_current("r1") == seq == 5
    assert store.current_run("orders_to_payments").run_id == "r1"
    assert store.current_run("other") is None
    assert store.rows("current_run", as_of_seq=3)["run_id"].to_list() == ["r1", "r2"]
    with pytest.raises(LedgerError, match="'r3' is a shadow run"):
        store.make_current("r3")
    with pytest.raises(LedgerError, match="holds no run 'r9'"):
        store.make_current("r9")


def test_columns_of_few_words_are_read_back_as_the_texts_that_were_told(store):
    """Roles, sides, methods and dispositions: written as numbers of their words, read as texts."""
    told = complete(
        [{"match_id": f"m{i}", "event_key": f"e{i}", "side": s, "role": r}
         for i, (s, r) in enumerate([*zip(("left", "right") * 3, model.ROLES, strict=True)])],
        model.RUN_TABLES["match_members"],
    )  # fmt: skip
    kept = [matches(f"m{i}", method=m, disposition=d) for i, (m, d) in enumerate(
        zip(model.METHODS, (*model.DISPOSITIONS * 2, None), strict=True)
    )]  # fmt: skip
    tables = {"match_members": told, "matches": pl.concat(kept)}
    store.commit_run(RUN, tables, recorded_at=T0)
    with store.snapshot().engine(runs=["r1"]) as engine:
        for name, frame in tables.items():
            columns = ", ".join(model.RUN_TABLES[name])
            found = engine.rows(f"select {columns} from {name} order by match_id")
            assert (found.schema, found.rows()) == (frame.schema, frame.rows())


def test_a_word_that_no_column_knows_is_named(store):
    """A disposition of another spelling is refused before anything is written."""
    wrong = {"matches": matches("m1", disposition="Auto")}
    with pytest.raises(LedgerError, match=r"run table 'matches': 'Auto' is no disposition"):
        store.commit_run(RUN, wrong, recorded_at=T0)


def test_unknown_tables_and_missing_columns_are_named(store):
    """A run that does not fit the schema is refused as a whole."""
    with pytest.raises(LedgerError, match="'matchs'; did you mean 'matches'"):
        store.commit_run(RUN, {"matchs": matches("m1")}, recorded_at=T0)
    with pytest.raises(LedgerError, match="lacks column 'margin'"):
        store.commit_run(RUN, {"matches": matches("m1").drop("margin")}, recorded_at=T0)
    with (
        pytest.raises(LedgerError, match="holds no run 'r1'"),
        store.snapshot().engine(runs=["r1"]),
    ):
        pass
    with pytest.raises(UnknownNameError, match="no catalog table is called 'batch'"):
        store.rows("batch")


def test_going_back_to_an_older_model_is_a_new_row(store):
    """The newest row names the model in use, even when its content is old."""
    for name in ("a", "b", "a", "a"):
        store.add_model(StoredModel(name, "r", "{}"))

    assert store.rows("models")["model_hash"].to_list() == ["a", "b", "a"]


def test_decisions_are_numbered_with_everything_else(store):
    """Each decision has a sequence of its own, after what was committed before."""
    first = store.add_decisions(decisions({}, {"verdict": "not_same"}), T0)

    rows = store.decisions()
    assert first == 2
    assert rows["seq"].to_list() == [2, 3]
    assert rows["verdict"].to_list() == ["same", "not_same"]
    assert rows["recorded_at"].to_list() == [T0, T0]
    assert dict(rows.schema) == model.DECISION_SCHEMA
    assert store.add_decisions(decisions({}).clear(), T0) == 0


def test_an_undo_takes_a_decision_back_and_an_undo_of_it_brings_it_again(store):
    """All rows stay; what is in force follows from them, as of any sequence."""
    decided = store.add_decisions(decisions({}), T0)
    undone = store.add_decisions(decisions({"undoes": decided}), T0 + DAY)
    restored = store.add_decisions(decisions({"undoes": undone}), T0 + 2 * DAY)

    def in_force(seq):
        return store.decisions_now(seq)["seq"].to_list()

    assert [in_force(s) for s in (decided, undone, restored)] == [[decided], [], [decided]]
    assert store.decisions().height == 3
    with store.snapshot(undone).engine() as engine:
        assert engine.count("decisions") == 0


def test_a_decision_the_ledger_does_not_know_is_refused(store):
    """Unknown verdicts and streams are named, and an undo needs its decision."""
    with pytest.raises(LedgerError, match="'maybe' is no verdict"):
        store.add_decisions(decisions({"verdict": "maybe"}), T0)
    with pytest.raises(LedgerError, match="'audits' is no stream; did you mean 'audit'"):
        store.add_decisions(decisions({"stream": "audits"}), T0)
    with pytest.raises(LedgerError, match="no decision 77 to undo"):
        store.add_decisions(decisions({"undoes": 77}), T0)
    assert store.snapshot().seq == 1


def test_other_entries_are_appended_alike(store):
    """Approvals and case entries share the sequence; misspelt tables and columns are named."""
    seq = store.append("approvals", pl.DataFrame({"content_hash": ["x"], "approver": ["ana"]}), T0)

    assert seq == 2
    assert store.rows("approvals").row(0, named=True)["approver"] == "ana"
    with pytest.raises(LedgerError, match="'approval'; did you mean 'approvals'"):
        store.append("approval", pl.DataFrame({"note": ["x"]}), T0)
    with pytest.raises(LedgerError, match="no column 'aprover'; did you mean 'approver'"):
        store.append("approvals", pl.DataFrame({"aprover": ["x"]}), T0)


def test_notes_do_not_enter_the_chain_in_clear(store):
    """Free text may name a customer: the chain carries a keyed hash of it."""
    store.add_decisions(decisions({"note": "Ana Diaz called"}), T0)

    with store._catalog.read() as reader:
        body = json.loads(reader.value("select body from hashchain where seq = 2"))
    row = body["rows"]["decisions"][0]
    assert row["verdict"] == "same"
    assert row["note"].startswith("hmac:")
