"""Identification of electrons, as NanoAOD defines it, from the attributes that it cuts on.

Working points are the public ones of Run 2 (identification "Fall17 V2", high-energy identification V7.0);
those of Run 3 are in `points.run3`, the same cuts with other numbers. On centrally produced files the cuts
recomputed here agree with the stored bits for 97 to 100 % of the electrons. Two of the cut variables, the
distance of seed cluster and track in eta and in phi, are not in NanoAOD; what is known of them is kept as two
classes, from 0 (far) to 5 (near).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.definitions.egamma import (
    GAP,
    STORED_ABOVE,
    TRACKER_END,
    by_region,
    count_passed,
    energy_shifts,
    in_barrel,
    raw_score,
    smeared,
)
from flashsim_prod.physics.events import Column

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: cut variables in the order of vidNestedWPBitmap, 3 bits each
_CUTS = ("pt", "eta", "trackEta", "trackPhi", "sieie", "hoe", "eop", "iso", "conversion", "hits")
#: bits of vidNestedWPBitmapHEEP that no stored attribute decides
HEEP_BITS = {"heepShape": 5, "heepCaloIso": 8, "ecalDriven": 11}
_ALL_HEEP = (1 << 12) - 1

#: barrel and endcap
Pair = tuple[float, float]
#: discriminator cuts c - z exp(-pt / tau) as (c, tau, z), below and above 10 GeV, in three rings of abs(eta)
Cuts = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class ElectronPoints:
    """Working points of a training.

    Attributes
    ----------
    sieie, hoe, eop, iso, hits : sequences of pairs
        Cuts in the barrel and in the endcaps: veto, loose, medium, tight.
    leakage : sequence of pairs
        What hoe is allowed beside, of each working point, over the cluster's energy [GeV].
    leakage_rho : pair
        The same for each GeV of energy density.
    soft : pair
        What iso is allowed beside, over pt [GeV].
    heep_class : mapping of name to pair
        First class of `track_class` that passes the high-energy cut.
    mva : mapping of kind to mapping of working point to cuts
    """

    sieie: Sequence[Pair]
    hoe: Sequence[Pair]
    leakage: Sequence[Pair]
    leakage_rho: Pair
    eop: Sequence[Pair]
    iso: Sequence[Pair]
    soft: Pair
    hits: Sequence[Pair]
    heep_class: Mapping[str, tuple[int, int]]
    mva: Mapping[str, Mapping[str, Cuts]]


#: barrel and endcap cuts: veto, loose, medium, tight
_SIEIE = [(0.0126, 0.0457), (0.0112, 0.0425), (0.0106, 0.0387), (0.0104, 0.0353)]
_HOE = [(0.05, 0.05), (0.05, 0.0441), (0.046, 0.0275), (0.026, 0.0188)]
_EOP = [(0.209, 0.132), (0.193, 0.111), (0.184, 0.0721), (0.159, 0.0197)]
_ISO = [(0.198, 0.203), (0.112, 0.108), (0.0478, 0.0658), (0.0287, 0.0445)]
_HITS = [(2.5, 3.5), (1.5, 1.5), (1.5, 1.5), (1.5, 1.5)]
#: distances to the track at which the classes begin: the four working points and the high-energy cut
TRACK_ETA = [
    (0.00463, 0.00814),
    (0.00400, 0.00674),
    (0.00377, 0.00632),
    (0.00320, 0.00600),
    (0.00255, 0.00501),
]
TRACK_PHI = [(0.148, 0.190), (0.0884, 0.169), (0.060, 0.060), (0.0547, 0.0394), (0.022, 0.0236)]
#: first class that passes the high-energy cut, in the barrel and in the endcaps
_HEEP_CLASS = {"trackEta": (2, 4), "trackPhi": (3, 3)}

#: where the rings of the discriminators begin
_RINGS = (0.8, 1.479)
_MVA: dict[str, dict[str, Cuts]] = {
    "noIso": {
        "WP80": (
            (3.26449620468, 3.32657149223, 8.84669783568),
            (2.83557838497, 2.15150487651, 11.0978016567),
            (2.91994945177, 1.69875477522, 24.024807824),
            (7.1336238874, 16.5605268797, 8.22531222391),
            (6.18638275782, 15.2694634284, 7.49764565324),
            (5.43175865738, 15.4290075949, 7.56899692285),
        ),
        "WP90": (
            (2.77072387339, 3.81500912145, 8.16304860178),
            (1.85602317813, 2.18697654938, 11.8568936824),
            (1.73489307814, 2.0163211971, 17.013880078),
            (5.9175992258, 13.4807294538, 9.31966232685),
            (5.01598837255, 13.1280451502, 8.79418193765),
            (4.16921343208, 13.2017224621, 9.00720913211),
        ),
        "WPL": tuple(
            (cut, 1.0, 0.0)
            for cut in (
                0.894411158628,
                0.791966464633,
                1.47104857173,
                -0.293962958665,
                -0.250424758584,
                -0.130985179031,
            )
        ),
    },
    "Iso": {
        "WP80": (
            (3.53495358797, 3.07272325141, 9.94262764352),
            (3.06015605623, 1.95572234114, 14.3091184421),
            (3.02052519639, 1.59784164742, 28.719380105),
            (7.35752275071, 15.87907864, 7.61288809226),
            (6.41811074032, 14.730562874, 6.96387331587),
            (5.64936312428, 16.3664949747, 7.19607610311),
        ),
        "WP90": (
            (2.84704783417, 3.32529515837, 9.38050947827),
            (2.03833922005, 1.93288758682, 15.364588247),
            (1.82704158461, 1.89796754399, 19.1236071158),
            (6.12931925263, 13.281753835, 8.71138432196),
            (5.26289004857, 13.2154971491, 8.0997882835),
            (4.37338792902, 14.0776094696, 8.48513324496),
        ),
        "WPL": tuple(
            (cut, 1.0, 0.0)
            for cut in (
                0.700642584415,
                0.739335420875,
                1.45390456109,
                -0.146270871164,
                -0.0315850882679,
                -0.0321841194737,
            )
        ),
    },
}

RUN2 = ElectronPoints(
    sieie=_SIEIE,
    hoe=_HOE,
    leakage=[(1.16, 2.54)] * 4,
    leakage_rho=(0.0324, 0.183),
    eop=_EOP,
    iso=_ISO,
    soft=(0.506, 0.963),
    hits=_HITS,
    heep_class=_HEEP_CLASS,
    mva=_MVA,
)


def track_class(distance: F64, barrel: NDArray[np.bool_], cuts: list[tuple[float, float]]) -> I64:
    """Class 0 to 5 of the distance between seed cluster and track; `cuts` is TRACK_ETA or TRACK_PHI."""
    return count_passed(distance, by_region(barrel, cuts))


def track_classes(electrons: Mapping[str, Column]) -> dict[str, I64]:
    """``trackEta`` and ``trackPhi``, the classes behind the stored bitmaps."""
    nested = electrons["vidNestedWPBitmap"].astype(np.int64)
    heep = electrons["vidNestedWPBitmapHEEP"].astype(np.int64)
    return {
        name: (nested >> 3 * _CUTS.index(name) & 7) + (heep >> bit & 1)
        for name, bit in (("trackEta", 2), ("trackPhi", 3))
    }


def heep_bits(electrons: Mapping[str, Column]) -> dict[str, NDArray[np.bool_]]:
    """The bits of the high-energy identification that no stored attribute decides."""
    bitmap = electrons["vidNestedWPBitmapHEEP"].astype(np.int64)
    return {name: (bitmap >> bit & 1).astype(bool) for name, bit in HEEP_BITS.items()}


def electron_flags(
    electrons: Mapping[str, Column], rho: Column, points: ElectronPoints = RUN2
) -> dict[str, Column]:
    """All identification flags and the energy shifts.

    Parameters
    ----------
    electrons : mapping
        Kinematics, charge, shower and track variables, isolations, scores and eCorr under their NanoAOD
        names; ``trackEta``, ``trackPhi`` and the names of `HEEP_BITS` besides.
    rho : array of shape (n,)
        fixedGridRhoFastjetAll of each electron's event [GeV].
    points : ElectronPoints
    """
    cluster_eta = electrons["eta"] + electrons["deltaEtaSC"]
    nested = _nested(electrons, cluster_eta, rho, points)
    bitmap = np.sum([level << 3 * place for place, level in enumerate(nested)], axis=0)
    heep = _heep(electrons, cluster_eta, rho, points)
    energy = electrons["pt"] * np.cosh(electrons["eta"].astype(np.float64))
    flags: dict[str, Column] = {
        "pdgId": -11 * electrons["charge"].astype(np.int32),
        "cutBased": np.min(nested, axis=0).astype(np.int32),
        "vidNestedWPBitmap": bitmap.astype(np.int32),
        "vidNestedWPBitmapHEEP": heep.astype(np.int32),
        "cutBased_HEEP": heep == _ALL_HEEP,
    }
    flags |= _mva_points(electrons, cluster_eta, points)
    moved = smeared(electrons["eCorr"], electrons["pt"])
    return flags | energy_shifts(energy, cluster_eta, electrons["r9"], moved)


def cluster_energy(electrons: Mapping[str, Column], cluster_eta: F64) -> F64:
    """Energy of the supercluster [GeV]."""
    return np.asarray(
        electrons["pt"] * (1.0 + electrons["scEtOverPt"]) * np.cosh(cluster_eta), dtype=np.float64
    )


def _nested(
    electrons: Mapping[str, Column], cluster_eta: F64, rho: Column, points: ElectronPoints
) -> list[I64]:
    """Tightest working point passed, 0 to 4, of each cut in the order of `_CUTS`."""
    barrel = in_barrel(cluster_eta)
    energy = np.maximum(cluster_energy(electrons, cluster_eta), 1e-3)
    pt = electrons["pt"].astype(np.float64)
    of_rho = np.where(barrel, *points.leakage_rho) * rho
    leakage = [(np.where(barrel, *one) + of_rho) / energy for one in points.leakage]
    hoe = [cut + more for cut, more in zip(by_region(barrel, points.hoe), leakage, strict=True)]
    soft = np.where(barrel, *points.soft) / pt
    passed = np.full(len(pt), 4, np.int64)
    return [
        passed,
        np.where(np.abs(cluster_eta) < TRACKER_END, 4, 0),
        electrons["trackEta"].astype(np.int64) - _passes_heep(electrons, "trackEta", barrel, points),
        electrons["trackPhi"].astype(np.int64) - _passes_heep(electrons, "trackPhi", barrel, points),
        count_passed(electrons["sieie"], by_region(barrel, points.sieie)),
        count_passed(electrons["hoe"], hoe),
        count_passed(np.abs(electrons["eInvMinusPInv"]), by_region(barrel, points.eop)),
        count_passed(electrons["pfRelIso03_all"], [cut + soft for cut in by_region(barrel, points.iso)]),
        4 * electrons["convVeto"].astype(np.int64),
        count_passed(electrons["lostHits"], by_region(barrel, points.hits)),
    ]


def _passes_heep(
    electrons: Mapping[str, Column], name: str, barrel: NDArray[np.bool_], points: ElectronPoints
) -> I64:
    inner, outer = points.heep_class[name]
    return np.asarray(electrons[name] >= np.where(barrel, inner, outer)).astype(np.int64)


def _heep(electrons: Mapping[str, Column], cluster_eta: F64, rho: Column, points: ElectronPoints) -> I64:
    """Bitmap of the high-energy identification.

    The isolation of tracks is stored above 35 GeV only; below, charged particles stand for it.
    """
    abs_eta, barrel = np.abs(cluster_eta), np.abs(cluster_eta) < GAP[0]
    energy = np.maximum(cluster_energy(electrons, cluster_eta), 1e-3)
    et = energy / np.cosh(cluster_eta)
    stored = electrons["pt"] > STORED_ABOVE
    calo = electrons["dr03EcalRecHitSumEt"] + electrons["dr03HcalDepth1TowerSumEt"]
    calo_cut = np.where(barrel, 2.0 + 0.03 * et, 2.5 + 0.03 * np.maximum(et - 50.0, 0.0)) + 0.28 * rho
    bits = [
        et > 35.0,
        barrel | ((abs_eta > GAP[1]) & (abs_eta < TRACKER_END)),
        _passes_heep(electrons, "trackEta", in_barrel(cluster_eta), points),
        _passes_heep(electrons, "trackPhi", in_barrel(cluster_eta), points),
        barrel | (electrons["sieie"] < 0.03),
        electrons["heepShape"],
        electrons["hoe"] < np.where(barrel, 1.0, 5.0) / energy + 0.05,
        np.where(stored, electrons["dr03TkSumPtHEEP"], electrons["pfRelIso03_chg"] * electrons["pt"]) < 5.0,
        np.where(stored, calo < calo_cut, electrons["heepCaloIso"]),
        np.abs(electrons["dxy"]) < np.where(barrel, 0.02, 0.05),
        electrons["lostHits"] <= 1,
        electrons["ecalDriven"],
    ]
    return np.asarray(np.sum([np.asarray(bit).astype(np.int64) << i for i, bit in enumerate(bits)], axis=0))


def _mva_points(
    electrons: Mapping[str, Column], cluster_eta: F64, points: ElectronPoints
) -> dict[str, Column]:
    pt = electrons["pt"].astype(np.float64)
    category = np.searchsorted(_RINGS, np.abs(cluster_eta)) + 3 * (pt >= 10.0)
    flags: dict[str, Column] = {}
    for kind, cuts in points.mva.items():
        score = raw_score(electrons[f"mvaFall17V2{kind}"])
        for point, parameters in cuts.items():
            cut, tau, size = np.array(parameters)[category].T
            flags[f"mvaFall17V2{kind}_{point}"] = score > cut - size * np.exp(-pt / tau)
    return flags
