"""The discrete flow: rational-quadratic splines between noise and attributes, one evaluation an object.

Durkan et al., arXiv:1906.04032, in couplings that condition one half of the attributes on the other; it
learns by its exact likelihood. The one owner of zuko.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds import registry
from flashsim_prod.physics.chain.kinds.base import Networks, ObjectLoss, Stage
from flashsim_prod.physics.chain.kinds.networks import is_unsteady, widened
from flashsim_prod.physics.chain.kinds.numbers import KindWithNumbers
from flashsim_prod.physics.chain.model import ObjectModel

_SPLINE = "spline"
#: couplings after another, and intervals of each spline
_TRANSFORMS, _BINS = 4, 8
#: beyond, splines are straight lines of slope one: what a float32 normal number can be is not far beyond
_BOUND = 6.0


@dataclass(frozen=True)
class SplineSize:
    """Sizes of the networks: hidden layers of each coupling's network, and those of the classifier."""

    width: int
    blocks: int
    transforms: int
    bins: int
    classifier: tuple[int, ...]
    knots: int


class Spline(nn.Module):
    """p(x | c) as splines of normal numbers.

    Parameters
    ----------
    n_targets, n_conditions : int
    size : SplineSize
    """

    def __init__(self, n_targets: int, n_conditions: int, size: SplineSize) -> None:
        super().__init__()
        from zuko.flows import NSF

        self.flow = NSF(
            n_targets,
            n_conditions,
            bins=size.bins,
            transforms=size.transforms,
            passes=2,
            slope=1e-3,
            hidden_features=(size.width,) * size.blocks,
        )
        for module in self.flow.modules():
            _make_steady(module)
            # what is no weight follows from the sizes: not stored
            module._non_persistent_buffers_set.update(module._buffers)

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        """log p(x | c), shape (n,)."""
        return cast(Tensor, self.flow(conditions).log_prob(x))

    def draw(self, conditions: Tensor, normals: Tensor) -> Tensor:
        """Targets, shape (n, n_targets), that `normals` of the same shape stand for."""
        return cast(Tensor, self.flow(conditions).transform.inv(normals))


def _make_steady(module: nn.Module) -> None:
    """Have zuko's masked layer of few outputs round a row alike wherever it stands, as `Steady` does."""
    from zuko.nn import MaskedLinear

    if isinstance(module, MaskedLinear) and is_unsteady(module.in_features, module.out_features):
        module.__class__ = _steady_masked()


@cache
def _steady_masked() -> type[nn.Module]:
    from zuko.nn import MaskedLinear

    class SteadyMasked(MaskedLinear):  # type: ignore[misc]  # zuko has no types
        def forward(self, inputs: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                return cast(Tensor, super().forward(inputs))
            weights = widened(self.mask * self.weight, self.bias)
            return nn.functional.linear(inputs, *weights)[..., : self.out_features]

    return SteadyMasked


class LikelihoodLoss(ObjectLoss):
    """-log p(x | c), with steps of the targets dequantised anew each time."""

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        x, conditions = self.seen(rows, generator, device)
        return cast(Tensor, -network(x.clamp(-_BOUND, _BOUND), conditions).mean())


class SplineKind(KindWithNumbers[SplineSize]):
    """Splines for the attributes, and a classifier for their number."""

    name = registry.SPLINE
    sizes = SplineSize
    # which of the masks' rows are alike has to be found out: networks without memory cannot
    is_weightless = False

    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> SplineSize:
        size = model.size
        return SplineSize(width or size.width, blocks or 2, _TRANSFORMS, _BINS, size.classifier, size.knots)

    def of_attributes(self, model: ObjectModel, size: SplineSize) -> dict[str, nn.Module]:
        return {_SPLINE: Spline(len(model.targets), len(model.conditions), size)}

    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        return cast(Spline, networks[_SPLINE]).draw(conditions, normals)

    def stages_of_attributes(self, networks: Networks) -> tuple[Stage, ...]:
        return (Stage(self.name, networks[_SPLINE], LikelihoodLoss, (_SPLINE,)),)


KIND = SplineKind()
