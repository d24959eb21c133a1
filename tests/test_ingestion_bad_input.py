"""The catalogue of bad input, one row per case: what comes in and what the product answers.

E: the file is refused with this message and nothing is committed. Q: rows go to the quarantine
with this code, the rest goes on. W: accepted with this warning. ok: read as it should be. Numbers
are those of the catalogue; `quirk` and `attack` rows come from real files and from assaults.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, datetime

import polars as pl
import pytest

from recon_kit.errors import ReconError
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.model import Artefact, Counts, Receipt, digest
from recon_kit.settings import Layout, Source

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HEAD = "id,at,amount,cur,order\n"
ROW1 = "p1,2026-11-05 10:00:00,10.00,EUR,#1\n"
ROW2 = "p2,2026-11-06 10:00:00,20.00,EUR,#2\n"
LAYOUT = {
    "event_type": "payment",
    "timezone": "America/New_York",
    "date_formats": ["%Y-%m-%d %H:%M:%S"],
    "columns": {
        "native_id": "id", "event_ts": "at", "amount": "amount", "currency": "cur",
        "order_id": "order",
    },
}  # fmt: skip


def table(*rows, head=HEAD):
    """Bytes of a file with the usual header."""
    return (head + "".join(rows)).encode()


def row(**cells):
    """One good row with some cells changed."""
    base = {"id": "p9", "at": "2026-11-07 10:00:00", "amount": "1.00", "cur": "EUR", "order": "#9"}
    return ",".join((base | cells).values()) + "\n"


def zipped(*names, data=b"id\n1\n"):
    """A zip archive with members of these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, data)
    return out.getvalue()


BOMB = gzip.compress(HEAD.encode() + ROW1.encode() * 600_000)

