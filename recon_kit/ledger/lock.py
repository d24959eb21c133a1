"""One writer at a time, by `flock`: freed by the system when its holder dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recon_kit.errors import StoreBusyError
from recon_kit.ledger.files import plain_errors

WAIT_SECONDS = 60.0
_held: set[int] = set()


def _forget_in_child() -> None:
    # A forked child shares the lock's open file and would keep it after the parent is gone.
    # Closing (not unlocking, which would free the parent's lock too) is what ends the sharing.
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def writer_lock(path: Path, purpose: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the store's writer lock.

    Args:
        path: the lock file.
        purpose: what it is held for, shown to whoever waits in vain.
        wait_seconds: how long to wait for another writer.

    Raises:
        StoreBusyError: another process held the lock all that time; the message names it.
    """
    with plain_errors(purpose, path.parent):
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "read-only for this user")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _held.add(handle)
    owner = os.getpid()
    try:
        _acquire(handle, path, wait_seconds)
        holder = {"pid": owner, "host": socket.gethostname(), "purpose": purpose}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
        yield
    finally:
        if os.getpid() == owner:  # a forked child has closed its copy already
            _held.discard(handle)
            os.close(handle)


@contextmanager
def shared_lock(path: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Keep writers out while reading; needs no right to write.

    Raises:
        StoreBusyError: a writer held the lock all that time.
    """
    if not path.exists():  # nobody has ever written
        yield
        return
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _acquire(handle, path, wait_seconds, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, wait_seconds: float, kind: int = fcntl.LOCK_EX) -> None:
    # How long to wait is a matter of the machine, not of results: no value depends on this clock.
    deadline, pause = time.monotonic() + wait_seconds, 0.002
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except OSError as why:
            if why.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
        else:
            return
        if time.monotonic() >= deadline:
            raise StoreBusyError(
                f"{_holder(path)} has held {path} for more than {wait_seconds:g} s. Wait until it "
                "has finished, or end that process: the lock goes with it."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _holder(path: Path) -> str:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return f"process {held['pid']} on {held['host']} ({held['purpose']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
