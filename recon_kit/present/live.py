"""The stage that a long call is at, in the notebook's cell while it runs and gone when it ends.

A cell that runs half a minute with nothing but `[*]` looks stuck. What is shown is plain text that
is replaced stage by stage and is empty at the end, so a saved notebook, which must be the same for
the same input, holds nothing of it. Where no notebook runs, or where the caller says who is told,
nothing is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def while_running(method: Callable[P, R]) -> Callable[P, R]:
    """Show the stages of a method with an argument `progress` that the caller leaves out."""

    @wraps(method)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        if "progress" in kwargs or not in_notebook():
            return method(*args, **kwargs)
        with stages() as tell:
            kwargs["progress"] = tell
            return method(*args, **kwargs)

    return told


def in_notebook() -> bool:
    """Whether a kernel runs this, that is to say JupyterLab or papermill."""
    known = sys.modules.get("IPython")
    shell = known.get_ipython() if known is not None else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Whom to tell each stage; the line is emptied at the end, also of a call that fails."""
    import IPython.display as notebook  # only a kernel gets here, and has loaded it

    began = time.monotonic()
    show: Any = notebook.display
    shown = show({"text/plain": "Starting"}, raw=True, display_id=True)

    def tell(stage: str) -> None:
        line = f"{stage} ... ({time.monotonic() - began:.0f} s so far)"
        shown.update({"text/plain": line}, raw=True)

    try:
        yield tell
    finally:
        shown.update({"text/plain": ""}, raw=True)
