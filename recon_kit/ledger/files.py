"""Files that survive a crash: hash while copying, fsync, rename, fsync the folder.

A name in `raw/`, `seg/`, `who/` or `quarantine/` is the sha256 of the bytes behind it, and is only
ever given to a file whose bytes have reached the disk. A file without a committed row in `meta.db`
is litter, never data.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recon_kit.errors import CorruptStoreError, FileRejectedError, LedgerError

FORMAT = 2
FORMAT_MERGED = 2  # from here on a row of `segments` may be read from a merged file
BYTES_MAX = 8 * 1024**3
_BLOCK = 1 << 20
_READ_ONLY = 0o444
_NOTE = 0o644  # whatever the umask: what every user may write is refused
_PRIVATE = 0o770  # less what the umask takes: a group is let in only where the user's files are
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "lustre", "beegfs", "webdav",
            "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.mergerfs")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything of one store lies."""

    root: Path

    @property
    def meta(self) -> Path:
        """The catalog: the only commit point."""
        return self.root / "meta.db"

    @property
    def lock(self) -> Path:
        """The file that the one writer holds."""
        return self.root / "writer.lock"

    @property
    def format(self) -> Path:
        """The number of the store's format."""
        return self.root / "FORMAT"

    @property
    def tmp(self) -> Path:
        """Files on their way in."""
        return self.root / "tmp"

    @property
    def checkpoints(self) -> Path:
        """Notes of size and head of the chain of hashes."""
        return self.root / "checkpoints"

    @property
    def raw(self) -> Path:
        """Received files, byte for byte."""
        return self.root / "raw"

    def folder(self, kind: str) -> Path:
        """The folder for a kind of segment: personal and unreadable rows lie apart."""
        return self.root / (kind if kind in {"who", "quarantine"} else "seg")

    def segment(self, kind: str, sha256: str) -> Path:
        """The file of one segment."""
        return self.folder(kind) / f"{sha256}.parquet"

    def make(self) -> None:
        """Make every folder; other users of the machine may not look into a new store."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(mode=_PRIVATE, exist_ok=True)
        for name in ("raw", "seg", "who", "quarantine", "tmp", "checkpoints"):
            (self.root / name).mkdir(mode=_PRIVATE, exist_ok=True)


@contextmanager
def plain_errors(doing: str, where: Path) -> Iterator[None]:
    """Say a full disk or a missing permission in the product's words."""
    try:
        yield
    except OSError as why:
        if why.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise LedgerError(
                f"{doing}: {where} cannot be written ({why.strerror}). Reading goes on; to write, "
                "mount it writable or give this user the permission."
            ) from why
        if why.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise LedgerError(
                f"{doing}: no space is left for {where}. Nothing was committed; free some space "
                "and do it again."
            ) from why
        if why.errno == errno.EIO:
            # What a failed fsync has lost cannot be known, and asking again may hide it
            # (Rebello et al., Can applications recover from fsync failures?, 2020).
            raise LedgerError(
                f"{doing}: the disk under {where} reports an error ({why.strerror}). Nothing was "
                "committed; have the disk checked and the store verified before you go on."
            ) from why
        raise


def require_format(places: Places, number: int) -> None:
    """Raise the number of the store's format, so that no older version misreads what is next."""
    if int(places.format.read_text(encoding="utf-8").split("\n")[1]) < number:
        note_format(places, number)


def note_format(places: Places, number: int = FORMAT) -> None:
    """Write the format note."""
    write_note(places.format, f"recon_kit store\n{number}\n", places.tmp)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stage(source: Path, tmp: Path, bytes_max: int = BYTES_MAX) -> tuple[Path, str, int]:
    """Copy a file into `tmp`, hashing it on the way, and bring it to the disk.

    Args:
        source: the file to copy.
        tmp: the store's folder for files on their way in.
        bytes_max: refuse a longer file as soon as this many bytes were read.

    Returns:
        The copy, its sha256, its length in bytes.

    Raises:
        FileRejectedError: the file is absent, no plain file, too long, or still being written.
    """
    copy = tmp / secrets.token_hex(16)
    digest, length = hashlib.sha256(), 0
    try:
        with _open_plain(source) as reader, copy.open("xb") as writer:
            before = os.fstat(reader)
            while block := os.read(reader, _BLOCK):
                length += len(block)
                _refuse_length(source, length, bytes_max)
                digest.update(block)
                writer.write(block)
            writer.flush()
            os.fsync(writer.fileno())
            _refuse_growth(source, before, length)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    copy.chmod(_READ_ONLY)
    return copy, digest.hexdigest(), length


