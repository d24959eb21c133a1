"""Deciding from the command line: names as files print them, exit codes that scripts can trust."""

from __future__ import annotations

import json

import pytest

from recon_kit.cli import main


@pytest.fixture
def recon(reconciled_shop, capsys, monkeypatch):
    """Run a command on the corner shop; returns exit code, stdout and stderr."""
    monkeypatch.setenv("RECON_REVIEWER", "ana")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments), "-w", str(reconciled_shop)])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return run


def test_decide_and_undo(recon):
    """The receipt names the sequence; undoing it by that number leaves nothing in force."""
    code, out, _ = recon("decide", "#1003", "c9", "--same", "--json")
    seq = json.loads(out)["rows"][0]["seq"]

    assert code == 0
    assert recon("undo", seq)[0] == 0
    code, _, err = recon("undo", "--last")
    assert (code, err) == (1, "recon: ana has no decision in force; nothing is undone.\n")


def test_money_needs_a_reason(recon):
    """Without a code the decision is refused with exit 1; with one it is recorded."""
    code, _, err = recon("decide", "#1003", "--write-off")
    assert code == 1
    assert "a decision that moves money needs a reason code: customer_confirmed, docu" in err
    code, _, err = recon("decide", "#1003", "--write-off", "--reason", "small")
    assert code == 1
    assert "there is no such reason code; known: customer_confirmed, document_seen, paid" in err
    assert "adjudicated, other; [review] reasons in recon.toml adds codes [reason_unknown]" in err

    assert recon("decide", "#1003", "--write-off", "--reason", "bad_debt")[0] == 0


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [([], "none was given"), (["--same", "--unsure"], "given: --same, --unsure")],
)
def test_exactly_one_verdict(recon, verdicts, told):
    """None, or two at once, is a misuse that names the verdicts there are."""
    code, _, err = recon("decide", "#1003", "c9", *verdicts)

    every = "--same, --not-same, --unsure, --no-counterpart, --accept-residual, --write-off"
    assert code == 2
    assert f"Say exactly one of {every}; {told}." in err


def test_an_unknown_id_is_a_misuse(recon):
    """The message names side and reconciliation."""
    code, _, err = recon("decide", "#9999", "c9", "--same")

    assert code == 2
    assert err == (
        "recon: no left event of orders_to_payments is called '#9999'; check the spelling; "
        "`recon why ID` says where an event stands\n"
    )


def test_undo_wants_one_target(recon):
    """Nothing is undone by accident."""
    code, _, err = recon("undo")

    assert code == 2
    assert "a sequence number, --last, or --bundle B" in err


def test_labels_draw_tells_strata_but_not_who(recon):
    """The draw says how many of how many; no event is named."""
    code, out, _ = recon("labels", "draw", "--rate", "0.9", "--json")

    told = json.loads(out)
    assert code == 0
    assert set(told["rows"][0]) == {"stratum", "frame_size", "rate", "drawn", "new"}
    assert "in the queue" in told["notes"][0]


def test_conflicts_exit_four_until_they_are_settled(recon, monkeypatch):
    """A scheduler sees that people disagree; after an adjudication it sees nothing."""
    recon("decide", "#1003", "c9", "--same")
    monkeypatch.setenv("RECON_REVIEWER", "bo")
    recon("decide", "#1003", "c9", "--not-same")

    code, out, _ = recon("decisions", "--conflicts", "--json")
    assert code == 4
    assert "bo: not same c9" in json.loads(out)["rows"][0]["said"]

    monkeypatch.setenv("RECON_REVIEWER", "cy")
    recon("decide", "#1003", "c9", "--same", "--reason", "adjudicated")
    assert recon("decisions", "--conflicts")[0] == 0
    assert recon("decisions", "--reopened")[0] == 0
    assert recon("decisions")[0] == 0
