"""One driver per request: a lock in the request's folder, which the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flashsim_prod.errors import LockedError
from flashsim_prod.files import open_regular, read_text, storage_errors, write_json

_LOCK = "driver.lock"
#: beside the lock, because opening a lock file may empty it
_HOLDER = "driver.json"
#: longer than `is_driven` holds the lock to see whether it is free [s]
_PATIENCE_S = 0.5


@contextmanager
def request_lock(folder: Path, *, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Hold the request in `folder` for as long as the block runs; wait `patience_s` for it [s].

    Raises
    ------
    LockedError
        If another command holds it; names its process, if that is known.
    StorageError
        If the lock file cannot be written.
    """
    lock = FileLock(folder / _LOCK)
    holder = folder / _HOLDER
    with storage_errors(f"locking {folder}"):
        try:
            lock.acquire(timeout=patience_s)
        except Timeout as error:
            raise LockedError(
                f"another command{_named(holder)} is at work on request {folder.name}; "
                "wait for it to end, or stop it"
            ) from error
    try:
        with storage_errors(f"locking {folder}"):
            write_json(holder, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_driven(folder: Path) -> bool:
    """Whether some command holds the request in `folder` at this moment."""
    path = folder / _LOCK
    if not path.exists():
        return False
    # a shared lock needs no right to write, so that whoever may look can see it
    with storage_errors(f"looking at {path}"), open_regular(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _named(holder: Path) -> str:
    try:
        found = json.loads(read_text(holder))
        return f" (process {found['pid']} on {found['host']})"
    except (OSError, ValueError, KeyError):
        return ""
