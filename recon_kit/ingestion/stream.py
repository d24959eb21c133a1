"""The bytes of one file as UTF-8 chunks: path, magic bytes, gzip, encoding and size, checked.

Whatever is wrong with the file as a whole ends here, as a `FileRejectedError` with a stable code.
The reader above sees clean UTF-8 without a byte order mark, whatever the file was written in.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recon_kit.errors import FileRejectedError, SettingsError, nearest
from recon_kit.ingestion import packed
from recon_kit.ingestion.signature import foreign

HEAD_BYTES = 64 * 1024
_RATIO_FROM = 16 * 1024 * 1024  # a small file may shrink a thousandfold and harm nobody
_BLANKS = b" \t\r\n\x0b\x0c\x00"
ENCODINGS: tuple[str, ...] = (
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
    "latin-1", "iso-8859-1", "iso-8859-15", "cp1252", "cp1250", "cp437", "cp850", "mac-roman",
    "shift_jis", "cp932", "gb18030", "big5", "euc-kr",
)  # fmt: skip
_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a file may hold before it is refused (or, for one row, quarantined)."""

    bytes_max: int = 16 * 1024**3
    expanded_max: int = 32 * 1024**3
    ratio_max: int = 200
    json_bytes_max: int = 512 * 1024**2
    rows_max: int = 100_000_000
    row_bytes_max: int = 1024**2
    columns_max: int = 4_096
    block_rows: int = 250_000
    chunk_bytes: int = 16 * 1024**2  # how much is looked at in one go; no limit of the file


def check_path(path: Path) -> int:
    """Size in bytes of a plain readable file; anything else is a `FileRejectedError`."""
    name = path.name
    try:
        facts = path.lstat()
    except FileNotFoundError:
        raise FileRejectedError(
            name, "file_missing", "the file does not exist", "Check the path."
        ) from None
    except PermissionError:
        raise _unreadable(name) from None
    if stat.S_ISLNK(facts.st_mode):
        raise FileRejectedError(
            name, "file_is_link", "the path is a symbolic link", "Give the file itself."
        )
    if not stat.S_ISREG(facts.st_mode):
        raise FileRejectedError(
            name, "file_not_plain", "the path is no plain file", "Give one file, not a folder."
        )
    if not os.access(path, os.R_OK):
        raise _unreadable(name)
    return facts.st_size


def _unreadable(name: str) -> FileRejectedError:
    return FileRejectedError(
        name, "file_unreadable", "this user may not read the file", "Grant read permission."
    )


