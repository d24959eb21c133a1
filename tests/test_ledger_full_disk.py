"""A disk that is really full, at every write in turn: nothing by half, and room helps at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "full_disk.py"
# A file system of its own for one process and its children; the machine sees nothing of it.
MOUNT = 'mount -t tmpfs -o size=6m tmpfs "$1" && exec "$2" "$3" "$1"'
SPACE = re.compile(r"no space is left|database or disk is full|disk I/O error")


@pytest.fixture
def reports(tmp_path):
    """What each act came to on a disk of six megabytes."""
    disk, inbox = tmp_path / "disk", tmp_path / "inbox"
    disk.mkdir()
    inbox.mkdir()
    can = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(disk)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if can.returncode:
        pytest.skip(f"no file system can be mounted here: {can.stderr.strip()}")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", MOUNT, "sh", str(disk), sys.executable, str(SCRIPT)],
        capture_output=True, text=True, check=False, env=os.environ | {"RECON_TEMP": str(inbox)},
    )  # fmt: skip
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux mounts for one process alone")
def test_a_disk_that_is_full_at_any_page_changes_nothing(reports, capsys):
    """Ingest, run and merging with 0, 1, 2... free pages: refused in plain words, then done."""
    with capsys.disabled():
        for one in reports:
            sys.stdout.write(f"\n{one['act']}: refused at {one['refused']} sizes of free space\n")
    assert [one["act"] for one in reports] == ["take_in", "reconcile", "merge"]
    assert [one["wrong"] for one in reports] == [[], [], []]
    assert min(one["refused"] for one in reports) >= 5
    assert [text for one in reports for text in one["said"] if not SPACE.search(text)] == []
