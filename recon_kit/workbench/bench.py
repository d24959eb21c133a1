"""The Python face: one object per workspace, polars in, results that show themselves."""

from __future__ import annotations

from pathlib import Path

from recon_kit.workbench import setup
from recon_kit.workbench.comparing import Comparing
from recon_kit.workbench.facts import Facts
from recon_kit.workbench.keeping import Keeping
from recon_kit.workbench.labelling import Labelling
from recon_kit.workbench.outputs import Outputs
from recon_kit.workbench.sweeping import Sweeping
from recon_kit.workbench.training import Training
from recon_kit.workbench.watching import Watching


class Workbench(Facts, Training, Labelling, Sweeping, Comparing, Watching, Outputs, Keeping):
    """A workspace and everything that can be done with it.

    Made by `recon_kit.open(folder)`. Every method returns a result that shows itself in Jupyter
    and in a terminal; its `.frame` is a polars frame. A subject's methods stand in a module each.
    """


def open(folder: Path | str | None = None) -> Workbench:  # noqa: A001 - rk.open reads
    """Open a workspace: the folder given, else this one, else the demo."""
    return Workbench(setup.find(Path(folder) if folder is not None else None))


def init(folder: Path | str = ".", *, preset: str = "shopify_stripe") -> Workbench:
    """Make a workspace and open it."""
    setup.create(Path(folder), preset=preset)
    return Workbench(Path(folder))


__all__ = ["Workbench", "init", "open"]
