"""Which sizes of blocks give a row the same bits: seen, since no library promises it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from flashsim_prod.physics.chain.devices.work import F32

log = logging.getLogger("flashsim_prod.worker")

#: where no two sizes agree, the one that is next below this
_ALONE = 4096


def alike(
    run: Callable[[Sequence[F32]], F32], sizes: tuple[int, ...], widths: Sequence[int]
) -> tuple[int, ...]:
    """Those of `sizes` in which a row comes out alike, to the last bit, wherever it stands.

    Parameters
    ----------
    run : callable
        Takes inputs of one of the sizes, and gives a row for each of theirs.
    sizes : tuple of int
        Rising.
    widths : sequence of int
        Columns of each input.

    Returns
    -------
    The most that agree; of several sets of as many, and so where none do, the one that begins with the
    largest size of up to 4096 rows.
    """
    if len(sizes) == 1:
        return sizes
    rng = np.random.default_rng(1)
    # of half the smallest size, so that it has more places than one there, too
    probe = [_rows(rng, max(1, sizes[0] // 2), width) for width in widths]
    sets: dict[bytes, list[int]] = {}
    for size in sizes:
        answers = set(_answers(run, rng, probe, size))
        # where rows depend on where they stand, they agree with nothing
        if len(answers) == 1:
            sets.setdefault(answers.pop(), []).append(size)
    best: list[int] = max(sets.values() or ([size] for size in sizes), key=_worth)
    if not sets:
        log.warning(
            "in no block of %d to %d rows a row's last digits are independent of its place: another chunk "
            "size or number of processes may give other events",
            *(sizes[0], sizes[-1]),
        )
    return tuple(best)


def _worth(agreeing: list[int]) -> tuple[int, int]:
    least = agreeing[0]
    return len(agreeing), least if least <= _ALONE else -least


def _answers(
    run: Callable[[Sequence[F32]], F32], rng: np.random.Generator, probe: Sequence[F32], size: int
) -> Iterator[bytes]:
    """What comes of the probe at the beginning and in the middle of blocks, of one where both have room."""
    n = len(probe[0])
    middle = (size - n) // 2
    for starts in [[0, middle]] if middle >= n else [[start] for start in {0, middle}]:
        block = [_rows(rng, size, one.shape[1]) for one in probe]
        for start in starts:
            for rows, one in zip(block, probe, strict=True):
                rows[start : start + n] = one
        made = run(block)
        yield from (made[start : start + n].tobytes() for start in starts)


def _rows(rng: np.random.Generator, n: int, width: int) -> F32:
    return rng.normal(size=(n, width)).astype(np.float32)
