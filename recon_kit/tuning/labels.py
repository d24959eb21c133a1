"""Labels that teams decide elsewhere, brought in as decisions.

A label names two events and says whether they tell the same story. An event is named by its
source and native id, or by its event key, or, where native ids repeat, by artefact and row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from recon_kit import model
from recon_kit.errors import LabelError, nearest
from recon_kit.ledger.engine import Engine
from recon_kit.matching import evidence
from recon_kit.settings import Reconciliation
from recon_kit.tuning.sheets import SHOWN, TO_FILL

LABELS: tuple[str, ...] = ("same", "not_same", "unsure", "no_counterpart")
COLUMNS: tuple[str, ...] = (
    "left_source", "left_native_id", "left_event_key", "left_artefact", "left_row",
    "right_source", "right_native_id", "right_event_key", "right_artefact", "right_row",
    "label", "reviewer", "decided_at", "reason", "stream", "evidence_hash",
)  # fmt: skip
PROBLEM_SCHEMA: dict[str, pl.DataType] = {
    "row": pl.Int64(), "code": pl.String(), "message": pl.String(),
}  # fmt: skip
_ISO_TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9:]{5})?)?$"
)
_PROBLEMS: tuple[tuple[str, str], ...] = (
    ("label_unknown", "label must be one of " + ", ".join(LABELS)),
    ("reviewer_missing", "every label names its reviewer"),
    ("time_unreadable", "decided_at must be an ISO time such as 2026-11-16T09:30:00Z"),
    ("stream_unknown", "stream is work, imported or audit; leave it empty if in doubt"),
    ("left_not_found", "no left event has this id; check left_source and left_native_id"),
    ("left_repeats", "several left events have this id; name it by left_event_key or by row"),
    ("right_not_found", "no right event has this id; check right_source and right_native_id"),
    ("right_repeats", "several right events have this id; name it by right_event_key or by row"),
    ("right_given", "no_counterpart says there is no right event; leave its columns empty"),
    ("not_drawn", "only events of the audit sample take audit labels; leave stream empty"),
    ("evidence_changed", "the facts have changed since the sheet was made; export it anew"),
)


@dataclass(frozen=True, slots=True)
class ImportedLabels:
    """Decisions ready for the ledger, and the rows that are not."""

    decisions: pl.DataFrame
    problems: pl.DataFrame


def read_labels(path: Path) -> pl.DataFrame:
    """Read a CSV or parquet file of labels as text.

    Returns:
        One row per label: `COLUMNS` as text (absent ones null, blanks null) and `row` from 1.
        Questions of a sheet that nobody answered are left out.

    Raises:
        LabelError: the file is absent, empty, ragged, not UTF-8, or has no column `label`.
    """
    try:
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path).cast(pl.String)
        else:
            frame = pl.read_csv(path, infer_schema=False, encoding="utf8")
    except FileNotFoundError:
        raise LabelError(f"{path} does not exist; name a file of labels") from None
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as why:
        first = str(why).splitlines()[0]
        raise LabelError(f"{path} is no readable table: {first}. Nothing was imported.") from None
    for name in frame.columns:
        if name not in COLUMNS and not name.startswith(SHOWN):
            raise LabelError(
                f"{path}: column {name!r} is unknown; {nearest(name, COLUMNS)} "
                "Nothing was imported."
            )
    if "label" not in frame.columns:
        raise LabelError(
            f"{path}: there is no column 'label'; the columns are {', '.join(COLUMNS)}. "
            "Nothing was imported."
        )
    text = [
        (
            pl.col(name).str.strip_chars()
            if name in frame.columns
            else pl.lit(None, dtype=pl.String).alias(name)
        )
        for name in COLUMNS
    ]
    blank = pl.col(pl.String).replace("", None)
    told = frame.select(text).with_columns(blank).with_row_index("row", offset=1)
    answered = pl.any_horizontal(pl.col("label", *TO_FILL).is_not_null())
    return told.filter(answered)


def resolve(
    engine: Engine,
    labels: pl.DataFrame,
    rec: Reconciliation,
    recorded_at: datetime,
    *,
    draws: pl.DataFrame | None = None,
) -> ImportedLabels:
    """Find the events that labels speak of.

    Args:
        engine: a snapshot's engine with the views `events` and `artefacts`.
        labels: what `read_labels` returned.
        rec: the reconciliation the labels belong to.
        recorded_at: the clock of the ledger; a label without `decided_at` takes it.
        draws: rows of `audit_draws`; only events drawn there take labels of the stream `audit`.

    Returns:
        Decisions (`model.DECISION_SCHEMA` without `seq`) for every row without a problem.
    """
    engine.put("labels_in", labels.with_columns(pl.col("row").cast(pl.Int64)))
    for side, sources in (("left", rec.left.sources), ("right", rec.right.sources)):
        types = rec.left.types if side == "left" else rec.right.types
        engine.put("side_sources", pl.DataFrame({"name": sources}))
        engine.put("side_types", pl.DataFrame({"name": types}))
        engine.con.execute(_find_sql(side))
    engine.put("drawn_here", _chances(draws, rec.name))
    iso = pl.col("decided_at").str.extract(_ISO_TIME, 0)
    found = engine.rows(_CHECKED).with_columns(
        decided=iso.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    )
    code = _problem_code()
    found = found.with_columns(code=code).sort("row")
    messages = dict(_PROBLEMS)
    problems = found.filter(pl.col("code").is_not_null()).select(
        pl.col("row").cast(pl.Int64),
        "code",
        message=pl.col("code").replace_strict(messages, return_dtype=pl.String),
    )
    good = found.filter(pl.col("code").is_null())
    return ImportedLabels(_decisions(good, rec.name, recorded_at), problems)


def _find_sql(side: str) -> str:
    """Events named by the labels' `side`, one row per label with the key or how many there are."""
    return f"""
        create or replace table found_{side} as
        with candidates as (
          select event_key, source, native_id, artefact_sha256, record_row from events
          where source in (select name from side_sources)
            and event_type in (select name from side_types)
        ),
        hits as (
          select row, event_key from labels_in join candidates c
            on c.native_id = {side}_native_id and c.source = coalesce({side}_source, c.source)
            where {side}_event_key is null and {side}_row is null
          union select row, event_key from labels_in join candidates c
            on c.event_key = {side}_event_key
          union select row, c.event_key from labels_in join candidates c
            on c.record_row = try_cast({side}_row as bigint)
            join artefacts a on a.sha256 = c.artefact_sha256
            and {side}_artefact in (a.sha256, a.name)
        )
        select row, count(*) as hits, min(event_key) as event_key from hits group by row
    """


