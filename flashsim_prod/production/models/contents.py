"""What is in a bundle: its models, how they were trained, and how close they came to held-out events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import BundleError
from flashsim_prod.production.models.bundles import open_bundle
from flashsim_prod.production.models.changing.distilling import StudentFigures, student_figures

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.assessment import Assessment
    from flashsim_prod.physics.chain.bundle import Bundle, ModelEntry

DEFAULT = "reference"


@dataclass(frozen=True)
class ModelContents:
    """One object model of a bundle.

    Attributes
    ----------
    most : int
        Most objects of one source; 0 for what is there once.
    conditions, targets : tuple of str
        What it sees and what it draws.
    parameters : int
        Numbers that were trained.
    fit : mapping
        How the training went.
    lacks : mapping of target to number
        Declared targets that it does not draw: what is taken instead, None if nothing is.
    told_lacks : str
        The same in words; empty if it lacks nothing.
    corrected : str
        What is done to its draws; empty if nothing is.
    student : StudentFigures, optional
        What came of distilling it, if that was tried.
    moved : mapping of target to its distance before, after, and by chance
        What its refiner did; empty if it has none.
    """

    name: str
    kind: str
    produces: str
    most: int
    sha256: str
    conditions: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: int
    fit: Mapping[str, float | int | str]
    lacks: Mapping[str, float | None]
    told_lacks: str
    corrected: str = ""
    student: StudentFigures | None = None
    moved: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOutFigures:
    """How close one model came; what could not be measured is None."""

    objects: int | None
    auc: float | None
    auc_error: float | None
    auc_floor: float | None
    median_w1: float | None
    worst_attribute: str | None
    sources: int | None
    chi2_per_ndf: Mapping[str, float]
    auc_before: float | None = None


@dataclass(frozen=True)
class ToldFigures:
    """How well whole events, or objects of a collection, are told from FullSim's; before, as models began."""

    rows: int
    auc: float
    auc_error: float
    auc_floor: float
    auc_before: float | None


@dataclass(frozen=True)
class HeldOutReport:
    """One comparison with events that the models were not trained on.

    Attributes
    ----------
    command : str
        Makes it again.
    files : mapping of name to events
    models : mapping of name to HeldOutFigures
    events : str
        Which events of each file; empty for all.
    detector : str
        Digest of the reference detector that they are of; empty if it is not known.
    told_apart : mapping of name to ToldFigures
        Whole events and collections, where the files are FullSim.
    """

    made: datetime
    software: str
    command: str
    compared_with: str
    files: Mapping[str, int]
    models: Mapping[str, HeldOutFigures]
    events: str
    told_apart: Mapping[str, ToldFigures]
    detector: str = ""


@dataclass(frozen=True)
class InVersion:
    """A version of NanoAOD as a bundle can give it.

    Attributes
    ----------
    renamed : mapping
        The version's names of what the models declare under another one.
    left_out : mapping
        What the models make and is not written, with the reason.
    otherwise : mapping
        Collections that hold something else than the version's, and what.
    absent : tuple of str
        The version's branches that no model makes.
    """

    version: str
    renamed: Mapping[str, str]
    left_out: Mapping[str, str]
    otherwise: Mapping[str, str]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class BundleContents:
    """All of a bundle.

    Attributes
    ----------
    manifest : mapping
        As ``manifest.json`` has it.
    nano : str
        Version of NanoAOD that the models were fitted to.
    versions : tuple of InVersion
        What becomes of them in each version that is written; empty if no request could run them.
    era : str
        Data-taking period that they stand for.
    is_era_said : bool
        Whether the manifest says so.
    of_other_eras : mapping of object model to str
        Those that were fitted to another era, and which.
    detectors : tuple of str
        The reference detectors that they learned from, and which of them from which; *not recorded* for what
        was trained on anything else, or before it was.
    """

    path: Path
    digest: str
    name: str
    title: str
    created: datetime
    software: Mapping[str, str]
    training_sample: tuple[str, ...]
    models: tuple[ModelContents, ...]
    reports: tuple[HeldOutReport, ...]
    manifest: Mapping[str, Any]
    nano: str
    versions: tuple[InVersion, ...]
    era: str
    is_era_said: bool
    of_other_eras: Mapping[str, str]
    detectors: tuple[str, ...]


@dataclass(frozen=True)
class OneModel:
    """One model of a bundle, with the reports that speak of it.

    Attributes
    ----------
    entry : mapping
        As ``manifest.json`` has it.
    """

    bundle: str
    bundle_digest: str
    model: ModelContents
    reports: tuple[HeldOutReport, ...]
    entry: Mapping[str, Any]


