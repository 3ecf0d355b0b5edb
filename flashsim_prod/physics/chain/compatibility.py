"""Whether the models of a bundle are those that this software declares; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import NANO_KEY, Bundle, ModelEntry, Tensors
from flashsim_prod.physics.chain.corrections.section import (
    check_is_of,
    check_sampling,
    model_digest,
    without_corrections,
)
from flashsim_prod.physics.chain.left_out import check_left_out
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS, in_form, in_version
from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
)
from flashsim_prod.physics.nanoaod.schema import Schema

#: every object model that this software knows, by name
DECLARED: Mapping[str, ObjectModel] = {model.name: model for model in (*MODELS, *OPTIONAL_MODELS)}
_GENERATED = frozenset((*GEN_COLLECTIONS, *GEN_SCALARS, *OPTIONAL_COLLECTIONS, *OPTIONAL_SCALARS))


def check_models(bundle: Bundle) -> list[ObjectModel]:
    """The models of a bundle, each with those targets that its weights draw.

    Raises
    ------
    BundleError
        If this software does not know one, if one sees or draws something that is not declared, or if
        something is to be made of a target that one lacks; naming the bundle, the model and the first
        difference.
    """
    models = []
    if bundle.manifest.analysis is not None:
        raise BundleError(
            f"{bundle.path}: a bundle of the analysis {bundle.manifest.analysis.name}, which makes flat "
            "ntuples and no NANOAOD; give it by --analysis"
        )
    for name, entry in bundle.manifest.models.items():
        if name not in DECLARED:
            raise BundleError(f"{bundle.path}: unknown object model '{name}'{nearest(name, list(DECLARED))}")
        models.append(as_drawn_by(DECLARED[name], entry))
    check_left_out(models, Schema.default(), str(bundle.path))
    return models


def check_needs(bundle: Bundle) -> None:
    """Check that each model finds what it uses: at generator level, or made by another model.

    Raises
    ------
    BundleError
        Naming the model and what is missing.
    """
    models = [
        in_form(in_version(DECLARED[name], bundle.nano), entry.form).drawing(entry.targets)
        for name, entry in bundle.manifest.models.items()
    ]
    there = _GENERATED.union(*(model.outputs for model in models))
    for model in models:
        for name in model.uses:
            if name not in there:
                raise BundleError(
                    f"{bundle.path}: {model.name} needs {name}, which no model of this bundle makes; "
                    "complete it from another bundle, as with --base reference"
                )


def check_samplings(bundle: Bundle, sampling: Sampling) -> None:
    """`BundleError` if a correction of the bundle knows draws that are integrated otherwise only."""
    for name, entry in bundle.manifest.models.items():
        for section in entry.corrections:
            check_sampling(section, name, sampling)


def check_corrections(bundle: Bundle) -> None:
    """`BundleError` if a correction of the bundle is of another model than that which it comes with."""
    for name, entry in bundle.manifest.models.items():
        if entry.corrections:
            check_own(name, entry, bundle.tensors(name))


def check_own(name: str, entry: ModelEntry, tensors: Tensors) -> None:
    """`BundleError` if a correction of a model knows other draws than those of these weights."""
    if entry.reweighter is not None:
        check_is_of(entry.reweighter, name, model_digest(entry.kind, entry.form, tensors))
    if entry.refiner is not None:
        alone = model_digest(entry.kind, entry.form, without_corrections(tensors))
        check_is_of(entry.refiner, name, alone)


def weighting(bundle: Bundle) -> frozenset[str]:
    """Models of the bundle that weight events by what they draw."""
    return frozenset(
        name
        for name, entry in bundle.manifest.models.items()
        if entry.reweighter is not None and entry.reweighter.use is WeightUse.WEIGHT
    )


def as_drawn_by(model: ObjectModel, entry: ModelEntry) -> ObjectModel:
    """`model` in the version of NanoAOD of `entry`, with those targets that the weights of that draw.

    They may lack some: attributes that were declared after they were made. `BundleError`, with the first
    difference, if they were made for anything else than what `model` declares.
    """
    drawn = _as_fitted(model, entry).drawing(entry.targets)
    check_signature(drawn, entry)
    return drawn


def lacks(name: str, entry: ModelEntry) -> dict[str, float | None]:
    """Declared targets of a model that an entry's weights lack: what is taken instead, None if nothing is."""
    model = declared_for(name, entry)
    return {} if model is None else {one.name: one.default for one in model.drawing(entry.targets).lacking}


