"""The fidelity report of a bundle on held-out files: all figures as JSON, and a page to look at."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from flashsim_prod import __version__
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.files import read_text
from flashsim_prod.files import write_json as write_figures
from flashsim_prod.physics.chain.assessment import REPORT_NAME, Assessment, ModelFigures
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.detectors import together
from flashsim_prod.physics.chain.distilled import students
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.event_range import WHOLE, EventRange
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.training.record import FitRecord, Losses
from flashsim_prod.physics.validation.dataset.years import of_other_years, refuse_other_meaning
from flashsim_prod.physics.validation.models.against import (
    FEWEST,
    FULLSIM,
    Beside,
    full_sim,
    lights_of,
)
from flashsim_prod.physics.validation.models.fidelity import MIN_ROWS, Samples, assess
from flashsim_prod.physics.validation.models.figures import (
    AUC_LIMITS,
    CHI2_LIMITS,
    ModelFidelity,
    worst,
)
from flashsim_prod.physics.validation.models.held_out import (
    Gathering,
    HeldOutFile,
    inspect_all,
    of_other_detector,
    read_chunks,
    sample_title,
)
from flashsim_prod.physics.validation.models.whole_events import Derived, WholeEvents
from flashsim_prod.physics.validation.quantities import Quantity
from flashsim_prod.physics.validation.statistics.distances import F64, ChiSquare

SCHEMA_VERSION = 1

#: called with what is being done, how much of it is done and how much there is
StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How a report is made.

    Attributes
    ----------
    max_rows : int
        Objects of each model, and events for the whole chain, that are compared at most.
    models : tuple of str
        Only these object models; then no whole events are compared.
    fits : Path, optional
        Folder of the fits, for the losses of those that the bundle was made of.
    event_range : EventRange
        Which events of the files.
    is_fullsim : bool
        Whether the files are known to be FullSim, of which there is little: fewer objects have to do.
    """

    max_rows: int = 20_000
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 1
    models: tuple[str, ...] = ()
    device: str = "cpu"
    fits: Path | None = None
    event_range: EventRange = WHOLE
    is_fullsim: bool = False


@dataclass(frozen=True)
class Part:
    """One object model's figures, and what they are drawn from."""

    fidelity: ModelFidelity
    samples: Samples
    losses: Losses


@dataclass(frozen=True)
class WholePart:
    """One quantity's figures, and its values of the chain and of the reference."""

    quantity: Quantity
    derived: Derived
    drawn: F64
    reference: F64