def look_into(bundle: str, model: str | None = None) -> BundleContents | OneModel:
    """What is in a bundle, or one of its models; the name of a model alone is one of the default bundle.

    Raises
    ------
    BundleError
        If there is no such bundle, or no such model in it.
    """
    bundle, model = _as_meant(bundle, model)
    found = open_bundle(bundle)
    return _contents(found) if model is None else _one_model(found, model)


def _as_meant(bundle: str, model: str | None) -> tuple[str, str | None]:
    from flashsim_prod.physics.chain.bundle import find_bundle

    if model is not None:
        return bundle, model
    try:
        find_bundle(bundle)
    except BundleError as error:
        models = open_bundle(DEFAULT).manifest.models
        if bundle not in models:
            hint = nearest(bundle, list(models))
            raise BundleError(f"{error}; nor has {DEFAULT} such a model{hint}") from error
        return DEFAULT, bundle
    return bundle, None


def _contents(bundle: Bundle) -> BundleContents:
    from flashsim_prod.physics.chain.detectors import told_detectors

    manifest = bundle.manifest
    return BundleContents(
        path=bundle.path,
        digest=bundle.digest,
        name=manifest.name,
        title=manifest.title,
        created=manifest.created,
        software=manifest.software,
        training_sample=manifest.training_sample,
        models=tuple(_model(name, entry) for name, entry in manifest.models.items()),
        reports=tuple(_report(one) for one in manifest.fidelity),
        manifest=manifest.model_dump(mode="json"),
        nano=bundle.nano,
        versions=_versions(bundle),
        era=bundle.era,
        is_era_said=manifest.era is not None,
        of_other_eras=_of_other_eras(bundle),
        detectors=tuple(told_detectors(manifest.models)),
    )


def _of_other_eras(bundle: Bundle) -> dict[str, str]:
    from flashsim_prod.physics.chain.bundle import ERA_KEY

    told = {name: str(entry.fit.get(ERA_KEY, bundle.era)) for name, entry in bundle.manifest.models.items()}
    return {name: era for name, era in told.items() if era != bundle.era}


def _versions(bundle: Bundle) -> tuple[InVersion, ...]:
    from flashsim_prod.physics.chain.compatibility import check_models, check_needs
    from flashsim_prod.physics.chain.coverage import coverage
    from flashsim_prod.physics.nanoaod.schema import known_versions

    try:
        models = check_models(bundle)
        check_needs(bundle)
    except BundleError:
        # what is wrong with it is told by whatever runs it
        return ()
    found = (coverage(models, bundle.nano, version) for version in known_versions())
    return tuple(
        InVersion(one.version, one.renamed, one.left_out, one.otherwise, one.absent) for one in found
    )


def _one_model(bundle: Bundle, name: str) -> OneModel:
    models = bundle.manifest.models
    if name not in models:
        raise BundleError(f"bundle {bundle.name} has no model '{name}'{nearest(name, list(models))}")
    reports = tuple(_report(one) for one in bundle.manifest.fidelity if name in one.models)
    entry = models[name]
    return OneModel(bundle.name, bundle.digest, _model(name, entry), reports, entry.model_dump(mode="json"))


def _model(name: str, entry: ModelEntry) -> ModelContents:
    from flashsim_prod.physics.chain.compatibility import lacks, told_lacks

    return ModelContents(
        name=name,
        kind=entry.kind,
        corrected=", ".join(one.told for one in entry.corrections),
        produces=entry.produces,
        most=entry.most,
        sha256=entry.sha256,
        conditions=entry.conditions,
        targets=entry.targets,
        parameters=entry.parameters,
        fit=entry.fit,
        lacks=lacks(name, entry),
        told_lacks=told_lacks(name, entry),
        moved=_moved(entry),
        student=None if entry.distilled is None else student_figures(name, entry.distilled),
    )


def _moved(entry: ModelEntry) -> dict[str, tuple[float, float, float]]:
    if entry.refiner is None or entry.refiner.judgement is None:
        return {}
    found = entry.refiner.judgement.w1
    return {target: (one.before, one.after, one.chance) for target, one in found.items()}


def _report(found: Assessment) -> HeldOutReport:
    return HeldOutReport(
        made=found.made,
        software=found.software,
        command=found.command,
        compared_with=found.compared_with,
        files=found.files,
        models={name: HeldOutFigures(**dict(one)) for name, one in found.models.items()},
        events=found.events,
        told_apart={name: ToldFigures(**dict(one)) for name, one in found.told_apart.items()},
        detector=found.detector,
    )
