"""What every face of the workbench stands on: a folder, its settings, its ledger, its clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.errors import SettingsError, WorkspaceError
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.store import Store
from recon_kit.matching import authority
from recon_kit.present.views import (
    About,
)
from recon_kit.resolution import governance
from recon_kit.settings import Reconciliation, Settings
from recon_kit.workbench import setup, trying
from recon_kit.workbench.run import facts_seq, trials

Progress = Callable[[str], None]


def quiet(_: str) -> None:
    """Tell nobody."""


class Face:
    """A workspace: where it lies, what it declares, which runs are current."""

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

    def now(self) -> datetime:
        """The time of this workspace: its standing clock, else the whole hour that has begun."""
        fixed = self.settings.workspace.as_of
        return fixed or self._clock().replace(minute=0, second=0, microsecond=0)

    def _one(self, name: str | None) -> Reconciliation:
        """The reconciliation of that name; the only one, where none is named."""
        if name is not None:
            return self.settings.reconciliation(name)
        if len(self.settings.reconciliations) == 1:
            return self.settings.reconciliations[0]
        names = ", ".join(r.name for r in self.settings.reconciliations)
        raise SettingsError(f"name the reconciliation; declared are: {names or 'none'}")

    def _runs(self, reconciliation: str | None) -> dict[str, Any]:
        """Current runs by reconciliation; of one, where it is named."""
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
        """An engine over what the current runs saw and derived, and what to say about it."""
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
        """What every screen says of itself: moment, sequence, runs, checkpoint."""
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
            **self._promises(runs, max(moments)),
        )

    def _promises(self, runs: dict[str, Any], as_of: datetime) -> dict[str, tuple[str, ...]]:
        """What is matched without a person: under which certificate, or without one."""
        rows, said = self.store.rows("certificates"), self.store.rows("approvals")
        uncertified, certified, lapsed, tried = [], [], [], []
        for rec in self.settings.reconciliations:
            held = governance.certificates(rows, said, rec.name)
            scored = runs[rec.name].model_hash if rec.name in runs else None
            may = {
                method: authority.authority(rec, method, held, as_of, scored)
                for method, place in authority.METHODS.items()
                if getattr(rec, place).enabled
            }
            if any(a.state == "uncertified" for a in may.values()):
                uncertified.append(rec.name)
            certified += [
                f"{rec.name}, {method}: {a.said}"
                for method, a in may.items()
                if a.state == "certified" or a.canary is not None
            ]
            whole = {c.method for c in held if not c.canary}
            void = {
                c.method for c in held
                if c.voided is not None and (not c.canary or c.method not in whole)
            }  # fmt: skip
            lapsed += [f"{rec.name}, {m}: {a.said}" for m, a in may.items() if m in void]
            acting = trials(self.store, rec.name, as_of)
            tried += [f"{rec.name}, {told}" for told in trying.told(acting)]
        return {
            "uncertified": tuple(uncertified), "certified": tuple(certified),
            "lapsed": tuple(lapsed), "tried": tuple(tried),
        }  # fmt: skip

    def _reports(self) -> Path:
        """The folder of the rendered reports."""
        return (self.folder / self.settings.workspace.reports).resolve()
