"""Lines of particles and vertices of HepMC 3's ASCII form, as its writers write them; compiled by numba.

Import it where it is used: numba may be missing. Nothing is guessed here: of an event in which anything is
otherwise than writers of HepMC 3 have it (a number that a double does not hold to its last digit at once, two
blanks, a vertex without particles, ...) nothing is told, so that whoever asked has HepMC's library read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import int32, int64, njit, types, uint8, uint64
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from flashsim_prod.physics.compiling.cached import compiled

#: numba's decorators: what they make is called by compiled code alone, with arguments of its own
_intrinsic: Callable[[Callable[..., Any]], Any] = intrinsic
_function: Callable[[Callable[..., Any]], Callable[..., Any]] = njit
#: powers of ten beyond which no momentum of an event is
_MOST = 60
#: decimal digits that a word of 64 bits holds, whatever they are
_DIGITS = 19
_FAULT = -1
#: HepMC's own reader gives up longer lines
_LONGEST_LINE = 200_000
_NEWLINE, _BLANK, _MINUS, _POINT = 10, 32, 45, 46
_P, _V, _AT, _OPEN, _COMMA, _CLOSE = 80, 86, 64, 91, 44, 93
#: of a vertex: a line of its own, a particle that begins there
_TOLD, _BEGUN = 1, 2


def _power_of_five(exponent: int) -> tuple[int, int]:
    """5^`exponent` as a mantissa of 128 bits, in two words; rounded down, its inverse up."""
    if exponent >= 0:
        mantissa = 5**exponent
        shift = 128 - mantissa.bit_length()
        mantissa = mantissa << shift if shift >= 0 else mantissa >> -shift
    else:
        inverse = 5**-exponent
        mantissa = (1 << (inverse.bit_length() + 127)) // inverse + 1
        mantissa >>= mantissa.bit_length() - 128
    return mantissa >> 64, mantissa & ((1 << 64) - 1)


_POWERS = np.array([_power_of_five(one) for one in range(-_MOST, _MOST + 1)], dtype=np.uint64)
_ONE, _THREE = np.uint64(1), np.uint64(3)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@_intrinsic
def _product(context: Any, one: Any, other: Any) -> tuple[Signature, Any]:
    """The two words of the product of two words, the higher first."""
    two: Any = types.UniTuple
    signature = two(uint64, 2)(uint64, uint64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        wide, word = ir.IntType(128), ir.IntType(64)
        whole = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        high = builder.trunc(builder.lshr(whole, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, signature.return_type, (high, builder.trunc(whole, word)))

    return signature, generate


@_intrinsic
def _leading_zeros(context: Any, one: Any) -> tuple[Signature, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return uint64(uint64), generate


@_intrinsic
def _eight(context: Any, text: Any, at: Any) -> tuple[Signature, Any]:
    """Eight bytes of `text` from `at` on as a word, the first the lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return uint64(text, int64), generate


