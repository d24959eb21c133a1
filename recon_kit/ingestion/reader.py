"""Files in, records of text out: the one door through which bytes become rows.

`open_records` picks the reader of a dialect. Nothing is inferred and nothing is lost: every
record is a row of a block, a counted blank, or a row of `bad` with its raw line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recon_kit.ingestion.csvrows import CsvRecords
from recon_kit.ingestion.feed import Dialect
from recon_kit.ingestion.records import BAD_SCHEMA, Records
from recon_kit.ingestion.stream import Caps, Stream, check_path

__all__ = ["BAD_SCHEMA", "Caps", "Records", "check_path", "open_records", "read_head"]


def open_records(
    path: Path,
    dialect: Dialect,
    *,
    caps: Caps | None = None,
    keeps_together: Sequence[str] = (),
    name: str | None = None,
) -> Records:
    """Open one file as records of text.

    Args:
        path: a plain file; gzip is seen by its first bytes, not by its name.
        dialect: how the bytes become records, as declared or fixed by the feed.
        caps: how much the file may hold.
        keeps_together: columns whose adjacent equal (or blank) values must share a block.
        name: what messages call the file, where its path is not what the user knows.

    Returns:
        The file's records: header at once, rows through `blocks()`.

    Raises:
        FileRejectedError: the file as a whole cannot be read; the code says why.
        SettingsError: the dialect makes no sense.
    """
    stream = Stream(path, dialect.encoding, caps or Caps(), name)
    if dialect.format == "csv":
        return CsvRecords(stream, dialect, keeps_together)
    if dialect.format == "parquet":
        from recon_kit.ingestion.parquetrows import ParquetRecords

        return ParquetRecords(stream, keeps_together)
    from recon_kit.ingestion.jsonrows import JsonRecords, NdjsonRecords

    if dialect.format == "ndjson":
        return NdjsonRecords(stream, keeps_together)
    return JsonRecords(stream, dialect.records, keeps_together)


def read_head(path: Path, name: str | None = None) -> str:
    """The first characters of a file, for a feed that chooses its dialect by them."""
    first = Stream(path, "utf-8", Caps(), name).head()
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if first.startswith(mark):
            return first[: len(first) // 2 * 2].decode(encoding, "replace")
    return first.decode("utf-8-sig", "replace")
