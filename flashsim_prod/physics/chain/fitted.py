"""An object model with its trained weights: conditions in, reconstructed attributes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import ModelEntry, Tensors
from flashsim_prod.physics.chain.compatibility import as_drawn_by, check_own
from flashsim_prod.physics.chain.corrections import section
from flashsim_prod.physics.chain.corrections.drawing import Asked, draw
from flashsim_prod.physics.chain.corrections.refiner import Refiner
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter, seen
from flashsim_prod.physics.chain.devices.graphs import Function
from flashsim_prod.physics.chain.devices.here import Here
from flashsim_prod.physics.chain.devices.place import CPU, Place
from flashsim_prod.physics.chain.devices.running import Pending, Runner
from flashsim_prod.physics.chain.devices.work import F32, Evaluator, Task, Work
from flashsim_prod.physics.chain.kinds.base import Kind, Networks
from flashsim_prod.physics.chain.kinds.networks import n_parameters
from flashsim_prod.physics.chain.kinds.registry import FLOW, find_kind, read_section
from flashsim_prod.physics.chain.kinds.sets.base import KindOfSets
from flashsim_prod.physics.chain.kinds.sets.padding import padded_sets
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.tensors import check_tensors
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: members of sets that networks see at a time, for each row that they would see
_MEMBERS_A_ROW = 8


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
    refiner : Refiner, optional
        Moves what the kind draws, before anything else sees it.
    reweighter : Reweighter, optional
        Knows how likely what is drawn so is in truth.
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
    refiner: Refiner | None = None

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
        *,
        only_draws: bool = False,
    ) -> FittedModel:
        """From a bundle's entry and tensors; its networks come to their place when they are asked for.

        With `only_draws` its ``networks`` are what draws: weights are in memory once, and not to be stored.

        Raises
        ------
        BundleError
            If the weights were made for other conditions or targets, or cannot be run, or a correction is of
            another model, or of one that draws sets.
        """
        model, kind = as_drawn_by(model, entry), find_kind(entry.kind)
        for one in entry.corrections if isinstance(kind, KindOfSets) else ():
            raise BundleError(
                f"model {model.name} of the bundle: a {one.WHAT} knows single objects, and it is of "
                f"kind {kind.name}, which draws the objects of a source together"
            )
        size = kind.size(read_section(entry.kind, entry.network, f"model {model.name}"))
        check_tensors(model, kind, size, tensors, entry.corrections)
        check_own(model.name, entry, tensors)
        reweighter = refiner = None
        if entry.reweighter is not None:
            reweighter = Reweighter.load(model, entry.reweighter, tensors, is_looked_up=place.is_cpu)
        standardiser = Standardiser(tensors["conditions.mean"], tensors["conditions.width"])
        gaussianisers = tuple(
            Gaussianiser(tensors[f"{target.name}.cdf"], tensors[f"{target.name}.value"])
            for target in model.targets
        )
        if entry.refiner is not None:
            refiner = Refiner.load(model, entry.refiner, tensors, gaussianisers)
        networks = kind.networks(model, size)
        for name, network in networks.items():
            _load(network, f"{name}.", tensors)
        drawing = kind.for_inference(networks) if place.is_cpu else networks
        steps = entry.distilled.sampling if entry.distilled is not None else None
        return cls(
            *(model, kind, size, standardiser, gaussianisers, drawing if only_draws else networks),
            *(place, drawing, reweighter, steps, refiner),
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
        return replace(self, reweighter=None, refiner=None)

    @property
    def unweighted(self) -> FittedModel:
        """This model, refined or not, without what weights its draws or takes one of several."""
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
        self,
        conditions: F32,
        normals: F64,
        sampling: Sampling,
        *,
        by: Evaluator | None = None,
        sets: I64 | None = None,
    ) -> dict[str, F64]:
        """Targets, a value per row, for unscaled `conditions` and `normals` of shape (n, n_normals).

        With `by`, another has its networks, and knows the sampling. Rows with the same number in `sets` are
        of one source: a kind that draws sets draws them together.
        """
        if by is None:
            return self.targets(self.latents(conditions, normals, sampling, sets=sets))
        (drawn,) = draw([Asked(self, conditions, normals, sets)], by)
        return self.targets(drawn.latents)

    def latents(self, conditions: F32, normals: F64, sampling: Sampling, *, sets: I64 | None = None) -> F32:
        """The same before its transforms make attributes of them: numbers of shape (n, n_targets)."""
        for one in (self.refiner, self.reweighter):
            section.check_sampling(one.section if one else None, self.model.name, sampling)
        (drawn,) = draw([Asked(self, conditions, normals, sets)], self._alone(sampling))
        return drawn.latents

    def weights(self, conditions: F32, latents: F32) -> F64:
        """How much likelier than the kind draws them the truth is to have these objects, shape (n,)."""
        if self.reweighter is None:
            return np.ones(len(conditions))
        (logits,) = self._alone(Sampling()).evaluate([self.chances(conditions, latents)])
        return self.reweighter.weights(logits)

    def numbers(self, conditions: F32) -> Work:
        """What `probabilities` needs the networks for."""
        if not self.model.draws_number:
            raise ValueError(f"{self.model.name} always gives one object, or is told how many")
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
        """What `sample` makes of what the networks gave, whose targets are the last axis."""
        return {
            target.name: gaussianiser.from_normal(latents[..., position])
            for position, (target, gaussianiser) in enumerate(
                zip(self.model.targets, self.gaussianisers, strict=True)
            )
        }

    def columns(self, task: Task) -> int:
        """Numbers that the networks give for a row."""
        if task is Task.WEIGHTS:
            return 2
        # of a model that is refined what it drew comes after what is made of it
        parts = 1 if self.refiner is None else 2
        return parts * len(self.model.targets) if task is Task.ATTRIBUTES else self.model.most + 1

    def start(self, task: Task, inputs: tuple[F32, ...], sampling: Sampling) -> Pending:
        """Have the networks called for all rows of `inputs`: those of a `Work`."""
        sampling = self.steps or sampling
        sizes = self._sizes(task, sampling)
        return self._runner.start((task, sampling), self._function(task, sampling), inputs, sizes)

    def prepare(self, sampling: Sampling) -> None:
        """Do in advance what the first rows would wait for."""
        if self.draws_sets:
            return
        sampling = self.steps or sampling
        for task in self._tasks:
            sizes, function = self._sizes(task, sampling), self._function(task, sampling)
            self._runner.record((task, sampling), function, self._widths(task), sizes)

    @property
    def draws_sets(self) -> bool:
        """Whether the objects of a source are drawn together."""
        return isinstance(self.kind, KindOfSets)

    def of_sets(self, conditions: F32, normals: F64, sets: I64) -> F32:
        """As `latents`, where `sets` says which rows are drawn together; on the CPU, wherever all else is.

        Blocks of sets have other shapes than blocks of rows.
        """
        assert isinstance(self.kind, KindOfSets)
        networks, rows = self.drawing or self.networks, replace(self.place, device="cpu").sizes[-1]
        seen, noise = self.standardiser(conditions), normals.astype(np.float32)
        drawn = np.empty((len(noise), len(self.model.targets)), dtype=np.float32)
        with torch.inference_mode():
            for places in padded_sets(sets, _MEMBERS_A_ROW * rows):
                present = places >= 0
                # a set of a block that is not full is no set, and its first row stands for none
                some = np.maximum(places, 0)
                inputs = (seen[some[:, 0]], noise[some], present)
                found = self.kind.sample_sets(networks, *map(torch.from_numpy, inputs))
                drawn[places[present]] = found.numpy()[present]
        return drawn

    def with_networks(self, networks: Networks) -> FittedModel:
        """This model with other networks of the same sizes, whose draws no correction knows."""
        drawing = self.kind.for_inference(networks) if self.drawing else {}
        return replace(self, networks=networks, drawing=drawing, reweighter=None, refiner=None)

    @property
    def _tasks(self) -> tuple[Task, ...]:
        """What its networks can be asked for."""
        numbers = (Task.NUMBERS,) if self.model.draws_number else ()
        weights = (Task.WEIGHTS,) if self.reweighter is not None else ()
        return (Task.ATTRIBUTES, *numbers, *weights)

    def _alone(self, sampling: Sampling) -> Evaluator:
        return Here([self], sampling)

    def _sizes(self, task: Task, sampling: Sampling) -> Sequence[int]:
        """Of blocks, once its networks are where they are to run."""
        is_bare = task is not Task.WEIGHTS and self.refiner is None
        if is_bare and self.kind.takes_any_rows(self.drawing, of_numbers=task is Task.NUMBERS):
            return self.place.any_sizes
        if not self.place.is_cpu:
            # of one that is there already nothing is moved
            own = [one.drawing for one in (self.refiner, self.reweighter) if one is not None]
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

        def sample(conditions: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
            return kind.sample(networks, conditions, normals, sampling)

        return sample if self.refiner is None else self.refiner.after(sample)

    @cached_property
    def _runner(self) -> Runner:
        return Runner(self.place)


def with_correction(tensors: Tensors, found: Reweighter | Refiner) -> Tensors:
    """A model's stored tensors with those of a correction, in the place of another one's.

    A reweighter goes with a refiner: it knows what that makes of draws.
    """
    less = section.without_reweighter if isinstance(found, Reweighter) else section.without_corrections
    state = found.network.state_dict()
    return less(tensors) | {
        f"{found.section.WHAT}.{key}": _stored(value.cpu().numpy()) for key, value in state.items()
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
    network.eval().load_state_dict(state)
