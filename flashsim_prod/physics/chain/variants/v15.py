"""NanoAOD v15, Run 3: what its files have not, what they have beside, and whose working points they have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flashsim_prod.physics.chain.variants.variant import Added, Bools, Columns, Variant
from flashsim_prod.physics.definitions.egamma import supercluster_eta
from flashsim_prod.physics.definitions.jets_muons import bottom_score
from flashsim_prod.physics.definitions.points import run3
from flashsim_prod.physics.definitions.taus import tau_flags
from flashsim_prod.physics.events import Collection, Column, Events

#: taggers and regressions of jets with tracks go up to here [abs(eta)]
_TRACKED = 2.5
_SHIFTS = frozenset(("dEscaleUp", "dEscaleDown", "dEsigmaUp", "dEsigmaDown"))


def _tracked(jets: Columns) -> Bools:
    return np.asarray(np.abs(jets["eta"]) < _TRACKED)


_UPART = tuple(
    f"btagUParTAK4{name}"
    for name in (
        *("B", "CvB", "CvL", "CvNotB", "Ele", "Mu", "QvG", "SvCB", "SvUDG", "TauVJet"),
        *("probb", "probbb"),
    )
)
_REGRESSION = ("RegPtRawCorr", "RegPtRawCorrNeutrino", "RegPtRawRes")


def _b_score(jets: Columns) -> dict[str, Column]:
    """ParticleNet's b score, which follows from its two of charm."""
    if not {"btagPNetCvB", "btagPNetCvL"} <= jets.keys():
        return {}
    ratios = (np.clip(jets[f"btagPNet{name}"], 0.0, 1.0) for name in ("CvB", "CvL"))
    score = np.minimum(bottom_score(*ratios), _HIGHEST_SCORE)
    return {"btagPNetB": np.where(_tracked(jets), score, -1.0)}


#: as NanoAOD keeps it
_HIGHEST_SCORE = 0.9995

JET = Variant(
    lacks={
        **{"btagCSVV2": 0.0, "btagDeepCvB": 0.5, "btagDeepCvL": 0.5, "chFPV0EF": 0.0, "qgl": 0.5},
        **{"bRegCorr": 1.0, "bRegRes": 0.1, "cRegCorr": 1.0, "cRegRes": 0.1},
    },
    dropped={
        **{"btagCSVV2": 0.0, "btagDeepCvB": 0.5, "btagDeepCvL": 0.5, "chFPV0EF": 0.0, "qgl": 0.5},
        **{"bRegCorr": 1.0, "bRegRes": 0.1, "cRegCorr": 1.0, "cRegRes": 0.1},
    },
    stripped=frozenset(("btagDeepB", "jetId", "puId")),
    added=(
        *(Added(f"btagPNet{name}", _tracked) for name in ("CvB", "CvL", "CvNotB", "TauVJet")),
        Added("btagPNetQvG"),
        *(Added(f"PNet{name}") for name in _REGRESSION),
        *(Added(name, _tracked) for name in _UPART),
        Added("btagUParTAK4UDG", _tracked, -3.0),
        *(Added(f"UParTAK4{name}", _tracked) for name in _REGRESSION),
        *(Added(name) for name in ("chMultiplicity", "neMultiplicity")),
    ),
    completed=_b_score,
)


def _light_score(muons: Columns) -> dict[str, Column]:
    """The score of muons in light jets: what the others leave of one."""
    others = [f"pnScore_{name}" for name in ("prompt", "heavy", "tau")]
    if not set(others) <= muons.keys():
        return {}
    return {"pnScore_light": np.clip(1.0 - sum(muons[name] for name in others), 0.0, 1.0)}


def _muons(muons: Collection, events: Events) -> Collection:
    if "mvaMuID" not in muons:
        return muons
    return muons.with_columns(mvaMuID_WP=run3.muon_mva_points(muons["mvaMuID"]))


MUON = Variant(
    lacks={"mvaId": 0.0, "mvaLowPtId": 1.0},
    dropped={"mvaId_rest": 0.0, "mvaLowPtId_rest": 0.0},
    added=tuple(
        Added(name) for name in ("mvaMuID", "softMvaRun3", "pnScore_prompt", "pnScore_heavy", "pnScore_tau")
    ),
    completed=_light_score,
    finish=_muons,
)


def _electrons(electrons: Collection, events: Events) -> Collection:
    rho = events.scalars["fixedGridRhoFastjetAll"][electrons.event_index]
    return electrons.with_columns(**run3.electrons_again(electrons.columns, rho))


