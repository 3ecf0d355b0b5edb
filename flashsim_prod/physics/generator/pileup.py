"""Pileup and the beam spot: what an event generator does not know of a bunch crossing.

Each profile is a parametric shape that stands for a data-taking period; none is a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.events import Column

#: bunch crossings before and after the triggered one that CMS mixes in
_EARLY_CROSSINGS = 12
_LATE_CROSSINGS = 3
#: bins of |z| in which NanoAOD counts vertices for gpudensity [cm]
_Z_EDGES_CM = (0.0, 1.7, 2.6, 3.0, 3.5, 4.2, 5.2, 6.0, 7.5, 9.0, 12.0)
#: vertices this near to the event's own count for pudensity [cm]
_NEAR_CM = 0.1


@dataclass(frozen=True)
class PileupProfile:
    """Conditions of one data-taking period.

    Attributes
    ----------
    stands_for : str
    mean, width, low, high : float
        True interactions per crossing: a normal distribution cut to [low, high].
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


#: beam spots of 2016 and 2017 as in CMSSW's IOMC/EventVertexGenerators (Realistic25ns13TeV2016, Early2017)
_OF_2016 = PileupProfile(
    stands_for="simulation of 2016: 23 interactions in the mean",
    mean=23.0,
    width=7.5,
    low=3.0,
    high=60.0,
    beam_spot_cm=(0.0916, 0.1696, 0.93),
    spread_cm=(0.0010, 0.0010, 3.65),
    spread_ns=0.12,
)
PROFILES: dict[str, PileupProfile] = {
    "Run2_2016preVFP": _OF_2016,
    "Run2_2016postVFP": _OF_2016,
    "Run2_2017": PileupProfile(
        stands_for="simulation of 2017: 33 interactions in the mean, a broad distribution",
        mean=33.0,
        width=11.0,
        low=5.0,
        high=75.0,
        beam_spot_cm=(-0.0248, 0.0692, 0.82),
        spread_cm=(0.0008, 0.0008, 3.5),
        spread_ns=0.11,
    ),
    "Run2_2018": PileupProfile(
        stands_for="simulation of 2018: 32 interactions in the mean, a broad distribution",
        mean=32.0,
        width=11.0,
        low=5.0,
        high=75.0,
        beam_spot_cm=(0.0108, 0.0418, 0.04),
        spread_cm=(0.0005, 0.0005, 3.5),
        spread_ns=0.11,
    ),
    "Run3_2022": PileupProfile(
        stands_for="simulation of 2022: 37.5 interactions in the mean, narrower by luminosity levelling",
        mean=37.5,
        width=9.4,
        low=10.0,
        high=75.0,
        beam_spot_cm=(0.100, -0.015, 1.0),
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

    Parameters
    ----------
    profile : PileupProfile
    seed : int
        Of all streams, at least 0.
    """

    def __init__(self, profile: PileupProfile, seed: int) -> None:
        self._profile = profile
        streams = np.random.SeedSequence(seed).spawn(6)
        self._true, self._in_time, self._early, self._late, self._vertex, self._others = (
            np.random.Generator(np.random.Philox(stream)) for stream in streams
        )

    def draw(self, n: int) -> dict[str, Column]:
        """The next `n` events' ``Pileup_*`` and ``GenVtx_*``, each of shape (n,)."""
        vertices = self.draw_vertices(n)
        return {**self.draw_pileup(vertices["GenVtx_z"]), **vertices}

    def draw_pileup(
        self, z_cm: NDArray[np.float32], known: Mapping[str, Column] | None = None
    ) -> dict[str, Column]:
        """The ``Pileup_*`` of the next events, whose own vertices lie at `z_cm` [cm], shape (n,).

        Those that are `known` stay, and what is drawn goes with them.
        """
        known = known or {}
        true = known.get("Pileup_nTrueInt")
        true = self._draw_true(len(z_cm)) if true is None else np.maximum(true, 0).astype(np.float64)
        in_time = known.get("Pileup_nPU")
        in_time = self._in_time.poisson(true) if in_time is None else np.maximum(in_time, 0).astype(np.int64)
        near, per_mm = self._densities(in_time, z_cm.astype(np.float64))
        drawn = {
            # NanoAODv9 stores the integer part
            "Pileup_nTrueInt": np.floor(true).astype(np.float32),
            "Pileup_nPU": in_time.astype(np.int32),
            "Pileup_sumEOOT": self._early.poisson(true * _EARLY_CROSSINGS).astype(np.int32),
            "Pileup_sumLOOT": self._late.poisson(true * _LATE_CROSSINGS).astype(np.int32),
            "Pileup_pudensity": near.astype(np.float32),
            "Pileup_gpudensity": per_mm.astype(np.float32),
        }
        return {name: known.get(name, column) for name, column in drawn.items()}

    def draw_vertices(self, n: int) -> dict[str, NDArray[np.float32]]:
        """The ``GenVtx_*`` of the next `n` events, each of shape (n,) [cm, ns]."""
        profile = self._profile
        spread = np.array((*profile.spread_cm, profile.spread_ns))
        centre = np.array((*profile.beam_spot_cm, 0.0))
        drawn = (self._vertex.standard_normal((n, 4)) * spread + centre).astype(np.float32)
        return {f"GenVtx_{name}": drawn[:, axis].copy() for axis, name in enumerate(("x", "y", "z", "t0"))}

    def _draw_true(self, n: int) -> NDArray[np.float64]:
        from scipy.special import ndtr, ndtri

        profile = self._profile
        low, high = (ndtr((edge - profile.mean) / profile.width) for edge in (profile.low, profile.high))
        drawn = ndtri(low + (high - low) * self._true.random(n))
        return np.asarray(profile.mean + profile.width * drawn, dtype=np.float64)

    def _densities(
        self, in_time: NDArray[np.int64], z_cm: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pileup vertices near each event's own, and per millimetre in the same bin of abs(z)."""
        profile, edges = self._profile, np.array(_Z_EDGES_CM)
        event = np.repeat(np.arange(len(in_time)), in_time)
        others = self._others.standard_normal(len(event)) * profile.spread_cm[2] + profile.beam_spot_cm[2]
        near = np.bincount(event[np.abs(others - z_cm[event]) < _NEAR_CM], minlength=len(z_cm))
        # the last bin has no upper end, and its width is that of its nominal range
        bins, other_bins = (np.searchsorted(edges[1:-1], np.abs(z)) for z in (z_cm, others))
        same = np.bincount(event[other_bins == bins[event]], minlength=len(z_cm))
        return near, same / (20.0 * np.diff(edges)[bins])
