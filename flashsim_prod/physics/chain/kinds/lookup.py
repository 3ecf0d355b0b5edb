"""The classifier of numbers as inference evaluates it: its first layer is looked up.

What that layer gives is a sum of functions of one condition each, which are straight between the ends of the
intervals that the condition is seen in. So there is a table of their values and slopes, and two sums of rows
of it stand for a product with twenty times as many numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.kinds.networks import Multiplicity


class Table(NamedTuple):
    """The first layer of a classifier, looked up.

    Attributes
    ----------
    edges : tensor of shape (n_conditions, n_edges)
        Rising, of each condition.
    start : tensor of shape (n_conditions, n_edges + 1)
        Where the stretches before and behind the edges begin; that before all of them at the first.
    value, slope : tensors of shape (n_conditions * (n_edges + 1), width)
        What the layer takes from each stretch, but for its bias: at its start, and how much more behind it.
    """

    edges: Tensor
    start: Tensor
    value: Tensor
    slope: Tensor


def table_of(network: Multiplicity) -> Table:
    """What the first layer of a network with knots gives."""
    first = cast(nn.Linear, network.layers[0])
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
    return Table(edges.float(), start.float(), value.flatten(0, 1).float(), slope.flatten(0, 1).float())


class LookedUp(nn.Module):
    """What `Multiplicity` computes, on the CPU and without gradients, by torch alone.

    Parameters
    ----------
    network : Multiplicity
        Trained, with knots; its weights must not change any more.
    """

    def __init__(self, network: Multiplicity) -> None:
        super().__init__()
        layer, *rest = network.layers
        # in a tuple, so that their weights are not taken for this module's own
        self._rest = tuple(rest)
        self._table = table_of(network)
        self._start = self._table.start.flatten()
        self._bias = cast(nn.Linear, layer).bias.detach()
        n_conditions, rows = self._table.start.shape
        self._first_rows = torch.arange(n_conditions, dtype=torch.int32)[:, None] * rows

    def forward(self, conditions: Tensor) -> Tensor:
        """Logits, shape (n, most + 1)."""
        turned = conditions.t().contiguous()
        found = torch.searchsorted(self._table.edges, turned, right=True, out_int32=True)
        # sums over rows of a table take longer where their numbers are long, or do not lie together
        rows = found.add_(self._first_rows).t().contiguous()
        beyond = conditions - self._start[rows]
        hidden = nn.functional.embedding_bag(rows, self._table.value, mode="sum")
        hidden += nn.functional.embedding_bag(rows, self._table.slope, mode="sum", per_sample_weights=beyond)
        return in_place(self._rest, hidden.add_(self._bias))


def in_place(layers: Iterable[nn.Module], hidden: Tensor) -> Tensor:
    """What `layers` make of `hidden`; activations need no memory of their own.

    Of layers that begin with an activation, `hidden` must be nobody else's.
    """
    for layer in layers:
        hidden = nn.functional.silu(hidden, inplace=True) if isinstance(layer, nn.SiLU) else layer(hidden)
    return hidden
