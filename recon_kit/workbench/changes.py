"""Changes to what is matched without a person: found by name, judged, put in force, taken back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from recon_kit.errors import GovernanceError, UnknownNameError
from recon_kit.ledger.store import Store
from recon_kit.matching.authority import percent
from recon_kit.model import Certificate
from recon_kit.resolution import governance
from recon_kit.resolution.approvals import Approval, Kind, approved
from recon_kit.settings import Governance

CHANGE_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(), "content_hash": pl.String(), "reconciliation": pl.String(),
    "what": pl.String(), "method": pl.String(), "threshold": pl.Float64(),
    "margin": pl.Float64(), "model_hash": pl.String(), "author": pl.String(),
    "added_seq": pl.Int64(),
}  # fmt: skip
STATE_SCHEMA: dict[str, pl.DataType] = {
    "what": pl.String(), "kind": pl.String(), "reconciliation": pl.String(), "state": pl.String(),
    "said": pl.String(), "author": pl.String(), "content_hash": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One content that may come into force; `author` wrote it, where the ledger knows."""

    kind: Kind
    content_hash: str
    reconciliation: str
    what: str
    method: str | None
    threshold: float | None
    margin: float | None
    model_hash: str | None
    author: str | None
    added_seq: int


def known(store: Store, reconciliation: str | None = None) -> pl.DataFrame:
    """Every certificate, model and rule that may come into force, in order of its sequence."""
    certificates = store.rows("certificates").filter(pl.col("threshold").is_not_null())
    rows = [
        certificates.select(
            "reconciliation", "method", "threshold", "margin", "model_hash",
            kind=pl.lit("certificate"), content_hash="certificate_id", added_seq="seq",
            what=pl.format("{} from {} on", "method", pl.col("threshold").round(6)),
        ),
        store.rows("models").select(
            "reconciliation", "model_hash", kind=pl.lit("model"), content_hash="model_hash",
            added_seq="seq", what=pl.lit("model of probable"),
        ),
        store.rows("rules").select(
            "reconciliation", "author", kind=pl.lit("rule"), content_hash="content_hash",
            added_seq="seq",
            what=pl.lit("rule ") + pl.col("json").str.json_path_match("$.name").fill_null(""),
        ),
    ]  # fmt: skip
    found = pl.concat(rows, how="diagonal_relaxed").select(
        (pl.col(name) if name in _columns(rows) else pl.lit(None)).cast(kind).alias(name)
        for name, kind in CHANGE_SCHEMA.items()
    )
    if reconciliation is not None:
        found = found.filter(pl.col("reconciliation") == reconciliation)
    return found.unique("content_hash", keep="first", maintain_order=True).sort("added_seq")


def find(store: Store, named: str) -> Change:
    """The change whose content hash begins so.

    Raises:
        UnknownNameError: no change does.
        GovernanceError: several do.
    """
    every = known(store)
    hits = every.filter(pl.col("content_hash").str.starts_with(named)) if named else every.head(0)
    if hits.is_empty():
        raise UnknownNameError("change", named, [h[:12] for h in every["content_hash"].to_list()])
    if hits.height > 1:
        raise GovernanceError(
            f"{named!r} begins {hits.height} changes: "
            + ", ".join(h[:16] for h in hits["content_hash"].to_list())
            + "; write more of it"
        )
    return Change(**hits.row(0, named=True))


def states(store: Store, settings: Governance, reconciliation: str | None) -> pl.DataFrame:
    """Where every change stands, in the columns of `STATE_SCHEMA`, newest first."""
    said = store.rows("approvals")
    every = known(store, reconciliation)
    acting = {name: shares(store, name) for name in every["reconciliation"].unique()}
    rows = []
    for row in every.reverse().iter_rows(named=True):
        change = Change(**row)
        standing = approved(said, settings, change.content_hash)
        held = in_force(store, change)
        by_a_run = held and standing.state == "not_proposed"
        rows.append({
            "what": change.what, "kind": change.kind, "reconciliation": change.reconciliation,
            "state": _state(acting[change.reconciliation].get(change.content_hash))
            if held else standing.state.replace("_", " "),
            "said": "learned by a run" if by_a_run else standing.said,
            "author": standing.author or change.author,
            "content_hash": change.content_hash,
        })  # fmt: skip
    return pl.DataFrame(rows, schema=STATE_SCHEMA)


