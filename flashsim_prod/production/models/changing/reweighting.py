"""A reweighter of an object model: learned from what the model has not seen, judged, and left beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.production.models.changing.correcting import (
    CorrectionOptions,
    Step,
    alone_with,
    refuse_useless,
)

if TYPE_CHECKING:
    from flashsim_prod.physics.training.correcting.folder import Unseen
    from flashsim_prod.physics.validation.models.reweighted import Judged


@dataclass(frozen=True, kw_only=True)
class ReweightOptions(CorrectionOptions):
    """How a reweighter learns and what it is for.

    Attributes
    ----------
    use : WeightUse
    candidates : int
        Draws of which resampling takes one.
    """

    use: WeightUse
    candidates: int


@dataclass(frozen=True)
class Reweighted:
    """What came of it.

    Attributes
    ----------
    learned : int
        True objects that it learned from.
    folder : Path
        Where the model is with its reweighter.
    mixtures : tuple of str
        Lines on a model that is of another reference detector than the tables.
    """

    model: str
    kind: str
    use: WeightUse
    candidates: int
    learned: int
    judged: Judged
    worse: tuple[str, ...]
    folder: Path
    mixtures: tuple[str, ...] = ()


def reweight_model(
    name: str, base: str | None, work: Path, options: ReweightOptions, progress: Step
) -> Reweighted:
    """Learn a reweighter of a model in the folder `work`, or of one of the bundle `base`, and judge it.

    Raises
    ------
    RequestError
        If there is no such model, or another fit would be lost.
    BundleError
        If there is no such fit, or bundle, or it is of another declaration.
    InputError
        If there are too few objects that the model has not seen, or the reweighter is of no use: then nothing
        is written.
    LockedError
        If another command is at work on the fit of this model.
    NodeError
        If a GPU is asked for and there is none.
    """
    from flashsim_prod.physics.chain.corrections.section import ReweighterSection

    with alone_with(name, base, work, ReweighterSection) as found:
        return _reweighted(found, work, options, progress)


def _reweighted(found: Unseen, work: Path, options: ReweightOptions, progress: Step) -> Reweighted:
    from flashsim_prod.physics.chain.corrections.section import ReweighterSection
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.training.correcting.folder import (
        REWEIGHTED,
        groups,
        learned_and_judged,
        leave,
    )
    from flashsim_prod.physics.training.correcting.reweight import ReweightSettings, learn_reweighter
    from flashsim_prod.physics.validation.models.reweighted import judge

    name = found.model.name
    device = pick_device(options.device, threads=options.threads)
    settings = ReweightSettings(use=options.use, candidates=options.candidates, seed=options.seed)
    settings = settings.lasting(options.steps, quick=options.quick)
    learned, judged = learned_and_judged(found.table)
    reweighter = learn_reweighter(
        found.fitted,
        found.digest,
        learned,
        settings,
        options.sampling,
        device=device,
        progress=lambda step, steps, loss: progress(f"{name} reweighter", step, steps, loss),
    )
    made = found.corrected(reweighter, {REWEIGHTED: len(learned.row)})
    figures = judge(made.loaded(), judged, groups(judged), options.sampling, options.seed)
    refuse_useless(name, ReweighterSection.WHAT, figures)
    about = {"reweighter_auc_before": figures.auc_before, "reweighter_auc_after": figures.auc_after}
    leave(made.corrected(reweighter, {REWEIGHTED: len(learned.row), **about}), work)
    return Reweighted(
        name,
        found.entry.kind,
        options.use,
        options.candidates,
        len(learned.row),
        figures,
        figures.worse,
        work / "fits" / name,
        found.mixtures,
    )
