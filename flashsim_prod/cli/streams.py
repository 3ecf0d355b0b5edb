"""Standard output and error that outlast their readers: ``request ... | head -2`` still makes its dataset.

A pipe whose reader went away fails the next write. That must neither stop work that is under way nor decide
the exit code, which tells what came of the work: what is printed from then on goes nowhere.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from flashsim_prod.errors import NoSpaceError, StorageError


class LastingStream:
    """A stream as it was, but a write after its reader has gone is dropped."""

    def __init__(self, stream: TextIO, *, says_failures: bool) -> None:
        self._stream = stream
        self._says_failures = says_failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, or drop it where nobody reads."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left where nobody reads."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Nobody reads: that is fine. Anything else, as a full disk, is told once."""
        to_nowhere(self._stream)
        if self._says_failures and not isinstance(error, BrokenPipeError):
            kind = NoSpaceError if error.errno == errno.ENOSPC else StorageError
            raise kind(f"standard output cannot be written: {error.strerror}") from error


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Standard output and error that outlast their readers, for as long as the block runs."""
    kept = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        # Python has none at all where the shell closed it (>&-)
        sys.stdout = cast(TextIO, LastingStream(kept[0] or nowhere, says_failures=True))
        # of what cannot be written here, nothing can be said anywhere
        sys.stderr = cast(TextIO, LastingStream(kept[1] or nowhere, says_failures=False))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = kept


def to_nowhere(stream: TextIO) -> None:
    """Let all that is still to be written to `stream`, by the interpreter at its exit too, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_read() -> bool:
    """Whether somebody may still read standard output; False for a pipe whose reader has gone."""
    try:
        file = sys.stdout.fileno()
    except (OSError, ValueError):
        return True
    look = select.poll()
    look.register(file, 0)
    return not any(event & select.POLLERR for _, event in look.poll(0))
