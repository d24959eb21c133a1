"""Commands that look after the ledger and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon_kit.cli.app import (
    COMMON,
    DONE,
    FAILED,
    UNKNOWN,
    Common,
    Flag,
    app,
    bench_of,
    progress,
    show,
)


@app.command
def trace(name: str, *, common: Common = COMMON) -> int:
    """Say where a file's records went, or which file, row and column something came from.

    Args:
        name: A received file (first digits of its sha256, its name, or a copy of it), an event
            (its key, or an id that names one), or the id of a match, an open item or a case.
    """
    return show(bench_of(common).trace(name, progress=progress), common)


@app.command
def verify(
    *,
    chain: Flag = False,
    segments: Flag = False,
    replay: Flag = False,
    since: Path | None = None,
    common: Common = COMMON,
) -> int:
    """Check that the ledger is what was committed; exit 1 when it is not.

    Args:
        chain: Only the chain of hashes.
        segments: Only the bytes of every file, and every run kept as changes as it reads.
        replay: Tell a fresh store everything once more and compare facts and results.
        since: A checkpoint kept elsewhere (a file of three lines) that the chain must contain.
    """
    if replay:
        found = bench_of(common).replay(progress=progress)
        return show(found, common, _code(found))
    level = "chain" if chain and not segments else "segments" if segments and not chain else "all"
    result = bench_of(common).verify(level, since=since)
    return show(result, common, DONE if result.frame.is_empty() else FAILED)


@app.command
def replay(*, into: Path | None = None, shuffle: int | None = None, common: Common = COMMON) -> int:
    """Tell a fresh store all files and decisions once more; exit 1 when facts or results differ.

    Exit 4 when nothing differs but files that left the ledger on purpose could not be told again,
    or files or answers came in after the last run.

    Args:
        into: Folder of the fresh store, kept to be looked at; thrown away where not given.
        shuffle: Seed of another order in which the files arrive.
    """
    found = bench_of(common).replay(into, shuffle=shuffle, progress=progress)
    return show(found, common, _code(found))


def _code(found: Any) -> int:
    """Exit code of a replay."""
    return DONE if found.same else UNKNOWN if found.unknown else FAILED


@app.command
def compact(*, common: Common = COMMON) -> int:
    """Make few large files of the ledger's many small ones; every reading stays as it was."""
    return show(bench_of(common).compact(progress=progress), common)


@app.command
def backup(into: Path, *, common: Common = COMMON) -> int:
    """Copy the ledger to an empty folder, whoever works on it meanwhile, and check the copy.

    Args:
        into: The new folder. `recon restore` brings it back.
    """
    return show(bench_of(common).backup(into), common)


@app.command
def restore(backup: Path, *, common: Common = COMMON) -> int:
    """Bring a backup back into a workspace that has no ledger.

    Args:
        backup: A folder that `recon backup` made.
    """
    from recon_kit.workbench.setup import restore as bring_back

    return show(bring_back(common.workspace or Path(), backup), common)


@app.command
def erase(
    *ids: str,
    email: str | None = None,
    reason: str,
    confirm: Flag = False,
    common: Common = COMMON,
) -> int:
    """Remove a person's fields and the received files that told them; without --confirm, ask.

    Args:
        ids: Order, transaction, customer or native ids of the person's events.
        email: The person's address.
        reason: Why; kept on record.
        confirm: Do it, instead of saying what would be done.
    """
    return show(bench_of(common).erase(*ids, email=email, reason=reason, confirm=confirm), common)


@app.command
def doctor(*, gc: Flag = False, raw: Flag = False, common: Common = COMMON) -> int:
    """Look at the machine and the workspace, and say what could hurt.

    Args:
        raw: Only the received files older than `raw_days_min`; with --gc drop them, on record.
        gc: Remove files older than a day that killed processes or `recon compact` left there.
    """
    from recon_kit.workbench.setup import examine

    if raw:
        return show(bench_of(common).old_files(drop=gc), common)
    if gc:
        return show(bench_of(common).litter(remove=True), common)
    return show(examine(common.workspace), common)
