"""Values that an attribute lacks where it is not defined, filled in for the flow.

Where an attribute is defined often follows from others exactly. A model then computes that, and the flow
learns the attribute as if it were defined everywhere: one smooth distribution without a spike whose
probability jumps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Column

#: with fewer values to learn from, no trend is fitted
_FEWEST = 10


def filled(values: Column, defined: NDArray[np.bool_], along: Column) -> NDArray[np.float64]:
    """`values` with those that are not `defined` replaced by plausible ones.

    Parameters
    ----------
    values, along : arrays of shape (n,)
        `along` is defined everywhere; the trend of `values` along it is kept.
    defined : bool array of shape (n,)

    Returns
    -------
    float64 array of shape (n,)
        A fill is the trend, a straight line, plus the residual of a defined value chosen by chance (always
        the same for the same input), within the range of the defined values.
    """
    result = values.astype(np.float64)
    known, missing = np.flatnonzero(defined), np.flatnonzero(~defined)
    if not len(known):
        result[missing] = 0.0
        return result
    x, y = along[known].astype(np.float64), result[known]
    slope = np.cov(x, y)[0, 1] / x.var(ddof=1) if len(known) >= _FEWEST and np.ptp(x) > 0 else 0.0
    lender = np.random.default_rng(0).integers(0, len(known), len(missing))
    trend = slope * (along[missing].astype(np.float64) - x[lender])
    result[missing] = np.clip(y[lender] + trend, y.min(), y.max())
    return result
