"""The Python face: one object per workspace, polars in, results that show themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recon_kit.errors import MatchingError, SettingsError, WorkspaceError
from recon_kit.ingestion import checks
from recon_kit.ingestion.headers import header_frame
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ingestion.overlap import profile_sources
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.store import Store
from recon_kit.model import Receipt
from recon_kit.present import exports
from recon_kit.present.rows import RowsView
from recon_kit.present.views import (
    About,
    FileView,
    HealthView,
    HistoryView,
    MatchesView,
    ProfileView,
    QueueView,
    ReceiptView,
    RunView,
    SliView,
    Summary,
    WhyView,
)
from recon_kit.settings import Reconciliation, Settings
from recon_kit.tuning import labels as label_room
from recon_kit.workbench import asof, queries, reporting, setup, stories
from recon_kit.workbench.history import history
from recon_kit.workbench.run import Done, Request, evaluate, facts_seq

Progress = Callable[[str], None]

_ASIDE_SHOWN = 50


def _quiet(_: str) -> None:
    return None


class Workbench:
    """A workspace and everything that can be done with it.

    Made by `recon_kit.open(folder)`. Every method returns a result that shows itself in Jupyter
    and in a terminal; its `.frame` is a polars frame.
    """

    def __init__(self, folder: Path | str, *, clock: Callable[[], datetime] | None = None) -> None:
        self.folder = Path(folder).resolve()
        self.settings: Settings = setup.read_settings(self.folder)
        self._clock = clock or (lambda: datetime.now(UTC))
        self.store: Store = setup.open_store(self.folder, self.settings, self._clock())

    def __repr__(self) -> str:
        sources, recs = len(self.settings.sources), len(self.settings.reconciliations)
        return (
            f"<Workbench {self.settings.workspace.name!r}: {sources} sources, "
            f"{recs} reconciliations, {self.folder}>"
        )

    # --- facts -------------------------------------------------------------------------------

    def ingest(
        self,
        source: str,
        *files: Path | str,
        as_of: datetime | None = None,
        received_at: datetime | None = None,
        progress: Progress = _quiet,
    ) -> ReceiptView:
        """Take files of one declared source into the ledger.

        Args:
            source: name of the source in `recon.toml`.
            files: the files as they were exported; gzip is read as it is.
            as_of: when they were exported, where later files of the same period may differ.
            received_at: when they arrived; now, where not given.
            progress: told each file.

        Raises:
            FileRejectedError: a file cannot be read as this source declares it; nothing of that
                file was committed, earlier files of the call were.
        """
        declared = self.settings.source(source)
        receipts: list[Receipt] = []
        for file in files:
            progress(f"{source}: {Path(file).name}")
            receipts.append(
                ingest_file(
                    self.store,
                    declared,
                    Path(file),
                    workspace_timezone=self.settings.workspace.timezone,
                    received_at=received_at or self._clock(),
                    as_of=as_of,
                )
            )
        return ReceiptView(tuple(receipts))

    def profile(self, target: str | Path | None = None) -> ProfileView:
        """What the sources hold, or what one file holds.

        Args:
            target: a source's name or a file; all sources where not given.
        """
        if target is not None and Path(target).is_file():
            return setup.profile_file(Path(target))
        if target is not None:
            self.settings.source(str(target))
        with self.store.snapshot().engine() as engine:
            found = profile_sources(engine)
            frame = queries.sources(engine, self.settings)
            aside = queries.quarantined(engine, str(target))
        notes: tuple[str, ...] = ()
        if target is not None:
            frame = frame.filter(pl.col("source") == str(target))
            nulls = found.nulls.filter(pl.col("source") == str(target), pl.col("null_share") < 1)
            rows = aside.head(_ASIDE_SHOWN).to_dicts()
            notes = (
                queries.filled_sentence(nulls),
                *(f"quarantined: {r['file']}, row {r['record_row']}: {r['message']}" for r in rows),
            )
        return ProfileView(frame, self._about(), notes=notes)

    def key_overlap(self) -> RowsView:
        """Which keys of which two sources are the same: the table to read before `keys = [...]`."""
        with self.store.snapshot().engine() as engine:
            return RowsView("Keys that two sources share", profile_sources(engine).overlaps)

    def checks(self) -> RowsView:
        """Broken promises of the data: parity, uniqueness, relationships, money, coverage."""
        files = self.store.artefacts()
        with self.store.snapshot().engine() as engine:
            engine.put("batches", self.store.batches())
            engine.put("headers", header_frame(files, self.store.raw_path, self.settings))
            found = checks.run_checks(engine, self.settings, self.now())
        return RowsView("Checks", checks.findings_frame(found))

    def import_labels(self, file: Path | str, reconciliation: str | None = None) -> RowsView:
        """Bring in labels that were decided elsewhere, as decisions.

        Args:
            file: a CSV; `tuning.labels.COLUMNS` names its columns.
            reconciliation: to which they belong; needed where several are declared.
        """
        rec = self._one(reconciliation)
        now = self._clock()
        with self.store.snapshot().engine() as engine:
            found = label_room.resolve(engine, label_room.read_labels(Path(file)), rec, now)
        if not found.decisions.is_empty():
            self.store.add_decisions(found.decisions, recorded_at=now)
        notes = (f"{found.decisions.height:,} labels imported into {rec.name}.",)
        return RowsView("Rows that were not imported", found.problems, notes)

    # --- runs --------------------------------------------------------------------------------

    def reconcile(
        self,
        *names: str,
        as_of: str | int | None = None,
        shadow: bool = False,
        progress: Progress = _quiet,
    ) -> RunView:
        """Evaluate reconciliations; what was evaluated before is not evaluated again.

        Args:
            names: reconciliations; all declared ones where none is named.
            as_of: a sequence number, or a date whose end is meant: evaluate what was known then.
            shadow: store the result without making it the current one.
            progress: told each stage.
        """
        recs = [self.settings.reconciliation(n) for n in names] or self.settings.reconciliations
        seq, moment = asof.meant(as_of, self.store, self.settings, self.now())
        done: list[Done] = []
        failures: dict[str, str] = {}
        kind: Literal["live", "shadow"] = "shadow" if shadow or as_of is not None else "live"
        for rec in recs:
            try:
                request = Request(rec, seq, moment, kind)
                done.append(evaluate(self.store, self.settings, request, progress))
            except MatchingError as why:
                failures[rec.name] = str(why)
        runs = [d.run.run_id for d in done]
        with self.store.snapshot().engine(runs=runs) as engine:
            frame = queries.runs(engine, done)
        return RunView(frame, self._about({d.run.reconciliation: d.run for d in done}), failures)

    def summary(self, reconciliation: str | None = None) -> Summary:
        """The first screen: matched, in flight, not covered, unexplained, and what to do next."""
        with self._current(reconciliation) as (engine, about):
            cases = engine.count("findings")
            export = str(self._reports() / "open_items.csv")
            return Summary(
                about,
                queries.totals(engine, self.settings),
                queries.open_items(engine),
                cases,
                export,
            )

    def matches(
        self,
        reconciliation: str | None = None,
        *,
        method: str | None = None,
        disposition: str | None = None,
    ) -> MatchesView:
        """Matches, one row each, filtered by method and disposition where given."""
        with self._current(reconciliation) as (engine, about):
            frame = queries.matches(engine)
        for name, value in (("method", method), ("disposition", disposition)):
            if value is not None:
                frame = frame.filter(pl.col(name) == value)
        return MatchesView(frame, about)

    def queue(self, reconciliation: str | None = None) -> QueueView:
        """Open cases, most urgent first, each with owner and suggested action."""
        with self._current(reconciliation) as (engine, about):
            return QueueView(queries.queue(engine, self.settings, about.as_of), about)

    def slis(self, reconciliation: str | None = None) -> SliView:
        """The measured rates of the current runs."""
        runs = self._runs(reconciliation)
        values = [self.store.sli_values(run.run_id) for run in runs.values()]
        return SliView(pl.concat(values), self._about(runs))

    def history(self, order: str = "") -> HistoryView:
        """Everything known about one order: facts, matches, open items, cases, oldest first.

        Args:
            order: any id that names it; one with much to tell, where not given.
        """
        with self._current(None) as (engine, about):
            asked = order or stories.example(engine, self.settings.reconciliations) or order
            return HistoryView(asked, history(engine, asked), about)

    def why(self, event: str = "", reconciliation: str | None = None) -> WhyView:
        """Why an event was matched as it was, or what kept it apart.

        Args:
            event: an event key, or an id that names one event; an example, where not given.
            reconciliation: where to look; the first one it takes part in, where not given.
        """
        recs = self.settings.reconciliations
        if reconciliation is not None:
            recs = (self.settings.reconciliation(reconciliation),)
        with self._current(None) as (engine, about):
            evaluated = [rec for rec in recs if rec.name in about.runs]
            asked = event or stories.example(engine, evaluated) or event
            rec, key = stories.locate(engine, evaluated, asked)
            return stories.why_view(engine, rec, key, about.runs[rec.name], about)

    # --- reports and exports -----------------------------------------------------------------

    def health(self, week: str = "latest", audience: str = "ops") -> HealthView:
        """The parts of the weekly health report, for its notebook.

        Args:
            week: an ISO week such as `2026-W46`, or `latest`: the newest that is over.
            audience: `ops`, `finance` or `growth`.
        """
        with self._current(None) as (engine, about):
            slis = self.slis().frame
            facts = reporting.facts(engine, self.settings, about, slis, week, audience)
        return HealthView(facts)

    def report(
        self,
        name: str = "weekly_health",
        *,
        week: str = "latest",
        audience: str = "ops",
        progress: Progress = _quiet,
    ) -> FileView:
        """Render a report notebook into one HTML file, unless it stands there already."""
        with self._current(None) as (engine, about):
            chosen = reporting.week_name(engine, week, about.as_of, about.zone)
        progress(f"report {name}, {chosen}, for {audience}")
        source = reporting.made_from(self.settings, about)
        path = reporting.render(name, self.folder, self._reports(), chosen, audience, source)
        return FileView(path, "report")

    def export(
        self,
        what: Literal["matches", "open-items", "cases"],
        out: Path | str,
        *,
        reconciliation: str | None = None,
    ) -> FileView:
        """Write matches, open items or cases of the current runs to CSV or parquet.

        A relative `out` starts in the workspace's folder.
        """
        with self._current(reconciliation) as (engine, _):
            return exports.export(engine, what, self.folder / out)

    def verify(self, level: Literal["chain", "segments", "all"] = "all") -> RowsView:
        """Check that the ledger is what was committed; `.frame` lists what is not."""
        problems = self.store.verify(level)
        rows = [(p.where, p.code, p.message) for p in problems]
        frame = pl.DataFrame(rows, schema=["where", "code", "message"], orient="row")
        mark = self.store.checkpoint(keep=False)
        said = "as committed" if not problems else f"{len(problems)} problems"
        return RowsView("Verify", frame, (f"{level}: {said}; {mark.size:,} links, {mark.head}",))

    # --- clocks and places -------------------------------------------------------------------

    def now(self) -> datetime:
        """The time of this workspace: its standing clock, else the whole hour that has begun."""
        fixed = self.settings.workspace.as_of
        return fixed or self._clock().replace(minute=0, second=0, microsecond=0)

    def _one(self, name: str | None) -> Reconciliation:
        if name is not None:
            return self.settings.reconciliation(name)
        if len(self.settings.reconciliations) == 1:
            return self.settings.reconciliations[0]
        names = ", ".join(r.name for r in self.settings.reconciliations)
        raise SettingsError(f"name the reconciliation; declared are: {names or 'none'}")

    def _runs(self, reconciliation: str | None) -> dict[str, Any]:
        recs = (
            [self.settings.reconciliation(reconciliation)]
            if reconciliation
            else self.settings.reconciliations
        )
        found = {r.name: self.store.current_run(r.name) for r in recs}
        runs = {name: run for name, run in found.items() if run is not None}
        if not runs:
            raise WorkspaceError("nothing has been reconciled yet; `recon run` does it")
        return runs

    @contextmanager
    def _current(self, reconciliation: str | None) -> Iterator[tuple[Engine, About]]:
        runs = self._runs(reconciliation)
        seq = max(run.as_of_seq for run in runs.values())
        precedence = {s.name: s.precedence for s in self.settings.sources}
        ids = [run.run_id for run in runs.values()]
        snapshot = self.store.snapshot(max(seq, self._last_run_seq(ids)))
        with snapshot.engine(runs=ids, precedence=precedence) as engine:
            yield engine, self._about(runs)

    def _last_run_seq(self, run_ids: list[str]) -> int:
        runs = self.store.runs().filter(pl.col("run_id").is_in(run_ids))
        return int(runs["seq"].max() or 0)  # type: ignore[arg-type]

    def _about(self, runs: dict[str, Any] | None = None) -> About:
        runs = runs or {}
        moments = [run.as_of_time for run in runs.values()] or [self.now()]
        seqs = [run.as_of_seq for run in runs.values()] or [facts_seq(self.store)]
        mark = self.store.checkpoint(keep=False)
        return About(
            workspace=self.settings.workspace.name,
            as_of=max(moments),
            as_of_seq=max(seqs),
            zone=self.settings.workspace.timezone,
            runs={name: run.run_id for name, run in runs.items()},
            checkpoint=f"{mark.origin} {mark.size} {mark.head}",
            uncertified=tuple(
                r.name
                for r in self.settings.reconciliations
                if r.probable.enabled and r.probable.uncertified == "auto"
            ),
        )

    def _reports(self) -> Path:
        return (self.folder / self.settings.workspace.reports).resolve()


def open(folder: Path | str | None = None) -> Workbench:  # noqa: A001 - rk.open reads
    """Open a workspace: the folder given, else this one, else the demo."""
    return Workbench(setup.find(Path(folder) if folder is not None else None))


def init(folder: Path | str = ".", *, preset: str = "shopify_stripe") -> Workbench:
    """Make a workspace and open it."""
    setup.create(Path(folder), preset=preset)
    return Workbench(Path(folder))


__all__ = ["Workbench", "init", "open"]
