"""What every view shares: from when it speaks, and how one table shows itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit.present import tables
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import masked_frame, prose_html


@dataclass(frozen=True, slots=True)
class About:
    """From where and when a result speaks: printed under every view and report.

    `runs` maps a reconciliation to the id of the run that is shown; `checkpoint` is the ledger's
    printed checkpoint; `uncertified` names reconciliations that match without a certificate,
    `certified` says of the others by which promise each method does, `lapsed` which promise holds
    no more, and why, `tried` which models and rules act on a share of components.
    """

    workspace: str
    as_of: datetime
    as_of_seq: int
    zone: str = "UTC"
    runs: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str = ""
    uncertified: tuple[str, ...] = ()
    certified: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()

    def moment(self) -> str:
        """The as-of time in the workspace zone, zone named."""
        return f"{self.as_of.astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M} {self.zone}"

    def line(self) -> str:
        """One line: workspace, as-of, sequence, and what is uncertified or lapsed."""
        told = f"{self.workspace}, as of {self.moment()}, sequence {self.as_of_seq:,}"
        if self.uncertified:
            told += f"; uncertified: {', '.join(self.uncertified)}"
        if self.certified:
            told += f"; {'; '.join(self.certified)}"
        if self.lapsed:
            told += f"; {'; '.join(self.lapsed)}"
        if self.tried:
            told += f"; {'; '.join(self.tried)}"
        return told

    def as_dict(self) -> dict[str, Any]:
        """The same as an object for JSON."""
        return {
            "workspace": self.workspace, "as_of": self.as_of, "as_of_seq": self.as_of_seq,
            "zone": self.zone, "runs": dict(self.runs), "checkpoint": self.checkpoint,
            "uncertified": list(self.uncertified), "certified": list(self.certified),
            "lapsed": list(self.lapsed), "tried": list(self.tried),
        }  # fmt: skip


class FrameView(View):
    """A view that is one table; subclasses say its title and columns."""

    frame: pl.DataFrame
    about: About

    @property
    def title(self) -> str:
        """Heading of the table."""
        raise NotImplementedError

    def columns(self) -> Sequence[Column]:
        """What to show of the frame."""
        raise NotImplementedError

    def html(self) -> str:
        """The table under its heading."""
        body = tables.html(
            self.frame, self.columns(), caption=self.title, zone=self.about.zone,
            more=tables.IN_FRAME,
        )  # fmt: skip
        return f'<section class="rk">{body}{about_line(self.about)}</section>'

    def text(self) -> str:
        """The table as plain text under its title."""
        body = tables.plain(self.frame, self.columns(), zone=self.about.zone)
        return f"{self.title}\n{body}\n{self.about.line()}"

    def as_dict(self) -> dict[str, Any]:
        """Title, rows and from when."""
        return {
            "title": self.title,
            "rows": masked_frame(self.frame),
            "about": self.about.as_dict(),
        }


def about_line(about: About) -> str:
    """The line under a view that says from when it speaks."""
    return f'<p class="rk-note">{prose_html(about.line())}</p>'
