"""The bounded-information-bottleneck autoencoder, for rows of attributes.

Buhmann et al., arXiv:2005.05334: an encoder and a decoder with a narrow, noisy passage between them. Kernels
and a critic keep what passes like normal numbers that know nothing of the conditions, so that such numbers
can take its place; a critic, beside a distance, judges what comes out; and a small network after the decoder
puts right, by kernels, what its draws still have wrong. A bundle holds the decoder and this last one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds import registry
from flashsim_prod.physics.chain.kinds.base import Networks, ObjectLoss, Stage, Turn
from flashsim_prod.physics.chain.kinds.distances import critic_loss, kernel_distance, made_alike, sliced
from flashsim_prod.physics.chain.kinds.gan import ADAM, CRITIC_RATE, RATE
from flashsim_prod.physics.chain.kinds.networks import Added, alike
from flashsim_prod.physics.chain.kinds.numbers import KindWithNumbers
from flashsim_prod.physics.chain.model import ObjectModel

_ENCODER, _DECODER, _AFTER = "encoder", "decoder", "after"
_CRITIC, _LATENT_CRITIC = "critic", "latent_critic"
_CRITICS, _PASSAGE = "critics", "passage"
#: shares of what the autoencoder takes down; the reconstruction's critic has 1
_OF_DISTANCE, _OF_KERNELS, _OF_LATENT_CRITIC, _OF_DIVERGENCE = 0.1, 10.0, 0.3, 0.02
#: by how much what comes after the decoder is held to leave its draws as they are
_OF_CHANGE = 0.02


@dataclass(frozen=True)
class BibAeSize:
    """Sizes of the decoder, which are the encoder's and the critics' too, and of what comes after it.

    Attributes
    ----------
    width, blocks : int
    bottleneck : int
        Numbers that the encoder makes of an object's attributes; the decoder sees noise beside them.
    after : int
        Width of the network after the decoder.
    """

    width: int
    blocks: int
    bottleneck: int
    after: int
    classifier: tuple[int, ...]
    knots: int


class Decoder(Added):
    """Attributes from what passed the bottleneck, and from noise in the place of the rest."""

    def __init__(self, n_targets: int, n_conditions: int, size: BibAeSize) -> None:
        super().__init__(n_targets, n_conditions, size.width, size.blocks)
        self.bottleneck = size.bottleneck


class _Encoder(nn.Module):
    """Mean and logarithm of the width of the numbers that are to pass, each of shape (n, bottleneck)."""

    def __init__(self, like: Added, bottleneck: int) -> None:
        super().__init__()
        self.layers = alike(like, 2 * bottleneck, at_rest=True)

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        mean, width = self.layers(x, conditions).chunk(2, dim=1)
        return mean, width


class BibAeLoss(ObjectLoss):
    """What critics and autoencoder take down in turn; judged by what the decoder draws of noise alone."""

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        truth, conditions = self.seen(rows, generator, device)
        noise = torch.randn(truth.shape, generator=generator).to(device)
        return sliced(network.get_submodule(_DECODER)(noise, conditions), truth, conditions, generator)

    def in_turn(
        self, turn: str, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> Tensor:
        x, conditions = self.seen(rows, generator, device)
        critic, latent_critic = (network.get_submodule(name) for name in (_CRITIC, _LATENT_CRITIC))
        with torch.set_grad_enabled(turn == _PASSAGE):
            passed, mean, width, again = self._through(network, x, conditions, generator)
        normal = torch.randn(passed.shape, generator=generator).to(device)
        if turn == _CRITICS:
            of_latent = critic_loss(latent_critic, passed, normal, conditions, generator)
            return of_latent + critic_loss(critic, again, x, conditions, generator)
        divergence = (mean.square() + (2 * width).exp() - 1 - 2 * width).mean() / 2
        return (
            -cast(Tensor, critic(again, conditions)).mean()
            - _OF_LATENT_CRITIC * cast(Tensor, latent_critic(passed, conditions)).mean()
            + _OF_KERNELS * kernel_distance(passed, normal, conditions, generator)
            + _OF_DIVERGENCE * divergence
            + _OF_DISTANCE * nn.functional.huber_loss(again, x)
        )

    def _through(
        self, network: nn.Module, x: Tensor, conditions: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What passes the bottleneck, its mean and the logarithm of its width, and what comes out."""
        mean, width = network.get_submodule(_ENCODER)(x, conditions)
        noise = torch.randn(x.shape, generator=generator).to(x)
        n = mean.shape[1]
        passed = mean + width.exp() * noise[:, :n]
        seen = torch.cat((passed, noise[:, n:]), dim=1)
        return passed, mean, width, network.get_submodule(_DECODER)(seen, conditions)


