"""Lists on the command line: all rows can be seen, and every printed command can be typed."""

from __future__ import annotations

import json
import shutil

import pytest
from command import recon

from recon_kit.cli import typed


@pytest.fixture
def workspace(reconciled_shop):
    return reconciled_shop


@pytest.mark.parametrize("command", ["matches", "queue", "trace till.csv", "history 1001"])
def test_a_list_is_cut_at_a_limit_and_its_last_line_says_how_to_see_the_rest(
    workspace, capsys, command
):
    """`--limit 1` shows one row; the line below it is the command that shows every one."""
    code = recon(*command.split(), "-w", workspace, "--limit", "1")

    told = capsys.readouterr().out
    every = [line for line in told.splitlines() if line.startswith("... 1 of ")]
    assert code == 0
    assert every
    assert every[0].endswith(f" rows; all of them: `recon {command} -w {workspace} --all`")


def test_all_shows_every_row(workspace, capsys):
    """`--all` leaves none out; `--json` has them all in any case."""
    recon("matches", "--json", "--limit", "1", "-w", workspace)
    rows = json.loads(capsys.readouterr().out)["rows"]
    recon("matches", "--all", "-w", workspace)

    told = capsys.readouterr().out
    assert len(rows) > 1
    assert all(row["match_id"] in told for row in rows)
    assert "... " not in told


def test_a_limit_below_one_is_refused(workspace, capsys):
    """No list has fewer than one row to show."""
    assert recon("queue", "--limit", "0", "-w", workspace) == 2
    assert "Must be >= 1" in capsys.readouterr().err


def test_decisions_without_a_name_are_those_of_every_reconciliation(workspace, capsys):
    """`recon decisions` needs no name; each row says of which reconciliation it is."""
    assert recon("decide", "#1003", "--no-counterpart", "-w", workspace) == 0
    capsys.readouterr()

    assert recon("decisions", "-w", workspace) == 0

    told = capsys.readouterr().out.splitlines()
    assert told[0] == "Decisions, latest first"
    assert told[3].startswith("orders_to_payments")


def test_a_command_that_uv_started_is_printed_as_uv_runs_it(tmp_path):
    """Inside a project `uv run recon`; where uv would find none, the script itself."""
    uv = {"UV_RUN_RECURSION_DEPTH": "1", "PATH": "/usr/bin"}
    inside, outside = tmp_path / "project" / "my_shop", tmp_path / "elsewhere"
    inside.mkdir(parents=True)
    outside.mkdir()
    (tmp_path / "project" / "pyproject.toml").touch()

    assert typed.program(uv, "/opt/venv/bin/recon", inside) == "uv run recon"
    assert typed.program(uv, "/opt/venv/bin/recon", outside) == "/opt/venv/bin/recon"


def test_a_command_is_printed_as_the_shell_finds_it(tmp_path):
    """`recon` where it is on the path, else the script as it was named, and in Python `recon`."""
    script = tmp_path / ".venv" / "bin" / "recon"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    found, bare = {"PATH": str(script.parent)}, {"PATH": str(tmp_path)}

    assert shutil.which("recon", path=found["PATH"]) == str(script)
    assert typed.program(found, str(script), tmp_path) == "recon"
    assert typed.program(bare, ".venv/bin/recon", tmp_path) == ".venv/bin/recon"
    assert typed.program(found, "/usr/bin/pytest", tmp_path) == "recon"


def test_every_command_of_a_sentence_is_made_runnable():
    """Commands in code are rewritten; names that only begin alike are left as they are."""
    text = "Next: `jupyter lab notebooks/02.ipynb`, `recon queue`; see `recon.toml`, recon_kit."

    assert typed.runnable(text, "recon") == text
    assert typed.runnable(text, "uv run recon") == (
        "Next: `uv run jupyter lab notebooks/02.ipynb`, `uv run recon queue`; see `recon.toml`, "
        "recon_kit."
    )
    assert typed.runnable("`recon run`", ".venv/bin/recon") == "`.venv/bin/recon run`"


def test_the_command_for_every_row_is_the_one_that_was_typed():
    """What a limit said is left out; a name with a blank is quoted."""
    assert typed.with_all(["queue", "--limit", "5"]) == "recon queue --all"
    assert typed.with_all(["trace", "a b.csv", "--limit=5"]) == "recon trace 'a b.csv' --all"
