"""Runs that are kept as what they changed against the run before, and read as a whole.

A late day changes few rows, so it writes few: the rows that are new or told otherwise, and in
`run_changes` which of the base's rows no longer count. Rows are named by the first column of
their table (`match_id`, `item_id`, `case_id`): all rows of one name change together. A run
without `run_changes` is a full copy. Reading a run walks from it back to a full copy; of each name
the latest telling counts, so that the answer is row for row what a full copy would hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.ledger.catalog import Reader
from recon_kit.ledger.columns import duckdb_types, names, nothing, stored
from recon_kit.ledger.engine import Engine, Step
from recon_kit.ledger.files import Places
from recon_kit.ledger.successors import read_now
from recon_kit.safe import quote_ident, quote_text

# So many runs in a row may be kept as changes; the next one is a full copy again.
CHAIN_MAX = 30
# Beyond this share of changed rows a full copy is as small, and quicker to read.
CHANGED_SHARE_MAX = 0.25
_WHOLE = "base"  # the row that a run kept as changes always has, also where nothing changed
_PARTS = {"run_id": pl.String(), "part_run_id": pl.String(), "depth": pl.Int64()}


@dataclass(frozen=True)
class Base:
    """A run that another may be told against: what it is read from, and the hash of its rows."""

    run_id: str
    result_hash: str | None
    parts: pl.DataFrame
    files: Mapping[str, list[Path]]

    @property
    def short(self) -> bool:
        """Whether one more run may be kept as changes against it."""
        return self.parts.height <= CHAIN_MAX

    @property
    def paths(self) -> list[Path]:
        """All its files."""
        return [path for paths in self.files.values() for path in paths]


def row_name(table: str) -> str:
    """The column by which rows of a run table are named: its first."""
    return next(iter(model.RUN_TABLES[table]))


def parts_of(
    bases: Mapping[str, str | None], kept_as_changes: set[str], run_ids: Sequence[str]
) -> pl.DataFrame:
    """Which runs' segments make up each run: `run_id, part_run_id, depth` (0 is the full copy).

    Args:
        bases: every known run with its base.
        kept_as_changes: runs that are not a full copy.
        run_ids: the runs to read.
    """
    rows: list[tuple[str, str, int]] = []
    for run_id in dict.fromkeys(run_ids):
        chain = [run_id]
        while chain[-1] in kept_as_changes:
            base = bases[chain[-1]]
            assert base is not None  # noqa: S101 - only a run with a base is kept as changes
            chain.append(base)
        rows += [(run_id, part, depth) for depth, part in enumerate(reversed(chain))]
    return pl.DataFrame(rows, schema=_PARTS, orient="row")


def base_of(reader: Reader, places: Places, run_id: str | None) -> Base | None:
    """The run to tell changes against; none where there is none."""
    if run_id is None:
        return None
    told = reader.all("select run_id, base_run_id, result_hash from runs")
    bases = {str(row[0]): row[1] for row in told}
    if run_id not in bases:
        return None
    result_hash = next(row[2] for row in told if row[0] == run_id)
    segments = read_now(reader, "run_id is not null")
    parts = parts_of(bases, kept_as_changes(segments), [run_id])
    mine = segments.filter(pl.col("run_id").is_in(parts["part_run_id"].implode()))
    return Base(run_id, result_hash, parts, files_by_kind(places, mine))


def kept_as_changes(segments: pl.DataFrame) -> set[str]:
    """Runs that are no full copy, by the segments they have."""
    return set(segments.filter(pl.col("kind") == "run_changes")["run_id"])


def files_by_kind(
    places: Places, segments: pl.DataFrame, cut: Mapping[Path, Path] | None = None
) -> dict[str, list[Path]]:
    """Files of segments by their kind, a merged one once.

    Args:
        places: of the store.
        segments: rows of `segments` as read now.
        cut: files to be read in place of others.
    """
    cut = cut or {}
    once = segments.unique(
        ["kind", "sha256", pl.when("merged").then(0).otherwise("seq")],
        keep="first", maintain_order=True,
    )  # fmt: skip
    found: dict[str, list[Path]] = {}
    for kind, sha in once.select("kind", "sha256").iter_rows():
        path = places.segment(kind, sha)
        found.setdefault(kind, []).append(cut.get(path, path))
    return found


def make_views(engine: Engine, files: Mapping[str, list[Path]], parts: pl.DataFrame) -> None:
    """A view per run table and `run_changes`, over whole runs, each row with its `run_id`.

    `..._written` of a table has the rows that each run wrote itself, of the runs that these are
    read from: all of a full copy, and of others those that changed.

    Args:
        engine: may read all these files.
        files: per kind, at least those of the runs' parts.
        parts: see `parts_of`.
    """
    engine.put("run_parts", parts)
    columns = {"run_id": "varchar", **duckdb_types(model.RUN_CHANGES)}
    told = stored(files.get("run_changes", []), columns)
    engine.run(
        Step(
            "run_changes",
            f"""
