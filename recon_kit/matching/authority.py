"""Whether a method may match by itself now, and from which confidence and margin on.

The one answer for every method whose matches no key proves. In order:

| state | when | threshold and margin |
| --- | --- | --- |
| certified | a certificate for this very model holds as of the run | those of the certificate |
| uncertified | the workspace set `uncertified = "auto"`; every screen says so | the settings |
| review | otherwise: nothing is matched, all is proposed | the settings |

A certificate that was voided means that something is known to be wrong: review, whatever the
settings say. A method without a score has a confidence of null; it counts as 1.

A certificate may act as a canary, on a share of components (`canary`), while the answer above holds
for all others. A canary that was voided, has expired or speaks of another model acts nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    `canary` is what the method may do instead on a `share` of components, where a certificate is
    tried.
    """

    state: Literal["certified", "uncertified", "review"]
    threshold: float
    margin: float
    certificate_id: str | None
    said: str
    canary: Authority | None = None
    share: float = 1.0

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
        certificates: of each reconciliation and method the one put in force last and, after it,
            its canary; others are no concern.
        as_of: the moment of the run; a certificate holds until it expires.
        model_hash: of the model that scored, for the method that has one.
    """
    if method not in METHODS:
        raise MatchingError(f"method {method!r} needs no certificate; {nearest(method, METHODS)}")
    settings: Uncertain = getattr(rec, METHODS[method])
    threshold, margin = (
        getattr(settings, "auto_match_floor", rec.probable.auto_match_floor),
        getattr(settings, "margin_min", 0.0),
    )
    mine = [c for c in certificates if (c.reconciliation, c.method) == (rec.name, method)]
    bound_to = method_hash(rec, method, model_hash)
    tried = [c for c in mine if c.canary and not _lapse(c, as_of, bound_to)]
    # a canary that failed where nothing else was in force is the last word on the method
    ruling = [c for c in mine if not c.canary] or [c for c in mine if c.voided is not None]
    lapse, voided = "no certificate yet", False
    if ruling:
        voided = ruling[-1].voided is not None
        lapse = _lapse(ruling[-1], as_of, bound_to)
    if ruling and not lapse:
        found = _certified(ruling[-1])
    elif settings.uncertified == "auto" and not voided:
        found = Authority("uncertified", threshold, margin, None, f"uncertified: {lapse}")
    else:
        said = f"for review: {lapse}; a person decides until one holds"
        found = Authority("review", threshold, margin, None, said)
    return _beside(found, tried[-1]) if tried else found


def _certified(held: Certificate) -> Authority:
    return Authority("certified", held.threshold, held.margin, held.certificate_id, told(held))


def _beside(found: Authority, tried: Certificate) -> Authority:
    """What a method may do while a certificate is tried on a share of components."""
    said = f"{told(tried)}; elsewhere {found.said}"
    return replace(found, said=said, canary=_certified(tried), share=tried.share)


def with_model(found: Authority, tried: Authority) -> Authority:
    """What a method may do while a model is tried on a share of components.

    Args:
        found: what it may do with the scores of the model in use.
        tried: what it may do with those of the model on trial: a certificate that speaks of that
            model acts wherever the model does, whatever share it was promoted to.
    """
    there = tried.canary or replace(tried, canary=None)
    return replace(found, canary=there)


def in_force(
    rec: Reconciliation,
    certificates: Sequence[Certificate],
    as_of: datetime,
    stored: StoredModel | None,
) -> dict[str, str]:
    """By method, the certificate under which its matches stand; methods without one are absent."""
    held = _held(rec, certificates, as_of, stored)
    return {m: a.certificate_id for m, a in held.items() if a.certificate_id is not None}


def on_trial(
    rec: Reconciliation,
    certificates: Sequence[Certificate],
    as_of: datetime,
    stored: StoredModel | None,
    tried: StoredModel | None = None,
) -> dict[str, str | None]:
    """By method, the certificate under which components on trial stand; others are absent.

    Where a model is on trial (`tried`) and nothing certifies it, they stand under none.
    """
    held = _held(rec, certificates, as_of, stored)
    if tried is not None:
        there = authority(rec, "probable", certificates, as_of, tried.model_hash)
        held["probable"] = with_model(held["probable"], there)
    return {m: a.canary.certificate_id for m, a in held.items() if a.canary is not None}


def _held(
    rec: Reconciliation,
    certificates: Sequence[Certificate],
    as_of: datetime,
    stored: StoredModel | None,
) -> dict[str, Authority]:
    scored = stored.model_hash if stored else None
    return {method: authority(rec, method, certificates, as_of, scored) for method in METHODS}


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
    where = f"canary on {percent(certificate.share)} of components, " if certificate.canary else ""
    return (
        f"{where}certified until {certificate.expires_at:%Y-%m-%d}, at most "
        f"{certificate.fmr_max:.1%} wrong with {certificate.confidence:.0%} confidence"
    )


def percent(share: float) -> str:
    """A share as people write it: 0.1 is 10 %."""
    return f"{share * 100:.4g} %"


def _lapse(certificate: Certificate, as_of: datetime, bound_to: str) -> str:
    """Why a certificate does not hold; empty where it does."""
    if certificate.voided is not None:
        return f"the certificate was voided ({certificate.voided})"
    if certificate.model_hash != bound_to:
        return "the certificate speaks of another model"
    if as_of >= certificate.expires_at:
        return f"the certificate expired on {certificate.expires_at:%Y-%m-%d}"
    return ""
