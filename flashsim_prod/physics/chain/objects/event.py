"""Event scalars: the primary vertex, the median energy densities and the soft activity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, PILEUP_CONDITIONS, per_event, scalar_sum
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Relation, Rows, Scale, Target
from flashsim_prod.physics.events import Events

_DENSITIES = tuple(
    f"fixedGridRhoFastjet{kind}"
    for kind in ("All", "Central", "CentralCalo", "CentralChargedPileUp", "CentralNeutral")
)
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
            "n_gen_jets": events["GenJet"].counts,
            "lepton_pt": scalar_sum(events, particles.select(leptons)),
            **{name: events.scalars[name] for name in _VERTEX},
        },
    )


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    return np.arange(events.n)


SCALARS = ObjectModel(
    name="event_scalars",
    produces="event scalars",
    uses=("GenJet", "GenPart", *_VERTEX, *PILEUP_BRANCHES),
    source=_events,
    conditions=(
        Condition("gen_ht", Scale.LOG1P),
        Condition("n_gen_jets"),
        Condition("lepton_pt", Scale.LOG1P),
        *PILEUP_CONDITIONS,
    ),
    targets=(
        Target("PV_x", Relation.DIFFERENCE, to="GenVtx_x"),
        Target("PV_y", Relation.DIFFERENCE, to="GenVtx_y"),
        Target("PV_z", Relation.DIFFERENCE, to="GenVtx_z"),
        *(Target(f"PV_{name}") for name in ("chi2", "ndof", "score", "npvs", "npvsGood")),
        *(Target(name) for name in (*_DENSITIES, *_SOFT_ACTIVITY)),
    ),
    match=_match,
    most=0,
    scalar=True,
)

MODELS = (SCALARS,)
