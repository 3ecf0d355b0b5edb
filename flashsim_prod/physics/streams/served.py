"""Files behind HTTP and XRootD, read once from their beginning.

Failures become errors where they happen, in the stream itself: what reads a gzipped file would take some of
them for damage of the file.
"""

from __future__ import annotations

import http.client
import io
import posixpath
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from flashsim_prod.errors import FlashSimError, InputError, RequestError, StorageError

#: how long a server may be silent [s]
SILENCE_S = 60.0
#: by the scheme of an address, what the web calls it: WebDAV reads as HTTP does
_WEB = {"http": "http", "https": "https", "dav": "http", "davs": "https"}
_XROOTD = ("root", "xroot")
_PORTS = {"http": 80, "https": 443, "root": 1094}
#: a server's answers that will not be others later
_FINAL = (400, 401, 403, 404, 410)
#: what servers of XRootD say, by their numbers: no such file, a folder, not allowed, not known who asks
_MISSING, _FOLDER, _REFUSED = "[3011]", "[3016]", ("[3010]", "[3030]", "Auth failed")
#: and what its client says of one that it cannot find
_NO_HOST = "Invalid address"
#: asked for at a time, and handed on at a time [B]
_BLOCK, _CHUNK = 4 << 20, 1 << 20


def is_url(url: str) -> bool:
    """Whether a file is opened by an address."""
    return "://" in url


def is_xrootd(url: str) -> bool:
    """Whether a file is behind XRootD."""
    return url.partition("://")[0].lower() in _XROOTD


def check_xrootd(url: str) -> None:
    """See that a server of XRootD answers and gives a file; errors as of `served`.

    What reads parts of files waits for minutes for a server that is not there.
    """
    _check_host(url)
    _open_xrootd(url).close()


def file_name(url: str) -> str:
    """The name of a file, of an address without what else is asked of the server."""
    path = re.split(r"[?#]", url)[0] if is_url(url) else url
    return path.rpartition("/")[2]


def usual_spelling(url: str) -> str:
    """An address as all who mean the same file write it: host, port and slashes have several spellings."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url
    scheme = parts.scheme.lower()
    scheme = _WEB.get(scheme, "root" if scheme in _XROOTD else scheme)
    port = None if port == _PORTS.get(scheme) else port
    path = posixpath.normpath("/" + parts.path.lstrip("/"))
    return urlunsplit((scheme, f"{host}:{port}" if port else host, path, parts.query, ""))


@contextmanager
def served(url: str) -> Iterator[io.BufferedReader]:
    """The bytes of the file at `url`.

    Raises
    ------
    InputError
        There is no such file, it may not be read, or it is behind something else.
    StorageError
        Its server cannot be reached, or breaks off.
    RequestError
        The package that reads it is not installed.
    """
    scheme, _, rest = url.partition("://")
    _check_host(url)
    if scheme.lower() in _WEB:
        raw: Any = _open_web(url, f"{_WEB[scheme.lower()]}://{rest}")
    elif is_xrootd(url):
        raw = _open_xrootd(url)
    else:
        raise InputError(
            f"{url}: files are read from disks, and by http://, https://, davs:// and root://; copy it here "
            "and name the copy"
        )
    with raw, io.BufferedReader(raw, _CHUNK) as stream:
        yield stream


def _check_host(url: str) -> None:
    """`InputError` for an address that names no server."""
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        raise InputError(f"{url} is no URL: {error}") from error
    if not host or port == 0:
        raise InputError(f"{url} is no URL: it names no server")


class _OfWeb(io.RawIOBase):
    """What a server of HTTP sends."""

    def __init__(self, url: str, answer: http.client.HTTPResponse) -> None:
        self._url, self._answer = url, answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            number = self._answer.readinto(buffer)
        except (OSError, http.client.HTTPException) as error:
            raise _passing(self._url, _reason(error)) from error
        if not number and self._answer.length:
            raise _broke_off(self._url)
        return number

    def close(self) -> None:
        self._answer.close()
        super().close()


def _open_web(url: str, address: str) -> _OfWeb:
    try:
        return _OfWeb(url, urllib.request.urlopen(address, timeout=SILENCE_S))
    except urllib.error.HTTPError as error:
        kind = InputError if error.code in _FINAL else StorageError
        raise kind(f"{url} cannot be read: HTTP {error.code} {error.reason}") from error
    except (http.client.InvalidURL, ValueError) as error:
        raise InputError(f"{url} is no URL: {_reason(error)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _passing(url, _reason(getattr(error, "reason", None) or error)) from error


class _OfXrootd(io.RawIOBase):
    """What a server of XRootD sends."""

    def __init__(self, url: str, file: Any) -> None:
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            read = cast("bytes", self._file.read(len(buffer)))
        except OSError as error:
            raise _of_xrootd(self._url, error) from error
        if not read and self._file.tell() < self._file.size:
            raise _broke_off(self._url)
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _open_xrootd(url: str) -> _OfXrootd:
    address = f"root://{url.partition('://')[2]}"
    try:
        import fsspec

        # other copies are the redirector's to find: asked for by itself, it is waited for without an end
        files, path = fsspec.core.url_to_fs(address, timeout=int(SILENCE_S) or 1, locate_all_sources=False)
        return _OfXrootd(url, files.open(path, "rb", block_size=_BLOCK))
    except ImportError as error:
        raise RequestError(
            f"{url} needs another Python package to be read: pip install 'flashsim-prod[opendata]'"
        ) from error
    except ValueError as error:
        raise InputError(f"{url} is no URL: {_reason(error)}") from error
    except OSError as error:
        raise _of_xrootd(url, error) from error


def _of_xrootd(url: str, error: OSError) -> FlashSimError:
    said = _reason(error)
    if _MISSING in said:
        return InputError(f"{url} does not exist; check the path")
    if _FOLDER in said:
        return InputError(f"{url} is a folder; give its files")
    if any(one in said for one in _REFUSED):
        return InputError(f"{url} may not be read ({said}); is there a valid proxy or token?")
    if _NO_HOST in said:
        said = f"there is no host {urlsplit(url).hostname} for this machine"
    return _passing(url, said)


def _passing(url: str, reason: str) -> StorageError:
    return StorageError(f"{url} cannot be read: {reason}; try again later")


def _broke_off(url: str) -> StorageError:
    return StorageError(f"{url}: its server broke off; try again later")


def _reason(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
