"""From events with both levels to the bundle of an analysis; whatever was interrupted goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.analyses.config import Analysis, FitOptions
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import InputError
from flashsim_prod.files import read_text, write_whole
from flashsim_prod.physics.analysis.model import Regression
from flashsim_prod.physics.analysis.sample import Sample, notes_of, read_samples
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import find_kind
from flashsim_prod.physics.training.assemble import ENTRY, build_bundle, fitted_entry, is_fit_of, load_fitted
from flashsim_prod.physics.training.fit import LEAST_OBJECTS, fit_model, leave_fit
from flashsim_prod.physics.training.optimise import FitSettings

#: in the training sample of a bundle: before the names of files, and behind them
_OF_FILES, _TRAINED_ON = " pass the selection, of ", ", trained on the "
#: called with a task, how much of it is done, how much there is, and the loss if it is a fit's
Progress = Callable[[str, int, int, float | None], None]

_CONFIG, _DETECTORS = "analysis.json", "detectors.json"
_PARTS = ("learned", "held_out")
#: folders in that of a training
_FIT, CLOSURE, BUNDLE = "fit", "closure", "bundle"
#: rows of a step
_BATCH, _BATCH_FOR_EFFICIENCY = 1024, 2048
#: how often a generator event is looked at, if nothing else is said, and the steps that this may come to
_LOOKS, _LOOKS_FOR_EFFICIENCY = 200, 120
_LEAST_STEPS, _MOST_STEPS = 200, 6000
#: events drawn to calibrate with, about, and how often each event is drawn at most
_CALIBRATED_WITH, _MOST_DRAWS = 60_000, 50
#: tells these draws from others of the same seed
_STREAM = 2


@dataclass(frozen=True)
class Parts:
    """Events that are learned from, others that the closure is measured on, and what detector made them."""

    learned: Sample
    held_out: Sample
    detectors: Mapping[str, str]


def refuse_other_analysis(analysis: Analysis, work: Path, *, quick: bool) -> None:
    """`InputError` if the folder `work` is of another analysis, or of another form of this one."""
    path = work / _CONFIG
    if not path.is_file():
        return
    mine = _told(analysis, quick)
    try:
        there = json.loads(read_text(path))
        name = there["analysis"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged; give another --work, or --anew to start over") from error
    if there == mine:
        return
    if name != analysis.name:
        whose = f"the analysis {name}, not {analysis.name}"
    elif there["analysis"] == mine["analysis"]:
        whose = f"a training {'without' if quick else 'with'} --quick"
    else:
        whose = f"{name} as it was before its configuration was changed"
    raise InputError(f"{work} is of {whose}; give another --work, or --anew to start over")


def _told(analysis: Analysis, quick: bool) -> dict[str, Any]:
    return {"analysis": json.loads(analysis.model_dump_json()), "quick": quick}


def start_over(work: Path) -> None:
    """Remove what a training left in the folder `work`, and nothing that is somebody else's there."""
    if not (work / _CONFIG).is_file():
        return
    for name in (_FIT, CLOSURE, BUNDLE):
        shutil.rmtree(work / name, ignore_errors=True)
    for name in (*(f"{part}.safetensors" for part in _PARTS), _DETECTORS, _CONFIG):
        (work / name).unlink(missing_ok=True)


def note_analysis(analysis: Analysis, work: Path, *, quick: bool) -> None:
    """Have the folder `work` say whose it is."""
    work.mkdir(parents=True, exist_ok=True)
    write_whole(work / _CONFIG, json.dumps(_told(analysis, quick), indent=1) + "\n")


def parts_of(regression: Regression, files: Sequence[str], work: Path, progress: Progress) -> Parts:
    """The events of `files`, read anew only if they were not.

    Raises
    ------
    InputError
        If too few events pass, or a file cannot be read.
    """
    paths = [work / f"{name}.safetensors" for name in _PARTS]
    notes = notes_of(regression, files)
    if all(path.is_file() for path in paths) and (work / _DETECTORS).is_file():
        loaded = [Sample.load(path) for path in paths]
        if all(told == notes for _, told in loaded):
            return Parts(loaded[0][0], loaded[1][0], json.loads(read_text(work / _DETECTORS)))
    whole, detectors = whole_sample(regression, files, progress)
    passing, fit = int(whole.passes.sum()), regression.analysis.fit
    learned, held_out = whole.cut(fit.held_out, fit.seed)
    if learned.passes.sum() < LEAST_OBJECTS or not held_out.passes.any():
        raise InputError(
            f"{regression.where}: {passing:,} of {len(whole):,} events pass the selection, of which "
            f"{int(learned.passes.sum()):,} can be learned from and at least {LEAST_OBJECTS:,} are needed; "
            "give more files"
        )
    for path, one in zip(paths, (learned, held_out), strict=True):
        one.save(path, notes)
    write_whole(work / _DETECTORS, json.dumps(detectors) + "\n")
    return Parts(learned, held_out, detectors)


def whole_sample(
    regression: Regression, files: Sequence[str], progress: Progress
) -> tuple[Sample, dict[str, str]]:
    """The events of `files`, and what detector made them.

    Raises
    ------
    InputError
        If none passes the selection, or a file cannot be read.
    """
    found, detectors = [], dict[str, str]()
    for url, done, total, one in read_samples(files, regression, detectors):
        found.append(one)
        progress(Path(url).name, done, total, None)
    whole = Sample.concatenate(found)
    if not whole.passes.any():
        raise InputError(
            f"{regression.where}: no event of {len(whole):,} passes the selection; mend it, or give files of "
            "another process"
        )
    return whole, detectors