def in_force(store: Store, change: Change) -> bool:
    """Whether this very content acts now, expiry aside."""
    return change.content_hash in _standing(store, change)


def current(store: Store, reconciliation: str, method: str) -> Certificate | None:
    """The certificate of a method that was put in force last, voided or not.

    One that acts on all components, where there is any; else the canary.
    """
    return next(iter(held(store, reconciliation, method)), None)


def held(store: Store, reconciliation: str, method: str) -> list[Certificate]:
    """The certificates of a method: for all components, then its canary; voided or not."""
    rows, said = store.rows("certificates"), store.rows("approvals")
    found = governance.certificates(rows, said, reconciliation)
    return [c for c in found if c.method == method]


def canary(store: Store, reconciliation: str, method: str) -> Certificate | None:
    """The certificate that is tried on a share of components now; none where none is."""
    mine = [c for c in held(store, reconciliation, method) if c.canary and c.voided is None]
    return mine[0] if mine else None


def tightens(store: Store, change: Change, as_of: datetime) -> bool:
    """Whether a certificate only asks for more than the one in force, for the same model."""
    if change.kind != "certificate" or change.threshold is None or change.margin is None:
        return False
    now = current(store, change.reconciliation, str(change.method))
    return (
        now is not None
        and not now.canary
        and now.voided is None
        and as_of < now.expires_at
        and now.model_hash == change.model_hash
        and change.threshold >= now.threshold
        and change.margin >= now.margin
    )


def before(store: Store, change_kind: Kind, reconciliation: str, method: str) -> list[str]:
    """Contents of a kind that were put in force, oldest first, each once, the last one last.

    What was tried on a share of components alone is left out.
    """
    every = known(store, reconciliation).filter(pl.col("kind") == change_kind)
    if change_kind == "certificate":
        every = every.filter(pl.col("method") == method)
    words = store.rows("approvals").filter(
        pl.col("verdict").is_in(governance.PUT_IN_FORCE)
        & pl.col("content_hash").is_in(every["content_hash"].implode())
        & (pl.col("share").fill_null(1.0) >= 1)
    )
    return (
        words.sort("seq").unique("content_hash", keep="last").sort("seq")["content_hash"].to_list()
    )


def standing(store: Store, settings: Governance, change: Change) -> Approval:
    """Who proposed and approved a change, and who is missing."""
    return approved(store.rows("approvals"), settings, change.content_hash)


def _standing(store: Store, change: Change) -> set[str]:
    said = store.rows("approvals")
    if change.kind == "certificate":
        found = governance.certificates(store.rows("certificates"), said, change.reconciliation)
        return {c.certificate_id for c in found if c.voided is None}
    if change.kind == "model":
        models = store.rows("models")
        used = governance.model_in_use(models, said, change.reconciliation)
        tested = governance.model_on_trial(models, said, change.reconciliation)
        return {h for h in (used, tested.content_hash if tested else None) if h}
    last = said.filter(pl.col("content_hash") == change.content_hash).sort("seq").filter(
        pl.col("verdict").is_in([*governance.PUT_IN_FORCE, "voided"])
    )["verdict"].to_list()  # fmt: skip
    return {change.content_hash} if last and last[-1] != "voided" else set()


def shares(store: Store, reconciliation: str) -> dict[str, float]:
    """Changes that stand, with the share of components that each acts on."""
    rows, said = store.rows("certificates"), store.rows("approvals")
    held = {c.certificate_id: c.share for c in governance.certificates(rows, said, reconciliation)}
    return held | {t.content_hash: t.share for t in tried(store, reconciliation).values()}


def tried(store: Store, reconciliation: str) -> dict[str, governance.Tried]:
    """The model and the rule that act on a share of components, by kind; expiry aside."""
    said = store.rows("approvals")
    model = governance.model_on_trial(store.rows("models"), said, reconciliation)
    began = datetime.min.replace(tzinfo=UTC)
    ruled = governance.rule_on_trial(store.rows("rules"), said, reconciliation, began)
    found = {"model": model} if model else {}
    if ruled:
        found["rule"] = governance.Tried(ruled[0].content_hash, ruled[1])
    return found


def _state(share: float | None) -> str:
    return f"canary on {percent(share)}" if share is not None and share < 1 else "in force"


def _columns(frames: list[pl.DataFrame]) -> set[str]:
    return {name for frame in frames for name in frame.columns}
