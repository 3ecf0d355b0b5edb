"""Models of a bundle calibrated and fine-tuned to the tables of a work folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import Device
from flashsim_prod.errors import InputError
from flashsim_prod.production.models.bundles import open_bundle

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.chain.model import ObjectModel
    from flashsim_prod.physics.training.tuning.settings import TuneSettings
    from flashsim_prod.physics.training.tuning.tune import ModelTuned as ModelTuned

#: what stands for every model
ALL = "all"


@dataclass(frozen=True)
class TuneOptions:
    """How models are tuned.

    Attributes
    ----------
    quick : bool
        A tenth of the steps.
    anew : bool
        Start over, whatever earlier fits left.
    device : Device
    """

    quick: bool = False
    anew: bool = False
    device: Device = Device.AUTO
    threads: int = 1
    seed: int = 1


@dataclass(frozen=True)
class Tunings:
    """Tuned models of a work folder.

    Attributes
    ----------
    base, base_digest : str
        The bundle that they began as.
    models : tuple of ModelTuned
        That were made now.
    kept : tuple of str
        That were there already, of the same tables.
    without_tables : tuple of str
        Models of the base that nothing was extracted for: they stay as they are.
    warnings : tuple of str
        What a user should know of the sample.
    """

    work: Path
    base: str
    base_digest: str
    models: tuple[ModelTuned, ...] = ()
    kept: tuple[str, ...] = ()
    without_tables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class TuneDisplay:
    """Is shown how it goes on; override what is of interest."""

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        """So much of a task is done, with this loss, if networks are trained."""

    def tuned(self, found: ModelTuned) -> None:
        """A model is done."""


def tune_models(
    name: str,
    base: str,
    work: Path,
    options: TuneOptions,
    display: TuneDisplay,
    *,
    only_calibrate: bool = False,
) -> Tunings:
    """Calibrate a model of a bundle, or all, to the tables in `work`, and train on where objects are enough.

    Parameters
    ----------
    name : str
        Of an object model, or ``all``; of all only those that have tables, and are not done.
    base : str
        Name or folder of the bundle.
    only_calibrate : bool
        Leave all networks as they are.

    Raises
    ------
    RequestError
        If there is no such model, or fits in `work` would be lost.
    BundleError
        If there is no such bundle, or it lacks the model, or has one of another declaration.
    InputError
        If there are no tables, or such as do not go together or with the base.
    NodeError
        If a GPU is asked for and there is none.
    """
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.training.tuning.folder import (
        base_unlike_tables,
        forget,
        is_there,
        tune_into_folder,
    )

    bundle, settings = open_bundle(base), _settings(options, only_calibrate)
    models, without = _chosen(name, bundle, work / "tables")
    _refuse_others(models, work, bundle, options, tuning=not only_calibrate)
    device = pick_device(options.device, threads=options.threads)
    made, kept = [], []
    if options.anew:
        forget(models, work)
    for number, model in enumerate(models):
        display.step("models", number, len(models))
        if name == ALL and is_there(model, work, bundle, settings):
            kept.append(model.name)
            continue

        def progress(stage: str, step: int, steps: int, loss: float, model: str = model.name) -> None:
            display.step(f"{model} {stage}", step, steps, loss)

        made.append(tune_into_folder(model, work, bundle, settings, device=device, progress=progress))
        display.tuned(made[-1])
    display.step("models", len(models), len(models))
    return Tunings(
        work,
        bundle.name,
        bundle.digest,
        tuple(made),
        tuple(kept),
        tuple(without),
        (
            *base_unlike_tables(bundle, [model.name for model in models], work / "tables"),
            *_warnings(made, models, work / "tables", settings),
            *_without_corrections([one.model for one in made], bundle),
            *_without_students([one.model for one in made], bundle),
        ),
    )


def _settings(options: TuneOptions, only_calibrate: bool) -> TuneSettings:
    from flashsim_prod.physics.training.tuning.settings import TuneSettings

    settings = TuneSettings(seed=options.seed, is_calibration=only_calibrate)
    return settings.quick() if options.quick and not only_calibrate else settings


def _chosen(name: str, bundle: Bundle, tables: Path) -> tuple[list[ObjectModel], list[str]]:
    """The models that are tuned, and those of the base for which there are no tables."""
    from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS, find_model
    from flashsim_prod.physics.training.drawn import table_files

    if name != ALL:
        return [find_model(name)], []
    known = [one for one in (*MODELS, *OPTIONAL_MODELS) if one.name in bundle.manifest.models]
    found = [model for model in known if table_files(tables, model)]
    if not found:
        raise InputError(f"{tables}: no training tables; run 'flashsim-prod train extract' first")
    return found, [model.name for model in known if model not in found]


def _refuse_others(
    models: Sequence[ObjectModel], work: Path, bundle: Bundle, options: TuneOptions, *, tuning: bool
) -> None:
    """`RequestError` for fits that would be lost, or of another base; those forgotten do not count."""
    from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS
    from flashsim_prod.physics.training.tuning.folder import refuse_others

    others = [model for model in (*MODELS, *OPTIONAL_MODELS) if not (options.anew and model in models)]
    refuse_others([model for model in models if model in others], others, work, bundle, tuning=tuning)


def _without_corrections(made: Sequence[str], bundle: Bundle) -> list[str]:
    """What is said of models whose draws the base corrects: those that come of them are others."""
    return [
        f"{name}: without the base's {one.WHAT}, which is of other draws; train {one.COMMAND} {name}"
        for name in made
        for one in bundle.manifest.models[name].corrections
    ]


def _without_students(made: Sequence[str], bundle: Bundle) -> list[str]:
    """What is said of models that draw with a student in the base: it is the teacher that was tuned."""
    from flashsim_prod.physics.chain.distilled import students

    names = [name for name in students(bundle.manifest.models) if name in made]
    if not names:
        return []
    return [f"{', '.join(names)}: without the base's student, whose teacher is another now; train distil"]


def _warnings(
    made: Sequence[ModelTuned], models: Sequence[ObjectModel], tables: Path, settings: TuneSettings
) -> list[str]:
    from flashsim_prod.physics.training.drawn import table_files
    from flashsim_prod.physics.training.tuning.settings import Done

    told = []
    files = sorted({path.stem for model in models for path in table_files(tables, model)})
    if len(files) == 1:
        told.append(
            f"all is learned from {files[0]}: of a single process, models may take what is peculiar to it "
            "for the detector; extract others beside it"
        )
    for done, what in (
        (Done.NUMBERS, f"fewer than {settings.least} objects, only their numbers were calibrated"),
        (
            Done.BLENDED,
            f"fewer than {settings.alone} objects, distributions were blended with the base's and "
            "networks left alone",
        ),
    ):
        names = [f"{one.model} ({one.objects})" for one in made if one.done is done]
        if names:
            told.append(f"{what}: {', '.join(names)}")
    told += _at_rest(made, settings)
    for one in made:
        if one.lacking:
            lacking = ", ".join(one.lacking)
            told.append(
                f"{one.model}: its tables lack {lacking}: these stay as they were, as all networks do"
            )
    return told


def _at_rest(made: Sequence[ModelTuned], settings: TuneSettings) -> list[str]:
    """What is said of models with objects enough, of kinds whose networks are not trained on."""
    from flashsim_prod.physics.training.tuning.settings import Done

    names: dict[str, list[str]] = {}
    for one in made:
        if settings.done_with(one.objects) is Done.TUNED and one.done is not Done.TUNED and not one.lacking:
            names.setdefault(one.kind, []).append(one.model)
    return [
        f"{', '.join(models)}: what draws the attributes of a {kind} learned against a critic and is not "
        "trained on: calibrated, and otherwise as it was"
        for kind, models in names.items()
    ]
