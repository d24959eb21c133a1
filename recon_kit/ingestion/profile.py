"""A look at a file before anything is declared: what it holds, what is odd, how to declare it.

`profile_file` reads the file with the strict reader under a guessed dialect, says per column what
it seems to hold, and proposes a `[[sources]]` block for `recon.toml`. A person confirms it;
ingestion itself never guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl

from recon_kit import model, money
from recon_kit.ingestion.feed import ROW, Dialect, normal_header
from recon_kit.ingestion.guess import ColumnGuess, guess_column, guess_dialect, read_times
from recon_kit.ingestion.packed import kind_of
from recon_kit.ingestion.proposal import propose
from recon_kit.ingestion.reader import Caps, Records, check_path, open_records
from recon_kit.ingestion.stream import Stream
from recon_kit.safe import MaskKind, masked, masked_within

ROWS_MAX = 500_000  # rows that are looked at; a longer file is profiled by its beginning
_HEAD_BYTES = 256 * 1024
_SAMPLES = 3
_SCALE = 9  # decimals kept while comparing amounts of unknown currency

COLUMN_SCHEMA: dict[str, pl.DataType] = {
    "column": pl.String(), "kind": pl.String(), "nulls": pl.Int64(), "null_share": pl.Float64(),
    "distinct": pl.Int64(), "min": pl.String(), "max": pl.String(),
    "samples": pl.List(pl.String()), "formats": pl.List(pl.String()), "odd": pl.String(),
}  # fmt: skip
_MASKS: dict[str, MaskKind] = {
    "email": "email", "phone": "phone", "name": "name", "address": "text",
    "account": "hidden", "birth": "hidden", "note": "text",
}  # fmt: skip

# Headers by which a vendor's file is known: all of `needs`, one of `either`, and at least `count`
# of `likely`.
_KNOWN_FILES: tuple[tuple[str, frozenset[str], frozenset[str], frozenset[str], int], ...] = (
    (
        "stripe.payout_reconciliation",
        frozenset({"gross", "currency", "reporting category"}),
        frozenset({"created utc", "created"}),
        frozenset({
            "balance transaction id", "created utc", "created", "available on utc",
            "available on", "source id", "automatic payout id", "charge id",
        }),
        2,
    ),
    (
        "shopify.orders_csv",
        frozenset({"name"}),
        frozenset({"name"}),
        frozenset({
            "financial status", "paid at", "fulfillment status", "lineitem quantity",
            "lineitem name", "lineitem price", "created at", "total", "refunded amount",
            "accepts marketing", "billing name", "shipping name", "payment method",
        }),
        4,
    ),
    (
        "google_ads.offline_conversions",
        frozenset({"conversion name"}),
        frozenset({"conversion time", "adjustment time"}),
        frozenset({
            "google click id", "gclid", "gbraid", "wbraid", "conversion time",
            "conversion value", "adjustment time", "adjustment type",
        }),
        2,
    ),
)  # fmt: skip
_GOOGLE_CLICKS = frozenset({"google click id", "gclid", "gbraid", "wbraid"})
_OTHER_CLICKS = frozenset({"microsoft click id", "msclkid", "fbclid", "fbc"})


@dataclass(frozen=True, slots=True)
class Profile:
    """What one file holds.

    `columns` has a row per column in the columns of `COLUMN_SCHEMA`, with personal samples
    masked. `toml` is a valid `[[sources]]` block for `recon.toml`, with every doubt as a comment.
    """

    file: str
    dialect: Dialect
    feed: str | None
    header: tuple[str, ...]
    rows: int
    blank: int
    unreadable: int
    duplicate_rows: int
    columns: pl.DataFrame
    first_day: date | None
    last_day: date | None
    days_without_rows: int
    notes: tuple[str, ...]
    toml: str
    guesses: dict[str, ColumnGuess] = field(repr=False)

    def __str__(self) -> str:
        """The proposed settings, ready to be printed or pasted."""
        return self.toml


def recognise(header: Sequence[str]) -> str | None:
    """The feed that reads files with this header, or None when no vendor's feed knows it."""
    names = {normal_header(name) for name in header}
    if names & _OTHER_CLICKS and not names & _GOOGLE_CLICKS:
        return None  # the same layout, but another service's clicks and conversions
    for feed, needs, either, likely, count in _KNOWN_FILES:
        if needs <= names and either & names and len(likely & names) >= count:
            return feed
    return None


