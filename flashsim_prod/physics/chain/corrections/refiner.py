"""A residual network that moves drawn attributes to where the truth has them (arXiv:2410.15992).

It is seen as one more step of the model: what a row's conditions and normal numbers give is refined before
anything else looks at it. Attributes are normal numbers here. Where a target's distribution has steps, its
spikes, flags and whole numbers, a draw that lies on one stays; what lies between steps moves as far as the
next ones, in a normal number of its own stretch, so that no step becomes rarer or more frequent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.corrections.section import REFINER, RefinerSection, Tensors
from flashsim_prod.physics.chain.devices.graphs import Function
from flashsim_prod.physics.chain.kinds.networks import Steered
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.transforms import EDGE, SPIKE, Gaussianiser

F64 = NDArray[np.float64]

#: a target of which less than this lies between its steps stays as it is drawn
_LEAST_CONTINUUM = 0.01
#: how far levels stay off the ends of a stretch: as a normal number of single precision, an end is a step
_OFF = 2e-7
#: and how wide a stretch is at least
_NARROWEST = 1e-5
#: what networks see of a draw lies within this: a kind may draw what no truth is
_FAR = 6.0


class Refinement(nn.Module):
    """Drawn attributes, and what they are moved to.

    Parameters
    ----------
    network : torch module
        Gives a shift of each target that moves, of attributes and conditions.
    stretches : sequence of arrays of shape (k, 2)
        Where between steps each target lies, as cumulative probabilities; empty for one that does not move.
    """

    _places: Tensor
    _lower: Tensor
    _upper: Tensor

    def __init__(self, network: nn.Module, stretches: Sequence[F64]) -> None:
        super().__init__()
        self.network = network
        places = [place for place, found in enumerate(stretches) if len(found)]
        most = max(len(stretches[place]) for place in places)
        # what fills up lies beyond all levels
        edges = np.full((2, len(places), most), 2.0)
        for row, place in enumerate(places):
            edges[:, row, : len(stretches[place])] = stretches[place].T
        self.register_buffer("_places", torch.tensor(places), persistent=False)
        self.register_buffer("_lower", torch.from_numpy(edges[0]), persistent=False)
        self.register_buffer("_upper", torch.from_numpy(edges[1]), persistent=False)

    def forward(self, drawn: Tensor, conditions: Tensor) -> Tensor:
        """Shape (n, n_targets), as `drawn`."""
        shift = self.network(drawn.clamp(-_FAR, _FAR), conditions)
        chosen = drawn[:, self._places]
        return drawn.index_copy(1, self._places, self._moved(chosen, shift.to(drawn.dtype)))

    def _moved(self, x: Tensor, shift: Tensor) -> Tensor:
        """`x` moved by `shift`, each within the stretch that it lies in."""
        level = torch.special.ndtr(x.detach().double())
        position = torch.searchsorted(self._upper, level.T.contiguous()).T
        position = position.clamp(max=self._upper.shape[1] - 1)
        lower, upper = (edges.gather(1, position.T).T for edges in (self._lower, self._upper))
        inside = (level > lower) & (level < upper)
        # a target that is continuous everywhere needs no stretch of its own
        is_whole = (lower <= 0) & (upper >= 1)
        lower, upper = torch.where(inside, lower, 0.0), torch.where(inside, upper, 1.0)
        own = torch.special.ndtri(((level - lower) / (upper - lower)).clamp(EDGE, 1 - EDGE))
        share = torch.special.ndtr(own + shift.double())
        moved = (lower + (upper - lower) * share).clamp(lower + _OFF, upper - _OFF)
        within = torch.special.ndtri(moved).to(x.dtype)
        return torch.where(inside, torch.where(is_whole, x + shift, within), x)


@dataclass(frozen=True)
class Refiner:
    """A residual network and what it is of.

    Attributes
    ----------
    section : RefinerSection
    network : Steered
        As it is stored.
    drawing : Refinement
        What is evaluated.
    """

    section: RefinerSection
    network: nn.Module
    drawing: Refinement

    def after(self, sample: Function) -> Function:
        """What draws and refines: what is made of each draw, and beside it the draw; of twice the columns."""

        def refined(conditions: Tensor, normals: Tensor) -> Tensor:
            drawn = sample(conditions, normals)
            return torch.cat((self.drawing(drawn, conditions), drawn), dim=1)

        return refined

    @classmethod
    def trained(
        cls, section: RefinerSection, network: nn.Module, gaussianisers: Sequence[Gaussianiser]
    ) -> Self:
        """With a network that has learned."""
        network.eval()
        return cls(section, network, Refinement(network, [stretches(one) for one in gaussianisers]))

    @classmethod
    def load(
        cls,
        model: ObjectModel,
        section: RefinerSection,
        tensors: Tensors,
        gaussianisers: Sequence[Gaussianiser],
    ) -> Self:
        """From an entry's section and its file's tensors, whose shapes are right.

        Raises
        ------
        BundleError
            If it moves others than those targets that have a continuum.
        """
        wanted = moving(model, gaussianisers)
        if section.moves != wanted:
            odd = sorted({*section.moves} ^ {*wanted}) or ["their order"]
            raise BundleError(
                f"model {model.name} of the bundle: its refiner moves other targets than those that lie "
                f"between steps ({odd[0]}); learn it again: flashsim-prod train refine {model.name}"
            )
        network = untrained(model, section)
        prefix = f"{REFINER}."
        state = {
            name.removeprefix(prefix): torch.from_numpy(np.asarray(tensor))
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        network.load_state_dict(state)
        return cls.trained(section, network, gaussianisers)


def untrained(model: ObjectModel, section: RefinerSection) -> Steered:
    """A network that gives nothing but zeros yet."""
    return shifts_of(model, len(section.moves), section.width, section.blocks)


def shifts_of(model: ObjectModel, moves: int, width: int, blocks: int) -> Steered:
    """The same of so many targets that move."""
    return Steered(len(model.targets), len(model.conditions), moves, width, blocks, at_rest=True)


def expected_shapes(model: ObjectModel, section: RefinerSection) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a refiner, by name."""
    with torch.device("meta"):
        network = untrained(model, section)
    return {f"{REFINER}.{name}": tuple(one.shape) for name, one in network.state_dict().items()}


