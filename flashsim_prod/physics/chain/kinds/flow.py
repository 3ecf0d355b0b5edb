"""The continuous flow: a field that carries noise to attributes, learned by flow matching."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds import native, registry
from flashsim_prod.physics.chain.kinds.base import Networks, ObjectLoss, Stage
from flashsim_prod.physics.chain.kinds.fused import FusedVelocity
from flashsim_prod.physics.chain.kinds.native import NativeVelocity
from flashsim_prod.physics.chain.kinds.networks import Steady, Velocity
from flashsim_prod.physics.chain.kinds.numbers import KindWithNumbers
from flashsim_prod.physics.chain.kinds.registry import VELOCITY
from flashsim_prod.physics.chain.kinds.transport import draw_times, integrate, path
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel


class FlowLoss(ObjectLoss):
    """Mean squared error of the velocity, with steps of the targets dequantised anew each time."""

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        x, conditions = self.seen(rows, generator, device)
        z = torch.randn(x.shape, generator=generator).to(device)
        t = draw_times(len(rows), generator).to(device)
        x_t, velocity = path(x, z, t)
        contribution = cast(Velocity, network).condition(conditions)
        return nn.functional.mse_loss(network(x_t, t, contribution), velocity)


class FlowKind(KindWithNumbers[NetworkSize]):
    """A flow for the attributes, and a classifier for their number."""

    name = registry.FLOW
    sizes = NetworkSize
    integrates = True

    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> NetworkSize:
        return replace(model.size, width=width or model.size.width, blocks=blocks or model.size.blocks)

    def of_attributes(self, model: ObjectModel, size: NetworkSize) -> dict[str, nn.Module]:
        return {VELOCITY: Velocity(len(model.targets), len(model.conditions), size)}

    def for_inference(self, networks: Networks) -> Networks:
        velocity, found = cast(Velocity, networks[VELOCITY]), super().for_inference(networks)
        if (code := native.code()) is not None:
            return {**found, VELOCITY: NativeVelocity(velocity, code)}
        # of one so narrow a row's own products may round by its place: its layers know, and it is small
        is_narrow = any(isinstance(one, Steady) for one in velocity.blocks.modules())
        return found if is_narrow else {**found, VELOCITY: FusedVelocity(velocity)}

    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        velocity = cast(Velocity, networks[VELOCITY])
        contribution = velocity.condition(conditions)
        return integrate(lambda x, t: velocity(x, t, contribution), normals, sampling)

    def stages_of_attributes(self, networks: Networks) -> tuple[Stage, ...]:
        return (Stage(self.name, networks[VELOCITY], FlowLoss, (VELOCITY,)),)


KIND = FlowKind()
