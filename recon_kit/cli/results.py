"""Commands that reconcile and show what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from recon_kit.cli.app import COMMON, DONE, PARTLY, Common, Flag, app, bench_of, progress, show


@app.command
def run(
    reconciliations: Sequence[str] = (),
    *,
    as_of: str | None = None,
    shadow: Flag = False,
    common: Common = COMMON,
) -> int:
    """Reconcile; without names, every declared reconciliation.

    Args:
        reconciliations: Names of reconciliations.
        as_of: A sequence number or a date: evaluate what was known then.
        shadow: Evaluate and store, but leave the current result as it is.
    """
    bench = bench_of(common)
    result = bench.reconcile(*reconciliations, as_of=as_of, shadow=shadow, progress=progress)
    return show(result, common, PARTLY if result.failed else DONE)


@app.command
def matches(
    reconciliation: str | None = None,
    *,
    method: str | None = None,
    disposition: Literal["auto", "review", "confirmed"] | None = None,
    common: Common = COMMON,
) -> int:
    """List matches.

    Args:
        reconciliation: Only of this reconciliation.
        method: Only found by this method.
        disposition: Only with this disposition.
    """
    found = bench_of(common).matches(reconciliation, method=method, disposition=disposition)
    return show(found, common)


@app.command
def queue(reconciliation: str | None = None, *, common: Common = COMMON) -> int:
    """List open cases, most urgent first.

    Args:
        reconciliation: Only of this reconciliation.
    """
    return show(bench_of(common).queue(reconciliation), common)


@app.command
def sli(reconciliation: str | None = None, *, common: Common = COMMON) -> int:
    """Print the measured rates, each with what it counts.

    Args:
        reconciliation: Only of this reconciliation.
    """
    return show(bench_of(common).slis(reconciliation), common)


@app.command
def history(order: str, *, common: Common = COMMON) -> int:
    """Tell everything known about one order.

    Args:
        order: An order, transaction, invoice, payout or native id.
    """
    return show(bench_of(common).history(order), common)


@app.command
def why(event: str, *, reconciliation: str | None = None, common: Common = COMMON) -> int:
    """Say why an event was matched as it was, or what kept it apart.

    Args:
        event: An event key, or an id that names one event.
        reconciliation: In which reconciliation; the first it takes part in, where not given.
    """
    return show(bench_of(common).why(event, reconciliation), common)


@app.command
def report(
    name: str = "weekly_health",
    *,
    week: str = "latest",
    audience: Literal["ops", "finance", "growth"] = "ops",
    common: Common = COMMON,
) -> int:
    """Render a report into one HTML file.

    Args:
        name: Name of the report.
        week: An ISO week such as 2026-W46, or `latest`.
        audience: For whom.
    """
    bench = bench_of(common)
    return show(bench.report(name, week=week, audience=audience, progress=progress), common)


@app.command
def export(
    what: Literal["matches", "open-items", "cases"],
    *,
    out: Path,
    reconciliation: str | None = None,
    common: Common = COMMON,
) -> int:
    """Write matches, open items or cases to a CSV or parquet file.

    Args:
        what: What to write.
        out: File to write; its ending chooses CSV or parquet.
        reconciliation: Only of this reconciliation.
    """
    return show(bench_of(common).export(what, out.resolve(), reconciliation=reconciliation), common)
