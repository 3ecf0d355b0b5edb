"""Whole networks compiled by numba: a few rows at a time through all layers, in a core's nearest caches.

Import it where it is compiled: numba takes a third of a second to load, and may be missing. What lies where
is said by `native`, which calls this.

A product is made of tiles of `TALL` rows and `WIDE` columns, whose sums stay in registers; matrices lie as
panels of so many columns, with zeros after the last. No row sees another one, and each is computed by the
same instructions wherever it stands: nothing depends on the batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, float32, int64, intp, njit, types, void  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

#: of a tile, and rows that go through all layers together
TALL, WIDE, ROWS = 6, 16, 48
#: bytes of a number
_SIZE = 4

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

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}
# called by compiled code alone, not by Python
_jit: Any = njit
_function = _jit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
_intrinsic: Any = intrinsic


@_intrinsic  # type: ignore[untyped-decorator]
def _place(typing: Any, address: Any) -> Any:
    """A pointer to the numbers at `address`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(float32)(intp), code  # type: ignore[no-untyped-call]


@_intrinsic  # type: ignore[untyped-decorator]
def _whole(typing: Any, address: Any) -> Any:
    """A pointer to the whole numbers at `address`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(int64)(intp), code  # type: ignore[no-untyped-call]


@_intrinsic  # type: ignore[untyped-decorator]
def _tile(
    typing: Any, a: Any, a_step: Any, b: Any, depth: Any, start: Any, start_step: Any, out: Any, out_step: Any
) -> Any:
    """A tile of `start` and the product of rows at `a` and the panel at `b`; steps are from row to row."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_step, b, depth, start, start_step, out, out_step = arguments
        number, word = ir.FloatType(), a.type
        row = ir.VectorType(number, WIDE)

        def at(address: Any, kind: Any, steps: Any, step: Any) -> Any:
            moved = builder.add(address, builder.mul(builder.mul(steps, step), word(_SIZE)))
            return builder.inttoptr(moved, kind.as_pointer())

        rows = [word(index) for index in range(TALL)]
        sums = [cgutils.alloca_once(builder, row) for _ in rows]  # type: ignore[no-untyped-call]
        for place in sums:
            builder.store(ir.Constant(row, [0.0] * WIDE), place)
        with cgutils.for_range(builder, depth) as loop:
            panel = builder.load(at(b, row, loop.index, word(WIDE)), align=_SIZE)
            here = builder.add(a, builder.mul(loop.index, word(_SIZE)))
            for index, place in zip(rows, sums, strict=True):
                one = builder.load(at(here, number, index, a_step), align=_SIZE)
                first = builder.insert_element(ir.Constant(row, ir.Undefined), one, ir.IntType(32)(0))
                mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDE), [0] * WIDE)
                spread = builder.shuffle_vector(first, ir.Constant(row, ir.Undefined), mask)
                product = builder.fmul(spread, panel, flags=("contract",))
                builder.store(builder.fadd(builder.load(place), product, flags=("contract",)), place)
        for index, place in zip(rows, sums, strict=True):
            # last: a large number in a sum from its beginning would round each step of it
            begun = builder.load(at(start, row, index, start_step), align=_SIZE)
            whole = builder.fadd(begun, builder.load(place))
            builder.store(whole, at(out, row, index, out_step), align=_SIZE)
        return context.get_dummy_value()

    return void(*[intp] * 8), code


