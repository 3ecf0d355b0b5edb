"""Event scalars: the primary vertex, the median energy densities and the soft activity."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    central_ht,
    per_event,
    scalar_sum,
)
from flashsim_prod.physics.chain.forms import F64, filled
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Relation, Rows, Scale, Target
from flashsim_prod.physics.events import Column, Events

_DENSITIES = tuple(
    f"fixedGridRhoFastjet{kind}"
    for kind in ("All", "Central", "CentralCalo", "CentralChargedPileUp", "CentralNeutral")
)
#: thresholds [GeV] on the jets of soft activity, each sum and count within the one before it
_ABOVE = (2, 5, 10)
#: jets between neighbouring thresholds
_BANDS = tuple(pairwise(_ABOVE))
_SOFT_ACTIVITY = tuple(
    f"SoftActivityJet{name}" for name in ("HT", "HT2", "HT5", "HT10", "Njets2", "Njets5", "Njets10")
)
_VERTEX = ("GenVtx_x", "GenVtx_y", "GenVtx_z")


def _events(events: Events) -> Rows:
    particles = events["GenPart"]
    leptons = np.isin(np.abs(particles["pdgId"].astype(np.int64)), (11, 13)) & (particles["status"] == 1)
    return per_event(
        events,
        {
            "gen_ht": scalar_sum(events, events["GenJet"]),
            "central_ht": central_ht(events),
            "n_gen_jets": events["GenJet"].counts,
            "lepton_pt": scalar_sum(events, particles.select(leptons)),
            **{name: events.scalars[name] for name in _VERTEX},
        },
    )


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    return np.arange(events.n)


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    """Soft activity as what each threshold adds: how many jets, and their mean pt."""
    found = {target.name: target.express(attributes[target.name], rows) for target in _DIRECT}
    found["bad_vertices"] = attributes["PV_npvs"] - attributes["PV_npvsGood"]
    for low, high in _BANDS:
        number = attributes[_count(low)] - attributes[_count(high)]
        energy = attributes[_sum(low)].astype(np.float64) - attributes[_sum(high)]
        found[f"jets_{low}_{high}"] = number
        found[f"mean_{low}_{high}"] = filled(energy / np.maximum(number, 1), number > 0)
    number = attributes[_count(_ABOVE[-1])]
    found[_count(_ABOVE[-1])] = number
    found["mean_above"] = filled(attributes[_sum(_ABOVE[-1])] / np.maximum(number, 1), number > 0)
    found["softest"] = attributes["SoftActivityJetHT"] - attributes[_sum(_ABOVE[0])]
    return found


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    made: dict[str, Column] = {
        target.name: target.restore(drawn[target.name], rows) for target in _DIRECT if target.name in drawn
    }
    made["PV_npvsGood"] = np.maximum(drawn["PV_npvs"] - drawn["bad_vertices"], 0)
    number = drawn[_count(_ABOVE[-1])]
    energy = number * drawn["mean_above"]
    made |= {_count(_ABOVE[-1]): number, _sum(_ABOVE[-1]): energy}
    for low, high in reversed(_BANDS):
        number = number + drawn[f"jets_{low}_{high}"]
        energy = energy + drawn[f"jets_{low}_{high}"] * drawn[f"mean_{low}_{high}"]
        made |= {_count(low): number, _sum(low): energy}
    made["SoftActivityJetHT"] = energy + drawn["softest"]
    return made


def _count(threshold: int) -> str:
    return f"SoftActivityJetNjets{threshold}"


def _sum(threshold: int) -> str:
    return f"SoftActivityJetHT{threshold}"


_VERTEX_SHIFTS = ("PV_x", "PV_y", "PV_z")
_FREE = ("PV_chi2", "PV_ndof", "PV_score", "PV_npvs", *_DENSITIES)
#: drawn as they are, or as displacements from the generated vertex
_DIRECT = (
    *(Target(f"PV_{x}", Relation.DIFFERENCE, to=f"GenVtx_{x}") for x in "xyz"),
    *(Target(name) for name in _FREE),
)

SCALARS = ObjectModel(
    name="event_scalars",
    produces="event scalars",
    uses=("GenJet", "GenPart", *_VERTEX, *PILEUP_BRANCHES),
    source=_events,
    conditions=(
        Condition("gen_ht", Scale.LOG1P),
        Condition("central_ht", Scale.LOG1P),
        Condition("n_gen_jets"),
        Condition("lepton_pt", Scale.LOG1P),
        *PILEUP_CONDITIONS,
    ),
    targets=(
        *_DIRECT,
        Target("bad_vertices"),
        Target(_count(_ABOVE[-1])),
        *(Target(f"{what}_{low}_{high}") for low, high in _BANDS for what in ("jets", "mean")),
        Target("mean_above"),
        Target("softest"),
    ),
    match=_match,
    most=0,
    scalar=True,
    makes=(*_VERTEX_SHIFTS, *_FREE, "PV_npvsGood", *_SOFT_ACTIVITY),
    express=_express,
    assemble=_assemble,
)

MODELS = (SCALARS,)