@dataclass(frozen=True)
class FidelityReport:
    """All that a report says.

    Attributes
    ----------
    title : str
        What the sample compared with may be called.
    n_events : int
        Events that the whole chain was compared on.
    notes : tuple of str
        What a reader should know beside the figures.
    """

    bundle: Bundle
    files: tuple[HeldOutFile, ...]
    title: str
    options: Options
    parts: tuple[Part, ...]
    whole: tuple[WholePart, ...]
    n_events: int
    notes: tuple[str, ...]
    beside: Beside | None = None
    made: datetime = field(default_factory=lambda: datetime.now(UTC))

    def figures(self) -> dict[str, Any]:
        """The contents of ``report.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "made": self.made.isoformat(timespec="seconds"),
            "software": f"flashsim-prod {__version__}",
            "bundle": {
                "name": self.bundle.name,
                "title": self.bundle.title,
                "digest": self.bundle.digest,
                "training_sample": list(self.bundle.manifest.training_sample),
            },
            "compared_with": self.title,
            "files": [asdict(file) for file in self.files],
            "sampling": self.options.sampling.model_dump(),
            "seed": self.options.seed,
            "max_rows": self.options.max_rows,
            "notes": list(self.notes),
            "summary": self.summary(),
            "command": self.command,
            "weights": {
                part.fidelity.name: self.bundle.manifest.models[part.fidelity.name].drawn_by
                for part in self.parts
            },
            "assessment": self.assessment().model_dump(mode="json"),
            "models": [_with_lights(part.fidelity) for part in self.parts],
            "events": self.n_events,
            "derived": [_with_lights(part.derived) for part in self.whole],
            **({"against": self.beside.as_json()} if self.beside else {}),
        }

    @property
    def command(self) -> str:
        """What makes this report again, where bundle and files are at hand."""
        options, sampling = self.options, self.options.sampling
        files = [file.name for file in self.files]
        words = ["flashsim-prod", "train", "report", self.bundle.name]
        words += ["--against", *files] if options.is_fullsim else files
        if not options.event_range.is_whole:
            words += ["--events", str(options.event_range)]
        for model in options.models:
            words += ["--model", model]
        words += ["--max-rows", str(options.max_rows), "--seed", str(options.seed)]
        if students(self.bundle.manifest.models) and sampling == Sampling():
            # said, it would be of their teachers
            return shlex.join(words)
        words += ["--solver", sampling.solver, "--evaluations", str(sampling.evaluations)]
        return shlex.join([*words, "--grid-power", f"{sampling.grid_power:g}"])

    def assessment(self) -> Assessment:
        """What a bundle's manifest keeps of it."""
        return Assessment(
            made=self.made.replace(microsecond=0),
            software=f"flashsim-prod {__version__}",
            command=self.command,
            compared_with=self.title,
            files={file.name: file.entries for file in self.files},
            max_rows=self.options.max_rows,
            seed=self.options.seed,
            sampling=self.options.sampling,
            models={part.fidelity.name: self._kept(part.fidelity) for part in self.parts},
            events="" if self.options.event_range.is_whole else str(self.options.event_range),
            before=self.beside.begun_as if self.beside else "",
            told_apart=self.beside.figures() if self.beside else {},
            groups=lights_of(self.beside.after) if self.beside else {},
            detector=together(file.years.detector for file in self.files),
        )

    def _kept(self, found: ModelFidelity) -> ModelFigures:
        """Figures of one model, with the area before if it is known."""
        kept = _kept_figures(found)
        before = self.beside.models_before.get(found.name) if self.beside else None
        return kept if before is None else kept.model_copy(update={"auc_before": round(before, 4)})

    def summary(self) -> dict[str, Any]:
        """The worst and the usual, over all models."""
        found = [part.fidelity for part in self.parts]
        properties = [one.properties for one in found if one.properties is not None]
        numbers = [one.multiplicity for one in found if one.multiplicity is not None]
        areas = [one.auc.value for one in properties]
        return {
            "auc_limits": AUC_LIMITS,
            "chi2_limits": CHI2_LIMITS,
            "auc_median": float(np.median(areas)) if areas else None,
            "auc_largest": max(areas, default=None),
            "wasserstein_median": float(np.median([one.median_wasserstein for one in properties]))
            if properties
            else None,
            "chi2_per_ndf_largest": max((one.largest_chi2 for one in numbers), default=None),
            **_curves_above([curve.chi2 for one in numbers for curve in one.curves]),
            "light": worst([one.light for one in found] + [part.derived.light for part in self.whole]),
        }


def _kept_figures(found: ModelFidelity) -> ModelFigures:
    """In as many digits as their errors allow."""
    properties, numbers = found.properties, found.multiplicity
    of_properties: dict[str, Any] = {}
    of_numbers: dict[str, Any] = {}
    if properties is not None:
        of_properties = {
            "objects": properties.objects,
            "auc": round(properties.auc.value, 4),
            "auc_error": round(properties.auc.error, 4),
            "auc_floor": round(properties.floor.value, 4),
            "median_w1": round(properties.median_wasserstein, 4),
            "worst_attribute": properties.attributes[0].name,
        }
    if numbers is not None:
        of_numbers = {
            "sources": numbers.rows,
            "chi2_per_ndf": {curve.axis: round(curve.chi2.per_ndf, 3) for curve in numbers.curves},
        }
    return ModelFigures(**of_properties, **of_numbers)


def _curves_above(found: list[ChiSquare]) -> dict[str, float]:
    """How many of the numbers' curves are above the limit, and how many chance alone would put there."""
    limit = CHI2_LIMITS[0]
    return {
        "chi2_curves": len(found),
        "chi2_above_limit": sum(one.per_ndf > limit for one in found),
        "chi2_above_limit_by_chance": round(sum(one.chance_above(limit) for one in found), 1),
    }