def moving(model: ObjectModel, gaussianisers: Sequence[Gaussianiser]) -> tuple[str, ...]:
    """Names of the targets that there is something to be moved of."""
    return tuple(
        target.name
        for target, gaussianiser in zip(model.targets, gaussianisers, strict=True)
        if len(stretches(gaussianiser))
    )


def stretches(gaussianiser: Gaussianiser) -> F64:
    """Where between its steps a distribution is continuous: cumulative probabilities, shape (k, 2), rising.

    None at all if that is next to nothing of it. What the last values before a step own is no step itself.
    """
    cdf, value = gaussianiser.cdf.astype(np.float64), gaussianiser.value
    share, rises = np.diff(cdf), np.diff(value) > 0
    found: list[tuple[float, float]] = []
    for place in np.flatnonzero((share > 0) & (rises | (share < SPIKE))):
        begins = found and found[-1][1] == cdf[place]
        lower = found.pop()[0] if begins else cdf[place]
        found.append((lower, cdf[place + 1]))
    # rare values of a discrete one are no continuum
    risen = np.concatenate(([0.0], np.cumsum(np.where(rises, share, 0.0))))
    inside = [np.interp(one, cdf, risen) for one in np.array(found).reshape(-1, 2)]
    kept = [one for one, (before, after) in zip(found, inside, strict=True) if after - before > _NARROWEST]
    edges = np.array(kept, dtype=np.float64).reshape(-1, 2)
    return edges if np.diff(edges).sum() >= _LEAST_CONTINUUM else edges[:0]
