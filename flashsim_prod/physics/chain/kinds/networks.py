"""Networks that kinds of model are made of."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.model import NetworkSize

#: columns from which products give a row the same bits wherever it stands among others
_WIDE = 16
#: and below that, what inputs are to be a multiple of
_EVEN = 16
#: rows that knots are found from, about
_ROWS_FOR_KNOTS = 200_000
#: width of an interval between knots at least, in standard deviations of the condition: for discrete ones
_NARROWEST = 0.01


class Steady(nn.Linear):
    """A layer of few outputs that gives a row the same bits wherever it stands among others.

    Libraries compute narrow products otherwise, several rows at once, and what is left over at the end of a
    row by its place. So it is made wider by columns of zeros, which are not kept.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return super().forward(inputs)
        return nn.functional.linear(inputs, *widened(self.weight, self.bias))[..., : self.out_features]


def linear(n_inputs: int, n_outputs: int, *, bias: bool = True) -> nn.Linear:
    """A layer whose products round a row alike wherever it stands; begins as torch's own."""
    kind = Steady if is_unsteady(n_inputs, n_outputs) else nn.Linear
    return kind(n_inputs, n_outputs, bias=bias)


def is_unsteady(n_inputs: int, n_outputs: int) -> bool:
    """Whether how a row's product is rounded may depend on where it stands."""
    return n_outputs < _WIDE and n_inputs % _EVEN != 0


def widened(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weights and bias with as many rows of zeros after them as make their product wide."""
    more = max(0, _WIDE - len(weight))
    return (
        nn.functional.pad(weight, (0, 0, 0, more)),
        None if bias is None else nn.functional.pad(bias, (0, more)),
    )


class _Block(nn.Module):
    """A residual step that condition and time steer feature by feature, by FiLM (arXiv:1709.07871).

    What they give scales and shifts each feature before its activation: no gated linear unit, which would
    take the activation's place.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = linear(width, width)
        self.second = linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, hidden: Tensor, gate: Tensor, shift: Tensor) -> Tensor:
        inner = self.first(nn.functional.rms_norm(hidden, hidden.shape[-1:]))
        return cast(Tensor, hidden + self.second(nn.functional.silu(inner * (1 + gate) + shift)))


class Velocity(nn.Module):
    """The field v(x, t, c) that carries noise to attributes: a ResNet that (c, t) steer by FiLM.

    What the velocity is for attributes that are normal and know nothing of each other is written down, and
    the network learns the rest at unit scale (the preconditioning of Karras et al., arXiv:2206.00364, for
    this path): x_t = t x + (1 - t) z has the variance s^-2 = t^2 + (1 - t)^2, the best linear guess of x - z
    from it is (2t - 1) s^2 x_t, and what that misses has the standard deviation s.

    Whatever depends on the condition alone is computed once per object by `condition`, however many
    times the solver then asks for the velocity.

    Parameters
    ----------
    n_targets, n_conditions : int
    size : NetworkSize
    """

    def __init__(self, n_targets: int, n_conditions: int, size: NetworkSize) -> None:
        super().__init__()
        self.n_targets = n_targets
        self.frequencies = size.time_frequencies
        self.context = nn.Sequential(
            linear(n_conditions, size.width), nn.SiLU(), linear(size.width, size.width)
        )
        wide = size.width * (2 * size.blocks + 1)
        self.from_context = linear(size.width, wide)
        self.from_time = linear(2 * size.time_frequencies, wide, bias=False)
        self.enter = linear(n_targets, size.width, bias=False)
        self.blocks = nn.ModuleList(_Block(size.width) for _ in range(size.blocks))
        self.leave = linear(size.width, n_targets)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def condition(self, conditions: Tensor) -> Tensor:
        """What the conditions, of shape (n, n_conditions), contribute; reused for every time."""
        return cast(Tensor, self.from_context(nn.functional.silu(self.context(conditions))))

    def forward(self, x: Tensor, t: Tensor, contribution: Tensor) -> Tensor:
        """The velocity, shape (n, n_targets), at points `x` and times `t` of shape (n, 1) or (1, 1)."""
        scale = torch.rsqrt(t**2 + (1 - t) ** 2)
        return x * ((2 * t - 1) * scale**2) + scale * self._rest(x * scale, t, contribution)

    def _rest(self, x: Tensor, t: Tensor, contribution: Tensor) -> Tensor:
        start, *steering = (contribution + self.from_time(self._time(t))).chunk(
            2 * len(self.blocks) + 1, dim=1
        )
        hidden = self.enter(x) + start
        for block, gate, shift in zip(self.blocks, steering[::2], steering[1::2], strict=True):
            hidden = block(hidden, gate, shift)
        return cast(Tensor, self.leave(nn.functional.silu(hidden)))

    def _time(self, t: Tensor) -> Tensor:
        return waves(t, self.frequencies)


