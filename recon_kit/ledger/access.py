"""Who may write to a store beside its owner: what every user may change is no ledger.

The chain of hashes shows a change afterwards, and only to somebody who kept a checkpoint. So a
store whose folders or files anybody on the machine may write is refused. That a group may is how a
team shares one, so it is said and left to the team.
"""

from __future__ import annotations

import grp
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from recon_kit.errors import LedgerError
from recon_kit.ledger.files import Places


def refuse_open_to_all(places: Places) -> None:
    """Raise where every user of the machine may write to the store.

    Raises:
        LedgerError: naming the first such folder or file, and the command that closes it.
    """
    for path in _parts(places):
        if path.stat().st_mode & stat.S_IWOTH:
            raise LedgerError(
                f"every user of this machine may write to {path}, so nothing in it could be "
                f"trusted; close it (chmod -R o-w {places.root}), run `recon verify`, and go on."
            )


def shared_with(places: Places) -> str | None:
    """The group whose members may write to the store as well; none where it is the owner's own."""
    for path in _parts(places):
        status = path.stat()
        if status.st_mode & stat.S_IWGRP and not _own_group(status.st_uid, status.st_gid):
            return _group_name(status.st_gid)
    return None


def read_by_all(places: Places) -> bool:
    """Whether every user of the machine may read received files and personal fields."""
    needed = stat.S_IROTH | stat.S_IXOTH
    inside = (places.raw, places.folder("who"), places.folder("quarantine"))
    through = places.root.stat().st_mode & stat.S_IXOTH
    return bool(through) and any(p.stat().st_mode & needed == needed for p in inside if p.exists())


def _parts(places: Places) -> Iterator[Path]:
    inside = (
        places.raw, *(places.folder(k) for k in ("seg", "who", "quarantine")), places.tmp,
        places.checkpoints, places.meta, places.lock, places.format,
    )  # fmt: skip
    yield places.root
    yield from (path for path in inside if path.exists())


def _own_group(uid: int, gid: int) -> bool:
    """Whether a group holds its owner alone, as most systems make one for each user."""
    try:
        owner, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        owner.pw_gid == gid
        and set(group.gr_mem) <= {owner.pw_name}
        and (group.gr_name == owner.pw_name)
    )


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
