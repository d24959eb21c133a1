"""What a person typed, and how to type it again: commands that are printed work as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path

TYPED: ContextVar[tuple[str, ...]] = ContextVar("typed", default=())
_NAME = "recon"
_COMMAND = re.compile(r"`(recon|jupyter) (?=[^`]*`)")


def program(
    environment: Mapping[str, str] | None = None,
    script: str | None = None,
    here: Path | None = None,
) -> str:
    """How the program was started, so that the same words start it again.

    `uv run recon` inside a project that uv runs; `recon` where the shell finds it; else the
    script as it was named (`.venv/bin/recon`). Called from Python it is `recon`.

    Args:
        environment: of the process.
        script: the first word of its command line.
        here: the folder one stands in.
    """
    environment = os.environ if environment is None else environment
    script = sys.argv[0] if script is None else script
    here = Path.cwd() if here is None else here
    if Path(script).name != _NAME:
        return _NAME
    if "UV_RUN_RECURSION_DEPTH" in environment:
        inside = any((folder / "pyproject.toml").is_file() for folder in (here, *here.parents))
        return f"uv run {_NAME}" if inside else shlex.quote(script)
    found = shutil.which(_NAME, path=environment.get("PATH", ""))
    same = found is not None and Path(found).resolve() == (here / script).resolve()
    return _NAME if same else shlex.quote(script)


def runnable(text: str, started: str | None = None) -> str:
    """A text whose commands (`recon queue`) read as they can be typed in this very shell."""
    started = program() if started is None else started
    folder = started.removesuffix(_NAME)
    return text if not folder else _COMMAND.sub(rf"`{_escaped(folder)}\1 ", text)


def with_all(arguments: Sequence[str]) -> str:
    """The command that was typed, asking for every row."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--limit":
            next(words, None)
        elif not word.startswith("--limit="):
            kept.append(word)
    return shlex.join([_NAME, *kept, "--all"])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\")