class Stream:
    """A file as chunks of UTF-8. `name` is what messages call it."""

    def __init__(self, path: Path, encoding: str, caps: Caps, name: str | None = None) -> None:
        self.path, self.caps, self.name = path, caps, name or path.name
        self.encoding = _known_encoding(encoding)
        self.bytes = check_path(path)
        self._bom_bytes = 0
        if self.bytes > caps.bytes_max:
            raise self._reject(
                "file_too_large",
                f"the file has {self.bytes:,} bytes, more than {caps.bytes_max:,}",
                "Split it.",
            )
        self.packed = packed.kind_of(path)
        self._member = packed.only_member(path, self.name) if self.packed == "zip" else None

    def head(self) -> bytes:
        """The first bytes as they are, unpacked but neither decoded nor checked."""
        with self._open() as file:
            return file.read(HEAD_BYTES)

    def open_plain(self) -> BinaryIO:
        """The file itself, for readers that seek; refuses an archive."""
        if self.packed:
            raise self._reject(
                "format_mismatch", f"the file is a {self.packed} archive",
                "Unpack it and try again.",
            )  # fmt: skip
        return self.path.open("rb")

    def chunks(self) -> Iterator[bytes]:
        """UTF-8 text in chunks, no byte order mark; cut anywhere, also inside a character."""
        first = self.head()
        self._check_magic(first)
        self._check_encoding(first)
        raw = self._raw_chunks(self.caps.chunk_bytes)
        if self.encoding in {"utf-8", "utf-8-sig"}:
            yield from self._without_bom(raw)
        else:
            yield from self._transcoded(raw)

    def reject(self, code: str, problem: str, remedy: str) -> FileRejectedError:
        """A refusal that names this file."""
        return self._reject(code, problem, remedy)

    def _reject(self, code: str, problem: str, remedy: str) -> FileRejectedError:
        return FileRejectedError(self.name, code, problem, remedy)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with packed.opened(self.path, self.packed, self._member) as file:
                yield file
        except packed.DAMAGED as why:
            if self.packed is None:
                raise
            raise packed.damaged(self.name, self.packed, why) from None

    def _raw_chunks(self, size: int) -> Iterator[bytes]:
        total = 0
        with self._open() as file:
            while chunk := file.read(size):
                total += len(chunk)
                if self.packed:
                    self._check_expansion(total)
                yield chunk

    def _check_expansion(self, total: int) -> None:
        ratio = total / max(self.bytes, 1)
        if total > self.caps.expanded_max or (total > _RATIO_FROM and ratio > self.caps.ratio_max):
            raise self._reject(
                f"{self.packed}_bomb",
                f"the archive unpacks to more than {total:,} bytes from {self.bytes:,}",
                "Unpack it yourself and look before you try again.",
            )

    def _check_magic(self, first: bytes) -> None:
        if not first.strip(_BLANKS + codecs.BOM_UTF8):
            raise self._reject(
                "empty_file", "the file holds nothing", "Ask the supplier for the file again."
            )
        known = foreign(_as_utf8(first), packed=self.packed is not None)
        if known is not None:
            what, way = known
            raise self._reject("format_mismatch", f"the file is {what}", way)

    def _check_encoding(self, first: bytes) -> None:
        marked = _marked(first)
        if marked is not None and not self.encoding.startswith(marked):
            raise self._reject(
                f"encoding_{marked.replace('-', '')}",
                f"the file is {marked.upper()} but is read as {self.encoding}",
                f'Declare encoding = "{marked}".',
            )
        if self.encoding.startswith(("utf-16", "utf-32")):
            return
        sample = first[:4096]
        if len(sample) >= 8 and sample.count(0) * 3 > len(sample):
            raise self._reject(
                "encoding_utf16",
                "every other byte of the file is NUL, so it is UTF-16 without a mark",
                'Declare encoding = "utf-16-le" or "utf-16-be".',
            )

    def _without_bom(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        first = next(raw, b"")
        if len(first) < len(codecs.BOM_UTF8):
            first += next(raw, b"")
        self._bom_bytes = len(codecs.BOM_UTF8) if first.startswith(codecs.BOM_UTF8) else 0
        yield first[self._bom_bytes :]
        yield from raw

    def _transcoded(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        seen = 0
        first = True
        for chunk in raw:
            text = self._decoded(decoder, chunk, seen, final=False)
            seen += len(chunk)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            yield text.encode("utf-8")
        yield self._decoded(decoder, b"", seen, final=True).encode("utf-8")

    def _decoded(
        self, decoder: codecs.IncrementalDecoder, chunk: bytes, seen: int, *, final: bool
    ) -> str:
        try:
            return decoder.decode(chunk, final)
        except UnicodeError as why:
            pending = len(decoder.getstate()[0])
            start = getattr(why, "start", 0)
            raise self.bad_byte(seen - pending + start) from None

    def bad_byte(self, offset: int) -> FileRejectedError:
        """The refusal for a byte that the declared encoding does not have."""
        offset += self._bom_bytes
        place = " of the unpacked text" if self.packed else ""
        return self._reject(
            "encoding_invalid",
            f"byte {offset:,}{place} is not {self.encoding.upper()}",
            'Declare the right encoding, such as encoding = "cp1252" or "latin-1".',
        )


def _as_utf8(first: bytes) -> bytes:
    """The first bytes as UTF-8 where a mark says what else they are, so that they can be known."""
    marked = _marked(first)
    if marked is None:
        return first
    return codecs.getincrementaldecoder(marked)("replace").decode(first).encode()


def _marked(first: bytes) -> str | None:
    """The encoding that a mark at the start names; that of UTF-16 is a part of that of UTF-32."""
    return next((name for mark, name in _BOMS if first.startswith(mark)), None)


def _known_encoding(name: str) -> str:
    plain = name.strip().lower().replace("_", "-")
    found = {e.replace("_", "-"): e for e in ENCODINGS}
    aliases = {"utf8": "utf-8", "utf16": "utf-16", "windows-1252": "cp1252", "latin1": "latin-1"}
    plain = aliases.get(plain, plain)
    if plain not in found:
        raise SettingsError(f"encoding {name!r} is not read; {nearest(plain, ENCODINGS)}")
    return found[plain]
