"""The catalog in SQLite: the only commit point of the store, and the only owner of sqlite3.

Readers open the file read-only, take what they need and close. Writers exist only under the
writer lock: every commit and every checkpoint of the write-ahead log happens while it is held, so
that the two never race (SQLite before 3.51.3 can lose a commit in that race).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from recon_kit.errors import CorruptStoreError, LedgerError
from recon_kit.ledger.files import Places
from recon_kit.ledger.hashchain import START, canonical, link_hash
from recon_kit.ledger.lock import shared_lock, writer_lock
from recon_kit.ledger.tables import TABLES
from recon_kit.safe import quote_ident

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SQLITE = {pl.String: "text", pl.Int64: "integer", pl.Boolean: "integer", pl.Float64: "real"}
_BUSY_SECONDS = 30.0
_COMMITS_PER_CHECKPOINT = 500


SQLITE_SAFE_FROM = (3, 51, 3)  # sqlite.org/wal.html, section on the WAL-reset bug


def sqlite_version() -> tuple[int, ...]:
    """Version of the SQLite library that this Python links."""
    return sqlite3.sqlite_version_info


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970 in UTC; a time without a zone is refused."""
    if moment.tzinfo is None:
        raise LedgerError("the ledger takes times with a zone; pass one in UTC.")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime:
    """The time that `micros` made the number of."""
    return _EPOCH + timedelta(microseconds=value)


