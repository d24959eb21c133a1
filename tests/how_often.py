"""How often a test that can go on for hours tries: short by itself, long with `RECON_LONG=1`."""

from __future__ import annotations

import os

LONG = "RECON_LONG" in os.environ


def how_often(name: str, *, short: int, long: int) -> int:
    """The number in the environment under `name`, else the short or the long form's."""
    return int(os.environ.get(name, long if LONG else short))
