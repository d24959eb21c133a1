import socket

import polars as pl
import pytest

from recon_kit.errors import WorkspaceError
from recon_kit.ledger.engine import Step, open_engine


@pytest.fixture
def folder(tmp_path):
    """A folder with one file that may be read and one that may not."""
    for name in ("mine", "other"):
        pl.DataFrame({"a": [1]}).write_parquet(tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.parquet").chmod(0o444)
    return tmp_path


def test_exactly_the_files_asked_for_can_be_read(folder):
    """A listed file is read; results leave as frames."""
    with open_engine([folder / "mine.parquet"]) as engine:
        rows = engine.rows(f"select a from read_parquet('{folder}/mine.parquet')")

    assert rows.rows() == [(1,)]


@pytest.mark.parametrize(
    "attack",
    [
        "select * from read_parquet('{folder}/other.parquet')",
        "select * from '{folder}/mine.parquet/../other.parquet'",
        "select * from read_text('/etc/hostname')",
        "select * from glob('{folder}/*')",
        "copy (select 2 as a) to '{folder}/mine.parquet' (format parquet)",
        "copy (select 2 as a) to '{folder}/new.parquet' (format parquet)",
        "copy (select 2 as a) to '{temp}/../new.parquet' (format parquet)",
        "export database '{folder}/all'",
        "attach '{folder}/new.db'",
        "install httpfs",
        "load httpfs",
        "create persistent secret s (type s3)",
        "set enable_external_access = true",
        "set allowed_paths = ['/']",
        "reset lock_configuration",
        "select * from a_python_variable",
    ],
)
def test_everything_else_is_refused(folder, attack):
    """No other path, no network, no extension, no change of configuration, no Python variable."""
    a_python_variable = pl.DataFrame({"secret": [1]})
    before = sorted(p.name for p in folder.iterdir())
    with open_engine([folder / "mine.parquet"], folder=folder.parent) as engine:
        statement = attack.format(folder=folder, temp=engine.folder)
        with pytest.raises(Exception, match=r"Permission|Cannot change|Catalog|Invalid"):
            engine.con.execute(statement).fetchall()

    assert a_python_variable.height == 1
    assert sorted(p.name for p in folder.iterdir()) == before
    assert pl.read_parquet(folder / "mine.parquet").rows() == [(1,)]


def test_a_symbolic_link_does_not_lead_out(folder):
    """A link inside the temporary folder to a file outside stays shut."""
    with open_engine([folder / "mine.parquet"]) as engine:
        link = engine.folder / "link.parquet"
        link.symlink_to(folder / "other.parquet")
        with pytest.raises(Exception, match="Permission"):
            engine.rows(f"select * from read_parquet('{link}')")


def test_the_temporary_folder_goes_with_the_engine(folder, monkeypatch):
    """What was written in it is gone afterwards."""
    monkeypatch.setenv("RECON_TEMP", str(folder))
    with open_engine() as engine:
        path = engine.write("select 1 as a", "result")
        there = path.exists()

    assert there
    assert path.is_relative_to(folder)
    assert not path.parent.exists()


def test_no_socket_is_opened(folder, monkeypatch):
    """The engine works where the network is out of reach."""

    def refuse(*_args, **_named):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    with open_engine([folder / "mine.parquet"]) as engine:
        engine.put("t", pl.DataFrame({"a": [1, 2]}))
        assert engine.one("select sum(a)::bigint from t") == (3,)
        assert engine.count("t") == 2


def test_steps_are_timed_and_can_be_printed():
    """A named step leaves its time, and shows its SQL with the reason for it."""
    step = Step("numbers", "create table numbers as select 1 as a", "one is enough")
    with open_engine(threads=1, memory_max="200MB") as engine:
        engine.run(step)
        first = engine.one("from numbers")
        assert [t.name for t in engine.trail] == ["numbers"]
        with pytest.raises(LookupError, match="gave no row"):
            engine.one("from numbers where a > 1")

    assert first == (1,)
    assert str(step) == "-- numbers: one is enough\ncreate table numbers as select 1 as a;\n"


def test_no_bar_stands_among_the_outputs_of_a_notebook():
    """In a kernel DuckDB would draw one for every slow statement; the engine tells it not to."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    asked = """
import duckdb
from recon_kit.ledger.engine import open_engine
question = "select current_setting('enable_progress_bar')"
with open_engine() as engine:
    print(duckdb.connect().execute(question).fetchone(), engine.one(question))
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(asked)])
    nbclient.NotebookClient(book, kernel_name="python3").execute()

    assert book.cells[0].outputs[0].text == "(True,) (False,)\n"


