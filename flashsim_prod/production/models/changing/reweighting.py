"""A reweighter of an object model: learned from what the model has not seen, judged, and left beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import Device, WeightUse
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import InputError
from flashsim_prod.production.models.bundles import open_bundle

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.models.reweighted import Judged

#: called with the task, its steps done, all of them, and a loss
Step = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class ReweightOptions:
    """How a reweighter learns and what it is for.

    Attributes
    ----------
    use : WeightUse
    candidates : int
        Draws of which resampling takes one.
    steps : int, optional
        Of the classifier.
    quick : bool
        A tenth of the steps.
    sampling : Sampling
        How draws are integrated, which requests then have to repeat.
    """

    use: WeightUse
    candidates: int
    sampling: Sampling
    steps: int | None = None
    quick: bool = False
    device: Device = Device.AUTO
    threads: int = 1
    seed: int = 1


@dataclass(frozen=True)
class Reweighted:
    """What came of it.

    Attributes
    ----------
    learned : int
        True objects that it learned from.
    folder : Path
        Where the model is with its reweighter.
    """

    model: str
    kind: str
    use: WeightUse
    candidates: int
    learned: int
    judged: Judged
    worse: tuple[str, ...]
    folder: Path


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
    NodeError
        If a GPU is asked for and there is none.
    """
    from flashsim_prod.physics.chain.corrections.section import ReweighterSection
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.chain.registry import find_model
    from flashsim_prod.physics.training.correcting.folder import (
        REWEIGHTED,
        groups,
        learned_and_judged,
        leave,
        unseen_by_bundle,
        unseen_by_fit,
    )
    from flashsim_prod.physics.training.correcting.reweight import ReweightSettings, learn_reweighter
    from flashsim_prod.physics.validation.models.reweighted import judge

    model = find_model(name)
    wanted = ReweighterSection
    found = (
        unseen_by_fit(model, work, wanted)
        if base is None
        else unseen_by_bundle(model, work, open_bundle(base), wanted)
    )
    device = pick_device(options.device, threads=options.threads)
    settings = ReweightSettings(use=options.use, candidates=options.candidates, seed=options.seed)
    settings = replace(settings, steps=options.steps or settings.steps)
    settings = settings.quick() if options.quick else settings
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
    if not figures.helps:
        raise InputError(
            f"{name}: of no use, nothing was written: trees tell draws from {figures.objects:,} true "
            f"objects with an area of {figures.auc_before:.3f} without the reweighter and "
            f"{figures.auc_after:.3f} +- {figures.auc_error:.3f} with it (two samples of the truth: "
            f"{figures.floor:.3f}); learn from more objects, or do without"
        )
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
    )