def declared_for(name: str, entry: ModelEntry) -> ObjectModel | None:
    """The model of an entry's version of NanoAOD and form; ``None`` if this software knows none."""
    model = DECLARED.get(name)
    return None if model is None else _as_fitted(model, entry)


def _as_fitted(model: ObjectModel, entry: ModelEntry) -> ObjectModel:
    """`model` in the version of NanoAOD and the form that weights were fitted to."""
    return in_form(in_version(model, version_of(entry)), entry.form)


def check_learns(name: str, entry: ModelEntry, where: str) -> None:
    """`BundleError` if weights draw columns of an earlier form, of which there are no tables any more."""
    model = DECLARED.get(name)
    if model is None or declared_for(name, entry) is in_version(model, version_of(entry)):
        return
    raise BundleError(
        f"{where}: {name} is of form {entry.form} of its columns, which draws as ever; tables are of form "
        f"{model.form}, so it cannot be trained, corrected or distilled further: fit it anew"
    )


def version_of(entry: ModelEntry) -> str:
    """The version of NanoAOD that weights were fitted to."""
    return str(entry.fit.get(NANO_KEY, NANO_VERSION))


def told_lacks(name: str, entry: ModelEntry) -> str:
    """The same in words; empty if it lacks nothing."""
    return ", ".join(
        f"{target} ({'left out' if default is None else f'drawn as {default:g} everywhere'})"
        for target, default in lacks(name, entry).items()
    )


def told_missing(models: Mapping[str, ModelEntry]) -> tuple[str, ...]:
    """What files simulated by these models will be without, a line each; optional models are not missed."""
    told, made = [], {DECLARED[name].produces for name in models}
    whole = sorted({model.produces for model in MODELS} - made)
    if whole:
        told.append(f"no {', '.join(whole)}: the bundle has no model that makes them")
    parts = [model.name for model in MODELS if model.name not in models and model.produces in made]
    if parts:
        told.append(f"no objects of {', '.join(parts)}: the bundle lacks these models")
    told += [
        f"{DECLARED[name].produces} of {name}: {lacking}"
        for name, entry in models.items()
        if (lacking := told_lacks(name, entry))
    ]
    return tuple(told)


def check_signature(model: ObjectModel, entry: ModelEntry) -> None:
    """Check that weights were made for just what `model` declares; `BundleError` with the first difference.

    A model of a bundle may have fewer targets than it declares: `as_drawn_by`.
    """
    if not entry.form:
        raise BundleError(
            f"model {model.name} of the bundle does not say which form of its formulas it was made for; "
            f"write form: {model.form} into its manifest if that is known to be it, or fit the model again"
        )
    for key, wanted in model.signature().items():
        found = getattr(entry, key)
        difference = (
            _difference(list(found), wanted)
            if isinstance(wanted, list)
            else f"{found} instead of {wanted}"
            if found != wanted
            else ""
        )
        if difference:
            raise BundleError(
                f"model {model.name} of the bundle was made for other {key} than this software declares: "
                f"{difference}; use the software that the manifest names, or see "
                f"'flashsim-prod bundle format {model.name}'"
            )


def _difference(found: Sequence[str], wanted: Sequence[str]) -> str:
    """What two lists differ in; empty if in nothing."""
    for missing, extra, word in ((wanted, found, "lacks"), (found, wanted, "has")):
        odd = [one for one in missing if one not in extra]
        if odd:
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            return f"it {word} {odd[0]}{more}"
    return "" if list(found) == list(wanted) else "they are in another order, or some are there twice"