def waves(t: Tensor, frequencies: int) -> Tensor:
    """As what a network sees times `t`, of shape (n, 1): their cosines and sines, (n, 2 frequencies)."""
    angles = t * math.pi * torch.arange(1, frequencies + 1, device=t.device, dtype=t.dtype)
    return torch.cat((torch.cos(angles), torch.sin(angles)), dim=1)


class Steered(nn.Module):
    """A ResNet that conditions steer as they steer a `Velocity`, without time.

    Parameters
    ----------
    n_inputs, n_conditions, n_outputs : int
    width, blocks : int
    at_rest : bool
        Whether it gives nothing but zeros before it has learned.
    """

    def __init__(
        self, n_inputs: int, n_conditions: int, n_outputs: int, width: int, blocks: int, *, at_rest: bool
    ) -> None:
        super().__init__()
        self.context = nn.Sequential(linear(n_conditions, width), nn.SiLU(), linear(width, width))
        self.from_context = linear(width, width * (2 * blocks + 1))
        self.enter = linear(n_inputs, width, bias=False)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.leave = linear(width, n_outputs)
        if at_rest:
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def forward(self, inputs: Tensor, conditions: Tensor) -> Tensor:
        """Outputs, shape (n, n_outputs), of `inputs` and `conditions`, a row each."""
        steering = self.from_context(nn.functional.silu(self.context(conditions)))
        start, *rest = steering.chunk(2 * len(self.blocks) + 1, dim=1)
        hidden = self.enter(inputs) + start
        for block, gate, shift in zip(self.blocks, rest[::2], rest[1::2], strict=True):
            hidden = block(hidden, gate, shift)
        return cast(Tensor, self.leave(nn.functional.silu(hidden)))


class Added(Steered):
    """What comes in, and what conditions and it add to it: nothing, before it has learned.

    Of normal numbers it then makes attributes that are independent and distributed as their knots say.
    """

    def __init__(self, n_targets: int, n_conditions: int, width: int, blocks: int) -> None:
        super().__init__(n_targets, n_conditions, n_targets, width, blocks, at_rest=True)

    def forward(self, inputs: Tensor, conditions: Tensor) -> Tensor:
        """Shape (n, n_targets), as `inputs`."""
        return inputs + super().forward(inputs, conditions)


def alike(one: Steered, n_outputs: int, *, at_rest: bool, n_inputs: int | None = None) -> Steered:
    """An untrained network of the sizes of `one`, but for what comes in and out."""
    n_conditions = cast(nn.Linear, one.context[0]).in_features
    n_inputs = n_inputs or one.enter.in_features
    blocks, width = len(one.blocks), one.enter.out_features
    return Steered(n_inputs, n_conditions, n_outputs, width, blocks, at_rest=at_rest)


class Multiplicity(nn.Module):
    """How many reconstructed objects come of a source: logits for 0, 1, ..., `most`.

    With ``most = 1`` this is the efficiency classifier; with more it counts fakes or duplicates.

    Efficiencies have edges, such as the end of the tracker, that a network of few layers blurs. So it sees
    each condition piece by piece too: for each interval between knots, which share of it lies below the
    condition (Gorishniy et al., arXiv:2203.05556).

    Parameters
    ----------
    n_conditions, most : int
    size : NetworkSize
    """

    knots: Tensor

    def __init__(self, n_conditions: int, most: int, size: NetworkSize) -> None:
        super().__init__()
        widths = (n_conditions * (1 + size.knots), *size.classifier)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [linear(before, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers, linear(widths[-1], most + 1))
        if size.knots:
            self.register_buffer("knots", torch.zeros(n_conditions, size.knots + 1))

    def spread_knots(self, conditions: Tensor) -> None:
        """Put the knots where they divide `conditions`, shape (n, n_conditions), into equal numbers."""
        if not hasattr(self, "knots"):
            return
        levels = torch.linspace(0, 1, self.knots.shape[1], dtype=torch.float64)
        some = conditions[:: max(1, len(conditions) // _ROWS_FOR_KNOTS)].double()
        found = torch.stack([torch.quantile(column, levels) for column in some.T])
        # as a bundle stores them
        self.knots = found.half().float()

    def forward(self, conditions: Tensor) -> Tensor:
        """Logits, shape (n, most + 1)."""
        return cast(Tensor, self.layers(self._in_pieces(conditions)))

    def intervals(self) -> tuple[Tensor, Tensor]:
        """Where the intervals of each condition begin and how wide they are, shape (n_conditions, knots)."""
        return self.knots[:, :-1], self.knots.diff(dim=1).clamp(min=_NARROWEST)

    def _in_pieces(self, conditions: Tensor) -> Tensor:
        if not hasattr(self, "knots"):
            return conditions
        below, width = self.intervals()
        shares = ((conditions[:, :, None] - below) / width).clamp(0.0, 1.0)
        return torch.cat((conditions, shares.flatten(1) - 0.5), dim=1)


def n_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
