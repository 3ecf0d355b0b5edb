"""An object model with its trained weights: conditions in, reconstructed attributes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.bundle import ModelEntry, Tensors
from flashsim_prod.physics.chain.compatibility import as_drawn_by
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter, seen, taken
from flashsim_prod.physics.chain.corrections.section import (
    REWEIGHTER,
    check_is_of,
    check_sampling,
    model_digest,
    without_reweighter,
)
from flashsim_prod.physics.chain.devices.graphs import Function
from flashsim_prod.physics.chain.devices.here import Here
from flashsim_prod.physics.chain.devices.place import CPU, Place
from flashsim_prod.physics.chain.devices.running import Pending, Runner
from flashsim_prod.physics.chain.devices.work import F32, Evaluator, Task, Work
from flashsim_prod.physics.chain.kinds.base import Kind, Networks
from flashsim_prod.physics.chain.kinds.networks import n_parameters
from flashsim_prod.physics.chain.kinds.registry import FLOW, find_kind, read_section
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.tensors import check_tensors
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class FittedModel:
    """A declaration with its networks and transforms, ready on one device.

    Attributes
    ----------
    model : ObjectModel
        With those targets that the weights draw.
    kind : Kind
        How they are drawn.
    size
        Sizes of the networks, as the kind has them.
    standardiser : Standardiser
    gaussianisers : tuple of Gaussianiser
    networks : mapping of name to torch module
        As they are trained and stored.
    place : Place
        Where they run.
    drawing : mapping of name to torch module
        What draws instead of them: the kind's form for inference, in a model that was loaded.
    reweighter : Reweighter, optional
        Knows how likely what the kind draws is in truth.
    steps : Sampling, optional
        Of a student, which draws in these whatever is asked for.
    """

    model: ObjectModel
    kind: Kind[Any]
    size: Any
    standardiser: Standardiser
    gaussianisers: tuple[Gaussianiser, ...]
    networks: Networks
    place: Place = CPU
    drawing: Networks = field(default_factory=dict)
    reweighter: Reweighter | None = None
    steps: Sampling | None = None

    @classmethod
    def untrained(
        cls,
        model: ObjectModel,
        standardiser: Standardiser,
        gaussianisers: tuple[Gaussianiser, ...],
        *,
        size: Any = None,
        kind: str = FLOW,
    ) -> FittedModel:
        """With networks that have learned nothing yet; of the declared size by default."""
        found = find_kind(kind)
        size = size or found.declared_size(model, width=None, blocks=None)
        return cls(model, found, size, standardiser, gaussianisers, found.networks(model, size))

    @classmethod
    def load(
        cls,
        model: ObjectModel,
        entry: ModelEntry,
        tensors: Tensors,
        place: Place = CPU,
    ) -> FittedModel:
        """From a bundle's entry and tensors; its networks come to their place when they are asked for.

        Raises
        ------
        BundleError
            If the weights were made for other conditions or targets, or cannot be run, or a reweighter is of
            another model.
        """
        model, kind = as_drawn_by(model, entry), find_kind(entry.kind)
        size = kind.size(read_section(entry.kind, entry.network, f"model {model.name}"))
        check_tensors(model, kind, size, tensors, entry.reweighter)
        reweighter = None
        if entry.reweighter is not None:
            check_is_of(entry.reweighter, model.name, model_digest(entry.kind, entry.form, tensors))
            reweighter = Reweighter.load(model, entry.reweighter, tensors, is_looked_up=place.is_cpu)
        standardiser = Standardiser(tensors["conditions.mean"], tensors["conditions.width"])
        gaussianisers = tuple(
            Gaussianiser(tensors[f"{target.name}.cdf"], tensors[f"{target.name}.value"])
            for target in model.targets
        )
        networks = kind.networks(model, size)
        for name, network in networks.items():
            _load(network, f"{name}.", tensors)
            network.eval()
        drawing = kind.for_inference(networks) if place.is_cpu else networks
        steps = entry.distilled.sampling if entry.distilled is not None else None
        return cls(
            model, kind, size, standardiser, gaussianisers, networks, place, drawing, reweighter, steps
        )

    @property
    def n_normals(self) -> int:
        """Normal numbers that a row of `sample` takes."""
        candidates = self._candidates
        # one more says which of the candidates it is
        return self._n_own if candidates == 1 else candidates * self._n_own + 1

    @property
    def _n_own(self) -> int:
        """Normal numbers that the kind takes."""
        return self.kind.n_normals(self.model, self.size)

    @property
    def _candidates(self) -> int:
        """Draws of the kind for each row that is drawn."""
        found = self.reweighter
        return found.section.candidates if found and found.section.use is WeightUse.RESAMPLE else 1

    @property
    def weights_events(self) -> bool:
        """Whether what it draws is to count as a weight says."""
        found = self.reweighter
        return found is not None and found.section.use is WeightUse.WEIGHT

    @property
    def bare(self) -> FittedModel:
        """This model without what corrects its draws."""
        return replace(self, reweighter=None)

    @property
    def n_parameters(self) -> int:
        """Trainable parameters of all networks."""
        return sum(n_parameters(network) for network in self.networks.values())

    def tensors(self) -> Tensors:
        """All that `load` needs of the model without corrections, by name; matrices in half precision."""
        found: Tensors = {
            "conditions.mean": self.standardiser.mean,
            "conditions.width": self.standardiser.width,
        }
        for target, gaussianiser in zip(self.model.targets, self.gaussianisers, strict=True):
            found[f"{target.name}.cdf"] = gaussianiser.cdf
            found[f"{target.name}.value"] = gaussianiser.value
        for name, network in self.networks.items():
            state = network.state_dict()
            found |= {f"{name}.{key}": _stored(value.cpu().numpy()) for key, value in state.items()}
        return found

    def probabilities(self, conditions: F32, *, by: Evaluator | None = None) -> F64:
        """Probability of each number of objects, shape (n, most + 1), for unscaled `conditions`.

        With `by`, another has its networks.
        """
        (logits,) = (by or self._alone(Sampling())).evaluate([self.numbers(conditions)])
        return probabilities(logits)

    def sample(
        self, conditions: F32, normals: F64, sampling: Sampling, *, by: Evaluator | None = None
    ) -> dict[str, F64]:
        """Targets, a value per row, for unscaled `conditions` and `normals` of shape (n, n_normals).

        With `by`, another has its networks, and knows the sampling.
        """
        if by is None:
            return self.targets(self.latents(conditions, normals, sampling))
        (drawn,) = draw([Asked(self, conditions, normals)], by)
        return self.targets(drawn.latents)

    def latents(self, conditions: F32, normals: F64, sampling: Sampling) -> F32:
        """The same before its transforms make attributes of them: numbers of shape (n, n_targets)."""
        if self.reweighter is not None:
            check_sampling(self.reweighter.section, self.model.name, sampling)
        (drawn,) = draw([Asked(self, conditions, normals)], self._alone(sampling))
        return drawn.latents

    def weights(self, conditions: F32, latents: F32) -> F64:
        """How much likelier than the kind draws them the truth is to have these objects, shape (n,)."""
        if self.reweighter is None:
            return np.ones(len(conditions))
        (logits,) = self._alone(Sampling()).evaluate([self.chances(conditions, latents)])
        return self.reweighter.weights(logits)

    def numbers(self, conditions: F32) -> Work:
        """What `probabilities` needs the networks for."""
        if not self.model.most:
            raise ValueError(f"{self.model.name} always gives one object")
        return Work(self.model.name, Task.NUMBERS, (self.standardiser(conditions),))

    def attributes(self, conditions: F32, normals: F64) -> list[Work]:
        """What `sample` needs the networks for: each of the draws of which it takes one."""
        standard, own = self.standardiser(conditions), self._n_own
        parts = (normals[:, one * own : (one + 1) * own] for one in range(self._candidates))
        return [Work(self.model.name, Task.ATTRIBUTES, (standard, part.astype(np.float32))) for part in parts]

    def chances(self, conditions: F32, latents: F32) -> Work:
        """What `weights` needs the networks for."""
        attributes = seen(list(self.targets(latents).values()), self.gaussianisers)
        inputs = np.concatenate((self.standardiser(conditions), attributes), axis=1)
        return Work(self.model.name, Task.WEIGHTS, (inputs,))

    def targets(self, latents: F32) -> dict[str, F64]:
        """What `sample` makes of what the networks gave."""
        return {
            target.name: gaussianiser.from_normal(latents[:, position])
            for position, (target, gaussianiser) in enumerate(
                zip(self.model.targets, self.gaussianisers, strict=True)
            )
        }

    def columns(self, task: Task) -> int:
        """Numbers that the networks give for a row."""
        if task is Task.WEIGHTS:
            return 2
        return len(self.model.targets) if task is Task.ATTRIBUTES else self.model.most + 1

    def start(self, task: Task, inputs: tuple[F32, ...], sampling: Sampling) -> Pending:
        """Have the networks called for all rows of `inputs`: those of a `Work`."""
        sampling = self.steps or sampling
        sizes = self._sizes(task, sampling)
        return self._runner.start((task, sampling), self._function(task, sampling), inputs, sizes)

    def prepare(self, sampling: Sampling) -> None:
        """Do in advance what the first rows would wait for."""
        sampling = self.steps or sampling
        for task in self._tasks:
            sizes, function = self._sizes(task, sampling), self._function(task, sampling)
            self._runner.record((task, sampling), function, self._widths(task), sizes)

    def with_networks(self, networks: Networks) -> FittedModel:
        """This model with other networks of the same sizes, whose draws no correction knows."""
        drawing = self.kind.for_inference(networks) if self.drawing else {}
        return replace(self, networks=networks, drawing=drawing, reweighter=None)

    @property
    def _tasks(self) -> tuple[Task, ...]:
        """What its networks can be asked for."""
        numbers = (Task.NUMBERS,) if self.model.most else ()
        weights = (Task.WEIGHTS,) if self.reweighter is not None else ()
        return (Task.ATTRIBUTES, *numbers, *weights)

    def _alone(self, sampling: Sampling) -> Evaluator:
        return Here([self], sampling)

    def _sizes(self, task: Task, sampling: Sampling) -> tuple[int, ...]:
        """Of blocks, once its networks are where they are to run."""
        if not self.place.is_cpu:
            # of one that is there already nothing is moved
            own = () if self.reweighter is None else (self.reweighter.drawing,)
            for network in (*self.networks.values(), *own):
                network.to(self.place.device)
        # each evaluation rounds as the first ones do
        few = sampling.model_copy(update={"evaluations": min(2, sampling.evaluations)})
        return self._runner.sizes_of(task, self._function(task, few), self._widths(task))

    def _widths(self, task: Task) -> tuple[int, ...]:
        conditions = len(self.model.conditions)
        if task is Task.WEIGHTS:
            return (conditions + len(self.model.targets),)
        return (conditions, self._n_own) if task is Task.ATTRIBUTES else (conditions,)

    def _function(self, task: Task, sampling: Sampling) -> Function:
        """What is called for a block."""
        kind, networks = self.kind, self.drawing or self.networks
        if task is Task.WEIGHTS:
            assert self.reweighter is not None
            return self.reweighter.drawing
        if task is Task.NUMBERS:
            return lambda conditions: kind.logits(networks, conditions)
        return lambda conditions, normals: kind.sample(networks, conditions, normals, sampling)

    @cached_property
    def _runner(self) -> Runner:
        return Runner(self.place)


@dataclass(frozen=True)
class Asked:
    """Rows of which a model is to draw an object each: unscaled conditions, and its normal numbers."""

    fitted: FittedModel
    conditions: F32
    normals: F64


@dataclass(frozen=True)
class Drawn:
    """What was drawn, and how much each of it counts for if the model weights it; ``None`` if it does not."""

    latents: F32
    weights: F64 | None = None


def draw(asked: Sequence[Asked], by: Evaluator) -> list[Drawn]:
    """Objects of several models at once, with the networks that `by` has."""
    works = [one.fitted.attributes(one.conditions, one.normals) for one in asked]
    latents = _as_asked(works, by)
    chances = [
        [one.fitted.chances(one.conditions, part) for part in parts] if one.fitted.reweighter else []
        for one, parts in zip(asked, latents, strict=True)
    ]
    found = _as_asked(chances, by)
    return [_drawn(*one) for one in zip(asked, latents, found, strict=True)]


def _as_asked(works: Sequence[Sequence[Work]], by: Evaluator) -> list[list[F32]]:
    """What comes of lists of works, evaluated together."""
    flat = [work for some in works for work in some]
    found = iter(by.evaluate(flat) if flat else [])
    return [[next(found) for _ in some] for some in works]


def _drawn(asked: Asked, latents: Sequence[F32], logits: Sequence[F32]) -> Drawn:
    """Of the candidates of each row the one that is taken, or the only one with its weight."""
    reweighter = asked.fitted.reweighter
    if reweighter is None:
        return Drawn(latents[0])
    weights = np.stack([reweighter.weights(one) for one in logits], axis=1)
    if asked.fitted.weights_events:
        return Drawn(latents[0], weights[:, 0])
    chosen = taken(weights, ndtr(asked.normals[:, -1]))
    return Drawn(np.stack(latents)[chosen, np.arange(len(chosen))])


def with_correction(tensors: Tensors, found: Reweighter) -> Tensors:
    """A model's stored tensors with those of a reweighter beside them, in the place of another one's."""
    state = found.network.state_dict()
    return without_reweighter(tensors) | {
        f"{REWEIGHTER}.{key}": _stored(value.cpu().numpy()) for key, value in state.items()
    }


def probabilities(logits: F32) -> F64:
    """Of each number of objects, from logits, shape (n, most + 1)."""
    found: F64 = torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy()
    return found


def _stored(value: NDArray[np.float32]) -> NDArray[np.float16 | np.float32]:
    """Half the size: rounding a weight to 11 bits moves what is drawn far less than training does."""
    return value.astype(np.float16) if value.ndim == 2 else value


def _load(network: torch.nn.Module, prefix: str, tensors: Tensors) -> None:
    state = {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    network.load_state_dict(state)
