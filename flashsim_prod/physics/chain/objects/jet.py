"""Jets: from generator jets, and fakes from pileup."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    CONTENT_CONDITIONS,
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    RECONSTRUCTION_BRANCHES,
    RECONSTRUCTION_CONDITIONS,
    closest,
    closest_conditions,
    content,
    flavour_conditions,
    flavours,
    per_event,
    per_object,
    reconstruction,
    scalar_sum,
    stable,
)
from flashsim_prod.physics.chain.forms import F64
from flashsim_prod.physics.chain.model import (
    Condition,
    ObjectModel,
    Relation,
    Rows,
    Scale,
    Target,
    wrap_angle,
)
from flashsim_prod.physics.chain.objects.jet_attributes import TARGETS, assemble, express
from flashsim_prod.physics.chain.objects.jet_regimes import with_regimes
from flashsim_prod.physics.definitions.completion import with_gen_jets
from flashsim_prod.physics.definitions.jets_muons import in_ghosts, jet_id
from flashsim_prod.physics.definitions.links import close_pairs, flat, nearest
from flashsim_prod.physics.events import Collection, Column, Events

#: NanoAODv9 keeps no jet below this [GeV]
_LOWEST_PT = 15.0
#: flavours of pileup's jets in the order that the flow draws them in: quarks, unknown, gluons
_FLAVOURS = np.array([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 0, 21])


def _gen_jets(events: Events) -> Rows:
    jets = events["GenJet"]
    return per_object(
        events,
        jets,
        [
            flavours(jets["partonFlavour"], jets["hadronFlavour"]),
            closest(jets, stable(events, 13), 2, "muon"),
            closest(jets, stable(events, 11), 1, "electron"),
            closest(jets, stable(events, 22), 1, "photon"),
            content(events),
            reconstruction(events, jets.event_index),
            {"abs_eta": np.abs(jets["eta"])},
        ],
    )


def _match_gen_jets(events: Events, rows: Rows) -> NDArray[np.int64]:
    jets = events["Jet"]
    return flat(jets["genJetIdx"], jets, events["GenJet"])


def _pileup(events: Events) -> Rows:
    return per_event(
        events,
        {
            "gen_ht": scalar_sum(events, events["GenJet"]),
            "n_gen_jets": events["GenJet"].counts.astype(np.float32),
            **reconstruction(events, np.arange(events.n)),
        },
    )


def _match_pileup(events: Events, rows: Rows) -> NDArray[np.int64]:
    jets = events["Jet"]
    return np.where(_match_gen_jets(events, rows) < 0, jets.event_index, -1)


_OF_GEN_JET = (
    Target("pt", Relation.RATIO),
    Target("eta", Relation.DIFFERENCE),
    Target("phi", Relation.ANGLE),
)


def _express_genuine(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    seen = {target.name: target.express(attributes[target.name], rows) for target in _OF_GEN_JET}
    return express(attributes) | seen


def _assemble_genuine(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    made = {target.name: target.restore(drawn[target.name], rows) for target in _OF_GEN_JET}
    origin = {"partonFlavour": rows["partonFlavour"], "from_pileup": np.zeros(len(rows), bool)}
    return assemble({**drawn, **made}) | origin


def _express_pileup(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    eta, flavour = attributes["eta"], attributes["partonFlavour"]
    place = np.argsort(_FLAVOURS)[np.searchsorted(np.sort(_FLAVOURS), flavour)]
    own = {"abs_eta": np.abs(eta), "side": eta > 0, "flavour": place}
    own |= {name: attributes[name] for name in ("pt", "phi")}
    return express(attributes) | own


def _assemble_pileup(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    eta = np.where(drawn["side"] > 0, drawn["abs_eta"], -drawn["abs_eta"])
    flavour = _FLAVOURS[drawn["flavour"].astype(np.int64)]
    origin = {"partonFlavour": flavour, "from_pileup": np.ones(len(rows), bool)}
    return assemble({**drawn, "eta": eta}) | origin


_PLAIN_FROM_GEN_JET = ObjectModel(
    name="jet_from_genjet",
    produces="Jet",
    uses=("GenJet", "GenPart", *PILEUP_BRANCHES, *RECONSTRUCTION_BRANCHES),
    source=_gen_jets,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("mass", Scale.LOG1P),
        *flavour_conditions(),
        *closest_conditions(2, "muon"),
        *closest_conditions(1, "electron"),
        *closest_conditions(1, "photon"),
        *CONTENT_CONDITIONS,
        Condition("abs_eta"),
        *PILEUP_CONDITIONS,
        *RECONSTRUCTION_CONDITIONS,
    ),
    targets=(*_OF_GEN_JET, *TARGETS),
    match=_match_gen_jets,
    completed=("partonFlavour",),
    express=_express_genuine,
    assemble=_assemble_genuine,
)

_PLAIN_FROM_PILEUP = ObjectModel(
    name="jet_from_pileup",
    produces="Jet",
    uses=("GenJet", *PILEUP_BRANCHES, *RECONSTRUCTION_BRANCHES),
    source=_pileup,
    conditions=(
        Condition("gen_ht", Scale.LOG1P),
        Condition("n_gen_jets"),
        *PILEUP_CONDITIONS,
        *RECONSTRUCTION_CONDITIONS,
    ),
    targets=(*(Target(name) for name in ("pt", "abs_eta", "side", "phi", "flavour")), *TARGETS),
    match=_match_pileup,
    express=_express_pileup,
    assemble=_assemble_pileup,
    most=25,
)

FROM_GEN_JET, FROM_PILEUP = (with_regimes(plain) for plain in (_PLAIN_FROM_GEN_JET, _PLAIN_FROM_PILEUP))

MODELS = (FROM_GEN_JET, FROM_PILEUP)


#: radius of the jets
_RADIUS = 0.4
#: A jet is turned by the golden angle, whose multiples never come back to where it was. Of two thousand top
#: quark pairs none needed more than half of these turns.
_TURN, _MOST_TURNS = np.pi * (3 - np.sqrt(5)), 20


def finish(parts: list[Collection], events: Events) -> Collection:
    """All jets by falling pt, with their identification and their generator jets."""
    jets = Collection.join(parts)
    jets = in_ghosts(jets.select(jets["pt"] >= _LOWEST_PT).sorted_by("pt"))
    jets = _apart(jets, events["GenJet"])
    return with_gen_jets(jets.with_columns(jetId=jet_id(jets)), events["GenJet"])


def _apart(jets: Collection, gen_jets: Collection) -> Collection:
    """`jets` without the column ``from_pileup``, those of pileup turned in azimuth away from all others.

    Jets are drawn each by itself, but jet finding leaves no two in one cone, and a pileup jet near a
    generator jet would count as that one's. Pileup is the same in all directions, so a jet is turned
    rather than dropped, and the number of jets stays that of the model.
    """
    columns = {name: column for name, column in jets.columns.items() if name != "from_pileup"}
    phi = columns["phi"] = jets["phi"].copy()
    busy = np.ones(jets.n_events, bool)
    for _ in range(_MOST_TURNS):
        crowded = _crowded(jets.with_columns(phi=phi), gen_jets, busy)
        phi[crowded] = wrap_angle(phi[crowded] + _TURN)
        busy = np.bincount(jets.event_index[crowded], minlength=jets.n_events) > 0
        if not len(crowded):
            break
    return Collection(jets.counts, columns)


def _crowded(jets: Collection, gen_jets: Collection, busy: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions of those jets of pileup in `busy` events that lie in a generator jet's or a prior jet's cone.

    Genuine jets come before those of pileup, and these in the order of `jets`.
    """
    chosen = jets["from_pileup"] & busy[jets.event_index]
    position, pileup = np.flatnonzero(chosen), jets.select(chosen)
    crowded = nearest(pileup, gen_jets, _RADIUS)[0] >= 0
    one, other, _ = close_pairs(pileup, jets, _RADIUS)
    crowded[one[~jets["from_pileup"][other] | (other < position[one])]] = True
    return position[crowded]
