"""Workspaces: finding one, making one, looking at a machine, profiling a file before all that."""

from __future__ import annotations

import platform
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import polars as pl

from recon_kit import settings as settings_room
from recon_kit.errors import ReconError, UnknownNameError, WorkspaceError
from recon_kit.ingestion import profile as profiles
from recon_kit.ledger.catalog import SQLITE_SAFE_FROM, sqlite_version
from recon_kit.ledger.store import Store
from recon_kit.present.rows import RowsView
from recon_kit.present.views import About, FileView, ProfileView
from recon_kit.settings import FILE_NAME, Settings

DEMO = Path("data/demo")
PRESETS: tuple[str, ...] = ("shopify_stripe",)
_FREE_BYTES_MIN = 1 << 30
_ENGINES = ("duckdb", "polars", "splink", "papermill", "jupyterlab", "altair", "scikit-learn")


def find(folder: Path | None = None) -> Path:
    """The workspace to use: the folder given, else this one, else the demo.

    Raises:
        WorkspaceError: there is none; the message says how to get one.
    """
    here = Path.cwd()
    wanted = [folder] if folder is not None else [Path(), DEMO]
    for place in wanted:
        # A notebook's kernel starts in the notebook's folder, so a relative path is also looked
        # for from the folders above.
        bases = [here, *here.parents] if folder is not None or place == DEMO else [here]
        for base in bases if not place.is_absolute() else [Path()]:
            if (base / place / FILE_NAME).is_file():
                return (base / place).resolve()
    where = folder if folder is not None else here
    raise WorkspaceError(
        f"{where} is no workspace: it has no {FILE_NAME}. `recon init {folder or '.'}` makes one, "
        "`recon demo` shows one, `--workspace DIR` names another."
    )


def read_settings(folder: Path) -> Settings:
    """The settings of the workspace in `folder`."""
    return settings_room.load(folder / FILE_NAME)


def store_path(folder: Path, settings: Settings) -> Path:
    """Where the workspace keeps its store."""
    return (folder / settings.workspace.store).resolve()


def open_store(folder: Path, settings: Settings, now: datetime) -> Store:
    """The workspace's store, made on first use."""
    path = store_path(folder, settings)
    return Store.open(path) if (path / "FORMAT").exists() else Store.create(path, created_at=now)


def create(folder: Path, *, preset: str = "shopify_stripe") -> FileView:
    """Make a workspace: `recon.toml` from a preset, an empty store, a reports folder.

    Raises:
        WorkspaceError: the folder is a workspace already; it is left as it is.
        UnknownNameError: there is no such preset.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    target = folder / FILE_NAME
    if target.exists():
        raise WorkspaceError(f"{target} exists already; edit it, or choose another folder")
    text = (files("recon_kit.workbench") / "presets" / f"{preset}.toml").read_text("utf-8")
    settings = settings_room.loads(text, str(target))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / settings.workspace.reports).mkdir(exist_ok=True)
    open_store(folder.resolve(), settings, datetime.now(UTC))
    target.write_text(text, encoding="utf-8")
    return FileView(target, "workspace made; edit its sources, then `recon ingest SOURCE FILE`")


def restore(folder: Path, backup: Path) -> FileView:
    """Bring a backup back as the store of a workspace.

    Raises:
        WorkspaceError: the workspace has a store already, or the folder holds no backup.
    """
    settings = read_settings(folder.resolve())
    target = store_path(folder.resolve(), settings)
    if (target / "FORMAT").exists():
        raise WorkspaceError(
            f"{target} holds a store already; move it away first, so that nothing is overwritten"
        )
    mark = Store.open(backup).backup(target)
    return FileView(target, f"restored and checked: {mark.size:,} links, {mark.head}")


def profile_file(path: Path) -> ProfileView:
    """Describe a file that no source declares yet, with a ready `[[sources]]` block."""
    found = profiles.profile_file(path)
    shown = found.columns.select(
        "column",
        "kind",
        "distinct",
        filled=1 - pl.col("null_share"),
        example=pl.col("samples").list.head(2).list.join(", "),
        note=pl.col("odd"),
    )
    days = "no dates"
    if found.first_day:
        days = (
            f"days {found.first_day} to {found.last_day}, "
            f"{found.days_without_rows:,} days between them without a row"
        )
    counted = (
        f"{found.rows:,} rows, {found.blank:,} blank, {found.unreadable:,} unreadable, "
        f"{found.duplicate_rows:,} repeated; {days}"
    )
    notes = (
        counted,
        (f"This is a file of {found.feed}." if found.feed else "No vendor's feed knows it."),
        *found.notes,
    )
    about = About(path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC), 0)
    return ProfileView(shown, about, name=path.name, layout=found.toml, notes=notes)


def examine(folder: Path | None = None) -> RowsView:
    """What a careful operator looks at: versions, disk, SQLite, the workspace and its store."""
    rows: list[tuple[str, str, str]] = [("python", "ok", platform.python_version())]
    rows += [(name, "ok", version(name)) for name in _ENGINES]
    # SQLite before this version can lose a commit that races a checkpoint; the store's lock keeps
    # the two apart, so an older library is worth a word but no danger.
    safe = sqlite_version() >= SQLITE_SAFE_FROM
    number = ".".join(str(part) for part in sqlite_version())
    rows.append(("sqlite", "ok" if safe else "ok, guarded", number))
    free = shutil.disk_usage(folder or Path()).free
    enough = "ok" if free > _FREE_BYTES_MIN else "warn"
    rows.append(("free disk", enough, f"{free / 2**30:.1f} GiB"))
    rows += _workspace_rows(folder)
    frame = pl.DataFrame(rows, schema=["check", "state", "note"], orient="row")
    return RowsView("Doctor", frame)


def _workspace_rows(folder: Path | None) -> list[tuple[str, str, str]]:
    try:
        place = find(folder)
        settings = read_settings(place)
        rows = [("recon.toml", "ok", f"{len(settings.sources)} sources, {place}")]
        store = Store.open(store_path(place, settings))
    except ReconError as why:
        return [("workspace", "fail", str(why))]
    problems = store.verify("chain")
    state = "fail" if problems else "ok"
    note = str(problems[0]) if problems else "the chain of hashes is whole"
    open_to = store.open_to()
    access = ("warn", "; ".join(open_to)) if open_to else ("ok", "its owner alone")
    return [*rows, ("access", *access), ("ledger", state, note)]
