"""Identification in Run 3: the definitions of Run 2 with the public numbers of the trainings of Run 3.

Electrons and photons: CMSSW's identifications of Run 3 ("RunIIIWinter22" V1; in RecoEgamma, the modules
``cutBasedElectronID_Winter22_122X_V1``, ``mvaElectronID_RunIIIWinter22_iso_V1`` and ``_noIso_V1``,
``cutBasedPhotonID_RunIIIWinter22_122X_V1``, ``mvaPhotonID_Winter22_122X_V1``). Taus: DeepTau 2018v2p5
(RecoTauTag, ``tauIdWPsDefs``). Muons: the two points of the MVA of MUO-22-001 (arXiv:2310.03844), as of v15
(PhysicsTools/NanoAOD, ``muonMVAID`` of ``muons_cff``). They serve 2022 to 2024 alike. Models know these
scores under the names of those of Run 2 whose part they play; what is written has the names of Run 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flashsim_prod.physics.definitions.electrons import (
    Cuts,
    ElectronPoints,
    electron_flags,
    heep_bits,
    track_classes,
)
from flashsim_prod.physics.definitions.photons import PhotonPoints, photon_flags, photon_levels
from flashsim_prod.physics.events import Column


def _flat(*scores: float) -> Cuts:
    """Cuts that do not depend on pt, on scores as they are stored."""
    return tuple((float(np.arctanh(score)), 1.0, 0.0) for score in scores)


ELECTRONS = ElectronPoints(
    sieie=[(0.0117, 0.0298), (0.0107, 0.0275), (0.0103, 0.0272), (0.0101, 0.0270)],
    hoe=[(0.05, 0.05), (0.05, 0.05), (0.0241, 0.05), (0.02, 0.02)],
    leakage=[(1.28, 2.3), (1.28, 2.3), (1.28, 2.3), (1.16, 0.5)],
    leakage_rho=(0.0422, 0.262),
    eop=[(0.178, 0.137), (0.138, 0.127), (0.0966, 0.111), (0.023, 0.018)],
    iso=[(0.406, 0.342), (0.194, 0.184), (0.0837, 0.0741), (0.0388, 0.0544)],
    soft=(0.535, 0.519),
    hits=[(2.5, 3.5), (1.5, 1.5), (1.5, 1.5), (1.5, 1.5)],
    # nearer than all working points, in azimuth and in eta
    heep_class={"trackEta": (5, 5), "trackPhi": (5, 5)},
    mva={
        "noIso": {
            "WP80": _flat(0.980657830, 0.941364190, 0.897629680, 0.999782606, 0.999317795, 0.997120235),
            "WP90": _flat(0.877478482, 0.675530222, 0.419502025, 0.998116473, 0.992620634, 0.965536333),
        },
        "Iso": {
            "WP80": _flat(0.997765838, 0.993997106, 0.976275541, 0.999971337, 0.999915661, 0.999322889),
            "WP90": _flat(0.987098135, 0.957568078, 0.810797456, 0.999817634, 0.999369750, 0.992931358),
        },
    },
)

PHOTONS = PhotonPoints(
    order=("pt", "eta", "sieie", "hoeLevel", "charged", "photonLevel", "neutralLevel"),
    sieie=[(0.011452, 0.027674), (0.01001, 0.02687), (0.009993, 0.02687)],
    charged=[(1.8852, 1.6540), (0.93929, 0.97029), (0.31631, 0.29266)],
    mva={"WP80": (0.420473, 0.203451), "WP90": (0.0439603, -0.249526)},
)

#: each one bit, the loosest first
TAUS: Mapping[str, tuple[float, ...]] = {
    "jet": (0.4083, 0.6285, 0.8052, 0.9233, 0.9632, 0.9799, 0.9884, 0.9931),
    "e": (0.099, 0.2384, 0.4136, 0.688, 0.8704, 0.9669, 0.9882, 0.9951),
    "mu": (0.2949, 0.4746, 0.7454, 0.9172),
}

#: medium and tight
_MUON_MVA = (0.08, 0.20)


def electrons_again(electrons: Mapping[str, Column], rho: Column) -> dict[str, Column]:
    """Flags of Run 3 from electrons that have those of Run 2; `rho` of each electron's event [GeV]."""
    hidden = {**track_classes(electrons), **heep_bits(electrons)}
    return electron_flags({**electrons, **hidden}, rho, ELECTRONS)


def photons_again(photons: Mapping[str, Column], cluster_eta: np.ndarray) -> dict[str, Column]:
    """Flags of Run 3 from photons that have those of Run 2."""
    return photon_flags({**photons, **photon_levels(photons)}, cluster_eta, PHOTONS)


def in_order_of_run2(bitmap: Column) -> Column:
    """The levels of a photon's vidNestedWPBitmap of Run 3 in the places that they have in Run 2."""
    nested = bitmap.astype(np.int64)
    first, second = nested >> 4 & 3, nested >> 6 & 3
    fifth, sixth = nested >> 10 & 3, nested >> 12 & 3
    same = nested & 0b1100001111
    return same | second << 4 | first << 6 | sixth << 10 | fifth << 12


def muon_mva_points(score: Column) -> Column:
    """``mvaMuID_WP``: 1 medium, 2 tight."""
    return np.asarray(np.sum([score > cut for cut in _MUON_MVA], axis=0), np.uint8)
