"""All object models that this software knows, and what follows from their products.

A new object is a module of declarations, named here; the chain's order follows from what models use and
produce, and training, bundles and simulation need nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from flashsim_prod.core.names import NANO_RUN3
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
from flashsim_prod.physics.chain.variants import v15
from flashsim_prod.physics.chain.variants.variant import Variant
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


#: versions of NanoAOD that models are declared for beside that whose names they use, by what they produce
_VARIANTS: Mapping[str, Mapping[str, Variant]] = {NANO_RUN3: v15.VARIANTS}
AS_DECLARED = Variant()


def variant_of(model: ObjectModel) -> Variant:
    """How the version that `model` is of differs for what it produces."""
    return _VARIANTS.get(model.version, {}).get(model.produces, AS_DECLARED)


def in_version(model: ObjectModel, version: str) -> ObjectModel:
    """The model of the same name that draws what a version of NanoAOD has.

    Raises
    ------
    RequestError
        If that has nothing of the kind: what is optional is declared for one version alone.
    """
    is_other = version != model.version and (version in _VARIANTS or model.version in _VARIANTS)
    if is_other and any(one.name == model.name for one in OPTIONAL_MODELS):
        raise RequestError(
            f"{model.name}: NanoAOD {version} has no {model.produces} here; take files of {model.version}"
        )
    if not is_other or all(one.name != model.name for one in MODELS):
        return model
    return _in_version(model.name, version)


@cache
def _in_version(name: str, version: str) -> ObjectModel:
    model = find_model(name)
    if version not in _VARIANTS:
        return model
    variant = _VARIANTS[version].get(model.produces)
    plain = model.as_plain
    return replace(plain, version=version) if variant is None else variant.of(plain, version)


def in_form(model: ObjectModel, form: int) -> ObjectModel:
    """The model of the same name as weights of `form` draw it: the declared one if there is no such form."""
    return next((one for one in model.forms if one.form == form), model)


def models_of(version: str) -> tuple[ObjectModel, ...]:
    """All object models, as they are in a version of NanoAOD."""
    return tuple(in_version(model, version) for model in MODELS)


def plain_models_of(version: str) -> tuple[ObjectModel, ...]:
    """The same in plain columns."""
    return tuple(model.as_plain for model in models_of(version))


def find_model(name: str) -> ObjectModel:
    """The object model called `name`; `RequestError` with the nearest name otherwise."""
    known = {model.name: model for model in (*MODELS, *OPTIONAL_MODELS)}
    found = known.get(name)
    if found is None:
        raise RequestError(f"no object model '{name}'{nearest(name, list(known))}")
    return found
