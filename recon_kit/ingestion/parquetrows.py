"""Parquet as records of text: exact digits for numbers, ISO text for times."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recon_kit.errors import FileRejectedError
from recon_kit.ingestion.feed import ROW
from recon_kit.ingestion.records import Records
from recon_kit.ingestion.stream import Stream

_EXACT_MAX = 2**53  # beyond it a float no longer tells whole numbers apart


class ParquetRecords(Records):
    """Records of a parquet file: every value as the shortest text that means exactly it."""

    def __init__(self, stream: Stream, keeps_together: Sequence[str]) -> None:
        super().__init__(stream, keeps_together)
        with stream.open_plain() as file:
            if file.read(4) != b"PAR1":
                raise stream.reject(
                    "format_mismatch", "the file is not parquet", "Check `format` of the layout."
                )
        try:
            schema = pq.read_schema(stream.path)
        except (pa.ArrowException, OSError):
            raise self._damaged() from None
        self.header = self._named(schema.names)

    def raw_lines(self, rows: Collection[int]) -> dict[int, str]:
        """The records as JSON objects of text: parquet has no lines."""
        wanted = set(rows)
        found: dict[int, str] = {}
        for frame in self._read() if wanted else ():
            hit = frame.filter(pl.col(ROW).is_in(sorted(wanted)))
            text = pl.struct(pl.exclude(ROW)).struct.json_encode()
            found |= dict(hit.select(ROW, text.alias("raw")).iter_rows())
        return found

    def _frames(self) -> Iterator[pl.DataFrame]:
        for frame in self._read():
            self.physical += frame.height
            self._check_rows()
            blank = pl.all_horizontal(pl.col(c).fill_null("") == "" for c in self.header)
            kept = frame.filter(~blank)
            self.blank += frame.height - kept.height
            if kept.height:
                yield kept
        if self.physical == 0:
            self._warn("the file has a header and no rows")

    def _read(self) -> Iterator[pl.DataFrame]:
        first = 1
        try:
            with pq.ParquetFile(self.stream.path) as file:
                for batch in file.iter_batches(batch_size=self.stream.caps.block_rows):
                    table = pa.Table.from_batches([batch]).rename_columns(list(self.header))
                    frame = pl.DataFrame(table)
                    yield frame.select(
                        *(as_text(frame[c]).alias(c) for c in self.header),
                        pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(ROW),
                    )
                    first += frame.height
                promised = file.metadata.num_rows
        except (pa.ArrowException, OSError):
            raise self._damaged() from None
        if promised != first - 1:
            raise self._damaged()

    def _damaged(self) -> FileRejectedError:
        return self.stream.reject(
            "parquet_damaged", "the parquet file is damaged", "Fetch the file again."
        )


def as_text(values: pl.Series) -> pl.Series:
    """One column as text: floats by their shortest exact decimal text, times as ISO."""
    kind = values.dtype
    if kind.is_float():
        text = _float_text(values)
    elif kind == pl.Boolean:
        words = {0: "false", 1: "true"}
        text = values.cast(pl.Int8).replace_strict(words, return_dtype=pl.String)
    elif isinstance(kind, pl.Datetime):
        text = values.dt.strftime("%Y-%m-%dT%H:%M:%S%.f" + ("%:z" if kind.time_zone else ""))
    elif kind.is_nested():
        # Encoded as the one field of an object, whose frame {"v":...} is then cut away.
        wrapped = values.alias("v").to_frame().select(pl.struct("v").struct.json_encode())
        text = wrapped.to_series().str.slice(5).str.head(-1).replace("null", None)
    elif kind == pl.Binary:
        text = values.bin.encode("hex")
    else:
        text = values.cast(pl.String)
    return text


def _float_text(values: pl.Series) -> pl.Series:
    text = values.cast(pl.String)
    # A column of whole numbers with gaps is written as floats: `1001.0` means the id 1001.
    text = text.to_frame("t").select(
        pl.when(values.abs() < _EXACT_MAX).then(pl.col("t").str.strip_suffix(".0")).otherwise("t")
    ).to_series().rename(values.name)  # fmt: skip
    if not text.str.contains("e", literal=True).any():
        return text
    plain = {t: f"{Decimal(t):f}" for t in text.unique().to_list() if t is not None and "e" in t}
    return text.replace(plain)
