"""Files that are read once from their beginning, wherever they are, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from flashsim_prod.errors import InputError
from flashsim_prod.files import open_regular
from flashsim_prod.physics.streams.served import is_url, served

_PACKED = b"\x1f\x8b"


@contextmanager
def opened(url: str) -> Iterator[IO[bytes]]:
    """The contents of a file, unpacked.

    Raises
    ------
    OSError
        A file on a disk cannot be read; `reading` tells it in a line.
    FlashSimError
        As of `served`, of a file behind an address.
    """
    if is_url(url):
        with served(url) as stream, unpacked(stream) as contents:
            yield contents
        return
    with open_regular(Path(url)) as file, unpacked(file) as contents:
        yield contents


def is_packed(stream: io.BufferedReader) -> bool:
    """Whether what follows in `stream` is gzipped; nothing is taken out of it."""
    return stream.peek(len(_PACKED))[: len(_PACKED)] == _PACKED


@contextmanager
def unpacked(stream: io.BufferedReader) -> Iterator[IO[bytes]]:
    """What follows in `stream`, unpacked if it is gzipped."""
    if not is_packed(stream):
        yield stream
        return
    with gzip.GzipFile(fileobj=stream) as contents:
        yield contents  # type: ignore[misc]


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Whatever the system or a damaged file raises, as an `InputError` in one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{url} does not exist; check the path") from error
    except EOFError as error:
        raise InputError(f"{url} is truncated; copy it again") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{url} is damaged: {error}; copy it again") from error
    except OSError as error:
        raise InputError(f"{url} cannot be read: {error.strerror or error}") from error
