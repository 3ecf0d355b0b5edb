"""The continuous flow: a field that carries noise to attributes, learned by flow matching."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.physics.chain.kinds import registry
from flashsim_prod.physics.chain.kinds.base import Examples, Kind, Loss, Networks, Stage
from flashsim_prod.physics.chain.kinds.fused import FusedVelocity
from flashsim_prod.physics.chain.kinds.networks import Velocity
from flashsim_prod.physics.chain.kinds.numbers import (
    MULTIPLICITY,
    networks_for_inference,
    networks_of_numbers,
    spread_knots,
    stages_of_numbers,
)
from flashsim_prod.physics.chain.kinds.transport import draw_times, integrate, path
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel

_VELOCITY = "velocity"


class FlowLoss(Loss):
    """Mean squared error of the velocity, with steps of the targets dequantised anew each time."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self.conditions = examples.conditions[examples.row]
        self.n = len(self.conditions)

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        x = self.examples.normal(rows, generator).to(device)
        z = torch.randn(x.shape, generator=generator).to(device)
        t = draw_times(len(rows), generator).to(device)
        x_t, velocity = path(x, z, t)
        contribution = cast(Velocity, network).condition(self.conditions[rows].to(device))
        return nn.functional.mse_loss(network(x_t, t, contribution), velocity)


class FlowKind(Kind[NetworkSize]):
    """A flow for the attributes, and a classifier for their number."""

    name = registry.FLOW

    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> NetworkSize:
        return replace(model.size, width=width or model.size.width, blocks=blocks or model.size.blocks)

    def size(self, section: StrictModel) -> NetworkSize:
        return NetworkSize(**dict(section))

    def section(self, size: NetworkSize) -> dict[str, Any]:
        return asdict(size)

    def combined(self, stage: str, new: NetworkSize, last: NetworkSize) -> NetworkSize:
        of_numbers, of_flow = (new, last) if stage == MULTIPLICITY else (last, new)
        return replace(of_flow, classifier=of_numbers.classifier, knots=of_numbers.knots)

    def networks(self, model: ObjectModel, size: NetworkSize) -> dict[str, nn.Module]:
        velocity = Velocity(len(model.targets), len(model.conditions), size)
        return {_VELOCITY: velocity, **networks_of_numbers(model, size)}

    def prepare(self, networks: Networks, conditions: Tensor) -> None:
        spread_knots(networks, conditions)

    def for_inference(self, networks: Networks) -> Networks:
        velocity = FusedVelocity(cast(Velocity, networks[_VELOCITY]))
        return {**networks_for_inference(networks), _VELOCITY: velocity}

    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        velocity = cast(Velocity, networks[_VELOCITY])
        contribution = velocity.condition(conditions)
        return integrate(lambda x, t: velocity(x, t, contribution), normals, sampling)

    def logits(self, networks: Networks, conditions: Tensor) -> Tensor:
        return cast(Tensor, networks[MULTIPLICITY](conditions))

    def stages(self, networks: Networks) -> tuple[Stage, ...]:
        flow = Stage(self.name, networks[_VELOCITY], FlowLoss, (_VELOCITY,))
        return (flow, *stages_of_numbers(networks))


KIND = FlowKind()
