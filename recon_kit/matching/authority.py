"""Whether a method may match by itself now, and from which confidence and margin on.

The one answer for every method whose matches no key proves. In order:

| state | when | threshold and margin |
| --- | --- | --- |
| certified | a certificate for this very model holds as of the run | those of the certificate |
| uncertified | the workspace set `uncertified = "auto"`; every screen says so | the settings |
| review | otherwise: nothing is matched, all is proposed | the settings |

A certificate that was voided means that something is known to be wrong: review, whatever the
settings say. A method without a score has a confidence of null; it counts as 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from recon_kit import model
from recon_kit.errors import MatchingError, nearest
from recon_kit.model import Certificate, StoredModel
from recon_kit.settings import Reconciliation, Uncertain

# Methods that need a certificate, and where their settings stand.
METHODS: dict[str, str] = {
    "window": "window_method", "grouped": "grouped", "probable": "probable",
    "decomposed": "decomposed",
}  # fmt: skip
# What shapes the matches of a method that has no model.
_SHAPE = {
    "left", "right", "attach", "measure", "keys", "cardinality", "tolerance", "window",
    "fx_band_percent",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Authority:
    """What a method may do by itself.

    `threshold` is the least confidence and `margin` the least lead over the best rival of a match;
    `certificate_id` names the certificate that allows it, `said` is a sentence for screens.
    """

    state: Literal["certified", "uncertified", "review"]
    threshold: float
    margin: float
    certificate_id: str | None
    said: str

    @property
    def alone(self) -> bool:
        """Whether what reaches threshold and margin is matched without a person."""
        return self.state != "review"


def authority(
    rec: Reconciliation,
    method: str,
    certificates: Sequence[Certificate],
    as_of: datetime,
    model_hash: str | None = None,
) -> Authority:
    """What a method may do by itself, as of a moment.

    Args:
        rec: the reconciliation.
        method: one of `METHODS`.
        certificates: the newest of each reconciliation and method; others are no concern.
        as_of: the moment of the run; a certificate holds until it expires.
        model_hash: of the model that scored, for the method that has one.
    """
    if method not in METHODS:
        raise MatchingError(f"method {method!r} needs no certificate; {nearest(method, METHODS)}")
    settings: Uncertain = getattr(rec, METHODS[method])
    threshold, margin = (
        getattr(settings, "auto_match_floor", 0.0),
        getattr(settings, "margin_min", 0.0),
    )
    mine = [c for c in certificates if (c.reconciliation, c.method) == (rec.name, method)]
    lapse, voided = "no certificate yet", False
    if mine:
        newest = mine[-1]
        voided = newest.voided is not None
        lapse = _lapse(newest, as_of, method_hash(rec, method, model_hash))
        if not lapse:
            return Authority(
                "certified", newest.threshold, newest.margin, newest.certificate_id, told(newest)
            )
    if settings.uncertified == "auto" and not voided:
        return Authority("uncertified", threshold, margin, None, f"uncertified: {lapse}")
    said = f"for review: {lapse}; a person decides until one holds"
    return Authority("review", threshold, margin, None, said)


def in_force(
    rec: Reconciliation,
    certificates: Sequence[Certificate],
    as_of: datetime,
    stored: StoredModel | None,
) -> dict[str, str]:
    """By method, the certificate under which its matches stand; methods without one are absent."""
    scored = stored.model_hash if stored else None
    held = {
        method: authority(rec, method, certificates, as_of, scored).certificate_id
        for method in METHODS
    }
    return {method: named for method, named in held.items() if named is not None}


def method_hash(rec: Reconciliation, method: str, model_hash: str | None) -> str:
    """What a certificate is bound to: the model, or the settings that shape the method.

    A window twice as wide is another method: what was proven of the narrow one says nothing of it.
    """
    if method == "probable":
        return model_hash or ""
    shape = rec.model_dump(mode="json", include=_SHAPE)
    own = getattr(rec, METHODS[method]).model_dump(mode="json", exclude={"enabled", "uncertified"})
    return model.digest(method, json.dumps([shape, own], sort_keys=True))


def told(certificate: Certificate) -> str:
    """The promise in words."""
    return (
        f"certified until {certificate.expires_at:%Y-%m-%d}, at most {certificate.fmr_max:.1%} "
        f"wrong with {certificate.confidence:.0%} confidence"
    )


def _lapse(certificate: Certificate, as_of: datetime, bound_to: str) -> str:
    """Why a certificate does not hold; empty where it does."""
    if certificate.voided is not None:
        return f"the certificate was voided ({certificate.voided})"
    if certificate.model_hash != bound_to:
        return "the certificate speaks of another model"
    if as_of >= certificate.expires_at:
        return f"the certificate expired on {certificate.expires_at:%Y-%m-%d}"
    return ""
