"""Identification flags that follow from other attributes, as NanoAOD defines them.

Each rule here reproduces the flag of centrally produced files from the attributes in the same file (the
muons' exactly, the jets' for more than 99 % of them), so flags are computed and never drawn: whatever the
source of an object, its flags agree with its numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column

_PF_ISOLATION = (0.40, 0.25, 0.20, 0.15, 0.10, 0.05)
_TRACK_ISOLATION = (0.10, 0.05)
_SOFT_MVA = 0.58


def jet_id(jets: Collection) -> NDArray[np.int32]:
    """Identification bits: 2 tight, 4 tight with lepton veto (Run-2 Ultra-Legacy working points)."""
    abs_eta = np.abs(jets["eta"])
    charged, neutral, photon = jets["chHEF"], jets["neHEF"], jets["neEmEF"]
    within = (neutral < 0.90) & (photon < 0.90) & (jets["nConstituents"] > 1) & (charged > 0)
    edge = (neutral < 0.90) & (photon < 0.99) & (charged > 0)
    endcap = (photon > 0.01) & (photon < 0.99)
    forward = (neutral > 0.20) & (photon < 0.90) & (jets["nConstituents"] > 10)
    tight = np.select([abs_eta <= 2.6, abs_eta <= 2.7, abs_eta <= 3.0], [within, edge, endcap], forward)
    no_lepton = ((jets["muEF"] < 0.80) & (jets["chEmEF"] < 0.80)) | (abs_eta > 2.7)
    return (2 * tight + 4 * (tight & no_lepton)).astype(np.int32)


def muon_flags(muons: Collection) -> dict[str, Column]:
    """Working points of isolation, charge and soft discriminator, each from the attribute it cuts on."""
    close = (np.abs(muons["dxy"]) < 0.02) & (np.abs(muons["dz"]) < 0.1)
    return {
        "looseId": loose_muons(muons),
        "pfIsoId": count_below(muons["pfRelIso04_all"], _PF_ISOLATION),
        "tkIsoId": count_below(muons["tkRelIso"], _TRACK_ISOLATION),
        "softMvaId": muons["softMva"] > _SOFT_MVA,
        "mediumPromptId": muons["mediumId"].astype(bool) & close,
        "tightCharge": np.where(muons["ptErr"] < 0.2 * muons["pt"], 2, 0).astype(np.int32),
    }


def loose_muons(muons: Collection) -> NDArray[np.bool_]:
    """Particle-flow muons that are global or tracker muons."""
    kind = muons["isGlobal"].astype(bool) | muons["isTracker"].astype(bool)
    loose: NDArray[np.bool_] = muons["isPFcand"].astype(bool) & kind
    return loose


def count_below(value: Column, cuts: tuple[float, ...]) -> NDArray[np.uint8]:
    """How many of the falling thresholds `cuts` each value is below."""
    number: NDArray[np.uint8] = np.sum([value < cut for cut in cuts], axis=0).astype(np.uint8)
    return number
