"""Data-taking periods of Run-2 Ultra Legacy, and what NanoAODv9 defines differently in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError

Cuts = NDArray[np.float64]

#: what all is made for where nothing else is said
DEFAULT = "UL18"

#: Working points of the pileup score, named loose, medium and tight in CMSSW
#: (RecoJets/JetProducers/python/PileupJetIDCutParams_cfi.py, ``full_106x_UL18_chs_wp`` and ``_UL16_``): rows
#: pt < 20, 30, 40 GeV and above; columns abs(eta) < 2.5, 2.75, 3, 5
_OF_2018: tuple[Cuts, Cuts, Cuts] = (
    np.array(
        [
            [-0.95, -0.72, -0.68, -0.47],
            [-0.88, -0.55, -0.60, -0.43],
            [-0.63, -0.18, -0.43, -0.24],
            [-0.19, 0.22, -0.13, -0.03],
        ]
    ),
    np.array(
        [
            [0.26, -0.33, -0.54, -0.37],
            [0.68, -0.04, -0.43, -0.30],
            [0.90, 0.36, -0.16, -0.09],
            [0.96, 0.61, 0.14, 0.12],
        ]
    ),
    np.array(
        [
            [0.77, 0.38, -0.31, -0.21],
            [0.90, 0.60, -0.12, -0.13],
            [0.96, 0.82, 0.20, 0.09],
            [0.98, 0.92, 0.47, 0.29],
        ]
    ),
)
#: in 2016 CMSSW calls the loosest tight and the tightest loose, and so does NanoAODv9: 1, 3, 7 are nested
_OF_2016: tuple[Cuts, Cuts, Cuts] = (
    np.array(
        [
            [0.71, -0.32, -0.30, -0.22],
            [0.87, -0.08, -0.16, -0.12],
            [0.94, 0.24, 0.05, 0.10],
            [0.97, 0.48, 0.26, 0.29],
        ]
    ),
    np.array(
        [
            [0.20, -0.56, -0.43, -0.38],
            [0.62, -0.39, -0.32, -0.29],
            [0.86, -0.10, -0.15, -0.08],
            [0.93, 0.19, 0.04, 0.12],
        ]
    ),
    np.array(
        [
            [-0.95, -0.70, -0.52, -0.49],
            [-0.90, -0.57, -0.43, -0.42],
            [-0.71, -0.36, -0.29, -0.23],
            [-0.42, -0.09, -0.14, -0.02],
        ]
    ),
)


@dataclass(frozen=True)
class Era:
    """What is defined for one period.

    Attributes
    ----------
    pileup_id : tuple of arrays of shape (4, 4)
        Cuts of the bits 4, 2 and 1.
    """

    pileup_id: tuple[Cuts, Cuts, Cuts]


ERAS = {
    "UL16preVFP": Era(_OF_2016),
    "UL16postVFP": Era(_OF_2016),
    "UL17": Era(_OF_2018),
    "UL18": Era(_OF_2018),
}


def find_era(name: str) -> Era:
    """The period `name`; `ConfigError` if it is not known."""
    if name not in ERAS:
        raise ConfigError(f"unknown era '{name}'{nearest(name, list(ERAS))}")
    return ERAS[name]
