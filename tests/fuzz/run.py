"""Coverage-guided fuzzing of one target, or of all of them in turn.

    uv run --with atheris python tests/fuzz/run.py table_csv -max_total_time=600
    uv run --with atheris python tests/fuzz/run.py all -max_total_time=600

Further arguments are libFuzzer's. A finding is written to `crash-...` in the current folder; give
it back as an argument to see it again. `all` goes on after a finding and ends with exit code 1.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["recon_kit"]):
    from targets import TARGETS, seeds


def main() -> None:
    """Fuzz until the time is over or something unpromised happens."""
    name, *options = sys.argv[1:]
    if name == "all":
        ends = [subprocess.call([sys.executable, __file__, one, *options]) for one in TARGETS]
        raise SystemExit(any(ends))
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / f"seed{number}").write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, corpus], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
