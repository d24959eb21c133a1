"""What a promise rests on: the walk from strict to lax, and what is in force now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from recon_kit.matching import authority
from recon_kit.model import Certificate
from recon_kit.present import tables
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html
from recon_kit.tuning.certify import Attempt

_COLUMNS = (
    Column("at", "From", "figure"),
    Column("labels", "Audited", "count"),
    Column("wrong", "Wrong", "count"),
    Column("upper", "Wrong at most", "share"),
    Column("passed", "Proven", "yes"),
)


@dataclass(frozen=True, repr=False)
class CertifyView(View):
    """One look at the audit sample: what it proved, what is missing, what is in force.

    `certificate_id` is set where a threshold was certified; `held` is the certificate that was put
    in force last, expired or voided as it may be.
    """

    attempt: Attempt
    certificate_id: str | None
    held: Certificate | None
    as_of: datetime

    @property
    def certified(self) -> bool:
        """Whether this look certified a threshold."""
        return self.certificate_id is not None

    @property
    def frame(self) -> pl.DataFrame:
        """The points of the walk, strictest first (`certify.STEP_SCHEMA`)."""
        return self.attempt.steps

    def lines(self) -> list[str]:
        """The result, what it rests on, what is in force and what comes next."""
        found = self.attempt
        told = [f"{found.plan.reconciliation}, {found.plan.method}: {found.said}."]
        if self.certified:
            told.append(
                f"Of the {found.frame:,} matches it speaks of, at most {found.frame_wrong_max:,} "
                f"are wrong; margin to the best rival at least {found.plan.margin:g}."
            )
        if found.looks:
            told.append(
                f"{found.looks} earlier looks used some of these labels, so this one may be wrong "
                f"with probability {found.delta:.3g} only."
            )
        told.append(self._now())
        if self.certificate_id is not None:
            short = self.certificate_id[:12]
            told.append(
                f"Next: `recon approve {short} --by NAME` (not who certified), then `recon promote "
                f"{short}`, to a `--share` first if you like"
            )
        elif not found.label_hashes:
            told.append("Next: `recon labels draw`, then answer what was drawn")
        return told

    def _now(self) -> str:
        if self.held is None:
            return "In force: no certificate."
        if self.held.voided is not None:
            return f"In force: nothing; the last certificate was voided ({self.held.voided})."
        if self.as_of >= self.held.expires_at:
            return f"In force: nothing; the certificate expired on {self.held.expires_at:%Y-%m-%d}."
        return f"In force: {authority.told(self.held)}, from {self.held.threshold:.4g} on."

    def _table(self) -> pl.DataFrame:
        at = pl.col("threshold").map_elements(lambda t: f"{t:.6g}", return_dtype=pl.String)
        return self.frame.with_columns(at=at)

    def html(self) -> str:
        """The sentences and the walk."""
        said = "".join(f"<p>{prose_html(line)}</p>" for line in self.lines())
        walk = tables.html(self._table(), _COLUMNS, caption="The walk, strictest first")
        return f'<section class="rk">{said}{walk if self.frame.height else ""}</section>'

    def text(self) -> str:
        """The same as plain text."""
        walk = [tables.plain(self._table(), _COLUMNS)] if self.frame.height else []
        return "\n".join([*self.lines(), *walk])

    def as_dict(self) -> dict[str, Any]:
        """Everything the look came to."""
        found = self.attempt
        return {
            "reconciliation": found.plan.reconciliation, "method": found.plan.method,
            "certified": self.certified, "certificate_id": self.certificate_id,
            "threshold": found.threshold, "margin": found.plan.margin,
            "fmr_max": found.plan.fmr_max, "confidence": 1 - found.delta,
            "labels": found.labels, "wrong": found.wrong, "upper": found.upper,
            "more_labels_needed": found.more, "looks": found.looks, "said": found.said,
            "plan_hash": found.plan.plan_hash, "frame_hash": found.frame_hash,
            "model_hash": found.plan.model_hash, "in_force": self._now(), "steps": self.frame,
        }  # fmt: skip
