"""Whether a change may come into force: who proposed it, who approved it, who is missing.

A change is known by the hash of its content, and every word about it is a row of `approvals` that
names that hash. An edited change has another hash, so what was said of the old text says nothing
of it. Names are attribution, as everywhere in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from recon_kit.errors import GovernanceError, nearest
from recon_kit.settings import Governance

Kind = Literal["certificate", "model", "rule"]


@dataclass(frozen=True, slots=True)
class Approval:
    """Where a change stands.

    `state` is `approved` (every role has), `waiting`, `rejected`, or `not_proposed`. `given` maps a
    role to the person who approved for it; `missing` lists the roles still to be asked.
    """

    content_hash: str
    state: Literal["approved", "waiting", "rejected", "not_proposed"]
    author: str | None
    given: dict[str, str]
    missing: tuple[str, ...]
    said: str


def approved(rows: pl.DataFrame, settings: Governance, content_hash: str) -> Approval:
    """Where a change stands, by the words said of exactly this content.

    Args:
        rows: table `approvals`, as of a sequence.
        settings: the roles that must approve, and who holds them now.
        content_hash: of the change.

    Returns:
        For each role the last word of each holder counts. A person counts for one role, and the
        author for none; one rejection stands until its giver approves.
    """
    words = rows.filter(pl.col("content_hash") == content_hash).sort("seq")
    authors = words.filter(pl.col("verdict") == "proposed")["approver"].to_list()
    if not authors:
        return Approval(content_hash, "not_proposed", None, {}, settings.approvals, "not proposed")
    author = authors[0]
    last = words.filter(
        pl.col("verdict").is_in(["approved", "rejected"]) & ~pl.col("approver").is_in(authors)
    ).unique(["approver", "role"], keep="last", maintain_order=True)
    no = [r["approver"] for r in last.iter_rows(named=True) if r["verdict"] == "rejected"]
    given: dict[str, str] = {}
    for row in last.filter(pl.col("verdict") == "approved").iter_rows(named=True):
        role, person = row["role"], row["approver"]
        holds = role in settings.approvals and person in settings.roles.get(role, ())
        if holds and role not in given and person not in given.values():
            given[role] = person
    missing = tuple(role for role in settings.approvals if role not in given)
    if no:
        return Approval(content_hash, "rejected", author, given, missing, f"rejected by {no[0]}")
    if missing:
        said = "waits for " + _waits(missing, settings, author)
        return Approval(content_hash, "waiting", author, given, missing, said)
    said = "approved by " + ", ".join(f"{p} ({_spaced(r)})" for r, p in given.items())
    return Approval(content_hash, "approved", author, given, (), said)


def next_step(standing: Approval, settings: Governance) -> str:
    """The command that brings a change nearer to being in force; empty where none does."""
    short = standing.content_hash[:12]
    if standing.state == "approved":
        return f"Next: `recon promote {short}`"
    if standing.state != "waiting":
        return ""
    taken = {standing.author, *standing.given.values()}
    for role in standing.missing:
        free = [n for n in settings.roles.get(role, ()) if n not in taken]
        if free:
            return f"Next: `recon approve {short} --by {free[0]}` ({_spaced(role)})"
    return (
        f"Next: name in `[governance.roles]` of `recon.toml` who approves as {standing.missing[0]}"
    )


def role_for(
    rows: pl.DataFrame, settings: Governance, content_hash: str, person: str, role: str | None
) -> str:
    """The role in which a person may speak of a change.

    Raises:
        GovernanceError: the change was not proposed, the person proposed it or holds no such role.
    """
    standing = approved(rows, settings, content_hash)
    if standing.state == "not_proposed":
        raise GovernanceError(
            f"{content_hash[:12]} was not proposed; `recon promote` proposes it. "
            "Nothing was recorded."
        )
    if person == standing.author:
        raise GovernanceError(
            f"{person} proposed {content_hash[:12]} and cannot approve it; another holder of the "
            "role must. Nothing was recorded."
        )
    held = [r for r in settings.approvals if person in settings.roles.get(r, ())]
    if role is not None and role not in settings.approvals:
        raise GovernanceError(
            f"no approval is asked of {role!r}; {nearest(role, settings.approvals)} "
            "Nothing was recorded."
        )
    chosen = [r for r in held if role in (None, r)]
    if not chosen:
        wanted = role or "any role that must approve"
        raise GovernanceError(
            f"{person} does not hold {wanted}; [governance.roles] in recon.toml names who does. "
            "Nothing was recorded."
        )
    return next((r for r in chosen if r in standing.missing), chosen[0])


def _waits(missing: tuple[str, ...], settings: Governance, author: str | None) -> str:
    """The roles still to be asked and who holds each; what nobody holds is said once."""
    held = {r: [n for n in settings.roles.get(r, ()) if n != author] for r in missing}
    told = [f"{_spaced(role)} ({' or '.join(names)})" for role, names in held.items() if names]
    vacant = [_spaced(role) for role, names in held.items() if not names]
    if vacant:
        told.append(f"{' and '.join(vacant)} (nobody named in [governance.roles])")
    return ", ".join(told)


def _spaced(role: str) -> str:
    return role.replace("_", " ")
