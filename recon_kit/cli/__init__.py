"""The command line: thin commands over the workbench, a module per subject.

`app` holds what they share; importing a module puts its commands there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from recon_kit.cli import decisions, facts, keeping, promises, results, rules, training
from recon_kit.cli.app import DONE, FAILED, MISUSE, app, refuse
from recon_kit.cli.typed import TYPED
from recon_kit.errors import (
    ParameterError,
    ReconError,
    SettingsError,
    UnknownNameError,
    WorkspaceError,
)

# Every module that brings commands; each registers its own when it is imported.
SUBJECTS = (facts, results, decisions, rules, training, promises, keeping)
_MISUSE_ERRORS = (ParameterError, SettingsError, UnknownNameError, WorkspaceError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `recon` command; exits with the documented codes.

    A refusal is told on stderr; with `--json` stdout gets its one object as well: `error`, with
    `kind`, `message` (what was wrong, where, and what to do), `notes` and `exit_code`, and the
    `code` and `file` of a refused file.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    TYPED.set(tuple(given))
    try:
        code = app(given)
    except (CycloptsError, ReconError) as why:
        misuse = isinstance(why, (CycloptsError, *_MISUSE_ERRORS))
        code = refuse(why, MISUSE if misuse else FAILED, as_json="--json" in given)
    except KeyboardInterrupt:
        print("recon: stopped; nothing is half-committed", file=sys.stderr)
        code = FAILED
    except BrokenPipeError:
        sys.stderr.close()
        code = DONE
    raise SystemExit(code if isinstance(code, int) else DONE)
