"""Pileup and the beam spot: what the generator does not know of a bunch crossing.

Each profile is a parametric shape that stands for a data-taking period; none is a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.events import Column

#: bunch crossings before and after that CMS's mixing adds
_EARLY_CROSSINGS = 12
_LATE_CROSSINGS = 3


@dataclass(frozen=True)
class PileupProfile:
    """True interactions per crossing: a normal distribution, cut to a range and flattened at will.

    Attributes
    ----------
    mean, width : of the normal distribution of nTrueInt
    low, high : nTrueInt lies within
    beam_spot_cm : mean x, y, z of the collisions [cm]
    spread_cm : their standard deviation in x, y, z [cm]
    spread_ns : and in time [ns]
    """

    stands_for: str
    mean: float
    width: float
    low: float
    high: float
    beam_spot_cm: tuple[float, float, float]
    spread_cm: tuple[float, float, float]
    spread_ns: float


PROFILES: dict[str, PileupProfile] = {
    "Run2_2018": PileupProfile(
        stands_for="2018 pp data: mean 32 interactions",
        mean=32.0,
        width=11.0,
        low=5.0,
        high=75.0,
        beam_spot_cm=(0.0108, -0.0412, 0.20),
        spread_cm=(0.0009, 0.0009, 3.5),
        spread_ns=0.12,
    ),
    "Run3_2022": PileupProfile(
        stands_for="2022 pp data: mean 38 interactions, levelled luminosity",
        mean=38.0,
        width=9.5,
        low=10.0,
        high=75.0,
        beam_spot_cm=(0.1000, -0.0150, 1.0),
        spread_cm=(0.0011, 0.0011, 3.7),
        spread_ns=0.13,
    ),
}


def find_profile(name: str) -> PileupProfile:
    """The profile `name`; `ConfigError` if there is none."""
    if name not in PROFILES:
        raise ConfigError(f"unknown pileup profile '{name}'{nearest(name, list(PROFILES))}")
    return PROFILES[name]


class PileupDraws:
    """A job's sequence of pileup conditions and vertices.

    Every quantity has its own stream, read in the order of the events: how many are drawn at a time
    changes nothing.
    """

    def __init__(self, profile: PileupProfile, seed: int) -> None:
        self._profile = profile
        streams = np.random.SeedSequence(seed).spawn(7)
        self._true, self._in_time, self._early, self._late, self._near, self._rank, self._vertex = (
            np.random.Generator(np.random.Philox(stream)) for stream in streams
        )

    def draw(self, n: int) -> dict[str, Column]:
        """The next `n` events' ``Pileup_*`` and ``GenVtx_*``, each of shape (n,)."""
        vertex = self._draw_vertices(n)
        return {**self._draw_pileup(n, vertex["GenVtx_z"]), **vertex}

    def _draw_pileup(self, n: int, z: NDArray[np.generic]) -> dict[str, Column]:
        from scipy.stats import truncnorm

        profile = self._profile
        low, high = ((edge - profile.mean) / profile.width for edge in (profile.low, profile.high))
        true = truncnorm.ppf(self._true.random(n), low, high, loc=profile.mean, scale=profile.width)
        in_time = self._in_time.poisson(true)
        early = self._early.poisson(true * _EARLY_CROSSINGS)
        late = self._late.poisson(true * _LATE_CROSSINGS)
        # vertices per millimetre at this z: those within one millimetre to either side ...
        height = _normal_density_per_mm(z.astype(np.float64), profile)
        density = self._near.poisson(in_time * height * 2.0)
        # ... and, in gpudensity, among the 17 neighbouring millimetres to either side
        wide = self._rank.poisson(in_time * height * 34.0) / 34.0
        return {
            "Pileup_nTrueInt": true.astype(np.float32),
            "Pileup_nPU": in_time.astype(np.int32),
            "Pileup_sumEOOT": early.astype(np.int32),
            "Pileup_sumLOOT": late.astype(np.int32),
            "Pileup_pudensity": density.astype(np.float32),
            "Pileup_gpudensity": wide.astype(np.float32),
        }

    def _draw_vertices(self, n: int) -> dict[str, Column]:
        profile = self._profile
        spread = np.array((*profile.spread_cm, profile.spread_ns))
        centre = np.array((*profile.beam_spot_cm, 0.0))
        drawn = (self._vertex.standard_normal((n, 4)) * spread + centre).astype(np.float32)
        return {f"GenVtx_{name}": drawn[:, axis].copy() for axis, name in enumerate(("x", "y", "z", "t0"))}


def _normal_density_per_mm(z_cm: NDArray[np.float64], profile: PileupProfile) -> NDArray[np.float64]:
    """Probability per millimetre that a vertex lies at `z_cm`."""
    width_mm = profile.spread_cm[2] * 10.0
    pull = (z_cm - profile.beam_spot_cm[2]) / profile.spread_cm[2]
    return np.asarray(np.exp(-0.5 * pull**2) / (width_mm * np.sqrt(2 * np.pi)))