CASES = [
    # number, what, file, layout, answer, message or code, events
    (1, "empty file", b"", {}, "E", "the file holds nothing", 0),
    (1, "mark only", b"\xef\xbb\xbf", {}, "E", "the file holds nothing", 0),
    (1, "white space only", b" \n\n ", {}, "E", "the file holds nothing", 0),
    (2, "header only", table(), {}, "W", "the file has a header and no rows", 0),
    (4, "byte order mark", b"\xef\xbb\xbf" + table(ROW1), {}, "ok", "", 1),
    (5, "UTF-16", table(ROW1).decode().encode("utf-16"), {}, "E",
     'UTF-16 but is read as utf-8.*Declare encoding = "utf-16"', 0),
    (5, "UTF-16 declared", table(ROW1).decode().encode("utf-16"), {"encoding": "utf-16"}, "ok",
     "", 1),
    (5, "UTF-16 without mark", table(ROW1).decode().encode("utf-16-le"), {}, "E",
     "UTF-16 without a mark", 0),
    (6, "invalid UTF-8", table(ROW1) + b"\xff\xfe\n", {}, "E", "byte 59 is not UTF-8", 0),
    (6, "latin-1", table(row(order="é")).decode().encode("latin-1"), {}, "E",
     'is not UTF-8.*encoding = "cp1252" or "latin-1"', 0),
    (7, "NUL bytes", table(ROW1, row(order="\x00")), {}, "Q", "row_nul", 1),
    (8, "CR-only line ends", table(ROW1, ROW2).replace(b"\n", b"\r"), {}, "ok", "", 2),
    (9, "mixed line ends", table(ROW1) + ROW2.replace("\n", "\r\n").encode(), {}, "ok", "", 2),
    (10, "no final newline", table(ROW1, ROW2).rstrip(b"\n"), {}, "W",
     "the last row has no line end", 2),
    (10, "truncated last row", table(ROW1, ROW2)[:-12], {}, "Q", "row_truncated", 1),
    (10, "cut inside quotes", table(ROW1) + b'p2,"2026-11', {}, "Q", "row_truncated", 1),
    (10, "cut inside a character", table(ROW1) + row(order="é").encode()[:-2], {}, "Q",
     "row_truncated", 1),
    (16, "gzip cut short", gzip.compress(table(ROW1))[:-6], {}, "E", "archive is damaged", 0),
    (16, "gzip with a flipped bit",
     gzip.compress(table(ROW1))[:-8] + b"\x00\x00\x00\x00" + gzip.compress(table(ROW1))[-4:], {},
     "E", "archive is damaged", 0),
    (16, "gzip", gzip.compress(table(ROW1)), {}, "ok", "", 1),
    (17, "gzip bomb", BOMB, {}, "E", "the archive unpacks to more than", 0),
    (17, "gzip in gzip", gzip.compress(gzip.compress(table(ROW1))), {}, "E",
     "a gzip archive inside a gzip archive", 0),
    (18, "zip with several members", zipped("a.csv", "../b.csv"), {}, "E", "a zip archive", 0),
    (20, "XLSX named csv", zipped("[Content_Types].xml", "xl/workbook.xml"), {}, "E",
     r"an Excel workbook \(XLSX\)", 0),
    (20, "XLS named csv", b"\xd0\xcf\x11\xe0\xa1\xb1", {}, "E", "an old Excel workbook", 0),
    (20, "PDF named csv", b"%PDF-1.7\n", {}, "E", "a PDF document", 0),
    (20, "login page named csv", b"<!DOCTYPE html><html></html>", {}, "E", "a web page", 0),
    (20, "XML named csv", b'<?xml version="1.0"?><a/>', {}, "E", "the file is XML", 0),
    (20, "parquet named csv", b"PAR1xxxxPAR1", {"format": "csv"}, "E", "the file is parquet", 0),
    (20, "JSON named csv", b'[{"id": 1}]', {"format": "csv"}, "E", "the file is JSON", 0),
    (27, "last year's file", table(row(at="2025-11-05 10:00:00")), {}, "W",
     "the newest event is of 2025-11-05, more than a year ago", 1),
    (28, "missing column", table("1,2\n", head="id,amount\n"), {}, "E",
     "the header lacks 'at', 'cur'", 0),
    (29, "extra column", table("p1,2026-11-05 10:00:00,1.00,EUR,#1,x\n",
     head="id,at,amount,cur,order,new\n"), {}, "ok", "", 1),
    (30, "columns in another order", table("#1,EUR,1.00,2026-11-05 10:00:00,p1\n",
     head="order,cur,amount,at,id\n"), {}, "ok", "", 1),
    (31, "column named twice", table("p1,2026-11-05 10:00:00,1.00,EUR,#1,2.00\n",
     head="id,at,amount,cur,order,amount\n"), {}, "E", "names 'amount' twice", 0),
    (32, "case and spaces of the header", table(ROW1, head="ID, At ,*Amount,CUR:,Order\n"), {},
     "ok", "", 1),
    (33, "renamed column", table(ROW1, head="id,at,amounts,cur,order\n"), {}, "E",
     "'amount': did you mean 'amounts'", 0),
    (34, "wrong delimiter", table(ROW1).replace(b",", b";"), {}, "E",
     'one column but holds a semicolon.*Declare delimiter = ";"', 0),
    (34, "tab in a csv", table(ROW1).replace(b",", b"\t"), {}, "E", "but holds a tab", 0),
    (35, "a column changed its type", table(*[row(id=f"p{n}", at=str(n)) for n in range(12)]), {},
     "E", "none of 12 rows could be read; 12 of them in 'event_ts': the time does not fit", 0),
    (36, "short row", table(ROW1, "p2,2026\n"), {}, "Q", "row_short", 1),
    (37, "long row", table(ROW1, ROW2.strip() + ",x\n"), {}, "Q", "row_long", 1),
    (38, "unterminated quote", table('p1,"2026-11-05 10:00:00,1.00,EUR,#1\n', ROW2), {}, "Q",
     "quote_unterminated", 1),
    (39, "embedded newline", table(row(order='"#\n1"')), {}, "ok", "", 1),
    (40, "blank lines", table(ROW1, "\n", ",,,,\n", ROW2), {}, "ok", "", 2),
    (41, "row beyond the cap", table(ROW1, row(order="x" * 2_000_000)), {}, "Q", "row_too_long", 1),
    (42, "missing id", table(row(id="")), {}, "ok", "", 1),
    (44, "null-like key", table(row(order="NA"), row(id="p8", order="-")), {}, "ok", "", 2),
    (45, "leading zeros", table(row(order="000123")), {}, "ok", "", 1),
    (46, "id in scientific notation", table(ROW1, row(order="1.23457E+15")), {}, "Q", "id_lossy",
     1),
    (46, "id as a float", table(ROW1, row(order="92598312.0")), {}, "Q", "id_lossy", 1),
    (48, "id over length", table(ROW1, row(order="x" * 600)), {}, "Q", "id_too_long", 1),
    (49, "formula text", table(row(order='"=HYPERLINK(""x"")"')), {}, "ok", "", 1),
    (50, "script text", table(row(order="<script>")), {}, "ok", "", 1),
    (51, "ambiguous thousands", table(ROW1, row(amount='"1,234"')), {}, "Q", "amount_ambiguous",
     1),
    (51, "the other notation", table(ROW1, row(amount='"1.234,50"')), {}, "Q",
     "amount_unreadable", 1),
    (53, "currency sign", table(row(amount="€10.00")), {}, "ok", "", 1),
    (53, "another currency's sign", table(ROW1, row(amount="10.00 GBP")), {}, "Q",
     "currency_contradicts", 1),
    (54, "NaN", table(ROW1, row(amount="NaN")), {}, "Q", "amount_unreadable", 1),
    (54, "infinity", table(ROW1, row(amount="inf")), {}, "Q", "amount_unreadable", 1),
    (54, "underscore", table(ROW1, row(amount="1_000")), {}, "Q", "amount_unreadable", 1),
    (54, "full-width digits", table(ROW1, row(amount="１２")), {}, "Q", "amount_unreadable", 1),
    (55, "too many decimals", table(ROW1, row(amount="1.234")), {}, "Q", "amount_decimals", 1),
    (56, "yen without decimals", table(row(amount="1200", cur="JPY")), {}, "ok", "", 1),
    (56, "decimals of a yen", table(ROW1, row(amount="12.5", cur="JPY")), {}, "Q",
     "amount_decimals", 1),
    (57, "missing currency", table(ROW1, row(cur="")), {}, "Q", "currency_missing", 1),
    (57, "unknown currency", table(ROW1, row(cur="EURO")), {}, "Q", "currency_unknown", 1),
    (58, "overflow", table(ROW1, row(amount="99999999999999999999")), {}, "Q", "amount_overflow",
     1),
    (59, "negative payment", table(ROW1, row(amount="-1.00")), {}, "Q", "sign_contradicts", 1),
    (60, "zero amount", table(row(amount="0.00")), {}, "W", "rows with an amount of zero", 1),
    (63, "day or month first", table(ROW1, row(at="01/02/2026 10:00:00")),
     {"date_formats": ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"]}, "Q",
     "time_format_ambiguous", 1),
    (64, "no zone", table(ROW1), {"timezone": None}, "E", "carry no offset and no zone is known",
     0),
    (65, "hour that does not exist", table(ROW1, row(at="2026-03-08 02:30:00")), {}, "Q",
     "time_nonexistent", 1),
    (65, "hour that comes twice", table(ROW1, row(at="2026-11-01 01:30:00")), {}, "Q",
     "time_ambiguous", 1),
    (66, "epoch in s and ms", table(row(at="1767225600"), row(id="p8", at="1767225600000")),
     {"date_formats": ["epoch"]}, "ok", "", 2),
    (67, "future", table(ROW1, row(at="2026-11-30 10:00:00")), {}, "Q", "time_future", 1),
    (68, "placeholder", table(ROW1, row(at="1970-01-01 00:00:00")), {}, "Q", "time_placeholder",
     1),
    ("quirk 14", "repeated header (files put together)", table(ROW1, HEAD, ROW2), {}, "W",
     "the header stands again among the rows", 2),
    ("quirk 15", "NDJSON with a partial last line",
     b'{"id":"p1","at":"2026-11-05 10:00:00","amount":1.00,"cur":"EUR"}\n{"id":"p2"',
     {"format": "ndjson"}, "Q", "json_truncated", 1),
    ("attack 21", "NDJSON with a repeated key",
     b'{"id":"p1","at":"2026-11-05 10:00:00","amount":1.00,"cur":"EUR"}\n{"id":1,"id":2}\n',
     {"format": "ndjson"}, "Q", "json_duplicate_key", 1),
    ("attack 21", "depth bomb", b"[" * 99_999, {"format": "json"}, "E", "nested more than", 0),
]  # fmt: skip


class FakeStore:
    """A ledger in memory that keeps the drafts it is given."""

    def __init__(self, folder):
        self.folder, self.drafts, self.told = folder, [], []

    def receive(self, path, *, source, received_at, as_of=None, bytes_max=0):  # noqa: ARG002 - the ledger's shape
        """Keep the bytes."""
        sha = digest(path.read_bytes().hex(), length=64)
        (self.folder / sha).write_bytes(path.read_bytes())
        size = path.stat().st_size
        return Artefact(sha, source, path.name, size, received_at, as_of or received_at)

    def raw_path(self, sha256):
        """Where the bytes are."""
        return self.folder / sha256

    def known_batch(self, *identity):  # noqa: ARG002 - the ledger's shape
        """Nothing is known."""
        return

    def artefacts(self):
        """No file came before."""
        return pl.DataFrame(schema=dict.fromkeys(("source", "name", "sha256"), pl.String))

    def commit_batch(self, draft):
        """Keep the draft and its events."""
        self.drafts.append(draft)
        frames = [pl.read_parquet(path) for path in draft.told]
        self.told = [event for frame in frames for event in frame.rows(named=True)]
        taken = sum(event["records"] for event in self.told)
        lost = int(draft.quarantine["records"].sum())
        counts = Counts(draft.physical, taken, 0, 0, lost, draft.blank)
        return Receipt(
            draft.artefact.source, draft.artefact.name, draft.artefact.sha256, len(self.drafts),
            counts, len(self.told), warnings=draft.warnings,
        )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    """An empty ledger in memory."""
    (tmp_path / "raw").mkdir()
    return FakeStore(tmp_path / "raw")


def take(store, folder, data, layout):
    """Ingest bytes as one file of a declared table."""
    source = Source(name="bank", feed="table", layout=Layout.model_validate(LAYOUT | layout))
    path = folder / "file.csv"
    path.write_bytes(data)
    return ingest_file(store, source, path, workspace_timezone="UTC", received_at=NOW)


@pytest.mark.parametrize(
    ("data", "layout", "message"),
    [pytest.param(c[2], c[3], c[5], id=f"{c[0]} {c[1]}") for c in CASES if c[4] == "E"],
)
def test_the_file_is_refused(store, tmp_path, data, layout, message):
    """E: a clear error, and nothing is committed."""
    with pytest.raises(ReconError, match=message):
        take(store, tmp_path, data, layout)

    assert store.drafts == []


@pytest.mark.parametrize(
    ("data", "layout", "code", "events"),
    [pytest.param(c[2], c[3], c[5], c[6], id=f"{c[0]} {c[1]}") for c in CASES if c[4] == "Q"],
)
def test_the_row_is_quarantined(store, tmp_path, data, layout, code, events):  # noqa: PLR0917 - a literal table
    """Q: the row is set aside with code, message and raw line; the rest goes on; counts tie."""
    receipt = take(store, tmp_path, data, layout)
    quarantine = store.drafts[0].quarantine

    assert quarantine["code"].to_list() == [code]
    assert receipt.events == events
    assert receipt.counts.tie
    assert quarantine["message"].null_count() == quarantine["raw_line"].null_count() == 0


@pytest.mark.parametrize(
    ("data", "layout", "message", "events"),
    [pytest.param(c[2], c[3], c[5], c[6], id=f"{c[0]} {c[1]}") for c in CASES if c[4] == "W"],
)
def test_the_file_is_accepted_with_a_warning(store, tmp_path, data, layout, message, events):  # noqa: PLR0917 - a literal table
    """W: everything is taken, and the receipt says what was odd."""
    receipt = take(store, tmp_path, data, layout)

    assert message in "; ".join(receipt.warnings)
    assert (receipt.events, receipt.counts.quarantined) == (events, 0)
    assert receipt.counts.tie


@pytest.mark.parametrize(
    ("data", "layout", "events"),
    [pytest.param(c[2], c[3], c[6], id=f"{c[0]} {c[1]}") for c in CASES if c[4] == "ok"],
)
def test_the_file_is_read(store, tmp_path, data, layout, events):
    """ok: no row is lost, and nothing is said."""
    receipt = take(store, tmp_path, data, layout)

    assert (receipt.events, receipt.counts.quarantined, receipt.warnings) == (events, 0, ())
    assert receipt.counts.tie


@pytest.mark.parametrize(
    ("order", "key"),
    [("NA", None), ("-", None), ("  ", None), ("null", None), ("#1001", "1001"),
     ("'1001", "1001"), ("000123", "000123"), ("10\u200b01", "1001"), ("<b>", "<b>")],
)  # fmt: skip
def test_keys_are_normalised_and_null_likes_never_join(store, tmp_path, order, key):
    """44, 45, 47, 50: a key is what it means; a null-like one is no key."""
    take(store, tmp_path, table(row(order=order)), {})

    assert store.told[0]["order_id"] == key


def test_a_link_a_folder_and_a_locked_file_are_refused(store, tmp_path):
    """24, 25: only a plain readable file is taken."""
    source = Source(name="bank", feed="table", layout=Layout.model_validate(LAYOUT))
    (tmp_path / "real.csv").write_bytes(table(ROW1))
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")

    for name, message in (
        ("link.csv", "symbolic link"),
        ("none.csv", "does not exist"),
        ("raw", "no plain file"),
    ):
        with pytest.raises(ReconError, match=message):
            ingest_file(store, source, tmp_path / name, workspace_timezone="UTC", received_at=NOW)
    assert store.drafts == []
