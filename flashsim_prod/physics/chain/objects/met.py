"""Missing transverse momentum, particle-flow and PUPPI, conditioned on what the jets and muons did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    RECONSTRUCTION_BRANCHES,
    RECONSTRUCTION_CONDITIONS,
    TRACKER_ETA,
    central_ht,
    content,
    per_event,
    reconstruction,
    scalar_sum,
    vector_sum,
)
from flashsim_prod.physics.chain.forms import as_drawn
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Rows, Scale, Target
from flashsim_prod.physics.definitions.links import flat, nearest
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]
#: x and y, each of shape (n_events,)
Vector = tuple[F64, F64]

#: a muon this close to a generator jet is part of it
_IN_JET = 0.4
_FIDUCIAL = "MET_fiducialGen"
#: variations that mirror each other: the way that follows from the other
_MIRRORED = {"PuppiMET_JESDown": "PuppiMET_JESUp", "PuppiMET_UnclusteredDown": "PuppiMET_UnclusteredUp"}
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
    **dict.fromkeys((*_MIRRORED.values(), "PuppiMET_JERUp"), "PuppiMET"),
    # where jets have generator jets, the mirror image of the other way
    "PuppiMET_JERDown": "mirrored",
}
_VALUES = (
    "MET_sumEt",
    "MET_MetUnclustEnUpDeltaX",
    "MET_MetUnclustEnUpDeltaY",
    "MET_sumPtUnclustered",
    "PuppiMET_sumEt",
    "TkMET_sumEt",
)
#: sums that are learned relative to another one
_RATIOS = {
    "RawMET_sumEt": "MET_sumEt",
    "RawPuppiMET_sumEt": "PuppiMET_sumEt",
    "ChsMET_sumEt": "MET_sumEt",
    "CaloMET_sumEt": "MET_sumEt",
}
#: the covariance as its trace, relative to the unclustered momentum, and two numbers of its ellipse
_COVARIANCE = ("spread", "along", "across")
#: what follows from the rest
_DERIVED = ("MET_covXX", "MET_covXY", "MET_covYY", "MET_significance")
#: typical squared resolution of a jet of given pt [GeV2]: noise, stochastic and constant terms of the form of
#: JME-13-004 (arXiv:1607.03663)
_RESOLUTION = (14.0, 0.55, 0.003)
#: squared resolution of what is in no jet, about [GeV2]
_UNCLUSTERED = 700.0


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
    gen_jet = flat(jets["genJetIdx"], jets, events["GenJet"])
    jet_x, jet_y = _gain(events, jets, events["GenJet"], gen_jet)
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
            "central_ht": central_ht(events),
            **_jet_sums(events, jets, gen_jet),
            **_seen_by_tracks(events, muons),
            **reconstruction(events, np.arange(events.n)),
            "ht": scalar_sum(events, jets),
            "n_jets": jets.counts,
            "muon_pt": scalar_sum(events, muons),
        },
    )


def _jet_sums(events: Events, jets: Collection, gen_jet: NDArray[np.int64]) -> dict[str, Column]:
    """Vector sums over the jets, to which corrections and their uncertainties are proportional."""
    pileup = jets.select(gen_jet < 0)
    pt = jets["pt"].astype(np.float64)
    variance = np.polynomial.polynomial.polyval(pt, _RESOLUTION).astype(np.float64)
    total, ellipse = _spread(events, jets, variance)
    # leptons are measured far better than what else is in a jet
    without_leptons = 1.0 - _leptons(events, gen_jet)
    hadronic, rounder = _spread(events, jets, variance * np.square(without_leptons))
    components = _components(
        {
            "jets": vector_sum(events, jets),
            "axes": vector_sum(events, jets.with_columns(pt=np.ones_like(pt))),
            "pileup_jets": vector_sum(events, pileup),
            "ellipse": ellipse,
            "hadronic_ellipse": rounder,
        }
    )
    return components | {
        "jet_variance": total,
        "hadronic_variance": hadronic,
        "pileup_pt": scalar_sum(events, pileup),
    }


def _spread(events: Events, jets: Collection, variance: F64) -> tuple[F64, Vector]:
    """Sum of the jets' `variance` [GeV2], and the ellipse that they make, of twice their angle."""
    total = np.bincount(jets.event_index, variance, minlength=events.n).astype(np.float64)
    x, y = vector_sum(events, jets.with_columns(pt=variance, phi=2 * jets["phi"].astype(np.float64)))
    return total, (x / (total + _UNCLUSTERED), y / (total + _UNCLUSTERED))


