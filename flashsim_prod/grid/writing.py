"""Writing small files so that they are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from flashsim_prod.grid.oserrors import storage_errors


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write `text` to `path`, which at no moment holds half of it.

    Raises
    ------
    StorageError
        If it cannot be written; `NoSpaceError` if the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with storage_errors(f"writing {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