def test_a_session_shows_times_in_utc():
    """No zone of the machine leaks into what SQL prints."""
    with open_engine() as engine:
        shown = engine.one("select cast(to_timestamp(0) as varchar)")

    assert shown == ("1970-01-01 00:00:00+00",)


def test_a_digest_is_of_the_texts_and_of_where_each_ends(monkeypatch):
    """However the rows are cut into queries and batches; "ab", "c" are not "a", "bc"."""
    with open_engine() as engine:
        whole = engine.digest(["select t from (values ('ab'), ('c'), ('')) v(t) order by t"])
        parts = engine.digest(
            f"select t from (values ('ab'), ('c'), ('')) v(t) where {w} order by t"
            for w in ("t < 'b'", "t >= 'b'")
        )
        other = engine.digest(["select t from (values ('a'), ('bc'), ('')) v(t) order by t"])
        many = "select range::varchar as t from range(5000) order by t"
        at_once = engine.digest([many])
        monkeypatch.setattr("recon_kit.ledger.engine._BATCH_ROWS", 2048)
        in_batches = engine.digest([many])

    assert whole == parts
    assert whole != other
    assert at_once == in_batches


def test_memory_is_bounded_by_the_environment(monkeypatch):
    """A scheduler may say how much memory a run gets; what a caller asks for goes first."""
    monkeypatch.setenv("RECON_MEMORY", "300MiB")
    with open_engine() as bounded, open_engine(memory_max="200MiB") as asked:
        limits = [e.one("select current_setting('memory_limit')")[0] for e in (bounded, asked)]

    assert limits == ["300.0 MiB", "200.0 MiB"]


def test_a_memory_that_is_no_size_is_refused(monkeypatch):
    """The message names the variable and an example."""
    monkeypatch.setenv("RECON_MEMORY", "plenty")

    with pytest.raises(WorkspaceError) as refused, open_engine():
        pass

    assert str(refused.value) == (
        "RECON_MEMORY or memory_max = 'plenty' is no size; write one such as '2GB'"
    )


@pytest.mark.parametrize("rows_held", [3, 1_000])
def test_what_stands_twice_is_found_at_once_and_in_parts(
    monkeypatch: pytest.MonkeyPatch, rows_held: int
) -> None:
    """Where there are too many to be sorted together, equal ones still come into one part."""
    monkeypatch.setattr("recon_kit.ledger.engine._SORTED_ROWS_MAX", rows_held)
    once = "select hash(range) from range(100)"
    with open_engine() as engine:
        assert engine.repeated(once, 100) == (100, False)
        assert engine.repeated(f"{once} union all select hash(41)", 101) == (101, True)
        assert engine.repeated("select hash(1) where false", 0) == (0, False)


def test_an_engine_says_what_it_has():
    """Tables, temporary ones and views; not what was dropped, nor what never was."""
    with open_engine() as engine:
        for made in ("table a", "temp table b", "view c"):
            engine.con.execute(f"create {made} as select 1 as x")
        assert [name for name in "abcd" if engine.has(name)] == ["a", "b", "c"]
        engine.drop("a")
        assert not engine.has("a")


@pytest.mark.parametrize("listed_max", [2, 1_000])
def test_few_texts_are_listed_and_many_stand_in_a_table(
    monkeypatch: pytest.MonkeyPatch, listed_max: int
) -> None:
    """Either way a query finds the same rows; quotes are part of a text, nothing is in no texts."""
    monkeypatch.setattr("recon_kit.ledger.engine._LISTED_MAX", listed_max)
    wanted = ["o'1", "o2", "o2", "o3"]
    with open_engine() as engine:
        engine.put("events", pl.DataFrame({"event_key": ["o'1", "o2", "o4"]}))
        some, none = engine.among("wanted", wanted), engine.among("unwanted", [])
        query = "select event_key from events where event_key in {} order by event_key"
        found = [engine.rows(query.format(those))["event_key"].to_list() for those in (some, none)]

    assert found == [["o'1", "o2"], []]
    assert some == ('(from "wanted")' if listed_max == 2 else "('o''1', 'o2', 'o3')")
