"""The command line: results on stdout, codes that a scheduler can rely on."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest
from command import recon

from recon_kit.cli.app import app
from recon_kit.settings import loads


@pytest.fixture
def workspace(shop, capsys):
    assert recon("ingest", "till", shop / "till.csv", "-w", shop) == 0
    assert recon("ingest", "card", shop / "card.csv", "-w", shop) == 0
    assert recon("run", "-w", shop) == 0
    capsys.readouterr()
    return shop


@pytest.mark.parametrize(
    "command",
    [
        ["matches"],
        ["queue"],
        ["sli"],
        ["history", "#1001"],
        ["why", "#1003"],
        ["profile", "till"],
        ["trace", "till.csv"],
        ["verify"],
        ["doctor"],
    ],
    ids=lambda c: c[0],
)
def test_json_prints_one_object(workspace, capsys, command):
    """`--json` prints exactly one JSON object on stdout."""
    code = recon(*command, "--json", "-w", workspace)

    out = capsys.readouterr().out
    assert code == 0
    assert isinstance(json.loads(out), dict)
    assert out.count("\n") == 1


def commands(app, *path):
    """Every command with its path, groups walked through."""
    for name in app:
        if name.startswith("-"):
            continue
        inner = [n for n in app[name] if not n.startswith("-")]
        if inner:
            yield from commands(app[name], *path, name)
        else:
            yield " ".join([*path, name]), app[name]


def test_every_option_of_every_command_says_what_it_means():
    """`--help` explains each parameter in a sentence, and each command takes `--json`."""
    bare, plain, seen = [], [], []
    for path, command in commands(app):
        arguments = list(command.assemble_argument_collection(parse_docstring=True))
        bare += [f"{path} {a.name}" for a in arguments if a.show and not a.parameter.help]
        plain += [path] if "--json" not in {a.name for a in arguments} else []
        seen.append(path)

    assert (bare, plain) == ([], [])
    assert {
        "decide", "undo", "labels export", "labels draw", "train", "sweep", "certify", "promote",
        "approve", "rollback", "compare",
    } <= set(seen)  # fmt: skip


def test_progress_goes_to_stderr(shop, capsys):
    """Stages are told beside the result, not inside it."""
    recon("ingest", "till", shop / "till.csv", "-w", shop)
    capsys.readouterr()

    recon("run", "--json", "-w", shop)

    told = capsys.readouterr()
    json.loads(told.out)
    assert "orders_to_payments: matching" in told.err


def test_quarantined_rows_exit_five(shop, capsys):
    """A file with a bad row is taken in, and the code says that something was set aside."""
    (shop / "bad.csv").write_text("Id,Order,Date,Amount\nc1,1001,2026-11-03,1OO.00\n"
                                  "c2,1002,2026-11-03,25.50\n")  # fmt: skip

    code = recon("ingest", "card", shop / "bad.csv", "-w", shop)

    assert code == 5
    assert "1 quarantined, first row 1: [amount_unreadable] in 'amount'" in capsys.readouterr().out


def test_a_refused_file_exits_one_and_says_why(shop, capsys):
    """An empty file is refused with its code and the way out."""
    (shop / "empty.csv").write_bytes(b"")

    code = recon("ingest", "card", shop / "empty.csv", "-w", shop)

    assert code == 1
    assert "Nothing was committed." in capsys.readouterr().err


REFUSALS = [
    ("ingest card empty.csv", 1, "file_rejected", "the file holds nothing"),
    ("ingest crad till.csv", 2, "unknown_name", "did you mean 'card'?"),
    ("why #77", 1, "order_not_found", "check the spelling"),
    ("trace nothing.csv", 2, "unknown_name", "no received file, event"),
    ("sli orders", 2, "unknown_name", "did you mean 'orders_to_payments'?"),
    ("export matches --out m.txt", 1, "report", "is written as .csv or .parquet"),
    ("run --as-of tomorrow", 2, "settings", "tomorrow"),
    ("report --week 46", 2, "parameter", "'46' is no ISO week; write it like 2026-W46"),
    ("decide #1001 nobody --same", 2, "unknown_name", "'nobody'"),
    ("queue --colour red", 2, "unknown_option", "--colour"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: r[0])
def test_a_refusal_is_one_json_object_too(workspace, capsys, monkeypatch, refusal):
    """With `--json` stdout always parses; `error` says kind, message, way out and exit code."""
    command, code, kind, said = refusal
    monkeypatch.chdir(workspace)
    (workspace / "empty.csv").write_bytes(b"")

    ended = recon(*command.split(), "--json")

    told = capsys.readouterr()
    error = json.loads(told.out)["error"]
    assert (ended, error["exit_code"], error["kind"]) == (code, code, kind)
    assert said in error["message"]
    assert f"recon: {error['message']}".splitlines()[0] in told.err


def test_a_refused_file_is_told_with_its_stable_code(workspace, capsys):
    """A script branches on `code` and `file`, not on the sentence."""
    (workspace / "empty.csv").write_bytes(b"")

    recon("ingest", "card", workspace / "empty.csv", "--json", "-w", workspace)

    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["file"]) == ("empty_file", "empty.csv")


def test_a_refused_file_says_what_became_of_the_others(shop, capsys):
    """Files before it were taken in, files after it were not looked at; both are named."""
    (shop / "empty.csv").write_bytes(b"")

    code = recon(
        "ingest", "till", shop / "till.csv", shop / "empty.csv", shop / "card.csv", "-w", shop
    )

    assert code == 1
    refusal, others = capsys.readouterr().err.splitlines()[-2:]
    assert refusal.startswith("recon: empty.csv: the file holds nothing [empty_file]. Ask the")
    assert others == "recon: taken in before it: till.csv; not looked at after it: card.csv"


def test_misuse_exits_two(tmp_path, capsys):
    """A folder that is no workspace is misuse, and the message says how to make one."""
    code = recon("queue", "-w", tmp_path)

    assert code == 2
    assert "`recon init" in capsys.readouterr().err


def test_an_unknown_command_exits_two(capsys):
    """A command that does not exist is misuse."""
    assert recon("reconciliate") == 2


def test_init_makes_a_workspace_once(tmp_path, capsys):
    """`init` writes settings that load; a second time it refuses and leaves them alone."""
    first = recon("init", tmp_path / "mine")
    text = (tmp_path / "mine" / "recon.toml").read_text(encoding="utf-8")
    second = recon("init", tmp_path / "mine")

    assert (first, second) == (0, 2)
    assert loads(text).workspace.name == "my_shop"
    assert "exists already" in capsys.readouterr().err


def test_profile_of_a_file_prints_a_layout_that_loads(shop, capsys):
    """A file that no source declares gets a `[[sources]]` block ready to paste."""
    code = recon("profile", shop / "card.csv", "--json")

    layout = json.loads(capsys.readouterr().out)["layout"]
    assert code == 0
    assert len(loads('[workspace]\nname = "x"\n' + layout).sources) == 1


def test_labels_with_a_bad_row_exit_five(workspace, capsys):
    """Good labels are kept, bad ones are listed, and the code says so."""
    (workspace / "labels.csv").write_text(
        "left_native_id,right_native_id,label,reviewer\n#1003,c9,same,ana\n#1,c9,same,ana\n"
    )

    code = recon("labels", "import", workspace / "labels.csv", "-w", workspace)

    assert code == 5
    assert "1 labels imported" in capsys.readouterr().out


def test_export_writes_where_one_stands(workspace, capsys, monkeypatch):
    """A relative output path starts in the folder of the shell."""
    monkeypatch.chdir(workspace)

    code = recon("export", "open-items", "--out", "open.csv")

    assert code == 0
    assert (workspace / "open.csv").read_text(encoding="utf-8").count("\n") == 6


def test_export_tells_the_money_of_a_side_that_alone_has_amounts(shop, capsys):
    """Orders without amounts: each of their payments keeps its own, in its own currency."""
    settings = (shop / "recon.toml").read_text(encoding="utf-8")
    settings = settings.replace('amount = "Total"\n', "", 1)
    settings = settings.replace(
        'keys = ["order_id"]', 'keys = ["order_id"]\ncardinality = "one_to_many"'
    )
    (shop / "recon.toml").write_text(settings, encoding="utf-8")
    (shop / "card.csv").write_text(
        "Id,Order,Date,Amount\nc1,1001,2026-11-03,60.00\nc2,1001,2026-11-03,40.00\n"
        "c3,1002,2026-11-04,25.50\n"
    )
    for source in ("till", "card"):
        recon("ingest", source, shop / f"{source}.csv", "-w", shop)
    recon("run", "-w", shop)

    recon("export", "matches", "--out", shop / "m.csv", "-w", shop)

    told = pl.read_csv(shop / "m.csv", infer_schema=False).sort("right_native_id")
    assert told.select("right_native_id", "left_amount", "right_amount", "currency").rows() == [
        ("c1", None, "60.00", "EUR"),
        ("c2", None, "40.00", "EUR"),
        ("c3", None, "25.50", "EUR"),
    ]


def test_why_names_the_method_that_proposed(shop, capsys):
    """Two payments that a key joins equally well are proposed by `exact`, and it says so."""
    settings = (shop / "recon.toml").read_text(encoding="utf-8")
    settings = settings.replace("[reconciliations.probable]", "tolerance = { minor_units = 5 }\n"
                                "[reconciliations.probable]")  # fmt: skip
    (shop / "recon.toml").write_text(settings, encoding="utf-8")
    (shop / "card.csv").write_text(
        "Id,Order,Date,Amount\nc1,1001,2026-11-03,99.97\nc2,1001,2026-11-03,100.04\n"
    )
    for source in ("till", "card"):
        recon("ingest", source, shop / f"{source}.csv", "-w", shop)
    recon("run", "-w", shop)
    capsys.readouterr()

    recon("why", "#1001", "--json", "-w", shop)

    told = {row["method"]: row["detail"] for row in json.loads(capsys.readouterr().out)["methods"]}
    assert told["exact"] == (
        "order id 1001: 1 order and 2 payments carry it; 2 counterparts proposed; a person decides"
    )


def test_verify_exits_one_on_a_flipped_byte(workspace, capsys):
    """One changed byte in a stored file is found and fails the command."""
    file = next((workspace / "store" / "seg").iterdir())
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    assert recon("verify", "-w", workspace) == 1


def test_the_command_is_installed():
    """`recon --version` works as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from recon_kit.cli import main; main(['--version'])"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout.strip()) == (0, "0.1.0")
