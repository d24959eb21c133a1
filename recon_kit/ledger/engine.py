"""The only maker of DuckDB connections: in memory, hardened, over an exact list of files.

A connection may read the files it was opened for and write inside its own temporary folder, and
nothing else: no other path, no network, no extension, no change of configuration. Results leave
it as polars frames or as parquet files in that folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from recon_kit.errors import LedgerError, WorkspaceError
from recon_kit.safe import quote_ident, quote_text

# What reading a file may raise that is no longer what it was.
EngineError = duckdb.Error
_BATCH_ROWS = 100_000
_SORTED_ROWS_MAX = 8_000_000  # 64 MB
_LISTED_MAX = 1_000  # texts that a statement lists


@dataclass(frozen=True, slots=True)
class Step:
    """One named SQL statement of a method. `why` is the sentence an engineer reads first."""

    name: str
    sql: str
    why: str = ""

    def __str__(self) -> str:
        return f"-- {self.name}: {self.why}\n{self.sql.strip()};\n"


@dataclass(frozen=True, slots=True)
class Timed:
    """How long one step took."""

    name: str
    seconds: float


class Engine:
    """A DuckDB connection and its temporary folder; made by `open_engine` only."""

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.con = con
        self.folder = folder
        self.trail: list[Timed] = []

    def run(self, *steps: Step) -> None:
        """Run steps in order; each leaves its time in `trail`."""
        for step in steps:
            started = time.perf_counter()
            self.con.execute(step.sql)
            self.trail.append(Timed(step.name, time.perf_counter() - started))

    def drop(self, *tables: str) -> None:
        """Drop tables, those that are there: what nobody reads again holds memory for nothing."""
        for table in tables:
            name = quote_ident(table)
            self.run(Step(f"drop_{table}", f"drop table if exists {name}", "nobody reads it again"))

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """The result of a query as a polars frame."""
        frame = pl.from_arrow(self.con.sql(sql, params=parameters or None).to_arrow_table())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - from_arrow of a table is a frame
        return frame

    def one(self, sql: str, parameters: Sequence[object] = ()) -> tuple[object, ...]:
        """The first row of a query that gives few."""
        # All rows are fetched: an unfinished result would block the connection.
        found = self.con.execute(sql, parameters or None).fetchall()
        if not found:
            raise LookupError("the query gave no row")
        return tuple(found[0])

    def digest(self, queries: Iterable[str]) -> str:
        """sha256 over the texts that queries give in order, one column each, and their lengths.

        The texts stream through; only what a query sorts is held. Null counts as empty.
        """
        texts, lengths = hashlib.sha256(), hashlib.sha256()
        for query in queries:
            for batch in self.con.sql(query).to_arrow_reader(_BATCH_ROWS):
                column = batch.column(0).cast(pa.large_binary())
                _, offsets, told = column.buffers()
                ends = np.frombuffer(offsets, np.int64)[column.offset :][: len(column) + 1]
                lengths.update(np.diff(ends).astype("<i8").tobytes())
                if told is not None:
                    texts.update(memoryview(told)[ends[0] : ends[-1]])
        return hashlib.sha256(lengths.digest() + texts.digest()).hexdigest()

    def repeated(self, query: str, rows: int) -> tuple[int, bool]:
        """How many 64-bit integers a query gives in its one column, and whether one stands twice.

        To sort them takes a tenth of the time that it takes to count how many are distinct.
        `rows` is about how many there may be: of more than 8 million a part is held at a time.
        """
        parts, counted, twice = 1 + rows // _SORTED_ROWS_MAX, 0, False
        for part in range(parts):
            some = f"from ({query}) t(h) where h % {parts} = {part}" if parts > 1 else query
            told = self.con.sql(some).to_arrow_table().column(0).chunks
            numbers = np.concatenate([np.empty(0, np.uint64), *(c.to_numpy() for c in told)])
            numbers.sort()
            counted += len(numbers)
            twice = twice or bool((numbers[1:] == numbers[:-1]).any())
        return counted, twice

    def among(self, name: str, values: Iterable[str]) -> str:
        """What stands after `in` for these texts: a list, or for very many the table `name`.

        Whoever reads a file applies a list while reading: parts of the file that hold none of the
        texts are left out, and so are all other columns elsewhere. A join finds them afterwards.
        """
        listed = list(dict.fromkeys(values))
        if len(listed) <= _LISTED_MAX:
            return f"({', '.join(map(quote_text, listed)) or 'null'})"
        self.put(name, pl.DataFrame({"value": listed}))
        return f"(from {quote_ident(name)})"

    def has(self, table: str) -> bool:
        """Whether there is a table or view of that name."""
        # a list of all tables costs thirty times as much
        try:
            self.con.execute(f"select 1 from {quote_ident(table)} limit 0").fetchall()
        except duckdb.CatalogException:
            return False
        return True

    def count(self, table: str) -> int:
        """Number of rows of a table or view."""
        number = self.one(f"select count(*) from {quote_ident(table)}")[0]
        assert isinstance(number, int)  # noqa: S101 - count(*) is an integer
        return number

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """Make (or replace) a table from a polars frame."""
        self.con.register("__incoming", frame.to_arrow())
        try:
            self.con.execute(f"create or replace table {quote_ident(name)} as from __incoming")
        finally:
            self.con.unregister("__incoming")

    def write(self, query: str, name: str) -> Path:
        """Write a query's result as `name`.parquet in the temporary folder; returns its path.

        Encodings of version 2 of the format: a text that seldom repeats, such as an id, is read in
        two thirds of the time.
        """
        path = self.folder / f"{name}.parquet"
        self.con.execute(
            f"copy ({query}) to {quote_text(str(path))} "
            "(format parquet, parquet_version v2, compression zstd, compression_level 1)"
        )
        return path


@contextmanager
def open_engine(
    files: Iterable[Path] = (),
    *,
    threads: int | None = None,
    memory_max: str | None = None,
    folder: Path | None = None,
) -> Iterator[Engine]:
    """Open a hardened engine that may read exactly `files`.

    Args:
        files: parquet segments, or staged files, that queries may read.
        threads: DuckDB threads; `RECON_THREADS`, else the machine's cores, when not given.
        memory_max: such as `"2GB"` (`RECON_MEMORY`, else most of the machine's, when not given);
            beyond it DuckDB spills into the temporary folder.
        folder: where to put the temporary folder (`RECON_TEMP`, else the system's).

    Yields:
        The engine; its folder and everything in it is removed afterwards.

    Raises:
        WorkspaceError: the memory is no size.
        LedgerError: a file has left the folder while the engine was open.
    """
    base = folder or (Path(os.environ["RECON_TEMP"]) if "RECON_TEMP" in os.environ else None)
    temp = Path(tempfile.mkdtemp(prefix="recon_", dir=base)).resolve()
    con = duckdb.connect(":memory:")
    listed = [Path(f).resolve() for f in files]
    try:
        _harden(con, listed, temp, threads, memory_max)
        yield Engine(con, temp)
    except (duckdb.IOException, duckdb.PermissionException) as error:
        gone = next((f for f in listed if not f.exists()), None)
        if gone is None:
            raise
        raise LedgerError(
            f"{gone.parent.name}/{gone.name} is no longer there: it was merged into another file "
            "(recon compact) and removed while it was being read. Read again: the same rows are "
            "there. If that fails too, run `recon verify --segments`."
        ) from error
    finally:
        con.close()
        shutil.rmtree(temp, ignore_errors=True)


def _harden(
    con: duckdb.DuckDBPyConnection,
    files: list[Path],
    temp: Path,
    threads: int | None,
    memory_max: str | None,
) -> None:
    spill = temp / "spill"
    con.execute("set TimeZone = 'UTC'")
    con.execute("set preserve_insertion_order = false")
    # In Jupyter a slow statement would else leave a bar of its own among the outputs.
    con.execute("set enable_progress_bar = false")
    # In memory there is nothing to make durable, but a checkpoint would still rewrite tables in
    # the middle of other work (measured: 0.5 CPU seconds at random statements of a 1M run).
    con.execute("set checkpoint_threshold = '1TB'")
    con.execute(f"set temp_directory = {quote_text(str(spill))}")
    threads = threads or int(os.environ.get("RECON_THREADS", "0")) or None
    if threads is not None:
        con.execute(f"set threads = {int(threads)}")
    memory_max = memory_max or os.environ.get("RECON_MEMORY") or None
    if memory_max is not None:
        try:
            con.execute(f"set memory_limit = {quote_text(memory_max)}")
        except duckdb.Error as error:
            raise WorkspaceError(
                f"RECON_MEMORY or memory_max = {memory_max!r} is no size; write one such as '2GB'"
            ) from error
    listed = ", ".join(quote_text(str(f)) for f in files)
    con.execute(f"set allowed_paths = [{listed}]")
    con.execute(f"set allowed_directories = [{quote_text(str(temp) + '/')}]")
    for switch in (
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "python_enable_replacements",
        "allow_community_extensions",
        "enable_external_access",
    ):
        con.execute(f"set {switch} = false")
    con.execute("set lock_configuration = true")