def profile_file(
    path: Path, dialect: Dialect | None = None, *, rows_max: int = ROWS_MAX
) -> Profile:
    """Profile one file, declared or not.

    Args:
        path: CSV, JSON, NDJSON or parquet, plain or gzipped.
        dialect: how to read it; guessed from its first bytes when not given.
        rows_max: rows that are looked at.

    Raises:
        FileRejectedError: the file is missing, or no table at all.
    """
    notes: list[str] = []
    if dialect is None:
        guessed = guess_dialect(*_ends(path))
        dialect, notes = guessed.dialect, list(guessed.notes)
    records = open_records(path, dialect, caps=Caps(block_rows=50_000))
    frame = _rows(records, rows_max, notes)
    header = tuple(c for c in frame.columns if c != ROW) or records.header
    guesses = {name: guess_column(name, _filled(frame[name])) for name in header if name in frame}
    decimal = _decimal(guesses)
    columns = pl.DataFrame(
        [_column(frame[name], guess, decimal) for name, guess in guesses.items()],
        schema=COLUMN_SCHEMA,
    )
    feed = recognise(header)
    bad = records.bad
    if not bad.is_empty():
        codes = ", ".join(sorted(set(bad["code"].to_list())))
        notes.append(f"{bad.height} records cannot be read as rows ({codes})")
    days = _days(frame, guesses)
    return Profile(
        file=path.name, dialect=dialect, feed=feed, header=header, rows=frame.height,
        blank=records.blank, unreadable=bad.height,
        duplicate_rows=_duplicates(frame),
        columns=columns,
        first_day=days.min(), last_day=days.max(),  # type: ignore[arg-type]
        days_without_rows=_gaps(days), notes=tuple(notes),
        toml=propose(
            path.name, dialect, feed, guesses=guesses, notes=notes, rows=frame.head(1_000)
        ),
        guesses=guesses,
    )  # fmt: skip


def _ends(path: Path) -> tuple[bytes, bytes]:
    """First and last bytes of a file, unpacked; of an archive only the first."""
    size = check_path(path)
    if kind_of(path) is not None:
        return Stream(path, "utf-8", Caps()).head(), b""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size - 4_096))
        return head, file.read()


def _rows(records: Records, rows_max: int, notes: list[str]) -> pl.DataFrame:
    blocks, seen = [], 0
    for block in records.blocks():
        blocks.append(block.head(rows_max - seen))
        seen += blocks[-1].height
        if seen >= rows_max:
            notes.append(f"only the first {rows_max:,} rows were looked at")
            break
    if not blocks:
        return pl.DataFrame(schema={name: pl.String() for name in records.header})
    return pl.concat(blocks, how="diagonal")


def _filled(text: pl.Series) -> pl.Series:
    """Trimmed text; what stands for nothing is null."""
    name = text.name
    trimmed = pl.col(name).cast(pl.String).str.strip_chars()
    nothing = trimmed.str.to_lowercase().is_in(
        [k for k in model.NULL_KEYS if not k or k.strip("0")]
    )
    return text.to_frame().select(pl.when(~nothing).then(trimmed).alias(name)).to_series()


def _column(text: pl.Series, guess: ColumnGuess, decimal: str) -> dict[str, object]:
    filled = _filled(text)
    low, high = _extremes(filled, guess, decimal)
    samples = filled.drop_nulls().unique(maintain_order=True).head(_SAMPLES)
    if guess.kind in _MASKS:
        shown = masked(pl.col(text.name), _MASKS[guess.kind])
        samples = samples.to_frame().select(shown).to_series()
    elif guess.kind == "text":
        samples = samples.to_frame().select(masked_within(pl.col(text.name))).to_series()
    nulls = filled.null_count()
    return {
        "column": text.name,
        "kind": guess.kind,
        "nulls": nulls,
        "null_share": nulls / len(filled) if len(filled) else None,
        "distinct": filled.drop_nulls().n_unique(),
        "min": low,
        "max": high,
        "samples": samples.to_list(),
        "formats": list(guess.formats),
        "odd": _oddities(text, guess),
    }


