"""A consistent view of the ledger as of one sequence: which files, read how.

What is current is decided when reading, so that the order in which files arrived never matters.
Of several tellings of one event the newest is read (see `tellings`). Of several sources that tell
one business key, the one with the lowest precedence is read; at equal precedence a told row comes
before an event derived from other rows (`records` 0), then the source's name decides. Several
events of the source that is read are all kept: two refunds of one order are two.

| view | rows |
| --- | --- |
| `events` | one per event: its current telling, less outranked ones (`model.EVENT_SCHEMA`) |
| `event_versions` | every telling with content of its own; the same columns |
| `who` | personal fields of each event's current telling (`model.WHO_SCHEMA`) |
| `who_told` | personal fields of every telling; the same columns |
| `keys` | the index of keys (`model.KEYS_SCHEMA`) |
| `retold` | rows that said again what was known, and where they stand |
| `duplicates` | event_key, kept_key, why: `retold` or `possible_duplicate` |
| `quarantine` | rows that could not be read (`model.QUARANTINE_SCHEMA`) |
| `artefacts` | sha256, source, name, bytes, received_at, as_of, covers_from, covers_to, seq |
| `coverage` | source, covers_from, covers_to, as_of: from its first to its last event |
| `decisions` | those in force (`model.DECISION_SCHEMA`) |
| one per run table | its columns and `run_id`, for the runs asked for, each as a whole |
| `run_changes` | what those of them that are kept as changes changed (`model.RUN_CHANGES`) |
| `findings_told` | findings of every run, as each said them first or said them otherwise |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from recon_kit.errors import LedgerError
from recon_kit.ledger import changes, segments, tellings
from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.columns import stored
from recon_kit.ledger.engine import Engine, Step, open_engine
from recon_kit.ledger.entries import in_force
from recon_kit.ledger.files import Places
from recon_kit.ledger.seal import parquet_list
from recon_kit.ledger.successors import read_now
from recon_kit.safe import quote_ident, quote_text

PRECEDENCE = 100  # of a source that declares none


class Snapshot:
    """The ledger as of `seq`: everything committed up to it, nothing after."""

    def __init__(self, places: Places, catalog: Catalog, as_of_seq: int | None) -> None:
        with catalog.read() as reader:
            size = reader.head()[0]
            self.seq = size if as_of_seq is None else as_of_seq
            if not 0 <= self.seq <= size:
                raise LedgerError(
                    f"there is no sequence {as_of_seq}; the ledger holds 0 to {size}."
                )
            until = "seq <= ?"
            # what was erased is gone from every past as well; what was merged is read from there
            now = read_now(reader).with_columns(
                later=pl.col("merged") & (pl.col("seq").max().over("kind", "sha256") > self.seq)
            )
            # what a run derived is no fact: it may be asked for whatever the sequence
            self._segments = now.filter(
                (pl.col("seq") <= self.seq) | pl.col("run_id").is_not_null()
            )
            self._artefacts = reader.frame("artefacts", until, (self.seq,))
            self._decisions = reader.frame("decisions", until, (self.seq,))
            self._bases = dict(reader.all("select run_id, base_run_id from runs"))
        self._places = places

    def __repr__(self) -> str:
        return f"Snapshot(seq={self.seq})"

    def coverage(self) -> pl.DataFrame:
        """Per source: first and last event time that its files tell, and their newest as-of."""
        return (
            self._artefacts.group_by("source")
            .agg(
                pl.col("covers_from").min(),
                pl.col("covers_to").max(),
                pl.col("as_of").max(),
            )
            .sort("source")
        )

    def artefacts(self) -> pl.DataFrame:
        """Every received file with the sequence of its batch."""
        return self._artefacts

    def decisions(self) -> pl.DataFrame:
        """Decisions in force: not undone, and no undo themselves."""
        return in_force(self._decisions)

    @contextmanager
    def engine(  # noqa: PLR0913 - each says of another part what is shown, or how it is read
        self,
        *,
        runs: Sequence[str] = (),
        precedence: Mapping[str, int] | None = None,
        batch: int | None = None,
        facts: bool = True,
        threads: int | None = None,
        memory_max: str | None = None,
    ) -> Iterator[Engine]:
        """An engine with the views of this snapshot, over exactly its files.

        Args:
            runs: ids of the runs whose tables are wanted.
            facts: whether events are read, by any of the views that tell what is current; to look
                up which telling is takes a while.
            batch: sequence of a batch whose own rows are wanted as well: views `batch_events`
                (its tellings), `batch_retold` and `batch_quarantine`.
            precedence: of two sources that tell one movement the lower is read; 100 if not named.
            threads: DuckDB threads; the machine's cores when not given.
            memory_max: such as `"2GB"`.

        Raises:
            LedgerError: a run is not in the store.
        """
        missing = sorted(set(runs) - set(self._bases))
        if missing:
            raise LedgerError(f"the ledger holds no run {missing[0]!r}.")
        parts = changes.parts_of(self._bases, changes.kept_as_changes(self._segments), runs)
        files, run_files = self._files(parts["part_run_id"].to_list())
        every = {path for kinds in (files, run_files) for paths in kinds.values() for path in paths}
        with open_engine(sorted(every), threads=threads, memory_max=memory_max) as engine:
            cut = self._cut(engine)
            self._put_small_tables(engine)
            _make_views(engine, {k: [cut.get(p, p) for p in paths] for k, paths in files.items()})
            changes.make_views(engine, run_files, parts)
            if facts:
                self._make_fact_views(engine, cut, precedence or {})
            if batch is not None:
                self._make_batch_views(engine, batch)
            engine.trail.clear()
            yield engine

    def _make_fact_views(
        self, engine: Engine, cut: Mapping[Path, Path], precedence: Mapping[str, int]
    ) -> None:
        of_facts = self._segments.filter(pl.col("run_id").is_null())
        tellings.make_views(engine, tellings.files_of(self._places, of_facts, cut))
        _make_events(engine, precedence, contested=bool(self._segments["contested"].sum()))

    def _cut(self, engine: Engine) -> dict[Path, Path]:
        """Merged files that hold later rows as well, each with a copy of its rows up to now."""
        mixed = self._segments.filter(pl.col("later") & pl.col("run_id").is_null())
        found = {}
        for kind, sha in mixed.select("kind", "sha256").unique(maintain_order=True).rows():
            seq = quote_ident(segments.seq_column(kind))
            found[self._places.segment(kind, sha)] = engine.write(
                f"from {parquet_list([self._places.segment(kind, sha)])} where {seq} <= {self.seq}",
                f"{kind}_{sha}",
            )
        return found

    def _make_batch_views(self, engine: Engine, batch: int) -> None:
        """Views of one batch's rows; from a merged file only those that came with it."""
        own = self._segments.filter(pl.col("seq") == batch)
        for kind in ("events", "quarantine", "retold"):
            of_kind = own.filter(pl.col("kind") == kind)
            files = changes.files_by_kind(self._places, of_kind).get(kind, [])
            body = stored(files, segments.columns_of(kind, merged=False))
            if of_kind["merged"].any():
                body += f" where {quote_ident(segments.seq_column(kind))} = {batch}"
            engine.run(
                Step(f"batch_{kind}", f"create temp view batch_{kind} as {body}", "its own rows")
            )

    def _files(self, parts: Sequence[str]) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """Files by kind: of facts (and the findings of all runs), and of the parts of runs."""
        of_facts = pl.col("run_id").is_null()
        facts, of_runs, findings = (
            changes.files_by_kind(self._places, self._segments.filter(which))
            for which in (
                of_facts,
                pl.col("run_id").is_in(list(parts)),
                ~of_facts & (pl.col("kind") == "findings"),
            )
        )
        more = {"findings_told": findings.get("findings", []), "who_told": facts.get("who", [])}
        return facts | more, of_runs

    def _put_small_tables(self, engine: Engine) -> None:
        engine.put("artefacts", self._artefacts)
        engine.put("coverage", self.coverage())
        engine.put("decisions", self.decisions())