def make_fidelity_report(
    bundle: Bundle,
    files: Sequence[str],
    options: Options | None = None,
    progress: StageProgress = lambda stage, done, total: None,
) -> FidelityReport:
    """Compare a bundle's models with NANOAOD that none of them was trained on.

    Parameters
    ----------
    bundle : Bundle
    files : sequence of str
        Paths or URLs; each gives an equal share of the rows.
    options : Options, optional
    progress : callable

    Raises
    ------
    InputError
        A file is damaged, made by FlashSim, or lacks what a model needs.
    BundleError
        The bundle does not fit this software, or draws values that are not finite.
    """
    options = options or Options()
    chain = Chain(bundle, device=options.device, sampling=options.sampling)
    chosen = _chosen(chain, bundle, options.models)
    inputs = full_sim(files) if options.is_fullsim else inspect_all(files)
    for url, file in zip(files, inputs, strict=True):
        refuse_other_meaning(url, file.years, bundle, {fitted.model.produces for fitted in chosen})
    share = -(-options.max_rows // len(files))
    gatherings = [Gathering(fitted.model, share) for fitted in chosen]
    whole = WholeEvents(chain, options.seed) if not options.models else None
    for number, url in enumerate(files):
        chunks = read_chunks(url, number, chain.schema, options.event_range)
        first, last = options.event_range.of(inputs[number].entries, url)
        _gather(url, chunks, last - first, gatherings, whole, share, progress)
    parts = []
    for number, (fitted, gathering) in enumerate(zip(chosen, gatherings, strict=True)):
        progress("models", number, len(chosen))
        fidelity, samples = assess(
            fitted,
            gathering.result(),
            chain.schema,
            options.sampling,
            options.seed,
            least=FEWEST if options.is_fullsim else MIN_ROWS,
        )
        parts.append(Part(fidelity, samples, _losses(options.fits, fitted.model.name, bundle)))
    progress("models", len(chosen), len(chosen))
    return FidelityReport(
        bundle,
        inputs,
        FULLSIM if options.is_fullsim else sample_title(inputs),
        options,
        tuple(parts),
        tuple(WholePart(*result) for result in whole.results()) if whole else (),
        whole.n_events if whole else 0,
        _notes(bundle, inputs, options.event_range, whole),
    )


def _chosen(chain: Chain, bundle: Bundle, names: tuple[str, ...]) -> list[FittedModel]:
    fitted = [one for _, models in chain.groups for one in models]
    for name in names:
        if name not in bundle.manifest.models:
            raise RequestError(
                f"the bundle {bundle.path} has no model '{name}'; see 'flashsim-prod bundle show'"
            )
    return [one for one in fitted if not names or one.model.name in names]


def _gather(
    url: str,
    chunks: Iterator[tuple[int, Events]],
    entries: int,
    gatherings: Sequence[Gathering],
    whole: WholeEvents | None,
    share: int,
    progress: StageProgress,
) -> None:
    """Read a file until every model, and the whole chain, has its share."""
    for start, events in chunks:
        progress(Path(url).name, start, entries)
        for gathering in gatherings:
            gathering.add(events, url)
        if whole is not None and start < share:
            whole.add(events.slice(0, share - start))
        if all(gathering.is_full for gathering in gatherings) and start + events.n >= share:
            break
    progress(Path(url).name, entries, entries)
    for gathering in gatherings:
        gathering.end_file()


def _losses(fits: Path | None, model: str, bundle: Bundle) -> Losses:
    """How the fit of a model went, if the folder holds the very fit that the bundle was made of."""
    if fits is None:
        return {}
    entry, record = fits / model / "entry.json", fits / model / "fit.json"
    if not (entry.is_file() and record.is_file()):
        return {}
    try:
        if json.loads(read_text(entry))["sha256"] != bundle.manifest.models[model].sha256:
            return {}
        losses: Losses = FitRecord.losses_in(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record.parent}: no record of a fit; fit {model} again") from error
    return losses


def _notes(
    bundle: Bundle, files: tuple[HeldOutFile, ...], event_range: EventRange, whole: WholeEvents | None
) -> tuple[str, ...]:
    notes = []
    for file in files:
        if event_range.meets(bundle.manifest.training_sample, Path(file.name).stem, file.entries):
            notes.append(f"{file.name} is named in the bundle's training sample: its events are not held out")
        odd = of_other_years(file.name, file.years, bundle)
        notes += [odd] if odd else of_other_detector(file, bundle)
    if whole is not None and whole.skipped:
        notes.append(f"whole events are not compared: {whole.skipped}")
    return tuple(notes)


def _with_lights(value: Any) -> Any:
    """A dataclass as a mapping, its verdict and other properties of use included."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {name: _with_lights(getattr(value, name)) for name in value.__dataclass_fields__}
        for name in ("light", "per_ndf", "median_wasserstein", "largest_chi2"):
            if hasattr(type(value), name):
                found[name] = getattr(value, name)
        return found
    if isinstance(value, tuple | list):
        return [_with_lights(one) for one in value]
    return value


def write_json(report: FidelityReport, folder: Path) -> Path:
    """Write ``report.json`` into `folder`, which is made if need be."""
    return write_figures(folder / REPORT_NAME, report.figures())
