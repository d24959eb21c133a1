"""What hostile input is thrown at, each target with the only answers it may give.

A target takes bytes. It returns quietly where the product answered as it promises (read, set aside,
or refused with an error of its own family), and raises where anything else happened.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import polars as pl
from bad_input import CASES, LAYOUT

from recon_kit import money, settings
from recon_kit.errors import ReconError
from recon_kit.ingestion.ingest import ingest_file
from recon_kit.ingestion.profile import profile_file
from recon_kit.model import Artefact, Counts, Receipt, digest
from recon_kit.settings import Layout, Source
from recon_kit.tuning.labels import read_labels

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = {"csv": "f.csv", "json": "f.json", "ndjson": "f.ndjson"}
SHOPIFY = Source(name="shop", feed="shopify.orders_csv")
STRIPE = Source(name="psp", feed="stripe.payout_reconciliation", timezone="UTC")


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

    def batches(self):
        """No batch came before."""
        return pl.DataFrame(schema={"seq": pl.Int64, "source": pl.String})

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


def table(kind: str) -> Callable[[bytes], None]:
    """A declared table of one format."""
    source = Source(
        name="bank", feed="table", layout=Layout.model_validate(LAYOUT | {"format": kind})
    )
    return lambda data: _ingest(source, data, NAMES[kind])


def vendor(source: Source) -> Callable[[bytes], None]:
    """A vendor's feed."""
    return lambda data: _ingest(source, data, "f.csv")


def profiled(data: bytes) -> None:
    """A file that nobody has declared."""
    _with_file(data, "f.csv", profile_file)


def labels(data: bytes) -> None:
    """A CSV of labels."""
    _with_file(data, "f.csv", read_labels)


def toml(data: bytes) -> None:
    """A `recon.toml`."""
    text = data.decode("utf-8", errors="replace")
    try:
        settings.loads(text)
    except ReconError:
        return


def amount(data: bytes) -> None:
    """One amount: read exactly or refused with a code, never both, never neither."""
    text = data[1:].decode("utf-8", errors="replace")
    currency = ("EUR", "JPY", "KWD", "USD")[(data[:1] or b"\0")[0] % 4]
    for notation in ({}, {"decimal": ","}, {"thousands": ","}, {"unit": "minor"}):
        minor, code = money.parse_amount(text, currency, **notation)
        assert minor is None or code is None, (text, minor, code)
        assert minor is None or -(2**63) <= minor < 2**63, (text, minor)
        if (
            minor is not None
            and not notation
            and text.isascii()
            and text.replace(".", "", 1).isdigit()
        ):
            exact = Decimal(text).scaleb(money.exponent(currency))
            assert minor == exact, (text, currency, minor)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "table_csv": table("csv"), "table_json": table("json"), "table_ndjson": table("ndjson"),
    "shopify": vendor(SHOPIFY), "stripe": vendor(STRIPE), "profile": profiled, "labels": labels,
    "toml": toml, "amount": amount,
}  # fmt: skip


def seeds(name: str) -> list[bytes]:
    """What to start from: the catalogue of bad input, golden files, settings, amounts."""
    root = Path(__file__).resolve().parent.parent
    small = [case.file for case in CASES if len(case.file) < 4_000]
    golden = {"shopify": "shopify_orders", "stripe": "stripe_payouts"}
    if name in golden:
        return [p.read_bytes() for p in sorted((root / "golden" / golden[name]).glob("*.csv"))]
    if name == "toml":
        sample = root.parent / "data" / "sample" / "recon.toml"
        return [sample.read_bytes()]
    if name == "amount":
        return [b"\0" + t.encode() for t in ("1,234.50", "1.234,50", "(12.00)", "-5", "€ 3", "1e3")]
    if name == "labels":
        return [b"left_native_id,right_native_id,label,reviewer\no1,p1,same,ana\n"]
    return small


def _ingest(source: Source, data: bytes, name: str) -> None:
    def take(path: Path) -> None:
        raw = path.parent / "raw"
        raw.mkdir()
        store = FakeStore(raw)
        receipt = ingest_file(store, source, path, workspace_timezone="UTC", received_at=NOW)
        assert receipt.counts.tie, receipt
        assert receipt.counts.quarantined <= receipt.counts.physical, receipt

    _with_file(data, name, take)


def _with_file(data: bytes, name: str, act: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            act(path)
        except ReconError:
            return
