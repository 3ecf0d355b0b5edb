"""Photons radiated by muons: which NanoAOD keeps, and the links between them and their muons.

The selection is that of NanoAODv9's FsrPhoton table: a particle-flow photon above 2 GeV that is close to a
muon for its transverse energy, dR / ET^2 < 0.05 / GeV^2, and not surrounded by much else. The same functions
serve the reference detector and the chain.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.events import Collection

#: muons and photons that are looked at [GeV], and how far apart they may be
MIN_MUON_PT = 20.0
MAX_ETA = 2.4
MIN_PT = 2.0
MAX_DR = 0.5
#: [1/GeV^2]
MAX_DR_OVER_ET2 = 0.05
MAX_RELATIVE_ISOLATION = 2.0


def may_radiate(muons: Collection) -> links.Bools:
    """Muons that photons are looked for around, shape (n_muons,)."""
    return np.asarray((muons["pt"] >= MIN_MUON_PT) & (np.abs(muons["eta"]) < MAX_ETA))


def nearest_muon(photons: Collection, muons: Collection) -> tuple[links.Positions, links.Floats]:
    """Flat position of the nearest muon that may have radiated each photon (-1: none), and its distance."""
    where = np.flatnonzero(may_radiate(muons))
    position, distance = links.nearest(photons, muons.select(may_radiate(muons)), MAX_DR)
    return links.linked_value(where, position, -1), distance


def select_photons(photons: Collection, muons: Collection) -> Collection:
    """The photons that NanoAOD keeps, by falling pt, with ``dROverEt2`` and ``muonIdx``.

    Parameters
    ----------
    photons : Collection
        With pt, eta, phi and relIso03.
    muons : Collection
        In their final order.
    """
    muon, distance = nearest_muon(photons, muons)
    pt = photons["pt"].astype(np.float64)
    with np.errstate(invalid="ignore"):
        closeness = distance / np.maximum(pt, 1e-3) ** 2
    kept = (muon >= 0) & (closeness < MAX_DR_OVER_ET2) & (photons["relIso03"] < MAX_RELATIVE_ISOLATION)
    kept &= (pt > MIN_PT) & (np.abs(photons["eta"]) < MAX_ETA)
    photons = photons.with_columns(dROverEt2=closeness, muonIdx=links.local(muon, muons))
    return photons.select(kept).sorted_by("pt")


def photon_of_muon(photons: Collection, muons: Collection) -> links.Positions:
    """Flat position of the photon of each muon: of its photons the one of least dR / ET^2; -1 for none."""
    muon = links.flat(photons["muonIdx"], photons, muons)
    order = np.lexsort((photons["dROverEt2"], muon))
    order = order[muon[order] >= 0]
    first = order[np.flatnonzero(np.diff(muon[order], prepend=-1))]
    position = np.full(muons.n_objects, -1, np.int64)
    position[muon[first]] = first
    return position


def with_fsr_photons(muons: Collection, photons: Collection) -> Collection:
    """Muons with fsrPhotonIdx."""
    return muons.with_columns(fsrPhotonIdx=links.local(photon_of_muon(photons, muons), photons))
