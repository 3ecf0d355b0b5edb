"""Vertices that follow from the number of vertices and the beam spot alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column

#: centre and width of the luminous region along the beam [cm], where the input does not say
BEAM_SPOT_Z = (1.0, 3.6)
#: vertices beside the main one that NanoAOD keeps
MOST_OTHER_VERTICES = 3


def other_vertices(scalars: Mapping[str, Column], normals: NDArray[np.float64]) -> Collection:
    """``OtherPV``: z of up to three further vertices, spread over the luminous region.

    Parameters
    ----------
    scalars : mapping
        With PV_npvs.
    normals : float64 array of shape (n_events, 3)
        Standard normal numbers.
    """
    counts = np.clip(scalars["PV_npvs"].astype(np.int64) - 1, 0, MOST_OTHER_VERTICES)
    centre, width = BEAM_SPOT_Z
    z = centre + width * normals
    drawn = np.arange(MOST_OTHER_VERTICES) < counts[:, None]
    return Collection(counts, {"z": z[drawn].astype(np.float32)})
