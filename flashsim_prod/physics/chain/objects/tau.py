"""Taus: in reconstructed jets with a generated hadronic tau, and in those without.

The latter are jets that an electron or muon carries, each with a model of its own because they look so
different, and all others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, PILEUP_CONDITIONS, per_object
from flashsim_prod.physics.chain.forms import AsFloats, as_drawn
from flashsim_prod.physics.chain.model import (
    Condition,
    NetworkSize,
    ObjectModel,
    Rows,
    Scale,
    Target,
    wrap_angle,
)
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.taus import (
    ELECTRON,
    HADRONS,
    MUON,
    TAU,
    decay_code,
    decay_of_code,
    neutral_excess,
    tau_flags,
    tau_seeds,
    with_gen_taus,
)
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]

#: NanoAODv9 keeps no tau below this [GeV]
LOWEST_PT = 18.0
#: jets beyond this give no tau
_MAX_JET_ETA = 3.0
_GEN_MODES = (0, 1, 2, 10, 11, 15)
#: how far a candidate strays from a tau, from a lepton, and from the axis of a jet of 40 GeV
_STRAY = {TAU: 0.0045, ELECTRON: 0.0016, MUON: 0.0016, HADRONS: 0.030}
#: a sum of tracks is zero, or above this [GeV]
_SOFTEST = 0.3
#: of pt [GeV]; what is left of the decimal point is smooth
_DIGITS = 64.0
_RHO = ("fixedGridRhoFastjetAll", "fixedGridRhoFastjetCentralChargedPileUp")
_VALUES = (
    "neutralIso",
    "puCorr",
    "dxy",
    "idAntiMu",
    "idAntiEleDeadECal",
    "rawDeepTau2017v2p1VSjet",
    "rawDeepTau2017v2p1VSe",
    "rawDeepTau2017v2p1VSmu",
)
_USES = ("Jet", "GenPart", "GenVisTau", "PV_z", "GenVtx_z", *_RHO, *PILEUP_BRANCHES)


def _source(events: Events, kind: int) -> Rows:
    jets = tau_seeds(events)
    jets = jets.with_columns(position=np.arange(jets.n_objects))
    jets = jets.select((jets["kind"] == kind) & (np.abs(jets["eta"]) < _MAX_JET_ETA))
    return per_object(events, jets, [_about_jet(jets), _about_event(events, jets.event_index)])


def _about_jet(jets: Collection) -> dict[str, Column]:
    above = jets["expected_pt"] - LOWEST_PT
    stray = np.select([jets["kind"] == kind for kind in _STRAY], list(_STRAY.values()), 1.0)
    narrowing = np.where(jets["kind"] == HADRONS, np.sqrt(40.0 / jets["pt"]), 1.0)
    return {
        **{f"mode_{mode}": jets["gen_mode"] == mode for mode in _GEN_MODES},
        "hadron_b": jets["hadronFlavour"] == 5,
        "hadron_c": jets["hadronFlavour"] == 4,
        "has_gen_jet": jets["genJetIdx"] >= 0,
        "btag": np.clip(jets["btagDeepFlavB"], 0.0, 1.0),
        "jet_ratio": jets["pt"] / jets["expected_pt"],
        "jet_deta": jets["eta"] - jets["axis_eta"],
        "jet_dphi": links.delta_phi(jets["phi"], jets["axis_phi"]),
        # the expected distance from the threshold, which turns smoothly into a few GeV below it
        "above": 0.5 * (above + np.hypot(above, 5.0)),
        "stray": stray * narrowing,
    }


def _about_event(events: Events, index: NDArray[np.int64]) -> dict[str, Column]:
    scalars = events.scalars
    shift = scalars["PV_z"].astype(np.float64) - scalars["GenVtx_z"].astype(np.float64)
    return {"vertex_shift": shift[index], **{name: scalars[name][index] for name in _RHO}}


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    """By the jet that NanoAOD links; a tau without link goes with the nearest jet."""
    jets, taus = events["Jet"], events["Tau"]
    jet = links.flat(taus["jetIdx"], taus, jets)
    inside = np.abs(jets["eta"]) < _MAX_JET_ETA
    nearest, _ = links.nearest(taus, jets.select(inside))
    nearest = links.linked_value(np.flatnonzero(inside), nearest, -1)
    linked = (jet >= 0) & inside[np.maximum(jet, 0)] if jets.n_objects else jet >= 0
    row_of_jet = np.full(jets.n_objects + 1, -1, dtype=np.int64)
    row_of_jet[rows["position"]] = np.arange(len(rows))
    # without any jet the position is -1, the last entry
    return row_of_jet[np.where(linked, jet, nearest)]


def _express(tau: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    value = AsFloats(tau)
    pt, lead, mode = value["pt"], value["leadTkPtOverTauPt"], tau["decayMode"]
    photons, inside = value["photonsOutsideSignalCone"], _inside(value)
    beside = _beside(lead, pt)
    return {
        **{name: tau[name] for name in _VALUES},
        "excess": (pt - LOWEST_PT) / rows["above"],
        "deta": (value["eta"] - rows["axis_eta"]) / rows["stray"],
        "dphi": wrap_angle(value["phi"] - rows["axis_phi"]) / rows["stray"],
        "charge": tau["charge"].astype(np.int32) * rows["true_charge"].astype(np.int32),
        "decay": decay_code(mode, value["mass"], np.where(photons > 0, _anything(8 * pt) > 0.5, lead)),
        "leading": np.where(mode == 0, _anything(pt), lead),
        "offset_eta": value["leadTkDeltaEta"] / beside,
        "offset_phi": value["leadTkDeltaPhi"] / beside,
        "photons": photons,
        "charged_inside": inside,
        "charged_around": value["chargedIso"] - inside,
        "dz": value["dz"] + rows["vertex_shift"],
    }


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    pt, photons = LOWEST_PT + drawn["excess"] * rows["above"], drawn["photons"]
    mode, mass, bare = decay_of_code(drawn["decay"])
    # of a single track, all that is not the track is photons
    single = np.where(photons > 0, 1.0 - photons / pt, bare)
    lead = np.where(mode == 0, np.maximum(single, 0.0), drawn["leading"])
    beside = _beside(lead, pt)
    charged = drawn["charged_inside"] + drawn["charged_around"]
    excess = neutral_excess(drawn["neutralIso"], drawn["puCorr"])
    return {
        **as_drawn(drawn, _VALUES),
        "pt": pt,
        "eta": rows["axis_eta"] + drawn["deta"] * rows["stray"],
        "phi": wrap_angle(rows["axis_phi"] + drawn["dphi"] * rows["stray"]),
        "mass": mass,
        "charge": np.rint(drawn["charge"]) * rows["true_charge"],
        "decayMode": mode,
        "leadTkPtOverTauPt": lead,
        "leadTkDeltaEta": drawn["offset_eta"] * beside,
        "leadTkDeltaPhi": drawn["offset_phi"] * beside,
        "photonsOutsideSignalCone": photons,
        "chargedIso": charged,
        "rawIso": charged + excess,
        "rawIsodR03": drawn["charged_inside"] + excess,
        "dz": drawn["dz"] - rows["vertex_shift"],
    }


def _inside(value: Mapping[str, F64]) -> F64:
    """Charged isolation within 0.3 [GeV]: what the isolation in the smaller cone has beyond neutrals."""
    charged = value["chargedIso"]
    inside = np.clip(value["rawIsodR03"] - neutral_excess(value["neutralIso"], value["puCorr"]), 0.0, charged)
    # no track is as soft as that
    inside = np.where(inside < _SOFTEST, 0.0, inside)
    return np.where(charged - inside < _SOFTEST, charged, inside)


def _anything(pt: F64) -> F64:
    """Even numbers between 0 and 1 from the last digits of `pt` [GeV].

    They stand where an attribute is fixed by another one: a network learns at once that they mean nothing,
    while it would blur a constant.
    """
    return np.asarray((_DIGITS * pt) % 1.0)


def _beside(lead: F64, pt: F64) -> F64:
    """How far the leading track can be from the tau: as much as there is beside it, less at high pt."""
    return np.asarray(np.maximum(1.0 - lead + 0.002, 0.001) * np.sqrt(30.0 / pt))


_JET_CONDITIONS = (
    Condition("expected_pt", Scale.LOG),
    Condition("above", Scale.LOG),
    Condition("jet_ratio", Scale.LOG),
    Condition("axis_eta"),
    Condition("jet_deta"),
    Condition("jet_dphi"),
    *(
        Condition(name)
        for name in ("nConstituents", "chHEF", "neEmEF", "has_gen_jet", "hadron_b", "hadron_c")
    ),
    *(Condition(name) for name in _RHO),
    *PILEUP_CONDITIONS,
)
_TARGETS = tuple(
    Target(name)
    for name in (
        *("excess", "deta", "dphi", "charge", "decay", "leading", "offset_eta", "offset_phi", "photons"),
        *("charged_inside", "charged_around", "dz"),
        *_VALUES,
    )
)


def _model(name: str, kind: int, conditions: tuple[str, ...], size: NetworkSize) -> ObjectModel:
    return ObjectModel(
        name=name,
        produces="Tau",
        uses=_USES,
        source=lambda events: _source(events, kind),
        conditions=(*_JET_CONDITIONS, *(Condition(one) for one in conditions)),
        targets=_TARGETS,
        match=_match,
        express=_express,
        assemble=_assemble,
        size=size,
    )


_SMALL = NetworkSize(width=64, blocks=3)

MODELS = (
    _model("tau_from_gentau", TAU, tuple(f"mode_{mode}" for mode in _GEN_MODES), NetworkSize()),
    _model("tau_from_electron", ELECTRON, (), _SMALL),
    _model("tau_from_muon", MUON, (), _SMALL),
    _model("tau_from_jet", HADRONS, ("chEmEF", "muEF", "neHEF", "btag"), NetworkSize()),
)


def finish(parts: list[Collection], events: Events) -> Collection:
    """All taus by falling pt, with their working points and generator particles."""
    taus = Collection.join(parts)
    taus = taus.select(taus["pt"] >= LOWEST_PT).sorted_by("pt")
    return with_gen_taus(taus.with_columns(**tau_flags(taus.columns)), events)