create temp view run_changes as
from ({told}) semi join (select distinct run_id from run_parts) using (run_id);
create temp table run_replaced as
select p.run_id, c.table_name, c.row_id, max(p.depth) as depth
from ({told}) c join run_parts p on p.part_run_id = c.run_id
where c.change in ('changed', 'withdrawn') group by all""",
            "what each run changed, and up to where older rows of one name no longer count",
        ),
        *(step for name in model.RUN_TABLES for step in _table_views(name, files, parts)),
    )


def _table_views(
    name: str, files: Mapping[str, list[Path]], parts: pl.DataFrame
) -> tuple[Step, Step]:
    columns = {"run_id": "varchar", **duckdb_types(model.RUN_TABLES[name])}
    written = stored(files.get(name, []), columns)
    told = [f"t.{quote_ident(c)}" for c in model.RUN_TABLES[name]]
    runs = parts["part_run_id"].unique().sort().to_list()
    # a merged file holds other runs as well
    listed = ", ".join(map(quote_text, runs)) or "null"
    own = quote_ident(written_name(name))
    body = f"from {own}"
    if "run_changes" in files:
        body = f"""
select p.run_id, {", ".join(told)}
from {own} t
join run_parts p on p.part_run_id = t.run_id
left join (from run_replaced where table_name = {quote_text(name)}) r
       on r.run_id = p.run_id and r.row_id = t.{quote_ident(row_name(name))}
where r.depth is null or r.depth <= p.depth"""
    return (
        Step(
            written_name(name),
            f"create temp view {own} as from ({written}) where run_id in ({listed})",
            "rows as each run wrote them",
        ),
        Step(name, f"create temp view {quote_ident(name)} as {body}", "rows of whole runs"),
    )


def written_name(table: str) -> str:
    """The view of the rows of a run table that runs wrote themselves."""
    return f"{table}_written"


def compare_sql(table: str, before: str, after: str, *, few: bool = False) -> str:
    """A query of `table_name, row_id, change`: what differs between two tellings of a run table.

    `change` is `added`, `changed` or `withdrawn`. Rows are compared by two hashes of 64 bits over
    all their columns: two rows that differ are taken for equal once in 10^38. Of all rows only
    the hashes are joined; names are looked at where something moved.

    Args:
        table: name of a run table.
        before: what to read the earlier rows from, in the columns of the table.
        after: the same of the later rows.
        few: there are few rows, so they are read once and joined by their names.
    """
    columns = [quote_ident(c) for c in model.RUN_TABLES[table]]
    name = columns[0]
    one, other = ", ".join(columns), ", ".join(["'again'", *reversed(columns)])
    hashes = f"hash({name}) as h0, hash({one}) as h1, hash({other}) as h2"
    moved = f"""
moved as (
    select distinct coalesce(b.h0, a.h0) as h0
    from (select {hashes} from {before}) b full join (select {hashes} from {after}) a
      on a.h1 = b.h1 and a.h2 = b.h2
    where a.h1 is null or b.h1 is null
),"""
    which = "" if few else f" where hash({name}) in (from moved)"
    return f"""
with{"" if few else moved}
was as materialized (select {name} as row_id, {hashes} from {before}{which}),
now as materialized (select {name} as row_id, {hashes} from {after}{which}),
told as (
    select distinct coalesce(was.row_id, now.row_id) as row_id
    from was full join now
      on was.row_id = now.row_id and was.h1 = now.h1 and was.h2 = now.h2
    where was.h1 is null or now.h1 is null
)
select {quote_text(table)} as table_name, row_id,
       case when b.row_id is null then 'added' when a.row_id is null then 'withdrawn'
            else 'changed' end as change
