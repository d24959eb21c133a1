"""What one telling was read from, field by field, for people to see."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit import money, workdays
from recon_kit.errors import FileRejectedError
from recon_kit.ingestion.feed import Feed, FeedContext
from recon_kit.ingestion.feeds import feed_for
from recon_kit.ingestion.origin import FIELDS, FREE, Origin, origin
from recon_kit.ledger.store import Store
from recon_kit.settings import Settings


def columns_of(
    store: Store, settings: Settings, telling: dict[str, object]
) -> tuple[pl.DataFrame, str | None]:
    """The columns that one telling was read from, and what to say beside them.

    Args:
        store: holds the received file.
        settings: declare its source.
        telling: a row of `tellings`.

    Returns:
        `field, column, printed, value`, and a sentence where the file cannot be looked at.
    """
    none = pl.DataFrame(schema=dict.fromkeys(("field", "column", "printed", "value"), pl.String))
    sha, name = str(telling["artefact_sha256"]), str(telling["file"])
    raw = store.raw_path(sha)
    if not raw.exists():
        gone = store.not_kept().get(sha, "not there; run `recon verify --segments`")
        return none, f"{name} is {gone}: its columns can no longer be shown."
    declared = {s.name: s for s in settings.sources}.get(str(telling["source"]))
    if declared is None:
        return none, f"recon.toml no longer declares {telling['source']}: no columns are shown."
    context = FeedContext(declared, settings.workspace.timezone, name)
    feed = feed_for(declared)
    try:
        found = origin(
            feed, raw, context, int(str(telling["record_row"])),
            derived=telling["records"] == 0,
        )  # fmt: skip
    except FileRejectedError as why:
        return none, f"the source's layout has changed since: {why}"
    if found.told is None:
        return none, (
            "the feed worked it out from several rows of the file."
            if telling["records"] == 0
            else "the source's layout has changed since: today this row tells no event."
        )
    zone = settings.workspace.timezone
    return _with_values(found, zone), None if _read_so(store, feed, telling) else (
        f"recon.toml says otherwise of {telling['source']} than when {name} was read: values and "
        "columns are shown as they would be read today."
    )


def _read_so(store: Store, feed: Feed, telling: dict[str, object]) -> bool:
    """Whether the file was once read just as the settings would have it read today."""
    same = store.batches().filter(
        artefact_sha256=telling["artefact_sha256"],
        source=telling["source"],
        mapping_version=feed.mapping_version(),
    )
    return same.height > 0


def _with_values(found: Origin, zone: str) -> pl.DataFrame:
    told = found.told or {}
    read = [f for f in FIELDS if told[f] is not None]
    order = pl.DataFrame({"field": read}, schema={"field": pl.String}).with_row_index("place")
    values = [_text(f, told, zone) for f in read]
    return (
        order.with_columns(value=pl.Series(values, dtype=pl.String))
        .join(found.cells, on="field", how="left", maintain_order="left")
        .select("field", "column", "printed", "value")
    )


def _text(field: str, told: dict[str, object], zone: str) -> str | None:
    """One value as people read it; nothing of what may name a person."""
    value = told[field]
    if field in FREE:
        return None
    if field in {"amount", "fee", "net", "refunded_amount", "presentment_amount"}:
        of = told["presentment_currency" if field == "presentment_amount" else "currency"]
        return f"{money.to_text(int(str(value)), str(of))} {of}"
    if isinstance(value, datetime):
        if field == "event_ts" and told["ts_precision"] == "date":
            return f"{workdays.told_day(value):%Y-%m-%d}"
        return f"{value.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"
    return str(value)
