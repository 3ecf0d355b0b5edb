"""How many objects a row gives: a classifier that kinds of model share."""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import asdict, replace
from typing import Any, ClassVar, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.strict import StrictModel
from flashsim_prod.physics.chain.kinds.base import Examples, Kind, Loss, Networks, Stage
from flashsim_prod.physics.chain.kinds.native import Native, looked_up
from flashsim_prod.physics.chain.kinds.networks import Multiplicity
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel

#: prefix of its tensors, and its stage's name
MULTIPLICITY = "multiplicity"


def networks_of_numbers(model: ObjectModel, size: NetworkSize) -> dict[str, nn.Module]:
    """The classifier, where there is a number to be drawn."""
    if not model.draws_number:
        return {}
    return {MULTIPLICITY: Multiplicity(len(model.conditions), model.most, size)}


def spread_knots(networks: Networks, conditions: Tensor) -> None:
    """Put the classifier's knots where they divide `conditions` into equal numbers."""
    found = networks.get(MULTIPLICITY)
    if isinstance(found, Multiplicity):
        found.spread_knots(conditions)


def networks_for_inference(networks: Networks) -> Networks:
    """The same networks, with a classifier that looks its first layer up."""
    found = networks.get(MULTIPLICITY)
    if not (isinstance(found, Multiplicity) and hasattr(found, "knots")):
        return networks
    return {**networks, MULTIPLICITY: looked_up(found)}


def shift_logits(networks: Networks, shift: Tensor) -> Networks:
    """The same networks, with `shift`, of shape (most + 1,), added to the logits of the numbers.

    Networks that have another classifier than this one, or none, are as they were.
    """
    found = networks.get(MULTIPLICITY)
    if not isinstance(found, Multiplicity):
        return networks
    shifted = copy.deepcopy(found)
    with torch.no_grad():
        last = shifted.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.add_(shift)
    return {**networks, MULTIPLICITY: shifted}


def stages_of_numbers(networks: Networks) -> tuple[Stage, ...]:
    """Its training, where there is one."""
    network = networks.get(MULTIPLICITY)
    if network is None:
        return ()
    return (Stage(MULTIPLICITY, network, CountLoss, (MULTIPLICITY,), of_numbers=True),)


class CountLoss(Loss):
    """Cross-entropy of the number of objects."""

    def __init__(self, examples: Examples) -> None:
        self.conditions, self.number = examples.conditions, examples.number
        self.n = len(self.number)

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        return nn.functional.cross_entropy(
            network(self.conditions[rows].to(device)), self.number[rows].to(device)
        )


class WithClassifier(Protocol):
    """Sizes of which some are the classifier's; dataclasses, as `NetworkSize` is."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def classifier(self) -> tuple[int, ...]: ...

    @property
    def knots(self) -> int: ...


Sized = TypeVar("Sized", bound=WithClassifier)


class KindWithNumbers(Kind[Sized]):
    """A kind that has only attributes to draw: their number is the classifier's."""

    #: of its sizes
    sizes: type[Sized]

    def size(self, section: StrictModel) -> Sized:
        return self.sizes(**dict(section))

    def section(self, size: Sized) -> dict[str, Any]:
        return asdict(size)

    def combined(self, stage: str, new: Sized, last: Sized) -> Sized:
        if stage == MULTIPLICITY:
            return replace(last, classifier=new.classifier, knots=new.knots)
        return replace(new, classifier=last.classifier, knots=last.knots)

    @abstractmethod
    def of_attributes(self, model: ObjectModel, size: Sized) -> dict[str, nn.Module]:
        """Untrained networks that draw the attributes."""

    @abstractmethod
    def stages_of_attributes(self, networks: Networks) -> tuple[Stage, ...]:
        """How these are trained."""

    def networks(self, model: ObjectModel, size: Sized) -> dict[str, nn.Module]:
        of_numbers = NetworkSize(classifier=size.classifier, knots=size.knots)
        return {**self.of_attributes(model, size), **networks_of_numbers(model, of_numbers)}

    def prepare(self, networks: Networks, conditions: Tensor) -> None:
        spread_knots(networks, conditions)

    def for_inference(self, networks: Networks) -> Networks:
        return networks_for_inference(networks)

    def takes_any_rows(self, networks: Networks, *, of_numbers: bool) -> bool:
        own = [one for name, one in networks.items() if (name == MULTIPLICITY) == of_numbers]
        return bool(own) and all(isinstance(one, Native) for one in own)

    def logits(self, networks: Networks, conditions: Tensor) -> Tensor:
        return cast(Tensor, networks[MULTIPLICITY](conditions))

    def stages(self, networks: Networks) -> tuple[Stage, ...]:
        return (*self.stages_of_attributes(networks), *stages_of_numbers(networks))
