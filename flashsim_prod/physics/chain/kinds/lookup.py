"""The classifier of numbers as inference evaluates it: its first layer is looked up.

What that layer gives is a sum of functions of one condition each, which are straight between the ends of the
intervals that the condition is seen in. So there is a table of their values and slopes, and two sums of rows
of it stand for a product with twenty times as many numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.kinds.networks import Multiplicity


class LookedUp(nn.Module):
    """What `Multiplicity` computes, on the CPU and without gradients.

    Parameters
    ----------
    network : Multiplicity
        Trained, with knots; its weights must not change any more.
    """

    def __init__(self, network: Multiplicity) -> None:
        super().__init__()
        layer, *rest = network.layers
        first = cast(nn.Linear, layer)
        # in a tuple, so that their weights are not taken for this module's own
        self._rest = tuple(rest)
        n_conditions, knots = network.knots.shape[0], network.knots.shape[1] - 1
        weight = first.weight.detach().double()
        straight, pieces = weight[:, :n_conditions], weight[:, n_conditions:]
        pieces = pieces.reshape(-1, n_conditions, knots)
        below, width = (one.double() for one in network.intervals())
        edges = torch.cat((below, below + width), dim=1).sort(dim=1).values
        # the first row is of what lies below all edges
        start = torch.cat((edges[:, :1], edges), dim=1)
        shares = ((start[:, :, None] - below[:, None]) / width[:, None]).clamp(0.0, 1.0) - 0.5
        value = torch.einsum("cik,hck->cih", shares, pieces)
        value = value + start[:, :, None] * straight.T[:, None]
        # the slope behind an edge: of the intervals that hold the middle of the stretch that begins there
        end = torch.cat((edges, edges[:, -1:] + 1), dim=1)
        middle = (start + end) / 2
        middle[:, 0] = edges[:, 0] - 1
        inside = (middle[:, :, None] > below[:, None]) & (middle[:, :, None] < (below + width)[:, None])
        slope = torch.einsum("cik,hck->cih", inside / width[:, None], pieces) + straight.T[:, None]
        rows = edges.shape[1] + 1
        self._edges, self._start = edges.float(), start.float().flatten()
        self._value, self._slope = value.flatten(0, 1).float(), slope.flatten(0, 1).float()
        self._bias = first.bias.detach()
        self._first_rows = torch.arange(n_conditions, dtype=torch.int32)[:, None] * rows

    def forward(self, conditions: Tensor) -> Tensor:
        """Logits, shape (n, most + 1)."""
        turned = conditions.t().contiguous()
        found = torch.searchsorted(self._edges, turned, right=True, out_int32=True)
        # sums over rows of a table take longer where their numbers are long, or do not lie together
        rows = found.add_(self._first_rows).t().contiguous()
        beyond = conditions - self._start[rows]
        hidden = nn.functional.embedding_bag(rows, self._value, mode="sum")
        hidden += nn.functional.embedding_bag(rows, self._slope, mode="sum", per_sample_weights=beyond)
        return in_place(self._rest, hidden.add_(self._bias))


def in_place(layers: Iterable[nn.Module], hidden: Tensor) -> Tensor:
    """What `layers` make of `hidden`; activations need no memory of their own.

    Of layers that begin with an activation, `hidden` must be nobody else's.
    """
    for layer in layers:
        hidden = nn.functional.silu(hidden, inplace=True) if isinstance(layer, nn.SiLU) else layer(hidden)
    return hidden