def _leptons(events: Events, gen_jet: NDArray[np.int64]) -> F64:
    """Share of electrons and muons in each jet's generator jet; 0 where it has none."""
    of_gen_jets = content(events)
    share = of_gen_jets["electron_fraction"] + of_gen_jets["muon_fraction"]
    found = np.zeros(len(gen_jet))
    found[gen_jet >= 0] = np.minimum(share, 1.0)[gen_jet[gen_jet >= 0]]
    return found


def _components(vectors: Mapping[str, Vector]) -> dict[str, Column]:
    return {
        f"{name}_{axis}": part
        for name, both in vectors.items()
        for axis, part in zip("xy", both, strict=True)
    }


def _seen_by_tracks(events: Events, muons: Collection) -> dict[str, Column]:
    """Vector sums of generator jets in the tracker and beyond it, and of muons, which calorimeters miss."""
    jets = events["GenJet"]
    central = np.abs(jets["eta"]) < TRACKER_ETA
    sums = {"inside": jets.select(central), "outside": jets.select(~central), "muons": muons}
    return _components({name: vector_sum(events, objects) for name, objects in sums.items()})


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
    """Reconstructed less generated momentum of muons in no generator jet; the jets' gain has the others."""
    muons, particles = events["Muon"], events["GenPart"]
    jet, _ = nearest(muons, events["GenJet"], _IN_JET)
    source = flat(muons["genPartIdx"], muons, particles)
    return _gain(events, muons, particles, np.where(jet < 0, source, -1))


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    return np.arange(events.n)


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    known = _given(rows)
    found: dict[str, Column] = {name: attributes[name] for name in _VALUES}
    for name, whole in _RATIOS.items():
        found[name] = attributes[name] / np.maximum(attributes[whole], _SMALLEST)
    for vector, base in _VECTORS.items():
        known[vector] = _cartesian(attributes[_branch(vector, "pt")], attributes[_branch(vector, "phi")])
        if base == "mirrored":
            known[base] = _mirrored(known["PuppiMET"], known["PuppiMET_JERUp"])
        found[f"{vector}_x"] = known[vector][0] - known[base][0]
        found[f"{vector}_y"] = known[vector][1] - known[base][1]
    xx, xy, yy = (attributes[f"MET_cov{element}"].astype(np.float64) for element in ("XX", "XY", "YY"))
    trace = np.maximum(xx + yy, _SMALLEST)
    found["spread"] = trace / np.maximum(attributes["MET_sumPtUnclustered"], _SMALLEST)
    return found | {"along": (xx - yy) / trace, "across": 2 * xy / trace}


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    known = _given(rows)
    made = as_drawn(drawn, _VALUES)
    made |= {name: drawn[name] * drawn[whole] for name, whole in _RATIOS.items()}
    for vector, base in _VECTORS.items():
        if base == "mirrored":
            known[base] = _mirrored(known["PuppiMET"], known["PuppiMET_JERUp"])
        known[vector] = known[base][0] + drawn[f"{vector}_x"], known[base][1] + drawn[f"{vector}_y"]
    known |= {down: _mirrored(known["PuppiMET"], known[up]) for down, up in _MIRRORED.items()}
    for vector in (*_VECTORS, *_MIRRORED):
        x, y = known[vector]
        made[_branch(vector, "pt")], made[_branch(vector, "phi")] = np.hypot(x, y), np.arctan2(y, x)
    return made | _resolution(drawn, known["MET"])


