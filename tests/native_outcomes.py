"""What became of every native file: a table for people, by the very rows of the tests.

    uv run python tests/native_outcomes.py

Each file is profiled, and taken in by the block that `recon profile` prints (with what a person
changes in it), or refused with a message; the events' money is summed by type and currency.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
from pathlib import Path

from command import recon
from shared_data import SHARED
from test_shared_data import REFUSED, TAKEN, totals

from recon_kit import money


def main() -> None:
    """Print one row per file."""
    lines = [
        "| file | records | accepted | quarantined | blank | money | said |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_taken(file, edit) for file, edit, *_ in TAKEN),
    ]
    for file, _ in REFUSED:
        _, said = _run("profile", SHARED / file)
        lines.append(f"| {Path(file).name} | | | | | | refused: {said.strip()} |")
    sys.stdout.write("\n".join(lines) + "\n")


def _taken(file: str, edit: tuple[str, str] | None) -> str:
    _, said = _run("profile", SHARED / file, "--json")
    block = json.loads(said)["layout"]
    block = block.replace(*edit) if edit else block
    source = re.search(r'^name = "(.+)"$', block, re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        settings = f'[workspace]\nname = "native"\ntimezone = "UTC"\n\n{block}'
        (Path(folder) / "recon.toml").write_text(settings, encoding="utf-8")
        _, said = _run("ingest", source[1] if source else "", SHARED / file, "--json", "-w", folder)
        receipt = json.loads(said)["files"][0]
        sums = totals(Path(folder))
    told = ", ".join(f"{kind} {_text(minor, currency)}" for (kind, currency), minor in sums.items())
    return (
        f"| {Path(file).name} | {receipt['physical']} | {receipt['accepted']} | "
        f"{receipt['quarantined']} | {receipt['blank']} | {told} | {receipt['note']} |"
    )


def _text(minor: int | None, currency: str | None) -> str:
    if minor is None or currency is None:
        return "without amount"
    return f"{money.to_text(minor, currency)} {currency}"


def _run(*arguments: object) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = recon(*arguments)
    return code, out.getvalue() or err.getvalue()


if __name__ == "__main__":
    if not SHARED.exists():
        sys.exit("the shared data does not stand beside the repository")
    main()
