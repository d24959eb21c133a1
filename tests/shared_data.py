"""Labelled data beside the repository: where it lies, and workspaces over it without its truth.

What names the answer (ids that both sides share, the column `scenario`) is taken out before the
product sees a file and kept aside, by row, for the score.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from command import recon

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
_TRANSACTIONS = SHARED / "data" / "splink_transactions"
_LERIAN = SHARED / "data" / "lerian_bank_statement_vs_ledger"

TRANSACTIONS = """
[workspace]
name = "transactions"
timezone = "UTC"
currency = "GBP"
as_of = "2022-12-31T00:00:00Z"

[[sources]]
name = "origin"
feed = "table"
owner = "payer"
[sources.layout]
event_type = "payment"
format = "parquet"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
event_ts = "transaction_date"
amount = "amount"
description = "memo"
currency = { value = "GBP" }

[[sources]]
name = "destination"
feed = "table"
owner = "payee"
[sources.layout]
event_type = "payment"
format = "parquet"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
event_ts = "transaction_date"
amount = "amount"
description = "memo"
currency = { value = "GBP" }

[[reconciliations]]
name = "origin_to_destination"
left = { sources = ["origin"], types = ["payment"] }
right = { sources = ["destination"], types = ["payment"] }
keys = []
settles_within = "30d"
[reconciliations.probable]
uncertified = "auto"
"""

JAFFLE = """
[workspace]
name = "jaffle_shop"
timezone = "UTC"
currency = "USD"
as_of = "2018-06-30T00:00:00Z"

[[sources]]
name = "raw_orders"
feed = "table"
owner = "shop"
[sources.layout]
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
event_ts = "order_date"
status = "status"
customer_id = "user_id"
native_id = "id"
order_id = "id"

[[sources]]
name = "raw_payments"
feed = "table"
owner = "finance"
[sources.layout]
event_type = "payment"
unit = "minor"
[sources.layout.columns]
amount = "amount"
order_id = "order_id"
payment_method = "payment_method"
native_id = "id"
currency = { value = "USD" }

[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["raw_orders"], types = ["order"] }
right = { sources = ["raw_payments"], types = ["payment"] }
keys = ["order_id"]
cardinality = "one_to_many"
settles_within = "5d"
"""

# A ledger entry may have either sign (27 of them are negative), so its type is `other`; the bank's
# small differences of 0.04 lie within the tolerance, those of 15.00 do not.
LERIAN = """
[workspace]
name = "lerian"
timezone = "UTC"
currency = "BRL"
as_of = "2026-06-30T00:00:00Z"

[[sources]]
name = "ledger"
feed = "table"
owner = "finance"
[sources.layout]
event_type = "other"
format = "json"
date_formats = ["%Y-%m-%dT%H:%M:%S%z"]
[sources.layout.columns]
event_ts = "posted_at"
amount = "amount"
currency = "currency"
description = "description"
native_id = "ledger_entry_id"
transaction_id = "end_to_end_id"
invoice_number = "reference"

[[sources]]
name = "bank"
feed = "table"
owner = "treasury"
[sources.layout]
event_type = "bank_line"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
event_ts = "booking_date"
amount = "amount"
currency = "currency"
description = "description"
native_id = "bank_entry_id"
transaction_id = "end_to_end_id"
invoice_number = "reference"

[[sources]]
name = "adjustments"
feed = "table"
owner = "treasury"
[sources.layout]
event_type = "adjustment"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
event_ts = "adjustment_date"
amount = "amount"
currency = "currency"
description = "reason"
native_id = "adjustment_id"
transaction_id = "end_to_end_id"
invoice_number = "reference"

[[reconciliations]]
name = "ledger_to_bank"
left = { sources = ["ledger"], types = ["other"] }
right = { sources = ["bank"], types = ["bank_line"] }
keys = ["transaction_id", "invoice_number"]
tolerance = { minor_units = 5 }
settles_within = "5d"

[[reconciliations]]
name = "ledger_to_adjustments"
left = { sources = ["ledger"], types = ["other"] }
right = { sources = ["adjustments"], types = ["adjustment"] }
keys = ["transaction_id", "invoice_number"]
settles_within = "5d"
"""


# A register of people, without amount, time or key. What is told beside name and address has no
# column of its own, so it is declared under `raw_keys`; what is personal of it stands apart.
FEBRL4 = """
[workspace]
name = "register"
timezone = "UTC"
currency = "AUD"
as_of = "2026-06-30T00:00:00Z"
"""
_FEBRL4_SOURCE = """
[[sources]]
name = "{name}"
feed = "table"
owner = "registry"
[sources.layout]
event_type = "other"
timezone = "UTC"
personal = ["date_of_birth", "soc_sec_id", "address_1", "address_2"]
[sources.layout.columns]
customer_name = {{ join = ["given_name", "surname"] }}
postcode = "postcode"
"raw_keys.date_of_birth" = "date_of_birth"
"raw_keys.soc_sec_id" = "soc_sec_id"
"raw_keys.address_1" = "address_1"
"raw_keys.address_2" = "address_2"
"raw_keys.suburb" = "suburb"
"raw_keys.street_number" = "street_number"
"raw_keys.state" = "state"
"""
FEBRL4 += "".join(_FEBRL4_SOURCE.format(name=name) for name in ("original", "copy"))
FEBRL4 += """
[[reconciliations]]
name = "original_to_copy"
left = { sources = ["original"], types = ["other"] }
right = { sources = ["copy"], types = ["other"] }
keys = []
settles_within = "30d"
[reconciliations.probable]
uncertified = "auto"
compare = ["raw_personal.soc_sec_id", "raw_personal.date_of_birth", "raw_personal.address_1",
  "raw_personal.address_2", "raw_keys.suburb", "raw_keys.street_number", "raw_keys.state"]
