"""The velocity as inference evaluates it: made from the network that is trained, and equal to it.

Few passes over memory instead of many: products go into buffers that stay, whatever depends on time alone is
computed once for each time of the solver's grid, and one pass over the rows stands between two products.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.kinds.lookup import in_place
from flashsim_prod.physics.chain.kinds.networks import Velocity, is_unsteady, waves, widened
from flashsim_prod.physics.compiling import machine_code

#: times whose terms are kept; more than solvers commonly take
_MOST_TIMES = 256
_EPSILON = torch.finfo(torch.float32).eps

#: a tensor, as the passes want it: compiled code takes addresses, numba's functions arrays
Seen = Any


class _Passes(NamedTuple):
    """What stands between products: `steer` and `silu` of `kernels`, and what makes a tensor fit for them."""

    fit: Callable[[Tensor], Seen]
    steer: Callable[[Seen, Seen, Seen, Seen, Seen, Seen, Seen, Seen], None]
    silu: Callable[[Seen, Seen], None]


class FusedVelocity(nn.Module):
    """What `Velocity` computes, on the CPU and without gradients.

    Parameters
    ----------
    velocity : Velocity
        Trained; its weights must not change any more.
    compiled : bool
        Whether numba's passes may be used, where there is numba.
    """

    def __init__(self, velocity: Velocity, *, compiled: bool = True) -> None:
        super().__init__()
        # the velocity itself is not kept: whoever only draws has weights once. In a tuple, so that these are
        # not taken for this module's own
        self._context = tuple(velocity.context)
        self._passes = (_compiled_passes() if compiled else None) or _TORCH
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
        self._of_times = _OfTimes(velocity.frequencies, parts, velocity.from_time, bias)
        self._blocks = tuple(_Block.of(block, self._passes) for block in velocity.blocks)
        self._times: dict[float, _Time] = {}

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
        fit, steer, silu = self._passes
        _, *steering = fit(contribution)
        hidden, inner = _buffers(*contribution.shape[1:])
        h, u = fit(hidden), fit(inner)
        torch.add(contribution[0], now.start, out=hidden)
        hidden.addmm_(x, self._enter, alpha=now.scale)
        pairs = zip(self._blocks, steering[::2], steering[1::2], now.steering, strict=True)
        for block, gate, shift, (gate_now, shift_now) in pairs:
            torch.mm(hidden, block.first, out=inner)
            steer(h, u, gate, shift, gate_now, shift_now, block.bias, block.second_bias)
            hidden.addmm_(inner, block.second)
        silu(h, u)
        left = torch.addmm(now.bias, inner, self._leave, alpha=now.scale)[:, : self._n_targets]
        return left.add_(x, alpha=now.linear)

    def _at(self, t: float) -> _Time:
        found = self._times.get(t)
        if found is None:
            if len(self._times) >= _MOST_TIMES:
                self._times.clear()
            found = self._times[t] = self._of_times.at(t, self._passes.fit)
        return found


class _Block(NamedTuple):
    first: Tensor
    bias: Seen
    second: Tensor
    second_bias: Seen

    @classmethod
    def of(cls, block: nn.Module, passes: _Passes) -> _Block:
        first, second = (cast(nn.Linear, layer) for layer in (block.first, block.second))
        # copies the other way round: a product with a transposed view takes a tenth longer
        weights = (layer.weight.detach().t().contiguous() for layer in (first, second))
        biases = (passes.fit(layer.bias.detach()) for layer in (first, second))
        return cls(next(weights), next(biases), next(weights), next(biases))


@dataclass(frozen=True)
class _Time:
    """What the velocity takes from a time.

    Attributes
    ----------
    scale, linear : float
        Of what the network sees and gives, and of the point itself.
    start : tensor of shape (width,)
    steering : pairs of vectors of shape (width,)
        Gate, with its one, and shift of each block.
    bias : tensor of shape (n_targets,), or longer where the product is wider
    """

    scale: float
    linear: float
    start: Tensor
    steering: tuple[tuple[Seen, Seen], ...]
    bias: Tensor


class _OfTimes(NamedTuple):
    """The part of a velocity that sees times alone."""

    frequencies: int
    parts: int
    steer: nn.Linear
    bias: Tensor

    def at(self, t: float, fit: Callable[[Tensor], Seen]) -> _Time:
        at = torch.full((1, 1), t)
        start, *steering = self.steer(waves(at, self.frequencies)).detach()[0].chunk(self.parts)
        scale = torch.rsqrt(at**2 + (1 - at) ** 2)
        return _Time(
            float(scale),
            float((2 * at - 1) * scale**2),
            start,
            tuple(
                (fit(1 + gate), fit(shift)) for gate, shift in zip(steering[::2], steering[1::2], strict=True)
            ),
            (scale * self.bias)[0],
        )


_kept = threading.local()


def _buffers(n: int, width: int) -> tuple[Tensor, Tensor]:
    """Two matrices that the thread uses for all networks of a width, so that they stay in its cache."""
    found: dict[tuple[int, int], tuple[Tensor, Tensor]] = _kept.__dict__.setdefault("buffers", {})
    if (n, width) not in found:
        found[n, width] = torch.empty(n, width), torch.empty(n, width)
    return found[n, width]


class _Laid:
    """Where the numbers of a contiguous tensor lie, for compiled code; gone through, where its parts do."""

    __slots__ = ("_tensor", "address", "shape")

    def __init__(self, address: int, shape: Sequence[int], tensor: Tensor) -> None:
        # the numbers are there for as long as this is
        self.address, self.shape, self._tensor = address, shape, tensor

    @classmethod
    def of(cls, tensor: Tensor) -> _Laid:
        if tensor.dtype != torch.float32 or not tensor.is_contiguous():
            raise ValueError(f"compiled code takes no {tensor.dtype} of strides {tensor.stride()}")
        return cls(tensor.data_ptr(), tensor.shape, tensor)

    def __iter__(self) -> Iterator[_Laid]:
        shape, step = self.shape[1:], self._tensor.stride(0) * self._tensor.element_size()
        return (_Laid(self.address + part * step, shape, self._tensor) for part in range(self.shape[0]))


@cache
def _compiled_passes() -> _Passes | None:
    """The passes of `kernels`, or None where numba cannot be loaded."""
    found = machine_code.natives("flashsim_prod.physics.chain.kinds.kernels")
    if found is not None:
        return _native_passes(found["steer"], found["silu"])
    try:
        from flashsim_prod.physics.chain.kinds import kernels
    except ImportError:
        return None
    return _Passes(Tensor.numpy, *kernels.for_arrays())


def _native_passes(steer: machine_code.Native, silu: machine_code.Native) -> _Passes:
    def steered(hidden: _Laid, *others: _Laid) -> None:
        steer(*hidden.shape, hidden.address, *[one.address for one in others])

    def silu_of(values: _Laid, out: _Laid) -> None:
        silu(*values.shape, values.address, out.address)

    return _Passes(_Laid.of, steered, silu_of)


def _steer(
    hidden: Tensor,
    inner: Tensor,
    gate: Tensor,
    shift: Tensor,
    gate_now: Tensor,
    shift_now: Tensor,
    first: Tensor,
    second: Tensor,
) -> None:
    """As the ``steer`` of `kernels`, by torch alone."""
    norm = hidden.square().mean(dim=1, keepdim=True).add_(_EPSILON).rsqrt_()
    inner.mul_(norm).add_(first).mul_(gate + gate_now).add_(shift).add_(shift_now)
    nn.functional.silu(inner, inplace=True)
    hidden.add_(second)


def _silu(values: Tensor, out: Tensor) -> None:
    nn.functional.silu(out.copy_(values), inplace=True)


_TORCH = _Passes(lambda tensor: tensor, _steer, _silu)
