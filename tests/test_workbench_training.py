"""From a file of labels to a model in use: through the workbench and the command line alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import timedelta

import polars as pl
import pytest
from certified_shop import NOW, make

from recon_kit import cli
from recon_kit.errors import MatchingError, SettingsError
from recon_kit.model import StoredModel
from recon_kit.present.show import forbidden
from recon_kit.workbench import run
from recon_kit.workbench.bench import Workbench

REC = "orders_to_payments"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A keyless shop of 120 orders, and the labels of 40 of them decided elsewhere."""
    folder = tmp_path_factory.mktemp("training") / "shop"
    make(folder, 120)
    rows = [f"shop,O{i:04},card,P{i:04},same,dee" for i in range(40)]
    rows[3] = "shop,O0003,,,no_counterpart,dee"
    head = "left_source,left_native_id,right_source,right_native_id,label,reviewer"
    lines = [head, *rows, "shop,O9999,card,P0001,same,dee"]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def bench(shop, tmp_path):
    """A copy of it, to be changed."""
    folder = tmp_path / "shop"
    shutil.copytree(shop, folder)
    return Workbench(folder, clock=lambda: NOW)


def in_use(bench):
    """Hash of the model of the current run."""
    bench.reconcile()
    return bench.store.current_run(REC).model_hash


def test_a_trained_model_scores_only_once_it_was_promoted(bench):
    """Labels come in, a card comes out; runs keep their model until three people approve."""
    before = in_use(bench)
    view = bench.train(labels=bench.folder / "labels.csv", seed=1, by="dee")
    card = view.card

    assert (card["labels"]["events"], card["labels"]["kinds"]) == (
        40,
        {"counterpart": 39, "none": 1},
    )
    assert (view.proposed, view.refused, view.in_use) == (True, 1, before)
    assert "1 rows of the file were not brought in; row 41: no left event has this id" in str(view)
    assert f"recon promote {view.model_hash[:12]}` asks for" in view.next_steps()
    assert view.next_steps().endswith(
        "; 160 more labelled events, above all labels of pairs that it would match and that are "
        "not the same tell more"
    )
    assert in_use(bench) == before
    assert forbidden(view.html()) is None
    assert view.charts()[-1].caption.startswith("What counts, and how much: ")

    waiting = bench.promote(view.model_hash[:12], by="dee")
    assert "waits for data owner (ana)" in str(waiting)
    for person in ("ana", "bo", "cy"):
        bench.approve(view.model_hash[:12], by=person)
    bench.promote(view.model_hash[:12], by="dee")
    assert in_use(bench) == view.model_hash
    assert bench.store.run(bench.store.current_run(REC).run_id).model_hash == view.model_hash


def test_training_twice_changes_nothing(bench):
    """The same labels and seed give the same model; it is proposed once, labels recorded once."""
    first = bench.train(labels=bench.folder / "labels.csv", seed=1, by="dee")
    told = bench.store.decisions().height, bench.store.rows("models").height
    again = bench.train(labels=bench.folder / "labels.csv", seed=1, by="eli")

    assert again.model_hash == first.model_hash
    assert (first.proposed, again.proposed) == (True, False)
    assert (bench.store.decisions().height, bench.store.rows("models").height) == told == (40, 2)
    assert "the same labels and seed had given it before" in str(again)


def test_events_of_the_audit_sample_train_nothing(bench):
    """Drawn for the audit, answered or not: an event is left out, whatever else was said of it."""
    bench.draw_audit(rate=1.0)
    card = bench.train(labels=bench.folder / "labels.csv", seed=1, by="dee").card

    assert card["labels"]["events"] == 0
    assert card["labels"]["left_out"] == {"audited_event": 40}
    assert card["chosen"] == "unsupervised"


def test_a_model_without_labels_says_so(bench):
    """No decision yet: a model is trained all the same, and the card claims no figure."""
    view = bench.train(seed=1, by="dee")

    assert view.frame.is_empty()
    assert "no labelled event" in str(view)
    assert "How often it is right is unknown." in str(view)


def test_training_from_the_command_line(bench, capsys):
    """`recon train --json` prints the card as one object; unusable rows of the file give exit 5."""
    labels = bench.folder / "labels.csv"
    with pytest.raises(SystemExit) as end:
        cli.main(
            ["train", REC, "--labels", str(labels), "--seed", "1", "--by", "dee", "--json",
             "-w", str(bench.folder)]
        )  # fmt: skip
    told = json.loads(capsys.readouterr().out)

    assert end.value.code == 5
    assert told["card"]["labels"]["events"] == 40
    assert told["refused"] == 1
    assert told["in_use"] != told["model_hash"]
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "payouts", "-w", str(bench.folder)])
    assert end.value.code == 2
    assert "no reconciliation is called 'payouts'" in capsys.readouterr().err


def test_a_reconciliation_without_the_method_is_not_trained(bench):
    """Where `probable` is switched off there is nothing to train, and the message says how."""
    settings = (bench.folder / "recon.toml").read_text(encoding="utf-8")
    (bench.folder / "recon.toml").write_text(
        settings.replace("enabled = true", "enabled = false"), encoding="utf-8"
    )
    with pytest.raises(
        SettingsError, match="does not use the method `probable`; set enabled = true"
    ):
        Workbench(bench.folder, clock=lambda: NOW).train()


# --- after an update -----------------------------------------------------------------------------


def written_earlier(bench):
    """The model in use as a version of format 1 would have left it."""
    used = bench.store.model(in_use(bench))
    text = used.json.replace('"format":2', '"format":1')
    return StoredModel(hashlib.sha256(text.encode()).hexdigest(), REC, text)


def run_tomorrow(bench):
    """The run of the next day, with what it said; a run of the same moment would be the same."""
    rec = bench.settings.reconciliations[0]
    request = run.Request(rec, run.facts_seq(bench.store), NOW + timedelta(days=1))
    return run.evaluate(bench.store, bench.settings, request)


def test_a_model_that_an_earlier_version_learned_is_learned_anew(bench):
    """A run that finds its own model in an older format learns another one and says so."""
    old = written_earlier(bench)
    bench.store.add_model(old)
    done = run_tomorrow(bench)

    short = old.model_hash[:12]
    assert done.notes[0] == f"the model {short} is of an older format: a new one is learned"
    assert done.run.model_hash not in (None, old.model_hash)
    assert json.loads(bench.store.model(done.run.model_hash).json)["format"] == 2


def test_a_promoted_model_of_an_older_format_is_theirs_to_replace(bench):
    """What people put in force no run replaces in silence: the error says what they can do."""
    old = written_earlier(bench)
    bench.store.add_model(old)
    for verdict in ("proposed", "promoted"):
        word = {"content_hash": old.model_hash, "kind": "model", "approver": "dee"}
        bench.store.append("approvals", pl.DataFrame([word | {"verdict": verdict}]), NOW)

    with pytest.raises(MatchingError) as told:
        run_tomorrow(bench)
    assert str(told.value) == (
        f"the stored model {old.model_hash[:12]} of 'orders_to_payments' has format 1, this "
        "version reads 2; train a new one with `recon train orders_to_payments` and promote it, "
        "or take this one back with `recon rollback orders_to_payments --kind model`: then a run "
        "learns its own"
    )

    bench.rollback(REC, kind="model", by="dee")
    assert run_tomorrow(bench).run.model_hash not in (None, old.model_hash)
