"""How close a bundle's models come to held-out events: measured, written down, and told in a few figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import Sampling
from flashsim_prod.production.models.bundles import open_bundle

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.models.figures import (
        ModelFidelity,
        MultiplicityFidelity,
        Properties,
    )
    from flashsim_prod.physics.validation.models.report import FidelityReport, WholePart
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
    sampling : Sampling
        How the flows are integrated.
    models : sequence of str
        Only these object models, and no whole events.
    device : Device
    """

    max_rows: int = 20_000
    sampling: Sampling = field(default_factory=Sampling)
    models: Sequence[str] = ()
    device: Device = Device.AUTO
    threads: int = 1
    seed: int = 1


@dataclass(frozen=True)
class PropertyFigures:
    """Of the attributes that a model draws; `light` is the verdict on the area."""

    objects: int
    median_w1: float
    auc: float
    floor: float
    worst: str
    light: str


@dataclass(frozen=True)
class NumberFigures:
    """Of the numbers of objects: the largest chi2/ndf, and along which axis."""

    chi2_per_ndf: float
    axis: str
    light: str


@dataclass(frozen=True)
class ModelVerdict:
    """One object model; what it lacks, or had too few rows for, is None."""

    name: str
    light: str
    properties: PropertyFigures | None
    numbers: NumberFigures | None
    notes: tuple[str, ...]


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
    from flashsim_prod.physics.validation.models.page import write_page
    from flashsim_prod.physics.validation.models.report import Options, make_fidelity_report, write_json

    asked = Options(
        max_rows=options.max_rows,
        sampling=options.sampling,
        seed=options.seed,
        models=tuple(options.models),
        device=pick_device(options.device, threads=options.threads),
        fits=work / "fits",
    )
    made = make_fidelity_report(open_bundle(bundle), files, asked, progress)
    write_json(made, output)
    page = write_page(made, output, progress)
    return WrittenReport(fidelity_of(made), page, made.figures())


def fidelity_of(report: FidelityReport) -> Fidelity:
    """A report in a few figures."""
    found = report.summary()
    return Fidelity(
        bundle=report.bundle.name,
        compared_with=report.title,
        notes=report.notes,
        models=tuple(_model(part.fidelity) for part in report.parts),
        whole=tuple(_event(part) for part in report.whole),
        curves=found["chi2_curves"],
        curves_above=found["chi2_above_limit"],
        above_by_chance=found["chi2_above_limit_by_chance"],
        limit=found["chi2_limits"][0],
    )


def _model(one: ModelFidelity) -> ModelVerdict:
    properties = None if one.properties is None else _properties(one.properties)
    numbers = None if one.multiplicity is None else _numbers(one.multiplicity)
    return ModelVerdict(one.name, one.light, properties, numbers, one.notes)


def _properties(found: Properties) -> PropertyFigures:
    return PropertyFigures(
        found.objects,
        found.median_wasserstein,
        found.auc.value,
        found.floor.value,
        found.attributes[0].name,
        found.light,
    )


def _numbers(found: MultiplicityFidelity) -> NumberFigures:
    largest = found.worst_curve
    return NumberFigures(largest.chi2.per_ndf, largest.axis, found.light)


def _event(part: WholePart) -> EventVerdict:
    one = part.derived
    return EventVerdict(one.name, one.light, one.entries[0], _ratio(one.mean_ratio), _ratio(one.width_ratio))


def _ratio(figure: Measured | None) -> Ratio | None:
    return None if figure is None else Ratio(figure.value, figure.error)
