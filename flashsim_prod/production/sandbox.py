"""A job whose input was sent to the folder that it runs in, by its batch system."""

from __future__ import annotations

from pathlib import Path

from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.local import FlatStorage, LocalStorage


def in_sandbox(storage: Storage, folder: Path) -> Storage:
    """Where the job reads and writes: servers as ever, and this folder for disks that are not here."""
    return FlatStorage(storage.rse, folder) if isinstance(storage, LocalStorage) else storage


def found_in(folder: Path | None, path: str) -> str:
    """`path`, or what was sent of that name to `folder`."""
    if folder is None or "://" in path:
        return path
    sent = folder / Path(path).name
    return str(sent) if sent.exists() else path
