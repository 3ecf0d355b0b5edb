"""A refiner of an object model: learned from what the model has not seen, judged, and left beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.models.changing.correcting import (
    CorrectionOptions,
    Step,
    alone_with,
    refuse_useless,
)

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.corrections.section import RefinerJudgement
    from flashsim_prod.physics.training.correcting.folder import Unseen
    from flashsim_prod.physics.training.correcting.refine import Learned, RefineSettings
    from flashsim_prod.physics.validation.models.reweighted import Judged


@dataclass(frozen=True, kw_only=True)
class RefineOptions(CorrectionOptions):
    """How a refiner learns.

    Attributes
    ----------
    pairing : float, optional
        What the squared distance to the paired true object counts for.
    """

    pairing: float | None = None


@dataclass(frozen=True)
class Refined:
    """What came of it.

    Attributes
    ----------
    learned : int
        True objects that it learned from.
    moves : tuple of str
        Targets that it moves.
    loss_before, loss_after : float
        On objects held out of the learning.
    lost : str
        The reweighter that the model had, which knows no refined draws; empty if it had none.
    folder : Path
        Where the model is with its refiner.
    mixtures : tuple of str
        Lines on a model that is of another reference detector than the tables.
    """

    model: str
    kind: str
    learned: int
    moves: tuple[str, ...]
    loss_before: float
    loss_after: float
    judged: Judged
    worse: tuple[str, ...]
    lost: str
    folder: Path
    mixtures: tuple[str, ...] = ()


def refine_model(name: str, base: str | None, work: Path, options: RefineOptions, progress: Step) -> Refined:
    """Learn a refiner of a model in the folder `work`, or of one of the bundle `base`, and judge it.

    Raises
    ------
    RequestError
        If there is no such model, nothing of it can be moved, or another fit would be lost.
    BundleError
        If there is no such fit, or bundle, or it is of another declaration.
    InputError
        If there are too few objects that the model has not seen, or the refiner is of no use: then nothing is
        written.
    LockedError
        If another command is at work on the fit of this model.
    NodeError
        If a GPU is asked for and there is none.
    """
    from flashsim_prod.physics.chain.corrections.section import RefinerSection

    with alone_with(name, base, work, RefinerSection) as found:
        return _refined(found, work, options, progress)


def _refined(found: Unseen, work: Path, options: RefineOptions, progress: Step) -> Refined:
    from flashsim_prod.physics.chain.corrections.refiner import moving
    from flashsim_prod.physics.chain.corrections.section import RefinerSection
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.training.correcting.folder import (
        REFINED,
        groups,
        learned_and_judged,
        leave,
    )
    from flashsim_prod.physics.training.correcting.refine import learn_refiner
    from flashsim_prod.physics.validation.models.reweighted import judge

    name = found.model.name
    fitted = found.fitted
    if not moving(fitted.model, fitted.gaussianisers):
        raise RequestError(
            f"{name}: all that it draws are whole numbers, flags and spikes, of which a refiner moves none; "
            f"reweight it: flashsim-prod train reweight {name}"
        )
    device = pick_device(options.device, threads=options.threads)
    learned, judged = learned_and_judged(found.table)
    made = learn_refiner(
        fitted,
        found.digest,
        learned,
        _settings(options),
        options.sampling,
        device=device,
        progress=lambda step, steps, loss: progress(f"{name} refiner", step, steps, loss),
    )
    if made.is_at_rest:
        raise InputError(
            f"{name}: of no use, nothing was written: on objects held out nothing was better than to leave "
            f"draws as they are (loss {made.loss_before:.5f}); learn from more objects, or do without"
        )
    about = {REFINED: len(learned.row)}
    figures = judge(
        found.corrected(made.refiner, about).loaded(), judged, groups(judged), options.sampling, options.seed
    )
    refuse_useless(name, RefinerSection.WHAT, figures)
    section = made.refiner.section.model_copy(update={"judgement": _judgement(made, figures)})
    leave(found.corrected(replace(made.refiner, section=section), about), work)
    return Refined(
        name,
        found.entry.kind,
        len(learned.row),
        section.moves,
        made.loss_before,
        made.loss_after,
        figures,
        figures.worse,
        found.lost,
        work / "fits" / name,
        found.mixtures,
    )


def _settings(options: RefineOptions) -> RefineSettings:
    from flashsim_prod.physics.training.correcting.refine import RefineSettings

    settings = RefineSettings(seed=options.seed).lasting(options.steps, quick=options.quick)
    return settings if options.pairing is None else replace(settings, pairing=options.pairing)


def _judgement(made: Learned, figures: Judged) -> RefinerJudgement:
    """What a manifest says of it."""
    from flashsim_prod.physics.chain.corrections.section import Moved, RefinerJudgement

    return RefinerJudgement(
        objects=figures.objects,
        auc_before=figures.auc_before,
        auc_after=figures.auc_after,
        auc_error=figures.auc_error,
        floor=figures.floor,
        loss_before=round(made.loss_before, 6),
        loss_after=round(made.loss_after, 6),
        w1={
            one.target: Moved(before=one.before, after=one.after, chance=one.chance)
            for one in figures.distances
        },
    )
