"""The velocity as inference evaluates it where no code can be compiled: made from what is trained.

Few passes over memory instead of many: products go into buffers that stay, whatever depends on time alone is
computed once for each time of the solver's grid, and one pass over the rows stands between two products.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.kinds.lookup import in_place
from flashsim_prod.physics.chain.kinds.networks import Velocity, is_unsteady, waves, widened

#: times whose terms are kept; more than solvers commonly take
_MOST_TIMES = 256
_EPSILON = torch.finfo(torch.float32).eps

Found = TypeVar("Found")


class FusedVelocity(nn.Module):
    """What `Velocity` computes, on the CPU and without gradients, by torch alone.

    Parameters
    ----------
    velocity : Velocity
        Trained; its weights must not change any more.
    """

    def __init__(self, velocity: Velocity) -> None:
        super().__init__()
        # the velocity itself is not kept: whoever only draws has weights once. In a tuple, so that these are
        # not taken for this module's own
        self._context = tuple(velocity.context)
        wide, parts = velocity.from_context, 2 * len(velocity.blocks) + 1
        self._slabs = tuple(
            (weight.detach().t().contiguous(), bias.detach())
            for weight, bias in zip(wide.weight.chunk(parts), wide.bias.chunk(parts), strict=True)
        )
        self._enter = velocity.enter.weight.detach().t()
        self._n_targets = velocity.leave.out_features
        weight, bias = velocity.leave.weight.detach(), velocity.leave.bias.detach()
        if is_unsteady(velocity.leave.in_features, self._n_targets):
            weight, bias = cast(tuple[Tensor, Tensor], widened(weight, bias))
        self._leave = weight.t()
        self._at = Kept(OfTimes(velocity.frequencies, parts, velocity.from_time, bias).at)
        self._blocks = tuple(_Block.of(block) for block in velocity.blocks)

    def condition(self, conditions: Tensor) -> Tensor:
        """What the conditions contribute, shape (2 blocks + 1, n, width)."""
        seen = nn.functional.silu(in_place(self._context, conditions), inplace=True)
        contribution = torch.empty(len(self._slabs), *seen.shape)
        for slab, (weight, bias) in zip(contribution, self._slabs, strict=True):
            torch.addmm(bias, seen, weight, out=slab)
        return contribution

    def forward(self, x: Tensor, t: Tensor, contribution: Tensor) -> Tensor:
        """The velocity, shape (n, n_targets), at points `x` and the one time `t`, of shape (1, 1)."""
        now = self._at(float(t))
        start, *steering = contribution
        hidden, inner = _buffers(*start.shape)
        torch.add(start, now.start, out=hidden)
        hidden.addmm_(x, self._enter, alpha=now.scale)
        pairs = zip(self._blocks, steering[::2], steering[1::2], now.steering, strict=True)
        for block, gate, shift, (gate_now, shift_now) in pairs:
            torch.mm(hidden, block.first, out=inner)
            # of rows as they are: to divide a row by its root mean square afterwards is the same
            norm = hidden.square().mean(dim=1, keepdim=True).add_(_EPSILON).rsqrt_()
            inner.mul_(norm).add_(block.bias).mul_(gate + gate_now).add_(shift).add_(shift_now)
            nn.functional.silu(inner, inplace=True)
            hidden.add_(block.second_bias).addmm_(inner, block.second)
        nn.functional.silu(inner.copy_(hidden), inplace=True)
        left = torch.addmm(now.bias, inner, self._leave, alpha=now.scale)[:, : self._n_targets]
        return left.add_(x, alpha=now.linear)


class _Block(NamedTuple):
    first: Tensor
    bias: Tensor
    second: Tensor
    second_bias: Tensor

    @classmethod
    def of(cls, block: nn.Module) -> _Block:
        first, second = (cast(nn.Linear, layer) for layer in (block.first, block.second))
        # copies the other way round: a product with a transposed view takes a tenth longer
        weights = (layer.weight.detach().t().contiguous() for layer in (first, second))
        return cls(next(weights), first.bias.detach(), next(weights), second.bias.detach())


@dataclass(frozen=True)
class Time:
    """What the velocity takes from a time.

    Attributes
    ----------
    scale, linear : float
        Of what the network sees and gives, and of the point itself.
    start : tensor of shape (width,)
    steering : pairs of tensors of shape (width,)
        Gate, with its one, and shift of each block.
    bias : tensor of shape (n_targets,), or longer where the product is wider
    """

    scale: float
    linear: float
    start: Tensor
    steering: tuple[tuple[Tensor, Tensor], ...]
    bias: Tensor


class OfTimes(NamedTuple):
    """The part of a velocity that sees times alone."""

    frequencies: int
    parts: int
    steer: nn.Linear
    bias: Tensor

    def at(self, t: float) -> Time:
        at = torch.full((1, 1), t)
        start, *steering = self.steer(waves(at, self.frequencies)).detach()[0].chunk(self.parts)
        scale = torch.rsqrt(at**2 + (1 - at) ** 2)
        return Time(
            float(scale),
            float((2 * at - 1) * scale**2),
            start,
            tuple((1 + gate, shift) for gate, shift in zip(steering[::2], steering[1::2], strict=True)),
            (scale * self.bias)[0],
        )


class Kept(Generic[Found]):
    """What `make` makes of times, once for each.

    Parameters
    ----------
    make : callable
    """

    def __init__(self, make: Callable[[float], Found]) -> None:
        self._make = make
        self._found: dict[float, Found] = {}

    def __call__(self, t: float) -> Found:
        found = self._found.get(t)
        if found is None:
            if len(self._found) >= _MOST_TIMES:
                self._found.clear()
            found = self._found[t] = self._make(t)
        return found


_kept = threading.local()


def _buffers(n: int, width: int) -> tuple[Tensor, Tensor]:
    """Two matrices that the thread uses for all networks of a width, so that they stay in its cache."""
    found: dict[tuple[int, int], tuple[Tensor, Tensor]] = _kept.__dict__.setdefault("buffers", {})
    if (n, width) not in found:
        found[n, width] = torch.empty(n, width), torch.empty(n, width)
    return found[n, width]
