"""Files and folders that are whole or not there, reading what is really a file, and what the system says.

Whatever a command leaves behind is written through here: it grows under a temporary name beside its target,
is forced to disk, and gets its name in one step. What the operating system refuses becomes a `StorageError`
that names the path and the reason, and `NoSpaceError` where the disk is full. Text is UTF-8 everywhere,
whatever the locale.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flashsim_prod.errors import FlashSimError, NoSpaceError, RequestError, StorageError

#: no block left, no quota left
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: file systems that keep no promise about folders, and say so
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.EACCES})
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def storage_error(error: OSError, action: str) -> StorageError:
    """The error to raise for `error`: `NoSpaceError` if the disk or the quota is full, else `StorageError`.

    Parameters
    ----------
    error : OSError
        What the operating system said.
    action : str
        What was being done, as in ``writing /store/mc/x.root``.
    """
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        return NoSpaceError(f"{action}: {reason}; free some space, then retry")
    return StorageError(f"{action}: {reason}")


@contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Raise any `OSError` of the block as by `storage_error`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, action) from error


# ---- writing


def write_whole(path: Path, contents: str | bytes, *, mode: int = 0o644) -> Path:
    """Write `contents` to `path`, which at no moment holds half of it; `path` is returned.

    Parameters
    ----------
    path : Path
        Its folder is made if need be.
    contents : str or bytes
        Text is written as UTF-8.
    mode : int
        Permissions, less the umask.

    Raises
    ------
    StorageError
        If it cannot be written; `NoSpaceError` if the disk is full.
    RequestError
        If the text holds the name of a file that is not UTF-8.
    """
    raw = _encoded(path, contents) if isinstance(contents, str) else contents
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path, mode=mode) as temporary, temporary.open("wb") as file:
        file.write(raw)
    return path


def write_json(path: Path, value: object) -> Path:
    """Write `json_text` of `value` and a newline to `path`; errors as for `write_whole`."""
    return write_whole(path, json_text(value) + "\n")


@contextmanager
def appearing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """An empty file beside `path` to write to, which becomes `path` in one step if all goes well.

    Otherwise it is removed, and what `path` was before stays. The folder of `path` must be there.

    Raises
    ------
    StorageError
        If something cannot be written, or `path` is a folder, a device or the like;
        `NoSpaceError` if the disk is full.
    """
    with _writing(path):
        _refuse_other_kinds(path)
        temporary = _beside(path)
        # an honest try before the work is done: what writes may be a library with errors of its own
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        try:
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
            fsync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def appearing_folder(path: Path, taken: FlashSimError) -> Iterator[Path]:
    """An empty folder beside `path` to fill, which becomes `path` in one step if all goes well.

    Parameters
    ----------
    path : Path
        The folders above it are made if need be.
    taken : FlashSimError
        Raised if there is something of that name, even if it came this very moment.

    Raises
    ------
    StorageError
        If something cannot be written; `NoSpaceError` if the disk is full.
    """
    if os.path.lexists(path):
        raise taken
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path)
        temporary.mkdir()
        try:
            yield temporary
            for top, _, names in os.walk(temporary, topdown=False):
                for name in names:
                    _to_disk(Path(top, name))
                fsync_folder(Path(top))
            _rename_new(temporary, path, taken)
            fsync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def fsync_folder(folder: Path) -> None:
    """Force a folder's entries to disk, where the file system can."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(handle)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """As `storage_errors`; another file that is to blame, since it is copied from, is named too."""
    try:
        yield
    except OSError as error:
        blamed = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        is_own = not blamed or Path(blamed).name.startswith(f".{path.name[:200]}.") or blamed == str(path)
        raise storage_error(error, f"writing {path}" + ("" if is_own else f": {blamed}")) from error


def _beside(path: Path) -> Path:
    """A name that nothing else takes: processes of several machines may write to one folder."""
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _rename_new(temporary: Path, path: Path, taken: FlashSimError) -> None:
    try:
        # refuses a folder that holds something, so of two commands only one gets the name
        os.rename(temporary, path)
    except OSError as error:
        if os.path.lexists(path):
            raise taken from error
        raise


def _refuse_other_kinds(path: Path) -> None:
    """A rename would put a file in the place of a device, too."""
    with suppress(FileNotFoundError):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, f"it is {_kind(found.st_mode)}, no file", str(path))


def _encoded(path: Path, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = text[: error.start].rpartition("\n")[2][-60:] + text[error.start :].partition("\n")[0][:60]
        raise RequestError(
            f"{path} cannot be written: a name in it is no UTF-8 ({around!a}); rename that file or folder"
        ) from error


# ---- reading


def local_path(url: str) -> str:
    """The path of a ``file://`` address; all else as it is."""
    if not url.lower().startswith("file://"):
        return url
    return url2pathname(urlsplit(url).path)


def open_regular(path: Path) -> io.BufferedReader:
    """A file, open for reading; whatever else stands at `path` is refused rather than waited for.

    Raises
    ------
    OSError
        As the operating system says; ``strerror`` says it too if it is no regular file.
    """
    # without a writer, opening a pipe never ends; opening a terminal or a socket has effects of its own
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {_kind(mode)}, no file", str(path))
    return open(path, "rb")


def read_bytes(path: Path) -> bytes:
    """The contents of a file; `OSError` as for `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; `OSError` as for `open_regular`, `UnicodeDecodeError` if it is none."""
    return read_bytes(path).decode("utf-8").replace("\r\n", "\n")


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


# ---- JSON


def json_text(value: object, *, indent: int | None = 1) -> str:
    """`value` as JSON that every program can read.

    JSON has no word for what is not finite: it becomes ``null``, which stands for "no figure" throughout,
    as it does where models write themselves. Who has values that are not finite counts them beside.
    Dataclasses become objects, times ISO 8601, paths texts.
    """
    return json.dumps(_plain(value), indent=indent, default=_text, allow_nan=False)


def _plain(value: object) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
