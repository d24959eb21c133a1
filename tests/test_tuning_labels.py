"""Labels from elsewhere become decisions, or say why not."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from recon_kit import model
from recon_kit.errors import LabelError
from recon_kit.ledger.engine import open_engine
from recon_kit.settings import Reconciliation
from recon_kit.tuning.labels import read_labels, resolve

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REC = Reconciliation.model_validate(
    {
        "name": "orders_to_payments",
        "left": {"sources": ["shop"], "types": ["order"]},
        "right": {"sources": ["stripe"], "types": ["payment"]},
    }
)


@pytest.fixture
def engine():
    rows = [
        ("k1", "shop", "order", "#1001", "a" * 64, 1),
        ("k2", "shop", "order", "#1002", "a" * 64, 2),
        ("k3", "shop", "order", "#1002", "a" * 64, 3),
        ("p1", "stripe", "payment", "txn_1", "b" * 64, 1),
        ("r1", "stripe", "refund", "txn_2", "b" * 64, 2),
    ]
    names = ["event_key", "source", "event_type", "native_id", "artefact_sha256", "record_row"]
    facts = pl.DataFrame(rows, schema=names, orient="row")
    with open_engine() as opened:
        opened.put("events", facts.with_columns(payload_hash="facts of " + pl.col("event_key")))
        opened.put("artefacts", pl.DataFrame({"sha256": ["a" * 64], "name": ["orders.csv"]}))
        yield opened


def labels_of(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_labels(path)


def test_a_label_by_native_ids_becomes_a_decision(engine, tmp_path):
    """Source and native id on both sides name the two events."""
    labels = labels_of(
        tmp_path,
        "left_source,left_native_id,right_source,right_native_id,label,reviewer,decided_at,reason\n"
        "shop,#1001,stripe,txn_1,same,ana,2026-11-16T09:30:00Z,phone call\n",
    )

    done = resolve(engine, labels, REC, NOW)

    assert done.problems.is_empty()
    row = done.decisions.row(0, named=True)
    assert (row["left_key"], row["right_key"], row["verdict"]) == ("k1", "p1", "same")
    assert row["effective_at"] == datetime(2026, 11, 16, 9, 30, tzinfo=UTC)
    assert row["recorded_at"] == NOW
    assert row["stream"] == "imported"
    assert dict(done.decisions.schema) == {
        k: v for k, v in model.DECISION_SCHEMA.items() if k != "seq"
    }


def test_a_repeated_id_is_named_by_artefact_and_row(engine, tmp_path):
    """Two orders share #1002; the file's row tells which one is meant."""
    labels = labels_of(
        tmp_path,
        "left_native_id,left_artefact,left_row,right_native_id,label,reviewer\n"
        "#1002,orders.csv,3,txn_1,not_same,ana\n",
    )

    done = resolve(engine, labels, REC, NOW)

    assert done.decisions["left_key"].to_list() == ["k3"]
    assert done.decisions["effective_at"].to_list() == [NOW]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("#1001,txn_1,maybe,ana,,", "label_unknown"),
        ("#1001,txn_1,same,,,", "reviewer_missing"),
        ("#1001,txn_1,same,ana,16.11.2026,", "time_unreadable"),
        ("#1001,txn_1,same,ana,,gold", "stream_unknown"),
        ("#1001,txn_1,same,ana,,audit", "not_drawn"),
        ("#9999,txn_1,same,ana,,", "left_not_found"),
        ("#1002,txn_1,same,ana,,", "left_repeats"),
        ("#1001,txn_9,same,ana,,", "right_not_found"),
        ("#1001,txn_2,same,ana,,", "right_not_found"),
        ("#1001,txn_1,no_counterpart,ana,,", "right_given"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(engine, tmp_path, line, code):
    """Each defect of a row has its own code and leaves the other rows alone."""
    labels = labels_of(
        tmp_path,
        "left_native_id,right_native_id,label,reviewer,decided_at,stream\n"
        f"{line}\n#1001,,no_counterpart,ana,,\n",
    )

    done = resolve(engine, labels, REC, NOW)

    assert done.problems.select("row", "code").rows() == [(1, code)]
    assert done.decisions.select("left_key", "right_key", "verdict").rows() == [
        ("k1", None, "no_counterpart")
    ]


def test_an_unknown_column_names_the_nearest(tmp_path):
    """A misspelt header is refused as a whole, with the spelling that was probably meant."""
    with pytest.raises(LabelError, match=r"'lable' is unknown; did you mean 'label'"):
        labels_of(tmp_path, "left_native_id,lable\n#1,same\n")


def test_a_file_without_labels_is_refused(tmp_path):
    """A CSV without the column `label` is not a file of labels."""
    with pytest.raises(LabelError, match="there is no column 'label'"):
        labels_of(tmp_path, "left_native_id\n#1\n")


def test_an_absent_file_is_said_so(tmp_path):
    """A wrong path gives a sentence, not a traceback of a library."""
    with pytest.raises(LabelError, match="does not exist; name a file of labels"):
        read_labels(tmp_path / "none.csv")


def draws_of(*rows):
    """Logged draws: (event, probability) each, of `orders_to_payments`."""
    return pl.DataFrame(
        [("orders_to_payments", *row) for row in rows],
        schema=["reconciliation", "event_key", "inclusion_probability"],
        orient="row",
    )


def test_an_audit_label_takes_the_probability_that_was_logged(engine, tmp_path):
    """A drawn event's label joins the audit sample, whoever gave it and wherever."""
    labels = labels_of(
        tmp_path,
        "left_native_id,right_native_id,label,reviewer,stream\n#1001,txn_1,same,ana,audit\n",
    )

    done = resolve(engine, labels, REC, NOW, draws=draws_of(("k1", 0.02), ("k1", 0.1)))

    assert done.problems.is_empty()
    told = done.decisions.select("stream", "inclusion_probability", "score_shown").row(0)
    assert told == ("audit", 0.1, False)


def test_a_row_that_nobody_answered_is_no_label_but_half_an_answer_is_told(tmp_path, engine):
    """A sheet may come back half done; a reviewer without a label is a slip."""
    labels = labels_of(
        tmp_path,
        "left_native_id,right_native_id,label,reviewer,shown_left_amount\n"
        "#1001,txn_1,,,12.00\n#1001,txn_1,,ana,12.00\n",
    )

    done = resolve(engine, labels, REC, NOW)

    assert done.decisions.is_empty()
    assert done.problems.select("row", "code").rows() == [(2, "label_unknown")]


def test_facts_that_changed_since_the_sheet_was_made_are_asked_again(engine, tmp_path):
    """The hash of what was shown must be that of what is known; a lone row may name a right one."""
    both = model.digest("facts of k1", "facts of p1")
    alone = model.digest("facts of k1")
    labels = labels_of(
        tmp_path,
        "left_native_id,right_native_id,label,reviewer,evidence_hash\n"
        f"#1001,txn_1,same,ana,{both}\n#1001,txn_1,same,bo,{alone}\n"
        f"#1001,,no_counterpart,cy,{alone}\n#1001,txn_1,same,dee,{'0' * 32}\n",
    )

    done = resolve(engine, labels, REC, NOW)

    assert done.problems.select("row", "code").rows() == [(4, "evidence_changed")]
    assert done.decisions["evidence_hash"].to_list() == [both, both, alone]
