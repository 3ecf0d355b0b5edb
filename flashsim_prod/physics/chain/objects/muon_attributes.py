"""A muon's attributes as a flow knows them: what follows from others is computed, the rest is drawn.

Isolation is learned as the energy that each wider cone or further kind of particle adds, impact parameters
as significances, and a flag only where its definition leaves it open. Where an attribute has no meaning (the
soft muon discriminator without a global fit, say) the flow is shown values of other muons instead, so that
it has no forbidden combination to learn; what it draws there is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.forms import filled
from flashsim_prod.physics.chain.model import Rows
from flashsim_prod.physics.definitions.jets_muons import (
    MINI_ISOLATION,
    SOFT_MVA,
    count_below,
    multi_isolation,
)
from flashsim_prod.physics.events import Column

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

_NAMED = (
    "ptErr",
    *("dxy", "dxyErr", "dxybs", "dz", "dzErr", "ip3d", "sip3d"),
    *("jetPtRelv2", "jetRelIso", "jetNDauCharged"),
    *("miniPFRelIso_all", "miniPFRelIso_chg", "pfRelIso03_all", "pfRelIso03_chg", "pfRelIso04_all"),
    *("segmentComp", "softMva", "tkRelIso", "tunepRelPt", "mvaLowPt", "mvaTTH", "nStations"),
    *("nTrackerLayers", "highPtId", "highPurity", "inTimeMuon", "isGlobal", "isPFcand", "isStandalone"),
    *("isTracker", "mediumId", "miniIsoId", "multiIsoId", "mvaId", "mvaLowPtId", "puppiIsoId", "softId"),
    *("tightId", "triggerIdLoose"),
)
#: drawn as they are, and left out where a bundle's weights lack them
_AS_THEY_ARE = (
    *("segmentComp", "tunepRelPt", "nStations", "nTrackerLayers"),
    *("highPurity", "inTimeMuon"),
)
#: the columns that `assemble` makes and `express` reads, beside pt, eta, phi and charge
MADE = (*_NAMED, *(name for name in _AS_THEY_ARE if name not in _NAMED))
#: energies that add up [GeV]: column -> the column that it is more than
_MORE_THAN = {
    "miniPFRelIso_chg": None,
    "miniPFRelIso_all": "miniPFRelIso_chg",
    "pfRelIso03_chg": "miniPFRelIso_chg",
    "pfRelIso03_all": "pfRelIso03_chg",
    "pfRelIso04_all": "pfRelIso03_all",
}
#: flags that are learned only where their definition leaves them open
_OPEN_FLAGS = ("softId", "highPtId", "isPFcand", "mediumId", "tightId", "triggerIdLoose")
#: what the flow draws, beside the kinematics
DRAWN = (
    *(
        "relPtErr",
        "kind",
        *_AS_THEY_ARE,
        "dxyErrRatio",
        "dzErrRatio",
        "dxySig",
        "dzSig",
        "dxyShift",
        "ip3dRatio",
        "sip3dRatio",
    ),
    *(f"{name}_gev" for name in _MORE_THAN),
    *("trackExcess", "jetNDauCharged", "jetRest", "jetPtRelv2", "softMva"),
    *("mvaTTH_rest", "mvaLowPt_rest", "mvaId_rest", "mvaLowPtId_rest", "multiIsoId_rest", "puppiIsoId_rest"),
    *_OPEN_FLAGS,
)

_MOST = {"mvaId": 5, "mvaLowPtId": 2, "multiIsoId": 2, "puppiIsoId": 3}
#: a score in (-1, 1) is kept this far from its ends before its logarithm is taken
_EDGE = 2e-5
#: the lowest and the highest score that such discriminators reach
_SCORES = (-0.9999, 0.9988)


def express(muons: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    """What the flow learns (`DRAWN`), from attributes in their NanoAOD form.

    Parameters
    ----------
    muons : mapping
        All of `MADE`, with pt and eta.
    rows : Rows
        With ``dz_expected`` and ``dz_unit`` [cm], which dz is expressed against; unit 0 stands for dzErr.
    """
    real = {name: muons[name].astype(np.float64) for name in ("pt", "eta", *MADE)}
    flags = {name: filled((real[name] > 0).astype(np.int32), _where_open(name, real)) for name in _OPEN_FLAGS}
    seen = {name: muons[name] for name in _AS_THEY_ARE}
    return seen | flags | _seen_track(real, rows) | _seen_surroundings(muons, real) | _seen_scores(real)


def _seen_track(real: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    return {
        "relPtErr": real["ptErr"] / real["pt"] / _resolution(real),
        "dxyErrRatio": real["dxyErr"] / _dxy_error(real),
        "dzErrRatio": real["dzErr"] / real["dxyErr"] / _stretch(real),
        "kind": (4 * real["isGlobal"] + 2 * real["isTracker"] + real["isStandalone"]).astype(np.int32),
        "dxySig": real["dxy"] / real["dxyErr"],
        "dzSig": (real["dz"] - rows["dz_expected"]) / _dz_unit(real, rows),
        "dxyShift": real["dxybs"] - real["dxy"],
        "ip3dRatio": real["ip3d"] / _ip3d(real),
        "sip3dRatio": real["sip3d"] / _sip3d(real),
    }


def _seen_surroundings(muons: Mapping[str, Column], real: Mapping[str, F64]) -> dict[str, Column]:
    inside = real["jetNDauCharged"] > 0
    return {
        **{f"{name}_gev": _excess(real, name, less) for name, less in _MORE_THAN.items()},
        "trackExcess": (real["tkRelIso"] - real["pfRelIso03_chg"]) / _track_unit(real),
        # only what the particle flow took for a muon is in a jet
        "jetNDauCharged": filled(muons["jetNDauCharged"], real["isPFcand"] > 0),
        "jetRest": filled(real["jetRelIso"] * real["pt"], inside),
        "jetPtRelv2": filled(real["jetPtRelv2"], inside),
    }


def _seen_scores(real: Mapping[str, F64]) -> dict[str, Column]:
    points = {f"{name}_rest": (real[name] - _expected(name, real)).astype(np.int32) for name in _MOST}
    return points | {
        "softMva": filled(real["softMva"], _has_score(real)),
        "mvaTTH_rest": _logit(real["mvaTTH"]) - _prompt_logit(real),
        "mvaLowPt_rest": _logit(real["mvaLowPt"]) - _logit(real["mvaTTH"]),
    }


def assemble(drawn: Mapping[str, F64], pt: F64, eta: F64, rows: Rows) -> dict[str, Column]:
    """The columns `MADE`, from what the flow drew; undoes `express`."""
    kind = drawn["kind"].astype(np.int64)
    made: dict[str, F64] = {
        "pt": pt,
        "eta": eta,
        "isGlobal": (kind & 4 > 0).astype(np.float64),
        "isTracker": (kind & 2 > 0).astype(np.float64),
        "isStandalone": (kind & 1 > 0).astype(np.float64),
        **{name: drawn[name] for name in _AS_THEY_ARE if name in drawn},
    }
    made["ptErr"] = drawn["relPtErr"] * pt * _resolution(made)
    _add_impact(made, drawn, rows)
    _add_isolation(made, drawn)
    _add_scores(made, drawn)
    for name in _OPEN_FLAGS:
        _add_flag(made, drawn, name)
    _add_jet(made, drawn)
    made["miniIsoId"] = count_below(made["miniPFRelIso_all"], MINI_ISOLATION).astype(np.float64)
    for name, most in _MOST.items():
        made[name] = np.clip(_expected(name, made) + drawn[f"{name}_rest"], 0, most)
    made["mvaLowPtId"] = np.maximum(made["mvaLowPtId"], 1)
    return {name: made[name] for name in MADE if name in made or name not in _AS_THEY_ARE}


def _add_impact(made: dict[str, F64], drawn: Mapping[str, F64], rows: Rows) -> None:
    made["dxyErr"] = drawn["dxyErrRatio"] * _dxy_error(made)
    made["dzErr"] = drawn["dzErrRatio"] * made["dxyErr"] * _stretch(made)
    made["dxy"] = drawn["dxySig"] * made["dxyErr"]
    made["dz"] = rows["dz_expected"] + drawn["dzSig"] * _dz_unit(made, rows)
    made["dxybs"] = made["dxy"] + drawn["dxyShift"]
    made["ip3d"] = drawn["ip3dRatio"] * _ip3d(made)
    made["sip3d"] = drawn["sip3dRatio"] * _sip3d(made)


def _add_isolation(made: dict[str, F64], drawn: Mapping[str, F64]) -> None:
    for name, less in _MORE_THAN.items():
        base = 0.0 if less is None else made[less]
        made[name] = np.maximum(base + drawn[f"{name}_gev"] / made["pt"], 0.0)
    excess = drawn["trackExcess"] * _track_unit(made)
    made["tkRelIso"] = np.maximum(made["pfRelIso03_chg"] + excess, 0.0)


def _add_jet(made: dict[str, F64], drawn: Mapping[str, F64]) -> None:
    """jetRelIso and jetPtRelv2 are those of NanoAOD for muons that are in no jet."""
    inside = (drawn["jetNDauCharged"] > 0) & (made["isPFcand"] > 0)
    made["jetNDauCharged"] = np.where(inside, drawn["jetNDauCharged"], 0.0)
    made["jetRelIso"] = np.where(inside, drawn["jetRest"] / made["pt"], made["pfRelIso04_all"])
    made["jetPtRelv2"] = np.where(inside, drawn["jetPtRelv2"], 0.0)
    logit = drawn["mvaTTH_rest"] + _prompt_logit(made)
    made["mvaTTH"], made["mvaLowPt"] = _score(logit), _score(logit + drawn["mvaLowPt_rest"])


def _add_scores(made: dict[str, F64], drawn: Mapping[str, F64]) -> None:
    made["softMva"] = np.where(_has_score(made), drawn["softMva"], -1.0)


def _add_flag(made: dict[str, F64], drawn: Mapping[str, F64], name: str) -> None:
    closed = _where_closed(name, made)
    value = np.where(_where_open(name, made), drawn[name] > 0, closed).astype(np.float64)
    # two working points: 1 without, 2 with a global fit
    made[name] = value * (1 + made["isGlobal"]) if name == "highPtId" else value


def _where_open(name: str, muon: Mapping[str, F64]) -> Bools:
    """Where the definition of a flag (arXiv:1804.04528) does not decide it by the other attributes."""
    close = (np.abs(muon["dxy"]) < 0.2) & (np.abs(muon["dz"]) < 0.5)
    tracked = muon["nTrackerLayers"] > 5
    some_id = (muon["isGlobal"] + muon["isTracker"]) > 0
    match name:
        case "softId":
            near = (np.abs(muon["dxy"]) < 0.3) & (np.abs(muon["dz"]) < 20.0)
            station = (muon["isTracker"] > 0) & (muon["nStations"] > 0)
            found = station & tracked & near & (muon["highPurity"] > 0)
        case "highPtId":
            measured = muon["ptErr"] < 0.3 * muon["pt"]
            found = (muon["isTracker"] > 0) & (muon["nStations"] > 1) & close & tracked & measured
        case "isPFcand":
            # what is neither is stored because it is a loose muon
            found = (muon["softId"] > 0) | (muon["softMva"] > SOFT_MVA) | (muon["highPtId"] > 0)
        case "mediumId":
            found = (muon["isPFcand"] > 0) & some_id & (muon["segmentComp"] > 0.303)
        case "tightId":
            found = (muon["mediumId"] > 0) & (muon["isGlobal"] > 0) & (muon["nStations"] > 1)
            found = found & close & tracked
        case _:
            found = (muon["softId"] == 0) & (muon["isTracker"] > 0) & (muon["isGlobal"] > 0)
    return np.asarray(found)


def _where_closed(name: str, muon: Mapping[str, F64]) -> Bools:
    """The value of a flag where its definition decides it."""
    if name == "isPFcand":
        return np.ones(len(muon["pt"]), dtype=bool)
    if name == "triggerIdLoose":
        return np.asarray(muon["softId"] > 0)
    return np.zeros(len(muon["pt"]), dtype=bool)


def _has_score(muon: Mapping[str, F64]) -> Bools:
    """Where there is a soft muon discriminator."""
    return np.asarray((muon["isGlobal"] > 0) & (muon["nStations"] > 0))


def _expected(name: str, muon: Mapping[str, F64]) -> F64:
    """A working point's number from the attributes that it cuts on, or close to it."""
    match name:
        case "mvaId":
            passed = np.sum([muon["mvaTTH"] > cut for cut in (-0.30, 0.10, 0.45, 0.75, 0.90)], axis=0)
            return np.where(muon["mediumId"] > 0, passed, 0.0)
        case "mvaLowPtId":
            return np.where(muon["mvaLowPt"] > -0.99985, 2.0, 1.0)
        case "multiIsoId":
            points = multi_isolation(muon["miniPFRelIso_all"], muon["jetRelIso"], muon["jetPtRelv2"])
            return points.astype(np.float64)
        case _:
            neutral = muon["pfRelIso04_all"] - muon["pfRelIso03_chg"]
            weighted = 1.25 * (muon["pfRelIso03_chg"] + 0.5 * neutral)
            return count_below(weighted, (0.25, 0.15, 0.10)).astype(np.float64)


