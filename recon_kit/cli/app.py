"""What all commands share: the app, its common options, how a result is shown, exit codes.

Results go to stdout (`--json`: one object, of a refusal too), progress and problems to stderr. Exit
codes: 0 done, 1 failed, 2 misuse, 3 hold, 4 unknown, 5 done but rows were quarantined or a
reconciliation failed.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from cyclopts import App, Parameter, validators

import recon_kit
from recon_kit.cli.typed import TYPED, runnable, with_all
from recon_kit.errors import FileRejectedError

_EVERY = sys.maxsize
DONE, FAILED, MISUSE, HOLD, UNKNOWN, PARTLY = 0, 1, 2, 3, 4, 5

app = App(
    name="recon",
    help="Reconcile orders, payments, payouts, bank lines and conversions, with evidence.",
    version=recon_kit.__version__,
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
labels_app = App(
    name="labels", help="Labels: draw the audit sample, write sheets, bring in answers."
)
app.command(labels_app)

Flag = Annotated[bool, Parameter(negative="")]
"""A switch without a `--no-` twin."""


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options that every command takes."""

    workspace: Annotated[Path | None, Parameter(name=["--workspace", "-w"])] = None
    """Folder of the workspace (default: this folder, else data/demo)."""
    json: Flag = False
    """Print one JSON object on stdout; it always has every row."""
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None
    """Show at most so many rows of a list."""
    all: Flag = False
    """Show every row of a list."""


COMMON = Common()


def bench_of(common: Common) -> Any:
    """The workbench that a command works on."""
    from recon_kit.workbench.bench import Workbench
    from recon_kit.workbench.setup import find

    return Workbench(find(common.workspace))


def progress(text: str) -> None:
    """Tell a stage on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(result: Any, common: Common, code: int = DONE) -> int:
    """Print a result for people, or as one JSON object; returns the exit code."""
    if common.json:
        print(json.dumps(result.as_dict(), default=_jsonable, ensure_ascii=False, allow_nan=False))
        return code
    from recon_kit.present.tables import asked_rows

    with asked_rows(_EVERY if common.all else common.limit, with_all(TYPED.get())):
        print(runnable(str(result)))
    return code


def refuse(why: Exception, code: int, *, as_json: bool) -> int:
    """Tell why a command did nothing: lines on stderr, and the one object where JSON is wanted."""
    notes = list(getattr(why, "__notes__", ()))
    for line in (str(why), *notes):
        print(f"recon: {runnable(line)}", file=sys.stderr)
    if as_json:
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(why).__name__.removesuffix("Error")).lower()
        told = {"kind": kind, "message": str(why), "notes": notes, "exit_code": code}
        told |= {n: getattr(why, n) for n in ("code", "file") if isinstance(why, FileRejectedError)}
        print(json.dumps({"error": told}, ensure_ascii=False))
    return code


def _jsonable(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (Decimal, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def aware(moment: datetime | None) -> datetime | None:
    """A moment without a zone is in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
