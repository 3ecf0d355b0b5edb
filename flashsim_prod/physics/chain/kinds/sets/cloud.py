"""The cloud: a generator of sets, in which members pass messages, that a critic and distances teach.

After the message-passing GAN of Kansal et al., arXiv:2106.11535, as a conditional Wasserstein GAN with
gradient penalty. Beside the critic, the generator is held to distances along lines through what members are,
through what sets are on the whole, and through the conditions: a critic of few steps says little. Critics are
of no use afterwards, and no bundle holds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds import registry
from flashsim_prod.physics.chain.kinds.base import Examples, Loss, Networks, Stage, Turn
from flashsim_prod.physics.chain.kinds.distances import made_alike, sliced
from flashsim_prod.physics.chain.kinds.gan import ADAM, CRITIC_RATE
from flashsim_prod.physics.chain.kinds.sets.base import KindOfSets
from flashsim_prod.physics.chain.kinds.sets.networks import SetCritic, SetGenerator
from flashsim_prod.physics.chain.model import ObjectModel

_GENERATOR, _CRITIC = "generator", "critic"
_BLOCKS, _MESSAGES = 2, 16
#: sets that a step sees, and that a held-out loss is found from
_SETS, _SETS_HELD_OUT = 64, 512
_PENALTY = 10.0
_SMALL = 1e-12
#: of the distances in what the generator takes down; the critic has 1
_OF_MEMBERS, _OF_SETS = 2.0, 4.0
#: of the fits' learning rate
_RATE = 0.5
#: how much more the first members by their first target weigh in what a set is on the whole
_STEEPNESS = 1.5


@dataclass(frozen=True)
class CloudSize:
    """Sizes of the generator, which are the critic's too, and those of the classifier.

    Attributes
    ----------
    width, blocks : int
        Numbers of a member, and rounds of messages.
    messages : int
        Numbers of a message.
    """

    width: int
    blocks: int
    messages: int
    classifier: tuple[int, ...]
    knots: int


@dataclass(frozen=True)
class _Sets:
    """Some sets of one width: true members, conditions of each set, which places hold one."""

    truth: Tensor
    conditions: Tensor
    present: Tensor


class SetLoss(Loss):
    """What critic and generator take down in turn; judged by distances alone.

    Parameters
    ----------
    examples : Examples
        Sources without objects are no sets.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self._order = torch.argsort(examples.row, stable=True)
        self._row, self._size = torch.unique_consecutive(examples.row[self._order], return_counts=True)
        self._first = self._size.cumsum(0) - self._size
        self.n = len(self._row)

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        chosen = rows[:_SETS_HELD_OUT]
        chosen = chosen[torch.argsort(self._size[chosen], stable=True)]
        parts = [self._seen(some, generator, device) for some in torch.split(chosen, _SETS)]
        return _distance(parts, [_drawn(network, one, generator) for one in parts], generator)

    def in_turn(
        self, turn: str, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> Tensor:
        sets = self._seen(self._alike(rows, generator), generator, device)
        critic = network.get_submodule(_CRITIC)
        if turn == _CRITIC:
            with torch.no_grad():
                drawn = _drawn(network, sets, generator)
            return _critic_loss(critic, drawn, sets, generator)
        drawn = _drawn(network, sets, generator)
        judged = cast(Tensor, critic(drawn, sets.conditions, sets.present)).mean()
        return _distance([sets], [drawn], generator) - judged

    def _alike(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Some of the sets `rows`, all about as large: less is computed for places without a member."""
        order = rows[torch.argsort(self._size[rows], stable=True)]
        last = max(1, len(order) - _SETS + 1)
        start = int(torch.randint(0, last, (1,), generator=generator))
        return order[start : start + _SETS]

    def _seen(self, sets: Tensor, generator: torch.Generator, device: str) -> _Sets:
        size = self._size[sets]
        rank = torch.arange(int(size.max()))
        present = rank < size[:, None]
        place = torch.where(present, self._first[sets][:, None] + rank, 0)
        members = self._order[place]
        truth = self.examples.normal(members.flatten(), generator).view(*members.shape, -1)
        truth = truth * present[..., None]
        conditions = self.examples.conditions[self._row[sets]]
        return _Sets(truth.to(device), conditions.to(device), present.to(device))


def _drawn(network: nn.Module, sets: _Sets, generator: torch.Generator) -> Tensor:
    noise = torch.randn(sets.truth.shape, generator=generator).to(sets.truth)
    made = network.get_submodule(_GENERATOR)(noise, sets.conditions, sets.present)
    return cast(Tensor, made * sets.present[..., None])


def _critic_loss(critic: nn.Module, drawn: Tensor, sets: _Sets, generator: torch.Generator) -> Tensor:
    """How far the critic sets samples apart, with a one-sided penalty on slopes above one.

    Slopes are those between a drawn and a true set with members in the order of their first target, since
    members have none of their own.
    """
    truth, conditions, present = sets.truth, sets.conditions, sets.present
    mix = torch.rand((len(truth), 1, 1), generator=generator).to(truth)
    between = torch.lerp(_ordered(drawn, present), _ordered(truth, present), mix).requires_grad_()
    judged = critic(between, conditions, present).sum()
    (slope,) = torch.autograd.grad(judged, between, create_graph=True)
    steepness = (slope.square().sum(dim=(1, 2)) + _SMALL).sqrt()
    # of a set each of whose members moves alike
    size = present.sum(dim=1).clamp(min=1).to(truth)
    apart = cast(
        Tensor, critic(drawn, conditions, present).mean() - critic(truth, conditions, present).mean()
    )
    return apart + _PENALTY * (steepness * size.sqrt() - 1).clamp(min=0.0).square().mean()


def _ordered(members: Tensor, present: Tensor) -> Tensor:
    key = torch.where(present, members[..., 0], -torch.inf)
    order = key.argsort(dim=1, descending=True, stable=True)
    return members.gather(1, order[..., None].expand_as(members))


def _distance(sets: list[_Sets], drawn: list[Tensor], generator: torch.Generator) -> Tensor:
    """Distances of members, and of what sets are on the whole, along lines through two columns."""
    conditions = torch.cat([one.conditions for one in sets])
    members = [
        torch.cat([found[one.present] for found, one in zip(some, sets, strict=True)])
        for some in (drawn, [one.truth for one in sets])
    ]
    seen = torch.cat(
        [one.conditions[:, None].expand(-1, one.present.shape[1], -1)[one.present] for one in sets]
    )
    whole = [
        torch.cat([_on_the_whole(found, one.present) for found, one in zip(some, sets, strict=True)])
        for some in (drawn, [one.truth for one in sets])
    ]
    of_members = sliced(members[0], members[1], seen, generator)
    return _OF_MEMBERS * of_members + _OF_SETS * sliced(whole[0], whole[1], conditions, generator)


def _on_the_whole(members: Tensor, present: Tensor) -> Tensor:
    """Means, and means of products, of a set's members: all alike, and mostly those first by a target."""
    there = present.to(members)
    products = (members[..., :, None] * members[..., None, :]).flatten(2)
    columns = torch.cat((members, products), dim=2)
    score = torch.where(present, _STEEPNESS * members[..., 0], -torch.inf)
    weights = (there / there.sum(dim=1, keepdim=True).clamp(min=1), score.softmax(dim=1))
    return torch.cat([torch.einsum("bic,bi->bc", columns, weight) for weight in weights], dim=1)


class CloudKind(KindOfSets[CloudSize]):
    """A generator of sets, and a classifier for their number where that is not given."""

    name = registry.CLOUD
    sizes = CloudSize

    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> CloudSize:
        size = model.size
        return CloudSize(width or size.width, blocks or _BLOCKS, _MESSAGES, size.classifier, size.knots)

    def of_attributes(self, model: ObjectModel, size: CloudSize) -> dict[str, nn.Module]:
        n_targets, n_conditions = len(model.targets), len(model.conditions)
        return {
            _GENERATOR: SetGenerator(n_targets, n_conditions, size.width, size.blocks, size.messages),
        }

    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        """Each row a set of one."""
        present = torch.ones((len(normals), 1), dtype=torch.bool, device=normals.device)
        return self.sample_sets(networks, conditions, normals[:, None], present)[:, 0]

    def sample_sets(self, networks: Networks, conditions: Tensor, normals: Tensor, present: Tensor) -> Tensor:
        return cast(Tensor, networks[_GENERATOR](normals, conditions, present))

    def stages_of_attributes(self, networks: Networks) -> tuple[Stage, ...]:
        generator = cast(SetGenerator, networks[_GENERATOR])
        critic = made_alike(lambda: _critic_of(generator))
        both = nn.ModuleDict({_GENERATOR: generator, _CRITIC: critic})
        turns = (
            Turn(_CRITIC, (_CRITIC,), steps=1, optimiser=ADAM, rate=CRITIC_RATE),
            Turn(_GENERATOR, (_GENERATOR,), optimiser=ADAM, rate=_RATE),
        )
        return (Stage(self.name, both, SetLoss, (_GENERATOR,), turns=turns, share=0.25),)


def _critic_of(generator: SetGenerator) -> SetCritic:
    """An untrained critic of the generator's sizes."""
    first = cast(nn.Linear, generator.context[0])
    width, blocks = generator.enter.out_features, len(generator.blocks)
    messages = cast(nn.Linear, generator.blocks[0].get_submodule("sent")).out_features
    return SetCritic(generator.enter.in_features, first.in_features - 1, width, blocks, messages)


KIND = CloudKind()