def _extremes(filled: pl.Series, guess: ColumnGuess, decimal: str) -> tuple[str | None, str | None]:
    """Smallest and largest value in the sense of the column's kind; none for personal ones."""
    frame = filled.alias("v").to_frame()
    if guess.personal or guess.kind in {"empty", "text", "boolean"}:
        return None, None
    if guess.kind == "amount":
        read = money.parse_amounts(
            pl.col("v"), pl.lit("USD"), decimal=decimal, exponents={"USD": _SCALE}
        )
        minor = frame.select(read.struct["minor"].alias("v"))["v"]
        ends = [minor.min(), minor.max()]
        texts = [
            None if e is None else f"{Decimal(str(e)).scaleb(-_SCALE).normalize():f}" for e in ends
        ]
        return texts[0], texts[1]
    if guess.formats:
        instants = frame.select(_instants("v", guess).alias("v"))["v"]
        cut = 10 if guess.kind == "date" else 19
        low, high = (None if e is None else str(e)[:cut] for e in (instants.min(), instants.max()))
        return low, high
    if guess.kind == "count":
        numbers = filled.cast(pl.Int64, strict=False)
        return (None, None) if numbers.min() is None else (str(numbers.min()), str(numbers.max()))
    low, high = filled.min(), filled.max()  # type: ignore[assignment]
    return low, high


def _instants(column: str, guess: ColumnGuess) -> pl.Expr:
    return read_times(column, guess.formats[0]).struct["ts"]


def _oddities(text: pl.Series, guess: ColumnGuess) -> str | None:
    """What is suspicious about a column's values, as one sentence without any value."""
    raw = text.drop_nulls()
    raw = raw.filter(raw != "")
    if raw.is_empty():
        return None
    trimmed = raw.str.strip_chars()
    counts = {
        "in scientific notation (a spreadsheet rounded them)":
            trimmed.str.contains(r"^[0-9](\.[0-9]+)?[eE]\+?[0-9]+$"),
        "written as null": trimmed.str.to_lowercase().is_in(
            [k for k in model.NULL_KEYS if k.strip("0")]
        ),
        "with blanks around them": raw != trimmed,
    }  # fmt: skip
    if guess.kind in {"id", "text", "count", "phone", "address"}:
        counts["with a leading apostrophe"] = trimmed.str.starts_with("'")
    if guess.kind in {"id", "count"}:
        counts["that end in `.0`"] = trimmed.str.contains(r"^[0-9]+\.0$")
        counts["longer than 15 digits (a spreadsheet would round them)"] = trimmed.str.contains(
            r"^[0-9]{16,}$"
        )
    said = [f"{n:,} {what}" for what, hits in counts.items() if (n := int(hits.sum()))]
    if guess.kind == "id" and (prefixes := _mixed_prefixes(trimmed)):
        said.append(f"mixed prefixes: {prefixes}")
    if len(guess.formats) > 1:
        said.append("dates that read both ways: " + " or ".join(guess.formats))
    if guess.grouped_or_decimal:
        said.append(f"{guess.grouped_or_decimal:,} amounts whose mark groups or parts decimals")
    return "; ".join(said) or None


def _mixed_prefixes(ids: pl.Series) -> str | None:
    """`pi_ 40, ch_ 3`: what ids begin with, where there are a few kinds of it."""
    starts = ids.str.extract(r"^(#|[A-Za-z]{1,8}[_#\-]|[A-Za-z]{1,4})?[A-Za-z0-9]*[0-9]", 1)
    kinds = (
        starts.fill_null("(none)").alias("prefix").value_counts(name="n")
        .sort("n", "prefix", descending=[True, False])
    )  # fmt: skip
    if not 2 <= kinds.height <= 6:
        return None
    return ", ".join(f"{row['prefix']} {row['n']:,}" for row in kinds.iter_rows(named=True))


def _decimal(guesses: dict[str, ColumnGuess]) -> str:
    comma = sum(g.comma_only for g in guesses.values())
    return "," if comma > sum(g.dot_only for g in guesses.values()) else "."


def _duplicates(frame: pl.DataFrame) -> int:
    body = frame.drop(ROW, strict=False)
    return body.height - body.n_unique() if body.width and body.height else 0


def _days(frame: pl.DataFrame, guesses: dict[str, ColumnGuess]) -> pl.Series:
    """Days of the first column of times, sorted and distinct; empty when there is none."""
    name = next((n for n, g in guesses.items() if g.formats and n in frame), None)
    if name is None:
        return pl.Series([], dtype=pl.Date)
    day = _instants(name, guesses[name]).dt.date().alias("day")
    return frame.select(pl.col(name)).select(day)["day"].drop_nulls().unique().sort()


def _gaps(days: pl.Series) -> int:
    if days.is_empty():
        return 0
    span = (days.max() - days.min()).days  # type: ignore[operator,union-attr]
    return int(span) + 1 - len(days)
