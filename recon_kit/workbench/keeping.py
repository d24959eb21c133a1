"""Keeping: where every record went, and whether the ledger is what was committed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from recon_kit import model
from recon_kit.errors import UnknownNameError, WorkspaceError
from recon_kit.ledger.hashchain import Checkpoint
from recon_kit.present.replays import ReplayView
from recon_kit.present.rows import RowsView
from recon_kit.present.tables import Column
from recon_kit.present.traces import TraceView
from recon_kit.present.views import FileView
from recon_kit.resolution.identity import reviewer_name
from recon_kit.workbench import lineage, merging, oldfiles, people, tracing
from recon_kit.workbench import replay as replaying
from recon_kit.workbench.face import Face, Progress, quiet
from recon_kit.workbench.reportlines import Place


class Keeping(Face):
    """Care of the ledger."""

    def trace(self, name: str | Path, *, progress: Progress = quiet) -> RowsView | TraceView:
        """Where a file's records went, or where an event, match, open item or case came from.

        Args:
            name: a received file (the first digits of its sha256, its name, or the path of a copy):
                every physical record to its end state, with counts that tie. Or an event (its key,
                or an id that names one), or the id that a report, an export or a screen shows
                beside a match, an open item or a case: the files, rows and columns it came from,
                where it stands, and the lines of the report that show it.
            progress: told each earlier run that is looked at.
        """
        found = {r.name: self.store.current_run(r.name) for r in self.settings.reconciliations}
        current = {name: run for name, run in found.items() if run is not None}
        runs = [run.run_id for run in current.values()]
        batch = tracing.find_batch(self.store, str(name))
        precedence = {s.name: s.precedence for s in self.settings.sources}
        seq = None if batch is None else int(str(batch["seq"]))
        with self.store.snapshot().engine(runs=runs, precedence=precedence, batch=seq) as engine:
            if batch is not None:
                return tracing.view(engine, batch, runs)
            meant = lineage.meant(engine, str(name)) or lineage.in_earlier_runs(
                self.store, runs, str(name), progress
            )
            if meant is None:
                raise UnknownNameError(
                    "received file, event, match, open item or case", str(name),
                    self.store.batches()["file"].unique(),
                )  # fmt: skip
            place = Place(self.settings, self._about(current), self._reports())
            return lineage.view(engine, self.store, place, meant)

    def verify(
        self,
        level: Literal["chain", "segments", "all"] = "all",
        *,
        since: Path | str | None = None,
    ) -> RowsView:
        """Check that the ledger is what was committed; `.frame` lists what is not.

        Args:
            level: `chain` follows the links, `segments` hashes every file again and every run
                that is kept as changes as it reads now, `all` does both.
            since: a file with a checkpoint that was kept elsewhere (three lines, as reports print
                it); the chain must still contain it.
        """
        mark = None if since is None else Checkpoint.parse(Path(since).read_text(encoding="utf-8"))
        problems = self.store.verify(level, since=mark)
        rows = [(p.where, p.code, p.message) for p in problems]
        frame = pl.DataFrame(rows, schema=["where", "code", "message"], orient="row")
        head = self.store.checkpoint(keep=False)
        said = "as committed" if not problems else f"{len(problems)} problems"
        notes = [f"{level}: {said}; {head.size:,} links, {head.head}"]
        if gone := len(self.store.not_kept()):
            notes.append(
                f"{gone:,} received file{'s' * (gone != 1)} left raw/ on record; what was told "
                "there cannot be replayed."
            )
        return RowsView("Verify", frame, tuple(notes))

    def replay(
        self,
        into: Path | str | None = None,
        *,
        shuffle: int | None = None,
        progress: Progress = quiet,
    ) -> ReplayView:
        """Tell a fresh store everything that this one was told, and compare what comes out.

        Args:
            into: folder of the fresh store, kept; thrown away where not given.
            shuffle: seed of another order in which the files arrive.
            progress: told each stage.
        """
        with replaying.scratch(self.store) as place:
            target = place if into is None else Path(into).resolve()
            found = replaying.replay(
                self.store, self.settings, target,
                now=self._clock(), shuffle=shuffle, progress=progress,
            )  # fmt: skip
        return ReplayView(found.hashes, found.changed, found.refused, found.untold)

    def backup(self, into: Path | str) -> FileView:
        """Copy the ledger to an empty folder, whoever works on it meanwhile, and check the copy."""
        target = Path(into).resolve()
        mark = self.store.backup(target)
        return FileView(target, f"copied and checked: {mark.size:,} links, {mark.head}")

    def compact(self, *, progress: Progress = quiet) -> RowsView:
        """Make few large segments of many small ones; every reading, past or present, stays.

        `.frame` has a row per table and source: files, rows, and bytes before and after.

        Args:
            progress: told each group of files.
        """
        return merging.view(self.store.compact(self._clock(), progress))

    def litter(self, *, remove: bool = False) -> RowsView:
        """Files older than a day that nothing is read from any more; removed where asked.

        Killed processes leave them, and `compact` does.
        """
        found = self.store.litter(self._clock(), remove=remove)
        frame = pl.DataFrame(
            [(one.where, one.bytes, one.changed_at) for one in found],
            schema={"file": pl.String, "bytes": pl.Int64, "changed_at": model.UTC},
            orient="row",
        )
        said = "removed" if remove else "nothing was removed; `recon doctor --gc` removes them"
        return RowsView("Litter", frame, (f"{len(found):,} files: {said}.",) if found else ())

    def old_files(self, *, drop: bool = False, actor: str | None = None) -> RowsView:
        """Received files older than `raw_days_min` of `recon.toml`; dropped where asked.

        Args:
            drop: remove them, on record; otherwise only say which.
            actor: who; the workspace's reviewer where not given.
        """
        days = self.settings.ledger.raw_days_min
        if drop:
            actor = reviewer_name(self.settings.workspace, actor)
            found = self.store.drop_old_files(self._clock(), days, actor=actor)
        else:
            found = self.store.old_files(self._clock(), days)
        return oldfiles.view(found, days, self.settings.workspace.timezone, dropped=drop)

    def erase(
        self,
        *ids: str,
        email: str | None = None,
        reason: str,
        confirm: bool = False,
        actor: str | None = None,
    ) -> RowsView:
        """Remove a person's fields and the received files that told them.

        Args:
            ids: order, transaction, customer or native ids, or event keys, of the person's events.
            email: their address; every telling that holds it counts, in any case.
            reason: why; kept on record.
            confirm: remove; otherwise only say what would be removed.
            actor: who; the workspace's reviewer where not given.
        """
        with self.store.snapshot().engine() as engine:
            found = people.events_of(engine, ids, email)
        if found.is_empty():
            raise WorkspaceError(
                "no event carries that address or one of these ids; none was erased"
            )
        notes = [people.preview_sentence(found.height)]
        if confirm:
            done = self.store.erase(
                found["event_key"].to_list(),
                actor=reviewer_name(self.settings.workspace, actor),
                reason=reason,
                recorded_at=self._clock(),
            )
            notes = people.erased_sentences(done)
        return RowsView(
            "Erased" if confirm else "To be erased", found, tuple(notes), _PERSONS_EVENTS,
            zone=self.settings.workspace.timezone,
        )  # fmt: skip


_PERSONS_EVENTS = (
    Column("native_id", "Event", "code"), Column("event_type", "Type", "word"),
    Column("source", "Source"), Column("event_ts", "Time", "time", precision="ts_precision"),
    Column("event_key", "Event key", "hash"),
)  # fmt: skip