def publish(copy: Path, final: Path) -> None:
    """Give a staged file its lasting name and make the name durable."""
    name_for_good(copy, final)
    sync_folder(final.parent)


def name_for_good(copy: Path, final: Path) -> None:
    """Give a staged file its lasting name; where the name exists, the bytes must be the same.

    The name is durable once its folder was synced, which is left to the caller.
    """
    if final.exists():
        if hash_file(final) != hash_file(copy):
            raise CorruptStoreError(
                f"{final.name} in {final.parent.name}/ does not hold the bytes of its name; "
                "run `recon verify --segments` and restore it from a backup."
            )
        copy.unlink()
    else:
        copy.rename(final)


def write_note(final: Path, text: str, tmp: Path) -> None:
    """Write a small file so that it is there in full or not at all."""
    copy = tmp / secrets.token_hex(16)
    with copy.open("x", encoding="utf-8") as writer:
        writer.write(text)
        writer.flush()
        os.fsync(writer.fileno())
    copy.chmod(_NOTE)
    copy.rename(final)
    sync_folder(final.parent)


@contextmanager
def _open_plain(source: Path) -> Iterator[int]:
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileRejectedError(
            str(source), "missing_file", "the file does not exist", "Check the path."
        ) from None
    except PermissionError:
        raise FileRejectedError(
            str(source), "unreadable", "this user may not read the file", "Change its permission."
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileRejectedError(
                str(source), "not_a_file", "it is no plain file", "Name the file itself."
            )
        yield handle
    finally:
        os.close(handle)


def _refuse_length(source: Path, length: int, bytes_max: int) -> None:
    if length > bytes_max:
        raise FileRejectedError(
            source.name, "too_large", f"it has more than {bytes_max} bytes",
            "Split the export, or raise the limit.",
        )  # fmt: skip


def _refuse_growth(source: Path, before: os.stat_result, length: int) -> None:
    after = source.stat()
    same = (before.st_size, before.st_mtime_ns, before.st_ino) == (
        after.st_size, after.st_mtime_ns, after.st_ino,
    )  # fmt: skip
    if not same or length != after.st_size:
        raise FileRejectedError(
            source.name, "still_growing", "the file changed while it was being read",
            "Wait until its writer has finished and ingest it again.",
        )  # fmt: skip


def refuse_unsafe_place(root: Path) -> None:
    """Raise where locks or shared memory cannot be trusted: other systems, network folders."""
    if sys.platform not in {"linux", "darwin"}:
        raise LedgerError(f"a store needs Linux or macOS; this is {sys.platform}.")
    kind = file_system(root, _mounts())
    if kind is not None and kind.startswith(_NETWORK):
        raise LedgerError(
            f"{root} lies on a network file system ({kind}), where locks cannot be trusted. Put "
            "the store on a local disk: set `store` under [workspace] in recon.toml."
        )


def file_system(root: Path, mounts: dict[str, str]) -> str | None:
    """Kind of the file system that holds a path, given mount points and their kinds."""
    here = root.resolve()
    for folder in (here, *here.parents):
        if str(folder) in mounts:
            return mounts[str(folder)]
    return None


def parse_mounts(text: str, platform: str) -> dict[str, str]:
    """Mount points and kinds from `/proc/self/mountinfo` (Linux) or `mount` (macOS)."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if platform == "linux":
            left, _, right = line.partition(" - ")
            if right:
                point = left.split()[4].encode().decode("unicode_escape")
                found[point] = right.split()[0]
        else:
            left, _, right = line.rpartition(" (")
            _, _, point = left.partition(" on ")
            if point:
                found[point] = right.split(",")[0].rstrip(")")
    return found


def _mounts() -> dict[str, str]:
    if sys.platform == "linux":
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    else:
        text = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True).stdout
    return parse_mounts(text, sys.platform)
