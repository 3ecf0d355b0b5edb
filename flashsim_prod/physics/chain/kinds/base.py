"""What a kind of model is: the protocol that chain, bundle and training know it by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.physics.chain.model import ObjectModel

#: sizes of a kind's networks
Size = TypeVar("Size")
#: networks by the prefix of their tensors in a file of weights
Networks = Mapping[str, nn.Module]


class Loss:
    """What is to become small: called with a network and the rows of a batch.

    Of a stage whose networks take turns, the call itself judges them all: those are kept for which it was
    least on rows held out.
    """

    n: int

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        """The mean loss over `rows`; random numbers only from `generator`."""
        raise NotImplementedError

    def in_turn(
        self, turn: str, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str
    ) -> Tensor:
        """What the turn called `turn` takes down."""
        return self(network, rows, generator, device)


@dataclass(frozen=True)
class Examples:
    """What a kind learns from, in the numbers that its networks see; all on the CPU.

    Attributes
    ----------
    conditions : float32 tensor of shape (n_rows, n_conditions)
        Standardised, for every source row.
    number : int64 tensor of shape (n_rows,)
        Objects that came of the row, at most those that the model gives.
    row : int64 tensor of shape (n_objects,)
        The source row of each object.
    lower, upper : float32 tensors of shape (n_objects, n_targets)
        The slice of its target's cumulative probability that each value owns: a point where the distribution
        is continuous.
    """

    conditions: Tensor
    number: Tensor
    row: Tensor
    lower: Tensor
    upper: Tensor

    def normal(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Targets of the objects `rows` as normal numbers, those on a step spread anew over its slice."""
        lower, upper = self.lower[rows], self.upper[rows]
        level = lower + torch.rand(lower.shape, generator=generator) * (upper - lower)
        normal: Tensor = torch.special.ndtri(level.double())
        return normal.float()


class ObjectLoss(Loss):
    """A loss of objects, each seen with the conditions of its row.

    Parameters
    ----------
    examples : Examples
    """

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self.conditions = examples.conditions[examples.row]
        self.n = len(self.conditions)

    def seen(self, rows: Tensor, generator: torch.Generator, device: str) -> tuple[Tensor, Tensor]:
        """Targets of the objects `rows`, steps spread anew, and their conditions."""
        x = self.examples.normal(rows, generator).to(device)
        return x, self.conditions[rows].to(device)


#: an optimiser for weights, with a learning rate to begin with
NewOptimiser = Callable[[Iterable[nn.Parameter], float], Optimizer]


@dataclass(frozen=True)
class Turn:
    """What is optimised while the rest of a stage's network stands still.

    Attributes
    ----------
    name : str
        What its loss is asked for, and what a checkpoint calls its moments by.
    trains : tuple of str
        Children of the stage's network that it moves; all of it by default.
    steps : int
        Optimiser's steps, each with rows of its own, before it is the next one's turn.
    optimiser : callable
    rate : float
        Its learning rate, as a multiple of what the settings say.
    """

    name: str = ""
    trains: tuple[str, ...] = ()
    steps: int = 1
    optimiser: NewOptimiser = AdamW
    rate: float = 1.0

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """The weights of a stage's network that it moves."""
        parts = [network.get_submodule(name) for name in self.trains] or [network]
        return [weight for part in parts for weight in part.parameters() if weight.requires_grad]


@dataclass(frozen=True)
class Stage:
    """One optimisation of a fit.

    Attributes
    ----------
    name : str
        Names the checkpoint, the losses, and what ``train fit --only`` takes; that of what draws the
        attributes is the kind's.
    network : torch module
        What is trained: a network of the model, or a module that holds some of them beside what only training
        needs.
    loss : callable
        Makes the loss of what is to be learned, when its turn comes.
    trains : tuple of str
        The model's networks that it trains, by name.
    of_numbers : bool
        Whether it learns how many objects a row gives, from rows instead of objects.
    turns : tuple of Turn
        What one step consists of, one turn after another.
    share : float
        Its steps, as a share of those that are asked for.
    """

    name: str
    network: nn.Module
    loss: Callable[[Examples], Loss]
    trains: tuple[str, ...]
    of_numbers: bool = False
    turns: tuple[Turn, ...] = (Turn(),)
    share: float = 1.0


class Kind(ABC, Generic[Size]):
    """How attributes are drawn from conditions and normal numbers.

    A kind lives between a `Standardiser` and `Gaussianiser`\\ s: the conditions that it sees have zero mean
    and unit width, and each target that it draws is a standard normal number if looked at alone. What it
    draws for a row must depend on nothing but that row's conditions and normal numbers.
    """

    name: ClassVar[str]
    #: whether its networks can be made without memory, where only their shapes are wanted
    is_weightless: ClassVar[bool] = True
    #: whether what it draws depends on how it is integrated
    integrates: ClassVar[bool] = False

    @abstractmethod
    def declared_size(self, model: ObjectModel, *, width: int | None, blocks: int | None) -> Size:
        """The sizes that this software takes for `model`; `width` and `blocks` instead if given."""

    @abstractmethod
    def size(self, section: StrictModel) -> Size:
        """The sizes that an entry records."""

    @abstractmethod
    def section(self, size: Size) -> dict[str, Any]:
        """What an entry records of the sizes."""

    @abstractmethod
    def combined(self, stage: str, new: Size, last: Size) -> Size:
        """The sizes of networks of which `stage` has those of `new`, all others those of `last`."""

    @abstractmethod
    def networks(self, model: ObjectModel, size: Size) -> dict[str, nn.Module]:
        """All that a bundle stores: untrained networks, by the prefix of their tensors' names."""

    def expected_shapes(self, model: ObjectModel, size: Size) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor of the networks, by name."""
        with torch.device("meta" if self.is_weightless else "cpu"):
            networks = self.networks(model, size)
        return {
            f"{prefix}.{key}": tuple(one.shape)
            for prefix, network in networks.items()
            for key, one in network.state_dict().items()
        }

    def n_normals(self, model: ObjectModel, size: Size) -> int:
        """Normal numbers that a row takes."""
        return len(model.targets)

    def prepare(self, networks: Networks, conditions: Tensor) -> None:
        """Set what untrained networks take from the standardised conditions that they are to learn from."""

    def for_inference(self, networks: Networks) -> Networks:
        """What `sample` and `logits` take on a CPU instead of trained networks: equal to them, and faster."""
        return networks

    def takes_any_rows(self, networks: Networks, *, of_numbers: bool) -> bool:
        """Whether `logits`, or else `sample`, gives a row the same bits in blocks of any size."""
        return False

    @abstractmethod
    def sample(self, networks: Networks, conditions: Tensor, normals: Tensor, sampling: Sampling) -> Tensor:
        """Targets as normal numbers, shape (n, n_targets), from `normals` of shape (n, n_normals)."""

    @abstractmethod
    def logits(self, networks: Networks, conditions: Tensor) -> Tensor:
        """Logits of each number of objects, shape (n, most + 1); asked only if `most` is not 0."""

    @abstractmethod
    def stages(self, networks: Networks) -> tuple[Stage, ...]:
        """How the networks are trained, one stage after another."""
