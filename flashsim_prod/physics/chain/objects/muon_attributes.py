"""What the flow of muons draws instead of attributes that are tied to each other, and back.

Isolations are nested sums of energy: the flow draws what each adds to the one within it, in GeV. Flags are
drawn only where the attributes that they require leave them open. Where the impact parameters are known, the
three-dimensional one follows, and of its significance only what their errors do not explain is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flashsim_prod.physics.chain.forms import F64, Bools, filled
from flashsim_prod.physics.chain.model import Rows
from flashsim_prod.physics.events import Column
from flashsim_prod.physics.identification import impact_3d

#: drawn as they are
_FREE = (
    "dxy",
    "dxyErr",
    "dzErr",
    "dz",
    "segmentComp",
    "tunepRelPt",
    "mvaLowPt",
    "mvaTTH",
    "nStations",
    "nTrackerLayers",
    "highPurity",
    "inTimeMuon",
    "isGlobal",
    "isPFcand",
    "isTracker",
    "jetNDauCharged",
    "mvaId",
    "mvaLowPtId",
    "puppiIsoId",
)
#: name drawn: the sum of energy [GeV], and the sum within it
_RINGS = {
    "miniCharged": ("miniPFRelIso_chg", None),
    "miniNeutral": ("miniPFRelIso_all", "miniPFRelIso_chg"),
    "ringCharged": ("pfRelIso03_chg", "miniPFRelIso_chg"),
    "coneNeutral": ("pfRelIso03_all", "pfRelIso03_chg"),
    "ringAll": ("pfRelIso04_all", "pfRelIso03_all"),
}
#: drawn as if nothing were required of them
_FLAGS = ("isStandalone", "mediumId", "tightId", "softId", "highPtId", "triggerIdLoose")

#: attributes that `Relation` covers stand beside these in the declaration
TARGETS = (
    *(name for name in _FREE if name != "dz"),
    *_RINGS,
    *_FLAGS,
    "ptErrShare",
    "beamSpotShift",
    "impactErrorRatio",
    "trackExcess",
    "softMva",
    "jetShare",
    "jetPtRelShare",
)

#: energy [GeV] that tracks beyond those of particle flow are compared with where there are none
_SOFT = 0.5


def express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    """Columns that the flow learns, some of which are attributes."""
    a = {name: column.astype(np.float64) for name, column in attributes.items()}
    found = {name: attributes[name] for name in (*_FREE, "pt", "eta", "phi", "charge")}
    for ring, (name, within) in _RINGS.items():
        found[ring] = (a[name] - (a[within] if within else 0.0)) * a["pt"]
    charged = a["pfRelIso03_chg"] * a["pt"]
    in_jet = a["jetNDauCharged"] > 0
    around = in_jet & (rows["recojet_pt"] > 0)
    jet_pt = np.where(around, rows["recojet_pt"], 1.0)
    found |= {
        "ptErrShare": a["ptErr"] / a["pt"],
        "beamSpotShift": a["dxybs"] - a["dxy"],
        "impactErrorRatio": a["ip3d"] / np.maximum(a["sip3d"], 1e-6) / _impact_error(a),
        "trackExcess": (a["tkRelIso"] * a["pt"] - charged) / (charged + _SOFT),
        "softMva": filled(attributes["softMva"], _has_soft_mva(a)),
        "jetShare": filled((1.0 + a["jetRelIso"]) * a["pt"] / jet_pt, around),
        "jetPtRelShare": filled(a["jetPtRelv2"] / a["pt"], in_jet),
    }
    required = _required(a)
    passed = {name: a[name] > 0 for name in _FLAGS}
    passed["triggerIdLoose"] = np.where(passed["softId"], True, passed["triggerIdLoose"])
    return found | {name: filled(passed[name], required[name]) for name in _FLAGS}


def assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    """All attributes of muons but those that are matched or are cuts on others."""
    pt = np.maximum(drawn["pt"], 1e-3)
    made: dict[str, Column] = {name: drawn[name] for name in (*_FREE, "pt", "eta", "phi", "charge")}
    for ring, (name, within) in _RINGS.items():
        made[name] = np.maximum(drawn[ring] / pt + (made[within] if within else 0.0), 0.0)
    charged = made["pfRelIso03_chg"] * pt
    made |= {
        "ptErr": drawn["ptErrShare"] * pt,
        "dxybs": drawn["dxy"] + drawn["beamSpotShift"],
        "ip3d": impact_3d(drawn["dxy"], drawn["dz"], drawn["eta"]),
        "tkRelIso": np.maximum(charged + drawn["trackExcess"] * (charged + _SOFT), 0.0) / pt,
    }
    made["sip3d"] = made["ip3d"] / (_impact_error(made) * drawn["impactErrorRatio"])
    made["softMva"] = np.where(_has_soft_mva(made), drawn["softMva"], -1.0)
    in_jet = made["jetNDauCharged"] > 0
    relative = drawn["jetShare"] * rows["recojet_pt"] / pt - 1.0
    around = in_jet & (rows["recojet_pt"] > 0)
    made["jetRelIso"] = np.where(around, np.maximum(relative, _LEAST_JET), made["pfRelIso04_all"])
    made["jetPtRelv2"] = np.where(in_jet, drawn["jetPtRelShare"] * pt, 0.0)
    return made | _flags(made, drawn)


#: relative energy of the jet around a muon that is little but the muon
_LEAST_JET = -0.05


def _impact_error(muons: Mapping[str, Column]) -> F64:
    """Error of the three-dimensional impact parameter from those of its parts [cm]."""
    slope = np.cosh(muons["eta"].astype(np.float64))
    along, along_error = muons["dz"] / slope, muons["dzErr"] / slope
    total = np.maximum(np.hypot(muons["dxy"], along), 1e-6)
    error: F64 = np.hypot(muons["dxy"] * muons["dxyErr"], along * along_error) / total
    return np.maximum(error, 1e-6)


def _has_soft_mva(muons: Mapping[str, Column]) -> Bools:
    """The discriminator of soft muons needs a global fit."""
    return np.asarray((muons["isGlobal"] > 0) & (muons["nStations"] >= 1))


def _required(muons: Mapping[str, Column]) -> dict[str, Bools]:
    """Where each of the flags is open: its definition, as far as NanoAOD has what that asks for, is met.

    Definitions in CMS MUO-16-001; cuts on hits and fits that NanoAOD does not keep are left to the flow.
    """
    is_global, is_tracker = muons["isGlobal"] > 0, muons["isTracker"] > 0
    loose = (muons["isPFcand"] > 0) & (is_global | is_tracker)
    compatible = (muons["segmentComp"] > 0.303) & (is_global | (muons["segmentComp"] > 0.451))
    tracked, stations = muons["nTrackerLayers"] > 5, muons["nStations"] > 1
    dxy, dz = np.abs(muons["dxy"]), np.abs(muons["dz"])
    close = (dxy < 0.2) & (dz < 0.5)
    medium = loose & compatible & (muons["mediumId"] > 0 if "mediumId" in muons else True)
    soft = muons["softId"] > 0 if "softId" in muons else np.zeros(len(dxy), dtype=bool)
    well_measured = muons["ptErr"] < 0.3 * muons["pt"]
    return {
        "isStandalone": ~is_global,
        "mediumId": loose & compatible,
        "tightId": medium & is_global & stations & tracked & close,
        "softId": is_tracker & tracked & (muons["highPurity"] > 0) & (dxy < 0.3) & (dz < 20.0),
        "highPtId": is_tracker & stations & tracked & close & well_measured,
        "triggerIdLoose": ~soft & is_global & is_tracker,
    }


def _flags(made: Mapping[str, Column], drawn: Mapping[str, F64]) -> dict[str, Column]:
    """Flags, each where it is open as drawn, and those that require others after them."""
    passed = {name: drawn[name] > 0 for name in _FLAGS}
    first = _required(made)
    flags: dict[str, Column] = {name: first[name] & passed[name] for name in ("mediumId", "softId")}
    open_ = _required({**made, **flags})
    flags["isStandalone"] = (made["isGlobal"] > 0) | passed["isStandalone"]
    flags["tightId"] = open_["tightId"] & passed["tightId"]
    high_pt = open_["highPtId"] & passed["highPtId"]
    flags["highPtId"] = np.where(made["isGlobal"] > 0, 2, 1) * high_pt
    flags["triggerIdLoose"] = (flags["softId"] > 0) | (open_["triggerIdLoose"] & passed["triggerIdLoose"])
    return flags
