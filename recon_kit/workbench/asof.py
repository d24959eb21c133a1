"""As of when: what a person may write, and the sequence and instant that are meant."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit.errors import SettingsError, WorkspaceError
from recon_kit.ledger.store import Store
from recon_kit.settings import Settings
from recon_kit.workbench.run import facts_seq

_A_DAY = len("2026-11-16")


def meant(
    asked: str | int | None, store: Store, settings: Settings, now: datetime
) -> tuple[int, datetime]:
    """The sequence and instant of an evaluation.

    Args:
        asked: nothing (all facts, now), a sequence number (what was known then, looked at now),
            or a date or time: what had been recorded by then, looked at from then. A day means
            its end in the workspace zone.
        store: whose sequences are meant.
        settings: the workspace zone.
        now: the time of the workspace.

    Raises:
        SettingsError: the text is neither.
        WorkspaceError: no file had come in by then, though one has since.
    """
    if asked is None:
        return facts_seq(store), now
    if isinstance(asked, int) or asked.isdecimal():
        if int(asked) < _first_seq(store):
            raise WorkspaceError(
                f"at sequence {asked} nothing was known: the first file came in at sequence "
                f"{_first_seq(store)}; ask for that one or a later one"
            )
        return int(asked), now
    try:
        day = datetime.fromisoformat(asked)
    except ValueError:
        raise SettingsError(
            f"as-of {asked!r} is neither a sequence number nor a date such as 2026-11-16"
        ) from None
    moment = day if len(asked) > _A_DAY else datetime.combine(day, time.max)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(settings.workspace.timezone))
    moment = moment.astimezone(UTC)
    known = facts_seq(store, by=moment)
    if known == 0 and facts_seq(store) > 0:
        zone = ZoneInfo(settings.workspace.timezone)
        first = min(store.batches()["recorded_at"].to_list()).astimezone(zone)
        raise WorkspaceError(
            f"as of {asked} nothing was known: the first file came in on {first:%Y-%m-%d}. As-of "
            "asks what had been recorded by a day, whatever days the files tell of; to look at a "
            "closed period from its own end, set `as_of` under [workspace] instead"
        )
    return known, moment


def _first_seq(store: Store) -> int:
    """Sequence of the first file; 0 where none came in yet."""
    return int(store.batches().select(pl.col("seq").min().fill_null(0)).item())
