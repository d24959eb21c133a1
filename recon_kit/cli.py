"""The command line: thin commands over the workbench.

Results go to stdout (`--json`: one object), progress and problems to stderr. Exit codes: 0 done,
1 failed, 2 misuse, 3 hold, 4 unknown, 5 done but rows were quarantined or a reconciliation failed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from cyclopts import App, CycloptsError, Parameter

import recon_kit
from recon_kit.errors import ReconError, SettingsError, UnknownNameError, WorkspaceError

DONE, FAILED, MISUSE, HOLD, UNKNOWN, PARTLY = 0, 1, 2, 3, 4, 5
_MISUSE_ERRORS = (SettingsError, UnknownNameError, WorkspaceError)

app = App(
    name="recon",
    help="Reconcile orders, payments, payouts, bank lines and conversions, with evidence.",
    version=recon_kit.__version__,
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
labels_app = App(name="labels", help="Decisions made elsewhere: bring them in.")
app.command(labels_app)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options that every command takes."""

    workspace: Annotated[Path | None, Parameter(name=["--workspace", "-w"])] = None
    """Folder of the workspace (default: this folder, else data/demo)."""
    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object on stdout."""


_COMMON = Common()


@app.command
def demo(
    folder: Path = Path("data/demo"),
    *,
    orders: int = 10_000,
    seed: int = 7,
    common: Common = _COMMON,
) -> int:
    """Make an invented shop, ingest its files, reconcile them, write the report.

    Parameters
    ----------
    folder: Where the demo's workspace goes.
    orders: How many orders the shop sells.
    seed: Seed of the invention; the same seed gives the same bytes.
    """
    from recon_kit.workbench import demo as demonstration

    result = demonstration.run(folder, orders=orders, seed=seed, progress=_progress)
    return _show(result, common)


@app.command
def init(folder: Path = Path(), *, preset: str = "shopify_stripe", common: Common = _COMMON) -> int:
    """Make a workspace: `recon.toml` to edit, an empty store, a reports folder.

    Parameters
    ----------
    folder: Where the workspace goes.
    preset: What to start `recon.toml` from.
    """
    from recon_kit.workbench.setup import create

    return _show(create(folder, preset=preset), common)


@app.command
def profile(target: str, *, common: Common = _COMMON) -> int:
    """Describe a file or a declared source; an undeclared file gets a ready layout.

    Parameters
    ----------
    target: A file, or the name of a declared source.
    """
    from recon_kit.workbench.setup import profile_file

    if Path(target).is_file():
        return _show(profile_file(Path(target)), common)
    return _show(_bench(common).profile(target), common)


@app.command
def ingest(
    source: str, files: list[Path], *, as_of: datetime | None = None, common: Common = _COMMON
) -> int:
    """Take files of one source into the ledger.

    Parameters
    ----------
    source: Name of the declared source.
    files: The files, as exported.
    as_of: When the files were exported, if later files of the same period may differ.
    """
    result = _bench(common).ingest(source, *files, as_of=_aware(as_of))
    return _show(result, common, PARTLY if result.quarantined else DONE)


@app.command
def run(
    reconciliations: Sequence[str] = (),
    *,
    as_of: str | None = None,
    shadow: Annotated[bool, Parameter(negative="")] = False,
    common: Common = _COMMON,
) -> int:
    """Reconcile; without names, every declared reconciliation.

    Parameters
    ----------
    reconciliations: Names of reconciliations.
    as_of: A sequence number or a date: evaluate what was known then.
    shadow: Evaluate and store, but leave the current result as it is.
    """
    bench = _bench(common)
    result = bench.reconcile(*reconciliations, as_of=as_of, shadow=shadow, progress=_progress)
    return _show(result, common, PARTLY if result.failed else DONE)


@app.command
def matches(
    reconciliation: str | None = None,
    *,
    method: str | None = None,
    disposition: Literal["auto", "review", "confirmed"] | None = None,
    common: Common = _COMMON,
) -> int:
    """List matches.

    Parameters
    ----------
    reconciliation: Only of this reconciliation.
    method: Only found by this method.
    disposition: Only with this disposition.
    """
    found = _bench(common).matches(reconciliation, method=method, disposition=disposition)
    return _show(found, common)


@app.command
def queue(reconciliation: str | None = None, *, common: Common = _COMMON) -> int:
    """List open cases, most urgent first.

    Parameters
    ----------
    reconciliation: Only of this reconciliation.
    """
    return _show(_bench(common).queue(reconciliation), common)


@app.command
def sli(reconciliation: str | None = None, *, common: Common = _COMMON) -> int:
    """Print the measured rates, each with what it counts.

    Parameters
    ----------
    reconciliation: Only of this reconciliation.
    """
    return _show(_bench(common).slis(reconciliation), common)


@app.command
def history(order: str, *, common: Common = _COMMON) -> int:
    """Tell everything known about one order.

    Parameters
    ----------
    order: An order, transaction, invoice, payout or native id.
    """
    return _show(_bench(common).history(order), common)


@app.command
def why(event: str, *, reconciliation: str | None = None, common: Common = _COMMON) -> int:
    """Say why an event was matched as it was, or what kept it apart.

    Parameters
    ----------
    event: An event key, or an id that names one event.
    reconciliation: In which reconciliation; the first it takes part in, where not given.
    """
    return _show(_bench(common).why(event, reconciliation), common)


@labels_app.command(name="import")
def labels_import(
    file: Path, *, reconciliation: str | None = None, common: Common = _COMMON
) -> int:
    """Bring in labels from a CSV; unusable rows are listed and the rest is kept.

    Parameters
    ----------
    file: CSV with left_source, left_native_id, right_source, right_native_id, label, reviewer.
    reconciliation: To which the labels belong; needed when several are declared.
    """
    result = _bench(common).import_labels(file, reconciliation)
    return _show(result, common, DONE if result.frame.is_empty() else PARTLY)


@app.command
def report(
    name: str = "weekly_health",
    *,
    week: str = "latest",
    audience: Literal["ops", "finance", "growth"] = "ops",
    common: Common = _COMMON,
) -> int:
    """Render a report into one HTML file.

    Parameters
    ----------
    name: Name of the report.
    week: An ISO week such as 2026-W46, or `latest`.
    audience: For whom.
    """
    bench = _bench(common)
    return _show(bench.report(name, week=week, audience=audience, progress=_progress), common)


@app.command
def export(
    what: Literal["matches", "open-items", "cases"],
    *,
    out: Path,
    reconciliation: str | None = None,
    common: Common = _COMMON,
) -> int:
    """Write matches, open items or cases to a CSV or parquet file.

    Parameters
    ----------
    what: What to write.
    out: File to write; its ending chooses CSV or parquet.
    reconciliation: Only of this reconciliation.
    """
    return _show(_bench(common).export(what, out.resolve(), reconciliation=reconciliation), common)


@app.command
def verify(
    *,
    chain: Annotated[bool, Parameter(negative="")] = False,
    segments: Annotated[bool, Parameter(negative="")] = False,
    common: Common = _COMMON,
) -> int:
    """Check that the ledger is what was committed; exit 1 when it is not.

    Parameters
    ----------
    chain: Only the chain of hashes.
    segments: Only the bytes of every file.
    """
    level = "chain" if chain and not segments else "segments" if segments and not chain else "all"
    result = _bench(common).verify(level)
    return _show(result, common, DONE if result.frame.is_empty() else FAILED)


@app.command
def doctor(*, common: Common = _COMMON) -> int:
    """Look at the machine and the workspace, and say what could hurt."""
    from recon_kit.workbench.setup import examine

    return _show(examine(common.workspace), common)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `recon` command; exits with the documented codes."""
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments))
    except CycloptsError as why:
        print(f"recon: {why}", file=sys.stderr)
        code = MISUSE
    except _MISUSE_ERRORS as why:
        print(f"recon: {why}", file=sys.stderr)
        code = MISUSE
    except ReconError as why:
        print(f"recon: {why}", file=sys.stderr)
        code = FAILED
    except KeyboardInterrupt:
        print("recon: stopped; nothing is half-committed", file=sys.stderr)
        code = FAILED
    except BrokenPipeError:
        sys.stderr.close()
        code = DONE
    raise SystemExit(code if isinstance(code, int) else DONE)


def _bench(common: Common) -> Any:
    from recon_kit.workbench.bench import Workbench
    from recon_kit.workbench.setup import find

    return Workbench(find(common.workspace))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(result: Any, common: Common, code: int = DONE) -> int:
    if common.json:
        print(json.dumps(result.as_dict(), default=_jsonable, ensure_ascii=False, allow_nan=False))
    else:
        print(result)
    return code


def _jsonable(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (Decimal, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