@_function
def _product(a, a_step, depth, b, columns, start, start_step, out, tiles):  # type: ignore[no-untyped-def]
    """Rows of `columns` numbers from tile to tile of rows at `a`, which lie `a_step` numbers apart."""
    for panel in range(columns // WIDE):
        beyond = _SIZE * WIDE * panel
        for tile in range(tiles):
            row = _SIZE * TALL * tile
            _tile(
                a + row * a_step,
                a_step,
                b + beyond * depth,
                depth,
                start + row * start_step + beyond,
                start_step,
                out + row * columns + beyond,
                columns,
            )


@_function
def _silu(u):  # type: ignore[no-untyped-def]
    """u times the logistic function of u, without a call that would keep the loop from being vectorised."""
    x = min(max(u * _HALF, -_SATURATED), _SATURATED)
    s = x * x
    odd = x * (_P1 + s * (_P3 + s * (_P5 + s * (_P7 + s * (_P9 + s * (_P11 + s * _P13))))))
    even = _Q0 + s * (_Q2 + s * (_Q4 + s * _Q6))
    return u * (_HALF + _HALF * (odd / even))


@_function
def _numbers(address, n):  # type: ignore[no-untyped-def]
    return carray(_place(address), (n,))


@_function
def _layer(a, a_step, depth, weights, columns, out, tiles):  # type: ignore[no-untyped-def]
    """A product with what lies at `weights`, which a bias follows, and where the next layer's lie."""
    bias = weights + _SIZE * depth * columns
    _product(a, a_step, depth, weights, columns, bias, 0, out, tiles)
    return bias + _SIZE * columns


@_function
def _silu_of(values, n):  # type: ignore[no-untyped-def]
    """In place: were it told another place, which may be the same, its loop would not be vectorised."""
    v = _numbers(values, n)
    for j in range(n):
        v[j] = _silu(v[j])


@_function
def _copied(values, out, n):  # type: ignore[no-untyped-def]
    """From where nothing may be read behind the last row to where there is room for whole tiles."""
    v, o = _numbers(values, n), _numbers(out, n)
    for j in range(n):
        o[j] = v[j]
    return out


@_function
def _steer(hidden, inner, steering, now, bias, more, width, wide, rows):  # type: ignore[no-untyped-def]
    """From a block's first product to what its second one takes, in the place of that.

    The product was of rows as they are: to divide a row by its root mean square afterwards is the same. The
    second product's bias, `more`, is added to the rows, which that product is then added to.
    """
    gate_now, shift_now = _numbers(now, wide), _numbers(now + _SIZE * wide, wide)
    b, m = _numbers(bias, wide), _numbers(more, wide)
    for row in range(rows):
        beyond = _SIZE * row * wide
        h, u = _numbers(hidden + beyond, wide), _numbers(inner + beyond, wide)
        g, s = _numbers(steering + beyond, wide), _numbers(steering + _SIZE * ROWS * wide + beyond, wide)
        squares = np.float32(0.0)
        for j in range(wide):
            squares += h[j] * h[j]
        norm = _ONE / math.sqrt(squares / np.float32(width) + _EPSILON)
        for j in range(wide):
            h[j] += m[j]
            u[j] = _silu((u[j] * norm + b[j]) * (g[j] + gate_now[j]) + (s[j] + shift_now[j]))


@_function
def _looked_up(seen, conditions, edges, start, table, n_edges, wide, out, rows):  # type: ignore[no-untyped-def]
    """A classifier's first layer added to `out`: of each condition a value, and a slope behind an edge."""
    # a condition's part of the table stays near while all rows look into it
    for one in range(conditions):
        edge = _numbers(edges + _SIZE * one * n_edges, n_edges)
        begins = _numbers(start + _SIZE * one * (n_edges + 1), n_edges + 1)
        for row in range(rows):
            x = _numbers(seen + _SIZE * (row * conditions + one), 1)[0]
            found = 0
            for e in range(n_edges):
                found += 1 if x >= edge[e] else 0
            beyond = x - begins[found]
            at = table + _SIZE * 2 * wide * (one * (n_edges + 1) + found)
            value, slope = _numbers(at, wide), _numbers(at + _SIZE * wide, wide)
            o = _numbers(out + _SIZE * row * wide, wide)
            for j in range(wide):
                o[j] += value[j] + slope[j] * beyond


@_function
def _condition(n, seen, wide, parts, conditions, weights, room, out):  # type: ignore[no-untyped-def]
    one, other = room, room + _SIZE * ROWS * max(seen, wide)
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        tiles = (rows + TALL - 1) // TALL
        at = _copied(conditions + _SIZE * first * seen, one, rows * seen)
        at = _layer(at, seen, seen, weights, wide, other, tiles)
        _silu_of(other, rows * wide)
        at = _layer(other, wide, wide, at, wide, one, tiles)
        _silu_of(one, rows * wide)
        for part in range(parts):
            beyond = _SIZE * ROWS * wide * (first // ROWS * parts + part)
            at = _layer(one, wide, wide, at, wide, out + beyond, tiles)


@_function
def _velocity(n, targets, columns, width, wide, blocks, x, contribution, weights, now, room, out):  # type: ignore[no-untyped-def]
    hidden = room
    inner = hidden + _SIZE * ROWS * wide
    left = inner + _SIZE * ROWS * wide
    points = left + _SIZE * ROWS * columns
    zeros, square = weights, _SIZE * wide * wide
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        tiles = (rows + TALL - 1) // TALL
        _copied(x + _SIZE * first * targets, points, rows * targets)
        part = contribution + _SIZE * first * wide * (2 * blocks + 1)
        start = _numbers(now, wide)
        for row in range(rows):
            h, c = _numbers(hidden + _SIZE * row * wide, wide), _numbers(part + _SIZE * row * wide, wide)
            for j in range(wide):
                h[j] = c[j] + start[j]
        at = now + _SIZE * wide
        _product(points, targets, targets, at, wide, hidden, wide, hidden, tiles)
        at += _SIZE * targets * wide
        of_block = zeros + _SIZE * wide
        for block in range(blocks):
            steering = part + _SIZE * ROWS * wide * (2 * block + 1)
            second = of_block + square + _SIZE * wide
            _product(hidden, wide, wide, of_block, wide, zeros, 0, inner, tiles)
            _steer(hidden, inner, steering, at, of_block + square, second + square, width, wide, rows)
            _product(inner, wide, wide, second, wide, hidden, wide, hidden, tiles)
            at += _SIZE * 2 * wide
            of_block = second + square + _SIZE * wide
        _silu_of(hidden, rows * wide)
        at = _layer(hidden, wide, wide, at, columns, left, tiles)
        linear = _numbers(at, 1)[0]
        for row in range(rows):
            f = _numbers(left + _SIZE * row * columns, targets)
            p = _numbers(points + _SIZE * row * targets, targets)
            o = _numbers(out + _SIZE * (first + row) * targets, targets)
            for j in range(targets):
                o[j] = f[j] + linear * p[j]


@_function
def _multiplicity(  # type: ignore[no-untyped-def]
    n, seen, n_edges, layers, logits, conditions, edges, start, table, widths, weights, room, out
):
    wide = carray(_whole(widths), (layers,))
    most = 0
    for layer in range(layers):
        most = max(most, wide[layer])
    one, other = room, room + _SIZE * ROWS * most
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        tiles = (rows + TALL - 1) // TALL
        bias = _numbers(weights, wide[0])
        for row in range(rows):
            o = _numbers(one + _SIZE * row * wide[0], wide[0])
            for j in range(wide[0]):
                o[j] = bias[j]
        here = conditions + _SIZE * first * seen
        _looked_up(here, seen, edges, start, table, n_edges, wide[0], one, rows)
        at = weights + _SIZE * wide[0]
        for layer in range(1, layers):
            before = wide[layer - 1]
            _silu_of(one, rows * before)
            at = _layer(one, before, before, at, wide[layer], other, tiles)
            one, other = other, one
        for row in range(rows):
            f = _numbers(one + _SIZE * row * wide[layers - 1], logits)
            o = _numbers(out + _SIZE * (first + row) * logits, logits)
            for j in range(logits):
                o[j] = f[j]


def natives() -> dict[str, Any]:
    """Functions for `machine_code`: they take numbers of things, and addresses."""

    @cfunc(void(intp))
    def shape(out):  # type: ignore[no-untyped-def]
        """What who lays out weights must know."""
        found = carray(_whole(out), (2,))
        found[0], found[1] = WIDE, ROWS

    @cfunc(void(*[intp] * 8), **_OPTIONS)
    def condition(n, seen, wide, parts, conditions, weights, room, out):  # type: ignore[no-untyped-def]
        """What conditions contribute to a velocity, by rows that go together: all parts of it for them."""
        _condition(n, seen, wide, parts, conditions, weights, room, out)

    @cfunc(void(*[intp] * 12), **_OPTIONS)
    def velocity(n, targets, columns, width, wide, blocks, x, contribution, weights, now, room, out):  # type: ignore[no-untyped-def]
        """A velocity at points and a time, of which all that depends on it is in `now`."""
        _velocity(n, targets, columns, width, wide, blocks, x, contribution, weights, now, room, out)

    @cfunc(void(*[intp] * 13), **_OPTIONS)
    def multiplicity(  # type: ignore[no-untyped-def]
        n, seen, n_edges, layers, logits, conditions, edges, start, table, widths, weights, room, out
    ):
        """Logits of numbers of objects."""
        _multiplicity(
            n, seen, n_edges, layers, logits, conditions, edges, start, table, widths, weights, room, out
        )

    return {"shape": shape, "condition": condition, "velocity": velocity, "multiplicity": multiplicity}
