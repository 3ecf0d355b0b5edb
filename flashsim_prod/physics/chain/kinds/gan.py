"""The generative adversarial network: a generator of attributes that a critic teaches.

A conditional Wasserstein GAN with gradient penalty (arXiv:1704.00028) on the normal numbers that attributes
are made of. The critic is of no use once the generator has learned, and no bundle holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds import registry
from flashsim_prod.physics.chain.kinds.base import Networks, ObjectLoss, Stage, Turn
from flashsim_prod.physics.chain.kinds.distances import critic_loss, made_alike, sliced
from flashsim_prod.physics.chain.kinds.networks import Added, alike
from flashsim_prod.physics.chain.kinds.numbers import KindWithNumbers
from flashsim_prod.physics.chain.model import ObjectModel

_GENERATOR, _CRITIC = "generator", "critic"
#: Adam as the gradient penalty wants it: what was is soon wrong where two networks move
ADAM = partial(torch.optim.Adam, betas=(0.0, 0.9))
#: of the fits' learning rate: critics have to be ahead of what they teach
CRITIC_RATE, RATE = 1.0, 0.25


@dataclass(frozen=True)
class GanSize:
    """Sizes of the generator, which are the critic's too, and those of the classifier."""

    width: int
    blocks: int
    classifier: tuple[int, ...]
    knots: int


class GanLoss(ObjectLoss):
    """What critic and generator take down in turn; judged by what the generator draws."""

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        drawn, truth, conditions = self._drawn(network, rows, generator, device)
        return sliced(drawn, truth, conditions, generator)

    def in_turn(
        self, turn: str, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> Tensor:
        critic = network.get_submodule(_CRITIC)
        if turn == _CRITIC:
            with torch.no_grad():
                drawn, truth, conditions = self._drawn(network, rows, generator, device)
            return critic_loss(critic, drawn, truth, conditions, generator)
        drawn, _, conditions = self._drawn(network, rows, generator, device)
        return -cast(Tensor, critic(drawn, conditions)).mean()

    def _drawn(
        self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        truth, conditions = self.seen(rows, generator, device)
        noise = torch.randn(truth.shape, generator=generator).to(device)
        return network.get_submodule(_GENERATOR)(noise, conditions), truth, conditions


class GanKind(KindWithNumbers[GanSize]):
    """A generator for the attributes, and a classifier for their number."""

    name = registry.GAN
    sizes = GanSize

    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> GanSize:
        size = model.size
        return GanSize(width or size.width, blocks or size.blocks, size.classifier, size.knots)

    def of_attributes(self, model: ObjectModel, size: GanSize) -> dict[str, nn.Module]:
        return {_GENERATOR: Added(len(model.targets), len(model.conditions), size.width, size.blocks)}

    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        return cast(Tensor, networks[_GENERATOR](normals, conditions))

    def stages_of_attributes(self, networks: Networks) -> tuple[Stage, ...]:
        generator = cast(Added, networks[_GENERATOR])
        critic = made_alike(lambda: alike(generator, 1, at_rest=True))
        both = nn.ModuleDict({_GENERATOR: generator, _CRITIC: critic})
        turns = (
            Turn(_CRITIC, (_CRITIC,), steps=3, optimiser=ADAM, rate=CRITIC_RATE),
            Turn(_GENERATOR, (_GENERATOR,), optimiser=ADAM, rate=RATE),
        )
        return (Stage(self.name, both, GanLoss, (_GENERATOR,), turns=turns, share=0.5),)


KIND = GanKind()