def _prompt_logit(muon: Mapping[str, F64]) -> F64:
    """Where the discriminator of prompt muons lies for this isolation and impact parameter, roughly.

    Only what is left beside it is drawn. Linear in what such discriminators are most sensitive to; scores
    crowd towards -1.
    """
    mini, jet = np.minimum(muon["miniPFRelIso_all"], 2.0), np.clip(muon["jetRelIso"], 0.0, 3.0)
    impact = np.log1p(np.minimum(muon["sip3d"], 200.0))
    logit = 7.2 - 5.5 * np.sqrt(mini) - 2.8 * np.sqrt(jet) - 1.2 * impact
    logit = logit - 1.2 * np.exp(-(muon["pt"] - 3.0) / 6.0)
    return np.where(logit < -5.0, -5.0 - 1.3 * np.log1p((-5.0 - logit).clip(0.0) / 1.3), logit)


def _logit(score: F64) -> F64:
    bounded = np.clip(score, -1 + _EDGE, 1 - _EDGE)
    return np.log1p(bounded) - np.log1p(-bounded)


def _score(logit: F64) -> F64:
    return np.clip(np.tanh(0.5 * logit), *_SCORES)


def _resolution(muon: Mapping[str, F64]) -> F64:
    """Relative resolution of pt that is usual for this direction."""
    eta = np.abs(muon["eta"])
    return 0.0085 + 0.0012 * eta + 0.0021 * eta**2


