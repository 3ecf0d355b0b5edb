"""What a student is taught, and how: where its teacher's flow ends, from the same noise and conditions."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.files import read_text, write_json
from flashsim_prod.physics.chain.distilled import steps_of
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.base import Loss
from flashsim_prod.physics.chain.kinds.networks import Velocity
from flashsim_prod.physics.chain.kinds.registry import VELOCITY
from flashsim_prod.physics.chain.kinds.transport import integrate
from flashsim_prod.physics.training.distilling.settings import OF_TEACHERS, DistilSettings
from flashsim_prod.physics.training.distilling.sources import F32
from flashsim_prod.physics.training.optimise import Optimisation

#: called with the step, all steps and the loss
LessonProgress = Callable[[int, int, float], None]

#: steps that a step's time is measured with
_STEPS_TIMED = 10
#: of a lesson that has not ended: how many steps it has, and how far it is
STEPS, CHECKPOINT = "steps.json", "student.checkpoint.safetensors"


class WalkLoss(Loss):
    """Squared distance from where the teacher arrives, through all steps of the student.

    Parameters
    ----------
    conditions, noise, end : float32 tensors of n rows
        Standardised conditions, where walks begin, and where the teacher's end.
    steps : Sampling
        Of the student.
    """

    def __init__(self, conditions: Tensor, noise: Tensor, end: Tensor, steps: Sampling) -> None:
        self.n, self.conditions, self.noise, self.end, self.steps = (
            len(noise),
            conditions,
            noise,
            end,
            steps,
        )

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        velocity = cast(Velocity, network)
        contribution = velocity.condition(self.conditions[rows].to(device))
        arrived = integrate(
            lambda x, t: velocity(x, t, contribution), self.noise[rows].to(device), self.steps
        )
        return nn.functional.mse_loss(arrived, self.end[rows].to(device))


@dataclass(frozen=True)
class Taught:
    """How a lesson went.

    Attributes
    ----------
    steps : int
        Of the optimiser.
    loss_before, loss : float
        Squared distance from the teacher on draws that were not learned from, of the teacher's own weights
        in so few steps, and of the student.
    seconds : float
        Processor time, all sittings together.
    """

    steps: int
    draws: int
    loss_before: float
    loss: float
    seconds: float

    def told(self, settings: DistilSettings) -> dict[str, float | int | str]:
        """As manifests have it."""
        return {
            "steps": self.steps,
            "batch": settings.batch,
            "draws": self.draws,
            "seed": settings.seed,
            "seconds": round(self.seconds, 1),
            "loss_before": round(self.loss_before, 6),
            "loss": round(self.loss, 6),
        }


def teach(
    teacher: FittedModel,
    conditions: F32,
    settings: DistilSettings,
    folder: Path,
    progress: LessonProgress = lambda step, steps, loss: None,
) -> tuple[FittedModel, Taught]:
    """A student of `teacher`, taking up what `folder` holds of an earlier sitting of the same terms.

    Parameters
    ----------
    teacher : FittedModel
        A flow, on the CPU.
    conditions : array of shape (n, n_conditions)
        Of objects, before standardisation; what is taught comes of these.

    Raises
    ------
    InputError
        If a checkpoint is damaged, or of other terms.
    """
    folder.mkdir(parents=True, exist_ok=True)
    loss = _lesson(teacher, conditions, settings)
    network = copy.deepcopy(teacher.networks[VELOCITY]).train()
    steps = _number_of_steps(network, loss, settings, folder / STEPS)
    work = Optimisation(network, loss, steps, settings.fit(), "cpu")
    checkpoint, began = folder / CHECKPOINT, time.process_time()
    before = work.restore(checkpoint) if checkpoint.exists() else 0.0
    if not work.losses:
        # a student that learned nothing better is its teacher, in a few steps
        work.look()

    def looked() -> None:
        progress(work.step, steps, work.losses[-1][1])
        if work.step % work.settings.checkpoint_every == 0 or work.step == steps:
            work.save(checkpoint, before + time.process_time() - began)

    work.run(looked)
    student = replace(
        teacher.with_networks({**teacher.networks, VELOCITY: network.eval()}),
        steps=steps_of(settings.evaluations),
    )
    held_out = [one for _, _, one in work.losses]
    seconds = before + time.process_time() - began
    return student, Taught(steps, loss.n, held_out[0], min(held_out), seconds)


def _lesson(teacher: FittedModel, conditions: F32, settings: DistilSettings) -> WalkLoss:
    """The teacher's draws for objects by chance; the same ones each time."""
    rng = np.random.default_rng([settings.seed, 1])
    n = settings.draws if settings.steps is None else min(settings.draws, settings.steps * settings.batch)
    chosen = conditions[rng.integers(0, len(conditions), max(n, settings.batch))]
    noise = rng.normal(size=(len(chosen), teacher.n_normals)).astype(np.float32)
    end = teacher.latents(chosen, noise.astype(np.float64), OF_TEACHERS)
    seen = torch.from_numpy(teacher.standardiser(chosen))
    return WalkLoss(seen, torch.from_numpy(noise), torch.from_numpy(end), steps_of(settings.evaluations))


def _number_of_steps(network: nn.Module, loss: WalkLoss, settings: DistilSettings, notes: Path) -> int:
    """Steps that are asked for, or that the minutes come to on this machine, noted for another sitting."""
    if settings.steps is not None:
        return settings.steps
    if notes.is_file():
        return int(json.loads(read_text(notes))["steps"])
    trial = Optimisation(copy.deepcopy(network), loss, _STEPS_TIMED, settings.fit(), "cpu")
    trial.advance(2)
    began = time.process_time()
    trial.advance(_STEPS_TIMED - 2)
    a_step = (time.process_time() - began) / (_STEPS_TIMED - 2)
    steps = max(_STEPS_TIMED, int(60 * settings.minutes / max(a_step, 1e-6)))
    write_json(notes, {"steps": steps})
    return steps
