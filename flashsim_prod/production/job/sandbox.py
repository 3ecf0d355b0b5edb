"""A job whose input was sent to the folder that it runs in, by its batch system."""

from __future__ import annotations

from pathlib import Path

from flashsim_prod.core.site import Site
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.local import FlatStorage, LocalStorage


def in_sandbox(storage: Storage, folder: Path, site: Site) -> Storage:
    """Where the job reads and writes: this folder for disks that are not here, and servers as ever.

    For servers too it is this folder where the batch system itself copies from and to them.
    """
    is_sent = site.rules.copies_urls() or isinstance(storage, LocalStorage)
    return FlatStorage(storage.rse, folder) if is_sent else storage


def found_in(folder: Path | None, path: str) -> str:
    """`path`, or what was sent of that name to `folder`."""
    if folder is None or "://" in path:
        return path
    sent = folder / Path(path).name
    return str(sent) if sent.exists() else path
