"""Who owns a case: an ordered list of routes, of which the first that fits decides.

The list is made from `recon.toml`: a late or odd file goes to whoever owns its source; everything
else to the owner of the reconciliation, else to the owner of the source that told the anchor, else
to the house.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.settings import Reconciliation, Settings

DEFAULT_OWNER = "operations"
# Kinds that speak of a source's files rather than of an event.
OF_FEEDS: tuple[str, ...] = ("missing_feed", "schema_drift", "volume_spike")
ROUTE_SCHEMA: dict[str, pl.DataType] = {
    "position": pl.Int64(), "kind": pl.String(), "source": pl.String(), "owner": pl.String(),
    "backup": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Route:
    """Cases of this kind whose anchor this source told go to this owner; none fits any."""

    owner: str
    kind: str | None = None
    source: str | None = None
    backup: str | None = None

    def fits(self, kind: str, source: str | None) -> bool:
        """Whether a case goes this way."""
        return self.kind in (None, kind) and self.source in (None, source)


def routes(rec: Reconciliation, settings: Settings) -> tuple[Route, ...]:
    """The ordered routes of one reconciliation; the last one fits everything."""
    names = dict.fromkeys((*rec.left.sources, *rec.right.sources))
    owned = [s for s in (settings.source(n) for n in names) if s.owner is not None]
    ways = [Route(s.owner or "", kind, s.name, s.backup) for s in owned for kind in OF_FEEDS]
    if rec.owner is not None:
        ways.append(Route(rec.owner))
    ways += [Route(s.owner or "", None, s.name, s.backup) for s in owned]
    return (*ways, Route(DEFAULT_OWNER))


def route(ways: tuple[Route, ...], kind: str, source: str | None) -> Route:
    """The first route that fits one case."""
    for way in ways:
        if way.fits(kind, source):
            return way
    return Route(DEFAULT_OWNER)


def routes_frame(ways: tuple[Route, ...]) -> pl.DataFrame:
    """Routes as a table in `ROUTE_SCHEMA`; a null kind or source fits any."""
    rows = [(i, w.kind, w.source, w.owner, w.backup) for i, w in enumerate(ways)]
    return pl.DataFrame(rows, schema=ROUTE_SCHEMA, orient="row")