@_intrinsic
def _byte(context: Any, text: Any, at: Any) -> tuple[Signature, Any]:
    """A byte of `text`, whose places are never counted from its end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte = builder.load(builder.gep(array.data, [arguments[1]]))
        return builder.zext(byte, ir.IntType(64))

    return int64(text, int64), generate


@_function
def _digits(text: Any, at: Any, mantissa: Any) -> Any:
    """`mantissa` with the digits from `at` on behind it, and where these end."""
    while at + 8 <= len(text):
        word = _eight(text, at)
        odd = (word & np.uint64(0xF0F0F0F0F0F0F0F0)) | (
            ((word + np.uint64(0x0606060606060606)) & np.uint64(0xF0F0F0F0F0F0F0F0)) >> np.uint64(4)
        )
        if odd != np.uint64(0x3333333333333333):
            break
        # pairs of digits, then pairs of pairs, side by side
        word -= np.uint64(0x3030303030303030)
        word = word * np.uint64(10) + (word >> np.uint64(8))
        low = (word & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
        high = ((word >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
        mantissa = np.uint64(100_000_000) * mantissa + ((low + high) >> np.uint64(32))
        at += 8
    while 48 <= _byte(text, at) <= 57:
        mantissa = np.uint64(10) * mantissa + np.uint64(_byte(text, at) - 48)
        at += 1
    return mantissa, at


@_function
def _double(mantissa: Any, exponent: Any) -> Any:
    """The bits of the double nearest to `mantissa` times ten to the `exponent`, by the method of Eisel and
    Lemire; all bits set where it does not decide."""
    if mantissa == np.uint64(0):
        return np.uint64(0)
    if exponent < -_MOST or exponent > _MOST:
        return _ALL
    zeros = _leading_zeros(mantissa)
    word = mantissa << zeros
    high, low = _product(word, _POWERS[exponent + _MOST, 0])
    if (high & np.uint64(0x1FF)) == np.uint64(0x1FF):
        more, _ = _product(word, _POWERS[exponent + _MOST, 1])
        low += more
        if low < more:
            high += _ONE
    if low == _ALL:
        return _ALL
    upper = high >> np.uint64(63)
    shift = upper + np.uint64(9)
    bits = high >> shift
    if low <= _ONE and (bits & _ONE) == _ONE and (bits << shift) == high:
        # half way between two, or nearly so
        return _ALL
    power = ((217706 * exponent) >> 16) + 63 + np.int64(upper) - np.int64(zeros) + 1023
    bits = (bits + (bits & _ONE)) >> _ONE
    if bits >= np.uint64(1 << 53):
        bits >>= _ONE
        power += 1
    if power <= 0 or power >= 0x7FF:
        return _ALL
    return (np.uint64(power) << np.uint64(52)) | (bits & np.uint64((1 << 52) - 1))


@_function
def _integer(text: Any, at: Any) -> Any:
    """An integer that begins at `at`, and where it ends; -1 for none."""
    negative = _byte(text, at) == _MINUS
    first = at + 1 if negative else at
    at, value = first, 0
    while 48 <= _byte(text, at) <= 57 and at - first < 10:
        value = 10 * value + (_byte(text, at) - 48)
        at += 1
    if at == first or value > 0x7FFFFFFF or 48 <= _byte(text, at) <= 57:
        return 0, _FAULT
    return (-value if negative else value), at


@_function
def _real(text: Any, at: Any) -> Any:
    """The bits of the double that begins at `at`, and where it ends; -1 for none."""
    sign = np.uint64(0)
    if _byte(text, at) == _MINUS:
        sign = _ONE << np.uint64(63)
        at += 1
    mantissa, exponent, first = np.uint64(0), 0, at
    mantissa, at = _digits(text, at, mantissa)
    digits = at - first
    if _byte(text, at) == _POINT:
        point = at + 1
        mantissa, at = _digits(text, point, mantissa)
        exponent = point - at
        digits += at - point
    if digits == 0 or digits > _DIGITS:
        return np.uint64(0), _FAULT
    if _byte(text, at) == 101 or _byte(text, at) == 69:
        at += 1
        down = _byte(text, at) == _MINUS
        if down or _byte(text, at) == 43:
            at += 1
        told, first = 0, at
        while 48 <= _byte(text, at) <= 57 and at - first < 4:
            told = 10 * told + (_byte(text, at) - 48)
            at += 1
        if at == first:
            return np.uint64(0), _FAULT
        exponent += -told if down else told
    bits = _double(mantissa, exponent)
    if bits == _ALL:
        return np.uint64(0), _FAULT
    return sign | bits, at


@_function
def _particle(text: Any, at: Any, row: Any, whole: Any, real: Any) -> Any:
    """Read the line of a particle into its `row`, and tell where the next line begins; -1 for none."""
    value, at = _integer(text, at)
    if at == _FAULT or value != row + 1 or _byte(text, at) != _BLANK:
        return _FAULT
    parent, at = _integer(text, at + 1)
    if at == _FAULT or _byte(text, at) != _BLANK or parent > whole.shape[1] or parent == row + 1:
        return _FAULT
    if parent > row:
        # a mother that comes later: writers put one there where the record runs in a circle, and the library
        # cuts it, as if there were none
        parent = 0
    pdg_id, at = _integer(text, at + 1)
    if at == _FAULT:
        return _FAULT
    for column in range(5):
        if _byte(text, at) != _BLANK:
            return _FAULT
        real[column, row], at = _real(text, at + 1)
        if at == _FAULT:
            return _FAULT
    if _byte(text, at) != _BLANK:
        return _FAULT
    status, at = _integer(text, at + 1)
    if at == _FAULT or _byte(text, at) != _NEWLINE:
        return _FAULT
    whole[0, row], whole[1, row], whole[2, row] = pdg_id, status, parent
    return at + 1


@_function
def _vertex(text: Any, at: Any, whole: Any, state: Any) -> Any:
    """As `_particle`, of the line of a vertex: the particles that end there are told so."""
    begin = at
    value, at = _integer(text, at)
    if at == _FAULT or _byte(text, at) != _BLANK or value >= 0 or -value > len(state):
        return _FAULT
    _, at = _integer(text, at + 1)
    if at == _FAULT or _byte(text, at) != _BLANK or _byte(text, at + 1) != _OPEN or state[-value - 1] & _TOLD:
        return _FAULT
    state[-value - 1] |= _TOLD
    at, before = at + 1, 0
    while _byte(text, at) != _CLOSE:
        one, at = _integer(text, at + 1)
        # another order is the library's to keep
        if at == _FAULT or one <= before or one > whole.shape[1] or whole[3, one - 1] != 0:
            return _FAULT
        whole[3, one - 1], before = value, one
        if _byte(text, at) != _COMMA and _byte(text, at) != _CLOSE:
            return _FAULT
    at += 1
    if _byte(text, at) != _NEWLINE:
        # a place, of four numbers that nobody asks for
        if _byte(text, at) != _BLANK or _byte(text, at + 1) != _AT:
            return _FAULT
        at, blanks = at + 2, 0
        while _byte(text, at) != _NEWLINE:
            if _byte(text, at) < _BLANK:
                return _FAULT
            blanks += _byte(text, at) == _BLANK
            at += 1
        if blanks < 4:
            return _FAULT
    return at + 1 if at - begin < _LONGEST_LINE else _FAULT


@_function
def _lines(text: Any, at: Any, whole: Any, real: Any, state: Any) -> Any:
    """Read all lines of an event; whether that could be done."""
    row = 0
    while at < len(text):
        kind: Any = _byte(text, at)
        if kind == _NEWLINE:
            at += 1
            continue
        if _byte(text, at + 1) != _BLANK:
            return False
        if kind == _P and row < whole.shape[1]:
            at = _particle(text, at + 2, row, whole, real)
            row += 1
        elif kind == _V:
            at = _vertex(text, at + 2, whole, state)
        else:
            return False
        if at == _FAULT:
            return False
    return row == whole.shape[1]


@_function
def _number_vertices(whole: Any, state: Any) -> Any:
    """Give vertices that no line tells of the numbers that are left, in the order in which their first
    particles are; whether all is as it should be."""
    implied = np.zeros(len(state) + 1, dtype=np.int64)
    n_implied, has_root, found = 0, False, 0
    for row in range(whole.shape[1]):
        parent = whole[2, row]
        if parent == 0:
            has_root = True
        elif parent < 0:
            if -parent > len(state):
                return False
            state[-parent - 1] |= _BEGUN
        else:
            if whole[3, parent - 1] < 0:
                return False
            if whole[3, parent - 1] == 0:
                if n_implied == len(state):
                    return False
                whole[3, parent - 1] = 1
                implied[n_implied] = parent - 1
                n_implied += 1
    if n_implied and not has_root:
        return False
    for vertex in range(len(state)):
        if state[vertex] == 0:
            if found == n_implied:
                return False
            whole[3, implied[found]] = -vertex - 1
            found += 1
        elif state[vertex] != _TOLD | _BEGUN:
            return False
    return found == n_implied


@_function
def _link(whole: Any, parent: Any, n_vertices: Any) -> Any:
    """Count vertices from 0, list all particles that end at one by vertices, and tell how many these are."""
    place = np.zeros(n_vertices + 1, dtype=np.int64)
    for row in range(whole.shape[1]):
        begin = whole[2, row]
        whole[2, row] = -1 - (whole[3, begin - 1] if begin > 0 else begin)
    for row in range(whole.shape[1]):
        end = whole[3, row] = -1 - whole[3, row]
        place[end + 1] += 1
    n_without, place[0] = place[0], 0
    for vertex in range(n_vertices):
        place[vertex + 1] += place[vertex]
    for row in range(whole.shape[1]):
        end = whole[3, row]
        if end >= 0:
            parent[place[end]] = row
            place[end] += 1
    return whole.shape[1] - n_without


_TEXT = types.Array(uint8, 1, "C", readonly=True)


@compiled(_TEXT, int64, int64, int32[:, ::1], uint64[:, ::1], int32[::1], int64[::1])
def read_lines(
    text: Any, start: Any, n_vertices: Any, whole: Any, real: Any, parent: Any, n_links: Any
) -> None:
    """Read the particles and vertices of an event.

    Parameters
    ----------
    text : uint8 array
    start : int
        Where these lines begin; they are all that follows.
    n_vertices : int
        How many there must be.
    whole : int32 array of shape (4, n_particles), of zeros
        Gets PDG code, status, and the vertices where each particle begins and ends: from 0, -1 for none.
    real : uint64 array of shape (5, n_particles)
        Gets the bits of px, py, pz, energy and mass.
    parent : int32 array of shape (n_particles,)
        Gets the particles that end at a vertex: from 0, in the order of these vertices.
    n_links : int64 array of shape (1,)
        Gets how many these are; -1 if the event was not read, and all else means nothing.
    """
    state = np.zeros(n_vertices, dtype=np.uint8)
    n_links[0] = -1
    if (
        start < len(text)
        and _byte(text, len(text) - 1) == _NEWLINE
        and _lines(text, start, whole, real, state)
        and _number_vertices(whole, state)
    ):
        n_links[0] = _link(whole, parent, n_vertices)
