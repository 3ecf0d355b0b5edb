"""Tau attributes that follow from other attributes, as NanoAOD defines them.

Every rule here reproduces the column of centrally produced files from the other columns of the same file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Column

F64 = NDArray[np.float64]

#: working points of DeepTau 2017v2p1 (TAU-20-001, arXiv:2201.08458), each one bit, the loosest first
WORKING_POINTS = {
    "jet": (0.2599605, 0.4249705, 0.5983682, 0.7848675, 0.8834768, 0.9308689, 0.9573137, 0.9733927),
    "e": (0.0630386, 0.1686942, 0.3628130, 0.6815435, 0.8847544, 0.9675541, 0.9859251, 0.9928449),
    "mu": (0.1058354, 0.2158633, 0.5551894, 0.8754835),
}
#: decay modes of the older reconstruction: one charged hadron with up to two pi0s, or three
_OLD_DECAY_MODES = (0, 1, 2, 10)
#: share of the charged pileup energy taken for neutral pileup
_PILEUP_SHARE = 0.2

#: decay modes and, for all but the single track, centre and scale of the mass [GeV] that `decay_code` uses
_MODES = np.array([0, 1, 2, 5, 6, 10, 11])
_CENTRE = np.array([0.0, 0.77, 1.00, 0.65, 1.15, 1.13, 1.30])
_SCALE = np.array([1.0, 0.14, 0.15, 0.12, 0.17, 0.11, 0.11])
_PION_MASS = 0.13957
_LARGEST_LOGIT = 12.0
#: the leading track of a single-track tau without photons has all of its pt, or, by rounding, this much
ROUNDED_SHARE = 0.99951


def deep_tau_bits(score: NDArray[np.floating], against: str) -> NDArray[np.uint8]:
    """Bit mask of the working points that `score` passes, `against` ``jet``, ``e`` or ``mu``."""
    passed = np.searchsorted(np.array(WORKING_POINTS[against], np.float32), score.astype(np.float32))
    return ((1 << passed.astype(np.int64)) - 1).astype(np.uint8)


def raw_isolation(charged: F64, neutral: F64, pileup: F64) -> F64:
    """``rawIso`` [GeV]: charged isolation and what is neutral beyond pileup."""
    return np.asarray(charged + neutral_excess(neutral, pileup))


def neutral_excess(neutral: F64, pileup: F64) -> F64:
    """Neutral isolation beyond what pileup is expected to give [GeV]."""
    return np.asarray(np.maximum(neutral - _PILEUP_SHARE * pileup, 0.0))


def tau_flags(taus: Mapping[str, Column]) -> dict[str, Column]:
    """Working points of DeepTau and the old decay modes, from the columns of Tau."""
    bits: dict[str, Column] = {
        f"idDeepTau2017v2p1VS{name}": deep_tau_bits(taus[f"rawDeepTau2017v2p1VS{name}"], name)
        for name in WORKING_POINTS
    }
    return bits | {"idDecayModeOldDMs": np.isin(taus["decayMode"], _OLD_DECAY_MODES)}


def decay_code(mode: NDArray[np.integer], mass: F64, lead: F64) -> F64:
    """Decay mode and mass as one number that is distributed without holes, but for the single track.

    The integer part tells the mode, the fraction is a logistic function of the mass. A single track
    always has the mass of the pion; its fraction tells by what rounding `lead` is below one.
    """
    place = np.minimum(np.searchsorted(_MODES, mode), len(_MODES) - 1)
    logit = np.clip((mass - _CENTRE[place]) / _SCALE[place], -_LARGEST_LOGIT, _LARGEST_LOGIT)
    rounded = np.where(lead > 0.5 * (1.0 + ROUNDED_SHARE), 0.25, 0.75)
    return np.asarray(place + np.where(place == 0, rounded, 1.0 / (1.0 + np.exp(-logit))))


def decay_of_code(code: F64) -> tuple[NDArray[np.int64], F64, F64]:
    """Decay mode, mass [GeV] and the share of a single track without photons; undoes `decay_code`."""
    place = np.clip(np.floor(code), 0, len(_MODES) - 1).astype(np.int64)
    edge = 1.0 / (1.0 + np.exp(_LARGEST_LOGIT))
    fraction = np.clip(code - place, edge, 1.0 - edge)
    mass = _CENTRE[place] + _SCALE[place] * np.log(fraction / (1.0 - fraction))
    mass = np.where(place == 0, _PION_MASS, np.maximum(mass, 2.0 * _PION_MASS))
    return _MODES[place], mass, np.where(fraction < 0.5, 1.0, ROUNDED_SHARE)
