"""A disk that loses what was not synced: what the real write path called, replayed with power cuts.

Recorded are the calls that matter to durability, in their order: `fsync` of a file or folder,
`rename`, and the commit of the catalog. At a power cut, bytes of a file that was not synced may be
torn, and names that were given to a folder may be lost, each on its own, until that folder is
synced. The catalog itself is SQLite in synchronous mode FULL: what it committed stays.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recon_kit.ledger.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `kind` is sync, name or commit; `inode` what was synced or named.

    `folder` is the inode of the folder that got the name; `lasting` whether it is one of those
    that a commit may speak of.
    """

    kind: str
    inode: int = 0
    folder: int = 0
    lasting: bool = False


@contextmanager
def recorded(monkeypatch) -> Iterator[list[Call]]:
    """The calls that are made inside the block."""
    calls: list[Call] = []
    fsync, rename, write = os.fsync, Path.rename, Catalog.write

    def noted_fsync(handle):
        fsync(handle)
        calls.append(Call("sync", os.fstat(handle).st_ino))

    def noted_rename(path, target):
        inode = path.stat().st_ino
        done = rename(path, target)
        lasting = target.parent.name in {"raw", "seg", "who", "quarantine"}
        calls.append(Call("name", inode, target.parent.stat().st_ino, lasting))
        return done

    @contextmanager
    def noted_write(catalog):
        with write(catalog) as writer:
            yield writer
        calls.append(Call("commit"))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(Path, "rename", noted_rename)
        patch.setattr(Catalog, "write", noted_write)
        yield calls


def survives(calls: Sequence[Call], moment: int, luck: random.Random) -> bool:
    """Whether all that was committed before a power cut at `moment` is whole after it."""
    synced: set[int] = set()
    kept_names: set[int] = set()
    loose_names: dict[int, int] = {}
    promised: set[int] = set()
    for number, call in enumerate(calls[:moment]):
        if call.kind == "sync":
            synced.add(call.inode)
            kept_names |= {inode for inode, folder in loose_names.items() if folder == call.inode}
            loose_names = {i: f for i, f in loose_names.items() if f != call.inode}
        elif call.kind == "name":
            loose_names[call.inode] = call.folder
        else:
            promised |= {c.inode for c in calls[:number] if c.lasting}
    names = kept_names | {inode for inode in loose_names if luck.random() < 0.5}
    whole = synced | {c.inode for c in calls if c.inode not in synced and luck.random() < 0.5}
    return promised <= names and promised <= whole


def losses(calls: Sequence[Call], cuts: int, seed: int) -> int:
    """How many of so many power cuts at random moments lose something that was committed."""
    luck = random.Random(seed)  # noqa: S311 - moments of power cuts, no secrets
    return sum(not survives(calls, luck.randint(0, len(calls)), luck) for _ in range(cuts))
