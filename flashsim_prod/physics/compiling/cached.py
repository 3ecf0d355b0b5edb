"""Functions that numba compiles, and where what it has compiled is kept.

Import it where it is used: numba takes a third of a second to load, and may be missing. What is compiled for
a machine is kept where numba keeps it, beside the function's file or in the user's cache, or else in a folder
of the user's own among the temporary files: only the first process on a machine spends seconds on it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba import njit, void
from numba.core import entrypoints

from flashsim_prod.physics.compiling.machine_code import private_folder

#: numba makes its attributes when it is loaded
config: Any = numba.config


def compiled(*arguments: Any, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compiled for `arguments` with numba's `options`, or loaded if it was on this machine before."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = void(*arguments)
        for folder in (config.CACHE_DIR, private_folder()):
            if folder is None:
                continue
            config.CACHE_DIR = folder
            try:
                with _alone():
                    return njit(signature, cache=True, **options)(function)  # type: ignore[no-any-return]
            except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
                # no place to write to, none left, or a damaged file: a cache must not stop a job
                continue
        with _alone():
            return njit(signature, **options)(function)  # type: ignore[no-any-return]

    return decorate


@contextmanager
def _alone() -> Iterator[None]:
    """While this lasts, numba does not load what other packages add to it, which may take seconds.

    It does so when something needs it later.
    """
    before = getattr(entrypoints, "_already_initialized", None)
    if before is None:
        yield
        return
    entrypoints._already_initialized = True
    try:
        yield
    finally:
        entrypoints._already_initialized = before
