"""Missing transverse momentum, particle-flow and PUPPI, conditioned on what the jets and muons did."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    per_event,
    scalar_sum,
    stable,
    vector_sum,
)
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Rows, Scale, Target
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.links import flat

F64 = NDArray[np.float64]

_VARIATIONS = tuple(f"{source}{way}" for source in ("JER", "JES", "Unclustered") for way in ("Down", "Up"))
_FIDUCIAL = "MET_fiducialGen"
#: vectors that are learned as a displacement (x, y) from another one: name -> that other
_VECTORS = {
    "MET": "expected",
    "PuppiMET": "expected",
    "RawMET": "MET",
    "RawPuppiMET": "PuppiMET",
    "ChsMET": "MET",
    "TkMET": "expected",
    "CaloMET": "expected",
    # the generator's MET within the detector's acceptance
    _FIDUCIAL: "gen",
    **{f"PuppiMET_{variation}": "PuppiMET" for variation in _VARIATIONS},
}
_VALUES = (
    "MET_sumEt",
    "MET_significance",
    "MET_covXX",
    "MET_covXY",
    "MET_covYY",
    "MET_MetUnclustEnUpDeltaX",
    "MET_MetUnclustEnUpDeltaY",
    "MET_sumPtUnclustered",
    "PuppiMET_sumEt",
    "RawMET_sumEt",
    "RawPuppiMET_sumEt",
    "ChsMET_sumEt",
    "TkMET_sumEt",
    "CaloMET_sumEt",
)


def _branch(vector: str, component: str) -> str:
    """``MET`` and ``pt`` give ``MET_pt``; ``PuppiMET_JESUp`` gives ``PuppiMET_ptJESUp``."""
    if vector == _FIDUCIAL:
        return f"{vector}{component.capitalize()}"
    name, _, variation = vector.partition("_")
    return f"{name}_{component}{variation}"


def _events(events: Events) -> Rows:
    """One row an event; ``expected`` is GenMET less what jets and muons gained in reconstruction."""
    jets, muons = events["Jet"], events["Muon"]
    gen_x, gen_y = _cartesian(events.scalars["GenMET_pt"], events.scalars["GenMET_phi"])
    jet_x, jet_y = _gain(events, jets, events["GenJet"], flat(jets["genJetIdx"], jets, events["GenJet"]))
    muon_x, muon_y = _muon_gain(events)
    return per_event(
        events,
        {
            "gen_x": gen_x,
            "gen_y": gen_y,
            "jet_gain_x": jet_x,
            "jet_gain_y": jet_y,
            "muon_gain_x": muon_x,
            "muon_gain_y": muon_y,
            "expected_x": gen_x - jet_x - muon_x,
            "expected_y": gen_y - jet_y - muon_y,
            "gen_pt": events.scalars["GenMET_pt"],
            "gen_ht": scalar_sum(events, events["GenJet"]),
            "ht": scalar_sum(events, jets),
            "n_jets": jets.counts,
            "muon_pt": scalar_sum(events, muons),
        },
    )


def _gain(
    events: Events, objects: Collection, truth: Collection, position: NDArray[np.int64]
) -> tuple[F64, F64]:
    """Sum over matched objects of reconstructed less generated transverse momentum."""
    matched = objects.with_columns(position=position).select(position >= 0)
    sources = {name: truth[name][matched["position"]] for name in ("pt", "phi")}
    x, y = vector_sum(events, matched)
    gen_x, gen_y = vector_sum(events, Collection(matched.counts, sources))
    return x - gen_x, y - gen_y


def _muon_gain(events: Events) -> tuple[F64, F64]:
    """Reconstructed muons less all generated ones, lost ones included."""
    x, y = vector_sum(events, events["Muon"])
    gen = stable(events, 13)
    gen_x, gen_y = vector_sum(events, gen.select(np.abs(gen["eta"]) < 2.4))
    return x - gen_x, y - gen_y


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    return np.arange(events.n)


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    known = _given(rows)
    found: dict[str, Column] = {name: attributes[name] for name in _VALUES}
    for vector, base in _VECTORS.items():
        known[vector] = _cartesian(attributes[_branch(vector, "pt")], attributes[_branch(vector, "phi")])
        found[f"{vector}_x"] = known[vector][0] - known[base][0]
        found[f"{vector}_y"] = known[vector][1] - known[base][1]
    return found


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    known = _given(rows)
    made: dict[str, Column] = {name: drawn[name] for name in _VALUES}
    for vector, base in _VECTORS.items():
        x = known[base][0] + drawn[f"{vector}_x"]
        y = known[base][1] + drawn[f"{vector}_y"]
        known[vector] = x, y
        made[_branch(vector, "pt")], made[_branch(vector, "phi")] = np.hypot(x, y), np.arctan2(y, x)
    return made


def _given(rows: Rows) -> dict[str, tuple[F64, F64]]:
    """The vectors that others are displaced from."""
    return {name: (rows[f"{name}_x"], rows[f"{name}_y"]) for name in ("expected", "gen")}


def _cartesian(pt: Column, phi: Column) -> tuple[F64, F64]:
    magnitude = pt.astype(np.float64)
    return magnitude * np.cos(phi.astype(np.float64)), magnitude * np.sin(phi.astype(np.float64))


MET = ObjectModel(
    name="met",
    produces="MET",
    uses=("GenMET_pt", "GenMET_phi", "GenPart", "GenJet", "Jet", "Muon", *PILEUP_BRANCHES),
    source=_events,
    conditions=(
        *(Condition(f"{name}_{axis}") for name in ("gen", "jet_gain", "muon_gain") for axis in ("x", "y")),
        *(Condition(name, Scale.LOG1P) for name in ("gen_pt", "gen_ht", "ht", "muon_pt")),
        Condition("n_jets"),
        *PILEUP_CONDITIONS,
    ),
    targets=tuple(Target(f"{vector}_{axis}") for vector in _VECTORS for axis in ("x", "y"))
    + tuple(Target(name) for name in _VALUES),
    match=_match,
    most=0,
    scalar=True,
    makes=(
        *_VALUES,
        *(_branch(vector, component) for vector in _VECTORS for component in ("pt", "phi")),
    ),
    express=_express,
    assemble=_assemble,
)

MODELS = (MET,)
