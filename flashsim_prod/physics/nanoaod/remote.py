"""Files behind HTTP: can they be read in parts, and what does a failure mean?

The words are for those who ordered a request and for the logs of jobs; the kind of the error says whether
another try can help.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import ssl
import sys
import warnings
from collections.abc import Coroutine, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from uproot.source.fsspec import FSSpecLoopExecutor, FSSpecSource

from flashsim_prod.errors import FlashSimError, InputError, StorageError

#: how long a server may take for its first answer [s]
ANSWER_S = 60.0
#: what passes by itself, beside all that begins with a 5
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_DOWNLOAD = "download it first and give the local file"
#: what a ROOT file begins with
_MAGIC = b"root"


class RaisingSource(FSSpecSource):  # type: ignore[misc]
    """uproot's source for URLs, which takes the failure of a part for its bytes; here it is raised."""

    def _open(self) -> None:
        super()._open()
        self._executor = _RaisingExecutor()


class _RaisingExecutor(FSSpecLoopExecutor):  # type: ignore[misc]
    def submit(self, coroutine: Coroutine[Any, Any, list[Any]]) -> concurrent.futures.Future[list[Any]]:
        future: concurrent.futures.Future[list[Any]] = super().submit(_raised(coroutine))
        return future


async def _raised(parts: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    found = await parts
    for part in found:
        if isinstance(part, BaseException):
            raise part
    return found


def without_chatter(url: str) -> None:
    """Keep a warning from users that says nothing of theirs.

    XRootD's client, when the program ends, looks at every object there is, torch's deprecated ones included.
    """
    if url.startswith(("root://", "xroot")):
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"XRootD\.client\.finalize")


def is_http(url: str) -> bool:
    """Whether a file is behind HTTP."""
    return url.startswith(("http://", "https://"))


def check_served(url: str) -> None:
    """See that a server answers, has the file and gives it in parts.

    A server that ignores which bytes are asked for sends the whole file for each of them, which nothing in
    the way of a reader notices.

    Raises
    ------
    InputError
        It has no such file, does not let it be read, or gives whole files only.
    StorageError
        It cannot be reached or is out of order.
    """
    import aiohttp
    import fsspec
    from fsspec.asyn import sync

    try:
        scheme, _ = urlsplit(url).scheme, urlsplit(url).port
    except ValueError as error:
        raise InputError(f"{url} is no URL: {error}") from error
    files = fsspec.filesystem(scheme)
    try:
        status, begin = sync(files.loop, _first_bytes, files, url)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise failure(url, error) or _passing(url, _reason(error)) from error
    if status >= HTTPStatus.BAD_REQUEST:
        raise _refusal(url, status)
    if begin != _MAGIC:
        raise InputError(f"{url} is no ROOT file, but begins with {begin!r}; check the URL")
    if status != HTTPStatus.PARTIAL_CONTENT:
        raise _whole_files_only(url)


async def _first_bytes(files: Any, url: str) -> tuple[int, bytes]:
    """The status of an answer to a request for the first four bytes, and the bytes."""
    import aiohttp

    session = await files.set_session()
    asked = {"Range": f"bytes=0-{len(_MAGIC) - 1}", "Accept-Encoding": "identity"}
    patience = aiohttp.ClientTimeout(total=ANSWER_S)
    async with session.get(files.encode_url(url), headers=asked, timeout=patience) as answer:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return answer.status, b""
        try:
            return answer.status, await answer.content.readexactly(len(_MAGIC))
        except asyncio.IncompleteReadError as error:
            return answer.status, error.partial


def transfer_errors() -> tuple[type[Exception], ...]:
    """What the library behind HTTP raises of its own, if it was ever loaded."""
    loaded = sys.modules.get("aiohttp")
    return (loaded.ClientError,) if loaded else ()


def failure(url: str, error: BaseException) -> FlashSimError | None:
    """What a failure of a transfer by HTTP means; ``None`` if it is none of a transfer."""
    import aiohttp

    for one in _causes(error):
        if isinstance(one, aiohttp.ClientResponseError) and one.status:
            return _refusal(url, one.status)
        if isinstance(one, aiohttp.ClientSSLError | ssl.SSLError):
            return StorageError(
                f"{url}: no trusted connection ({_reason(one)}); set SSL_CERT_FILE to the certificates of "
                f"its authority, or {_DOWNLOAD}"
            )
        if isinstance(one, aiohttp.InvalidURL):
            return InputError(f"{url} is no URL")
        if isinstance(one, TimeoutError | asyncio.TimeoutError):
            return _passing(url, "its server does not answer in time")
        if isinstance(one, aiohttp.ClientConnectorDNSError | socket.gaierror):
            return _passing(url, f"there is no host {urlsplit(url).hostname} for this machine")
        if isinstance(one, aiohttp.ClientError | ConnectionError):
            return _passing(url, _reason(one))
        if isinstance(one, ValueError) and "range requests" in str(one):
            return _whole_files_only(url)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of: the libraries say "not found" of whatever failed."""
    while error is not None:
        yield error
        error = error.__cause__


def _refusal(url: str, status: int) -> FlashSimError:
    try:
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"HTTP {status}"
    if status in _GONE:
        return InputError(f"{url} does not exist ({said}); check the URL")
    if status in _FORBIDDEN:
        return InputError(f"{url} may not be read ({said}); {_DOWNLOAD}")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        return _passing(url, f"its server says {said}")
    return InputError(f"{url} cannot be read: its server says {said}; {_DOWNLOAD}")


def _passing(url: str, reason: str) -> StorageError:
    return StorageError(f"{url} cannot be read: {reason}; try again later, or {_DOWNLOAD}")


def _whole_files_only(url: str) -> InputError:
    return InputError(f"{url}: its server gives whole files only, no parts of them; {_DOWNLOAD}")


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
