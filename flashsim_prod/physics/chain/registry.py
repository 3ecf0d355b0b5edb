"""All object models that this software knows, and what follows from their products.

A new object is a module of declarations, named here; the chain's order follows from what models use and
produce, and training, bundles and simulation need nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.objects import (
    constituents,
    electron,
    event,
    fatjet,
    fsr_photon,
    jet,
    met,
    muon,
    muon_fakes,
    photon,
    secondary_vertex,
    subjet,
    tau,
)
from flashsim_prod.physics.events import Collection, Events

MODELS: tuple[ObjectModel, ...] = (
    *event.MODELS,
    *jet.MODELS,
    *muon.MODELS,
    *muon_fakes.MODELS,
    *met.MODELS,
    *electron.MODELS,
    *photon.MODELS,
    *fsr_photon.MODELS,
    *fatjet.MODELS,
    *subjet.MODELS,
    *tau.MODELS,
    *secondary_vertex.MODELS,
)

#: what a bundle may hold beside these, of files that have more than NanoAOD; only on demand
OPTIONAL_MODELS: tuple[ObjectModel, ...] = (*constituents.MODELS,)


def finish_collection(parts: list[Collection], events: Events) -> Collection:
    """The objects of all sources of a collection, by falling pt."""
    return Collection.join(parts).sorted_by("pt")


#: how the sources of a collection come together, where there is more to it than sorting
FINISHERS: dict[str, Callable[[list[Collection], Events], Collection]] = {
    "Jet": jet.finish,
    "Muon": muon.finish,
    "Electron": electron.finish,
    "Photon": photon.finish,
    "FsrPhoton": fsr_photon.finish,
    "FatJet": fatjet.finish,
    "SubJet": subjet.finish,
    "Tau": tau.finish,
    "SV": secondary_vertex.finish,
    "PFCands": constituents.finish,
}


def find_model(name: str) -> ObjectModel:
    """The object model called `name`; `RequestError` with the nearest name otherwise."""
    known = {model.name: model for model in (*MODELS, *OPTIONAL_MODELS)}
    found = known.get(name)
    if found is None:
        raise RequestError(f"no object model '{name}'{nearest(name, list(known))}")
    return found
