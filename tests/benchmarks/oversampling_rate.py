"""How many entries a second an oversampled histogram takes, on one core, chunk by chunk."""

from __future__ import annotations

import time

import hist
import numpy as np

from flashsim_prod.physics.oversampling import OversampledHist

_ENTRIES = 10_000_000
_CHUNK = 500_003


def main() -> None:
    """Print a line for each kind of sample and histogram."""
    rng = np.random.default_rng(1)
    values, weight = rng.normal(size=_ENTRIES), rng.choice([-1.0, 1.0], _ENTRIES)
    for folds, bins, covariance in (
        (10, 50, False),
        (10, 1000, False),
        (1, 50, False),
        (1, 1000, False),
        (100, 50, False),
        (10, 50, True),
    ):
        gen = np.repeat(np.arange(-(-_ENTRIES // folds), dtype=np.uint64), folds)[:_ENTRIES]
        made = OversampledHist(hist.axis.Regular(bins, -3, 3), covariance=covariance)
        start = time.perf_counter()
        for first in range(0, _ENTRIES, _CHUNK):
            part = slice(first, first + _CHUNK)
            made.fill(values[part], gen_event=gen[part], weight=weight[part], oversample=folds)
        rate = _ENTRIES / (time.perf_counter() - start)
        what = f"{folds:4d} folds, {bins:5d} bins{', covariance' if covariance else ''}"
        print(f"{what}: {rate / 1e6:.1f} M entries/s")


if __name__ == "__main__":
    main()