class Reader:
    """Queries on one open connection; results are complete before they are handed out."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Every row of a query."""
        return [tuple(row) for row in self._con.execute(sql, parameters).fetchall()]

    def each(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a query one by one, while the connection is open."""
        yield from self._con.execute(sql)

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """First column of the first row, or None."""
        row = self._con.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def frame(
        self, table: str, where: str = "true", parameters: Sequence[Any] = ()
    ) -> pl.DataFrame:
        """Rows of one catalog table as a frame, in the order in which they came."""
        columns = TABLES[table].columns
        names = ", ".join(quote_ident(c) for c in columns)
        rows = self.all(
            f"select {names} from {quote_ident(table)} where {where} order by seq, rowid",
            parameters,
        )
        plain = {c: pl.Int64() if _stored_whole(kind) else kind for c, kind in columns.items()}
        return pl.DataFrame(rows, schema=plain, orient="row").select(
            pl.col(c).cast(kind) for c, kind in columns.items()
        )

    def head(self) -> tuple[int, str]:
        """Number of links in the chain and the hash of the last one."""
        rows = self.all("select seq, hash from hashchain order by seq desc limit 1")
        return (int(rows[0][0]), str(rows[0][1])) if rows else (0, START)

    def meta(self, name: str) -> Any:
        """A named value of the store itself."""
        return self.value("select value from meta where name = ?", (name,))

    def secret(self) -> bytes:
        """The random secret of the store.

        Raises:
            CorruptStoreError: it is no longer what was made.
        """
        try:
            return bytes.fromhex(str(self.meta("secret")))
        except ValueError:
            raise CorruptStoreError(
                "the secret of the store in meta.db is damaged: nothing that hangs on it can be "
                "checked or drawn. Restore meta.db from a backup."
            ) from None


class Writer(Reader):
    """One transaction: rows of one or more commits, each closed by its link of the chain."""

    def __init__(self, con: sqlite3.Connection) -> None:
        super().__init__(con)
        self._size, self._hash = self.head()
        self._secret = self.secret()
        self._rows: dict[str, list[dict[str, Any]]] = {}

    @property
    def seq(self) -> int:
        """Sequence of the commit being written."""
        return self._size + 1

    def insert(self, table: str, **values: Any) -> None:
        """Add one row; `seq` is filled in, times are turned into microseconds."""
        columns = TABLES[table].columns
        row = {c: _stored(values.get(c)) for c in columns} | {"seq": self.seq}
        unknown = set(values) - set(columns)
        if unknown:
            raise LedgerError(f"table {table} has no columns {sorted(unknown)}")
        names = ", ".join(quote_ident(c) for c in row)
        marks = ", ".join("?" * len(row))
        self._con.execute(
            f"insert into {quote_ident(table)} ({names}) values ({marks})", list(row.values())
        )
        self._rows.setdefault(table, []).append(veil(table, row, self._secret))

    def link(self, kind: str) -> int:
        """Close the commit with its link of the chain; returns its sequence."""
        seq = self.seq
        body = canonical({"seq": seq, "kind": kind, "rows": self._rows})
        digest = link_hash(self._hash, body)
        self._con.execute(
            "insert into hashchain (seq, prev, body, hash) values (?, ?, ?, ?)",
            (seq, self._hash, body, digest),
        )
        self._size, self._hash, self._rows = seq, digest, {}
        return seq


class Catalog:
    """Where connections to one `meta.db` come from."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def make(self, created_at: datetime, secret: bytes) -> None:
        """Make an empty catalog; the caller has seen that there is none."""
        with self._write_connection() as con:
            con.execute("pragma journal_mode = wal")
            con.execute("begin immediate")
            for statement in _statements():
                con.execute(statement)
            known = {
                "secret": secret.hex(),
                "store_id": secrets.token_hex(8),
                "created_at": str(micros(created_at)),
            }
            con.executemany("insert into meta (name, value) values (?, ?)", list(known.items()))
            con.execute("commit")

    def complete(self) -> None:
        """Add the tables and columns that came after the version that made this catalog.

        Nothing that stands there changes, so what earlier links of the chain say still holds. A
        user who may not write leaves it as it is.
        """
        with self.read() as reader:
            if not _lacking(reader):
                return
        if not os.access(self._places.meta, os.W_OK):
            return
        with (
            writer_lock(self._places.lock, "adding tables of a newer version"),
            self._write_connection() as con,
        ):
            con.execute("begin immediate")
            for statement in _lacking(Reader(con)):  # another process may have been first
                con.execute(statement)
            con.execute("commit")

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A read-only look; every query in it sees the same commits.

        Raises:
            CorruptStoreError: the file is no catalog any more.
            LedgerError: it cannot be read by this user.
        """
        meta = self._places.meta
        try:
            with self._read_uri() as uri:
                con = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
                try:
                    con.execute("begin")
                    yield Reader(con)
                finally:
                    con.close()
        except sqlite3.OperationalError as why:
            raise LedgerError(f"{meta} cannot be read by this user ({why}).") from why
        except sqlite3.DatabaseError as why:
            raise CorruptStoreError(
                f"{meta} cannot be read ({why}). Restore it from a backup; raw/ and seg/ are "
                "untouched."
            ) from why

    def copy_to(self, target: Path) -> None:
        """Copy the catalog as of one commit into a new file, whoever writes meanwhile."""
        with self._read_uri() as uri:
            source = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)
            copy = sqlite3.connect(target)
            try:
                source.backup(copy)
                copy.execute("pragma journal_mode = wal")
            finally:
                copy.close()
                source.close()

    @contextmanager
    def _read_uri(self) -> Iterator[str]:
        """How to open the catalog for reading.

        SQLite needs to make a file beside a catalog even to read it. Where this user may not, the
        catalog is read as it lies there, with writers kept out for the moment that takes.
        """
        uri = f"file:{quote(str(self._places.meta))}?mode=ro"
        if os.access(self._places.root, os.W_OK):
            yield uri
            return
        with shared_lock(self._places.lock):
            log = self._places.meta.with_name(self._places.meta.name + "-wal")
            pending = log.exists() and log.stat().st_size > 0
            yield uri if pending else uri + "&immutable=1"

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """One transaction; all of it is committed at the end, or nothing.

        Only to be entered while the writer lock is held.
        """
        with self._write_connection() as con:
            con.execute("begin immediate")
            try:
                writer = Writer(con)
                yield writer
            except BaseException:
                con.execute("rollback")
                raise
            con.execute("commit")  # the commit point of the store
            if writer.seq % _COMMITS_PER_CHECKPOINT == 0:
                con.execute("pragma wal_checkpoint(truncate)")

    @contextmanager
    def locked_write(self, purpose: str) -> Iterator[Writer]:
        """`write` under the writer lock."""
        with writer_lock(self._places.lock, purpose), self.write() as writer:
            yield writer

    @contextmanager
    def _write_connection(self) -> Iterator[sqlite3.Connection]:
        meta = self._places.meta
        # Never open and close this file by other means: that would drop the locks of SQLite
        # connections of this process.
        if not os.access(meta if meta.exists() else meta.parent, os.W_OK):
            raise LedgerError(
                f"{meta} is read-only for this user. Reading goes on; to write, mount the store "
                "writable or change its permissions."
            )
        try:
            con = sqlite3.connect(meta, timeout=_BUSY_SECONDS, isolation_level=None)
        except sqlite3.OperationalError as why:
            raise LedgerError(f"{meta} cannot be opened for writing ({why}).") from why
        try:
            con.execute("pragma synchronous = full")
            con.execute("pragma wal_autocheckpoint = 0")
            yield con
            # The last connection to close empties the log; a reader in between only delays it.
        except sqlite3.OperationalError as why:
            raise LedgerError(
                f"{meta}: {why}. Nothing was committed; see that the disk has space and that "
                "this user may write the store."
            ) from why
        except sqlite3.IntegrityError as why:
            raise LedgerError(f"{meta}: {why}. Nothing was committed.") from why
        except sqlite3.DatabaseError as why:
            raise CorruptStoreError(f"{meta}: {why}. Nothing was committed.") from why
        finally:
            con.close()


def veil(table: str, row: dict[str, Any], secret: bytes) -> dict[str, Any]:
    """A row as it stands in the chain: keyed hashes for free text, decimal text for floats."""
    hidden = TABLES[table].veiled
    return {
        name: _keyed(value, secret)
        if name in hidden and value is not None
        else (repr(value) if isinstance(value, float) else value)
        for name, value in row.items()
    }


def _keyed(value: Any, secret: bytes) -> str:
    return "hmac:" + hmac.new(secret, str(value).encode(), hashlib.sha256).hexdigest()


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    return int(value) if isinstance(value, bool) else value


def _stored_whole(kind: pl.DataType) -> bool:
    return isinstance(kind, (pl.Datetime, pl.Boolean))


def _statements() -> Iterator[str]:
    yield "create table meta (name text primary key, value text not null) strict"
    yield (
        "create table hashchain (seq integer primary key, prev text not null, "
        "body blob not null, hash text not null) strict"
    )
    yield from _append_only("hashchain")
    for name in TABLES:
        yield from _table_statements(name)


def _table_statements(name: str) -> Iterator[str]:
    table = TABLES[name]
    columns = [_column(c, kind) for c, kind in table.columns.items()]
    if table.unique:
        columns.append("unique (" + ", ".join(quote_ident(c) for c in table.unique) + ")")
    yield f"create table {quote_ident(name)} ({', '.join(columns)}) strict"
    yield f"create index {quote_ident(name + '_seq')} on {quote_ident(name)} (seq)"
    yield from _append_only(name)


def _column(name: str, kind: pl.DataType) -> str:
    return f"{quote_ident(name)} {_SQLITE.get(type(kind), 'integer')}"


def _append_only(name: str) -> Iterator[str]:
    for verb in ("update", "delete"):
        yield (
            f"create trigger {quote_ident(f'{name}_no_{verb}')} before {verb} on "
            f"{quote_ident(name)} begin select raise(abort, '{name} is append only'); end"
        )


def _lacking(reader: Reader) -> list[str]:
    """Statements that bring a catalog to the tables and columns of this version."""
    found = reader.all(
        "select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c "
        "where m.type = 'table'"
    )
    present: dict[str, set[str]] = {}
    for table, column in found:
        present.setdefault(table, set()).add(column)
    todo: list[str] = []
    for name, table in TABLES.items():
        if name not in present:
            todo += _table_statements(name)
            continue
        todo += [
            f"alter table {quote_ident(name)} add column {_column(c, kind)}"
            for c, kind in table.columns.items()
            if c not in present[name]
        ]
    return todo
