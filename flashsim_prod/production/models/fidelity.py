"""How close a bundle's models come to held-out events: measured, written down, and told in a few figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError, RequestError
from flashsim_prod.production.models.bundles import open_bundle

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.validation.dataset.figures import DatasetFidelity
    from flashsim_prod.physics.validation.models.against import Beside
    from flashsim_prod.physics.validation.models.figures import (
        ModelFidelity,
        MultiplicityFidelity,
        Properties,
    )
    from flashsim_prod.physics.validation.models.report import FidelityReport, Options, WholePart
    from flashsim_prod.physics.validation.statistics.distances import Measured

#: called with what is being done, how much of it is done and how much there is
StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FidelityOptions:
    """What is measured, and how.

    Attributes
    ----------
    max_rows : int
        Objects of each model, and whole events, at most.
    sampling : Sampling, optional
        How the flows are integrated; by default as requests of the bundle do it.
    models : sequence of str
        Only these object models, and no whole events.
    is_fullsim : bool
        Whether the files are FullSim: then whole events and collections are told apart from it.
    before : str, optional
        Bundle to be measured beside it; by default the one that its models began as.
    events : str, optional
        FIRST:LAST of each file, in events or in percent; all by default.
    figures : bool
        Draw every attribute, most of the time that it takes.
    device : Device
    """

    max_rows: int = 20_000
    sampling: Sampling | None = None
    models: Sequence[str] = ()
    is_fullsim: bool = False
    before: str | None = None
    events: str | None = None
    figures: bool = True
    device: Device = Device.AUTO
    threads: int = 1
    seed: int = 1


@dataclass(frozen=True)
class PropertyFigures:
    """Of the attributes that a model draws; `light` is the verdict on the area, `before` that of its base."""

    objects: int
    median_w1: float
    auc: float
    floor: float
    worst: str
    light: str
    before: float | None = None


@dataclass(frozen=True)
class NumberFigures:
    """Of the numbers of objects: the largest chi2/ndf, and along which axis."""

    chi2_per_ndf: float
    axis: str
    light: str


@dataclass(frozen=True)
class SetVerdict:
    """A distance of drawn sets from held-out ones, and that between two halves of the latter."""

    name: str
    value: float
    error: float
    floor: float


@dataclass(frozen=True)
class ModelVerdict:
    """One object model; what it lacks, or had too few rows for, is None. `n_sets` are those compared."""

    name: str
    light: str
    properties: PropertyFigures | None
    numbers: NumberFigures | None
    notes: tuple[str, ...]
    n_sets: int = 0
    sets: tuple[SetVerdict, ...] = ()


@dataclass(frozen=True)
class ToldVerdict:
    """How well whole events or the objects of a collection are told from FullSim's."""

    name: str
    rows: int
    before: float | None
    auc: float
    error: float
    floor: float
    light: str


@dataclass(frozen=True)
class Ratio:
    """A figure with its error."""

    value: float
    error: float


@dataclass(frozen=True)
class EventVerdict:
    """One quantity of whole events, against the reference's."""

    name: str
    light: str
    entries: int
    mean: Ratio | None
    width: Ratio | None


@dataclass(frozen=True)
class Fidelity:
    """A fidelity report in a few figures.

    Attributes
    ----------
    compared_with : str
        What the held-out sample may be called.
    told : tuple of ToldVerdict
        Whole events and collections beside FullSim's; empty if they were not compared.
    groups, groups_before : mapping of light to number
        Of the groups that ``validate`` has; before, as the models began.
    begun_as : str
        The bundle that was measured as before.
    notes : tuple of str
        What a reader should know beside the figures.
    curves, curves_above : int
        Curves of numbers, and those above `limit`.
    above_by_chance : float
        How many chance alone would put there.
    """

    bundle: str
    compared_with: str
    notes: tuple[str, ...]
    models: tuple[ModelVerdict, ...]
    whole: tuple[EventVerdict, ...]
    told: tuple[ToldVerdict, ...]
    groups: Mapping[str, int]
    groups_before: Mapping[str, int]
    begun_as: str
    curves: int
    curves_above: int
    above_by_chance: float
    limit: float


