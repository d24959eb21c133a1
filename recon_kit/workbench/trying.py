"""Trying a change on a share of components first: which share it may have, and what it has now."""

from __future__ import annotations

from datetime import datetime

from recon_kit.errors import GovernanceError
from recon_kit.ledger.store import Store
from recon_kit.matching import stored
from recon_kit.matching.authority import percent
from recon_kit.matching.canary import Trials
from recon_kit.resolution import governance
from recon_kit.workbench import changes
from recon_kit.workbench.changes import Change
from recon_kit.workbench.run import trials

# What to do once a change acts on a share, by its kind.
NEXT: dict[str, str] = {
    kind: (
        "Next: `recon run`; `recon labels draw --strata canary --rates.canary 1`; answer what was "
        f"drawn; `recon watch{watched}`; then promote it with a wider --share, or "
        f"`recon rollback{back}`."
    )
    for kind, watched, back in (
        ("certificate", "", ""),
        ("model", "", " --kind model"),
        ("rule", " --method learned", " --kind rule"),
    )
}


def told(acting: Trials) -> tuple[str, ...]:
    """What is tried on a share of components beside certificates, in words."""
    found = []
    if acting.model:
        share = percent(acting.model_share)
        found.append(
            f"probable: model {acting.model.model_hash[:12]} tried on {share} of components"
        )
    if acting.rule:
        share = percent(acting.rule_share)
        found.append(f"learned: rule {acting.rule.name} tried on {share} of components")
    return tuple(found)


def running(store: Store, reconciliation: str, as_of: datetime) -> str:
    """One sentence on all that is tried on a share of components now; empty where nothing is."""
    rows, said = store.rows("certificates"), store.rows("approvals")
    held = governance.certificates(rows, said, reconciliation)
    every = [
        f"{c.method}: certificate {c.certificate_id[:12]} tried on {percent(c.share)} of components"
        for c in held
        if c.canary and c.voided is None
    ]
    every += told(trials(store, reconciliation, as_of))
    if not every:
        return ""
    return f"A canary runs: {'; '.join(every)}. `recon watch` holds it against the rest."


def acts_on(store: Store, change: Change) -> float:
    """The share of components that a change in force acts on."""
    return changes.shares(store, change.reconciliation).get(change.content_hash, 1.0)


def share_of(store: Store, change: Change, asked: float | None) -> float:
    """The share of components that a change is to act on.

    A certificate of the model on trial acts where that model does: it brings no share of its own.

    Args:
        store: the workspace's ledger.
        change: which.
        asked: the share that was asked for; all, where not given.

    Raises:
        GovernanceError: it is no share, would take the change from components it acts on, or
            another trial runs that could not be told apart from it.
    """
    part = 1.0 if asked is None else asked
    if not 0 < part <= 1:
        raise GovernanceError(
            f"share {part:g} is none: write one above 0 and up to 1, such as 0.1. "
            "Nothing was recorded."
        )
    tested = changes.tried(store, change.reconciliation).get("model")
    if change.kind == "certificate" and tested and tested.content_hash == change.model_hash:
        if asked not in (None, tested.share):
            raise GovernanceError(
                f"certificate {change.content_hash[:12]} speaks of model {change.model_hash[:12]}, "
                f"which is tried on {percent(tested.share)} of components: it acts there. Leave "
                "the share out. Nothing was recorded."
            )
        return tested.share
    if part < 1:
        _refuse(store, change)
    return part


def _refuse(store: Store, change: Change) -> None:
    """Raise where a change cannot be tried on a share now."""
    name = f"{change.kind} {change.content_hash[:12]} ({change.what})"
    if changes.in_force(store, change) and acts_on(store, change) == 1:
        raise GovernanceError(
            f"{name} is in force for all components; a share of them would take it "
            "from the others: `recon rollback` does that. Nothing was recorded."
        )
    kind = "rule" if change.kind == "rule" else "model"
    other = changes.tried(store, change.reconciliation).get(kind)
    running = other.content_hash if other else None
    if change.kind == "certificate" and change.method != "probable":
        running = None
    if change.kind == "model":
        held = changes.canary(store, change.reconciliation, "probable")
        running = running or (held.certificate_id if held else None)
    if running not in (None, change.content_hash):
        raise GovernanceError(
            f"{running[:12]} is tried on a share of components now, and two trials at once could "
            "not be told apart: promote that one to all, or take it back with `recon rollback`, "
            "first. Nothing was recorded."
        )
    if change.kind == "model":
        model = store.model(change.content_hash)
        if model is None or not stored.read(model).ladders:
            raise GovernanceError(
                f"{name} compares nothing yet, so there is nothing to try. Nothing was recorded."
            )
