"""An object model with its trained weights: conditions in, reconstructed attributes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
from flashsim_prod.physics.chain.kinds.base import Kind, Networks
from flashsim_prod.physics.chain.kinds.networks import n_parameters
from flashsim_prod.physics.chain.kinds.registry import FLOW, find_kind, read_section
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.tensors import check_tensors
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Rows that the networks see at a time, the last block padded to it. Matrix products of one fixed shape
#: round alike whatever else is in the batch, so the size of a batch does not show in what is drawn.
BLOCK_ROWS = {"cpu": 256, "cuda": 32_768}


def block_rows(device: str) -> int:
    """Rows that the networks see at a time on `device`."""
    return BLOCK_ROWS[device.split(":")[0]]


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
    drawing : mapping of name to torch module
        What draws instead of them: the kind's form for inference, in a model that was loaded.
    reweighter : Reweighter, optional
        Knows how likely what the kind draws is in truth.
    """

    model: ObjectModel
    kind: Kind[Any]
    size: Any
    standardiser: Standardiser
    gaussianisers: tuple[Gaussianiser, ...]
    networks: Networks
    device: str = "cpu"
    batch_rows: int = BLOCK_ROWS["cpu"]
    drawing: Networks = field(default_factory=dict)
    reweighter: Reweighter | None = None

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
        device: str = "cpu",
        batch_rows: int | None = None,
    ) -> FittedModel:
        """From a bundle's entry and tensors; `batch_rows` is `block_rows` of the device by default.

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
            reweighter = Reweighter.load(model, entry.reweighter, tensors, device)
        standardiser = Standardiser(tensors["conditions.mean"], tensors["conditions.width"])
        gaussianisers = tuple(
            Gaussianiser(tensors[f"{target.name}.cdf"], tensors[f"{target.name}.value"])
            for target in model.targets
        )
        networks = kind.networks(model, size)
        for name, network in networks.items():
            _load(network, f"{name}.", tensors)
            network.to(device).eval()
        rows = batch_rows or block_rows(device)
        drawing = kind.for_inference(networks) if device == "cpu" else networks
        return cls(
            model, kind, size, standardiser, gaussianisers, networks, device, rows, drawing, reweighter
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
        """Whether what it draws is to count as `weights` says."""
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

    def probabilities(self, conditions: F32) -> F64:
        """Probability of each number of objects, shape (n, most + 1), for unscaled `conditions`."""
        if not self.model.most:
            raise ValueError(f"{self.model.name} always gives one object")
        networks = self.drawing or self.networks
        logits = self._in_blocks(lambda c: self.kind.logits(networks, c), self.standardiser(conditions))
        return torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy()

    def sample(self, conditions: F32, normals: F64, sampling: Sampling) -> dict[str, F64]:
        """Targets, a value per row, for unscaled `conditions` and `normals` of shape (n, n_normals)."""
        return self.attributes(self.latents(conditions, normals, sampling))

    def attributes(self, latents: F32) -> dict[str, F64]:
        """What the transforms make of `latents`, by target."""
        return {
            target.name: gaussianiser.from_normal(latents[:, position])
            for position, (target, gaussianiser) in enumerate(
                zip(self.model.targets, self.gaussianisers, strict=True)
            )
        }

    def latents(self, conditions: F32, normals: F64, sampling: Sampling) -> F32:
        """What `sample` draws, before its transforms make attributes of it: shape (n, n_targets)."""
        if self.reweighter is not None:
            check_sampling(self.reweighter.section, self.model.name, sampling)
        candidates, own = self._candidates, self._n_own
        if candidates == 1:
            return self._drawn(conditions, normals, sampling)
        drawn = [
            self._drawn(conditions, normals[:, one * own : (one + 1) * own], sampling)
            for one in range(candidates)
        ]
        weights = np.stack([self.weights(conditions, one) for one in drawn], axis=1)
        chosen = taken(weights, ndtr(normals[:, -1]))
        return np.stack(drawn)[chosen, np.arange(len(conditions))]

    def weights(self, conditions: F32, latents: F32) -> F64:
        """How much likelier than the kind draws them the truth is to have these objects, shape (n,)."""
        if self.reweighter is None or not len(conditions):
            return np.ones(len(conditions))
        attributes = seen(list(self.attributes(latents).values()), self.gaussianisers)
        inputs = np.concatenate((self.standardiser(conditions), attributes), axis=1)
        return self.reweighter.weights(self._in_blocks(self.reweighter.drawing, inputs))

    def _drawn(self, conditions: F32, normals: F64, sampling: Sampling) -> F32:
        """What the kind draws."""
        networks = self.drawing or self.networks

        def draw(c: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return self.kind.sample(networks, c, z, sampling)

        return self._in_blocks(draw, self.standardiser(conditions), normals.astype(np.float32))

    def with_networks(self, networks: Networks) -> FittedModel:
        """This model with other networks of the same sizes, whose draws no correction knows."""
        drawing = self.kind.for_inference(networks) if self.drawing else {}
        return replace(self, networks=networks, drawing=drawing, reweighter=None)

    def _in_blocks(self, function: Callable[..., torch.Tensor], *inputs: F32) -> F32:
        n, block = len(inputs[0]), self.batch_rows
        results: list[F32] = []
        with torch.inference_mode():
            for start in range(0, n, block):
                parts = [_padded(array[start : start + block], block, self.device) for array in inputs]
                results.append(function(*parts)[: n - start].cpu().numpy())
        if not results:
            return np.empty((0, len(self.model.targets)), dtype=np.float32)
        return np.concatenate(results)


def with_correction(tensors: Tensors, found: Reweighter) -> Tensors:
    """A model's stored tensors with those of a reweighter beside them, in the place of another one's."""
    state = found.network.state_dict()
    return without_reweighter(tensors) | {
        f"{REWEIGHTER}.{key}": _stored(value.cpu().numpy()) for key, value in state.items()
    }


def _padded(part: F32, rows: int, device: str) -> torch.Tensor:
    if len(part) < rows:
        part = np.concatenate((part, np.zeros((rows - len(part), part.shape[1]), dtype=part.dtype)))
    return torch.from_numpy(part).to(device)


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