def _chances(draws: pl.DataFrame | None, reconciliation: str) -> pl.DataFrame:
    """Drawn events with the probability of being in the sample."""
    if draws is None:
        return pl.DataFrame(schema={"event_key": pl.String, "chance": pl.Float64})
    mine = draws.filter(
        (pl.col("reconciliation") == reconciliation) & pl.col("event_key").is_not_null()
    )
    return mine.group_by("event_key").agg(chance=pl.col("inclusion_probability").max())


_CHECKED = f"""
    select l.row, l.label, l.reviewer, l.decided_at, l.reason, l.stream, l.evidence_hash, d.chance,
      {model.digest_sql("el.payload_hash")} as hash_left,
      case when er.event_key is null then hash_left
           else {evidence.pair_hash_sql("el", "er")} end as hash_now,
      coalesce(fl.hits, 0) as left_hits, fl.event_key as left_key,
      coalesce(fr.hits, 0) as right_hits, fr.event_key as right_key,
      coalesce(l.right_native_id, l.right_event_key, l.right_row) is not null as right_named
    from labels_in l left join found_left fl using (row) left join found_right fr using (row)
    left join drawn_here d on d.event_key = fl.event_key
    left join events el on el.event_key = fl.event_key
    left join events er on er.event_key = fr.event_key
    order by l.row
"""


def _problem_code() -> pl.Expr:
    """The first thing that is wrong with a row, or null."""
    single = pl.col("label") == "no_counterpart"
    tests: tuple[pl.Expr, ...] = (
        ~pl.col("label").is_in(LABELS).fill_null(False),
        pl.col("reviewer").is_null(),
        pl.col("decided_at").is_not_null() & pl.col("decided").is_null(),
        ~pl.col("stream").is_in(["work", "imported", "audit"]).fill_null(True),
        pl.col("left_hits") == 0,
        pl.col("left_hits") > 1,
        ~single & (pl.col("right_hits") == 0),
        ~single & (pl.col("right_hits") > 1),
        single & pl.col("right_named"),
        (pl.col("stream") == "audit").fill_null(False) & pl.col("chance").is_null(),
        # a row that showed the left event alone may come back with a right one named
        (
            (pl.col("evidence_hash") != pl.col("hash_now"))
            & (pl.col("evidence_hash") != pl.col("hash_left"))
        ).fill_null(False),
    )
    code = pl.lit(None, dtype=pl.String)
    for test, (name, _) in reversed(list(zip(tests, _PROBLEMS, strict=True))):
        code = pl.when(test).then(pl.lit(name)).otherwise(code)
    return code


def _decisions(good: pl.DataFrame, reconciliation: str, recorded_at: datetime) -> pl.DataFrame:
    now = pl.lit(recorded_at).cast(model.UTC)
    values = {
        "reconciliation": pl.lit(reconciliation), "left_key": pl.col("left_key"),
        "right_key": pl.when(pl.col("label") != "no_counterpart").then(pl.col("right_key")),
        "verdict": pl.col("label"), "reason_code": pl.col("reason"),
        "reviewer": pl.col("reviewer"), "recorded_at": now,
        "effective_at": pl.coalesce(pl.col("decided"), now), "stream": _stream(),
        "evidence_hash": pl.when(pl.col("evidence_hash").is_not_null()).then(pl.col("hash_now")),
        "inclusion_probability": pl.when(_stream() == "audit").then(pl.col("chance")),
        "score_shown": pl.when(_stream() == "audit").then(pl.lit(False)),
    }  # fmt: skip
    return good.select(
        values.get(name, pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in model.DECISION_SCHEMA.items()
        if name != "seq"
    )


def _stream() -> pl.Expr:
    """What came from elsewhere is `imported`, unless it labels a drawn event."""
    return pl.when(pl.col("stream") == "audit").then(pl.lit("audit")).otherwise(pl.lit("imported"))
