"""The command line, run in this process."""

from __future__ import annotations

import pytest

from recon_kit.cli import main


def recon(*arguments: object) -> int:
    """Run one command in this process; returns its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code)  # type: ignore[arg-type]
