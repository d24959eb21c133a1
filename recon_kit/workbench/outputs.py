"""Outputs: reports and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recon_kit.present import exports
from recon_kit.present.views import (
    FileView,
    HealthView,
)
from recon_kit.workbench import reporting
from recon_kit.workbench.face import Progress, quiet
from recon_kit.workbench.results import Results


class Outputs(Results):
    """What leaves the workspace as a file."""

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
        progress: Progress = quiet,
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

        Amounts are decimal text. Of an open item `event_day` is the day in the workspace's zone, or
        the day that its source told alone, and `event_ts` the instant in UTC. A relative `out`
        starts in the workspace's folder.
        """
        with self._current(reconciliation) as (engine, _):
            zone = self.settings.workspace.timezone
            return exports.export(engine, what, self.folder / out, zone=zone)
