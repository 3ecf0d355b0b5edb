"""What stands between the matrix products of a velocity, a pass over each row; the one owner of numba.

Import it where it is used: numba takes a third of a second to load, and may be missing. What is compiled for
a machine is kept where numba keeps it, beside this file or in the user's cache, or else in a folder of the
user's own among the temporary files: only the first process on a machine spends two seconds on it.
"""

from __future__ import annotations

import math
import os
import pickle
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import float32, njit, void
from numba.core import entrypoints
from numpy.typing import NDArray

F32 = NDArray[np.float32]

#: numba makes its attributes when it is loaded
config: Any = numba.config

_EPSILON = np.finfo(np.float32).eps
#: beyond it, half of a silu's argument has a tanh of 1 in single precision
_SATURATED = np.float32(7.905)
_ONE, _HALF = np.float32(1.0), np.float32(0.5)
#: tanh as an odd polynomial over an even one, to some units in the last place of single precision
_P1, _P3, _P5, _P7 = map(
    np.float32, (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
)
_P9, _P11, _P13 = map(np.float32, (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
_Q0, _Q2, _Q4, _Q6 = map(
    np.float32, (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)

_MATRIX, _VECTOR = float32[:, ::1], float32[::1]
# the numbers of a row are summed in one order, whatever is in the other rows: nothing depends on the batch
_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}


def _compiled(*arguments: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compiled for `arguments`, or loaded if it was on this machine before."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = void(*arguments)
        for folder in (config.CACHE_DIR, _private_folder()):
            if folder is None:
                continue
            config.CACHE_DIR = folder
            try:
                with _alone():
                    return njit(signature, cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
            except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
                # no place to write to, none left, or a damaged file: a cache must not stop a job
                continue
        with _alone():
            return njit(signature, **_OPTIONS)(function)  # type: ignore[no-any-return]

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


def _private_folder() -> str | None:
    """A folder among the temporary files that nobody else can put code into."""
    folder = Path(tempfile.gettempdir()) / f"flashsim-prod-compiled-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return str(folder) if ours and not found.st_mode & 0o077 else None


@njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _silu(u: np.float32) -> np.float32:
    """u times the logistic function of u, without a call that would keep the loop from being vectorised."""
    x = min(max(u * _HALF, -_SATURATED), _SATURATED)
    s = x * x
    odd = x * (_P1 + s * (_P3 + s * (_P5 + s * (_P7 + s * (_P9 + s * (_P11 + s * _P13))))))
    even = _Q0 + s * (_Q2 + s * (_Q4 + s * _Q6))
    return u * (_HALF + _HALF * (odd / even))


@_compiled(*[_MATRIX] * 4, *[_VECTOR] * 4)
def steer(
    hidden: F32, inner: F32, gate: F32, shift: F32, gate_now: F32, shift_now: F32, first: F32, second: F32
) -> None:
    """From a block's first product to what its second one takes, which is left in `inner`.

    The product was of `hidden` as it is: to divide a row by its root mean square afterwards is the same. The
    second product's bias is added to `hidden`, which that product is then added to.
    """
    n, width = hidden.shape
    for row in range(n):
        h, u, g, s = hidden[row], inner[row], gate[row], shift[row]
        squares = np.float32(0.0)
        for j in range(width):
            squares += h[j] * h[j]
        norm = _ONE / math.sqrt(squares / np.float32(width) + _EPSILON)
        for j in range(width):
            h[j] += second[j]
            u[j] = _silu((u[j] * norm + first[j]) * (g[j] + gate_now[j]) + (s[j] + shift_now[j]))


@_compiled(_MATRIX, _MATRIX)
def silu(values: F32, out: F32) -> None:
    """The sigmoid linear unit of every number."""
    n, width = values.shape
    for row in range(n):
        v, o = values[row], out[row]
        for j in range(width):
            o[j] = _silu(v[j])