class AfterLoss(ObjectLoss):
    """Kernels between truth and what is drawn, and how much of the decoder's draws is changed for it."""

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        _, drawn, truth, conditions = self._drawn(network, rows, generator, device)
        return sliced(drawn, truth, conditions, generator)

    def in_turn(
        self, turn: str, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> Tensor:
        before, drawn, truth, conditions = self._drawn(network, rows, generator, device)
        apart = kernel_distance(drawn, truth, conditions, generator)
        return apart + _OF_CHANGE * nn.functional.mse_loss(drawn, before)

    def _drawn(
        self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        truth, conditions = self.seen(rows, generator, device)
        noise = torch.randn(truth.shape, generator=generator).to(device)
        with torch.no_grad():
            before = network.get_submodule(_DECODER)(noise, conditions)
        return before, network.get_submodule(_AFTER)(before, conditions), truth, conditions


class BibAeKind(KindWithNumbers[BibAeSize]):
    """A decoder and what comes after it for the attributes, and a classifier for their number."""

    name = registry.BIBAE
    sizes = BibAeSize

    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> BibAeSize:
        size, n_targets = model.size, len(model.targets)
        width = width or size.width
        bottleneck = max(1, n_targets // 2)
        return BibAeSize(
            width, blocks or size.blocks, bottleneck, max(8, width // 2), size.classifier, size.knots
        )

    def combined(self, stage: str, new: BibAeSize, last: BibAeSize) -> BibAeSize:
        found = super().combined(stage, new, last)
        if stage == _AFTER:
            return replace(last, after=new.after)
        return replace(found, after=last.after)

    def of_attributes(self, model: ObjectModel, size: BibAeSize) -> dict[str, nn.Module]:
        n_targets, n_conditions = len(model.targets), len(model.conditions)
        decoder = Decoder(n_targets, n_conditions, size)
        return {_DECODER: decoder, _AFTER: Added(n_targets, n_conditions, size.after, 1)}

    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        return cast(Tensor, networks[_AFTER](networks[_DECODER](normals, conditions), conditions))

    def stages_of_attributes(self, networks: Networks) -> tuple[Stage, ...]:
        decoder = cast(Decoder, networks[_DECODER])
        bottleneck = decoder.bottleneck
        learned = nn.ModuleDict(
            {
                _ENCODER: made_alike(lambda: _Encoder(decoder, bottleneck)),
                _DECODER: decoder,
                _CRITIC: made_alike(lambda: alike(decoder, 1, at_rest=True)),
                _LATENT_CRITIC: made_alike(lambda: alike(decoder, 1, n_inputs=bottleneck, at_rest=True)),
            }
        )
        turns = (
            Turn(_CRITICS, (_CRITIC, _LATENT_CRITIC), steps=2, optimiser=ADAM, rate=CRITIC_RATE),
            Turn(_PASSAGE, (_ENCODER, _DECODER), optimiser=ADAM, rate=RATE),
        )
        corrected = nn.ModuleDict({_DECODER: decoder, _AFTER: networks[_AFTER]})
        corrections = (Turn(_AFTER, (_AFTER,), optimiser=ADAM, rate=RATE),)
        return (
            Stage(self.name, learned, BibAeLoss, (_DECODER,), turns=turns, share=0.4),
            Stage(_AFTER, corrected, AfterLoss, (_AFTER,), turns=corrections, share=0.2),
        )


KIND = BibAeKind()
