"""One file from its path to its receipt: receive, read, tell, check, commit.

Bytes are kept first, exactly as they came. A file that is refused commits nothing; a row that is
refused is quarantined with its number, its code and its raw line, and the rest goes on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recon_kit.errors import CountsDoNotTieError, FileRejectedError, MissingColumnError
from recon_kit.ingestion.feed import (
    PROBLEM_SCHEMA,
    ROW,
    Feed,
    FeedContext,
    Told,
    normal_header,
    stack_carry,
)
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.gate import pass_gate
from recon_kit.ingestion.reader import Caps, Records, check_path, open_records, read_head
from recon_kit.ledger.store import BatchDraft, Store
from recon_kit.model import QUARANTINE_SCHEMA, TOLD, Artefact, Receipt
from recon_kit.settings import Source

Progress = Callable[[int, int], None]  # physical records read so far, events told so far
_UNREADABLE_MIN = 10  # a file of so many rows of which none is an event is refused as a whole
_OLD = timedelta(days=366)
_ARTEFACT = ("sha256", "source", "name", "bytes", "received_at", "as_of")
_REASONS_SHOWN = 3  # reasons of quarantined rows that a receipt names


@dataclass(slots=True)
class _Telling:
    """What has been told of one file so far."""

    folder: Path
    events: int = 0
    problems: list[pl.DataFrame] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    covers_from: datetime | None = None
    covers_to: datetime | None = None

    def add(self, told: Told) -> None:
        """Stage one block: events to parquet, problems and warnings to memory."""
        if told.events.height:
            name = f"told-{len(list(self.folder.iterdir())):05d}.parquet"
            told.events.write_parquet(self.folder / name)
            self.events += told.events.height
            times = told.events["event_ts"].drop_nulls()
            if times.len():
                bounds = [self.covers_from, self.covers_to, times.min(), times.max()]
                known = [b for b in bounds if isinstance(b, datetime)]
                self.covers_from, self.covers_to = min(known), max(known)
        if told.problems.height:
            self.problems.append(told.problems)
        self.warnings.update(told.warnings)

    def staged(self) -> tuple[Path, ...]:
        """The parquet files in the columns of `model.TOLD`."""
        return tuple(sorted(self.folder.iterdir()))


def ingest_file(  # noqa: PLR0913 - the contract of one act: what, of whom, when, and how much
    store: Store,
    source: Source,
    path: Path,
    *,
    workspace_timezone: str,
    received_at: datetime,
    as_of: datetime | None = None,
    progress: Progress | None = None,
    caps: Caps | None = None,
) -> Receipt:
    """Take one file into the store.

    Args:
        store: the ledger.
        source: the declared supplier; its feed reads the file.
        path: the file; it is copied, and never changed.
        workspace_timezone: zone of weeks and clocks; a file's times take their source's zone.
        received_at: when the file came, with zone.
        as_of: the moment the file tells about; `received_at` when not given.
        progress: called after each block with records read and events told so far.
        caps: how much a file may hold.

    Returns:
        The receipt with the six counts, or that of the batch which already holds this file.

    Raises:
        FileRejectedError: the file as a whole cannot be read; nothing was committed.
        SettingsError: the source is not declared well enough to read the file.
        LedgerError: the store cannot be used.
    """
    feed = feed_for(source)
    check_path(path)
    caps = caps or Caps()
    artefact = store.receive(
        path, source=source.name, received_at=received_at, as_of=as_of, bytes_max=caps.bytes_max
    )
    known = store.known_batch(
        source.name, artefact.sha256, feed.parser_version, feed.mapping_version()
    )
    if known is not None:
        note = f"this file is already ingested as batch {known.batch_seq}"
        return replace(known, file=path.name, already_known=True, warnings=(note,))
    reading = _Reading(store, feed, source, workspace_timezone, caps)
    reading.refuse_other_events(path.name)
    with _folder() as folder:
        return store.commit_batch(reading.draft(artefact, folder, progress))


@dataclass(frozen=True)
class _Reading:
    """How the files of one source are read now."""

    store: Store
    feed: Feed
    source: Source
    workspace_timezone: str
    caps: Caps

    def draft(self, artefact: Artefact, folder: Path, progress: Progress | None) -> BatchDraft:
        """A received file as the feed tells it, staged in `folder`."""
        feed, store = self.feed, self.store
        records = _open(feed, store.raw_path(artefact.sha256), artefact.name, self.caps)
        context = FeedContext(
            self.source, self.workspace_timezone, artefact.name, records.preamble, records.facts
        )
        telling = _tell_all(feed, records, context, folder, artefact.received_at, progress)
        quarantine = _quarantine(telling, records, artefact)
        _refuse_if_nothing_was_read(telling, records, quarantine)
        covered = replace(artefact, covers_from=telling.covers_from, covers_to=telling.covers_to)
        return BatchDraft(
            artefact=covered,
            feed=feed.name,
            parser_version=feed.parser_version,
            mapping_version=feed.mapping_version(),
            mutable=feed.mutable_fields(),
            told=telling.staged(),
            quarantine=quarantine,
            physical=records.physical,
            blank=records.blank,
            warnings=(*_reasons(quarantine), *_warnings(telling, records, covered, store)),
        )

    def refuse_other_events(self, file: str) -> None:
        """Where the layout has changed, the newest file of the source must tell what it told.

        Else rows that `file`, the next one, tells again would be other events, and count twice.
        One that the new layout cannot read tells nothing of that.

        Raises:
            FileRejectedError: its records would be told as other events.
        """
        mine = pl.col("source") == self.source.name
        batches = self.store.batches().filter(mine).sort("seq")
        now = (self.feed.parser_version, self.feed.mapping_version())
        if batches.is_empty() or now in batches.select("parser_version", "mapping_version").rows():
            return
        last = self.store.artefacts().filter(mine, sha256=batches["artefact_sha256"][-1])
        if last.is_empty() or not self.store.raw_path(last["sha256"][-1]).exists():
            return
        earlier = Artefact(**last.select(_ARTEFACT).row(-1, named=True))
        with _folder() as folder:
            try:
                draft = self.draft(earlier, folder, None)
            except FileRejectedError:
                return
            self.store.check_events(draft, file)


def ingest_files(  # noqa: PLR0913 - as ingest_file
    store: Store,
    source: Source,
    paths: Iterable[Path],
    *,
    workspace_timezone: str,
    received_at: datetime,
    as_of: datetime | None = None,
    progress: Progress | None = None,
    caps: Caps | None = None,
) -> tuple[list[Receipt], list[FileRejectedError]]:
    """Take several files of one source, each on its own: a refused file does not stop the others.

    Returns:
        The receipts, and the refusals, each in the order of `paths`.
    """
    receipts: list[Receipt] = []
    refused: list[FileRejectedError] = []
    for path in paths:
        try:
            receipts.append(
                ingest_file(
                    store,
                    source,
                    path,
                    workspace_timezone=workspace_timezone,
                    received_at=received_at,
                    as_of=as_of,
                    progress=progress,
                    caps=caps,
                )
            )
        except FileRejectedError as why:
            refused.append(why)
    return receipts, refused


def _open(feed: Feed, raw: Path, name: str, caps: Caps) -> Records:
    dialect = feed.dialect(read_head(raw, name))
    records = open_records(raw, dialect, caps=caps, keeps_together=feed.together(), name=name)
    present = {normal_header(c) for c in records.header}
    needed = dict(feed.columns())
    if dialect.format in {"csv", "parquet"}:
        needed |= feed.apart()
    missing = [
        column
        for column, spellings in needed.items()
        if not any(normal_header(s) in present for s in (column, *spellings))
    ]
    # A JSON file without a single record has no names to miss.
    if missing and (records.header or dialect.format == "csv"):
        raise MissingColumnError(name, missing, records.header)
    return records


def _tell_all(  # noqa: PLR0913, PLR0917 - one loop over one file
    feed: Feed,
    records: Records,
    context: FeedContext,
    folder: Path,
    received_at: datetime,
    progress: Progress | None,
) -> _Telling:
    telling = _Telling(folder)
    carries: list[Mapping[str, pl.DataFrame]] = []
    held = 0  # records that the feed keeps back until the file has ended

    def add(told: Told) -> int:
        passed = pass_gate(told, strict_signs=feed.strict_signs, received_at=received_at)
        if list(passed.events.schema.items()) != list(TOLD.items()):
            raise TypeError(f"feed {feed.name!r} did not return the columns of model.TOLD")
        telling.add(passed)
        return int(passed.events["records"].sum()) + int(passed.problems["records"].sum())

    for block in records.blocks():
        told = feed.tell(block, context)
        went = add(told)
        if went != block.height and not (told.carry and went < block.height):
            raise _untied(feed, went, block.height, f"from row {block[ROW].item(0)}")
        held += block.height - went
        carries += [told.carry] if told.carry else []
        if progress is not None:
            progress(records.physical, telling.events)
    last = feed.finish(stack_carry(carries), context) if carries else None
    went = add(last) if last is not None else 0
    if went != held:
        raise _untied(feed, went, held, "kept back until the end")
    return telling


def _untied(feed: Feed, went: int, wanted: int, where: str) -> CountsDoNotTieError:
    """Each record is counted by one event or by one problem."""
    return CountsDoNotTieError(
        f"feed {feed.name!r} accounts for {went:,} of {wanted:,} records {where}; nothing was "
        "committed. The feed loses or invents rows."
    )


def _quarantine(telling: _Telling, records: Records, artefact: Artefact) -> pl.DataFrame:
    """Rows that could not be read and rows that could not become events, with their raw lines."""
    problems = pl.concat([pl.DataFrame(schema=PROBLEM_SCHEMA), *telling.problems])
    raw = records.raw_lines(problems[ROW].unique().to_list())
    lines = pl.DataFrame(
        {ROW: list(raw), "raw_line": list(raw.values())},
        schema={ROW: pl.Int64, "raw_line": pl.String},
    )
    told = problems.join(lines, on=ROW, how="left", maintain_order="left")
    together = pl.concat([records.bad, told.select(records.bad.columns)])
    return (
        together.with_columns(
            pl.lit(artefact.sha256).alias("artefact_sha256"),
            pl.lit(artefact.source).alias("source"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in QUARANTINE_SCHEMA.items())
        .sort(ROW, "code", "column", "message", nulls_last=True)
    )


def _refuse_if_nothing_was_read(
    telling: _Telling, records: Records, quarantine: pl.DataFrame
) -> None:
    """A file in which no row could be read is misread as a whole: its columns changed, say."""
    if telling.events or quarantine.height < _UNREADABLE_MIN:
        return
    codes = quarantine.group_by("code", "column", "message").len()
    worst = codes.sort("len", "code", "column", descending=[True, False, False]).row(0, named=True)
    about = f" in {worst['column']!r}" if worst["column"] else ""
    raise FileRejectedError(
        records.name,
        "nothing_readable",
        f"none of {records.physical - records.blank:,} rows could be read; {worst['len']:,} of "
        f"them{about}: {worst['message']}",
        "Check the layout of the source against the file (`recon profile FILE` helps).",
    )


def _reasons(quarantine: pl.DataFrame) -> tuple[str, ...]:
    """Why rows were quarantined, the most frequent reason first, each with its first row."""
    counted = quarantine.group_by("code", "column", "message").agg(
        pl.col("records").sum().alias("n"), pl.col(ROW).min().alias("first")
    )
    shown = counted.sort("n", "code", "column", "message", descending=[True, False, False, False])
    said = []
    for row in shown.head(_REASONS_SHOWN).iter_rows(named=True):
        about = f" in {row['column']!r}" if row["column"] else ""
        said.append(
            f"{row['n']:,} quarantined, first row {row['first']:,}: [{row['code']}]{about} "
            f"{row['message']}"
        )
    rest = shown.height - _REASONS_SHOWN
    return (*said, f"and {rest:,} other reasons") if rest > 0 else tuple(said)


def _warnings(
    telling: _Telling, records: Records, artefact: Artefact, store: Store
) -> tuple[str, ...]:
    found = Counter(records.warnings)
    found.update(telling.warnings)
    said = [text if n <= 1 else f"{text} ({n:,})" for text, n in sorted(found.items())]
    if artefact.covers_to is not None and artefact.covers_to < artefact.received_at - _OLD:
        said.append(f"the newest event is of {artefact.covers_to:%Y-%m-%d}, more than a year ago")
    held = store.artefacts().filter(
        (pl.col("source") == artefact.source)
        & (pl.col("name") == artefact.name)
        & (pl.col("sha256") != artefact.sha256)
    )
    if held.height:
        said.append("a file of this name with other content was ingested before")
    return tuple(said)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for staged blocks, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="recon_told_", dir=os.environ.get("RECON_TEMP")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
