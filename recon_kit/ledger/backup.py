"""A consistent copy of a store, made while others read and write; the same act brings it back.

The catalog is copied first, as of one commit; files only ever appear, so everything it names is
there to be copied after it. The format note comes last: a copy that was interrupted has none, and
no store opens without one.
"""

from __future__ import annotations

import os
from pathlib import Path

from recon_kit.errors import LedgerError, WorkspaceError
from recon_kit.ledger import files, verify
from recon_kit.ledger.catalog import Catalog
from recon_kit.ledger.files import Places
from recon_kit.ledger.hashchain import Checkpoint
from recon_kit.ledger.successors import read_now


def copy_store(places: Places, catalog: Catalog, into: Path) -> Checkpoint:
    """Copy a store into a folder and check the copy.

    Args:
        places: of the store to copy.
        catalog: its catalog.
        into: a folder that is absent or empty.

    Returns:
        The checkpoint of the copy.

    Raises:
        WorkspaceError: the folder holds something already.
        LedgerError: the copy is not what was committed; its first defect is named.
    """
    target = Places(into.resolve())
    if target.root.exists() and any(target.root.iterdir()):
        raise WorkspaceError(f"{into} is not empty; name a new folder for the copy.")
    with files.plain_errors("copying the store", into):
        target.make()
        catalog.copy_to(target.meta)
        copied = Catalog(target)
        with copied.read() as reader:
            named = [
                (places.segment(kind, sha), target.segment(kind, sha))
                for kind, sha in read_now(reader).select("kind", "sha256").unique().rows()
            ]
            raw = reader.all("select distinct sha256 from artefacts")
        for source, final in [*named, *((places.raw / s, target.raw / s) for (s,) in raw)]:
            if source.exists():  # what was erased is gone here as well
                _copy(source, final, target.tmp)
        for folder in (target.raw, *(target.folder(k) for k in ("seg", "who", "quarantine"))):
            files.sync_folder(folder)
        _sound(target, copied)
        target.format.write_bytes(places.format.read_bytes())
        with target.format.open("rb") as note:
            os.fsync(note.fileno())
        files.sync_folder(target.root)
    return verify.checkpoint(target, copied, keep=False)


def _copy(source: Path, final: Path, tmp: Path) -> None:
    copy, _, _ = files.stage(source, tmp, bytes_max=source.stat().st_size)
    files.name_for_good(copy, final)


def _sound(target: Places, copied: Catalog) -> None:
    problems = verify.verify(target, copied, "all", None)
    if problems:
        raise LedgerError(
            f"the copy in {target.root} is not what was committed: {problems[0]}. "
            f"{len(problems)} defects in all; `recon verify` lists those of the store itself."
        )
