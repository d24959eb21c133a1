"""Archives that hold one file: gzip, and zip with a single member; every other one is refused.

Nothing is ever extracted to the disk: the one member is read in bounded pieces through its
archive, so a name such as `../x` or an absolute one leads nowhere, and is refused all the same.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from recon_kit.errors import FileRejectedError, listed
from recon_kit.ingestion.signature import GZIP_MARK, ZIP_MARKS

Kind = Literal["gzip", "zip"]
# What reading a broken archive raises, whichever layer notices it first: sizes and places that an
# archive's directory tells may be anything.
DAMAGED = (
    EOFError, OSError, ValueError, OverflowError, RuntimeError, NotImplementedError, struct.error,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip
_ENCRYPTED = 0x1  # general purpose bit 0 of a member
_OFFICE = (
    ("xl/", "an Excel workbook (XLSX)", "Save it as CSV."),
    ("word/", "a Word document", "Ask for the data as CSV."),
    ("ppt/", "a presentation", "Ask for the data as CSV."),
    ("Index/", "a Numbers or Pages document", "Export it as CSV."),
)


def kind_of(path: Path) -> Kind | None:
    """Which kind of archive a file is, by its first bytes."""
    with path.open("rb") as file:
        first = file.read(4)
    if first.startswith(GZIP_MARK):
        return "gzip"
    return "zip" if first in ZIP_MARKS else None


def only_member(path: Path, name: str) -> str:
    """The single file in a zip archive.

    Args:
        path: the archive.
        name: what messages call it.

    Raises:
        FileRejectedError: it is an office document, holds none or several files, asks for a
            password, is damaged, or its member would lead out of the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not _is_litter(m)]
    except DAMAGED as why:
        raise damaged(name, "zip", why) from None
    names = [m.filename for m in members]
    if "" in names:
        raise damaged(name, "zip", ValueError("a file in it has no name"))
    for start, what, way in _OFFICE:
        if any(n.startswith(start) for n in names):
            raise FileRejectedError(name, "format_mismatch", f"the file is {what}", way)
    if "mimetype" in names and "content.xml" in names:
        what = "the file is an OpenDocument file (ODS, ODT)"
        raise FileRejectedError(name, "format_mismatch", what, "Save the table as CSV.")
    if len(members) != 1:
        held = f"{len(members):,} files ({listed(names)})" if members else "no file"
        raise FileRejectedError(
            name, "zip_members", f"the zip archive holds {held} where one is read",
            "Unpack it and ingest its files one by one.",
        )  # fmt: skip
    inside = PurePosixPath(names[0].replace("\\", "/"))
    if ".." in inside.parts or inside.is_absolute():
        raise FileRejectedError(
            name, "zip_path", "the file in the zip archive has a path that leads out of its folder",
            "Ask whoever sent it why; nobody's export does that.",
        )  # fmt: skip
    if members[0].flag_bits & _ENCRYPTED:
        raise FileRejectedError(
            name, "zip_encrypted", "the zip archive asks for a password",
            "Unpack it with its password and ingest the file inside.",
        )  # fmt: skip
    return names[0]


@contextmanager
def opened(path: Path, kind: Kind | None, member: str | None) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file, to be read from the start."""
    if kind == "gzip":
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]
    elif member is not None:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            yield file  # type: ignore[misc]
    else:
        with path.open("rb") as plain:
            yield plain


def damaged(name: str, kind: Kind | None, why: Exception) -> FileRejectedError:
    """The refusal of an archive that cannot be unpacked to its end."""
    return FileRejectedError(
        name, f"{kind}_damaged", f"the {kind} archive is damaged ({why})", "Fetch the file again."
    )


def _is_litter(member: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS adds to every archive."""
    parts = PurePosixPath(member.filename).parts
    return member.filename.endswith("/") or "__MACOSX" in parts or (parts[-1:] == (".DS_Store",))
