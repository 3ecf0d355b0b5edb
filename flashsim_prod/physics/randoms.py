"""Random numbers that are a function of what they are for, not of when they were drawn.

Every number comes from the counter-based generator Philox4x32-10 (Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC11), keyed by the job's seed, with the gen event, the fold, the object and
the name of the stream as the counter. Batch size, order, threads and devices therefore change nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
#: words worked on at a time: the eight arrays of a round stay in the cache of one core
_CACHED_WORDS = 16_384

U64 = NDArray[np.uint64]


def philox4x32(counter: tuple[U64, U64, U64, U64], key: tuple[int, int]) -> tuple[U64, U64, U64, U64]:
    """Ten rounds of Philox4x32 on arrays of counters.

    Parameters
    ----------
    counter : four uint64 arrays of one shape
        The counter's words, each below 2**32.
    key : two ints below 2**32

    Returns
    -------
    Four uint64 arrays of that shape, each below 2**32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & _MASK,
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


@dataclass(frozen=True)
class DrawKeys:
    """For whom numbers are drawn, an entry per row.

    Attributes
    ----------
    gen_event : int array of shape (n,)
        Number of the generator event, below 2**32.
    fold : int array of shape (n,)
        Oversampled copy, below 2**16.
    item : int array of shape (n,)
        Object within the event, below 2**16.
    """

    gen_event: NDArray[np.int64]
    fold: NDArray[np.int64]
    item: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, bits in (("gen_event", 32), ("fold", 16), ("item", 16)):
            column = getattr(self, name)
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < 1 << bits:
                raise ValueError(f"{name} must lie in [0, 2**{bits})")

    def __len__(self) -> int:
        return len(self.gen_event)


class Draws:
    """The random numbers of one stream (say, one object model's efficiency) of one job.

    Parameters
    ----------
    seed : int
        The job's seed, below 2**64.
    stream : str
        Name of the stream; different names give independent numbers.
    """

    def __init__(self, seed: int, stream: str) -> None:
        self._key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
        self._stream = np.uint64(zlib.crc32(stream.encode()))

    def uniforms(self, keys: DrawKeys, number: int) -> NDArray[np.float64]:
        """`number` draws for each row, uniform on the open interval (0, 1); shape (n, number)."""
        blocks = -(-number // 4)
        words = np.empty((len(keys), blocks * 4), dtype=np.float64)
        step = max(1, _CACHED_WORDS // max(1, blocks))
        for start in range(0, len(keys), step):
            words[start : start + step] = self._words(keys, slice(start, start + step), blocks)
        return (words[:, :number] + 0.5) * 2.0**-32

    def normals(self, keys: DrawKeys, number: int) -> NDArray[np.float64]:
        """`number` standard normal draws for each row, by inversion; shape (n, number)."""
        drawn: NDArray[np.float64] = ndtri(self.uniforms(keys, number))
        return drawn

    def _words(self, keys: DrawKeys, rows: slice, blocks: int) -> NDArray[np.float64]:
        gen_event = keys.gen_event[rows].astype(np.uint64)
        item = (keys.fold[rows].astype(np.uint64) << np.uint64(16)) | keys.item[rows].astype(np.uint64)
        shape = (len(gen_event), blocks)
        counter = (
            np.broadcast_to(gen_event[:, None], shape),
            np.broadcast_to(item[:, None], shape),
            np.full(shape, self._stream),
            np.broadcast_to(np.arange(blocks, dtype=np.uint64), shape),
        )
        return np.stack(philox4x32(counter, self._key), axis=-1).reshape(shape[0], -1).astype(np.float64)