ELECTRON = Variant(
    lacks={"eCorr": 1.0},
    dropped={"eCorr": 0.0},
    stripped=_SHIFTS | {"mvaFall17V2Iso_WPL", "mvaFall17V2noIso_WPL"},
    finish=_electrons,
)


def _photons(photons: Collection, events: Events) -> Collection:
    cluster_eta = supercluster_eta(photons["eta"], events.scalars["PV_z"][photons.event_index])
    return photons.with_columns(**run3.photons_again(photons.columns, cluster_eta))


PHOTON = Variant(
    lacks={"eCorr": 1.0, "mass": 0.0, "cutBased_Fall17V1Bitmap": 0.0, "mvaID_Fall17V1p1": 0.0},
    dropped={"eCorr": 0.0, "mass": 0.0, "oldShift": 0.0, "mvaID_Fall17V1p1": 0.0},
    stripped=_SHIFTS,
    read={"vidNestedWPBitmap": lambda photons: run3.in_order_of_run2(photons["vidNestedWPBitmap"])},
    finish=_photons,
)


def _taus(taus: Collection, events: Events) -> Collection:
    return taus.with_columns(**tau_flags(taus.columns, run3.TAUS))


TAU = Variant(
    added=tuple(
        Added(name)
        for tagger in ("PNet", "UParT")
        for name in (*(f"raw{tagger}VS{other}" for other in ("jet", "e", "mu")), f"ptCorr{tagger}")
    ),
    finish=_taus,
)

_DEEP_TAG: Mapping[str, float] = {
    **{f"deepTagMD_{name}vsQCD": 0.5 for name in ("H4q", "Hbb", "T", "W", "Z", "ZHcc", "Zbb")},
    **{"deepTagMD_bbvsLight": 0.5, "deepTagMD_ccvsLight": 0.5, "deepTag_H": 0.5},
    **{f"deepTag_{name}vsQCD": 0.5 for name in ("T", "W", "Z")},
}
_OLD_SCORES: Mapping[str, float] = {
    **{"btagCSVV2": 0.5, "btagDDBvLV2": 0.5, "btagDeepB": 0.5, "btagHbb": 0.5},
    **{"btagDDCvBV2": 0.5, "btagDDCvLV2": 0.5, "jetId": 6.0},
}
FAT_JET = Variant(
    lacks={**_OLD_SCORES, **_DEEP_TAG, "deepTag_QCD": 0.5, "deepTag_QCDothers": 0.5},
    dropped={**_OLD_SCORES, **_DEEP_TAG, "deepTag_others": 0.5},
    stripped=frozenset(("deepTagMD_ZHbbvsQCD",)),
)

SUB_JET = Variant(
    lacks={"btagCSVV2": 0.5, "btagDeepB": 0.5},
    dropped={"btagCSVV2": 0.5, "btagDeepB": 0.5},
    added=(Added("btagDeepFlavB"), Added("btagUParTAK4B")),
    instead={"FatJet_btagDeepB": "particleNetMD_Xbb"},
)

_VARIED = tuple(f"PuppiMET_{part}{way}" for part in ("pt", "phi") for way in ("JESUp", "JERUp", "JERDown"))
_VARIED_TARGETS = tuple(f"PuppiMET_{way}_{axis}" for way in ("JESUp", "JERUp", "JERDown") for axis in "xy")


def _shift(met: Columns, function: np.ufunc) -> Column:
    """One component of what one sigma of unclustered energy moves MET by [GeV]."""
    up = met["PFMET_ptUnclusteredUp"] * function(met["PFMET_phiUnclusteredUp"].astype(np.float64))
    return np.asarray(up - met["MET_pt"] * function(met["MET_phi"].astype(np.float64)))


MET = Variant(
    lacks={**dict.fromkeys(_VARIED, 1.0), "ChsMET_pt": 1.0, "ChsMET_phi": 0.0, "ChsMET_sumEt": 1.0},
    dropped={
        **dict.fromkeys(_VARIED_TARGETS, 0.0),
        **{"ChsMET_x": 0.0, "ChsMET_y": 0.0, "ChsMET_sumEt": 1.0},
    },
    stripped=frozenset(("PuppiMET_ptJESDown", "PuppiMET_phiJESDown")),
    read={
        "MET_MetUnclustEnUpDeltaX": lambda met: _shift(met, np.cos),
        "MET_MetUnclustEnUpDeltaY": lambda met: _shift(met, np.sin),
    },
)

#: by what the models produce
VARIANTS: Mapping[str, Variant] = {
    "Jet": JET,
    "Muon": MUON,
    "Electron": ELECTRON,
    "Photon": PHOTON,
    "Tau": TAU,
    "FatJet": FAT_JET,
    "SubJet": SUB_JET,
    "MET": MET,
}
