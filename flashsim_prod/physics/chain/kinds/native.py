"""Networks as inference evaluates them where there is a compiler: made from those that are trained.

They are equal to these, on the CPU and without gradients, and call the compiled functions of `kernels`: a few
rows go through all layers before the next ones do, so that what is between layers never leaves a core's
nearest caches.
"""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.kinds.fused import Kept, OfTimes
from flashsim_prod.physics.chain.kinds.lookup import LookedUp, table_of
from flashsim_prod.physics.chain.kinds.networks import Multiplicity, Velocity
from flashsim_prod.physics.compiling import machine_code

log = logging.getLogger("flashsim_prod.worker")


class Code(NamedTuple):
    """The functions of `kernels`, the columns of its panels, and how many rows go together."""

    condition: machine_code.Native
    velocity: machine_code.Native
    multiplicity: machine_code.Native
    columns: int
    rows: int

    def wide(self, width: int) -> int:
        """So many numbers a row of `width` takes."""
        return -(-width // self.columns) * self.columns

    def row(self, vector: Tensor) -> Tensor:
        """With zeros behind it."""
        return nn.functional.pad(vector.detach(), (0, self.wide(len(vector)) - len(vector)))

    def panels(self, weight: Tensor, depth: int | None = None) -> Tensor:
        """A layer's weights panel by panel, for rows of `depth` numbers: more than its own do nothing."""
        outputs, inputs = weight.shape
        more = (0, (depth or inputs) - inputs, 0, self.wide(outputs) - outputs)
        padded = nn.functional.pad(weight.detach(), more)
        return padded.view(-1, self.columns, padded.shape[1]).transpose(1, 2).flatten()

    def layer(self, layer: nn.Linear, depth: int | None = None) -> tuple[Tensor, Tensor]:
        """Panels and bias of a layer."""
        return self.panels(layer.weight, depth), self.row(layer.bias)


@cache
def code() -> Code | None:
    """What is compiled, or None where it cannot be had."""
    found = machine_code.natives("flashsim_prod.physics.chain.kinds.kernels")
    if found is None:
        # the same events, but for last digits: who makes a file anew elsewhere should know
        log.info("networks are not compiled here, torch runs them")
        return None
    shape = torch.zeros(2, dtype=torch.int64)
    found["shape"](shape.data_ptr())
    columns, rows = shape.tolist()
    return Code(found["condition"], found["velocity"], found["multiplicity"], columns, rows)


class Native(nn.Module):
    """Gives a row the same bits in a block of any size, wherever it stands."""


class NativeVelocity(Native):
    """What `Velocity` computes.

    Parameters
    ----------
    velocity : Velocity
        Trained; its weights must not change any more. It is not kept.
    code : Code
    """

    def __init__(self, velocity: Velocity, code: Code) -> None:
        super().__init__()
        first, _, second = (cast(nn.Linear, one) for one in velocity.context)
        self._code, self._width = code, velocity.leave.in_features
        self._wide = wide = code.wide(self._width)
        self._n_targets, self._n_blocks = velocity.leave.out_features, len(velocity.blocks)
        self._n_parts, self._n_conditions = 2 * self._n_blocks + 1, first.in_features
        slabs = velocity.from_context
        of_slabs = zip(slabs.weight.chunk(self._n_parts), slabs.bias.chunk(self._n_parts), strict=True)
        self._of_conditions = torch.cat(
            [
                *code.layer(first),
                *code.layer(second, wide),
                *(part for weight, bias in of_slabs for part in (code.panels(weight, wide), code.row(bias))),
            ]
        )
        layers = [cast(nn.Linear, one) for block in velocity.blocks for one in (block.first, block.second)]
        zeros = torch.zeros(wide)
        self._of_blocks = torch.cat([zeros, *(part for one in layers for part in code.layer(one, wide))])
        leave = velocity.leave
        self._enter, self._leave = velocity.enter.weight.detach(), leave.weight.detach()
        self._of_times = OfTimes(velocity.frequencies, self._n_parts, velocity.from_time, leave.bias.detach())
        self._at = Kept(self._now)

    def condition(self, conditions: Tensor) -> Tensor:
        """What the conditions contribute, by rows that go together."""
        conditions = conditions.contiguous()
        n, rows, wide = len(conditions), self._code.rows, self._wide
        out = torch.empty(-(-n // rows), self._n_parts, rows, wide)
        room = _room(rows * (max(self._n_conditions, wide) + wide))
        self._code.condition(
            *(n, self._n_conditions, wide, self._n_parts),
            _address(conditions, n, self._n_conditions),
            *map(_address, (self._of_conditions, room, out)),
        )
        return out

    def forward(self, x: Tensor, t: Tensor, contribution: Tensor) -> Tensor:
        """The velocity, shape (n, n_targets), at points `x` and the one time `t`, of shape (1, 1)."""
        x = x.contiguous()
        columns, out = self._code.wide(self._n_targets), torch.empty_like(x)
        room = _room(self._code.rows * (2 * self._wide + columns + self._n_targets))
        self._code.velocity(
            *(len(x), self._n_targets, columns, self._width, self._wide, self._n_blocks),
            _address(x, len(x), self._n_targets),
            _address(contribution, -(-len(x) // self._code.rows), self._n_parts, self._code.rows, self._wide),
            *map(_address, (self._of_blocks, self._at(float(t)), room, out)),
        )
        return out

    def _now(self, t: float) -> Tensor:
        """All that depends on time."""
        now, code = self._of_times.at(t), self._code
        steering = [code.row(one) for pair in now.steering for one in pair]
        return torch.cat(
            [
                *(code.row(now.start), code.panels(self._enter * now.scale), *steering),
                *(code.panels(self._leave * now.scale, self._wide), code.row(now.bias)),
                torch.tensor([now.linear]),
            ]
        )


class NativeMultiplicity(Native):
    """What `Multiplicity` computes, its first layer by looking it up.

    Parameters
    ----------
    network : Multiplicity
        Trained, with knots; its weights must not change any more.
    code : Code
    """

    def __init__(self, network: Multiplicity, code: Code) -> None:
        super().__init__()
        first, *rest = (one for one in network.layers if isinstance(one, nn.Linear))
        table = table_of(network)
        self._code, self._n_logits = code, ([first, *rest][-1]).out_features
        self._widths = torch.tensor([code.wide(one.out_features) for one in (first, *rest)])
        self._edges, self._start = table.edges.contiguous(), table.start.contiguous()
        more = code.wide(first.out_features) - first.out_features
        padded = [nn.functional.pad(one, (0, more)) for one in (table.value, table.slope)]
        self._table = torch.stack(padded, dim=1).contiguous()
        depths = self._widths.tolist()
        layers = [part for one, depth in zip(rest, depths, strict=False) for part in code.layer(one, depth)]
        self._weights = torch.cat([code.row(first.bias), *layers])

    def forward(self, conditions: Tensor) -> Tensor:
        """Logits, shape (n, most + 1)."""
        conditions = conditions.contiguous()
        n, seen = conditions.shape
        out = torch.empty(n, self._n_logits)
        room = _room(2 * self._code.rows * int(self._widths.max()))
        self._code.multiplicity(
            *(n, seen, self._edges.shape[1], len(self._widths), self._n_logits),
            _address(conditions, n, len(self._edges)),
            *map(_address, (self._edges, self._start, self._table)),
            self._widths.data_ptr(),
            *map(_address, (self._weights, room, out)),
        )
        return out


def looked_up(network: Multiplicity) -> nn.Module:
    """What computes the same as a classifier with knots, on the CPU, by compiled code where there is some."""
    found = code()
    return LookedUp(network) if found is None else NativeMultiplicity(network, found)


_kept = threading.local()


def _room(numbers: int) -> Tensor:
    """Room for what is between layers, the thread's own for all networks, so that it stays in its cache."""
    found: Tensor | None = getattr(_kept, "room", None)
    if found is None or len(found) < numbers:
        # no garbage in rows that are computed for nothing: it could be slow
        found = _kept.room = torch.zeros(numbers)
    return found


def _address(tensor: Tensor, *shape: int) -> int:
    """Where the numbers of a contiguous tensor lie, which has a `shape` if one is said."""
    if tensor.dtype != torch.float32 or not tensor.is_contiguous() or (shape and tensor.shape != shape):
        raise ValueError(f"compiled code takes no {tensor.dtype} of {tuple(tensor.shape)} here")
    return tensor.data_ptr()
