"""The chain of hashes: every commit is one link, and each link names the one before it.

A link's hash is `sha256(0x00 | previous hash | stored bytes)`. The bytes are JSON in a narrow
profile of RFC 8785 (text in NFC, booleans, null, integers within 2^53, ASCII names in order), and
they are stored: checking hashes what lies there, never something serialised again. The chain does
not stop the owner of the file from rewriting all of it; it is tamper-evident to anyone who holds
an earlier checkpoint (origin, size, head).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from recon_kit.errors import LedgerError

START = "0" * 64  # what the first link names as the one before it
_EXACT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the store that is not what was committed."""

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of the chain: which store, how many links, hash of the last one."""

    origin: str
    size: int
    head: str

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{self.head}\n"

    @classmethod
    def parse(cls, note: str) -> Checkpoint:
        """A checkpoint from its three lines."""
        lines = note.split("\n")
        if len(lines) != 4 or lines[3] or not lines[1].isdecimal() or len(lines[2]) != 64:
            raise LedgerError(
                "a checkpoint note has three lines: origin, number of links, hash of the last one."
            )
        return cls(lines[0], int(lines[1]), lines[2])


def canonical(value: Any) -> bytes:
    """The one spelling of a value as bytes.

    Raises:
        LedgerError: the value holds something outside the profile, such as a float.
    """
    text = json.dumps(_narrow(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def link_hash(previous: str, body: bytes) -> str:
    """Hash of a link from the hash before it and its stored bytes."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(previous) + body).hexdigest()


def _narrow(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, int) and -_EXACT_MAX <= value <= _EXACT_MAX:
        return value
    if isinstance(value, dict) and all(isinstance(k, str) and k.isascii() for k in value):
        return {k: _narrow(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_narrow(v) for v in value]
    raise LedgerError(
        f"the chain of hashes takes text, booleans, null and integers within 2^53, "
        f"not {type(value).__name__}; write it as text."
    )
