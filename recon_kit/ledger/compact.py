"""Many small segments of one table become few large ones; nothing that is read changes.

Small files of one kind and source are written anew as one, each row beside the sequence it came
with, ordered by it (the index of keys by the hash of the key, so that a lookup reads few pages).
The new file is read back and compared with the old ones row for row before it is committed, by
the same steps as any other segment: bytes, name, folder, then the row in the catalog and its link
of the chain, which names every file that the new one takes the place of. Old files stay a day for
whoever still reads them; then they are litter.

One group of files is one commit, prepared without the lock: a crash at any step leaves the old
files or the new one in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recon_kit import model
from recon_kit.errors import CorruptStoreError
from recon_kit.ledger import files, segments
from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.ledger.files import Places
from recon_kit.ledger.lock import writer_lock
from recon_kit.ledger.seal import parquet_list
from recon_kit.ledger.segments import Staged
from recon_kit.ledger.successors import read_now
from recon_kit.safe import quote_ident

ROWS_MAX = 1_000_000  # of a merged file; one that holds half as many is left as it is
FILES_MIN = 4  # fewer are not worth a commit
_CHECKED_ROWS = 100_000  # so many rows at once are sorted to be compared


@dataclass(frozen=True, slots=True)
class Compacted:
    """One group of files that became one: how many, with how many rows, and what that saved.

    `done` is false where another commit changed the group meanwhile, so that it was left alone.
    """

    kind: str
    source: str | None
    files: int
    rows: int
    bytes_before: int
    bytes_after: int
    done: bool = True


@dataclass(frozen=True)
class _Group:
    """Files of one kind that become one. `rows`: seq, sha256, merged, rows, in this order."""

    kind: str
    source: str | None
    rows: pl.DataFrame

    @property
    def shas(self) -> list[str]:
        """The files, oldest first."""
        return self.rows["sha256"].unique(maintain_order=True).to_list()


def compact(
    places: Places,
    catalog: Catalog,
    recorded_at: datetime,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Compacted]:
    """Merge what is small; see `Store.compact`."""
    with catalog.read() as reader:
        groups = list(_groups(read_now(reader)))
    done = []
    for group in groups:
        progress(f"{group.kind}: {len(group.shas):,} files of {group.source or 'all runs'}")
        done.append(_merge(places, catalog, group, recorded_at))
    return done


def _groups(found: pl.DataFrame) -> Iterator[_Group]:
    """Small files that belong together, at least `FILES_MIN` of them, up to `ROWS_MAX` rows."""
    columns = ["seq", "sha256", "merged", "rows"]
    sized = found.sort("kind", "source", "seq", nulls_last=True).with_columns(
        pl.col("rows").sum().over("kind", "sha256").alias("held"),
        pl.col("seq").min().over("kind", "sha256").alias("first"),
    )
    small = sized.filter(pl.col("held") < ROWS_MAX // 2).sort("kind", "source", "first", "seq")
    for (kind, source), rows in small.group_by("kind", "source", maintain_order=True):
        each = rows.unique("sha256", keep="first", maintain_order=True)
        cut: list[list[str]] = [[]]
        total = 0
        for sha, held in each.select("sha256", "held").iter_rows():
            if total + held > ROWS_MAX:
                cut.append([])
                total = 0
            cut[-1].append(sha)
            total += held
        for shas in cut:
            if len(shas) >= FILES_MIN:
                mine = rows.filter(pl.col("sha256").is_in(shas)).select(columns)
                yield _Group(str(kind), source, mine)


def _merge(places: Places, catalog: Catalog, group: _Group, recorded_at: datetime) -> Compacted:
    old = [places.segment(group.kind, sha) for sha in group.shas]
    _refuse_changed(group, places)
    before = sum(path.stat().st_size for path in old)
    with ExitStack() as cleanup:
        with open_engine(old) as engine:
            staged = _stage(engine, places, group)
        cleanup.callback(segments.discard, [staged])
        cleanup.enter_context(writer_lock(places.lock, f"compacting {group.kind}"))
        done = _unchanged(catalog, group)
        if done:
            _commit(places, catalog, group, staged, recorded_at)
    after = staged.bytes if done else before
    return Compacted(group.kind, group.source, len(old), staged.rows, before, after, done)


def _refuse_changed(group: _Group, places: Places) -> None:
    for sha in group.shas:
        path = places.segment(group.kind, sha)
        if not path.exists() or files.hash_file(path) != sha:
            raise CorruptStoreError(
                f"{path.parent.name}/{path.name} is not what was committed; nothing of this table "
                "was merged. Run `recon verify --segments` and restore it from a backup."
            )


def _stage(engine: Engine, places: Places, group: _Group) -> Staged:
    """The merged file, read back and compared, durable in `tmp/`.

    Raises:
        CorruptStoreError: it does not hold exactly the rows of the old files.
    """
    rows = _rows_sql(engine, places, group)
    seq, kind = quote_ident(segments.seq_column(group.kind)), group.kind
    place = segments.order_of(kind)
    order = f"{place}, {seq}" if kind == "keys" else f"{seq}, {place}"
    columns = ", ".join(quote_ident(c) for c in segments.columns_of(kind, merged=True))
    path = engine.write(f"select {columns} from ({rows}) order by {order}", f"merged_{kind}")
    again = f"select *, 0 as part, file_row_number from {parquet_list([path])}"
    number = engine.one(f"select count(*) from {parquet_list([path])}")[0]
    expected = engine.one(f"select count(*) from ({rows})")[0]
    if number != expected or _digest(engine, rows, group) != _digest(engine, again, group):
        raise CorruptStoreError(
            f"the merged file of {group.kind} does not read as the {len(group.shas)} files that it "
            "was made of; nothing was changed. Run `recon verify --segments`, and try again."
        )
    copy, sha256, length = files.stage(path, places.tmp)
    return Staged(kind, copy, sha256, int(str(number)), length)


def _rows_sql(engine: Engine, places: Places, group: _Group) -> str:
    """Rows of all files of the group, each with its sequence, its file (`part`) and its place."""
    kind = group.kind
    names = ", ".join(quote_ident(c) for c in segments.columns_of(kind, merged=False))
    seq = quote_ident(segments.seq_column(kind))
    parts = {sha: part for part, sha in enumerate(group.shas)}
    arms = []
    for merged in (False, True):
        mine = group.rows.filter(pl.col("merged") == merged)
        if mine.is_empty():
            continue
        shas = mine["sha256"].unique(maintain_order=True).to_list()
        table = parquet_list([places.segment(kind, sha) for sha in shas])
        held = merged or kind == "events"  # the file itself says which row came with which
        placed = pl.DataFrame(
            [(shas.index(sha), parts[sha], s) for s, sha in mine.select("seq", "sha256").rows()],
            schema={"file_index": pl.Int64, "part": pl.Int64, "placed_seq": pl.Int64},
            orient="row",
        )
        if held:
            placed = placed.unique("file_index").drop("placed_seq")
        engine.put(f"placed_{merged}".lower(), placed)
        told = "" if kind == "events" else f", {seq if merged else 'placed_seq'} as {seq}"
        arms.append(
            f"select {names}{told}, part, file_row_number from (select *, file_index, "
            f"file_row_number from {table}) join placed_{str(merged).lower()} using (file_index)"
        )
    return " union all ".join(arms)


def _digest(engine: Engine, rows: str, group: _Group) -> str:
    """Hash of all rows in the order of their sequences, a bounded number of them at a time."""
    kind = group.kind
    seq = quote_ident(segments.seq_column(kind))
    columns = segments.columns_of(kind, merged=True)
    text = model.digested_sql(*(f"cast({quote_ident(c)} as varchar)" for c in columns))
    by_seq = group.rows.group_by("seq").agg(pl.col("rows").sum()).sort("seq")
    share = (pl.col("rows").cum_sum() - 1) // _CHECKED_ROWS
    bounds = by_seq.group_by(share.alias("share")).agg(
        pl.col("seq").min().alias("low"), pl.col("seq").max().alias("high")
    )
    order = f"{seq}, {segments.order_of(kind)}"
    return engine.digest(
        f"select {text} as t from ({rows}) where {seq} between {low} and {high} order by {order}"
        for low, high in bounds.sort("low").select("low", "high").rows()
    )


def _unchanged(catalog: Catalog, group: _Group) -> bool:
    """Whether the files of a group are still read for just these sequences."""
    with catalog.read() as reader:
        now = read_now(reader, "kind = ?", (group.kind,))
    which = ["seq", "sha256"]
    mine = now.filter(pl.col("sha256").is_in(group.shas)).select(which).sort(which)
    return mine.equals(group.rows.select(which).sort(which))


def _commit(
    places: Places, catalog: Catalog, group: _Group, staged: Staged, recorded_at: datetime
) -> None:
    files.require_format(places, files.FORMAT_MERGED)
    with catalog.write() as writer:
        segments.commit_segments(writer, places, [staged], source=group.source)
        for sha, rows in group.rows.group_by("sha256", maintain_order=True).agg(
            pl.col("rows").sum()
        ).rows():  # fmt: skip
            writer.insert(
                "compactions", kind=group.kind, sha256=sha, replaced_by=staged.sha256, rows=rows,
                recorded_at=recorded_at,
            )  # fmt: skip
        writer.link("compaction")
