"""The demo: an invented shop from native files to the weekly report, beside the known truth."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.errors import WorkspaceError
from recon_kit.present import tables
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html
from recon_kit.settings import FILE_NAME
from recon_kit.synth import score, twin
from recon_kit.workbench.bench import Workbench

Progress = Callable[[str], None]
REPORTS = Path("reports")
_COLUMNS = (
    Column("reconciliation", "Reconciliation"),
    Column("true_links", "True pairs", "count"),
    Column("auto", "Pairs matched", "count"),
    Column("false_matches", "Wrong", "count"),
    Column("precision", "Right of matched", "share"),
    Column("recall", "Found of true", "share"),
)
_TITLE = "Beside the known truth of this invented shop"
_WORDS = (
    "Items are left events, due once their settlement time has passed. A pair is a left and a "
    "right event that belong together: an order that two payments pay is one item and two pairs."
)
_NOTEBOOKS = (Path("notebooks/01_profile_sources.ipynb"), Path("notebooks/02_reconcile.ipynb"))


@dataclass(frozen=True, repr=False)
class DemoView(View):
    """What the demo came to: rates beside the truth, where the report is, what to open next."""

    workspace: Path
    report: Path
    headlines: tuple[str, ...]
    frame: pl.DataFrame
    seconds: float
    order: str

    def _next(self) -> tuple[str, ...]:
        there = [f"`jupyter lab {path}`" for path in _NOTEBOOKS if path.is_file()]
        what = [*there, "`recon queue`", f"`recon history {shlex.quote(self.order)}`"]
        return (
            f"Report: {self.report}",
            f"Workspace: {self.workspace}",
            f"Next: {', '.join(what)}.",
        )

    def html(self) -> str:
        """The same as HTML."""
        body = tables.html(self.frame, _COLUMNS, caption=_TITLE)
        lines = "".join(f"<p>{prose_html(line)}</p>" for line in (_WORDS, *self._next()))
        lead = "".join(f"<li>{prose_html(line)}</li>" for line in self.headlines)
        return (
            f'<section class="rk"><h2>Demo</h2><ul class="rk-lead">{lead}</ul>{body}{lines}'
            "</section>"
        )

    def text(self) -> str:
        """Headline, rates beside the truth, and the next step."""
        body = tables.plain(self.frame, _COLUMNS)
        return "\n".join([*self.headlines, "", f"{_TITLE}:", body, _WORDS, "", *self._next()])

    def as_dict(self) -> dict[str, Any]:
        """Everything as one object."""
        return {
            "workspace": self.workspace, "report": self.report,
            "headline": "; ".join(self.headlines), "truth": self.frame,
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def run(
    folder: Path, *, orders: int = 10_000, seed: int = 7, progress: Progress = lambda _: None
) -> DemoView:
    """Make the demo, or bring it up to date; a second run adds nothing and is quick.

    Args:
        folder: where its workspace goes; must be new, or a demo of the same size and seed.
        orders: size of the invented shop.
        seed: seed of the invention.
        progress: told each stage with its time.

    Raises:
        WorkspaceError: the folder is something else, or a demo of another size or seed.
    """
    started = time.perf_counter()
    with _timed(progress, f"an invented shop of {orders:,} orders"):
        made = _twin(folder, orders, seed)
    bench = Workbench(folder)
    with _timed(progress, f"{len(made.deliveries)} native files taken in"):
        for delivery in made.deliveries:
            bench.ingest(
                delivery.source,
                made.path(delivery),
                as_of=delivery.as_of,
                received_at=delivery.received_at,
            )
    with _timed(progress, f"{len(bench.settings.reconciliations)} reconciliations"):
        done = bench.reconcile(progress=lambda text: progress(f"  {text}"))
    if done.failed:
        raise WorkspaceError("; ".join(f"{k}: {v}" for k, v in done.failures.items()))
    with _timed(progress, "weekly report"):
        report = bench.report("weekly_health").path
    with _timed(progress, "compared with the truth"):
        frame = _truth(bench, made)
    order = bench.history().order
    seconds = time.perf_counter() - started
    return DemoView(bench.folder, report, bench.summary().headlines, frame, seconds, order)


def demo(folder: Path | str = "data/demo", *, orders: int = 10_000, seed: int = 7) -> Workbench:
    """Make the demo workspace (or bring it up to date) and open it."""
    run(Path(folder), orders=orders, seed=seed)
    return Workbench(Path(folder))


@contextmanager
def _timed(progress: Progress, what: str) -> Iterator[None]:
    progress(f"{what} ...")
    started = time.perf_counter()
    yield
    progress(f"{what}: {time.perf_counter() - started:.1f} s")


def _twin(folder: Path, orders: int, seed: int) -> twin.Twin:
    if (folder / twin.MANIFEST).is_file():
        made = twin.load(folder)
        if (made.orders, made.seed) != (orders, seed):
            raise WorkspaceError(
                f"{folder} is a demo of {made.orders:,} orders with seed {made.seed}; ask for the "
                "same, choose another folder, or remove this one"
            )
        return made
    if (folder / FILE_NAME).exists() or (folder.is_dir() and any(folder.iterdir())):
        raise WorkspaceError(f"{folder} is not empty and no demo; choose another folder")
    return twin.make(folder, orders=orders, seed=seed, reports=_reports(folder))


def _reports(folder: Path) -> str | None:
    """`reports/demo` of the folder one stands in, as seen from the workspace; else its own."""
    here, there = Path.cwd(), folder.resolve()
    if not there.is_relative_to(here):
        return None
    target = REPORTS / folder.name
    target.mkdir(parents=True, exist_ok=True)
    return str(Path(*[".."] * len(there.relative_to(here).parts)) / target)


def _truth(bench: Workbench, made: twin.Twin) -> pl.DataFrame:
    """Precision and recall of what was matched automatically, per reconciliation."""
    out = bench.folder / "exports" / "matches.parquet"
    bench.export("matches", out)
    return score.overall(score.score(pl.read_parquet(out), made.truth))
