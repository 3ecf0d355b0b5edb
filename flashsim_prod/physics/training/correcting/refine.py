"""Learning a refiner: a residual network that takes draws to the truth, by kernels (arXiv:2410.15992)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.corrections.refiner import (
    Refinement,
    Refiner,
    moving,
    shifts_of,
    stretches,
)
from flashsim_prod.physics.chain.corrections.section import RefinerSection
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.base import Examples, ObjectLoss
from flashsim_prod.physics.chain.kinds.distances import joint_kernel_distance, kernel_distance
from flashsim_prod.physics.training.correcting.settings import CorrectionSettings, Progress, sampling_to_note
from flashsim_prod.physics.training.fit import examples_of
from flashsim_prod.physics.training.optimise import Optimisation
from flashsim_prod.physics.training.table import Table

#: rows that kernels see at a time, since they see each with each, and of those held out in all
_BLOCK, _MOST_HELD_OUT = 128, 4096


@dataclass(frozen=True, kw_only=True)
class RefineSettings(CorrectionSettings):
    """How a refiner learns.

    Attributes
    ----------
    pairing : float
        What the mean squared distance to the paired true object counts for, beside the discrepancy.
    width, blocks : int
        Of the network.
    """

    pairing: float = 0.001
    steps: int = 2000
    batch: int = 512
    width: int = 64
    blocks: int = 2


class RefineLoss(ObjectLoss):
    """How far refined draws are from the truth, of all attributes and conditions together and of pairs.

    Draws and true objects have the same conditions, so what sets the samples apart is how attributes depend
    on them. One kernel over all columns, as of the publication, sees little where there are many: hence the
    pairs.

    Parameters
    ----------
    examples : Examples
        The truth.
    drawn : tensor of shape (draws, n, n_targets)
        What the model drew for the same conditions.
    pairing : float
        What the squared distance to the paired true object counts for.
    """

    def __init__(self, examples: Examples, drawn: Tensor, pairing: float) -> None:
        super().__init__(examples)
        self.drawn, self.pairing = drawn, pairing

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        rows = rows[:_MOST_HELD_OUT]
        blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
        # a last block of a few rows would count as much as the others
        blocks = [one for one in blocks if len(one) == len(blocks[0])]
        return torch.stack([self._of_block(network, one, generator, device) for one in blocks]).mean()

    def _of_block(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        truth, conditions = self.seen(rows, generator, device)
        draw = torch.randint(len(self.drawn), (len(rows),), generator=generator)
        refined = network(self.drawn[draw, rows].to(device), conditions)
        apart = joint_kernel_distance(refined, truth, conditions) + kernel_distance(
            refined, truth, conditions, generator, but_paired=True
        )
        loss: Tensor = apart + self.pairing * (refined - truth).square().mean()
        return loss


@dataclass(frozen=True)
class Learned:
    """A refiner, and the loss on what was held out of the learning: of the draws as they are, and refined."""

    refiner: Refiner
    loss_before: float
    loss_after: float

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing was better than to leave draws as they are."""
        return self.loss_after >= self.loss_before


def learn_refiner(
    fitted: FittedModel,
    digest: str,
    table: Table,
    settings: RefineSettings,
    sampling: Sampling,
    *,
    device: str = "cpu",
    progress: Progress = lambda step, steps, loss: None,
) -> Learned:
    """A refiner of `fitted`, learned from the objects of `table`, which the model must not have seen.

    It begins as one that moves nothing, and that is among what the least held-out loss is chosen from.

    Parameters
    ----------
    fitted : FittedModel
        Without corrections, and with a target that has a continuum (`moving`).
    digest : str
        The model's `model_digest`.
    sampling : Sampling
        How draws are integrated, if its kind does that.
    """
    model, moves = fitted.model, moving(fitted.model, fitted.gaussianisers)
    loss = RefineLoss(examples_of(fitted, table), _drawn(fitted, table, settings, sampling), settings.pairing)
    torch.manual_seed(settings.seed)
    network = shifts_of(model, len(moves), settings.width, settings.blocks)
    refinement = Refinement(network, [stretches(one) for one in fitted.gaussianisers])
    work = Optimisation(refinement.to(device), loss, settings.steps, settings.of_fit(), device)
    work.look()
    work.run(lambda: progress(work.step, work.steps, work.losses[-1][2]))
    network.to("cpu")
    section = RefinerSection(
        of=digest,
        moves=moves,
        width=settings.width,
        blocks=settings.blocks,
        sampling=sampling_to_note(fitted, sampling),
    )
    held_out = [one for _, _, one in work.losses]
    return Learned(Refiner.trained(section, network, fitted.gaussianisers), held_out[0], min(held_out))


def _drawn(fitted: FittedModel, table: Table, settings: RefineSettings, sampling: Sampling) -> Tensor:
    """What the model draws for the conditions of the objects, as normal numbers."""
    conditions = table.conditions[table.row]
    rng = np.random.default_rng(settings.seed)
    return torch.from_numpy(
        np.stack(
            [
                fitted.latents(conditions, rng.normal(size=(len(conditions), fitted.n_normals)), sampling)
                for _ in range(settings.draws)
            ]
        )
    )
