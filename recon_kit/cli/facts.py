"""Commands that bring facts in: demo, init, profile, ingest."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from recon_kit.cli.app import COMMON, DONE, PARTLY, Common, app, aware, bench_of, progress, show


@app.command
def demo(
    folder: Path = Path("data/demo"),
    *,
    orders: int = 10_000,
    seed: int = 7,
    common: Common = COMMON,
) -> int:
    """Make an invented shop, ingest its files, reconcile them, write the report.

    Args:
        folder: Where the demo's workspace goes.
        orders: How many orders the shop sells.
        seed: Seed of the invention; the same seed gives the same bytes.
    """
    from recon_kit.workbench import demo as demonstration

    result = demonstration.run(folder, orders=orders, seed=seed, progress=progress)
    return show(result, common)


@app.command
def init(folder: Path = Path(), *, preset: str = "shopify_stripe", common: Common = COMMON) -> int:
    """Make a workspace: `recon.toml` to edit, an empty store, a reports folder.

    Args:
        folder: Where the workspace goes.
        preset: What to start `recon.toml` from.
    """
    from recon_kit.workbench.setup import create

    return show(create(folder, preset=preset), common)


@app.command
def profile(target: str, *, common: Common = COMMON) -> int:
    """Describe a file or a declared source; an undeclared file gets a ready layout.

    Args:
        target: A file, or the name of a declared source.
    """
    from recon_kit.workbench.setup import profile_file

    if Path(target).is_file():
        return show(profile_file(Path(target)), common)
    return show(bench_of(common).profile(target), common)


@app.command
def ingest(
    source: str, files: list[Path], *, as_of: datetime | None = None, common: Common = COMMON
) -> int:
    """Take files of one source into the ledger.

    Args:
        source: Name of the declared source.
        files: The files, as exported.
        as_of: When the files were exported, if later files of the same period may differ.
    """
    result = bench_of(common).ingest(source, *files, as_of=aware(as_of))
    return show(result, common, PARTLY if result.quarantined else DONE)
