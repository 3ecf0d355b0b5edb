"""Geometry and energy calibration that electrons and photons share.

Functions of attributes that NanoAOD stores, so that the reference detector, the chain and centrally produced
files can all be held against them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column

F64 = NDArray[np.float64]

#: distance of the calorimeter's inner face from the beam line (barrel) and from the centre (endcaps) [cm]
_BARREL_RADIUS, _ENDCAP_Z = 129.0, 317.0
#: where the endcap clusters begin, the gap between barrel and endcaps, and the end of the tracker
BARREL_END = 1.479
GAP = (1.4442, 1.566)
TRACKER_END = 2.5

#: isolations of electrons in the calorimeters and of their tracks are stored above this only [GeV]
STORED_ABOVE = 35.0
#: azimuth between a track at its vertex and its cluster, times pt [GeV]: the bending in 3.8 T
BENDING = 0.70

#: float32 keeps no discriminator nearer to one than this
_SATURATED = 6e-8

#: usual width of the smearing that simulated energies are given, for unconverted and for other clusters, in
#: the barrel and in the endcaps; chosen to resemble the Run-2 legacy calibration
_HIGH_R9 = 0.94
_SMEARING = np.array([[0.0090, 0.0130], [0.0180, 0.0230]])

#: relative uncertainty of that smearing, in rings of abs(eta) that begin at 0 and at these, for clusters
#: below and from an r9 on: the ratio of dEsigmaUp to what eCorr added, which in centrally produced files
#: takes just these values
_RINGS = (1.0, 1.2, 1.5, 2.0)
_UNCONVERTED = 0.96
_UNCERTAINTY = np.array(
    [
        [0.003985, 0.007274],
        [0.002804, 0.003640],
        [0.002434, 0.003100],
        [0.002535, 0.003417],
        [0.002742, 0.005303],
    ]
)
#: pt at which the track has half of an electron's energy [GeV], and how far smearing moves an energy at most
_TRACK_PT, _FARTHEST = 25.0, 0.06


def supercluster_eta(eta: Column, vertex_z: Column) -> F64:
    """Pseudorapidity of a cluster seen from the detector's centre.

    Parameters
    ----------
    eta : array of shape (n,)
        Pseudorapidity of the particle, seen from its vertex.
    vertex_z : array of shape (n,)
        Where it comes from along the beam [cm].
    """
    slope, z = np.sinh(eta.astype(np.float64)), vertex_z.astype(np.float64)
    barrel = np.arcsinh(slope + z / _BARREL_RADIUS)
    side = np.where(slope < 0, -1.0, 1.0)
    # far displaced vertices must not turn the direction around
    path = np.maximum(_ENDCAP_Z - side * z, 1.0)
    endcap = np.arcsinh(np.clip(_ENDCAP_Z * slope / path, -1e6, 1e6))
    return np.where(np.abs(barrel) < BARREL_END, barrel, endcap)


def in_barrel(cluster_eta: Column) -> NDArray[np.bool_]:
    """Whether clusters are in the barrel."""
    return np.asarray(np.abs(cluster_eta) < BARREL_END)


def smearing_width(cluster_eta: Column, r9: Column) -> F64:
    """Width of the relative smearing that simulated energies are given, shape (n,)."""
    return np.asarray(_SMEARING[(~in_barrel(cluster_eta)).astype(int), (r9 < _HIGH_R9).astype(int)])


def energy_shifts(energy: Column, cluster_eta: Column, r9: Column, correction: Column) -> dict[str, Column]:
    """``dEscaleUp`` and so on: the energy less that with scale or smearing one sigma away [GeV].

    The scale is that of data, which simulation is not shifted by: zero for all simulated objects.

    Parameters
    ----------
    energy : array of shape (n,)
        Calibrated [GeV].
    cluster_eta, r9 : arrays of shape (n,)
    correction : array of shape (n,)
        ``eCorr``: calibrated over uncalibrated energy. Its distance from one is the random number times the
        smearing's width, and scales with that width.
    """
    ring = np.searchsorted(_RINGS, np.abs(cluster_eta), side="right")
    uncertainty = _UNCERTAINTY[ring, (r9 >= _UNCONVERTED).astype(int)]
    ratio = np.maximum(correction.astype(np.float64), 0.1)
    smearing = uncertainty * energy / ratio * (ratio - 1.0)
    none = np.zeros(len(smearing))
    shifts = {"dEscaleUp": none, "dEscaleDown": none, "dEsigmaUp": -smearing, "dEsigmaDown": smearing}
    return {name: value.astype(np.float32) for name, value in shifts.items()}


def smeared(correction: Column, pt: Column) -> F64:
    """``eCorr`` of electrons as far as the smearing of the cluster's energy made it, for `energy_shifts`.

    The energy of an electron joins that of its cluster and the momentum of its track, which is the better one
    of soft electrons; and it may take another cluster's, which no smearing comes near.
    """
    moved = correction.astype(np.float64) - 1.0
    share = 1.2 / (1.0 + (_TRACK_PT / np.maximum(pt.astype(np.float64), 1.0)) ** 2)
    return np.asarray(1.0 + share * moved / (1.0 + (moved / _FARTHEST) ** 2))


def by_uncalibrated_pt(objects: Collection) -> Collection:
    """Electrons or photons in the order that NanoAOD has: by falling pt before the calibration."""
    before = objects["pt"].astype(np.float64) / np.maximum(objects["eCorr"].astype(np.float64), 0.1)
    ordered = objects.with_columns(before=before).sorted_by("before")
    return ordered.only(objects.columns)


def raw_score(score: Column) -> F64:
    """Discriminator before it is squeezed into (-1, 1) by tanh, finite where float32 reached the end."""
    limit = 1.0 - _SATURATED
    return np.asarray(np.arctanh(np.clip(score.astype(np.float64), -limit, limit)))


def count_passed(value: Column, cuts: list[F64]) -> NDArray[np.int64]:
    """How many of the cuts, each of shape (n,), each value is below."""
    return np.asarray(np.sum([value < cut for cut in cuts], axis=0), dtype=np.int64)


def by_region(barrel: NDArray[np.bool_], cuts: Sequence[tuple[float, float]]) -> list[F64]:
    """A cut for each object, of pairs for barrel and endcaps."""
    return [np.where(barrel, inner, outer) for inner, outer in cuts]