@dataclass(frozen=True)
class WrittenReport:
    """A fidelity report in its folder.

    Attributes
    ----------
    page : Path
    figures : mapping
        The contents of ``report.json``.
    """

    fidelity: Fidelity
    page: Path
    figures: Mapping[str, Any]


def report_fidelity(
    bundle: str,
    files: Sequence[str],
    output: Path,
    options: FidelityOptions,
    *,
    work: Path,
    progress: StageProgress,
) -> WrittenReport:
    """Measure how close a bundle's models come to held-out events; write a page and JSON into `output`.

    Parameters
    ----------
    bundle : str
        Name or folder.
    files : sequence of str
        NANOAOD with truth that no model was trained on.
    work : Path
        Where the fits were made, for how their losses fell.

    Raises
    ------
    NodeError
        If libraries that a report needs are not installed, or a GPU is asked for and there is none.
    InputError
        If a file cannot be read, or lacks what a model needs.
    BundleError
        If there is no such bundle, or it does not fit this software.
    """
    from flashsim_prod.physics.validation.drawing.libraries import check_libraries

    # what follows loads them
    check_libraries()
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.chain.teachers import drawn_with
    from flashsim_prod.physics.event_range import EventRange
    from flashsim_prod.physics.validation.models.page import write_page
    from flashsim_prod.physics.validation.models.report import Options, make_fidelity_report, write_json

    found, sampling = drawn_with(open_bundle(bundle), options.sampling)
    asked = Options(
        max_rows=options.max_rows,
        sampling=sampling,
        seed=options.seed,
        models=tuple(options.models),
        device=pick_device(options.device, threads=options.threads),
        fits=work / "fits",
        event_range=EventRange.parse(options.events),
        is_fullsim=options.is_fullsim,
    )
    begun_as, why_not = _begun_as(found, options.before) if options.is_fullsim else (None, "")
    made = make_fidelity_report(found, files, asked, progress)
    if options.is_fullsim and not options.models:
        before = None if begun_as is None else drawn_with(begun_as, options.sampling)
        made = replace(made, beside=_beside(found, before, files, asked, progress))
    if why_not:
        made = replace(made, notes=(*made.notes, why_not))
    write_json(made, output)
    page = write_page(made, output, progress, figures=options.figures)
    return WrittenReport(fidelity_of(made), page, made.figures())


def _begun_as(bundle: Bundle, named: str | None) -> tuple[Bundle | None, str]:
    """The bundle that the models of another began as, and what is to be said if it is not at hand."""
    from flashsim_prod.physics.training.tuning.folder import BASE, BASE_DIGEST

    if named is not None:
        other = open_bundle(named)
        if other.nano != bundle.nano:
            raise RequestError(
                f"--before: bundle {other.name} was made for NanoAOD {other.nano} and {bundle.name} for "
                f"{bundle.nano}; name one of the same version"
            )
        return other, ""
    told = {
        (str(entry.fit[BASE]), str(entry.fit[BASE_DIGEST]))
        for entry in bundle.manifest.models.values()
        if BASE_DIGEST in entry.fit
    }
    for name, digest in sorted(told):
        try:
            found = open_bundle(name)
        except BundleError:
            continue
        if found.digest == digest:
            return found, ""
    if not told:
        return None, ""
    names = " and ".join(f"{name} ({digest[:12]})" for name, digest in sorted(told))
    return (
        None,
        f"nothing is said of before: the models began as {names}, which is not here; name it with --before",
    )


