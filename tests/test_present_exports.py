"""Exports: exact columns, relations by type and role, safe CSV, whole files or none."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime

import polars as pl
import pytest

from recon_kit import model
from recon_kit.errors import ReportError
from recon_kit.ledger.engine import open_engine
from recon_kit.present import exports

MATCH_COLUMNS = [
    "reconciliation", "match_id", "relation", "method", "disposition", "confidence", "margin",
    "left_source", "left_artefact", "left_native_id", "left_row", "left_event_key", "left_role",
    "right_source", "right_artefact", "right_native_id", "right_row", "right_event_key",
    "right_role", "left_amount", "right_amount", "currency", "days_apart", "discrepancy", "run_id",
]  # fmt: skip


def _rows(schema, rows):
    full = [{name: row.get(name) for name in schema} for row in rows]
    return pl.DataFrame(full, schema=schema, orient="row")


def _event(key, kind, source, day, amount, currency="EUR", **more):  # noqa: PLR0917 - a row
    return {
        "event_key": key, "event_type": kind, "source": source, "native_id": f"id_{key}",
        "event_ts": datetime(2026, 11, day, 12, tzinfo=UTC), "amount": amount,
        "currency": currency, "artefact_sha256": f"sha_{source}", "record_row": day, **more,
    }  # fmt: skip


EVENTS = [
    _event("o1", "order", "shop", 1, 10_000),
    _event("p1", "payment", "stripe", 2, 6_540, "USD", presentment_amount=6_000,
           presentment_currency="EUR"),
    _event("p2", "payment", "stripe", 3, 4_360, "USD", presentment_amount=4_000,
           presentment_currency="EUR"),
    _event("p2b", "payment", "stripe", 3, 4_360, "USD", presentment_amount=4_000,
           presentment_currency="EUR"),
    _event("r1", "refund", "stripe", 9, -1_090, "USD", presentment_amount=-1_000,
           presentment_currency="EUR"),
    _event("o2", "order", "shop", 4, 5_000, "JPY", native_id='=HYPERLINK("http://x")'),
    _event("p3", "payment", "stripe", 5, 5_000, "JPY"),
    _event("o3", "order", "shop", 6, -123_456_789, "BHD"),
]  # fmt: skip
MEMBERS = [
    ("m1", "o1", "left", "principal", True, 10_000),
    ("m1", "p1", "right", "part", True, 6_000),
    ("m1", "p2", "right", "part", True, 4_000),
    ("m1", "p2b", "right", "duplicate", False, None),
    ("m1", "r1", "right", "refund", False, None),
]


@contextmanager
def _engine(threads=1):
    with open_engine(threads=threads) as engine:
        engine.put("events", _rows(model.EVENT_SCHEMA, EVENTS))
        engine.put(
            "artefacts",
            pl.DataFrame(
                {
                    "sha256": ["sha_shop", "sha_stripe", "sha_stripe"],
                    "source": ["shop", "stripe", "stripe"],
                    "name": ["orders.csv", "payouts.csv", "payouts copy.csv"],
                }
            ),
        )
        filled = {
            "matches": [
                {
                    "match_id": "m1", "reconciliation": "otp", "method": "exact",
                    "disposition": "auto", "confidence": 1.0, "left_sum": 10_000,
                    "right_sum": 10_000, "currency": "EUR", "residual_minor": 0,
                }
            ],
            "match_members": [
                dict(
                    zip(
                        ("match_id", "event_key", "side", "role", "counts", "allocated_minor"),
                        row, strict=True,
                    )
                )
                for row in MEMBERS
            ],
            "proposals": [
                {
                    "match_id": "m2", "reconciliation": "otp", "method": "probable",
                    "confidence": 0.9, "left_key": "o2", "right_key": "p3", "currency": "JPY",
                    "left_amount": 5_000, "right_amount": 5_000, "why_code": "uncertified",
                }
            ],
            "open_items": [
                {
                    "item_id": "i1", "reconciliation": "otp", "event_key": "o3", "side": "left",
                    "state": "overdue", "why": "nothing came near", "amount_minor": -123_456_789,
                    "currency": "BHD", "nearest_key": "p3",
                },
                {
                    "item_id": "i2", "reconciliation": "otp", "match_id": "m1", "side": "left",
                    "state": "overdue", "why": "@residual", "amount_minor": 5, "currency": "EUR",
                },
            ],
            "findings": [
                {
                    "case_id": "c1", "reconciliation": "otp", "anchor_key": "o3", "opening": 1,
                    "kind": "missing_right", "amount_minor": None, "currency": None,
                }
            ],
        }  # fmt: skip
        for name, rows in filled.items():
            run = pl.lit("run1").alias("run_id")
            engine.put(name, _rows(model.RUN_TABLES[name], rows).with_columns(run))
        yield engine


@pytest.fixture
def matches(tmp_path):
    """The rows of an export of matches, by right event."""
    with _engine() as engine:
        exports.export(engine, "matches", tmp_path / "m.parquet")
    frame = pl.read_parquet(tmp_path / "m.parquet")
    return frame, {row["right_event_key"]: row for row in frame.to_dicts()}


def test_matches_have_exactly_the_published_columns(matches):
    """The columns of the export are a contract."""
    assert matches[0].columns == MATCH_COLUMNS


def test_every_linked_pair_is_a_row_with_its_relation(matches):
    """Parts pay, a second delivery duplicates, a refund refunds, a proposal waits for review."""
    _, by_right = matches

    relations = {key: row["relation"] for key, row in by_right.items()}

    assert relations == {
        "p1": "pays", "p2": "pays", "p2b": "duplicate_of", "r1": "refunds", "p3": "pays",
    }  # fmt: skip
    assert by_right["p3"]["disposition"] == "review"
    assert by_right["p3"]["discrepancy"] == "uncertified"


def test_amounts_are_decimal_text_in_the_shared_currency(matches):
    """The payment of 65.40 USD is shown as the 60.00 EUR that both sides share."""
    _, by_right = matches

    assert (by_right["p1"]["left_amount"], by_right["p1"]["right_amount"]) == ("100.00", "60.00")
    assert by_right["r1"]["right_amount"] == "-10.00"
    assert by_right["p2b"]["right_amount"] == "40.00"
    assert by_right["p3"]["right_amount"] == "5000"


def test_a_row_says_where_its_facts_were_told(matches):
    """File, row and native id of both sides stand in the row, and how far apart they are."""
    _, by_right = matches
    row = by_right["r1"]

    assert (row["left_artefact"], row["left_row"], row["left_native_id"]) == (
        "orders.csv", 1, "id_o1",
    )  # fmt: skip
    assert (row["right_artefact"], row["days_apart"]) == ("payouts copy.csv", 8.0)


@pytest.mark.parametrize(
    ("types", "roles", "several", "relation"),
    [
        (("order", "payment"), ("principal", "part"), False, "pays"),
        (("order", "payment"), ("principal", "duplicate"), False, "duplicate_of"),
        (("order", "refund"), ("principal", "refund"), False, "refunds"),
        (("order", "chargeback"), ("principal", "chargeback"), False, "charges_back"),
        (("payment", "payout"), ("part", "principal"), True, "member_of"),
        (("refund", "payout"), ("part", "principal"), True, "member_of"),
        (("payout", "bank_line"), ("part", "principal"), False, "deposits"),
        (("payment", "bank_line"), ("part", "principal"), True, "batch_of"),
        (("conversion", "order"), ("principal", "part"), False, "conversion_of"),
        (("invoice", "bank_line"), ("principal", "part"), False, "pays"),
        (("bank_line", "bank_line"), ("principal", "part"), False, "counterpart_of"),
        (("other", "other"), ("principal", "part"), False, "counterpart_of"),
    ],
)
def test_relations_follow_types_and_roles(types, roles, several, relation):
    """Every relation name follows from the two types, the roles and the size of the match."""
    with open_engine(threads=1) as engine:
        sql = (
            f"select {exports.relation_sql()} from (select ? as l, ? as r, ? as left_role,"
            " ? as right_role, ?::boolean as several)"
        )
        found = engine.one(sql, [*types, *roles, several])[0]

    assert found == relation


def test_a_csv_neutralises_formulas_and_keeps_numbers(tmp_path):
    """A native id that a spreadsheet would run is made text; negative amounts stay numbers."""
    with _engine() as engine:
        exports.export(engine, "matches", tmp_path / "m.csv")
        exports.export(engine, "open-items", tmp_path / "o.csv")
    pairs = pl.read_csv(tmp_path / "m.csv", infer_schema_length=0)
    items = pl.read_csv(tmp_path / "o.csv", infer_schema_length=0)

    assert '\'=HYPERLINK("http://x")' in pairs["left_native_id"].to_list()
    assert items.sort("item_id")["amount"].to_list() == ["-123456.789", "0.05"]
    assert items.sort("item_id")["why"].to_list() == ["nothing came near", "'@residual"]
    assert "2026-11-06T12:00:00Z" in items["event_ts"].to_list()


def test_parquet_is_the_lossless_twin(tmp_path):
    """Parquet keeps what a CSV must change."""
    with _engine() as engine:
        exports.export(engine, "matches", tmp_path / "m.parquet")

    ids = pl.read_parquet(tmp_path / "m.parquet")["left_native_id"].to_list()

    assert '=HYPERLINK("http://x")' in ids


def test_open_items_name_the_event_of_a_residual(tmp_path):
    """An open item that is a match is shown by the principal of its left side."""
    with _engine() as engine:
        view = exports.export(engine, "open-items", tmp_path / "o.parquet")
    frame = pl.read_parquet(tmp_path / "o.parquet").sort("item_id")

    assert view.rows == 2
    assert frame["event_key"].to_list() == ["o3", "o1"]
    assert frame["nearest_native_id"].to_list() == ["id_p3", None]


def test_cases_without_an_amount_stay_without(tmp_path):
    """A case about no money has an empty amount, not a zero."""
    with _engine() as engine:
        exports.export(engine, "cases", tmp_path / "c.csv")
    row = pl.read_csv(tmp_path / "c.csv", infer_schema_length=0).row(0, named=True)

    assert (row["kind"], row["amount"], row["native_id"]) == ("missing_right", None, "id_o3")


def test_a_filter_keeps_one_reconciliation(tmp_path):
    """Asked for another reconciliation, nothing is written but the header; names are quoted."""
    with _engine() as engine:
        view = exports.export(engine, "matches", tmp_path / "m.csv", "x' or '1'='1")

    assert view.rows == 0
    assert (tmp_path / "m.csv").read_text().startswith("reconciliation,match_id,relation")


def test_an_unknown_ending_is_refused(tmp_path):
    """Only CSV and parquet are written."""
    with _engine() as engine, pytest.raises(ReportError, match=r"m\.xlsx: .*\.csv or \.parquet"):
        exports.export(engine, "matches", tmp_path / "m.xlsx")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(28, "No space left on device"), r"\(No space left on device\); nothing changed"),
        (OSError("File too large (os error 27)"), r"\(File too large .*\); nothing changed"),
    ],
)
def test_a_failed_write_leaves_the_last_file(tmp_path, monkeypatch, failure, told):
    """When writing fails on the way, the file of yesterday is still whole and nothing is left."""
    (tmp_path / "m.csv").write_text("yesterday")

    def full(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(pl.LazyFrame, "sink_csv", full)
    with _engine() as engine, pytest.raises(ReportError, match=told):
        exports.export(engine, "matches", tmp_path / "m.csv")

    assert (tmp_path / "m.csv").read_text() == "yesterday"
    assert [p.name for p in tmp_path.iterdir()] == ["m.csv"]


def test_rows_come_in_one_order_whatever_the_threads(tmp_path):
    """The file is the same, byte for byte, at one and at two threads."""
    texts = []
    for threads in (1, 2):
        with _engine(threads) as engine:
            many = [("m1", f"x{i:04d}", "right", "part", True, i) for i in range(3000)]
            names = ("match_id", "event_key", "side", "role", "counts", "allocated_minor")
            rows = [dict(zip(names, row, strict=True)) for row in [*MEMBERS, *many]]
            frame = _rows(model.RUN_TABLES["match_members"], rows[:: 1 if threads == 1 else -1])
            engine.put("match_members", frame.with_columns(run_id=pl.lit("run1")))
            exports.export(engine, "matches", tmp_path / f"{threads}.csv")
        texts.append((tmp_path / f"{threads}.csv").read_text())

    assert texts[0] == texts[1]