def _dxy_error(muon: Mapping[str, F64]) -> F64:
    """Uncertainty of dxy that is usual for this momentum and direction [cm]."""
    return np.hypot(0.0012, 0.0095 / muon["pt"]) * (1.0 + 0.09 * muon["eta"] ** 2)


def _stretch(muon: Mapping[str, F64]) -> F64:
    """How much less sure dz usually is than dxy for this momentum and direction."""
    of_pt = np.hypot(0.0018, 0.0110 / muon["pt"]) / np.hypot(0.0012, 0.0095 / muon["pt"])
    return np.asarray(of_pt * np.cosh(muon["eta"]) ** 0.8 / (1.0 + 0.09 * muon["eta"] ** 2))


def _dz_unit(muon: Mapping[str, F64], rows: Rows) -> F64:
    return np.where(rows["dz_unit"] > 0, rows["dz_unit"], muon["dzErr"])


def _ip3d(muon: Mapping[str, F64]) -> F64:
    """Three-dimensional impact parameter of a straight track [cm]."""
    return np.maximum(np.hypot(muon["dxy"], muon["dz"] / np.cosh(muon["eta"])), 1e-5)


def _sip3d(muon: Mapping[str, F64]) -> F64:
    """Its significance, from the uncertainties of its two components."""
    along, error = muon["dz"] / np.cosh(muon["eta"]), muon["dzErr"] / np.cosh(muon["eta"])
    spread = np.hypot(muon["dxy"] * muon["dxyErr"], along * error)
    return muon["ip3d"] * _ip3d(muon) / np.maximum(spread, 1e-12)


def _excess(muon: Mapping[str, F64], name: str, less: str | None) -> F64:
    return (muon[name] - (0.0 if less is None else muon[less])) * muon["pt"]


def _track_unit(muon: Mapping[str, F64]) -> F64:
    """Tracks and charged particles are nearly the same: their difference is small against either."""
    return muon["pfRelIso03_chg"] + 0.5 / muon["pt"]
