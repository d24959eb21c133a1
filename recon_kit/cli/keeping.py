"""Commands that look after the ledger and the machine."""

from __future__ import annotations

from pathlib import Path

from recon_kit.cli.app import COMMON, DONE, FAILED, Common, Flag, app, bench_of, progress, show


@app.command
def trace(artefact: str, *, common: Common = COMMON) -> int:
    """Say where every physical record of a received file went.

    Parameters
    ----------
    artefact: First digits of its sha256, its name, or the path of a copy of it.
    """
    return show(bench_of(common).trace(artefact), common)


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

    Parameters
    ----------
    chain: Only the chain of hashes.
    segments: Only the bytes of every file.
    replay: Tell a fresh store everything once more and compare facts and results.
    since: A checkpoint kept elsewhere (a file of three lines) that the chain must contain.
    """
    if replay:
        found = bench_of(common).replay(progress=progress)
        return show(found, common, DONE if found.same else FAILED)
    level = "chain" if chain and not segments else "segments" if segments and not chain else "all"
    result = bench_of(common).verify(level, since=since)
    return show(result, common, DONE if result.frame.is_empty() else FAILED)


@app.command
def replay(*, into: Path | None = None, shuffle: int | None = None, common: Common = COMMON) -> int:
    """Tell a fresh store all files and decisions once more; exit 1 when facts or results differ.

    Parameters
    ----------
    into: Folder of the fresh store, kept to be looked at; thrown away where not given.
    shuffle: Seed of another order in which the files arrive.
    """
    found = bench_of(common).replay(into, shuffle=shuffle, progress=progress)
    return show(found, common, DONE if found.same else FAILED)


@app.command
def doctor(*, common: Common = COMMON) -> int:
    """Look at the machine and the workspace, and say what could hurt."""
    from recon_kit.workbench.setup import examine

    return show(examine(common.workspace), common)
