"""What finished runs changed against the runs they followed."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from recon_kit.ledger.store import Store
from recon_kit.matching import difference
from recon_kit.model import Run
from recon_kit.present.views import About, ChangesView
from recon_kit.settings import Settings

_NO_TOTALS = {
    "thing": pl.String, "change": pl.String, "currency": pl.String, "items": pl.Int64,
    "amount_minor": pl.Int64,
}  # fmt: skip


def changes_view(
    store: Store, settings: Settings, runs: Iterable[Run], about: About
) -> ChangesView:
    """Each run beside its base, the run that was current when it was made.

    An event belongs to the owner of its case; where it has none, to the owner of its source.
    """
    runs = list(runs)
    compared = {run.reconciliation: (run.base_run_id, run.run_id) for run in runs}
    rescored: dict[str, str] = {}
    asked = [run_id for pair in compared.values() for run_id in pair if run_id is not None]
    precedence = {s.name: s.precedence for s in settings.sources}
    found: list[difference.Difference] = []
    with store.snapshot().engine(runs=asked, precedence=precedence) as engine:
        for name, (before, after) in compared.items():
            if before is not None:
                found.append(difference.diff(engine, before, after))
                told = _rescored(store, *difference.rescored(engine), before, after)
                rescored |= {name: told} if told else {}
    owners = {s.name: s.owner for s in settings.sources if s.owner}
    events = [d.events for d in found] or [pl.DataFrame(schema=difference.EVENT_SCHEMA)]
    frame = pl.concat(events).with_columns(
        owner=pl.coalesce(
            "owner", pl.col("source").replace_strict(owners, default=None, return_dtype=pl.String)
        )
    )
    totals = [
        d.totals.select(pl.lit(name).alias("reconciliation"), pl.all())
        for name, (_, after) in compared.items()
        for d in found
        if d.after == after
    ] or [pl.DataFrame(schema={"reconciliation": pl.String, **_NO_TOTALS})]
    return ChangesView(
        frame=frame.sort(
            pl.col("amount_minor").abs(), "reconciliation", "event_key",
            descending=[True, False, False], nulls_last=True,
        ),
        about=about,
        totals=pl.concat(totals),
        compared=compared,
        events_total=sum(d.events_total for d in found),
        rescored=rescored,
    )  # fmt: skip


def _rescored(store: Store, matches: int, most: float, before: str, after: str) -> str:
    """How many matches have another confidence and are the same otherwise, and what moved it."""
    if not matches:
        return ""
    every = store.runs()
    old, new = (every.filter(pl.col("run_id") == run).row(0, named=True) for run in (before, after))
    moved = [why for name, why in _MOVED_BY.items() if old[name] != new[name]]
    are, their = ("is", "its") if matches == 1 else ("are", "their")
    size = f"{most:.6f}".rstrip("0")
    return (
        f"{matches:,} of the changed matches {are} the same but for {their} confidence or margin "
        f"(by at most {size}); {' and '.join(moved)} since the run before"
    )


# What moves the confidence of matches that nobody touched.
_MOVED_BY: dict[str, str] = {
    "model_hash": "the model is another one",
    "settings_hash": "the settings have changed",
    "rules_hash": "the rules have changed",
    "code_hash": "recon_kit is another version",
    "as_of_seq": "facts or answers were added, so that the odds of all that is compared moved",
    "as_of_time": "time went by",
}  # fmt: skip