def _view(name: str, files: Mapping[str, list[Path]], columns: Mapping[str, str]) -> Step:
    body = stored(files.get(name, []), columns)
    return Step(name, f"create temp view {quote_ident(name)} as {body}", "rows of its segments")


def _make_views(engine: Engine, files: Mapping[str, list[Path]]) -> None:
    tables = {
        "keys": "keys",
        "quarantine": "quarantine",
        "retold": "retold",
        "who_told": "who",
        "findings_told": "findings",
    }
    engine.run(
        *(
            _view(name, files, segments.columns_of(kind, merged=False))
            for name, kind in tables.items()
        )
    )


def _make_events(engine: Engine, precedence: Mapping[str, int], *, contested: bool) -> None:
    """View `events` and view `duplicates`: one telling of each movement."""
    possible = (
        "select distinct event_key, event_key as kept_key, why from retold "
        "where why = 'possible_duplicate'"
    )
    if not contested:
        engine.run(
            Step("events", "create temp view events as from current_events"),
            Step("duplicates", f"create temp view duplicates as {possible}"),
        )
        return
    ranks = pl.DataFrame(
        {"source": list(precedence), "rank": list(precedence.values())},
        schema={"source": pl.String, "rank": pl.Int64},
    )
    engine.put("source_ranks", ranks)
    engine.run(
        Step(
            "outranked",
            f"""
            create temp table outranked as
            with several as (
                select business_key from current_events where business_key is not null
                group by business_key having count(*) > 1
            ),
            placed as (
                select business_key, event_key, dense_rank() over (
                    partition by business_key
                    order by coalesce(r.rank, {PRECEDENCE}), records = 0, source) as place
                from current_events left join source_ranks r using (source)
                where business_key in (from several)
            ),
            kept as (
                select business_key, min(event_key) as kept_key from placed
                where place = 1 group by business_key
            )
            select event_key, kept_key from placed join kept using (business_key)
            where place > 1""",
            "tellings of a movement that a better source, or a row of its own, tells as well",
        ),
        Step(
            "events",
            "create temp view events as from current_events "
            "where event_key not in (select event_key from outranked)",
            "one telling of each movement",
        ),
        Step(
            "duplicates",
            "create temp view duplicates as "
            f"select event_key, kept_key, {quote_text('retold')} as why from outranked "
            f"union all {possible}",
            "tellings that are not read, or that may be a second movement",
        ),
    )
