"""One driver per request: a lock in the request's folder, which the kernel drops when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def request_lock(folder: Path) -> Iterator[None]:
    """Hold the request in `folder` for as long as the block runs.

    Raises
    ------
    LockedError
        If another command holds it; names its process, if that is known.
    StorageError
        If the lock file cannot be written.
    """
    raise NotImplementedError
    yield


def is_driven(folder: Path) -> bool:
    """Whether some command holds the request in `folder` at this moment."""
    raise NotImplementedError