from told left join (select distinct row_id from was) b using (row_id)
left join (select distinct row_id from now) a using (row_id)"""


def before_and_after(
    sources: Mapping[str, str], retaken: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """What to compare, per run table: rows of the base, and rows of the run that was made on it.

    The views of `make_views` must show the base.

    Args:
        sources: per run table the SQL that reads the rows that were made; none where it has none.
        retaken: reads `match_id` of the base's matches that were made anew; the rows of all others
            stand in the run as they are, and are not among the `sources`. Without it all are.
    """
    after = {
        name: sources.get(name, f"({nothing(duckdb_types(schema))})")
        for name, schema in model.RUN_TABLES.items()
    }
    before = {name: f"(from {quote_ident(name)})" for name in after}
    if retaken is not None:
        again = {
            name: f"(from {quote_ident(name)} semi join {retaken} using (match_id))"
            for name in model.CARRIED_TABLES
        }
        before |= again
    return before, after


def whole(sources: Mapping[str, str], retaken: str) -> dict[str, str]:
    """Per run table the SQL that reads all rows of a run that was made on the base of the views."""
    found = dict(sources)
    for name in model.CARRIED_TABLES:
        columns = names(duckdb_types(model.RUN_TABLES[name]))
        stands = f"select {columns} from {quote_ident(name)} anti join {retaken} using (match_id)"
        new = f"select {columns} from {sources[name]} union all " if name in sources else ""
        found[name] = f"({new}{stands})"
    return found


def queries(
    engine: Engine, run_id: str, base: Base, sources: Mapping[str, str], retaken: str | None = None
) -> dict[str, str] | None:
    """Queries of the segments of a run that is kept as changes; none where a full copy is better.

    Args:
        engine: may read the sources; its views of `make_views` show the base.
        run_id: the run to be kept.
        base: what it is told against.
        sources: per run table the SQL that reads its rows; see `before_and_after`.
        retaken: which of the base's matches were made anew; see there.
    """
    if not base.short:
        return None
    before, after = before_and_after(sources, retaken)
    if retaken is not None:
        for name in model.CARRIED_TABLES:
            engine.run(_again_step(name, before[name]))
            before[name] = f"again_{name}"
    engine.run(
        _told_changes(base.run_id, before, after, few=retaken is not None),
        *_moved_steps(before, after),
    )
    if not _small_and_exact(engine, before, after):
        return None
    run, of = quote_text(run_id), quote_text(base.run_id)
    found = {
        name: f"select {run} as run_id, {names(duckdb_types(model.RUN_TABLES[name]))}"
        f" from came_{name} order by all"
        for name in after
    }
    found["run_changes"] = f"""
        select {run} as run_id, {of} as base_run_id, table_name, row_id, change from told_changes
        union all select {run}, {of}, '', '', {quote_text(_WHOLE)} order by all"""
    return found


def moved() -> tuple[dict[str, str], dict[str, str]]:
    """Per run table the table of the base's rows that went, and of those that came.

    They are there once `queries` has said that the run is kept as changes.
    """
    return (
        {name: f"went_{name}" for name in model.RUN_TABLES},
        {name: f"came_{name}" for name in model.RUN_TABLES},
    )


def _again_step(name: str, source: str) -> Step:
    columns = names(duckdb_types(model.RUN_TABLES[name]))
    return Step(
        f"again_{name}",
        f"create temp table again_{name} as select {columns} from {source}",
        "rows of the base that were made anew, looked up once",
    )


def _moved_steps(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Step, ...]:
    """`went_...` and `came_...`: the rows that `told_changes` speaks of, of the base and now."""
    return tuple(
        Step(
            f"{what}_{name}",
            f"create temp table {what}_{name} as select {names(duckdb_types(schema))}"
            f" from {side[name]} where {quote_ident(row_name(name))} in ("
            f"select row_id from told_changes where table_name = {quote_text(name)})",
            "rows that are no longer told so, or are told now",
        )
        for what, side in (("went", before), ("came", after))
        for name, schema in model.RUN_TABLES.items()
    )


def _told_changes(
    base_id: str, before: Mapping[str, str], after: Mapping[str, str], *, few: bool
) -> Step:
    arms = [
        f"from ({compare_sql(name, before[name], source, few=few)})"
        for name, source in after.items()
    ]
    return Step(
        "told_changes",
        f"create temp table told_changes as {' union all '.join(arms)}",
        f"what differs from run {base_id[:8]}",
    )


def _small_and_exact(engine: Engine, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether changes are few, and reading them back gives as many rows as a full copy.

    The second holds by construction while no table has two equal rows or one without a name; if
    it ever does, a full copy is kept instead.
    """
    if engine.one("select count(*) from told_changes where row_id is null") != (0,):
        return False
    total = fresh = 0
    for name, source in after.items():
        rows, new, was, gone, stood = map(int, map(str, engine.one(f"""
            select (select count(*) from {source}), (select count(*) from came_{name}),
                   (select count(*) from {before[name]}), (select count(*) from went_{name}),
                   (select count(*) from {quote_ident(name)})""")))  # fmt: skip
        if rows != new + was - gone:
            return False
        total, fresh = total + rows + stood - was, fresh + new
    return fresh <= CHANGED_SHARE_MAX * total