def _mirrored(centre: Vector, vector: Vector) -> Vector:
    """`vector` on the other side of `centre`."""
    return 2 * centre[0] - vector[0], 2 * centre[1] - vector[1]


def _resolution(drawn: Mapping[str, F64], met: Vector) -> dict[str, Column]:
    """Covariance [GeV2], kept positive, and MET measured by it: the significance of arXiv:1411.0511."""
    half = drawn["spread"] * drawn["MET_sumPtUnclustered"] / 2
    length = np.hypot(drawn["along"], drawn["across"])
    shrink = np.minimum(1.0, _FLATTEST / np.maximum(length, _SMALLEST))
    along, across = half * drawn["along"] * shrink, half * drawn["across"] * shrink
    xx, yy = half + along, half - along
    x, y = met
    significance = (x**2 * yy - 2 * x * y * across + y**2 * xx) / (xx * yy - across**2)
    return {"MET_covXX": xx, "MET_covXY": across, "MET_covYY": yy, "MET_significance": significance}


#: what a denominator is at least, and how flat the ellipse of the covariance may be
_SMALLEST, _FLATTEST = 1e-6, 0.999


def _given(rows: Rows) -> dict[str, Vector]:
    """The vectors that others are displaced from."""
    return {name: (rows[f"{name}_x"], rows[f"{name}_y"]) for name in ("expected", "gen")}


def _cartesian(pt: Column, phi: Column) -> tuple[F64, F64]:
    magnitude = pt.astype(np.float64)
    return magnitude * np.cos(phi.astype(np.float64)), magnitude * np.sin(phi.astype(np.float64))


_SEEN_VECTORS = ("gen", "jet_gain", "muon_gain", "jets", "axes", "pileup_jets", "ellipse")
#: what the form before did not see: MET of tracks and of the calorimeter follow it; and what it saw instead
_SEEN_SINCE = ("inside", "outside", "muons")
_HADRONIC = {
    "jet_variance": "hadronic_variance",
    **{f"ellipse_{axis}": f"hadronic_ellipse_{axis}" for axis in "xy"},
}
_SEEN_SUMS = ("gen_pt", "gen_ht", "central_ht", "ht", "muon_pt", "jet_variance", "pileup_pt")

_PLAIN = ObjectModel(
    name="met",
    produces="MET",
    uses=(
        *("GenMET_pt", "GenMET_phi", "GenPart", "GenJet", "Jet", "Muon"),
        *PILEUP_BRANCHES,
        *RECONSTRUCTION_BRANCHES,
    ),
    source=_events,
    conditions=(
        *(Condition(f"{name}_{axis}") for name in _SEEN_VECTORS for axis in "xy"),
        *(Condition(name, Scale.LOG1P) for name in _SEEN_SUMS),
        Condition("n_jets"),
        *PILEUP_CONDITIONS,
        *RECONSTRUCTION_CONDITIONS,
    ),
    targets=(
        *(Target(f"{vector}_{axis}") for vector in _VECTORS for axis in "xy"),
        *(Target(name) for name in (*_VALUES, *_RATIOS, *_COVARIANCE)),
    ),
    match=_match,
    most=0,
    scalar=True,
    makes=(
        *_VALUES,
        *_RATIOS,
        *_DERIVED,
        *(_branch(vector, part) for vector in (*_VECTORS, *_MIRRORED) for part in ("pt", "phi")),
    ),
    express=_express,
    assemble=_assemble,
)

MET = replace(
    _PLAIN,
    form=_PLAIN.form + 1,
    conditions=(
        *(replace(one, name=_HADRONIC.get(one.name, one.name)) for one in _PLAIN.conditions),
        *(Condition(f"{name}_{axis}") for name in _SEEN_SINCE for axis in "xy"),
    ),
    before=_PLAIN,
)

MODELS = (MET,)
