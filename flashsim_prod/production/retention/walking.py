"""Looking at folders and removing files without ever leaving them: no symbolic link is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.files import storage_errors


@dataclass(frozen=True)
class Seen:
    """A regular file.

    Attributes
    ----------
    path : Path
    bytes : int
    modified : float
        When, in seconds since 1970.
    """

    path: Path
    bytes: int
    modified: float


def files_below(top: Path) -> Iterator[Seen]:
    """All regular files below `top`, in order; nothing behind a link, and nothing if `top` is not there."""
    for folder, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            path = Path(folder, name)
            # what vanishes meanwhile is not there
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield Seen(path, found.st_size, found.st_mtime)


def bytes_below(top: Path) -> int:
    """Size of all regular files below `top` [B]."""
    return sum(file.bytes for file in files_below(top))


def empty_folders(top: Path) -> Iterator[Path]:
    """Folders below `top` that hold nothing, or nothing but such folders; the innermost first."""
    empty: set[str] = set()
    for folder, names, files in os.walk(top, topdown=False):
        inner = [os.path.join(folder, name) for name in names]
        if files or folder == str(top) or any(name not in empty for name in inner):
            continue
        empty.add(folder)
        yield Path(folder)


def is_inside(path: Path, top: Path) -> bool:
    """Whether the folder that holds `path` really is `top` or below it, whatever links lead there."""
    real = os.path.realpath(top)
    return os.path.commonpath((os.path.realpath(path.parent), real)) == real


def remove_file(path: Path, top: Path) -> bool:
    """Remove a regular file below `top`; False if it is none, or lies elsewhere by now.

    Raises
    ------
    StorageError
        If the system refuses.
    """
    if not is_inside(path, top):
        return False
    with storage_errors(f"removing {path}"), suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
            return True
    return False


def remove_empty(path: Path, top: Path) -> bool:
    """Remove a folder below `top` if it is empty; whether it was."""
    if path.is_symlink() or not is_inside(path, top):
        return False
    try:
        path.rmdir()
    except OSError:
        # not empty, or somebody is just filling it
        return False
    return True
