"""Failures of the operating system as errors of the house's tree."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from flashsim_prod.errors import NoSpaceError, StorageError

#: no block left, no quota left
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


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
