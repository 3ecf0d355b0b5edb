"""Identification of photons, as NanoAOD defines it, from the attributes that it cuts on.

Working points are the public ones of Run 2 (identification "Fall17 V2"); those of Run 3 are in `points.run3`.
On centrally produced files the shower-width and charged-isolation cuts, the scores' working points, the
acceptance flags and the electron veto recomputed here agree with the stored ones for all photons. What
decides the other cuts is not in NanoAOD; their levels, 0 (fails) to 3 (tight), are attributes of their own
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.definitions.egamma import (
    GAP,
    TRACKER_END,
    by_region,
    count_passed,
    energy_shifts,
    in_barrel,
)
from flashsim_prod.physics.events import Collection, Column

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: places in vidNestedWPBitmap, 2 bits each, of the cuts that no stored attribute decides; those of Run 2
LEVELS = {"hoeLevel": 2, "neutralLevel": 5, "photonLevel": 6}


@dataclass(frozen=True)
class PhotonPoints:
    """Working points of a training.

    Attributes
    ----------
    order : tuple of str
        The cuts in the order of vidNestedWPBitmap, 2 bits each.
    sieie, charged : sequences of pairs
        Cuts in the barrel and in the endcaps: loose, medium, tight.
    mva : mapping of working point to pair
        Cuts of the score.
    """

    order: tuple[str, ...]
    sieie: Sequence[tuple[float, float]]
    charged: Sequence[tuple[float, float]]
    mva: Mapping[str, tuple[float, float]]


#: barrel and endcap cuts: loose, medium, tight
_SIEIE = [(0.0106, 0.0272), (0.01015, 0.0272), (0.00996, 0.0271)]
_CHARGED = [(1.694, 2.089), (1.141, 1.051), (0.650, 0.517)]
HOE = [(0.04596, 0.0590), (0.02197, 0.0326), (0.02148, 0.0321)]
RUN2 = PhotonPoints(
    order=("pt", "eta", "hoeLevel", "sieie", "charged", "neutralLevel", "photonLevel"),
    sieie=_SIEIE,
    charged=_CHARGED,
    mva={"WP80": (0.42, 0.14), "WP90": (-0.02, -0.26)},
)


def photon_levels(photons: Mapping[str, Column], points: PhotonPoints = RUN2) -> dict[str, I64]:
    """The levels that the stored bitmaps hold: those of `LEVELS`, and ``oldLevel`` of version Fall17 V1."""
    nested = photons["vidNestedWPBitmap"].astype(np.int64)
    old = photons["cutBased_Fall17V1Bitmap"].astype(np.int64)
    levels = {name: nested >> 2 * points.order.index(name) & 3 for name in LEVELS}
    return levels | {"oldLevel": (old & 1) + (old >> 1 & 1) + (old >> 2 & 1)}


def cut_level(photons: Mapping[str, Column], cluster_eta: F64) -> I64:
    """``cutBased``: the tightest working point that all cuts pass, 0 to 3."""
    return np.asarray(np.min(_nested(photons, cluster_eta, RUN2), axis=0))


def photon_flags(
    photons: Mapping[str, Column], cluster_eta: F64, points: PhotonPoints = RUN2
) -> dict[str, Column]:
    """All identification flags but the electron veto, and the energy shifts.

    Parameters
    ----------
    photons : mapping
        Kinematics, shower variables, isolations, scores and eCorr under their NanoAOD names; the levels that
        `photon_levels` names besides.
    cluster_eta : float64 array of shape (n,)
        Pseudorapidity of the supercluster.
    points : PhotonPoints
    """
    nested = _nested(photons, cluster_eta, points)
    abs_eta, barrel = np.abs(cluster_eta), in_barrel(cluster_eta)
    energy = photons["pt"] * np.cosh(photons["eta"].astype(np.float64))
    n = len(energy)
    flags: dict[str, Column] = {
        "charge": np.zeros(n, np.int32),
        "pdgId": np.full(n, 22, np.int32),
        "cutBased": np.min(nested, axis=0).astype(np.int32),
        "vidNestedWPBitmap": np.sum([one << 2 * i for i, one in enumerate(nested)], axis=0).astype(np.int32),
        "cutBased_Fall17V1Bitmap": ((1 << photons["oldLevel"].astype(np.int64)) - 1).astype(np.int32),
        "isScEtaEB": abs_eta < GAP[0],
        "isScEtaEE": (abs_eta > GAP[1]) & (abs_eta < TRACKER_END),
    }
    for point, (inner, outer) in points.mva.items():
        flags[f"mvaID_{point}"] = photons["mvaID"] > np.where(barrel, inner, outer)
    return flags | energy_shifts(energy, cluster_eta, photons["r9"], photons["eCorr"])


def calibrated(photons: Collection, cluster_eta: F64) -> Collection:
    """Photons with ``eCorr`` exactly one beyond the tracker, where none is calibrated, and with their mass.

    The mass is what rounding leaves of the square of a momentum in space and time. A photon's four-vector is
    found in double precision and scaled by ``eCorr``, component by component: the square is zero for one in
    seven, and negative for nearly half of the others.
    """
    correction = np.where(np.abs(cluster_eta) < TRACKER_END, photons["eCorr"].astype(np.float64), 1.0)
    pt, eta, phi = (photons[name].astype(np.float32).astype(np.float64) for name in ("pt", "eta", "phi"))
    raw = pt / correction
    spatial = (raw * np.cos(phi), raw * np.sin(phi), raw * np.sinh(eta))
    square = (raw * np.cosh(eta) * correction) ** 2
    for component in spatial:
        square = square - (component * correction) ** 2
    return photons.with_columns(eCorr=correction, mass=np.sign(square) * np.sqrt(np.abs(square)))


def _nested(photons: Mapping[str, Column], cluster_eta: F64, points: PhotonPoints) -> list[I64]:
    barrel = in_barrel(cluster_eta)
    charged = photons["pfRelIso03_chg"] * photons["pt"]
    passed = {
        "pt": np.full(len(charged), 3, np.int64),
        "eta": np.where(np.abs(cluster_eta) < TRACKER_END, 3, 0),
        "sieie": count_passed(photons["sieie"], by_region(barrel, points.sieie)),
        "charged": count_passed(charged, by_region(barrel, points.charged)),
        **{name: photons[name].astype(np.int64) for name in LEVELS},
    }
    return [passed[name] for name in points.order]