def _beside(
    bundle: Bundle,
    before: tuple[Bundle, Sampling] | None,
    files: Sequence[str],
    asked: Options,
    progress: StageProgress,
) -> Beside:
    """Both bundles on the generator level of FullSim's events, beside these; each draws in its own steps."""
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.nanoaod.versions.names import declared_in
    from flashsim_prod.physics.validation.models.against import Beside, compare_with, read_held_out
    from flashsim_prod.physics.validation.models.report import make_fidelity_report

    held_out = read_held_out(files, declared_in(bundle.nano), asked.event_range, asked.max_rows, progress)

    def compared(one: Bundle, sampling: Sampling) -> DatasetFidelity:
        chain = Chain(one, device=asked.device, sampling=sampling)
        return compare_with(chain, held_out, asked.seed, progress)

    after = compared(bundle, asked.sampling)
    if before is None:
        return Beside(after)
    begun_as, sampling = before
    # of single models only: named, so that no whole events are compared once more
    alone = replace(asked, sampling=sampling, models=tuple(begun_as.manifest.models), fits=None)
    parts = make_fidelity_report(begun_as, files, alone, progress).parts
    areas = {
        part.fidelity.name: part.fidelity.properties.auc.value for part in parts if part.fidelity.properties
    }
    return Beside(after, compared(begun_as, sampling), f"{begun_as.name} ({begun_as.digest[:12]})", areas)


def fidelity_of(report: FidelityReport) -> Fidelity:
    """A report in a few figures."""
    found = report.summary()
    return Fidelity(
        bundle=report.bundle.name,
        compared_with=report.title,
        notes=report.notes,
        models=tuple(
            _model(part.fidelity, report.beside.models_before if report.beside else {})
            for part in report.parts
        ),
        whole=tuple(_event(part) for part in report.whole),
        told=_told(report.beside),
        groups=_lights(report.beside.after if report.beside else None),
        groups_before=_lights(report.beside.before if report.beside else None),
        begun_as=report.beside.begun_as if report.beside else "",
        curves=found["chi2_curves"],
        curves_above=found["chi2_above_limit"],
        above_by_chance=found["chi2_above_limit_by_chance"],
        limit=found["chi2_limits"][0],
    )


def _told(beside: Beside | None) -> tuple[ToldVerdict, ...]:
    from flashsim_prod.physics.validation.models.against import told_of

    if beside is None:
        return ()
    lights = {name: one.light.value for name, one in told_of(beside.after).items()}
    return tuple(
        ToldVerdict(name, one.rows, one.auc_before, one.auc, one.auc_error, one.auc_floor, lights[name])
        for name, one in beside.figures().items()
    )


def _lights(found: DatasetFidelity | None) -> Mapping[str, int]:
    from flashsim_prod.physics.validation.models.against import lights_of

    return lights_of(found) if found is not None else {}


def _model(one: ModelFidelity, before: Mapping[str, float]) -> ModelVerdict:
    properties = None if one.properties is None else _properties(one.properties, before.get(one.name))
    numbers = None if one.multiplicity is None else _numbers(one.multiplicity)
    sets = tuple(
        SetVerdict(each.name, each.value.value, each.value.error, each.floor.value)
        for each in (one.sets.figures if one.sets else ())
    )
    n_sets = one.sets.sets if one.sets else 0
    return ModelVerdict(one.name, one.light, properties, numbers, one.notes, n_sets, sets)


def _properties(found: Properties, before: float | None) -> PropertyFigures:
    return PropertyFigures(
        found.objects,
        found.median_wasserstein,
        found.auc.value,
        found.floor.value,
        found.attributes[0].name,
        found.light,
        before,
    )


def _numbers(found: MultiplicityFidelity) -> NumberFigures:
    largest = found.worst_curve
    return NumberFigures(largest.chi2.per_ndf, largest.axis, found.light)


def _event(part: WholePart) -> EventVerdict:
    one = part.derived
    return EventVerdict(one.name, one.light, one.entries[0], _ratio(one.mean_ratio), _ratio(one.width_ratio))


def _ratio(figure: Measured | None) -> Ratio | None:
    return None if figure is None else Ratio(figure.value, figure.error)