"""


@dataclass(frozen=True)
class Scored:
    """Pairs against the truth: how many were said, and how many of them are true."""

    pairs: int
    right: int
    truth: int

    @property
    def precision(self) -> float:
        """Share of what was said that is true."""
        return self.right / self.pairs

    @property
    def recall(self) -> float:
        """Share of what is true that was said."""
        return self.right / self.truth

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.right / (self.pairs + self.truth)


def shared(path: str) -> Path:
    """A file or folder of the shared data; the test is skipped where it is absent."""
    if not (SHARED / path).exists():
        pytest.skip(f"shared/{path} does not stand beside the repository")
    return SHARED / path


def workspace(folder: Path, settings: str, files: dict[str, Path]) -> Path:
    """A workspace in which these files (by source) were taken in and reconciled, all rows told."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recon.toml").write_text(settings, encoding="utf-8")
    for source, file in files.items():
        assert recon("ingest", source, file, "-w", folder) == 0, source
    assert recon("run", "-w", folder) == 0
    return folder


def exported(folder: Path, what: str, reconciliation: str) -> pl.DataFrame:
    """What `recon export` writes as CSV, every column as text."""
    out = folder / f"{what}_{reconciliation}.csv"
    code = recon("export", what, "--reconciliation", reconciliation, "--out", out, "-w", folder)
    assert code == 0, what
    return pl.read_csv(out, infer_schema=False)


def hide_transactions(folder: Path) -> dict[str, Path]:
    """Both sides without ids and shuffled, each with the truth by row beside it."""
    shared("data/splink_transactions")
    files = {}
    for seed, side in ((11, "origin"), (12, "destination")):
        told = pl.read_parquet(_TRANSACTIONS / f"transactions_{side}.parquet")
        mixed = told.sample(fraction=1.0, shuffle=True, seed=seed)
        truth = mixed.select(pl.int_range(1, pl.len() + 1).alias("row"), "ground_truth")
        truth.write_parquet(folder / f"truth_{side}.parquet")
        files[side] = folder / f"{side}.parquet"
        mixed.drop("ground_truth", "unique_id").write_parquet(files[side])
    return files


def hide_febrl4(folder: Path) -> dict[str, Path]:
    """Both sides without their ids and shuffled, each with the truth by row beside it."""
    shared("data/febrl4")
    files = {}
    for seed, name, told in ((21, "original", "a"), (22, "copy", "b")):
        rows = pl.read_csv(SHARED / "data" / "febrl4" / f"dataset4{told}.csv", infer_schema=False)
        rows = rows.rename(str.strip).with_columns(pl.all().str.strip_chars())
        mixed = rows.sample(fraction=1.0, shuffle=True, seed=seed)
        truth = mixed.select(
            pl.int_range(1, pl.len() + 1).alias("row"),
            ground_truth=pl.col("rec_id").str.extract("rec-([0-9]+)-"),
        )
        truth.write_parquet(folder / f"truth_{name}.parquet")
        files[name] = folder / f"{name}.csv"
        mixed.drop("rec_id").write_csv(files[name])
    return files


def row_score(
    folder: Path, matches: pl.DataFrame, sides_told: tuple[str, str] = ("origin", "destination")
) -> Scored:
    """Pairs by row against the hidden truth."""
    sides = [pl.read_parquet(folder / f"truth_{s}.parquet") for s in sides_told]
    named = matches.select(pl.col("left_row", "right_row").cast(pl.Int64))
    named = named.join(sides[0], left_on="left_row", right_on="row").join(
        sides[1], left_on="right_row", right_on="row", suffix="_right"
    )
    right = named.filter(pl.col("ground_truth") == pl.col("ground_truth_right")).height
    possible = sides[0].join(sides[1], on="ground_truth").height
    return Scored(matches.height, right, possible)


def hide_lerian(folder: Path) -> dict[str, Path]:
    """The three files without `scenario`, packed as they came."""
    shared("data/lerian_bank_statement_vs_ledger")
    entries = lerian_ledger().drop("scenario").to_dicts()
    files = {"ledger": folder / "midaz-ledger-export.json.gz"}
    files["ledger"].write_bytes(gzip.compress(json.dumps(entries, indent=1).encode()))
    for source, name in (("bank", "bank-statement"), ("adjustments", "bank-adjustments")):
        files[source] = folder / f"{name}.csv.gz"
        text = lerian_table(name).drop("scenario").write_csv()
        files[source].write_bytes(gzip.compress(text.encode()))
    return files


def lerian_ledger() -> pl.DataFrame:
    """The ledger's export with its truth."""
    packed = (_LERIAN / "midaz-ledger-export.json.gz").read_bytes()
    return pl.DataFrame(json.loads(gzip.decompress(packed)))


def lerian_table(name: str) -> pl.DataFrame:
    """A CSV of the bank with its truth, every column as text."""
    packed = (_LERIAN / f"{name}.csv.gz").read_bytes()
    return pl.read_csv(gzip.decompress(packed), infer_schema=False)