def fit_analysis(
    regression: Regression, parts: Parts, work: Path, *, quick: bool, device: str, progress: Progress
) -> FittedModel:
    """The model of an analysis, fitted to what there is to learn; from a checkpoint if there is one."""
    fit, folder, model = regression.analysis.fit, work / _FIT, regression.model
    settings = settings_for(fit, parts.learned)
    settings = settings.quick() if quick else settings
    if (folder / ENTRY).is_file():
        _refuse_other_events(folder, model.name, parts.learned)
    else:
        size = find_kind(fit.kind).declared_size(model, width=fit.width, blocks=fit.blocks)
        fitted, record = fit_model(
            model,
            parts.learned.table(),
            settings,
            folder,
            device=device,
            size=size,
            kind=fit.kind,
            progress=lambda network, step, steps, loss: progress(
                f"{model.name} {network}", step, steps, loss
            ),
        )
        leave_fit(calibrated(fitted, parts.learned, fit.seed), record, folder)
    # as jobs will have it: with its weights rounded
    return load_fitted(folder, model)[0]


def _refuse_other_events(folder: Path, name: str, learned: Sample) -> None:
    """`InputError` if the fit in `folder` is none to the events `learned`."""
    if not is_fit_of(fitted_entry(folder, name), learned.table()):
        raise InputError(
            f"{folder} is a fit to events of other files; give another --work, or --anew to start over"
        )


def settings_for(fit: FitOptions, learned: Sample) -> FitSettings:
    """How long is learned.

    Networks see a hundred numbers of a generator event, and its folds have the same ones: after some hundred
    looks at each they know it by heart, and other generator events are drawn the worse for it.
    """

    def worth(events: NDArray[np.int64], looks: int, batch: int, most: int) -> int:
        return int(np.clip(looks * len(np.unique(events)) // batch, _LEAST_STEPS, most))

    passing = worth(learned.gen[learned.passes], _LOOKS, _BATCH, _MOST_STEPS)
    efficiency = worth(learned.gen, _LOOKS_FOR_EFFICIENCY, _BATCH_FOR_EFFICIENCY, _MOST_STEPS)
    return FitSettings(
        flow_steps=fit.steps or passing,
        multiplicity_steps=fit.efficiency_steps or efficiency,
        seed=fit.seed,
        batch=_BATCH,
        multiplicity_batch=_BATCH_FOR_EFFICIENCY,
        checkpoint_every=200,
    )


def calibrated(fitted: FittedModel, learned: Sample, seed: int) -> FittedModel:
    """The model with each variable's distribution that of the events it was learned from.

    What a network gives for one event after another is right on average only as far as it has learned, and
    analyses look at averages first. So the steps between normal numbers and variables are moved to where what
    is drawn has the probabilities that the truth has: variable by variable, ranks and correlations stay.
    """
    chance = fitted.probabilities(learned.conditions)[:, 1]
    draws = int(np.clip(np.ceil(_CALIBRATED_WITH / max(1.0, chance.sum())), 1, _MOST_DRAWS))
    random = np.random.default_rng((seed, _STREAM))
    row = np.concatenate([np.flatnonzero(random.random(len(chance)) < chance) for _ in range(draws)])
    if len(row) < LEAST_OBJECTS:
        # an efficiency that is near to none tells nothing of those that pass
        row = np.flatnonzero(learned.passes)
    normals = random.normal(size=(len(row), fitted.n_normals))
    latents = fitted.latents(learned.conditions[row], normals, Sampling())
    maps = tuple(one.calibrated(column) for one, column in zip(fitted.gaussianisers, latents.T, strict=True))
    return replace(fitted, gaussianisers=maps)


def learned_from(sample: Sequence[str], files: Sequence[str]) -> list[str]:
    """The names of those of `files` that the training sample of an analysis' bundle names."""
    known = {
        name
        for line in sample
        for names in [line.partition(_OF_FILES)[2].partition(_TRAINED_ON)[0]]
        for name in names.split()
    }
    return [name for name in dict.fromkeys(Path(url).name for url in files) if name in known]


def bundle_of(regression: Regression, parts: Parts, work: Path, target: Path) -> Bundle:
    """The bundle of a fitted analysis, in the new folder `target`; `BundleError` if that exists."""
    analysis = regression.analysis
    by_reference = sorted(set(filter(None, parts.detectors.values())))
    whose = f"{_TRAINED_ON}{' and the '.join(by_reference)}" if by_reference else ""
    n, passing = len(parts.learned), int(parts.learned.passes.sum())
    files = " ".join(Path(url).name for url in parts.detectors)
    return build_bundle(
        {analysis.name: work / _FIT},
        target,
        name=analysis.name,
        title=f"{analysis.title}{whose}",
        # as of all that was trained on it, datasets say so in their names
        tag=f"RefDet_{analysis.dataset_tag}" if by_reference else analysis.dataset_tag,
        training_sample=(f"{n:,} events, of which {passing:,}{_OF_FILES}{files}{whose}",),
        analysis=analysis,
    )
