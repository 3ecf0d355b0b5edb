"""One command at a time where two would spoil it: locks in a folder, which the kernel drops with a holder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flashsim_prod.errors import LockedError
from flashsim_prod.files import open_regular, read_text, storage_errors, write_json

#: of a request, in its folder
_DRIVER = "driver"
#: longer than `is_driven` holds the lock to see whether it is free [s]
_PATIENCE_S = 0.5


@contextmanager
def alone(folder: Path, name: str, does: str, *, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Hold ``NAME.lock`` in a folder that is there for as long as the block runs.

    Parameters
    ----------
    does : str
        What another command that has it does, for the line that tells of it: ``is at work on request x``.
    patience_s : float
        How long to wait for it [s].

    Raises
    ------
    LockedError
        If another command holds it; names its process, if that is known.
    StorageError
        If the lock file cannot be written.
    """
    lock = FileLock(_lock(folder, name))
    # beside the lock, because opening a lock file may empty it
    holder = folder / f"{name}.json"
    with storage_errors(f"locking {folder}"):
        try:
            lock.acquire(timeout=patience_s)
        except Timeout as error:
            raise LockedError(
                f"another command{_named(holder)} {does}; wait for it to end, or stop it"
            ) from error
    try:
        with storage_errors(f"locking {folder}"):
            write_json(holder, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def request_lock(
    folder: Path, *, what: str = "request", patience_s: float = _PATIENCE_S
) -> AbstractContextManager[None]:
    """Hold the request, or what else it is, in `folder`; as `alone`."""
    return alone(folder, _DRIVER, f"is at work on {what} {folder.name}", patience_s=patience_s)


@contextmanager
def alone_making(folder: Path, name: str, does: str) -> Iterator[None]:
    """As `alone`, in a folder that is made if it is not there, and goes again if nothing came into it."""
    with storage_errors(f"writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    own = {_lock(folder, name), folder / f"{name}.json"}
    with alone(folder, name, does):
        try:
            yield
        finally:
            if folder.is_dir() and own.issuperset(folder.iterdir()):
                shutil.rmtree(folder)


@contextmanager
def fit_lock(work: Path, model: str) -> Iterator[None]:
    """Hold the fit of an object model in a work folder; as `alone`.

    Where there are no tables nothing is held: that there is nothing to fit to is told soon, and a folder of
    something else is left as it is.
    """
    if not (work / "tables").is_dir():
        yield
        return
    # beside the folder of the fit, which goes when it is done anew
    with alone_making(work / "fits", model, f"is at work on the fit of {model} in {work}"):
        yield


def _lock(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"


def is_driven(folder: Path) -> bool:
    """Whether some command holds the request in `folder` at this moment."""
    path = _lock(folder, _DRIVER)
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
