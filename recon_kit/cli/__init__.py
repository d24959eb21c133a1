"""The command line: thin commands over the workbench, a module per subject.

`app` holds what they share; importing a module puts its commands there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from recon_kit.cli import decisions, facts, keeping, promises, results, rules, training
from recon_kit.cli.app import DONE, FAILED, MISUSE, app
from recon_kit.errors import ReconError, SettingsError, UnknownNameError, WorkspaceError

# Every module that brings commands; each registers its own when it is imported.
SUBJECTS = (facts, results, decisions, rules, training, promises, keeping)
_MISUSE_ERRORS = (SettingsError, UnknownNameError, WorkspaceError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `recon` command; exits with the documented codes."""
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments))
    except CycloptsError as why:
        print(f"recon: {why}", file=sys.stderr)
        code = MISUSE
    except ReconError as why:
        for line in (str(why), *getattr(why, "__notes__", ())):
            print(f"recon: {line}", file=sys.stderr)
        code = MISUSE if isinstance(why, _MISUSE_ERRORS) else FAILED
    except KeyboardInterrupt:
        print("recon: stopped; nothing is half-committed", file=sys.stderr)
        code = FAILED
    except BrokenPipeError:
        sys.stderr.close()
        code = DONE
    raise SystemExit(code if isinstance(code, int) else DONE)
