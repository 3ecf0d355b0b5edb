"""What stands between the matrix products of a velocity, a pass over each row, compiled by numba.

Import it where it is used: numba takes a third of a second to load, and may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, cfunc, float32, intp, njit, types, void  # type: ignore[attr-defined]
from numpy.typing import NDArray

from flashsim_prod.physics.compiling.cached import compiled

F32 = NDArray[np.float32]

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
_PLACE = types.CPointer(float32)  # type: ignore[no-untyped-call]
# the numbers of a row are summed in one order, whatever is in the other rows: nothing depends on the batch
_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}


@njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _silu(u: np.float32) -> np.float32:
    """u times the logistic function of u, without a call that would keep the loop from being vectorised."""
    x = min(max(u * _HALF, -_SATURATED), _SATURATED)
    s = x * x
    odd = x * (_P1 + s * (_P3 + s * (_P5 + s * (_P7 + s * (_P9 + s * (_P11 + s * _P13))))))
    even = _Q0 + s * (_Q2 + s * (_Q4 + s * _Q6))
    return u * (_HALF + _HALF * (odd / even))


def _steer(
    hidden: F32, inner: F32, gate: F32, shift: F32, gate_now: F32, shift_now: F32, first: F32, second: F32
) -> None:
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


def _silu_of(values: F32, out: F32) -> None:
    n, width = values.shape
    for row in range(n):
        v, o = values[row], out[row]
        for j in range(width):
            o[j] = _silu(v[j])


def for_arrays() -> tuple[Callable[..., None], Callable[..., None]]:
    """``steer`` and ``silu``, compiled into this process.

    ``steer`` goes from a block's first product to what its second one takes, which is left in ``inner``. The
    product was of ``hidden`` as it is: to divide a row by its root mean square afterwards is the same. The
    second product's bias is added to ``hidden``, which that product is then added to. ``silu`` is the sigmoid
    linear unit of every number.
    """
    steer = compiled(*[_MATRIX] * 4, *[_VECTOR] * 4, **_OPTIONS)(_steer)
    return steer, compiled(_MATRIX, _MATRIX, **_OPTIONS)(_silu_of)


def natives() -> dict[str, Any]:
    """The same for `machine_code`: they take numbers of rows and columns, and where these lie."""
    steer, silu = (njit(inline="always", **_OPTIONS)(one) for one in (_steer, _silu_of))

    @cfunc(void(intp, intp, *[_PLACE] * 8), **_OPTIONS)
    def steer_at(n, width, hidden, inner, gate, shift, gate_now, shift_now, first, second):  # type: ignore[no-untyped-def]
        rows, row = (n, width), (width,)
        steer(
            carray(hidden, rows),
            carray(inner, rows),
            carray(gate, rows),
            carray(shift, rows),
            carray(gate_now, row),
            carray(shift_now, row),
            carray(first, row),
            carray(second, row),
        )

    @cfunc(void(intp, intp, *[_PLACE] * 2), **_OPTIONS)
    def silu_at(n, width, values, out):  # type: ignore[no-untyped-def]
        silu(carray(values, (n, width)), carray(out, (n, width)))

    return {"steer": steer_at, "silu": silu_at}
