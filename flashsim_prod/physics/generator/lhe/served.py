"""LHE files behind HTTP, read once from their beginning."""

from __future__ import annotations

import gzip
import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from flashsim_prod.errors import InputError, StorageError

_PACKED = b"\x1f\x8b"
#: how long a server may be silent [s]
_SILENCE_S = 120.0
#: a server's answers that will not be others later
_FINAL = (400, 401, 403, 404, 410)


def is_url(url: str) -> bool:
    """Whether a file is opened by an address."""
    return "://" in url


@contextmanager
def served(url: str) -> Iterator[IO[bytes]]:
    """The contents of the file at `url`, unpacked.

    Raises
    ------
    InputError
        There is no such file, or it is not behind HTTP.
    StorageError
        Its server cannot be reached, or breaks off.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(
            f"{url}: LHE files are read from disks and by http:// or https://; copy it here and name the copy"
        )
    try:
        with urllib.request.urlopen(url, timeout=_SILENCE_S) as answer:
            try:
                stream = io.BufferedReader(answer)
                if stream.peek(2)[:2] == _PACKED:
                    with gzip.GzipFile(fileobj=stream) as unpacked:
                        yield unpacked  # type: ignore[misc]
                else:
                    yield stream
            except (InputError, EOFError) as error:
                if answer.length:
                    raise StorageError(f"{url}: its server broke off; try again later") from error
                raise
    except urllib.error.HTTPError as error:
        kind = InputError if error.code in _FINAL else StorageError
        raise kind(f"{url} cannot be read: HTTP {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or " ".join(str(error).split()) or type(error).__name__
        raise StorageError(f"{url} cannot be read: {reason}; try again later") from error
