"""How the networks see an electron: attributes that hang together, made independent of each other.

What follows from other attributes is left out and computed; what nearly follows is expressed against them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.forms import AsFloats, as_drawn
from flashsim_prod.physics.chain.model import Rows, Target, wrap_angle
from flashsim_prod.physics.definitions.egamma import (
    STORED_ABOVE,
    in_barrel,
    raw_score,
    smearing_width,
    supercluster_eta,
)
from flashsim_prod.physics.definitions.electrons import HEEP_BITS, cluster_energy, heep_bits, track_classes
from flashsim_prod.physics.definitions.jet_surroundings import lepton_aware_pt
from flashsim_prod.physics.events import Column

F64 = NDArray[np.float64]

#: usual shower width in the barrel and in the endcaps
SHOWER_WIDTH = (0.0092, 0.0245)

#: no track begins outside of the tracker: its radius, and half of its length [cm]
TRACKER = (110.0, 280.0)

#: drawn as they are stored
_AS_STORED = ("scEtOverPt", "r9", "hoe", "mvaTTH", "jetNDauCharged")
_WHOLE = ("lostHits", "tightCharge", "seedGain", "convVeto", "isPFcand")
_CLASSES = ("trackEta", "trackPhi", *HEEP_BITS)
_KINEMATICS = ("pt", "eta", "phi", "charge")
_EXPRESSED = (
    "mass",
    "energyErr",
    "eOverP",
    "clusterEta",
    "sieie",
    "dxy",
    "dxyErr",
    "dz",
    "dzErr",
    "ip3d",
    "sip3d",
    "charged",
    "neutral",
    "miniCharged",
    "miniNeutral",
    "trackIso",
    "heepIso",
    "ecalIso",
    "hcalIso",
    "jetRelIso",
    "jetPtRelv2",
    "mvaNoIso",
    "mvaIso",
    "eCorr",
)

TARGETS = tuple(Target(name) for name in (*_KINEMATICS, *_EXPRESSED, *_AS_STORED, *_WHOLE, *_CLASSES))


def express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    """Targets from NanoAOD attributes; undone by `assemble`.

    Rows have pt, eta, phi and charge to hold the electron's against, vertex_z and vertex_shift, and the jet
    around (jet_pt, jet_raw).
    """
    a = AsFloats(attributes)
    found: dict[str, Column] = {name: attributes[name] for name in (*_AS_STORED, *_WHOLE)}
    found |= track_classes(attributes) | heep_bits(attributes)
    found |= {
        "pt": a["pt"] / rows["pt"],
        "eta": a["eta"] - rows["eta"],
        "phi": wrap_angle(a["phi"] - rows["phi"]),
        "charge": (attributes["charge"] * rows["charge"]).astype(np.int32),
    }
    cluster_eta = a["eta"] + a["deltaEtaSC"]
    energy = a["pt"] * np.cosh(a["eta"])
    found |= {
        "mass": a["mass"] / energy,
        "energyErr": a["energyErr"] / energy,
        "eOverP": a["eInvMinusPInv"] * cluster_energy(a, cluster_eta),
        "clusterEta": cluster_eta - supercluster_eta(a["eta"], rows["vertex_z"] + a["dz"]),
        "sieie": a["sieie"] / shower_width(cluster_eta),
        "eCorr": (a["eCorr"] - 1.0) / smearing_width(cluster_eta, a["r9"]),
        "mvaNoIso": raw_score(a["mvaFall17V2noIso"]),
        "mvaIso": raw_score(a["mvaFall17V2Iso"]) - raw_score(a["mvaFall17V2noIso"]),
    }
    return found | _express_track(a, rows) | _express_isolation(a, found, rows)


def assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    """NanoAOD attributes from targets, and the names that only the identification needs."""
    made = as_drawn(drawn, (*_AS_STORED, *_WHOLE)) | {name: drawn[name] for name in _CLASSES}
    made |= {
        "pt": drawn["pt"] * rows["pt"],
        "eta": drawn["eta"] + rows["eta"],
        "phi": wrap_angle(drawn["phi"] + rows["phi"]),
        "charge": drawn["charge"] * rows["charge"],
    }
    made |= _assemble_track(drawn, made, rows)
    cluster_eta = supercluster_eta(made["eta"], rows["vertex_z"] + made["dz"]) + drawn["clusterEta"]
    energy = made["pt"] * np.cosh(made["eta"])
    made |= {
        "mass": drawn["mass"] * energy,
        "energyErr": drawn["energyErr"] * energy,
        "eInvMinusPInv": drawn["eOverP"] / np.maximum(cluster_energy(made, cluster_eta), 1e-3),
        "deltaEtaSC": cluster_eta - made["eta"],
        "sieie": drawn["sieie"] * shower_width(cluster_eta),
        "eCorr": 1.0 + drawn["eCorr"] * smearing_width(cluster_eta, made["r9"]),
        "mvaFall17V2noIso": np.tanh(drawn["mvaNoIso"]),
        "mvaFall17V2Iso": np.tanh(drawn["mvaNoIso"] + drawn["mvaIso"]),
    }
    return made | _assemble_isolation(drawn, made, rows)


def shower_width(cluster_eta: F64) -> F64:
    """The usual sieie of an electron or photon there."""
    return np.where(in_barrel(cluster_eta), *SHOWER_WIDTH)


def _express_track(a: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    ip3d, sip3d = _impact(a)
    return {
        "dxy": a["dxy"] / np.maximum(a["dxyErr"], 1e-6),
        "dxyErr": a["dxyErr"],
        "dz": (a["dz"] + rows["vertex_shift"]) / np.maximum(a["dzErr"], 1e-6),
        "dzErr": a["dzErr"] / np.maximum(a["dxyErr"], 1e-6),
        "ip3d": a["ip3d"] / ip3d,
        "sip3d": a["sip3d"] / sip3d,
    }


def _assemble_track(drawn: Mapping[str, F64], made: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    dz_err = drawn["dzErr"] * drawn["dxyErr"]
    track = {
        "eta": made["eta"],
        "dxy": np.clip(drawn["dxy"] * drawn["dxyErr"], -TRACKER[0], TRACKER[0]),
        "dxyErr": drawn["dxyErr"],
        "dz": np.clip(drawn["dz"] * dz_err - rows["vertex_shift"], -TRACKER[1], TRACKER[1]),
        "dzErr": dz_err,
    }
    ip3d, sip3d = _impact(track)
    return track | {"ip3d": drawn["ip3d"] * ip3d, "sip3d": drawn["sip3d"] * sip3d}


def _impact(a: Mapping[str, Column]) -> tuple[F64, F64]:
    """Impact parameter in space and its significance, from the two projections."""
    slope = np.cosh(a["eta"])
    along, along_err = a["dz"] / slope, a["dzErr"] / slope
    ip3d = np.maximum(np.hypot(a["dxy"], along), 1e-5)
    error = np.hypot(a["dxy"] * a["dxyErr"], along * along_err) / ip3d
    return ip3d, ip3d / np.maximum(error, 1e-6)


def _express_isolation(a: Mapping[str, F64], found: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    pt, charged = a["pt"], a["pfRelIso03_chg"] * a["pt"]
    stored, any_charged = pt > STORED_ABOVE, charged > 0
    share = a["miniPFRelIso_chg"] * pt / np.where(any_charged, charged, 1.0)
    track = a["dr03TkSumPt"] / np.where(any_charged, charged, 1.0)
    typical = _typical(len(pt))
    isolated_jet = 1.0 + a["jetRelIso"] - a["pfRelIso03_all"]
    in_jet = (1.0 + a["jetRelIso"]) * pt / lepton_aware_pt(pt, rows["jet_pt"], rows["jet_raw"])
    return {
        "charged": charged,
        "neutral": (a["pfRelIso03_all"] - a["pfRelIso03_chg"]) * pt,
        "miniCharged": np.where(any_charged, share, typical["miniCharged"]),
        "miniNeutral": (a["miniPFRelIso_all"] - a["miniPFRelIso_chg"]) * pt,
        "trackIso": np.where(stored & any_charged, track, typical["trackIso"]),
        "heepIso": np.where(stored, a["dr03TkSumPtHEEP"] - a["dr03TkSumPt"], typical["heepIso"]),
        "ecalIso": np.where(stored, a["dr03EcalRecHitSumEt"], typical["ecalIso"]),
        "hcalIso": np.where(stored, a["dr03HcalDepth1TowerSumEt"], typical["hcalIso"]),
        "jetRelIso": np.where(rows["jet_pt"] > 0, in_jet, isolated_jet),
        "jetPtRelv2": a["jetPtRelv2"] / pt,
        # above the threshold this follows from the isolations themselves
        "heepCaloIso": np.where(~stored, found["heepCaloIso"], typical["heepCaloIso"]),
    }


def _typical(n: int) -> dict[str, F64]:
    """What stands for isolations that are not stored, or follow from others: always the same numbers.

    So networks learn no edge at the threshold, nor which sample an electron is from; what they draw there is
    dropped.
    """
    rng = np.random.default_rng(0)
    ecal = rng.gamma(2.0, 0.9, n)
    return {
        "miniCharged": np.clip(rng.uniform(-1.2, 1.8, n), 0.0, 1.0),
        "trackIso": np.exp(rng.normal(0.0, 0.1, n)),
        "heepIso": np.where(rng.random(n) < 0.04, rng.exponential(1.5, n), 0.0),
        "ecalIso": np.where(ecal < 0.3, 0.0, ecal),
        "hcalIso": np.maximum(rng.normal(0.6, 1.3, n), 0.0),
        "heepCaloIso": (rng.random(n) < 0.97).astype(np.float64),
    }


def _assemble_isolation(
    drawn: Mapping[str, F64], made: Mapping[str, Column], rows: Rows
) -> dict[str, Column]:
    pt, track = made["pt"], drawn["trackIso"] * drawn["charged"]
    stored = pt > STORED_ABOVE
    charged, mini = drawn["charged"] / pt, drawn["charged"] * drawn["miniCharged"] / pt
    everything = charged + np.maximum(drawn["neutral"], 0.0) / pt
    in_jet = drawn["jetRelIso"] * lepton_aware_pt(pt, rows["jet_pt"], rows["jet_raw"]) / pt - 1.0
    return {
        "pfRelIso03_chg": charged,
        "pfRelIso03_all": everything,
        "miniPFRelIso_chg": mini,
        "miniPFRelIso_all": mini + np.maximum(drawn["miniNeutral"], 0.0) / pt,
        "dr03TkSumPt": np.where(stored, track, 0.0),
        "dr03TkSumPtHEEP": np.where(stored, np.maximum(track + drawn["heepIso"], 0.0), 0.0),
        "dr03EcalRecHitSumEt": np.where(stored, drawn["ecalIso"], 0.0),
        "dr03HcalDepth1TowerSumEt": np.where(stored, drawn["hcalIso"], 0.0),
        "jetRelIso": np.where(rows["jet_pt"] > 0, in_jet, drawn["jetRelIso"] - 1.0 + everything),
        "jetPtRelv2": drawn["jetPtRelv2"] * pt,
    }
