"""The model that a run scores with: the one in use, unless it is to be learned anew."""

from __future__ import annotations

import polars as pl

from recon_kit.ledger.store import Store
from recon_kit.matching import stored
from recon_kit.model import StoredModel
from recon_kit.resolution import governance
from recon_kit.settings import Reconciliation


def model_used(
    store: Store, rec: Reconciliation, seq: int
) -> tuple[StoredModel | None, tuple[str, ...]]:
    """The model in use; none where it is to be learned anew: see `_outlived`.

    What a run learned by itself the next one learns again. A model that people put in force is
    theirs to replace: it stays, and either the note or scoring with it says what they have to do.
    """
    said = store.rows("approvals")
    used = governance.model_in_use(store.rows("models"), said, rec.name, seq)
    found = store.model(used) if used else None
    why = _outlived(found, rec) if found else ""
    if found is None or not why:
        return found, ()
    short = found.model_hash[:12]
    words = said.filter(pl.col("content_hash") == found.model_hash).sort("seq")["verdict"]
    if not (len(words) and words[-1] in governance.PUT_IN_FORCE):
        return None, (f"the model {short} {why}: a new one is learned",)
    if stored.is_older(found):
        return found, ()
    so = f"none is read with it; `recon train {rec.name}` makes a model that fits"
    return found, (f"the model {short} {why}: {so}",)


def _outlived(found: StoredModel, rec: Reconciliation) -> str:
    """Why a model does not fit what is declared now; empty where it does."""
    if stored.is_older(found):
        return "is of an older format"
    heard = stored.customers_of(found)
    if heard is None or heard == rec.customers:
        return ""
    return "was learned with other records of customers than `customers` names"
