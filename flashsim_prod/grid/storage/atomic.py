"""Files that appear under their final names whole or not at all.

A copy grows under a temporary name beside its target and holds a lock on itself for as long as its writer
lives. So whatever carries such a name and can be locked was left by a writer that died.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flashsim_prod.errors import StorageError
from flashsim_prod.files import fsync_folder
from flashsim_prod.grid.storage.checksums import Checksums, RunningChecksums, chunks_of, stream_checksums

_TEMPORARY = re.compile(r"\..+\.(?P<host>[^.]+)\.[0-9a-f]{32}\.part")
#: where locks do not exist, or may not reach from one machine to another, only age tells the dead [s]
_DOUBTFUL_AGE_S = 86400
#: how long a new copy may be without its lock, at the very most [s]
_NEW_S = 60.0
_TRIES = 5
#: file systems without locks
_NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})
#: file systems without hard links
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True)
class Temporary:
    """A new, empty file beside the target, open for writing and reading."""

    path: Path
    stream: BinaryIO


@contextmanager
def temporary_beside(target: Path) -> Iterator[Temporary]:
    """A temporary file that is gone after the block unless it was published.

    Raises
    ------
    OSError
        As the operating system says.
    """
    path = target.with_name(f".{target.name}.{_host()}.{uuid.uuid4().hex}.part")
    with _create_locked(path) as stream:
        try:
            yield Temporary(path, stream)
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is a copy in the making."""
    return _TEMPORARY.fullmatch(name) is not None


def copy_verified(source: BinaryIO, temporary: Temporary) -> Checksums:
    """Copy the rest of `source`, force it to disk, read it back and compare.

    Raises
    ------
    StorageError
        If what is read back is not what was written.
    OSError
        As the operating system says.
    """
    running = RunningChecksums()
    for chunk in chunks_of(source):
        running.update(chunk)
        temporary.stream.write(chunk)
    written = running.result()
    to_disk(temporary.stream)
    temporary.stream.seek(0)
    if stream_checksums(temporary.stream) != written:
        raise StorageError(f"the copy at {temporary.path.parent} does not read back as it was written")
    return written


def to_disk(stream: BinaryIO) -> None:
    """Force an open file to disk, and out of memory, so that the next reading sees the disk."""
    stream.flush()
    os.fsync(stream.fileno())
    if sys.platform == "linux":
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def publish(path: Path, target: Path, *, overwrite: bool) -> None:
    """Give the finished file `path` its final name, in one step; `path` is gone afterwards.

    Raises
    ------
    FileExistsError
        If there is a file of the final name and not `overwrite`, even if it came this very moment.
    OSError
        As the operating system says; EXDEV if the two are on different file systems.
    """
    if overwrite:
        path.replace(target)
    else:
        _link_or_rename(path, target)
    fsync_folder(target.parent)


def remove_stale(folder: Path) -> int:
    """Remove copies of dead writers below `folder`, and folders that are empty; how many copies."""
    removed = 0
    for top, _, names in os.walk(folder, topdown=False):
        removed += sum(_remove_if_dead(Path(top, name)) for name in names if is_temporary(name))
        with suppress(OSError):  # not empty, or somebody is just filling it
            os.rmdir(top)
    return removed


def is_dead(path: Path) -> bool:
    """Whether the copy at `path` was left by a writer that died; False if that cannot be told."""
    match = _TEMPORARY.fullmatch(path.name)
    with suppress(OSError), path.open("rb") as stream:
        age_s = time.time() - os.fstat(stream.fileno()).st_mtime
        if age_s < _NEW_S:
            # its writer may be about to lock it
            return False
        reliable = _lock(stream) and match is not None and match["host"] == _host()
        return reliable or age_s > _DOUBTFUL_AGE_S
    return False


def _create_locked(path: Path) -> BinaryIO:
    for _ in range(_TRIES):
        # a cleaner may take away an empty folder, or the file before it is locked: then once more
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            stream = os.fdopen(handle, "w+b")
            _lock(stream)
            if os.fstat(handle).st_nlink > 0:
                return stream
            stream.close()
    raise FileNotFoundError(errno.ENOENT, "the folder vanishes again and again", str(path.parent))


def _link_or_rename(path: Path, target: Path) -> None:
    try:
        os.link(path, target)  # unlike a rename, it never replaces a file
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        path.replace(target)
    else:
        path.unlink()


def _remove_if_dead(path: Path) -> bool:
    match = _TEMPORARY.fullmatch(path.name)
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as stream:
        reliable = _lock(stream) and match is not None and match["host"] == _host()
        if reliable or time.time() - os.fstat(stream.fileno()).st_mtime > _DOUBTFUL_AGE_S:
            path.unlink()
            return True
    return False


def _lock(stream: BinaryIO) -> bool:
    """Lock a file without waiting; False where the file system knows no locks."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _host() -> str:
    return socket.gethostname().partition(".")[0] or "localhost"
